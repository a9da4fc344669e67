"""Where the time of an echo goes in dispatch, step by step: the kernel, the loop, the stream, the handler.

    python benchmarks/turn.py [--rounds N]

Each step is added to those before it and measured with them, in interleaved rounds; what it costs is the difference. A
socket that answers at once stands for the kernel in the steps that are Python's alone, so that they can be told apart.
"""

from __future__ import annotations

import argparse
import select
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import dispatch
from dispatch.channel import Channel
from dispatch.interfaces import IN, READ

ACTIVE = 50  # connections that are ready in each turn
TURNS = 400
DATA = b"x" * 64


def answer(size: int) -> bytes:  # noqa: ARG001  # as much as is there
    return DATA


class Immediate:
    """A socket whose calls cost as good as nothing."""

    def __init__(self, number: int) -> None:
        self.fileno = (number).__index__
        self.recv = answer
        self.send = len

    def setblocking(self, flag: bool) -> None:
        pass

    def getsockopt(self, level: int, name: int) -> int:
        return 0

    def close(self) -> None:
        pass


class AllReady:
    """A poller that finds every channel readable, at once."""

    name = "all ready"
    wakes_on_watch = True

    def __init__(self) -> None:
        self.ready: list[tuple[int, int]] = []

    def watch(self, fd: int, bits: int) -> None:
        self.ready.append((fd, IN))

    def change(self, fd: int, bits: int) -> None:
        pass

    def forget(self, fd: int) -> None:
        self.ready = [pair for pair in self.ready if pair[0] != fd]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        return self.ready

    def close(self) -> None:
        pass


class Idle(Channel):
    """A channel whose turn is nothing."""

    def __init__(self, sock: Any, loop: dispatch.Loop) -> None:
        self._attach(loop)
        self.socket = sock
        loop._join(self, READ)

    def _turn(self, bits: int) -> None:
        pass


class Silent(dispatch.Stream):
    """A stream whose handler does nothing."""

    def handle_data(self, data: bytes) -> None:
        pass


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


def per_echo(turn: Callable[[], object]) -> float:
    """Microseconds of processor time a connection in a turn."""
    began = time.process_time()
    for _ in range(TURNS):
        turn()
    return (time.process_time() - began) / (TURNS * ACTIVE) * 1e6


def loop_over(kind: Callable[..., object]) -> Callable[[], object]:
    loop = dispatch.Loop(poller=AllReady())
    for number in range(ACTIVE):
        kind(Immediate(1000 + number), loop=loop)
    loop.run_once(0)
    return lambda: loop.run_once(0)


def kernel_calls(stack: ExitStack) -> tuple[Callable[[], object], Callable[[], object]]:
    """What an echo asks of the kernel: one epoll_wait a turn, and a recv and a send for each connection."""
    pairs: list[tuple[socket.socket, socket.socket]] = []
    poller = stack.enter_context(select.epoll())
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    for _ in range(ACTIVE):
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        served = stack.enter_context(listener.accept()[0])
        served.setblocking(False)
        client.send(DATA)
        poller.register(served.fileno(), select.EPOLLIN)
        pairs.append((client, served))

    def poll() -> None:
        assert len(poller.poll()) == ACTIVE

    def peek_and_send() -> None:
        for client, served in pairs:
            served.recv(65536, socket.MSG_PEEK)  # the request stays for the next turn
            served.send(DATA)
            client.recv(65536)

    return poll, peek_and_send


def steps(stack: ExitStack) -> Iterator[tuple[str, Callable[[], object]]]:
    poll, calls = kernel_calls(stack)
    yield "kernel: the share of an epoll_wait", poll
    yield "kernel: recv, send, and the client's recv", calls
    yield "the loop: from the poller to a channel's turn", loop_over(Idle)
    yield "... and the stream's turn, with a handler that does nothing", loop_over(Silent)
    yield "... and a handler that writes, and the sending", loop_over(Echo)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with ExitStack() as stack:
        every = list(steps(stack))
        figures: dict[str, list[float]] = {name: [] for name, _ in every}
        for _ in range(options.rounds):
            for name, turn in every:
                figures[name].append(per_echo(turn))
    print(f"Python {sys.version.split()[0]}: microseconds an echo, {ACTIVE} connections ready in each turn")
    before = 0.0
    for name, values in figures.items():
        middle = statistics.median(values)
        added = f"  (+{middle - before:.2f})" if name.startswith("...") else ""
        print(f"{middle:8.2f}{added:<10} {name}")
        before = middle


if __name__ == "__main__":
    main()
