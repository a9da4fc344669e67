"""``simnet doctor``: what is fine on this machine, what is not, and what that means for whom."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from simnet.cli import main
from simnet.faces.commands import examining


@pytest.mark.slow
def test_a_machine_on_which_the_tests_pass_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == "all is fine"
    assert [line.split()[1] for line in told[:-2]] == [name for name, _ in examining._LOOKS]
    assert [line for line in told[:-2] if line.startswith("NOT")] == []


@pytest.mark.slow
def test_a_module_of_the_users_in_the_current_folder_is_nothing_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "select.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    assert examining._repeats()[0] is True


def test_what_is_not_fine_is_told_with_who_needs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def nowhere(family: int, address: str) -> OSError:
        return OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def broken() -> examining.Told:
        raise RuntimeError("no such thing")

    looks = dict(examining._LOOKS)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examining, "_refused", nowhere)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(examining, "PACKAGES", ("click", "no-package-of-this-name"))
    names = ("packages", "loopback", "IPv6", "folder")
    monkeypatch.setattr(examining, "_LOOKS", (*((name, looks[name]) for name in names), ("other", broken)))
    assert main(["doctor"]) == 1
    packages, loopback, ipv6, folder, other, _, last = capsys.readouterr().out.splitlines()
    assert packages.startswith("NOT   packages")
    assert packages.endswith('no-package-of-this-name is not there; pip install "simnet-dispatch[simnet]"')
    assert loopback.startswith("NOT   loopback     127.0.0.1: Cannot assign requested address; replay --real, ")
    assert ipv6.startswith("note  IPv6         ::1: Cannot assign requested address; simulated hosts have IPv6")
    assert folder == f"note  folder       {tmp_path} cannot be written to: failures are reported, but not saved"
    assert other == "NOT   other        RuntimeError: no such thing"
    assert last == "3 of 5 are not"
