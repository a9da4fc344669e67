"""Locks that programs made when they were imported, and what each thread has for itself: globals of their modules, attributes of their classes and of objects kept there.

Those of the standard library stay: none is held while its process waits for the network.
"""

from __future__ import annotations

import sys
from _thread import LockType, RLock
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Condition
from types import BuiltinMethodType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any

from simnet.owned.mutex import Early, EarlyQueue, EarlyReentrant
from simnet.standins.own_locals import EarlyLocal, true_local

__all__ = ["place", "unplace"]

KINDS: dict[type, Any] = {LockType: Early, RLock: EarlyReentrant, true_local: EarlyLocal, SimpleQueue: EarlyQueue}

_seen: set[str] = set()  # the names of modules that were looked at
_places: list[tuple[Any, str, Any, Any]] = []  # what was put where, and what was there
_class_dict = type.__dict__["__dict__"].__get__


class _Kept:
    """A lock, and where it was found: by the name there, itself or a method of it."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.at: dict[tuple[int, str], Any] = {}  # the holder, by its id: one object may have several names

    def is_elsewhere(self) -> bool:
        """Does something else know it? There it would be another lock, which keeps nobody out here."""
        return sys.getrefcount(self.lock) - 2 > len(self.at)  # one is this object's, and one the question's


def place(spared: Callable[[str], bool]) -> None:
    """In each module loaded since the last look that is neither the standard library's nor *spared*."""
    found: dict[int, _Kept] = {}  # by the lock's id
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
            for holder in _holders(module, name):
                _find(holder, found)
    for kept in found.values():
        if not (kept.is_elsewhere() or _held(kept.lock)):
            early = KINDS[type(kept.lock)](kept.lock)
            for (_, key), holder in kept.at.items():
                true = _names(holder)[key]
                ours = early if true is kept.lock else getattr(early, true.__name__)
                _put(holder, key, ours)
                _places.append((holder, key, ours, true))


def unplace() -> None:
    for holder, key, ours, true in reversed(_places):
        if _names(holder).get(key) is ours:  # else a test has put something else there
            _put(holder, key, true)
    _places.clear()
    _seen.clear()


def _find(holder: Any, found: dict[int, _Kept]) -> None:
    for key, value in _names(holder).items():
        lock = value.__self__ if type(value) is BuiltinMethodType else value  # a condition keeps some of its lock's
        if type(lock) in KINDS:
            kept = found.get(id(lock)) or found.setdefault(id(lock), _Kept(lock))
            kept.at[id(holder), key] = holder


def _holders(module: ModuleType, name: str) -> Iterator[Any]:
    """The module, the classes made in it, the objects of programs' own classes that it keeps, and conditions in all of these."""
    yield module
    for value in _names(module).values():
        kind = type(value)
        if issubclass(kind, type):
            if _names(value).get("__module__") == name:
                yield value
                yield from _conditions(value)
        elif issubclass(kind, Condition):
            yield value
        elif _of_a_program(kind):
            yield value
            yield from _conditions(value)


def _conditions(holder: Any) -> Iterator[Any]:
    return (value for value in _names(holder).values() if issubclass(type(value), Condition))


def _of_a_program(kind: type) -> bool:
    home = getattr(kind, "__module__", None)
    return isinstance(home, str) and home.partition(".")[0] not in sys.stdlib_module_names


def _names(holder: Any) -> dict[str, Any]:
    """A copy of its own attributes, whatever it says of them itself."""
    kind = type(holder)
    if issubclass(kind, type):
        return dict(_class_dict(holder) or {})  # of one in C that was never made ready: none
    names = dict(_own_dict(holder) or {})
    for base in kind.__mro__:
        if "__slots__" in (members := _class_dict(base)):
            for key, slot in members.items():
                if type(slot) is MemberDescriptorType and (value := _in_slot(slot, holder)) is not None:
                    names[key] = value
    return names


def _own_dict(holder: Any) -> dict[str, Any] | None:
    """Its own, where it has one, and not that of another object for which it stands: a proxy has a property of that name."""
    for base in type(holder).__mro__:
        own = _class_dict(base).get("__dict__")
        if own is not None:
            return own.__get__(holder) if type(own) in (GetSetDescriptorType, MemberDescriptorType) else None
    return None


def _in_slot(slot: Any, holder: Any) -> Any:
    try:
        return slot.__get__(holder)
    except AttributeError:  # nothing yet
        return None


def _put(holder: Any, key: str, value: Any) -> None:
    if issubclass(type(holder), type):
        type.__setattr__(holder, key, value)
        return
    slot = getattr(type(holder), key, None)
    if type(slot) is MemberDescriptorType:
        slot.__set__(holder, value)  # of a frozen one, too
    else:
        own = _own_dict(holder)
        assert own is not None, "it was found there"
        own[key] = value


def _held(lock: Any) -> bool:
    """Does somebody hold it? Then it stays what it is."""
    if isinstance(lock, (true_local, SimpleQueue)):
        return False
    if isinstance(lock, RLock) and lock._is_owned():  # type: ignore[attr-defined]
        return True
    if not lock.acquire(False):
        return True
    lock.release()
    return False
