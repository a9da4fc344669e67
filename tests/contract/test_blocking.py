"""Calls that wait: what ends them, and how much they have done by then."""

from __future__ import annotations

import os
import select
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from simnet.conform.words import outcome
from simnet.wait import current_scheduler
from tests.conftest import RESET
from tests.contract.worlds import PATIENCE, World, until_it_waits, until_the_test_waits

SOON = 0.02  # seconds until the other side acts: long enough that this side waits by then


def served(world: World, serve: Callable[[Any], object], **options: Any) -> tuple[Any, Callable[[], None]]:
    """A blocking client of a server that does *serve* with its connection, a little later."""
    listener = world.listener(**options)
    name = listener.getsockname()
    listener.settimeout(5.0)

    def server() -> None:
        sock, _ = listener.accept()
        with sock:
            until_the_test_waits()
            serve(sock)

    if world.name == "simnet":  # a simulated process has descriptors of its own: it listens itself
        listener.close()

        def server() -> None:
            with socket.socket() as own:
                for (level, option), value in options.get("options", {}).items():
                    own.setsockopt(level, option, value)
                own.bind(name)
                own.listen()
                sock, _ = own.accept()
                with sock:
                    until_the_test_waits()
                    serve(sock)

    join = world.beside(server)
    client = world.socket()
    client.settimeout(5.0)
    client.connect(name)
    client.setblocking(True)
    return client, join


@pytest.mark.parametrize(
    ("act", "answer"),
    [
        pytest.param(lambda sock: sock.sendall(b"data"), b"data", id="data"),
        pytest.param(lambda sock: sock.close(), b"", id="end"),
        pytest.param(lambda sock: sock.shutdown(socket.SHUT_WR), b"", id="half-close"),
        pytest.param(
            lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET) or sock.close(),
            "ECONNRESET",
            id="reset",
        ),
    ],
)
@pytest.mark.parametrize("timeout", [None, 5.0])
def test_a_waiting_recv_ends_when_something_comes(world: World, act: Any, answer: Any, timeout: float | None) -> None:
    client, join = served(world, act)
    client.settimeout(timeout)
    began = time.monotonic()
    world.gives(answer, client.recv, 100)
    assert time.monotonic() > began
    join()


def test_a_waiting_accept_ends_when_somebody_connects(world: World) -> None:
    listener = world.keep(socket.create_server((world.ip, 0)))
    name = listener.getsockname()

    def client() -> None:
        until_the_test_waits()
        socket.create_connection(name).close()

    join = world.beside(client)
    server, _ = listener.accept()
    server.close()
    join()


def read_slowly(sock: Any) -> None:
    while sock.recv(3000):
        time.sleep(0.0005)


TIGHT = {(socket.SOL_SOCKET, socket.SO_RCVBUF): 8192}


def test_a_blocking_send_takes_all_however_slow_the_peer(world: World) -> None:
    client, join = served(world, read_slowly, options=TIGHT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    assert client.send(b"x" * 100_000) == 100_000
    client.close()
    join()


def test_a_send_with_a_timeout_takes_what_it_can(world: World) -> None:
    client, join = served(world, read_slowly, options=TIGHT)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    client.settimeout(5.0)
    sent = client.send(b"x" * 1_000_000)
    assert 0 < sent < 1_000_000
    client.close()
    join()


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_sendall_sends_all(world: World, timeout: float | None) -> None:
    received = bytearray()

    def read(sock: Any) -> None:
        while data := sock.recv(5000):
            received.extend(data)

    client, join = served(world, read, options=TIGHT)
    client.settimeout(timeout)
    payload = bytes(range(256)) * 500
    client.sendall(payload)
    client.close()
    join()
    assert bytes(received) == payload


def test_a_waiting_send_ends_when_the_peer_resets(world: World) -> None:
    client, join = served(world, lambda sock: sock.close(), options=TIGHT)  # with much unread
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    with pytest.raises(OSError) as caught:
        client.sendall(b"x" * 10_000_000)
    assert isinstance(caught.value, (ConnectionResetError, BrokenPipeError))
    join()


def test_an_urgent_byte_is_not_waited_for(world: World) -> None:
    client, join = served(world, lambda sock: sock.recv(1))
    world.gives("EINVAL", client.recv, 1, socket.MSG_OOB)
    client.send(b"x")
    join()


@pytest.mark.parametrize("seconds", [0.01, 0.03])
def test_a_timeout_is_as_long_as_it_says(world: World, seconds: float) -> None:
    client, server = world.pair()
    client.settimeout(seconds)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert seconds * 0.9 <= time.monotonic() - began <= seconds + 0.2
    server.send(b"x")
    world.gives(b"x", client.recv, 1)


def test_a_datagram_is_waited_for(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.bind((world.ip, 0))
    sock.settimeout(5.0)
    name = sock.getsockname()

    def sender() -> None:
        until_the_test_waits()
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.sendto(b"hello", name)

    join = world.beside(sender)
    assert sock.recvfrom(100)[0] == b"hello"
    join()
    sock.settimeout(0.01)
    with pytest.raises(TimeoutError):
        sock.recvfrom(100)


def test_a_pair_of_unix_sockets_waits_too(world: World) -> None:
    one, two = socket.socketpair()
    world.keep(one)
    world.keep(two)
    one.settimeout(0.01)
    with pytest.raises(TimeoutError):
        one.recv(1)
    two.send(b"x")
    assert one.recv(1) == b"x"


@pytest.mark.parametrize("how", ["select", "poll", "epoll"])
def test_pollers_wait_as_long_as_they_are_told(world: World, how: str) -> None:
    client, _ = world.pair()
    began = time.monotonic()
    if how == "select":
        assert select.select([client], [], [], 0.02) == ([], [], [])
    elif how == "poll":
        poll = select.poll()
        poll.register(client, select.POLLIN)
        assert poll.poll(20) == []
    else:
        with select.epoll() as epoll:
            epoll.register(client, select.EPOLLIN)
            assert epoll.poll(0.02) == []
    assert 0.018 <= time.monotonic() - began <= 0.3


def test_a_connect_that_is_not_answered_is_given_up(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    late = world.socket()
    late.settimeout(0.02)
    with pytest.raises(TimeoutError):
        late.connect(listener.getsockname())


@pytest.mark.parametrize(
    "make", [selectors.DefaultSelector, selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector]
)
def test_the_selectors_of_the_standard_library_work(world: World, make: Any) -> None:
    client, server = world.pair()
    with make() as selector:
        selector.register(server, selectors.EVENT_READ, "server")
        selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE, "client")
        assert [(key.data, events) for key, events in selector.select(0)] == [("client", selectors.EVENT_WRITE)]
        selector.modify(client, selectors.EVENT_READ, "client")
        assert selector.select(0.01) == []
        client.send(b"x")
        assert [(key.data, events) for key, events in selector.select(5.0)] == [("server", selectors.EVENT_READ)]


@pytest.fixture(params=["recorded", "unrecorded"])
def _recorded(world: World, request: pytest.FixtureRequest) -> None:
    """With a trace and without one: a simulated selector takes another way in each case."""
    scheduler = current_scheduler()
    if scheduler is not None:
        scheduler.recording = request.param == "recorded"


NEVER = [None, -1, 0, 0.0, 0.5, True]
WRONG = [(float("nan"), ValueError), (float("inf"), OverflowError), (1e300, OverflowError), ("1", TypeError)]


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize("timeout", NEVER)
def test_an_epoll_selector_tells_whatever_is_ready_by_its_keys(world: World, timeout: Any) -> None:
    client, server = world.pair()
    both, read, write = selectors.EVENT_READ | selectors.EVENT_WRITE, selectors.EVENT_READ, selectors.EVENT_WRITE
    with selectors.EpollSelector() as selector:
        key = selector.register(server, both, "server")
        assert selector.select(timeout) == [(key, write)]
        client.send(b"x")
        world.readable(server)
        assert selector.select(timeout) == [(key, both)]
        key = selector.modify(server, read)
        assert selector.select(timeout) == selector.select(timeout) == [(key, read)]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.close()
        world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
        assert selector.select(timeout) == [(key, read)]
        key = selector.modify(server, write)
        assert selector.select(timeout) == [(key, write)]  # an error is told to whoever asks for anything


@pytest.mark.usefixtures("_recorded")
@pytest.mark.parametrize(("timeout", "error"), WRONG)
def test_an_epoll_selector_looks_at_its_timeout_before_all_else(world: World, timeout: Any, error: Any) -> None:
    client, server = world.pair()
    client.send(b"x")
    world.readable(server)
    with selectors.EpollSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        with pytest.raises(error):
            selector.select(timeout)


@pytest.mark.usefixtures("_recorded")
def test_an_epoll_selector_does_not_tell_of_what_was_registered_past_it(world: World) -> None:
    client, server = world.pair()
    client.send(b"x")
    world.readable(server)
    with selectors.EpollSelector() as selector:
        key = selector.register(client, selectors.EVENT_WRITE)
        selector._selector.register(server, select.EPOLLIN)  # type: ignore[attr-defined]
        told = selector.select(0) + selector.select(0) + selector.select(0)
        assert told
        assert all(each == (key, selectors.EVENT_WRITE) for each in told)


KINDS = ("udp", "dgram", "seqpacket", "stream")


def ends(world: World, kind: str) -> tuple[Any, Any]:
    """Two connected sockets."""
    if kind != "udp":
        made = socket.socketpair(socket.AF_UNIX, getattr(socket, f"SOCK_{kind.upper()}"))
        return world.keep(made[0]), world.keep(made[1])
    one, two = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
    for sock in (one, two):
        sock.bind((world.ip, 0))
    one.connect(two.getsockname())
    two.connect(one.getsockname())
    return one, two


def last_for(sock: Any, milliseconds: int) -> None:
    """Let blocking calls of *sock* wait so long: the kernel's own time-out."""
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, milliseconds * 1000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, milliseconds * 1000))


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_timeout_python_waits_whatever_the_flags_say(world: World, kind: str) -> None:
    sock, peer = ends(world, kind)
    sock.settimeout(0.005)
    late = "TimeoutError: timed out"
    for flags in (socket.MSG_DONTWAIT, socket.MSG_OOB, 0x2000):  # MSG_ERRQUEUE
        world.gives(late, sock.recv, 1, flags)
    world.gives(late, sock.accept)
    peer.send(b"x")
    world.ready(sock, "IN|OUT")
    world.gives(b"x", sock.recv, 1, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_with_a_timeout_a_listener_says_nothing_until_it_is_ready(world: World, family: int) -> None:
    lst = world.socket(family)
    lst.settimeout(0.005)
    world.gives("EINVAL", lst.accept)  # hung up, which is ready too
    lst.bind((world.ip, 0) if family == socket.AF_INET else world.abstract("l"))
    lst.listen()
    for call, argument in ((lst.recv, 1), (lst.recvfrom, 1), (lst.send, b"x")):
        world.gives("TimeoutError: timed out", call, argument)
    lst.settimeout(None)
    world.gives("ENOTCONN" if family == socket.AF_INET else "EINVAL", lst.recv, 1)


def test_with_a_timeout_an_urgent_byte_alone_is_not_asked_for(world: World) -> None:
    client, server = world.pair()
    server.settimeout(0.005)
    client.send(b"!", socket.MSG_OOB)
    world.ready(server, "PRI|OUT")
    world.gives("TimeoutError: timed out", server.recv, 1, socket.MSG_OOB)
    world.gives("TimeoutError: timed out", server.recv, 1)
    world.ready(server, "PRI|OUT")
    server.settimeout(None)
    assert server.recv(1, socket.MSG_OOB) == b"!"


@pytest.mark.parametrize("kind", KINDS)
def test_waitall_waits_for_bytes_and_not_for_records(world: World, kind: str) -> None:
    sock, peer = ends(world, kind)
    last_for(sock, 5)
    world.gives("EAGAIN", sock.recv, 5, socket.MSG_WAITALL)
    peer.send(b"abc")
    assert sock.recv(5, socket.MSG_WAITALL) == b"abc"  # what has come when the time is over is not lost
    peer.send(b"abc")
    assert sock.recv(5, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == b"abc"


@pytest.mark.parametrize("kind", KINDS)
def test_a_blocking_read_of_who_has_shut_it_down_gives_nothing(world: World, kind: str) -> None:
    sock, _ = ends(world, kind)
    last_for(sock, 500)
    sock.shutdown(socket.SHUT_RD)
    began = time.monotonic()
    assert sock.recv(5) == b""
    assert sock.recvfrom(5) == (b"", None)
    assert sock.recvmsg(5) == (b"", [], 0, None)
    assert sock.recv_into(bytearray(5)) == 0
    assert time.monotonic() - began < 0.4
    if kind in {"udp", "dgram"}:  # where the end does not show without blocking
        world.gives("EAGAIN", sock.recv, 5, socket.MSG_DONTWAIT)
        sock.settimeout(0.005)
        world.gives("TimeoutError: timed out", sock.recv, 5)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_k100_who_has_waited_longest_for_a_place_in_a_unix_backlog_is_first(world: World, kind: int) -> None:
    listener = world.socket(socket.AF_UNIX, kind)
    listener.bind(world.abstract("crowded"))
    listener.listen(0)
    world.socket(socket.AF_UNIX, kind).connect(listener.getsockname())

    threads: list[int] = []

    def come(number: int) -> None:
        client = world.socket(socket.AF_UNIX, kind)
        client.settimeout(None)
        threads.append(threading.get_native_id())
        client.connect(listener.getsockname())
        client.send(b"%d" % number)

    joins = []
    for number in range(3):
        joins.append(world.beside(lambda number=number: come(number)))  # type: ignore[misc]
        time.sleep(SOON)
        if world.name == "kernel":
            until_it_waits(threads[-1])
    listener.settimeout(5.0)
    listener.accept()[0].close()
    came = []
    for _ in joins:
        server = world.keep(listener.accept()[0])
        server.settimeout(5.0)
        came.append(server.recv(9))
    assert came == [b"0", b"1", b"2"]
    for join in joins:
        join()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_a_blocking_connect_waits_for_room_in_a_unix_backlog(
    world: World, kind: int, eventually: Callable[[Callable[[], object]], None]
) -> None:
    lst = world.socket(socket.AF_UNIX, kind)
    name = world.abstract("crowded")
    lst.bind(name)
    lst.listen(0)
    first, second = (world.keep(socket.socket(socket.AF_UNIX, kind)) for _ in range(2))
    first.connect(name)
    second.settimeout(5.0)
    world.gives("EAGAIN", second.connect, name)  # with a time-out CPython does not wait for this one
    last_for(second, 5)
    world.gives("EAGAIN", second.connect, name)

    answers = []

    def client() -> None:
        for expected in (None, "ECONNREFUSED"):  # room comes; then the listener goes
            answers.append(expected)
            with socket.socket(socket.AF_UNIX, kind) as sock:
                world.gives(expected, sock.connect, name)

    join = world.beside(client)
    time.sleep(SOON)
    assert answers == [None]
    lst.accept()[0].close()
    eventually(lambda: answers == [None, "ECONNREFUSED"])
    time.sleep(SOON)
    lst.close()
    join()


HELLO: list[Callable[[Any], object]] = [lambda peer: peer.send(b"hello")]
MARKED: list[Callable[[Any], object]] = [*HELLO, lambda peer: peer.send(b"x!", socket.MSG_OOB)]
ENDED: list[Callable[[Any], object]] = [*HELLO, lambda peer: peer.close()]


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_k055_a_read_of_more_than_a_window_opens_it_as_it_goes(world: World, size: int) -> None:
    client, server = world.pair()
    client.settimeout(None)
    server.settimeout(None)
    read: list[bytes] = []
    joined = world.beside(lambda: read.append(server.recv(size, socket.MSG_WAITALL)))
    client.sendall(bytes(size))
    joined()
    assert read == [bytes(size)]


def test_k063_a_blocking_send_of_a_unix_stream_waits_for_room_for_its_urgent_byte_too(world: World) -> None:
    sock, peer = ends(world, "stream")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    for end in (sock, peer):
        end.setblocking(True)
    read: list[bytes] = []
    join = world.beside(lambda: read.append(peer.recv(29_999, socket.MSG_WAITALL)))
    assert sock.send(bytes(29_999) + b"!", socket.MSG_OOB) == 30_000
    join()
    assert read == [bytes(29_999)]
    assert peer.recv(1, socket.MSG_OOB) == b"!"


WAITALL, PEEK = socket.MSG_WAITALL, socket.MSG_PEEK


@pytest.mark.parametrize(
    ("acts", "read", "answers"),
    [
        pytest.param(HELLO, lambda s: s.recv(9, WAITALL), [b"hello", "EAGAIN"], id="recv"),
        pytest.param(HELLO, lambda s: s.recvfrom(9, WAITALL)[0], [b"hello", "EAGAIN"], id="recvfrom"),
        pytest.param(HELLO, lambda s: s.recvmsg(9, 0, WAITALL)[0], [b"hello", "EAGAIN"], id="recvmsg"),
        pytest.param(HELLO, lambda s: s.recv(9, WAITALL | PEEK), [b"hello", b"hello"], id="peek"),
        pytest.param(MARKED, lambda s: s.recv(9, WAITALL), [b"hellox", "EAGAIN"], id="mark"),
        pytest.param(ENDED, lambda s: s.recv(9, WAITALL), [b"hello", b""], id="end"),
        pytest.param([*HELLO, World.reset], lambda s: s.recv(9, WAITALL), [b"hello", "ECONNRESET"], id="reset"),
    ],
)
def test_k055_waitall_gives_what_there_is_when_it_ends_early(
    world: World, acts: list[Any], read: Callable[[Any], object], answers: list[object]
) -> None:
    sock, peer = world.pair()
    for act in acts:
        if act is World.reset:
            world.reset(peer)
        else:
            act(peer)
    world.readable(sock)
    world.pause()
    last_for(sock, 5)
    for answer in answers:
        world.gives(answer, read, sock)


def test_a_blocking_read_drops_the_urgent_byte_it_comes_to(world: World) -> None:
    sock, peer = world.pair()
    peer.send(b"!", socket.MSG_OOB)
    world.ready(sock, "PRI|OUT")
    sock.settimeout(0.005)
    world.gives("TimeoutError: timed out", sock.recv, 9)
    world.ready(sock, "PRI|OUT")  # Python's wait is not a read
    last_for(sock, 5)
    world.gives("EAGAIN", sock.recv, 9)
    world.ready(sock, "OUT")


def test_a_blocking_connect_waits_for_the_attempt_that_is_made(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    world.readable(listener)
    sock = world.socket()
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    last_for(sock, 5)
    world.gives("EALREADY", sock.connect, listener.getsockname())
    world.gives("EAGAIN", sock.send, b"x")
    other = world.socket()
    last_for(other, 5)
    world.gives("EINPROGRESS", other.connect, listener.getsockname())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_a_blocking_unix_socket_is_read_whatever_is_said_of_error_queues(world: World, kind: int) -> None:
    reader, writer = map(world.keep, socket.socketpair(socket.AF_UNIX, kind))
    answers: list[Any] = []
    join = world.beside(lambda: answers.append(outcome(lambda: reader.recv(9, socket.MSG_ERRQUEUE))))
    time.sleep(SOON)
    assert answers == []
    writer.send(b"data")
    join()
    assert answers == [b"data"]


def test_what_needs_no_wait_does_not_wait(world: World) -> None:
    full, _ = world.full_pair()
    last_for(full, 5)
    world.gives(0, full.send, b"")
    world.gives("EAGAIN", full.send, b"x")
    world.gives("EINVAL", full.accept)


@pytest.mark.slow
def test_k063_sendall_sends_again_after_so_sndtimeo_cut_a_send_short(world: World) -> None:
    client, _ = world.tight_pair()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 30_000))
    client.setblocking(True)
    began = time.monotonic()
    with pytest.raises(BlockingIOError):
        client.sendall(bytes(100_000))
    assert time.monotonic() - began >= 0.055  # the first took a part


def test_k077_a_blocking_send_that_took_a_part_leaves_the_error(world: World) -> None:
    client, server = world.tight_pair()
    server.close()
    world.ready(client, "IN|OUT|RDHUP")
    client.setblocking(True)
    assert 0 < client.send(bytes(100_000)) < 100_000
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(client) == "EPIPE"


def test_k074_a_read_of_all_that_has_a_part_leaves_the_reset(world: World) -> None:
    client, server = world.pair()
    server.setblocking(True)
    client.send(b"ab")

    def end() -> None:
        until_the_test_waits()
        world.reset(client)

    join = world.beside(end)
    assert server.recv(6, socket.MSG_WAITALL) == b"ab"
    join()
    world.gives("ECONNRESET", server.recv, 6)


def test_k102_a_peer_that_reads_no_more_ends_a_blocking_send(world: World) -> None:
    sender, peer = map(world.keep, socket.socketpair())

    def read_no_more() -> None:
        until_the_test_waits()
        peer.shutdown(socket.SHUT_RD)

    join = world.beside(read_no_more)
    world.gives("EPIPE", sender.sendall, bytes(1_000_000))
    join()


def test_k089_a_datagram_is_waited_for_whatever_is_urgent(world: World) -> None:
    here = world.socket(kind=socket.SOCK_DGRAM)
    here.bind((world.ip, 0))
    there = world.socket(kind=socket.SOCK_DGRAM)
    here.setblocking(True)

    def send_later() -> None:
        until_the_test_waits()
        there.sendto(b"x", here.getsockname())

    join = world.beside(send_later)
    world.gives(b"x", here.recv, 1, socket.MSG_OOB)
    join()


def in_turn(*acts: Callable[[Any], object]) -> Callable[[Any], None]:
    """What a peer does, a moment before each."""

    def play(peer: Any) -> None:
        for act in acts:
            until_the_test_waits()
            act(peer)

    return play


A_AND_REST = in_turn(lambda peer: peer.send(b"a"), lambda peer: peer.send(b"bcdefgh"))
A_AND_END = in_turn(lambda peer: peer.send(b"a"), lambda peer: peer.shutdown(socket.SHUT_WR))
MARK_IN_IT = in_turn(lambda peer: peer.send(b"ab!", socket.MSG_OOB), lambda peer: peer.send(b"cdefgh"))
FILE_IN_IT = in_turn(
    lambda peer: peer.send(b"a"),
    lambda peer: socket.send_fds(peer, [b"bc"], [peer.fileno()]),
    lambda peer: peer.send(b"defgh"),
)


@pytest.mark.parametrize(
    ("acts", "read", "answer"),
    [
        pytest.param(A_AND_REST, lambda s: s.recv(9), b"abcdefgh", id="recv"),
        pytest.param(A_AND_REST, lambda s: s.recv(2), b"ab", id="no-more-than-asked"),
        pytest.param(A_AND_REST, lambda s: s.recvfrom(6, WAITALL)[0], b"abcdef", id="recvfrom"),
        pytest.param(A_AND_REST, lambda s: s.recvmsg(6, 0, WAITALL)[0], b"abcdef", id="recvmsg"),
        pytest.param(A_AND_REST, lambda s: s.recv(9, PEEK), b"a", id="a-peek-does-not"),
        pytest.param(A_AND_REST, lambda s: s.recv(9, PEEK | WAITALL), b"a", id="nor-a-peek-at-all"),
        pytest.param(A_AND_END, lambda s: s.recv(9), b"a", id="end"),
        pytest.param(MARK_IN_IT, lambda s: s.recv(9, WAITALL), b"ab", id="mark"),
        pytest.param(FILE_IN_IT, lambda s: s.recv(9, WAITALL), b"abc", id="descriptor"),
    ],
)
def test_k061_a_blocking_read_of_a_unix_stream_waits_for_as_much_as_rcvlowat_says(
    world: World, acts: Any, read: Callable[[Any], object], answer: bytes
) -> None:
    sock, peer = ends(world, "stream")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
    peer.settimeout(5.0)
    join = world.beside(lambda: acts(peer))
    assert read(sock) == answer
    join()


OOB = socket.MSG_OOB


@pytest.mark.parametrize(
    ("inline", "acts", "answer"),
    [
        pytest.param(True, in_turn(lambda p: p.send(b"!", OOB), lambda p: p.send(b"ab")), b"!ab", id="inline"),
        pytest.param(False, in_turn(lambda p: p.send(b"!", OOB), lambda p: p.send(b"abc")), b"abc", id="passed-over"),
        pytest.param(False, in_turn(lambda p: p.send(b"ab!", OOB)), b"ab", id="up-to-the-mark"),
        pytest.param(True, in_turn(lambda p: p.send(b"ab!", OOB)), b"ab", id="up-to-the-mark-inline"),
        pytest.param(
            False, in_turn(lambda p: p.send(b"ab"), lambda p: p.send(b"!", OOB)), b"ab", id="to-one-that-comes-later"
        ),
        pytest.param(
            True,
            in_turn(lambda p: p.send(b"!", OOB), lambda p: p.shutdown(socket.SHUT_WR)),
            b"!",
            id="inline-and-the-end",
        ),
    ],
)
def test_k092_a_peek_for_all_stops_at_an_urgent_byte_but_not_at_the_first(
    world: World, inline: bool, acts: Any, answer: bytes
) -> None:
    sock, peer = world.pair()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 5, 0))
    join = world.beside(lambda: acts(peer))
    assert sock.recv(3, PEEK | WAITALL) == answer
    join()


def test_k047_a_peek_for_all_does_not_wait_for_a_listener(world: World) -> None:
    listener = world.listener()
    last_for(listener, 5)
    world.gives("ENOTCONN", listener.recv, 3, PEEK | WAITALL)
    world.gives("ENOTCONN", listener.recvmsg, 3, 0, PEEK | WAITALL)


@pytest.mark.parametrize("named", [False, True])
def test_k103_who_has_no_room_waits_for_it_before_anybody_is_looked_for(world: World, named: bool) -> None:
    peer = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    peer.bind(world.abstract("somebody"))
    sock = world.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    while outcome(lambda: sock.sendto(bytes(1000), peer.getsockname())) != "EAGAIN":
        pass
    last_for(sock, 5)
    late = partial(sock.sendto, b"late", world.abstract("nobody")) if named else partial(sock.send, b"late")
    world.gives("EAGAIN", late)
    sock.settimeout(0.005)
    world.gives("TimeoutError: timed out", late)
    while outcome(lambda: peer.recv(1000)) != "EAGAIN":
        pass
    last_for(sock, 5)
    world.gives("ECONNREFUSED" if named else "ENOTCONN", late)


@pytest.mark.parametrize("flags", [0, OOB, socket.MSG_MORE])
def test_k063_a_blocking_send_waits_for_room_whatever_its_flags(world: World, flags: int) -> None:
    client, server = world.pair()
    client.settimeout(None)
    server.settimeout(None)
    size = 8_000_000  # more than both buffers hold
    join = world.beside(lambda: server.recv(size, WAITALL))
    if flags == OOB:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    assert client.send(bytes(size), flags) == size
    client.close()
    join()


def test_k061_less_than_rcvlowat_is_read_when_so_rcvtimeo_is_over(world: World) -> None:
    sock, peer = ends(world, "stream")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
    last_for(sock, 5)
    peer.send(b"a")
    assert sock.recv(9) == b"a"
    world.gives("EAGAIN", sock.recv, 9)


@pytest.mark.parametrize("call", ["recv", "recvfrom", "recvmsg"])
@pytest.mark.parametrize("more", [b"3456", b"34567"])
def test_k061_a_read_takes_what_there_is_and_then_waits_for_all_of_rcvlowat(
    world: World, call: str, more: bytes
) -> None:
    sock, peer = world.pair()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 5)
    peer.send(b"12")
    world.ready(sock, "OUT")
    world.pause()
    sock.setblocking(True)

    def act() -> None:
        until_the_test_waits()
        peer.send(more)
        if len(more) < 5:  # with the two before it would be enough
            until_the_test_waits()
            peer.send(b"789")

    join = world.beside(act)
    answer = getattr(sock, call)(9)
    assert (answer if call == "recv" else answer[0]) == (b"1234567" if len(more) == 5 else b"123456789")
    join()


@pytest.mark.parametrize(
    ("kind", "mark", "acts", "answer"),
    [
        # Lowered, and less than it was has come: a read still wants as much.
        ("tcp", 4, (b"ab", 1, b"c", b"d"), b"abcd"),
        ("stream", 4, (b"ab", 1, b"c", b"d"), b"abcd"),
        # Raised: a read is content with what was enough. But of a connection it is not even woken for that.
        ("tcp", 1, (4, b"ab", b"cd"), b"abcd"),
        ("stream", 1, (4, b"ab", b"cd"), b"ab"),
        ("tcp", 2, (b"a", 3, b"b", b"c"), b"abc"),
        ("stream", 2, (b"a", 3, b"b", b"c"), b"ab"),
    ],
)
def test_k061_a_read_goes_by_the_rcvlowat_that_it_began_with(
    world: World, kind: str, mark: int, acts: tuple[bytes | int, ...], answer: bytes
) -> None:
    sock, peer = world.pair() if kind == "tcp" else ends(world, kind)
    sock.setblocking(True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)

    def act() -> None:
        for each in acts:
            until_the_test_waits()
            if isinstance(each, int):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, each)
            else:
                peer.send(each)

    join = world.beside(act)
    assert sock.recv(9) == answer
    join()


@pytest.mark.parametrize("full", [False, True])
def test_k102_a_unix_send_that_waits_uses_the_error_up(world: World, full: bool) -> None:
    sock, peer = ends(world, "stream")
    sock.setblocking(False)
    if full:
        sock.send(bytes(1_000_000))
    sock.setblocking(True)
    peer.settimeout(5.0)
    join = world.beside(lambda: in_turn(lambda peer: peer.close())(peer))
    if full:
        world.gives("ECONNRESET", sock.send, b"x")
    else:
        assert 100_000 < sock.send(bytes(1_000_000)) < 1_000_000
    join()
    world.ready(sock, "IN|OUT|RDHUP|HUP")
    world.gives("EPIPE", sock.send, b"x")


@pytest.mark.slow
def test_k055_so_rcvtimeo_is_for_a_whole_read_of_all(world: World) -> None:
    sock, peer = world.pair()
    sock.setblocking(True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
    last_for(sock, 300)
    peer.settimeout(5.0)
    began = time.monotonic()
    join = world.beside(lambda: in_turn(*[lambda peer: time.sleep(0.1) or peer.send(b"ab")] * 2)(peer))
    assert sock.recv(6, WAITALL) == b"abab"
    assert 0.29 < time.monotonic() - began < 0.5  # not 300 ms after the second of them
    join()


def test_with_a_timeout_a_send_waits_until_poll_says_that_there_is_room(world: World) -> None:
    sock, _ = world.pair()
    sock.send(bytes(3_000_000))
    time.sleep(0.06)  # the peer acknowledges what it has
    world.ready(sock, "0")
    sock.settimeout(0.005)
    world.gives("TimeoutError: timed out", sock.send, b"x")
    world.gives("TimeoutError: timed out", sock.sendall, b"x")
    sock.setblocking(False)
    assert sock.send(b"x") == 1  # though there is a little


def test_without_one_it_sends_what_there_is_room_for_at_once(world: World) -> None:
    for flags in (0, socket.MSG_OOB, socket.MSG_NOSIGNAL):
        sock, _ = world.pair()
        sock.send(bytes(3_000_000))
        world.ready(sock, "0")
        sock.settimeout(None)
        assert sock.send(b"x", flags) == 1


def test_a_blocking_accept_of_what_does_not_listen_does_not_wait(world: World) -> None:
    for kind, answer in (("udp", "ENOTSUP"), ("dgram", "ENOTSUP"), ("seqpacket", "EINVAL"), ("stream", "EINVAL")):
        sock, _ = ends(world, kind)
        last_for(sock, 500)
        world.gives(answer, sock.accept)


@pytest.mark.parametrize("scattered", [False, True])
def test_k056_waitall_discards_all_of_it(world: World, scattered: bool) -> None:
    client, server = world.pair()
    server.setblocking(True)
    client.send(b"abc")
    joined = world.beside(lambda: until_the_test_waits() or client.send(b"defg"))
    flags = socket.MSG_WAITALL | socket.MSG_TRUNC
    buffer = bytearray(b"......")
    if scattered:
        assert server.recvmsg_into([buffer], 0, flags)[0] == 6
    else:
        assert server.recv_into(buffer, 0, flags) == 6
    joined()
    assert buffer == b"......"
    assert server.recv(10) == b"g"


@pytest.mark.parametrize("how", ["sendto", "sendmsg"])
def test_k105_who_names_its_peer_waits_for_a_place_in_its_queue(world: World, how: str) -> None:
    here, there, other = (world.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3))
    name = world.abstract("queue")
    here.bind(name)

    def send() -> int:
        sent: int = there.sendto(b"x", name) if how == "sendto" else there.sendmsg([b"x"], [], 0, name)
        return sent

    while outcome(lambda: other.sendto(b"x", name)) == 1:  # by another: who sends anew hears of what it sent before
        pass
    world.gives("EAGAIN", send)
    assert world.mask(there) == "OUT"  # which says nothing of the queue of somebody else
    there.setblocking(True)
    began = time.monotonic()
    last_for(there, 20)
    world.gives("EAGAIN", send)
    took = time.monotonic() - began
    assert took >= 0.02
    assert took < 0.06 or world.name == "kernel"  # whose machine may be busy
    last_for(there, 0)
    for timeout in (None, 5.0):
        there.settimeout(timeout)
        began = time.monotonic()
        join = world.beside(lambda: time.sleep(SOON) or here.recv(1))  # with a time-out, CPython spins
        world.gives(1, send)
        join()
        assert time.monotonic() - began < 1.0
    there.settimeout(0.01)
    world.gives("TimeoutError: timed out", send)
    there.settimeout(None)
    join = world.beside(lambda: in_turn(lambda peer: peer.close())(here))
    world.gives("ECONNREFUSED", send)
    join()


def waited_on_by_several(world: World, how: str) -> tuple[Any, Any]:
    """A call that waits, and what ends the wait of one of those who make it."""
    if how == "udp":
        one, two = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
        one.bind((world.ip, 0))
        two.connect(one.getsockname())
    elif how.startswith("accept"):
        one = world.keep(socket.socket(socket.AF_UNIX)) if how == "accept unix" else world.listener()
        if how == "accept unix":
            one.bind("")
            one.listen()
        one.setblocking(True)
        return (
            lambda: world.keep(one.accept()[0]),
            lambda: world.socket(one.family).connect_ex(one.getsockname()),
        )
    else:
        one, two = socket.socketpair(socket.AF_UNIX, int(how))
        world.keep(one), world.keep(two)
    one.setblocking(True)
    return lambda: one.recv(1), lambda: two.send(b"x")


def until(it: Callable[[], bool]) -> None:
    """Let time pass until *it* is so, for a moment at most: what follows tells whether it is."""
    deadline = time.monotonic() + PATIENCE
    while not it() and time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.parametrize(
    "how", [str(int(socket.SOCK_DGRAM)), str(int(socket.SOCK_SEQPACKET)), "udp", "accept", "accept unix"]
)
def test_of_several_who_wait_the_first_is_served_first(world: World, how: str) -> None:
    wait, act = waited_on_by_several(world, how)
    served: list[int] = []
    threads: list[int] = []
    joins = []

    def one_of_them(number: int) -> None:
        threads.append(threading.get_native_id())
        wait()
        served.append(number)

    for number in range(3):
        joins.append(world.beside(partial(one_of_them, number)))
        until(lambda number=number: len(threads) > number)  # type: ignore[misc]
        if world.name == "kernel":
            until_it_waits(threads[number])
    for number in range(3):
        act()
        until(lambda number=number: len(served) > number)  # type: ignore[misc]
        assert served == [0, 1, 2][: number + 1]
    for join in joins:
        join()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_k106_a_blocking_accept_of_a_listener_that_is_shut_down_is_invalid(world: World, kind: int) -> None:
    listener = world.socket(socket.AF_UNIX, kind)
    listener.bind(world.abstract("shut"))
    listener.listen()
    listener.setblocking(True)
    answers: list[Any] = []
    join = world.beside(lambda: answers.append(outcome(listener.accept)))
    time.sleep(SOON)
    listener.shutdown(socket.SHUT_RD)
    join()
    assert answers == ["EINVAL"]
    assert outcome(listener.accept) == "EINVAL"
    listener.setblocking(False)
    assert outcome(listener.accept) == "EAGAIN"


@pytest.mark.parametrize("kind", ["udp", "dgram", "accept"])
def test_who_has_shut_a_descriptor_down_that_does_not_block_is_told_to_try_again(world: World, kind: str) -> None:
    if kind == "accept":
        sock = world.socket(socket.AF_UNIX)
        sock.bind(world.abstract("shut"))
        sock.listen()
    else:
        sock, _ = ends(world, kind)
        sock.setblocking(False)
    sock.shutdown(socket.SHUT_RD)
    twin = world.keep(socket.socket(fileno=os.dup(sock.fileno())))
    assert twin.gettimeout() is None  # Python does not ask what the descriptor is set to
    assert outcome(twin.accept if kind == "accept" else lambda: twin.recv(5)) == "EAGAIN"


@pytest.mark.slow
def test_k120_a_read_of_nothing_waits_and_gives_nothing_when_so_rcvtimeo_is_over(world: World) -> None:
    def limited(kind: str) -> Any:
        sock, _ = world.pair() if kind == "tcp" else map(world.keep, socket.socketpair())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, 20_000))
        sock.setblocking(True)
        return sock

    stream = limited("tcp")
    for call, arguments, answer in (
        (stream.recvmsg, (0,), (b"", [], 0, None)),
        (stream.recvmsg, (0, 0, socket.MSG_WAITALL), (b"", [], 0, None)),
        (stream.recvfrom, (0, socket.MSG_PEEK), (b"", None)),
        (stream.recvmsg_into, ([],), (0, [], 0, None)),
        (stream.recvmsg, (0, 0, socket.MSG_DONTWAIT), "EAGAIN"),
    ):
        began = time.monotonic()
        assert outcome(lambda: call(*arguments)) == answer  # noqa: B023 - called at once
        assert (time.monotonic() - began > 0.015) is (answer != "EAGAIN")
    assert outcome(lambda: limited("unix").recvmsg(0)) == "EAGAIN"


# --- a descriptor that blocks, of an object that does not --------------------------------------------------------------


def blocks_though(sock: Any, timeout: float) -> None:
    """Let the kernel wait where Python's object, with *timeout*, is not set to."""
    sock.settimeout(timeout)
    os.set_blocking(sock.fileno(), True)


@pytest.mark.parametrize("timeout", [0.0, 0.001])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_descriptor_that_blocks_waits_for_all_of_a_read(world: World, kind: str, timeout: float) -> None:
    reader, writer = world.pair() if kind == "tcp" else map(world.keep, socket.socketpair())
    writer.send(b"ab")
    world.readable(reader)
    blocks_though(reader, timeout)
    join = world.beside(lambda: time.sleep(SOON) or writer.send(b"cd"))
    assert reader.recv(4, WAITALL) == b"abcd"
    join()


@pytest.mark.parametrize("timeout", [0.0, 0.001])
def test_a_descriptor_that_blocks_sends_all(world: World, timeout: float) -> None:
    sender, reader = world.tight_pair()
    blocks_though(sender, timeout)
    payload = bytes(300_000)
    got: list[bytes] = []
    reader.settimeout(5.0)
    join = world.beside(lambda: got.extend(iter(lambda: reader.recv(65536), b"")))
    assert sender.send(payload) == len(payload)
    sender.shutdown(socket.SHUT_WR)
    join()
    assert b"".join(got) == payload


@pytest.mark.parametrize("timeout", [0.0, 0.5])
def test_a_descriptor_that_blocks_connects(world: World, timeout: float) -> None:
    listener = world.listener()
    sock, refused = world.socket(), world.socket()
    for each in (sock, refused):
        blocks_though(each, timeout)
    world.gives(None, sock.connect, listener.getsockname())
    world.gives("ECONNREFUSED", refused.connect, (world.ip, world.dead_port()))
    assert world.error(refused) == "0"
    world.gives(None, refused.connect, listener.getsockname())


@pytest.mark.parametrize("timeout", [0.0, 0.001])
def test_a_descriptor_that_blocks_waits_for_room_in_a_unix_backlog(world: World, timeout: float) -> None:
    listener = world.socket(socket.AF_UNIX)
    listener.bind(world.abstract("crowded"))
    listener.listen(0)
    world.socket(socket.AF_UNIX).connect(listener.getsockname())
    sock = world.socket(socket.AF_UNIX)
    blocks_though(sock, timeout)
    join = world.beside(lambda: time.sleep(SOON) or listener.accept()[0].close())
    world.gives(None, sock.connect, listener.getsockname())
    join()


def test_one_that_does_not_block_sends_a_part_though_its_object_would_wait(world: World) -> None:
    sender, _ = world.tight_pair()
    sender.settimeout(None)
    os.set_blocking(sender.fileno(), False)
    assert 0 < sender.send(bytes(300_000)) < 300_000
    world.gives("EAGAIN", sender.sendall, bytes(300_000))


def test_k014_a_connect_with_no_time_to_wait_does_not_look_whether_it_was_answered(world: World) -> None:
    listener = world.listener()
    client, lost = world.socket(), world.socket()
    for sock in (client, lost):
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("=qq", -1, 0))
    assert outcome(lambda: client.connect(listener.getsockname())) == "EINPROGRESS"
    world.ready(client, "OUT")
    assert [outcome(lambda: client.connect(listener.getsockname())) for _ in range(2)] == [None, "EISCONN"]
    assert outcome(lambda: lost.connect((world.ip, world.dead_port()))) == "EINPROGRESS"
    world.ready(lost, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(lost) == "ECONNREFUSED"


@pytest.mark.slow
@pytest.mark.parametrize("call", ["send", "sendall", "write", "sendmsg"])
def test_a_unix_stream_waits_anew_for_each_buffer_that_it_asks_for(world: World, call: str) -> None:
    here, there = (world.keep(each) for each in socket.socketpair())
    there.setblocking(False)
    here.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            here.send(bytes(4096))
    here.setblocking(True)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 200_000))

    def read() -> None:
        until_the_test_waits()
        there.recv(4096)  # too little to wake who waits for room: it finds that when its time is over
        time.sleep(0.3)
        there.recv(1 << 20)

    join = world.beside(read)
    data = bytes(100_000)
    send = {
        "send": lambda: here.send(data),
        "sendall": lambda: here.sendall(data) or len(data),
        "write": lambda: os.write(here.fileno(), data),
        "sendmsg": lambda: here.sendmsg([data]),
    }[call]
    assert send() == len(data)
    join()
