"""``simnet replay``: a scenario file, played on simnet or on real sockets, and the result in a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from simnet.explore.replay import NOT_REACHED, OnRecord, Replayed
from simnet.explore.replay_real import CUT_SHORT
from simnet.explore.report.ladder import ladder
from simnet.faces.codes import CLEAN, FAILURE_FOUND, USAGE
from simnet.faces.commands.playing import play_again
from simnet.faces.naming import test_of
from simnet.faces.refusals import Refused
from simnet.faces.screen import Screen
from simnet.scenario import Scenario

__all__ = ["replay_file"]


def replay_file(
    path: Path, *, real: bool = False, seconds: float | None = None, trace: bool = False, as_json: bool = False
) -> int:
    """Play the file; 0 if it went as it expects, 2 if the run says nothing, else 1.

    Raises:
        Refused: *seconds* for a run that takes none.
    """
    if seconds is not None and not real:
        raise Refused("--seconds is for --real: on simnet time is virtual, and a run of hours takes none")
    scenario = Scenario.read(path)
    more = f"{' --simnet-real' * real}{'' if seconds is None else f' --simnet-seconds {seconds:g}'}"
    named = test_of(scenario, path, f"Run it with pytest: {{command}}{more}")
    record = OnRecord(scenario.expect, scenario.found, named.id, named.swept, path)
    with named.at_home():
        played = play_again(
            named.test, scenario.plan, named.options, record, real=real, seconds=seconds, heard=not as_json
        )
    if as_json:
        told = as_object(scenario, path, played)
        if trace:
            told["trace"] = ladder(played.run.trace, whole=True).splitlines()
        click.echo(json.dumps(told, indent=2))
    else:
        _tell(Screen(), scenario, played, trace, seconds)
    if played.says_nothing:
        return USAGE
    return CLEAN if played.expected else FAILURE_FOUND


def _tell(screen: Screen, scenario: Scenario, played: Replayed, trace: bool, seconds: float | None) -> None:
    screen.title(scenario.title or scenario.test)
    screen.say()
    if trace:
        screen.ready_made(ladder(played.run.trace, whole=True, width=screen.width, unicode=screen.unicode))
        screen.say()
    if played.report is not None:
        screen.ready_made(played.report.text(color=screen.color, width=screen.width, unicode=screen.unicode))
        screen.say()
    if played.word != NOT_REACHED:  # else that is the reason why, below
        for text in played.unreached:
            screen.paragraph(text, "yellow")
    style = "bold green" if played.expected else "bold red"
    screen.paragraph(played.line, style)
    if CUT_SHORT in played.kernel:
        from simnet.realnet.classes import SECONDS

        screen.paragraph(f"A run had {SECONDS if seconds is None else seconds:g} s; --seconds gives it more.")
    if not played.kernel:
        screen.say(f"digest {played.digest}", "dim")
    if played.aside:
        screen.paragraph(played.aside, "dim")
    if played.expected and played.expect.known:
        screen.paragraph(f"It is known: {played.expect}.")
    elif not played.expected and (played.judgement.failure is None or played.expect.known):
        screen.paragraph(played.why)


def as_object(scenario: Scenario, path: Path, played: Replayed) -> dict[str, Any]:
    """What ``--json`` prints."""
    failure = played.judgement.failure
    return {
        "file": str(path),
        "test": scenario.test,
        "plan": str(played.plan),
        "word": played.word,
        "expected": played.expected,
        "known": played.expect.known and played.expected,
        "status": played.judgement.status,
        "headline": played.report.headline if played.report is not None else None,
        "type": type(failure.error).__name__ if failure is not None and failure.error is not None else None,
        "at": failure.at if failure is not None else None,
        "outcome": str(played.run.outcome),
        "why": played.why or None,
        "unreached": played.unreached,
        "moved_to": str(played.moved_to) if played.moved_to is not None else None,
        "digest": None if played.kernel else played.digest,
        "kernel": played.kernel or None,
    }
