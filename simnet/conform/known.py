"""Divergences that we know of and have decided to live with, each with its reason: rows of docs/fidelity.md.

An entry says which differences it explains. It is for what the kernel does by accident of its own making, never for what
a program could rely on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simnet.conform.kernel import Difference
from simnet.conform.program import Program

__all__ = ["KNOWN", "Known", "explain"]


class Known(NamedTuple):
    """One decision: what differs, in a sentence, why it stays, and how to recognise it."""

    what: str
    reason: str
    covers: Callable[[Program, Difference], bool]


def _third_bind_with_reuseport(program: Program, difference: Difference) -> bool:
    binds = [step for step in program if step.call == "bind"]
    reuses = any(step.call == "setsockopt" and step.args[0] == "SO_REUSEPORT" for step in program)
    answers = {difference.simnet, difference.kernel}
    return len(binds) > 2 and reuses and "bind" in difference.step and answers == {"EADDRINUSE", "None"}


KNOWN: tuple[Known, ...] = (
    Known(
        "Three sockets bind one port, some of them with SO_REUSEPORT: whether the third may is decided otherwise.",
        "Linux remembers for each port what the last one to bind it allowed (`fastreuseport`), and asks that memory before "
        "it looks at the sockets; so a bind may succeed that the rule of K-027 forbids. simnet keeps to the rule.",
        _third_bind_with_reuseport,
    ),
)


def explain(program: Program, difference: Difference) -> Known | None:
    """The entry that covers *difference*, if one does."""
    return next((known for known in KNOWN if known.covers(program, difference)), None)
