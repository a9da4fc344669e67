"""Unix streams and connections of records as plans name them: their places, and the faults that act there.

A connection of Unix sockets stays within its host, and exists as soon as ``connect()`` is answered. So it gets its name there,
from what its listener is bound to and how many were attempted before.

Both ends are on one host, so the caller is identified by the host of the calling process: for a socket that a test has made
with ``net.host("server").connect(path)`` that is ``test``, which is no target.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast

from simnet.faults.fault import Fault
from simnet.faults.inject import Tag
from simnet.faults.kinds import PartialSend, ShortRecv
from simnet.faults.paths import PAIR, spelt
from simnet.faults.place import Place
from simnet.faults.rates import Dice
from simnet.kernel.messages import SOCK_STREAM

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["CUTS", "accepted", "connected", "connecting", "listener_tag", "paired"]

CUTS: Final = (ShortRecv, PartialSend)
EVERY_BYTE: Final = 1 << 62


def connecting(caller: Machine, machine: Machine, file: Any, name: Any) -> Fault | None:
    """*file* is about to connect to *name*: the connection gets its name, and its calls their faults. What is to keep it from it?"""
    place = _attempt(machine, _told(file, name))
    file.tag = _armed(caller, place, "client", file.tag.counts, file)
    injector = machine.fabric.injector
    return None if injector.idle else injector.for_connect(place)


def connected(machine: Machine, file: Any) -> None:
    """It stands: what the client sends gets its anchors."""
    injector = machine.fabric.injector
    if not injector.idle and file.type == SOCK_STREAM:
        injector.watch_bytes(file, file.tag.place, "server")


def accepted(caller: Machine, machine: Machine, file: Any) -> None:
    """*file* came out of the queue of a listener: it gets the name that its opener gave the connection."""
    place = file.peer.tag.place
    file.tag = _armed(caller, place, "server", {}, file)
    injector = machine.fabric.injector
    if not injector.idle and file.type == SOCK_STREAM:
        injector.watch_bytes(file, place, "client")


def listener_tag(caller: Machine, machine: Machine, file: Any) -> Tag:
    """The name and the faults of a listening stream; its calls are counted on from those of an earlier one there."""
    place, _ = _place(machine.name, spelt(file.bound), None)
    return _armed(caller, place, "", machine.fabric.listeners.setdefault(place, file.tag.counts), file)


def paired(machine: Machine, one: Any, other: Any) -> None:
    """The two ends of a pair: the first is called its opener. Dice leave them alone, which are both the program's."""
    place = _attempt(machine, PAIR)
    injector = machine.fabric.injector
    for file, end in ((one, "client"), (other, "server")):
        file.tag = _armed(machine, place, end, {}, file)
        file.tag.dice = None
    if not injector.idle:
        for file, towards in ((one, "server"), (other, "client")):
            injector.watch_bytes(file, place, towards)


def _attempt(machine: Machine, name: str) -> Place:
    attempts, here = machine.fabric.attempts, machine.name
    attempts[here, here, name] = number = attempts.get((here, here, name), 0) + 1
    return _place(here, name, number)[0]


def _told(file: Any, name: Any) -> str:
    """What *name* is called: as its listener is bound, however it was spelt by who connects."""
    try:
        name = file.find(name).bound
    except OSError:
        pass  # nobody is there
    return spelt(name)


@lru_cache(maxsize=1024)  # runs of one test name the same places again and again
def _place(here: str, name: str, number: Any) -> tuple[Place, str]:
    """The *number*-th connection to *name*, or the listener there; its text."""
    place = Place.listener(here, name) if number is None else Place("connection", here, here, name, number)
    return place, str(place)


def _armed(caller: Machine, place: Place, end: str, counts: dict[str, int], file: Any) -> Tag:
    _, text = _place(place.target, str(place.port), place.number)
    tag = Tag(place, text, end, caller.name, counts)
    caller.fabric.injector.arm(tag, caller.target)
    tag.plain = False  # that is a TCP connection's
    if file.type != SOCK_STREAM and end:
        _spare_records(tag)
    return tag


def _spare_records(tag: Tag) -> None:
    """Its faults leave each record whole: what cuts a read or a write is not for it, nor what acts between two bytes."""
    if tag.faults is not None:
        kept = {at: [each for each in here if not isinstance(each, CUTS)] for at, here in tag.faults.items()}
        tag.faults = {at: here for at, here in kept.items() if here} or None
    if tag.dice is not None:
        tag.dice = cast(Dice, RecordDice(tag.dice))
    tag.asked_bytes = EVERY_BYTE


class RecordDice:
    """The dice of a connection of records: what would cut one is not thrown."""

    __slots__ = ("active", "_dice")

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self.active = dice.active

    def for_call(self, *which: Any, **how: Any) -> Fault | None:
        fault = self._dice.for_call(*which, **how)
        return None if isinstance(fault, CUTS) else fault
