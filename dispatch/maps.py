"""An asyncore map served by a loop: the map stays a dict that programs may change as they like, the poller stays persistent.

Each object in the map gets a :class:`Guest`, which is the loop's channel for it. Who is polled for what is found out in one of
two ways. A class that overrides ``readable`` or ``writable`` is asked before each turn, as asyncore asked everybody. One that
has them from this library is asked when something happens to it: it joined, it had its turn, it says that it changed. So the
second kind costs nothing while it waits.

A :class:`ChannelMap` reports its own changes. Of an ordinary dict the channels say that they join or leave; what a program does
to it by hand is found by comparing it with what it was: each turn where it is small, and before long where it is large.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dispatch.annotations import Any
from dispatch.channel import ASLEEP, Channel
from dispatch.channelmap import ChannelMap
from dispatch.events import RERAISED, drop_urgent, failed
from dispatch.interfaces import ERR, HUP, IN, NVAL, OUT, PRI, READ, Poller
from dispatch.loop import Loop
from dispatch.observers import observers
from dispatch.predicates import grumbles, predictable, uses_writable

REST = 0.1  # seconds that a listener does not accept when the machine has no descriptor left
PATIENT = 0.1  # seconds: a turn that may sleep for so long can afford an audit if nothing comes
LOOKED = 256  # entries of an ordinary dict that are compared per turn, on the average, in a busy loop
AUDITED = 64  # channels that are audited per idle turn, on the average, where turns are shorter
TROUBLE = ERR | HUP | NVAL
EVENTS = IN | OUT | PRI

Serve = Callable[[Any, int], None]  # one object, all of its events
ServeKind = Callable[[Any], None]  # one object, one kind of event
Kinds = tuple[ServeKind, ServeKind, ServeKind]  # reading, writing, the exceptional


class Guest(Channel):
    """Stands in the loop for an object of the map; it is the object that is served."""

    __slots__ = ("asked", "doubtful", "key", "number", "obj", "resting")

    def __init__(self, loop: MapLoop, key: Any, obj: Any) -> None:
        self._attach(loop)
        self.key = key
        self.obj = obj
        self.number = 0  # in the order of admission: who was there first is served first
        #: What was in its ``socket`` at admission, if that is what is polled. It may be closed, or replaced, behind our back.
        self.socket = None
        self.resting = False
        self.asked = True
        #: Its class says that it always wants to write, which need not be meant.
        self.doubtful = grumbles(obj)

    def fileno_now(self) -> int:
        """The descriptor to poll: the key, or what a socket used as a key says."""
        return self.key if isinstance(self.key, int) else int(self.key.fileno())

    def _ask(self) -> None:
        """Find out what to poll for; the object may fail to say, which is its own affair."""
        obj = self.obj
        try:
            bits = READ if obj.readable() else 0
            if obj.writable() and not getattr(obj, "accepting", False) and (not self.doubtful or uses_writable(obj)):
                bits |= OUT
        except RERAISED:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program's readable() raises, the loop goes on
            failed(obj, "readable", error)
            return
        if not self.asked and not predictable(obj):
            ask_each_turn(self)  # its class, or it, got a method of the program's own meanwhile
        if bits != self._bits and not self.resting and self._fileno >= 0 and (bits or not self._bits & ASLEEP):
            loop: MapLoop = self.loop  # type: ignore[assignment]
            try:
                loop._want(self, bits)
            except OSError:
                loop.call_soon(loop._invalid, self)  # closed behind the map's back: as poll(2) says, NVAL

    def _turn(self, bits: int) -> None:
        """Find its place among those that are served in this turn."""
        loop: MapLoop = self.loop  # type: ignore[assignment]
        asked = self._bits
        if bits == IN and asked == READ:  # mostly; whole numbers are compared, a test of a bit makes a number first
            loop._ready.append((self.number, self, IN))
            return
        flags = bits & asked & EVENTS
        if bits & NVAL:
            flags = NVAL
        elif bits & TROUBLE and loop._serves_whole and asked & (IN | OUT) and not bits & IN:
            flags |= bits & TROUBLE  # nothing is left to read
        elif bits & TROUBLE:
            # As select(2) shows it: the end and an error are readable, so that data before the end is read first.
            flags |= asked & (IN | OUT) if bits & ERR else asked & IN
            flags = flags or asked & OUT
            if not flags:
                loop._sleep(self)
                return
        loop._ready.append((self.number, self, flags))

    def _present(self) -> bool:
        """Whether it still stands in the map, for the descriptor that was polled."""
        loop: MapLoop = self.loop  # type: ignore[assignment]
        if self._fileno >= 0 and loop.map.get(self.key) is self.obj:
            return True
        loop._surprised = True
        return False

    def _turn_failed(self, error: Exception) -> None:
        raise error  # to who called the loop, as in asyncore: nothing of the object's own runs here

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

    __slots__ = (
        "_admitted",
        "_guests",
        "_idle_turns",
        "_mirror",
        "_ready",
        "_serve_whole",
        "_serves_whole",
        "_surprised",
        "_unlooked",
        "depth",
        "dirty",
        "map",
        "touched",
    )

    def __init__(self, map: dict[Any, Any], poller: str | Poller | None = None) -> None:
        super().__init__(poller=poller)
        self.map = map
        self._serve_whole: Serve = _nobody
        self._serves_whole = False  # in the turn under way: as poll(2), not as select(2)
        self._admitted = 0
        self._idle_turns = 0  # since the last audit
        self._unlooked = 0  # turns since an ordinary dict was compared with what it was
        self._surprised = True  # who was ready stands in the map no more: more may have changed
        self._ready: list[tuple[int, Guest, int]] = []  # what the poll under way has found, by number
        self.depth = 0  # turns under way; a handler may ask for one
        self.touched: dict[Any, None] = {}  # keys that were set since the last turn
        self.dirty: dict[Any, None] = {}  # keys whose objects say that their interest changed
        self._guests: dict[Any, Guest] = {}
        self._mirror: dict[Any, Any] | None = None if isinstance(map, ChannelMap) else {}
        self.touched.update(dict.fromkeys(map))

    def turn(self, timeout: float | None, serve: Serve, kinds: Kinds | None) -> None:
        """Bring the poller up to date with the map, poll once, serve what is ready: by *kinds*, or each object whole."""
        self._serve_whole, self._serves_whole = serve, kinds is None
        self.depth += 1
        interrupted, self._ready = self._ready, []
        try:
            self._sync()
            if not self._polled(timeout):
                self._idle_turns += 1
                self._surprised = True  # there is time to look
                if timeout is None or timeout >= PATIENT or self._idle_turns * AUDITED >= len(self._guests):
                    self._audit()
            ready = self._ready
            if len(ready) > 1:
                ready.sort()  # in the order of the map, as select(2) and poll(2) told it
            if kinds is None:
                self._serve_each(ready, serve)
            elif ready:
                self._serve_by_kind(ready, serve, kinds)
        finally:
            self._ready = interrupted
            self.depth -= 1
        if not self.map and not self.depth and isinstance(self.map, ChannelMap):
            self.map._let_go()

    def _polled(self, timeout: float | None) -> int:
        """How many were ready."""
        try:
            return self._once(timeout)
        except ValueError:
            if not self.closed:
                raise
            return 0  # another thread closed the last channel just now, and with it this loop was let go

    def _serve_each(self, ready: list[tuple[int, Guest, int]], serve: Serve) -> None:
        """As the loop over poll(2) did it: an object has all of its events at once."""
        for _, guest, flags in ready:
            if guest._present():
                if not guest.asked:
                    self.dirty[guest.key] = None
                serve(guest.obj, flags)
                if flags & PRI and guest._present():
                    drop_urgent(guest.obj)

    def _serve_by_kind(self, ready: list[tuple[int, Guest, int]], serve: Serve, kinds: Kinds) -> None:
        """As the loop over select(2) did it: first all that is to be read, then all writes, then the exceptional."""
        read, write, exception = kinds
        later = []
        for event in ready:
            _, guest, flags = event
            if flags != IN:
                later.append(event)
            if flags & (IN | NVAL) and guest._present():
                if not guest.asked:
                    self.dirty[guest.key] = None
                if flags & IN:
                    read(guest.obj)
                else:
                    serve(guest.obj, NVAL)
        for _, guest, flags in later:
            if flags & OUT and guest._present():
                if not guest.asked:
                    self.dirty[guest.key] = None
                write(guest.obj)
        for _, guest, flags in later:
            if flags & PRI and guest._present():
                if not guest.asked:
                    self.dirty[guest.key] = None
                exception(guest.obj)
                if guest._present():
                    drop_urgent(guest.obj)

    def _sync(self) -> None:
        mirror = self._mirror
        if mirror is not None and self._looks(mirror) and mirror != self.map:
            for key, obj in list(mirror.items()):
                if obj is not self.map.get(key):
                    self.removed(key)
            self._mirror = now = dict(self.map)  # in one step: another thread may be changing it
            self.touched.update(dict.fromkeys(key for key in now if mirror.get(key) is not now[key]))
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

    def _looks(self, mirror: dict[Any, Any]) -> bool:
        """Whether to compare the map with what it was. To walk over thousands each turn would be what a turn costs."""
        self._unlooked += 1
        if len(mirror) == len(self.map) and not self._surprised and self._unlooked * LOOKED < len(mirror):
            return False
        self._unlooked, self._surprised = 0, False
        return True

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
        self._admitted = guest.number = self._admitted + 1
        sock = getattr(obj, "socket", None) if isinstance(key, int) else key
        if _descriptor(sock) == fd:
            guest.socket = sock
        guest._bits = 0
        guest._born = self._turn_number
        guest.asked = not predictable(obj)
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
            self._serve_whole(guest.obj, NVAL)

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
        """Nothing happened for a whole time-out, or in several short ones: look for what nobody tells us. Sockets closed behind the map's back, and
        attributes that a program set from outside.
        """
        self._idle_turns = 0
        for guest in list(self._guests.values()):
            if not guest._present():
                continue
            sock = guest.socket
            now = getattr(guest.obj, "socket", None) if isinstance(guest.key, int) else sock
            if sock is not None and now is not sock and now is not None:
                self.touched[guest.key] = None
            elif sock is not None and _descriptor(sock) != guest._fileno:
                self._serve_whole(guest.obj, NVAL)
            elif not guest.asked:
                guest._ask()

    def close(self, deadline: float = 0.0) -> None:
        """Forget the map; its objects stay as they are."""
        for key in list(self._guests):
            self.removed(key)
        super().close()


def _nobody(obj: Any, flags: int) -> None:
    """The serve of a map loop before its first turn."""


def _descriptor(sock: Any) -> int | None:
    """The number of a socket, or of what a program uses for one."""
    try:
        return int(sock.fileno())
    except (AttributeError, OSError, TypeError, ValueError):
        return None


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


def changed(channel: Any) -> None:
    """What *channel* waits for may have changed, in a turn that need not be its own."""
    key = getattr(channel, "_fileno", None)
    if key is not None:
        engine = engine_of(channel._map)
        if engine is not None:
            engine.dirty[key] = None


def ask_from_now_on(channel: Any) -> None:
    """What *channel* waits for may change without a notice: it is asked before each turn, like a class that overrides."""
    channel._dispatch_ask = True
    key = getattr(channel, "_fileno", None)
    engine = None if key is None else engine_of(channel._map)
    if engine is not None:
        guest = engine._guests.get(key)
        if guest is not None and guest.obj is channel and guest._fileno >= 0:
            ask_each_turn(guest)


def ask_each_turn(guest: Guest) -> None:
    """What its object waits for is not announced."""
    guest.asked = True
    guest.loop._asked[guest._fileno] = guest


def turn(map: dict[Any, Any], timeout: float | None, serve: Serve, kinds: Kinds | None) -> None:
    """One turn over *map*, by the loop that serves it, or by one made for it; none over an empty one."""
    if not map:
        return
    if timeout is not None and timeout < 0:
        timeout = None  # as poll(2) takes it
    engine = engine_of(map)
    if engine is not None:
        engine.turn(timeout, serve, kinds)
    elif isinstance(map, ChannelMap):
        map.engine = MapLoop(map)
        map.engine.turn(timeout, serve, kinds)
    else:
        # One turn only: nothing to keep registered. poll(2) where there is one, it needs no descriptor of its own.
        engine = MapLoop(map, "poll" if hasattr(select, "poll") else None)
        try:
            serve_dict(map, engine)
            engine.turn(timeout, serve, kinds)
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
        except BaseException:
            if not ignore_all:
                raise
    map.clear()
