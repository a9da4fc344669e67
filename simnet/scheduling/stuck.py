"""Messages about a run that makes no progress or leaves the simulation: who did what how often, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from simnet.scheduling.pace import polls
from simnet.tls.decrypted import unread
from simnet.trace import Failed
from simnet.verdicts import Deadlock, Escape, Hang, Spin, Verdict
from simnet.whereabouts import called_at, caller, caller_outside, in_short, placed, runs_a_loop, tasks_at_once

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from simnet.process import Process
    from simnet.trace import Entry
    from simnet.wait import Scheduler

__all__ = [
    "DOES_NOTHING",
    "OTHERWISE",
    "asks_for_ever",
    "called_for_nothing",
    "caught_too_often",
    "does_not_wait",
    "entered_already",
    "entrance",
    "goes_on",
    "goes_round",
    "has_spun",
    "is_awaited",
    "nobody_will_wake",
    "only_look",
    "only_time_passes",
    "polled_for_nothing",
    "reached_out",
    "remedy",
    "stopped",
    "storms",
    "told_for_nothing",
    "tries_for_ever",
]

DOES_NOTHING = "who wakes has done nothing"
READ_ON = "Read a TLS socket until SSLWantReadError, or ask its pending() before a poller."
UNASKED = frozenset({"HUP", "ERR"})
BUSY_MAX = 1_000  # milliseconds of virtual time, and seconds of real time, in which nothing else happens
BUSY_HURRIED = 50  # the same, of a run that is to show no more than that it spins as others have
AN_HOUR_NS = 3600 * 10**9
A_MINUTE_NS, OFTEN = 65 * 10**9, 10  # time-outs of a minute are usual, and so are looks at whether it is over
STOPPED_SHOWN = 8  # lines: of a thousand clients nobody reads all
BLAMED_MAX = 5  # times that a process is told that it hangs, or storms, and catches that: handlers of several connections may, each once
DEADLOCKS_MAX = 100  # times that a body is told that nobody will wake, catches that, and waits again with nothing done
CALLS = ("recv", "send", "accept")  # in which somebody waits with the socket itself at hand
CALLED = "A server's loop, called in the test? Hand the function to spawn, with its arguments behind it."


def _at(now_ns: int) -> str:
    return f"at {now_ns / 1e9:.6f} s"


def entered_already(by: tuple[CodeType, int] | str) -> RuntimeError:
    """A second network cannot be entered in one thread: the first was *by* somebody, or by a line."""
    return RuntimeError(
        f"another network is already running in this thread, entered {entrance(by)}; leave it before entering this one"
    )


def entrance(by: tuple[CodeType, int] | str) -> str:
    """Where a network was entered, in words."""
    return by if isinstance(by, str) else f"at {placed(*by)}"


def polled_for_nothing(process: Process, now_ns: int, times: int) -> Spin:
    """Polls without leave to wait that found nothing; an event loop's, while a task of it never waits."""
    tasks = tasks_at_once(sys._getframe())
    why = (
        f"There are tasks that yield and wait for nothing: {tasks}. A read that gives b'' is the end of the input: stop there."
        if tasks
        else "Let it wait: give it a longer time-out, or none."
    )
    return Spin(
        f"{process.name} polled {times:,} times in a row, {_at(now_ns)}, with a time-out of 0, and found nothing each "
        f"time: on a kernel this loop takes a whole processor. {why}"
    )


def spins_in_a_loop(process: Process, ticks: int, hurried: bool) -> bool:
    """Does an event loop poll here again and again, without leave to wait, and nothing comes of it, though the clock has moved *ticks* times
    meanwhile? It looks at clocks besides; who waits so for a deadline may do that for a while, if not *hurried*.
    """
    return ticks >= (BUSY_HURRIED if hurried else BUSY_MAX) and polls(process) and runs_a_loop(sys._getframe())


def told_for_nothing(process: Process, now_ns: int, times: int, what: Sequence[str]) -> Spin:
    """Polls that told of the readiness of *what*, and nothing was done about it."""
    unasked = all(UNASKED.issuperset(each.rpartition(" ")[2].split("|")) for each in what)
    remedy = (
        "A poller tells of HUP and ERR whatever it is asked for: close it, or take it out of the poller."
        if unasked
        else "Read it, close it, or stop asking for it."
    )
    return Spin(
        f"{process.name} was woken {times:,} times in a row, {_at(now_ns)}, for {', '.join(what[:4])}, and no call it made had "
        f"any effect: on a kernel this loop takes a whole processor. {remedy}"
    )


def called_for_nothing(scheduler: Scheduler, most: int, op: str, place: str) -> Hang | None:
    """Calls without effect, *op* on *place* the last.

    None if they are to go on, up to *most*: there were as many as are enough at lines at which a run before has made them all, of
    which ``scheduler.hung_at`` is the set, and they are made at another one.
    """
    times, known = scheduler.calls_max, scheduler.hung_at
    if known is not None:
        where = caller_outside(sys._getframe(1))
        if times < most and where not in known:
            scheduler.calls_max = most
            return None
        known.add(where)
    scheduler.calls = 0
    error = Hang(
        f"{scheduler.current.name} made {times:,} calls in a row, {_at(scheduler.clock.now_ns)}, that neither waited nor had any effect; the last: "
        f"{op} on {place}. A read that gives b'' is the end of the input: stop there; where one says EAGAIN, poll before the next."
    )
    error.__suppress_context__ = True  # what the last of the calls said is not why
    return error


def does_not_wait(process: Process, now_ns: int, times: int) -> Hang:
    """Calls and segments of one instant, or of the time that sends were let take, more than any program makes on purpose."""
    return Hang(
        f"more than {times:,} calls and segments {_at(now_ns)}, and none that waited: {process.name} is in a loop that never "
        "waits. If it should do so much, give its link a latency."
    )


def caught_too_often(process: Process, error: Hang | Spin) -> BaseException | None:
    """*error* if *process* has been told such a thing so often that it catches it, as asyncore's bare ``except`` does; else None."""
    told, known = f"{process.name} ", process.scheduler.verdicts
    times = sum(isinstance(each.error, Hang | Spin) and each.message.startswith(told) for each in known)
    return error if times > BLAMED_MAX else None


def has_spun(verdicts: Iterable[Verdict], name: str) -> bool:
    """Is it on record already that the process called *name* spins? One that goes on, for a test lets it, is told so once."""
    return any(isinstance(each.error, Spin) and each.message.startswith(f"{name} ") for each in verdicts)


def storms(process: Process, now_ns: int, times: int, last: Entry, *, dropped: bool = False) -> Spin:
    """Failed attempts to connect, or connections that were *dropped* at once, *last* the latest, without a pause between them."""
    if dropped:
        return Spin(
            f"{process.name} connected {times:,} times in a row, until {_at(now_ns)[3:]}, without a pause, and was hung up on each time before "
            f"a byte had come: {last[3]}. On a real network this floods the peer. Sleep before the next attempt, longer each time, and "
            "begin anew with short pauses when an answer has come, not when a connection has been made."
        )
    return Spin(
        f"{process.name} tried to connect {times:,} times in a row, until {_at(now_ns)[3:]}, without a pause, and never succeeded: "
        f"{_attempt(last)}. On a real network this floods the peer. Sleep between attempts, longer each time, and give up in the end."
    )


def tries_for_ever(
    process: Process, body: Process, now_ns: int, times: int, last: Entry, *, dropped: bool = False
) -> Deadlock:
    """Failed attempts to connect, or connections that were *dropped* at once, *last* the latest, while *body* waits, or makes them itself."""
    waits = "" if process is body else f" {body.describe_wait()}."
    done = (
        f"connected {times:,} times in a row, was hung up on each time, and nothing else happens: {last[3]}"
        if dropped
        else f"tried to connect {times:,} times in a row, never succeeded, and nothing else happens: {_attempt(last)}"
    )
    return Deadlock(
        f"{_at(now_ns)} {process.name} has {done}.{waits} Let it give up after some attempts, or wait for it with a time-out."
    )


def asks_for_ever(process: Process, body: Process, now_ns: int, times: int, last: Entry) -> Deadlock:
    """Datagrams that nobody answers, *last* the latest, while *body* waits, or sends them itself."""
    waits = "" if process is body else f" {body.describe_wait()}."
    return Deadlock(
        f"{_at(now_ns)} {process.name} has sent {times:,} datagrams in a row, had no answer, and nothing else happens: the last to "
        f"{last[3].rpartition('->')[2]}.{waits} Let it give up after some attempts, or wait for it with a time-out."
    )


def _attempt(entry: Entry) -> str:
    """The latest attempt, in words."""
    arguments, result = entry[7][:2]
    said = f", {result}" if isinstance(result, Failed) else ""
    return f"the last to {arguments[0]}{said}" if arguments else f"the last{said}"


def only_time_passes(scheduler: Scheduler) -> Hang | Deadlock:
    """Wake-ups by time alone, while the body waits: in a loop that never ends, or for what a fault keeps from it for ever."""
    body, now_ns, times = scheduler.body, scheduler.clock.now_ns, scheduler.ticks
    if scheduler.longest_ns < 2**63:  # without the fault it ends
        return _everybody(scheduler.processes, now_ns, _by_time_alone(times))
    error = Hang(
        f"{times:,} times in a row, until {now_ns / 1e9:,.0f} s, a process woke by time alone and nothing else happened: "
        f"{body.describe_wait()}. {CALLED} A test that waits for something waits longer at a time."
    )
    scheduler.record(Verdict("Hang", str(error), body.host_name, error))
    return error


def _by_time_alone(times: int) -> str:
    return f"nothing is on a link, and {DOES_NOTHING} {times:,} times in a row:"


def nobody_will_wake(scheduler: Scheduler) -> Deadlock:
    """Each waits for another. A body that catches that and waits again, as a reactor's loop does, is stopped after a while."""
    processes, now_ns = scheduler.processes, scheduler.clock.now_ns
    done, times = scheduler.deadlocks
    scheduler.deadlocks = scheduler.effects, times + 1 if done == scheduler.effects else 1
    if any(each.has_deadline for each in processes[1:] if not each.done):
        error = _everybody(processes, now_ns, _by_time_alone(scheduler.ticks))
    else:
        error = _everybody(processes, now_ns, "nothing is on a link and no process that could act will wake:")
    if times >= DEADLOCKS_MAX and scheduler.interrupted is None:
        scheduler.record(Verdict("Deadlock", str(error), scheduler.body.host_name, error))
        scheduler.interrupted = error  # each wait raises it from now on
    return error


def told_again(scheduler: Scheduler) -> BaseException:
    """What interrupts the run: who swallows it meets it again in each wait, and its traceback would grow by each, for ever."""
    error = scheduler.interrupted
    assert error is not None
    if scheduler.told is None or scheduler.told[0] is not error:
        scheduler.told = error, error.__traceback__
    return error.with_traceback(scheduler.told[1])


def only_look(processes: Iterable[Process], arrived_ns: int, heartbeats: int) -> bool:
    """Has each of *processes* that will wake by time just looked so many times, after something last arrived at *arrived_ns*?

    Who sleeps since before the last arrival, or call of anybody's, has not looked whether it was for it; and who does nothing
    but sleep looks at nothing: it may be at work.
    """
    return not any(
        each.has_deadline and (each.heartbeats < heartbeats or each.since_ns <= arrived_ns or _sleeps(each))
        for each in processes
    )


def _sleeps(process: Process) -> bool:
    return process.waiting is not None and process.waiting[0] == "time to pass"


def is_awaited(scheduler: Scheduler, most: int, heartbeats: int) -> bool:
    """After so many wake-ups by time alone: does the body wait for the end of one who wakes, or may one of those who wake count them?

    Who looks at sockets alone, and has found nothing *heartbeats* times, does not. Who sleeps, or reads a clock, may be at work,
    and in a minute after something was on its way last its time may be up yet.
    """
    if scheduler.clock.now_ns - scheduler.arrived_ns < A_MINUTE_NS:
        most *= OFTEN
    if scheduler.ticks < most and scheduler.body.waits_for_a_sleeper(len(scheduler.processes)):
        return True
    return scheduler.ticks < scheduler.patience and any(
        each.has_deadline and (each.heartbeats < heartbeats or _sleeps(each))
        for each in scheduler.processes
        if each.waiting is not None
    )


def outlasts(processes: Sequence[Process], now_ns: int) -> Deadlock:
    """The test waits, out of all proportion to the run without faults, while somebody goes on beside, such as a heart that beats."""
    return _everybody(processes, now_ns, "the test still waits, hours after it was over without a fault:")


def goes_round(processes: Sequence[Process], now_ns: int, since_ns: int) -> Deadlock:
    """The test waits, and beside it the same goes on, such as a heart that beats: for days, or without a pause since long before *since_ns*."""
    for_long = "for days" if now_ns - since_ns > AN_HOUR_NS else "without a pause, for very many lines,"
    return _everybody(
        processes,
        now_ns,
        f"the test still waits, and {for_long} there were but the same calls with the same bytes, or as many:",
    )


def goes_on(process: Process, times: int) -> Verdict:
    """So many calls after its end, which it has been told twice."""
    text = f"{process.name} went on for {times} calls after it was ended, and was abandoned"
    return Verdict("abandoned", text, process.host_name, None, "warning")


def stopped(processes: Sequence[Process], now_ns: int) -> KeyboardInterrupt:
    """Ctrl-C: where everybody stood, who may have been waiting for what never came."""
    waits = [f"  {each.describe_wait()}" for each in processes if not each.done and each.waiting is not None]
    return KeyboardInterrupt("\n".join([f"{_at(now_ns)} of virtual time:", *waits[:STOPPED_SHOWN]]) if waits else "")


def _everybody(processes: Sequence[Process], now_ns: int, what: str) -> Deadlock:
    lines = [f"{_at(now_ns)} {what}"]
    lines += [f"  {process.describe_wait()}" for process in processes if not process.done]
    lying = [f"  {line}" for line in unread(processes)]
    lines += lying
    in_line = [f"  {line}" for line in processes[0].scheduler.backend.in_line()]
    lines += in_line
    ended = [process.name for process in processes if process.done]
    if ended:
        lines.append(f"  ended: {', '.join(ended)}")
    cure = "" if lying else _remedy_of_threads(processes, in_line) or _remedy_of_tasks(processes)
    lines.append(READ_ON if lying else cure or remedy(len(processes), processes[0].waiting))
    error = Deadlock("\n".join(lines))
    error.cure = cure
    error.seen_until, error.seen_ns = len(processes[0].scheduler.trace.entries), now_ns
    return error


def _remedy_of_tasks(processes: Sequence[Process]) -> str:
    """What to do about tasks that were cancelled and go on; "" if there are none."""
    cancelled = in_short([place for each in processes if not each.done for place in each.cancelled()])
    if not cancelled:
        return ""
    return f"A task was cancelled and still waits at {cancelled}: let CancelledError leave it, and what it does then wait with a time-out."


def _remedy_of_threads(processes: Sequence[Process], in_line: Sequence[str]) -> str:
    """What to do about threads that wait for each other, or have ended with what others wait for; "" if that is not it."""
    waits = {process: process.waiting for process in processes if process.waiting is not None and not process.done}
    holders = {each: thing.holder for each, (what, thing) in waits.items() if what == "a lock"}
    if in_line:
        return "Work that waits for other work needs a pool of its own, or more threads in the one it has."
    if any(holder is not None and holder.done for holder in holders.values()):
        return "A lock stays taken when its thread ends: take it in a with statement, which lets it go."
    if any(what in CALLS and thing not in each.descriptors.files() for each, (what, thing) in waits.items()):
        return "To close a socket wakes nobody who waits in a call on it, on Linux as here: its shutdown(socket.SHUT_RDWR), before, does."
    if any(holder is each for each, holder in holders.items()):
        return "It holds that lock itself: take it in a with statement, which lets it go, also where an exception leaves it."
    for each, holder in holders.items():
        seen: list[Process] = []
        while holder is not None and holder not in seen:
            seen.append(holder)
            holder = holders.get(holder)
        if each in seen:
            return "Each holds what another waits for: take locks in the same order everywhere."
    for each, (what, thing) in waits.items():
        if what == "the end of" and thing.owner is not None and thing in waits:
            done = (
                " A program ends when its threads have, as an interpreter does, but for daemons."
                if each.sees_off
                else ""
            )
            if waits[thing][0] in CALLS:
                return f"Let {thing.name} end before it is waited for: a shutdown(socket.SHUT_RDWR) of its socket wakes it, and so does a time-out.{done}"
            return (
                f"Tell {thing.name} to end before it is waited for, as by an Event or a last item in its queue.{done}"
            )
    return ""


def remedy(processes: int, waiting: tuple[str, Any] | None = None) -> str:
    """What to do about a test that waits for ever, in a network of so many *processes*; for what it is *waiting*, if that is known."""
    if waiting is not None and waiting[0] == "the end of":
        return "A server that never ends is spawned, and neither run nor joined: host.spawn(serve, 7), and go on."
    if processes == 1:
        return f"No other process is there. {CALLED}"
    return "Give the test's socket a time-out to go on, or look at whom it waits for."


OTHERWISE = (
    "a simulated process has no subprocesses, no real sockets and no real threads. Spawn a process on a host instead, or run this "
    "test on RealNetwork."
)


def reached_out(process: Process, what: str, frame: FrameType, remedy: str) -> Escape:
    """*process* has called *what*, which is no part of a simulation, at *frame*; what was itself spawned has no line."""
    where = f" at {caller_outside(frame)}{called_at(frame)}" if caller(frame) is not None else ""
    named = what if where else what.removesuffix(",")
    return Escape(f"{process.name} reached for {named}{where}{':' if remedy is OTHERWISE else '.'} {remedy}")
