"""asyncio's loops of simulated processes: which one runs where, and what a loop leaves behind when its process is ended.

Nothing here imports asyncio: if no program has, there is no loop.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import warnings
from _thread import _local as true_local
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.owned.unasked import known_tasks
from simnet.owned.unheard import unheard
from simnet.verdicts import BLOCKS_THE_LOOP, VERDICTS, blocks_the_loop
from simnet.whereabouts import caller_outside

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = [
    "IN_HANDLER",
    "KNOWN_LOOP",
    "SLEEPS",
    "WAITS",
    "Left",
    "bury",
    "end_wherever_it_is",
    "hush",
    "hush_verdicts",
    "in_a_loop",
    "known_loop",
    "let_go",
    "look_for_a_loop",
    "loop_at_hand",
    "loop_given_back",
    "loop_set_aside",
]

# The types of what is awaited of a generator; the last one has another of them within, as `anext` with a default makes it.
PIECES = ("async_generator_asend", "async_generator_athrow", "anext_awaitable")
CLOSES_MAX = 1_000  # of a coroutine that is left over, one for each await it stands in, until the collector has it
KNOWN_LOOP = "known loop"  # in a process's state: see `known_loop`
IN_HANDLER = "handler"  # in a process's state: which one of a dispatch or asyncore channel it is in

#: What would let the loop go on: of asyncio, of trio, and of the loops that call handlers.
SLEEPS = ("`await asyncio.sleep(...)`", "`await trio.sleep(...)`", "A timer of the loop's, as `loop.call_later`,")
WAITS = (
    "A stream of asyncio's, or `await asyncio.to_thread(...)`,",
    "A stream of trio's, or `await trio.to_thread.run_sync(...)`,",
    "A channel of the loop's own",
)


def known_loop(policy: Any) -> dict[str, Any]:
    """What a *policy* of asyncio knows for the thread of the interpreter, which all processes share: a loop, as a member."""
    own = getattr(policy, "_local", None)
    return own.__dict__ if isinstance(own, true_local) else {}


def loop_at_hand() -> dict[str, Any]:
    """The same of the policy that there is now, for who runs."""
    return known_loop(getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None))


def let_go(known: dict[str, Any]) -> None:
    """Nobody has the *known* loop any more. It need not say that it was left open: so are all when a process ends."""
    loop = known.get("_loop")
    if loop is not None:
        loop._closed = True


def end_wherever_it_is(process: Process, why: str = "") -> None:
    """End *process* as by SIGKILL: what it still says nobody hears, nor what its loop complains of."""
    _stop_reactors(process)
    with unheard():
        if "loop" in process.state:
            with _ended_in_the_middle(process):
                process.scheduler.end(process, why)
        else:
            process.scheduler.end(process, why)


def _stop_reactors(process: Process) -> None:
    """A reactor of twisted's would log whatever ends it, and go on."""
    base = getattr(sys.modules.get("twisted.internet.base"), "ReactorBase", None)
    if base is not None:
        for kept in process.memory.values():
            if isinstance(kept, base):
                kept._started = False


def in_a_loop() -> bool:
    """Does a loop of asyncio run here?"""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _in_a_task_of_trio() -> bool:
    trio: Any = sys.modules.get("trio._core._run")
    return trio is not None and hasattr(trio.GLOBAL_RUN_CONTEXT, "task")


def look_for_a_loop(process: Process, did: str, remedies: tuple[str, str, str]) -> None:
    """Warn, once, if *process*, which *did* what takes time, has an event loop that stands still meanwhile."""
    state = process.state
    if BLOCKS_THE_LOOP in state or process.cannot_wait:
        return
    asyncios, trios, handlers = remedies
    remedy = handlers if IN_HANDLER in state else asyncios if in_a_loop() else trios if _in_a_task_of_trio() else ""
    if remedy:
        state[BLOCKS_THE_LOOP] = True
        where = caller_outside(sys._getframe(2))
        process.scheduler.record(blocks_the_loop(process.name, process.host_name, did, where, remedy))


def loop_set_aside() -> Any:
    """The loop that runs where a network is entered, as in a notebook, is none of its processes': the body may run its own."""
    asyncio = sys.modules.get("asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    if asyncio is None or loop is None:
        return None
    hooks = sys.get_asyncgen_hooks()
    asyncio._set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)
    return loop, hooks


def loop_given_back(kept: Any) -> None:
    """What `loop_set_aside` took."""
    if kept is not None:
        loop, hooks = kept
        sys.modules["asyncio"]._set_running_loop(loop)
        sys.set_asyncgen_hooks(*hooks)


class Left(NamedTuple):
    """What an event loop holds whose process is ended wherever it is."""

    coroutines: list[Any]
    transports: list[Any]
    loop: Any = None  # asyncio's


def hush(loop: Any = None) -> Left:
    """What a loop holds (None: the running one) whose process is ended: nobody is told if it never comes to an end."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or (loop is None and (loop := asyncio._get_running_loop()) is None):
        return Left([], [])
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in tasks:
        task._log_destroy_pending = False
    return Left([task.get_coro() for task in tasks], list(getattr(loop, "_transports", {}).values()), loop)


def bury(left: Left) -> None:
    """The process is no more: its transports have no descriptor, and where its tasks stand nobody goes on."""
    for transport in left.transports:
        transport._closing, transport._sock = True, None  # the descriptor is closed, whatever becomes of this object
    with _open_again(left.loop):
        for coroutine in left.coroutines:
            _close(coroutine)
        if left.loop is not None:  # what they have begun in their `finally` code
            for coroutine in hush(left.loop).coroutines:
                if coroutine not in left.coroutines:
                    _close(coroutine)


def _close(coroutine: Any) -> None:
    for _ in range(CLOSES_MAX):  # who waits for something in `finally` refuses to be closed the first time
        end = _end_of_innermost(coroutine)
        if end is None:
            return
        try:
            end()
        except BaseException:  # noqa: BLE001  # nobody is left to be told
            pass
    # It goes on whatever happens. Collected, even at the end of the interpreter, where nothing waits any more, it would do so for ever.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))


@contextmanager
def _open_again(loop: Any) -> Iterator[None]:
    """Within, *loop* seems to run: who catches whatever ends it, and sleeps, would else be told so at once, for ever."""
    asyncio = sys.modules.get("asyncio")
    if loop is None or asyncio is None:
        yield
        return
    outside, closed = asyncio._get_running_loop(), getattr(loop, "_closed", True)
    asyncio._set_running_loop(loop)
    loop._closed = False
    try:
        yield
    finally:
        loop._closed = closed
        asyncio._set_running_loop(outside)
        if closed:
            for waiting in (getattr(loop, "_ready", ()), getattr(loop, "_scheduled", ())):
                if waiting:
                    waiting.clear()


def _end_of_innermost(coroutine: Any) -> Callable[[], object] | None:
    """What ends *coroutine* where it stands: the last of those that await one another, whose refusal would end the others; None once
    it has ended.
    """
    end: Callable[[], object] | None = None
    while coroutine is not None:
        if getattr(coroutine, "cr_frame", None) is not None or getattr(coroutine, "gi_frame", None) is not None:
            end = coroutine.close
            coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
            continue
        generator = _asked(coroutine)
        if getattr(generator, "ag_frame", None) is None:
            break
        end = partial(coroutine.throw, GeneratorExit)  # its own `close` tells the generator nothing before Python 3.13
        coroutine = generator.ag_await
    return end


def _asked(awaited: Any) -> Any:
    """The generator whose next piece, or end, is *awaited*; None if it is something else. Nothing but the collector can tell."""
    if type(awaited).__name__ not in PIECES:
        return None
    found = (each if hasattr(type(each), "ag_frame") else _asked(each) for each in gc.get_referents(awaited))
    return next((each for each in found if each is not None), None)


def hush_verdicts(told: Iterable[Any]) -> None:
    """What ended a task as a verdict of the run, or is the error of one that was *told*, is on record: asyncio need not log it when the task is collected, whenever that is.

    It may be while pytest has a file parsed, to show a traceback; to format another one within is more than Python 3.11 survives.
    """
    errors = [each.error for each in told if each.error is not None]
    for task in known_tasks():
        error = getattr(task, "_exception", None)
        if task.done() and (isinstance(error, VERDICTS) or any(error is each for each in errors)):
            task._log_traceback = False


@contextmanager
def _ended_in_the_middle(process: Process) -> Iterator[None]:
    """Within, *process* is ended: its asyncio need not complain of what that leaves behind."""
    loop = process.state.get("loop")
    left = Left([], []) if loop is None else hush(loop)
    yield
    if left.coroutines:
        with warnings.catch_warnings():  # of what `finally` code would still have awaited
            warnings.simplefilter("ignore", RuntimeWarning)
            bury(left)
    else:
        bury(left)
