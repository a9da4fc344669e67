"""What the application saw in a run, in either world: values of the user's, kept as they are when it ends, and told though their ``repr`` fails."""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict, deque
from typing import Any, Final

__all__ = ["as_it_is", "in_a_trace", "shown"]

ROWS: Final = (list, deque)
MAPPINGS: Final = (dict, OrderedDict, defaultdict)
PLAIN: Final = (bytes, str, int, float, bool, type(None))  # as most are: nothing is in them
FLAT: Final = (set, bytearray)  # what is in them cannot change
DEPTH: Final = 16  # containers in containers
ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")  # in the repr of what has none of its own


def as_it_is(value: Any) -> Any:
    """*value* with its containers as they are now: the next run may put other things into the same ones. All else is kept itself."""
    return _kept(value, DEPTH, {})


def _kept(value: Any, depth: int, known: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in FLAT:
        return value.copy()
    if not depth:
        return value
    if kind is tuple:
        return tuple(_kept(each, depth - 1, known) for each in value)
    if kind not in ROWS and kind not in MAPPINGS:
        return value
    if id(value) not in known:  # one that holds itself has no end
        copy = known[id(value)] = value.copy()
        for at, each in copy.items() if kind in MAPPINGS else enumerate(copy):
            if type(each) not in PLAIN:
                copy[at] = _kept(each, depth - 1, known)
    return known[id(value)]


def shown(value: Any) -> str:
    """Its ``repr``; where that fails, its type."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001  # a `__repr__` of the user's
        return f"a {type(value).__name__}"


def in_a_trace(value: Any) -> str:
    """The same, for a trace, which is one and the same in each run and each interpreter: without addresses, and a set in one order."""
    if type(value) in (set, frozenset) and value:
        return f"{{{', '.join(sorted(map(in_a_trace, value)))}}}"
    return ADDRESS.sub("", shown(value))
