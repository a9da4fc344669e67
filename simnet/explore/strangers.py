"""What a sweep tries for the first client of each listener of a target: others come before it, whom the test knows nothing of.

A test has one client, as a rule, and a server that gives back no place of one who vanishes, or waits for one who says nothing, serves that one
well. So some dozens come first and vanish; in another run a few come and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simnet.explore.judging.served_anyway import served, serves_several
from simnet.explore.judging.table import EQUAL, FAILURE
from simnet.faults import kinds as k
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.invariants import SERVED_ANYWAY
from simnet.run import play
from simnet.trace import SEGMENT

if TYPE_CHECKING:
    from simnet.explore.judging.verdict import Judgement
    from simnet.explore.options import SweepOptions
    from simnet.points.reading import Points
    from simnet.run import Run

__all__ = ["strangers", "unless_it_means_to"]

VANISH_MIN, VANISH_MAX = 12, 64  # more than a pool of ten has places; more than most pools have
RUNS_A_STRANGER = 16  # of a sweep: each costs a third of one, so those who vanish are some 2 % of it
STAY = 2  # one who says nothing, and one who has begun
SAID_MAX = 64  # bytes of what they say a part of: a greeting, or a question
LISTENERS_MAX = 2  # of a test, each its first client
POLITE = {"vanish": "leave", "stay": "keep"}


def strangers(points: Points, targets: Collection[str], runs: int | None = None) -> Iterator[k.Fault]:
    """Those who come to each listener of *targets* before its first client, if that is none of them, and is served before the next one comes.

    In a sweep of so many *runs* they are fewer. What depends on several clients, such as a game that waits for its players, they would only disturb; and to
    a proxy nobody comes to stay: who says nothing may keep a place at a server behind it that is the test's own, and serves one after the other.
    """
    vanish = VANISH_MAX if runs is None else min(max(VANISH_MIN, runs // RUNS_A_STRANGER), VANISH_MAX)
    seen: set[str] = set()
    answered = {each.place for each in points.streams if each.end == "client" and each.length}
    callers = {each.client for each in points.connects}
    for connect in points.connects:
        place = Place.parse(connect.place)
        listener = f"{place.target}:{place.port}"
        if place.unix or listener in seen or connect.client in targets or connect.server not in targets:
            continue
        seen.add(listener)
        if connect.place in answered and connect.place not in points.shared:
            begins = points.begins.get(connect.place, b"")[:SAID_MAX]
            yield k.Strangers(on=connect.place, count=vanish, data=begins)
            if connect.server not in callers:
                yield k.Strangers(on=connect.place, count=STAY, then="stay", data=begins)
        if runs is not None and len(seen) == LISTENERS_MAX:
            return


def unless_it_means_to(
    test: Callable[[Any], object], run: Run, judgement: Judgement, baseline: Run, options: SweepOptions
) -> Judgement:
    """The *judgement* on *run*, without a word on a client that is not served, if it is not either when the strangers do all that it does."""
    told = [each for each in (*judgement.findings, *judgement.warnings) if each.reason == SERVED_ANYWAY]
    if not told or _serves_as_many(test, run.happened[0], baseline, options):
        return judgement
    findings = tuple(each for each in judgement.findings if each.reason != SERVED_ANYWAY)
    warnings = tuple(each for each in judgement.warnings if each.reason != SERVED_ANYWAY)
    status = judgement.status
    if status == FAILURE and all(each.level != FAILURE for each in findings):
        status = findings[0].level if findings else EQUAL
    return replace(judgement, status=status, findings=findings, warnings=warnings)


def _serves_as_many(test: Callable[[Any], object], fault: k.Fault, baseline: Run, options: SweepOptions) -> bool:
    """Whether the client of *fault* is served behind as many who do all that it does, and, if they stay, several are served at once."""
    if not isinstance(fault, k.Strangers):
        return False

    def with_others(others: k.Strangers) -> Run:
        return play(test, FaultPlan((others,)), baseline=baseline, **options.playing)

    said = _said_by(baseline, fault.on)
    beside = with_others(k.Strangers(on=fault.on, count=fault.count, then=POLITE[fault.then], data=said))
    if not served(baseline, beside):
        return False
    listener = f"{fault.place.target}:{fault.place.port}"
    if fault.then != "stay" or serves_several(baseline, listener) or serves_several(beside, listener):
        return True
    return serves_several(with_others(k.Strangers(on=fault.on, count=1, when="after", then="stay")), listener)


def _said_by(run: Run, place: str) -> bytes:
    """All that the client says there."""
    said = b""
    for _, kind, _, where, end, op, n, detail in run.trace.entries:
        if kind == SEGMENT and where == place and end == "server" and op.startswith("data") and n == len(said):
            said += detail[0]
    return said
