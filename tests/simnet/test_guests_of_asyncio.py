"""asyncio programs on simnet, unmodified: names, several loops in one run, beside blocking programs and dispatch."""

from __future__ import annotations

import asyncio
import gc
import http.client
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

import simnet
from dispatch import Chat, Listener, Loop
from simnet import modules
from simnet.explore.options import SweepOptions
from simnet.explore.report.failure import report
from simnet.explore.sweep import run_sweep

pytestmark = pytest.mark.slow  # each is a few sweeps


class Capitals(Chat):
    terminator = b"\n"

    def handle_message(self, data: bytes) -> None:
        self.write(data.upper() + b"\n")


def serve_by_dispatch(port: int) -> None:
    with Loop() as loop:
        Listener(("", port), Capitals, loop=loop)
        loop.run()


async def serve(port: int, host: str | None = None) -> None:
    async def capitals(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(capitals, host, port)
    await server.serve_forever()


async def ask(host: str, port: int, word: bytes, pause: float = 0) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    await asyncio.sleep(pause)
    writer.write(word + b"\n")
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("host", [None, "server", "0.0.0.0", ""])
def test_a_server_listens_by_any_name(simnet_network: Any, host: str | None) -> None:
    simnet_network.host("server").spawn(asyncio.run, serve(7, host))
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"what\n")
        assert sock.recv(100) == b"WHAT\n"


def test_clients_find_servers_by_name_and_each_process_has_a_loop_of_its_own(simnet_network: Any) -> None:
    net = simnet_network
    net.host("one").spawn(asyncio.run, serve(7))
    net.host("two").spawn(serve_by_dispatch, 7)
    clients = [
        net.host(f"client{number}").spawn(asyncio.run, ask(host, 7, b"%d" % number, pause=number))
        for number, host in enumerate(("one", "two", "one"))
    ]
    assert asyncio.run(ask("two", 7, b"x", pause=1.5)) == b"X\n"  # the test is one more
    for number, client in enumerate(clients):
        assert client.join(timeout=10)
        assert client.result == b"%d\n" % number
    assert asyncio.run(ask("one", 7, b"again")) == b"AGAIN\n"
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def by_its_loop(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """As programs begin that are older than `asyncio.run`, which leave their loop open."""
    return asyncio.get_event_loop_policy().get_event_loop().run_until_complete(main())


@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")  # from Python 3.12 on
def test_each_process_that_asks_asyncio_for_its_loop_has_one_of_its_own(simnet_network: Any) -> None:
    net = simnet_network
    net.host("server").spawn(by_its_loop, lambda: serve(7))
    for name in ("one", "two"):
        assert net.host(name).run(by_its_loop, lambda: ask("server", 7, b"what")) == b"WHAT\n"
    assert by_its_loop(lambda: ask("server", 7, b"again")) == b"AGAIN\n"


@pytest.mark.parametrize("begin", [0.0, 0.007, 12345.678901234])
def test_a_sleep_takes_as_long_as_it_says_whenever_it_begins(simnet_network: Any, begin: float) -> None:
    """The time of a loop is a float: 0.007 s and 0.1 s are less than 0.107 s, by a bit of the last place."""
    taken: list[float] = []

    async def sleep() -> None:
        for delay in (0.001, 0.003, 0.01, 0.1, 0.25, 1, 2.5) * 50:
            before = simnet_network.time
            await asyncio.sleep(delay)
            taken.append(round(simnet_network.time - before - delay, 6))

    simnet_network.sleep(begin)
    asyncio.run(sleep())
    assert taken == [0] * len(taken)


def test_a_name_that_nobody_has_is_an_error_of_the_resolver(simnet_network: Any) -> None:
    async def names() -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        with pytest.raises(socket.gaierror):
            await ask("nowhere", 7, b"")
        info = await loop.getaddrinfo("server", "http", type=socket.SOCK_STREAM)
        return info[0][4][:2], await loop.getnameinfo(info[0][4], socket.NI_NUMERICSERV)  # type: ignore[return-value]

    address = simnet_network.host("server").address
    assert asyncio.run(names()) == ((address, 80), ("server", "80"))


@pytest.mark.parametrize("own", [False, True], ids=["asyncio's", "its own"])
def test_what_need_not_wait_in_a_thread_is_done_there_and_then(simnet_network: Any, own: bool) -> None:
    turns = []

    def look() -> str:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        return socket.getfqdn("server")

    async def ask() -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        if own:
            loop.set_default_executor(ThreadPoolExecutor(1))
        loop.call_soon(turns.append, "another's")
        found = await asyncio.to_thread(look)
        turns.append("ours")
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        with ThreadPoolExecutor() as pool:
            both = [*pool.map(str.upper, "ab"), await loop.run_in_executor(pool, str.upper, "c")]
        assert asyncio.get_running_loop() is loop
        return found, "".join(both)

    simnet_network.host("server")
    assert asyncio.run(ask()) == ("server", "ABC")
    assert turns == ["another's", "ours"]


@pytest.mark.parametrize("world", [simnet.Network, simnet.RealNetwork])
def test_whatever_a_function_of_a_pool_raises_its_future_has(world: Any) -> None:
    with world(), ThreadPoolExecutor() as pool:
        raised = [pool.submit(sys.exit, 3).exception(), pool.submit(pytest.fail, "in the pool").exception()]
    assert [type(each) for each in raised] == [SystemExit, pytest.fail.Exception]


class Team:
    """As much of twisted's as has to do with threads: it looks names up in them."""

    def __init__(self) -> None:
        self._quit = SimpleNamespace(isSet=False)

    def do(self, task: Callable[[], None]) -> None:
        threading.Thread(target=task).start()


def test_what_need_not_wait_in_a_thread_of_twisteds_is_done_there_and_then_and_what_waits_goes_on_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("twisted._threads._team")
    module.Team = Team  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "twisted._threads._team", module)
    found: list[str] = []
    try:
        with simnet.Network() as net:
            net.host("server")
            Team().do(lambda: found.append(socket.getfqdn("server")))
            Team().do(lambda: [time.sleep(1), found.append("later")])  # type: ignore[func-returns-value, list-item]
            assert found == ["server"]
            time.sleep(2)
            assert found == ["server", "later"]
    finally:
        modules.restore()


class AsyncIOBackend:
    """As much of anyio's as has to do with threads: Starlette runs in them what is no coroutine."""

    @classmethod
    async def checkpoint(cls) -> None:
        await asyncio.sleep(0)

    @classmethod
    def current_default_thread_limiter(cls) -> Any:
        return asyncio.Semaphore()

    @classmethod
    async def run_sync_in_worker_thread(cls, func: Any, args: Any, *_: Any) -> Any:
        worker = threading.Thread(target=func, args=args, name="AnyIO worker thread")
        worker.start()
        worker.join()
        return worker.name


def test_what_need_not_wait_in_a_thread_of_anyios_is_done_there_and_then_and_what_waits_goes_on_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = types.ModuleType("anyio._backends._asyncio")
    seen = ContextVar[str]("seen")
    library: list[Any] = []  # which anyio says it is in
    backend.AsyncIOBackend = AsyncIOBackend  # type: ignore[attr-defined]
    backend.set_current_async_library = library.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "anyio._backends._asyncio", backend)
    monkeypatch.setattr(AsyncIOBackend, "__module__", "anyio._backends._asyncio")
    run = AsyncIOBackend.run_sync_in_worker_thread

    async def ask() -> Any:
        seen.set("here")
        return await AsyncIOBackend.run_sync_in_worker_thread(lambda ending: seen.get() + ending, (" too",))

    try:
        with simnet.Network():
            assert asyncio.run(ask()) == "here too"
            assert library == [None]
            with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
                asyncio.run(AsyncIOBackend.run_sync_in_worker_thread(next, (iter(()),)))
        with simnet.Network() as net:
            asyncio.run(AsyncIOBackend.run_sync_in_worker_thread(time.sleep, (1,)))
            assert net.time == 1
        # Outside of a run.
        assert asyncio.run(AsyncIOBackend.run_sync_in_worker_thread(int, ())) == "AnyIO worker thread"
    finally:
        modules.restore()
    assert AsyncIOBackend.run_sync_in_worker_thread == run


def test_threads_of_anyios_each_know_by_what_they_call_back(monkeypatch: pytest.MonkeyPatch) -> None:
    backend: Any = types.ModuleType("anyio._backends._asyncio")

    @contextmanager
    def claim_worker_thread(whose: Any, loop: Any) -> Iterator[None]:
        backend.threadlocals.current_token = (whose, loop)
        yield
        del backend.threadlocals.current_token

    backend.AsyncIOBackend, backend.claim_worker_thread = AsyncIOBackend, claim_worker_thread
    backend.threadlocals = threading.local()
    monkeypatch.setitem(sys.modules, "anyio._backends._asyncio", backend)
    monkeypatch.setattr(AsyncIOBackend, "__module__", "anyio._backends._asyncio")

    def work() -> float:
        time.sleep(1)
        whose, loop = backend.threadlocals.current_token
        assert whose is AsyncIOBackend
        asyncio.run_coroutine_threadsafe(asyncio.sleep(2), loop).result()
        return time.monotonic()

    async def ask() -> list[float]:
        assert not hasattr(backend.threadlocals, "current_token")
        return await asyncio.gather(*(AsyncIOBackend.run_sync_in_worker_thread(work, ()) for _ in range(3)))

    try:
        with simnet.Network() as net:
            assert asyncio.run(ask()) == [pytest.approx(net.time)] * 3
            assert net.time == pytest.approx(3, abs=0.01)
    finally:
        modules.restore()


@simnet.sweep(target="server", kinds=["short-recv", "partial-send", "would-block", "reset"])
def test_a_server_of_asyncio_is_swept(net: Any) -> None:
    net.host("server").spawn(asyncio.run, serve(7))
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello\n")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"HELLO\n"


async def add(port: int) -> None:
    async def sums(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            a, b = (await reader.read(100)).split()  # it believes that a line arrives in one piece
            writer.write(b"%d" % (int(a) + int(b)))
        finally:
            writer.close()

    await (await asyncio.start_server(sums, None, port)).serve_forever()


def test_what_nobody_catches_in_a_handler_is_the_failure_and_its_line_is_told() -> None:
    def ask_for_a_sum(net: Any) -> None:
        net.host("server").spawn(asyncio.run, add(7))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"12 30")
            assert sock.makefile("rb").read() == b"42"

    result = run_sweep(ask_for_a_sum, SweepOptions.of(target="server", kinds="short-recv"))
    (failure,) = (each for each in result.failures if each.type_name == "ValueError")
    assert failure.reason == "handler-raised"
    told = report(failure, result).text()
    assert "ValueError in a callback of asyncio" in told
    assert ">     a, b = (await reader.read(100)).split()" in told
    assert "poll nothing" not in told


def test_an_asyncio_web_server_and_a_blocking_client(simnet_network: Any) -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async def web() -> None:
        async with await asyncio.start_server(page, port=80) as server:
            await server.serve_forever()

    net = simnet_network
    net.link("test", "server").latency = 0.2
    net.host("server").spawn(asyncio.run, web())
    client = http.client.HTTPConnection("server")
    client.request("GET", "/")
    assert client.getresponse().read() == b"hello"
    client.close()
    assert net.time >= 0.8


def test_who_is_ended_with_connections_open_leaves_no_complaint_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Warnings are errors here, those of finalizers too; asyncio's own go to its logger."""
    left = []

    async def patient() -> None:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readline()
            finally:
                left.append("connection")

        async with await asyncio.start_server(hold, port=7) as server:
            try:
                await server.serve_forever()
            finally:
                left.append("server")

    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, patient())
        net.host("client").spawn(asyncio.run, ask("server", 7, b"", pause=1e9))
        net.sleep(1)
    del net
    gc.collect()
    assert sorted(left) == ["connection", "server"]
    assert caplog.text == ""


def test_asyncio_may_be_imported_within_the_run() -> None:
    program = """
import sys, simnet

def client():
    import asyncio
    async def ask():
        reader, writer = await asyncio.open_connection("server", 7)
        return await reader.read()
    return asyncio.run(ask())

with simnet.Network() as net:
    assert "asyncio" not in sys.modules
    listener = net.host("server").listen(7)
    two = [net.host(name).spawn(client) for name in ("a", "b")]
    for _ in two:
        listener.accept()[0].close()
    assert [each.join(5) and each.result for each in two] == [b"", b""]
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])
def test_where_a_loop_runs_already_as_in_a_notebook_a_test_may_run_its_own(network: Any) -> None:
    async def counted() -> AsyncIterator[int]:
        yield 1

    async def cell() -> list[int]:
        with network() as net:
            assert asyncio.run(asyncio.sleep(0, 7)) == 7
            assert net.host("elsewhere").run(asyncio.run, asyncio.sleep(0, 8)) == 8
        await asyncio.sleep(0)
        return [each async for each in counted()]  # the loop outside has its hooks again, too

    assert asyncio.run(cell()) == [1]


def test_what_a_server_would_still_have_awaited_when_its_network_ended_is_no_complaint() -> None:
    held = []

    async def say_goodbye() -> None:
        """Nobody will hear it."""

    async def serve() -> None:
        loop, forever = asyncio.get_running_loop(), asyncio.Event()
        held.append(forever)
        try:
            await forever.wait()
        finally:
            loop.create_task(say_goodbye())  # it is closed by then

    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, serve())
    gc.collect()  # a warning is an error in these tests


def test_who_asks_for_a_loop_of_uvloop_gets_one_of_asyncio_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop:
        """As uvloop's: it waits in C."""

    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(Loop=Loop))

    def run(main: Any) -> Any:
        with asyncio.Runner(loop_factory=Loop) as runner:  # type: ignore[arg-type]
            assert isinstance(runner.get_loop(), Loop)  # as uvloop.run wants it
            return runner.run(main)

    for world in (simnet.Network, simnet.RealNetwork):
        with world() as net:
            net.host("server").spawn(lambda: run(serve(7)))
            assert run(ask("server", 7, b"word")) == b"WORD\n"
        assert type(Loop()) is Loop


@pytest.mark.parametrize("world", [simnet.Network, simnet.RealNetwork])
def test_a_coroutine_that_enters_a_network_and_awaits_in_it_is_told_why_that_cannot_be(world: Any) -> None:
    async def test() -> None:
        with world():
            async with asyncio.timeout(1), asyncio.Lock():
                await ask("server", 7, b"word")

    with pytest.raises(RuntimeError, match="no running event loop") as caught:
        asyncio.run(test())
    assert "asyncio.run() inside" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("hears_of_it", [False, True])
def test_a_program_that_ends_while_it_serves_somebody_has_raised_nothing(hears_of_it: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            if hears_of_it:
                raise LookupError
        finally:
            writer.close()

    async def for_a_second() -> None:
        async with await asyncio.start_server(talk, port=7):
            await asyncio.sleep(1)

    def test(net: Any) -> None:
        net.host("server").spawn(asyncio.run, for_a_second())
        with socket.create_connection(("server", 7)) as sock:
            if hears_of_it:
                sock.sendall(b"a line\n")
            net.sleep(2)  # the server's handler waits for a line when `asyncio.run` cancels it

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["would-block"]))
    assert [each.type_name for each in result.failures] == (["LookupError"] if hears_of_it else [])
