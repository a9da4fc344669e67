"""The faces of ``select.poll`` and ``select.select`` over the simulated kernel, and what they share with ``select.epoll``."""

from __future__ import annotations

import errno
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from simnet import real
from simnet.arguments.polls import (
    descriptor_of,
    look_over_poll,
    poll_bits,
    poll_limit_ns,
    select_limit_ns,
)
from simnet.arguments.sockets import MISSING, name_as_the_real_one
from simnet.faults.inject import Tag, named
from simnet.faults.place import Place
from simnet.files.madebefore import unknown, unknown_to
from simnet.files.realfiles import real_file
from simnet.kernel.descriptors import STANDARD
from simnet.kernel.errors import socket_error
from simnet.kernel.readiness import ERR, HUP, IN, NVAL, OUT, PRI, describe
from simnet.process import DESCRIPTORS_A_PROCESS, FIRST_DESCRIPTOR
from simnet.trace import CALL
from simnet.wait import running

__all__ = ["Poll", "Poller", "select"]

READ_SET, WRITE_SET, EXCEPT_SET = IN | HUP | ERR, OUT | ERR, PRI  # fs/select.c
POLL_DEFAULT = IN | PRI | OUT
FD_SETSIZE = 1024
TABLE_MIN = 256  # a process's table of descriptors has as many places under a shell, or twice or four times as many


class Poller:
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
        deadline = None
        if timeout_ns is not None:
            now_ns = scheduler.clock.now_ns
            deadline = now_ns + timeout_ns
            if deadline / 1e9 - now_ns / 1e9 < timeout_ns / 1e9:
                deadline += 1  # as `deadline_after`
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
                if file.watchers is not None and file.has_no_name():  # nobody names it any more but this call
                    file.let_go()
                    self._process.machine.flush()

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
            elif scheduler.told_again(timeout != 0):
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
            names.append(label(tag, events) if type(tag) is Tag else f"{tag} {describe(events)}")
        return tuple(names)

    def _find(self, fd: int) -> Any:
        """What *fd* is of: a simulated file, or what a simulated poller knows of the others; ``None`` if of neither."""
        process = self._process
        file = process.descriptors.open.get(fd)
        if file is not None:
            return file
        if fd < FIRST_DESCRIPTOR:
            return real_file(process.scheduler, fd)
        return process.holder_of(fd).descriptors.open.get(fd)

    def _member(self, fd: int) -> Any:
        """The same, or EBADF."""
        file = self._find(fd)
        if file is None:
            process = self._process
            raise unknown(fd) if fd < FIRST_DESCRIPTOR else unknown_to(process, process.scheduler.current)
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


def label(tag: Tag, events: int) -> str:
    """The name of a socket, or of that end of a connection, and what was reported of it, as in ``server:7 IN``.

    The same is reported again and again: the tag keeps it.
    """
    tag.told = told = (events, _label(tag.text, tag.end, events))
    return told[1]


@lru_cache(maxsize=1024)  # and of the next run as well
def _label(text: str, end: str, events: int) -> str:
    return f"{named(text, end)} {describe(events)}"


class Poll(Poller):
    """``select.poll()``. Cost per call is O(registered), as on a kernel."""

    __slots__ = ("_waits", "_wanted")

    def __new__(cls, *_args: Any, **_named: Any) -> Poll:
        raise TypeError("cannot create 'select.poll' instances")  # but by the function of that name, as in CPython

    def __init_subclass__(cls) -> None:
        raise TypeError("type 'select.poll' is not an acceptable base type")

    @classmethod
    def made(cls) -> Poll:
        """What ``select.poll()`` gives."""
        self = object.__new__(cls)
        self.__init__("poll")  # type: ignore[misc]
        self._wanted = {}
        self._waits = False
        return self

    _wanted: dict[int, int]  # who waits goes by the one there was: meanwhile it is not changed, but replaced
    _waits: bool

    def __repr__(self) -> str:
        return f"<select.poll object at {id(self):#x}>"

    def register(self, fd: Any = MISSING, eventmask: Any = POLL_DEFAULT, /, *more: Any, **named: Any) -> None:
        if fd is MISSING or more or named:
            look_over_poll("register", fd, eventmask, *more, **named)
        number, bits = descriptor_of(fd), poll_bits(eventmask)
        if self._waits:
            self._wanted = self._wanted.copy()
        self._wanted[number] = bits

    def modify(self, fd: Any = MISSING, eventmask: Any = MISSING, /, *more: Any, **named: Any) -> None:
        if eventmask is MISSING or more or named:
            look_over_poll("modify", fd, eventmask, *more, **named)
        number, bits = descriptor_of(fd), poll_bits(eventmask)
        if number not in self._wanted:
            raise socket_error(errno.ENOENT)
        if self._waits:
            self._wanted = self._wanted.copy()
        self._wanted[number] = bits

    def unregister(self, fd: Any = MISSING, /, *more: Any, **named: Any) -> None:
        if fd is MISSING or more or named:
            look_over_poll("unregister", fd, *more, **named)
        number = descriptor_of(fd)
        if number not in self._wanted:
            raise KeyError(number)
        if self._waits:
            self._wanted = self._wanted.copy()
        del self._wanted[number]

    def poll(self, timeout: Any = None, /, *more: Any, **named: Any) -> list[tuple[int, int]]:
        if more or named:
            look_over_poll("poll", timeout, *more, **named)
        limit = poll_limit_ns(timeout)
        if self._waits:
            raise RuntimeError("concurrent poll() invocation")
        me = self._process.scheduler.current
        if me.descriptors is not self._process.descriptors:
            self._process = me  # it has but numbers, which are whose who asks
        wanted = self._wanted
        found = self._look(wanted)
        if not found:
            self._waits = True
            try:
                found = self._wait_for(self._look, self._files(), limit, wanted)
            finally:
                self._waits = False
        found = self._subset(found)
        self._report(found, timeout)
        return found

    def _look(self, registered: dict[int, int]) -> list[tuple[int, int]]:
        descriptors = self._process.descriptors.open
        found = []
        for fd, wanted in registered.items():
            file = descriptors.get(fd) or self._find(fd)
            if file is None:
                if len(registered) > self._process.descriptors.limit + STANDARD:
                    raise socket_error(errno.EINVAL)  # more numbers than there can be files
                found.append((fd, NVAL))
                continue
            events = file.mask() & (wanted | ERR | HUP)
            if events:
                found.append((fd, events))
        return found

    def _files(self) -> list[Any]:
        return [file for fd in self._wanted if (file := self._find(fd)) is not None]


name_as_the_real_one(Poll, like=type(real.poll()))


class _Select(Poller):
    """One call of ``select.select``."""

    __slots__ = ("handlers", "sets")

    def __init__(self) -> None:
        super().__init__("select")
        self._process.pollers -= 1
        self._name = f"{self._process.name} select"
        self.sets: list[list[tuple[int, Any]]] = []
        self.handlers = self._process.scheduler.current.handlers

    def goes_on(self) -> None:
        """Of a program that has been told to end, whose descriptors are closed, it is one of its last calls."""
        process = self._process
        if process.ending:
            process.scheduler.still_going(process)

    def look(self) -> list[tuple[int, int, Any]]:
        found = []
        for which, (events, members) in enumerate(zip((READ_SET, WRITE_SET, EXCEPT_SET), self.sets, strict=True)):
            found += [(which, fd, each) for fd, each in members if self._member(fd).mask() & events]
        return found

    def look_again(self) -> list[tuple[int, int, Any]]:
        """The same for who has waited: what was closed meanwhile is ready in every set, as POLLNVAL is.

        After a signal Python asks anew, and hears EBADF.
        """
        if self._process.scheduler.current.handlers != self.handlers:
            return self.look()
        found = []
        for which, (events, members) in enumerate(zip((READ_SET, WRITE_SET, EXCEPT_SET), self.sets, strict=True)):
            for fd, each in members:
                file = self._find(fd)
                if file is None or file.mask() & events:
                    found.append((which, fd, each))
        return found

    def files(self) -> list[Any]:
        once = {fd: self._member(fd) for members in self.sets for fd, _ in members}
        return list(once.values())

    def set_aside(self) -> list[list[tuple[int, Any]]]:
        """Take out what lies beyond the table of descriptors, where the kernel does not look. The sets with it, if there is any."""
        every = self.sets
        if not any(TABLE_MIN <= fd < FD_SETSIZE for members in every for fd, _ in members):
            return []
        self.sets = [[each for each in members if not self._beyond(each[0])] for members in every]
        return every if self.sets != every else []

    def _beyond(self, fd: int) -> bool:
        descriptors = self._process.descriptors
        size = TABLE_MIN
        while size <= max(descriptors.open, default=0) - descriptors.base:
            size *= 2
        return size <= fd < FD_SETSIZE and self._find(fd) is None

    def with_those(self, every: list[list[tuple[int, Any]]], found: list[tuple[int, int, Any]]) -> Any:
        """What is ready, and what was set aside: of that the kernel leaves the bits as they are."""
        told = {(which, fd) for which, fd, _ in found}
        return tuple(
            [
                each
                for fd, each in members
                if (which, fd) in told or (which, fd) not in {(which, seen) for seen, _ in kept}
            ]
            for which, (members, kept) in enumerate(zip(every, self.sets, strict=True))
        )

    def _names(self, found: list[tuple[int, int, Any]]) -> tuple[str, ...]:
        return super()._names([(fd, (IN, OUT, PRI)[which]) for which, fd, _ in found])


def _members(things: Any) -> list[tuple[int, Any]]:
    """The descriptors of *things*, counted from where their process begins all below FD_SETSIZE, and what they are of."""
    if not isinstance(things, list):  # a list may change while it is walked, by what a fileno() does
        try:
            things = list(things)
        except TypeError:
            raise TypeError("arguments 1-3 must be sequences") from None
    members: list[tuple[int, Any]] = []
    for each in things:
        fd = descriptor_of(each)
        if ((fd - FIRST_DESCRIPTOR) % DESCRIPTORS_A_PROCESS if fd >= FIRST_DESCRIPTOR else fd) >= FD_SETSIZE:
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
    call.goes_on()
    call.sets = [_members(each) for each in (rlist, wlist, xlist)]
    beyond = call.set_aside()
    found = call._subset(call.look() or call._wait_for(call.look_again, call.files(), limit))
    call._report(found, timeout)
    ready: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for which, _, each in found:
        ready[which].append(each)
    return call.with_those(beyond, found) if beyond else ready
