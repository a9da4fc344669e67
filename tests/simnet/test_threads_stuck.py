"""What is told of threads that wait for each other, or for what an ended one took with it: who, where, and what to do."""

from __future__ import annotations

import contextlib
import queue
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


def together(*targets: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=each) for each in targets]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def told(main: Callable[[], Any]) -> list[str]:
    """The lines of the Deadlock in which a program of *main* ends."""
    with pytest.raises(simnet.Deadlock) as caught, simnet.Network() as net:
        net.host("a").run(main)
    return str(caught.value).splitlines()


def test_a_lock_that_ended_with_its_thread() -> None:
    def main() -> None:
        lock = threading.Lock()
        together(lock.acquire)
        with lock:
            pass

    _, _, who, remedy = told(main)
    assert "a/main waits for a lock that a/acquire held when it ended at test_threads_stuck.py:" in who
    assert remedy == "A lock stays taken when its thread ends: take it in a with statement, which lets it go."


def test_a_lock_that_its_own_thread_holds_since_an_exception_left_it_taken() -> None:
    """flask-nameko #12: connecting fails between the two calls, and the next attempt waits for the lock of the first."""

    def main() -> None:
        lock = threading.Lock()

        def connect() -> None:
            for _ in range(2):
                try:
                    lock.acquire()
                    socket.create_connection(("a", 7)).close()
                    lock.release()
                except ConnectionRefusedError:
                    pass

        together(connect)

    lines = told(main)
    assert "  a/connect waits for a lock that a/connect holds at test_threads_stuck.py:" in "\n".join(lines)
    assert lines[-1].startswith("It holds that lock itself: take it in a with statement")


def test_two_locks_taken_in_different_orders() -> None:
    def main() -> None:
        one, two = threading.Lock(), threading.RLock()

        def first() -> None:
            with one:
                time.sleep(1)
                with two:
                    pass

        def second() -> None:
            with two:
                time.sleep(1)
                with one:
                    pass

        together(first, second)

    lines = told(main)
    assert "  a/first waits for a lock that a/second holds at test_threads_stuck.py:" in lines[3]
    assert "  a/second waits for a lock that a/first holds at test_threads_stuck.py:" in lines[4]
    assert lines[-1] == "Each holds what another waits for: take locks in the same order everywhere."


@pytest.mark.parametrize("call", ["recv", "accept"])
def test_a_thread_that_waits_in_a_call_of_a_socket_that_another_has_closed(call: str) -> None:
    def main() -> None:
        with socket.create_server(("", 7)) as listener, socket.create_connection(("localhost", 7)) as connection:
            accepted = listener.accept()[0]
            waiting = {"recv": lambda: connection.recv(1), "accept": listener.accept}[call]
            thread = threading.Thread(target=waiting)
            thread.start()
            {"recv": connection, "accept": listener}[call].close()
            thread.join()
            accepted.close()

    *_, remedy = told(main)
    assert remedy.startswith(
        "To close a socket wakes nobody who waits in a call on it, on Linux as here: its shutdown("
    )


def test_a_thread_that_is_joined_and_never_told_to_end() -> None:
    def main() -> None:
        line: queue.Queue[int] = queue.Queue()

        def consume() -> None:
            line.get()

        together(consume)

    *_, remedy = told(main)
    assert remedy == "Tell a/consume to end before it is waited for, as by an Event or a last item in its queue."


def test_a_thread_that_is_joined_while_it_reads() -> None:
    """No item in a queue would reach it."""

    def main() -> None:
        with socket.create_server(("", 7)) as listener, socket.create_connection(("localhost", 7)) as connection:
            with listener.accept()[0]:
                together(lambda: connection.recv(1))

    *_, remedy = told(main)
    assert remedy == (
        "Let a/<lambda> end before it is waited for: a shutdown(socket.SHUT_RDWR) of its socket wakes it, and so does a time-out."
    )


def test_a_thread_that_keeps_a_program_whose_main_function_is_done() -> None:
    """It is at no line of the program's, and so none is told."""

    def main() -> None:
        threading.Thread(target=threading.Event().wait).start()

    _, _, who, _, remedy = told(main)
    assert who == "  a/main is done, but waits for the end of a/wait, since 0.000000 s"
    assert remedy == (
        "Tell a/wait to end before it is waited for, as by an Event or a last item in its queue. "
        "A program ends when its threads have, as an interpreter does, but for daemons."
    )


def test_work_that_waits_for_work_in_line_behind_it() -> None:
    def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: pool.submit(print).result()).result()

    assert (
        told(main)[-1] == "Work that waits for other work needs a pool of its own, or more threads in the one it has."
    )


@pytest.mark.slow
def test_a_thread_that_looks_at_a_flag_for_ever_is_told_why_it_never_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.watchdog.HANG_SECONDS", 0.5)

    def main() -> None:
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                pass

        thread = threading.Thread(target=look)
        thread.start()
        stop.set()
        thread.join()

    with pytest.raises(simnet.Hang, match="No other thread of its program runs meanwhile"), simnet.Network() as net:
        net.host("a").run(main)


class Taking:
    """A server with a thread for each client, and a lock that a thread with half a line takes along."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def serve(self) -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            with connection.makefile("rb") as file:
                line = file.readline()
            self.lock.acquire()
            if line.endswith(b"\n"):
                self.lock.release()
                connection.sendall(line)


def asks() -> None:
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello\n")
        assert sock.recv(100)[:1] == b"h"


def two_ask(net: Any, besides: Callable[[], Any] = bool) -> None:
    net.host("server").spawn(Taking().serve)
    besides()
    clients = [net.host(name).spawn(asks) for name in ("ann", "bob")]
    for client in clients:
        client.join()


def test_a_lock_that_a_client_has_left_taken_is_a_failure_though_the_others_may_wait() -> None:
    result = run_sweep(two_ask, SweepOptions.of(target="server", kinds=["eof"]))
    (failure,) = [each for each in result.failures if each.reason == "waits-for-ever"]
    message = failure.finding.message
    assert "waits for a lock that server/talk held when it ended at test_threads_stuck.py:" in message
    assert message.endswith("take it in a with statement, which lets it go")


def test_a_lock_that_another_client_might_have_let_go_is_a_warning() -> None:
    def two_ask_and_one_says_nothing(net: Any) -> None:
        def says_nothing() -> None:
            with socket.create_connection(("server", 7)) as sock:
                sock.recv(1)

        two_ask(net, lambda: net.host("cy").spawn(says_nothing))

    result = run_sweep(two_ask_and_one_says_nothing, SweepOptions.of(target="server", kinds=["eof"]))
    assert "waits-for-ever" not in [each.reason for each in result.failures]
    assert "waits-for-ever" in [each.name for each in result.warnings]


class Relay(socketserver.BaseRequestHandler):
    """What one says is said to all others, by a thread of each; who says nothing for two minutes is sent away."""

    def handle(self) -> None:
        self.request.settimeout(120)
        lines: queue.Queue[bytes] = queue.Queue()
        writer = threading.Thread(target=self.write, args=(lines,))
        writer.start()
        members = self.server.members  # type: ignore[attr-defined]
        members.append(lines)
        with contextlib.suppress(OSError), self.request.makefile("rb") as file:
            for line in file:
                for each in members:
                    if each is not lines:
                        each.put(line)
        members.remove(lines)
        lines.put(b"")
        writer.join()

    def write(self, lines: queue.Queue[bytes]) -> None:
        while line := lines.get():
            with contextlib.suppress(OSError):
                self.request.sendall(line)


def relay() -> None:
    with socketserver.ThreadingTCPServer(("", 7), Relay) as server:
        server.members = []  # type: ignore[attr-defined]
        server.serve_forever()


@pytest.mark.slow
def test_who_is_told_by_a_thread_whose_time_is_not_up_does_not_wait_for_ever() -> None:
    """A test that ends early leaves a client that is patient, and a thread that reads until its two minutes are over: then it tells the other."""

    def listens() -> bytes:
        with socket.create_connection(("server", 7), timeout=90) as sock:
            return sock.recv(100)

    def says() -> None:
        with socket.create_connection(("server", 7), timeout=5) as sock:
            time.sleep(1)
            sock.sendall(b"hello\n")
            time.sleep(1)

    def test(net: Any) -> bytes | None:
        net.host("server").spawn(relay)
        listener = net.host("ann").spawn(listens)
        net.host("bob").run(says)
        listener.join()
        got: bytes | None = listener.result
        return got

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["error", "reset"]))
    assert result.ok
    assert result.interrupted
    assert not result.warnings
