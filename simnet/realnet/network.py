"""``RealNetwork`` and its hosts: the faces of `simnet.world`, over loopback sockets and threads.

Leaving a network ends every thread and closes every socket of it, within a bound; what does not end is a verdict.
"""

from __future__ import annotations

import functools
import gc
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, TracebackType
from typing import Any, NoReturn

from simnet import invariants as checks
from simnet import modules, real
from simnet.aftermath import explain, raise_what_failed
from simnet.blame import users_own
from simnet.both import seen, slips
from simnet.both.always import Holding
from simnet.both.asked import Given, exceptions_of, name_of, observed_name, plan_of, seconds_of, seed_of, target_of
from simnet.faults.hosts import BODY
from simnet.faults.plan import FaultPlan
from simnet.link import Link
from simnet.netstat import Netstat
from simnet.observe import Watcher
from simnet.owned.eventloops import loop_given_back, loop_set_aside
from simnet.owned.state import checked_names
from simnet.process import refuse_arguments, refuse_coroutines
from simnet.realnet import classes, strangers
from simnet.realnet.backend import provider
from simnet.realnet.guard import Guard
from simnet.realnet.host import RealHost
from simnet.realnet.left import nothing_left
from simnet.realnet.machine import Machine
from simnet.realnet.maps import Maps
from simnet.realnet.netstat import snapshot
from simnet.realnet.process import Lost, RealProcess, current_process, enter, leave
from simnet.realnet.stage import Stage
from simnet.realnet.unix import remove_files
from simnet.scheduling.stuck import entered_already
from simnet.trace import OBSERVE, Trace
from simnet.verdicts import HandlerError, Verdict

__all__ = ["RealNetwork"]

QUIET_NS = 40_000_000  # nothing has moved for so long, and nobody is about to act
SETTLE_NS = 1_000_000_000  # how long a network may go on after its body has ended
END_NS = 1_500_000_000  # how long processes may take to end; then they are interrupted, and get as long again
MOMENT_NS = 50_000_000  # how long threads of the test itself may: one that waits for what the network does ends at once
TICK = 0.002  # seconds between two looks


class RealNetwork(Holding):
    """The interface of `simnet.Network`, over this machine's loopback sockets.

    Processes are threads, time is real, and the kernel answers. Faults on bytes, connections and calls are played as far as
    a kernel can be made to show them (`verdict_class` says what it did itself). A run takes at most *seconds*.
    """

    # What is set by a mistaken name is refused.
    __slots__ = (
        "__weakref__",
        "_plan",
        "_seed",
        "_target",
        "invariants",
        "may_raise",
        "seconds",
        "observations",
        "handler_errors",
        "waiting",
        "listening",
        "alive",
        "_loop_outside",
        "notes",
        "_hosts",
        "_held",
        "_links",
        "_stage",
        "_maps",
        "_per_process",
        "_watcher",
        "_consoles",
        "_guard",
    )

    INNER = ("begin", "finish", "linked", "spawn_on")

    plan: Given[FaultPlan] = Given()
    seed: Given[int] = Given()
    target: Given[tuple[str, ...] | None] = Given()

    def __init__(
        self,
        plan: FaultPlan | str | None = None,
        *,
        target: str | Sequence[str] | None = None,
        rates: object = None,
        seed: int = 0,
        invariants: Mapping[str, str] | None = None,
        may_raise: tuple[type[BaseException], ...] = (),
        per_process: Sequence[str] = (),
        seconds: float = classes.SECONDS,
    ) -> None:
        self._plan = plan_of(plan)
        if rates is not None:
            raise ValueError(
                "rates are for simnet.Network: on real sockets play the plan that happened there (net.happened)"
            )
        self.seconds = classes.seconds_of_a_run(seconds)
        classes.refuse_what_no_kernel_shows(self._plan, seconds)
        self._seed = seed_of(seed) or self._plan.seed
        self._target = target_of(target)
        self.invariants = checks.checked({} if invariants is None else invariants)
        if checks.WAITS_FOR_EVER in self.invariants:
            raise ValueError(
                f"invariants: {checks.WAITS_FOR_EVER!r} cannot be judged on real sockets, where something may always come; "
                "simnet.Network and a sweep judge it"
            )
        self.may_raise = exceptions_of(may_raise)
        self.observations: list[tuple[str, Any]] = []
        self.handler_errors: list[HandlerError] = []
        self.waiting: list[tuple[RealProcess, str, str]] = []
        self.listening: tuple[str, ...] = ()
        self.alive: tuple[str, ...] = ()
        self._loop_outside: Any = None
        self.notes: list[str] = []  # what of the test real sockets cannot follow
        self._hosts: dict[str, RealHost] = {}
        self._held: list[Callable[[], object]] = []
        self._links: dict[tuple[str, str], Link] = {}
        self._stage = Stage(self._plan, self._seed, seconds)
        self._stage.lets_spin = checks.lets_spin(self.invariants)
        self._per_process = checked_names(per_process)
        self._maps = Maps(self._per_process)
        self._watcher: Watcher | None = None
        self._consoles: list[RealProcess] = []
        self._guard: Guard | None = None

    def __repr__(self) -> str:
        return f"RealNetwork({', '.join(self._hosts) or 'no hosts'}, at {self.time:.6f} s)"

    # --- the world -------------------------------------------------------------------------------------------------

    def host(self, name: str) -> RealHost:
        """The host of this name, created on first use. Its name resolves everywhere in the network."""
        if name.__class__ is not str:
            name_of(name)
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = RealHost(self, self._stage.ground.machine(name_of(name)))
            host.machine.target = self._target is not None and name in self._target
        return host

    def link(self, a: str, b: str) -> Link:
        """Accepts what a test sets on a link, and ignores it: loopback has its own latency."""
        self.host(a)
        self.host(b)
        note = f"the link between {a} and {b} is loopback: what is set on it has no effect"
        if note not in self.notes:
            self.notes.append(note)
        key = (a, b) if a <= b else (b, a)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = Link(*key)
        return link

    @property
    def linked(self) -> Iterable[tuple[str, str]]:
        """Links have no effect here, whoever they are between."""
        return ()

    def partition(self, a: str, b: str, *, one_way: bool = False) -> NoReturn:  # as the simulated one's
        """Refused: loopback cannot be cut."""
        classes.refuse("partition")

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Does nothing: no link is ever cut here."""

    @property
    def time(self) -> float:
        """Real seconds since the run began."""
        return self._stage.clock.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of real time pass."""
        self._running().wait("time to pass", (), self._stage.clock.now_ns + round(seconds_of("sleep", seconds) * 1e9))

    def run(self, seconds: float | None = None) -> None:
        """Let all other processes go on: for *seconds* of real time; without them until nothing moves, at most 1 s.

        Raises:
            RuntimeError: the network has been left, or the caller is not the test's body.
        """
        body, now_ns = self._running(), self._stage.clock.now_ns
        if body is not self._stage.body:
            raise RuntimeError(f"run() is for the test alone; {body.name} lets time pass with time.sleep()")
        if seconds is None:
            limit_ns = now_ns + SETTLE_NS
            body.wait("quiet", (), limit_ns, lambda: self._quiet(limit_ns))
        else:
            body.wait("time to pass", (), now_ns + round(seconds_of("run", seconds) * 1e9))

    def observe(self, name: str, value: Any) -> None:
        """Make *value* part of the outcome: under transparent faults it must be the same as without faults."""
        self.observations.append((observed_name(name), value))
        self.trace.entries.append((self._stage.clock.now_ns, OBSERVE, BODY, BODY, "", name, 0, seen.in_a_trace(value)))

    def _record(self, verdict: Verdict) -> None:
        self._stage.record(verdict)

    def netstat(self) -> Netstat:
        """Every socket of every process, now."""
        self._running()
        return snapshot(self._stage.processes, self._consoles)

    # --- what came of it -------------------------------------------------------------------------------------------

    @property
    def verdict_class(self) -> str:
        """How much of the run the kernel did itself: see `simnet.realnet.classes`."""
        return classes.verdict_class(self._plan, self.seconds)

    @property
    def trace(self) -> Trace:
        return self._stage.trace

    @property
    def verdicts(self) -> list[Verdict]:
        return self._stage.verdicts

    @property
    def closed_listeners(self) -> dict[str, str]:
        return self._stage.closed_listeners

    @property
    def happened(self) -> FaultPlan:
        """The faults that acted."""
        return FaultPlan(tuple(self._stage.injector.fired), schedule=self._plan.schedule, seed=self._plan.seed)

    @property
    def unreached(self) -> tuple[Any, ...]:
        """The faults of the plan whose anchor was not reached (so far)."""
        return self._stage.injector.unreached

    @property
    def processes(self) -> list[RealProcess | Lost]:
        """Every process spawned so far, the body (on host ``test``) first; at the end each thread of theirs that an exception has ended."""
        return [*self._stage.processes, *self._stage.lost]

    # --- a run -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> RealNetwork:
        caller = sys._getframe(1)
        self.begin((caller.f_code, caller.f_lineno))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True  # as of a simulated one
        self.finish(settle=not isinstance(error, (KeyboardInterrupt, GeneratorExit)))
        if error is None:
            raise_what_failed(self)
        else:
            explain(error, self)

    def begin(self, by: tuple[CodeType, int] | str = "by hand") -> None:
        """From here on, the calling thread is the process ``test``. *by* is told of a network that nobody leaves."""
        stage = self._stage
        if stage.body is not None:
            raise RuntimeError("this network has been entered before; make a new one for each run")
        if (other := modules.active()) is not None:
            raise entered_already(other.entered)
        try:
            self._maps.look()
        except BaseException:
            self._maps.restore()
            raise
        stage.network, stage.entered = self, by
        stage.stop.open()
        stage.body = RealProcess(stage, self.host(BODY).machine, BODY)
        stage.processes.append(stage.body)
        self._watcher = Watcher(stage, self.handler_errors)  # type: ignore[arg-type]  # of the shape in which it knows a run
        self._watcher.attach()
        self._guard = Guard(self.seconds + 1.0, self._tell_of_a_hang)
        modules.install(provider)
        enter(stage.body)
        self._loop_outside = loop_set_aside()

    def _tell_of_a_hang(self, ident: int) -> None:
        """The body neither waited nor ended in time: it computes."""
        frame = sys._current_frames().get(ident)
        frames = traceback.extract_stack(frame) if frame is not None else []
        users = [
            each for each in frames if users_own(each.filename)
        ] or frames  # what leads to a test tells nothing of it
        stack = "".join(traceback.format_list(users[-6:]))
        self._stage.record(
            Verdict("Hang", f"the test's body has computed beyond {self.seconds:g} s. It was here:\n{stack}", BODY)
        )

    def finish(self, settle: bool = True) -> None:
        """The body has ended: let the others go on until nothing moves, look at what is left, end everybody."""
        body = self._running()
        assert self._guard is not None
        self._guard.lift()
        try:
            if settle:
                body.closing = True
                body.close_descriptors()
                strangers.go_home(self._stage)
                self._settle()
                self._look_at_what_must_hold()
                self._look()
                self.verdicts.extend(slips.no_hosts(self._target, self._hosts))
        finally:
            strangers.go_home(self._stage)
            self._end()
            loop_given_back(self._loop_outside)

    def _settle(self) -> None:
        stage = self._stage
        limit = stage.clock.now_ns + SETTLE_NS
        assert stage.body is not None
        while stage.clock.now_ns < limit:
            if self._quiet(limit):
                return
            real.sleep(TICK)
        busy = [process for process in self._stage.processes[1:] if not process.done and not process.idle]
        for process in busy:
            self._stage.record(
                Verdict("Hang", f"{process.name} neither waits nor ends: {process.describe_wait()}", process.host_name)
            )

    def _quiet(self, limit_ns: int) -> bool:
        """Nothing moves, and nobody but the body will act before *limit_ns*."""
        stage = self._stage
        assert stage.body is not None
        return stage.still_for_ns() > QUIET_NS and stage.nobody_will_act(but=stage.body, before_ns=limit_ns)

    def _look(self) -> None:
        """Nothing moves: what is left?"""
        listening = []
        alive = [process for process in self._stage.processes[1:] if not process.done]
        for process in alive:
            if process.target:
                listening += [
                    str(sock._file.tag) for sock in list(process.sockets) if sock._file.listening and sock._held
                ]
                if not process.asleep:  # else it has not looked yet, and this world has no time to wait for that
                    left = nothing_left(process)
                    if left:  # held, or waiting for the collector?
                        gc.collect()
                        left = nothing_left(process)
                    self.verdicts.extend(left)
            if not any(wait.deadline_ns is not None for wait in list(process.waits.values())):
                self.waiting.append((process, process.describe_wait(), process.where()))
        self.listening = tuple(listening)
        self.alive = tuple(process.name for process in alive if process.target)

    def _end(self) -> None:
        stage = self._stage
        assert stage.body is not None
        others = [*self._stage.processes[1:], *self._consoles]
        try:
            for process in (stage.body, *others):
                process.ending = True  # its waits raise from now on
            stage.stop.tell()
            stage.body.join_threads(real.monotonic_ns() + MOMENT_NS)
            running = {process: process.join_threads(real.monotonic_ns() + END_NS) for process in others}
            for process, threads in running.items():
                if threads:
                    process.interrupt()
            for process, threads in running.items():
                if threads and _goes_on(process):
                    text = f"{process.name} did not end when its network did: {process.describe_wait()}"
                    stage.record(Verdict("Hang", text, process.host_name))
        finally:
            leave()
            stage.network = None
            modules.remove(provider)
            if self._watcher is not None:
                self._watcher.detach()
            self._maps.restore()
            stage.courier.close()
            for process in (stage.body, *others):
                process.close_descriptors()
            if not any(process.lives for process in (stage.body, *others)):
                stage.stop.close()
            for connection in stage.connections.values():
                for file in connection.ends.values():
                    if file is not None:
                        file.let_go()
            stage.ground.close()
            remove_files(stage)
            stage.verdicts[:] = checks.with_levels(stage.verdicts, self.invariants)

    def _running(self) -> RealProcess:
        process = current_process()
        if process is None or process.stage is not self._stage:
            raise RuntimeError("enter the network first, in this thread: with simnet.RealNetwork() as net:")
        return process

    def spawn_on(self, machine: Machine, fn: Callable[..., Any], args: Any, kwargs: Any) -> RealProcess:
        """Used by :meth:`RealHost.spawn`."""
        self._running()
        refuse_coroutines(fn, "spawn()", args)
        name = f"{machine.name}/{getattr(fn, '__name__', type(fn).__name__)}"
        if self._target is None and machine.name != BODY:
            machine.target = True
        self._maps.look()
        assert self._watcher is not None
        self._watcher.attach()
        process = RealProcess(self._stage, machine, self._stage.named(name), functools.partial(fn, *args, **kwargs))
        self._stage.processes.append(process)
        process.start()
        if process.done:
            refuse_arguments(process)
        return process


def _goes_on(process: RealProcess) -> bool:
    """Has *process* been interrupted, and does not end? Who waits in C, as a pool's idle threads do for what may come, hears of nothing and does no harm."""
    looks = [process.idle]  # one says nothing of who computes
    left = process.join_threads(real.monotonic_ns() + END_NS)
    looks.append(process.idle)
    return bool(left) and not looks[-1]
