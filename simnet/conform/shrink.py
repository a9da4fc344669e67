"""A program that diverges, made as short as it can be while it diverges in the same way.

Delta debugging over steps: leave out halves, quarters, single steps, as long as the same answer to the same call stays
wrong; then make the payloads that remain small, and the calls plain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from simnet.conform.program import Program, Step

__all__ = ["shrink"]

Diverges = Callable[[Program], bool]
TRIALS_MAX = 600  # a program of 30 steps needs about 150


def shrink(program: Program, diverges: Diverges) -> Program:
    """The shortest program found of which *diverges* says True, beginning with *program*."""
    trials = 0

    def still(candidate: Program) -> bool:
        nonlocal trials
        trials += 1
        return trials <= TRIALS_MAX and diverges(candidate)

    while trials < TRIALS_MAX:
        shorter = _leave_out(program, still)
        simpler = _simplify(shorter, still)
        if simpler == program:
            break
        program = simpler
    return program


def _leave_out(program: Program, still: Diverges) -> Program:
    size = max(1, len(program) // 2)
    while size:
        first = 0
        while first < len(program):
            candidate = program.without(first, size)
            if len(candidate) < len(program) and still(candidate):
                program = candidate
            else:
                first += size
        size //= 2
    return program


def _simplify(program: Program, still: Diverges) -> Program:
    for number in range(len(program)):
        for step in _simpler(program[number]):
            candidate = Program((*program[:number], step, *program[number + 1 :]))
            if still(candidate):
                program = candidate
                break
    return program


def _simpler(step: Step) -> Iterator[Step]:
    """The same call with smaller arguments, the smallest first."""
    if step.call == "sendmsg" and len(step.args) > 1:
        yield step._replace(call="send", args=(b"".join(step.args),))
    if step.call in ("recv_into", "recvfrom", "recvmsg") and len(step.args) == 1:
        yield step._replace(call="recv")
    if step.call == "recvmsg_into":
        yield step._replace(call="recv", args=(sum(step.args),))
    for place, argument in enumerate(step.args):
        for smaller in _smaller(argument):
            yield step._replace(args=(*step.args[:place], smaller, *step.args[place + 1 :]))


def _smaller(argument: Any) -> Iterator[Any]:
    if isinstance(argument, bytes):
        for size in sorted({1, 2, len(argument) // 2} - {0}):
            if size < len(argument):
                yield argument[:size]
