"""The processors that a simulated program counts, and pins itself to: those of the machine, and of pytest, stay what they are."""

from __future__ import annotations

import errno
import functools
import os
from typing import Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.options.values import INT_MAX
from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs

__all__ = ["PAIRS", "PROCESSORS"]

PAIRS = Pairs()
PROCESSORS: Final = 4  # of a simulated host: pools are made by their number, which must not be that of the machine
NOBODY: Final = INT_MAX  # a process that there is not: Linux has 1 << 22 numbers
PINNED: Final = "pinned"  # in a program's memory: to which processors it has bound itself


def _memory() -> Any:
    """What the running program has for itself; ``None`` of one whose processors are the machine's."""
    world = whose.world()
    return None if world is None or getattr(world, "thread", None) is None else world.memory


def _processors(original: Any) -> Any:
    def standin(_: Origin) -> Any:
        return original() if _memory() is None else PROCESSORS

    return standin


def _affinity(original: Any) -> Any:
    def standin(_: Origin, *given: Any) -> Any:
        memory = _memory()
        if memory is None or given not in ((0,), (os.getpid(),)):
            return original(*given)
        return set(memory.get(PINNED) or range(PROCESSORS))

    return standin


def _pin(original: Any) -> Any:
    def standin(_: Origin, *given: Any) -> None:
        memory = _memory()
        if memory is None or len(given) != 2 or given[0] not in (0, os.getpid()):
            original(*given)
            return
        try:
            asked = list(given[1])
        except TypeError:
            original(*given)  # which says so
            raise
        try:
            original(NOBODY, asked)  # let CPython look at what it is asked
        except ProcessLookupError:
            pass
        here = {each for each in asked if each < PROCESSORS}
        if not here:
            raise socket_error(errno.EINVAL)
        memory[PINNED] = here

    return standin


PAIRS.standin(os, "cpu_count")(_processors)
if hasattr(os, "sched_getaffinity"):  # by which programs count processors, too
    PAIRS.standin(os, "sched_getaffinity")(_affinity)
    PAIRS.standin(os, "sched_setaffinity")(_pin)

if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
    _true_cpu_count = os.process_cpu_count

    @functools.wraps(_true_cpu_count)
    def _process_cpu_count() -> int | None:
        memory = _memory()
        return _true_cpu_count() if memory is None else len(memory.get(PINNED) or range(PROCESSORS))

    PAIRS.add(_true_cpu_count, _process_cpu_count)
