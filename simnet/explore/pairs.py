"""Two faults in one run: after a first one that did no harm, each that can act in what it made of the run.

A program may cope with a short read, and with a reset, but not with a reset in the middle of what the short read left to do. So the
second fault is looked for in the run with the first, whose points differ from the baseline's, and after it: what comes
before it is the same pair, found from its other end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from math import gcd
from typing import TYPE_CHECKING, Any, Final

from simnet.explore.options import RECOVERY, SweepOptions
from simnet.explore.points import EDGES, families
from simnet.faults.plan import FaultPlan
from simnet.points.reading import Points
from simnet.run import play
from simnet.trace import FAULT, Trace

if TYPE_CHECKING:
    from simnet.explore.result import KindRow
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["PAIRS", "pairs_after"]

PAIRS: Final = "two faults"  # the row of a sweep's table that counts them
STRIDE: Final = 0.618  # of all that could be second, how far on the next first begins: few runs see many of them


def pairs_after(
    test: Callable[[Any], object],
    firsts: Sequence[Fault],
    baseline: Run,
    options: SweepOptions,
    budget: int,
    row: KindRow,
) -> Iterator[FaultPlan]:
    """At most *budget* plans of two faults, evenly spread over *firsts* and over what can follow each; none comes twice.

    *row* is told of how many firsts, and how many pairs there would have been. Byte faults are tried at the edges of writes
    and segments alone.
    """
    targets = baseline.targets
    known = _lines(baseline.points, targets, options.kinds) if options.depth == RECOVERY else set()
    chosen = firsts if budget >= len(firsts) else [firsts[i * len(firsts) // budget] for i in range(budget)]
    pairs = _Pairs()
    begin, first_time = 0.0, True
    while chosen:
        cut = []  # those that others left no share for all that can follow them
        for index, first in enumerate(chosen):
            if not budget:
                return  # one of few firsts may have taken what the last would have had
            run = play(test, FaultPlan((first,)), baseline=baseline, **options.playing)
            passed = known | _lines(_before_the_fault(run), targets, options.kinds)
            seconds = [
                each
                for each in _at(run.points, targets, options.kinds)
                if each.anchor != first.anchor and str(each) not in passed
            ]
            share = -(-budget // (len(chosen) - index))
            if first_time:
                row.points += 1
                row.variants += sum(pairs.is_new(first, second) for second in seconds)
            begin += STRIDE
            for second in _spread(seconds, begin):
                if pairs.was_tried(first, second):
                    continue
                if share == 0:
                    cut.append(first)
                    break
                pairs.try_it(first, second)
                share -= 1
                budget -= 1
                yield FaultPlan((first, second))
        chosen, first_time = cut, False


class _Pairs:
    """Which pairs there are and which were tried, each the same from both of its ends."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of faults, as many pairs have them
        self._there: set[tuple[int, int]] = set()
        self._tried: set[tuple[int, int]] = set()

    def _key(self, first: Fault, second: Fault) -> tuple[int, int]:
        one, other = (self._numbers.setdefault(str(each), len(self._numbers)) for each in (first, second))
        return (one, other) if one < other else (other, one)

    def is_new(self, first: Fault, second: Fault) -> bool:
        """Whether nobody has asked this of the pair before."""
        before = len(self._there)
        self._there.add(self._key(first, second))
        return len(self._there) > before

    def was_tried(self, first: Fault, second: Fault) -> bool:
        return self._key(first, second) in self._tried

    def try_it(self, first: Fault, second: Fault) -> None:
        self._tried.add(self._key(first, second))


def _before_the_fault(run: Run) -> Points:
    entries = run.trace.entries
    trace = Trace()
    trace.entries = entries[: next((index for index, entry in enumerate(entries) if entry[1] == FAULT), 0)]
    return Points.of(trace, run.targets)


def _lines(points: Points, targets: Collection[str], kinds: Sequence[str] | None) -> set[str]:
    return {str(fault) for fault in _at(points, targets, kinds)}


def _at(points: Points, targets: Collection[str], kinds: Sequence[str] | None) -> list[Fault]:
    found = [family for family in families(points, targets, kinds) if family.rank <= EDGES]
    return [family.make(index) for family in found for index in range(family.size)]


def _spread(several: Sequence[Fault], begin: float) -> Iterator[Fault]:
    """All of *several*, once each, beginning somewhere, each far from the one before."""
    size = len(several)
    step = max(1, round(size * STRIDE))
    while size and gcd(step, size) > 1:
        step += 1
    at = int(begin * size)
    for number in range(size):
        yield several[(at + number * step) % size]
