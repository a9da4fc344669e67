"""What all processes of one real run share: the clock, the record, the plan, and whether anything still moves.

It has the attributes that `simnet.observe` and `simnet.faults.inject` expect of a run, so that both work on real sockets too.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from simnet import real
from simnet.faults.fault import Fault
from simnet.faults.inject import Injector
from simnet.faults.place import Place
from simnet.faults.plan import FaultPlan
from simnet.realnet.connection import Connection, RealFile
from simnet.realnet.courier import Courier
from simnet.realnet.ground import Ground
from simnet.realnet.machine import Machine
from simnet.realnet.process import Lost, RealProcess, current_process
from simnet.realnet.stop import Stop
from simnet.scheduling.stuck import READ_ON, remedy
from simnet.tls.decrypted import unread
from simnet.trace import CALL, Failed, Trace
from simnet.verdicts import Deadlock, Hang, Verdict

__all__ = ["Stage"]

PATIENCE_NS = 1_000_000_000  # nothing moves for so long: nothing will, as kernel and threads need milliseconds
LOOKS_MIN = 25  # of the body, a slice apart, before it is out of patience: a machine that was paused has not looked
PAUSE_NS = 20_000_000  # how long an accept is held back for what its opener has to send
TURN_NS = 5_000_000  # how long who wakes lets others go on: a handler takes far less, a computation is not waited for
ACT_NS = 500_000_000  # how long, where one does two things at once, which takes less unless the machine is busy
STEP = 0.0001  # seconds between two looks
TICKS_MAX = 2  # wake-ups by time alone, each no later than one before, after which a process only keeps time (64 in virtual time, which is free)
TICKING_NS = 10_000_000_000  # for so long who keeps time may still do something, as hang up on an idle peer


class RealClock:
    """Nanoseconds since the run began, as the machine counts them."""

    __slots__ = ("_start_ns",)

    def __init__(self) -> None:
        self._start_ns = real.monotonic_ns()

    @property
    def now_ns(self) -> int:
        return real.monotonic_ns() - self._start_ns


class Stage:
    """One run on real sockets, from inside."""

    def __init__(self, plan: FaultPlan, seed: int, seconds: float) -> None:
        self.plan = plan
        self.seed = seed
        self.clock = RealClock()
        self.expires_ns = round(seconds * 1e9)
        self.trace = Trace()
        clock: Any = self.clock  # it asks for the time alone
        self.injector = Injector(plan, None, clock, self.trace)
        self.ground = Ground(self._asked_for)
        self.courier = Courier()
        self.stop = Stop()
        self.lock = threading.RLock()
        self.processes: list[RealProcess] = []
        self.lost: list[Lost] = []
        self._names: dict[str, int] = {}
        self.body: RealProcess | None = None
        self.network: Any = None  # from its entry to its end
        self.entered: Any = "by hand"  # at which line of which code, or by whom
        self.consoles: list[RealProcess] = []  # in whose name the body uses sockets of other hosts
        self.verdicts: list[Verdict] = []
        self.lets_spin = False
        self.closed_listeners: dict[str, str] = {}  # where a program closed them last
        self.files: dict[int, RealFile] = {}  # by descriptor: what is known of each open socket
        self.connections: dict[tuple[str, int], Connection] = {}  # by the opener's address
        self.attempts: dict[tuple[str, str, int | str], int] = {}
        self.listeners: dict[Place, dict[str, int]] = {}  # the calls so far at each place that listens, or has listened
        # That sockets were bound to: path, device and inode.
        self.unix_files: list[tuple[str, tuple[int, int] | None]] = []
        self.strangers: list[Any] = []  # sockets of those who stay until the test has ended
        self.tampered: list[RealFile] = []  # ends that hide or show what their kernel does not
        self._moved_ns = 0
        self._looks = 0  # of the body, since then
        self._acting = 0  # threads that do two things at once: who wakes meanwhile sees both

    # --- as the observers of loops know a run ------------------------------------------------------------------------

    @property
    def current(self) -> RealProcess:
        """The process of the calling thread; code of nobody's counts as the body's."""
        process = current_process()
        if process is not None and process.stage is self:
            return process
        assert self.body is not None
        return self.body

    def named(self, name: str) -> str:
        """*name*, with a number from the second of that name on."""
        with self.lock:
            self._names[name] = count = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}#{count}"

    def record(self, verdict: Verdict) -> None:
        """Keep a verdict, whatever becomes of the exception that carries it."""
        self.verdicts.append(verdict)

    def asked(self, machine: Machine, op: str, n: int, arguments: Any, result: Failed | None = None) -> None:
        """Write down what a process asked of its host, not of a socket."""
        here = machine.name
        self.trace.entries.append((self.clock.now_ns, CALL, here, here, "", op, n, (arguments, result, op == "lookup")))

    def _asked_for(self, machine: Machine, name: str) -> None:
        machine.lookups += 1
        self.asked(machine, "lookup", machine.lookups, (name,))

    def fire(self, fault: Fault, place: Any, text: str, end: str, n: int) -> None:
        """*fault* acts, now and here."""
        with self.lock:
            self.injector.fire(fault, place, text, end, n)
        self.moved()

    # --- does anything move? -----------------------------------------------------------------------------------------

    def moved(self) -> None:
        """Somebody did something that others may feel."""
        self._moved_ns = self.clock.now_ns
        self._looks = 0
        for process in self.processes:
            process.ticks.forget()

    def still_for_ns(self) -> int:
        """How long nothing has moved."""
        return self.clock.now_ns - self._moved_ns

    def nobody_will_act(self, *, but: RealProcess, before_ns: int, ticks_max: float = TICKS_MAX) -> bool:
        """Every process other than *but* waits for others, or for a time after *before_ns*, or has only kept time, *ticks_max* times."""
        if not self.courier.idle:
            return False
        for process in list(self.processes):
            if process is but or process.done:
                continue
            if not process.idle:
                return False
            for wait in list(process.waits.values()):
                if wait.deadline_ns is not None and wait.deadline_ns < before_ns and process.ticks.beats < ticks_max:
                    return False
                if wait.over:
                    return False
        return True

    def let_others_wait(self, process: RealProcess) -> None:
        """Called by *process*, about to wake: those that run come to their own wait first, within a bound.

        So what one sends in one go, another sees as one, as it does across a link with a latency; threads that raced
        would show a different run each time.
        """
        begun_ns = self.clock.now_ns
        while self.clock.now_ns < begun_ns + (ACT_NS if self._acting else TURN_NS):
            if not (self.courier.busy or self._acting) and all(
                each is process or each.resting for each in self.processes
            ):
                return
            real.sleep(STEP)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """``with stage.at_once():`` nobody who waits goes on before all of it is done. What is done waits for nobody."""
        with self.lock:
            self._acting += 1
        try:
            yield
        finally:
            with self.lock:
                self._acting -= 1

    def let_act(self) -> None:
        """Wait, bounded, until who does several things at once has done them."""
        end_ns = self.clock.now_ns + ACT_NS
        while self._acting and self.clock.now_ns < end_ns:
            real.sleep(STEP)

    def let_settle(self, machine: Machine) -> None:
        """Wait, bounded, until the processes of *machine* wait: what they had to send on a new connection is sent."""
        end_ns = self.clock.now_ns + PAUSE_NS
        while self.clock.now_ns < end_ns and not all(
            each.still and not any(wait.over for wait in list(each.waits.values()))
            for each in self.processes
            if each.machine is machine
        ):
            real.sleep(STEP)

    def judge_wait(self, process: RealProcess) -> None:
        """Has the body waited long enough?

        Raises:
            Deadlock: it waits without a deadline, and nobody who could act will.
            Hang: the run has taken longer than it may.
        """
        if process is not self.body:
            return
        if self.clock.now_ns > self.expires_ns:
            took = f"the run took longer than {self.expires_ns / 1e9:g} s of real time"
            self.expires_ns = 1 << 62  # said once
            self._hang(took, process)
        self._looks += 1
        wait = process.waits.get(threading.get_ident())
        if wait is None or wait.deadline_ns is not None:
            return
        if self._looks < LOOKS_MIN or self.still_for_ns() < PATIENCE_NS:
            return
        ticks_max = math.inf if self.still_for_ns() < TICKING_NS else TICKS_MAX
        if self.nobody_will_act(but=process, before_ns=self.expires_ns, ticks_max=ticks_max):
            next_ns = self._next_beyond(process)
            if next_ns is not None:
                self._hang(
                    f"the next to wake does so at {next_ns / 1e9:.3f} s, and the run may take {self.expires_ns / 1e9:g} s of real time",
                    process,
                )
            error = Deadlock(self._deadlock_text())
            error.seen_until = len(self.trace.entries)
            raise error

    def _next_beyond(self, but: RealProcess) -> int | None:
        """When somebody other than *but* who sleeps wakes behind the end of the run; None if nobody does. Who polls with a time-out mostly
        finds nothing then, and polls again.
        """
        deadlines = [
            wait.deadline_ns
            for process in list(self.processes)
            if process is not but and not process.done and process.ticks.beats < TICKS_MAX
            for wait in list(process.waits.values())
            if wait.what == "time to pass" and wait.deadline_ns is not None and wait.deadline_ns >= self.expires_ns
        ]
        return min(deadlines, default=None)

    def _hang(self, why: str, process: RealProcess) -> NoReturn:
        error = Hang(self._hang_text(why))
        self.record(Verdict("Hang", str(error), process.host_name, error))
        raise error

    def _deadlock_text(self) -> str:
        lines = [
            f"at {self.clock.now_ns / 1e9:.6f} s nothing has moved for {self.still_for_ns() / 1e9:.0f} s, and no process that could act will:"
        ]
        lines += [f"  {process.describe_wait()}" for process in self.processes if not process.done]
        lying = [f"  {line}" for line in unread(self.processes)]
        lines += lying
        ended = [process.name for process in self.processes if process.done]
        if ended:
            lines.append(f"  ended: {', '.join(ended)}")
        lines.append(READ_ON if lying else remedy(len(self.processes)))
        return "\n".join(lines)

    def _hang_text(self, why: str) -> str:
        lines = [f"{why}:"]
        lines += [f"  {process.describe_wait()}" for process in self.processes if not process.done]
        lines.append(
            "On real sockets every wait takes its time. Play it on simnet.Network, or allow it more: RealNetwork(seconds=...), --simnet-seconds in pytest."
        )
        return "\n".join(lines)
