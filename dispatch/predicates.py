"""Who is asked before each turn what it waits for, and who only when something happened to it.

A program's own ``readable`` or ``writable`` may answer anything at any time. This library's own say when their answer changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.annotations import Any

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


def predictable(obj: Any) -> bool:
    """Whether *obj* says when its answers change: its class has both functions from this library, and so has it."""
    kind = type(obj)
    if getattr(kind, "readable", None) not in _readable or getattr(kind, "writable", None) not in _writable:
        return False
    return as_known(obj) and not getattr(obj, "_dispatch_ask", False)


def as_known(obj: Any) -> bool:
    """Whether that is still so: a program may have put a function of its own into the object, or into its class."""
    try:
        # Not by way of its __dict__: who asks an object for that makes it one, and its attributes are found slower from then on.
        return obj.readable.__func__ in _readable and obj.writable.__func__ in _writable
    except AttributeError:
        return False  # no method of a class


def uses_writable(obj: Any) -> bool:
    """False for a channel that would be told of room to write, at all times, only to say that nobody handles it."""
    if getattr(obj, "connecting", False) or "warning" not in getattr(obj, "ignore_log_types", ()):
        return True
    try:
        return (
            obj.handle_write.__func__ not in _silent_handlers
            or obj.writable.__func__ not in _silent_writable
            or obj.handle_write_event.__func__ not in _silent_handlers
            or obj.log_info.__func__ not in _silent_handlers
        )
    except AttributeError:
        return True  # some function of the program's own


def grumbles(obj: Any) -> bool:
    """Whether its class says that it always wants to write, which need not be meant."""
    return getattr(type(obj), "writable", None) in _silent_writable
