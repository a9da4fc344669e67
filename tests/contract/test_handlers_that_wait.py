"""A handler of a signal waits itself: the call in whose midst it came goes on behind it, for as long as it has left."""

from __future__ import annotations

import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.worlds import World

COMES, TAKES, GIVEN, LONG = 0.005, 0.01, 0.03, 9  # seconds: when it comes, how long its handler waits, and so on
USR1 = signal.SIGUSR1


@pytest.fixture
def rings(world: World) -> Iterator[list[int]]:
    """Which alarms have been handled to the end; the handler of before comes back."""
    heard: list[int] = []

    def handler(number: int, _: Any) -> None:
        time.sleep(TAKES)
        heard.append(number)

    before = signal.signal(signal.SIGALRM, handler)
    yield heard
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def tcp(world: World) -> tuple[Any, Any]:
    one, other = world.pair()
    one.setblocking(True)
    return one, other


def unix(world: World) -> tuple[Any, Any]:
    one, other = (world.keep(each) for each in socket.socketpair())
    return one, other


def patient(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    pair[0].settimeout(LONG)
    return pair


def taken(_: World) -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


def polled(sock: Any, timeout: int | None = None) -> Any:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll.poll(timeout)


def says(pair: tuple[Any, Any]) -> None:
    pair[1].send(b"x")


def sends(_: Any) -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, USR1)  # a thread of pytest-xdist's might take what is sent to the program


def blocking(_: World) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])


# What there is, how it is waited for, and how it is given.
WAITS: dict[str, tuple[Callable[[World], Any], Callable[[Any], object], Callable[[Any], object]]] = {
    "tcp": (tcp, lambda pair: pair[0].recv(9), says),
    "tcp, with a time-out": (lambda world: patient(tcp(world)), lambda pair: pair[0].recv(9), says),
    "unix": (unix, lambda pair: pair[0].recv(9), says),
    "unix, with a time-out": (lambda world: patient(unix(world)), lambda pair: pair[0].recv(9), says),
    "select": (unix, lambda pair: select.select([pair[0]], [], [])[0], says),
    "select, with a time-out": (unix, lambda pair: select.select([pair[0]], [], [], LONG)[0], says),
    "poll": (unix, lambda pair: polled(pair[0]), says),
    "poll, with a time-out": (unix, lambda pair: polled(pair[0], LONG * 1000), says),
    "lock": (taken, lambda lock: lock.acquire(), lambda lock: lock.release()),
    "lock, with a time-out": (taken, lambda lock: lock.acquire(timeout=LONG), lambda lock: lock.release()),
    "event": (lambda _: threading.Event(), lambda event: event.wait(), lambda event: event.set()),
    "event, with a time-out": (lambda _: threading.Event(), lambda event: event.wait(LONG), lambda event: event.set()),
    "sigwait": (blocking, lambda _: signal.sigwait([USR1]), sends),
    "sigtimedwait": (blocking, lambda _: signal.sigtimedwait([USR1], LONG), sends),
}


@pytest.mark.parametrize(("make", "wait", "give"), WAITS.values(), ids=WAITS)
def test_a_wait_has_what_comes_behind_a_handler_that_waits(
    world: World,
    rings: list[int],
    make: Callable[[World], Any],
    wait: Callable[[Any], object],
    give: Callable[[Any], object],
) -> None:
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        thing = make(world)
        giver = threading.Timer(GIVEN, give, [thing])
        giver.start()
        signal.setitimer(signal.ITIMER_REAL, COMES)
        assert wait(thing)
        giver.join()
        assert rings == [signal.SIGALRM]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)


def test_a_join_ends_with_the_thread(world: World, rings: list[int]) -> None:
    thread = threading.Thread(target=time.sleep, args=[GIVEN])
    thread.start()
    signal.setitimer(signal.ITIMER_REAL, COMES)
    thread.join()
    assert not thread.is_alive()
    assert rings == [signal.SIGALRM]


def test_a_time_out_is_as_long_as_it_was(world: World, rings: list[int]) -> None:
    sock, _ = tcp(world)
    sock.settimeout(GIVEN)
    for wait in (lambda: sock.recv(1), lambda: time.sleep(GIVEN)):
        began = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, COMES)
        try:
            wait()
        except TimeoutError:
            pass
        assert time.monotonic() - began >= GIVEN
    assert rings == [signal.SIGALRM] * 2
