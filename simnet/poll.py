"""The faces of ``select.poll``, ``select.epoll`` and ``select.select`` over the simulated kernel."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from simnet import real
from simnet.arguments import MISSING, name_as_the_real_one
from simnet.faults.inject import Tag, named
from simnet.faults.place import Place
from simnet.kernel.epoll import Epoll as KernelEpoll
from simnet.kernel.epoll import EpollName
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.readiness import describe
from simnet.pipes import Pipe
from simnet.poll_arguments import (
    INT_MAX,
    c_int,
    descriptor_of,
    epoll_bits,
    epoll_limit_ns,
    look_over_epoll,
    look_over_poll,
    poll_bits,
    poll_limit_ns,
    select_limit_ns,
)
from simnet.realfiles import real_file, refuse_disk_file
from simnet.trace import CALL
from simnet.wait import running

__all__ = ["Epoll", "Poll", "select"]

IN, PRI, OUT, ERR, HUP, NVAL = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
READ_SET, WRITE_SET, EXCEPT_SET = IN | HUP | ERR, OUT | ERR, PRI  # fs/select.c
POLL_DEFAULT = IN | PRI | OUT
FD_SETSIZE = 1024
PLAIN = frozenset({int, float})
MAXEVENTS_MAX = INT_MAX // 12  # EP_MAX_EVENTS, of so many bytes each
EPOLL_CLOEXEC = 0o2000000


class _Poller:
    """What the three have in common: whose it is, waiting, faults on the report, the line in the trace."""

    __slots__ = ("_process", "_name")

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"cannot pickle 'select.{type(self).__name__}' object")

    def __init__(self, kind: str) -> None:
        scheduler = running.scheduler
        if scheduler is None:
            raise RuntimeError(f"a simulated {kind} can be made only in a process of a running network")
        self._process = process = scheduler.current
        process.pollers += 1
        self._name = f"{process.name} {kind}{process.pollers}"

    def _wait_for(
        self, look: Callable[..., list[Any]], watched: list[Any], timeout_ns: int | None, *args: Any
    ) -> list[Any]:
        """What ``look(*args)`` finds, once it finds something or *timeout_ns* have passed (``None``: no limit, 0: at once).

        Whoever waits has looked before.
        """
        scheduler = self._process.scheduler
        if timeout_ns == 0:
            scheduler.pause()
            return look(*args)
        deadline = None if timeout_ns is None else scheduler.clock.now_ns + timeout_ns
        me = scheduler.current
        for file in watched:
            if file.watchers is None:  # as `watch` does
                file.watchers = [me]
            else:
                file.watch(me)
        try:
            while scheduler.wait(("readiness of", watched), deadline):
                found = look(*args)
                if found:
                    return found
            return look(*args)
        finally:
            for file in watched:
                file.unwatch(me)

    def _report(self, found: list[Any], timeout: Any) -> None:
        """One line in the trace for what the program is told; and if it is told for ever, somebody should say so."""
        process = self._process
        scheduler = process.scheduler
        n = 0
        if found:
            machine = process.machine
            machine.polls = n = machine.polls + 1
            me = scheduler.current
            if me.told_at != scheduler.effects:
                me.told_at = scheduler.effects
                me.fruitless = 1
            elif scheduler.told_again():
                scheduler.spins(self._names(found))
        if scheduler.recording:
            names = self._names(found) if found else ()
            scheduler.trace.entries.append(
                (scheduler.clock.now_ns, CALL, process.host_name, self._name, "", "poll", n,
                 (timeout, names, timeout != 0))
            )  # fmt: skip

    def _names(self, found: list[Any]) -> tuple[str, ...]:
        """What the program is told, in words."""
        descriptors = self._process.descriptors.open
        names = []
        for fd, events in found:
            file: Any = descriptors.get(fd) or self._find(fd)
            tag = "a closed descriptor" if file is None else file.tag
            names.append(_label(tag.text, tag.end, events) if type(tag) is Tag else f"{tag} {describe(events)}")
        return tuple(names)

    def _find(self, fd: int) -> Any:
        """What *fd* is of: a simulated file, or what a simulated poller knows of the others; ``None`` if of neither."""
        process = self._process
        file = process.descriptors.open.get(fd)
        return real_file(process.scheduler, fd) if file is None else file

    def _member(self, fd: int) -> Any:
        """The same, or EBADF."""
        file = self._find(fd)
        if file is None:
            raise socket_error(errno.EBADF)
        return file

    @property
    def _faulty(self) -> bool:
        """May a fault choose what this poller reports?"""
        process = self._process
        return process.target and process.machine.fabric.injector.watches_polls

    def _choice(self, ready: int) -> tuple[int, int] | None:
        """The fault that acts on this report: how far the ready ones are turned round, and how many are kept."""
        machine = self._process.machine
        injector = machine.fabric.injector
        place = Place.host(machine.name)
        fault = injector.for_poll(place, machine.polls + 1, ready)
        if fault is None:
            return None
        injector.fire(fault, place, machine.name, "", machine.polls + 1)
        return fault.first % ready, ready if fault.keep is None else fault.keep

    def _subset(self, found: list[Any]) -> list[Any]:
        """What is left of *found* when a fault chooses. These pollers report in their own order, whoever is left."""
        choice = self._choice(len(found)) if found and self._faulty else None
        if choice is None:
            return found
        first, keep = choice
        picked = (found[first:] + found[:first])[:keep]
        return [each for each in found if each in picked]


@lru_cache(maxsize=1024)  # the same is reported again and again, of this run and the next
def _label(text: str, end: str, events: int) -> str:
    """The name of a socket, or of that end of a connection, and what was reported of it, as in ``server:7 IN``."""
    return f"{named(text, end)} {describe(events)}"


class Poll(_Poller):
    """``select.poll()``. Cost per call is O(registered), as on a kernel."""

    __slots__ = ("_wanted",)

    def __new__(cls, *_args: Any, **_named: Any) -> Poll:
        raise TypeError("cannot create 'select.poll' instances")  # but by the function of that name, as in CPython

    @classmethod
    def made(cls) -> Poll:
        """What ``select.poll()`` gives."""
        self = object.__new__(cls)
        self.__init__("poll")  # type: ignore[misc]
        self._wanted = {}
        return self

    _wanted: dict[int, int]

    def __repr__(self) -> str:
        return f"<select.poll object at {id(self):#x}>"

    def register(self, fd: Any = MISSING, eventmask: Any = POLL_DEFAULT, /, *more: Any, **named: Any) -> None:
        if fd is MISSING or more or named:
            look_over_poll("register", fd, eventmask, *more, **named)
        number, bits = descriptor_of(fd), poll_bits(eventmask)
        self._wanted[number] = bits

    def modify(self, fd: Any = MISSING, eventmask: Any = MISSING, /, *more: Any, **named: Any) -> None:
        if eventmask is MISSING or more or named:
            look_over_poll("modify", fd, eventmask, *more, **named)
        number, bits = descriptor_of(fd), poll_bits(eventmask)
        if number not in self._wanted:
            raise socket_error(errno.ENOENT)
        self._wanted[number] = bits

    def unregister(self, fd: Any = MISSING, /, *more: Any, **named: Any) -> None:
        if fd is MISSING or more or named:
            look_over_poll("unregister", fd, *more, **named)
        number = descriptor_of(fd)
        if number not in self._wanted:
            raise KeyError(number)
        del self._wanted[number]

    def poll(self, timeout: Any = None, /, *more: Any, **named: Any) -> list[tuple[int, int]]:
        if more or named:
            look_over_poll("poll", timeout, *more, **named)
        limit = poll_limit_ns(timeout)
        found = self._subset(self._look() or self._wait_for(self._look, self._files(), limit))
        self._report(found, timeout)
        return found

    def _look(self) -> list[tuple[int, int]]:
        descriptors = self._process.descriptors.open
        found = []
        for fd, wanted in self._wanted.items():
            file = descriptors.get(fd) or self._find(fd)
            if file is None:
                found.append((fd, NVAL))
                continue
            events = file.mask() & (wanted | ERR | HUP)
            if events:
                found.append((fd, events))
        return found

    def _files(self) -> list[Any]:
        return [file for fd in self._wanted if (file := self._find(fd)) is not None]


class Epoll(_Poller):
    """``select.epoll()``. Cost per call is O(ready)."""

    __slots__ = ("_asked", "_epoll", "_fd", "_limit_ns", "_pipes", "_rare", "_sleep", "_steered", "_watched")
    stands_in_for_epoll = True

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        super().__init__("epoll")
        sizehint, flags = c_int(sizehint), c_int(flags)
        if sizehint < -1 or sizehint == 0:
            raise ValueError("negative sizehint")
        if flags & ~EPOLL_CLOEXEC:
            raise OSError("invalid flags")
        self._pipes: tuple[Pipe, ...] = ()  # what nobody announces: looked at before each poll
        self._rare = False  # are there any, or is it closed?
        self._asked: Any = None  # the last plain time-out, and what it comes to
        self._limit_ns: int | None = None
        self._epoll = epoll = self._process.machine.stack.epoll()
        self._watched = [epoll]
        self._sleep = ("readiness of", self._watched)
        self._steered = self._faulty
        epoll.tag = EpollName(self._name)
        self._fd = self._process.descriptors.add(epoll)

    @classmethod
    def fromfd(cls, fd: int, /) -> Epoll:
        """A poller over an epoll descriptor that is open already."""
        self = cls.__new__(cls)
        _Poller.__init__(self, "epoll")
        fd = c_int(fd)
        file = self._process.descriptors.get(fd)
        if not isinstance(file, KernelEpoll):
            not_modelled("select.epoll.fromfd of a descriptor that is no epoll")
        self._asked = self._limit_ns = None
        self._pipes = ()
        self._rare = False
        self._epoll = file
        self._watched = [file]
        self._sleep = ("readiness of", self._watched)
        self._steered = self._faulty
        self._fd = fd
        return self

    def __repr__(self) -> str:
        return f"<select.epoll object at {id(self):#x}>"

    def __enter__(self) -> Epoll:
        if self._fd == -1:
            self._check()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) != -1 and not self._process.done:
            self.close()

    @property
    def closed(self) -> bool:
        return self._fd == -1

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        self._rare = True
        if fd != -1 and fd in self._process.descriptors:
            self._process.descriptors.close(fd)

    def fileno(self) -> int:
        if self._fd == -1:
            self._check()
        return self._fd

    def _check(self) -> None:
        process = self._process
        if process.ending and not process.done:
            process.scheduler.still_going(process)
        if self._fd == -1:
            raise ValueError("I/O operation on closed epoll object")
        if not self._epoll.refs:  # closed through another object of the same descriptor
            raise socket_error(errno.EBADF)

    def _registration(self, fd: Any, eventmask: Any) -> tuple[int, Any, int]:
        """The arguments of a registration, looked at, and what the descriptor is of; an open poller."""
        if not (fd.__class__ is eventmask.__class__ is int and 0 <= fd <= INT_MAX and 0 <= eventmask <= INT_MAX):
            fd, eventmask = descriptor_of(fd), epoll_bits(eventmask)
        if self._fd == -1 or not self._epoll.refs:
            self._check()
        return fd, self._process.descriptors.open.get(fd) or refuse_disk_file(self._member(fd)), eventmask

    def register(self, fd: Any = MISSING, eventmask: Any = POLL_DEFAULT, *more: Any) -> None:
        if fd is MISSING or more:
            look_over_epoll("register", fd, eventmask, *more)
        number, file, bits = self._registration(fd, eventmask)
        if type(file) is Pipe:
            file.notice()
            self._epoll.register(number, file, bits)
            self._pipes = (*self._pipes, file)
            self._rare = True
        else:
            self._epoll.register(number, file, bits)

    def modify(self, fd: Any = MISSING, eventmask: Any = MISSING, *more: Any) -> None:
        if fd is MISSING or eventmask is MISSING or more:
            look_over_epoll("modify", fd, eventmask, *more)
        self._epoll.modify(*self._registration(fd, eventmask))

    def unregister(self, fd: Any = MISSING, *more: Any) -> None:
        if fd is MISSING or more:
            look_over_epoll("unregister", fd, *more)
        number, file, _ = self._registration(fd, 0)
        self._epoll.unregister(number, file)
        if self._pipes:
            self._pipes = tuple(each for each in self._pipes if each is not file)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        epoll = self._epoll
        if timeout is not self._asked or maxevents.__class__ is not int:
            maxevents = self._most(timeout, maxevents)
        elif maxevents == -1:  # programs mostly ask for the same again
            maxevents = FD_SETSIZE - 1
        elif not 0 < maxevents <= MAXEVENTS_MAX:
            maxevents = self._most(timeout, maxevents)
        if self._rare:
            if self._fd == -1:
                self._check()
            for pipe in self._pipes:
                pipe.notice()
        process = self._process
        scheduler = process.scheduler
        if epoll.ready:
            found = self._chosen(maxevents) if self._steered else epoll.collect(maxevents)
            if found:
                me = scheduler.current
                if scheduler.recording or me.told_at == scheduler.effects:
                    self._report(found, timeout)
                else:  # as `_report` does
                    process.machine.polls += 1
                    me.told_at = scheduler.effects
                    me.fruitless = 1
                return found
        if not epoll.refs:
            self._check()
        found = []
        limit_ns = self._limit_ns
        look = self._chosen if self._steered else epoll.collect
        if limit_ns == 0:
            scheduler.pause()
            if epoll.ready:
                found = look(maxevents)
        elif epoll.watchers is not None:
            found = self._wait_for(look, self._watched, limit_ns, maxevents)
        else:  # as there, for one file that nobody else watches
            epoll.watchers = [me := scheduler.current]
            deadline = None if limit_ns is None else scheduler.clock.now_ns + limit_ns
            try:
                while scheduler.wait(self._sleep, deadline):
                    found = look(maxevents)
                    if found:
                        break
                else:
                    found = look(maxevents)
            finally:
                watchers = epoll.watchers
                if watchers is not None and len(watchers) == 1 and watchers[0] is me:
                    epoll.watchers = None
                else:
                    epoll.unwatch(me)
        if found or scheduler.recording:
            self._report(found, timeout)
        return found

    def _most(self, timeout: Any, maxevents: Any) -> int:
        """How many a poll may report, and ``_limit_ns``, how long it may take, of arguments that are not those of the last
        one; what is wrong with them is told in C's order.
        """
        most: int = c_int(maxevents)
        if self._fd == -1:
            self._check()
        whole = timeout.__class__ is int and -1 <= timeout <= 0  # asyncio asks for the one and the other in turn
        self._limit_ns = (None if timeout else 0) if whole else epoll_limit_ns(timeout)
        self._asked = timeout if whole or timeout is None or timeout.__class__ in PLAIN else MISSING
        if 0 < most <= MAXEVENTS_MAX:
            return most
        if most == -1:
            return FD_SETSIZE - 1
        if most > 0:
            raise socket_error(errno.EINVAL)
        raise ValueError(f"maxevents must be greater than 0, got {most}")

    def _chosen(self, maxevents: int) -> list[tuple[int, int]]:
        """What is reported when a fault may choose: the rest stays in the ready list, so that no wake-up is lost."""
        epoll = self._epoll
        ready = epoll.rotate(0)
        choice = self._choice(ready) if ready else None
        if choice is not None:
            epoll.rotate(choice[0])
            maxevents = min(maxevents, choice[1])
        found: list[tuple[int, int]] = epoll.collect(maxevents)
        return found


name_as_the_real_one(Poll, like=type(real.poll()))
name_as_the_real_one(Epoll, like=real.epoll)


class _Select(_Poller):
    """One call of ``select.select``."""

    __slots__ = ("sets",)

    def __init__(self) -> None:
        super().__init__("select")
        self._process.pollers -= 1
        self._name = f"{self._process.name} select"
        self.sets: list[list[tuple[int, Any]]] = []

    def look(self) -> list[tuple[int, int, Any]]:
        found = []
        for which, (events, members) in enumerate(zip((READ_SET, WRITE_SET, EXCEPT_SET), self.sets, strict=True)):
            found += [(which, fd, each) for fd, each in members if self._member(fd).mask() & events]
        return found

    def files(self) -> list[Any]:
        once = {fd: self._member(fd) for members in self.sets for fd, _ in members}
        return list(once.values())

    def _names(self, found: list[tuple[int, int, Any]]) -> tuple[str, ...]:
        return super()._names([(fd, (IN, OUT, PRI)[which]) for which, fd, _ in found])


def _members(things: Any, base: int) -> list[tuple[int, Any]]:
    """The descriptors of *things*, counted from 0 or *base* all below FD_SETSIZE, and what they are descriptors of."""
    if not isinstance(things, list):  # a list may change while it is walked, by what a fileno() does
        try:
            things = list(things)
        except TypeError:
            raise TypeError("arguments 1-3 must be sequences") from None
    members: list[tuple[int, Any]] = []
    for each in things:
        fd = descriptor_of(each)
        if (fd - base if fd >= base else fd) >= FD_SETSIZE:
            raise ValueError("filedescriptor out of range in select()")
        if len(members) >= FD_SETSIZE:
            raise ValueError("too many file descriptors in select()")
        members.append((fd, each))
    return members


def select(rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None) -> tuple[list[Any], list[Any], list[Any]]:
    """``select.select``: the arguments that are ready, in their order, duplicates included.

    Raises:
        ValueError: a descriptor of a closed object, or of an index that does not fit FD_SETSIZE.
        OSError: EBADF, a number that is not open.
    """
    limit = select_limit_ns(timeout)
    call = _Select()
    base = call._process.descriptors.base
    call.sets = [_members(each, base) for each in (rlist, wlist, xlist)]
    found = call._subset(call.look() or call._wait_for(call.look, call.files(), limit))
    call._report(found, timeout)
    ready: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for which, _, each in found:
        ready[which].append(each)
    return ready
