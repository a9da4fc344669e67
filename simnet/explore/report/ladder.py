"""A run as a ladder: hosts side by side, time going down, segments as arrows, calls where they were made.

    seconds   test                            server
      0.000   connect server:7 ──── SYN ────▶
      0.001                                   accept EAGAIN  ⚡ baseline: accepted 10.0.0.1:32768

A row is one call with the segments it sent; routine events (wake-ups, bookkeeping) are left out. Beside
a baseline it begins shortly before the two differ.
"""

from __future__ import annotations

from collections.abc import Iterable

from simnet.explore.report.looks import WIDTH
from simnet.explore.report.repeats import told_once
from simnet.explore.report.rows import Row, rows_of, shown_hosts
from simnet.faults.hosts import BODY
from simnet.trace import Trace

__all__ = ["ladder"]

CLOCK = 10  # columns of the time and its margin
LANE_MIN = 24  # columns below which calls are unreadable; more hosts than fit so become a list
ARROW_MIN = 12  # columns that an arrow needs with its label cut short

_ASCII = str.maketrans({"─": "-", "▶": ">", "◀": "<", "⚡": "!", "⋮": ":", "…": "~"})


LED = 4  # rows that are shown of what led to the first thing that is told beyond a window: often it is the reason


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
    seen: tuple[int, int] | None = None,
) -> str:
    """The diagram of *trace*, at most *width* columns.

    *against* is the baseline's: then *before* rows ahead of the first difference are shown and *after* from there on, and a few that
    led to what is told later, unless *whole*. With nothing to compare, so many in all are shown up to the end, or to *last*: a row that says what became of a
    host, at *seen*, the number of events by then and the time, or where it called last. *hosts* orders the columns.
    """
    parting = against.first_difference(trace) if against is not None else None
    rows = rows_of(trace, against)
    end = None if last is None else _end_with(rows, trace, *last, seen)
    names = list(hosts) if hosts is not None else _hosts(trace)
    first = len(rows)
    if not whole:
        first = next((place for place, row in enumerate(rows) if parting is not None and row.index >= parting), first)
        alike = told_once(rows[:first])
        rows, first = alike + told_once(rows[first:]), len(alike)
    if whole or (parting is None and len(rows) <= before + after):
        lines: list[Row | str] = list(rows)
    elif against is None:
        lines = _window(rows, first if end is None else rows.index(end) + 1, before + after, 0)
    else:
        parting = len(trace) if parting is None else parting
        lines = _window(rows, first, before, after, f"─── equal to the baseline up to here ({parting} events) ───")
    shown = [row for row in lines if isinstance(row, Row)]
    if hosts is None and not whole:
        drawn_for = shown_hosts(shown)
        names = [name for name in names if name in drawn_for] or names
    canvas = _Canvas(names, width)
    text = [canvas.head()]
    for line in lines:
        text.extend(canvas.row(line) if isinstance(line, Row) else [_shortened(line, width)])
        if isinstance(line, Row) and line.more:
            until = f", until {line.until_ns / 1e9:.3f}" if line.until_ns != line.time_ns else ""
            text.append(f"{' ' * CLOCK}⋮  the same {line.more:,} times more{until}")
    drawn = "\n".join(each.rstrip() for each in text)
    return drawn if unicode else drawn.translate(_ASCII).encode("ascii", "replace").decode()


def _end_with(rows: list[Row], trace: Trace, host: str, text: str, seen: tuple[int, int] | None) -> Row:
    """Tell what became of *host* where it happened: beside the trace's own word of it, where it was *seen*, or after its last call. In
    which row.
    """
    name, _, place = text.partition("  ")
    for row in rows:
        if row.host == host and row.loud and name in row.text.split():
            row.text += f"  {place}".rstrip()  # the trace has the exception, not its line
            return row
    after = next((index for index in range(len(rows), 0, -1) if rows[index - 1].host == host), None)
    if seen is not None:  # it had waited since its last call, while others went on
        index, time_ns = seen
        after = next((number for number, row in enumerate(rows) if row.index >= index), len(rows))
    elif after is not None:
        index, time_ns = rows[after - 1].index, rows[after - 1].time_ns
    else:  # it has only slept
        index, time_ns = next(
            ((place, event.time_ns) for place, event in reversed(list(enumerate(trace))) if event.host == host), (0, 0)
        )
        after = next((number for number, row in enumerate(rows) if row.time_ns > time_ns), len(rows))
    told = Row(index, time_ns, host, text, loud=True)
    rows.insert(after, told)
    return told


def _hosts(trace: Trace) -> list[str]:
    """The body's host first, the others as they come up."""
    names: dict[str, None] = {}
    for event in trace:
        if event.host:
            names.setdefault(event.host)
    return [name for name in names if name == BODY] + [name for name in names if name != BODY]


def _window(rows: list[Row], first: int, before: int, after: int, divide: str = "") -> list[Row | str]:
    """The rows to show, *before* ahead of row *first* and *after* from there on, with a line wherever some are left out."""
    lines: list[Row | str] = []
    margin = " " * CLOCK
    start = max(0, first - before)
    start = 0 if start <= 2 else start  # a line that says so would take as much room
    if start:
        lines.append(f"{margin}⋮  {start} rows")
    lines.extend(rows[start:first])
    if first and divide:
        lines.append(f"{margin}{divide}")
    rest = rows[first:]
    if len(rest) <= after + 2:
        return lines + rest
    lines.extend(rest[:after])
    left: list[Row] = []
    led = LED
    for row in [*rest[after:], None]:
        if row is not None and not row.loud:
            left.append(row)
            continue
        shown = led if row is not None else 0
        gap = len(left) - shown
        lines.extend(left if gap <= 2 else [f"{margin}⋮  {gap} rows", *left[gap:]])
        if left and row is not None:
            led = 0
        left = []
        if row is not None:
            lines.append(row)
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

    def row(self, row: Row) -> list[str]:
        clock = f"{row.time_ns / 1e9:{CLOCK - 2}.3f}  "
        if self.listed or row.host not in self.at:
            return self._listed(clock, row)
        lines: list[str] = []
        for place, (to, label) in enumerate(row.arrows or [("", "")]):
            text = row.text if place == 0 else ""
            lines.append(self._drawn(clock, row.host, text, to, label))
        if row.mark:
            room = max(CLOCK, self.width - len(row.mark))  # a long one of the last column begins further left
            spaced = f"{lines[0].rstrip()}  {row.mark}"
            if not (row.text or row.arrows):
                lines[0] = self._cut(f"{clock.ljust(min(self.at[row.host], room))}{row.mark}")
            elif len(spaced) <= self.width:
                lines[0] = spaced
            else:
                lines.append(self._cut(f"{' ' * min(self.at[row.host] + 2, room)}{row.mark}"))
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

    def _listed(self, clock: str, row: Row) -> list[str]:
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
