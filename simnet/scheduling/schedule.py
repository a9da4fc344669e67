"""Which process runs when several can at one instant: the schedules of a fault plan.

``fifo`` is the order in which they were woken. ``random:SEED`` makes every choice at random. ``pct:SEED`` gives each
process a priority and changes one of them now and then: few changes in many orders find the bugs that need two processes
to meet in an unlikely one (Burckhardt and others, "A randomized scheduler with probabilistic guarantees", 2010).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["chooser"]

CHANGE_PROBABILITY = 0.05  # that a choice of pct lets its winner lose from now on

Chooser = Callable[[Sequence[Any]], int]


def chooser(schedule: str) -> Chooser | None:
    """The choice a schedule makes; ``None`` for first come, first served."""
    kind, _, seed = schedule.partition(":")
    if kind == "fifo":
        return None
    dice = random.Random(f"{kind}/{seed}")
    return _Priorities(dice) if kind == "pct" else lambda runnable: int(dice.random() * len(runnable))


class _Priorities:
    """The highest priority runs; they are drawn when a process is first met."""

    __slots__ = ("_dice", "_priorities", "_lowest")

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._priorities: dict[str, float] = {}
        self._lowest = 0.0

    def __call__(self, runnable: Sequence[Any]) -> int:
        priorities = self._priorities
        for process in runnable:
            if process.name not in priorities:
                priorities[process.name] = self._dice.random()
        index = max(range(len(runnable)), key=lambda each: priorities[runnable[each].name])
        if self._dice.random() < CHANGE_PROBABILITY:
            self._lowest -= 1
            priorities[runnable[index].name] = self._lowest
        return index
