"""A host as the network below sees it: its kernel's stack, its addresses, and what leaves and reaches it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simnet import lookback, real
from simnet.clock import EPOCH_NS, Timer
from simnet.files.folders import in_the_way, without_links
from simnet.kernel.identity import Identity
from simnet.kernel.segment import ACK, FIN, SYN, TCP, Endpoint, Notice, Segment
from simnet.kernel.stack import Stack
from simnet.kernel.tcp.sockets import TcpSocket

if TYPE_CHECKING:
    from simnet.link import Direction
    from simnet.network import Fabric

__all__ = ["ASIDE", "Machine"]

ASIDE = 0xFFFE  # the number of a host that is none of the test's: no other one's address changes by it


class Machine:
    """A host as the fabric sees it: a stack, its addresses, and what leaves it."""

    __slots__ = (
        "name", "number", "address", "address6", "stack", "out", "fabric", "seed", "target", "polls", "ways", "socket_files",
        "powered", "epoch_ns", "still_until_ns", "lookups", "looked_up", "sockets", "privileged",
    )  # fmt: skip

    def __init__(self, fabric: Fabric, name: str, number: int, seed: str) -> None:
        self.name = name
        self.number = number
        self.seed = seed
        self.fabric = fabric
        self.target = False
        self.lookups = 0  # names it asked for
        self.looked_up = False  # somebody asked for its name
        self.privileged = True  # see Host.privileged
        self.sockets = 0  # calls of socket() by its processes
        self.polls = 0  # polls of this host's processes that found something ready
        addresses = _addresses(number)
        self.address, self.address6 = addresses
        self.out: deque[Any] = deque()
        self.socket_files: Any = None  # what was asked of the files of Unix sockets; see the room of that name
        self.powered = True  # else nothing runs here; see power.py
        self.epoch_ns = EPOCH_NS  # what its wall clock shows when the run begins
        self.still_until_ns = 0  # before that none of its processes runs; see standstill.py
        self.ways: dict[str, tuple[Machine | None, Direction | None]] = {}  # to whom an address leads, and along what
        self.stack = self._new_stack(addresses)

    def _new_stack(self, addresses: Sequence[str], kind: type[Stack] = Stack) -> Stack:
        clock: Any = _StackClock(self)
        stack = kind(addresses, clock=clock, out=self.out, name=self.name)
        stack.epoch_ns = self.epoch_ns
        stack.who = _who_runs
        stack.privileged = self.privileged
        stack.path_error = in_the_way
        stack.real_path = without_links
        if self.fabric.recording or self.fabric.injector.meddles:
            stack.carry = self.carry
        return stack

    def replace_stack(self, *, deaf: bool) -> None:
        """Another kernel, as after a power cut; a *deaf* one takes in nothing."""
        self.powered = not deaf
        self.socket_files = None
        self.stack = self._new_stack(self.stack.addresses, _Deaf if deaf else Stack)

    def carry(self, target: Any, record: Any) -> None:
        """A Unix datagram is on its way to *target*, which has a name."""
        self.fabric.carry(self, target, record)

    @property
    def now_ns(self) -> int:
        return self.fabric.clock.now_ns

    def flush(self) -> None:
        """Send what the stack has put out."""
        if self.out:
            self.fabric.route(self)

    def arrive(self, packet: Any) -> None:
        """Take in what a link brought, and send what that puts out."""
        self.stack.arrive(packet)
        if self.out:
            self.fabric.route(self)

    def arrive_segment(self, segment: Segment) -> None:
        """As :meth:`arrive`, for TCP, which is nearly everything: to its connection at once, if it is of one."""
        stack = self.stack
        connection = stack.connections.get((segment.target, segment.source))
        if connection is None:
            stack.arrive(segment)
        elif segment.flags != ACK or connection.__class__ is not TcpSocket:
            connection.arrive(segment)
        elif not connection.take(segment.seq, segment.edge, segment.payload):  # as its `arrive` does
            connection.process(segment)
        if self.out:
            self.fabric.route(self)

    def arrive_data(self, data: tuple[Endpoint, Endpoint, int, int, bytes, int, Any, Any]) -> None:
        """As :meth:`arrive`, for a segment that its sender saw was mere data; it is one only if this end finds it unusual."""
        target, source, seq, edge, payload, ack, sender, far = data
        # Each is the other's, and who takes mere data is in the tables: they need not be asked (see decision 51).
        if far is None or far.far is not sender or far.stack is not self.stack or not far.take(seq, edge, payload):
            connection = self.stack.connections.get((target, source))
            if connection.__class__ is not TcpSocket or not connection.take(seq, edge, payload):
                self.stack.arrive(Segment(source, target, ACK, seq, ack, edge, payload, sender))
        if self.out:
            self.fabric.route(self)

    def __repr__(self) -> str:
        return f"Machine({self.name}, {self.address})"


class _Deaf(Stack):
    """The kernel of a host without power."""

    __slots__ = ()

    def arrive(self, packet: Any) -> None:
        """It takes in nothing; who sent it finds out as of any other loss."""
        if packet.proto == TCP and (packet.payload or packet.flags & (SYN | FIN)):
            self.out.append(Notice(packet.target, packet.source, packet, self))


class _StackClock:
    """The clock as a stack is given it: what a timer puts out is sent when the timer has run; and what was when."""

    __slots__ = ("_machine", "_clock")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._clock = machine.fabric.clock

    @property
    def now_ns(self) -> int:
        return self._clock.now_ns

    def at(self, deadline_ns: int, fn: Any, arg: Any = None, background: bool = False) -> Timer:
        return self._clock.at(deadline_ns, self._run, (fn, arg), background)

    def heard_ns(self, connection: Any) -> int:
        return lookback.heard_ns(self._machine.fabric, connection)

    def on_the_way(self, connection: Any) -> int:
        return lookback.on_the_way(self._machine.fabric, connection)

    def received_ns(self, connection: Any) -> int | None:
        return lookback.received_ns(self._machine.fabric, connection)

    def answers(self, connection: Any, wait_ns: int, late_ns: int) -> bool | None:
        return lookback.answers(self._machine.fabric, connection, wait_ns, late_ns)

    def _run(self, pair: tuple[Any, Any]) -> None:
        pair[0](pair[1])
        if self._machine.out:
            self._machine.fabric.route(self._machine)


def _who_runs() -> Identity:
    """A program compares this with what os says; but a number of the machine's processes would tell runs apart."""
    pid = 1
    return Identity(
        (pid, real.geteuid(), real.getegid()),
        tuple(real.getgroups()),
        frozenset({pid, real.getpid(), real.getppid()}),
    )


@lru_cache(maxsize=256)
def _addresses(number: int) -> tuple[str, str]:
    """The addresses of the *number*-th host, IPv4 and IPv6."""
    return f"10.0.{number >> 8}.{number & 255}", f"fd00::{number:x}"
