"""A network in miniature for tests of the kernel: a clock, any number of stacks, and a wire of any latency."""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Any

import pytest

from simnet.kernel import Packet, Segment, Stack, TcpSocket, readiness
from simnet.kernel.messages import AF_INET, SOCK_STREAM


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0
        self.heap: list[tuple[int, int, Callable[[Any], object], Any, Handle]] = []
        self.count = 0

    def at(
        self, deadline_ns: int, function: Callable[[Any], object], argument: Any, background: bool = False
    ) -> Handle:
        handle = Handle()
        self.count += 1
        heappush(self.heap, (deadline_ns, self.count, function, argument, handle))
        return handle

    def heard_ns(self, connection: Any) -> int:
        return self.now_ns

    def on_the_way(self, connection: Any) -> int:
        return 0

    def received_ns(self, connection: Any) -> None:
        return None

    def answers(self, connection: Any, wait_ns: int, late_ns: int) -> None:
        return None


def stack_of(packet: Packet) -> Stack:
    """The stack that emitted *packet*, by itself or for a connection."""
    return getattr(packet.sender, "stack", packet.sender)  # type: ignore[return-value]


class Fabric:
    """Stacks and what is between them. ``drop`` may refuse a packet; ``latency_ns`` delays those between hosts."""

    def __init__(self, latency_ns: int = 0) -> None:
        self.clock = Clock()
        self.out: deque[Packet] = deque()
        self.latency_ns = latency_ns
        self.stacks: dict[str, Stack] = {}
        self.drop: Callable[[Packet], bool] | None = None
        self.seen: list[Packet] = []

    def stack(self, *addresses: str, name: str = "") -> Stack:
        stack = Stack(addresses, clock=self.clock, out=self.out, name=name)
        for address in addresses:
            self.stacks[address] = stack
        return stack

    def drain(self) -> None:
        """Deliver everything that is due now."""
        while self.out:
            packet = self.out.popleft()
            self.seen.append(packet)
            if self.drop is not None and packet.proto and self.drop(packet):
                continue
            source = stack_of(packet)
            target = self.stacks.get(packet.target[0], source)
            if target is source or not self.latency_ns or not packet.proto:
                target.arrive(packet)
            else:
                self.clock.at(self.clock.now_ns + self.latency_ns, target.arrive, packet)

    def run(self, seconds: float = 0.0) -> None:
        """Drain, then let *seconds* of virtual time pass."""
        end = self.clock.now_ns + round(seconds * 1e9)
        self.drain()
        heap = self.clock.heap
        while heap and heap[0][0] <= end:
            deadline_ns, _, function, argument, handle = heappop(heap)
            if not handle.cancelled:
                self.clock.now_ns = max(self.clock.now_ns, deadline_ns)
                function(argument)
                self.drain()
        self.clock.now_ns = end

    def segments(self) -> list[str]:
        """What went over the wire since the last look, as ``FLAGS:bytes``."""
        seen = [f"{p.flag_names}:{len(p.payload)}" for p in self.seen if isinstance(p, Segment)]
        self.seen.clear()
        return seen

    def pair(self, client: Stack | None = None, server: Stack | None = None) -> tuple[TcpSocket, TcpSocket, TcpSocket]:
        """A listener, a client connected to it, and the accepted socket."""
        client = client or self.stack("10.0.0.1", name="client")
        server = server or self.stack("10.0.0.2", name="server")
        listener = server.socket(AF_INET, SOCK_STREAM)
        listener.bind((server.addresses[0], 7))
        listener.listen(5)
        a = client.socket(AF_INET, SOCK_STREAM)
        with pytest.raises(BlockingIOError):
            a.connect((server.addresses[0], 7))
        self.run(self.latency_ns * 4 / 1e9)
        c, _ = listener.accept()
        self.seen.clear()
        return listener, a, c


class Note:
    """A watcher that counts."""

    def __init__(self) -> None:
        self.events: list[int] = []

    def wake(self, file: object, events: int) -> None:
        self.events.append(events)


@pytest.fixture
def fabric() -> Fabric:
    return Fabric()


def mask(socket: Any) -> str:
    return readiness.describe(socket.mask())


@contextmanager
def fails(code: int) -> Iterator[None]:
    """The call answers with errno *code*, of the class and with the text that the kernel's errors have."""
    with pytest.raises(OSError, match=re.escape(os.strerror(code))) as caught:
        yield
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[code]
