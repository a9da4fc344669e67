"""Sends that may take several attempts: a blocking stream waits until everything is accepted, and so does ``sendall``."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from simnet.calls.fullreads import FullReads
from simnet.calls.tries import WRITABLE
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, MSG_DONTWAIT, MSG_FASTOPEN, SOCK_DGRAM, SOCK_STREAM

__all__ = ["FullSends"]

AT_ONCE_MAX = 1 << 24  # bytes: both buffers of a connection at their largest (tcp_wmem, tcp_rmem) hold less


class FullSends(FullReads):
    """The part of a simulated socket that goes on with a send."""

    __slots__ = ()

    _send_to_name: Callable[..., int]  # to the connected peer too, if it is called None

    def _send_some(
        self, payload: bytes, flags: int, deadline: int | None = -1, *, more: bool = False, on: Any = None
    ) -> int:
        """One send: what the kernel takes of *payload*, waiting for room if this socket waits.

        With *more* it goes on, *on* its file, with a send that has taken something: an error is left for the next call to
        take. But a Unix socket that waits for room takes the error that comes, where its next send would say EPIPE.
        """
        if not flags and not more:
            taken = self._send_straight(payload)
            if taken:
                return taken
        before: int | None = (on or self._file()).error
        unix = self._net_family == AF_UNIX
        waits = more or (unix and self._is_waited_for())

        def attempt(file: Any, n: int) -> int:
            nonlocal before
            error = file.error
            if before is None:
                before = error
            if error and waits and (more or (unix and error != before)):
                if unix:
                    file.error = 0
                raise socket_error(error)
            took: int = file.send(payload if n == len(payload) else payload[:n], flags)
            return took

        def so_far() -> int | None:
            nonlocal before
            before = None
            return 0 if more else None

        return self._call(  # type: ignore[no-any-return]
            "send",
            (payload,),
            attempt,
            WRITABLE,
            len(payload),
            flags,
            deadline,
            on=on,
            so_far=so_far,
        )

    def _send_once(self, payload: bytes, flags: int, sent: int = 0) -> int:
        """``send``, of which *sent* bytes are gone already, and it is connected."""
        if sent:
            flags &= ~MSG_FASTOPEN
        if self._kind == SOCK_STREAM and not flags & MSG_DONTWAIT and self._is_blocking():
            return self._send_waiting(payload, sent, flags)
        if sent:
            return sent
        if self._net_family == AF_UNIX and self._is_waited_for() and getattr(self._file(), "type", 0) == SOCK_DGRAM:
            return self._send_to_name((payload,), payload, (), flags, None)
        return self._send_some(payload, flags)

    def _send_waiting(self, payload: bytes, sent: int, flags: int) -> int:
        """A blocking send, which waits until all is taken; less if SO_SNDTIMEO, a signal, or the end of the connection comes first.

        It is one call of the kernel's, and has the file until it returns, whoever closes the number meanwhile, and its time
        and its leave to wait from the beginning; but a Unix stream asks for a buffer at a time, and waits as long for each.
        """
        file = self._file()
        timed = bool(getattr(file, "options", None))
        deadline = self._kernel_deadline(file, "send") if timed else None
        file.hold()
        try:
            took = self._send_some(_rest(payload, sent), flags, more=sent > 0)
            sent += took
            while took and sent < len(payload):  # 0 is what a signal leaves of it
                if timed and self._net_family == AF_UNIX:
                    deadline = self._kernel_deadline(file, "send")
                took = self._send_some(_rest(payload, sent), flags, deadline, more=True, on=file)
                sent += took
        except OSError:
            if not sent:
                raise
        finally:
            file.release()
            if not file.refs:
                self._machine.flush()
        return sent

    def _send_held(self, payload: bytes, flags: int, given: Any) -> int:
        """``send`` of *payload*, the bytes of *given*."""
        if self._timeout == 0.0:
            return self._send_once(payload, flags)
        with memoryview(given):  # as CPython holds it: nobody can resize it while it waits
            return self._send_once(payload, flags)

    def _send_all(self, payload: bytes, flags: int, deadline: int | None, given: Any) -> None:
        """``sendall`` of *payload*, the bytes of *given*."""
        sent = self._send_straight(payload) if not flags else 0
        if sent and sent == len(payload):
            return
        if payload is given:
            self._send_rest(payload, sent, flags, deadline)
            return
        with memoryview(given):  # as above
            self._send_rest(payload, sent, flags, deadline)

    def _send_rest(self, payload: bytes, sent: int, flags: int, deadline: int | None) -> None:
        if deadline is None or (self._net_family == AF_UNIX and self._kind == SOCK_DGRAM and self._is_waited_for()):
            # As CPython calls send again after one that SO_SNDTIMEO cut short.
            sent = self._send_once(payload, flags, sent)
            while sent < len(payload):
                sent += self._send_once(_rest(payload, sent), flags)
            return
        injector = self._machine.fabric.injector
        fired = len(injector.fired)
        if not sent:
            sent = self._send_some(payload, flags, deadline)
        while sent < len(payload):
            rest = _rest(payload, sent)
            if self._timeout == 0.0 and injector.cut_short(fired):
                tag = self._file().tag
                raise self._failed(tag, "send", tag.count("send"), (rest,), socket_error(errno.EAGAIN))
            sent += self._send_some(rest, flags, deadline)


def _rest(payload: bytes, sent: int) -> bytes:
    """What is left of *payload*, or as much of it as no kernel takes at once."""
    return payload[sent : sent + AT_ONCE_MAX] if sent else payload
