"""Threads that serve one connection each, and end with it.

Where a client is still connected when the run without faults ends, the thread that serves it is still there; once a fault has broken that
connection it has nothing left to do. A thread whose connection is whole should go on, as should whoever serves many.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simnet.faults.place import Place
from simnet.trace import CALL, FAULT, SEGMENT, Failed

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["served_to_the_end"]

WAITS_ON_ONE = re.compile(
    r"^\S+ waits for (?:recv on|send on|readiness of) (\S+->\S+#\d+)(?: \(\w+\))?(?: at |, since )"
)


def served_to_the_end(ended: list[str], baseline: Run, run: Run) -> list[str]:
    """Those of *ended*, which go on in *baseline*, that are threads there for one accepted connection each, which is over in *run*."""
    served = []
    for waiting in baseline.waiting:
        if waiting.thread and waiting.process in ended:
            found = WAITS_ON_ONE.match(waiting.what)
            if found is not None and _accepted_by(waiting.host, found[1]) and _is_over(found[1], run):
                served.append(waiting.process)
    return served


def _accepted_by(host: str, place: str) -> bool:
    return Place.parse(place).target == host


def _is_over(place: str, run: Run) -> bool:
    """Was the connection struck by a fault, or ended by its client before it was by its server? Or did it never come about?"""
    there = False
    for entry in run.trace.entries:
        if entry[3] != place:
            continue
        _, kind, _, _, end, op, _, detail = entry
        if kind == FAULT or (kind == SEGMENT and end == "server" and ("FIN" in op or "RST" in op)):
            return True
        if kind == CALL and end == "server":
            if op in ("close", "shutdown"):
                return False
            there = True
            if isinstance(detail[1], Failed) and detail[1] != "EAGAIN":
                return True  # as who was dead when it was accepted
    return not there
