"""uvloop's loops wait in C, where no stand-in sees them. In a process, asyncio's own takes their place.

uvloop is not imported for this; it is looked for when the stand-ins are put in place, and whenever a loop may be made.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

from simnet.standins import whose

__all__ = ["place", "unplace"]

_originals: dict[Any, Any] = {}  # what makes a loop of this class


def _new(cls: Any, *args: Any, **kwargs: Any) -> Any:
    if whose.world() is not None:
        return _of_asyncio(cls)()
    original = next(_originals[each] for each in cls.__mro__ if each in _originals)
    return original(cls, *args, **kwargs)


@lru_cache(maxsize=16)
def _of_asyncio(cls: Any) -> Any:
    """A loop of asyncio that says it is one of uvloop's, for ``uvloop.run`` asks."""
    base: Any = sys.modules["asyncio"].SelectorEventLoop  # uvloop has imported it
    return type(cls.__name__, (base,), {"__module__": cls.__module__, "__class__": property(lambda self: cls)})


def place() -> None:
    """If uvloop is loaded: from now on who asks for its loop in a process gets asyncio's."""
    loop = getattr(sys.modules.get("uvloop"), "Loop", None)
    if loop is not None and loop not in _originals:
        _originals[loop] = loop.__new__
        loop.__new__ = _new


def unplace() -> None:
    for loop in _originals:
        del loop.__new__  # its base's shows again
    _originals.clear()
