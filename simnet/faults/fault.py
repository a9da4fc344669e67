"""What every fault is: a frozen value that knows where it acts, checks itself, and prints as people and Python write it.

A kind (``transparent.py``, ``disruptive.py``, ``hosts.py``) is a subclass with fields; ``kinds.py`` lists them all. A kind's class
attributes are all that other modules need to know where its faults may act.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar

import msgspec

from simnet.faults.fields import CHECKS, END, FIELDS, NS, FaultError, FaultTypeError, meant
from simnet.faults.place import Anchor, Place

__all__ = ["DATAGRAM_FORMS", "Fault", "defaults_of", "refuse_fields"]

DATAGRAM_FORMS: Final = ("listener", "flow")  # of the places that sockets for datagrams have

_EXAMPLES: Final[Mapping[str, str]] = {
    "connection": "'client->server:7#1' (the 1st that client attempted; '#*' for each)",
    "listener": "'server:7'",
    "host": "'server'",
    "flow": "'client->server:53'",
    "link": "'client->server' or 'client<->server'",
}

_FOR_DATAGRAMS: Final = "a socket for datagrams, written 'server:53' (bound there) or 'client->server:53' (connected)"

PLACES_MAX: Final = 4096  # so many are remembered; a sweep makes thousands of faults at a few dozens
_right_places: Final[set[tuple[str, str, object, object]]] = set()  # kind, place, op and end that go together

# The field that counts, and the form of anchor it makes.
_NUMBERED: Final[Mapping[str, str]] = {
    "byte": "byte",
    "call": "call",
    "datagram": "datagram",
    "lookup": "lookup",
    "at": "time",
}

_DEFAULTS: Final[dict[type[Fault], dict[str, object]]] = {}  # of each kind's fields, as `defaults_of` found them

_T = TypeVar("_T")


class _Kept(Generic[_T]):
    """A property that is computed once. Unlike functools' it takes no lock, for who computes it twice gets the same."""

    def __init__(self, compute: Callable[[Any], _T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, fault: Any, kind: object = None) -> _T:
        if fault is None:
            return self  # type: ignore[return-value]  # of the class: what help() shows
        value = fault.__dict__[self.name] = self.compute(fault)
        return value


def _kind_name(class_name: str) -> str:
    """``WouldBlock`` -> ``would-block``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", class_name.rstrip("_")).lower()


_make: Final[Callable[..., Any]] = msgspec.StructMeta.__call__


class _Kind(msgspec.StructMeta):
    """The class of the kinds: a field that is not theirs, or is missing, is refused in the words of the house."""

    if not TYPE_CHECKING:  # checkers know each kind's own signature

        def __call__(self, *args: Any, **fields: Any) -> Any:
            try:
                return _make(self, *args, **fields)
            except FaultError:
                raise
            except TypeError as error:
                other = error
            refuse_fields(self, args, fields)
            raise other


class Fault(msgspec.Struct, metaclass=_Kind, frozen=True, dict=True, tag_field="kind", tag=_kind_name):
    """One deviation at an injection point; the base of all kinds, never made itself."""

    kind: ClassVar[str] = ""
    """The kind's name in plans and files."""
    transparent: ClassVar[bool] = False
    """Whether a correct program may meet it at any time with nothing lost."""
    delays: ClassVar[bool] = False
    """Whether all it does is to delay, which is transparent until a deadline fires that did not without it."""
    drawn: ClassVar[bool] = True
    """Whether sweeps and dice try it unasked; else only who names it gets it."""
    anchors: ClassVar[tuple[str, ...]] = ()
    """The forms of its anchor: call, byte, connect, accept, poll, datagram, time, lookup."""
    form: ClassVar[str] = "connection"
    """The form of place it acts on, where ``ops`` does not say otherwise."""
    ops: ClassVar[Mapping[str, str]] = {}
    """The calls it can act on, each with the form of place that call is made on."""
    at_datagrams: ClassVar[tuple[str, ...]] = ()
    """Those of ``ops`` that may be calls of a socket for datagrams, which has the place of a listener or a flow."""
    parameters: ClassVar[tuple[str, ...]] = ()
    """The fields that say *what*; the others say whose and when."""
    not_unix: ClassVar[str] = ""
    """Why no Unix socket can meet it, and what to use instead; empty if one can."""

    on: str
    """The place, as text; a `Place` is taken too."""

    def __post_init__(self) -> None:
        if not self.kind:
            raise TypeError(
                "Fault is the base of the kinds; make one of them, as in faults.Split(on='client->server:7#1', end='server', byte=5)"
            )
        kind = self.kind
        for name, default in defaults_of(type(self)).items():
            value = getattr(self, name)
            if value is None and default is None:
                continue
            checked = CHECKS[name](kind, name, value)
            if checked is not value:
                msgspec.structs.force_setattr(self, name, checked)
            if name == "op" and value not in self.ops:
                raise self.wrong("op", f"is no call it can act on{meant(value, self.ops)}")
        where = (kind, self.on, getattr(self, "op", None), getattr(self, "end", None))
        if where not in _right_places:
            self._check_place()
            if len(_right_places) < PLACES_MAX:
                _right_places.add(where)
        self._check()

    def _check(self) -> None:
        """What the fields must fulfil together, in kinds where that is more than each for itself."""

    @property
    def late(self) -> bool:
        """Whether this very fault makes somebody wait, and so is transparent only until a deadline fires by it."""
        return self.delays

    @_Kept  # runs ask again and again; that is what dict=True is for
    def place(self) -> Place:
        """Where it acts, parsed."""
        return Place.parse(self.on)

    @_Kept
    def anchor(self) -> Anchor:
        """The injection point: exact if the place is concrete, else one at each place that matches."""
        op = self._get("op")
        if op is None and len(self.ops) == 1 and "op" not in self.__struct_fields__:
            (op,) = self.ops
        for name, counts in _counting(type(self)):
            number = getattr(self, name)
            if number is not None:
                form = counts
                break
        else:
            return Anchor("connect", self.place, None, None, 1, _text(self._get("when")))
        if form == "call" and op in ("accept", "poll"):
            form = str(op)
        when = self._get("when") if form == "call" else None
        exact = round(number * NS) if form == "time" else int(number)
        return Anchor(form, self.place, _text(self._get("end")), _text(op), exact, _text(when))

    def _get(self, name: str) -> object:
        """A field of some kinds; None in the others."""
        return getattr(self, name, None)

    def placed(self, place: Place | str) -> Self:
        """The same fault on *place*: what happened where a pattern matched."""
        return msgspec.structs.replace(self, on=str(place))

    @property
    def harmless(self) -> bool:
        """Whether this very fault is one that loses nothing, whatever others of its kind do."""
        return self.transparent

    @_Kept
    def on_datagrams(self) -> bool:
        """Whether it acts on a call of a socket for datagrams."""
        return self._get("op") in self.at_datagrams and self.place.form in DATAGRAM_FORMS

    def why_not_unix(self) -> str:
        """Why no Unix socket can meet this very fault, and what to use instead; empty if one can."""
        return self.not_unix

    def acts_at(self, place: Place) -> bool:
        """Whether it acts at the concrete *place*: its own, or one of its pattern's where such a thing can be."""
        return self.place.matches(place) and not (place.unix and self.why_not_unix())

    def sentence(self) -> str:
        """What the network did, in one plain sentence."""
        raise NotImplementedError

    def items(self) -> Iterable[tuple[str, object]]:
        """The fields that are not at their default, in the order in which they print."""
        for name, default in _in_order(type(self)):
            value = getattr(self, name)
            if value != default:
                yield name, value

    def __repr__(self) -> str:
        return f"faults.{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __str__(self) -> str:
        return self.line

    @_Kept
    def line(self) -> str:
        """Its one-line form, as plans and traces have it."""
        words = [self.kind]
        for name, value in self.items():
            words.append(_word(value) if name in ("on", "op") else f"{name}={_word(value)}")
        return " ".join(words)

    def _check_place(self) -> None:
        place = self.place
        op = self._get("op")
        if isinstance(op, str):
            form = place.form if self.on_datagrams else self.ops[op]
        else:
            form = self.form if "op" in self.__struct_fields__ else next(iter(self.ops.values()), self.form)
        if place.form != form:
            what = f"{self.kind} {op}" if op else self.kind
            too = f", or {_FOR_DATAGRAMS}" if op in self.at_datagrams else ""
            raise FaultError(
                f"{what}: on={self.on!r} names a {place.form}; it acts on a {form}, written {_EXAMPLES[form]}{too}",
                "on",
            )
        if place.unix and (why := self.not_unix):
            raise FaultError(f"{self.kind}: on={self.on!r} names Unix sockets, {why}", "on")
        if "end" in self.__struct_fields__:
            end = self._get("end")
            if end is None and form == "connection":
                raise FaultError(f"{self.kind}: end is missing: {END}", "end")
            if end is not None and form != "connection":
                raise FaultError(
                    f"{self.kind}: end={end!r} says which end of a connection, but {self.on!r} is a {form}; leave it out",
                    "end",
                )

    def wrong(self, name: str, reason: str) -> FaultError:
        """The error that says why field *name* of this fault cannot be what it is."""
        return FaultError(f"{self.kind}: {name}={self._get(name)!r} {reason}", name)


@lru_cache(maxsize=64)
def _counting(kind: type[Fault]) -> tuple[tuple[str, str], ...]:
    """Those of the fields of *kind* that count, in their order."""
    return tuple((name, _NUMBERED[name]) for name in kind.__struct_fields__ if name in _NUMBERED)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def defaults_of(kind: type[Fault]) -> dict[str, object]:
    """The fields of *kind* with their defaults; a field that must be given has one that equals nothing."""
    found = _DEFAULTS.get(kind)
    if found is None:
        found = {}
        for field in msgspec.structs.fields(kind):
            found[field.name] = msgspec.NODEFAULT if field.required else field.default
        _DEFAULTS[kind] = found
    return found


def refuse_fields(kind: type[Fault], args: tuple[object, ...], fields: Mapping[str, object]) -> None:
    """What is wrong with the names of *fields*, whatever they hold; *args* are those that were given without a name.

    Raises:
        FaultTypeError: one is none of the kind's, or is missing, or has no name; with the fields there are.
    """
    names = [name for name in FIELDS if name in kind.__struct_fields__]
    for name, value in fields.items():
        if name not in names:
            raise FaultTypeError(f"{kind.kind}: {name}={value!r} is none of its fields{meant(name, names)}", name)
    if len(args) > 1:
        raise FaultTypeError(
            f"{kind.kind}: {args[1]!r} is given without a name; only the place may be, and there are {', '.join(names)}"
        )
    for name, default in defaults_of(kind).items():
        if default is msgspec.NODEFAULT and name not in fields and not (args and name == "on"):
            raise FaultTypeError(f"{kind.kind}: {name} is missing; {kind.kind} has {', '.join(names)}", name)


@lru_cache(maxsize=64)  # there are as many kinds as there are
def _in_order(kind: type[Fault]) -> tuple[tuple[str, object], ...]:
    """The same in the order in which they print."""
    defaults = defaults_of(kind)
    return tuple((name, defaults[name]) for name in FIELDS if name in defaults)


def _word(value: object) -> str:
    """A value as one word of the one-line form: no space, no semicolon."""
    if isinstance(value, bytes):
        return "".join(chr(byte) if 0x20 < byte < 0x7F and byte not in b";\\" else f"\\x{byte:02x}" for byte in value)
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value)
