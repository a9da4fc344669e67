"""Who waits for a place in a listener's queue, or for a first word, comes in with one of Linux's timers: K-044 and K-049."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from tests.contract.test_accept import until_told
from tests.contract.worlds import World

DEFER = (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)

pytestmark = pytest.mark.slow


def patient_listener(world: World, seconds: int, backlog: int) -> Any:
    """A listener that accepts who has said nothing for so many *seconds*."""
    return world.listener(backlog=backlog, options={DEFER: seconds})


@pytest.mark.parametrize("seconds", [1, 3])
def test_k049_of_those_who_have_said_nothing_for_so_long_the_last_is_the_first_each_second_time(
    world: World, seconds: int
) -> None:
    """The timers of a moment run in the reverse of the order in which they were set; after 3 s it is the second one's turn."""

    def order() -> list[int]:
        listener = patient_listener(world, seconds, 5)
        names = [world.client(listener).getsockname() for _ in range(3)]
        time.sleep(seconds - 0.1)
        world.ready(listener, "0")
        time.sleep(0.3)
        return [names.index(world.accept(listener).getpeername()) for _ in names]

    world.counts([0, 1, 2] if seconds == 3 else [2, 1, 0], order)


def test_k049_who_finds_no_room_when_the_time_is_over_comes_again_with_the_next_timer(world: World) -> None:
    listener = patient_listener(world, 1, 0)
    silent = world.client(listener)
    world.client(listener)  # too many wait: this one is accepted without data, and fills the queue
    time.sleep(1.2)
    world.accept(listener)
    time.sleep(1.2)
    world.gives("EAGAIN", listener.accept)
    time.sleep(0.8)  # the answers are repeated after 1 s, after 3 s, after 7 s
    assert world.accept(listener).getpeername() == silent.getsockname()


def test_k049_what_is_written_after_a_time_out_waits_until_what_was_written_first_goes_again(world: World) -> None:
    """It would find room now, but nothing new is sent until a retransmission was acknowledged."""
    listener = patient_listener(world, 20, 0)
    client = world.client(listener)
    world.client(listener)
    world.readable(listener)
    client.send(b"ab")
    time.sleep(0.5)  # it has gone again after 0.2 s, as a probe, and after 0.4 s
    world.accept(listener)
    client.send(b"cd")
    world.pause()
    world.ready(listener, "0")
    time.sleep(0.5)
    server = world.accept(listener)
    world.gives("abcd", lambda: server.recv(9).decode())


def test_k044_clients_of_both_families_are_counted_together(world: World) -> None:
    """The one that is answered last is one too many, and has a cookie: nobody repeats the answer to it."""
    listener = world.listener(backlog=0, ip="::")
    port = listener.getsockname()[1]
    late = []
    for ip in ("127.0.0.1", "127.0.0.1", "::1"):
        client = world.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        client.connect_ex((ip, port))
        late.append(client)
    world.accept(listener)
    until_told(world, *late)
    assert world.accept(listener).getpeername() == late[2].getsockname()
    time.sleep(1.2)
    world.gives("EAGAIN", listener.accept)


@pytest.mark.parametrize("seconds", [1, 3])
def test_k049_the_time_to_speak_goes_on_while_the_listener_is_shut_down(world: World, seconds: int) -> None:
    listener = patient_listener(world, seconds, 5)
    client = world.client(listener)
    time.sleep(1.2 if seconds == 3 else 0.2)
    listener.shutdown(socket.SHUT_RD)
    listener.listen(5)
    time.sleep(1.6 if seconds == 3 else 0.6)
    world.ready(listener, "0")
    time.sleep(0.4)
    assert world.accept(listener).getpeername() == client.getsockname()


def test_k049_who_comes_in_with_the_timer_is_heard_when_it_says_again_what_it_said(world: World) -> None:
    """It answers the repeated SYN-ACK by an empty segment; what it wrote to the full queue is repeated on its own."""
    listener = patient_listener(world, 1, 0)
    client = world.client(listener)
    world.client(listener)
    time.sleep(0.5)
    client.send(b"hello")  # to be repeated after 0.2 s, 0.4 s and 0.8 s
    time.sleep(0.45)
    world.accept(listener)
    time.sleep(0.2)
    server = world.accept(listener)
    assert server.getpeername() == client.getsockname()
    world.gives("EAGAIN", server.recv, 9)
    time.sleep(0.25)
    world.gives(b"hello", server.recv, 9)
