"""The first minute with a fresh clone: `make` explains itself, and says what is missing where something is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="no make on this machine")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What make needs to see of a clone, and a PATH with nothing but a shell's tools."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "awk", "cat"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    return tmp_path


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert MAKE is not None
    environment = {"PATH": str(folder / "bin"), "HOME": str(folder)}
    return subprocess.run([MAKE, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=30)


def python(folder: Path, script: str) -> str:
    """A stand-in for an interpreter: a shell script that answers the questions make asks."""
    path = folder / "bin" / "python-of-this-test"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_make_alone_lists_every_target_in_a_line_of_its_own(clone: Path) -> None:
    said = make(clone).stdout
    declared = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    assert set(declared.split()) == set(re.findall(r"^  make (\w+) +\w", said, flags=re.MULTILINE))


def test_without_a_python_make_says_what_it_tried_and_what_to_install(clone: Path) -> None:
    result = make(clone, "quick")
    assert result.returncode != 0
    assert "No Python 3.11 or later: tried python3.13 python3.12 python3.11 python3." in result.stderr
    assert "apt install python3 python3-venv" in result.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_too_old_is_passed_by(clone: Path) -> None:
    result = make(clone, "quick", python(clone, "exit 1"))  # its answer to `sys.version_info < (3, 11)`
    assert result.returncode != 0
    assert f"tried {clone}/bin/python-of-this-test." in result.stderr


def test_a_python_without_venv_is_told_from_none_at_all(clone: Path) -> None:
    script = f'case "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"'
    result = make(clone, "quick", python(clone, script))
    assert result.returncode != 0
    version = "python{}.{}".format(*sys.version_info)
    assert "cannot make virtual environments" in result.stderr
    assert f"apt install {version}-venv" in result.stderr
