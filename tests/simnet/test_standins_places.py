"""Where stand-ins are put, that outside a run nothing changes, and that every original comes back."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import gc
import os
import pickle
import random
import select
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator

import pytest

from simnet import modules, real, standins
from simnet.tls import sockets as tls

PROGRAM = """
import time, socket, select, random
from time import monotonic, sleep as pause

class Meter:
    clock = time.monotonic
    wait = staticmethod(time.sleep)
    def since(self, then, now=time.monotonic):
        return now() - then

def stamp(*, clock=time.time):
    return clock()

def early(host, look_up=socket.gethostbyname):
    return look_up(host)
"""


FACTORIES = """
import time

def keep(factory):
    def __init__(self):
        self.at = factory()
    return __init__

class Stamped:
    __init__ = keep(time.time)

class Generated:
    own = {"__name__": __name__, "factory": time.time}
    exec("def stamp(self): return factory()", own)
    stamp = own.pop("stamp")
"""

MEASURING = """
from functools import wraps
from time import monotonic

def measured(function, clock=monotonic):
    now = clock

    @wraps(function)
    def inner(*, begin=clock):
        return monotonic(), now()
    return inner
"""


def nobody() -> None:
    return None


@pytest.fixture
def originals() -> Iterator[None]:
    """The test begins and ends without stand-ins."""
    modules.restore()
    yield
    modules.restore()


@pytest.fixture
def program(originals: None) -> Iterator[types.ModuleType]:
    module = types.ModuleType("program_under_test")
    sys.modules[module.__name__] = module
    exec(PROGRAM, vars(module))
    yield module
    del sys.modules[module.__name__]


def snapshot(module: types.ModuleType) -> dict[str, object]:
    return {
        **vars(module),
        **{f"Meter.{key}": value for key, value in vars(module.Meter).items()},
        "since": module.Meter.since.__defaults__,
        "stamp": dict(module.stamp.__kwdefaults__),
        "early": module.early.__defaults__,
    }


@pytest.mark.slow
def test_early_bound_names_get_the_stand_in_and_their_original_back(program: types.ModuleType) -> None:
    before = snapshot(program)
    modules.install(nobody)
    try:
        assert program.monotonic is time.monotonic is not real.monotonic
        assert program.pause is time.sleep
        assert vars(program.Meter)["clock"] is time.monotonic
        assert vars(program.Meter)["wait"].__func__ is time.sleep
        assert program.Meter.since.__defaults__ == (time.monotonic,)
        assert program.stamp.__kwdefaults__ == {"clock": time.time}
        assert program.early.__defaults__ == (socket.gethostbyname,)
        # A class attribute does not bind: C functions do not.
        assert program.Meter().since(program.Meter().clock()) >= 0
    finally:
        modules.remove(nobody)
        modules.restore()
    assert snapshot(program) == before
    assert program.monotonic is real.monotonic


@pytest.mark.slow
def test_what_was_made_for_a_function_alone_gets_the_stand_in_too(originals: None) -> None:
    """A factory of a dataclass stands in a closure, one of attrs in globals of the method's own."""
    module = types.ModuleType("program_with_factories")
    sys.modules[module.__name__] = module
    exec(FACTORIES, vars(module))

    def factories() -> list[object]:
        (cell,) = module.Stamped.__init__.__closure__
        return [cell.cell_contents, module.Generated.stamp.__globals__["factory"]]

    try:
        modules.install(nobody)
        assert real.time not in factories()
        assert factories() == [time.time, time.time]
        modules.remove(nobody)
        modules.restore()
        assert factories() == [real.time, real.time]
    finally:
        del sys.modules[module.__name__]


@pytest.mark.slow
def test_what_pytest_or_hypothesis_puts_around_a_function_goes_on_measuring_real_time(originals: None) -> None:
    theirs, program = types.ModuleType("hypothesis.measuring"), types.ModuleType("program_that_is_measured")
    for module in (theirs, program):
        sys.modules[module.__name__] = module
    exec(MEASURING, vars(theirs))
    vars(program)["measured"] = theirs.measured
    exec("@measured\ndef function(): pass", vars(program))
    try:
        modules.install(nobody)
        (cell,) = program.function.__closure__
        kept = [theirs.monotonic, cell.cell_contents, program.function.__kwdefaults__["begin"]]
        assert kept == [real.monotonic] * 3
    finally:
        modules.remove(nobody)
        for module in (theirs, program):
            del sys.modules[module.__name__]


@pytest.mark.slow
def test_a_module_loaded_while_stand_ins_are_in_place_gets_originals_back_too(originals: None) -> None:
    modules.install(nobody)
    late = types.ModuleType("late_program")
    sys.modules["late_program"] = late
    try:
        exec(PROGRAM, vars(late))
        assert late.monotonic is not real.monotonic
        modules.remove(nobody)
        modules.restore()
        assert late.monotonic is real.monotonic
        assert vars(late.Meter)["clock"] is real.monotonic
        assert vars(late.Meter)["wait"].__func__ is real.sleep
        assert late.stamp.__kwdefaults__ == {"clock": real.time}
    finally:
        del sys.modules["late_program"]


@pytest.mark.slow
def test_a_class_in_c_that_was_never_made_ready_stops_no_scan(originals: None) -> None:
    pytest.importorskip("_testcapi", reason="the interpreter's own test modules are not installed")  # 3.11's has one
    modules.install(nobody)
    modules.remove(nobody)


@pytest.mark.slow
def test_every_pair_is_put_in_place_and_taken_back(originals: None) -> None:
    def found(wanted: list[object]) -> list[str]:
        ids = {id(it) for it in wanted}
        names = ["time", "select", "_socket", "socket", "random", "os", "posix", "_thread", "threading", "_signal"]
        return [f"{name}.{key}" for name in names for key, it in vars(sys.modules[name]).items() if id(it) in ids]

    places = found([it.original for it in standins.PAIRS])
    assert {"time.sleep", "select.epoll", "socket.getaddrinfo"} - set(places) == {"socket.getaddrinfo"}
    modules.install(nobody)
    try:
        assert found([it.original for it in standins.PAIRS]) == []
        assert found([it.standin for it in standins.PAIRS]) == places
    finally:
        modules.remove(nobody)
        modules.restore()
    assert found([it.original for it in standins.PAIRS]) == places
    assert found([it.standin for it in standins.PAIRS]) == []


@pytest.mark.slow
def test_what_stands_in_for_a_function_is_able_to_do_what_that_is(originals: None) -> None:
    """`shutil` asks so which functions take a descriptor, or leave a link alone; else it does without, or fails."""
    before = [set(functions) for functions in modules.ABLE]
    stat, scandir = os.stat, os.scandir
    modules.install(nobody)
    try:
        assert os.stat is not stat
        assert os.stat in os.supports_follow_symlinks & os.supports_dir_fd
        assert {stat, os.scandir, scandir} <= os.supports_fd
    finally:
        modules.remove(nobody)
        modules.restore()
    assert [set(functions) for functions in modules.ABLE] == before


@pytest.mark.slow
def test_the_socket_class_is_what_it_was_once_restored(originals: None) -> None:
    new = socket.socket.__new__
    modules.install(nobody)
    assert socket.socket.__new__ is not new
    modules.remove(nobody)
    modules.restore()
    assert socket.socket.__new__ is new
    assert "__new__" not in vars(socket.socket)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert sock.type == socket.SOCK_DGRAM


@pytest.mark.slow
def test_a_monkeypatch_set_in_between_survives_restore(originals: None, monkeypatch: pytest.MonkeyPatch) -> None:
    modules.install(nobody)
    modules.remove(nobody)
    monkeypatch.setattr(time, "sleep", print)
    modules.restore()
    assert time.sleep is print


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["streams", "events", "base_events", "selector_events", "tasks"])
def test_a_module_of_asyncios_that_somebody_has_forgotten_gets_its_own_back_too(
    originals: None, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    own = asyncio.StreamReader.feed_eof, asyncio.TimerHandle, socket.getaddrinfo
    modules.install(nobody)
    modules.remove(nobody)
    monkeypatch.delitem(sys.modules, f"asyncio.{gone}")  # as pytester does with what a test has imported
    modules.restore()
    assert (asyncio.StreamReader.feed_eof, asyncio.events.TimerHandle, socket.getaddrinfo) == own


@pytest.mark.slow
def test_contexts_of_tls_are_what_they_were_though_somebody_has_forgotten_their_module(
    originals: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules.install(nobody)
    tls.place()
    assert "_wrap_socket" in vars(ssl.SSLContext)
    modules.remove(nobody)
    monkeypatch.delitem(sys.modules, "ssl")
    modules.restore()
    assert "_wrap_socket" not in vars(ssl.SSLContext)


@pytest.mark.slow
def test_restore_is_refused_while_a_provider_is_installed(originals: None) -> None:
    modules.install(nobody)
    with pytest.raises(RuntimeError, match="leave the network first"):
        modules.restore()
    modules.remove(nobody)
    with pytest.raises(ValueError, match="not in"):
        modules.remove(nobody)


@pytest.mark.slow
def test_outside_a_run_everything_is_as_ever(originals: None) -> None:
    modules.install(nobody)
    try:
        assert abs(time.monotonic() - real.monotonic()) < 1
        assert abs(time.time_ns() - real.time_ns()) < 1e9
        assert abs(dt.datetime.now(dt.UTC).timestamp() - real.time()) < 1
        assert dt.datetime.now().tzinfo is None  # noqa: DTZ005
        random.seed(7)
        dice = random.Random(7)
        assert [random.random(), random.randrange(9)] == [dice.random(), dice.randrange(9)]
        assert random.Random().random() != random.Random().random()
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            peer, _ = server.accept()
            with peer, selectors.DefaultSelector() as selector:
                client.sendall(b"x")
                selector.register(peer, selectors.EVENT_READ)
                assert [key.fileobj for key, _ in selector.select(1)] == [peer]
                assert select.select([peer], [], [], 1) == ([peer], [], [])
                duplicate = socket.fromfd(peer.fileno(), peer.family, peer.type)
                with duplicate:
                    assert duplicate.recv(1) == b"x"
        done: list[int] = []
        thread = threading.Thread(target=done.append, args=(1,))
        thread.start()
        thread.join(5)
        assert done == [1]
        assert subprocess.run([sys.executable, "-S", "-c", ""], timeout=20, check=True).returncode == 0
        with pytest.raises(ValueError, match="non-negative"):
            time.sleep(-1)
        with pytest.raises(TypeError):
            time.monotonic(1)
    finally:
        modules.remove(nobody)


@pytest.mark.slow
def test_stand_ins_pickle_copy_and_check_like_their_originals(originals: None) -> None:
    modules.install(nobody)
    try:
        for function in (time.sleep, time.monotonic, random.random, select.select):
            data = pickle.dumps(function)
            assert pickle.loads(data) == function
            assert copy.deepcopy(function) == function
        data = pickle.dumps(time.sleep)
    finally:
        modules.remove(nobody)
        modules.restore()
    assert pickle.loads(data) is real.sleep  # made with the stand-in, read without: another process, say
    modules.install(nobody)
    try:
        with select.epoll() as poller, select.epoll.fromfd(os.dup(poller.fileno())) as other:
            assert type(poller) is type(other) is real.epoll
            assert isinstance(poller, select.epoll)
            assert not isinstance(3, select.epoll)
            assert select.epoll.__name__ == "epoll"
    finally:
        modules.remove(nobody)


@pytest.mark.slow
def test_what_measures_from_outside_keeps_its_clock(originals: None) -> None:
    from _pytest import timing

    before = timing.perf_counter
    modules.install(nobody)
    try:
        assert timing.perf_counter is before
    finally:
        modules.remove(nobody)


@pytest.mark.slow
def test_entering_again_costs_next_to_nothing(originals: None) -> None:
    modules.install(nobody)
    modules.remove(nobody)
    rounds = 500
    gc.disable()
    try:
        best = min(_time_of(rounds) for _ in range(5))
    finally:
        gc.enable()
    assert best / rounds < 20e-6  # measured: 1 us; a scan takes 10 ms


def _time_of(rounds: int) -> float:
    start = real.perf_counter()
    for _ in range(rounds):
        modules.install(nobody)
        modules.remove(nobody)
    return real.perf_counter() - start


@pytest.mark.slow
def test_lazy_modules_stay_unloaded_and_strange_ones_unharmed(originals: None) -> None:
    class Strange:
        """Some packages put an object into sys.modules that answers every attribute."""

        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"touched: {name}")

    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"loaded by {name}")

    sys.modules["strange_module"] = Strange()  # type: ignore[assignment]
    sys.modules["lazy_module"] = Lazy("lazy_module")
    try:
        modules.install(nobody)
        modules.remove(nobody)
        modules.restore()
    finally:
        del sys.modules["strange_module"], sys.modules["lazy_module"]
