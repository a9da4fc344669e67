"""Reading and writing a TCP connection, as tcp_recvmsg and tcp_sendmsg of Linux do it."""

from __future__ import annotations

from collections.abc import Iterable
from errno import EAGAIN, EINVAL, ENOTCONN, EPIPE
from typing import Any, Final

from simnet.kernel.buffer import Buffer, Data, scatter
from simnet.kernel.counted.account import LARGEST
from simnet.kernel.counted.ledger import begin_in_hindsight, begin_to_hold
from simnet.kernel.counted.receiving import OF_A_SEGMENT
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.messages import (
    MSG_EOR,
    MSG_ERRQUEUE,
    MSG_FASTOPEN,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_ZEROCOPY,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
    SIOCOUTQNSD,
    check_for_any_socket,
    check_zerocopy,
    fitted,
)
from simnet.kernel.options.peeking import peek_place, peeked_over, peeked_to
from simnet.kernel.options.values import IPPROTO_TCP, SO_SNDBUF, SOL_SOCKET, TCP_NOTSENT_LOWAT
from simnet.kernel.segment import ACK, Segment
from simnet.kernel.states import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    SHUT_RECEIVE,
    SHUT_SEND,
    SYN_RECV,
    SYN_SENT,
)
from simnet.kernel.tcp.connection import Connection
from simnet.kernel.tcp.control import (
    ACCEPTED_RECEIVE_ROOM,
    FIN_DUE,
    NARROW_ROOM,
    OOB_INLINE,
    URGENT_HERE,
    URGENT_READ,
    WHOLE,
)
from simnet.kernel.tcp.cork import Cork, segment_of
from simnet.kernel.tcp.messages import beside, left
from simnet.kernel.tcp.nagle import FIRST, FULL, in_flight, is_refused, must_wait
from simnet.kernel.tcp.window import STREAM, UNSCALED, full_segment, give_more_room

SEGMENTS_AT_ONCE: Final = 16
COUNTED: Final = MSG_MORE | MSG_EOR | MSG_OOB  # what such a write does to the next ones, accounts tell best
FITS_AT_FIRST: Final = ACCEPTED_RECEIVE_ROOM  # bytes of the first write of all: a larger one does not arrive at once
_SENDABLE: Final = (ESTABLISHED, CLOSE_WAIT)


class Stream(Connection):
    """The byte stream of a connection, as a program sees it."""

    __slots__ = ()

    def recv(self, n: int, flags: int = 0) -> bytes:
        """At most *n* bytes; ``b""`` at the end, and for ``recv(0)`` in every state (K-008)."""
        if flags == 0 and not self.urg_data:
            inbox = self.inbox
            if inbox is not None and inbox.size and n > 0:
                return self.read_some(inbox, n)
        if n == 0:
            return b""
        return self._read(n, flags)

    def read_some(self, inbox: Buffer, n: int) -> bytes:
        """Nearly every read: at most *n* of the bytes that *inbox*, which is this one's, has; no urgent mark is about."""
        data = inbox.head
        if len(data) == inbox.size <= n and not inbox.offset:  # as `take` hands over one whole chunk
            inbox.head = b""
            inbox.size = 0
            if not self.done:  # all of it was read
                room = self.rcv_room
                edge = self.rcv_edge = self.rcv_nxt + room
                if edge - self.rcv_told < room >> 1:
                    return data
        else:
            data = inbox.take(n)
        self.freed()
        return data

    def _read(self, n: int, flags: int) -> bytes:
        """What has arrived, at most *n* bytes of it; empty at the end (tcp_recvmsg)."""
        if flags & MSG_ERRQUEUE:
            raise socket_error(EAGAIN)
        if self.state == LISTEN:
            raise socket_error(ENOTCONN)
        if flags & MSG_OOB:
            return self._read_urgent(n, flags)
        inbox = self.inbox
        if inbox is not None and inbox.size:
            options = self.options
            place = peek_place(options, self.copied_seq) if options is not None and flags & MSG_PEEK else 0
            if self.urg_data:
                data = self._read_to_mark(inbox, n, flags & MSG_PEEK, place)
            elif flags & MSG_PEEK:
                data = inbox.peek(n, place)
            else:
                data = inbox.take(n)
                self.freed()
            if flags & MSG_PEEK:
                self.freed()  # it freed nothing, but tcp_cleanup_rbuf looks after what is due all the same
                if options is not None and data:
                    peeked_to(options, self.copied_seq + place + len(data))
            if data or (inbox.size > place and not n):
                return bytes(len(data)) if flags & MSG_TRUNC else data
        if self.done:
            if self.window is not None and not flags & MSG_PEEK:
                self.window.end_waits = False
            return b""
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)
        if self.shut & SHUT_RECEIVE:
            return b""
        raise socket_error(ENOTCONN if self.state == CLOSED else EAGAIN)

    def stops_here(self) -> bool:
        """At the urgent mark, and at an end or error, which is left for the next read to tell."""
        if self.urg_data and self.urg_seq == self.copied_seq:
            return True
        return not self.unread and bool(self.shut & SHUT_RECEIVE or self.error)

    def has_to_peek(self, n: int) -> bool:
        """Are there *n* bytes for a peek, or what ends one: an urgent mark behind the first of them, an end or error?"""
        if self.shut & SHUT_RECEIVE or self.error or self.state in (CLOSED, LISTEN):
            return True
        place = peek_place(self.options, self.copied_seq) if self.options is not None else 0
        there = self.unread - place
        if self.urg_data:
            ahead = self.urg_seq - self.copied_seq - place
            if 0 < ahead <= there:
                return True
            if not ahead and not self.sharing & OOB_INLINE:
                there -= 1
        return there >= n

    def _read_to_mark(self, inbox: Buffer, n: int, peek: int, place: int) -> bytes:
        """Read while an urgent mark is about: up to it, or from it on, over the byte itself (K-092); a peek from *place* on."""
        ahead = self.urg_seq - self.copied_seq - place
        skip = 0
        if ahead > 0:
            n = min(n, ahead)
        elif ahead == 0 and not self.sharing & OOB_INLINE and n:
            skip = 1
        if peek:
            return inbox.peek(n, place + skip)
        if skip:
            inbox.take(1)
            if self.options is not None:
                peeked_over(self.options, self.copied_seq)
        data = inbox.take(n) if inbox.size else b""
        self.freed()
        if len(data) + skip > ahead:
            self.urg_data = 0
            self.look_around()
        return data

    def _read_urgent(self, n: int, flags: int) -> bytes:
        """tcp_recv_urg: the byte out of band (K-091)."""
        urgent = self.urg_data
        if self.sharing & OOB_INLINE or not urgent or urgent == URGENT_READ:
            raise socket_error(EINVAL)
        if self.state == CLOSED and not self.done:
            raise socket_error(ENOTCONN)
        if urgent & URGENT_HERE:
            if not flags & MSG_PEEK:
                self.urg_data = URGENT_READ
            return bytes(min(n, 1)) if flags & MSG_TRUNC else bytes((urgent & 0xFF,))[:n]
        if self.state == CLOSED or self.shut & SHUT_RECEIVE:
            return b""
        raise socket_error(EAGAIN)

    def recv_into(self, buffer: Any, n: int = 0, flags: int = 0) -> int:
        """``recv`` into *buffer*; an empty one gives 0 and asks nothing."""
        with memoryview(buffer).cast("B") as view:
            n = n or len(view)
            if not n:
                return 0
            data = self.recv(n, flags)
            if not flags & MSG_TRUNC:
                view[: len(data)] = data
            return len(data)

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, None]:
        """``recv``, and no address, as on a real stream socket (K-058)."""
        return self.recvmsg(n, 0, flags)[0], None

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, None]:
        """``recv`` in full: data, what was asked for beside it, message flags, no address."""
        out_of_band = flags & MSG_OOB and self.urg_data & URGENT_HERE
        data = self._read(n, flags)
        message_flags = MSG_OOB if out_of_band else 0
        if out_of_band and not n:
            message_flags |= MSG_TRUNC
        if self.options is None:
            return data, [], message_flags, None
        told = left(self) if flags & MSG_OOB else beside(self, len(data), peek=bool(flags & MSG_PEEK))
        messages, cut, _ = fitted(told, ancbufsize)
        return data, messages, message_flags | cut, None

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, None]:
        """``recvmsg``, scattered over *buffers* in order."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data, ancillary, message_flags, _ = self.recvmsg(sum(map(len, views)), ancbufsize, flags)
        if not flags & MSG_TRUNC:
            scatter(views, data)
        return len(data), ancillary, message_flags, None

    # Writing.

    def send(self, data: Data, flags: int = 0) -> int:
        """Take what there is room for, and say how much (K-063).

        Raises:
            OSError: EAGAIN, no room; EPIPE, or the pending error, if nothing can be sent any more.
        """
        if not self.calm and (self.state not in _SENDABLE or self.error or self.shut & SHUT_SEND):
            if flags & MSG_FASTOPEN:
                return self.sendto(data, flags, None)
            raise self._not_sendable()
        if flags == 0 and not self.slow:
            outbox = self.outbox
            seq = self.snd_nxt
            if outbox is None or not outbox.size:
                if type(data) is not bytes:
                    data = memoryview(data).tobytes()
                size = len(data)
                end = seq + size
                if end < self.snd_edge and size:
                    # Nearly every send: it fits in the peer's window, and does not fill it.
                    edge = self.rcv_edge
                    heard = self.rcv_nxt
                    if heard == self.rcv_wup and (size < LARGEST or seq == FIRST) and must_wait(self):
                        return self._hold_back(data)
                    self.snd_nxt = end
                    self.rcv_told = edge
                    self.rcv_wup = heard
                    twin = self.twin
                    if twin is not None and twin.twin is self and not self.stack.out and twin.take(seq, edge, data):
                        return size
                    self.emit(
                        Segment(self.local, self.peer, ACK, seq, self.rcv_nxt, edge, data, self)  # type: ignore[arg-type]
                    )
                    return size
        return self._write(data, flags)

    def _hold_back(self, data: bytes) -> int:
        """What Nagle's rule has wait."""
        size = len(data)
        if self.cork is None:
            begin_to_hold(self)
        if self.ledger is None and self.cork is None and size < FULL:
            self.cork = Cork()
            self.slow = True
        return self._write(data, 0)

    def _not_sendable(self) -> OSError:
        """Why nothing can be sent: sk_stream_wait_connect, then sk_stream_error."""
        error = self.error
        if error:
            self.error = 0
            return socket_error(error)
        if self.state == SYN_SENT or self.state == SYN_RECV:
            return socket_error(EAGAIN)
        return socket_error(EPIPE)

    def _write(self, data: Data, flags: int) -> int:
        """tcp_sendmsg, with every rare case in it."""
        if flags & MSG_FASTOPEN:
            return self.sendto(data, flags, None)
        if flags & MSG_ZEROCOPY:
            check_zerocopy(flags, self.options)
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        size = len(data)
        if not size:
            return 0
        tampering = self.tampering
        if tampering is not None and tampering.cut:
            return size  # lost, as everything after the cut
        if self.snd_nxt == FIRST:
            must_wait(self)  # from now on its age counts
        ledger = self.ledger
        if ledger is None and self.cork is None:
            fills = size >= self.snd_edge - self.snd_nxt and not self.unsent
            if flags & COUNTED or (fills and (0 < self.sent < STREAM or size >= FITS_AT_FIRST)):
                ledger = begin_in_hindsight(self, for_long=False)
        if ledger is not None and ledger.takes(flags):
            taken = ledger.write(data, flags)
            if not taken:
                raise socket_error(EAGAIN)
            return taken
        held = self.unsent
        left = self.snd_edge - self.snd_nxt - held
        if size >= left and (left > 0 or not held):
            give_more_room(self)
        outbox = self.outbox
        if outbox is None:
            outbox = self.outbox = Buffer()
        room = self._room(outbox.size, size)
        full = room < size
        if full:
            self.no_space = True
            if room <= 0:
                raise socket_error(EAGAIN)
            data = data[:room]
            size = room
        goes_at_once = self.snd_edge - self.snd_nxt > 0 and not (outbox.size or flags & MSG_OOB)
        if goes_at_once and size > self.snd_edge - self.snd_nxt and size > (most := self._refused_after()):
            data = data[:most]
            size = most
        if self.cork is None and size < FULL and not flags & MSG_OOB and must_wait(self):
            self.cork = Cork()
            self.slow = True
        if self.cork is not None:
            if self.cork.ended and outbox.size:
                self.cork.push(self)
                if not self.cork.corked and not is_refused(self):
                    flags &= ~MSG_MORE  # the acknowledgement of what went lets go what only MSG_MORE would hold
            self.cork.ended = bool(flags & MSG_EOR)
        outbox.append(data)
        if flags & MSG_OOB:
            self.urg_out = self.snd_nxt + outbox.size - 1
        cork = self.cork
        if flags & MSG_MORE:
            if cork is None:
                cork = self.cork = Cork()
                self.slow = True
            cork.more = True
            cork.ended = bool(flags & MSG_EOR)
        elif cork is not None:
            cork.more = False
            if not (cork.corked or cork.waits):
                cork.stop()
        self.transmit()
        if full and self.cork is not None and outbox.size:
            self.cork.push(self)  # Linux sends what it has before it says that it is full
        return size

    def _refused_after(self) -> int:
        """How many bytes are taken of one write whose answer is an RST, since nobody will ever read at the other end.

        On a host of its own the answer waits for the call to look, which it does after as many segments as the backlog may
        hold (tcp_sendmsg_locked): each is half of the largest window that was offered.
        """
        if not is_refused(self):
            return WHOLE
        window = self.snd_edge - self.snd_nxt
        peer: Any = self.stack.connections.get((self.peer, self.local))
        room: int = getattr(peer, "rcv_room", 0)
        if room or window >= UNSCALED:
            full = full_segment(room or window, self.sent)
        else:
            full = window >> 1
        if window == NARROW_ROOM:
            self.snd_edge -= 1  # the window that was told
        return SEGMENTS_AT_ONCE * full

    def _room(self, queued: int, size: int) -> int:
        """How many bytes may be taken now: what the send buffer has room for, or else what can go out at once.

        What goes out takes room as well, for nothing is acknowledged before the call is over.
        """
        window = 0
        if self.guard is not None:
            free = self.lossy_room - queued - self.guard.unacknowledged
        else:
            free = self.snd_room - queued
            if self.window is not None:
                free -= self.window.flight
            if not queued:
                window = max(0, self.snd_edge - self.snd_nxt)
        lowest = self.option(IPPROTO_TCP, TCP_NOTSENT_LOWAT)
        if lowest and lowest > 0:
            full = segment_of(self)
            most = -(-lowest // full) * full  # a segment that is begun is filled
            # The last one that the window has room for leaves when the call is over: until then it counts as not sent.
            free = min(free, window + most - full if window else most - queued)
        room = max(free, window)
        unburdened = self.guard is None and (self.window is None or not self.window.flight)
        if not queued and size * 2 > self.snd_room and unburdened:
            room = min(room, self._fits_at_once())
        return room

    def _fits_at_once(self) -> int:
        """How many bytes an empty send buffer takes of one write: whole segments, and the last one that begins in it.

        Each takes more than its bytes, and within a host nothing is acknowledged before sixteen have gone. A buffer that
        grows is larger.
        """
        assert self.peer is not None
        if self.option(SOL_SOCKET, SO_SNDBUF) is None or not self.stack.is_local(self.peer[0]):
            return WHOLE
        full = segment_of(self)
        segments = -(-self.snd_room // (full + OF_A_SEGMENT))
        return segments * full if segments <= SEGMENTS_AT_ONCE else WHOLE

    def has_any_room(self) -> bool:
        """sk_stream_wait_memory looks for less than poll does, but only when something wakes it."""
        return self.ledger is not None and self.ledger.has_any_room

    def sendto(self, data: Data, flags: int, address: Any) -> int:
        """send; a connected stream ignores the address (K-058), unless MSG_FASTOPEN is to connect there first."""
        if flags & MSG_FASTOPEN:
            self.open_fast(address)
        return self.send(data, flags & ~MSG_FASTOPEN)

    def open_fast(self, address: Any) -> None:
        """Connect for a send that says MSG_FASTOPEN; the room of ``connect`` has it."""
        raise NotImplementedError

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        """Send what *buffers* hold together."""
        for level, kind, data in ancillary:
            if level == SOL_SOCKET:
                if self.state not in _SENDABLE and not flags & MSG_FASTOPEN:
                    raise self._not_sendable()
                # What another protocol is told it takes no notice of.
                check_for_any_socket(kind, data, self)
        return self.sendto(b"".join(bytes(memoryview(part)) for part in buffers), flags, address)

    def ioctl(self, request: int) -> int:
        """FIONREAD, SIOCOUTQ, SIOCOUTQNSD and SIOCATMARK (K-062, K-093)."""
        if request == SIOCATMARK:
            return int(bool(self.urg_data) and self.urg_seq == self.copied_seq)
        if request not in (SIOCINQ, SIOCOUTQ, SIOCOUTQNSD):
            not_modelled(f"ioctl(request {request:#x})")
        if self.state == LISTEN:
            raise socket_error(EINVAL)
        if request == SIOCINQ:
            copied = self.copied_seq
            if self.urg_data and not self.sharing & OOB_INLINE and copied <= self.urg_seq < self.rcv_nxt:
                return self.urg_seq - copied
            return self.unread
        if self.state == FIN_WAIT2:
            return 0  # all of it is acknowledged, or its end would not be
        unsent = self.unsent
        ledger = self.ledger or begin_in_hindsight(self)
        if ledger is not None:
            return ledger.unacknowledged if request == SIOCOUTQ else ledger.account.waiting
        if self.state == CLOSED:
            if request == SIOCOUTQ:
                return self.owed
            return 0 if self.window is None else self.window.lost
        if self.fin == FIN_DUE or (request == SIOCOUTQ and self.state in (FIN_WAIT1, CLOSING, LAST_ACK)):
            unsent += 1  # it has a sequence number, behind what is queued
        if request == SIOCOUTQ:
            if self.guard is not None:
                return unsent + self.guard.unacknowledged
            if self.window is not None and self.window.flight:
                return unsent + self.window.flight
            return unsent + in_flight(self)
        return unsent
