"""How connections begin: connect, refusals, what is left behind, and who may try again (K-010 to K-019)."""

from __future__ import annotations

from errno import (
    EADDRNOTAVAIL,
    EAGAIN,
    EALREADY,
    ECONNABORTED,
    ECONNREFUSED,
    ECONNRESET,
    EHOSTUNREACH,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
)

import pytest

from simnet.kernel import Icmp, Segment
from simnet.kernel.messages import AF_INET, AF_INET6, SOCK_STREAM
from tests.kernel.conftest import Fabric, Note, fails, mask

SO_ERROR = (1, 4)
REUSE = (1, 2, 1)


def pair_of_hosts(fabric: Fabric) -> tuple:
    client, server = fabric.stack("10.0.0.1"), fabric.stack("10.0.0.2")
    listener = server.socket(AF_INET, SOCK_STREAM)
    listener.bind(("10.0.0.2", 7))
    return client, server, listener


def test_a_handshake_takes_three_segments_and_the_client_is_first(fabric: Fabric) -> None:
    fabric.latency_ns = 10_000_000
    client, _, listener = pair_of_hosts(fabric)
    listener.listen()
    a = client.socket(AF_INET, SOCK_STREAM)
    note = Note()
    a.watch(note)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run(0.020)  # SYN and SYN-ACK: two one-way trips
    assert (a.state, mask(a), mask(listener)) == ("ESTABLISHED", "OUT", "0")
    assert len(note.events) == 1
    fabric.run(0.010)
    assert mask(listener) == "IN"
    assert fabric.segments() == ["SYN:0", "SYN|ACK:0", "ACK:0"]


def test_the_next_connect_reports_success_once(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.connect(("10.0.0.9", 9))  # to any address
    with fails(EISCONN):
        a.connect(("10.0.0.2", 7))
    with fails(EISCONN):
        c.connect(("10.0.0.2", 7))


def test_a_refusal_is_told_once_and_costs_one_connect(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    a = client.socket(AF_INET, SOCK_STREAM)
    for take, then in ((None, ECONNREFUSED), (SO_ERROR, ECONNABORTED)):
        with fails(EINPROGRESS):
            a.connect(("10.0.0.2", 9))
        fabric.run()
        assert mask(a) == "IN|OUT|RDHUP|ERR|HUP"
        if take:
            assert a.getsockopt(*take) == ECONNREFUSED
        with fails(then):
            a.connect(("10.0.0.2", 7))
        assert mask(a) == "OUT|HUP"
        assert a.getsockname()[0] == "0.0.0.0"


def test_an_address_bound_by_hand_survives_a_refusal(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    a = client.socket(AF_INET, SOCK_STREAM)
    a.bind(("10.0.0.1", 4000))
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 9))
    fabric.run()
    with fails(ECONNREFUSED):
        a.connect(("10.0.0.2", 9))
    assert a.getsockname() == ("10.0.0.1", 4000)


def test_while_the_syn_is_unanswered_nothing_goes(fabric: Fabric) -> None:
    client, _, listener = pair_of_hosts(fabric)
    fabric.drop = lambda packet: True
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    assert mask(a) == "0"
    for call, code in (
        (lambda: a.connect(("1.1.1.1", 1)), EALREADY),
        (lambda: a.recv(1), EAGAIN),
        (lambda: a.send(b""), EAGAIN),
        (a.getpeername, ENOTCONN),
        (lambda: a.bind(("10.0.0.1", 0)), EINVAL),
        (a.listen, EINVAL),
    ):
        with fails(code):
            call()
    assert a.ioctl(0x541B) == a.ioctl(0x5411) == 0
    a.shutdown(1)
    assert mask(a) == "OUT|ERR|HUP"
    assert a.getsockname()[0] == "0.0.0.0"
    with fails(ECONNRESET):
        a.recv(1)
    with fails(ENOTCONN):
        a.recv(1)
    with fails(EPIPE):
        a.send(b"x")
    fabric.drop = None
    listener.listen()
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    assert mask(a) == "OUT"


def test_closing_before_the_answer_shows_the_listener_nothing(fabric: Fabric) -> None:
    fabric.latency_ns = 1_000_000
    client, _, listener = pair_of_hosts(fabric)
    listener.listen()
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.drain()
    a.release()
    fabric.run(1)
    assert mask(listener) == "0"
    assert fabric.segments() == ["SYN:0", "SYN|ACK:0", "RST:0"]


def test_a_dropped_syn_is_repeated_until_etimedout(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    times = []

    def drop(packet: Segment) -> bool:
        times.append(fabric.clock.now_ns / 1e9)
        client.lost(packet)
        return True

    fabric.drop = drop
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run(130.9)
    assert mask(a) == "0"
    fabric.run(0.2)
    assert times == [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]  # tcp_syn_linear_timeouts, then doubling
    assert a.getsockopt(*SO_ERROR) == ETIMEDOUT


def test_tcp_syncnt_and_user_timeout_shorten_the_wait(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    client.lossy = {"10.0.0.2"}
    fabric.drop = lambda packet: True
    a, b = client.socket(AF_INET, SOCK_STREAM), client.socket(AF_INET, SOCK_STREAM)
    a.setsockopt(6, 7, 1)
    b.setsockopt(6, 18, 2500)
    for socket in (a, b):
        with fails(EINPROGRESS):
            socket.connect(("10.0.0.2", 7))
    fabric.run(2.4)
    assert (a.state, b.state) == ("SYN_SENT", "SYN_SENT")
    fabric.run(0.2)
    assert (a.state, b.state) == ("SYN_SENT", "CLOSED")
    fabric.run(0.5)  # what one retry with back-off takes, though there were two by then
    assert (a.error, b.error) == (ETIMEDOUT, ETIMEDOUT)


def test_an_unreachable_host_fails_the_attempt_and_only_worries_a_connection(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.3", 7))
    syn = fabric.out.popleft()
    client.arrive(Icmp(EHOSTUNREACH, syn, client))  # type: ignore[arg-type]
    assert a.getsockopt(*SO_ERROR) == EHOSTUNREACH

    _, b, _ = Fabric().pair()
    b.unreachable(EHOSTUNREACH)
    assert mask(b) == "OUT"
    b.time_out()
    assert b.getsockopt(*SO_ERROR) == EHOSTUNREACH

    _, b, _ = Fabric().pair()
    b.setsockopt(0, 11, 1)  # IP_RECVERR wants to know
    b.unreachable(EHOSTUNREACH)
    assert mask(b) == "OUT|ERR"
    assert b.getsockopt(*SO_ERROR) == EHOSTUNREACH


def test_a_socket_may_connect_to_itself(fabric: Fabric) -> None:
    stack = fabric.stack("10.0.0.1")
    a = stack.socket(AF_INET, SOCK_STREAM)
    a.bind(("127.0.0.1", 5000))
    with fails(EINPROGRESS):
        a.connect(("127.0.0.1", 5000))
    fabric.run()
    assert a.getpeername() == a.getsockname() == ("127.0.0.1", 5000)
    assert (a.send(b"to myself"), fabric.run(), a.recv(20)) == (9, None, b"to myself")
    a.shutdown(1)
    fabric.run()
    assert (mask(a), a.recv(1)) == ("IN|OUT|RDHUP|HUP", b"")


def test_two_hosts_may_open_to_each_other_at_once() -> None:
    fabric = Fabric(1_000_000)
    a = fabric.stack("10.0.0.1").socket(AF_INET, SOCK_STREAM)
    b = fabric.stack("10.0.0.2").socket(AF_INET, SOCK_STREAM)
    a.bind(("10.0.0.1", 7))
    b.bind(("10.0.0.2", 8))
    for socket, address in ((a, ("10.0.0.2", 8)), (b, ("10.0.0.1", 7))):
        with fails(EINPROGRESS):
            socket.connect(address)
    fabric.run(1)
    assert (a.state, b.state) == ("ESTABLISHED", "ESTABLISHED")
    assert (a.send(b"x"), b.send(b"y"), fabric.run(1), a.recv(9), b.recv(9)) == (1, 1, None, b"y", b"x")


def test_the_wildcard_as_destination_is_this_host(fabric: Fabric) -> None:
    stack = fabric.stack("10.0.0.1")
    for family, bound, wanted in ((AF_INET, "0.0.0.0", "127.0.0.1"), (AF_INET6, "::", "::1")):
        listener, a = stack.socket(family, SOCK_STREAM), stack.socket(family, SOCK_STREAM)
        listener.setsockopt(41, 26, 1) if family == AF_INET6 else None
        listener.bind((bound, 7))
        listener.listen()
        with fails(EINPROGRESS):
            a.connect((bound, 7))
        fabric.run()
        assert a.getpeername()[0] == wanted


def test_many_hosts_at_once_are_no_peer(fabric: Fabric) -> None:
    a = fabric.stack("10.0.0.1", "fd00::1").socket(AF_INET, SOCK_STREAM)
    for ip in ("255.255.255.255", "239.1.1.1"):
        with fails(ENETUNREACH):
            a.connect((ip, 7))
    assert a.stack.is_bindable("224.0.0.1")
    with fails(ENETUNREACH):
        fabric.stack("10.0.0.9").socket(AF_INET6, SOCK_STREAM).connect(("fd00::1", 7))  # it has no such address


def test_the_same_four_numbers_are_not_used_twice(fabric: Fabric) -> None:
    client, _, listener = pair_of_hosts(fabric)
    listener.listen()
    a, b = client.socket(AF_INET, SOCK_STREAM), client.socket(AF_INET, SOCK_STREAM)
    for socket in (a, b):
        socket.setsockopt(*REUSE)
        socket.bind(("10.0.0.1", 4000))
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    with fails(EADDRNOTAVAIL):
        b.connect(("10.0.0.2", 7))
    with fails(EINPROGRESS):
        b.connect(("10.0.0.2", 8))


def test_time_wait_gives_way_to_a_bound_socket(fabric: Fabric) -> None:
    client, _, listener = pair_of_hosts(fabric)
    listener.listen()
    for _ in range(3):  # after the first time the pair is in TIME_WAIT
        a = client.socket(AF_INET, SOCK_STREAM)
        a.setsockopt(*REUSE)
        a.bind(("10.0.0.1", 4000))
        with fails(EINPROGRESS):
            a.connect(("10.0.0.2", 7))
        fabric.run()
        c, _ = listener.accept()
        a.release()
        fabric.run()
        c.release()
        fabric.run()


def test_an_old_connection_answers_a_new_syn_and_is_reset(fabric: Fabric) -> None:
    client, _, listener = pair_of_hosts(fabric)
    listener.listen()
    a = client.socket(AF_INET, SOCK_STREAM)
    a.setsockopt(*REUSE)
    a.bind(("10.0.0.1", 4000))
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    c, _ = listener.accept()
    a.release()
    fabric.run(0.02)  # FIN_WAIT2 without an owner here, once the FIN is acknowledged, CLOSE_WAIT there
    d = client.socket(AF_INET, SOCK_STREAM)
    d.setsockopt(*REUSE)
    d.bind(("10.0.0.1", 4000))
    with fails(EINPROGRESS):
        d.connect(("10.0.0.2", 7))
    fabric.run(0.02)  # the SYN comes again two ticks after the reset
    assert (c.state, d.state) == ("CLOSED", "ESTABLISHED")
    assert listener.accept()[1] == ("10.0.0.1", 4000)


def test_a_stray_answer_to_a_syn_is_reset(fabric: Fabric) -> None:
    client, server, _ = pair_of_hosts(fabric)
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.out.clear()
    for flags, ack, answered in (
        (0x12, 99, ["RST"]),  # a wrong SYN-ACK
        (0x04, 0, []),  # an RST without ACK
        (0x10, 2, ["RST"]),  # a bare ACK of the right number: of an old connection, whose numbers began at the same
    ):
        client.arrive(Segment(("10.0.0.2", 7), a.local, flags, 1, ack, 0, b"", server))
        assert [packet.flag_names for packet in fabric.out] == answered
        fabric.out.clear()
    assert a.state == "SYN_SENT"


@pytest.mark.parametrize("how", [0, 2])
def test_shutdown_of_a_fresh_socket_fails_and_stays(fabric: Fabric, how: int) -> None:
    client, _, listener = pair_of_hosts(fabric)
    listener.listen()
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(ENOTCONN):
        a.shutdown(how)
    assert mask(a) == "IN|OUT|RDHUP|HUP"
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    assert mask(a) == {0: "IN|OUT|RDHUP", 2: "IN|OUT|RDHUP|HUP"}[how]


def test_a_bad_how_is_refused(fabric: Fabric) -> None:
    _, a, _ = fabric.pair()
    with fails(EINVAL):
        a.shutdown(7)


def test_shutdown_of_a_refused_socket_ends_its_connecting(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 9))
    fabric.run()
    with fails(ENOTCONN):
        a.shutdown(1)
    with fails(EINVAL):
        a.connect(("10.0.0.2", 9))


def test_an_address_lock_outlives_the_address(fabric: Fabric) -> None:
    client, _, _ = pair_of_hosts(fabric)
    a = client.socket(AF_INET, SOCK_STREAM)
    a.bind(("10.0.0.1", 0))
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 9))
    fabric.run()
    a.bind(("0.0.0.0", 0))
    with fails(ECONNREFUSED):
        a.connect(("10.0.0.2", 9))
    with fails(EINPROGRESS):
        a.connect(("127.0.0.1", 9))
    assert a.getsockname()[0] == "127.0.0.1"


def test_a_syn_ack_that_comes_again_is_acknowledged_again(fabric: Fabric) -> None:
    client, server, listener = pair_of_hosts(fabric)
    listener.listen()
    a = client.socket(AF_INET, SOCK_STREAM)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    fabric.seen.clear()
    client.arrive(Segment(a.peer, a.local, 0x12, 1, 2, 0, b"", server))
    client.arrive(Segment(a.peer, a.local, 0x02, 1, 0, 0, b"", server))  # a bare SYN: who is there? (RFC 5961)
    fabric.run()
    assert fabric.segments() == ["ACK:0", "ACK:0"]
