"""Nagle's rule: a small segment waits until the one before it is acknowledged (RFC 9293, 3.7.4), as it shows on a loopback.

A kernel acknowledges the first segments at once, 16 small ones and fewer large ones. From then on it waits for a read that
takes everything, or for more than its largest segment so far; and once it has answered, for its next answer, or 40 ms. So a
program's first writes all arrive at once, and after a dialogue the second of two waits, such as a body after its head, if
TCP_NODELAY is not set.

None of this is counted while data flows: it is derived from what both ends know when one writes twice, and from where the
peer's last data acknowledged what had come to it. That is enough within a host, as long as the first data is younger than
the 40 ms in which an answer counts as one. On an older connection, or one to another host, writes go at once; but a pause
after the first few, which were acknowledged as they came and lie unread, makes nobody older.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.counted.account import PROBE_NS
from simnet.kernel.counted.hindsight import look_back
from simnet.kernel.counted.receiving import ATO_NS, QUICK, SMALL
from simnet.kernel.options.values import IPPROTO_TCP, TCP_NODELAY, TCP_QUICKACK
from simnet.kernel.states import CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, RECEIVING, SHUT_BOTH, SYN_RECV
from simnet.kernel.tcp.control import FIN_SENT, ISN
from simnet.kernel.tcp.window import (
    DELAYED_NS,
    FIRST_WINDOW,
    FOR_EVER,
    LATER_WINDOW,
    acknowledge_later,
    end_waits,
    still_expects,
)

if TYPE_CHECKING:
    from simnet.kernel.buffer import Buffer
    from simnet.kernel.tcp.control import ControlBlock
    from simnet.kernel.tcp.sending import Sender

# Bytes of the first full segments on a loopback, as TCP_MAXSEG says, and of those that follow. Nagle's rule is about smaller ones.
FULL: Final = 32741
FULL_V6: Final = 32732
FULL_LATER: Final = 32768
UNKNOWN: Final = -1
FIRST: Final = ISN + 1  # the number of the first byte
_LITTLE: Final = FIRST + (1 << 16)  # up to there what was written is looked at after a pause
FEW: Final = 3  # writes that are played again before one that is small
LARGE: Final = 859  # bytes of a segment that uses its memory well: the window grows, once, and so do the quick answers
ANSWERS_SINCE: Final = (IPPROTO_TCP, -TCP_QUICKACK)  # what was sent when TCP_QUICKACK was set: 0 if it was set to 0
_STILL_WAITING: Final = (IPPROTO_TCP, -100 - TCP_QUICKACK)  # what had come then and was neither read nor acknowledged
_TALKING: Final = (ESTABLISHED, CLOSE_WAIT)
_QUICKACK: Final = (IPPROTO_TCP, TCP_QUICKACK)
_NODELAY: Final = (IPPROTO_TCP, TCP_NODELAY)
# When the last of several writes that nobody answered is sent again.
_PROBES_AT: Final = (IPPROTO_TCP, -100 - TCP_NODELAY)


def answers(connection: ControlBlock) -> bool:
    """Does it acknowledge along with its answers: has it sent something after it had heard something (pingpong mode)?"""
    options = connection.options
    since = ISN + 1 if options is None else options.get(ANSWERS_SINCE, ISN + 1)
    return since == 0 or (connection.rcv_wup > ISN + 1 and connection.snd_nxt - (connection.fin == FIN_SENT) > since)


def _answers_now(connection: ControlBlock) -> bool:
    """The same where it matters when that was: an answer that came late is none, nor is one expected that did not come."""
    if not answers(connection):
        return False
    if connection.stack.clock.now_ns - connection.since_ns < ATO_NS:
        return True
    told = connection.options is None or ANSWERS_SINCE not in connection.options
    known = connection.stack.clock.answers(connection, ATO_NS, DELAYED_NS) if told else None
    return known is None or known


def expects_answer(connection: ControlBlock) -> bool:
    """Is it in pingpong mode? As TCP_QUICKACK tells, which knows more of it after the peer's FIN."""
    if connection.ledger is not None:
        return connection.ledger.account.pingpong
    if connection.ended_ns == -1:
        return _answers_now(connection)
    sent = connection.ended_ns >= 0 and connection.state == CLOSE_WAIT and connection.rcv_wup >= connection.rcv_nxt
    return sent or still_expects(connection)


def acknowledge_at_once(connection: Sender, number: int) -> None:
    """TCP_QUICKACK of a connection: whether its next acknowledgements wait for an answer to go along with; for once."""
    assert connection.options is not None
    options = connection.options
    del options[_QUICKACK]
    if not answers(connection):
        # What came was acknowledged as it came.
        connection.rcv_wup = connection.rcv_nxt - (connection.done and not number)
    waiting = connection.rcv_nxt - max(connection.rcv_wup, ISN + 1)
    options[ANSWERS_SINCE] = connection.snd_nxt if number else 0
    peer: Any = connection.stack.connections.get((connection.peer, connection.local))
    if number and peer is not None and peer.state == SYN_RECV:
        connection.acknowledge()  # the handshake, which waited for data
    if number and waiting:
        if (
            connection.unread or end_waits(connection)
        ) and waiting <= SMALL:  # until all is read, or more comes (tcp_cleanup_rbuf)
            options[_STILL_WAITING] = connection.rcv_nxt
            acknowledge_later(connection)
        else:
            connection.acknowledge()
        if not number & 1:  # it was about this one alone
            options[ANSWERS_SINCE] = 0


def answer_on(sender: Sender) -> None:
    """Its account, which is closed, says that it is in pingpong mode: because TCP_QUICKACK said so, if nothing else shows it."""
    if sender.options is not None and not answers(sender):
        sender.options[ANSWERS_SINCE] = 0


def inherit_quickack(child: Sender) -> None:
    """A listener that acknowledges nothing at once has children that do not."""
    assert child.options is not None
    if child.options.pop(_QUICKACK, 1) == 0:
        child.options[ANSWERS_SINCE] = 0


def must_wait(sender: Sender) -> bool:
    """Does Nagle's rule hold back less than a segment, written by *sender* that has heard nothing since its last one?"""
    now_ns = sender.stack.clock.now_ns
    if sender.snd_nxt == FIRST:
        if now_ns - sender.since_ns >= DELAYED_NS and sender.rcv_nxt == FIRST:
            _begin_now(sender, now_ns)
        return False
    if now_ns - sender.since_ns >= DELAYED_NS and (
        sender.rcv_nxt != FIRST or sender.snd_nxt > _LITTLE or not _is_as_new(sender, now_ns)
    ):
        return False
    peer: Any = sender.twin  # there where nothing is recorded
    if peer is None or peer.twin is not sender or peer.state != ESTABLISHED:
        peer = peer_of(sender)
        if peer is None:
            return False
    inbox = peer.inbox
    if (inbox is None or not inbox.size) and peer.snd_nxt == ISN + 1 and peer.options is None:
        return False  # it has read all, and answers nothing: that was acknowledged
    options = sender.options
    if options is not None and options.get(_NODELAY):
        options[_PROBES_AT] = now_ns + PROBE_NS
        return False
    if peer.urg_seq and _urgent(peer):
        return False
    if inbox is not None and FULL <= sender.sent == inbox.size + inbox.offset and len(inbox.rest or ()) < FEW:
        found = look_back(sender, peer)
        if found is not None:
            return found[0].small_end > found[0].snd_una
    return unacknowledged(sender, peer) != 0


def _begin_now(sender: Sender, now_ns: int) -> None:
    """The first data of a connection that was idle since its handshake: it is as young as one that was made now."""
    peer = peer_of(sender)
    if peer is not None and peer.state == ESTABLISHED:
        sender.since_ns = peer.since_ns = now_ns


def _is_as_new(sender: Sender, now_ns: int) -> bool:
    """Has it written little, all of which was acknowledged at once and lies unread? Then a pause has changed nothing."""
    peer = peer_of(sender)
    if peer is None or peer.state != ESTABLISHED or peer.options or sender.options:
        return False
    inbox = peer.inbox
    if inbox is None or not inbox.size or inbox.size + inbox.offset != sender.sent or len(inbox.rest or ()) > QUICK:
        return False
    if unacknowledged(sender, peer):
        return False
    sender.since_ns = peer.since_ns = now_ns
    return True


def urgent_waits(sender: Sender) -> bool:
    """Is an urgent byte not acknowledged yet? It takes with it what comes behind (tcp_nagle_test)."""
    peer = peer_of(sender)
    return peer is not None and _urgent(peer)


def _urgent(peer: Any) -> bool:
    return peer.urg_seq >= max(peer.rcv_wup, ISN + 1) and answers(peer)


def unacknowledged(sender: Sender, peer: Any) -> int:
    """How many bytes of what *sender* wrote does its *peer* let wait for an acknowledgement? UNKNOWN if some."""
    if peer.guard is not None or sender.guard is not None:
        return 0
    inbox = peer.inbox
    if answers(peer):
        waiting: int = peer.rcv_nxt - max(peer.rcv_wup, ISN + 1)
        if waiting <= SMALL or inbox is None or inbox.size < waiting:
            return waiting if waiting < FULL_LATER else 0
        return _left_unacknowledged(_latest(inbox, waiting), FULL_LATER, quick=0)
    if inbox is None or not inbox.size or peer.fin == FIN_SENT:
        return 0
    if peer.options is not None and peer.options.get(_STILL_WAITING) == peer.rcv_nxt:
        return int(peer.rcv_nxt - peer.rcv_wup)
    rest = inbox.rest
    read = sender.sent - inbox.size - inbox.offset  # as one write
    if read <= FULL and peer.rcv_room > FIRST_WINDOW and (not rest or len(rest) <= QUICK + 1):
        full = FULL_LATER
        if sender.origin == "client" and peer.snd_nxt == ISN + 1:  # of the window that the SYN-ACK has offered
            full = FULL_V6 if ":" in peer.local[0] else FULL
        before = (range(read),) if read else ()
        return _left_unacknowledged((*before, inbox.head, *(rest or ())), full)
    return UNKNOWN if inbox.size <= SMALL and rest is not None and len(rest) >= QUICK else 0


def has_probed(sender: ControlBlock) -> bool:
    """Has it written several times with TCP_NODELAY, and then waited so long that it has sent the last segment again?

    tcp_send_loss_probe: an end that meets what it has acknowledges all of it at once.
    """
    options = sender.options
    at_ns = 0 if options is None else options.get(_PROBES_AT, 0)
    return 0 < at_ns <= sender.stack.clock.now_ns


def ends_in_two(receiver: Sender) -> bool:
    """Has the peer's FIN come while what stood before it was not acknowledged? With two segments on its way it probes."""
    if receiver.ledger is not None:
        return receiver.ledger.other.account.probe_ns > 0
    if receiver.rcv_nxt - 1 <= max(receiver.rcv_wup, ISN + 1) or receiver.guard is not None:
        return False
    within_host = (receiver.peer, receiver.local) in receiver.stack.connections  # elsewhere it takes two trips more
    return within_host and _answers_now(receiver)


def probed_ns(receiver: Sender) -> int:
    """When the peer, which has ended, sends its FIN again because nobody has acknowledged it; 0 if it does not."""
    ended_ns = receiver.ended_ns
    if receiver.state != CLOSE_WAIT or not 0 <= ended_ns < FOR_EVER or not ends_in_two(receiver):
        return 0
    at_ns = ended_ns + PROBE_NS
    return at_ns if at_ns > receiver.stack.clock.now_ns else 0


def in_flight(sender: Sender) -> int:
    """How many bytes SIOCOUTQ tells of because their acknowledgement waits, where that is certain."""
    if sender.ledger is not None:
        return sender.ledger.in_flight
    clock = sender.stack.clock
    away = clock.on_the_way(sender)
    if away:
        return away
    young = clock.now_ns - sender.since_ns < DELAYED_NS
    if sender.state == FIN_WAIT1:
        peer: Any = sender.stack.connections.get((sender.peer, sender.local))
        if young and peer is not None and peer.state == CLOSE_WAIT and answers(peer):
            return int(peer.rcv_nxt - peer.rcv_wup) - 1  # but the FIN
        return 0
    peer = peer_of(sender) if young and sender.state in _TALKING else None
    return 0 if peer is None or has_probed(sender) else max(0, unacknowledged(sender, peer))


def left_at_reset(receiver: Sender) -> int:
    """How many sequence numbers of its peer's does *receiver*, which resets it, leave without an acknowledgement for ever?"""
    peer = peer_of(receiver)
    left = 0 if peer is None or peer is receiver else in_flight(peer)
    return left + (peer.state == FIN_WAIT1 and peer.ledger is None) if left else 0


def _latest(inbox: Buffer, n: int) -> list[bytes]:
    """The last writes that *inbox* has of, with *n* bytes in them."""
    found: list[bytes] = []
    for chunk in reversed((inbox.head, *(inbox.rest or ()))):
        if n <= 0:
            break
        found.append(chunk)
        n -= len(chunk)
    return found[::-1]


def _left_unacknowledged(writes: Iterable[Sized], full: int, quick: int = -1) -> int:
    """How many bytes of *writes* does a receiver let wait that has read at most the first to its end: the first ones of a
    connection, or those of which it acknowledges none quickly?

    The first is sent in segments of *full* bytes, and what is left of it.
    """
    grown = False
    largest, left_over, segment = SMALL, 0, 0
    for write in writes:
        left = len(write)
        while left:
            segment = min(left, full)
            left -= segment
            largest = max(largest, segment)
            if quick < 0:
                quick = min(QUICK, (FIRST_WINDOW if full < FULL_LATER else LATER_WINDOW) // (2 * largest) or 2)
            if segment >= LARGE and not grown and quick:
                quick |= 1
                grown = True
            left_over += segment
            if quick or left_over > largest:
                quick = max(0, quick - 1)
                left_over = 0
        if segment < full:
            full = FULL_LATER
    return left_over if segment < full else 0


def peer_of(sender: Sender) -> Any:
    """The other end, if it is on this host and may hear something."""
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    return peer if peer is not None and peer.state in RECEIVING else None


def is_refused(sender: Sender) -> bool:
    """Will an RST answer what is sent, since nobody will ever read at the other end, or nobody is there?"""
    assert sender.peer is not None
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    if peer is sender or (peer is None and not sender.stack.is_local(sender.peer[0])):
        return False
    return not (getattr(peer, "refs", 0) and (peer.shut & SHUT_BOTH != SHUT_BOTH or peer.state == ESTABLISHED))
