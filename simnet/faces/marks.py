"""What marks say about a test, ``simnet`` above all: for pytest, which finds them, and for a command, which looks in the same places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.faults.fields import meant

__all__ = ["NETWORK_OPTIONS", "SWEEP_OPTIONS", "marked_options", "marks_of"]

# What the marker may say of a network that a test holds itself; the rest of SweepOptions is for sweeps alone.
NETWORK_OPTIONS = ("plan", "target", "seed", "rates", "invariants", "may_raise", "per_process")
SWEEP_OPTIONS = tuple(each.name for each in fields(SweepOptions))


def marked_options(marks: Iterable[Any], test: str, only: Sequence[str]) -> dict[str, Any]:
    """Of the options of all *marks*, the nearest to *test* first, those that are among *only*; the nearest wins.

    Raises:
        ValueError: a mark has arguments without a name, or an option that is none.
    """
    options: dict[str, Any] = {}
    for mark in reversed(list(marks)):
        if mark.args:
            raise ValueError(f"{test}: @pytest.mark.simnet takes keywords alone, and was given {mark.args!r}")
        options.update(mark.kwargs)
    known = {*NETWORK_OPTIONS, *SWEEP_OPTIONS}
    for name in options:
        if name not in known:
            raise ValueError(f"{test}: @pytest.mark.simnet has no option {name!r}{meant(name, sorted(known))}")
    return {name: value for name, value in options.items() if name in only}


def marks_of(function: Any, holders: Sequence[Any], name: str = "simnet") -> Iterator[Any]:
    """The marks of that *name* on *function* and on its *holders*, the module and its classes, the nearest first, as pytest finds them.

    What a ``conftest.py`` marks is not seen: pytest alone reads it.
    """
    for holder in (function, *reversed(holders)):
        spaces = [vars(each) for each in holder.__mro__] if isinstance(holder, type) else [_attributes(holder)]
        for space in spaces:
            found = space.get("pytestmark", ())
            for each in found if isinstance(found, list | tuple) else (found,):
                mark = getattr(each, "mark", each)  # what decorates holds the mark
                if getattr(mark, "name", "") == name:
                    yield mark


def _attributes(holder: Any) -> dict[str, Any]:
    """A bound method has those of its function."""
    return getattr(getattr(holder, "__func__", holder), "__dict__", {})
