"""What a program does with descriptors by number: bytes, ``sendfile``, ``fcntl``, flags, and how many it may open."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import Any

from simnet.kernel.options.odd import FIRST_NUMBER, NUMBERS_END
from simnet.standins import whose
from simnet.standins.around import looks_around
from simnet.standins.pairs import Maker, Origin, Pairs
from simnet.standins.who_runs import INSTEAD

__all__ = ["PAIRS"]

PAIRS = Pairs()

try:
    fcntl, resource = importlib.import_module("fcntl"), importlib.import_module("resource")
    termios = importlib.import_module("termios")
except ImportError:  # Windows has none of the three
    fcntl = resource = termios = None  # type: ignore[assignment]


# The calls of ``os`` to which a descriptor may be given as ``fd=``.
TOLD_BY_NAME = ("close", "dup2", "fstat", "fchmod", "fchown", "fsync", "fdatasync", "fchdir", "eventfd_read", "eventfd_write")  # fmt: skip


def _flags(name: str) -> Maker:
    """A maker of stand-ins for what tells or sets a flag of a descriptor."""

    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any) -> Any:
            # Only a world with descriptors of its own has one.
            descriptor_flags = getattr(whose.world(), "descriptor_flags", None)
            return original(*args) if descriptor_flags is None or not args else descriptor_flags(name, original, *args)

        return standin

    return maker


for _name in ("get_blocking", "set_blocking", "get_inheritable", "set_inheritable"):
    PAIRS.standin(os, _name)(_flags(_name))


def _pipe(original: Any) -> Any:
    def standin(_: Origin, *args: Any) -> Any:
        pipe = getattr(whose.world(), "pipe", None)  # as above
        return original(*args) if pipe is None or looks_around() else pipe(original, *args)

    return standin


def _is_the_collectors(number: Any) -> bool:
    """Is *number* one of a run that is over, which a ``__del__`` closes? That could not be told of an error."""
    simulated = isinstance(number, int) and FIRST_NUMBER <= number < NUMBERS_END
    frame = sys._getframe(2) if simulated else None
    while frame is not None and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    return frame is not None


def _descriptor_call(name: str) -> Maker:
    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            descriptor_call = getattr(whose.world(), "descriptor_call", None)  # as above
            if not args and "fd" in kwargs and name in TOLD_BY_NAME:
                args = (kwargs.pop("fd"),)
            if descriptor_call is None or not args:
                if name == "close" and args and whose.world() is None and _is_the_collectors(args[0]):
                    return None
                return original(*args, **kwargs)
            return descriptor_call(name, original, *args, **kwargs)

        return standin

    return maker


for _name in ("pipe", "pipe2"):
    PAIRS.standin(os, _name)(_pipe)


@PAIRS.standin(os, "eventfd")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
        eventfd = getattr(whose.world(), "eventfd", None)  # as above
        return original(*args, **kwargs) if eventfd is None else eventfd(original, *args, **kwargs)

    return standin


for _name in (
    *("read", "write", "readv", "writev", "pread", "pwrite", "close", "dup", "dup2", "fstat", "fstatvfs", "fpathconf"),
    *("lseek", "ftruncate", "fchmod", "fchown", "fsync", "fdatasync", "eventfd_read", "eventfd_write"),
    *("preadv", "pwritev", "posix_fallocate", "posix_fadvise", "lockf", "fchdir"),
    *("ttyname", "tcgetpgrp", "tcsetpgrp", "get_terminal_size"),
):
    if hasattr(os, _name):
        PAIRS.standin(os, _name)(_descriptor_call(_name))


@PAIRS.standin(os, "timerfd_create")  # from Python 3.13 on
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
        backend = whose.world()
        if getattr(backend, "eventfd", None) is not None:  # as above
            backend.escape("os.timerfd_create, which counts real time,")  # type: ignore[union-attr]
        return original(*args, **kwargs)

    return standin


def _of_several(name: str) -> Maker:
    """A maker of stand-ins for what concerns more than one descriptor."""

    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            does = getattr(whose.world(), name, None)  # as above
            return original(*args, **kwargs) if does is None else does(original, *args, **kwargs)

        return standin

    return maker


for _name in ("closerange", "copy_file_range", "sendfile", "splice"):
    if hasattr(os, _name):
        PAIRS.standin(os, _name)(_of_several(_name))


_true_fdopen = os.fdopen


@functools.wraps(_true_fdopen)
def _fdopen(*args: Any, **kwargs: Any) -> Any:
    fdopen = getattr(whose.world(), "fdopen", None)  # as above
    return _true_fdopen(*args, **kwargs) if fdopen is None else fdopen(_true_fdopen, *args, **kwargs)


PAIRS.add(_true_fdopen, _fdopen)


def _terminal_call(original: Any) -> Any:
    def standin(_: Origin, *args: Any) -> Any:
        terminal_call = getattr(whose.world(), "terminal_call", None)  # as above
        return original(*args) if terminal_call is None or not args else terminal_call(original, *args)

    return standin


if fcntl is not None:
    for _name in (
        *("tcgetattr", "tcsetattr", "tcsendbreak", "tcdrain", "tcflush", "tcflow"),
        *("tcgetwinsize", "tcsetwinsize"),  # from Python 3.11 on
    ):
        if hasattr(termios, _name):
            PAIRS.standin(termios, _name)(_terminal_call)

    PAIRS.standin(fcntl, "fcntl")(_flags("fcntl"))
    for _name in ("flock", "lockf"):
        PAIRS.standin(fcntl, _name)(_flags(_name))

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
                backend.escape("resource.setrlimit", INSTEAD.format("resource.setrlimit"))
                return original(which, limits)
            limits = tuple(limits)
            if len(limits) != 2:
                return original(which, limits)  # which says that it is to be two
            return backend.limit_open_files(*limits)

        return standin

    if hasattr(resource, "prlimit"):

        @PAIRS.standin(resource, "prlimit")
        def _(original: Any) -> Any:
            def standin(_: Origin, pid: int, which: int, limits: Any = None, /) -> Any:
                if whose.world() is None or pid not in (0, os.getpid()):
                    return original(pid, which) if limits is None else original(pid, which, limits)
                before = resource.getrlimit(which)
                if limits is not None:
                    resource.setrlimit(which, limits)
                return before

            return standin
