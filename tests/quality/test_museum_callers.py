"""Old mistakes of those who share a connection: a plain sweep finds each."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_callers
from tests.quality.found import line_of
from tests.quality.museum_callers import Caller, answer


def sweep(caller: type[Caller]) -> SweepResult:
    def run(address: tuple[str, int]) -> list[bytes]:
        client = caller(address)
        heard: dict[bytes, bytes] = {}

        def ask(text: bytes) -> None:
            heard[text] = client.ask(text)

        try:
            other = threading.Thread(target=ask, args=(b"one",))
            other.start()
            time.sleep(0.02)
            ask(b"two")
            other.join()
            return [heard[b"one"], heard[b"two"]]
        finally:
            client.close()

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(answer, 7)
        heard: list[bytes] = net.host("client").run(run, ("server", 7))
        return heard

    return run_sweep(test, SweepOptions.of(target="client"))


FOUND = [
    (museum_callers.SendsFirst, {"preempt"}, line_of(museum_callers, "SENDS FIRST")),
    # One with a time-out sends in pieces, too, where there is no room for all.
    (museum_callers.WritesInHalves, {"preempt", "partial-send"}, line_of(museum_callers, "HALF")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("caller", "kinds", "line"), FOUND, ids=[caller.__name__ for caller, *_ in FOUND])
def test_a_mistake_is_found_and_its_line_is_told(caller: type[Caller], kinds: set[str], line: str) -> None:
    result = sweep(caller)
    assert not result.ok
    assert {name for failure in result.failures for name in failure.kinds} == kinds
    assert all(line in report.text() for report in result.reports())


def test_each_mistake_has_its_row() -> None:
    assert [caller for caller, *_ in FOUND] == Caller.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Caller)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
