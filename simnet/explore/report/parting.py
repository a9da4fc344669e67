"""Where in the user's code a run went another way: the line that made the target's first call with another result, or another call.

What dispatch reads by itself is its channel's, whose handler gets it. What another event loop reads and writes by itself is
nobody's: then it is the first such call that a line of the user's has made. No run notes who makes which call; one that is to be
reported is played once more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from simnet.blame import NOWHERE, UserPlace
from simnet.explore.judging.table import BOUNDS
from simnet.explore.judging.verdict import Judgement
from simnet.explore.options import SweepOptions
from simnet.explore.quiet import quiet
from simnet.faults.transparent import Preempt
from simnet.run import Run, play
from simnet.tls.sealed import sealed
from simnet.trace import CALL, Entry
from simnet.whereabouts import handler_of, place_of, users_call

if TYPE_CHECKING:
    from types import CodeType

    from simnet.explore.result import Warned

__all__ = ["BETWEEN_LINES", "find_lines", "look_where_it_parts"]


# What to say of a failure by a thread that stood still.
BETWEEN_LINES = (
    "threads are stopped at any line, and others go on: what another one needs, such as to know who waits for the answer, "
    "is to be done before that line, and what must stay together is done by all under one lock"
)


class Watched(list[Entry]):
    """The entries of a trace, some of which are of interest: by which instruction of the user's the first of *those* was made."""

    def __init__(self, entries: list[Entry], those: Collection[int]) -> None:
        super().__init__(entries)
        self.those = those
        self.made_by: tuple[CodeType, int] | None = None

    def append(self, entry: Entry, /) -> None:
        """One more."""
        if self.made_by is None and len(self) in self.those:
            frame = sys._getframe(1)
            self.made_by = users_call(frame) or (handler_of(frame) if entry[5] == "recv" else None)
        super().append(entry)


def look_where_it_parts(
    test: Callable[[Any], object], run: Run, judgement: Judgement, baseline: Run, options: SweepOptions
) -> None:
    """Find ``run.parts_at``, of a failure under a plan."""
    known = judgement.failure is not None and judgement.failure.reason in BOUNDS  # where it stood, when it was stopped
    those = _other_calls(run, baseline) if run.plan and not known else ()
    if those:
        run.parts_at = _maker(test, run, those, baseline, options)


def find_lines(
    test: Callable[[Any], object], run: Run, new: list[tuple[Warned, int | None]], baseline: Run, options: SweepOptions
) -> None:
    """Find the lines of what *run* warns of for the first time: of the user's code, if it made those calls of the trace."""
    for warned, entry in new:
        if entry is not None:
            warned.at = _maker(test, run, (entry,), baseline, options).short


def _maker(
    test: Callable[[Any], object], run: Run, those: Collection[int], baseline: Run, options: SweepOptions
) -> UserPlace:
    """The line that made the first of *those* calls of *run*, which is played once more; nowhere if it was not the user's own."""
    entries: list[Watched] = []

    def watched(net: Any) -> object:
        entries.append(Watched(net.trace.entries, those))
        net.trace.entries = entries[0]
        return test(net)

    with quiet(stops=False):  # it has been heard, if it was to be
        again = play(watched, run.plan or run.happened, baseline=baseline, **options.playing)
    if entries and entries[0].made_by is not None and again.digest == run.digest:
        return place_of(entries[0].made_by)
    return NOWHERE


def _other_calls(run: Run, baseline: Run) -> Collection[int]:
    """The indices of the calls of targets that the baseline has not, or not with this result; or of that behind which a thread stood still."""
    if len(run.happened) == 1 and isinstance(fault := run.happened[0], Preempt):
        place, end, op, n = str(fault.place), fault.end, fault.op, fault.call
        for index, entry in enumerate(run.trace.entries):
            if entry[1] == CALL and entry[3:7] == (place, end, op, n):
                return (index,)
    parting = baseline.trace.first_difference(run.trace)
    if parting is None:
        return ()
    before = {entry[2:7]: entry[7] for entry in sealed(baseline.trace.entries) if entry[1] == CALL}
    return frozenset(
        index
        for index, entry in enumerate(sealed(run.trace.entries))
        if index >= parting and entry[1] == CALL and entry[2] in run.targets and before.get(entry[2:7]) != entry[7]
    )
