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

from simnet.kernel.states import CLOSED
from simnet.kernel.tcp.control import FIN_DUE

if TYPE_CHECKING:
    from simnet.kernel.tcp.sending import Sender
    from simnet.kernel.tcp.sockets import TcpSocket

Anchor = tuple[int, "Callable[[TcpSocket], None]"]

_offset = itemgetter(0)


class Tampering:
    """What faults want of one direction of one connection."""

    __slots__ = ("anchors", "injected", "held", "gathered", "patience_ns", "cut")

    def __init__(self) -> None:
        self.anchors: list[Anchor] = []
        self.injected = 0  # bytes in the stream that are not the program's
        self.held: Any = None  # the timer that ends a stall
        self.gathered = 0  # nothing goes out before the program has written up to this offset
        self.patience_ns = 0  # or has not for so long
        self.cut = False  # FIN went out before the program's end; the rest is lost

    @property
    def stops(self) -> bool:
        """May nothing go out at all, the FIN included?"""
        return self.held is not None or self.cut

    def add(self, offset: int, callback: Callable[[TcpSocket], None]) -> None:
        """Anchor *callback*; those at one offset run in order of arrival."""
        insort(self.anchors, (offset, callback), key=_offset)

    def allow(self, connection: Sender) -> int:
        """Run the callbacks that are due; then how many bytes may go out, or -1 for nothing, not even the FIN."""
        while True:
            if self.cut:
                connection.outbox = None
                return -1
            if self.gathered and self.waits_for_more(connection):
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

    def waits_for_more(self, connection: Sender) -> bool:
        """Is there less to send than is to go out together?"""
        if connection.fin == FIN_DUE or connection.sent + connection.unsent >= self.gathered:
            self.go_on()
            return False
        if self.held is None and connection.unsent:
            clock = connection.stack.clock
            self.held = clock.at(clock.now_ns + self.patience_ns, go_on, connection)
        return True

    def go_on(self) -> None:
        """Nothing is held any more."""
        self.gathered = 0
        if self.held is not None:
            self.held.cancel()
            self.held = None

    def stop(self) -> None:
        """The connection is over."""
        self.go_on()
        self.anchors.clear()


def go_on(connection: Sender) -> None:
    """What was held goes out."""
    assert connection.tampering is not None
    connection.tampering.go_on()
    connection.transmit()
