"""Inside a process every stand-in asks the world of that process."""

from __future__ import annotations

import _socket
import ctypes.util
import datetime as dt
import logging
import os
import platform
import random
import secrets
import select
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest

import simnet
from simnet import modules, real


class Refused(BaseException):
    """What this world says to those who would leave it."""


class FakeSocket(socket.socket):
    """Counts how it was made; the kernel never sees it."""

    __slots__ = ("asked",)

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        self.asked = (family, type, proto, fileno)


class FakeEpoll:
    """Just enough for a selector to be built."""

    stands_in_for_epoll = True

    def fileno(self) -> int:
        return 9

    def close(self) -> None:
        pass


class World:
    """A backend that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.now_ns = 5_000_000_000
        self.dice = Random(1)
        self.classes: dict[type, type] = {socket.socket: FakeSocket}

    def new_socket(self, cls: Any, family: int, type: int, proto: int, fileno: int | None) -> Any:
        if cls not in self.classes:
            self.classes[cls] = types.new_class(cls.__name__, (cls, FakeSocket))
        return _socket.socket.__new__(self.classes[cls])

    def socketpair(self, family: int | None, type: int, proto: int) -> Any:
        return ("a pair", family, type, proto)

    def dup(self, fd: int) -> int:
        return fd + 1

    def close(self, fd: int) -> None:
        self.asked.append(("close", fd))

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None) -> Any:
        self.asked.append(("select", timeout))
        return rlist, wlist, xlist

    def poll(self) -> Any:
        return "a poller"

    def epoll(self, sizehint: int = -1, flags: int = 0) -> Any:
        self.asked.append(("epoll", sizehint, flags))
        return FakeEpoll()

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)

    def time_ns(self) -> int:
        return 1_600_000_000_000_000_000 + self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def getaddrinfo(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> Any:
        return [(2, 1, 6, "", ("10.0.0.1", port))]

    def gethostbyname(self, name: str) -> str:
        return f"address of {name}"

    def gethostbyname_ex(self, name: str) -> Any:
        return name, [], []

    def gethostbyaddr(self, address: str) -> Any:
        return f"name of {address}", ["name.of.it"], [address]

    def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        return "name", "service"

    def gethostname(self) -> str:
        return "server"

    def sethostname(self, name: str) -> None:
        self.asked.append(("sethostname", name))

    def getdefaulttimeout(self) -> float | None:
        return 7.5

    def setdefaulttimeout(self, timeout: float | None) -> None:
        self.asked.append(("setdefaulttimeout", timeout))

    def urandom(self, n: int) -> bytes:
        return self.dice.randbytes(n)

    def random(self) -> Random:
        return self.dice

    def escape(self, what: str) -> None:
        raise Refused(what)


@pytest.fixture
def world() -> Iterator[World]:
    """The code of the test belongs to this world; other threads do not."""
    world = World()
    me = threading.get_ident()

    def provider() -> Any:
        return world if threading.get_ident() == me else None

    modules.install(provider)
    yield world
    modules.remove(provider)
    modules.restore()


def test_clocks_follow(world: World) -> None:
    assert time.monotonic() == time.perf_counter() == time.clock_gettime(time.CLOCK_MONOTONIC) == 5.0
    assert time.monotonic_ns() == time.perf_counter_ns() == time.clock_gettime_ns(time.CLOCK_MONOTONIC) == 5 * 10**9
    assert time.time() == time.clock_gettime(time.CLOCK_REALTIME) == 1_600_000_005.0
    assert time.time_ns() == time.clock_gettime_ns(time.CLOCK_REALTIME) == 1_600_000_005_000_000_000
    time.sleep(1.5)
    assert time.monotonic() == 6.5
    with pytest.raises(ValueError, match="sleep length must be non-negative"):
        time.sleep(-0.1)
    with pytest.raises(TypeError):
        time.sleep("1")  # type: ignore[arg-type]
    assert time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) < 5000  # the processor's own time stays real


def warns_of_utcnow() -> AbstractContextManager[Any]:
    return pytest.deprecated_call(match="utcnow") if sys.version_info >= (3, 12) else nullcontext([])


@pytest.mark.parametrize("place", ["within", "outside"])
def test_who_asks_by_an_old_name_is_warned_at_the_line_that_asks(place: str) -> None:
    class Stamp(dt.datetime):
        pass

    with simnet.Network() if place == "within" else nullcontext(), warns_of_utcnow() as told:
        old, now = Stamp.utcnow(), dt.datetime.now(dt.UTC)
    assert type(old) is Stamp
    assert old.tzinfo is None
    assert abs((now.replace(tzinfo=None) - old).total_seconds()) < 60
    assert [each.filename for each in told] == [__file__] * len(told)


@pytest.mark.slow
def test_calendars_follow(world: World) -> None:
    world.now_ns = 123_456_789
    assert time.gmtime()[:6] == (2020, 9, 13, 12, 26, 40)
    assert time.localtime() == time.localtime(1_600_000_000)
    assert time.ctime() == time.asctime() == time.ctime(1_600_000_000)
    assert time.strftime("%s") == "1600000000"
    assert time.gmtime(0).tm_year == 1970
    assert dt.datetime.now(dt.UTC) == dt.datetime(2020, 9, 13, 12, 26, 40, 123_456, dt.UTC)
    with warns_of_utcnow():
        assert dt.datetime.utcnow() == dt.datetime(2020, 9, 13, 12, 26, 40, 123_456)  # noqa: DTZ003, DTZ001
    assert dt.datetime.now().timestamp() == 1_600_000_000.123456  # noqa: DTZ005
    assert dt.date.today() == dt.date.fromtimestamp(1_600_000_000)  # noqa: DTZ011, DTZ012
    assert logging.LogRecord("n", 10, "f", 1, "m", (), None).created == 1_600_000_000.123456789


@pytest.mark.slow
def test_a_subclass_of_datetime_gets_instances_of_its_own(world: World) -> None:
    class Stamp(dt.datetime):
        pass

    assert type(Stamp.now(dt.UTC)) is Stamp
    assert Stamp.now(dt.UTC) == dt.datetime.now(dt.UTC)


@pytest.mark.slow
def test_other_threads_stay_outside(world: World) -> None:
    seen: list[float] = []
    thread = threading.Thread(target=lambda: seen.append(time.monotonic()))
    with pytest.raises(Refused, match="thread"):
        thread.start()
    assert thread not in threading._limbo  # type: ignore[attr-defined]
    real.start_new_thread(lambda: seen.append(time.monotonic()), ())
    deadline = real.monotonic() + 5
    while not seen and real.monotonic() < deadline:
        real.sleep(0.001)
    assert seen[0] != 5.0


@pytest.mark.slow
def test_names_follow(world: World) -> None:
    assert socket.getaddrinfo("server", 80) == [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80))
    ]
    assert isinstance(socket.getaddrinfo("server", 80)[0][0], socket.AddressFamily)
    assert socket.gethostbyname("client") == "address of client"
    assert socket.gethostname() == "server"
    assert socket.getfqdn() == "name.of.it"
    assert socket.getnameinfo(("10.0.0.1", 80), 0) == ("name", "service")
    assert socket.getdefaulttimeout() == 7.5
    socket.setdefaulttimeout(1)
    assert world.asked == [("setdefaulttimeout", 1)]


@pytest.mark.slow
def test_sockets_are_made_by_the_world(world: World) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    assert type(sock) is FakeSocket
    assert sock.asked == (socket.AF_INET, socket.SOCK_DGRAM, -1, None)
    assert socket.fromfd(41, socket.AF_INET, socket.SOCK_STREAM).asked[3] == 42  # type: ignore[attr-defined]
    assert socket.socketpair() == ("a pair", None, socket.SOCK_STREAM, 0)


@pytest.mark.slow
def test_a_users_subclass_with_a_signature_of_its_own_becomes_the_worlds(world: World) -> None:
    class Greeter(socket.socket):
        def __init__(self, host: str, *, polite: bool) -> None:
            super().__init__(socket.AF_INET, socket.SOCK_STREAM)
            self.words = f"good day {host}" if polite else host

    greeter = Greeter("server", polite=True)
    assert isinstance(greeter, Greeter)
    assert isinstance(greeter, FakeSocket)
    assert greeter.words == "good day server"
    assert greeter.asked == (socket.AF_INET, socket.SOCK_STREAM, -1, None)


def test_pollers_and_selectors_are_made_by_the_world(world: World) -> None:
    assert select.select([1], [], [], 0.5) == ([1], [], [])
    assert world.asked == [("select", 0.5)]
    assert select.poll() == "a poller"
    assert isinstance(select.epoll(), select.epoll)
    for selector in (selectors.EpollSelector(), selectors.DefaultSelector()):
        assert selector.fileno() == 9
        selector.close()
    assert selectors.PollSelector()._selector == "a poller"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_chance_is_the_processes_own(world: World) -> None:
    def drawn() -> tuple[Any, ...]:
        world.dice = Random(3)
        return (
            random.random(),
            random.randrange(1000),
            random.sample(range(9), 3),
            os.urandom(4),
            secrets.token_hex(4),
            uuid.uuid4(),
            random.Random().random(),
            random.SystemRandom().random(),
        )

    state = random._inst.getstate()  # type: ignore[attr-defined]
    assert drawn() == drawn()
    random.seed(5)
    assert world.dice.random() == Random(5).random()
    assert random._inst.getstate() == state  # type: ignore[attr-defined]
    assert tempfile.gettempprefix() == "tmp"


@pytest.mark.slow
@pytest.mark.usefixtures("world")
def test_what_the_standard_library_asks_of_the_machine_is_answered() -> None:
    assert (ctypes.util.find_library("c") or "libc").startswith("libc")
    assert isinstance(platform._Processor.from_subprocess(), str)  # type: ignore[attr-defined]  # as `platform.uname()` does


@pytest.mark.slow
@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(lambda: threading.Thread(target=print).start(), id="thread"),
        pytest.param(lambda: subprocess.Popen(["true"]), id="subprocess"),
        pytest.param(lambda: os.fork(), id="fork"),  # a bare os.fork would be bound before the stand-ins are
        pytest.param(lambda: os.system("true"), id="system"),
        pytest.param(lambda: os._exit(1), id="exit"),  # of the whole test run
        pytest.param(lambda: ThreadPoolExecutor().submit(print), id="executor"),
        pytest.param(lambda: select.epoll.fromfd(3), id="epoll.fromfd"),
    ],
)
def test_ways_out_are_asked_for_leave(world: World, leave: Any) -> None:
    with pytest.raises(Refused):
        leave()


def test_two_worlds_are_asked_in_turn(world: World) -> None:
    other = World()
    other.now_ns = 9 * 10**9
    answers: list[Any] = [None]

    def provider() -> Any:
        return answers[0]

    modules.install(provider)
    try:
        assert time.monotonic() == 5.0
        modules.install(provider)  # nested, and each removal takes one
        modules.remove(provider)
    finally:
        modules.remove(provider)
    assert modules.active() is world


@pytest.mark.skipif(os.name != "posix", reason="it has no rand() that is known where")
def test_what_c_throws_dice_for_is_the_same_in_each_run() -> None:
    def thrown(seed: int) -> list[int]:
        with simnet.Network(seed=seed) as net:
            return [net.host("a").run(ctypes.CDLL(None).rand) for _ in range(3)]

    assert thrown(1) == thrown(1) != thrown(2)


def test_the_first_temporary_name_of_an_interpreter_takes_none_of_a_programs_dice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def draw() -> tuple[float, bytes]:
        with tempfile.TemporaryFile(dir=tmp_path):  # the first one seeds the generator of their names
            return random.random(), os.urandom(8)

    monkeypatch.setattr(tempfile, "_name_sequence", None)
    monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False, raising=False)  # which needs no name
    first, second = (simnet.play(lambda net: net.host("server").run(draw)).outcome.returned for _ in range(2))
    assert first == second


def test_a_uuid_of_the_time_is_of_the_runs_time_and_no_two_are_alike() -> None:
    def draw() -> list[uuid.UUID]:
        drawn = [uuid.uuid1() for _ in range(100)]
        time.sleep(1)
        return [*drawn, uuid.uuid1()]

    def test(net: Any) -> list[uuid.UUID]:
        return [*draw(), *net.host("other").run(draw)]

    once, twice = (simnet.play(test).outcome.returned for _ in range(2))
    assert once == twice
    assert len(set(once)) == 202
    assert {(each.version, each.variant) for each in once} == {(1, uuid.RFC_4122)}
    assert once[100].time - once[0].time == 10_000_000  # of 100 ns


def test_a_uuid_of_the_time_with_a_number_of_ones_own_is_the_same_in_each_run() -> None:
    """It is counted by a global of the module's then, which is of the run, as is the address of the card that it keeps."""

    def draw() -> list[uuid.UUID]:
        return [uuid.uuid1(clock_seq=os.getpid()) for _ in range(3)]

    def test(net: Any) -> list[uuid.UUID]:
        return [*draw(), *net.host("other").run(draw)]

    real = uuid.uuid1(clock_seq=1)
    once, twice = (simnet.play(test).outcome.returned for _ in range(2))
    assert once == twice
    assert len(set(once)) == 6
    assert once[0].node != real.node
    assert uuid.uuid1(clock_seq=1).node == real.node
