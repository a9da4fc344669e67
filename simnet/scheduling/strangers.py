"""Clients that the test knows nothing of: they come before one of its own, to the same server, and vanish, or stay.

They run nowhere: what they do is put on the clock, as it is for segments. Who connects stands still until the last of them has come, so that it
comes behind all of them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simnet.faults.hosts import Strangers
from simnet.faults.place import Place
from simnet.kernel.messages import AF_INET, AF_INET6, SOCK_STREAM
from simnet.kernel.states import CLOSED
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.machine import ASIDE, Machine

if TYPE_CHECKING:
    from simnet.network import Fabric
    from simnet.wait import Scheduler

__all__ = ["come_before", "go_home"]

NAME = "stranger"
APART_NS = 1_000_000  # one after the other comes
SPEAKS_NS = 3_000_000  # after it has come: the handshake takes 2 ms
GOES_NS = 7_000_000  # and what it says has arrived, and the answer to it
SETTLES_NS = 3_000_000  # and that it has gone is known
READS_MAX = 1 << 20


def come_before(scheduler: Scheduler, machine: Machine, file: Any, address: Any) -> None:
    """A process of *machine* is about to connect *file* to *address*: if strangers come first, it stands still meanwhile."""
    fabric = machine.fabric
    if file.type != SOCK_STREAM or file.state != CLOSED:
        return
    owner = fabric.owner_of(address[0], machine)
    if owner is None or owner is machine or scheduler.current.cannot_wait:
        return
    number = fabric.attempts.get((machine.name, owner.name, address[1]), 0) + 1
    place = Place.connection(machine.name, owner.name, address[1], number)
    for fault in fabric.injector.strangers:
        if isinstance(fault, Strangers) and fault.acts_at(place):
            fabric.injector.fire(fault, place, str(place), "", 1)
            crowd = _Crowd(fabric, fault, address[:2])
            if fault.when == "after":
                crowd.come(fabric.link(machine.name, owner.name).latency_ns + APART_NS)
            else:
                _stand_until(scheduler, crowd.come())


def go_home(fabric: Fabric) -> None:
    """The test has ended: whoever has stayed goes."""
    if fabric.injector.strangers and (home := _made(fabric)) is not None:
        for each in list(home.stack.connections.values()):
            if isinstance(each, TcpSocket):
                each.sever()
        home.flush()


def _stand_until(scheduler: Scheduler, until_ns: int) -> None:
    scheduler.clock.at(until_ns, scheduler.wake, scheduler.current)
    while scheduler.clock.now_ns < until_ns:
        scheduler.wait(("strangers", None))


class _Crowd:
    """Those who come by one fault."""

    def __init__(self, fabric: Fabric, fault: Strangers, address: tuple[str, int]) -> None:
        self.fabric = fabric
        self.fault = fault
        self.address = address
        self.home = _home(fabric)

    def come(self, late_ns: int = 0) -> int:
        """Put on the clock what they do from *late_ns* on; when the last of them has done it."""
        now_ns = self.fabric.clock.now_ns + late_ns
        for index in range(self.fault.count):
            self.fabric.clock.at(now_ns + index * APART_NS, self._connect, index)
        return now_ns + (self.fault.count - 1) * APART_NS + GOES_NS + SETTLES_NS

    def _connect(self, index: int) -> None:
        clock, home = self.fabric.clock, self.home
        file = TcpSocket(home.stack, AF_INET6 if ":" in self.address[0] else AF_INET)
        file.tag = _Nobody()
        with suppress(OSError):
            file.begin(self.address)
            self.fabric.connecting(home, file)
            home.flush()
            clock.at(clock.now_ns + SPEAKS_NS, self._speak, (index, file))
            clock.at(clock.now_ns + GOES_NS, self._end, (index, file))

    def _speak(self, who: tuple[int, TcpSocket]) -> None:
        index, file = who
        if data := self.fault.part(index):
            with suppress(OSError):
                file.send(data)
                self.home.flush()

    def _end(self, who: tuple[int, TcpSocket]) -> None:
        index, file = who
        fault = self.fault
        if fault.then == "stay":
            return
        goodbye = fault.says_goodbye(index)
        if goodbye:  # what is unread makes an RST of a FIN
            with suppress(OSError):
                file.recv(READS_MAX)
        if not goodbye:
            file.sever()
        elif not fault.stays:
            file.release()
        self.home.flush()


class _Nobody:
    """What a socket has for a tag until it connects."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}


def _home(fabric: Fabric) -> Machine:
    """The host that they come from."""
    home = _made(fabric)
    if home is None:
        name = NAME
        while name in fabric.machines:
            name += "-too"
        home = fabric.machines[name] = Machine(fabric, name, ASIDE, name)
        for address in home.stack.addresses:
            fabric.by_address[address] = home
    return home


def _made(fabric: Fabric) -> Machine | None:
    return next((each for each in fabric.machines.values() if each.number == ASIDE), None)
