"""``simnet show``: a scenario in words, or a test without faults and where faults could act in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from simnet.blame import exception_text
from simnet.explore.gone import unasked
from simnet.explore.judging.verdict import judge
from simnet.explore.quiet import quiet
from simnet.explore.report.ladder import ladder
from simnet.explore.report.looks import many
from simnet.faces.codes import CLEAN, FAILURE_FOUND
from simnet.faces.naming import named_test
from simnet.faces.screen import Screen
from simnet.faults.kinds import KINDS
from simnet.project.nodeid import project_root
from simnet.project.typed import pytest_command, quoted_from_here
from simnet.run import Run, play
from simnet.scenario import Scenario

__all__ = ["show_baseline", "show_file", "show_test"]


def show_file(path: Path, *, as_json: bool = False) -> int:
    """A scenario in words; it is not played."""
    scenario = Scenario.read(path)
    if as_json:
        click.echo(json.dumps(_scenario_object(scenario, path), indent=2))
        return 0
    screen = Screen()
    screen.title(scenario.title or scenario.test)
    screen.say()
    rows = [("test", scenario.test)]
    if scenario.target:
        rows.append(("target", ", ".join(scenario.target)))
    rows += [
        ("network", f"{each.sentence()}  ({'transparent' if each.harmless else 'disruptive'})")
        for each in scenario.plan
    ]
    if not scenario.faults:
        rows.append(("network", "no fault at all"))
    if scenario.schedule != "fifo":
        rows.append(("schedule", scenario.schedule))
    if scenario.seed:
        rows.append(("seed", str(scenario.seed)))
    rows.append(("expects", str(scenario.expect)))
    if scenario.found is not None:
        rows.append(("found", _found(scenario)))
        if scenario.found.kernel:
            rows.append(("kernel", scenario.found.kernel))
    for name, text in rows:
        screen.say(f"{name:<10}{text}")
    screen.say()
    by = "pytest" if scenario.test.endswith("]") else "simnet replay"  # parameters are pytest's to provide
    screen.say(f"play it   {by} {quoted_from_here(path)}")
    screen.say(f"debug it  {pytest_command(scenario.test, project_root(path), path)} --pdb")
    return 0


def _found(scenario: Scenario) -> str:
    found = scenario.found
    assert found is not None
    parts = [f"by {found.by}" if found.by else ""]
    parts.append(f"in {many(found.runs, 'run')}" if found.runs is not None else "")
    parts.append(f"as {found.failure}" if found.failure else "")
    return ", ".join(part for part in parts if part)


def _scenario_object(scenario: Scenario, path: Path) -> dict[str, Any]:
    return {
        "file": str(path),
        "title": scenario.title,
        "test": scenario.test,
        "target": list(scenario.target),
        "expect": scenario.expect.to_table(),
        "found": scenario.found.to_table() if scenario.found is not None else None,
        "schedule": scenario.schedule,
        "seed": scenario.seed,
        "plan": str(scenario.plan),
        "faults": [
            {"fault": str(fault), "sentence": fault.sentence(), "transparent": fault.harmless}
            for fault in scenario.plan
        ],
    }


def show_test(text: str, *, as_json: bool = False) -> int:
    """The test without faults: its outcome, all that happened, and the points at which faults could act."""
    named = named_test(text, remedy="pytest shows it, too: {command} --simnet-trace -rP")
    with named.at_home(), quiet():
        baseline = play(named.test, **named.options.playing)
    ok = judge(baseline, baseline, invariants=named.options.invariants).status != "failure"
    code = CLEAN if ok else FAILURE_FOUND
    if as_json:
        click.echo(json.dumps(_baseline_object(named.id, baseline, ok), indent=2))
        return code
    screen = Screen()
    screen.title(f"{named.id} without faults")
    screen.say()
    show_baseline(screen, baseline)
    screen.title("Where faults could act")
    screen.say()
    _points_table(screen, baseline)
    return code


def show_baseline(screen: Screen, baseline: Run) -> None:
    """The outcome, and the whole run as a ladder."""
    screen.ready_made(ladder(baseline.trace, whole=True, width=screen.width, unicode=screen.unicode))
    screen.say()
    screen.paragraph(f"outcome   {baseline.outcome}; {baseline.time_ns / 1e9:g} s of virtual time")
    for failure in baseline.failures:
        screen.paragraph(f"failed    {failure.process}: {exception_text(failure.error)}", "red")
    for waiting in baseline.waiting:
        screen.say(f"waits on  {waiting.what}")
    screen.say(f"digest    {baseline.digest}", "dim")


def _points_table(screen: Screen, baseline: Run) -> None:
    """Each kind of fault with the points where it could act and one example."""
    rows = _points(baseline)
    if not rows:
        screen.say("nowhere: no socket call on a target, and no connection")
        return
    screen.say(f"{'kind':<20}{'points':>8}{'variants':>10}   the first")
    for kind, (points, variants, example) in rows.items():
        screen.say(f"{kind:<20}{points:>8,}{variants:>10,}   {example}")


def _points(baseline: Run) -> dict[str, tuple[int, int, str]]:
    """By kind, in the vocabulary's order: at how many points, in how many variants, and the first of these."""
    rows: dict[str, tuple[int, int, str]] = {}
    for family in unasked(baseline.points, baseline.targets):
        points, variants, example = rows.get(family.kind, (0, 0, ""))
        rows[family.kind] = (points + family.points, variants + family.size, example or str(family.make(0)))
    return {kind: rows[kind] for kind in KINDS if kind in rows}


def _baseline_object(test_id: str, baseline: Run, ok: bool) -> dict[str, Any]:
    return {
        "test": test_id,
        "ok": ok,
        "outcome": str(baseline.outcome),
        "digest": baseline.digest,
        "virtual_seconds": baseline.time_ns / 1e9,
        "events": len(baseline.trace),
        "points": [
            {"kind": kind, "points": points, "variants": variants}
            for kind, (points, variants, _) in _points(baseline).items()
        ],
    }
