"""TCP_CORK and MSG_MORE: partial segments held back for more, 200 ms at most; and what Nagle's rule holds back (K-060)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.counted.account import SEGMENTS_HELD, TIMESTAMPS
from simnet.kernel.counted.opening import Terms, clamp_of
from simnet.kernel.options.tcp_info import OWN_SCALE, PEER_SCALE, note_scale
from simnet.kernel.options.values import (
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_UNICAST_HOPS,
    SEEN_MSS,
    SO_RCVBUF,
    SOL_SOCKET,
    TCP_CONGESTION,
    TCP_MAXSEG,
    TCP_WINDOW_CLAMP,
    Key,
)
from simnet.kernel.segment import ACK, FILLS, WANT_ACK, Segment
from simnet.kernel.states import CLOSED
from simnet.kernel.tcp.control import FIN_DUE, ISN, NARROW_ROOM
from simnet.kernel.tcp.nagle import (
    FULL,
    FULL_LATER,
    FULL_V6,
    answers,
    is_refused,
    must_wait,
    peer_of,
    probed_ns,
    urgent_waits,
)
from simnet.kernel.tcp.patience import next_question_ns
from simnet.kernel.tcp.window import BY_HAND, DELAYED_NS, HELD_NS, acknowledge_later, full_segment, hold_back

if TYPE_CHECKING:
    from simnet.kernel.counted.account import Account
    from simnet.kernel.tcp.sending import Sender

CORKED_NS: Final = 203_000_000  # measured 0.203 to 0.204 s: TCP_RTO_MIN and a tick
ETHERNET_MSS: Final = 1448
WINDOW_LIMIT: Final = (IPPROTO_TCP, TCP_WINDOW_CLAMP)
SAID_MSS: Final = (IPPROTO_TCP, -100 - TCP_MAXSEG)  # the peer's TCP_MAXSEG, where its window makes segments smaller
ASKED_LIMIT: Final = (IPPROTO_TCP, -100 - TCP_WINDOW_CLAMP)  # as its program has set it, by which the window is scaled
HELD: Final = (IPPROTO_TCP, -TCP_CONGESTION)  # of the account that was closed, if not as usual
AGREED_LIMIT: Final = (IPPROTO_TCP, -TCP_WINDOW_CLAMP)  # where its program has set none
HOPS_OF_SYN: Final = (IPPROTO_IP, -IP_TTL)  # where a child keeps those of the SYN that came, if they are others
_RCVBUF: Final = (SOL_SOCKET, SO_RCVBUF)
_GROWN: Final = (SOL_SOCKET, -SO_RCVBUF)  # by SO_RCVLOWAT
_MAXSEG: Final = (IPPROTO_TCP, TCP_MAXSEG)
_LIMITING: Final = frozenset((_RCVBUF, _GROWN, _MAXSEG, WINDOW_LIMIT))
UNSCALED_BUFFER: Final = 131072  # SO_RCVBUF, doubled: half of it is for the window


class Cork:
    """Made when a connection first holds something back."""

    __slots__ = ("corked", "ended", "free", "more", "timer", "waits")

    def __init__(self, corked: bool = False) -> None:
        self.corked = corked  # TCP_CORK is set
        self.more = False  # the last send had MSG_MORE
        self.ended = False  # it had MSG_EOR: what is written next begins a segment, and what stands before it goes
        self.timer: Any = None
        self.free = False  # what there is goes now
        self.waits = False  # for the peer to acknowledge what went before: Nagle's rule

    def held(self, connection: Sender, n: int) -> int:
        """How many of the last *n* bytes are to wait? Starts the timer if any are.

        A cork lets go what fills segments, and holds the rest. Of what MSG_MORE holds, the peer's acknowledgement of the
        first segment that is full lets go the rest, if there is one.
        """
        if connection.urg_out or urgent_waits(connection):
            return 0  # urgent data waits for nobody
        full = segment_of(connection)
        if not (self.corked or self.more):
            return n if n < full and (self.waits or self.wait(connection)) else 0
        left = n % full if self.corked or n < full or is_refused(connection) else 0
        if left and self.timer is None:
            clock = connection.stack.clock
            due_ns = 0 if self.corked else probed_ns(connection)
            self.timer = clock.at(due_ns or clock.now_ns + CORKED_NS, _timed_out, connection)
        return left

    def wait(self, connection: Sender) -> bool:
        """Does Nagle's rule hold back what is less than a segment? It goes with the peer's next segment, or its late acknowledgement."""
        if self.free or connection.fin == FIN_DUE or not must_wait(connection):
            return False
        self.waits = True
        clock = connection.stack.clock
        self.timer = clock.at(clock.now_ns + DELAYED_NS, _acknowledged, connection)
        peer = peer_of(connection)
        if not answers(peer):
            acknowledge_later(peer)  # or with its first read, as it does not expect to answer
        return True

    def push(self, connection: Sender) -> None:
        """Let go what is held now; a cork that is set stays set."""
        corked = self.corked
        self.corked = self.more = False
        self._let_go(connection)
        self.corked = corked

    def uncork(self, connection: Sender) -> None:
        """TCP_CORK is off: what was held goes, if Nagle's rule lets it."""
        self.more = False
        if not self.waits:
            self.stop()
            connection.transmit()

    def _let_go(self, connection: Sender) -> None:
        self.waits = False
        self.stop()
        self.free = True
        connection.transmit()
        self.free = False

    def open(self) -> None:
        """Hold nothing back any more: the end of the stream."""
        self.corked = self.more = self.waits = False
        self.stop()

    def heard(self, connection: Sender, segment: Segment) -> None:
        """A segment of the peer arrived: one that is no plain data makes the kernel push what only MSG_MORE held back.

        Plain data takes the fast path of tcp_rcv_established, which looks at nothing else; but for the first of all to an
        opener that has sent nothing, where the path is not open yet if the peer scales its window, and while there is urgent
        data.
        """
        if self.waits:
            self._let_go(connection)
            return
        plain = segment.payload and segment.flags & ~(WANT_ACK | FILLS) == ACK and not connection.urg_data
        first = (
            connection.origin == "client" and segment.seq == connection.snd_nxt == ISN + 1 and scales(segment.sender)
        )
        if self.more and not self.corked and connection.unsent and (first or not plain):
            self.more = False
            self.stop()
            connection.transmit()

    def stop(self) -> None:
        """No timer any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def scales(receiver: Any) -> bool:
    """Is the window of *receiver* told in units of more than a byte? One of less than 64 kB need not be."""
    room = None if receiver is None else receiver.option(SOL_SOCKET, SO_RCVBUF)
    return room is None or room >= UNSCALED_BUFFER


def mss_of(connection: Sender) -> int:
    """How large a segment is full: what TCP_MAXSEG says of a connection."""
    peer = connection.peer
    if peer is None or not (peer[0].startswith("127.") or peer == connection.local or peer[0] == "::1"):
        return min(connection.mss, ETHERNET_MSS)
    return min(connection.mss, FULL_V6 if ":" in peer[0] else FULL)


def segment_of(connection: Sender) -> int:
    """How large a segment is full as it is sent."""
    peer: Any = connection.stack.connections.get((connection.peer, connection.local))
    room: int | None = getattr(peer, "rcv_room", None)
    if connection.guard is not None:
        return mss_of(connection)
    if room is None:  # the other end has gone, and left an entry behind perhaps
        mss = mss_of(connection)
        later = connection.origin == "server" or connection.rcv_nxt > ISN + 1 or connection.sent
        if later and mss in (FULL, FULL_V6):
            mss = FULL_LATER
        asked = (connection.peer_mss, connection.option(IPPROTO_TCP, TCP_MAXSEG))
        return min([mss, *(each - TIMESTAMPS for each in asked if each)])
    if (
        connection.origin == "client"
        and not (connection.rcv_nxt > ISN + 1 or connection.sent)
        and (room >= BY_HAND or room == NARROW_ROOM)
    ):
        return mss_of(connection)  # of the window that the SYN-ACK has offered
    return min(connection.mss, full_segment(room, connection.sent))


def hear_mss(connection: Sender, syn: Segment) -> None:
    """The size of segments that the sender of *syn* asks for, by its TCP_MAXSEG, or by a window that two of them fill.

    And how each window is scaled.
    """
    options, own = getattr(syn.sender, "options", None), connection.options
    if own:
        own.pop(SAID_MSS, None)
        own.pop(SEEN_MSS, None)
        own.pop(HELD, None)
        note_scale(own, PEER_SCALE, options, answers=bool(syn.flags & ACK))
        if connection.origin == "client":
            note_scale(own, OWN_SCALE, own)
        _limit_window(own, ":" in syn.source[0])
    elif options:
        connection.options = note_scale(own, PEER_SCALE, options, answers=bool(syn.flags & ACK))
    if not options:
        connection.peer_mss = 0
        return
    asked = options.get(_MAXSEG, 0)
    buffer = options.get(_RCVBUF, UNSCALED_BUFFER)
    limit = options.get(WINDOW_LIMIT, 0)
    if buffer < UNSCALED_BUFFER or 0 < limit < UNSCALED_BUFFER // 2:
        fits = min(buffer // 2, limit or buffer) // 2 + TIMESTAMPS
        connection.options = connection.options or {}
        connection.options[SAID_MSS] = asked  # by which a send buffer goes
        asked = min(asked, fits) if asked else fits
    connection.peer_mss = asked
    hops = options.get((IPPROTO_IPV6, IPV6_UNICAST_HOPS) if ":" in syn.source[0] else (IPPROTO_IP, IP_TTL))
    if hops is not None and hops >= 0 and connection.origin == "server":
        if connection.options is None:
            connection.options = {}
        connection.options[HOPS_OF_SYN] = hops


def show_on(sender: Sender, account: Account) -> None:
    """What an account that is closed has found is shown from now on."""
    options = sender.options
    if options is None:
        return
    if sender.sent:
        options[SEEN_MSS] = account.mss
    if options.get(WINDOW_LIMIT):
        options[WINDOW_LIMIT] = account.clamp
    if account.held != SEGMENTS_HELD:
        options[HELD] = account.held


def _limit_window(own: dict[Key, Any], six: bool) -> None:
    """What TCP_WINDOW_CLAMP tells from now on, if something is set that it depends on."""
    own.pop(AGREED_LIMIT, None)
    if _LIMITING.isdisjoint(own):
        return
    terms = Terms(0, own.get(_RCVBUF, 0), own.get(_MAXSEG, 0))
    own[ASKED_LIMIT] = asked = own.get(WINDOW_LIMIT, 0)
    clamp = clamp_of(terms, asked, own.get(_GROWN, 0), six)
    own[WINDOW_LIMIT if WINDOW_LIMIT in own else AGREED_LIMIT] = clamp


def _acknowledged(connection: Sender) -> None:
    """The peer's acknowledgement waits no longer."""
    assert connection.cork is not None
    connection.cork.timer = None
    peer = peer_of(connection)
    if peer is None:
        connection.cork.push(connection)
    else:
        peer.acknowledge()


def _timed_out(connection: Sender) -> None:
    assert connection.cork is not None
    connection.cork.timer = None
    connection.cork.push(connection)


def go_on(sender: Sender, account: Account, gone: bool, again_ns: int, held_ns: int) -> None:
    """Its account, which is closed, has left something unsent: to go now, or in its time if its peer is *gone*.

    What was lost goes once more after *again_ns*. A window is waited for since *held_ns*, if it is.
    """
    now_ns = sender.stack.clock.now_ns
    cork = sender.cork = sender.cork or Cork()
    cork.more = account.more
    if gone and account.peer.lost:
        hold_back(sender, sender.unsent, again_ns)
    elif gone and account.waits_for_window:
        left = account.window_left
        hold_back(sender, left, HELD_NS if left or held_ns < 0 else next_question_ns(held_ns, now_ns) - now_ns)
    else:
        sender.stack.clock.at(now_ns, _go_on, sender)


def _go_on(sender: Sender) -> None:
    if sender.state != CLOSED:
        sender.transmit()
