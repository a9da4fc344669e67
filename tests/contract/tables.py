"""The tables of state and call: what every call answers in every state, once and then again.

They are measured on the kernel and kept as text, `tables/*.toml`, so that a person can read them and a diff shows what a
new kernel does otherwise. `python -m tests.contract.tables` measures them again.

A cell reads ``first / second -> mask``: the answers of two calls, one answer if they are the same, and the readiness
after the first call (``->``) and after the second (``->>``) where it changed.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from simnet.conform.words import Setting, Words, outcome
from tests.contract.states import CALLS, LEFT_OUT, TABLES
from tests.contract.worlds import World, open_world

FOLDER = Path(__file__).parent / "tables"
NOT_OPEN = "closed"


def cell(world: World, table: str, state: str, call: str, *, patient: bool = True) -> str:
    """Two calls in a fresh socket of this state; if *patient*, with a pause after each for what may be on its way."""
    states, _ = TABLES[table]
    sock = states[state](world)
    words = Words(Setting(world.ip, world.other_ip, 1, f"simnet-contract-{world.number}-"))
    before = _mask(world, sock)
    first = _told(words, call, outcome(lambda: CALLS[call](world, sock)))
    after = _settled_mask(world, sock, patient)
    second = _told(words, call, outcome(lambda: CALLS[call](world, sock)))
    last = _settled_mask(world, sock, patient)
    text = first if first == second else f"{first} / {second}"
    if after != before:
        text += f" -> {after}"
    if last != after:
        text += f" ->> {last}"
    return text


def readiness(world: World, table: str, state: str) -> str:
    return _mask(world, TABLES[table][0][state](world))


def _told(words: Words, call: str, answer: Any) -> str:
    if call.startswith("get") and isinstance(answer, (tuple, bytes)):
        return words.address(answer)
    return "ok" if answer is None else words.say(answer)


def _mask(world: World, sock: Any) -> str:
    return NOT_OPEN if sock.fileno() == -1 else world.mask(sock)


def _settled_mask(world: World, sock: Any, patient: bool) -> str:
    if patient:
        world.pause()
    return _mask(world, sock)


def calls_of(table: str, state: str) -> list[str]:
    """The columns of one row."""
    return [call for call in TABLES[table][1] if state not in LEFT_OUT.get((table, call), ())]


@lru_cache
def recorded(table: str) -> dict[str, dict[str, str]]:
    """The table as it was measured."""
    rows: dict[str, dict[str, str]] = tomllib.loads((FOLDER / f"{table}.toml").read_text(encoding="utf-8"))
    return rows


def measure(table: str) -> str:
    """The table as the kernel of this machine has it, as TOML."""
    lines = [f"# What every call answers in every state of a {table} socket, measured on the kernel; see ../tables.py."]
    for state in TABLES[table][0]:
        lines += ["", f"[{state}]"]
        with open_world("kernel") as world:
            lines.append(f"readiness = {_quoted(readiness(world, table, state))}")
        for call in calls_of(table, state):
            with open_world("kernel") as world:
                lines.append(f"{call} = {_quoted(cell(world, table, state, call))}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return f"'{text}'" if "'" not in text else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in TABLES:
        (FOLDER / f"{name}.toml").write_text(measure(name), encoding="utf-8")
