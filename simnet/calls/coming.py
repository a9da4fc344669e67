"""Signals on their way to a program: which of its threads takes one, and where the main one hears it.

What is sent to a program goes to its main thread, unless that blocks it; then to one that waits for it, or does not block it, and if
there is none, it waits (complete_signal of Linux). What is sent to a thread is that one's. Whichever takes it, CPython calls the handler
in the main one.
"""

from __future__ import annotations

import sys
from errno import ESRCH
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.calls.signals import (
    SIGINT,
    SIGPIPE,
    USER,
    announce_interrupt,
    arrived,
    awaited,
    blocked,
    has_handler,
    hear,
    is_signal,
    keep_back,
    shared,
)
from simnet.kernel.errors import socket_error
from simnet.whereabouts import caller

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["LATER", "Coming", "broken_pipe", "come", "kill", "lets_in", "put", "send", "send_to_thread", "true_thread"]

LATER = "heard later"  # in the state of a process that waits in a call behind which handlers are called


class Coming:
    """Those that a program has taken, until its main thread hears them."""

    __slots__ = ("numbers", "program")

    def __init__(self, program: Process) -> None:
        self.program = program
        self.numbers: dict[int, None] = {}

    def hear(self) -> None:
        """In the main thread, which has waited: call the handlers.

        Raises:
            Escape: there is none of one, by which it would end.
            Exception: whatever a handler raises.
        """
        program = self.program
        hears = program.scheduler.backend.hears
        hear(program, [number for number in self.numbers if hears(program, number)], caller(sys._getframe(1)))


def put(program: Process, number: int) -> None:
    """The main thread hears it where it waits, unless an exception is there for it, or behind its ``sigwait``."""
    later: Coming | None = program.state.get(LATER)
    if later is not None:
        later.numbers[number] = None
        return
    if program.pending is None:
        program.pending = Coming(program)
    if isinstance(program.pending, Coming):
        program.pending.numbers[number] = None
    program.wake()


def come(program: Process, number: int, code: int) -> None:
    """The signal comes to *program*; by *code* who waits for it is told who sent it."""
    if number not in blocked(program):
        put(program, number)
        return
    for each in (program, *program.crew):
        if number in awaited(each):
            arrived(each).setdefault(int(number), code)
            each.wake()
            return
    if lets_in(program, number):
        put(program, number)
    else:
        shared(program).setdefault(int(number), code)


def lets_in(program: Process, number: int) -> bool:
    """Is there a thread of *program* that does not block it?"""
    return not all(number in blocked(each) for each in (program, *program.crew))


def send(program: Process, number: int) -> None:
    """A thread of *program*, the kernel or another program has sent it a signal.

    Raises:
        Escape: it would end by that.
    """
    if not lets_in(program, number) or program.scheduler.backend.hears(program, number):
        come(program, number, USER)


def send_to_thread(thread: Process, number: int) -> None:
    """A signal for that thread of a program alone."""
    program = thread.owner or thread
    if keep_back(thread, number):
        if number in awaited(thread):
            thread.wake()
    elif program.scheduler.backend.hears(program, number):
        put(program, number)


def kill(me: Process, original: Any, whom: Any, number: Any) -> Any:
    """``os.kill``, ``signal.pthread_kill``: what a process sends itself, and has a handler for, comes to it alone."""
    program = me.owner or me
    to_thread = original.__name__ == "pthread_kill"
    thread = next((each for each in program.crew if to_thread and each.ident == whom), program)
    whom = true_thread(program, whom) if to_thread else whom
    if number == SIGINT and whom == (real.get_ident() if to_thread else real.getpid()):
        announce_interrupt(program)
    if number == SIGINT or not is_signal(number) or whom != (real.get_ident() if to_thread else real.getpid()):
        return original(whom, number)
    if to_thread and (thread is not me or me is not program):
        return send_to_thread(thread, number)
    if not to_thread and (me is not program or number in blocked(program)):
        return send(program, number)
    if keep_back(program, number):
        return None
    if program.scheduler.backend.hears(program, number):
        return hear(program, [number], caller(sys._getframe(1)))
    return original(whom, number)


def true_thread(program: Process, ident: Any) -> Any:
    """By which number C, which another would end, knows the thread of that *ident*; ESRCH if there is none, or it has ended."""
    if ident in [each.ident for each in program.crew]:
        return real.get_ident()
    if isinstance(ident, int) and ident not in sys._current_frames():
        raise socket_error(ESRCH)
    return ident


def broken_pipe(me: Process) -> None:
    """SIGPIPE comes to the thread *me*, if its program has a handler of it."""
    program = me.owner or me
    if keep_back(me, SIGPIPE) or not has_handler(program, SIGPIPE):
        return
    if me is program:
        hear(program, [SIGPIPE], caller(sys._getframe(1)))
    else:
        put(program, SIGPIPE)
