"""asyncio's policy is a program's, and the loop that it knows is a thread's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import simnet


class Chosen(asyncio.DefaultEventLoopPolicy):
    """A policy that a test has set."""


class Everywhere(asyncio.DefaultEventLoopPolicy):
    """One that makes a loop for each thread that asks, as tornado has one."""

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        try:
            return super().get_event_loop()
        except RuntimeError:
            self.set_event_loop(self.new_event_loop())
            return super().get_event_loop()


def test_the_policy_that_was_set_before_the_run_is_every_processes() -> None:
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(chosen := Chosen())
    try:
        with simnet.Network() as net:
            assert net.host("one").run(asyncio.get_event_loop_policy) is chosen
            net.host("two").run(asyncio.set_event_loop_policy, None)
            assert asyncio.get_event_loop_policy() is chosen
        assert asyncio.get_event_loop_policy() is chosen
    finally:
        asyncio.set_event_loop_policy(before)


@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
def test_a_policy_is_a_programs_and_each_of_its_threads_has_a_loop_of_its_own(simnet_network: Any) -> None:
    def program() -> tuple[bool, bool, bool]:
        first = asyncio.new_event_loop()
        asyncio.set_event_loop(first)
        with ThreadPoolExecutor(1) as pool:
            with pytest.raises(RuntimeError, match="no current event loop in thread"):
                pool.submit(asyncio.get_event_loop).result()
            asyncio.set_event_loop_policy(chosen := Everywhere())
            asyncio.set_event_loop(first)
            policy = pool.submit(asyncio.get_event_loop_policy).result()
            second, third = (pool.submit(asyncio.get_event_loop).result() for _ in range(2))
        for loop in (first, second):
            loop.close()
        return policy is chosen, second is third, second is not first

    assert simnet_network.host("server").run(program) == (True, True, True)
    assert program() == (True, True, True)
    asyncio.set_event_loop_policy(None)


def test_a_loop_that_a_chosen_policy_knew_before_the_run_is_nobodys_in_it() -> None:
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(chosen := Chosen())
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    try:
        with simnet.Network() as net:
            net.host("one").run(asyncio.run, asyncio.sleep(1))
            asyncio.run(asyncio.sleep(1))
            net.host("one").run(asyncio.set_event_loop, None)
        assert chosen.get_event_loop() is loop
        assert not loop.is_closed()
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        asyncio.set_event_loop_policy(before)


def test_a_pools_thread_keeps_the_loop_that_its_initializer_has_set(simnet_network: Any) -> None:
    def begin() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())

    def program() -> int:
        with ThreadPoolExecutor(2, initializer=begin) as pool:
            loops = {pool.submit(asyncio.get_event_loop).result() for _ in range(5)}
        for loop in loops:
            loop.close()
        return len(loops)

    assert simnet_network.host("server").run(program) == 1
