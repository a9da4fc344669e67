"""The face of ``select.epoll`` over the simulated kernel, and how ``selectors`` asks it."""

from __future__ import annotations

import errno
import math
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from simnet import real
from simnet.arguments.polls import MS, PLAIN_SECONDS, c_int, descriptor_of, epoll_bits, epoll_limit_ns, look_over_epoll
from simnet.arguments.sockets import MISSING, name_as_the_real_one
from simnet.faults.inject import Tag
from simnet.files.ended import OVER, outlived
from simnet.files.pipes import Pipe
from simnet.files.realfiles import refuse_disk_file
from simnet.kernel.epoll import Alone, EpollName, events_of
from simnet.kernel.epoll import Epoll as KernelEpoll
from simnet.kernel.errors import socket_error
from simnet.kernel.options.values import INT_MAX
from simnet.kernel.readiness import IN
from simnet.poll import FD_SETSIZE, POLL_DEFAULT, Poller, label
from simnet.trace import CALL

__all__ = ["Epoll", "select_by_epoll"]

PLAIN = frozenset({int, float})
MAXEVENTS_MAX = INT_MAX // 12  # EP_MAX_EVENTS, of so many bytes each
OF_AN_EXIT = 3  # arguments
CLOSED: list[Any] = [None]
EPOLL_CLOEXEC = 0o2000000


class _NoEpoll:
    """What stands behind a poller that was made of a descriptor of something else."""

    ready = refs = ()
    rare = (None,)


class Epoll(Poller):
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
        self._asked: Any = None  # the last plain time-out, and what it comes to
        self._limit_ns: int | None = None
        self._look_at(epoll := self._process.machine.stack.epoll())
        self._steered = self._faulty
        epoll.tag = EpollName(self._name)
        self._fd = self._process.descriptors.add(epoll)

    @classmethod
    def fromfd(cls, *given: Any, **named: Any) -> Epoll:
        """A poller over a descriptor, which is an epoll's or says otherwise when it is asked; -1 asks for a new one."""
        if len(given) != 1 or named:
            look_over_epoll("fromfd", *given, **named)
        fd = c_int(given[0])
        if fd == -1:
            return cls()
        if fd < 0:
            raise socket_error(errno.EBADF)
        self = cls.__new__(cls)
        Poller.__init__(self, "epoll")
        file: Any = self._find(fd)
        self._asked = self._limit_ns = None
        self._look_at(file if isinstance(file, KernelEpoll) else _NoEpoll())
        self._steered = self._faulty
        self._fd = fd
        return self

    def _look_at(self, epoll: Any) -> None:
        """From now on its number is of *epoll*, whose pipes others know."""
        self._pipes = ()
        self._epoll = epoll
        self._rare = epoll.rare  # does a poll look at pipes, or after its number?
        self._watched = Alone((epoll,))
        self._sleep = ("readiness of", self._watched)

    def __repr__(self) -> str:
        return f"<select.epoll object at {id(self):#x}>"

    def __enter__(self, *none: Any, **named: Any) -> Epoll:
        if none or named:
            look_over_epoll("__enter__", *none, **named)
        if self._fd == -1:
            self._check()
        return self

    def __exit__(self, *exception: object, **named: Any) -> None:
        if named or len(exception) > OF_AN_EXIT:
            look_over_epoll("__exit__", *exception, **named)
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) != -1 and not self._process.done:
            self.close()

    @property
    def closed(self) -> bool:
        return self._fd == -1

    def close(self, *none: Any) -> None:
        if none:
            look_over_epoll("close", *none)
        fd, self._fd = self._fd, -1
        self._rare = CLOSED
        if fd != -1 and fd in self._process.descriptors:
            self._process.descriptors.close(fd)

    def fileno(self, *none: Any) -> int:
        if none:
            look_over_epoll("fileno", *none)
        if self._fd == -1:
            self._check()
        return self._fd

    def _check(self) -> None:
        process = self._process
        if process.ending and not process.done:
            process.scheduler.still_going(process)
        if self._fd == -1:
            raise ValueError("I/O operation on closed epoll object")
        if process.scheduler is OVER:
            raise outlived("pollers")
        file: Any = self._process.descriptors.open.get(self._fd)
        if file is not self._epoll:  # closed by its number or through another object; what is there now is asked
            file = self._find(self._fd)
            if not isinstance(file, KernelEpoll):
                raise socket_error(errno.EBADF if file is None else errno.EINVAL)
            self._look_at(file)

    def _registration(self, fd: Any, eventmask: Any) -> tuple[int, Any, int]:
        """The arguments of a registration, looked at, and what the descriptor is of; an open poller."""
        if not (fd.__class__ is eventmask.__class__ is int and 0 <= fd <= INT_MAX and 0 <= eventmask <= INT_MAX):
            fd, eventmask = descriptor_of(fd), epoll_bits(eventmask)
        if self._rare:
            self._check()
        return fd, self._process.descriptors.open.get(fd) or refuse_disk_file(self._member(fd)), eventmask

    def register(self, fd: Any = MISSING, eventmask: Any = POLL_DEFAULT, *more: Any, **named: Any) -> None:
        if fd is MISSING or more or named:
            given = () if eventmask is POLL_DEFAULT and not more else (eventmask, *more)
            look_over_epoll("register", fd, *given, **named)
        number, file, bits = self._registration(fd, eventmask)
        if type(file) is Pipe:
            file.notice()
            self._epoll.register(number, file, bits)
            self._pipes = (*self._pipes, file)
            self._rare.append(file)
            pipes = self._process.scheduler.pipes
            assert pipes is not None
            pipes.watched(file)
        else:
            self._epoll.register(number, file, bits)

    def register_socket(self, fd: int, eventmask: int) -> None:
        """The same of numbers that are right, for `selectors`."""
        file: Any = self._process.descriptors.open.get(fd)
        if file is None or type(file) is Pipe or self._rare:
            self.register(fd, eventmask)
        else:
            self._epoll.register(fd, file, eventmask)

    def modify(self, fd: Any = MISSING, eventmask: Any = MISSING, *more: Any, **named: Any) -> None:
        if fd is MISSING or eventmask is MISSING or more or named:
            look_over_epoll("modify", fd, eventmask, *more, **named)
        number, file, bits = self._registration(fd, eventmask)
        if type(file) is Pipe:
            file.notice()
        self._epoll.modify(number, file, bits)

    def unregister(self, fd: Any = MISSING, *more: Any, **named: Any) -> None:
        if fd is MISSING or more or named:
            look_over_epoll("unregister", fd, *more, **named)
        number, file, _ = self._registration(fd, 0)
        self._epoll.unregister(number, file)
        if file in self._pipes:
            at = self._pipes.index(file)  # there may be another number of it
            self._pipes = self._pipes[:at] + self._pipes[at + 1 :]

    def poll(self, timeout: float | None = None, maxevents: int = -1, *more: Any) -> list[tuple[int, int]]:
        epoll = self._epoll
        if more:
            look_over_epoll("poll", timeout, maxevents, *more)
        if timeout is not self._asked or maxevents.__class__ is not int:
            maxevents = self._most(timeout, maxevents)
        elif maxevents == -1:  # programs mostly ask for the same again
            maxevents = FD_SETSIZE - 1
        elif not 0 < maxevents <= MAXEVENTS_MAX:
            maxevents = self._most(timeout, maxevents)
        if self._rare:
            self._check()
            epoll = self._epoll
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
        found = self._later(self._limit_ns, self._chosen if self._steered else epoll.collect, maxevents)
        if found or scheduler.recording:
            self._report(found, timeout)
        return found

    def _later(self, limit_ns: int | None, look: Callable[[Any], list[Any]], asked: Any) -> list[Any]:
        """What *look*, of what is *asked*, finds once somebody has woken who waits here, or *limit_ns* have passed. Whoever
        waits has looked before.
        """
        epoll = self._epoll
        scheduler = self._process.scheduler
        if limit_ns == 0:
            scheduler.pause()
            return look(asked) if epoll.ready else []
        if epoll.watchers is not None:
            return self._wait_for(look, self._watched, limit_ns, asked)
        epoll.watchers = [me := scheduler.current]  # as there, for one file that nobody else watches
        deadline = None
        if limit_ns is not None:
            now_ns = scheduler.clock.now_ns
            deadline = now_ns + limit_ns
            if deadline / 1e9 - now_ns / 1e9 < limit_ns / 1e9:
                deadline += 1  # as `deadline_after`
        handlers = me.handlers
        try:
            while scheduler.wait(self._sleep, deadline):
                found = look(asked)
                if found:
                    return found
                if self._rare and me.handlers != handlers:
                    self._ask_anew()
            return look(asked) if epoll.ready else []
        finally:
            watchers = epoll.watchers
            if watchers is not None and len(watchers) == 1 and watchers[0] is me:
                epoll.watchers = None
            else:
                epoll.unwatch(me)
                if epoll.has_no_name():
                    epoll.let_go()

    def _ask_anew(self) -> None:
        """A signal has ended the kernel's call, and Python makes another, of a number that its handler may have closed."""
        if self._fd not in self._process.descriptors.open:
            raise socket_error(errno.EBADF)

    def _report_keys(
        self, found: list[tuple[int, int]], timeout: Any, keys: Mapping[int, Any]
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """As `_report`, and *found* as a selector tells it, of its *keys*; in one look, for a run that is recorded."""
        process = self._process
        scheduler = process.scheduler
        told: list[tuple[selectors.SelectorKey, int]] = []
        names: list[str] = []
        n = 0
        if found:
            machine = process.machine
            machine.polls = n = machine.polls + 1
            descriptors = process.descriptors.open
            for fd, mask in found:
                file: Any = descriptors.get(fd)
                tag = None if file is None else file.tag
                if type(tag) is Tag:
                    names.append(tag.told[1] if tag.told[0] == mask else label(tag, mask))
                else:
                    names += self._names([(fd, mask)])
                key = keys.get(fd)
                if key is not None:
                    told.append((key, (mask if mask == IN else events_of(mask)) & key.events))
            me = scheduler.current
            if me.told_at != scheduler.effects:
                me.told_at = scheduler.effects
                me.fruitless = 1
            elif scheduler.told_again(timeout != 0):
                scheduler.spins(tuple(names))
        asked = -1 if timeout is None else _whole_ms(timeout)
        scheduler.trace.entries.append(
            (
                scheduler.clock.now_ns,
                CALL,
                process.host_name,
                self._name,
                "",
                "poll",
                n,
                (asked, tuple(names), asked != 0),
            )
        )
        return told

    def _most(self, timeout: Any, maxevents: Any) -> int:
        """How many a poll may report, and ``_limit_ns``, how long it may take, of arguments that are not those of the last
        one; what is wrong with them is told in C's order.
        """
        most: int = maxevents if maxevents.__class__ is int and -1 <= maxevents <= MAXEVENTS_MAX else c_int(maxevents)
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


name_as_the_real_one(Epoll, like=real.epoll)


def select_by_epoll(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """``EpollSelector.select``: of a simulated epoll what the library's own gives, in one look instead of three; of others *otherwise*.

    asyncio and all who use `selectors` are here once for each event, or bunch of them.
    """

    def select(self: Any, timeout: Any = None) -> list[tuple[selectors.SelectorKey, int]]:
        poller = self._selector
        if poller.__class__ is not Epoll:
            return otherwise(self, timeout)  # type: ignore[no-any-return]
        epoll = poller._epoll
        ready = epoll.ready
        keys = self._fd_to_key
        scheduler = poller._process.scheduler
        found: list[Any]
        if not (
            (timeout is None or timeout <= PLAIN_SECONDS)
            and not (poller._rare or poller._steered)
            and len(epoll.entries) == len(keys)  # else some were registered past the selector
        ):
            try:
                found = poller.poll(-1 if timeout is None else _whole_ms(timeout), len(keys) or 1)
            except InterruptedError:
                return []
            return [
                (key, (mask if mask == IN else events_of(mask)) & key.events)
                for fd, mask in found
                if (key := keys.get(fd)) is not None
            ]
        recording = scheduler.recording
        found = []
        look: Callable[[Any], list[Any]]
        look, asked = (epoll.collect, len(keys) or 1) if recording else (epoll.collect_keys, keys)
        try:
            if ready:
                found = look(asked)
            if not found:
                if timeout is None:
                    found = poller._later(None, look, asked)
                elif timeout > 0:
                    limit_ns = -(-math.ceil(_whole_ms(timeout) * 1e9) // MS) * MS  # as `epoll_limit_ns` has it
                    found = poller._later(limit_ns, look, asked)
                else:  # asyncio looks for news between two turns
                    scheduler.pause()
                    if ready:
                        found = look(asked)
        except InterruptedError:
            return []
        if recording:
            return poller._report_keys(found, timeout, keys)
        if found:  # as `_report` does
            me = scheduler.current
            poller._process.machine.polls += 1
            if me.told_at != scheduler.effects:
                me.told_at = scheduler.effects
                me.fruitless = 1
            elif scheduler.told_again(timeout != 0):
                scheduler.spins(poller._names(epoll.collect(FD_SETSIZE)))
        return found

    return select


def _whole_ms(timeout: Any) -> Any:
    """*timeout* in whole milliseconds, rounded up, as a selector asks.

    Of what is left of 100 ms by two exact clocks, which are no round numbers of binary, 100; on a machine something has
    passed between them.
    """
    return 0 if timeout <= 0 else (math.ceil(timeout * 1e3 - 5e-7) or 1) * 1e-3
