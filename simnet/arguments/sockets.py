"""Arguments of a socket's calls, checked as CPython checks them: class and text of an error are its own.

Usual arguments are handled here. Others are passed to CPython's own method, which checks its arguments before it calls the
kernel, on a socket that has no descriptor. So an error says what this interpreter says, whichever it is.
"""

from __future__ import annotations

import _socket
from errno import EBADF, EINVAL
from itertools import takewhile
from math import ceil
from operator import index
from types import FunctionType
from typing import Any

from simnet import real
from simnet.kernel.options.values import INT_MAX, NoBuffer

__all__ = [
    "MISSING", "SIZE_MAX", "UINT_MAX", "c_name", "checked_blocking", "checked_bytes", "checked_timeout",
    "given_descriptor", "iterable", "look_over", "look_over_inheritable", "name_as_the_real_one", "only_one",
    "option_value", "taken", "whole", "writable_view",
]  # fmt: skip

USUAL_SECONDS = 1e6  # of a time-out: twelve days
UINT_MAX = 2 * INT_MAX + 1
INTEGERS = frozenset({int, bool})
SIZE_MAX = 1 << 31  # of what is read at once without a look: CPython has to find the memory first
MISSING: Any = type("MISSING", (), {})()  # the default of an argument that must be given: a call without it gets to us
_CSocket: Any = _socket.socket


def look_over(call: str, *arguments: Any, **named: Any) -> Any:
    """Let CPython look at the *arguments* of *call*; the socket it was shown them for, which never had a descriptor.

    Raises:
        TypeError, ValueError, OverflowError, BufferError: as CPython's, text included.
    """
    nobody = _CSocket.__new__(_CSocket)
    try:
        getattr(_CSocket, call)(nobody, *takewhile(lambda each: each is not MISSING, arguments), **named)
    except OSError as error:
        # None: it has no address family either.
        if error.errno not in (EBADF, EINVAL, None) or "out of range" in str(error):
            raise
    return nobody


def taken(call: str, *arguments: Any) -> list[Any]:
    """The *arguments* of *call* once CPython has looked at them; whatever passes for an integer is one now."""
    look_over(call, *arguments)
    return [index(each) if hasattr(each, "__index__") else each for each in arguments]


def look_over_inheritable(value: Any) -> None:
    """The same for ``set_inheritable``, which CPython leaves to the function of ``os``."""
    try:
        real.set_inheritable(-1, value)
    except OSError:
        pass


def whole(call: str, *arguments: Any, last: Any) -> int:
    """*last* of the *arguments* of *call*, a C int.

    Raises:
        TypeError, OverflowError: it is none.
    """
    if isinstance(last, int) and -INT_MAX <= last <= INT_MAX:  # a member of an enumeration, too
        return int.__index__(last)
    look_over(call, *arguments, last)
    return int(index(last))


def option_value(level: Any, name: Any, value: tuple[Any, ...]) -> tuple[int, int, int | bytes | NoBuffer]:
    """What ``setsockopt`` hands to the kernel: level, name, and a C int or the bytes of anything that has some.

    ``None`` and a length are handed on as they are, and the kernel makes of it what it does.

    Raises:
        TypeError, OverflowError: it is none of these.
    """
    given: Any = value[0] if len(value) == 1 else None
    plain = type(level) is int and type(name) is int and type(given) in INTEGERS
    if plain and abs(given) | abs(level) | abs(name) <= INT_MAX:
        return level, name, int(given)
    look_over("setsockopt", level, name, *value)
    if len(value) == 2:
        return index(level), index(name), NoBuffer(index(value[1]) & 0xFFFFFFFF)  # as a C unsigned int
    return index(level), index(name), index(given) if hasattr(given, "__index__") else bytes(memoryview(given))


def iterable(thing: Any) -> bool:
    """Can one go through it? An error while one does is its own."""
    try:
        iter(thing)
    except TypeError:
        return False
    except Exception:  # noqa: BLE001  # it says so once more to whoever does
        pass
    return True


def checked_bytes(call: str, data: Any) -> bytes:
    """The bytes of any object that has some, the first of the arguments of *call*.

    Raises:
        TypeError, ValueError, BufferError: it has none, or not in one piece.
    """
    if type(data) is bytes:
        return data
    try:
        view = memoryview(data)
        if view.c_contiguous:
            return bytes(view)
    except (TypeError, ValueError):
        pass
    look_over(call, data)
    raise AssertionError(f"CPython sends {data!r}, which has no bytes in one piece")


def writable_view(buffer: Any, call: str) -> memoryview:
    """The bytes of *buffer*, to be written into, the first of the arguments of *call*.

    Raises:
        TypeError: it cannot be.
    """
    try:
        view = memoryview(buffer)
        if view.c_contiguous and not view.readonly:
            if view.ndim != 1 and not view.nbytes:
                return memoryview(bytearray())  # this one cannot be cast
            return view if view.format == "B" and view.ndim == 1 else view.cast("B")
    except (TypeError, ValueError):
        pass
    look_over(call, [buffer] if call == "recvmsg_into" else buffer)
    raise AssertionError(f"CPython writes into {buffer!r}, which is not writable in one piece")


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


def checked_blocking(flag: Any) -> float | None:
    """The time-out that ``setblocking`` stands for. Before Python 3.12 *flag* has to be an integer.

    Raises:
        TypeError, OverflowError: it has to be, and is none.
    """
    if type(flag) is bool:
        return None if flag else 0.0
    seconds: float | None = _CSocket.gettimeout(look_over("setblocking", flag))
    return seconds


def given_descriptor(number: Any) -> int:
    """The ``fileno`` that a new socket is to have.

    Raises:
        TypeError, OverflowError, ValueError: it is none.
    """
    descriptor = descriptor_number(number)
    if descriptor < 0:
        raise ValueError("negative file descriptor")
    return descriptor


def descriptor_number(number: Any) -> int:
    """What ``socket.close`` and ``socket.dup`` take *number* for.

    Raises:
        TypeError, OverflowError: it is none.
    """
    number = index(number)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError("Python int too large to convert to C long")
    return int((number + (1 << 31)) % (1 << 32) - (1 << 31))  # cut down to a C int


def only_one(call: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The one argument of *call*.

    Raises:
        TypeError: there are none, or several, or some with a name.
    """
    if named or len(arguments) != 1:
        look_over(call, *arguments, **named)
    return arguments[0]


def c_name(thing: Any) -> str:
    """The type of *thing* as CPython's C code calls it, which is not always its ``__name__``: ``array.array``."""
    try:
        index(thing)
    except TypeError as error:
        if "'" in str(error):  # it has an `__index__` else, which gave no integer
            return str(error).split("'")[1]
    except Exception:  # noqa: BLE001  # its own `__index__` raised: it is a class of Python
        pass
    return type(thing).__name__


def name_as_the_real_one(cls: type, *bases: type, like: type) -> None:
    """Give *cls* the name of the class it stands in for: it shows in a ``repr``, and in what Python says of arguments."""
    cls.__module__ = like.__module__
    cls.__name__ = cls.__qualname__ = like.__name__
    for method in (each for room in (cls, *bases) for each in vars(room).values()):
        if isinstance(method, FunctionType):
            method.__qualname__ = f"{like.__name__}.{method.__name__}"
