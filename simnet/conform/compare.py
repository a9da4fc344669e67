"""One program in both worlds, and how a difference is judged.

A difference counts if it recurs: the same program, on fresh sockets and at a slower pace, must differ at the same
step in the same way. One that does not recur was the kernel's timing, and is counted separately.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simnet.conform.kernel import Difference, Run
from simnet.conform.predict import Prediction, predict
from simnet.conform.program import Program
from simnet.conform.script import as_script
from simnet.conform.shrink import shrink
from simnet.conform.words import Setting

__all__ = ["Divergence", "compare", "confirm", "difference_of"]

PACES = (0.0, 0.001, 0.003)  # seconds after each step, in the runs that confirm
SHRINK_PACE = 0.0005


@dataclass(frozen=True, slots=True)
class Divergence:
    """A confirmed difference: the program that shows it, as short as it got, and the difference."""

    seed: str
    program: Program
    difference: Difference
    setting: Setting  # addresses that were free when it was found
    traceback: str = ""

    def script(self, name: str = "divergence.py") -> str:
        """A script of its own that shows it, for a file of this name."""
        title = f"The kernel and simnet part at step {self.difference.number + 1}: {self.difference.step}"
        return as_script(self.program, self.setting, title, name)

    def __str__(self) -> str:
        told = f"{self.program}\n\n{self.difference}{self.traceback and chr(10)}{self.traceback}\n(seed {self.seed})"
        return f"{told}\n\nThe same as a script for both worlds:\n\n{self.script()}"


def difference_of(prediction: Prediction) -> Difference | None:
    """What is wrong with a prediction before any kernel was asked: simnet broke."""
    if prediction.crash is None:
        return None
    number = len(prediction.seen)
    call = prediction.states[-1][1] if prediction.states else ""
    return Difference("crash", number, f"{call}()", prediction.crash.strip().splitlines()[-1], "no crash")


def compare(program: Program, setting: Setting, pace: float = 0.0) -> Difference | None:
    """Both runs, at once and to the end."""
    prediction = predict(program, setting)
    broken = difference_of(prediction)
    if broken is not None:
        return broken
    run = Run(prediction, setting, pace)
    try:
        return run.go() or run.look_again()
    finally:
        run.close()


def confirm(seed: str, program: Program, found: Difference, settings: Iterator[Setting]) -> Divergence | None:
    """The shortest program with this difference, or ``None`` if it does not come again."""
    signature = found.signature
    for pace in PACES:
        again = compare(program, next(settings), pace)
        if again is None or again.signature != signature:
            return None

    def diverges(candidate: Program) -> bool:
        if not candidate:
            return False
        difference = compare(candidate, next(settings), SHRINK_PACE)
        return difference is not None and difference.signature[:2] == signature[:2]

    shortest = shrink(program, diverges)
    difference = compare(shortest, next(settings), SHRINK_PACE) or found
    crash = predict(shortest, next(settings)).crash or ""
    return Divergence(seed, shortest, difference, next(settings), crash)
