"""The alarm of a simulated process, ``signal.alarm`` and ITIMER_REAL: it uses virtual time, and its handler runs where the
process waits, as on a kernel: a wait ends if the handler raises, and goes on if it returns. So does a signal that a thread sends.
"""

from __future__ import annotations

import errno
import math
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simnet.arguments.polls import c_int
from simnet.arguments.sockets import UINT_MAX
from simnet.calls.coming import come, lets_in, send
from simnet.calls.signals import KERNEL, SIGINT, ends_who_has_none, has_handler
from simnet.owned.eventloops import end_wherever_it_is
from simnet.real import c_signal
from simnet.trace import PROCESS

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["Alarm", "alarm_call", "from_outside"]

SIGALRM = 14
NAMES = {each: name for name, each in vars(c_signal).items() if name.startswith("SIG") and not name.startswith("SIG_")}
STOPS = (19, 20, 21, 22)  # SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU
ITIMER_REAL, OF_THE_PROCESSOR, NO_TIMER = 0, (1, 2), 9
SECOND, MICROSECOND = 1_000_000_000, 1_000
KEEPS_TIME = 3  # after so many rings it is one that only keeps time: nobody waits for the network of such a process


class Alarm:
    """The one alarm that a process has."""

    __slots__ = ("due_ns", "interval_ns", "process", "rings", "timer")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.timer: Any = None
        self.due_ns = 0
        self.interval_ns = 0
        self.rings = 0

    def arm(self, wait_ns: int, interval_ns: int) -> tuple[int, int]:
        """Ring in *wait_ns*, 0 for never, and then every *interval_ns*. What was left, and what the interval was."""
        clock = self.process.scheduler.clock
        before = self.left()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if wait_ns:
            self.interval_ns = interval_ns
            self._wind(clock.now_ns + wait_ns)
        return before

    def left(self) -> tuple[int, int]:
        """Nanoseconds until it rings, a microsecond at least, and its interval; nothing if it is not set."""
        now_ns = self.process.scheduler.clock.now_ns
        return (0, 0) if self.timer is None else (max(self.due_ns - now_ns, MICROSECOND), self.interval_ns)

    def _wind(self, due_ns: int) -> None:
        self.due_ns = due_ns
        self.timer = self.process.scheduler.clock.at(due_ns, self._ring, None, self.rings >= KEEPS_TIME)

    def _ring(self, _: None) -> None:
        process = self.process
        self.timer = None
        self.rings += 1
        if self.interval_ns:
            self._wind(self.due_ns + self.interval_ns)
        come(process, SIGALRM, KERNEL)

    def call_off(self) -> None:
        """Its process has ended."""
        if self.timer is not None:
            self.timer.cancel()


def from_outside(program: Process, number: int) -> None:
    """Another program sends it a signal. Who has no handler of it, and does not ignore or block it, may end by it.

    Raises:
        TypeError: it is none.
        ValueError: none that can be sent here.
        RuntimeError: it would send it to itself, or end the test.
    """
    if not isinstance(number, int):
        raise TypeError(f"send_signal({number!r}): {type(number).__name__} is no signal; send signal.SIGTERM")
    scheduler = program.scheduler
    if not 0 < number < c_signal.NSIG or number == SIGINT or number in STOPS:
        what = "ends the run" if number == SIGINT else "is no such signal"
        why = "host.pause(seconds) stops a host's programs" if number in STOPS else f"{number} {what}; send SIGTERM"
        raise ValueError(f"send_signal({number}): {why}")
    if program in (scheduler.current, scheduler.current.owner):
        raise RuntimeError(f"{program.name} sends itself a signal by os.kill(os.getpid(), {number})")
    kept = has_handler(program, number) or not lets_in(program, number)
    ends = not kept and ends_who_has_none(number)  # SIGKILL can be neither heard nor blocked
    if ends and program is scheduler.body:
        raise RuntimeError(f"send_signal({number}) would end the test, which has no handler of it")
    scheduler.effects += 1
    scheduler.activity += 1
    entry = (
        scheduler.clock.now_ns,
        PROCESS,
        program.host_name,
        program.name,
        "",
        "signal",
        0,
        NAMES.get(number, str(number)),
    )
    scheduler.trace.entries.append(entry)
    program.stood = [(each.name, each.stands()[0], each.tasks()) for each in (program, *program.crew)]
    if not ends:
        send(program, number)
        return
    for each in (*program.crew, program):
        end_wherever_it_is(each, f"signal {number} has ended {program.name}")


def alarm_call(process: Process, call: str, original: Any, *arguments: Any) -> Any:
    """The answer of ``signal.alarm``, ``setitimer`` or ``getitimer``; what is wrong with the arguments, *original* says.

    Raises:
        signal.ItimerError: EINVAL, less than nothing, or no timer.
        Escape: one of the processor's time.
    """
    alarm: Alarm = process.state.get("alarm") or process.state.setdefault("alarm", Alarm(process))
    if call == "alarm":
        if len(arguments) != 1:
            return original(*arguments)
        before, _ = alarm.arm((c_int(arguments[0]) & UINT_MAX) * SECOND, 0)
        # alarm_setitimer: rounded, but not to nothing.
        return 0 if not before else max(1, (before + SECOND // 2) // SECOND)
    if arguments and arguments[0] in OF_THE_PROCESSOR:
        process.scheduler.backend.escape(f"signal.{call} of the processor's time")
    if not arguments or arguments[0] != ITIMER_REAL:
        return original(*arguments)
    if call == "getitimer":
        told = alarm.left()
    else:
        with suppress(c_signal.ItimerError):
            original(NO_TIMER, *arguments[1:])
        wait, interval = (math.ceil(each * 1e6) * MICROSECOND for each in (*arguments[1:], 0)[:2])
        if wait < 0 or interval < 0:
            raise c_signal.ItimerError(errno.EINVAL, os.strerror(errno.EINVAL))
        told = alarm.arm(wait, interval)
    return tuple(each / SECOND for each in told)
