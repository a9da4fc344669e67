"""Families of errnos, by the question a program asks, and the reasons for which a channel is closed.

Errnos are looked up by name; those that the platform lacks are left out.
"""

from __future__ import annotations

import errno
import os

from dispatch.annotations import Any


def _family(*names: str) -> frozenset[int]:
    return frozenset(code for name in names if isinstance(code := getattr(errno, name, None), int))


#: Not now; the call may be repeated when the poller says so.
TRY_AGAIN = _family("EAGAIN", "EWOULDBLOCK", "EINTR", "WSAEWOULDBLOCK")

#: A connect that is under way.
UNDER_WAY = _family("EINPROGRESS", "EALREADY", "EAGAIN", "EWOULDBLOCK", "WSAEWOULDBLOCK")

#: The connection is over, whoever ended it.
PEER_GONE = _family(
    "ECONNRESET", "ECONNABORTED", "ENOTCONN", "ESHUTDOWN", "EPIPE",
    "ETIMEDOUT", "EHOSTUNREACH", "EHOSTDOWN", "ENETUNREACH", "ENETDOWN", "ENETRESET", "ECONNREFUSED",
)  # fmt: skip

#: The machine has no descriptor, buffer or memory to give at this moment; it may have one soon.
OUT_OF_RESOURCES = _family("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "WSAEMFILE", "WSAENOBUFS")
BREATH = 0.05  # seconds until it is asked again

#: accept() fetched a connection that had died in the queue, or its network's error: accept(2) says to go on.
DIED_IN_QUEUE = _family(
    "ECONNABORTED", "ECONNRESET", "EPROTO", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET",
    "EHOSTUNREACH", "EOPNOTSUPP", "ENETUNREACH", "ETIMEDOUT", "EPERM",
)  # fmt: skip

#: The descriptor is not ours any more: somebody closed it behind the loop's back.
STALE = _family("EBADF", "ENOTSOCK", "WSAENOTSOCK")


class Timeout(TimeoutError):
    """A deadline of a channel has passed. ``which`` names it: idle, connect, write, close, handshake."""

    def __init__(self, which: str, seconds: float, what: str) -> None:
        super().__init__(errno.ETIMEDOUT, f"{what} for {seconds:g} s ({which}_timeout)")
        self.which = which

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args), vars(self)


class Aborted(ConnectionAbortedError):
    """The program itself ended the channel, by ``abort()`` or by closing its loop."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.ECONNABORTED, why)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.args), vars(self)


def _made_again(kind: type[OSError], args: tuple[Any, ...]) -> OSError:
    """A copy of an error, or one that has come from another process: its own ``__init__`` takes other arguments."""
    error = kind.__new__(kind)
    OSError.__init__(error, *args)
    return error


def socket_error(code: int) -> OSError:
    """An ``OSError`` as the kernel raises it: errno, text and subclass agree."""
    return OSError(code, os.strerror(code))
