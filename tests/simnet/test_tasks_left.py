"""A task of asyncio that waits for ever is told by its line; one that nobody can wake any more is a failure."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import simnet
from dispatch import Listener, Loop, Stream
from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

pytestmark = pytest.mark.slow  # each is a few sweeps


def line_of(mark: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (found,) = (number for number, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))
    return f"test_tasks_left.py:{found}"


class Remote(asyncio.Protocol):
    """Answers by the number of their question, each to whom it is due."""

    def __init__(self, careful: bool) -> None:
        self.careful = careful
        self.due: dict[bytes, asyncio.Future[bytes]] = {}
        self.input = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            number, _, answer = line.partition(b" ")
            self.due.pop(number).set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        for each in self.due.values() if self.careful else ():
            each.set_exception(ConnectionError("lost"))

    async def ask(self, number: bytes) -> bytes:
        self.due[number] = asyncio.get_running_loop().create_future()
        self.transport.write(number + b"\n")
        return await self.due[number]  # NOBODY-WAKES-IT


def answer_all() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            with listener.accept()[0] as sock, sock.makefile("rb") as lines:
                try:
                    for line in lines:
                        sock.sendall(line.strip() + b" yes\n")
                except OSError:
                    pass


def asking(careful: bool, *, also: bool = False) -> Callable[[Any], bytes]:
    """A client that asks twice; *also* holding a socket for datagrams, by which somebody might wake it."""

    async def main() -> bytes:
        _, remote = await asyncio.get_running_loop().create_connection(lambda: Remote(careful), "server", 7)
        with socket.socket(type=socket.SOCK_DGRAM) if also else nullcontext():
            try:
                return await remote.ask(b"1") + await remote.ask(b"2")
            except ConnectionError:
                return b"lost"
            finally:
                remote.transport.close()

    def test(net: Any) -> bytes:
        net.host("server").spawn(answer_all)
        return net.host("client").run(lambda: asyncio.run(main()))  # type: ignore[no-any-return]

    return test


def sweep(test: Callable[[Any], object], target: str, **options: Any) -> SweepResult:
    return run_sweep(test, SweepOptions.of(**{"target": target, "kinds": ["reset", "eof"], **options}))


def test_an_answer_that_will_never_come_and_that_a_task_awaits_is_a_failure_at_its_line() -> None:
    (failure,) = sweep(asking(careful=False), "client").failures
    assert (failure.reason, failure.at) == ("waits-for-ever", line_of("NOBODY-WAKES-IT"))
    assert "a task of client/<lambda> waits at test_tasks_left.py:" in failure.finding.message
    assert failure.finding.message.endswith("no connection is left by which anybody could wake it")


def test_a_client_that_lets_its_futures_fail_passes() -> None:
    result = sweep(asking(careful=True), "client")
    assert (result.failures, result.warnings) == ([], [])


def test_while_anything_is_left_that_could_wake_it_that_is_a_warning_with_the_line() -> None:
    result = sweep(asking(careful=False, also=True), "client")
    assert result.failures == []
    assert {warned.at for warned in result.warnings} == {line_of("NOBODY-WAKES-IT")}


@pytest.mark.parametrize(("level", "failures", "warnings"), [("warning", 0, 1), ("off: why", 0, 0)])
def test_who_asks_for_another_level_gets_it(level: str, failures: int, warnings: int) -> None:
    result = sweep(asking(careful=False), "client", kinds=["eof"], invariants={"waits-for-ever": level})
    assert (len(result.failures), len(result.warnings)) == (failures, warnings)


def test_a_server_goes_on_and_a_task_of_one_of_its_connections_is_told() -> None:
    """Two tasks for a connection: the one that reads ends with it, the one that writes waits on."""
    queues: list[asyncio.Queue[bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies: asyncio.Queue[bytes] = asyncio.Queue()
        queues.append(replies)
        writing = asyncio.create_task(write(replies, writer))
        try:
            while line := await reader.readline():
                replies.put_nowait(line)
        except OSError:
            return  # and forgets that somebody waits for the next reply
        replies.put_nowait(b"")
        await writing

    async def write(replies: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
        while reply := await replies.get():  # NO-MORE-REPLIES
            writer.write(reply)
        writer.close()

    async def main() -> None:
        await (await asyncio.start_server(talk, port=7)).serve_forever()

    def test(net: Any) -> bytes:
        queues.clear()
        net.host("server").spawn(lambda: asyncio.run(main()))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(100), b""))

    result = sweep(test, "server")
    assert [(each.reason, each.at) for each in result.failures] == [("waits-for-ever", line_of("NO-MORE-REPLIES"))]
    assert "reset" in result.failures[0].kinds


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(3600):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_talk, "", 7)
    await server.serve_forever()


def on_asyncio() -> None:
    asyncio.run(_serve())


class Idle(Stream):
    idle_timeout = 3600

    def handle_data(self, data: bytes) -> None:
        self.write(data)


def on_dispatch() -> None:
    with Loop() as loop:
        Listener(("", 7), Idle, loop=loop)
        loop.run()


def one_by_one() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            try:
                with listener.accept()[0] as sock:
                    sock.settimeout(3600)
                    while data := sock.recv(100):
                        sock.sendall(data)
            except OSError:
                continue


@pytest.mark.parametrize("serve", [on_asyncio, on_dispatch, one_by_one])
def test_a_server_that_waits_for_its_next_client_does_so_too_where_the_last_one_never_left(
    serve: Callable[[], None],
) -> None:
    """Without a fault it has a time-out for that one when all is quiet, so that the server itself waits for no longer."""

    def stay() -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            while sock.recv(100):
                pass

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        net.host("client").spawn(stay)
        net.sleep(1)

    result = run_sweep(body, SweepOptions.of(target="server", kinds=["refuse", "reset", "eof", "reset-before-accept"]))
    assert not result.failures, [each.finding for each in result.failures]
    assert not result.warnings


async def forget_a_task_and_hold_a_connection() -> None:
    async def waits_in_its_finally() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(1)

    asyncio.create_task(waits_in_its_finally())  # noqa: RUF006  # which is what is tried here: nobody else holds it
    _, writer = await asyncio.open_connection("server", 7)
    await asyncio.sleep(3600)
    writer.close()


def test_a_task_that_nobody_holds_and_that_refuses_its_end_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log of asyncio is enough: Python's own word would fail the test where warnings are errors, as those of `python -m pytest -W error`."""
    heard: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: heard.append(unraisable.exc_value))
    with simnet.Network(invariants={"nothing-left": "off"}) as net:
        listener = net.host("server").listen(7)
        net.host("client").spawn(asyncio.run, forget_a_task_and_hold_a_connection())
        listener.accept()[0].close()
    assert heard == []
    assert [each.getMessage().partition("\n")[0] for each in caplog.records] == [
        "Task was destroyed but it is pending!"
    ]


async def relay() -> None:
    writers: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while line := await reader.readline():
                for each in writers - {writer}:
                    each.write(line)
        except OSError:
            pass
        finally:
            writers.remove(writer)
            writer.close()

    async with await asyncio.start_server(talk, port=7) as server:
        await server.serve_forever()


@pytest.mark.parametrize("patience", [None, 5.0])
def test_where_a_client_of_the_tests_own_waits_for_the_target_as_well_it_is_told(patience: float | None) -> None:
    def listen() -> bytes:
        with socket.create_connection(("server", 7), timeout=patience) as sock:
            return sock.recv(100)

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(asyncio.run, relay())
        listener = net.host("other").spawn(listen)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello\n")
            assert listener.join(10)

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["reset"]))
    assert not result.failures
    told = [each.text for each in result.warnings]
    if patience is None:
        (text,) = told
        assert text.endswith(
            "; other/listen, which the test has started, waits for server as well: with a time-out there it ends, and closes"
        )
    else:
        assert told == []


def test_a_task_that_waits_in_the_midst_of_its_loop_is_told_without_those_that_always_wait() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with socket.create_server(("", 20)) as listener:
            await reader.readline()
            writer.write(b"go\n")
            with listener.accept()[0] as sock:  # HOLDS-UP-ALL
                sock.sendall(b"data")
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(handle, "", 21) as server:
            await server.serve_forever()

    def test(net: simnet.Network) -> bytes:
        net.host("server").spawn(lambda: asyncio.run(main()))
        with socket.create_connection(("server", 21)) as sock, sock.makefile("rb") as lines:
            sock.sendall(b"GET\n")
            assert lines.readline() == b"go\n"
            with socket.create_connection(("server", 20)) as data, data.makefile("rb") as whole:
                return whole.read()

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["would-block"]))
    (report,) = result.reports()
    assert f"; a task of server/<lambda> waits at {line_of('HOLDS-UP-ALL')} in handle, without a" in " ".join(
        report.text().split()
    )
