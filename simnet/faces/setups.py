"""What only pytest calls before a test: set-up methods and functions, autouse fixtures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import getattr_static
from typing import Any

__all__ = ["set_up_by"]

_OF_CLASSES = ("setUp", "setUpClass", "setup_method", "setup_class")
_OF_MODULES = ("setUpModule", "setup_module", "setup_function")


def set_up_by(function: Callable[..., Any]) -> str:
    """Who sets the test up before it runs, such as ``TestEcho.setUp``; empty if nobody does.

    What a ``conftest.py`` brings is not seen: pytest alone reads it.
    """
    owner = getattr(function, "__self__", None)
    if owner is not None:
        kind = owner if isinstance(owner, type) else type(owner)
        for each in kind.__mro__:
            if each.__module__.partition(".")[0] not in ("builtins", "unittest"):  # a TestCase has an empty setUp
                for name in _set_ups(vars(each), _OF_CLASSES):
                    return f"{each.__name__}.{name}"
    module = sys.modules.get(getattr(function, "__module__", ""))
    functions = _OF_MODULES if owner is None else _OF_MODULES[:2]
    return next(_set_ups(vars(module), functions), "") if module is not None else ""


def _set_ups(names: Mapping[str, object], known: tuple[str, ...]) -> Iterator[str]:
    for name, value in names.items():
        # Where pytest notes what a fixture is: on an object of its own, before 8.4 on the function. Nothing else in the
        # file is asked: flask's `request` raises outside of a request, whatever the attribute.
        marker = getattr_static(value, "_fixture_function_marker", None) or getattr_static(
            value, "_pytestfixturefunction", None
        )
        if name in known or getattr(marker, "autouse", False) is True:
            yield name
