"""A plan in a few words, for a headline: ``when accept says EAGAIN``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simnet.faults.plan import FaultPlan

__all__ = ["when"]


def when(plan: FaultPlan) -> str:
    """``when accept says EAGAIN``: the plan in a few words; empty for none."""
    if not plan:
        return ""
    words = [_WHEN[fault.kind](fault) if fault.kind in _WHEN else fault.sentence() for fault in plan]
    return f"when {' and '.join(words)}"


def _bytes(number: int) -> str:
    return "1 byte" if number == 1 else f"{number:,} bytes"


_WHEN: Mapping[str, Callable[[Any], str]] = {
    "short-recv": lambda fault: f"recv returns {_bytes(fault.bytes)}",
    "partial-send": lambda fault: (
        f"send takes {_bytes(fault.bytes)}" + (f", and is full for {fault.seconds:g} s" if fault.late else "")
    ),
    "would-block": lambda fault: (
        f"{fault.op} says EAGAIN" + (f" for {fault.seconds:g} s" if fault.seconds is not None else "")
    ),
    "split": lambda fault: f"a segment ends before byte {fault.byte:,}",
    "coalesce": lambda fault: f"{_bytes(fault.bytes)} from byte {fault.byte:,} on arrive together",
    "stall": lambda fault: f"byte {fault.byte:,} comes {fault.seconds:g} s late",
    "preempt": lambda fault: f"its thread pauses {fault.seconds:g} s behind {fault.op}",
    "wake": lambda fault: "a poll reports only some of the ready" if fault.keep else "a poll reports another order",
    "urgent": lambda fault: "an urgent byte arrives",
    "eof": lambda fault: f"the input ends before byte {fault.byte:,}",
    "reset": lambda fault: (
        f"the connection is reset {fault.when} {fault.op}"
        if fault.op
        else f"the connection is reset before byte {fault.byte:,}"
    ),
    "blackhole": lambda fault: f"nothing arrives from byte {fault.byte:,} on",
    "refuse": lambda fault: "the connection is refused" if fault.place.concrete else "each connection is refused",
    "unreachable": lambda fault: "the host is unreachable",
    "connect-timeout": lambda fault: "a connect is never answered",
    "reset-before-accept": lambda fault: "the peer resets before it is accepted",
    "strangers": lambda fault: (
        f"{fault.count:,} stranger{'s' if fault.count > 1 else ''} come{'' if fault.count > 1 else 's'} "
        f"{'right behind' if fault.when == 'after' else 'first'}"
    ),
    "drop": lambda fault: "a datagram is lost",
    "duplicate": lambda fault: "a datagram comes more than once",
    "reorder": lambda fault: "a datagram is overtaken",
    "delay": lambda fault: f"a datagram comes {fault.seconds:g} s late",
    "crash": lambda fault: f"{fault.on} crashes at {fault.at:g} s",
    "pause": lambda fault: f"{fault.on} stands still for {fault.seconds:g} s",
    "clock-jump": lambda fault: f"the clock of {fault.on} jumps by {fault.seconds:+g} s",
    "name-error": lambda fault: (
        f"a look-up fails with {fault.errno}" if fault.errno else f"a name is answered {fault.seconds:g} s late"
    ),
    "partition": lambda fault: f"nothing crosses {fault.on} for {fault.seconds:g} s",
    "restart": lambda fault: f"{fault.on} restarts at {fault.at:g} s",
    "error": lambda fault: f"{fault.op} fails with {fault.errno}",
}
