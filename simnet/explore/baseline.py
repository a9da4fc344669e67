"""The test without faults: everything that follows is compared with it, so it is made twice.

The first run of a program that was just loaded may take another path: a library finds out once which pollers exist, a module is
imported, a cache is filled. If such a run has the outcome of the second, a third decides: if it equals the second, event for
event, the test does the same each time from then on, and so do the runs with faults.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from simnet.blame import exception_line
from simnet.explore.judging.outcomes import difference_of_outcomes, same
from simnet.explore.judging.stays import what_stays
from simnet.explore.judging.verdict import judge
from simnet.explore.options import SweepOptions
from simnet.explore.progress import Stopwatch
from simnet.explore.report.ladder import ladder
from simnet.explore.report.phrases import call_phrase, segment_phrase
from simnet.explore.result import Failure, SweepResult, Warned
from simnet.faults.plan import FaultPlan
from simnet.owned.state import absent
from simnet.run import play
from simnet.trace import CALL, SEGMENT

if TYPE_CHECKING:
    from simnet.run import Run
    from simnet.trace import Event, Trace

__all__ = ["NotRepeatable", "begun"]

TLS_RECORD = re.compile(r"\\x1[4-7]\\x03")  # how one begins (RFC 8446, 5.1), in a payload's repr
SHOWN = 24  # bytes of what differs: a number, a name


class NotRepeatable(Exception):
    """Two runs of the test without faults were not the same, so no comparison would mean anything."""

    def __init__(self, difference: str, where: str = "") -> None:
        super().__init__(difference, where)
        self.difference = difference
        self.where = where

    def __str__(self) -> str:
        text = (
            f"two runs without faults differ: {self.difference}.\n"
            "The same test must do the same each time. Look for state that stays from run to run (a file, a cache, a counter, "
            "a global: per_process=['module:name'] makes it new each time), for an order or a text that depends on id() or "
            "an address (a set of your own objects: a dict keeps them in order) or has the name of a temporary file, and for values "
            "that do not compare equal."
        )
        return f"{text}\n\n{self.where}" if self.where else text


def begun(
    test: Callable[[Any], object], options: SweepOptions, name: str, watch: Stopwatch, *, schedule: str = "fifo"
) -> SweepResult:
    """The test without faults, twice or thrice, by that *schedule*. A result that holds the baseline, and the failure if there is one already.

    Raises:
        NotRepeatable: two of them differ.
    """
    plain = partial(play, test, FaultPlan((), schedule), **options.playing)
    baseline = plain()
    result = SweepResult(name, options, baseline, simulations=1)
    slip = absent(options.per_process)
    if slip:
        result.warnings.append(Warned("no-such-global", slip, 1, FaultPlan()))
    if _fails(result, watch):
        return result
    again = plain()
    result.simulations = 2
    if not same(baseline.outcome, again.outcome):
        difference = difference_of_outcomes(baseline.outcome, again.outcome)
        difference = difference.replace("without the fault", "the other time")
        raise _not_repeatable(difference, baseline, again, slip, what_stays(plain, test))
    if again.digest != baseline.digest:
        third = plain()
        result.simulations = 3
        if not same(again.outcome, third.outcome) or third.digest != again.digest:
            difference = f"the outcome is the same, what happened on the way is not{_tls(baseline, again)}"
            raise _not_repeatable(difference, baseline, again, slip, what_stays(plain, test))
        result.baseline = again
        _fails(result, watch)
    return result


def _fails(result: SweepResult, watch: Stopwatch) -> bool:
    """Does the test fail by itself? Then that is the failure, and all there will be."""
    baseline = result.baseline
    sound = judge(baseline, baseline, invariants=result.options.invariants)
    if sound.status == "failure":
        result.failures.append(Failure(baseline, sound, FaultPlan(), FaultPlan(), 1))
        result.failed = 1
        result.seconds = watch.seconds
    return sound.status == "failure"


def _not_repeatable(difference: str, first: Run, second: Run, slip: str, stays: list[str]) -> NotRepeatable:
    """*slip* is what was meant to be new each time, and is nothing; *stays* is what was seen to change from run to run."""
    where = [f"slip      {slip}"] if slip else []
    if stays:
        where.append("\n".join(f"{'' if n else 'stays':<10}{each}" for n, each in enumerate(stays)))
    return NotRepeatable(difference + _ended(first, second), "\n\n".join(filter(None, [*where, _where(first, second)])))


def _ended(first: Run, second: Run) -> str:
    """What to say if an exception ended a process, or reached a handler, and did not the other time."""
    before = [(each.process, type(each.error)) for each in first.failures]
    for each in second.failures:
        if (each.process, type(each.error)) not in before:
            return f"; {each.process} ended with {exception_line(each.error)}"
    heard = [(handled.host, type(handled.error)) for handled in first.handler_errors]
    for handled in second.handler_errors:
        if (handled.host, type(handled.error)) not in heard:
            return f"; {handled.handler} of {handled.channel} failed with {exception_line(handled.error)}"
    return ""


def _tls(first: Run, second: Run) -> str:
    """What to say if the first thing that differs is of TLS, whose bytes do not count."""
    place = first.trace.first_difference(second.trace)
    if place is None or not any(TLS_RECORD.search(repr(entry)) for entry in first.trace.entries[place : place + 1]):
        return ""
    return ": TLS records have other lengths. A signature by an ECDSA key may; one by an RSA key has always the same"


def _where(first: Run, second: Run) -> str:
    place = first.trace.first_difference(second.trace)
    if place is None:
        return ""
    # A ladder leaves out what mostly does not matter, such as a poll that finds nothing, and of long data all but the beginning.
    now, before = _event(second.trace, place), _event(first.trace, place)
    told = f"{_told(now)}; the other time {_told(before)}"
    if now is not None and before is not None and _told(now) == _told(before):
        told = f"{_told(now)}: {_where_they_differ(now, before)}"
    return f"first     {told}\n\n{ladder(second.trace, against=first.trace)}"


def _event(trace: Trace, place: int) -> Event | None:
    return trace[place] if place < len(trace) else None


def _told(event: Event | None) -> str:
    """An event in a few words: whose, and what."""
    if event is None:
        return "nothing more"
    what = call_phrase(event) if event.kind == CALL else segment_phrase(event) if event.kind == SEGMENT else event.op
    return f"{event.host}: {what or event.op} ({event.place}, at {event.time_ns / 1e9:.3f} s)"


def _where_they_differ(one: Event, other: Event) -> str:
    """The first bytes that are not the same in two events that look alike; or both, as they are."""
    mine, theirs = _payload(one), _payload(other)
    if mine == theirs or mine is None or theirs is None:
        return f"{one.detail!r}; the other time {other.detail!r}"
    at = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
    return f"from byte {at} on {mine[at : at + SHOWN]!r}; the other time {theirs[at : at + SHOWN]!r}"


def _payload(event: Event) -> bytes | None:
    """The bytes that an event is about."""
    if event.kind == SEGMENT:
        data = event.detail[0]
    elif event.kind == CALL:
        sends = event.op == "send" and event.arguments
        data = event.arguments[0] if sends else event.result if event.op == "recv" else None
    else:
        return None
    return bytes(data) if isinstance(data, (bytes, bytearray)) else None
