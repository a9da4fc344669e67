"""pytest's fixture ``subtests``, of pytest 9 or a plugin: in a run of a sweep, what is raised in a subtest is passed on, as ``subTest``'s is.

By itself it reports each failure at once, and goes on: one in each of the runs in which a fault has rightly interrupted the test, and none
of them comes to the verdict.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = ["passing_on"]

KINDS = {("_pytest.subtests", "Subtests"), ("pytest_subtests.plugin", "SubTests")}


class _PassesOn:
    """In the place of the fixture's value, which has no more than this."""

    __slots__ = ()

    def test(self, msg: str | None = None, **_: Any) -> AbstractContextManager[None]:
        """A part of the test, by a name that is for who reads it."""
        return nullcontext()


def passing_on(value: Any) -> Any:
    """*value* of a fixture, or what passes on what is raised in its subtests."""
    kind = type(value)
    return _PassesOn() if (kind.__module__, kind.__name__) in KINDS else value
