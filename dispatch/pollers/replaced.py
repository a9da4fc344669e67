"""A program, a test mostly, may replace ``asyncore.select`` or ``asyncore.time``: here the replacement is used, as in asyncore."""

from __future__ import annotations

import select
import time

from dispatch.annotations import Any
from dispatch.interfaces import IN, OUT, PRI


class Replaced:
    """Asks the ``select`` that it is given, as asyncore did: three lists or a new pollster each time, errors let out."""

    wakes_on_watch = False
    __slots__ = ("_bits", "_select", "_time", "name")

    def __init__(self, select: Any, time: Any, name: str) -> None:
        self._select, self._time, self.name = select, time, name
        self._bits: dict[int, int] = {}

    def watch(self, fd: int, bits: int) -> None:
        self._bits[fd] = bits

    change = watch

    def forget(self, fd: int) -> None:
        self._bits.pop(fd, None)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        if self.name == "poll":
            return self._by_poll(timeout)
        lists: Any = [[fd for fd, bits in self._bits.items() if bits & kind] for kind in (IN, OUT, IN | OUT)]
        if not lists[2]:
            self._time.sleep(timeout)
            return []
        ready: dict[int, int] = {}
        for kind, fds in zip((IN, OUT, PRI), self._select.select(*lists, timeout), strict=True):
            for fd in fds:
                ready[fd] = ready.get(fd, 0) | kind
        return list(ready.items())

    def _by_poll(self, timeout: float | None) -> list[tuple[int, int]]:
        pollster = self._select.poll()
        for fd, bits in self._bits.items():
            if bits:
                pollster.register(fd, bits)
        return list(pollster.poll(None if timeout is None else int(timeout * 1000)))

    def close(self) -> None:
        self._bits.clear()


_plain: dict[str, Any] = {}  # functions that have been looked at, and are nobody's replacement


def replaced(select_now: Any, time_now: Any, name: str) -> Replaced | None:
    """A poller over what stands under the two names now; None if that is what stood there, or a whole other platform.

    *name* is the function that would be asked, select or poll.
    """
    if select_now is select and time_now is time:
        function = getattr(select, name, None)
        if _plain.get(name) is function and _plain.get("sleep") is time.sleep:
            return None
        if getattr(function, "__module__", "select") == "select" and time.sleep.__module__ == "time":
            _plain[name], _plain["sleep"] = function, time.sleep
            return None
        for constant, best in (("EPOLLIN", "epoll"), ("KQ_EV_ADD", "kqueue")):
            if hasattr(select, constant) != hasattr(select, best):
                return None  # gevent, eventlet: what cannot wait in their way is gone, so the best of what is left is right
    return Replaced(select_now, time_now, name)
