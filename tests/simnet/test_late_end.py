"""Who has given up a connection, and left it open, is not hurt when that one ends while another is in use."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

pytestmark = pytest.mark.slow  # each is a sweep


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            for line in self.rfile:
                self.request.sendall(line)


def serve() -> None:
    with socketserver.ThreadingTCPServer(("", 7), Echo) as server:
        server.daemon_threads = True
        server.serve_forever()


class Caller:
    """It asks three times at most, and waits two seconds each time; what comes is read beside it."""

    def __init__(self, *, closes: bool = False, looks: bool = False) -> None:
        self.closes, self.looks = closes, looks
        self.writer: Any = None
        self.answer: Any = None
        self.made: list[Any] = []

    async def read(self, reader: Any, writer: Any) -> None:
        with suppress(OSError):
            while (line := await reader.readline()).endswith(b"\n"):
                if writer is self.writer and not self.answer.done():
                    self.answer.set_result(line)
        if writer is self.writer or not self.looks:
            self.hang_up()

    def hang_up(self) -> None:
        writer, self.writer = self.writer, None
        if writer is not None:
            writer.close()
            if not self.answer.done():
                self.answer.set_exception(ConnectionError())

    async def ask(self, question: bytes) -> bytes:
        for _ in range(3):
            with suppress(OSError):
                self.answer = asyncio.get_running_loop().create_future()
                if self.writer is None:
                    reader, self.writer = await asyncio.open_connection("server", 7)
                    self.made.append(self.writer)
                    self.reading = asyncio.create_task(self.read(reader, self.writer))
                self.writer.write(question)
                return await asyncio.wait_for(self.answer, 2)  # a TimeoutError is an OSError
            if self.closes:
                self.hang_up()
            self.writer = None
        return b""

    async def call(self) -> list[bytes]:
        answers = [await self.ask(question) for question in (b"a\n", b"b\n", b"c\n")]
        self.writer = None
        for writer in self.made:
            writer.close()
        return answers


class Threads:
    """The same with a thread for each connection that reads."""

    def __init__(self, *, looks: bool = False) -> None:
        self.looks = looks
        self.sock: Any = None
        self.made: list[Any] = []

    def read(self, sock: socket.socket) -> None:
        with suppress(OSError), sock.makefile("rb") as lines:
            for line in lines:
                self.answers.append(line)
                self.came.set()
        if self.sock is not None and (sock is self.sock or not self.looks):
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()
            self.sock = None
        self.came.set()

    def ask(self, question: bytes) -> bytes:
        for _ in range(3):
            self.answers: list[bytes] = []
            self.came = threading.Event()
            with suppress(OSError):
                if self.sock is None:
                    self.sock = socket.create_connection(("server", 7))
                    self.made.append(self.sock)
                    threading.Thread(target=self.read, args=(self.sock,), daemon=True).start()
                self.sock.sendall(question)
                if self.came.wait(2) and self.answers:
                    return self.answers[0]
            self.sock = None
        return b""

    def call(self) -> list[bytes]:
        answers = [self.ask(question) for question in (b"a\n", b"b\n", b"c\n")]
        self.sock = None
        for sock in self.made:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        return answers


def sweep(call: Callable[[], list[bytes]], **options: Any) -> SweepResult:
    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        assert net.host("client").run(call) == [b"a\n", b"b\n", b"c\n"]

    return run_sweep(test, SweepOptions.of(target="client", **options))


def told(result: SweepResult) -> list[str]:
    return [each.text for each in result.warnings if each.name == "late-end"]


def by_asyncio(**options: Any) -> list[bytes]:
    return asyncio.run(Caller(**options).call())


def by_threads(**options: Any) -> list[bytes]:
    return Threads(**options).call()


@pytest.mark.parametrize("call", [by_asyncio, by_threads])
def test_who_hangs_up_on_the_new_one_is_warned_of(call: Callable[[], list[bytes]]) -> None:
    (text,) = told(sweep(call))
    assert text.startswith("client hangs up on client->server:7#2, which is whole, and where it waits for an answer, ")
    assert "since client->server:7#1 has ended, which it had given up before" in text


@pytest.mark.parametrize("call", [by_asyncio, by_threads])
def test_who_looks_which_one_has_ended_is_not(call: Callable[..., list[bytes]]) -> None:
    result = sweep(partial(call, looks=True))
    assert not told(result)
    assert result.kinds[-1].kind == "two faults", "it was tried"


def test_of_who_closes_what_it_gives_up_nothing_is_tried() -> None:
    result = sweep(partial(by_asyncio, closes=True))
    assert not told(result)
    assert "two faults" not in {row.kind for row in result.kinds}


def test_it_may_be_a_failure_or_meant() -> None:
    result = sweep(by_asyncio, invariants={"late-end": "failure"})
    (failure,) = result.failures
    assert (failure.reason, failure.host) == ("late-end", "client")
    assert not result.warnings, "it fails again by its own plan"
    assert [fault.kind for fault in failure.plan] == ["stall", "eof"]
    assert not told(sweep(by_asyncio, invariants={"late-end": "off: they belong together"}))
