"""``simnet sweep``: every single fault at every point of a test, reported to a person or to a program."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from simnet.blame import exception_line
from simnet.explore.baseline import NotRepeatable
from simnet.explore.judging.akin import akin_to
from simnet.explore.options import SweepOptions
from simnet.explore.progress import Progress
from simnet.explore.quiet import quiet
from simnet.explore.raising import declines
from simnet.explore.result import CTRL_C, KindRow, SweepResult
from simnet.explore.sweep import NothingToTest, run_sweep
from simnet.faces.codes import CLEAN, FAILURE_FOUND, STOPPED
from simnet.faces.naming import Named, hosts_of, kinds_of, named_tests
from simnet.faces.refusals import Refused
from simnet.faces.screen import Screen
from simnet.project.typed import pytest_command

__all__ = [
    "as_object",
    "as_untried",
    "changed",
    "ended",
    "for_whoever_runs_it_again",
    "kinds_table",
    "print_failures",
    "print_warnings",
    "refuse_if_it_declines",
    "sweep_named",
    "sweep_tests",
    "warn_of_conftest",
    "with_untried",
]


def sweep_tests(test: str, *, as_json: bool = False, **options: Any) -> int:
    """Sweep all that *test* names; the exit code."""
    tests, left = named_tests(test)
    screen = Screen()
    told: list[dict[str, Any]] = []
    failed = stopped = False
    for named in tests:
        chosen = changed(named, **options)
        try:
            if as_json:
                result = sweep_named(named, chosen)
            else:
                with screen.progress(named.node.names[-1]) as progress:
                    result = sweep_named(named, chosen, progress)
                _tell(screen, named, result)
                warn_of_conftest(screen, named, result)
        except (NotRepeatable, NothingToTest) as error:
            left = with_untried(left, error, named, tests)
            told.append(as_untried(named, error))
            continue
        if as_json:
            told.append(as_object(named, result))
        failed = failed or bool(result.failures)
        if result.stopped == CTRL_C:
            stopped = True
            break
    if as_json:
        click.echo(json.dumps(told, indent=2))
    return STOPPED if stopped else ended(failed, left)


def with_untried(left: str, error: NotRepeatable | NothingToTest, named: Named, tests: Sequence[Named]) -> str:
    """What is *left* to be told of at the end, *named* among it, which could not be tried by reason of *error*; of several *tests* by its name."""
    told = _why_untried(error)
    return "\n".join(filter(None, (left, told if len(tests) == 1 else f"{named.id}: {told}")))


def _why_untried(error: NotRepeatable | NothingToTest) -> str:
    return f"{type(error).__name__}: {error}"


def ended(failed: bool, left: str) -> int:
    """The exit code, when all has been done but what was *left*, to pytest or because it could not be tried; that is told last.

    Raises:
        Refused: something was left, and nothing failed.
    """
    if left and not failed:
        raise Refused(left)
    if left:
        click.echo(left, err=True)
    return FAILURE_FOUND if failed else CLEAN


def changed(named: Named, *, kinds: str | None = None, target: Sequence[str] = (), **others: Any) -> SweepOptions:
    """The options of *named* as the command line changes them.

    Raises:
        Refused: an option that cannot be; what can.
    """
    try:
        by_kinds = named.options.but(kinds=None if kinds is None else kinds_of(kinds))
    except ValueError as error:
        raise Refused(f"--kinds {kinds}: {error}") from error
    try:
        hosts = hosts_of(target)
    except ValueError as error:
        raise Refused(f"--target {error}") from error
    try:
        return by_kinds.but(target=hosts, **others)
    except (TypeError, ValueError) as error:
        raise Refused(f"--{error}") from error


def sweep_named(named: Named, options: SweepOptions, progress: Progress | None = None) -> SweepResult:
    """Sweep it, and save what was found."""
    with named.at_home(), quiet():
        result = run_sweep(named.test, options, name=named.id, progress=progress)
    refuse_if_it_declines(result)
    for_whoever_runs_it_again(result, named, options)
    result.save(named.root, named.id)
    return result


def refuse_if_it_declines(result: SweepResult) -> None:
    """Do nothing if the test of *result* wants to be run.

    Raises:
        NothingToTest: it has said so, as by ``pytest.skip``.
    """
    error = result.failures[0].error if result.fails_without_faults else None
    if error is not None and declines(error):
        raise NothingToTest(f"the test does not want to be run here: {exception_line(error)}")


def for_whoever_runs_it_again(result: SweepResult, named: Named, options: SweepOptions) -> None:
    """What the command to play a failure has to say of *named*, which a command line has given *options*."""
    judged_alike = options.strict == named.options.strict or result.fails_without_faults  # else it would pass there
    result.by_pytest = named.swept and judged_alike
    if options.target != named.options.target:
        result.asked_target = options.target or ()


def _tell(screen: Screen, named: Named, result: SweepResult) -> None:
    screen.title(named.id)
    if not result.fails_without_faults:
        kinds_table(screen, result)
        _print_noted(screen, result)
    print_failures(screen, named, result)
    print_warnings(screen, result)
    screen.say()
    screen.paragraph(f"{result.summary()}{result.pace}", "bold red" if result.failures else "bold green")


def warn_of_conftest(screen: Screen, named: Named, result: SweepResult) -> None:
    """Why the test may have failed here, where pytest has not set up what it sets up around each test."""
    if result.failures and named.around:
        command = pytest_command(named.id, named.root)
        screen.paragraph(f"It ran without {named.around}, which pytest calls around each test: {command}", "yellow")


def kinds_table(screen: Screen, result: SweepResult) -> None:
    """Kind by kind: at how many points, in how many variants, and how the runs went."""
    shown = [row for row in result.kinds if row.points]
    columns: list[tuple[str, Callable[[KindRow], object]]] = [
        ("kind", lambda row: row.kind),
        ("class", lambda row: row.class_name),
        ("points", lambda row: row.points),
        ("variants", lambda row: row.variants),
    ]
    if any(row.runs != row.variants for row in shown):  # the budget was too small, or somebody stopped it
        columns.append(("runs", lambda row: row.runs))
    columns += [("failed", lambda row: row.failed or ""), ("interrupted", lambda row: row.interrupted or "")]
    if any(row.noted for row in shown):
        columns.append(("another outcome", lambda row: row.noted or ""))
    names = [name for name, _ in columns]
    rows = [[cell(row) for _, cell in columns] for row in shown]
    left = 2
    if not screen.has_room_for(names, rows, gap=2):  # the class is what a narrow screen can do without
        names, rows, left = [names[0], *names[2:]], [[row[0], *row[2:]] for row in rows], 1
    styles = ["red" if row.failed else "" for row in shown]
    screen.table(names, rows, left=left, styles=styles or [""])


def _print_noted(screen: Screen, result: SweepResult) -> None:
    """Of each kind that has led to another outcome the first: is it right that a client takes that for an answer?"""
    noted = [row.first_noted for row in result.kinds if row.first_noted is not None]
    if noted:
        screen.say()
    for plan, difference in noted:
        kinds = list(dict.fromkeys(fault.kind for fault in plan if fault.late or not fault.harmless))
        screen.paragraph(f"noted     {plan}: {difference}; survives={kinds!r} makes that a failure", "dim")


def print_failures(screen: Screen, named: Named, result: SweepResult) -> None:
    """Each distinct failure with its report."""
    reports = result.reports(named.id)
    for number, report in enumerate(reports, 1):
        screen.title(f"{number} of {len(reports)}: {report.headline}")
        screen.say()
        screen.ready_made(report.text(color=screen.color, width=screen.width, unicode=screen.unicode))


def print_warnings(screen: Screen, result: SweepResult) -> None:
    """What to look at that is no failure."""
    for warning in result.warnings:
        screen.paragraph(f"warning {warning}", "yellow")


def as_object(named: Named, result: SweepResult) -> dict[str, Any]:
    """What ``--json`` prints of one sweep."""
    reports = result.reports(named.id)
    return {
        "test": named.id,
        "ok": result.ok,
        "untried": None,
        "stopped": result.stopped,
        "summary": result.summary(),
        "baseline": {
            "outcome": str(result.baseline.outcome),
            "digest": result.baseline.digest,
            "virtual_seconds": result.baseline.time_ns / 1e9,
        },
        "planned": result.planned,
        "runs": result.runs,
        "equal": result.equal,
        "noted": result.noted,
        "interrupted": result.interrupted,
        "failed": result.failed,
        "unreached": result.unreached,
        "budget": result.budget_line,
        "seconds": round(result.seconds, 3),
        "simulations_per_second": round(result.rate),
        "kinds": [
            {
                "kind": row.kind,
                "transparent": row.transparent,
                "points": row.points,
                "variants": row.variants,
                "runs": row.runs,
                "failed": row.failed,
                "interrupted": row.interrupted,
                "noted": row.noted,
                "equal": row.equal,
                "unreached": row.unreached,
                "first_noted": row.first_noted and {"plan": str(row.first_noted[0]), "difference": row.first_noted[1]},
            }
            for row in result.kinds
        ],
        "failures": [
            {
                "headline": report.headline,
                "reason": failure.reason,
                "type": failure.type_name,
                "at": failure.at,
                "line": report.line or None,
                "host": failure.host,
                "count": failure.count,
                "akin_to": akin_to(failure, result.failures),
                "kinds": failure.kinds,
                "plan": str(failure.plan),
                "digest": failure.run.digest,
                "file": str(failure.file) if failure.file is not None else None,
                "unwritten": failure.unwritten or None,
            }
            for failure, report in zip(result.failures, reports, strict=True)
        ],
        "warnings": [
            {"name": each.name, "text": each.text, "at": each.at, "count": each.count, "plan": str(each.plan)}
            for each in result.warnings
        ],
    }


def as_untried(named: Named, error: NotRepeatable | NothingToTest) -> dict[str, Any]:
    """The same of a test that could not be tried."""
    told = _why_untried(error)
    return {
        "test": named.id,
        "ok": False,
        "untried": told,
        "stopped": "",
        "summary": told.partition("\n")[0],
        "baseline": None,
        **dict.fromkeys(("planned", "runs", "equal", "noted", "interrupted", "failed", "unreached"), 0),
        "budget": "",
        "seconds": 0.0,
        "simulations_per_second": 0,
        "kinds": [],
        "failures": [],
        "warnings": [],
    }
