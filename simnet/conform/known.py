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


KNOWN: tuple[Known, ...] = ()


def explain(program: Program, difference: Difference) -> Known | None:
    """The entry that covers *difference*, if one does."""
    return next((known for known in KNOWN if known.covers(program, difference)), None)
