"""Whether a run goes round and round: the same calls are made with the same bytes, for days while the test waits, or when it is over; or for so
many lines, without a pause, as ten runs without faults have not.

A heart that beats on another connection has an effect each time, so it is not only clocks that tick; and where no run without faults
says how long the test should last, nothing else would end it. A beat with a number or a dice in it is never the same, but as long as the one
before: so does a transfer of a line a minute, which therefore has longer.
"""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from simnet.trace import CALL, SEGMENT, WAKE, Entry, Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simnet.clock import Clock
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = [
    "LINES_MAX",
    "Rounds",
    "due_instants",
    "go_on_for_ever",
    "in_a_rush",
    "is_of_the_round",
    "lines_of",
    "looks_at_the_end",
    "only_goes_round",
]

LINES_MAX = 200  # that differ, among the 10,000 of a look: the same ones fifty times over
LOOK_NS = 3600 * 10**9  # in which so many are made at least: more often than every few seconds beats no heart
ROUNDS_NS = 24 * 3600 * 10**9
LOOKS_BESIDE = 10  # in a row; several days, if a heart beats twice a minute
LOOKS_BESIDE_COUNTED = 30  # if but the lengths are what they were: 300,000 lines, some seconds
LINES_IN_A_RUSH = 10  # times those of the run without faults
LOOKS_IN_A_RUSH = 10  # in a row with no line of a new length: some thousand questions
WAKES_IN_A_RUSH = 100  # by time alone, in a look: a server that looks whether it should end wakes in each of its pauses
# If the test waits for one of those, or beats itself: it may count, and a test of 100,000 beats takes half a minute.
LOOKS_BESIDE_AWAITED = 100
# When the test is over: as long as who wakes each second, and calls nobody, has until it is quiet; the usual time-out is a minute.
SETTLES_NS = 32 * 10**9  # and as long again, with nothing new
SETTLES_IN_A_RUSH_NS = 10**9
ARRIVES_NS = 100 * 10**9  # for what is on its way, when the time of a test that is over has passed
ENDS = ("the end of", "a lock", "a notification")  # what such a one gives


class Rounds:
    """What has been seen at looks in a row that showed nothing new."""

    __slots__ = (
        "counted",
        "due",
        "end",
        "lines",
        "look_ns",
        "looks",
        "rushes",
        "shapes",
        "since_ns",
        "stopped",
        "until_ns",
    )

    def __init__(self, end: int = 0, look_ns: int = 0, until_ns: int = 0) -> None:
        self.lines: frozenset[Any] = frozenset()
        self.shapes: frozenset[Any] = frozenset()  # of the lines, with lengths for bytes
        self.due: frozenset[int] = frozenset()
        self.since_ns = 0  # that the shapes are the same
        self.looks = self.counted = 0  # with no new line; with none of a new shape
        self.end = end  # how long the trace was at the latest
        self.stopped = False  # the run has been ended in the midst of them
        self.rushes = False  # the test has been ended for them, which follow each other without a pause
        self.look_ns, self.until_ns = look_ns, until_ns  # when the next one is due, if the test is over; for how long

    def look(self, entries: list[Entry], begin: int, due: frozenset[int], now_ns: int) -> None:
        lines = frozenset(lines_of(entries, begin))
        shapes = frozenset(_shapes_of(entries, begin))
        still = due & self.due
        self.looks = 0 if len(lines) > LINES_MAX or not lines <= self.lines or still else self.looks + 1
        if len(shapes) > LINES_MAX or not shapes <= self.shapes or still:
            self.counted, self.since_ns = 0, now_ns
        else:
            self.counted += 1
        self.lines, self.shapes, self.due, self.end = lines, shapes, due, len(entries)


def go_on_for_ever(scheduler: Scheduler, entries: list[Entry], begin: int) -> bool:
    """Has the body been waiting for days, beside which those *entries* since *begin* are what there was before, and nothing else is due?

    What was due at the look before and has not come yet, such as a sleeper of a year, may change that.
    """
    body, now_ns = scheduler.body, scheduler.clock.now_ns
    waits = body.waiting[0] if body.waiting is not None else ""
    rushes = now_ns - entries[begin][0] < LOOK_NS
    if body.done or waits == "quiet" or (rushes and not _without_a_pause(scheduler, entries, begin)):
        return False
    rounds: Rounds | None = scheduler.rounds
    if rounds is None:
        rounds = scheduler.rounds = Rounds()
    if begin < rounds.end:  # the same look once more, put off for another's turn
        return False
    rounds.look(entries, begin, frozenset(due_instants(scheduler.clock)), now_ns)
    if rushes:
        rounds.rushes = body.asleep and not body.has_deadline and rounds.counted >= LOOKS_IN_A_RUSH
        return rounds.rushes
    if now_ns - rounds.since_ns < ROUNDS_NS:
        return False
    if body.asleep and not body.has_deadline and waits not in ENDS:
        return rounds.looks >= LOOKS_BESIDE or rounds.counted >= LOOKS_BESIDE_COUNTED
    return rounds.looks >= LOOKS_BESIDE_AWAITED


def in_a_rush() -> Rounds:
    """What is known where the test is ended since others like it have rushed."""
    rounds = Rounds()
    rounds.rushes = True
    return rounds


def _without_a_pause(scheduler: Scheduler, entries: list[Entry], begin: int) -> bool:
    """Has hardly anybody woken by time alone since *begin*, in a run that has become many times as long as the one without faults?

    Where there is none beside it nobody knows how much a test has to say.
    """
    if scheduler.longest_ns == 2**63 or len(entries) < LINES_IN_A_RUSH * len(scheduler.before):
        return False
    woken = sum(entry[1] == WAKE and not entry[7] for entry in islice(entries, begin, None))
    return woken < WAKES_IN_A_RUSH


def looks_at_the_end(scheduler: Scheduler, until_ns: int, *, over: bool) -> Rounds:
    """What `only_goes_round` goes by, from now on; where the test is not *over*, it waits until *until_ns*. What rushes is looked at soon."""
    before: Rounds | None = scheduler.rounds
    if over and before is not None and before.rushes:
        before.end, before.until_ns = len(scheduler.trace.entries), until_ns
        before.counted, before.look_ns = 0, scheduler.clock.now_ns + SETTLES_IN_A_RUSH_NS
        return before
    look_ns = scheduler.clock.now_ns + SETTLES_NS if over else until_ns + ARRIVES_NS
    return Rounds(len(scheduler.trace.entries), look_ns, until_ns)


def only_goes_round(scheduler: Scheduler) -> bool:
    """A look is due, and the test is over: is its time too, and what was on its way? Or was nothing new in half a minute?

    Then nothing that was due at the look before may be due still. What an asyncio loop has put off, such as the end of a
    session, is due as well, though the loop wakes for other things meanwhile.
    """
    rounds: Rounds = scheduler.rounds
    entries, now_ns, until_ns = scheduler.trace.entries, scheduler.clock.now_ns, rounds.until_ns
    if now_ns > until_ns + ARRIVES_NS or not scheduler.recording:
        rounds.stopped = now_ns > until_ns + ARRIVES_NS
        return rounds.stopped
    due = frozenset(each for each in (*due_instants(scheduler.clock), *_put_off(scheduler)) if each <= until_ns)
    rounds.look(entries, rounds.end, due, now_ns)
    rounds.look_ns = now_ns + (SETTLES_IN_A_RUSH_NS if rounds.rushes else SETTLES_NS)
    rounds.stopped = rounds.counted > 0
    return rounds.stopped


def is_of_the_round(scheduler: Scheduler, process: Process) -> bool:
    """Has the run been ended in the midst of beats, one of which *process* waits for? What it did before it began to wait was nothing new."""
    rounds: Rounds | None = scheduler.rounds
    if rounds is None or not rounds.stopped or process.owner is scheduler.body:
        return False
    return process.target and scheduler.clock.now_ns - process.since_ns < SETTLES_NS


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


def _shapes_of(entries: list[Entry], begin: int) -> Iterator[tuple[Any, ...]]:
    """The same, with lengths for bytes."""
    for (_, kind, _, _, _, op, _, detail), line in zip(entries[begin:], lines_of(entries, begin), strict=True):
        said: Any = line[-1]
        if kind == SEGMENT:
            said = _length(said)
        elif kind == CALL and op in ("recv", "send") and not isinstance(detail[1], Failed):
            said = detail[1] if op == "send" else _length(detail[1])
        yield *line[:-1], said


def _length(got: Any) -> Any:
    """Of what a read gave: bytes, with an address or other things besides if it is a datagram."""
    if isinstance(got, tuple):
        return tuple(_length(each) for each in got)
    return len(got) if isinstance(got, bytes) else repr(got)


def due_instants(clock: Clock) -> Iterator[int]:
    """The instants at which something is due."""
    for instant, bunch in clock.due.items():
        if any(fn is not None or timer.fn is not None for fn, timer in bunch):
            yield instant


def _put_off(scheduler: Scheduler) -> Iterator[int]:
    """The instants for which asyncio's loops have timers, in all processes."""
    asyncio: Any = sys.modules.get("asyncio")
    loops = [each.state.get("loop") for each in scheduler.processes]
    loops.append(None if asyncio is None else asyncio._get_running_loop())  # of who runs now
    for loop in loops:
        for handle in getattr(loop, "_scheduled", ()):
            if not handle.cancelled():
                yield int(handle.when() * 10**9)
