"""A plan played again for a person: the run without faults in silence, the one that matters with its output, if wanted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.explore.quiet import quiet
from simnet.explore.replay import OnRecord, Replayed, replay
from simnet.faces.refusals import Refused
from simnet.faults.plan import FaultPlan
from simnet.run import play

__all__ = ["play_again"]


def play_again(
    test: Callable[[Any], object],
    plan: FaultPlan,
    options: SweepOptions,
    record: OnRecord,
    *,
    real: bool = False,
    seconds: float | None = None,
    heard: bool = True,
) -> Replayed:
    """Play *plan*, on simnet or on real sockets, where a run may take *seconds*; what its programs print is *heard*, or not."""
    aloud = contextlib.nullcontext() if heard else quiet()
    options = options.under(plan)
    if real:
        from simnet.explore.replay_real import replay_real
        from simnet.realnet import play_real
        from simnet.realnet.classes import SECONDS, refuse_what_no_kernel_shows, seconds_of_a_run

        try:
            allowed = SECONDS if seconds is None else seconds_of_a_run(seconds)
            refuse_what_no_kernel_shows(plan, allowed)
        except ValueError as error:
            raise Refused(str(error)) from error
        with quiet():
            without = play_real(test, FaultPlan((), plan.schedule, plan.seed), seconds=allowed, **options.playing)
        with aloud:
            return replay_real(test, plan, options=options, record=record, baseline=without, seconds=allowed)
    with quiet():
        baseline = play(test, FaultPlan((), plan.schedule, plan.seed), **options.playing)
    with aloud:
        return replay(test, plan, options=options, record=record, baseline=baseline)
