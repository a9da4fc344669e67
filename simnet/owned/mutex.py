"""Locks of simulated processes. Who waits for one waits as for all else: others run meanwhile, and virtual time passes.

The interpreter's own wait in C. All processes of a run share one thread, so who waits there never hears that the lock is free; and
one that its thread may take twice lets every process in. These go by process, and inside of no run by thread, as ever.
"""

from __future__ import annotations

from _thread import LockType, RLock, allocate_lock, get_ident
from contextlib import suppress
from operator import index
from typing import TYPE_CHECKING, Any, NoReturn

from simnet.clock import deadline_after
from simnet.wait import running

if TYPE_CHECKING:
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = ["Early", "EarlyQueue", "EarlyReentrant", "Lock", "Reentrant", "checked_wait", "wait_on"]


OF_C = allocate_lock.__module__  # trio asks whether the classes of its locks are from there


class Exclusive:
    """``with lock:``, whatever lock it is."""

    __slots__ = ("__weakref__",)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> Any:
        """Take it, and say whether that was done in time."""
        raise NotImplementedError

    def release(self) -> None:
        """Let it go."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Lock(Exclusive):
    """What ``threading.Lock()`` gives in a run. First come, first served; but who may not wait takes it if it is free."""

    __slots__ = ("holder", "_line", "_true")
    __module__ = OF_C

    def __init__(self) -> None:
        self._true: LockType = allocate_lock()
        self._line: list[Process] = []  # who waits for it
        self.holder: Process | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler, true = running.scheduler, self._true
        if scheduler is None:
            return true.acquire(blocking, timeout)
        if blocking is not True or timeout != -1:
            timeout, blocking = checked_wait(blocking, timeout), bool(blocking)
        waits = blocking and timeout != 0
        if not (waits and self._line) and true.acquire(False):
            self.holder = scheduler.current
            return True
        return waits and self._wait(scheduler, None if timeout == -1 else timeout)

    def _wait(self, scheduler: Scheduler, timeout: float | None) -> bool:
        me, line = scheduler.current, self._line
        deadline = None if timeout is None else deadline_after(scheduler.clock.now_ns, timeout)
        line.append(me)
        try:
            while line[0] is not me or not self._true.acquire(False):
                if not scheduler.wait(("a lock", self), deadline):
                    return False
            self.holder = me
            return True
        finally:
            line.remove(me)
            self._call_next()

    def release(self) -> None:
        self._true.release()
        self.holder = None
        self._call_next()

    def _call_next(self) -> None:
        if self._line and not self._true.locked():
            self._line[0].wake()

    def locked(self) -> bool:
        return self._true.locked()

    acquire_lock, release_lock, locked_lock = acquire, release, locked  # by their first names, which C has still

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]  # nobody else is left

    @property
    def tag(self) -> str:
        """Who has it, in a message that says who waits for it."""
        holder = self.holder
        if holder is None:
            return "that nobody lets go of"
        return f"that {holder.name} holds" if not holder.done else f"that {holder.name} held when it ended"

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return LockType  # for `isinstance()`: a program may have asked for the type of a lock when it was imported

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("cannot pickle '_thread.lock' object")

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} _thread.lock object at {id(self):#x}>"


class Reentrant(Exclusive):
    """What ``threading.RLock()`` gives in a run: its owner may take it again, and lets it go as often."""

    __slots__ = ("_count", "_lock", "_owner")
    __module__ = OF_C

    def __init__(self) -> None:
        self._lock = Lock()
        self._owner: Process | int | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = _myself()
        if self._owner == me:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        if self._owner != _myself():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def _at_fork_reinit(self) -> None:
        self.__init__()  # type: ignore[misc]

    # --- for `threading.Condition`

    def _release_save(self) -> tuple[int, Any]:
        if not self._count:
            raise RuntimeError("cannot release un-acquired lock")
        saved = self._count, self._owner
        self._count, self._owner = 0, None
        self._lock.release()
        return saved

    def _acquire_restore(self, saved: tuple[int, Any]) -> None:
        self._lock.acquire()
        self._count, self._owner = saved

    def _is_owned(self) -> bool:
        return self._owner == _myself()

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return RLock

    def __reduce_ex__(self, _: Any) -> NoReturn:
        raise TypeError("cannot pickle '_thread.RLock' object")

    def __repr__(self) -> str:
        owner = getattr(self._owner, "name", self._owner)
        state = "locked" if self._count else "unlocked"
        return f"<{state} _thread.RLock object owner={owner or 0} count={self._count} at {id(self):#x}>"


def _myself() -> Process | int:
    scheduler = running.scheduler
    return get_ident() if scheduler is None else scheduler.current


class Notice:
    """What a process that waits on a ``threading.Condition`` leaves there, as if it were a lock that it has taken."""

    __slots__ = ("given", "_waiter")

    def __init__(self, waiter: Process) -> None:
        self._waiter = waiter
        self.given = False

    def release(self) -> None:
        """It is notified. That is something done: threads that hand things to each other are no clocks that tick."""
        self.given = True
        waiter = self._waiter
        if not waiter.done:
            waiter.scheduler.effects += 1
            waiter.wake()


def checked_wait(blocking: Any, timeout: Any) -> float:
    """For how long who waits for a lock is to wait: what CPython takes *timeout* for, which looks at both.

    Raises:
        TypeError, ValueError, OverflowError: as CPython's, text included.
    """
    allocate_lock().acquire(blocking, timeout)  # nobody has this one
    return timeout if isinstance(timeout, float) else index(timeout)


def wait_on(scheduler: Scheduler, condition: Any, timeout: float | None) -> bool:
    """``condition.wait(timeout)``. As in CPython's, a notification to who has waited in vain, and has the lock not yet again, is lost."""
    if not condition._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    notice = Notice(scheduler.current)
    waiters = condition._waiters
    waiters.append(notice)
    saved = condition._release_save()
    told = False
    try:
        if timeout is not None and not timeout > 0:
            scheduler.pause()
        else:
            now_ns = scheduler.clock.now_ns
            deadline = None if timeout is None else deadline_after(now_ns, checked_wait(True, timeout))
            while not notice.given and scheduler.wait(("a notification", None), deadline):
                pass
        told = notice.given
    finally:
        condition._acquire_restore(saved)
        if not told:
            with suppress(ValueError):
                waiters.remove(notice)
    return told


class Early(Exclusive):
    """A lock that was made before the run, when a module was imported: each program of a run has one of its own in its place, as it
    would have if it had imported the module itself; outside of a run it is the one that was made.
    """

    __slots__ = ("true",)

    def __init__(self, true: Any) -> None:
        self.true = true

    def _own(self) -> Any:
        scheduler = running.scheduler
        if scheduler is None:
            return self.true
        memory = scheduler.current.memory
        return memory.get(self) or memory.setdefault(self, self._fresh())

    def _fresh(self) -> Any:
        return Lock()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> Any:
        return self._own().acquire(blocking, timeout)

    def release(self) -> None:
        self._own().release()

    def locked(self) -> Any:
        return self._own().locked()

    acquire_lock, release_lock, locked_lock = acquire, release, locked

    def _at_fork_reinit(self) -> None:
        self._own()._at_fork_reinit()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.true)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.true.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return repr(self._own())


class EarlyReentrant(Early):
    """The same of one that its owner may take again."""

    __slots__ = ()

    def _fresh(self) -> Any:
        return Reentrant()

    def _release_save(self) -> Any:
        return self._own()._release_save()

    def _acquire_restore(self, saved: Any) -> None:
        self._own()._acquire_restore(saved)

    def _is_owned(self) -> Any:
        return self._own()._is_owned()

    def _recursion_count(self) -> Any:
        return self._own()._recursion_count()


class EarlyQueue:
    """A ``queue.SimpleQueue`` that was made before the run: one for all, as any object is, but who waits for it in a run waits there."""

    __slots__ = ("true", "_line")

    def __init__(self, true: Any) -> None:
        self.true = true
        self._line: list[Notice] = []  # who waits for it

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        scheduler, true = running.scheduler, self.true
        if scheduler is None or not block or not true.empty() or (timeout is not None and timeout < 0):
            return true.get(block, timeout)
        deadline = None if timeout is None else deadline_after(scheduler.clock.now_ns, timeout)
        while true.empty():
            notice = Notice(scheduler.current)
            self._line.append(notice)
            try:
                in_time = scheduler.wait(("a queue", None), deadline)
            finally:
                if not notice.given:
                    self._line.remove(notice)
            if not in_time:
                break
        return true.get(False)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self.true.put(item, block, timeout)
        if self._line:
            self._line.pop(0).release()

    def get_nowait(self) -> Any:
        return self.true.get(False)

    def put_nowait(self, item: Any) -> None:
        self.put(item)

    def empty(self) -> bool:
        return bool(self.true.empty())

    def qsize(self) -> int:
        return int(self.true.qsize())

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.true)
