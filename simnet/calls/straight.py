"""recv and send of a connection with nothing unusual: most of what a run does, in one frame each.

Everything here is also said elsewhere, and that is what counts: the arguments in `socket`, faults, waits and the trace in
`systemcall`, the bytes in the kernel's ``tcp_stream`` and ``connection``, their way along a link in `network`. A call takes
the short way if it is plain at a glance that no fault may touch it, that it need not wait, and that neither end is in any way
unusual (``calm``, not ``slow``); otherwise it takes the long one from its beginning. tests/contract/test_conform.py and
tests/properties/test_runs.py play programs both ways.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EBADF, EPIPE
from heapq import heappush
from typing import Any

from simnet.arguments.sockets import MISSING, SIZE_MAX
from simnet.calls.closed import of_the_closed
from simnet.calls.systemcall import SystemCalls
from simnet.calls.tries import READABLE, WRITABLE
from simnet.clock import deadline_after
from simnet.kernel.counted.account import LARGEST
from simnet.kernel.errors import socket_error
from simnet.kernel.readiness import DATA_NEWS
from simnet.kernel.segment import ACK, Segment
from simnet.kernel.tcp.control import ISN
from simnet.kernel.tcp.nagle import FIRST, must_wait
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.owned.eventloops import WAITS, look_for_a_loop
from simnet.trace import CALL, SEGMENT, TIMED

__all__ = ["StraightCalls"]

NO_FLAGS = 0


class StraightCalls(SystemCalls):
    """The two calls that a conversation is made of."""

    __slots__ = ()

    _recv: Callable[..., bytes]  # the long ways
    _send: Callable[..., int]
    _send_once: Callable[..., int]
    _is_blocking: Callable[[], bool]

    def recv(self, bufsize: Any = MISSING, flags: Any = 0, /, *more: Any) -> bytes:
        if bufsize.__class__ is not int or flags is not NO_FLAGS or more:
            return self._recv(bufsize, flags, *more)
        process = self._process
        file: Any = process.descriptors.open.get(self._fd)
        if file is None or not file.tag.plain or process.ending:
            return self._recv(bufsize, 0)
        inbox = file.inbox
        data: bytes = b"" if inbox is None else inbox.head
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
        elif not data and file.calm and 0 < bufsize <= SIZE_MAX and self._timeout != 0.0 and not file.options:
            return self._recv_later(bufsize, file)
        else:
            return self._recv(bufsize, 0)
        scheduler = process.scheduler
        scheduler.effects += 1  # as `_record` does
        if scheduler.recording:
            tag = file.tag
            counts = tag.counts
            counts["recv"] = n = counts.get("recv", 0) + 1
            entries = scheduler.trace.entries
            entries.append(
                (scheduler.clock.now_ns, CALL, tag.host_name, tag.text, tag.end, "recv", n,
                 ((bufsize,), data, self._timeout != 0.0 and (self._timeout is None or TIMED)))
            )  # fmt: skip
            if len(entries) > scheduler.entries_max:
                scheduler.too_much(process)
        return data

    def _recv_later(self, bufsize: int, file: Any) -> bytes:
        """A recv that waits, for nothing has come yet."""
        process = self._process
        machine = self._machine
        timeout = self._timeout
        fd = self._fd
        if machine.out or (timeout is None and not file.blocks()):
            return self._recv(bufsize, 0)
        scheduler = process.scheduler
        deadline = None if timeout is None else deadline_after(scheduler.clock.now_ns, timeout)
        tag = file.tag
        n = tag.count("recv")
        me = scheduler.current
        if me.target:
            look_for_a_loop(me, "waited for recv()", WAITS)
        named = process.descriptors.open
        what = ("recv", file)
        handlers = me.handlers
        file.watch(me)
        try:
            while scheduler.wait(what, deadline):
                if not file.calm or ((inbox := file.inbox) is not None and inbox.size) or named.get(fd) is not file:
                    break
            else:
                if not file.mask() & READABLE and named.get(fd) is file:
                    raise self._late(tag, "recv", n, (bufsize,), False)
        finally:
            file.unwatch(me)
        inbox = file.inbox
        there: Any = named.get(self._fd)
        if not file.calm or inbox is None or not inbox.size or there is not file:
            tag.counts["recv"] = n - 1  # the long way counts it
            if there is file and self._timeout == timeout:
                return self._recv_some(bufsize, deadline)
            if timeout is None and me.handlers != handlers:
                self._let_go(file)
                return self._recv(bufsize, 0)  # a signal has ended the kernel's call, and Python makes another
            return self._recv_on(file, bufsize, timeout, deadline, fd)
        data: bytes = file.read_some(inbox, bufsize)
        if machine.out:
            machine.fabric.route(machine)
        self._record(tag, "recv", n, (bufsize,), data)
        return data

    def _recv_on(self, file: Any, bufsize: int, timeout: float | None, deadline: int | None, fd: int) -> bytes:
        """The rest of a recv that has waited on *file*: its number *fd* names another now, or it has another time-out."""
        if timeout is None:
            return self._recv_some(bufsize, deadline, file)
        named = self._process.descriptors.open
        there: Any = named.get(fd)
        if there is not None and not there.mask() & READABLE:
            in_time = self._poll_number(file, READABLE, deadline, "recv", fd)
        else:
            in_time = True
        self._let_go(file)
        if in_time and self._fd in named:
            return self._recv_some(bufsize, deadline)
        n = file.tag.count("recv")
        if in_time:
            raise self._failed(file.tag, "recv", n, (bufsize,), socket_error(EBADF))
        raise self._late(file.tag, "recv", n, (bufsize,), False)

    def send(self, data: Any = MISSING, flags: Any = 0, /, *more: Any) -> int:
        if data.__class__ is not bytes or flags is not NO_FLAGS or more:
            return self._send(data, flags, *more)
        process = self._process
        file: Any = process.descriptors.open.get(self._fd)
        if file is None or not file.tag.plain or process.ending:
            return self._send(data, 0)
        twin = file.twin  # there only where nothing is recorded and no fault can be
        if twin is None:
            sent: int = self._send_straight(data, file)
            if sent and (sent == len(data) or not self._is_blocking()):
                return sent
            return self._send_once(data, 0, sent)
        if not (file.calm and twin.calm) or file.slow or twin.slow or twin.twin is not file:
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
            or ((heard := file.rcv_nxt) == file.rcv_wup and size < LARGEST and must_wait(file))
        ):
            return self._send(data, 0)
        file.snd_nxt = end  # as `Stream.send`
        file.rcv_told = edge
        file.rcv_wup = heard
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

    def _send_straight(self, payload: bytes, file: Any = None) -> int:
        """What a send takes that no fault may touch, on a connection that has room; 0 to go the long way.

        Who gives *file* has seen that it is open and ``plain``, in a process that goes on.
        """
        process = self._process
        if file is None:
            file = process.descriptors.open.get(self._fd)
            if file is None:
                raise of_the_closed(self)
            if not file.tag.plain or process.ending:
                return 0
        if not payload:
            return 0
        machine = self._machine
        taken = len(payload)
        seq = file.snd_nxt
        end = seq + taken
        edge = file.rcv_edge
        outbox = file.outbox
        way = file.way
        if (
            way is None
            or not file.calm
            or file.slow
            or end >= file.snd_edge
            or (outbox is not None and outbox.size)
            or machine.out
            or ((heard := file.rcv_nxt) == file.rcv_wup and (taken < LARGEST or seq == FIRST) and must_wait(file))
        ):
            return self._send_straight_down(payload, file)
        direction, place, towards, _, tcp, take = way
        if direction is None and tcp:
            return self._send_within(payload, file, place, towards)
        if take is None or not (link := direction.link).plain:
            return self._send_straight_down(payload, file)
        file.snd_nxt = end  # as `Stream.send`
        file.rcv_told = edge
        file.rcv_wup = heard
        scheduler = process.scheduler
        clock = scheduler.clock
        now_ns = clock.now_ns
        arrival_ns = now_ns + link.latency_ns  # and as `Fabric.route`
        if arrival_ns < direction.last_ns:
            arrival_ns = direction.last_ns
        else:
            direction.last_ns = arrival_ns
        news = (take, (file.peer, file.local, seq, edge, payload, heard, file, file.far))
        clock.busy += 1
        bunch = clock.due.get(arrival_ns)
        if bunch is None:
            clock.due[arrival_ns] = [news]
            heappush(clock.heap, arrival_ns)
        else:
            bunch.append(news)
        scheduler.effects += 1
        if scheduler.recording:
            tag = file.tag
            counts = tag.counts
            counts["send"] = n = counts.get("send", 0) + 1
            here = tag.host_name
            entries = scheduler.trace.entries
            entries.append((now_ns, SEGMENT, here, place, towards, "data", seq - ISN - 1, (payload, arrival_ns)))
            entries.append(
                (
                    now_ns,
                    CALL,
                    here,
                    tag.text,
                    tag.end,
                    "send",
                    n,
                    ((payload,), taken, self._timeout != 0.0 and (self._timeout is None or TIMED)),
                )
            )
            if len(entries) > scheduler.entries_max:
                scheduler.too_much(process)
        return taken

    def _send_within(self, payload: bytes, file: Any, place: str, towards: str) -> int:
        """The same within a host: what is sent has arrived."""
        machine = self._machine
        process = self._process
        scheduler = process.scheduler
        stack = machine.stack
        local, peer = file.local, file.peer
        seq = file.snd_nxt
        taken = len(payload)
        file.snd_nxt = seq + taken
        edge = file.rcv_told = file.rcv_edge
        file.rcv_wup = file.rcv_nxt
        now_ns = scheduler.clock.now_ns
        tag = file.tag
        here = tag.host_name
        recording = scheduler.recording
        entries = scheduler.trace.entries
        n = 0
        if recording:
            counts = tag.counts
            counts["send"] = n = counts.get("send", 0) + 1
            entries.append((now_ns, SEGMENT, here, place, towards, "data", seq - ISN - 1, (payload, now_ns)))
        other = stack.connections.get((peer, local))
        if other.__class__ is not TcpSocket or not other.take(seq, edge, payload):
            stack.arrive(Segment(local, peer, ACK, seq, file.rcv_nxt, edge, payload, file))
        if machine.out:
            machine.fabric.route(machine)
        scheduler.effects += 1
        if recording:
            entries.append(
                (
                    now_ns,
                    CALL,
                    here,
                    tag.text,
                    tag.end,
                    "send",
                    n,
                    ((payload,), taken, self._timeout != 0.0 and (self._timeout is None or TIMED)),
                )
            )
            if len(entries) > scheduler.entries_max:
                scheduler.too_much(process)
        return taken

    def _send_straight_down(self, payload: bytes, file: Any) -> int:
        """The same through the rooms below, one after the other."""
        waiting = file.outbox is not None and file.outbox.size
        if self._timeout and (waiting or file.slow) and not file.mask() & WRITABLE:
            return 0  # Python's wait is for poll, which says no where the kernel would take a little
        machine = self._machine
        tag = file.tag
        try:
            taken: int = file.send(payload)
        except BlockingIOError:
            return 0
        except OSError as error:
            machine.flush()
            self._record_failure(tag, "send", tag.count("send"), (payload,), error)
            if error.errno == EPIPE:
                self._broken_pipe(0)
            raise
        if machine.out:
            machine.fabric.route(machine)
        scheduler = self._process.scheduler
        if scheduler.recording:
            self._record(tag, "send", tag.count("send"), (payload,), taken)
        else:
            scheduler.effects += 1
        return taken
