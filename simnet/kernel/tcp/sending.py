"""The sending side of a TCP connection: data, FIN and RST out, and how a connection ends.

Flow control without acknowledgements: between loss-free ends an ACK tells the sender only that the receiver
reads, so none is sent. Bytes that were sent occupy the peer's window, and the window is announced only once it has moved by
half its size, with the next segment or with one of its own. It is always announced to a sender that is out of window: that sender
filled all of it, so reading all of it moves the edge by the whole. Only such a sender sees an acknowledgement, which ``window``
sends. Where a path may lose, ``guard`` keeps what was sent until it is acknowledged.
"""

from __future__ import annotations

from errno import ECONNRESET, EPIPE, ETIMEDOUT
from typing import Final

from simnet.kernel import inet
from simnet.kernel.options.idle import ERROR_QUEUES
from simnet.kernel.options.values import IPPROTO_TCP, TCP_LINGER2
from simnet.kernel.readiness import ANY_NEWS, ERROR_NEWS, SPACE_NEWS
from simnet.kernel.segment import ACK, FILLS, FIN, RST, URG, WANT_ACK, Notice, Segment
from simnet.kernel.states import (
    AFTER_FIN_ACKNOWLEDGED,
    AFTER_OUR_FIN,
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    OWES_RESET,
    RECEIVING,
    SHUT_BOTH,
    SHUT_RECEIVE,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)
from simnet.kernel.tcp.control import (
    AUTOTUNED_SEND_ROOM,
    BOUND_PORT,
    FIN_DUE,
    FIN_NONE,
    FIN_SENT,
    ISN,
    LOCK_ADDRESS,
    LOCK_PORT,
    NARROW_ROOM,
    WHOLE,
    ControlBlock,
)
from simnet.kernel.tcp.cork import segment_of
from simnet.kernel.tcp.guard import Guard
from simnet.kernel.tcp.listener import forget
from simnet.kernel.tcp.nagle import in_flight, left_at_reset
from simnet.kernel.tcp.patience import ask_later, left
from simnet.kernel.tcp.window import (
    FIRST_WINDOW,
    FIRST_WINDOW_V6,
    LATER_WINDOW,
    STREAM,
    UNSCALED,
    fill,
    hold,
    is_hurried,
    least_of_window,
    offer_whole_segments,
    owes_acknowledgement,
    owes_for_much,
    tell_when_probed,
    widen,
    window_of,
)

URGENT_REACH: Final = 0x10000  # how far ahead the 16 bits of an urgent pointer can point


class Sender(ControlBlock):
    """The half of the machine that speaks."""

    __slots__ = ()

    def transmit(self) -> None:
        """Send what window, anchors and corks allow, then the FIN if it is due."""
        outbox = self.outbox
        tampering = self.tampering
        if self.ledger is not None:
            self.ledger.follow()
        if self.guard is not None and self.guard.in_loss():
            return
        while self.ledger is None:
            allowed = self.snd_edge - self.snd_nxt
            if tampering is not None:
                allowed = tampering.allow(self)
                outbox = self.outbox
                if allowed < 0:
                    break
            size = outbox.size if outbox is not None else 0
            n = min(size, allowed, self.mss)
            if self.cork is not None and n == size and n > 0:
                n -= self.cork.held(self, n)
            if n <= 0:
                break
            if n < size and n == allowed < UNSCALED and tampering is None is self.guard and n < least_of_window(self):
                hold(self)  # a guard probes by itself, below
                break
            assert outbox is not None
            if self.urg_out:
                n = min(n, segment_of(self))  # the pointer reaches only so far
            if n == allowed and self.guard is None and tampering is None:
                fill(self, n)
                self.send_data(outbox.take(n), ACK | FILLS)
            else:
                self.send_data(outbox.take(n))
        if (self.guard is not None or self.options) and self.unsent:
            ask_later(self)
        if self.no_space:
            self.space_came()
        if (
            self.fin == FIN_DUE
            and not self.unsent
            and self.ledger is None
            and (tampering is None or not tampering.stops)
        ):
            self.send_fin()

    def space_came(self) -> None:
        """Tell those who found no room, if there is enough again."""
        if self.no_space and self.writable():
            self.no_space = False
            self.wake(SPACE_NEWS)

    def tell_space(self) -> None:
        """An option says anew how much fits: if there is room, that is news, whoever knew of it before."""
        if self.writable() if self.ledger is None else self.ledger.account.writable:
            self.no_space = False
            self.wake(SPACE_NEWS)

    def put(self, flags: int, payload: bytes = b"", length: int = 0, urgent: int = 0) -> None:
        """One segment onto the wire, which takes *length* sequence numbers."""
        guard = self.guard
        if guard is not None and length:
            flags |= WANT_ACK
        if self.window is not None:
            self.window.tell(self.stack.clock.now_ns, self.rcv_nxt, self.snd_nxt + length)
        seq = self.snd_nxt
        self.snd_nxt = seq + length
        edge = self.rcv_told = self.rcv_edge
        if payload or self.rcv_wup > ISN + 1:
            self.rcv_wup = self.rcv_nxt
        segment = Segment(
            self.local,  # type: ignore[arg-type]  # who sends has both addresses
            self.peer,  # type: ignore[arg-type]
            flags,
            seq,
            self.rcv_nxt,
            edge,
            payload,
            self,
            urgent,
        )
        if guard is not None and length:
            guard.keep(self, segment)
        self.emit(segment)

    def send_data(self, payload: bytes, flags: int = ACK) -> None:
        """Put *payload* on the wire now, with the urgent pointer if a byte in sight is urgent."""
        length = len(payload)
        urgent = self.urg_out
        if urgent:
            if urgent < self.snd_nxt + length:
                self.urg_out = 0
            self.put(flags | URG, payload, length, min(urgent, self.snd_nxt + URGENT_REACH - 1))
        else:
            self.put(flags, payload, length)

    def send_syn(self, flags: int) -> None:
        """Our SYN, for the first time or because the peer's came again."""
        if self.guard is not None and self.guard.kept:
            self.guard.again(self, self.guard.kept[0])
        else:
            self.snd_nxt = ISN
            self.put(flags, length=1)

    def acknowledge(self) -> None:
        """An ACK of its own; it tells the window too, and of an urgent byte that waits for it."""
        self.send_data(b"")

    def probe(self) -> None:
        """An empty segment that asks for an answer: is the window open, is the peer there?"""
        self.emit(
            Segment(
                self.local,  # type: ignore[arg-type]
                self.peer,  # type: ignore[arg-type]
                ACK | WANT_ACK,
                self.snd_nxt - 1,
                self.rcv_nxt,
                self.rcv_edge,
                b"",
                self,
            )
        )

    def send_fin(self) -> None:
        """Our FIN. Its acknowledgement is asked for where somebody may notice when it comes."""
        wanted = (
            self.refs > 0 or self.guard is not None or self.lingers or self.keeps_no_half or self.locks & BOUND_PORT > 0
        )
        self.fin = FIN_SENT
        self.put(FIN | ACK | WANT_ACK if wanted else FIN | ACK, length=1)
        if not wanted:
            self.fin_acknowledged()

    def fin_acknowledged(self) -> None:
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
        """An RST of our own making, as on close with unread data. It acknowledges nothing that was not before."""
        if self.local is not None and self.peer is not None:
            heard = self.rcv_nxt
            self.rcv_nxt -= left_at_reset(self)
            self.put(RST | ACK)
            self.rcv_nxt = heard

    def freed(self) -> None:
        """The program read something: move the window, and say so if the sender may need to know.

        A window that is nearly shut stays where it is: Linux offers no sixteenths (__tcp_select_window). And the first
        read of a window that was filled acknowledges (tcp_cleanup_rbuf).
        """
        if self.ledger is not None:
            self.ledger.read()
            return
        room = self.rcv_room
        if room == NARROW_ROOM and self.copied_seq > STREAM:
            room = widen(self)  # it is told less often
        owes = owes_acknowledgement(self)
        if room < UNSCALED:
            offer_whole_segments(self)
        elif (room - self.unread) * (3 if owes else 16) >= room:
            self.rcv_edge = self.copied_seq + room
        moved = self.rcv_edge - self.rcv_told
        shut = self.rcv_told <= self.rcv_nxt
        if room < UNSCALED:
            grown = moved > 0 and self.rcv_edge - self.rcv_nxt >= 2 * (self.rcv_told - self.rcv_nxt)
        else:
            grown = moved >= room >> 1 or (shut and moved * 3 >= room)
        if (owes or grown) and self.state in RECEIVING:
            if not self.shut & SHUT_RECEIVE or (owes and owes_for_much(self)):
                self.acknowledge()
            elif not owes:
                tell_when_probed(self)
        elif owes and is_hurried(self):
            self.acknowledge()

    # Ends.

    def finish_sending(self) -> None:
        """SHUT_WR, or close: FIN after what is queued."""
        state = AFTER_OUR_FIN.get(self.state)
        if state is None:
            return
        before = in_flight(self) if self.cork is not None else 0
        self.state = state
        self.calm = False
        if self.ledger is not None:
            self.ledger.finish()
        elif self.cork is not None:
            self.cork.open()
            held = self.unsent
            if held and self.guard is None and held < self.snd_edge - self.snd_nxt:
                window_of(self).flight += before + held  # it goes with the FIN, and is acknowledged as late
        tampering = self.tampering
        if tampering is not None and tampering.cut:
            self.fin_acknowledged()  # it went out long ago
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
        """Retransmission or a window's probe gave up: ETIMEDOUT."""
        self.owed, unsent = left(self)
        self.die(self.soft_error or ETIMEDOUT)
        if unsent:
            window_of(self).lost = unsent

    def vanish(self) -> None:
        """Leave the tables: no segment comes here any more."""
        self.state = CLOSED
        self.calm = False
        self.twin = self.far = None
        self.outbox = None
        self.urg_out = 0
        self.later = None
        self.fin = FIN_NONE
        stack = self.stack
        if self.parent is not None:
            forget(self)  # type: ignore[arg-type]
        if self.listener is not None:
            stack.stop_listening(self)  # type: ignore[arg-type]  # every Sender is a TcpSocket
        key = (self.local, self.peer)
        if stack.connections.get(key) is self:
            del stack.connections[key]
        if self.port and not (self.locks & LOCK_PORT and self.refs):
            stack.tcp_ports.free(self.port, self)
            self.port = 0
        if self.slow:
            self._drop_timers()
        if self.window is not None:
            self.window.over()
            self.window = None

    def hurry(self) -> None:
        """Nothing is in flight any more that counts: the short ways are open again, unless something else is in them."""
        unusual = (self.guard, self.cork, self.tampering, self.later, self.ledger)
        limited = self.mss != WHOLE or self.snd_room < AUTOTUNED_SEND_ROOM
        self.slow = limited or any(each is not None for each in unusual)

    def _drop_timers(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        for each in (self.guard, self.cork, self.tampering):
            if each is not None:
                each.stop()

    def prepare(self) -> None:
        """Before the first segment: what the path asks of this connection."""
        stack = self.stack
        assert self.local is not None
        assert self.peer is not None
        if stack.mss is not None:
            self.mss = stack.mss(self.local[0], self.peer[0]) or WHOLE
            self.slow = self.slow or self.mss != WHOLE
        if stack.lossy is not None and self.peer[0] in stack.lossy:
            self.watch_losses()

    def watch_losses(self) -> None:
        """From here on segments may get lost: keep them until they are acknowledged."""
        if self.guard is not None or self.state == LISTEN:
            return
        guard = self.guard = Guard()
        self.slow = True
        self.calm = False
        self.window = None  # the guard counts what is in flight
        if self.ledger is not None:
            self.ledger.close()
        guard.begin(self)

    def leave_guard(self) -> None:
        """Only our SYN was lost, to a queue of this host that was full, and nothing else can be."""
        stack, peer = self.stack, self.peer
        assert peer is not None
        lossy = stack.lossy is not None and peer[0] in stack.lossy
        if stack.is_local(peer[0]) and not lossy and self.emit is stack.emit:
            assert self.guard is not None
            self.guard.stop()
            self.guard = None
            self.hurry()
            self.since_ns = stack.clock.now_ns  # it is as young as one that was made at once

    def lost(self, segment: Segment) -> None:
        """*segment*, sent by this end, was dropped: what a timer would find out later."""
        self.watch_losses()
        if self.guard is not None:
            self.guard.keep_lost(self, segment)

    def unreachable(self, error: int) -> None:
        """ICMP: an attempt to connect fails; a connection only remembers it as the reason if it times out.

        Unless IP_RECVERR is set, which makes it known at once.
        """
        assert self.peer is not None
        if self.state in (SYN_SENT, SYN_RECV):
            if self.parent is None:
                self.die(error)
        elif self.option(*ERROR_QUEUES[":" in self.peer[0]]):
            self.error = error
            self.calm = False
            self.wake(ERROR_NEWS)
        else:
            self.soft_error = error

    def reset(self, ack: int = 0) -> None:
        """An RST arrived; *ack* says how much of what this end sent had come there, 0 for all of it."""
        if self.state == SYN_RECV and self.parent is not None:
            self.vanish()  # a request nobody was told of; the listener never shows it
        else:
            unsent = self.unsent + (self.fin == FIN_DUE)
            on_the_way = self.snd_nxt - ack if ack else 0
            if self.ledger is not None:
                on_the_way = max(on_the_way, self.ledger.in_flight)
            if self.window is not None:
                flight = self.window.flight  # nor what it acknowledges
                on_the_way = max(on_the_way, flight + (self.fin == FIN_SENT and flight > 0))
            if self.fin == FIN_SENT and self.state == FIN_WAIT1:
                on_the_way = on_the_way or 1  # what a reset acknowledges does not count
            self.owed = unsent + on_the_way
            self.die(EPIPE if self.state == CLOSE_WAIT else ECONNRESET)
            if unsent:
                window_of(self).lost = unsent

    @property
    def keeps_no_half(self) -> bool:
        """Is TCP_LINGER2 negative?"""
        seconds = self.option(IPPROTO_TCP, TCP_LINGER2)
        return seconds is not None and seconds < 0

    def linger_on(self, state: str) -> None:
        """TIME_WAIT, or FIN_WAIT2 without an owner: a small entry stays behind, the socket is closed.

        FIN_WAIT2 lasts as long as TCP_LINGER2 says. If that is negative, there is none: the peer is told so when it has
        acknowledged our FIN.
        """
        seconds = self.option(IPPROTO_TCP, TCP_LINGER2) if state == FIN_WAIT2 else None
        if ends := seconds is not None and seconds < 0:
            self.send_reset()
        self.vanish()
        self.shut = SHUT_BOTH
        if not ends:
            self.stack.leave_behind(self, state, self.snd_nxt, self.rcv_nxt, seconds)
        self.wake(ANY_NEWS)

    def close_at_once(self, state: str) -> None:
        """The usual end, without the detours for the unusual: nothing queued, no option, no fault, no loss."""
        stack = self.stack
        self.put(FIN | ACK, length=1)
        self.state = CLOSED
        self.calm = False
        self.twin = self.far = None
        if state == CLOSE_WAIT:
            del stack.connections[(self.local, self.peer)]
        else:
            stack.leave_behind(self, FIN_WAIT2, self.snd_nxt, self.rcv_nxt)
        stack.tcp_ports.free(self.port, self)
        self.port = 0

    def disconnect(self) -> None:
        """tcp_disconnect: as fresh, but that the port shown and a pending error stay."""
        old = self.state
        self.calm = False
        if old in OWES_RESET or (old in (LAST_ACK, CLOSING) and self.unsent):
            self.send_reset()
            self.error = ECONNRESET
        elif old == SYN_SENT:
            self.error, self.owed = ECONNRESET, 1
        unsent = 0 if self.window is None else self.window.lost
        skipped = 2  # tcp_disconnect leaves numbers out, lest old segments fit
        if self.snd_edge:
            quiet = self.origin == "client" and self.snd_nxt == self.rcv_nxt == ISN + 1
            six = self.peer is not None and ":" in self.peer[0]
            skipped += (FIRST_WINDOW_V6 if six else FIRST_WINDOW) if quiet else LATER_WINDOW
        self.owed += skipped
        if old != CLOSED:
            self.vanish()  # a dead socket that was bound anew keeps its port
        self.snd_edge = 0
        self.window = None
        window_of(self).lost = unsent + skipped
        self.inbox = None
        self.urg_data = 0
        self.done = False
        self.shut = 0
        self.peer = None
        self.way = self.twin = self.far = None
        self.forget_address()
        self.wake_last()

    def wake_last(self) -> None:
        """A change of state by this end's own program: what went out reaches a socket of this host before it is told."""
        out = self.stack.out
        if out and self.watchers is not None:
            here = out[-1].source
            out.append(Notice(here, here, None, self.stack, self))
        else:
            self.wake(ANY_NEWS)

    def forget_address(self) -> None:
        """An address that connect() chose goes; the port shown stays (K-013)."""
        if self.local is not None and not self.locks & LOCK_ADDRESS:
            self.local = (inet.wildcard(self.family), self.local[1])
