"""The network behind the fixture ``simnet_network``: entered when the fixture is set up, left when the test has ended.

It is left before the fixtures are torn down, so that what failed in it fails the test and not its clean-up; a fixture
that closes one of its sockets afterwards finds it closed already, which is no error.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from simnet.blame import note, without_simnet, write_on
from simnet.faces.under_pytest.frames import leave_simnet_out_of_causes
from simnet.faces.under_pytest.options import Asked, made
from simnet.faces.under_pytest.report import looks, told_of
from simnet.scheduling.stuck import entrance
from simnet.wait import current_scheduler

if TYPE_CHECKING:
    from simnet.world import Network

__all__ = ["ONE_FOR_EACH", "Held", "end_forgotten", "leave", "refuse_forgotten", "running_here", "tell_what_gives_one"]

_KEY = pytest.StashKey["Held"]()


class Held:
    """One network around one test."""

    def __init__(self, item: pytest.Item, network: Network) -> None:
        self.item = item
        self.network = network
        self.left = False

    @classmethod
    def enter(cls, item: pytest.Item) -> Held:
        """Make the network that *item* wants, and enter it; fails where another is running already, in a fixture for example."""
        asked = Asked.of(item.config)
        kind: Any
        if asked.real:
            from simnet.realnet import RealNetwork as kind  # noqa: N813  # the one or the other
        else:
            from simnet.world import Network as kind  # noqa: N813
        network = made(item, kind)
        try:
            network.begin("by the fixture simnet_network, which gives it to the test")
        except RuntimeError as error:
            told = f"{item.name} cannot have simnet_network: {error}"
            raise pytest.fail.Exception(told, pytrace=False) from None
        held = item.stash[_KEY] = cls(item, network)
        return held

    def leave(self, error: BaseException | None = None) -> None:
        """Let it become quiet, and raise what failed in it; nothing the second time."""
        if self.left:
            return
        self.left = True
        try:
            if error is None:
                self.network.__exit__(None, None, None)
            else:
                self.network.__exit__(type(error), error, error.__traceback__)
        finally:
            if Asked.of(self.item.config).trace:
                self._show()

    def _show(self) -> None:
        from simnet.explore.report.ladder import ladder

        there = looks(self.item.config)
        text = ladder(self.network.trace, whole=True, width=there["width"], unicode=there["unicode"])
        told_of(self.item).traces.append(("simnet: this run", text))


def leave(item: pytest.Item, error: BaseException | None) -> None:
    """The call of *item* is over, with *error* or without: its network ends, and what failed in it is raised.

    Of tracebacks only the user's frames are left: pytest shows them all otherwise, ours as well.
    """
    __tracebackhide__ = True
    held = item.stash.get(_KEY, None)
    if held is None:
        return  # its set-up failed
    if error is not None:
        leave_simnet_out_of_causes(error)
    try:
        held.leave(error)
        _end_if_left(held.network, error)
    except BaseException as failed:
        _end_if_left(held.network, failed)
        users = without_simnet(failed.__traceback__)
        at_no_line = users is failed.__traceback__
        if at_no_line and isinstance(failed, AssertionError):  # a rule is broken
            told_of(item).verdict = failed
        write_on(failed, "__traceback__", users)
        raise
    finally:
        if held.network.unreached:
            _tell_unreached(item, held.network)


def _end_if_left(network: Any, failed: BaseException | None) -> None:
    """Somebody has left a debugger in one of the processes: pytest ends, as if it were the test's own."""
    ended = [failed, *(each.error for each in (*network.processes, *network.handler_errors))]
    for error in ended:
        if isinstance(error, pytest.exit.Exception):
            error.__notes__ = []  # which process it ended is nobody's question now
            raise error.with_traceback(None) from None


def end_forgotten() -> str:
    """End the network that runs here and that nobody has left, if there is one, and say where it was entered."""
    running = running_here()
    if running is None:
        return ""
    network, by = running
    with suppress(Exception, KeyboardInterrupt):  # Ctrl-C came in it, which pytest has heard of
        network.finish(settle=False)
    return entrance(by)


def running_here() -> tuple[Any, Any] | None:
    """The network that runs in this thread, simulated or on real sockets, and where it was entered."""
    scheduler = current_scheduler()
    if scheduler is not None:
        return scheduler.backend.network, scheduler.entered
    processes = sys.modules.get("simnet.realnet.process")
    process = processes.current_process() if processes is not None else None
    return (process.stage.network, process.stage.entered) if process is not None else None


def refuse_forgotten(item: pytest.Item, before: object, error: BaseException | None) -> None:
    """If *item* has entered a network and not left it, that one is ended, else each test after it would be refused one."""
    running = running_here()
    if running is None or running[0] is before:
        return
    kind = type(running[0]).__name__
    told = (
        f"{item.name} has left a network running, which was entered {end_forgotten()}. `with simnet.{kind}() as net:` leaves "
        "it; a state machine calls net.__exit__(None, None, None) in its teardown()"
    )
    if error is None:
        raise pytest.fail.Exception(told, pytrace=False)
    note(error, told)


def _tell_unreached(item: pytest.Item, network: Any) -> None:
    from simnet.explore.nearest import unreached_texts
    from simnet.points.reading import Points

    targets = network.target or ()
    for text in unreached_texts(network.unreached, Points.of(network.trace, targets), targets):
        item.user_properties.append(("simnet-warning", text))


GIVEN = (
    "@simnet.sweep(...) gives a network to the first parameter of the test below it, whatever its name; without faults the "
    "fixture simnet_network does"
)


ONE_FOR_EACH = (
    "simnet_network is one network for all examples of @given. `with simnet.Network() as net:` in the test makes one for each, and so does "
    "@simnet.sweep(...) below @given"
)


def tell_what_gives_one(report: pytest.TestReport, item: pytest.Item, error: Any) -> None:
    """Add to *report*, of a test whose first parameter is no fixture, what may have been forgotten, if its file knows of simnet."""
    test: Any = getattr(item, "obj", None)
    if not inspect.isroutine(test) or hasattr(test, "simnet_options"):
        return
    first = next(iter(inspect.signature(test).parameters), None)
    module = sys.modules.get(test.__module__)
    if error.argname == first and module is not None and any(_is_of_simnet(each) for each in vars(module).values()):
        report.sections.append(("simnet", GIVEN))


NONE_RUNS = (
    "no simulated network runs in this test, so the name was looked up on the real one: the fixture simnet_network runs one, and so does "
    "@simnet.sweep(...) above the test"
)


def tell_that_none_runs(item: pytest.Item, error: Exception) -> None:
    """Note on *error*, a look-up by the real resolver, that a network may have been forgotten, if the test's file has one elsewhere.

    What a simulated one says of a name has a note already.
    """
    test: Any = getattr(item, "obj", None)
    if not inspect.isroutine(test) or hasattr(test, "simnet_options") or hasattr(error, "__notes__"):
        return
    module = sys.modules.get(test.__module__)
    known = module is not None and any(_is_of_simnet(each) for each in vars(module).values())
    beside = (each for each in item.session.items if each.path == item.path)
    if known or any("simnet_network" in getattr(each, "fixturenames", ()) for each in beside):
        error.add_note(NONE_RUNS)


def _is_of_simnet(held: object) -> bool:
    name = held.__name__ if isinstance(held, ModuleType) else getattr(held, "__module__", "")
    return isinstance(name, str) and name.partition(".")[0] == "simnet"
