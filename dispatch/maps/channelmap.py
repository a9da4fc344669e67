"""A dict of channels by descriptor that reports its changes to the loop that serves it: here this is ``asyncore.socket_map``.

It has no loop while it holds few channels and some of them come and go: for a connection that ends at once, making a guest and
registering it with the poller costs more than asking and polling the few anew in each turn.
"""

from __future__ import annotations

import select
from _thread import _count  # threads beside the first
from collections import OrderedDict
from operator import is_

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.observers import observers

if TYPE_CHECKING:
    from dispatch.maps.maploop import MapLoop


SMALL = 20  # channels; for so many it costs as much to ask all in a turn as to let a newcomer in and out
CALM = 8  # turns without a newcomer, after which a loop is made for them


_ITEMS = (dict.items, OrderedDict.items)


def plain(map: Any) -> bool:
    """Whether it is a dict that hands out what it holds: a class may have an ``items`` of its own, which asyncore asked."""
    return isinstance(map, dict) and type(map).items in _ITEMS


def items(map: Any) -> dict[Any, Any]:
    """What is in *map* now; of what is no plain dict, no more is asked than asyncore did."""
    return dict(map) if plain(map) else dict(list(map.items()))


def same(one: dict[Any, Any], other: Any) -> bool:
    """Whether the same objects stand there. They are not asked: what is equal to a program need not be the same."""
    other = other if plain(other) else items(other)
    try:
        return one.keys() == other.keys() and all(map(is_, one.values(), other.values()))
    except RuntimeError:  # another thread has changed one of them meanwhile
        return False


class ChannelMap(dict[Any, Any]):
    """A dict whose changes cost what changes, and nothing each turn. Programs may treat it as any dict."""

    __slots__ = ("endless", "engine", "restless")

    __class__ = property(lambda _: dict)  # what ``socket_map.__class__ is dict`` is about

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine: MapLoop | None = None
        self.endless = 0  # calls of loop() without a count that are under way
        self.restless = 0  # turns that may yet be made without a loop, since somebody came lately

    def __setitem__(self, key: Any, obj: Any) -> None:
        dict.__setitem__(self, key, obj)
        engine = self.engine
        if engine is not None:
            if key in engine._guests:
                engine.put(key)
            else:
                engine.touched.setdefault(key, 0)
        else:
            self.restless = CALM

    def __delitem__(self, key: Any) -> None:
        dict.__delitem__(self, key)
        engine = self.engine
        if engine is not None:
            engine.taken(key)
            if not self:
                self._let_go()

    def _removed(self, key: Any) -> None:
        engine = self.engine
        if engine is not None:
            engine.taken(key)
            if not self:
                self._let_go()

    def _let_go(self, *, restless: bool = False) -> None:
        """An empty map holds no poller; the next turn with channels makes one. Nor does a *restless* one, if it is small."""
        engine = self.engine
        if engine is not None and not engine.turning and (not self or (restless and self.asked_anew())):
            self.restless = CALM
            self.engine = None
            engine.close()

    def asked_anew(self) -> bool:
        """Whether turns that ask and poll everybody anew do for it: there are few, in one thread, and nobody watches."""
        # While one of these sleeps, the kernel keeps open what another thread closes.
        return len(self) <= SMALL and not _count() and not observers and hasattr(select, "poll")

    def pop(self, key: Any, *default: Any) -> Any:
        value = super().pop(key, *default)
        self._removed(key)
        return value

    def popitem(self) -> tuple[Any, Any]:
        key, value = super().popitem()
        self._removed(key)
        return key, value

    def clear(self) -> None:
        keys = list(self)
        super().clear()
        self._let_go()
        for key in keys:  # in a turn, which goes on without them
            self._removed(key)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, obj in dict(*args, **kwargs).items():
            self[key] = obj

    def __ior__(self, other: Any) -> ChannelMap:  # type: ignore[misc]
        self.update(other)
        return self

    def copy(self) -> dict[Any, Any]:
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy is served by nobody


# What a program prints of it, or compares.
ChannelMap.__name__ = ChannelMap.__qualname__ = "dict"
ChannelMap.__module__ = "builtins"
