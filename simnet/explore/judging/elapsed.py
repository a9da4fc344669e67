"""Which processes ended because a time of their own was up, later than the baseline lasted.

A ``main`` that sleeps for an hour beside its servers ends after that hour. The baseline takes a few milliseconds; a run
whose body waits for something that never comes goes on as long as there is a clock to tick, and sees that end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.trace import PROCESS, WAKE

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["time_was_up"]


def time_was_up(process: str, baseline: Run, run: Run) -> bool:
    """Whether *process* ended without an error, as it woke by a deadline: behind the end of *baseline*, where it had one, too."""
    if any(each.process == process for each in run.failures):
        return False
    if any(each.process == process for each in baseline.waiting):
        return False  # there it waits without a deadline, so for ever
    woke_ns = -1
    for entry in run.trace.entries:
        if entry[3] != process:
            continue
        if entry[1] == WAKE:
            woke_ns = entry[0] if entry[7] is False else -1
        elif entry[1] == PROCESS and entry[5] == "end":
            return baseline.time_ns < entry[0] == woke_ns
    return False
