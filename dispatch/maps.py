"""An asyncore map served by a loop: the map stays a dict that programs may change as they like, the poller stays persistent.

Each object in the map gets a :class:`Guest`, which is the loop's channel for it. Who is polled for what is found out in one of
two ways. A class that overrides ``readable`` or ``writable`` is asked before each turn, as asyncore asked everybody. One that
has them from this library is asked when something happens to it: it joined, it had its turn, it says that it changed. So the
second kind costs nothing while it waits.

A :class:`ChannelMap` reports its own changes. An ordinary dict is compared with what it was, every turn.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from dispatch.annotations import Any
from dispatch.channel import ASLEEP, Channel
from dispatch.events import RERAISED, failed
from dispatch.interfaces import ERR, HUP, IN, NVAL, OUT, PRI, READ, Poller
from dispatch.loop import Loop
from dispatch.observers import observers

REST = 0.1  # seconds that a listener does not accept when the machine has no descriptor left
TROUBLE = ERR | HUP | NVAL

Serve = Callable[[Any, int], None]


class Guest(Channel):
    """Stands in the loop for an object of the map; it is the object that is served."""

    __slots__ = ("asked", "doubtful", "key", "obj", "resting")

    def __init__(self, loop: MapLoop, key: Any, obj: Any) -> None:
        self._attach(loop)
        self.key = key
        self.obj = obj
        self.socket = key if not isinstance(key, int) else getattr(obj, "socket", None)
        self.resting = False
        self.asked = True
        #: Its class says that it always wants to write, which need not be meant.
        self.doubtful = getattr(type(obj), "writable", None) in _silent_writable

    def fileno_now(self) -> int:
        """The descriptor to poll: the key, or what a socket used as a key says."""
        return self.key if isinstance(self.key, int) else int(self.key.fileno())

    def _ask(self) -> None:
        """Find out what to poll for; the object may fail to say, which is its own affair."""
        obj = self.obj
        try:
            bits = READ if obj.readable() else 0
            if obj.writable() and not getattr(obj, "accepting", False) and (not self.doubtful or _uses_writable(obj)):
                bits |= OUT
        except Exception as error:  # noqa: BLE001 - whatever a program's readable() raises, the loop goes on
            failed(obj, "readable", error)
            return
        if bits != self._bits and not self.resting and self._fileno >= 0 and (bits or not self._bits & ASLEEP):
            loop: MapLoop = self.loop  # type: ignore[assignment]
            try:
                loop._want(self, bits)
            except OSError:
                loop.call_soon(loop._invalid, self)  # closed behind the map's back: as poll(2) says, NVAL

    def _turn(self, bits: int) -> None:
        loop: MapLoop = self.loop  # type: ignore[assignment]
        obj = self.obj
        if loop.map.get(self.key) is not obj:
            return
        asked = self._bits
        flags = bits & asked & (IN | OUT | PRI)
        if bits & NVAL:
            flags = NVAL
        elif bits & TROUBLE:
            # As select(2) shows it: the end and an error are readable, so that data before the end is read first.
            flags |= asked & (IN | OUT) if bits & ERR else asked & IN
            flags = flags or asked & OUT
            if not flags:
                loop._sleep(self)
                return
        loop.serve(obj, flags)
        if not self.asked and self._fileno >= 0:
            self._ask()

    def rest(self) -> None:
        """No events for a moment."""
        self.resting = True
        self.loop._sleep(self)
        self.loop.call_later(REST, self._wake)

    def _wake(self) -> None:
        self.resting = False
        if self._fileno >= 0:
            self._ask()


class MapLoop(Loop):
    """Serves the objects of one map, one turn at a time."""

    __slots__ = ("_guests", "_mirror", "depth", "dirty", "map", "serve", "touched")

    def __init__(self, map: dict[Any, Any], poller: str | Poller | None = None) -> None:
        super().__init__(poller=poller)
        self.map = map
        self.serve: Serve = _nobody
        self.depth = 0  # turns under way; a handler may ask for one
        self.touched: dict[Any, None] = {}  # keys that were set since the last turn
        self.dirty: dict[Any, None] = {}  # keys whose objects say that their interest changed
        self._guests: dict[Any, Guest] = {}
        self._mirror: dict[Any, Any] | None = None if isinstance(map, ChannelMap) else {}
        self.touched.update(dict.fromkeys(map))

    def turn(self, timeout: float | None, serve: Serve) -> None:
        """Bring the poller up to date with the map, poll once, serve what is ready."""
        self.serve = serve
        self.depth += 1
        try:
            self._sync()
            if not self.run_once(timeout):
                self._audit()
        finally:
            self.depth -= 1
        if not self.map and not self.depth and isinstance(self.map, ChannelMap):
            self.map._let_go()

    def _sync(self) -> None:
        mirror = self._mirror
        if mirror is not None and mirror != self.map:
            for key in [key for key in mirror if mirror[key] is not self.map.get(key)]:
                self.removed(key)
            self.touched.update(dict.fromkeys(key for key in self.map if mirror.get(key) is not self.map[key]))
            self._mirror = dict(self.map)
        while self.touched:
            touched, self.touched = self.touched, {}
            for key in touched:
                self.removed(key)
                obj = self.map.get(key)
                if obj is not None:
                    self._admit(key, obj)
        if self.dirty:
            dirty, self.dirty = self.dirty, {}
            for key in dirty:
                guest = self._guests.get(key)
                if guest is not None:
                    guest._ask()

    def _admit(self, key: Any, obj: Any) -> None:
        guest = Guest(self, key, obj)
        try:
            fd = guest.fileno_now()
            self.poller.watch(fd, 0)
        except (OSError, ValueError):
            # Closed before its first turn, or nothing a poller can watch: as poll(2) says, NVAL.
            self._guests[key] = guest
            self.call_soon(self._invalid, guest)
            return
        guest._fileno = fd
        guest._bits = 0
        guest._born = self._turn_number
        guest.asked = not _predictable(obj)
        self._guests[key] = guest
        self.channels[fd] = guest
        if guest.asked:
            self._asked[fd] = guest
        else:
            guest._ask()
        if observers and not hasattr(obj, "add_channel"):
            for observer in observers:
                observer.opened(obj)

    def _invalid(self, guest: Guest) -> None:
        if self.map.get(guest.key) is guest.obj:
            self.serve(guest.obj, NVAL)

    def removed(self, key: Any) -> None:
        """The key has left the map, or stands for another object: its descriptor is not polled any more, from now on."""
        guest = self._guests.pop(key, None)
        if guest is not None and guest._fileno >= 0:
            if self.channels.get(guest._fileno) is guest:
                del self.channels[guest._fileno]
                self._asked.pop(guest._fileno, None)
                if not guest._bits & ASLEEP:
                    self.poller.forget(guest._fileno)
            guest._fileno = -1
            guest._bits = ASLEEP
            if observers and not hasattr(guest.obj, "del_channel"):
                for observer in observers:
                    observer.closed(guest.obj, None)

    def rest(self, obj: Any) -> None:
        """Give *obj* no events for a moment."""
        for guest in self._guests.values():
            if guest.obj is obj and not guest.resting:
                guest.rest()

    def _audit(self) -> None:
        """Nothing happened for a whole time-out: look for what nobody tells us. Sockets closed behind the map's back, and
        attributes that a program set from outside.
        """
        for guest in list(self._guests.values()):
            sock = guest.socket
            if sock is not None and self.map.get(guest.key) is guest.obj:
                now = getattr(guest.obj, "socket", sock) if isinstance(guest.key, int) else sock
                if now is not sock:
                    self.touched[guest.key] = None
                elif guest._fileno >= 0 and sock.fileno() != guest._fileno:
                    self.serve(guest.obj, NVAL)
                elif not guest.asked:
                    guest._ask()

    def close(self, deadline: float = 0.0) -> None:
        """Forget the map; its objects stay as they are."""
        for key in list(self._guests):
            self.removed(key)
        super().close()


class ChannelMap(dict[Any, Any]):
    """A dict of channels by descriptor that tells the loop serving it what changes."""

    __slots__ = ("engine",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine: MapLoop | None = None

    def __setitem__(self, key: Any, obj: Any) -> None:
        super().__setitem__(key, obj)
        if self.engine is not None:
            self.engine.removed(key)
            self.engine.touched[key] = None

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._removed(key)

    def _removed(self, key: Any) -> None:
        if self.engine is not None:
            self.engine.removed(key)
            if not self:
                self._let_go()

    def _let_go(self) -> None:
        """An empty map holds no poller; the next turn with channels makes one."""
        engine = self.engine
        if engine is not None and not engine.depth:
            self.engine = None
            engine.close()

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
        for key in keys:
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


def _nobody(obj: Any, flags: int) -> None:
    """The serve of a map loop before its first turn."""


#: ``readable`` and ``writable`` of this library's classes: what they answer changes only when the class says so.
_known: set[Any] = set()
_silent_writable: set[Any] = set()
_silent_handlers: set[Any] = set()


def known_predicates(functions: Iterable[Any]) -> None:
    """Declare functions whose answers change only with a notice to :func:`changed`, or in the channel's own turn."""
    _known.update(functions)


def silent_writers(writable: Any, *handlers: Any) -> None:
    """Declare a ``writable`` that is always true, and handlers of writing that do nothing but grumble."""
    _silent_writable.add(writable)
    _silent_handlers.update(handlers)


def _predictable(obj: Any) -> bool:
    kind = type(obj)
    if getattr(kind, "readable", None) not in _known or getattr(kind, "writable", None) not in _known:
        return False
    own = getattr(obj, "__dict__", {})
    return "readable" not in own and "writable" not in own


def _uses_writable(obj: Any) -> bool:
    """False for a channel that would be told of room to write, at all times, only to say that nobody handles it."""
    kind = type(obj)
    if getattr(obj, "connecting", False) or "warning" not in getattr(obj, "ignore_log_types", ()):
        return True
    own = getattr(obj, "__dict__", {})
    return any(
        name in own or getattr(kind, name, None) not in _silent_handlers
        for name in ("writable", "handle_write", "handle_write_event", "log_info")
    )


_engines: dict[int, MapLoop] = {}  # those that serve an ordinary dict at the moment, by its id


def engine_of(map: dict[Any, Any]) -> MapLoop | None:
    """The loop that serves *map* now, if any."""
    if isinstance(map, ChannelMap):
        return map.engine
    return _engines.get(id(map))


def serve_dict(map: dict[Any, Any], engine: MapLoop | None) -> None:
    """*engine* serves an ordinary dict from now on; None: nobody does."""
    if engine is None:
        _engines.pop(id(map), None)
    else:
        _engines[id(map)] = engine


def joined(map: dict[Any, Any], key: Any) -> None:
    """A channel has put itself into *map*; also if the same one stood there, with another socket."""
    engine = engine_of(map)
    if engine is not None:
        engine.removed(key)
        engine.touched[key] = None


def left(map: dict[Any, Any], key: Any) -> None:
    """A channel has taken itself out of *map*, its socket is about to be closed."""
    engine = engine_of(map)
    if engine is not None:
        engine.removed(key)
        if engine._mirror is not None:
            engine._mirror.pop(key, None)


def changed(map: dict[Any, Any], key: Any) -> None:
    """What a channel of *map* waits for may have changed."""
    engine = engine_of(map)
    if engine is not None:
        turning = engine._turning
        if not isinstance(turning, Guest) or turning.key != key:
            engine.dirty[key] = None  # in its own turn it is asked at the end anyway


def interest_changed(channel: Any) -> None:
    """What *channel* waits for may have changed, in a turn that need not be its own."""
    if channel._fileno is not None:
        changed(channel._map, channel._fileno)


def turn(map: dict[Any, Any], timeout: float | None, serve: Serve) -> None:
    """One turn over *map*, by the loop that serves it, or by one made for it; none over an empty one."""
    if not map:
        return
    if timeout is not None and timeout < 0:
        timeout = None  # as poll(2) takes it
    engine = engine_of(map)
    if engine is not None:
        engine.turn(timeout, serve)
    elif isinstance(map, ChannelMap):
        map.engine = MapLoop(map)
        map.engine.turn(timeout, serve)
    else:
        # One turn only: nothing to keep registered. poll(2) where there is one, it needs no descriptor of its own.
        engine = MapLoop(map, "poll" if hasattr(select, "poll") else None)
        try:
            serve_dict(map, engine)
            engine.turn(timeout, serve)
        finally:
            serve_dict(map, None)
            engine.close()


@contextmanager
def served(map: dict[Any, Any]) -> Iterator[None]:
    """Keep one loop for an ordinary dict over many turns. A ChannelMap keeps its own."""
    if not map or isinstance(map, ChannelMap) or engine_of(map) is not None:
        yield
        return
    engine = MapLoop(map)
    serve_dict(map, engine)
    try:
        yield
    finally:
        serve_dict(map, None)
        engine.close()


def close_all(map: dict[Any, Any], ignore_all: bool) -> None:
    """Close every channel of *map* and empty it; the first error is raised, unless told otherwise."""
    for channel in list(map.values()):
        try:
            channel.close()
        except OSError as error:
            if error.errno != errno.EBADF and not ignore_all:
                raise
        except RERAISED:
            raise
        except Exception:
            if not ignore_all:
                raise
    map.clear()
