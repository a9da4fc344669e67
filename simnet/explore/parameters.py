"""Which parameter of a test the network is given to, and which functions are no tests."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["network_parameter", "refuse", "where"]

_Function = Callable[..., Any]


def network_parameter(test: _Function) -> tuple[int, inspect.Signature]:
    """At which position the network is given, and the signature without it."""
    signature = inspect.signature(test)
    parameters = list(signature.parameters.values())
    position = 1 if _is_method(test, parameters) else 0
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) <= position or parameters[position].kind not in places:
        named = ", ".join([*[*signature.parameters][:position], "net"])
        raise TypeError(
            f"{where(test)} takes no network: its first parameter gets it, whatever its name, as in def {getattr(test, '__name__', 'test')}({named}): ..."
        )
    del parameters[position]
    return position, signature.replace(parameters=parameters)


def refuse(test: _Function) -> None:
    if not callable(test):
        raise TypeError(f"{test!r} is no test: a function that takes a network")
    if inspect.isclass(test):
        raise TypeError(
            f"{test.__name__} is a class, and simnet's decorators are for tests: put one above each of its methods that is a test. "
            "Options for all of them: @pytest.mark.simnet(target='server', ...) above the class"
        )
    if inspect.iscoroutinefunction(test) or inspect.isasyncgenfunction(test):
        raise TypeError(
            f"{where(test)} is `async def`: called, it returns at once and would pass without having run. Write the body as a "
            "plain function, and run asyncio programs on a host: net.host('server').spawn(asyncio.run, main())"
        )
    if getattr(test, "is_hypothesis_test", False) is True:
        raise TypeError(
            f"{where(test)} has @given below simnet's decorator: all its examples would share one network. Put @given above: then "
            "each example is swept in networks of its own"
        )
    if inspect.isgeneratorfunction(test):
        raise TypeError(
            f"{where(test)} is a generator (it holds `yield`): called, it returns at once and would pass without having run. "
            "Write it as a plain function"
        )


def _is_method(test: _Function, parameters: list[inspect.Parameter]) -> bool:
    """Whether *test*, not bound yet, is defined in a class: then its first parameter is the instance."""
    if inspect.ismethod(test):
        return False
    inner = getattr(test, "__qualname__", "").rpartition("<locals>.")[2]
    return "." in inner and bool(parameters) and parameters[0].name in ("self", "cls")


def where(test: _Function) -> str:
    code = getattr(inspect.unwrap(test), "__code__", None)
    name = getattr(test, "__qualname__", repr(test)).rpartition("<locals>.")[2]
    return f"{code.co_filename}:{code.co_firstlineno}: {name}" if code is not None else name
