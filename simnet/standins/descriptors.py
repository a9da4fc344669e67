"""``fcntl.ioctl``: what a program asks of a descriptor besides reading and writing it."""

from __future__ import annotations

import importlib
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()

try:
    fcntl = importlib.import_module("fcntl")
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

if fcntl is not None:

    @PAIRS.standin(fcntl, "ioctl")
    def _(original: Any) -> Any:
        def standin(_: Origin, fd: Any, request: int, arg: Any = 0, mutate_flag: bool = True, /) -> Any:
            backend = whose.world()
            if backend is None:
                return original(fd, request, arg, mutate_flag)
            return backend.ioctl(fd, request, arg, mutate_flag)

        return standin
