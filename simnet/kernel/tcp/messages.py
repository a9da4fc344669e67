"""What recvmsg returns beside the bytes of a TCP stream: when they came in, and how many are left.

A socket that has asked for SO_TIMESTAMP or SO_TIMESTAMPNS is watched as by a poller, and each arrival recorded, so that
no other connection pays for it. The time is that of the last byte read; what had come before the socket asked has none.
Linux puts what comes behind what is acknowledged already, and still unread, into one buffer with it, whose time is then
the later one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.messages import Message
from simnet.kernel.options.idle import TCP_INQ
from simnet.kernel.options.timestamps import set_stamps, stamped, time_on, wants_stamps
from simnet.kernel.options.values import IPPROTO_TCP, SO_TIMESTAMP, SOL_SOCKET, Key
from simnet.kernel.tcp.nagle import peer_of, unacknowledged
from simnet.kernel.tcp.window import DELAYED_NS

if TYPE_CHECKING:
    from simnet.kernel.tcp.control import ControlBlock
    from simnet.kernel.tcp.sockets import TcpSocket

LEFT: Final = (IPPROTO_TCP, TCP_INQ)
ARRIVALS: Final = (SOL_SOCKET, -SO_TIMESTAMP)  # beside the options, where they are noted


class Arrivals:
    """Up to which sequence number bytes had come at which time, in order."""

    __slots__ = ("marks", "owed", "seen")

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.marks = [(seen, 0)]  # when that came nobody knows
        self.owed = False  # does the last of it wait for its acknowledgement?

    def wake(self, socket: Any, events: int) -> None:  # a poller's
        """Something has happened to *socket*: perhaps bytes came."""
        came: int = socket.rcv_nxt
        if came < self.seen:  # another connection
            self.marks.clear()
        if came != self.seen:
            marks, now = self.marks, time_on(socket.stack)
            if marks and self.seen > socket.copied_seq and not self._waits(socket, now):
                del marks[-1]
            self.seen = came
            marks.append((came, now))
            sender = peer_of(socket)
            self.owed = sender is not None and unacknowledged(sender, socket) != 0

    def _waits(self, socket: Any, now: int) -> bool:
        """Is what came last still not acknowledged?"""
        return self.owed and socket.rcv_wup < self.seen and now - self.marks[-1][1] < DELAYED_NS

    def at(self, end: int, read_to: int) -> int:
        """When the byte before number *end* came, 0 if that is not known; what is before *read_to* is not asked for again."""
        marks = self.marks
        stamp = next((time for came, time in marks if came >= end), 0)
        while marks and marks[0][0] <= read_to:
            del marks[0]
        return stamp


def set_stream_stamps(socket: TcpSocket, key: Key, value: int | bytes) -> None:
    """SO_TIMESTAMP or its like of a TCP socket, which is to note arrivals from now on, or no more."""
    set_stamps(socket, key, value)
    note_arrivals(socket)


def note_arrivals(socket: ControlBlock) -> None:
    """Note the arrivals at a socket if its options, which may be those of its listener, say so."""
    options = socket.options
    if options is None:
        return
    noted = options.get(ARRIVALS)
    watched = noted if noted is not None and socket.watchers is not None and noted in socket.watchers else None
    if wants_stamps(options):
        if watched is None:
            noted = options[ARRIVALS] = Arrivals(socket.rcv_nxt)
            socket.watch(noted)
        return
    options.pop(ARRIVALS, None)
    if watched is not None:
        socket.unwatch(watched)


def note_little(socket: ControlBlock) -> None:
    """What has come wakes nobody, since it is less than SO_RCVLOWAT."""
    noted = socket.options.get(ARRIVALS) if socket.options is not None else None
    if noted is not None:
        noted.wake(socket, 0)


def beside(socket: ControlBlock, size: int, *, peek: bool) -> list[Message]:
    """The messages that go with *size* bytes, just read or peeked at."""
    options = socket.options
    messages: list[Message] = []
    if options is None:
        return messages
    noted = options.get(ARRIVALS)
    if noted is not None and (size or socket.unread):
        start = socket.copied_seq if peek else socket.copied_seq - size
        stamp = noted.at(start + (size or 1), socket.copied_seq)
        if stamp:
            messages += stamped(options, stamp, socket.stack)
    return messages + left(socket)


def left(socket: ControlBlock) -> list[Message]:
    """How much there is still to read, if TCP_INQ asks for that: all that goes with an urgent byte."""
    if socket.options is None or not socket.options.get(LEFT):
        return []
    return [(*LEFT, struct.pack("=i", socket.unread + socket.done))]
