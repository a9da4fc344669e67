"""What happened in a run that the verdict table knows: each row of it asks its question here, beside the baseline.

Whether a process *waits for ever* is judged by comparison: a server that waits for its next client does so in the baseline too. So
is whether *the loop and the listener survive*: what was still there without the fault, when the network had become
quiet, must be there with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from traceback import walk_tb
from typing import TYPE_CHECKING

from simnet.blame import carries, exception_line, first_of, user_place, users_own
from simnet.both.slips import NO_SUCH_HOST
from simnet.explore.judging.broken_off import broken_off
from simnet.explore.judging.bystanders import bystander
from simnet.explore.judging.drowned import writes_on
from simnet.explore.judging.elapsed import time_was_up
from simnet.explore.judging.excuses import excused
from simnet.explore.judging.outcomes import difference_of_outcomes
from simnet.explore.judging.own_end import ended_with_their_connection
from simnet.explore.judging.served import served_to_the_end
from simnet.explore.judging.table import BOUNDS, EXCUSED, FAILURE, HANG, INTERRUPTED, OFF, TABLE, WARNING
from simnet.explore.judging.unanswered import SILENT, unanswered
from simnet.faults.hosts import BODY, Crash, Restart
from simnet.invariants import (
    NOTHING_LEFT,
    OTHERS_ANSWERED,
    OTHERS_SURVIVE,
    WAITS_FOR_EVER,
)
from simnet.resolver.lookups import ADDRESS_OF
from simnet.scheduling.stuck import DOES_NOTHING
from simnet.trace import CALL, PROCESS, WAKE, Failed
from simnet.verdicts import VERDICTS, Deadlock, ProcessEnded
from simnet.whereabouts import in_short

if TYPE_CHECKING:
    from simnet.explore.judging.kept_waiting import KeptWaiting
    from simnet.faults.kinds import Fault
    from simnet.run import Run, Waiting

__all__ = ["OF_SOCKETS", "WITHOUT_END", "Case", "Finding", "family", "waits"]

_OURS = (*VERDICTS, ProcessEnded)  # recorded as verdicts where they arise
TAKEN_ALONG = " held when it ended"  # said of a lock, see `mutex`
TOLD_BEFORE = ": in the run without faults it ends"  # and the next client may end it here, too
OF_SOCKETS = "OSError"
WITHOUT_END = ", without a deadline, so for ever"
LINKED = "->"  # in the name of a connection
PATIENT_NS = 6 * 3600 * 10**9  # who wakes each half minute has by then done so for 720 times
WITHOUT_A_WORD = (
    "crash",
    "restart",
    "partition",
)  # a host that has lost its power sends no end, and one cut off none that comes
SENDS = frozenset({"drain", "flush", "send", "sendall", "sendfile", "sendmsg", "sendto", "write", "writelines"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that happened in a run and that the table knows."""

    reason: str  # a row of TABLE, or the name of the invariant that broke
    message: str
    host: str
    level: str  # "failure", "interrupted", "noted", "warning" or "excused"
    error: BaseException | None = None  # the user's own
    at: str = ""  # "tutorial_server.py:71", in the user's code
    process: str = ""
    handler: str = ""
    entry: int | None = None  # of the trace: the call whose line a second run finds, where *at* is not known

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells one distinct failure from another: reason, exception, place in the user's code."""
        return (self.reason, _family(self.error), self.at)


class Case:
    """One run beside its baseline; each method answers one row of the table, or two."""

    def __init__(
        self,
        baseline: Run,
        run: Run,
        disruptive: tuple[Fault, ...],
        may_raise: tuple[type[BaseException], ...],
        invariants: Mapping[str, str],
        done: tuple[Fault, ...] = (),
    ) -> None:
        self.baseline = baseline
        self.run = run
        self.disruptive = disruptive
        self.done = done
        self.may_raise = may_raise
        self.invariants = invariants
        self.column = 1 if disruptive else 0
        allowed = {each.process for each in run.failures if disruptive and isinstance(each.error, may_raise)}
        self.ended_early = [
            name
            for name in _missing(baseline.alive, run.alive)
            if name not in allowed and self.began(PROCESS, "spawn", name)
        ]
        if invariants.get("loop-survives") == OFF:
            self.ended_early = []
        self.silenced = any(fault.kind in (*SILENT, *WITHOUT_A_WORD) for fault in disruptive)
        # The plan itself took all that ran there.
        self.dead_hosts = [fault.on for fault in run.happened if isinstance(fault, (Crash, Restart))]
        self.ended_early = [name for name in self.ended_early if name.partition("/")[0] not in self.dead_hosts]
        if self.ended_early and disruptive:
            rightly = served_to_the_end(self.ended_early, baseline, run)
            rightly += ended_with_their_connection(self.ended_early, baseline, run)
            self.ended_early = [name for name in self.ended_early if name not in rightly]
        elapsed = [name for name in self.ended_early if time_was_up(name, baseline, run)]
        self.ended_early = [name for name in self.ended_early if name not in elapsed]
        self.dead_hosts += [name.partition("/")[0] for name in elapsed]

    def findings(self) -> Iterator[Finding]:
        """In the order in which a person wants to read them: the cause before what follows from it."""
        verdicts = list(self.verdicts())
        raised = list(self.raised())
        body = list(self.body())
        if broken_off(self.run):
            yield from body
            body = []
        bounds = [each for each in verdicts if each.reason in BOUNDS]
        if all(each.reason == HANG for each in bounds):  # a loop whose last channel it has closed never waits again
            yield from (each for each in raised if each.reason == "handler-raised")
            raised = [each for each in raised if each.reason != "handler-raised"]
        yield from bounds
        yield from raised
        yield from (each for each in verdicts if each.reason not in (*BOUNDS, NOTHING_LEFT))
        gone = list(self.gone())
        yield from gone
        if not gone and not self.ended_early:
            yield from self.others()
            yield from self.left_waiting()
        yield from (each for each in verdicts if each.reason == NOTHING_LEFT)  # it waited, and has given up
        if self.leaves_a_thread():
            yield from body
        waiting = list(self.waiting())
        yield from waiting
        yield from self.sleeping({each.host for each in waiting})
        if not self.leaves_a_thread():
            yield from body

    def verdicts(self) -> Iterator[Finding]:
        before = Counter((each.name, each.host) for each in self.baseline.verdicts if each.level != FAILURE)
        raised = [each.error for each in self.run.handler_errors] + [each.error for each in self.run.failures]
        for verdict in self.run.verdicts:
            if verdict.name == "Deadlock":
                continue  # the body's wait, a row of its own
            if verdict.name == "handler-raised" and any(verdict.error is error for error in raised):
                continue  # the same exception, a row of its own
            if verdict.name == "handler-raised" and verdict.error is not None and self.excused(verdict.error):
                continue
            if verdict.name == NO_SUCH_HOST and not before[verdict.name, verdict.host]:
                continue  # under a fault the test ended before it made the host
            if verdict.level != FAILURE and before[verdict.name, verdict.host] > 0:
                before[verdict.name, verdict.host] -= 1  # the baseline warns of it too
                continue
            level, message = FAILURE if verdict.level == FAILURE else WARNING, verdict.message
            if verdict.name == NOTHING_LEFT and self.silenced and NOTHING_LEFT not in self.invariants:
                level, message = (
                    WARNING,
                    f"{message} It waits for one that has fallen silent: a time-out would tell it.",
                )
            elif verdict.name == NOTHING_LEFT and writes_on(message, self.run, self.disruptive):
                level = self.invariants.get(NOTHING_LEFT, WARNING)
                message = (
                    f"{message} It goes on writing, and a real network would tell it soon: an early end swallows that."
                )
            yield self.found(verdict.name, message, verdict.host, verdict.error, level)

    def raised(self) -> Iterator[Finding]:
        seen: list[BaseException] = [
            each.error for each in self.run.verdicts if each.name == "always" and each.error is not None
        ]
        for handled in self.run.handler_errors:
            error, host = handled.error, handled.host
            if not handled.target or isinstance(error, _OURS) or any(error is each for each in seen):
                continue
            seen.append(error)
            message = f"{exception_line(error)} in {handled.handler} of {handled.channel} on {host}"
            level = EXCUSED if self.excused(error) or excused(error, self.done, self.may_raise) else ""
            yield self.found("handler-raised", message, host, error, level, handled.channel, handled.handler)
        expected = {(each.process, type(each.error)) for each in self.baseline.failures if each.handled}
        for ended in self.run.failures:
            error, host = ended.error, ended.host
            if ended.handled and (ended.process, type(error)) in expected:
                continue  # the test asks for it
            if carries(error, _OURS) or any(error is each for each in seen):
                continue
            message = f"{exception_line(error)} ended {ended.process} on {host}"
            if not ended.target:
                yield self.found("support-raised", message, host, error, process=ended.process)
            elif not self.excused(error):
                yield self.found("target-raised", message, host, error, process=ended.process)
            elif ended.process not in self.ended_early or self.could_not_begin(ended.process):
                # Else the loop did not survive: a rule of its own.
                yield self.found("target-raised", message, host, error, INTERRUPTED, ended.process)

    def gone(self) -> Iterator[Finding]:
        """Loops and listeners of targets that would still be there without the fault."""
        told = [each.message for each in self.run.verdicts if each.name == "listener-survives"]
        ended = {each.process: each.error for each in self.run.failures}
        dead_hosts = list(self.dead_hosts)
        for name in self.ended_early:
            error = ended.get(name)
            host = name.partition("/")[0]
            dead_hosts.append(host)
            if error is not None and (not self.excused(error) or self.could_not_begin(name)):
                continue  # told by its exception; what cannot begin ends, and should
            how = f"was ended by {exception_line(error)}" if error is not None else "ended"
            message = f"{name} {how}; without the fault it goes on"
            yield self.found("loop-survives", message, host, error, process=name)
        missing = _missing(self.baseline.listening, self.run.listening)
        # A program may go on with one of two, for IPv4 and for IPv6.
        never = _listens(self.baseline) - _listens(self.run) if missing else Counter()
        for name in missing:
            host = name.rpartition(":")[0]
            if host in dead_hosts or any(name in message for message in told) or not self.began(CALL, "listen", name):
                continue
            if never[name] > 0:
                never[name] -= 1
                continue
            where = self.run.closed_listeners.get(name, "")
            how = f"the listener {name} was closed at {where}" if where else f"nobody listens on {name} any more"
            found = self.found("listener-survives", f"{how}; later clients get ECONNREFUSED", host)
            yield replace(found, at=where.partition(" ")[0])

    def others(self) -> Iterator[Finding]:
        """A connection on which no fault was, and which a target has closed all the same."""
        if self.invariants.get(OTHERS_SURVIVE) == OFF:
            return
        lost = bystander(self.baseline, self.run, self.disruptive)
        if lost is not None:
            message = f"{lost.host} hung up on {lost.place}, to which nothing had happened; without the fault on {lost.struck} it does not"
            raised = [each.error for each in self.run.handler_errors if each.host == lost.host]
            # the client that the fault is on raises too, in its own turn, by reading
            raised.sort(key=_came_by_sending, reverse=True)
            places = (user_place(error).short for error in raised)
            yield replace(self.found(OTHERS_SURVIVE, message, lost.host), at=next(filter(None, places), ""))

    def left_waiting(self) -> Iterator[Finding]:
        """A connection on which no fault was, and whose client a target has left without an answer."""
        if self.invariants.get(OTHERS_ANSWERED) == OFF:
            return
        left = unanswered(self.baseline, self.run, self.disruptive)
        if left is not None:
            message = f"{left.host} left {left.place} without an answer, though the fault was on {left.struck}"
            message += left.stands and f": {left.stands}"
            yield self.found(OTHERS_ANSWERED, message, left.host)

    def kept_waiting(self, kept: KeptWaiting) -> Iterator[Finding]:
        """Another client waited for as long as one was slow."""
        level = self.invariants.get(OTHERS_ANSWERED, WARNING)
        if level != OFF:
            message = f"{kept.host} did nothing about {kept.place} for {kept.ns / 1e9:.0f} s, as long as {kept.slow} was slow: "
            message += "one client that says nothing keeps the others waiting. Read, or shake hands, where each connection has its own"
            found = self.found(OTHERS_ANSWERED, f"{message} thread or task, or with a time-out", kept.host, level=level)
            yield replace(found, entry=kept.entry)

    def could_not_begin(self, process: str) -> bool:
        """Whether *process* got no socket, or no address, before it ever waited for anybody but a resolver."""
        anchors = [fault.anchor for fault in self.disruptive]
        return any(each.form == "lookup" or each.op == "socket" for each in anchors) and not any(
            entry[1] == WAKE and entry[3] == process and not entry[5].startswith(ADDRESS_OF)
            for entry in self.run.trace.entries
        )

    def began(self, kind: str, op: str, place: str) -> bool:
        """Whether the run came so far: a body that was interrupted may not have started what the baseline did."""
        return any(entry[1] == kind and entry[5] == op and entry[3] == place for entry in self.run.trace.entries)

    def waiting(self) -> Iterator[Finding]:
        usual: dict[tuple[str, str, str], list[Waiting]] = {}
        for waiting in self.baseline.waiting:
            usual.setdefault(_wait(waiting), []).append(waiting)
        for waiting in self.run.waiting:
            before = usual.get(_wait(waiting))
            tasks = waiting.tasks
            there: tuple[str, ...] | None = None
            if before:
                there = before.pop(0).tasks
            elif waiting.beats:
                continue
            elif waiting.process in self.baseline.signalled:  # which nobody has sent, where the test was broken off
                stood = self.baseline.signalled[waiting.process]
                there = next((there for where, there in stood if tasks or where == waiting.where), None)
            elif tasks or waiting.alone:  # with a deadline, for another client perhaps, it was not said to wait
                there = self.baseline.dozing.get(waiting.process)
            if there is not None:
                tasks = tuple((Counter(tasks) - Counter(there)).elements())
                if not tasks:
                    continue
            if not tasks and self._waits_for_the_next(waiting):
                continue
            yield self.waits(waiting, self.not_usual(waiting.process, tasks))

    def _waits_for_the_next(self, waiting: Waiting) -> bool:
        """A server that has nobody but its next client to wait for, of which nobody has asked to be told."""
        return waiting.target and waiting.alone and WAITS_FOR_EVER not in self.invariants and self.may_be_told(waiting)

    def not_usual(self, process: str, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """Those of *tasks* that do not wait at the same place without the fault; all, if it is their loop that stands elsewhere."""
        usual = Counter(task for each in self.baseline.waiting if each.process == process for task in each.tasks)
        return tuple((Counter(tasks) - usual).elements()) or tasks

    def leaves_a_thread(self) -> bool:
        """Did an assertion of the test fail, and keeps a thread of its own open what the targets wait for? Then they wait because it failed."""
        if not isinstance(self.run.body_error, AssertionError):
            return False
        usual = [each.process for each in self.baseline.waiting]
        return any(
            each.thread and each.host == BODY and each.process not in usual and LINKED in each.what
            for each in self.run.waiting
        )

    def sleeping(self, waiting: Collection[str]) -> Iterator[Finding]:
        """A target that would have ended, and wakes by time alone for as long as the test waits for it; not on hosts where somebody is *waiting* for ever.

        Of a peer that has fallen silent it may be patient, but not for hours: asyncore's loop wakes each half minute, and no
        program has asked it to.
        """
        error = self.run.body_error
        if not isinstance(error, Deadlock) or DOES_NOTHING not in str(error):
            return
        if self.silenced and self.run.time_ns - self.baseline.time_ns < PATIENT_NS:
            return
        for line in str(error).splitlines():
            name, _, what = line.strip().partition(" waits for ")
            host = name.partition("/")[0]
            if name not in self.run.dozing or host in waiting or host not in self.run.targets:
                continue
            if name in self.baseline.dozing or name in self.baseline.alive:
                continue
            if any(each.partition("/")[0] == host for each in self.baseline.signalled):
                continue  # it ended by the signal, as its threads did, to which the test has not come
            what, _, where = what.rpartition(", since ")[0].rpartition(" at ")
            message = f"{name} waits for {what} at {where}: it wakes by time alone, again and again, and does nothing: in the run without "
            found = self.found(WAITS_FOR_EVER, f"{message}faults it ends", host, process=name)
            yield replace(found, at=where.partition(" ")[0])

    def may_be_told(self, waiting: Waiting) -> bool:
        """Has its process ended in the baseline, by what a client said? Then the next one may say so, as long as there is a listener."""
        ended = waiting.process not in (*self.baseline.alive, *self.baseline.signalled)
        return ended and any(tag.startswith(f"{waiting.host}:") for tag in self.run.listening)

    def is_left_locked(self, waiting: Waiting) -> bool:
        """Does it wait for a lock that an ended thread has taken along, and no other of its host's for a peer who might have it let go?"""
        return TAKEN_ALONG in waiting.what and not any(
            LINKED in each.what for each in self.run.waiting if each.host == waiting.host
        )

    def other_end(self, waiting: Waiting) -> str:
        """Who of the test's own waits for its host, if it is a target: then it is perhaps right to wait for that one's next word."""
        here = f"{LINKED}{waiting.host}:"
        clients = [each.process for each in self.run.waiting if not each.target and here in each.what]
        if not (waiting.target and clients):
            return ""
        return f"; {clients[0]}, which the test has started, waits for {waiting.host} as well: with a time-out there it ends, and closes"

    def waits(self, waiting: Waiting, tasks: tuple[str, ...]) -> Finding:
        """A wait that is not in the baseline; or these *tasks* of it are not, if it is an event loop's."""
        row = WAITS_FOR_EVER if waiting.target else "support-waits"
        if not tasks:
            message, level = f"{waiting.what}{WITHOUT_END}", ""
            if waiting.target and self.is_left_locked(waiting):
                message += ". A lock stays taken when its thread ends: take it in a with statement, which lets it go"
                level = self.invariants.get(WAITS_FOR_EVER, FAILURE)
            elif waiting.target and self.may_be_told(waiting):
                message += TOLD_BEFORE
            message += "" if level else self.other_end(waiting)
            found = self.found(row, message, waiting.host, level=level, process=waiting.process)
            return replace(found, at=waiting.where.partition(" ")[0])
        who = (
            f"a task of {waiting.process} waits" if len(tasks) == 1 else f"{len(tasks)} tasks of {waiting.process} wait"
        )
        message, level = f"{who} at {in_short(tasks)}{WITHOUT_END}", ""
        if self.may_be_told(waiting):
            message += TOLD_BEFORE
        elif waiting.target and waiting.alone:  # no peer can have anything to do with it any more
            message += ": no connection is left by which anybody could wake it"
            level = self.invariants.get(WAITS_FOR_EVER, FAILURE)
        message += "" if level else self.other_end(waiting)
        found = self.found(row, message, waiting.host, level=level, process=waiting.process)
        return replace(found, at=tasks[0].partition(" ")[0])

    def body(self) -> Iterator[Finding]:
        error = self.run.body_error
        if error is None:
            return
        if isinstance(error, Deadlock):
            waits = [line.strip() for line in str(error).splitlines() if line.startswith(f"  {BODY} waits for ")]
            yield self.found("body-waits", f"the {', '.join(waits) or 'test waits'}, so for ever", BODY, error)
            return
        # Told already: net.always, NotModelled, Hang; or a process's, whose end the body waited for.
        told = [each.error for each in self.run.verdicts] + [each.error for each in self.run.failures]
        if not any(error is each for each in told):
            yield self.found("body-raised", f"the test raised {exception_line(error)}", BODY, error)

    def outcome(self, survived: bool) -> Finding:
        message = difference_of_outcomes(self.baseline.outcome, self.run.outcome)
        return self.found("outcome", message, BODY, self.run.body_error, FAILURE if survived else "")

    def found(
        self,
        reason: str,
        message: str,
        host: str,
        error: BaseException | None = None,
        level: str = "",
        process: str = "",
        handler: str = "",
    ) -> Finding:
        """A finding at *level*, or at that of the table, or, for the name of an invariant, as the test sets it."""
        if not level:
            row = reason if reason in TABLE else "broken"
            level = self.invariants.get(reason, TABLE[row][self.column])
        place = user_place(error)
        return Finding(reason, message, host, level, error, place.short, process, handler)

    def excused(self, error: BaseException) -> bool:
        return excused(error, self.disruptive, self.may_raise)


def _family(error: BaseException | None) -> str:
    """The exception's name. A line that no error of the socket is caught at is one bug, whichever errno comes first."""
    if error is None:
        return ""
    return family(type(first_of(error)))


def family(kind: type[BaseException]) -> str:
    """The name of *kind*, or of all that count as the same at one line."""
    of_sockets = issubclass(kind, OSError) and not issubclass(kind, BlockingIOError)
    return OF_SOCKETS if of_sockets else kind.__name__


def _missing(before: Collection[str], after: Collection[str]) -> list[str]:
    """What of *before* is not in *after*, each as often as it is missing."""
    if before == after:
        return []
    left = Counter(after)
    missing = []
    for name in before:
        if left[name] > 0:
            left[name] -= 1
        else:
            missing.append(name)
    return missing


def _listens(run: Run) -> Counter[str]:
    """How often somebody began to listen, by listener."""
    return Counter(
        entry[3]
        for entry in run.trace.entries
        if entry[1] == CALL and entry[5] == "listen" and not isinstance(entry[7][1], Failed)
    )


def _came_by_sending(error: BaseException) -> bool:
    """Did the user's line call something that sends? Then it may be the turn of another client, which only writes to the first."""
    names = [(frame.f_code.co_name, users_own(frame.f_code.co_filename)) for frame, _ in walk_tb(error.__traceback__)]
    called = [name for (name, _), (_, by_user) in zip(names[1:], names, strict=False) if by_user]
    return bool(called) and called[-1] in SENDS


def _wait(waiting: Waiting) -> tuple[str, str, str]:
    return (waiting.host, waiting.process, waiting.where)


def waits(run: Run) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(*_wait(each), each.tasks) for each in run.waiting]
