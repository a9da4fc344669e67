"""A thread that serves one connection ends with it, and that is not held against the program; one that dies of another's fault is."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan


class Board:
    """What one says is told to all: a thread for each member."""

    def __init__(self, *, careful: bool) -> None:
        self.members: list[socket.socket] = []
        self.careful = careful

    def serve(self) -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    time.sleep(0.05)
                    continue
                threading.Thread(target=self.member, args=(sock,), daemon=True).start()

    def member(self, sock: socket.socket) -> None:
        self.members.append(sock)
        with suppress(OSError), sock.makefile("rb") as lines:
            for line in lines:
                for each in list(self.members):
                    self.tell(each, line)
        self.members.remove(sock)
        sock.close()

    def tell(self, sock: socket.socket, line: bytes) -> None:
        try:
            sock.sendall(line)
        except OSError:
            if not self.careful:
                raise


def listen() -> None:
    with suppress(OSError), socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        lines.read()


def reasons(*, careful: bool) -> list[str]:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(Board(careful=careful).serve)
        net.host("listener").spawn(listen)  # who stays to the end
        time.sleep(0.01)
        heard = []
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
            for line in (b"one\n", b"two\n"):
                sock.sendall(line)
                heard.append(lines.readline())
                time.sleep(0.05)
        return heard

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["reset", "error", "eof", "reset-before-accept"]))
    return [failure.reason for failure in result.failures]


@pytest.mark.slow
def test_who_is_served_by_a_thread_of_its_own_may_leave() -> None:
    assert reasons(careful=True) == []


@pytest.mark.slow
def test_a_thread_that_ends_by_what_befell_another_does_not_survive() -> None:
    assert reasons(careful=False) == ["others-survive"]


@pytest.mark.slow
def test_who_waits_for_what_one_of_two_could_not_say_is_not_left_by_the_other() -> None:
    """The first listener is refused, and so is who would have spoken: the second listener rightly hears nothing."""
    plan = FaultPlan.parse("refuse listener->server:7#1; refuse test->server:7#1")

    def test(net: Any) -> bytes:
        net.host("server").spawn(Board(careful=True).serve)
        net.host("listener").spawn(listen)
        net.host("other").spawn(listen)
        time.sleep(0.01)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"one\n")
            return sock.recv(100)

    assert run_sweep(test, SweepOptions.of(target="server"), plan=plan).ok
