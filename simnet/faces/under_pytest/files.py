"""Which TOML files are scenarios. Asked of each one in a folder of that name, ours or not, before anything is loaded."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["is_scenario"]

_LOOKS_LIKE_ONE = re.compile(
    r"""^\s*(?:["']?test["']?\s*=|\[\[\s*["']?fault["']?\s*\]\])""",  # TOML lets keys stand in quotes
    re.MULTILINE,
)


def is_scenario(path: Path) -> bool:
    """Whether a TOML file means to be a scenario, be it right or wrong."""
    try:
        return _LOOKS_LIKE_ONE.search(path.read_text(encoding="utf-8-sig", errors="replace")) is not None
    except OSError:
        return False
