"""Old mistakes of clients that go on after a time-out or an end: a plain sweep warns of each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_again
from tests.quality.found import line_of
from tests.quality.museum_again import Adds, Farewell, Listener, Pool, Window, serve

Client = type[Window] | type[Pool] | type[Adds] | type[Listener] | type[Farewell]
ALL: list[Client] = [Window, Pool, Adds, Listener, Farewell]


def sweep(make: Client, **options: Any) -> SweepResult:
    def test(net: Any) -> list[object]:
        client = make(("server", 7))
        net.host("server").spawn(serve, 7, client.talk)
        heard: list[object] = net.host("client").run(lambda: asyncio.run(client.run()))
        return heard

    return run_sweep(test, SweepOptions.of(target="client", **options))


WARNED_OF = [
    (museum_again.KeepsTheRoom, "answered-again", "is never answered any more", None),
    (museum_again.LendsToWhoHasLeft, "answered-again", "asks nothing there any more", None),
    (museum_again.SaysAllAgain, "said-once", "client says b'POST one\\n' again on client->server:7#2", "ONCE MORE"),
    (museum_again.CountsFromTheFirstPong, "waits-for-ever", "until its kernel gave up", None),
    (museum_again.WaitsForItsFarewell, "waits-for-ever", "in shake, without a deadline", "NO END"),
]


# A loop leaves something unsent.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.slow
@pytest.mark.parametrize(("make", "name", "text", "mark"), WARNED_OF, ids=[make.__name__ for make, *_ in WARNED_OF])
def test_a_sweep_warns_of_a_mistake(make: Client, name: str, text: str, mark: str | None) -> None:
    result = sweep(make)
    assert result.ok, [report.text() for report in result.reports()]
    told = [str(each) for each in result.warnings if each.name == name and text in str(each)]
    assert told
    assert mark is None or any(line_of(museum_again, mark) in text for text in told)


def test_each_mistake_has_its_row() -> None:
    assert [make for make, *_ in WARNED_OF] == [wrong for right in ALL for wrong in right.__subclasses__()]


@pytest.mark.slow
@pytest.mark.parametrize("make", ALL)
def test_who_makes_none_of_them_passes_every_single_fault(make: Client) -> None:
    result = sweep(make)
    assert result.ok, [report.text() for report in result.reports()]
    assert not [str(each) for each in result.warnings if each.name != "waits-for-ever"]


@pytest.mark.slow
def test_a_warning_can_be_made_a_failure_or_turned_off() -> None:
    failed = sweep(museum_again.KeepsTheRoom, kinds=("stall",), invariants={"answered-again": "failure"})
    assert [(failure.reason, failure.host) for failure in failed.failures] == [("answered-again", "client")]
    failed = sweep(museum_again.SaysAllAgain, kinds=("eof",), invariants={"said-once": "failure"})
    assert [(failure.reason, failure.host) for failure in failed.failures] == [("said-once", "client")]
    quiet = sweep(museum_again.SaysAllAgain, kinds=("eof",), invariants={"said-once": "off: the server looks"})
    assert quiet.ok
    assert not quiet.warnings
