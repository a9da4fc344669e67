"""A thread that a scheduler takes off its core for a while: it neither runs nor waits, and all others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["others_go_on", "stand_behind"]

A_CORE: Final = ("a core", None)  # what it is said to wait for,
ANOTHER: Final = ("another thread to go on", None)  # and one that looks meanwhile again and again


def stand_behind(scheduler: Scheduler, seconds: float) -> None:
    """Let the current process not run for *seconds*; no time-out of its own fires by that."""
    until_ns = scheduler.clock.now_ns + max(1, round(seconds * 1e9))
    scheduler.clock.at(until_ns, scheduler.wake, scheduler.current)
    while scheduler.clock.now_ns < until_ns:
        scheduler.wait(A_CORE)


def others_go_on(scheduler: Scheduler) -> bool:
    """Does a thread of the current process stand still? Then time passes until something is due, and it may go on.

    The current one looks again and again, perhaps whether a lock is free. It does so as long as the other is off its core, and no longer.
    """
    me = scheduler.current
    if not any(each.waiting == A_CORE and each.descriptors is me.descriptors for each in scheduler.processes):
        return False
    scheduler.wait(ANOTHER, scheduler.clock.next_due_ns())
    return True
