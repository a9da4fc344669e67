"""What the queue of a UDP socket holds while it is read: K-088."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.contract.test_udp import datagram
from tests.contract.worlds import World

SO_RXQ_OVFL = 40


def numbered(first: int, count: int) -> list[bytes]:
    """Datagrams of 100 bytes, of which 19 fit 16,384."""
    return [bytes([number]) * 100 for number in range(first, first + count)]


@pytest.mark.parametrize(
    ("look", "seen"),
    [
        # 832 bytes a piece; a quarter of the room is 4096, which the fifth read is over.
        pytest.param("nothing", [*range(5, 19), 104], id="a-quarter-is-given-back-at-once"),
        # Who looks at the first one takes over all that is there, which is that one: and with it, all is read.
        pytest.param("the first", [*range(5, 19), 100], id="all-that-the-reader-came-upon-is-read"),
    ],
)
def test_k088_room_comes_back_by_quarters(world: World, look: str, seen: list[int]) -> None:
    reader, sender = datagram(world), datagram(world)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sender.connect(reader.getsockname())
    pieces = numbered(0, 25)
    sender.send(pieces[0])
    world.readable(reader)
    if look == "the first":
        assert reader.recv(1, socket.MSG_PEEK) == b"\0"
    for piece in pieces[1:]:
        sender.send(piece)
    for late in numbered(100, 5):
        assert len(reader.recv(200)) == 100
        sender.send(late)
    got = []
    while world.mask(reader) == "IN|OUT":
        got.append(reader.recv(200)[0])
    assert got == seen


def test_k088_what_was_dropped_is_told_beside_what_comes_later(world: World) -> None:
    reader, sender = datagram(world), datagram(world)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # 2304 bytes: two datagrams of 832
    sender.connect(reader.getsockname())
    for _ in range(4):
        sender.send(b"x")
    reader.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    sender.send(b"x")
    for _ in range(2):
        world.readable(reader)
        assert reader.recvmsg(9, 100)[1] == []
    for dropped in (3, 5):
        for _ in range(4):
            sender.send(b"x")
        for _ in range(2):
            world.readable(reader)
            assert reader.recvmsg(9, 100)[1] == [(socket.SOL_SOCKET, SO_RXQ_OVFL, struct.pack("I", dropped))]


@pytest.mark.parametrize(
    ("parts", "fitting"),
    [
        # The first part has a buffer, and later ones lie in pages beside it: 832 + 100. Once half of the 4608 bytes are
        # used, what the rest of the buffer has room for is moved there.
        pytest.param((100, 100), 5, id="moved-into-the-buffer"),
        pytest.param((100, 200), 4, id="left-in-pages"),
        pytest.param((300,), 3, id="in-one"),  # 1280
    ],
)
def test_k088_what_is_collected_is_counted_as_it_lies(world: World, parts: tuple[int, ...], fitting: int) -> None:
    reader, sender = datagram(world), datagram(world)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
    sender.connect(reader.getsockname())
    for _ in range(fitting + 5):
        for part in parts[:-1]:
            sender.send(bytes(part), socket.MSG_MORE)
        sender.send(bytes(parts[-1]))
    for _ in range(fitting):
        world.gives(bytes(sum(parts)), reader.recv, 999)
    world.gives("EAGAIN", reader.recv, 999)


def test_k088_what_is_collected_fills_a_small_send_buffer(world: World) -> None:
    reader, sender = datagram(world), datagram(world)
    sender.connect(reader.getsockname())
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # 4608
    sender.send(bytes(600), socket.MSG_MORE)  # in 1280
    sender.send(bytes(1022), socket.MSG_MORE)
    assert world.mask(sender) == "OUT"
    sender.send(b"x", socket.MSG_MORE)  # the half, less 1
    assert world.mask(sender) == "0"
    sender.send(b"")
    assert world.mask(sender) == "OUT"
