"""A loop that takes the end of its input for a question answers it for ever: it is stopped within 20,000 lines, whatever it waits by."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import simnet

LINES_MAX = 30_000


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as sock:
        with suppress(OSError):
            while True:
                sock.sendall(sock.recv(100).upper() + b"\n")


def serve_by_poller(port: int) -> None:
    with (
        socket.create_server(("", port)) as listener,
        listener.accept()[0] as sock,
        selectors.DefaultSelector() as poller,
    ):
        sock.setblocking(False)
        poller.register(sock, selectors.EVENT_READ)
        with suppress(OSError):
            while poller.select():
                sock.send(sock.recv(100).upper() + b"\n")


@pytest.mark.slow
@pytest.mark.parametrize("server", [serve, serve_by_poller])
def test_who_answers_the_end_of_its_input_for_ever_is_stopped_soon(server: Callable[[int], None]) -> None:
    def test(net: Any) -> bytes:
        net.host("server").spawn(server, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
        return b""

    run = simnet.play(test)
    (verdict,) = {each.name: each for each in run.verdicts}.values()
    assert verdict.name == "Hang"
    assert "server/serve" in verdict.message
    assert len(run.trace) < LINES_MAX
