"""What ``threading`` makes locks of; ``threading.Condition.wait``, in which events, barriers and queues wait; and the one queue that
waits in C, in whose place a run has the library's own in Python; and what each thread has for itself, ``threading.local``.
"""

from __future__ import annotations

import _thread
import functools
import queue
import threading
from types import GenericAlias
from typing import Any

from simnet.owned.mutex import Lock, Reentrant, checked_wait
from simnet.owned.state import PER_THREAD
from simnet.standins import own_locals, whose
from simnet.standins.pairs import Origin, Pairs
from simnet.wait import running

__all__ = ["PAIRS"]

PAIRS = Pairs()

_true_wait = threading.Condition.wait


@functools.wraps(_true_wait)
def _wait(self: threading.Condition, timeout: float | None = None) -> bool:
    backend = whose.world()
    wait_on = getattr(backend, "wait_on", None)
    if wait_on is None:
        return _true_wait(self, timeout)
    answer: bool = wait_on(self, timeout, _true_wait)
    return answer


PAIRS.add(_true_wait, _wait)

# Packages whose locals are swapped as a whole, also if they are imported within the run.
PUT_ASIDE = {name.partition(".")[0] for name in PER_THREAD if name.endswith(".__dict__")}


def _allocate(original: Any) -> Any:
    def standin(_: Origin, *arguments: Any) -> Any:
        return original(*arguments) if running.scheduler is None or arguments else Lock()

    return standin


PAIRS.standin(_thread, "allocate_lock")(_allocate)
PAIRS.standin(_thread, "allocate")(_allocate)


class _Kind(type):
    """Of a class that stands in for a type in C: whoever asks finds what either makes to be of it."""

    true: type
    ours: type

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any]) -> Any:
        if bases:  # somebody makes a class of it: one of the true one, or of what serves threads that share one
            serves = own_locals.local in [getattr(each, "ours", None) for each in bases]
            heirs_of = "ours" if serves and names.get("__module__", "").partition(".")[0] not in PUT_ASIDE else "true"
            return type(name, tuple(getattr(each, heirs_of, each) for each in bases), names)
        return super().__new__(cls, name, bases, names)

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, (cls.true, cls.ours))

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        given = running.scheduler is None or arguments or options  # which the true one refuses, or not
        return cls.true(*arguments, **options) if given else cls.ours()


def _kind(true: type, ours: type) -> Any:
    names: dict[str, Any] = {"__module__": true.__module__, "__doc__": true.__doc__, "true": true, "ours": ours}
    if hasattr(true, "__class_getitem__"):
        names["__class_getitem__"] = classmethod(GenericAlias)
    return _Kind(true.__name__, (), names)


class _SimpleQueue(queue._PySimpleQueue):  # type: ignore[name-defined,misc]
    """The library's own in Python, which looks at a time-out as that in C does: not at all where none is waited for."""

    def get(self, block: Any = True, timeout: Any = None) -> Any:
        if not block:
            return super().get(False)
        if timeout is not None:  # a negative one is refused, too, if it is a time at all
            checked_wait(True, abs(timeout) if isinstance(timeout, (int, float)) else timeout)
        return super().get(True, timeout)


PAIRS.add(_thread.RLock, _kind(_thread.RLock, Reentrant))
if isinstance(threading.Lock, type):  # from Python 3.13 on
    PAIRS.add(threading.Lock, _kind(threading.Lock, Lock))
PAIRS.add(queue.SimpleQueue, _kind(queue.SimpleQueue, _SimpleQueue))
PAIRS.add(own_locals.true_local, _kind(own_locals.true_local, own_locals.local))
