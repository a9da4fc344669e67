"""``threading.Condition.wait``: what events, barriers and queues wait in, so that a network may end such a wait."""

from __future__ import annotations

import functools
import threading

from simnet.standins import whose
from simnet.standins.pairs import Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()

_true_wait = threading.Condition.wait


@functools.wraps(_true_wait)
def _wait(self: threading.Condition, timeout: float | None = None) -> bool:
    backend = whose.world()
    wait_on = getattr(backend, "wait_on", None)  # only a world with threads has one
    if wait_on is None:
        return _true_wait(self, timeout)
    answer: bool = wait_on(self, timeout, _true_wait)
    return answer


PAIRS.add(_true_wait, _wait)
