"""Whether one client that is slow keeps another one waiting: the target does nothing about it meanwhile, not even read what it asks.

As where a server reads the first words of a client, or shakes hands with it, before it accepts the next one. A client that is answered
late though its question was read may wait for what the slow one has to say; and so may one that was accepted, and waits for a greeting.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from simnet.faults.kinds import Stall
from simnet.faults.place import Place
from simnet.trace import CALL, Failed

if TYPE_CHECKING:
    from simnet.run import Run
    from simnet.trace import Entry

__all__ = ["KeptWaiting", "kept_waiting"]

LONG_NS = 30 * 10**9  # who is kept waiting as long as that has given up, as browsers and balancers do
SOON_NS = 10**9  # and who is served without the fault is served within this


class KeptWaiting(NamedTuple):
    """A connection about which its target did nothing for so long, and the slow one."""

    place: str
    host: str
    slow: str
    ns: int
    entry: int | None  # of the trace: the call for which the target stood still, if it was one on the slow connection


def kept_waiting(baseline: Run, run: Run) -> KeptWaiting | None:
    """The first connection that a stall of another one, towards the same listener, has kept waiting."""
    if len(run.happened) != 1 or not isinstance(fault := run.happened[0], Stall):
        return None
    if fault.end != "server" or 1e9 * fault.seconds < LONG_NS:
        return None
    slow = fault.place
    if slow.target not in run.targets or slow.form != "connection" or slow.unix:
        return None
    asked = _asked(run.trace.entries, slow, run.targets)
    if not asked:
        return None
    long = {place: ns for place, ns in asked.items() if ns >= LONG_NS}
    usual = _asked(baseline.trace.entries, slow, run.targets) if long else {}
    for place, ns in long.items():
        if usual.get(place, LONG_NS) <= SOON_NS:
            return KeptWaiting(place, str(slow.target), str(slow), ns, _stood(run.trace.entries, slow))
    return None


def _stood(entries: list[Entry], slow: Place) -> int | None:
    """The call on the *slow* one in which its acceptor was so long that it did nothing else; None if it was in another, such as a poll."""
    before_ns: int | None = None
    for index, (now_ns, kind, host, place, end, _, _, _) in enumerate(entries):
        if kind != CALL or host != slow.target:
            continue
        if before_ns is not None and now_ns - before_ns >= LONG_NS:
            return index if place == str(slow) and end == "server" else None
        before_ns = now_ns
    return None


def _asked(entries: list[Entry], slow: Place, targets: tuple[str, ...]) -> dict[str, int]:
    """Of each other connection to the listener of *slow*: how long its client once waited at most until the acceptor did anything there.

    Since it said something; or since it connected, until it was accepted, if it is greeted before it says anything.
    """
    since: dict[str, int] = {}
    longest: dict[str, int] = {}
    in_line: dict[str, int] = {}
    until_accepted: dict[str, int] = {}
    accepted: Counter[str] = Counter()
    listener = f"{slow.target}:{slow.port}"
    prefix, its = f"->{listener}#", str(slow)
    for now_ns, kind, host, place, end, op, _, detail in entries:
        if kind != CALL or (prefix not in place and place != listener) or isinstance(detail[1], Failed):
            continue
        if place == listener:
            if op == "accept":
                source = str(detail[1][0])
                accepted[source] += 1
                place = f"{source}{prefix}{accepted[source]}"
                if place in in_line:
                    until_accepted[place] = now_ns - in_line.pop(place)
        elif place == its:
            continue
        elif end == "server":
            greeted = until_accepted.pop(place, None)
            if place in since:
                longest[place] = max(longest.get(place, 0), now_ns - since.pop(place))
            elif greeted is not None and op == "send":
                longest[place] = greeted
        elif op == "send" and host not in targets:
            since.setdefault(place, now_ns)
            until_accepted.pop(place, None)
            in_line.pop(place, None)
        elif op == "connect" and host not in targets:
            in_line[place] = now_ns
        elif op in ("close", "shutdown"):
            since.pop(place, None)
    return longest
