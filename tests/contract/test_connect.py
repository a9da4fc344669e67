"""connect: K-010 to K-020."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World


def test_k010_a_connect_is_in_progress_then_succeeds_once_then_is_connected(world: World) -> None:
    listener = world.listener()
    sock = world.socket()
    assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
    world.ready(sock, "OUT")
    world.readable(listener)
    other = (world.ip, 1)  # any address will do
    assert sock.connect_ex(other) == 0
    assert sock.connect_ex(other) == errno.EISCONN
    assert sock.connect_ex(listener.getsockname()) == errno.EISCONN


@pytest.mark.parametrize("before", ["SO_ERROR", "data", "peer closed"])
def test_k010_the_first_success_is_kept_whatever_happened_before(world: World, before: str) -> None:
    client, server = world.pair()
    if before == "SO_ERROR":
        assert world.error(client) == "0"
    elif before == "data":
        server.send(b"x")
        world.gives(b"x", client.recv, 1)
        client.send(b"y")
    else:
        server.close()
        world.ready(client, "IN|OUT|RDHUP")
    assert client.connect_ex((world.ip, 1)) == 0
    assert client.connect_ex((world.ip, 1)) == errno.EISCONN


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_k010_an_own_shutdown_takes_the_first_success_away(world: World, how: int) -> None:
    client, _ = world.pair()
    client.shutdown(how)
    assert client.connect_ex((world.ip, 1)) == errno.EISCONN


def test_k010_after_an_orderly_end_there_is_no_reconnect(world: World) -> None:
    client, server = world.pair()
    client.shutdown(socket.SHUT_WR)
    world.ready(server, "IN|OUT|RDHUP")
    server.close()
    world.ready(client, "IN|OUT|RDHUP|HUP")
    assert client.connect_ex((world.ip, 1)) == errno.EISCONN


def test_k010_an_accepted_socket_is_connected(world: World) -> None:
    _, server = world.pair()
    assert server.connect_ex((world.ip, 1)) == errno.EISCONN


@pytest.mark.parametrize("report", ["connect_ex", "connect", "SO_ERROR", "recv", "send"])
def test_k011_a_refusal_is_reported_once_by_the_first_to_ask(world: World, report: str) -> None:
    sock = world.refused()
    if report == "connect_ex":
        assert sock.connect_ex((world.ip, 1)) == errno.ECONNREFUSED
        world.ready(sock, "OUT|HUP")
        return
    if report == "connect":
        world.gives("ECONNREFUSED", sock.connect, (world.ip, 1))
        world.ready(sock, "OUT|HUP")
        return
    if report == "SO_ERROR":
        assert world.error(sock) == "ECONNREFUSED"
    else:
        world.gives("ECONNREFUSED", *((sock.recv, 10) if report == "recv" else (sock.send, b"x")))
    world.gives(b"", sock.recv, 10)
    world.gives("EPIPE", sock.send, b"x")
    assert world.error(sock) == "0"
    world.gives("ENOTCONN", sock.getpeername)
    world.ready(sock, "IN|OUT|RDHUP|HUP")


def test_k012_a_failed_connect_costs_one_connect_before_the_next_attempt(world: World) -> None:
    listener = world.listener()
    sock = world.refused()
    world.gives("ECONNREFUSED", sock.connect, listener.getsockname())
    world.ready(sock, "OUT|HUP")
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    world.ready(sock, "OUT")
    sock = world.refused()
    sock.recv(0)
    world.error(sock)
    world.gives("ECONNABORTED", sock.connect, listener.getsockname())
    world.ready(sock, "OUT|HUP")
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    world.ready(sock, "OUT")


@pytest.mark.parametrize(("taken", "said"), [(False, "ECONNRESET"), (True, "ECONNABORTED")])
def test_k012_so_does_a_connection_that_was_reset(world: World, taken: bool, said: str) -> None:
    client, server = world.pair()
    world.reset(server)
    world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    if taken:
        world.error(client)
    listener = world.listener()
    world.gives(said, client.connect, listener.getsockname())
    world.gives("EINPROGRESS", client.connect, listener.getsockname())
    world.ready(client, "OUT")


def test_k013_the_local_name_of_a_connect_stays_after_the_refusal(world: World) -> None:
    sock = world.refused()
    host, port = sock.getsockname()
    assert (host, port > 0) == ("127.0.0.1", True)
    world.error(sock)
    assert sock.getsockname() == (host, port)
    sock.connect_ex((world.ip, 1))  # ECONNABORTED, and resets
    assert sock.getsockname() == ("0.0.0.0", port)


def test_k013_a_bound_socket_keeps_its_name(world: World) -> None:
    sock = world.socket()
    sock.bind((world.other_ip, 0))
    name = sock.getsockname()
    sock.connect_ex((world.ip, world.dead_port()))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    sock.connect_ex((world.ip, 1))
    assert sock.getsockname() == name


def test_k014_a_blocking_connect_that_is_refused_leaves_a_fresh_socket(world: World) -> None:
    listener = world.listener()
    sock = world.socket()
    sock.setblocking(True)
    world.gives("ECONNREFUSED", sock.connect, (world.ip, world.dead_port()))
    world.ready(sock, "OUT|HUP")
    sock.connect(listener.getsockname())
    assert sock.getpeername() == listener.getsockname()


def test_k014_a_connect_with_a_timeout_leaves_the_refusal_half_told(world: World) -> None:
    listener = world.listener()
    sock = world.socket()
    sock.settimeout(5.0)
    world.gives("ECONNREFUSED", sock.connect, (world.ip, world.dead_port()))
    world.gives("ECONNABORTED", sock.connect, listener.getsockname())
    sock.connect(listener.getsockname())
    assert sock.connect_ex(listener.getsockname()) == 0
    assert sock.connect_ex(listener.getsockname()) == errno.EISCONN


def unanswered(world: World) -> Any:
    """A socket whose SYN the full backlog of a listener has dropped."""
    listener = world.listener(backlog=0)
    world.client(listener)
    sock = world.socket()
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    world.pause()
    return sock


def test_k015_what_a_connect_without_an_answer_says(world: World) -> None:
    sock = unanswered(world)
    world.ready(sock, "0")
    assert sock.connect_ex((world.ip, 1)) == errno.EALREADY
    for call in (lambda: sock.recv(1), lambda: sock.send(b"x"), lambda: sock.send(b"")):
        assert outcome(call) == "EAGAIN"
    world.gives("ENOTCONN", sock.getpeername)
    assert sock.getsockname()[1] > 0
    assert world.error(sock) == "0"
    world.gives("EINVAL", sock.bind, (world.ip, 0))
    world.gives("EINVAL", sock.listen, 1)


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR])
def test_k015_shutdown_kills_a_connect_without_an_answer(world: World, how: int) -> None:
    sock = unanswered(world)
    port = sock.getsockname()[1]
    sock.shutdown(how)
    world.ready(sock, "OUT|ERR|HUP")
    assert sock.getsockname() == ("0.0.0.0", port)
    world.gives("ECONNRESET", sock.recv, 1)
    world.gives("ENOTCONN", sock.recv, 1)
    world.gives("EPIPE", sock.send, b"x")
    listener = world.listener()
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    world.ready(sock, "OUT")


def test_k015_a_new_connect_clears_the_error_of_the_killed_one(world: World) -> None:
    sock = unanswered(world)
    sock.shutdown(socket.SHUT_RDWR)
    world.gives("EINPROGRESS", sock.connect, world.listener().getsockname())
    assert world.error(sock) == "0"


def test_k016_a_listening_socket_is_no_client(world: World) -> None:
    listener = world.listener()
    assert listener.connect_ex(listener.getsockname()) == errno.EISCONN


@pytest.mark.parametrize(
    ("how", "mask"),
    [
        pytest.param(socket.SHUT_RD, "IN|OUT|RDHUP|HUP", id="rd"),
        pytest.param(socket.SHUT_WR, "OUT|HUP", id="wr"),
        pytest.param(socket.SHUT_RDWR, "IN|OUT|RDHUP|HUP", id="rdwr"),
    ],
)
@pytest.mark.parametrize("bound", [False, True], ids=["fresh", "bound"])
def test_k016_shutdown_of_a_fresh_socket_fails_and_sets_its_flags(
    world: World, how: int, mask: str, bound: bool
) -> None:
    sock = world.socket()
    if bound:
        sock.bind((world.ip, 0))
    world.gives("ENOTCONN", sock.shutdown, how)
    world.ready(sock, mask)


def test_k016_the_flags_stay_through_a_successful_connect(world: World) -> None:
    sock = world.socket()
    world.gives("ENOTCONN", sock.shutdown, socket.SHUT_RDWR)
    listener = world.listener()
    sock.connect_ex(listener.getsockname())
    world.readable(listener)
    world.ready(sock, "IN|OUT|RDHUP|HUP")


def test_k016_and_from_a_listener_to_its_children(world: World) -> None:
    listener = world.socket()
    listener.bind((world.ip, 0))
    world.gives("ENOTCONN", listener.shutdown, socket.SHUT_RDWR)
    listener.listen(5)
    client = world.socket()
    client.connect_ex(listener.getsockname())
    world.ready(client, "IN|OUT|RDHUP")  # the connection sends its end as soon as it is there
    server = world.accept(listener)
    world.ready(server, "IN|OUT|RDHUP|HUP")


def test_k017_a_socket_can_connect_to_itself(world: World) -> None:
    sock = world.socket()
    sock.bind((world.ip, 0))
    world.gives("EINPROGRESS", sock.connect, sock.getsockname())
    world.ready(sock, "OUT")
    assert sock.getpeername() == sock.getsockname()
    sock.send(b"me")
    world.ready(sock, "IN|OUT")
    world.gives(b"me", sock.recv, 10)
    sock.shutdown(socket.SHUT_WR)
    world.ready(sock, "IN|OUT|RDHUP|HUP")
    world.gives(b"", sock.recv, 10)


def test_k017_so_can_one_whose_last_attempt_was_killed(world: World) -> None:
    sock = unanswered(world)
    sock.shutdown(socket.SHUT_WR)
    sock.bind((world.ip, 0))
    world.gives("EINPROGRESS", sock.connect, sock.getsockname())
    world.ready(sock, "OUT")
    sock.send(b"me")
    world.gives(b"me", sock.recv, 10)


def test_k017_two_bound_sockets_that_connect_to_each_other_are_refused(world: World) -> None:
    one, two = world.socket(), world.socket()
    one.bind((world.ip, 0))
    two.bind((world.ip, 0))
    for sock, other in ((one, two), (two, one)):
        world.gives("EINPROGRESS", sock.connect, other.getsockname())
        world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
        assert world.error(sock) == "ECONNREFUSED"


def test_k018_a_connect_to_the_wildcard_goes_to_localhost(world: World) -> None:
    listener = world.listener(ip="127.0.0.1")
    sock = world.socket()
    sock.connect_ex(("0.0.0.0", listener.getsockname()[1]))
    world.ready(sock, "OUT")
    assert sock.getpeername() == listener.getsockname()
    assert sock.getsockname()[0] == "127.0.0.1"


def test_k018_port_0_refuses(world: World) -> None:
    sock = world.socket()
    world.gives("EINPROGRESS", sock.connect, (world.ip, 0))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(sock) == "ECONNREFUSED"


def test_k018_another_loopback_address_is_another_place(world: World) -> None:
    listener = world.listener()
    sock = world.socket()
    sock.connect_ex((world.other_ip, listener.getsockname()[1]))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    sock = world.socket()
    sock.bind((world.other_ip, 0))
    sock.connect_ex(listener.getsockname())
    world.ready(sock, "OUT")
    assert sock.getsockname()[0] == world.other_ip


def test_k018_the_wildcard_of_ipv6_means_its_localhost(world: World) -> None:
    listener = world.listener(ip="::1")
    sock = world.socket(socket.AF_INET6)
    sock.connect_ex(("::", listener.getsockname()[1]))
    world.ready(sock, "OUT")
    assert sock.getpeername()[0] == "::1"


def test_k018_the_wildcard_of_ipv6_means_ipv4_to_a_socket_bound_there(world: World) -> None:
    listener = world.listener(ip="127.0.0.1")
    sock = world.socket(socket.AF_INET6)
    sock.bind((f"::ffff:{world.ip}", 0))
    sock.connect_ex(("::", listener.getsockname()[1]))
    world.ready(sock, "OUT")
    assert sock.getpeername()[0] == "::ffff:127.0.0.1"


def test_k018_loopback_has_a_broadcast_address(world: World) -> None:
    world.gives("ENETUNREACH", world.socket().connect, ("127.255.255.255", 9))


def test_k019_one_port_can_serve_two_connections_but_not_to_one_place(world: World) -> None:
    first, second = world.listener(), world.listener()
    clients = [world.socket(), world.socket(), world.socket()]
    for sock in clients:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    clients[0].bind((world.other_ip, 0))
    clients[0].connect_ex(first.getsockname())
    world.ready(clients[0], "OUT")
    for sock in clients[1:]:
        sock.bind(clients[0].getsockname())
    world.gives("EADDRNOTAVAIL", clients[1].connect, first.getsockname())
    world.gives("EINPROGRESS", clients[2].connect, second.getsockname())
    world.ready(clients[2], "OUT")


def test_k019_a_connected_or_refused_socket_is_bound_and_never_listens(world: World) -> None:
    client, _ = world.pair()
    world.gives("EINVAL", client.bind, (world.ip, 0))
    world.gives("EINVAL", client.listen, 1)
    sock = world.refused()
    world.gives("EINVAL", sock.listen, 1)


@pytest.mark.parametrize("death", ["refused", "reset", "ended"])
def test_k019_a_dead_socket_may_be_bound_once_more(world: World, death: str) -> None:
    if death == "refused":
        sock = world.refused()
    else:
        sock, server = world.pair()
        if death == "reset":
            world.reset(server)
            world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
        else:
            sock.shutdown(socket.SHUT_WR)
            world.ready(server, "IN|OUT|RDHUP")
            server.close()
            world.ready(sock, "IN|OUT|RDHUP|HUP")
    world.gives(None, sock.bind, (world.ip, 0))
    world.gives("EINVAL", sock.bind, (world.ip, 0))
    if death == "refused":
        world.gives("ECONNREFUSED", sock.connect, world.listener().getsockname())


@pytest.mark.parametrize(
    ("family", "address", "error"),
    [
        (2, "127.0.0.1:80", "TypeError: {call}(): AF_INET address must be tuple, not str"),
        (2, ["127.0.0.1", 80], "TypeError: {call}(): AF_INET address must be tuple, not list"),
        (2, ("127.0.0.1",), "TypeError: AF_INET address must be a pair (host, port)"),
        (2, ("127.0.0.1", 80, 0), "TypeError: AF_INET address must be a pair (host, port)"),
        (2, ("127.0.0.1", 65536), "OverflowError: {call}(): port must be 0-65535."),
        (2, ("127.0.0.1", -1), "OverflowError: {call}(): port must be 0-65535."),
        (2, ("127.0.0.1", "80"), "TypeError: 'str' object cannot be interpreted as an integer"),
        (2, (1, 80), "TypeError: str, bytes or bytearray expected, not int"),
        (2, (None, 80), "TypeError: str, bytes or bytearray expected, not NoneType"),
        (2, ("::1", 80), "gaierror -9"),
        (10, ("127.0.0.1", 80), "gaierror -9"),
        (10, "::1", "TypeError: {call}(): AF_INET6 address must be tuple, not str"),
        (10, ("::1",), "TypeError: AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])"),
        (10, ("::1", 1, 2, 3, 4), "TypeError: AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])"),
        (10, ("::1", 1, 1 << 20), "OverflowError: {call}(): flowinfo must be 0-1048575."),
        (10, ("::1", 70_000), "OverflowError: {call}(): port must be 0-65535."),
    ],
)
@pytest.mark.parametrize("call", ["connect", "connect_ex", "bind", "sendto"])
def test_k020_what_is_no_address_is_refused_before_the_kernel_is_asked(
    world: World, call: str, family: int, address: Any, error: str
) -> None:
    sock = world.socket(family, socket.SOCK_DGRAM if call == "sendto" else socket.SOCK_STREAM)
    arguments = (b"x", address) if call == "sendto" else (address,)
    world.gives(error.format(call=call), getattr(sock, call), *arguments)


def test_k020_a_name_that_does_not_resolve(world: World) -> None:
    sock = world.socket()
    world.gives("gaierror -2", sock.connect, ("no such host", 80))
    world.gives("gaierror -2", sock.connect_ex, ("no such host", 80))


@pytest.mark.parametrize("host", [b"127.0.0.1", bytearray(b"127.0.0.1")], ids=["bytes", "bytearray"])
def test_k020_hosts_may_be_bytes(world: World, host: Any) -> None:
    sock = world.socket()
    sock.bind((host, 0))
    assert sock.getsockname()[0] == "127.0.0.1"


def test_k015_shutdown_ends_a_blocking_connect_of_somebody_else(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    sock = world.socket()
    sock.setblocking(True)
    heard: list[Any] = []
    join = world.beside(lambda: heard.append(outcome(lambda: sock.connect(listener.getsockname()))))
    time.sleep(0.02)
    sock.shutdown(socket.SHUT_WR)
    join()
    assert heard == ["ECONNRESET"]
    assert world.error(sock) == "0"
    world.ready(sock, "OUT|HUP")
    assert sock.getsockname()[0] == "0.0.0.0"


@pytest.mark.parametrize("timeout", [None, 5.0])
def test_k016_a_blocking_connect_waits_whatever_was_shut_down_before(world: World, timeout: float | None) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    sock = world.socket()
    world.gives("ENOTCONN", sock.shutdown, socket.SHUT_RDWR)
    sock.settimeout(timeout)
    heard: list[Any] = []
    join = world.beside(lambda: heard.append(outcome(lambda: sock.connect(listener.getsockname()))))
    time.sleep(0.02)
    assert heard == ([] if timeout is None else [None])  # Python's poll takes the hang-up for the end of the attempt
    world.ready(sock, "IN|RDHUP|HUP")
    sock.shutdown(socket.SHUT_RDWR)
    join()
    assert heard == (["ECONNRESET"] if timeout is None else [None])


@pytest.mark.parametrize("connects", [True, False])
def test_whose_descriptor_is_closed_while_it_waits_for_a_time_hears_of_it_at_the_end(
    world: World, connects: bool
) -> None:
    listener = world.listener(backlog=0)
    client = world.client(listener)
    sock = world.socket() if connects else client
    sock.settimeout(0.05)
    call = (lambda: sock.connect(listener.getsockname())) if connects else (lambda: sock.recv(1))
    heard: list[Any] = []
    join = world.beside(lambda: heard.append(outcome(call)))
    time.sleep(0.02)
    sock.close()
    join()
    assert heard == ["EBADF"]


def test_k034_who_has_connected_to_an_ipv4_address_reaches_no_ipv6_one(world: World) -> None:
    mapped = f"::ffff:{world.ip}"
    sock = world.socket(socket.AF_INET6)
    world.gives("EINPROGRESS", sock.connect, (mapped, world.dead_port()))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    world.gives("ECONNREFUSED", sock.connect, (mapped, 1))
    listener = world.listener(ip="::1")
    world.gives("EINPROGRESS", sock.connect, listener.getsockname())
    world.pause()
    world.ready(sock, "0")  # its SYN has gone nowhere
    assert sock.getsockname()[0] == "::1"
    sock.shutdown(socket.SHUT_WR)
    world.gives("EINPROGRESS", sock.connect, (mapped, world.listener().getsockname()[1]))
    world.ready(sock, "OUT")


@pytest.mark.parametrize("named", [True, False])
def test_k019_the_same_pair_again_waits_until_the_peer_has_acknowledged_the_end(world: World, named: bool) -> None:
    """What is closed and not acknowledged is in FIN_WAIT1, which no other socket replaces; then it is in TIME_WAIT."""
    listener = world.listener()
    port = world.dead_port() if named else 0

    def connect() -> Any:
        sock = world.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((world.ip, port))
        return sock, sock.connect_ex(listener.getsockname())

    first, _ = connect()
    port = first.getsockname()[1]
    server = world.accept(listener)
    first.send(b"unread")
    world.readable(server)
    first.close()
    assert connect()[1] == errno.EADDRNOTAVAIL
    time.sleep(0.06)  # the acknowledgement waits for an answer, 44 ms
    assert connect()[1] == errno.EINPROGRESS


def test_k019_a_port_that_was_named_by_hand_is_free_when_the_peer_resets_the_end(world: World) -> None:
    listener = world.listener()
    port = world.dead_port()
    client = world.socket()
    client.bind((world.ip, port))
    client.connect_ex(listener.getsockname())
    world.ready(client, "OUT")
    server = world.accept(listener)
    client.send(b"unread")
    world.readable(server)
    client.close()  # FIN_WAIT1, for it waits to be acknowledged
    world.gives("EADDRINUSE", world.socket().bind, (world.ip, port))
    world.reset(server)
    world.pause()
    world.socket().bind((world.ip, port))


@pytest.mark.parametrize("listens", [False, True])
def test_k019_who_opens_towards_an_end_in_time_wait_is_answered_from_there_unless_somebody_listens(
    world: World, listens: bool
) -> None:
    """The old end acknowledges, which the new one resets; then it says again that it opens, two ticks later."""
    listener = world.listener()
    first = world.socket()
    for sock in (listener, first):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind((world.ip, 0))
    first.connect_ex(listener.getsockname())
    world.ready(first, "OUT")
    server = world.accept(listener)
    names = server.getsockname(), first.getsockname()
    listener.close()
    for sock in (first, server):
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.06)  # until it is acknowledged
    back = world.socket()
    back.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    back.bind(names[0])
    if listens:
        other = world.socket()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(names[1])
        other.listen()
    assert back.connect_ex(names[1]) == errno.EINPROGRESS
    if listens:
        world.ready(back, "OUT")
    else:
        time.sleep(0.03)
        world.ready(back, "IN|OUT|RDHUP|ERR|HUP")
        assert world.error(back) == "ECONNREFUSED"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("ip", ["2001:db8::1", "fec0::2", "::5"])
def test_k131_who_is_bound_to_loopback_reaches_nobody_else_over_ipv6(world: World, ip: str, kind: int) -> None:
    sock = world.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    world.gives("ENETUNREACH", sock.connect, (ip, 7))
    if kind == socket.SOCK_DGRAM:
        world.gives("ENETUNREACH", sock.sendto, b"x", (ip, 7))
        assert sock.sendto(b"x", ("::", 7)) == 1


def test_k131_who_is_bound_to_a_link_needs_no_route_to_all_on_it(world: World) -> None:
    """And its address is none that others may not see, as that of loopback."""
    sock = world.socket(kind=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    assert sock.sendto(b"x", ("224.0.0.9", 7)) == 1
    world.gives("EACCES", sock.sendto, b"x", ("255.255.255.255", 7))
    sock.connect(("224.0.0.9", 7))
    assert sock.getsockname()[0] not in ("0.0.0.0", "127.0.0.1")
