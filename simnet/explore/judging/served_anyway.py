"""Whether a client is served as it is without strangers, when some came before it to the same server, and have gone, or stay.

Who gives back a place in a pool only at the end of a whole conversation has none left when enough have vanished in the midst of one; who waits for
a greeting before it looks at the next connection waits for one who never says it. Each has nothing for a client that did nothing wrong.
Whether a program means to serve so few, or one after the other, only other runs tell: in them the strangers do all that the client does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from simnet.explore.judging.outcomes import same
from simnet.faults.hosts import Strangers
from simnet.invariants import NOTHING_LEFT, OTHERS_ANSWERED, OTHERS_SURVIVE, WAITS_FOR_EVER
from simnet.trace import CALL
from simnet.verdicts import Deadlock

if TYPE_CHECKING:
    from simnet.explore.judging.findings import Finding
    from simnet.faults.fault import Fault
    from simnet.run import Run

__all__ = ["Unserved", "served", "serves_several", "tells", "unserved"]

CLIENT, SERVER = "client", "server"
AT = re.compile(r" at (\S+\.py:\d+) in ")  # a line of the user's code
# What follows from more clients than the test has, where no exception ends anybody.
_FOLLOWS = (
    *("listener-survives", "loop-survives"),
    *(NOTHING_LEFT, OTHERS_SURVIVE, OTHERS_ANSWERED, WAITS_FOR_EVER),
)


class Unserved(NamedTuple):
    """What is told of a client that is not served."""

    host: str
    message: str
    at: str  # where the host's program stands then, if that is known


def unserved(baseline: Run, run: Run) -> Unserved | None:
    """Of a client that is not served in *run*; None if all are, or no strangers came."""
    if len(run.happened) != 1 or not isinstance(fault := run.happened[0], Strangers) or fault.polite:
        return None
    if not _left_out(baseline, run, fault):
        return None
    host, got = fault.place.target, _said_to(run, fault.on)
    what = f"got {len(got)} of {len(_said_to(baseline, fault.on))} bytes" if got else "got no answer"
    came = "a stranger" if fault.count == 1 else f"{fault.count} strangers"
    did = "vanished" if fault.then == "vanish" else "stayed, and said nothing, or not all"
    stands = _stands(run, host)
    message = (
        f"{host} did not serve {fault.on}, which {what}: before it {came} came and {did}{stands and f'; {stands}'}"
    )
    found = AT.search(stands)
    return Unserved(host, message, found[1] if found else "")


def _stands(run: Run, host: str) -> str:
    """What a program of *host* waits for, other than its next client, when the client waits for it."""
    if not isinstance(run.body_error, Deadlock):
        return ""
    lines = [each.strip() for each in str(run.body_error).splitlines()]
    return next((each for each in lines if each.startswith(f"{host}/") and " waits for accept on " not in each), "")


def tells(finding: Finding) -> bool:
    """Whether it is told of a run in which strangers came: not that a server which serves so many has ended, nor what is left of who was kept waiting."""
    return finding.error is not None or finding.reason not in _FOLLOWS


def served(baseline: Run, run: Run) -> bool:
    """Is the client served in *run*, in which the strangers did all that it does?"""
    fault = run.happened[0] if len(run.happened) == 1 else None
    return isinstance(fault, Strangers) and not _left_out(baseline, run, fault)


def serves_several(run: Run, listener: str) -> bool:
    """Is a connection accepted at *listener* while the server has another one from there that it has not closed?"""
    there = 0
    for _, kind, _, where, end, op, _, detail in run.trace.entries:
        if kind != CALL:
            continue
        if op == "accept" and where == listener and isinstance(detail[1], tuple):
            if there:
                return True
            there += 1
        elif op == "close" and end == SERVER and where.partition("->")[2].rpartition("#")[0] == listener:
            there -= 1
    return False


def _left_out(baseline: Run, run: Run, fault: Fault) -> bool:
    """Was nothing said to the client, or less than without strangers, and does the test show that?"""
    if same(baseline.outcome, run.outcome):
        return False
    flow = fault.on.rpartition("#")[0]
    whole = _said_to(baseline, fault.on)
    told = [_said_to(run, place) for place in _connections(run, flow)]
    return bool(whole and told) and all(len(each) < len(whole) and whole.startswith(each) for each in told)


def _connections(run: Run, flow: str) -> list[str]:
    """The attempts to connect in that flow: who is not served may try again."""
    return [each.place for each in run.points.connects if each.place.rpartition("#")[0] == flow]


def _said_to(run: Run, place: str) -> bytes:
    """What the client of *place* has read there."""
    said = b""
    for _, kind, _, where, end, op, _, detail in run.trace.entries:
        if kind == CALL and where == place and end == CLIENT and op == "recv":
            result = detail[1][0] if isinstance(detail[1], tuple) else detail[1]
            said += result if isinstance(result, bytes) else b""
    return said
