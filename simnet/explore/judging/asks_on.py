"""Whether a target asks the same again and again without a pause, and is told the same each time: "busy", "not yet", "nothing new".

On a kernel that is as fast as the network: hundreds of questions a second from each client, for as long as it lasts. A fault has kept from the
server what it waits for, or has left something behind there that nobody clears away; and who asks goes by an answer that takes its time. Who
pauses between two questions, or is kept waiting for the answer, has no part in it, nor who does so without the fault.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from simnet.trace import CALL, WAKE, Entry

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = ["Storm", "asks_on"]

ROUNDS_MAX = 1_000  # as many as attempts to connect without a pause
TIMES_AS_MANY = 10  # as without the fault: an upload that is begun anew says all once more
ENTRIES_MIN = 4 * ROUNDS_MAX  # lines: a question is sent, wakes its server, is read, and so is the answer
ROUND_NS = 100_000_000  # on the average; over a slow link a question takes as long as a pause
KINDS_MAX = 4  # of question and answer: a greeting, say, before each
ROUNDS_A_PAUSE = 10  # a server that looks every half second whether it should end wakes by time, too
SAID_MAX = 2_000  # bytes of a question, or of an answer, that are compared
SHOWN = 40
OPENER, CALLS = "client", ("connect", "send", "recv", "close")
NUMBERS = re.compile(rb"\d+(?:\.\d+)?")  # times, and numbers of questions
Round = tuple[bytes, bytes]


class Storm(NamedTuple):
    """Who asks without a pause, and what it said at last."""

    host: str
    server: str
    rounds: int
    until_ns: int
    asked: bytes
    told: bytes
    entry: int

    @property
    def text(self) -> str:
        """What is said of it."""
        said = f"{self.asked!r}, {self.told!r}" if self.asked else repr(self.told)
        did = "asked" if self.asked else "connected"
        return (
            f"{self.host} {did} {self.rounds:,} times in a row, until {self.until_ns / 1e9:.6f} s, without a pause, and was told the same each time on "
            f"{self.server}: the last, {said}. Pause before the next, longer each time, and give up in the end"
        )


class _Talk:
    """What is said on one connection since its last question began."""

    __slots__ = ("asked", "asked_at", "spoke", "told")

    def __init__(self, entry: int) -> None:
        self.asked, self.told, self.asked_at = bytearray(), bytearray(), entry
        self.spoke = False

    def says(self, entry: int, arguments: tuple[object, ...], took: object) -> None:
        if isinstance(took, int) and arguments and isinstance(arguments[0], bytes):
            self.asked_at = self.asked_at if self.asked else entry
            self.spoke = True
            self.asked += arguments[0][: min(took, SAID_MAX - len(self.asked))]

    def is_answered(self, *, closes: bool) -> bool:
        """Where nothing was said, to connect was the question."""
        return bool(self.told) and (bool(self.asked) or (closes and not self.spoke))

    def hears(self, got: object) -> None:
        if isinstance(got, bytes):
            self.told += got[: SAID_MAX - len(self.told)]

    def shown(self) -> tuple[bytes, bytes]:
        return bytes(self.asked[:SHOWN]), bytes(self.told[:SHOWN])


class _Asker:
    """The questions in a row of one host to one server that were of few kinds."""

    __slots__ = ("begin_ns", "kinds", "rounds", "woken")

    def __init__(self) -> None:
        self.kinds: set[Round] = set()
        self.rounds = self.begin_ns = self.woken = 0

    def answered(self, kind: Round, now_ns: int, woken: int) -> None:
        """One more, *woken* times after a time-out of anybody's by now."""
        if kind not in self.kinds and len(self.kinds) == KINDS_MAX:
            self.kinds.clear()
            self.rounds = 0
        if not self.rounds:
            self.begin_ns, self.woken = now_ns, woken
        self.kinds.add(kind)
        self.rounds += 1

    def storms(self, now_ns: int, woken: int) -> bool:
        return (
            self.rounds >= ROUNDS_MAX
            and now_ns - self.begin_ns <= self.rounds * ROUND_NS
            and (woken - self.woken) * ROUNDS_A_PAUSE < self.rounds
        )


def asks_on(baseline: Run, run: Run) -> Storm | None:
    """The longest of the storms in *run* that *baseline* does not have; None if there is none."""
    entries = run.trace.entries
    if len(entries) < max(ENTRIES_MIN, 2 * len(baseline.trace.entries)):
        return None
    longest = max(_rows(entries, run.targets), key=lambda each: each.rounds, default=None)
    if longest is None:
        return None
    usual = max((each.rounds for each in _rows(baseline.trace.entries, (longest.host,), everybody=True)), default=0)
    if TIMES_AS_MANY * usual > longest.rounds:  # of another server, perhaps, in whose place this one was asked
        return None
    return longest


def _rows(entries: list[Entry], targets: tuple[str, ...], *, everybody: bool = False) -> list[Storm]:
    """The rows of questions that targets ask without a pause, at their longest; of *everybody*, however few and slow."""
    talks: dict[str, _Talk] = {}
    askers: dict[str, _Asker] = {}
    found: dict[str, Storm] = {}
    woken = 0
    for n, (now_ns, kind, host, place, end, op, _, detail) in enumerate(entries):
        if kind == WAKE:
            woken += not detail
        if kind != CALL or end != OPENER or host not in targets or op not in CALLS:
            continue
        talk = talks.get(place)
        if talk is None:
            talk = talks[place] = _Talk(n)
        if op == "recv":
            talk.hears(detail[1])
            continue
        if talk.is_answered(closes=op == "close"):
            server = place.partition("#")[0]
            asker = askers.setdefault(server, _Asker())
            asker.answered((_without_numbers(talk.asked), _without_numbers(talk.told)), now_ns, woken)
            longest = server not in found or asker.rounds > found[server].rounds
            if longest and (everybody or asker.storms(now_ns, woken)):
                found[server] = Storm(host, server, asker.rounds, now_ns, *talk.shown(), talk.asked_at)
            talk.asked.clear()
            talk.told.clear()
        if op == "send":
            talk.says(n, *detail[:2])
        elif op == "close":
            del talks[place]
    return list(found.values())


def _without_numbers(said: bytearray) -> bytes:
    return NUMBERS.sub(b"0", bytes(said))
