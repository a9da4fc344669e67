"""A pool of one connection at a time to a server of lines, on asyncio, right as far as we know; and old mistakes of pools.

Each has been reported against real programs: asyncpg, oracledb, httpcore, psycopg, emcache. Who has to wait stands in line, and may
lose patience there.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Pool"]


class Pool:
    """Right, as far as we know."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.taken = False
        self.line: deque[asyncio.Future[None]] = deque()

    async def ask(self, question: bytes, patience: float | None) -> bytes | None:
        """The answer; None if none came in time, or the connection was lost."""
        try:
            return await asyncio.wait_for(self.exchange(question), patience)
        except (OSError, EOFError):
            return None

    async def exchange(self, question: bytes) -> bytes:
        await self.take()
        try:
            answer = await self.talk(question)
        except BaseException as error:
            self.lost(error)
            raise
        self.give_back()
        return answer

    async def talk(self, question: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(question + b"\n")
            return await reader.readuntil(b"\n")
        finally:
            writer.close()

    async def take(self) -> None:
        if not self.taken:
            self.taken = True
            return
        turn = asyncio.get_running_loop().create_future()
        self.line.append(turn)
        await turn  # IN-LINE

    def lost(self, error: BaseException) -> None:
        self.give_back()

    def give_back(self) -> None:
        while self.line:
            turn = self.line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken = False


class KeepsThePlaceOfTheBroken(Pool):
    """asyncpg #220, oracledb #221: of a connection that breaks the place is never given back."""

    def lost(self, error: BaseException) -> None:
        if not isinstance(error, OSError | EOFError):
            self.give_back()


class KeepsThePlaceOfTheCancelled(Pool):
    """httpcore #149, asyncpg #97, psycopg #1208: who is cancelled raises what is no Exception."""

    def lost(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            self.give_back()


class WakesWhoHasGone(Pool):
    """emcache #48: the first in line is given the place, and has lost patience long ago."""

    def give_back(self) -> None:
        if self.line:
            turn = self.line.popleft()
            if not turn.done():
                turn.set_result(None)
        else:
            self.taken = False
