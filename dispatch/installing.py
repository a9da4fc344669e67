"""``dispatch.install()``: third-party code that says ``import asyncore`` gets this library's."""

from __future__ import annotations

import importlib
import sys
import warnings

#: Built on the two, and often imported beside them: re-executed on ours if it stands on others.
FAMILY = ("smtpd",)


def install() -> None:
    """Make ``asyncore`` and ``asynchat`` importable as this library's, from now on and for the whole program.

    Call it before anything that uses them is imported. If others are loaded already they are named in a RuntimeWarning:
    classes built on them stay on them. ``smtpd`` is re-executed on ours then, so that ``import smtpd`` may come first,
    but what was taken *from* it before has to be taken again.
    """
    from dispatch import asynchat, asyncore

    replaced = []
    for name, ours in (("asyncore", asyncore), ("asynchat", asynchat)):
        loaded = sys.modules.get(name)
        if loaded is not None and loaded is not ours:
            replaced.append(f"{name} ({getattr(loaded, '__file__', None) or 'no file'})")
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
    if again:
        message += f"; {', '.join(again)} was executed again on this library's"
    warnings.warn(message + ". Call it before the first import of asyncore", RuntimeWarning, stacklevel=2)
