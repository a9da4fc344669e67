"""What would leave the simulation: threads that nobody models, subprocesses, pollers it does not have."""

from __future__ import annotations

import _posixsubprocess
import _thread
import os
import select
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from simnet.standins import whose
from simnet.standins.around import looks_around
from simnet.standins.pairs import Maker, Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()

SUBPROCESS = ("a subprocess", "os.posix_spawn")  # by either way


def _guard(what: str) -> Maker:
    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            backend = whose.world()
            if backend is not None and not (what in SUBPROCESS and looks_around()):
                backend.escape(what)
            return original(*args, **kwargs)

        return standin

    return maker


def _ways_out() -> Iterator[tuple[ModuleType, str, str]]:
    yield _thread, "start_joinable_thread", "a thread"
    yield _posixsubprocess, "fork_exec", SUBPROCESS[0]
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve", "_exit", "abort"):
        yield os, name, f"os.{name}"
    for name in ("kqueue", "devpoll"):
        yield select, name, f"select.{name}"


for _module, _name, _what in _ways_out():
    PAIRS.standin(_module, _name)(_guard(_what))
