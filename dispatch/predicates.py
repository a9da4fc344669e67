"""Who is asked before each turn what it waits for, and who only when something happened to it.

A program's own ``readable`` or ``writable`` may answer anything at any time. This library's own say when their answer changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispatch.annotations import Any

#: ``readable`` and ``writable`` of this library's classes: what they answer changes only when the class says so.
_known: set[Any] = set()
_silent_writable: set[Any] = set()
_silent_handlers: set[Any] = set()


def known_predicates(functions: Iterable[Any]) -> None:
    """Declare functions whose answers change only with a notice to :func:`changed`, or in the channel's own turn."""
    _known.update(functions)


def silent_writers(writable: Any, *handlers: Any) -> None:
    """Declare a ``writable`` that is always true, and handlers of writing that do nothing but grumble."""
    _silent_writable.add(writable)
    _silent_handlers.update(handlers)


def predictable(obj: Any) -> bool:
    kind = type(obj)
    if getattr(kind, "readable", None) not in _known or getattr(kind, "writable", None) not in _known:
        return False
    own = getattr(obj, "__dict__", {})
    return not ("readable" in own or "writable" in own or "_dispatch_ask" in own)


def uses_writable(obj: Any) -> bool:
    """False for a channel that would be told of room to write, at all times, only to say that nobody handles it."""
    kind = type(obj)
    if getattr(obj, "connecting", False) or "warning" not in getattr(obj, "ignore_log_types", ()):
        return True
    own = getattr(obj, "__dict__", {})
    return any(
        name in own or getattr(kind, name, None) not in _silent_handlers
        for name in ("writable", "handle_write", "handle_write_event", "log_info")
    )


def grumbles(obj: Any) -> bool:
    """Whether its class says that it always wants to write, which need not be meant."""
    return getattr(type(obj), "writable", None) in _silent_writable
