"""Acknowledgements that come late: for a sender that filled a window, and for a FIN.

Elsewhere there are no acknowledgements between loss-free ends (``sending.py``). Here a program sees them. Data that is not
acknowledged takes room in the send buffer, so that a sender that fills the peer's window is full sooner, and has room again when the
acknowledgement comes (K-066): with the peer's first read, with its next segment, or 44 ms later. A FIN that is
acknowledged is an edge, and what a lingering close waits for (K-073).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.counted.account import PROBE_NS
from simnet.kernel.options.values import TICK_NS
from simnet.kernel.segment import ACK, FILLS
from simnet.kernel.states import CLOSE_WAIT, ESTABLISHED, LAST_ACK, RECEIVING
from simnet.kernel.tcp.control import (
    ACCEPTED_RECEIVE_ROOM,
    AUTOTUNED_RECEIVE_ROOM,
    AUTOTUNED_SEND_ROOM,
    AUTOTUNED_SEND_ROOM_GROWN,
    AUTOTUNED_SEND_ROOM_LATER,
    ISN,
    NARROW_ROOM,
    ControlBlock,
)

if TYPE_CHECKING:
    from simnet.kernel.tcp.sending import Sender

# What ends on one host offer each other at first: the SYN-ACK, then whatever comes. Later it grows with the traffic.
FIRST_WINDOW: Final = 65483
FIRST_WINDOW_V6: Final = 65464
LATER_WINDOW: Final = 65536
GROWN_WINDOW: Final = 70656
LARGEST_WINDOW: Final = 2 * FIRST_WINDOW  # no segment is larger than what the interface takes
BY_HAND: Final = 127_000  # a smaller receive buffer is one that SO_RCVBUF has set; a window of it offers two thirds
AUTOTUNED: Final = (AUTOTUNED_RECEIVE_ROOM, ACCEPTED_RECEIVE_ROOM)
UNSCALED: Final = 65536  # a smaller one is told in bytes, and offered in whole segments
STREAM: Final = 1 << 20  # bytes after which what has set nothing is counted no more
FILLS_TO_GROW: Final = 3  # the peer has read twice
DELAYED_NS: Final = 44_000_000  # TCP_DELACK_MIN and a tick: measured 40 to 48 ms
# When a sender that was told of a shut window asks for it, from then on: it waits twice as long each time, and its second
# question goes unanswered (tcp_invalid_ratelimit). Measured to some 10 ms, but the last.
PROBED_NS: Final = (218_000_000, 1_522_000_000, 3_218_000_000, 6_620_000_000, 13_400_000_000)
HELD_NS: Final = 204_000_000  # a retransmission's time, after which tcp_write_wakeup sends what the window takes
PROBED_LATER_NS: Final = 13_600_000_000
TALKING: Final = (ESTABLISHED, CLOSE_WAIT, LAST_ACK)
NO_MORE, FOR_EVER = -2, 1 << 62  # of `ended_ns`: an answer is expected no more, or always


class Window:
    """Made when a connection first fills the peer's window, or has its own filled."""

    __slots__ = (
        "acknowledged", "end_waits", "fills", "flight", "held", "hurried", "lost", "owed", "probed", "sent", "told",
        "told_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.acknowledged = ISN  # up to which number the peer was heard to have all, while that was counted
        self.end_waits = False  # a FIN came by itself, and nobody has read that it did
        self.fills = 0  # how often it was full
        self.flight = 0  # bytes that went out and take room until they are acknowledged
        self.held: Any = None  # the timer after which less than a segment goes out, if the window has grown no more
        self.hurried = False  # TCP_QUICKACK was set while something was unread: with the last of it we acknowledge
        self.lost = 0  # numbers that nothing was sent with: not gone out at a reset, left out by a disconnect
        self.owed: Any = None  # the timer of an acknowledgement that waits
        self.probed: Any = None  # the timer of the sender's probe, for who must not tell the window
        self.told_ns = -1  # when the window was told last
        self.told = 0  # and up to which number we had all then
        self.sent = 0  # and up to which we had sent

    def tell(self, now_ns: int, rcv_nxt: int, snd_nxt: int) -> None:
        """A segment goes out, with data up to *snd_nxt*, which acknowledges all before *rcv_nxt* and tells the window."""
        self.told_ns, self.told, self.sent = now_ns, rcv_nxt, snd_nxt
        self.hurried = False
        if self.owed is not None:
            self.owed.cancel()
            self.owed = None
        if self.probed is not None:
            self.probed.cancel()
            self.probed = None

    def over(self) -> None:
        """The connection is: nothing waits any more."""
        for timer in (self.owed, self.probed, self.held):
            if timer is not None:
                timer.cancel()

    # The end that sends.

    def heard(self, sender: Sender, ack: int) -> None:
        """A segment that acknowledges came while something is in flight."""
        self.acknowledged = ack
        left = sender.snd_nxt - ack
        if left >= self.flight:
            return
        self.flight = max(left, 0)
        if sender.no_space:
            if sender.snd_room == AUTOTUNED_SEND_ROOM:
                sender.snd_room = AUTOTUNED_SEND_ROOM_LATER  # tcp_new_space
            sender.space_came()
        if not self.flight:
            sender.hurry()


def full_segment(room: int, taken: int) -> int:
    """How large a segment within a host is full, to an end whose receive buffer is *room* and which has got *taken* bytes.

    It is half of the largest window that was offered, which grows with the traffic, in more steps than these.
    """
    if room < BY_HAND and room != NARROW_ROOM:
        return room // 3
    return (LATER_WINDOW if not taken else GROWN_WINDOW if taken < LATER_WINDOW else LARGEST_WINDOW) >> 1


def narrow(client: Sender, server: Any) -> None:
    """A handshake within a host, whose ends have not set what they receive: what exceeds the first window shall show.

    A write that does is looked at more closely (``Stream._write``).
    """
    for end, other in ((client, server), (server, client)):
        if end.rcv_room in AUTOTUNED and end.guard is None is end.tampering and end.low_water == 1:
            _move_edge(end, other, NARROW_ROOM)


def give_more_room(sender: Sender) -> None:
    """*sender* needs more than the first window, and nobody can tell how much Linux would let it have: all of it."""
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    if getattr(peer, "rcv_room", 0) == NARROW_ROOM:
        if sender.sent:
            widen(peer)
        else:
            sender.snd_edge += ACCEPTED_RECEIVE_ROOM - NARROW_ROOM  # for once


def widen(receiver: Sender) -> int:
    """What *receiver* may be sent, if it is as little as at first, becomes what it is for long."""
    if receiver.rcv_room == NARROW_ROOM:
        peer: Any = receiver.stack.connections.get((receiver.peer, receiver.local))
        _move_edge(receiver, peer, AUTOTUNED[receiver.origin != "client"])
    return receiver.rcv_room


def _move_edge(receiver: Sender, peer: Any, room: int) -> None:
    more = room - receiver.rcv_room
    before = receiver.rcv_edge
    edge = receiver.rcv_edge = before + more  # one number for both ends: there may be thousands of idle connections
    receiver.rcv_room = room
    receiver.rcv_told = edge if receiver.rcv_told == before else receiver.rcv_told + more
    if isinstance(peer, ControlBlock):  # not what one leaves behind
        peer.snd_edge = edge if peer.snd_edge == before else peer.snd_edge + more


def window_of(connection: Sender) -> Window:
    """The connection's, made on first use."""
    window = connection.window
    if window is None:
        window = connection.window = Window()
    return window


def fill(sender: Sender, n: int) -> None:
    """The next *n* bytes that go out fill the window."""
    window = window_of(sender)
    window.fills += 1
    if window.fills == FILLS_TO_GROW and sender.snd_room == AUTOTUNED_SEND_ROOM_LATER:
        sender.snd_room = AUTOTUNED_SEND_ROOM_GROWN  # measured
    if window.sent == sender.snd_nxt and sender.stack.clock.now_ns - window.told_ns > DELAYED_NS:
        window.acknowledged = sender.snd_nxt  # long ago, and heard of by nobody since nothing was in the way
        window.flight = n
    elif window.flight or window.acknowledged == sender.snd_nxt:
        window.flight += n
    else:
        # The peer acknowledged some of what went before, which nobody counted: what it did not is never more than
        # half of the buffer.
        since = sender.snd_nxt + n - max(window.acknowledged, ISN + 1)
        window.flight = min(since, AUTOTUNED_RECEIVE_ROOM, sender.snd_room >> 1)
    sender.slow = True  # acknowledgements count now


def acknowledge_later(receiver: Sender, probed: bool = False) -> None:
    """Our window was filled, or the peer's FIN came: tcp_send_delayed_ack. Or sooner, when the peer has *probed*."""
    window = window_of(receiver)
    if window.owed is None:
        clock = receiver.stack.clock
        window.owed = clock.at(clock.now_ns + (PROBE_NS if probed else delay_of(receiver)), _tell, receiver)


def delay_of(receiver: ControlBlock) -> int:
    """How long an acknowledgement waits: before there was data the kernel counts from nothing."""
    return DELAYED_NS if receiver.received else TICK_NS


def acknowledge_end_later(receiver: Sender, probed: bool) -> None:
    """The peer's FIN came: tcp_fin expects an answer that the acknowledgement can go along with."""
    acknowledge_later(receiver, probed)
    window_of(receiver).end_waits = not receiver.unread  # else it lies with what is


def end_waits(receiver: Sender) -> bool:
    """Did a FIN come by itself, and has nobody read that it did?"""
    return receiver.window is not None and receiver.window.end_waits


def offer_whole_segments(receiver: Sender) -> None:
    """Move the edge of a window that is told without a scale: where it is, or as many segments on as there is room for.

    __tcp_select_window: so a small window neither creeps nor shrinks. A segment takes its room until all of it is read.
    """
    room = receiver.rcv_room
    segment = full_segment(room, 0)
    free = room - receiver.unread - (receiver.copied_seq - ISN - 1) % segment if receiver.unread else room
    offered = max(receiver.rcv_told - receiver.rcv_nxt, 0)
    if free < segment:
        return
    if offered <= free - segment or offered > free:
        offered = free - free % segment
    receiver.rcv_edge = max(receiver.rcv_edge, receiver.rcv_nxt + offered)


def least_of_window(sender: Sender) -> int:
    """Of a small window no less than a full segment is used, unless all that waits fits (tcp_snd_wnd_test)."""
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    room: int = getattr(peer, "rcv_room", UNSCALED)
    return min(full_segment(room, 0), sender.mss) if room < UNSCALED else 0


def hold(sender: Sender) -> None:
    """Less than a full segment may go out: it waits for more, as long as the kernel does."""
    window = window_of(sender)
    if window.held is None:
        clock = sender.stack.clock
        window.held = clock.at(clock.now_ns + HELD_NS, _let_go, sender)


def hold_back(sender: Sender, room: int, delay_ns: int) -> None:
    """What waits for a larger window than *room* gets none any more, for its peer has closed; or *room* bytes were lost.

    They go when the sender asks for more, or sends again. Where there is no window nobody answers, for a minute; unless the
    peer has given up, and left nothing behind.
    """
    sender.snd_edge = sender.snd_nxt
    clock = sender.stack.clock
    clock.at(clock.now_ns + delay_ns, _use if room else _ask, (sender, room))


def _use(what: tuple[Sender, int]) -> None:
    sender, room = what
    if sender.state in TALKING and sender.snd_edge == sender.snd_nxt:
        sender.snd_edge += room
        sender.transmit()


def _ask(what: tuple[Sender, int]) -> None:
    sender = what[0]
    nobody = (sender.peer, sender.local) not in sender.stack.connections
    if nobody and sender.state in TALKING and sender.snd_edge == sender.snd_nxt:
        sender.acknowledge()  # a question that an RST answers


def _let_go(sender: Sender) -> None:
    window, outbox = sender.window, sender.outbox
    if window is None:
        return
    window.held = None
    if sender.guard is not None or sender.tampering is not None:  # since then
        sender.transmit()
        return
    n = min(outbox.size if outbox is not None else 0, sender.snd_edge - sender.snd_nxt)
    if outbox is not None and n > 0:
        fill(sender, n)
        sender.send_data(outbox.take(n), ACK | FILLS)


def owes_acknowledgement(receiver: Sender) -> bool:
    """Does one wait for its time, or for something to go along with?"""
    return receiver.window is not None and receiver.window.owed is not None


def hurry(receiver: Sender) -> None:
    """TCP_QUICKACK was set while an acknowledgement is owed: that of a FIN waits until nothing is unread, nor the end."""
    if receiver.done and (receiver.unread or end_waits(receiver)) and not owes_for_much(receiver):
        window_of(receiver).hurried = True
    else:
        receiver.acknowledge()


def is_hurried(receiver: Sender) -> bool:
    """Has a read taken the last of what kept TCP_QUICKACK from acknowledging?"""
    return not receiver.unread and window_of(receiver).hurried


def owes_for_much(receiver: Sender) -> bool:
    """Is it for more than a full segment, so that a read does not let it wait (tcp_cleanup_rbuf)?"""
    unheard = receiver.rcv_nxt - window_of(receiver).told
    return unheard > full_segment(receiver.rcv_room, receiver.received)


def tell_when_probed(receiver: Sender) -> None:
    """Room was made after SHUT_RD, which Linux tells nobody: the sender's window probe finds it."""
    window = window_of(receiver)
    if window.probed is None:
        clock = receiver.stack.clock
        since_ns = clock.now_ns if window.told_ns < 0 else window.told_ns
        window.probed = clock.at(next_probe_ns(since_ns, clock.now_ns), _tell, receiver)


def next_probe_ns(since_ns: int, now_ns: int) -> int:
    """When a sender asks next for a window that it was told at *since_ns* is shut."""
    passed_ns = now_ns - since_ns
    return since_ns + next((each for each in PROBED_NS if each > passed_ns), passed_ns + PROBED_LATER_NS)


def expect_answer(receiver: Sender, expects: bool | None = None) -> None:
    """After the peer's FIN: from now on it *expects* to acknowledge along with an answer, or as it does now (None)."""
    if receiver.ended_ns != -1:
        receiver.ended_ns = FOR_EVER if (still_expects(receiver) if expects is None else expects) else NO_MORE


def still_expects(receiver: ControlBlock) -> bool:
    """Does the acknowledgement of the peer's FIN wait for an answer, or has it gone along with one?"""
    ended_ns = receiver.ended_ns
    return ended_ns >= 0 and receiver.stack.clock.now_ns < ended_ns + delay_of(receiver)


def _tell(receiver: Sender) -> None:
    if receiver.rcv_wup < receiver.rcv_nxt:  # it went along with nothing
        expect_answer(receiver, expects=False)
    if receiver.state in RECEIVING or receiver.state == CLOSE_WAIT:
        receiver.acknowledge()
