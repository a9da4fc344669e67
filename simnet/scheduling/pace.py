"""How fast a clock moves for those who watch it and do nothing else: on a kernel that takes time, and here it moves only when all wait.

A look takes a microsecond at first. Who has watched for long waits for a deadline, and each of its looks may take more: a thousandth of the
time that it has waited, or less. So it is soon told of its deadline; and who waits for none, that it never ends. Who polls in between may
have much to do among its own tasks, and its looks take what they always take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = [
    "A_CLOCK_TO_MOVE",
    "LAGS_MAX",
    "LOOKS_MAX",
    "POLLS_NS",
    "SPIN_NS",
    "WORKS_MAX",
    "WORK_NS",
    "pace",
    "pace_of",
    "polls",
]

A_CLOCK_TO_MOVE = ("a clock to move", None)  # what it waits for
LOOKS_MAX = 1_000  # at a clock, in one instant and with nothing done: then it moves
POLLS_NS = 1_000_000  # virtual time that these take, or as many polls: one that finds nothing takes Linux a microsecond
LAGS_MAX = 32  # times in a row that polls take it: a loop that is at work may have as many turns before it waits
WORKS_MAX, WORK_NS = 32, 10_000_000  # as many looks, with work between them, take no time so often; and then
SPIN_NS = 100_000_000  # that a busy loop goes on which may, where nothing is due before

# From so many moves in a row on, with nothing done in between: how many looks lead to the next, and how much time they take.
PACES = (
    (16_000, 10, 100 * POLLS_NS),  # a minute and more
    (10_000, 20, 10 * POLLS_NS),
    (2_000, 50, POLLS_NS),  # two seconds
    (100, 100, POLLS_NS),  # a tenth of a second; a look with a line of Python around it takes longer than a microsecond
    (0, LOOKS_MAX, POLLS_NS),
)


def pace(moves: int) -> tuple[int, int]:
    """After how many more looks at a clock it moves again, and by how many nanoseconds, when it has moved *moves* times in a row."""
    return next((looks, step_ns) for begin, looks, step_ns in PACES if moves >= begin)


def pace_of(scheduler: Scheduler, process: Process) -> tuple[int, int]:
    """The same for *process*, which looks: whether anything is done in between is seen later than here."""
    return pace(0 if scheduler.effects != scheduler.seen or polls(process) else scheduler.ticks)


def polls(process: Process) -> bool:
    """Has *process* polled again and again in this instant, without leave to wait, and nothing has been done meanwhile?"""
    scheduler = process.scheduler
    return (process.paused_at, process.paused_ns) == (scheduler.effects, scheduler.clock.now_ns) and process.pauses > 1
