"""Old mistakes of servers that send a file in datagrams: a sweep finds each by one that gets lost, and the file must come all the same."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_blocks
from tests.quality.found import only
from tests.quality.museum_blocks import BLOCKS, Blocks


def sweep(server: type[Blocks]) -> SweepResult:
    def test(net: Any) -> list[bytes] | str:
        net.host("server").spawn(lambda: server().serve(69))
        try:
            got: list[bytes] = net.host("client").run(museum_blocks.fetch, ("server", 69))
        except TimeoutError as error:
            return str(error)
        return got

    return run_sweep(test, SweepOptions.of(target="server", survives=["drop", "duplicate", "delay", "reorder"]))


FOUND = [
    museum_blocks.NeverSendsItAgain,
    museum_blocks.SendsTheFollowingInstead,
    museum_blocks.EachWordBeginsTheWaitAnew,
]


@pytest.mark.parametrize("server", FOUND)
@pytest.mark.slow
def test_a_mistake_is_found_by_a_datagram_that_gets_lost(server: type[Blocks]) -> None:
    failure = only(sweep(server))
    assert failure.reason == "outcome"
    assert str(failure.plan).startswith("drop server->client:* datagram=")


def test_each_mistake_has_its_row() -> None:
    assert Blocks.__subclasses__() == FOUND


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Blocks)
    assert result.ok, [report.text() for report in result.reports()]
    assert result.baseline.outcome.returned == BLOCKS
