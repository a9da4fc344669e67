"""Old mistakes of clients that publish: a sweep finds each, and says where it is."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_publishers
from tests.quality.found import line_of, only
from tests.quality.museum_publishers import MESSAGES, Broker, Publisher


def sweep(client: type[Publisher], **options: Any) -> SweepResult:
    """Once the client has done, the broker has them all, whatever became of a connection."""

    def test(net: Any) -> list[bytes]:
        broker = Broker()
        net.host("server").spawn(broker.serve, 7)
        net.host("client").run(client(("server", 7)).run)
        return sorted(broker.kept)

    return run_sweep(test, SweepOptions.of(target="client", survives=["eof", "reset"], **options))


FOUND = [
    (museum_publishers.NeverHasRoomAgain, "target-raised", line_of(museum_publishers, "GIVES-UP")),
    (museum_publishers.ForgetsWhatIsInDoubt, "outcome", ""),
    (museum_publishers.HalfALineOutlives, "target-raised", line_of(museum_publishers, "ACKNOWLEDGED")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "reason", "at"), FOUND, ids=[client.__name__ for client, *_ in FOUND])
def test_a_mistake_is_found_by_the_fault_that_shows_it(client: type[Publisher], reason: str, at: str) -> None:
    failure = only(sweep(client))
    assert (failure.reason, failure.at) == (reason, at)


@pytest.mark.slow
def test_who_only_sleeps_is_warned_of() -> None:
    """It does no harm but to whoever waits for it, and the fault may have been for good."""
    (warned,) = sweep(museum_publishers.OnlySleeps, kinds=["error"]).warnings
    assert (warned.name, warned.at) == ("waits-for-ever", line_of(museum_publishers, "SLEEPS"))


def test_each_mistake_has_its_row() -> None:
    assert [*(client for client, *_ in FOUND), museum_publishers.OnlySleeps] == Publisher.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Publisher)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
    assert result.baseline.outcome.returned == sorted(MESSAGES)
