"""``simnet shrink``: the plan of a scenario, made as small as the same failure allows, in its own file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from simnet.explore.hits import hits
from simnet.explore.keep import failure_text
from simnet.explore.quiet import quiet
from simnet.explore.replay import fails_alone
from simnet.explore.report.looks import many
from simnet.explore.shrink import Shrunk, judged, shrink
from simnet.faces.naming import test_of
from simnet.faces.refusals import Refused
from simnet.faces.screen import Screen
from simnet.faults.forms import fault_to_table
from simnet.faults.plan import FaultPlan
from simnet.project.faulttables import put, with_faults
from simnet.project.typed import from_here
from simnet.project.wholefile import line_ends, write_whole
from simnet.run import play
from simnet.scenario import Found, Scenario, in_words

__all__ = ["shrink_file"]

PLAYS_MAX = 2_000  # as many as a sweep: a plan by hand may have a dozen faults


def shrink_file(path: Path) -> int:
    """Write the smallest plan that fails as the file's does into the file. What a person wrote beside the faults stays.

    Raises:
        Refused: the plan fails with nothing.
    """
    scenario = Scenario.read(path)
    named = test_of(scenario, path, "pytest plays it, and makes no plan smaller: {command}")
    options = named.options
    its = options.under(scenario.plan)
    with named.at_home(), quiet():
        baseline = play(named.test, FaultPlan((), scenario.schedule), **its.playing)
        if alone := fails_alone(baseline, its):
            raise Refused(
                f"{path}: the test fails without any fault ({alone}), so no plan is to blame; mend that first"
            )
        run, judgement = judged(named.test, scenario.plan, baseline, its)
        if judgement.failure is None:
            raise Refused(f"{path}: it does not fail ({judgement.status}), so there is nothing to make small")
        start = Shrunk(scenario.plan, run, judgement, 0)
        small = shrink(named.test, start, baseline, options, plays=PLAYS_MAX)
    failure = small.judgement.failure
    assert failure is not None
    screen = Screen()
    screen.title(f"{failure_text(failure)}, {many(small.plays, 'run')}")
    screen.say()
    if small.plan == scenario.plan:
        screen.paragraph(f"It is as small as it gets: {small.plan}")
        return 0
    found = scenario.found or Found(failure=failure_text(failure))
    found = msgspec.structs.replace(found, trace=small.run.digest, hits=hits(small.plan, baseline.trace) or None)
    smaller = Scenario.of(
        scenario.test, small.plan, title=scenario.title, expect=scenario.expect, target=scenario.target, found=found
    )
    text = _edited(path, scenario, smaller)
    Scenario.loads(text, path)  # what we are about to write can be read
    write_whole(path, text, newline=line_ends(path))
    for label, plan in (("before", scenario.plan), ("now", small.plan)):
        for index, fault in enumerate(plan):
            screen.say(f"{label if index == 0 else '':<8}{fault}")
    screen.say()
    click.echo(f"Written to {from_here(path)}.")
    return 0


def _edited(path: Path, scenario: Scenario, smaller: Scenario) -> str:
    """The file's text with the faults, the schedule and the seed of *smaller*, and all else as it stands."""
    import tomlkit

    text = path.read_text(encoding="utf-8-sig")
    before, after = ([(fault_to_table(each), in_words(each)) for each in of.faults] for of in (scenario, smaller))
    in_place = with_faults(text, before, after)
    document: Any = tomlkit.parse(in_place or text)
    fresh: Any = tomlkit.parse(smaller.dumps())
    for key in ("schedule", "seed", "found") if in_place else ("fault", "schedule", "seed", "found"):
        if key in fresh and key in document:
            put(document, key, fresh[key])
        elif key in document:
            del document[key]
    return tomlkit.dumps(document)
