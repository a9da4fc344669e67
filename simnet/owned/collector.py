"""The collector of circles, which is one for the whole interpreter: off while a run goes on, in whatever thread, and then as it was before."""

from __future__ import annotations

import gc
from _thread import allocate_lock

__all__ = ["give_back", "keep_off"]

_lock = allocate_lock()
_runs: list[object] = []  # those that go on
_was_on = False  # before the first of them


def keep_off(run: object) -> None:
    """*run* begins."""
    global _was_on
    with _lock:
        if not _runs:
            _was_on = gc.isenabled()
        _runs.append(run)
        gc.disable()


def give_back(run: object) -> None:
    """It is over, if it had begun."""
    with _lock:
        if run in _runs:
            _runs.remove(run)
            if not _runs and _was_on:
                gc.enable()
