"""``dispatch.preload()``: what few programs need is loaded when it is first needed, which is too late for some."""

from __future__ import annotations

import importlib
import pkgutil

#: What this library uses of the standard library and does not load with itself; not all of it is there on every platform.
USED = ("dis", "encodings.idna", "fcntl", "functools", "logging", "signal", "ssl", "threading")


def preload() -> None:
    """Load all of this library, and all that it uses, now.

    For a program that changes its root (``os.chroot``), gives up the right to read Python's files, or may have no descriptor left.
    """
    for package in ("dispatch", "dispatch.pollers"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    for name in USED:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # neither does anything here use it then
