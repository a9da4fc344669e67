"""One run: a test, a plan, and what came of it."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from simnet.blame import NOWHERE, UserPlace, carries, led_to, said_by
from simnet.both.seen import as_it_is, shown
from simnet.faults.fault import Fault
from simnet.faults.hosts import BODY
from simnet.faults.plan import FaultPlan
from simnet.faults.rates import FaultRates
from simnet.points.reading import Points
from simnet.process import Process, refuse_coroutines
from simnet.scheduling.alike import Alike
from simnet.scheduling.rounds import is_of_the_round
from simnet.scheduling.storms import hurry
from simnet.trace import Trace
from simnet.verdicts import VERDICTS, HandlerError, ProcessEnded, Verdict, in_full
from simnet.world import Network

__all__ = ["LONGER_NS", "Outcome", "ProcessFailure", "Run", "Waiting", "known_of", "play", "run_of", "unless_left"]

CALLS_MAX_HURRIED = 1_000  # of 20,000 calls for nothing in a row, where many runs like this one have made them all
# A run may last so many times as long as the one without faults, and so much longer: a keepalive of two hours finds out that a peer is gone.
TIMES_AS_LONG = 10
LONGER_NS = 4 * 3600 * 1_000_000_000


class Outcome(NamedTuple):
    """What the application saw. Two outcomes are the same if they are equal."""

    returned: Any
    observed: tuple[tuple[str, Any], ...]
    raised: str | None

    def __str__(self) -> str:
        parts = [f"raised {self.raised}" if self.raised is not None else f"returned {reprlib.repr(self.returned)}"]
        parts += [f"{name}={shown(value)}" for name, value in self.observed]
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class ProcessFailure:
    """An exception ended a spawned process."""

    process: str
    host: str
    target: bool
    error: BaseException
    handled: bool = False
    """``Host.run`` raised it in the body, and it did not leave that."""

    @classmethod
    def of(cls, process: Any, error: BaseException, left_the_body: BaseException | None) -> ProcessFailure:
        """What ended *process*, simulated or real."""
        handled = process.answered and error is not left_the_body
        return cls(process.name, process.host_name, process.target, error, handled)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A process that waits for ever, without a deadline, when nothing more will happen."""

    process: str
    host: str
    target: bool
    what: str
    where: str
    since_ns: int
    tasks: tuple[str, ...] = ()  # the lines at which those of its asyncio loop stand, each as often as one does
    # It has no connection, nor a socket for datagrams, by which one of them could be woken; or, without tasks, it waits for whoever
    # comes to its listener, and has none of these.
    alone: bool = False
    left: bool = False  # it is a thread of the test's own, and no daemon: an interpreter would wait for it when it ends
    thread: bool = False  # of a program
    beats: bool = False  # the run was ended in the midst of beats, one of which it waits for


@dataclass(slots=True, repr=False)
class Run:
    """Everything that is known about one run."""

    plan: FaultPlan
    happened: FaultPlan
    unreached: tuple[Fault, ...]
    outcome: Outcome
    body_error: BaseException | None
    failures: list[ProcessFailure]
    handler_errors: list[HandlerError]
    verdicts: list[Verdict]
    waiting: list[Waiting]
    trace: Trace
    time_ns: int
    targets: tuple[str, ...]
    listening: tuple[str, ...] = ()  # the targets' listeners that were open when the network was quiet
    alive: tuple[str, ...] = ()  # the targets' processes that had not ended then
    results: tuple[tuple[str, Any], ...] = ()  # what the targets' processes returned, where it was anything
    # Where targets sent again and again on a socket that they had closed themselves, by host
    sends_on_the_closed: Mapping[str, str] = field(default_factory=dict)
    # Who waits with a deadline, again and again, and where the tasks of its loop stand
    dozing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Where a program stood, and the tasks of its loop, when another one sent it a signal; and its threads, several by one name
    signalled: Mapping[str, list[tuple[str, tuple[str, ...]]]] = field(default_factory=dict)
    # Where programs closed theirs: server.py:12 in serve.
    closed_listeners: Mapping[str, str] = field(default_factory=dict)
    parts_at: UserPlace = NOWHERE  # of one that is reported: the user's line at which it goes another way
    ticks_most: int = 0  # wake-ups in a row by time alone, while the test waited, until something came of it; 0: few
    _digest: str = field(default="", repr=False)
    _points: Points | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        bad = [*self.failures, *self.handler_errors, *self.verdicts]
        return f"{type(self).__name__}({self.plan or 'no faults'}: {self.outcome}; {len(bad)} failures; {len(self.trace)} events)"

    @property
    def digest(self) -> str:
        """The trace's digest: two runs with the same one did the same."""
        if not self._digest:
            self._digest = self.trace.digest()
        return self._digest

    @property
    def points(self) -> Points:
        """Where a fault could have acted."""
        if self._points is None:
            self._points = Points.of(self.trace, self.targets)
        return self._points


def play(
    test: Callable[[Network], object],
    plan: FaultPlan | str | None = None,
    *,
    target: str | Sequence[str] | None = None,
    rates: FaultRates | None = None,
    seed: int = 0,
    invariants: Mapping[str, str] | None = None,
    may_raise: tuple[type[BaseException], ...] = (),
    per_process: Sequence[str] = (),
    baseline: Run | None = None,
    hurried: bool = False,
    longer_ns: int = LONGER_NS,
    alike: Alike | None = None,
) -> Run:
    """Run *test* once, on a fresh network, under *plan*. What the run did is returned, never raised.

    It may last much longer than *baseline*, the run without faults, by *longer_ns* at least, but not for ever: a client that looks for an answer twice
    a second, while its heart beats on another connection, never lets the network become quiet. *hurried* gives up far sooner on calls in a row
    that have no effect, and on attempts to connect without a pause: for a run of which nobody looks at more than where it hangs, or storms.
    *alike* knows how others like it went on for ever.

    Raises:
        KeyboardInterrupt: Ctrl-C, or a debugger in the run was quit.
        TypeError: *test* takes no network, or is a coroutine function.
    """
    refuse_coroutines(test, "a test")
    network = Network(
        plan,
        target=target,
        rates=rates,
        seed=seed,
        invariants=invariants,
        may_raise=may_raise,
        per_process=per_process,
    )
    returned: Any = None
    error: BaseException | None = None
    network.begin("by a sweep or a simnet.play, which gives it to the test's first parameter")
    if baseline is not None:
        network._running().longest_ns = TIMES_AS_LONG * baseline.time_ns + longer_ns
        network._running().patience = TIMES_AS_LONG * baseline.ticks_most
        network._running().before = baseline.trace.entries
        network._running().alike = alike
    if hurried:
        network._running().calls_max = CALLS_MAX_HURRIED
        hurry(network._running())
    try:
        returned = test(network)
    except KeyboardInterrupt:
        network.finish(settle=False)
        raise
    except BaseException as raised:  # noqa: BLE001  # whatever leaves the body is the run's result
        error = in_full(raised, network._running().interrupted)
        if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            network.finish(settle=False)  # it could not even be called
            raise TypeError(f"a test is given the network, as in def test_echo(net): {error}") from None
    network.finish(failed=error is not None)
    try:
        return unless_left(run_of(network, returned, error))
    finally:
        # The exception's traceback refers to this frame: what holds the exception must be no local of it, nor the run.
        network = returned = error = None  # type: ignore[assignment]


_Run = TypeVar("_Run", bound=Run)


def unless_left(run: _Run) -> _Run:
    """*run*, unless somebody has left a debugger in it, or pytest altogether, and wants no other run after it."""
    if run.body_error is not None or run.failures or run.handler_errors:
        ended = [each.error for each in run.failures] + [each.error for each in run.handler_errors]
        for error in (run.body_error, *ended):
            kind = (type(error).__module__, type(error).__name__)  # to import either takes longer than a run
            if kind == ("bdb", "BdbQuit"):
                raise KeyboardInterrupt from None
            if error is not None and kind == ("_pytest.outcomes", "Exit"):
                raise error.with_traceback(None) from None
    return run


def run_of(network: Network, returned: Any, error: BaseException | None) -> Run:
    """What there is to know of *network*, which has ended, or of one that goes on, so far."""
    return Run(
        **known_of(network, returned, error),
        waiting=[
            Waiting(
                process.name,
                process.host_name,
                process.target,
                what,
                where,
                process.since_ns,
                tasks,
                alone,
                _is_left(process),
                process.owner is not None,
                is_of_the_round(network._running(), process),
            )
            for process, what, where, tasks, alone in network.waiting
        ],
        time_ns=network._clock.now_ns,
        ticks_most=network._running().ticks_most,
        dozing=network._dozing,
        sends_on_the_closed={process.host_name: process.in_vain for process in network.processes if process.in_vain},
        signalled=_signalled(network.processes),
    )


def _signalled(processes: Sequence[Process]) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    signalled: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for name, where, tasks in (stood for process in processes for stood in process.stood):
        signalled.setdefault(name, []).append((where, tasks))
    return signalled


def _is_left(process: Process) -> bool:
    """Is it a thread of the test's own, and no daemon?"""
    return process.owner is not None and process.owner.name == BODY and not process.daemon


def known_of(network: Any, returned: Any, error: BaseException | None) -> dict[str, Any]:
    """What a network says of its run in the same words whether it is simulated or real: arguments of `Run`."""
    raised_text = None if error is None else f"{type(error).__name__}: {said_by(error)}"
    failures = [
        ProcessFailure.of(process, process.error, error)
        for process in network.processes
        if process.error is not None and not isinstance(process.error, ProcessEnded)
    ]
    for ended in failures:
        for verdict in carries(ended.error, VERDICTS):
            led_to(verdict, ended.error)
    return {
        "plan": network.plan,
        "happened": network.happened,
        "unreached": network.unreached,
        "outcome": Outcome(
            as_it_is(returned), tuple((name, as_it_is(value)) for name, value in network.observations), raised_text
        ),
        "body_error": error,
        "failures": failures,
        "handler_errors": network.handler_errors,
        "verdicts": network.verdicts,
        "trace": network.trace,
        "targets": _targets(network),
        "listening": network.listening,
        "alive": network.alive,
        "results": tuple(
            (process.name, process.result)
            for process in network.processes
            if process.target and process.result is not None
        ),
        "closed_listeners": network.closed_listeners,
    }


def _targets(network: Any) -> tuple[str, ...]:
    """The names of the hosts under test; the body's, if it is one, comes last."""
    names = [name for name, host in network._hosts.items() if host.machine.target]
    return tuple(sorted(names, key=lambda name: name == BODY))
