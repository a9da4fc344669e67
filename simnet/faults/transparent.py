"""Transparent faults: what a correct program may meet at any time with nothing lost.

The outcome under them must equal the baseline's. ``end`` is ``"client"`` (the opener) or ``"server"`` (the acceptor): whose call it is
or, for bytes, the end they travel to. Calls count from 1, bytes from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from simnet.faults.fault import Fault
from simnet.faults.fields import FaultError, lasts

__all__ = [
    "CONNECTION_CALLS",
    "Coalesce",
    "PartialSend",
    "Preempt",
    "ShortRecv",
    "Split",
    "Stall",
    "Wake",
    "WouldBlock",
]

CONNECTION_CALLS: Final[Mapping[str, str]] = {"recv": "connection", "send": "connection"}


class ShortRecv(Fault, frozen=True, kw_only=True):
    """``recv`` returns at most *bytes*; the rest stays for the next one."""

    kind: ClassVar[str] = "short-recv"
    transparent: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("call",)
    ops: ClassVar[Mapping[str, str]] = {"recv": "connection"}
    parameters: ClassVar[tuple[str, ...]] = ("bytes",)

    end: str
    call: int
    bytes: int

    def sentence(self) -> str:
        return f"{self.anchor} returned at most {counted(self.bytes)}, whatever had arrived"


class PartialSend(Fault, frozen=True, kw_only=True):
    """``send`` accepts only *bytes*. Not on blocking sockets without a time-out: there a kernel waits until all is accepted.

    A ``sendall`` that does not wait then says EAGAIN, since a kernel that takes a part has no room for the rest: how much it
    took the program cannot know. With *seconds*, there is no room for the rest for that long, so the next send says EAGAIN, or waits.
    """

    kind: ClassVar[str] = "partial-send"
    transparent: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("call",)
    ops: ClassVar[Mapping[str, str]] = {"send": "connection"}
    parameters: ClassVar[tuple[str, ...]] = ("bytes", "seconds")

    end: str
    call: int
    bytes: int
    seconds: float | None = None

    def _check(self) -> None:
        if self.seconds is not None:
            lasts(self.kind, self.seconds)

    @property
    def late(self) -> bool:
        return self.seconds is not None

    def sentence(self) -> str:
        full = "" if self.seconds is None else f", and for {self.seconds:g} s there was no room for the rest"
        return f"{self.anchor} took only {counted(self.bytes)} of what it was given{full}"


class WouldBlock(Fault, frozen=True, kw_only=True):
    """Readiness was reported, but the call fails with EAGAIN; the wake-up comes again. Not on blocking sockets.

    With *seconds*, a send finds no room for that long, as if the peer did not read, and the wake-up comes then.
    """

    kind: ClassVar[str] = "would-block"
    transparent: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("call", "accept")
    ops: ClassVar[Mapping[str, str]] = {**CONNECTION_CALLS, "accept": "listener"}
    at_datagrams: ClassVar[tuple[str, ...]] = ("recv", "send")
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    op: str
    call: int
    end: str | None = None
    seconds: float | None = None

    def _check(self) -> None:
        if self.seconds is not None:
            if self.op != "send":
                raise self.wrong("seconds", "is for a send, whose peer does not read; what is read later is 'stall'")
            if self.on_datagrams:
                raise self.wrong("seconds", "is for a connection; who sends datagrams waits for nobody who reads")
            lasts(self.kind, self.seconds)

    @property
    def late(self) -> bool:
        return self.seconds is not None

    @property
    def harmless(self) -> bool:
        """All but at a send of a datagram: who gives that up is right, for a network may lose it, too."""
        return not (self.op == "send" and self.on_datagrams)

    def sentence(self) -> str:
        if self.seconds is not None:
            return f"{self.anchor} said EAGAIN, and for {self.seconds:g} s there was no room: the peer did not read"
        if self.op == "send":  # mostly nobody has asked before
            return f"{self.anchor} said EAGAIN, as where there is no room, whatever a poll may have reported"
        what = "the listener" if self.op == "accept" else "the socket" if self.on_datagrams else "the connection"
        return f"{self.anchor} said EAGAIN, though {what} was reported readable"


class Split(Fault, frozen=True, kw_only=True):
    """A segment ends here: what was written at once arrives in two pieces."""

    kind: ClassVar[str] = "split"
    transparent: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("byte",)

    end: str
    byte: int

    def sentence(self) -> str:
        return f"a {'piece' if self.place.unix else 'segment'} ended just before {self.anchor}"


class Coalesce(Fault, frozen=True, kw_only=True):
    """The *bytes* from here on arrive together, even from several writes; they wait for each other for 40 ms at most."""

    kind: ClassVar[str] = "coalesce"
    transparent: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("byte",)
    parameters: ClassVar[tuple[str, ...]] = ("bytes",)

    end: str
    byte: int
    bytes: int

    def _check(self) -> None:
        if self.bytes < 2:
            raise self.wrong("bytes", "is one byte, which always arrives together; at least 2")

    def sentence(self) -> str:
        return f"{counted(self.bytes)} from {self.anchor} on arrived as one, however many writes they were"


class Wake(Fault, frozen=True, kw_only=True):
    """A poller reports a subset of what is ready, or epoll reports it in another order; never nothing.

    Of n that are ready, the list starts at the one numbered *first* (from 0, modulo n) and goes round; *keep* of them are reported,
    or all. What is not reported now is reported by the next poll.
    """

    kind: ClassVar[str] = "wake"
    transparent: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("poll",)
    ops: ClassVar[Mapping[str, str]] = {"poll": "host"}
    parameters: ClassVar[tuple[str, ...]] = ("first", "keep")

    call: int
    first: int = 0
    keep: int | None = None

    def _check(self) -> None:
        if self.first == 0 and self.keep is None:
            raise FaultError(
                "wake: neither first nor keep is given, so the poll would answer as ever; say keep=1 (only one of those that are ready) or first=1",
                "keep",
            )

    def sentence(self) -> str:
        order = f"began with the one at place {self.first + 1} of those that were ready" if self.first else ""
        subset = f"reported only {self.keep} of those that were ready" if self.keep is not None else ""
        if order and subset:
            subset = f"reported only {self.keep} of them"
        return f"{self.anchor} {' and '.join(part for part in (order, subset) if part)}"


class Stall(Fault, frozen=True, kw_only=True):
    """What follows is *seconds* late. Disruptive from the moment a deadline fires that did not in the baseline."""

    kind: ClassVar[str] = "stall"
    transparent: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    anchors: ClassVar[tuple[str, ...]] = ("byte",)
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    end: str
    byte: int
    seconds: float

    def _check(self) -> None:
        lasts(self.kind, self.seconds)

    def sentence(self) -> str:
        return f"{self.anchor}, and all that follows, came {self.seconds:g} s late"


class Preempt(Fault, frozen=True, kw_only=True):
    """The thread that makes the call stands still for *seconds* right behind it, as one that a scheduler takes off its core.

    All others go on, those of its own program among them. A sweep tries it unasked where a program has several threads.
    """

    kind: ClassVar[str] = "preempt"
    transparent: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    drawn: ClassVar[bool] = False
    anchors: ClassVar[tuple[str, ...]] = ("call",)
    ops: ClassVar[Mapping[str, str]] = CONNECTION_CALLS
    parameters: ClassVar[tuple[str, ...]] = ("seconds",)

    op: str
    end: str
    call: int
    seconds: float

    def _check(self) -> None:
        lasts(self.kind, self.seconds)

    def sentence(self) -> str:
        return f"behind {self.anchor} its thread stood still for {self.seconds:g} s, and others went on"


def counted(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"
