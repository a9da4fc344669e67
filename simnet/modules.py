"""Where stand-ins are placed: each place in the loaded modules that holds an original, replaced and restored.

The first `install` scans ``sys.modules`` and puts each stand-in wherever its original is found: module globals, class
attributes (``selectors.EpollSelector._selector_cls``), defaults of functions. Modules loaded later bind the stand-ins
by themselves. Since thousands of networks are entered per second, `remove` leaves them in place: without a provider a
stand-in calls its original, at the cost of one call. `restore` puts every original back; it also runs at interpreter exit.

A scan cannot reach an original that was kept in an instance, a closure of a closure, or a container other than a module's globals
before the first network was entered. ``docs/fidelity.md`` says so.
"""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
import threading
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import simnet.real  # noqa: F401  # it has to bind the true functions before anything stands in for them
from simnet import standins, tellers
from simnet.standins import (
    Backend,
    Provider,
    active,
    dates,
    early,
    ends,
    executors,
    finalizers,
    in_c,
    interrupts,
    of_trio,
    order,
    readers,
    resolver,
    sockets,
    timers,
    turns,
    uv,
)
from simnet.standins.spared import is_spared
from simnet.tls import sockets as tls

__all__ = ["Backend", "Provider", "active", "in_place", "install", "place_at_loops", "remove", "restore"]

#: Which functions take a descriptor for a path, leave a link alone and so on: `shutil` goes by that, so what stands in is among them.
ABLE = (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks)

_lock = threading.Lock()
_providers: tuple[Provider, ...] = ()
_changes: list[_Change] = []
_placed = False
_loaded = 0  # how many modules there were when loops were looked for


def install(provider: Provider) -> None:
    """Ask *provider* who answers. It may be installed several times; each `remove` takes one."""
    global _providers
    with _lock:
        if not _placed:
            _place()
        _providers += (provider,)
        standins.answer_from(_providers)


def remove(provider: Provider) -> None:
    """Ask *provider* no more.

    Raises:
        ValueError: it is not installed.
    """
    global _providers
    with _lock:
        if _providers == (provider,):
            _providers = ()
        else:
            rest = list(_providers)
            rest.remove(provider)
            _providers = tuple(rest)
        standins.answer_from(_providers)


def in_place() -> bool:
    """Whether the stand-ins are where their originals were."""
    return _placed


def restore() -> None:
    """Every original back in its place, also where a module bound a stand-in since.

    Raises:
        RuntimeError: a provider is still installed.
    """
    with _lock:
        if _providers:
            raise RuntimeError(f"{len(_providers)} provider(s) still installed: leave the network first")
        if _placed:
            _unplace()


# -- the scan ----------------------------------------------------------------------------------------------------------


class _Change(NamedTuple):
    """One place that was changed: a dict, a class or a function, and what stood there."""

    holder: Any
    key: str
    before: Any
    after: Any


def _place() -> None:
    global _placed
    _placed = True
    socket.socket.__new__ = staticmethod(sockets.new_socket)  # type: ignore[assignment]
    dates.place()
    place_at_loops()
    in_c.place()
    table = {id(original): standin for original, standin in standins.PAIRS}
    _changes.extend(_swap(table))
    for functions in ABLE:
        functions |= {table[id(each)] for each in functions if id(each) in table}
    atexit.register(_at_exit)


def place_at_loops() -> None:
    """What stands in at event loops, whose modules may have been imported since."""
    global _loaded
    if len(sys.modules) == _loaded:
        return
    _loaded = len(sys.modules)
    resolver.place()
    order.place()
    ends.place()
    finalizers.place()
    sockets.heed_mocks()
    executors.place()
    timers.place()
    turns.place()
    readers.place()
    uv.place()
    of_trio.place()
    early.place(is_spared)


def _unplace() -> None:
    global _placed, _loaded
    _placed = False
    _loaded = 0
    interrupts.give_back()
    del socket.socket.__new__  # the one of `_socket.socket` shows again
    sockets.called_by_class_no_more()
    dates.unplace()
    resolver.unplace()
    order.unplace()
    ends.unplace()
    finalizers.unplace()
    executors.unplace()
    timers.unplace()
    turns.unplace()
    readers.unplace()
    uv.unplace()
    of_trio.unplace()
    in_c.unplace()
    early.unplace()
    tls.unplace()
    tellers.unplace()
    for change in reversed(_changes):
        _take_back(change)
    _changes.clear()
    table = {id(standin): original for original, standin in standins.PAIRS}
    _swap(table)
    for functions in ABLE:
        functions -= {each for each in functions if id(each) in table}
    atexit.unregister(_at_exit)


def _at_exit() -> None:
    """Finalizers that run while modules are torn down must find clocks that work."""
    global _providers
    _providers = ()
    standins.answer_from(())
    gc.collect()  # and those of what runs have left, such as exceptions, may close the numbers that it had
    restore()


def _swap(table: dict[int, Any]) -> list[_Change]:
    """Replace each object whose ``id`` is in *table*, in every loaded module that is not spared."""
    changes: list[_Change] = []
    modules: list[tuple[str, Any]] = list(sys.modules.items())  # Any: programs put all kinds of objects there
    for name, module in modules:
        if isinstance(module, ModuleType) and not is_spared(name):
            # Not vars(): a module of importlib's LazyLoader would load itself.
            try:
                namespace = object.__getattribute__(module, "__dict__")
            except AttributeError:
                continue  # cffi's Lib calls itself a module, and has no namespace
            _swap_namespace(namespace, name, table, changes)
    return changes


def _swap_namespace(namespace: dict[str, Any], name: str, table: dict[int, Any], changes: list[_Change]) -> None:
    for key, value in list(namespace.items()):
        other = table.get(id(value))
        if other is not None:
            namespace[key] = other
            changes.append(_Change(namespace, key, value, other))
        elif type(value) is FunctionType:
            _swap_kept(value, name, table, changes)
        elif issubclass(type(value), type):  # not isinstance(): it would ask a proxy for its __class__
            members = _members(value)
            if members.get("__module__") == name:
                _swap_class(value, members, name, table, changes)


_class_dict = type.__dict__["__dict__"].__get__


def _members(cls: type) -> dict[str, Any]:
    """The class's own attributes, whatever its metaclass says; none of one in C that was never made ready."""
    return dict(_class_dict(cls) or {})


def _swap_class(cls: type, members: dict[str, Any], module: str, table: dict[int, Any], changes: list[_Change]) -> None:
    for key, value in members.items():
        other = table.get(id(value))
        if other is None and type(value) is staticmethod:
            inner = table.get(id(value.__func__))
            other = None if inner is None else staticmethod(inner)
        if other is not None:
            try:
                type.__setattr__(cls, key, other)
            except TypeError:  # a class written in C cannot be changed
                continue
            changes.append(_Change(cls, key, value, other))
        elif type(value) is FunctionType:
            _swap_kept(value, module, table, changes)


def _swap_kept(function: FunctionType, module: str, table: dict[int, Any], changes: list[_Change]) -> None:
    """In what *function* keeps: its defaults and, if it says that it is of that *module*, what was made for it alone, as a
    factory of attrs' or of dataclasses'. What a decorator of a spared module has put around a function keeps what it has.
    """
    its_globals = function.__globals__
    maker = str(its_globals.get("__name__"))
    if is_spared(maker):
        return
    _swap_defaults(function, table, changes)
    if function.__module__ != module:
        return
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # nothing yet
            continue
        other = table.get(id(value))
        if other is not None:
            cell.cell_contents = other
            changes.append(_Change(cell, "cell_contents", value, other))
    if getattr(sys.modules.get(maker), "__dict__", None) is its_globals:
        return  # a module's, which is looked at by itself
    for key, value in its_globals.items():
        other = table.get(id(value))
        if other is not None:
            its_globals[key] = other
            changes.append(_Change(its_globals, key, value, other))


def _swap_defaults(function: FunctionType, table: dict[int, Any], changes: list[_Change]) -> None:
    before = function.__defaults__
    if before and any(id(value) in table for value in before):
        after = tuple(table.get(id(value), value) for value in before)
        function.__defaults__ = after
        changes.append(_Change(function, "__defaults__", before, after))
    named = function.__kwdefaults__
    if named:
        for key, value in named.items():
            other = table.get(id(value))
            if other is not None:
                named[key] = other
                changes.append(_Change(named, key, value, other))


def _take_back(change: _Change) -> None:
    """Unless somebody (a monkeypatch) has put something else there since."""
    holder, key, before, after = change
    if isinstance(holder, dict):
        if holder.get(key) is after:
            holder[key] = before
    elif isinstance(holder, type):
        if _class_dict(holder).get(key) is after:
            type.__setattr__(holder, key, before)
    elif getattr(holder, key) is after:
        setattr(holder, key, before)
