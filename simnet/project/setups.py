"""What only pytest calls before a test: set-up methods and functions, autouse fixtures. And what else an object may have that its class has not."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import getattr_static
from pathlib import Path
from typing import Any

__all__ = ["has_been_told_more", "set_up_by", "set_up_by_conftest"]

_OF_CLASSES = ("setUp", "setUpClass", "setup_method", "setup_class")
_OF_MODULES = ("setUpModule", "setup_module", "setup_function")


def set_up_by(function: Callable[..., Any]) -> str:
    """Who sets the test up before it runs, such as ``TestEcho.setUp``; empty if nobody does.

    What a ``conftest.py`` brings is not seen here, but by `set_up_by_conftest`.
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


def has_been_told_more(function: Callable[..., Any]) -> bool:
    """Is *function* a method of an object that knows more than a new one of its class: by its arguments, or by what was written to it since?"""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, type):
        return False
    cls, unittest = type(owner), sys.modules.get("unittest.case")
    if unittest is not None and isinstance(owner, unittest.TestCase):
        return not vars(owner).keys() <= vars(unittest.TestCase()).keys()
    if cls.__init__ is object.__init__:
        return bool(getattr(owner, "__dict__", None))
    try:
        return len(inspect.signature(cls.__init__).parameters) > 1
    except ValueError:
        return True  # it is written in C


def set_up_by_conftest(test: Path, root: Path) -> str:
    """The autouse fixture of a ``conftest.py`` from the file *test* up to *root*, such as ``environment in tests/conftest.py``; or "".

    The file is read and not run: pytest alone runs it. A fixture that it imports is not seen.
    """
    for folder in test.parents:
        if not folder.is_relative_to(root):
            break
        file = folder / "conftest.py"
        if name := _autouse(file):
            return f"{name} in {file.relative_to(root).as_posix()}"
    return ""


def _autouse(file: Path) -> str:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError):
        return ""  # there is none, or none that pytest could read
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(map(_is_autouse, node.decorator_list)):
            return node.name
    return ""


def _is_autouse(decorator: ast.expr) -> bool:
    """Whether it says ``autouse=True``, as ``pytest.fixture`` and what others have made of it take it."""
    return isinstance(decorator, ast.Call) and any(
        each.arg == "autouse" and isinstance(each.value, ast.Constant) and each.value.value is True
        for each in decorator.keywords
    )


def _set_ups(names: Mapping[str, object], known: tuple[str, ...]) -> Iterator[str]:
    for name, value in names.items():
        # Where pytest notes what a fixture is: on an object of its own, before 8.4 on the function. Nothing else in the
        # file is asked: flask's `request` raises outside of a request, whatever the attribute.
        marker = getattr_static(value, "_fixture_function_marker", None) or getattr_static(
            value, "_pytestfixturefunction", None
        )
        if name in known or getattr(marker, "autouse", False) is True:
            yield name
