"""Old mistakes of clients that are sent things: a plain sweep finds each, and says where it is."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_subscribers
from tests.quality.found import line_of, only
from tests.quality.museum_subscribers import WORDS, Subscriber


def sweep(client: type[Subscriber]) -> SweepResult:
    """All words are heard, each once and in their order, also by who was reset in between."""

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(museum_subscribers.publish, 7)
        heard: list[bytes] = net.host("client").run(client(("server", 7)).run)
        assert heard == WORDS
        return heard

    return run_sweep(test, SweepOptions.of(target="client", survives=["reset"]))


READS = line_of(museum_subscribers, "READS")
FOUND = [
    (museum_subscribers.AsksByOneSend, "target-raised", "partial-send", READS),
    (museum_subscribers.ForgetsWhatCameWithTheWelcome, "target-raised", "coalesce", READS),
    (museum_subscribers.BeginsAnewWhenConnected, "no-spin", "eof", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "reason", "kind", "at"), FOUND, ids=[client.__name__ for client, *_ in FOUND])
def test_a_mistake_is_found_by_the_fault_that_shows_it(
    client: type[Subscriber], reason: str, kind: str, at: str
) -> None:
    failure = only(sweep(client))
    assert failure.reason == reason
    assert kind in failure.kinds
    assert failure.at == at or not at


def test_each_mistake_has_its_row() -> None:
    assert [client for client, *_ in FOUND] == Subscriber.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Subscriber)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
