"""``threading.Thread`` and what a program asks of threads: in a run each is one of the simulated program's (see `simnet.owned.threads`)."""

from __future__ import annotations

import _thread
import functools
import threading
import time
from typing import Any

from simnet.both.asked import SECONDS_MAX
from simnet.owned.mutex import checked_wait
from simnet.owned.threads import Known, called_by, live, live_by_itself
from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs
from simnet.wait import running

__all__ = ["PAIRS"]

PAIRS = Pairs()
# Linux's PID_MAX_LIMIT: no process has this number or a greater one, whose priority a thread would set.
NO_PROCESS = 1 << 22

_true_start, _true_join, _true_is_alive = threading.Thread.start, threading.Thread.join, threading.Thread.is_alive
_true_current, _true_enumerate, _true_count = threading.current_thread, threading.enumerate, threading.active_count


@functools.wraps(_true_start)
def _start(self: threading.Thread) -> None:
    world = whose.world()
    begin = getattr(world, "thread", None)
    if begin is None:
        if world is not None:
            _must_be_new(self)
            world.escape(f"the thread {self.name!r}")  # before it counts itself among those that are about to run
        adopt = getattr(world, "adopt", None)  # a world that has threads wants to know its own
        if adopt is not None:
            adopt(self)
        _true_start(self)
        return
    _must_be_new(self)
    begin(called_by(self), _live, self, daemon=self.daemon)


def _must_be_new(thread: Any) -> None:
    """As CPython's own start() asks, before anybody counts on it to begin.

    Raises:
        RuntimeError: it has been started, or was never made.
    """
    if not thread._initialized:
        raise RuntimeError("thread.__init__() not called")
    if thread._started.is_set():
        raise RuntimeError("threads can only be started once")


def _live(thread: Any) -> None:
    process: Any = running.scheduler.current  # type: ignore[union-attr]
    _identify(thread, process)
    process.thread = Known(thread.name, process.ident, thread)
    if hasattr(thread, "_handle"):
        thread._handle = _Handle(process)
    live(thread)


class _Handle:
    """As much of what a thread has from Python 3.13 on as its repr asks."""

    def __init__(self, process: Any) -> None:
        self.is_done = lambda: process.done


@functools.wraps(_true_join)
def _join(self: threading.Thread, timeout: float | None = None) -> None:
    process = vars(self).get("_simulated")
    me = _current()
    if process is None and me is not None and me.owner is not None and self is threading.main_thread():
        process = me.owner
    if process is None:
        _true_join(self, timeout)
    elif process is me:
        raise RuntimeError("cannot join current thread")
    else:
        process.join(None if timeout is None else min(checked_wait(True, max(timeout, 0)), SECONDS_MAX))


@functools.wraps(_true_is_alive)
def _is_alive(self: threading.Thread) -> bool:
    process = vars(self).get("_simulated")
    return _true_is_alive(self) if process is None else not process.done


def _current() -> Any:
    scheduler = running.scheduler
    return None if scheduler is None else scheduler.current


@functools.wraps(_true_current)
def _current_thread() -> Any:
    process = _current()
    if process is None or process.owner is None:
        return _true_current()
    return _thread_of(process)


def _thread_of(process: Any) -> Any:
    if process.thread is None:  # it was begun as no object
        process.thread = Known(_new_name("Dummy-%d"), process.ident)
    known = process.thread
    if known.thread is None:
        known.thread = threading.Thread(name=known.name, daemon=process.daemon)
        known.thread._started.set()
    _identify(known.thread, process)  # a pool's lives on in another process
    return known.thread


def _identify(thread: Any, process: Any) -> None:
    thread._simulated, thread._ident, thread._native_id = process, process.ident, NO_PROCESS + process.ident


def _others() -> list[Any]:
    """The threads of the program beside its main one."""
    process = _current()
    owner = None if process is None else process.owner or process
    return [] if owner is None else [_thread_of(each) for each in owner.crew]


@functools.wraps(_true_enumerate)
def _enumerate() -> list[threading.Thread]:
    return [*_true_enumerate(), *_others()]


@functools.wraps(_true_count)
def _active_count() -> int:
    return _true_count() + len(_others())


_true_new_name: Any = threading._newname  # type: ignore[attr-defined]


@functools.wraps(_true_new_name)
def _new_name(template: str = "Thread-%d") -> Any:
    process = _current()
    return _true_new_name(template) if process is None else template % process.next_number("threads")


for _true, _ours in (
    (_true_new_name, _new_name),
    (_true_start, _start),
    (_true_join, _join),
    (_true_is_alive, _is_alive),
    (_true_current, _current_thread),
    (_true_enumerate, _enumerate),
    (_true_count, _active_count),
):
    PAIRS.add(_true, _ours)


def _ident(original: Any) -> Any:
    def standin(_: Origin) -> Any:
        scheduler = running.scheduler
        return original() if scheduler is None else scheduler.current.ident or original()

    return standin


def _native_id(original: Any) -> Any:
    def standin(_: Origin) -> Any:
        process = _current()
        return original() if process is None or process.owner is None else NO_PROCESS + process.ident

    return standin


PAIRS.standin(_thread, "get_ident")(_ident)
PAIRS.standin(_thread, "get_native_id")(_native_id)


def _begins(function: Any = None, arguments: Any = None, *options: Any) -> bool:
    """Is that what a thread can begin with?"""
    named = not options or (len(options) == 1 and isinstance(options[0], dict))
    return callable(function) and isinstance(arguments, tuple) and named


def _start_new(original: Any) -> Any:
    def standin(_: Origin, *given: Any) -> Any:
        world = whose.world()
        begin = getattr(world, "thread", None)
        if begin is None or not _begins(*given):
            if world is not None and begin is None:
                world.escape("a thread")
            return original(*given)
        function = functools.partial(given[0], **given[2]) if len(given) > 2 else given[0]
        name = getattr(given[0], "__name__", "thread")
        return begin(name, live_by_itself, function, *given[1], daemon=True).ident

    return standin


PAIRS.standin(_thread, "start_new_thread")(_start_new)
PAIRS.standin(_thread, "start_new")(_start_new)


def _clock_of(original: Any) -> Any:
    def standin(_: Origin, *given: Any) -> Any:
        known = getattr(whose.world(), "true_thread", None)
        return original(*given) if known is None or len(given) != 1 else original(known(*given))

    return standin


PAIRS.standin(time, "pthread_getcpuclockid")(_clock_of)
