"""Selectors that programs made when they were imported: each program of a run has one of its own in the place of such a one.

Tutorials do so, the library's own page among them (``sel = selectors.DefaultSelector()``), and a test imports them. One in which
something is registered outside of runs stays what it is.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Any

from simnet import real
from simnet.standins import whose
from simnet.standins.around import looks_around
from simnet.standins.pairs import Pairs

__all__ = ["PAIRS", "for_each_program"]

PAIRS = Pairs()

KINDS = tuple(getattr(selectors, name) for name in ("EpollSelector", "PollSelector") if hasattr(selectors, name))
TRUE = (real.epoll, type(real.poll()))
METHODS = ("modify", "select", "close", "fileno", "get_map")  # of the others there are stand-ins in `registrations`


def for_each_program(method: Callable[..., Any]) -> Callable[..., Any]:
    """*method* of a selector, which of one that was made before the run is that of the running program's own."""

    def standin(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(_of_this_program(self), *args, **kwargs)

    return standin


def _of_this_program(selector: Any) -> Any:
    if type(getattr(selector, "_selector", None)) not in TRUE or type(selector) not in KINDS or selector._fd_to_key:
        return selector
    world = whose.world()
    if world is None or selector._map is None or looks_around():
        return selector
    memory = world.memory
    return memory.get(selector) or memory.setdefault(selector, type(selector)())


_theirs = dict.fromkeys(getattr(kind, name) for kind in KINDS for name in METHODS if hasattr(kind, name))
for _method in _theirs:
    if _method.__qualname__ != "EpollSelector.select":  # that one is in `pollers`
        PAIRS.add(_method, for_each_program(_method))
