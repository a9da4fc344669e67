"""Whether a target has waited for a peer that has fallen silent until its kernel gave up, a quarter of an hour later.

It had something on the way that nobody acknowledged, as a ping: else it would wait for ever, which is told without this. A time-out of its own, or
a look at whether anything has come since the last ping, would have told it long before.
"""

from __future__ import annotations

from errno import ETIMEDOUT
from typing import TYPE_CHECKING, NamedTuple

from simnet.explore.judging.unanswered import SILENT
from simnet.trace import CALL, FAULT, Failed

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["Patient", "waited_for_the_kernel"]

LONG_NS = 600 * 10**9  # a kernel that retransmits gives up after 924 s
GAVE_UP = "ETIMEDOUT"


class Patient(NamedTuple):
    """The connection, whose it is, and the call that told it."""

    place: str
    host: str
    entry: int


def waited_for_the_kernel(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Patient | None:
    """The first connection on which a target has, where it reads without the fault; None if there is none."""
    if not disruptive or any(fault.kind not in SILENT for fault in disruptive):
        return None
    since: dict[str, int] = {}
    said: set[str] = set()  # something, since then; who has not, lets keepalive look
    for index, (at_ns, kind, host, place, end, op, _, detail) in enumerate(run.trace.entries):
        if kind == FAULT:
            since.setdefault(place, at_ns)
        elif kind != CALL or place not in since or host not in run.targets:
            continue
        elif op == "send" and isinstance(detail[1], int):
            said.add(place)
        elif place in said and at_ns - since[place] >= LONG_NS:
            given = detail[1]
            told = given == GAVE_UP if isinstance(given, Failed) else op == "getsockopt" and given == ETIMEDOUT
            if told and _reads(place, end, baseline):
                return Patient(place, host, index)
    return None


def _reads(place: str, end: str, baseline: Run) -> bool:
    return any(
        entry[3] == place and entry[4] == end and entry[5] == "recv" and isinstance(entry[7][1], bytes)
        for entry in baseline.trace.entries
    )
