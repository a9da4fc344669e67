"""Who reads a header, is told that its time is up, and forgets the header takes what comes then for the next one: a sweep warns of it."""

from __future__ import annotations

import asyncio
import linecache
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

NEWS = [b"one", b"three", b"five"]
ENDS = (4, 10, 15)  # of each with its length before it
PATIENCE = 2.0  # seconds, then it says that it is still there


def tell(port: int) -> None:
    """A piece of news each second, behind its length; what is said here is not looked at."""
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as sock:
                for piece in NEWS:
                    time.sleep(1)
                    sock.sendall(bytes([len(piece)]) + piece)
                sock.sendall(b"\0")
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(100):
                    pass


class Reader:
    """Right: it keeps what has come."""

    def __init__(self) -> None:
        self.sock = socket.create_connection(("server", 7), timeout=PATIENCE)
        self.came = b""

    def exactly(self, size: int) -> bytes:
        while len(self.came) < size:
            more = self.sock.recv(size - len(self.came))  # READS
            if not more:
                raise ConnectionAbortedError
            self.came += more
        data, self.came = self.came[:size], self.came[size:]
        return data

    size = -1

    def piece(self) -> bytes:
        if self.size < 0:
            self.size = self.exactly(1)[0]
        data = self.exactly(self.size)
        self.size = -1
        return data

    def run(self) -> list[bytes]:
        heard: list[bytes] = []
        with self.sock:
            while len(heard) < len(NEWS):
                try:
                    if piece := self.piece():
                        heard.append(piece)
                    else:
                        break
                except TimeoutError:
                    self.missed()
                except OSError:
                    break
        return heard

    def missed(self) -> None:
        self.sock.sendall(b"still here")


class ForgetsTheLength(Reader):
    def piece(self) -> bytes:
        return self.exactly(self.exactly(1)[0])


class ForgetsWhatHasCome(Reader):
    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))  # READS
            if not more:
                raise ConnectionAbortedError
            data += more
        return data


class GivesUpAfterHalf(ForgetsTheLength):
    """Of one that has begun all must come in time: else it hangs up."""

    def piece(self) -> bytes:
        size = self.exactly(1)[0]
        try:
            return self.exactly(size)
        except TimeoutError:
            raise ConnectionAbortedError from None


class HandsOnWhatHasCome(Reader):
    """When its time is up; whoever asked for it puts it together."""

    def run(self) -> list[bytes]:
        heard, piece = [], b""
        with self.sock, suppress(ConnectionError):
            while sum(map(len, heard)) < ENDS[-1]:
                try:
                    piece += self.sock.recv(1)
                except TimeoutError:
                    heard += [piece] * bool(piece)
                    piece = b""
                    self.missed()
                if sum(map(len, heard)) + len(piece) in ENDS and piece:
                    heard.append(piece)
                    piece = b""
        return heard


async def by_asyncio(keeps: bool) -> list[bytes]:
    reader, writer = await asyncio.open_connection("server", 7)
    heard: list[bytes] = []
    size = -1

    async def piece() -> bytes:
        return await reader.readexactly((await reader.readexactly(1))[0])

    try:
        while len(heard) < len(NEWS):
            try:
                if not keeps:
                    heard.append(await asyncio.wait_for(piece(), PATIENCE))
                    continue
                if size < 0:
                    size = (await asyncio.wait_for(reader.readexactly(1), PATIENCE))[0]
                heard.append(await asyncio.wait_for(reader.readexactly(size), PATIENCE))
                size = -1
            except TimeoutError:
                writer.write(b"still here")
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()
    return heard


def sweep(client: Callable[[], list[bytes]], **options: Any) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(tell, 7)
        heard: list[bytes] = net.host("client").run(client)
        return heard

    return run_sweep(test, SweepOptions.of(target="client", kinds=["stall"], **options))


def told(result: SweepResult) -> list[Any]:
    assert result.ok, [each.text() for each in result.reports()]
    return [each for each in result.warnings if each.name == "half-read"]


@pytest.mark.slow
@pytest.mark.parametrize("client", [ForgetsTheLength, ForgetsWhatHasCome])
def test_who_forgets_what_it_has_read_is_warned_of_with_the_line(client: type[Reader]) -> None:
    (warned,) = told(sweep(lambda: client().run()))
    assert warned.text.startswith(
        "client had read a part of a message on client->server:7#1 when its time was up, and has lost it"
    )
    assert linecache.getline(__file__, int(warned.at.partition(":")[2])).endswith("# READS\n")


@pytest.mark.slow
@pytest.mark.parametrize("client", [Reader, GivesUpAfterHalf, HandsOnWhatHasCome])
def test_who_keeps_it_or_hangs_up_or_hands_it_on_is_not(client: type[Reader]) -> None:
    assert not told(sweep(lambda: client().run()))


@pytest.mark.slow
def test_so_is_a_coroutine_of_two_steps_and_not_one_that_waits_for_each() -> None:
    assert len(told(sweep(lambda: asyncio.run(by_asyncio(False))))) == 1
    assert not told(sweep(lambda: asyncio.run(by_asyncio(True))))


@pytest.mark.slow
def test_it_may_be_a_failure_or_meant() -> None:
    (failure,) = sweep(lambda: ForgetsTheLength().run(), invariants={"half-read": "failure"}).failures
    assert (failure.reason, failure.host) == ("half-read", "client")
    assert not sweep(lambda: ForgetsTheLength().run(), invariants={"half-read": "off: it is read anew"}).warnings
