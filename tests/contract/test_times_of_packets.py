"""What SO_TIMESTAMPING and the second numbers of options with times in them (``..._NEW``) do: K-131."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import PATIENCE, World

SOL = socket.SOL_SOCKET
TIMESTAMP, TIMESTAMPNS, TIMESTAMPING = 29, 35, 37
TIMESTAMP_NEW, TIMESTAMPNS_NEW, TIMESTAMPING_NEW, RCVTIMEO_NEW, SNDTIMEO_NEW = 63, 64, 65, 66, 67
RX_HARDWARE, RX_SOFTWARE, SOFTWARE, RAW_HARDWARE = 1 << 2, 1 << 3, 1 << 4, 1 << 6
OPT_ID, OPT_TSONLY, OPT_STATS, BIND_PHC, OPT_ID_TCP = 1 << 7, 1 << 11, 1 << 12, 1 << 15, 1 << 16
KINDS = (TIMESTAMP, TIMESTAMPNS, TIMESTAMP_NEW, TIMESTAMPNS_NEW, TIMESTAMPING, TIMESTAMPING_NEW)


def ends(world: World, kind: str) -> tuple[Any, Any]:
    if kind == "tcp":
        return world.pair()
    if kind == "udp":
        one, other = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
        other.bind((world.ip, 0))
        one.connect(other.getsockname())
        return one, other
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM if kind == "unix" else socket.SOCK_DGRAM)
    for end in pair:
        world.keep(end).setblocking(False)
    return pair


def told(world: World, one: Any, other: Any) -> list[tuple[int, int]]:
    """Which messages come beside what *one* sends, and how long they are; each has a time in its first 16 bytes."""
    before = int(time.time())
    one.send(b"x")
    world.readable(other)
    data, messages, _, _ = other.recvmsg(9, 200)
    assert data == b"x"
    for level, _, value in messages:
        assert level == SOL
        assert before <= struct.unpack_from("=q", value)[0] <= int(time.time())
        assert not any(value[16:])
    return [(kind, len(value)) for _, kind, value in messages]


def told_soon(world: World, one: Any, other: Any, wanted: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """As `told`; a kernel begins to note times a moment after the first has asked for them."""
    deadline = time.monotonic() + PATIENCE
    while (answer := told(world, one, other)) != wanted and world.name == "kernel" and time.monotonic() < deadline:
        time.sleep(0.001)
    return answer


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix", "unix datagrams"])
def test_k131_the_time_of_a_packet_is_told_by_the_number_that_was_set_last(world: World, kind: str) -> None:
    one, other = ends(world, kind)
    silent = kind == "unix"  # a stream of Unix tells no time
    both = RX_SOFTWARE | SOFTWARE
    for option, value, shown, beside in (
        (TIMESTAMP_NEW, 1, (0, 0, 1, 0, 0, 0), [(TIMESTAMP_NEW, 16)]),
        (TIMESTAMPNS_NEW, 1, (0, 0, 1, 1, 0, 0), [(TIMESTAMPNS_NEW, 16)]),
        (TIMESTAMPNS, 7, (0, 1, 0, 0, 0, 0), [(TIMESTAMPNS, 16)]),
        (TIMESTAMPING_NEW, both, (0, 0, 1, 1, both, both), [(TIMESTAMPNS_NEW, 16), (TIMESTAMPING_NEW, 48)]),
        (TIMESTAMP, 1, (1, 0, 0, 0, both, 0), [(TIMESTAMP, 16), (TIMESTAMPING, 48)]),
        (TIMESTAMPING, 0, (1, 0, 0, 0, 0, 0), [(TIMESTAMP, 16)]),
        (TIMESTAMPING_NEW, 0, (0, 0, 1, 0, 0, 0), [(TIMESTAMP_NEW, 16)]),
        (TIMESTAMP, 0, (0, 0, 0, 0, 0, 0), []),
        (TIMESTAMPING, RX_SOFTWARE, (0, 0, 0, 0, RX_SOFTWARE, 0), []),
    ):
        other.setsockopt(SOL, option, value)
        assert tuple(other.getsockopt(SOL, each) for each in KINDS) == shown
        wanted = [] if silent else beside
        assert told_soon(world, one, other, wanted) == wanted


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_k131_times_are_told_where_they_are_noted_and_asked_for(world: World, kind: str) -> None:
    one, other = ends(world, kind)
    other.setsockopt(SOL, TIMESTAMPING, SOFTWARE | RX_SOFTWARE)
    assert told_soon(world, one, other, [(TIMESTAMPING, 48)]) == [(TIMESTAMPING, 48)]
    for flags in (0, RX_SOFTWARE, RX_HARDWARE | RAW_HARDWARE):
        other.setsockopt(SOL, TIMESTAMPING, flags)
        assert told(world, one, other) == []


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix"])
def test_k131_the_flags_of_timestamping(world: World, kind: str) -> None:
    sock = ends(world, kind)[0] if kind != "tcp" else world.socket()
    fresh = kind == "tcp"  # an id counts bytes from somewhere
    for value, answer in (
        (1, None),
        (RX_HARDWARE, None),
        (RAW_HARDWARE | 1 << 5, None),
        (OPT_ID, "EINVAL" if fresh else None),
        (OPT_ID | OPT_ID_TCP, "EINVAL" if fresh else None),
        (OPT_ID_TCP, "EINVAL"),
        (OPT_TSONLY, None),
        (OPT_STATS, "EINVAL"),
        (OPT_STATS | OPT_TSONLY, None),
        (1 << 13, None),
        (1 << 14, None),
        (BIND_PHC, "ENOTSUP"),
        (1 << 17, None),
        (1 << 19, "EINVAL"),
        (-1, "EINVAL"),
        (bytes(3), "EINVAL"),
        (struct.pack("=ii", RX_SOFTWARE, 5), None),
        (struct.pack("=iii", SOFTWARE, 0, 0), None),
    ):
        before = sock.getsockopt(SOL, TIMESTAMPING)
        assert outcome(lambda: sock.setsockopt(SOL, TIMESTAMPING, value)) == answer  # noqa: B023
        number = value if isinstance(value, int) else struct.unpack_from("=i", value)[0] if len(value) > 3 else 0
        kept = before if answer else number
        assert sock.getsockopt(SOL, TIMESTAMPING) == kept
        assert sock.getsockopt(SOL, TIMESTAMPING, 100) == struct.pack("=ii", kept, 0)


@pytest.mark.parametrize("kind", ["udp", "tcp", "unix"])
def test_k120_a_time_has_two_numbers(world: World, kind: str) -> None:
    sock = ends(world, kind)[1]
    for one, other in ((socket.SO_RCVTIMEO, RCVTIMEO_NEW), (socket.SO_SNDTIMEO, SNDTIMEO_NEW)):
        for setter in (one, other):
            for seconds in (0, 2):
                value = struct.pack("=qq", seconds, 8000)
                sock.setsockopt(SOL, setter, value)
                assert sock.getsockopt(SOL, one, 16) == sock.getsockopt(SOL, other, 16) == value
                assert sock.getsockopt(SOL, one) == sock.getsockopt(SOL, other) == seconds
        world.gives("EDOM", sock.setsockopt, SOL, other, struct.pack("=qq", 0, 1_000_000))
        world.gives("EINVAL", sock.setsockopt, SOL, other, bytes(8))
    sock.setsockopt(SOL, RCVTIMEO_NEW, struct.pack("=qq", 0, 8000))
    sock.setblocking(True)
    world.gives("EAGAIN", sock.recv, 1)
