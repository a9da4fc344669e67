"""docs/reference/dispatch.md has every public name, and the defaults that the code has."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import dispatch
from dispatch.statistics import ListenerStatistics, StreamStatistics

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "dispatch.md").read_text()
CLASSES = [
    dispatch.Loop, dispatch.Listener, dispatch.Stream, dispatch.Chat, dispatch.Datagram, dispatch.Pipe,
    dispatch.Dispatcher, StreamStatistics, ListenerStatistics,
]  # fmt: skip


def shown(value: object) -> str:
    if isinstance(value, bytes):
        return repr(value).replace("'", '"')
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_public_name_is_on_the_page(kind: type) -> None:
    names = [name for name in dir(kind) if not name.startswith("_") and name not in dir(tuple)]

    assert [name for name in names if not any(f"{quote}{name}" in PAGE for quote in ("`", "`."))] == []


@pytest.mark.parametrize("kind", [dispatch.Stream, dispatch.Chat, dispatch.Datagram])
def test_every_default_is_the_codes(kind: type) -> None:
    defaults = {
        name: value
        for each in kind.__mro__
        for name, value in vars(each).items()
        if not name.startswith("_") and not callable(value) and not hasattr(value, "__get__")
    }
    rows = {row.split("|")[1].strip(): row.split("|")[2].strip() for row in PAGE.splitlines() if row.count("|") == 4}

    assert len(defaults) >= 2
    assert {name: rows.get(f"`{name}`", "").strip("`") for name in defaults} == {
        name: shown(value) for name, value in defaults.items()
    }


@pytest.mark.parametrize("kind", [dispatch.Chat, dispatch.Datagram, dispatch.Pipe, dispatch.Dispatcher])
def test_a_handler_may_call_what_it_is_given_as_it_likes(kind: type) -> None:
    """Some type checkers ask an overriding method for the names of the overridden one, but for those that are positional."""
    for name in dir(kind):
        if name.startswith("handle_"):
            _, *parameters = inspect.signature(getattr(kind, name)).parameters.values()
            assert all(each.kind is each.POSITIONAL_ONLY for each in parameters), name
