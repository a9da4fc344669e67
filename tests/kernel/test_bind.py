"""Who may have which port: conflicts, options, ephemeral numbers, both families (K-025 to K-034)."""

from __future__ import annotations

from errno import EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINPROGRESS, EINVAL, ENETUNREACH
from typing import Any

import pytest

from simnet.kernel import Stack
from simnet.kernel.messages import AF_INET, AF_INET6, SOCK_DGRAM, SOCK_STREAM
from simnet.kernel.ports import FIRST_EPHEMERAL, LAST_EPHEMERAL
from tests.kernel.conftest import Fabric, fails, mask

REUSEADDR, REUSEPORT = (1, 2, 1), (1, 15, 1)
V6ONLY = (41, 26, 1)
ANY = "0.0.0.0"


@pytest.fixture
def stack(fabric: Fabric) -> Stack:
    return fabric.stack("10.0.0.1", "fd00::1")


def tcp(stack: Stack, *options: tuple[int, int, int], family: int = AF_INET) -> Any:
    socket = stack.socket(family, SOCK_STREAM)
    for option in options:
        socket.setsockopt(*option)
    return socket


def test_a_socket_is_bound_once(stack: Stack) -> None:
    a = tcp(stack)
    with fails(EADDRNOTAVAIL):
        a.bind(("10.9.9.9", 0))
    a.bind(("127.3.2.1", 0))  # all of 127/8 is local
    with fails(EINVAL):
        a.bind(("127.0.0.1", 0))


@pytest.mark.parametrize(
    ("first", "second", "options", "listens", "ok"),
    [
        pytest.param("10.0.0.1", "10.0.0.1", (), False, False, id="same-address"),
        pytest.param(ANY, "10.0.0.1", (), False, False, id="wildcard-first"),
        pytest.param("10.0.0.1", ANY, (), False, False, id="wildcard-second"),
        pytest.param("10.0.0.1", "127.0.0.1", (), False, True, id="other-address"),
        pytest.param(ANY, ANY, (REUSEADDR,), False, True, id="reuseaddr"),
        pytest.param(ANY, ANY, (REUSEADDR,), True, False, id="reuseaddr-but-it-listens"),
        pytest.param(ANY, ANY, (REUSEPORT,), True, True, id="reuseport"),
    ],
)
def test_two_binds_of_one_port(stack: Stack, first: str, second: str, options: Any, listens: bool, ok: bool) -> None:
    a, b = tcp(stack, *options), tcp(stack, *options)
    a.bind((first, 7))
    if listens:
        a.listen()
    if ok:
        b.bind((second, 7))
    else:
        with fails(EADDRINUSE):
            b.bind((second, 7))


def test_one_sided_options_do_not_help(stack: Stack) -> None:
    a, b = tcp(stack, REUSEADDR), tcp(stack)
    a.bind((ANY, 7))
    with fails(EADDRINUSE):
        b.bind((ANY, 7))


def test_the_first_to_listen_wins(stack: Stack) -> None:
    a, b = tcp(stack, REUSEADDR), tcp(stack, REUSEADDR)
    a.bind((ANY, 7))
    b.bind((ANY, 7))
    b.listen()
    with fails(EADDRINUSE):
        a.listen()
    with fails(EADDRINUSE):
        tcp(stack, REUSEADDR).bind((ANY, 7))


def test_tcp_and_udp_ports_are_apart(stack: Stack) -> None:
    tcp(stack).bind((ANY, 7))
    stack.socket(AF_INET, SOCK_DGRAM).bind((ANY, 7))


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("first", ["server", "client", "nobody"])
def test_a_port_with_past_connections(fabric: Fabric, old: bool, new: bool, first: str) -> None:
    listener = fabric.stack("10.0.0.2").socket(AF_INET, SOCK_STREAM)
    if old:
        listener.setsockopt(*REUSEADDR)
    listener.bind(("10.0.0.2", 7))
    listener.listen()
    a = fabric.stack("10.0.0.1").socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    c, _ = listener.accept()
    if first != "nobody":
        for socket in (a, c) if first == "client" else (c, a):
            socket.release()
            fabric.run()
    listener.release()
    again = tcp(listener.stack, *([REUSEADDR] if new else []))
    if first == "client" or (old and new):
        again.bind(("10.0.0.2", 7))
        again.listen()
    else:
        with fails(EADDRINUSE):
            again.bind(("10.0.0.2", 7))
        if first == "server":
            fabric.run(61)  # TIME_WAIT is over
            again.bind(("10.0.0.2", 7))


def test_an_ephemeral_port_of_a_client_is_taken(fabric: Fabric) -> None:
    _, a, _ = fabric.pair()
    with fails(EADDRINUSE):
        tcp(a.stack).bind(a.getsockname())


def test_ephemeral_ports_are_odd_for_bind_and_even_for_connect(fabric: Fabric) -> None:
    fabric.pair()
    stack = fabric.stacks["10.0.0.1"]
    bound = [tcp(stack) for _ in range(3)]
    for socket in bound:
        socket.bind((ANY, 0))
    assert [socket.getsockname()[1] for socket in bound] == [32769, 32771, 32773]
    listener = tcp(stack)
    listener.listen()  # without bind
    assert listener.getsockname() == (ANY, 32775)
    a = tcp(stack)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    assert a.getsockname() == ("10.0.0.1", 32770)


@pytest.mark.slow
def test_when_ports_run_out_connections_share_them_and_binds_fail(stack: Stack) -> None:
    ports = stack.tcp_ports
    for port in range(FIRST_EPHEMERAL, LAST_EPHEMERAL + 1):
        if port != 32768:
            socket = tcp(stack)
            socket.local, socket.autobound = ("10.0.0.1", port), port != 40000
            ports.hold(port, socket)
    last = tcp(stack)
    last.bind((ANY, 0))  # odd ones are gone, the last even one is taken
    assert last.getsockname() == (ANY, 32768)
    with fails(EADDRINUSE):
        tcp(stack).bind((ANY, 0))
    a = tcp(stack)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    assert a.getsockname()[1] == 32770  # shared with a connection to elsewhere
    for port in range(FIRST_EPHEMERAL, LAST_EPHEMERAL + 1):
        for user in ports.of(port):
            user.autobound = False
    with fails(EADDRNOTAVAIL):
        tcp(stack).connect(("10.0.0.2", 7))
    udp, datagram = stack.udp_ports, stack.socket(AF_INET, SOCK_DGRAM)
    for port in range(FIRST_EPHEMERAL, LAST_EPHEMERAL + 1):
        udp.hold(port, datagram)
    with fails(EADDRINUSE):
        stack.socket(AF_INET, SOCK_DGRAM).bind((ANY, 0))


def test_a_used_up_range_finds_time_waits_that_are_over(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.release()
    fabric.run()
    c.release()
    fabric.run()
    ports = a.stack.tcp_ports
    ports._next_even = 32768
    assert ports.choose_for_connect(a, "10.0.0.1", ("10.0.0.2", 7), fabric.clock.now_ns) == 32770
    fabric.run(61)
    ports._next_even = 32768
    assert ports.choose_for_connect(a, "10.0.0.1", ("10.0.0.2", 7), fabric.clock.now_ns) == 32768


def test_a_specific_listener_beats_the_wildcard(fabric: Fabric) -> None:
    stack = fabric.stack("10.0.0.1")
    everywhere, here = tcp(stack, REUSEPORT), tcp(stack, REUSEPORT)
    everywhere.bind((ANY, 7))
    here.bind(("127.0.0.2", 7))
    for socket in (everywhere, here):
        socket.listen()
    a = tcp(stack)
    with fails(EINPROGRESS):
        a.connect(("127.0.0.2", 7))
    fabric.run()
    assert (mask(everywhere), mask(here)) == ("0", "IN")
    assert a.getsockname()[0] == "127.0.0.1"


def test_reuseport_spreads_clients_over_listeners(fabric: Fabric) -> None:
    stack = fabric.stack("10.0.0.1")
    group = [tcp(stack, REUSEPORT) for _ in range(2)]
    for socket in group:
        socket.bind((ANY, 7))
        socket.listen()
    for _ in range(4):
        with fails(EINPROGRESS):
            tcp(stack).connect(("127.0.0.1", 7))
        fabric.run()
    assert [len(socket.listener.queue) for socket in group] == [2, 2]
    group[0].release()
    fabric.run()
    with fails(EINPROGRESS):
        tcp(stack).connect(("127.0.0.1", 7))
    fabric.run()
    assert len(group[1].listener.queue) == 3


def test_a_dual_stack_socket_serves_both_families(fabric: Fabric, stack: Stack) -> None:
    listener = tcp(stack, family=AF_INET6)
    listener.bind(("::", 7))
    listener.listen()
    assert listener.getsockname() == ("::", 7, 0, 0)
    for ip in ("0.0.0.0", "127.0.0.1"):
        with fails(EADDRINUSE):
            tcp(stack).bind((ip, 7))
    four, six, mapped = tcp(stack), tcp(stack, family=AF_INET6), tcp(stack, family=AF_INET6)
    for socket, address in ((four, ("127.0.0.1", 7)), (six, ("::1", 7)), (mapped, ("::ffff:127.0.0.1", 7))):
        with fails(EINPROGRESS):
            socket.connect(address)
    fabric.run()
    names = [listener.accept()[1] for _ in range(3)]
    assert [name[0] for name in names] == ["::ffff:127.0.0.1", "::1", "::ffff:127.0.0.1"]
    assert four.getpeername() == ("127.0.0.1", 7)
    assert mapped.getsockname()[0] == "::ffff:127.0.0.1"


def test_an_ipv6_socket_reaches_an_ipv4_listener(fabric: Fabric, stack: Stack) -> None:
    listener = tcp(stack)
    listener.bind((ANY, 7))
    listener.listen()
    a = tcp(stack, family=AF_INET6)
    with fails(EINPROGRESS):
        a.connect(("::ffff:10.0.0.1", 7, 0, 0))
    fabric.run()
    assert listener.accept()[1][0] == "10.0.0.1"


def test_v6only_keeps_the_families_apart(fabric: Fabric, stack: Stack) -> None:
    six = tcp(stack, V6ONLY, family=AF_INET6)
    assert six.getsockname() == ("::", 0, 0, 0)
    with fails(EINVAL):
        six.bind(("::ffff:127.0.0.1", 7))
    with fails(ENETUNREACH):
        six.connect(("::ffff:127.0.0.1", 7))
    six.bind(("::", 7))
    six.listen()
    with fails(EINVAL):
        six.setsockopt(*V6ONLY)
    tcp(stack).bind((ANY, 7))
    with fails(EADDRINUSE):
        tcp(stack, family=AF_INET6).bind(("::1", 7))
    a = tcp(stack)
    with fails(EINPROGRESS):
        a.connect(("127.0.0.1", 7))
    fabric.run()
    assert mask(a) == "IN|OUT|RDHUP|ERR|HUP"


def test_an_ipv6_socket_may_take_the_ipv4_wildcard(stack: Stack) -> None:
    socket = tcp(stack, family=AF_INET6)
    socket.bind(("::ffff:0.0.0.0", 7))
    assert socket.getsockname() == ("::ffff:0.0.0.0", 7, 0, 0)
    with fails(EADDRINUSE):
        tcp(stack).bind(("10.0.0.1", 7))
    with fails(EAFNOSUPPORT):
        socket.connect(("::1", 9))
    with fails(EINPROGRESS):
        socket.connect(("::", 9))  # this host, and by IPv4
    assert socket.getsockname()[0] == "::ffff:127.0.0.1"
    specific = tcp(stack, family=AF_INET6)
    specific.bind(("::1", 0))
    with fails(ENETUNREACH):
        specific.connect(("::ffff:127.0.0.1", 9))


def test_connect_takes_odd_ports_when_the_even_ones_are_gone(stack: Stack) -> None:
    for port in range(FIRST_EPHEMERAL, LAST_EPHEMERAL + 1, 2):
        stack.tcp_ports.hold(port, tcp(stack))
    a = tcp(stack)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    assert a.getsockname()[1] == 32769
