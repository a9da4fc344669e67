"""What happened in a run: calls with results, segments, wake-ups, faults; and its digest.

A trace is a list of plain tuples, since a tuple costs 30 ns and a run makes dozens of them. Each has the eight
fields of :class:`Event`; nothing that differs between two processes (an address, a hash, the time of day) may
enter one, so that the digest is a function of test, plan and seed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from simnet.tls.sealed import sealed

__all__ = ["Beginning", "Event", "Failed", "Trace", "as_given", "size_of"]

CALL = "call"
SEGMENT = "segment"
WAKE = "wake"
FAULT = "fault"
PROCESS = "process"
OBSERVE = "observe"
HANDLER = "handler"

TIMED = "timed"  # of a call that may wait, but not for ever: Python's time-out. Else True, or False if it never waits


class Failed(str):
    """The result of a call that raised: the errno's name ("EAGAIN"), or the exception's text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"!{self}"


KEPT = 65_536  # bytes of what a send did not take that a trace keeps: of a payload of megabytes each part would bring the rest along


class Beginning(bytes):
    """What a send took of its payload, and a little more; *size* is how many bytes it was given."""

    size: int


def as_given(arguments: Any, result: Any) -> Any:
    """The *arguments* of a send that gave *result*, as a trace keeps them."""
    payload = arguments[0] if arguments else None
    if payload.__class__ is not bytes:
        return arguments
    kept = KEPT + (result if result.__class__ is int else 0)
    if len(payload) <= kept:
        return arguments
    beginning = Beginning(payload[:kept])
    beginning.size = len(payload)
    return (beginning, *arguments[1:])


def size_of(payload: Any) -> int:
    """How many bytes a call was given, or gave."""
    return payload.size if payload.__class__ is Beginning else len(payload)


class Event(NamedTuple):
    """One line of a trace.

    ==========  ========================  ============================  =================================
    kind        place                     op                            n and detail
    ==========  ========================  ============================  =================================
    "call"      socket ("a->b:7#1"),      "recv", "accept", "poll" ...  nth attempt there; (arguments, result)
                listener ("b:7") or
                poller ("b/1 poll")
    "segment"   connection                "SYN", "data", "FIN" ...      offset of the first byte in its
                                                                        direction; (payload, arrival in ns)
    "wake"      process                   what it waited for            0; True if ready, False if by time-out
    "fault"     as the fault says         its kind                      its count or byte; its one-line form
    "process"   process                   "spawn", "end", "raise"       0; the exception's text or None
    "observe"   process                   name                          0; the value
    "handler"   channel                   "handle_read" ...             0; None, or the exception's text
    ==========  ========================  ============================  =================================
    """

    time_ns: int
    kind: str
    host: str  # whose call; of a segment, who sent it
    place: str
    end: str  # "client" (opener) or "server" (acceptor): whose call; of a segment, towards whom; else ""
    op: str
    n: int
    detail: Any

    @property
    def result(self) -> Any:
        """What a call gave: a value, or a :class:`Failed` with the errno's name."""
        return self.detail[1]

    @property
    def arguments(self) -> Any:
        return self.detail[0]


Entry = tuple[int, str, str, str, str, str, int, Any]


class Nothing(list[Entry]):
    """The entries of a run that keeps no record."""

    __slots__ = ()

    def append(self, entry: Entry, /) -> None:
        """Keep nothing of *entry*."""


class Trace:
    """The record of one run, in the order in which things happened; empty with *recording* off."""

    __slots__ = ("deadlines", "entries", "moved", "recording", "threaded", "waited")

    def __init__(self, *, recording: bool = True) -> None:
        self.recording = recording  # asked where an entry costs more to make than the call it is about
        self.entries: list[Entry] = [] if recording else Nothing()
        # what came in time: whose wait, when it was woken, and until when it would have waited
        self.deadlines: list[tuple[str, int, int]] = []
        # the wake-ups by time alone, by their indices, after which a task of trio's loop stood at another line than before, or had
        # ended; asked for membership only
        self.moved: set[int] = set()
        # by when, and whose: how long a wait was to take that was over by time alone; of real runs, which take time to come to it
        self.waited: dict[tuple[int, str], int] = {}
        self.threaded: dict[str, None] = {}  # the targets whose programs have had threads of their own

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Event]:
        return map(Event._make, self.entries)

    def __getitem__(self, index: int) -> Event:
        return Event._make(self.entries[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and self.digest() == other.digest()

    __hash__ = None  # type: ignore[assignment]  # it grows while the run goes on

    def __repr__(self) -> str:
        return f"Trace({len(self.entries)} events, {self.digest()[:8]})"

    def digest(self) -> str:
        """32 hexadecimal digits that two runs share exactly if the same things happened at the same times.

        Over ``repr``, which shows values alone; marshal and pickle would show object identity as well. What TLS has
        encrypted does not count, for it is never the same twice.
        """
        return hashlib.blake2b(repr(sealed(self.entries)).encode(), digest_size=16).hexdigest()

    def of(self, kind: str) -> Iterator[Event]:
        """The events of one kind."""
        return (Event._make(entry) for entry in self.entries if entry[1] == kind)

    def first_difference(self, other: Trace) -> int | None:
        """The index of the first event in which the two differ; ``None`` if there is none.

        If one trace is the beginning of the other, that is where it ends.
        """
        for index, (mine, theirs) in enumerate(zip(sealed(self.entries), sealed(other.entries), strict=False)):
            if mine != theirs:
                return index
        return None if len(self) == len(other) else min(len(self), len(other))
