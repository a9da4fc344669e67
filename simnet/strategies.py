"""Fault plans and payloads for hypothesis: values that print as Python and shrink towards nothing at all.

A plan drawn here knows no program: its places are patterns (``*->*:*#1``, ``*:*``, ``*``), so that it applies to whatever connections a
test makes. Give ``places=`` to aim at some. Values are drawn in composites rather than built or mapped: hypothesis then prints them
by their own ``repr``, which is Python that makes the same plan again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from simnet.faults.disruptive import ERRNOS
from simnet.faults.fault import Fault
from simnet.faults.kinds import TRANSPARENT, make, played_kinds
from simnet.faults.place import Anchor, Place
from simnet.faults.plan import FaultPlan
from simnet.faults.rates import STALL_SECONDS, URGENT_BYTES, FaultRates

__all__ = ["fault_plans", "fault_rates", "faults", "payloads"]

ANYWHERE: Final = ("*->*:*#1", "*->*:*#*", "*->*:*#2", "*:*", "*")

UNPLAYED_OPS: Final = ("socket",)  # `error` on it is a known word, not yet played

# What ends lines, mail, C strings and Telnet commands; what is longer in UTF-8 than it looks; what is one byte short of a terminator.
TELLING_PIECES: Final = (
    *(b"\n", b"\r\n", b"\r", b"\0", b"\r\n\r\n", b"\r\n.\r\n", b"..\r\n", b"\r\n."),
    *(b"\xff\xf4\xff\xf2", b"\xff\xff", b"\xef\xbb\xbf", "é€😀".encode(), b"QUIT\r\n", b"0\r\n\r\n", b"\x16\x03\x01"),
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

    *ends* says whose calls and towards whom the bytes. Calls are drawn up to *max_call*, bytes up to *max_byte*, stalls up to
    *max_seconds*: a stall is transparent as long as it fires no deadline. Shrinks towards the first of each.

    Raises:
        InvalidArgument: nothing can be drawn, and why.
    """
    by_form = _by_form(places)
    for name, value, least in (("max_call", max_call, 1), ("max_byte", max_byte, 0)):
        if type(value) is not int or value < least:
            raise InvalidArgument(f"{name}={value!r} is no whole number from {least} on")
    seconds = [each for each in STALL_SECONDS if each <= max_seconds]
    if not seconds:
        raise InvalidArgument(
            f"{max_seconds=} is less than the shortest stall, {STALL_SECONDS[0]} s; leave 'stall' out of kinds instead"
        )
    if not ends or not set(ends) <= {"server", "client"}:
        raise InvalidArgument(
            f"{ends=} are not ends of a connection; they are 'client' (the opener) and 'server' (the acceptor)"
        )
    wanted = played_kinds(kinds)
    points = {kind: found for kind in wanted if (found := list(_points(kind, by_form)))}
    if not points:
        forms = ", ".join(by_form) or "nothing"
        raise InvalidArgument(
            f"none of the kinds {', '.join(kind.kind for kind in wanted)} acts on {forms}, which is what {places=} name"
        )

    calls = _small_first(1, 4, max_call)
    offsets = _small_first(0, 32, max_byte)

    @st.composite
    def fault(draw: st.DrawFn) -> Fault:
        kind = draw(st.sampled_from(list(points)))
        form, op, at = draw(st.sampled_from(points[kind]))
        place = draw(st.sampled_from(at))
        end = draw(st.sampled_from(ends)) if place.form == "connection" and form in ("call", "byte") else None
        number = draw(offsets if form == "byte" else calls) if form != "connect" else 1
        parameters: dict[str, object] = {}
        if kind.kind == "wake":
            parameters = draw(
                st.sampled_from([{"keep": 1}, {"first": 1}, {"first": 1, "keep": 1}, {"keep": 2}, {"first": 2}])
            )
        elif kind.kind == "reset" and form == "call":
            parameters["when"] = draw(st.sampled_from(("before", "after")))
        elif op is not None and kind.kind == "error":
            parameters["errno"] = draw(st.sampled_from(ERRNOS[op]))
        elif "bytes" in kind.parameters:
            parameters["bytes"] = draw(_small_first(1, 8, max(1, max_byte)))
        elif "seconds" in kind.parameters:
            parameters["seconds"] = draw(st.sampled_from(seconds))
        elif "data" in kind.parameters:
            parameters["data"] = draw(st.sampled_from(URGENT_BYTES))
        return make(kind, Anchor(form, place, end, op, number), **parameters)

    return fault()


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

    With *schedules*, what is simultaneous is sometimes permuted as well. Shrinks towards the plan without faults.
    """
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
    fields = [kind.kind.replace("-", "_") for kind in played_kinds(kinds)]
    rates = st.sampled_from((0.0, 0.01, 0.1, 0.5, 1.0))
    seeds = st.integers(0, 2**32 - 1)

    @st.composite
    def drawn(draw: st.DrawFn) -> FaultRates:
        return FaultRates(**{field: draw(rates) for field in fields}, seed=draw(seeds))

    return drawn()


def payloads(*, min_size: int = 0, max_size: int = 100_000) -> st.SearchStrategy[bytes]:
    """Bytes as handlers stumble over them: terminators, halves of terminators, text in UTF-8, and more than a buffer holds.

    Shrinks towards few and plain bytes.
    """
    if type(min_size) is not int or type(max_size) is not int or not 0 <= min_size <= max_size:
        raise InvalidArgument(f"{min_size=} and {max_size=} are not 0 <= min_size <= max_size")
    piece = st.binary(max_size=20) | st.sampled_from(TELLING_PIECES)
    pieces = st.lists(piece, max_size=12)
    # Times to repeat: once mostly; else up to where kernels' buffers are full.
    times = st.just(1) | st.integers(1, 50) | st.integers(1, max(1, max_size // 8))

    @st.composite
    def payload(draw: st.DrawFn) -> bytes:
        core = b"".join(draw(pieces))
        whole = (core * draw(times))[:max_size] if core else core
        missing = min_size - len(whole)
        return whole + draw(st.binary(min_size=missing, max_size=missing)) if missing > 0 else whole

    return payload()


def _by_form(places: Iterable[str | Place]) -> dict[str, list[Place]]:
    """The places, parsed, by what they name."""
    if isinstance(places, str | Place):
        places = (places,)
    by_form: dict[str, list[Place]] = {}
    for text in places:
        place = Place.parse(text)
        by_form.setdefault(place.form, []).append(place)
    return by_form


def _points(kind: type[Fault], by_form: dict[str, list[Place]]) -> Iterable[tuple[str, str | None, list[Place]]]:
    """How *kind* can be anchored at those places: the anchor's form, the op, the places."""
    for form in kind.anchors:
        if form in ("byte", "connect"):
            if kind.form in by_form:
                yield form, None, by_form[kind.form]
            continue
        for op, place_form in kind.ops.items():
            own = "accept" if op == "accept" else "poll" if op == "poll" else "call"
            if own == form and place_form in by_form and op not in UNPLAYED_OPS:
                yield form, op, by_form[place_form]


def _small_first(least: int, small: int, most: int) -> st.SearchStrategy[int]:
    """From *least* to *most*, half of the time at most *small*: that is where short programs have their calls and bytes."""
    if most <= small:
        return st.integers(least, most)
    return st.integers(least, small) | st.integers(least, most)
