"""Whether a target loses what it has read of a message when its time is up in the midst of it.

Who waits for a while, looks after something else, and waits again may be told so between a header and what that announces. It has read the one,
forgets it, and takes the rest for the next header: from there on everything is out of step. One run does not tell that from a program that
gives up, as it may; but one that goes on unharmed when the whole message is as late does not give up when its time is up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.explore.judging.answers import values
from simnet.explore.judging.deadlines import elapsed
from simnet.explore.judging.findings import Finding
from simnet.explore.judging.table import EQUAL, FAILURE, OFF, WARNING
from simnet.explore.shrink import judged
from simnet.faults.plan import FaultPlan
from simnet.faults.transparent import Stall
from simnet.invariants import HALF_READ
from simnet.kernel.messages import MSG_PEEK
from simnet.trace import CALL, SEGMENT

if TYPE_CHECKING:
    from simnet.explore.judging.verdict import Judgement
    from simnet.explore.options import SweepOptions
    from simnet.explore.result import SweepResult
    from simnet.run import Run

__all__ = ["if_halves_are_lost"]

RUNS_MAX = 8  # in a sweep, of the whole message as late
ENDS = ("close", "shutdown")


class Half(NamedTuple):
    """A message whose last part was late, the target that had read the first one by then, and the call by which it had."""

    first: int
    host: str
    entry: int


def if_halves_are_lost(
    test: Callable[[Any], object], run: Run, judgement: Judgement, result: SweepResult, options: SweepOptions
) -> Judgement:
    """The *judgement* on *run*, with a word on a target for which half a message is lost, and a whole one that is as late is not."""
    level = options.invariants.get(HALF_READ, WARNING)
    if level == OFF or not judgement.disruptive or judgement.failure is not None or judgement.status == EQUAL:
        return judgement
    half = _half_read(result.baseline, run)
    if half is None or result.halves >= RUNS_MAX:
        return judgement
    result.halves += 1
    (late,) = run.happened
    whole, its = judged(test, FaultPlan((_whole(late, half.first, result.baseline),)), result.baseline, options)
    if its.status != EQUAL or _times_up(whole) <= _times_up(result.baseline):
        return judgement
    message = f"{half.host} had read a part of a message on {late.on} when its time was up, and has lost it: it reads the rest as if that were the next one, "
    message += "while a whole message that is as late does no harm. Keep what has come until all is there, or close the connection"
    found = Finding(HALF_READ, message, half.host, level, entry=half.entry)
    if level == FAILURE:
        return replace(judgement, status=FAILURE, findings=(found, *judgement.findings))
    return replace(judgement, warnings=(*judgement.warnings, found))


def _whole(late: Any, first: int, baseline: Run) -> Stall:
    """As late, from the *first* byte of the message on: a delay counts from what comes before."""
    sent = {
        entry[6]: entry[0]
        for entry in baseline.trace.entries
        if entry[1] == SEGMENT and (entry[3], entry[4]) == (late.on, late.end) and entry[5].startswith("data")
    }
    before_ns = max((at_ns for byte, at_ns in sent.items() if byte < first), default=None)
    pause_ns = 0 if before_ns is None or first not in sent else sent[first] - before_ns
    return Stall(on=late.on, end=late.end, byte=first, seconds=round(late.seconds + pause_ns / 1e9, 6))


def _times_up(run: Run) -> int:
    return sum(1 for _ in elapsed(run))


def _half_read(baseline: Run, run: Run) -> Half | None:
    """What a target had read when its time was up, if it goes on and reads the rest; None if that is not it."""
    if len(run.happened) != 1 or not isinstance(late := run.happened[0], Stall) or late.byte is None:
        return None
    place = late.place
    host = str(place.source if late.end == "client" else place.target)
    edges = next((each.edges for each in baseline.points.streams if (each.place, each.end) == (late.on, late.end)), ())
    first = edges[bisect_right(edges, late.byte) - 1] if edges else late.byte
    if first == late.byte or host not in run.targets or _is_but_cut_elsewhere(baseline, run):
        return None
    read, part = 0, -1
    for index, entry in enumerate(run.trace.entries):
        if entry[1] != CALL or entry[3] != late.on or entry[4] != late.end:
            continue
        arguments, got, _ = entry[7]
        if entry[5] in ENDS:
            return None
        if entry[5] != "recv" or not isinstance(got, bytes) or (arguments[1:] and arguments[1] & MSG_PEEK):
            continue
        read += len(got)
        if read > late.byte:
            return Half(first, host, part) if part >= 0 else None
        if read > first:
            part = index
    return None


def _is_but_cut_elsewhere(baseline: Run, run: Run) -> bool:
    """Is there all that there was, in other pieces? Who hands on what has come by then has lost nothing."""
    return any(
        isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)) and _joined(was) == _joined(now) != b""
        for was, now in values(baseline, run)
    )


def _joined(pieces: Any) -> bytes:
    texts = [each.encode() if isinstance(each, str) else each for each in pieces]
    return b"".join(texts) if all(isinstance(each, bytes) for each in texts) else b""
