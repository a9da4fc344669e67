"""From what a person types to what is meant: a test named by its file, kinds of fault separated by commas, hosts."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.explore.parameters import network_parameter, refuse
from simnet.faces.marks import SWEEP_OPTIONS, marked_options, marks_of
from simnet.faces.refusals import Refused
from simnet.faces.rewriting import rewriting
from simnet.faults.kinds import DISRUPTIVE, TRANSPARENT, WHOLE, drawn, kind_classes
from simnet.project.nodeid import NO_PYTHON, NeedsConftest, NodeId, beside, no_python, project_root
from simnet.project.setups import set_up_by, set_up_by_conftest
from simnet.project.typed import pytest_command
from simnet.scenario import Scenario, ScenarioError, load_test

__all__ = ["Named", "NeedsPytest", "hosts_of", "kinds_of", "named_test", "named_tests", "test_of"]

_SWEEP_IT = "Run it with pytest: {command}, with --simnet-runs, --simnet-kinds and --simnet-replay FILE"


class NeedsPytest(Refused):
    """The test has fixtures, parameters, a set-up or a ``conftest.py``, which nobody else provides."""


@dataclass(frozen=True)
class Named:
    """A test that somebody named: what ``play`` takes, and where it stands."""

    id: str
    root: Path
    test: Callable[[Any], object]
    options: SweepOptions
    node: NodeId
    swept: bool = True
    """Whether it is decorated, and so a test of pytest's; else a function of a network."""
    around: str = ""
    """The autouse fixture of a ``conftest.py`` that pytest sets up around it, and nobody else."""

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """While it lasts, the test's own imports lead where they do under pytest."""
        with _at_home(self.root, self.node):
            yield


def kinds_of(text: str) -> tuple[str, ...]:
    """``"reset,eof"`` as names of kinds; ``transparent`` and ``disruptive`` stand for those of theirs that are tried unasked.

    Raises:
        ValueError: there is no such kind, with what was probably meant.
    """
    names: list[str] = []
    for word in (part.strip() for part in text.split(",")):
        if word in WHOLE:
            names += [name for name in WHOLE[word] if drawn(name)]
        elif word:
            names += [kind.kind for kind in kind_classes([word])]
    if not names:
        raise ValueError(f"{text!r} names no kind of fault; there are {', '.join((*TRANSPARENT, *DISRUPTIVE))}")
    return tuple(dict.fromkeys(names))


def hosts_of(names: Sequence[str]) -> tuple[str, ...] | None:
    """The hosts under test that an option named once or several times; None if it was not given.

    Raises:
        ValueError: one that no host can be called, with how to name several.
    """
    for name in names:
        if not name or "," in name:
            more = "; of several each takes an option of its own" if name else ""
            raise ValueError(f"{name!r} is no host's name{more}")
    return tuple(names) or None


def named_test(text: str, remedy: str = _SWEEP_IT) -> Named:
    """The test that *text* names, as ``tests/test_echo.py::test_echo`` seen from the current folder.

    *remedy* is told of a test that pytest alone can run, with its ``{command}``.

    Raises:
        Refused: no such file or test, or one that pytest alone can run; with the remedy.
    """
    file, separator, names = text.partition("::")
    if not separator:
        raise Refused(
            f"{text} names a file and no test; write {text}::{next(iter(_swept_in(_file(text))), 'test_name')}"
        )
    path = _file(file)
    root = _root(path)
    return _bound(Scenario(test=f"{path.relative_to(root).as_posix()}::{names}"), root, remedy)


def named_tests(text: str, remedy: str = _SWEEP_IT) -> tuple[list[Named], str]:
    """The test that *text* names, or all swept tests of the file that it names; and what to say of those that pytest alone can run.

    Raises:
        Refused: as `named_test`, or there is no swept test in the file, or none that anybody else can run.
    """
    if "::" in text:
        return [named_test(text, remedy)], ""
    path = _file(text)
    root = _root(path)
    place = path.relative_to(root).as_posix()
    found, left = [], []
    for name in _swept_in(path, remedy):
        try:
            found.append(_bound(Scenario(test=f"{place}::{name}"), root, remedy))
        except NeedsPytest as error:
            left.append(str(error))
    if left and not found:
        raise NeedsPytest("\n".join(left))
    if not found:
        raise Refused(
            f"{text} holds no test decorated with @simnet.sweep; name a function of a network: {text}::test_name"
        )
    return found, "\n".join(left)


def test_of(scenario: Scenario, path: Path, remedy: str) -> Named:
    """The test that the scenario in the file *path* is about, with the targets that the scenario names.

    *remedy* is told of one that pytest alone can run, with its ``{command}``, which plays the file.

    Raises:
        Refused: pytest alone can run it.
        ScenarioError: it is not there, or cannot be imported.
    """
    return _bound(scenario, project_root(path), remedy, path)


def _bound(scenario: Scenario, root: Path, remedy: str, file: Path | None = None) -> Named:
    node = scenario.node
    with _at_home(root, node):
        command = pytest_command(scenario.test, root, file)
        function = _loaded(scenario, root, remedy.format(command=command))
        options = getattr(function, "simnet_options", None)
        swept = options is not None
        holders = _holders(scenario, root)
        if why := _why_pytest(function, swept, scenario, holders):
            how = "" if swept else _how_to_sweep(function)
            raise NeedsPytest(f"{scenario.test} {why}. {how or remedy.format(command=command)}")
        around = set_up_by_conftest(node.path(root), root) if swept else ""
        if around and file is not None:  # a verdict on what is kept is that of the test as it was found
            raise NeedsPytest(
                f"{scenario.test} is set up by {around}, which pytest calls. {remedy.format(command=command)}"
            )
        try:
            refuse(function)
        except TypeError as error:
            raise Refused(str(error)) from error
        test = _bind(function) if swept else function
        chosen = _marked(options if options is not None else SweepOptions(), function, scenario, holders)
    if getattr(function, "simnet_first_seed", None) is not None:
        chosen = replace(chosen, runs=None)  # what it has is a number of seeds, and says nothing of a sweep
    if scenario.target:
        chosen = chosen.but(target=scenario.target)
    return Named(scenario.test, root, test, chosen, node, swept, around)


@contextmanager
def _at_home(root: Path, node: NodeId) -> Iterator[None]:
    with beside(root, node), rewriting(root / node.file, root):
        yield


def _loaded(scenario: Scenario, root: Path, remedy: str) -> Callable[..., Any]:
    """The test. What its file prints while it is imported is no part of what a command tells, to a program least of all."""
    with redirect_stdout(sys.stderr):
        try:
            return load_test(scenario, root)
        except ScenarioError as error:
            if isinstance(error.__cause__, NeedsConftest):
                raise NeedsPytest(f"{error}. {remedy}") from error
            raise


def _holders(scenario: Scenario, root: Path) -> list[Any]:
    """The test's module, and the classes that it is in: where marks for it may be."""
    holders: list[Any] = [scenario.node.module(root)]
    for name in scenario.node.names[:-1]:
        holders.append(getattr(holders[-1], name, None))
    return holders


def _marked(options: SweepOptions, function: Any, scenario: Scenario, holders: Sequence[Any]) -> SweepOptions:
    """*options* as the marks on the test, its classes and its module change them."""
    try:
        marked = marked_options(marks_of(function, holders), scenario.test, SWEEP_OPTIONS)
    except ValueError as error:
        raise Refused(str(error)) from error
    try:
        return options.but(**marked)
    except (TypeError, ValueError) as error:
        raise Refused(f"{scenario.test}: @pytest.mark.simnet: {error}") from error


def _bind(function: Any) -> Callable[[Any], object]:
    owner = getattr(function, "__self__", None)
    bound: Callable[[Any], object] = function.simnet_bind() if owner is None else function.simnet_bind(owner)
    return bound


def _why_pytest(function: Callable[..., Any], swept: bool, scenario: Scenario, holders: Sequence[Any]) -> str:
    """What the test needs that pytest alone does for it; "" if nothing."""
    if getattr(function, "is_hypothesis_test", False):  # its examples are its own, and each has its networks
        return "is given its examples by hypothesis"
    if wanted := _needed(function, 0 if swept else 1, scenario):
        return f"takes {', '.join(wanted)}, which pytest provides"
    if used := [each for mark in marks_of(function, holders, "usefixtures") for each in mark.args]:
        return f"uses {', '.join(map(str, used))}, which pytest provides"
    for word in ("skip", "skipif", "xfail"):
        if any(True for _ in marks_of(function, holders, word)):
            return f"is marked {word}, which pytest goes by"
    if before := set_up_by(function):
        return f"is set up by {before}, which pytest calls"
    if not swept and not _takes_a_network(function):
        if _makes_networks(function):
            return "takes no network: it sweeps by itself, with the options that pytest is given"
        return "takes no network"
    return ""


def _how_to_sweep(function: Callable[..., Any]) -> str:
    """What to do about a function that pytest, too, would make nothing of; "" if it would."""
    given = list(inspect.signature(function).parameters)
    if getattr(function, "is_hypothesis_test", False) or "simnet_network" in given:
        return ""
    if _takes_a_network(function):
        return "Decorate it with @simnet.sweep: then pytest gives it a network, and these, too"
    if _makes_networks(function):
        return ""
    return f"Give it one, def {function.__name__}(net), and decorate it with @simnet.sweep"


def _makes_networks(function: Callable[..., Any]) -> bool:
    """Whether it sweeps, or enters a network, by itself, as far as its code says."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code is None or any(name in code.co_names for name in ("simnet", "check", "play", "Network"))


def _takes_a_network(function: Callable[..., Any]) -> bool:
    try:
        network_parameter(function)
    except TypeError:
        return False
    except ValueError:
        pass  # it does not say what it takes
    return True


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
    if not text:
        raise Refused("no file is named; name a test, as in tests/test_echo.py::test_echo")
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


def _swept_in(path: Path, remedy: str = "") -> list[str]:
    """What is decorated with ``@simnet.sweep`` where pytest looks for tests, named as it names them.

    *remedy* is told of a file that pytest alone can import, with its ``{command}``.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except NO_PYTHON as error:
        raise Refused(no_python(path, error)) from error
    if not any(_may_be_test(each) for each in ast.walk(tree)):
        return []  # to import a program is to start it
    root = _root(path)
    node = NodeId(path.relative_to(root).as_posix(), ())
    with _at_home(root, node), redirect_stdout(sys.stderr):
        try:
            return list(_swept(node.module(root)))
        except NeedsConftest as error:
            how = remedy.format(command=pytest_command(node.file, root))
            raise Refused(f"{error}. {how}" if how else str(error)) from error
        except ValueError as error:
            raise Refused(str(error)) from error


def _may_be_test(node: ast.AST) -> bool:
    """Whether a part of a file may be, or bring, a test: it is decorated, or called like one."""
    if getattr(node, "decorator_list", None):
        return True
    name = getattr(node, "name", None) or getattr(node, "id", None)
    return isinstance(name, str) and name.lower().startswith(("test", "*"))


def _swept(owner: Any) -> Iterator[str]:
    """The swept functions of a module, and the methods of its test classes, inherited ones too."""
    spaces = [vars(each) for each in reversed(owner.__mro__)] if isinstance(owner, type) else [vars(owner)]
    for name in dict.fromkeys(name for space in spaces for name in space):
        value = inspect.getattr_static(owner, name)  # a proxy may raise whatever it likes when it is asked
        if inspect.isfunction(value):
            if hasattr(value, "simnet_options"):
                yield name
        elif isinstance(value, type) and _collected(name, value):
            yield from (f"{name}::{each}" for each in _swept(value))


def _collected(name: str, kind: type) -> bool:
    """Whether pytest, as it comes, looks for tests in the class."""
    from unittest import TestCase

    if not getattr(kind, "__test__", True):
        return False
    if issubclass(kind, TestCase):
        return True
    # One that is made in a way of its own may want arguments, and pytest gives none.
    plain = kind.__init__ is object.__init__ and kind.__new__ is object.__new__
    return plain and name.startswith("Test")
