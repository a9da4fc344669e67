"""The time-outs that elapsed in a run: who had them, and whether one is the same as in another run.

It is, if as much had come to its host by then, and it was waited for as long. A deadline over all that a program does cuts short a pause that it makes
anyway; and who closes a connection then, or ends, where it went on without the fault, has given up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from simnet.faults.hosts import BODY
from simnet.trace import CALL, PROCESS, SEGMENT, WAKE

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["Elapsed", "elapsed"]

SLEEP = "time to pass"  # what who sleeps waits for
# That something may be late, and a wait so much shorter since it has begun later, or was divided.
A_MOMENT_NS = 50_000_000
ROUNDED_NS = 5_000_000  # a millisecond that a poll rounds, and those that a link takes


class Elapsed(NamedTuple):
    """One time-out."""

    entry: int  # where in the trace
    who: tuple[str, str, int]  # had it, waiting for what, and how much had come to its host by then
    waited_ns: int
    gives_up: bool

    def is_as(self, usual: Elapsed, late_ns: int) -> bool:
        """Is it the one that elapses without the fault as well, which is *usual*, when something is so *late*?"""
        shorter_ns = A_MOMENT_NS if late_ns <= A_MOMENT_NS else ROUNDED_NS
        return self.waited_ns + shorter_ns >= usual.waited_ns and (usual.gives_up or not self.gives_up)


def elapsed(run: Run, asleep: Collection[str] = ()) -> Iterator[Elapsed]:
    """The time-outs that elapsed, but for those of who just sleeps, on the hosts *asleep*.

    Who gives up before anything has come does not meet the deadline that passes, without the fault, when all is done.
    """
    entries, waited = run.trace.entries, run.trace.waited
    came: Counter[str] = Counter()  # bytes and connections, by host
    woke_ns: dict[str, int] = {}
    for index, entry in enumerate(entries):
        at_ns, kind, host, name, _, op, _, detail = entry
        if kind == CALL and op == "recv" and isinstance(detail[1], bytes):
            came[host] += len(detail[1])  # however many calls it took: what is late arrives in more pieces
        elif kind == CALL and op == "accept" and isinstance(detail[1], tuple):
            came[host] += 1
        elif kind == WAKE:
            since_ns, woke_ns[name] = woke_ns.get(name, 0), at_ns
            if detail is False and not ((op == SLEEP and host in asleep) or _slept_again(run, index)):
                waited_ns = waited.get((at_ns, name), at_ns - since_ns)
                yield Elapsed(index, (name, op, came[host]), waited_ns, _gives_up(run, index))


def _gives_up(run: Run, index: int) -> bool:
    """Does who woke there close a connection before anything else wakes, or end?"""
    at_ns, _, host, name, *_ = run.trace.entries[index]
    for entry in islice(run.trace.entries, index + 1, None):
        if entry[0] != at_ns or entry[1] == WAKE:
            return False
        if entry[1] == PROCESS and entry[3] == name:
            return entry[5] == "end" and name not in run.alive
        if entry[1] == CALL and entry[2] == host and entry[5] == "close" and "#" in entry[3]:
            return True
    return False


def _slept_again(run: Run, index: int) -> bool:
    """Whether who woke there found nothing in its poll and polled again: a heart beats so, and nobody gave up anything.

    A task of trio's that stands elsewhere then may have given up without a call.
    """
    if index in run.trace.moved:
        return False
    _, _, host, name, *_ = run.trace.entries[index]
    polled = False
    for entry in islice(run.trace.entries, index + 1, None):
        kind = entry[1]
        if kind == SEGMENT:
            continue  # what others sent before
        if not polled:
            polled = kind == CALL and entry[5] == "poll" and not entry[7][1]
            if not polled:
                return False
        elif kind == PROCESS and entry[5] == "end":  # its own, or all end since the run is over
            if name != BODY:
                return entry[3] != name or name in run.alive
        elif entry[2] == host:  # others wake, too, while it sleeps
            return kind == WAKE
    return polled and name != BODY  # of which no end is on record
