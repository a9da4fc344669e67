"""The vocabulary: all kinds of fault, by class, by name, and by the point where they can act.

A kind with ``drawn = False`` is played only where a plan or a sweep names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from simnet.faults.disruptive import (
    BY_ICMP,
    DATAGRAM_ERRNOS,
    ERRNOS,
    UNTRIED,
    Blackhole,
    ConnectTimeout,
    Eof,
    Error,
    Refuse,
    Reset,
    ResetBeforeAccept,
    Unreachable,
    Urgent,
    errnos,
)
from simnet.faults.fault import DATAGRAM_FORMS, Fault
from simnet.faults.fields import FaultError, meant
from simnet.faults.hosts import (
    BODY,
    RESOLVER_ERRORS,
    ClockJump,
    Crash,
    Delay,
    Drop,
    Duplicate,
    NameError_,
    Partition,
    Pause,
    Reorder,
    Restart,
    Strangers,
)
from simnet.faults.place import Anchor
from simnet.faults.transparent import Coalesce, PartialSend, Preempt, ShortRecv, Split, Stall, Wake, WouldBlock

__all__ = [
    "ALL",
    "BODY",
    "BY_ICMP",
    "DATAGRAM_ERRNOS",
    "DISRUPTIVE",
    "ERRNOS",
    "KINDS",
    "RESOLVER_ERRORS",
    "TRANSPARENT",
    "UNTRIED",
    "Blackhole",
    "ClockJump",
    "Coalesce",
    "ConnectTimeout",
    "Crash",
    "Delay",
    "Drop",
    "Duplicate",
    "Eof",
    "Error",
    "Fault",
    "NameError_",
    "PartialSend",
    "Partition",
    "Pause",
    "Preempt",
    "Refuse",
    "Reorder",
    "Reset",
    "ResetBeforeAccept",
    "Restart",
    "ShortRecv",
    "Split",
    "Stall",
    "Strangers",
    "Unreachable",
    "Urgent",
    "Wake",
    "WouldBlock",
    "applicable",
    "drawn",
    "drawn_kinds",
    "errnos",
    "kind_class",
    "kind_classes",
    "make",
    "named_kinds",
]

ALL: Final[tuple[type[Fault], ...]] = (
    *(ShortRecv, PartialSend, WouldBlock, Split, Coalesce, Wake, Stall, Preempt),
    *(Urgent, Eof, Reset, Blackhole, Refuse, Unreachable, ConnectTimeout, ResetBeforeAccept, Error),
    *(Drop, Duplicate, Reorder, Delay, Crash, Restart, Pause, ClockJump, Partition, NameError_, Strangers),
)

KINDS: Final[Mapping[str, type[Fault]]] = {kind.kind: kind for kind in ALL}

TRANSPARENT: Final = tuple(kind.kind for kind in ALL if kind.transparent)
DISRUPTIVE: Final = tuple(kind.kind for kind in ALL if not kind.transparent)
WHOLE: Final[Mapping[str, tuple[str, ...]]] = {"transparent": TRANSPARENT, "disruptive": DISRUPTIVE}


def kind_class(kind: object, besides: Iterable[str] = ()) -> type[Fault]:
    """The class of a kind given by name or by class. *besides* are words that whoever asks knows, too.

    Raises:
        TypeError: neither.
        ValueError: no kind of that name; the message names the nearest.
    """
    if isinstance(kind, type) and issubclass(kind, Fault) and kind.kind:
        return kind
    if isinstance(kind, Fault):
        raise TypeError(f"{kind!r} is one fault; a kind is its name, {kind.kind!r}, or its class")
    if not isinstance(kind, str):
        raise TypeError(
            f"{kind!r} is {type(kind).__name__}; a kind of fault is a name such as 'would-block', or a class of simnet.faults"
        )
    if kind not in KINDS:
        several = [each.strip() for each in kind.split(",")]
        if len(several) > 1:
            raise FaultError(f"{kind!r} is no kind of fault; in Python several are a list: {several!r}", "kind")
        if kind == "all" and besides:
            raise FaultError(f"'all' is no kind of fault; it is both classes: {list(besides)!r}", "kind")
        raise FaultError(f"{kind!r} is no kind of fault{meant(kind, (*KINDS, *besides))}", "kind")
    return KINDS[kind]


def kind_classes(kinds: Iterable[object] | str | type[Fault]) -> tuple[type[Fault], ...]:
    """The classes of several kinds, each once, in the vocabulary's order; one name or class alone is taken too.

    ``"transparent"`` and ``"disruptive"`` stand for all of theirs.
    """
    several = (kinds,) if isinstance(kinds, str | type) else kinds
    named: list[type[Fault]] = []
    for kind in several:
        whole = WHOLE.get(kind) if isinstance(kind, str) else None
        named += [kind_class(kind, WHOLE)] if whole is None else map(kind_class, whole)
    return tuple(kind for kind in ALL if kind in named)


def drawn(kind: type[Fault] | str) -> bool:
    """Whether a sweep or a fuzz that names no kinds tries this one."""
    return kind_class(kind).drawn


def named_kinds(kinds: Iterable[object] | str | type[Fault]) -> tuple[str, ...]:
    """The names of several kinds, in the vocabulary's order; one name or class alone is taken too.

    All of TRANSPARENT or of DISRUPTIVE means those that are tried unasked, and what is named besides.

    Raises:
        ValueError: an unknown kind.
    """
    __tracebackhide__ = True
    several = [kinds] if isinstance(kinds, str | type) else list(kinds)
    named = [cls.kind for kind in several for cls in kind_classes([kind])]  # what refuses one is no frame of Counter's
    tally = Counter(named)
    for group in (TRANSPARENT, DISRUPTIVE):
        if all(tally[name] for name in group):
            for name in group:
                tally[name] -= not drawn(name)
    return tuple(name for name in KINDS if tally[name] > 0)


def drawn_kinds(kinds: Iterable[object] | str | type[Fault]) -> tuple[type[Fault], ...]:
    """The classes of several kinds, in the vocabulary's order, to draw faults from. What they mean is `named_kinds`'.

    Raises:
        ValueError: no kind at all, an unknown one, or one that dice do not draw.
    """
    __tracebackhide__ = True
    several = (kinds,) if isinstance(kinds, str | type) or not isinstance(kinds, Iterable) else tuple(kinds)
    if not several:
        raise FaultError(f"kinds={kinds!r} names no kind of fault; known are {', '.join(KINDS)}")
    classes = tuple(KINDS[name] for name in named_kinds(several))
    for kind in classes:
        if not kind.drawn:
            raise FaultError(
                f"{kind.kind!r} is played where a plan or the kinds of a sweep name it; fault rates do not draw it, nor do strategies: "
                f"hypothesis's builds(faults.{kind.__name__}, ...) does",
                "kind",
            )
    return classes


def applicable(anchor: Anchor) -> tuple[type[Fault], ...]:
    """The kinds that can act at this injection point, in the vocabulary's order."""
    return tuple(kind for kind in ALL if _applies(kind, anchor))


def _applies(kind: type[Fault], anchor: Anchor) -> bool:
    if anchor.form not in kind.anchors:
        return False
    if kind.not_unix and anchor.place.unix:
        return False
    if anchor.op in kind.at_datagrams and anchor.place.form in DATAGRAM_FORMS:
        return True
    form = kind.ops.get(anchor.op) if anchor.op is not None else kind.form
    return form == anchor.place.form


def make(kind: type[Fault] | str, anchor: Anchor, **parameters: object) -> Fault:
    """The fault of this kind at this point: `make("short-recv", anchor, bytes=3)`."""
    cls = kind_class(kind)
    fields: dict[str, object] = {"on": str(anchor.place), **parameters}
    known = cls.__struct_fields__
    at = {"byte": "byte", "datagram": "datagram", "lookup": "lookup", "time": "at", "connect": ""}.get(
        anchor.form, "call"
    )
    if at:
        fields[at] = anchor.number / 1e9 if at == "at" else anchor.number
    if anchor.end is not None:
        fields["end"] = anchor.end
    if anchor.op is not None and "op" in known:
        fields["op"] = anchor.op
    if anchor.when is not None and "when" in known:
        fields["when"] = anchor.when
    return cls(**fields)  # type: ignore[arg-type]  # the fault checks what it is given
