"""A task of asyncio that reads the end again and again, with a time-out: once a few such runs were seen to their end, the next is stopped sooner."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from simnet.run import Run, play


def hangs_up(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        listener.accept()[0].close()


async def reads_the_end() -> None:
    reader, _ = await asyncio.open_connection("server", 7)
    while not (await asyncio.wait_for(reader.readline(), 5)).endswith(b"\n"):
        pass


def spins(*, hurried: bool) -> Run:
    def test(net: Any) -> None:
        net.host("server").spawn(hangs_up, 7)
        net.host("client").run(lambda: asyncio.run(reads_the_end()))

    return play(test, target="client", hurried=hurried)


@pytest.mark.slow
def test_it_is_told_that_it_spins_and_not_after_a_second() -> None:
    run = spins(hurried=True)
    assert "no-spin" in [verdict.name for verdict in run.verdicts]
    assert run.time_ns < 500_000_000
