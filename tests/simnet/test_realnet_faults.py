"""A fault on real sockets: what the kernel shows the target, beside what the simulator shows it."""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from simnet import Network, play
from simnet.faults.plan import FaultPlan
from simnet.realnet import CONFIRMED, INJECTED, SIMULATOR_ONLY, RealNetwork, play_real, verdict_class

pytestmark = pytest.mark.slow  # each case takes threads or a pytest of its own

Seen = list[tuple[str, Any]]


def tried(seen: Seen, op: str, call: Callable[..., Any], *args: Any) -> Any:
    """Make a call and note what it gave: a value, or an errno's name."""
    try:
        result = call(*args)
    except OSError as error:
        result = errno.errorcode.get(error.errno or 0, type(error).__name__)
    seen.append((op, result))
    return result


def reads_all(seen: Seen) -> None:
    """A target that reads what one client sends, then says thanks."""
    with socket.create_server(("", 7)) as listener:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(3)
            while True:
                data = tried(seen, "recv", connection.recv, 100)
                if data in (b"", "ECONNRESET", "ETIMEDOUT"):
                    break
            tried(seen, "send", connection.send, b"thanks")


def writes_all(seen: Seen) -> None:
    """A target that sends at once, and looks what becomes of it."""
    with socket.create_server(("", 7)) as listener:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(3)
            tried(seen, "send", connection.send, b"0123456789")
            time.sleep(0.02)
            tried(seen, "recv", connection.recv, 100)
            tried(seen, "send", connection.send, b"abc")


def writes_without_waiting(seen: Seen) -> None:
    """A target that does not wait for room."""
    with socket.create_server(("", 7)) as listener:
        connection, _ = listener.accept()
        with connection:
            connection.setblocking(False)
            tried(seen, "sendall", connection.sendall, b"0123456789")
            tried(seen, "sendall", connection.sendall, b"abc")


def body(target: Callable[[Seen], None], client: Callable[[socket.socket], object]) -> Callable[[Any], object]:
    def test(net: Any) -> None:
        seen: Seen = []
        net.host("server").spawn(target, seen)
        try:
            with socket.create_connection(("server", 7), timeout=3) as sock:
                client(sock)
        except OSError as error:
            net.observe("client", type(error).__name__)
        net.sleep(0.05)
        net.observe("target", seen)

    return test


def sends_five(sock: socket.socket) -> None:
    sock.sendall(b"hello")
    time.sleep(0.01)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(100)


def reads_then_leaves(sock: socket.socket) -> None:
    time.sleep(0.01)
    sock.settimeout(0.1)
    while sock.recv(4):
        pass


WORLDS_AGREE = [
    pytest.param(reads_all, sends_five, "", id="no-faults"),
    pytest.param(reads_all, sends_five, "reset test->server:7#1 end=server byte=3", id="reset-while-reading"),
    pytest.param(reads_all, sends_five, "reset test->server:7#1 end=server byte=5", id="reset-after-all"),
    pytest.param(reads_all, sends_five, "eof test->server:7#1 end=server byte=3", id="eof-while-reading"),
    pytest.param(reads_all, sends_five, "split test->server:7#1 end=server byte=3", id="split"),
    pytest.param(reads_all, sends_five, "stall test->server:7#1 end=server byte=3 seconds=0.05", id="stall"),
    pytest.param(reads_all, sends_five, "urgent test->server:7#1 end=server byte=3", id="urgent"),
    pytest.param(reads_all, sends_five, "short-recv test->server:7#1 end=server call=1 bytes=2", id="short-recv"),
    pytest.param(reads_all, sends_five, "partial-send test->server:7#1 end=server call=1 bytes=2", id="partial-send"),
    pytest.param(
        reads_all, sends_five, "error test->server:7#1 end=server op=recv call=1 errno=EHOSTUNREACH", id="error"
    ),
    pytest.param(
        reads_all, sends_five, "reset test->server:7#1 end=server op=recv call=2 when=before", id="before-recv"
    ),
    pytest.param(reads_all, sends_five, "reset test->server:7#1 end=server op=send call=1 when=after", id="after-send"),
    pytest.param(reads_all, sends_five, "reset-before-accept server:7 call=1", id="reset-before-accept"),
    pytest.param(reads_all, sends_five, "refuse test->server:7#1", id="refuse"),
    pytest.param(writes_all, reads_then_leaves, "", id="writer-no-faults"),
    pytest.param(writes_all, reads_then_leaves, "reset test->server:7#1 end=client byte=3", id="reset-while-writing"),
    pytest.param(writes_all, reads_then_leaves, "eof test->server:7#1 end=client byte=3", id="eof-while-writing"),
    pytest.param(writes_all, reads_then_leaves, "split test->server:7#1 end=client byte=3", id="split-of-a-write"),
    pytest.param(
        writes_all, reads_then_leaves, "stall test->server:7#1 end=client byte=3 seconds=0.05", id="stalled-write"
    ),
    pytest.param(writes_all, reads_then_leaves, "urgent test->server:7#1 end=client byte=3", id="urgent-in-a-write"),
    pytest.param(
        writes_all, reads_then_leaves, "partial-send test->server:7#1 end=server call=1 bytes=4", id="partial"
    ),
    pytest.param(
        writes_without_waiting,
        reads_then_leaves,
        "partial-send test->server:7#1 end=server call=1 bytes=4",
        id="partial-sendall",
    ),
]


@pytest.mark.parametrize(("target", "client", "plan"), WORLDS_AGREE)
def test_the_target_sees_on_a_kernel_what_it_sees_on_simnet(target: Any, client: Any, plan: str) -> None:
    faults = FaultPlan.parse(plan)
    test = body(target, client)
    real, simulated = play_real(test, faults, target="server"), play(test, faults, target="server")
    assert real.unreached == simulated.unreached == ()
    assert list(real.happened) == list(simulated.happened)
    assert real.outcome == simulated.outcome
    assert real.kernel == verdict_class(faults)


def test_a_time_out_that_is_injected_leaves_the_connection_dead() -> None:
    faults = FaultPlan.parse("error test->server:7#1 end=server op=recv call=1 errno=ETIMEDOUT")
    test = body(reads_all, sends_five)
    seen = [dict(run(test, faults, target="server").outcome.observed)["target"] for run in (play_real, play)]
    # Simulated, the peer hears of it when it sends; here by the RST with which the kernel lets go of the connection.
    assert seen == [[("recv", "ETIMEDOUT"), ("send", "EPIPE")]] * 2


def transfer(plan: str, *, size: int, chunk: int) -> tuple[bytes, float]:
    """What a target receives of *size* bytes, and how long it took."""
    data = bytes(range(256)) * (size // 256 + 1)
    received = bytearray()

    def sink() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.setblocking(False)
            poller = select.poll()
            poller.register(connection, select.POLLIN)
            while True:
                poller.poll()
                try:
                    piece = connection.recv(chunk)
                except BlockingIOError:
                    continue
                if not piece:
                    return
                received.extend(piece)

    with RealNetwork(FaultPlan.parse(plan), target="server") as net:
        process = net.host("server").spawn(sink)
        with socket.create_connection(("server", 7)) as sock:
            for start in range(0, size, 50_000):
                sock.sendall(data[start : min(size, start + 50_000)])
        assert process.join(5)
        assert not net.unreached
        assert bytes(received) == data[:size]
        return bytes(received), net.time


@pytest.mark.parametrize(
    "plan",
    [
        "split test->server:7#1 end=server byte=1; split test->server:7#1 end=server byte=70000",
        "stall test->server:7#1 end=server byte=100 seconds=0.03; split test->server:7#1 end=server byte=101",
        "stall test->server:7#1 end=server byte=0 seconds=0.02; stall test->server:7#1 end=server byte=299999 seconds=0.02",
        "stall test->server:7#1 end=server byte=300000 seconds=0.03",
        "short-recv test->server:7#1 end=server call=2 bytes=1; would-block test->server:7#1 end=server op=recv call=3",
        "wake server call=1 keep=1",
    ],
)
def test_transparent_faults_lose_nothing(plan: str) -> None:
    transfer(plan, size=300_000, chunk=65_536)


def test_what_follows_a_stall_comes_late_and_so_does_the_end() -> None:
    _, seconds = transfer("stall test->server:7#1 end=server byte=5 seconds=0.2", size=10, chunk=100)
    assert seconds > 0.2


def test_a_support_behind_a_stall_is_not_told_of_what_its_kernel_has() -> None:
    def talk() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.sendall(b"hello")
            connection.recv(1)

    with RealNetwork(FaultPlan.parse("stall test->server:7#1 end=client byte=2 seconds=0.1"), target="server") as net:
        net.host("server").spawn(talk)
        with socket.create_connection(("server", 7)) as sock:
            poller = select.poll()
            poller.register(sock, select.POLLIN)
            assert poller.poll(1000) == [(sock.fileno(), select.POLLIN)]
            assert sock.recv(100) == b"he"
            before = net.time
            assert poller.poll(20) == []
            assert select.select([sock], [], [], 0) == ([], [], [])
            assert poller.poll(1000) == [(sock.fileno(), select.POLLIN)]
            assert 0.02 <= net.time - before < 0.9
            assert sock.recv(100) == b"llo"


def test_edge_triggered_pollers_are_told_again_after_would_block() -> None:
    def edge() -> bytes:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection, select.epoll() as epoll:
            connection.setblocking(False)
            epoll.register(connection, select.EPOLLIN | select.EPOLLET)
            while True:
                assert epoll.poll(3), "the wake-up was lost"
                try:
                    return connection.recv(100)
                except BlockingIOError:
                    pass

    plan = FaultPlan.parse("would-block test->server:7#1 end=server op=recv call=1")
    with RealNetwork(plan, target="server") as net:
        process = net.host("server").spawn(edge)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"once")
            assert process.join(5)
        assert process.result == b"once"
        assert net.happened == plan


def test_accept_says_what_the_plan_says_and_the_connection_stays_in_the_queue() -> None:
    def serve() -> Any:
        with socket.create_server(("", 7)) as listener:
            with pytest.raises(OSError, match="Too many open files"):
                listener.accept()
            connection, _ = listener.accept()
            with connection:
                return connection.recv(9)

    with RealNetwork(FaultPlan.parse("error server:7 op=accept call=1 errno=EMFILE"), target="server") as net:
        process = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert process.join(5)
        assert process.result == b"hello"


def test_connections_are_counted_from_their_opener_and_only_the_one_named_is_refused() -> None:
    with RealNetwork(FaultPlan.parse("refuse test->server:7#2"), target="server") as net:
        with net.host("server").listen(7):
            socket.create_connection(("server", 7)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("server", 7))
            socket.create_connection(("server", 7)).close()
        assert str(net.happened) == "refuse test->server:7#2"


def test_an_anchor_that_is_not_reached_is_said_so() -> None:
    plan = FaultPlan.parse("reset test->server:7#1 end=server byte=99")
    run = play_real(body(reads_all, sends_five), plan, target="server")
    assert run.unreached == tuple(plan)
    assert len(run.happened) == 0


def test_a_spin_on_an_urgent_byte_is_a_verdict() -> None:
    def deaf() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            while True:
                select.select([], [], [connection])

    def test(net: Any) -> None:
        net.host("server").spawn(deaf)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            net.sleep(0.2)

    run = play_real(test, FaultPlan.parse("urgent test->server:7#1 end=server byte=1"), target="server")
    assert [verdict.name for verdict in run.verdicts] == ["no-spin"]
    assert "test->server:7#1 (server) PRI" in run.verdicts[0].message


@pytest.mark.parametrize("level", ["warning", "off"])
def test_where_that_is_let_a_busy_loop_goes_on_there_too(level: str) -> None:
    def shouter() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            while True:
                if select.select([connection], [connection], [])[0]:
                    if not (data := connection.recv(100)):
                        return
                    connection.sendall(data.upper())

    def test(net: Any) -> None:
        net.host("server").spawn(shouter)
        with socket.create_connection(("server", 7)) as sock:
            net.sleep(0.1)
            sock.sendall(b"hello")
            assert sock.recv(100) == b"HELLO"

    run = play_real(test, FaultPlan(), target="server", invariants={"no-spin": level})
    assert (run.body_error, run.failures) == (None, [])
    assert [each.level for each in run.verdicts] == ["warning"] * (level == "warning")


def test_a_spin_of_who_shuts_down_at_each_look_is_a_verdict() -> None:
    def half_closer() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            while True:
                select.select([connection], [], [])
                if not connection.recv(100):
                    connection.shutdown(socket.SHUT_RD)

    def test(net: Any) -> None:
        net.host("server").spawn(half_closer)
        with socket.create_connection(("server", 7)) as sock:
            sock.shutdown(socket.SHUT_WR)
            net.sleep(0.2)

    assert [verdict.name for verdict in play_real(test, FaultPlan(), target="server").verdicts] == ["no-spin"]


@pytest.mark.parametrize(
    ("plan", "verdict"),
    [
        pytest.param("", CONFIRMED, id="nothing"),
        pytest.param("reset a->b:7#1 end=server byte=1; refuse a->b:7#2", CONFIRMED, id="the-kernel-does-both"),
        pytest.param(
            "reset a->b:7#1 end=server byte=1; would-block b:7 op=accept call=1", INJECTED, id="one-is-injected"
        ),
        pytest.param(
            "would-block b:7 op=accept call=1; blackhole a->b:7#1 end=server byte=1", SIMULATOR_ONLY, id="one-cannot-be"
        ),
        pytest.param("stall a->b:7#1 end=server byte=1 seconds=10", CONFIRMED, id="there-is-time-for-it"),
        pytest.param("stall a->b:7#1 end=server byte=1 seconds=10.1", SIMULATOR_ONLY, id="too-long-a-stall"),
        pytest.param("error b:7 accept call=1 errno=EMFILE seconds=10.1", SIMULATOR_ONLY, id="too-long-an-error"),
        pytest.param("would-block a->b:7#1 end=server send call=1 seconds=1", SIMULATOR_ONLY, id="a-full-buffer"),
        pytest.param("strangers a->b:7#1 count=1 when=after", SIMULATOR_ONLY, id="strangers-behind"),
        pytest.param("error b:/tmp/x send call=1 errno=ENOBUFS", SIMULATOR_ONLY, id="unix-datagrams"),
    ],
)
def test_a_plan_is_worth_as_much_as_its_weakest_fault(plan: str, verdict: str) -> None:
    assert verdict_class(FaultPlan.parse(plan)) == verdict


def test_a_run_that_may_take_longer_has_time_for_a_longer_fault() -> None:
    stall = FaultPlan.parse("stall a->b:7#1 end=server byte=1 seconds=10.1")
    assert verdict_class(stall, seconds=21) == CONFIRMED


def test_what_no_kernel_shows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'blackhole' here \(loopback delivers everything\)"):
        RealNetwork(FaultPlan.parse("blackhole a->b:7#1 end=server byte=1"))
    with pytest.raises(ValueError, match=r"rates are for simnet\.Network"):
        RealNetwork(rates=object())
    with pytest.raises(ValueError, match=r"seconds=0 "):
        RealNetwork(seconds=0)


def test_both_worlds_have_the_same_face() -> None:
    def names(of: object) -> set[str]:
        return {name for name in dir(of) if not name.startswith("_")}

    simulated, real = Network(), RealNetwork()
    only_there = {"partition", "heal", "processes_of"}
    assert names(simulated) - names(real) - only_there - {"spawn_on"} == set()
    assert names(simulated.host("a")) - names(real.host("a")) - {"crash", "restart", "modules"} == set()
    with pytest.raises(RuntimeError, match="privileged is set in a simulated network"):
        real.host("a").privileged = False
    real._stage.body = None


def test_a_socket_that_the_plan_refuses_is_refused_on_both() -> None:
    def client() -> list[str]:
        said = []
        for _ in range(3):
            try:
                socket.socket().close()
                said.append("made")
            except OSError as error:
                said.append(errno.errorcode[error.errno or 0])
        return said

    def test(net: Any) -> list[str]:
        return net.host("client").run(client)  # type: ignore[no-any-return]

    plan = FaultPlan.parse("error client socket call=2 errno=EMFILE")
    for run in (play(test, plan), play_real(test, plan)):
        assert (run.outcome.returned, run.unreached) == (["made", "EMFILE", "made"], ())
    assert verdict_class(plan) == INJECTED


def test_a_listener_that_is_made_again_goes_on_counting_on_both() -> None:
    def serve() -> list[str]:
        said = []
        while not said or said[-1] != "accepted":
            with socket.create_server(("", 7)) as listener:
                try:
                    listener.accept()[0].close()
                    said.append("accepted")
                except OSError as error:
                    said.append(errno.errorcode[error.errno or 0])
            assert len(said) < 9
        return said

    def ask() -> None:
        for _ in range(100):
            try:
                with socket.create_connection(("server", 7)) as sock:
                    if sock.recv(1) == b"":
                        return
            except OSError:  # between two listeners, or in the queue of one that goes
                time.sleep(0.01)

    def test(net: Any) -> list[str]:
        client = net.host("client").spawn(ask)
        said = net.host("server").run(serve)
        client.join(5)
        return said  # type: ignore[no-any-return]

    plan = FaultPlan.parse("error server:7 accept call=1 errno=EMFILE; error server:7 accept call=2 errno=ENOMEM")
    for run in (play(test, plan), play_real(test, plan)):
        assert (run.outcome.returned, run.unreached) == (["EMFILE", "ENOMEM", "accepted"], ())


@pytest.mark.parametrize(
    ("line", "pause", "pieces"),
    [
        ("byte=0 bytes=6", 0.005, [b"onetwo", b"three"]),
        ("byte=3 bytes=99", 0.001, [b"one", b"twothree"]),  # the end of the stream waits for nothing
        ("byte=2 bytes=3", 0.01, [b"on", b"etwo", b"three"]),
    ],
)
def test_several_writes_arrive_as_one_on_both(line: str, pause: float, pieces: list[bytes]) -> None:
    def target(seen: Seen) -> None:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(100):
                    seen.append(("recv", data))

    def client(sock: socket.socket) -> None:
        for word in (b"one", b"two", b"three"):
            sock.sendall(word)
            time.sleep(pause)

    test, plan = body(target, client), FaultPlan.parse(f"coalesce test->server:7#1 end=server {line}")
    for run in (play(test, plan), play_real(test, plan)):
        assert dict(run.outcome.observed)["target"] == [("recv", piece) for piece in pieces]
        assert run.unreached == ()
    assert verdict_class(plan) == CONFIRMED
