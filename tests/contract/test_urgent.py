"""Urgent data: K-090 to K-099."""

from __future__ import annotations

import select
import socket
import struct
import time

import pytest

from tests.contract.worlds import World

OOB = socket.MSG_OOB
SO_PEEK_OFF = 42
INLINE = (socket.SOL_SOCKET, socket.SO_OOBINLINE)


def test_k090_the_last_byte_of_a_send_is_the_urgent_one(world: World) -> None:
    client, server = world.pair()
    assert client.send(b"abc", OOB) == 3
    world.ready(server, "IN|PRI|OUT")
    world.gives(b"c", server.recv, 10, OOB)
    world.gives(b"ab", server.recv, 10)


def test_k090_an_urgent_byte_alone_is_not_readable(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")


@pytest.mark.parametrize("at_once", [True, False])
def test_k090_an_urgent_byte_is_urgent_however_much_comes_before_it(world: World, at_once: bool) -> None:
    # The pointer reaches 64 kB, and a window has more.
    client, server = world.pair()
    if at_once:
        assert client.send(bytes(100_000) + b"!", OOB) == 100_001
    else:
        client.send(bytes(200_000))
        client.send(b"!", OOB)
    world.readable(server)
    left = 100_000 if at_once else 200_000
    while left > 50_000:
        left -= len(server.recv(left - 50_000))
        world.readable(server)
    world.ready(server, "IN|PRI|OUT")
    world.gives(b"!", server.recv, 1, OOB)


def test_k095_a_second_urgent_byte_that_is_still_far_hides_the_first_at_once(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    assert client.send(bytes(200_000), OOB) == 200_000
    world.ready(server, "IN|OUT")
    world.gives("EAGAIN", server.recv, 1, OOB)


def test_k090_nothing_urgent_is_nothing(world: World) -> None:
    client, server = world.pair()
    assert client.send(b"", OOB) == 0
    world.pause()
    world.ready(server, "OUT")


def test_k090_where_urgent_data_cannot_be_sent(world: World) -> None:
    world.gives("EPIPE", world.socket().send, b"x", OOB)
    world.gives("EPIPE", world.listener().send, b"x", OOB)
    client, server = world.full_pair()
    world.gives("EAGAIN", client.send, b"x", OOB)
    world.pause()
    world.ready(server, "IN|OUT")
    client, server = world.pair()
    client.shutdown(socket.SHUT_WR)
    world.gives("EPIPE", client.send, b"x", OOB)


def test_k091_the_urgent_byte_is_read_once(world: World) -> None:
    client, server = world.pair()
    world.gives("EINVAL", server.recv, 1, OOB)
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    assert server.recv(0, OOB) == b""
    world.gives(b"!", server.recv, 1, OOB | socket.MSG_PEEK)
    world.gives(b"!", server.recv, 5, OOB)
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k091_a_recvmsg_of_nothing_says_that_there_is_one_also_at_the_end(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|PRI|OUT|RDHUP")
    assert server.recvmsg(5, 0, OOB | socket.MSG_PEEK) == (b"!", [], OOB, None)
    assert server.recvmsg(0, 0, OOB) == (b"", [], OOB | socket.MSG_TRUNC, None)  # which takes it
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k091_trunc_reads_an_urgent_byte_without_telling_it(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    buffer = bytearray(b"..")
    assert server.recv_into(buffer, 2, OOB | socket.MSG_TRUNC) == 1
    assert buffer == b".."
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k091_what_trunc_gives_of_an_urgent_byte_is_no_news_of_it(world: World) -> None:
    """One byte of a buffer that nobody has written to: anything on a kernel, zero on simnet."""
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    told = server.recv(2, OOB | socket.MSG_TRUNC)
    assert told == b"\0" or (world.name == "kernel" and len(told) == 1)
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k091_where_no_urgent_byte_can_be(world: World) -> None:
    world.gives("EINVAL", world.socket().recv, 1, OOB)
    world.gives("ENOTCONN", world.listener().recv, 1, OOB)
    client, server = world.pair()
    server.close()
    world.ready(client, "IN|OUT|RDHUP")
    world.gives("EINVAL", client.recv, 1, OOB)


def test_k091_inline_it_cannot_be_read_apart(world: World) -> None:
    client, server = world.pair()
    server.setsockopt(*INLINE, 1)
    client.send(b"!", OOB)
    world.ready(server, "IN|PRI|OUT")
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k091_after_a_reset_the_socket_is_not_connected(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    world.reset(client)
    world.ready(server, "IN|PRI|OUT|RDHUP|ERR|HUP")
    world.gives("ENOTCONN", server.recv, 1, OOB)
    world.gives("ECONNRESET", server.recv, 1)


def test_k092_recv_stops_at_the_mark_and_then_skips_the_urgent_byte(world: World) -> None:
    client, server = world.pair()
    client.send(b"ab")
    client.send(b"!", OOB)
    client.send(b"cd")
    world.ready(server, "IN|PRI|OUT")
    world.pause()
    world.gives(b"ab", server.recv, 100)
    world.ready(server, "IN|PRI|OUT")
    world.gives(b"c", server.recv, 1)
    world.ready(server, "IN|OUT")
    world.gives(b"d", server.recv, 100)
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k092_a_recv_with_only_the_urgent_byte_ahead_drops_it(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    world.gives((b"", None), server.recvfrom, 0)  # which stops short of it
    world.gives("EAGAIN", server.recv, 10)
    world.ready(server, "OUT")
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k093_the_mark_is_where_all_before_it_is_read(world: World) -> None:
    client, server = world.pair()
    assert world.at_mark(server) == 0
    client.send(b"ab")
    client.send(b"!", OOB)
    client.send(b"cd")
    world.ready(server, "IN|PRI|OUT")
    world.pause()
    assert world.at_mark(server) == 0
    server.recv(1)
    assert world.at_mark(server) == 0
    server.recv(1)
    assert world.at_mark(server) == 1
    world.gives(b"!", server.recv, 1, OOB)
    assert world.at_mark(server) == 1
    server.recv(1)
    assert world.at_mark(server) == 0


def test_k094_after_it_was_read_the_stop_remains_and_the_byte_does_not(world: World) -> None:
    client, server = world.pair()
    client.send(b"ab")
    client.send(b"!", OOB)
    client.send(b"cd")
    world.ready(server, "IN|PRI|OUT")
    world.pause()
    world.gives(b"!", server.recv, 1, OOB)
    world.ready(server, "IN|OUT")
    world.gives(b"ab", server.recv, 100)
    world.gives(b"cd", server.recv, 100)


@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
def test_k095_a_second_urgent_byte_makes_the_first_a_normal_one(world: World, read: bool) -> None:
    client, server = world.pair()
    client.send(b"a")
    client.send(b"1", OOB)
    world.ready(server, "IN|PRI|OUT")
    if read:
        world.gives(b"1", server.recv, 1, OOB)
    client.send(b"b")
    client.send(b"2", OOB)
    world.ready(server, "IN|PRI|OUT")
    client.send(b"c")
    world.pause()
    world.gives(b"a1b", server.recv, 100)
    world.gives(b"2", server.recv, 1, OOB)
    world.gives(b"c", server.recv, 100)


def test_k095_unless_it_is_the_next_to_be_read(world: World) -> None:
    client, server = world.pair()
    client.send(b"1", OOB)
    world.ready(server, "PRI|OUT")
    client.send(b"b")
    client.send(b"2", OOB)
    world.ready(server, "IN|PRI|OUT")
    world.pause()
    world.gives(b"b", server.recv, 100)
    world.gives(b"2", server.recv, 1, OOB)


@pytest.mark.parametrize("when", ["before", "after", "after it was read"])
def test_k096_inline_the_byte_is_in_the_stream(world: World, when: str) -> None:
    client, server = world.pair()
    if when == "before":
        server.setsockopt(*INLINE, 1)
    client.send(b"ab")
    client.send(b"!", OOB)
    client.send(b"cd")
    world.ready(server, "IN|PRI|OUT")
    world.pause()
    if when == "after it was read":
        world.gives(b"!", server.recv, 1, OOB)
    server.setsockopt(*INLINE, 1)
    world.gives(b"ab", server.recv, 100)
    assert world.at_mark(server) == 1
    world.gives(b"!cd", server.recv, 100)
    world.ready(server, "OUT")


def test_k097_urgent_then_fin(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|PRI|OUT|RDHUP")
    world.gives(b"!", server.recv, 1, OOB)


def test_k097_a_normal_recv_at_the_end_drops_it(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|PRI|OUT|RDHUP")
    world.gives(b"", server.recv, 10)
    world.ready(server, "IN|OUT|RDHUP")
    world.gives("EINVAL", server.recv, 1, OOB)


def test_k097_urgent_then_reset(world: World) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    world.reset(client)
    world.ready(server, "IN|PRI|OUT|RDHUP|ERR|HUP")
    world.gives("ECONNRESET", server.recv, 10)
    world.ready(server, "IN|OUT|RDHUP|HUP")


def test_k098_urgent_to_an_end_that_reads_no_more(world: World) -> None:
    client, server = world.pair()
    server.shutdown(socket.SHUT_RD)
    client.send(b"!", OOB)
    world.ready(server, "IN|PRI|OUT|RDHUP")
    assert server.recvmsg(1, 0, OOB) == (b"!", [], OOB, None)


def test_k099_a_unix_stream_has_urgent_data_that_is_readable_too(world: World) -> None:
    one, two = socket.socketpair()
    world.keep(one)
    world.keep(two)
    one.send(b"!", OOB)
    world.ready(two, "IN|PRI|OUT")
    assert two.recv(1, OOB) == b"!"


def test_k099_datagrams_have_none(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.connect((world.ip, 9))
    world.gives("ENOTSUP", sock.send, b"x", OOB)


def test_an_urgent_byte_makes_no_wait_with_a_timeout_longer(world: World) -> None:
    client, server = world.pair()
    server.settimeout(0.06)

    def urge() -> None:
        time.sleep(0.03)
        client.send(b"!", socket.MSG_OOB)

    began = time.monotonic()
    join = world.beside(urge)
    with pytest.raises(TimeoutError):
        server.recv(10)
    took = time.monotonic() - began
    join()
    assert took >= 0.06
    assert took < 0.07 or world.name == "kernel"


@pytest.mark.parametrize("more", [b"", b"cd"])
def test_an_urgent_byte_that_is_next_makes_an_edge_as_any_byte_and_no_mask(world: World, more: bytes) -> None:
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 3)
    with select.epoll() as edges:
        edges.register(server, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        client.send(b"!", OOB)
        world.ready(server, "PRI|OUT")
        edges.poll(0)
        assert edges.poll(0) == []
        if more:
            client.send(more)
            world.pause()
        else:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        world.ready(server, "PRI|OUT")  # it is not counted here
        assert edges.poll(0) == [(server.fileno(), select.EPOLLOUT)]


@pytest.mark.parametrize("peek", [0, socket.MSG_PEEK])
def test_a_blocking_read_out_of_band_does_not_mind_msg_waitall(world: World, peek: int) -> None:
    client, server = world.pair()
    client.send(b"ab!", OOB)
    world.ready(server, "IN|PRI|OUT")
    server.setblocking(True)
    world.gives(b"!", server.recv, 5, OOB | peek | socket.MSG_WAITALL)
    world.gives(b"ab", server.recv, 5)


@pytest.mark.parametrize("read", [False, True])
def test_a_blocking_read_passes_the_mark_before_it_waits(world: World, read: bool) -> None:
    client, server = world.pair()
    client.send(b"!", OOB)
    world.ready(server, "PRI|OUT")
    if read:
        world.gives(b"!", server.recv, 1, OOB)
    world.gives(1, world.at_mark, server)
    server.setblocking(True)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 5000))
    with pytest.raises(BlockingIOError):
        server.recv(4)
    world.gives(0, world.at_mark, server)


def test_so_peek_off_does_not_count_an_urgent_byte_that_the_next_one_drops(world: World) -> None:
    client, server = world.pair()
    client.send(b"ab!", OOB)
    client.send(b"cdefg")
    world.pause()
    server.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 2)
    world.gives(b"cdefg", server.recv, 100, socket.MSG_PEEK)  # from 2 to 7: the urgent one is not counted
    world.gives(b"ab", server.recv, 2)
    client.send(b"hi?", OOB)
    world.pause()
    world.gives(b"cde", server.recv, 3)
    world.gives(b"hi", server.recv, 2, socket.MSG_PEEK)


@pytest.mark.parametrize("buffer", [None, 20_000])
@pytest.mark.parametrize("how", ["answer", "end", pytest.param("question", marks=pytest.mark.slow)])
def test_k091_an_urgent_byte_behind_a_shut_window_is_announced_by_any_segment(
    world: World, how: str, buffer: int | None
) -> None:
    """So what is said out of band is known to be coming: the acknowledgement of an answer, or a question for the window."""
    sizes = {(socket.SOL_SOCKET, name): buffer for name in (socket.SO_SNDBUF, socket.SO_RCVBUF) if buffer}
    client, server = world.pair(options=sizes)
    assert client.send(bytes(127_973 if buffer is None else 30_000)) > 0
    time.sleep(0.06)
    client.send(b"more")
    client.send(b"!", socket.MSG_OOB)
    world.pause()
    world.gives("EINVAL", server.recv, 1, socket.MSG_OOB)
    if how == "answer":
        server.send(b"answer")
        assert client.recv(10) == b"answer"
        time.sleep(0.06)
    elif how == "end":
        server.shutdown(socket.SHUT_WR)
        time.sleep(0.06)
    else:
        time.sleep(0.3)
    world.gives("EAGAIN", server.recv, 1, socket.MSG_OOB)
    assert "PRI" not in world.mask(server)
