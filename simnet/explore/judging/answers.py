"""Whether a late answer was taken for the one to a later question: who has asked goes on, on the connection that it still comes on.

Nobody can say which bytes answer what. But a client that has given up waiting, has asked again on the same connection, and then has
at a later place what the run without faults has at an earlier one, once too often, has mixed them up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simnet.trace import CALL, FAULT, WAKE

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Outcome, Run

__all__ = ["taken_for_the_next"]

LATE = frozenset({"stall"})


def taken_for_the_next(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> tuple[str, int] | None:
    """The connection of a target's on which that has happened in *run*, by a *disruptive* delay and nothing else, and the call by which it asked again."""
    if not disruptive or any(fault.kind not in LATE for fault in disruptive):
        return None
    if not any(_moved_on(*pair) for pair in _lists(baseline.outcome, run.outcome)):
        return None
    return next(_asked_again(run), None)


def _lists(before: Outcome, after: Outcome) -> Iterator[tuple[Sequence[Any], Sequence[Any]]]:
    """What both have in order, and as much of it."""
    values = [(before.returned, after.returned)]
    values += [(was[1], now[1]) for was, now in zip(before.observed, after.observed, strict=False)]
    values.append(([was[1] for was in before.observed], [now[1] for now in after.observed]))
    for was, now in values:
        if isinstance(was, dict) and isinstance(now, dict) and list(was) == list(now):
            was, now = list(was.values()), list(now.values())
        if isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)) and len(was) == len(now):
            yield was, now


def _moved_on(was: Sequence[Any], now: Sequence[Any]) -> bool:
    """Is something of *was* in *now* at a later place, more often than there, or for what is then missing? Not if only the order is another."""
    left = list(was)
    for each in now:
        if each in left:
            left.remove(each)
    if not left:
        return False
    return any(
        each != was[place] and each in [other for other in was[:place] if other != was[place]]
        for place, each in enumerate(now)
    )


def _asked_again(run: Run) -> Iterator[tuple[str, int]]:
    """The connections that a fault is on, and on which a target has sent something after its time was up there; and which call that was."""
    struck = {entry[3] for entry in run.trace.entries if entry[1] == FAULT}
    gave_up: set[str] = set()
    for index, entry in enumerate(run.trace.entries):
        _, kind, host, place, end, op, _, detail = entry
        if kind == WAKE and detail is False and host in run.targets:
            gave_up.add(host)
        elif kind == CALL and op == "send" and end == "client" and place in struck and host in gave_up:
            yield place, index
