"""Exceptions that go nowhere, of which an interpreter tells ``sys.unraisablehook``."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

__all__ = ["hand_on", "is_a_programs"]


def is_a_programs(hook: Any, default: Any) -> bool:
    """Whether the program has set this *hook*: neither is it Python's *default*, nor pytest's."""
    if hook is default:
        return False
    module = getattr(getattr(hook, "func", hook), "__module__", None)  # None: a method in C, as that of a list
    return not str(module).startswith("_pytest")


def hand_on(error: BaseException, message: str, thing: Any) -> None:
    """Tell the hook of *error*, in CPython's words, and of what raised it."""
    told: Any = SimpleNamespace(
        exc_type=type(error), exc_value=error, exc_traceback=error.__traceback__, err_msg=message, object=thing
    )
    sys.unraisablehook(told)
