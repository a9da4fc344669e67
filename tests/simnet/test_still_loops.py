"""When a loop of the drop-in modules is at rest: it is not waited for three times if nobody is asked between its turns."""

from __future__ import annotations

import socket
from collections.abc import Callable

import simnet
from dispatch import asyncore
from simnet import wait

PAUSE = 5.0  # seconds, of each turn


class Service(asyncore.dispatcher):
    def __init__(self, port: int) -> None:
        super().__init__()
        self.create_socket()
        self.bind(("", port))
        self.listen(5)

    def handle_accepted(self, sock: socket.socket, addr: object) -> None:
        sock.close()


class Patient(Service):
    """Closes by itself a while after a client came, which it spends in a loop within the loop."""

    def handle_accepted(self, sock: socket.socket, addr: object) -> None:
        sock.close()
        asyncore.loop(timeout=PAUSE, count=2)
        self.close()


class Counting(Service):
    """Is asked before each turn, and so may count them."""

    asked = 0

    def readable(self) -> bool:
        self.asked += 1
        return True


def served(make: Callable[[int], Service]) -> tuple[simnet.Network, int]:
    """A network after one client of a server; how often the server woke by time alone once the client had gone."""

    def serve() -> None:
        make(7)
        asyncore.loop(timeout=PAUSE)

    with simnet.Network(target="server") as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as client:
            assert client.recv(1) == b""
    return net, sum(1 for event in net.trace.of("wake") if event.host == "server" and not event.detail)


def test_a_loop_that_asks_nobody_is_at_rest_when_it_has_woken_for_nothing_once() -> None:
    net, idle_turns = served(Service)
    assert idle_turns == 1
    assert net.time < 2 * PAUSE


def test_a_channel_that_is_asked_before_each_turn_is_asked_as_often_as_any_heart_beats() -> None:
    _, idle_turns = served(Counting)
    assert idle_turns == wait.HEARTBEATS


def test_who_turns_the_loop_by_hand_may_do_something_after_any_turn() -> None:
    turns = []

    def serve() -> None:
        service = Service(7)
        while len(turns) < wait.HEARTBEATS:
            asyncore.loop(timeout=PAUSE, count=1)
            turns.append(None)
        service.close()

    with simnet.Network(target="server") as net:
        net.host("server").spawn(serve)
    assert len(turns) == wait.HEARTBEATS


def test_a_loop_within_a_handler_of_a_loop_comes_to_its_end() -> None:
    net, _ = served(Patient)
    (closed,) = (event for event in net.trace.of("call") if event.place == "server:7" and event.op == "close")
    assert closed.time_ns > PAUSE * 1e9
