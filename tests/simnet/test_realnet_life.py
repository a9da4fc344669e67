"""Programs on a real network: each believes to be on a host of its own, and ends when its network does."""

from __future__ import annotations

import asyncio
import bdb
import contextlib
import errno
import gc
import inspect
import os
import queue
import random
import select
import selectors
import signal
import socket
import socketserver
import sys
import tempfile
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import dispatch
from dispatch import asyncore
from simnet import Deadlock, Hang, Network, modules, play, real
from simnet.realnet import RealNetwork, guard, play_real, stage
from simnet.realnet.process import RealProcess
from tests.certificates import contexts
from tests.simnet.servers import echo


def ask(address: tuple[str, int], question: bytes) -> bytes:
    with socket.create_connection(address) as sock:
        sock.sendall(question)
        sock.shutdown(socket.SHUT_WR)
        return sock.makefile("rb").read()


def test_ports_and_addresses_are_shown_as_the_program_named_them() -> None:
    def serve() -> Any:
        with socket.create_server(("", 7)) as listener:
            bound = listener.getsockname()
            connection, peer = listener.accept()
            with connection:
                return bound, connection.getsockname(), connection.getpeername(), peer

    with RealNetwork() as net:
        server, test = net.host("server"), net.host("test")
        process = server.spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            mine = sock.getsockname()
            assert sock.getpeername() == (server.address, 7)
            assert mine[0] == test.address
        assert process.join(5)
        assert process.result == (("0.0.0.0", 7), (server.address, 7), mine, mine)
        assert server.address != test.address
        assert server.address.startswith("127.")


def test_two_networks_have_the_same_port_at_the_same_time() -> None:
    from dispatch import asyncore

    before = asyncore.socket_map
    answers: list[bytes] = []
    both = threading.Barrier(2)

    def one_network(answer: bytes) -> None:
        with RealNetwork() as net:
            net.host("server").spawn(echo, 7)
            both.wait(5)
            answers.append(ask(("server", 7), answer))

    thread = threading.Thread(target=one_network, args=(b"two",))
    thread.start()
    one_network(b"one")
    thread.join(5)
    assert sorted(answers) == [b"one", b"two"]
    assert asyncore.socket_map is before, "whichever ended first"


def test_only_the_main_thread_of_a_program_handles_its_signals() -> None:
    told: list[str] = []

    def another() -> None:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        except ValueError as error:
            told.append(str(error))

    def program() -> Any:
        before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
        return before, signal.getsignal(signal.SIGTERM)

    with RealNetwork() as net:
        assert net.host("server").run(program) == (signal.SIG_DFL, signal.SIG_DFL)
    assert told == ["signal only works in main thread of the main interpreter"]


def test_a_run_that_takes_longer_than_it_may_is_stopped_and_says_who_was_where() -> None:
    def beats() -> None:
        while True:
            time.sleep(0.001)

    def test(net: Any) -> None:
        net.host("server").spawn(beats)
        with contextlib.suppress(Hang):
            beats()
        time.sleep(0.001)  # it has been told, and cleans up

    run = play_real(test, seconds=0.05)
    (verdict,) = run.verdicts
    assert (verdict.name, run.body_error) == ("Hang", None)
    assert verdict.message.startswith("the run took longer than 0.05 s of real time:\n  ")
    assert "server/beats waits for time to pass" in verdict.message


def test_a_machine_that_was_paused_has_no_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    late_ns = 0
    true = real.monotonic_ns
    monkeypatch.setattr(real, "monotonic_ns", lambda: true() + late_ns)
    asked, answered = threading.Event(), threading.Event()

    def serve() -> None:
        asked.wait()
        answered.set()

    with RealNetwork() as net:
        net.host("server").spawn(serve)
        late_ns = 3_000_000_000  # nobody has moved for so long, nor could they
        asked.set()
        answered.wait()


def test_names_resolve_in_the_network_and_nowhere_else() -> None:
    with RealNetwork() as net:
        server = net.host("server")
        assert socket.gethostbyname("server") == server.address
        assert socket.gethostbyaddr(server.address)[0] == "server"
        assert socket.gethostname() == socket.getfqdn() == "test"
        assert server.run(socket.gethostname) == "server"
        assert socket.getaddrinfo("server", 80, type=socket.SOCK_STREAM) == [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (server.address, 80))
        ]
        with pytest.raises(socket.gaierror):
            socket.create_connection(("example.org", 80))
        with pytest.raises(socket.gaierror) as unknown, socket.socket(socket.AF_INET6) as sock:
            sock.connect(("server", 80))
        assert "'server' has no address of IPv6 on real sockets" in unknown.value.__notes__[0]
        with pytest.raises(OSError, match="unreachable") as error, socket.socket() as sock:
            sock.connect(("192.0.2.1", 80))  # TEST-NET-1, RFC 5737
        assert error.value.errno == errno.ENETUNREACH


def test_nobody_listening_is_refused_by_the_kernel() -> None:
    with RealNetwork() as net:
        net.host("server")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("server", 7))
        net.host("server").spawn(echo, 7)
        assert ask(("server", 7), b"now") == b"now"


def test_a_port_in_use_is_in_use_on_its_host_only() -> None:
    with RealNetwork() as net:
        one = net.host("one").listen(7)
        two = net.host("two").listen(7)
        with one, two, pytest.raises(OSError, match="in use"):
            net.host("one").listen(7)


def test_localhost_is_the_own_host() -> None:
    def talk_to_itself() -> bytes:
        with socket.create_server(("127.0.0.1", 7)) as listener:
            assert listener.getsockname() == ("127.0.0.1", 7)
            with socket.create_connection(("localhost", 7)) as sock, listener.accept()[0] as other:
                sock.sendall(b"me")
                return other.recv(9)

    with RealNetwork(may_raise=(ConnectionRefusedError,)) as net:
        assert net.host("a").run(talk_to_itself) == b"me"
        with pytest.raises(ConnectionRefusedError):
            net.host("b").run(socket.create_connection, ("127.0.0.1", 7))


def test_one_ipv6_socket_serves_both_families() -> None:
    def serve() -> str:
        with socket.create_server(("", 7), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
            connection, address = listener.accept()
            connection.close()
            return str(address[0])

    with RealNetwork() as net:
        process = net.host("server").spawn(serve)
        socket.create_connection(("server", 7)).close()
        assert process.join(5)
        assert process.result == f"::ffff:{net.host('test').address}"


def test_datagrams_go_by_the_same_names() -> None:
    def serve() -> Any:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", 53))
            data, address = sock.recvfrom(100)
            sock.sendto(data.upper(), address)
            return address

    with RealNetwork() as net:
        process = net.host("server").spawn(serve)
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("", 1053))
            sock.sendto(b"who?", ("server", 53))
            assert sock.recvfrom(100) == (b"WHO?", (net.host("server").address, 53))
        assert process.join(5)
        assert process.result == (net.host("test").address, 1053)


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("network", [RealNetwork, Network])
def test_each_process_has_its_own_socket_map(network: Any, installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from dispatch import asyncore

    if installed:  # then it has two names, and one map for each process all the same
        monkeypatch.setitem(sys.modules, "asyncore", asyncore)

    class Server(asyncore.dispatcher):
        def __init__(self) -> None:
            super().__init__()
            self.create_socket()
            self.bind(("", 7))
            self.listen(5)

        def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
            handler = asyncore.dispatcher_with_send(sock)
            handler.handle_read = lambda: handler.send(handler.recv(100).upper())  # type: ignore[method-assign]

    class Client(asyncore.dispatcher_with_send):
        def __init__(self) -> None:
            super().__init__()
            self.answer = b""
            self.create_socket()
            self.connect(("server", 7))

        def handle_connect(self) -> None:
            self.send(b"hello")

        def handle_read(self) -> None:
            self.answer = self.recv(100)
            self.close()

    before = asyncore.socket_map

    def serve() -> None:
        Server()
        asyncore.loop()

    def call() -> bytes:
        client = Client()
        assert len(asyncore.socket_map) == 1
        assert list(asyncore.socket_map.values()) == [client]
        assert isinstance(asyncore.socket_map, type(before))  # it tells its loop what changes, as outside
        asyncore.loop()
        return client.answer

    with network() as net:
        net.host("server").spawn(serve)
        assert net.host("client").run(call) == b"HELLO"
        assert not asyncore.socket_map
    assert asyncore.socket_map is before


def test_an_asyncio_server_serves_a_blocking_library_client() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async def web() -> None:
        server = await asyncio.start_server(handle, "", 80)
        await server.serve_forever()

    with RealNetwork() as net:
        net.host("server").spawn(asyncio.run, web())
        net.host("server").wait_listening(80)  # it waits for a name first
        with urllib.request.urlopen("http://server/") as page:
            assert page.read() == b"hello"


def test_the_interpreters_own_asyncore_has_a_map_for_each_process() -> None:
    asyncore = pytest.importorskip("asyncore", reason="gone from Python 3.12")

    class Server(asyncore.dispatcher):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.create_socket()
            self.bind(("", 7))
            self.listen(5)

        def handle_accepted(self, sock: socket.socket, addr: Any) -> None:
            sock.close()
            raise ZeroDivisionError

        def handle_error(self) -> None:
            pass

    def serve() -> None:
        Server()
        asyncore.loop()

    def test(net: RealNetwork) -> None:
        net.host("server").spawn(serve)
        net.host("other").spawn(serve)
        for name in ("server", "other"):
            with socket.create_connection((name, 7)) as client:
                assert client.recv(1) == b""  # a busy machine may be slow to serve: wait for it

    run = play_real(test)
    assert sorted((each.host, each.handler, type(each.error).__name__) for each in run.handler_errors) == [
        ("other", "handle_read", "ZeroDivisionError"),
        ("server", "handle_read", "ZeroDivisionError"),
    ]
    assert run.alive == ("server/serve", "other/serve")
    assert asyncore.socket_map == {}
    assert type(asyncore.socket_map) is dict


@pytest.mark.slow
def test_who_was_woken_and_has_not_run_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = RealProcess.look_up

    def late(process: RealProcess) -> None:
        if process.host_name == "server" and threading.get_ident() in process.waits:
            real.sleep(0.2)  # as on a busy machine: longer than nothing must move before the network counts as quiet
        look_up(process)

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"x")
                assert connection.recv(1) == b""

    monkeypatch.setattr(RealProcess, "look_up", late)
    with RealNetwork() as net:
        process = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(1) == b"x"
            time.sleep(0.05)
    assert process.done
    assert net.verdicts == []


@pytest.mark.slow
def test_tls_goes_by_the_same_names_and_its_waits_end_too() -> None:
    inside, outside = contexts("server")

    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            while True:
                connection, _ = listener.accept()
                with inside.wrap_socket(connection, server_side=True) as secure:
                    while data := secure.recv(100):
                        secure.sendall(data.upper())

    with RealNetwork() as net:
        process = net.host("server").spawn(serve)
        for _ in range(2):
            with outside.wrap_socket(socket.create_connection(("server", 443)), server_hostname="server") as sock:
                sock.sendall(b"hello")
                assert sock.recv(100) == b"HELLO"
                assert sock.getpeername() == (net.host("server").address, 443)
        lasting = outside.wrap_socket(socket.create_connection(("server", 443)), server_hostname="server")
        lasting.sendall(b"hello")
        assert lasting.recv(100) == b"HELLO"  # now the server waits inside OpenSSL
        keep = [lasting]
    assert process.done
    assert net.verdicts == []
    keep.clear()


def test_a_thread_whose_poller_the_end_has_closed_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    started: list[threading.Thread] = []

    def polls() -> None:
        with select.epoll() as poller:
            while True:
                poller.poll()

    def serve() -> None:
        started.append(threading.Thread(target=polls))
        started[0].start()

    with RealNetwork() as net:
        net.host("server").spawn(serve).join()
        time.sleep(0.05)
    started[0].join(5)
    assert not started[0].is_alive()
    assert said == []


@pytest.mark.slow
def test_who_is_notified_while_a_wait_looks_up_is_woken() -> None:
    class Lock:
        """Whoever takes it back, after the condition let go of it, is too late: others have notified before."""

        def __init__(self) -> None:
            self.lock = threading.Lock()
            self.mine = self.late = False

        def acquire(self, *args: Any) -> bool:
            if self.mine and not self.late and not self.lock.locked():
                self.late = True
                condition.notify_all()
            return self.lock.acquire(*args)

        def release(self) -> None:
            self.lock.release()

        def _is_owned(self) -> bool:
            return True

    lock: Any = Lock()
    condition = threading.Condition(lock)

    def notify_later() -> None:
        time.sleep(0.2)
        if not lock.late:
            condition.notify_all()

    with RealNetwork():
        other = threading.Thread(target=notify_later)
        other.start()
        lock.acquire()
        lock.mine = True
        assert condition.wait(1)
        other.join(5)  # it sleeps, and a sleep has descriptors


def test_threads_that_a_program_starts_belong_to_its_process() -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            assert socket.gethostname() == "server"
            self.request.sendall(self.request.recv(100).upper())

    def serve() -> None:
        with socketserver.ThreadingTCPServer(("", 7), Handler) as server:
            server.serve_forever(poll_interval=0.01)

    with RealNetwork() as net:
        net.host("server").spawn(serve)
        assert ask(("server", 7), b"hello") == b"HELLO"
        lingering = socket.create_connection(("server", 7))  # its thread waits in recv when the network ends
        assert net.processes[1].name == "server/serve"
    lingering.close()


def test_spawn_returns_when_the_process_first_waits() -> None:
    steps: list[str] = []

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            steps.append("listens")
            listener.accept()

    with RealNetwork() as net:
        net.host("server").spawn(serve)
        assert steps == ["listens"]


def waits_in_accept(ready: Callable[[], None]) -> None:
    with socket.create_server(("", 7)) as listener:
        ready()
        listener.accept()


def waits_in_recv(ready: Callable[[], None]) -> None:
    one, other = socket.socketpair()
    with one, other:
        ready()
        one.recv(1)


def waits_in_send(ready: Callable[[], None]) -> None:
    one, other = socket.socketpair()
    with one, other:
        ready()
        one.sendall(bytes(10_000_000))


def waits_in_sleep(ready: Callable[[], None]) -> None:
    ready()
    time.sleep(3600)


def waits_in_select(ready: Callable[[], None]) -> None:
    one, other = socket.socketpair()
    with one, other:
        ready()
        select.select([one], [], [])


def waits_in_poll(ready: Callable[[], None]) -> None:
    ready()
    select.poll().poll()


def waits_in_epoll(ready: Callable[[], None]) -> None:
    with select.epoll() as epoll:
        ready()
        epoll.poll()


def waits_in_a_selector(ready: Callable[[], None]) -> None:
    one, other = socket.socketpair()
    with one, other, selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ)
        ready()
        selector.select()


def waits_in_asyncio(ready: Callable[[], None]) -> None:
    async def main() -> None:
        ready()
        await asyncio.Event().wait()

    asyncio.run(main())


def polls_without_a_pause(ready: Callable[[], None]) -> None:
    ready()
    while True:
        select.select([], [], [], 0)


def waits_for_an_event(ready: Callable[[], None]) -> None:
    ready()
    threading.Event().wait()


def waits_for_a_queue(ready: Callable[[], None]) -> None:
    ready()
    queue.Queue[int]().get()


def waits_for_a_thread(ready: Callable[[], None]) -> None:
    thread = threading.Thread(target=waits_in_recv, args=(ready,))
    thread.start()
    thread.join()


def swallows_everything(ready: Callable[[], None]) -> None:
    ready()
    for _ in range(5):
        try:
            time.sleep(3600)
        except:  # noqa: E722
            pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        waits_in_accept,
        waits_in_recv,
        waits_in_send,
        waits_in_sleep,
        waits_in_select,
        waits_in_poll,
        waits_in_epoll,
        waits_in_a_selector,
        waits_in_asyncio,
        polls_without_a_pause,
        waits_for_an_event,
        waits_for_a_queue,
        waits_for_a_thread,
        swallows_everything,
    ],
)
def test_whatever_a_process_waits_in_it_ends_with_its_network(program: Callable[[Callable[[], None]], None]) -> None:
    reached = threading.Event()
    with RealNetwork() as net:
        process = net.host("server").spawn(program, reached.set)
        assert reached.wait(5)
    assert process.done
    assert process.error is None
    assert net.verdicts == []


def test_finally_code_runs_and_its_time_outs_elapse_at_once() -> None:
    steps: list[str] = []

    def serve() -> None:
        try:
            time.sleep(3600)
        finally:
            time.sleep(1800)
            steps.append("cleaned up")

    with RealNetwork() as net:
        net.host("server").spawn(serve)
    assert steps == ["cleaned up"]


@pytest.mark.slow
def test_a_computation_is_interrupted() -> None:
    def compute() -> None:
        time.sleep(0)  # spawn() returns
        while True:
            pass

    run = play_real(lambda net: net.host("server").spawn(compute) and None)
    assert [(verdict.name, verdict.host) for verdict in run.verdicts] == [("Hang", "server")]
    assert "neither waits nor ends: server/compute computes at test_realnet_life.py" in run.verdicts[0].message


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kind", ["a pool's idle thread", "a thread", "the first thread"])
def test_who_waits_for_what_may_come_in_c_does_not_compute(kind: str, *, fails: bool) -> None:
    """As the threads of a ThreadPoolExecutor do for the next task."""
    tasks: queue.SimpleQueue[None] = queue.SimpleQueue()
    pool = ThreadPoolExecutor(1)
    spawned: list[RealProcess] = []

    def serve() -> None:
        if kind == "a thread":
            threading.Thread(target=tasks.get, daemon=True).start()
        with socket.create_server(("", 7)) as listener:
            if kind == "a pool's idle thread":
                pool.submit(time.sleep, 0)
            while True:
                with listener.accept()[0] as conn:
                    conn.sendall(b"hello")
                if kind == "the first thread":
                    tasks.get()

    def test(net: RealNetwork) -> bytes:
        spawned.append(net.host("server").spawn(serve))
        with socket.create_connection(("server", 7)) as sock:
            assert not fails
            return sock.recv(5)

    run = play_real(test)
    assert run.verdicts == []
    assert (run.outcome.returned, run.body_error is not None) == (None if fails else b"hello", fails)
    tasks.put(None)
    pool.shutdown()
    (process,) = spawned
    assert process.join_threads(time.monotonic_ns() + 10**10) == []
    process.stage.stop.close()


@pytest.mark.slow
def test_so_is_the_bodys_and_shown_without_what_led_to_the_test() -> None:
    def compute(net: Any) -> None:
        while True:
            pass

    run = play_real(compute, seconds=0.1)
    (verdict,) = run.verdicts
    assert "the test's body has computed beyond 0.1 s" in verdict.message
    assert "in compute" in verdict.message
    assert "_pytest" not in verdict.message


def test_an_exception_ends_the_process_and_is_raised_with_the_network() -> None:
    def serve() -> None:
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"), RealNetwork() as net:
        net.host("server").spawn(serve)
    assert [(process.name, type(process.error)) for process in net.processes if process.error] == [
        ("server/serve", ValueError)
    ]


def test_run_gives_what_the_function_returned_or_raises_what_it_raised() -> None:
    with RealNetwork(may_raise=(ZeroDivisionError,)) as net:
        assert net.host("a").run(int, "7") == 7
        with pytest.raises(ZeroDivisionError):
            net.host("a").run(lambda: 1 / 0)


def test_time_outs_are_kept() -> None:
    with RealNetwork() as net:
        listener = net.host("server").listen(7)
        with listener, socket.create_connection(("server", 7), timeout=0.02) as sock:
            before = net.time
            with pytest.raises(TimeoutError, match="timed out"):
                sock.recv(1)
            assert 0.02 <= net.time - before < 1
            assert sock.gettimeout() == 0.02
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
            with pytest.raises(ValueError, match="out of range"):
                sock.settimeout(-1)


def test_default_time_outs_are_each_processes_own() -> None:
    def late() -> float | None:
        socket.setdefaulttimeout(5)
        with socket.socket() as sock:
            return sock.gettimeout()

    with RealNetwork() as net:
        assert net.host("a").run(late) == 5
        with socket.socket() as sock:
            assert sock.gettimeout() is None
    assert socket.getdefaulttimeout() is None


def test_what_is_no_time_out_is_refused_as_a_default_too() -> None:
    with RealNetwork():
        with pytest.raises(ValueError, match="out of range"):
            socket.setdefaulttimeout(-1)
        with pytest.raises(TypeError):
            socket.setdefaulttimeout("soon")  # type: ignore[arg-type]


def test_a_run_prints_as_a_simulated_one_does() -> None:
    for kind, run in (("Run", play), ("RealRun", play_real)):
        assert repr(run(lambda net: 7)) == f"{kind}(no faults: returned 7; 0 failures; 0 events)"


def test_a_program_throws_the_same_dice_as_on_simnet() -> None:
    def thrown(net: Any) -> list[Any]:
        return [net.seed, random.random(), net.host("a").run(random.random), net.host("a").run(os.urandom, 4)]

    dice = [play(thrown, "seed=4"), play_real(thrown, "seed=4"), play(thrown, seed=4), play_real(thrown, seed=4)]
    assert [each.outcome.returned for each in dice] == [dice[0].outcome.returned] * 4


@pytest.mark.parametrize("left", [bdb.BdbQuit(), pytest.exit.Exception("enough")], ids=["pdb", "pytest"])
@pytest.mark.parametrize("world", [play, play_real])
def test_who_leaves_a_debugger_in_a_run_wants_no_other(world: Any, left: Exception) -> None:
    def leave() -> None:
        raise left

    with pytest.raises(BaseException) as caught:  # which one, is asked below
        world(lambda net: net.host("server").spawn(leave).join())
    assert isinstance(caught.value, KeyboardInterrupt if isinstance(left, bdb.BdbQuit) else pytest.exit.Exception)


@pytest.mark.slow
def test_a_body_that_waits_for_nobody_is_a_deadlock() -> None:
    def silent() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as sock:
            sock.recv(1)

    with (
        pytest.raises(Deadlock, match=r"server/silent waits for recv on test->server:7#1") as error,
        RealNetwork() as net,
    ):
        net.host("server").spawn(silent)
        with socket.create_connection(("server", 7)) as sock:
            sock.recv(1)
    assert "test_realnet_life.py" in str(error.value)


@pytest.mark.slow
def test_a_run_beyond_its_bound_is_a_verdict() -> None:
    def test(net: RealNetwork) -> None:
        net.sleep(60)

    run = play_real(test, seconds=0.2)
    assert [verdict.name for verdict in run.verdicts] == ["Hang"]
    assert "longer than 0.2 s" in run.verdicts[0].message


@pytest.mark.slow
def test_wait_listening_waits_for_a_listener() -> None:
    def late() -> None:
        time.sleep(0.05)
        echo(7)

    with RealNetwork() as net:
        net.host("server").spawn(late)
        net.host("server").wait_listening(7)
        assert ask(("server", 7), b"there") == b"there"
        with pytest.raises(TimeoutError, match="server:8"):
            net.host("server").wait_listening(8, timeout=0.01)


def test_sockets_of_a_host_in_the_hands_of_the_test() -> None:
    with RealNetwork() as net:
        listener = net.host("server").listen(7)
        client = net.host("client").connect(("server", 7))
        with listener, client:
            connection, address = listener.accept()
            with connection:
                assert address[0] == net.host("client").address
                connection.sendall(b"x" * 10)
                assert client.recv(100) == b"x" * 10
                twin = client.dup()
                with twin:
                    twin.sendall(b"y")
                    assert connection.recv(100) == b"y"


class Greeter(socket.socket):
    def __init__(self, port: int) -> None:
        super().__init__()
        self.connect(("server", port))


class OldGreeter(socket.socket):
    """As classes are written that are older than `super`."""

    def __init__(self, port: int) -> None:
        socket.socket.__init__(self, socket.AF_INET, socket.SOCK_STREAM)
        socket.socket.connect(self, ("server", port))

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        return socket.socket.recv(self, bufsize, flags)


@pytest.mark.slow
@pytest.mark.parametrize("network", [Network, RealNetwork])
@pytest.mark.parametrize("kind", [Greeter, OldGreeter])
def test_users_subclasses_of_socket_work(network: Any, kind: type[Greeter | OldGreeter]) -> None:
    with network() as net:
        net.host("server").spawn(echo, 7)
        with kind(7) as greeter:
            greeter.sendall(b"hello")
            assert greeter.recv(9) == b"hello"
            assert isinstance(greeter, kind)
    modules.restore()
    assert not {"connect", "recv", "send"} & set(vars(socket.socket))
    assert str(inspect.signature(socket.socket)).startswith("(family=-1")


class Proud(socket.socket):
    """Its own verbs are for its users, and nobody else's: C functions do not call each other's overrides."""

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data = bytearray(bufsize)
        return b"mine: " + data[: self.recv_into(data, flags=flags)]

    def recvfrom(self, bufsize: int, flags: int = 0) -> Any:
        raise AssertionError

    recvmsg = recvfrom  # type: ignore[assignment]

    def send(self, data: Any, flags: int = 0) -> int:
        return self.sendmsg([data], [], flags)


@pytest.mark.slow
@pytest.mark.parametrize("network", [Network, RealNetwork])
def test_what_a_users_subclass_has_of_its_own_is_called_by_its_users_alone(network: Any) -> None:
    with network() as net:
        net.host("server").spawn(echo, 7)
        with Proud() as proud, tempfile.TemporaryFile() as file:
            proud.connect(("server", 7))
            assert proud.send(b"abcd") == 4
            proud.sendall(b"efghijkl")
            file.write(b"mnop")
            file.seek(0)
            time.sleep(0.1)
            assert proud.recv(4) == b"mine: abcd"
            piece = bytearray(2)
            assert (proud.recvfrom_into(piece)[0], piece) == (2, b"ef")
            assert (proud.recvmsg_into([piece])[0], piece) == (2, b"gh")
            with proud.makefile("rb") as lines:
                assert lines.read(4) == b"ijkl"
            proud.setblocking(True)
            assert proud.sendfile(file) == 4
            assert proud.recv(4) == b"mine: mnop"


def test_what_is_observed_and_what_must_always_hold_are_on_record() -> None:
    def test(net: RealNetwork) -> str:
        net.observe("answer", 42)

        @net.always
        def never() -> None:
            assert not net.observations

        with pytest.raises(AssertionError), net.always():
            assert net.time < 0
        return "done"

    run = play_real(test)
    assert run.outcome.returned == "done"
    assert run.outcome.observed == (("answer", 42),)
    assert [verdict.name for verdict in run.verdicts] == ["always", "always"]


@pytest.mark.slow
def test_what_is_left_when_nothing_moves_is_seen() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            listener.accept()
            del connection

    def test(net: RealNetwork) -> None:
        net.host("server").spawn(serve)
        socket.create_connection(("server", 7)).close()

    run = play_real(test)
    assert run.alive == ("server/serve",)
    assert run.listening == ("server:7",)
    assert [(each.process, each.what.split(" at ")[0]) for each in run.waiting] == [
        ("server/serve", "server/serve waits for accept on server:7")
    ]
    assert [verdict.name for verdict in run.verdicts] == ["nothing-left"]
    assert "CLOSE_WAIT" in run.verdicts[0].message


@pytest.mark.slow  # real seconds: it sleeps longer than a network may go on
def test_who_has_slept_since_anything_moved_is_not_blamed_for_what_it_holds() -> None:
    def sleeper() -> None:
        with socket.create_server(("", 7)) as listener:
            _conn = listener.accept()
            time.sleep(30)  # ended before

    def looker(conns: list[socket.socket]) -> None:
        with socket.create_server(("", 7)) as listener:
            conns.append(listener.accept()[0])
            while True:
                time.sleep(0.02)

    with RealNetwork() as net:
        net.host("server").spawn(sleeper)
        net.host("test").connect(("server", 7)).close()
    with pytest.raises(AssertionError, match="nothing-left"), RealNetwork() as net:
        net.host("server").spawn(looker, [])
        net.host("test").connect(("server", 7)).close()


def test_a_network_is_entered_once_by_one_thread() -> None:
    net = RealNetwork()
    with net:
        for other in (RealNetwork(), Network()):
            with pytest.raises(RuntimeError, match=r"another network .* entered at test_realnet_life.py:"):
                other.begin()
    with pytest.raises(RuntimeError, match="entered before"):
        net.begin()
    with pytest.raises(RuntimeError, match="enter the network first"):
        net.host("a").spawn(print)
    assert modules.active() is None


def test_links_may_be_named_and_have_no_effect() -> None:
    with RealNetwork() as net:
        net.link("test", "server").latency = 5.0
        net.host("server").spawn(echo, 7)
        assert ask(("server", 7), b"quick") == b"quick"
        assert net.time < 4
    assert net.notes == ["the link between test and server is loopback: what is set on it has no effect"]


def test_what_no_kernel_can_be_made_to_do_is_refused_with_the_reason() -> None:
    with RealNetwork() as net:
        server = net.host("server")
        net.heal()
        for refused in (server.crash, server.restart):
            with pytest.raises(RuntimeError, match=rf"{refused.__name__}\(\) is for a simulated network: .* threads"):
                refused()
        with pytest.raises(
            RuntimeError, match=r"partition\(\) is for a simulated network: here loopback cannot be cut"
        ):
            net.partition("test", "server")


@pytest.mark.parametrize("world", [Network, RealNetwork])
def test_the_socket_map_of_a_process_is_of_the_kind_that_the_module_has(world: Any) -> None:
    """A dict would do, but be served in another way than where there is no network of ours."""
    from dispatch import asyncore

    def look() -> tuple[bool, int]:
        asyncore.socket_map[len(asyncore.socket_map)] = "somebody"
        return isinstance(asyncore.socket_map, outside), len(asyncore.socket_map)

    outside = type(asyncore.socket_map)
    with world() as net:
        assert [net.host("a").run(look), net.host("b").run(look)] == [(True, 1), (True, 1)]
    assert not asyncore.socket_map


def test_what_failed_in_a_loop_is_told_by_the_names_that_the_simulator_has_for_it() -> None:
    class Server(asyncore.dispatcher):
        def handle_accepted(self, sock: Any, addr: Any) -> None:
            sock.close()
            raise KeyError("nobody expects this")

    def by_asyncore() -> None:
        server = Server()
        server.create_socket()
        server.bind(("", 7))
        server.listen(5)
        asyncore.loop(timeout=0.05)

    async def by_asyncio() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            raise KeyError("nobody expects this")

        await (await asyncio.start_server(serve, "0.0.0.0", 7)).serve_forever()

    def call(net: Any, serve: Callable[[], Any]) -> None:
        net.host("server").spawn(serve)
        net.host("server").wait_listening(7)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(100) == b""

    for serve in (by_asyncore, lambda: asyncio.run(by_asyncio())):
        told = []
        for player in (play, play_real):
            run = player(lambda net, serve=serve: call(net, serve), target="server")  # type: ignore[misc]
            told.append(
                ([(each.handler, each.channel) for each in run.handler_errors], [v.message for v in run.verdicts])
            )
        simulated, real = told
        assert real[0] == simulated[0]
        assert len(real[0]) == 1
        assert [text.partition(" was closed at")[0] for text in real[1]] == [
            text.partition(" was closed at")[0] for text in simulated[1]
        ]


@pytest.mark.slow
def test_an_asyncio_program_that_is_ended_wherever_it_is_leaves_nothing_that_complains() -> None:
    async def forgets_its_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1000)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("0.0.0.0", 7))
        async with await asyncio.start_server(forgets_its_client, port=7) as server:
            await server.serve_forever()

    with RealNetwork(invariants={"nothing-left": "off"}) as net:
        net.host("server").spawn(asyncio.run, serve())
        socket.create_connection(("server", 7)).close()
    gc.collect()  # what a finalizer complains of is an error in these tests


@pytest.mark.slow
def test_a_server_that_ticks_may_still_have_something_to_do() -> None:
    """It wakes each tenth of a second, and gives up its peer after 2 s without a word: that was told a Deadlock after one."""

    class Impatient(dispatch.Stream):
        idle_timeout = 2

    def serve() -> None:
        with dispatch.Loop() as loop:
            dispatch.Listener(("", 7), Impatient, loop=loop)
            loop.call_every(0.1, list)
            loop.run()

    with RealNetwork() as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(1) == b""
        assert 2 <= net.time < 10


@pytest.mark.slow
def test_who_backs_off_will_give_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits longer each time: that was told a Deadlock where all of it took more than ten seconds."""
    monkeypatch.setattr(stage, "TICKING_NS", 1_000_000_000)

    def backs_off() -> None:
        for attempt in range(5):
            time.sleep(0.1 * 2**attempt)  # 3.1 s
        raise LookupError("gave up")

    with RealNetwork() as net, pytest.raises(LookupError, match="gave up"):
        net.host("client").run(backs_off)


def test_a_body_that_ends_as_its_time_is_up_is_stopped_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    true, striking, struck = guard.throw, threading.Event(), threading.Event()

    def slow(ident: int, error: type[BaseException]) -> None:
        striking.set()
        struck.wait(0.05)  # meanwhile the body comes to its end
        true(ident, error)

    monkeypatch.setattr(guard, "throw", slow)
    monkeypatch.setattr(RealNetwork, "_tell_of_a_hang", lambda *given: None)
    with RealNetwork() as net:
        net._guard.lift()  # type: ignore[union-attr]
        net._guard = guard.Guard(0.001, net._tell_of_a_hang)
        while not striking.is_set():
            pass
    assert modules.active() is None


@pytest.mark.slow
@pytest.mark.parametrize("network", [Network, RealNetwork])
def test_a_class_of_sockets_that_a_program_has_made_is_kept_by_nobody(network: Any) -> None:
    def used() -> weakref.ref[type]:
        class Chatty(socket.socket):
            pass

        with network(), Chatty() as sock:
            assert isinstance(sock, Chatty)
        return weakref.ref(Chatty)

    kept = used()
    gc.collect()  # first the class that was made of it
    gc.collect()
    assert kept() is None


def test_what_is_closed_by_its_number_is_known_no_more() -> None:
    with RealNetwork() as net:
        files = net._stage.files
        one, other = socket.socket(), socket.socket()
        number = one.detach()
        assert number in files
        os.close(number)
        assert number not in files
        again = other.detach()
        with socket.socket() as third:
            os.dup2(third.fileno(), again)
            file = files[third.fileno()]
        assert files[again] is file
        os.close(again)
        assert again not in files


@pytest.mark.parametrize("network", [Network, RealNetwork])
def test_who_keeps_a_socket_whose_number_it_has_closed_ends_all_the_same(network: Any) -> None:
    kept = []

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            kept.append(listener.accept()[0])
            os.close(kept[0].fileno())

    with network() as net:
        process = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(1) == b""
        assert process.join(5)
        assert process.error is None
        kept.pop().detach()


@pytest.mark.parametrize("network", [Network, RealNetwork])
def test_a_socket_whose_number_was_closed_is_neither_listed_nor_left(network: Any) -> None:
    kept = []

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            connection, _ = listener.accept()
            kept.append(connection)
            os.close(connection.fileno())
            with pytest.raises(OSError, match="Bad file descriptor"):
                connection.recv(1)
            listener.accept()

    with network() as net:
        net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            assert sock.recv(1) == b""
            assert [row.state for row in net.netstat() if row.host == "server"] == ["LISTEN"]
    kept.pop().detach()  # or the collector would close the number once more, which may be another test's by then


@pytest.mark.parametrize("network", [Network, RealNetwork])
def test_who_reads_tls_beyond_its_end_is_given_the_end_again(network: Any) -> None:
    inside, outside = contexts("server")

    def serve() -> None:
        with socket.create_server(("", 443)) as listener, listener.accept()[0] as connection:
            secure = inside.wrap_socket(connection, server_side=True)
            secure.sendall(b"all")
            secure.unwrap().close()

    with network() as net:
        net.host("server").spawn(serve)
        with outside.wrap_socket(socket.create_connection(("server", 443)), server_hostname="server") as sock:
            assert [sock.recv(9) for _ in range(3)] == [b"all", b"", b""]
            sock.unwrap()


@pytest.mark.slow
def test_who_sleeps_beyond_the_end_of_the_run_is_told_with_what_gives_it_more_and_is_no_deadlock() -> None:
    def late() -> None:
        time.sleep(30)

    run = play_real(lambda net: net.host("client").run(late), seconds=12)
    assert [verdict.name for verdict in run.verdicts] == ["Hang"]
    assert "the next to wake does so at 30.0" in run.verdicts[0].message
    assert "and the run may take 12 s of real time:" in run.verdicts[0].message
    assert "allow it more: RealNetwork(seconds=...)" in run.verdicts[0].message


@pytest.mark.slow
def test_what_only_the_collector_still_holds_is_not_left() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            circle: list[Any] = [listener.accept()[0]]
            circle.append(circle)
            circle[0].recv(1)
            del circle
            with contextlib.suppress(OSError):
                listener.accept()

    def test(net: RealNetwork) -> None:
        net.host("server").spawn(serve)
        socket.create_connection(("server", 7)).close()

    with pytest.warns(ResourceWarning):
        run = play_real(test)
    assert run.verdicts == []
