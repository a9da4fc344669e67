"""A process: a function running on a host, with the descriptors and the state that belong to it alone."""

from __future__ import annotations

import contextvars
import inspect
import os
import random
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from types import CoroutineType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any, Final

from greenlet import getcurrent, greenlet

from simnet.both.asked import seconds_of
from simnet.clock import deadline_after
from simnet.files.ended import OVER
from simnet.kernel.descriptors import STANDARD, Descriptors, File
from simnet.misnamed import Misnamed
from simnet.owned import goodbyes, unasked
from simnet.owned.unheard import unheard
from simnet.trace import PROCESS
from simnet.verdicts import VERDICTS, ProcessEnded, in_full
from simnet.whereabouts import callback_of, cancelled_places, in_short, stands_at, task_places

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = [
    "DESCRIPTORS_A_PROCESS",
    "FACE",
    "FIRST_DESCRIPTOR",
    "OPEN_FILES_MAX",
    "Process",
    "refuse_arguments",
    "refuse_coroutines",
]

SLEPT_NS = 1_000_000  # between two polls: a thousand of them a second keep no processor busy
OPEN_FILES_MAX = 1_048_576  # RLIMIT_NOFILE's hard limit under systemd; resource.setrlimit() in a process lowers its own
FIRST_DESCRIPTOR = 1 << 20  # far above real descriptors: a real system call on a simulated one fails with EBADF
DESCRIPTORS_A_PROCESS = 1 << 21  # the numbers of two processes do not meet
PROCESSES_APART = 1023  # not those of so many one after the other: beyond, numbers would be more than a C int

TAKES_ANY = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
NO_PLAIN_FUNCTION = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
NOT_BY_NUMBER = ("room in the backlog", "linger")  # waits for a file that the call was given no number of
GREGORIAN = 0x01B21DD213814000  # the calendar's beginning before that of Unix, in 100 ns
FACE = ("name", "host_name", "target", "done", "result", "error", "join", "send_signal", "where")


class Process(Misnamed):
    """What :meth:`Host.spawn` returns. ``result`` and ``error`` are set once it is ``done``."""

    __slots__ = (
        "name", "host_name", "machine", "target", "scheduler", "greenlet", "fn", "args", "kwargs", "descriptors",
        "result", "error", "done", "answered", "in_vain", "ending", "cannot_wait", "waits_when_ending", "asleep",
        "held", "timed_out", "has_deadline", "pending", "handlers", "waiting", "since_ns", "fruitless", "told_at", "told_ns", "pauses",
        "paused_ns", "paused_at", "heartbeats", "activity", "joiners", "state", "default_timeout", "pollers", "pairs",
        "memory", "_random", "owner", "crew", "daemon", "thread", "ident", "stood", "lent",
    )  # fmt: skip
    # What a file may ask of who watches it. A process that waits has not tried in vain, and has its own way to hear of a close.
    spins: Final = False
    file_closed: Final = None

    def __init__(
        self,
        scheduler: Scheduler,
        machine: Any,
        number: int,
        name: str,
        fn: Callable[..., Any] | None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        owner: Process | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.machine = machine
        self.host_name: str = machine.name
        self.target = False
        self.name = name
        self.fn = fn
        self.args = args
        self.kwargs = kwargs or {}
        self.greenlet: greenlet | None = None
        self.owner = owner  # whose thread it is
        self.crew: list[Process] = []  # its threads that have not ended, in the order of their beginnings
        self.daemon = False  # its owner does not wait for it
        self.thread: Any = None  # what the program knows it by
        self.ident: int | None = None  # and by which number, if not by that of the thread that all processes share
        self.default_timeout: float | None = None
        if owner is None:
            first = FIRST_DESCRIPTOR + number % PROCESSES_APART * DESCRIPTORS_A_PROCESS
            self.descriptors = Descriptors(first, OPEN_FILES_MAX - STANDARD)
            self.memory: dict[Any, Any] = {}  # what life keeps per process and CPython per module
        else:
            self.descriptors, self.memory, self.default_timeout = owner.descriptors, owner.memory, owner.default_timeout
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self.in_vain = ""  # where it sends again and again on a socket that it has closed itself
        self.answered = False  # `Host.run` has raised its error where it was called
        self.ending = False
        self.cannot_wait = False  # it is being ended
        self.waits_when_ending = 0
        self.asleep = False
        self.held = False  # its host stands still
        self.timed_out = False
        self.has_deadline = False
        self.pending: Any = None  # an exception to be raised where it waits, or signals that have come
        self.handlers = 0  # of signals, that were called where it waited
        self.waiting: tuple[str, Any] | None = None
        self.since_ns = 0
        self.fruitless = 0  # polls in a row that told it something is ready, to no effect
        self.told_ns = 0  # when a poll told it so to no effect, the first time since it slept
        self.told_at = 0  # the scheduler's count of effects when a poll told it so last
        self.pauses = 0  # polls without leave to wait that found nothing,
        self.paused_ns = -1  # in this instant,
        self.paused_at = 0  # and while nobody did anything: the scheduler's count of effects then
        # Where it and its threads, which wait for what it hands to them, stood when another program sent it a signal, and their tasks.
        self.stood: list[tuple[str, str, tuple[str, ...]]] = []
        self.lent: tuple[int, ...] = ()  # the numbers that others go on with though it has ended
        self.heartbeats = 0  # wake-ups by time alone, in a row, after which it called nothing but its poller
        self.activity = 0  # the scheduler's count when it woke last
        self.joiners: list[Process] = []
        self.state: dict[Any, Any] = {}  # what is this one's alone; see `state.py`
        if owner is not None and (kept_back := scheduler.current.state.get("blocked")):
            self.state["blocked"] = set(kept_back)  # of who has begun it
        self.pollers = 0
        self.pairs = 0
        self._random: random.Random | None = None

    def __repr__(self) -> str:
        state = "done" if self.done else "waiting" if self.waiting else "running"
        return f"Process({self.name}, {state})"

    # --- for the kernel: a process is the watcher of whatever it waits for --------------------------------------

    def wake(self, file: object = None, events: int = 0) -> None:
        if self.asleep:  # as `Scheduler.wake` does: nearly every wake-up comes this way
            self.asleep = False
            self.scheduler.runnable.append(self)

    def holds(self, file: object) -> bool:
        """Does it wait in a call that was given a number of *file*?"""
        if self.waiting is None or self.ending:
            return False
        what, on = self.waiting
        return what not in NOT_BY_NUMBER and (on is file or (isinstance(on, list) and file in on))

    def meet_pending(self) -> None:
        """Its wait raises what was put there for it, or hears the signals that have come."""
        pending, self.pending = self.pending, None
        if isinstance(pending, BaseException):
            try:
                raise pending
            finally:
                del pending  # else frame and exception would hold each other
        told, timed_out = self.state.get("heard", 0), self.timed_out
        pending.hear()
        self.timed_out = timed_out  # whatever ended the waits of the handler
        self.handlers += self.state.get("heard", 0) != told

    # --- for users -------------------------------------------------------------------------------------------------

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if *timeout* seconds of virtual time passed first."""
        return self.done or self._join(timeout)

    def _join(self, timeout: float | None) -> bool:
        scheduler = self.scheduler
        deadline = None if timeout is None else deadline_after(scheduler.clock.now_ns, seconds_of("join", timeout))
        while True:
            if self.done or (scheduler.current in self.crew and self.fn is None and self is not scheduler.body):
                return True
            self.joiners.append(scheduler.current)
            if not scheduler.wait(("the end of", self), deadline):
                return self.done

    def send_signal(self, number: int) -> None:
        """Send it a signal, as ``kill`` does: ``signal.SIGTERM``. Its handler runs where it waits; who has none ends.

        Nothing happens if it has ended.

        Raises:
            ValueError: SIGINT, which ends the run, one that stops a process (see :meth:`Host.pause`), or no signal.
            RuntimeError: the caller is this process, the test would end by it, or it is one of a real network.
        """
        if not self.done:
            self.scheduler.backend.send_signal(self, number)

    @property
    def random(self) -> random.Random:
        """The generator behind the ``random`` module's functions in this process, seeded by the network's seed."""
        if self.owner is not None:
            return self.owner.random
        if self._random is None:
            self._random = random.Random(f"{self.machine.seed}/{self.name}")
        return self._random

    def time_of_uuid(self, time_ns: int) -> tuple[bytes, int]:
        """What ``uuid.uuid1`` is made of at *time_ns* of its clock (RFC 9562, 5.1); no two of one process are alike."""
        ticks = max(time_ns // 100 + GREGORIAN, self.state.get("uuid", 0) + 1)
        self.state["uuid"] = ticks
        low, middle, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48 & 0x0FFF
        sequence = self.random.getrandbits(14)
        return struct.pack("!IHHHHI", low, middle, 0x1000 | high, 0x8000 | sequence, 0x0200, self.machine.number), 0

    def next_number(self, of: str) -> int:
        """The next of the numbers that its program gives to what it makes many *of*: from 1 on, in each program of each run."""
        number: int = next(self.memory.get(of) or self.memory.setdefault(of, count(1)))
        return number

    # --- for the scheduler -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Called on a worker greenlet: the whole life of the process."""
        assert self.fn is not None
        scheduler = self.scheduler
        entries = scheduler.trace.entries
        entries.append((scheduler.clock.now_ns, PROCESS, self.host_name, self.name, "", "spawn", 0, None))
        text = None
        try:
            # As a thread of its own would, it begins with an empty context.
            self.result = contextvars.Context().run(self.fn, *self.args, **self.kwargs)
        except ProcessEnded:
            pass
        except KeyboardInterrupt as error:
            if self.owner is None or scheduler.interrupted is not None:
                scheduler.interrupted = error
            else:  # no Ctrl-C: of a thread that raises it itself an interpreter tells, and goes on
                self.error = error
        except SystemExit as error:
            if error.code not in (None, 0):
                self.error = error
        except VERDICTS as error:
            self.error = in_full(error, scheduler.interrupted)  # recorded as a verdict when it arose
        except BaseException as error:  # noqa: BLE001  # whatever ends a process is what the run wants to know
            if not self.ending:  # once its network is gone, what `finally` code runs into is no news
                self.error = error
        if self.error is not None:
            text = type(self.error).__name__
        elif unasked.UNASKED in self.state and not self.ending:
            unasked.tell_of_the_unasked(self)
        if (self.crew or (self.owner is None and goodbyes.AT_EXIT in self.memory)) and not self.ending:
            self._see_off()
        self.close_descriptors()
        self.done = True
        if self.owner is not None:
            self._leave_crew(self.owner)
        entries.append((scheduler.clock.now_ns, PROCESS, self.host_name, self.name, "", "end", 0, text))
        self.fn = None
        self.args = ()
        self.kwargs = {}

    def _see_off(self) -> None:
        """Its main function is done. As an interpreter does that ends, it waits for its threads, and says goodbye; daemons end with it."""
        self.fn = None
        for each in self.joiners:  # a thread of its own waits for no more than that
            self.scheduler.wake(each)
        with suppress(ProcessEnded, KeyboardInterrupt, *VERDICTS):  # which are on record, or everybody's
            while others := [each for each in self.crew if not each.daemon]:
                others[0].join()
        goodbyes.say(self)
        for each in self.crew[:]:
            file = each.waiting[1] if each.waiting is not None else None
            with unheard():
                self.scheduler.end(each, f"the program of {self.name} has ended")
            # Closed by another thread: that call kept it open, and is no more.
            if isinstance(file, File) and file.has_no_name():
                file.let_go()
                self.machine.flush()

    def _leave_crew(self, owner: Process) -> None:
        owner.crew.remove(self)
        # One that looks names up for a loop shares nothing with that but what it is told.
        if self.target and not getattr(self.thread, "name", "").startswith("asyncio_"):
            self.scheduler.trace.threaded[self.host_name] = None
        if not self.ending and self.error is None:  # of many pieces of work nobody asks any more
            self.scheduler.processes.remove(self)

    def close_descriptors(self) -> None:
        """As a kernel does when a process ends: every descriptor, in order, and no alarm rings any more. A thread's stay."""
        alarm = self.state.pop("alarm", None)
        if alarm is not None:
            alarm.call_off()
        if self.descriptors and self.owner is None:
            self.lent = self._given_away()
            for fd in tuple(self.descriptors):
                if fd not in self.lent:
                    self.descriptors.close(fd)
            self.machine.fabric.flush()

    def _given_away(self) -> tuple[int, ...]:
        """The numbers of the body's sockets that programs were given as they were spawned: they go on with these when it has ended."""
        if self is not self.scheduler.body or self.ending:
            return ()
        given = [each for other in self.scheduler.processes[1:] for each in (*other.args, *other.kwargs.values())]
        mine = [each for each in given if hasattr(type(each), "_process") and each._process is self]
        return tuple(each.fileno() for each in mine)

    def linger(self, file: Any, limit_ns: int) -> None:
        """Wait until *file*, whose last number is gone, has delivered all and its FIN, for *limit_ns* at most, or a signal comes."""
        scheduler = self.scheduler
        deadline = scheduler.clock.now_ns + limit_ns
        me = scheduler.current
        handlers = me.handlers
        file.watch(me)
        try:
            while file.closing and me.handlers == handlers and scheduler.wait(("linger", file), deadline):
                pass
        finally:
            file.unwatch(me)

    def holder_of(self, fd: int) -> Process:
        """Whose number *fd* is: who was handed a socket by another process of its host may use that one's, as it may call it."""
        if fd not in self.descriptors.open:
            for other in self.scheduler.processes:
                if other.machine is self.machine and fd in other.descriptors.open:
                    return other
        return self

    def dup(self, fd: int) -> int:
        """A number of its own for what *fd* is of."""
        file = self.holder_of(fd).descriptors.get(fd)
        new = self.descriptors.add(file)
        file.hold()
        return new

    def would_block(self, fd: int) -> bool:
        """Whether a write to *fd* may wait (see `calls/signals.py`)."""
        return bool(self.descriptors.get(fd).blocks()) if fd >= FIRST_DESCRIPTOR else os.get_blocking(fd)

    def write(self, fd: int, data: bytes) -> None:
        """Write to *fd*, which does not block (see `calls/signals.py`)."""
        if fd < FIRST_DESCRIPTOR:  # of a pipe: as the program would, so that who waits for it hears of it
            os.write(fd, data)
            return
        file: Any = self.descriptors.get(fd)
        try:
            file.send(data, 0)
        finally:
            self.machine.flush()

    def __dir__(self) -> list[str]:
        """What there is to use; the rest is for those who run it."""
        return [name for name in object.__dir__(self) if name.startswith("__") or name in FACE]

    def forget(self) -> None:
        """The run is over: memory that was the process's alone is gone, as a kernel takes it back."""
        for kept in (*self.state.values(), *self.memory.values()):
            if isinstance(kept, dict):
                kept.clear()
        self.state.clear()
        self.memory.clear()
        self.scheduler = self.machine = OVER

    def waits_for_a_sleeper(self, steps: int) -> bool:
        """Does it wait for the end of somebody who has a deadline, or for a lock of theirs? Also by way of others, so many *steps* off;
        and whatever it waits for, another thread of its program may give it.
        """
        who: Process | None = self
        for _ in range(steps):  # those who wait for each other make a circle
            waiting: tuple[str, Any] = (who.waiting if who is not None else None) or ("", None)
            what, thing = waiting
            if what == "a notification":  # which may come from anybody
                return any(each.has_deadline for each in self.scheduler.processes if each is not who)
            who = thing if what == "the end of" else thing.holder if what == "a lock" else None
            if who is None or who.has_deadline or any(each.has_deadline for each in who.crew):
                break
        return who is not None and (who.has_deadline or any(each.has_deadline for each in who.crew))

    def told_at_once(self, now_ns: int) -> bool:
        """Is it told so again before it has slept? Who sleeps in between leaves the processor to others, and is no busy loop."""
        if self.fruitless > 1 and now_ns - self.told_ns < SLEPT_NS:
            return True
        self.told_ns = now_ns
        return self.fruitless == 1  # for the first time

    def describe_wait(self, where: str | None = None) -> str:
        """One line for people: who waits for what, since when, and where: *where* if that is known already, else by its tasks too."""
        what, thing = self.waiting or ("nothing", None)
        text = f"{self.name} {'is done, but ' if self.sees_off else ''}waits for {what}"
        if thing is not None:
            text += f" on {describe(thing)}" if isinstance(thing, File) else f" {describe(thing)}"
        if where is None and (frame := self._frame()) is not None:
            where = ("" if callback_of(frame) else in_short(task_places(frame))) or stands_at(frame)[1]
        if where:
            text += f" at {where}"
        return f"{text}, since {self.since_ns / 1e9:.6f} s"

    def where(self) -> str:
        """Where it waits, in the user's own code: ``server.py:12 in serve``."""
        return self.stands()[0]

    def stands(self) -> tuple[str, str]:
        """The same, and once more with where a package that waits there was called."""
        frame = self._frame()
        return stands_at(frame) if frame is not None else ("", "")

    def tasks(self) -> tuple[str, ...]:
        """Where each task of the asyncio loop stands that it waits in; none of another loop."""
        frame = self._frame()
        return tuple(task_places(frame)) if frame is not None else ()

    def cancelled(self) -> list[str]:
        """Where those of them stand that were cancelled, and go on."""
        frame = self._frame()
        return cancelled_places(frame) if frame is not None else []

    @property
    def sees_off(self) -> bool:
        """Is its main function done, and it waits for its threads? Then it is at no line of anybody's."""
        return self.fn is None and bool(self.crew) and self is not self.scheduler.body

    def _frame(self) -> FrameType | None:
        if self.sees_off:
            return None
        if self.greenlet is getcurrent():  # who waits last looks, on its own stack, whether anything can still happen
            return sys._getframe(1)
        return self.greenlet.gr_frame if self.greenlet is not None else None


def describe(thing: Any) -> str:
    """A thing somebody waits for, in a person's words."""
    if isinstance(thing, Process):
        return thing.name
    if isinstance(thing, (list, tuple)):
        return ", ".join(describe(each) for each in thing[:4]) + (", ..." if len(thing) > 4 else "")
    tag = getattr(thing, "tag", None)
    return str(tag if tag is not None else thing)


def refuse_arguments(process: Any) -> None:
    """If *process*, simulated or real, could not even be called: that is a mistake of who spawned it.

    Raises:
        TypeError: the function does not take these arguments.
    """
    error = process.error
    if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
        process.answered = True
        raise error


def _dots(fn: Any) -> str:
    """What to write between the brackets of a call of *fn*: dots, if it takes something."""
    code = getattr(fn, "__code__", None) or fn.cr_code  # a function's, or a coroutine's
    return "..." if code.co_argcount or code.co_kwonlyargcount or code.co_flags & TAKES_ANY else ""


def _runs_coroutines(fn: Any) -> bool:
    return (getattr(fn, "__module__", ""), getattr(fn, "__name__", "")) == ("asyncio.runners", "run")


def refuse_coroutines(fn: Any, where: str, args: Iterable[Any] = ()) -> None:
    """A coroutine or generator function would return at once, having tested nothing; nor is there anything in a coroutine that has run."""
    for each in args:
        if type(each) is CoroutineType and each.cr_frame is None:
            raise TypeError(
                f"{where} got the coroutine {each.__name__}(), which has run already: each runs once. Make one where it is "
                f"spawned, in the test: {each.__name__}({_dots(each)})"
            )
        if type(each) is FunctionType and each.__code__.co_flags & inspect.CO_COROUTINE and _runs_coroutines(fn):
            raise TypeError(
                f"{where} got the coroutine function {each.__name__!r} for asyncio.run, which takes what it returns: "
                f"spawn(asyncio.run, {each.__name__}({_dots(each)}))"
            )
    code = getattr(fn, "__code__", None)
    if code is not None and not code.co_flags & NO_PLAIN_FUNCTION:
        return
    if inspect.iscoroutinefunction(fn):
        raise TypeError(
            f"{where} got the coroutine function {fn.__name__!r}, which would return at once without running; "
            f"hand over asyncio.run and the coroutine: spawn(asyncio.run, {fn.__name__}({_dots(fn)}))"
        )
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"{where} got the generator function {fn.__name__!r}, which would return at once without running"
        )
    if inspect.iscoroutine(fn):
        fn.close()  # else it would be told of besides, as never awaited
        raise TypeError(
            f"{where} got a coroutine; hand over what runs it, too: spawn(asyncio.run, {fn.__name__}({_dots(fn)}))"
        )
    if not callable(fn):
        raise TypeError(f"{where} takes a function and its arguments, not {fn!r}")
