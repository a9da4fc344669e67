"""Whether what a run has left behind changes a later one: then a failure may be an echo, and its own plan not to blame.

It is looked for after the first run of each distinct failure, and once more when all have been played: what an interrupted run left
may have failed the next one, and be gone by then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from simnet.explore.judging.outcomes import difference_of_outcomes, same
from simnet.explore.judging.stays import STATE_STAYS, what_stays
from simnet.explore.judging.table import HANG
from simnet.explore.options import SweepOptions
from simnet.explore.quiet import quiet
from simnet.explore.result import SweepResult, Warned
from simnet.explore.shrink import judged
from simnet.faults.plan import FaultPlan
from simnet.run import play

__all__ = ["look_for_echoes", "look_for_what_stays"]

ECHOES = "other failures may be echoes of it"
OR_BY_ID = "or an order, such as that of a set of your own objects, went by id()"


def look_for_what_stays(
    test: Callable[[Any], object], plan: FaultPlan, options: SweepOptions, result: SweepResult
) -> None:
    """A run has failed, under *plan*: does the test without faults still end as it did? If not, later failures may be echoes of this one."""
    if any(warned.name == STATE_STAYS for warned in result.warnings):
        return
    with quiet():
        now = play(test, result.baseline.plan, **options.playing)
    before = result.baseline.outcome
    if not same(before, now.outcome):
        with quiet():
            judged(test, plan, result.baseline, options)  # which leaves it behind once more
        stays = _what_stays(lambda: play(test, result.baseline.plan, **options.playing), test)
        difference = difference_of_outcomes(before, now.outcome).replace("without the fault", "before")
        text = (
            f"after this run the test without faults does something else: {difference}. Something stays from run to run"
        )
        result.warnings.append(Warned(STATE_STAYS, f"{text} ({stays}), and {ECHOES}", 1, plan))


def look_for_echoes(test: Callable[[Any], object], result: SweepResult) -> None:
    """All has been played: does each failure come again by its own plan, in a test that passes without faults?"""
    options = result.options
    for failure in result.failures:
        look_for_what_stays(test, failure.plan, options, result)
        if any(each.name == HANG for each in failure.run.verdicts):  # it takes real seconds, and is the program's own
            continue
        if any(warned.name == STATE_STAYS for warned in result.warnings):
            continue
        play_it = partial(judged, test, failure.plan, result.baseline, options)
        with quiet():
            _, judgement = play_it()
        if result.known(judgement) is not failure:
            stays = _what_stays(play_it, test)
            text = "this plan fails no more when it is played again: an earlier run had left something behind"
            result.warnings.append(Warned(STATE_STAYS, f"{text} ({stays}), {OR_BY_ID}; {ECHOES}", 1, failure.plan))


def _what_stays(play_it: Callable[[], object], test: object) -> str:
    """Which of the user's globals, and of what *test* is given, *play_it* changes, in words. To look at all of them takes longer than many a run."""
    with quiet():
        return "; ".join(what_stays(play_it, test)) or "a file, a cache, a global"
