"""recv and send of a connection on which nothing is the matter: most of what a run does, in one frame each.

Everything here is said elsewhere too, and holds there: the arguments in `socket`, faults, waits and the trace in
`systemcall`, the bytes in the kernel's ``tcp_stream`` and ``connection``. A call takes the short way if it can be seen at
a glance that no fault may touch it, that it need not wait, and that neither end is at all unusual (``calm``, not ``slow``);
else it takes the long one from its beginning. tests/contract/test_conform.py plays programs both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EBADF
from typing import Any

from simnet.arguments import MISSING, SIZE_MAX
from simnet.kernel.errors import socket_error
from simnet.kernel.nagle import SMALL, must_wait
from simnet.kernel.readiness import DATA_NEWS
from simnet.systemcall import SystemCalls

__all__ = ["StraightCalls"]

NO_FLAGS = 0


class StraightCalls(SystemCalls):
    """The two calls that a conversation is made of."""

    __slots__ = ()

    _recv: Callable[..., bytes]  # the long ways
    _send: Callable[..., int]

    def recv(self, bufsize: Any = MISSING, flags: Any = 0, /, *more: Any) -> bytes:
        if bufsize.__class__ is not int or flags is not NO_FLAGS or more:
            return self._recv(bufsize, flags, *more)
        process = self._process
        file: Any = process.descriptors.open.get(self._fd)
        if file is None or not file.tag.plain or process.ending or (inbox := file.inbox) is None:
            return self._recv(bufsize, 0)
        data: bytes = inbox.head
        if data and file.calm and len(data) == inbox.size and bufsize >= inbox.size and not inbox.offset:
            if bufsize > SIZE_MAX:
                return self._recv(bufsize, 0)
            inbox.head = b""  # one whole chunk, as `Stream.read_some` does it
            inbox.size = 0
            edge = file.rcv_edge = file.rcv_nxt + file.rcv_room
            if edge - file.rcv_told >= file.rcv_room >> 1:
                file.freed()
                self._machine.flush()
        elif data and 0 < bufsize <= SIZE_MAX and (file.calm or (file.low_water == 1 and not file.urg_data)):
            data = file.read_some(inbox, bufsize)
            self._machine.flush()
        else:
            return self._recv(bufsize, 0)
        scheduler = process.scheduler
        if scheduler.recording:
            tag = file.tag
            self._record(tag, "recv", tag.count("recv"), (bufsize,), data)
        else:
            scheduler.effects += 1  # as `_record` does
        return data

    def send(self, data: Any = MISSING, flags: Any = 0, /, *more: Any) -> int:
        if data.__class__ is not bytes or flags is not NO_FLAGS or more:
            return self._send(data, flags, *more)
        process = self._process
        file: Any = process.descriptors.open.get(self._fd)
        if file is None or not file.tag.plain or process.ending:
            return self._send(data, 0)
        twin = file.twin  # there only where nothing is recorded and no fault can be
        if twin is None or not (file.calm and twin.calm) or file.slow or twin.slow or twin.twin is not file:
            return self._send(data, 0)
        seq = file.snd_nxt
        size = len(data)
        end = seq + size
        edge = file.rcv_edge
        inbox = twin.inbox
        outbox = file.outbox
        if (
            not size
            or end >= file.snd_edge
            or seq != twin.rcv_nxt  # something is on its way
            or inbox is None
            or (outbox is not None and outbox.size)
            or (edge == file.rcv_told and size < SMALL and must_wait(file))
        ):
            return self._send(data, 0)
        file.snd_nxt = end  # as `Stream.send`
        file.rcv_told = edge
        if edge > twin.snd_edge:  # and as `Connection.take`
            twin.snd_edge = edge
            if twin.outbox is not None and twin.outbox.size:
                twin.transmit()
                self._machine.flush()
        if inbox.size:
            inbox.append(data)
        else:
            inbox.head = data
            inbox.offset = 0
            inbox.size = size
        twin.rcv_nxt = end
        watchers = twin.watchers
        if watchers is not None:
            if len(watchers) == 1:
                watchers[0].wake(twin, DATA_NEWS)
            else:
                twin.wake(DATA_NEWS)
        process.scheduler.effects += 1
        return size

    def _send_straight(self, payload: bytes) -> int:
        """What a send takes that no fault may touch, on a connection that has room; 0 to go the long way."""
        process = self._process
        file: Any = process.descriptors.open.get(self._fd)
        if file is None:
            raise socket_error(EBADF)
        tag = file.tag
        if not tag.plain or process.ending or not payload:
            return 0
        try:
            taken: int = file.send(payload)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._machine.flush()
            self._record_failure(tag, "send", tag.count("send"), (payload,), error)
            raise
        machine = self._machine
        if machine.out:
            machine.fabric.route(machine)
        scheduler = process.scheduler
        if scheduler.recording:
            self._record(tag, "send", tag.count("send"), (payload,), taken)
        else:
            scheduler.effects += 1
        return taken
