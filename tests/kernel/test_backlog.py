"""Listening and accepting: the queue, its arithmetic, and what happens to those who wait in it (K-026, K-040 to K-050)."""

from __future__ import annotations

import contextlib
import struct
from errno import EAGAIN, EALREADY, ECONNRESET, EINPROGRESS, EINVAL, EISCONN, ENOTCONN, EPIPE
from typing import Any

import pytest

from simnet.kernel import Descriptors, Segment, TcpSocket
from simnet.kernel.messages import AF_INET, SHUT_RDWR, SOCK_STREAM
from tests.kernel.conftest import Fabric, Note, fails, mask
from tests.kernel.matrix import LINGER_ZERO

SO_ERROR = (1, 4)


class House:
    """A server with a backlog, and clients who come."""

    def __init__(self, fabric: Fabric, backlog: int) -> None:
        self.fabric = fabric
        self.client, self.server = fabric.stack("10.0.0.1"), fabric.stack("10.0.0.2")
        self.listener: Any = self.server.socket(AF_INET, SOCK_STREAM)
        self.listener.bind(("10.0.0.2", 7))
        self.listener.listen(backlog)

    def comes(self) -> TcpSocket:
        a = self.client.socket(AF_INET, SOCK_STREAM)
        assert isinstance(a, TcpSocket)
        with fails(EINPROGRESS):
            a.connect(("10.0.0.2", 7))
        self.fabric.run()
        return a

    def come(self, number: int) -> list[Any]:
        """So many at once: their handshakes have begun, and nothing has arrived yet."""
        several: list[Any] = [self.client.socket(AF_INET, SOCK_STREAM) for _ in range(number)]
        for a in several:
            with fails(EINPROGRESS):
                a.connect(("10.0.0.2", 7))
        return several


def test_accept_is_first_come_first_served(fabric: Fabric) -> None:
    house = House(fabric, 5)
    clients = [house.comes() for _ in range(3)]
    assert [house.listener.accept()[1] for _ in clients] == [a.getsockname() for a in clients]
    with fails(EAGAIN):
        house.listener.accept()


def test_listen_n_lets_n_plus_one_in_and_drops_the_next_syn(fabric: Fabric) -> None:
    house = House(fabric, 1)
    states = [house.comes().state for _ in range(3)]
    assert states == ["ESTABLISHED", "ESTABLISHED", "SYN_SENT"]


class Lodge:
    """A server that its own host's clients come to, of whom the first has taken the only place."""

    def __init__(self, fabric: Fabric, late: int) -> None:
        self.fabric = fabric
        self.stack = fabric.stack("10.0.0.2")
        self.listener: Any = self.stack.socket(AF_INET, SOCK_STREAM)
        self.listener.bind(("10.0.0.2", 7))
        self.listener.listen(0)
        _, *self.late = [self.comes(self.stack.socket(AF_INET, SOCK_STREAM)) for _ in range(1 + late)]

    def comes(self, socket: Any) -> Any:
        with fails(EINPROGRESS):
            socket.connect(("10.0.0.2", 7))
        self.fabric.run()
        self.fabric.segments()
        return socket


def test_who_has_given_up_and_begun_again_meanwhile_comes_again_once(fabric: Fabric) -> None:
    """Both attempts would be repeated with those of a third, in one tick of the kernel's timers."""
    lodge = Lodge(fabric, late=2)
    fabric.run(0.01)
    lodge.late[0].shutdown(SHUT_RDWR)
    lodge.comes(lodge.late[0])
    fabric.run(1.5)
    assert fabric.segments() == ["SYN:0", "SYN:0"]  # of each one, after a second


def test_of_those_who_come_again_sixteen_come_together(fabric: Fabric) -> None:
    Lodge(fabric, late=18)
    fabric.run(1.024)  # a second, and to the end of a tick of 32 ms
    assert fabric.segments() == ["SYN:0"] * 16
    fabric.run(0.001)
    assert fabric.segments() == ["SYN:0"] * 2


@pytest.mark.parametrize(("seconds", "holds"), [(50, True), (95, False)])
def test_who_was_answered_by_a_cookie_is_remembered_for_a_while(fabric: Fabric, seconds: int, holds: bool) -> None:
    lodge = Lodge(fabric, late=3)
    lodge.listener.accept()
    fabric.run(1.1)  # all three have come again, and one of them has taken the place
    lodge.listener.accept()
    fabric.run(seconds)
    client = lodge.late[0]
    client.send(b"hello")
    fabric.run()
    if holds:
        assert lodge.listener.accept()[0].recv(9) == b"hello"
    else:
        assert (client.getsockopt(*SO_ERROR), mask(lodge.listener)) == (ECONNRESET, "0")


def test_who_was_answered_by_a_cookie_and_has_spoken_is_reset_when_it_says_so_after_that(fabric: Fabric) -> None:
    lodge = Lodge(fabric, late=3)
    lodge.listener.accept()
    fabric.run(1.1)
    client = lodge.late[0]
    client.send(b"hello")
    there = len(lodge.stack.connections)
    fabric.run(100)
    assert client.getsockopt(*SO_ERROR) == 0
    fabric.run(10)  # its data is repeated after 102 to 107 s
    assert client.getsockopt(*SO_ERROR) == ECONNRESET
    assert len(lodge.stack.connections) == there - 2, "both ends are forgotten"


def test_room_in_the_queue_helps_at_the_next_retry_only(fabric: Fabric) -> None:
    house = House(fabric, 0)
    house.comes()
    late = house.comes()
    with fails(EALREADY):
        late.connect(("10.0.0.2", 7))
    house.listener.accept()
    fabric.run(0.99)
    assert late.state == "SYN_SENT"
    fabric.run(0.02)
    assert (late.state, mask(house.listener)) == ("ESTABLISHED", "IN")


def test_those_who_came_at_one_instant_come_back_one_after_the_other(fabric: Fabric) -> None:
    """So a server with a short queue takes them all; at one instant again, it would take two a second."""
    house = House(fabric, 1)
    clients = [house.comes() for _ in range(12)]
    fabric.run(0.999)
    assert [a.state for a in clients].count("SYN_SENT") == 10
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            house.listener.accept()
        fabric.run(0.000_01)
    assert {a.state for a in clients} == {"ESTABLISHED"}


def test_a_listener_that_closes_meanwhile_refuses_at_the_retry(fabric: Fabric) -> None:
    house = House(fabric, 0)
    first, late = house.comes(), house.comes()
    house.listener.release()
    fabric.run()
    assert first.getsockopt(*SO_ERROR) == ECONNRESET
    assert late.state == "SYN_SENT"
    fabric.run(1.1)
    assert late.getsockopt(*SO_ERROR) == 111  # ECONNREFUSED


def test_a_queue_that_fills_during_handshakes_holds_the_last_ones_back() -> None:
    fabric = Fabric(10_000_000)
    house = House(fabric, 0)
    clients = house.come(3)
    fabric.run(0.1)
    assert [a.state for a in clients] == ["ESTABLISHED"] * 3  # the clients cannot know
    for a in clients:
        a.send(b"hello")
    fabric.run(0.1)
    assert len(house.listener.listener.queue) == 1
    assert house.listener.accept()[0].recv(9) == b"hello"
    fabric.run(1)  # the first SYN-ACK again
    c, _ = house.listener.accept()
    assert c.recv(9) == b"hello"
    fabric.run(10)
    assert house.listener.accept()[0].recv(9) == b"hello"


def test_who_is_held_back_for_too_long_is_reset() -> None:
    fabric = Fabric(10_000_000)
    house = House(fabric, 0)
    a, b, silent = (house.client.socket(AF_INET, SOCK_STREAM) for _ in range(3))
    for socket in (a, b, silent):
        with fails(EINPROGRESS):
            socket.connect(("10.0.0.2", 7))
    fabric.run(0.1)
    b.send(b"hello")  # type: ignore[union-attr]
    fabric.run(64)
    assert b.getsockopt(*SO_ERROR) == ECONNRESET
    assert silent.state == "ESTABLISHED"  # it said nothing, so nobody answered
    assert len(house.server.connections) == 1, "the listener knows of neither any more"


@pytest.mark.parametrize("speaks_again", [False, True])
def test_who_has_spoken_while_it_was_held_back_is_heard_with_all_of_it(speaks_again: bool) -> None:
    """Its data comes again after a fifth of a second, long before the SYN-ACK; and so it does behind what it says meanwhile."""
    fabric = Fabric(10_000_000)
    house = House(fabric, 0)
    _, client = house.come(2)
    fabric.run(0.05)
    client.send(b"a")
    client.send(b"b")
    fabric.run(0.05)
    house.listener.accept()
    if speaks_again:
        client.send(b"c")
        fabric.run(0.05)
        assert mask(house.listener) == "IN", "there is room when this comes"
    fabric.run(0.2)
    c, _ = house.listener.accept()
    assert c.recv(9) == (b"abc" if speaks_again else b"ab")


def test_who_is_held_back_when_the_listener_closes_is_reset_when_it_speaks() -> None:
    fabric = Fabric(10_000_000)
    house = House(fabric, 0)
    clients = house.come(3)
    fabric.run(0.1)
    clients[2].send(b"spoke before")
    fabric.run(0.1)
    house.listener.release()
    fabric.run(5)
    assert [mask(a) for a in clients] == ["IN|OUT|RDHUP|ERR|HUP", "OUT", "IN|OUT|RDHUP|ERR|HUP"]
    clients[1].send(b"speaks now")
    fabric.run(5)
    assert clients[1].getsockopt(*SO_ERROR) == ECONNRESET


def test_a_handshake_that_ends_at_a_closed_listener_is_reset() -> None:
    fabric = Fabric(10_000_000)
    house = House(fabric, 5)
    a = house.client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run(0.015)
    house.listener.release()
    fabric.run(1)
    assert a.getsockopt(*SO_ERROR) == ECONNRESET


def test_a_client_that_gives_up_during_the_handshake_is_never_seen(fabric: Fabric) -> None:
    house = House(fabric, 5)
    fabric.drop = lambda packet: isinstance(packet, Segment) and packet.flag_names == "ACK"
    a = house.comes()
    a.setsockopt(1, 13, LINGER_ZERO)
    a.release()
    fabric.run()
    assert (mask(house.listener), len(house.server.connections)) == ("0", 0)


def test_the_backlog_may_grow_and_shrink(fabric: Fabric) -> None:
    house = House(fabric, 0)
    house.comes()
    house.listener.listen(2)
    house.comes(), house.comes()
    house.listener.listen(0)
    assert len(house.listener.listener.queue) == 3
    assert house.comes().state == "SYN_SENT"
    house.listener.listen(-1)
    assert house.listener.listener.backlog == 4096


def test_a_client_that_sent_and_closed_is_accepted_with_its_bytes(fabric: Fabric) -> None:
    house = House(fabric, 5)
    a = house.comes()
    a.send(b"hello")
    a.send(b"!", 1)
    a.release()
    fabric.run()
    c, address = house.listener.accept()
    assert c.getpeername() == address
    assert (mask(c), c.recv(1, 1), c.recv(9), c.recv(9)) == ("IN|PRI|OUT|RDHUP", b"!", b"hello", b"")


def test_a_client_that_reset_is_accepted_normally(fabric: Fabric) -> None:
    house = House(fabric, 5)
    a = house.comes()
    a.send(b"hello")
    a.setsockopt(1, 13, LINGER_ZERO)
    name = a.getsockname()
    a.release()
    fabric.run()
    c, address = house.listener.accept()
    assert address == name
    with fails(ENOTCONN):
        c.getpeername()
    assert c.getsockname() == ("10.0.0.2", 7)
    assert c.recv(9) == b"hello"
    with fails(ECONNRESET):
        c.recv(9)
    with fails(EPIPE):
        c.send(b"x")
    assert c.recv(9) == b""


@pytest.mark.parametrize("how", ["close", "shut_rd", "shut_rdwr"])
def test_a_listener_that_ends_resets_those_who_wait(fabric: Fabric, how: str) -> None:
    house = House(fabric, 5)
    house.listener.setsockopt(1, 2, 1)  # or the accepted one keeps the port from whoever listens next
    taken = house.comes()
    house.listener.accept()
    waiting = house.comes()
    if how == "close":
        house.listener.release()
    else:
        house.listener.shutdown({"shut_rd": 0, "shut_rdwr": 2}[how])
    fabric.run()
    assert (mask(taken), mask(waiting)) == ("OUT", "IN|OUT|RDHUP|ERR|HUP")
    if how != "close":
        with fails(EINVAL):
            house.listener.accept()
        with fails(ENOTCONN):
            house.listener.shutdown(0)
        house.listener.listen()
        assert house.comes().state == "ESTABLISHED"


def test_shut_wr_means_nothing_to_a_listener(fabric: Fabric) -> None:
    house = House(fabric, 5)
    house.listener.shutdown(1)
    assert house.comes().state == "ESTABLISHED"
    with fails(EISCONN):
        house.listener.connect(("10.0.0.1", 1))


def test_a_listener_lives_until_its_last_descriptor(fabric: Fabric) -> None:
    house = House(fabric, 5)
    table = Descriptors(base=100)
    fd = table.add(house.listener)
    again = table.dup(fd)
    table.close(fd)
    assert house.comes().state == "ESTABLISHED"
    table.close(again)
    fabric.run()
    assert mask(house.comes()) == "IN|OUT|RDHUP|ERR|HUP"


def test_accepted_sockets_inherit_options(fabric: Fabric) -> None:
    house = House(fabric, 5)
    options = [
        (6, 1, 1), (1, 9, 1), (1, 7, 9000), (1, 8, 9000), (1, 2, 1), (1, 10, 1), (1, 18, 3), (1, 6, 1), (0, 2, 33), (6, 4, 77),
    ]  # fmt: skip
    for level, name, value in options:
        house.listener.setsockopt(level, name, value)
    house.listener.setsockopt(1, 13, struct.pack("ii", 1, 5))
    house.comes()
    c, _ = house.listener.accept()
    for level, name, value in options:
        assert c.getsockopt(level, name) == (2 * value if name in (7, 8) and level == 1 else value), (level, name)
    assert c.getsockopt(1, 13, 8) == struct.pack("ii", 1, 5)


def test_defer_accept_waits_for_data_or_for_its_time(fabric: Fabric) -> None:
    house = House(fabric, 5)
    house.listener.setsockopt(6, 9, 2)
    assert house.listener.getsockopt(6, 9) == 3  # counted in repetitions of the SYN-ACK: 1 s, 3 s
    talker, mute = house.comes(), house.comes()
    assert (talker.state, mask(house.listener)) == ("ESTABLISHED", "0")
    talker.send(b"hello")
    fabric.run()
    c, _ = house.listener.accept()
    assert (c.recv(9), c.getsockopt(6, 9)) == (b"hello", 0)
    fabric.run(2.9)
    assert mask(house.listener) == "0"
    fabric.run(0.2)
    assert house.listener.accept()[1] == mute.getsockname()


def test_every_new_connection_wakes_the_listener(fabric: Fabric) -> None:
    house = House(fabric, 5)
    note = Note()
    house.listener.watch(note)
    house.comes(), house.comes()
    assert len(note.events) == 2
    house.listener.unwatch(note)
    house.listener.unwatch(note)
    assert house.listener.watchers is None


@pytest.mark.parametrize("why", ["deferred", "full"])
def test_a_client_that_resets_while_it_is_held_back_is_forgotten(why: str) -> None:
    fabric = Fabric(10_000_000)
    house = House(fabric, 0)
    if why == "deferred":
        house.listener.setsockopt(6, 9, 5)
    clients = house.come(2)
    fabric.run(0.1)
    assert house.listener.listener.half_open
    for a in clients:
        a.setsockopt(1, 13, LINGER_ZERO)
        a.release()
    fabric.run(0.1)
    assert not house.listener.listener.half_open
    fabric.run(20)


def test_with_too_many_deferred_the_next_is_not(fabric: Fabric) -> None:
    house = House(fabric, 0)
    house.listener.setsockopt(6, 9, 1)
    house.comes()
    assert mask(house.listener) == "0"
    house.comes()
    assert mask(house.listener) == "IN"


def test_a_full_queue_may_follow_a_deferral(fabric: Fabric) -> None:
    house = House(fabric, 0)
    house.listener.setsockopt(6, 9, 1)
    house.comes()
    house.listener.setsockopt(6, 9, 0)
    house.comes()
    fabric.run(1.1)  # the deferral is over, and finds the queue full
    house.listener.accept()
    fabric.run(1.1)
    assert mask(house.listener) == "0"
    fabric.run(0.9)  # the SYN-ACK goes again after 1 s and after 3 s
    assert mask(house.listener) == "IN"


def test_a_cork_is_inherited(fabric: Fabric) -> None:
    house = House(fabric, 5)
    house.listener.setsockopt(6, 3, 1)
    house.listener.setsockopt(1, 18, 2)
    a = house.comes()
    c, _ = house.listener.accept()
    c.send(b"held")
    fabric.run()
    assert (mask(a), c.getsockopt(1, 18)) == ("OUT", 2)
    c.send(b"!", 1)  # urgent data waits for nobody
    fabric.run()
    assert mask(a) == "IN|PRI|OUT"
