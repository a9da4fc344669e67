"""Locks that programs made when they were imported: globals of their modules, attributes of their classes and of objects kept there.

Those of the standard library stay: none is held while its process waits for the network.
"""

from __future__ import annotations

import sys
from _thread import LockType, RLock
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from simnet.mutex import Early, EarlyReentrant

__all__ = ["place", "unplace"]

KINDS: dict[type, type[Early]] = {LockType: Early, RLock: EarlyReentrant}

_seen: set[str] = set()  # the names of modules that were looked at
_places: list[tuple[Any, str, Early]] = []  # what was put where
_class_dict = type.__dict__["__dict__"].__get__


def place(spared: Callable[[str], bool]) -> None:
    """In each module loaded since the last look that is neither the standard library's nor *spared*."""
    found: dict[int, Early] = {}  # by the lock's id: one lock may have several names
    modules: list[tuple[str, Any]] = list(sys.modules.items())  # Any: programs put all kinds of objects there
    for name, module in modules:
        if name in _seen:
            continue
        _seen.add(name)
        if (
            isinstance(module, ModuleType)
            and name.partition(".")[0] not in sys.stdlib_module_names
            and not spared(name)
        ):
            for holder, names in _holders(module, name):
                for key, value in list(names.items()):
                    make = KINDS.get(type(value))
                    if make is not None and not _held(value):
                        early = found[id(value)] = found.get(id(value)) or make(value)
                        _put(holder, key, early)
                        _places.append((holder, key, early))


def unplace() -> None:
    for holder, key, early in reversed(_places):
        true = early.true
        if _names(holder).get(key) is early:  # else a test has put something else there
            _put(holder, key, true)
    _places.clear()
    _seen.clear()


def _holders(module: ModuleType, name: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The module, the classes made in it, and the objects of programs' own classes that it keeps."""
    names = _names(module)
    yield module, names
    for value in list(names.values()):
        kind = type(value)
        if issubclass(kind, type):
            if _names(value).get("__module__") == name:
                yield value, _names(value)
        elif _of_a_program(kind):
            yield value, _names(value)


def _of_a_program(kind: type) -> bool:
    home = getattr(kind, "__module__", None)
    return isinstance(home, str) and home.partition(".")[0] not in sys.stdlib_module_names


def _names(holder: Any) -> dict[str, Any]:
    """Its own attributes, whatever it says of them itself."""
    try:
        if issubclass(type(holder), type):
            return dict(_class_dict(holder) or {})  # of one in C that was never made ready: none
        names = object.__getattribute__(holder, "__dict__")
    except AttributeError:
        return {}
    return names if isinstance(names, dict) else {}


def _put(holder: Any, key: str, value: Any) -> None:
    if issubclass(type(holder), type):
        type.__setattr__(holder, key, value)
    else:
        _names(holder)[key] = value


def _held(lock: Any) -> bool:
    """Does somebody hold it? Then it stays what it is."""
    if isinstance(lock, RLock) and lock._is_owned():  # type: ignore[attr-defined]
        return True
    if not lock.acquire(False):
        return True
    lock.release()
    return False
