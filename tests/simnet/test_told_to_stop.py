"""A server that is told to stop goes on waiting for that where a fault has broken the test off before it says so."""

from __future__ import annotations

import asyncio
import queue
import selectors
import signal
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio

import simnet
from simnet.explore.result import SweepResult


def swept(serve: Callable[[], object], stop: Callable[[simnet.Network, simnet.Process], object]) -> SweepResult:
    """Each run asks once, and tells the server to *stop*; `reset` and `eof` break the asking off."""

    def test(net: simnet.Network) -> None:
        process = net.host("server").spawn(serve)
        net.host("server").wait_listening(7)
        with socket.create_connection(("server", 7), timeout=5) as sock:
            sock.sendall(b"hello\n")
            with sock.makefile("rb") as lines:
                if lines.readline() != b"hello\n":
                    raise ConnectionError
        net.sleep(1)  # the server hears of the end
        stop(net, process)
        process.join()

    result: SweepResult = simnet.sweep(target="server", kinds=["reset", "eof"])(test).simnet_explore()  # type: ignore[attr-defined]
    assert result.interrupted + result.failed
    return result


def by_signal(_: simnet.Network, process: simnet.Process) -> None:
    process.send_signal(signal.SIGTERM)


def by_word(_: simnet.Network, __: simnet.Process) -> None:
    with socket.create_connection(("server", 7), timeout=5) as sock:
        sock.sendall(b"quit\n")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event) -> None:
    try:
        while line := await reader.readline():
            if line == b"quit\n":
                stop.set()
                break
            writer.write(line)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def main(forgetful: bool = False) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer, stop)
        if forgetful and not reader.at_eof():
            with suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

    async with await asyncio.start_server(talk, port=7):
        await stop.wait()


def on_asyncio() -> None:
    asyncio.run(main())


def on_threads() -> None:
    class Answer(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                for line in self.rfile:
                    self.wfile.write(line)
            except OSError:
                pass

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Server(("", 7), Answer) as server:
        threading.Thread(target=server.serve_forever).start()
        stop.wait()
        server.shutdown()


def with_workers() -> None:
    """Two threads that take what there is to do out of a queue, and are told of the end by it."""
    jobs: queue.Queue[socket.socket | None] = queue.Queue()
    stopping: list[int] = []

    def work() -> None:
        while (sock := jobs.get()) is not None:
            with sock, suppress(OSError):
                while line := sock.recv(100):
                    sock.sendall(line)

    signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
    workers = [threading.Thread(target=work, daemon=daemon) for daemon in (True, False)]
    for worker in workers:
        worker.start()
    with socket.create_server(("", 7)) as listener:
        listener.settimeout(0.5)
        while not stopping:
            with suppress(TimeoutError):
                jobs.put(listener.accept()[0])
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.join()


async def _answer_all() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass

    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_tcp, talk, 7)
            async for _ in signals:
                nursery.cancel_scope.cancel()


def on_trio() -> None:
    trio.run(_answer_all)


@pytest.mark.slow
@pytest.mark.parametrize("serve", [on_asyncio, on_threads, on_trio, with_workers])
def test_who_waits_for_a_signal_that_does_not_come_waits_rightly(serve: Callable[[], None]) -> None:
    result = swept(serve, by_signal)
    assert not result.failures, [each.finding for each in result.failures]
    assert not result.warnings, [each.text for each in result.warnings]


def test_a_task_that_swallows_its_cancellation_is_named_where_the_end_of_its_program_is_waited_for() -> None:
    async def stubborn() -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

    async def stops() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])

    with simnet.Network() as net, pytest.raises(simnet.Deadlock) as caught:
        net.host("server").spawn(lambda: asyncio.run(stops())).join()
    line = stubborn.__code__.co_firstlineno + 3
    assert f"A task was cancelled and still waits at test_told_to_stop.py:{line} in stubborn: let Canc" in str(
        caught.value
    )


@pytest.mark.slow
def test_a_task_that_waits_beside_it_is_told_nevertheless() -> None:
    (failure,) = swept(lambda: asyncio.run(main(forgetful=True)), by_signal).failures
    assert failure.reason == "waits-for-ever"
    assert "a task of server/<lambda> waits at " in failure.finding.message
    assert " in talk" in failure.finding.message


@pytest.mark.slow
def test_for_a_word_of_its_next_client_a_server_may_wait_and_that_is_no_failure() -> None:
    result = swept(on_asyncio, by_word)
    assert not result.failures, [each.finding for each in result.failures]
    assert {each.name for each in result.warnings} == {"waits-for-ever"}


def by_polling() -> None:
    """It has a listener, and for as long as they are there its clients: who waits so without any waits for the next one."""
    woken, wakes = socket.socketpair()  # by a thread, as it may be
    with selectors.DefaultSelector() as selector, socket.create_server(("", 7)) as listener, woken, wakes:
        selector.register(woken, selectors.EVENT_READ)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                sock = listener
                with suppress(OSError):
                    if key.fileobj is listener:
                        sock, _ = listener.accept()
                        selector.register(sock, selectors.EVENT_READ)
                        continue
                    sock = key.fileobj  # type: ignore[assignment]
                    line = sock.recv(100)
                    if line == b"quit\n":
                        sock.close()
                        return
                    if line:
                        sock.sendall(line)
                        continue
                if sock is not listener:
                    selector.unregister(sock)
                    sock.close()


def one_after_the_other() -> None:
    with socket.create_server(("", 7)) as listener:
        line = b""
        while line != b"quit\n":
            with suppress(OSError), listener.accept()[0] as sock:
                while (line := sock.recv(100)) not in (b"", b"quit\n"):
                    sock.sendall(line)


@pytest.mark.slow
@pytest.mark.parametrize("serve", [by_polling, one_after_the_other])
def test_and_who_has_no_client_any_more_and_polls_or_accepts_is_not_warned_of(serve: Callable[[], None]) -> None:
    result = swept(serve, by_word)
    assert result.ok, [each.finding for each in result.failures]
    assert not result.warnings
