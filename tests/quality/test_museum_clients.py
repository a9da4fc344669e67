"""Old mistakes of real clients: a sweep finds each, by a single fault, and says where it is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_clients
from tests.quality.found import line_of, only
from tests.quality.museum import Hall
from tests.quality.museum_clients import Asker

QUESTIONS = [b"one", b"two", b"three"]


def sweep(client: type[Asker]) -> SweepResult:
    """Each question is answered rightly, or not in time."""

    def ask() -> list[bytes | None]:
        asker = client(("server", 7))
        heard: list[bytes | None] = []
        for question in QUESTIONS:
            try:
                heard.append(asker.ask(question))
            except TimeoutError:
                heard.append(None)
            time.sleep(0.1)
        asker.close()
        return heard

    def test(net: Any) -> list[bytes | None]:
        net.host("server").spawn(Hall().serve, 7)
        heard: list[bytes | None] = net.host("client").run(ask)
        with net.always():
            assert all(each in (None, line.upper()) for each, line in zip(heard, QUESTIONS, strict=True))
        return heard

    return run_sweep(test, SweepOptions.of(target="client", survives=["eof", "reset"]))


FOUND = [
    (museum_clients.KeepsWhatCameTooLate, "always", "stall", ""),
    (museum_clients.DropsWhatCameInTime, "always", "stall", ""),
    (museum_clients.EndIsAnAnswer, "target-raised", "eof", line_of(museum_clients, "HUNG-UP-ON")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "reason", "kind", "at"), FOUND, ids=[client.__name__ for client, *_ in FOUND])
def test_a_mistake_is_found_by_the_fault_that_shows_it(client: type[Asker], reason: str, kind: str, at: str) -> None:
    failure = only(sweep(client))
    assert (failure.reason, str(failure.plan).split()[0]) == (reason, kind)
    assert failure.at == at or not at


def test_each_mistake_has_its_row() -> None:
    assert [client for client, *_ in FOUND] == Asker.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Asker)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
