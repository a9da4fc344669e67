"""TCP_SAVE_SYN and TCP_SAVED_SYN: K-131."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import Any

import pytest

from tests.contract.worlds import World

TCP, SAVE_SYN, SAVED_SYN = socket.IPPROTO_TCP, 27, 28
SYN = 2


def accepted(world: World, how: int, ip: str | None = None) -> tuple[Any, Any]:
    listener = world.listener(ip=ip)
    listener.setsockopt(TCP, SAVE_SYN, how)
    client = world.client(listener)
    return client, world.accept(listener)


@pytest.mark.parametrize("ip", [None, "::1"])
def test_k131_a_saved_syn_is_read_once(world: World, ip: str | None) -> None:
    client, server = accepted(world, 1, ip)
    size = 60 if ip is None else 80
    assert server.getsockopt(TCP, SAVE_SYN) == 1
    for room in (0, 10, size - 1):
        world.gives("EINVAL", server.getsockopt, TCP, SAVED_SYN, room)
    head = server.getsockopt(TCP, SAVED_SYN, 1024)
    assert len(head) == size
    assert server.getsockopt(TCP, SAVED_SYN, 1024) == b""
    server.setsockopt(TCP, SAVE_SYN, 2)
    assert server.getsockopt(TCP, SAVED_SYN, 1024) == b""
    (here, there) = (name[:2] for name in (client.getsockname(), server.getsockname()))
    source, target = ip_address(here[0]).packed, ip_address(there[0]).packed
    if ip is None:
        assert (head[0], head[2:4], head[6:10]) == (0x45, bytes((0, 60)), b"\x40\0\x40\x06")
        assert head[12:20] == source + target
    else:
        assert (head[0] >> 4, head[4:8], head[8:40]) == (6, bytes((0, 40, 6, 64)), source + target)
    tcp = head[-40:]
    assert struct.unpack_from("!HH", tcp) == (here[1], there[1])
    acknowledged, words, flags, window = struct.unpack_from("!IBBH", tcp, 8)
    assert (acknowledged, words >> 4, flags, window) == (0, 10, SYN, 65495 if ip is None else 65476)
    assert tcp[20:24] == struct.pack("!BBH", 2, 4, 65495 if ip is None else 65476)
    assert (tcp[24:28], tcp[32:]) == (bytes((4, 2, 8, 10)), bytes((0, 0, 0, 0, 1, 3, 3, 10)))


def test_k131_a_syn_is_saved_with_the_head_of_its_link(world: World) -> None:
    _, server = accepted(world, 2)
    head = server.getsockopt(TCP, SAVED_SYN, 1024)
    assert (len(head), head[:15]) == (74, bytes(12) + b"\x08\0\x45")


def test_k131_who_asks_too_late_or_is_no_server_has_no_syn(world: World) -> None:
    client, server = accepted(world, 0)
    server.setsockopt(TCP, SAVE_SYN, 1)
    client.setsockopt(TCP, SAVE_SYN, 1)
    for sock in (client, server, world.listener(options={(TCP, SAVE_SYN): 1})):
        assert sock.getsockopt(TCP, SAVED_SYN, 1024) == b""
    for refused in (3, -1):
        world.gives("EINVAL", client.setsockopt, TCP, SAVE_SYN, refused)


def test_k131_a_syn_was_saved_when_it_came(world: World) -> None:
    listener = world.listener()
    listener.setsockopt(TCP, SAVE_SYN, 1)
    client = world.client(listener)
    listener.setsockopt(TCP, SAVE_SYN, 0)
    server = world.accept(listener)
    client.send(b"x")
    world.reset(client)
    world.pause()
    assert len(server.getsockopt(TCP, SAVED_SYN, 60)) == 60
