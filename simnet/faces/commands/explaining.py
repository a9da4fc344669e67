"""``simnet explain``: what a word of a report means, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from simnet.explore.judging.table import TABLE
from simnet.explore.report.looks import line_of
from simnet.explore.report.meanings import BEYOND, HAPPENS, SUMMED_UP
from simnet.explore.report.rules import INVARIANTS, level_of
from simnet.faces.refusals import Refused
from simnet.faces.screen import Screen
from simnet.faults.fields import meant
from simnet.faults.kinds import KINDS

__all__ = ["explain"]

LEVELS = {
    "failure": "a failure",
    "interrupted": "the run counts as interrupted (a failure with strict=True)",
    "noted": "noted (a failure for the kinds in survives=)",
    "warning": "a warning",
}


# Where a sweep that names no kinds tries those that dice do not draw.
_BY_DEFAULT = {
    "preempt": "where a program has threads",
    "strangers": "before the first client of each listener of a target, two listeners at most",
    "blackhole": "for each server, behind the first byte of its first answer and of up to five later pieces",
    "unreachable": "where the outcome is the same when the connection is refused",
    "connect-timeout": "where the outcome is the same when the connection is refused, and another server is tried",
}


def explain(word: str | None) -> int:
    """Tell what *word* means; without one, which words there are.

    Raises:
        Refused: it is none.
    """
    screen = Screen()
    if word is None:
        for title, words in _words():
            screen.title(title)
            screen.paragraph(", ".join(words))
        return 0
    name = word.strip("[]").removeprefix("simnet.").removeprefix("faults.")
    name = _SPELT.get(name.lower(), name)
    rows = list(_rows(name))
    if not rows:
        known = dict.fromkeys(each for _, words in _words() for each in words)
        raise Refused(f"{word!r} is no word of a report{meant(name, known)}")
    screen.title(name)
    for label, text in rows:
        if text:
            screen.say(line_of(label, text.replace("`", "").replace("*", ""), "", screen.width))
    return 0


_SPELT = {each.lower(): each for each in (*HAPPENS, *INVARIANTS, *BEYOND, *SUMMED_UP, *KINDS)} | {
    kind.__name__.lower(): name
    for name, kind in KINDS.items()  # as plans in Python have them
}


def _words() -> Iterator[tuple[str, list[str]]]:
    yield "What a verdict is about", [name for name in HAPPENS if name != "broken"]
    yield "What is always checked", list(INVARIANTS)
    yield "Beyond the bounds of a run", list(BEYOND)
    yield "Words of a summary", list(SUMMED_UP)
    yield "Kinds of fault", list(KINDS)


def _rows(name: str) -> Iterator[tuple[str, str]]:
    if name in HAPPENS and name != "broken":
        happening = HAPPENS[name]
        only, disruptive = (LEVELS[level] for level in TABLE[name])
        yield "what", f"{happening.who}: {happening.what}"
        if name in INVARIANTS:
            yield "example", INVARIANTS[name].example
            yield "told", INVARIANTS[name].told
        both = f"{only}, whatever fault fired"
        yield (
            "verdict",
            both if only == disruptive else f"{only} while only transparent faults fired; else {disruptive}",
        )
        yield "to do", happening.remedy
    elif name in INVARIANTS:
        invariant = INVARIANTS[name]
        yield "rule", invariant.rule
        yield "example", invariant.example
        yield "told", invariant.told
        yield "verdict", f"{LEVELS[level_of(name)]}, whatever fault fired"
        yield "to do", invariant.remedy
        yield "off where", invariant.meant
    elif (beyond := BEYOND.get(name) or SUMMED_UP.get(name)) is not None:
        yield "what", beyond.what
        yield "to do", beyond.remedy
    elif name in KINDS:
        kind = KINDS[name]
        yield "fault", (kind.__doc__ or "").partition("\n")[0]
        yield "class", "transparent" if kind.transparent else "disruptive"
        if not kind.drawn:
            where = _BY_DEFAULT.get(name)
            tried = f"a sweep tries it {where}; else it is" if where else "no sweep tries it by default:"
            yield "asked", f'{tried} kinds=["{name}"], or a plan'
    if name in INVARIANTS:
        yield "level", f'invariants={{"{name}": "failure"}}, or "warning", or "off: why"'
