"""What a program sees of each fault, and what the record says of it."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import simnet
from simnet import FaultPlan, faults
from simnet.explore.report.ladder import ladder
from simnet.run import play

CONNECTION = "test->server:7#1"


@contextmanager
def pair(*kinds: Any, target: str = "server") -> Iterator[tuple[simnet.Network, socket.socket, socket.socket]]:
    """A network under a plan, the client's end and the server's, both non-blocking."""
    with simnet.Network(FaultPlan(kinds), target=target) as net:
        listener = net.host("server").listen(7)
        client = socket.create_connection(("server", 7))
        server, _ = listener.accept()
        client.setblocking(False)
        server.setblocking(False)
        yield net, client, server
        assert net.unreached == ()
        server.close()
        client.close()
        listener.close()


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gave, or the name of its error."""
    try:
        return call()
    except OSError as error:
        return type(error).__name__


def test_a_short_recv_gives_less_and_leaves_the_rest() -> None:
    with pair(faults.ShortRecv(on=CONNECTION, end="server", call=1, bytes=2)) as (_, client, server):
        client.send(b"hello")
        time.sleep(0.01)
        assert server.recv(100) == b"he"
        assert server.recv(100) == b"llo"


def test_a_partial_send_takes_less() -> None:
    with pair(faults.PartialSend(on=CONNECTION, end="server", call=2, bytes=3)) as (_, client, server):
        assert server.send(b"one") == 3
        assert server.send(b"hello") == 3
        time.sleep(0.01)
        assert client.recv(100) == b"onehel"


def test_sendall_finds_no_room_for_what_a_partial_send_has_left() -> None:
    with pair(faults.PartialSend(on=CONNECTION, end="server", call=1, bytes=3)) as (_, client, server):
        poller = select.epoll()
        poller.register(server, select.EPOLLOUT | select.EPOLLET)
        poller.poll()
        assert outcome(lambda: server.sendall(b"hello")) == "BlockingIOError"  # it does not say how much went
        assert poller.poll(0) == [(server.fileno(), select.EPOLLOUT)]
        assert outcome(lambda: server.sendall(b"hello")) is None
        time.sleep(0.01)
        assert client.recv(100) == b"helhello"


def test_would_block_after_readiness_loses_nothing_and_an_edge_is_told_again() -> None:
    with pair(faults.WouldBlock(on=CONNECTION, end="server", op="recv", call=1)) as (_, client, server):
        poller = select.epoll()
        poller.register(server, select.EPOLLIN | select.EPOLLET)
        client.send(b"x")
        assert poller.poll() == [(server.fileno(), select.EPOLLIN)]
        assert outcome(lambda: server.recv(1)) == "BlockingIOError"
        assert poller.poll() == [(server.fileno(), select.EPOLLIN)]
        assert server.recv(1) == b"x"
        assert poller.poll(0) == []


def test_would_block_on_accept_leaves_the_connection_in_the_queue() -> None:
    with simnet.Network(FaultPlan([faults.WouldBlock(on="server:7", op="accept", call=1)]), target="server") as net:
        listener = net.host("server").listen(7)
        listener.setblocking(False)
        client = socket.create_connection(("server", 7))
        time.sleep(0.01)
        assert outcome(listener.accept) == "BlockingIOError"
        accepted, _ = listener.accept()
        for sock in (accepted, client, listener):
            sock.close()


def test_blocking_sockets_are_spared_what_a_kernel_would_not_do_to_them() -> None:
    plan = FaultPlan(
        [
            faults.WouldBlock(on=CONNECTION, end="server", op="recv", call=1),
            faults.PartialSend(on=CONNECTION, end="server", call=1, bytes=1),
        ]
    )
    with simnet.Network(plan, target="server") as net, net.host("server").listen(7) as listener:
        client = socket.create_connection(("server", 7))
        server, _ = listener.accept()
        client.sendall(b"question")
        assert server.recv(100) == b"question"
        assert server.send(b"answer") == 6
        server.close()
        client.close()
    assert len(net.unreached) == 2


def test_a_send_with_a_time_out_may_be_partial_and_polls_again_after_an_eagain() -> None:
    plan = [
        faults.WouldBlock(on=CONNECTION, end="server", op="send", call=1),  # CPython's sock_call_impl() goes on
        faults.PartialSend(on=CONNECTION, end="server", call=2, bytes=3),
    ]
    with simnet.Network(FaultPlan(plan), target="server") as net:
        listener = net.host("server").listen(7)
        client = socket.create_connection(("server", 7))
        server, _ = listener.accept()
        server.settimeout(5)
        assert server.send(b"first") == 5
        assert server.send(b"second") == 3
        for each in (server, client, listener):
            each.close()


def test_calls_of_support_are_left_alone() -> None:
    plan = FaultPlan([faults.ShortRecv(on="*->*:*#1", end="client", call=1, bytes=1)])
    with simnet.Network(plan, target="server") as net, net.host("server").listen(7) as listener:
        client = socket.create_connection(("server", 7))
        server, _ = listener.accept()
        server.sendall(b"hello")
        assert client.recv(100) == b"hello"
        server.close()
        client.close()


def test_a_split_lets_the_reader_run_between_two_parts() -> None:
    with pair(faults.Split(on=CONNECTION, end="server", byte=3)) as (_, client, server):
        client.send(b"hello")
        select.select([server], [], [])
        assert server.recv(100) == b"hel"
        select.select([server], [], [])
        assert server.recv(100) == b"lo"


def test_a_stall_delays_what_follows_and_nothing_before() -> None:
    with pair(faults.Stall(on=CONNECTION, end="server", byte=3, seconds=5)) as (net, client, server):
        client.send(b"hello")
        began = net.time
        select.select([server], [], [])
        assert server.recv(100) == b"hel"
        select.select([server], [], [])
        assert server.recv(100) == b"lo"
        assert 5 <= net.time - began < 5.01


def test_an_urgent_byte_stands_out_of_the_stream() -> None:
    with pair(faults.Urgent(on=CONNECTION, end="server", byte=3, data=b"!")) as (_, client, server):
        client.send(b"hello")
        _, _, urgent = select.select([], [], [server])
        assert urgent == [server]
        assert server.recv(1, socket.MSG_OOB) == b"!"
        assert server.recv(100) == b"hel"
        assert server.recv(100) == b"lo"


def test_an_early_end_loses_the_rest_and_the_sender_is_not_told() -> None:
    with pair(faults.Eof(on=CONNECTION, end="server", byte=3)) as (_, client, server):
        assert client.send(b"hello") == 5
        assert client.send(b"more") == 4
        time.sleep(0.01)
        assert server.recv(100) == b"hel"
        assert server.recv(100) == b""
        server.send(b"still there")
        time.sleep(0.01)
        assert client.recv(100) == b"still there"


def test_a_reset_at_a_byte_delivers_what_came_before_and_then_the_error() -> None:
    with pair(faults.Reset(on=CONNECTION, end="server", byte=3)) as (_, client, server):
        client.send(b"hello")
        time.sleep(0.01)
        assert [outcome(lambda: server.recv(100)) for _ in range(3)] == [b"hel", "ConnectionResetError", b""]
        assert outcome(lambda: client.send(b"x")) == "ConnectionResetError"
        assert outcome(lambda: client.send(b"x")) == "BrokenPipeError"


@pytest.mark.parametrize(("when", "seen"), [("before", "ConnectionResetError"), ("after", 2)])
def test_a_reset_at_a_call_comes_before_or_after_it(when: str, seen: object) -> None:
    with pair(faults.Reset(on=CONNECTION, end="server", op="send", call=1, when=when)) as (_, client, server):
        assert outcome(lambda: server.send(b"hi")) == seen
        assert outcome(lambda: server.send(b"hi")) in ("ConnectionResetError", "BrokenPipeError")
        time.sleep(0.01)
        assert outcome(lambda: client.recv(100)) in (b"hi", "ConnectionResetError")


def test_a_refused_connection_is_refused_and_the_next_one_is_not() -> None:
    with simnet.Network(FaultPlan([faults.Refuse(on=CONNECTION)])) as net, net.host("server").listen(7):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("server", 7))
        socket.create_connection(("server", 7)).close()
    assert net.unreached == ()


def test_a_reset_in_the_backlog_is_accepted_and_dead() -> None:
    plan = FaultPlan([faults.ResetBeforeAccept(on="server:7", call=1)])
    with simnet.Network(plan, target="server") as net, net.host("server").listen(7) as listener:
        client = socket.create_connection(("server", 7))
        accepted, address = listener.accept()
        assert address[0] == net.host("test").address
        assert outcome(accepted.getpeername) == "OSError"
        assert outcome(lambda: accepted.recv(1)) == "ConnectionResetError"
        time.sleep(0.01)
        assert outcome(lambda: client.recv(1)) == "ConnectionResetError"
        accepted.close()
        client.close()


@pytest.mark.parametrize(
    ("op", "name", "then"),
    [
        pytest.param("send", "ENOBUFS", 2, id="the-socket-goes-on"),
        pytest.param("send", "ETIMEDOUT", "BrokenPipeError", id="the-connection-is-dead"),
    ],
)
def test_an_error_leaves_the_socket_as_the_kernel_would(op: str, name: str, then: object) -> None:
    fault = faults.Error(on=CONNECTION, end="server", op=op, call=1, errno=name)
    with pair(fault) as (_, _client, server):
        with pytest.raises(OSError) as caught:  # the errno is compared below
            server.send(b"hi")
        assert caught.value.errno == fault.code
        assert outcome(lambda: server.send(b"hi")) == then


def test_a_poller_reports_a_part_of_what_is_ready_and_the_rest_next_time() -> None:
    plan = FaultPlan([faults.Wake(on="server", call=1, first=1, keep=1)])
    told: list[list[int]] = []

    def watch() -> None:
        pairs = [socket.socketpair() for _ in range(3)]
        poller = select.epoll()
        for mine, theirs in pairs:
            poller.register(mine, select.EPOLLIN)
            theirs.send(b"x")
        order = [mine.fileno() for mine, _ in pairs]
        told.extend([order.index(fd) for fd, _ in poller.poll()] for _ in range(2))
        for each in (*pairs[0], *pairs[1], *pairs[2]):
            each.close()

    with simnet.Network(plan) as net:
        net.host("server").spawn(watch)
    assert told[0] == [1]
    assert sorted(told[1]) == [0, 1, 2]


def test_the_plan_that_happened_under_rates_gives_the_identical_trace_without_them() -> None:
    def test(net: simnet.Network) -> bytes:
        def echo() -> None:
            listener = socket.create_server(("", 7))
            listener.setblocking(False)
            poller = select.poll()
            poller.register(listener, select.POLLIN)
            poller.poll()
            connection = None
            while connection is None:
                poller.poll()
                try:
                    connection, _ = listener.accept()
                except BlockingIOError:
                    continue
            connection.setblocking(False)
            poller.register(connection, select.POLLIN)
            while True:
                poller.poll()
                try:
                    data = connection.recv(10)
                except BlockingIOError:
                    continue
                if not data:
                    break
                connection.setblocking(True)
                connection.sendall(data)
                connection.setblocking(False)
            connection.close()
            listener.close()

        net.host("server").spawn(echo)
        with socket.create_connection(("server", 7)) as client:
            client.sendall(b"x" * 100)
            client.shutdown(socket.SHUT_WR)
            return client.makefile("rb").read()

    rates = simnet.FaultRates.even(0.3, kinds=simnet.TRANSPARENT, seed=5)
    first = simnet.play(test, rates=rates)
    assert first.outcome.returned == b"x" * 100
    assert len(first.happened) > 3
    again = simnet.play(test, first.happened)
    assert again.outcome == first.outcome
    assert again.trace.entries == first.trace.entries


def test_dice_thrown_while_a_stream_grows_act_when_a_plan_would() -> None:
    """A fault at the offset where one write ends and the next begins acts as the first one leaves, in both."""
    plan = FaultPlan([faults.Eof(on=CONNECTION, end="client", byte=3)])
    with pair(*plan.faults) as (net, _client, server):
        server.send(b"abc")
        assert net.happened == plan  # not when more is sent


@pytest.mark.parametrize("connected", [False, True])
def test_rates_leave_datagrams_and_pairs_alone(connected: bool) -> None:
    """The bytes of the one have no place that a plan could name, those of the other go to and from the same program."""

    def serve() -> None:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", 7))
        one, other = socket.socketpair()
        with udp, one, other:
            data, addr = udp.recvfrom(100)
            one.sendall(data)
            if connected:
                udp.connect(addr)
                udp.send(other.recv(100))
            else:
                udp.sendto(other.recv(100), addr)

    with simnet.Network(
        rates=simnet.FaultRates(split=0.5, urgent=0.5, short_recv=0.5, partial_send=0.5, reset=0.5)
    ) as net:
        net.host("server").spawn(serve)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            if connected:
                udp.connect(("server", 7))
                udp.send(b"hello")
            else:
                udp.sendto(b"hello", ("server", 7))
            assert udp.recv(100) == b"hello"
    assert not net.plan.faults


def test_rates_leave_a_listener_that_is_read_to_its_own_error() -> None:
    rates = simnet.FaultRates.even(1.0, kinds=["would-block"], seed=3)
    with simnet.Network(rates=rates, target="test") as net:
        with socket.create_server(("", 7)) as listener:
            listener.setblocking(False)
            with pytest.raises(OSError, match="not connected"):
                listener.recv(1)
        assert net.happened.faults == ()


def test_looking_at_a_socket_is_no_call() -> None:
    """A log line, a debugger, pytest that explains an assertion: none may change a run, or move a fault."""
    with pair() as (net, client, server):
        listener = net.host("server").listen(8)
        before = net.trace.digest()
        for sock in (client, server, listener):
            assert "laddr=" in repr(sock)
        assert net.trace.digest() == before
    assert repr(client).startswith("<socket.socket "), "its network is gone"


@pytest.mark.parametrize(
    ("kind", "timeout", "told"),
    [
        ("unreachable", None, ("EHOSTUNREACH", 0.002)),
        ("unreachable", 5, ("EHOSTUNREACH", 0.002)),
        ("connect-timeout", None, ("ETIMEDOUT", 131.0)),  # six repetitions, the first four a second apart (Linux 6.5)
        ("connect-timeout", 5, (None, 5.0)),
    ],
)
def test_a_way_that_is_not_there_and_a_host_that_never_answers(
    kind: str, timeout: float | None, told: tuple[str | None, float]
) -> None:
    def test(net: simnet.Network) -> Any:
        with net.host("server").listen(7):
            with pytest.raises(OSError) as caught:  # which, is what is asked
                socket.create_connection(("server", 7), timeout=timeout)
            when = round(time.monotonic(), 3)
            socket.create_connection(("server", 7), timeout=timeout).close()
            return (errno.errorcode.get(caught.value.errno or 0), when)

    run = simnet.play(test, f"{kind} test->server:7#1")
    assert run.outcome.returned == told
    assert (str(run.happened), simnet.play(test, run.happened).digest) == (f"{kind} test->server:7#1", run.digest)
    assert ladder(run.trace, whole=True).count("\u26a1") == 1


def three_writes(net: simnet.Network) -> list[tuple[float, bytes]]:
    """What a server reads, and when, of a client that writes a word every 5 ms."""
    got: list[tuple[float, bytes]] = []

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    got.append((round(time.monotonic(), 4), data))

    net.host("server").spawn(serve)
    with socket.create_connection(("server", 7)) as client:
        for word in (b"one", b"two", b"three"):
            client.sendall(word)
            time.sleep(0.005)
    net.sleep(0.1)
    return got


@pytest.mark.parametrize(
    ("fault", "got"),
    [
        ("", [(0.003, b"one"), (0.008, b"two"), (0.013, b"three")]),
        ("byte=0 bytes=6", [(0.008, b"onetwo"), (0.013, b"three")]),
        ("byte=0 bytes=4", [(0.008, b"onetwo"), (0.013, b"three")]),
        ("byte=2 bytes=3", [(0.003, b"on"), (0.008, b"etwo"), (0.013, b"three")]),
        ("byte=3 bytes=99", [(0.003, b"one"), (0.018, b"twothree")]),  # the end of the stream waits for nothing
        ("byte=11 bytes=2", [(0.003, b"one"), (0.008, b"two"), (0.013, b"three")]),  # there are no more
    ],
)
def test_several_writes_arrive_as_one(fault: str, got: list[tuple[float, bytes]]) -> None:
    run = simnet.play(three_writes, f"coalesce {CONNECTION} end=server {fault}" if fault else "")
    assert (run.outcome.returned, run.unreached) == (got, ())
    assert simnet.play(three_writes, run.happened).digest == run.digest
    assert ladder(run.trace, whole=True).count("together from byte") == bool(fault)


def test_what_is_to_arrive_as_one_waits_forty_milliseconds_and_no_longer() -> None:
    with pair(faults.Coalesce(on=CONNECTION, end="server", byte=0, bytes=10)) as (_, client, server):
        began = time.monotonic()
        client.send(b"alone")
        assert select.select([server], [], [], 1) == ([server], [], [])
        assert round(time.monotonic() - began, 3) == 0.041
        assert server.recv(100) == b"alone"
        client.send(b"at once")
        time.sleep(0.001)
        assert server.recv(100) == b"at once"


def test_a_reader_that_takes_one_read_for_one_message_is_found_by_writes_that_come_as_one() -> None:
    def test(net: simnet.Network) -> list[bytes]:
        return [word for _, word in three_writes(net)]

    with pytest.raises(Exception, match="onetwo") as caught:
        simnet.check(test, target="server", kinds="coalesce")
    assert "on arrived as one, however many writes" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("end", ["client", "server"])
def test_after_a_black_hole_there_is_silence_in_one_direction(end: str) -> None:
    hole = faults.Blackhole(on=CONNECTION, end=end, byte=5)
    with pair(hole) as (_, client, server):
        mute, deaf = (client, server) if end == "server" else (server, client)
        mute.send(b"hello, nobody")
        deaf.send(b"never acknowledged")
        time.sleep(60)
        assert (deaf.recv(100), mute.recv(100)) == (b"hello", b"never acknowledged")
        time.sleep(2_000)
        assert (outcome(lambda: deaf.recv(100)), outcome(lambda: mute.recv(100))) == ("TimeoutError", "TimeoutError")


def test_each_part_of_a_send_that_waits_is_a_call_that_a_fault_may_touch() -> None:
    def read_all(port: int) -> None:
        with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
            while connection.recv(65536):
                pass

    def sends(net: simnet.Network) -> str:
        net.host("server").spawn(read_all, 7)
        with socket.create_connection(("server", 7)) as sock:
            try:
                sock.sendall(bytes(9_000_000))
            except OSError as error:
                return errno.errorcode[error.errno or 0]
        return "sent"

    run = play(sends, target="test")
    parts = [event.n for event in run.trace.of("call") if event.op == "send"]
    assert (run.outcome.returned, parts) == ("sent", [1, 2, 3, 4])
    for part in parts:
        hurt = play(sends, f"reset test->server:7#1 end=client send call={part} when=before", target="test")
        assert not hurt.unreached
        assert hurt.outcome.returned in ("ECONNRESET", "EPIPE")
