"""The written forms of one fault: a line for reports and command lines, a table for TOML files. Both ways, without loss.

``str(fault)`` writes the line: the kind, the place, the op if the kind has a choice, then ``name=value``. It reads back with
`parse_fault`. In both forms a value that is the kind's default is left out, and bytes, as an urgent one, are a text of the characters
with their numbers (Latin-1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from simnet.faults.fault import Fault, refuse_fields
from simnet.faults.fields import FIELDS, FaultError, FaultTypeError
from simnet.faults.kinds import KINDS, kind_class

__all__ = ["fault_from_table", "fault_to_table", "parse_fault"]

NAMES_UNIX: Final = re.compile(r":(?:[.]{0,2}/|@)")  # where such a name begins
_EXAMPLE: Final = "'would-block server:7 accept call=1'"


def fault_to_table(fault: Fault) -> dict[str, object]:
    """The fault as a TOML table: ``kind`` first, then whose, when, what."""
    table: dict[str, object] = {"kind": fault.kind}
    for name, value in fault.items():
        table[name] = value.decode("latin-1") if isinstance(value, bytes) else value
    return table


def fault_from_table(table: object) -> Fault:
    """The fault that a TOML table describes.

    Raises:
        FaultError: what is wrong, with which key (``.key``), and the remedy.
    """
    if not isinstance(table, Mapping):
        raise FaultTypeError(
            f"{table!r} is {type(table).__name__}; a fault is a table with a kind, a place and an anchor"
        )
    if "kind" not in table:
        raise FaultError(f"kind is missing: which fault is it? One of {', '.join(KINDS)}", "kind")
    if not isinstance(table["kind"], str):
        raise FaultTypeError(
            f'kind={table["kind"]!r} is {type(table["kind"]).__name__}; it is the name of a kind, as in kind = "split"',
            "kind",
        )
    kind = kind_class(table["kind"])
    fields = {str(name): value for name, value in table.items() if name != "kind"}
    if isinstance(fields.get("data"), str):
        fields["data"] = _byte(kind, fields["data"])
    return _made(kind, fields)


def parse_fault(text: str) -> Fault:
    """The fault of one line, as in ``partial-send client->server:7#1 end=server call=2 bytes=3``.

    Raises:
        FaultError: what is wrong, with which word, and the remedy.
    """
    if not isinstance(text, str):
        raise FaultTypeError(f"{text!r} is {type(text).__name__}; a fault in one line is a text like {_EXAMPLE}")
    words = text.split()
    if not words:
        raise FaultError(f"{text!r} names no fault; one is written {_EXAMPLE}", "kind")
    kind = kind_class(words[0])
    if len(words) < 2 or "=" in words[1]:
        raise FaultError(
            f"{text!r}: the place is missing; it follows the kind, as in {_EXAMPLE}{_spelling(text)}", "on"
        )
    fields: dict[str, object] = {"on": words[1]}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "op", word
            if "op" not in kind.__struct_fields__:
                raise FaultError(
                    f"{text!r}: {word!r} has no '='; after the place come name=value, as in {_EXAMPLE}{_its_fields(kind)}{_spelling(text)}"
                )
        if name in fields:
            raise FaultError(f"{text!r}: {name} is given twice{_spelling(text)}", name)
        fields[name] = _READ[name](kind, name, value) if name in _READ else value
    if words[1] in kind.ops and "op" not in fields:  # `would-block accept call=1`
        raise FaultError(f"{text!r}: the place is missing; it stands before {words[1]}, as in {_EXAMPLE}", "on")
    return _made(kind, fields)


def _spelling(text: str) -> str:
    """What may be meant where a line that names a Unix socket cannot be read."""
    if not NAMES_UNIX.search(text):
        return ""
    return r"; in the name of a Unix socket a space is \x20, '=' is \x3d, ';' is \x3b"


def _made(kind: type[Fault], fields: dict[str, object]) -> Fault:
    """The fault of *kind* with *fields*, whose names nobody has checked yet."""
    refuse_fields(kind, (), fields)
    return kind(**fields)  # type: ignore[arg-type]  # the fault checks what it is given


def _names(kind: type[Fault]) -> list[str]:
    return [name for name in FIELDS if name in kind.__struct_fields__]


def _its_fields(kind: type[Fault]) -> str:
    return f"; {kind.kind} has {', '.join(_names(kind))}"


# ---- words of the line -----------------------------------------------------------------------------------------------


def _integer(kind: type[Fault], name: str, word: str) -> object:
    if not re.fullmatch(r"-?[0-9]{1,30}", word):
        raise FaultTypeError(f"{kind.kind}: {name}={word} is no whole number", name)
    return int(word)


def _seconds(kind: type[Fault], name: str, word: str) -> object:
    try:
        return float(word)
    except ValueError:
        raise FaultTypeError(f"{kind.kind}: {name}={word} is no number of seconds", name) from None


def _escaped(kind: type[Fault], name: str, word: str) -> object:
    text = re.sub(r"\\x([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), word)
    if "\\" in word and not re.fullmatch(r"(?:[^\\]|\\x[0-9A-Fa-f]{2})*", word):
        raise FaultError(
            f"{kind.kind}: {name}={word} holds a backslash that is no \\xNN; a backslash itself is \\x5c", name
        )
    return _byte(kind, text)


def _byte(kind: type[Fault], text: object) -> bytes:
    try:
        return str(text).encode("latin-1")
    except UnicodeEncodeError as error:
        raise FaultError(
            f"{kind.kind}: data={text!r} is no byte: {error.object[error.start]!r} is beyond 255", "data"
        ) from None


_READ: Final[Mapping[str, Callable[[type[Fault], str, str], object]]] = {
    **dict.fromkeys(
        ("call", "byte", "datagram", "lookup", "bytes", "first", "keep", "copies", "by", "count"), _integer
    ),
    **dict.fromkeys(("at", "seconds"), _seconds),
    "data": _escaped,
}
