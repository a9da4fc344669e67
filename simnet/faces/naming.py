"""From what a person types to what is meant: a test named by its file, kinds of fault with commas between."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.faces.refusals import Refused
from simnet.faults.kinds import DISRUPTIVE, TRANSPARENT, WHOLE, kind_classes, playable
from simnet.nodeid import NodeId, beside, project_root
from simnet.scenario import Scenario, load_test

__all__ = ["Named", "NeedsPytest", "kinds_of", "named_test", "named_tests", "test_of"]


class NeedsPytest(Refused):
    """The test has fixtures or parameters, which nobody else provides."""


@dataclass(frozen=True)
class Named:
    """A test that somebody named: what ``play`` takes, and where it stands."""

    id: str
    root: Path
    test: Callable[[Any], object]
    options: SweepOptions
    node: NodeId

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """While it lasts, the test's own imports lead where they do under pytest."""
        with beside(self.root, self.node):
            yield


def kinds_of(text: str) -> tuple[str, ...]:
    """``"reset,eof"`` as names of kinds; ``transparent`` and ``disruptive`` stand for those of theirs that can be played.

    Raises:
        ValueError: there is no such kind, with what was probably meant.
    """
    names: list[str] = []
    for word in (part.strip() for part in text.split(",")):
        if word in WHOLE:
            names += [name for name in WHOLE[word] if playable(name)]
        elif word:
            names += [kind.kind for kind in kind_classes([word])]
    if not names:
        raise ValueError(f"{text!r} names no kind of fault; there are {', '.join((*TRANSPARENT, *DISRUPTIVE))}")
    return tuple(dict.fromkeys(names))


def named_test(text: str) -> Named:
    """The test that *text* names, as ``tests/test_echo.py::test_echo`` seen from the current folder.

    Raises:
        Refused: no such file or test, or one that pytest alone can run; with the remedy.
    """
    file, separator, names = text.partition("::")
    if not separator:
        raise Refused(f"{text} names a file and no test; write {text}::test_name")
    path = _file(file)
    root = _root(path)
    return _bound(Scenario(test=f"{path.relative_to(root).as_posix()}::{names}"), root)


def named_tests(text: str) -> list[Named]:
    """The test that *text* names, or all swept tests of the file that it names.

    Raises:
        Refused: as `named_test`, or there is no swept test in the file.
    """
    if "::" in text:
        return [named_test(text)]
    path = _file(text)
    root = _root(path)
    place = path.relative_to(root).as_posix()
    found = [_bound(Scenario(test=f"{place}::{name}"), root) for name in _swept(place, path, root)]
    if not found:
        raise Refused(
            f"{text} holds no test decorated with @simnet.sweep; name a function of a network: {text}::test_name"
        )
    return found


def test_of(scenario: Scenario, path: Path) -> Named:
    """The test that the scenario in the file *path* is about, with the targets that the scenario names.

    Raises:
        Refused: pytest alone can run it.
        ScenarioError: it is not there, or cannot be imported.
    """
    return _bound(scenario, project_root(path))


def _bound(scenario: Scenario, root: Path) -> Named:
    node = scenario.node
    with beside(root, node):
        function = load_test(scenario, root)
        options = getattr(function, "simnet_options", None)
        swept = options is not None
        wanted = _needed(function, 0 if swept else 1, scenario)
        if wanted:
            raise NeedsPytest(
                f"{scenario.test} takes {', '.join(wanted)}, which pytest provides. Run it with pytest: "
                f"pytest {scenario.test}, with --simnet-runs, --simnet-kinds and --simnet-replay FILE."
            )
        test = _bind(function) if swept else function
    chosen = options if options is not None else SweepOptions()
    if scenario.target:
        chosen = chosen.but(target=scenario.target)
    return Named(scenario.test, root, test, chosen, node)


def _bind(function: Any) -> Callable[[Any], object]:
    owner = getattr(function, "__self__", None)
    bound: Callable[[Any], object] = function.simnet_bind() if owner is None else function.simnet_bind(owner)
    return bound


def _needed(function: Callable[..., Any], given: int, scenario: Scenario) -> list[str]:
    """The parameters of *function* beyond the *given* ones that have to be filled."""
    if scenario.node.parameters:
        return [f"parameters [{scenario.node.parameters}]"]
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
    places = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [each.name for each in parameters[given:] if each.default is each.empty and each.kind not in places]


def _file(text: str) -> Path:
    path = Path(text)
    if path.is_dir():
        raise Refused(f"{text} is a folder; name a test file in it, as in {text.rstrip('/')}/test_echo.py::test_echo")
    if not path.is_file():
        there = sorted(each.name for each in path.parent.glob("test_*.py")) if path.parent.is_dir() else []
        hint = f"; there is {', '.join(there[:5])}" if there else ""
        raise Refused(f"{text}: there is no such file{hint}")
    if path.suffix != ".py":
        raise Refused(f"{text} is no Python file; name a test, as in tests/test_echo.py::test_echo")
    return path.resolve()


def _root(path: Path) -> Path:
    try:
        return project_root(path)
    except ValueError as error:
        raise Refused(str(error)) from error


def _swept(place: str, path: Path, root: Path) -> list[str]:
    """The names of the module's functions that are decorated with ``@simnet.sweep``."""
    import ast

    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise Refused(f"{path}:{error.lineno} is no Python: {error.msg}") from error
    functions = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
    loaded = []
    for name in functions:
        scenario = Scenario(test=f"{place}::{name}")
        with beside(root, scenario.node):
            if hasattr(load_test(scenario, root), "simnet_options"):
                loaded.append(name)
    return loaded
