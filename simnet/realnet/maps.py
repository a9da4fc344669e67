"""State that real programs have per process and CPython has per module, for processes that are threads: ``asyncore.socket_map``.

The simulator swaps the attribute itself whenever another process runs. Threads run side by side, so here the module
holds an object that is, for each process, a map of its own. State that is not a container cannot be divided like that: each run
begins with a fresh one, which its processes share.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from simnet.owned.fresh import maker_of
from simnet.owned.state import PER_PROCESS, as_made, place_of, put_fresh, same_place
from simnet.realnet.process import current_process

__all__ = ["Maps"]

CONTAINERS = (dict, list, set, deque)

KEPT = frozenset(
    {"__class__", "__new__", "__init__", "__getattribute__", "__setattr__", "__delattr__"}
    | {"__init_subclass__", "__subclasshook__", "__class_getitem__"}
)


class _Divided:
    """One attribute that is divided, for as many runs as go on side by side."""

    def __init__(self, name: str, place: tuple[Any, str]) -> None:
        self.namespace, self.attribute = place
        self.original = original = self.namespace[self.attribute]
        self.shared = not isinstance(original, CONTAINERS)
        fresh = maker_of(original, None if name in PER_PROCESS else as_made(name))
        self.divided = put_fresh(name, place, fresh if self.shared else partial(_divided, original, fresh))
        self.runs = 0

    def stands_at(self, namespace: Any, attribute: str) -> bool:
        return self.attribute == attribute and same_place(self.namespace, namespace)


_divided_now: list[_Divided] = []
_lock = threading.Lock()


class Maps:
    """The module attributes of one run that are each process's own."""

    def __init__(self, extra: Sequence[str] = ()) -> None:
        self._names = tuple(dict.fromkeys((*PER_PROCESS, *extra)))
        self._held: list[_Divided] = []
        self._over = False

    def look(self) -> None:
        """Take up what has been imported since the last look; nothing any more once the run is over."""
        if self._over:
            return  # a thread that would not end has spawned one more process
        for name in self._names:
            place = place_of(name)
            if place is None or any(held.stands_at(*place) for held in self._held):
                continue
            with _lock:
                held = next((each for each in _divided_now if each.stands_at(*place)), None)
                if held is None:
                    held = _Divided(name, place)
                    _divided_now.append(held)
                held.runs += 1
            self._held.append(held)

    def restore(self) -> None:
        """The modules have their own again, for good; with the last of the runs that go on side by side."""
        self._over = True
        for held in self._held:
            with _lock:
                held.runs -= 1
                if held.runs:
                    continue
                _divided_now.remove(held)
                if held.shared or held.namespace.get(held.attribute) is held.divided:
                    held.namespace[held.attribute] = held.original
        self._held.clear()


def _divided(original: Any, fresh: Callable[[], Any]) -> Any:
    """An object of the type of *original* that is another one, made by *fresh*, in each process, and *original* outside."""
    base = type(original)
    number = id(original)

    def mine() -> Any:
        process = current_process()
        if process is None:
            return original
        own = process.state.get(number)
        if own is None:
            own = process.state[number] = fresh()
        return own

    namespace: dict[str, Any] = {"__slots__": ()}
    for name in dir(base):
        attribute = getattr(base, name)
        if name in KEPT or (name.startswith("__") and not callable(attribute)):
            continue
        namespace[name] = _delegate(mine, name) if callable(attribute) else _view(mine, name)
    if hasattr(original, "__dict__"):  # of a class of a program's own, whose `__init__` sets more
        namespace["__dict__"] = property(lambda _: mine().__dict__)
        namespace["__getattr__"] = lambda _, name: getattr(mine(), name)
        namespace["__setattr__"] = lambda _, name, value: setattr(mine(), name, value)
        namespace["__delattr__"] = lambda _, name: delattr(mine(), name)
    divided = type(base.__name__, (base,), namespace)
    allocate: Any = base.__new__  # without __init__, which would begin with what the original holds
    return allocate(divided)


def _delegate(mine: Any, name: str) -> Any:
    def method(_: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(mine(), name)(*args, **kwargs)

    method.__name__ = name
    return method


def _view(mine: Any, name: str) -> Any:
    """A slot of the type, such as the engine of dispatch's maps."""
    return property(lambda _: getattr(mine(), name), lambda _, value: setattr(mine(), name, value))
