"""Programs that work in threads of their own, and in pools of them: each thread is a process of its program's host, with all that
threads share, and waits in virtual time.
"""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import http.client
import http.server
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


class Page(http.server.BaseHTTPRequestHandler):
    """Takes as many seconds as its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(float(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def serve_pages() -> None:
    with http.server.ThreadingHTTPServer(("", 80), Page) as server:
        server.daemon_threads = True
        server.serve_forever()


def fetch(path: str) -> str:
    connection = http.client.HTTPConnection("server")
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_pages_are_fetched_side_by_side_and_given_in_the_order_in_which_they_come(simnet_network: Any) -> None:
    def fan_out() -> tuple[list[str], list[str]]:
        paths = ["/3", "/1", "/2"]
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(fetch, path) for path in paths]
            come = [each.result() for each in concurrent.futures.as_completed(waiting)]
            return come, list(pool.map(fetch, paths))

    simnet_network.host("server").spawn(serve_pages)
    assert simnet_network.host("client").run(fan_out) == (["/1", "/2", "/3"], ["/3", "/1", "/2"])
    assert 6 <= simnet_network.time < 6.1  # the longest of each three


@pytest.mark.slow
@pytest.mark.parametrize("world", [simnet.Network, simnet.RealNetwork])
def test_a_program_of_threads_does_the_same_on_a_kernel(world: Any) -> None:
    def main() -> Any:
        line: queue.SimpleQueue[Any] = queue.SimpleQueue()
        told = threading.Event()
        own = threading.local()

        def first() -> None:
            own.word = "first"
            assert told.wait(5)
            line.put((own.word, fetch("/0.02"), threading.current_thread().name))

        def fail() -> None:
            raise KeyError("what")

        thread = threading.Thread(target=first, name="first")
        thread.start()
        with ThreadPoolExecutor(2, "pool") as pool:
            pages = list(pool.map(fetch, ["/0.02", "/0", "/0.01"]))
            error = pool.submit(fail).exception()
            named = pool.submit(lambda: threading.current_thread().name.rpartition("_")[0]).result()
        told.set()
        thread.join()
        return pages, repr(error), named, line.get(timeout=5), hasattr(own, "word"), thread.is_alive()

    with world() as net:
        net.host("server").spawn(serve_pages)
        assert net.host("client").run(main) == (
            ["/0.02", "/0", "/0.01"],
            "KeyError('what')",
            "pool",
            ("first", "/0.02", "first"),
            False,
            False,
        )


def test_a_pool_has_no_more_threads_than_it_was_given(simnet_network: Any) -> None:
    at_once: list[int] = []

    def work(seconds: float) -> str:
        at_once.append(1)
        time.sleep(seconds)
        at_once.append(-1)
        return threading.current_thread().name

    with ThreadPoolExecutor(2, thread_name_prefix="two") as pool:
        names = [each.result() for each in [pool.submit(work, 1) for _ in range(5)]]
    assert simnet_network.time == 3
    assert max(sum(at_once[:n]) for n in range(len(at_once))) == 2
    assert names == ["two_0", "two_1", "two_0", "two_1", "two_0"]


@pytest.mark.parametrize("of_asyncio", [False, True])
def test_nor_do_pools_that_go_by_the_processors_depend_on_the_machine(simnet_network: Any, of_asyncio: bool) -> None:
    """Eight threads each, as on four processors."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        pool = None if of_asyncio else ThreadPoolExecutor()
        await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 1) for _ in range(9)))

    simnet_network.host("a").run(asyncio.run, main())
    assert simnet_network.time == 2


async def asks_in_a_thread(port: int) -> None:
    """Asks another server, by a client that blocks, for each line."""

    def ask(line: bytes) -> bytes:
        with socket.create_connection(("store", 7)) as sock, sock.makefile("rwb") as file:
            file.write(line)
            file.flush()
            return file.readline()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(await asyncio.to_thread(ask, line))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "", port)
    await server.serve_forever()


def store() -> None:
    """Capitals, a second later; each client in a thread of a pool."""

    def serve(sock: socket.socket) -> None:
        with sock, sock.makefile("rwb") as file:
            for line in file:
                time.sleep(1)
                file.write(line.upper())
                file.flush()

    with ThreadPoolExecutor(8) as pool, socket.create_server(("", 7)) as listener:
        while True:
            pool.submit(serve, listener.accept()[0])


def test_an_asyncio_server_serves_others_while_a_call_of_its_blocks_in_a_thread() -> None:
    with simnet.Network() as network:
        ask_two(network)
        assert 1 <= network.time < 1.1


def ask_two(net: Any) -> None:
    net.host("store").spawn(store)
    net.host("server").spawn(asyncio.run, asks_in_a_thread(80))
    with socket.create_connection(("server", 80), 10) as one, socket.create_connection(("server", 80), 10) as two:
        for sock, word in ((one, b"one\n"), (two, b"two\n")):
            sock.sendall(word)
        for sock, word in ((two, b"TWO\n"), (one, b"ONE\n")):
            with sock.makefile("rb") as file:
                assert file.readline() == word


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: queue.Queue(3), lambda: queue.SimpleQueue()], ids=["Queue", "SimpleQueue"])
@pytest.mark.parametrize("pause", [0, 0.01])
def test_a_producer_hands_over_to_consumers_as_often_as_it_likes(simnet_network: Any, make: Any, pause: float) -> None:
    line, done = make(), []

    def produce() -> None:
        for number in range(2_000):
            time.sleep(pause)
            line.put(number)
        for _ in range(2):
            line.put(None)

    def consume() -> None:
        while (number := line.get()) is not None:
            done.append(number)

    def main() -> None:
        threads = [threading.Thread(target=each) for each in (consume, consume, produce)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    simnet_network.host("a").run(main)
    assert done == list(range(2_000))
    assert simnet_network.time == pytest.approx(2_000 * pause)


def test_programs_hand_over_to_each_other_as_often_as_they_like(simnet_network: Any) -> None:
    """They share what a test shares between them."""
    line: queue.Queue[int] = queue.Queue()

    def produce() -> None:
        for number in range(2_000):
            time.sleep(0.01)
            line.put(number)

    simnet_network.host("a").spawn(produce)
    assert [line.get() for _ in range(2_000)] == list(range(2_000))


LINE = queue.SimpleQueue[int]()


def test_a_queue_that_was_made_at_import_is_waited_for_in_virtual_time(simnet_network: Any) -> None:
    """And the test has the same one."""

    def serve() -> None:
        while (number := LINE.get()) >= 0:
            time.sleep(1)
            LINE.put(number + 1)
            time.sleep(1)

    def main() -> None:
        threading.Thread(target=serve).start()

    with pytest.raises(queue.Empty):
        LINE.get(timeout=2)
    simnet_network.host("a").spawn(main)
    LINE.put(1)
    time.sleep(1.5)
    assert LINE.get() == 2
    LINE.put(-1)
    assert isinstance(LINE, queue.SimpleQueue)
    assert LINE.qsize() == 1


def test_who_waits_for_a_queue_with_a_time_out_waits_as_long_in_virtual_time(simnet_network: Any) -> None:
    line: queue.Queue[int] = queue.Queue(1)

    def main() -> list[float]:
        took = []
        thread = threading.Thread(target=lambda: [time.sleep(5), line.get(), line.get(timeout=10)])
        thread.start()
        line.put(1)
        for again in (False, True):
            before = time.monotonic()
            try:
                line.put(2, timeout=3)
            except queue.Full:
                assert not again
            took.append(time.monotonic() - before)
        thread.join()
        return took

    assert simnet_network.host("a").run(main) == [3, 2]


def test_a_thread_shares_the_descriptors_of_its_program_and_what_it_opened_outlives_it(simnet_network: Any) -> None:
    def main() -> bytes:
        with ThreadPoolExecutor(1) as pool:
            sock = pool.submit(socket.create_connection, ("store", 7)).result()
        with sock:
            assert sock.fileno() == socket.socket().detach() - 1, "they have one table"
            answers: Future[bytes] = Future()
            thread = threading.Thread(target=lambda: answers.set_result(sock.recv(100)))
            thread.start()
            sock.sendall(b"what\n")
            return answers.result(timeout=5)

    simnet_network.host("store").spawn(store)
    assert simnet_network.host("a").run(main) == b"WHAT\n"


def test_what_is_in_line_may_be_called_off(simnet_network: Any) -> None:
    def main() -> list[Any]:
        pool = ThreadPoolExecutor(1)
        first, second, third = (pool.submit(time.sleep, 1) for _ in range(3))
        assert second.cancel()
        assert not first.cancel()
        with pytest.raises(TimeoutError):
            first.result(timeout=0.5)
        pool.shutdown(wait=True, cancel_futures=True)
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(print)
        return [each.cancelled() for each in (first, second, third)]

    assert simnet_network.host("a").run(main) == [False, True, True]
    assert simnet_network.time == 1


def test_what_a_function_raises_after_it_has_waited_its_future_has(simnet_network: Any) -> None:
    def fail() -> None:
        time.sleep(1)
        raise KeyError("what")

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor() as pool:
            told = [loop.run_in_executor(each, fail) for each in (None, pool)]
            return [repr(each) for each in await asyncio.gather(*told, return_exceptions=True)]

    assert simnet_network.host("a").run(asyncio.run, main()) == ["KeyError('what')"] * 2
    assert simnet_network.time == 1


def test_what_was_called_off_in_a_thread_a_loop_tells_by_its_own_class(simnet_network: Any) -> None:
    def fail() -> None:
        raise concurrent.futures.CancelledError("called off")

    async def main() -> type[BaseException]:
        with pytest.raises(asyncio.CancelledError) as told:
            await asyncio.get_running_loop().run_in_executor(None, fail)
        return told.type

    assert simnet_network.host("a").run(asyncio.run, main()) is asyncio.CancelledError


def test_a_loop_waits_at_its_end_for_what_its_threads_still_do(simnet_network: Any) -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(time.sleep, 3))
        await asyncio.sleep(1)
        task.cancel()

    simnet_network.host("a").run(asyncio.run, main())
    assert simnet_network.time == 3


def test_who_waits_for_a_thread_that_sleeps_often_waits_as_long_as_it_does(simnet_network: Any) -> None:
    """Nothing is on a link meanwhile, and only clocks tick; but one of them is the thread's."""

    def look_often() -> str:
        for _ in range(500):
            time.sleep(0.1)
        return "there"

    async def main() -> str:
        return await asyncio.to_thread(look_often)

    with ThreadPoolExecutor() as pool:
        assert pool.submit(look_often).result() == "there"
    assert simnet_network.host("a").run(asyncio.run, main()) == "there"


def test_who_has_slept_often_may_wait_for_a_thread_that_sleeps(simnet_network: Any) -> None:
    """The test's own sleeps are no reason to think that nothing will come."""
    for _ in range(3_000):
        time.sleep(0.1)
    told = threading.Event()
    threading.Thread(target=lambda: [time.sleep(1), told.set()]).start()
    assert told.wait()


@pytest.mark.slow
def test_timers_that_set_the_next_one_are_clocks_that_tick() -> None:
    def serve() -> None:
        threading.Timer(1, serve).start()

    with pytest.raises(simnet.Deadlock, match="test waits for"), simnet.Network() as net:
        net.host("server").spawn(serve)
        threading.Event().wait()


def test_each_thread_of_a_pool_begins_with_what_the_pool_was_given(simnet_network: Any) -> None:
    begun: list[str] = []

    def begin(word: str) -> None:
        time.sleep(1)
        begun.append(f"{word} {threading.current_thread().name}")

    with ThreadPoolExecutor(2, "pool", begin, ("hello",)) as pool:
        list(pool.map(time.sleep, [1, 1, 1, 1]))
    assert begun == ["hello pool_0", "hello pool_1"]
    assert simnet_network.time == 3

    broken = ThreadPoolExecutor(1, "pool", lambda: 1 // 0)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        broken.submit(print).result()
    with pytest.raises(concurrent.futures.BrokenExecutor):
        broken.submit(print)


def test_a_program_ends_when_its_threads_have_and_daemons_end_with_it(simnet_network: Any) -> None:
    ended: list[str] = []

    def work(name: str, seconds: float) -> None:
        try:
            time.sleep(seconds)
        finally:
            ended.append(name)

    def main() -> str:
        threading.Thread(target=work, args=("daemon", 9), daemon=True).start()
        threading.Thread(target=work, args=("other", 5)).start()
        return "main"

    program = simnet_network.host("a").spawn(main)
    assert not program.join(4)
    assert program.join(2)
    assert (program.result, ended, simnet_network.time) == ("main", ["other", "daemon"], 5)


@pytest.mark.parametrize("seconds", [None, 0.5])
def test_a_peer_hears_of_the_end_of_a_program_whose_thread_still_reads_what_another_has_closed(
    simnet_network: Any, seconds: float | None
) -> None:
    def main() -> None:
        sock = socket.create_connection(("server", 7))
        sock.settimeout(seconds)
        threading.Thread(target=sock.recv, args=(10,), daemon=True).start()
        sock.close()  # the thread's call keeps it open (K-116), until that ends with the program

    def serve() -> bytes:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            return sock.recv(10)

    server = simnet_network.host("server").spawn(serve)
    simnet_network.host("client").run(main)
    assert server.join(1)
    assert server.result == b""


def test_an_exception_that_nobody_catches_in_a_thread_is_a_failure_and_its_program_goes_on() -> None:
    def main() -> str:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
        assert not thread.is_alive()
        return "goes on"

    with pytest.raises(ZeroDivisionError) as caught, simnet.Network() as net:
        assert net.host("a").run(main) == "goes on"
    assert "it ended the process a/<lambda>" in caught.value.__notes__[0]


def test_who_has_a_hook_for_the_exceptions_of_threads_gets_them_whatever_it_is(
    monkeypatch: pytest.MonkeyPatch, simnet_network: Any
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def main() -> None:
        thread = threading.Thread(target={}.__getitem__, args=("nothing",))
        thread.start()
        thread.join()

    simnet_network.host("a").run(main)
    assert [each.exc_type for each in told] == [KeyError]


@pytest.mark.parametrize("hooked", [False, True])
def test_a_thread_that_raises_keyboardinterrupt_itself_does_not_stop_the_run(hooked: bool) -> None:
    """As a server's does which a handler has told to stop so. An interpreter hands it to the thread's hook, and goes on."""
    told: list[type[BaseException]] = []

    def serve() -> None:
        raise KeyboardInterrupt

    def main() -> str:
        if hooked:
            threading.excepthook = lambda args: told.append(args.exc_type)
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
        return "goes on"

    with pytest.MonkeyPatch.context() as patch, simnet.Network(may_raise=(KeyboardInterrupt,)) as net:
        patch.setattr(threading, "excepthook", threading.excepthook)
        assert net.host("a").run(main) == "goes on"
    assert told == [KeyboardInterrupt] * hooked


def test_who_has_a_hook_for_what_goes_nowhere_gets_the_exceptions_of_the_threads_in_c(
    monkeypatch: pytest.MonkeyPatch, simnet_network: Any
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def fail() -> None:
        raise KeyError("nothing")

    def main() -> str:
        _thread.start_new_thread(fail, ())
        time.sleep(1)
        return "goes on"

    assert simnet_network.host("a").run(main) == "goes on"
    monkeypatch.undo()
    assert [each.exc_type for each in told] == [KeyError]
    assert told[0].err_msg.startswith("Exception ignored in thread started by")
    assert told[0].exc_traceback is told[0].exc_value.__traceback__ is not None


def test_an_exception_that_nobody_catches_in_a_thread_in_c_is_a_failure() -> None:
    def main() -> None:
        _thread.start_new_thread(lambda: 1 // 0, ())
        time.sleep(1)

    with pytest.raises(ZeroDivisionError), simnet.Network() as net:
        net.host("a").run(main)


def test_a_thread_knows_itself_and_its_likes(simnet_network: Any) -> None:
    def main() -> None:
        seen: list[Any] = []
        go = threading.Event()
        here = threading.local()
        here.value = "main"

        class Mine(threading.local):
            value = "mine"

        mine = Mine()
        mine.value = "main's"

        def look() -> None:
            seen.append((threading.current_thread(), threading.get_ident(), (getattr(here, "value", None), mine.value)))
            go.wait()

        threads = [threading.Thread(target=look, name=name) for name in ("one", "two")]
        for each in threads:
            each.start()
        assert threading.active_count() == len(threading.enumerate())
        assert [each.name for each in threading.enumerate()[-2:]] == ["one", "two"]
        assert all(each.is_alive() and "started" in repr(each) for each in threads)
        with pytest.raises(RuntimeError, match="once"):
            threads[0].start()
        go.set()
        for each in threads:
            each.join()
        assert [each for each, _, _ in seen] == threads
        assert [ident for _, ident, _ in seen] == [each.ident for each in threads]
        assert [value for _, _, value in seen] == [(None, "mine")] * 2
        assert (here.value, mine.value) == ("main", "main's")
        assert threading.current_thread() is threading.main_thread()
        assert not any(each.is_alive() or "started" in repr(each) for each in threads)

    simnet_network.host("a").run(main)


def test_the_threads_of_each_program_are_numbered_from_the_first_on() -> None:
    seen: list[list[str]] = []

    def main() -> None:
        names: list[str] = []
        seen.append(names)
        for _ in range(2):
            thread = threading.Thread(target=lambda: names.append(threading.current_thread().name.split()[0]))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(lambda: names.append(threading.current_thread().name)).result()

    for _ in range(2):
        with simnet.Network() as net:
            net.host("a").run(main)
            net.host("b").run(main)
    assert seen == [["Thread-1", "ThreadPoolExecutor-0_0", "Thread-2", "ThreadPoolExecutor-1_0"]] * 4


OWN = threading.local()


def connection() -> http.client.HTTPConnection:
    """As many programs keep one for each thread."""
    if not hasattr(OWN, "connection"):
        OWN.connection = http.client.HTTPConnection("server")
    made: http.client.HTTPConnection = OWN.connection
    return made


def test_what_a_program_keeps_for_each_thread_each_thread_of_a_pool_has(simnet_network: Any) -> None:
    def get(path: str) -> str:
        connection().request("GET", path)
        return connection().getresponse().read().decode()

    def main() -> int:
        assert not hasattr(OWN, "connection")
        with ThreadPoolExecutor(3) as pool:
            for _ in range(2):
                assert list(pool.map(get, ["/1", "/2", "/3", "/1"])) == ["/1", "/2", "/3", "/1"]
            kept = set(pool.map(lambda _: time.sleep(1) or connection(), range(3)))
        for each in kept:
            each.close()
        return len(kept)

    simnet_network.host("server").spawn(serve_pages)
    assert [simnet_network.host(name).run(main) for name in ("one", "two")] == [3, 3]


def test_a_signal_that_a_thread_sends_its_program_is_heard_by_the_main_one(simnet_network: Any) -> None:
    async def main() -> float:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        thread = threading.Thread(target=lambda: [time.sleep(2), os.kill(os.getpid(), signal.SIGTERM)])
        thread.start()
        await stop.wait()
        return time.monotonic()

    heard: list[Any] = []

    def blocking() -> None:
        signal.signal(signal.SIGUSR1, lambda number, _: heard.append((number, threading.current_thread().name)))

        def send() -> None:
            with pytest.raises(ValueError, match="signal only works in main thread"):
                signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            signal.raise_signal(signal.SIGUSR1)
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

        threading.Timer(1, send).start()
        time.sleep(2)

    assert simnet_network.host("a").run(asyncio.run, main()) == 2
    simnet_network.host("b").run(blocking)
    assert heard == [(signal.SIGUSR1, "MainThread")]


def test_a_thread_may_wait_for_the_main_one(simnet_network: Any) -> None:
    def main() -> list[float]:
        ended: list[float] = []
        threading.Thread(target=lambda: [threading.main_thread().join(), ended.append(time.monotonic())]).start()
        time.sleep(3)
        return ended

    assert simnet_network.host("a").run(main) == [3]


def test_an_event_loop_in_a_thread_is_given_work_by_its_program(simnet_network: Any) -> None:
    async def slow(word: str) -> str:
        await asyncio.sleep(2)
        return word.upper()

    def main() -> str:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        answer = asyncio.run_coroutine_threadsafe(slow("what"), loop).result(timeout=3)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        return answer

    assert simnet_network.host("a").run(main) == "WHAT"
    assert simnet_network.time == 2


def stuck() -> None:
    """The classic: work that waits for work in the same pool."""
    with ThreadPoolExecutor(2) as pool:

        def outer() -> Any:
            return pool.submit(inner).result()

        def inner() -> str:
            return "never"

        def waits(gate: Any) -> Any:
            gate.wait()
            return outer()

        gate = threading.Event()
        two = [pool.submit(waits, gate) for _ in range(2)]
        gate.set()
        print([each.result() for each in two])


def test_a_pool_that_is_stuck_is_told_with_who_waits_where_and_for_what() -> None:
    with pytest.raises(simnet.Deadlock) as caught, simnet.Network() as net:
        net.host("server").run(stuck)
    told = str(caught.value)
    assert "server/waits waits for a notification at test_threads.py:" in told
    assert "server/waits#2 waits for a notification at test_threads.py:" in told
    assert "server/waits, server/waits#2: all threads of a pool, and 2 more pieces of work wait for one" in told


def test_who_waits_for_a_notification_that_nobody_gives_is_told_where() -> None:
    with pytest.raises(simnet.Deadlock, match=r"consume waits for a notification at test_threads.py:\d+ in consume"):
        with simnet.Network() as net:
            net.host("server").run(consume_for_ever)


def consume_for_ever() -> None:
    line: queue.Queue[int] = queue.Queue()

    def consume() -> None:
        line.get()

    thread = threading.Thread(target=consume)
    thread.start()
    thread.join()


def fan_out(net: Any) -> list[str]:
    """What a sweep plays: a program of which all is done in threads."""
    net.host("server").spawn(serve_pages)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(fetch, path) for path in ("/1", "/2", "/1")]
        done, _ = concurrent.futures.wait(waiting, timeout=30)
        return [each.result() for each in waiting if each in done and each.exception() is None]


PLANS = (
    "",
    "reset test->server:80#1 end=server byte=3",
    "blackhole test->server:80#2 end=client byte=5",
    "stall *->*:*#* end=server byte=1 seconds=40",
    "schedule=random:5",
    "schedule=pct:8",
)


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("test", [fan_out, ask_two])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_two_runs_of_one_plan_are_the_same(test: Any, plan: str) -> None:
    runs = [simnet.play(test, plan, target="server") for _ in range(2)]
    assert runs[0].digest == runs[1].digest
    assert not any(run.verdicts or run.failures for run in runs)


@pytest.mark.slow
def test_so_they_are_whatever_objects_hash_to() -> None:
    source = f"""if True:
        import simnet
        from {__name__} import PLANS, ask_two, fan_out
        print(*(simnet.play(test, plan, target="server").digest for test in (fan_out, ask_two) for plan in PLANS))
    """
    digests = {
        subprocess.run(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "7")
    }
    assert len(digests) == 1


@pytest.mark.slow
@simnet.sweep(target="server", runs=200)
def test_a_program_of_threads_is_swept(net: Any) -> None:
    fan_out(net)


@pytest.mark.slow
def test_what_a_server_asks_in_a_thread_without_a_time_out_is_found_by_a_sweep() -> None:
    """Its store hangs up: it has no answer for its client, and lets it wait."""
    result = run_sweep(ask_two, SweepOptions.of(target="server", kinds="eof"))
    assert "others-answered" in [each.reason for each in result.failures]


def test_a_thread_that_the_test_does_not_wait_for_keeps_its_sockets_until_it_has_ended() -> None:
    heard: list[bytes] = []

    def ask() -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            while data := sock.recv(100):
                heard.append(data)

    def answer() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            connection.recv(100)
            for each in (b"not", b"yet"):
                time.sleep(5)
                connection.sendall(each)

    with simnet.Network() as net:
        net.host("server").spawn(answer)
        threading.Thread(target=ask).start()
        kept = socket.create_connection(("server", 7))
    assert heard == [b"not", b"yet"], "EBADF, or a reset, when the test had ended"
    assert kept.fileno() != -1, "what nobody closes is closed with the network, after them"


@pytest.mark.parametrize("daemon", [False, True])
def test_a_server_that_a_test_runs_in_a_thread_ends_with_it(simnet_network: Any, daemon: bool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))
        writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(answer, port=7):
            for _ in range(10):
                await asyncio.sleep(15)  # it looks around once more when the test has ended
            await asyncio.Event().wait()

    threading.Thread(target=asyncio.run, args=(serve(),), daemon=daemon).start()
    with socket.create_connection(("localhost", 7)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(10) == b"hello"


def test_what_a_test_has_left_open_is_closed_when_only_daemons_go_on() -> None:
    heard: list[bytes] = []

    def hear() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            heard.append(connection.recv(10))

    with simnet.Network() as net:
        net.host("server").spawn(hear)
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        kept = socket.create_connection(("server", 7))
    assert heard == [b""], kept


@pytest.mark.parametrize("daemon", [False, True])
def test_a_sweep_warns_of_a_thread_that_the_test_has_left_waiting(daemon: bool) -> None:
    def leaves() -> None:
        threading.Thread(target=threading.Event().wait).start()

    def test(net: Any) -> None:
        net.host("server").spawn(serve_pages)
        net.host("another").spawn(leaves)  # a program may go on for ever
        threading.Thread(target=threading.Event().wait, daemon=daemon).start()
        assert fetch("/1")

    told = [(each.name, each.at) for each in simnet.check(test, target="server", runs=2).warnings]
    assert [name for name, _ in told] == ([] if daemon else ["thread-left"])


def test_a_socket_that_an_ended_thread_has_made_is_closed_when_nobody_has_it_any_more(simnet_network: Any) -> None:
    def main() -> bytes:
        made: list[socket.socket] = []
        with socket.create_server(("", 7)) as listener:
            thread = threading.Thread(target=lambda: made.append(socket.create_connection(("localhost", 7))))
            thread.start()
            thread.join()
            with listener.accept()[0] as accepted:
                accepted.settimeout(5)
                with pytest.warns(ResourceWarning, match="unclosed"):
                    made.clear()
                return accepted.recv(1)

    assert simnet_network.host("a").run(main) == b""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_socket_that_an_exception_takes_with_its_thread_is_closed() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                threading.Thread(target=talk, args=(listener.accept()[0].detach(),), daemon=True).start()

    def talk(fd: int) -> None:
        sock = socket.socket(fileno=fd)
        sock.recv(100)
        sock.getpeername()
        sock.close()

    def body(net: Any) -> None:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    result = run_sweep(body, SweepOptions.of(target="server", kinds=["reset"]))
    assert "nothing-left" not in [each.reason for each in result.failures]
