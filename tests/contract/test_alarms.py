"""Alarms: SIGALRM comes while a call waits, and the call goes on for as long as it has left, or ends as the handler says."""

from __future__ import annotations

import contextlib
import math
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.worlds import World


class Rang(Exception):
    pass


@pytest.fixture
def rings(world: World) -> Iterator[list[int]]:
    """Which alarms rang; the handler of before comes back."""
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    yield heard
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def nobody_sends(world: World) -> Any:
    sock, _ = world.pair()
    sock.settimeout(0.05)
    return sock


WAITS: dict[str, Callable[[Any], object]] = {
    "recv": lambda sock: sock.recv(1),
    "recv_into": lambda sock: sock.recv_into(bytearray(1)),
    "sleep": lambda _: time.sleep(0.05),
    "select": lambda sock: select.select([sock], [], [], 0.05),
    "selector": lambda sock: chosen(sock).select(0.05),
}


def chosen(sock: Any) -> selectors.BaseSelector:
    selector = selectors.PollSelector()
    selector.register(sock, selectors.EVENT_READ)
    return selector


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_goes_on_for_what_is_left_when_the_handler_returns(
    world: World, rings: list[int], wait: Callable[[Any], object]
) -> None:
    sock = nobody_sends(world)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with contextlib.suppress(TimeoutError):
        wait(sock)
    assert rings == [signal.SIGALRM]
    assert 0.05 <= time.monotonic() - began < 0.2


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_ends_by_what_the_handler_raises(world: World, rings: list[int], wait: Callable[[Any], object]) -> None:
    def handler(number: int, frame: Any) -> None:
        raise Rang(frame.f_code.co_name)

    signal.signal(signal.SIGALRM, handler)
    sock = nobody_sends(world)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with pytest.raises(Rang):
        wait(sock)
    assert time.monotonic() - began < 0.05 or world.name == "kernel"


def test_an_alarm_may_ring_again_and_again(world: World, rings: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    while len(rings) < 5:
        time.sleep(0.05)
    assert signal.getitimer(signal.ITIMER_REAL)[1] == 0.01
    assert signal.setitimer(signal.ITIMER_REAL, 0)[1] == 0.01
    heard = len(rings)
    time.sleep(0.03)
    assert len(rings) == heard
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_who_sets_an_alarm_hears_what_was_left_of_the_one_before(world: World, rings: list[int]) -> None:
    assert signal.alarm(60) == 0
    assert signal.alarm(100) == 60
    assert signal.setitimer(signal.ITIMER_REAL, 0.3) == (pytest.approx(100, abs=0.2), 0.0)
    assert 0.2 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.3
    assert signal.alarm(0) == 1  # never nothing while something is left
    assert signal.alarm(0) == 0
    assert rings == []


@pytest.mark.parametrize(
    ("ask", "kind", "text"),
    [
        (lambda: signal.alarm("1"), TypeError, "'str' object cannot be interpreted as an integer"),
        (lambda: signal.alarm(), TypeError, r"_signal.alarm\(\) takes exactly one argument \(0 given\)"),
        (lambda: signal.alarm(1 << 40), OverflowError, "Python int too large to convert to C int"),
        (lambda: signal.setitimer(signal.ITIMER_REAL, -1), signal.ItimerError, r"\[Errno 22\] Invalid argument"),
        (lambda: signal.setitimer(signal.ITIMER_REAL, 1, -1), signal.ItimerError, r"\[Errno 22\] Invalid argument"),
        (
            lambda: signal.setitimer(signal.ITIMER_REAL, "x"),
            TypeError,
            "'str' object cannot be interpreted as an integer",
        ),
        (lambda: signal.setitimer(signal.ITIMER_REAL, math.nan), ValueError, r"Invalid value NaN \(not a number\)"),
        (lambda: signal.setitimer(signal.ITIMER_REAL), TypeError, "setitimer expected at least 2 arguments, got 1"),
        (lambda: signal.setitimer(9, 1), signal.ItimerError, r"\[Errno 22\] Invalid argument"),
        (lambda: signal.getitimer(9), signal.ItimerError, r"\[Errno 22\] Invalid argument"),
    ],
)
def test_what_is_no_alarm_is_refused(
    world: World, rings: list[int], ask: Callable[[], object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=f"^{text}$"):
        ask()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_alarm_ends_an_accept(world: World, rings: list[int]) -> None:
    def handler(number: int, frame: Any) -> None:
        raise TimeoutError("nobody called")

    signal.signal(signal.SIGALRM, handler)
    listener = world.listener()
    listener.setblocking(True)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    world.gives("TimeoutError: nobody called", listener.accept)
    socket.create_connection(listener.getsockname()).close()
    listener.accept()[0].close()
