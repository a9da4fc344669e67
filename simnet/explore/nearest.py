"""A fault whose anchor a run never reached: what it reached instead, so that a person can correct the anchor.

An anchor has a place and a number. If the place occurred, the numbers that did are listed; if it did not, the places
that did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from simnet.faults.fault import Fault
from simnet.faults.hosts import BODY, Drop
from simnet.faults.place import Anchor, Place
from simnet.faults.transparent import WouldBlock

if TYPE_CHECKING:
    from simnet.points.reading import CallPoint, Points

__all__ = ["nearest", "unreached_texts"]

PLACES_MAX = 5  # that many are told by name; a reader who has more looks at `simnet show`
_OF_A_HOST = {"lookup": "asked for a name", "socket": "called socket()"}  # what no socket is called on


def unreached_texts(faults: Iterable[Fault], points: Points, targets: Sequence[str]) -> list[str]:
    """A sentence for each of *faults*, which did not act in the run that had *points*."""
    return [f"{fault} was never reached: {nearest(fault, points, targets)}" for fault in faults]


def nearest(fault: Fault, points: Points, targets: Sequence[str] = ()) -> str:
    """What a run reached that is nearest to the anchor of *fault*; faults act on the calls of *targets*."""
    anchor = fault.anchor
    if anchor.form == "connect":
        return _places("connection", [each.place for each in points.connects], "nobody connected to anything")
    if anchor.form == "byte":
        return _byte(anchor, points)
    if anchor.form == "poll":
        return _poll(anchor, points)
    if anchor.form == "datagram":
        return _datagram(anchor, points)
    if anchor.form == "time":
        return _moment(anchor, points)
    if anchor.form == "lookup":
        anchor = anchor._replace(op="lookup")
    return _call(fault, anchor, points.calls, targets)


def _byte(anchor: Anchor, points: Points) -> str:
    here = [each for each in points.streams if anchor.place.matches(Place.parse(each.place))]
    same = [each for each in here if each.end == anchor.end]
    if same:
        longest = max(same, key=lambda each: each.length)
        return (
            f"towards the {longest.end} of {longest.place} {_bytes(longest.length)}, so byte is 0 to {longest.length}"
        )
    if here:
        return f"nothing travelled towards the {anchor.end} of {here[0].place}; towards its {here[0].end} {_bytes(here[0].length)}"
    made = [each.place for each in points.connects]
    silent = [place for place in made if anchor.place.matches(Place.parse(place))]
    if silent:
        return f"nothing travelled on {silent[0]}, in either direction"
    return _places("connection", made, "no connection was made")


def _bytes(length: int) -> str:
    return "1 byte travelled" if length == 1 else f"{length:,} bytes travelled"


def _poll(anchor: Anchor, points: Points) -> str:
    here = [each for each in points.polls if anchor.place.matches(Place.parse(each.host))]
    if here:
        return f"polls on {here[0].host} found something ready {_times(max(each.n for each in here))}"
    return _places(
        "host", [each.host for each in points.polls], "no poll found anything ready", "polls found something ready on"
    )


def _datagram(anchor: Anchor, points: Points) -> str:
    here = [each for each in points.datagrams if anchor.place.matches(Place.parse(each.place))]
    if here:
        return f"{here[0].place} carried {_datagrams(max(each.n for each in here))}"
    return _places("flow", [each.place for each in points.datagrams], "no datagram was sent", "datagrams went")


def _datagrams(number: int) -> str:
    return "1 datagram" if number == 1 else f"{number:,} datagrams"


def _moment(anchor: Anchor, points: Points) -> str:
    if anchor.place.form == "host" and not any(anchor.place.matches(Place.parse(each.host)) for each in points.moments):
        hosts = [each.host for each in points.moments if each.host != BODY]
        return _places("host", hosts, "no host but the test's own did anything")
    last = max((each.time_ns for each in points.moments), default=0)
    if last < anchor.number:
        return f"the last thing that happened was at {last / 1e9:g} s"
    if anchor.place.form == "host":
        return f"{anchor.place} had no power then"
    return _places("host", [each.host for each in points.moments], "no host did anything")


def _call(fault: Fault, anchor: Anchor, calls: Sequence[CallPoint], targets: Sequence[str]) -> str:
    op = anchor.op
    here = [each for each in calls if anchor.place.matches(Place.parse(each.place))]
    side = [each for each in here if anchor.end in (None, each.end)]
    same = [each for each in side if each.op == op]
    if same:
        host = same[0].host
        times = _times(max(each.n for each in same))
        made = (
            f"{host} {_OF_A_HOST[op]} {times}" if op in _OF_A_HOST else f"{host} called {op} on {same[0].place} {times}"
        )
        if not same[0].target:
            return f"{made}, but {host} is no target, and faults act on the calls of targets ({', '.join(targets) or 'none'})"
        if anchor.number > max(each.n for each in same):
            return made
        if fault.on_datagrams and not isinstance(fault, WouldBlock):
            return f"{made}, {_why_not_met(fault)}"
        if all(each.blocking for each in same):
            return f"{made}, on a blocking socket, where a kernel waits instead"
        return made
    if side:
        ops = list(dict.fromkeys(each.op for each in side))
        return f"there was no {op} on {side[0].place} by {side[0].host}; it called {', '.join(ops)}"
    if here:
        return f"only the {here[0].end} of {here[0].place} made calls there, not its {anchor.end}"
    return _places(
        "place", [each.place for each in calls if each.op == op], f"nobody called {op}", f"{op} was called on"
    )


def _why_not_met(fault: Fault) -> str:
    """Why a call of a socket for datagrams did not meet *fault* on Linux."""
    if isinstance(fault, Drop):
        return "where no datagram waited when it began"
    if fault.place.unix:
        return "to whom it is connected already"
    return "where no ICMP is told: it has sent nothing, or is not connected"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _places(what: str, places: Iterable[str], none: str, some: str = "") -> str:
    known: Sequence[str] = list(dict.fromkeys(places))
    if not known:
        return none
    listed = ", ".join(known[:PLACES_MAX]) + (f" and {len(known) - PLACES_MAX} more" if len(known) > PLACES_MAX else "")
    there = some or f"this run has the {what}{'s' if len(known) > 1 else ''}"
    return f"{there} {listed}"
