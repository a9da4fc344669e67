"""``dispatch.install()``: ``import asyncore`` in third-party code imports this library's."""

from __future__ import annotations

import importlib
import select
import socket
import sys
import time
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

from dispatch.annotations import Any

OURS = {"asyncore": "dispatch.asyncore", "asynchat": "dispatch.asynchat"}

#: Built on the two, and often imported beside them: re-executed on ours if it stands on others.
FAMILY = ("smtpd",)

NAMED = 5  # modules that are named in a warning; who wants to mend it needs the first


class Finder:
    """Finds the two names, whatever else goes by them: for who takes them out of ``sys.modules`` and imports them once more.

    It finds the modules that are there already, and gives them back as they are.
    """

    def __init__(self) -> None:
        self._specs: dict[str, Any] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A spec for one of the two names, None for any other; and for who imports anew over modules that are not the system's."""
        if any(sys.modules.get(each.__name__, each) is not each for each in (select, socket, time)):
            return None
        return ModuleSpec(name, self, origin=OURS[name]) if name in OURS else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module of this library."""
        module = importlib.import_module(OURS[spec.name])
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is executed again; the import has put its own spec in the place of the module's."""
        name = module.__name__.rpartition(".")[2]
        module.__spec__ = self._specs.pop(name, module.__spec__)


#: Stands in ``sys.meta_path`` once ``install()`` was called; who takes it out, and the names out of ``sys.modules``, has undone it.
finder = Finder()


def install() -> None:
    """Make ``asyncore`` and ``asynchat`` importable as this library's, from now on and for the whole program.

    Call it before anything that uses them is imported. If other modules of these names are already loaded, a RuntimeWarning
    names the modules that imported them: classes built on them stay on them. ``smtpd`` is then re-executed on ours, so that
    ``import smtpd`` may come first, but names imported *from* it earlier have to be imported again.
    """
    from dispatch import asynchat, asyncore

    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
    replaced = []
    users: dict[str, None] = {}
    for name, ours in (("asyncore", asyncore), ("asynchat", asynchat)):
        loaded = sys.modules.get(name)
        if loaded is not None and loaded is not ours:
            replaced.append(f"{name} ({getattr(loaded, '__file__', None) or 'no file'})")
            users.update(dict.fromkeys(_users_of(loaded)))
        sys.modules[name] = ours
    if not replaced:
        return
    again = [name for name in FAMILY if name in sys.modules]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # smtpd of Python 3.11 says that it will go
        for name in again:
            importlib.reload(sys.modules[name])
    message = (
        f"dispatch.install() came late: {', '.join(replaced)} was loaded already, and classes built on it stay on it"
    )
    if users:
        message += f" (imported by {', '.join(list(users)[:NAMED])})"
    if again:
        message += f"; {', '.join(again)} was executed again on this library's"
    warnings.warn(message + ". Call it before the first import of asyncore", RuntimeWarning, stacklevel=2)


def _users_of(loaded: ModuleType) -> list[str]:
    """The modules that hold *loaded*, or a class of its, under a name of their own."""
    users = []
    for name, module in list(sys.modules.items()):
        if name in OURS or name in FAMILY:
            continue  # they are replaced, too
        held = list(getattr(module, "__dict__", {}).values())
        if any(each is loaded or _is_from(each, loaded) for each in held):
            users.append(name)
    return users


def _is_from(each: Any, loaded: ModuleType) -> bool:
    # Of its real type: a lazy proxy that is asked for its class may raise.
    return (
        issubclass(type(each), type) and each.__module__ == loaded.__name__ and vars(loaded).get(each.__name__) is each
    )
