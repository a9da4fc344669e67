"""Whether the end of a connection that a target has given up ends the one that it has made in its place.

Who has lost patience and connects anew may leave the old connection open, or only forget it. Sooner or later that one ends, too, and who reads there
does what is to be done when a connection is lost: it hangs up on the new one, which is whole, and in the midst of a question. A
delay shows who leaves an old one open; when the new one is asked, and has not answered yet, is known from that run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.faults.disruptive import Eof
from simnet.faults.plan import FaultPlan
from simnet.faults.transparent import Stall
from simnet.trace import CALL, FAULT, SEGMENT, Entry, Failed

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["LATE_ENDS_MAX", "ends_the_new", "late_end"]

LATE_ENDS_MAX = 4  # runs of a sweep: of as many connections, each the first time that it is given up and left open
CLIENT = "client"
ENDS = ("close", "shutdown")


def late_end(run: Run) -> FaultPlan | None:
    """The plan by which the connection that was late in *run* ends while the one in its place is asked; None if a target has left none open."""
    if len(run.happened) != 1 or not isinstance(stall := run.happened[0], Stall) or stall.end != CLIENT:
        return None
    if stall.place.unix or "#" not in stall.on or str(stall.place.source) not in run.targets:
        return None
    begun = next((index for index, entry in enumerate(run.trace.entries) if entry[1] == FAULT), 0)
    asked = _asked_anew(run.trace.entries[begun:], stall.on)
    if asked is None:
        return None
    at_ns, anew = asked
    answered_ns = _comes(run, anew, "data")[1]
    sent_ns, arrived_ns = _comes(run, stall.on, "SYN ACK")
    late_ns = (at_ns + answered_ns) // 2 - (arrived_ns - sent_ns) - run.trace.entries[begun][0]
    if answered_ns <= at_ns or late_ns <= 0:
        return None
    late = Stall(on=stall.on, end=CLIENT, byte=stall.byte, seconds=late_ns / 1e9)
    return FaultPlan((late, Eof(on=stall.on, end=CLIENT, byte=stall.byte)))


def _asked_anew(entries: list[Entry], place: str) -> tuple[int, str] | None:
    """When something is said on a connection that is made in the place of *place*, which is neither read nor closed by then; and on which."""
    made: set[str] = set()
    for at_ns, kind, _, where, end, op, _, detail in entries:
        if kind != CALL or end != CLIENT or _flow(where) != _flow(place):
            continue
        if where == place and (op in ENDS or (op == "recv" and isinstance(detail[1], bytes))):
            return None
        if op in ("connect", "connect_ex"):
            made.add(where)
        elif op == "send" and isinstance(detail[1], int) and where in made:
            return at_ns, where
    return None


def _comes(run: Run, place: str, word: str) -> tuple[int, int]:
    """When the first such segment goes to who has opened *place*, and when it arrives; 0 if none does."""
    for at_ns, kind, _, where, end, op, _, detail in run.trace.entries:
        if kind == SEGMENT and where == place and end == CLIENT and op.startswith(word):
            return at_ns, detail[1]
    return 0, 0


def ends_the_new(run: Run) -> tuple[str, str, int] | None:
    """Who hangs up on the new connection in *run*, which a plan of `late_end` has made, what is said of it, and the call."""
    if [fault.kind for fault in run.happened] != ["stall", "eof"]:
        return None
    place = run.happened[1].on
    found = _hangs_up(run, place)
    if found is None:
        return None
    index, other = found
    host = run.trace.entries[index][2]
    message = f"{host} hangs up on {other}, which is whole, and where it waits for an answer, since {place} has ended, which it had given up before: "
    remedy = (
        "close the old one before you connect anew, and where one has ended look whether it is the one that is in use"
    )
    return host, message + remedy, index


def _hangs_up(run: Run, place: str) -> tuple[int, str] | None:
    """The call by which that is done, at the very time at which it is told of the end of *place*, and on which connection."""
    told_ns = -1
    waits: dict[str, bool] = {}  # by connection: has something been said there, and no answer come?
    for index, entry in enumerate(run.trace.entries):
        at_ns, kind, host, other, end, op, _, detail = entry
        if _flow(other) != _flow(place) or end != CLIENT:
            continue
        if kind == SEGMENT and ("FIN" in op or "RST" in op):
            waits[other] = False
        elif kind != CALL or host not in run.targets:
            continue
        elif other == place:
            if op == "recv" and _ends(entry):
                told_ns = at_ns
        elif op == "send" and isinstance(detail[1], int):
            waits[other] = True
        elif op == "recv" and not (isinstance(detail[1], Failed) and detail[1] == "EAGAIN"):
            waits[other] = False
        elif op in ENDS and at_ns == told_ns and waits.get(other):
            return index, other
    return None


def _ends(entry: Entry) -> bool:
    result = entry[7][1]
    return result == b"" or (isinstance(result, Failed) and result != "EAGAIN")


def _flow(place: str) -> str:
    return place.rpartition("#")[0]
