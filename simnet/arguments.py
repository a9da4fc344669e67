"""What programs hand to a socket's calls, checked as CPython checks it: class and text of the error are its own.

What is usual is seen here; what is not is shown to CPython's own method, which looks at its arguments before it asks the
kernel, and has no descriptor to ask it about. So an error says what this interpreter says, whichever it is.
"""

from __future__ import annotations

import _socket
import os
from errno import EBADF, EFAULT, EINVAL
from math import ceil
from typing import Any

from simnet.kernel.errors import socket_error

__all__ = [
    "INT_MAX", "SIZE_MAX", "checked_bytes", "checked_timeout", "look_over", "look_over_inheritable", "only_one",
    "option_value", "whole", "writable_view",
]  # fmt: skip

USUAL_SECONDS = 1e6  # of a time-out: twelve days
INT_MAX = 0x7FFFFFFF
SIZE_MAX = (1 << 63) - 1
SIZE_OF_INT = 4
_CSocket: Any = _socket.socket


def look_over(call: str, *arguments: Any) -> Any:
    """Let CPython look at the *arguments* of *call*; the socket it was shown them for, which never had a descriptor.

    Raises:
        TypeError, ValueError, OverflowError, BufferError: as CPython's, text included.
    """
    nobody = _CSocket.__new__(_CSocket)
    try:
        getattr(_CSocket, call)(nobody, *arguments)
    except OSError as error:
        if error.errno not in (EBADF, None):  # None: it has no address family either
            raise
    return nobody


def look_over_inheritable(value: Any) -> None:
    """The same for ``set_inheritable``, which CPython leaves to the function of ``os``."""
    try:
        os.set_inheritable(-1, value)
    except OSError:
        pass


def whole(call: str, *arguments: Any, last: Any) -> int:
    """*last* of the *arguments* of *call*, a C int.

    Raises:
        TypeError, OverflowError: it is none.
    """
    if type(last) is not int or not -INT_MAX <= last <= INT_MAX:
        look_over(call, *arguments, last)
        return int(last)
    return last


def option_value(level: int, name: int, value: tuple[Any, ...]) -> int | bytes:
    """What ``setsockopt`` hands to the kernel: a C int, or the bytes of anything that has some.

    Raises:
        TypeError, OverflowError: it is none of these.
        OSError: EFAULT or EINVAL, for ``None`` and a length: the kernel is handed no buffer.
    """
    given: Any = value[0] if len(value) == 1 else None
    if type(level) is int and type(name) is int and type(given) is int and abs(given) <= INT_MAX:
        return given
    look_over("setsockopt", level, name, *value)
    if len(value) == 2:
        raise socket_error(EFAULT if value[1] >= SIZE_OF_INT else EINVAL)
    return int(given) if isinstance(given, int) else bytes(memoryview(given))


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
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None
    if not view.c_contiguous:
        raise BufferError("memoryview: underlying buffer is not C-contiguous")
    return bytes(view)


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
        name = "None" if buffer is None else type(buffer).__name__
        raise TypeError(f"{call}() argument 1 must be read-write bytes-like object, not {name}")
    return view.cast("B") if view.nbytes else view


def checked_timeout(value: Any) -> float | None:
    """What ``settimeout`` makes of its argument.

    Raises:
        TypeError, ValueError, OverflowError: it is no time-out.
    """
    if value is None:
        return None
    if (type(value) is float or type(value) is int) and 0.001 <= value <= USUAL_SECONDS:
        return ceil(value * 1e9) / 1e9  # CPython keeps whole nanoseconds, rounded up
    seconds: float | None = _CSocket.gettimeout(look_over("settimeout", value))
    return seconds


def only_one(arguments: tuple[Any, ...], call: str) -> Any:
    """The one argument of *call*.

    Raises:
        TypeError: there are none, or several.
    """
    if len(arguments) != 1:
        raise TypeError(f"socket.{call}() takes exactly one argument ({len(arguments)} given)")
    return arguments[0]
