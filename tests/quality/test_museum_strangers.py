"""Old mistakes that one client alone never meets: a plain sweep brings strangers, and warns of each."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_strangers
from tests.quality.museum_strangers import Counter, Desk, ask

Server = type[Desk] | type[Counter]


def sweep(server: Server) -> SweepResult:
    def test(net: Any) -> bytes:
        net.host("server").spawn(server().serve, 7)
        return ask(b"hello\n")

    return run_sweep(test, SweepOptions.of(target="server"))


FOUND: list[tuple[Server, str]] = [
    (museum_strangers.KeepsThePlace, "before it 12 strangers came and vanished"),
    (museum_strangers.AsksBeforeTheNext, "before it 2 strangers came and stayed"),
    (museum_strangers.CountsTheGone, "before it 12 strangers came and vanished"),
    (museum_strangers.LocksTheBook, "before it 2 strangers came and stayed"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("server", "text"), FOUND, ids=[each.__name__ for each, _ in FOUND])
def test_who_forgets_the_others_is_warned_of(server: Server, text: str) -> None:
    result = sweep(server)
    assert result.ok, [report.text() for report in result.reports()]
    (warned,) = result.warnings
    assert warned.name == "served-anyway"
    assert text in warned.text


def test_each_mistake_has_its_row() -> None:
    assert {server for server, _ in FOUND} == {*Desk.__subclasses__(), *Counter.__subclasses__()}


@pytest.mark.slow
@pytest.mark.parametrize("server", [Desk, Counter])
def test_who_forgets_nobody_passes_every_single_fault(server: Server) -> None:
    result = sweep(server)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings, [str(each) for each in result.warnings]
