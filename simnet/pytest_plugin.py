"""The pytest plugin: hooks only. What they do is in ``simnet/faces``, imported when a test needs it.

A suite that has nothing to do with networks pays for importing this file and no more; and coverage sees all of simnet
that a test uses, since none of it is loaded before measuring begins.

* ``@simnet.sweep`` functions are ordinary tests. While one runs, its decorator hands it to us, through any other
  decorators, classes or ``unittest`` in between, so that options, progress, reports and saved failures are pytest's.
* ``simnet_network`` is a network entered around one test.
* Scenario files (``*.toml`` in a folder named ``scenarios``, or named on the command line) are tests of their own.

Fixtures of a swept test are set up once, around all of its runs, except those of ``@simnet.fixture``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from simnet.world import Network

FIXTURE = "simnet_network"
SUBTESTS = "subtests"  # pytest's own
SCENARIOS = "scenarios"  # as `simnet.scenario` has it, which is not to be loaded here
OURS = ("simnet.", "dispatch.")
OPTIONS = ("runs", "kinds", "fault", "target", "replay", "real", "seconds", "trace")

# Those that run, one within the other; of an inner one, what was loaded before.
_sessions: list[tuple[pytest.Config, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simnet", "network code under every single fault (simnet)")
    group.addoption("--simnet-runs", type=int, metavar="N", help="at most N simulations with a fault in each sweep")
    group.addoption("--simnet-kinds", metavar="KINDS", help="sweep these kinds of fault only, with commas between")
    group.addoption(
        "--simnet-fault",
        action="append",
        metavar="FAULT",
        help="instead of a sweep one run with this fault, such as 'would-block server:7 accept call=1', or with several and "
        "semicolons between; may be repeated",
    )
    group.addoption(
        "--simnet-target",
        action="append",
        metavar="HOST",
        help="the host under test, whatever the test says; may be repeated",
    )
    group.addoption("--simnet-replay", metavar="FILE", help="instead of a sweep one run with exactly this file's plan")
    group.addoption("--simnet-as-expected", action="store_true", help=argparse.SUPPRESS)  # used by scenario files
    group.addoption(
        "--simnet-real",
        action="store_true",
        default=None,
        help="on this machine's own sockets, where a kernel can do it",
    )
    group.addoption(
        "--simnet-seconds",
        type=float,
        metavar="N",
        help="with --simnet-real: real seconds that a run may take, 20 by default",
    )
    group.addoption(
        "--simnet-trace",
        action="store_true",
        default=None,
        help="show all that happened in each simulated test (of those that pass with -rP)",
    )


class _AsTheyStand:
    """Finds the modules of this distribution before pytest does, which rewrites the assertions of all that comes with a plugin.

    Hundreds of files, read and compiled once more by each pytest that may not write bytecode, and slower at each assertion.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith(OURS) else None


def pytest_load_initial_conftests() -> None:
    sys.meta_path.insert(0, _AsTheyStand)


def pytest_configure(config: pytest.Config) -> None:
    loaded = None
    if _sessions:
        from simnet.faces.under_pytest.nested import Loaded

        loaded = Loaded()
    _sessions.append((config, loaded))
    config.addinivalue_line("markers", "simnet(**options): options of a simulated run, for a test, a class or a module")
    if any(config.getoption(f"simnet_{name}") is not None for name in OPTIONS):
        with _if_all_is_installed(pytest.UsageError):
            from simnet.faces.under_pytest.options import Asked

        Asked.of(config)  # a wrong option speaks up before anything runs


_failure = partial(pytest.fail.Exception, pytrace=False)  # of a test, in words alone


@contextmanager
def _if_all_is_installed(error: Callable[[str], BaseException]) -> Generator[None, None, None]:
    """The plugin comes with dispatch alone, too: who asks it for more is told by *error* what to install."""
    try:
        yield
    except ModuleNotFoundError as absent:
        from simnet.extra import missing

        text = missing(absent)
        if text is None:
            raise
        raise error(text) from None


def pytest_keyboard_interrupt() -> None:
    """What follows is pytest's: a run that a test has left going ends before, or its watchdog would stop that as well."""
    _end_forgotten()


def _end_forgotten() -> None:
    modules = sys.modules.get("simnet.modules")
    if modules is not None and modules.active() is not None:
        with sys.modules[
            "simnet.watchdog"
        ].paused():  # on a busy machine that takes longer than a program is left after Ctrl-C
            from simnet.faces.under_pytest.network import end_forgotten

        end_forgotten()


def pytest_unconfigure(config: pytest.Config) -> None:
    with suppress(ValueError):  # not there for who has been named by -p
        sys.meta_path.remove(_AsTheyStand)
    loaded = _sessions.pop()[1] if _sessions and _sessions[-1][0] is config else None
    _end_forgotten()
    modules = sys.modules.get("simnet.modules")
    if modules is not None:
        with suppress(RuntimeError):  # one of another thread: the interpreter ends soon
            modules.restore()
    if loaded is not None:
        loaded.forget_the_rest()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix != ".toml":
        return None
    named = parent.session.isinitpath(file_path)
    root = parent.config.rootpath
    place = file_path.relative_to(root) if file_path.is_relative_to(root) else file_path
    above = root.parts if parent.config.inipath is None else ()  # pytest was started in such a folder, or below one
    if not named and SCENARIOS not in (*above, *place.parts[:-1]):
        return None
    from simnet.faces.under_pytest.files import is_scenario

    if not named and not is_scenario(file_path):
        return None
    with _if_all_is_installed(pytest.Collector.CollectError):
        from simnet.faces.under_pytest.scenario import ScenarioFile
    file: pytest.Collector = ScenarioFile.from_parent(parent, path=file_path)
    return file


@pytest.fixture
def simnet_network(request: pytest.FixtureRequest) -> Generator[Network, None, None]:
    """A simulated network. The test runs as a process on its host ``test``; when it ends, what is wrong is raised.

    ``@pytest.mark.simnet(plan=..., seed=..., target=..., invariants=...)`` sets it up; ``--simnet-fault``,
    ``--simnet-replay`` and ``--simnet-real`` change it for once.
    """
    with _if_all_is_installed(_failure):
        from simnet.faces.under_pytest.network import Held

    held = Held.enter(request.node)
    yield held.network
    held.leave()


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if hasattr(metafunc.function, "simnet_test"):
        from simnet.faces.under_pytest.options import refuse_parametrized_network

        refuse_parametrized_network(metafunc.function, metafunc.definition.iter_markers("parametrize"))


def pytest_collection_finish() -> None:
    """Of what hypothesis explains a failure by, the lines that failing examples alone have run, the user's are left, and none of simnet's."""
    scrutineer: Any = sys.modules.get("hypothesis.internal.scrutineer")
    unhelpful = getattr(scrutineer, "UNHELPFUL_LOCATIONS", None)
    ours = f"{Path(__file__).parent.as_posix()}/**"
    if isinstance(unhelpful, tuple) and ours not in unhelpful and re.fullmatch(r"[\w/. *-]+", ours):
        scrutineer.UNHELPFUL_LOCATIONS = (*unhelpful, ours)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    test = getattr(item, "obj", None)
    if test is None or (FIXTURE not in getattr(item, "fixturenames", ()) and not hasattr(test, "simnet_options")):
        return
    with _if_all_is_installed(_failure):
        from simnet.faces.under_pytest.options import refuse_what_cannot_be

    refuse_what_cannot_be(item, test)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    try:
        value = yield
    except Exception:
        raise
    except BaseException as error:
        if "simnet.wait" not in sys.modules:
            raise
        from simnet.faces.under_pytest.frames import as_it_leaves_a_network
        from simnet.faces.under_pytest.network import leave

        told = as_it_leaves_a_network(error)
        if not isinstance(told, Exception):
            raise
        # As pytest does itself: who else asks for the fixture is told the same.
        fixturedef.cached_result = (None, fixturedef.cache_key(request), (told, told.__traceback__))
        leave(request.node, told)
        raise told from None
    if fixturedef.argname == SUBTESTS and hasattr(getattr(request.node, "obj", None), "simnet_options"):
        from simnet.faces.under_pytest.subtests import passing_on

        value = passing_on(value)  # for whoever asks for it, and by whatever way
        fixturedef.cached_result = (value, *fixturedef.cached_result[1:])
    return value


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    sweeping: AbstractContextManager[None] = nullcontext()
    if "simnet.explore.check" in sys.modules:  # somebody has decorated a test
        from simnet.faces.under_pytest.sweep import sweeping_for

        sweeping = sweeping_for(item)
    with sweeping:
        if FIXTURE not in getattr(item, "fixturenames", ()):
            before = _running()
            try:
                result = yield
            except (pytest.fail.Exception, pytest.skip.Exception) as outcome:  # no Exception, as Python has it
                _look_for_forgotten(item, before, outcome)
                raise
            except Exception as error:
                if isinstance(error, TypeError) and "simnet.faults" in sys.modules:
                    from simnet.faces.under_pytest.keywords import tell_what_was_meant

                    tell_what_was_meant(error)
                if isinstance(error, OSError) and type(error).__name__ == "gaierror" and before is None:
                    from simnet.faces.under_pytest.network import tell_that_none_runs

                    tell_that_none_runs(item, error)
                if "simnet.process" in sys.modules:
                    from simnet.faces.under_pytest.frames import leave_simnet_out

                    leave_simnet_out(error)  # a network in a fixture of the user's own does not see how the test ends
                _look_for_forgotten(item, before, error)
                raise
            except BaseException as error:
                if "simnet.wait" in sys.modules:
                    from simnet.faces.under_pytest.frames import as_it_leaves_a_network

                    raise as_it_leaves_a_network(error) from None
                raise
            if "simnet.process" in sys.modules:
                from simnet.faces.under_pytest.frames import leave_simnet_out_of_case

                leave_simnet_out_of_case(item)
            _look_for_forgotten(item, before, None)
            return result
        from simnet.faces.under_pytest.network import leave

        try:
            result = yield
        except BaseException as error:
            leave(item, error)
            raise
        leave(item, None)
        return result


def _running() -> object:
    """The network that runs here now; None if none does, as where no module of simnet's has put its stand-ins in place."""
    modules = sys.modules.get("simnet.modules")
    if modules is None or modules.active() is None:
        return None
    from simnet.faces.under_pytest.network import running_here

    running = running_here()
    return None if running is None else running[0]


def _look_for_forgotten(item: pytest.Item, before: object, error: BaseException | None) -> None:
    __tracebackhide__ = True
    if _running() is not None:
        from simnet.faces.under_pytest.network import refuse_forgotten

        refuse_forgotten(item, before, error)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    told = sys.modules.get("simnet.faces.under_pytest.report")
    if told is not None:
        told.add_to(report, item, call)
    if call.excinfo is not None and call.excinfo.typename == "FixtureLookupError" and "simnet" in sys.modules:
        from simnet.faces.under_pytest.network import tell_what_gives_one

        tell_what_gives_one(report, item, call.excinfo.value)
    if (
        call.excinfo is not None
        and call.excinfo.typename == "FailedHealthCheck"
        and FIXTURE in getattr(item, "fixturenames", ())
    ):
        from simnet.faces.under_pytest.network import ONE_FOR_EACH

        report.sections.append(("simnet", ONE_FOR_EACH))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    if report.when != "call" or not hasattr(report, "user_properties") or hasattr(report, "wasxfail"):
        return None
    for name, value in report.user_properties:
        if name == "simnet" and report.passed:
            return "passed", ".", f"PASSED   [{value}]"
    return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if any(_properties(report) for reports in terminalreporter.stats.values() for report in reports):
        from simnet.faces.under_pytest.report import summarise

        summarise(terminalreporter)


def _properties(report: object) -> bool:
    return any(name.startswith("simnet") for name, _ in getattr(report, "user_properties", ()))
