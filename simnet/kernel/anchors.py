"""Where faults act on a byte stream: callbacks anchored at offsets of what one end sends, and what they may do there.

An anchor counts the program's own bytes that went out. No data segment crosses one; once all bytes before it have
gone out, and before any later byte or the FIN, its callback runs and may stall, cut, sever or mute this direction, or
put an urgent byte into it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from simnet.kernel.descriptors import File
from simnet.kernel.segment import ACK, FIN, URG, Notice, Packet, Segment
from simnet.kernel.states import CLOSED

if TYPE_CHECKING:
    from simnet.kernel.connection import Connection
    from simnet.kernel.tcp import TcpSocket

Anchor = tuple[int, "Callable[[TcpSocket], None]"]

_offset = itemgetter(0)


class Tampering:
    """What faults want of one direction of one connection."""

    __slots__ = ("anchors", "injected", "held", "cut")

    def __init__(self) -> None:
        self.anchors: list[Anchor] = []
        self.injected = 0  # bytes in the stream that are not the program's
        self.held: Any = None  # the timer that ends a stall
        self.cut = False  # FIN went out before the program's end; the rest is lost

    @property
    def stops(self) -> bool:
        """May nothing go out at all, the FIN included?"""
        return self.held is not None or self.cut

    def add(self, offset: int, callback: Callable[[TcpSocket], None]) -> None:
        """Anchor *callback*; those at one offset run in order of arrival."""
        insort(self.anchors, (offset, callback), key=_offset)

    def allow(self, connection: Connection) -> int:
        """Run the callbacks that are due; then how many bytes may go out, or -1 for nothing, not even the FIN."""
        while True:
            if self.cut:
                connection.outbox = None
                return -1
            if self.held is not None or connection.state == CLOSED:
                return -1
            allowed = max(0, connection.snd_edge - connection.snd_nxt)
            if not self.anchors:
                return allowed
            distance = self.anchors[0][0] - connection.sent
            if distance > 0:
                return min(allowed, distance)
            _, callback = self.anchors.pop(0)
            callback(connection)  # type: ignore[arg-type]  # every connection is a TcpSocket

    def stop(self) -> None:
        """The connection is over."""
        if self.held is not None:
            self.held.cancel()
            self.held = None
        self.anchors.clear()


def _go_on(connection: Connection) -> None:
    tampering = connection.tampering
    if tampering is not None:
        tampering.held = None
        connection.transmit()


def _swallow(packet: Packet) -> None:
    """Where a muted connection's packets go."""


class Tamperable(File):
    """The verbs of faults, for use inside an anchor's callback or between calls."""

    __slots__ = ()

    def hold_until(self: Connection, deadline_ns: int) -> None:  # type: ignore[misc]  # a mixin of Connection
        """Let no data and no FIN out before *deadline_ns*."""
        tampering = self.tamper()
        if tampering.held is not None:
            tampering.held.cancel()
        tampering.held = self.stack.clock.at(deadline_ns, _go_on, self)

    def inject_urgent(self: Connection, byte: bytes) -> None:  # type: ignore[misc]
        """Put one urgent byte into the stream here, whatever the window says."""
        assert len(byte) == 1 and self.local is not None and self.peer is not None
        self.tamper().injected += 1
        seq = self.snd_nxt
        segment = Segment(
            self.local, self.peer, URG | ACK, seq, self.rcv_nxt, self.rcv_edge, byte, self.stack, seq
        )
        self.snd_nxt = seq + 1
        if self.urg_out:
            self.urg_out += 1  # the program's own urgent byte moves with the rest
        if self.guard is not None:
            self.guard.keep(self, segment)
        self.emit(segment)

    def cut_off(self: Connection) -> None:  # type: ignore[misc]
        """End this direction here by a FIN the program knows nothing of: what it sends from now on is lost."""
        assert self.local is not None and self.peer is not None
        if self.fin == 2:  # FIN_SENT
            return
        tampering = self.tamper()
        tampering.cut = True
        segment = Segment(
            self.local, self.peer, FIN | ACK, self.snd_nxt, self.rcv_nxt, self.rcv_edge, b"", self.stack
        )
        self.snd_nxt += 1
        tampering.injected += 1  # the FIN's place in the sequence is no byte of the program's
        self.outbox = None
        self.urg_out = 0
        if self.guard is not None:
            self.guard.keep(self, segment)
        self.emit(segment)

    def sever(self: Connection) -> None:  # type: ignore[misc]
        """RST to the peer, and this end dies as if one had arrived."""
        self.send_reset()
        self._reset()

    def blackhole(self: Connection) -> None:  # type: ignore[misc]
        """Nothing of this end arrives any more, acknowledgements included. Both ends notice by their timers only."""
        assert self.local is not None and self.peer is not None
        self.emit(Notice(self.local, self.peer, None, self.stack))
        self.emit = _swallow
        self.watch_losses()

