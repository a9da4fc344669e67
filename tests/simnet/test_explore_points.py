"""Which faults a sweep tries: all at calls, all bytes of short streams, and an honest word where a budget says stop."""

from __future__ import annotations

import asyncio
import contextlib
import select as pollers
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dispatch
from simnet import FaultPlan, Network, check, faults, play
from simnet.explore.gone import gone
from simnet.explore.points import BYTES_ALL_MAX, EDGES, families, select
from simnet.points.reading import CallPoint, ConnectPoint, Points, PollPoint, StreamPoint

PLACE = "test->server:7#1"
TARGETS = ("server",)


def call(
    op: str, n: int = 1, *, size: int = 0, blocking: bool = False, result: str = "ok", target: bool = True
) -> CallPoint:
    listening = op == "accept"
    place, end = ("server:7", "") if listening else (PLACE, "server" if target else "client")
    return CallPoint(place, end, op, n, "server" if target else "test", target, blocking, size, result)


def points_of(
    *calls: CallPoint,
    streams: Sequence[StreamPoint] = (),
    polls: Sequence[PollPoint] = (),
    connects: Sequence[ConnectPoint] = (),
) -> Points:
    points = Points()
    points.calls += calls
    points.streams += streams
    points.polls += polls
    points.connects += connects
    return points


def lines(points: Points, kind: str | None = None) -> list[str]:
    chosen = select(families(points, TARGETS, None if kind is None else [kind]), 1_000_000)
    assert len(chosen.faults) == chosen.planned
    return [str(fault) for fault in chosen.faults]


def test_a_recv_is_cut_to_the_first_byte_to_half_and_to_all_but_the_last() -> None:
    assert lines(points_of(call("recv", 2, size=14)), "short-recv") == [
        f"short-recv {PLACE} end=server call=2 bytes=1",
        f"short-recv {PLACE} end=server call=2 bytes=7",
        f"short-recv {PLACE} end=server call=2 bytes=13",
    ]
    assert lines(points_of(call("recv", size=2)), "short-recv") == [f"short-recv {PLACE} end=server call=1 bytes=1"]
    assert lines(points_of(call("recv", size=1)), "short-recv") == []  # nothing less than a byte, and zero is the end


def test_what_a_blocking_socket_cannot_do_is_not_tried_on_one() -> None:
    calls = (call("send", size=9, blocking=True), call("recv", size=9, blocking=True), call("accept", blocking=True))
    tried = {line.split()[0] for line in lines(points_of(*calls))}
    assert tried == {"short-recv", "error", "reset", "reset-before-accept"}
    tried = {line.split()[0] for line in lines(points_of(call("send", size=9), call("accept")))}
    assert tried == {"would-block", "partial-send", "error", "reset", "reset-before-accept"}


def test_a_send_with_a_time_out_may_be_partial_but_never_says_that_it_would_block() -> None:
    timed = call("send", size=9, blocking=True)._replace(timed=True)
    assert {line.split()[0] for line in lines(points_of(timed))} == {"partial-send", "error", "reset"}


def test_a_sweep_finds_a_client_with_a_time_out_that_ignores_what_send_says() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"%d" % len(connection.makefile("rb").read()))

    def ask() -> bytes:
        with socket.create_connection(("server", 7), timeout=2) as sock:
            sock.send(b"question")
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile("rb").read()

    def test(net: Network) -> None:
        net.host("server").spawn(serve)
        assert net.host("client").run(ask) == b"8"

    with pytest.raises(AssertionError, match="took only 1 byte"):
        check(test, target="client", kinds="transparent")


def test_calls_that_failed_have_nothing_to_lose_but_the_connection() -> None:
    assert lines(points_of(call("recv", result="EAGAIN"))) == [
        f"reset {PLACE} end=server recv call=1",
        f"reset {PLACE} end=server recv call=1 when=after",
    ]
    assert lines(points_of(call("accept", result="EAGAIN"))) == []


def test_calls_of_the_support_are_left_alone() -> None:
    assert lines(points_of(call("recv", size=9, target=False), call("send", size=9, target=False))) == []


def test_accept_can_say_all_that_the_kernel_says() -> None:
    said = [line.rpartition("=")[2] for line in lines(points_of(call("accept")), "error")]
    assert said == list(faults.ERRNOS["accept"])


def test_a_poll_with_one_ready_has_no_order_and_one_with_three_has_several() -> None:
    one = PollPoint("server", 1, ("server:7 IN",), "server", True, "epoll")
    three = PollPoint("server", 2, ("a IN", "b IN", "c IN"), "server", True, "epoll")
    found = lines(points_of(polls=[one, three]), "wake")
    assert found == [
        "wake server call=2 keep=1",
        "wake server call=2 first=1 keep=1",
        "wake server call=2 first=2 keep=1",
        "wake server call=2 keep=2",
        "wake server call=2 first=1",
    ]
    plain = lines(points_of(polls=[three._replace(kind="select")]), "wake")
    assert plain == found[:-1]  # select and poll report in the order of descriptors, whatever became ready first


def test_connects_that_touch_no_target_are_not_refused() -> None:
    connects = [ConnectPoint(PLACE, "test", "server", True), ConnectPoint("test->db:5#1", "test", "db", True)]
    assert lines(points_of(connects=connects), "refuse") == [f"refuse {PLACE}"]


def test_calls_on_sockets_that_no_plan_can_name_are_no_points() -> None:
    def serve() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for kind in (socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
                one, other = socket.socketpair(socket.AF_UNIX, kind)
                with one, other:
                    one.sendall(b"hello")
                    other.recv(5)
            udp.bind(("", 7))
            udp.sendto(*udp.recvfrom(100))

    with Network() as net:
        net.host("server").spawn(serve)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"hello", ("server", 7))
            assert udp.recv(100) == b"hello"
    found = families(Points.of(net.trace, ["server"]), ["server"])

    places = {str(family.make(index).place) for family in found for index in range(family.size)}
    # The one with a port, and its datagrams.
    assert places - {"server"} == {"server:7", "test->server:7", "server->test:*"}


def test_a_unix_stream_has_the_points_of_its_calls_its_connect_and_its_bytes() -> None:
    def serve() -> None:
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind("/run/it's a socket")
            listener.listen()
            client.connect("/run/it's a socket")
            accepted, _ = listener.accept()
            with accepted:
                client.sendall(b"hello")
                client.sendall(b", world")
                accepted.recv(100)

    with Network() as net:
        net.host("server").run(serve)
    points = Points.of(net.trace, ["server"])
    found = families(points, ["server"])

    connection = r"server->server:/run/it\x27s\x20a\x20socket#1"
    assert points.connects == [ConnectPoint(connection, "server", "server", True)]
    assert [stream[:4] for stream in points.streams] == [(connection, "server", 12, (0, 5, 12))]
    assert all(stream.target for stream in points.streams)
    kinds = {family.kind for family in found}
    assert kinds == {
        "refuse",
        "short-recv",
        "error",
        "reset",
        "reset-before-accept",
        "split",
        "coalesce",
        "stall",
        "urgent",
        "eof",
    }
    assert not families(points, ["server"], ["unreachable", "connect-timeout", "blackhole"])
    assert {line.rpartition("=")[2] for line in lines(points, "error")} == {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"}


def test_what_breaks_a_pair_is_tried_by_who_asks_for_it() -> None:
    def talk() -> None:
        one, other = socket.socketpair()
        with one, other:
            one.send(b"hello")
            other.recv(100)

    with Network() as net:
        net.host("server").run(talk)
    points = Points.of(net.trace, ["server"])
    assert {family.kind for family in families(points, ["server"])} == {"short-recv", "split", "stall"}
    assert {family.kind for family in families(points, ["server"], ["eof", "reset"])} == {"eof", "reset"}


def made_by_hand() -> tuple[socket.socket, socket.socket]:
    """As the standard library's own ``socketpair`` does it where there are no Unix sockets, and paho-mqtt everywhere."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(listener.getsockname())
        return one, listener.accept()[0]


def test_a_pair_that_a_program_makes_of_tcp_is_broken_by_who_asks_for_it_only() -> None:
    def talk() -> None:
        one, other = made_by_hand()
        with one, other:
            one.setblocking(True)
            one.sendall(b"wake up")
            assert other.recv(100) == b"wake up"

    def test(net: Network) -> None:
        net.host("client").run(talk)

    run = play(test, target=["client"])
    assert run.points.pairs == {"client->client:32769#1", "client:32769"}
    unasked = {family.kind for family in [*families(run.points, run.targets), *gone(run.points, run.targets)]}
    assert unasked == {"short-recv", "split", "stall"}
    asked = {family.kind for family in families(run.points, run.targets, ["refuse", "reset-before-accept", "eof"])}
    assert asked == {"refuse", "reset-before-accept", "eof"}


@pytest.mark.parametrize("port", [0, 7])
def test_a_server_of_the_same_host_is_no_pair(port: int) -> None:
    bound: list[Any] = []

    def serve() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            bound.append(listener.getsockname())
            listener.accept()[0].close()

    def ask() -> None:
        with socket.create_connection(bound.pop()) as sock:
            sock.recv(1)

    def test(net: Network) -> None:
        net.host("client").spawn(serve)
        net.host("client").run(ask)

    run = play(test, target=["client"])
    assert not run.points.pairs
    assert "refuse" in {family.kind for family in families(run.points, run.targets)}


def test_a_pair_with_room_for_what_wakes_a_loop_is_not_said_to_be_full_unless_somebody_asks() -> None:
    # Who wakes a loop of their own passes over EAGAIN: on a kernel it means that enough unread bytes wake it already.
    def wake() -> None:
        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            writer.send(b"x")
            assert pollers.select([reader], [], [], 1)[0] == [reader]
            reader.recv(100)

    with Network() as net:
        net.host("server").run(wake)
    points = Points.of(net.trace, ["server"])
    for kinds, ops in ((None, {"recv"}), (["would-block"], {"recv", "send"})):
        tried = select(families(points, ["server"], kinds), 100).faults
        assert {fault.op for fault in tried if isinstance(fault, faults.WouldBlock)} == ops


def test_the_pair_that_wakes_an_event_loop_has_no_points() -> None:
    async def rest() -> None:
        asyncio.get_running_loop().call_soon_threadsafe(str)
        await asyncio.sleep(0.1)

    def turn() -> None:
        with dispatch.Loop() as loop:
            loop.call_soon_threadsafe(loop.stop)
            loop.run()

    with Network() as net:
        net.host("server").run(lambda: asyncio.run(rest()))
        net.host("server").run(turn)
    assert not families(Points.of(net.trace, ["server"]), ["server"])


def test_calls_of_a_datagram_socket_that_is_connected_are_no_connections() -> None:
    def serve() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:  # to see which address leads there, as servers do
            sock.connect(("test", 9))
            sock.send(sock.getsockname()[0].encode())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.recv(100)

    def test(net: Any) -> None:
        net.host("server").spawn(serve)

    run = play(test)
    calls = [(call.place, call.op) for call in run.points.calls if call.op in ("getsockname", "send", "recv")]
    assert calls == [("server->test:9", "send"), ("server->test:9", "recv")]
    for family in families(run.points, run.targets):
        for fault in (family.make(index) for index in range(family.size)):
            assert play(test, FaultPlan([fault])).unreached == (), fault


def test_every_byte_of_a_short_stream_is_a_point() -> None:
    stream = StreamPoint(PLACE, "server", 14, (0, 14), True)
    for kind in ("eof", "reset", "urgent"):
        at = sorted(int(line.rpartition("byte=")[2].split()[0]) for line in lines(points_of(streams=[stream]), kind))
        assert at == list(range(15)), kind  # before each byte, and after the last, before the end
    at = sorted(int(line.rpartition("byte=")[2]) for line in lines(points_of(streams=[stream]), "split"))
    assert at == list(range(1, 14))  # before the first and after the last, nothing is split


def test_stalls_are_short_everywhere_and_long_as_well_at_edges() -> None:
    stream = StreamPoint(PLACE, "server", 14, (0, 7, 14), True)
    seconds = Counter(line.rpartition("seconds=")[2] for line in lines(points_of(streams=[stream]), "stall"))
    assert seconds == {"0.05": 15, "61": 7}  # 0 1, 6 7 8, 13 14


def test_what_a_target_waited_for_with_a_deadline_comes_just_behind_it_too() -> None:
    """Whole, without its first byte, and its last one; not where the other delays are as good. A pause before eats up as much of one."""
    late = ((0, 1.5, 0.0), (7, 0.01, 0.02), (13, 2.0, 3.0))
    stream = StreamPoint(PLACE, "server", 14, (0, 7, 13, 14), True, late)
    stalls = [line.partition("byte=")[2] for line in lines(points_of(streams=[stream]), "stall")]
    assert [each for each in stalls if not each.endswith(("=0.05", "=61"))] == [
        "0 seconds=1.55",
        "1 seconds=1.55",
        "6 seconds=1.55",
        "13 seconds=5.05",
    ]


def asked_twice(net: Network, asker: socket.socket, answerer: socket.socket) -> None:
    """By a target that has less patience, in seconds, with the first answer than with the second."""

    def answer() -> None:
        for _ in range(2):
            asked, whose = answerer.recvfrom(100)
            answerer.sendto(asked, whose) if whose else answerer.send(asked)

    def ask() -> None:
        for patience in (3.5, 7):
            asker.settimeout(patience)
            asker.send(b"what")
            assert asker.recv(100) == b"what"
            time.sleep(0.1)  # within a host an answer takes no time, and the nearest deadline of an instant counts

    net.host("test").spawn(answer)
    net.host("server").run(ask)
    asker.close()
    answerer.close()


@pytest.mark.parametrize("where", ["test", "server"])
def test_deadlines_are_those_of_the_targets_waits(where: str) -> None:
    def test(net: Network) -> None:
        with net.host(where).listen("/run/app" if where == "server" else 7) as listener:
            asker = net.host("server").connect("/run/app" if where == "server" else ("test", 7))
            asked_twice(net, asker, listener.accept()[0])

    (late,) = (stream.late for stream in play(test, target="server").points.streams if stream.end == "client")
    assert [(first, round(off, 2), round(pause, 2)) for first, off, pause in late] == [(0, 3.5, 0), (4, 7, 0.1)]


def test_so_are_they_where_datagrams_answer() -> None:
    def test(net: Network) -> None:
        asker, answerer = (net.host(name).socket(type=socket.SOCK_DGRAM) for name in ("server", "test"))
        answerer.bind(("test", 7))
        asker.connect(("test", 7))
        asked_twice(net, asker, answerer)

    assert [round(each.late, 2) for each in play(test, target="server").points.datagrams] == [0, 3.5, 0, 7]


def test_streams_between_support_are_left_alone() -> None:
    assert lines(points_of(streams=[StreamPoint(PLACE, "server", 14, (0, 14), False)])) == []


def test_a_small_test_is_swept_whole_and_says_so() -> None:
    selection = select(families(points_of(call("recv", size=14)), TARGETS), 2_000)
    assert (len(selection.faults), selection.line) == (9, "9 points")


def test_a_budget_is_spent_on_calls_then_edges_then_bytes_evenly() -> None:
    stream = StreamPoint(PLACE, "server", 300_000, tuple(range(0, 300_001, 100_000)), True)
    selection = select(families(points_of(call("recv", size=14), streams=[stream]), TARGETS), 100)
    assert len(selection.faults) == 100
    kinds = Counter(fault.kind for fault in selection.faults)
    # 9 at the call; 4 kinds act at 300,001 places, split at 299,999; 10 bytes are edges and get the long stall as well;
    # of the writes two neighbours arrive as one, or all three.
    assert selection.planned == 9 + 4 * 300_001 + 299_999 + 10 + 3
    assert selection.line == "100 of 1,500,025 points: all calls, all edges, 30 of 1,499,955 bytes between"
    between = [fault.byte for fault in selection.faults if fault.kind == "eof"]
    assert between[-6:] == sorted(between[-6:])
    assert between[-1] - between[-6] > 250_000
    assert kinds["short-recv"] == 3


def test_a_long_stream_is_sampled_however_large_the_budget() -> None:
    stream = StreamPoint(PLACE, "server", 1_000_000, (0, 1_000_000), True)
    selection = select(families(points_of(streams=[stream]), TARGETS, ["eof"]), 1_000_000)
    assert len(selection.faults) == BYTES_ALL_MAX + 4
    assert selection.planned == 1_000_001
    assert len(set(selection.faults)) == len(selection.faults)


def test_no_byte_is_tried_twice_and_none_is_left_out() -> None:
    stream = StreamPoint(PLACE, "client", 50, (0, 3, 20, 21, 50), True)
    found = families(points_of(streams=[stream]), TARGETS, ["reset"])
    bytes_of = [[family.make(index).byte for index in range(family.size)] for family in found]  # type: ignore[attr-defined]
    assert found[0].rank == EDGES
    assert sorted(bytes_of[0] + bytes_of[1]) == list(range(51))


@pytest.mark.parametrize("budget", [1, 2, 7, 20])
def test_a_budget_is_kept_and_the_same_faults_come_each_time(budget: int) -> None:
    stream = StreamPoint(PLACE, "client", 50, (0, 50), True)
    points = points_of(call("recv", size=14), call("send", size=14), streams=[stream])
    first, second = (select(families(points, TARGETS), budget) for _ in range(2))
    assert first.faults == second.faults
    assert len(first.faults) == len(set(first.faults)) == budget


streams_of_any_shape = st.builds(
    lambda length, cuts: StreamPoint(
        PLACE, "server", length, tuple(sorted({0, length, *(cut % (length + 1) for cut in cuts)})), True
    ),
    st.integers(0, 6_000),
    st.lists(st.integers(0, 6_000), max_size=5),
)


@given(stream=streams_of_any_shape, budget=st.integers(1, 400), size=st.integers(0, 5))
def test_whatever_there_is_the_budget_is_used_up_and_nothing_is_run_twice(
    stream: StreamPoint, budget: int, size: int
) -> None:
    found = families(points_of(call("recv", size=size), streams=[stream]), TARGETS)
    selection = select(found, budget)
    assert len(selection.faults) == len(set(selection.faults)) == min(budget, selection.planned)
    assert selection.line.startswith(f"{len(selection.faults):,} ")
    bytes_tried = [fault.byte for fault in selection.faults if isinstance(fault, faults.Split)]
    assert all(0 < byte < stream.length for byte in bytes_tried)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["10.9.9.9", "fd00::9", "::ffff:10.9.9.9"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["TCP", "UDP"])
def test_an_address_that_no_host_has_is_a_place_too(address: str, kind: socket.SocketKind) -> None:
    def test(net: Network) -> bytes:
        def serve() -> None:
            with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
                with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as elsewhere:
                    elsewhere.settimeout(1)
                    with contextlib.suppress(OSError):
                        elsewhere.connect((address, 53))
                        elsewhere.send(b"?")
                with contextlib.suppress(OSError):
                    connection.sendall(b"nobody is there")

        net.host("server").spawn(serve)
        net.host("server").wait_listening(7)
        with socket.create_connection(("server", 7)) as sock:
            return sock.makefile("rb").read()

    run = play(test)
    host = "[fd00::9]" if address == "fd00::9" else "10.9.9.9"
    assert f"server->{host}:53" in {each.place.partition("#")[0] for each in run.trace}
    check(test, kinds="reset", may_raise=OSError)
