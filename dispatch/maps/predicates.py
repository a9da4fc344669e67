"""Which objects are asked before each turn what they wait for, and which only when something happened to them.

A program's own ``readable`` or ``writable`` may answer anything at any time. This library's own report when their answer changes.
"""

from __future__ import annotations

import select
from collections.abc import Iterable

from dispatch.annotations import Any
from dispatch.interfaces import HUP, OUT

_readable: set[Any] = set()
_writable: set[Any] = set()
_silent_writable: set[Any] = set()
_silent_handlers: set[Any] = set()


def known_predicates(readable: Iterable[Any], writable: Iterable[Any]) -> None:
    """Declare a ``readable`` that is always true, a ``writable`` whose answer changes only with a notice, or in the channel's own turn."""
    _readable.update(readable)
    _writable.update(writable)


def silent_writers(writable: Any, *handlers: Any) -> None:
    """Declare a ``writable`` that is always true, and handlers of writing that do nothing but grumble."""
    _silent_writable.add(writable)
    _silent_handlers.update(handlers)


def own_functions(kind: type) -> tuple[Any, Any]:
    """``readable`` and ``writable`` of a class whose objects say when their answers change; None if they are to be asked each turn."""
    reads, writes = getattr(kind, "readable", None), getattr(kind, "writable", None)
    return (reads, writes) if reads in _readable and writes in _writable else (None, None)


def still_has(obj: Any, reads: Any, writes: Any) -> bool:
    """Whether nothing has come before these functions: a program may put its own into an object, or into its class."""
    try:
        # Not by way of its __dict__: who asks an object for that makes it one, and its attributes are found slower from then on.
        return obj.readable.__func__ is reads and obj.writable.__func__ is writes
    except AttributeError:
        return False  # no method of a class


def reports_to(map: Any, key: Any, obj: Any) -> bool:
    """Whether what *obj* reports comes to who serves *map*. It goes by its own ``_map`` and ``_fileno``, if it has them."""
    try:
        return obj._map is map and obj._fileno == key and not obj._dispatch_ask
    except AttributeError:
        return False  # its class has a constructor that does not call ours


def uses_writable(obj: Any) -> bool:
    """False for a channel that would be told of room to write, at all times, only to say that nobody handles it."""
    try:
        return (
            obj.writable.__func__ not in _silent_writable
            or obj.connecting
            or "warning" not in obj.ignore_log_types
            or obj.handle_write.__func__ not in _silent_handlers
            or obj.handle_write_event.__func__ not in _silent_handlers
            or obj.log_info.__func__ not in _silent_handlers
        )
    except AttributeError:
        return True  # some function of the program's own


def room_to_write(fds: Iterable[int]) -> bool:
    """Whether one of these would be woken for it: not at a pipe that it reads, nor where its peer does not."""
    if not hasattr(select, "poll"):
        return True
    pollster = select.poll()
    for fd in list(fds):  # another thread may be closing them
        if fd >= 0:
            pollster.register(fd, OUT)
            if any(bits & ~HUP for _, bits in pollster.poll(0)):
                return True
    return False
