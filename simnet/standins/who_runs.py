"""What would change the process that runs the test, or its machine, for good: who it is, its session, its priority, the clock."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs

__all__ = ["INSTEAD", "PAIRS"]

PAIRS = Pairs()

USERS = ("setuid", "seteuid", "setreuid", "setresuid", "setgid", "setegid", "setregid", "setresgid")
GROUPS = ("setgroups", "initgroups")
SESSIONS = ("setsid", "setpgid", "setpgrp", "login_tty")
PRIORITIES = ("nice", "setpriority", "sched_setscheduler", "sched_setparam")
SPACES = ("chroot", "setns", "unshare")

INSTEAD = (
    "It would change the process that runs the test, and all tests after it. Replace it in the test: mock.patch({!r})."
)


def _kept_from(what: str) -> Maker:
    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            backend = whose.world()
            if backend is None:
                return original(*args, **kwargs)
            backend.escape(what, INSTEAD.format(what))
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # on a real network, which has no escapes

        return standin

    return maker


for _name in (*USERS, *GROUPS, *SESSIONS, *PRIORITIES, *SPACES):
    PAIRS.standin(os, _name)(_kept_from(f"os.{_name}"))


def _clock(original: Any) -> Any:
    """The wall clock is the machine's: Linux' answer to a process without privileges. What else is wrong, *original* says."""

    def standin(_: Origin, *args: Any) -> None:
        if whose.world() is None or len(args) != 2 or args[0] != time.CLOCK_REALTIME:
            original(*args)
            return
        with contextlib.suppress(OSError):  # EINVAL, for this clock is set by nobody
            original(time.CLOCK_MONOTONIC, args[1])
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    return standin


for _name in ("clock_settime", "clock_settime_ns"):
    PAIRS.standin(time, _name)(_clock)
