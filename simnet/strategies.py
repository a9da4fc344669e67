"""Fault plans and payloads for hypothesis: values that print as Python and shrink towards nothing.

A plan drawn here is not tied to a program: its places are patterns (``*->*:*#1``, ``*:*``, ``*``), so that it applies to any
connections that a test makes. Give ``places=`` to aim at some. Values are drawn in composites rather than built or mapped:
hypothesis then prints them by their own ``repr``, which is Python that makes the same plan again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

import simnet.world  # noqa: F401  # a property's first example has a deadline like all others, and no time to load this
from simnet.explained import leave_simnet_out
from simnet.faults.fault import DATAGRAM_FORMS, Fault
from simnet.faults.kinds import (
    TRANSPARENT,
    Coalesce,
    Delay,
    Drop,
    Error,
    Reset,
    Stall,
    Urgent,
    Wake,
    drawn_kinds,
    errnos,
    make,
)
from simnet.faults.place import Anchor, Place
from simnet.faults.plan import FaultPlan
from simnet.faults.rates import STALL_SECONDS, URGENT_BYTES, FaultRates

__all__ = ["fault_plans", "fault_rates", "faults", "payloads"]

leave_simnet_out()

# Each connection, or the first: a place that few tests have, such as a second connection, would waste what is drawn for it.
ANYWHERE: Final = ("*->*:*#1", "*->*:*#*", "*:*", "*", "*->*:*")

WAKES: Final[tuple[dict[str, object], ...]] = (
    {"keep": 1},
    {"first": 1},
    {"first": 1, "keep": 1},
    {"keep": 2},
    {"first": 2},
)

UNDRAWN_OPS: Final = ("socket",)  # an `error` on it has a server not begin, and nothing is found

# What ends lines, mail, C strings and Telnet commands; what is one byte short of a terminator; what is longer in UTF-8 than it looks.
# Like stands by like, the shorter first: an example shrinks from one to the one before it.
TELLING_PIECES: Final = (
    *(b"\n", b"\r", b"\0", b"\r\n", b"\r\n.", b"..\r\n", b"\r\n\r\n", b"\r\n.\r\n", b"0\r\n\r\n", b"QUIT\r\n"),
    *(b"\xff\xff", b"\xff\xf4\xff\xf2", b"\xef\xbb\xbf", "é€😀".encode(), b"\x16\x03\x01"),
)


def faults(
    kinds: Iterable[object] | str = TRANSPARENT,
    *,
    places: Iterable[str | Place] = ANYWHERE,
    ends: Sequence[str] = ("server", "client"),
    max_call: int = 20,
    max_byte: int = 4096,
    max_seconds: float = 1.0,
) -> st.SearchStrategy[Fault]:
    """One fault of *kinds* (names or classes) at one of *places*.

    *ends* says whose calls are hit, and in which direction bytes travel; calls of sockets for datagrams are hit where *places* has no
    connection, as ``["server:53"]`` has not. Calls are drawn up to *max_call*, bytes up to *max_byte*, stalls up to
    *max_seconds*: a stall is transparent as long as it fires no deadline. Shrinks towards the first of each.

    Raises:
        InvalidArgument: nothing can be drawn, and why.
    """
    __tracebackhide__ = True  # what is wrong is the line that asks for them
    by_form = _by_form(places)
    for name, value, least in (("max_call", max_call, 1), ("max_byte", max_byte, 0)):
        if type(value) is not int or value < least:
            raise InvalidArgument(f"{name}={value!r} is no whole number from {least} on")
    if not isinstance(max_seconds, int | float):
        raise InvalidArgument(f"{max_seconds=} is no number of seconds")
    seconds = [each for each in STALL_SECONDS if each <= max_seconds]
    if not seconds:
        raise InvalidArgument(
            f"{max_seconds=} is less than the shortest stall, {STALL_SECONDS[0]} s; leave 'stall' out of kinds instead"
        )
    ends = (ends,) if isinstance(ends, str) else ends
    if not ends or not set(ends) <= {"server", "client"}:
        raise InvalidArgument(
            f"{ends=} are not ends of a connection; they are 'client' (the opener) and 'server' (the acceptor)"
        )
    wanted = _wanted(kinds)
    points = [found for kind in wanted if (found := _points(kind, by_form, ends))]
    if not points:
        forms = ", ".join(by_form) or "nothing"
        raise InvalidArgument(
            f"none of the kinds {', '.join(kind.kind for kind in wanted)} acts on {forms}; {places=} names no other sort of place"
        )
    which = st.sampled_from(range(len(points)))  # not integers(), which prefer the least and the greatest
    most = max(map(len, points))
    where = st.sampled_from(range(most))
    calls, offsets, sizes = (
        _small_first(1, 4, max_call),
        _small_first(0, 32, max_byte),
        _small_first(1, 8, max(1, max_byte)),
    )

    # Four choices for a fault of any kind, needed or not. With the one that asks for a fault that makes five, and hypothesis's
    # shrinker deletes at most five in a row: a longer element of a list stays in the falsifying plan for good. And where all kinds
    # take the same choices, one can become another.
    @st.composite
    def fault(draw: st.DrawFn) -> Fault:
        at = points[draw(which)]
        kind, anchor = at[draw(where) * len(at) // most]
        number = draw(offsets if anchor.form == "byte" else calls)
        size = draw(sizes)
        if anchor.form != "connect":
            anchor = anchor._replace(number=number)
        return make(kind, anchor, **_parameters(kind, anchor, size, seconds))

    return fault()


def _parameters(kind: type[Fault], anchor: Anchor, size: int, seconds: Sequence[float]) -> dict[str, object]:
    """What else a fault of *kind* is made of; *size* is what was drawn for it, from 1 on, and chooses."""
    if "bytes" in kind.parameters:
        return {"bytes": size + 1 if kind is Coalesce else size}
    if kind is Wake:
        return WAKES[size % len(WAKES) - 1]
    if kind in (Stall, Delay):
        return {"seconds": seconds[size % len(seconds) - 1]}
    if kind is Urgent:
        return {"data": URGENT_BYTES[size % len(URGENT_BYTES) - 1]}
    if kind is Error:
        datagrams = anchor.form == "call" and anchor.place.form in DATAGRAM_FORMS
        said = errnos(anchor.op or "", unix=anchor.place.unix, datagrams=datagrams)
        return {"errno": said[size % len(said) - 1]}
    if kind is Reset and anchor.form == "call":
        return {"when": ("before", "after")[size % 2 - 1]}
    return {}


def _wanted(kinds: Iterable[object] | str) -> tuple[type[Fault], ...]:
    __tracebackhide__ = True
    try:
        return drawn_kinds(kinds)
    except (TypeError, ValueError) as error:
        raise error.with_traceback(None) from None  # where it was found tells nobody anything


def fault_plans(
    kinds: Iterable[object] | str = TRANSPARENT,
    *,
    max_faults: int = 3,
    places: Iterable[str | Place] = ANYWHERE,
    ends: Sequence[str] = ("server", "client"),
    max_call: int = 20,
    max_byte: int = 4096,
    max_seconds: float = 1.0,
    schedules: bool = False,
) -> st.SearchStrategy[FaultPlan]:
    """Plans of up to *max_faults* faults; the other arguments are those of `faults`.

    With *schedules*, simultaneous events are sometimes permuted as well. Shrinks towards the plan without faults.
    """
    __tracebackhide__ = True  # what is wrong is the line that asks for them
    if type(max_faults) is not int or max_faults < 0:
        raise InvalidArgument(f"{max_faults=} is no whole number from 0 on")
    one = faults(kinds, places=places, ends=ends, max_call=max_call, max_byte=max_byte, max_seconds=max_seconds)
    several = st.lists(one, max_size=max_faults, unique_by=str)
    seeds = st.integers(0, 255)

    @st.composite
    def plan(draw: st.DrawFn) -> FaultPlan:
        schedule = f"random:{draw(seeds)}" if schedules and draw(st.booleans()) else "fifo"
        return FaultPlan(tuple(draw(several)), schedule)

    return plan()


def fault_rates(kinds: Iterable[object] | str = TRANSPARENT) -> st.SearchStrategy[FaultRates]:
    """Rates for a subset of *kinds*, with a seed. Shrinks towards no kind at all."""
    __tracebackhide__ = True  # what is wrong is the line that asks for them
    fields = [kind.kind.replace("-", "_") for kind in _wanted(kinds)]
    rates = {
        # A poll that always says yes and a call that never does is a busy loop, and not a program's mistake.
        field: st.sampled_from((0.0, 0.01, 0.1, 0.5) if field == "would_block" else (0.0, 0.01, 0.1, 0.5, 1.0))
        for field in fields
    }
    seeds = st.integers(0, 2**32 - 1)

    @st.composite
    def drawn(draw: st.DrawFn) -> FaultRates:
        return FaultRates(**{field: draw(each) for field, each in rates.items()}, seed=draw(seeds))

    return drawn()


def payloads(*, min_size: int = 0, max_size: int = 100_000) -> st.SearchStrategy[bytes]:
    """Bytes that handlers stumble over: terminators, halves of terminators, text in UTF-8, and more than a buffer holds.

    Shrinks towards few and plain bytes.
    """
    if type(min_size) is not int or type(max_size) is not int or not 0 <= min_size <= max_size:
        raise InvalidArgument(f"{min_size=} and {max_size=} are not 0 <= min_size <= max_size")
    # One choice for all pieces. hypothesis tries variants of an example in which like parts change places, and a list of pieces
    # has so many of these that a plan drawn beside it would hardly ever be another: 16 in a hundred examples, now 60.
    spelt = st.text(st.characters(max_codepoint=0x1FF), max_size=100)
    # Times to repeat: once mostly; else up to where kernels' buffers are full.
    times = st.just(1) | st.integers(1, 50) | st.integers(1, max(1, max_size // 8))

    @st.composite
    def payload(draw: st.DrawFn) -> bytes:
        core = _pieces(draw(spelt))
        whole = (core * draw(times))[:max_size] if core else core
        missing = min_size - len(whole)
        return whole + draw(st.binary(min_size=missing, max_size=missing)) if missing > 0 else whole

    return payload()


def _pieces(spelt: str) -> bytes:
    """Bytes up to U+00FF, and above them telling pieces, to which hypothesis gives one character of five."""
    return b"".join(
        bytes((ord(each),)) if each < "\u0100" else TELLING_PIECES[(ord(each) - 0x100) % len(TELLING_PIECES)]
        for each in spelt
    )


def _by_form(places: Iterable[str | Place]) -> dict[str, list[Place]]:
    """The places, parsed, by what they name."""
    if isinstance(places, str | Place):
        places = (places,)
    by_form: dict[str, list[Place]] = {}
    for text in places:
        place = Place.parse(text)
        by_form.setdefault(place.form, []).append(place)
    return by_form


def _points(
    kind: type[Fault], by_form: dict[str, list[Place]], ends: Sequence[str]
) -> list[tuple[type[Fault], Anchor]]:
    """Every place, end and call at which *kind* can be anchored, each call as often as any other; the number is drawn later."""
    calls: list[list[Anchor]] = []
    for form in kind.anchors:
        ops = [(None, kind.form)] if form in ("byte", "connect", "datagram") else list(kind.ops.items())
        for op, place_form in ops:
            if (
                op in UNDRAWN_OPS
                or (kind is Drop and form == "call")
                or (op is not None and form != (op if op in ("accept", "poll") else "call"))
            ):
                continue
            sides = ends if place_form == "connection" and form != "connect" else (None,)
            there = [place for place in by_form.get(place_form, ()) if not (place.unix and kind.not_unix)]
            found = [Anchor(form, place, end, op, 1) for place in there for end in sides]
            if op in kind.at_datagrams and "connection" not in by_form:
                found = [Anchor(form, place, None, op, 1) for each in DATAGRAM_FORMS for place in by_form.get(each, ())]
                found = [
                    each for each in found if kind is not Error or errnos(op, unix=each.place.unix, datagrams=True)
                ]
            if found:
                calls.append(found)
    most = max(map(len, calls), default=0)
    return [(kind, found[i * len(found) // most]) for found in calls for i in range(most)]


def _small_first(least: int, small: int, most: int) -> st.SearchStrategy[int]:
    """From *least* to *most*, four times of five at most *small*: that is where short programs have their calls and bytes.

    One choice, in which a smaller one never gives more, so that it shrinks as plain integers do.
    """
    if most <= small:
        return st.integers(least, most)
    few = small - least + 1
    weight = max(1, 4 * (most - small) // few)  # of each small one: together four times all of the others

    @st.composite
    def skewed(draw: st.DrawFn) -> int:
        ticket = draw(tickets)
        return least + ticket // weight if ticket < few * weight else small + 1 + ticket - few * weight

    tickets = st.integers(0, few * weight + most - small - 1)
    return skewed()


def __dir__() -> list[str]:
    return sorted(__all__)
