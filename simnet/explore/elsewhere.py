"""A failure on record that a replay does not show: is it there when the same fault acts on another connection, at another call or byte?

A connection is named by its number, and so are calls and bytes. Where a program, or its test, has come to make one more before, a kept fault
acts on that one: the run goes well, and nothing is fixed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import NamedTuple

import msgspec

from simnet.explore.points import BYTES, families
from simnet.explore.series import spread
from simnet.faults.fault import Fault
from simnet.faults.fields import LEAST
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.points.reading import Points

__all__ = ["Elsewhere", "elsewhere"]

CONNECTIONS = 4  # the nearest numbers first: each takes a run
TRIES = 60  # runs, of all that is tried at other calls and bytes
NEAREST = 6  # of each of two faults, when both are tried at others

_COUNTS = ("call", "byte", "datagram", "lookup", "at")
_FREE = ("on", *_COUNTS, "bytes", "seconds", "first", "keep")  # what may differ of a fault that does the same elsewhere


class Elsewhere(NamedTuple):
    """The plan under which the failure on record is there, and in a sentence by which change of the old one."""

    plan: FaultPlan
    told: str


def elsewhere(
    plan: FaultPlan, points: Points, targets: tuple[str, ...], fails: Callable[[FaultPlan], str], *, widely: bool
) -> Elsewhere | None:
    """By which change of *plan* the run fails as on record, at the *points* of the run without faults; None if there is none.

    *fails* plays a plan, and tells its failure if that is the one on record. Other connections of the same flow are tried, for all faults
    together; if *widely*, other calls, bytes and places, too, for one fault after the other, and for two at once.
    """
    tried = {plan}
    for other in _others(plan, points, targets, widely):
        if other not in tried:
            tried.add(other)
            if failure := fails(other):
                told = f"with {_changes(plan, other)} the failure on record is there, {failure}{_why(plan, other)}"
                return Elsewhere(other, told)
    return None


def _others(plan: FaultPlan, points: Points, targets: tuple[str, ...], widely: bool) -> Iterator[FaultPlan]:
    yield from islice(_on_other_connections(plan, points), CONNECTIONS)
    if not widely:
        return
    near = [list(islice(dict.fromkeys(_like(fault, points, targets)), TRIES // len(plan))) for fault in plan]
    for index, faults in enumerate(near):
        yield from (plan.replace(index, each) for each in faults)
    for index, faults in enumerate(near):
        yield from (_all_as_far(plan, index, each) for each in faults[:NEAREST])
    if len(plan) == 2:
        both = product(*(enumerate(faults[:NEAREST]) for faults in near))
        for (_, one), (_, other) in sorted(both, key=lambda pair: pair[0][0] + pair[1][0]):
            yield plan.replace(0, one).replace(1, other)


def _on_other_connections(plan: FaultPlan, points: Points) -> Iterator[FaultPlan]:
    """*plan* with all its faults of one flow on connections that come so many later there, or sooner, the nearest first."""
    named = [index for index, each in enumerate(plan) if each.place.form == "connection" and each.place.concrete]
    for flow in dict.fromkeys(_flow(plan[index].place) for index in named):
        its = [index for index in named if _flow(plan[index].place) == flow]
        for place in _kin(plan[its[0]], points):
            by, moved = _number(place) - _number(plan[its[0]].place), plan
            for index in its:
                number = _number(plan[index].place) + by
                moved = moved.replace(index, plan[index].placed(_numbered(plan[index].place, max(number, 1))))
            yield moved


def _all_as_far(plan: FaultPlan, index: int, moved: Fault) -> FaultPlan:
    """*plan* with the fault at *index* *moved*, and as far those that are counted with it: what the one makes, the next may hit."""
    fault = plan[index]
    by = moved.anchor.number - fault.anchor.number
    counted = [name for name in _COUNTS if name in LEAST and getattr(fault, name, None) is not None]
    for number, each in enumerate(plan):
        if number != index and each.anchor[:4] == fault.anchor[:4]:  # of the same calls, or towards the same end
            counts = {name: max(getattr(each, name) + by, LEAST[name][0]) for name in counted}
            plan = plan.replace(number, msgspec.structs.replace(each, on=moved.on, **counts))
    return plan.replace(index, moved)


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
    return _flow(one) == _flow(other)


def _flow(place: Place) -> Place:
    return _numbered(place, None)


def _numbered(place: Place, number: int | None) -> Place:
    return msgspec.structs.replace(place, number=number)


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


def _changes(plan: FaultPlan, other: FaultPlan) -> str:
    """What to write, and where more than one fault is in the file, at which of them."""
    at: dict[str, list[str]] = {}
    for number, (fault, now) in enumerate(zip(plan, other, strict=True), 1):
        if fault != now:
            at.setdefault(_change(fault, now), []).append(str(number))
    if len(plan) == 1:
        return next(iter(at))
    return ", ".join(
        f"{change} in fault{'s' if len(several) > 1 else ''} {' and '.join(several)}" for change, several in at.items()
    )


def _change(fault: Fault, other: Fault) -> str:
    """What to write into the file: ``on = "test->server:7#2", call = 2``."""
    names = [name for name in fault.__struct_fields__ if getattr(fault, name) != getattr(other, name)]
    written = [f"{name} = {json.dumps(getattr(other, name))}" for name in names if getattr(other, name) is not None]
    without = [name for name in names if getattr(other, name) is None]
    return ", ".join([*written, *(f"no {name}" for name in without)])


def _why(plan: FaultPlan, other: FaultPlan) -> str:
    changed = [(fault, now) for fault, now in zip(plan, other, strict=True) if fault != now]
    renumbered = all(fault.placed(now.on) == now and _same_flow(fault.place, now.place) for fault, now in changed)
    return ": that connection has another number now" if renumbered else ""
