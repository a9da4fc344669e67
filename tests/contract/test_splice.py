"""``os.splice``: bytes that go from a pipe into a socket, or out of one into a pipe."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import SOON, World

Pipe = tuple[int, int]
KINDS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)
SO_PEEK_OFF = 42


@pytest.fixture
def pipe(world: World) -> Iterator[Pipe]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass  # by the test, already


def pair(world: World, kind: int = socket.SOCK_STREAM) -> tuple[Any, Any]:
    here, there = (world.keep(each) for each in socket.socketpair(socket.AF_UNIX, kind))
    here.setblocking(False)
    there.setblocking(False)
    return here, there


def test_k133_what_lies_in_a_pipe_goes_into_a_connection(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = world.pair()
    os.write(writer, b"one")
    os.write(writer, b"two")
    assert os.splice(reader, here.fileno(), 4) == 4
    world.gives(b"onet", there.recv, 9)
    assert os.splice(reader, here.fileno(), 100) == 2
    world.gives(b"wo", there.recv, 9)
    world.gives("EAGAIN", lambda: os.splice(reader, here.fileno(), 1, flags=os.SPLICE_F_NONBLOCK))
    os.write(writer, b"end")
    os.close(writer)
    assert os.splice(reader, here.fileno(), 9) == 3
    assert os.splice(reader, here.fileno(), 9) == 0


def test_k133_more_of_a_splice_holds_back_as_that_of_a_send(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = world.pair()
    one, two = (world.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    two.bind((world.ip, 0))
    one.connect(two.getsockname())
    unix, its_peer = pair(world)
    for sender, receiver, at_once in ((here, there, "EAGAIN"), (one, two, "EAGAIN"), (unix, its_peer, b"be")):
        os.write(writer, b"begun")
        assert os.splice(reader, sender.fileno(), 2, flags=os.SPLICE_F_MORE) == 2
        world.gives(at_once, receiver.recv, 9)
        assert os.splice(reader, sender.fileno(), 9) == 3
        world.readable(receiver)
        world.gives(b"gun" if sender is unix else b"begun", receiver.recv, 9)


def test_k133_what_has_come_goes_into_a_pipe(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = world.pair()
    world.gives("EAGAIN", os.splice, there.fileno(), writer, 9)
    here.send(b"hello")
    world.readable(there)
    assert os.splice(there.fileno(), writer, 4) == 4
    assert os.splice(there.fileno(), writer, 9) == 1
    assert os.read(reader, 9) == b"hello"
    here.close()
    world.ready(there, "IN|OUT|RDHUP")
    assert os.splice(there.fileno(), writer, 9) == 0


@pytest.mark.parametrize("ways", [os.O_RDONLY, os.O_RDWR])
def test_k133_a_fifo_that_nobody_writes_to_is_at_its_end(world: World, tmp_path: Path, ways: int) -> None:
    here, there = world.pair()
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", ways | os.O_NONBLOCK)
    world.gives(0 if ways == os.O_RDONLY else "EAGAIN", os.splice, fifo, here.fileno(), 9)
    writer = os.open(tmp_path / "fifo", os.O_WRONLY)
    world.gives("EAGAIN", os.splice, fifo, here.fileno(), 9)
    os.write(writer, b"end")
    os.close(writer)
    assert os.splice(fifo, here.fileno(), 9) == 3
    world.gives(0 if ways == os.O_RDONLY else "EAGAIN", os.splice, fifo, here.fileno(), 9)
    os.close(fifo)
    world.gives(b"end", there.recv, 9)


def test_k133_splice_of_a_connection_leaves_the_place_of_a_peek_where_it_is(world: World, pipe: Pipe) -> None:
    _, writer = pipe
    for here, there, seen in ((*world.pair(), b"f"), (*pair(world), b"def")):
        there.setsockopt(socket.SOL_SOCKET, SO_PEEK_OFF, 2)
        here.send(b"abcdef")
        world.readable(there)
        assert os.splice(there.fileno(), writer, 3) == 3
        assert there.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF) == (2 if seen == b"f" else 0)
        assert there.recv(9, socket.MSG_PEEK) == seen


@pytest.mark.parametrize("kind", KINDS)
def test_k133_a_message_goes_as_one_and_is_cut(world: World, pipe: Pipe, kind: int) -> None:
    reader, writer = pipe
    here, there = pair(world, kind)
    os.write(writer, b"one")
    os.write(writer, b"two")
    assert os.splice(reader, here.fileno(), 100) == 6
    assert there.recv(9) == b"onetwo"
    here.send(b"abc")
    here.send(b"defg")
    streams = kind == socket.SOCK_STREAM
    assert os.splice(there.fileno(), writer, 2) == 2
    assert os.splice(there.fileno(), writer, 9) == (5 if streams else 4)
    assert os.read(reader, 9) == (b"abcdefg" if streams else b"abdefg")


def test_k133_what_a_socket_does_not_take_stays_in_the_pipe(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    os.write(writer, b"abc")
    fresh, listener = world.socket(), world.listener()
    for sock, code in ((fresh, "EPIPE"), (listener, "EPIPE"), (world.socket(kind=socket.SOCK_DGRAM), "EDESTADDRREQ")):
        world.gives(code, os.splice, reader, sock.fileno(), 2)
    for sock in (fresh, listener):
        world.gives("ENOTCONN", os.splice, sock.fileno(), writer, 2)
    assert os.read(reader, 9) == b"abc"


def test_k133_nobody_reads_a_pipe(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = pair(world)
    os.close(reader)
    here.send(b"x")
    world.gives("EPIPE", os.splice, there.fileno(), writer, 2)
    assert there.recv(9) == b"x"


def test_k133_no_more_goes_into_a_pipe_than_has_room(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = world.pair()
    here.send(bytes(100_000))
    world.readable(there)
    assert fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096) == 4096
    os.set_blocking(writer, False)
    for _ in range(2):
        assert os.splice(there.fileno(), writer, 100_000) == 4096
        world.gives("EAGAIN", os.splice, there.fileno(), writer, 1)
        assert len(os.read(reader, 100_000)) == 4096


def test_k133_a_pipe_is_waited_for(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = pair(world)
    join = world.beside(lambda: os.write(writer, b"late"))
    assert os.splice(reader, here.fileno(), 9) == 4
    join()
    assert there.recv(9) == b"late"
    os.set_blocking(there.fileno(), True)
    join = world.beside(lambda: here.send(b"later"))
    assert os.splice(there.fileno(), writer, 9) == 5
    join()
    assert os.read(reader, 9) == b"later"


def test_k133_what_splice_refuses(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = pair(world)
    a, b = here.fileno(), there.fileno()
    with select.epoll() as poll:
        for code, *arguments in (
            ("EINVAL", a, b, 1),
            ("EINVAL", reader, writer, 1),
            ("EBADF", writer, reader, 1),
            ("EINVAL", reader, poll.fileno(), 1),
            ("EINVAL", poll.fileno(), writer, 1),
            ("EINVAL", a, writer, 1, 0),
            ("EINVAL", reader, a, 1, None, 0),
            ("EINVAL", a, writer, 1, None, None, 100),
            ("ESPIPE", a, writer, 1, None, 0),
            ("ESPIPE", reader, a, 1, 0),
            ("EBADF", a, reader, 1),
            ("EBADF", writer, a, 1),
            ("EBADF", a, 1_000_000, 1),
            ("EBADF", 1_000_000, a, 1),
            ("EBADF", reader, -1, 1),
            (0, a, b, 0),
            ("TypeError: 'socket' object cannot be interpreted as an integer", here, writer, 1),
        ):
            world.gives(code, os.splice, *arguments)


def test_k133_files_of_which_none_is_a_pipe_are_refused_though_no_pipe_was_made(world: World) -> None:
    with tempfile.TemporaryFile() as file, open(os.devnull, "wb") as null:
        world.gives("EINVAL", os.splice, file.fileno(), null.fileno(), 1)
        world.gives(0, os.splice, file.fileno(), null.fileno(), 0)


def test_k133_nothing_is_spliced_behind_an_end_not_even_out_of_an_empty_pipe(world: World, pipe: Pipe) -> None:
    here, _ = pair(world)
    os.set_blocking(pipe[0], False)
    world.gives("EAGAIN", os.splice, pipe[0], here.fileno(), 1)
    fcntl.fcntl(here, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)
    world.gives("EINVAL", os.splice, pipe[0], here.fileno(), 1)


def test_k133_splice_looks_first_how_a_file_was_opened(world: World) -> None:
    number = pair(world)[0].fileno()
    with open(os.devnull, "rb") as read, open(os.devnull, "wb") as written:
        world.gives("EBADF", os.splice, number, read.fileno(), 1)
        world.gives("EBADF", os.splice, written.fileno(), number, 1)
        world.gives("EINVAL", os.splice, number, written.fileno(), 1)
        world.gives("EINVAL", os.splice, read.fileno(), number, 1)


def test_k133_from_pipe_to_pipe_who_watches_is_told(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    other, end = os.pipe()
    try:
        with select.epoll() as poll:
            poll.register(other, select.EPOLLIN | select.EPOLLET)
            join = world.beside(lambda: os.write(writer, b"late"))
            assert os.splice(reader, end, 9) == 4
            join()
            assert poll.poll(0) == [(other, select.EPOLLIN)]
        assert os.read(other, 9) == b"late"
    finally:
        os.close(other)
        os.close(end)


def test_k133_what_a_splice_leaves_stays_in_its_pages(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = pair(world)
    for fd in pipe:
        os.set_blocking(fd, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    there.send(b"from a socket")
    assert os.splice(here.fileno(), writer, 100) == 13
    world.gives("EAGAIN", os.write, writer, b"x")  # the page is a socket's, and nobody writes to the rest of it
    assert os.read(reader, 3) == b"fro"
    there.close()
    world.gives("EPIPE", os.splice, reader, here.fileno(), 5)
    assert os.read(reader, 100) == b"m a socket"


def test_k133_of_a_splice_out_of_a_pipe_only_who_writes_to_it_is_told(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    here, there = pair(world)
    edge = select.EPOLLET
    with select.epoll() as poll:
        os.write(writer, bytes(10))
        poll.register(there, select.EPOLLIN | edge)
        poll.register(reader, select.EPOLLIN | edge)
        poll.register(writer, select.EPOLLOUT | edge)
        assert poll.poll(0) == [(reader, select.EPOLLIN), (writer, select.EPOLLOUT)]
        assert os.splice(reader, here.fileno(), 4) == 4  # no page is empty
        assert poll.poll(0) == [(there.fileno(), select.EPOLLIN)]
        assert os.splice(reader, here.fileno(), 10) == 6
        assert poll.poll(0) == [(there.fileno(), select.EPOLLIN), (writer, select.EPOLLOUT)]
        os.write(writer, b"x")
        assert poll.poll(0) == [(reader, select.EPOLLIN)]
        there.close()
        world.gives("EPIPE", os.splice, reader, here.fileno(), 1)
        assert poll.poll(0) == []


def with_an_urgent_byte(world: World, inline: bool) -> tuple[socket.socket, socket.socket]:
    """Two ends, of which the latter may read ``ab``, the urgent ``!`` and ``cd``."""
    client, server = world.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    client.send(b"ab!", socket.MSG_OOB)
    client.send(b"cd")
    world.pause()
    world.ready(server, "IN|PRI|OUT")
    return client, server


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("taken", [False, True])
def test_k133_splice_stops_at_an_urgent_byte_and_never_passes_it(
    world: World, pipe: Pipe, inline: bool, taken: bool
) -> None:
    client, server = with_an_urgent_byte(world, inline)
    if taken and not inline:
        assert server.recv(1, socket.MSG_OOB) == b"!"
    reader, writer = pipe
    assert os.splice(server.fileno(), writer, 10) == 2
    assert os.read(reader, 10) == b"ab"
    world.gives("EAGAIN", os.splice, server.fileno(), writer, 10)
    os.set_blocking(server.fileno(), True)
    assert os.splice(server.fileno(), writer, 10) == 0
    os.set_blocking(server.fileno(), False)
    client.shutdown(socket.SHUT_WR)
    world.pause()
    assert os.splice(server.fileno(), writer, 10) == 0
    assert server.recv(10) == (b"!cd" if inline else b"cd")
    world.gives(0, os.splice, server.fileno(), writer, 10)


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("asked", ["splice", "SO_ERROR"])
def test_k133_at_an_urgent_byte_splice_tells_of_a_reset_and_then_of_an_end(
    world: World, pipe: Pipe, inline: bool, asked: str
) -> None:
    client, server = with_an_urgent_byte(world, inline)
    world.reset(client)
    world.ready(server, "IN|PRI|OUT|RDHUP|ERR|HUP")
    _, writer = pipe
    assert os.splice(server.fileno(), writer, 10) == 2
    if asked == "splice":
        world.gives("ECONNRESET", os.splice, server.fileno(), writer, 10)
    else:
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
    world.ready(server, "IN|PRI|OUT|RDHUP|HUP")
    assert os.splice(server.fileno(), writer, 10) == 0
    assert server.recv(10) == (b"!cd" if inline else b"cd")
    assert os.splice(server.fileno(), writer, 10) == 0


def test_k133_a_range_of_a_file_is_copied_to_no_socket(world: World, pipe: Pipe) -> None:
    here, there = pair(world)
    folder = os.open("/", os.O_RDONLY)
    try:
        with tempfile.TemporaryFile() as file:
            for other in (there.fileno(), file.fileno(), pipe[0]):
                world.gives("EINVAL", os.copy_file_range, here.fileno(), other, 5)
            world.gives("EINVAL", lambda: os.copy_file_range(src=file.fileno(), dst=here.fileno(), count=5))
            world.gives("EISDIR", os.copy_file_range, folder, here.fileno(), 5)
            number = there.fileno()
            there.close()
            world.gives("EBADF", os.copy_file_range, here.fileno(), number, 5)
    finally:
        os.close(folder)


def test_k133_what_is_opened_to_be_written_to_is_sent_by_nobody(world: World, pipe: Pipe) -> None:
    here, _ = pair(world)
    for offset in (None, 0, -1):
        world.gives("EBADF", os.sendfile, here.fileno(), pipe[1], offset, 5)
    world.gives("EINVAL", os.sendfile, here.fileno(), pipe[0], None, 5)
    world.gives("ESPIPE", os.sendfile, here.fileno(), pipe[0], 0, 5)


def test_k133_a_folder_and_an_eventfd_have_positions_and_are_sent_by_nobody(world: World) -> None:
    here, _ = pair(world)
    folder, number = os.open("/", os.O_RDONLY), os.eventfd(1)
    try:
        for fd in (folder, number):
            world.gives("EINVAL", os.sendfile, here.fileno(), fd, None, 5)
            world.gives(0, os.sendfile, here.fileno(), fd, None, 0)
        world.gives("EINVAL", os.sendfile, here.fileno(), folder, 100, 5)
        world.gives(0, os.sendfile, here.fileno(), folder, 100, 0)
        for count in (0, 5):
            world.gives("ESPIPE", os.sendfile, here.fileno(), number, 0, count)
    finally:
        os.close(folder)
        os.close(number)


def test_k133_a_file_that_is_sent_into_a_pipe_waits_for_room_and_who_reads_is_told(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    with select.epoll() as inner, select.epoll() as outer, tempfile.TemporaryFile() as file:
        file.write(b"contents")
        file.flush()
        inner.register(reader, select.EPOLLIN)
        outer.register(inner, select.EPOLLIN | select.EPOLLET)
        assert outer.poll(0) == []
        assert os.sendfile(writer, file.fileno(), 0, 100) == 8
        assert outer.poll(0) == [(inner.fileno(), select.EPOLLIN)]
        os.write(writer, bytes(15 * 4096))
        told: list[int] = []
        join = world.beside(lambda: told.append(os.sendfile(writer, file.fileno(), 3, 100)))
        time.sleep(SOON)
        assert told == []
        assert len(os.read(reader, 70000)) == 8 + 15 * 4096
        join()
        assert (told, os.read(reader, 100)) == ([5], b"tents")


@pytest.mark.parametrize("kind", KINDS)
def test_k133_sendfile_takes_a_sockets_bytes_into_a_pipe(world: World, pipe: Pipe, kind: int) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    here, there = pair(world, kind)
    world.gives("EAGAIN", os.sendfile, writer, here.fileno(), None, 5)
    there.send(b"hello world")
    world.gives(0, os.sendfile, writer, here.fileno(), None, 0)
    world.gives("EINVAL", os.sendfile, writer, here.fileno(), None, -1)
    world.gives("ESPIPE", os.sendfile, writer, here.fileno(), 0, 5)
    world.gives("EBADF", os.sendfile, reader, here.fileno(), None, 5)
    with tempfile.TemporaryFile() as file:
        world.gives("EINVAL", os.sendfile, file.fileno(), here.fileno(), None, 5)
    assert os.sendfile(writer, here.fileno(), None, 5) == 5
    assert os.read(reader, 100) == b"hello"
    world.gives(b" world" if kind == socket.SOCK_STREAM else "EAGAIN", here.recv, 100)


def test_k133_sendfile_looks_for_room_in_a_pipe_though_nothing_is_asked_for(world: World, pipe: Pipe) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    here, _ = pair(world)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(65536))
    world.gives("EAGAIN", os.sendfile, writer, here.fileno(), None, 0)
    os.close(reader)
    world.gives("EPIPE", os.sendfile, writer, here.fileno(), None, 0)


def test_k133_a_device_that_gives_nothing_is_sent_by_nobody(world: World) -> None:
    here, there = pair(world)
    with open(os.devnull, "rb") as null, open("/dev/zero", "rb") as zero:
        for offset in (None, 0, 5):
            world.gives("EINVAL", os.sendfile, here.fileno(), null.fileno(), offset, 5)
            world.gives(0, os.sendfile, here.fileno(), null.fileno(), offset, 0)
        world.gives(5, os.sendfile, here.fileno(), zero.fileno(), 0, 5)
    world.gives(bytes(5), there.recv, 9)


@pytest.mark.parametrize("end", [0, 1])
def test_k133_between_pipes_of_which_one_does_not_block_nothing_is_waited_for(
    world: World, pipe: Pipe, end: int
) -> None:
    others = os.pipe()
    os.set_blocking((pipe[0], others[1])[end], False)
    world.gives("EAGAIN", os.splice, pipe[0], others[1], 9)
    for fd in others:
        os.close(fd)


def connected(world: World, host: str, proto: int) -> tuple[Any, Any]:
    here, there = (
        world.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM, proto) for _ in "ab"
    )
    there.bind((host, 0))
    here.connect(there.getsockname())
    return here, there


@pytest.mark.parametrize(
    ("host", "proto", "at_once"),
    [
        pytest.param("127.0.0.1", socket.IPPROTO_UDP, True, id="udp"),
        pytest.param("127.0.0.1", socket.IPPROTO_UDPLITE, False, id="udplite"),
        pytest.param("::1", socket.IPPROTO_UDP, False, id="udp6"),
        pytest.param("::ffff:127.0.0.1", socket.IPPROTO_UDP, False, id="mapped"),
    ],
)
def test_k133_a_file_that_ends_before_its_count_is_a_datagram_over_ipv4_and_the_beginning_of_one_elsewhere(
    world: World, host: str, proto: int, at_once: bool
) -> None:
    here, there = connected(world, host, proto)
    with tempfile.TemporaryFile() as file:
        file.write(b"0123456789")
        file.flush()
        assert os.sendfile(here.fileno(), file.fileno(), 4, 6) == 6
        world.gives(b"456789", there.recv, 99)
        assert os.sendfile(here.fileno(), file.fileno(), 4, 7) == 6
        if at_once:
            world.gives(b"456789", there.recv, 99)
        else:
            world.pause()
            world.gives("EAGAIN", there.recv, 99)
        here.send(b"tail")
        world.gives(b"tail" if at_once else b"456789tail", there.recv, 99)
        here.setsockopt(proto, 1, 1)  # UDP_CORK
        assert os.sendfile(here.fileno(), file.fileno(), 4, 7) == 6
        world.pause()
        world.gives("EAGAIN", there.recv, 99)
        here.setsockopt(proto, 1, 0)
        world.gives(b"456789", there.recv, 99)


@pytest.mark.parametrize("proto", [socket.IPPROTO_UDP, socket.IPPROTO_UDPLITE])
def test_k133_two_pieces_of_a_file_are_one_datagram_if_there_can_be_one(world: World, proto: int) -> None:
    here, there = connected(world, world.ip, proto)
    with tempfile.TemporaryFile() as file:
        file.write(bytes(100_000))
        file.flush()
        # From 4,000 on the first sixteen pages end after 61,536 bytes.
        assert os.sendfile(here.fileno(), file.fileno(), 4000, 65_000) == 65_000
        world.gives(65_000, lambda: len(there.recv(100_000)))
        world.gives("EAGAIN", there.recv, 99)
        # The second piece was too much, and spoils all.
        assert os.sendfile(here.fileno(), file.fileno(), 4000, 65_600) == 61_536
        here.send(b"next")
        world.gives(b"next", there.recv, 99)


def test_k133_of_an_epoll_no_bytes_can_be_sent_like_those_of_an_empty_file(world: World) -> None:
    here, _ = pair(world)
    event = os.eventfd(3, os.EFD_NONBLOCK)
    with select.epoll() as poller, tempfile.TemporaryFile() as file:
        file.write(b"abc")
        file.flush()
        for target in (here.fileno(), event, file.fileno(), world.socket().fileno(), poller.fileno()):
            world.gives(0, os.sendfile, target, poller.fileno(), None, 0)
            world.gives("EINVAL", os.sendfile, target, poller.fileno(), None, 1)
            world.gives("ESPIPE", os.sendfile, target, poller.fileno(), 0, 0)
        for wanted, offset, count in ((0, 0, 0), (0, 3, 5), (0, None, 5), ("EINVAL", 2, 5), ("EINVAL", 0, -1)):
            world.gives(wanted, os.sendfile, poller.fileno(), file.fileno(), offset, count)
        world.gives(0, os.sendfile, poller.fileno(), event, None, 0)
        world.gives("EINVAL", os.sendfile, poller.fileno(), event, None, 8)
        world.gives("EINVAL", os.sendfile, poller.fileno(), here.fileno(), None, 0)
    os.close(event)


@pytest.mark.parametrize("by_sendfile", [False, True])
def test_k133_a_pipe_says_that_there_is_no_room_in_it_before_an_epoll_says_that_nothing_can_be_had_of_it(
    world: World, pipe: Pipe, by_sendfile: bool
) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    with select.epoll() as poller:

        def move() -> int:
            if by_sendfile:
                return os.sendfile(writer, poller.fileno(), None, 5)
            return os.splice(poller.fileno(), writer, 5)

        world.gives("EINVAL", move)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, bytes(65536))
        world.gives("EAGAIN", move)
        os.close(reader)
        world.gives("EPIPE", move)


def test_k133_packets_of_a_pipe_go_into_a_socket_as_one(world: World) -> None:
    here, there = pair(world)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)
    try:
        for packet in (b"one", b"two", b"x" * 5000):
            os.write(writer, packet)
        assert os.splice(reader, here.fileno(), 4) == 4
        world.gives(b"onet", there.recv, 99)
        assert os.splice(reader, here.fileno(), 9000) == 5002
        world.gives(b"wo" + b"x" * 5000, there.recv, 9000)
    finally:
        os.close(reader)
        os.close(writer)


def with_room(pipe: Pipe, pages: int) -> Pipe:
    """*pipe* for so many pages, of which neither end waits."""
    for fd in pipe:
        os.set_blocking(fd, False)
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, pages * 4096)
    return pipe


@pytest.mark.parametrize("pages", [1, 4, 16])
@pytest.mark.parametrize("held", [0, 1])
def test_k133_each_send_to_a_unix_stream_takes_a_page_of_a_pipe(
    world: World, pipe: Pipe, pages: int, held: int
) -> None:
    reader, writer = with_room(pipe, pages)
    here, there = pair(world)
    for _ in range(20):
        there.send(b"two")
    assert here.recv(1) == b"t"
    os.write(writer, b"held" * held)
    moved = 3 * (pages - held) - 1
    if moved > 0:
        assert os.splice(here.fileno(), writer, 4096) == moved
        assert world.ioctl(here, "FIONREAD") == 59 - moved
    world.gives("EAGAIN", os.splice, here.fileno(), writer, 4096)
    world.gives("EAGAIN", os.write, writer, b"x" * 4096)
    assert len(os.read(reader, 99)) == 4 * held + max(moved, 0)


@pytest.mark.parametrize(("size", "places"), [(5000, 2), (8192, 1), (16384, 1), (20000, 2)])
@pytest.mark.parametrize("pages", [1, 2, 4, 16])
def test_k133_of_a_large_send_to_a_unix_stream_what_lies_together_takes_one_place_in_a_pipe(
    world: World, pipe: Pipe, size: int, places: int, pages: int
) -> None:
    reader, writer = with_room(pipe, pages)
    here, there = pair(world)
    there.send(b"s" * size)
    # A head of what is no whole page, and the pages in blocks of 1, 2 or 4; in all no more than there are free pages.
    head = {5000: 904, 20000: 3616}.get(size, 0)
    moved = head if head and pages == 1 else min(size, 4096 * pages)
    assert os.splice(here.fileno(), writer, 1 << 20) == moved
    assert world.ioctl(here, "FIONREAD") == size - moved
    left = pages - min(places, pages)
    if left:
        assert os.write(writer, b"w" * (1 << 20)) == left * 4096
    else:
        world.gives("EAGAIN", os.write, writer, b"w" * 4096)
    assert len(os.read(reader, 1 << 20)) == moved + left * 4096


@pytest.mark.parametrize("size", [5000, 20000])
def test_k133_what_is_spliced_out_of_a_connection_takes_few_places_in_a_pipe(
    world: World, pipe: Pipe, size: int
) -> None:
    reader, writer = pipe
    for fd in pipe:
        os.set_blocking(fd, False)
    here, there = world.pair()
    there.send(b"s" * size)
    world.readable(here)
    world.pause()
    assert os.splice(here.fileno(), writer, 1 << 20) == size
    room = os.write(writer, b"w" * (1 << 20))
    assert room >= 14 * 4096  # one or two of sixteen are taken, for segments lie in pages of 32 KiB
    assert len(os.read(reader, 1 << 20)) == size + room
