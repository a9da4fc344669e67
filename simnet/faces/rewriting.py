"""A test's assertions in a command, as under pytest: they say what was compared, and keep the same objects alive.

The second matters more. What an assertion holds while it fails (a file made of a socket, say) is closed later than without;
pytest's rewriting holds more than Python does, and what one of them has found would be another run to the other.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from simnet.project.settings import told_pytest

__all__ = ["rewriting"]

PATTERNS = ("test_*.py", "*_test.py")  # pytest's own, unless python_files says otherwise


@contextmanager
def rewriting(file: Path, root: Path) -> Iterator[None]:
    """While it lasts, *file* and what looks like a test's file in the project at *root* is imported with its assertions rewritten."""
    if any(type(each).__name__ == "AssertionRewritingHook" for each in sys.meta_path):
        yield  # this is pytest, which does so itself
        return
    finder = _Finder(file, told_pytest(root, "python_files").entries or PATTERNS)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    def __init__(self, file: Path, patterns: Sequence[str]) -> None:
        self.file = file.resolve()
        self.patterns = patterns

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or type(spec.loader) is not SourceFileLoader:
            return None
        place = Path(spec.origin)
        if place.resolve() != self.file and not any(map(place.match, self.patterns)):
            return None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    def path_stats(self, path: str) -> Any:
        raise OSError("no bytecode is kept: who imports this without pytest wants what stands there")

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        from _pytest.assertion.rewrite import rewrite_asserts

        tree = ast.parse(data, path)
        rewrite_asserts(tree, data, path)
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)
