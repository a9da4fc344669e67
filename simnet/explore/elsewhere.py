"""A failure on record that a replay does not show: is it there when the same fault acts on another connection, at another call or byte?

A connection is named by its number, and so are calls and bytes. Where a program, or its test, has come to make one more before, a kept fault
acts on that one: the run goes well, and nothing is fixed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from simnet.explore.points import BYTES, families
from simnet.explore.series import spread
from simnet.faults.fault import Fault
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.points.reading import Points

__all__ = ["elsewhere"]

CONNECTIONS = 4  # the nearest numbers first: each takes a run
TRIES = 60  # runs, of all that is tried at other calls and bytes

_COUNTS = ("call", "byte", "datagram", "lookup", "at")
_FREE = ("on", *_COUNTS, "bytes", "seconds", "first", "keep")  # what may differ of a fault that does the same elsewhere


def elsewhere(
    plan: FaultPlan, points: Points, targets: tuple[str, ...], fails: Callable[[FaultPlan], str], *, widely: bool
) -> str:
    """In a sentence, by which change of one fault of *plan* the run fails as on record, at the *points* of the run without faults.

    *fails* plays a plan, and tells its failure if that is the one on record. Other connections of the same flow are tried; if *widely*, other calls,
    bytes and places, too. Empty if there is none.
    """
    for index, fault in enumerate(plan):
        tries = [fault.placed(each) for each in islice(_kin(fault, points), CONNECTIONS)] if len(plan) == 1 else []
        if widely:
            tries += islice(dict.fromkeys(_like(fault, points, targets)), TRIES // len(plan))
        for other in dict.fromkeys(tries):
            if other != fault and (failure := fails(plan.replace(index, other))):
                return f"with {_change(fault, other)} the failure on record is there, {failure}{_why(fault, other)}"
    return ""


def _kin(fault: Fault, points: Points) -> Iterator[Place]:
    """The other connections of its flow, the nearest first."""
    place = fault.place
    if place.form != "connection" or not place.concrete:
        return
    kin = [each for each in _places(points) if each != place and _same_flow(each, place)]
    yield from sorted(kin, key=lambda each: abs(_number(each) - _number(place)))


def _places(points: Points) -> list[Place]:
    told = [
        *(each.place for each in points.connects),
        *(each.place for each in points.calls),
        *(each.place for each in points.datagrams),
        *(each.place for each in points.polls),
    ]
    return [Place.parse(each) for each in dict.fromkeys(told)]


def _same_flow(one: Place, other: Place) -> bool:
    return msgspec.structs.replace(one, number=None) == msgspec.structs.replace(other, number=None)


def _number(place: Place) -> int:
    return place.number if isinstance(place.number, int) else 0


def _like(fault: Fault, points: Points, targets: tuple[str, ...]) -> Iterator[Fault]:
    """Faults of its kind at what is like its anchor: at its own place, on its flow; where the run has neither, anywhere.

    The nearest first, but the edges of writes before many bytes between them; each as it is on record, and then as a sweep would have it.
    """
    there = [each for each in _places(points) if each.form == fault.place.form]
    same = [each for each in there if fault.place.matches(each) or _same_flow(each, fault.place)] or there
    timed = fault.anchor.form == "time"  # which is at no call, but at one of the moments of its host or link
    near = points if timed else _only(points, {str(each) for each in same})
    found: dict[bool, list[Fault]] = {False: [], True: []}  # whether they lie between the edges of writes
    for family in families(near, targets, [fault.kind]):
        for each in map(family.make, spread(family.size, TRIES)):
            if _does_the_same(fault, each) and not (timed and each.on != fault.on):
                found[family.rank == BYTES] += [msgspec.structs.replace(fault, on=each.on, **_counts(each)), each]
    few = len(found[True]) <= TRIES
    for some in [found[False] + found[True]] if few else found.values():
        yield from sorted(some, key=lambda each: (not fault.place.matches(each.place), _apart(fault, each)))


def _only(points: Points, places: set[str]) -> Points:
    """Those of *points* that are at *places*; *places* are asked for membership only."""
    near = Points()
    for name in ("calls", "connects", "datagrams", "polls", "streams"):
        setattr(near, name, [each for each in getattr(points, name) if each.place in places])
    near.moments, near.pairs, near.threaded = points.moments, points.pairs, points.threaded
    return near


def _does_the_same(fault: Fault, other: Fault) -> bool:
    fixed = [name for name in fault.__struct_fields__ if name not in _FREE]
    return fault.anchor.form == other.anchor.form and all(getattr(fault, n) == getattr(other, n) for n in fixed)


def _apart(fault: Fault, other: Fault) -> float:
    return abs(fault.anchor.number - other.anchor.number)


def _counts(fault: Fault) -> dict[str, object]:
    return {name: getattr(fault, name) for name in _COUNTS if name in fault.__struct_fields__}


def _change(fault: Fault, other: Fault) -> str:
    """What to write into the file: ``on = "test->server:7#2", call = 2``."""
    names = [name for name in fault.__struct_fields__ if getattr(fault, name) != getattr(other, name)]
    written = [f"{name} = {json.dumps(getattr(other, name))}" for name in names if getattr(other, name) is not None]
    without = [name for name in names if getattr(other, name) is None]
    return ", ".join([*written, *(f"no {name}" for name in without)])


def _why(fault: Fault, other: Fault) -> str:
    alone = msgspec.structs.replace(fault, on=other.on) == other
    return ": that connection has another number now" if alone and _same_flow(fault.place, other.place) else ""
