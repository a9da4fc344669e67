"""Whether a target says again, on another connection, what a server has heard on the one that ended, and has answered there.

A connection that is used again may end at any time, and then nobody knows what of the last question has arrived. Who asks it again without more
ado may have done twice what is to be done once. Where that does no harm the outcome is the same, and nothing is asked here; nor is it where the
connection was new, since the first thing that is said on each is what it begins with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from simnet.trace import CALL, Entry

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["Twice", "said_twice"]

ENDS = frozenset({"eof", "reset"})
GONE = frozenset({"ECONNRESET", "EPIPE"})  # says the kernel to who answers, but cannot any more
CLIENT, SERVER = "client", "server"


class Twice(NamedTuple):
    """Where a target has said something again, and what it was."""

    place: str
    host: str
    ended: str  # the connection on which it had said it before
    said: bytes
    entry: int


class _Talk:
    """What is said on one connection that a target has made."""

    def __init__(self) -> None:
        self.said: list[tuple[int, bytes]] = []
        self.last = bytearray()  # since the last answer, and the call that began it
        self.last_at = 0
        self.asked = self.read = 0  # bytes of the target's: said, and read by the other end
        # Bytes of the other end's that the target has read: all, and those before its last question.
        self.came = self.came_before = 0
        self.answered: list[tuple[int, bytes]] = []  # or would have, had the connection not ended

    def answer(self, since: int) -> bytes:
        """What the other end has said since that call."""
        return b"".join(text for index, text in self.answered if index > since)

    def call(self, index: int, entry: Entry) -> None:
        _, _, _, _, end, op, _, (arguments, result, _) = entry
        if op == "send" and isinstance(result, int) and end == CLIENT:
            payload = arguments[0] if arguments else b""
            if isinstance(payload, bytes):
                self.said.append((index, payload[:result]))
                if self.came > self.came_before or not self.last:
                    self.last.clear()
                    self.last_at, self.came_before = index, self.came
                self.last += payload[:result]
            self.asked += result
        elif op == "send" and (isinstance(result, int) or str(result) in GONE):
            payload = arguments[0] if arguments else b""
            taken = payload[:result] if isinstance(result, int) else payload
            self.answered.append((index, taken if isinstance(payload, bytes) else b""))
        elif op == "recv" and isinstance(result, bytes) and end == SERVER:
            self.read += len(result)
        elif op == "recv" and isinstance(result, bytes) and result:
            self.came += len(result)


def said_twice(baseline: Run, run: Run, disruptive: tuple[Fault, ...]) -> Twice | None:
    """What a target says once more than in *baseline* since a connection ended; None if there is nothing."""
    if not disruptive or any(fault.kind not in ENDS or not fault.place.concrete for fault in disruptive):
        return None
    struck = list(dict.fromkeys(str(fault.place) for fault in disruptive))
    talks = _talks(run)
    for place in struck:
        first = talks.get(place)
        if first is None or not first.last or not first.came_before:
            continue
        lost = first.answer(since=first.last_at)
        if first.read < first.asked or len(lost) <= first.came - first.came_before:
            continue  # not all that was said has been heard, or nothing of the answer is lost
        said = bytes(first.last)
        if _times(said, talks) != _times(said, _talks(baseline)) + 1:
            continue
        its = run.trace.entries[first.said[-1][0]]
        for other, talk in talks.items():
            if other == place or other.rpartition("#")[0] != place.rpartition("#")[0]:
                continue
            again = next(
                (index for index, text in talk.said if index > first.said[-1][0] and said.startswith(text)), None
            )
            if again is not None and said in b"".join(text for _, text in talk.said) and talk.came:
                if talk.answer(again).startswith(lost) and not any(_has_more(*pair) for pair in _values(baseline, run)):
                    continue  # as before: it may be asked as often as one likes
                return Twice(other, its[2], place, said, again)
    return None


def _values(baseline: Run, run: Run) -> Iterator[tuple[object, object]]:
    before, after = baseline.outcome, run.outcome
    yield before.returned, after.returned
    yield from ((was[1], now[1]) for was, now in zip(before.observed, after.observed, strict=False))


def _has_more(was: object, now: object, within: bool = False) -> bool:
    """Has *now* more in order than *was*; or, *within* it, something once more that was there?"""
    if not (isinstance(was, (list, tuple)) and isinstance(now, (list, tuple))):
        return False
    if len(now) > len(was):  # a list of what went wrong, beside the answers, is longer for that
        return not within or all(each in was for each in now)
    return len(now) == len(was) and any(_has_more(*pair, within=True) for pair in zip(was, now, strict=True))


def _times(said: bytes, talks: dict[str, _Talk]) -> int:
    return sum(b"".join(text for _, text in talk.said).count(said) for talk in talks.values())


def _talks(run: Run) -> dict[str, _Talk]:
    """The connections that targets have made."""
    found: dict[str, _Talk] = {}
    for index, entry in enumerate(run.trace.entries):
        _, kind, host, place, end, op, _, _ = entry
        if kind != CALL or "#" not in place:
            continue
        if op in ("connect", "connect_ex") and host in run.targets:
            found.setdefault(place, _Talk())
        elif end and place in found:
            found[place].call(index, entry)
    return found
