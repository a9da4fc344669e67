"""A task of trio's that gives up tells nobody but the task: is a stall that made it do so the program's own fault?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.result import SweepResult
from simnet.explore.sweep import run_sweep

trio: Any = pytest.importorskip("trio", reason="trio is not installed: it comes with the extra `guests`")
PATIENCE, A_BEAT, LATE = 30, 25, 1.0  # seconds; a stall takes 61


async def echo(stream: Any) -> None:
    async for data in stream:
        await stream.send_all(data)


async def beat() -> None:
    while True:
        await trio.sleep(A_BEAT)


async def ask(waits: Callable[[Any], Awaitable[None]]) -> None:
    async with trio.open_nursery() as nursery, await trio.open_tcp_stream("server", 7) as stream:
        nursery.start_soon(beat)
        await stream.send_all(b"x")
        await waits(stream)
        nursery.cancel_scope.cancel()


async def give_up(stream: Any) -> None:
    with trio.move_on_after(PATIENCE):
        await stream.receive_some()
        return
    await trio.sleep_forever()  # a program that is less simple would say so


async def give_up_in_a_generator(stream: Any) -> None:
    @asynccontextmanager
    async def asked() -> AsyncIterator[None]:
        await give_up(stream)
        yield

    async with asked():
        pass


async def look_now_and_then(stream: Any) -> None:
    answered = trio.Event()

    async def read() -> None:
        await stream.receive_some()
        answered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        while not answered.is_set():
            with trio.move_on_after(PATIENCE):
                await answered.wait()


def swept(waits: Callable[[Any], Awaitable[None]]) -> SweepResult:
    """A client that waits so beside a heart that beats; the outcome is whether it had its answer soon."""

    def body(net: Any) -> bool:
        net.host("server").spawn(trio.run, trio.serve_tcp, echo, 7)
        client = net.host("client").spawn(trio.run, ask, waits)
        net.sleep(LATE)
        return bool(client.done)

    return run_sweep(body, SweepOptions.of(target="server", kinds=["stall"]))


@pytest.mark.slow
@pytest.mark.parametrize("waits", [give_up, give_up_in_a_generator])
def test_a_task_that_gives_up_without_a_call_has_met_its_deadline_though_its_loop_only_sleeps_again(waits: Any) -> None:
    result = swept(waits)
    assert not result.failures
    assert [each.name for each in result.warnings] == ["waits-for-ever"]  # the server's, for one that is silent


@pytest.mark.slow
def test_one_that_looks_again_and_waits_as_before_has_given_up_nothing() -> None:
    result = swept(look_now_and_then)
    assert result.failed
    assert not result.noted
    assert {each.finding.reason for each in result.failures} == {"outcome"}
