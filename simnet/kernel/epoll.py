"""epoll: a set of files, and the list of those that became ready, in the order in which they did.

As in Linux's ``fs/eventpoll.c`` a wake-up only puts an entry on the ready list; whether the file is still ready is checked
when the list is read. Level-triggered entries go to the tail after each report and leave when found not ready, so a
small *maxevents* rotates through all (K-112). Reading costs as many steps as the list is long, not the set.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import EEXIST, EINVAL, ELOOP, ENOENT, ENOTSOCK
from typing import Any, Final, NoReturn

from simnet.kernel.descriptors import File
from simnet.kernel.errors import socket_error
from simnet.kernel.readiness import ALWAYS, ANY_NEWS, IN, OUT, READABLE, READABLE_AND_WRITABLE, WRITABLE

EPOLLEXCLUSIVE: Final = 1 << 28
EPOLLWAKEUP: Final = 1 << 29
EPOLLONESHOT: Final = 1 << 30
EPOLLET: Final = 1 << 31

EVENT_READ: Final = 1  # of the module `selectors`
EVENT_WRITE: Final = 2

_MODES: Final = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET
_ONCE: Final = EPOLLONESHOT | EPOLLET  # off the list when reported
_WITH_EXCLUSIVE: Final = IN | OUT | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE
_NESTS_MAX: Final = 4  # EP_MAX_NESTS


def events_of(mask: int) -> int:
    """What `selectors` makes of a mask: all but IN has the program write, and all but OUT read."""
    return (EVENT_WRITE if mask & ~IN else 0) | (EVENT_READ if mask & ~OUT else 0)


class Entry:
    """One registration: a descriptor and the file it named, for Linux keys a set by both (K-113)."""

    __slots__ = ("epoll", "fd", "file", "events", "wanted", "once", "exclusive", "listed")

    def __init__(self, epoll: Epoll, fd: int, file: File, events: int) -> None:
        self.epoll = epoll
        self.fd = fd
        self.file = file
        self.events = events  # as `want` does
        self.wanted = events & ~_MODES
        self.once = events & _ONCE
        self.exclusive = events & EPOLLEXCLUSIVE != 0
        self.listed = False

    def want(self, events: int) -> None:
        """From now on it is about *events*."""
        self.events = events
        self.wanted = events & ~_MODES  # nothing while disarmed by ONESHOT
        self.once = events & _ONCE
        self.exclusive = events & EPOLLEXCLUSIVE != 0

    def wake(self, file: File, events: int) -> bool:
        """ep_poll_callback: onto the ready list, if the news may concern it; True if others need not hear of it."""
        if not events & self.wanted:  # about something else
            return False
        epoll = self.epoll
        enough = self.exclusive and self._takes(events)
        if not self.listed:
            self.listed = True
            epoll.ready[self] = None
        watchers = epoll.watchers
        if watchers is not None:  # of IN and no other bit: a set around this one that asks for RDNORM hears nothing
            if len(watchers) == 1:
                watchers[0].wake(epoll, IN)
            else:
                epoll.wake(IN)
        return enough

    def _takes(self, events: int) -> bool:
        """Does this exclusive registration keep the news to itself? If somebody waits in its set who is now to wake."""
        if events == ANY_NEWS:  # a change of state is for all
            return False
        if not any(map(self.epoll.is_waited_in_by, self.epoll.watchers or ())):
            return False
        direction = events & (IN | OUT)
        return not direction or direction & self.events != 0

    def file_closed(self, file: File) -> None:
        """The last descriptor of *file* is closed: the registration goes with it."""
        self.epoll.drop(self)


class EpollName(str):
    """What an epoll is called, in the place where a socket has what is counted of its calls."""

    __slots__ = ()
    plain = False


class Alone(list[Any]):
    """The set that a call of its own waits in. Who looks at it by another call waits for files, of which it is one."""


class Epoll(File):
    """One epoll instance."""

    __slots__ = ("entries", "ready", "rare")

    def __init__(self) -> None:
        self.refs = 1
        self.watchers = None
        self.tag = None
        self.entries: dict[tuple[int, File], Entry] = {}
        self.ready: dict[Entry, None] = {}  # a list that can also lose an entry from its middle
        self.rare: list[Any] = []  # why a poll does more than to read that list

    def __repr__(self) -> str:
        return f"<Epoll of {len(self.entries)}, {len(self.ready)} perhaps ready>"

    def __len__(self) -> int:
        return len(self.entries)

    def is_waited_in_by(self, watcher: Any) -> bool:
        """Does *watcher* sleep in a call of its own, and not in one of select or poll that looks at it?"""
        waiting = getattr(watcher, "waiting", None)
        return waiting is not None and type(waiting[1]) is Alone and waiting[1][0] is self and watcher.asleep

    def release(self) -> None:
        """A number of it is closed: whoever polls by one looks from now on whether it is still there."""
        self.rare.append(None)
        super().release()

    def register(self, fd: int, file: File, events: int) -> None:
        """EPOLL_CTL_ADD (K-110).

        Raises:
            OSError: EEXIST, there already; EINVAL, itself or modes that exclude each other; ELOOP, nested too deep.
        """
        if file is self:
            raise socket_error(EINVAL)
        exclusive = events & EPOLLEXCLUSIVE
        if isinstance(file, Epoll):
            if exclusive:
                raise socket_error(EINVAL)
            if file.reaches(self) or file.depth() + 1 + self.height() > _NESTS_MAX:
                raise socket_error(ELOOP)
        if exclusive and events & ~_WITH_EXCLUSIVE:
            raise socket_error(EINVAL)
        key = (fd, file)
        if key in self.entries:
            raise socket_error(EEXIST)
        entry = self.entries[key] = Entry(self, fd, file, events | ALWAYS)
        if exclusive:
            file.watch_last(entry)
        elif file.watchers is None:  # as `watch` does
            file.watchers = [entry]
        else:
            file.watch(entry)
        if file.mask() & entry.wanted:
            entry.listed = True
            self.ready[entry] = None
            if self.watchers is not None:
                self.wake(IN)

    def modify(self, fd: int, file: File, events: int) -> None:
        """EPOLL_CTL_MOD; also re-arms ONESHOT, and makes a new edge if ready."""
        if file is self or events & EPOLLEXCLUSIVE:
            raise socket_error(EINVAL)
        entry = self.entries.get((fd, file))
        if entry is None:
            raise socket_error(ENOENT)
        if entry.events & EPOLLEXCLUSIVE:
            raise socket_error(EINVAL)
        entry.want(events | ALWAYS)
        self._list_if_ready(entry)

    def unregister(self, fd: int, file: File) -> None:
        """EPOLL_CTL_DEL."""
        if file is self:
            raise socket_error(EINVAL)
        entry = self.entries.get((fd, file))
        if entry is None:
            raise socket_error(ENOENT)
        self.drop(entry)

    def drop(self, entry: Entry) -> None:
        """Forget *entry*."""
        self.entries.pop((entry.fd, entry.file), None)
        self.ready.pop(entry, None)
        entry.listed = False
        entry.file.unwatch(entry)

    def _list_if_ready(self, entry: Entry) -> None:
        if not entry.listed and entry.file.mask() & entry.wanted:
            entry.listed = True
            self.ready[entry] = None
            self.wake(IN)

    def collect(self, maxevents: int) -> list[tuple[int, int]]:
        """At most *maxevents* pairs of descriptor and events that are true now; ``ep_send_events``."""
        ready = self.ready
        found: list[tuple[int, int]] = []
        many = len(ready) > maxevents
        again: list[Entry] = []
        gone: list[Entry] = []
        for entry in ready:
            file: Any = entry.file
            # As its `mask` does.
            if file.calm and not file.slow and ((outbox := file.outbox) is None or not outbox.size):
                inbox = file.inbox
                mask = (READABLE_AND_WRITABLE if inbox is not None and inbox.size else WRITABLE) & entry.wanted
            else:
                mask = file.mask() & entry.wanted
            if not mask:
                gone.append(entry)
                continue
            found.append((entry.fd, mask))
            if entry.once:
                gone.append(entry)
                if entry.events & EPOLLONESHOT:
                    entry.want(entry.events & _MODES)  # disarmed, ERR and HUP too, until MOD
            elif many:
                again.append(entry)
            if many and len(found) == maxevents:
                break
        for entry in gone:
            entry.listed = False
            del ready[entry]
        for entry in again:  # level: to the tail, which changes nothing where all were asked
            del ready[entry]
            ready[entry] = None
        return found

    def collect_keys(self, keys: Mapping[int, Any]) -> list[tuple[Any, int]]:
        """The same of all that are ready, as `selectors` tells it: their *keys*, and events of its kind."""
        found: list[tuple[Any, int]] = []
        gone: list[Entry] = []
        for entry in self.ready:
            file: Any = entry.file
            if file.calm and not file.slow and ((outbox := file.outbox) is None or not outbox.size):  # as above
                inbox = file.inbox
                mask = (READABLE_AND_WRITABLE if inbox is not None and inbox.size else WRITABLE) & entry.wanted
            else:
                mask = file.mask() & entry.wanted
            if mask:
                key = keys.get(entry.fd)
                if key is not None:
                    found.append((key, (mask if mask == IN else events_of(mask)) & key.events))
                if entry.once:
                    gone.append(entry)
                    if entry.events & EPOLLONESHOT:
                        entry.want(entry.events & _MODES)
            else:
                gone.append(entry)
        for entry in gone:
            entry.listed = False
            del self.ready[entry]
        return found

    def rotate(self, count: int) -> int:
        """Put the first *count* (modulo how many) of those ready at the tail; how many are ready.

        Which of several comes first is nobody's promise, and a fault may choose.
        """
        ready = [entry for entry in self.ready if entry.file.mask() & entry.wanted]
        for entry in ready[: count % len(ready)] if ready else ():
            del self.ready[entry]
            self.ready[entry] = None
        return len(ready)

    def mask(self) -> int:
        """Readable while something in the set is (K-114); entries found not ready leave the list."""
        ready = self.ready
        while ready:
            entry = next(iter(ready))
            if entry.file.mask() & entry.wanted:
                return READABLE
            del ready[entry]
            entry.listed = False
        return 0

    def reaches(self, other: Epoll) -> bool:
        """Is *other* in this set, or in a set in it?"""
        return any(
            entry.file is other or (isinstance(entry.file, Epoll) and entry.file.reaches(other))
            for entry in self.entries.values()
        )

    def depth(self) -> int:
        """How many sets stand within each other, below this one."""
        return max(
            (1 + entry.file.depth() for entry in self.entries.values() if isinstance(entry.file, Epoll)), default=0
        )

    def height(self) -> int:
        """And how many above it."""
        return max((1 + each.epoll.height() for each in self.watchers or () if isinstance(each, Entry)), default=0)

    def destroy(self) -> None:
        """Forget everything."""
        for entry in list(self.entries.values()):
            self.drop(entry)


def _no_socket(_: object) -> NoReturn:
    raise socket_error(ENOTSOCK)


# What a socket asks for whose number is an epoll's by now. As properties, for a ``__getattr__`` would slow down all else.
for _name in (
    "bind",
    "connect",
    "error",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "setsockopt",
    "shutdown",
    "type",
):
    setattr(Epoll, _name, property(_no_socket))
for _name in ("counts", "text"):
    setattr(EpollName, _name, property(_no_socket))
