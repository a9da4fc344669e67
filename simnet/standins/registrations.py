"""What a selector knows of its descriptors, looked up directly where it is asked by number.

asyncio asks ``EpollSelector`` for a descriptor before it registers, changes or unregisters it, and mostly there is none:
the library answers with three exceptions. These stand-ins answer for a simulated epoll and for plain numbers; the
library's own functions do everything else, and raise the errors.
"""

from __future__ import annotations

import selectors
from functools import partial
from typing import Any

from simnet.epoll import Epoll
from simnet.standins.early_selectors import for_each_program
from simnet.standins.pairs import Pairs

__all__ = ["BITS", "PAIRS", "new_key"]

PAIRS = Pairs()

_SELECTOR: Any = getattr(selectors, "EpollSelector", None)
BITS = {selectors.EVENT_READ: 0x1, selectors.EVENT_WRITE: 0x4, selectors.EVENT_READ | selectors.EVENT_WRITE: 0x5}
new_key = partial(tuple.__new__, selectors.SelectorKey)


def _get_key(self: Any, fileobj: Any) -> Any:
    if self.__class__ is _SELECTOR and fileobj.__class__ is int and fileobj >= 0 and self._map is not None:
        key = self._fd_to_key.get(fileobj)
        if key is None:
            raise KeyError(f"{fileobj!r} is not registered")
        return key
    return _true_get_key(self, fileobj)


def _register(self: Any, fileobj: Any, events: Any, data: Any = None) -> Any:
    if self.__class__ is _SELECTOR and self._selector.__class__ is Epoll and fileobj.__class__ is int:
        keys = self._fd_to_key
        bits = BITS.get(events) if events.__class__ is int else None
        if bits is not None and fileobj >= 0 and fileobj not in keys:
            self._selector.register_socket(fileobj, bits)
            key = keys[fileobj] = new_key((fileobj, fileobj, events, data))
            return key
    return _true_register(self, fileobj, events, data)


def _unregister(self: Any, fileobj: Any) -> Any:
    if self.__class__ is _SELECTOR and fileobj.__class__ is int:
        key = self._fd_to_key.pop(fileobj, None)
        if key is not None:
            try:
                self._selector.unregister(fileobj)
            except OSError:  # the descriptor was closed before
                pass
            return key
    return _true_unregister(self, fileobj)


if _SELECTOR is not None:
    _true_get_key = for_each_program(_SELECTOR.get_key)
    _true_register = for_each_program(_SELECTOR.register)
    _true_unregister = for_each_program(_SELECTOR.unregister)
    PAIRS.add(_SELECTOR.get_key, _get_key)
    PAIRS.add(_SELECTOR.register, _register)
    PAIRS.add(_SELECTOR.unregister, _unregister)
