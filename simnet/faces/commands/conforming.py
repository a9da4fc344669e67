"""``simnet conform``: random programs of socket calls on this machine's kernel and on simnet, compared."""

from __future__ import annotations

import json
from typing import Any

import click

from simnet import conform
from simnet.faces.codes import CLEAN, FAILURE_FOUND, STOPPED
from simnet.faces.refusals import Refused
from simnet.faces.screen import Screen

__all__ = ["conform_programs"]


def conform_programs(programs: int, seed: int, first: int, *, coverage: bool, as_json: bool) -> int:
    """Run the series, and tell how many agreed, what did not, and what was reached; the exit code.

    Raises:
        Refused: this machine has no kernel to compare with.
    """
    screen = Screen()
    try:
        if as_json:
            report = conform.run(programs, seed, first=first)
        else:
            with screen.progress("programs") as tell:
                report = conform.run(
                    programs, seed, lambda so_far: tell(so_far.programs, programs, len(so_far.divergences)), first=first
                )
    except conform.NoKernel as error:
        raise Refused(str(error)) from error
    if as_json:
        click.echo(json.dumps(_as_object(report, coverage)))
    else:
        screen.say(str(report))
        if coverage:
            screen.say()
            screen.say(report.matrix())
    if report.stopped:
        return STOPPED
    return CLEAN if report.clean else FAILURE_FOUND


def _as_object(report: conform.Report, coverage: bool) -> dict[str, Any]:
    """What ``--json`` prints; with *coverage*, how often each call was made in each state."""
    told: dict[str, Any] = {
        "programs": report.programs,
        "steps": report.steps,
        "agreed": report.agreed,
        "known": dict(report.known),
        "not_modelled": dict(report.not_modelled),
        "divergences": [str(divergence) for divergence in report.divergences],
        "again": report.again.total(),
        "unsteady": len(report.unsteady),
        "states": report.states,
        "calls": report.calls,
        "pairs": len(report.coverage),
        "seconds": round(report.seconds, 3),
        "stopped": report.stopped,
        "cut_short": report.cut_short,
    }
    if coverage:
        told["coverage"] = {}
        for (state, call), times in sorted(report.coverage.items()):
            told["coverage"].setdefault(state, {})[call] = times
    return told
