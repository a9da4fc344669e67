"""A host that a file names, and that the test has no more: it has another name now."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from simnet.faults.hosts import BODY
from simnet.faults.plan import FaultPlan
from simnet.trace import CALL, Trace

__all__ = ["Renamed", "with_another_name"]

NAMES_MAX = 3  # each takes two runs


class Renamed(NamedTuple):
    """The plan and the hosts under test, with the new name, and what to write."""

    plan: FaultPlan
    target: tuple[str, ...]
    change: str


def with_another_name(plan: FaultPlan, target: tuple[str, ...], trace: Trace) -> Iterator[Renamed]:
    """*plan* and *target*, one of which is not in *trace*, of a run without faults, with that one named as others there are."""
    there = dict.fromkeys(entry[2] for entry in trace.entries if entry[1] == CALL)
    gone = [name for name in target if name not in there]
    if len(gone) != 1:
        return
    word = re.compile(rf"(?<![\w.-]){re.escape(gone[0])}(?![\w.-])")
    for name in [each for each in there if each not in (BODY, *target)][:NAMES_MAX]:
        moved = [word.sub(name, fault.on) for fault in plan]
        named = tuple(name if each == gone[0] else each for each in target)
        faults = [msgspec.structs.replace(fault, on=on) for fault, on in zip(plan, moved, strict=True)]
        change = [f"target = {json.dumps(named)}", *(f"on = {json.dumps(on)}" for on in dict.fromkeys(moved))]
        yield Renamed(FaultPlan(faults, plan.schedule, plan.seed), named, ", ".join(change))
