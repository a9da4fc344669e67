"""A thing of the standard library and its stand-in, and how such pairs are made.

A stand-in for a C function is a *bound* method. A plain function kept as a class attribute (``clock = time.time``)
would take the instance as its argument; C functions and bound methods do not. Its ``self`` is an `Origin`, by which it
pickles as ``time.time`` does.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from types import MethodType, ModuleType
from typing import Any, NamedTuple

from simnet.standins import whose

__all__ = ["Maker", "Origin", "Pair", "Pairs", "forward"]

Maker = Callable[[Any], Callable[..., Any]]  # handed the original, it returns the stand-in


class Pair(NamedTuple):
    """What is replaced, and by what."""

    original: Any
    standin: Any


class Origin:
    """The ``self`` of a stand-in: where its original lives, by which it pickles and copies as the original does."""

    __slots__ = ("module",)

    def __init__(self, module: str) -> None:
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (self.module,)

    def __deepcopy__(self, memo: object) -> Origin:
        return self


class Pairs:
    """The pairs of one room, in the order they were made."""

    def __init__(self) -> None:
        self._pairs: list[Pair] = []

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs)

    def add(self, original: Any, standin: Any) -> None:
        """Two callables of the same kind: a Python function for a Python function, a class for a class."""
        self._pairs.append(Pair(original, standin))

    def standin(self, module: ModuleType, name: str) -> Callable[[Maker], Maker]:
        """Decorates a maker: it is handed the C function ``module.name``, if this platform has it."""

        def decorate(maker: Maker) -> Maker:
            original = getattr(module, name, None)
            if original is not None:
                function: Any = maker(original)
                functools.update_wrapper(function, original, assigned=("__name__", "__qualname__", "__doc__"))
                function.__module__ = module.__name__
                del function.__wrapped__  # inspect.signature() would say what it says of the original: nothing
                function.__qualname__ = name
                self._pairs.append(Pair(original, MethodType(function, Origin(module.__name__))))
            return maker

        return decorate


def forward(name: str, arity: int) -> Maker:
    """A maker of stand-ins that hand their arguments to the backend's method *name*.

    If they are not *arity* positional ones, the original says what is wrong with them, as it would anywhere.
    """

    def maker(original: Any) -> Callable[..., Any]:
        def standin(_: Origin, *args: Any, **kwargs: Any) -> Any:
            backend = whose.world()
            if backend is None or kwargs or len(args) != arity:
                return original(*args, **kwargs)
            return getattr(backend, name)(*args)

        return standin

    return maker
