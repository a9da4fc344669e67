"""Where code waits and time moves, and nowhere else.

Everything that blocks is a call of :meth:`Scheduler.wait`: a poll, a blocking ``recv``, ``sleep``, joining a process.
One process runs at a time. When it waits, its greenlet takes over the scheduler's part: it lets everything happen that
is due, and switches to the next process that can run. There is no hub, so a switch is one switch, not two.

The test's body runs on the caller's greenlet, so plain code under ``with Network():`` is a process like all
others. Rules that hold here:

* Order is FIFO, unless a schedule permutes the processes that can run at one instant. A woken process goes to the end of the queue.
* The clock moves only when no process can run; all that is due in one instant happens before any process runs in it.
* A poll that may not block and finds nothing lets all others run first (``pause``); ``PAUSES_MAX`` of one process in
  one instant take ``POLLS_NS``, and after ``LAGS_MAX`` times that in a row the clock moves to what is due next.
* A process that reads a clock as often waits for it to move: so it moves. If it works meanwhile, after ``WORKS_MAX`` times that.
* ``TICKS_MAX`` wake-ups in a row by time alone, with nothing on a link, mean that only clocks tick: then a body that
  waits without a deadline is a :class:`Deadlock`, unless who wakes may count (``patience``), and a network whose body has
  ended is *quiet*. It is so at once when each process that still wakes has polled, found nothing and polled again
  ``HEARTBEATS`` times, without even reading a clock; once is enough for a loop that calls nobody in between.
* A trace function (coverage, a debugger) belongs to its process: it is carried over each switch.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from sys import gettrace, settrace
from typing import TYPE_CHECKING, Any, NoReturn

from greenlet import getcurrent, greenlet

from simnet.clock import Clock
from simnet.scheduling import stuck
from simnet.scheduling.beginnings import ITS_TURN, begin
from simnet.scheduling.pace import A_CLOCK_TO_MOVE, LAGS_MAX, LOOKS_MAX, POLLS_NS, SPIN_NS, WORK_NS, WORKS_MAX, pace_of
from simnet.scheduling.preempted import others_go_on
from simnet.scheduling.reads import reads_the_end
from simnet.scheduling.rounds import looks_at_the_end, only_goes_round
from simnet.scheduling.storms import ENTRIES_A_LOOK, getting_nowhere
from simnet.scheduling.workers import idle_worker
from simnet.trace import WAKE, Trace
from simnet.verdicts import Hang, ProcessEnded, Spin, Verdict

if TYPE_CHECKING:
    from simnet.files.pipes import Pipes
    from simnet.process import Process

__all__ = ["Scheduler", "current_scheduler", "enter", "leave", "running"]

PAUSES_MAX, PAUSES_LET = 1_000, 100  # polls in one instant without effect; where it may go on so
TICKS_MAX = 64  # wake-ups in a row by time alone: several rounds of every heartbeat seen in practice
AWAITED_MAX = 2_000  # of them, where the body waits for one of those that wake, or one of them does more than look; or after ``longest_ns``
ALONE_MAX = 250_000  # of them, where the body is one of those that wake: some seconds of real time, and days of virtual
FRUITLESS_MAX = 200  # polls in a row that report readiness nobody does anything about: a busy loop
HEARTBEATS = 3  # the same wake-up so often in a row, with no call in between, is a heart that beats
CALLS_MAX = 20_000  # calls in a row that neither wait nor do anything: a loop that will not end by itself
SWITCHES_MAX = 5_000_000  # process switches in one run; the longest sensible runs make a few hundred thousand
SETTLE_MAX_NS = 300 * 10**9  # after the body's end
WAITS_WHEN_ENDED_MAX, WAITS_TOLD_AGAIN_MAX = 100, 120  # calls in `finally` code until a process is told again, given up


class _Running(threading.local):
    """Of each thread: the scheduler of the network that runs in it."""

    scheduler: Scheduler | None = None


running = _Running()  # for those who cannot afford to call `current_scheduler`
_abandoned: list[greenlet] = []  # never resumed; kept, since the last reference would throw GreenletExit into them


def current_scheduler() -> Scheduler | None:
    """The scheduler of the network that runs in this thread; ``None`` outside a run."""
    return running.scheduler


def enter(scheduler: Scheduler) -> None:
    running.scheduler = scheduler


def leave() -> None:
    running.scheduler = None


class Scheduler:
    """Who runs, who waits for what, and until when."""

    __slots__ = (
        "clock", "trace", "recording", "current", "backend", "body", "processes", "verdicts", "closed_listeners",
        "entered", "ticks", "ticks_most", "patience", "calls", "calls_max", "hung_at", "effects", "seen", "activity", "looks_end", "forced", "entries_max", "look_at", "before", "rounds", "alike",
        "entries_at_ns", "entries_then", "in_vain", "interrupted", "told", "lets_spin", "pauses_max", "switches", "longest_ns", "pipes", "runnable", "_sleepers", "_settling", "_settle_until_ns", "arrived_ns", "_arrived_effects", "_lags", "_lagged", "_looked", "_worked", "deadlocks", "_choose", "_back", "swap",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        trace: Trace,
        swap: Callable[[Process, Process], None],
        choose: Callable[[Sequence[Process]], int] | None = None,
    ) -> None:
        self._choose, self.swap = choose, swap
        self._back: Process | None = None  # who has the floor again before all others, whatever the schedule says
        self.entered: Any = "by hand"  # at which line of which code, or by whom
        self.backend: Any = None  # what answers the stand-ins; set by the world
        self.pipes: Pipes | None = None  # real ones, if processes make any
        self.clock, self.trace, self.recording = clock, trace, trace.recording
        self.current: Process = None  # type: ignore[assignment]  # set by the first process to start
        self.body: Process = None  # type: ignore[assignment]
        self.processes: list[Process] = []
        self.verdicts: list[Verdict] = []
        self.closed_listeners: dict[str, str] = {}  # where a program closed them last
        self.ticks = 0  # wake-ups by time alone since the last call that had an effect
        self.ticks_most, self.patience = 0, AWAITED_MAX  # the most of them while the body waited, and how many may be
        self.effects = self.seen = 0  # calls that did something, by anybody; how many `account` has seen
        # Calls that did nothing, and looks at a clock or at dice, by anybody; with how many it is seen whether anything else is done.
        self.activity, self.looks_end = 0, LOOKS_MAX
        self.entries_max, self.before = ENTRIES_A_LOOK, trace.entries  # so long; and one without faults: see `storms`
        self.entries_at_ns = self.entries_then = 0  # when somebody looked last, and from which line on it was then
        self.in_vain = self.look_at = 0  # looks in a row that found nothing but attempts; in a hurry, when the next is
        self.calls, self.calls_max = 0, CALLS_MAX  # calls without effect since the last wait, or the last with one
        self.hung_at: set[str] | None = None  # at these lines, if it is fewer that may be: see `stuck`
        self.interrupted: BaseException | None = None  # Ctrl-C, or what the watchdog has to say
        self.told: Any = None  # it, if a wait has raised it, and its traceback of before: see `stuck`
        self.lets_spin, self.pauses_max = False, PAUSES_MAX  # busy loops go on where no-spin is off, or a warning
        self.switches, self.longest_ns = 0, 2**63  # after that time a test that waits is said to wait for ever
        self.runnable: deque[Process] = deque()
        self._sleepers, self._settling, self._settle_until_ns = 0, False, 0  # of waits: those with a deadline
        self.rounds: Any = None  # what goes on again and again: see `rounds`
        self.alike: Any = None  # how other runs of a sweep went on for ever: see `alike`
        self.arrived_ns, self._arrived_effects = -1, 0  # when something was last on its way, and what had been done
        self._lags, self._lagged = 0, (-1, -1)  # times in a row that polls took time; until when, and what was done
        # What had been done at the last of these looks, and when; in a row: looks at one instant, clocks moved by who may not wait, Deadlocks told.
        self._looked, self._worked, self.forced, self.deadlocks = (-1, -1), 0, 0, (-1, 0)

    # --- what processes call -----------------------------------------------------------------------------------

    def wait(self, what: tuple[str, Any], deadline_ns: int | None = None) -> bool:
        """Wait until somebody wakes the current process; False if *deadline_ns* came first.

        *what* says for what: a word and an object, for people. A wake-up may be spurious: look again, and wait again.
        """
        me = self.current
        if me.cannot_wait:
            return self._wait_when_it_cannot(me, deadline_ns)
        if self.effects != self.seen:  # as `account` does
            self.seen = self.effects
            self.ticks = self.forced = 0
        self.calls = 0
        if me.timed_out:
            me.heartbeats = me.heartbeats + 1 if self.activity + self.seen == me.activity else 0
            if deadline_ns is None and me is self.body:  # the ticks were its own: now it has done with waiting for time
                self.ticks = 0
        else:
            me.heartbeats = 0
        clock = self.clock
        me.since_ns = now_ns = clock.now_ns
        heap = clock.heap
        if (
            deadline_ns is not None
            # Nothing is due before that; what was called off does not count.
            and not (heap and heap[0] <= deadline_ns and clock.next_due_ns() is not None and heap[0] <= deadline_ns)
            and self._alone_until(deadline_ns, me)
        ):
            if deadline_ns > now_ns:
                clock.now_ns = deadline_ns
            me.timed_out = True
            self.ticks += 1
            me.activity = self.activity + self.seen
        else:
            me.waiting = what
            me.timed_out = False
            me.asleep = True
            timer = None
            if deadline_ns is not None:
                me.has_deadline = True
                self._sleepers += 1
                timer = clock.at(deadline_ns, self._expire, me, True)
            following = self._next()
            if following is not me:
                self._switch(following)
            me.waiting = None
            me.activity = self.activity + self.effects
            if timer is not None and deadline_ns is not None:
                me.has_deadline = False
                self._sleepers -= 1
                timer.cancel()
                if self.recording and not me.timed_out:
                    self.trace.deadlines.append((me.host_name, clock.now_ns, deadline_ns))
            if me.pending is not None:
                me.meet_pending()
            if self.interrupted is not None:
                raise stuck.told_again(self)
        if self.recording:
            self.trace.entries.append((clock.now_ns, WAKE, me.host_name, me.name, "", what[0], 0, not me.timed_out))
        return not me.timed_out

    def _alone_until(self, deadline_ns: int, me: Process) -> bool:
        """Nothing is due before *me* wakes by time: does nobody run before it either, and do the rules let it wake?"""
        if self.runnable or self.interrupted is not None or me.pending is not None:
            return False
        if self._settling:  # the last one with a deadline, and its heart does not beat yet
            return (
                self.ticks < TICKS_MAX
                and me.heartbeats < HEARTBEATS
                and deadline_ns <= self._settle_until_ns
                and not (self._sleepers or self.clock.busy)
            )
        most = ALONE_MAX if deadline_ns <= self.longest_ns else AWAITED_MAX
        return self.ticks < TICKS_MAX or (self.ticks < most and (me is self.body or self.body.has_deadline))

    def pause(self) -> None:
        """Let everybody run who may run now; called by whatever looked, found nothing and may not block."""
        me = self.current
        if me.cannot_wait:
            self._wait_when_it_cannot(me, 0)
            return
        if self.effects != self.seen:  # as `account` does
            self.seen = self.effects
            self.ticks = self.calls = self.forced = 0
        clock = self.clock
        if me.paused_ns != clock.now_ns or me.paused_at != self.effects:
            me.pauses, me.paused_ns, me.paused_at = 0, clock.now_ns, self.effects
        me.pauses += 1
        if clock.heap and clock.heap[0] <= clock.now_ns and clock.due_now():
            clock.tick()
        elif me.pauses > self.pauses_max and not self._lag(clock):
            self.forced += 1
            if self.forced > TICKS_MAX or not clock.tick():
                self.forced = 0
                self.spun(stuck.polled_for_nothing(me, clock.now_ns, self.pauses_max), me)
        if self.runnable:
            me.waiting = ITS_TURN
            self.runnable.append(me)
            self._switch(self._take())
            me.waiting = None
        if me.pending is not None:
            me.meet_pending()
        if self.interrupted is not None:
            raise stuck.told_again(self)

    def _lag(self, clock: Clock) -> bool:
        """Let so many polls take the time that they take a kernel, unless they have for long, or just did and what was due
        has led nowhere before: who polls until a deadline is past waits for that, a loop may have many turns to do.
        """
        later_ns, due = clock.now_ns + POLLS_NS, clock.next_due_ns()
        lags = self._lags if self._lagged == (clock.now_ns, self.effects) else 0
        goes_on = lags < LAGS_MAX and (due is None or (due > later_ns and not (lags and self.forced)))
        self._lags = lags + 1 if goes_on else 0
        if goes_on:
            clock.now_ns = later_ns
            self._lagged = (later_ns, self.effects)
        return goes_on

    def looked(self) -> None:
        """Somebody looks at a clock, and activity has come to ``looks_end``: was that all that it did since the last time?"""
        me, now, hurried = self.current, (self.effects, self.clock.now_ns), self.calls_max < CALLS_MAX
        since_ns, (looks, later_ns) = me.since_ns, pace_of(self, me)
        self.looks_end = self.activity + looks
        self._worked = self._worked + 1 if now[1] == self._looked[1] else 0
        if now != self._looked:
            if self._worked > WORKS_MAX:
                self.wait(A_CLOCK_TO_MOVE, now[1] + WORK_NS)
        elif not stuck.spins_in_a_loop(me, self.ticks, hurried):  # whose polls count
            if (error := reads_the_end(self, me, hurried)) is not None:
                self.spun(error, me)
            self.wait(A_CLOCK_TO_MOVE, now[1] + later_ns)
        self._looked, me.since_ns = (self.effects, self.clock.now_ns), since_ns  # it has not waited by itself

    def account(self) -> None:
        """Calls that did something do no more than count themselves, in ``effects``; here it counts what follows.

        It is not only clocks that tick, and no loop of calls for nothing. Asked wherever somebody waits or loses the
        floor, and before anything is concluded from calls without effect.
        """
        if self.effects != self.seen:
            self.seen = self.effects
            self.ticks = self.calls = self.forced = 0

    def _blame(self, error: Spin | Hang, process: Process) -> NoReturn:
        name = "no-spin" if isinstance(error, Spin) else "Hang"
        self.record(Verdict(name, str(error), process.host_name, error))
        self.interrupted = self.interrupted or stuck.caught_too_often(process, error)
        raise error

    def no_effect(self, op: str, place: str) -> None:
        """A call did nothing, and did not wait: which one, should this go on for ever."""
        if self.effects != self.seen:
            self.account()
        self.calls += 1
        self.activity += 1
        if self.calls > self.calls_max and (error := stuck.called_for_nothing(self, CALLS_MAX, op, place)):
            self._blame(error, self.current)  # a loop that will not end by itself

    def told_again(self, waits: bool) -> bool:
        """A poll tells the current process once more that something is ready, and it has done nothing since the last one
        did (``told_at``). True if it spins: that went on for long; longer yet, if it only looks, and never *waits*.
        """
        me = self.current
        me.fruitless = me.fruitless + 1 if not waits or me.told_at_once(self.clock.now_ns) else 2
        return me.fruitless > (FRUITLESS_MAX if waits else PAUSES_MAX)

    def spins(self, what: tuple[str, ...]) -> None:
        """Polls of the current process reported readiness too often for nothing, of *what* at last."""
        me, effects = self.current, self.effects
        times, me.fruitless = me.fruitless - 1, 0
        self.pause()  # who may run now does first: on a kernel it had its turn long ago
        if self.effects == effects and not others_go_on(self):
            self.spun(stuck.told_for_nothing(me, self.clock.now_ns, times, what), me)

    def spun(self, error: Spin, process: Process) -> None:
        """*process* takes a whole processor for nothing, as *error* says: it ends, or lets time pass where it may go on."""
        if not self.lets_spin:
            self._blame(error, process)
        if not stuck.has_spun(self.verdicts, process.name):
            self.record(Verdict("no-spin", str(error), process.host_name, error))
        self.wait(A_CLOCK_TO_MOVE, self.clock.next_due_ns() or self.clock.now_ns + SPIN_NS)

    def too_much(self, process: Process) -> None:
        """The trace has grown by a lot, by a call of *process* at last: does that lead anywhere?"""
        if (error := getting_nowhere(self, process)) is not None:
            self._blame(error, process)

    def still_going(self, process: Process) -> None:
        """A process that has been told to end makes one more call; after too many of them it is told again, and then abandoned."""
        process.waits_when_ending += 1
        if process.waits_when_ending == WAITS_WHEN_ENDED_MAX:  # a bare `except` around a handler swallows it once
            raise ProcessEnded(f"the network of {process.name} has ended")
        if process.waits_when_ending > WAITS_TOLD_AGAIN_MAX:
            self.record(stuck.goes_on(process, WAITS_TOLD_AGAIN_MAX))
            process.done = True
            _abandoned.append(getcurrent())
            self._switch(self._next())

    def record(self, verdict: Verdict) -> None:
        """Keep a verdict. Whatever becomes of the exception that carries it, the run knows."""
        self.verdicts.append(verdict)

    def start(self, process: Process) -> None:
        """Run a new process until it first waits, or ends; then the caller goes on."""
        me = self.current
        self.account()
        self.processes.append(process)
        begin(self._switch, self.runnable, me, process)
        if self.interrupted is not None:
            raise stuck.told_again(self)

    def wake(self, process: Process) -> None:
        """*process* may run again."""
        if process.asleep:
            process.asleep = False
            self.runnable.append(process)

    # --- the end of a run --------------------------------------------------------------------------------------

    def settle(self, *, over: bool = True) -> None:
        """Called by the body, when it is *over* if not before: everybody else goes on until the network is quiet."""
        self.account()
        self._settling, body, now_ns = True, self.body, self.clock.now_ns
        self._settle_until_ns = now_ns + SETTLE_MAX_NS
        self.rounds = looks_at_the_end(self, self._settle_until_ns, over=over)
        body.waiting, body.since_ns, body.asleep = ("quiet", None), now_ns, True
        self._switch(self._next())
        self._settling, body.waiting, body.pending = False, None, None
        if self.interrupted is not None:
            raise stuck.told_again(self)

    def end(self, process: Process, why: str = "") -> None:
        """End a process where it waits: its descriptors are closed, then its wait raises. *why* if not with its network."""
        if process.done:
            return
        process.ending = process.cannot_wait = True
        process.close_descriptors()
        process.asleep = process.held = False
        process.pending = ProcessEnded(why or f"the network of {process.name} has ended")
        if process in self.runnable:
            self.runnable.remove(process)
        self.strike(self.current)
        self._switch(process)

    def strike(self, process: Process) -> None:
        """*process* has the floor before anybody else who may run now."""
        self.runnable.appendleft(process)
        if self._choose is not None:
            self._back = process

    def finished(self, process: Process) -> Process:
        """Called on a worker greenlet whose process has ended: the next process to run."""
        self.account()
        if process.owner is None or any(each.fn is not None or each is self.body for each in process.joiners):
            self.ticks = 0  # who ends has done something, unless it is one of a row of timers
        for joiner in process.joiners:
            self.wake(joiner)
        process.joiners.clear()
        return self._next()

    # --- the scheduler's part ----------------------------------------------------------------------------------

    def _expire(self, process: Process) -> None:
        if process.asleep:
            process.asleep = False
            process.timed_out = True
            self.ticks += 1
            self.runnable.append(process)

    def _next(self) -> Process:
        runnable, clock = self.runnable, self.clock
        while not runnable:
            if self.interrupted is not None:
                self._rouse_body()
            elif clock.busy:
                if self._settling and clock.now_ns > self.rounds.look_ns and only_goes_round(self):
                    self._rouse_body()
                else:
                    clock.tick()
                    self.ticks = 0  # who looks now and then has not looked since what was on its way arrived
                    self.arrived_ns = clock.now_ns
            elif self.ticks >= TICKS_MAX and (self._settling or not (self.body.has_deadline or self._is_awaited())):
                self._nothing_will_happen()
            elif not self._sleepers:
                if self._settling or clock.next_due_ns() is None:
                    self._nothing_will_happen()
                else:  # a keepalive: it may find out that the peer is gone
                    self.ticks += 1
                    clock.tick()
            elif self._settling and (self._only_hearts_beat() or (clock.next_due_ns() or 0) > self._settle_until_ns):
                self._rouse_body()
            elif self.ticks >= (ALONE_MAX if clock.now_ns <= self.longest_ns else AWAITED_MAX):
                self._only_time_passes()
            else:
                clock.tick()
        if self._choose is None:
            return runnable.popleft()
        return self._take()

    def _take(self) -> Process:
        """Who of those that may run does: the first in line, unless the schedule says otherwise."""
        runnable = self.runnable
        process, self._back = self._back, None
        if process is not None:
            runnable.remove(process)
            return process
        if self._choose is not None and len(runnable) > 1:
            index = self._choose(runnable)
            process = runnable[index]
            del runnable[index]
            return process
        return runnable.popleft()

    def _is_awaited(self) -> bool:
        """Does the body wait for somebody who still wakes by time? That one may count its wake-ups."""
        self.ticks_most = max(self.ticks_most, self.ticks)
        return stuck.is_awaited(self, AWAITED_MAX, HEARTBEATS)

    def _only_hearts_beat(self) -> bool:
        """Does everybody who will wake just look, find nothing, and sleep again, as they did the last times?"""
        if self.effects != self._arrived_effects:
            self._arrived_effects = self.effects
            self.arrived_ns = self.clock.now_ns
        return stuck.only_look(self.processes, self.arrived_ns, HEARTBEATS)

    def _rouse_body(self) -> None:
        self.body.asleep = False
        self.runnable.append(self.body)

    def _nothing_will_happen(self) -> None:
        if not self._settling:
            self.body.pending = stuck.nobody_will_wake(self)
        self._rouse_body()

    def _only_time_passes(self) -> None:
        self.body.pending, self.ticks = stuck.only_time_passes(self), 0
        self._rouse_body()

    def _wait_when_it_cannot(self, me: Process, deadline_ns: int | None) -> bool:
        self.still_going(me)
        if deadline_ns is None:
            raise ProcessEnded(f"the network of {me.name} has ended")
        return False

    def _switch(self, process: Process) -> None:
        me = self.current
        if process is me:
            return
        self.switches += 1
        if self.switches > SWITCHES_MAX and self.interrupted is None:
            error = Hang(f"{SWITCHES_MAX:,} process switches and no end in sight; last: {process.name} and {me.name}")
            self.record(Verdict("Hang", str(error), me.host_name, error))
            self.interrupted = error
        self.swap(me, process)
        self.current = process
        effects, trace = self.effects, gettrace()
        me.greenlet = getcurrent()  # it may be one of the program's own
        if process.greenlet is None:
            process.greenlet = worker = idle_worker()
            worker.switch(process)
        else:
            process.greenlet.switch()
        me.told_at += self.effects - effects  # what others did meanwhile is not its own doing
        if gettrace() is not trace:
            settrace(trace)
