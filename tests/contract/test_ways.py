"""Addresses that lead nowhere: on a link that is not there, of another host, of several hosts (K-025, K-034, K-131)."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.test_bind import IP_BIND_ADDRESS_NO_PORT, IP_FREEBIND, SO_BINDTODEVICE, bound
from tests.contract.worlds import World

SO_BINDTOIFINDEX, IP_MTU = 62, 14  # of asm-generic/socket.h, of linux/in.h


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("call", ["bind", "connect", "setsockopt"])
def test_k131_a_link_that_is_not_there_binds_a_socket_too(world: World, kind: int, call: str) -> None:
    """Which then is nowhere: no address can be taken on that link, and none is reached by it."""

    def bound_to_none() -> Any:
        sock = world.socket(socket.AF_INET6, kind)
        if call == "setsockopt":
            sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 99)
        else:
            world.gives("ENODEV" if call == "bind" else "ENETUNREACH", getattr(sock, call), ("fe80::1", 9, 0, 99))
        return sock

    sock = bound_to_none()
    assert sock.getsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX) == 99
    world.gives("ENODEV", sock.getsockopt, socket.SOL_SOCKET, SO_BINDTODEVICE, 16)
    world.gives("EINVAL", sock.connect, ("fe80::1", 9, 0, 1))  # it is another one
    for ip in ("::1", "::", "2001:db8::1", "fe80::1"):
        world.gives("ENETUNREACH", sock.connect, (ip, 9))
    for ip in ("::ffff:127.0.0.1", "::ffff:192.0.2.9", "::ffff:0.0.0.0"):
        world.gives("ENODEV", sock.connect, (ip, 9))
    sock = bound_to_none()
    if call != "connect" or kind == socket.SOCK_STREAM:  # else it has a port
        for ip in ("::1", "2001:db8::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:192.0.2.9", "::ffff:0.0.0.0"):
            world.gives("ENODEV", sock.bind, (ip, 0))
        world.gives(None, sock.bind, ("::", 0))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k034_an_ipv6_only_socket_takes_no_ipv4_address_be_it_anybodys(world: World, kind: int) -> None:
    sock = world.socket(socket.AF_INET6, kind)
    world.gives("EADDRNOTAVAIL", sock.bind, ("::ffff:192.0.2.9", 0))
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    world.gives("EINVAL", sock.bind, ("::ffff:192.0.2.9", 0))


@pytest.mark.parametrize("ip", ["203.0.113.9", "0.0.0.9"])
def test_k025_a_datagram_from_an_address_of_another_goes_to_nobody(world: World, ip: str) -> None:
    """Be they all hosts, before it is asked whether it may, or a group."""
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    sock.bind((ip, 0))
    for target in ("255.255.255.255", "127.255.255.255", "224.0.0.9", world.ip):
        world.gives("ENETUNREACH", sock.sendto, b"x", (target, 9))
        world.gives("ENETUNREACH", sock.connect, (target, 9))


@pytest.mark.parametrize("ip", ["127.255.255.255", "255.255.255.255", "224.0.0.7"])
def test_k025_who_is_bound_to_several_hosts_sends_from_where_it_was_connected_first(world: World, ip: str) -> None:
    hearer = bound(world, "127.0.0.1", kind=socket.SOCK_DGRAM)
    sock = bound(world, ip, kind=socket.SOCK_DGRAM)
    port = hearer.getsockname()[1]
    sock.connect((world.ip, 9))
    assert sock.getsockname()[0] == ip
    for target in ("192.0.2.9", "240.1.1.1"):  # from loopback there is no way
        world.gives("EINVAL", sock.sendto, b"x", (target, 9))
        world.gives("EINVAL", sock.connect, (target, 9))
    other = bound(world, ip, kind=socket.SOCK_DGRAM)
    other.connect(("224.0.0.9", 9))
    assert other.sendto(b"x", ("127.0.0.1", port)) == 1
    world.readable(hearer)
    own = hearer.recvfrom(9)[1][0]
    assert own != "127.0.0.1"
    other.connect(("0.0.0.0", 9))
    assert other.getpeername()[0] == own


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k131_who_is_bound_to_a_link_that_is_not_there_hears_nobody(world: World, kind: int) -> None:
    sock = world.socket(socket.AF_INET6, kind)
    world.gives("ENODEV", sock.bind, ("fe80::1", 0, 0, 99))
    sock.bind(("::", 0))
    if kind == socket.SOCK_STREAM:
        sock.listen(1)
    for family, ip in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
        other = world.socket(family, kind)
        other.connect_ex((ip, sock.getsockname()[1]))
        if kind == socket.SOCK_DGRAM:
            other.send(b"x")
        world.ready(other, "IN|OUT|RDHUP|ERR|HUP" if kind == socket.SOCK_STREAM else "OUT|ERR")
        assert world.error(other) == "ECONNREFUSED"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k131_before_it_is_asked_for_whom_a_link_is_looked_for(world: World, kind: int) -> None:
    sock = world.socket(kind=kind)
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 99)
    for ip in ("255.255.255.255", "224.0.0.9", "127.0.0.1"):
        world.gives("ENODEV", sock.connect, (ip, 9))


def test_k131_a_datagram_over_ipv4_is_looked_at_before_its_way(world: World) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 99)
    world.gives("EINVAL", sock.sendto, b"x", ("::ffff:127.0.0.1", 0))
    world.gives("ENOTSUP", sock.sendto, b"x", socket.MSG_OOB, ("::ffff:127.0.0.1", 9))
    world.gives("ENODEV", sock.sendto, b"x", ("::ffff:127.0.0.1", 9))


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_k131_a_connected_socket_loses_its_way_with_its_link(world: World, ip: str) -> None:
    sock = world.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    peer = bound(world, ip, family=sock.family, kind=socket.SOCK_DGRAM)
    sock.connect(peer.getsockname())
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, 99)
    answer = "ENODEV" if "." in ip else "ENETUNREACH"
    world.gives(answer, sock.send, b"x")
    world.gives(answer, sock.send, b"x", socket.MSG_MORE)
    world.gives(answer, sock.sendto, b"x", peer.getsockname())
    if "." in ip:
        world.gives("ENOTCONN", sock.getsockopt, socket.IPPROTO_IP, IP_MTU)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k025_who_fails_to_be_bound_anew_has_no_address_left(world: World, kind: int) -> None:
    """It has one without a port, by IP_BIND_ADDRESS_NO_PORT."""
    other = bound(world, world.ip, kind=kind)
    sock = bound(world, world.other_ip, 0, (socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT), kind=kind)
    assert sock.getsockname() == (world.other_ip, 0)
    world.gives("EADDRINUSE", sock.bind, other.getsockname())
    assert sock.getsockname() == ("0.0.0.0", 0)
    world.gives("EADDRNOTAVAIL", sock.bind, ("192.0.2.9", 0))
    sock.bind((world.other_ip, 0))
    world.gives("EADDRNOTAVAIL", sock.bind, ("192.0.2.9", 0))
    assert sock.getsockname() == (world.other_ip, 0)  # which is found before anything is taken


def test_k086_nobody_hears_what_comes_from_loopback_to_a_group_of_ipv6(world: World) -> None:
    """It went out by another link, and ::1 is no address there: RFC 4291, 2.5.3."""
    six = (socket.AF_INET6, socket.SOCK_DGRAM)
    hearer = bound(world, "::", family=six[0], kind=six[1])
    target = ("ff02::1", hearer.getsockname()[1])
    free = world.socket(*six)
    if outcome(lambda: free.sendto(b"free", target)) != 4:
        pytest.skip("this machine has loopback alone")
    bound(world, "::1", family=six[0], kind=six[1]).sendto(b"from loopback", target)
    free.sendto(b"again", target)
    world.gives(b"free", hearer.recv, 99)
    world.gives(b"again", hearer.recv, 99)
