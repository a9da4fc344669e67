"""A connection of real sockets as plans name it: two ends, two streams of bytes, and what a plan wants of them."""

from __future__ import annotations

import _socket
import socket
import struct
from typing import Any

from simnet import real
from simnet.faults.fault import Fault
from simnet.faults.inject import Tag
from simnet.faults.kinds import Coalesce
from simnet.faults.place import Place
from simnet.realnet.machine import Machine

__all__ = ["Connection", "Gate", "RealFile", "Stream", "counted", "opposite"]


Gate = list[Any]
"""What a receiver is not shown yet: from which byte on, the fault's kind, the instant at which it is over or None before it has begun, and
for how many bytes it waits.
"""


def opposite(end: str) -> str:
    """The other end of a connection."""
    return "client" if end == "server" else "server"


def counted(fd: int, request: int) -> int:
    """How many bytes wait at a socket, by one of the SIOC requests.

    Raises:
        OSError: it is closed, or of a kind that does not count.
    """
    return int(struct.unpack("i", real.ioctl(fd, request, bytes(4)))[0])


class RealFile:
    """An open socket of the kernel, whatever descriptors it has, and all that is known of it beside."""

    __slots__ = (
        "accepted",
        "connection",
        "family",
        "fds",
        "in_hand",
        "into",
        "kept",
        "kind",
        "listening",
        "machine",
        "out",
        "rescued",
        "sent",
        "severed",
        "shown_host",
        "shut",
        "tag",
        "waits",
    )

    def __init__(self, machine: Machine, family: int, kind: int) -> None:
        self.machine = machine
        self.family = family
        self.kind = kind
        self.tag = Tag(None, f"new socket of {machine.name}", "", machine.name)
        self.in_hand = False  # it is a host's, and the test's own body calls
        self.waits = True  # what the program asked for, and the flag O_NONBLOCK of the kernel's would say
        self.fds: list[int] = []
        self.kept = -1  # a descriptor of ours: the program has closed its own, and what it sent is still held back
        self.shown_host: str | None = None  # what getsockname() says instead of the host's own address
        self.listening = False
        self.connection: Connection | None = None
        self.out: Stream | None = None  # None: no fault acts on what it sends
        self.into: Stream | None = None  # None: none acts on what it receives
        self.sent = 0  # bytes, of which the trace speaks
        self.shut = 0  # the directions that the program has shut down: 1 for what it reads, 2 for what it sends
        self.severed = False  # reset by a fault of ours
        # What it had received before that, up to each urgent byte: a RST from outside would have left it readable (K-074).
        self.rescued: list[bytes] = []
        self.accepted: list[Connection] = []  # of a listener: those that have connected and not been accepted yet

    @property
    def fd(self) -> int:
        """A descriptor of it, -1 once all are closed."""
        return self.fds[0] if self.fds else self.kept

    def let_go(self) -> None:
        """Nothing is held back any more."""
        kept, self.kept = self.kept, -1
        if kept != -1:
            real.close(kept)

    def twin(self) -> _socket.socket:
        """The same socket in an object of our own: C's, which no stand-in touches, and no default time-out makes wait.

        Raises:
            OSError: EBADF, it is closed.
        """
        twin = _socket.socket(fileno=real.dup(self.fd))
        twin.settimeout(0.0)
        return twin

    def says(self, wanted: int) -> bool:
        """Does its kernel say one of the poll bits *wanted*?"""
        if self.fd == -1:
            return False  # closed by its number alone
        poller = real.poll()
        poller.register(self.fd, wanted)
        return any(bits & wanted for _, bits in poller.poll(0))

    @property
    def stream(self) -> bool:
        return self.kind == socket.SOCK_STREAM

    @property
    def joins(self) -> bool:
        """Has it, once connected, the other end of a connection to itself? So have records, which no stream is made of."""
        return self.kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)

    def peer(self) -> RealFile | None:
        """The other end, if it exists (yet, and still)."""
        if self.connection is None:
            return None
        other = self.connection.ends[opposite(self.tag.end)]
        return other if other is not None and other.fd != -1 else None

    @property
    def peer_gone(self) -> bool:
        """Whether the other end has been there, and is closed."""
        other = None if self.connection is None else self.connection.ends[opposite(self.tag.end)]
        return other is not None and other.fd == -1


class Connection:
    """One attempt to connect, and what came of it."""

    __slots__ = ("ends", "place", "streams", "text")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.text = str(place)
        self.ends: dict[str, RealFile | None] = {"client": None, "server": None}
        self.streams: dict[str, Stream] = {}  # by the end towards which the bytes travel; only those with faults

    @property
    def severed(self) -> bool:
        """Whether a fault of ours has reset it."""
        return any(file is not None and file.severed for file in self.ends.values())


class Stream:
    """The bytes of one direction on which the plan acts.

    Whoever is not under test does it. If that is the *sender*, it sends up to the byte, acts, and sends on. If it is the
    receiver, it acts once the byte has been sent, and is shown nothing beyond it before: its kernel has it already.
    """

    __slots__ = ("by_sender", "cut", "faults", "gates", "hand", "held", "queue", "read", "sent", "towards", "wanted")

    def __init__(self, towards: str, faults: list[Fault], by_sender: bool) -> None:
        self.towards = towards
        self.by_sender = by_sender
        self.faults = faults  # those that have not acted, by byte
        self.sent = 0  # the program's own bytes, urgent ones of ours not counted
        self.read = 0
        # The sender's part.
        self.held = False  # what follows waits in the queue
        self.hand: Any = None  # delivers now what has waited there; what the program sends meanwhile waits behind it
        self.cut = False  # the end has been announced; what follows is lost
        self.wanted = 0  # so many bytes are to go out together
        self.queue: list[Any] = []  # bytes, None for the end of the stream
        self.gates: list[Gate] = []  # the receiver's part
        if not by_sender:
            self.gates = [
                [fault.anchor.number, fault.kind, None, fault.bytes if isinstance(fault, Coalesce) else None]
                for fault in faults
                if fault.kind != "urgent"
            ]

    @property
    def waits(self) -> bool:
        """Whether what the program sends has to wait in the queue."""
        return self.held or self.hand is not None

    @property
    def gate(self) -> Gate | None:
        """The first; a reset in another thread puts them away."""
        gates = self.gates
        return gates[0] if gates else None

    @property
    def gated(self) -> bool:
        """Whether the receiver's kernel has all that comes before something it is not shown yet."""
        gate = self.gate
        return gate is not None and bool(self.sent >= gate[0])

    @property
    def ended(self) -> bool:
        """The same of an early end."""
        gate = self.gate
        return gate is not None and gate[1] == "eof" and gate[2] is not None

    def distance(self) -> int | None:
        """How many bytes may be sent before the sender's socket does something; None: all."""
        acts = (fault.anchor.number for fault in self.faults if self.by_sender or fault.kind == "urgent")
        byte = next(acts, None)
        return None if byte is None else max(0, byte - self.sent)

    def held_until_ns(self, now_ns: int) -> int:
        """When the receiver is shown all that what has begun by now keeps from it: the time of what comes behind begins then."""
        begun: list[int] = [
            until_ns
            for byte, kind, until_ns, wanted in self.gates
            if until_ns is not None and kind != "split" and (wanted is None or self.sent - byte < wanted)
        ]
        return max([now_ns, *begun])

    def allowed(self, now_ns: int) -> int | None:
        """How many bytes the receiver may be shown now: None for all, -1 for the end of the stream, or of the connection."""
        while gates := self.gates:
            byte, kind, until_ns, wanted = gates[0]
            ends = kind in ("eof", "reset")
            over = until_ns is not None and now_ns >= until_ns and not ends
            if not over and (wanted is None or self.sent - byte < wanted):
                if byte > self.read:
                    return int(byte - self.read)
                if ends and until_ns is not None:  # before its first byte, that comes with the first write
                    return -1
                if kind != "split":
                    return 0
            gates.pop(0)  # a split that has been seen; what was late has come
        return None
