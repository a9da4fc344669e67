"""Programs for asyncio as its documentation would have them: conversations, timers, a heart that beats, bulk.

Nothing here knows on which loop it runs, nor whether network and clock are real.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any

MESSAGE = b"x" * 64
CHUNK = bytes(65536)
PORT = 7

Program = Coroutine[Any, Any, float]


processor_time: Callable[[], float] = time.process_time  # no simulated world replaces it


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


class Client(asyncio.Protocol):
    def __init__(self, rounds: int, done: asyncio.Semaphore) -> None:
        self.left = rounds
        self.done = done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.write(MESSAGE)  # type: ignore[attr-defined]
        else:
            self.done.release()


class Sink(asyncio.Protocol):
    def __init__(self, size: int, done: asyncio.Event) -> None:
        self.left = size
        self.done = done

    def data_received(self, data: bytes) -> None:
        self.left -= len(data)
        if not self.left:
            self.done.set()


async def round_trips(host: str, clients: int, rounds: int) -> float:
    """Microseconds a 64-byte round trip between Protocols."""
    loop = asyncio.get_running_loop()
    done = asyncio.Semaphore(0)
    server = await loop.create_server(Echo, host, PORT)
    talking = [(await loop.create_connection(lambda: Client(rounds, done), host, PORT))[0] for _ in range(clients)]
    gc.collect()
    began = processor_time()
    for transport in talking:
        transport.write(MESSAGE)
    for _ in range(clients):
        await done.acquire()
    took = processor_time() - began
    for transport in talking:
        transport.close()
    server.close()
    return took / (clients * rounds) * 1e6


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server's end of a conversation between streams."""
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()
    writer.close()


async def of_streams(host: str, clients: int, rounds: int) -> float:
    """The same between streams: a task for each end."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(rounds):
            writer.write(MESSAGE)
            await reader.readexactly(len(MESSAGE))

    server = await asyncio.start_server(echo, host, PORT)
    talking = [await asyncio.open_connection(host, PORT) for _ in range(clients)]
    gc.collect()
    began = processor_time()
    await asyncio.gather(*(talk(*each) for each in talking))
    took = processor_time() - began
    for _, writer in talking:
        writer.close()
    server.close()
    await _others()
    return took / (clients * rounds) * 1e6


async def one_echo(host: str) -> None:
    """A server, one connection, one echo, and the end of both."""
    loop = asyncio.get_running_loop()
    done = asyncio.Semaphore(0)
    server = await loop.create_server(Echo, host, PORT)
    transport, _ = await loop.create_connection(lambda: Client(1, done), host, PORT)
    transport.write(MESSAGE)
    await done.acquire()
    transport.close()
    server.close()
    await server.wait_closed()


async def connections(host: str, count: int) -> float:
    """Microseconds a connection, made and accepted."""
    loop = asyncio.get_running_loop()
    done = asyncio.Semaphore(0)
    server = await loop.create_server(Echo, host, PORT)
    gc.collect()
    began = processor_time()
    talking = [(await loop.create_connection(lambda: Client(1, done), host, PORT))[0] for _ in range(count)]
    took = processor_time() - began
    for transport in talking:
        transport.close()
    server.close()
    return took / count * 1e6


async def streaming(host: str, mebibytes: int) -> float:
    """Microseconds a MiB one way, written as fast as the writer may."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    server = await loop.create_server(lambda: Sink(mebibytes << 20, done), host, PORT)
    _, writer = await asyncio.open_connection(host, PORT)
    gc.collect()
    began = processor_time()
    for _ in range(mebibytes * 16):
        writer.write(CHUNK)
        await writer.drain()
    await done.wait()
    took = processor_time() - began
    writer.close()
    server.close()
    return took / mebibytes * 1e6


async def timers(count: int) -> float:
    """Microseconds a timer that fires, each a millisecond after the other."""
    loop = asyncio.get_running_loop()
    fired: list[int] = []
    gc.collect()
    began = processor_time()
    for number in range(count):
        loop.call_later(number / 1000, fired.append, number)
    await asyncio.sleep(count / 1000 + 1)
    assert len(fired) == count
    return (processor_time() - began) / count * 1e6


async def beats(host: str, clients: int, seconds: int) -> float:
    """Microseconds an echo of *clients* with one request a virtual second, between streams."""

    async def talk(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, PORT)
        await asyncio.sleep(number / clients)
        for _ in range(seconds):
            writer.write(MESSAGE)
            await reader.readexactly(len(MESSAGE))
            await asyncio.sleep(1)
        writer.close()

    server = await asyncio.start_server(echo, host, PORT)
    gc.collect()
    began = processor_time()
    await asyncio.gather(*(talk(number) for number in range(clients)))
    took = processor_time() - began
    server.close()
    await _others()
    return took / (clients * seconds) * 1e6


async def _others() -> None:
    """The tasks of the server's ends are at their end."""
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
