"""Scenario files as tests: each is played, and must go as it says.

A file whose failure is expected is *known*: it passes as long as the failure is there, and fails when that is fixed, since
the file is then out of date.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr

from simnet.explore.replay import OnRecord, Replayed
from simnet.explore.report.ladder import ladder
from simnet.faces.commands.playing import play_again
from simnet.faces.naming import NeedsPytest, test_of
from simnet.faces.refusals import Refused
from simnet.faces.under_pytest.options import Asked
from simnet.faces.under_pytest.report import looks, told_of
from simnet.project.nodeid import project_root
from simnet.scenario import Scenario, ScenarioError

__all__ = ["ScenarioFile", "ScenarioItem", "UnreadableItem"]


class ScenarioFile(pytest.File):
    """One TOML file; it holds one test, called like the function that it plays."""

    def collect(self) -> Iterator[pytest.Item]:
        try:
            scenario = Scenario.read(self.path)
        except ScenarioError as error:  # one that pytest is told of now would keep it from running any test
            yield UnreadableItem.from_parent(self, name="scenario", error=error)
            return
        yield ScenarioItem.from_parent(self, name=scenario.node.names[-1], scenario=scenario)


class UnreadableItem(pytest.Item):
    """Fails for what is wrong with the file: a mistake in it, or a test that is gone."""

    def __init__(self, *, error: ScenarioError, **others: Any) -> None:
        super().__init__(**others)
        self.error = error
        self.add_marker("simnet")

    def runtest(self) -> None:
        raise self.error

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


class ScenarioItem(pytest.Item):
    """Plays the scenario."""

    def __init__(self, *, scenario: Scenario, **others: Any) -> None:
        super().__init__(**others)
        self.scenario = scenario
        self.add_marker("simnet")

    def runtest(self) -> None:
        asked = Asked.of(self.config)
        try:
            named = test_of(self.scenario, self.path, "")
        except NeedsPytest:
            named = None  # outside of here no failure is told as one that came of it
        if named is None:
            self._run_by_pytest(asked)
            return
        record = OnRecord(self.scenario.expect, self.scenario.found, named.id, file=self.path)
        with named.at_home():
            played = play_again(
                named.test, self.scenario.plan, named.options, record, real=asked.real, seconds=asked.seconds
            )
        self._tell(played, asked.trace)
        played.raise_failure()

    def _run_by_pytest(self, asked: Asked) -> None:
        """The test has fixtures, parameters or a ``conftest.py``: a pytest of its own provides them, and judges as the file expects."""
        root = project_root(self.path)
        options = ["--simnet-replay", str(self.path), "--simnet-as-expected", "-q", "-p", "no:cacheprovider"]
        options += ["--simnet-trace", "-rP"] if asked.trace else []
        options += ["--simnet-real"] if asked.real else []
        options += [f"--simnet-seconds={asked.seconds}"] if asked.seconds is not None else []
        done = subprocess.run(
            [sys.executable, "-m", "pytest", self.scenario.test, *options],
            cwd=root,
            env={**os.environ, "COLUMNS": str(looks(self.config)["width"])},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == pytest.ExitCode.USAGE_ERROR and "ERROR: not found:" in done.stderr:
            node = self.scenario.node
            raise Refused(
                f"test={str(node)!r}: pytest knows no such parameters; `pytest --collect-only -q {node.file}` lists "
                "them as a test's name has them (`ü` is written `\\xfc` there)"
            )
        if done.returncode != 0:
            told = f"played by pytest, for its fixtures or its conftest.py:\n{done.stdout}{done.stderr}"
            failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
            if not failed:
                raise Refused(told)
            pytest.fail(f"{failed[0].partition(' - ')[2]}\n\n{told}", pytrace=False)
        if asked.trace:
            told_of(self).traces.append(("simnet: this run, as played by pytest", done.stdout.strip()))
        known = f"known: {self.scenario.expect}" if self.scenario.expect.known else "replay: as expected"
        self.user_properties.append(("simnet", known))

    def _tell(self, played: Replayed, trace: bool) -> None:
        known = played.expected and played.expect.known
        self.user_properties.append(("simnet", f"known: {played.expect}" if known else played.line))
        told = told_of(self)
        if trace:
            there = looks(self.config)
            text = ladder(played.run.trace, whole=True, width=there["width"], unicode=there["unicode"])
            told.traces.append(("simnet: this run", text))
        if played.report is not None and played.judgement.failure is not None and not played.expected:
            told.failures.append((played.error, played.report))
            told.headline = played.report.headline
            told.summary = played.why if played.expect.known else played.line

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        if isinstance(excinfo.value, (Refused, ScenarioError)):
            return f"{self.path}: {excinfo.value}"
        from simnet.explore.raising import SweepFailure

        if isinstance(excinfo.value, SweepFailure):
            return f"{self.path}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.scenario.title or self.name
