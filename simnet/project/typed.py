"""Names as a person can type them: files and tests relative to the current folder, quoted for a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["from_here", "named_from_here", "pytest_command", "quoted_from_here"]


def from_here(path: Path) -> str:
    """*path*, relative where it lies below the current folder."""
    here = Path.cwd()
    for each in (path.absolute(), path.resolve()):  # not through links first: .venv is one, often
        if each.is_relative_to(here):
            return str(each.relative_to(here))
    return str(path)


def quoted_from_here(path: Path) -> str:
    """The same, as an argument of a command."""
    return shlex.quote(from_here(path))


def named_from_here(test_id: str, root: Path | None) -> str:
    """The test, whose id counts from *root*, as one names it from here."""
    folder = "." if root is None else from_here(root)
    return shlex.quote(test_id if folder == "." else f"{folder}/{test_id}")


def pytest_command(test_id: str, root: Path | None, file: Path | None = None) -> str:
    """``pytest tests/test_echo.py::test_echo``, from here; *test_id* counts from *root*. With a scenario's *file*, its replay."""
    replay = "" if file is None else f" --simnet-replay {quoted_from_here(file)}"
    return f"pytest {named_from_here(test_id, root)}{replay}"
