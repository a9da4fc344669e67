"""A client that has one connection may return when that is over; who is ended by an exception, or only as a thread, has not survived."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


def tell_the_news(port: int) -> None:
    """Three times, to each who is there, and whoever comes may stay."""
    there: list[socket.socket] = []

    def listen() -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                with suppress(OSError):
                    there.append(listener.accept()[0])

    threading.Thread(target=listen, daemon=True).start()
    for number in range(3):
        time.sleep(1)
        for each in there:
            with suppress(OSError):
                each.sendall(b"news %d\n" % number)
    time.sleep(10_000)


def shows_what_comes() -> None:
    with suppress(OSError), socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as news:
        for _ in news:
            pass


async def shows_what_comes_by_a_loop() -> None:
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("server", 7)
        while await reader.readline():
            pass
        writer.close()


def has_a_heart_that_beats() -> None:
    with suppress(ConnectionError), socket.create_connection(("server", 7), timeout=5) as sock:
        while True:
            try:
                if not sock.recv(100):
                    return
            except TimeoutError:
                sock.sendall(b".")


def catches_nothing() -> None:
    with socket.create_connection(("server", 7)) as sock:
        while sock.recv(100):
            pass


def shows_it_by_a_thread() -> None:
    threading.Thread(target=shows_what_comes).start()
    time.sleep(10_000)


def tries_once_more_and_gives_up() -> None:
    """It has connected anew, and hangs up on a connection that is whole."""
    for attempt in range(2):
        with suppress(OSError), socket.create_connection(("server", 7)) as sock:
            while sock.recv(100) and not attempt:
                pass


def listens_too() -> None:
    with socket.create_server(("", 8)):
        shows_what_comes()


def reasons(client: Callable[[], object]) -> set[str]:
    def test(net: Any) -> None:
        net.host("server").spawn(tell_the_news, 7)
        net.host("server").wait_listening(7)
        net.host("client").spawn(client)
        net.sleep(100)

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["reset", "eof"]))
    assert result.runs > 10
    return {each.reason for each in result.failures}


@pytest.mark.slow
@pytest.mark.parametrize(
    "client", [shows_what_comes, has_a_heart_that_beats, lambda: asyncio.run(shows_what_comes_by_a_loop())]
)
def test_a_client_may_return_when_the_one_connection_that_it_has_is_over(client: Callable[[], object]) -> None:
    assert reasons(client) == set()


@pytest.mark.slow
@pytest.mark.parametrize("client", [catches_nothing, shows_it_by_a_thread, tries_once_more_and_gives_up, listens_too])
def test_who_is_ended_by_an_exception_and_who_has_more_to_do_has_not_survived(client: Callable[[], object]) -> None:
    assert "loop-survives" in reasons(client)
