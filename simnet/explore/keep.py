"""A failure of a sweep as a scenario file, to replay it or to keep it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simnet.explore.findings import TEST
from simnet.explore.report import headline, what_broke
from simnet.explore.verdict import Finding
from simnet.faults.plan import FaultPlan
from simnet.scenario import Expect, Found, Scenario

if TYPE_CHECKING:
    from simnet.explore.result import Failure, SweepResult

__all__ = ["failure_text", "save", "scenario_of"]


def failure_text(finding: Finding) -> str:
    """The failure in a few words, as a file records it: ``TypeError at tutorial_server.py:71``."""
    what = what_broke(finding)
    if finding.at:
        return f"{what} at {finding.at}"
    return f"{what} on {finding.host}" if finding.host not in ("", TEST) else what


def scenario_of(failure: Failure, result: SweepResult, test_id: str) -> Scenario:
    """The scenario that shows *failure*. It fails until the bug is mended: it expects the baseline's outcome, or, where a
    disruptive fault may rightly interrupt the test, no failure of the target's.
    """
    plan = failure.plan
    return Scenario.of(
        test_id,
        FaultPlan(plan.faults, plan.schedule, plan.seed or result.options.seed),
        title=headline(failure.finding, plan),
        target=result.options.target or (),
        expect=Expect(outcome="baseline") if plan.transparent else Expect(interrupted=True),
        found=Found(
            by=result.by,
            runs=result.runs,
            failure=failure_text(failure.finding),
            trace=failure.run.digest,
            kernel=failure.kernel or None,
        ),
    )


def save(result: SweepResult, root: Path, test_id: str) -> None:
    """Write every failure of *result* that has a plan, and remember where, or why it could not be written.

    A folder that cannot be written to is no reason to hide what was found.
    """
    for failure in result.failures:
        if failure.plan:
            scenario = scenario_of(failure, result, test_id)
            path = scenario.failure_path(root)
            try:
                failure.file = scenario.write(path)
            except OSError as error:
                failure.file, failure.unwritten = None, f"{error.filename or path}: {error.strerror or error}"
