"""Threads of a simulated program: processes that share its descriptors, its memory and its host; and the pools that it hands work to.

A piece of work runs until it first waits, or ends, before whoever handed it over goes on: computing takes no time here. So what need
not wait is done at once. What waits goes on beside, in virtual time, and tells its future when it has ended. A pool keeps no idle
threads: each ends with the work that is in line, and the next one takes its name.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from simnet.owned.eventloops import loop_at_hand, loop_given_back, loop_set_aside
from simnet.owned.unraisable import hand_on, is_a_programs
from simnet.verdicts import VERDICTS, ProcessEnded
from simnet.wait import running

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["Known", "Pool", "Pools", "Work", "called", "called_by", "has_a_hook", "live", "live_by_itself"]

UNLIMITED = sys.maxsize
IGNORED = "Exception ignored in thread started by"  # CPython's words
# What names begin with by which a thread knows the locals that have something of it.
OF_LOCALS = "_threading_local._localimpl."


class Work:
    """A function that a program hands over, and what came of it. ``tell`` is called when it has ended, unless that was at once."""

    __slots__ = ("function", "arguments", "options", "future", "tell", "done", "result", "error")

    def __init__(self, function: Callable[..., Any], arguments: Any, options: Any, future: Any = None) -> None:
        self.function = function
        self.arguments = arguments
        self.options = options
        self.future = future  # who may call it off while it is in line
        self.tell: Callable[[Work], object] | None = None
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do it. Whatever it raises, SystemExit too, its future has; what ends a run goes on to whoever called as well."""
        try:
            self.result = self.function(*self.arguments, **self.options)
        except (ProcessEnded, KeyboardInterrupt):
            raise
        except VERDICTS as error:
            self._ended(error)
            raise
        except BaseException as error:  # noqa: BLE001  # as above
            self._ended(error)
        else:
            self._ended(None)

    def fail(self, error: BaseException) -> None:
        """Nobody will do it."""
        self._ended(error)

    def _ended(self, error: BaseException | None) -> None:
        self.error, self.done = error, True
        if self.tell is not None:
            self.tell(self)

    def settle(self, future: Any) -> None:
        """*future* has what came of it."""
        error, self.error = self.error, None  # else the exception and its frames, which hold the future too,
        self.future = None  # would hold each other
        if error is None:
            future.set_result(self.result)
        else:
            future.set_exception(error)


class Known:
    """By what a program knows one of its threads: a ``threading.Thread``, once it asks for it."""

    __slots__ = ("name", "thread", "ident", "loop")

    def __init__(self, name: str, ident: int | None, thread: Any = None) -> None:
        self.name = name
        self.ident = ident
        self.thread = thread
        self.loop: dict[str, Any] = {}  # what asyncio's policy knows for it, between two pieces of work


class Pool:
    """Of one program: at most *most* pieces of work are done side by side, and who comes later waits in line.

    *begin* is called first in each of its threads; *broken* is told of an exception there. *prefix* begins their names.
    For *daemons* the program does not wait when it ends.
    """

    __slots__ = (
        "most",
        "at_work",
        "line",
        "prefix",
        "daemons",
        "refuses",
        "_begin",
        "_broken",
        "_begun",
        "_free",
        "_threads",
    )

    def __init__(
        self,
        most: int = UNLIMITED,
        prefix: str = "",
        begin: Callable[[], Any] | None = None,
        broken: Callable[[], BaseException] | None = None,
        daemons: bool = False,
    ) -> None:
        self.most = most
        self.at_work: dict[Process, None] = {}
        self.line: deque[Work] = deque()
        self.prefix = prefix
        self.daemons = daemons
        self.refuses: Callable[[], BaseException] | None = None  # makes what more work is refused with
        self._begin = begin
        self._broken = broken
        self._begun: set[int] = set()  # asked for membership only
        self._free: list[int] = []  # numbers of threads that have done their work
        self._threads: dict[int, Known] = {}  # by number

    def give(self, work: Work, spawn: Callable[..., Process]) -> None:
        """Begin *work* in a thread that *spawn* makes, or put it in line. It may be done when this returns."""
        if self.refuses is not None:
            raise self.refuses()
        scheduler: Any = running.scheduler
        if scheduler.current.cannot_wait:  # the program is being ended, and has no threads any more
            loop = loop_set_aside()
            try:
                Context().run(work.run)
            finally:
                loop_given_back(loop)
        elif len(self.at_work) < self.most:
            spawn(called(work.function, work.arguments), self._serve, work, daemon=self.daemons)
        else:
            self.line.append(work)

    def call_off(self) -> None:
        """Whatever is in line is cancelled."""
        while self.line:
            self.line.popleft().future.cancel()

    def join(self) -> None:
        """Wait until nothing is in line and nobody at work.

        Raises:
            RuntimeError: one of its own threads asks for that.
        """
        scheduler: Any = running.scheduler
        if scheduler.current in self.at_work:
            raise RuntimeError("cannot join current thread")
        while self.at_work:
            next(iter(self.at_work)).join()

    def _serve(self, work: Work) -> None:
        """The life of one of its threads."""
        me: Any = running.scheduler.current  # type: ignore[union-attr]
        number = heappop(self._free) if self._free else len(self.at_work)
        self.at_work[me] = None
        if number not in self._threads:
            self._threads[number] = Known(f"{self.prefix}{number}", me.ident)
        me.thread = known = self._threads[number]
        me.ident = known.ident
        loop_at_hand().update(known.loop)
        try:
            if self._begin is not None and number not in self._begun and not self._has_begun(number, work):
                return
            work.run()
            while self.line:
                work = self.line.popleft()
                if not work.future.cancelled():
                    work.run()
        finally:
            known.loop = dict(loop_at_hand())
            del self.at_work[me]
            heappush(self._free, number)
            self.end_idle()

    def end_idle(self) -> None:
        """No more work comes to a pool that refuses it: when the last is done its threads end."""
        if self.refuses is not None and not self.at_work:
            for known in self._threads.values():
                if known.thread is not None:
                    forget_locals(known.thread)

    def _has_begun(self, number: int, work: Work) -> bool:
        assert self._begin is not None
        assert self._broken is not None
        self._begun.add(number)
        try:
            self._begin()
        except (ProcessEnded, KeyboardInterrupt, *VERDICTS):
            raise
        except BaseException:
            logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            self.refuses = self._broken
            error = self._broken()
            for each in (work, *self.line):
                each.fail(error)
            self.line.clear()
            return False
        return True


class Pools:
    """All pools of a run, by the executor or loop whose they are, and the program."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Any, dict[Process, Pool]] | None = None  # made with the first of them

    def of(self, owner: Any, program: Process, make: Callable[[], Pool] | None = None) -> Pool | None:
        """The pool that *owner* has in *program*, if anything was handed to it; else it begins with what *make()* gives."""
        if self._of is None:
            if make is None:
                return None
            self._of = WeakKeyDictionary()
        pools = self._of.get(owner)
        pool = None if pools is None else pools.get(program)
        if pool is None and make is not None:
            pool = self._of.setdefault(owner, {})[program] = make()
        return pool

    def give(
        self, owner: Any, program: Process, work: Work, make: Callable[[], Pool], spawn: Callable[..., Process]
    ) -> None:
        """Hand it *work*; it begins with what *make()* gives, and its threads with *spawn*."""
        pool: Any = self.of(owner, program, make)
        pool.give(work, spawn)

    def in_line(self) -> list[str]:
        """A line for people on each pool whose threads are all at work, while more waits for them."""
        return [
            f"{', '.join(each.name for each in pool.at_work)}: all threads of a pool, and {len(pool.line)} more pieces of work wait for one"
            for pools in (self._of or {}).values()
            for pool in pools.values()
            if pool.line
        ]


def live(thread: Any) -> None:
    """The life of a ``threading.Thread``, in the process that stands for it. Who has a hook for its exceptions gets them."""
    thread._started.set()
    try:
        thread.run()
    except (ProcessEnded, *VERDICTS):
        raise
    except BaseException as error:
        scheduler = running.scheduler
        if isinstance(error, KeyboardInterrupt) and scheduler is not None and scheduler.interrupted is not None:
            raise  # Ctrl-C stops the run; else the thread has raised it itself
        if has_a_hook():
            thread._invoke_excepthook(thread)
        elif not isinstance(error, SystemExit):
            raise  # so it ends the process, of which the run tells
    finally:
        forget_locals(thread)
        thread._is_stopped = True  # until Python 3.12, for its repr


def live_by_itself(function: Callable[..., Any], *arguments: Any) -> None:
    """The life of one that ``_thread.start_new_thread`` begins, to which SystemExit is an end as any other.

    Who has a hook for what can be raised nowhere gets its exceptions.
    """
    try:
        function(*arguments)
    except SystemExit:
        pass
    except (ProcessEnded, *VERDICTS):
        raise
    except BaseException as error:
        stopped = running.scheduler is not None and running.scheduler.interrupted is not None
        if stopped or not is_a_programs(sys.unraisablehook, sys.__unraisablehook__):
            raise
        if sys.version_info >= (3, 13):
            hand_on(error, f"{IGNORED} {function!r}", None)
        else:
            hand_on(error, IGNORED, function)
    finally:
        known = running.scheduler.current.thread  # type: ignore[union-attr]
        if known is not None and known.thread is not None:
            forget_locals(known.thread)


def forget_locals(thread: Any) -> None:
    """What *thread* had for itself alone goes when it ends, as a connection in a ``threading.local``, though somebody keeps the thread.

    The library's own in Python keeps it as long as the thread's object, and as the local that this thread has asked last.
    """
    for name, known_by in list(vars(thread).items()):
        if name.startswith(OF_LOCALS) and (kept := known_by()) is not None:
            kept.dicts[id(thread)][1].clear()


def called_by(thread: Any) -> str:
    """The name of what *thread* is to call; of the class of one that has a ``run`` of its own."""
    return getattr(getattr(thread, "_target", None), "__name__", None) or type(thread).__name__


def has_a_hook() -> bool:
    """Whether the program, and not pytest, has set one for the exceptions of its threads."""
    return is_a_programs(threading.excepthook, threading.__excepthook__)


def called(function: Any, arguments: Any) -> str:
    """The name of what is called in the end, through `functools.partial` and a context's `run`."""
    while True:
        if isinstance(function, partial):
            function, arguments = function.func, (*function.args, *arguments)
        elif isinstance(getattr(function, "__self__", None), Context) and arguments:
            function, *arguments = arguments
        else:
            return getattr(function, "__name__", None) or type(function).__name__
