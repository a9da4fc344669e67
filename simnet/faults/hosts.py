"""Disruptive faults beyond one connection: on datagrams, hosts, links and look-ups.

A fault at a time acts on a host when everything due at that instant has arrived there, and before any process runs.
"""

from __future__ import annotations

import socket  # for its numbers
from collections.abc import Mapping
from typing import ClassVar, Final

from simnet.faults.fault import Fault
from simnet.faults.fields import NANOSECOND, FaultError, comes, lasts, meant

__all__ = [
    "BODY",
    "RESOLVER_ERRORS",
    "ClockJump",
    "Crash",
    "Delay",
    "Drop",
    "Duplicate",
    "NameError_",
    "Partition",
    "Pause",
    "Reorder",
    "Restart",
    "Strangers",
]

BODY: Final = "test"  # the host on which a test's body runs, and the process that it is

RESOLVER_ERRORS: Final = ("EAI_AGAIN", "EAI_NONAME")  # getaddrinfo(3): try again later; no such name

STRANGERS_MAX: Final = 4096
PARTS: Final = 4  # of what a client says: nothing, half of it, all but a byte, all of it
ROUNDS: Final = 4  # of these, of which the last goes by FIN: most who break off have no time for one
_IN_THE_END: Final[Mapping[str, str]] = {
    "vanish": "said a part of what that client says, or nothing, and vanished",
    "stay": "said a part of what that client says, or nothing, and stayed",
    "leave": "said what that client says, and left when it was answered",
    "keep": "said what that client says, and stayed when it was answered",
}


class Drop(Fault, frozen=True, kw_only=True):
    """The datagram is lost: on its way, or between the poll that reports it and the call that is to return it.

    So says select(2) under BUGS. Linux finds a wrong checksum only at the call if the socket is non-blocking or has a time-out, and the
    datagram is longer than 68 bytes; of a blocking one poll looks itself (measured on 6.18), but another process may read it.
    """

    kind: ClassVar[str] = "drop"
    anchors: ClassVar[tuple[str, ...]] = ("datagram", "call")
    form: ClassVar[str] = "flow"
    ops: ClassVar[Mapping[str, str]] = {"recv": "listener"}
    at_datagrams: ClassVar[tuple[str, ...]] = ("recv",)

    datagram: int | None = None
    op: str | None = None
    call: int | None = None

    def _check(self) -> None:
        if (self.datagram is None) is (self.call is None):
            raise FaultError(
                "drop: either datagram or call says which one; say datagram=1, or op='recv', call=1", "datagram"
            )
        if (self.op is None) is not (self.call is None):
            raise FaultError("drop: op and call go together; say op='recv', call=1", "op")
        if self.place.unix and (why := self.why_not_unix()):
            raise FaultError(f"drop: on={self.on!r} names Unix sockets, {why}", "op")

    def why_not_unix(self) -> str:
        return "whose datagrams have no checksum" if self.call is not None else ""

    def sentence(self) -> str:
        if self.call is not None:
            return f"{self.anchor} found the datagram gone that was there: its checksum was wrong, or another process had read it"
        return f"{self.anchor} was lost"


class Duplicate(Fault, frozen=True, kw_only=True):
    """The datagram arrives *copies* times more than it was sent."""

    kind: ClassVar[str] = "duplicate"
    anchors: ClassVar[tuple[str, ...]] = ("datagram",)
    form: ClassVar[str] = "flow"
    parameters: ClassVar[tuple[str, ...]] = ("copies",)

    datagram: int
    copies: int = 1

    def sentence(self) -> str:
        return f"{self.anchor} arrived {self.copies + 1} times"


class Reorder(Fault, frozen=True, kw_only=True):
    """The datagram is overtaken by the next *by* ones."""

    kind: ClassVar[str] = "reorder"
    anchors: ClassVar[tuple[str, ...]] = ("datagram",)
    form: ClassVar[str] = "flow"
    parameters: ClassVar[tuple[str, ...]] = ("by",)

    datagram: int
    by: int = 1

    def sentence(self) -> str:
        return f"{self.anchor} was overtaken by the next {self.by if self.by > 1 else 'one'}"


class Delay(Fault, frozen=True, kw_only=True):
    """The datagram is *seconds* late."""

    kind: ClassVar[str] = "delay"
    anchors: ClassVar[tuple[str, ...]] = ("datagram",)
    form: ClassVar[str] = "flow"
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    datagram: int
    seconds: float

    def _check(self) -> None:
        lasts(self.kind, self.seconds)

    def sentence(self) -> str:
        return f"{self.anchor} came {self.seconds:g} s late"


class Strangers(Fault, frozen=True, kw_only=True):
    """*count* others connect to the same server just before this one, each a millisecond after the other, and say a part of *data*.

    The first says nothing, the next half of it, then all but a byte, and all, and so on. Then they "vanish", twelve by RST and four by FIN, or
    "stay", and read nothing, until the test has ended. Or each says all, and reads: then they "leave", or "keep" their connections. With
    *when* "after" they come behind this connection, which does not wait for them.
    """

    kind: ClassVar[str] = "strangers"
    not_unix: ClassVar[str] = "to which no stranger comes: whoever connects there is of the same host"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("connect",)
    parameters: ClassVar[tuple[str, ...]] = ("data", "count", "then")

    count: int
    when: str = "before"
    then: str = "vanish"
    data: bytes = b""

    def _check(self) -> None:
        if self.count > STRANGERS_MAX:
            raise self.wrong("count", f"is more than {STRANGERS_MAX}: so many come to nobody in a moment")

    @property
    def polite(self) -> bool:
        """Do they say all that the client says, and read what is answered?"""
        return self.then in ("leave", "keep")

    @property
    def stays(self) -> bool:
        """Do they keep their connections until the test has ended?"""
        return self.then in ("stay", "keep")

    def part(self, index: int) -> bytes:
        """What the one with that *index* says."""
        data = self.data
        return data if self.polite else (b"", data[: (len(data) + 1) // 2], data[:-1], data)[index % PARTS]

    def says_goodbye(self, index: int) -> bool:
        """Does the one with that *index* go by FIN, and not by RST?"""
        return self.polite or index // PARTS % ROUNDS == ROUNDS - 1

    def sentence(self) -> str:
        who = "a stranger" if self.count == 1 else f"{self.count} strangers"
        return f"just {self.when} {self.anchor} {who} connected there, {_IN_THE_END[self.then]}"


class Crash(Fault, frozen=True, kw_only=True):
    """The host loses its power: it sends no FIN and no RST; its processes end."""

    kind: ClassVar[str] = "crash"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("time",)
    form: ClassVar[str] = "host"

    at: float

    def _check(self) -> None:
        comes(self.kind, self.at)
        _not_the_bodys(self)

    def sentence(self) -> str:
        return f"{self.on} crashed at {self.at:g} s"


class Restart(Fault, frozen=True, kw_only=True):
    """The host starts again, with no process and no connection: a peer that uses one gets RST. A running host crashes first."""

    kind: ClassVar[str] = "restart"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("time",)
    form: ClassVar[str] = "host"

    at: float

    def _check(self) -> None:
        comes(self.kind, self.at)
        _not_the_bodys(self)

    def sentence(self) -> str:
        return f"{self.on} came up again at {self.at:g} s, without its programs"


class Pause(Fault, frozen=True, kw_only=True):
    """The host's processes are paused for *seconds*; its kernel goes on."""

    kind: ClassVar[str] = "pause"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("time",)
    form: ClassVar[str] = "host"
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    at: float
    seconds: float

    def _check(self) -> None:
        comes(self.kind, self.at)
        lasts(self.kind, self.seconds)
        _not_the_bodys(self)

    def sentence(self) -> str:
        return f"{self.on} stood still for {self.seconds:g} s at {self.at:g} s"


class ClockJump(Fault, frozen=True, kw_only=True):
    """The host's wall clock jumps by *seconds*, backwards if negative; its monotonic clock does not."""

    kind: ClassVar[str] = "clock-jump"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("time",)
    form: ClassVar[str] = "host"
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    at: float
    seconds: float

    def _check(self) -> None:
        comes(self.kind, self.at)
        if abs(self.seconds) < NANOSECOND:
            raise self.wrong("seconds", "is no jump; at least a nanosecond, forwards or backwards")

    def sentence(self) -> str:
        return f"the wall clock of {self.on} jumped by {self.seconds:+g} s at {self.at:g} s"


class Partition(Fault, frozen=True, kw_only=True):
    """Nothing crosses the link for *seconds*."""

    kind: ClassVar[str] = "partition"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("time",)
    form: ClassVar[str] = "link"
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    at: float
    seconds: float

    def _check(self) -> None:
        comes(self.kind, self.at)
        lasts(self.kind, self.seconds)

    def sentence(self) -> str:
        return f"nothing crossed {self.on} for {self.seconds:g} s from {self.at:g} s on"


class NameError_(Fault, frozen=True, kw_only=True):  # noqa: N801  # NameError is Python's
    """The host's look-up fails with *errno* (EAI_AGAIN, EAI_NONAME), or answers *seconds* late, or both."""

    kind: ClassVar[str] = "name-error"
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("lookup",)
    form: ClassVar[str] = "host"
    parameters: ClassVar[tuple[str, ...]] = ("errno", "seconds")

    lookup: int
    errno: str | None = None
    seconds: float = 0.0

    def _check(self) -> None:
        if self.errno is None and self.seconds == 0:
            raise FaultError(
                "name-error: neither errno nor any seconds are given; say errno='EAI_AGAIN', or seconds=5 for a late answer",
                "errno",
            )
        if self.errno is not None and self.errno not in RESOLVER_ERRORS:
            raise self.wrong(
                "errno", f"is nothing that this fault makes a resolver say{meant(self.errno.upper(), RESOLVER_ERRORS)}"
            )
        if self.seconds:
            lasts(self.kind, self.seconds)

    @property
    def code(self) -> int | None:
        """What gaierror has for its errno; None where the answer is only late."""
        return None if self.errno is None else int(getattr(socket, self.errno))

    def sentence(self) -> str:
        late = f" after {self.seconds:g} s" if self.seconds else ""
        return f"{self.anchor} failed with {self.errno}{late}" if self.errno else f"{self.anchor} was answered{late}"


def _not_the_bodys(fault: Crash | Restart | Pause) -> None:
    """The body is a process of its host, and goes on: it says what the others did."""
    if fault.on == BODY:
        raise fault.wrong(
            "on",
            "is the host of the test's own body, which must go on; spawn what is to be struck on a host of its own",
        )
