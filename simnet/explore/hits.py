"""What a fault hits: the call, the write or the datagram that the run without faults has at its anchor, in a few words.

A scenario records it. Where another thing stands there later, since the program or its test has changed, a fault may do no harm for that alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from simnet.explore.report.phrases import answer, call_phrase, segment_phrase
from simnet.faults.place import Anchor, Place
from simnet.faults.plan import FaultPlan
from simnet.tls.sealed import OTHER, sealed
from simnet.trace import CALL, SEGMENT, Event, Trace

__all__ = ["hits"]


def hits(plan: FaultPlan, trace: Trace) -> str:
    """What the faults of *plan* hit in the *trace* of a run without them: ``recv b'hello', 1 of 2``; empty where that is not known."""
    events = list(map(Event._make, sealed(trace.entries)))
    told = [_hit(fault.anchor, events) for fault in plan]
    return "; ".join(told) if all(told) else ""


def _hit(anchor: Anchor, events: Sequence[Event]) -> str:
    if anchor.form == "byte":
        return _byte(anchor, events)
    if anchor.form == "datagram":
        return _nth(anchor.number, [segment_phrase(each) for each in _at(anchor.place, events, SEGMENT) if each.n])
    if anchor.form == "connect":
        syns = [each for each in _at(anchor.place, events, CALL) if each.op in ("connect", "connect_ex")]
        return "connect" if syns else ""
    if anchor.form == "time":
        return ""
    if anchor.form == "poll":
        ready = [each for each in events if each.kind == CALL and each.op == "poll" and each.n]
        return _nth(anchor.number, [call_phrase(each) for each in ready if each.host == anchor.place.target])
    op = anchor.op or anchor.form
    return _nth(anchor.number, [call_phrase(each) for each in _calls(anchor, op, events)])


def _byte(anchor: Anchor, events: Sequence[Event]) -> str:
    """In which write the byte is, and where in it."""
    sends = [
        each for each in _calls(anchor._replace(end=OTHER[anchor.end or "server"]), "send", events) if _went(each) > 0
    ]
    first = 0
    for nth, send in enumerate(sends, 1):
        if anchor.number < first + _went(send):
            return f"byte {anchor.number - first} of {answer(send)}, send {nth} of {len(sends)}"
        first += _went(send)
    return f"the end of {first:,} bytes" if anchor.number == first else ""


def _went(send: Event) -> int:
    return send.result if isinstance(send.result, int) else 0


def _calls(anchor: Anchor, op: str, events: Iterable[Event]) -> list[Event]:
    return [
        each
        for each in _at(anchor.place, events, CALL)
        if each.op == op and (anchor.end is None or each.end == anchor.end)
    ]


def _at(place: Place, events: Iterable[Event], kind: str) -> list[Event]:
    """The events of a *kind* at the first of the places that *place* means."""
    named = str(place)
    if place.concrete:
        return [each for each in events if each.kind == kind and each.place == named]
    found = [each for each in events if each.kind == kind and _means(place, each.place)]
    return [each for each in found if each.place == found[0].place]


def _means(place: Place, label: str) -> bool:
    try:
        return place.matches(Place.parse(label))
    except ValueError:  # a socket that has no name yet
        return False


def _nth(number: int, told: Sequence[str]) -> str:
    return f"{told[number - 1]}, {number} of {len(told)}" if 0 < number <= len(told) else ""
