"""The command that asks the real kernel."""

from __future__ import annotations

import json

import pytest

from simnet.cli import main


def test_a_short_series_agrees_with_the_kernel_and_says_what_it_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--programs", "15", "--seed", "7"]) == 0
    said = capsys.readouterr().out
    assert "15 programs" in said
    assert "pairs of state and call were reached" in said


def test_a_program_reads_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--programs", "5", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["programs"] == 5
    assert report["divergences"] == []


def test_a_number_of_programs_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--programs", "0"]) == 2
    assert "0" in capsys.readouterr().err
