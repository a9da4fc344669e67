"""Options of sockets: what is stored, refused and read back (K-064, K-131)."""

from __future__ import annotations

import struct
from errno import EDOM, EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP, EPERM
from typing import Any

import pytest

from simnet.kernel import NotModelled, Stack
from simnet.kernel.messages import AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from tests.kernel.conftest import Fabric, fails

KINDS = [
    pytest.param(AF_INET, SOCK_STREAM, id="tcp"),
    pytest.param(AF_INET6, SOCK_STREAM, id="tcp6"),
    pytest.param(AF_INET, SOCK_DGRAM, id="udp"),
    pytest.param(AF_INET6, SOCK_DGRAM, id="udp6"),
    pytest.param(AF_UNIX, SOCK_STREAM, id="unix"),
    pytest.param(AF_UNIX, SOCK_SEQPACKET, id="unix-seqpacket"),
]


@pytest.fixture
def stack(fabric: Fabric) -> Stack:
    return fabric.stack("10.0.0.1", "fd00::1")


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_what_every_socket_has(stack: Stack, family: int, kind: int) -> None:
    s: Any = stack.socket(family, kind)
    inet = family != AF_UNIX
    tcp = inet and kind == SOCK_STREAM
    assert s.getsockopt(1, 3) == kind
    assert s.getsockopt(1, 39) == family
    assert s.getsockopt(1, 38) == ({SOCK_STREAM: 6, SOCK_DGRAM: 17}[kind] if inet else 0)
    assert s.getsockopt(1, 4) == s.getsockopt(1, 30) == 0
    assert s.getsockopt(1, 19) == s.getsockopt(1, 18) == 1
    assert (s.getsockopt(1, 7), s.getsockopt(1, 8)) == ((16384, 131072) if tcp else (212992, 212992))
    for read_only in (3, 4, 17, 19, 30, 38, 39):
        with fails(ENOPROTOOPT):
            s.setsockopt(1, read_only, 1)
    for name in (2, 6, 9):
        s.setsockopt(1, name, 7)
        assert s.getsockopt(1, name) == 1
        s.setsockopt(1, name, 0)
        assert s.getsockopt(1, name) == 0
    s.setsockopt(1, 14, 1)
    assert s.getsockopt(1, 14) == 0  # SO_BSDCOMPAT: accepted and forgotten


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_buffers_are_doubled_between_bounds(stack: Stack, family: int, kind: int) -> None:
    s: Any = stack.socket(family, kind)
    for value, sent, received in (
        (10000, 20000, 20000),
        (0, 4608, 2304),
        (-1, 8388608, 8388608),
        (2**30, 8388608, 8388608),
    ):
        s.setsockopt(1, 7, value)
        s.setsockopt(1, 8, value)
        assert (s.getsockopt(1, 7), s.getsockopt(1, 8)) == (sent, received)


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_structures_go_in_and_out(stack: Stack, family: int, kind: int) -> None:
    s: Any = stack.socket(family, kind)
    s.setsockopt(1, 13, struct.pack("ii", 5, 3))
    assert s.getsockopt(1, 13, 8) in (struct.pack("ii", 1, 3), struct.pack("ii", 1, 3))
    assert (s.getsockopt(1, 13), s.getsockopt(1, 13, 4)) == (1, b"\1\0\0\0")
    s.setsockopt(1, 20, struct.pack("qq", 2, 500_000))
    assert s.getsockopt(1, 20, 16) == struct.pack("qq", 2, 500_000)
    s.setsockopt(1, 21, struct.pack("qq", -1, 0))
    assert s.getsockopt(1, 21, 16) == bytes(16)
    with fails(EDOM):
        s.setsockopt(1, 20, struct.pack("qq", 1, 1_000_000))
    for short in (b"", b"\1", b"\1\0\0"):
        with fails(EINVAL):
            s.setsockopt(1, 2, short)
    with fails(EINVAL):
        s.setsockopt(1, 20, b"\1\0\0\0")
    assert s.getsockopt(1, 17, 12) == struct.pack("iii", 0, -1, -1)
    with pytest.raises(OSError, match="getsockopt buflen out of range"):
        s.getsockopt(1, 13, 1025)
    with pytest.raises(OSError, match="getsockopt buflen out of range"):
        s.getsockopt(1, 2, -1)
    assert s.getsockopt(1, 2, 100) == bytes(4)


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_what_does_not_exist_and_what_is_not_modelled(stack: Stack, family: int, kind: int) -> None:
    s: Any = stack.socket(family, kind)
    with fails(ENOPROTOOPT):
        s.setsockopt(1, 200, 1)
    with fails(ENOPROTOOPT):
        s.getsockopt(1, 200)
    with fails(EOPNOTSUPP if family == AF_UNIX else ENOPROTOOPT):
        s.setsockopt(99, 1, 1)
    with fails(ENOPROTOOPT if family == AF_INET6 else EOPNOTSUPP):
        s.getsockopt(99, 1)
    program = struct.pack("=H6xQ", 1, 0x5555_0000_0000)
    for call in (
        lambda: s.setsockopt(1, 26, program),  # SO_ATTACH_FILTER
        lambda: s.setsockopt(1, 51, program),  # SO_ATTACH_REUSEPORT_CBPF
    ):
        with pytest.raises(NotModelled):
            call()
    for call in (lambda: s.setsockopt(1, 16, 1), lambda: s.getsockopt(1, 16)):
        if family == AF_UNIX:
            call()
        else:
            with fails(EOPNOTSUPP):
                call()


@pytest.mark.parametrize(
    ("name", "default", "good", "bad"),
    [
        pytest.param(4, 7200, 32767, 32768, id="keepidle"),
        pytest.param(5, 75, 1, 0, id="keepintvl"),
        pytest.param(6, 9, 127, 128, id="keepcnt"),
        pytest.param(7, 6, 3, 128, id="syncnt"),
        pytest.param(2, 536, 1000, 87, id="maxseg"),
        pytest.param(18, 0, 500, -1, id="user-timeout"),
    ],
)
def test_tcp_numbers_have_ranges(stack: Stack, name: int, default: int, good: int, bad: int) -> None:
    s: Any = stack.socket(AF_INET, SOCK_STREAM)
    assert s.getsockopt(6, name) == default
    s.setsockopt(6, name, good)
    with fails(EINVAL):
        s.setsockopt(6, name, bad)
    assert s.getsockopt(6, name) == good


def test_tcp_numbers_that_are_changed_on_their_way(stack: Stack) -> None:
    s: Any = stack.socket(AF_INET, SOCK_STREAM)
    for name, value, kept in (
        (8, 500, 120),
        (8, 0, 60),
        (9, 2, 3),
        (9, 0, 0),
        (9, 2**31 - 1, 29887),
        (2, 0, 536),
        (12, 5, 1),
    ):
        s.setsockopt(6, name, value)
        assert s.getsockopt(6, name) == kept, (name, value)


def test_ip_options(stack: Stack) -> None:
    tcp: Any = stack.socket(AF_INET, SOCK_STREAM)
    udp: Any = stack.socket(AF_INET, SOCK_DGRAM)
    six: Any = stack.socket(AF_INET6, SOCK_DGRAM)
    assert tcp.getsockopt(0, 2) == six.getsockopt(41, 16) == 64
    tcp.setsockopt(0, 2, 9)
    tcp.setsockopt(0, 2, -1)
    assert tcp.getsockopt(0, 2) == 64
    with fails(EINVAL):
        tcp.setsockopt(0, 2, 256)
    for socket, kept in ((tcp, 44), (udp, 47)):
        socket.setsockopt(0, 1, 303)
        assert socket.getsockopt(0, 1) == kept  # TCP keeps the ECN bits for itself
    udp.setsockopt(0, 1, b"\x08")  # one byte will do here
    assert udp.getsockopt(0, 1) == 8
    udp.setsockopt(0, 1, b"")
    assert udp.getsockopt(0, 1) == 0
    six.setsockopt(41, 26, 1)
    assert six.getsockopt(41, 26) == 1
    six.bind(("::1", 0))
    with fails(EINVAL):
        six.setsockopt(41, 26, 0)
    assert stack.socket(AF_INET6, SOCK_STREAM).getsockopt(41, 26) == 0


def test_a_connected_socket_shows_what_the_path_gave_it(fabric: Fabric) -> None:
    _, a, _ = fabric.pair()
    assert (a.getsockopt(6, 2), a.getsockopt(1, 7)) == (1448, 3_939_840)
    a.setsockopt(1, 7, 5000)
    assert a.getsockopt(1, 7) == 10000


def test_reuseport_is_not_for_unix_sockets(stack: Stack) -> None:
    s: Any = stack.socket(AF_UNIX, SOCK_STREAM)
    s.setsockopt(1, 15, 0)
    with fails(EOPNOTSUPP):
        s.setsockopt(1, 15, 1)


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_what_takes_a_privilege_is_refused(stack: Stack, family: int, kind: int) -> None:
    # Each as measured of a process that is nobody's; to root some are invalid, and some do what they say.
    stack.privileged = False
    s: Any = stack.socket(family, kind)
    for name in (32, 33):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
        with fails(EPERM):
            s.setsockopt(1, name, 1 << 20)
        with fails(EINVAL):
            s.setsockopt(1, name, b"1")
        with fails(ENOPROTOOPT):
            s.getsockopt(1, name)
    if family == AF_UNIX:
        return
    refused = [(0, 16), (0, 17), (0, 64), (0, 65), (0, 96), (0, 97)]  # IPsec's policies and netfilter's tables
    refused += [(41, 34), (41, 35)] if family == AF_INET6 else []
    refused += [(6, 19)] if kind == SOCK_STREAM else []  # TCP_REPAIR
    for level, name in refused:
        with fails(EPERM):
            s.setsockopt(level, name, 1)
    with fails(EPERM):
        s.getsockopt(0, 83)  # IP_VS_SO_GET_VERSION
    for name in (54, 55, 59) if family == AF_INET6 else ():
        with fails(EPERM):
            s.setsockopt(41, name, bytes(8))


def test_no_packet_filter_has_led_anybody_elsewhere(fabric: Fabric) -> None:
    # As measured where netfilter keeps its notes and has none of this connection.
    _, client, server = fabric.pair()
    for end in (client, server):
        with fails(ENOENT):
            end.getsockopt(0, 80, 16)  # SO_ORIGINAL_DST
        with fails(EINVAL):
            end.getsockopt(0, 80, 15)
    with fails(ENOPROTOOPT):
        fabric.stack("10.0.0.9").socket(AF_INET, SOCK_DGRAM).getsockopt(0, 80, 16)
