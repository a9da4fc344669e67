"""Signals that a process blocks, and those it waits for: ``signal.pthread_sigmask``, ``sigpending``, ``sigwait`` and its
relatives, ``pause``. A blocked signal is delivered when it is unblocked, as on a kernel; waits for signals take virtual time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.calls.coming import LATER, Coming, put
from simnet.calls.signals import KERNEL, arrived, awaited, blocked, hear, shared
from simnet.clock import deadline_after
from simnet.owned.mutex import checked_wait
from simnet.real import c_signal
from simnet.whereabouts import caller

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["mask_call"]

_set_mask = getattr(c_signal, "pthread_sigmask", None)  # Windows has none
BLOCK, UNBLOCK, SETMASK = 0, 1, 2
NEVER_BLOCKED = {9, 19}  # SIGKILL, SIGSTOP


def mask_call(process: Process, call: str, original: Any, *arguments: Any) -> Any:
    """The answer of *call* of ``signal``; what is wrong with the arguments, *original* says.

    Raises:
        TypeError, ValueError, OSError: as CPython's, text included.
        Exception: whatever a handler raises.
    """
    if call in ("sigpending", "pause"):
        if arguments:
            return original(*arguments)
        return _pause(process) if call == "pause" else {*arrived(process), *shared(process.owner or process)}
    if call == "pthread_sigmask":
        if len(arguments) != 2 or arguments[0] not in (BLOCK, UNBLOCK, SETMASK):
            return original(*arguments)
        return _mask(process, *arguments)
    if len(arguments) != (2 if call == "sigtimedwait" else 1):
        return original(*arguments)
    numbers = _numbers(arguments[0])
    deadline_ns = None
    if call == "sigtimedwait":
        timeout = arguments[1]
        if isinstance(timeout, (int, float)) and timeout < 0:
            return original(*arguments)
        timeout = checked_wait(True, timeout)  # it is read as a lock's
        deadline_ns = deadline_after(process.scheduler.clock.now_ns, timeout)
    if call == "sigwait":
        return _sigwait(process, numbers)
    number, code = _wait(process, numbers, deadline_ns)
    return None if number == 0 else _told(process, number, code)


def _numbers(given: Any) -> set[int]:
    """The signals that *given* holds, as CPython reads it."""
    assert _set_mask is not None
    before = _set_mask(BLOCK, ())
    try:
        _set_mask(SETMASK, given)
    finally:
        numbers: set[int] = _set_mask(SETMASK, before)
    return numbers


def _mask(process: Process, how: int, given: Any) -> set[int]:
    """Change what *process* blocks, and deliver what has waited for that. What was blocked before."""
    numbers = _numbers(given) - NEVER_BLOCKED
    now = blocked(process)
    before = set(now)
    if how == SETMASK:
        now.clear()
    if how == UNBLOCK:
        now -= numbers
    else:
        now |= numbers
    _deliver(process, now)
    return before


def _deliver(process: Process, now: set[int]) -> None:
    """What has waited, and is not blocked *now*, is heard; what another thread than the main one has let in, where that one waits."""
    program = process.owner or process
    hears = process.scheduler.backend.hears
    heard = []
    for waiting in (arrived(process), shared(program)):
        for number in sorted(waiting.keys() - now):
            del waiting[number]
            if hears(program, number):
                heard.append(number)
    if process is program:
        hear(process, dict.fromkeys(heard), caller(sys._getframe(1)))
        return
    for number in heard:
        put(program, number)


def _wait(process: Process, numbers: set[int], deadline_ns: int | None) -> tuple[int, int]:
    """The lowest of *numbers* that has come, taken, and by whom it was sent; (0, 0) if none has by *deadline_ns*."""
    state, now = process.state, blocked(process)
    only_now = numbers - now
    now |= only_now  # nobody but this call hears of them
    before, state["awaited"] = awaited(process), numbers
    try:
        more = True
        while True:
            for waiting in (arrived(process), shared(process.owner or process)):  # as dequeue_signal looks
                found = numbers & waiting.keys()
                if found:
                    number = min(found)
                    return number, waiting.pop(number)
            if not more:
                return 0, 0
            more = process.scheduler.wait(("a signal", None), deadline_ns)
    finally:
        now -= only_now
        state["awaited"] = before


def _sigwait(process: Process, numbers: set[int]) -> int:
    """As `_wait`, but glibc begins anew after any other signal, and CPython calls its handler when that has ended."""
    coming = process.state[LATER] = Coming(process)
    try:
        number, _ = _wait(process, numbers, None)
    finally:
        del process.state[LATER]
    coming.hear()
    return number


def _pause(process: Process) -> None:
    """Wait until a handler was called."""
    heard = process.state.get("heard", 0)
    while process.state.get("heard", 0) == heard:
        process.scheduler.wait(("a signal", None), None)


def _told(process: Process, number: int, code: int) -> Any:
    pid, uid = (0, 0) if code == KERNEL else (real.getpid(), process.machine.stack.credentials[1])
    return c_signal.struct_siginfo((number, code, 0, pid, uid, 0, pid | uid << 32))
