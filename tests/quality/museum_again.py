"""Clients of asyncio's that go on after a time-out or an end, right as far as we know; and old mistakes of each.

All have been reported against real programs: netty, psycopg, httpclient and urllib3.future, websocket-client, websockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

__all__ = ["Adds", "Farewell", "Listener", "Pool", "Window", "serve"]

PATIENCE = 3.0  # seconds that a client waits for an answer
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def serve(port: int, talk: Talk) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await talk(reader, writer)
        writer.close()

    async def serving() -> None:
        async with await asyncio.start_server(one, None, port) as server:
            await server.serve_forever()

    asyncio.run(serving())


class Window:
    """The server answers as long as it has room: for one answer, until it hears ``more``."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    @staticmethod
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room, asked = 1, deque[bytes]()
        while line := await reader.readline():
            if line == b"more\n":
                room += 1
            else:
                asked.append(line)
            while room and asked:
                room -= 1
                writer.write(asked.popleft().upper())
                await writer.drain()

    async def run(self) -> list[object]:
        reader, self.writer = await asyncio.open_connection(*self.address)
        heard: list[object] = []
        for number in range(5):
            question = b"ask %d\n" % number
            self.writer.write(question)
            try:
                heard.append(await asyncio.wait_for(self.answer(reader, question.upper()), PATIENCE))
            except TimeoutError:
                heard.append(None)
            except OSError:
                break
        self.writer.close()
        return heard

    async def answer(self, reader: asyncio.StreamReader, wanted: bytes) -> bytes:
        while line := await reader.readline():
            self.writer.write(b"more\n")
            if line == wanted:
                return line
        raise ConnectionError("the server has gone")


class KeepsTheRoom(Window):
    """netty #7040: for an answer that comes too late, no room is given back."""

    async def answer(self, reader: asyncio.StreamReader, wanted: bytes) -> bytes:
        while (line := await reader.readline()) != wanted:  # NO ROOM
            if not line:
                raise ConnectionError("the server has gone")
        self.writer.write(b"more\n")
        return line


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()


class Pool:
    """One connection, which is lent to one after the other."""

    talk = staticmethod(echo)

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.connection: Connection | None = None
        self.free = True
        self.waiting: deque[asyncio.Event] = deque()

    async def borrow(self) -> Connection:
        if not self.free:
            mine = asyncio.Event()
            self.waiting.append(mine)
            try:
                await mine.wait()
            except asyncio.CancelledError:
                self.leave(mine)
                raise
        self.free = False
        if self.connection is None:
            try:
                self.connection = await asyncio.open_connection(*self.address)
            except OSError:
                self.give_back(broken=True)
                raise
        return self.connection

    def leave(self, mine: asyncio.Event) -> None:
        if mine.is_set():
            self.give_back()
        else:
            self.waiting.remove(mine)

    def give_back(self, broken: bool = False) -> None:
        if broken and self.connection is not None:
            self.connection[1].close()
            self.connection = None
        if self.waiting:
            self.waiting.popleft().set()
        else:
            self.free = True

    async def ask(self, question: bytes) -> bytes:
        try:
            reader, writer = await asyncio.wait_for(self.borrow(), PATIENCE)
        except (TimeoutError, OSError):
            return b"no connection"
        answer = b""
        with suppress(OSError, TimeoutError):
            writer.write(question)
            answer = await asyncio.wait_for(reader.readline(), 2 * PATIENCE)
        self.give_back(broken=not answer.endswith(b"\n"))
        return answer

    async def run(self) -> list[object]:
        heard: list[object] = []
        for number in range(4):
            heard += await asyncio.gather(self.ask(b"one %d\n" % number), self.ask(b"two %d\n" % number))
            await asyncio.sleep(1)
        if self.connection is not None:
            self.connection[1].close()
        return heard


class LendsToWhoHasLeft(Pool):
    """psycopg #509: who has left meanwhile is still in the queue, and is lent the connection."""

    def leave(self, mine: asyncio.Event) -> None:
        pass


class Adds:
    """Each ``POST`` counts; a ``GET`` looks only. The connection is used again."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.connection: Connection | None = None
        self.done = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            self.done += line.startswith(b"POST")
            writer.write(b"%d\n" % self.done)
            await writer.drain()

    async def once(self, question: bytes) -> bytes:
        if self.connection is None:
            self.connection = await asyncio.open_connection(*self.address)
        reader, writer = self.connection
        writer.write(question)  # ONCE MORE
        try:
            answer = await asyncio.wait_for(reader.readline(), PATIENCE)
            if answer.endswith(b"\n"):
                return answer
            raise ConnectionError("it ended")
        except (OSError, TimeoutError):
            writer.close()
            self.connection = None
            raise

    def may_be_said_again(self, question: bytes) -> bool:
        return question.startswith(b"GET")

    async def ask(self, question: bytes) -> bytes | None:
        used_before = self.connection is not None
        try:
            return await self.once(question)
        except ConnectionError:
            if used_before and self.may_be_said_again(question):
                return await self.once(question)
            return None

    async def run(self) -> list[object]:
        heard: list[object] = []
        with suppress(OSError, TimeoutError):
            for question in (b"GET it\n", b"POST one\n", b"POST two\n", b"GET it\n"):
                heard.append(await self.ask(question))  # noqa: PERF401 - what was heard before it fails counts
        if self.connection is not None:
            self.connection[1].close()
        return heard


class SaysAllAgain(Adds):
    """httpclient #142, urllib3.future #280: whatever is asked when a connection ends is asked again."""

    def may_be_said_again(self, question: bytes) -> bool:
        return True


class Listener:
    """It is told a word now and then, and pings meanwhile, to see whether anybody is there."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.pinged = self.heard_at = 0.0

    @staticmethod
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def tell() -> None:
            for number in range(4):
                await asyncio.sleep(7)
                writer.write(b"word %d\n" % number)

        telling = asyncio.create_task(tell())
        while line := await reader.readline():
            writer.write(line.replace(b"ping", b"pong"))
            await writer.drain()
        telling.cancel()

    def is_silent(self) -> bool:
        return self.heard_at < self.pinged

    async def ping(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(10)
            if self.is_silent():
                writer.transport.abort()
                return
            writer.write(b"ping\n")
            self.pinged = asyncio.get_running_loop().time()

    async def run(self) -> list[object]:
        reader, writer = await asyncio.open_connection(*self.address)
        words: list[object] = []
        writer.write(b"subscribe\n")
        pinging = asyncio.create_task(self.ping(writer))
        with suppress(OSError):
            while len(words) < 5 and (line := await reader.readline()):
                if line == b"pong\n":
                    self.heard_at = asyncio.get_running_loop().time()
                else:
                    words.append(line)
        pinging.cancel()
        writer.close()
        return words


class CountsFromTheFirstPong(Listener):
    """websocket-client #461: where no pong has come yet, none is missed."""

    def is_silent(self) -> bool:
        return 0 < self.heard_at < self.pinged


class Farewell:
    """It says goodbye, and waits until that is answered."""

    talk = staticmethod(echo)

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    async def part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.shake(reader, writer), PATIENCE)

    async def shake(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye\n")
        while await reader.readline() not in (b"BYE\n", b""):  # NO END
            pass

    async def run(self) -> list[object]:
        reader, writer = await asyncio.open_connection(*self.address)
        heard: list[object] = []
        with suppress(OSError, TimeoutError):
            for number in range(2):
                writer.write(b"word %d\n" % number)
                heard.append(await asyncio.wait_for(reader.readline(), PATIENCE))
        with suppress(OSError):
            await self.part(reader, writer)
        writer.close()
        return heard


class WaitsForItsFarewell(Farewell):
    """websockets #1563: a handshake at the end without a time-out."""

    async def part(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.shake(reader, writer)
