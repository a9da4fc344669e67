"""A deadline over all that a program does is no time-out that it has without the fault: not the pause between two questions, of which it cuts one short."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from tests.quality.museum_callers import answer

PATIENCE = 20.0  # seconds


async def ask(answers: list[bytes], patience: float) -> str:
    """Four questions, with a pause behind each, and not more than so much time for all of them."""

    async def each() -> None:
        reader, writer = await asyncio.open_connection("server", 7)
        try:
            for number in range(4):
                writer.write(b"question %d\n" % number)
                answers.append(await reader.readuntil(b"\n"))
                await asyncio.sleep(1)
        finally:
            writer.close()

    try:
        await asyncio.wait_for(each(), patience)
    except TimeoutError:
        return "gave up"
    except (OSError, asyncio.IncompleteReadError):
        return "is broken"
    return "has asked"


@pytest.mark.slow
def test_who_has_so_much_time_for_all_of_it_may_give_up_in_a_pause_that_it_makes_anyway() -> None:
    def test(net: Any) -> object:
        answers: list[bytes] = []
        net.host("server").spawn(answer, 7)
        return net.host("client").run(asyncio.run, ask(answers, PATIENCE)), answers

    result = run_sweep(test, SweepOptions.of(target="client", kinds="stall"))
    assert result.ok, [report.text() for report in result.reports()]
    assert result.noted


def test_so_may_who_looks_at_a_clock_and_sleeps_as_long_each_time() -> None:
    def look() -> bytes:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"question\n")
            sock.setblocking(False)
            came, end = b"", time.monotonic() + PATIENCE
            while not came.endswith(b"\n") and time.monotonic() < end:
                time.sleep(0.5)
                with suppress(BlockingIOError):
                    came += sock.recv(100)
            return came

    def test(net: Any) -> bytes:
        net.host("server").spawn(answer, 7)
        came: bytes = net.host("client").run(look)
        return came

    result = run_sweep(test, SweepOptions.of(target="client", kinds="stall"))
    assert result.ok, [report.text() for report in result.reports()]


def test_a_pause_as_long_as_without_the_fault_is_no_deadline() -> None:
    """Behind it the client takes what one read brings for all of the answer, and closes: that is its mistake."""

    async def take() -> list[bytes]:
        reader, writer = await asyncio.open_connection("server", 7)
        answers = []
        for _ in range(2):
            writer.write(b"question\n")
            answers.append(await reader.read(100))
            await asyncio.sleep(1)
        writer.close()
        return answers

    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(answer, 7)
        answers: list[bytes] = net.host("client").run(asyncio.run, take())
        return answers

    result = run_sweep(test, SweepOptions.of(target="client", kinds="stall"))
    assert sum(failure.count for failure in result.failures) >= 16  # in the midst of each of two answers
