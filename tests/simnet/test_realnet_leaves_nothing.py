"""What a run on real sockets takes of the machine it gives back: descriptors, threads, handlers of signals."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.realnet import play_real

pytestmark = pytest.mark.slow  # real sockets and real time


held: list[socket.socket] = []  # dropped while a run goes on, an open socket has a warning


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def serve() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            with listener.accept()[0] as sock:
                sock.sendall(sock.recv(100))


def ask(_: Any = None) -> bytes:
    with socket.create_connection(("server", 7), timeout=0.5) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)


def test_any_number_of_processes_takes_no_descriptors() -> None:
    def test(net: Any) -> int:
        before = descriptors()
        for _ in range(30):
            net.host("client").run(int)
        return descriptors() - before

    assert play_real(test).outcome.returned == 0


def test_threads_of_the_tests_own_end_with_the_network_and_fail_at_nothing() -> None:
    threads: list[threading.Thread] = []

    def test(net: Any) -> None:
        net.host("server").spawn(serve)
        sock = socket.create_connection(("server", 7))
        held[:] = [sock]
        threads[:] = [
            threading.Thread(target=waits)
            for waits in (lambda: sock.recv(1), lambda: time.sleep(60), threading.Event().wait)
        ]
        for thread in threads:
            thread.start()
        net.sleep(0.02)

    for play in (simnet.play, play_real):
        run: Any = play(test)  # type: ignore[operator]  # two faces alike
        assert (run.failures, run.verdicts) == ([], [])
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_who_waits_in_c_at_once_keeps_nobody_from_going_on() -> None:
    there, here = os.pipe()

    def waits() -> bytes:
        return os.read(there, 1)

    def test(net: Any) -> bytes:
        process = net.host("server").spawn(waits)
        os.write(here, b"!")
        process.join(5)
        got: bytes = process.result
        return got

    try:
        run = play_real(test, seconds=10)
    finally:
        os.close(here)
        os.close(there)
    assert (run.outcome.returned, run.verdicts) == (b"!", [])


def fails(net: Any) -> None:
    net.host("server").spawn(serve)
    raise ValueError


def leaves_all_open(net: Any) -> None:
    net.host("server").spawn(serve)
    held[:] = [socket.create_connection(("server", 7)), *socket.socketpair()]
    threading.Thread(target=held[0].recv, args=(1,)).start()


def handles_signals(net: Any) -> None:
    def program() -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        time.sleep(60)

    net.host("server").spawn(program)


def is_interrupted(net: Any) -> None:
    net.host("server").spawn(serve)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("test", "plan"),
    [
        (fails, ""),
        (leaves_all_open, "coalesce *->*:*#* end=server byte=0 bytes=9"),
        (handles_signals, ""),
        (is_interrupted, ""),
        (lambda net: (net.host("server").spawn(serve), ask()), "strangers test->server:7#1 count=4 then=stay"),
        (lambda net: (net.host("server").spawn(serve), ask()), "stall test->server:7#1 end=client byte=1 seconds=0.1"),
    ],
    ids=["fails", "leaves-all-open", "handles-signals", "is-interrupted", "strangers", "held-back"],
)  # fmt: skip
def test_nothing_is_left_of_a_run(test: Callable[[Any], Any], plan: str) -> None:
    def left() -> tuple[Any, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        return descriptors(), handlers, dict(os.environ), socket.getdefaulttimeout()

    def run() -> None:
        try:
            play_real(test, plan, seconds=10)
        except KeyboardInterrupt:
            pass

    run()  # what is loaded by the first one
    before, threads = left(), set(threading.enumerate())
    for _ in range(3):
        run()
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
    assert (left(), set(threading.enumerate()) - threads) == (before, set())
