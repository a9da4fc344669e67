"""accept and backlog: K-040 to K-050."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from typing import Any

import pytest

from tests.contract.worlds import World


def test_k040_accept_is_first_come_first_served(world: World) -> None:
    listener = world.listener()
    world.gives("EAGAIN", listener.accept)
    clients = [world.client(listener) for _ in range(3)]
    for number, client in enumerate(clients):
        world.ready(listener, "IN")
        server, address = listener.accept()
        world.keep(server)
        assert address == client.getsockname(), number
    world.ready(listener, "0")
    world.gives("EAGAIN", listener.accept)


@pytest.mark.parametrize("data", [b"", b"hello"])
def test_k041_a_client_that_came_and_went_is_accepted(world: World, data: bytes) -> None:
    listener = world.listener()
    client = world.client(listener)
    name = client.getsockname()
    client.send(data)
    client.close()
    server = world.accept(listener)
    world.ready(server, "IN|OUT|RDHUP")
    assert server.getpeername() == name
    if data:
        world.gives(data, server.recv, 100)
    world.gives(b"", server.recv, 100)


@pytest.mark.parametrize("data", [b"", b"hello"])
def test_k042_a_client_that_reset_stays_queued_and_is_accepted(world: World, data: bytes) -> None:
    listener = world.listener()
    client = world.client(listener)
    client.send(data)
    name = client.getsockname()
    world.reset(client)
    world.pause()
    world.ready(listener, "IN")
    server, address = listener.accept()
    world.keep(server)
    server.setblocking(False)
    assert address == name
    world.ready(server, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("ENOTCONN", server.getpeername)
    assert server.getsockname() == listener.getsockname()
    if data:
        world.gives(data, server.recv, 100)
    world.gives("ECONNRESET", server.recv, 100)
    world.gives(b"", server.recv, 100)
    world.gives("EPIPE", server.send, b"x")
    assert world.error(server) == "0"


def test_k043_data_and_an_urgent_byte_wait_for_accept(world: World) -> None:
    listener = world.listener()
    client = world.client(listener)
    client.send(b"data")
    client.send(b"!", socket.MSG_OOB)
    server = world.accept(listener)
    world.ready(server, "IN|PRI|OUT")
    world.gives(b"!", server.recv, 1, socket.MSG_OOB)
    world.gives(b"data", server.recv, 100)


@pytest.mark.parametrize("backlog", [0, 1, 3])
def test_k044_a_backlog_of_n_holds_one_more_and_drops_the_next(world: World, backlog: int) -> None:
    listener = world.listener(backlog=backlog)
    for _ in range(backlog + 1):
        world.client(listener)
    late = world.socket()
    assert late.connect_ex(listener.getsockname()) == errno.EINPROGRESS
    world.pause()
    world.ready(late, "0")
    assert late.connect_ex(listener.getsockname()) == errno.EALREADY


def until_told(world: World, *late: Any) -> None:
    """Wait, 5 s at most, until each of those whose SYN was dropped has heard something."""
    deadline = time.monotonic() + 5
    while "0" in map(world.mask, late) and time.monotonic() < deadline:
        time.sleep(0.005)


@pytest.mark.slow
def test_k044_the_dropped_client_comes_again_after_a_second(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    late = world.socket()
    began = time.monotonic()
    late.connect_ex(listener.getsockname())
    world.accept(listener)
    world.pause()
    world.ready(late, "0")  # a free place helps at the next retry only
    late.settimeout(5.0)
    late.setblocking(False)
    until_told(world, late)
    elapsed = time.monotonic() - began
    assert 1.0 <= elapsed < (1.1 if world.name == "simnet" else 3.0)  # a busy machine is late; the next one is at 3 s
    world.ready(late, "OUT")
    world.accept(listener)


@pytest.mark.slow
@pytest.mark.parametrize("backlog", [0, 1])
def test_k044_dropped_clients_come_again_together_and_all_believe_they_are_connected(
    world: World, backlog: int
) -> None:
    """All their SYNs are answered before one of them has taken the free place; the others find the queue full.

    A listener remembers one handshake more than its backlog. It repeats its answer to those, and others, whom it answered
    by a SYN cookie, get in with the first data that comes to a queue with room.
    """
    listener = world.listener(backlog=backlog)
    for _ in range(backlog + 1):
        world.client(listener)
    late = [world.socket() for _ in range(3)]
    for client in late:
        client.connect_ex(listener.getsockname())
    world.accept(listener)
    until_told(world, *late)
    assert [world.mask(client) for client in late] == ["OUT"] * 3
    accepted = [world.accept(listener) for _ in range(backlog + 1)]
    if backlog:
        time.sleep(1.1)  # and it repeats its answer
        accepted.append(world.accept(listener))
    world.gives("EAGAIN", listener.accept)
    late[0].send(b"hello")
    world.gives(b"hello", world.accept(listener).recv, 9)
    assert accepted[-1].getpeername() == late[1 if backlog else 2].getsockname()  # who came last is first


@pytest.mark.slow
def test_k044_a_client_that_came_again_is_counted_as_any_other(world: World) -> None:
    def filled() -> tuple[int, int]:
        listener = world.listener(backlog=0)
        world.client(listener)
        late = world.socket()
        late.connect_ex(listener.getsockname())
        world.accept(listener)
        until_told(world, late)
        server = world.accept(listener)
        total = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                total += late.send(b"x" * 1000)
        return total, world.ioctl(server, "FIONREAD")

    world.counts((3_924_720, 90_864), filled)


@pytest.mark.slow
def test_k044_if_the_listener_has_gone_by_then_the_client_is_refused(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    late = world.socket()
    late.connect_ex(listener.getsockname())
    world.pause()
    listener.close()
    until_told(world, late)
    assert world.error(late) == "ECONNREFUSED"


@pytest.mark.parametrize("end", ["close", "shut_rd", "shut_rdwr"])
@pytest.mark.parametrize("data", [b"", b"hello"])
def test_k045_a_listener_that_ends_resets_whom_it_has_not_accepted(world: World, end: str, data: bytes) -> None:
    listener = world.listener()
    accepted = world.client(listener)
    server = world.accept(listener)
    queued = world.client(listener)
    queued.send(data)
    name = listener.getsockname()
    if end == "close":
        listener.close()
    else:
        listener.shutdown(socket.SHUT_RD if end == "shut_rd" else socket.SHUT_RDWR)
    world.ready(queued, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(queued) == "ECONNRESET"
    world.ready(accepted, "OUT")
    server.send(b"still here")
    world.gives(b"still here", accepted.recv, 100)
    late = world.socket()
    late.connect_ex(name)
    world.ready(late, "IN|OUT|RDHUP|ERR|HUP")


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
def test_k046_a_listener_that_was_shut_down_is_bound_and_can_listen_again(world: World, how: int) -> None:
    listener = world.socket()
    name = (world.ip, world.dead_port())
    listener.bind(name)
    listener.listen(1)
    listener.shutdown(how)
    world.ready(listener, "OUT|HUP")
    world.gives("EINVAL", listener.accept)
    listener.listen(1)
    assert listener.getsockname() == name
    world.client(listener)
    world.accept(listener)
    listener.shutdown(how)
    world.gives("ENOTCONN", listener.shutdown, how)


def test_k046_a_port_of_the_kernels_choice_is_chosen_anew(world: World) -> None:
    listener = world.listener()
    host, port = listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.listen(1)
    assert listener.getsockname()[0] == host
    assert listener.getsockname()[1] != port


def test_k046_shut_wr_does_nothing_to_a_listener(world: World) -> None:
    listener = world.listener()
    listener.shutdown(socket.SHUT_WR)
    world.ready(listener, "0")
    world.client(listener)
    world.accept(listener)


def test_k047_what_a_listener_says_to_a_connections_calls(world: World) -> None:
    listener = world.listener()
    world.gives("EPIPE", listener.send, b"x")
    world.gives("EPIPE", listener.send, b"")
    world.gives("ENOTCONN", listener.recv, 1)
    world.gives(b"", listener.recv, 0)
    world.gives("ENOTCONN", listener.getpeername)
    assert world.ioctl(listener, "FIONREAD") == "EINVAL"
    assert world.ioctl(listener, "SIOCOUTQ") == "EINVAL"
    assert world.ioctl(listener, "SIOCATMARK") == 0
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


@pytest.mark.parametrize(
    ("level", "option", "value", "shown"),
    [
        pytest.param(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1, 1, id="NODELAY"),
        pytest.param(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1, 1, id="KEEPALIVE"),
        pytest.param(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192, 16384, id="RCVBUF"),
        pytest.param(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192, 16384, id="SNDBUF"),
        pytest.param(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1, 1, id="REUSEADDR"),
        pytest.param(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1, 1, id="OOBINLINE"),
        pytest.param(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 5, 5, id="RCVLOWAT"),
        pytest.param(socket.SOL_SOCKET, socket.SO_BROADCAST, 1, 1, id="BROADCAST"),
        pytest.param(socket.IPPROTO_IP, socket.IP_TTL, 33, 33, id="TTL"),
        pytest.param(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 11, 11, id="KEEPIDLE"),
    ],
)
def test_k048_an_accepted_socket_inherits_the_listeners_options(
    world: World, level: int, option: int, value: int, shown: int
) -> None:
    listener = world.listener(options={(level, option): value})
    world.client(listener)
    server = world.accept(listener)
    assert server.getsockopt(level, option) == shown


def test_k048_linger_is_inherited_too(world: World) -> None:
    listener = world.socket()
    linger = b"\1\0\0\0\5\0\0\0"
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    listener.bind((world.ip, 0))
    listener.listen()
    world.client(listener)
    server = world.accept(listener)
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == linger


@pytest.mark.parametrize("timeout", [0.0, 5.0, None])
def test_k048_an_accepted_socket_is_blocking_whatever_its_listener_is(world: World, timeout: float | None) -> None:
    listener = world.listener()
    world.client(listener)
    world.readable(listener)
    listener.settimeout(timeout)
    server, _ = listener.accept()
    world.keep(server)
    assert server.gettimeout() is None
    assert server.get_inheritable() is False


def test_k048_or_has_the_default_timeout(world: World) -> None:
    listener = world.listener()
    world.client(listener)
    world.readable(listener)
    socket.setdefaulttimeout(7.5)
    try:
        server, _ = listener.accept()
    finally:
        socket.setdefaulttimeout(None)
    world.keep(server)
    assert server.gettimeout() == 7.5


@pytest.mark.parametrize("option", ["TCP_DEFER_ACCEPT", "TCP_QUICKACK"])
def test_k049_who_is_late_with_the_third_segment_is_counted_among_those_who_wait(world: World, option: str) -> None:
    listener = world.listener(backlog=0, options={(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT): 5})
    world.client(listener, {(socket.IPPROTO_TCP, getattr(socket, option)): int(option == "TCP_DEFER_ACCEPT")})
    other = world.client(listener)  # too many wait: this one is accepted without data
    assert world.accept(listener).getpeername() == other.getsockname()
    world.gives("EAGAIN", listener.accept)


@pytest.mark.parametrize("again", [True, False])
def test_k049_who_waits_to_speak_outlasts_a_shutdown_of_the_listener(world: World, again: bool) -> None:
    listener = world.listener(options={(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT): 5})
    client = world.client(listener)
    listener.shutdown(socket.SHUT_RD)
    if again:
        listener.listen(5)
    world.pause()
    client.send(b"hello")
    if again:
        world.readable(listener)
        world.gives(b"hello", world.accept(listener).recv, 9)
    else:
        world.ready(client, "IN|OUT|RDHUP|ERR|HUP")


def test_k049_defer_accept_waits_for_data(world: World) -> None:
    listener = world.listener(options={(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT): 5})
    client = world.client(listener)
    world.pause()
    world.ready(listener, "0")
    world.gives("EAGAIN", listener.accept)
    client.send(b"now")
    server = world.accept(listener)
    world.gives(b"now", server.recv, 100)


def test_k050_a_listener_lives_until_its_last_descriptor_is_closed(world: World) -> None:
    listener = world.listener()
    twin = world.keep(listener.dup())
    listener.close()
    client = world.client(twin)
    server = world.accept(twin)
    assert server.getpeername() == client.getsockname()
    name = twin.getsockname()
    twin.close()
    late = world.socket()
    late.connect_ex(name)
    world.ready(late, "IN|OUT|RDHUP|ERR|HUP")


@pytest.mark.slow
def test_k049_who_has_sent_to_a_full_queue_is_reset_when_the_data_comes_again(world: World) -> None:
    listener = world.socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 20)
    listener.bind((world.ip, 0))
    listener.listen(0)
    waits = world.client(listener)
    world.client(listener)  # too many wait: this one is accepted without data, and fills the queue
    world.readable(listener)
    waits.send(b"x")
    world.pause()
    listener.close()
    assert world.mask(waits) == "OUT"
    poll = select.poll()
    poll.register(waits, 0)
    began = time.monotonic()
    assert poll.poll(1000)
    assert 0.15 < time.monotonic() - began < 0.3
    world.ready(waits, "IN|OUT|RDHUP|ERR|HUP")


def test_k034_who_has_connected_to_ipv4_once_is_not_heard_by_who_connects_to_it_by_ipv6(world: World) -> None:
    sock = world.socket(socket.AF_INET6)
    sock.connect_ex((f"::ffff:{world.ip}", world.dead_port()))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("ECONNREFUSED", sock.connect, ("::1", 1))
    sock.listen()
    port = sock.getsockname()[1]
    clients = world.socket(socket.AF_INET6), world.socket(socket.AF_INET)
    for client, ip in zip(clients, ("::1", "127.0.0.1"), strict=True):
        client.connect_ex((ip, port))
        world.ready(client, "OUT")
        server = world.accept(sock)
        client.send(b"x")
        world.gives(b"x", server.recv, 1)
        assert server.send(b"y") == 1
    world.gives(b"y", clients[1].recv, 1)
    world.gives("EAGAIN", clients[0].recv, 1)
