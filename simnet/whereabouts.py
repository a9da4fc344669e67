"""Where a process waits, in the user's own code: a line of its stack, or the lines at which its event loop's tasks are."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any
from weakref import ref

from simnet.blame import UserPlace, installed, users_own

__all__ = [
    "OURS",
    "asked_by_a_library",
    "callback_of",
    "called_at",
    "caller",
    "caller_outside",
    "cancelled_places",
    "handler_of",
    "in_short",
    "is_ours",
    "leads_out",
    "place_of",
    "placed",
    "runs_a_loop",
    "serving",
    "stand",
    "stands_at",
    "task_places",
    "tasks_at_once",
    "told_of",
    "users_call",
]

OURS = (
    *("simnet", "dispatch", "socket", "selectors", "select", "asyncore", "asynchat", "asyncio", "contextlib"),
    *("threading", "queue", "concurrent", "subprocess", "multiprocessing"),
    *("trio", "outcome", "anyio"),
)
#: What event loops are run by: who is called beyond one of these does not know of the call.
LOOPS = frozenset({"run", "run_forever", "run_once", "serve_forever", "loop", "poll", "poll2"})
HANDLERS = ("handle_message", "handle_data")  # of a dispatch.Chat, and of any dispatch.Stream
DOORS = ("simnet.world", "simnet.run")
TASKS_SHOWN = 4  # lines; a server with a hundred clients has a hundred tasks at the same few


def caller_outside(frame: FrameType) -> str:
    """The nearest frame that is the user's own code, as in ``file.py:12 in function``; it may be a package's that was installed.

    An event loop between two callbacks has none: then the nearest that is not simnet's, where the loop asks its poller.
    """
    return _told(_outside(frame) or _library(frame) or frame)


def called_at(frame: FrameType) -> str:
    """If that is the code of a package that was installed: where it was called from outside of any; else nothing."""
    return _called(_outside(frame))


def stands_at(frame: FrameType) -> tuple[str, str]:
    """Both: `caller_outside`, and the same with `called_at` behind it."""
    outside = _outside(frame)
    where = _told(outside or _library(frame) or frame)
    return where, where + _called(outside)


def _called(step: FrameType | None) -> str:
    if step is None or not installed(step.f_code.co_filename):
        return ""
    while step is not None and (installed(step.f_code.co_filename) or not _is_outside(step)):
        step = step.f_back
    return f", called at {_told(step)}" if step is not None else ""


def _outside(frame: FrameType) -> FrameType | None:
    step: FrameType | None = frame
    while step is not None and not _is_outside(step):
        step = step.f_back
    return step


def _is_outside(frame: FrameType) -> bool:
    """Is it neither simnet's, nor the standard library's, nor any other's between a program and its network?"""
    return not _is_ours(_module(frame)) and users_own(frame.f_code.co_filename)


def _library(frame: FrameType) -> FrameType | None:
    step: FrameType | None = frame
    while step is not None and _module(step).partition(".")[0] == "simnet":
        step = step.f_back
    return step


def caller(frame: FrameType) -> FrameType | None:
    """The nearest frame that is not simnet's: who called it."""
    step: FrameType | None = frame
    while step is not None and _is_simnet(_module(step)):
        step = step.f_back
    return step


def asked_by_a_library(frame: FrameType) -> bool:
    """Whether it is an event loop, or another library between a program and its network, that called simnet at *frame*."""
    step = caller(frame)
    return step is not None and _is_ours(_module(step))


def task_places(frame: FrameType) -> list[str]:
    """Where each task stands of the loop, asyncio's or trio's, that *frame* waits in, ``file.py:12 in function`` each; none without one."""
    loop = _loop_of(frame)
    if loop is not None:
        return _places(task.get_coro() for task in sys.modules["asyncio"].all_tasks(loop))
    runner = _trios_runner(frame)
    return [] if runner is None else _places(task.coro for task in runner.tasks)


def serving(loop: Any, numbers: Collection[int]) -> str:
    """Where the task of that asyncio *loop* stands that has the streams of one of these descriptors, if there is one such place."""
    transports = [each for number, each in getattr(loop, "_transports", {}).items() if number in numbers]
    tasks = sys.modules["asyncio"].all_tasks(loop) if transports else ()
    places = _places(each for task in tasks if _has_streams_of(each := task.get_coro(), transports))
    return places[0] if places and places[0] == places[-1] else ""


def _has_streams_of(coroutine: Any, transports: Sequence[Any]) -> bool:
    streams = sys.modules["asyncio.streams"]
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        for value in frame.f_locals.values() if frame is not None else ():
            if type(value) in (streams.StreamReader, streams.StreamWriter) and value._transport in transports:
                return True
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return False


def cancelled_places(frame: FrameType) -> list[str]:
    """Where those tasks of the asyncio loop that *frame* waits in stand that were cancelled, and wait all the same."""
    loop = _loop_of(frame)
    tasks = [] if loop is None else sys.modules["asyncio"].all_tasks(loop)
    return _places(task.get_coro() for task in tasks if getattr(task, "cancelling", int)())


def tasks_at_once(frame: FrameType) -> str:
    """Where those of its tasks stand that are to go on in this turn of the loop, the first few of them."""
    ready = getattr(_loop_of(frame), "_ready", ())
    owners: list[Any] = [getattr(getattr(handle, "_callback", None), "__self__", None) for handle in ready]
    coroutines = [owner.get_coro() for owner in owners if hasattr(owner, "get_coro")]
    coroutines += [task.coro for task in getattr(_trios_runner(frame), "runq", ())]
    return in_short(_places(coroutines))


def in_short(places: Sequence[str]) -> str:
    """The first few of *places*, each once."""
    several = list(dict.fromkeys(places))
    return ", ".join(several[:TASKS_SHOWN]) + (", ..." if len(several) > TASKS_SHOWN else "")


def runs_a_loop(frame: FrameType) -> bool:
    """Was *frame* called in an event loop, asyncio's or trio's?"""
    return _loop_of(frame) is not None or _trios_runner(frame) is not None


def callback_of(frame: FrameType) -> Any:
    """In which callback of its asyncio loop *frame* was called, as a weak reference; None if in none."""
    handle = _local_of(frame, "asyncio.events", "_run", "self")
    return None if handle is None else ref(handle)


def _loop_of(frame: FrameType) -> Any:
    """The asyncio loop that *frame* was called in."""
    return _local_of(frame, "asyncio.base_events", "run_forever", "self")


def _trios_runner(frame: FrameType) -> Any:
    """What runs trio's tasks where *frame* was called."""
    return _local_of(frame, "trio._core._run", "run", "runner")


def _local_of(frame: FrameType, module: str, function: str, name: str) -> Any:
    """What *function* of that *module*, in which *frame* was called, has under *name*; None if it was not called there."""
    step: FrameType | None = frame
    while step is not None and not (_module(step) == module and step.f_code.co_name == function):
        step = step.f_back
    return None if step is None else step.f_locals.get(name)


def _places(coroutines: Iterable[Any]) -> list[str]:
    return sorted(place for each in coroutines if (place := _stand(each)))  # sorted: tasks stand in a set


def _stand(coroutine: Any) -> str:
    """The innermost line of the user's at which a suspended *coroutine* stands."""
    place = ""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None and not _is_ours(_module(frame)):
            place = _told(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return place


def leads_out(frame: FrameType, *, stopped: bool) -> bool:
    """Whether a network is perhaps just left there: in the rooms by which one enters and leaves it and, once it is *stopped*, in
    any of ours.
    """
    module = _module(frame)
    return module in DOORS or (stopped and module.startswith("simnet.") and _is_ours(module))


def is_ours(frame: FrameType) -> bool:
    """Is it the code of a module between a user's and the network that runs at *frame*?"""
    return _is_ours(_module(frame))


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__", "")
    return name if name.__class__ is str else str(name)


def _told(frame: FrameType) -> str:
    return placed(frame.f_code, frame.f_lineno)


def stand(frame: FrameType) -> tuple[CodeType, int]:
    """The instruction at *frame*, to be told later, or never: the number of its line takes longer."""
    return frame.f_code, frame.f_lasti


def told_of(stood: tuple[CodeType, int]) -> str:
    """Where one `stand` was, if that is the user's own code, as in ``file.py:12 in function``; else nothing."""
    code, _ = stood
    return placed(code, place_of(stood).line) if users_own(code.co_filename) else ""


def place_of(stood: tuple[CodeType, int]) -> UserPlace:
    """The line of one `stand`."""
    code, instruction = stood
    lines = (line for begin, end, line in code.co_lines() if begin <= instruction < end)
    return UserPlace(code.co_filename, next(lines, None) or code.co_firstlineno, code.co_name)


def users_call(frame: FrameType) -> tuple[CodeType, int] | None:
    """The `stand` of the user's own line that made a call; None if a package did, or an event loop by itself."""
    step: FrameType | None = frame
    while step is not None and (not _is_outside(step) or installed(step.f_code.co_filename)):
        if step.f_code.co_name in LOOPS and not _is_simnet(_module(step)):
            return None
        step = step.f_back
    return None if step is None else stand(step)


def handler_of(frame: FrameType) -> tuple[CodeType, int] | None:
    """The beginning of the user's own handler for what dispatch reads at *frame* by itself; None if it is not there that it is read."""
    step: FrameType | None = frame
    while step is not None and (_is_simnet(_module(step)) or _module(step).startswith("dispatch.")):
        known = {} if _is_simnet(_module(step)) else step.f_locals
        channel = type(known.get("served", known.get("self")))
        for name in HANDLERS:
            code = getattr(getattr(channel, name, None), "__code__", None)
            if code is not None and users_own(code.co_filename):
                return code, 0
        step = step.f_back
    return None


def placed(code: CodeType, line: int) -> str:
    """A line of *code*, as people read it: ``file.py:12 in function``."""
    return f"{code.co_filename.rsplit('/', 1)[-1]}:{line} in {code.co_name}"


@lru_cache(maxsize=1024)
def _is_ours(module: str) -> bool:
    """Is a module of that name one of those between a user's code and the network?"""
    return module.partition(".")[0] in OURS and not module.startswith("simnet.demo")


@lru_cache(maxsize=1024)
def _is_simnet(module: str) -> bool:
    return _is_ours(module) and module.partition(".")[0] == "simnet"
