"""What a fault may do to one direction of a connection: stall, urgent byte, early end, reset, black hole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from simnet.kernel.segment import ACK, FIN, URG, Notice, Packet
from simnet.kernel.states import CLOSED, LISTEN
from simnet.kernel.tcp.anchors import Anchor, Tampering, go_on
from simnet.kernel.tcp.control import FIN_SENT
from simnet.kernel.tcp.sending import Sender

if TYPE_CHECKING:
    from simnet.kernel.tcp.sockets import TcpSocket


class Tamperable(Sender):
    """The verbs of faults, for use inside an anchor's callback or between calls."""

    __slots__ = ()

    def add_anchor(self, offset: int, callback: Callable[[TcpSocket], None]) -> bool:
        """Call *callback* when *offset* bytes of the program's have gone out, before any later one or the FIN.

        False if more went out already, or nothing ever will. One at the present offset is called at the next
        ``transmit()``. Before connect() is as good a time as later: offsets count from the first byte.
        """
        if self.fin == FIN_SENT or (self.state == CLOSED and self.peer is not None) or offset < self.sent:
            return False
        self.tamper().add(offset, callback)
        return True

    def tamper(self) -> Tampering:
        """The fault hooks of this connection, made on first use."""
        if self.tampering is None:
            self.tampering = Tampering()
            self.slow = True
            if self.ledger is not None:
                self.ledger.close()  # which knows nothing of faults
        return self.tampering

    @property
    def anchors(self) -> list[Anchor] | None:
        """What is anchored and has not fired, by offset."""
        return None if self.tampering is None else self.tampering.anchors

    def hold_until(self, deadline_ns: int) -> None:
        """Let no data and no FIN out before *deadline_ns*."""
        tampering = self.tamper()
        tampering.go_on()
        tampering.held = self.stack.clock.at(deadline_ns, go_on, self)

    def gather(self, size: int, patience_ns: int) -> None:
        """Let the next *size* bytes out together, or those that there are *patience_ns* after the first of them, or at the end."""
        tampering = self.tamper()
        tampering.go_on()
        tampering.gathered = self.sent + size
        tampering.patience_ns = patience_ns

    def inject_urgent(self, byte: bytes) -> None:
        """Put one urgent byte into the stream here, whatever the window says."""
        if len(byte) != 1:
            raise ValueError(f"{byte=} is not one byte: urgent data is a single one")
        self.tamper().injected += 1
        if self.urg_out:
            self.urg_out += 1  # the program's own urgent byte moves with the rest
        self.put(URG | ACK, byte, 1, self.snd_nxt)

    def cut_off(self) -> None:
        """End this direction here by a FIN the program knows nothing of: what it sends from now on is lost."""
        tampering = self.tamper()
        if self.fin == FIN_SENT or tampering.cut:
            return
        tampering.cut = True
        self.outbox = None
        self.urg_out = 0
        tampering.injected += 1  # the FIN's place in the sequence is no byte of the program's
        self.put(FIN | ACK, length=1)

    def sever(self) -> None:
        """RST to the peer, and this end dies as if one had arrived."""
        if self.state != CLOSED and self.state != LISTEN:
            self.send_reset()
            self.reset()

    def blackhole(self) -> None:
        """Nothing of this end arrives any more, acknowledgements included. Both ends notice by their timers only."""
        if self.local is None or self.peer is None:
            raise ValueError(f"{self!r} has no peer yet: a black hole swallows what goes to one")
        self.emit(Notice(self.local, self.peer, None, self.stack))
        self.emit = swallow
        self.stack.muted |= {(self.local, self.peer)}  # nor does an RST arrive, when this end is gone
        self.watch_losses()


def swallow(packet: Packet) -> None:
    """Where a muted connection's packets go."""
