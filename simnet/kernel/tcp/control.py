"""The control block of one TCP connection: its fields, and what can be asked of them.

The names of fields are those of RFC 9293 and Linux: ``snd_nxt`` is the next sequence number to send, ``snd_edge`` the
first one the peer does not allow; ``rcv_nxt`` is the next one expected, ``rcv_edge`` the first one we do not allow. Numbers
never wrap, and initial ones are 1; a real kernel draws them at random. What goes out is in ``sending.py``, what comes in in
``connection.py``, what a program does with it in ``tcp_stream.py`` and ``tcp.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.buffer import Buffer
from simnet.kernel.descriptors import File
from simnet.kernel.options.values import IPPROTO_TCP, SO_LINGER, SO_SNDBUF, SOL_SOCKET, TCP_NOTSENT_LOWAT
from simnet.kernel.readiness import ERR, HUP, PRI, RDHUP, READABLE, READABLE_AND_WRITABLE, WRITABLE
from simnet.kernel.segment import Endpoint, Packet, Segment
from simnet.kernel.states import CLOSED, ESTABLISHED, LISTEN, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND, SYN_RECV, SYN_SENT

if TYPE_CHECKING:
    from simnet.kernel.counted.ledger import Ledger
    from simnet.kernel.stack import Stack
    from simnet.kernel.tcp.anchors import Tampering
    from simnet.kernel.tcp.cork import Cork
    from simnet.kernel.tcp.guard import Guard
    from simnet.kernel.tcp.listener import Listener
    from simnet.kernel.tcp.sockets import TcpSocket
    from simnet.kernel.tcp.window import Window

ISN: Final = 1

# Bits of ``locks``: what a socket does not give up when it is disconnected.
LOCK_ADDRESS: Final = 1  # bind() named an address
LOCK_PORT: Final = 2  # bind() named a port
CHOSEN_PORT: Final = 8  # bind() had the kernel choose one
BOUND_PORT: Final = LOCK_PORT | CHOSEN_PORT  # another socket may connect from it to the same peer
SPEAKS_IPV4: Final = 4  # and what it cannot: an IPv6 socket has connected to an IPv4 address

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
# 3,919,467 bytes, 127,973 of them in the peer, and 333,312 more when those were acknowledged; when the peer had read twice there
# was room for 1.4 MB more (measured on Linux 6.18; K-064).
AUTOTUNED_SEND_ROOM: Final = 3_919_872
AUTOTUNED_SEND_ROOM_LATER: Final = 4_125_211
AUTOTUNED_SEND_ROOM_GROWN: Final = 5_583_299
AUTOTUNED_RECEIVE_ROOM: Final = 128_000  # of who connected; who accepted has 27 bytes less
ACCEPTED_RECEIVE_ROOM: Final = 127_973
NARROW_ROOM: Final = 65_537  # of both, on one host, until a write exceeds it: Linux has told no more of its window

WHOLE: Final = 1 << 62  # an MSS that cuts nothing: a segment is as large as a write


class ControlBlock(File):
    """What one end knows. ``refs == 0`` marks an orphan: closed by its program, still delivering."""

    __slots__ = (
        "stack", "emit", "family", "state", "stage", "error", "soft_error", "shut", "done", "origin",
        "local", "peer", "port", "locks", "autobound", "sharing", "since_ns", "trip_ns", "ended_ns",
        "listener", "parent", "options",
        "snd_nxt", "snd_edge", "snd_room", "outbox", "fin", "mss", "peer_mss", "urg_out", "no_space", "owed",
        "rcv_nxt", "rcv_wup", "rcv_edge", "rcv_told", "rcv_room", "inbox", "low_water", "urg_data", "urg_seq", "later",
        "calm", "slow", "tampering", "cork", "guard", "window", "ledger", "way", "twin", "far",
    )  # fmt: skip

    def __init__(self, stack: Stack, family: int) -> None:
        self.refs = 1
        self.watchers = None
        self.tag: object = None
        self.stack = stack
        self.emit: Callable[[Packet], None] = stack.emit
        self.family = family
        self.state: str = CLOSED
        self.stage = UNCONNECTED
        self.error = 0
        self.soft_error = 0  # what ICMP said; told instead of ETIMEDOUT
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
        self.ended_ns = -1  # when the peer's FIN came before ours, or what was said since (`expect_answer`)
        self.trip_ns = 0  # the round trip that the handshake took; 0 before it, or if it had to be repeated
        self.listener: Listener | None = None
        self.parent: TcpSocket | None = None
        self.options: dict[tuple[int, int], Any] | None = None
        self.snd_nxt = ISN
        self.snd_edge = 0
        self.snd_room = AUTOTUNED_SEND_ROOM
        self.outbox: Buffer | None = None
        self.fin = FIN_NONE
        self.mss = WHOLE
        self.peer_mss = 0  # the segment that the peer's SYN asked for, by TCP_MAXSEG or a small window
        self.urg_out = 0  # sequence number of an urgent byte that waits to be sent
        self.owed = 0  # sequence numbers that nobody had acknowledged when it died, for SIOCOUTQ
        self.no_space = False  # somebody was told that there is no room (SOCK_NOSPACE)
        self.rcv_nxt = 0
        self.rcv_wup = ISN + 1  # and as the last segment with data acknowledged it
        self.rcv_edge = self.rcv_told = ISN + 1 + AUTOTUNED_RECEIVE_ROOM
        self.rcv_room = AUTOTUNED_RECEIVE_ROOM
        self.inbox: Buffer | None = None
        self.low_water = 1
        self.urg_data = 0
        self.urg_seq = 0
        self.later: dict[int, Segment] | None = None  # what arrived before what it follows
        self.calm = False  # see `look_around`
        self.slow = False  # an MSS or one of the three below: sending needs more than a look at the window
        self.tampering: Tampering | None = None
        self.cork: Cork | None = None
        self.guard: Guard | None = None
        self.window: Window | None = None
        self.ledger: Ledger | None = None  # its account, where amounts are counted as Linux counts them
        self.way: Any = None  # the network's: how segments get to this peer
        self.twin: Any = None  # the network's: the other end, where nothing can happen to data in between
        self.far: Any = None  # and the other end on another host, where one answered the other's SYN

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} {self.local} -> {self.peer}>"

    def mask(self) -> int:
        """The poll mask now, by K-002."""
        if self.calm:  # nearly always
            inbox = self.inbox
            outbox = self.outbox
            if ((outbox is None or not outbox.size) and self.window is None) or self.writable():
                return READABLE_AND_WRITABLE if inbox is not None and inbox.size else WRITABLE
            self.no_space = True
            return READABLE if inbox is not None and inbox.size else 0
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
            if (
                inbox is not None
                and inbox.size
                and ((self.low_water == 1 and not self.urg_data) or self.enough_to_read())
            ):
                mask |= READABLE
            outbox = self.outbox
            idle = (outbox is None or not outbox.size) and self.guard is None and self.window is None
            if shut & SHUT_SEND or (idle and self.ledger is None) or self.writable():
                mask |= WRITABLE
            else:
                self.no_space = True
            if self.urg_data & URGENT_HERE:
                mask |= PRI
        if self.error:
            mask |= ERR
        return mask

    def look_around(self) -> None:
        """Is it calm: ESTABLISHED, with no shutdown, error, urgent byte, SO_RCVLOWAT or guard? Whoever disturbs it says so."""
        self.calm = (
            self.state == ESTABLISHED
            and not (self.shut or self.error or self.urg_data)
            and self.low_water == 1
            and self.guard is None
            and self.ledger is None
        )

    def enough_to_read(self, least: int = 0) -> bool:
        """Do the unread bytes reach SO_RCVLOWAT? An urgent byte that is next and not inline does not count.

        It does where *least* is SO_RCVLOWAT: who waits for an edge is told of it (tcp_epollin_ready).
        """
        inbox = self.inbox
        assert inbox is not None
        if not least:
            least = self.low_water
            if self.urg_data and self.urg_seq == self.copied_seq and not self.sharing & OOB_INLINE:
                least += 1
        if inbox.size >= least:
            return True
        # A full window is enough, whatever the mark: nothing more can come.
        full = self.rcv_nxt >= self.rcv_told if self.ledger is None else self.ledger.account.is_pressed
        return inbox.size > 0 and full

    def writable(self) -> bool:
        """Is as much of the send buffer free as Linux wants before it says OUT: a third (K-066)?"""
        if self.ledger is not None:
            return self.ledger.writable
        outbox = self.outbox
        unsent = 0 if outbox is None else outbox.size
        if self.guard is not None and self.state != CLOSED:
            return (unsent + self.guard.unacknowledged) * 3 <= self.lossy_room * 2
        if self.options is not None:
            lowest = self.options.get((IPPROTO_TCP, TCP_NOTSENT_LOWAT))
            left_out = 0 if self.window is None else self.window.lost
            if lowest and 0 < lowest <= (unsent + left_out) * 2:
                return False
        if self.window is not None:
            unsent += self.window.flight
        return unsent * 3 <= self.snd_room * 2

    @property
    def lossy_room(self) -> int:
        """What the send buffer holds where segments may get lost: half of one set by hand, as headers take the rest."""
        return self.snd_room if self.option(SOL_SOCKET, SO_SNDBUF) is None else self.snd_room >> 1

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

    @property
    def lingers(self) -> bool:
        """Is SO_LINGER on, whatever its time?"""
        linger = self.option(SOL_SOCKET, SO_LINGER)
        return linger is not None and bool(linger[0])

    def option(self, level: int, name: int) -> Any:
        """What setsockopt left here, or None."""
        return None if self.options is None else self.options.get((level, name))
