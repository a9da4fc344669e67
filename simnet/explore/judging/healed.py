"""Whether a target is never answered again, on a connection that is whole, since something there came late.

A delay loses nothing, and is over some time. Who gave up meanwhile may close the connection; who keeps it should be able to go on with it. Two
mistakes leave it of no use for ever: what belonged to the answer that nobody waited for any more was not done, as room given back to who
sends, so that the server does not answer any more; or the connection was lent to somebody who has left, and nobody else gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.explore.judging.answers import LATE, lists
from simnet.explore.judging.outcomes import is_among, same
from simnet.faults.place import Place
from simnet.trace import CALL, FAULT, SEGMENT, WAKE, Entry

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["Healed", "of_no_use"]

MARGIN_NS = 1_000_000_000  # beyond all that a delay makes late
AGAIN = 2  # times that it asks, or that its time is up, when the delay is long over
CLIENT = "client"


class Healed(NamedTuple):
    """A connection of a target's that is whole, and of no use to it any more."""

    place: str
    host: str
    entry: int  # the call by which it asked in vain; or the last one there
    what: str


def of_no_use(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Healed | None:
    """The first such connection under a *disruptive* delay and nothing else; None if there is none."""
    if not disruptive or any(fault.kind not in LATE for fault in disruptive):
        return None
    entries = run.trace.entries
    struck = {entry[3]: entry[0] for entry in entries if entry[1] == FAULT}
    late_ns = round(1e9 * max(getattr(fault, "seconds", 0.0) for fault in disruptive))
    for place, at_ns in struck.items():
        host = str(Place.parse(place).source)
        if "#" not in place or host not in run.targets or Place.parse(place).unix:
            continue
        over_ns = at_ns + late_ns + MARGIN_NS
        its = _while_whole(place, entries)
        asked = [index for index in its if entries[index][0] >= over_ns and _says(entries[index])]
        if len(asked) >= AGAIN and _is_answered(place, baseline) and not _hears(entries, its, asked[0]):
            if _times_up(host, entries[asked[0] : its[-1] + 1]) >= AGAIN:
                return Healed(place, host, asked[0], "asks there again and again, and is never answered any more")
        elif not asked and its and not _ends(place, entries, its[-1]) and not _calls(host, entries, over_ns):
            after = [entry for entry in entries if entry[0] >= over_ns]
            if _times_up(host, after) >= AGAIN and any(_all_the_rest(*pair) for pair in lists(baseline, run)):
                return Healed(
                    place,
                    host,
                    its[-1],
                    "keeps it, and asks nothing there any more, while its time is up again and again",
                )
    return None


def _while_whole(place: str, entries: list[Entry]) -> list[int]:
    """Where in the trace something happened on *place*, until one of its ends closed it or broke it."""
    found: list[int] = []
    for index, entry in enumerate(entries):
        if entry[3] != place:
            continue
        if _over(entry):
            break
        if entry[1] == CALL:
            found.append(index)
    return found


def _ends(place: str, entries: list[Entry], since: int) -> bool:
    """Is *place* closed, before the host that has made it has had its time up ``AGAIN`` times?"""
    host, times = str(Place.parse(place).source), 0
    for entry in entries[since:]:
        if entry[3] == place and _over(entry):
            return True
        if entry[1] == WAKE and entry[2] == host and entry[7] is False:
            times += 1
            if times > AGAIN:
                return False
    return False


def _over(entry: Entry) -> bool:
    if entry[1] == SEGMENT:
        return "FIN" in entry[5] or "RST" in entry[5]
    return entry[1] == CALL and entry[5] in ("close", "shutdown")


def _says(entry: Entry) -> bool:
    return entry[5] == "send" and entry[4] == CLIENT and isinstance(entry[7][1], int) and entry[7][1] > 0


def _hears(entries: list[Entry], its: list[int], since: int) -> bool:
    """Has the opener read anything there after *since*?"""
    heard = (entries[index] for index in its if index > since)
    return any(entry[5] == "recv" and entry[4] == CLIENT and isinstance(entry[7][1], bytes) for entry in heard)


def _is_answered(place: str, baseline: Run) -> bool:
    """Is the last that is said there answered without the fault?"""
    entries = baseline.trace.entries
    its = [index for index, entry in enumerate(entries) if entry[1] == CALL and entry[3] == place]
    said = [index for index in its if _says(entries[index])]
    return len(said) >= AGAIN and _hears(entries, its, said[-AGAIN])


def _calls(host: str, entries: list[Entry], since_ns: int) -> bool:
    """Has *host* said anything on any connection that it has made since then, or made one?"""
    return any(
        entry[0] >= since_ns
        and entry[1] == CALL
        and entry[2] == host
        and (_says(entry) or entry[5].startswith("connect"))
        for entry in entries
    )


def _times_up(host: str, entries: list[Entry]) -> int:
    return sum(entry[1] == WAKE and entry[2] == host and entry[7] is False for entry in entries)


def _all_the_rest(was: Sequence[Any], now: Sequence[Any]) -> bool:
    """Are the last ones all the same, which *was* has nowhere?"""
    last = now[-AGAIN:]
    return len(last) == AGAIN and all(same(each, last[0]) for each in last) and not is_among(last[0], was)
