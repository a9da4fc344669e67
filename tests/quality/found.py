"""What is asked of every sweep that looks for a planted bug."""

from __future__ import annotations

from simnet.explore.result import Failure, SweepResult

__all__ = ["only"]


def only(result: SweepResult) -> Failure:
    """The failure it found; there is no other."""
    assert len(result.failures) == 1, [failure.key for failure in result.failures]
    return result.failures[0]
