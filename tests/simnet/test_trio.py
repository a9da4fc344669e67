"""Programs on trio: swept, in virtual time, several of them at once, the same in each run; and ended without a word of complaint."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet import modules
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from tests.simnet.servers import lasting_echo

trio: Any = pytest.importorskip("trio", reason="trio is not installed: it comes with the extra `guests`")
HELLO = b"hello, network"


async def careless(stream: Any) -> None:
    async for data in stream:
        await stream.send_all(data)  # A-CLIENT-MAY-BE-GONE


async def careful(stream: Any) -> None:
    try:
        await careless(stream)
    except trio.BrokenResourceError:
        pass


def serve(handler: Any = careful) -> None:
    trio.run(trio.serve_tcp, handler, 7)


def echoed(sock: socket.socket) -> bytes:
    with sock:
        sock.sendall(HELLO)
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


def talk_to(handler: Any) -> Callable[[Any], None]:
    def body(net: Any) -> None:
        net.host("server").spawn(serve, handler)
        assert echoed(socket.create_connection(("server", 7))) == HELLO

    return body


async def ask(word: bytes = b"x", rounds: int = 1, pause: float = 0.1) -> None:
    stream = await trio.open_tcp_stream("server", 7)
    async with stream:
        for _ in range(rounds):
            await stream.send_all(word)
            assert await stream.receive_some() == word
            await trio.sleep(pause)


# --- swept -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_handler_that_lets_an_error_of_its_client_out_ends_the_server_and_is_found_at_its_own_line() -> None:
    result = run_sweep(talk_to(careless), SweepOptions.of(target="server", kinds=["reset", "error"]))
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    send = 1 + next(number for number, line in enumerate(lines) if line.endswith("# A-CLIENT-MAY-BE-GONE"))
    assert {each.finding.at for each in result.failures} == {f"test_trio.py:{send - 1}", f"test_trio.py:{send}"}
    headlines = [each.headline for each in result.reports()]
    assert all(line.startswith("BrokenResourceError at test_trio.py:") for line in headlines), headlines


@pytest.mark.slow
def test_one_that_catches_it_passes_every_fault() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run_sweep(talk_to(careful), SweepOptions.of(target="server"))
    assert result.ok, result.summary()
    assert result.runs > 150


async def collect() -> bytes:
    async with await trio.open_tcp_stream("server", 7) as stream:
        await stream.send_all(HELLO)
        await stream.send_eof()
        return b"".join([data async for data in stream])


@pytest.mark.slow
def test_a_client_may_end_by_what_the_network_did_to_it() -> None:
    def body(net: Any) -> None:
        net.host("server").spawn(lasting_echo, 7)
        assert net.host("client").run(trio.run, collect) == HELLO

    result = run_sweep(body, SweepOptions.of(target="client"))
    assert result.ok, result.summary()


@pytest.mark.slow
def test_so_it_may_by_the_time_out_it_has() -> None:
    async def collect_in_time() -> bytes:
        with trio.fail_after(30):
            return await collect()

    def body(net: Any) -> None:
        net.host("server").spawn(lasting_echo, 7)
        assert net.host("client").run(trio.run, collect_in_time) == HELLO

    result = run_sweep(body, SweepOptions.of(target="client", kinds=["blackhole", "stall"]))
    assert result.ok, result.summary()
    assert result.interrupted


# --- virtual time ----------------------------------------------------------------------------------------------------


def test_it_sleeps_and_times_out_in_virtual_time() -> None:
    async def nap() -> float:
        began = trio.current_time()
        with trio.move_on_after(50):
            await trio.sleep_forever()
        await trio.sleep(100_000)  # more than a day, and trio looks again each day
        return float(trio.current_time() - began)

    with simnet.Network() as net:
        assert trio.run(nap) == pytest.approx(100_050)
        assert net.time == pytest.approx(100_050, abs=0.01)


def test_who_waits_for_ever_is_told_with_the_line_of_his_task() -> None:
    def silent() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            sock.recv(1)

    async def wait() -> None:
        async with await trio.open_tcp_stream("server", 7) as stream:
            await stream.receive_some()

    with pytest.raises(simnet.Deadlock, match=r"test_trio\.py:\d+ in wait"), simnet.Network() as net:
        net.host("server").spawn(silent)
        trio.run(wait)


def test_its_threads_wait_in_virtual_time_and_call_back() -> None:
    def work() -> float:
        time.sleep(2)
        trio.from_thread.run(trio.sleep, 3)
        return float(trio.from_thread.run_sync(trio.current_time))

    async def main() -> float:
        began = trio.current_time()
        ends: list[float] = []

        async def one() -> None:
            ends.append(await trio.to_thread.run_sync(work) - began)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
        return max(ends)

    with simnet.Network() as net:
        assert trio.run(main) == pytest.approx(5, abs=0.01)
        assert net.time == pytest.approx(5, abs=0.01)


def test_what_a_thread_raises_reaches_its_task_and_names_are_looked_up_in_one() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await trio.to_thread.run_sync(lambda: 1 // 0)
        with pytest.raises(socket.gaierror):
            await trio.open_tcp_stream("nobody", 7)
        with pytest.raises(OSError, match="all attempts to connect to server:7 failed"):
            await trio.open_tcp_stream("server", 7)

    with simnet.Network() as net:
        net.host("server")
        trio.run(main)


def test_a_task_that_sleeps_in_its_thread_is_warned_of_with_what_trio_has_instead() -> None:
    async def main() -> None:
        time.sleep(3)  # noqa: ASYNC251  # that is the mistake

    with pytest.warns(RuntimeWarning, match=r"slept for 3 s .*test_trio\.py:\d+ in main.*`await trio\.sleep"):
        with simnet.Network(target="server") as net:
            net.host("server").run(trio.run, main)


def test_its_threads_have_their_own_names_and_the_program_does_not_wait_for_one_that_was_left() -> None:
    known: list[threading.Thread] = []

    async def main() -> None:
        await trio.to_thread.run_sync(lambda: known.append(threading.current_thread()))
        with trio.move_on_after(1):
            await trio.to_thread.run_sync(time.sleep, 1000, abandon_on_cancel=True)

    with simnet.Network() as net:
        net.host("server").run(trio.run, main)
        assert net.time < 2
    assert re.fullmatch(r"Trio thread \d+", known[0].name)
    assert known[0].daemon


def test_it_runs_in_a_thread_of_a_program_too() -> None:
    spent: list[float] = []

    async def nap() -> None:
        began = trio.current_time()
        await trio.sleep(5)
        spent.append(trio.current_time() - began)

    def program() -> None:
        with pytest.raises(ValueError, match="main thread"):
            signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))
        trio.run(nap)

    with simnet.Network():
        thread = threading.Thread(target=program)
        thread.start()
        thread.join()
    assert spent == [pytest.approx(5)]


# --- many, and always the same ---------------------------------------------------------------------------------------


def crowd() -> simnet.Trace:
    """The trace of a server, of five clients, and of a program of several tasks, some of which are cancelled; all on trio."""

    async def many() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, b"%d" % number, 5)
            with trio.move_on_after(0.3):
                async with trio.open_nursery() as inner:
                    for number in range(4):
                        inner.start_soon(ask, b"%d" % number, 5)
                    inner.start_soon(trio.to_thread.run_sync, time.sleep, 0.05)

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        others = [net.host(f"client{number}").spawn(trio.run, ask, b"x", 3) for number in range(5)]
        others.append(net.host("crowd").spawn(trio.run, many))
        for each in others:
            each.join()
        return net.trace


def test_programs_of_several_hosts_run_side_by_side_the_same_in_each_run() -> None:
    assert crowd() == crowd()


@pytest.mark.slow
def test_so_they_do_in_another_process_with_another_hash_seed() -> None:
    program = "from tests.simnet.test_trio import crowd; print(crowd().digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_generators_that_are_left_are_ended_in_the_order_in_which_they_began() -> None:
    ended: list[int] = []

    async def numbered(number: int) -> Any:
        try:
            yield number
        finally:
            ended.append(number)

    async def main(kept: list[Any]) -> None:
        kept += [numbered(each) for each in range(20)]
        for each in reversed(kept):
            await each.__anext__()

    with simnet.Network():
        trio.run(main, [])
    assert ended == [*reversed(range(20))]


def test_a_server_that_writes_to_a_set_of_clients_does_so_in_the_same_order_in_each_run() -> None:
    kept: list[Any] = []  # so that the second run's are elsewhere

    def heard() -> list[bytes]:
        clients: set[Any] = set()
        kept.append(clients)
        order: list[bytes] = []

        async def enter(stream: Any) -> None:
            clients.add(stream)
            if len(clients) == 12:
                for each in clients:
                    await each.send_all(b"all here")
                    await trio.sleep(0.01)
            await trio.sleep(1)

        async def come(name: bytes) -> None:
            async with await trio.open_tcp_stream("server", 7) as stream:
                await stream.receive_some()
                order.append(name)

        async def crowd_of_twelve() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(12):
                    nursery.start_soon(come, b"%d" % number)
                    await trio.sleep(0.01)

        with simnet.Network() as net:
            net.host("server").spawn(serve, enter)
            trio.run(crowd_of_twelve)
        return order

    assert heard() == heard()
    assert len(kept[0]) == 12


def test_beside_a_program_of_asyncio_each_has_its_own_loop_and_its_own_generators() -> None:
    asyncio, sniffio = map(pytest.importorskip, ("asyncio", "sniffio"))

    async def numbers() -> Any:
        for number in range(3):
            yield number

    async def on_asyncio() -> int:
        total = 0
        async for number in numbers():
            await asyncio.sleep(0.1)
            total += number
        assert sniffio.current_async_library() == "asyncio"
        return total

    async def on_trio() -> int:
        total = 0
        async for number in numbers():
            await trio.sleep(0.1)
            total += number
        assert sniffio.current_async_library() == "trio"
        return total

    with simnet.Network() as net:
        one = net.host("one").spawn(asyncio.run, on_asyncio())
        two = net.host("two").spawn(trio.run, on_trio)
        assert net.host("three").run(sys.get_asyncgen_hooks) == (None, None)
        one.join()
        two.join()
        assert (one.result, two.result) == (3, 3)


def test_it_is_a_guest_of_asyncios_loop_too() -> None:
    asyncio = pytest.importorskip("asyncio")

    async def host() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        trio.lowlevel.start_guest_run(
            partial(ask, pause=5),
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=done.set_result,
            host_uses_signal_set_wakeup_fd=True,
        )
        await asyncio.sleep(1)
        assert not done.done()
        (await done).unwrap()

    def traced() -> simnet.Trace:
        with simnet.Network() as net:
            net.host("server").spawn(serve)
            net.host("client").run(asyncio.run, host())
            assert net.time == pytest.approx(5, abs=0.01)
            return net.trace

    assert traced() == traced()


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_may_be_imported_within_the_run_and_has_threads_outside_of_it() -> None:
    program = """
import sys, simnet

def client():
    import trio
    async def ask():
        async with await trio.open_tcp_stream("server", 7) as stream:  # which asks for the name in a thread
            await trio.sleep(1)
            return await stream.receive_some()
    return trio.run(ask)

def served():
    with simnet.Network() as net:
        listener = net.host("server").listen(7)
        two = [net.host(name).spawn(client) for name in ("a", "b")]
        for _ in two:
            listener.accept()[0].close()
        return [each.join(5) and each.result for each in two]

assert "trio" not in sys.modules
assert served() == [b"", b""]
assert served() == [b"", b""]

import trio
assert trio.run(trio.to_thread.run_sync, lambda: "of its own thread") == "of its own thread"
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_outside_of_a_run_it_is_what_it_was() -> None:
    with simnet.Network() as net:
        net.host("server").run(trio.run, trio.sleep, 1)

    async def real() -> float:
        left, right = trio.socket.socketpair()
        await left.send(b"x")
        assert await right.recv(1) == b"x"
        left.close()
        right.close()
        return float(trio.current_time())

    assert trio.run(real) > 0
    modules.restore()
    assert trio.run(real) > 0
    with pytest.raises(TypeError, match=r"socket\.socket"):
        trio.socket.from_stdlib_socket(object())


@pytest.mark.slow
def test_a_socket_that_is_none_of_the_librarys_is_refused_within_a_run_as_well() -> None:
    class Own(socket.socket):
        pass

    with simnet.Network(), Own() as sock, pytest.raises(TypeError, match=r"socket\.socket"):
        trio.socket.from_stdlib_socket(sock)


def test_it_runs_on_real_sockets_too() -> None:
    async def main() -> None:
        await ask(pause=0)
        await trio.to_thread.run_sync(time.sleep, 0.001)

    with simnet.RealNetwork() as net:
        net.host("server").spawn(serve)
        net.host("server").wait_listening(7)
        net.host("client").run(trio.run, main)
