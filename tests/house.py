"""How `test_house.py` reads the house: every source file as a syntax tree, its imports, its sets, its reach outside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

OPENING = re.compile(r'(?:#[^\n]*\n)*r?"""(.*?)"""', re.DOTALL)
# Calls whose answer is the same in whatever order they are fed, and the sets' own ways to be asked.
ORDER_FREE = {"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"}
ORDER_SHOWS = {
    "dict",
    "enumerate",
    "iter",
    "list",
    "map",
    "next",
    "reversed",
    "tuple",
    "zip",
    "deque",
    "join",
    "extend",
}


@dataclass(frozen=True)
class Import:
    """One name a file imports: ``target`` is a module, or a name within one."""

    target: str
    line: int
    lazy: bool  # inside a function
    typing_only: bool  # under `if TYPE_CHECKING`


@dataclass(frozen=True)
class Use:
    """A place where a name of a module is used: ``time.monotonic``, and whether at import or when a function runs."""

    name: str
    line: int
    at_import: bool


class Room:
    """One source file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = path.relative_to(ROOT)
        parts = self.place.with_suffix("").parts
        self.is_face = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if self.is_face else parts)

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def opening(self) -> str:
        """The file's own docstring, as it is written: most of the files are not read any further."""
        found = OPENING.match(self.text)
        return found[1] if found else ""

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.place))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return [self.tree, *self.parents]

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        """Of each node but the first, in the order of `ast.walk`: the two at once, for to look at all children takes longest."""
        found: dict[ast.AST, ast.AST] = {}
        nodes: list[ast.AST] = [self.tree]
        for node in nodes:
            for child in ast.iter_child_nodes(node):
                found[child] = node
                nodes.append(child)
        return found

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def at(self, line: int) -> str:
        """``simnet/wait.py:31: from simnet.trace import Trace``, for a message."""
        return f"{self.place}:{line}: {self.lines[line - 1].strip()}"

    # ---- imports ----------------------------------------------------------------------------------------------------

    @cached_property
    def _import_nodes(self) -> list[ast.Import | ast.ImportFrom]:
        return [node for node in self.nodes if isinstance(node, ast.Import | ast.ImportFrom)]

    @cached_property
    def imports(self) -> list[Import]:
        found = []
        for node in self._import_nodes:
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                base = self._base(node)
                targets = [f"{base}.{alias.name}" for alias in node.names]
            above = list(self.ancestors(node))
            lazy = any(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in above)
            typing_only = any(isinstance(one, ast.If) and "TYPE_CHECKING" in ast.unparse(one.test) for one in above)
            found += [Import(target, node.lineno, lazy, typing_only) for target in targets]
        return found

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        package = package[: len(package) - node.level + (1 if self.is_face else 0)]
        return ".".join(package + ([node.module] if node.module else []))

    # ---- names of other modules ---------------------------------------------------------------------------------------

    @cached_property
    def _attributes(self) -> list[tuple[str, ast.Attribute]]:
        """Every ``name.attribute``, with the name."""
        dotted = [node for node in self.nodes if isinstance(node, ast.Attribute)]
        return [(node.value.id, node) for node in dotted if isinstance(node.value, ast.Name)]

    def uses(self, module: str) -> Iterator[Use]:
        """Each use of a name of *module*, by whatever alias; a ``from`` import counts as a use of each name at import."""
        aliases = set()
        for node in self._import_nodes:
            if isinstance(node, ast.Import):
                aliases |= {alias.asname or alias.name for alias in node.names if alias.name == module}
            elif not node.level and node.module == module:
                for alias in node.names:
                    yield Use(alias.name, node.lineno, at_import=True)
        for name, node in self._attributes:
            if name in aliases:
                yield Use(node.attr, node.lineno, self._at_import(node))

    def _at_import(self, node: ast.AST) -> bool:
        """Evaluated when the module is imported: neither in a function's body nor in an annotation."""
        child = node
        for parent in self.ancestors(node):
            if isinstance(parent, ast.AnnAssign | ast.arg) and parent.annotation is child:
                return False
            if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and (
                child in parent.body or parent.returns is child
            ):
                return False
            if isinstance(parent, ast.Lambda) and parent.body is child:
                return False
            child = parent
        return True

    # ---- sets -----------------------------------------------------------------------------------------------------------

    @cached_property
    def set_names(self) -> set[str]:
        """Names and attributes that this file annotates as sets or fills with one."""
        names = set()
        for node in self.nodes:
            if isinstance(node, ast.AnnAssign) and _annotates_set(node.annotation):
                names.add(_name(node.target))
            elif isinstance(node, ast.arg) and node.annotation is not None and _annotates_set(node.annotation):
                names.add(node.arg)
            elif isinstance(node, ast.Assign) and _makes_set(node.value):
                names |= {_name(target) for target in node.targets}
        return names - {""}

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self._is_set(node.left) or self._is_set(node.right)
        return _makes_set(node) or _name(node) in self.set_names

    def set_iterations(self) -> Iterator[int]:
        """Lines where a set is walked and the order could show."""
        for node in self.nodes:
            if isinstance(node, ast.For) and self._is_set(node.iter):
                yield node.lineno
            elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
                if any(self._is_set(one.iter) for one in node.generators) and not self._fed_to_order_free(node):
                    yield node.lineno
            elif isinstance(node, ast.Call):
                called = _name(node.func)
                fed = called in ORDER_SHOWS and any(self._is_set(argument) for argument in node.args)
                if fed or (called == "pop" and not node.args and self._is_set_owner(node.func)):
                    yield node.lineno
            elif isinstance(node, ast.Starred) and self._is_set(node.value):
                yield node.lineno

    def _is_set_owner(self, function: ast.expr) -> bool:
        return isinstance(function, ast.Attribute) and self._is_set(function.value)

    def _fed_to_order_free(self, node: ast.AST) -> bool:
        parent = self.parents.get(node)
        return isinstance(parent, ast.Call) and _name(parent.func) in ORDER_FREE


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _makes_set(node: ast.expr) -> bool:
    return isinstance(node, ast.Set | ast.SetComp) or (
        isinstance(node, ast.Call) and _name(node.func) in {"set", "frozenset"}
    )


def _annotates_set(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return _name(annotation) in {"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"}


def rooms(package: str) -> list[Room]:
    """Every source file of *package*, but for the servers and their tests that `simnet demo` copies out."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return [Room(path) for path in paths if not (path.parent.name == "demo" and path.stem.endswith("_server"))]
