"""Locks, and what waits on them: what they are asked is looked at as CPython does it, and nothing is left behind that is wrong."""

from __future__ import annotations

import _thread
import math
import queue
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import pytest

from simnet.arguments.polls import OUT_OF_RANGE
from tests.contract.worlds import World

RANGE, NUMBER = OUT_OF_RANGE, "Invalid value NaN (not a number)"

an_integer = pytest.mark.skipif(sys.version_info >= (3, 12), reason="whether it blocks may be anything from 3.12 on")


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param((0.5,), "'float' object cannot be interpreted as an integer", marks=an_integer),
        pytest.param((None,), "'NoneType' object cannot be interpreted as an integer", marks=an_integer),
        ((True, "x"), "'str' object cannot be interpreted as an integer"),
        ((True, Fraction(1, 2)), "'Fraction' object cannot be interpreted as an integer"),
        ((True, math.nan), NUMBER),
        ((True, math.inf), RANGE),
        ((False, "x"), "'str' object cannot be interpreted as an integer"),
    ],
    ids=repr,
)
def test_what_is_no_way_to_wait_for_a_lock(world: World, kind: str, asked: Any, error: str) -> None:
    lock = getattr(threading, kind)()
    with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
        lock.acquire(*asked)
    assert str(raised.value) == error
    assert lock.acquire(timeout=True)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (math.inf, RANGE),
        (1e300, RANGE),
        (Fraction(1, 2), "'Fraction' object cannot be interpreted as an integer"),
        ("x", "'>' not supported between instances of 'str' and 'int'"),
        (math.nan, None),
        (-math.inf, None),
    ],
    ids=repr,
)
def test_a_condition_has_its_lock_again_whatever_it_was_asked(world: World, timeout: Any, error: str | None) -> None:
    condition = threading.Condition()
    with condition:
        if error is None:
            assert not condition.wait(timeout)
        else:
            with pytest.raises((TypeError, OverflowError)) as raised:
                condition.wait(timeout)
            assert str(raised.value) == error
    assert not vars(condition)["_waiters"]


def test_who_waits_for_no_number_of_seconds_waits_not(world: World) -> None:
    assert not threading.Event().wait(math.nan)
    with pytest.raises(TimeoutError):
        Future().result(math.nan)


@pytest.mark.slow
def test_a_notification_to_who_has_waited_in_vain_is_lost(world: World) -> None:
    condition = threading.Condition()
    told: dict[str, bool] = {}

    def wait(name: str, timeout: float) -> None:
        with condition:
            told[name] = condition.wait(timeout)

    first = threading.Thread(target=wait, args=("first", 0.15))
    first.start()
    time.sleep(0.005)
    second = threading.Thread(target=wait, args=("second", 0.5))
    second.start()
    time.sleep(0.005)
    with condition:
        time.sleep(0.25)  # the first one waits for the lock by now
        condition.notify()
    first.join()
    second.join()
    assert told == {"first": False, "second": False}


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (math.nan, NUMBER),
        (math.inf, RANGE),
        (Fraction(1, 2), "'Fraction' object cannot be interpreted as an integer"),
        ("x", "'>' not supported between instances of 'int' and 'str'"),
    ],
    ids=repr,
)
def test_what_is_no_time_to_wait_for_a_thread(world: World, timeout: Any, error: str) -> None:
    thread = threading.Thread(target=int)
    thread.start()
    time.sleep(0.01)  # CPython's own loses one that goes on
    with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
        thread.join(timeout)
    assert str(raised.value) == error


def test_a_thread_of_a_pool_cannot_wait_for_the_end_of_that(world: World) -> None:
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(pool.shutdown).exception(9)
    assert str(error) == "cannot join current thread"


@pytest.mark.parametrize("options", [None, [], ()])
def test_what_is_no_dictionary_begins_no_thread(world: World, options: Any) -> None:
    with pytest.raises(TypeError, match="optional 3rd arg must be a dictionary"):
        _thread.start_new_thread(int, (), options)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ((False, -1), ""),
        ((False, 1), ""),
        ((False, math.nan), ""),
        ((False, "x"), ""),
        ((True, -1), "'timeout' must be a non-negative number"),
        ((True, -math.inf), RANGE),
        ((True, math.nan), NUMBER),
        ((True, math.inf), RANGE),
        ((True, "x"), "'str' object cannot be interpreted as an integer"),
        ((True, 0), ""),
        (([], 0), ""),
    ],
    ids=repr,
)
def test_what_is_no_way_to_wait_for_a_simple_queue(world: World, asked: Any, error: str) -> None:
    things: Any = queue.SimpleQueue()
    for full in (False, True):
        if full:
            things.put("thing")
        if full and not error:
            assert things.get(*asked) == "thing"
            continue
        with pytest.raises((TypeError, ValueError, OverflowError, queue.Empty)) as raised:
            things.get(*asked)
        assert str(raised.value) == error
        assert things.qsize() == full
