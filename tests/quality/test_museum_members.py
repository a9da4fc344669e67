"""Old mistakes of clients that connect anew: a plain sweep warns of each, and says at which line they do, and what they leave out."""

from __future__ import annotations

from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_members
from tests.quality.found import line_of
from tests.quality.museum_members import WORDS, Channel, Member


def sweep(client: type[Member]) -> SweepResult:
    """No assertion: who was away has missed words, and another outcome is no failure."""

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(Channel().serve, 7)
        heard: list[bytes] = net.host("client").run(client(("server", 7)).run)
        return heard

    return run_sweep(test, SweepOptions.of(target="client"))


CONNECTS = line_of(museum_members, "CONNECTS")
FOUND = [
    (
        museum_members.SaysNothingAgain,
        r"says there but b'ping\n', and is told nothing: it was, when it had said b'nick\njoin\n'",
    ),
    (
        museum_members.JoinsNoMore,
        r"says there but b'nick\nping\n', and is told nothing: it was, when it had said b'join\n'",
    ),
    (museum_members.PollsTheOld, "does not read what comes there"),
    (museum_members.KeepsTheOldPing, "closes it again and again without a word, where it had said something before"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "what"), FOUND, ids=[client.__name__ for client, *_ in FOUND])
def test_a_mistake_is_warned_of_with_its_line(client: type[Member], what: str) -> None:
    told = {(each.name, each.at): each.text for each in sweep(client).warnings}
    text = told["connected-anew", CONNECTS]
    assert what in text
    assert text.startswith("client has connected anew (client->server:7#2), ")


def test_each_mistake_has_its_row() -> None:
    assert [client for client, *_ in FOUND] == Member.__subclasses__()


@pytest.mark.slow
def test_who_makes_none_of_them_passes_every_single_fault() -> None:
    result = sweep(Member)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
    assert result.baseline.outcome.returned == [b"word %d" % number for number in range(WORDS)]
