"""epoll, select and poll: K-110 to K-115."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import select
import selectors
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import ALL, SOON, World, until_the_test_waits

IN, OUT, PRI, ET, ONESHOT, EXCLUSIVE, RDHUP, HUP, ERR = (
    select.EPOLLIN,
    select.EPOLLOUT,
    select.EPOLLPRI,
    select.EPOLLET,
    select.EPOLLONESHOT,
    select.EPOLLEXCLUSIVE,
    select.EPOLLRDHUP,
    select.EPOLLHUP,
    select.EPOLLERR,
)


@pytest.fixture
def epoll(world: World) -> Iterator[Any]:
    with select.epoll() as made:
        yield made


def ready(epoll: Any, names: dict[int, str], maxevents: int = -1) -> list[str]:
    """The names epoll reports now, in its order."""
    return [names[fd] for fd, _ in epoll.poll(0, maxevents)]


def readable(world: World, count: int) -> list[Any]:
    """Sockets with a byte to read, in order of arrival."""
    pairs = [world.pair() for _ in range(count)]
    for client, server in pairs:
        client.send(b"x")
        world.readable(server)
    return [server for _, server in pairs]


# --- registration --------------------------------------------------------------------------------------------------


def test_k110_a_registration_is_made_once_and_ends_once(world: World, epoll: Any) -> None:
    sock = world.socket()
    world.gives("ENOENT", epoll.modify, sock, IN)
    world.gives("ENOENT", epoll.unregister, sock)
    world.gives(None, epoll.register, sock, IN)
    world.gives("EEXIST", epoll.register, sock, IN)
    world.gives(None, epoll.modify, sock, OUT)
    world.gives(None, epoll.unregister, sock)
    world.gives("ENOENT", epoll.unregister, sock)


def test_k110_what_cannot_be_registered(world: World, epoll: Any) -> None:
    world.gives("EINVAL", epoll.register, epoll, IN)
    sock = world.socket()
    fd = sock.fileno()
    sock.close()
    world.gives("EBADF", epoll.register, fd, IN)
    world.gives("EBADF", epoll.modify, fd, IN)
    world.gives("EBADF", epoll.unregister, fd)
    world.gives("ValueError: file descriptor cannot be a negative integer (-1)", epoll.register, sock, IN)
    world.gives("ValueError: file descriptor cannot be a negative integer (-5)", epoll.register, -5, IN)
    world.gives("TypeError: argument must be an int, or have a fileno() method.", epoll.register, "x", IN)


def test_k110_a_regular_file_is_not_polled(world: World, epoll: Any) -> None:
    with tempfile.TemporaryFile() as file:
        world.gives("EPERM", epoll.register, file, IN)
        world.gives("EPERM", epoll.modify, file, IN)
        world.gives("EPERM", epoll.unregister, file)
    world.gives("ValueError: I/O operation on closed file", epoll.register, file, IN)


def test_k110_a_closed_epoll(world: World) -> None:
    closed = select.epoll()
    assert not closed.closed
    closed.close()
    closed.close()
    assert closed.closed
    sock = world.socket()
    for call in (closed.fileno, closed.poll, lambda: closed.register(sock, IN), lambda: closed.unregister(sock)):
        world.gives("ValueError: I/O operation on closed epoll object", call)


@pytest.mark.parametrize("count", [0, -2])
def test_k110_maxevents(world: World, epoll: Any, count: int) -> None:
    world.gives(f"ValueError: maxevents must be greater than 0, got {count}", epoll.poll, 0, count)


# --- level and edge ------------------------------------------------------------------------------------------------


def test_k111_level_is_reported_as_long_as_it_lasts(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(server, IN)
    assert epoll.poll(0) == []
    client.send(b"xy")
    world.readable(server)
    for _ in range(3):
        assert epoll.poll(0) == [(server.fileno(), IN)]
    server.recv(1)
    assert epoll.poll(0) == [(server.fileno(), IN)]
    server.recv(1)
    assert epoll.poll(0) == []


def test_k111_an_edge_is_each_arrival(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(server, IN | ET)
    assert epoll.poll(0) == []
    client.send(b"ab")
    world.readable(server)
    assert epoll.poll(0) == [(server.fileno(), IN)]
    assert epoll.poll(0) == []
    server.recv(1)  # to read a part is no edge
    assert epoll.poll(0) == []
    client.send(b"c")  # with old data unread
    world.pause()
    assert epoll.poll(0) == [(server.fileno(), IN)]
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|OUT|RDHUP")
    assert epoll.poll(0) == [(server.fileno(), IN)]


def test_k111_an_edge_reports_all_that_is_true(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(server, IN | OUT | ET)
    assert epoll.poll(0) == [(server.fileno(), OUT)]
    client.send(b"x")
    world.readable(server)
    assert epoll.poll(0) == [(server.fileno(), IN | OUT)]


def test_k111_a_raised_rcvlowat_is_no_edge(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(server, IN | OUT | ET)
    client.send(b"abc")
    world.readable(server)
    assert epoll.poll(0) == [(server.fileno(), IN | OUT)]
    for mark, edges in ((4, 0), (3, 1), (10, 0)):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
        assert len(epoll.poll(0)) == edges


def test_k111_add_and_modify_report_what_is_ready(world: World, epoll: Any) -> None:
    server = readable(world, 1)[0]
    epoll.register(server, IN | ET)
    assert epoll.poll(0) == [(server.fileno(), IN)]
    assert epoll.poll(0) == []
    epoll.modify(server, IN | ET)
    assert epoll.poll(0) == [(server.fileno(), IN)]


def test_k111_several_connections_are_one_edge_of_a_listener(world: World, epoll: Any) -> None:
    listener = world.listener()
    epoll.register(listener, IN | ET)
    for _ in range(3):
        world.client(listener)
    assert epoll.poll(0) == [(listener.fileno(), IN)]
    assert epoll.poll(0) == []
    world.client(listener)
    assert epoll.poll(0) == [(listener.fileno(), IN)]


def test_k111_room_to_write_is_an_edge(world: World, epoll: Any) -> None:
    client, server = world.full_pair()
    epoll.register(client, OUT | ET)
    assert epoll.poll(0) == []
    while outcome(lambda: server.recv(65536)) != "EAGAIN":
        world.pause()
    world.ready(client, "OUT")
    assert epoll.poll(0) == [(client.fileno(), OUT)]
    assert epoll.poll(0) == []


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize("connected", [False, True])
def test_k111_a_send_buffer_that_is_set_is_an_edge(world: World, epoll: Any, kind: int, connected: bool) -> None:
    sock = world.pair()[0] if connected and kind == socket.SOCK_STREAM else world.socket(kind=kind)
    if connected and kind == socket.SOCK_DGRAM:
        sock.connect((world.ip, 9))
    epoll.register(sock, IN | OUT | ET)
    assert len(epoll.poll(0)) == 1
    for size in (100_000, 1, 200_000, 200_000):  # also one that is smaller, or the same
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        assert [mask & OUT for _, mask in epoll.poll(0)] == [OUT]
    if kind == socket.SOCK_STREAM:
        for mark in (100, 0, 1):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, mark)
            assert len(epoll.poll(0)) == 1


@pytest.mark.parametrize("how", ["a larger buffer", "a higher mark"])
def test_k111_so_it_is_of_a_full_one_if_there_is_room_then(world: World, epoll: Any, how: str) -> None:
    client, server = world.tight_pair()
    if how == "a higher mark":
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 1)
    world.fill(client, server)
    epoll.register(client, IN | OUT | ET)
    assert epoll.poll(0) == []
    for value, edges in ((1, 0), (200_000, 1), (1, 0)):
        if how == "a larger buffer":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, value)
        else:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, value)
        assert epoll.poll(0) == [(client.fileno(), OUT)] * edges


def test_k111_a_pipe_has_an_edge_at_each_write_and_when_there_is_room_again(world: World, epoll: Any) -> None:
    reader, writer = os.pipe()
    ends = {reader: "r", writer: "w"}
    beside = [io.FileIO(reader), io.FileIO(writer, "w")]
    for fd in ends:
        os.set_blocking(fd, False)
        epoll.register(fd, IN | OUT | ET)
    other = select.epoll()
    edges = [
        (lambda: None, "w"),
        (lambda: other.register(writer, OUT | ET), ""),
        (lambda: os.write(writer, b"x"), "r"),
        (lambda: os.write(writer, b""), ""),
        (lambda: os.write(writer, b"y"), "r"),  # with old data unread
        (lambda: os.read(reader, 1), ""),
        (lambda: os.read(reader, 100), ""),
        (lambda: outcome(lambda: os.read(reader, 100)), ""),  # EAGAIN
        (lambda: os.write(writer, bytes(100_000)), "r"),
        (lambda: outcome(lambda: os.write(writer, b"z")), "r"),  # EAGAIN, and an edge all the same
        (lambda: outcome(lambda: os.write(reader, b"z")), ""),  # EBADF
        (lambda: os.read(reader, 100), ""),  # room for less than a page is none
        (lambda: os.read(reader, 5000), "w"),
        (lambda: os.read(reader, 5000), ""),
        (lambda: epoll.modify(writer, OUT | ET), "w"),
    ]
    with other, beside[0], beside[1]:
        for number, (act, expected) in enumerate(edges):
            act()
            assert (number, "".join(ends[fd] for fd, _ in epoll.poll(0))) == (number, expected)
        assert [fd for fd, _ in other.poll(0)] == [writer]
        beside[1].close()
        assert epoll.poll(0) == [(reader, IN | HUP)]


def test_k111_a_number_that_an_eventfd_takes_is_an_edge(world: World, epoll: Any) -> None:
    counter = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        epoll.register(counter, IN | ET)
        for data, edges in (
            (b"short", 0),
            (struct.pack("=Q", 1), 1),
            (struct.pack("=q", -1), 0),
            (struct.pack("=q", -2), 0),  # no room
            (struct.pack("=Q", 0), 1),
        ):
            outcome(lambda data=data: os.write(counter, data))  # type: ignore[misc]
            assert epoll.poll(0) == [(counter, IN)] * edges
    finally:
        os.close(counter)


def test_k111_a_reset_and_an_own_shutdown_are_edges(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(client, IN | ET)
    epoll.register(server, IN | RDHUP | ET)
    assert epoll.poll(0) == []
    server.shutdown(socket.SHUT_RD)
    assert epoll.poll(0) == [(server.fileno(), IN | RDHUP)]
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert epoll.poll(0) == [(client.fileno(), IN | ERR | HUP)]
    assert epoll.poll(0) == []


def test_k111_oneshot_reports_once_until_modified(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(server, IN | ONESHOT)
    client.send(b"x")
    world.readable(server)
    assert epoll.poll(0) == [(server.fileno(), IN)]
    world.reset(client)
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
    assert epoll.poll(0) == []
    epoll.modify(server, IN | ONESHOT)
    assert epoll.poll(0) == [(server.fileno(), IN | ERR | HUP)]
    assert epoll.poll(0) == []


# --- order ---------------------------------------------------------------------------------------------------------


def test_k112_the_order_is_that_of_becoming_ready(world: World, epoll: Any) -> None:
    pairs = [world.pair() for _ in range(4)]
    names = {server.fileno(): str(number) for number, (_, server) in enumerate(pairs)}
    for _, server in pairs:
        epoll.register(server, IN)
    for number in (2, 0, 3, 1):
        pairs[number][0].send(b"x")
        world.readable(pairs[number][1])
    assert ready(epoll, names) == ["2", "0", "3", "1"]
    pairs[2][1].recv(1)
    assert ready(epoll, names) == ["0", "3", "1"]
    pairs[2][0].send(b"x")  # it left the list, and comes in again at the tail
    world.readable(pairs[2][1])
    assert ready(epoll, names) == ["0", "3", "1", "2"]


def test_k112_maxevents_goes_round_all_of_them(world: World, epoll: Any) -> None:
    socks = readable(world, 4)
    names = {sock.fileno(): str(number) for number, sock in enumerate(socks)}
    for sock in socks:
        epoll.register(sock, IN)
    rounds = [ready(epoll, names, 2) for _ in range(4)]
    assert rounds == [["0", "1"], ["2", "3"], ["0", "1"], ["2", "3"]]
    assert ready(epoll, names, 1) == ["0"]
    assert ready(epoll, names, 3) == ["1", "2", "3"]


def test_k112_of_two_dups_the_later_registered_is_first(world: World, epoll: Any) -> None:
    client, server = world.pair()
    twin = world.keep(server.dup())
    epoll.register(server, IN)
    epoll.register(twin, IN)
    client.send(b"x")
    world.readable(server)
    assert [fd for fd, _ in epoll.poll(0)] == [twin.fileno(), server.fileno()]


@pytest.mark.parametrize("later", ["pipe", "twin"])
def test_k112_so_it_is_of_two_numbers_of_a_pipe(world: World, epoll: Any, later: str) -> None:
    reader, writer = os.pipe()
    twin = os.dup(reader)
    with io.FileIO(reader), io.FileIO(writer, "w"), io.FileIO(twin):
        order = [reader, twin] if later == "twin" else [twin, reader]
        for fd in order:
            epoll.register(fd, IN)
        os.write(writer, b"x")
        assert [fd for fd, _ in epoll.poll(0)] == order[::-1]


# --- closed and reused ---------------------------------------------------------------------------------------------


def test_k113_close_ends_a_registration(world: World, epoll: Any) -> None:
    sock = readable(world, 1)[0]
    epoll.register(sock, IN)
    fd = sock.fileno()
    sock.close()
    assert epoll.poll(0) == []
    world.gives("EBADF", epoll.unregister, fd)


def test_k113_while_a_dup_lives_events_go_on_under_the_old_number(world: World, epoll: Any) -> None:
    sock = readable(world, 1)[0]
    epoll.register(sock, IN)
    fd = sock.fileno()
    twin = world.keep(sock.dup())
    sock.close()
    assert epoll.poll(0) == [(fd, IN)]
    world.gives("EBADF", epoll.unregister, fd)
    twin.close()
    assert epoll.poll(0) == []


def test_k113_a_reused_number_is_not_registered(world: World, epoll: Any) -> None:
    sock = world.socket()
    epoll.register(sock, IN)
    fd = sock.fileno()
    sock.close()
    again = world.socket()
    assert again.fileno() == fd  # lowest first
    assert epoll.poll(0) == []
    world.gives("ENOENT", epoll.modify, again, IN)


# --- exclusive, nested ---------------------------------------------------------------------------------------------


def test_k114_exclusive_has_its_rules(world: World, epoll: Any) -> None:
    sock = readable(world, 1)[0]
    world.gives("EINVAL", epoll.register, sock, IN | EXCLUSIVE | ONESHOT)
    world.gives("EINVAL", epoll.register, sock, IN | RDHUP | EXCLUSIVE)
    world.gives(None, epoll.register, sock, IN | EXCLUSIVE | ET)
    assert epoll.poll(0) == [(sock.fileno(), IN)]
    world.gives("EINVAL", epoll.modify, sock, IN)
    world.gives(None, epoll.unregister, sock)


def test_k114_news_that_nobody_waits_for_comes_to_all_exclusive_sets(world: World, epoll: Any) -> None:
    client, server = world.pair()
    with select.epoll() as other:
        for each in (epoll, other):
            each.register(server, IN | EXCLUSIVE | ET)
        client.send(b"x")
        world.readable(server)
        assert (epoll.poll(0), other.poll(0)) == ([(server.fileno(), IN)], [(server.fileno(), IN)])
        world.reset(client)
        world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
        assert (epoll.poll(0), other.poll(0)) == ([(server.fileno(), IN | ERR | HUP)],) * 2


@pytest.mark.parametrize("wait", ["poll", "select", "epoll"])
def test_k114_who_looks_at_an_exclusive_set_from_outside_does_not_wait_in_it(
    world: World, epoll: Any, wait: str
) -> None:
    listener = world.socket(socket.AF_UNIX)
    listener.bind(world.abstract("exclusive"))
    listener.listen()
    client = world.socket(socket.AF_UNIX)

    def connect() -> None:
        until_the_test_waits()
        client.connect(world.abstract("exclusive"))

    with select.epoll() as other:
        for each in (epoll, other):
            each.register(listener, IN | EXCLUSIVE | ET)
        join = world.beside(connect)
        if wait == "select":
            assert select.select([epoll], [], [], 1)[0] == [epoll]
        else:
            poller = epoll if wait == "epoll" else select.poll()
            if wait == "poll":
                poller.register(epoll, IN)
            assert len(poller.poll(1 if wait == "epoll" else 1000)) == 1
        join()
        assert len(other.poll(0)) == (wait != "epoll")


def test_k114_an_epoll_is_readable_when_its_set_is(world: World, epoll: Any) -> None:
    client, server = world.pair()
    epoll.register(server, IN)
    assert select.select([epoll], [], [], 0) == ([], [], [])
    client.send(b"x")
    world.readable(server)
    assert select.select([epoll], [], [], 0) == ([epoll], [], [])
    with select.epoll() as outer:
        outer.register(epoll, IN)
        assert outer.poll(0) == [(epoll.fileno(), IN)]
        server.recv(1)
        assert outer.poll(0) == []


# --- select and poll -----------------------------------------------------------------------------------------------


def test_k115_no_wait_is_over_before_its_time(world: World) -> None:
    """In floats, by the clock that the program reads, at whatever instant it began."""
    world.pause()
    epoll, poll = select.epoll(), select.poll()
    waits = (
        time.sleep,
        lambda seconds: select.select([], [], [], seconds),
        epoll.poll,
        lambda seconds: poll.poll(1000 * seconds),
    )
    for milliseconds in (1, 2, 3, 7):
        seconds = milliseconds / 1000
        for wait in waits:
            then = time.monotonic()
            wait(seconds)
            assert time.monotonic() - then >= seconds
    epoll.close()


def test_k115_select_refuses_what_is_no_descriptor(world: World) -> None:
    sock = world.socket()
    fd = sock.fileno()
    sock.close()
    world.gives(
        "ValueError: file descriptor cannot be a negative integer (-1)", lambda: select.select([sock], [], [], 0)
    )
    world.gives("EBADF", lambda: select.select([fd], [], [], 0))
    world.gives("TypeError: arguments 1-3 must be sequences", lambda: select.select(1, [], [], 0))  # type: ignore[call-overload]
    world.gives(
        "TypeError: argument must be an int, or have a fileno() method.",
        lambda: select.select(["x"], [], [], 0),
    )
    world.gives("ValueError: timeout must be non-negative", lambda: select.select([], [], [], -1))
    world.gives(
        "ValueError: too many file descriptors in select()", lambda: select.select([world.socket()] * 1025, [], [], 0)
    )


def test_k115_select_keeps_order_and_duplicates(world: World) -> None:
    one, two = readable(world, 2)
    assert select.select([two, one, two], [one], [], 0) == ([two, one, two], [one], [])
    assert select.select([two.fileno(), one], [], [], 0) == ([two.fileno(), one], [], [])


@pytest.mark.slow
def test_k115_select_takes_no_descriptor_beyond_1023(world: World) -> None:
    socks = []
    try:
        while len(socks) < 1100:
            socks.append(socket.socket())
        world.gives(
            "ValueError: filedescriptor out of range in select()", lambda: select.select([socks[-1]], [], [], 0)
        )
        assert select.select([], [socks[0]], [], 0) == ([], [socks[0]], [])
    finally:
        for sock in socks:
            sock.close()


@pytest.mark.only_on("simnet", "the table of a process that has had 513 descriptors leaves nothing beyond it")
def test_k115_select_does_not_look_beyond_the_table_of_descriptors(world: World) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    assert select.select([1020, right], [left, 1020], [1021], 0) == ([1020], [left, 1020], [1021])
    left.send(b"x")
    assert select.select([right, 1020, right], [], [], 0.001) == ([right, 1020, right], [], [])
    assert select.select([1020], [], [], 0.001) == ([1020], [], [])


def test_k115_poll_says_that_a_number_is_not_open(world: World) -> None:
    sock = world.socket()
    poll = select.poll()
    poll.register(sock, IN)
    fd = sock.fileno()
    sock.close()
    assert poll.poll(0) == [(fd, select.POLLNVAL)]
    poll.unregister(fd)
    assert poll.poll(0) == []


def test_k115_poll_is_told_and_forgets(world: World) -> None:
    sock = readable(world, 1)[0]
    poll = select.poll()
    poll.register(sock, IN)
    poll.register(sock, OUT)  # replaces
    assert poll.poll(0) == [(sock.fileno(), OUT)]
    poll.modify(sock, IN)
    assert poll.poll(0) == [(sock.fileno(), IN)]
    poll.unregister(sock)
    with pytest.raises(KeyError):
        poll.unregister(sock)
    world.gives("ENOENT", poll.modify, sock, IN)


def test_poll_objects_come_from_the_function_alone(world: World) -> None:
    with pytest.raises(TypeError, match=r"^cannot create 'select.poll' instances$"):
        type(select.poll())()


def test_k115_a_regular_file_is_always_ready(world: World) -> None:
    with tempfile.TemporaryFile() as file:
        poll = select.poll()
        poll.register(file.fileno(), ALL)
        events = dict(poll.poll(0))[file.fileno()]
        assert events == select.POLLIN | select.POLLOUT | select.POLLRDNORM | select.POLLWRNORM
        assert select.select([file], [file], [file], 5.0) == ([file], [file], [])
        number = file.fileno()
    assert poll.poll(0) == [(number, select.POLLNVAL)]
    world.gives("EBADF", select.select, [number], [], [], 0)


@pytest.fixture
def pipe_of_before() -> Iterator[tuple[int, int]]:
    """What the interpreter came with, such as a terminal. In a run nobody writes to it."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_k115_a_pipe_of_before_has_room_to_write_and_nothing_to_read(
    pipe_of_before: tuple[int, int], world: World
) -> None:
    reads, writes = pipe_of_before
    assert select.select([reads], [writes], [], 0) == ([], [writes], [])
    poller = select.poll()
    poller.register(writes, select.POLLOUT)
    assert poller.poll(0) == [(writes, select.POLLOUT)]


def test_select_walks_over_a_list_that_changes(world: World) -> None:
    sock, _ = world.pair()
    asked: list[Any] = []

    class Shortens:
        def fileno(self) -> int:
            del asked[-1]
            number: int = sock.fileno()
            return number

    asked += [Shortens()] * 10
    assert select.select([], asked, [], 0) == ([], asked[:5], [])


def test_waiting_ends_when_something_arrives(world: World) -> None:
    listener = world.listener()
    name = listener.getsockname()

    def client() -> None:
        with socket.create_connection(name, timeout=5.0) as sock:
            sock.sendall(b"x")
            sock.recv(1)

    join = world.beside(client)
    assert select.select([listener], [], [], 5.0) == ([listener], [], [])
    server = world.accept(listener)
    with select.epoll() as epoll:
        epoll.register(server, IN)
        assert epoll.poll(5.0) == [(server.fileno(), IN)]
    poll = select.poll()
    poll.register(server, IN)
    assert poll.poll(5000) == [(server.fileno(), IN)]
    server.recv(1)
    server.close()
    join()


def test_k114_a_set_in_a_set_is_readable_and_nothing_else(world: World, epoll: Any) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    with select.epoll() as inner:
        inner.register(right, IN)
        epoll.register(inner, select.EPOLLRDNORM)
        left.send(b"x")
        assert epoll.poll(0) == []  # the news of a set is IN alone, and nobody asked for that
        epoll.modify(inner, IN | select.EPOLLRDNORM)
        assert epoll.poll(0) == [(inner.fileno(), IN | select.EPOLLRDNORM)]


def test_k114_a_pipe_in_a_set_is_news_to_a_set_around_it_once(world: World, epoll: Any) -> None:
    reader, writer = os.pipe()
    with io.FileIO(reader), select.epoll() as inner:
        inner.register(reader, IN)
        epoll.register(inner, IN | ET)
        os.write(writer, b"x")
        outer_and_inner = [(epoll.poll(0), inner.poll(0)) for _ in range(3)]
        assert outer_and_inner == [([(inner.fileno(), IN)], [(reader, IN)]), ([], [(reader, IN)]), ([], [(reader, IN)])]
        os.close(writer)
        assert [bool(epoll.poll(0)) for _ in range(2)] == [True, False]
        assert inner.poll(0) == [(reader, IN | HUP)]
        assert epoll.poll(0) == []


def test_k114_sets_stand_in_each_other_five_deep_at_most_counted_both_ways(world: World) -> None:
    with contextlib.ExitStack() as stack:
        inside, outside = ([stack.enter_context(select.epoll()) for _ in range(12)] for _ in range(2))
        told = [
            [outcome(lambda one=sets[i], other=sets[j]: one.register(other)) for i, j in pairs]
            for sets, pairs in (
                (inside, [(i, i - 1) for i in range(1, 12)]),  # each around the last one
                (outside, [(i - 1, i) for i in range(1, 12)]),  # and in it
            )
        ]
        assert told == [[None, None, None, None, "ELOOP"] * 2 + [None]] * 2
        left, right = map(world.keep, socket.socketpair())
        inside[0].register(right, IN)
        left.send(b"x")
        assert inside[4].poll(0) == [(inside[3].fileno(), IN)]


def test_an_epoll_made_of_a_descriptor_shares_it(world: World, epoll: Any) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    other = select.epoll.fromfd(epoll.fileno())
    other.register(right, IN)
    left.send(b"x")
    assert epoll.poll(0) == [(right.fileno(), IN)]
    assert isinstance(other, select.epoll)
    assert other.fileno() == epoll.fileno()
    with select.epoll() as third:
        shared = select.epoll.fromfd(third.fileno())
        third.close()
        world.gives("EBADF", shared.poll, 0)
        world.gives("EBADF", shared.register, right, IN)
        with contextlib.suppress(OSError):
            shared.close()


def test_an_epoll_whose_number_was_closed_is_what_has_the_number_now(world: World) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    left.send(b"x")
    with contextlib.ExitStack() as stack:
        epoll = stack.enter_context(select.epoll())
        other = stack.enter_context(select.epoll())
        other.register(right, IN)
        os.close(epoll.fileno())
        world.gives("EBADF", epoll.poll, 0)
        assert os.dup(left.fileno()) == epoll.fileno()
        for call, arguments in ((epoll.poll, (0,)), (epoll.register, (right, IN)), (epoll.unregister, (right,))):
            world.gives("EINVAL", call, *arguments)
        os.close(epoll.fileno())
        assert os.dup(other.fileno()) == epoll.fileno()
        epoll.modify(right, OUT)
        assert epoll.poll(0) == other.poll(0) == [(right.fileno(), OUT)]


def test_an_epoll_whose_number_was_closed_lives_on_in_a_dup(world: World) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    left.send(b"x")
    with contextlib.ExitStack() as stack:
        epoll = stack.enter_context(select.epoll())
        epoll.register(right, IN)
        number = epoll.fileno()
        dup = stack.enter_context(select.epoll.fromfd(os.dup(number)))
        os.close(number)
        for call, arguments in ((epoll.poll, (0,)), (epoll.poll, (0.01,)), (epoll.modify, (right, OUT))):
            world.gives("EBADF", call, *arguments)
        assert dup.poll(0) == [(right.fileno(), IN)]
        with select.epoll() as other:
            assert other.fileno() == number
            assert epoll.poll(0) == []
            epoll.register(right, OUT)
            assert other.poll(0) == [(right.fileno(), OUT)]
            dup.modify(right, IN | OUT)
            assert dup.poll(0) == [(right.fileno(), IN | OUT)]
        world.gives("EBADF", epoll.poll, 0)
        selector = stack.enter_context(selectors.EpollSelector())
        selector.register(right, selectors.EVENT_READ)
        shared = stack.enter_context(select.epoll.fromfd(os.dup(selector.fileno())))
        os.close(selector.fileno())
        world.gives("EBADF", selector.select, 0)
        assert shared.poll(0) == [(right.fileno(), IN)]
        with contextlib.suppress(OSError):  # neither has a number to close
            epoll.close()
        with contextlib.suppress(OSError):
            selector.close()


def test_any_number_makes_an_epoll_and_what_it_is_shows_when_it_is_asked(world: World) -> None:
    right = world.socket()
    new = select.epoll.fromfd(-1)
    new.register(right, IN)
    assert new.poll(0) == [(right.fileno(), HUP)]
    new.close()
    with socket.socket() as gone:
        nobody = gone.fileno()
    for number, answer in ((right.fileno(), "EINVAL"), (nobody, "EBADF")):
        other = select.epoll.fromfd(number)
        assert (other.fileno(), other.closed) == (number, False)
        for call, arguments in (
            (other.poll, (0,)),
            (other.register, (right, IN)),
            (other.modify, (right, IN)),
            (other.unregister, (right,)),
        ):
            world.gives(answer, call, *arguments)
        with contextlib.suppress(OSError):
            other.close()
    world.gives("EBADF", right.getsockname)
    right.detach()


def test_an_epoll_says_how_many_arguments_it_takes_in_pythons_words(world: World, epoll: Any) -> None:
    for answer, call, arguments in (
        ("TypeError: poll() takes at most 2 arguments (3 given)", epoll.poll, (0, 1, 2)),
        ("TypeError: epoll.close() takes no arguments (1 given)", epoll.close, (1,)),
        ("TypeError: epoll.fileno() takes no arguments (1 given)", epoll.fileno, (1,)),
        ("TypeError: epoll.__enter__() takes no arguments (1 given)", epoll.__enter__, (1,)),
        ("TypeError: epoll.__enter__() takes no keyword arguments", lambda: epoll.__enter__(x=1), ()),
        ("TypeError: __exit__ expected at most 3 arguments, got 4", epoll.__exit__, (1, 2, 3, 4)),
        ("TypeError: epoll.__exit__() takes no keyword arguments", lambda: epoll.__exit__(x=1), ()),
        ("TypeError: epoll() takes at most 2 arguments (3 given)", lambda: select.epoll(1, 0, sizehint=1), ()),
        ("TypeError: epoll() takes at most 2 arguments (3 given)", lambda: select.epoll(1, 0, flags=1), ()),
    ):
        world.gives(answer, call, *arguments)
    assert not epoll.closed


def test_what_is_registered_while_a_poll_waits_is_for_the_next(world: World) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    writable = world.socket(kind=socket.SOCK_DGRAM)
    poll = select.poll()
    poll.register(right, IN)
    told: list[Any] = []

    def wait() -> None:
        while not told:
            with contextlib.suppress(RuntimeError):  # the test looks meanwhile
                told.append(poll.poll(5000))

    join = world.beside(wait)
    with pytest.raises(RuntimeError, match=r"concurrent poll\(\) invocation"):
        while poll.poll(0) == []:
            time.sleep(SOON)
    poll.register(writable, OUT)
    poll.modify(right, OUT)
    time.sleep(SOON)
    assert told == []
    left.send(b"x")
    join()
    assert told == [[(right.fileno(), IN)]]
    assert sorted(poll.poll(0)) == sorted([(writable.fileno(), OUT), (right.fileno(), OUT)])


class _Numbered:
    """An object whose ``fileno()`` gives what it was told."""

    def __init__(self, number: Any) -> None:
        self._number = number

    def fileno(self) -> Any:
        return self._number


TOO_LARGE = "OverflowError: Python int too large to convert to C int"
TIME_TYPE = "PyTime_t" if sys.version_info >= (3, 13) else "_PyTime_t"


def test_what_is_no_descriptor_is_refused_by_every_poller(world: World, epoll: Any) -> None:
    poll = select.poll()
    for thing, answer in (
        (-1, "ValueError: file descriptor cannot be a negative integer (-1)"),
        (_Numbered(-2), "ValueError: file descriptor cannot be a negative integer (-2)"),
        (1 << 40, TOO_LARGE),
        (-(1 << 40), TOO_LARGE),
        (_Numbered(7.0), "TypeError: fileno() returned a non-integer"),
        (_Numbered(None), "TypeError: fileno() returned a non-integer"),
        (3.5, "TypeError: argument must be an int, or have a fileno() method."),
        (None, "TypeError: argument must be an int, or have a fileno() method."),
    ):
        world.gives(answer, poll.register, thing, "no mask")  # which is looked at later
        world.gives(answer, epoll.register, thing, 1)
        world.gives(answer, select.select, [thing], [], [], 0)
    world.gives("ValueError: filedescriptor out of range in select()", select.select, [99999], [], [], 0)
    world.gives("TypeError: arguments 1-3 must be sequences", select.select, [], None, [], 0)


def test_what_is_no_event_mask(world: World, epoll: Any) -> None:
    poll, sock = select.poll(), world.socket()
    for mask, for_poll, for_epoll in (
        ("x", "TypeError: an integer is required", "TypeError: 'str' object cannot be interpreted as an integer"),
        (1.5, "TypeError: an integer is required", "TypeError: 'float' object cannot be interpreted as an integer"),
        (-1, "ValueError: value must be positive", "EINVAL"),
        (1 << 16, "OverflowError: Python int too large for C unsigned short", None),
        (1 << 70, "OverflowError: Python int too large to convert to C unsigned long", "EEXIST"),
    ):
        world.gives(for_poll, poll.register, sock, mask)
        world.gives(for_poll, poll.modify, sock, mask)  # before it is looked for
        world.gives(for_epoll, epoll.register, sock, mask)
    world.gives("ENOENT", poll.modify, sock, 1)
    with pytest.raises(KeyError) as caught:
        poll.unregister(sock)
    assert caught.value.args == (sock.fileno(),)


def test_what_is_no_timeout(world: World, epoll: Any) -> None:
    poll, sock = select.poll(), world.socket(kind=socket.SOCK_DGRAM)
    poll.register(sock)
    epoll.register(sock)
    too_large = f"OverflowError: timestamp too large to convert to C {TIME_TYPE}"
    out_of_range = "OverflowError: timestamp out of range for platform time_t"
    if sys.version_info < (3, 11, 4):
        out_of_range = too_large  # what older ones said of the same
    for timeout, answer in (
        (1e30, out_of_range),
        (float("inf"), out_of_range),
        (float("nan"), "ValueError: Invalid value NaN (not a number)"),
        (1 << 70, too_large),
        ("x", "TypeError: timeout must be an integer or None"),
        (2**31, "OverflowError: timeout is too large"),
        (-(2**31) - 1, "OverflowError: timeout is too large"),
    ):
        world.gives(answer, poll.poll, timeout)
        world.gives(answer, epoll.poll, timeout)
    for timeout, answer in (
        (1e30, out_of_range),
        (1 << 70, too_large),
        ([], "TypeError: timeout must be a float or None"),
        (-1e-12, "ValueError: timeout must be non-negative"),
        (-(2**31) - 1, "ValueError: timeout must be non-negative"),
    ):
        world.gives(answer, select.select, [None], [], [], timeout)  # looked at before the rest
    poll.unregister(sock)
    epoll.unregister(sock)
    assert epoll.poll(-0.0009) == poll.poll(0) == []  # a part of a millisecond below 0 is 0


def test_what_epoll_takes_besides(world: World, epoll: Any) -> None:
    for maxevents, answer in (
        (0, "ValueError: maxevents must be greater than 0, got 0"),
        (-2, "ValueError: maxevents must be greater than 0, got -2"),
        ("x", "TypeError: 'str' object cannot be interpreted as an integer"),
        (1 << 31, TOO_LARGE),
        (True, []),
    ):
        world.gives(answer, epoll.poll, 0, maxevents)
    for call in (epoll.register, epoll.modify):
        world.gives("EINVAL", call, epoll, IN)
    world.gives("EINVAL", epoll.unregister, epoll)
    for arguments in ((0,), (-2,)):
        world.gives("ValueError: negative sizehint", select.epoll, *arguments)
    world.gives("OSError: invalid flags", select.epoll, -1, 1)
    assert repr(epoll).startswith("<select.epoll object at 0x")
    assert repr(select.poll()).startswith("<select.poll object at 0x")
    epoll.close()
    closed = "ValueError: I/O operation on closed epoll object"
    world.gives(closed, epoll.poll, "x")
    world.gives(closed, epoll.register, 0, IN)
    world.gives("ValueError: file descriptor cannot be a negative integer (-1)", epoll.register, -1, IN)
    world.gives(closed, epoll.fileno)
    assert epoll.closed
    assert epoll.close() is None


def test_the_methods_of_a_poll_object_refuse_keywords_in_pythons_words(world: World) -> None:
    poll = select.poll()
    sock = world.socket()
    said = [
        outcome(lambda: poll.register(fd=sock)),
        outcome(lambda: poll.modify(sock, eventmask=1)),
        outcome(lambda: poll.unregister(fd=sock)),
        outcome(lambda: poll.poll(timeout=0)),
    ]
    names = ("register", "modify", "unregister", "poll")
    assert said == [f"TypeError: poll.{name}() takes no keyword arguments" for name in names]


@pytest.mark.parametrize("how", ["select", "poll", "epoll"])
def test_who_was_handed_a_socket_may_wait_for_it(world: World, how: str) -> None:
    left, right = socket.socketpair()
    world.keep(left), world.keep(right)
    told: list[Any] = []

    def look() -> None:
        if how == "select":
            told.append(select.select([right], [], [], 5) == ([right], [], []))
        elif how == "poll":
            poll = select.poll()
            poll.register(right, IN)
            told.append(poll.poll(5000) == [(right.fileno(), IN)])
        else:
            with select.epoll() as epoll:
                epoll.register(right, IN)
                told.append(epoll.poll(5) == [(right.fileno(), IN)])

    join = world.beside(look)
    time.sleep(SOON)
    assert told == []
    left.send(b"x")
    join()
    assert told == [True]


def test_k115_poll_is_asked_about_no_more_numbers_than_there_can_be_files(world: World) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        poll = select.poll()
        for number in range(500):
            poll.register(number + 5000)
        assert poll.poll(0)[-1] == (5499, select.POLLNVAL)
        poll.register(9999)
        world.gives("EINVAL", poll.poll, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
