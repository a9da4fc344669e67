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
