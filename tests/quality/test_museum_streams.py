"""Old mistakes of servers on asyncio's streams: a plain sweep finds each by what comes at once."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_streams
from tests.quality.found import line_of
from tests.quality.museum_streams import Proxied, Server, Works

SAYS: dict[type[Server], list[bytes]] = {
    Proxied: [b"somebody\n", b"hello\n"],
    Works: [b"open 1\n", b"cancel 1\n", b"open 2\n", b"cancel 2\n", b"open 3\n", b"open 4\n"],
}
HEARS: dict[type[Server], bytes] = {
    Proxied: b"somebody\nHELLO\n",
    Works: b"done 3\ndone 4\n",
}


def visit(says: list[bytes], size: int) -> bytes:
    with socket.create_connection(("server", 7)) as sock:
        for line in says:
            sock.sendall(line)
            time.sleep(0.1)
        heard = b""
        while len(heard) < size and (more := sock.recv(100)):
            heard += more
        return heard


def sweep(server: type[Server]) -> SweepResult:
    (right,) = (each for each in SAYS if issubclass(server, each))

    def test(net: Any) -> bytes:
        net.host("server").spawn(server().serve, 7)
        return visit(SAYS[right], len(HEARS[right]))

    return run_sweep(test, SweepOptions.of(target="server"))


FOUND = [
    (museum_streams.ReadsAnew, "body-waits", "stall", ""),
    (museum_streams.NeverBegan, "waits-for-ever", "stall", line_of(museum_streams, "NO-ROOM")),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of streams that are collected unclosed
@pytest.mark.parametrize(("server", "reason", "kind", "at"), FOUND, ids=[server.__name__ for server, *_ in FOUND])
def test_a_mistake_is_found_by_the_fault_that_shows_it(server: type[Server], reason: str, kind: str, at: str) -> None:
    (found,) = (failure for failure in sweep(server).failures if failure.reason == reason)
    assert kind in found.kinds
    assert found.at == at or not at


def test_each_mistake_has_its_row() -> None:
    assert [server for server, *_ in FOUND] == [each for right in SAYS for each in right.__subclasses__()]


@pytest.mark.slow
@pytest.mark.parametrize("server", SAYS)
def test_who_makes_none_of_them_passes_every_single_fault(server: type[Server]) -> None:
    result = sweep(server)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
    assert result.baseline.outcome.returned == HEARS[server]
