"""The same workloads on async-solipsism, an asyncio loop whose sockets and clock are simulated."""

from __future__ import annotations

import asyncio
import gc
import time

import async_solipsism

MESSAGE = b"x" * 64
PLACE = ("server.invalid", 7)


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


def round_trips(clients: int, rounds: int) -> float:
    """Microseconds a 64-byte round trip between Protocols."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        done = asyncio.Semaphore(0)
        server = await loop.create_server(Echo, *PLACE)
        talking = [(await loop.create_connection(lambda: Client(rounds, done), *PLACE))[0] for _ in range(clients)]
        gc.collect()
        began = time.process_time()
        for transport in talking:
            transport.write(MESSAGE)
        for _ in range(clients):
            await done.acquire()
        took = time.process_time() - began
        for transport in talking:
            transport.close()
        server.close()
        return took / (clients * rounds) * 1e6

    return _run(main())


def fresh(simulations: int = 200) -> float:
    """Microseconds a loop of its own with one connection, one echo and the end of both."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Semaphore(0)
        server = await loop.create_server(Echo, *PLACE)
        transport, _ = await loop.create_connection(lambda: Client(1, done), *PLACE)
        transport.write(MESSAGE)
        await done.acquire()
        transport.close()
        server.close()
        await server.wait_closed()

    gc.collect()
    began = time.process_time()
    for _ in range(simulations):
        _run(main())
    return (time.process_time() - began) / simulations * 1e6


def timers(count: int = 50_000) -> float:
    """Microseconds a timer that fires, each a millisecond after the other."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        fired: list[int] = []
        gc.collect()
        began = time.process_time()
        for number in range(count):
            loop.call_later(number / 1000, fired.append, number)
        await asyncio.sleep(count / 1000 + 1)
        assert len(fired) == count
        return (time.process_time() - began) / count * 1e6

    return _run(main())


def _run(program: object) -> float:
    loop = async_solipsism.EventLoop()
    try:
        return loop.run_until_complete(program)  # type: ignore[no-any-return, arg-type]
    finally:
        loop.close()
