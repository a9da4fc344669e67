"""A run as a ladder: hosts side by side, time going down, segments as arrows, calls where they were made.

    seconds   test                            server
      0.000   connect server:7 ──── SYN ────▶
      0.001                                   accept EAGAIN  ⚡ baseline: accepted 10.0.0.1:32768

A row is one call with the segments it sent; what happens to nobody's surprise (wake-ups, bookkeeping) is left out. Beside
a baseline it begins shortly before the two part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from simnet.explore.phrases import answer, call_phrase, ends_of, segment_phrase
from simnet.trace import CALL, FAULT, HANDLER, OBSERVE, PROCESS, SEGMENT, Event, Failed, Trace

__all__ = ["WIDTH", "ladder"]

WIDTH = 110  # columns: fits a terminal of 120 with a margin, and a code host's page
CLOCK = 10  # columns of the time and its margin
LANE_MIN = 24  # columns below which calls are unreadable; more hosts than fit so become a list
ARROW_MIN = 12  # columns that an arrow needs with its label cut short
BODY = "test"  # the host of the test's body stands left

_QUIET = ("getsockname", "getpeername", "getsockopt", "setsockopt", "bind", "listen", "socket")
_ASCII = str.maketrans({"─": "-", "▶": ">", "◀": "<", "⚡": "!", "⋮": ":", "…": "~"})
_BOLT = "⚡"


@dataclass(slots=True)
class _Row:
    index: int  # of its first event in the trace
    time_ns: int
    host: str
    text: str = ""
    arrows: list[tuple[str, str]] = field(default_factory=list)  # (to whom, label)
    mark: str = ""  # what the fault did here, and what the baseline did
    loud: bool = False  # an exception: shown even where rows are left out


def ladder(
    trace: Trace,
    *,
    against: Trace | None = None,
    width: int = WIDTH,
    unicode: bool = True,
    before: int = 6,
    after: int = 14,
    whole: bool = False,
    hosts: Iterable[str] | None = None,
    last: tuple[str, str] | None = None,
) -> str:
    """The diagram of *trace*, at most *width* columns.

    *against* is the baseline's: then *before* rows ahead of the first difference are shown and *after* from there on, unless
    *whole*. *hosts* orders the columns. *last* is a row to end with: a host, and what became of it.
    """
    parting = against.first_difference(trace) if against is not None else None
    rows = list(_rows(list(trace), against))
    if last is not None:
        end = trace[len(trace) - 1].time_ns if len(trace) else 0
        rows.append(_Row(len(trace), end, last[0], last[1], loud=True))
    names = list(hosts) if hosts is not None else _hosts(trace)
    lines = _window(rows, parting, before, after, whole, len(trace))
    shown = [row for row in lines if isinstance(row, _Row)]
    if hosts is None and not whole:
        seen = {name for row in shown for name in (row.host, *(to for to, _ in row.arrows))}
        names = [name for name in names if name in seen] or names
    canvas = _Canvas(names, width)
    text = [canvas.head()]
    for line in lines:
        text.extend(canvas.row(line) if isinstance(line, _Row) else [line])
    drawn = "\n".join(each.rstrip() for each in text)
    return drawn if unicode else drawn.translate(_ASCII).encode("ascii", "replace").decode()


# --- from events to rows ---------------------------------------------------------------------------------------------


def _rows(events: list[Event], against: Trace | None) -> Iterator[_Row]:
    usual: dict[tuple[str, str, str, str, int], Event] | None = None
    waiting: list[tuple[str, _Row]] = []  # segments sent by a call that is not written down yet
    fault: Event | None = None
    for index, event in enumerate(events):
        kind = event.kind
        if kind == SEGMENT:
            _, to = ends_of(event.place, event.end)
            row = _Row(index, event.time_ns, event.host)
            row.arrows.append((to or event.host, segment_phrase(event)))
            waiting.append((event.host, row))
            continue
        if kind == FAULT:
            if usual is None:
                usual = _calls(against)
            if _is_call(event, events, index):
                fault = event
            else:
                yield from (row for _, row in waiting)
                waiting.clear()
                yield _Row(index, event.time_ns, _whose(event), mark=_byte_mark(event), loud=True)
            continue
        if kind == CALL:
            row = _Row(index, event.time_ns, event.host, call_phrase(event))
            for host, sent in waiting:
                if host == event.host and sent.time_ns == event.time_ns and _sends(event) and len(row.arrows) < 2:
                    row.arrows.extend(sent.arrows)
                    row.index = min(row.index, sent.index)
                else:
                    yield sent
            waiting.clear()
            if fault is not None and _same_call(fault, event):
                was = (usual or {}).get(_call_key(event))
                row.mark = f"{_BOLT} baseline: {answer(was) or was.op}" if was is not None else f"{_BOLT} {fault.op}"
                row.loud = True
                fault = None
            elif event.op in _QUIET and not isinstance(event.result, Failed):
                continue
            yield row
            continue
        yield from (row for _, row in waiting)
        waiting.clear()
        text = _other(event)
        if text:
            yield _Row(index, event.time_ns, event.host, text, loud=kind in (HANDLER, PROCESS))
    yield from (row for _, row in waiting)


def _calls(trace: Trace | None) -> dict[tuple[str, str, str, str, int], Event]:
    return {_call_key(event): event for event in trace.of(CALL)} if trace is not None else {}


def _call_key(event: Event) -> tuple[str, str, str, str, int]:
    """What names the same call in two runs; a poll is counted by host, whichever poller it is."""
    return (event.host, "" if event.op == "poll" else event.place, event.end, event.op, event.n)


def _sends(event: Event) -> bool:
    return event.op not in ("recv", "poll", "accept")


def _is_call(fault: Event, events: list[Event], index: int) -> bool:
    """Whether *fault* acted on the call that is written down next: an anchor of calls, not of bytes."""
    near = events[index + 1 : index + 8]  # between them only the segments that the call sent
    return any(event.kind == CALL and _same_call(fault, event) for event in near)


def _same_call(fault: Event, call: Event) -> bool:
    if call.op == "poll":
        return fault.op == "wake" and fault.place == call.host and fault.n == call.n
    if fault.op == "refuse":
        return call.op in ("connect", "connect_ex") and fault.place == call.place
    words = str(fault.detail).split()
    if f"call={fault.n}" not in words:
        return False
    ops = {"short-recv": "recv", "partial-send": "send", "reset-before-accept": "accept"}
    op = ops.get(fault.op) or (words[2] if len(words) > 2 and "=" not in words[2] else "")
    return (call.op, call.place, call.n) == (op, fault.place, fault.n) and (not fault.end or call.end == fault.end)


def _whose(fault: Event) -> str:
    """The host in whose column a fault on the wire is told: the one towards whom the bytes travel."""
    return ends_of(fault.place, fault.end)[1] or fault.place.partition(":")[0]


def _byte_mark(fault: Event) -> str:
    words = str(fault.detail).split()
    told = [word for word in words[2:] if not word.startswith("end=")]
    return f"{_BOLT} {fault.op} {' '.join(told)}".rstrip()


def _other(event: Event) -> str:
    if event.kind == HANDLER and event.detail:
        return f"{event.detail} in {event.op}"
    if event.kind == OBSERVE:
        return f"observes {event.op}={event.detail!r}"
    if event.kind == PROCESS and event.op == "end" and event.detail:
        return f"{event.place} ended: {event.detail}"
    return ""


def _hosts(trace: Trace) -> list[str]:
    """The body's host first, the others as they come up."""
    names: dict[str, None] = {}
    for event in trace:
        if event.host:
            names.setdefault(event.host)
    return [name for name in names if name == BODY] + [name for name in names if name != BODY]


def _window(
    rows: list[_Row], parting: int | None, before: int, after: int, whole: bool, events: int
) -> list[_Row | str]:
    """The rows to show, with a line wherever some are left out."""
    if whole or (parting is None and len(rows) <= before + after):
        return list(rows)
    if parting is None:
        parting = events
    first = next((place for place, row in enumerate(rows) if row.index >= parting), len(rows))
    lines: list[_Row | str] = []
    margin = " " * CLOCK
    start = max(0, first - before)
    if start:
        lines.append(f"{margin}⋮  {start} rows")
    lines.extend(rows[start:first])
    if first:
        lines.append(f"{margin}─── equal to the baseline up to here ({parting} events) ───")
    rest = rows[first:]
    if len(rest) <= after + 2:
        lines.extend(rest)
        return lines
    lines.extend(rest[:after])
    left = 0
    for row in rest[after:]:
        if row.loud:
            if left:
                lines.append(f"{margin}⋮  {left} rows")
            left = 0
            lines.append(row)
        else:
            left += 1
    if left:
        lines.append(f"{margin}⋮  {left} rows")
    return lines


# --- from rows to text -----------------------------------------------------------------------------------------------


class _Canvas:
    """Columns of hosts, and what is written into them."""

    def __init__(self, names: list[str], width: int) -> None:
        self.width = width
        self.names = names
        room = width - CLOCK
        self.listed = len(names) * LANE_MIN > room  # too many hosts for columns: each row says whose it is
        if len(names) == 2:
            starts = [CLOCK, CLOCK + room * 45 // 100]  # the right one also tells what the fault did
        else:
            starts = [CLOCK + room * place // max(len(names), 1) for place in range(len(names))]
        self.at = dict(zip(names, starts, strict=True))

    def head(self) -> str:
        if self.listed:
            return f"{'seconds':>{CLOCK - 2}}  hosts: {', '.join(self.names)}"[: self.width]
        line = f"{'seconds':>{CLOCK - 2}}"
        for name, start in self.at.items():
            line = f"{line.ljust(start)}{name}"
        return line[: self.width]

    def row(self, row: _Row) -> list[str]:
        clock = f"{row.time_ns / 1e9:{CLOCK - 2}.3f}  "
        if self.listed or row.host not in self.at:
            return self._listed(clock, row)
        lines: list[str] = []
        for place, (to, label) in enumerate(row.arrows or [("", "")]):
            text = row.text if place == 0 else ""
            lines.append(self._drawn(clock, row.host, text, to, label))
        if row.mark:
            spaced = f"{lines[0].rstrip()}  {row.mark}" if row.text else f"{clock.ljust(self.at[row.host])}{row.mark}"
            if len(spaced) <= self.width:
                lines[0] = spaced
            else:
                start = self.at[row.host] + 2
                lines.append(f"{' ' * start}{row.mark}"[: self.width])
        return lines

    def _drawn(self, clock: str, host: str, text: str, to: str, label: str) -> str:
        start = self.at[host]
        goal = self.at.get(to)
        if goal is None or goal == start:  # nothing is sent, or to the host itself
            whole = f"{text}  ({label})" if label and text else label or text
            return self._cut(f"{clock.ljust(start)}{whole}")
        if goal > start:
            room = goal - start - 1
            text = _shortened(text, room - ARROW_MIN)
            lead = f"{text} " if text else ""
            return f"{clock.ljust(start)}{lead}{_arrow(label, room - len(lead))}▶"
        back = start - goal - 2
        return self._cut(f"{clock.ljust(goal)}◀{_arrow(label, back)} {text}")

    def _listed(self, clock: str, row: _Row) -> list[str]:
        text = f"{row.host}  {row.text}" if row.text else row.host
        for to, label in row.arrows:
            text = f"{text}  ── {label} ──▶ {to}"
        if row.mark:
            text = f"{text}  {row.mark}"
        return [self._cut(f"{clock}{text}")]

    def _cut(self, line: str) -> str:
        return _shortened(line, self.width)


def _arrow(label: str, room: int) -> str:
    """A shaft of *room* columns with *label* in its middle."""
    label = _shortened(label, room - 4)
    told = f" {label} " if label else ""
    left = (room - len(told)) // 2
    return f"{'─' * left}{told}{'─' * (room - left - len(told))}"


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"
