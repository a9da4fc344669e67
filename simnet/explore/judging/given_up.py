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

__all__ = ["goes_on_with_the_broken", "goes_on_with_the_closed"]

BROKEN = frozenset({"EPIPE", "ECONNRESET", "ENOTCONN", "ETIMEDOUT"})
ASKS = frozenset({"recv", "send"})
Told = tuple[str, str, str]  # a connection, which end of it, and the thread that is told
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
    again: dict[Told, int] = {}  # of those that are broken: how often
    tried: set[Told] = set()  # to say something there since it was told last
    ended: set[Told] = set()  # it has read the end, and was not told yet that what it says reaches nobody
    # What it had to say when it was told last, and when that was.
    in_vain: dict[Told, tuple[int, object]] = {}
    runs: dict[str, str] = {}  # which thread of a host's does
    for index, (at_ns, kind, host, place, end, op, _, detail) in enumerate(entries):
        if kind in (WAKE, PROCESS):
            runs[host] = place if op != "end" else ""
        if kind != CALL or host not in run.targets:
            continue
        which = place, end, runs.get(host, "")
        if op == "close":
            for each in [each for each in again if each[:2] == which[:2]]:
                del again[each]
                tried.discard(each)
                ended.discard(each)
        elif op not in ASKS:
            continue
        elif _tells(detail[1]) and (op == "recv" or detail[1]):
            before = in_vain.get(which)
            in_vain[which] = at_ns, detail[0]
            if op == "send" and before == in_vain[which]:
                continue
            if which not in again:
                again[which] = 0
                if op == "recv" and detail[1] == b"":
                    ended.add(which)
            elif op == "send" and which in ended:
                ended.discard(which)
            elif op == "send" or which in tried:
                again[which] += 1
                if again[which] >= AGAIN and not _closes_at_once(entries, index):
                    return place, index
            tried.discard(which)
        elif which in again and not isinstance(detail[1], Failed):
            if op == "send":
                tried.add(which)
            else:  # it lives
                del again[which]
    return None


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
