"""What remains of a connection after its end: TIME_WAIT, and FIN_WAIT2 without an owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.kernel.ports import TIME_WAIT_NS
from simnet.kernel.segment import ACK, FIN, RST, SYN, WANT_ACK, Endpoint, Segment
from simnet.kernel.states import TIME_WAIT

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack


class TimeWait:
    """A closed connection that still answers, and still holds its port, for a minute, or as long as TCP_LINGER2 says.

    It has no timer: its end shows only when somebody asks for the port or the pair of addresses, and who asks looks at
    the clock. ``state`` says TIME_WAIT for the port table in both phases; ``phase`` is netstat's word.
    """

    __slots__ = ("stack", "local", "peer", "phase", "sharing", "autobound", "expires_ns", "snd_nxt", "rcv_nxt")
    state = TIME_WAIT

    def __init__(
        self, stack: Stack, local: Endpoint, peer: Endpoint, phase: str, sharing: int, autobound: bool,
        snd_nxt: int, rcv_nxt: int, now_ns: int,
    ) -> None:  # fmt: skip
        self.stack = stack
        self.local = local
        self.peer = peer
        self.phase = phase
        self.sharing = sharing
        self.autobound = autobound
        self.expires_ns = now_ns + TIME_WAIT_NS
        self.snd_nxt = snd_nxt
        self.rcv_nxt = rcv_nxt

    def __repr__(self) -> str:
        return f"<TimeWait {self.phase} {self.local} -> {self.peer}>"

    def expire(self) -> None:
        """Leave the tables."""
        stack = self.stack
        if stack.time_waits.pop(self, self) is self:
            return
        del stack.connections[(self.local, self.peer)]
        stack.tcp_ports.free(self.local[1], self)

    def arrive(self, segment: Segment) -> None:
        """A late segment, or the FIN this end waits for."""
        flags = segment.flags
        stack = self.stack
        opens = (flags & (SYN | ACK)) == SYN
        if self.expires_ns <= stack.clock.now_ns or (opens and stack.listener_for(segment) is not None):
            # Over; or a new connection on the old pair, which RFC 9293, 3.6.1 lets in.
            self.expire()
            stack.arrive(segment)
            return
        if flags & RST:
            self.expire()
            return
        if not opens and segment.seq + len(segment.payload) > self.rcv_nxt:
            # Data for a program that has gone: RST, and that is the end of it (RFC 1122, 4.2.2.13).
            self.expire()
            stack.refuse(segment)
            return
        if flags & FIN and segment.seq == self.rcv_nxt:
            self.rcv_nxt += 1
            self.phase = TIME_WAIT
            self.expires_ns = stack.clock.now_ns + TIME_WAIT_NS
            del stack.time_waits[self]
            stack.time_waits[self] = None  # to the end: it expires last now
        if flags & WANT_ACK or opens:  # who opens and finds nobody there is told of the old one first, and resets it
            stack.out.append(Segment(self.local, self.peer, ACK, self.snd_nxt, self.rcv_nxt, self.rcv_nxt, b"", stack))
