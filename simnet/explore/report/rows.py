"""From the events of a trace to the rows of a ladder: one for a call and what it sent, none for bookkeeping.

In the trace a call comes when it has returned, after the segments it sent; a close before its FIN; a connect when it has been
answered. Here each is put together with its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from simnet.explore.report.phrases import answer, call_phrase, connect_phrase, ends_of, segment_phrase
from simnet.faults.forms import parse_fault
from simnet.faults.kinds import Coalesce, Delay, Duplicate, Stall, Urgent
from simnet.faults.place import Anchor
from simnet.tls.sealed import sealed
from simnet.trace import CALL, FAULT, HANDLER, OBSERVE, PROCESS, SEGMENT, Event, Failed, Trace

__all__ = ["Row", "rows_of", "shown_hosts"]

BOLT = "⚡"

_QUIET = ("getsockname", "getpeername", "getsockopt", "setsockopt", "bind", "listen", "socket", "lookup")
_ARROWS_MAX = 2  # that one call may have beside it; more get rows of their own
_NO_CONNECT = {"refuse": "refused", "unreachable": "no way there", "connect-timeout": "never answered"}
_SEVERAL_LINES = re.compile(r"\s*\n\s*")  # of a table, which has one here
_POWER = {
    "crash": "the power is cut",
    "restart": "comes up again",
    "pause": "stands still",
    "clock-jump": "its wall clock is set",
}


@dataclass(slots=True)
class Row:
    """One line of a ladder."""

    index: int  # of its first event in the trace
    time_ns: int
    host: str
    text: str = ""
    arrows: list[tuple[str, str]] = field(default_factory=list)  # (to whom, label)
    mark: str = ""  # what the fault did here, and what the baseline did
    loud: bool = False  # the fault, or an exception: shown even where rows are left out
    more: int = 0  # times that it came again, with those before it, and is left out
    until_ns: int = 0  # when it came for the last time


def rows_of(trace: Trace, against: Trace | None = None) -> list[Row]:
    """The rows of *trace*, in order; *against* is the baseline's, which says what a call gave without the fault."""
    reader = _Reader(against)
    for index, entry in enumerate(sealed(trace.entries)):
        reader.read(index, Event._make(entry))
    reader.settle()
    return reader.rows


class _Reader:
    def __init__(self, against: Trace | None) -> None:
        self.against = against
        self.rows: list[Row] = []
        self._usual: dict[tuple[str, str, str, str, int], Event] | None = None
        self._sent: list[tuple[Event, Row]] = []  # segments whose call is not written down yet
        self._begun: set[str] = set()  # connections whose connect has its row; asked for membership only
        self._closed: tuple[Event, Row] | None = None  # a close whose FIN may follow
        self._fault: tuple[Event, Anchor] | None = None  # it acts on a call that is not written down yet
        self._stroke = False  # the plan cuts a host's power next, or brings it back

    def read(self, index: int, event: Event) -> None:
        kind = event.kind
        if kind == SEGMENT:
            self._segment(index, event)
        elif kind == CALL:
            self._call(index, event)
        elif kind == FAULT:
            self._fault_at(index, event)
        else:
            text = _other(event)
            if text:
                self.settle()
                row = Row(index, event.time_ns, event.host, text, loud=kind in (HANDLER, PROCESS))
                if self._stroke:
                    self._stroke, row.mark = False, BOLT
                self.rows.append(row)

    def settle(self) -> None:
        """Segments that belong to no call get rows of their own."""
        self.rows += [row for _, row in self._sent]
        self._sent.clear()
        self._closed = None

    def _segment(self, index: int, event: Event) -> None:
        label = segment_phrase(event)
        if not label:
            return
        sender, to = ends_of(event.place, event.end)
        arrow = (to or event.host, label)
        if self._closed is not None and not self._sent:
            close, row = self._closed
            if (close.host, close.place, close.time_ns) == (event.host, event.place, event.time_ns):
                row.arrows.append(arrow)
                return
        host = event.host or sender  # no host has made the reset of who is refused by a fault
        row = Row(index, event.time_ns, host, arrows=[arrow])
        if event.op == "SYN":
            row.text = connect_phrase(event.place)
            self._begun.add(event.place)
        self._sent.append((event, row))

    def _call(self, index: int, event: Event) -> None:
        row = Row(index, event.time_ns, event.host, call_phrase(event))
        mine = [each for each in self._sent if _sends(event, each[0]) and not each[1].text]
        theirs = [each for each in self._sent if each not in mine]
        for _, sent in theirs:
            self.rows.append(sent)
        for segment, sent in mine[:_ARROWS_MAX]:
            row.index = min(row.index, sent.index)
            to, label = sent.arrows[0]
            row.arrows.append((to, _size(segment) if event.op == "send" and segment.detail[0] else label))
            row.mark, row.loud = row.mark or sent.mark, row.loud or sent.loud
        self.rows += [sent for _, sent in mine[_ARROWS_MAX:]]
        self._sent.clear()
        self._closed = None
        if self._fault is not None and _same_call(*self._fault, event):
            row.mark = self._mark(self._fault[0], event)
            row.loud = True
            self._fault = None
        elif self._untold(event) and not row.arrows:
            return
        self.rows.append(row)
        if event.op == "close":
            self._closed = (event, row)

    def _fault_at(self, index: int, event: Event) -> None:
        anchor = parse_fault(event.detail).anchor
        if anchor.form in ("call", "accept", "poll") or (anchor.form == "connect" and not self._sent):
            self._fault = (event, anchor)
            return
        if anchor.form == "lookup":
            self._fault = (event, anchor._replace(op="lookup"))
            return
        if anchor.form == "time" and event.op in _POWER:
            self._stroke = True  # what it does has a row of its own
            return
        if anchor.form == "time":
            self.settle()
            host = event.place.partition("<->" if "<->" in event.place else "->")[0]
            self.rows.append(Row(index, event.time_ns, host, mark=f"{BOLT} {event.op} {event.place}", loud=True))
            return
        if anchor.form in ("connect", "datagram") and self._sent:
            refused, row = anchor.form == "connect", self._sent[-1][1]
            row.mark = self._mark(event, event) if refused else f"{BOLT} {_on_its_way(event)}"
            row.loud = True
            row.index = index  # there it parts from a run without
            return
        self.settle()
        host = ends_of(event.place, event.end)[1] or event.place.partition(":")[0]
        self.rows.append(Row(index, event.time_ns, host, mark=f"{BOLT} {_on_the_wire(event)}", loud=True))

    def _mark(self, fault: Event, call: Event) -> str:
        if fault.op in _NO_CONNECT:
            return f"{BOLT} {_NO_CONNECT[fault.op]}; baseline: connected"
        if fault.op == "preempt":
            return f"{BOLT} its thread stands still"
        if self.against is None:
            return f"{BOLT} {fault.op}"
        if self._usual is None:
            usual = map(Event._make, sealed(self.against.entries))
            self._usual = {_call_key(event): event for event in usual if event.kind == CALL}
        was = self._usual.get(_call_key(call))
        told = "" if was is None else answer(was) or was.op
        if was is None or told == (answer(call) or call.op):
            return f"{BOLT} {fault.op}"
        return f"{BOLT} baseline: {told}"

    def _untold(self, event: Event) -> bool:
        """Calls that went well and tell a reader nothing; the end of a connect whose beginning has a row."""
        if event.op in ("connect", "connect_ex"):
            return event.place in self._begun and (event.result is None or event.result == "EINPROGRESS")
        if event.op == "poll" and not event.result:
            return event.arguments in (0, (0,))  # a glance: a loop that had other things to do
        return event.op in _QUIET and not isinstance(event.result, Failed)


def _call_key(event: Event) -> tuple[str, str, str, str, int]:
    """What names the same call in two runs; a poll is counted by host, whichever poller it is."""
    return (event.host, "" if event.op == "poll" else event.place, event.end, event.op, event.n)


def _sends(call: Event, segment: Event) -> bool:
    """Whether *segment*, written down just before, is what *call* sent."""
    if call.op in ("recv", "poll", "accept", "connect", "connect_ex"):
        return False
    if (call.host, call.time_ns) != (segment.host, segment.time_ns):
        return False
    return call.place == segment.place or (call.op == "send" and segment.op.startswith("datagram"))


def _size(segment: Event) -> str:
    length = len(segment.detail[0])
    return f"{length:,} B" if segment.op == "data" else f"{length:,} B {segment.op}"


def _same_call(fault: Event, anchor: Anchor, call: Event) -> bool:
    """Whether *fault*, anchored at a call, acted on *call*."""
    if call.op == "poll":
        return anchor.form == "poll" and fault.place == call.host and fault.n == call.n
    if anchor.form == "connect":  # within a host, where no segment is refused but the call itself
        return call.op == "connect" and call.place == fault.place
    acted = (anchor.op, fault.place, fault.n, fault.end)
    return acted == (call.op, call.place, call.n, call.end)


def _on_its_way(event: Event) -> str:
    """What befalls a datagram, in a few words."""
    fault = parse_fault(event.detail)
    if isinstance(fault, Delay):
        return f"{fault.seconds:g} s late"
    if isinstance(fault, Duplicate):
        return f"comes {fault.copies + 1} times"
    return "lost" if fault.kind == "drop" else "overtaken"


def _on_the_wire(event: Event) -> str:
    """What a fault at a byte does, in a few words."""
    fault = parse_fault(event.detail)
    what = fault.kind
    if isinstance(fault, Stall):
        what = f"stalled for {fault.seconds:g} s"
    elif isinstance(fault, Urgent):
        what = f"urgent byte {fault.data!r}"
    elif fault.kind == "eof":
        what = "end of the stream"
    elif fault.kind == "blackhole":
        return f"nothing arrives any more from byte {event.n:,} on"
    elif isinstance(fault, Coalesce):
        return f"{fault.bytes:,} bytes together from byte {event.n:,} on"
    return f"{what} before byte {event.n:,}"


def _other(event: Event) -> str:
    if event.kind == HANDLER and event.detail:
        return f"{event.detail} in {event.op}"
    if event.kind == OBSERVE:
        return f"observes {event.op}={_SEVERAL_LINES.sub(' ', event.detail)}"
    if event.kind == PROCESS and event.op == "end" and event.detail:
        return f"{event.place} ended: {event.detail}"
    if event.kind == PROCESS and event.op == "signal":
        return f"{event.detail} comes to {event.place}"
    if event.kind == PROCESS and event.op in _POWER:
        return _POWER[event.op]
    return ""


def shown_hosts(rows: Iterable[Row]) -> list[str]:
    """Who comes up in *rows*, in that order."""
    names: dict[str, None] = {}
    for row in rows:
        names.setdefault(row.host)
        for to, _ in row.arrows:
            names.setdefault(to)
    return list(names)
