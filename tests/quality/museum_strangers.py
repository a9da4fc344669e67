"""A desk that serves a few at once, right as far as we know; and old mistakes that one client alone never meets.

What each forgets are the others: those who came before, and have gone in the midst of a word, or say nothing. The place that nobody gives back has been
reported of sockudo and, of a client's pool, of httpx; the question before the next is accepted of simple-websocket-server and Electrum's server.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

__all__ = ["Counter", "Desk", "ask"]


class Desk:
    """Right, as far as we know: whoever comes has a place, of which there are ten, until his connection ends."""

    PLACES = 10

    def __init__(self) -> None:
        self.places = threading.BoundedSemaphore(self.PLACES)

    def serve(self, port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    continue
                self.open(sock)

    def open(self, sock: socket.socket) -> None:
        threading.Thread(target=self.serve_one, args=(sock,), daemon=True).start()

    def serve_one(self, sock: socket.socket) -> None:
        with sock, self.places, suppress(OSError):
            while line := self.line(sock):
                sock.sendall(line)

    def line(self, sock: socket.socket) -> bytes:
        """The next line; nothing if it is not whole."""
        said = b""
        while not said.endswith(b"\n"):
            more = sock.recv(100)
            if not more:
                return b""
            said += more
        return said


class KeepsThePlace(Desk):
    """sockudo #51, httpx #229: a place is given back where a conversation ends, and not where it breaks."""

    def serve_one(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            self.places.acquire()
            while line := self.line(sock):
                sock.sendall(line)
            self.places.release()


class AsksBeforeTheNext(Desk):
    """simple-websocket-server #13, electrum-server #106: the first line is read before the next one is accepted."""

    def open(self, sock: socket.socket) -> None:
        try:
            line = self.line(sock)
            sock.sendall(line)
        except OSError:
            sock.close()
        else:
            super().open(sock)


class Counter:
    """The same with asyncio, right as far as we know: whoever finds no place is sent away."""

    PLACES = 10

    def __init__(self) -> None:
        self.there = 0

    def serve(self, port: int) -> None:
        asyncio.run(self.serve_all(port))

    async def serve_all(self, port: int) -> None:
        async with await asyncio.start_server(self.serve_one, "", port) as server:
            await server.serve_forever()

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.there < self.PLACES:
            self.there += 1
            try:
                with suppress(OSError, asyncio.IncompleteReadError):
                    await self.talk(reader, writer)
            finally:
                self.there -= 1
        writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(await reader.readuntil())
            await writer.drain()


class CountsTheGone(Counter):
    """The limit counts those who have gone, too: who breaks off is never taken from the count."""

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.there < self.PLACES:
            self.there += 1
            with suppress(OSError):
                while line := await reader.readline():
                    writer.write(line)
                    await writer.drain()
                self.there -= 1
        writer.close()


class LocksTheBook(Counter):
    """The lock that guards the guests' book is held while a guest is asked for his name."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self.lock:
            writer.write(await reader.readuntil())
        await super().talk(reader, writer)


def ask(question: bytes) -> bytes:
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        sock.sendall(question)
        return lines.readline()
