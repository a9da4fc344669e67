"""asyncio timers that were set one after the other are due one after the other, even if no time passed in between.

A loop keeps them in a heap, by time alone. On a real machine each reading of the clock gives another time, so timers that
`call_later`, `sleep` and `timeout` set differ. Within an instant of virtual time they do not, and a heap returns equal
ones in an order of its own: here the first that was set comes first. Timers set for the very same time,
with a number passed to ``call_at`` again and again, are as unordered as on a real machine.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from itertools import count
from typing import Any, Final

__all__ = ["A_HANDLE", "place", "unplace"]

A_HANDLE: Final = {  # the slots of one, in all versions of asyncio that have been looked at
    *("_callback", "_args", "_cancelled", "_loop", "_source_traceback", "_repr", "__weakref__", "_context"),
}
A_TIMER: Final = {"_scheduled", "_when"}  # and those of one that is due at a time

_numbers = count()
# The module, for it may go from sys.modules, and what it had there.
_placed: tuple[Any, Any] | None = None


def _ordered(original: Any) -> Any:
    plain = {*A_HANDLE, *A_TIMER} == {*original.__base__.__slots__, *original.__slots__}

    class Kind(type):
        def __instancecheck__(cls, thing: Any) -> bool:
            """Those that were made before are of the kind, too: they ask so when they are compared."""
            return isinstance(thing, original)

    class TimerHandle(original, metaclass=Kind):  # type: ignore[misc]
        __slots__ = ("_number",)
        __module__ = original.__module__
        __doc__ = original.__doc__
        __hash__ = original.__hash__

        def __init__(self: Any, when: Any, callback: Any, args: Any, loop: Any, context: Any = None) -> None:
            self._number = next(_numbers)
            if plain and not loop.get_debug():  # as the library does, in one frame instead of three
                self._context = copy_context() if context is None else context
                self._loop = loop
                self._callback = callback
                self._args = args
                self._when = when
                self._cancelled = self._scheduled = False
                self._repr = self._source_traceback = None
                return
            original.__init__(self, when, callback, args, loop, context)
            if self._source_traceback:
                del self._source_traceback[-1]  # it ends where the timer was set, not here

        def __lt__(self, other: Any) -> Any:
            if other.__class__ is not TimerHandle:
                return original.__lt__(self, other)
            when, others = self._when, other._when
            if when == others and when is not others:  # one number each: two looks at the clock
                return self._number < other._number
            return when < others

    TimerHandle.__qualname__ = original.__qualname__
    return TimerHandle


def place() -> None:
    """If asyncio is loaded: its loops make timers of this kind from now on."""
    global _placed
    events: Any = sys.modules.get("asyncio.events")
    if _placed is None and hasattr(events, "TimerHandle"):
        _placed = events, events.TimerHandle
        events.TimerHandle = _ordered(events.TimerHandle)


def unplace() -> None:
    global _placed
    if _placed is not None:
        events, original = _placed
        events.TimerHandle = original
        _placed = None
