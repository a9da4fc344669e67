"""Listeners that cannot accept at the moment, since the machine has nothing to give: whoever serves them lets them rest."""

from __future__ import annotations

import time
from _weakref import ref

from dispatch.annotations import Any

REST = 0.1  # seconds that a listener does not accept when the machine has no descriptor left

_resting: list[tuple[float, ref[Any]]] = []  # until when, and who


def rest(obj: Any) -> None:
    """Give *obj* no events for a moment."""
    _resting.append((time.monotonic() + REST, ref(obj)))


def tired() -> list[tuple[float, Any]]:
    """Who rests now, and for how many seconds yet."""
    if not _resting:
        return []
    now = time.monotonic()
    _resting[:] = [each for each in _resting if each[0] > now and each[1]() is not None]
    return [(until - now, obj()) for until, obj in _resting]
