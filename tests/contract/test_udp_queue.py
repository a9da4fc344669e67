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
