"""One plan on this machine's own sockets, and the kernel's part in the result.

The test is played there without faults first: what it does on real sockets, with real time, is what the plan's run is
compared with. The verdict has two halves: who did it (``confirmed on the kernel``: the kernel itself; ``real sockets,
injected result``: one answer was replaced; ``simulator only``: no kernel can be made to), and whether the failure is the
one on record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simnet.explore.keep import failure_text
from simnet.explore.options import SweepOptions
from simnet.explore.replay import (
    FAILS_ALONE,
    NOTHING,
    OTHER_FAILURE,
    OTHER_PATH,
    OnRecord,
    Replayed,
    fails_alone,
    weigh,
)
from simnet.explore.report.failure import what_broke
from simnet.explore.shrink import with_verdict
from simnet.faults.plan import FaultPlan

if TYPE_CHECKING:
    from simnet.explore.judging.verdict import Judgement
    from simnet.realnet import RealRun

__all__ = ["CUT_SHORT", "replay_real"]

CUT_SHORT = "not ended there when its time was up"
REAL = "real sockets"  # where nothing was done to them
TRIES = 3  # a real kernel has its own timing: what two threads race for may go the other way the next time


def replay_real(
    test: Callable[[Any], object],
    plan: FaultPlan | None,
    *,
    options: SweepOptions | None = None,
    record: OnRecord = NOTHING,
    baseline: RealRun | None = None,
    seconds: float | None = None,
) -> Replayed:
    """Play *plan* on real sockets, beside a run without faults there. Each run may take *seconds*, 20 by itself.

    Raises:
        ValueError: a fault that no kernel can be made to show, by name and with the reason.
    """
    from simnet.realnet import play_real
    from simnet.realnet.classes import SECONDS

    seconds = SECONDS if seconds is None else seconds
    plan = plan or FaultPlan()
    options = (options or SweepOptions()).under(plan)
    if baseline is None:
        baseline = play_real(test, FaultPlan(), seconds=seconds, **options.playing)
    tries = TRIES if plan else 1
    while True:
        run = play_real(test, plan, seconds=seconds, **options.playing) if plan else baseline
        _, judgement = with_verdict(run, baseline, options)
        tries -= 1
        if not tries or judgement.failure is not None:
            break
    played = weigh(baseline, run, judgement, record, real=True)
    alone = fails_alone(baseline, options) if plan else ""
    if alone and (judgement.failure is None or failure_text(judgement.failure) == alone):
        played.word, played.expected, played.says_nothing = FAILS_ALONE, False, True
        played.why = f"the test fails on real sockets without any fault, {alone}, so this run says nothing."
    played.kernel = _verdict(played, judgement, run.kernel if plan else REAL)
    if played.report is not None:
        played.report.kernel = played.kernel
        played.report.commands = tuple((name, _there(command)) for name, command in played.report.commands)
    return played


def _there(command: str) -> str:
    """*command*, which runs it again, on real sockets."""
    if command.startswith("simnet replay "):
        return command.replace(" replay ", " replay --real ", 1)
    head, gap, stops = command.partition("   (")
    return f"{head} --simnet-real{gap}{stops}" if "pytest " in head else command


def _verdict(played: Replayed, judgement: Judgement, who: str) -> str:
    """Who did it, and what came of it; nothing is confirmed where nothing failed, or something else did."""
    failure = judgement.failure
    if played.word == FAILS_ALONE:
        return f"{REAL}: {FAILS_ALONE}"
    if failure is None and played.unreached:
        return f"{REAL}: not reached there"
    if failure is None:
        return f"{REAL}: no failure there ({judgement.status})"
    if played.word == OTHER_PATH:
        return f"{who}: the same failure"
    if played.word == OTHER_FAILURE and what_broke(failure) == "Hang":  # it waits, by a clock that only simnet winds on
        return f"{REAL}: {CUT_SHORT}, {failure_text(failure)}"
    if played.word == OTHER_FAILURE:
        return f"{REAL}: another failure, {failure_text(failure)}"
    return f"{who}: {failure_text(failure)}"
