"""Which exceptions a target may end with, since the faults that fired made them.

A disruptive fault makes an errno, and its effect on the support makes others: a program that talks to a peer that died may
get ECONNRESET, or nothing at all. A transparent fault excuses nothing.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault

__all__ = ["PEER_GONE", "excused"]

# What a socket may say once its peer is gone (RFC 9293 3.10; `man 7 tcp`, `man 2 send`, `man 2 getpeername`), or silent; and who
# connects again, if it listens no more: a support may die of the fault, or serve nobody twice.
PEER_GONE = frozenset(
    {
        *(errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ETIMEDOUT),
        errno.ECONNREFUSED,
    }
)
NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH})

MADE_BY: Mapping[str, frozenset[int]] = {  # errnos beyond PEER_GONE that a kind makes by itself
    "unreachable": frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH}),
    "blackhole": NO_WAY,
    "partition": NO_WAY,
    "crash": NO_WAY,
    "restart": NO_WAY,
    "pause": NO_WAY,
}


def excused(
    error: BaseException, disruptive: Collection[Fault], may_raise: tuple[type[BaseException], ...] = ()
) -> bool:
    """Whether the *disruptive* faults that fired made this very error, or *may_raise* allows it.

    A group is excused if all in it are, and what trio and anyio make of an errno if that is; trio's time-out is one as any other.
    """
    if not disruptive:
        return False
    if isinstance(error, BaseExceptionGroup):
        return all(excused(each, disruptive, may_raise) for each in error.exceptions)
    if isinstance(error, may_raise) or _is_trios(error, "TooSlowError"):
        return True
    made_of = error.__cause__
    if made_of is not None and _stands_for_another(error) and excused(made_of, disruptive):
        return True
    if not isinstance(error, OSError):
        return False
    if error.errno is None:  # a time-out of the socket object; asyncio's and http.client's "connection lost"
        return isinstance(error, (TimeoutError, ConnectionError))
    if error.errno in PEER_GONE or (error.errno == errno.ENOENT and error.filename is None):
        return True  # the path of a Unix socket, too, is gone with who listened there; one that is opened is named
    return any(
        error.errno in MADE_BY.get(fault.kind, ()) or error.errno == getattr(fault, "code", None)
        for fault in disruptive
    )


def _stands_for_another(error: BaseException) -> bool:
    """Does a library tell of the errno that *error* was raised from in a class of its own, or of several in one?"""
    return _is_trios(error, "BrokenResourceError") or (isinstance(error, OSError) and error.errno is None)


def _is_trios(error: BaseException, name: str) -> bool:
    """Is it of trio's class of that *name*, or of anyio's?"""
    kind = type(error)
    return kind.__name__ == name and kind.__module__.partition(".")[0] in ("trio", "anyio")
