"""``simnet fuzz``: a test under random faults, seed after seed, going on where it was stopped."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import click

from simnet.explore.baseline import NotRepeatable
from simnet.explore.fuzz import run_fuzz
from simnet.explore.options import SweepOptions
from simnet.explore.progress import Progress
from simnet.explore.quiet import quiet
from simnet.explore.result import CTRL_C, SweepResult
from simnet.explore.sweep import NothingToTest
from simnet.faces.codes import STOPPED
from simnet.faces.commands.sweeping import (
    as_object,
    as_untried,
    changed,
    ended,
    for_whoever_runs_it_again,
    print_failures,
    print_warnings,
    refuse_if_it_declines,
    warn_of_conftest,
    with_untried,
)
from simnet.faces.naming import Named, named_tests
from simnet.faces.screen import Screen
from simnet.project.wholefile import write_whole

__all__ = ["fuzz_tests"]


def fuzz_tests(test: str, *, seeds: int, start: int | None, as_json: bool = False, **options: Any) -> int:
    """Fuzz all that *test* names; the exit code."""
    screen = Screen()
    told = []
    failed = stopped = False
    tests, left = named_tests(test, remedy="pytest sweeps it, and fuzzes nothing: {command}")
    for named in tests:
        chosen = changed(named, **options)
        series = _series(named, chosen)
        first = start if start is not None else _next_seed(named, series)
        try:
            if as_json:
                result = _fuzz(named, chosen, series, range(first, first + seeds))
            else:
                with screen.progress(named.node.names[-1]) as progress:
                    result = _fuzz(named, chosen, series, range(first, first + seeds), progress)
                _tell(screen, named, series, result, first, start)
                warn_of_conftest(screen, named, result)
        except (NotRepeatable, NothingToTest) as error:
            left = with_untried(left, error, named, tests)
            told.append({**as_untried(named, error), "first_seed": first, "next_seed": first})
            continue
        told.append({**as_object(named, result), "first_seed": first, "next_seed": first + result.runs})
        failed = failed or bool(result.failures)
        if result.stopped == CTRL_C:
            stopped = True
            break
    if as_json:
        click.echo(json.dumps(told, indent=2))
    return STOPPED if stopped else ended(failed, left)


def _series(named: Named, chosen: SweepOptions) -> str:
    """What is noted as one: the same seed is another run with other kinds or targets, and another verdict if *strict*."""
    told = {name: getattr(chosen, name) for name in ("kinds", "target", "strict")}
    return named.id + "".join(f" {name}={it}" for name, it in told.items() if it != getattr(named.options, name))


def _fuzz(
    named: Named, options: SweepOptions, series: str, seeds: range, progress: Progress | None = None
) -> SweepResult:
    """Fuzz it, save what was found, and note how far it came."""
    with named.at_home(), quiet():
        result = run_fuzz(named.test, options, seeds=seeds, name=named.id, progress=progress)
    refuse_if_it_declines(result)
    for_whoever_runs_it_again(result, named, options)
    result.save(named.root, named.id)
    if result.runs:
        with contextlib.suppress(OSError):  # the next one begins where this one did, unless it is told
            noted = {**_noted(named), series: seeds.start + result.runs}
            write_whole(_note(named), json.dumps(noted, indent=1) + "\n")
    return result


def _tell(screen: Screen, named: Named, series: str, result: SweepResult, first: int, start: int | None) -> None:
    screen.title(named.id)
    print_failures(screen, named, result)
    print_warnings(screen, result)
    screen.say()
    screen.paragraph(f"{result.summary()}{result.pace}", "bold red" if result.failures else "bold green")
    if result.runs:
        following = "the same command" if start is None else "without --from the command"
        if _next_seed(named, series) != first + result.runs:
            following = f"it could not be noted, so --from {first + result.runs}"
        screen.say(f"seeds {first:,} to {first + result.runs - 1:,}; {following} goes on from there", "dim")


def _note(named: Named) -> Path:
    return named.root / ".simnet" / "fuzz" / f"{named.node.folder}.json"


def _noted(named: Named) -> dict[str, Any]:
    """The next seed of each series of each test of this name, by its id: those of other files may be called so, too."""
    try:
        noted = json.loads(_note(named).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it is the first time, or somebody has written into the note
    return noted if isinstance(noted, dict) else {}


def _next_seed(named: Named, series: str) -> int:
    noted = _noted(named).get(series)
    return noted if type(noted) is int and noted >= 0 else 0
