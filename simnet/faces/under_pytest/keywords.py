"""A misspelt option where Python itself refuses it: from 3.13 on Python suggests the right one, before that we do."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from typing import Any

from simnet.faults.fields import meant

__all__ = ["tell_what_was_meant"]

ROOMS = ("simnet.world", "simnet.realnet", "simnet.run", "simnet.strategies")

_REFUSED = re.compile(r"(?P<name>\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(?P<option>\w+)'")


def tell_what_was_meant(error: TypeError) -> None:
    """Note on *error* which option of simnet's, if it is one that was called, is near to the one that was given."""
    found = _REFUSED.fullmatch(str(error))
    called = None if found is None else _called(found["name"])
    if found is None or called is None or _of_the_caller(error, found["name"], called) is not called:
        return
    options = [each.name for each in inspect.signature(called).parameters.values()]
    error.add_note(f"simnet's {found['name']} has no option {found['option']!r}{meant(found['option'], options)}")


def _called(name: str) -> Any:
    """What of ours has this name; None if nothing has, or what has it was never loaded."""
    for room in ROOMS:
        module = sys.modules.get(room)
        if module is not None and name in module.__all__:
            return getattr(module, name)
    return None


def _of_the_caller(error: TypeError, name: str, called: Any) -> Any:
    """What *name* is where *error* arose: *called*, unless somebody has a function of their own of that name."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return {**frames[-1].f_globals, **frames[-1].f_locals}.get(name, called) if frames else called
