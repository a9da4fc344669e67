"""By which numbers and names a program knows its threads, pools and tasks: those of its own run, which C is never given."""

from __future__ import annotations

import _thread
import asyncio
import errno
import gc
import logging
import multiprocessing.pool
import os
import signal
import socket
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from typing import Any

import pytest

import simnet
from simnet.owned.mutex import Reentrant


def in_a_thread(function: Any) -> Any:
    """What it gives, called in a thread."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(function).result()


def asked_in_c() -> list[Any]:
    """Some of these would end an interpreter that hands over a number of none of its threads."""
    asked: list[Any] = [time.clock_gettime(time.pthread_getcpuclockid(threading.get_ident())) > 0]
    other = threading.Thread(target=time.sleep, args=(0.1,))
    other.start()
    assert other.ident
    for number in (0, signal.SIGCHLD):  # which nobody has a handler of
        for ident in (other.ident, threading.get_ident(), threading.main_thread().ident):
            assert ident
            asked.append(signal.pthread_kill(ident, number))
    asked.append(time.clock_gettime(time.pthread_getcpuclockid(other.ident)) >= 0)
    other.join()
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("world", [simnet.Network, simnet.RealNetwork])
@pytest.mark.parametrize("where", [lambda function: function(), in_a_thread], ids=["main", "thread"])
def test_what_is_asked_in_c_of_a_thread_is_answered(world: Any, where: Any) -> None:
    with world() as net:
        assert net.host("a").run(where, asked_in_c) == [True, *[None] * 6, True]


@pytest.mark.parametrize("where", [lambda function: function(), in_a_thread], ids=["main", "thread"])
def test_a_thread_that_has_ended_is_no_longer_there(simnet_network: Any, where: Any) -> None:
    """A kernel may have given its number to somebody else."""

    def main() -> None:
        thread = threading.Thread(target=time.sleep, args=(1,))
        thread.start()
        thread.join()
        assert thread.ident
        with pytest.raises(ProcessLookupError):
            signal.pthread_kill(thread.ident, signal.SIGUSR1)
        with pytest.raises(ProcessLookupError):
            time.pthread_getcpuclockid(thread.ident)
        with pytest.raises(TypeError):
            time.pthread_getcpuclockid("one")  # type: ignore[arg-type]

    simnet_network.host("a").run(where, main)


def test_no_process_of_the_machine_has_the_number_of_a_thread(simnet_network: Any) -> None:
    """Who sets the priority of a thread would set that of one of the first that the machine has started."""

    def ask() -> int:
        own = threading.get_native_id()
        assert threading.current_thread().native_id == own
        with pytest.raises(ProcessLookupError):
            os.getpriority(os.PRIO_PROCESS, own)
        return own

    def main() -> None:
        others = [threading.Thread(target=time.sleep, args=(1,)) for _ in range(2)]
        for each in others:
            each.start()
        assert len({in_a_thread(ask), threading.get_native_id(), *(each.native_id for each in others)}) == 4

    simnet_network.host("a").run(main)


def test_a_thread_that_was_begun_by_itself_is_told_as_one_that_has_started(simnet_network: Any) -> None:
    def main() -> list[str]:
        return [in_a_thread(lambda: repr(threading.current_thread()))]

    (told,) = simnet_network.host("a").run(main)
    assert told.startswith("<Thread(ThreadPoolExecutor-0_0, started")


def named() -> list[str]:
    names = []

    def tell() -> None:
        names.append(threading.current_thread().name)

    async def main() -> None:
        await asyncio.create_task(asyncio.to_thread(tell))
        names.extend(
            task.get_name() for task in (asyncio.create_task(asyncio.sleep(0)), asyncio.current_task()) if task
        )

    threads = [threading.Thread(target=tell), threading.Timer(0.1, tell), threading.Thread(target=tell, name="mine")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for _ in range(2):
        with ThreadPoolExecutor() as pool:
            pool.submit(tell).result()
    with multiprocessing.pool.ThreadPool(1) as other:
        other.apply(tell)
    asyncio.run(main())
    _thread.start_new_thread(tell, ())
    return names


NAMES = [
    *("Thread-1 (tell)", "mine", "Thread-2", "ThreadPoolExecutor-0_0", "ThreadPoolExecutor-1_0", "Thread-3 (worker)"),
    *("asyncio_0", "Task-3", "Task-1", "Dummy-7"),  # a pool of multiprocessing has three threads of its own
]


@pytest.mark.slow
def test_names_begin_anew_in_each_program_of_each_run() -> None:
    """Else what a program logs, and sends, would be another in the next run."""
    for _ in range(2):
        with simnet.Network() as net:
            assert [net.host(name).run(named) for name in ("a", "b")] == [NAMES, NAMES]


def test_outside_of_a_run_names_go_on_as_ever() -> None:
    before = int(threading.Thread().name.rpartition("-")[2])
    with simnet.Network():
        assert threading.Thread().name == "Thread-1"
    assert threading.Thread().name == f"Thread-{before + 1}"


def test_what_a_function_of_a_thread_raised_and_nobody_read_is_told_as_soon_as_nobody_can(
    simnet_network: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not when the collector comes by, perhaps in another run."""

    async def main() -> int:
        asyncio.get_running_loop().run_in_executor(None, lambda: 1 // 0)
        await asyncio.sleep(1)
        return len(caplog.records)

    assert not gc.isenabled()
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        assert simnet_network.host("a").run(asyncio.run, main()) == 1


def test_what_a_pool_of_the_programs_own_does_at_its_end_is_its_own_business(simnet_network: Any) -> None:
    ended: list[bool] = []

    class Mine(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            ended.append(wait)
            super().shutdown(wait, cancel_futures=cancel_futures)

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(Mine())
        await asyncio.to_thread(time.time)

    simnet_network.host("a").run(asyncio.run, main())
    assert ended[0]


SHARED = ThreadPoolExecutor(2)
BROKEN = ThreadPoolExecutor(2, initializer=lambda: 1 // 0)


@pytest.mark.parametrize("run", [1, 2])
def test_a_pool_that_was_made_at_import_each_program_has_as_if_it_had_made_it(simnet_network: Any, run: int) -> None:
    """It was shut down, or broken, for others and for all runs that follow."""

    def main() -> float:
        done = SHARED.submit(time.sleep, 1)
        with pytest.raises(BrokenExecutor):
            BROKEN.submit(print).result()
        with pytest.raises(BrokenExecutor):
            BROKEN.submit(print)
        SHARED.shutdown()
        assert done.done()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            SHARED.submit(print)
        return time.monotonic()

    assert [simnet_network.host(name).run(main) for name in ("a", "b")] == [1, 2]


def test_a_finalizer_may_ask_who_runs_while_a_network_is_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector comes by whenever it likes, and a log says which thread it was."""
    asked: list[int] = []
    true_host = simnet.Network.host

    def host(self: Any, *args: Any, **kwargs: Any) -> Any:
        with Reentrant():
            asked.append(threading.get_ident())
        return true_host(self, *args, **kwargs)

    monkeypatch.setattr(simnet.Network, "host", host)
    with simnet.Network():
        pass
    assert asked == [threading.get_ident()]


@pytest.mark.slow
def test_what_a_future_has_goes_with_the_last_who_asks_for_it(simnet_network: Any) -> None:
    """An exception that it has holds no circle together."""

    class Mine(Exception):
        pass

    def fail() -> None:
        raise Mine

    def main() -> None:
        with ThreadPoolExecutor() as pool:
            assert repr(pool.submit(fail).exception()) == "Mine()"

    simnet_network.host("a").run(main)
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Mine)]


def test_a_thread_that_was_begun_by_itself_may_exit(simnet_network: Any) -> None:
    def leave() -> None:
        time.sleep(1)
        sys.exit("done with it")

    def main() -> str:
        _thread.start_new_thread(leave, ())
        time.sleep(2)
        return "and goes on"

    assert simnet_network.host("a").run(main) == "and goes on"


@pytest.mark.parametrize("way", ["Thread", "by itself", "pool"])
def test_what_a_thread_has_for_itself_goes_with_it_though_its_object_is_kept(simnet_network: Any, way: str) -> None:
    own = threading.local()
    kept: list[Any] = []

    def connect() -> None:
        own.connection = socket.create_connection(("server", 7))
        own.connection.sendall(b"hello")

    def client() -> None:
        if way == "Thread":
            kept.append(threading.Thread(target=connect))
            kept[0].start()
            kept[0].join()
        elif way == "pool":
            kept.append(ThreadPoolExecutor(1))
            kept[0].submit(connect).result()
            time.sleep(1)  # an idle thread keeps it
            kept[0].shutdown()
        else:
            _thread.start_new_thread(connect, ())
        time.sleep(60)

    def server() -> tuple[bytes, bytes, float]:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as conn:
            return conn.recv(9), conn.recv(9), round(time.monotonic(), 1)

    serving = simnet_network.host("server").spawn(server)
    with pytest.warns(ResourceWarning, match="unclosed"):
        simnet_network.host("client").run(client)
    assert serving.result == (b"hello", b"", 1.0 if way == "pool" else 0.0)


def count_processors() -> tuple[int | None, ...]:
    own = [len(os.sched_getaffinity(pid)) for pid in (0, os.getpid())] if sys.platform == "linux" else [4, 4]
    return os.cpu_count(), *own


def test_a_host_has_as_many_processors_on_each_machine_however_they_are_counted() -> None:
    before = count_processors()
    with simnet.Network() as net:
        assert net.host("server").run(count_processors) == (4, 4, 4)
    assert count_processors() == before


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has it")
def test_a_program_pins_itself_and_neither_the_machine_nor_another() -> None:
    def pin() -> list[Any]:
        said: list[Any] = []
        for asked in ({3}, iter([0, 99]), [], {77}, 5, [-1], ["x"]):
            try:
                os.sched_setaffinity(os.getpid(), asked)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001
                said.append(type(error).__name__ if not isinstance(error, OSError) else error.errno)
            said.append(sorted(os.sched_getaffinity(0)))
        return said

    before = os.sched_getaffinity(0)
    with simnet.Network() as net:
        told = [[3], [0], errno.EINVAL, [0], errno.EINVAL, [0], "TypeError", [0], "ValueError", [0], "TypeError", [0]]
        assert net.host("a").run(pin) == told
        assert net.host("b").run(lambda: len(os.sched_getaffinity(0))) == 4
        assert os.sched_getaffinity(0) == set(range(4))
    assert os.sched_getaffinity(0) == before
