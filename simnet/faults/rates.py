"""Probabilities of faults, and the random streams that turn them into a plan during a run.

A rate is the probability that a fault of its kind acts at one of its points: a call, an accept, a connect, a poll; for the kinds that
act at a byte, one write that enters the stream (the byte is drawn from it). What is drawn are ordinary faults with exact
anchors: together they are the plan that happened, and replay without rates.

Each listener, host and end of a connection has its own random stream, seeded from the seed and its name. So a
fault on one socket leaves what is drawn for all others alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, wraps
from random import Random
from typing import Any, Final, TypeVar

from simnet.faults.fault import Fault
from simnet.faults.fields import INTEGER_MAX, FaultError, FaultTypeError, meant
from simnet.faults.kinds import (
    ALL,
    KINDS,
    TRANSPARENT,
    Coalesce,
    Delay,
    Drop,
    Duplicate,
    Eof,
    Error,
    PartialSend,
    Refuse,
    Reorder,
    Reset,
    ResetBeforeAccept,
    ShortRecv,
    Split,
    Stall,
    Urgent,
    Wake,
    WouldBlock,
    drawn_kinds,
    errnos,
    kind_class,
)
from simnet.faults.place import Place
from simnet.faults.plan import refuse_seed

__all__ = ["Dice", "FaultRates"]

_T = TypeVar("_T")

# From one turn of a loop over a round trip to the time-outs people set.
STALL_SECONDS: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)

# Plain, what ends C strings, what ends lines, Telnet's Data Mark (RFC 854).
URGENT_BYTES: Final = (
    b"!",
    b"\x00",
    b"\n",
    b"\xf2",
)

SWARM_RATES: Final = (0.002, 0.5)  # from one call in 500, with which long transfers live on, to every other one


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FaultRates:
    """A probability (0 to 1) for each kind of fault that can be drawn, and the seed for drawing.

    Where the rates at one point add up to more than 1, the kinds share it in that proportion.
    """

    short_recv: float = 0.0
    partial_send: float = 0.0
    would_block: float = 0.0
    split: float = 0.0
    coalesce: float = 0.0
    wake: float = 0.0
    stall: float = 0.0
    urgent: float = 0.0
    eof: float = 0.0
    reset: float = 0.0
    refuse: float = 0.0
    reset_before_accept: float = 0.0
    error: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _RATES:
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, int | float):
                raise FaultTypeError(
                    f"{name}={rate!r} is {type(rate).__name__}; a rate is a probability from 0 to 1", name
                )
            if not 0 <= rate <= 1:  # nan is not, either
                raise FaultError(
                    f"{name}={rate} is outside 0..1; a rate is a probability at each point where the fault could act",
                    name,
                )
            object.__setattr__(self, name, float(rate) + 0.0)  # 1 prints as 1.0, and -0.0 as 0.0
        if type(self.seed) is not int or not 0 <= self.seed <= INTEGER_MAX:  # not a bool, which is an int to isinstance
            refuse_seed(self.seed)

    @classmethod
    def even(cls, rate: float, kinds: Iterable[object] | str = TRANSPARENT, *, seed: int = 0) -> FaultRates:
        """The same rate for each of *kinds* (names or classes)."""
        return cls(**{_field(kind): rate for kind in drawn_kinds(kinds)}, seed=seed)

    @classmethod
    def swarm(cls, seed: int, kinds: Iterable[object] | str = tuple(kind.kind for kind in ALL)) -> FaultRates:
        """A random subset of *kinds*, each at a random rate: what one seed of a fuzz run draws.

        Kinds that hide one another (a reset ends what a short read would have shown) are apart in many of the subsets; hence
        the subsets, rather than all kinds always (Groce et al., Swarm Testing, ISSTA 2012).
        """
        random = Random(f"{seed}/swarm")
        classes = drawn_kinds(kinds)
        drawn = [kind for kind in classes if random.random() < 0.5] or [_one_of(random, classes)]
        low, high = (math.log(rate) for rate in SWARM_RATES)
        rates = {_field(kind): float(f"{math.exp(low + (high - low) * random.random()):.2g}") for kind in drawn}
        return cls(**rates, seed=seed)

    def rate(self, kind: str | type[Fault]) -> float:
        """The rate of a kind given by name or class; 0 for one that is never drawn."""
        rate = getattr(self, _field(kind_class(kind)), 0.0)
        assert isinstance(rate, float)
        return rate

    @property
    def any(self) -> bool:
        """Whether any fault can come of it."""
        return any(getattr(self, name) for name in _RATES)

    def dice(self) -> Dice:
        """Fresh dice: the same rates answer the same questions alike, each time."""
        return Dice(self)

    def __repr__(self) -> str:
        given = [f"{name}={getattr(self, name)!r}" for name in (*_RATES, "seed") if getattr(self, name)]
        return f"FaultRates({', '.join(given)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Else hypothesis prints a dataclass field by field, all that are zero too."""
        printer.text(repr(self))


_made = FaultRates.__init__


@wraps(_made)
def _by_kind(self: FaultRates, *rates: object, **named: Any) -> None:
    """Says of a rate that cannot be given why, where Python says only that it cannot."""
    __tracebackhide__ = True
    if rates:
        raise FaultTypeError(
            f"FaultRates({rates[0]!r}): rates are given by kind, as in FaultRates(short_recv=0.1); FaultRates.even(0.1) "
            "gives each transparent kind the same"
        )
    for name in named:
        if name not in _TAKEN:
            raise FaultTypeError(_no_rate(name), name)
    _made(self, **named)


FaultRates.__init__ = _by_kind  # type: ignore[method-assign]  # of the same signature

_TAKEN: Final = tuple(field.name for field in fields(FaultRates))
_RATES: Final = tuple(name for name in _TAKEN if name != "seed")


def _no_rate(name: str) -> str:
    kind = KINDS.get(name.replace("_", "-"))
    if kind is None:
        return f"{name!r} is no kind of fault that has a rate{meant(name, _TAKEN)}"
    return (
        f"{name}: fault rates do not draw {kind.kind!r}, so it has no rate. Put it into a plan, "
        f"FaultPlan([faults.{kind.__name__}(...)]), or have a sweep try it everywhere, kinds=[{kind.kind!r}]"
    )


_AT_BYTES: Final = (Split, Coalesce, Stall, Urgent, Eof, Reset)


def _field(kind: type[Fault]) -> str:
    return kind.kind.replace("-", "_")


class _Throw:
    """The kinds that can act at one sort of point, on a line from 0 to 1."""

    __slots__ = ("kinds", "total", "up_to")

    def __init__(self, rates: FaultRates, kinds: Sequence[type[Fault]]) -> None:
        self.kinds = [kind for kind in kinds if rates.rate(kind)]
        total = sum(rates.rate(kind) for kind in self.kinds)
        scale = max(1.0, total)
        self.total = total / scale
        self.up_to: list[float] = []
        below = 0.0
        for kind in self.kinds:
            below += rates.rate(kind) / scale
            self.up_to.append(below)

    def kind(self, random: Random) -> type[Fault] | None:
        """Which kind the dice say, or None."""
        if not self.kinds:
            return None
        thrown = random.random()
        if thrown >= self.total:
            return None
        for kind, up_to in zip(self.kinds, self.up_to, strict=True):
            if thrown < up_to:
                return kind
        return self.kinds[-1]  # the sum of floats fell short of the total by a last bit


@lru_cache(maxsize=64)  # a fuzz run throws dice of the same rates thousands of times
def _tables(rates: FaultRates) -> tuple[dict[str, _Throw], tuple[tuple[type[Fault], float], ...]]:
    """What can be thrown at each sort of point."""
    throws = {
        "recv": _Throw(rates, (ShortRecv, WouldBlock, Reset, Error)),
        "send": _Throw(rates, (PartialSend, WouldBlock, Reset, Error)),
        "accept": _Throw(rates, (WouldBlock, ResetBeforeAccept, Error)),
        "connect": _Throw(rates, (Refuse,)),
        "poll": _Throw(rates, (Wake,)),
        "datagram": _Throw(rates, (Drop, Duplicate, Reorder, Delay)),
        "datagram call": _Throw(rates, (WouldBlock, Error)),
    }
    return throws, tuple((kind, rates.rate(kind)) for kind in _AT_BYTES if rates.rate(kind))


class Dice:
    """Asked at each point of a run whether a fault acts there. Places are concrete ones, or their texts."""

    __slots__ = ("_at_byte", "_streams", "_throws", "rates")

    def __init__(self, rates: FaultRates) -> None:
        self.rates = rates
        self._streams: dict[str, Random] = {}
        self._throws, self._at_byte = _tables(rates)

    def active(self, what: str) -> bool:
        """Whether it is worth asking at all about ``recv``, ``send``, ``accept``, ``connect``, ``poll``, ``datagram`` or ``byte``."""
        if what == "byte":
            return bool(self._at_byte)
        throw = self._throws.get(what)
        return throw is not None and bool(throw.kinds)

    def for_call(
        self, place: Place | str, end: str, op: str, call: int, *, blocking: bool, size: int, timed: bool = False
    ) -> Fault | None:
        """What acts on the *call*-th *op* of the socket at *end*; *size* is how many bytes the call would move by itself.

        A *blocking* socket with a time-out is *timed*, too: its sends may be partial.
        """
        throw = self._throws.get(op)
        if throw is None:  # shutdown, getpeername ...: no rates for them
            return None
        on = str(place)
        random = self._random(f"{on} {end}")
        kind = throw.kind(random)
        if kind is ShortRecv:
            return ShortRecv(on=on, end=end, call=call, bytes=_some(random, size)) if size > 1 else None
        if kind is PartialSend:
            may = size > 1 and (timed or not blocking)
            return PartialSend(on=on, end=end, call=call, bytes=_some(random, size)) if may else None
        if kind is WouldBlock:
            return WouldBlock(on=on, end=end, op=op, call=call) if not blocking else None
        if kind is Reset:
            return Reset(on=on, end=end, op=op, call=call, when=_one_of(random, ("before", "after")))
        if kind is Error:
            return Error(on=on, end=end, op=op, call=call, errno=_one_of(random, _said(op, on)))
        return None

    def for_datagram_call(self, place: Place | str, op: str, call: int, *, blocking: bool) -> WouldBlock | Error | None:
        """What acts on the *call*-th *op* of a socket for datagrams."""
        on = str(place)
        random = self._random(f"{on} calls")  # the datagrams to there have a stream of their own
        kind = self._throws["datagram call"].kind(random) if op in WouldBlock.at_datagrams else None
        if kind is WouldBlock:
            return WouldBlock(on=on, op=op, call=call) if not blocking else None
        if kind is Error and (said := errnos(op, unix=Place.parse(on).unix, datagrams=True)):
            return Error(on=on, op=op, call=call, errno=_one_of(random, said))
        return None

    def for_accept(self, place: Place | str, call: int, *, blocking: bool) -> Fault | None:
        """What acts on the *call*-th accept of a listener."""
        on = str(place)
        random = self._random(on)
        kind = self._throws["accept"].kind(random)
        if kind is WouldBlock:
            return WouldBlock(on=on, op="accept", call=call) if not blocking else None
        if kind is ResetBeforeAccept:
            return ResetBeforeAccept(on=on, call=call)
        if kind is Error:
            return Error(on=on, op="accept", call=call, errno=_one_of(random, _said("accept", on)))
        return None

    def for_connect(self, place: Place | str) -> Refuse | None:
        """Whether this connection is refused."""
        on = str(place)
        return Refuse(on=on) if self._throws["connect"].kind(self._random(on)) is not None else None

    def for_poll(self, place: Place | str, call: int, ready: int) -> Wake | None:
        """How the *call*-th poll of a host is reported, where *ready* are ready. One that is alone is always reported."""
        on = str(place)
        random = self._random(on)
        if self._throws["poll"].kind(random) is None or ready < 2:
            return None
        first = _below(random, ready)
        if first and random.random() < 0.5:
            return Wake(on=on, call=call, first=first)
        return Wake(on=on, call=call, first=first, keep=1 + _below(random, ready - 1))

    def for_datagram(self, place: Place | str, n: int) -> Fault | None:
        """What befalls the *n*-th datagram of a flow."""
        on = str(place)
        random = self._random(on)
        kind = self._throws["datagram"].kind(random)
        if kind is not Delay and Place.parse(place).unix:
            return None  # which no kernel loses, repeats or reorders
        if kind is Drop:
            return Drop(on=on, datagram=n)
        if kind is Duplicate:
            return Duplicate(on=on, datagram=n)
        if kind is Reorder:
            return Reorder(on=on, datagram=n, by=1 + _below(random, 3))
        return Delay(on=on, datagram=n, seconds=_one_of(random, STALL_SECONDS)) if kind is Delay else None

    def for_bytes(self, place: Place | str, end: str, offset: int, n: int) -> list[Fault]:
        """What acts on the *n* bytes from *offset* on, which one write adds to the stream towards *end*; sorted by byte."""
        found: list[tuple[int, Fault]] = []
        if not self._at_byte or n < 1:
            return []
        on = str(place)
        random = self._random(f"{on} towards {end}")
        for kind, rate in self._at_byte:
            if random.random() >= rate:
                continue
            # Edges break more than middles.
            byte = offset + _one_of(random, (0, n - 1, _below(random, n), _below(random, n)))
            if kind is Stall:
                found.append((byte, Stall(on=on, end=end, byte=byte, seconds=_one_of(random, STALL_SECONDS))))
            elif kind is Urgent:
                found.append((byte, Urgent(on=on, end=end, byte=byte, data=_one_of(random, URGENT_BYTES))))
            elif kind is Reset:
                found.append((byte, Reset(on=on, end=end, byte=byte)))
            elif kind is Coalesce:  # what is left of this write, and some of the next
                size = max(2, offset + n - byte + _below(random, n))
                found.append((byte, Coalesce(on=on, end=end, byte=byte, bytes=size)))
            else:
                found.append(
                    (byte, Split(on=on, end=end, byte=byte) if kind is Split else Eof(on=on, end=end, byte=byte))
                )
        found.sort(key=lambda pair: pair[0])  # the sort is stable: at one byte the vocabulary's order stays
        return [fault for _, fault in found]

    def _random(self, maker: str) -> Random:
        """The decision-maker's own stream of chances."""
        stream = self._streams.get(maker)
        if stream is None:
            stream = self._streams[maker] = Random(f"{self.rates.seed}/{maker}")
        return stream


def _said(op: str, on: str) -> tuple[str, ...]:
    """The errnos that *op* can be made to say at the place *on*."""
    return errnos(op, unix=Place.parse(on).unix)


def _some(random: Random, size: int) -> int:
    """A part of *size* bytes, at least 1 and fewer than all: often one, often all but one."""
    return _one_of(random, (1, size - 1, 1 + _below(random, size - 1)))


# Of all that a Random can do, Python promises only random() to be the same in every version (library reference, "Reproducibility").


def _below(random: Random, n: int) -> int:
    return min(int(random.random() * n), n - 1)  # the product may round up to n


def _one_of(random: Random, several: Sequence[_T]) -> _T:
    return several[_below(random, len(several))]
