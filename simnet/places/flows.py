"""Datagrams in flight: each is the n-th of its flow, and a plan may lose, repeat or delay it, or have others overtake it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from simnet.clock import Clock, Timer
from simnet.faults.fault import Fault
from simnet.faults.hosts import Delay, Drop, Duplicate, Reorder
from simnet.faults.paths import spelt
from simnet.faults.place import Place
from simnet.kernel.ports import FIRST_EPHEMERAL

__all__ = ["Flows", "flow", "unix_flow"]

HELD_NS = 100_000_000  # how much later one arrives that was to be overtaken, where no other comes: a detour, not a loss

Take = Callable[[Any], object]


@lru_cache(maxsize=256)  # runs of one test have the same few
def flow(source: str, target: str, port: int) -> tuple[Place, str]:
    """The flow from *source* to that port of *target*, and its text. To ports that a kernel chose there is one: ``server->client:*``."""
    place = Place.flow(source, target, port if port < FIRST_EPHEMERAL else "*")
    return place, str(place)


@lru_cache(maxsize=256)
def unix_flow(host: str, name: str | bytes) -> tuple[Place, str]:
    """The flow within *host* to the Unix datagram socket that is bound to *name*, and its text."""
    place = Place.flow(host, host, spelt(name))
    return place, str(place)


class _Held:
    """A datagram that waits until others have overtaken it."""

    __slots__ = ("left", "datagram", "take", "timer")

    def __init__(self, left: int, datagram: Any, take: Take) -> None:
        self.left = left
        self.datagram = datagram
        self.take = take
        self.timer: Timer | None = None


class Flows:
    """How many datagrams each flow of a network has carried, and those that are held back."""

    __slots__ = ("counts", "_clock", "_held")

    def __init__(self, clock: Clock) -> None:
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._held: dict[str, list[_Held]] = {}

    def count(self, name: str) -> int:
        """The how-manieth datagram of the flow *name* is this?"""
        counts = self.counts
        counts[name] = n = counts.get(name, 0) + 1
        return n

    def arrivals_ns(
        self, fault: Fault, name: str, arrivals: tuple[int, ...], datagram: Any, take: Take
    ) -> tuple[int, ...]:
        """When it arrives under *fault*, which would arrive at *arrivals*; one that is held back, in a while."""
        if not arrivals or isinstance(fault, Drop):
            return ()
        if isinstance(fault, Duplicate):
            return (*arrivals, *arrivals[-1:] * fault.copies)
        if isinstance(fault, Delay):
            return tuple(each + max(1, round(fault.seconds * 1e9)) for each in arrivals)
        assert isinstance(fault, Reorder)
        held = _Held(fault.by, datagram, take)
        held.timer = self._clock.at(arrivals[-1] + HELD_NS, self._arrive, (name, held))
        self._held.setdefault(name, []).append(held)
        return ()

    def overtaken(self, name: str, arrival_ns: int) -> None:
        """Another datagram of the flow *name* arrives then: those that have waited for it follow."""
        for held in list(self._held.get(name, ())):
            held.left -= 1
            if not held.left:
                assert held.timer is not None
                held.timer.cancel()
                if arrival_ns == self._clock.now_ns:
                    self._arrive((name, held))
                else:
                    self._clock.post(arrival_ns, self._arrive, (name, held))

    def _arrive(self, which: tuple[str, _Held]) -> None:
        name, held = which
        self._held[name].remove(held)
        held.take(held.datagram)

    def dissolve(self) -> None:
        """The run is over: what is held back never arrives."""
        self._held.clear()
