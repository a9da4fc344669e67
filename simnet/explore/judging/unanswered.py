"""Whether what befell one connection has left the client of another without an answer: it waits for ever, or until its time is up.

Nothing had happened to that one, its question is the baseline's, and there the target answers it, or hangs up. The connection that a
fault was on is the target's own second leg, as a proxy's is, and it has heard of it; or it was another client's: then the target has not
read the question, or that one had asked its own, and was over before this one began. Of two who talk to each other by a hub, the one may rightly wait for what the other
could not say: unless all that it had to say has been said, and this one was answered before; what came in one piece with something that was
handled, a server may drop with the connection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from simnet.faults.place import Place
from simnet.trace import CALL, FAULT, SEGMENT, WAKE, Failed
from simnet.verdicts import Deadlock

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run
    from simnet.trace import Entry

__all__ = ["SILENT", "Unanswered", "unanswered"]

SILENT = frozenset({"blackhole"})  # nobody can tell the target that its other side has gone
RECEIVES, POLLS = "recv on ", "readiness of "
WAITS = re.compile(r"^ *(\S+) waits for (.*?)(?: at |, since )")
CLIENT, SERVER = "client", "server"
LATER = frozenset({"EAGAIN", "EINPROGRESS"})  # said to who need not wait


class Unanswered(NamedTuple):
    """A connection whose client waits in vain, and the one that the fault was on."""

    place: str
    host: str
    struck: str
    stands: str  # what the target waits for meanwhile, if that is known


class _Told(NamedTuple):
    """What a trace says of one connection, as its acceptor and its opener called it."""

    asked: int  # bytes that the client sent
    read: int  # of these, what the target has read
    sent: int  # bytes of the answer
    ended: bool  # the target has closed it, or its own half, before the client did


def unanswered(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Unanswered | None:
    """The first connection of a target that *run* has left so, by faults that were *disruptive*."""
    if not disruptive or any(fault.kind in SILENT for fault in disruptive):
        return None
    struck: dict[str, int] = {}  # by a fault: where in the trace the first one was
    for index, entry in enumerate(run.trace.entries):
        if entry[1] == FAULT:
            struck.setdefault(entry[3], index)
    if not all(_may_concern(place, disruptive) for place in struck):
        return None
    for place, until in dict.fromkeys(_in_vain(run, disruptive, min(struck.values(), default=0))):
        its = Place.parse(place)
        if place in struck or its.target not in run.targets or its.source in run.targets:
            continue
        told = _told(place, run.trace.entries[:until])
        due = _due(place, told.sent, baseline)
        if due is None or told.ended or told.asked < due:
            continue
        heard = str(its.target), run.trace.entries[:until]
        legs = [other for other in struck if _is_leg(other, its) and _has_heard(other, *heard)]
        others = [other for other in struck if _is_sibling(other, its)]
        if not legs and not any(map(_is_connection, others)) and _is_taken_up(place, run.trace.entries[until:]):
            continue  # a server that gets no descriptor waits for a while before it accepts again
        # of two that were struck, one may have had to say what this one waits for
        served = all(_was_served(each, place, baseline, run) for each in others)
        if legs or (others and (told.read < due or served or _needs_nothing_more(place, told, others, baseline, run))):
            return Unanswered(place, str(its.target), [*legs, *others][0], _stands(str(its.target), run))
    return None


def _stands(host: str, run: Run) -> str:
    lines = str(run.body_error).splitlines() if isinstance(run.body_error, Deadlock) else []
    return ", ".join(line.strip() for line in lines if line.strip().startswith(f"{host}/"))


def _is_connection(place: str) -> bool:
    return "->" in place and "#" in place


def _may_concern(place: str, disruptive: tuple[Fault, ...]) -> bool:
    """Is it a connection, a listener, or a host that was refused a socket? Not what befalls a link or a datagram, or a whole host."""
    if "->" in place:
        return "#" in place
    return ":" in place or all(fault.anchor.op == "socket" for fault in disruptive)


def _is_leg(struck: str, its: Place) -> bool:
    """Is *struck* what the target of *its* has opened itself, or could not open?"""
    return struck == its.target or ("->" in struck and Place.parse(struck).source == its.target)


def _is_sibling(struck: str, its: Place) -> bool:
    """Is *struck* of the same listener, or that listener?"""
    place = Place.parse(struck)
    return place.target == its.target and place.port == its.port


def _in_vain(run: Run, disruptive: tuple[Fault, ...], since: int) -> Iterator[tuple[str, int]]:
    """The connections on which somebody who is no target waits for ever, or waited until the time was up; and where in the trace
    that was seen.
    """
    entries, error = run.trace.entries, run.body_error
    until = len(entries)
    lines = [each.what for each in run.waiting]
    if isinstance(error, Deadlock):
        lines += str(error).splitlines()
        until = until if error.seen_until is None else error.seen_until
    for line in lines:
        found = WAITS.match(line)
        host = found[1].partition("/")[0] if found is not None else ""
        if found is None or host in run.targets:
            continue
        if found[2].startswith(RECEIVES):
            place = found[2].removeprefix(RECEIVES).partition(" ")[0]  # on real sockets it is told which end
            if _is_connection(place):
                yield place, until
        elif found[2].startswith(POLLS):
            yield from ((place, until) for place in _open(host, entries[:until]))
    if any(fault.late for fault in disruptive):
        return  # what is late may come yet
    for index, entry in enumerate(entries):
        if index < since or entry[1] != WAKE or entry[7] is not False:
            continue
        if entry[2] in run.targets:
            return  # it goes by a clock of its own, and may be about to try again
        if entry[5] == "recv":
            yield from ((each[3], index) for each in entries[index + 1 : index + 2] if _timed_out(each))
        elif entry[5].startswith("readiness"):
            yield from ((place, index) for place in _open(entry[2], entries[:index]))


def _timed_out(entry: Entry) -> bool:
    return entry[1] == CALL and entry[5] == "recv" and isinstance(entry[7][1], Failed)


def _open(host: str, entries: list[Entry]) -> list[str]:
    """The connections that *host* has opened and not closed."""
    mine: dict[str, None] = {}
    for entry in entries:
        if entry[2] == host and entry[1] == CALL and entry[4] == CLIENT and _is_connection(entry[3]):
            if entry[5] == "close":
                mine.pop(entry[3], None)
            else:
                mine[entry[3]] = None
    return list(mine)


def _told(place: str, entries: list[Entry]) -> _Told:
    asked = read = sent = 0
    ended = False
    for entry in entries:
        if entry[3] != place:
            continue
        _, kind, _, _, end, op, _, detail = entry
        if kind == SEGMENT:
            ended = ended or (end == CLIENT and ("FIN" in op or "RST" in op))
        elif kind == CALL and end == SERVER and op in ("close", "shutdown"):
            ended = True
        elif kind == CALL:
            moved = _moved(op, detail[1])
            if end == CLIENT:
                asked += moved if op == "send" else 0
            elif op == "recv":
                read += moved
            elif op == "send":
                sent += moved
    return _Told(asked, read, sent, ended)


def _moved(op: str, result: object) -> int:
    """How many bytes a call has moved."""
    if isinstance(result, tuple) and result:
        result = result[0]
    if isinstance(result, bytes):
        return len(result)
    return result if op == "send" and isinstance(result, int) else 0


def _is_taken_up(place: str, later: list[Entry]) -> bool:
    """Does the target read there *later*, when the client has lost its patience?"""
    return any(entry[3] == place and entry[1] == CALL and entry[4] == SERVER and entry[5] == "recv" for entry in later)


def _due(place: str, sent: int, baseline: Run) -> int | None:
    """How much of the question the target had read in *baseline* when it went beyond *sent* bytes, or ended. None: it never does.

    Real sockets are seen by threads, and what a client reads may be told before the call that sent it.
    """
    read = gone = come = 0
    for entry in baseline.trace.entries:
        if entry[3] != place or entry[1] != CALL:
            continue
        _, _, _, _, end, op, _, detail = entry
        if op in ("close", "shutdown"):
            if end == SERVER:
                return read
            if op == "close":
                return None
        elif end == SERVER and op == "recv":
            read += _moved(op, detail[1])
        elif end == SERVER and op == "send":
            gone += _moved(op, detail[1])
        elif end == CLIENT and op == "recv":
            come += _moved(op, detail[1])
        if max(gone, come) > sent:
            return read
    return None


def _has_heard(struck: str, host: str, entries: list[Entry]) -> bool:
    """Has *host*, whose own connection that is, been told that something is wrong there, or of the end? Or has it given it up?"""
    if struck == host:  # it got no socket
        return True
    for _, kind, whose, place, _, op, _, detail in entries:
        if place != struck:
            continue
        if kind == SEGMENT and whose != host and ("FIN" in op or "RST" in op):
            return True
        if kind == CALL and whose == host:
            given = detail[1]
            if op == "close" or (op == "recv" and given == b"") or (op == "getsockopt" and given):  # SO_ERROR
                return True
            if isinstance(given, Failed) and given not in LATER:
                return True
    return False


def _was_served(struck: str, place: str, baseline: Run, run: Run) -> bool:
    """Had *struck* asked its own question, and was over before the client of *place* came?"""
    return _was_asked(struck, baseline, run) and _was_over(struck, place, run)


def _needs_nothing_more(place: str, told: _Told, others: list[str], baseline: Run, run: Run) -> bool:
    """Has the target read all that it has read of *others* in *baseline* when it answers there? And was the one on *place* answered before, as it is there?

    Who has not been answered yet may wait for the others to be there at all, as one of two who are brought together.
    """
    before = baseline.trace.entries
    said = _what_is_said(place, run.trace.entries)
    usual = _what_is_said(place, before)
    if not said or not usual.startswith(said) or len(usual) <= len(said) or not all(map(_is_connection, others)):
        return False
    gone = 0
    for index, entry in enumerate(before):
        if entry[3] == place and entry[1] == CALL and entry[4] == SERVER and entry[5] == "send":
            gone += _moved("send", entry[7][1])
            if gone > told.sent:
                if _came_with_another(place, before[:index], others):
                    return False
                return all(_told(each, run.trace.entries).read >= _told(each, before[:index]).read for each in others)
    return False


def _came_with_another(place: str, before: list[Entry], others: list[str]) -> bool:
    """Is it one of *others* who was read last, and has something been said on *place* since then? Then what is said there next was
    asked for in the same piece.
    """
    said = False
    for entry in reversed(before):
        if entry[1] != CALL or entry[4] != SERVER:
            continue
        if entry[3] == place and entry[5] == "send":
            said = said or _moved("send", entry[7][1]) > 0
        elif entry[5] == "recv" and _moved("recv", entry[7][1]):
            return said and entry[3] in others
    return False


def _what_is_said(place: str, entries: list[Entry]) -> bytes:
    """What the target has sent there."""
    return b"".join(
        bytes(entry[7][0][0][: entry[7][1]])
        for entry in entries
        if entry[3] == place
        and entry[1] == CALL
        and entry[4] == SERVER
        and entry[5] == "send"
        and _moved("send", entry[7][1])
    )


def _was_asked(struck: str, baseline: Run, run: Run) -> bool:
    """Was the question on *struck* read that is answered first without the fault? Else what it asks for has never come about."""
    asked = None if not _is_connection(struck) else _due(struck, 0, baseline)
    return asked is None or _told(struck, run.trace.entries).read >= asked


def _was_over(struck: str, place: str, run: Run) -> bool:
    """Was *struck* broken, or one of its ends closed, before the client of *place* came?"""
    for entry in run.trace.entries:
        if entry[3] == place:
            return False
        if entry[3] == struck and (
            (entry[1] == CALL and entry[5] == "close") or (entry[1] == SEGMENT and "RST" in entry[5])
        ):
            return True
    return False
