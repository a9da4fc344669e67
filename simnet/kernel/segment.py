"""What travels between stacks: TCP segments, UDP datagrams, ICMP errors, and the simulation's own notices.

Addresses are ``(ip, port)`` pairs of text and number, for IPv6 too. ``sender`` emitted the packet: a connection,
or the stack itself where there is none. They are values: none is changed after it was emitted. They are not frozen by the
interpreter, since a frozen class costs three times as much to make, and a simulation makes millions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from simnet.kernel.descriptors import File
    from simnet.kernel.stack import Stack

Endpoint = tuple[str, int]


class Sender(Protocol):
    """Who emits segments."""

    @property
    def way(self) -> Any:
        """What the network keeps with a connection about the path to its peer; None for who has no such path."""


TCP: Final = 6
UDP: Final = 17
ICMP: Final = 1

# Bits of the TCP header.
FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10
URG: Final = 0x20
# Not in any header: "acknowledge this one". Between loss-free ends an acknowledgement tells nothing that the sender
# does not know, so it is sent only where the sender asks: half-closing, lingering, or on a path that may lose.
WANT_ACK: Final = 0x100
FILLS: Final = 0x200  # nor this: "my data fills your window"

_FLAG_NAMES: Final = ((SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (URG, "URG"), (ACK, "ACK"))


class Segment:
    """One TCP segment, as large as a write may be.

    ``seq`` and ``ack`` are whole numbers that never wrap; ``edge`` is the right edge of the window, the first sequence
    number the receiver of this segment may not send; ``urgent`` is the sequence number of the urgent byte under URG.
    """

    __slots__ = ("source", "target", "flags", "seq", "ack", "edge", "payload", "sender", "urgent")
    proto: Final = TCP

    def __init__(
        self,
        source: Endpoint,
        target: Endpoint,
        flags: int,
        seq: int,
        ack: int,
        edge: int,
        payload: bytes,
        sender: Sender,
        urgent: int = 0,
    ) -> None:
        self.source = source
        self.target = target
        self.flags = flags
        self.seq = seq
        self.ack = ack
        self.edge = edge
        self.payload = payload
        self.sender = sender
        self.urgent = urgent

    @property
    def window(self) -> int:
        """How many bytes after ``ack`` its receiver may send."""
        return self.edge - self.ack

    @property
    def flag_names(self) -> str:
        """``SYN|ACK``, in the order a ladder diagram wants."""
        return "|".join(name for bit, name in _FLAG_NAMES if self.flags & bit) or "none"

    def __repr__(self) -> str:
        urgent = f", urgent {self.urgent}" if self.flags & URG else ""
        return (
            f"Segment({self.source[0]}:{self.source[1]} -> {self.target[0]}:{self.target[1]}, {self.flag_names}, "
            f"seq {self.seq}, ack {self.ack}, window {self.window}, {len(self.payload)} B{urgent})"
        )


class Marks(NamedTuple):
    """What a datagram's header says, and what it lies in, where that is not as by default."""

    tos: int = 0
    ttl: int = 64
    options: bytes = b""  # of an IPv4 header
    whole: bool = False  # IPV6_DONTFRAG, said beside it
    segment: int = 0  # UDP_SEGMENT: a longer one arrives in pieces of as many bytes
    pages: int = 0  # bytes that were added to what MSG_MORE or a cork had begun
    flow: int = 0  # the label of IPv6, if it was given one
    memory: int = 0  # what it costs who queues it, if that is not told by its length
    priority: int = 0  # SO_PRIORITY and SO_MARK of who sent it, which its own host sees
    mark: int = 0
    unchecked: bool = False  # over IPv6 without a checksum, which few receivers take
    # Bytes that MSG_MORE or a cork had begun over IPv4, with a checksum that no card makes; -1 for none.
    begun: int = -1
    covered: int = 0  # bytes of a datagram of UDP-Lite and its header that the checksum covers; 0 for all
    link: int = 0  # where IP_PKTINFO sends what is for a group of IPv4


PLAIN: Final = Marks()
TTL_LATER: Final = -1  # of what is collected over IPv4: it has the TTL that its socket has when it is sent


class Datagram:
    """One UDP datagram, whole."""

    __slots__ = ("source", "target", "payload", "sender", "marks")
    proto: Final = UDP

    def __init__(
        self, source: Endpoint, target: Endpoint, payload: bytes, sender: Stack, marks: Marks | None = None
    ) -> None:
        self.source = source
        self.target = target
        self.payload = payload
        self.sender = sender
        self.marks = marks  # TOS and TTL, if they are not the usual ones

    def __repr__(self) -> str:
        return (
            f"Datagram({self.source[0]}:{self.source[1]} -> {self.target[0]}:{self.target[1]}, {len(self.payload)} B)"
        )


class Icmp:
    """An ICMP error about a packet: it goes back to that packet's source, and says *error* (an errno)."""

    __slots__ = ("source", "target", "error", "about", "sender")
    proto: Final = ICMP

    def __init__(self, error: int, about: Segment | Datagram, sender: Stack) -> None:
        self.source = about.target
        self.target = about.source
        self.error = error
        self.about = about
        self.sender = sender

    def __repr__(self) -> str:
        return f"Icmp(errno {self.error} to {self.target[0]}:{self.target[1]} about {self.about!r})"


class Notice:
    """The simulation's own word to a stack, which no real network carries. It is no part of a trace.

    With *lost*: that segment was dropped with nobody to tell. Loss-free paths arm no timers; whoever drops a packet on
    one says so by a notice, or by calling ``Stack.lost``, and the sender does what its retransmission timer would have
    made it do. With *waking*: the file's watchers are told after what went out before. With neither: the connection
    between *target* and *source* is to expect losses from now on.
    """

    __slots__ = ("source", "target", "lost", "sender", "waking")
    proto: Final = 0

    def __init__(
        self, source: Endpoint, target: Endpoint, lost: Segment | None, sender: Stack, waking: File | None = None
    ) -> None:
        self.source = source
        self.target = target
        self.lost = lost
        self.sender = sender
        self.waking = waking

    def __repr__(self) -> str:
        about = self.lost or self.waking or "expect losses"
        return f"Notice({self.source} -> {self.target}: {about!r})"


Packet = Segment | Datagram | Icmp | Notice
