"""Which loop serves which asyncore map, for how long, and what channels report to it.

A :class:`ChannelMap` keeps its loop while it holds a channel. An ordinary dict has one during a call of loop() that is for
more than a few turns.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable

from dispatch.annotations import Any
from dispatch.interfaces import Poller
from dispatch.maps import oneturn, resting
from dispatch.maps.channelmap import ChannelMap, items, plain
from dispatch.maps.events import UNNAMED, reraised
from dispatch.maps.guest import Guest
from dispatch.maps.maploop import Kinds, MapLoop, Serve
from dispatch.maps.oneturn import one_turn
from dispatch.observers import observers
from dispatch.timers import LONGEST

Turn = Callable[[float | None, Any], object]  # asyncore's poll() or poll2()

FEW = 5  # turns in one call; for more it is less to keep a loop than to ask and poll everybody anew each time

_engines: dict[int, MapLoop] = {}  # those that serve an ordinary dict at the moment, by its id


def _ordinary(map: Any) -> bool:
    """A dict, but not one that tells what changes, nor one that may hand out something else each time."""
    return plain(map) and not isinstance(map, ChannelMap)


def engine_of(map: dict[Any, Any] | None) -> MapLoop | None:
    """The loop that serves *map* now, if any."""
    if isinstance(map, ChannelMap):
        return map.engine
    return _engines.get(id(map))


def serve_map(map: dict[Any, Any], engine: MapLoop | None) -> None:
    """*engine* serves *map* from now on; None: nobody does."""
    if isinstance(map, ChannelMap):
        map.engine = engine
    elif engine is None:
        _engines.pop(id(map), None)
    else:
        _engines[id(map)] = engine


def joined(map: Any, key: Any) -> None:
    """A channel has put itself into *map*; also if the same one stood there, with another socket."""
    if isinstance(map, ChannelMap):
        return  # it has told
    engine = _engines.get(id(map))
    if engine is not None:
        guest = engine._guests.get(key)
        if guest is not None and isinstance(map, dict) and next(reversed(map)) == key:
            was_last = guest.obj is map[key] and guest.number == engine._admitted and not engine.touched
            if not was_last:
                engine.taken(key)  # by hand, and nobody told
        engine.put(key)


def left(map: dict[Any, Any], key: Any) -> None:
    """A channel has taken itself out of *map*, its socket is about to be closed."""
    if isinstance(map, ChannelMap):
        return  # it has told
    engine = _engines.get(id(map))
    if engine is not None:
        engine.taken(key)
        if engine._mirror is not None:
            engine._mirror.pop(key, None)


def changed(channel: Any) -> None:
    """What *channel* waits for may have changed, in a turn that need not be its own."""
    key = getattr(channel, "_fileno", None)
    if key is not None:
        try:
            engine = engine_of(channel._map)
        except AttributeError:
            return  # its class has a constructor that does not call ours: it is asked before each turn
        if engine is not None:
            engine.dirty[key] = None


def rest(channel: Any) -> None:
    """Give *channel* no events for a moment."""
    resting.rest(channel)  # for whoever serves it next
    own = engine_of(getattr(channel, "_map", None))
    for engine in {own, *_engines.values()}:  # it may stand in a map that is not its own
        if engine is not None:
            engine.rest(channel)


def ask_from_now_on(channel: Any) -> None:
    """What *channel* waits for may change without a notice: it is asked before each turn, like a class that overrides."""
    channel._dispatch_ask = True
    key = getattr(channel, "_fileno", None)
    engine = None if key is None else engine_of(getattr(channel, "_map", None))
    if engine is not None:
        guest = engine._guests.get(key)
        if guest is not None and guest.obj is channel:
            guest.ask_each_turn()


def turn(
    map: dict[Any, Any], timeout: float | None, serve: Serve, kinds: Kinds | None, poller: Poller | None = None
) -> None:
    """One turn over *map*, by the loop that serves it, or by one made for it; none over an empty one.

    Over a *poller* of the caller's it is one for this turn only.
    """
    if not map:
        return
    if timeout is not None:
        try:
            if timeout < 0:
                if kinds is not None:
                    raise ValueError("timeout must be non-negative")  # as select(2) takes it
                timeout = None  # as poll(2) does
            elif timeout > LONGEST:
                timeout = LONGEST  # select(2) took more
        except TypeError:
            _refuse(timeout, kinds)
            raise
    if isinstance(map, ChannelMap):
        engine = map.engine
        if engine is None and poller is None:
            if map.restless and map.asked_anew():
                map.restless -= 1
                if not one_turn(map, timeout, serve, kinds, literal=not map.endless):
                    map.restless = 0
                return
            engine = map.engine = MapLoop(map)
            engine.touched.update(dict.fromkeys(items(map), 0))  # another thread may have changed it meanwhile
    else:
        engine = _engines.get(id(map))
    if engine is not None and (poller is None or engine.turning):
        engine.turn(timeout, serve, kinds)
        return
    if poller is None and not observers and hasattr(select, "poll"):
        one_turn(map, timeout, serve, kinds)
        return
    once = MapLoop(map, poller or ("poll" if hasattr(select, "poll") else None))
    once.literal = poller is not None
    try:
        serve_map(map, once)
        once.turn(timeout, serve, kinds)
    finally:
        serve_map(map, engine)
        once.close()
        if engine is not None:  # it has heard of nothing meanwhile
            engine.touched.update(dict.fromkeys([*engine._guests, *map], 0))
            if not map and isinstance(map, ChannelMap):
                map._let_go()


def _refuse(timeout: Any, kinds: Any) -> None:
    """Raise what asyncore's own functions make of a time-out that is no number."""
    if kinds is None:
        int(timeout * 1000)
    else:
        select.select((), (), (), timeout)


def turns(map: dict[Any, Any], count: int | None, poll: Turn, timeout: float | None) -> None:
    """Turns by *poll*: so many, or until *map* is empty."""
    if count is None:
        with Served(map, endless=True):
            while map:
                poll(timeout, map)
    elif count > FEW or observers:
        with Served(map, endless=False):
            while map and count > 0:
                poll(timeout, map)
                count -= 1
    else:  # for so few no loop is kept
        while map and count > 0:
            poll(timeout, map)
            count -= 1


class Served:
    """Keeps one loop for an ordinary dict over many turns. A ChannelMap keeps its own; what is no dict might not let go."""

    __slots__ = ("_endless", "_engine", "_map")

    def __init__(self, map: dict[Any, Any], *, endless: bool) -> None:
        self._map = map
        self._endless = endless
        self._engine: MapLoop | None = None

    def __enter__(self) -> None:
        if self._map and _ordinary(self._map):
            engine = engine_of(self._map)
            if engine is None:
                engine = MapLoop(self._map)
                engine.endless = self._endless
                serve_map(self._map, engine)
            elif not engine.users:
                return  # one made for a turn, which is under way
            engine.users += 1
            self._engine = engine
        elif self._endless and isinstance(self._map, ChannelMap):
            _endless(self._map, 1)

    def __exit__(self, *exc_info: object) -> None:
        if self._endless and isinstance(self._map, ChannelMap):
            _endless(self._map, -1)
        if self._engine is not None:
            self._engine.users -= 1
            if not self._engine.users:  # another thread may be in loop() yet, over the same map
                serve_map(self._map, None)
                self._engine.close()


def _endless(map: ChannelMap, more: int) -> None:
    """So many more calls of loop() are under way that end with the map."""
    map.endless += more
    if map.engine is not None:
        map.engine.endless = map.endless > 0


def close_all(map: dict[Any, Any], ignore_all: bool) -> None:
    """Close every channel of *map* and empty it; the first error is raised, unless told otherwise."""
    for channel in list(map.values()):
        try:
            channel.close()
        except OSError as error:
            if error.errno != errno.EBADF and not ignore_all:
                raise
        except reraised():
            raise
        except BaseException:
            if not ignore_all:
                raise
    map.clear()


UNNAMED.update(each.__code__ for each in (turn, turns, _refuse, close_all, one_turn, oneturn._serve_by_kind))
UNNAMED.update(each.__code__ for each in (MapLoop.turn, MapLoop._serve_each, MapLoop._serve_by_kind, Guest._ask))
