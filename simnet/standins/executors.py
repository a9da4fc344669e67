"""What programs hand functions to that threads are to call: in a run, threads of the simulated program (see `simnet.owned.threads`).

What does not wait is done by the next turn of its loop; what waits, in virtual time, goes on beside it. The pools are asyncio's, those of
``concurrent.futures``, twisted's, and anyio's, in which Starlette and FastAPI run what is not a coroutine. None of the packages is imported
for this; they are looked for when the stand-ins are put in place, and whenever a loop may be made.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import nullcontext, suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from simnet.owned.threads import Pool, Work
from simnet.standins import whose
from simnet.standins.processors import PROCESSORS
from simnet.wait import running

__all__ = ["place", "unplace"]

WORKERS = PROCESSORS + 4  # of the pool that asyncio makes for itself

_originals: dict[str, Any] = {}
_owners: dict[str, Any] = {}  # the class that each is of: its module may have gone from sys.modules


def _world() -> Any:
    world = whose.world()
    return world if hasattr(world, "give") else None  # a world that has threads has no need of it


# --- concurrent.futures


def _submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    world = _world()
    if world is None or self._shutdown or self._broken:
        return _originals["submit"](self, fn, *args, **kwargs)
    future = sys.modules["concurrent.futures"].Future()
    world.give(self, _Submitted(fn, args, kwargs, future), partial(_pool_of_executor, self))
    return future


def _count() -> Any:
    """The number of a pool, which its threads have in their names."""
    scheduler = running.scheduler
    return _originals["_counter"]() if scheduler is None else scheduler.current.next_number("pools") - 1


class _Submitted(Work):
    """Work whose future is one of ``concurrent.futures``."""

    __slots__ = ()

    def run(self) -> None:
        if self.future.set_running_or_notify_cancel():
            super().run()

    def fail(self, error: BaseException) -> None:
        if self.future.set_running_or_notify_cancel():
            super().fail(error)

    def _ended(self, error: BaseException | None) -> None:
        super()._ended(error)
        self.settle(self.future)


def _pool_of_executor(executor: Any) -> Pool:
    begin, arguments = executor._initializer, executor._initargs
    prefix = f"{executor._thread_name_prefix}_"
    return Pool(executor._max_workers, prefix, begin and partial(begin, *arguments), _broken)


def _broken() -> BaseException:
    why = "A thread initializer failed, the thread pool is not usable anymore"
    error: BaseException = sys.modules["concurrent.futures.thread"].BrokenThreadPool(why)
    return error


def _shutdown(self: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
    world = _world()
    if world is None:
        _originals["shutdown"](self, wait, cancel_futures=cancel_futures)
        return
    # One that a module has is shut down in this program alone.
    pool = world.pool_of(self, partial(_pool_of_executor, self))
    pool.refuses = pool.refuses or partial(RuntimeError, "cannot schedule new futures after shutdown")
    if cancel_futures:
        pool.call_off()
    pool.end_idle()
    if wait:
        pool.join()


# --- asyncio


class _ForALoop(Work):
    """Work whose future is a loop's, which knows a cancellation by another class than a pool does."""

    __slots__ = ()

    def settle(self, future: Any) -> None:
        if self.error is not None:
            self.error = sys.modules["asyncio.futures"]._convert_future_exc(self.error)
        super().settle(future)


def _run_in_executor(self: Any, executor: Any, func: Any, *args: Any) -> Any:
    world = _world()
    if world is None or executor is not None or self._default_executor is not None:
        return _originals["run_in_executor"](self, executor, func, *args)
    self._check_closed()
    if self._debug:
        self._check_callback(func, "run_in_executor")
    self._check_default_executor()
    future = self.create_future()
    work = _ForALoop(func, args, {}, future)
    world.give(self, work, partial(Pool, WORKERS, "asyncio_"))
    _tell_loop(self, work)
    return future


def _tell_loop(loop: Any, work: Work) -> None:
    """The future of *work* hears of its end in a turn of *loop*."""
    if work.done:
        loop.call_soon(_tell, work.future, work)  # a thread would tell later, too: others have a turn
    else:
        work.tell = partial(_tell_from_thread, loop)


def _tell_from_thread(loop: Any, work: Work) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(_tell, work.future, work)


def _tell(future: Any, work: Work) -> None:
    if not future.done():  # it may have been cancelled
        work.settle(future)


async def _shutdown_default_executor(self: Any, *args: Any, **kwargs: Any) -> None:
    world = _world()
    if world is not None:
        pool, executor = world.pool_of(self), self._default_executor
        at_work = pool is not None and pool.at_work
        if executor is None and at_work:
            self._default_executor = _Joined(pool)
        elif executor is None or (type(executor).shutdown is _shutdown and not _is_at_work(world, executor)):
            self._executor_shutdown_called = True
            if executor is not None:
                executor.shutdown(wait=False)
            return
    await _originals["shutdown_default_executor"](self, *args, **kwargs)


def _is_at_work(world: Any, executor: Any) -> bool:
    pool = world.pool_of(executor)
    return pool is not None and bool(pool.at_work)


class _Joined:
    """As much of an executor as a loop asks of its own at its end."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def shutdown(self, wait: bool = True) -> None:
        if wait:
            self._pool.join()


# --- others


def _do(self: Any, task: Any) -> None:
    world = _world()
    if world is None or self._quit.isSet:
        _originals["do"](self, task)
    else:  # it tells its reactor what came of it, as from a thread
        world.give(self, Work(task, (), {}), partial(Pool, prefix="PoolThread-twisted.internet.reactor-"))


async def _run_sync_in_worker_thread(
    cls: Any, func: Any, args: Any, abandon_on_cancel: bool = False, limiter: Any = None
) -> Any:
    world = _world()
    if world is None:
        original = _originals["run_sync_in_worker_thread"].__get__(None, cls)
        return await original(func, args, abandon_on_cancel, limiter)
    await cls.checkpoint()
    async with limiter or cls.current_default_thread_limiter():
        context = copy_context()
        module = sys.modules[cls.__module__]
        in_no_library = getattr(module, "set_current_async_library", None)
        if in_no_library is not None:
            context.run(in_no_library, None)
        loop = sys.modules["asyncio"].get_running_loop()
        scopes = getattr(module, "CancelScope", None)
        with nullcontext() if scopes is None else scopes(shield=not abandon_on_cancel) as scope:
            outer = None if abandon_on_cancel else getattr(scope, "_parent_scope", None)
            claimed = partial(_claimed, module, cls, loop, outer or scope)
            work = Work(context.run, (claimed, func, *args), {}, loop.create_future())
            world.give(cls, work, partial(Pool, prefix="AnyIO worker thread_"))
            if not work.done:
                _tell_loop(loop, work)
                return await work.future
        future = work.future
        work.settle(future)
        return await future


def _claimed(module: Any, cls: Any, loop: Any, scope: Any, function: Any, *args: Any) -> Any:
    """*function*, in a thread that calls back, by what anyio leaves there for it: the loop, and the scope that may be cancelled."""
    claim = getattr(module, "claim_worker_thread", None)
    try:
        if claim is None:
            return function(*args)
        with claim(cls, loop):
            module.threadlocals.current_cancel_scope = scope
            try:
                return function(*args)
            finally:
                del module.threadlocals.current_cancel_scope
    except StopIteration as error:  # no future takes it
        raise RuntimeError("coroutine raised StopIteration") from error


LOOP, POOL = ("asyncio.base_events", "BaseEventLoop"), ("concurrent.futures.thread", "ThreadPoolExecutor")
ANYIO, TEAM = ("anyio._backends._asyncio", "AsyncIOBackend"), ("twisted._threads._team", "Team")
STANDINS = (
    (LOOP, "run_in_executor", _run_in_executor),
    (LOOP, "shutdown_default_executor", _shutdown_default_executor),
    (POOL, "_counter", staticmethod(_count)),
    (POOL, "submit", _submit),
    (POOL, "shutdown", _shutdown),
    (ANYIO, "run_sync_in_worker_thread", classmethod(_run_sync_in_worker_thread)),
    (TEAM, "do", _do),
)


def place() -> None:
    """What of all this is loaded asks from now on the network of the process it runs in."""
    if len(_originals) == len(STANDINS):
        return
    for needed, (module, _) in ((("concurrent.futures",), POOL), (("anyio", "asyncio"), ANYIO)):
        if module not in sys.modules and all(each in sys.modules for each in needed):
            with suppress(ImportError):  # another version, or one that is being loaded
                importlib.import_module(module)  # as the package does itself, in the middle of a run
    for (module, cls), name, standin in STANDINS:
        owner = getattr(sys.modules.get(module), cls, None)  # None where it is not loaded, or half
        if owner is not None and name not in _originals and name in vars(owner):
            _originals[name] = vars(owner)[name]
            _owners[name] = owner
            setattr(owner, name, standin)


def unplace() -> None:
    while _owners:
        name, owner = _owners.popitem()
        setattr(owner, name, _originals.pop(name))
