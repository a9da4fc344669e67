"""Old mistakes of pools: a plain sweep finds each by who waits for a place for ever, and says where that is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_pools
from tests.quality.found import line_of, only
from tests.quality.museum import Hall
from tests.quality.museum_pools import Pool


async def questions(pool: Pool) -> list[bytes | None]:
    """Three at once, one of whom has little patience; and one when all is over, who has all the patience there is."""
    patience = {b"one": 10.0, b"two": 1.0, b"three": 20.0}
    answers = await asyncio.gather(*(pool.ask(question, most) for question, most in patience.items()))
    return [*answers, await pool.ask(b"four", None)]


def sweep(pool: type[Pool]) -> SweepResult:
    def test(net: Any) -> list[bytes | None]:
        net.host("server").spawn(Hall().serve, 7)
        heard: list[bytes | None] = net.host("client").run(asyncio.run, questions(pool("server", 7)))
        return heard

    return run_sweep(test, SweepOptions.of(target="client"))


FOUND = [
    (museum_pools.KeepsThePlaceOfTheBroken, "error"),
    (museum_pools.KeepsThePlaceOfTheCancelled, "stall"),
    (museum_pools.WakesWhoHasGone, "stall"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("pool", "kind"), FOUND, ids=[pool.__name__ for pool, _ in FOUND])
def test_a_mistake_is_found_by_the_fault_that_shows_it(pool: type[Pool], kind: str) -> None:
    failure = only(sweep(pool))
    assert (failure.reason, failure.at) == ("waits-for-ever", line_of(museum_pools, "IN-LINE"))
    assert kind in failure.kinds


def test_each_mistake_has_its_row() -> None:
    assert [pool for pool, _ in FOUND] == Pool.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Pool)
    assert result.ok, [report.text() for report in result.reports()]
