"""trio in a run: it takes simulated sockets, the order of its tasks is the same in each run, and its threads are the program's.

trio itself asks for sockets whose type is `socket.socket` and no other, goes through tasks in an order that differs from run to run, keeps
threads for a later run, and gives them names by ``pthread_setname_np``, which ends the interpreter where a thread is none of the system's.
What it has for each thread, a row of `simnet.owned.state` names. trio is not imported for this; it is looked for when the stand-ins are put in
place, and whenever something was imported.
"""

from __future__ import annotations

import socket
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from itertools import count
from math import inf
from types import FrameType, SimpleNamespace
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from simnet.owned.eventloops import Left, bury
from simnet.owned.threads import Pool, Work
from simnet.standins import whose
from simnet.trace import WAKE
from simnet.wait import running

__all__ = ["place", "unplace"]

STOOD = "stood"  # in a process's state: where its tasks stood when time alone woke it, and which wake-up that was

_DEAF = SimpleNamespace(firstiter=None, finalizer=bool)  # hooks that do nothing

_changes: list[tuple[Any, str, Any]] = []  # whose attribute, its name, and what was there; nothing if it had none


def _type(of: Any) -> Any:
    """``type`` as trio's module of sockets calls it, of what it is to wrap: a simulated one is a `socket.socket`."""
    kind = type(of)
    return socket.socket if _stands_for_the_librarys(kind) else kind


def _stands_for_the_librarys(kind: type) -> bool:
    """Is *kind* what ``socket.socket()`` gives in a run, on either network? Both say that they are of its module."""
    return issubclass(kind, socket.socket) and kind.__module__ == socket.__name__


def _get_events(original: Any, self: Any, timeout: float) -> Any:
    """What trio polls; for ever where it has nothing to wait for but its sockets: it would look again each day."""
    run: Any = sys.modules["trio._core._run"]
    runner = getattr(run.GLOBAL_RUN_CONTEXT, "runner", None)
    if whose.world() is None or runner is None:  # a guest of another loop is told by a thread, which has no run
        return original(self, timeout)
    if timeout == run._MAX_TIMEOUT and runner.deadlines.next_deadline() == inf:
        timeout = -1
    scheduler = running.scheduler
    recording = scheduler is not None and scheduler.recording and timeout != 0
    if recording:
        _look_who_has_moved(scheduler, runner)
    try:
        events = original(self, timeout)
    except BaseException:  # the process is ended here, or a verdict ends the run: nobody goes on
        _end_run(sys._getframe())
        raise
    if recording and not events:
        _woken_by_time(scheduler, runner)
    return events


def _woken_by_time(scheduler: Any, runner: Any) -> None:
    """Remember where its tasks stand, before one of them goes on."""
    entries = scheduler.trace.entries
    woke = len(entries) - 2  # then its poll found nothing
    if woke >= 0 and entries[woke][1] == WAKE:
        scheduler.current.state[STOOD] = woke, _stands(runner)


def _look_who_has_moved(scheduler: Any, runner: Any) -> None:
    """The loop waits again: has a task that time has woken gone elsewhere than to where it slept?"""
    stood = scheduler.current.state.pop(STOOD, None)
    if stood is not None and stood[1] != _stands(runner):
        scheduler.trace.moved.add(stood[0])


def _stands(runner: Any) -> Counter[Any]:
    """Each line that a task stands in, down to the innermost, as often as one does."""
    return Counter(tuple((frame.f_code, line) for frame, line in task.iter_await_frames()) for task in runner.tasks)


def _end_run(frame: FrameType | None) -> None:
    """End the run of trio's that is somewhere below *frame*, without complaint."""
    while frame is not None and not (frame.f_code.co_name == "run" and "gen" in frame.f_locals):
        frame = frame.f_back
    if frame is not None:
        with warnings.catch_warnings():  # of a run that was abandoned
            warnings.simplefilter("ignore", RuntimeWarning)
            frame.f_locals["gen"].close()


def _close(original: Any, self: Any) -> None:
    """A run is over, and had tasks yet where it was ended, or Ctrl-C was heard in trio's own code: end them where they are."""
    if not self.tasks or whose.world() is None:
        original(self)
        return
    generators = list(self.asyncgens.alive)
    with warnings.catch_warnings():  # of what `finally` code would still have awaited, and closed
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", ResourceWarning)
        _end_tasks(self)
        for each in generators:
            _end_generator(each)
        original(self)
    if hasattr(self.asyncgens, "foreign"):  # not before trio 0.28, which then complains of one that waits
        self.asyncgens.foreign.update(map(id, generators))
    self.asyncgens.prev_hooks = _DEAF  # which is told when those are collected that are none of trio's


def _end_tasks(runner: Any) -> None:
    context: Any = sys.modules["trio._core._run"].GLOBAL_RUN_CONTEXT
    tasks = sorted(runner.tasks, key=hash, reverse=True)  # children before their parents
    nurseries = [nursery for task in tasks for nursery in task._child_nurseries]
    for nursery in nurseries:
        nursery._children.clear()  # which it would wait for, and miss when it is collected
    for task in tasks:
        context.task = task  # cancel scopes that are left ask for it
        bury(Left([task.coro], []))


def _end_generator(generator: Any) -> None:
    """End it where it is, and what it waits for: before Python 3.13 that does not hear of the end of a task, nor of the generator's."""
    if not generator.ag_running:
        try:
            generator.aclose().send(None)
        except BaseException:  # noqa: BLE001  # it has ended, and nobody is left to be told how
            return
    bury(Left([generator.ag_await], []))


class _InOrder(WeakSet[Any]):
    """Generators in the order in which they began, which goes on while they are collected."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()
        self._held: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, item: Any) -> None:
        super().add(item)
        self._held[next(self._numbers)] = item

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._held.values()))


class _Set(dict[Any, None]):
    """What its module of generators calls ``set``: one that is gone through in the order in which it was filled."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        super().__init__(dict.fromkeys(members))

    def add(self, member: Any) -> None:
        self[member] = None

    def update(self, members: Iterable[Any]) -> None:  # type: ignore[override]
        super().update(dict.fromkeys(members))


def _install_hooks(original: Any, self: Any, runner: Any) -> None:
    original(self, runner)
    if whose.world() is not None:
        self.alive = _InOrder()


def _number_of(task: Any) -> int:
    return task._counter  # type: ignore[no-any-return]


def _nonblocking_helper(original: Any, self: Any, wait_fn: Any, fn: Any, *args: Any, **kwargs: Any) -> Any:
    kind = type(self._sock)
    if kind is not socket.socket:  # *fn* is of the class that trio found when it was imported
        fn = getattr(kind, fn.__name__)
    return original(self, wait_fn, fn, *args, **kwargs)


def _start_thread_soon(
    original: Any, self: Any, fn: Callable[[], Any], deliver: Callable[[Any], object], name: str | None = None
) -> None:
    world = whose.world()
    if world is None:
        original(self, fn, deliver, name)
        return
    work = Work(fn if name is None else partial(_under_a_name, name, fn), (), {})
    work.tell = partial(_deliver, deliver)
    give = getattr(world, "give", None)
    if give is not None:
        give(type(self), work, partial(Pool, prefix="Trio thread ", daemons=True))
    else:  # a world of real threads: one that waits for more work would outlive it
        threading.Thread(target=work.run, name="Trio thread", daemon=True).start()


def _under_a_name(name: str, fn: Callable[[], Any]) -> Any:
    thread = threading.current_thread()
    before, thread.name = thread.name, name
    try:
        return fn()
    finally:
        thread.name = before


def _deliver(deliver: Callable[[Any], object], work: Work) -> None:
    """Tell trio what came of *work*, as from a thread."""
    outcome: Any = sys.modules["outcome"]
    error, work.error = work.error, None  # which else holds its frames, and they hold it
    deliver(outcome.Value(work.result) if error is None else outcome.Error(error))


def place() -> None:
    """If trio is loaded: from now on it does so in processes of a run."""
    trio: Any = sys.modules.get("trio")
    if _changes or not hasattr(trio, "run"):  # already, or it is only being loaded
        return
    run, sockets, threads, generators = (
        sys.modules.get(f"trio.{each}") for each in ("_core._run", "_socket", "_core._thread_cache", "_core._asyncgens")
    )
    _put(run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    _put(getattr(run, "Task", None), "__hash__", _number_of)  # they stand in sets
    _put_method(getattr(run, "TheIOManager", None), "get_events", _get_events)
    _put_method(getattr(run, "Runner", None), "close", _close)
    _put_method(getattr(generators, "AsyncGenerators", None), "install_hooks", _install_hooks)
    _put(generators, "set", _Set)
    _put(generators, "_ASYNC_GEN_SET", _Set)
    _put(sockets, "type", _type)
    _put_method(getattr(sockets, "_SocketType", None), "_nonblocking_helper", _nonblocking_helper)
    _put_method(getattr(threads, "ThreadCache", None), "start_thread_soon", _start_thread_soon)


def _put(owner: Any, name: str, value: Any) -> None:
    if owner is not None:
        _changes.append((owner, name, *([vars(owner)[name]] if name in vars(owner) else [])))
        setattr(owner, name, value)


def _put_method(owner: Any, name: str, standin: Callable[..., Any]) -> None:
    """*standin* in the place of the method of that *name*, which it is given first."""
    original = getattr(owner, name, None)
    if original is not None:

        @wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return standin(original, self, *args, **kwargs)

        _put(owner, name, method)


def unplace() -> None:
    while _changes:
        owner, name, *before = _changes.pop()
        if before:
            setattr(owner, name, before[0])
        else:
            delattr(owner, name)
