"""Which distinct failures may be one bug: those of a program that takes the data of one read for a whole message.

Cut at one byte, the message fails at one line, cut at another, elsewhere, and a sweep cuts everywhere. One fix removes them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simnet.explore.result import Failure

__all__ = ["akin_to"]

_CUTS = ("short-recv", "split")
_CUTS_TOO = (*_CUTS, "stall")  # what follows late arrives apart; by itself it may as well have outlasted a deadline


def akin_to(failure: Failure, failures: Sequence[Failure]) -> int | None:
    """The number, from 1, of the first of *failures* that the same input cut elsewhere shows; None if *failure* is that one."""
    stream = _cut_stream(failure)
    for number, other in enumerate(failures, 1):
        if other is failure or stream is None:
            return None
        if _cut_stream(other) == stream:
            return number
    return None


def _cut_stream(failure: Failure) -> tuple[str, str | None] | None:
    """The connection, and towards which end, whose bytes the failure's plan cuts; None if it does anything else."""
    if len(failure.plan) != 1 or not any(kind in failure.kinds for kind in _CUTS):
        return None
    (fault,) = failure.plan
    return (str(fault.on), getattr(fault, "end", None)) if fault.kind in _CUTS_TOO else None
