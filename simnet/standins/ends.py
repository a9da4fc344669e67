"""An asyncio stream that is read again and again at its end, or when it has failed: a loop that neither waits nor makes a system call.

``while need: data += await reader.read(need)`` gets ``b""`` for ever, and no other task of its loop runs. A reader asks
whether its input has ended by the truth of an attribute, so an object that is true there counts how often it was asked. Where it has failed
it asks for its exception, which counts from then on. Reads before are not slower for it.

Clocks that such a loop reads, as each time-out does, move meanwhile, and others run. It is no wait, and what they do is none of its doing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from types import FrameType
from typing import Any, NamedTuple
from weakref import ref

from simnet.scheduling.reads import read_for_nothing, used_what_is_broken
from simnet.verdicts import Spin
from simnet.wait import CALLS_MAX, current_scheduler
from simnet.whereabouts import callback_of

__all__ = ["place", "unplace"]


class Most(NamedTuple):
    """How many reads there may be in a row."""

    look: int  # from one look to the next whether anything else is done meanwhile
    at_once: int  # in one callback
    yielding: int  # by a task that yields in between


ENDED = Most(1_000, CALLS_MAX, 50_000)  # those that yield take a kernel a second or more, too
FAILED = Most(250, 5_000, 5_000)  # of a stream that has: who logs each time does not log tens of megabytes
ASKS = 2  # times that a read asks for the exception that it raises; a drain() does so once
CUT = 32  # times that it is asked for, until what the raise before has put on its traceback is taken off, which else grows by each

# The class, for its module may go from sys.modules, and what it had there.
_placed: tuple[Any, dict[str, Any]] | None = None


class _Again:
    """Reads of one stream in a row, in which nothing else was done, nor waited for."""

    __slots__ = ("_callback", "_done", "_times", "_yields")

    def __init__(self) -> None:
        self._times = 0
        self._done: Any = None
        self._callback: Any = None  # of its loop, in which it was read
        self._yields = False

    def count(self, most: Most, left: int, frame: FrameType, tell: Callable[..., Spin]) -> None:
        """There were as many more as lead to a look, the last called at *frame*, with *left* bytes to read. Above *most*, *tell* says what is told."""
        scheduler = current_scheduler()
        if scheduler is None or scheduler.current.cannot_wait:
            return
        me, callback = scheduler.current, callback_of(frame)
        done = (me.name, me.since_ns, scheduler.effects - me.told_at, left)
        if done != self._done:
            self._done, self._callback, self._times, self._yields = done, callback, 0, False
            return
        if callback is None or callback != self._callback:
            self._callback, self._yields = callback, True
        self._times += most.look
        limit = most.yielding if self._yields else most.at_once
        if scheduler.calls_max < CALLS_MAX and scheduler.hung_at is None:  # others have spun so, and in full
            limit = 3 * most.look if self._yields else most.look
        if self._times >= limit:
            times, self._times = self._times, 0
            scheduler.spun(tell(me, times, yields=self._yields), me)


class _Ended:
    """True, as ``StreamReader._eof`` is at the end of the input. Read too often with nothing done in between, it says so."""

    __slots__ = ("_again", "_asked", "_reader")

    def __init__(self, reader: Any) -> None:
        self._asked = 0
        self._again = _Again()
        self._reader = ref(reader)

    def __bool__(self) -> bool:
        self._asked += 1
        if self._asked == ENDED.look:
            self._asked = 0
            left = getattr(self._reader(), "_buffer", b"")  # at_eof() asks before each line of what is there
            self._again.count(ENDED, len(left), sys._getframe(1), read_for_nothing)
        return True

    def __repr__(self) -> str:
        return "True"


@lru_cache(maxsize=16)
def _failed(reader: type) -> type:
    """*reader*, of those that have failed: who asks for the exception is counted."""

    def ask(self: Any) -> Any:
        error, (again, asked) = self.__dict__["_exception"], self.__dict__["_asked"]
        self.__dict__["_asked"] = again, (asked := asked + 1)
        if asked > CUT and isinstance(error, BaseException):
            error.__traceback__ = None
        if asked % (ASKS * FAILED.look) == 0:

            def tell(process: Any, times: int, *, yields: bool) -> Spin:
                return used_what_is_broken(process, times, error, yields=yields)

            again.count(FAILED, 0, sys._getframe(1), tell)
        return error

    def put(self: Any, error: Any) -> None:
        self.__dict__["_exception"] = error

    names = {"_exception": property(ask, put), "__module__": reader.__module__, "__qualname__": reader.__qualname__}
    return type(reader.__name__, (reader,), names)


def _feed_eof(original: Any) -> Any:
    def feed_eof(self: Any) -> None:
        original(self)
        if self._eof is True and current_scheduler() is not None:
            self._eof = _Ended(self)

    return feed_eof


def _set_exception(original: Any) -> Any:
    def set_exception(self: Any, exc: Any) -> None:
        original(self, exc)
        if current_scheduler() is not None and "_asked" not in self.__dict__:
            self.__dict__["_asked"] = _Again(), 0
            self.__class__ = _failed(self.__class__)

    return set_exception


def place() -> None:
    """If asyncio is loaded: the ends of its streams count from now on."""
    global _placed
    reader = getattr(sys.modules.get("asyncio.streams"), "StreamReader", None)
    if _placed is None and reader is not None:
        _placed = reader, {name: vars(reader)[name] for name in ("feed_eof", "set_exception")}
        reader.feed_eof = _feed_eof(reader.feed_eof)
        reader.set_exception = _set_exception(reader.set_exception)


def unplace() -> None:
    global _placed
    if _placed is not None:
        reader, originals = _placed
        for name, original in originals.items():
            setattr(reader, name, original)
        _placed = None
