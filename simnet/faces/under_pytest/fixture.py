"""``@simnet.fixture``: what pytest sets up once for a test, set up in each of its runs instead, within the run's network.

pytest gets a promise as the fixture's value. A sweep or fuzz keeps it at the beginning of each run, on the host ``test``
as the body itself, and lets the generators go on when the body has ended. Beside ``simnet_network`` there is one run, and
it is kept at once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, overload

import pytest

from simnet.blame import exception_line, note, user_place
from simnet.explore.parameters import network_parameter, where
from simnet.faces.under_pytest.subtests import passing_on

__all__ = ["fixture", "set_up_per_run"]

_Function = Callable[..., Any]
_NETWORK = "simnet_network"


class _Promise:
    """A fixture's value to be, in a run to come: *make* it of the run's network and of what other fixtures gave."""

    __slots__ = ("make", "given", "yields")

    def __init__(self, make: _Function, given: Mapping[str, Any], *, yields: bool) -> None:
        self.make = make
        self.given = given
        self.yields = yields  # else what it makes is the value, be it a generator


class _Keeping:
    """The promises that one run has kept."""

    __slots__ = ("_network", "_kept", "_unfinished")

    def __init__(self, network: Any) -> None:
        self._network = network
        self._kept: dict[_Promise, Any] = {}
        self._unfinished: list[Generator[Any, None, None]] = []

    def value(self, given: Any) -> Any:
        """*given* itself, or what it promises; the same for all who ask in one run."""
        if not isinstance(given, _Promise):
            return given
        if given not in self._kept:
            needs = {name: self.value(each) for name, each in given.given.items()}
            value = given.make(self._network, **needs)
            self._kept[given] = self._begun(value) if given.yields else value
        return self._kept[given]

    def _begun(self, value: Generator[Any, None, None]) -> Any:
        """What is yielded by a generator that goes on when the run's body has ended."""
        for first in value:
            self._unfinished.append(value)
            return first
        raise RuntimeError(f"the fixture {getattr(value, '__name__', value)!r} has ended without a `yield`")

    def __enter__(self) -> _Keeping:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let what was set up last go on first. The first error is raised, the body's before all, with the others as its notes."""
        failed = error
        for generator in reversed(self._unfinished):
            try:
                for _ in generator:
                    raise RuntimeError(
                        f"the fixture {getattr(generator, '__name__', generator)!r} has more than one `yield`"
                    )
            except BaseException as raised:  # noqa: BLE001 - told below, when all have had their turn
                if failed is None:
                    failed = raised
                else:
                    name = getattr(generator, "__name__", generator)
                    note(
                        failed,
                        f"and behind the `yield` of the fixture {name!r}: {exception_line(raised)} ({user_place(raised).short})",
                    )
        if failed is not None and failed is not error:
            raise failed


def set_up_per_run(
    item: pytest.Item, bind: _Function, arguments: Sequence[Any], keywords: Mapping[str, Any]
) -> Callable[[Any], object]:
    """The body of one run of *item*: what *bind* makes of the arguments, with all promises among them kept, and subtests that pass on."""
    arguments = [passing_on(each) for each in arguments]
    keywords = {name: passing_on(each) for name, each in keywords.items()}
    promised = [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, _Promise)]
    if not promised:
        body: Callable[[Any], object] = bind(*arguments, **keywords)
        return body

    def run(network: Any) -> object:
        with _Keeping(network) as keeping:
            for each in promised:  # also those that nobody takes as an argument
                keeping.value(each)
            kept = {name: keeping.value(each) for name, each in keywords.items()}
            return bind(*map(keeping.value, arguments), **kept)(network)

    return run


@overload
def fixture(function: _Function, /) -> Any: ...
@overload
def fixture(
    *, name: str | None = ..., params: Sequence[Any] | None = ..., ids: Any = ..., autouse: bool = ...
) -> Callable[[_Function], Any]: ...


def fixture(function: _Function | None = None, /, **options: Any) -> Any:
    """A pytest fixture that is set up afresh in each run of a swept or fuzzed test, or once beside ``simnet_network``.

    Its first parameter gets the network, whatever its name; the others name fixtures, of either sort. Code before a
    ``yield`` runs at the beginning of a run, code after it when the test's body has ended. ``name``, ``params``,
    ``ids`` and ``autouse`` are pytest's.

    Raises:
        TypeError: the function is ``async def``, takes no network, or there is any other option.
    """
    __tracebackhide__ = True
    for name in options:
        if name not in ("name", "params", "ids", "autouse"):
            reason = ": each run sets it up" if name == "scope" else ""
            raise TypeError(f"@simnet.fixture has no option {name!r}{reason}")
    if function is None:
        return functools.partial(_made, options)
    return _made(options, function)


def _made(options: Mapping[str, Any], function: _Function) -> Any:
    __tracebackhide__ = True
    if not callable(function):
        raise TypeError(f"fixture({function!r}): options are given by name, as in @simnet.fixture(name='client')")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{where(function)} is `async def`, and nobody would run it. Write a plain function, and run asyncio programs on a "
            "host: net.host('server').spawn(asyncio.run, main())"
        )
    _, signature = network_parameter(function)
    asks = "request" in signature.parameters
    yields = inspect.isgeneratorfunction(inspect.unwrap(function))

    @functools.wraps(function)
    def promise(*owner: Any, request: pytest.FixtureRequest, **given: Any) -> Generator[Any, None, None]:
        if asks:
            given["request"] = request
        found = _Promise(functools.partial(function, *owner), given, yields=yields)
        if hasattr(getattr(request.node, "obj", None), "simnet_options"):
            if not hasattr(request.config.option, "simnet_runs"):
                pytest.fail(
                    f"{request.node.name} asks for {function.__name__}, a simnet.fixture, which each run sets up by the plugin "
                    "of simnet: it is not loaded here, as with -p no:simnet",
                    pytrace=False,
                )
            yield found
            return
        if _NETWORK not in request.fixturenames:
            pytest.fail(
                f"{request.node.name} asks for {function.__name__}, a simnet.fixture, and has no network: sweep or fuzz the "
                f"test, or let it take {_NETWORK} too",
                pytrace=False,
            )
        with _Keeping(request.getfixturevalue(_NETWORK)) as keeping:
            yield keeping.value(found)

    parameters = [each for each in signature.parameters.values() if each.name != "request"]
    request = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY)
    promise.simnet_fixture = True  # type: ignore[attr-defined]
    promise.__signature__ = signature.replace(parameters=[*parameters, request])  # type: ignore[attr-defined]
    return pytest.fixture(**options)(promise)
