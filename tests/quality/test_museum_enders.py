"""Old mistakes about connections that have ended: a plain sweep warns of each, of a test that asserts what it expects and returns nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep
from tests.quality import museum_enders
from tests.quality.found import line_of
from tests.quality.museum_enders import Asker, Cache, Clock, Talker, echo

QUESTIONS = [b"one", b"two", b"three"]
Client = type[Asker] | type[Cache] | type[Talker]


def sweep(client: Client) -> SweepResult:
    def talk() -> list[bytes]:
        made = client("server", 7)
        return made.talk(QUESTIONS) if isinstance(made, Cache) else asyncio.run(made.talk(QUESTIONS))

    def test(net: Any) -> None:
        net.host("server").spawn(echo, 7)
        assert net.host("client").run(talk) == QUESTIONS

    return run_sweep(test, SweepOptions.of(target="client"))


def sweep_clock(clock: type[Clock]) -> SweepResult:
    def test(net: Any) -> None:
        net.host("server").spawn(lambda: asyncio.run(clock().serve(7, 20)))
        with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
            assert [lines.readline() for _ in range(2)] == [b"0\n", b"1\n"]

    return run_sweep(test, SweepOptions.of(target="server"))


# What is told, what it says, and the mark of the line, if there is one: asyncio reads, and closes, where nobody has called it.
FOUND: list[tuple[Client, str, str, str]] = [
    (museum_enders.KeepsWhatWasCancelled, "answers-told-apart", "a late answer was taken for that to the next", "ASKS"),
    (museum_enders.HalfALineIsALine, "cut-short", "client takes the beginning of a message for all of it", ""),
    (museum_enders.ForgetsThatItHasClosed, "broken-given-up", "on a socket that it has closed itself", "SENDS"),
    (museum_enders.AnyEndIsItsEnd, "late-end", "client hangs up on client->server:7#2, which is whole", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "name", "text", "mark"), FOUND, ids=[each[0].__name__ for each in FOUND])
def test_a_mistake_of_a_client_is_told(client: Client, name: str, text: str, mark: str) -> None:
    result = sweep(client)
    assert not result.failures
    (warned,) = (each for each in result.warnings if each.name == name)
    assert text in warned.text
    assert not mark or line_of(museum_enders, mark) in f"{warned.at} {warned.text}"


@pytest.mark.slow
def test_a_mistake_of_a_clock_is_told() -> None:
    (warned,) = sweep_clock(museum_enders.TicksForEver).warnings
    assert warned.name == "broken-given-up"
    assert f"a transport of asyncio that is lost or closed, at {line_of(museum_enders, 'TICKS')}" in warned.text


def test_each_mistake_has_its_row() -> None:
    mistakes = [each for right in (Asker, Cache, Talker) for each in right.__subclasses__()]
    assert [client for client, *_ in FOUND] == mistakes


@pytest.mark.slow
@pytest.mark.parametrize("client", [Asker, Cache, Talker])
def test_a_client_that_makes_none_of_them_passes_every_single_fault(client: Client) -> None:
    result = sweep(client)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings, [str(each) for each in result.warnings]


@pytest.mark.slow
def test_a_clock_that_makes_none_passes_every_single_fault() -> None:
    result = sweep_clock(Clock)
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings, [str(each) for each in result.warnings]
