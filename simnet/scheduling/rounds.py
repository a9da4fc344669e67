"""Whether a run goes round and round: the test waits, and beside it the same calls are made with the same bytes, for days.

A heart that beats on another connection has an effect each time, so it is not only clocks that tick; and where no run without faults
says how long the test should last, nothing else would end it. A beat with a number or a dice in it is never the same, and is not stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simnet.trace import CALL, SEGMENT, Entry, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simnet.clock import Clock
    from simnet.wait import Scheduler

__all__ = ["LINES_MAX", "Rounds", "due_instants", "go_on_for_ever", "lines_of"]

LINES_MAX = 200  # that differ, among the 10,000 of a look: the same ones fifty times over
LOOK_NS = 3600 * 10**9  # in which so many are made at least: more often than every few seconds beats no heart
ROUNDS_NS = 24 * 3600 * 10**9
LOOKS_BESIDE = 10  # in a row; several days, if a heart beats twice a minute
# If the test waits for one of those, or beats itself: it may count, and a test of 100,000 beats takes half a minute.
LOOKS_BESIDE_AWAITED = 100
ENDS = ("the end of", "a lock", "a notification")  # what such a one gives


class Rounds:
    """What has been seen at looks in a row that showed nothing new."""

    __slots__ = ("due", "end", "lines", "looks", "since_ns")

    def __init__(self) -> None:
        self.lines: frozenset[Any] = frozenset()
        self.due: frozenset[int] = frozenset()
        self.since_ns = 0
        self.looks = self.end = 0  # and how long the trace was at the latest


def go_on_for_ever(scheduler: Scheduler, entries: list[Entry], begin: int) -> bool:
    """Has the body been waiting for days, beside which those *entries* since *begin* are what there was before, and nothing else is due?

    What was due at the look before and has not come yet, such as a sleeper of a year, may change that.
    """
    body, now_ns = scheduler.body, scheduler.clock.now_ns
    waits = body.waiting[0] if body.waiting is not None else ""
    if now_ns - entries[begin][0] < LOOK_NS or body.done or waits == "quiet":
        return False
    rounds: Rounds | None = scheduler.rounds
    if rounds is None:
        rounds = scheduler.rounds = Rounds()
    if begin < rounds.end:  # the same look once more, put off for another's turn
        return False
    rounds.end = len(entries)
    lines, due = frozenset(lines_of(entries, begin)), frozenset(due_instants(scheduler.clock))
    if len(lines) > LINES_MAX or not lines <= rounds.lines or due & rounds.due:
        rounds.looks, rounds.since_ns = 0, now_ns
    else:
        rounds.looks += 1
    rounds.lines, rounds.due = lines, due
    alone = body.asleep and not body.has_deadline and waits not in ENDS
    return rounds.looks >= (LOOKS_BESIDE if alone else LOOKS_BESIDE_AWAITED) and now_ns - rounds.since_ns >= ROUNDS_NS


def lines_of(entries: list[Entry], begin: int) -> Iterator[tuple[Any, ...]]:
    """The *entries* since *begin* without what differs from one round to the next: times, and how many there were before."""
    for n in range(begin, len(entries)):
        _, kind, host, place, end, op, _, detail = entries[n]
        said: Any = ""
        if kind == SEGMENT:
            said = detail[0]
        elif kind == CALL and isinstance(detail[1], Failed):
            said = str(detail[1])
        elif kind == CALL and op in ("recv", "send"):  # the rest differs: ports, how long one may wait
            said = repr(detail[0] if op == "send" else detail[1])
        yield kind, host, place.partition("#")[0], end, op, said


def due_instants(clock: Clock) -> Iterator[int]:
    """The instants at which something is due."""
    for instant, bunch in clock.due.items():
        if any(fn is not None or timer.fn is not None for fn, timer in bunch):
            yield instant
