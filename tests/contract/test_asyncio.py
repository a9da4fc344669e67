"""asyncio's loop on either world: the order in which it does what was asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.worlds import World

SOON = 0.03  # seconds; who is set aside for longer between two looks at the clock finds the time over at once


class Order:
    """What was done, one after the other, and whether it was all."""

    def __init__(self, number: int) -> None:
        self.done: list[int] = []
        self.all = asyncio.Event()
        self.number = number

    def note(self, each: int) -> None:
        self.done.append(each)
        if len(self.done) == self.number:
            self.all.set()


async def set_by_call_later(done: Callable[[int], object], number: int) -> None:
    asyncio.get_running_loop().call_later(SOON, done, number)


async def slept(done: Callable[[int], object], number: int) -> None:
    async def sleeper() -> None:
        await asyncio.sleep(SOON)
        done(number)

    asyncio.create_task(sleeper()).add_done_callback(asyncio.Task.result)


async def timed_out(done: Callable[[int], object], number: int) -> None:
    async def waiter() -> None:
        try:
            async with asyncio.timeout(SOON):
                await asyncio.Event().wait()
        except TimeoutError:
            done(number)

    asyncio.create_task(waiter()).add_done_callback(asyncio.Task.result)


@pytest.mark.slow
@pytest.mark.parametrize("by", [set_by_call_later, slept, timed_out], ids=["call_later", "sleep", "timeout"])
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_of_what_was_set_for_the_same_delay_the_first_is_the_first(world: World, by: Any, debug: bool) -> None:
    async def main() -> list[int]:
        order = Order(12)
        for each in range(12):
            await by(order.note, each)
        await order.all.wait()
        return order.done

    assert asyncio.run(main(), debug=debug) == list(range(12))


def test_a_timer_that_was_taken_back_leaves_the_others_in_order(world: World) -> None:
    async def main() -> list[int]:
        loop, order = asyncio.get_running_loop(), Order(150)
        timers = [loop.call_later(SOON, order.note, each) for each in range(300)]
        for timer in timers[::2]:
            timer.cancel()
        await order.all.wait()
        return order.done

    assert asyncio.run(main()) == list(range(1, 300, 2))


def test_what_is_set_for_one_and_the_same_time_has_no_order(world: World) -> None:
    async def main() -> list[int]:
        loop, order = asyncio.get_running_loop(), Order(10)
        when = loop.time() + SOON
        for each in range(10):
            loop.call_at(when, order.note, each)
        await order.all.wait()
        return order.done

    assert asyncio.run(main()) == [0, 2, 6, 9, 8, 5, 7, 4, 1, 3]  # a heap of equals


def test_a_timer_says_what_it_is_and_where_it_was_set(world: World) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        timer = loop.call_later(60, print)
        assert isinstance(timer, asyncio.TimerHandle)
        assert type(timer).__name__ == "TimerHandle"
        assert f"<TimerHandle when={timer.when()}" in repr(timer)
        assert repr(timer).endswith(f"created at {__file__}:{main.__code__.co_firstlineno + 3}>")
        other = loop.call_at(timer.when(), print)
        assert not timer < other
        assert timer <= other
        assert timer == timer
        assert hash(timer) == hash(other)
        for each in (timer, other):
            each.cancel()

    asyncio.run(main())
