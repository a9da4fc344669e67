"""The tables of a scenario's file, edited in place: what a person wrote at a fault stays with it, and what stands behind a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["put", "with_faults"]

_HEADER = re.compile(r"\s*\[")  # of any table, or list of tables
_FAULT = re.compile(r"\s*\[\[\s*fault\s*\]\]")
_COMMENT = re.compile(r"\s*#")

Table = Mapping[str, Any]


def put(document: Any, key: str, value: Any) -> None:
    """Let *key*, which is there, be *value*; of a table what it holds. To tomlkit the comments up to the next one are a part of it."""
    from tomlkit import items

    there = document[key]
    if not isinstance(there, items.Table) or there.is_super_table():  # of keys with a dot
        document[key] = value
        return
    first = next(iter(there), "")
    for name, each in reversed([*value.unwrap().items()]):
        if name in there or not first:
            there[name] = each
        else:  # behind what is last there may be a comment on the next table
            there.value._insert_after(first, name, each)
    for name in [name for name in there if name not in value]:
        del there[name]


def with_faults(text: str, before: Sequence[tuple[Table, str]], after: Iterable[tuple[Table, str]]) -> str | None:
    """*text* with the faults *after* in place of those *before*, each a table and its sentence; ``None`` if they are not written as ``[[fault]]``.

    What is dropped takes its comments along. The sentence that simnet writes at a fault changes with it.
    """
    import tomlkit

    lines = text.splitlines(keepends=True)
    starts = [number for number, line in enumerate(lines) if _FAULT.match(line)]
    if len(starts) != len(before):
        return None
    pieces: list[str | int] = []  # text that stays, or the number of the fault that stands there
    blocks: list[tuple[list[str], list[str]]] = []
    at = 0
    for number, start in enumerate(starts):
        top = _above(lines, start, at)
        end = next((index for index in range(start + 1, len(lines)) if _HEADER.match(lines[index])), len(lines))
        if end < len(lines):
            end = _above(lines, end, start + 1)
        pieces += ["".join(lines[at:top]), number]
        blocks.append((lines[top:start], lines[start:end]))
        at = end
    pieces.append("".join(lines[at:]))
    kept = _stays([table for table, _ in before], [table for table, _ in after])
    if kept is None:
        return None
    written: dict[int, str] = {}
    for number, (table, sentence) in zip(kept, after, strict=True):
        above, block = blocks[number]
        document: Any = tomlkit.parse("".join(block))
        fault = document["fault"][0]
        for key in [key for key in fault if key not in table]:
            del fault[key]
        for key, value in table.items():
            if key not in fault or fault[key] != value:
                fault[key] = value
        written[number] = "".join(above) + tomlkit.dumps(document).replace(f"# {before[number][1]}", f"# {sentence}", 1)
    return "".join(each if isinstance(each, str) else written.get(each, "") for each in pieces)


def _above(lines: Sequence[str], header: int, least: int) -> int:
    """Where what stands above a table's *header* and belongs to it begins: the comments that touch it, and empty lines."""
    while header > least and _COMMENT.match(lines[header - 1]):
        header -= 1
    while header > least and not lines[header - 1].strip():
        header -= 1
    return header


def _stays(before: Sequence[Table], after: Sequence[Table]) -> list[int] | None:
    """Which of those before each of those after was, in their order: of several of a kind, the one that differs least."""
    found: list[int] = []
    for number, table in enumerate(after):
        first = found[-1] + 1 if found else 0
        last = len(before) - (len(after) - number - 1)
        alike = [index for index in range(first, last) if before[index]["kind"] == table["kind"]]
        if not alike:
            return None
        found.append(min(alike, key=lambda index: sum(before[index].get(key) != table[key] for key in table)))
    return found
