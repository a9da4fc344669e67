"""Whether a fault on one connection has cost another its own: the target hung up on a client that no fault had hit.

Both are connections of one listener, and the other one was open when the fault fired. In the run without faults its client is
the first to close; here the target was, although the client has said nothing that it does not say there, and no time-out had
elapsed. The two sides of a proxy are not such a pair, since it opened one of them itself.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from simnet.faults.place import Place
from simnet.trace import CALL, FAULT, SEGMENT, WAKE, Entry

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["Bystander", "bystander"]

TOWARDS_CLIENT, TOWARDS_SERVER = "client", "server"
ENDS = ("FIN", "RST")


class Bystander(NamedTuple):
    """A connection that a target closed, and the one that the fault was on."""

    place: str
    host: str
    struck: str


class _End(NamedTuple):
    """Where in a trace a connection ends."""

    at: int
    entry: Entry
    by_target: bool


def bystander(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Bystander | None:
    """The first connection of a target's listener that *run* has lost so, by faults that were *disruptive*."""
    siblings = _siblings(baseline)
    if not siblings or not disruptive:
        return None
    struck: dict[str, int] = {}  # by a fault: where in the trace the first one was
    for index, entry in enumerate(run.trace.entries):
        if entry[1] == FAULT:
            struck.setdefault(entry[3], index)
    listeners = {siblings.get(place) for place in struck}
    if len(listeners) != 1 or None in listeners:  # some of it befell a host, a listener, a link
        return None
    since = min(struck.values())
    (listener,) = listeners
    now, before = _first_ends(run), _first_ends(baseline)
    for place, its in siblings.items():
        end = now.get(place)
        if its != listener or place in struck or end is None or not _was_hung_up_on(end, run, since):
            continue
        was = before.get(place)
        if not (was and was.by_target) and _said(place, baseline).startswith(_said(place, run)):
            return Bystander(place, place.partition("->")[2].rpartition(":")[0], next(iter(struck)))
    return None


def _siblings(baseline: Run) -> dict[str, str]:
    """The connections of the targets' listeners that have more than one, and whose each is."""
    connections: dict[str, str] = {}
    for connect in baseline.points.connects:
        if connect.server in baseline.targets and connect.answered:
            place = Place.parse(connect.place)
            connections[connect.place] = f"{place.target}:{place.port}"
    several = Counter(connections.values())
    return {place: its for place, its in connections.items() if several[its] > 1}


def _first_ends(run: Run) -> dict[str, _End]:
    """Of each connection where its end is told to the other side first."""
    found: dict[str, _End] = {}
    for index, entry in enumerate(run.trace.entries):
        if entry[3] in found:
            continue
        if entry[1] == SEGMENT and any(word in ENDS for word in entry[5].split()):
            found[entry[3]] = _End(index, entry, entry[4] == TOWARDS_CLIENT)
        elif entry[1] == CALL and entry[5] in ("close", "shutdown"):
            found[entry[3]] = _End(index, entry, entry[4] != TOWARDS_CLIENT)
    return found


def _was_hung_up_on(end: _End, run: Run, since: int) -> bool:
    """Did the target end the connection, which stood when the faults began, before its client did, and not because of the time?"""
    if not end.by_target or end.at <= since:
        return False
    entries, place = run.trace.entries, end.entry[3]
    if end.entry[1] != CALL and not _is_shutdown(entries, end.at):
        return False  # nobody has closed it: its process was over, as all are when the run is
    if not any(entry[3] == place and entry[1] == CALL and entry[4] == TOWARDS_SERVER for entry in entries[:since]):
        return False
    return not _by_its_time(entries[: end.at], end.entry)


def _is_shutdown(entries: list[Entry], fin: int) -> bool:
    """Was that FIN sent by a call of ``shutdown``, which comes behind it in a trace, as socketserver's before each close?"""
    place = entries[fin][3]
    return any(
        entry[1] == CALL and entry[3] == place and entry[5] == "shutdown" for entry in entries[fin + 1 : fin + 2]
    )


def _by_its_time(before: list[Entry], end: Entry) -> bool:
    """Was a time-out of that host the last thing that it woke by? Or was one up at that instant: then its threads may wake each other to take leave."""
    at_ns, _, host, *_ = end
    woken = [each for each in before if each[1] == WAKE and each[2] == host]
    return bool(woken) and (woken[-1][7] is False or any(each[0] == at_ns and each[7] is False for each in woken))


def _said(place: str, run: Run) -> bytes:
    """What the target has read there."""
    read = [
        entry[7][1][0] if isinstance(entry[7][1], tuple) else entry[7][1]
        for entry in run.trace.entries
        if entry[3] == place and entry[1] == CALL and entry[4] == TOWARDS_SERVER and entry[5] == "recv"
    ]
    return b"".join(each for each in read if isinstance(each, bytes))
