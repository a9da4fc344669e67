"""A client that has lost its connection, and from then on only sleeps and looks whether it is back: nobody else will bring it."""

from __future__ import annotations

import linecache
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from dispatch import asyncore
from simnet.explore.judging.verdict import judge
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from simnet.run import play


def answers(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as connection:
                while question := connection.recv(1):
                    connection.sendall(question.upper())


def ask(sock: socket.socket) -> bytes:
    sock.sendall(b"a")
    answer = sock.recv(1)
    if not answer:
        raise ConnectionAbortedError
    return answer


def never_connects_again() -> bytes:
    sock: socket.socket | None = socket.create_connection(("server", 7), timeout=5)
    answer = b""
    while len(answer) < 3:
        if sock is None:
            time.sleep(5)  # not connected
            continue
        try:
            answer += ask(sock)
        except OSError:
            sock.close()
            sock = None
    assert sock is not None
    sock.close()
    return answer


def gives_up_in_the_end() -> bytes:
    """After a week, which is later than anybody looks; but it has not lost a connection."""
    try:
        return never_again_but_once()
    except OSError:
        time.sleep(7 * 24 * 3600)
        return b""


def never_again_but_once() -> bytes:
    with socket.create_connection(("server", 7), timeout=5) as sock:
        return ask(sock) + ask(sock)


def looks_for_a_reader_that_waits() -> bytes:
    """It is the reader that has no time-out, and of that it is told."""
    answer: list[bytes] = []

    def read() -> None:
        with suppress(OSError), socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"aa")
            answer.append(sock.recv(1))
            answer.append(sock.recv(1))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    while len(answer) < 2 and thread.is_alive():
        time.sleep(1)
    return b"".join(answer)


def sweep(client: Callable[[], bytes]) -> SweepResult:
    def test(net: Any) -> bytes:
        net.host("server").spawn(answers, 7)
        return bytes(net.host("client").run(client))

    return run_sweep(test, SweepOptions.of(target="client"))


@pytest.mark.slow
def test_who_only_sleeps_when_the_connection_is_lost_is_warned_of() -> None:
    result = sweep(never_connects_again)
    assert result.ok
    (warned,) = result.warnings
    assert warned.name == "waits-for-ever"
    file, _, line = warned.at.partition(":")
    assert linecache.getline(__file__, int(line)).strip() == "time.sleep(5)  # not connected", file
    assert "wakes by time alone, again and again, and does nothing: in the run without faults it ends" in warned.text


@pytest.mark.slow
def test_who_sleeps_once_for_long_is_not() -> None:
    assert not sweep(gives_up_in_the_end).warnings


@pytest.mark.slow
def test_who_asks_again_and_again_whether_a_silent_server_has_said_something_is_not() -> None:
    def is_patient() -> bytes:
        answer = b""
        with suppress(ConnectionError), socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"aa")
            while len(answer) < 2:
                with suppress(TimeoutError):
                    answer += sock.recv(1) or b"??"
        return answer

    assert not sweep(is_patient).warnings


class Asks(asyncore.dispatcher):
    """It has no time-out, and its loop wakes each half minute and sees to that."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = b""
        self.question = b"aa"
        self.create_socket()
        self.connect(("server", 7))

    def writable(self) -> bool:
        return not self.connected or bool(self.question)

    def handle_write(self) -> None:
        self.question = self.question[self.send(self.question) :]

    def handle_read(self) -> None:
        self.answer += self.recv(2)
        if len(self.answer) >= 2:
            self.close()


@pytest.mark.slow
def test_who_leaves_it_to_a_loop_to_wait_for_a_silent_server_is_warned_of() -> None:
    def client() -> bytes:
        asks = Asks()
        asyncore.loop()
        return asks.answer

    (warned,) = (each for each in sweep(client).warnings if each.name == "waits-for-ever")
    assert str(warned.plan).startswith("blackhole")
    _, _, line = warned.at.partition(":")
    assert linecache.getline(__file__, int(line)).strip() == "asyncore.loop()"


@pytest.mark.slow
def test_who_looks_whether_another_thread_has_done_is_not_told_of_that_besides() -> None:
    (warned,) = sweep(looks_for_a_reader_that_waits).warnings
    assert "waits for recv" in warned.text


def until_it_is_told_to_end(port: int) -> None:
    """A thread of it has its own clock."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())

    def looks() -> None:
        while not over.wait(60):
            pass

    thread = threading.Thread(target=looks)
    thread.start()
    with socket.create_server(("", port)) as listener:
        with suppress(OSError), listener.accept()[0] as connection:
            connection.sendall(connection.recv(1).upper())
        while not over.wait(45):
            pass
    thread.join()


def test_who_ends_by_a_signal_to_which_the_test_does_not_come_is_not_warned_of() -> None:
    def test(net: Any) -> None:
        server = net.host("server").spawn(until_it_is_told_to_end, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"a")
            assert sock.recv(1) == b"A"
        server.send_signal(signal.SIGTERM)
        server.join()

    plan = "error test->server:7#1 end=server recv call=1 errno=ETIMEDOUT"  # of which its peer does not hear
    judgement = judge(play(test, target="server"), play(test, plan, target="server"))
    assert judgement.status == "interrupted"
    assert not judgement.warnings
