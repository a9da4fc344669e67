"""Functions of the library that are replaced only if they are made as in the versions that were examined."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

__all__ = ["Known"]


class Known:
    """What stands in for functions of asyncio's, and what stood there: by the function's name."""

    __slots__ = ("originals",)

    def __init__(self) -> None:
        # Whose it is, for its module may go from sys.modules, what it was, and what is there now.
        self.originals: dict[str, tuple[Any, Any, Any]] = {}

    def put(self, owner: Any, name: str, known: Collection[str], make: Callable[[Any], Any]) -> None:
        """What *make* makes of the function *name* of *owner* in its place, if that goes by the names *known* and no others."""
        original = vars(owner).get(name)
        code = getattr(original, "__code__", None)
        if code is not None and set(code.co_names).issubset(known):
            ours = make(original)
            self.originals[name] = owner, original, ours
            setattr(owner, name, ours)

    def unplace(self) -> None:
        """Every original back in its place, unless somebody has put something else there since."""
        while self.originals:
            name, (owner, original, ours) = self.originals.popitem()
            if vars(owner).get(name) is ours:
                setattr(owner, name, original)
