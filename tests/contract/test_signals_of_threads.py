"""Which thread of a program takes a signal, and who handles it: the main one, whoever has taken it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import World

USR1, ALRM, PIPE = signal.SIGUSR1, signal.SIGALRM, signal.SIGPIPE
SIGCANCEL = 32  # one of libc's own


@pytest.fixture
def heard(world: World) -> Iterator[list[bool]]:
    """For each that was handled, whether the main thread did; all is as it was in the end."""
    by_main: list[bool] = []
    before = {
        each: signal.signal(each, lambda *_: by_main.append(threading.current_thread() is threading.main_thread()))
        for each in (USR1, ALRM, PIPE)
    }
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield by_main
    for each in before:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    for each, handler in before.items():
        signal.signal(each, handler)


def nobody_else_takes(world: World, number: int) -> None:
    """Skip the test where a thread of somebody else's in this interpreter, as pytest-xdist has one, lets the signal in."""
    if world.name != "kernel":
        return
    end = time.monotonic() + 2
    # Only libc blocks its own signals, in a thread that is about to go, and Linux gives to that one now and then.
    while (masks := masks_of_others()) and any(each >> SIGCANCEL - 1 & 1 for each in masks) and time.monotonic() < end:
        time.sleep(0.001)
    if not all(each >> number - 1 & 1 for each in masks):
        pytest.skip("another thread takes what is sent to the program")


def masks_of_others() -> list[int]:
    """What each thread but this one blocks, a bit for each signal."""
    masks = []
    for task in Path("/proc/self/task").iterdir():
        if task.name != str(threading.get_native_id()):
            with contextlib.suppress(OSError):  # it has gone meanwhile
                lines = (task / "status").read_text().splitlines()
                masks.append(next(int(line.split()[1], 16) for line in lines if line.startswith("SigBlk")))
    return masks


def kill() -> None:
    os.kill(os.getpid(), USR1)


def alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def begun(target: Any, *args: Any) -> threading.Thread:
    thread = threading.Thread(target=target, args=args)
    thread.start()
    time.sleep(0.005)  # it waits by then
    return thread


@pytest.mark.parametrize(("number", "send"), [(USR1, kill), (ALRM, alarm)])
@pytest.mark.parametrize("with_timeout", [True, False])
def test_a_thread_that_waits_for_it_has_what_all_block(
    world: World, heard: list[bool], number: int, send: Any, with_timeout: bool
) -> None:
    nobody_else_takes(world, number)
    taken: list[int] = []

    def wait() -> None:
        if with_timeout:
            told = signal.sigtimedwait([number], 5)
            taken.append(0 if told is None else told.si_signo)
        else:
            taken.append(signal.sigwait([number]))

    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    thread = begun(wait)
    send()
    thread.join()
    assert taken == [number]
    assert heard == []


def test_of_two_that_wait_for_it_one_has_it(world: World, heard: list[bool]) -> None:
    nobody_else_takes(world, USR1)
    taken: list[Any] = []
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    threads = [begun(lambda: taken.append(signal.sigtimedwait([USR1], 0.1) is None)) for _ in range(2)]
    kill()
    for each in threads:
        each.join()
    assert sorted(taken) == [False, True]


def test_a_thread_begins_with_what_its_maker_blocks_and_blocks_for_itself(world: World, heard: list[bool]) -> None:
    blocked: list[set[int]] = []
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    thread = begun(lambda: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, [ALRM])))
    thread.join()
    assert blocked == [{USR1}]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {USR1}


def test_what_all_block_is_seen_by_all_and_had_by_who_lets_it_in_first(world: World, heard: list[bool]) -> None:
    nobody_else_takes(world, USR1)
    seen: list[set[int]] = []

    def let_in() -> None:
        seen.append(signal.sigpending())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR1])
        seen.append(signal.sigpending())

    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    kill()
    begun(let_in).join()
    time.sleep(0.001)
    assert seen == [{USR1}, set()]
    assert heard == [True]


def test_what_the_main_thread_blocks_another_takes_for_it(world: World, heard: list[bool]) -> None:
    thread = begun(time.sleep, 0.05)
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    kill()
    thread.join()
    assert heard == [True]
    assert signal.sigpending() == set()


@pytest.mark.parametrize("by", ["another", "itself"])
def test_what_is_sent_to_a_thread_is_that_ones(world: World, heard: list[bool], by: str) -> None:
    seen: list[Any] = []
    blocks, sent = threading.Event(), threading.Event()

    def block_and_wait() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
        if by == "itself":
            signal.raise_signal(USR1)
        blocks.set()
        sent.wait(10)
        seen.append(signal.sigpending())
        seen.append(signal.sigwait([USR1]))

    thread = begun(block_and_wait)
    blocks.wait(10)
    if by == "another":
        assert thread.ident is not None
        signal.pthread_kill(thread.ident, USR1)
    sent.set()
    assert signal.sigpending() == set()
    thread.join()
    assert seen == [{USR1}, USR1]
    assert heard == []


@pytest.mark.parametrize("made_by", ["main", "thread"])
def test_a_thread_that_writes_to_nobody_has_the_main_one_hear_of_it(
    world: World, heard: list[bool], made_by: str
) -> None:
    def made() -> Any:
        one, other = (world.keep(each) for each in socket.socketpair())
        other.close()
        return one

    def write(sock: Any) -> None:
        with pytest.raises(BrokenPipeError):
            (made() if sock is None else sock).send(b"x")

    begun(write, made() if made_by == "main" else None).join()
    time.sleep(0.001)
    assert heard == [True]


def test_what_is_no_signal_is_sent_to_nobody_by_a_thread_either(world: World, heard: list[bool]) -> None:
    said: list[str] = []

    def send() -> None:
        for call in (lambda: os.kill(os.getpid(), 99), lambda: signal.raise_signal(99)):
            with pytest.raises(OSError, match="Invalid argument") as raised:
                call()
            said.append(type(raised.value).__name__)
        os.kill(os.getpid(), 0)

    begun(send).join()
    assert said == ["OSError"] * 2
