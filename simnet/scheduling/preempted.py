"""A thread that a scheduler takes off its core for a while: it neither runs nor waits, and all others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["stand_behind"]

A_CORE: Final = ("a core", None)  # what it is said to wait for


def stand_behind(scheduler: Scheduler, seconds: float) -> None:
    """Let the current process not run for *seconds*; no time-out of its own fires by that."""
    until_ns = scheduler.clock.now_ns + max(1, round(seconds * 1e9))
    scheduler.clock.at(until_ns, scheduler.wake, scheduler.current)
    while scheduler.clock.now_ns < until_ns:
        scheduler.wait(A_CORE)
