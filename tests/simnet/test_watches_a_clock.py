"""Code that watches a clock and does nothing else: time passes for it, as fast as a kernel's would, or faster once it has watched for long."""

from __future__ import annotations

import asyncio
import time

import pytest

import simnet
from simnet.scheduling.pace import PACES, pace


def _until(end: float) -> float:
    while time.monotonic() < end:
        pass
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.01, 0.3, 15])
def test_it_sees_its_deadline_a_little_late_at_most(seconds: float) -> None:
    with simnet.Network() as net:
        assert seconds <= net.host("a").run(_until, seconds) < seconds * 1.002 + 0.002


@pytest.mark.slow
def test_in_a_callback_it_may_take_a_minute() -> None:
    """It was taken for a loop that never ends after twenty seconds of that."""

    async def blocks() -> float:
        return _until(60)

    with simnet.Network() as net:
        assert 60 <= net.host("b").run(lambda: asyncio.run(blocks())) < 60.1


def test_timers_of_others_are_on_time_meanwhile() -> None:
    woke = []

    def sleeper() -> None:
        for _ in range(3):
            time.sleep(0.4004)
            woke.append(time.monotonic())

    with simnet.Network() as net:
        net.host("a").spawn(sleeper)
        net.host("b").run(_until, 1.5)
    assert woke == pytest.approx([0.4004, 0.8008, 1.2012])


def test_who_computes_and_looks_now_and_then_sees_little_time_pass() -> None:
    """A hundred thousand looks, as many as lines in a log, with nothing sent meanwhile."""
    with simnet.Network() as net:
        for _ in range(100_000):
            time.time()
        assert net.time == pytest.approx(0.1, abs=0.002)


def test_each_pace_is_faster_than_the_one_before_and_a_thousandth_of_what_has_passed_at_most() -> None:
    ways = [(begin, step_ns / looks, step_ns) for begin, looks, step_ns in PACES]
    assert ways == sorted(ways, reverse=True)
    passed_ns = 0
    for moves in range(20_000):
        _, step_ns = pace(moves)
        assert step_ns <= max(1_000_000, passed_ns / 500)
        passed_ns += step_ns


def _in_a_loop() -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_asks_again_and_again(loop))
    finally:
        loop.close()


async def _asks_again_and_again(loop: asyncio.AbstractEventLoop) -> None:
    await _looks_until(loop, loop.create_future())


async def _looks_until(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    while not done.done():
        loop.time()


@pytest.mark.slow
def test_who_watches_in_a_callback_for_ever_is_told_with_the_line_that_does() -> None:
    line = _looks_until.__code__.co_firstlineno + 2
    with (
        pytest.raises(
            simnet.Deadlock, match=rf"waits for a clock to move at test_watches_a_clock\.py:{line} in _looks"
        ),
        simnet.Network() as net,
    ):
        net.host("a").run(_in_a_loop)
