"""Stops code that computes and never waits: a real thread that checks now and then whether a run still moves.

It reads the real clock, and never touches a run that switches processes. It is off under a debugger. Time in which this thread
itself does not run, as after Ctrl-Z or on a paused machine, does not count as the program's. An exception does not reach a thread
in a call of the real kernel; a signal ends the call. Code that swallows the Ctrl-C that ends its run is sent it again, until one
arrives where nothing catches it.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simnet import real
from simnet.blame import users_own
from simnet.roundabout import Look, going_round, look_at
from simnet.verdicts import Hang, Verdict
from simnet.wait import Scheduler

__all__ = ["HANG_SECONDS", "guard", "paused", "series", "unguard"]

HANG_SECONDS = 20.0  # real time without one wait: a slow machine under coverage needs a fraction of it for any handler
AGAIN_SECONDS = 2.0  # in a series of runs, once one of them was stopped: they are alike, and may be hundreds
LOOK_SECONDS = 0.5
STUBBORN_SECONDS = 2.0  # for what a program may want to do at the end, after Ctrl-C
DESPAIR_SECONDS = 60.0  # of pressing: no more will come of it
PRESS_SECONDS = 0.01  # between two looks at one that has gone on for longer: it must be met between two of its tries
FOREIGN = ("gevent", "eventlet")  # their loops wait in C, or on pollers of their own: nothing simulated ever wakes them
FOREIGN_SECONDS = 1.0  # in one of these
LOOKS_MAX = 40  # at where a program stands that does not wait: enough to tell in which of its loops
SHOWN = 8  # frames of the program's own, where it computes
THREADS = "No other thread of its program runs meanwhile: wait for a threading.Event rather than look at a flag, or sleep between looks. "
PLAY = (str(Path(__file__).with_name("run.py")), "play")  # the file and the function that call a test

_set_mask = getattr(real.c_signal, "pthread_sigmask", None)  # Windows has none


class _Series:
    """Runs of one test in a row: how long the watchdog waits for the next of them."""

    __slots__ = ("longest", "patience")

    def __init__(self) -> None:
        self.longest = 0.0  # that one computed, and went on
        self.patience: float | None = None  # None: none has been stopped yet


_guarded: dict[int, tuple[Scheduler, Callable[[], object]]] = {}  # by thread; and how to end a call that it sits in
_looks: dict[int, list[Look]] = {}  # by thread, since it has waited last
_series: dict[int, _Series] = {}  # by thread
# Of the test that pytest is at, those outside a series: hypothesis makes one for each of its examples.
_networks: tuple[str, _Series] = ("", _Series())
_lock = threading.Lock()
_running = 0  # the number of the process that has the thread which looks: one that was forked has it not


def guard(scheduler: Scheduler, rouse: Callable[[], object]) -> None:
    """Look after *scheduler*'s run, in the current thread, until :func:`unguard`. *rouse* ends a call of the true kernel there."""
    global _running
    _guarded[real.get_ident()] = (scheduler, rouse)
    if _running != (me := real.getpid()):
        with _lock:
            if _running != me:
                _running = me
                with _no_signals():
                    real.start_new_thread(_watch, ())


@contextmanager
def _no_signals() -> Iterator[None]:
    """A thread that begins within hears none: a kernel gives a process's signal to whichever thread lets it through."""
    if _set_mask is None:
        yield
        return
    before = _set_mask(real.c_signal.SIG_BLOCK, real.c_signal.valid_signals())
    try:
        yield
    finally:
        _set_mask(real.c_signal.SIG_SETMASK, before)


def unguard() -> None:
    """The run in this thread is over, and hears of nothing any more."""
    _guarded.pop(real.get_ident(), None)
    try:
        with _lock:  # who is about to be stopped is stopped here: it has come to its end
            pass
    except Hang:
        pass


@contextmanager
def paused() -> Iterator[None]:
    """Within, nobody looks what this thread does: it is not the run's. Its time begins anew afterwards."""
    kept = _guarded.pop(ident := real.get_ident(), None)
    try:
        yield
    finally:
        if kept is not None:
            _guarded[ident] = kept


@contextmanager
def series() -> Iterator[None]:
    """Within, runs of one test follow each other in this thread. Where one computes for ever, so will many: who has waited
    for the first does not wait as long for each of the others, unless one of them has come to its end after all.
    """
    ident = real.get_ident()
    before = _series.get(ident)
    _series[ident] = _Series()
    try:
        yield
    finally:
        if before is None:
            del _series[ident]
        else:
            _series[ident] = before


def _series_of(ident: int) -> _Series | None:
    """To which series that thread's run belongs; None: to none, as far as can be told."""
    global _networks
    of = _series.get(ident)
    if of is None and (test := os.environ.get("PYTEST_CURRENT_TEST", "")):
        if test != _networks[0]:
            _networks = (test, _Series())
        of = _networks[1]
    return of


def _patience(ident: int) -> float:
    of = _series_of(ident)
    return HANG_SECONDS if of is None or of.patience is None else of.patience


def _went_on(ident: int, seconds: float) -> None:
    """A run has computed for so long, and goes on."""
    of = _series_of(ident)
    if of is not None and seconds > of.longest:
        of.longest = seconds


def _debugging(ident: int) -> bool:
    """Whether a person sits at a prompt in that thread. Its trace function is not ours to ask for; those of its frames outlive a
    debugger that has gone on.
    """
    if "pydevd" in sys.modules:
        return True
    frame = sys._current_frames().get(ident)
    while frame is not None:
        if frame.f_globals.get("__name__") == "bdb":
            return True
        frame = frame.f_back
    return False


def _foreign(ident: int) -> str:
    """In which of those libraries that thread is. One that is being imported has no loop yet, and may take its time."""
    found = ""
    frame = sys._current_frames().get(ident)
    while frame is not None:
        library: str = str(frame.f_globals.get("__name__")).partition(".")[0]
        if library in FOREIGN:
            if frame.f_code.co_name == "<module>":
                return ""
            found = found or library
        frame = frame.f_back
    return found


def _watch() -> None:
    seen: dict[int, tuple[Scheduler, tuple[int, int], float]] = {}  # how long it has stood there
    stopped: dict[int, tuple[Scheduler, float]] = {}  # since when they are told to end
    now = real.monotonic()
    while True:
        pause = PRESS_SECONDS if stopped else LOOK_SECONDS
        real.sleep(pause)
        before, now = now, real.monotonic()
        passed = min(now - before, 2 * pause)
        for ident, (scheduler, rouse) in list(_guarded.items()):
            last = seen.get(ident)
            moves = (scheduler.switches, scheduler.clock.now_ns)
            moved = last is None or last[0] is not scheduler or last[1] != moves
            stood = 0.0 if last is None or moved else last[2] + passed
            if last is not None and moved:
                _went_on(ident, last[2])
            seen[ident] = (scheduler, moves, stood)
            looks = _looks.setdefault(ident, [])
            if not stood:
                looks.clear()
            elif len(looks) < LOOKS_MAX:
                looks.append(look_at(sys._current_frames().get(ident)))
            if scheduler.interrupted is None or ident != threading.main_thread().ident:  # others hear no signals
                stopped.pop(ident, None)
                if _debugging(ident):
                    seen[ident] = (scheduler, moves, 0.0)  # the time at the prompt is not the program's
                elif stood > (patience := _patience(ident)) or (stood > FOREIGN_SECONDS and _foreign(ident)):
                    _stop(ident, scheduler, patience)
                    seen[ident] = (scheduler, moves, 0.0)
                continue
            since = stopped.get(ident)
            if since is None or since[0] is not scheduler:
                stopped[ident] = since = (scheduler, now)
            leave = 0.0 if isinstance(scheduler.interrupted, Hang) and not moved else STUBBORN_SECONDS
            if leave <= now - since[1] < DESPAIR_SECONDS and not _debugging(ident):
                rouse()
        for ident in [ident for ident in seen if ident not in _guarded]:
            del seen[ident]
            stopped.pop(ident, None)
            _looks.pop(ident, None)


def _stop(ident: int, scheduler: Scheduler, seconds: float) -> None:
    frame = sys._current_frames().get(ident)
    stack = traceback.extract_stack(frame) if frame is not None else []
    called = [index for index, each in enumerate(stack) if (each.filename, each.name) == PLAY]
    stack = stack[called[-1] + 1 :] if called else stack  # what leads to a test tells nothing of it
    users = [each for each in stack if users_own(each.filename)] or stack
    shown = "".join(traceback.format_list(users[-SHOWN:]))
    name = scheduler.current.name
    library = _foreign(ident)
    threads = THREADS if scheduler.current.owner is not None or scheduler.current.crew else ""
    if library:
        error = Hang(
            f"{name} waits in a loop of {library}'s, which asks the real kernel and hears nothing of a simulated network: such programs "
            f"do not run in one. It was here:\n{shown}Test it on real sockets of this machine."
        )
    else:
        error = Hang(
            f"{name} has computed for {seconds:g} s of real time without waiting for anything. It was here:\n{shown}"
            f"{threads}A loop of pure computation never lets virtual time pass: let it wait, or end it; a read that gives b'' is the end of the "
            "input. Nor does what waits in C: a call of a real socket or poller, as one is that was made before the run (make it within), a "
            "pipe or FIFO that open() waits for (os.fdopen, or os.open with O_NONBLOCK), or a "
            "threading.Lock that was made before the run and is known where nobody finds it, to a closure or a container."
        )
    if looks := _looks.get(ident):
        error.loop = going_round(looks)
    with _lock:
        if ident not in _guarded or _guarded[ident][0] is not scheduler:
            return  # it has just ended
        of = _series_of(ident)
        if of is not None:
            of.patience = min(HANG_SECONDS, max(AGAIN_SECONDS, 4 * of.longest))
        if scheduler.interrupted is None:
            scheduler.record(Verdict("Hang", str(error), scheduler.current.host_name, error))
            scheduler.interrupted = error  # the next wait raises it
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Hang))
