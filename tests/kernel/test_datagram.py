"""UDP: whole datagrams, who hears them, and who hears that nobody did (K-084 to K-089)."""

from __future__ import annotations

from errno import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAGAIN,
    ECONNREFUSED,
    EDESTADDRREQ,
    EHOSTUNREACH,
    EINVAL,
    EMSGSIZE,
    ENETUNREACH,
    ENOTCONN,
    ENOTTY,
    EOPNOTSUPP,
    EPIPE,
)
from typing import Any

import pytest

from simnet.kernel import Datagram, Icmp, NotModelled, UdpSocket
from simnet.kernel.messages import (
    AF_INET,
    AF_INET6,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SOCK_DGRAM,
)
from tests.kernel.conftest import Fabric, Note, fails, mask

SO_ERROR = (1, 4)
BROADCAST = (1, 6, 1)


def udp(fabric: Fabric, ip: str = "10.0.0.1", port: int | None = None, family: int = AF_INET) -> Any:
    stack = fabric.stacks.get(ip) or fabric.stack(ip)
    socket = stack.socket(family, SOCK_DGRAM)
    if port is not None:
        socket.bind((ip, port))
    return socket


def test_datagrams_arrive_whole_with_their_senders_name(fabric: Fabric) -> None:
    a, b = udp(fabric), udp(fabric, "10.0.0.2", 53)
    note = Note()
    b.watch(note)
    for payload in (b"one", b"", b"two"):
        assert a.sendto(payload, 0, ("10.0.0.2", 53)) == len(payload)
    fabric.run()
    assert a.getsockname() == ("0.0.0.0", 46884)
    assert [b.recvfrom(9) for _ in range(3)] == [(p, ("10.0.0.1", 46884)) for p in (b"one", b"", b"two")]
    assert (len(note.events), mask(b)) == (3, "OUT")


def test_what_does_not_fit_is_cut_off(fabric: Fabric) -> None:
    a, b = udp(fabric), udp(fabric, "10.0.0.2", 53)
    name = None
    for _ in range(7):
        a.sendto(b"abcdef", 0, ("10.0.0.2", 53))
    fabric.run()
    assert b.ioctl(0x541B) == 6
    assert b.unread == 42
    assert b.recv(0) == b""
    assert b.recv(2, MSG_PEEK) == b"ab"
    assert b.recv(2) == b"ab"
    assert len(b.recv(2, MSG_TRUNC)) == 6
    data, ancillary, flags, name = b.recvmsg(2)
    assert (data, ancillary, flags, name) == (b"ab", [], MSG_TRUNC, ("10.0.0.1", 46884))
    buffer = bytearray(3)
    assert (b.recv_into(buffer), b.recv_into(buffer, 1, MSG_TRUNC), bytes(buffer)) == (3, 6, b"abc")
    assert b.recv_into(bytearray()) == 0
    parts = bytearray(1), bytearray(2)
    assert b.recvmsg_into(parts) == (3, [], MSG_TRUNC, name)
    assert parts == (b"a", b"bc")
    assert b.recvfrom(0)[0] == b""  # reaches the kernel, and takes one
    with fails(EAGAIN):
        b.recv(1)
    assert (b.ioctl(0x541B), b.ioctl(0x5411)) == (0, 0)
    with fails(ENOTTY):
        b.ioctl(0x8905)
    with fails(EAGAIN):
        b.recv(1, MSG_ERRQUEUE)
    a.sendto(b"abcdef", 0, ("10.0.0.2", 53))
    fabric.run()
    assert len(b.recvfrom(2, MSG_TRUNC)[0]) == 6


def test_a_connected_socket_hears_only_its_peer(fabric: Fabric) -> None:
    a, b, stranger = udp(fabric), udp(fabric, "10.0.0.2", 53), udp(fabric, "10.0.0.3", 9)
    a.bind(("0.0.0.0", 1000))
    stranger.sendto(b"before", 0, ("10.0.0.1", 1000))
    fabric.run()
    a.connect(("10.0.0.2", 53))
    assert (a.getsockname(), a.getpeername(), a.state) == (("10.0.0.1", 1000), ("10.0.0.2", 53), "ESTABLISHED")
    stranger.sendto(b"after", 0, ("10.0.0.1", 1000))
    b.sendto(b"peer", 0, ("10.0.0.1", 1000))
    fabric.run()
    assert [a.recv(9), a.recv(9)] == [b"before", b"peer"]
    assert a.sendto(b"x", 0, ("10.0.0.3", 9)) == 1
    fabric.run()
    assert stranger.recv(9) == b"x"


def test_a_closed_port_is_heard_of_by_the_connected_only(fabric: Fabric) -> None:
    fabric.stack("10.0.0.2")
    a, b = udp(fabric), udp(fabric)
    b.connect(("10.0.0.2", 53))
    a.sendto(b"x", 0, ("10.0.0.2", 53))
    b.send(b"x")
    b.sendmsg([b"x", b"y"])
    fabric.run()
    assert (mask(a), mask(b)) == ("OUT", "OUT|ERR")
    with fails(ECONNREFUSED):
        b.send(b"not sent")
    assert (mask(b), b.send(b"x")) == ("OUT", 1)
    fabric.run()
    with fails(ECONNREFUSED):
        b.recv(9)
    b.sendto(b"x", 0, ("10.0.0.1", 999))  # the answer is not about the peer
    fabric.run()
    assert b.getsockopt(*SO_ERROR) == 0
    packet = Datagram(b.local, b.peer, b"x", b.stack)
    b.stack.arrive(Icmp(EHOSTUNREACH, packet, b.stack))  # not a hard error for UDP
    assert mask(b) == "OUT"
    assert "errno 113 to 10.0.0.1" in repr(Icmp(EHOSTUNREACH, packet, b.stack))
    assert repr(packet).endswith("-> 10.0.0.2:53, 1 B)")


def test_who_gets_a_datagram(fabric: Fabric) -> None:
    reuse = (1, 2, 1)
    sockets = [udp(fabric) for _ in range(4)]
    for socket in sockets:
        socket.setsockopt(*reuse)
    wild, earlier, later, connected = sockets
    wild.bind(("0.0.0.0", 53))
    for socket in (earlier, later, connected):
        socket.bind(("10.0.0.1", 53))
    client, other = udp(fabric, "10.0.0.2", 1), udp(fabric, "10.0.0.2", 2)
    connected.connect(client.getsockname())
    for sender in (client, other):
        sender.sendto(b"x", 0, ("10.0.0.1", 53))
    other.stack.source_for("10.0.0.1")
    fabric.run()
    assert [mask(socket) for socket in sockets] == ["OUT", "OUT", "IN|OUT", "IN|OUT"]
    with fails(EADDRINUSE):
        udp(fabric).bind(("10.0.0.1", 53))


def test_sending_without_a_destination(fabric: Fabric) -> None:
    a = udp(fabric)
    for call in (lambda: a.send(b"x"), lambda: a.sendmsg([b"x"])):
        with fails(EDESTADDRREQ):
            call()
    assert a.getsockname()[1] == 46884  # it was bound all the same
    with fails(ENOTCONN):
        a.getpeername()
    with fails(EINVAL):
        a.sendto(b"x", 0, ("10.0.0.2", 0))
    a.connect(("10.0.0.1", 0))
    with fails(ENOTCONN):
        a.getpeername()
    a.send(b"x")
    fabric.run()
    with fails(ECONNREFUSED):
        a.send(b"x")


def test_size_has_a_limit(fabric: Fabric) -> None:
    a, b = udp(fabric), udp(fabric, "10.0.0.2", 53)
    for size in (65508, 70000):
        with fails(EMSGSIZE):
            a.sendto(bytes(size), 0, ("10.0.0.2", 53))
    a.setsockopt(1, 7, 1)
    b.setsockopt(1, 8, 1)
    assert a.sendto(bytes(65507), 0, ("10.0.0.2", 53)) == 65507
    fabric.run()
    assert len(b.recv(70000)) == 65507  # an empty queue takes any size


@pytest.mark.parametrize(("size", "count"), [(1, 19), (100, 19), (200, 12), (500, 12), (1000, 7), (2000, 3), (9000, 1)])
def test_a_full_queue_drops_silently(fabric: Fabric, size: int, count: int) -> None:
    a, b = udp(fabric), udp(fabric, "10.0.0.2", 53)
    b.setsockopt(1, 8, 8192)
    for _ in range(30):
        a.sendto(bytes(size), 0, ("10.0.0.2", 53))
    fabric.run()
    assert len(b.inbox) == count
    while b.inbox:
        b.recv(size)
    for _ in range(30):
        a.sendto(bytes(size), 0, ("10.0.0.2", 53))
    fabric.run()
    assert len(b.inbox) == count


def test_broadcast_needs_permission_and_reaches_all(fabric: Fabric) -> None:
    a, b = udp(fabric), udp(fabric)
    b.bind(("0.0.0.0", 53))
    c = udp(fabric, "10.0.0.1", 99)
    everywhere = ("255.255.255.255", 53)
    for call in (lambda: a.sendto(b"x", 0, everywhere), lambda: a.connect(everywhere)):
        with fails(EACCES):
            call()
    a.setsockopt(*BROADCAST)
    a.sendto(b"x", 0, everywhere)
    fabric.run()
    assert (mask(b), mask(c)) == ("IN|OUT", "OUT")


def test_more_joins_datagrams(fabric: Fabric) -> None:
    a, b = udp(fabric), udp(fabric, "10.0.0.2", 53)
    to = ("10.0.0.2", 53)
    assert [a.sendto(b"ab", MSG_MORE, to), a.sendto(b"c", MSG_MORE, ("9.9.9.9", 9)), a.sendto(b"d", 0, to)] == [2, 1, 1]
    fabric.run()
    assert b.recv(9) == b"abcd"


def test_shutdown_sets_flags_and_little_else(fabric: Fabric) -> None:
    a, b = udp(fabric), udp(fabric, "10.0.0.2", 53)
    a.connect(("10.0.0.2", 53))
    a.shutdown(0)
    assert mask(a) == "IN|OUT|RDHUP"
    with fails(EAGAIN):
        a.recv(1)
    b.sendto(b"x", 0, a.getsockname())
    fabric.run()
    assert a.recv(9) == b"x"
    a.shutdown(1)
    with fails(EPIPE):
        a.send(b"x")
    with fails(EINVAL):
        a.shutdown(3)
    fresh = udp(fabric)
    with fails(ENOTCONN):
        fresh.shutdown(2)
    assert mask(fresh) == "IN|OUT|RDHUP|HUP"


def test_what_udp_has_not(fabric: Fabric) -> None:
    a = udp(fabric, "10.0.0.1", 53)
    for call in (a.listen, a.accept, lambda: a.sendto(b"x", MSG_OOB, ("10.0.0.1", 1))):
        with fails(EOPNOTSUPP):
            call()
    with fails(EADDRNOTAVAIL):
        udp(fabric).bind(("9.9.9.9", 1))
    with fails(EINVAL):
        a.bind(("10.0.0.1", 54))
    for unknown in (
        lambda: (a.setsockopt(1, 60, 1), a.send(b"x", 1 << 26)),  # SO_ZEROCOPY, MSG_ZEROCOPY
        lambda: a.ioctl(1),
    ):
        with pytest.raises(NotModelled):
            unknown()


def test_a_closed_socket_gives_its_port_back(fabric: Fabric) -> None:
    a, fresh = udp(fabric, "10.0.0.1", 53), udp(fabric)
    a.release()
    fresh.release()
    b = udp(fabric, "10.0.0.1", 53)
    assert isinstance(b, UdpSocket)
    assert repr(b) == "<UdpSocket ('10.0.0.1', 53) -> None>"


def test_no_way_leads_from_loopback_to_elsewhere(fabric: Fabric) -> None:
    a = udp(fabric)
    a.connect(("127.0.0.1", 9))
    with fails(EINVAL):
        a.connect(("10.0.0.2", 9))
    a.connect(("0.0.0.0", 9))  # this host, by the address it has
    assert a.getpeername() == ("127.0.0.1", 9)


def test_both_families(fabric: Fabric) -> None:
    fabric.stack("10.0.0.1", "fd00::1")
    dual = udp(fabric, "10.0.0.1", None, AF_INET6)
    dual.bind(("::", 53))
    four, six, only = udp(fabric), udp(fabric, family=AF_INET6), udp(fabric, family=AF_INET6)
    four.sendto(b"4", 0, ("127.0.0.1", 53))
    six.sendto(b"6", 0, ("::1", 53))
    six.sendto(b"m", 0, ("::ffff:10.0.0.1", 53))
    fabric.run()
    assert [dual.recvfrom(9) for _ in range(3)] == [
        (b"4", ("::ffff:127.0.0.1", 46884, 0, 0)), (b"6", ("::1", 46885, 0, 0)), (b"m", ("::ffff:10.0.0.1", 46885, 0, 0)),
    ]  # fmt: skip
    only.setsockopt(41, 26, 1)
    with fails(EINVAL):
        only.bind(("::ffff:127.0.0.1", 0))
    other = udp(fabric, family=AF_INET6)
    other.setsockopt(41, 26, 1)
    with fails(ENETUNREACH):
        other.sendto(b"x", 0, ("127.0.0.1", 53))
    only.bind(("::", 54))
    wild = udp(fabric)
    wild.bind(("0.0.0.0", 54))
    four.sendto(b"4", 0, ("127.0.0.1", 54))
    six.sendto(b"6", 0, ("::1", 54))
    six.sendto(b"multicast", 0, ("ff02::1", 54))
    fabric.run()
    assert (wild.recv(9), only.recv(9), only.recv(9)) == (b"4", b"6", b"multicast")


def test_ipv6_checks_less_and_carries_more(fabric: Fabric) -> None:
    fabric.stack("10.0.0.1", "fd00::1")
    a, b = udp(fabric, family=AF_INET6), udp(fabric, family=AF_INET6)
    b.bind(("::1", 53))
    for call in (lambda: a.send(b"x", MSG_OOB), lambda: a.send(bytes(70000))):
        with fails(EDESTADDRREQ):
            call()
    assert a.sendto(b"x", MSG_OOB, ("::1", 53)) == 1
    assert a.sendto(bytes(65527), 0, ("::1", 53)) == 65527
    with fails(EMSGSIZE):
        a.sendto(bytes(65528), 0, ("::1", 53))
    with fails(EOPNOTSUPP):
        a.sendto(b"x", MSG_OOB, ("::ffff:127.0.0.1", 53))
    with fails(ENETUNREACH):
        b.sendto(b"x", 0, ("::ffff:127.0.0.1", 53))
