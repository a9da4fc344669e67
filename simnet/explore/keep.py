"""A failure of a sweep as a scenario file, to replay it or to keep it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from simnet.explore.hits import hits
from simnet.explore.judging.table import INTERRUPTED, TABLE
from simnet.explore.judging.verdict import Finding
from simnet.explore.report.failure import headline, what_broke
from simnet.faults.hosts import BODY
from simnet.faults.paths import fits, starred
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.scenario import Expect, Found, Scenario

if TYPE_CHECKING:
    from simnet.explore.result import Failure, SweepResult
    from simnet.points.reading import Points

__all__ = ["failure_text", "movable", "save"]


def failure_text(finding: Finding) -> str:
    """The failure in a few words, as a file records it: ``TypeError at tutorial_server.py:71``."""
    what = what_broke(finding)
    if finding.at:
        return f"{what} at {finding.at}"
    return f"{what} on {finding.host}" if finding.host not in ("", BODY) else what


def _scenario_of(failure: Failure, result: SweepResult, test_id: str) -> Scenario:
    """The scenario that shows *failure*. It fails until the bug is fixed: it expects the baseline's outcome, or, where a
    disruptive fault may rightly interrupt the test, no failure of the target's; what fails by ``strict`` alone is such an interruption.
    """
    strictly = TABLE.get(failure.finding.reason, ("", ""))[1] == INTERRUPTED
    plan = movable(failure.plan, failure.run.points)
    return Scenario.of(
        test_id,
        FaultPlan(plan.faults, plan.schedule, plan.seed or result.options.seed),
        title=headline(failure.finding, plan),
        target=result.options.target or (),
        expect=Expect(outcome="baseline") if plan.transparent or strictly else Expect(interrupted=True),
        found=Found(
            by=result.by,
            runs=result.runs,
            failure=failure_text(failure.finding),
            trace=failure.run.digest,
            kernel=failure.kernel or None,
            hits=hits(failure.plan, result.baseline.trace) or None,
        ),
    )


def movable(plan: FaultPlan, points: Points) -> FaultPlan:
    """*plan* with a star for the folder of each path that is a temporary file's, as pytest's ``tmp_path``: another run has another.

    So it stays where the run had two sockets that the star would mean.
    """
    faults = []
    for fault in plan:
        place = fault.place
        if place.unix and str(place.port).startswith(f"{tempfile.gettempdir()}/"):
            name = starred(str(place.port))
            if len({each for each in _names(points) if fits(name, each)}) == 1:
                fault = fault.placed(msgspec.structs.replace(place, port=name))
        faults.append(fault)
    return msgspec.structs.replace(plan, faults=tuple(faults))


def _names(points: Points) -> Iterator[str]:
    """The names of the Unix sockets of a run."""
    for told in [*(each.place for each in points.calls), *(each.place for each in points.datagrams)]:
        place = Place.parse(told)
        if place.unix:
            yield str(place.port)


def save(result: SweepResult, root: Path, test_id: str) -> None:
    """Write every failure of *result* that has a plan, and remember where, or why it could not be written.

    A folder that cannot be written to is no reason to hide what was found, nor is a name that no file can hold.
    """
    for failure in result.failures:
        if failure.plan:
            path = root
            try:
                scenario = _scenario_of(failure, result, test_id)
                path = scenario.failure_path(root)
                failure.file = scenario.write(path)
            except OSError as error:
                failure.file, failure.unwritten = None, f"{error.filename or path}: {error.strerror or error}"
            except ValueError as error:  # a ScenarioError, or of letters that are none in UTF-8
                failure.file, failure.unwritten = None, str(error)
