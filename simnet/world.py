"""``Network``: the class users hold, and the life of a run."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import CodeType, FrameType, TracebackType
from typing import Any

from greenlet import getcurrent

from simnet import invariants as checks
from simnet import modules, wait, watchdog
from simnet.aftermath import explain, let_go_of_frames, raise_what_failed
from simnet.backend import SimulatedBackend, provider
from simnet.both import seen, slips
from simnet.both.always import Holding
from simnet.both.asked import (
    Given,
    exceptions_of,
    flag_of,
    name_of,
    observed_name,
    plan_of,
    rates_of,
    right_names,
    seconds_of,
    seed_of,
    target_of,
)
from simnet.clock import Clock
from simnet.faults.hosts import BODY
from simnet.faults.inject import Injector
from simnet.faults.plan import FaultPlan
from simnet.faults.rates import FaultRates
from simnet.files.dropped import collect_the_youngest
from simnet.host import Host
from simnet.kernel.states import LISTEN
from simnet.link import Link
from simnet.machine import Machine
from simnet.netstat import Netstat, snapshot
from simnet.network import Fabric
from simnet.observe import Watcher
from simnet.outages import strokes
from simnet.outages.power import refuse_without_power
from simnet.owned import collector
from simnet.owned.eventloops import KNOWN_LOOP, end_wherever_it_is, hush_verdicts, let_go
from simnet.owned.state import ProcessState, checked_names
from simnet.process import Process, refuse_arguments, refuse_coroutines
from simnet.resolver.lookups import look_up
from simnet.scheduling import strangers, stuck
from simnet.scheduling.rounds import is_of_the_round
from simnet.scheduling.schedule import chooser
from simnet.socket import Socket
from simnet.standins import interrupts
from simnet.standins.chance import begin_alike
from simnet.standins.sockets import called_by_class
from simnet.trace import OBSERVE, Trace
from simnet.verdicts import HandlerError, Verdict
from simnet.wait import Scheduler
from simnet.whereabouts import in_short, leads_out

__all__ = ["Host", "Network"]


class Network(Holding):
    """A simulated network: hosts, links, one virtual clock.

    ``with Network(plan) as net:`` makes the block a process on the host ``test``. Leaving it lets all other processes go on
    until the network is quiet, then raises what failed: the exception of a process, or a broken invariant.

    *plan*, or its one-line form, and *rates* are the faults, *seed* seeds all random numbers, *target* names the hosts under test
    (default: every host with a spawned process). *invariants* maps names to ``"failure"``, ``"warning"`` or ``"off: why"``; *may_raise* are exceptions a target may
    end with. Without *trace* nothing is recorded, which makes a run of millions of calls faster and saves memory.
    """

    __slots__ = (  # what is set by a mistaken name is refused
        "__weakref__", "_plan", "_seed", "_target", "invariants", "may_raise", "trace", "observations",
        "_dozing", "_per_process", "_clock", "_injector", "_fabric", "_hosts", "_state", "_scheduler", "_watcher", "_held",
        "_names", "_spawned", "_doubtful", "_hears_of_interrupts", "_at_users_code", "_stopped", "_failed",
        "_installed", "_struck", "handler_errors", "verdicts", "waiting", "listening", "alive",
    )  # fmt: skip

    INNER = ("begin", "finish", "linked", "spawn_on")

    plan: Given[FaultPlan] = Given()
    seed: Given[int] = Given()
    target: Given[tuple[str, ...] | None] = Given()

    def __init__(
        self,
        plan: FaultPlan | str | None = None,
        *,
        target: str | Sequence[str] | None = None,
        rates: FaultRates | None = None,
        seed: int = 0,
        invariants: Mapping[str, str] | None = None,
        may_raise: tuple[type[BaseException], ...] = (),
        per_process: Sequence[str] = (),
        trace: bool = True,
    ) -> None:
        self._plan = plan_of(plan)
        self._seed = seed_of(seed) or self._plan.seed
        self._target = target_of(target)
        self.invariants = {} if invariants is None else checks.checked(invariants)
        self.may_raise = exceptions_of(may_raise) if may_raise != () else ()
        self.trace = Trace(recording=trace is True or flag_of("trace", trace))
        self.observations: list[tuple[str, Any]] = []
        self.handler_errors: list[HandlerError] = []
        self._per_process = checked_names(per_process) if per_process != () else ()
        self._clock = clock = Clock()
        self._injector = Injector(self._plan, rates_of(rates), clock, self.trace)
        self._fabric = Fabric(clock, self.trace, self._injector)
        self._hosts: dict[str, Host] = {}
        self._state: ProcessState | None = None
        self._scheduler: Scheduler | None = None
        self._watcher: Watcher | None = None
        self._held: list[Callable[[], object]] = []
        self._names: dict[str, int] = {}
        self._spawned = 0  # processes, beside the body and threads
        self._doubtful: dict[str, None] = {}  # hosts that links alone have named
        self._hears_of_interrupts = self._stopped = False  # of Ctrl-C, by Ctrl-C
        self._at_users_code = self._installed = False  # it is not this room that runs; who asks is answered here
        self._failed = False  # the body has ended by an exception
        self._struck = False  # the test has crashed a host, or parted two
        self.verdicts: list[Verdict] = []
        self.waiting: list[tuple[Process, str, str, tuple[str, ...], bool]] = []
        self.listening: tuple[str, ...] = ()
        self.alive: tuple[str, ...] = ()
        self._dozing: dict[str, tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"Network({', '.join(self._hosts) or 'no hosts'}, at {self.time:.6f} s)"

    # --- the world -------------------------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """The host of this name, created on first use. Its name resolves everywhere in the network."""
        if name.__class__ is not str:
            name_of(name)
        host = self._hosts.get(name)
        if host is None:
            if name not in right_names:
                name_of(name)
            host = self._hosts[name] = Host(self, self._fabric.machine(name, str(self._seed)))
            host.machine.target = self._target is not None and name in self._target
        elif self._doubtful:
            self._doubtful.pop(name, None)
        return host

    def link(self, a: str, b: str) -> Link:
        """The link between two hosts: ``net.link("test", "server").latency = 0.2`` (seconds, each way)."""
        for each in (a, b):
            if each.__class__ is not str:
                name_of(each)
        doubtful = [name for name in (a, b) if name not in self._hosts or name in self._doubtful]
        self.host(a)
        self.host(b)
        self._doubtful.update(dict.fromkeys(doubtful))
        return self._fabric.link(a, b)

    @property
    def linked(self) -> Iterable[tuple[str, str]]:
        """The hosts between which there is a link."""
        return self._fabric.links

    def partition(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Drop everything between two hosts from now on; with *one_way*, everything from *a* to *b*."""
        sources = (a,) if flag_of("one_way", one_way) else (a, b)
        self.link(a, b).block(*sources)
        self._struck = True

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """End a partition between two hosts; without names, every partition."""
        if (a is None) != (b is None):
            raise TypeError("heal() takes both hosts, or none for every link")
        links = self._fabric.links.values() if a is None or b is None else (self.link(a, b),)
        for link in links:
            link.block()

    @property
    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._clock.now_ns / 1e9

    def sleep(self, seconds: float) -> None:
        """Let *seconds* of virtual time pass."""
        self._going_on().backend.sleep(seconds_of("sleep", seconds))

    def run(self, seconds: float | None = None) -> None:
        """Let all other processes go on: for *seconds* of virtual time; without them until the network is quiet, at most 300 s.

        Raises:
            RuntimeError: the network has been left, or the caller is not the test's body.
        """
        scheduler = self._going_on()
        if (caller := scheduler.current) is not scheduler.body or caller.cannot_wait:
            raise RuntimeError(f"run() is for the test alone; {caller.name} lets time pass with time.sleep()")
        if seconds is None:
            scheduler.ticks = 0  # how long the test has slept before says nothing of others
            scheduler.settle(over=False)
        else:
            scheduler.backend.sleep(seconds_of("run", seconds))

    def observe(self, name: str, value: Any) -> None:
        """Make *value* part of the outcome: under transparent faults it must be the same as without faults."""
        self.observations.append((observed_name(name), value))
        self.trace.entries.append((self._clock.now_ns, OBSERVE, BODY, BODY, "", name, 0, seen.in_a_trace(value)))

    def _record(self, verdict: Verdict) -> None:
        self._running().record(verdict)

    def netstat(self) -> Netstat:
        """Every socket of every process, now."""
        return snapshot(self._running().processes)

    @property
    def happened(self) -> FaultPlan:
        """The faults that acted, exactly: replayed without rates they give the identical trace."""
        fired, plan = tuple(self._injector.fired), self._plan
        return plan if fired == plan.faults else FaultPlan(fired, schedule=plan.schedule, seed=plan.seed)

    @property
    def unreached(self) -> tuple[Any, ...]:
        """The faults of the plan whose anchor was not reached (so far)."""
        return self._injector.unreached

    @property
    def closed_listeners(self) -> dict[str, str]:
        return self._running().closed_listeners

    @property
    def processes(self) -> list[Process]:
        """Every process spawned so far, the body (on host ``test``) first."""
        return self._running().processes

    # --- a run -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Network:
        caller = sys._getframe(1)
        self.begin((caller.f_code, caller.f_lineno))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True  # pytest shows the user's line that left the network, and no more
        self.finish(settle=not isinstance(error, (KeyboardInterrupt, GeneratorExit)), failed=error is not None)
        if error is None:
            raise_what_failed(self)
        else:
            explain(error, self)

    def begin(self, by: tuple[CodeType, int] | str = "by hand") -> None:
        """From here on, the calling code is the process ``test``. *by* is told to who enters another one meanwhile."""
        if self._scheduler is not None:
            raise RuntimeError("this network has been entered before; make a new one for each run")
        if (other := modules.active()) is not None:
            raise stuck.entered_already(other.entered)
        self._hears_of_interrupts = interrupts.tell(self._interrupt)
        try:
            self._state = ProcessState(self._per_process)
            scheduler = Scheduler(self._clock, self.trace, self._state.swap, chooser(self._plan.schedule))
            scheduler.entered = by
            self._scheduler = scheduler
            self._enter(scheduler)
        except BaseException:
            self._leave()
            self._is_over()
            raise

    def _enter(self, scheduler: Scheduler) -> None:
        scheduler.backend = SimulatedBackend(scheduler, self._look_around, self.spawn_on)
        self._fabric.look_up = partial(look_up, scheduler)
        scheduler.verdicts = self.verdicts
        if checks.lets_spin(self.invariants):
            scheduler.lets_spin, scheduler.pauses_max = True, wait.PAUSES_LET
        body = Process(scheduler, self.host(BODY).machine, 0, BODY, None)
        body.greenlet = getcurrent()
        body.target = self._hosts[BODY].machine.target
        scheduler.body = scheduler.current = body
        scheduler.processes.append(body)
        wait.enter(scheduler)  # not before: a finalizer may ask who it is that runs
        self._watcher = Watcher(scheduler, self.handler_errors)
        self._watcher.attach()
        begin_alike(self._seed)
        modules.place_at_loops()
        collector.keep_off(self)
        if self._injector.timed:
            strokes.prepare(scheduler, self._fabric)
        watchdog.guard(scheduler, interrupts.rouse)
        modules.install(provider)
        called_by_class(Socket)
        self._installed = self._at_users_code = True
        if self._stopped:
            scheduler.interrupted = KeyboardInterrupt()

    def _interrupt(self, frame: FrameType | None, roused: bool) -> None:
        """Ctrl-C stops the run, whatever process has the floor and whatever it does with KeyboardInterrupt.

        It is raised at once in the users' code alone: in ours it would leave a network half entered, or half left.
        """
        scheduler = self._scheduler
        if scheduler is None:  # it is about to be entered, and says so then
            self._stopped = True
            return
        raised = self._at_users_code and not (
            frame is not None and leads_out(frame, stopped=scheduler.interrupted is not None)
        )
        if roused:  # by the watchdog: the run has been stopped already, and it still goes on
            if raised and scheduler.interrupted is not None:
                raise scheduler.interrupted
            return
        self._stopped = True
        if self._at_users_code:
            scheduler.interrupted = scheduler.interrupted or stuck.stopped(scheduler.processes, scheduler.clock.now_ns)
        if raised:
            raise scheduler.interrupted or KeyboardInterrupt

    def finish(self, settle: bool = True, failed: bool = False) -> None:
        """The body has ended, *failed* if by an exception: let the network become quiet, look at what is left, end everybody.

        Raises:
            KeyboardInterrupt: Ctrl-C came during the run.
            Exception: a defect of simnet's own, found when all was looked at.
        """
        scheduler = self._running()
        body, self._failed = scheduler.body, failed
        daemons: list[Process] = []
        try:
            if settle and scheduler.interrupted is None:
                if body.crew:  # its threads go on, with its descriptors
                    scheduler.settle()
                    daemons = [each for each in body.crew if each.daemon]
                    for each in daemons:
                        end_wherever_it_is(each)
                if not body.crew:  # else an interpreter would wait on
                    body.close_descriptors()
                strangers.go_home(self._fabric)
                scheduler.settle()
                self._look_at_what_must_hold()
                if len(scheduler.processes) > 1 or body.target:
                    self._look(scheduler, daemons)
                if self._doubtful or self._target is not None:
                    self.verdicts += slips.never_there(self._doubtful, self._fabric.machines)
                    self.verdicts += slips.no_hosts(self._target, self._hosts)
        except BaseException as error:  # noqa: BLE001  # Ctrl-C, a Hang: raised below, or in the record
            if scheduler.interrupted is None or isinstance(error, KeyboardInterrupt):
                scheduler.interrupted = error
        finally:
            self._end(scheduler)
        if self._stopped or isinstance(scheduler.interrupted, KeyboardInterrupt):
            raise KeyboardInterrupt(*getattr(scheduler.interrupted, "args", ()))
        if isinstance(scheduler.interrupted, Exception):  # no verdict, of which there is a record
            raise scheduler.interrupted

    def _look(self, scheduler: Scheduler, daemons: list[Process]) -> None:
        """The network is quiet: what is left? *daemons* went on until the test had ended."""
        listening: list[str] = []
        for process in scheduler.processes:
            if process.done or process is scheduler.body:
                continue
            if process.target and process.owner is None:
                files = process.descriptors.files()
                listening += [str(file.tag) for file in files if getattr(file, "state", None) == LISTEN]
            if not (process.has_deadline or checks.may_yet_be_given(process)):
                (where, in_whole), tasks = process.stands(), process.tasks()
                told = process.describe_wait(in_short(tasks) or in_whole)
                alone = checks.waits_alone(process, in_tasks=bool(tasks))
                self.waiting.append((process, told, where, tasks, alone))
                if process.target and self.invariants.get(checks.WAITS_FOR_EVER, "off") != "off":
                    verdict = checks.still_waiting(process, told)
                    if verdict is not None and not is_of_the_round(scheduler, process):
                        self.verdicts.append(verdict)
            elif process.has_deadline:
                self._dozing[process.name] = process.tasks() if "loop" in process.state or "trio" in sys.modules else ()
        self.listening = tuple(listening)
        lived = [each for each in scheduler.processes if not each.done or each in daemons]
        self.alive = tuple(process.name for process in lived if process.target)
        if any(checks.held_at_quiet(scheduler.processes)):  # held, or waiting for the collector?
            let_go_of_frames(self.handler_errors, scheduler.processes)
            collect_the_youngest()
            self._fabric.flush()
            self.verdicts.extend(checks.at_quiet(scheduler.processes))

    def _end(self, scheduler: Scheduler) -> None:
        self._at_users_code = False
        try:
            interrupted = scheduler.interrupted
            scheduler.interrupted = None  # else every process would be told of it, and not that it is ended
            for process in scheduler.processes:
                if process is not scheduler.body and not process.done:
                    end_wherever_it_is(process)
            scheduler.body.ending = scheduler.body.cannot_wait = True
            scheduler.body.close_descriptors()
            scheduler.body.done = True
            scheduler.interrupted = interrupted
        finally:
            try:
                self._leave()
                self._dissolve(scheduler)
                if self.verdicts:
                    hush_verdicts(self.verdicts)
                    self.verdicts[:] = checks.with_levels(self.verdicts, self.invariants)
            finally:
                self._is_over()

    def _leave(self) -> None:
        """Give the interpreter back what is its own."""
        watchdog.unguard()
        if self._installed:
            modules.remove(provider)
        wait.leave()
        if self._watcher is not None:
            self._watcher.detach()
        if self._state is not None:
            self._state.restore()

    def _is_over(self) -> None:
        """The collector comes back, now that little is left to look through; and then Ctrl-C, which might keep it away."""
        collector.give_back(self)
        if self._hears_of_interrupts:
            self._hears_of_interrupts = False
            interrupts.tell_no_more()

    def _dissolve(self, scheduler: Scheduler) -> None:
        """Undo what refers in circles, so that a run's memory goes with the last reference, not with the collector."""
        self._fabric.dissolve()
        scheduler.backend = None
        for process in scheduler.processes:
            let_go(process.state.get(KNOWN_LOOP, {}))
            process.forget()
        if scheduler.pipes is not None:
            gc.collect(1)  # whoever closes a pipe when it goes should go now: later the number may be another's
            errors = self.verdicts or self.handler_errors or any(each.error for each in scheduler.processes)
            scheduler.pipes.close(kept=self._failed or bool(errors))

    def _running(self) -> Scheduler:
        if self._scheduler is None:
            raise RuntimeError("enter the network first: with simnet.Network() as net:")
        return self._scheduler

    def _going_on(self) -> Scheduler:
        """The scheduler, where something is still to happen in this network."""
        scheduler = self._running()
        if scheduler.backend is None:
            raise RuntimeError(f"{self!r} has ended: nothing can happen in it any more; make a new one for each run")
        return scheduler

    def _look_around(self) -> None:
        """Take up what was imported since the last look."""
        assert self._state is not None
        assert self._watcher is not None
        if self._state.look():
            self._watcher.attach()
            modules.place_at_loops()

    def spawn_on(
        self,
        machine: Machine,
        fn: Callable[..., Any],
        args: Any,
        kwargs: Any,
        owner: Process | None = None,
        called: str = "",
        daemon: bool = False,
    ) -> Process:
        """Used by :meth:`Host.spawn`; with the process whose thread it is, if it is one, and what runs there."""
        scheduler = self._going_on()
        if wait.current_scheduler() is not scheduler:
            raise RuntimeError(f"{self!r} is not running here: spawn inside its `with` block, in the same thread")
        if owner is None:
            refuse_coroutines(fn, "spawn()", args)
        refuse_without_power(machine)
        name = f"{machine.name}/{called or getattr(fn, '__name__', type(fn).__name__)}"
        self._names[name] = count = self._names.get(name, 0) + 1
        if count > 1:
            name = f"{name}#{count}"
        if self._target is None and machine.name != BODY:
            machine.target = True
        self._look_around()
        if owner is None:
            self._spawned += 1
        process = Process(scheduler, machine, self._spawned, name, fn, args, kwargs, owner)
        process.target = machine.target
        if owner is not None:
            process.daemon = daemon
            process.ident = scheduler.backend.number()
            owner.crew.append(process)
        if machine.still_until_ns > self._clock.now_ns:
            process.held = True  # it begins when the others of its host go on
            scheduler.processes.append(process)
        else:
            scheduler.start(process)
        if process.done and owner is None:
            refuse_arguments(process)
        return process
