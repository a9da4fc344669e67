"""Another outcome under a disruptive fault is noted, and no more: unless the run shows by which mistake it came about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from simnet.explore.judging.answers import taken_for_the_next
from simnet.explore.judging.asked_again import answered_otherwise
from simnet.explore.judging.connected_anew import does_less_than_before
from simnet.explore.judging.cut_short import taken_for_whole
from simnet.explore.judging.given_up import goes_on_with_the_broken, goes_on_with_the_closed
from simnet.explore.judging.healed import of_no_use
from simnet.explore.judging.patient import waited_for_the_kernel
from simnet.explore.judging.said_twice import said_twice
from simnet.explore.judging.table import OFF, WARNING
from simnet.faults.hosts import BODY, Pause
from simnet.invariants import (
    ANSWERED_AGAIN,
    ANSWERS_TOLD_APART,
    BROKEN_GIVEN_UP,
    CONNECTED_ANEW,
    CUT_SHORT,
    DATAGRAMS_TOLD_APART,
    SAID_ONCE,
    WAITS_FOR_EVER,
)
from simnet.trace import SEGMENT

if TYPE_CHECKING:
    from simnet.explore.judging.findings import Case, Finding
    from simnet.faults.kinds import Fault

__all__ = ["otherwise", "taken_for_another"]

SHOWN = 40  # bytes
OPENER = "client"
DATAGRAM = "datagram"  # as the trace calls its segment


class Look(Protocol):
    """What is looked for in a run with another outcome."""

    def __call__(self, case: Case) -> tuple[str, str, int | None] | None:
        """Whose it is, what is said of it, and the call, if the trace has it; None if it is not there."""


def otherwise(case: Case) -> Iterator[Finding]:
    """Those mistakes that *case* shows."""
    looks: tuple[tuple[str, Look], ...] = (
        (ANSWERS_TOLD_APART, _answered_late),
        (ANSWERED_AGAIN, _of_no_use),
        (BROKEN_GIVEN_UP, _goes_on_with_the_broken),
        (BROKEN_GIVEN_UP, _goes_on_with_the_closed),
        (CONNECTED_ANEW, _does_less_than_before),
        (SAID_ONCE, _said_twice),
        (CUT_SHORT, _taken_for_whole),
        (DATAGRAMS_TOLD_APART, _answered_otherwise),
        (WAITS_FOR_EVER, _waited_for_the_kernel),
    )
    for name, look in looks:
        level = case.invariants.get(name, WARNING)
        seen = None if level == OFF else look(case)
        if seen is not None:
            host, message, entry = seen
            # Of a warning the line is that of the call, and not that of the test's assertion.
            error = case.run.body_error if host == BODY and level != WARNING else None
            yield replace(case.found(name, message, host, error, level), entry=entry)
            if name == ANSWERS_TOLD_APART:
                return  # what follows from it


def taken_for_another(case: Case) -> Finding:
    """Another outcome by what loses nothing."""
    level = case.invariants.get(DATAGRAMS_TOLD_APART, WARNING)
    kinds = list(dict.fromkeys(fault.kind for fault in case.disruptive))
    message = f"the outcome is another under {' and '.join(kinds)}, though nothing is lost by it: is "
    if all(_answered(case, fault) for fault in case.disruptive):
        message += "a second answer to one question taken for the answer to the next?"
    else:
        message += "what comes a second time, or late, taken for something new? By a number in each it is known."
    if level == WARNING:
        message += f" survives={kinds!r} makes a failure of that"
    return case.found(DATAGRAMS_TOLD_APART, message, BODY, case.run.body_error, level)


def _answered(case: Case, fault: Fault) -> bool:
    """Does anybody answer, in the run without faults, what goes where *fault* acts, or is that an answer itself?"""
    here, back = str(fault.place), f"{fault.place.target}->{fault.place.source}:"
    return any(
        entry[1] == SEGMENT and entry[5] == DATAGRAM and entry[3].startswith(back) and entry[3] != here
        for entry in case.baseline.trace.entries
    )


def _answered_late(case: Case) -> tuple[str, str, int] | None:
    """An answer to what was asked before."""
    taken = taken_for_the_next(case.baseline, case.run, case.disruptive)
    if taken is None:
        return None
    return BODY, f"on {taken.place} {taken.what}: after its time-out the client goes on there", taken.entry


def _of_no_use(case: Case) -> tuple[str, str, int] | None:
    """A connection that is whole, on which nobody gets an answer any more."""
    healed = of_no_use(case.baseline, case.run, case.disruptive)
    if healed is None:
        return None
    message = f"what came late on {healed.place} has long come, and the connection is whole; but {healed.host} {healed.what}: give back what "
    return (
        healed.host,
        f"{message}belongs to an answer for which nobody waits any more, or close it and connect anew",
        healed.entry,
    )


def _goes_on_with_the_broken(case: Case) -> tuple[str, str, int] | None:
    """What is said goes to a connection that is known to be broken."""
    broken = goes_on_with_the_broken(case.baseline, case.run)
    if broken is None:
        return None
    place, entry = broken
    _, _, host, _, end, *_ = case.run.trace.entries[entry]
    message = f"{host} goes on with {place} after it has been told that it is broken, or has ended, and is told so again and again: "
    return host, f"{message}close it{', and connect anew' if end == OPENER else ''}", entry


def _goes_on_with_the_closed(case: Case) -> tuple[str, str, None] | None:
    """What is said goes to a socket that has been closed."""
    closed = goes_on_with_the_closed(case.baseline, case.run)
    if closed is None:
        return None
    host, where = closed
    message = f"{host} sends, at {where}, on a socket that it has closed itself, again and again (EBADF): forget it where it is closed, and connect"
    return host, f"{message} anew for what is to be said next", None


def _does_less_than_before(case: Case) -> tuple[str, str, int] | None:
    """What was said on a connection that broke is not said on the one in its place. Whose host stands still tells nobody anything, whatever is said."""
    if any(isinstance(fault, Pause) for fault in case.disruptive):
        return None
    anew = does_less_than_before(case.baseline, case.run)
    return (
        None if anew is None else (anew.host, f"{anew.host} has connected anew ({anew.place}), {anew.what}", anew.entry)
    )


def _said_twice(case: Case) -> tuple[str, str, int] | None:
    """What a server had heard, and answered, is said again."""
    twice = said_twice(case.baseline, case.run, case.disruptive)
    if twice is None:
        return None
    said = twice.said if len(twice.said) <= SHOWN else twice.said[:SHOWN] + b"..."
    message = f"{twice.host} says {said!r} again on {twice.place}: on {twice.ended} it has been heard, and answered, though not all of "
    return twice.host, f"{message}the answer came. Ask again only for what may be done twice", twice.entry


def _taken_for_whole(case: Case) -> tuple[str, str, int] | None:
    """The beginning of a message, whose rest is lost."""
    cut = taken_for_whole(case.baseline, case.run, case.disruptive)
    if cut is None:
        return None
    message = f"{cut.host} takes the beginning of a message for all of it: the input of {cut.place} ended in its midst, and nobody is told. Look whether "
    message += "all has come that belongs to it, by its length or by the mark at its end, and raise if not"
    return cut.host, message, cut.entry


def _answered_otherwise(case: Case) -> tuple[str, str, int] | None:
    """A question that is asked again is answered otherwise."""
    other = answered_otherwise(case.baseline, case.run, case.disruptive)
    if other is None:
        return None
    message = f"a datagram was lost, and so a question came once more at {other.place}, in the same bytes: {other.host} answers it otherwise. "
    return other.host, f"{message}Go by what it says, and keep what was answered", other.entry


def _waited_for_the_kernel(case: Case) -> tuple[str, str, int] | None:
    """A peer has fallen silent, and nobody but the kernel has noticed."""
    patient = waited_for_the_kernel(case.baseline, case.run, case.disruptive)
    if patient is None:
        return None
    message = f"{patient.host} waited more than ten minutes for what does not come on {patient.place}, until its kernel gave up: "
    return (
        patient.host,
        f"{message}give what it waits for a time-out, or look, some time after a ping, whether anything has come",
        patient.entry,
    )
