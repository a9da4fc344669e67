"""Globals that each process of each run finds fresh, and what a network leaves behind that cannot be entered: nothing."""

from __future__ import annotations

import asyncio
import enum
import itertools
import queue as threads
import random
import signal
import socket
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import simnet
from dispatch import asyncore
from simnet import tellers
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.owned.fresh import copied, maker_of
from simnet.realnet import RealNetwork

WORLDS = pytest.mark.parametrize("world", [simnet.Network, RealNetwork])


counters: dict[str, Any] = {"logins": 0, "port": 5000, "by": {"ann": [1]}}
going = True
rooms: dict[str, object] = {"hall": object()}
queue: asyncio.Queue[int] = asyncio.Queue(maxsize=2)
line: threads.Queue[int] = threads.Queue(maxsize=2)
jobs: threads.SimpleQueue[int] = threads.SimpleQueue()
places, ready, changed = threading.BoundedSemaphore(3), threading.Event(), threading.Condition()
door, gate = threading.Lock(), threading.RLock()
seats = asyncio.BoundedSemaphore(3)
NAMED = [f"{__name__}:{name}" for name in ("counters", "going", "rooms", "queue", "seats")]


class Doors:
    """What a copy cannot be made of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def number(self) -> int:
        return 7


doors = Doors()
numbers: defaultdict[str, int] = defaultdict(doors.number, hall=1)


class Pair(NamedTuple):
    one: int
    other: int


class Color(enum.IntEnum):
    RED = 1


clients: defaultdict[str, list[int]] = defaultdict(list)
latest_port = 5000
latest: deque[int] = deque(maxlen=2)
unread = bytearray()


class Pools(dict[str, list[str]]):
    """A program's own, which is made of something, and keeps some of it; what else it has is its own."""

    def __init__(self, most: int, pop: int = 0, *, wait: float = 1.0) -> None:
        self.most, self.wait, self.asked = most, wait, [pop]

    def __missing__(self, name: str) -> list[str]:
        self.asked.append(1)
        return self.setdefault(name, [f"{self.most} at most, {self.wait} s"])


pools = Pools(4, wait=2.5)
pair = Pair(1, 2)
color = Color.RED
moment = datetime


@WORLDS
def test_a_fresh_container_is_made_as_the_first_one_was(world: Any) -> None:
    def use() -> tuple[list[int], list[int]]:
        clients["a"].append(1)
        latest.extend((1, 2, 3))
        return clients["a"], list(latest)

    with world(per_process=[f"{__name__}:clients", f"{__name__}:latest"]) as net:
        assert net.host("a").run(use) == ([1], [2, 3])
        assert net.host("b").run(use) == ([1], [2, 3])
        assert use() == ([1], [2, 3])
    assert not clients
    assert not latest


@WORLDS
def test_a_fresh_container_of_a_programs_own_is_made_of_what_the_first_one_has_kept(world: Any) -> None:
    """Those of kombu were made of nothing, and knew no limit."""

    def use() -> tuple[list[str], list[int], int, list[str]]:
        pools.most += 1
        del pools.wait
        return pools["a"][:0], pools.asked, pools.most, sorted(vars(pools))

    def read() -> tuple[list[str], list[int]]:
        return pools["a"], pools.asked

    with world(per_process=[f"{__name__}:pools"]) as net:
        for name in "ab":
            with pytest.raises(AttributeError, match="wait"):
                net.host(name).run(use)
            assert net.host(name.upper()).run(read) == (["4 at most, 2.5 s"], [0, 1])
            assert net.host(f"{name}-without").run(lambda: vars(pools)) == {"most": 4, "wait": 2.5, "asked": [0]}
    assert not pools
    assert vars(pools) == {"most": 4, "wait": 2.5, "asked": [0]}


def test_a_fresh_buffer_is_empty_too() -> None:
    def use() -> bytes:
        unread.extend(b"hello")
        return bytes(unread)

    with simnet.Network(per_process=[f"{__name__}:unread"]) as net:
        assert net.host("a").run(use) == net.host("b").run(use) == b"hello"
    assert not unread


@WORLDS
def test_what_is_plain_begins_as_its_module_made_it_and_else_empty(world: Any) -> None:
    def use() -> object:
        global going
        counters["logins"] += 1
        counters["by"].setdefault("ann", []).append(2)
        before, going = going, False
        rooms["den"] = None
        queue.put_nowait(1)
        return counters.copy(), before, list(rooms), queue.qsize(), queue.maxsize, seats._value

    begun = ({"logins": 1, "port": 5000, "by": {"ann": [1, 2]}}, True, ["den"], 1, 2, 3)
    for _ in range(2):
        with world(per_process=NAMED) as net:
            assert net.host("a").run(use) == begun
    assert (counters["logins"], counters["by"], going, list(rooms)) == (0, {"ann": [1]}, True, ["hall"])


@WORLDS
def test_what_makes_the_values_that_a_global_lacks_is_the_same_in_each_process(world: Any) -> None:
    def use() -> object:
        assert numbers.default_factory.__self__ is doors  # type: ignore[union-attr]
        return numbers["hall"], numbers["den"], numbers.pop("hall")

    for _ in range(2):
        with world(per_process=[f"{__name__}:numbers"]) as net:
            assert net.host("a").run(use) == (1, 7, 1)
    assert numbers == {"hall": 1}


@pytest.mark.parametrize(
    ("value", "is_plain"),
    [
        ([0] * 1_000, True),
        ([0] * 1_001, False),
        ({"a": ([{1}],)}, True),
        ({"a": ([[{1}]],)}, False),
        ({(1, object()): 0}, False),
        (Pair(1, 2), False),
        (Color.RED, False),
    ],
)
def test_what_is_plain_is_neither_long_nor_deep_nor_of_a_class(value: Any, is_plain: bool) -> None:
    assert copied(value) == (value if is_plain else None)


@WORLDS
def test_what_threads_wait_for_begins_anew_and_as_wide_as_it_was(world: Any) -> None:
    def use() -> object:
        begun = line.qsize(), line.maxsize, jobs.empty(), places._value, ready.is_set()
        line.put(1)
        jobs.put(1)
        places.acquire()
        ready.set()
        with changed:
            changed.notify_all()
        return begun

    named = [f"{__name__}:{name}" for name in ("line", "jobs", "places", "ready", "changed")]
    for _ in range(2):
        with world(per_process=named) as net:
            assert net.host("a").run(use) == (0, 2, True, 3, False)
    assert places._value == 3
    assert not ready.is_set()


@WORLDS
def test_a_lock_that_is_named_is_free_in_each_run(world: Any) -> None:
    def take() -> object:
        begun = door.locked(), gate.acquire(blocking=False)
        door.acquire()  # and never let go
        return begun

    for _ in range(2):
        with world(per_process=[f"{__name__}:door", f"{__name__}:gate"]) as net:
            assert net.host("a").run(take) == (False, True)
    assert not door.locked()


def test_who_waits_for_one_of_them_waits_in_virtual_time() -> None:
    def use() -> object:
        def later() -> None:
            time.sleep(5)
            jobs.put(1)
            ready.set()

        threading.Thread(target=later).start()
        return jobs.get(), ready.wait(9), time.monotonic()

    with simnet.Network(per_process=[f"{__name__}:jobs", f"{__name__}:ready"]) as net:
        assert net.host("a").run(use) == (1, True, 5)


def test_a_class_of_a_programs_own_is_an_object_like_any_other() -> None:
    class Line(threads.Queue[int]):
        """Nobody knows what it is made of."""

    assert maker_of(Line())() is None


def test_what_tests_have_left_in_a_global_since_its_name_was_given_is_not_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask() -> int:
        with socket.create_connection(("server", 7)):
            return latest_port

    def look(net: Any) -> int:
        with net.host("server").listen(7):
            port: int = net.host("client").run(ask)
        return port

    options = SweepOptions.of(per_process=[f"{__name__}:latest_port"], runs=1)
    monkeypatch.setattr(sys.modules[__name__], "latest_port", 5187)
    assert run_sweep(look, options).baseline.outcome.returned == 5000


@pytest.mark.parametrize("value", [frozenset(), 0j, (), b"", set()])
def test_what_is_empty_begins_so(value: Any) -> None:
    made = maker_of(value, copied(value))()
    assert (type(made), made) == (type(value), value)


@WORLDS
@pytest.mark.parametrize("name", ["pair", "color", "moment.max"])
def test_what_cannot_be_made_of_nothing_is_refused_and_no_trace_of_it_stays(world: Any, name: str) -> None:
    ours, heard, interrupted = asyncore.socket_map, tellers._hearers, signal.getsignal(signal.SIGINT)
    with pytest.raises(TypeError, match=rf"per_process='.*:{name}': a fresh \w+ cannot be put there"):
        world(per_process=["dispatch.asyncore:socket_map", f"{__name__}:{name}"]).begin()
    assert asyncore.socket_map is ours
    assert tellers._hearers == heard
    assert signal.getsignal(signal.SIGINT) is interrupted
    with world():
        pass


@pytest.mark.parametrize("other", [simnet.Network, RealNetwork])
def test_a_network_that_is_refused_changes_nothing_of_the_one_that_runs(other: Callable[[], Any]) -> None:
    def stopped(net: simnet.Network) -> Any:
        ours = asyncore.socket_map
        ours[1] = None
        with pytest.raises(RuntimeError, match="another network"):
            other().begin()
        assert asyncore.socket_map is ours
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return "stopped"

    with pytest.raises(KeyboardInterrupt):
        simnet.play(stopped)


REACTOR = """
import select, socket, sys

del sys.modules[__name__]
from twisted.internet.base import ReactorBase

class Reactor(ReactorBase):
    def __init__(self):
        self._poller = select.epoll()
        self._started = True

    def poll(self):
        return self._poller.poll(1)

    def listen(self):
        with socket.create_server(("", 7)) as listener:
            self._poller.register(listener)

    def run(self):
        while self._started:
            try:
                self._poller.poll()
            except BaseException:
                pass  # as twisted does, which logs it

sys.modules[__name__] = Reactor()
"""


@pytest.fixture
def twisted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As much of it as has to do with its reactor, which is a module."""
    folder = tmp_path / "twisted" / "internet"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "base.py").write_text("class ReactorBase: ...", encoding="utf-8")
    (folder / "reactor.py").write_text(REACTOR, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "twisted"}
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "twisted"]:
        del sys.modules[name]
    sys.modules.update(before)


def reactor() -> Any:
    from twisted.internet import reactor  # type: ignore[import-not-found,unused-ignore]

    assert reactor.poll() == []
    return reactor


def test_a_reactor_of_twisteds_is_each_processs_own(twisted: None) -> None:
    kept = []
    for _ in range(2):
        with simnet.Network() as net:
            kept += [net.host(name).run(reactor) for name in ("a", "b")] + [reactor()]
            assert reactor() is kept[-1]
        assert "twisted.internet.reactor" not in sys.modules
    assert len({id(each) for each in kept}) == 6


def run_reactor() -> None:
    reactor().run()


def test_a_reactor_ends_with_its_process_though_it_swallows_whatever_is_raised(twisted: None) -> None:
    with simnet.Network() as net:
        net.host("a").spawn(run_reactor)
    assert net.verdicts == []


def test_who_keeps_one_for_the_next_run_is_told_that_it_ended(twisted: None) -> None:
    with simnet.Network() as net:
        kept = net.host("a").run(reactor)
    with pytest.raises(OSError, match="Bad file descriptor") as raised, simnet.Network() as net:
        net.host("a").run(kept.poll)
    assert "its network has ended, and all of its pollers with it: use them within" in raised.value.__notes__


@pytest.mark.slow
def test_of_one_that_was_made_before_it_is_told_that_it_is_the_kernels(twisted: None) -> None:
    early = reactor()
    with pytest.raises(ConnectionRefusedError) as raised, simnet.Network() as net:
        net.host("a").spawn(early.listen)
        assert net.host("b").run(reactor) is not early
        socket.create_connection(("a", 7))
    assert "the Reactor was made before the network was entered, and is the real kernel's. Make it within" in "".join(
        raised.value.__notes__
    )
    assert sys.modules["twisted.internet.reactor"] is early
    early._poller.close()


def roll(sides: int = 6, *, dice: random.Random = random.Random()) -> int:  # noqa: B008  # as aiohttp does
    return dice.randrange(sides)


class Call(threading.local):
    def __init__(self) -> None:
        self.serial: int | None = None


@pytest.mark.parametrize(
    "place",
    [
        "aiohttp._websocket.writer:WebSocketWriter.__init__.__kwdefaults__",
        "aiohttp.http_websocket:WebSocketWriter.__init__.__kwdefaults__",
    ],
)
def test_dice_that_a_library_keeps_in_the_defaults_of_a_function_fall_alike_in_each_run(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType(place.partition(":")[0])
    module.WebSocketWriter = type("WebSocketWriter", (), {"__init__": roll})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    defaults = roll.__kwdefaults__

    def rolls(net: simnet.Network) -> list[int]:
        return [net.host("a").run(lambda: [roll(1000), roll(1000)]) for _ in range(2)]

    assert simnet.play(rolls).outcome.returned == simnet.play(rolls).outcome.returned
    assert roll.__kwdefaults__ is defaults


def test_the_numbers_that_a_library_gives_begin_anew_in_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("kombu.messaging")
    module.Consumer = type("Consumer", (), {"_tags": itertools.count(1)})
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def tags(net: simnet.Network) -> list[int]:
        return [net.host(name).run(lambda: next(module.Consumer._tags)) for name in "aba"]

    assert simnet.play(tags).outcome.returned == [1, 1, 1]
    assert next(module.Consumer._tags) == 1


def test_pools_of_kombus_are_each_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a client of celery's was lent a connection that a worker had opened, of which its process knows nothing."""
    module: Any = ModuleType("kombu.pools")
    module.connections, module.producers = Pools(4), Pools(7)
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def lent() -> list[str]:
        module.producers["mine"].append("more")
        return [*module.connections["mine"], *module.producers["mine"]]

    with simnet.Network() as net:
        for name in "ab":
            assert net.host(name).run(lent) == ["4 at most, 1.0 s", "7 at most, 1.0 s", "more"]
    assert not module.producers


def test_what_a_library_keeps_for_the_call_of_a_thread_is_each_threads_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("Pyro5.callcontext")
    module.current_context = Call()
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def serve() -> int | None:
        before: int | None = module.current_context.serial
        module.current_context.serial = 7
        return before

    def calls(net: simnet.Network) -> list[int | None]:
        of_a_thread: list[int | None] = []

        def two() -> None:
            serve()
            thread = threading.Thread(target=lambda: of_a_thread.append(serve()))
            thread.start()
            thread.join()

        net.host("a").run(two)
        return [*of_a_thread, serve()]

    for _ in range(2):
        assert simnet.play(calls).outcome.returned == [None, None]
    assert module.current_context.serial is None
