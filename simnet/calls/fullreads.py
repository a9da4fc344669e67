"""Reads of a blocking stream that may have to wait when they have a part: MSG_WAITALL, and SO_RCVLOWAT of a Unix stream."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from simnet.calls.quick import QuickCalls
from simnet.calls.tries import READABLE
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import (
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    SOCK_STREAM,
)
from simnet.kernel.unix.reading import least_of

__all__ = ["FullReads"]

LOOKS = MSG_PEEK | MSG_OOB | MSG_ERRQUEUE | MSG_DONTWAIT | MSG_TRUNC  # these take nothing, or do not wait


class FullReads(QuickCalls):
    """The part of a simulated socket that goes on with a read."""

    __slots__ = ()

    def _waits_for_all(self, flags: int) -> bool:
        """Is this a read of a blocking TCP connection that is to fill its buffer?"""
        return bool(
            flags & (MSG_WAITALL | MSG_OOB | MSG_ERRQUEUE) == MSG_WAITALL  # those two are asked before, and are no read
            and self._kind == SOCK_STREAM
            and self._net_family != AF_UNIX
            and self._is_blocking()
        )

    def _waits_for(self, bufsize: int, flags: int) -> int:
        """How many bytes a read of a blocking TCP connection is to have before it returns; 0 for any that there are.

        SO_RCVLOWAT counts as it is when the call begins, whatever it is when the bytes come.
        """
        if self._waits_for_all(flags):
            return bufsize
        if self._timeout is not None or flags & LOOKS or self._kind != SOCK_STREAM or self._net_family == AF_UNIX:
            return 0
        least = min(getattr(self._process.descriptors.open.get(self._fd), "low_water", 1), bufsize)
        return least if least > 1 else 0

    def _is_blocking(self) -> bool:
        """Does a call wait in the kernel, whatever time-out this object has? Another descriptor may have been set so."""
        return bool(self._file().blocks())

    def _is_waited_for(self) -> bool:
        """Is it the kernel that waits in a call, or would: is there no time-out, or one of 0 of which the descriptor knows nothing?"""
        timeout = self._timeout
        return timeout is None or (timeout == 0.0 and self._is_blocking())

    def _may_go_on(self, flags: int) -> bool:
        """Is this a blocking Unix stream? A read of it waits for as much as SO_RCVLOWAT or MSG_WAITALL say."""
        if self._net_family != AF_UNIX or self._kind != SOCK_STREAM:
            return False
        if self._timeout is None:
            return True
        return flags != 0 and flags & MSG_WAITALL != 0 and self._is_blocking()

    def _read_on(self, bufsize: int, ancbufsize: int, flags: int, shape: Callable[[Any], Any]) -> Any:
        """A read of a blocking Unix stream, which keeps its place where it waits. *shape* makes the answer of recvmsg the call's."""
        reading: Any = None
        options = getattr(self._process.descriptors.open.get(self._fd), "options", None)
        least = least_of(options, bufsize, flags) if options else 1  # however SO_RCVLOWAT changes while the call waits

        def attempt(file: Any, n: int) -> Any:
            nonlocal reading
            if reading is None:
                reading = file.reading(n, flags)
                if reading is None:
                    return shape(file.recvmsg(n, ancbufsize, flags))
                if file.options and not flags & MSG_WAITALL:
                    reading.least = min(least, n) or 1
            if reading.goes_on():
                raise socket_error(errno.EAGAIN)
            return shape(reading.answer(ancbufsize))

        def so_far() -> Any:
            return shape(reading.answer(ancbufsize)) if reading is not None and reading.copied else None

        asked = (bufsize, flags) if flags else (bufsize,)
        try:
            return self._call("recv", asked, attempt, READABLE, bufsize, flags, so_far=so_far)
        except BlockingIOError:  # SO_RCVTIMEO, MSG_DONTWAIT: what was read by then is the answer
            if reading is None or not reading.copied:
                raise
            return shape(reading.answer(ancbufsize))

    def _recv_all(self, bufsize: int, flags: int, least: int = 0) -> bytes:
        """A read of a blocking stream: until there are *least* bytes, an end, an urgent byte, or SO_RCVTIMEO is over.

        MSG_WAITALL wants *bufsize* of them.
        """
        if flags & MSG_PEEK:
            return self._peek_all(bufsize, flags)
        parts: list[bytes] = []
        left = bufsize
        enough = bufsize - least if least else 0  # may be left

        def attempt(file: Any, _n: int) -> bytes:
            nonlocal left
            while (left > enough or not parts) and not (parts and file.stops_here()):
                part: bytes = file.recv(left, flags)
                if not part:
                    break
                parts.append(part)
                left -= len(part)
            return b"".join(parts)

        def so_far() -> bytes | None:
            if not parts:  # who waits for SO_RCVLOWAT has not tried yet, where the kernel has what there is
                file: Any = self._process.descriptors.open.get(self._fd)
                if flags & MSG_WAITALL or file is None or not file.unread:
                    return None
                parts.append(file.recv(left, flags))
            return b"".join(parts)

        try:
            return self._call(  # type: ignore[no-any-return]
                "recv", (bufsize, flags), attempt, READABLE, bufsize, flags, so_far=so_far
            )
        except BlockingIOError:  # MSG_DONTWAIT, SO_RCVTIMEO: what has come is not lost
            if not parts:
                raise
            return b"".join(parts)

    def _peek_all(self, bufsize: int, flags: int) -> bytes:
        held: Any = None
        seen = 0

        def attempt(file: Any, n: int) -> bytes:
            nonlocal held, seen
            held, seen = file, file.unread  # the number may be closed by the time there is enough
            if not file.has_to_peek(n):
                raise socket_error(errno.EAGAIN)
            peeked: bytes = file.recv(n, flags)
            return peeked

        def so_far() -> bytes | None:
            return held.recv(min(seen, bufsize), flags) if seen and held.unread else None

        try:
            data: bytes = self._call("recv", (bufsize,), attempt, READABLE, bufsize, flags, so_far=so_far)
        except BlockingIOError:  # SO_RCVTIMEO: what there is by then
            if held is None or not held.unread:
                raise
            data = held.recv(bufsize, flags)
        return data
