"""What programs hand to a socket's calls, checked as CPython checks it: class and text of the error are its own."""

from __future__ import annotations

from operator import index
from typing import Any

__all__ = ["checked_bytes", "checked_timeout", "only_one", "writable_view"]

TIMEOUT_MAX = 9_223_372_036  # seconds: CPython counts nanoseconds in 63 bits


def checked_bytes(data: Any) -> bytes:
    """The bytes of any object that has some.

    Raises:
        TypeError: it has none.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, str):
        raise TypeError("a bytes-like object is required, not 'str'")
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None


def writable_view(buffer: Any, call: str) -> memoryview:
    """The bytes of *buffer*, to be written into.

    Raises:
        TypeError: it cannot be.
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        view = None
    if view is None or view.readonly:
        raise TypeError(f"{call}() argument 1 must be read-write bytes-like object, not {type(buffer).__name__}")
    return view.cast("B") if view.nbytes else view


def checked_timeout(value: Any) -> float | None:
    """What ``settimeout`` makes of its argument.

    Raises:
        TypeError, ValueError, OverflowError: it is no time-out.
    """
    if value is None:
        return None
    seconds = value if isinstance(value, float) else float(index(value))
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("Timeout value out of range")
    if seconds > TIMEOUT_MAX:
        raise OverflowError("timestamp out of range for platform time_t")
    return seconds


def only_one(arguments: tuple[Any, ...], call: str) -> Any:
    """The one argument of *call*.

    Raises:
        TypeError: there are none, or several.
    """
    if len(arguments) != 1:
        raise TypeError(f"socket.{call}() takes exactly one argument ({len(arguments)} given)")
    return arguments[0]
