"""What a sweep found: distinct failures, warnings, a row for each kind, and one line that sums it up."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from simnet.blame import exception_line
from simnet.explore import keep, raising
from simnet.explore.judging.verdict import Finding, Judgement
from simnet.explore.options import SweepOptions
from simnet.explore.report.failure import FailureReport, report
from simnet.explore.report.looks import many
from simnet.faults.kinds import KINDS
from simnet.faults.plan import FaultPlan

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["Failure", "KindRow", "SweepResult", "Warned"]

CTRL_C = "Ctrl-C"
FIRST_FAILURE = "first failure"

_ITS_OWN = re.compile(r"\S+->\S+#\d+|\b\d[\d.]* s\b")  # of a warning: its connections, and its seconds


@dataclass(slots=True)
class Failure:
    """One distinct failure: the same reason, exception and line of the user's code, however many runs showed it."""

    run: Run  # of `plan`
    judgement: Judgement
    plan: FaultPlan  # the smallest that shows it; empty if the test fails without faults
    found: FaultPlan  # the first that showed it
    count: int = 0
    kinds: dict[str, int] = field(default_factory=dict)  # runs by kind of fault
    file: Path | None = None  # the scenario it was saved as
    unwritten: str = ""  # why it could not be saved
    kernel: str = ""  # what real sockets said, if they were asked

    @property
    def finding(self) -> Finding:
        """The root of it."""
        return self.judgement.findings[0]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.finding.key

    @property
    def reason(self) -> str:
        return self.finding.reason

    @property
    def type_name(self) -> str:
        """The exception's name, or that of what broke."""
        error = self.finding.error
        return type(error).__name__ if error is not None else self.finding.reason

    @property
    def at(self) -> str:
        return self.finding.at

    @property
    def error(self) -> BaseException | None:
        return self.finding.error

    @property
    def host(self) -> str:
        return self.finding.host


@dataclass(slots=True)
class KindRow:
    """How the runs with one kind of fault went."""

    kind: str
    points: int = 0
    variants: int = 0
    runs: int = 0
    failed: int = 0
    interrupted: int = 0
    noted: int = 0
    equal: int = 0
    unreached: int = 0
    # Of the first run with another outcome: its plan, and what was different.
    first_noted: tuple[FaultPlan, str] | None = None

    @property
    def transparent(self) -> bool:
        return self.kind in KINDS and KINDS[self.kind].transparent

    @property
    def class_name(self) -> str:
        """``transparent`` or ``disruptive``; empty for pairs, which may be either."""
        return "" if self.kind not in KINDS else "transparent" if self.transparent else "disruptive"


@dataclass(slots=True)
class Warned:
    """One thing to look at that is no failure, and how many runs showed it."""

    name: str
    text: str
    count: int
    plan: FaultPlan  # the first that showed it
    at: str = ""  # the line of the user's code, where there is one

    def __str__(self) -> str:
        at = f"{self.at}: " if self.at and self.at not in self.text else ""
        return f"[{self.name}] {at}{self.text} ({many(self.count, 'run')}; first: {self.plan})"


@dataclass(slots=True)
class SweepResult:
    """What ``run_sweep`` hands back, also when it was stopped half-way."""

    name: str
    options: SweepOptions
    baseline: Run
    planned: int = 0  # variants that exist
    runs: int = 0  # variants that were run
    equal: int = 0
    noted: int = 0
    interrupted: int = 0
    failed: int = 0
    unreached: int = 0  # the plan's anchor did not come up, so the run says nothing
    never: list[str] = field(default_factory=list)  # which faults of the one plan did not act, and why
    failures: list[Failure] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    kinds: list[KindRow] = field(default_factory=list)
    budget_line: str = ""
    seconds: float = 0.0
    simulations: int = 0  # in these seconds: baselines and runs, without shrinking
    stopped: str = ""  # "", "Ctrl-C", "first failure", or what an alarm has raised, in words:
    alarm: BaseException | None = None
    by: str = "sweep"  # what looked: "sweep", or "fuzz"
    by_pytest: bool = True  # else the test is a function that pytest knows nothing of, or judges otherwise
    asked_target: tuple[str, ...] = ()  # the hosts under test that a command line has named
    root: Path | None = None  # of the project, where it is known: what the test's id counts from
    # Connections without which the outcome is the same, and whether another server gets one then
    refused: dict[str, bool] = field(default_factory=dict)
    # By connection, that a target has given up and left open: how it ends while the one in its place is asked
    left_open: dict[str, FaultPlan] = field(default_factory=dict)
    halves: int = 0  # runs in which a whole message was as late as half of it
    _failure_by_key: dict[tuple[str, str, str], Failure] = field(default_factory=dict, repr=False)
    # By name and text: what was told in other words, of other connections
    _told_before: dict[tuple[str, str], Warned] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        return not self.failures and not self.stopped_by_hand and self.alarm is None

    def stop(self, alarm: BaseException | None = None) -> None:
        """It was stopped: by an *alarm* that somebody has set, else by hand."""
        self.stopped, self.alarm = CTRL_C if alarm is None else exception_line(alarm), alarm

    @property
    def stopped_by_hand(self) -> bool:
        return self.stopped == CTRL_C

    @property
    def rate(self) -> float:
        """Simulations per second."""
        return self.simulations / self.seconds if self.seconds > 0 else 0.0

    @property
    def pace(self) -> str:
        """The same, to stand behind the summary; nothing of a test that fails by itself."""
        return "" if self.fails_without_faults else f"; {self.rate:,.0f} simulations a second"

    @property
    def fails_without_faults(self) -> bool:
        """Did the very first runs fail, so that no other was made?"""
        return bool(self.failures) and not self.failures[0].plan and not self.runs

    def summary(self) -> str:
        """``sweep: server; 214 runs in 0.06 s; 176 equal, 38 interrupted by a disruptive fault``."""
        targets = ", ".join(self.options.target) if self.options.target else "all hosts"
        if self.fails_without_faults:
            return f"{self.by}: {targets}; it fails without any fault, so nothing was {'swept' if self.by == 'sweep' else 'tried'}"
        counts = [
            (self.failed, f"failed ({_count(len(self.failures), 'failure', 'distinct failures')})"),
            (self.equal, "equal"),
            (self.noted, "with another outcome under a disruptive fault"),
            (self.interrupted, "interrupted by a disruptive fault"),
            (self.unreached, "whose fault was never reached"),
        ]
        parts = [f"{self.by}: {targets}", f"{_count(self.runs, 'run', 'runs')} in {seconds_text(self.seconds)} s"]
        if self.runs < self.planned:
            parts.append(self.budget_line)
        parts.append(", ".join(f"{number:,} {what}" for number, what in counts if number) or "nothing was run")
        if self.warnings:
            parts.append(_count(sum(each.count for each in self.warnings), "warning", "warnings"))
        if self.stopped:
            parts.append(
                "stopped at the first failure" if self.stopped == FIRST_FAILURE else f"stopped by {self.stopped}"
            )
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<SweepResult {self.name or 'of a test'} [{self.summary()}]>"

    def known(self, judgement: Judgement) -> Failure | None:
        """The distinct failure that *judgement* is of, if some run has shown it already."""
        return self._failure_by_key.get(judgement.key) if judgement.key is not None else None

    def failure_of(self, run: Run, judgement: Judgement, plan: FaultPlan) -> tuple[Failure | None, bool]:
        """The distinct failure that *run* shows, kept if it is new, and whether it is; ``None`` where nothing failed."""
        key = judgement.key
        if key is None:
            return None, False
        known = self.known(judgement)
        if known is not None:
            return known, False
        failure = self._failure_by_key[key] = Failure(run, judgement, plan, plan)
        self.failures.append(failure)
        return failure, True

    def warn(self, warnings: Iterable[Finding], plan: FaultPlan) -> list[tuple[Warned, int | None]]:
        """Count *warnings*; the same one, at the same place, once. Those that are new, and the entry of the trace that has their line, if one has."""
        new: list[tuple[Warned, int | None]] = []
        for finding in warnings:
            known = self._warned(finding)
            if known is not None:
                known.count += 1
                continue
            self.warnings.append(Warned(finding.reason, finding.message, 1, plan, finding.at))
            new.append((self.warnings[-1], finding.entry))
        return new

    def _warned(self, finding: Finding) -> Warned | None:
        """The warning that has told of *finding* already."""
        for known in self.warnings:
            if known.name == finding.reason and (
                known.at == finding.at if finding.at else known.text == finding.message
            ):
                return known
        return None if finding.at else self._told_before.get((finding.reason, finding.message))

    def fold(self, new: Warned) -> None:
        """Count *new*, whose line has been looked for, as the earlier warning of the same at that line; where none has one, of another connection."""
        for known in self.warnings:
            if known is new:
                return
            if known.name == new.name and known.at == new.at and (new.at or _alike(known.text) == _alike(new.text)):
                known.count += new.count
                self._told_before[new.name, new.text] = known
                self.warnings = [each for each in self.warnings if each is not new]
                return

    # --- in words ------------------------------------------------------------------------------------------------

    def reports(self, test_id: str = "") -> list[FailureReport]:
        """A report of each distinct failure."""
        return [report(failure, self, test_id=test_id) for failure in self.failures]

    def save(self, root: Path, test_id: str) -> None:
        """Write each distinct failure under ``.simnet/failures`` of the project at *root*, to replay or keep it."""
        self.root = root
        keep.save(self, root, test_id)

    def raise_failures(self, test_id: str = "") -> None:
        """Raise what was found, as the user's own exceptions; return if nothing was.

        Raises:
            KeyboardInterrupt: the sweep was stopped by Ctrl-C.
            BaseException: nothing had failed when it was stopped by an alarm, as pytest-timeout sets one: what that has raised.
            ExceptionGroup: there are several distinct failures.
        """
        __tracebackhide__ = True  # pytest shows the user's frames
        raising.raise_failures(self, test_id)


def _alike(text: str) -> str:
    """What a warning says, whatever connection it is about, and however long it took."""
    return _ITS_OWN.sub("", text)


def seconds_text(seconds: float) -> str:
    """``0.06``, ``1.8``, ``75``: two digits that count."""
    if seconds < 0.995:
        return f"{seconds:.2f}"
    return f"{seconds:.1f}" if seconds < 9.95 else f"{seconds:.0f}"


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
