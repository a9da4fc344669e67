"""Whether a target that connects anew, in place of a connection that broke, does there what it did on the first: says what it had to say to be
told things, and hears what comes.

A subscription, a channel that was joined, what a worker can do: a server knows them by what was said on a connection, and forgets them with it. Who
connects again and does not say it again is whole and connected, and is told nothing for ever. Nobody notices, as long as it has a heart that beats.

It is asked where the outcome is another, of targets that make one connection to a server without the fault. What counts is what they were *told*
there: more than an answer for each thing that they said, with a pause between. Who fetches something, breaks off and asks for other
things next is none of those; nor does it matter what else is said, such as where to go on, as long as what was said before comes too or more comes
than answers. What a worker that asks for jobs again and again has to say first looks like any question, and is not seen; nor is what TLS hides.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from simnet.explore.judging.given_up import BROKEN
from simnet.trace import CALL, SEGMENT, Entry

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["Anew", "does_less_than_before"]

SILENCE_NS = 5_000_000_000  # at least, and twice as long as it ever was silent without the fault
TOLD_LEAST = 2  # instants at which something came by one thing that was said: one is an answer
TOLD_LATER_NS = 100_000_000  # after the one before, once at least: an answer in pieces is no more than one
SHOWN = 40  # bytes
GOES_AT_ONCE = 3  # connections in a row that it closes, and has neither said nor heard anything
CLIENT = "client"
AGAIN = "EAGAIN"
CONNECTS = ("connect", "connect_ex")


class Anew(NamedTuple):
    """What a target leaves out on a connection that it has made anew."""

    place: str
    host: str
    what: str
    entry: int  # the call that made it


class _Connection:
    """One that a target has made: what it has said and heard there."""

    def __init__(self, place: str, host: str, entry: int, at_ns: int) -> None:
        self.place, self.host, self.entry, self.since_ns = place, host, entry, at_ns
        self.until_ns = 0  # when it was told of the end, or closed it; 0: neither
        self.closed = False
        self.over = False  # it was told of the end, of an error, or that nothing came in time
        self.said: list[bytes] = []
        self.came: list[list[int]] = [[]]  # when something was read, before and after each thing that it has said
        self.arrived_ns = 0  # when the first has come there, read or not; 0: nothing

    def call(self, entry: Entry) -> None:
        at_ns, _, _, _, _, op, _, (arguments, result, _) = entry
        if op == "send" and isinstance(result, int):
            payload = arguments[0] if arguments else b""
            if isinstance(payload, bytes):
                self.said.append(payload[:result])
                self.came.append([])
        elif op == "recv" and isinstance(result, bytes) and result:
            if at_ns not in self.came[-1][-1:]:
                self.came[-1].append(at_ns)
        elif op == "recv" and result != AGAIN:
            self.over = True
            if result == b"" or result in BROKEN:
                self.until_ns = self.until_ns or at_ns
        elif op == "close" and not self.closed:
            self.closed, self.until_ns = True, self.until_ns or at_ns

    @property
    def reads(self) -> bool:
        return any(self.came)

    @property
    def waited_in_vain(self) -> bool:
        return self.over or not self.arrived_ns

    @property
    def is_told(self) -> bool:
        """Has more come than answers?"""
        return any(len(each) >= TOLD_LEAST for each in self.came)

    def told_by(self) -> tuple[list[bytes], int] | None:
        """What it had said in one breath, when it was told most, and the longest in ns that it then waited for the next; None if it was but answered."""
        if not self.said:
            return None
        last = max(range(len(self.said)), key=lambda n: len(self.came[n + 1]))
        came = self.came[last + 1]
        gap_ns = max((later - sooner for sooner, later in pairwise(came)), default=0)
        if len(came) < TOLD_LEAST or gap_ns < TOLD_LATER_NS:
            return None
        first = last
        while first and not self.came[first]:
            first -= 1
        return self.said[first : last + 1], gap_ns


def does_less_than_before(baseline: Run, run: Run) -> Anew | None:
    """The first connection of a target, made in place of one that broke, on which it does not do what it did; None if there is none."""
    if not any(
        entry[5] == "connect"
        and entry[1] == CALL
        and entry[2] in run.targets
        and entry[3].rpartition("#")[2] not in ("", "1")
        for entry in run.trace.entries
    ):
        return None
    before = _connections(baseline)
    for flow, made in _connections(run).items():
        known = before.get(flow, [])
        if len(known) == 1 and len(made) > 1 and known[0].said:
            found = _less(known[0], made)
            if found is not None:
                return found
    return None


def _less(first: _Connection, made: list[_Connection]) -> Anew | None:
    """What is less on those that were *made* after one than on the *first*, which there is without the fault."""
    later = made[1:]
    told_by = first.told_by()
    longest_ns = max(SILENCE_NS, 2 * told_by[1] if told_by is not None else 0)
    if first.reads and not any(each.reads for each in later):
        if sum(each.until_ns - each.arrived_ns for each in later if each.arrived_ns) > longest_ns:
            return _told(later, "and does not read what comes there")
        greeted = bool(first.came[0])  # who waits for that has nothing to say until it has come
        if len(later) >= GOES_AT_ONCE and all(
            each.closed and not each.said and not (greeted and each.waited_in_vain) for each in later
        ):
            return _told(later, "and closes it again and again without a word, where it had said something before")
    if told_by is None or sum(each.until_ns - each.since_ns for each in later) <= longest_ns:
        return None
    asked = told_by[0]
    said = list(dict.fromkeys(text for each in later for text in each.said))  # a heart's beats once
    left_out = [text for text in asked if text not in said]
    if asked[-1] not in said and not any(each.is_told for each in later):
        word = f"says there but {_short(said)}" if said else "says nothing there"
        return _told(later, f"{word}, and is told nothing: it was, when it had said {_short(left_out)}")
    if said and left_out and set(said) <= set(first.said):
        return _told(
            later,
            f"says there {_short(said)}, and leaves out {_short(left_out)}, which it had said before it was told things",
        )
    return None


def _told(later: list[_Connection], what: str) -> Anew:
    return Anew(later[0].place, later[0].host, what, later[0].entry)


def _short(said: list[bytes]) -> str:
    text = b"".join(said)
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + b"...")


def _connections(run: Run) -> dict[str, list[_Connection]]:
    """Those that targets have made, by where they lead to; none to itself."""
    found: dict[str, list[_Connection]] = {}
    open_: dict[str, _Connection] = {}
    answered: set[str] = set()
    for index, entry in enumerate(run.trace.entries):
        at_ns, kind, host, place, end, op, _, detail = entry
        if kind == CALL:
            if op in CONNECTS and "#" in place and "->" in place and host in run.targets:
                if place not in open_:
                    open_[place] = made = _Connection(place, host, index, at_ns)
                    found.setdefault(place.rpartition("#")[0], []).append(made)
            elif end == CLIENT and place in open_:
                open_[place].call(entry)
        elif kind == SEGMENT and end == CLIENT:
            if op == "SYN ACK":
                answered.add(place)
            elif place in open_ and op.partition(" ")[0] == "data":
                open_[place].arrived_ns = open_[place].arrived_ns or detail[1]
    for made_there in found.values():
        for each in made_there:
            each.until_ns = each.until_ns or run.time_ns
        made_there[:] = [each for each in made_there if each.place in answered]
    return {flow: those for flow, those in found.items() if those}
