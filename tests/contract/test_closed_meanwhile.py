"""What somebody else does to a socket while a call waits on it: a thread of the process, a process of the simulated host (K-116)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

SOON = 0.02  # seconds until the other side acts: long enough that this side waits by then
LONG = 0.15  # a wait that nobody ends


def waiting(world: World, call: Callable[[], Any]) -> tuple[list[Any], Callable[[], None]]:
    """What *call* will answer, which waits by now, with the seconds it took; and how to wait for its end."""
    answers: list[Any] = []

    def wait() -> None:
        began = time.monotonic()
        answers.append(outcome(call))
        answers.append(time.monotonic() - began)

    join = world.beside(wait)
    time.sleep(SOON)
    assert answers == []
    return answers, join


def test_k116_a_shutdown_wakes_who_waits_in_recv_accept_and_select(world: World) -> None:
    reader, selected, listener = world.pair()[0], world.pair()[0], world.listener()
    for sock, call, answer in (
        (reader, lambda: reader.recv(1), b""),
        (listener, listener.accept, "EINVAL"),
        (selected, lambda: select.select([selected], [], [], 5), ([selected], [], [])),
    ):
        sock.settimeout(None)
        answers, join = waiting(world, call)
        sock.shutdown(socket.SHUT_RD)
        join()
        assert answers[0] == answer


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_k116_a_close_wakes_no_recv_and_the_peer_hears_of_it_when_that_returns(world: World, kind: str) -> None:
    client, server = world.pair() if kind == "tcp" else map(world.keep, socket.socketpair())
    server.setblocking(False)
    client.settimeout(None)
    answers, join = waiting(world, lambda: client.recv(10))
    client.close()
    time.sleep(SOON)
    assert (answers, outcome(lambda: server.recv(10))) == ([], "EAGAIN")
    server.send(b"still heard")
    join()
    assert answers[0] == b"still hear"
    world.readable(server)
    assert outcome(lambda: server.recv(10)) == "ECONNRESET"  # a byte was left unread


def test_k116_a_closed_listener_gives_one_more_connection_to_who_waits(world: World) -> None:
    listener = world.listener()
    listener.settimeout(None)
    name = listener.getsockname()
    answers, join = waiting(world, lambda: world.keep(listener.accept()[0]).getsockname())
    listener.close()
    client = world.socket()
    assert client.connect_ex(name) in {0, 115}
    join()
    assert answers[0] == name
    assert outcome(lambda: world.socket().connect_ex(name)) in {111, 115}


@pytest.mark.slow
@pytest.mark.parametrize("detached", [False, True])
def test_k116_a_read_with_a_timeout_waits_for_all_of_it(world: World, detached: bool) -> None:
    client, server = world.pair()
    client.settimeout(LONG)
    answers, join = waiting(world, lambda: client.recv(10))
    if detached:
        client = world.keep(socket.socket(fileno=client.detach()))
    else:
        client.close()
    time.sleep(SOON)
    assert (answers, outcome(lambda: server.recv(10))) == ([], "EAGAIN")
    join()
    assert answers[0] == ("TimeoutError: timed out" if detached else "EBADF")  # poll looks at the number once more
    assert answers[1] >= LONG * 0.9
    if not detached:
        world.readable(server)
        assert server.recv(10) == b""


def test_k116_a_read_with_a_timeout_ends_early_when_anything_comes_to_the_closed_socket(world: World) -> None:
    client, server = world.pair()
    client.settimeout(5.0)
    answers, join = waiting(world, lambda: client.recv(10, socket.MSG_WAITALL))
    client.close()
    server.send(b"!", socket.MSG_OOB)  # wakes poll, which asks nothing of the kind
    join()
    assert answers[0] == "EBADF"
    assert answers[1] < 1.0


def test_k116_a_send_that_waits_goes_on_when_the_number_is_closed(world: World) -> None:
    client, server = world.tight_pair()
    client.settimeout(None)
    payload = bytes(300_000)
    answers, join = waiting(world, lambda: client.send(payload))
    client.close()
    server.settimeout(5.0)
    got = b"".join(iter(lambda: server.recv(65536), b""))
    join()
    assert (answers[0], got) == (len(payload), payload)


@pytest.mark.slow
def test_k116_poll_says_nval_when_its_time_is_over_and_epoll_nothing(world: World) -> None:
    def polled(sock: Any) -> Any:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return [mask for _, mask in poll.poll(LONG * 1000)]

    def waited(sock: Any) -> Any:
        with select.epoll() as epoll:
            epoll.register(sock, select.EPOLLIN)
            return epoll.poll(LONG)

    for call, answer in ((polled, [select.POLLNVAL]), (waited, [])):
        sock, _ = world.pair()
        answers, join = waiting(world, lambda: call(sock))  # noqa: B023 - joined below
        sock.close()
        join()
        assert answers[0] == answer
        assert answers[1] >= LONG * 0.9


@pytest.mark.slow
@pytest.mark.parametrize("by", ["itself", "its number"])
def test_k116_who_waits_in_a_closed_epoll_hears_of_its_sockets(world: World, by: str) -> None:
    client, server = world.pair()
    epoll = select.epoll()
    epoll.register(client, select.EPOLLIN)
    number = client.fileno()
    answers, join = waiting(world, lambda: epoll.poll(5))
    if by == "itself":
        epoll.close()
    else:
        os.close(epoll.fileno())
    server.send(b"x")
    join()
    assert answers[0] == [(number, select.EPOLLIN)]
    with pytest.raises(ValueError if by == "itself" else OSError):
        epoll.poll(0)


def test_k116_who_closes_an_epoll_in_a_handler_of_a_signal_is_told_so(world: World) -> None:
    client, _ = world.pair()
    epoll = select.epoll()
    epoll.register(client, select.EPOLLIN)
    before = signal.signal(signal.SIGALRM, lambda *_: epoll.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, SOON)
        assert outcome(lambda: epoll.poll(1)) == "EBADF"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_k116_what_is_closed_while_select_waits_is_ready_in_every_set_when_its_time_is_over(world: World) -> None:
    sock, other = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
    sock.bind((world.ip, 0))
    answers, join = waiting(world, lambda: select.select([other, sock], [], [sock], LONG))
    sock.close()
    join()
    assert answers[0] == ([sock], [], [sock])
    assert answers[1] >= LONG * 0.9


@pytest.mark.slow
def test_a_port_is_free_when_the_call_that_waited_has_returned(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.bind((world.ip, 0))
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("=qq", 0, int(LONG * 1e6)))
    name = sock.getsockname()
    answers, join = waiting(world, lambda: sock.recv(10))
    sock.close()
    twin = world.socket(kind=socket.SOCK_DGRAM)
    assert outcome(lambda: twin.bind(name)) == "EADDRINUSE"
    join()
    assert answers[0] == "EAGAIN"
    assert outcome(lambda: twin.bind(name)) is None


@pytest.mark.slow
@pytest.mark.parametrize("had", [b"", b"ab"], ids=["nothing", "a part"])
def test_k116_who_peeks_for_all_of_it_until_so_rcvtimeo_does_not_see_a_close(world: World, had: bytes) -> None:
    client, server = world.pair()
    client.settimeout(None)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 200_000))
    answers, join = waiting(world, lambda: client.recv(10, socket.MSG_PEEK | socket.MSG_WAITALL))
    if had:
        server.send(had)
    client.close()
    join()
    assert answers[0] == (had or "EAGAIN")


def full(world: World, kind: str) -> tuple[Any, Any]:
    """Two ends, the first of which has no room to send."""
    if kind == "tcp":
        client, server = world.pair()
    else:
        client, server = map(world.keep, socket.socketpair(socket.AF_UNIX, getattr(socket, kind)))
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(bytes(20_000))
    client.settimeout(None)
    return client, server


@pytest.mark.parametrize("news", ["data", "urgent", "end"])
@pytest.mark.parametrize("kind", ["tcp", "SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"])
def test_k063_whatever_comes_wakes_a_send_that_waits_and_any_room_is_room(world: World, kind: str, news: str) -> None:
    """The kernel's own wait is for any room at all, where poll wants more; but nothing wakes it until something happens."""
    client, server = full(world, kind)
    answers, join = waiting(world, lambda: client.send(bytes(100)))
    if kind != "tcp":  # with TCP the news acknowledges what has come
        server.recv(20_000)
        world.pause()
        assert answers == []
    if news == "end" and kind != "SOCK_DGRAM":
        server.shutdown(socket.SHUT_WR)
    else:
        server.send(b"!", socket.MSG_OOB if news == "urgent" and kind in ("tcp", "SOCK_STREAM") else 0)
    join()
    assert answers[0] == 100
    assert "OUT" not in world.mask(client)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_SEQPACKET", "SOCK_DGRAM"])
def test_k102_a_unix_send_looks_for_room_once_more_when_so_sndtimeo_is_over(world: World, kind: str) -> None:
    client, server = full(world, kind)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 150_000))
    answers, join = waiting(world, lambda: client.send(bytes(100)))
    server.recv(20_000)
    join()
    assert answers[0] == 100
    assert answers[1] > 0.14


def test_k105_more_so_sndbuf_wakes_a_datagram_that_waits_for_memory(world: World) -> None:
    client, _ = full(world, "SOCK_DGRAM")
    answers, join = waiting(world, lambda: client.send(bytes(100)))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 500_000)
    join()
    assert answers[0] == 100


@pytest.mark.slow
def test_k116_two_connects_that_wait_for_one_attempt_both_succeed(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    world.readable(listener)
    sock = world.socket()
    sock.settimeout(None)
    answers, join = waiting(world, lambda: sock.connect(listener.getsockname()))
    others, join_other = waiting(world, lambda: sock.connect(listener.getsockname()))
    world.accept(listener)  # there is room when the SYN comes again
    join()
    join_other()
    assert (answers[0], others[0]) == (None, None)
