"""What a sweep tries once for each server that a target connects to: the server has gone.

Each single fault leaves the rest of the network whole, so who tries again succeeds at the second attempt, and who waits is woken sooner or
later. Two mistakes of clients show only when that does not happen: to connect again and again without a pause, where nobody listens
or where all are hung up on, and to wait without a time-out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from simnet.explore.judging.table import BOUNDS, FAILURE, INTERRUPTED, WARNING
from simnet.explore.points import CALLS, Family, families, preempted
from simnet.explore.series import spread
from simnet.explore.strangers import strangers
from simnet.faults import kinds as k
from simnet.faults.place import Place
from simnet.invariants import WAITS_FOR_EVER

if TYPE_CHECKING:
    from simnet.explore.judging.verdict import Judgement
    from simnet.faults.plan import FaultPlan
    from simnet.points.reading import Points

__all__ = ["STORM_NS", "for_good", "gone", "only_storms", "other_ways", "storms_alone", "unasked"]

# Byte: with the first one of its answer a server has acknowledged the question, and no kernel asks it again.
ANSWERED = 1
OTHER_WAYS_MAX = 8  # connections: of a list of servers, or attempts in a row
SILENCES_MAX = 6  # pieces of what one server says
STORM_NS = 600 * 10**9  # who has made a thousand attempts without a pause has long done so
STORMS = ("no-spin", *BOUNDS)  # the reasons of failures that others do not show


def unasked(points: Points, targets: Collection[str], survives: Collection[str] = ()) -> list[Family]:
    """All that a sweep tries whose kinds nobody has named."""
    found = families(points, targets)
    if standing := list(preempted(points, points.threaded)):  # of no use where nobody could go on meanwhile
        found.append(Family(k.Preempt.kind, CALLS, len(standing), len(standing), standing.__getitem__))
    if others := list(strangers(points, targets, sum(family.size for family in found))):
        found.append(
            Family(k.Strangers.kind, CALLS, len(others), len({each.on for each in others}), others.__getitem__)
        )
    return [*found, *gone(points, targets, survives)]


def gone(points: Points, targets: Collection[str], survives: Collection[str] = ()) -> list[Family]:
    """The faults of *points* that take away a server for good; those of a kind that the test *survives* would ask too much of it."""
    faults = [*_refused(points, targets), *_hung_up(points, targets), *_silent(points, targets)]
    return [
        Family(fault.kind, CALLS, 1, 1, [fault].__getitem__)
        for fault in dict.fromkeys(faults)
        if fault.kind not in survives
    ]


def other_ways(refused: Mapping[str, bool]) -> list[k.Fault]:
    """How else the first few of the connections *refused* cannot be made: who has something better to do than to end has it there, too.

    Where no other server is tried then, a client may have waited long enough for one that does not answer.
    """
    first = [on for on in refused if Place.parse(on).concrete and not Place.parse(on).unix][:OTHER_WAYS_MAX]
    unreachable: list[k.Fault] = [k.Unreachable(on=on) for on in first]
    return [*unreachable, *(k.ConnectTimeout(on=on) for on in first if refused[on])]


def for_good(fault: k.Fault) -> bool:
    """Is *fault*, which a sweep has chosen unasked, one of these? A second one beside it would tell nothing of its own."""
    return isinstance(fault, k.Blackhole | k.Strangers) or not fault.place.concrete


def only_storms(plan: FaultPlan) -> bool:
    """Is all that is asked of a *plan* that a sweep has chosen unasked, whether the program storms?"""
    return isinstance(plan[0], k.Refuse | k.Eof) and for_good(plan[0])


def storms_alone(plan: FaultPlan, judgement: Judgement) -> Judgement:
    """The *judgement* on a *plan* that a sweep has chosen unasked: of who is refused or hung up on for good no more is asked than that it does not storm.

    Nobody delivers to a server that is not there; what a program makes of a refusal or an end the single ones show. But those who wait for
    one who was to bring a connection, and has given up, show nowhere else, since the second attempt succeeds: of them is warned.
    """
    if judgement.failure is None or not only_storms(plan):
        return judgement
    storms = [each for each in judgement.findings if each.level == FAILURE and each.reason in STORMS]
    excused = [replace(each, level=INTERRUPTED) for each in judgement.findings if each not in storms]
    forgotten = [
        replace(each, level=WARNING)
        for each in judgement.findings
        if each.level == FAILURE and each.reason == WAITS_FOR_EVER
    ]
    return replace(
        judgement,
        status=FAILURE if storms else INTERRUPTED,
        findings=(*storms, *excused),
        warnings=(*judgement.warnings, *forgotten),
    )


def _refused(points: Points, targets: Collection[str]) -> Iterator[k.Fault]:
    """Nobody listens there, however often it is tried."""
    for connect in points.connects:
        if connect.answered and connect.client in targets and connect.place not in points.pairs:
            yield k.Refuse(on=_each(connect.place))


def _hung_up(points: Points, targets: Collection[str]) -> Iterator[k.Fault]:
    """Whoever is there accepts, and hangs up before a byte, as a balancer does whose servers are gone."""
    for stream in points.streams:
        place = Place.parse(stream.place)
        if stream.end != "client" or not stream.length or place.unix or place.source not in targets:
            continue
        if stream.place not in points.pairs:
            yield k.Eof(on=_each(stream.place), end="client", byte=0)


def _silent(points: Points, targets: Collection[str]) -> Iterator[k.Fault]:
    """The first connection to each of them: it answers, and then falls silent, behind the first byte of each piece of what it says.

    Who has a time-out for the first answer may have forgotten it for a later one, such as that to a goodbye.
    """
    seen: set[str] = set()
    for stream in points.streams:
        place = Place.parse(stream.place)
        if stream.end != "client" or stream.length <= ANSWERED or place.unix or place.source not in targets:
            continue
        if stream.place in points.pairs:
            continue
        if (server := _each(stream.place)) not in seen:
            seen.add(server)
            pieces = [edge + ANSWERED for edge in (0, *stream.edges) if edge + ANSWERED < stream.length]
            for piece in spread(len(pieces), SILENCES_MAX):
                yield k.Blackhole(on=stream.place, end="client", byte=pieces[piece])


def _each(place: str) -> str:
    """All connections to where *place* leads."""
    return f"{place.rpartition('#')[0]}#*"
