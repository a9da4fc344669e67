"""What a plan does to hosts and links at its time: crashes, pauses, clock jumps, partitions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from simnet.faults.hosts import BODY
from simnet.faults.kinds import ClockJump, Partition, Pause, Restart
from simnet.faults.place import Place
from simnet.outages.power import cut, power_on
from simnet.outages.standstill import set_clock, stand_still
from simnet.process import Process

if TYPE_CHECKING:
    from simnet.faults.fault import Fault
    from simnet.link import Link
    from simnet.network import Fabric
    from simnet.wait import Scheduler

__all__ = ["prepare"]


class _Stroke(Process):
    """Somebody must have the floor while others are ended: it runs nowhere, and nobody hears of it."""

    __slots__ = ()

    def run(self) -> None:
        assert self.fn is not None
        try:
            self.fn(*self.args)
        except KeyboardInterrupt as error:  # as in any other process
            self.scheduler.interrupted = error
        self.done = True
        self.fn, self.args = None, ()
        del self.scheduler, self.machine  # its worker may keep it: what a greenlet began with stays with it


def prepare(scheduler: Scheduler, fabric: Fabric) -> None:
    """Put what the plan does at a time on the clock. A run that is over before, or that waits in vain, never comes to it."""
    instants: dict[int, list[Fault]] = {}
    for fault in fabric.injector.timed:
        instants.setdefault(fault.anchor.number, []).append(fault)
    for instant, faults in instants.items():
        scheduler.clock.at(instant, partial(_begin, scheduler, fabric), faults, background=True)


def _begin(scheduler: Scheduler, fabric: Fabric, faults: list[Fault]) -> None:
    """It is time: when all that is due now has arrived, and before anybody runs."""
    stroke = _Stroke(scheduler, scheduler.body.machine, 0, str(faults[0]), _act_all, (scheduler, fabric, faults))
    scheduler.strike(stroke)


def _act_all(scheduler: Scheduler, fabric: Fabric, faults: list[Fault]) -> None:
    for fault in faults:
        _act(scheduler, fabric, fault)


def _act(scheduler: Scheduler, fabric: Fabric, fault: Fault) -> None:
    if isinstance(fault, Partition):
        _part(scheduler, fabric, fault)
        return
    for machine in list(fabric.machines.values()):
        place = Place.host(machine.name)
        if not fault.place.matches(place) or (machine.name == BODY and not isinstance(fault, ClockJump)):
            continue
        if not machine.powered and not isinstance(fault, Restart):
            continue  # it lies there already
        fabric.injector.fire(fault, place, machine.name, "", fault.anchor.number)
        if isinstance(fault, Pause):
            stand_still(scheduler, machine, fault.seconds)
        elif isinstance(fault, ClockJump):
            set_clock(scheduler, machine, fault.seconds)
        elif machine.powered:
            cut(scheduler, machine)
        if isinstance(fault, Restart):
            power_on(scheduler, machine)


def _part(scheduler: Scheduler, fabric: Fabric, fault: Partition) -> None:
    """Each link that the plan means, be it made already or named, lets nothing through: both ways, or one."""
    place, clock = fault.place, scheduler.clock
    if place.concrete and {place.source, place.target} <= {*fabric.machines}:
        fabric.link(str(place.source), place.target)
    until_ns = clock.now_ns + max(1, round(fault.seconds * 1e9))
    for link in list(fabric.links.values()):
        ways = [
            (a, b) for a, b in ((link.a, link.b), (link.b, link.a)) if place.matches(Place.link(a, b, both=place.both))
        ]
        if not ways:
            continue
        here = Place.link(*ways[0], both=place.both)
        fabric.injector.fire(fault, here, str(here), "", fault.anchor.number)
        sources = [link.a, link.b] if place.both else [a for a, _ in ways]
        link.part(*sources)
        clock.at(until_ns, partial(_join, link), sources, background=True)


def _join(link: Link, sources: list[str]) -> None:
    link.join(*sources)
