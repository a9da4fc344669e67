"""Faults on Unix streams: what a program sees of each, where it acts, and which there are none of."""

from __future__ import annotations

import contextlib
import errno
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import simnet
from simnet import FaultPlan, faults
from simnet.faults import Fault, FaultError
from simnet.points.reading import Points

PATH = "/run/app.sock"
LISTENER = f"server:{PATH}"
CONNECTION = f"server->server:{PATH}#1"


def listening(net: simnet.Network, name: str | bytes = PATH) -> socket.socket:
    listener = net.host("server").socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen()
    listener.setblocking(False)
    return listener


def connected(net: simnet.Network, name: str | bytes = PATH) -> socket.socket:
    client = net.host("server").socket(socket.AF_UNIX)
    client.setblocking(False)
    client.connect(name)
    return client


@contextlib.contextmanager
def pair(*kinds: Fault) -> Iterator[tuple[simnet.Network, socket.socket, socket.socket]]:
    """A network under a plan, the client's end and the server's, both non-blocking, in the hands of a test that is a target."""
    with simnet.Network(FaultPlan(kinds), target=("server", "test")) as net:
        with listening(net) as listener, connected(net) as client:
            server, _ = listener.accept()
            with server:
                server.setblocking(False)
                yield net, client, server
        assert net.unreached == ()


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gave, or the name of its errno."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def ready(sock: socket.socket) -> int:
    """What a poll reports of *sock*."""
    poller = select.poll()
    poller.register(sock, select.POLLIN | select.POLLOUT | select.POLLPRI | select.POLLRDHUP)
    return dict(poller.poll(0)).get(sock.fileno(), 0)


HUNG_UP = select.POLLIN | select.POLLOUT | select.POLLHUP | select.POLLRDHUP


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_short_recv_gives_less_and_leaves_the_rest() -> None:
    with pair(faults.ShortRecv(on=CONNECTION, end="server", call=1, bytes=2)) as (_, client, server):
        client.send(b"hello")
        assert server.recv(100) == b"he"
        assert server.recv(100) == b"llo"


def test_a_partial_send_takes_less_and_shows_what_it_took() -> None:
    with pair(faults.PartialSend(on=CONNECTION, end="client", call=2, bytes=3)) as (_, client, server):
        assert client.send(b"one") == 3
        assert client.send(b"hello") == 3
        assert server.recv(100) == b"onehel"


@pytest.mark.parametrize("op", ["recv", "send"])
def test_a_call_would_block_once_and_an_edge_is_told_again(op: str) -> None:
    with (
        pair(faults.WouldBlock(on=CONNECTION, end="server", op=op, call=1)) as (_, client, server),
        contextlib.closing(select.epoll()) as epoll,
    ):
        client.send(b"hello")
        epoll.register(server, (select.EPOLLIN if op == "recv" else select.EPOLLOUT) | select.EPOLLET)
        assert epoll.poll(0)
        call: Callable[[], Any] = (lambda: server.recv(5)) if op == "recv" else (lambda: server.send(b"hello"))
        assert outcome(call) == "EAGAIN"
        assert epoll.poll(0)
        assert outcome(call) in (b"hello", 5)


def test_an_accept_would_block_and_the_connection_stays_in_the_queue() -> None:
    with (
        simnet.Network(FaultPlan.parse(f"would-block {LISTENER} accept call=1"), target=("server", "test")) as net,
        listening(net) as listener,
        connected(net),
    ):
        assert outcome(listener.accept) == "EAGAIN"
        assert ready(listener) == select.POLLIN
        listener.accept()[0].close()


def test_accept_says_emfile_and_the_connection_stays_in_the_queue() -> None:
    with (
        simnet.Network(
            FaultPlan.parse(f"error {LISTENER} accept call=1 errno=EMFILE"), target=("server", "test")
        ) as net,
        listening(net) as listener,
        connected(net),
    ):
        assert outcome(listener.accept) == "EMFILE"
        listener.accept()[0].close()


@pytest.mark.parametrize("op", ["recv", "send"])
def test_a_call_fails_and_the_connection_goes_on(op: str) -> None:
    with pair(faults.Error(on=CONNECTION, end="server", op=op, call=1, errno="ENOBUFS")) as (_, client, server):
        client.send(b"hello")
        call: Callable[[], Any] = (lambda: server.recv(5)) if op == "recv" else (lambda: server.send(b"hello"))
        assert outcome(call) == "ENOBUFS"
        assert outcome(call) in (b"hello", 5)


def test_a_connect_is_refused_and_the_next_one_is_another_connection() -> None:
    with (
        simnet.Network(FaultPlan.parse(f"refuse {CONNECTION}")) as net,
        listening(net) as listener,
        net.host("server").socket(socket.AF_UNIX) as client,
    ):
        assert outcome(lambda: client.connect(PATH)) == "ECONNREFUSED"
        assert outcome(lambda: client.connect(PATH)) is None
        listener.accept()[0].close()
        points = Points.of(net.trace, ["server"])
    assert [(each.place, each.answered) for each in points.connects] == [
        (CONNECTION, False),
        (f"server->server:{PATH}#2", True),
    ]


def test_attempts_that_fail_count() -> None:
    with simnet.Network() as net, net.host("server").socket(socket.AF_UNIX) as client:
        assert outcome(lambda: client.connect(PATH)) == "ENOENT"
        with listening(net) as listener:
            assert outcome(lambda: client.connect(PATH)) is None
            assert outcome(lambda: client.connect(PATH)) == "EISCONN"  # it stays the connection it is
            listener.accept()[0].close()
    asked = [event.place.rpartition("#")[2] for event in net.trace if event.op == "connect"]
    assert asked == ["1", "2", "2"]


def test_who_is_reset_in_the_backlog_is_handed_out_as_one_that_hung_up() -> None:
    """As the kernel shows a client that has sent something and closed (K-101): there is no ECONNRESET for the acceptor."""
    with (
        simnet.Network(FaultPlan.parse(f"reset-before-accept {LISTENER} call=1"), target=("server", "test")) as net,
        listening(net) as listener,
        connected(net) as client,
    ):
        client.send(b"last")
        server, _ = listener.accept()
        with server:
            assert ready(server) == HUNG_UP
            assert outcome(lambda: server.send(b"x")) == "EPIPE"
            assert server.recv(10) == b"last"
            assert server.recv(10) == b""
        assert outcome(lambda: client.recv(10)) == "ECONNRESET"


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reset_is_to_each_end_a_peer_that_closed_with_something_unread(when: str) -> None:
    """What came before it is read, then ECONNRESET once, then the end; a send says EPIPE (K-101)."""
    fault = faults.Reset(on=CONNECTION, end="server", op="recv", call=1, when=when)
    with pair(fault) as (_, client, server):
        client.send(b"one")
        server.send(b"last")
        assert server.recv(10) == b"one"
        assert ready(client) == HUNG_UP | select.POLLERR
        for end, first in ((client, b"last"), (server, b"")):
            assert outcome(lambda end=end: end.send(b"x")) == "EPIPE"  # type: ignore[misc]
            if first:
                assert end.recv(10) == first
            assert outcome(lambda end=end: end.recv(10)) == "ECONNRESET"  # type: ignore[misc]
            assert end.recv(10) == b""
        assert client.getpeername() == PATH


def test_a_reset_finds_no_connection_whose_peer_has_closed() -> None:
    with pair(faults.Reset(on=CONNECTION, end="server", op="recv", call=1)) as (_, client, server):
        client.send(b"last")
        client.close()
        assert server.recv(10) == b"last"
        assert server.recv(10) == b""


def test_a_poll_reports_a_part_of_what_is_ready() -> None:
    with (
        pair(faults.Wake(on="server", call=1, keep=1)) as (net, client, server),
        contextlib.closing(select.epoll()),
    ):
        client.send(b"one")
        server.send(b"two")

        def look() -> list[int]:
            poller = select.poll()
            with net.host("server").socket(socket.AF_UNIX) as one, net.host("server").socket(socket.AF_UNIX) as other:
                for each in (one, other):
                    poller.register(each, select.POLLOUT)
                return [len(poller.poll(0)), len(poller.poll(0))]

        assert net.host("server").run(look) == [1, 2]


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_a_split_lets_a_reader_in_between_the_two_pieces() -> None:
    with pair(faults.Split(on=CONNECTION, end="server", byte=2)) as (_, client, server):
        client.send(b"hello")
        assert server.recv(100) == b"he"
        assert outcome(lambda: server.recv(100)) == "EAGAIN"
        time.sleep(0.001)
        assert server.recv(100) == b"llo"


def test_a_stall_holds_the_rest_and_the_end() -> None:
    with pair(faults.Stall(on=CONNECTION, end="server", byte=2, seconds=5)) as (net, client, server):
        client.send(b"hello")
        client.send(b", world")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100) == b"he"
        assert ready(server) == select.POLLOUT
        server.settimeout(60)
        assert server.recv(100) == b"llo, world"
        assert net.time == pytest.approx(5)
        assert server.recv(100) == b""


def test_a_stall_holds_the_last_words_of_who_has_closed() -> None:
    with pair(faults.Stall(on=CONNECTION, end="server", byte=2, seconds=5)) as (_, client, server):
        server.send(b"unread")
        client.send(b"hello")
        client.close()
        assert outcome(lambda: server.send(b"x")) == "EPIPE"
        assert server.recv(100) == b"he"
        server.settimeout(60)
        assert server.recv(100) == b"llo"
        assert outcome(lambda: server.recv(100)) == "ECONNRESET"
        assert server.recv(100) == b""


def test_who_has_closed_is_sent_nothing_though_its_end_comes_later() -> None:
    with pair(faults.Stall(on=CONNECTION, end="server", byte=0, seconds=5)) as (_, client, server):
        client.close()
        assert ready(server) == select.POLLOUT
        assert outcome(lambda: server.send(b"x")) == "EPIPE"
        server.settimeout(60)
        assert server.recv(100) == b""


def test_what_is_to_act_before_the_first_byte_acts_with_it_or_with_the_end() -> None:
    with pair(faults.Eof(on=CONNECTION, end="server", byte=0)) as (net, client, server):
        assert not net.happened
        assert outcome(lambda: server.recv(100)) == "EAGAIN"
        client.send(b"hello")
        assert server.recv(100) == b""
    with pair(faults.Reset(on=CONNECTION, end="server", byte=0)) as (_, client, server):
        client.shutdown(socket.SHUT_WR)
        assert outcome(lambda: server.recv(100)) == "ECONNRESET"


def test_what_is_held_is_in_the_senders_buffer() -> None:
    with pair(faults.Stall(on=CONNECTION, end="server", byte=0, seconds=5)) as (_, client, server):
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += client.send(bytes(30_000))
        assert not ready(client) & select.POLLOUT
        time.sleep(6)
        got = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                got += len(server.recv(1 << 20))
        assert got == sent
        assert ready(client) & select.POLLOUT


def test_several_writes_arrive_as_one_or_with_the_end() -> None:
    with pair(faults.Coalesce(on=CONNECTION, end="server", byte=0, bytes=10)) as (_, client, server):
        client.send(b"hello")
        assert outcome(lambda: server.recv(100)) == "EAGAIN"
        client.send(b"world")
        assert server.recv(100) == b"helloworld"
    with pair(faults.Coalesce(on=CONNECTION, end="server", byte=0, bytes=10)) as (_, client, server):
        client.send(b"hello")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100) == b"hello"
    with pair(faults.Coalesce(on=CONNECTION, end="server", byte=0, bytes=10)) as (_, client, server):
        client.send(b"hello")
        time.sleep(0.041)
        assert server.recv(100) == b"hello"


def test_an_early_end_swallows_what_is_sent_later_and_the_other_direction_goes_on() -> None:
    with pair(faults.Eof(on=CONNECTION, end="server", byte=2)) as (_, client, server):
        assert client.send(b"hello") == 5
        assert client.send(b"more") == 4
        assert server.recv(100) == b"he"
        assert server.recv(100) == b""
        assert server.send(b"still here") == 10
        assert client.recv(100) == b"still here"
        client.close()
        assert ready(server) == HUNG_UP


@pytest.mark.parametrize("byte", [0, 2, 5])
def test_a_reset_at_a_byte_comes_after_what_was_before_it(byte: int) -> None:
    with pair(faults.Reset(on=CONNECTION, end="server", byte=byte)) as (_, client, server):
        with contextlib.suppress(BrokenPipeError):
            client.send(b"hello")
        if byte:
            assert server.recv(100) == b"hello"[:byte]
        for end in (client, server):
            assert outcome(lambda end=end: end.recv(100)) == "ECONNRESET"  # type: ignore[misc]
            assert outcome(lambda end=end: end.send(b"x")) == "EPIPE"  # type: ignore[misc]


def test_an_urgent_byte_stops_a_read_and_is_dropped_by_the_next() -> None:
    with pair(faults.Urgent(on=CONNECTION, end="server", byte=2)) as (_, client, server):
        client.send(b"hello")
        assert ready(server) & select.POLLPRI
        assert server.recv(100) == b"he"
        assert server.recv(100) == b"llo"
    with pair(faults.Urgent(on=CONNECTION, end="server", byte=5)) as (_, client, server):
        client.send(b"hello")
        assert server.recv(1, socket.MSG_OOB) == b"!"
        assert server.recv(100) == b"hello"


def test_an_anchor_within_a_long_write_moves_files_with_its_first_piece() -> None:
    with pair(faults.Split(on=CONNECTION, end="server", byte=40_000)) as (_, client, server):
        socket.send_fds(client, [bytes(60_000)], [client.fileno()])
        data, files, _, _ = socket.recv_fds(server, 100_000, 1)
        assert len(files) == 1
        socket.close(files[0])
        while len(data) < 60_000:
            time.sleep(0.001)
            more, none, _, _ = socket.recv_fds(server, 100_000, 1)
            assert not none
            data += more
        assert len(data) == 60_000


# --- places ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("/run/my app #1=*;.sock", r"/run/my\x20app\x20\x231\x3d\x2a\x3b.sock"),
        (b"\0app", "@app"),
        ("app.sock", "./app.sock"),
        ("../app.sock", "../app.sock"),
        ("/run/Grüße-日本.sock", "/run/Grüße-日本.sock"),
        ("/run/a\udcff.sock", r"/run/a\xff.sock"),
        (b"\0\xff\n", r"@\xff\x0a"),
        ("/a->b:7", r"/a-\x3eb\x3a7"),
    ],
)
def test_a_name_of_any_bytes_is_one_word_of_a_plan(name: str | bytes, place: str) -> None:
    plan = FaultPlan.parse(f"short-recv server->server:{place}#1 end=server call=1 bytes=1; wake server call=1 keep=1")
    assert FaultPlan.parse(str(plan)) == plan == FaultPlan.from_tables(plan.to_tables())
    with simnet.Network(FaultPlan(plan[:1]), target=("server", "test")) as net:
        with listening(net, name) as listener, connected(net, name) as client:
            server, _ = listener.accept()
            with server:
                client.send(b"hello")
                assert server.recv(100) == b"h"
        assert net.happened == FaultPlan(plan[:1])


def test_a_connection_is_named_as_its_listener_is_bound_however_its_opener_spells_that() -> None:
    with simnet.Network() as net:
        with listening(net) as listener, connected(net, "//run/../run/app.sock"):
            listener.accept()[0].close()
        assert CONNECTION in {event.place for event in net.trace}


def test_a_pattern_with_a_star_for_the_port_means_paths_too_but_no_pair() -> None:
    plan = FaultPlan.parse("short-recv *->*:*#* end=server call=1 bytes=1")
    with simnet.Network(plan, target=("server", "test")) as net:
        with listening(net) as listener, connected(net) as client:
            server, _ = listener.accept()
            with server:
                client.send(b"hello")
                assert server.recv(100) == b"h"

        def talk() -> bytes:
            one, other = socket.socketpair()
            with one, other:
                one.send(b"hello")
                return other.recv(100)

        assert net.host("server").run(talk) == b"hello"
        assert [str(fault) for fault in net.happened] == [f"short-recv {CONNECTION} end=server call=1 bytes=1"]


def test_what_a_pattern_means_elsewhere_leaves_unix_sockets_alone() -> None:
    plan = FaultPlan.parse(
        "error *->*:*#* recv end=server call=1 errno=ETIMEDOUT; connect-timeout *->*:*#*; unreachable *->*:*#*; "
        "blackhole *->*:*#* end=server byte=0; error *:* accept call=1 errno=ECONNABORTED"
    )
    with simnet.Network(plan, target=("server", "test")) as net:
        with listening(net) as listener, connected(net) as client:
            server, _ = listener.accept()
            with server:
                client.send(b"hello")
                assert server.recv(100) == b"hello"
        assert not net.happened


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"blackhole {CONNECTION} end=server byte=1", "nothing gets lost; what a peer keeps to itself is stall"),
        (f"unreachable {CONNECTION}", "no way leads that could be missing; use refuse"),
        (f"connect-timeout {CONNECTION}", "answered at once; use refuse"),
        (f"error {CONNECTION} recv end=server call=1 errno=ETIMEDOUT", "recv never says ETIMEDOUT: it says ENOBUFS"),
        (f"error {CONNECTION} send end=server call=1 errno=EHOSTUNREACH", "send never says EHOSTUNREACH"),
        (f"error {LISTENER} accept call=1 errno=ECONNABORTED", "reset-before-accept is a peer that is gone"),
        (f"refuse test->server:{PATH}#1", "connect within a host, server->server:/run/app.sock#1"),
        (f"refuse server->server:{PATH}", "names a flow; it acts on a connection"),
        ("drop server->server:socketpair datagram=1", "the two ends of a pair are server->server:socketpair#1"),
        (f"partition server<->server:{PATH} at=1 seconds=1", "'<->' is for links"),
        ("error server:socketpair accept call=1 errno=EMFILE", "nobody listens on a socketpair"),
        (r"refuse server->server:/a\x41#1", "is written /aA"),
        (
            "would-block server:/run/my app.sock accept call=1",
            r"op is given twice; in the name of a Unix socket a space is \x20",
        ),
        ("split server->server:/run/my app.sock#1 end=server byte=1", r"has no '='; after the place"),
        ("split server->server:/run/my app.sock#1 end=server byte=1", r"a space is \x20"),
        ("refuse server->server:/run/a=b#1", r"'=' is \x3d"),
        ("error server:app.sock accept call=1 errno=EMFILE", "a path begins with '/' or './'"),
        ("refuse server->server:/a(b)#1", r"a space \x20"),
    ],
)
def test_what_no_unix_socket_can_meet_is_refused_by_name_and_with_what_can(line: str, why: str) -> None:
    with pytest.raises(FaultError, match=re.escape(why)):
        FaultPlan.parse(line)


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_the_ends_of_a_pair_are_an_opener_and_an_acceptor() -> None:
    plan = FaultPlan.parse(
        "short-recv server->server:socketpair#2 end=client call=1 bytes=1; eof server->server:socketpair#2 end=server byte=3"
    )

    def talk() -> list[bytes]:
        first, pair = socket.socketpair(), socket.socketpair()
        one, other = pair
        with first[0], first[1], one, other:
            other.send(b"hello")
            one.send(b"world")
            return [one.recv(100), one.recv(100), other.recv(100), other.recv(100)]

    with simnet.Network(plan) as net:
        assert net.host("server").run(talk) == [b"h", b"ello", b"wor", b""]
        assert not net.unreached
