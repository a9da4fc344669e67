"""Where a plan meets a run: which fault acts on this call, this byte, this connection; and the record of those that did.

The socket's face asks once for each call, through the :class:`Tag` it keeps with the kernel's socket; a tag without
faults answers after one ``is None``. Bytes are watched by the sending connection itself, which stops at each anchor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

from simnet.clock import Clock
from simnet.faults.kinds import (
    Blackhole,
    Coalesce,
    Drop,
    Eof,
    Error,
    Fault,
    NameError_,
    PartialSend,
    Preempt,
    Reset,
    ResetBeforeAccept,
    ShortRecv,
    Split,
    Stall,
    Strangers,
    Urgent,
    Wake,
)
from simnet.faults.paths import PAIR
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.trace import FAULT, Trace

if TYPE_CHECKING:
    from simnet.faults.rates import Dice, FaultRates

__all__ = ["DatagramTag", "Injector", "Tag", "named"]

SPLIT_NS = 1  # the rest arrives in the next instant: a reader that is ready reads in between
GATHER_NS = 40_000_000  # as Nagle's rule waits for a receiver that delays its acknowledgement (TCP_DELACK_MIN of Linux)

ANY_LATER = 0  # the number of the calls after the one that an error began with, if it lasts; calls count from 1

NONE: tuple[Fault, ...] = ()
NOTHING_TOLD = (0, "")


class Tag:
    """What the upper rooms keep with a kernel socket: its name in traces and plans, its calls, its faults."""

    __slots__ = (
        "place", "text", "end", "host_name", "counts", "faults", "dice", "plain", "asked_bytes", "accepted_by", "told",
    )  # fmt: skip

    def __init__(
        self, place: Place | None, text: str, end: str, host_name: str, counts: dict[str, int] | None = None
    ) -> None:
        self.place = place
        self.text = text
        self.end = end
        self.host_name = host_name
        self.counts: dict[str, int] = {} if counts is None else counts  # calls so far, of each kind
        self.faults: dict[tuple[str, int], list[Fault]] | None = None
        self.dice: Dice | None = None
        self.plain = False  # it is a TCP connection's, and no fault may touch its calls
        self.accepted_by: Any = None  # the instruction that did, see `whereabouts.stand`
        self.asked_bytes = 0  # dice have been thrown for the offsets before this one
        self.told = NOTHING_TOLD  # the events that a poller reported last, and how it is called with them

    datagrams: ClassVar[bool] = False  # is it that of a socket for datagrams?

    @property
    def name(self) -> str:
        """Its text, and which of the two ends it is."""
        return named(self.text, self.end)

    def __str__(self) -> str:
        return self.text

    def count(self, op: str) -> int:
        """This is the how-manieth *op* on this socket?"""
        counts = self.counts
        counts[op] = n = counts.get(op, 0) + 1
        return n


class DatagramTag(Tag):
    """That of a socket for datagrams, whose place is a listener's, a flow's, or none."""

    __slots__ = ()

    datagrams = True


@lru_cache(maxsize=256)  # a few names, in every run of a sweep
def named(text: str, end: str) -> str:
    """What people call a socket: its text, and which of the two ends of a connection it is."""
    return f"{text} ({end})" if end else text


# What a plan may do to a call that waits until it is done: a kernel does not say EAGAIN there, nor send a part.
_OF_ANY_CALL = (ShortRecv, Reset, Error, ResetBeforeAccept, Drop, Preempt)
_OF_A_TIMED_CALL = (*_OF_ANY_CALL, PartialSend)


class Injector:
    """A plan and rates in force."""

    __slots__ = (
        "plan", "dice", "fired", "clock", "trace", "timed", "meddles", "watches_polls", "watches_lookups",
        "watches_sockets", "strangers", "_call", "_byte", "_connect", "_poll", "_datagram", "_lookup", "_socket", "_acted", "_until_ns",
    )  # fmt: skip

    def __init__(self, plan: FaultPlan, rates: FaultRates | None, clock: Clock, trace: Trace) -> None:
        self.plan = plan
        self.dice: Dice | None = rates.dice() if rates is not None and rates.any else None
        self.fired: list[Fault] = []
        self.clock = clock
        self.trace = trace
        self._call = self._byte = self._connect = self._poll = NONE
        self._datagram = self._lookup = self._socket = self.timed = self.strangers = NONE
        if plan.faults:
            self._sort(plan)
        dice = self.dice
        self.meddles = bool(self._datagram) or (dice is not None and dice.active("datagram"))
        self.watches_lookups = bool(self._lookup)
        self.watches_sockets = bool(self._socket)
        self.watches_polls = bool(self._poll) or (dice is not None and dice.active("poll"))
        self._acted: set[Fault] = set()  # faults of the plan that acted somewhere; asked for membership only
        self._until_ns: dict[tuple[Fault, str], int] = {}  # errors that last: where, and for how long

    def _sort(self, plan: FaultPlan) -> None:
        by_form: dict[str, list[Fault]] = {}
        for fault in plan.faults:
            by_form.setdefault(fault.anchor.form, []).append(fault)
        self._call = (*by_form.get("call", ()), *by_form.get("accept", ()))
        self._byte = tuple(sorted(by_form.get("byte", ()), key=lambda fault: fault.anchor.number))
        connect = by_form.get("connect", ())
        self.strangers = tuple(fault for fault in connect if isinstance(fault, Strangers))
        self._connect = tuple(fault for fault in connect if not isinstance(fault, Strangers))
        self._poll = tuple(by_form.get("poll", ()))
        self._datagram = tuple(by_form.get("datagram", ()))
        self._lookup = tuple(by_form.get("lookup", ()))
        self._socket = tuple(fault for fault in self._call if fault.anchor.op == "socket")
        self.timed = tuple(by_form.get("time", ()))  # what befalls hosts and links, and when; see strokes.py

    @property
    def idle(self) -> bool:
        """No fault can ever act."""
        return self.dice is None and not self.plan.faults

    @property
    def unreached(self) -> tuple[Fault, ...]:
        """The faults of the plan whose anchor the run never reached."""
        return tuple(fault for fault in self.plan.faults if fault not in self._acted)

    def fire(self, fault: Fault, place: Place | None, place_text: str, end: str, n: int) -> None:
        """*fault* acts, now and here; if it has been in force here for a while, that is known."""
        if isinstance(fault, Error) and fault.seconds is not None:
            if self._lasts(fault, place_text):
                return
            self._until_ns[fault, place_text] = self.clock.now_ns + round(fault.seconds * 1e9)
        exact = fault if place is None or fault.place.concrete else fault.placed(place)
        self.fired.append(exact)
        self._acted.add(fault)
        self.trace.entries.append(
            (self.clock.now_ns, FAULT, "", place_text, end, type(fault).kind, n, str(exact))
        )  # fmt: skip

    # --- calls ---------------------------------------------------------------------------------------------------

    def cut_short(self, since: int) -> bool:
        """Whether a send took a part only since so many faults had acted: a kernel that has taken a part is full."""
        return any(isinstance(fault, PartialSend) for fault in self.fired[since:])

    def arm(self, tag: Tag, target: bool) -> None:
        """Give *tag* the faults that act on its calls. Only a target's calls are touched."""
        if not target or tag.place is None:
            tag.plain = self.dice is None and tag.end != ""
            return
        place, end = tag.place, tag.end
        for fault in self._call:
            anchor = fault.anchor
            if (anchor.end is None or anchor.end == end) and fault.acts_at(place):
                if fault.on_datagrams is not tag.datagrams:
                    continue  # a listener and a socket for datagrams may have the same port
                if tag.faults is None:
                    tag.faults = {}
                tag.faults.setdefault((anchor.op or "", anchor.number), []).append(fault)
                if isinstance(fault, Error) and fault.seconds is not None:
                    tag.faults.setdefault((fault.op, ANY_LATER), []).append(fault)
        tag.dice = self.dice
        tag.plain = self.dice is None and tag.faults is None and tag.end != ""

    def for_call(self, tag: Tag, op: str, n: int, blocking: bool, size: int, timed: bool = False) -> Fault | None:
        """The fault that acts on the *n*-th *op* of this socket, if one does. It is not recorded yet.

        A call that waits is *blocking*, also if a time-out limits it, and then *timed*. Python polls again after an EAGAIN of
        such a one, which the program never sees; but its send may be partial, as one without a time-out may not.
        """
        if tag.faults is not None:
            may = _OF_A_TIMED_CALL if timed else _OF_ANY_CALL
            for fault in tag.faults.get((op, n), ()):
                if not blocking or isinstance(fault, may):
                    return fault
            for fault in tag.faults.get((op, ANY_LATER), ()):
                if self._lasts(fault, tag.text):
                    return fault
        dice = tag.dice
        if dice is not None and tag.place is not None and dice.active(op):
            if op == "accept":
                return dice.for_accept(tag.place, n, blocking=blocking)
            if tag.datagrams:
                return dice.for_datagram_call(tag.place, op, n, blocking=blocking)
            if tag.end:  # a listener that somebody reads has an error of its own
                return dice.for_call(tag.place, tag.end, op, n, blocking=blocking, size=size, timed=timed)
        return None

    def for_connect(self, place: Place) -> Fault | None:
        """What keeps this connection from coming about?"""
        for fault in self._connect:
            if fault.acts_at(place):
                return fault
        if self.dice is not None and self.dice.active("connect"):
            return self.dice.for_connect(place)
        return None

    def for_lookup(self, host: Place, n: int) -> NameError_ | None:
        """What befalls the *n*-th look-up of a host."""
        for fault in self._lookup:
            if fault.anchor.number == n and fault.place.matches(host):
                return cast(NameError_, fault)
        return None

    def for_socket(self, host: Place, n: int) -> Error | None:
        """What the *n*-th ``socket()`` of a host's processes says instead."""
        for fault in self._socket:
            if fault.place.matches(host) and (fault.anchor.number == n or self._lasts(fault, str(host))):
                return cast(Error, fault)
        return None

    def _lasts(self, fault: Fault, place_text: str) -> bool:
        """Is *fault*, which has begun there, still in force?"""
        until_ns = self._until_ns.get((fault, place_text))
        return until_ns is not None and self.clock.now_ns < until_ns

    def for_poll(self, host: Place, n: int, ready: int) -> Wake | None:
        """How the *n*-th poll of a host that finds something ready is to be reported."""
        for fault in self._poll:
            if fault.anchor.number == n and fault.place.matches(host):
                return cast(Wake, fault)
        if self.dice is not None and self.dice.active("poll"):
            return self.dice.for_poll(host, n, ready)
        return None

    def for_datagram(self, place: Place, port: Any, n: int) -> Fault | None:
        """What befalls the *n*-th datagram of the flow *place*, which goes to *port*."""
        for fault in self._datagram:
            if fault.anchor.number == n and (fault.place.matches(place) or fault.place.matches(_to(place, port))):
                return fault
        return self.dice.for_datagram(place, n) if self.dice is not None and self.dice.active("datagram") else None

    # --- bytes ---------------------------------------------------------------------------------------------------

    def watch_bytes(self, connection: Any, place: Place, towards: str) -> None:
        """Anchor the plan's byte faults in the stream that *connection* sends *towards* the other end."""
        for fault in self._byte:
            if fault.anchor.end == towards and fault.acts_at(place):
                self._anchor(connection, fault, place, towards)

    def throw_for_bytes(self, connection: Any, tag: Tag, towards: str, offset: int, length: int) -> None:
        """Throw dice for bytes about to enter a stream; each offset once, however often its write is tried again.

        An anchor's fault acts as soon as all bytes before it have gone out. So it is the write that brings the byte
        before an offset which asks for that offset: asked by the next write, its fault would come later than the same
        fault of a plan.
        """
        begin = max(offset + 1 if offset else 0, tag.asked_bytes)
        end = offset + length + 1
        if self.dice is None or tag.place is None or not self.dice.active("byte") or not length or begin >= end:
            return
        if tag.place.port == PAIR:
            return
        tag.asked_bytes = end
        for fault in self.dice.for_bytes(tag.place, towards, begin, end - begin):
            self._anchor(connection, fault, tag.place, towards)

    def _anchor(self, connection: Any, fault: Fault, place: Place, towards: str) -> None:
        act = _ACTS[type(fault)]
        n = fault.anchor.number

        def reached(sender: Any) -> None:
            self.fire(fault, place, str(place), towards, n)
            act(self, sender, fault)

        connection.add_anchor(n, reached)

    def _split(self, sender: Any, fault: Split) -> None:
        sender.hold_until(self.clock.now_ns + SPLIT_NS)

    def _coalesce(self, sender: Any, fault: Coalesce) -> None:
        sender.gather(fault.bytes, GATHER_NS)

    def _stall(self, sender: Any, fault: Stall) -> None:
        sender.hold_until(self.clock.now_ns + max(1, round(fault.seconds * 1e9)))

    def _urgent(self, sender: Any, fault: Urgent) -> None:
        sender.inject_urgent(fault.data)

    def _eof(self, sender: Any, fault: Eof) -> None:
        sender.cut_off()

    def _reset(self, sender: Any, fault: Reset) -> None:
        sender.sever()

    def _blackhole(self, sender: Any, fault: Blackhole) -> None:
        sender.blackhole()


def _to(place: Place, port: int | str) -> Place:
    """The same flow by the very port."""
    return Place.flow(place.source or "", place.target, port)


_ACTS: dict[type[Fault], Callable[[Injector, Any, Any], None]] = {
    Split: Injector._split,
    Stall: Injector._stall,
    Urgent: Injector._urgent,
    Eof: Injector._eof,
    Reset: Injector._reset,
    Blackhole: Injector._blackhole,
    Coalesce: Injector._coalesce,
}
