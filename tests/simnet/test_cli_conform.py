"""The command that asks the real kernel."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from simnet.cli import main
from simnet.conform import Program, random_program, series


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


def test_what_was_reached_is_among_the_json_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--programs", "5", "--json"]) == 0
    assert "coverage" not in json.loads(capsys.readouterr().out)
    assert main(["conform", "--programs", "5", "--coverage", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(map(len, report["coverage"].values())) == report["pairs"]
    assert len(report["coverage"]) == report["states"]


def test_a_number_of_programs_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--programs", "0"]) == 2
    assert "0" in capsys.readouterr().err


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_ctrl_c_ends_a_series_with_what_was_found_so_far(
    form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(seed: str) -> Program:
        if seed.endswith("/13"):
            raise KeyboardInterrupt
        return random_program(seed)

    monkeypatch.setattr(series, "random_program", interrupted)
    assert main(["conform", "--programs", "100", "--first", "10", *form]) == 130
    said = capsys.readouterr().out
    if form:
        assert json.loads(said)["stopped"] is True
    else:
        assert said.startswith("3 programs, ")
        assert "\n3 agreed " in said  # those that wait for their last look have it now
        assert "stopped by Ctrl-C; --first 13 goes on from there" in said


def test_a_program_in_whose_last_look_ctrl_c_comes_is_named_and_the_others_are_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = 0

    class Interrupted(series.Run):
        def look_again(self) -> Any:
            nonlocal looks
            looks += 1
            if looks == 2:
                raise KeyboardInterrupt
            return super().look_again()

    monkeypatch.setattr(series, "Run", Interrupted)
    assert main(["conform", "--programs", "4"]) == 130
    said = capsys.readouterr().out
    assert said.startswith("4 programs, ")
    assert "\n3 agreed " in said
    assert "not compared to the end when that came: seeds 0/1\n" in said


def test_a_machine_without_a_kernel_to_ask_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["conform"]) == 2
    told = "simnet conform: simnet imitates Linux: there is nothing to compare it with on darwin\n"
    assert capsys.readouterr().err == told
