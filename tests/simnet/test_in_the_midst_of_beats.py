"""A test is over, and hearts beat on: who waits for the next beat when the run is ended does not wait for ever."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


def answers(sock: socket.socket) -> None:
    with suppress(OSError), sock:
        while data := sock.recv(100):
            sock.sendall(data)


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError):
                threading.Thread(target=answers, args=(listener.accept()[0],), daemon=True).start()


def beats(port: int) -> None:
    """With a number, and on another connection where one breaks."""
    number = 0
    while True:
        with suppress(OSError), socket.create_connection(("server", port), timeout=5) as sock:
            while True:
                number += 1
                sock.sendall(b"beat %d\n" % number)
                if not sock.recv(100):
                    break
                time.sleep(1)
        time.sleep(1)


@pytest.mark.slow
def test_who_waits_for_the_next_beat_of_a_heart_that_has_connected_anew_is_not_warned_of() -> None:
    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, 7)
        net.host("heart").spawn(beats, 7)
        with socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["error", "reset"], runs=60))
    assert result.ok
    assert result.equal > 50
    assert not result.warnings


@pytest.mark.slow
def test_who_has_waited_since_before_is() -> None:
    def waits_for_a_yes(sock: socket.socket) -> None:
        with suppress(OSError), socket.create_connection(("mute", 8)) as other, sock:
            sock.sendall(sock.recv(100))
            try:
                sock.recv(100)
            except OSError:
                other.recv(1)

    def serve_and_ask(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                with suppress(OSError):
                    threading.Thread(target=waits_for_a_yes, args=(listener.accept()[0],), daemon=True).start()

    def says_nothing(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            kept = []
            while True:
                kept.append(listener.accept()[0])

    def test(net: Any) -> bytes:
        net.host("mute").spawn(says_nothing, 8)
        net.host("beaten").spawn(serve, 7)
        net.host("server").spawn(serve_and_ask, 9)
        net.host("heart").spawn(beats_at, "beaten")
        with socket.create_connection(("server", 9), timeout=5) as sock:
            sock.sendall(b"hello")
            return sock.recv(100)

    def beats_at(host: str) -> None:
        with suppress(OSError), socket.create_connection((host, 7), timeout=5) as sock:
            for number in range(1_000_000):
                sock.sendall(b"beat %d\n" % number)
                sock.recv(100)
                time.sleep(1)

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["reset"]))
    assert "waits-for-ever" in {each.name for each in result.warnings}
