"""What would leave the simulation: threads, subprocesses, pollers it does not have, waits for signals."""

from __future__ import annotations

import _posixsubprocess
import _thread
import functools
import os
import select
import threading
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
    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        yield _thread, name, "a thread"
    yield _posixsubprocess, "fork_exec", SUBPROCESS[0]
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve", "_exit", "abort"):
        yield os, name, f"os.{name}"
    for name in ("kqueue", "devpoll"):
        yield select, name, f"select.{name}"


for _module, _name, _what in _ways_out():
    PAIRS.standin(_module, _name)(_guard(_what))


IMPORTED_LATE = " of a pool (import concurrent.futures before the network is entered, and its work is done at once)"


@functools.wraps(threading.Thread.start)
def _start(self: threading.Thread) -> None:
    # Refused before it counts itself among the threads that are about to run: later nothing would take it out again.
    backend = whose.world()
    if backend is not None:
        of_a_pool = getattr(getattr(self, "_target", None), "__module__", "") == "concurrent.futures.thread"
        backend.escape(f"the thread {self.name!r}{IMPORTED_LATE if of_a_pool else ''}")
        adopt = getattr(backend, "adopt", None)  # a world that has threads wants to know its own
        if adopt is not None:
            adopt(self)
    _true_start(self)


_true_start = threading.Thread.start
PAIRS.add(threading.Thread.start, _start)
