"""Whether a run goes on for ever as earlier ones of its sweep have, which were let go on for hours: then it is stopped sooner.

It is the same if its test waits as theirs did, and for a while there were but lines that those had in the end, and nothing else is due before
it would be stopped anyway. What comes of it is counted; who is shown, or is judged in another way than they were, is played in full. Where
those lines have been judged in two ways, by where in its round each was stopped, all are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simnet.scheduling.rounds import LINES_MAX, due_instants, lines_of

if TYPE_CHECKING:
    from simnet.trace import Entry
    from simnet.wait import Scheduler

__all__ = ["IN_FULL", "Alike"]

IN_FULL = 3  # runs of a sweep that were let go on, before others are not
SOON_NS = 600 * 10**9  # longer than the run without faults: so far nobody is stopped


class Alike:
    """How runs of one sweep ended that had to be ended, and by what they are known."""

    __slots__ = ("early", "ended", "hurried", "judged", "known", "runs", "soon_ns")

    def __init__(self, baseline_ns: int) -> None:
        self.soon_ns = baseline_ns + SOON_NS
        # For what the test waited, and the lines of the last look, with what was left in the end.
        self.known: dict[tuple[str, frozenset[Any]], set[Any]] = {}
        self.judged: set[tuple[Any, ...]] = (
            set()
        )  # what was said of those that were played in full, the kind of fault first
        self.runs = 0  # that were played in full
        self.hurried = self.early = False  # of the run that is played: it may be stopped sooner; it was
        self.ended: tuple[str, frozenset[Any]] | None = None  # it had to be ended

    def begin(self, kind: str) -> bool:
        """A run under a fault of *kind* begins: may it be stopped sooner?"""
        self.ended, self.early = None, False
        self.hurried = self.runs >= IN_FULL and any(each[0] == kind for each in self.judged)
        return self.hurried

    def in_full(self) -> None:
        """The run begins once more, and may not."""
        self.ended, self.early, self.hurried = None, False, False

    def learn(self, said: tuple[Any, ...], left: tuple[Any, ...]) -> None:
        """That is *said* of the run, which has been played, and in the end there was *left* so much."""
        if self.ended is None or self.early:
            return
        self.runs += 1
        if len(self.ended[1]) <= LINES_MAX:
            self.judged.add(said)
            self.known.setdefault(self.ended, set()).add(left)

    def note(self, scheduler: Scheduler, begin: int) -> None:
        """The run is ended by what a look has found since *begin*."""
        self.ended = (_waits(scheduler), frozenset(lines_of(scheduler.trace.entries, begin)))

    def goes_on(self, scheduler: Scheduler, entries: list[Entry], begin: int) -> bool:
        """Is what there is since *begin* what those runs had at their end?"""
        now_ns = scheduler.clock.now_ns
        body = scheduler.body
        if now_ns < self.soon_ns or not body.asleep or body.has_deadline or body.pending is not None:
            return False
        lines, waits = frozenset(lines_of(entries, begin)), _waits(scheduler)
        if not any(waits == word and lines <= those for word, those in self.known):
            return False
        shape = _shape(lines)
        ends = [left for (word, those), left in self.known.items() if waits == word and shape <= _shape(those)]
        if len(set().union(*ends)) > 1:
            return False
        soon_ns = 2 * now_ns - entries[begin][0]  # as long again: what is due then belongs to these rounds
        if any(soon_ns < instant <= scheduler.longest_ns for instant in due_instants(scheduler.clock)):
            return False
        self.early = True
        return True


def _shape(lines: frozenset[Any]) -> frozenset[Any]:
    """*lines* without what was said, which may be of one message or the next."""
    return frozenset(line[:-1] for line in lines)


def _waits(scheduler: Scheduler) -> str:
    waiting = scheduler.body.waiting
    return waiting[0] if waiting is not None else ""
