"""Old mistakes of clients that keep a connection: a plain sweep warns of each, and says at which line it goes on with what is of no use."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_loggers
from tests.quality.found import line_of
from tests.quality.museum import Hall
from tests.quality.museum_loggers import LINES, Logger


def sweep(client: type[Logger]) -> SweepResult:
    """No assertion: what a client does about a broken connection is its own affair, and another outcome no failure."""

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(Hall().serve, 7)
        answers: list[bytes] = net.host("client").run(client(("server", 7)).run)
        return answers

    return run_sweep(test, SweepOptions.of(target="client"))


FOUND = [
    (museum_loggers.KeepsTheBroken, "broken-given-up", "SAYS"),
    (museum_loggers.TriesThereAgain, "broken-given-up", "TRIES"),
    (museum_loggers.RefusesAllThatFollow, "answers-told-apart", "SAYS"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "name", "mark"), FOUND, ids=[client.__name__ for client, *_ in FOUND])
def test_a_mistake_is_warned_of_with_its_line(client: type[Logger], name: str, mark: str) -> None:
    told = {(each.name, each.at) for each in sweep(client).warnings}
    assert (name, line_of(museum_loggers, mark)) in told


def test_each_mistake_has_its_row() -> None:
    assert [client for client, *_ in FOUND] == Logger.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Logger)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
    assert result.baseline.outcome.returned == [line.upper() for line in LINES]
