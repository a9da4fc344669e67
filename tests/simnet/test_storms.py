"""A client that tries to connect for ever and never succeeds: without a pause it spins, with one it keeps the test waiting."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import pytest

import simnet
from simnet.blame import first_of
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.run import play
from simnet.scheduling import storms


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.scheduling.storms.ENTRIES_A_LOOK", 600)
    monkeypatch.setattr("simnet.wait.ENTRIES_A_LOOK", 600)


def test_who_connects_without_a_segment_succeeds() -> None:
    with simnet.Network():
        with socket.socket(type=socket.SOCK_DGRAM) as hearer, socket.socket(socket.AF_UNIX) as listener:
            hearer.bind(("127.0.0.1", 5000))
            listener.bind("\0name")
            listener.listen()
            for _ in range(300):
                for family, kind, name in (
                    (socket.AF_INET, socket.SOCK_DGRAM, hearer.getsockname()),
                    (socket.AF_UNIX, socket.SOCK_STREAM, "\0name"),
                ):
                    with socket.socket(family, kind) as sock:
                        sock.connect(name)
                    time.sleep(1e-6)
                listener.accept()[0].close()


def test_a_datagram_socket_that_connects_does_not_hide_who_never_does() -> None:
    def tries() -> None:
        while True:
            with socket.socket(type=socket.SOCK_DGRAM) as probe:
                probe.connect(("127.0.0.1", 5000))
            with contextlib.suppress(OSError):
                socket.create_connection(("server", 7)).close()
            time.sleep(0.1)

    with pytest.raises(simnet.Deadlock, match="never succeeded"), simnet.Network() as net:
        net.host("server")
        net.host("client").spawn(tries).join()


def _give_back(sock: socket.socket) -> None:
    with sock, sock.makefile("rwb", buffering=0) as lines:
        for line in lines:
            lines.write(line)


def _give_back_to_all() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            threading.Thread(target=_give_back, args=(listener.accept()[0],), daemon=True).start()


def _say_again(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"alive\n")
        sock.recv(100)
        time.sleep(10)


def _look_for_an_answer() -> bytes:
    """Ask on one connection, and look for the answer twice a second, for ever; on another one a heart beats."""
    with socket.create_connection(("server", 7)) as heart, socket.create_connection(("server", 7), 0.5) as sock:
        threading.Thread(target=_say_again, args=(heart,), daemon=True).start()
        sock.sendall(b"hello\n")
        while True:
            with contextlib.suppress(TimeoutError):
                return sock.recv(100)


def _tick_and_answer() -> None:
    """A line each ten seconds, with its number, and an answer to whoever asks; on with it when nobody will."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("/run/ticks")
        listener.listen()
        connection = listener.accept()[0]
    with connection:
        if connection.recv(100):
            connection.sendall(b"answer\n")
        for number in itertools.count():
            time.sleep(10)
            connection.sendall(b"tick %d\n" % number)


@pytest.mark.slow
def test_a_test_that_reads_on_at_each_beat_of_a_peer_on_its_host_ends() -> None:
    """At each call of that one it has just been woken, and the others are its own: it was never found asleep, and never stopped."""

    def test(net: simnet.Network) -> None:
        server = net.host("server")
        server.spawn(_tick_and_answer)
        with server.connect("/run/ticks") as sock, sock.makefile("rb") as lines:
            sock.sendall(b"hello\n")
            while lines.readline().startswith(b"tick"):
                assert net.time < 50_000, "nothing has ended it"

    baseline = play(test, target="server")
    plan = FaultPlan.parse("eof server->server:/run/ticks#1 end=server byte=0")
    run = play(test, plan, target="server", baseline=baseline)
    assert isinstance(run.body_error, simnet.Deadlock)
    assert "the test still waits, hours after it was over without a fault:" in str(run.body_error)
    assert "test waits for recv on server->server:/run/ticks#1 at test_storms.py:" in str(run.body_error)


@pytest.mark.slow
@pytest.mark.parametrize("in_a_pool", [False, True])
def test_who_waits_for_ever_is_found_while_a_heart_beats(in_a_pool: bool) -> None:
    def ask() -> bytes:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(_look_for_an_answer).result() if in_a_pool else _look_for_an_answer()

    def test(net: simnet.Network) -> object:
        net.host("server").spawn(_give_back_to_all)
        net.host("server").wait_listening(7)
        return net.host("client").run(ask)

    plan = FaultPlan.parse("blackhole client->server:7#2 end=client byte=0")
    baseline = play(test, target="server")
    run = play(test, plan, target="server", baseline=baseline)
    assert isinstance(run.body_error, simnet.Deadlock)
    assert "the test still waits, hours after it was over without a fault:" in str(run.body_error)
    assert "client/ask" in str(run.body_error)
    assert 4 * 3600 < run.time_ns / 1e9 < 5 * 3600


def _try(pause: float) -> None:
    while True:
        try:
            socket.create_connection(("server", 7), timeout=5).close()
            return
        except OSError:
            if pause:
                time.sleep(pause)


async def _try_with_asyncio(pause: float) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("server", 7)
        except OSError:
            if pause:
                await asyncio.sleep(pause)
        else:
            writer.close()
            return


def _asyncio_client(pause: float) -> None:
    asyncio.run(_try_with_asyncio(pause))


def _trio_groups(pause: float) -> None:
    """It asks for the name in a thread, which wakes its loop by a pair of sockets."""
    trio: Any = importlib.import_module("trio")

    async def tries() -> None:
        while True:
            with contextlib.suppress(OSError):
                return await (await trio.open_tcp_stream("server", 7)).aclose()
            if pause:
                await trio.sleep(pause)

    trio.run(tries)


def _trio_client(pause: float) -> None:
    try:
        _trio_groups(pause)
    except BaseExceptionGroup as several:
        raise first_of(several) from None


NO_TRIO = pytest.mark.skipif(
    find_spec("trio") is None, reason="trio is not installed: it comes with the extra `guests`"
)
CLIENTS = pytest.mark.parametrize("client", [_try, _asyncio_client, pytest.param(_trio_client, marks=NO_TRIO)])


def _run(client: Callable[..., Any], pause: float, host: str = "client") -> None:
    with simnet.Network() as net:
        net.host("server")
        net.host(host).run(client, pause)


@CLIENTS
def test_who_tries_again_without_a_pause_spins(client: Callable[..., Any]) -> None:
    with pytest.raises(
        simnet.Spin, match=r"client/_\w+ tried to connect \d+ times in a row, until .*, without a pause, and never"
    ):
        _run(client, 0.0)


def test_within_a_host_too_where_no_time_passes() -> None:
    with pytest.raises(
        simnet.Spin, match=r"server/_try tried to connect \d+ times .*: the last to .*, ECONNREFUSED\. On a"
    ):
        _run(_try, 0.0, host="server")


@CLIENTS
def test_the_test_waits_for_ever_for_who_tries_again_and_pauses(client: Callable[..., Any]) -> None:
    with pytest.raises(
        simnet.Deadlock, match=r"client/_\w+ has tried to connect \d+ times .* test waits for the end of client/"
    ):
        _run(client, 1.0)


def _once() -> bool:
    try:
        socket.create_connection(("server", 7), timeout=5).close()
    except OSError:
        return False
    return True


def _in_a_pool(pause: float) -> None:
    with ThreadPoolExecutor(1) as pool:
        while not pool.submit(_once).result():
            time.sleep(pause)


def _in_a_loops_pool(pause: float) -> None:
    async def tries() -> None:
        while True:
            if await asyncio.to_thread(_once):
                return
            await asyncio.sleep(pause)

    asyncio.run(tries())


def _beside_a_heart(pause: float) -> None:
    beats = threading.Thread(target=lambda: [time.sleep(1) for _ in range(60)], daemon=True)
    beats.start()
    _in_a_pool(pause)


@pytest.mark.parametrize("client", [_in_a_pool, _in_a_loops_pool])
def test_a_pause_between_two_pieces_of_work_of_a_pool_is_one_between_their_attempts(
    client: Callable[[float], None],
) -> None:
    with pytest.raises(simnet.Deadlock, match=r"client/_once#\d+ has tried to connect \d+ times .* test waits for the"):
        _run(client, 1.0)


@pytest.mark.parametrize("client", [_in_a_pool, _in_a_loops_pool, _beside_a_heart])
def test_without_one_a_pool_spins(client: Callable[[float], None]) -> None:
    with pytest.raises(
        simnet.Spin, match=r"client/_once#\d+ tried to connect \d+ times .*, without a pause, and never"
    ):
        _run(client, 0.0)


@pytest.mark.slow
def test_a_body_that_tries_for_ever_itself_is_told_so() -> None:
    with pytest.raises(simnet.Deadlock, match="test has tried to connect"), simnet.Network() as net:
        net.host("server")
        _try(1.0)


def test_who_waits_with_a_deadline_goes_on_when_it_has_come() -> None:
    with simnet.Network() as net:
        net.host("server")
        client = net.host("client").spawn(_try, 1.0)
        assert not client.join(timeout=300)
        assert net.time == pytest.approx(300, abs=2)


def test_a_server_that_comes_up_later_is_waited_for() -> None:
    def serve_in_two_minutes() -> None:
        time.sleep(120)  # a hundred attempts, of some eight lines each
        with socket.create_server(("", 7)) as listener:
            listener.accept()[0].close()

    with simnet.Network() as net:
        net.host("server").spawn(serve_in_two_minutes)
        net.host("client").run(_try, 1.0)
        assert net.time == pytest.approx(120, abs=2)


def test_all_attempts_in_vain_are_counted_not_those_of_the_last_look_alone() -> None:
    with pytest.raises(simnet.Deadlock) as caught, simnet.Network() as net:
        net.host("server").spawn(time.sleep, 100_000)  # and whatever it does then is waited for, for a while
        client = net.host("client").spawn(_try, 1.0)
        client.join()
    attempts = sum(each.kind == "call" and each.op == "connect" for each in net.trace)
    told = int(str(caught.value).partition("tried to connect ")[2].split()[0].replace(",", ""))
    assert attempts * 0.9 < told <= attempts


def test_attempts_that_succeed_are_no_storm() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                listener.accept()[0].close()

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        for _ in range(200):
            net.host("client").run(_try, 0.0)
        assert len(net.trace) > 3 * storms.ENTRIES_A_LOOK


@pytest.mark.parametrize(("pause", "failed", "interrupted"), [(0.0, 1, 0), (1.0, 0, 1)])
def test_a_sweep_blames_the_client_for_a_storm_alone(pause: float, failed: int, interrupted: int) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                listener.accept()[0].close()

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        net.host("client").run(_try, pause)

    options = SweepOptions.of(target="client", kinds=["restart"])
    result = run_sweep(test, options, plan=simnet.FaultPlan.parse("restart server at=0"))
    assert (result.failed, result.interrupted) == (failed, interrupted)
    assert [each.reason for each in result.failures] == ["no-spin"] * failed


@NO_TRIO
@pytest.mark.slow
@pytest.mark.parametrize("before", range(20))
def test_a_storm_on_trio_is_found_at_the_users_line_wherever_trio_is_when_it_is_told(before: int) -> None:
    """In the nursery that trio has for its attempts, or in its loop, for which that is an error of its own."""

    def calls(pause: float) -> None:
        with socket.socket() as sock:
            for _ in range(before):
                sock.getsockname()
        _trio_groups(pause)

    def test(net: simnet.Network) -> None:
        with net.host("server").listen(7):
            net.host("client").run(calls, 0.0)

    options = SweepOptions.of(target="client")
    result = run_sweep(test, options, plan=simnet.FaultPlan.parse("refuse client->server:7#*"))
    (failure,) = result.failures
    assert (failure.reason, failure.type_name) == ("no-spin", "Spin")
    assert failure.at.startswith("test_storms.py:")


def _answer() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("", 53))
        while True:
            question, client = sock.recvfrom(100)
            sock.sendto(question.upper(), client)


def _ask() -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        while True:
            sock.sendto(b"what", ("server", 53))
            try:
                return sock.recv(100)
            except TimeoutError:
                pass


class _Asks(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: Any) -> None:
        self.answer.set_result(data)


async def _ask_with_asyncio() -> bytes:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(_Asks, remote_addr=("server", 53))
    while not protocol.answer.done():
        transport.sendto(b"what")
        await asyncio.wait([protocol.answer], timeout=1)
    transport.close()
    answer: bytes = protocol.answer.result()
    return answer


def _asyncio_asks() -> bytes:
    return asyncio.run(_ask_with_asyncio())


def _crash(net: simnet.Network) -> None:
    net.host("server").crash()


def _restart(net: simnet.Network) -> None:
    net.host("server").crash()
    net.host("server").restart()


def _cut(net: simnet.Network) -> None:
    net.partition("client", "server")


def _cut_the_way_back(net: simnet.Network) -> None:
    net.partition("server", "client", one_way=True)


@pytest.mark.slow
@pytest.mark.parametrize("ask", [_ask, _asyncio_asks])
@pytest.mark.parametrize("lose", [_crash, _restart, _cut, _cut_the_way_back])
def test_the_test_waits_for_ever_for_who_asks_again_and_hears_nothing(
    ask: Callable[[], bytes], lose: Callable[[simnet.Network], None]
) -> None:
    with (
        pytest.raises(
            simnet.Deadlock,
            match=r"client/_\w+ has sent \d+ datagrams in a row, had no answer, .* the last to server:53\. test waits for the end of",
        ),
        simnet.Network() as net,
    ):
        net.host("server").spawn(_answer)
        lose(net)
        net.host("client").run(ask)


def test_a_body_that_asks_for_ever_itself_is_told_so() -> None:
    with pytest.raises(simnet.Deadlock, match=r"test has sent \d+ datagrams in a row"), simnet.Network() as net:
        net.host("server").spawn(_answer)
        net.partition("test", "server")
        _ask()


def test_who_hears_in_the_end_and_who_wants_no_answer_is_at_work() -> None:
    def tell() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(1000):
                sock.sendto(b"so many", ("server", 54))
                time.sleep(1)

    def answer_in_two_minutes() -> None:
        time.sleep(120)
        _answer()

    with simnet.Network() as net:
        net.host("server").spawn(answer_in_two_minutes)
        assert net.host("client").run(_ask) == b"WHAT"
        net.host("client").run(tell)
        assert len(net.trace) > 5 * storms.ENTRIES_A_LOOK


@pytest.mark.slow
def test_nor_does_the_test_wait_in_vain_for_who_sleeps_long_while_another_is_not_heard() -> None:
    def heart() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            while True:
                sock.sendto(b"alive", ("watch", 9))
                try:
                    sock.recv(100)
                except OSError:
                    time.sleep(1)

    with simnet.Network() as net:
        net.host("watch")
        net.host("server").spawn(heart)
        net.host("other").spawn(time.sleep, 10_000).join()
        assert net.time >= 10_000


def test_a_sweep_counts_as_interrupted_who_asks_for_ever_a_server_that_is_gone() -> None:
    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(_answer)
        return net.host("client").run(_ask)

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["crash"]))
    assert (result.failed, result.interrupted) == (0, 2)  # at two instants


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_who_sleeps_before_it_accepts_again_does_not_spin(pause: float) -> None:
    """The table of descriptors is full for a minute; a level that is told again and again is no busy loop if nobody runs meanwhile."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener, selectors.DefaultSelector() as selector:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
            while True:
                selector.select()
                try:
                    sock, _ = listener.accept()
                except OSError:
                    time.sleep(pause)
                    continue
                with sock:
                    sock.sendall(b"hello")

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            return sock.recv(5)

    run = play(test, FaultPlan.parse("error server:7 accept call=1 errno=EMFILE seconds=61"), target="server")
    assert [verdict.name for verdict in run.verdicts] == ([] if pause else ["no-spin"])
    assert run.outcome.returned == (b"hello" if pause else None)
