"""What repeats in a ladder is shown twice, and counted: a loop that spins, a heartbeat."""

from __future__ import annotations

import re

from simnet.explore.report.rows import Row

__all__ = ["told_once"]

LONGEST = 10  # rows of one round: a poll, a read, a write and a poll more, or what trio does for an attempt to connect
ROUNDS_MIN = 5  # in a row; fewer are shown as they are
NUMBER = re.compile(r"#\d+")  # which of the connections there it is: an attempt after the other has the next one
SHOWN = 2  # rounds, so that one sees it come again


def told_once(rows: list[Row]) -> list[Row]:
    """*rows* without what only repeats those before; the last one shown says how often that was."""
    keys = [_key(row) for row in rows]
    kept: list[Row] = []
    place = 0
    while place < len(rows):
        for length in range(1, LONGEST + 1):
            rounds = _rounds(keys, place, length)
            if rounds >= ROUNDS_MIN:
                kept += rows[place : place + SHOWN * length]
                kept[-1].more = rounds - SHOWN
                place += rounds * length
                kept[-1].until_ns = rows[place - 1].time_ns
                break
        else:
            kept.append(rows[place])
            place += 1
    return kept


def _key(row: Row) -> object:
    """What makes two rows alike, the fault's mark included; an object of its own for an exception, which is always shown."""
    return object() if row.loud and not row.mark else (row.host, NUMBER.sub("#", row.text), tuple(row.arrows), row.mark)


def _rounds(keys: list[object], start: int, length: int) -> int:
    """How often the *length* rows at *start* come in a row, the first time included."""
    end = start + length
    while end < len(keys) and keys[end] == keys[end - length]:
        end += 1
    return (end - start) // length
