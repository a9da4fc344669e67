"""The tables of the documentation, made from the code that they are about, so that neither can drift from the other.

Where a table needs words that no docstring has, they stand here beside the names they belong to; a name of the code that
has none is an error, and so is a word whose name is gone.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import msgspec
import tomlkit

from simnet import invariants, scenario
from simnet.expect import Expect, Found
from simnet.explore.judging.table import TABLE
from simnet.explore.options import SweepOptions
from simnet.explore.report.meanings import BEYOND, HAPPENS
from simnet.explore.report.rules import INVARIANTS, level_of
from simnet.faults import place
from simnet.faults.fault import Fault, defaults_of
from simnet.faults.forms import fault_to_table, parse_fault
from simnet.faults.kinds import ALL, DATAGRAM_ERRNOS, ERRNOS, KINDS, errnos
from simnet.faults.plan import FaultPlan
from simnet.kernel import states
from simnet.process import VERDICTS
from simnet.realnet.classes import CONFIRMED, INJECTED, SIMULATOR_ONLY, verdict_class
from simnet.stateful import Client, NetworkMachine

__all__ = ["make"]


def make(name: str) -> str:
    """The table of this name, as Markdown. ``api:module:Class`` makes a table of a class, ``names:module`` of a module."""
    kind, _, rest = name.partition(":")
    if rest:
        return {"api": _api, "names": _names}[kind](rest)
    return _TABLES[name]()


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    heads = list(heads)
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _complete(words: Mapping[str, Any], names: Iterable[str]) -> None:
    names = list(names)
    assert set(words) == set(names), f"words and names differ: {set(words) ^ set(names)}"


# ---- faults -----------------------------------------------------------------------------------------------------------

EXAMPLES: Mapping[str, str] = {  # a fault of each kind, in its one-line form
    "short-recv": "short-recv client->server:7#1 end=server call=1 bytes=3",
    "partial-send": "partial-send client->server:7#1 end=server call=2 bytes=3",
    "would-block": "would-block server:7 accept call=1",
    "split": "split client->server:7#1 end=server byte=5",
    "coalesce": "coalesce client->server:7#1 end=server byte=0 bytes=10",
    "wake": "wake server call=2 first=1 keep=1",
    "stall": "stall client->server:7#1 end=server byte=5 seconds=0.05",
    "preempt": "preempt client->server:7#1 end=client send call=1 seconds=0.05",
    "urgent": "urgent client->server:7#1 end=server byte=5",
    "eof": "eof client->server:7#1 end=client byte=5",
    "reset": "reset client->server:7#1 end=server byte=5",
    "blackhole": "blackhole client->server:7#1 end=server byte=5",
    "refuse": "refuse client->server:7#2",
    "unreachable": "unreachable client->server:7#1",
    "connect-timeout": "connect-timeout client->server:7#1",
    "reset-before-accept": "reset-before-accept server:7 call=1",
    "error": "error server:7 accept call=1 errno=EMFILE",
    "drop": "drop client->server:53 datagram=1",
    "duplicate": "duplicate client->server:53 datagram=1",
    "reorder": "reorder client->server:53 datagram=1",
    "delay": "delay client->server:53 datagram=1 seconds=0.5",
    "crash": "crash server at=1.5",
    "restart": "restart server at=1.5",
    "pause": "pause server at=1.5 seconds=2",
    "clock-jump": "clock-jump server at=1.5 seconds=-3600",
    "partition": "partition client<->server at=1.5 seconds=10",
    "name-error": "name-error client lookup=1 errno=EAI_AGAIN",
    "strangers": "strangers client->server:7#1 data=hello\\x0a count=64",
}

ANCHORS: Mapping[str, str] = {
    "call": "call",
    "byte": "byte",
    "connect": "connect",
    "accept": "accept",
    "poll": "poll",
    "datagram": "datagram",
    "time": "virtual time",
    "lookup": "look-up",
}


def _faults() -> str:
    """All kinds, for a first visit."""
    rows = [(f"`{kind.kind}`", _where(kind, 3), _first_words(kind), _class(kind)) for kind in ALL]
    return table(("kind", "acts at", "what the program sees", "class"), rows)


def _fault_reference() -> str:
    """Each kind, with its forms."""
    _complete(EXAMPLES, KINDS)
    parts = []
    for kind in ALL:
        fault = _example(kind)
        toml = "\n".join(("```toml", f"# {fault}", "[[fault]]", tomlkit.dumps(fault_to_table(fault)).strip(), "```"))
        parts += [
            f"### {kind.kind}",
            f"{_first_words(kind)} {_class(kind).capitalize()}. Acts at: {_where(kind, 9)}.",
        ]
        parts += [toml, f"> {fault.sentence()}"]
        parts += [words for words in (_parameters(kind),) if words]
    return "\n\n".join(parts)


def _example(kind: type[Fault]) -> Fault:
    fault = parse_fault(EXAMPLES[kind.kind])
    assert str(fault) == EXAMPLES[kind.kind], f"{EXAMPLES[kind.kind]} reads back as {fault}"
    return fault


def _where(kind: type[Fault], ops_max: int) -> str:
    """The forms of its anchor, with the calls if they are few."""
    ops = list(kind.ops)
    calls = f" ({', '.join(ops)})" if 0 < len(ops) <= ops_max else ""
    if "call" in kind.anchors:
        others = [ANCHORS[anchor] for anchor in kind.anchors if anchor not in ("call", "accept")]
        return ", ".join([*others, f"call{calls}"])
    return ", ".join(ANCHORS[anchor] for anchor in kind.anchors)


def _class(kind: type[Fault]) -> str:
    return "transparent" if kind.transparent else "disruptive"


def _parameters(kind: type[Fault]) -> str:
    """What a field is where it is left out, and which values it may have."""
    told = []
    for name, value in defaults_of(kind).items():
        if value is not None and value is not msgspec.NODEFAULT:
            shown = value.decode() if isinstance(value, bytes) else value
            told.append(f"`{name}` is {f'`{shown}`' if shown != '' else 'empty'} where it is left out")
    if kind.kind == "error":
        told += [f"`errno` of `{op}`: {', '.join(ERRNOS[op])}" for op in ERRNOS]
        for op, names in DATAGRAM_ERRNOS.items():
            unix = ", ".join(errnos(op, unix=True, datagrams=True)) or "none"
            told.append(f"of `{op}` on a socket for datagrams: {', '.join(names)}, on a Unix one {unix}")
    return f"{'; '.join(told)}." if told else ""


# ---- verdicts ---------------------------------------------------------------------------------------------------------

VERDICT_HEADINGS = ("who", "what happens", "only transparent faults", "a disruptive fault")


def _verdict_rows() -> list[tuple[str, ...]]:
    _complete(HAPPENS, TABLE)
    marks = {"failure": "**failure**"}
    return [(who, what, *(marks.get(level, level) for level in TABLE[row])) for row, (who, what, _) in HAPPENS.items()]


def _verdicts() -> str:
    return table(VERDICT_HEADINGS, _verdict_rows())


def _verdicts_by_name() -> str:
    """The same with the word that a report has in brackets."""
    names = ["its own name" if row == "broken" else f"`{row}`" for row in HAPPENS]
    return table((*VERDICT_HEADINGS, "name"), [(*row, name) for row, name in zip(_verdict_rows(), names, strict=True)])


def _invariants() -> str:
    """Each rule in a line, for a look at all of them."""
    _complete(INVARIANTS, (*invariants.NAMES, invariants.WAITS_FOR_EVER))
    rows = [(f"[`{name}`](#{name})", meaning.rule, level_of(name)) for name, meaning in INVARIANTS.items()]
    return table(("name", "the rule", "broken, it is a"), rows)


def _invariant_reference() -> str:
    """Each rule with all that is to be said about it."""
    parts = []
    for name, (rule, remedy, example, told, meant) in INVARIANTS.items():
        lines = [f"- **Example**: {example}." if example else "", f"- **Told**: {told}" if told else ""]
        lines += [f"- **To do**: {remedy}", f"- **Turn it off** where {meant}." if meant else ""]
        parts += [f"### {name}", f"{rule} A {level_of(name)}.", "\n".join(filter(None, lines))]
    return "\n\n".join(parts)


def _beyond() -> str:
    """What a run raises besides; what a sweep refuses is in the words below."""
    _complete(
        BEYOND,
        (
            *(verdict.__name__ for verdict in VERDICTS),
            *(
                "NotRepeatable",
                "NothingToTest",
                "abandoned",
                "no-such-global",
                "no-such-host",
                "state-stays",
                "thread-left",
            ),
        ),
    )
    rows = [(f"`simnet.{verdict.__name__}`", *BEYOND[verdict.__name__]) for verdict in VERDICTS]
    return table(("name", "what happened", "what to do"), rows)


def _kernel_classes() -> str:
    who = {
        CONFIRMED: "the kernel itself, made to by the end that is not under test",
        INJECTED: "one answer was replaced: no kernel gives it on demand",
        SIMULATOR_ONLY: "nobody: refused by name, with the reason",
    }
    kinds: dict[str, list[str]] = {word: [] for word in who}
    for kind in ALL:
        kinds[verdict_class(FaultPlan((_example(kind),)))].append(f"`{kind.kind}`")
    return table(("word", "kinds", "who does it"), [(f"*{word}*", ", ".join(kinds[word]), who[word]) for word in who])


# ---- the kernel ------------------------------------------------------------------------------------------------------


def _closing() -> str:
    moves = (states.AFTER_OUR_FIN, states.AFTER_PEER_FIN, states.AFTER_FIN_ACKNOWLEDGED)
    order = ("SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSING", "CLOSE_WAIT", "LAST_ACK")
    assert set(order) == {state for each in moves for state in each}
    rows = [(f"`{state}`", *(f"`{each[state]}`" if state in each else "" for each in moves)) for state in order]
    return table(("in the state", "we send FIN", "the peer's FIN arrives", "our FIN is acknowledged"), rows)


# ---- scenario files ---------------------------------------------------------------------------------------------------

KEYS: Mapping[str, str] = {
    "format": "`1`; must be there",
    "title": "what it shows, in one line; kept files are named by it",
    "test": "the test's node id from the project's root, the nearest folder above with a `pyproject.toml`, else the one above `scenarios`; must be there",
    "target": "the hosts under test; left out: what the test says",
    "expect": 'how the run is to end; left out: `{ outcome = "baseline" }`',
    "schedule": "the order of what is simultaneous: `fifo` (as woken), `random:SEED` or `pct:SEED`",
    "seed": "the network's seed",
    "found": "how it was found; for the reader, and for replay to compare with",
    "fault": "a list of tables `[[fault]]`: `kind`, and [the fields of that kind](faults.md)",
}
EXPECT: Mapping[str, str] = {
    "outcome": '`"baseline"`: as without faults',
    "error": "the name of the exception that a target ends with or a handler raises, or of a base of it",
    "at": "with `error`: the function, the handler, the file or `file.py:71` that it comes from",
    "invariant": "the [name](verdicts.md) of the invariant or rule that is broken, as reports have it in brackets",
    "interrupted": "`true`: a disruptive fault may interrupt the body",
    "reason": "with `error`, `invariant` or `interrupted`: why it may stay for now",
}
FOUND: Mapping[str, str] = {
    "by": "`sweep`, `fuzz`, or a person's name",
    "runs": "the number of runs of that sweep",
    "kernel": "what real sockets said",
    "failure": "the failure in words, `TypeError at tutorial_server.py:83`",
    "trace": "the digest of the failing run: if it comes again, the replay is *exact*",
    "hits": "what the faults hit: if that changes, the same is tried nearby before *fixed* is said",
}


def _scenario() -> str:
    _complete(KEYS, scenario._KEYS)
    return table(("key", "what it says"), [(f"`{name}`", text) for name, text in KEYS.items()])


def _expect() -> str:
    _complete(EXPECT, Expect.__struct_fields__)
    return table(("key of `expect`", "what it says"), [(f"`{name}`", text) for name, text in EXPECT.items()])


def _found() -> str:
    _complete(FOUND, Found.__struct_fields__)
    return table(("key of `found`", "what it says"), [(f"`{name}`", text) for name, text in FOUND.items()])


def _places() -> str:
    """The table in the head of the room of places."""
    doc = inspect.getdoc(place) or ""
    rows = re.findall(r"^(``\S+``) {2,}(\w+) {2,}(.*)$", doc, re.MULTILINE)
    assert list(dict.fromkeys(form for _, form, _ in rows)) == list(place.FORMS), rows
    return table(("text", "names", "which is"), [(_plain(text), form, _plain(words)) for text, form, words in rows])


# ---- options ----------------------------------------------------------------------------------------------------------


def _sweep_options() -> str:
    words = _attribute_docstrings(SweepOptions)
    default = SweepOptions()
    rows = []
    for name in SweepOptions.__dataclass_fields__:
        value = getattr(default, name)
        rows.append((f"`{name}`", f"`{value!r}`", _plain(words[name])))
    return table(("option", "default", "what it says"), rows)


def _pytest_options() -> str:
    from simnet import pytest_plugin

    rows: list[tuple[str, str]] = []

    class Parser:
        """Notes what a plugin asks pytest's parser for."""

        def getgroup(self, *_: str) -> Parser:
            return self

        def addoption(self, name: str, *, help: str, metavar: str = "", **_: object) -> None:
            if help != argparse.SUPPRESS:
                rows.append((f"`{name} {metavar}`".replace(" `", "`"), _plain(help)))

    pytest_plugin.pytest_addoption(Parser())  # type: ignore[arg-type]  # all that it asks of one
    return table(("option", "what it does"), rows)


# ---- classes and modules ----------------------------------------------------------------------------------------------


def _api(path: str) -> str:
    """The public methods and properties of a class, in the order in which it defines them, with their first words.

    ``module:Class`` shows its own, ``module:Class:inherited`` also those of its bases in the same package,
    ``module:Class:one,another`` these.
    """
    module_name, class_name, which = (path + "::").split(":")[:3]
    cls = getattr(import_module(module_name), class_name)
    package = cls.__module__.partition(".")[0]
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] == package] if which else [cls]
    found = {name: member for base in reversed(bases) for name, member in vars(base).items()}
    if which in ("", "inherited"):
        names = list(dict.fromkeys(name for base in bases for name in vars(base) if not name.startswith("_")))
    else:
        names = which.split(",")
    rows = [row for name in names if (row := _member(name, found[name])) is not None]
    assert which in ("", "inherited") or len(rows) == len(names), f"{path}: some of these have no docstring"
    return table(("name", "what it is for"), rows)


def _member(name: str, member: Any) -> tuple[str, str] | None:
    if isinstance(member, property):
        return (f"`.{name}`", _first_words(member)) if member.__doc__ else None
    if isinstance(member, classmethod):
        member = member.__func__
    if not inspect.isfunction(member) or member.__doc__ is None:
        return None
    return f"`{_call(name, member, skip_first=True)}`", _first_words(member)


def _machine() -> str:
    """What a class of state machines can say, and what it says if it does not."""
    drawn = {"faults": "strategies.fault_plans()", "payloads": "strategies.payloads(min_size=1, max_size=5_000)"}
    rows = [
        (f"`{name}`", f"`{drawn.get(name) or repr(getattr(NetworkMachine, name))}`", _plain(words))
        for name, words in _attribute_docstrings(NetworkMachine).items()
    ]
    return table(("name", "where it is not said", "what it is for"), rows)


def _client() -> str:
    """What is known of a client of a state machine."""
    return table(
        ("name", "what it is"), [(f"`{name}`", _plain(words)) for name, words in _attribute_docstrings(Client).items()]
    )


def _names(module_name: str) -> str:
    """What a module's ``__all__`` names, with the first words of each."""
    module = import_module(module_name)
    rows = []
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, ModuleType) or inspect.isclass(thing) or inspect.isfunction(thing):
            rows.append((f"`{name}`", _first_words(thing)))
    return table(("name", "what it is"), rows)


def _call(name: str, function: Callable[..., Any], *, skip_first: bool) -> str:
    """``spawn(fn, /, *args)``: names and defaults, without types."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if skip_first else 0 :]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    if name.startswith("handle_"):  # its parameters may have any name, and need no sign that says so
        bare = [parameter.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for parameter in bare]
    text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return f"{name}{re.sub(r'=', ' = ', text) if ' = ' in text else text}"


def _attribute_docstrings(cls: type) -> dict[str, str]:
    """The text below each field of a class."""
    body = ast.parse(inspect.getsource(cls)).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            found[field.target.id] = str(below.value.value)
    return found


def _first_words(thing: Any) -> str:
    """The first paragraph of a docstring, and what it raises."""
    doc = inspect.getdoc(thing) or ""
    first, _, rest = doc.partition("\n\n")
    raises = re.search(r"Raises:\n((?:    .*\n?)+)", rest)
    text = _plain(first)
    if raises:
        told = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", raises[1], re.MULTILINE)
        text += "".join(f" `{name}`: {_plain(why)}" for name, why in told)
    return text


def _plain(text: str) -> str:
    """Docstring's marks as Markdown's, on one line."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    return re.sub(r" \((?:K-\d+(?:, )?)+\)", "", text)


_TABLES: Mapping[str, Callable[[], str]] = {
    "faults": _faults,
    "fault-reference": _fault_reference,
    "verdicts": _verdicts,
    "verdicts-by-name": _verdicts_by_name,
    "invariants": _invariants,
    "invariant-reference": _invariant_reference,
    "beyond": _beyond,
    "closing": _closing,
    "kernel-classes": _kernel_classes,
    "scenario-keys": _scenario,
    "expect-keys": _expect,
    "found-keys": _found,
    "places": _places,
    "machine": _machine,
    "client": _client,
    "sweep-options": _sweep_options,
    "pytest-options": _pytest_options,
}
