"""The calls of a socket that move a message: bytes in several buffers, and what travels beside them."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import Any

from simnet.arguments.sockets import MISSING, checked_bytes, iterable, look_over, taken, writable_view
from simnet.calls.ancillary import from_kernel, to_kernel
from simnet.calls.fullsends import FullSends
from simnet.calls.systemcall import Asks
from simnet.calls.tries import READABLE, WRITABLE
from simnet.kernel import inet
from simnet.kernel.buffer import scatter
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import (
    AF_INET,
    AF_UNIX,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    MSG_TRUNC,
    MSG_WAITALL,
    SOCK_DGRAM,
    SOCK_STREAM,
    UIO_MAXIOV,
    check_room,
)
from simnet.kernel.options.values import INT_MAX
from simnet.places.datagrams import named_by_target
from simnet.resolver.addresses import kernel_address

__all__ = ["MessageCalls"]


class MessageCalls(FullSends):
    """The part of a simulated socket that sends and receives messages."""

    __slots__ = ()

    def recvmsg(
        self, bufsize: Any = MISSING, ancbufsize: Any = 0, flags: Any = 0, /, *more: Any, **named: Any
    ) -> tuple[bytes, list[Any], int, Any]:
        if named:
            look_over("recvmsg", **named)
        bufsize, ancbufsize, flags = taken("recvmsg", bufsize, ancbufsize, flags, *more)
        data, ancillary, message_flags, address = self._message(bufsize, ancbufsize, flags)
        return data[:bufsize], ancillary, message_flags, address

    def _message(self, bufsize: int, ancbufsize: int, flags: int) -> tuple[bytes, list[Any], int, Any]:
        """The answer of ``recvmsg``; with MSG_TRUNC as many bytes as there were, though a buffer takes *bufsize*."""
        _check_message(ancbufsize, flags)
        least = self._waits_for(bufsize, flags) if bufsize else 0
        if least and (flags & MSG_WAITALL or not ancbufsize):
            return self._recv_all(bufsize, flags, least), [], 0, None
        table = self._process.descriptors
        if self._may_go_on(flags):
            told = self._read_on(bufsize, ancbufsize, flags, lambda answer: from_kernel(table, answer, flags))
        else:
            told = self._call(
                "recv",
                (bufsize,),
                lambda file, n: from_kernel(table, file.recvmsg(n, ancbufsize, flags), flags),
                READABLE,
                bufsize,
                flags,
                nothing=(b"", [], 0, None),
            )
        data, ancillary, message_flags, address = told
        return data, ancillary, message_flags | (flags & MSG_CMSG_CLOEXEC), address  # the kernel begins with that one

    def _put(self, views: list[memoryview], data: bytes, flags: int) -> None:
        """Write *data* into *views*. A TCP socket that only counts what there is (MSG_TRUNC) writes nothing."""
        if not (flags & MSG_TRUNC and self._kind == SOCK_STREAM and self._net_family != AF_UNIX):
            scatter(views, data)

    def recvmsg_into(
        self, buffers: Any = MISSING, ancbufsize: Any = 0, flags: Any = 0, /, *more: Any, **named: Any
    ) -> tuple[int, list[Any], int, Any]:
        if named:
            look_over("recvmsg_into", **named)
        plain = type(ancbufsize) is type(flags) is int and max(abs(ancbufsize), abs(flags)) <= INT_MAX
        if more or not plain or buffers is MISSING or not iterable(buffers):
            # It may be iterated over only once.
            buffers = list(buffers) if buffers is not MISSING and iterable(buffers) else buffers
            _, ancbufsize, flags = taken("recvmsg_into", buffers, ancbufsize, flags, *more)
        with ExitStack() as held:
            views = [held.enter_context(writable_view(buffer, "recvmsg_into")) for buffer in buffers]
            _check_message(ancbufsize, flags)
            if len(views) > UIO_MAXIOV:
                self._file()
                raise socket_error(errno.EMSGSIZE)
            room = sum(map(len, views))
            data, ancillary, message_flags, address = self._message(room, ancbufsize, flags)
            self._put(views, data[:room], flags)
        return len(data), ancillary, message_flags, address

    def sendmsg(
        self,
        buffers: Any = MISSING,
        ancdata: Any = (),
        flags: Any = 0,
        address: Any = None,
        /,
        *more: Any,
        **named: Any,
    ) -> int:
        if named:
            look_over("sendmsg", **named)
        if more or buffers is MISSING or type(flags) is not int or abs(flags) > INT_MAX:
            look_over("sendmsg", buffers, ancdata, flags, address, *more) if more or buffers is MISSING else None
            _, _, flags = taken("sendmsg", (), (), flags)
        resolved = None
        if address is not None:
            resolved = kernel_address(self._machine, self._net_family, address, "sendmsg")
        if not iterable(buffers):
            look_over("sendmsg", buffers)
        parts = [checked_bytes("send", buffer) for buffer in buffers]
        if ancdata.__class__ is not tuple or ancdata:
            ancdata = list(ancdata) if iterable(ancdata) else ancdata
            look_over("sendmsg", (), ancdata)
        _check_message(0, flags)
        if len(parts) > UIO_MAXIOV:
            self._file()
            raise socket_error(errno.EMSGSIZE)
        if ancdata:
            self._file()
            check_room(ancdata)
        payload = b"".join(parts)
        ancillary = to_kernel(self._process.descriptors, ancdata)
        if not ancillary and address is None and self._kind == SOCK_STREAM:
            return self._send_once(payload, flags)
        unix = self._net_family == AF_UNIX and (resolved is not None or self._is_waited_for())
        if unix and getattr(self._file(), "type", 0) == SOCK_DGRAM:
            return self._send_to_name((payload,), payload, ancillary, flags, resolved)
        sent: int = self._call(
            "send",
            (payload,),
            lambda file, n: file.sendmsg([payload], ancillary, flags, resolved),
            WRITABLE,
            len(payload),
            flags,
        )
        if sent < len(payload) and self._kind == SOCK_STREAM:
            return self._send_once(payload, flags, sent)  # what is said beside them went with the first piece
        return sent

    def _send_to_name(self, arguments: tuple[Any, ...], payload: bytes, ancillary: Any, flags: int, name: Any) -> int:
        """Send a datagram to the peer, or to whoever is called *name*, and wait for a place in its queue if this socket waits.

        That place is one more thing to wait for, which poll does not tell of: who names its peer at each send is no
        follower of anybody.
        """
        timeout = None if self._is_waited_for() else self._timeout
        scheduler = self._process.scheduler
        fd = self._fd
        known = self._file()
        if known.family == AF_UNIX and known.bound is None and known.peer is None and name:
            known.tag = named_by_target(self._process.machine, self._machine, known, name)

        def attempt(file: Any, _: int) -> int:
            if file.family != AF_UNIX and name is not None:  # its object says what it is not
                inet.check_size(file.family, name if file.family == AF_INET else b"")  # IPv6 looks at no size
            waits = not flags & MSG_DONTWAIT and file.blocks() if timeout is None else timeout > 0
            deadline = None if timeout is None else self._deadline()
            if deadline is None and file.options:
                deadline = self._kernel_deadline(file, "send")
            while True:
                try:
                    sent: int = file.sendmsg([payload], ancillary, flags, name)
                    return sent
                except BlockingIOError:
                    if not waits or (timeout is None and deadline is not None and scheduler.clock.now_ns >= deadline):
                        raise
                if deadline is not None and scheduler.clock.now_ns >= deadline:
                    named = fd in self._process.descriptors.open
                    raise TimeoutError("timed out") if named else socket_error(errno.EBADF)
                # Memory is waited for before anybody is looked for.
                starved = timeout is None and file.held >= file.sndbuf
                target = None if starved else file.peer if name is None else file.find(name)
                if timeout is None and target is not None and target.full:
                    taken = self._send_to_full(file, target, deadline, payload, ancillary, name)
                    if taken is not None:
                        return taken
                    deadline = self._anew(file, fd)
                    continue
                if target is None or not target.full:
                    handlers = scheduler.current.handlers
                    self._wait(file, WRITABLE, deadline, "send", timeout is not None)
                    if timeout is None and scheduler.current.handlers != handlers:
                        deadline = self._anew(file, fd)
                    continue
                self._try_again_soon(file, target, deadline)
                if fd not in self._process.descriptors.open:
                    raise socket_error(errno.EBADF)

        how = flags if timeout is not None else flags | MSG_DONTWAIT  # the waiting of a blocking one is all in there
        return self._call("send", arguments, attempt, WRITABLE, len(payload), how)  # type: ignore[no-any-return]

    def _try_again_soon(self, file: Any, target: Any, deadline: int | None) -> None:
        """Until there is a place at *target*. Python has a time-out and tries without a pause, and so meets any change of either."""
        scheduler = self._process.scheduler
        me = scheduler.current
        asks = Asks(me, 0, spins=True)
        target.followers = [*(target.followers or ()), me]
        file.watch(asks)
        target.watch(asks)
        try:
            scheduler.wait(("send", file), deadline)
        finally:
            target.followers = [each for each in target.followers if each is not me]
            target.unwatch(asks)
            file.unwatch(asks)
            self._let_go(file)

    def _anew(self, file: Any, fd: int) -> int | None:
        """A signal has ended the kernel's call, and Python makes another: until when that waits, or EBADF if *fd* is closed by now."""
        if fd not in self._process.descriptors.open:
            raise socket_error(errno.EBADF)
        return self._kernel_deadline(file, "send") if file.options else None

    def _send_to_full(self, file: Any, target: Any, deadline: int | None, *asked: Any) -> int | None:
        """The rest of a blocking send to *target*, whose queue is full: only a place there, its close and SO_SNDTIMEO end the wait.

        ``None`` if a signal does, after which Python makes another call.
        """
        scheduler = self._process.scheduler
        me = scheduler.current
        handlers = me.handlers
        file.hold()
        try:
            while True:
                target.followers = [*(target.followers or ()), me]
                try:
                    late = not scheduler.wait(("send", file), deadline)
                finally:
                    target.followers = [each for each in target.followers if each is not me]
                if me.handlers != handlers:
                    return None
                try:
                    sent: int = file.send_on(target, *asked)
                    return sent
                except BlockingIOError:
                    if late:
                        raise
        finally:
            file.release()


def _check_message(ancbufsize: int, flags: int) -> None:
    """What CPython and the kernel look at before they look for the socket."""
    if not 0 <= ancbufsize <= INT_MAX:
        raise ValueError("invalid ancillary data buffer length")
    if flags < 0:  # MSG_CMSG_COMPAT, which is the kernel's own
        raise socket_error(errno.EINVAL)
