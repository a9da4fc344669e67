"""``threading.local``: what each thread of a program has for itself, where all simulated threads share one of the interpreter's."""

from __future__ import annotations

from _thread import _local as true_local
from _threading_local import local
from typing import Any

from simnet.wait import running

__all__ = ["EarlyLocal", "local", "true_local"]


class EarlyLocal:
    """One that was made before the run, when a module was imported. It is the one that was made, but for the threads that simulated
    programs have beside their main ones: to them it goes by the library's own in Python, which asks who the current thread is.
    """

    __slots__ = ("true",)

    def __init__(self, true: Any = None) -> None:
        object.__setattr__(self, "true", true_local() if true is None else true)

    def __getattribute__(self, name: str) -> Any:
        return getattr(_own(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_own(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_own(self), name)


_true_of: Any = EarlyLocal.__dict__["true"].__get__


def _own(early: EarlyLocal) -> Any:
    scheduler = running.scheduler
    process = None if scheduler is None else scheduler.current
    if process is None or process.owner is None:
        return _true_of(early)
    return process.memory.get(early) or process.memory.setdefault(early, local())
