"""Servers on asyncio's streams, right as far as we know, with an old mistake of each in a subclass.

Each has been reported against real programs: the standard library, grpclib.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["Proxied", "Server", "Works"]


class Server:
    """What they share: a connection each, which is closed in the end."""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self.talk(reader, writer)
            await writer.drain()
        writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError

    async def main(self, port: int) -> None:
        server = await asyncio.start_server(self.handle, "", port)
        await server.serve_forever()

    def serve(self, port: int) -> None:
        asyncio.run(self.main(port))


class Proxied(Server):
    """Right, as far as we know: who speaks is said by the proxy, in a line before what he says."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        who = await reader.readline()
        said = await self.behind(reader, writer).readline()
        writer.write(who + said.upper())

    def behind(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.StreamReader:
        """Of what comes next."""
        return reader


class ReadsAnew(Proxied):
    """cpython #142352: another reader begins with what comes next, and what has come already is the old one's."""

    def behind(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.StreamReader:
        fresh = asyncio.StreamReader()
        writer.transport.set_protocol(asyncio.StreamReaderProtocol(fresh))
        return fresh


class Works(Server):
    """Right, as far as we know: ``open 1`` begins some work, and ``cancel 1`` breaks it off; there is room for two at a time."""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        room, works = asyncio.Semaphore(2), dict[bytes, asyncio.Task[None]]()
        while (line := await reader.readline()).endswith(b"\n"):
            word, name = line.split()
            if word == b"open":
                await room.acquire()  # NO-ROOM
                works[name] = self.begin(name, writer, room)
            elif name in works:
                works.pop(name).cancel()
        for work in works.values():
            work.cancel()

    def begin(self, name: bytes, writer: asyncio.StreamWriter, room: asyncio.Semaphore) -> asyncio.Task[None]:
        task = asyncio.create_task(self.work(name, writer))
        task.add_done_callback(lambda _: room.release())
        return task

    async def work(self, name: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        writer.write(b"done " + name + b"\n")


class NeverBegan(Works):
    """grpclib #217: whose work is cancelled before its first step never comes to the ``finally`` that would make room again."""

    def begin(self, name: bytes, writer: asyncio.StreamWriter, room: asyncio.Semaphore) -> asyncio.Task[None]:
        async def begun() -> None:
            try:
                await self.work(name, writer)
            finally:
                room.release()

        return asyncio.create_task(begun())
