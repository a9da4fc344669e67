"""Sources of randomness: the kernel's entropy, the generators behind ``random.random()`` and C's ``rand()``, and that of ``uuid.uuid1()``."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import random
import sys
import tempfile
from operator import index
from random import Random
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs, forward

__all__ = ["PAIRS", "begin_alike"]

PAIRS = Pairs()

_libc: Any = ctypes.CDLL(None) if os.name == "posix" else None


def begin_alike(seed: int) -> None:
    """C's ``rand()``, of which a whole interpreter has one, begins as in each run of *seed*: pymongo numbers what it sends by it."""
    if _libc is not None:
        _libc.srand(seed & 0x7FFF_FFFF)


PAIRS.standin(os, "urandom")(forward("urandom", 1))


@PAIRS.standin(os, "getrandom")
def _(original: Any) -> Any:
    def standin(_: Origin, size: int, flags: int = 0) -> Any:
        backend = whose.world()
        if backend is None:
            return original(size, flags)
        original(min(index(size), 0), flags)  # which says what is wrong with them
        return backend.urandom(size)

    return standin


def _uuid_of_the_time(original: Any) -> Any:
    def standin(_: Origin) -> Any:
        generate = getattr(whose.world(), "generate_time_safe", None)  # only a world with a clock of its own has one
        return original() if generate is None else generate()

    return standin


try:
    PAIRS.standin(importlib.import_module("_uuid"), "generate_time_safe")(_uuid_of_the_time)  # of uuid.uuid1()
except ImportError:  # then it goes by `time` and `random`
    pass


def _die(name: str) -> Maker:
    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            backend = whose.world()
            return (original if backend is None else getattr(backend.random(), name))(*args, **kwargs)

        return standin

    return maker


for _name in random.__all__:
    if getattr(getattr(random, _name), "__self__", None) is random._inst:
        PAIRS.standin(random, _name)(_die(_name))


@functools.wraps(Random.seed)
def _seed(self: Random, a: Any = None, version: int = 2) -> None:
    # The names of temporary files are the machine's, and no program's: their generator is seeded once in an interpreter, so what it took
    # would be missing in the first run alone.
    asker = sys._getframe(1).f_back  # whose generator it is, where its constructor seeds it
    own = a is None and (asker is None or asker.f_code is not _NAMES)
    backend = whose.world() if own else None
    # In C an unseeded generator asks the kernel for entropy; its own state is 2,496 bytes, 32 tell any two apart.
    _true_seed(self, a if backend is None else int.from_bytes(backend.urandom(32), "little"), version)


_true_seed = Random.seed
_NAMES = tempfile._RandomNameSequence.rng.fget.__code__  # type: ignore[attr-defined]
PAIRS.add(Random.seed, _seed)
