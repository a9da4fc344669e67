"""The greenlets that processes run on, kept for the next process: a new one costs 10 us, a kept one 0.6."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["idle_worker"]

_local = threading.local()  # a greenlet belongs to its thread


def idle_worker() -> greenlet:
    """A greenlet that waits for the process it is to run: ``worker.switch(process)``."""
    pool = _pool()
    while pool:
        worker = pool.pop()
        if not worker.dead:  # as one is whom Ctrl-C has met between two processes
            return worker
    return _new_worker()


def _new_worker() -> greenlet:
    """One that is begun by a greenlet which is always at the same depth. It would begin at that of who asks, as CPython counts it, and
    be kept there: threads that begin threads would reach the end of the interpreter's stack, and then whoever has their greenlets.
    """
    nurse = getattr(_local, "nurse", None)
    if nurse is None or nurse.dead:
        nurse = _local.nurse = greenlet(_nurse, _local_main())
    worker: greenlet = nurse.switch(getcurrent())
    return worker


def _nurse(asks: greenlet) -> None:
    main = _local_main()
    while True:
        asks = greenlet(_work, main).switch(asks)


def _pool() -> list[greenlet]:
    try:
        return _local.pool  # type: ignore[no-any-return]
    except AttributeError:
        pool: list[greenlet] = []
        _local.pool = pool
        return pool


def _local_main() -> greenlet:
    main = getcurrent()
    while main.parent is not None:
        main = main.parent
    return main


def _work(asks: greenlet) -> None:
    """The life of a worker: go back to who *asks* for one, run a process to its end, hand over to the next one, wait for another."""
    me = getcurrent()
    pool = _pool()
    process: Process = asks.switch(me)
    del asks
    while True:
        hook = threading.gettrace()  # what a new thread would be traced by: coverage, a debugger
        if hook is not sys.gettrace():
            sys.settrace(hook)
        scheduler = process.scheduler
        process.run()
        successor = scheduler.finished(process)
        scheduler.swap(process, successor)
        scheduler.current = successor
        process.greenlet = None
        del process, scheduler
        if successor.greenlet is None:
            successor.greenlet = me
            process = successor
            del successor
            continue
        other = successor.greenlet
        del successor
        pool.append(me)
        process = other.switch()
