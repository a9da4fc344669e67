"""``select.select``, ``select.poll`` and ``select.epoll`` on a real kernel: the kernel's own, waited for in stoppable waits.

The answer is the kernel's, except for two things: an end that is not under test may be shown less than its kernel has (see
`Stream.allowed`), and a target's poll may report only a part of what is ready (`wake`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from simnet import real
from simnet.arguments.polls import descriptor_of, epoll_limit_ns, poll_limit_ns, select_limit_ns
from simnet.arguments.sockets import iterable
from simnet.faults.place import Place
from simnet.kernel.epoll import EPOLLET, EPOLLONESHOT
from simnet.kernel.readiness import ERR, HUP, IN, NVAL, OUT, PRI
from simnet.realnet import gates
from simnet.realnet.connection import Gate
from simnet.realnet.process import RealProcess
from simnet.trace import CALL

__all__ = ["RealEpoll", "RealPoll", "select"]

BITS = {IN: "IN", PRI: "PRI", OUT: "OUT", ERR: "ERR", HUP: "HUP", NVAL: "NVAL"}
LOOK = 0.001  # seconds between two looks while an end is shown less than its kernel has

T = TypeVar("T")


class _Poller:
    """What the three have in common."""

    def __init__(self, process: RealProcess, kind: str) -> None:
        self.process = process
        process.pollers += 1
        self.name = f"{process.name} {kind}{process.pollers}"

    def waited(
        self, look: Callable[[], list[T]], wait: Callable[[int | None], object], limit_ns: int | None
    ) -> list[T]:
        """What *look* finds, once it finds something or *limit_ns* have passed."""
        process = self.process
        process.look_up()
        clock = process.stage.clock
        found = look()
        if found:
            return found
        if limit_ns == 0:
            process.looked()
            return look()
        deadline = None if limit_ns is None else clock.now_ns + limit_ns
        while True:
            told = wait(deadline)
            found = look()
            if found:
                return found
            if deadline is not None and clock.now_ns >= deadline:
                if told != []:  # else the process has written it down
                    process.timed_out(f"readiness of {self.name}", limit_ns or 0)
                return found
            # poll(2) has told of what this one was not asked for: a hang-up, of which select(2) says nothing.
            self._doze(deadline)

    def wait_for(self, fd: int, look: Callable[[], list[T]], limit_ns: int | None) -> list[T]:
        """The same for one descriptor that says whether *look* would find something."""
        process = self.process

        def wait(deadline: int | None) -> Any:
            if process.stage.tampered:
                return self._doze(deadline)
            return process.wait(f"readiness of {self.name}", [(fd, IN)], deadline)

        return self.waited(look, wait, limit_ns)

    def _doze(self, deadline: int | None) -> None:
        """The kernel's word is not enough now: wait a moment, and look again."""
        process = self.process
        with process.waiting(f"readiness of {self.name}", deadline):
            process.look_up()
            real.sleep(LOOK)
            process.stage.let_act()

    def shown(self, fd: int, bits: int, asked: int) -> int:
        """What a program is told of *fd*, of which the kernel says *bits*."""
        file = self.process.stage.files.get(fd)
        return bits if file is None or bits & NVAL else gates.shown(file, bits, asked)

    def report(self, found: list[T], label: Callable[[T], str], timeout: Any, ordered: bool) -> list[T]:
        """The report as the program gets it: faulted, counted, recorded."""
        process, stage = self.process, self.process.stage
        n = 0
        if found:
            process.machine.polls += 1
            n = process.machine.polls
            if process.target and stage.injector.watches_polls:
                found = self._subset(found, n, ordered)
            process.reported(lambda: ", ".join(map(label, found[:4])))
        labels = tuple(map(label, found))
        stage.trace.entries.append(
            (stage.clock.now_ns, CALL, process.host_name, self.name, "", "poll", n, (timeout, labels, timeout != 0))
        )
        return found

    def _subset(self, found: list[T], n: int, ordered: bool) -> list[T]:
        place = Place.host(self.process.host_name)
        fault = self.process.stage.injector.for_poll(place, n, len(found))
        if fault is None:
            return found
        first = fault.first % len(found)
        picked = (found[first:] + found[:first])[: fault.keep]
        self.process.stage.fire(fault, place, self.process.host_name, "", n)
        return picked if ordered else [each for each in found if each in picked]

    def label(self, fd: int, bits: int) -> str:
        """One descriptor and its readiness, as in ``server:7 IN``."""
        file = self.process.stage.files.get(fd)
        words = "|".join(word for bit, word in BITS.items() if bits & bit)
        return f"{file.tag.name if file is not None else f'descriptor {fd}'} {words}"


class RealPoll(_Poller):
    """``select.poll()`` of a process."""

    def __init__(self, process: RealProcess) -> None:
        super().__init__(process, "poll")
        self._poll = real.poll()
        self._asked: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = IN | PRI | OUT, /) -> None:
        self._poll.register(fd, eventmask)
        self._asked[descriptor_of(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        self._poll.modify(fd, eventmask)
        self._asked[descriptor_of(fd)] = eventmask

    def unregister(self, fd: Any, /) -> None:
        self._poll.unregister(fd)
        self._asked.pop(descriptor_of(fd), None)

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        def look() -> list[tuple[int, int]]:
            answers = dict(self._poll.poll(0))
            if self.process.stage.tampered:
                answers = {fd: answers.get(fd, 0) for fd in self._asked}
            told = [(fd, self.shown(fd, bits, self._asked.get(fd, 0))) for fd, bits in answers.items()]
            return [(fd, bits) for fd, bits in told if bits]

        def wait(deadline: int | None) -> Any:
            if self.process.stage.tampered:
                return self._doze(deadline)
            return self.process.wait(f"readiness of {self.name}", list(self._asked.items()), deadline)

        return self.report(
            self.waited(look, wait, poll_limit_ns(timeout)), lambda pair: self.label(*pair), timeout, False
        )


class RealEpoll(_Poller):
    """``select.epoll()`` of a process."""

    stands_in_for_epoll = True

    def __init__(self, process: RealProcess, sizehint: int = -1, flags: int = 0) -> None:
        super().__init__(process, "epoll")
        self._epoll = real.epoll(sizehint, flags)
        self._asked: dict[int, int] = {}
        # Asked for membership only: those asked for once, that were told; and those by the edge, told of what the kernel does not say.
        self._spent: set[int] = set()
        self._ahead: set[int] = set()
        self._owed: dict[int, Gate | None] = {}
        process.epolls.add(self)

    def __enter__(self) -> RealEpoll:
        self._epoll.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._epoll.closed

    def close(self) -> None:
        self._epoll.close()

    def fileno(self) -> int:
        return self._epoll.fileno()

    def register(self, fd: Any, eventmask: int = IN | PRI | OUT) -> None:
        self._epoll.register(fd, eventmask)
        self._ask(descriptor_of(fd), eventmask)

    def modify(self, fd: Any, eventmask: int) -> None:
        self._epoll.modify(fd, eventmask)
        self._ask(descriptor_of(fd), eventmask)

    def _ask(self, number: int, eventmask: int) -> None:
        self._asked[number] = eventmask
        self._spent.discard(number)
        self._ahead.discard(number)
        self._owed.pop(number, None)

    def unregister(self, fd: Any) -> None:
        self._epoll.unregister(fd)
        self._asked.pop(descriptor_of(fd), None)

    def rearm(self, fd: int) -> None:
        """Let an edge-triggered registration of *fd* be reported once more, unless it was for once and has been."""
        asked = self._asked.get(fd, 0)
        if fd in self._spent:
            return
        self._ahead.discard(fd)
        if asked & (EPOLLET | EPOLLONESHOT) and not self.closed:
            try:
                self._epoll.modify(fd, asked)
            except OSError:
                pass  # closed and forgotten by the kernel

    def owe(self, fd: int) -> None:
        """What the kernel has told of *fd*, and does not tell again, is hidden as long as the gate stands that is the first now."""
        file = self.process.stage.files.get(fd)
        if file is not None and file.into is not None and self._asked.get(fd, 0) & (EPOLLET | EPOLLONESHOT):
            self._owed[fd] = file.into.gate

    def _pay(self) -> None:
        for fd, gate in list(self._owed.items()):
            if not gates.stands(self.process.stage.files.get(fd), gate):
                del self._owed[fd]
                self.rearm(fd)

    def _tell_more(self, told: dict[int, int], maxevents: int) -> None:
        """What descriptors have, of which the kernel says nothing; once, where they are asked for by the edge."""
        for fd, asked in list(self._asked.items()):
            file = self.process.stage.files.get(fd)
            if fd in told or fd in self._spent or fd in self._ahead or len(told) == maxevents:
                continue
            if file is None or file.severed:  # of that the kernel tells by itself
                continue
            if bits := self.shown(fd, 0, asked):
                told[fd] = bits
                if asked & EPOLLET:
                    self._ahead.add(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        def look() -> list[tuple[int, int]]:
            self._pay()
            # Of those asked for once some were told before the kernel knew.
            answers = [(fd, bits) for fd, bits in self._epoll.poll(0, maxevents) if fd not in self._spent]
            told = {fd: self.shown(fd, bits, self._asked.get(fd, 0)) for fd, bits in answers}
            for fd, bits in answers:
                self._ahead.discard(fd)
                if bits & ~told[fd]:
                    self.owe(fd)
            if self.process.stage.tampered:
                self._tell_more(told, maxevents)
            return [(fd, bits) for fd, bits in told.items() if bits]

        fd = self._epoll.fileno()  # ValueError if it is closed
        found = self.wait_for(fd, look, epoll_limit_ns(timeout))
        told = self.report(found, lambda pair: self.label(*pair), timeout, True)
        if len(told) < len(found):
            for fd, _ in found:
                if all(fd != shown for shown, _ in told):
                    self.rearm(fd)  # what a faulty wake-up has kept back is still ready
        self._spent.update(number for number, _ in told if self._asked.get(number, 0) & EPOLLONESHOT)
        return told


def select(process: RealProcess, rlist: Any, wlist: Any, xlist: Any, timeout: float | None) -> Any:
    """``select.select`` of a process."""
    limit_ns = select_limit_ns(timeout)
    lists = [_listed(each) for each in (rlist, wlist, xlist)]
    numbers = [[descriptor_of(thing) for thing in each] for each in lists]
    poller = _Poller(process, "select")

    def look() -> list[tuple[int, int, int]]:
        """(which list, index in it, descriptor) of what is ready, by the kernel's own select."""
        ready = [set(each) for each in real.select(numbers[0], numbers[1], numbers[2], 0)]
        found = []
        for which, fds in enumerate(numbers):
            for index, fd in enumerate(fds):
                there = fd in ready[which]
                if which == 0:
                    there = bool(poller.shown(fd, IN if there else 0, IN))
                if there:
                    found.append((which, index, fd))
        return found

    def wait(deadline: int | None) -> Any:
        if process.stage.tampered:
            return poller._doze(deadline)
        bits: dict[int, int] = {}
        for fds, bit in zip(numbers, (IN, OUT, PRI), strict=True):
            for fd in fds:
                bits[fd] = bits.get(fd, 0) | bit
        return process.wait(f"readiness of {poller.name}", list(bits.items()), deadline)

    found = poller.waited(look, wait, limit_ns)
    found = poller.report(found, lambda each: poller.label(each[2], (IN, OUT, PRI)[each[0]]), timeout, False)
    answer: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for which, index, _ in found:
        answer[which].append(lists[which][index])
    return answer


def _listed(things: Any) -> list[Any]:
    if not iterable(things):
        raise TypeError("arguments 1-3 must be sequences")
    return list(things)
