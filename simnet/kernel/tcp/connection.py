"""One end of a TCP connection: a segment in, segments out."""

from __future__ import annotations

from errno import ECONNREFUSED
from typing import Final

from simnet.kernel.buffer import Buffer
from simnet.kernel.counted.ledger import begin
from simnet.kernel.options.peeking import peeked_over
from simnet.kernel.options.values import IPPROTO_TCP, TCP_DEFER_ACCEPT, TCP_QUICKACK
from simnet.kernel.readiness import ANY_NEWS, DATA_NEWS
from simnet.kernel.segment import ACK, FILLS, FIN, RST, SYN, URG, WANT_ACK, Segment
from simnet.kernel.states import (
    AFTER_PEER_FIN,
    CLOSE_WAIT,
    CLOSED,
    ESTABLISHED,
    RECEIVING,
    SHUT_RECEIVE,
    SHUT_SEND,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)
from simnet.kernel.tcp.control import FIN_DUE, FIN_SENT, ISN, OOB_INLINE, URGENT_ANNOUNCED, URGENT_HERE
from simnet.kernel.tcp.cork import Cork, hear_mss
from simnet.kernel.tcp.guard import RTO_FIRST_NS
from simnet.kernel.tcp.listener import admit
from simnet.kernel.tcp.messages import note_little
from simnet.kernel.tcp.nagle import ends_in_two
from simnet.kernel.tcp.tampering import Tamperable
from simnet.kernel.tcp.window import acknowledge_end_later, acknowledge_later, expect_answer, narrow

SYN_AGAIN_NS: Final = 8_000_000  # TCP_TIMEOUT_MIN, two ticks: an old connection answered our SYN, and was reset
DELAYED_ACK_NS: Final = 200_000_000  # TCP_DELACK_MAX


class Connection(Tamperable):
    """The half of the machine that listens, and with it the whole."""

    __slots__ = ()

    def arrive(self, segment: Segment) -> None:
        """Take in one segment; replies go out at once."""
        if segment.flags != ACK or not self.take(segment.seq, segment.edge, segment.payload):
            self.process(segment)

    def take(self, seq: int, edge: int, payload: bytes) -> bool:
        """Nearly every segment: data in order, on a connection without any rare feature. False if it is another one."""
        if seq != self.rcv_nxt or not self.calm or self.slow:
            return False
        if edge > self.snd_edge:
            self.snd_edge = edge
            if self.outbox is not None and self.outbox.size:
                self.transmit()
        if payload:
            size = len(payload)
            inbox = self.inbox
            if inbox is None:
                self.inbox = Buffer(payload)
            elif inbox.size:
                inbox.append(payload)
            else:  # as `append` does with an empty one
                inbox.head = payload
                inbox.offset = 0
                inbox.size = size
            self.rcv_nxt = seq + size
            watchers = self.watchers
            if watchers is not None:
                if len(watchers) == 1:
                    watchers[0].wake(self, DATA_NEWS)
                else:
                    self.wake(DATA_NEWS)
        return True

    def process(self, segment: Segment) -> None:
        """The rest of RFC 9293, 3.10.7."""
        flags = segment.flags
        state = self.state
        if state == SYN_SENT:
            self._answered(segment)
            return
        if flags & RST:
            if self.ended_ns != -1:
                expect_answer(self)
            self.reset(segment.ack)
            return
        if state == SYN_RECV:
            if not self._handshake_done(segment) or (flags == ACK and not segment.payload and not self.slow):
                return
        elif flags & SYN:
            # A SYN-ACK came again, for our ACK was lost; or somebody opens anew what is open here (RFC 5961, 4.2).
            self.acknowledge()
            return
        self._heard(segment)
        payload = segment.payload
        if self.state == CLOSED:
            if payload or flags & FIN:
                self.stack.arrive(segment)  # it acknowledged an orphan's FIN, and the rest is for what that left behind
            return
        if payload or flags & (FIN | URG):
            if segment.seq != self.rcv_nxt:
                if segment.seq > self.rcv_nxt:
                    if self.later is None:
                        self.later = {}
                        self.slow = True  # what fills the hole must look here
                    self.later.setdefault(segment.seq, segment)
                    if flags & WANT_ACK:
                        self.acknowledge()
                    return
                payload = payload[self.rcv_nxt - segment.seq :]
                if segment.seq + len(segment.payload) + (flags & FIN) <= self.rcv_nxt:  # all of it is old
                    if flags & WANT_ACK:
                        self.acknowledge()
                    return
            self._accept(payload, flags, segment)
            if self.later:
                self._resume()
            if flags & FIN and self.ledger is not None:
                self.ledger.hear_end()
        if flags & WANT_ACK and self.state != CLOSED:
            told = self.ledger is not None and not self.ledger.account.owes
            if self.state == CLOSE_WAIT and flags & FIN and self.guard is None and not told:
                acknowledge_end_later(self, ends_in_two(self))
            else:
                self.acknowledge()
        elif flags & FILLS and self.state in RECEIVING:
            acknowledge_later(self)
        if self.cork is not None:
            self.cork.heard(self, segment)

    def _resume(self) -> None:
        """A hole is filled: take what waited behind it."""
        later = self.later
        assert later is not None
        while later and self.state != CLOSED:
            start = min(later)
            if start > self.rcv_nxt:
                return
            segment = later.pop(start)
            if start + len(segment.payload) + (segment.flags & FIN) > self.rcv_nxt:
                self._accept(segment.payload[self.rcv_nxt - start :], segment.flags, segment)

    def _accept(self, payload: bytes, flags: int, segment: Segment) -> None:
        """Data, urgent data and FIN, in order."""
        if self.state not in RECEIVING:
            return
        if flags & URG:
            self._urgent_announced(segment.urgent)
        if self.urg_data == URGENT_ANNOUNCED:
            at = self.urg_seq - self.rcv_nxt
            if at < len(payload):
                self.urg_data = URGENT_HERE | payload[at]
                self.wake(DATA_NEWS)
        if payload and self.shut & SHUT_RECEIVE and self.state != ESTABLISHED:
            # Both directions are closed here, and the peer still sends: nobody will read it (RFC 1122, 4.2.2.13).
            self.stack.refuse(segment)
            self.reset()
            return
        if payload:
            if self.inbox is None:
                self.inbox = Buffer(payload)
            else:
                self.inbox.append(payload)
            self.rcv_nxt += len(payload)
            if self.watchers is not None:
                if self.enough_to_read(self.low_water):
                    self.wake(DATA_NEWS)
                else:
                    note_little(self)
        if flags & FIN:
            self.rcv_nxt += 1
            self.done = True
            self.shut |= SHUT_RECEIVE
            self.calm = False
            state = AFTER_PEER_FIN[self.state]
            if state == TIME_WAIT:
                if flags & WANT_ACK:
                    self.acknowledge()
                self.linger_on(TIME_WAIT)
            else:
                self.state = state
                if state == CLOSE_WAIT:
                    self.ended_ns = self.stack.clock.now_ns
                self.wake(ANY_NEWS)

    def _answered(self, segment: Segment) -> None:
        """What comes back to our SYN."""
        flags = segment.flags
        if flags & ACK and segment.ack != self.snd_nxt:
            self._answered_by_an_old_one(segment)
            return
        if flags & RST:
            if flags & ACK:
                self.owed = 1  # the SYN
                self.die(ECONNREFUSED)
            return
        # Who has not heard our SYN acknowledges no number of ours, though all of ours begin at the same.
        if not flags & SYN:
            if flags & ACK:
                self._answered_by_an_old_one(segment)
            return
        self.rcv_nxt = segment.seq + 1
        self.snd_edge = segment.edge
        hear_mss(self, segment)
        if flags & ACK:
            if self.guard is not None:
                self.guard.acknowledged(self, segment.ack)
            self._established()
            self.wake(ANY_NEWS)
            if self.state == ESTABLISHED:
                here = self.stack.is_local(segment.source[0])
                if here:
                    narrow(self, segment.sender)
                self._complete()
                if here:
                    begin(self, segment.sender)
        else:  # both sides opened at once, or a socket connected to itself (K-017)
            self.state = SYN_RECV
            if segment.sender is self:  # which hears of itself with each segment, and acknowledges only with the next
                self.cork = self.cork or Cork()
                self.slow = True
            self.send_syn(SYN | ACK)

    def _answered_by_an_old_one(self, segment: Segment) -> None:
        """Of this name there is another connection at the other end; a reset ends it, and our SYN goes out again."""
        self.stack.refuse(segment)
        if self.guard is None:
            clock = self.stack.clock
            clock.at(clock.now_ns + SYN_AGAIN_NS, _open_again, self)

    def _complete(self) -> None:
        """The third segment of our handshake. TCP_DEFER_ACCEPT on this side, or TCP_QUICKACK off, make it wait for data."""
        options = self.options
        if options is not None:
            hurried = options.pop((IPPROTO_TCP, TCP_QUICKACK), 1)  # which is for once
            if not self.unsent and (not hurried or options.get((IPPROTO_TCP, TCP_DEFER_ACCEPT))):
                clock = self.stack.clock
                clock.at(clock.now_ns + DELAYED_ACK_NS, _acknowledge_late, self)
                return
        self.acknowledge()

    def _handshake_done(self, segment: Segment) -> bool:
        """The third segment of a handshake, or one that implies it; True to go on with its data."""
        if not segment.flags & ACK or segment.ack != self.snd_nxt:
            if segment.flags & SYN and not segment.flags & ACK and self.parent is not None:
                self.send_syn(SYN | ACK)  # the SYN came again: our answer was lost
            return False
        if self.parent is not None and not admit(self, segment):  # type: ignore[arg-type]
            return False
        self.snd_edge = max(self.snd_edge, segment.edge)  # accounts may have told it already
        parent = self.parent
        self._established()
        if parent is not None:
            parent.wake(DATA_NEWS)
        else:
            self.wake(ANY_NEWS)
        if self.shut & SHUT_SEND:  # shutdown() came before connect() or listen(): only this way of opening acts on it
            self.finish_sending()
        return self.state != CLOSED

    def _established(self) -> None:
        self.state = ESTABLISHED
        stack = self.stack
        trip_ns = stack.clock.now_ns - self.since_ns
        self.trip_ns = trip_ns or 1 if trip_ns < RTO_FIRST_NS else 0
        if self.guard is not None:
            self.guard.established(self)
            self.leave_guard()
        self.look_around()
        if stack.on_established is not None:
            stack.on_established(self)

    def _heard(self, segment: Segment) -> None:
        """The acknowledgement and the window of any segment."""
        ack = segment.ack
        moved = segment.edge > self.snd_edge
        if moved:
            self.snd_edge = segment.edge
        if self.guard is not None:
            self.guard.acknowledged(self, ack, pure=segment.flags == ACK and not segment.payload and not moved)
        if self.window is not None and self.window.flight:
            self.window.heard(self, ack)
        if self.fin == FIN_SENT and ack >= self.snd_nxt:
            self.fin_acknowledged()
        elif self.fin == FIN_DUE or self.unsent:
            self.transmit()

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
            if self.options is not None:
                peeked_over(self.options, copied + 1)
        self.urg_data = URGENT_ANNOUNCED
        self.calm = False
        self.urg_seq = seq
        self.urge()


def _open_again(connection: Connection) -> None:
    if connection.state == SYN_SENT:
        connection.send_syn(SYN)


def _acknowledge_late(connection: Connection) -> None:
    if connection.state == ESTABLISHED and connection.snd_nxt == ISN + 1:
        connection.acknowledge()
