"""How programs on trio end: in silence wherever they stand, children first; and by a verdict where they spin, with their own line."""

from __future__ import annotations

import socket
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

import simnet
from tests.simnet.silence import in_silence
from tests.simnet.test_trio import ask, serve

pytestmark = pytest.mark.slow  # each is a few sweeps

trio: Any = pytest.importorskip("trio", reason="trio is not installed: it comes with the extra `guests`")


def test_where_a_program_is_ended_a_task_ends_behind_those_that_it_began() -> None:
    told: list[str] = []

    async def waits(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            told.append(name)

    async def main() -> None:
        try:
            async with trio.open_nursery() as nursery:
                for name in ("first", "second"):
                    nursery.start_soon(waits, name)
        finally:
            told.append("main")

    with simnet.Network() as net:
        net.host("server").spawn(trio.run, main)
        net.run(1)
        net.host("server").crash()
    assert told == ["second", "first", "main"]


def test_a_server_that_is_ended_wherever_it_stands_complains_of_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with in_silence(capfd), simnet.Network() as net:
        host = net.host("server")
        host.spawn(serve)
        trio.run(ask)
        host.crash()
        host.restart()
        host.spawn(serve)


async def ticks(pause: float) -> Any:
    try:
        while True:
            yield 1
            await trio.sleep(pause)
    finally:
        await trio.sleep(1)


async def linger() -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)


@pytest.mark.parametrize("pause", [0, 1000], ids=["in-its-task", "in-its-generator"])
def test_one_that_waits_in_its_finally_code_and_in_its_generators_is_ended_in_silence(
    pause: float, capfd: pytest.CaptureFixture[str]
) -> None:
    async def nest() -> None:
        async with AsyncExitStack() as stack:
            for _ in range(5):
                nursery = await stack.enter_async_context(trio.open_nursery())
                nursery.start_soon(linger)
            await trio.sleep_forever()

    async def outer() -> None:
        await nest()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(linger)
            nursery.start_soon(outer)
            nursery.start_soon(trio.to_thread.run_sync, time.sleep, 1000)
            async for _ in ticks(pause):
                await trio.sleep(1)

    with in_silence(capfd):
        with simnet.Network() as net:
            host = net.host("server")
            host.spawn(trio.run, main)
            net.sleep(2.5)
            host.crash()
            host.restart()
            host.spawn(trio.run, main)
            net.sleep(2.5)
        del host, net


def test_a_run_that_breaks_off_in_trios_own_code_is_ended_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(trio.abc.Clock):  # type: ignore[misc]
        """A clock that Ctrl-C hits at the fifth look."""

        looks = 0

        def start_clock(self) -> None:
            pass

        def current_time(self) -> float:
            self.looks += 1
            if self.looks == 5:
                raise KeyboardInterrupt
            return self.looks

        def deadline_to_sleep_time(self, deadline: float) -> float:
            return deadline - self.current_time()

    async def main() -> None:
        async with await trio.open_tcp_stream("server", 7), trio.open_nursery() as nursery:
            nursery.start_soon(linger)

    with in_silence(capfd), simnet.Network() as net:
        net.host("server").spawn(serve)
        with pytest.raises(trio.TrioInternalError):
            trio.run(main, clock=Broken())


# --- spinning --------------------------------------------------------------------------------------------------------


def test_tasks_that_yield_and_never_wait_are_told_by_their_lines() -> None:
    async def spin() -> None:
        while True:
            await trio.sleep(0)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(spin)

    with (
        pytest.raises(BaseException, match=r"wait for nothing: test_trio_ends\.py:\d+ in spin\."),
        simnet.Network() as net,
    ):
        net.host("server").run(trio.run, main)


async def reads_on() -> None:
    async with await trio.open_tcp_stream("server", 7) as stream:
        data = b""
        while not data.endswith(b"\n"):
            data += await stream.receive_some()


async def has_no_time() -> None:
    while True:
        with trio.move_on_after(0):
            await trio.sleep_forever()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        pytest.param(
            reads_on, "recv on test->server:7#1. A read that gives b'' is the end of the input", id="at-the-end"
        ),
        pytest.param(has_no_time, r"wait for nothing: test_trio_ends.py:\d+ in has_no_time", id="without-time"),
    ],
)
def test_who_spins_is_told_so_though_trio_looks_at_the_clock_in_each_turn(
    program: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simnet.scheduling.stuck.BUSY_MAX", 50)

    def goes_away() -> None:
        with socket.create_server(("", 7)) as listener:
            listener.accept()[0].close()

    with pytest.raises(BaseException, match=told), simnet.Network() as net:
        net.host("server").spawn(goes_away)
        trio.run(program)
    assert net.time < 1


def test_who_looks_at_a_clock_and_lets_others_run_until_it_is_time_does_not_spin() -> None:
    async def until(seconds: float) -> None:
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            await trio.lowlevel.checkpoint()

    with simnet.Network() as net:
        net.host("client").run(trio.run, until, 0.1)
        assert 0.1 <= net.time < 0.11
