"""What a program asks of descriptors besides reading and writing them: ``fcntl.ioctl``, and how many it may open."""

from __future__ import annotations

import importlib
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()

try:
    fcntl, resource = importlib.import_module("fcntl"), importlib.import_module("resource")
except ImportError:  # Windows has none of the two
    fcntl = resource = None  # type: ignore[assignment]

if fcntl is not None:

    @PAIRS.standin(fcntl, "ioctl")
    def _(original: Any) -> Any:
        def standin(_: Origin, fd: Any, request: int, arg: Any = 0, mutate_flag: bool = True, /) -> Any:
            backend = whose.world()
            if backend is None:
                return original(fd, request, arg, mutate_flag)
            return backend.ioctl(fd, request, arg, mutate_flag)

        return standin

    @PAIRS.standin(resource, "getrlimit")
    def _(original: Any) -> Any:
        def standin(_: Origin, which: int, /) -> Any:
            backend = whose.world()
            if backend is None or which != resource.RLIMIT_NOFILE:
                return original(which)
            return backend.open_files_limit()

        return standin

    @PAIRS.standin(resource, "setrlimit")
    def _(original: Any) -> Any:
        def standin(_: Origin, which: int, limits: Any, /) -> Any:
            backend = whose.world()
            if backend is None:
                return original(which, limits)
            if which != resource.RLIMIT_NOFILE:
                backend.escape("resource.setrlimit")
                return original(which, limits)
            return backend.limit_open_files(*limits)

        return standin
