"""Several signals come to a program while its main thread does not run: it hears each, whatever became of the others."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.worlds import World

USR1, USR2, ALRM = signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM


@pytest.fixture
def heard(world: World) -> Iterator[list[int]]:
    """Which signals were handled, in their order; the handlers of before come back."""
    numbers: list[int] = []
    before = {each: signal.signal(each, lambda number, _: numbers.append(number)) for each in (USR1, USR2, ALRM)}
    yield numbers
    signal.setitimer(signal.ITIMER_REAL, 0)
    for each, handler in before.items():
        signal.signal(each, handler)


def sends_both() -> None:
    os.kill(os.getpid(), USR2)
    os.kill(os.getpid(), USR1)


def test_both_of_two_signals_are_heard(world: World, heard: list[int]) -> None:
    sender = threading.Timer(0.01, sends_both)
    sender.start()
    sender.join()
    time.sleep(0.001)
    assert sorted(heard) == [USR1, USR2]


def test_a_signal_is_heard_beside_an_alarm(world: World, heard: list[int]) -> None:
    sender = threading.Timer(0.01, sends_both)
    sender.start()
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    sender.join()
    time.sleep(0.01)
    assert sorted(heard) == [USR1, USR2, ALRM]


def test_both_are_written_to_the_wakeup_descriptor(world: World, heard: list[int]) -> None:
    one, other = (world.keep(each) for each in socket.socketpair())
    one.setblocking(False)
    before = signal.set_wakeup_fd(one.fileno())
    sender = threading.Timer(0.01, sends_both)
    sender.start()
    sender.join()
    time.sleep(0.001)
    signal.set_wakeup_fd(before)
    assert sorted(other.recv(9)) == [USR1, USR2]


@pytest.mark.parametrize("fails", [USR1, USR2])
def test_a_handler_that_raises_keeps_the_other_from_nothing(world: World, heard: list[int], fails: int) -> None:
    def handler(number: int, _: Any) -> None:
        raise ZeroDivisionError(number)

    signal.signal(fails, handler)
    sender = threading.Timer(0.01, sends_both)
    sender.start()
    with pytest.raises(ZeroDivisionError):
        while True:
            time.sleep(0.01)  # the kernel may give the second one to the thread, which ends no wait of this one
    sender.join()
    signal.pthread_sigmask(signal.SIG_BLOCK, [])  # at the latest
    assert heard == [USR1 + USR2 - fails]


def test_the_handler_that_is_set_by_then_is_called(world: World, heard: list[int]) -> None:
    def handler(_: int, __: Any) -> None:
        signal.signal(USR2, lambda number, _: heard.append(-number))

    signal.signal(USR1, handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1, USR2])
    for each in (USR2, USR1):
        signal.raise_signal(each)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR1, USR2])
    assert heard == [-USR2]


def test_what_a_thread_sends_at_once_is_heard_before_the_next_wait(world: World) -> None:
    one, other = (world.keep(each) for each in socket.socketpair())
    one.settimeout(9)
    before = signal.signal(USR1, lambda *_: other.send(b"heard"))
    try:
        thread = threading.Thread(target=lambda: (os.kill(os.getpid(), USR1), time.sleep(0.01)))
        began = time.monotonic()
        thread.start()
        assert one.recv(9) == b"heard"
        thread.join()
        assert time.monotonic() - began < 5
    finally:
        signal.signal(USR1, before)


def test_a_signal_ends_the_wait_of_a_close_that_lingers(world: World, heard: list[int]) -> None:
    client, _ = world.full_pair()
    client.setblocking(True)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.01, 5)  # once more, if the first came before it lingers
    client.close()
    assert time.monotonic() - began < 30
    assert ALRM in heard


def test_nobody_keeps_what_a_handler_raises(world: World, heard: list[int]) -> None:
    def handler(number: int, _: Any) -> None:
        raise ZeroDivisionError(number)

    signal.signal(ALRM, handler)
    one, _other = (world.keep(each) for each in socket.socketpair())
    buffer = bytearray(9)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 5)
    with contextlib.suppress(ZeroDivisionError):
        one.recv_into(buffer)
    buffer.clear()  # which a frame of that call would hold
