"""Readers and writers of asyncio's loops, where they are registered with a simulated epoll by plain numbers.

Each connection registers three times and unregisters as often; the library first looks up the descriptor, makes a handle in three
frames, and passes it on through four. As with `turns`, anything unusual is left to the library.
"""

from __future__ import annotations

import selectors
import sys
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from simnet.epoll import Epoll
from simnet.standins.known import Known
from simnet.standins.registrations import BITS, new_key
from simnet.standins.timers import A_HANDLE

__all__ = ["place", "unplace"]

BOTH: Final = (("reader", selectors.EVENT_READ), ("writer", selectors.EVENT_WRITE))
KNOWN: Final = (  # by which names the library's functions go
    *("_check_closed", "is_closed", "events", "Handle", "_selector", "get_key", "get_map", "get", "data", "modify"),
    *("selectors", "EVENT_READ", "EVENT_WRITE", "register", "unregister", "cancel", "KeyError"),
)
_SELECTOR: Any = getattr(selectors, "EpollSelector", None)
_ours = Known()

unplace = _ours.unplace


def _simulated(loop: Any, fd: Any) -> Any:
    """The selector of *loop*, if its poller is simulated and *fd* is a number that it may know."""
    selector = loop._selector
    if (
        fd.__class__ is int
        and fd >= 0
        and selector.__class__ is _SELECTOR
        and selector._selector.__class__ is Epoll
        and selector._map is not None
    ):
        return selector
    return None


def _adding(event: int, handles: Any, original: Any) -> Any:
    bits = BITS[event]
    reads = event == selectors.EVENT_READ
    new = handles.__new__

    def add(self: Any, fd: Any, callback: Any, *args: Any) -> Any:
        selector = None if self._closed or self._debug else _simulated(self, fd)
        if selector is None or fd in selector._fd_to_key:
            asked = original(self, fd, callback, *args)
            if asked is not None and asked._source_traceback:
                del asked._source_traceback[-2]  # this frame: it ends in the library's
            return asked
        handle: Any = new(handles)
        handle._context = copy_context()
        handle._loop = self
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None
        selector._selector.register_socket(fd, bits)
        selector._fd_to_key[fd] = new_key((fd, fd, event, (handle, None) if reads else (None, handle)))
        return handle

    return add


def _removing(event: int, original: Any) -> Any:
    index = 0 if event == selectors.EVENT_READ else 1

    def remove(self: Any, fd: Any) -> Any:
        selector = None if self._closed else _simulated(self, fd)
        if selector is None:
            return original(self, fd)
        key = selector._fd_to_key.get(fd)
        if key is None or not key.events & event:
            return False
        if key.events != event:
            return original(self, fd)
        selector.unregister(fd)
        handle = key.data[index]
        if handle is None:
            return False
        handle.cancel()
        return True

    return remove


def place() -> None:
    """If asyncio is loaded: its loops register this way from now on."""
    handle: Any = getattr(sys.modules.get("asyncio.events"), "Handle", None)
    loop: Any = getattr(sys.modules.get("asyncio.selector_events"), "BaseSelectorEventLoop", None)
    if _ours.originals or _SELECTOR is None or None in (handle, loop) or set(handle.__slots__) != A_HANDLE:
        return
    for name, event in BOTH:
        _ours.put(loop, f"_add_{name}", KNOWN, partial(_adding, event, handle))
        _ours.put(loop, f"_remove_{name}", KNOWN, partial(_removing, event))
