"""What a series of random programs came to: how many agreed, what did not, and which calls in which states were reached."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simnet.conform.compare import Divergence
from simnet.conform.kernel import Difference

__all__ = ["Report"]


@dataclass(slots=True)
class Report:
    """Counts of a series. It prints as a page, and grows while the series runs."""

    seed: int = 0
    programs: int = 0
    steps: int = 0
    agreed: int = 0
    known: Counter[str] = field(default_factory=Counter)  # reasons of docs/fidelity.md
    unsteady: list[tuple[str, Difference]] = field(default_factory=list)  # with the seed: the kernel differed only once
    not_modelled: Counter[str] = field(default_factory=Counter)
    divergences: list[Divergence] = field(default_factory=list)
    again: Counter[str] = field(default_factory=Counter)  # further programs with a divergence of the same kind
    coverage: Counter[tuple[str, str]] = field(default_factory=Counter)  # (state, call)
    seconds: float = 0.0
    stopped: bool = False  # by Ctrl-C
    # By that: the seeds of programs of which nobody knows whether they differ.
    cut_short: list[str] = field(default_factory=list)
    first: int = 0  # the number of the first program

    @property
    def clean(self) -> bool:
        """Did nothing diverge but what is known?"""
        return not self.divergences

    def __str__(self) -> str:
        rate = self.programs / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.programs} programs, {self.steps} steps, seed {self.seed}, {rate:.0f} programs a second",
            f"{self.agreed} agreed with the kernel in every answer and readiness bit",
            f"{len(self.coverage)} pairs of state and call were reached, {self.states} states, {self.calls} calls",
        ]
        if self.stopped:
            lines.append(f"stopped by Ctrl-C; --first {self.first + self.programs} goes on from there")
        if self.cut_short:
            lines.append(f"not compared to the end when that came: seeds {', '.join(self.cut_short)}")
        if self.known:
            lines.append("known, see docs/fidelity.md:")
            lines += [f"  {count:6}  {reason}" for reason, count in self.known.most_common()]
        if self.not_modelled:
            lines.append("left simnet's model (NotModelled), compared up to there:")
            lines += [f"  {count:6}  {call}" for call, count in self.not_modelled.most_common()]
        if self.unsteady:
            lines.append(
                f"{len(self.unsteady)} differed once and not again, the kernel's timing: "
                f"seeds {', '.join(seed for seed, _ in self.unsteady[:5])}"
            )
        for number, divergence in enumerate(self.divergences, 1):
            lines += ["", f"divergence {number}", "", str(divergence)]
        if self.again:
            lines += ["", f"and {sum(self.again.values())} further programs with one of these"]
        return "\n".join(lines)

    @property
    def states(self) -> int:
        """How many states a call was made in."""
        return len({state for state, _ in self.coverage})

    @property
    def calls(self) -> int:
        """How many different calls were made."""
        return len({call for _, call in self.coverage})

    def matrix(self) -> str:
        """State by call, how often: the table behind the two numbers."""
        states = sorted({state for state, _ in self.coverage})
        calls = sorted({call for _, call in self.coverage})
        width = max(map(len, states), default=0)
        lines = [" " * width + "  " + " ".join(f"{call[:9]:>9}" for call in calls)]
        lines += [
            f"{state:{width}}  " + " ".join(f"{self.coverage.get((state, call), '') or '.':>9}" for call in calls)
            for state in states
        ]
        return "\n".join(lines)
