"""``select.select``, ``select.poll`` and ``select.epoll``, with which a program waits for many descriptors at once."""

from __future__ import annotations

import select
import selectors
from typing import Any

from simnet.epoll import select_by_epoll
from simnet.standins import whose
from simnet.standins.around import looks_around
from simnet.standins.early_selectors import for_each_program
from simnet.standins.pairs import Origin, Pairs

__all__ = ["PAIRS"]

PAIRS = Pairs()


@PAIRS.standin(select, "select")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
        backend = whose.world()
        if backend is None or kwargs or not 3 <= len(args) <= 4:  # then it says what is wrong
            return original(*args, **kwargs)
        return backend.select(*args)

    return standin


@PAIRS.standin(select, "poll")
def _(original: Any) -> Any:
    def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
        backend = whose.world()
        if backend is None or args or kwargs or looks_around():
            return original(*args, **kwargs)
        return backend.poll()

    return standin


class _EpollType(type):
    """``select.epoll`` is a class that cannot be subclassed: its stand-in answers as it does where it is asked."""

    original: Any  # the true class

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        backend = whose.world()
        if backend is not None and not (args or kwargs):
            return backend.epoll()
        wrong = len(args) > 2 or not kwargs.keys() <= {"sizehint", "flags"}.difference(
            ("sizehint", "flags")[: len(args)]
        )
        # The original says so.
        return (cls.original if backend is None or wrong else backend.epoll)(*args, **kwargs)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.original) or getattr(type(instance), "stands_in_for_epoll", False)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.original) or getattr(subclass, "stands_in_for_epoll", False)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.original, name)

    def fromfd(cls, *args: Any, **kwargs: Any) -> Any:
        backend = whose.world()
        if backend is None or kwargs or len(args) != 1:
            return cls.original.fromfd(*args, **kwargs)  # which says what is wrong with them
        epoll_of = getattr(backend, "epoll_of", None)  # only a world with descriptors of its own has one
        if epoll_of is None:
            backend.escape("select.epoll.fromfd")
            return cls.original.fromfd(*args)
        return epoll_of(*args)


if hasattr(select, "epoll"):
    _EPOLL = {"__module__": "select", "__doc__": select.epoll.__doc__, "original": select.epoll}
    PAIRS.add(select.epoll, _EpollType("epoll", (), _EPOLL))
    PAIRS.add(selectors.EpollSelector.select, select_by_epoll(for_each_program(selectors.EpollSelector.select)))
