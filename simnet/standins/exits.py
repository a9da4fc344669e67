"""``atexit``: what a simulated program registers is called when it ends, not when the interpreter does.

By then its network would be no more, and each of a thousand runs would have left its own. What is registered while a module is imported,
by the standard library or by pytest and its like, belongs to what all programs share, and to the interpreter; so does what the test itself registers.
"""

from __future__ import annotations

import atexit
import sys
from types import FrameType
from typing import Any

from simnet.owned import goodbyes
from simnet.standins.pairs import Origin, Pairs
from simnet.standins.spared import is_spared
from simnet.wait import running

__all__ = ["PAIRS"]

PAIRS = Pairs()


def _program(asks: FrameType) -> Any:
    """The program whose own it is that *asks*; None if it is the interpreter's."""
    scheduler = running.scheduler
    if scheduler is None:
        return None
    program = scheduler.current.owner or scheduler.current
    module = str(asks.f_globals.get("__name__"))
    shared = module.partition(".")[0] in sys.stdlib_module_names or is_spared(module) or _imports(asks)
    return None if shared or program is scheduler.body else program


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


@PAIRS.standin(atexit, "register")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
        program = _program(sys._getframe(1)) if args and callable(args[0]) else None
        if program is None:
            return original(*args, **kwargs)
        goodbyes.keep(program, args[0], args[1:], kwargs)
        return args[0]

    return standin


@PAIRS.standin(atexit, "unregister")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any) -> Any:
        scheduler = running.scheduler
        if scheduler is not None and len(args) == 1:
            goodbyes.forget(scheduler.current.owner or scheduler.current, args[0])
        return original(*args)

    return standin
