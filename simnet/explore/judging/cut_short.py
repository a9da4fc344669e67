"""Whether a target takes the beginning of a message, whose rest an early end has cut off, for all of it.

Who knows where a message ends, by its length or by a mark, stops reading there: without the fault it never comes to the end of the input. With the fault
it does, in the midst of one, and hands on what there is as if it were whole: half a line that ``readline`` gives at the end, stripped, a download
that is shorter than was said. Where the end of the input is that of the message nobody can tell, and nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.explore.judging.answers import values
from simnet.faults.hosts import BODY
from simnet.trace import CALL, PROCESS

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["Cut", "taken_for_whole"]

CLIENT, SERVER = "client", "server"


class Cut(NamedTuple):
    """Where the end came too soon, who goes on as if nothing were, and the read that has told of it."""

    place: str
    host: str
    entry: int


def taken_for_whole(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Cut | None:
    """The first such thing in *run*, by an end and nothing else; None if there is none.

    Of a client that only talks to what is under test, such as a test has beside it, nothing is asked: the test's own assertion looks at that.
    """
    if len(disruptive) != 1 or disruptive[0].kind != "eof" or not disruptive[0].place.concrete:
        return None
    (fault,) = disruptive
    place, host = str(fault.place), str(fault.place.source)
    if getattr(fault, "end", "") != CLIENT or host not in run.targets or not _is_singled_out(run):
        return None
    said, begun = _said_before(baseline, place, getattr(fault, "byte", 0))
    if _told_of_the_end(baseline, place) is not None or (entry := _told_of_the_end(run, place)) is None:
        return None
    return Cut(place, host, entry) if any(_is_cut(*pair, said, begun) for pair in _pieces(baseline, run)) else None


def _said_before(baseline: Run, place: str, byte: int) -> tuple[bytes, int]:
    """What the peer says there without the fault, up to that *byte*, and how much of it is of the last thing that it had begun to say."""
    said, begun = b"", 0
    for entry in baseline.trace.entries:
        if entry[3] == place and entry[1] == CALL and entry[4] == SERVER and entry[5] == "send":
            arguments, sent, _ = entry[7]
            if isinstance(sent, int) and arguments and isinstance(arguments[0], bytes) and len(said) < byte:
                begun = len(said)
                said += arguments[0][:sent]
    return said[:byte], byte - begun if byte < len(said) else 0


def _is_cut(was: Any, now: Any, said: bytes, begun: int) -> bool:
    """Is *now* the beginning of *was*, to the last byte that had come of what was *begun*, and nobody can see that it is no more?

    Who has put together what was whole, and left out the rest, has lost nothing; and who hands on a line with its end may leave it to others
    to look for that.
    """
    if isinstance(was, str) and isinstance(now, str):
        was, now = was.encode(errors="replace"), now.encode(errors="replace")
    if not (isinstance(was, bytes) and isinstance(now, bytes) and begun):
        return False
    if now == b"" or now == was or not was.startswith(now) or was.endswith(b"\n"):
        return False
    return said.endswith(now[-min(len(now), begun) :])


def _pieces(baseline: Run, run: Run) -> Iterator[tuple[Any, Any]]:
    """What both have seen, and of what is in order each piece; not of a record in which another piece tells that something is amiss."""
    for was, now in values(baseline, run):
        yield was, now
        pieces: list[tuple[Any, Any]] = []
        if isinstance(was, (list, tuple)) and isinstance(now, (list, tuple)):
            pieces += zip(was, now, strict=False)
        elif isinstance(was, dict) and isinstance(now, dict):
            pieces += ((was[key], now[key]) for key in was if key in now)
        if isinstance(was, list) or not any(_tells(*piece) for piece in pieces):
            yield from pieces


def _tells(was: Any, now: Any) -> bool:
    """Is it a flag that is set otherwise, or another word?"""
    if isinstance(was, str) and isinstance(now, str):
        return not was.startswith(now)
    return any(isinstance(each, bool | None) for each in (was, now)) and was is not now


def _is_singled_out(run: Run) -> bool:
    """Is there a host with a program of its own, besides the test's, that is no target?"""
    return any(entry[1] == PROCESS and entry[2] not in (BODY, *run.targets) for entry in run.trace.entries)


def _told_of_the_end(run: Run, place: str) -> int | None:
    """The read of the opener's that says so."""
    for index, entry in enumerate(run.trace.entries):
        if entry[3] == place and entry[1] == CALL and entry[4] == CLIENT and entry[5] == "recv" and entry[7][1] == b"":
            return index
    return None
