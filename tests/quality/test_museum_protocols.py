"""Old mistakes of asyncio protocols: a sweep finds each, by bytes that come in other portions."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_protocols
from tests.quality.museum_protocols import Numbers


def sweep(protocol: type[Numbers], *, together: bool) -> SweepResult:
    """Two messages are numbered, one after the other or both *together*."""
    messages = [b"\3one\3two"] if together else [b"\3one", b"\3two"]

    def test(net: Any) -> bytes:
        net.host("server").spawn(museum_protocols.serve, protocol, 7)
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
            heard = b""
            for message in messages:
                sock.sendall(message)
                heard += lines.readline()
            sock.shutdown(socket.SHUT_WR)
            return heard + lines.read()

    return run_sweep(test, SweepOptions.of(target="server"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "together"), [(museum_protocols.AChunkIsAMessage, False), (museum_protocols.ReadsAFragmentTwice, True)]
)
def test_a_mistake_is_found_by_the_fault_that_shows_it(protocol: type[Numbers], together: bool) -> None:
    failures = sweep(protocol, together=together).failures
    assert {"short-recv", "split"} <= {kind for failure in failures for kind in failure.kinds}
    assert all(failure.plan.transparent for failure in failures)


@pytest.mark.slow
@pytest.mark.parametrize("together", [False, True])
def test_who_makes_none_of_them_passes_every_single_fault(together: bool) -> None:
    result = sweep(Numbers, together=together)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
