"""Whether a late answer was taken for the one to a later question: who has asked goes on, on the connection that it still comes on.

Nobody can say which bytes answer what. But a client that has given up waiting, has asked again on the same connection, and then has
at a later place what the run without faults has at an earlier one, once too often, has mixed them up. And so has one that looks which
question an answer is to, refuses the late one, and with it each that follows: it has one and the same for all the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.explore.judging.outcomes import is_among, same
from simnet.trace import CALL, FAULT, WAKE

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["LATE", "lists", "taken_for_the_next", "values"]

LATE = frozenset({"stall"})
REST_MIN = 2  # answers in a row, each to a question of its own


class Late(NamedTuple):
    """The connection of a target's on which an answer came too late, the call by which it asked there again, and what came of it."""

    place: str
    entry: int
    what: str


def taken_for_the_next(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Late | None:
    """Whether that has happened in *run*, by a *disruptive* delay and nothing else."""
    if not disruptive or any(fault.kind not in LATE for fault in disruptive):
        return None
    both = list(lists(baseline, run))
    moved_on = any(_moved_on(*pair) for pair in both)
    if not (moved_on or any(_lost_step(*pair) for pair in both)):
        return None
    asked = list(_asked_again(baseline, run))
    if moved_on:
        taken = "a late answer was taken for that to the next question"
        return next((Late(place, entry, taken) for place, entry, _ in asked), None)
    places = [place for place, _, _ in asked]
    came = {place for place, _, since in asked if since}
    refused = "an answer came late, and with it all are refused that follow"
    return next(
        (Late(place, entry, refused) for place, entry, _ in asked if place in came and places.count(place) >= REST_MIN),
        None,
    )


def lists(baseline: Run, run: Run) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    """What both have in order, and as much of it."""
    for was, now in values(baseline, run):
        if isinstance(was, dict) and isinstance(now, dict) and same(list(was), list(now)):
            was, now = list(was.values()), list(now.values())
        if isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)) and len(was) == len(now):
            yield was, now


def values(baseline: Run, run: Run) -> Iterator[tuple[Any, Any]]:
    """What the outcomes of both have.

    And so what a process returned on a target that made the connection: an assertion that fails keeps the test from returning anything.
    """
    before, after = baseline.outcome, run.outcome
    yield before.returned, after.returned
    yield from ((was[1], now[1]) for was, now in zip(before.observed, after.observed, strict=False))
    yield [was[1] for was in before.observed], [now[1] for now in after.observed]
    openers = {str(fault.place.source) for fault in run.happened}
    for (who, was), (name, now) in zip(baseline.results, run.results, strict=False):
        if who == name and name.partition("/")[0] in openers:
            yield was, now


def _moved_on(was: Sequence[Any], now: Sequence[Any]) -> bool:
    """Is something of *was* in *now* at a later place, more often than there, or for what is then missing? Not if only the order is another."""
    left = list(was)
    for each in now:
        at = next((at for at, other in enumerate(left) if is_among(each, (other,))), None)
        if at is not None:
            del left[at]
    if not left:
        return False
    return any(
        not same(was[place], each) and is_among(each, [other for other in was[:place] if not same(other, was[place])])
        for place, each in enumerate(now)
    )


def _lost_step(was: Sequence[Any], now: Sequence[Any]) -> bool:
    """Is there, behind the first place at which they differ, one and the same for all the rest, which *was* has nowhere?

    Not if it is what there is at the first one: those may all have come too late.
    """
    first = next((place for place, each in enumerate(now) if not same(was[place], each)), len(now))
    rest = now[first + 1 :]
    if len(rest) < REST_MIN or same(now[first], rest[0]):
        return False
    return all(same(each, rest[0]) for each in rest) and not is_among(rest[0], was)


def _asked_again(baseline: Run, run: Run) -> Iterator[tuple[str, int, bool]]:
    """The connections to where a fault is, and on which a target has sent something after its time was up for an answer there; which call
    that was; and whether anything had come there since: what has not come cannot be refused.

    What is late on the one, as the file that a server sends, may delay what is said on another. Who just sleeps between two questions, or has
    connected anew since, waits for no answer that could come late.
    """
    struck = {_hosts(entry[3]) for entry in run.trace.entries if entry[1] == FAULT}
    answered = _answered(baseline)
    said: Counter[str] = Counter()
    read: Counter[str] = Counter()
    asks: dict[str, tuple[str, int]] = {}  # by connection: whose it is, and how much is read there when all is answered
    gave_up: dict[str, int] = {}  # by connection: how much had been read there then
    for index, entry in enumerate(run.trace.entries):
        _, kind, host, place, end, op, _, detail = entry
        if kind == WAKE and detail is False and host in run.targets:
            for where, (whose, due) in asks.items():
                if whose == host and read[where] < due:
                    gave_up.setdefault(where, read[where])
        elif kind == CALL and end == "client" and _hosts(place) in struck:
            if op == "send":
                if place in gave_up:
                    yield place, index, read[place] > gave_up[place]
                said[place] += 1
                asks[place] = host, answered.get((place, said[place]), read[place] + 1)
            elif op == "recv" and isinstance(detail[1], bytes):
                read[place] += len(detail[1])
            elif op == "close":
                asks.pop(place, None)


def _answered(run: Run) -> dict[tuple[str, int], int]:
    """How many bytes the opener of a connection has read there, after so many times that it said something, before it says the next thing."""
    said: Counter[str] = Counter()
    read: Counter[str] = Counter()
    found: dict[tuple[str, int], int] = {}
    for _, kind, _, place, end, op, _, detail in run.trace.entries:
        if kind != CALL or end != "client" or op not in ("send", "recv"):
            continue
        if op == "send":
            said[place] += 1
        elif isinstance(detail[1], bytes):
            read[place] += len(detail[1])
        found[place, said[place]] = read[place]
    return found


def _hosts(place: str) -> str:
    """``client->server`` of ``client->server:7#1``."""
    return place.partition(":")[0]
