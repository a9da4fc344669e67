"""Two runs differ: the report names the globals, class attributes and objects of the user's modules that each run changes."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from simnet.explore.baseline import NotRepeatable
from simnet.explore.check import check, sweep
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep

pytestmark = pytest.mark.slow  # each is a few sweeps

PROGRAM = """
import asyncio, functools, itertools, queue, random, threading, types

IDS = itertools.count(1)
SEEN = {}
RETRY = random.Random(1)
LIMIT = 10
COUNTERS = {"logins": 1, "by": {}}
ROOMS = {"attic", "cellar", "den", "hall", "room 1"}
LOCK = asyncio.Lock()
STOP = asyncio.Event()
PLACES = threading.BoundedSemaphore(9)
JOBS = queue.Queue()

class Pool:
    made = 0
    unread = bytearray()

@functools.lru_cache
def address_of(name):
    return name

class Registry:
    def __init__(self):
        self.last = 0

REGISTRY = Registry()
OF_ANOTHER = types.SimpleNamespace(last=0)
ODD = type("Odd", (), {"__module__": property(lambda self: "nowhere")})()  # as some that are made in C
MANY = type("Many", (), {"__module__": __name__, **dict.fromkeys("abcdef", 0)})
"""


@pytest.fixture
def program(tmp_path: Any) -> Iterator[Any]:
    """A module of the user's, loaded from a file."""
    file = tmp_path / "ids_of_mine.py"
    file.write_text(PROGRAM)
    module = ModuleType("ids_of_mine")
    module.__file__ = str(file)
    exec(compile(PROGRAM, str(file), "exec"), vars(module))  # as importlib does
    sys.modules["ids_of_mine"] = module
    yield module
    del sys.modules["ids_of_mine"]


def number(program: Any) -> int:
    return next(program.IDS)


def entry(program: Any) -> int:
    program.SEEN[len(program.SEEN)] = True
    return len(program.SEEN)


def dice(program: Any) -> float:
    drawn: float = program.RETRY.random()
    return drawn


def attribute(program: Any) -> int:
    program.Pool.made += 1
    made: int = program.Pool.made
    return made


def left_over(program: Any) -> bytes:
    program.Pool.unread += b"."
    return bytes(program.Pool.unread)


def of_an_object(program: Any) -> int:
    program.REGISTRY.last += 1
    last: int = program.REGISTRY.last
    return last


def counter(program: Any) -> int:
    program.COUNTERS["logins"] += 1
    logins: int = program.COUNTERS["logins"]
    return logins


def member(program: Any) -> str:
    last: str = max(program.ROOMS)
    program.ROOMS.remove(last)
    program.ROOMS.add(f"room {int(last[-1]) + 1}")
    return last


def cached(program: Any) -> int:
    """How often it had to look, each time for another name."""
    program.address_of(program.address_of.cache_info().misses)
    misses: int = program.address_of.cache_info().misses
    return misses


def lock(program: Any) -> str:
    async def both() -> None:
        await asyncio.gather(held(), held())

    async def held() -> None:
        async with program.LOCK:
            await asyncio.sleep(1)

    try:
        asyncio.run(both())
    except RuntimeError as error:
        return str(error).rpartition("> ")[2]
    return ""


def place(program: Any) -> int:
    program.PLACES.acquire()
    left: int = program.PLACES._value
    return left


def job(program: Any) -> int:
    program.JOBS.put(1)
    waiting: int = program.JOBS.qsize()
    return waiting


def event(program: Any) -> bool:
    was: bool = program.STOP.is_set()
    program.STOP.set()
    return was


BOUND = "belongs to the event loop of an earlier run: name it, or make it in the coroutine that is run"


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (counter, "ids_of_mine:COUNTERS was {'logins': 3, 'by': {}}, then {'logins': 4, 'by': {}}"),
        (
            member,
            "ids_of_mine:ROOMS was {'attic', 'cellar', 'den', 'hall', 'room 3'}, then {'attic', 'cellar', 'den', 'hall', 'room 4'}",
        ),
        (lock, f"ids_of_mine:LOCK, an asyncio.Lock, {BOUND}"),
        (place, "ids_of_mine:PLACES was a threading.BoundedSemaphore of 7, then a threading.BoundedSemaphore of 6"),
        (job, "ids_of_mine:JOBS was a queue.Queue of 2, then a queue.Queue of 3"),
        (cached, "ids_of_mine:address_of was an lru_cache of 2, then an lru_cache of 3"),
        (number, "ids_of_mine:IDS was count(3), then count(4)"),
        (entry, "ids_of_mine:SEEN was a dict of 2, then a dict of 3"),
        (dice, "ids_of_mine:RETRY, a random.Random, has gone on"),
        (attribute, "ids_of_mine:Pool.made was 2, then 3"),
        (left_over, "ids_of_mine:Pool.unread was bytearray(b'..'), then bytearray(b'...')"),
        (of_an_object, "ids_of_mine:REGISTRY.last was 2, then 3"),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_what_each_run_changes_is_named(program: Any, draw: Callable[[Any], object], told: str) -> None:
    def counts(net: Any) -> object:
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            return draw(program)

    with pytest.raises(NotRepeatable) as caught:
        run_sweep(counts)
    assert f"\n\nstays     {told}\n" in f"{caught.value}\n"


def of_anothers_object(program: Any) -> int:
    program.OF_ANOTHER.last += 1
    last: int = program.OF_ANOTHER.last
    return last


def many(program: Any) -> int:
    for name in "abcdef":
        setattr(program.MANY, name, program.MANY.a + 1)
    drawn: int = program.MANY.a
    return drawn


@pytest.mark.parametrize(("draw", "told"), [(of_anothers_object, 0), (many, 4)])
def test_what_others_objects_hold_is_not_named_and_of_many_the_first_few_are(
    program: Any, draw: Any, told: int
) -> None:
    def counts(net: Any) -> object:
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            return draw(program)

    with pytest.raises(NotRepeatable) as caught:
        run_sweep(counts)
    assert str(caught.value).count("ids_of_mine:") == told


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("IDS", number),
        ("SEEN", entry),
        ("PLACES", place),
        ("JOBS", job),
        ("RETRY", dice),
        ("Pool.made", attribute),
        ("REGISTRY.last", of_an_object),
        ("COUNTERS", counter),
        ("ROOMS", member),
        ("address_of", cached),
        ("LOCK", lock),
        ("STOP", event),
    ],
)
def test_by_the_name_that_is_told_it_can_be_made_new_in_each_process(program: Any, name: str, draw: Any) -> None:
    def counts(net: Any) -> object:
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            return net.host("client").run(draw, program)

    assert run_sweep(counts, SweepOptions.of(runs=1, target="server", per_process=[f"ids_of_mine:{name}"])).runs == 1


def test_where_nothing_of_the_users_changes_nothing_is_named() -> None:
    count = itertools.count()  # of a closure: nobody could name it

    def counts(net: Any) -> object:
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            return next(count), random.random()

    with pytest.raises(NotRepeatable) as caught:
        run_sweep(counts)
    assert "\nstays " not in str(caught.value)


def test_a_module_of_the_interpreters_own_without_a_file_is_nobodys() -> None:
    def imports(net: Any) -> object:
        with net.host("server").listen(7), socket.create_connection(("server", 7)):
            sys.modules[f"made {len(sys.modules)}"] = sys
            return len(sys.modules)

    try:
        with pytest.raises(NotRepeatable) as caught:
            run_sweep(imports)
    finally:
        for name in [each for each in sys.modules if each.startswith("made ")]:
            del sys.modules[name]
    assert "sys:modules" not in str(caught.value)


class Kept:
    """As a user's own, by its module: what a fixture, or ``setUp``, has made before all runs."""

    def __init__(self) -> None:
        self.received: list[int] = []

    @sweep
    def test_it(self, net: Any) -> int:
        self.received.append(7)
        return len(self.received)

    def played(self, net: Any) -> int:
        self.received.append(7)
        return len(self.received)


def told_by(run: Callable[[], object]) -> str:
    with pytest.raises(NotRepeatable) as refused:
        run()
    (line,) = (each for each in str(refused.value).splitlines() if each.startswith("stays"))
    return line


def test_what_a_test_has_been_given_once_is_named() -> None:
    once = "and is made once, before all runs: make it in the test, or by a @simnet.fixture"

    @sweep
    def test_it(net: Any, received: list[int]) -> int:
        received.append(7)
        return len(received)

    assert told_by(lambda: test_it([])) == f"stays     received was a list of 2, then a list of 3, {once}"
    assert told_by(lambda: test_it(received=[])) == f"stays     received was a list of 2, then a list of 3, {once}"
    assert told_by(Kept().test_it) == f"stays     self.received was a list of 2, then a list of 3, {once}"
    assert told_by(lambda: check(Kept().played)) == f"stays     self.received was a list of 2, then a list of 3, {once}"
