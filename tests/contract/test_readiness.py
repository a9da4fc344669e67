"""Readiness in general: K-001 to K-009."""

from __future__ import annotations

import select
import socket

import pytest

from simnet.kernel.readiness import describe
from tests.contract.states import TCP, UDP, UNIX
from tests.contract.worlds import ALL, World

OPEN_TCP = [state for state in TCP if state != "closed"]


@pytest.mark.parametrize("state", [*OPEN_TCP, *(f"udp_{each}" for each in UDP), *(f"unix_{each}" for each in UNIX)])
def test_k001_poll_epoll_and_select_agree(world: World, state: str) -> None:
    table = UDP if state.startswith("udp_") else UNIX if state.startswith("unix_") else TCP
    sock = table[state.removeprefix("udp_").removeprefix("unix_")](world)
    fd = sock.fileno()
    mask = world.bits(sock)
    with select.epoll() as epoll:
        epoll.register(fd, ALL)
        assert epoll.poll(0) == ([(fd, mask)] if mask else [])
    readable, writable, urgent = select.select([fd], [fd], [fd], 0)
    assert bool(readable) == bool(mask & (select.POLLIN | select.POLLHUP | select.POLLERR))
    assert bool(writable) == bool(mask & (select.POLLOUT | select.POLLERR))
    assert bool(urgent) == bool(mask & select.POLLPRI)


@pytest.mark.parametrize(
    ("family", "kind", "fresh", "bound"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, "OUT|HUP", "OUT|HUP", id="tcp"),
        pytest.param(socket.AF_INET6, socket.SOCK_STREAM, "OUT|HUP", "OUT|HUP", id="tcp6"),
        pytest.param(socket.AF_INET, socket.SOCK_DGRAM, "OUT", "OUT", id="udp"),
        pytest.param(socket.AF_UNIX, socket.SOCK_STREAM, "OUT|HUP", "OUT|HUP", id="unix"),
    ],
)
def test_k003_a_fresh_stream_socket_is_writable_and_hung_up(
    world: World, family: int, kind: int, fresh: str, bound: str
) -> None:
    sock = world.socket(family, kind)
    world.ready(sock, fresh)
    if family == socket.AF_UNIX:
        sock.bind(world.abstract("k003"))
    else:
        sock.bind(("::1" if family == socket.AF_INET6 else world.ip, 0))
    world.ready(sock, bound)


def test_k003_epoll_reports_the_hang_up_of_a_fresh_socket_unasked(world: World) -> None:
    sock = world.socket()
    with select.epoll() as epoll:
        epoll.register(sock, select.EPOLLIN)
        assert epoll.poll(0) == [(sock.fileno(), select.EPOLLHUP)]


def test_k004_the_masks_of_a_connection_through_its_life(world: World) -> None:
    client, server = world.pair()
    world.ready(client, "OUT")
    server.send(b"x")
    world.ready(client, "IN|OUT")
    client.recv(1)
    world.ready(client, "OUT")
    client.shutdown(socket.SHUT_WR)
    world.ready(client, "OUT")
    world.ready(server, "IN|OUT|RDHUP")
    server.recv(1)
    world.ready(server, "IN|OUT|RDHUP")
    server.shutdown(socket.SHUT_WR)
    world.ready(client, "IN|OUT|RDHUP|HUP")
    world.ready(server, "IN|OUT|RDHUP|HUP")


def test_k004_a_reset_shows_until_its_error_is_taken(world: World) -> None:
    client, server = world.pair()
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(client) == "ECONNRESET"
    world.ready(client, "IN|OUT|RDHUP|HUP")


def test_k005_shut_wr_makes_a_full_socket_writable_and_shut_rd_does_not(world: World) -> None:
    client, _ = world.full_pair()
    world.ready(client, "0")
    client.shutdown(socket.SHUT_WR)
    world.ready(client, "OUT")
    client, _ = world.full_pair()
    client.shutdown(socket.SHUT_RD)
    world.ready(client, "IN|RDHUP")


@pytest.mark.parametrize("take", ["recv", "send", "SO_ERROR"])
def test_k006_an_error_is_ready_until_somebody_takes_it(world: World, take: str) -> None:
    sock = world.refused()
    for _ in range(2):  # to look is not to take
        assert world.mask(sock) == "IN|OUT|RDHUP|ERR|HUP"
        assert select.select([sock], [sock], [], 0) == ([sock], [sock], [])
    if take == "recv":
        world.gives("ECONNREFUSED", sock.recv, 1)
    elif take == "send":
        world.gives("ECONNREFUSED", sock.send, b"x")
    else:
        assert world.error(sock) == "ECONNREFUSED"
    assert world.mask(sock) == "IN|OUT|RDHUP|HUP"


def test_k007_poll_returns_what_was_asked_and_errors_besides(world: World) -> None:
    client, server = world.pair()
    server.send(b"x")
    world.readable(client)
    assert world.mask(client, select.POLLOUT) == "OUT"
    assert world.mask(client, 0) == "0"
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    assert world.mask(client, 0) == "ERR|HUP"
    assert world.mask(client, select.POLLRDHUP) == "RDHUP|ERR|HUP"


def test_k007_in_comes_with_rdnorm_and_out_with_wrnorm(world: World) -> None:
    client, server = world.pair()
    server.send(b"x")
    world.readable(client)
    assert world.bits(client) == select.POLLIN | select.POLLRDNORM | select.POLLOUT | select.POLLWRNORM
    client.recv(1)
    server.send(b"!", socket.MSG_OOB)
    world.ready(client, "PRI|OUT")
    assert world.bits(client) == select.POLLPRI | select.POLLOUT | select.POLLWRNORM


def test_k007_datagram_and_unix_sockets_are_writable_in_every_band(world: World) -> None:
    datagram = world.socket(kind=socket.SOCK_DGRAM)
    assert world.bits(datagram) == select.POLLOUT | select.POLLWRNORM | select.POLLWRBAND
    one, two = socket.socketpair()
    world.keep(one)
    world.keep(two)
    assert world.bits(one) == select.POLLOUT | select.POLLWRNORM | select.POLLWRBAND, describe(world.bits(one))


@pytest.mark.parametrize("state", OPEN_TCP)
def test_k008_a_recv_of_nothing_on_a_stream_gives_nothing_and_takes_nothing(world: World, state: str) -> None:
    sock = TCP[state](world)
    before = world.mask(sock)
    assert sock.recv(0) == b""
    assert world.mask(sock) == before


def test_k009_a_recv_of_nothing_never_reaches_the_kernel(world: World) -> None:
    closed = world.socket()
    closed.close()
    assert closed.recv(0) == b""
    assert closed.recv_into(bytearray()) == 0
    world.gives("EBADF", closed.recvfrom, 0)
    world.gives("EBADF", closed.recvmsg, 0)


def test_k009_recvfrom_and_recvmsg_of_nothing_take_a_datagram(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.bind((world.ip, 0))
    for payload in (b"one", b"two", b"three"):
        sock.sendto(payload, sock.getsockname())
    world.readable(sock)
    assert sock.recv(0) == b""
    assert sock.recvfrom(0) == (b"", sock.getsockname())
    data, ancillary, flags, _ = sock.recvmsg(0)
    assert (data, ancillary, flags) == (b"", [], socket.MSG_TRUNC)
    world.gives(b"three", sock.recv, 100)
