"""At which line stands code that goes round and never waits: at its loop's, wherever in it the watchdog has met it."""

from __future__ import annotations

import dis
import traceback
from collections.abc import Sequence
from functools import lru_cache
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

from simnet.blame import users_own

__all__ = ["Look", "Loop", "at_loop", "going_round", "look_at"]

Look = tuple[tuple[CodeType, int], ...]  # each frame's code and instruction, the outermost first


class Loop(NamedTuple):
    """A loop of a function, by its lines."""

    code: CodeType
    line: int  # the first, in which its condition is
    instruction: int  # the first there


def look_at(frame: FrameType | None) -> Look:
    """Where the program with that *frame* is. It keeps no frame, and with that nothing that the program has."""
    return tuple((each.f_code, each.f_lasti) for each, _ in traceback.walk_stack(frame))[::-1]


def going_round(looks: Sequence[Look]) -> Loop | None:
    """The loop of the user's code in which all *looks* have met it; None if there is none that a line says.

    Who calls it stands still, and what it calls comes and goes: it is in the first function that has moved.
    """
    deepest = min(map(len, looks))
    moved = next((depth for depth in range(deepest) if len({look[depth] for look in looks}) > 1), deepest - 1)
    if len({look[moved][0] for look in looks}) > 1:  # another function each time
        moved -= 1
    while moved >= 0 and not users_own(looks[0][moved][0].co_filename):
        moved -= 1
    if moved < 0:
        return None
    code, met = looks[0][moved][0], {look[moved][1] for look in looks}
    around = [(end - begin, begin, end) for begin, end in _loops(code) if begin <= min(met) and max(met) <= end]
    if not around:
        return None
    _, begin, end = min(around)
    lines = [(line, first) for first, last, line in code.co_lines() if line and first <= end and last > begin]
    line, instruction = min(lines)
    return Loop(code, line, instruction)


@lru_cache(maxsize=64)
def _loops(code: CodeType) -> list[tuple[int, int]]:
    """The first and the last instruction of each."""
    jumps = [each for each in dis.get_instructions(code) if each.opcode in dis.hasjrel and "BACKWARD" in each.opname]
    return [(each.argval, each.offset) for each in jumps]


def at_loop(error: TracebackType | None, loop: Loop) -> TracebackType | None:
    """The traceback *error* up to the function of *loop*, which stands at its first line; as it is if that is not in it."""
    steps = [error] if error is not None else []
    while steps and steps[-1].tb_next is not None:
        steps.append(steps[-1].tb_next)
    while steps and steps[-1].tb_frame.f_code is not loop.code:
        steps.pop()
    if not steps:
        return error
    kept = TracebackType(None, steps.pop().tb_frame, loop.instruction, loop.line)
    for each in reversed(steps):
        kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept
