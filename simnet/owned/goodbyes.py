"""What a program has registered with ``atexit``: called when it ends by itself, the latest first, as an interpreter does."""

from __future__ import annotations

import contextvars
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simnet.owned.unraisable import hand_on
from simnet.verdicts import VERDICTS, ProcessEnded

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["AT_EXIT", "forget", "keep", "say"]

AT_EXIT = "at exit"  # in its memory: functions with their arguments
IGNORED = "Exception ignored in atexit callback"  # CPython's words


def keep(process: Process, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """``atexit.register``"""
    process.memory.setdefault(AT_EXIT, []).append((function, args, kwargs))


def forget(process: Process, function: Any) -> None:
    """``atexit.unregister``: each that is equal to *function*."""
    kept = process.memory.get(AT_EXIT, [])
    kept[:] = [each for each in kept if each[0] != function]


def say(process: Process) -> None:
    """Its threads have ended, but for daemons. What one of them raises is written, and the next is called, as CPython does."""
    for function, args, kwargs in reversed(process.memory.pop(AT_EXIT, ())):
        if process.ending or process.scheduler.interrupted is not None:
            return
        try:
            contextvars.Context().run(function, *args, **kwargs)
        except KeyboardInterrupt as error:
            process.scheduler.interrupted = error
        except (ProcessEnded, *VERDICTS):  # which are on record
            return
        except BaseException as error:  # noqa: BLE001  # as above
            _write(error, function)


def _write(error: BaseException, function: Any) -> None:
    """Who has a hook for it is told, as pytest, which makes a warning of it."""
    if sys.unraisablehook is not sys.__unraisablehook__:  # that one takes nothing but what C makes
        hand_on(error, IGNORED, function)
    else:
        sys.stderr.write(f"{IGNORED}: {function!r}\n")
        traceback.print_exception(error)
