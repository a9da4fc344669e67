"""Whether a target that connects anew, in place of a connection that broke, does there what it did on the first: says what it had to say to be
told things, and hears what comes.

A subscription, a channel that was joined, what a worker can do: a server knows them by what was said on a connection, and forgets them with it. Who
connects again and does not say it again is whole and connected, and is told nothing for ever. Nobody notices, as long as it has a heart that beats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from simnet.trace import CALL, SEGMENT, Entry

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["Anew", "does_less_than_before"]

SILENCE_NS = 5_000_000_000  # at least, and twice as long as it ever was silent without the fault
TOLD_LEAST = 2  # instants at which something came, after all was said: one is an answer
GOES_AT_ONCE = 3  # connections in a row that it closes, and has neither said nor heard anything
CLIENT = "client"
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
        self.until_ns = self.heard_ns = at_ns  # when it closed it; when it was last told something
        self.said = b""
        self.came: list[int] = []  # when, since it has said something last
        self.gap_ns = 0  # the longest in which nothing came
        self.arrived_ns = 0  # the first that has come there, read or not; 0: nothing
        self.reads = 0
        self.closed = False

    def call(self, entry: Entry) -> None:
        at_ns, _, _, _, _, op, _, (arguments, result, _) = entry
        if op == "send" and isinstance(result, int):
            payload = arguments[0] if arguments else b""
            self.said += (
                bytes(payload)[:result] if isinstance(payload, (bytes, bytearray, memoryview)) else b"?" * result
            )
            self.came.clear()
        elif op == "recv":
            if isinstance(result, bytes) and result:
                self.reads += 1
                self.gap_ns = max(self.gap_ns, at_ns - self.heard_ns)
                self.heard_ns = at_ns
                if not self.came or self.came[-1] != at_ns:
                    self.came.append(at_ns)
        elif op == "close" and not self.closed:
            self.closed, self.until_ns = True, at_ns


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
    """Of those that were *made*, in the place of the one that there is without the fault."""
    later = made[1:]
    last = later[-1]
    longest_ns = max(SILENCE_NS, 2 * first.gap_ns)
    if (
        last.arrived_ns
        and not last.reads
        and last.said
        and first.reads
        and last.until_ns - last.arrived_ns > longest_ns
    ):
        return _told(later, "and does not read what comes there")
    if any(each.said == first.said or not first.said.startswith(each.said) for each in later):
        return None
    if max(len(each.said) for each in later) >= len(made[0].said):
        return None
    if len(later) >= GOES_AT_ONCE and all(each.closed and not each.said and not each.reads for each in later):
        return _told(later, "and closes it again and again without a word, where it had said something before")
    silent_ns = sum(each.until_ns - each.heard_ns for each in later)
    if len(first.came) < TOLD_LEAST or silent_ns <= longest_ns:
        return None
    said = f"says there but {_short(last.said)}" if last.said else "says nothing there"
    return _told(later, f"{said}, and is told nothing: it was, when it had said {_short(first.said[len(last.said) :])}")


def _told(later: list[_Connection], what: str) -> Anew:
    return Anew(later[0].place, later[0].host, what, later[0].entry)


def _short(said: bytes) -> str:
    return repr(said if len(said) <= 40 else said[:37] + b"...")


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
            if not each.closed:
                each.until_ns = run.time_ns
        made_there[:] = [each for each in made_there if each.place in answered]
    return {flow: those for flow, those in found.items() if those}
