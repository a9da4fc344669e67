"""What one option does to the others: each is set, and all are read, here and on the machine's own kernel.

By this an option was found that brings another along (IP_TOS, SO_PRIORITY), and one that shows in both ends of a connection
(TCP_MAXSEG, SO_SNDBUF), where whoever looks at one option at a time sees nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import simnet
from simnet import invariants
from simnet.conform.words import outcome

SOL, IP, TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP
VALUES = (0, 1, 88)  # the last is a tos of its own priority, and the smallest segment
NUMBERS = {SOL: range(1, 85), IP: range(1, 52), TCP: range(1, 42)}
# Numbers of a machine or of a moment: errors, cookies, CPUs, memory, who somebody is, what was measured.
OF_A_MACHINE = {*((SOL, name) for name in (4, 17, 28, 49, 55, 56, 57, 59, 71, 77)), (TCP, 11), (TCP, 24), (TCP, 26)}
# What simnet tells and does not set; and IP_OPTIONS, with which a stream without a way has another TCP_MAXSEG.
NOT_SET = {
    *((SOL, name) for name in (26, 37, 47, 50, 51, 52, 62, 65)),
    (IP, 4),
    (IP, 21),
}
# Nor is looked at: the limit of the window, which follows buffers there; and what is read from the caller's own buffer.
LEFT_OUT = {(TCP, 10), (TCP, 35), (IP, 9), (IP, 41), (IP, 48)}

Change = Callable[[Any], object]


def numbers(kind: str) -> Iterator[tuple[int, int]]:
    for level, names in NUMBERS.items():
        if level != TCP or kind != "udp":
            yield from ((level, name) for name in names if (level, name) not in OF_A_MACHINE | LEFT_OUT)


def told(sock: Any, kind: str) -> dict[tuple[int, int], Any]:
    return {number: outcome(lambda: sock.getsockopt(*number, 16)) for number in numbers(kind)}  # noqa: B023 - called at once


def fresh(kind: str, stack: ExitStack) -> Any:
    return stack.enter_context(socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM))


def alone(kind: str, change: Change) -> tuple[Any, ...]:
    """Of a fresh socket: what became of the change, and what all options are then."""
    with ExitStack() as stack:
        sock = fresh(kind, stack)
        return change(sock), told(sock, kind)


def inherited(kind: str, change: Change) -> tuple[Any, ...]:
    """Of both ends of a connection: the change was the listener's."""
    with ExitStack() as stack:
        listener, client = fresh(kind, stack), fresh(kind, stack)
        done = change(listener)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        stack.enter_context(server)
        for end in (client, server):
            end.setsockopt(SOL, socket.SO_LINGER, b"\1" + bytes(7))
        return done, told(client, kind), told(server, kind)


def effects(kind: str, look: Callable[[str, Change], tuple[Any, ...]]) -> dict[str, Any]:
    _, *before = look(kind, lambda _: None)
    found: dict[str, Any] = {}
    for number in numbers(kind):
        if number in NOT_SET or number == (TCP, 9) or (look is inherited and number in {(SOL, 25), (SOL, 18)}):
            continue  # the last three would keep a connection from coming about
        for value in VALUES:
            done, *after = look(kind, lambda sock: outcome(lambda: sock.setsockopt(*number, value)))  # noqa: B023
            changed = [
                {each: end[each] for each in end if end[each] != old[each]}
                for end, old in zip(after, before, strict=True)
            ]
            found[f"{number} set to {value}"] = (done, changed)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "look"), [("tcp", alone), ("udp", alone), ("tcp", inherited)])
def test_k131_what_an_option_does_to_the_others(kind: str, look: Any) -> None:
    real = effects(kind, look)
    with simnet.Network(invariants=dict.fromkeys(invariants.NAMES, "off")) as net:
        net.host("test").privileged = False
        simulated = effects(kind, look)
    assert {each: (answer, real[each]) for each, answer in simulated.items() if answer != real[each]} == {}
