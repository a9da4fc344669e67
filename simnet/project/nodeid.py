"""A test, named as pytest names it: ``tests/test_echo.py::test_echo``, and how to get from the name to the function.

The file's path is relative to the project's root, the nearest folder above with a ``pyproject.toml``. A name that does not exist is
detected without importing anything; what a test imports from its own folder is found as under pytest.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import itertools
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from traceback import walk_tb
from types import ModuleType
from typing import Any, Final, NamedTuple

from simnet.blame import user_place, users_own
from simnet.faults.fields import meant
from simnet.project.settings import told_pytest

__all__ = ["NO_PYTHON", "NeedsConftest", "NodeId", "beside", "no_python", "project_root"]

#: What the parser raises of a file: of a zero byte earlier Pythons say ValueError.
NO_PYTHON: Final = (SyntaxError, ValueError)

_FORM: Final = (
    "written 'tests/test_echo.py::test_echo', the file's path from the project's root and the function's name"
)
TESTS: Final = "test_"  # what the names of tests begin with, and so nothing by which two are alike
FOLDER_MAX: Final = 200  # bytes, before what tells one from another; with that and a suffix less than NAME_MAX, 255
# Folders nobody keeps tests in.
NOT_OURS: Final = ("__pycache__", "node_modules", "site-packages", "venv", "build", "dist")
SHOWN: Final = 3  # of the places of files by one name
FOLDERS_MAX: Final = 10_000  # a project has fewer; a home folder that somebody made one may have more

# By folder: its modules whose names another folder's have taken back.
_set_aside: dict[Path, dict[str, ModuleType]] = {}


class NeedsConftest(ValueError):
    """A file cannot be imported, and under pytest, which reads a ``conftest.py`` before it, perhaps it can."""


class NodeId(NamedTuple):
    """A file, the names that lead to a function in it, and the parameters pytest shows in brackets."""

    file: str
    names: tuple[str, ...]
    parameters: str = ""

    @classmethod
    def parse(cls, text: str) -> NodeId:
        """The test that *text* names.

        Raises:
            ValueError: malformed, or outside the project; with the remedy.
        """
        if not isinstance(text, str):
            # No TypeError: readers of files catch one error.
            raise ValueError(f"{text!r} is {type(text).__name__}; a test is a text, {_FORM}")
        file, separator, rest = text.partition("::")  # a folder's name may have a bracket, too
        if not separator:
            raise ValueError(f"{text!r} names no function; a test is {_FORM}")
        within, bracket, parameters = rest.partition("[")
        if bracket and not parameters.endswith("]"):
            raise ValueError(f"{text!r}: the bracket of its parameters is not closed at the end")
        path = PurePosixPath(file)
        if "\\" in file:
            raise ValueError(f"{text!r} has backslashes; paths are written with '/' on every machine")
        if path.is_absolute():
            raise ValueError(f"{text!r} begins with '/'; a test is {_FORM}")
        if ".." in path.parts:
            raise ValueError(
                f"{text!r} leads outside the project, whose own tests alone can be named; a test is {_FORM}"
            )
        if path.suffix != ".py":
            raise ValueError(f"{text!r}: {file!r} is no Python file; a test is {_FORM}")
        names = tuple(within.split("::"))
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"{text!r}: {name!r} is no name of a function or class; a test is {_FORM}")
        return cls(str(path), names, parameters[:-1])

    @property
    def folder(self) -> str:
        """What its folder is called where files about it are kept. A name that file systems would not take is cut, and told apart."""
        name = ".".join(self.names)
        if self.parameters:
            name = f"{name}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', self.parameters)}"
        raw = name.encode()
        if len(raw) <= FOLDER_MAX:
            return name
        return f"{raw[:FOLDER_MAX].decode(errors='ignore')}-{hashlib.sha256(raw).hexdigest()[:8]}"

    def path(self, root: Path) -> Path:
        """The file.

        Raises:
            ValueError: it is not there, or a link leads outside the project.
        """
        path = root / self.file
        if not path.is_file():
            there = sorted(each.name for each in path.parent.glob("*.py")) if path.parent.is_dir() else []
            nothing = (
                "no Python file is in that folder" if path.parent.is_dir() else f"there is no folder {path.parent}"
            )
            hint = (
                _moved(root, path.name)
                or _renamed(root, self)
                or (meant(path.name, there, TESTS) if there else f"; {nothing}")
            )
            raise ValueError(f"{str(self)!r}: there is no file {path}{hint}")
        if not path.resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{str(self)!r}: {path} is a link to {path.resolve()}, outside the project {root}")
        return path

    def check(self, root: Path) -> None:
        """Whether it can be there, without importing anything.

        Raises:
            ValueError: no such file, no such function; with what is there instead.
        """
        path = self.path(root)
        try:
            body = ast.parse(path.read_bytes(), str(path)).body
        except NO_PYTHON as error:
            raise ValueError(f"{str(self)!r}: {no_python(path, error)}") from error
        for depth, name in enumerate(self.names):
            names = _defined(body)
            if "*" in names:
                return  # what a star brings is known when it is imported
            if name not in names:
                where = f"class {self.names[depth - 1]} of {path}" if depth else str(path)
                functions = [each for each in names if names[each] is not None] or list(names)
                hint = _moved_within(root, self) or meant(name, functions, TESTS)
                raise ValueError(f"{str(self)!r}: there is no {name!r} in {where}{hint}")
            inner = names[name]
            if not isinstance(inner, ast.ClassDef):
                return
            if inner.bases:
                return  # it may be inherited
            body = inner.body

    def load(self, root: Path) -> Callable[..., Any]:
        """The function, its file imported as pytest would import it.

        Raises:
            ValueError: it cannot be imported (the cause is kept), or there is no such function.
        """
        path = self.path(root)
        with beside(root, self):
            found: Any = self.module(root)
            for depth, name in enumerate(self.names):
                if not depth and _broken_off(found, name, path):
                    found = self.module(root, again=True)
                if not hasattr(found, name):
                    if depth and not isinstance(found, type):
                        raise ValueError(
                            f"{str(self)!r}: {self.names[depth - 1]!r} in {path} is no class; nothing is in it"
                        )
                    hint = _moved_within(root, self) or meant(name, _callables(found), TESTS)
                    raise ValueError(f"{str(self)!r}: there is no {name!r} in {path}{hint}")
                found = self._instance(found, name) if depth and isinstance(found, type) else getattr(found, name)
        if isinstance(found, type):
            raise ValueError(f"{str(self)!r} is a class; name a method of it: {self}::test_name")
        if not callable(found):
            raise ValueError(f"{str(self)!r} is {type(found).__name__}, no function")
        return found  # type: ignore[no-any-return]  # callable is all there is to know

    def _instance(self, cls: type, name: str) -> Any:
        """A method as a test runner gets it, from an instance made for it alone."""
        import unittest

        try:
            instance = cls(name) if issubclass(cls, unittest.TestCase) else cls()
        except Exception as error:
            raise ValueError(
                f"{str(self)!r}: no {cls.__name__} can be made: {type(error).__name__}: {error}"
            ) from error
        return getattr(instance, name)

    def module(self, root: Path, again: bool = False) -> ModuleType:
        """The module of its file, imported as pytest would import it, or *again* beside one that is loaded; to be called inside `beside`.

        Raises:
            ValueError: it cannot be imported (the cause is kept); NeedsConftest, where pytest may do better.
        """
        path = self.path(root)
        try:
            return _executed(path.resolve()) if again else _module(path)
        except (Exception, SystemExit) as error:
            place = user_place(error)
            at = f" ({place.short})" if users_own(place.path) and place.short not in str(error) else ""
            told = f"{str(self)!r}: {path} cannot be imported: {type(error).__name__}: {error}{at}{_runs_itself(error)}"
            told += _in_src(error, root)
            conftest = _conftest(path, root)
            if conftest is not None:
                raise NeedsConftest(f"{told} (pytest alone reads {conftest})") from error
            raise ValueError(told) from error

    def __str__(self) -> str:
        text = "::".join((self.file, *self.names))
        return f"{text}[{self.parameters}]" if self.parameters else text


def no_python(path: Path, error: SyntaxError | ValueError) -> str:
    """What is wrong with a file that cannot be parsed; of bytes that are no text at all no line is known."""
    if not isinstance(error, SyntaxError):
        return f"{path} is no Python: {error}"
    return f"{path}{f':{error.lineno}' if error.lineno else ''} is no Python: {error.msg}"


def project_root(path: Path) -> Path:
    """The project that a file belongs to: the nearest folder above it with a ``pyproject.toml``.

    Where there is none, a failure belongs to the folder whose ``.simnet`` it lies in, a Python file to the one from which it is
    imported, and any other file to the one whose folder ``scenarios`` it lies in, or else to the nearest that holds a
    ``.simnet``. So a test in an empty folder can be swept, and what it failed by kept; that somebody has swept a test in a folder
    further up, such as one's home, makes no difference.

    Raises:
        ValueError: there is none of these.
    """
    above = path.resolve().parents
    for folder in above:
        if (folder / "pyproject.toml").exists():
            return folder
    for folder in above:
        if folder.name == ".simnet":
            return folder.parent
    if path.suffix == ".py":
        return _import_root(path)
    for folder in above:
        if folder.name == "scenarios":
            return folder.parent
    for folder in above:
        if (folder / ".simnet").exists():
            return folder
    raise ValueError(
        f"{path}: there is no pyproject.toml above it, which marks the project's root; an empty one will do"
    )


def _moved(root: Path, name: str) -> str:
    """Where files of that name are in the project, for a test that has moved; "" if there are none."""
    found = [file.relative_to(root).as_posix() for file in _files(root) if file.name == name]
    return f"; there is {', '.join(found[:SHOWN])}" if found else ""


def _renamed(root: Path, node: NodeId) -> str:
    """Which files of the project have such a test, for one whose file has another name now; "" if there are none."""
    tests = [file for file in _files(root) if file.suffix == ".py" and file.name.startswith(TESTS) and file.is_file()]
    written = re.compile(rb"^[ \t]*(?:async +)?(?:def|class) +" + node.names[0].encode() + rb"\b", re.MULTILINE)
    found = [file.relative_to(root).as_posix() for file in tests[:FOLDERS_MAX] if written.search(file.read_bytes())]
    found = [file for file in found if file != node.file]
    return f"; {node.names[0]!r} is in {', '.join(found[:SHOWN])}" if found else ""


def _moved_within(root: Path, node: NodeId) -> str:
    """Where in its file a function of that name is now, as in a class, or else in which other file; "" if there is none."""
    try:
        ways = list(_ways_to(node.names[-1], ast.parse((root / node.file).read_bytes()).body))
    except NO_PYTHON:
        return ""
    return f"; it is {node.file}::{ways[0]} now" if ways else _renamed(root, node)


def _ways_to(name: str, body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
            yield name
        elif isinstance(statement, ast.ClassDef):
            yield from (f"{statement.name}::{way}" for way in _ways_to(name, statement.body))


def _files(root: Path) -> Iterator[Path]:
    """The files of the project, without those that others have put there."""
    for folder, folders, files in itertools.islice(os.walk(root), FOLDERS_MAX):
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in NOT_OURS)
        yield from (Path(folder) / each for each in sorted(files))


@contextmanager
def beside(root: Path, node: NodeId) -> Iterator[None]:
    """For as long as it lasts, what stands beside the test's file can be imported, as under pytest.

    Modules of another folder that have the names of ours make room meanwhile: two stories may both have a ``server.py``.
    Play the test inside it too: tests import when they run.
    """
    folder = _import_root(root / node.file)
    there = dict.fromkeys(path.stem if path.suffix == ".py" else path.name for path in folder.iterdir())
    others = {name: module for name, module in sys.modules.items() if _stands_elsewhere(name, module, there, folder)}
    for name in others:
        del sys.modules[name]
    ours = _set_aside.setdefault(folder, {})
    sys.modules.update(ours)
    places = [str(folder), *_pythonpath(root)]
    sys.path[:0] = places
    try:
        yield
    finally:
        for place in places:
            if place in sys.path:
                sys.path.remove(place)  # the first of them, which is ours
        for name, module in others.items():
            mine = sys.modules.get(name)
            if mine is not None and mine is not module:
                ours[name] = mine
            sys.modules[name] = module


def _pythonpath(root: Path) -> list[str]:
    """What pytest's setting of that name puts on the path, where a project keeps its sources in a folder of their own."""
    return [str(root / each) for each in told_pytest(root, "pythonpath").entries]


def _stands_elsewhere(name: str, module: ModuleType | None, there: Collection[str], folder: Path) -> bool:
    """Whether a loaded module has the name of one in *folder*, where *there* is, and is not that one."""
    if module is None or name.partition(".")[0] not in there:
        return False
    file = _file(module)
    return file is not None and not file.is_relative_to(folder)


def _import_root(path: Path) -> Path:
    """The folder from which the file's module is imported: the first above it that is no package (pytest's *prepend*)."""
    folder = path.resolve().parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _module(path: Path) -> ModuleType:
    """The module of a file, by its own name if that leads there, else by one of its own."""
    path = path.resolve()
    name = ".".join(path.relative_to(_import_root(path)).with_suffix("").parts)
    importlib.invalidate_caches()
    loaded = sys.modules.get(name)
    if loaded is not None and _file(loaded) == path:
        return loaded
    if loaded is None:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == path:
            return importlib.import_module(name)
    # Another module has the name: two projects in one process, or a test called like an installed package.
    return _executed(path)


def _executed(path: Path) -> ModuleType:
    """The module of a file by a name of its own, beside what may have its usual one."""
    alias = f"{'.'.join(path.relative_to(_import_root(path)).with_suffix('').parts)}@{path}"
    if alias in sys.modules:
        return sys.modules[alias]
    spec = importlib.util.spec_from_file_location(alias, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def _broken_off(module: ModuleType, name: str, path: Path) -> bool:
    """Whether *module* lacks a *name* that its file defines: an import that failed half-way, which `--import-mode=importlib` leaves there."""
    return not hasattr(module, name) and name in _defined(ast.parse(path.read_bytes(), str(path)).body)


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _callables(owner: object) -> list[str]:
    return [name for name, value in vars(owner).items() if callable(value) and not name.startswith("__")]


def _defined(body: list[ast.stmt]) -> dict[str, ast.stmt | None]:
    """The names that statements bind at their level, with the definition of functions and classes; ``*`` if a star may bind more."""
    names: dict[str, ast.stmt | None] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[statement.name] = statement
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            for alias in statement.names:
                names[alias.asname or alias.name.partition(".")[0]] = None
        else:
            for node in ast.walk(statement):  # if, try, with, for: whatever they bind may be bound
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    names[node.name] = node
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names[node.id] = None
                elif isinstance(node, ast.Import | ast.ImportFrom):
                    for alias in node.names:
                        names[alias.asname or alias.name.partition(".")[0]] = None
    return names


def _runs_itself(error: BaseException) -> str:
    """What to say of a file that sweeps or plays when it is imported, as a script does."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    doors = {(os.path.join(folder, "explore", "check.py"), "check"), (os.path.join(folder, "run.py"), "play")}
    codes = (frame.f_code for frame, _ in walk_tb(error.__traceback__))
    if any((code.co_filename, code.co_name) in doors for code in codes):  # a decorator there refuses its options
        return '; it sweeps when it is imported: put that below `if __name__ == "__main__":`'
    return ""


def _in_src(error: BaseException, root: Path) -> str:
    """What to say of a module of the project's own that its tests do not find, for it lies in the folder ``src``."""
    name = getattr(error, "name", None)
    if not isinstance(error, ModuleNotFoundError) or not name or "." in name:  # of 'package.part' the package was found
        return ""
    if (root / "src" / name).is_dir() or (root / "src" / f"{name}.py").is_file():
        return '; it is in src: install the project (pip install -e .), or give pytest pythonpath = ["src"]'
    return ""


def _conftest(path: Path, root: Path) -> Path | None:
    """A ``conftest.py`` that may have made the difference."""
    for folder in path.parents:
        if (folder / "conftest.py").is_file():
            return folder / "conftest.py"
        if folder == root:
            break
    return None
