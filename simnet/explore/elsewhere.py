"""A failure on record that a replay does not show: is it there when the same fault acts on another connection of its flow?

A connection is named by its number. Where a program, or its test, has come to make one more before, a kept fault acts on that one: the run goes
well, and nothing is fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec

from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan

__all__ = ["elsewhere"]

TRIES = 4  # connections, the nearest numbers first: each takes a run


def elsewhere(plan: FaultPlan, connects: list[str], fails: Callable[[FaultPlan], str]) -> str:
    """In a sentence, on which other one of the connections *connects* the only fault of *plan* makes the run fail as on record.

    *fails* plays a plan, and tells its failure if that is the one on record. Empty if there is none, or more than one fault.
    """
    if len(plan) != 1:
        return ""
    fault = plan.faults[0]
    place = fault.anchor.place
    if place.form != "connection" or not place.concrete:
        return ""
    others = {each: Place.parse(each) for each in connects if each != str(place)}
    kin = [
        (other.number, each)
        for each, other in others.items()
        if (other.form, other.source, other.target, other.port) == (place.form, place.source, place.target, place.port)
    ]
    for _, other in islice(sorted(kin, key=lambda each: abs(int(each[0] or 0) - int(place.number or 0))), TRIES):
        moved = msgspec.structs.replace(fault, on=other)
        failure = fails(msgspec.structs.replace(plan, faults=(moved,)))
        if failure:
            return (
                f'with on = "{other}" the failure on record is there, {failure}: that connection has another number now'
            )
    return ""
