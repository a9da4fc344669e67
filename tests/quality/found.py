"""What is asked of every sweep that looks for a planted bug."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from simnet.explore.result import Failure, SweepResult

__all__ = ["line_of", "only"]


def only(result: SweepResult) -> Failure:
    """The failure it found; there is no other."""
    assert len(result.failures) == 1, [failure.key for failure in result.failures]
    return result.failures[0]


def line_of(module: ModuleType, mark: str) -> str:
    """``servers.py:57``: the line of *module* that ends in ``# MARK``."""
    assert module.__file__ is not None
    path = Path(module.__file__)
    lines = path.read_text(encoding="utf-8").splitlines()
    (found,) = (number for number, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))
    return f"{path.name}:{found}"
