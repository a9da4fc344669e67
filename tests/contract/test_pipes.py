"""What a program wakes itself by beside sockets: pipes with a name, eventfds; and devices that are always ready."""

from __future__ import annotations

import array
import asyncio
import ctypes
import fcntl
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import SOON, World, until_the_test_waits

F_SETPIPE_SZ = 1031
IN, OUT, HUP, ET = select.EPOLLIN, select.EPOLLOUT, select.EPOLLHUP, select.EPOLLET

pytestmark = pytest.mark.skipif(not hasattr(os, "eventfd"), reason="Linux has it, and the C library since 2.8")


@pytest.fixture
def number(world: World) -> Iterator[int]:
    """An eventfd that does not block."""
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def test_an_eventfd_is_readable_while_it_is_not_nothing(world: World, number: int) -> None:
    assert world.mask(number) == "OUT"
    assert select.select([number], [number], [number], 0) == ([], [number], [])
    os.eventfd_write(number, 3)
    assert (world.mask(number), os.eventfd_read(number)) == ("IN|OUT", 3)
    assert outcome(lambda: os.eventfd_read(number)) == "EAGAIN"
    os.write(number, struct.pack("Q", 2**64 - 2))
    assert world.mask(number) == "IN"
    assert outcome(lambda: os.eventfd_write(number, 1)) == "EAGAIN"


def test_each_write_to_an_eventfd_is_an_edge(world: World, number: int) -> None:
    with select.epoll() as epoll:
        epoll.register(number, IN | ET)
        assert epoll.poll(0) == []
        for _ in range(2):
            os.eventfd_write(number, 1)
            assert [epoll.poll(0), epoll.poll(0)] == [[(number, IN)], []]
        os.eventfd_read(number)
        epoll.modify(number, IN | OUT | ET)
        assert [epoll.poll(0), epoll.poll(0)] == [[(number, OUT)], []]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "eventfd"])
@pytest.mark.parametrize("buffers", [[], [b""], [b"", b""]])
def test_to_move_nothing_is_no_edge(world: World, number: int, blocking: bool, kind: str, buffers: Any) -> None:
    reader, writer = (number, number) if kind == "eventfd" else os.pipe()
    os.write(writer, bytes(8))
    with select.epoll() as epoll:
        for each in {reader, writer}:
            os.set_blocking(each, blocking)
            epoll.register(each, IN | OUT | ET)
        epoll.poll(0)
        assert os.writev(writer, buffers) == 0
        if kind == "pipe":
            assert os.write(writer, b"") == 0
            assert os.read(reader, 0) == b""
        assert os.readv(reader, [bytearray(len(each)) for each in buffers]) == 0
        assert epoll.poll(0) == []
    if kind == "pipe":
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("blocking", [False, True])
def test_each_buffer_that_is_written_to_an_eventfd_is_a_number(world: World, number: int, blocking: bool) -> None:
    one = (1).to_bytes(8, "little")
    os.set_blocking(number, blocking)
    assert os.writev(number, [one, one, one]) == 24
    assert os.eventfd_read(number) == 3
    world.gives("EINVAL", os.writev, number, [one[:4], one[4:]])
    assert os.writev(number, [one, one[:4]]) == 8
    assert os.eventfd_read(number) == 1


def test_a_number_that_an_eventfd_has_no_room_for_is_waited_for(world: World, number: int) -> None:
    os.set_blocking(number, True)
    os.eventfd_write(number, 2**64 - 3)
    wrote: list[int] = []
    one = (1).to_bytes(8, "little")
    join = world.beside(lambda: wrote.append(os.writev(number, [one, one, one])))
    time.sleep(SOON)
    assert wrote == []
    assert os.eventfd_read(number) == 2**64 - 2  # one of them had found room
    join()
    assert wrote == [24]
    assert os.eventfd_read(number) == 2


@pytest.mark.parametrize(
    "read", [lambda fd: os.eventfd_read(fd), lambda fd: os.read(fd, 8), lambda fd: os.readv(fd, [bytearray(8)])]
)
def test_each_read_of_an_eventfd_is_an_edge_for_who_writes(
    world: World, number: int, read: Callable[[int], object]
) -> None:
    with select.epoll() as epoll:
        epoll.register(number, OUT | ET)
        assert [epoll.poll(0), epoll.poll(0)] == [[(number, OUT)], []]
        os.eventfd_write(number, 1)
        assert epoll.poll(0) == []
        read(number)
        assert [epoll.poll(0), epoll.poll(0)] == [[(number, OUT)], []]


def test_an_eventfd_is_written_number_by_number(world: World, number: int) -> None:
    assert outcome(lambda: os.writev(number, [b"\1\0\0\0", b"\0\0\0\0"])) == "EINVAL"
    assert os.writev(number, [struct.pack("Q", 2), struct.pack("Q", 3)]) == 16
    assert (world.mask(number), os.eventfd_read(number)) == ("IN|OUT", 5)


def test_an_eventfd_and_a_socket_taken_for_one_may_be_told_by_an_object(world: World, number: int) -> None:
    eventfd: Any = SimpleNamespace(fileno=lambda: number)
    os.eventfd_write(eventfd, 3)
    assert os.eventfd_read(eventfd) == 3
    one, other = map(world.keep, socket.socketpair())
    os.eventfd_write(one, 5)
    assert os.eventfd_read(other) == 5


@pytest.mark.parametrize(
    "wait",
    [
        lambda fd: os.eventfd_read(fd),
        lambda fd: struct.unpack("Q", os.read(fd, 8))[0],
        lambda fd: select.select([fd], [], [], 5) == ([fd], [], []) and os.eventfd_read(fd),
    ],
    ids=["eventfd_read", "read", "select"],
)
def test_an_eventfd_is_waited_for(world: World, wait: Callable[[int], int]) -> None:
    fd = os.eventfd(0)
    try:
        told: list[int] = []
        join = world.beside(lambda: told.append(wait(fd)))
        time.sleep(SOON)
        assert told == []
        os.eventfd_write(fd, 7)
        join()
        assert told == [7]
    finally:
        os.close(fd)


@pytest.mark.parametrize(
    "call",
    [lambda fd, number: os.eventfd_write(fd, number), lambda fd, number: os.write(fd, struct.pack("Q", number))],
    ids=["eventfd_write", "write"],
)
def test_a_number_that_an_eventfd_has_no_room_for_waits_though_a_smaller_one_would_go(
    world: World, call: Callable[[int, int], object]
) -> None:
    most = 2**64 - 2
    fd = os.eventfd(2)
    try:
        join = world.beside(lambda: call(fd, most))
        time.sleep(SOON)
        os.eventfd_write(fd, 1)
        time.sleep(SOON)
        assert os.eventfd_read(fd) == 3
        join()
        assert os.eventfd_read(fd) == most
    finally:
        os.close(fd)


def test_a_pipe_with_a_name_is_polled_as_one_without(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    assert outcome(lambda: os.open(path, os.O_WRONLY | os.O_NONBLOCK)) == "ENXIO"
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert world.mask(reader) == "0"
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with select.epoll() as epoll:
        epoll.register(reader, IN)
        assert (world.mask(reader), world.mask(writer), epoll.poll(0)) == ("0", "OUT", [])
        os.write(writer, b"x")
        assert epoll.poll(0) == [(reader, IN)]
        os.close(writer)
        assert epoll.poll(0) == [(reader, IN | HUP)]
        assert (os.read(reader, 9), epoll.poll(0)) == (b"x", [(reader, HUP)])
        os.close(reader)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device_that_keeps_nobody_waiting_is_ready(world: World, path: str) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        assert world.mask(fd) == "IN|OUT"
        assert select.select([fd], [fd], [fd], 0) == ([fd], [fd], [])
        with select.epoll() as epoll:
            assert outcome(lambda: epoll.register(fd, IN)) == "EPERM"
    finally:
        os.close(fd)


def test_only_one_end_of_a_pipe_is_read_and_the_other_written(world: World) -> None:
    reader, writer = os.pipe()
    try:
        world.gives("EBADF", os.read, writer, 1)
        world.gives("EBADF", os.readv, writer, [bytearray(1)])
        world.gives("EBADF", os.write, reader, b"x")
        world.gives("EBADF", os.writev, reader, [b"x"])
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("blocking", [False, True])
def test_whatever_has_bytes_is_written_to_a_pipe_and_what_has_none_is_refused_as_by_a_file(
    world: World, blocking: bool
) -> None:
    number, has_room = os.pipe()
    os.set_blocking(has_room, blocking)
    assert os.write(has_room, ctypes.c_int(5)) == os.write(has_room, array.array("i", [6])) == 4  # type: ignore[arg-type]
    assert os.read(number, 99) == struct.pack("ii", 5, 6)
    refused: Any
    for refused in (None, 5, "text"):
        told = outcome(lambda: os.write(has_room, refused))  # noqa: B023 - called at once
        assert told == f"TypeError: a bytes-like object is required, not '{type(refused).__name__}'"
    assert world.mask(number) == "0"
    os.close(number)
    os.close(has_room)


def test_several_buffers_are_waited_for_as_one_is(world: World) -> None:
    reader, writer = os.pipe()
    try:
        join = world.beside(lambda: os.writev(writer, [b"ab", b"", bytearray(b"c")]))
        buffers = [bytearray(2), bytearray(3)]
        assert os.readv(reader, buffers) == 3
        assert buffers == [b"ab", b"c\0\0"]
        join()
        with select.epoll() as poll:
            poll.register(reader, select.EPOLLIN | select.EPOLLET)
            for _ in range(2):
                os.writev(writer, [b"x"])
                assert poll.poll(0) == [(reader, select.EPOLLIN)]
        assert os.writev(writer, []) == 0
        world.gives("EINVAL", os.writev, writer, [b"x"] * 1025)
        world.gives("TypeError: a bytes-like object is required, not 'str'", os.writev, writer, ["x"])
        world.gives("TypeError: writev() arg 2 must be a sequence", os.writev, writer, 5)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("which", ["read from", "written to", "eventfd"])
def test_k113_a_number_that_is_closed_while_a_dup_lives_goes_on_being_reported(world: World, which: str) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"x")
    numbers = {"read from": reader, "written to": writer, "eventfd": os.eventfd(0)}
    number = numbers.pop(which)
    again = os.dup(number)
    with select.epoll() as epoll:
        epoll.register(number, IN | OUT)
        told = epoll.poll(0)
        assert [fd for fd, _ in told] == [number]
        os.close(number)
        assert epoll.poll(0) == told
        assert outcome(lambda: epoll.unregister(number)) == "EBADF"
        epoll.register(again, IN | OUT)
        assert [fd for fd, _ in epoll.poll(0)] == [number, again]
        os.close(again)
        assert epoll.poll(0) == []
    for fd in numbers.values():
        os.close(fd)


def test_k113_one_number_of_several_is_closed_and_nobody_hears_of_it(world: World) -> None:
    reader, writer = os.pipe()
    again = os.dup(writer)
    with select.epoll() as epoll:
        epoll.register(reader, IN | ET)
        epoll.register(again, OUT | ET)
        assert epoll.poll(0) == [(again, OUT)]
        os.close(writer)
        assert epoll.poll(0) == []
        os.dup2(reader, again)  # a close of the last number that is written to
        assert epoll.poll(0) == [(reader, HUP)]
    os.close(reader)
    os.close(again)


def test_a_pipe_is_an_edge_for_who_reads_when_it_is_full_too_and_a_number_goes_as_bytes_do(world: World) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    with select.epoll() as epoll:
        epoll.register(reader, IN | OUT | ET)
        os.eventfd_write(writer, 7)
        assert [epoll.poll(0), epoll.poll(0), os.eventfd_read(reader)] == [[(reader, IN)], [], 7]
        os.write(writer, bytes(65536))
        assert [epoll.poll(0), epoll.poll(0)] == [[(reader, IN)], []]
        assert (os.eventfd_read(reader), epoll.poll(0)) == (0, [])
        for write in (lambda: os.write(writer, bytes(5000)), lambda: os.eventfd_write(writer, 1)):
            assert outcome(write) == "EAGAIN"
            assert [epoll.poll(0), epoll.poll(0)] == [[(reader, IN)], []]
    os.close(reader)
    os.close(writer)


def test_two_who_write_to_a_full_pipe_both_wait(world: World) -> None:
    reader, writer = os.pipe()
    told: list[int] = []
    os.write(writer, bytes(65536))
    joins = [world.beside(lambda each=each: told.append(os.write(writer, each))) for each in (b"first", b"second")]
    time.sleep(SOON)
    assert (told, os.get_blocking(writer)) == ([], True)
    assert len(os.read(reader, 65536)) == 65536
    for join in joins:
        join()
    assert sorted(told) == [5, 6]
    assert sorted(os.read(reader, 100)) == sorted(b"firstsecond")
    os.close(reader)
    os.close(writer)


def test_who_waits_for_a_pipe_has_it_though_its_number_is_closed(world: World) -> None:
    reader, writer = os.pipe()
    os.write(writer, bytes(65536))
    told: list[int] = []
    join = world.beside(lambda: told.append(os.write(writer, b"late")))
    time.sleep(SOON)
    os.close(writer)
    assert world.mask(reader) == "IN"
    assert len(os.read(reader, 65536)) == 65536
    join()
    assert told == [4]
    assert (os.read(reader, 100), os.read(reader, 100)) == (b"late", b"")
    os.close(reader)


@pytest.mark.parametrize("poller", ["poll", "select"])
def test_k116_a_poller_that_waits_keeps_the_end_of_a_pipe_open(world: World, poller: str) -> None:
    reader, writer = os.pipe()
    told: list[Any] = []

    def wait() -> None:
        if poller == "select":
            told.append(select.select([reader], [], [], 5))
            return
        asked = select.poll()
        asked.register(reader, select.POLLIN)
        told.append(asked.poll(5000))

    join = world.beside(wait)
    time.sleep(SOON)
    os.close(reader)
    assert (world.mask(writer), os.write(writer, b"nobody reads it")) == ("OUT", 15)
    join()
    assert told == [([reader], [], []) if poller == "select" else [(reader, select.POLLNVAL)]]
    assert outcome(lambda: os.write(writer, b"x")) == "EPIPE"
    os.close(writer)


def test_of_two_numbers_of_a_pipe_the_one_that_is_closed_is_closed_whatever_has_made_it(world: World) -> None:
    reader, writer = os.pipe()
    again = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, 0)
    os.close(again)
    assert (outcome(lambda: os.fstat(again).st_nlink), os.write(writer, b"x")) == ("EBADF", 1)
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize("wait", ["poll", "epoll", "select", "read"])
def test_a_pipe_with_a_name_that_is_open_both_ways_wakes_who_waits(world: World, tmp_path: Path, wait: str) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    both = os.open(path, os.O_RDWR)
    writer = os.open(path, os.O_WRONLY)
    told: list[Any] = []

    def look() -> None:
        if wait == "poll":
            poll = select.poll()
            poll.register(both, select.POLLIN)
            told.append(poll.poll(5000) == [(both, select.POLLIN)])
        elif wait == "epoll":
            with select.epoll() as epoll:
                epoll.register(both, IN)
                told.append(epoll.poll(5) == [(both, IN)])
        elif wait == "select":
            told.append(select.select([both], [], [], 5) == ([both], [], []))
        else:
            told.append(os.read(both, 9) == b"x")

    join = world.beside(look)
    time.sleep(SOON)
    began = time.monotonic()
    os.write(writer, b"x")
    join()
    assert (told, time.monotonic() - began < 4) == ([True], True)
    os.close(writer)
    os.close(both)


def test_a_read_of_a_pipe_waits_for_nothing_that_it_does_not_need(world: World, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    assert (os.read(reader, 0), os.readv(reader, [bytearray()])) == (b"", 0)
    world.gives("EINVAL", os.read, reader, -1)
    number = os.eventfd(0)
    world.gives("EINVAL", os.read, number, 7)
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    named = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(named, True)
    assert (os.read(named, 9), os.splice(named, writer, 9), world.mask(named)) == (b"", 0, "0")  # nobody writes to it
    for fd in (reader, writer, number, named):
        os.close(fd)


def test_a_write_that_waits_ends_with_what_has_gone_when_its_pipe_no_longer_blocks(world: World) -> None:
    reader, writer = os.pipe()
    os.write(writer, bytes(65536))
    told: list[int] = []
    begun: list[bool] = []
    join = world.beside(lambda: (begun.append(True), told.append(os.write(writer, bytes(200_000)))))
    while not begun:
        time.sleep(SOON)
    time.sleep(SOON)
    os.set_blocking(writer, False)
    assert len(os.read(reader, 8192)) == 8192
    join()
    assert (told, os.get_blocking(writer), outcome(lambda: os.write(writer, b"x"))) == ([8192], False, "EAGAIN")
    os.close(reader)
    os.close(writer)


def test_a_number_that_is_closed_stays_so_while_somebody_waits(world: World) -> None:
    reader, writer = os.pipe()
    closed = os.dup(writer)
    os.close(closed)
    told: list[bytes] = []
    join = world.beside(lambda: told.append(os.read(reader, 1)))
    time.sleep(SOON)
    world.gives("EBADF", os.fstat, closed)
    os.write(writer, b"x")
    join()
    os.close(reader)
    os.close(writer)


@pytest.mark.slow
def test_a_poller_that_waits_keeps_an_end_open_whose_number_another_file_takes(world: World) -> None:
    reader, writer = os.pipe()
    begun: list[bool] = []
    join = world.beside(lambda: (begun.append(True), select.select([reader], [], [], SOON * 40)))
    while not begun:
        time.sleep(SOON)
    time.sleep(SOON)
    os.dup2(writer, reader)
    sent = outcome(lambda: os.write(writer, b"nobody reads it"))
    if sent != 15:
        world.skip_if_busy(f"sent {sent}")
    assert sent == 15
    join()
    world.gives("EPIPE", os.write, writer, b"x")
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("others", [0, 1])
def test_a_fifo_that_a_file_object_has_opened_is_waited_for(world: World, tmp_path: Path, others: int) -> None:
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    pipes = [os.pipe() for _ in range(others)]  # whether others are known or not

    async def read(file: Any) -> bytes:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
        data = await asyncio.wait_for(reader.read(9), 5)
        transport.close()
        return data

    told: list[bytes] = []
    file = open(path, "r+b", buffering=0)  # noqa: SIM115  # the transport closes it
    join = world.beside(lambda: told.append(asyncio.run(read(file))))
    time.sleep(SOON)
    writer = os.open(path, os.O_WRONLY)
    os.write(writer, b"late")
    join()
    assert told == [b"late"]
    assert file.closed
    for fd in (writer, *itertools.chain(*pipes)):
        os.close(fd)


def test_a_pipe_that_is_made_larger_tells_who_writes(world: World) -> None:
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
        os.set_blocking(writer, False)
        assert os.write(writer, bytes(10_000)) == 4096
        with select.epoll() as epoll:
            epoll.register(writer, OUT | ET)
            assert epoll.poll(0) == []
            assert fcntl.fcntl(reader, F_SETPIPE_SZ, 16_384) == 16_384
            assert [epoll.poll(0), epoll.poll(0)] == [[(writer, OUT)], []]
        assert os.write(writer, bytes(20_000)) == 12_288
        os.set_blocking(writer, True)
        larger = threading.Thread(target=lambda: (until_the_test_waits(), fcntl.fcntl(reader, F_SETPIPE_SZ, 32_768)))
        larger.start()
        assert os.write(writer, b"x") == 1
        larger.join()
        assert outcome(lambda: fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)) == "EBUSY"
    finally:
        os.close(reader)
        os.close(writer)


def test_who_writes_is_woken_by_another_size_even_without_room(world: World) -> None:
    """It is looked at before what was found ready since, once it is ready itself."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    os.write(writer, bytes(4096))
    other = world.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with select.epoll() as epoll:
        epoll.register(writer, OUT | ET)
        epoll.register(other, OUT)
        assert fcntl.fcntl(writer, F_SETPIPE_SZ, 4096) == 4096
        assert epoll.poll(0, 1) == [(other.fileno(), OUT)]  # and it goes behind the writer, which has no room yet
        os.close(reader)
        assert epoll.poll(0) == [(writer, select.EPOLLERR), (other.fileno(), OUT)]
    os.close(writer)
