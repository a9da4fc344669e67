"""An asyncio stream that is read again and again at its end: a loop that neither waits nor makes a system call.

``while need: data += await reader.read(need)`` gets ``b""`` for ever, and no other task of its loop runs. A reader asks
whether its input has ended by the truth of an attribute, so an object that is true there counts how often it was asked. Reads
before the end are not slower for it.
"""

from __future__ import annotations

import sys
from typing import Any

from simnet.scheduling import stuck
from simnet.verdicts import Verdict
from simnet.wait import CALLS_MAX, current_scheduler

__all__ = ["place", "unplace"]

LOOK = 1_000  # reads between two looks whether anything else is done meanwhile

# The class, for its module may go from sys.modules, and what it had there.
_placed: tuple[Any, Any] | None = None


class _Ended:
    """True, as ``StreamReader._eof`` is at the end of the input. Read too often with nothing done in between, it says so."""

    __slots__ = ("_asked", "_times", "_done")

    def __init__(self) -> None:
        self._asked = 0
        self._times = 0
        self._done: Any = None

    def __bool__(self) -> bool:
        self._asked += 1
        if self._asked == LOOK:
            self._asked = 0
            self._look()
        return True

    def __repr__(self) -> str:
        return "True"

    def _look(self) -> None:
        scheduler = current_scheduler()
        if scheduler is None or scheduler.current.cannot_wait:
            return
        done = (scheduler.clock.now_ns, scheduler.switches, scheduler.effects)
        if done != self._done:
            self._done, self._times = done, 0
            return
        self._times += LOOK
        if self._times >= CALLS_MAX:
            self._times = 0
            me = scheduler.current
            error = stuck.read_for_nothing(me, scheduler.clock.now_ns, CALLS_MAX)
            scheduler.record(Verdict("no-spin", str(error), me.host_name, error))
            raise error


def _feed_eof(original: Any) -> Any:
    def feed_eof(self: Any) -> None:
        original(self)
        if self._eof is True and current_scheduler() is not None:
            self._eof = _Ended()

    return feed_eof


def place() -> None:
    """If asyncio is loaded: the ends of its streams count from now on."""
    global _placed
    reader = getattr(sys.modules.get("asyncio.streams"), "StreamReader", None)
    if _placed is None and reader is not None:
        _placed = reader, reader.feed_eof
        reader.feed_eof = _feed_eof(reader.feed_eof)


def unplace() -> None:
    global _placed
    if _placed is not None:
        reader, original = _placed
        reader.feed_eof = original
        _placed = None
