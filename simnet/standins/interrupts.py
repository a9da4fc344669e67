"""Ctrl-C during a run, and what it interrupts.

Setting a handler of SIGINT and removing it again costs as much as a connection. So ours stays when a run ends,
then does what the interpreter's own does, and goes as soon as a program asks for the handler or sets one.

Between two runs of a sweep KeyboardInterrupt may be raised where Python swallows it: in a `__del__`, in a weak
reference's callback, in a callback of the collector. So the next run of the series raises it again.

What limits the time of a whole test, as pytest-timeout does, has set a handler of SIGALRM that raises wherever the program stands. In
a series of runs that is not the program's own failure, and it ends the series as Ctrl-C does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from simnet.real import c_signal, get_ident
from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs

__all__ = ["PAIRS", "give_back", "rouse", "series", "tell", "tell_no_more"]

PAIRS = Pairs()
SIGINT = 2

_SIGALRM = getattr(c_signal, "SIGALRM", None)  # Windows has none

_getsignal, _setsignal, _default = c_signal.getsignal, c_signal.signal, c_signal.default_int_handler

_told: Callable[[FrameType | None, bool], None] | None = None
_roused = False  # the signal on its way is the watchdog's
_lock = threading.Lock()  # no signal is sent to a run that is over: it would be taken for a person's
_in_place = False  # our handler, as far as anybody could tell
_in_series = False
_missed = False  # a Ctrl-C came between two runs of a series, and nobody has been stopped by it yet


@contextmanager
def series() -> Iterator[list[BaseException]]:
    """Runs follow one another: a Ctrl-C between two of them ends the series, even if nobody heard of it there.

    So does what a handler of SIGALRM raises that was set before. It is in the list, and raised in place of a KeyboardInterrupt that leaves the block.
    """
    global _in_series, _missed
    rang: list[BaseException] = []
    hears = _SIGALRM is not None and get_ident() == threading.main_thread().ident
    alarm: Any = _getsignal(_SIGALRM) if hears else None
    ours = partial(_ring, alarm, rang)
    if callable(alarm):
        _setsignal(_SIGALRM, ours)
    outer, _in_series = _in_series, True
    try:
        yield rang
    except KeyboardInterrupt:
        if rang:
            raise rang[0] from None
        raise
    finally:
        _in_series, _missed = outer, False
        if callable(alarm) and _getsignal(_SIGALRM) is ours:
            _setsignal(_SIGALRM, alarm)


def _ring(alarm: Callable[..., Any], rang: list[BaseException], number: int, frame: FrameType | None) -> None:
    global _missed
    try:
        alarm(number, frame)
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is for who has set that alarm
        rang.append(error.with_traceback(None))
    else:
        return
    if _told is not None:
        _told(frame, False)
    else:
        _missed = True
        raise KeyboardInterrupt


def tell(interrupted: Callable[[FrameType | None, bool], None]) -> bool:
    """Call *interrupted* on Ctrl-C from now on, with the frame that stood there, and whether it was none but `rouse`; False, if that is another thread's business, or the program's own.

    Raises:
        KeyboardInterrupt: Ctrl-C came before, in a `series`, and was not heard.
    """
    global _told, _roused, _in_place, _missed
    if get_ident() != threading.main_thread().ident:
        return False
    if _missed:
        _missed = False
        raise KeyboardInterrupt
    if not _in_place:
        if _getsignal(SIGINT) is not _default:
            return False
        _setsignal(SIGINT, _handle)
        _in_place = True
    _told, _roused = interrupted, False
    return True


def tell_no_more() -> None:
    """The run is over. A handler that a process of it has set goes with it."""
    global _told
    with _lock:
        _told = None
    if not _in_place:
        _setsignal(SIGINT, _default)


def rouse() -> None:
    """From another thread: end the system call in which the run's sits, as Ctrl-C would, where that is ours to hear."""
    global _roused
    ident = threading.main_thread().ident
    with _lock:
        if _told is not None and _in_place and ident is not None:
            _roused = True
            c_signal.pthread_kill(ident, SIGINT)


def give_back() -> None:
    """The interpreter's own handler is in its place again, unless a run is on."""
    global _in_place
    if _in_place and _told is None and get_ident() == threading.main_thread().ident:
        _in_place = False
        _setsignal(SIGINT, _default)


def _handle(number: int, frame: FrameType | None) -> None:
    global _roused, _missed
    roused, _roused = _roused, False
    if _told is not None:
        _told(frame, roused)
    else:
        _missed = _in_series
        _default(number, frame)


@PAIRS.standin(c_signal, "getsignal")
def _getsignal_standin(original: Any) -> Callable[..., Any]:
    def getsignal(_: Origin, *args: Any) -> Any:
        own = getattr(whose.world(), "signal_call", None)  # only a world with processes in one thread has one
        if own is not None and args[:1] != (SIGINT,):
            return own("getsignal", original, *args)
        give_back()
        return original(*args)

    return getsignal


@PAIRS.standin(c_signal, "signal")
def _signal_standin(original: Any) -> Callable[..., Any]:
    def signal(_: Origin, *args: Any) -> Any:
        global _in_place
        own = getattr(whose.world(), "signal_call", None)
        if own is not None and args[:1] != (SIGINT,):
            return own("signal", original, *args)
        give_back()
        before = original(*args) if own is None else own("signal", original, *args)  # which a thread is refused
        if args[0] == SIGINT:
            _in_place = False
        return before

    return signal
