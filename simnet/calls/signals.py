"""The signals of a simulated process: the handlers it sets, the descriptor that wakes its loop, and what it sends itself.

The interpreter has one handler per signal, for all processes, so it is not used for these. SIGINT is not among them: it
ends the run. A process of a real network, which is a thread, has its own handlers in the same way.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable
from contextlib import suppress
from operator import index
from signal import Signals
from typing import Any, Protocol

from simnet.arguments.polls import c_int
from simnet.kernel.errors import socket_error
from simnet.real import c_signal

__all__ = [
    "KERNEL", "SIGINT", "SIGPIPE", "SIGURG",
    "announce", "announce_interrupt", "arrived", "awaited", "blocked", "end_by", "ends_who_has_none", "handler_of", "has_handler",
    "hear", "is_signal", "keep_back", "name_of", "shared", "signal_call",
]  # fmt: skip

_getsignal = c_signal.getsignal
SIGINT, SIGPIPE, SIGURG, KILL, STOP = 2, 13, 23, 9, 19
DEFAULT, IGNORE = 0, 1  # SIG_DFL, SIG_IGN
HARMLESS = frozenset({0, 17, 18, 23, 28})  # nothing at all, SIGCHLD, SIGCONT, SIGURG, SIGWINCH
USER, KERNEL = 0, 0x80  # si_code: who sent it
NOTHING: set[int] = set()
NO_HANDLER = "It would be the end of the test run, of which the process is a part: give it one, by signal.signal()."
NOT_A_HANDLER = "signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object"


def name_of(number: int) -> str:
    """As people call it."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {int(number)}"


def end_by(number: int) -> tuple[str, str]:
    """What to say of a signal *number* that nobody handles, and what is to be done about it."""
    return f"an end by {name_of(number)}, of which it has no handler,", NO_HANDLER


class Process(Protocol):
    """What a process has to have for it, simulated or real."""

    @property
    def state(self) -> dict[Any, Any]: ...

    def would_block(self, fd: int) -> bool:
        """Whether a write to its descriptor *fd* may wait. ``OSError``: it is none."""

    def write(self, fd: int, data: bytes) -> None:
        """Write to its descriptor *fd*."""


def signal_call(process: Process, call: str, *arguments: Any, **_: Any) -> Any:
    """The answer of ``signal.signal``, ``getsignal``, ``siginterrupt``, ``raise_signal`` or ``set_wakeup_fd``.

    Nobody warns of a full descriptor (*warn_on_full_buffer*).

    Raises:
        TypeError, ValueError, OSError: as CPython's, text included.
    """
    if call == "set_wakeup_fd":
        return _set_wakeup(process, *arguments)
    handlers = _handlers(process)
    number = index(arguments[0])
    if not 0 < number < c_signal.NSIG:
        raise ValueError("signal number out of range")
    if call == "siginterrupt":
        return None
    if call == "raise_signal":
        hear(process, [number], sys._getframe(3))  # of who sent it: behind this room, backend and stand-in
        return None
    handler = handlers[number] if number in handlers else _getsignal(number)
    if call == "signal":
        if not callable(arguments[1]) and arguments[1] not in (DEFAULT, IGNORE):
            raise TypeError(NOT_A_HANDLER)
        if number in (KILL, STOP):
            raise socket_error(errno.EINVAL)
        handlers[number] = arguments[1]
        if arguments[1] == IGNORE or (arguments[1] == DEFAULT and number in HARMLESS):
            for waiting in (shared(process), *map(arrived, (process, *getattr(process, "crew", ())))):
                waiting.pop(number, None)
    return handler


def has_handler(process: Process, number: Any) -> bool:
    """Has *process* a handler of its own for that signal, or does it ignore it?"""
    return bool(_handlers(process).get(number, DEFAULT) != DEFAULT)


def ends_who_has_none(number: Any) -> bool:
    """Would that signal end a process, and the interpreter has no handler of it either?"""
    return is_signal(number) and number not in HARMLESS and _getsignal(number) == DEFAULT


def handler_of(process: Process, number: int) -> Any:
    """What *process* does on that signal."""
    return _handlers(process).get(number, DEFAULT)


def blocked(process: Process) -> set[int]:
    """The signals that *process* lets wait."""
    numbers: set[int] = process.state.setdefault("blocked", set())
    return numbers


def awaited(process: Process) -> set[int]:
    """Those that it waits for by ``sigwait`` or the like."""
    numbers: set[int] = process.state.get("awaited", NOTHING)
    return numbers


def arrived(process: Process) -> dict[int, int]:
    """Those that have come to *process*, one thread of its program, and wait; and who sent each first: USER or KERNEL."""
    numbers: dict[int, int] = process.state.setdefault("arrived", {})
    return numbers


def shared(program: Process) -> dict[int, int]:
    """Those that have come to *program*, for whichever of its threads takes them first."""
    numbers: dict[int, int] = program.state.setdefault("arrived for any", {})
    return numbers


def keep_back(process: Process, number: Any) -> bool:
    """Does *process* block the signal, which is for it alone? Then it has come, and waits."""
    if not isinstance(number, int) or number not in blocked(process):
        return False
    arrived(process).setdefault(int(number), USER)
    return True


def is_signal(number: Any) -> bool:
    return isinstance(number, int) and 0 < number < c_signal.NSIG


def _handlers(process: Process) -> dict[int, Any]:
    handlers: dict[int, Any] = process.state.setdefault("signals", {})
    return handlers


def _set_wakeup(process: Process, fd: Any) -> int:
    """Write the number of each signal that comes to *fd*, of a socket or a pipe; -1 for nowhere. What it was before."""
    fd = c_int(fd)
    if fd != -1 and process.would_block(fd):
        raise ValueError(f"the fd {fd} must be in non-blocking mode")
    before: int = process.state.get("wakeup", -1)
    process.state["wakeup"] = fd
    return before


def hear(process: Process, numbers: Iterable[int], frame: Any) -> None:
    """Signals come to *process*, which is at *frame*, all at once: the last of them is written to the wakeup descriptor first,
    and its handler is called last.
    """
    coming = sorted(int(number) for number in numbers if callable(handler_of(process, number)))
    for number in reversed(coming):
        announce(process, number)
    _call(process, coming, frame)


def _call(process: Process, coming: list[int], frame: Any) -> None:
    """Call their handlers, of which one that raises keeps none of the others from being called."""
    if not coming:
        return
    number = coming[0]
    try:
        handler = handler_of(process, number)
        if callable(handler):  # the one before may have set another
            handler(number, frame)
    finally:
        _call(process, coming[1:], frame)


def announce_interrupt(process: Process) -> None:
    """*process* sends itself SIGINT, whose handler is the machine's: its loop wakes as by any other signal that is handled."""
    if callable(_getsignal(SIGINT)):
        announce(process, SIGINT)


def announce(process: Process, number: int) -> None:
    """The signal is about to be handled: wake who waits for that."""
    process.state["heard"] = process.state.get("heard", 0) + 1
    fd = process.state.get("wakeup", -1)
    if fd != -1:
        with suppress(OSError):  # a full one is awake, and who has closed it wants no more of it
            process.write(fd, bytes([number]))
