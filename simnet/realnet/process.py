"""A process of a real network: a thread, and others it starts, that can be ended wherever they wait.

Nothing here blocks for good. Every wait also polls a descriptor that tells the process to end; other waits
(a lock, a long computation) get an asynchronous exception, and a thread that survives even
that is reported with its stack.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from simnet import real
from simnet.both.asked import seconds_of
from simnet.kernel.readiness import IN
from simnet.misnamed import Misnamed
from simnet.owned.eventloops import Left, bury, hush
from simnet.owned.threads import called_by, has_a_hook
from simnet.process import FACE
from simnet.realnet.machine import Machine
from simnet.realnet.ticks import Ticks, awaited
from simnet.realnet.usage import Usage
from simnet.scheduling.stuck import has_spun
from simnet.trace import PROCESS, WAKE
from simnet.verdicts import ProcessEnded, Spin, Verdict
from simnet.wait import FRUITLESS_MAX, WAITS_WHEN_ENDED_MAX
from simnet.whereabouts import caller_outside

if TYPE_CHECKING:
    from simnet.realnet.stage import Stage

__all__ = ["SLICE_NS", "Lost", "RealProcess", "Wait", "current_process", "enter", "leave", "throw"]

SLICE_NS = 20_000_000  # how often a wait looks up: at what faults hold back, at the clock, at whether all is lost
SETTLE_NS = 1_000_000_000  # how long spawn() waits for the threads of a process that waits itself
STILL_LOOKS = 12  # a slice apart, in which it used no processor: it waits in C, as for a queue, and tells nobody
LOOKS_MAX = 100  # polls without waiting after which it counts as one that waits

_current: dict[int, RealProcess] = {}  # by thread


def current_process() -> RealProcess | None:
    """The process that the calling thread belongs to."""
    return _current.get(threading.get_ident())


def enter(process: RealProcess) -> None:
    """From now on the calling thread belongs to *process*."""
    _current[threading.get_ident()] = process


def leave() -> None:
    _current.pop(threading.get_ident(), None)


class Wait(NamedTuple):
    """One thread of a process, waiting."""

    what: str
    since_ns: int
    deadline_ns: int | None
    descriptors: tuple[tuple[int, int], ...] = ()
    """Numbers and poll bits, where it is the kernel's word that ends the wait."""

    @property
    def over(self) -> bool:
        """Whether the kernel has given its word: a thread that waits still has only not run since, on a busy machine."""
        poller = real.poll()
        for fd, bits in self.descriptors:
            poller.register(fd, bits)
        return bool(self.descriptors) and bool(poller.poll(0))


class Lost(NamedTuple):
    """A thread of a program that an exception has ended; of the shape in which a run knows a process that has ended."""

    name: str
    host_name: str
    target: bool
    error: BaseException
    result: None = None
    done: bool = True
    answered: bool = False


class Open(NamedTuple):
    """The descriptors of all processes, since they share one kernel; it looks as those of a simulated process do."""

    open: Mapping[int, Any]


class RealProcess(Misnamed):
    """What :meth:`RealHost.spawn` returns. ``result`` and ``error`` are set once it is ``done``."""

    def __dir__(self) -> list[str]:
        """As of a simulated one."""
        return [name for name in object.__dir__(self) if name.startswith("__") or name in FACE]

    def __init__(self, stage: Stage, machine: Machine, name: str, fn: Callable[[], Any] | None = None) -> None:
        self.stage = stage
        self.machine = machine
        self.host_name = machine.name
        self.name = name
        self.target = machine.target
        self.result: Any = None
        self.error: BaseException | None = None
        self.ending = self.closing = False  # it was told to; its main function is done
        self.answered = False  # as of a simulated one
        self.waits: dict[int, Wait] = {}  # by thread
        self.ticks = Ticks()
        self.fruitless = 0
        self.looked_ns = -SLICE_NS  # when it last polled without waiting and found nothing
        self.pollers = 0
        self.default_timeout: float | None = None
        # Seeded as a simulated process's, so that it chooses alike.
        self.random = random.Random(f"{stage.seed}/{machine.name}/{name}")
        self.state: dict[Any, Any] = {}  # module attributes of its own, see `maps.py`, and signal handlers
        self.sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self.epolls: weakref.WeakSet[Any] = weakref.WeakSet()
        self.descriptors = Open(stage.files)  # where the observers of loops look up a channel's name
        self._fn = fn
        self._left: list[Left] = []  # what its event loop held when it was told to end, as often as it was
        self._ended = threading.Event()
        self._settled = threading.Event()  # it has waited once, or ended
        self._waits_when_ending = 0
        self._threads: list[threading.Thread] = []
        self._looks = 0
        self._beginning: set[threading.Thread] = set()  # asked for emptiness only
        self._usage = Usage()

    def __repr__(self) -> str:
        return f"RealProcess({self.name}, {'done' if self.done else 'waiting' if self.waits else 'running'})"

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    @property
    def in_first_thread(self) -> bool:
        """Whether the caller is the thread that the process began with: what the main thread is to a program."""
        return bool(self._threads) and threading.get_ident() == self._threads[0].ident

    def would_block(self, fd: int) -> bool:
        """Whether a write to *fd* may wait (see `simnet.calls.signals`)."""
        return os.get_blocking(fd)

    def write(self, fd: int, data: bytes) -> None:
        """Write to *fd* (see `simnet.calls.signals`)."""
        real.write(fd, data)

    # --- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, and return when it first waits or has ended."""
        thread = _Own(target=self._run, name=self.name, daemon=True)
        self._threads.append(thread)
        thread.start()
        me = current_process()
        looks = 0
        while not self._settled.wait(SLICE_NS / 1e9):
            if me is not None:
                me.look_up()
            looks = looks + 1 if self.still else 0
            if looks > STILL_LOOKS:
                break
        limit = self.stage.clock.now_ns + SETTLE_NS
        while (
            len(self._threads) > 1 and not self.still and self._looks <= LOOKS_MAX and self.stage.clock.now_ns < limit
        ):
            real.sleep(0.002)  # it may wait for a thread of its own: asyncio looks up names in one

    def _run(self) -> None:
        enter(self)
        entries, clock = self.stage.trace.entries, self.stage.clock
        entries.append((clock.now_ns, PROCESS, self.host_name, self.name, "", "spawn", 0, None))
        try:
            assert self._fn is not None
            self.result = self._fn()
        except ProcessEnded:
            pass
        except SystemExit as error:
            self.error = error if error.code not in (None, 0) else None
        except BaseException as error:  # noqa: BLE001 - whatever ends a process is what the run wants to know
            self.error = error
        finally:
            self._fn, self.closing = None, True
            text = None if self.error is None else type(self.error).__name__
            self.close_descriptors()
            while self._left:
                bury(self._left.pop())
            entries.append((clock.now_ns, PROCESS, self.host_name, self.name, "", "end", 0, text))
            self.stage.moved()
            self._ended.set()
            self._settled.set()
            leave()

    def adopt(self, thread: threading.Thread) -> None:
        """*thread*, which a program is about to start, belongs to this process."""
        if getattr(thread, "simnets_own", False):
            return
        run = thread.run
        name = self.stage.named(f"{self.host_name}/{called_by(thread)}")

        def adopted() -> None:
            enter(self)
            self._beginning.discard(thread)
            try:
                run()
            except ProcessEnded:
                pass
            except BaseException as error:
                if isinstance(error, (OSError, ValueError)) and (self.ending or self.closing):
                    return  # what it was waiting on was closed as its process ended
                if has_a_hook():
                    raise
                if not isinstance(error, SystemExit):
                    self._lost(name, error)
            finally:
                leave()

        thread.run = adopted  # type: ignore[method-assign]
        thread.daemon = True  # should it never end, the interpreter still can
        self._threads.append(thread)
        self._beginning.add(thread)

    def _lost(self, name: str, error: BaseException) -> None:
        """*error* has ended a thread of the program: a failure, as in a simulated one."""
        stage = self.stage
        stage.trace.entries.append(
            (stage.clock.now_ns, PROCESS, self.host_name, name, "", "end", 0, type(error).__name__)
        )
        stage.lost.append(Lost(name, self.host_name, self.target, error))
        stage.moved()

    def send_signal(self, number: int) -> NoReturn:
        """Refused: it is a thread, and a signal comes to the interpreter as a whole."""
        raise RuntimeError("send_signal() is for a simulated network: here its processes are threads of this one")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; False if *timeout* seconds passed first."""
        if timeout is not None:
            seconds_of("join", timeout)
        me = current_process()
        if me is None:
            return self._ended.wait(timeout)
        deadline = None if timeout is None else self.stage.clock.now_ns + round(timeout * 1e9)
        with me.waiting(f"the end of {self.name}", deadline):
            while not self._ended.wait(SLICE_NS / 1e9):
                me.look_up()
                if deadline is not None and self.stage.clock.now_ns >= deadline:
                    return self.done
        return True

    def close_descriptors(self) -> None:
        """As a kernel does when a process ends."""
        for sock in list(self.sockets):
            if sock._held:
                sock._real_close()
        for epoll in list(self.epolls):
            with suppress(OSError):  # the program has closed the number
                epoll.close()

    # --- waiting ---------------------------------------------------------------------------------------------------

    def wait(
        self,
        what: str,
        descriptors: Iterable[tuple[int, int]] = (),
        deadline_ns: int | None = None,
        until: Callable[[], Any] | None = None,
    ) -> Any:
        """Wait until one of *descriptors* (number, poll bits) is ready: the true pairs, or [] when the time is up.

        With *until*, what it returns decides, asked after each slice as well.
        """
        if self.ending:
            return self._wait_when_ending(deadline_ns)
        poller = real.poll()
        watched = tuple(descriptors)
        for fd, bits in watched:
            poller.register(fd, bits)
        stop = self.stage.stop.fileno()
        poller.register(stop, IN)
        clock = self.stage.clock
        since_ns = clock.now_ns
        found = until() if until is not None else poller.poll(0)
        if found:
            return found  # no wait, so nobody else gets a turn
        with self.waiting(what, deadline_ns, watched if until is None else ()):
            while True:
                now = clock.now_ns
                left = SLICE_NS if deadline_ns is None else min(SLICE_NS, deadline_ns - now)
                ready = poller.poll(max(0, -(-left // 1_000_000)))
                self.look_up()
                found = until() if until is not None else [pair for pair in ready if pair[0] != stop]
                if found:
                    self.stage.let_others_wait(self)
                    self._woke(what, True)
                    return found
                if deadline_ns is not None and clock.now_ns >= deadline_ns:
                    self.ticks.add(deadline_ns - since_ns)
                    self.timed_out(what, deadline_ns - since_ns)
                    return found

    def _wait_when_ending(self, deadline_ns: int | None) -> list[Any]:
        """In `finally` code: a time-out elapses at once, and a wait without one ends it again."""
        self._waits_when_ending += 1
        if deadline_ns is None or self._waits_when_ending > WAITS_WHEN_ENDED_MAX:
            raise ProcessEnded(f"the network of {self.name} has ended")
        return []

    def waiting(self, what: str, deadline_ns: int | None, descriptors: tuple[tuple[int, int], ...] = ()) -> _Waiting:
        """``with process.waiting("its turn", None):`` the thread counts as one that waits."""
        self._settled.set()
        return _Waiting(self, Wait(what, self.stage.clock.now_ns, deadline_ns, descriptors))

    def settled(self) -> None:
        """It waits, or will not: whoever spawned it may go on."""
        self._settled.set()

    def blocked(self, what: str, deadline_ns: int | None) -> _Waiting:
        """The same for a wait that a thread of the same process may end at once, as for a lock."""
        return _Waiting(self, Wait(what, self.stage.clock.now_ns, deadline_ns))

    def timed_out(self, what: str, waited_ns: int) -> None:
        """It has waited for *what* in vain, as long as it was to."""
        self.stage.trace.waited[self._woke(what, False), self.name] = waited_ns

    def _woke(self, what: str, ready: bool) -> int:
        entries, now_ns = self.stage.trace.entries, self.stage.clock.now_ns
        entries.append((now_ns, WAKE, self.host_name, self.name, "", awaited(what), 0, ready))
        return now_ns

    def look_up(self) -> None:
        """Called at least once a slice by whoever waits, and by each call that does not wait.

        Raises:
            ProcessEnded: the network has ended.
            Deadlock, Hang: the body waits for what will not come.
        """
        if self.ending:
            self._left.append(hush())
            raise ProcessEnded(f"the network of {self.name} has ended")
        self.stage.judge_wait(self)

    def effect(self) -> None:
        """A call did something."""
        self.fruitless = 0
        self.stage.moved()

    def reported(self, what: Callable[[], str]) -> None:
        """A poll reported readiness; *what* names it, should this be a busy loop."""
        self.fruitless += 1
        if self.fruitless > FRUITLESS_MAX:
            self.fruitless = 0
            error = Spin(
                f"{self.name} was woken {FRUITLESS_MAX} times in a row, at {self.stage.clock.now_ns / 1e9:.6f} s, for {what()}, "
                "and no call it made had any effect: this loop takes a whole processor. "
                "Read it, close it, or stop asking for it."
            )
            if not (self.stage.lets_spin and has_spun(self.stage.verdicts, self.name)):
                self.stage.record(Verdict("no-spin", str(error), self.host_name, error))
            if not self.stage.lets_spin:
                raise error

    # --- does it still do anything? --------------------------------------------------------------------------------

    def looked(self) -> None:
        """It polled without waiting and found nothing, or yielded: a moment in which others may run."""
        self.looked_ns = self.stage.clock.now_ns
        self._looks += 1
        if self._looks > LOOKS_MAX:
            self._settled.set()
        real.sleep(0)

    @property
    def resting(self) -> bool:
        """Every thread of it waits, or it has just looked in vain."""
        if self.done or self.stage.clock.now_ns - self.looked_ns < SLICE_NS:
            return True
        return bool(self.waits) and not any(
            thread.ident not in self.waits and thread.is_alive() and self._usage.goes_on(thread)
            for thread in list(self._threads)
        )

    @property
    def asleep(self) -> bool:
        """Whether all its threads let time pass, and none has woken since anything moved."""
        waits = list(self.waits.values())
        return bool(waits) and not self.ticks.count and all(wait.what == "time to pass" for wait in waits)

    @property
    def idle(self) -> bool:
        """Every thread of it waits: here, or in a lock, where it uses no processor time."""
        return self.done or self.stage.clock.now_ns - self.looked_ns < SLICE_NS or self.still

    @property
    def still(self) -> bool:
        """As ``idle``, of one that does not poll without waiting; a single look says nothing about what comes next."""
        if self.done:
            return True
        if not self._threads:
            return bool(self.waits)  # the body, which runs on a thread that was there before
        return not self._beginning and not any(
            thread.is_alive()
            and thread.ident not in self.waits
            and self._usage.computes(thread, self.stage.clock.now_ns)
            for thread in self._threads
        )

    # --- its end ---------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """For a thread that computes, or waits where we have no say."""
        for thread in self._threads:
            if thread.is_alive() and thread.ident is not None:
                throw(thread.ident, ProcessEnded)

    def join_threads(self, until_ns: int) -> list[threading.Thread]:
        """Those that still run at *until_ns*."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, (until_ns - real.monotonic_ns()) / 1e9))
        return [thread for thread in self._threads if thread.is_alive()]

    @property
    def lives(self) -> bool:
        """Whether a thread of it has not ended, and may still look at what ends it."""
        return any(thread.is_alive() for thread in self._threads)

    def describe_wait(self) -> str:
        """One line for people: who waits for what, where, since when."""
        waits = list(self.waits.values())
        if not waits:
            return f"{self.name} computes at {self.where()}"
        return f"{self.name} waits for {waits[0].what} at {self.where()}, since {waits[0].since_ns / 1e9:.6f} s"

    def where(self) -> str:
        """The nearest line of the user's own code, as in ``server.py:12 in serve``."""
        frames = sys._current_frames()
        idents = [*self.waits, *(thread.ident for thread in self._threads)]
        frame = next((frames[ident] for ident in idents if ident in frames), None)
        return caller_outside(frame) if frame is not None else ""


class _Own(threading.Thread):
    """A thread that is a process, not one that a process starts."""

    simnets_own = True


class _Waiting:
    """What ``with process.waiting(...)`` enters."""

    __slots__ = ("_before", "_ident", "_process", "_wait")

    def __init__(self, process: RealProcess, wait: Wait) -> None:
        self._process = process
        self._wait = wait

    def __enter__(self) -> None:
        process = self._process
        self._ident = threading.get_ident()
        self._before = process.waits.get(self._ident)
        process.waits[self._ident] = self._wait

    def __exit__(self, *exception: object) -> None:
        if self._before is None:
            self._process.waits.pop(self._ident, None)
        else:
            self._process.waits[self._ident] = self._before


def throw(ident: int, error: type[BaseException]) -> None:
    """Raise *error* in another thread, as soon as it runs Python code."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(error))
