"""``dispatch.preload()``: what few programs need is loaded when it is first needed, which is too late for some."""

from __future__ import annotations

import importlib
import pkgutil

#: What this library imports of the standard library within functions, and the codec of host names, which ``socket`` looks for.
USED = ("dis", "encodings.idna", "fcntl", "logging", "signal", "ssl", "warnings")


def preload() -> None:
    """Load all of this library, and all that it uses, now.

    For a program that changes its root (``os.chroot``), gives up the right to read Python's files, or may have no descriptor left.
    """
    dispatch = importlib.import_module("dispatch")
    ours = [each.name for each in pkgutil.walk_packages(dispatch.__path__, "dispatch.")]
    for name in (*ours, *USED):
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # not every Python has all of it, and without it nothing here needs it
