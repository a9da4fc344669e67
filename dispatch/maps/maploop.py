"""The loop that serves the objects of one asyncore map: the map stays a dict that programs may change as they like.

Each object in the map gets a :class:`~dispatch.maps.guest.Guest`, which is the loop's channel for it. A turn brings the poller up to
date with the map, polls once, and serves what is ready in the order of the map.

A :class:`ChannelMap` reports its own changes. With an ordinary dict, the channels report that they join or leave; changes made
by hand are found by comparing it with its previous state: every turn if it is small, and every few turns if it is large.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Loaded now, since a loop begins with the first channel, and there may be no descriptor left to read them with.
from dispatch import kernel as _kernel  # noqa: F401
from dispatch.annotations import Any
from dispatch.channel import ASLEEP
from dispatch.forks import lost
from dispatch.interfaces import IN, NVAL, OUT, PRI, READ, Poller
from dispatch.loop import Loop
from dispatch.maps import events
from dispatch.maps.channelmap import ChannelMap, items, same
from dispatch.maps.events import closed_elsewhere, closed_since, drop_urgent, is_closing, left_behind, tells_itself
from dispatch.maps.guest import Guest, descriptor, wished
from dispatch.maps.predicates import own_functions, reports_to, room_to_write, still_has
from dispatch.maps.resting import resting, tired
from dispatch.observers import observers
from dispatch.pollers import epoll as _epoll  # noqa: F401
from dispatch.pollers import kqueue as _kqueue  # noqa: F401
from dispatch.pollers import poll as _poll  # noqa: F401
from dispatch.pollers import select as _select  # noqa: F401

PATIENT = 0.1  # seconds: a turn that may sleep for so long can afford an audit if nothing comes
LOOKED = 256  # entries of an ordinary dict that are compared per turn, on the average, in a busy loop
AUDITED = 64  # channels that are audited per idle turn, on the average, where turns are shorter
RESTLESS = 4  # busy turns for each newcomer, or less: so many come that few channels are served better without a loop
BUSY = 2  # busy turns for each channel that is audited: a fiftieth of their time

Serve = Callable[[Any, int], None]  # one object, all of its events
ServeKind = Callable[[Any], None]  # one object, one kind of event
Kinds = tuple[ServeKind, ServeKind, ServeKind]  # reading, writing, the exceptional
Ready = tuple[int, Guest, int]  # its place in the map, who, and the bits


class MapLoop(Loop):
    """Serves the objects of one map, one turn at a time."""

    __slots__ = (
        "_admitted",
        "_admitted_then",
        "_guests",
        "_idle_turns",
        "_kind",
        "_known",
        "_left",
        "_mirror",
        "_ready",
        "_restless",
        "_serve_whole",
        "_served",
        "_serves_whole",
        "_surprised",
        "_unaudited",
        "_unlooked",
        "_until_audit",
        "dirty",
        "endless",
        "grumblers",
        "literal",
        "map",
        "still",
        "touched",
        "users",
    )

    def __init__(self, map: dict[Any, Any], poller: str | Poller | None = None) -> None:
        super().__init__(poller=poller)
        self.map = map
        self._serve_whole: Serve = _nobody
        self._serves_whole = False  # in the turn under way: as poll(2), not as select(2)
        self._admitted = self._admitted_then = 0
        self._restless = False  # many came lately
        self._kind: type = object  # of who joined last, and its predicates
        self._known: tuple[Any, Any] = (None, None)
        self._idle_turns = 0  # since the last audit
        self._until_audit = AUDITED  # busy turns
        self._unaudited: list[Guest] = []  # who is still to be looked at, in a busy loop
        self._unlooked = 0  # turns since an ordinary dict was compared with what it was
        self._surprised = True  # who was ready stands in the map no more: more may have changed
        self._ready: Any = None  # a list of Ready: what this turn's poll has found; None: no turn is under way
        self._served: list[Ready] = []  # who had a turn since it was asked
        # Who has left in this turn: object, socket, closes till then.
        self._left: dict[Guest, tuple[Any, Any, int]] = {}
        self.touched: dict[Any, int] = {}  # keys that were set since the last turn; their old places in the order, or 0
        self.dirty: dict[Any, None] = {}  # keys whose objects say that their interest changed
        #: Descriptors of those that always want to write, only to say that nobody handles it: they are not woken for that.
        self.grumblers: set[int] = set()
        self.literal = False  # they are: somebody else's poller is to be asked what it was always asked
        self.users = 0  # calls of loop() under way that keep it
        self.endless = isinstance(map, ChannelMap) and map.endless > 0  # nobody sees how long a turn takes
        #: For observers: this turn found nothing and asked nobody. So will the next, until something comes.
        self.still = False
        self._guests: dict[Any, Guest] = {}
        self._mirror: dict[Any, Any] | None = None if isinstance(map, ChannelMap) else {}
        self.touched.update(dict.fromkeys(items(map), 0))

    def turn(self, timeout: float | None, serve: Serve, kinds: Kinds | None) -> None:
        """Bring the poller up to date with the map, poll once, serve what is ready: by *kinds*, or each object whole."""
        # The way of most turns is written out: with one channel ready, a call costs as much as what it decides.
        self._serve_whole, self._serves_whole = serve, kinds is None
        interrupted = self._ready  # if a handler asks for this turn
        found: list[Ready] = []
        self._ready = found
        try:
            if self._mirror is not None:
                self._compare(self._mirror)
            if self.touched:
                self._admit_touched()
            if self.dirty:
                self._ask_dirty()
            if self._served:
                self._ask_served()
            if self._asked:
                for guest in list(self._asked.values()):
                    guest._ask()
            pause = self._until_due(timeout) if self._soon or self._timers.heap else timeout
            if pause is None and kinds is not None and not self.grumblers and not wished(self._guests):
                time.sleep(pause)  # type: ignore[arg-type]  # asyncore did: the TypeError is its answer
            try:
                if self.grumblers and not self.endless and not observers and pause != 0:
                    # A program's own loop goes on as fast as it did when they were woken.
                    events = self.poller.poll(0)
                    if not events:
                        if room_to_write(self.grumblers):
                            timeout = 0
                        else:
                            events = self.poller.poll(pause)
                else:
                    events = self.poller.poll(pause)
            except (ValueError, OSError):
                if not self.closed and not lost(self):
                    raise
                events = []  # another thread closed the last channel just now, and with it this loop was let go
            if not events and self._idled(timeout) and not self.closed:
                events = self.poller.poll(0)
            if observers:
                at_rest = self.endless and interrupted is None and not self._asked
                self.still = at_rest and pause is timeout and not events
                for observer in observers:
                    observer.turn(self, len(events))
            channels: Any = self.channels
            for fd, bits in events:
                try:
                    guest = channels[fd]
                except KeyError:
                    continue  # another thread took it out of the map just now
                if bits == IN:  # mostly; whole numbers are compared, a test of a bit makes a number first
                    reads = guest.reads
                    try:
                        if reads is None or guest.obj.readable.__func__ is reads:
                            found.append((guest.number, guest, IN))
                            continue
                    except Exception:  # noqa: BLE001 - somebody gave it a readable that is no method of a class
                        pass
                guest._turn(bits)
            if self._soon or self._timers.heap:
                self._now = self.network.monotonic()
                self._make_due()
            if found:
                found.sort()  # in the order of the map, as select(2) and poll(2) told it
                self._served = found
                if kinds is None:
                    self._serve_each(found, serve)
                else:
                    self._serve_by_kind(found, serve, kinds)
        finally:
            if found and self._served is not found:
                self._served = self._served + found  # a handler has turned the loop
            self._ready = interrupted
            if self._left and interrupted is None:
                self._left.clear()
            if (not self.map or self._restless) and interrupted is None and isinstance(self.map, ChannelMap):
                self.map._let_go(restless=self._restless and not self._soon and not self._timers.heap)

    @property
    def turning(self) -> bool:
        """Whether a turn is under way."""
        return self._ready is not None

    def _serve_each(self, ready: list[Ready], serve: Serve) -> None:
        """As the loop over poll(2) did it: an object has all of its events at once."""
        stand = None if self._mirror is None else self.map.get  # a ChannelMap has told who left it
        for _, guest, flags in ready:
            obj = guest.obj  # before it is looked whether it is there: another thread may be taking it out
            if guest._fileno < 0 or (stand is not None and stand(guest.key) is not obj):
                obj = self._come_back(guest)
                if obj is None:
                    continue
            serve(obj, flags)
            if flags != IN and flags & NVAL:
                closed_elsewhere(self.map, guest.key, obj)
            elif flags != IN and flags & PRI and (guest.present() or self._come_back(guest) is not None):
                drop_urgent(obj)

    def _serve_by_kind(self, ready: list[Ready], serve: Serve, kinds: Kinds) -> None:
        """As the loop over select(2) did it: first all that is to be read, then all writes, then the exceptional."""
        stand = None if self._mirror is None else self.map.get  # a ChannelMap has told who left it
        read, write, exception = kinds
        later = []
        number = events.closes
        for event in ready:
            _, guest, flags = event
            if flags != IN:
                later.append(event)
                if not flags & (IN | NVAL):
                    continue
            obj = guest.obj  # before it is looked whether it is there, as above
            if guest._fileno < 0 or (stand is not None and stand(guest.key) is not obj):
                obj = self._come_back(guest)
                if obj is None:
                    continue
            if flags == IN or flags & IN:
                read(obj)
            else:
                serve(obj, NVAL)
                closed_elsewhere(self.map, guest.key, obj)
        if not later:
            return
        for _, guest, flags in later:
            if flags & OUT:
                obj = guest.obj if guest.present() else self._come_back(guest)
                if obj is not None and not closed_since(obj, number):
                    write(obj)
        for _, guest, flags in later:
            if flags & PRI:
                obj = guest.obj if guest.present() else self._come_back(guest)
                if obj is not None and not closed_since(obj, number):
                    exception(obj)
                    if guest.present() or self._come_back(guest) is not None:
                        drop_urgent(obj)

    def _come_back(self, guest: Guest) -> Any:
        """The object of *guest*, which has left, if it is there again as it was; else None."""
        self._surprised = True
        obj, sock, number = self._left.get(guest, (None, None, 0))
        if obj is None or self.map.get(guest.key) is not obj or closed_since(obj, number):
            return None
        return obj if sock is None or getattr(obj, "socket", sock) is sock else None

    def _compare(self, mirror: dict[Any, Any]) -> None:
        """Find what a program did to its own dict by hand."""
        if self._looks(mirror) and not same(mirror, self.map):
            self._mirror = (now := items(self.map)).copy()  # another thread may be changing the map, and the mirror
            # The same are there, in another order, and nobody has told.
            moved = len(now) == len(mirror) and not self.touched and now.keys() == mirror.keys() and [*now] != [*mirror]
            for key in list(mirror):
                if moved or key not in now:
                    self.taken(key)
            for key in now:
                if moved or mirror.get(key) is not now[key]:
                    self.put(key)

    def _admit_touched(self) -> None:
        while self.touched:
            touched, self.touched = self.touched, {}
            left = iter(touched.items())
            for key, place in left:
                if key in self._guests:
                    self.taken(key)
                obj = self.map.get(key)
                if obj is not None:
                    try:
                        self._admit(key, obj, place)
                    except BaseException:
                        self.touched = {key: place, **dict(left), **self.touched}  # met again in the next turn
                        raise

    def _ask_dirty(self) -> None:
        dirty, self.dirty = self.dirty, {}
        for key in dirty:
            if (guest := self._guests.get(key)) is not None:
                guest.ask_again()

    def _ask_served(self) -> None:
        """Those that had their turn may wait for something else now; mostly they do not, and that is decided here."""
        # What a program does to their `readable` meanwhile is seen when they are ready.
        served, self._served = self._served, []
        self._until_audit -= 1
        if self._until_audit < 0:
            self._until_audit = AUDITED
            self._audit(AUDITED // BUSY)
            self._restless = self._admitted - self._admitted_then > AUDITED // RESTLESS
            self._admitted_then = self._admitted
        for _, guest, _ in served:
            obj = guest.obj
            try:
                if obj.socket is guest.socket:
                    if guest.reads is None:
                        continue
                    writes = guest.writes
                    if guest._bits == READ and obj.writable.__func__ is writes and (not writes(obj) or obj.accepting):
                        continue
            except Exception:  # noqa: BLE001 - it is no method any more, or the object fails to say: see there
                pass
            guest.after_its_turn()

    def _looks(self, mirror: dict[Any, Any]) -> bool:
        """Whether to compare the map with what it was. To walk over thousands each turn would be what a turn costs."""
        self._unlooked += 1
        if len(mirror) == len(self.map) and not self._surprised and self._unlooked * LOOKED < len(mirror):
            return False
        self._unlooked, self._surprised = 0, False
        return True

    def _admit(self, key: Any, obj: Any, place: int) -> None:
        kind = type(obj)
        if kind is not self._kind:
            self._kind, self._known = kind, own_functions(kind)
        reads, writes = self._known
        if reads is not None and not (reports_to(self.map, key, obj) and still_has(obj, reads, writes)):
            reads = None
        self._guests[key] = guest = Guest(self, key, obj, reads, writes)
        try:
            fd = descriptor(key)
        except TypeError:
            fd = -1  # it may stand there all the same, and be asked each turn, as long as it wants nothing
        if not place:
            self._admitted = place = self._admitted + 1
        guest.number = place
        if fd < 0:
            guest.stand_among_asked(key)
            return
        try:
            sock = obj.socket if fd is key else key
            number = sock.fileno()
            if number != fd and left_behind(self.map, key, obj):
                self.taken(key)
                return
            guest.socket = sock if number in (fd, -1) else None  # it may be detached already
        except Exception:  # noqa: BLE001 - it has something else there, or a way of its own to say that it has nothing
            pass
        guest._fileno = fd
        self.channels[fd] = guest
        if reads is None:
            if place == self._admitted:
                self._asked[fd] = guest  # in a moment
            else:
                guest.ask_each_turn()  # in its old place
        else:
            try:
                if not writes(obj) or obj.accepting:  # mostly; and a readable of this library's is always true
                    self.poller.watch(fd, READ)
                    guest._bits = READ
            except Exception:  # noqa: BLE001 - whatever it is, it is met again
                pass
            if guest._bits != READ:
                guest._ask()
        if self._guests.get(key) is not guest:
            self._strike(guest)  # another thread has taken it out meanwhile, before it was there to be struck
        if resting:
            for pause, who in tired():
                if who is obj:
                    guest.rest(pause)
        if observers and not tells_itself(obj):
            for observer in observers:
                observer.opened(obj)

    def refused(self, guest: Guest) -> None:
        """What a poller cannot watch: closed before its first turn, or behind the map's back. As poll(2) says, NVAL."""
        if guest._bits & ASLEEP:  # never watched
            self._strike(guest)
        self.call_soon(self._invalid, guest, self.poller)

    def _invalid(self, guest: Guest, poller: Poller) -> None:
        obj = guest.obj
        if lost(self) or poller is not self.poller:
            self.touched[guest.key] = guest.number  # it was not for what it is
        elif obj is not None and self.map.get(guest.key) is obj and not left_behind(self.map, guest.key, obj):
            self._serve_whole(obj, NVAL)
            closed_elsewhere(self.map, guest.key, obj)

    def put(self, key: Any) -> None:
        """The key was set. Not for the first time, it keeps its place in the order, as in any dict."""
        if (guest := self._guests.get(key)) is None:
            self.touched.setdefault(key, 0)
        elif guest.socket is None or guest.left_alone() or guest.obj is not self.map.get(key) or guest.moved():
            self.taken(key)
            self.touched[key] = guest.number

    def taken(self, key: Any) -> None:
        """The key was deleted, or stands for another object: its descriptor is not polled any more, from now on.

        Where the key comes back it is the last.
        """
        if self.touched:
            self.touched.pop(key, None)
        guest = self._guests.pop(key, None)
        if guest is not None:
            if guest._fileno >= 0:
                self._strike(guest)
                if observers:
                    self._tell_closed(guest)
            elif self._asked.get(key) is guest:
                del self._asked[key]
            if self._ready is not None and not is_closing(guest.obj):
                self._left[guest] = guest.obj, guest.socket, events.closes  # in a turn that it may come back in
            # It may stand among those that were served, until the next turn.
            guest.obj = guest.socket = guest.reads = None

    def _tell_closed(self, guest: Guest) -> None:
        """Tell the observers that an object that does not do so itself has left."""
        if not tells_itself(guest.obj):
            for observer in observers:
                observer.closed(guest.obj, None)

    def _strike(self, guest: Guest) -> None:
        fd, channels = guest._fileno, self.channels
        if channels.get(fd) is guest:
            channels.pop(fd, None)  # another thread may be letting the loop go
            if guest.reads is None:
                self._asked.pop(fd, None)
            if guest._bits != ASLEEP:
                self.poller.forget(fd)
            self.grumblers.discard(fd)
        guest._fileno, guest._bits = -1, ASLEEP

    def rest(self, obj: Any) -> None:
        """Give *obj* no events for a moment."""
        for guest in list(self._guests.values()):
            if guest.obj is obj and not guest.resting:
                guest.rest()

    def _idled(self, timeout: float | None) -> bool:
        """There is time to look. True if somebody waits for something else now, and may have it in this turn."""
        self._idle_turns += 1
        self._surprised = True
        due = timeout is None or timeout >= PATIENT or self._idle_turns * AUDITED >= len(self._guests)
        return due and self._audit()

    def _audit(self, most: int | None = None) -> bool:
        """Look for what nobody tells us: sockets closed behind the map's back, and attributes that a program set from outside.

        When nothing happened for a whole time-out, or in several short ones, all are looked at. A busy loop may have no such
        turn for days: it looks at *most* of them now and then.
        """
        self._idle_turns = 0
        if most is None or not self._unaudited:
            self._unaudited = list(self._guests.values())
        guests = self._unaudited[:most]
        del self._unaudited[:most]
        stands, changed = self.map.get, False
        for guest in guests:
            obj = guest.obj
            try:  # mostly all is as it was, and that is decided here
                sock, reads, writes = guest.socket, guest.reads, guest.writes
                if (
                    guest._bits == READ
                    and obj.socket is sock
                    and sock.fileno() == guest._fileno
                    and obj.readable.__func__ is reads
                    and obj.writable.__func__ is writes
                    and (not writes(obj) or obj.accepting)
                    and stands(guest.key) is obj
                ):
                    continue
            except Exception:  # noqa: BLE001 - it has no socket, or whatever it has: see below
                pass
            if guest._fileno < 0 or not guest.present():
                continue
            if guest.moved() and not left_behind(self.map, guest.key, obj):
                self.touched[guest.key] = guest.number
            elif guest.stale():
                self._invalid(guest, self.poller)
            else:
                bits, told = guest._bits, guest.reads is not None
                guest.ask_again()
                if told and guest.reads is None:
                    guest._ask()  # somebody gave it a predicate that is asked each turn, beginning with this one
                changed = changed or guest._bits != bits
        return changed

    def close(self, deadline: float = 0.0) -> None:
        """Forget the map; its objects stay as they are."""
        guests, self._guests = self._guests, {}
        for guest in guests.values():
            if guest._fileno >= 0:
                self._tell_closed(guest)
            guest.abort()
        self._asked.clear()
        self.grumblers.clear()
        self._served, self._unaudited, self._mirror = [], [], None  # who is in them might be kept by nothing else
        self._shut()


def _nobody(obj: Any, flags: int) -> None:
    """The serve of a map loop before its first turn."""
