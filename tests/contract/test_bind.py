"""bind, listen and ports: K-025 to K-034."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.worlds import World

SO_BINDTODEVICE = 25
REUSEADDR = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
REUSEPORT = (socket.SOL_SOCKET, socket.SO_REUSEPORT)
V6ONLY = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
IP_FREEBIND, IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE = 15, 24, 51  # of linux/in.h


def bound(
    world: World,
    ip: str,
    port: int = 0,
    *options: tuple[int, int],
    family: int = socket.AF_INET,
    kind: int = socket.SOCK_STREAM,
) -> Any:
    """A socket bound there, or the name of the error."""
    sock = world.socket(family, kind)
    for option in options:
        sock.setsockopt(*option, 1)
    failed = outcome(lambda: sock.bind((ip, port)))
    return sock if failed is None else failed


def test_k025_a_socket_is_bound_once(world: World) -> None:
    sock = bound(world, world.ip)
    world.gives("EINVAL", sock.bind, (world.ip, 0))
    listener = world.listener()
    world.gives("EINVAL", listener.bind, (world.ip, 0))
    client, _ = world.pair()
    world.gives("EINVAL", client.bind, (world.ip, 0))


def test_k025_only_local_addresses_can_be_bound_and_all_of_127_is_local(world: World) -> None:
    assert bound(world, "192.0.2.1") == "EADDRNOTAVAIL"  # TEST-NET-1, RFC 5737: nobody has it
    assert bound(world, "127.255.255.254").getsockname()[0] == "127.255.255.254"


def test_k025_an_address_of_one_link_needs_its_number(world: World) -> None:
    for ip in ("fe80::1", "ff02::1"):
        world.gives("EINVAL", world.socket(socket.AF_INET6).bind, (ip, 0))
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        world.gives("ENODEV", world.socket(socket.AF_INET6, kind).bind, ("fe80::1", 0, 0, 2**31 - 1))
        world.gives("EADDRNOTAVAIL", world.socket(socket.AF_INET6, kind).bind, ("fe80::1", 0, 0, 1))
    world.gives("ENODEV", world.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind, ("ff02::1", 0, 0, 2**31 - 1))
    world.gives("EINVAL", world.socket(socket.AF_INET6).connect, ("fe80::1", 9))
    world.gives("ENETUNREACH", world.socket(socket.AF_INET6).connect, ("ff02::1", 9))


@pytest.mark.parametrize(
    ("host", "shown"), [pytest.param("", "0.0.0.0", id="wildcard"), pytest.param("<broadcast>", "255.255.255.255")]
)
def test_k025_two_words_stand_for_addresses(world: World, host: str, shown: str) -> None:
    assert bound(world, host).getsockname()[0] == shown


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k025_freebind_takes_an_address_of_another(world: World, kind: int) -> None:
    sock, other = world.socket(kind=kind), world.socket(kind=kind)
    world.gives("EADDRNOTAVAIL", sock.bind, ("203.0.113.9", 0))
    for each in (sock, other):
        each.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    sock.bind(("203.0.113.9", 0))
    port = sock.getsockname()[1]
    world.gives("EADDRINUSE", other.bind, ("203.0.113.9", port))
    other.bind((world.ip, port))
    if kind == socket.SOCK_STREAM:
        world.gives("ENETUNREACH", sock.connect, (world.ip, 9))  # nothing comes from there
        sock.listen(1)
    else:
        world.gives("ENETUNREACH", sock.sendto, b"x", (world.ip, 9))
        world.gives("ENOTCONN", sock.shutdown, socket.SHUT_WR)  # which is set all the same
        for flags in (0, socket.MSG_MORE):
            world.gives("ENETUNREACH", sock.sendto, b"x", flags, (world.ip, 9))  # the way comes before that


def test_k025_the_way_is_looked_up_before_a_datagram_meets_what_shutdown_has_set(world: World) -> None:
    sock = bound(world, world.ip, kind=socket.SOCK_DGRAM)
    world.gives("ENOTCONN", sock.shutdown, socket.SHUT_WR)
    world.gives("EINVAL", sock.sendto, b"x", ("192.0.2.1", 9))  # from 127/8 there is none
    world.gives("EPIPE", sock.sendto, b"x", (world.ip, 9))


@pytest.mark.parametrize(
    ("ip", "refusal"),
    [
        ("::ffff:224.0.0.7", "EINVAL"),
        ("::ffff:255.255.255.255", "EINVAL"),
        ("::ffff:127.255.255.255", "ENETUNREACH"),
    ],
)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k025_an_ipv6_socket_does_not_send_from_an_ipv4_address_of_several_hosts(
    world: World, kind: int, ip: str, refusal: str
) -> None:
    """Which no packet may have for its source; an IPv4 socket chooses another one."""
    for peer, answer in (
        ("::ffff:127.0.0.1", refusal),
        ("::ffff:224.0.0.9", refusal),
        ("::", refusal),
        ("::1", "EAFNOSUPPORT"),
    ):
        sock = bound(world, ip, family=socket.AF_INET6, kind=kind)
        world.gives(answer, sock.connect, (peer, 9))
        assert sock.getsockname()[0] == ip
        if kind == socket.SOCK_DGRAM:
            world.gives(answer, sock.sendto, b"x", (peer, 9))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "224.0.0.7"])
def test_k034_a_link_without_a_way_to_an_ipv6_address_is_told_before_its_family(
    world: World, kind: int, host: str
) -> None:
    for device, peer, answer in (
        (b"", ("fe80::1", 9, 0, 1), "ENETUNREACH"),
        (b"", ("fe80::1", 9, 0, 99), "ENETUNREACH"),
        (b"", ("::1", 9), "EAFNOSUPPORT"),
        (b"lo", ("fe80::1", 9), "ENETUNREACH"),
        (b"lo", ("::127.0.0.1", 9), "ENETUNREACH"),
        (b"lo", ("::1", 9), "EAFNOSUPPORT"),
    ):
        sock = bound(world, f"::ffff:{host}", family=socket.AF_INET6, kind=kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
        world.gives(answer, sock.connect, peer)


def test_k026_listen_without_bind_takes_a_port_on_the_wildcard(world: World) -> None:
    sock = world.socket()
    sock.listen()
    host, port = sock.getsockname()
    assert host == "0.0.0.0"
    assert port > 0


def test_k026_listen_again_changes_the_backlog_and_keeps_what_is_queued(world: World) -> None:
    listener = world.listener(backlog=0)
    first = world.client(listener)
    stuck = world.socket()
    stuck.connect_ex(listener.getsockname())
    world.pause()
    world.ready(stuck, "0")
    listener.listen(5)
    second = world.client(listener)
    listener.listen(0)
    for client in (first, second):
        server = world.accept(listener)
        assert server.getpeername() == client.getsockname()
    listener.listen()


def test_k026_a_negative_backlog_is_0(world: World) -> None:
    listener = world.listener(backlog=-1)
    world.client(listener)
    late = world.socket()
    late.connect_ex(listener.getsockname())
    world.pause()
    world.ready(late, "0")
    unix = world.socket(socket.AF_UNIX)
    unix.bind(world.abstract("l"))
    unix.listen(-2)
    clients = [world.socket(socket.AF_UNIX) for _ in range(2)]
    assert [each.connect_ex(unix.getsockname()) for each in clients] == [0, errno.EAGAIN]


def test_k026_datagrams_are_not_accepted(world: World) -> None:
    sock = world.socket(kind=socket.SOCK_DGRAM)
    world.gives("ENOTSUP", sock.listen, 1)
    world.gives("ENOTSUP", sock.accept)


def test_k026_accept_needs_a_listener(world: World) -> None:
    world.gives("EINVAL", world.socket().accept)
    world.gives("EINVAL", world.pair()[0].accept)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_k025_ipv6_sees_that_a_socket_is_bound_before_it_looks_at_the_address(world: World, kind: int) -> None:
    for family, local, away, code in (
        (socket.AF_INET, "127.0.0.1", "198.51.100.1", "EADDRNOTAVAIL"),
        (socket.AF_INET6, "::1", "2001:db8::1", "EINVAL"),
        (socket.AF_INET6, "::1", "::ffff:198.51.100.1", "EINVAL"),
    ):
        sock = world.socket(family, kind)
        sock.bind((local, 0))
        world.gives(code, sock.bind, (away, 0))


def test_k034_the_wildcard_of_ipv4_is_an_address_to_an_ipv6_socket(world: World) -> None:
    sock = world.socket(socket.AF_INET6)
    sock.bind(("::ffff:0.0.0.0", 0))
    sock.listen()
    name = sock.getsockname()
    sock.shutdown(socket.SHUT_RD)
    assert sock.getsockname() == name  # the port was the kernel's choice, and given back
    datagrams = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.bind(("::ffff:0.0.0.0", 0))
    for ip, stream, datagram in (
        ("::1", "EAFNOSUPPORT", "EAFNOSUPPORT"),
        ("fe80::1", "EINVAL", "EINVAL"),  # which needs a link
        ("ff02::1", "ENETUNREACH", "EINVAL"),
    ):
        world.gives(stream, sock.connect, (ip, 1))
        world.gives(datagram, datagrams.connect, (ip, 1))


CONFLICTS = [
    # (first address, its options, listening), (second address, its options), what bind says
    pytest.param("one", (), False, "one", (), "EADDRINUSE", id="same-address"),
    pytest.param("one", (), False, "any", (), "EADDRINUSE", id="wildcard-over-it"),
    pytest.param("any", (), False, "one", (), "EADDRINUSE", id="under-a-wildcard"),
    pytest.param("one", (), False, "two", (), None, id="other-address"),
    pytest.param("one", (), True, "two", (), None, id="other-address-listening"),
    pytest.param("one", (REUSEADDR,), False, "one", (REUSEADDR,), None, id="both-reuse-address"),
    pytest.param("one", (REUSEADDR,), False, "one", (), "EADDRINUSE", id="first-reuses-address"),
    pytest.param("one", (), False, "one", (REUSEADDR,), "EADDRINUSE", id="second-reuses-address"),
    pytest.param("one", (REUSEADDR,), True, "one", (REUSEADDR,), "EADDRINUSE", id="reuse-address-listening"),
    pytest.param("one", (REUSEPORT,), True, "one", (REUSEPORT,), None, id="both-reuse-port"),
    pytest.param("one", (REUSEPORT,), False, "one", (), "EADDRINUSE", id="one-reuses-port"),
    pytest.param("one", (REUSEPORT,), False, "one", (REUSEADDR,), "EADDRINUSE", id="port-and-address"),
    pytest.param("any", (REUSEADDR,), False, "one", (REUSEADDR,), None, id="reuse-address-under-a-wildcard"),
]


@pytest.mark.parametrize(("first", "options", "listening", "second", "more", "said"), CONFLICTS)
def test_k027_who_may_share_a_port(
    world: World, first: str, options: Any, listening: bool, second: str, more: Any, said: str | None
) -> None:
    ips = {"one": world.ip, "two": world.other_ip, "any": "0.0.0.0"}
    one = bound(world, ips[first], 0, *options)
    if listening:
        one.listen(1)
    two = bound(world, ips[second], one.getsockname()[1], *more)
    assert (two if isinstance(two, str) else None) == said


def test_k027_tcp_and_udp_ports_are_two_spaces(world: World) -> None:
    sock = bound(world, world.ip)
    datagram = world.socket(kind=socket.SOCK_DGRAM)
    datagram.bind(sock.getsockname())


def test_k027_the_options_count_at_the_second_bind(world: World) -> None:
    one = bound(world, world.ip, 0, REUSEADDR)
    one.setsockopt(*REUSEADDR, 0)
    assert bound(world, world.ip, one.getsockname()[1], REUSEADDR) == "EADDRINUSE"
    one.setsockopt(*REUSEADDR, 1)
    assert not isinstance(bound(world, world.ip, one.getsockname()[1], REUSEADDR), str)


def test_k027_that_the_last_to_bind_shared_is_remembered_not_asked_again(world: World) -> None:
    one = bound(world, "0.0.0.0", 0, REUSEPORT)
    port = one.getsockname()[1]
    one.setsockopt(*REUSEPORT, 0)
    two = bound(world, world.ip, port, REUSEPORT)
    two.close()
    assert bound(world, world.other_ip, port) == "EADDRINUSE"
    assert not isinstance(bound(world, world.other_ip, port, REUSEPORT), str)


def test_k027_what_is_remembered_holds_for_the_address_that_shared(world: World) -> None:
    one = bound(world, world.ip, 0, REUSEPORT)
    one.setsockopt(*REUSEPORT, 0)
    assert bound(world, "0.0.0.0", one.getsockname()[1], REUSEPORT) == "EADDRINUSE"
    assert not isinstance(bound(world, world.ip, one.getsockname()[1], REUSEPORT), str)


def test_k034_of_datagram_sockets_on_a_port_the_first_that_shares_it_decides(world: World) -> None:
    def datagram(port: int, *options: tuple[int, int], family: int = socket.AF_INET) -> Any:
        ip = "0.0.0.0" if family == socket.AF_INET else "::"
        return bound(world, ip, port, *options, family=family, kind=socket.SOCK_DGRAM)

    port = datagram(0, REUSEADDR).getsockname()[1]
    assert datagram(port, REUSEPORT) == "EADDRINUSE"
    sharer = datagram(port, REUSEADDR, REUSEPORT)
    datagram(port, REUSEPORT).close()  # it is the latest of them that is asked, and it shares
    datagram(port, REUSEADDR)
    assert datagram(port, REUSEPORT) == "EADDRINUSE"
    sharer.close()

    first = datagram(0, REUSEADDR, REUSEPORT, family=socket.AF_INET6)
    port = first.getsockname()[1]
    datagram(port, REUSEADDR)
    assert datagram(port, REUSEPORT) == "EADDRINUSE"  # IPv6 sockets that share are asked last


def test_k028_of_two_that_share_an_address_the_first_to_listen_has_it(world: World) -> None:
    one = bound(world, world.ip, 0, REUSEADDR)
    two = bound(world, world.ip, one.getsockname()[1], REUSEADDR)
    one.listen(1)
    world.gives("EADDRINUSE", two.listen, 1)
    assert bound(world, world.ip, one.getsockname()[1], REUSEADDR) == "EADDRINUSE"


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)], ids=str)
@pytest.mark.parametrize("rest", ["established", "timewait"])
def test_k029_a_server_port_in_use_by_its_old_connections_is_free_for_reusers(
    world: World, rest: str, flags: tuple[bool, bool]
) -> None:
    old, new = flags
    listener = world.listener(options={REUSEADDR: 1} if old else {})
    client = world.client(listener)
    server = world.accept(listener)
    name = listener.getsockname()
    listener.close()
    if rest == "timewait":  # the server closes first
        server.close()
        world.ready(client, "IN|OUT|RDHUP")
        client.close()
        world.pause()
    again = bound(world, name[0], name[1], *([REUSEADDR] if new else []))
    assert (again if isinstance(again, str) else None) == (None if old and new else "EADDRINUSE")


@pytest.mark.parametrize("rest", ["no connection", "the client closed first"])
def test_k029_otherwise_a_server_port_is_free_at_once(world: World, rest: str) -> None:
    listener = world.listener()
    name = listener.getsockname()
    if rest == "the client closed first":
        client = world.client(listener)
        server = world.accept(listener)
        client.close()
        world.ready(server, "IN|OUT|RDHUP")
        server.close()
        world.pause()
    listener.close()
    assert not isinstance(bound(world, *name), str)


def test_k030_the_port_of_a_living_client_is_taken(world: World) -> None:
    client, _ = world.pair()
    assert bound(world, *client.getsockname()) == "EADDRINUSE"


def test_k031_ports_of_the_kernels_choice_come_from_the_ephemeral_range(world: World) -> None:
    for _ in range(5):
        client, server = world.pair()
        assert 32768 <= client.getsockname()[1] <= 60999
        assert 32768 <= server.getsockname()[1] <= 60999
        assert client.getsockname()[1] % 2 == 0  # connect() takes even ones, bind(0) odd ones, while there are any
        assert server.getsockname()[1] % 2 == 1


def test_k032_a_listener_on_the_address_is_preferred_to_one_on_the_wildcard(world: World) -> None:
    wide = bound(world, "0.0.0.0", 0, REUSEADDR)
    narrow = bound(world, world.ip, wide.getsockname()[1], REUSEADDR)
    narrow.listen(1)
    world.gives("EADDRINUSE", wide.listen, 1)  # K-028, since they overlap


def test_k032_specific_beats_wildcard_for_two_that_share_a_port(world: World) -> None:
    wide = bound(world, "0.0.0.0", 0, REUSEPORT)
    narrow = bound(world, world.ip, wide.getsockname()[1], REUSEPORT)
    wide.listen(1)
    narrow.listen(1)
    world.client(narrow)
    world.readable(narrow)
    world.ready(wide, "0")
    sock = world.socket()
    sock.connect_ex((world.other_ip, wide.getsockname()[1]))
    world.readable(wide)


@pytest.mark.parametrize(
    ("ips", "has_it"),
    [
        (("::", "::ffff:0.0.0.0"), 0),
        (("::ffff:0.0.0.0", "::"), 0),
        (("::", "0.0.0.0"), 1),
        (("::ffff:0.0.0.0", "0.0.0.0"), 1),
        (("::", "::ffff:0.0.0.0", "0.0.0.0"), 2),
    ],
)
def test_k034_of_ipv6_sockets_on_a_wildcard_the_first_has_the_ipv4_clients(
    world: World, ips: tuple[str, ...], has_it: int
) -> None:
    port = 0
    listeners = []
    for ip in ips:
        sock = world.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        sock.setsockopt(*REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((ip, port))
        sock.listen(1)
        port = sock.getsockname()[1]
        listeners.append(sock)
    world.socket().connect_ex((world.ip, port))
    world.readable(listeners[has_it])
    for sock in listeners:
        world.ready(sock, "IN" if sock is listeners[has_it] else "0")


@pytest.mark.parametrize(
    ("family", "kind", "name"),
    [
        pytest.param(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", 0), id="tcp"),
        pytest.param(socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", 0), id="udp"),
        pytest.param(socket.AF_INET6, socket.SOCK_STREAM, ("::", 0, 0, 0), id="tcp6"),
        pytest.param(socket.AF_UNIX, socket.SOCK_STREAM, "", id="unix"),
    ],
)
def test_k033_the_name_of_a_fresh_socket(world: World, family: int, kind: int, name: Any) -> None:
    assert world.socket(family, kind).getsockname() == name


def test_k034_an_ipv6_wildcard_listener_accepts_ipv4(world: World) -> None:
    listener = world.listener(ip="::")
    port = listener.getsockname()[1]
    client = world.socket()
    client.connect_ex(("127.0.0.1", port))
    world.ready(client, "OUT")
    server = world.accept(listener)
    assert server.getsockname()[:2] == ("::ffff:127.0.0.1", port)
    assert server.getpeername()[:2] == ("::ffff:127.0.0.1", client.getsockname()[1])
    assert client.getpeername() == ("127.0.0.1", port)
    for ip in ("0.0.0.0", "127.0.0.1"):
        assert bound(world, ip, port) == "EADDRINUSE"


def test_k034_v6only_keeps_the_families_apart(world: World) -> None:
    other: Any = "EADDRINUSE"
    for _ in range(20):  # on a kernel, another program may hold the port in the other family
        sock = world.socket(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::", 0))
        other = bound(world, "0.0.0.0", sock.getsockname()[1])
        if not isinstance(other, str):
            break
    assert not isinstance(other, str)
    world.gives("EINVAL", sock.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)


def test_k034_an_ipv6_socket_reaches_ipv4_by_mapped_addresses(world: World) -> None:
    listener = world.listener(ip="127.0.0.1")
    client = world.socket(socket.AF_INET6)
    client.connect_ex(("::ffff:127.0.0.1", listener.getsockname()[1]))
    world.ready(client, "OUT")
    assert client.getsockname()[0] == client.getpeername()[0] == "::ffff:127.0.0.1"
    assert world.accept(listener).getpeername()[0] == "127.0.0.1"


def test_k034_who_has_an_ipv6_address_from_a_connection_has_not_left_ipv4_to_others(world: World) -> None:
    client = world.socket(socket.AF_INET6)
    client.bind(("::", 0))
    client.connect_ex(world.listener(ip="::1").getsockname())
    world.ready(client, "OUT")
    listener = world.listener(ip="::")
    world.keep(world.socket(socket.AF_INET6)).connect_ex(("::1", listener.getsockname()[1]))
    server = world.accept(listener)
    listener.close()
    datagrams = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.bind(("::", 0))
    datagrams.connect(("::1", 9))
    for holder in (client, server, datagrams):
        host, port, *_ = holder.getsockname()
        assert host == "::1"
        for ip, answer in (("0.0.0.0", "EADDRINUSE"), (world.ip, None)):
            world.gives(answer, world.socket(kind=holder.type).bind, (ip, port))


@pytest.mark.parametrize("ends", ["refused", "reset", "both-ways"])
def test_k034_who_had_an_ipv6_address_from_a_connection_that_is_over_has_not_left_ipv4_to_others(
    world: World, ends: str
) -> None:
    client = world.socket(socket.AF_INET6)
    while not client.getsockname()[1]:
        with contextlib.suppress(OSError):  # a connection of another test's is in TIME_WAIT there
            client.bind(("::", world.dead_port("0.0.0.0")))
    listener = world.listener(ip="::1")
    peer = listener.getsockname()
    if ends == "refused":
        listener.close()
    client.connect_ex(peer)
    if ends == "refused":
        world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
    else:
        world.ready(client, "OUT")
        server = world.accept(listener)
        if ends == "reset":
            world.reset(server)
            world.ready(client, "IN|OUT|RDHUP|ERR|HUP")
        else:
            server.shutdown(socket.SHUT_WR)
            client.shutdown(socket.SHUT_WR)
            world.ready(client, "IN|OUT|RDHUP|HUP")
    host, port, *_ = client.getsockname()
    assert host == "::1"
    for ip, answer in (("0.0.0.0", "EADDRINUSE"), (world.ip, None)):
        world.gives(answer, world.socket().bind, (ip, port))


def test_k034_names_of_ipv6_have_four_parts(world: World) -> None:
    client, server = world.pair(ip="::1")
    assert client.getpeername() == server.getsockname() == ("::1", server.getsockname()[1], 0, 0)


def test_k034_who_shares_a_port_shares_it_within_its_family(world: World) -> None:
    mapped = f"::ffff:{world.ip}"
    six = bound(world, mapped, 0, REUSEPORT, family=socket.AF_INET6)
    port = six.getsockname()[1]
    four = bound(world, world.ip, port, REUSEPORT)
    for each in (six, four):
        each.listen(50)
    for _ in range(20):  # clients of either family are IPv4's to the listeners
        world.client(four)
        world.client(six)
    assert outcome(six.accept) == "EAGAIN"


def test_k034_of_datagram_sockets_that_share_an_ipv6_port_the_first_hears(world: World) -> None:
    first = bound(world, "::", 0, REUSEADDR, family=socket.AF_INET6, kind=socket.SOCK_DGRAM)
    last = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for option in (REUSEADDR, REUSEPORT):
        last.setsockopt(*option, 1)
    last.bind(("::", first.getsockname()[1]))
    sender = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sender.sendto(b"hello", ("::1", first.getsockname()[1]))
    world.gives(b"hello", first.recv, 10)


def test_k086_datagrams_are_spread_over_those_who_share_an_address_by_reuseport(world: World) -> None:
    one = bound(world, world.ip, 0, REUSEPORT, kind=socket.SOCK_DGRAM)
    two = bound(world, world.ip, one.getsockname()[1], REUSEPORT, kind=socket.SOCK_DGRAM)
    for _ in range(40):  # by where each comes from
        world.socket(kind=socket.SOCK_DGRAM).sendto(b"hello", one.getsockname())
    for each in (one, two):
        world.gives(b"hello", each.recv, 10)


def sharer(world: World, ip: str, port: int, *options: tuple[int, int]) -> Any:
    return bound(
        world, ip, port, *options, family=socket.AF_INET6 if ":" in ip else socket.AF_INET, kind=socket.SOCK_DGRAM
    )


@pytest.mark.parametrize(("on_the_link", "other"), [("::", "0.0.0.0"), ("::ffff:IP", "IP")])
@pytest.mark.parametrize(("options", "connected"), [((REUSEPORT,), False), ((REUSEADDR,), False), ((REUSEPORT,), True)])
def test_k086_who_shares_by_reuseport_hears_a_datagram_before_who_would_fit_better(
    world: World, on_the_link: str, other: str, options: tuple[tuple[int, int], ...], connected: bool
) -> None:
    six = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    six.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo\0")
    for option in options:
        six.setsockopt(*option, 1)
    six.bind((on_the_link.replace("IP", world.ip), 0))
    port = six.getsockname()[1]
    four = sharer(world, other.replace("IP", world.ip), port, *options)  # which is asked first: it came last
    if connected:  # one of its group, unless that makes it leave the wildcard
        sharer(world, other.replace("IP", world.ip), port, *options).connect((world.ip, 9))
    world.socket(kind=socket.SOCK_DGRAM).sendto(b"hello", (world.ip, port))
    first_of_all = options == (REUSEPORT,) and not (connected and other == "IP")
    heard, unheard = (four, six) if first_of_all else (six, four)
    world.gives(b"hello", heard.recv, 10)
    world.gives("EAGAIN", unheard.recv, 10)


@pytest.mark.parametrize("when", ["before", "after"])
def test_k086_who_shares_since_it_was_bound_is_of_no_group(world: World, when: str) -> None:
    wide = sharer(world, "0.0.0.0", 0, REUSEADDR)
    port = wide.getsockname()[1]
    six = sharer(world, "::", port, REUSEADDR, *((REUSEPORT,) if when == "before" else ()))
    if when == "after":
        six.setsockopt(*REUSEPORT, 1)
    world.socket(kind=socket.SOCK_DGRAM).sendto(b"hello", (world.ip, port))
    world.gives(b"hello", wide.recv, 10)
    world.gives("EAGAIN", six.recv, 10)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("call", ["bind", "connect"])
def test_k131_an_address_of_one_link_binds_the_socket_to_it_whether_it_is_taken_or_not(
    world: World, kind: int, call: str
) -> None:
    def device(sock: Any) -> Any:
        return sock.getsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, 16)

    sock = world.socket(socket.AF_INET6, kind)
    world.gives("EINVAL", getattr(sock, call), ("fe80::1", 9))
    assert device(sock) == b""
    world.gives("EADDRNOTAVAIL" if call == "bind" else "ENETUNREACH", getattr(sock, call), ("fe80::1", 9, 0, 1))
    assert device(sock) == b"lo\0"
    world.gives("EINVAL" if call == "connect" else "EADDRNOTAVAIL", getattr(sock, call), ("fe80::1", 9, 0, 2))
    other = world.socket(socket.AF_INET6, kind)
    other.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo")
    world.gives("EADDRNOTAVAIL", other.bind, ("fe80::1", 9))  # it has its link already
    local = world.socket(socket.AF_INET6, kind)
    if call == "bind":
        local.bind(("::1", 0, 0, 1))
    else:
        local.connect_ex(("::1", world.dead_port(), 0, 1))
    assert device(local) == b""  # an address of the host's own is of no link


def both(first: int, last: int) -> bytes:
    """The two bounds of IP_LOCAL_PORT_RANGE."""
    return struct.pack("=HH", first, last)


def test_k031_a_range_of_ports_is_kept_unless_it_is_empty(world: World) -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = world.socket(kind=kind)
        for value, answer in (
            (40_000, 40_000),
            (both(0, 40_000), 40_000 << 16),
            (both(50, 100), 100 << 16 | 50),
            (both(40_010, 40_000), "EINVAL"),
            (-1, -1),
            (bytes(5), "EINVAL"),
            (b"\1", "EINVAL"),
            (0, 0),
        ):
            refused = outcome(lambda: sock.setsockopt(0, IP_LOCAL_PORT_RANGE, value))  # noqa: B023 - called at once
            told = sock.getsockopt(0, IP_LOCAL_PORT_RANGE) & 0xFFFFFFFF
            assert (refused or told) == (answer & 0xFFFFFFFF if isinstance(answer, int) else answer)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k031_a_socket_takes_its_ports_from_a_range_of_its_own(world: World, kind: int) -> None:
    first = 40_000 + world.number % 500 * 40
    taken = []
    for _ in range(30):
        sock = world.socket(kind=kind)
        sock.setsockopt(0, IP_LOCAL_PORT_RANGE, both(first, first + 20))
        refused = outcome(lambda: sock.bind((world.ip, 0)))  # noqa: B023 - called at once
        if refused is not None:
            assert refused == "EADDRINUSE"
            break
        taken.append(sock.getsockname()[1])
    assert len(taken) > 10  # others may have some of them
    assert set(taken) <= set(range(first, first + 21))
    assert refused == "EADDRINUSE"
    if kind == socket.SOCK_STREAM:
        odd = [port % 2 for port in taken]
        assert odd == sorted(odd, reverse=True)  # the odd ones first
    other = world.socket(kind=kind)
    other.setsockopt(0, IP_LOCAL_PORT_RANGE, both(0, first))
    other.bind((world.ip, 0))
    assert 32768 <= other.getsockname()[1] <= first
    other = world.socket(kind=kind)
    other.setsockopt(0, IP_LOCAL_PORT_RANGE, both(50, 7000))  # bounds outside of what is left to all are none
    other.bind((world.ip, 0))
    assert 32768 <= other.getsockname()[1] <= 60_999


def test_k031_a_connection_comes_from_a_range_of_its_own(world: World) -> None:
    listeners = [world.listener() for _ in range(2)]
    first = 59_000
    for listener in listeners:  # two connections to other places may have one port
        ports = set()
        while True:
            sock = world.socket()
            sock.setsockopt(0, IP_LOCAL_PORT_RANGE, both(first, first + 3))
            code = sock.connect_ex(listener.getsockname())
            if code != errno.EINPROGRESS:
                break
            ports.add(sock.getsockname()[1])
        assert code == errno.EADDRNOTAVAIL
        assert len(ports) > 1
        assert ports <= set(range(first, first + 4))
    own = world.socket(socket.AF_INET6)
    own.setsockopt(0, IP_LOCAL_PORT_RANGE, both(first + 4, first + 40))
    own.connect_ex(("::1", 9))
    assert first + 4 <= own.getsockname()[1] <= first + 40


def test_k034_who_is_bound_to_the_mapped_wildcard_has_an_address_once_it_has_tried_to_connect(world: World) -> None:
    port = world.dead_port("127.0.0.1")
    socks = [world.socket(socket.AF_INET6) for _ in range(2)]
    for sock in socks:
        sock.setsockopt(*REUSEPORT, 1)
    socks[0].bind(("::", port))
    assert socks[0].connect_ex(("::ffff:127.0.0.1", port)) == errno.EINPROGRESS  # to itself
    socks[1].bind(("::ffff:0.0.0.0", port))
    assert socks[1].connect_ex(("::ffff:127.0.0.1", port)) == errno.EADDRNOTAVAIL
    assert socks[1].getsockname() == ("::ffff:127.0.0.1", port, 0, 0)


def own_port(world: World, kind: int = socket.SOCK_STREAM) -> tuple[Callable[..., Any], int]:
    """What makes sockets that have a range of one port, and that port, which nobody has."""
    with socket.socket(socket.AF_INET6, kind) as probe:
        probe.bind(("::", 0))
        port = probe.getsockname()[1]

    def make(family: int = socket.AF_INET, *options: tuple[int, int]) -> Any:
        sock = world.socket(family, kind)
        sock.setsockopt(0, IP_LOCAL_PORT_RANGE, both(port, port))
        for option in options:
            sock.setsockopt(*option, 1)
        return sock

    return make, port


@pytest.mark.parametrize("shared", [None, REUSEADDR, REUSEPORT])
def test_k031_a_port_of_its_own_range_is_free_where_the_addresses_do_not_clash(world: World, shared: Any) -> None:
    make, port = own_port(world)
    options = [] if shared is None else [shared]
    world.gives(None, make(socket.AF_INET, *options).bind, (world.ip, 0))
    # An option that would let two share it counts for nothing where the kernel chooses.
    world.gives("EADDRINUSE", make(socket.AF_INET, *options).bind, (world.ip, 0))
    world.gives("EADDRINUSE", make(socket.AF_INET, *options).bind, ("", 0))
    world.gives(None, make(socket.AF_INET, *options).bind, (world.other_ip, 0))
    beside = make(socket.AF_INET6, *options)
    beside.setsockopt(*V6ONLY, 1)
    beside.listen()
    assert beside.getsockname()[:2] == ("::", port)
    world.gives("EADDRINUSE", make(socket.AF_INET6, *options).bind, ("::1", 0))
    world.gives("EADDRINUSE", make(socket.AF_INET6, *options).listen)


@pytest.mark.parametrize("shared", [None, REUSEADDR, REUSEPORT])
def test_k031_datagrams_share_a_port_of_their_range_if_they_share_ports(world: World, shared: Any) -> None:
    make, _ = own_port(world, socket.SOCK_DGRAM)
    options = [] if shared is None else [shared]
    world.gives(None, make(socket.AF_INET, *options).bind, (world.ip, 0))
    world.gives("EADDRINUSE" if shared is None else None, make(socket.AF_INET, *options).bind, (world.ip, 0))
    world.gives("EADDRINUSE", make(socket.AF_INET).bind, ("", 0))
    world.gives(None, make(socket.AF_INET).bind, (world.other_ip, 0))


@pytest.mark.parametrize("blocks", [False, True])
def test_k031_a_datagram_that_finds_no_port_is_to_be_tried_again(world: World, blocks: bool) -> None:
    make, _ = own_port(world, socket.SOCK_DGRAM)
    make().bind(("", 0))
    target = bound(world, world.ip, kind=socket.SOCK_DGRAM).getsockname()
    late = make()
    late.setblocking(blocks)
    world.gives("EAGAIN", late.sendto, b"x", target)
    world.gives("EAGAIN", late.connect, target)
    assert late.getsockname() == ("0.0.0.0", 0)


def test_k031_the_last_of_three_ports_is_never_chosen_by_bind(world: World) -> None:
    first = 41_000 + world.number % 500 * 30  # which hardly anybody has
    answers = []
    for _ in range(4):
        sock = world.socket()
        sock.setsockopt(0, IP_LOCAL_PORT_RANGE, both(first, first + 2))
        answers.append(outcome(lambda: sock.bind((world.ip, 0))))  # noqa: B023 - called at once
        if answers[-1] is None:
            assert sock.getsockname()[1] < first + 2
    assert answers == [None, None, "EADDRINUSE", "EADDRINUSE"]


def test_k031_an_address_that_was_bound_stays_where_no_port_is_left(world: World) -> None:
    make, _ = own_port(world)
    first = make()
    first.bind(("", 0))
    listener = world.listener()
    late = make(socket.AF_INET, (0, IP_BIND_ADDRESS_NO_PORT))
    late.bind((world.ip, 0))
    world.gives("EADDRINUSE", late.listen)
    assert late.getsockname() == (world.ip, 0)
    mapped = make(socket.AF_INET6, (0, IP_BIND_ADDRESS_NO_PORT))
    mapped.bind(("::ffff:0.0.0.0", 0))
    ip, where = listener.getsockname()
    assert mapped.connect_ex((f"::ffff:{ip}", where)) == errno.EADDRNOTAVAIL
    assert mapped.getsockname()[0] != "::ffff:0.0.0.0"  # the one it would have been from


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize(
    ("family", "said", "address", "answer"),
    [
        (socket.AF_INET, socket.AF_INET6, ("::1", 9), "EAFNOSUPPORT"),
        (socket.AF_INET, socket.AF_INET6, ("::ffff:127.0.0.1", 9), "EAFNOSUPPORT"),
        (socket.AF_INET, socket.AF_UNIX, "\0short", "EINVAL"),
        (socket.AF_INET, socket.AF_UNIX, "/as/long/as/one", "EAFNOSUPPORT"),
        (socket.AF_INET6, socket.AF_INET, ("127.0.0.1", 9), "EINVAL"),
        (socket.AF_INET6, socket.AF_UNIX, "/as/long/as/one", "EINVAL"),
        (socket.AF_INET6, socket.AF_UNIX, "\0which is as long as one", "EAFNOSUPPORT"),
        (socket.AF_UNIX, socket.AF_INET, ("127.0.0.1", 9), "EINVAL"),
        (socket.AF_UNIX, socket.AF_INET6, ("::1", 9), "EINVAL"),
    ],
)
def test_k130_what_an_object_says_of_its_family_is_not_what_the_socket_is_of(
    world: World, kind: int, family: int, said: int, address: Any, answer: str
) -> None:
    sock = world.socket(family, kind)
    known = sock.getsockname()
    other = world.keep(socket.fromfd(sock.fileno(), said, kind))
    other.setblocking(False)
    assert other.family == said
    world.gives(answer, other.bind, address)
    assert sock.getsockname() == known
    datagrams = kind == socket.SOCK_DGRAM
    through = datagrams and family == socket.AF_INET6 and said == socket.AF_INET  # Linux sends by IPv4 then
    world.gives(None if through else answer, other.connect, address)
    if datagrams and not through:
        answer = "EINVAL" if family == socket.AF_INET6 else answer
        world.gives(answer, other.sendto, b"x", address)
        world.gives(answer, other.sendmsg, [b"x"], [], 0, address)
        other = world.keep(socket.fromfd(sock.fileno(), said, socket.SOCK_STREAM))
        world.gives(answer, other.sendto, b"x", address)
        world.gives(answer, other.sendmsg, [b"x"], [], 0, address)


@pytest.mark.parametrize("group", ["ff01::5", "ff02::5", "ff12::5", "ff05::5"])
def test_a_group_on_a_link_is_named_with_the_link(world: World, group: str) -> None:
    sock = world.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind((group, 0, 0, 1))
    assert sock.getsockname()[3] == (0 if group == "ff05::5" else 1)
    assert f"'{group}'" in repr(sock)


def test_k034_who_is_made_for_ipv6_only_with_a_mapped_address_listens_to_nobody(world: World) -> None:
    listener = world.socket(socket.AF_INET6)
    listener.bind((f"::ffff:{world.ip}", 0))
    port = listener.getsockname()[1]
    listener.listen()
    listener.shutdown(socket.SHUT_RD)  # gives the port back, and leaves the address
    listener.setsockopt(*V6ONLY, 1)
    listener.listen()
    ip, port = f"::ffff:{world.ip}", listener.getsockname()[1]
    assert listener.getsockname()[0] == ip
    sock = world.socket(socket.AF_INET6)
    sock.connect_ex((ip, port))
    world.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
    assert world.error(sock) == "ECONNREFUSED"
    listener.shutdown(socket.SHUT_RD)
    listener.close()
