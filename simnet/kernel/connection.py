"""One end of a TCP connection: a segment in, segments out.

What a program does with it is in ``tcp.py``; what a listener does before there is a connection in ``listener.py``.
The names of fields are those of RFC 9293 and Linux: ``snd_nxt`` is the next sequence number to send, ``snd_edge`` the
first one the peer does not allow; ``rcv_nxt`` is the next one expected, ``rcv_edge`` the first one we do not allow.

Flow control without acknowledgements. Between loss-free ends an ACK tells the sender nothing but that the receiver
reads, so none is sent: bytes that went out stand in the peer's window, and only a window that moved by half its size
is told, by the next segment or by one of its own. A sender that is out of window is always told: it filled all of it,
so reading all of it moves the edge by the whole. Where a path may lose, ``guard`` keeps what was sent until it is
acknowledged. Numbers never wrap, and ISNs are 1; a real kernel draws them at random.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.anchors import Tamperable, Tampering
from simnet.kernel.buffer import Buffer
from simnet.kernel.listener import admit
from simnet.kernel.options import IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_LINGER2, TCP_NOTSENT_LOWAT
from simnet.kernel.readiness import (
    ANY_NEWS,
    DATA_NEWS,
    ERR,
    HUP,
    PRI,
    RDHUP,
    READABLE,
    SPACE_NEWS,
    WRITABLE,
)  # fmt: skip
from simnet.kernel.segment import ACK, FIN, RST, SYN, URG, WANT_ACK, Endpoint, Packet, Segment
from simnet.kernel.states import (
    AFTER_FIN_ACKNOWLEDGED,
    AFTER_OUR_FIN,
    AFTER_PEER_FIN,
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    OWES_RESET,
    RECEIVING,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)  # fmt: skip

if TYPE_CHECKING:
    from simnet.kernel.cork import Cork
    from simnet.kernel.guard import Guard
    from simnet.kernel.listener import Listener
    from simnet.kernel.stack import Stack
    from simnet.kernel.tcp import TcpSocket

ISN: Final = 1

# The two shutdown flags of K-002.
SHUT_RECEIVE: Final = 1
SHUT_SEND: Final = 2
SHUT_BOTH: Final = 3

# More bits of ``sharing``, beside those of ports.py.
OOB_INLINE: Final = 8

# ``sock->state`` of Linux: what connect() thinks of the socket, apart from what TCP thinks (K-010 to K-012).
UNCONNECTED: Final = 0
CONNECTING: Final = 1
CONNECTED: Final = 2
DISCONNECTING: Final = 3

# What became of our FIN.
FIN_NONE: Final = 0
FIN_DUE: Final = 1
FIN_SENT: Final = 2

# The urgent byte, as in tcp_sock.urg_data: announced, here, or read out of band. The byte itself is in the low 8 bits.
URGENT_ANNOUNCED: Final = 0x200
URGENT_HERE: Final = 0x100
URGENT_READ: Final = 0x400

# How much fits until EAGAIN, unless SO_SNDBUF and SO_RCVBUF say otherwise: an autotuned loopback connection took
# 3,919,467 bytes, 127,973 of them in the peer (measured on Linux 6.18; K-064).
AUTOTUNED_SEND_ROOM: Final = 3_788_800
AUTOTUNED_RECEIVE_ROOM: Final = 131_072

WHOLE: Final = 1 << 62  # an MSS that cuts nothing: a segment is as large as a write


class Connection(Tamperable):
    """The machine. ``refs == 0`` marks an orphan: closed by its program, still delivering."""

    __slots__ = (
        "stack", "emit", "family", "state", "stage", "error", "shut", "done", "origin",
        "local", "peer", "port", "locks", "autobound", "sharing", "since_ns",
        "listener", "parent", "options",
        "snd_nxt", "snd_edge", "snd_room", "outbox", "fin", "mss", "urg_out", "no_space",
        "rcv_nxt", "rcv_edge", "rcv_told", "rcv_room", "inbox", "low_water", "urg_data", "urg_seq", "later",
        "slow", "tampering", "cork", "guard",
    )  # fmt: skip

    def __init__(self, stack: Stack, family: int) -> None:
        self.refs = 1
        self.watchers = None
        self.tag: object = None
        self.stack = stack
        self.emit: Callable[[Packet], None] = stack.out.append
        self.family = family
        self.state: str = CLOSED
        self.stage = UNCONNECTED
        self.error = 0
        self.shut = 0
        self.done = False  # the peer's FIN arrived (SOCK_DONE)
        self.origin: str | None = None
        self.local: Endpoint | None = None
        self.peer: Endpoint | None = None
        self.port = 0  # the port this socket holds in the table
        self.locks = 0
        self.autobound = False
        self.sharing = 0
        self.since_ns = 0
        self.listener: Listener | None = None
        self.parent: TcpSocket | None = None
        self.options: dict[tuple[int, int], Any] | None = None
        self.snd_nxt = ISN
        self.snd_edge = 0
        self.snd_room = AUTOTUNED_SEND_ROOM
        self.outbox: Buffer | None = None
        self.fin = FIN_NONE
        self.mss = WHOLE
        self.urg_out = 0  # sequence number of an urgent byte that waits to be sent
        self.no_space = False  # somebody was told that there is no room (SOCK_NOSPACE)
        self.rcv_nxt = 0
        self.rcv_edge = self.rcv_told = ISN + 1 + AUTOTUNED_RECEIVE_ROOM
        self.rcv_room = AUTOTUNED_RECEIVE_ROOM
        self.inbox: Buffer | None = None
        self.low_water = 1
        self.urg_data = 0
        self.urg_seq = 0
        self.later: dict[int, Segment] | None = None  # what arrived before what it follows
        self.slow = False  # one of the three below: sending needs more than a look at the window
        self.tampering: Tampering | None = None
        self.cork: Cork | None = None
        self.guard: Guard | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} {self.local} -> {self.peer}>"

    # What is asked from outside.

    def mask(self) -> int:
        """The poll mask now, by K-002."""
        state = self.state
        if state == LISTEN:
            listener = self.listener
            return READABLE if listener is not None and listener.queue else 0
        shut = self.shut
        mask = READABLE | RDHUP if shut & SHUT_RECEIVE else 0
        if shut == SHUT_BOTH or state == CLOSED:
            mask |= HUP
        if state != SYN_SENT and state != SYN_RECV:
            inbox = self.inbox
            if inbox is not None and inbox.size and self._enough_to_read():
                mask |= READABLE
            outbox = self.outbox
            if shut & SHUT_SEND or outbox is None or not outbox.size or self.writable():
                mask |= WRITABLE
            else:
                self.no_space = True
            if self.urg_data & URGENT_HERE:
                mask |= PRI
        if self.error:
            mask |= ERR
        return mask

    def _enough_to_read(self) -> bool:
        """Do the unread bytes reach SO_RCVLOWAT? An urgent byte that is next and not inline does not count."""
        inbox = self.inbox
        assert inbox is not None
        size = inbox.size
        if self.urg_data and self.urg_seq == self.copied_seq and not self.sharing & OOB_INLINE:
            size -= 1
        # A full window is enough, whatever the mark: nothing more can come.
        return size >= self.low_water or (size > 0 and self.rcv_nxt >= self.rcv_told)

    def writable(self) -> bool:
        """Is as much of the send buffer free as Linux wants before it says OUT: a third (K-066)?"""
        outbox = self.outbox
        unsent = 0 if outbox is None else outbox.size
        if self.options is not None:
            lowest = self.options.get((IPPROTO_TCP, TCP_NOTSENT_LOWAT))
            if lowest and unsent * 2 >= lowest:
                return False
        return unsent * 3 <= self.snd_room * 2

    @property
    def copied_seq(self) -> int:
        """The sequence number of the first unread byte."""
        inbox = self.inbox
        return self.rcv_nxt - self.done - (inbox.size if inbox is not None else 0)

    @property
    def unread(self) -> int:
        """Bytes that arrived and were not read."""
        return self.inbox.size if self.inbox is not None else 0

    @property
    def unsent(self) -> int:
        """Bytes that were accepted and did not go out."""
        return self.outbox.size if self.outbox is not None else 0

    @property
    def sent(self) -> int:
        """Bytes of the program's that went out, injected ones not counted."""
        extra = self.tampering.injected if self.tampering is not None else 0
        return max(0, self.snd_nxt - ISN - 1 - extra - (self.fin == FIN_SENT))

    @property
    def received(self) -> int:
        """Bytes of the peer's that arrived in order, read or not."""
        return max(0, self.rcv_nxt - ISN - 1 - self.done)

    # Segments in.

    def arrive(self, segment: Segment) -> None:
        """Take in one segment; replies go out at once."""
        if segment.flags == ACK and segment.seq == self.rcv_nxt and self.state == ESTABLISHED and not self.slow:
            # Nearly every segment: data in order on a connection without any rare feature.
            if segment.edge > self.snd_edge:
                self.snd_edge = segment.edge
                if self.outbox is not None and self.outbox.size:
                    self.transmit()
            payload = segment.payload
            if payload:
                inbox = self.inbox
                if inbox is None:
                    self.inbox = Buffer(payload)
                else:
                    inbox.append(payload)
                self.rcv_nxt += len(payload)
                if self.watchers is not None and (self.low_water == 1 or self._enough_to_read()):
                    self.wake(DATA_NEWS)
            return
        self._process(segment)

    def _process(self, segment: Segment) -> None:
        """The rest of RFC 9293, 3.10.7."""
        flags = segment.flags
        state = self.state
        if state == SYN_SENT:
            self._answered(segment)
            return
        if flags & RST:
            self._reset()
            return
        if state == SYN_RECV:
            if not self._handshake_done(segment):
                return
        elif flags & SYN:
            if flags & ACK:
                self._acknowledge()  # the SYN-ACK came again: our ACK was lost
            return
        self._heard(segment.ack, segment.edge)
        if self.state == CLOSED:
            return
        payload = segment.payload
        if payload or flags & (FIN | URG):
            if segment.seq != self.rcv_nxt:
                if segment.seq > self.rcv_nxt:
                    if self.later is None:
                        self.later = {}
                    self.later.setdefault(segment.seq, segment)
                    if flags & WANT_ACK:
                        self._acknowledge()
                    return
                payload = payload[self.rcv_nxt - segment.seq :]
                if segment.seq + len(segment.payload) + (flags & FIN) <= self.rcv_nxt:  # all of it is old
                    if flags & WANT_ACK:
                        self._acknowledge()
                    return
            self._accept(payload, flags, segment)
            if self.later:
                self._resume()
        if flags & WANT_ACK and (self.state != CLOSED or self.done):
            self._acknowledge()
        if self.cork is not None:
            self.cork.heard(self)

    def _resume(self) -> None:
        """A hole is filled: take what waited behind it."""
        later = self.later
        assert later is not None
        while later and self.state != CLOSED:
            start = min(later)
            if start > self.rcv_nxt:
                return
            segment = later.pop(start)
            end = start + len(segment.payload)
            if end + (segment.flags & FIN) > self.rcv_nxt:
                self._accept(segment.payload[self.rcv_nxt - start :], segment.flags, segment)

    def _accept(self, payload: bytes, flags: int, segment: Segment) -> None:
        """Data, urgent data and FIN, in order."""
        if self.state not in RECEIVING:
            return
        if payload and self.shut & SHUT_RECEIVE and self.state != ESTABLISHED:
            # Both directions are closed here, and the peer still sends: nobody will read it (RFC 1122, 4.2.2.13).
            self.stack.refuse(segment)
            self.die(ECONNRESET)
            return
        if flags & URG:
            self._urgent_announced(segment.urgent)
        if self.urg_data == URGENT_ANNOUNCED:
            at = self.urg_seq - self.rcv_nxt
            if at < len(payload):
                self.urg_data = URGENT_HERE | payload[at]
                self.wake(DATA_NEWS)
        if payload:
            if self.inbox is None:
                self.inbox = Buffer(payload)
            else:
                self.inbox.append(payload)
            self.rcv_nxt += len(payload)
            if self.watchers is not None and self._enough_to_read():
                self.wake(DATA_NEWS)
        if flags & FIN:
            self.rcv_nxt += 1
            self.done = True
            self.shut |= SHUT_RECEIVE
            state = AFTER_PEER_FIN[self.state]
            if state == TIME_WAIT:
                self._acknowledge_if(flags & WANT_ACK)
                self.linger_on(TIME_WAIT)
            else:
                self.state = state
                self.wake(ANY_NEWS)

    def _acknowledge_if(self, wanted: int) -> None:
        if wanted:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Send an ACK of its own; it tells the window too."""
        if self.local is not None and self.peer is not None:
            self.rcv_told = self.rcv_edge
            self.emit(
                Segment(self.local, self.peer, ACK, self.snd_nxt, self.rcv_nxt, self.rcv_edge, b"", self.stack)
            )

    def _answered(self, segment: Segment) -> None:
        """What comes back to our SYN."""
        flags = segment.flags
        if flags & ACK and segment.ack != self.snd_nxt:
            self.stack.refuse(segment)
            return
        if flags & RST:
            if flags & ACK:
                self.die(ECONNREFUSED)
            return
        if not flags & SYN:
            return
        self.rcv_nxt = segment.seq + 1
        self.snd_edge = segment.edge
        if flags & ACK:
            if self.guard is not None:
                self.guard.acknowledged(self, segment.ack)
            self._established()
            self.wake(ANY_NEWS)
            if self.state == ESTABLISHED:
                self._acknowledge()
        else:  # both sides opened at once, or a socket connected to itself (K-017)
            self.state = SYN_RECV
            self._send_syn(SYN | ACK)

    def _send_syn(self, flags: int) -> None:
        assert self.local is not None and self.peer is not None
        segment = Segment(self.local, self.peer, flags, ISN, self.rcv_nxt, self.rcv_edge, b"", self.stack)
        self.snd_nxt = ISN + 1
        if self.guard is not None:
            self.guard.keep(self, segment)
        self.emit(segment)

    def _handshake_done(self, segment: Segment) -> bool:
        """The third segment of a handshake, or one that implies it; True to go on with its data."""
        if not segment.flags & ACK or segment.ack != self.snd_nxt:
            if segment.flags & SYN and not segment.flags & ACK and self.parent is not None:
                self._send_syn(SYN | ACK)  # the SYN came again: our answer was lost
            return False
        if self.parent is not None and not admit(self, segment):  # type: ignore[arg-type]
            return False
        self.snd_edge = segment.edge
        parent = self.parent
        self._established()
        if parent is not None:
            parent.wake(DATA_NEWS)
        else:
            self.wake(ANY_NEWS)
        return self.state != CLOSED

    def _established(self) -> None:
        self.state = ESTABLISHED
        stack = self.stack
        if stack.on_established is not None:
            stack.on_established(self)

    def _heard(self, ack: int, edge: int) -> None:
        """The acknowledgement and the window of any segment."""
        if edge > self.snd_edge:
            self.snd_edge = edge
        if self.guard is not None:
            self.guard.acknowledged(self, ack)
        if self.fin == FIN_SENT and ack >= self.snd_nxt:
            self._fin_acknowledged()
        elif self.fin == FIN_DUE or (self.outbox is not None and self.outbox.size):
            self.transmit()

    def _reset(self) -> None:
        """An RST arrived."""
        if self.state == SYN_RECV and self.parent is not None:
            self.error = ECONNRESET
            self.vanish()  # a request nobody was told of; the listener never shows it
            return
        self.die(EPIPE if self.state == CLOSE_WAIT else ECONNRESET)

    def _urgent_announced(self, seq: int) -> None:
        """tcp_check_urg: an urgent pointer arrived."""
        copied = self.copied_seq
        if copied > seq or seq < self.rcv_nxt or (self.urg_data and seq <= self.urg_seq):
            return
        if self.urg_data and self.urg_seq == copied and not self.sharing & OOB_INLINE and copied != self.rcv_nxt:
            # The urgent byte before this one is next to be read: it is dropped, not turned into data (K-095).
            assert self.inbox is not None
            self.inbox.take(1)
            self.rcv_edge += 1
        self.urg_data = URGENT_ANNOUNCED
        self.urg_seq = seq

    # Segments out.

    def transmit(self) -> None:
        """Send what window, anchors and corks allow, then the FIN if it is due."""
        outbox = self.outbox
        tampering = self.tampering
        while True:
            allowed = self.snd_edge - self.snd_nxt
            if tampering is not None:
                allowed = tampering.allow(self)
                outbox = self.outbox
                if allowed < 0:
                    break
            size = outbox.size if outbox is not None else 0
            n = min(size, allowed, self.mss)
            if n <= 0 or (self.cork is not None and n == size and self.cork.holds(self, n)):
                break
            assert outbox is not None
            self.send_data(outbox.take(n))
        if self.no_space:
            self.space_came()
        if self.fin == FIN_DUE and not self.unsent and (tampering is None or not tampering.stops):
            self._send_fin()

    def space_came(self) -> None:
        """Tell those who found no room, if there is enough again."""
        if self.no_space and self.writable():
            self.no_space = False
            self.wake(SPACE_NEWS)

    def send_data(self, payload: bytes) -> None:
        """Put *payload* on the wire now."""
        assert self.local is not None and self.peer is not None
        seq = self.snd_nxt
        flags = ACK
        urgent = self.urg_out
        if urgent and urgent - seq < 0x10000:
            flags |= URG
            if urgent < seq + len(payload):
                self.urg_out = 0
        self.snd_nxt = seq + len(payload)
        self.rcv_told = self.rcv_edge
        guard = self.guard
        if guard is not None:
            flags |= WANT_ACK
        segment = Segment(
            self.local, self.peer, flags, seq, self.rcv_nxt, self.rcv_edge, payload, self.stack, urgent
        )
        if guard is not None:
            guard.keep(self, segment)
        self.emit(segment)

    def _send_fin(self) -> None:
        """Our FIN. Its acknowledgement is asked for where somebody may notice when it comes."""
        assert self.local is not None and self.peer is not None
        guard = self.guard
        wanted = self.refs > 0 or guard is not None or self.lingers
        flags = FIN | ACK | WANT_ACK if wanted else FIN | ACK
        segment = Segment(
            self.local, self.peer, flags, self.snd_nxt, self.rcv_nxt, self.rcv_edge, b"", self.stack
        )
        self.snd_nxt += 1
        self.fin = FIN_SENT
        if guard is not None:
            guard.keep(self, segment)
        self.emit(segment)
        if not wanted:
            self._fin_acknowledged()

    def _fin_acknowledged(self) -> None:
        state = AFTER_FIN_ACKNOWLEDGED.get(self.state)
        if state is None:
            return
        if state == CLOSED:
            self.die(0)
        elif state == TIME_WAIT:
            self.linger_on(TIME_WAIT)
        else:
            self.state = state
            if self.refs == 0:
                self.linger_on(FIN_WAIT2)
            else:
                self.wake(ANY_NEWS)

    def send_reset(self) -> None:
        """An RST of our own making, as on close with unread data."""
        if self.local is not None and self.peer is not None:
            self.emit(
                Segment(self.local, self.peer, RST | ACK, self.snd_nxt, self.rcv_nxt, self.rcv_edge, b"", self.stack)
            )

    def freed(self, n: int) -> None:
        """The program read *n* bytes: move the window, and say so if the sender may need to know."""
        self.rcv_edge += n
        if self.rcv_edge - self.rcv_told >= self.rcv_room >> 1 and self.state in RECEIVING:
            self._acknowledge()

    # Ends.

    def finish_sending(self) -> None:
        """SHUT_WR, or close: FIN after what is queued."""
        state = AFTER_OUR_FIN.get(self.state)
        if state is None:
            return
        self.state = state
        if self.cork is not None:
            self.cork.open()
        tampering = self.tampering
        if tampering is not None and tampering.cut:
            self._fin_acknowledged()  # it went out long ago
            return
        self.fin = FIN_DUE
        self.transmit()

    def die(self, error: int) -> None:
        """tcp_done: the connection is over, *error* is pending; what was received stays readable."""
        self.error = error
        self.vanish()
        self.shut = SHUT_BOTH
        self.wake(ANY_NEWS)

    def time_out(self) -> None:
        """Retransmission gave up: ETIMEDOUT."""
        self.die(ETIMEDOUT)

    def vanish(self) -> None:
        """Leave the tables: no segment comes here any more."""
        self.state = CLOSED
        self.outbox = None
        self.urg_out = 0
        self.later = None
        self.fin = FIN_NONE
        stack = self.stack
        if self.listener is not None:
            stack.stop_listening(self)
        key = (self.local, self.peer)
        if stack.connections.get(key) is self:
            del stack.connections[key]
        if self.port and not self.locks & 2:
            stack.tcp_ports.free(self.port, self)
            self.port = 0
        if self.slow:
            self._drop_timers()

    def _drop_timers(self) -> None:
        if self.guard is not None:
            self.guard.stop(self)
        if self.cork is not None:
            self.cork.stop()
        if self.tampering is not None:
            self.tampering.stop()

    def prepare(self) -> None:
        """Before the first segment: what the path asks of this connection."""
        stack = self.stack
        assert self.local is not None and self.peer is not None
        if stack.mss is not None:
            self.mss = stack.mss(self.local[0], self.peer[0]) or WHOLE
        if stack.lossy is not None and self.peer[0] in stack.lossy:
            self.watch_losses()

    def watch_losses(self) -> None:
        """From here on segments may get lost: keep them until they are acknowledged."""
        raise NotImplementedError

    def linger_on(self, state: str) -> None:
        """TIME_WAIT, or FIN_WAIT2 without an owner: a small entry stays behind, the socket is closed."""
        seconds = self.option(IPPROTO_TCP, TCP_LINGER2) if state == FIN_WAIT2 else None
        local, peer = self.local, self.peer
        assert local is not None and peer is not None
        rcv_nxt, snd_nxt = self.rcv_nxt, self.snd_nxt
        self.vanish()
        self.shut = SHUT_BOTH
        if seconds is None or seconds >= 0:
            self.stack.leave_behind(self, local, peer, state, snd_nxt, rcv_nxt)
        self.wake(ANY_NEWS)

    def disconnect(self) -> None:
        """tcp_disconnect: as fresh, but that the port shown and a pending error stay."""
        old = self.state
        if old in OWES_RESET or (old in (LAST_ACK, "CLOSING") and self.unsent):
            self.send_reset()
            self.error = ECONNRESET
        elif old == SYN_SENT:
            self.error = ECONNRESET
        self.vanish()
        self.inbox = None
        self.urg_data = 0
        self.done = False
        self.shut = 0
        self.peer = None
        self.forget_address()
        self.wake(ANY_NEWS)

    def forget_address(self) -> None:
        """An address that connect() chose goes; the port shown stays (K-013)."""
        if self.local is not None and not self.locks & 1:
            self.local = (self.stack.wildcard(self.family), self.local[1])

    @property
    def lingers(self) -> bool:
        """Is SO_LINGER on, whatever its time?"""
        linger = self.option(SOL_SOCKET, SO_LINGER)
        return linger is not None and bool(linger[0])

    def option(self, level: int, name: int) -> Any:
        """What setsockopt left here, or None."""
        return None if self.options is None else self.options.get((level, name))

    # Faults (the contract of anchors.py).

    def add_anchor(self, offset: int, callback: Callable[[TcpSocket], None]) -> bool:
        """Call *callback* when *offset* bytes of the program's have gone out, before any later one or the FIN.

        False if more went out already, or nothing ever will. One at the present offset is called at the next
        ``transmit()``.
        """
        if self.fin == FIN_SENT or self.state == CLOSED or offset < self.sent:
            return False
        self.tamper().add(offset, callback)
        return True

    def tamper(self) -> Tampering:
        """The fault hooks of this connection, made on first use."""
        if self.tampering is None:
            self.tampering = Tampering()
            self.slow = True
        return self.tampering

    @property
    def anchors(self) -> list[tuple[int, Callable[[TcpSocket], None]]] | None:
        """What is anchored and has not fired, by offset."""
        return None if self.tampering is None else self.tampering.anchors
