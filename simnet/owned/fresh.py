"""What a global begins with in each process: what its module has put there, where that is plain, else an empty or an equal one."""

from __future__ import annotations

import queue
import sys
import threading
from _thread import LockType, RLock
from ast import literal_eval
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache, partial
from inspect import Parameter, signature
from itertools import count
from random import Random
from types import NoneType
from typing import Any

__all__ = ["CACHED", "OF_THREADS", "as_found", "copied", "kind_in_asyncio", "maker_of"]

#: What cannot change.
PLAIN = frozenset({NoneType, bool, int, float, complex, str, bytes})
#: What may hold it, and nothing else if it is to be copied: a connection, or a class's object, has a past.
CONTAINERS = frozenset({dict, OrderedDict, defaultdict, list, set, frozenset, tuple, deque})
DEPTH = 4  # containers in containers
SIZE = 1_000  # of one of them; a table of more is no counter

#: What is empty, or zero, when it is made of nothing.
EMPTIED = (dict, list, set, frozenset, deque, tuple, str, bytes, bytearray, int, float, complex, threading.local)

NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)  # what may be given by its name

#: What ``functools.lru_cache`` and ``cache`` make of a function.
CACHED = type(lru_cache(len))

#: What tasks wait for. Each belongs to the loop in which one first did.
IN_ASYNCIO = ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Queue", "LifoQueue", "PriorityQueue")

#: What threads wait for, by what one is made of: how many it lets in, or holds. A program's own classes are made of who knows what.
OF_THREADS: dict[type, str] = {
    **dict.fromkeys((threading.Condition, threading.Event), ""),
    threading.Semaphore: "_value",
    threading.BoundedSemaphore: "_initial_value",
    **dict.fromkeys((queue.Queue, queue.LifoQueue, queue.PriorityQueue), "maxsize"),
}


def copied(value: Any) -> Any:
    """A copy of *value*, if it holds but numbers, text and containers of those, or counts; else None."""
    if type(value) is count:
        return _count_from(value)
    kept: dict[int, Any] = {}
    return deepcopy(value, kept) if _is_plain(value, DEPTH, kept) else None


def _count_from(value: count[Any]) -> count[Any] | None:
    """An ``itertools.count`` that goes on from where *value* stands, if its numbers are plain; no copy is made of one from 3.14 on."""
    text = repr(value)[len("count(") : -1]
    try:
        return count(*literal_eval(f"[{text}]"))
    except (ValueError, SyntaxError):
        return None


def _is_plain(value: Any, depth: int, kept: dict[int, Any]) -> bool:
    """Is it to be copied? What makes the values that a defaultdict lacks, which may be a method, is not: so it is *kept*, by its id."""
    kind = type(value)
    if kind in PLAIN:
        return True
    if kind not in CONTAINERS or not depth or len(value) > SIZE:
        return False
    if kind is defaultdict:
        kept[id(value.default_factory)] = value.default_factory
    if isinstance(value, dict) and not all(_is_plain(each, depth - 1, kept) for each in value.values()):
        return False
    return all(_is_plain(each, depth - 1, kept) for each in value)


def maker_of(value: Any, made: Any = None) -> Callable[[], Any]:
    """What makes a fresh one of *value*, which is kept for each process: *made*, if there was something plain at first; else an empty
    container of the same type, a zero, dice, a queue or what else threads or tasks wait for, a function whose cache is empty, or None.
    """
    if made:
        return partial(copied, made) if type(made) in CONTAINERS or type(made) is count else lambda: made
    if value is None:
        return _none
    if type(value) is Random:
        return _dice()
    if isinstance(value, CACHED):
        return partial(lru_cache(**value.cache_parameters()), value.__wrapped__)
    if isinstance(value, defaultdict):
        return partial(type(value), value.default_factory)
    if isinstance(value, deque):
        return partial(type(value), (), value.maxlen)
    if isinstance(value, EMPTIED):
        return partial(type(value), **_made_of(value))
    make: Callable[..., Any] = type(value)
    if (room := OF_THREADS.get(type(value))) is not None:
        return partial(make, getattr(value, room)) if room else make
    if isinstance(value, queue.SimpleQueue):
        return _simple_queue
    if isinstance(value, LockType | RLock):
        return _reentrant if isinstance(value, RLock) else _lock
    if (asyncio := sys.modules.get("asyncio")) is not None:
        if _chosen(asyncio, value):
            return lambda: value
        if kind := kind_in_asyncio(value):
            most = value.maxsize if kind.endswith("Queue") else value._value if kind.endswith("Semaphore") else None
            return make if most is None else partial(make, most)
    return _none


def _made_of(value: Any) -> dict[str, Any]:
    """What a container of a program's own class was made of, where it has kept that under the same name."""
    kept = getattr(value, "__dict__", None)
    if not kept or isinstance(value, threading.local):
        return {}
    try:
        asked = signature(type(value)).parameters.values()
    except ValueError:  # it is not told
        return {}
    return {each.name: kept[each.name] for each in asked if each.name in kept and each.kind in NAMED}


def as_found(value: Any) -> Callable[[], Any]:
    """What makes an equal one: a count, or a dict with the same members, whose dice begin alike in each run."""
    if type(value) is not dict:
        return partial(copied, value)
    makers = {key: _dice() if type(each) is Random else partial(_like, each) for key, each in value.items()}
    return lambda: {key: make() for key, make in makers.items()}


def _like(value: Any) -> Any:
    """A copy of what is plain, or the same."""
    made = copied(value)
    return value if made is None else made


def _dice() -> Callable[[], Random]:
    numbers = count()
    return lambda: Random(f"the generator {next(numbers)} of its name in this run")


def _simple_queue() -> Any:
    """Of the class that is there when it is made: a run has one of its own."""
    return queue.SimpleQueue()


def _lock() -> Any:
    """Likewise."""
    return threading.Lock()


def _reentrant() -> Any:
    """Likewise."""
    return threading.RLock()


def kind_in_asyncio(value: Any) -> str:
    """``Lock``, ``Event`` ... if *value* is one of asyncio's, else ""."""
    kind = type(value)
    return kind.__name__ if str(kind.__module__).startswith("asyncio.") and kind.__name__ in IN_ASYNCIO else ""


def _chosen(asyncio: Any, value: Any) -> bool:
    """Is it a policy that somebody has set, whose processes shall have no other?"""
    return isinstance(value, asyncio.AbstractEventLoopPolicy) and type(value) is not asyncio.DefaultEventLoopPolicy


def _none() -> None:
    """An object that somebody will make when it is missed."""
