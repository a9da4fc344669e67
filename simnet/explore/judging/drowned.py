"""Writers whose words an early end has swallowed: a kernel that has no such connection any more would have told them so.

Under ``eof`` what is sent later is lost without a word. A program that only writes, and reads nothing, learns of a peer that has gone by
the reset that its next words bring; here none comes, and it cannot know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simnet.faults.disruptive import Eof
from simnet.faults.place import Place
from simnet.trace import CALL, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["writes_on"]

HELD = re.compile(r" still holds (\S+#\d+) \(")


def writes_on(message: str, run: Run, disruptive: Iterable[Fault]) -> bool:
    """Does the connection that *message* says is left hear no more of what a target sends there, behind its peer's end?"""
    found = HELD.search(message)
    if found is None:
        return False
    place = found[1]
    ends = [fault.end for fault in disruptive if isinstance(fault, Eof) and fault.place.matches(Place.parse(place))]
    return any(_has_sent_since(place, end, run) for end in ends)


def _has_sent_since(place: str, hears: str, run: Run) -> bool:
    ended = False
    for entry in run.trace.entries:
        if entry[3] != place:
            continue
        _, kind, _, _, end, op, _, detail = entry
        if kind == SEGMENT:
            ended = ended or (end != hears and "FIN" in op)
        elif ended and kind == CALL and end != hears and op == "send" and isinstance(detail[1], int):
            return True
    return False
