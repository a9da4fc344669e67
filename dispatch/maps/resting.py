"""Listeners that cannot accept at the moment, since the machine is out of descriptors or memory: the loop lets them rest."""

from __future__ import annotations

import time
from _weakref import ref

from dispatch.annotations import Any

REST = 0.1  # seconds that a listener does not accept when the machine has no descriptor left

resting: list[tuple[float, ref[Any]]] = []  #: Until when, and who; may hold some who are rested.


def rest(obj: Any) -> None:
    """Give *obj* no events for a moment."""
    resting.append((time.monotonic() + REST, ref(obj)))


def tired() -> list[tuple[float, Any]]:
    """Who rests now, and for how many seconds yet."""
    if not resting:
        return []
    now = time.monotonic()
    resting[:] = [each for each in resting if each[0] > now and each[1]() is not None]
    return [(until - now, obj()) for until, obj in resting]
