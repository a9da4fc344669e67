"""Arguments of select, poll and epoll, checked as CPython checks them: class and text of an error are its own."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from itertools import takewhile
from operator import index
from typing import Any

from simnet import real
from simnet.arguments.sockets import MISSING
from simnet.kernel.options.values import INT_MAX, INT_MIN

__all__ = [
    "MS", "PLAIN_SECONDS",
    "c_int", "c_ints", "descriptor_of", "epoll_bits", "epoll_limit_ns", "look_over_epoll", "look_over_poll", "poll_bits",
    "poll_limit_ns", "select_limit_ns",
]  # fmt: skip

TIME_MAX = 2**63  # CPython counts nanoseconds in a signed 64-bit integer
TIME_TYPE = "PyTime_t" if sys.version_info >= (3, 13) else "_PyTime_t"
TOO_LARGE = f"timestamp too large to convert to C {TIME_TYPE}"
OUT_OF_RANGE = "timestamp out of range for platform time_t" if sys.version_info >= (3, 11, 4) else TOO_LARGE
MS = 1_000_000
PLAIN_SECONDS = 2_147_483  # the most that fits epoll_wait(2) in milliseconds


def look_over_poll(call: str, *arguments: Any, **named: Any) -> None:
    """Let CPython look at the *arguments* of a method of ``select.poll``.

    Raises:
        TypeError, ValueError, OverflowError: as CPython's, text included.
    """
    _look_over(real.poll(), call, arguments, named)


def look_over_epoll(call: str, *arguments: Any, **named: Any) -> None:
    """The same for a method of ``select.epoll``, of one whose number no descriptor has."""
    _look_over(real.epoll.fromfd(INT_MAX), call, arguments, named)


def _look_over(nobody: Any, call: str, arguments: Any, named: dict[str, Any]) -> None:
    with suppress(OSError, KeyError):
        getattr(nobody, call)(*takewhile(lambda each: each is not MISSING, arguments), **named)


def c_int(value: Any) -> int:
    """A number that fits a C int.

    Raises:
        TypeError, OverflowError: it is none, or does not fit.
    """
    number = value if value.__class__ is int else index(value)
    if not INT_MIN <= number <= INT_MAX:
        raise OverflowError("Python int too large to convert to C int")
    whole: int = number
    return whole


def c_ints(one: Any, two: Any, three: Any) -> tuple[int, int, int]:
    """Three of them; of what is wrong the first is told."""
    if one.__class__ is two.__class__ is three.__class__ is int and one == two == three == -1:  # nothing was asked for
        return one, two, three
    try:
        first, second, third = index(one), index(two), index(three)  # members of enumerations, mostly
    except TypeError:
        pass
    else:
        if INT_MIN <= first <= INT_MAX and INT_MIN <= second <= INT_MAX and INT_MIN <= third <= INT_MAX:
            return first, second, third
    return c_int(one), c_int(two), c_int(three)


def descriptor_of(thing: Any) -> int:
    """As PyObject_AsFileDescriptor: a number, or an object with ``fileno()``."""
    if thing.__class__ is int and 0 <= thing <= INT_MAX:
        return thing
    if isinstance(thing, int):
        fd = thing
    else:
        method = getattr(thing, "fileno", None)
        if method is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        fd = method()
        if not isinstance(fd, int):
            raise TypeError("fileno() returned a non-integer")
    fd = c_int(fd)
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def poll_bits(eventmask: Any) -> int:
    """The event mask of ``select.poll``: an unsigned short."""
    if not isinstance(eventmask, int):
        raise TypeError("an integer is required")
    if eventmask < 0:
        raise ValueError("value must be positive")
    if eventmask > 0xFFFF:
        wide = eventmask >= 2**64
        raise OverflowError(
            f"Python int too large {'to convert to C unsigned long' if wide else 'for C unsigned short'}"
        )
    return int(eventmask)


def epoll_bits(eventmask: Any) -> int:
    """The event mask of ``select.epoll``: the lower 32 bits of any integer."""
    return index(eventmask) & 0xFFFFFFFF


def _nanoseconds(value: Any, unit: int, refusal: str) -> int:
    """*value*, counted in *unit* nanoseconds, as nanoseconds; fractions are rounded away from 0."""
    if isinstance(value, float):
        if value != value:
            raise ValueError("Invalid value NaN (not a number)")
        exact = value * unit
        if not -TIME_MAX <= exact < TIME_MAX:
            raise OverflowError(OUT_OF_RANGE)
        return math.ceil(exact) if exact > 0 else math.floor(exact)
    try:
        whole = index(value) * unit
    except TypeError:
        raise TypeError(refusal) from None
    if not -TIME_MAX <= whole < TIME_MAX:
        raise OverflowError(TOO_LARGE)
    return whole


def _whole_ms(ms: int) -> int | None:
    """Milliseconds as poll(2) and epoll_wait(2) take them, in ns; ``None`` for no limit."""
    if not INT_MIN <= ms <= INT_MAX:
        raise OverflowError("timeout is too large")
    return None if ms < 0 else ms * MS


def poll_limit_ns(timeout: Any) -> int | None:
    """The time-out of ``poll.poll``, which counts milliseconds."""
    if timeout is None:
        return None
    ns = _nanoseconds(timeout, MS, "timeout must be an integer or None")
    return _whole_ms(-(-ns // MS) if ns > 0 else ns // MS)


def epoll_limit_ns(timeout: Any) -> int | None:
    """The time-out of ``epoll.poll``, which counts seconds; less than a millisecond below 0 is 0."""
    if timeout is None:
        return None
    kind = timeout.__class__
    if (kind is float or kind is int) and 0 <= timeout <= PLAIN_SECONDS:  # as below, without the questions
        ns: int = math.ceil(timeout * 1e9)
        return -(-ns // MS) * MS
    return _whole_ms(-(-_nanoseconds(timeout, 1000 * MS, "timeout must be an integer or None") // MS))


def select_limit_ns(timeout: Any) -> int | None:
    """The time-out of ``select.select``."""
    if timeout is None:
        return None
    ns = _nanoseconds(timeout, 1000 * MS, "timeout must be a float or None")
    if ns < 0:
        raise ValueError("timeout must be non-negative")
    return ns
