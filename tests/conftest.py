"""What every test shares: nothing stays open behind it, and a few hands for real sockets and threads.

A descriptor or thread that outlives its test would change what the next one sees (descriptors are given out lowest
first) and hides a leak in the library, so the test that left it is the one that fails.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A shared machine may take long over one example, and a simulation has no time of its own that could tell.
settings.register_profile("house", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)  # what `make quick` takes, see below
settings.register_profile("thorough", deadline=None, max_examples=2_000)  # pytest --hypothesis-profile=thorough
settings.load_profile("house")


TESTS = Path(__file__).parent
WORKERS_MAX = 4
SIMULATED = 4  # times as long as others takes a test of `tests/simnet`, which makes many runs


def pytest_configure(config: pytest.Config) -> None:
    """Who leaves out the slow tests is in a hurry, so a property gets fewer examples too.

    A shell has what it starts in the background ignore Ctrl-C, and so would all that tests start.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.markexpr == "not slow" and not config.getoption("--hypothesis-profile"):
        settings.load_profile("quick")
    measuring = config.pluginmanager.get_plugin("_cov")
    if hasattr(config, "workerinput") and measuring is not None and measuring.cov_controller is not None:
        measuring.cov_controller.cov.stop()  # pytest-cov starts another in a worker, and that one alone is reported


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """And all tests that are not slow run side by side, as by `make quick`, unless somebody says how: ``-n 0`` for one process."""
    asked = config.option
    hurries = asked.markexpr == "not slow" and config.args_source is pytest.Config.ArgsSource.TESTPATHS
    watched = asked.collectonly or asked.usepdb or asked.trace or asked.capture == "no"
    if hurries and not watched and getattr(asked, "numprocesses", 0) is None and not hasattr(config, "workerinput"):
        asked.numprocesses = pytest_xdist_auto_num_workers()
        asked.dist, asked.maxworkerrestart, asked.loadscopereorder = "loadfile", "0", False
        os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # as `make` does: what one worker compiles the others need not


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    node.workerinput["reads_all"] = node.config.args_source is pytest.Config.ArgsSource.TESTPATHS


def read_in_turns(worker: dict[str, Any]) -> None:
    """Each file of tests is compiled by pytest, which takes longer than all else until the first one runs. A *worker* begins
    with other files than the rest, and finds compiled by them what it comes to later. What cannot be loaded is told at its turn.
    """
    files = sorted(TESTS.rglob("test_*.py"))
    begin = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in files[begin:] + files[:begin]:
        with contextlib.suppress(Exception, pytest.skip.Exception, pytest.fail.Exception):
            importlib.import_module(".".join(file.relative_to(TESTS.parent).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What all tests are made of stays to the end: the collector need not walk over it, neither meanwhile nor in each of its rounds."""
    gc.disable()
    try:
        worker = getattr(session.config, "workerinput", {})
        if worker.get("reads_all"):
            read_in_turns(worker)
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


_begun: set[Path] = set()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Nor over what the files before have left: thousands of objects each, which whoever asks for all that live would get."""
    if item.path not in _begun:
        _begun.add(item.path)
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest first, and the house, which reads every file: nobody should have to wait for one alone in the end."""
    hurries = config.option.markexpr == "not slow"
    seconds: Counter[Path] = Counter()  # roughly, of a file
    for item in items:
        slow = item.get_closest_marker("slow") is not None
        if slow != hurries:
            seconds[item.path] += 1 if slow or item.path.parent.name != "simnet" else SIMULATED
    seconds[TESTS / "test_house.py"] = sum(seconds.values())
    items.sort(key=lambda item: -seconds[item.path])


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, for tests of real sockets wait for a kernel now and then. Beyond four they only take memory."""
    return min((os.cpu_count() or 1) + 1, WORKERS_MAX)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, see `make test`
def pytest_xdist_setupnodes() -> None:
    """Nor shall a worker be measured as any subprocess is, which would be once more, and in vain."""
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


PATIENCE = 5.0  # seconds until a real wait gives up; on an idle machine all take milliseconds
RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST
DESCRIPTORS = "/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"  # plain texts: each test looks twice


def open_descriptors() -> dict[int, str]:
    """Each descriptor of this process with what it is open on: ``socket:[81235]``, ``anon_inode:[eventpoll]``, a path."""
    found = {}
    for name in os.listdir(DESCRIPTORS):
        with contextlib.suppress(OSError):  # the one that listdir itself had open
            found[int(name)] = os.readlink(f"{DESCRIPTORS}/{name}") if DESCRIPTORS == "/proc/self/fd" else "?"
    return found


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """The test fails if it leaves a descriptor open, a thread or a network running; unreachable ones are collected first."""
    descriptors = open_descriptors()
    threads = set(threading.enumerate())
    yield
    wait = sys.modules.get("simnet.wait")
    entered = wait is not None and wait.current_scheduler() is not None
    if wait is not None and entered:
        wait.leave()  # so that the next test may enter its own
    for thread in set(threading.enumerate()) - threads:
        thread.join(0.2)  # seconds: told to end, it may still be on its way out
    if left := left_open(descriptors):
        gc.collect()
        left = left_open(descriptors)
    running = sorted(thread.name for thread in set(threading.enumerate()) - threads)
    assert not entered, "a simulated network was entered and not left"
    assert not left, f"descriptors left open: {left}"
    assert not running, f"threads left running: {running}"


def left_open(before: dict[int, str]) -> dict[int, str]:
    """The descriptors that are open now and were not *before*, or were open on something else."""
    return {fd: target for fd, target in open_descriptors().items() if before.get(fd) != target}


@pytest.fixture
def loopback_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a real TCP connection over 127.0.0.1: (opener, acceptor), each with a time-out."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=PATIENCE) as opener,
    ):
        acceptor, _ = listener.accept()
        acceptor.settimeout(PATIENCE)
        with acceptor:
            yield opener, acceptor


@pytest.fixture
def in_thread() -> Iterator[Callable[..., threading.Thread]]:
    """``in_thread(fn, *args)`` runs it beside the test; at the end it is joined, and its exception fails the test."""
    started: list[threading.Thread] = []
    raised: list[BaseException] = []

    def start(fn: Callable[..., object], *args: object) -> threading.Thread:
        def body() -> None:
            try:
                fn(*args)
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                raised.append(error)

        thread = threading.Thread(target=body, name=f"in_thread({fn.__qualname__})", daemon=True)
        thread.start()
        started.append(thread)
        return thread

    yield start
    for thread in started:
        thread.join(PATIENCE)
        assert not thread.is_alive(), f"{thread.name} still runs after {PATIENCE} s"
    if raised:
        raise raised[0]


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """``eventually(lambda: condition)`` waits, bounded, for what a real kernel does in its own time."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE} s"
            time.sleep(0.0005)

    return wait
