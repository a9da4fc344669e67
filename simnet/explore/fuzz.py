"""Random faults, seed after seed: for bugs that need several at once, in places that no sweep would pair.

Each seed draws a subset of the kinds and a rate for each. What happened in a run that fails is a plan like any other, which is shrunk
and replayed without rates. A seed determines the run, so that a stopped fuzz can be resumed, and seeds can be shared.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from simnet import watchdog
from simnet.explore.baseline import begun
from simnet.explore.in_full import hangs_otherwise, in_a_hurry
from simnet.explore.options import SweepOptions
from simnet.explore.points import families
from simnet.explore.progress import Progress, Stopwatch
from simnet.explore.result import FIRST_FAILURE, KindRow, SweepResult
from simnet.explore.shrink import judged
from simnet.explore.sweep import (
    RUNS_A_COLLECTION,
    count,
    frozen_heap,
    look_for_targets,
    look_where_they_part,
    make_small,
    nothing,
    take_warnings,
)
from simnet.faults.kinds import KINDS, drawn
from simnet.faults.rates import FaultRates
from simnet.files.dropped import each_told_once
from simnet.standins import interrupts

__all__ = ["run_fuzz"]


def run_fuzz(
    test: Callable[[Any], object],
    options: SweepOptions | None = None,
    *,
    seeds: range = range(1000),
    name: str = "",
    progress: Progress | None = None,
) -> SweepResult:
    """Run *test* under the faults of each of the *seeds*. Ctrl-C ends it with what was found so far.

    Raises:
        NotRepeatable: two runs without faults differ.
        NothingToTest: no fault of these kinds can act on this test.
        KeyboardInterrupt: Ctrl-C before there was anything to compare with.
    """
    if options is None:
        options = SweepOptions()
    watch = Stopwatch()
    with frozen_heap(), interrupts.series() as rang, watchdog.series(), each_told_once():
        result = begun(test, options, name, watch)
        result.by = "fuzz"
        result.planned = len(seeds)
        result.budget_line = f"of seeds {seeds.start:,} to {seeds.stop - 1:,}"
        if result.failures:
            return result
        look_for_targets(result)
        if not families(result.baseline.points, result.baseline.targets, options.kinds):
            raise nothing(result.baseline, options)
        try:
            try:
                _run_all(test, seeds, options, result, progress)
            finally:
                result.simulations += result.runs
                result.seconds = watch.seconds
            if options.shrink:
                make_small(test, result)
            look_where_they_part(test, result)
        except KeyboardInterrupt:
            result.stop(*rang[:1])
    return result


def _run_all(
    test: Callable[[Any], object],
    seeds: range,
    options: SweepOptions,
    result: SweepResult,
    progress: Progress | None,
) -> None:
    kinds = options.kinds or tuple(name for name in KINDS if drawn(name))
    for seed in seeds:
        rates = FaultRates.swarm(seed, kinds)
        hurried = in_a_hurry(result)
        run, judgement = judged(test, None, result.baseline, options, rates=rates, hurried=hurried)
        if hurried and hangs_otherwise(run, judgement, result):
            run, judgement = judged(test, None, result.baseline, options, rates=rates)
        result.runs += 1
        if result.runs % RUNS_A_COLLECTION == 0:
            gc.collect(1)
        plan = run.happened
        count(result, KindRow(""), run, judgement)
        take_warnings(test, run, judgement, plan, result)
        failure, _ = result.failure_of(run, judgement, plan)
        if failure is not None:
            failure.count += 1
            for kind in dict.fromkeys(fault.kind for fault in plan):
                failure.kinds[kind] = failure.kinds.get(kind, 0) + 1
        if progress is not None:
            progress(result.runs, len(seeds), len(result.failures))
        if failure is not None and options.first:
            result.stopped = FIRST_FAILURE
            return
