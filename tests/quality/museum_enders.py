"""Three clients of a server of lines and a clock that ticks to all, right as far as we know; and old mistakes about connections that have ended.

Each has been reported against real programs: redis-py, scdl, httpie, ramalama, pymemcache, nats.py2, fluxmq, electrumx, asyncio.
"""

from __future__ import annotations

import asyncio
import socket
import socketserver
from contextlib import suppress
from typing import Any

__all__ = ["Asker", "Cache", "Clock", "Talker", "echo"]

TRIES = 3


def echo(port: int) -> None:
    """The server."""

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                for line in self.rfile:
                    self.request.sendall(line)

    with socketserver.ThreadingTCPServer(("", port), Echo) as server:
        server.daemon_threads = True
        server.serve_forever()


class Asker:
    """Right, as far as we know: each question has its time, and is asked on another connection if that is up."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.streams: Any = None

    async def ask(self, question: bytes) -> bytes:
        for _ in range(TRIES):
            with suppress(OSError, EOFError):
                return await asyncio.wait_for(self.exchange(question), 2)
        return b""

    async def exchange(self, question: bytes) -> bytes:
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address)
        reader, writer = self.streams
        try:
            writer.write(question + b"\n")  # ASKS
            return await self.answer(reader)
        except BaseException as error:
            self.lost(error)
            raise

    async def answer(self, reader: asyncio.StreamReader) -> bytes:
        line = await reader.readuntil(b"\n")
        return line[:-1]

    def lost(self, error: BaseException) -> None:
        self.close()

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None

    async def talk(self, questions: list[bytes]) -> list[bytes]:
        answers = [await self.ask(question) for question in questions]
        self.close()
        return answers


class KeepsWhatWasCancelled(Asker):
    """redis-py #2624: a question whose time is up is cancelled, which is no Exception, and its answer is left to the next one."""

    def lost(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.close()


class HalfALineIsALine(Asker):
    """scdl #248, httpie #96, ramalama #2917: what had come when the input ended is handed on as if it were all."""

    async def answer(self, reader: asyncio.StreamReader) -> bytes:
        line = await reader.readline()
        if not line:
            raise EOFError
        return line.rstrip(b"\n")


class Cache:
    """Right, as far as we know: a blocking client, for which nothing is as good as an answer."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.sock: socket.socket | None = None

    def ask(self, question: bytes) -> bytes:
        try:
            if self.sock is None:
                self.sock = socket.create_connection(self.address, timeout=5)
            self.sock.sendall(question + b"\n")  # SENDS
            return self.answer(self.sock)
        except OSError:
            if self.sock is not None:
                self.lost(self.sock)
            return b""

    def answer(self, sock: socket.socket) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            data = sock.recv(100)
            if not data:
                raise ConnectionError
            line += data
        return line[:-1]

    def lost(self, sock: socket.socket) -> None:
        sock.close()
        self.sock = None

    def talk(self, questions: list[bytes]) -> list[bytes]:
        answers = [self.ask(question) for question in questions]
        if self.sock is not None:
            self.sock.close()
        return answers


class ForgetsThatItHasClosed(Cache):
    """pymemcache #195: what broke is closed, and stays where the next question looks for it: a bad file descriptor, for ever."""

    def lost(self, sock: socket.socket) -> None:
        sock.close()


class Talker:
    """Right, as far as we know: what comes is read beside it, and a connection that is given up is left to its reader."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.made: list[asyncio.StreamWriter] = []
        self.readers: list[asyncio.Task[None]] = []
        self.writer: asyncio.StreamWriter | None = None
        self.answer: asyncio.Future[bytes]

    async def ask(self, question: bytes) -> bytes:
        for _ in range(TRIES):
            with suppress(OSError):
                self.answer = asyncio.get_running_loop().create_future()
                if self.writer is None:
                    await self.connect()
                assert self.writer is not None
                self.writer.write(question + b"\n")
                return await asyncio.wait_for(self.answer, 2)
            self.writer = None
        return b""

    async def connect(self) -> None:
        reader, self.writer = await asyncio.open_connection(*self.address)
        self.made.append(self.writer)
        self.readers.append(asyncio.create_task(self.read(reader, self.writer)))

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while (line := await reader.readline()).endswith(b"\n"):
                if writer is self.writer and not self.answer.done():
                    self.answer.set_result(line[:-1])
        self.ended(writer)

    def ended(self, writer: asyncio.StreamWriter) -> None:
        if writer is self.writer:
            self.hang_up()

    def hang_up(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
            if not self.answer.done():
                self.answer.set_exception(ConnectionError())

    async def talk(self, questions: list[bytes]) -> list[bytes]:
        answers = [await self.ask(question) for question in questions]
        self.writer = None
        for writer in self.made:
            writer.close()
        return answers


class AnyEndIsItsEnd(Talker):
    """nats.py2 #35, fluxmq #508: when the connection of before ends at last, who read there hangs up on the one that is in use."""

    def ended(self, writer: asyncio.StreamWriter) -> None:
        self.hang_up()


class Clock:
    """Right, as far as we know: each second it ticks, to all who are there."""

    def __init__(self) -> None:
        self.there: list[asyncio.StreamWriter] = []

    async def serve(self, port: int, ticks: int) -> None:
        async with await asyncio.start_server(self.guest, "", port):
            for n in range(ticks):
                await asyncio.sleep(1)
                for writer in list(self.there):
                    writer.write(b"%d\n" % n)  # TICKS
            for writer in self.there:
                writer.close()

    async def guest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.there.append(writer)
        with suppress(OSError):
            await reader.read()
        self.leaves(writer)

    def leaves(self, writer: asyncio.StreamWriter) -> None:
        self.there.remove(writer)
        writer.close()


class TicksForEver(Clock):
    """electrumx #5, asyncio #301: who has gone is ticked to all the same, and nothing says so but a line in the log."""

    def leaves(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
