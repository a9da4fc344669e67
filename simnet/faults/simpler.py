"""What makes one fault or plan simpler than another: a total size, and the steps down from it.

A shrinker drops faults, weakens parameters and moves anchors early while the same failure stays. Every step here leads to a
strictly smaller `size`, so that shrinking ends; the boldest steps come first, so that it ends soon.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from simnet.faults.fault import Fault
from simnet.faults.fields import FIELDS, LEAST, NS
from simnet.faults.kinds import (
    ALL,
    RESOLVER_ERRORS,
    Error,
    NameError_,
    PartialSend,
    Reset,
    Strangers,
    Urgent,
    Wake,
    WouldBlock,
)
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.faults.rates import STALL_SECONDS

__all__ = ["simpler", "simpler_plans", "size"]

_PLAIN_DATA: Final = b"!"

# ALL lists the transparent kinds first.
_ORDER: Final = {kind.kind: order for order, kind in enumerate(ALL)}


def size(fault: Fault) -> tuple[int, ...]:
    """What sorts faults from simple to not: transparent before disruptive, by kind, then early before late and weak before strong."""
    number = fault.place.number
    weights = [_ORDER[fault.kind], number if isinstance(number, int) else 0]
    for name in FIELDS:
        value = getattr(fault, name, None)
        if name in ("at", "seconds") and value is not None:
            weights.append(2 * round(abs(value) * NS) + (value < 0))
        elif name == "data" and value is not None:
            weights.append(0 if value in (b"", _PLAIN_DATA) else 1 + value[0])
        elif name == "errno" and value is not None:
            weights.append(1 + _errnos(fault).index(value))
        elif name == "when":
            weights.append(int(value == "after"))
        elif isinstance(value, int):
            weights.append(1 + value)  # 0 is for what is left out
        else:
            weights.append(0)
    return tuple(weights)


def simpler(fault: Fault) -> Iterator[Fault]:
    """The same fault, said with less: an earlier connection, call or byte, a weaker parameter. Boldest first."""
    place = fault.place
    if isinstance(place.number, int):
        for number in _down(place.number, 1):
            yield fault.placed(_numbered(place, number))
    for name in fault.__struct_fields__:
        value = getattr(fault, name)
        if name in LEAST and value is not None:
            least = 2 if fault.kind == "coalesce" and name == "bytes" else LEAST[name][0]
            for count in _down(value, least):
                if not (isinstance(fault, Wake) and name == "first" and count == 0 and fault.keep is None):
                    yield _with(fault, name, count)
        elif name in ("at", "seconds") and value is not None:
            if isinstance(fault, WouldBlock | Error | PartialSend):
                yield _with(fault, "seconds", None)
            may_vanish = name == "at" or (isinstance(fault, NameError_) and fault.errno is not None)
            for seconds in _shorter(value, 0.0 if may_vanish else None):
                yield _with(fault, name, seconds)
    if isinstance(fault, Wake) and fault.first and fault.keep is not None:
        yield Wake(on=fault.on, call=fault.call, first=fault.first)
    if isinstance(fault, Urgent) and fault.data != _PLAIN_DATA:
        yield _with(fault, "data", _PLAIN_DATA)
    if isinstance(fault, Strangers) and fault.data not in (b"", _PLAIN_DATA):
        yield _with(fault, "data", b"")
    if isinstance(fault, Reset) and fault.when == "after":
        yield _with(fault, "when", "before")
    if isinstance(fault, Error | NameError_) and fault.errno is not None:
        said = _errnos(fault)
        for errno in said[: said.index(fault.errno)]:
            yield _with(fault, "errno", errno)


def simpler_plans(plan: FaultPlan) -> Iterator[FaultPlan]:
    """The plan with less in it: no faults, half of them, all but one, each one simpler, the plain schedule, seed 0.

    A call that is there because another fault made it, as a second read is after a short one, is not reached without that: so one fault
    fewer is also tried with one of the others at an earlier call.
    """
    count = len(plan)
    if count:
        yield msgspec.structs.replace(plan, faults=())
    if count > 3:  # else halves are singles or all but one, which come anyway
        yield msgspec.structs.replace(plan, faults=plan.faults[: count // 2])
        yield msgspec.structs.replace(plan, faults=plan.faults[count // 2 :])
    if count > 1:
        for index in reversed(range(count)):
            yield plan.without(index)
    if plan.schedule != "fifo":
        yield msgspec.structs.replace(plan, schedule="fifo")
    if plan.seed:
        yield msgspec.structs.replace(plan, seed=0)
    for index in reversed(range(count)):
        yield from _with_an_earlier_call(plan.without(index))
    for index, fault in enumerate(plan):
        for variant in simpler(fault):
            yield plan.replace(index, variant)


def _with_an_earlier_call(plan: FaultPlan) -> Iterator[FaultPlan]:
    for index, fault in enumerate(plan):
        if (call := getattr(fault, "call", None)) is not None:
            for earlier in _down(call, 1):
                yield plan.replace(index, _with(fault, "call", earlier))


def _with(fault: Fault, name: str, value: object) -> Fault:
    return msgspec.structs.replace(fault, **{name: value})


def _numbered(place: Place, number: int) -> Place:
    return msgspec.structs.replace(place, number=number)


def _errnos(fault: Fault) -> tuple[str, ...]:
    return fault.said if isinstance(fault, Error) else RESOLVER_ERRORS


def _down(value: int, least: int) -> Iterator[int]:
    """The least first, then steps that halve the way back, then one less: a failure that needs 1,000 is found in ten."""
    step = value - least
    while step > 0:
        yield value - step
        step //= 2


def _shorter(seconds: float, least: float | None) -> Iterator[float]:
    """Shorter times: *least* if there is one, then round ones."""
    if seconds < 0:  # a clock that jumps backwards
        yield -seconds
    if least is not None and seconds > least:
        yield least
    for telling in STALL_SECONDS:  # a person reads them at a glance
        if telling < seconds:
            yield telling
