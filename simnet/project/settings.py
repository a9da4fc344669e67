"""pytest's settings of a project, in whichever file: those that decide what is imported and what is played."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["Told", "told_pytest"]

# In the order in which pytest looks; the first that speaks to it is the one it reads.
FILES: Final = (
    ("pytest.toml", "pytest"),
    (".pytest.toml", "pytest"),
    ("pytest.ini", "pytest"),
    (".pytest.ini", "pytest"),
    ("pyproject.toml", "tool.pytest"),
    ("tox.ini", "pytest"),
    ("setup.cfg", "tool:pytest"),
)


class Told(NamedTuple):
    """The entries of a setting that is a list, and the file that has them."""

    entries: tuple[str, ...] = ()
    file: str = ""


def told_pytest(root: Path, name: str) -> Told:
    """The setting *name* of the project at *root*; empty where there is none, and of a file that pytest could not read."""
    for file, section in FILES:
        try:
            text = (root / file).read_text(encoding="utf-8-sig")
            found = _of_toml(text, section) if file.endswith(".toml") else _of_ini(text, section)
        except (OSError, ValueError, configparser.Error):
            continue  # no such file, or none that can be read
        if found is None and file not in ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini"):
            continue  # nothing in it is for pytest
        value = (found or {}).get(name, ())
        entries = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
        return Told(tuple(each for each in entries if isinstance(each, str)), file)
    return Told()


def _of_toml(text: str, section: str) -> dict[str, Any] | None:
    found: Any = tomllib.loads(text)
    for part in section.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    inner = found.get("ini_options", found) if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else None


def _of_ini(text: str, section: str) -> dict[str, Any] | None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    return dict(parser[section]) if parser.has_section(section) else None
