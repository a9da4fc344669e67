"""The fields of faults: their order in print, what each may hold, and how a wrong value is refused.

A field's name means the same in every kind, so one table defines what it may hold. Each refusal names the value, the reason and the
remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from simnet.faults.place import Place

__all__ = [
    "CHECKS",
    "END",
    "FIELDS",
    "INTEGER_MAX",
    "LEAST",
    "NANOSECOND",
    "NS",
    "THEN",
    "FaultError",
    "FaultTypeError",
    "comes",
    "lasts",
    "meant",
]

NS: Final = 1_000_000_000  # nanoseconds in a second
NANOSECOND: Final = 1e-9  # the clock's tick: no shorter time can pass
INTEGER_MAX: Final = 2**63 - 1  # what every TOML reader can hold (TOML 1.0, Integer)
NEAR: Final = 0.65  # from 0 to 1: the usual 0.6 takes "project" for "expect"
END: Final = "'client' (the opener) or 'server' (the acceptor): whose call it is, or towards whom the bytes travel"

# What strangers do: those who say a part of what a client says vanish, or stay; those who say all of it leave when it is answered, or keep
# their connection.
THEN: Final = ("vanish", "stay", "leave", "keep")

# The order in which fields print, in all three forms: whose, when, what.
FIELDS: Final = (
    *("on", "end", "op", "call", "byte", "datagram", "lookup", "at", "when"),
    *("bytes", "first", "keep", "seconds", "data", "copies", "by", "errno"),
    *("count", "then"),
)

#: The least value of each count, and why it is.
LEAST: Final[Mapping[str, tuple[int, str]]] = {
    "call": (1, "calls are counted from 1, each attempt of that op on that socket"),
    "byte": (0, "bytes are counted from 0, the fault acts before that byte"),
    "datagram": (1, "datagrams are counted from 1"),
    "lookup": (1, "look-ups are counted from 1"),
    "bytes": (1, "a call that moves nothing is 'would-block', the end of the input is 'eof'"),
    "first": (0, "0 leaves the order as it is"),
    "keep": (1, "a poller never reports nothing; leave it out to report all"),
    "copies": (1, "1 is one more than was sent"),
    "by": (1, "1 lets the next datagram overtake"),
    "count": (1, "one stranger is the least there can be"),
}


class FaultError(ValueError):
    """A fault that is wrong; ``key`` is the field that is wrong, if it is one."""

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class FaultTypeError(FaultError, TypeError):
    """A field of the wrong type; a ``TypeError`` and a ``FaultError``."""


def meant(word: str, known: Iterable[str], prefix: str = "") -> str:
    """``; did you mean 'would-block'?`` or, when nothing is near, all that are known. A *prefix* that most have makes none nearer."""
    choices = {each.removeprefix(prefix): each for each in known}
    word = word.removeprefix(prefix)
    near = [
        choices[hit]
        for guess in (word, word.lower().replace("_", "-"))
        for hit in difflib.get_close_matches(guess, choices, n=1, cutoff=NEAR)
    ]
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(choices.values())}" if choices else ""


# ---- what each field may hold ----------------------------------------------------------------------------------------


def _is_place(kind: str, name: str, value: object) -> object:
    if isinstance(value, Place):
        return str(value)
    try:
        Place.parse(value)  # type: ignore[arg-type]  # it says what is wrong with any other object
    except TypeError as error:
        raise FaultTypeError(f"{kind}: {error}", name) from None
    except ValueError as error:
        raise FaultError(f"{kind}: on={error}", name) from None
    return value


def _is_count(kind: str, name: str, value: object) -> object:
    if type(value) is not int:  # not a bool, which is an int to isinstance
        raise FaultTypeError(f"{kind}: {name}={value!r} is {type(value).__name__}; it is a whole number", name)
    least, reason = LEAST[name]
    if value < least:
        raise FaultError(f"{kind}: {name}={value} is less than {least}; {reason}", name)
    if value > INTEGER_MAX:
        raise FaultError(f"{kind}: {name}={value} is more than {INTEGER_MAX}, the largest whole number of TOML", name)
    return value


def _is_seconds(kind: str, name: str, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FaultTypeError(f"{kind}: {name}={value!r} is {type(value).__name__}; it is a number of seconds", name)
    if not abs(value) <= INTEGER_MAX / NS:  # nor is nan
        raise FaultError(
            f"{kind}: {name}={value} is no time; virtual time is a whole number of nanoseconds in 64 bits, so at most 9e9 s",
            name,
        )
    return float(value) + 0.0  # -0.0 becomes 0.0: equal values shall print alike


def _is_one_of(*choices: str, remedy: str) -> Callable[[str, str, object], object]:
    def check(kind: str, name: str, value: object) -> object:
        if value not in choices:
            raise FaultError(f"{kind}: {name}={value!r} cannot be; it is {remedy}", name)
        return value

    return check


def _is_text(kind: str, name: str, value: object) -> object:
    if not isinstance(value, str):
        raise FaultTypeError(f"{kind}: {name}={value!r} is {type(value).__name__}; it is a name in quotes", name)
    return value


def _is_data(kind: str, name: str, value: object) -> object:
    if not isinstance(value, bytes):
        raise FaultTypeError(f"{kind}: {name}={value!r} is {type(value).__name__}; it is bytes, as in data=b'!'", name)
    return value


#: For each field what takes a kind, its name and a value, and gives the value as it is kept, or raises FaultTypeError or FaultError.
CHECKS: Final[Mapping[str, Callable[[str, str, object], object]]] = {
    "on": _is_place,
    "end": _is_one_of("client", "server", remedy=END),
    "op": _is_text,
    "when": _is_one_of("before", "after", remedy="'before' or 'after' (the call)"),
    **dict.fromkeys(LEAST, _is_count),
    **dict.fromkeys(("at", "seconds"), _is_seconds),
    "errno": _is_text,
    "data": _is_data,
    "then": _is_one_of(*THEN, remedy="what they do in the end: " + ", ".join(THEN)),
}


def lasts(kind: str, seconds: float) -> None:
    """Refuse a time in which nothing can happen."""
    if seconds < NANOSECOND:
        raise FaultError(f"{kind}: seconds={seconds!r} is too short; it is at least a nanosecond (1e-9)", "seconds")


def comes(kind: str, at: float) -> None:
    """Refuse a moment before the run."""
    if at < 0:
        raise FaultError(f"{kind}: at={at!r} is before the run; virtual time begins at 0", "at")
