"""What TCP_MAXSEG, TCP_WINDOW_CLAMP and IP_MTU show once the connection that they were about has changed, or is over."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from tests.contract.worlds import World

SOL, TCP, IP, IPV6 = socket.SOL_SOCKET, socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6
MAXSEG, CLAMP, MTU = (TCP, socket.TCP_MAXSEG), (TCP, socket.TCP_WINDOW_CLAMP), (IP, 14)
OPTIONS = {
    "SO_RCVBUF": (SOL, socket.SO_RCVBUF, 4096),
    "SO_SNDBUF": (SOL, socket.SO_SNDBUF, 8192),
    "SO_RCVLOWAT": (SOL, socket.SO_RCVLOWAT, 3),
    "TCP_WINDOW_CLAMP": (TCP, socket.TCP_WINDOW_CLAMP, 70_000),
    "TCP_NOTSENT_LOWAT": (TCP, socket.TCP_NOTSENT_LOWAT, 10),
    "IP_OPTIONS": (IP, socket.IP_OPTIONS, b"\1" * 4),
}


DEAD = "IN|OUT|RDHUP|ERR|HUP"


@pytest.mark.parametrize("kind", ["tcp", "udp", "udp by a mapped address"])
@pytest.mark.parametrize(("before", "number"), [(0, 256), (16, 272), (0, -256), (16, struct.pack("i", 272))])
def test_k131_a_tos_beyond_a_byte_is_another_one_each_time(world: World, kind: str, before: int, number: Any) -> None:
    """It is compared as it is given, and kept as far as it fits: the route is forgotten, and SO_PRIORITY set."""
    if kind == "tcp":
        sock, _ = world.pair()
    else:
        mapped = kind != "udp"
        sock = world.socket(socket.AF_INET6 if mapped else socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("::ffff:" * mapped + world.ip, 9))
    sock.setsockopt(IP, socket.IP_TOS, before)
    sock.setsockopt(SOL, socket.SO_PRIORITY, 1)
    sock.send(b"x")
    if kind != "udp by a mapped address":  # which names its peer each time
        assert sock.getsockopt(*MTU) == 65535
    sock.setsockopt(IP, socket.IP_TOS, before)  # no other: nothing changes
    assert sock.getsockopt(SOL, socket.SO_PRIORITY) == 1
    for _ in range(2):
        sock.setsockopt(IP, socket.IP_TOS, number)
        world.gives("ENOTCONN", sock.getsockopt, *MTU)
        assert sock.getsockopt(IP, socket.IP_TOS) == before
        assert sock.getsockopt(SOL, socket.SO_PRIORITY) == {0: 0, 16: 6}[before]
        sock.setsockopt(SOL, socket.SO_PRIORITY, 1)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("who", ["sender", "reader"])
def test_k131_an_option_that_is_set_later_leaves_the_segment_as_it_has_grown(world: World, who: str, name: str) -> None:
    client, server = world.pair()
    client.send(bytes(1000))
    world.readable(server)
    world.acknowledge(server)
    assert client.getsockopt(*MAXSEG) == 35_328
    (client if who == "sender" else server).setsockopt(*OPTIONS[name])
    assert client.getsockopt(*MAXSEG) == 35_328
    world.reset(server)
    world.ready(client, DEAD)
    assert client.getsockopt(*MAXSEG) == 35_328


def test_k131_so_rcvbuf_of_a_refused_socket_does_not_change_the_limit_of_its_window(world: World) -> None:
    sock = world.refused()
    shown = sock.getsockopt(*CLAMP)
    sock.setsockopt(SOL, socket.SO_RCVBUF, 5000)
    assert sock.getsockopt(*CLAMP) == shown == 67_107_840


def test_k131_who_connects_again_knows_its_route_again(world: World) -> None:
    sock = world.refused()
    assert sock.getsockopt(*MTU) == 65_535
    sock.setsockopt(IP, socket.IP_TOS, 8)
    world.gives("ENOTCONN", sock.getsockopt, *MTU)
    world.gives("ECONNREFUSED", sock.connect, (world.ip, world.dead_port()))
    world.gives("EINPROGRESS", sock.connect, (world.ip, world.dead_port()))
    world.ready(sock, DEAD)
    assert sock.getsockopt(*MTU) == 65_535


def test_k131_who_has_connected_to_ipv4_once_has_its_mtu_for_ipv6(world: World) -> None:
    sock, listener = world.socket(socket.AF_INET6), world.listener(ip="::1")
    world.gives("EINPROGRESS", sock.connect, (f"::ffff:{world.ip}", world.dead_port()))
    world.ready(sock, DEAD)
    world.gives("ECONNREFUSED", sock.connect, listener.getsockname())
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    assert sock.getsockopt(*MTU) == 65_535


@pytest.mark.parametrize("refused", [True, False])
def test_k131_tcp_maxseg_of_a_dead_socket_has_no_part_in_what_its_connection_had(world: World, refused: bool) -> None:
    if refused:
        sock = world.refused()
    else:
        sock, server = world.pair()
        sock.send(bytes(1000))
        world.readable(server)
        world.acknowledge(server)
        world.reset(server)
        world.ready(sock, DEAD)
    sock.setsockopt(*MAXSEG, 600)
    assert sock.getsockopt(*MAXSEG) == 600
    world.gives("ECONNREFUSED" if refused else "ECONNRESET", sock.connect, ("", 0))
    assert sock.getsockopt(*MAXSEG) == (524 if refused else 35_328)


@pytest.mark.parametrize("value", [b"", bytes(4), b"\1" * 40])
def test_k131_ip_options_make_the_segment_of_a_fresh_socket_small(world: World, value: bytes) -> None:
    sock = world.socket()
    sock.setsockopt(IP, socket.IP_OPTIONS, value)
    assert sock.getsockopt(*MAXSEG) == 68
    other = world.socket(socket.AF_INET6)
    other.setsockopt(IP, socket.IP_OPTIONS, value)
    assert other.getsockopt(*MAXSEG) == 536


@pytest.mark.parametrize(("asks", "noted", "value"), [(49, 17, 1), (2, 17, 1), (51, 18, 64), (8, 18, 64)])
def test_k131_who_asks_for_the_link_or_the_hops_of_packets_keeps_the_last_ones(
    world: World, asks: int, noted: int, value: int
) -> None:
    """They become IPV6_MULTICAST_IF and IPV6_MULTICAST_HOPS, of a stream too."""
    early, late = world.socket(socket.AF_INET6), world.socket(socket.AF_INET6)
    usual = early.getsockopt(IPV6, noted)
    early.setsockopt(IPV6, asks, 1)
    for sock in (early, late):
        listener = world.listener(ip="::1")
        sock.connect_ex(listener.getsockname())
        world.ready(sock, "OUT")
        server = world.accept(listener)
        sock.setsockopt(IPV6, asks, 1)
        assert sock.getsockopt(IPV6, noted) == (value if sock is early else usual)
        server.send(b"x")
        world.readable(sock)
        assert sock.getsockopt(IPV6, noted) == value
        sock.setsockopt(IPV6, asks, 0)
        world.reset(server)
        world.ready(sock, DEAD)
        world.gives("ECONNRESET", sock.connect, ("::", 0))
        assert sock.getsockopt(IPV6, noted) == value


@pytest.mark.parametrize("length", [4, 40])
@pytest.mark.parametrize("who", ["sender", "reader"])
def test_k131_ip_options_take_their_room_of_the_largest_segments_only(world: World, who: str, length: int) -> None:
    client, server = world.pair()
    (client if who == "sender" else server).setsockopt(IP, socket.IP_OPTIONS, b"\1" * length)
    client.send(bytes(1000))
    world.readable(server)
    world.acknowledge(server)
    assert [end.getsockopt(*MAXSEG) for end in (client, server)] == [35_328, 32_768]
    assert [end.getsockopt(*CLAMP) for end in (client, server)] == [65_536, 71_168]
    for _ in range(20):
        client.send(bytes(60_000))
        world.readable(server)
        world.pause()
        server.recv(1_000_000)
    assert client.getsockopt(*MAXSEG) == 65_483 - (length if who == "sender" else 0)


@pytest.mark.parametrize("size", [0, 1000])
def test_k131_the_room_for_segments_of_another_congestion_control_is_shown_on_the_dead(world: World, size: int) -> None:
    listener = world.listener()
    client = world.client(listener, options={(TCP, socket.TCP_CONGESTION): b"reno"})
    server = world.accept(listener)
    client.send(bytes(size))
    assert client.getsockopt(SOL, socket.SO_SNDBUF) == 2_626_560
    world.reset(server)
    world.ready(client, DEAD)
    assert client.getsockopt(SOL, socket.SO_SNDBUF) == 2_626_560
