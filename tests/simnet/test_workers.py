"""The greenlets that processes run on: each has the whole stack, whoever began it, and wherever."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import simnet

MANY = 300  # of which each begins the next: some 15 frames of the interpreter's 1,000 each time


def depth_left() -> int:
    """How many calls are left before the interpreter has had enough."""

    def deeper(steps: int) -> int:
        try:
            return deeper(steps + 1)
        except RecursionError:
            return steps

    return deeper(0)


def test_threads_begin_threads_that_begin_threads(simnet_network: Any) -> None:
    begun: list[int] = []

    def begin(left: int, waits: bool) -> None:
        begun.append(left)
        if left:
            thread = threading.Thread(target=begin, args=(left - 1, waits))
            thread.start()
            if waits:
                thread.join()

    def main(waits: bool) -> None:
        threading.Thread(target=begin, args=(MANY, waits)).start()

    for waits in (False, True):
        simnet_network.host("a").run(main, waits)
    assert begun == [*range(MANY, -1, -1)] * 2


def test_work_hands_work_to_its_pool(simnet_network: Any) -> None:
    done: list[int] = []

    def main() -> None:
        def step(left: int) -> None:
            done.append(left)
            if left:
                pool.submit(step, left - 1)

        pool = ThreadPoolExecutor(MANY)
        pool.submit(step, MANY - 1)

    simnet_network.host("a").run(main)
    assert len(done) == MANY


def test_who_gets_the_greenlet_of_another_has_as_much_of_the_stack() -> None:
    """Else a run would depend on those before it."""

    def nest(net: simnet.Network, left: int) -> None:
        if left:
            net.host("a").run(nest, net, left - 1)

    def left() -> list[int]:
        found: list[int] = []
        with simnet.Network() as net:
            gate = threading.Event()
            for _ in range(12):
                net.host("b").spawn(lambda: [gate.wait(), found.append(depth_left())])
            gate.set()
        return found

    before = left()
    assert len(set(before)) == 1
    with simnet.Network() as net:
        net.host("a").run(nest, net, 20)
    assert left() == before
    assert before[0] > sys.getrecursionlimit() // 2
