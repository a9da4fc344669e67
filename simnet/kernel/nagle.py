"""Nagle's rule: a small segment waits until the one before it is acknowledged (RFC 9293, 3.7.4), as it shows on a loopback.

A kernel acknowledges the first 16 segments at once, and any that fills more than half a kilobyte. From then on it waits for
a read that takes all; and once it has answered, for its next answer, or 40 ms. So of a program's first writes all arrive at
once, and after a dialogue the second of two waits, if TCP_NODELAY is not set.

Nothing of this is counted while data flows: it is read from what both ends know when one writes twice. That is enough
within a host, and as long as a connection is younger than the 40 ms in which an answer counts as one. Whoever is older, or
far away, sends at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.control import ISN
from simnet.kernel.options import IPPROTO_TCP, TCP_NODELAY, TCP_QUICKACK
from simnet.kernel.states import ESTABLISHED
from simnet.kernel.window import DELAYED_NS

if TYPE_CHECKING:
    from simnet.kernel.control import ControlBlock
    from simnet.kernel.sending import Sender

QUICK: Final = 16  # TCP_MAX_QUICKACKS
SMALL: Final = 536  # TCP_MSS_DEFAULT: more than that is acknowledged at once, before a larger segment has been seen
_QUICKACK: Final = (IPPROTO_TCP, TCP_QUICKACK)
_NODELAY: Final = (IPPROTO_TCP, TCP_NODELAY)


def answers(connection: ControlBlock) -> bool:
    """Does it acknowledge along with its answers: has it sent something after it had read something (pingpong mode)?"""
    options = connection.options
    if options is not None and options.get(_QUICKACK):
        return False
    return connection.snd_nxt > ISN + 1 and connection.rcv_told > ISN + 1 + connection.rcv_room


def must_wait(sender: Sender) -> bool:
    """Does Nagle's rule hold back what is SMALL, and written by *sender* before it has read anything new?"""
    if sender.snd_nxt == ISN + 1 or sender.rcv_edge != sender.rcv_told or sender.unread:
        return False
    stack = sender.stack
    if sender.guard is not None or stack.clock.now_ns - sender.since_ns >= DELAYED_NS:
        return False
    if sender.options is not None and sender.options.get(_NODELAY):
        return False
    peer = peer_of(sender)
    if peer is None or peer is sender or peer.guard is not None:
        return False
    inbox = peer.inbox
    unread = 0 if inbox is None else inbox.size
    if (unread or sender.sent) > SMALL:
        return False
    return answers(peer) or (inbox is not None and inbox.rest is not None and len(inbox.rest) >= QUICK)


def peer_of(sender: Sender) -> Any:
    """The other end, if it is on this host and ESTABLISHED."""
    peer: Any = sender.stack.connections.get((sender.peer, sender.local))
    return peer if peer is not None and peer.state == ESTABLISHED else None
