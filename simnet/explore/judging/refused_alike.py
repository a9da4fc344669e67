"""Who goes on where a connection is refused, and ends where it cannot be made for another reason.

A client with a list of servers, or one that tries again, catches what it has met: ``ConnectionRefusedError``, or ``ConnectionError``, of which "no
route to host" and a time-out are none. Each run by itself shows an errno that the fault has made, which is no failure; only beside
the run in which the same connection was refused is it told that the program had something better to do.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from simnet.blame import exception_text, user_place
from simnet.explore.judging.findings import Finding
from simnet.explore.judging.table import EQUAL, FAILURE, INTERRUPTED, OFF, WARNING
from simnet.faults.disruptive import ConnectTimeout, Refuse, Unreachable
from simnet.invariants import REFUSED_ALIKE

if TYPE_CHECKING:
    from simnet.explore.judging.verdict import Judgement
    from simnet.faults.fault import Fault
    from simnet.run import Run

__all__ = ["elsewhere", "ends_otherwise", "survived"]

_WAYS = {Unreachable: "the host is unreachable", ConnectTimeout: "nobody answers there"}


def survived(run: Run, judgement: Judgement) -> Fault | None:
    """The refusal of *run*, if it was all that happened, and the outcome that of the run without."""
    happened = run.happened
    alone = len(happened) == 1 and isinstance(happened[0], Refuse)
    return happened[0] if alone and judgement.status == EQUAL and not judgement.warnings else None


def elsewhere(run: Run, baseline: Run) -> bool:
    """Whether somebody connected in *run* to where nobody does in *baseline*: the next one of a list of servers."""
    return bool(
        {_where(each.place) for each in run.points.connects} - {_where(each.place) for each in baseline.points.connects}
    )


def _by_its_own_time(error: OSError) -> bool:
    """Has asyncio made it of a cancellation, as of a deadline for all attempts? Early versions of 3.11 name no cause."""
    return isinstance(error.__cause__ or error.__context__, CancelledError)


def _where(place: str) -> str:
    return place.rpartition("#")[0]


def ends_otherwise(run: Run, judgement: Judgement, refused: Mapping[str, bool], levels: Mapping[str, str]) -> Judgement:
    """The *judgement* on *run*, with a word on a target that it ends, and that goes on where each of the connections *refused* is.

    Whoever goes on *elsewhere* then does so when nobody answers, too; whoever tries the same server again may have waited long enough.
    """
    level = levels.get(REFUSED_ALIKE, WARNING)
    happened = run.happened
    if level == OFF or judgement.status != INTERRUPTED or len(happened) != 1 or happened[0].on not in refused:
        return judgement
    way = _WAYS.get(type(happened[0]))
    if isinstance(happened[0], ConnectTimeout) and not refused[happened[0].on]:
        return judgement
    for each in run.failures if way else ():
        if each.target and isinstance(each.error, OSError) and not _by_its_own_time(each.error):
            text = (
                f"{each.process} goes on when {happened[0].on} is refused, and ends with {exception_text(each.error)} when {way}: "
                "catch OSError there, of which all of these are"
            )
            found = Finding(
                REFUSED_ALIKE, text, each.host, level, each.error, user_place(each.error).short, each.process
            )
            if level == WARNING:
                return replace(judgement, warnings=(*judgement.warnings, found))
            return replace(judgement, status=FAILURE, findings=(found, *judgement.findings))
    return judgement
