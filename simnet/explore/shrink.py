"""From a plan that fails to the smallest one that fails in the same way.

Greedy: the boldest of the simpler plans that still shows the failure is the next to start from. *The same way* is the
failure's key (reason, exception, line of the user's code), so that shrinking never slips from one bug to another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simnet.explore.judging.verdict import Judgement, judge
from simnet.explore.options import SweepOptions
from simnet.faults.plan import FaultPlan
from simnet.faults.simpler import simpler_plans
from simnet.run import play

if TYPE_CHECKING:
    from simnet.faults.rates import FaultRates
    from simnet.run import Run

__all__ = ["PLAYS_MAX", "Shrunk", "judged", "shrink", "with_verdict"]

PLAYS_MAX = 200  # a tenth of a sweep's budget; a single fault needs a dozen


@dataclass(slots=True)
class Shrunk:
    """The smallest plan that was found, and what it does."""

    plan: FaultPlan
    run: Run
    judgement: Judgement
    plays: int


def judged(
    test: Callable[[Any], object],
    plan: FaultPlan | None,
    baseline: Run,
    options: SweepOptions,
    *,
    rates: FaultRates | None = None,
    **playing: Any,
) -> tuple[Run, Judgement]:
    """One run of *test* under *plan*, or one that *rates* make while it goes, and the verdict on it.

    *playing* is handed to ``play`` besides what the *options* say.
    """
    # The run is no local of this frame, which its exception's traceback refers to: it goes with its last reference.
    return with_verdict(
        play(test, plan, rates=rates, baseline=baseline, **options.playing, **playing), baseline, options
    )


def with_verdict(run: Run, baseline: Run, options: SweepOptions) -> tuple[Run, Judgement]:
    """*run*, and what the table says of it."""
    judgement = judge(
        baseline,
        run,
        strict=options.strict,
        may_raise=options.may_raise,
        survives=options.survives,
        invariants=options.invariants,
    )
    return run, judgement


def shrink(
    test: Callable[[Any], object],
    start: Shrunk,
    baseline: Run,
    options: SweepOptions,
    *,
    plays: int = PLAYS_MAX,
) -> Shrunk:
    """The smallest plan within *plays* runs that fails as *start* does, of whose schedule and seed the *baseline* is; *start* itself if there is none."""
    key = start.judgement.key
    assert key is not None, "only a failure can be shrunk"
    best, tried = start, {start.plan}
    without = {_order(start.plan): baseline}
    spent = 0
    smaller = True
    while smaller:
        smaller = False
        for plan in simpler_plans(best.plan):
            if not plan or plan in tried:  # of no plan the baseline tells
                continue
            if spent >= plays:
                break
            tried.add(plan)
            spent += 1
            order, its = _order(plan), options.under(plan)
            if order not in without:  # beside a run of another seed any plan may have another outcome
                without[order] = play(test, order, **its.playing)
            run, judgement = judged(test, plan, without[order], its)
            # A plan of which a part was never reached says something that is not so.
            if judgement.key == key and not run.unreached:
                best = Shrunk(plan, run, judgement, 0)
                smaller = True
                break
    best.plays = start.plays + spent
    return best


def _order(plan: FaultPlan) -> FaultPlan:
    """The schedule and the seed of *plan*, without its faults."""
    return FaultPlan((), plan.schedule, plan.seed)
