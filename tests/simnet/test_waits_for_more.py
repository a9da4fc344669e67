"""Who waits in vain for what it has thrown away itself gives up by a time-out; that is not the doing of bytes that were late."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from tests.quality.found import only

HEAD, WORD = b"welcome\n", b"\5hello"


def serve(pause: float) -> None:
    """Its word follows the head after a while, in the same stream."""
    with socket.create_server(("", 7)) as listener:
        while True:
            try:
                with listener.accept()[0] as sock:
                    sock.sendall(HEAD)
                    time.sleep(pause)
                    sock.sendall(WORD)
                    sock.recv(1)
            except OSError:
                continue


def read_until(sock: socket.socket, data: bytes, enough: Callable[[bytes], bool]) -> bytes:
    while not enough(data):
        more = sock.recv(4096)
        if not more:
            raise ConnectionAbortedError
        data += more
    return data


def word(*, keeps_what_follows: bool) -> bytes:
    with socket.create_connection(("server", 7), timeout=5) as sock:
        data = read_until(sock, b"", lambda data: b"\n" in data)
        rest = data.partition(b"\n")[2] if keeps_what_follows else b""
        return read_until(sock, rest, lambda data: bool(data) and len(data) > data[0])


def sweep(client: Callable[[], bytes], pause: float = 0.01) -> Any:
    def test(net: Any) -> bytes:
        net.host("server").spawn(serve, pause)
        got: bytes = net.host("client").run(client)
        return got

    return run_sweep(test, SweepOptions.of(target="client", kinds=["coalesce", "stall"]))


@pytest.mark.slow
def test_what_came_behind_the_head_and_was_thrown_away_is_missed() -> None:
    failure = only(sweep(lambda: word(keeps_what_follows=False)))
    assert (failure.reason, failure.type_name) == ("target-raised", "TimeoutError")
    assert set(failure.kinds) == {"stall", "coalesce"}


@pytest.mark.slow
def test_who_keeps_it_waits_for_nothing_more() -> None:
    assert sweep(lambda: word(keeps_what_follows=True)).ok


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.01, 4.97])
def test_who_gives_up_before_all_has_come_may_do_so(pause: float) -> None:
    """The word comes just before the time is up, or just behind it."""
    assert sweep(lambda: word(keeps_what_follows=True), pause).ok
