"""Whether a run goes on for ever as earlier ones of its sweep have, which were let go on for hours: then it is stopped sooner.

It is the same if its test waits as theirs did, and for a while there were but lines that those had in the end, and nothing else is due before
it would be stopped anyway. What comes of it is counted; who is shown, or is judged in another way than they were, is played in full. Where
those lines have been judged in two ways, by where in its round each was stopped, all are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simnet.scheduling.rounds import LINES_MAX, due_instants, in_a_rush, lines_of

if TYPE_CHECKING:
    from simnet.trace import Entry
    from simnet.wait import Scheduler

__all__ = ["IN_FULL", "Alike"]

IN_FULL = 3  # runs of a sweep that were let go on, before others are not
SOON_NS = 600 * 10**9  # longer than the run without faults: so far nobody is stopped


class Alike:
    """How runs of one sweep ended that had to be ended, and by what they are known."""

    __slots__ = ("due", "early", "ended", "hurried", "judged", "known", "runs", "rushes", "soon_ns")

    def __init__(self, baseline_ns: int) -> None:
        self.soon_ns = baseline_ns + SOON_NS
        # For what the test waited, and the lines of the last look, with what was left in the end.
        self.known: dict[tuple[str, frozenset[Any]], set[Any]] = {}
        # What was said of those that were played in full, the kind of fault first.
        self.judged: set[tuple[Any, ...]] = set()
        self.runs = 0  # that were played in full
        self.rushes = False  # one of them did not pause: then it is no matter how long they last
        self.hurried = self.early = False  # of the run that is played: it may be stopped sooner; it was
        self.due: frozenset[int] | None = None  # at the look before, if that had but their lines
        self.ended: tuple[str, frozenset[Any]] | None = None  # it had to be ended

    def begin(self, kind: str) -> bool:
        """A run under a fault of *kind* begins, after those that were played in full: may it be stopped sooner?"""
        self.due = None
        self.hurried = any(each[0] == kind for each in self.judged)
        return self.hurried

    def in_full(self) -> None:
        """The run begins once more, and may not."""
        self.ended = None
        self.early = self.hurried = False

    def learn(self, said: tuple[Any, ...], left: tuple[Any, ...]) -> None:
        """That is *said* of the run, which had to be ended, and in the end there was *left* so much."""
        ended, early = self.ended, self.early
        self.ended, self.early = None, False
        if ended is None or early:
            return
        self.runs += 1
        if len(ended[1]) <= LINES_MAX:
            self.judged.add(said)
            self.known.setdefault(ended, set()).add(left)

    def note(self, scheduler: Scheduler, begin: int) -> None:
        """The run is ended by what a look has found since *begin*."""
        self.rushes = self.rushes or (scheduler.rounds is not None and scheduler.rounds.rushes)
        self.ended = (_waits(scheduler), frozenset(lines_of(scheduler.trace.entries, begin)))

    def goes_on(self, scheduler: Scheduler, entries: list[Entry], begin: int) -> bool:
        """Is what there is since *begin*, and was at the look before, what those runs had at their end? What was due then and is due still may change it."""
        before, self.due = self.due, None
        body, now_ns = scheduler.body, scheduler.clock.now_ns
        if (
            (now_ns < self.soon_ns and not self.rushes)
            or not body.asleep
            or body.has_deadline
            or body.pending is not None
        ):
            return False
        if not self._are_known(_waits(scheduler), frozenset(lines_of(entries, begin))):
            return False
        self.due = frozenset(each for each in due_instants(scheduler.clock) if each <= scheduler.longest_ns)
        self.early = before is not None and not before & self.due
        if self.early and self.rushes:
            scheduler.rounds = in_a_rush()
        return self.early

    def _are_known(self, waits: str, lines: frozenset[Any]) -> bool:
        """Did others that waited so have these *lines*, and all who had such the same left in the end?"""
        if not any(waits == word and lines <= those for word, those in self.known):
            return False
        shape = _shape(lines)
        ends = [left for (word, those), left in self.known.items() if waits == word and shape <= _shape(those)]
        return len(set().union(*ends)) == 1


def _shape(lines: frozenset[Any]) -> frozenset[Any]:
    """*lines* without what was said, which may be of one message or the next."""
    return frozenset(line[:-1] for line in lines)


def _waits(scheduler: Scheduler) -> str:
    waiting = scheduler.body.waiting
    return waiting[0] if waiting is not None else ""
