"""What pytest's command line and the marker ``simnet`` ask for, checked where it is asked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from simnet.expect import Expect, Found, ScenarioError
from simnet.explore.options import SweepOptions
from simnet.faces.marks import NETWORK_OPTIONS, SWEEP_OPTIONS, marked_options
from simnet.faults.fields import FaultError
from simnet.faults.forms import parse_fault
from simnet.faults.plan import FaultPlan
from simnet.scenario import Scenario

__all__ = [
    "Asked",
    "made",
    "network_options",
    "refuse_parametrized_network",
    "refuse_what_cannot_be",
    "sweep_options",
]

_KEY = pytest.StashKey["Asked"]()


@dataclass(frozen=True)
class Asked:
    """The ``--simnet-...`` options of one pytest run."""

    runs: int | None
    kinds: tuple[str, ...] | None
    plan: FaultPlan | None  # of --simnet-fault or --simnet-replay
    file: Path | None  # of --simnet-replay
    target: tuple[str, ...] | None  # the hosts under test, if the command line or that file names them
    found: Found | None  # what that file has on record
    expect: Expect | None  # what it expects, if the run is to be judged by that
    real: bool
    seconds: float | None  # of a run on real sockets
    trace: bool

    @classmethod
    def of(cls, config: pytest.Config) -> Asked:
        """Raises:
        pytest.UsageError: an option that cannot be; place, reason, remedy.
        """
        if _KEY not in config.stash:
            config.stash[_KEY] = cls._read(config)
        return config.stash[_KEY]

    @classmethod
    def _read(cls, config: pytest.Config) -> Asked:
        _refuse_together(config)
        runs, file = config.getoption("simnet_runs"), config.getoption("simnet_replay")
        if runs is not None and runs < 1:
            raise pytest.UsageError(f"--simnet-runs {runs}: at least 1, or nothing is swept")
        kinds = _kinds(config.getoption("simnet_kinds"))
        target = _hosts(config.getoption("simnet_target") or ())
        plan, path, found, expect = _plan(config.getoption("simnet_fault")), None, None, None
        if file is not None:
            path = config.invocation_params.dir / file
            scenario = _scenario(file, path)
            plan, target, found = scenario.plan, scenario.target or None, scenario.found
            expect = scenario.expect if config.getoption("simnet_as_expected") else None
        real, trace = bool(config.getoption("simnet_real")), bool(config.getoption("simnet_trace"))
        seconds = config.getoption("simnet_seconds") if real else None
        if seconds is not None:
            _check_seconds(seconds)
        return cls(runs, kinds, plan, path, target, found, expect, real, seconds, trace)


def _refuse_together(config: pytest.Config) -> None:
    """Raise the UsageError of options one of which leaves the other nothing to do.

    What a project's file or the environment says is for all its sessions, and harms none.
    """
    typed = {word.partition("=")[0] for word in map(str, config.invocation_params.args)}
    faults, file = config.getoption("simnet_fault"), config.getoption("simnet_replay")
    real = config.getoption("simnet_real")
    if faults and file is not None:
        raise pytest.UsageError("--simnet-fault and --simnet-replay both give the plan of one run; take one of them")
    if file is not None and "--simnet-target" in typed:
        raise pytest.UsageError(
            "--simnet-target: the file of --simnet-replay says which hosts are under test; leave it out"
        )
    if not real and "--simnet-seconds" in typed:
        seconds = config.getoption("simnet_seconds")
        raise pytest.UsageError(f"--simnet-seconds {seconds:g} is for --simnet-real: on simnet time is virtual")
    once = ""
    if faults or file is not None:
        once = "one plan is played"
    elif real:
        once = "on real sockets each test is played once"
    for option in ("--simnet-runs", "--simnet-kinds"):
        if once and option in typed:
            raise pytest.UsageError(f"{option} is for a sweep, and here {once}; leave it out")


def _plan(faults: Sequence[str] | None) -> FaultPlan | None:
    """The plan of ``--simnet-fault``."""
    try:
        return sum(map(_typed, faults), FaultPlan()) if faults else None
    except FaultError as error:
        raise pytest.UsageError(f"--simnet-fault: {error}") from error


def _scenario(file: str, path: Path) -> Scenario:
    """What ``--simnet-replay`` names."""
    if not file:
        raise pytest.UsageError("--simnet-replay: no file is named; it plays a scenario, such as scenarios/it.toml")
    try:
        return Scenario.read(path)
    except (ScenarioError, OSError) as error:
        raise pytest.UsageError(f"--simnet-replay: {error}") from error


def _check_seconds(seconds: float) -> None:
    from simnet.realnet.classes import seconds_of_a_run

    try:
        seconds_of_a_run(seconds)
    except ValueError as error:
        raise pytest.UsageError(f"--simnet-seconds: {error}") from error


def _typed(text: str) -> FaultPlan:
    """What was typed behind ``--simnet-fault``: a fault, or a plan as a report prints it, with semicolons."""
    return FaultPlan.parse(text) if ";" in text else FaultPlan((parse_fault(text),))


def _kinds(text: str | None) -> tuple[str, ...] | None:
    """The kinds of ``--simnet-kinds``."""
    from simnet.faces.naming import kinds_of

    if text is None:
        return None
    try:
        return kinds_of(text)
    except ValueError as error:
        raise pytest.UsageError(f"--simnet-kinds {text}: {error}") from error


def _hosts(names: Sequence[str]) -> tuple[str, ...] | None:
    """The hosts of ``--simnet-target``."""
    from simnet.faces.naming import hosts_of

    try:
        return hosts_of(names)
    except ValueError as error:
        raise pytest.UsageError(f"--simnet-target {error}") from error


def _marked(item: pytest.Item, only: Sequence[str]) -> dict[str, Any]:
    """The options of all ``simnet`` marks on *item*, the nearest winning."""
    try:
        return marked_options(item.iter_markers("simnet"), item.nodeid, only)
    except ValueError as error:
        _refuse(str(error))


def sweep_options(item: pytest.Item, options: SweepOptions) -> SweepOptions:
    """*options* as marks and command line change them."""
    asked = Asked.of(item.config)
    marked = _marked(item, SWEEP_OPTIONS)
    first = True if item.config.getoption("usepdb", False) else None  # there is one place to stop at
    try:
        return options.but(**marked).but(target=asked.target, runs=asked.runs, kinds=asked.kinds, first=first)
    except (TypeError, ValueError) as error:
        _refuse(f"{item.nodeid}: @pytest.mark.simnet: {error}")


def network_options(item: pytest.Item) -> dict[str, Any]:
    """The keywords with which ``simnet_network`` makes the network of *item*."""
    asked = Asked.of(item.config)
    marked = _marked(item, NETWORK_OPTIONS)
    if asked.plan is not None:
        marked["plan"] = asked.plan
        if asked.plan.seed:
            marked.pop("seed", None)
    if asked.target is not None:
        marked["target"] = asked.target
    if asked.seconds is not None:
        marked["seconds"] = asked.seconds
    return marked


def made(item: pytest.Item, kind: Callable[..., Any]) -> Any:
    """A network of this *kind*, as marks and command line have it; the test fails where it cannot be."""
    try:
        return kind(**network_options(item))
    except (TypeError, ValueError) as error:
        _refuse(f"{item.nodeid}: its network cannot be made: {error}")


def _asked_by(item: pytest.Item, fixture: str) -> Sequence[str]:
    """Which fixtures the one of that name asks for."""
    found = item._fixtureinfo.name2fixturedefs.get(fixture, ())  # type: ignore[attr-defined]
    return found[-1].argnames if found else ()


def refuse_what_cannot_be(item: pytest.Item, test: Callable[..., object]) -> None:
    """Fail a test that would hold two networks, or whose body nobody would run, with the reason."""
    swept = hasattr(test, "simnet_options")
    holds = "simnet_network" in getattr(item, "fixturenames", ())
    if swept:
        _refuse_network_elsewhere(item, test)
    if swept and holds:
        tried, decorator = ("fuzzed", "@simnet.fuzz")
        if test.simnet_first_seed is None:  # type: ignore[attr-defined]
            tried, decorator = ("swept", "@simnet.sweep")
        through = [name for name in item.fixturenames if "simnet_network" in _asked_by(item, name)]  # type: ignore[attr-defined]
        by, instead = "", "use that one, and leave the fixture out."
        if through:
            by, instead = (
                f" by its fixture {through[0]!r}",
                f"make a @simnet.fixture of {through[0]!r}, which is given that one.",
            )
        _refuse(
            f"{item.name} is {tried}, and asks for the fixture simnet_network besides{by}: one network would run inside the other. "
            f"{decorator} gives the test's first parameter a fresh network for each run; {instead}"
        )
    if holds and inspect.iscoroutinefunction(test):
        _refuse(
            f"{item.name} is an `async def`: its loop would have to run outside of the network that simnet_network holds around "
            "the test. Write a plain `def` and run the coroutine on a host: "
            'simnet_network.host("client").run(asyncio.run, main()).'
        )


def refuse_parametrized_network(test: Any, marks: Iterable[pytest.Mark]) -> None:
    """Fail a swept test one of whose *marks* has values for the parameter that gets the network."""
    first, rest = _parameters(test)
    for mark in marks:
        named = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
        if first in (re.split(r"[\s,]+", named) if isinstance(named, str) else named):
            _refuse_first(
                test,
                first,
                "which parametrize gives values to",
                [_other(first), first, *(each for each in rest if each != _other(first))],
            )


def _refuse_network_elsewhere(item: pytest.Item, test: Any) -> None:
    """Fail a swept test that has a fixture where the network is given, and further on a name that is no fixture."""
    info, fixtures = getattr(item, "_fixtureinfo", None), getattr(item.session, "_fixturemanager", None)
    if info is None or fixtures is None or not hasattr(test, "simnet_test"):
        return
    first, rest = _parameters(test)
    absent = [name for name in rest if name in info.argnames and name not in ("request", *info.name2fixturedefs)]
    found = fixtures.getfixturedefs(first, item)
    if found and getattr(found[-1].func, "simnet_fixture", False) and not absent:
        _refuse_first(test, first, "the name of a simnet.fixture", [_other(first), first, *rest])
    if len(absent) == 1 and found:
        others = [name for name in rest if name not in absent]
        _refuse_first(test, first, f"the name of a fixture, and {absent[0]!r} is none", [*absent, first, *others])


def _parameters(test: Any) -> tuple[str, list[str]]:
    """That of a swept test which gets the network, and those after it."""
    names = [name for name in inspect.signature(test.simnet_test).parameters if name != "self"]
    return names[0], names[1:]


def _other(first: str) -> str:
    """What to call the network where *first* is taken."""
    return "network" if first == "net" else "net"


def _refuse_first(test: Any, first: str, why: str, right: list[str]) -> NoReturn:
    word = "sweep" if test.simnet_first_seed is None else "fuzz"
    _refuse(
        f"{test.__name__}: @simnet.{word} gives the network to the test's first parameter, and that is {first!r}, {why}. Put the "
        f"network first: def {test.__name__}({', '.join(right)})"
    )


def _refuse(reason: str) -> NoReturn:
    raise pytest.fail.Exception(reason, pytrace=False) from None  # the reason says what led to it
