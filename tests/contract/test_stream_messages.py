"""What is told beside the bytes of a TCP stream, and where a peek goes on: K-131."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from tests.contract.worlds import PATIENCE, World

SOL, TCP, PEEK = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.MSG_PEEK
DELAYED_NS = 40_000_000  # how long an acknowledgement waits
SO_TIMESTAMP, SO_TIMESTAMPNS, SO_PEEK_OFF, TCP_INQ = 29, 35, 42, 36


def left(count: int) -> list[Any]:
    return [(TCP, TCP_INQ, struct.pack("=i", count))]


def until_times_are_noted(world: World, client: socket.socket, server: socket.socket) -> None:
    """A kernel begins to, a moment after the first socket of the machine has asked; until then it tells none, or that of the read."""
    give_up = time.monotonic() + PATIENCE
    while world.name == "kernel" and time.monotonic() < give_up:
        client.send(b"?")
        world.readable(server)
        arrived = time.time_ns()
        time.sleep(0.001)
        if [stamp for stamp in stamps(server, 1) if stamp <= arrived]:
            return


def stamps(server: socket.socket, size: int, flags: int = 0, option: int = SO_TIMESTAMP) -> list[int]:
    """The times, in ns, that come with a read."""
    answers = server.recvmsg(size, 100, flags)[1]
    assert [kind for _, kind, _ in answers] == [option] * len(answers)
    unit = 1000 if option == SO_TIMESTAMP else 1
    return [seconds * 10**9 + part * unit for seconds, part in (struct.unpack("=qq", each) for _, _, each in answers)]


def moments(world: World, client: socket.socket, server: socket.socket, *parts: bytes) -> list[tuple[int, int]]:
    """Send *parts*, one after another; between which times each has come, with some margin for the units of time."""
    found = []
    for part in parts:
        begin = time.time_ns() - 1000
        client.send(part)
        world.readable(server)
        world.pause()
        found.append((begin, time.time_ns()))
        time.sleep(0.002)
    return found


def test_k131_a_stream_is_told_with_the_time_its_last_byte_came(world: World) -> None:
    listener = world.listener()
    listener.setsockopt(SOL, SO_TIMESTAMP, 1)
    client = world.client(listener)
    server = world.accept(listener)  # it has the option from its listener
    client.setsockopt(TCP, socket.TCP_NODELAY, 1)
    until_times_are_noted(world, client, server)
    for option in (SO_TIMESTAMP, SO_TIMESTAMPNS):
        server.setsockopt(SOL, option, 1)
        assert [each for each in (SO_TIMESTAMP, SO_TIMESTAMPNS) if server.getsockopt(SOL, each)] == [option]
        # What came was acknowledged, though nobody has read it: what comes behind it goes into the same buffer.
        _, (begin, end) = moments(world, client, server, b"ab", b"cd")
        for size, flags in ((1, 0), (0, 0), (9, PEEK), (9, 0)):
            (stamp,) = stamps(server, size, flags, option)
            assert begin <= stamp <= end
        client.send(b"!", socket.MSG_OOB)
        world.gives((b"!", [], socket.MSG_OOB, None), server.recvmsg, 1, 100, socket.MSG_OOB)
        client.send(b"x")
        world.gives((b"x", [], socket.MSG_CTRUNC, None), server.recvmsg, 1, 8)
    server.setsockopt(SOL, SO_TIMESTAMP, 0)
    client.send(b"x")
    world.gives((b"x", [], 0, None), server.recvmsg, 1, 100)


def test_k131_less_than_rcvlowat_has_come_at_a_time_too_and_who_asks_again_is_told_the_same(world: World) -> None:
    client, server = world.pair()
    server.setsockopt(SOL, SO_TIMESTAMP, 1)
    until_times_are_noted(world, client, server)
    server.setsockopt(SOL, socket.SO_RCVLOWAT, 20)
    begin = time.time_ns() - 1000
    client.send(b"few")
    world.pause()
    end = time.time_ns()
    time.sleep(0.002)
    (stamp,) = stamps(server, 9, PEEK)
    assert begin <= stamp <= end
    server.setsockopt(SOL, SO_TIMESTAMP, 1)
    assert stamps(server, 9) == [stamp]


def test_k131_what_waits_for_its_acknowledgement_keeps_its_time(world: World) -> None:
    client, server = world.pair()
    server.setsockopt(SOL, SO_TIMESTAMP, 1)
    client.setsockopt(TCP, socket.TCP_NODELAY, 1)
    until_times_are_noted(world, client, server)
    for _ in range(20):
        client.send(b"question")
        world.gives(b"question", server.recv, 9)
        server.send(b"answer")  # with which its acknowledgements go from now on
        world.gives(b"answer", client.recv, 9)
        times = moments(world, client, server, b"ab", b"cd")
        told = [*stamps(server, 2), *stamps(server, 9)]
        if times[1][1] - times[0][0] < DELAYED_NS:  # else this machine was too busy: it was acknowledged meanwhile
            break
    for stamp, (begin, end) in zip(told, times, strict=True):
        assert begin <= stamp <= end


def test_k131_a_stream_is_told_with_how_many_bytes_are_left(world: World) -> None:
    client, server = world.pair()
    server.setsockopt(TCP, TCP_INQ, 1)
    for refused in (2, -1):
        world.gives("EINVAL", server.setsockopt, TCP, TCP_INQ, refused)
    client.send(b"hello")
    client.send(b"!x", socket.MSG_OOB)
    world.readable(server)
    world.pause()
    world.gives((b"he", left(5), 0, None), server.recvmsg, 2, 100)
    world.gives((b"l", left(5), 0, None), server.recvmsg, 1, 100, PEEK)
    world.gives((b"", left(5), 0, None), server.recvmsg, 0, 100)
    world.gives((b"llo!", left(1), 0, None), server.recvmsg, 9, 100)
    client.send(b"ab")
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|PRI|OUT|RDHUP")
    world.gives((b"a", left(2), 0, None), server.recvmsg, 1, 100)  # the end counts
    world.gives((b"b", left(1), 0, None), server.recvmsg, 1, 100)
    world.gives((b"", left(1), 0, None), server.recvmsg, 1, 100)
    world.gives((b"", [], socket.MSG_CTRUNC, None), server.recvmsg, 1)


def test_k131_a_peek_at_a_stream_goes_on_where_the_last_one_ended(world: World) -> None:
    client, server = world.pair()
    client.send(b"hello")
    client.send(b"world")
    world.readable(server)
    world.pause()
    assert server.getsockopt(SOL, SO_PEEK_OFF) == -1
    server.setsockopt(SOL, SO_PEEK_OFF, 0)
    for answer, size, flags, place in (
        (b"he", 2, PEEK, 2),
        (b"llowo", 5, PEEK, 7),
        (b"hel", 3, 0, 4),  # a read takes it back by what it takes
        (b"rld", 9, PEEK, 7),
        ("EAGAIN", 9, PEEK, 7),
        (b"", 0, PEEK, 7),
        (b"lowor", 5, 0, 2),
        (b"ld", 2, socket.MSG_TRUNC, 0),
    ):
        if flags == socket.MSG_TRUNC:
            assert len(server.recv(size, flags)) == len(answer)
        else:
            world.gives(answer, server.recv, size, flags)
        assert server.getsockopt(SOL, SO_PEEK_OFF) == place
    client.send(b"again")
    world.readable(server)
    server.setsockopt(SOL, SO_PEEK_OFF, 7)  # beyond what is there
    world.gives("EAGAIN", server.recv, 1, PEEK)
    server.setsockopt(SOL, SO_PEEK_OFF, 3)
    world.gives(b"in", server.recv, 9, PEEK | socket.MSG_WAITALL)
    server.settimeout(0.01)
    world.gives("TimeoutError: timed out", server.recv, 9, PEEK)
    server.setsockopt(SOL, SO_PEEK_OFF, -7)
    assert (server.getsockopt(SOL, SO_PEEK_OFF), server.recv(9, PEEK)) == (-7, b"again")
    client.send(b"ab!", socket.MSG_OOB)
    world.ready(server, "IN|PRI|OUT")
    server.setsockopt(SOL, SO_PEEK_OFF, 0)
    client.send(b"cd")
    assert server.recv(7) == b"againab"
    server.recv(2, PEEK)
    assert (server.recv(1), server.getsockopt(SOL, SO_PEEK_OFF)) == (
        b"c",
        1,
    )  # the urgent byte before it does not count
    refused = world.refused()
    refused.setsockopt(SOL, SO_PEEK_OFF, 3)
    world.gives("ECONNREFUSED", refused.connect, (world.ip, 1))  # which disconnects it
    assert refused.getsockopt(SOL, SO_PEEK_OFF) == -1


def test_k131_a_listener_hands_the_place_of_a_peek_on(world: World) -> None:
    listener = world.listener()
    listener.setsockopt(SOL, SO_PEEK_OFF, 2)
    client = world.client(listener)
    client.send(b"hello")
    server = world.accept(listener)
    world.gives(b"llo", server.recv, 9, PEEK)
    assert server.getsockopt(SOL, SO_PEEK_OFF) == 5
    world.gives(b"hello", server.recv, 9)


def test_k131_how_many_bytes_are_left_is_told_beside_an_urgent_byte_too(world: World) -> None:
    client, server = world.pair()
    server.setsockopt(TCP, TCP_INQ, 1)
    client.send(b"hello!", socket.MSG_OOB)
    world.readable(server)
    world.pause()
    world.gives((b"!", left(6), socket.MSG_OOB, None), server.recvmsg, 1, 100, socket.MSG_OOB | PEEK)
    world.gives((b"!", [], socket.MSG_OOB | socket.MSG_CTRUNC, None), server.recvmsg, 1, 0, socket.MSG_OOB)
