"""A run does not depend on addresses of objects or on the hash seed, though programs keep tasks and clients in sets."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import dispatch
import simnet
from simnet import modules

CLIENTS = 7


async def echo_lines(port: int) -> None:
    async def lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    async with await asyncio.start_server(lines, port=port) as server:
        await server.serve_forever()


async def talk(number: int) -> None:
    _, writer = await asyncio.open_connection("server", 7)
    try:
        await asyncio.sleep(60)
    finally:
        writer.write(b"bye %d\n" % number)
        writer.close()


async def left_to_run() -> None:
    tasks = [asyncio.create_task(talk(number)) for number in range(CLIENTS)]
    await asyncio.sleep(1)
    assert len(tasks) == CLIENTS


async def waited_for() -> None:
    tasks = [asyncio.create_task(talk(number)) for number in range(CLIENTS)]
    _, pending = await asyncio.wait(tasks, timeout=1)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


async def grouped() -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(talk(number))
            await asyncio.sleep(1)
            raise LookupError
    except* LookupError:
        pass


async def as_completed() -> None:
    async def short(number: int) -> None:
        _, writer = await asyncio.open_connection("server", 7)
        writer.write(b"%d\n" % number)
        writer.close()

    for each in asyncio.as_completed([short(number) for number in range(CLIENTS)]):
        await each


@pytest.fixture
def unlike_any_before() -> Callable[[], None]:
    """Makes the heap another one, so that objects come to lie elsewhere."""
    kept: list[Any] = []

    def stir() -> None:
        kept.append([bytearray(40 * number) for number in range(13 + 7 * len(kept))])
        kept.extend(object() for _ in range(29))

    return stir


def digests(test: Callable[[Any], None], stir: Callable[[], None]) -> set[str]:
    found = set()
    for _ in range(5):
        stir()
        run = simnet.play(test)
        assert run.outcome.raised is None, run.outcome
        found.add(run.digest)
    return found


@pytest.mark.parametrize("main", [left_to_run, waited_for, grouped, as_completed], ids=lambda main: main.__name__)
def test_tasks_in_a_set_are_gone_through_in_the_same_order_in_each_run(main: Any, unlike_any_before: Any) -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(asyncio.run, echo_lines(7))
        net.host("client").run(asyncio.run, main())

    assert len(digests(test, unlike_any_before)) == 1


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks began eagerly from Python 3.12 on")
def test_so_do_tasks_that_begin_at_once(unlike_any_before: Any) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        begun = []
        tasks = {asyncio.create_task(talk(number), name=f"talk {number}") for number in range(CLIENTS)}
        for task in tasks:
            begun.append(task.get_name())
            task.cancel()
        assert begun == [f"talk {number}" for number in range(CLIENTS)]
        await asyncio.gather(*tasks, return_exceptions=True)

    def test(net: Any) -> None:
        net.host("server").spawn(asyncio.run, echo_lines(7))
        net.host("client").run(asyncio.run, main())

    assert len(digests(test, unlike_any_before)) == 1


async def tell_all(port: int) -> None:
    """A chat as tutorials write it: the clients are a set."""
    clients = set()

    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        while line := await reader.readline():
            for each in clients:
                each.write(line)
        clients.discard(writer)
        writer.close()

    async with await asyncio.start_server(chat, port=port) as server:
        await server.serve_forever()


async def tell_all_by_protocol(port: int) -> None:
    clients = set()

    class Chat(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            clients.add(self)

        def data_received(self, data: bytes) -> None:
            for each in clients:
                each.transport.write(data)

        def connection_lost(self, exc: Any) -> None:
            clients.discard(self)

    async with await asyncio.get_running_loop().create_server(Chat, port=port) as server:
        await server.serve_forever()


def tell_all_by_select(port: int) -> None:
    clients: set[socket.socket] = set()
    with socket.create_server(("", port)) as listener:
        while True:
            for sock in select.select([listener, *clients], [], [])[0]:
                if sock is listener:
                    clients.add(listener.accept()[0])
                elif data := sock.recv(100):
                    for each in clients:
                        each.sendall(data)
                else:
                    clients.discard(sock)
                    sock.close()


def tell_all_by_dispatch(port: int) -> None:
    clients = set()

    class Chat(dispatch.Stream):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            clients.add(self)

        def handle_data(self, data: Any) -> None:
            for each in clients:
                each.write(data)

        def handle_close(self, reason: Any) -> None:
            clients.discard(self)

    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), Chat, loop=loop)
        loop.run()


SERVERS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "streams": lambda: (asyncio.run, tell_all(7)),
    "protocols": lambda: (asyncio.run, tell_all_by_protocol(7)),
    "sockets": lambda: (tell_all_by_select, 7),
    "channels": lambda: (tell_all_by_dispatch, 7),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_clients_in_a_set_are_gone_through_in_the_same_order_in_each_run(kind: str, unlike_any_before: Any) -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(*SERVERS[kind]())
        clients = [net.host("client").connect(("server", 7)) for _ in range(CLIENTS)]
        net.run(1)
        clients[0].sendall(b"hello\n")
        assert [client.recv(100) for client in clients] == [b"hello\n"] * CLIENTS
        for client in clients:
            client.close()

    assert len(digests(test, unlike_any_before)) == 1


def test_connections_of_a_library_that_was_imported_meanwhile_are_numbered_too(
    monkeypatch: pytest.MonkeyPatch, unlike_any_before: Any
) -> None:
    class RequestHandler:
        __hash__ = object.__hash__

    monkeypatch.setitem(sys.modules, "tornado.web", library := ModuleType("tornado.web"))
    library.RequestHandler = RequestHandler  # type: ignore[attr-defined]
    order = set()
    for _ in range(5):
        unlike_any_before()
        with simnet.Network() as net:
            made: list[RequestHandler] = net.host("server").run(lambda: [RequestHandler() for _ in range(CLIENTS)])
            order.add(tuple(made.index(each) for each in net.host("server").run(set, made)))
    assert len(order) == 1
    modules.restore()
    assert RequestHandler.__hash__ is object.__hash__


BOTH_FAMILIES = """
import asyncio
import simnet

async def serve():
    async with await asyncio.start_server(print, port=7) as server:
        await server.serve_forever()

def test(net):
    net.host("server").spawn(asyncio.run, serve())

print(simnet.play(test).digest)
"""


@pytest.mark.slow
def test_an_asyncio_server_on_all_addresses_listens_in_the_same_order_whatever_the_hash_seed() -> None:
    found = set()
    for seed in ("0", "1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", BOTH_FAMILIES], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


def test_a_task_of_a_run_is_asyncios_own_kind_in_all_that_shows(simnet_network: Any) -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(1), name="nap")
        assert isinstance(task, asyncio.Task)
        assert repr(task).startswith("<Task pending name='nap' coro=<sleep()")
        assert (type(task).__module__, type(task).__qualname__) == (asyncio.Task.__module__, "Task")
        assert {task: 1}[task] == 1
        await task

    simnet_network.host("server").run(asyncio.run, main())


def test_outside_of_a_run_nothing_is_numbered_and_in_the_end_nothing_is_left() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(asyncio.run, echo_lines(7))

    async def main() -> None:
        assert type(asyncio.current_task()) is asyncio.Task
        reader = asyncio.StreamReader()
        assert hash(reader) == object.__hash__(reader)
        assert {reader} == {reader}

    asyncio.run(main())
    modules.restore()
    asyncio.run(main())
    assert asyncio.StreamReader.__hash__ is object.__hash__
    assert dispatch.Stream.__hash__ is object.__hash__
    assert not hasattr(asyncio.base_events, "set")
    assert asyncio.BaseEventLoop.create_task.__module__ == "asyncio.base_events"
