"""Signals beside sockets: what a process blocks, waits for and is woken by."""

from __future__ import annotations

import _thread
import fcntl
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from simnet.arguments.polls import OUT_OF_RANGE, TOO_LARGE
from tests.contract.worlds import World

HUP, USR1, USR2, CHLD, ALRM = signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGALRM
URG = signal.SIGURG


@pytest.fixture
def heard(world: World) -> Iterator[list[int]]:
    """Which signals were handled, in their order; all is as it was in the end."""
    numbers: list[int] = []
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    before = {each: signal.getsignal(each) for each in (HUP, USR1, USR2, CHLD, ALRM, URG)}
    for each in before:
        signal.signal(each, lambda number, _: numbers.append(number))
    yield numbers
    for each in before:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    for each, handler in before.items():
        signal.signal(each, handler)


def again_and_again() -> None:
    """An alarm, and on a busy machine, where the first may come before anybody waits for it, further ones."""
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)


def waker(world: World) -> tuple[Any, Any]:
    one, other = socket.socketpair()
    for sock in (one, other):
        sock.setblocking(False)
        world.keep(sock)
    return one, other


def test_a_blocked_signal_comes_when_it_is_let(world: World, heard: list[int]) -> None:
    assert signal.pthread_sigmask(signal.SIG_BLOCK, [USR1, USR2, HUP, signal.SIGKILL]) == set()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {USR1, USR2, HUP}
    signal.raise_signal(USR2)
    signal.raise_signal(USR2)
    signal.pthread_kill(threading.get_ident(), USR1)
    signal.pthread_kill(threading.get_ident(), HUP)
    signal.raise_signal(CHLD)
    assert (heard, signal.sigpending()) == ([CHLD], {HUP, USR1, USR2})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR2])
    assert (heard, signal.sigpending()) == ([CHLD, USR2], {HUP, USR1})
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    assert (heard, signal.sigpending()) == ([CHLD, USR2, HUP, USR1], set())


def test_of_several_signals_at_once_the_last_is_written_first_and_handled_last(world: World, heard: list[int]) -> None:
    one, other = waker(world)
    signal.set_wakeup_fd(one.fileno())
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1, USR2, HUP])
    for each in (USR2, HUP, USR1):
        signal.raise_signal(each)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR1, USR2, HUP])
    assert signal.set_wakeup_fd(-1) == one.fileno()
    assert (other.recv(9), heard) == (bytes([USR2, USR1, HUP]), [HUP, USR1, USR2])


def test_a_handler_that_raises_keeps_no_other_from_being_called(world: World, heard: list[int]) -> None:
    def fail(number: int, _: Any) -> None:
        raise ZeroDivisionError(number)

    signal.signal(HUP, fail)
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1, HUP])
    signal.raise_signal(USR1)
    signal.raise_signal(HUP)
    with pytest.raises(ZeroDivisionError):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [USR1, HUP])
    signal.pthread_sigmask(signal.SIG_BLOCK, [])  # at the latest
    assert heard == [USR1]


def test_who_ignores_a_signal_forgets_that_it_came(world: World, heard: list[int]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1, CHLD])
    signal.raise_signal(USR1)
    signal.raise_signal(CHLD)
    signal.signal(USR1, signal.SIG_IGN)
    signal.signal(CHLD, signal.SIG_DFL)
    assert signal.sigpending() == set()
    signal.raise_signal(USR1)  # nobody knows yet what will be done with it
    assert signal.sigpending() == {USR1}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((7, []), "[Errno 22] Invalid argument"),
        (("x", []), "'str' object cannot be interpreted as an integer"),
        ((signal.SIG_BLOCK, 5), "'int' object is not iterable"),
        ((signal.SIG_BLOCK, [0]), "signal number 0 out of range [1; 64]"),
        ((signal.SIG_SETMASK, ["x"]), "'str' object cannot be interpreted as an integer"),
    ],
)
def test_what_is_no_mask(world: World, heard: list[int], arguments: Any, error: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR2])
    with pytest.raises((OSError, TypeError, ValueError)) as raised:
        signal.pthread_sigmask(*arguments)
    assert str(raised.value) == error
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {USR2}


def test_who_waits_for_a_signal_takes_it(world: World, heard: list[int]) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1, USR2, ALRM])
    for each in (USR2, USR1):
        signal.raise_signal(each)
    assert [signal.sigwait([USR1, USR2]), signal.sigwait({USR2})] == [USR1, USR2]
    signal.raise_signal(USR1)
    told = signal.sigwaitinfo([USR1])
    assert (told.si_signo, told.si_code, told.si_pid, told.si_uid) == (USR1, 0, os.getpid(), os.getuid())
    assert signal.sigtimedwait([USR1], 0) is None
    assert signal.sigtimedwait([USR1], 0.002) is None
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    assert signal.sigwait([ALRM]) == ALRM
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    told = signal.sigtimedwait([ALRM], 1)
    assert told is not None
    assert (told.si_signo, told.si_code, told.si_pid, told.si_uid) == (ALRM, 0x80, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [ALRM])
    again_and_again()
    assert signal.sigwait([ALRM]) == ALRM  # blocked or not
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert (set(heard) - {ALRM}, signal.sigpending()) == (set(), set())


@pytest.mark.only_on("simnet", "a kernel gives it to another thread of the process, if one lets it")
def test_an_alarm_that_is_blocked_breaks_no_wait_and_comes_after_it(world: World, heard: list[int]) -> None:
    one, _ = waker(world)
    one.settimeout(0.02)
    signal.pthread_sigmask(signal.SIG_BLOCK, [ALRM])
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    with pytest.raises(TimeoutError):
        one.recv(1)
    assert (heard, signal.sigpending()) == ([], {ALRM})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [ALRM])
    assert heard == [ALRM]


def test_a_pause_ends_when_a_handler_was_called(world: World, heard: list[int]) -> None:
    began = time.monotonic()
    again_and_again()
    signal.pause()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert set(heard) == {ALRM}
    assert time.monotonic() - began > 0.004
    heard.clear()
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    assert signal.sigtimedwait([USR1], 0.02) is None  # goes on for what is left
    assert heard == [ALRM]


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (-1, "timeout must be non-negative"),
        (math.nan, "Invalid value NaN (not a number)"),
        ("x", "'str' object cannot be interpreted as an integer"),
        (math.inf, OUT_OF_RANGE),
        (1 << 63, TOO_LARGE),
    ],
)
def test_what_is_no_time_to_wait_for_a_signal(world: World, heard: list[int], timeout: Any, error: str) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
        signal.sigtimedwait([USR1], timeout)
    assert str(raised.value) == error


def test_a_whole_number_is_a_time_to_wait_for_a_signal(world: World, heard: list[int]) -> None:
    class Two:
        def __index__(self) -> int:
            return 2

    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    threading.Timer(0.01, signal.pthread_kill, (threading.get_ident(), USR1)).start()
    told = signal.sigtimedwait([USR1], Two())  # type: ignore[arg-type]
    assert told is not None
    assert told.si_signo == USR1


def test_who_asks_for_too_little_is_told_so(world: World) -> None:
    with pytest.raises(TypeError, match="siginterrupt expected 2 arguments, got 1"):
        signal.siginterrupt(USR1)  # type: ignore[call-arg]


def test_a_signal_wakes_who_waits_for_a_pipe(world: World, heard: list[int]) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(ValueError, match=f"the fd {writer} must be in non-blocking mode"):
            signal.set_wakeup_fd(writer)
        os.set_blocking(writer, False)
        assert signal.set_wakeup_fd(writer) == -1
        signal.raise_signal(USR1)
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        assert os.read(reader, 1) == bytes([USR1])
        assert os.read(reader, 9) == bytes([ALRM])
        assert signal.set_wakeup_fd(-1) == writer
    finally:
        os.close(reader)
        os.close(writer)


def test_a_stream_that_nobody_reads_gives_a_signal_besides(world: World) -> None:
    heard: list[int] = []
    pipe = os.pipe()
    os.close(pipe[0])
    before = signal.signal(signal.SIGPIPE, lambda number, _: heard.append(number))
    try:
        one, other = socket.socketpair()
        datagram, deaf = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        deaf.shutdown(socket.SHUT_RD)
        for sock in (one, datagram, deaf):
            world.keep(sock)
        other.close()
        tcp, _ = world.pair()
        tcp.shutdown(socket.SHUT_WR)
        for call, count in (
            (lambda: one.send(b"x"), 1),
            (lambda: one.send(b"x", socket.MSG_NOSIGNAL), 0),
            (lambda: one.sendall(b"x"), 1),
            (lambda: one.sendall(b"x", socket.MSG_NOSIGNAL), 0),
            (lambda: one.sendmsg([b"x"]), 1),
            (lambda: os.write(one.fileno(), b"x"), 1),
            (lambda: one.send(b""), 1),
            (lambda: datagram.send(b"x"), 0),
            (lambda: tcp.send(b"x"), 1),
            (lambda: tcp.send(b"x", socket.MSG_OOB), 1),
            (lambda: os.write(pipe[1], b"x"), 1),
        ):
            heard.clear()
            with pytest.raises(BrokenPipeError):
                call()
            assert heard == [signal.SIGPIPE] * count
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        with pytest.raises(BrokenPipeError):
            one.send(b"x")
    finally:
        signal.signal(signal.SIGPIPE, before)
        os.close(pipe[1])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_urgent_data_is_a_signal_to_who_owns_the_socket(world: World, heard: list[int], kind: str) -> None:
    left, right = world.pair() if kind == "tcp" else map(world.keep, socket.socketpair())
    signal.signal(URG, lambda number, _: heard.append(number))
    left.send(b"1", socket.MSG_OOB)
    fcntl.fcntl(right, fcntl.F_SETOWN, os.getpid())
    left.send(b"a")
    time.sleep(0.001)
    assert heard == []
    left.send(b"2", socket.MSG_OOB)
    if kind == "tcp":
        time.sleep(0.001)
    assert heard == [URG]
    left.send(b"3", socket.MSG_OOB)
    fcntl.fcntl(right, fcntl.F_SETOWN, 0)
    left.send(b"4", socket.MSG_OOB)
    time.sleep(0.001)
    assert heard == [URG, URG]


def test_a_thread_may_say_who_owns_the_socket(world: World, heard: list[int]) -> None:
    left, right = world.pair()
    signal.signal(URG, lambda number, _: heard.append(number))
    thread = threading.Thread(target=fcntl.fcntl, args=(right, fcntl.F_SETOWN, os.getpid()))
    thread.start()
    thread.join()
    left.send(b"!", socket.MSG_OOB)
    time.sleep(0.001)
    assert heard == [URG]


def test_urgent_data_ends_a_wait_if_the_handler_raises(world: World, heard: list[int]) -> None:
    left, right = world.pair()

    def raises(number: int, _: Any) -> None:
        raise KeyError(number)

    signal.signal(URG, raises)
    fcntl.fcntl(right, fcntl.F_SETOWN, os.getpid())
    right.settimeout(9)
    thread = threading.Timer(0.01, left.send, [b"!", socket.MSG_OOB])
    thread.start()
    with pytest.raises(KeyError):
        right.recv(1)
    thread.join()


def test_a_handler_is_told_a_plain_number(world: World, heard: list[Any]) -> None:
    os.kill(os.getpid(), USR1)
    thread = threading.Thread(target=os.kill, args=(os.getpid(), USR2))
    thread.start()
    thread.join()
    signal.pthread_sigmask(signal.SIG_BLOCK, [HUP])
    os.kill(os.getpid(), HUP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [HUP])
    assert [(type(each), each) for each in heard] == [(int, USR1), (int, USR2), (int, HUP)]


def test_a_signal_of_a_thread_is_had_by_who_waits_for_it(world: World, heard: list[int]) -> None:
    # To this very thread: before it waits, one of somebody else's in this interpreter might take what is the process's.
    thread = threading.Timer(0.01, signal.pthread_kill, (threading.get_ident(), USR1))
    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    thread.start()
    assert signal.sigwait([USR1]) == USR1
    thread.join()
    assert heard == []


def test_a_thread_may_have_the_main_one_handle_a_signal(world: World, heard: list[int]) -> None:
    thread = threading.Thread(target=_thread.interrupt_main, args=(USR1,))
    thread.start()
    thread.join()
    _thread.interrupt_main(USR2)
    time.sleep(0.001)
    signal.signal(USR1, signal.SIG_DFL)
    _thread.interrupt_main(USR1)  # which does nothing then, where a signal would end the program
    assert heard == [USR1, USR2]
    with pytest.raises(ValueError, match="signal number out of range"):
        _thread.interrupt_main(99)


def test_no_handler_is_called_before_sigwait_has_what_it_waits_for(world: World, heard: list[int]) -> None:
    before: list[int] = []
    ident = threading.get_ident()

    def send() -> None:
        before.extend(heard)
        signal.pthread_kill(ident, USR1)

    signal.pthread_sigmask(signal.SIG_BLOCK, [USR1])
    sender = threading.Timer(0.03, send)
    sender.start()
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    assert signal.sigwait([USR1]) == USR1
    sender.join()
    assert (before, heard) == ([], [ALRM])
