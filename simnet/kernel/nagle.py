"""Nagle's rule: a small segment waits until the one before it is acknowledged (RFC 9293, 3.7.4), as it shows on a loopback.

A kernel acknowledges the first segments at once, 16 small ones and fewer large ones. From then on it waits for a read that
takes all, or for more than its largest segment so far; and once it has answered, for its next answer, or 40 ms. So of a
program's first writes all arrive at once, and after a dialogue the second of two waits, a head's body say, if TCP_NODELAY
is not set.

Nothing of this is counted while data flows: it is read from what both ends know when one writes twice. That is enough
within a host, and as long as a connection is younger than the 40 ms in which an answer counts as one. Whoever is older, or
far away, sends at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.control import ISN
from simnet.kernel.options import IPPROTO_TCP, TCP_NODELAY, TCP_QUICKACK
from simnet.kernel.states import ESTABLISHED
from simnet.kernel.window import DELAYED_NS, FIRST_WINDOW

if TYPE_CHECKING:
    from simnet.kernel.control import ControlBlock
    from simnet.kernel.sending import Sender

QUICK: Final = 16  # TCP_MAX_QUICKACKS
FULL, FULL_V6 = 32741, 32732  # bytes of the first full segments on a loopback; Nagle's rule is about smaller ones
SMALL: Final = 536  # TCP_MSS_DEFAULT: what a receiver takes segments for before it has seen one
UNKNOWN: Final = -1
LARGE: Final = 832  # bytes of a segment that uses its memory well: the window grows, once, and so do the quick answers
_QUICKACK: Final = (IPPROTO_TCP, TCP_QUICKACK)
_NODELAY: Final = (IPPROTO_TCP, TCP_NODELAY)


def answers(connection: ControlBlock) -> bool:
    """Does it acknowledge along with its answers: has it sent something after it had read something (pingpong mode)?"""
    options = connection.options
    if options is not None and options.get(_QUICKACK):
        return False
    return connection.snd_nxt > ISN + 1 and connection.rcv_told > ISN + 1 + connection.rcv_room


def must_wait(sender: Sender) -> int:
    """Does Nagle's rule hold back less than a segment, written by *sender* before it has read anything new?

    It is how many bytes of what went before are not acknowledged; UNKNOWN if some are.
    """
    if sender.snd_nxt == ISN + 1 or sender.rcv_edge != sender.rcv_told:
        return 0
    if sender.stack.clock.now_ns - sender.since_ns >= DELAYED_NS:
        return 0
    peer: Any = sender.twin  # there where nothing is recorded
    if peer is None or peer.twin is not sender or peer.state != ESTABLISHED:
        peer = peer_of(sender)
        if peer is None:
            return 0
    inbox = peer.inbox
    idle = inbox is None or not inbox.size
    if idle and peer.snd_nxt == ISN + 1:
        return 0  # it has read all, and answers nothing: that was acknowledged
    if sender.options is not None and sender.options.get(_NODELAY):
        return 0
    own = sender.inbox
    if (own is not None and own.size) or peer is sender or peer.guard is not None or sender.guard is not None:
        return 0
    full = FULL_V6 if ":" in peer.local[0] else FULL
    if idle:
        return UNKNOWN if sender.sent < full and answers(peer) else 0
    rest = inbox.rest
    if answers(peer):
        last = len(rest[-1] if rest else inbox.head)
        return last if last < full else 0
    if (
        inbox.size + inbox.offset == sender.sent
        and peer.rcv_room > FIRST_WINDOW
        and (not rest or len(rest) <= QUICK + 1)
    ):
        return _left_unacknowledged((inbox.head, *(rest or ())), full)
    return UNKNOWN if inbox.size <= SMALL and rest is not None and len(rest) >= QUICK else 0


def in_flight(sender: Sender) -> int:
    """How many bytes SIOCOUTQ tells of because their acknowledgement waits, where that is certain: not with TCP_NODELAY."""
    return max(0, must_wait(sender)) if sender.state == ESTABLISHED else 0


def _left_unacknowledged(writes: Iterable[bytes], full: int) -> int:
    """How many bytes does a receiver let wait who has read none of *writes*, the first of a connection, to its end?

    Each is sent in segments of *full* bytes, and what is left of it.
    """
    quick = -1
    grown = False
    largest, left_over, segment = SMALL, 0, 0
    for write in writes:
        left = len(write)
        while left:
            segment = min(left, full)
            left -= segment
            largest = max(largest, segment)
            if quick < 0:
                quick = min(QUICK, FIRST_WINDOW // (2 * largest) or 2)
            if segment >= LARGE and not grown:
                quick |= 1
                grown = True
            left_over += segment
            if quick or left_over > largest:
                quick = max(0, quick - 1)
                left_over = 0
    return left_over if segment < full else 0


def peer_of(sender: Sender) -> Any:
    """The other end, if it is on this host and ESTABLISHED."""
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    return peer if peer is not None and peer.state == ESTABLISHED else None
