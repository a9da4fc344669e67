"""The signals that a process sends itself, blocks and waits for, its alarm, and what wakes its loop for them."""

from __future__ import annotations

import _thread
import errno
import os
from typing import Any

from simnet.calls.signals import SIGINT
from simnet.real import c_signal
from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs
from simnet.standins.whose import Backend

__all__ = ["PAIRS"]

PAIRS = Pairs()
MASKS = ("pthread_sigmask", "sigpending")


def _own(name: str, method: str = "signal_call") -> Maker:
    """A maker of stand-ins for what a simulated process does with signals by itself."""

    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            own = getattr(whose.world(), method, None)
            return original(*args, **kwargs) if own is None or not args else own(name, original, *args, **kwargs)

        return standin

    return maker


def _waiting(name: str) -> Maker:
    """A maker of stand-ins for what a simulated process blocks and waits for; on real sockets it would wait in real time."""

    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            world = whose.world()
            own = getattr(world, "mask_call", None)
            if own is not None:
                return own(name, original, *args, **kwargs)
            if world is not None and name not in MASKS:
                world.escape(f"signal.{name}")
            return original(*args, **kwargs)

        return standin

    return maker


for _name in ("raise_signal", "set_wakeup_fd", "siginterrupt"):
    PAIRS.standin(c_signal, _name)(_own(_name))
for _name in ("alarm", "setitimer", "getitimer"):
    PAIRS.standin(c_signal, _name)(_own(_name, "alarm_call"))
for _name in (*MASKS, "pause", "sigwait", "sigwaitinfo", "sigtimedwait"):
    PAIRS.standin(c_signal, _name)(_waiting(_name))


@PAIRS.standin(c_signal, "pthread_kill")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> None:
        own = getattr(whose.world(), "kill", None)
        if own is None:
            original(*args, **kwargs)
        else:
            own(original, *args, **kwargs)

    return standin


@PAIRS.standin(os, "kill")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> None:
        world = whose.world()
        own = getattr(world, "kill", None)
        if own is None or world is None or kwargs or len(args) != 2:
            original(*args, **kwargs)
        else:
            own(original, _of_whom(world, args[0]), args[1])

    return standin


def _of_whom(world: Backend, whom: Any) -> Any:
    """A program is alone in its group; the one in which the test runs, and all others that there are, hear nothing of it."""
    if not isinstance(whom, int):
        return whom
    if whom == -1:
        world.escape("os.kill of all processes")
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # on a real network, which has no escapes
    its_group = whom == 0 or (hasattr(os, "getpgrp") and whom == -os.getpgrp())
    return os.getpid() if its_group else whom


@PAIRS.standin(os, "killpg")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> None:
        if whose.world() is None or kwargs or len(args) != 2 or not isinstance(args[0], int) or args[0] < 0:
            original(*args, **kwargs)
        else:
            os.kill(-args[0], args[1])  # by the stand-in

    return standin


@PAIRS.standin(_thread, "interrupt_main")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> None:
        own = getattr(whose.world(), "mask_call", None)  # only a world with processes in one thread has one
        if own is None or kwargs or len(args) != 1 or args[0] == SIGINT or not callable(c_signal.getsignal(*args)):
            original(*args, **kwargs)  # which does nothing where there is no handler
        else:
            os.kill(os.getpid(), *args)  # by the stand-in

    return standin
