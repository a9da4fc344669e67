"""Functions that a program hands to threads. A simulated process has none: what does not wait is done at once.

Computing takes no time in a run, so a thread that only computes, or reads a file, is done by the next turn of its loop.
A function that waits is refused: the process would have to go on beside it. The pools are asyncio's, those of
``concurrent.futures``, twisted's, and anyio's, in which Starlette and FastAPI run what is not a coroutine. None of the packages is imported
for this; they are looked for when the stand-ins are put in place, and whenever a loop may be made.

A server of ``socketserver`` that gives each connection a thread gives it a process of its host instead: such threads have
nothing in common but objects.
"""

from __future__ import annotations

import importlib
import socketserver
import sys
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from simnet.standins import whose
from simnet.verdicts import VERDICTS, ProcessEnded

__all__ = ["place", "unplace"]

ENDS = (*VERDICTS, ProcessEnded, KeyboardInterrupt)  # what goes on to whoever called

_originals: dict[str, Any] = {}
_owners: dict[str, Any] = {}  # the class that each is of: its module may have gone from sys.modules


def _at_once() -> Any:
    return getattr(whose.world(), "at_once", None)  # a world that has threads has no need of it


def _run_in_executor(self: Any, executor: Any, func: Any, *args: Any) -> Any:
    at_once = _at_once()
    if at_once is None or executor is not None or self._default_executor is not None:
        return _originals["run_in_executor"](self, executor, func, *args)
    self._check_closed()
    if self._debug:
        self._check_callback(func, "run_in_executor")
    self._check_default_executor()
    future = self.create_future()
    outcome = _Outcome(at_once, func, args, {})
    self.call_soon(_tell, future, outcome)  # a thread would tell later, too: others have a turn
    return future


async def _shutdown_default_executor(self: Any, *args: Any, **kwargs: Any) -> None:
    if _at_once() is None:
        await _originals["shutdown_default_executor"](self, *args, **kwargs)
        return
    self._executor_shutdown_called = True
    if self._default_executor is not None:
        self._default_executor.shutdown(wait=False)


def _submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
    at_once = _at_once()
    if at_once is None or self._shutdown or self._broken or self._initializer is not None:
        return _originals["submit"](self, fn, *args, **kwargs)
    future = sys.modules["concurrent.futures"].Future()
    future.set_running_or_notify_cancel()
    _Outcome(at_once, fn, args, kwargs).tell(future)
    return future


def _do(self: Any, task: Any) -> None:
    at_once = _at_once()
    if at_once is None or self._quit.isSet:
        _originals["do"](self, task)
    else:
        at_once(task, (), {})  # which tells its reactor what came of it, as from a thread


class _Outcome:
    """What a function gave, or raised, as SystemExit too. What ends a run is raised to whoever called."""

    def __init__(self, at_once: Any, function: Any, args: Any, kwargs: Any) -> None:
        self.error: BaseException | None = None
        try:
            self.result = at_once(function, args, kwargs)
        except ENDS:
            raise
        except BaseException as error:  # noqa: BLE001  # whatever it is, its future has it
            self.error = error

    def tell(self, future: Any) -> None:
        if self.error is None:
            future.set_result(self.result)
        else:
            future.set_exception(self.error)
            self.error = None


def _tell(future: Any, outcome: _Outcome) -> None:
    if not future.done():  # it may have been cancelled
        outcome.tell(future)


async def _run_sync_in_worker_thread(
    cls: Any, func: Any, args: Any, abandon_on_cancel: bool = False, limiter: Any = None
) -> Any:
    at_once = _at_once()
    if at_once is None:
        original = _originals["run_sync_in_worker_thread"].__get__(None, cls)
        return await original(func, args, abandon_on_cancel, limiter)
    await cls.checkpoint()
    async with limiter or cls.current_default_thread_limiter():
        context = copy_context()
        in_no_library = getattr(sys.modules[cls.__module__], "set_current_async_library", None)
        if in_no_library is not None:
            context.run(in_no_library, None)
        return at_once(context.run, (func, *args), {})


def _process_request(self: Any, request: Any, client_address: Any) -> None:
    beside = getattr(whose.world(), "beside", None)  # as above
    if beside is None:
        _originals["process_request"](self, request, client_address)
        return
    process = beside(self.process_request_thread, request, client_address)
    if self.block_on_close:
        threads = vars(self).setdefault("_threads", socketserver._Threads())  # type: ignore[attr-defined]
        threads.append(_Beside(process, daemon=self.daemon_threads))


class _Beside:
    """As much of a thread as a server asks of those that it waits for when it is closed."""

    def __init__(self, process: Any, *, daemon: bool) -> None:
        self.daemon = daemon
        self.join = process.join
        self._process = process

    def is_alive(self) -> bool:
        return not self._process.done


LOOP, POOL = ("asyncio.base_events", "BaseEventLoop"), ("concurrent.futures.thread", "ThreadPoolExecutor")
ANYIO, SERVER = ("anyio._backends._asyncio", "AsyncIOBackend"), ("socketserver", "ThreadingMixIn")
TEAM = ("twisted._threads._team", "Team")
STANDINS = (
    (LOOP, "run_in_executor", _run_in_executor),
    (LOOP, "shutdown_default_executor", _shutdown_default_executor),
    (POOL, "submit", _submit),
    (ANYIO, "run_sync_in_worker_thread", classmethod(_run_sync_in_worker_thread)),
    (SERVER, "process_request", _process_request),
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
