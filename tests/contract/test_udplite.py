"""UDP-Lite is UDP with ports of its own: K-084 and K-130."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

UDPLITE, SEND_COVERAGE, RECV_COVERAGE = 136, 10, 11
IP_RECVERR, IP_RECVORIGDSTADDR = 11, 20


def lite(world: World, family: int = socket.AF_INET) -> Any:
    return world.socket(family, socket.SOCK_DGRAM, UDPLITE)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_k084_a_port_of_udp_lite_is_nobodys_of_udp(world: World, family: int) -> None:
    ip = world.ip if family == socket.AF_INET else "::1"
    here, plain, there = lite(world, family), world.socket(family, socket.SOCK_DGRAM), lite(world, family)
    here.bind((ip, 0))
    name = here.getsockname()
    plain.bind(name)
    assert plain.getsockname() == name
    world.gives("EADDRINUSE", there.bind, name)
    there.connect(name)
    assert there.getpeername() == name
    there.send(b"lite")
    own = there.getsockname()
    assert 32768 <= own[1] <= 60_999
    world.gives((b"lite", own), here.recvfrom, 9)
    world.gives("EAGAIN", plain.recv, 9)
    here.sendto(b"back", own)
    world.gives((b"back", [], 0, name), there.recvmsg, 9)
    here.close()
    there.send(b"nobody")
    world.ready(there, "OUT|ERR")
    world.gives("ECONNREFUSED", there.recv, 9)
    world.gives("EAGAIN", plain.recv, 9)


def test_k084_a_port_of_udp_lite_that_was_given_back_is_not_the_next_one_given(world: World) -> None:
    ports = set()
    for _ in range(5):
        sock = lite(world)
        sock.bind((world.ip, 0))
        ports.add(sock.getsockname()[1])
        sock.close()
    assert len(ports) > 3  # a kernel draws them: two of five are hardly ever one


def test_k084_what_is_told_beside_a_datagram_of_udp_lite_names_its_port(world: World) -> None:
    here, there = lite(world), lite(world)
    here.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
    here.bind((world.ip, 0))
    name = here.getsockname()
    there.sendto(b"x", name)
    world.readable(here)
    ((_, _, told),) = here.recvmsg(9, 99)[1]
    assert told[:8] == struct.pack("=H", socket.AF_INET) + name[1].to_bytes(2, "big") + socket.inet_aton(world.ip)
    there.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    here.close()
    there.sendto(b"y", name)
    world.ready(there, "OUT|ERR")
    assert there.recvmsg(9, 99, socket.MSG_ERRQUEUE)[3] == name


def test_k130_udp_lite_is_a_protocol_of_datagrams(world: World) -> None:
    sock = lite(world)
    assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) == UDPLITE
    assert world.keep(socket.socket(fileno=sock.detach())).proto == UDPLITE
    world.gives("EPROTONOSUPPORT", socket.socket, socket.AF_INET, socket.SOCK_STREAM, UDPLITE)


def test_k131_udp_lite_copies_what_it_sends(world: World) -> None:
    for value, refused in ((0, "ENOTSUP"), (1, "ENOTSUP"), (2, "ENOTSUP"), (b"1", "EINVAL")):
        world.gives(refused, lite(world).setsockopt, socket.SOL_SOCKET, 60, value)  # SO_ZEROCOPY


def test_k131_the_coverage_of_a_checksum_is_kept(world: World) -> None:
    for value, answer in ((0, 0), (1, 8), (8, 8), (20, 20), (70_000, 65535), (-1, 8), (b"a", "EINVAL"), (bytes(4), 0)):
        for level in (socket.IPPROTO_UDP, UDPLITE):
            sock = lite(world)
            refused = outcome(lambda: sock.setsockopt(level, SEND_COVERAGE, value))  # noqa: B023 - called at once
            assert (refused or sock.getsockopt(level, SEND_COVERAGE)) == answer
            assert sock.getsockopt(level, RECV_COVERAGE) == 0
    world.gives(
        "ENOPROTOOPT",
        world.socket(kind=socket.SOCK_DGRAM).setsockopt,
        socket.IPPROTO_UDP,
        SEND_COVERAGE,
        1,
    )


# What the sender's checksum covers, what the receiver insists on (None: nothing), and whether 10 bytes get there.
COVERED = [
    (20, 0, True),  # the header counts: this is all
    (17, 0, False),  # who insists on 0 bytes insists on all
    (8, 0, False),
    (12, 13, False),
    (12, 12, True),
    (12, 1, True),
    (18, 100, True),
    (0, 100, True),
    (70_000, 0, True),
    (8, None, True),
]


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("covers", "insists", "arrives"), COVERED)
@pytest.mark.parametrize("parts", [1, 2])
def test_k131_what_is_covered_less_than_the_receiver_insists_on_is_dropped(
    world: World, covers: int, insists: int | None, arrives: bool, ip: str, parts: int
) -> None:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    hop_limit = (socket.IPPROTO_IPV6, 16) if ":" in ip else (socket.IPPROTO_IP, socket.IP_TTL)  # IPV6_UNICAST_HOPS
    told = (socket.IPPROTO_IPV6, 51) if ":" in ip else (socket.IPPROTO_IP, 12)  # IPV6_RECVHOPLIMIT, IP_RECVTTL
    here, there = lite(world, family), lite(world, family)
    here.bind((ip, 0))
    there.connect(here.getsockname())
    here.setsockopt(*told, 1)
    if insists is not None:
        here.setsockopt(UDPLITE, RECV_COVERAGE, insists)
    there.setsockopt(UDPLITE, SEND_COVERAGE, covers)
    there.setsockopt(*hop_limit, 9)
    if parts == 2:
        there.send(b"01234", socket.MSG_MORE)
    there.send(b"0123456789"[-10 // parts :])
    there.setsockopt(UDPLITE, SEND_COVERAGE, 0)
    there.send(b"all")
    for data in (b"0123456789",) * arrives + (b"all",):
        world.readable(here)
        payload, ((_, _, limit),), _, _ = here.recvmsg(99, 99)
        assert (payload, limit[0]) == (data, 9)
    world.gives("EAGAIN", here.recv, 9)


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_k131_udp_lite_goes_in_no_segments_and_never_without_a_checksum(world: World, ip: str) -> None:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    here, there = lite(world, family), lite(world, family)
    here.bind((ip, 0))
    there.connect(here.getsockname())
    segments = [(socket.IPPROTO_UDP, 103, struct.pack("=H", 2))]  # UDP_SEGMENT
    world.gives("EIO", there.sendmsg, [b"hello"], segments)
    assert there.sendmsg([b"hello"], [(socket.IPPROTO_UDP, 103, bytes(2))]) == 5
    world.gives(b"hello", here.recv, 9)
    there.setsockopt(socket.IPPROTO_UDP, 101, 1)  # UDP_NO_CHECK6_TX
    there.send(b"checked")
    world.gives(b"checked", here.recv, 9)
    there.setsockopt(socket.IPPROTO_UDP, 101, 0)
    for level in (socket.IPPROTO_UDP, UDPLITE):
        there.setsockopt(level, 103, 3)
        world.gives("EIO", there.send, b"hello")
        there.setsockopt(level, 103, 0)
