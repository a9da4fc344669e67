"""Old mistakes of servers that shake hands: a plain sweep tells of each, and says at which line the others are kept waiting."""

from __future__ import annotations

import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_doors
from tests.quality.found import line_of
from tests.quality.museum_doors import Door, visit


def sweep(door: type[Door]) -> SweepResult:
    def test(net: Any) -> bytes:
        net.host("server").spawn(door().serve, 7)
        other = net.host("other").spawn(visit, b"other")
        time.sleep(0.0005)  # they come one right after the other
        heard = visit(b"one")
        other.join()
        return heard

    return run_sweep(test, SweepOptions.of(target="server"))


ASKS = line_of(museum_doors, "ASKS")


@pytest.mark.slow
def test_who_keeps_the_others_before_the_door_is_warned_of() -> None:
    result = sweep(museum_doors.AsksBeforeTheNext)
    assert result.ok, [report.text() for report in result.reports()]
    assert {(each.name, each.at) for each in result.warnings} == {("others-answered", ASKS)}


@pytest.mark.slow
def test_who_ends_with_one_guest_fails_where_he_asks() -> None:
    """By an errno that the fault made, and by the end, which is none."""
    failures = sweep(museum_doors.EndsWithOneGuest).failures
    assert ("loop-survives", ASKS) in {(each.reason, each.at) for each in failures}
    assert "target-raised" in {each.reason for each in failures}


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Door)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
