"""Clients that end with the one connection that they have.

Who shows what comes until nothing comes any more has nothing left to do when its connection is over, and returns; whoever began it may begin it again. An
exception is another thing, and so is the end of a thread, which nobody sees; and who has connected anew meant to go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.trace import CALL, FAULT, SEGMENT, Entry, Failed

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["ended_with_their_connection"]

CLIENT = "client"
CONNECTS = ("connect", "connect_ex")


def ended_with_their_connection(ended: list[str], baseline: Run, run: Run) -> list[str]:
    """Those of *ended*, which go on in *baseline*, that have returned since their only connection is over; of hosts with threads, none that may be one."""
    raised = [each.process for each in run.failures]
    waiting = [each.process for each in baseline.waiting if not each.thread]
    found = []
    for name in ended:
        host = name.partition("/")[0]
        whole = name in waiting or host not in baseline.trace.threaded
        if whole and name not in raised and _is_over(host, baseline, run):
            found.append(name)
    return found


def _is_over(host: str, baseline: Run, run: Run) -> bool:
    """Has *host* no more than the one connection, which it has opened itself, and was that one broken, or ended by the other side?"""
    made, again = (_connects(host, each) for each in (baseline, run))
    if (
        len(made) != 1
        or again != made
        or any(entry[5] == "listen" and entry[2] == host for entry in baseline.trace.entries)
    ):
        return False
    (place,) = made
    return any(_ends(entry) for entry in run.trace.entries if entry[3] == place)


def _connects(host: str, run: Run) -> list[str]:
    """The connections that *host* has tried to make, each attempt."""
    names = (entry[3] for entry in run.trace.entries if entry[1] == CALL and entry[2] == host and entry[5] in CONNECTS)
    return list(dict.fromkeys(names))


def _ends(entry: Entry) -> bool:
    _, kind, _, _, end, op, _, detail = entry
    if kind == SEGMENT:
        return end == CLIENT and ("FIN" in op or "RST" in op)
    return kind == FAULT or (
        kind == CALL and end == CLIENT and isinstance(detail[1], Failed) and detail[1] not in ("EAGAIN", "EINPROGRESS")
    )
