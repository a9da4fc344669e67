"""Whether a target goes on with a connection of which it has been told that it is broken, or has ended: asks there again, and is told again.

What it says there reaches nobody, and nobody will answer; one connection made anew would do. Who tries once more, or says goodbye, in
the end closes it; so does a server that gives its answer in parts, and looks whether they went out when it has given all; a file that
``makefile`` has made sends what it still has once more for each layer that closes. A peer that has only half-closed is written to and says
no more, so who hears of its end a second time has read on. Of threads that share a connection each is told for itself: what the one that
reads has heard, the one that writes learns by its own call.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from simnet.trace import CALL, PROCESS, WAKE, Failed

if TYPE_CHECKING:
    from simnet.run import Run
    from simnet.trace import Entry

__all__ = ["BROKEN", "goes_on_with_the_broken", "goes_on_with_the_closed"]

BROKEN = frozenset({"EPIPE", "ECONNRESET", "ENOTCONN", "ETIMEDOUT"})
ASKS = frozenset({"recv", "send"})
Asker = tuple[str, str, str]  # a connection, which end of it, and the thread that asks there
AGAIN = 2  # times that it says something there after it has been told, and is told once more


def goes_on_with_the_broken(baseline: Run, run: Run) -> tuple[str, int] | None:
    """The connection, and the call by which a target was told so again; None if there is none, or it does that without the fault as well."""
    found = _told_again(run)
    return None if found is None or _told_again(baseline) is not None else found


def goes_on_with_the_closed(baseline: Run, run: Run) -> tuple[str, str] | None:
    """The target that sends again and again on a connection that it has closed itself, and where; None if there is none.

    A server, or a gateway, may have answers that are too late for who has gone; whoever only connects would be heard on a new connection.
    """
    for host, where in run.sends_on_the_closed.items():
        listens = any(entry[1] == CALL and entry[5] == "listen" and entry[2] == host for entry in run.trace.entries)
        if host not in baseline.sends_on_the_closed and not listens:
            return host, where
    return None


def _told_again(run: Run) -> tuple[str, int] | None:
    entries = run.trace.entries
    # Few runs have as many, and each of them is looked through.
    results = [entry[7][1] for entry in entries if entry[5] in ASKS and entry[1] == CALL]
    if len([each for each in results if type(each) is Failed or each == b""]) <= AGAIN:
        return None
    told = _Told()
    runs: dict[str, str] = {}  # which thread of a host's does
    for index, (at_ns, kind, host, place, end, op, _, detail) in enumerate(entries):
        if kind in (WAKE, PROCESS):
            runs[host] = place if op != "end" else ""
        if kind != CALL or host not in run.targets:
            continue
        if op == "close":
            told.forget(place, end)
        elif (
            op in ASKS
            and told.hears((place, end, runs.get(host, "")), op, at_ns, detail[0], detail[1])
            and not _closes_at_once(entries, index)
        ):
            return place, index
    return None


class _Told:
    """What the threads of the targets have been told of their connections, and have done there since."""

    def __init__(self) -> None:
        self.again: dict[Asker, int] = {}  # of those that are broken: how often
        self.tried: set[Asker] = set()  # to say something there since it was told last
        self.ended: set[Asker] = set()  # it has read the end, and was not told yet that what it says reaches nobody
        # What it had to say when it was told last, and when that was.
        self.in_vain: dict[Asker, tuple[int, object]] = {}

    def forget(self, place: str, end: str) -> None:
        """It is closed."""
        for each in [each for each in self.again if each[:2] == (place, end)]:
            del self.again[each]
            self.tried.discard(each)
            self.ended.discard(each)

    def hears(self, who: Asker, op: str, at_ns: int, arguments: object, result: object) -> bool:
        """Has it been told so too often? What it says twice in one instant, and to no avail, it says once."""
        if not _tells(result) or (op == "send" and not result):
            if who in self.again and not isinstance(result, Failed):
                self._goes_on(who, op)
            return False
        before, self.in_vain[who] = self.in_vain.get(who), (at_ns, arguments)
        if op == "send" and before == (at_ns, arguments):
            return False
        counts = False
        if who not in self.again:
            self.again[who] = 0
            if op == "recv" and result == b"":
                self.ended.add(who)
        elif op == "send" and who in self.ended:
            self.ended.discard(who)
        elif op == "send" or who in self.tried:
            self.again[who] += 1
            counts = self.again[who] >= AGAIN
        self.tried.discard(who)
        return counts

    def _goes_on(self, who: Asker, op: str) -> None:
        if op == "send":
            self.tried.add(who)
        else:  # it lives
            del self.again[who]


def _closes_at_once(entries: list[Entry], index: int) -> bool:
    """Is the next that is done there, in the same instant, to close it? Then what was said last was a goodbye.

    Or what follows the first word that was in vain, if it was accepted: nothing can be made anew there, and to say the rest harms nobody.
    """
    at_ns, _, host, place, end, *_ = entries[index]
    for entry in islice(entries, index + 1, None):
        if entry[0] != at_ns:
            return False
        if entry[1] == CALL and entry[2:5] == (host, place, end) and entry[5] != "shutdown":
            if entry[5] == "close":
                return True
            if end != "server" or entry[5] != "send" or not _tells(entry[7][1]):
                return False
    return False


def _tells(result: object) -> bool:
    """Does a call with this *result* say that the connection is broken, or has ended?"""
    return result == b"" or (isinstance(result, Failed) and result in BROKEN)
