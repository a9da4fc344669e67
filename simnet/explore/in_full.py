"""Runs of a sweep that go on for ever, as many others have before: stopped early, and played in full only where they may tell anything new.

The first few that hang, or storm, at one line are seen to their end; so is whichever is to be shown of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simnet.explore.gone import STORM_NS, only_storms
from simnet.explore.half_read import if_halves_are_lost
from simnet.explore.pairs import PAIRS
from simnet.explore.shrink import judged
from simnet.explore.strangers import unless_it_means_to
from simnet.faults.hosts import Strangers
from simnet.run import LONGER_NS
from simnet.scheduling.alike import IN_FULL, Alike

if TYPE_CHECKING:
    from simnet.explore.judging.verdict import Judgement
    from simnet.explore.options import SweepOptions
    from simnet.explore.result import Failure, SweepResult
    from simnet.faults.plan import FaultPlan
    from simnet.run import Run

__all__ = ["HANGS_IN_FULL", "hangs_otherwise", "in_a_hurry", "kind_of", "played", "shows_it_better"]

# Runs that make their calls for nothing, or connect in vain, to the end; whoever does so at the same line is stopped sooner.
HANGS_IN_FULL = 3
ENDLESS = ("Hang", "no-spin")  # names of verdicts: loops that do not end by themselves


def played(
    test: Callable[[Any], object],
    plan: FaultPlan,
    options: SweepOptions,
    result: SweepResult,
    alike: Alike,
    *,
    chosen: bool,
) -> tuple[Run, Judgement]:
    """A run under *plan*, judged: stopped early where many others have gone on for ever, and once more in full if it tells anything new."""
    hurried = (alike.runs >= IN_FULL and alike.begin(kind_of(plan))) or in_a_hurry(result)
    longer_ns = STORM_NS if chosen and only_storms(plan) else LONGER_NS
    run, judgement = judged(test, plan, result.baseline, options, hurried=hurried, longer_ns=longer_ns, alike=alike)
    if hurried and (
        hangs_otherwise(run, judgement, result, plan) or _goes_on_otherwise(alike, run, judgement, result, plan)
    ):
        alike.in_full()
        run, judgement = judged(test, plan, result.baseline, options, longer_ns=longer_ns, alike=alike)
    if alike.ended is not None:
        alike.learn(_said(kind_of(plan), run, judgement), _left(run))
    judgement = unless_it_means_to(test, run, judgement, result.baseline, options)
    return run, if_halves_are_lost(test, run, judgement, result, options)


def in_a_hurry(result: SweepResult) -> bool:
    """Have so many runs hung at one line, or stormed, that the next one need not be played in full?"""
    return any(each.count >= HANGS_IN_FULL and _is_endless(each.run) for each in result.failures)


def _is_endless(run: Run) -> bool:
    return any(verdict.name in ENDLESS for verdict in run.verdicts)


def hangs_otherwise(run: Run, judgement: Judgement, result: SweepResult, plan: FaultPlan | None = None) -> bool:
    """Has *run* been stopped though it might have gone on: not where others hang, or storm, or is it, of *plan*, the one to be shown of them?"""
    if not _is_endless(run):
        return False
    known = result.known(judgement)
    if known is None or not _is_endless(known.run):
        return True
    return plan is not None and shows_it_better(run, judgement, plan, known)


def _goes_on_otherwise(alike: Alike, run: Run, judgement: Judgement, result: SweepResult, plan: FaultPlan) -> bool:
    """Has *run* been stopped though no other that went on for ever is judged as it is, or is it, of *plan*, the one to be shown?"""
    if not alike.early:
        return False
    if run.unreached or _said(kind_of(plan), run, judgement) not in alike.judged:
        return True
    known = result.known(judgement)
    return known is not None and shows_it_better(run, judgement, plan, known)


def _left(run: Run) -> tuple[Any, ...]:
    """What was left of *run* in the end, which may be chance where it was stopped in the midst of something."""
    return (*sorted({(each.name, each.host) for each in run.verdicts}), *run.listening, len(run.alive))


def _said(kind: str, run: Run, judgement: Judgement) -> tuple[Any, ...]:
    """What a sweep counts, and lists, of a run under a fault of *kind*."""
    return (
        kind,
        judgement.status,
        judgement.disruptive,
        bool(run.unreached),
        tuple((each.key, each.level) for each in judgement.findings),
        tuple((each.reason, each.at or each.message) for each in judgement.warnings),
    )


def shows_it_better(run: Run, judgement: Judgement, plan: FaultPlan, failure: Failure) -> bool:
    """Does *run* show *failure* better than the one that is kept?

    By a fault that was reached; by one that every program has to live with; by one that takes no time, or that real sockets can show;
    by one on the test's own connections, of which a reader sees all.
    """
    if run.unreached:
        return False
    if failure.run.unreached:
        return True
    if failure.judgement.disruptive != judgement.disruptive:
        return failure.judgement.disruptive
    return (_lateness(plan), _is_a_crowd(plan)) < (_lateness(failure.plan), _is_a_crowd(failure.plan))


def _is_a_crowd(plan: FaultPlan) -> bool:
    return any(isinstance(fault, Strangers) for fault in plan)


def _lateness(plan: FaultPlan) -> int:
    """0 if its faults take no time; 1 if one is a delay; 2 if a buffer stays full, which no real kernel does when it is asked to."""
    return max((fault.late + (fault.late and not fault.delays) for fault in plan), default=0)


def kind_of(plan: FaultPlan) -> str:
    """Under which name a sweep counts the run."""
    return plan[0].kind if len(plan) == 1 else PAIRS
