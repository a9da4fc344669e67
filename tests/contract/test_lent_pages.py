"""K-133: what goes into a socket out of a file or a pipe: a Unix stream borrows the pages, and a pipe gives sixteen places at once."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

F_SETPIPE_SZ = 1031
PAGE = 4096
PLENTY = 1 << 20
HEAD = 768  # what a buffer of a Unix stream costs beside its bytes


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_DIRECT)
    fcntl.fcntl(writer, F_SETPIPE_SZ, 64 * PAGE)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def unix_pair(world: World, kind: int = socket.SOCK_STREAM, room: int = 0) -> tuple[Any, Any]:
    here, there = (world.keep(each) for each in socket.socketpair(socket.AF_UNIX, kind))
    here.setblocking(False)
    there.setblocking(False)
    if room:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
    return here, there


@pytest.mark.parametrize("size", [1, 100, 4095, 4097, 10000, 32769, 65536, 100000])
def test_k133_a_file_costs_a_unix_stream_its_bytes_and_a_head_for_each_sixteen_pages(
    world: World, tmp_path: Path, size: int
) -> None:
    here, there = unix_pair(world)
    (tmp_path / "file").write_bytes(b"F" * size)
    with (tmp_path / "file").open("rb") as file:
        assert os.sendfile(here.fileno(), file.fileno(), 0, PLENTY) == size
    whole = size + HEAD * -(-size // 65536)
    assert world.ioctl(here, "SIOCOUTQ") == whole
    there.recv(1)
    assert world.ioctl(here, "SIOCOUTQ") == whole - (HEAD + 1 if size == 1 else 0)


@pytest.mark.parametrize("room", [1, 5000, 20000])
def test_k133_of_a_file_sixteen_pages_go_into_a_unix_stream_that_has_any_room(
    world: World, tmp_path: Path, room: int
) -> None:
    here, there = unix_pair(world, room=room)
    (tmp_path / "file").write_bytes(b"F" * 100000)
    with (tmp_path / "file").open("rb") as file:
        assert os.sendfile(here.fileno(), file.fileno(), 0, 100000) == 65536
        world.gives("EAGAIN", os.sendfile, here.fileno(), file.fileno(), 0, 100000)
    assert len(there.recv(PLENTY)) == 65536
    # By a send no more goes than fits.
    assert here.send(bytes(100000)) < 65536


@pytest.mark.parametrize("size", [1, 100, 4097, 65536])
def test_k133_what_lies_in_a_pipe_costs_a_unix_stream_its_bytes_and_a_head(
    world: World, pipe: tuple[int, int], size: int
) -> None:
    reader, writer = pipe
    here, _ = unix_pair(world, room=1)
    os.write(writer, b"P" * size)
    assert os.splice(reader, here.fileno(), PLENTY) == size
    assert world.ioctl(here, "SIOCOUTQ") == size + HEAD


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
@pytest.mark.parametrize("count", [PLENTY, 18])
def test_k133_of_many_places_of_a_pipe_sixteen_make_a_message(
    world: World, pipe: tuple[int, int], kind: int, count: int
) -> None:
    reader, writer = pipe
    here, there = unix_pair(world, kind)
    for _ in range(20):
        os.write(writer, b"p")
    assert os.splice(reader, here.fileno(), count) == min(count, 20)
    assert there.recv(PLENTY) == b"p" * 16
    assert there.recv(PLENTY) == b"p" * (min(count, 20) - 16)
    world.gives("EAGAIN", there.recv, PLENTY)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize(("places", "count"), [(15, 99), (16, 16), (16, 99)])
def test_k133_a_splice_that_fills_sixteen_places_and_asked_for_more_says_that_there_is_more(
    world: World, pipe: tuple[int, int], kind: str, places: int, count: int
) -> None:
    reader, writer = pipe
    if kind == "tcp":
        here, there = world.pair()
    else:
        here, there = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
        there.bind((world.ip, 0))
        here.connect(there.getsockname())
    for _ in range(places):
        os.write(writer, b"p")
    assert os.splice(reader, here.fileno(), count) == places
    world.pause()
    assert outcome(lambda: there.recv(PLENTY)) == ("EAGAIN" if (places, count) == (16, 99) else b"p" * places)


def test_k133_a_message_of_many_places_that_finds_no_room_stays_in_the_pipe(
    world: World, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    here, there = unix_pair(world, socket.SOCK_DGRAM)
    while outcome(lambda: here.send(b"x")) == 1:
        pass
    there.recv(1)
    for _ in range(20):
        os.write(writer, b"p")
    assert os.splice(reader, here.fileno(), PLENTY) == 16
    assert os.read(reader, 9) == b"p"
    world.gives("EAGAIN", lambda: os.splice(reader, here.fileno(), PLENTY, flags=os.SPLICE_F_NONBLOCK))
