"""Was this run right? The verdict table, and the questions it asks of a run.

Who did what, and which faults fired, decide (``TABLE``). Three things need care:

* A **stall** is transparent while no deadline fired that did not fire in the baseline, and disruptive from then: a
  program that gives up after 30 s is right to do so.
* A disruptive fault **makes an errno**, and what it does to the support makes others: whoever talks to a peer that died
  may be told ECONNRESET. A target may end with these, or hand them to ``handle_error``; with nothing else.
* Who **waits for ever** at the end of a run is judged by comparison: a server that waits for its next client does so in
  the baseline too. In the same way *the loop and the listener survive* is seen: what was still there without the fault,
  when the network had become quiet, must be there with it.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simnet.explore.blame import user_place
from simnet.explore.options import WAITS_FOR_EVER
from simnet.trace import CALL, PROCESS, WAKE
from simnet.verdicts import Deadlock, Escape, Hang, NotModelled, ProcessEnded, Spin

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = ["TABLE", "Finding", "Judgement", "judge"]

FAILURE, INTERRUPTED, NOTED, WARNING, EXCUSED = "failure", "interrupted", "noted", "warning", "excused"
EQUAL = "equal"

TABLE: Mapping[str, tuple[str, str]] = {
    # what happened      only transparent faults fired, a disruptive fault fired
    "broken": (FAILURE, FAILURE),  # an invariant or net.always; NotModelled, Escape, Hang: whoever it was
    "handler-raised": (FAILURE, FAILURE),  # an exception reached a target's handle_error or its loop's handler
    "target-raised": (FAILURE, FAILURE),  # an exception ended a target's process
    "target-waits": (FAILURE, WARNING),  # a target waits for ever, without a deadline
    "support-raised": (FAILURE, INTERRUPTED),  # an exception ended a process of the support
    "support-waits": (FAILURE, INTERRUPTED),
    "body-raised": (FAILURE, INTERRUPTED),  # an exception left the test's body, AssertionError included
    "body-waits": (FAILURE, INTERRUPTED),
    "outcome": (FAILURE, NOTED),  # unlike the baseline's
}

# Beyond the bounds of the simulation: whatever else the run shows comes after this.
BOUNDS = ("NotModelled", "Escape", "Hang")

# What a socket may say once its peer is gone (RFC 9293 3.10; `man 7 tcp`, `man 2 send`, `man 2 getpeername`), or silent.
PEER_GONE = frozenset(
    {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ETIMEDOUT}
)
NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED})

MADE_BY: Mapping[str, frozenset[int]] = {  # errnos beyond PEER_GONE that a kind makes by itself
    "refuse": frozenset({errno.ECONNREFUSED}),
    "unreachable": frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH}),
    "blackhole": NO_WAY,
    "partition": NO_WAY,
    "crash": NO_WAY,
    "restart": NO_WAY,
    "pause": NO_WAY,
}

_OURS = (Deadlock, Escape, Hang, NotModelled, ProcessEnded, Spin)  # recorded as verdicts where they arise


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that happened in a run and that the table knows."""

    reason: str  # a row of TABLE, or the name of the invariant that broke
    message: str
    who: str  # "target", "body", "support" or "run"
    host: str
    level: str  # "failure", "interrupted", "noted", "warning" or "excused"
    error: BaseException | None = None  # the user's own
    at: str = ""  # "tutorial_server.py:71", in the user's code
    path: str = ""  # the whole path of that file
    process: str = ""
    handler: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells one distinct failure from another: reason, exception, place in the user's code."""
        return (self.reason, _family(self.error), self.at)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the table says of one run."""

    status: str  # "equal", "noted", "interrupted" or "failure"
    findings: tuple[Finding, ...] = ()  # the root first, what followed from it after
    warnings: tuple[Finding, ...] = ()
    disruptive: bool = False  # a disruptive fault fired, or a stall that made a deadline fire

    @property
    def failure(self) -> Finding | None:
        """The finding that names the failure; None if there is none."""
        return self.findings[0] if self.status == FAILURE else None

    @property
    def key(self) -> tuple[str, str, str] | None:
        return self.findings[0].key if self.status == FAILURE else None


_EQUAL = Judgement(EQUAL)


def judge(
    baseline: Run,
    run: Run,
    *,
    strict: bool = False,
    may_raise: tuple[type[BaseException], ...] = (),
    survives: Iterable[str] = (),
    invariants: Mapping[str, str] | None = None,
) -> Judgement:
    """The verdict on *run*, whose test did without faults what *baseline* shows.

    *strict* makes a failure of what a disruptive fault interrupted; *may_raise* adds exceptions that a target may end with
    then; for the kinds in *survives* the outcome must be the baseline's nevertheless; *invariants* sets levels by name.
    """
    same_outcome = run.outcome == baseline.outcome
    quiet = not (run.verdicts or run.failures or run.handler_errors or run.body_error)
    left = run.listening == baseline.listening and run.alive == baseline.alive
    if same_outcome and quiet and left and _waits(run) == _waits(baseline):
        return _EQUAL  # as most runs of a sweep: nothing more to ask
    fired = tuple(run.happened)
    disruptive = tuple(fault for fault in fired if _disruptive(fault, baseline, run))
    case = _Case(baseline, run, disruptive, may_raise, {} if invariants is None else invariants)
    survived = bool(disruptive) and {fault.kind for fault in disruptive} <= set(survives)
    findings = list(case.findings())
    if not same_outcome and (run.body_error is None or survived):
        findings.append(case.outcome(survived))
    if strict:
        findings = [_failed(each) if each.level == INTERRUPTED else each for each in findings]
    warnings = tuple(each for each in findings if each.level == WARNING)
    told = [each for each in findings if each.level not in (WARNING, "off")]
    for status in (FAILURE, INTERRUPTED, NOTED):
        if any(each.level == status for each in told):
            told.sort(key=lambda each: each.level != status)  # stable: the order of the table stays
            return Judgement(status, tuple(told), warnings, bool(disruptive))
    return Judgement(EQUAL, tuple(told), warnings, bool(disruptive))


class _Case:
    """One run beside its baseline; each method answers one row of the table, or two."""

    def __init__(
        self,
        baseline: Run,
        run: Run,
        disruptive: tuple[Fault, ...],
        may_raise: tuple[type[BaseException], ...],
        invariants: Mapping[str, str],
    ) -> None:
        self.baseline = baseline
        self.run = run
        self.disruptive = disruptive
        self.may_raise = may_raise
        self.invariants = invariants
        self.column = 1 if disruptive else 0
        allowed = {each.process for each in run.failures if disruptive and isinstance(each.error, may_raise)}
        self.ended_early = [
            name
            for name in _missing(baseline.alive, run.alive)
            if name not in allowed and self.began(PROCESS, "spawn", name)
        ]
        if invariants.get("loop-survives") == "off":
            self.ended_early = []

    def level(self, row: str) -> str:
        return TABLE[row][self.column]

    def findings(self) -> Iterator[Finding]:
        """In the order in which a person wants to read them: the cause before what follows from it."""
        verdicts = list(self.verdicts())
        raised = list(self.raised())
        yield from (each for each in verdicts if each.reason in BOUNDS)
        yield from raised
        yield from (each for each in verdicts if each.reason not in BOUNDS)
        yield from self.gone()
        yield from self.waiting()
        yield from self.body()

    def verdicts(self) -> Iterator[Finding]:
        before = Counter((each.name, each.host) for each in self.baseline.verdicts if each.level != FAILURE)
        raised = [each.error for each in self.run.handler_errors] + [each.error for each in self.run.failures]
        for verdict in self.run.verdicts:
            if verdict.name == "Deadlock":
                continue  # the body's wait, a row of its own
            if verdict.name == "handler-raised" and any(verdict.error is error for error in raised):
                continue  # the same exception, a row of its own
            if verdict.level != FAILURE and before[verdict.name, verdict.host] > 0:
                before[verdict.name, verdict.host] -= 1  # the baseline warns of it too
                continue
            level = self.level("broken") if verdict.level == FAILURE else WARNING
            yield _finding(verdict.name, verdict.message, "run", verdict.host, level, verdict.error)

    def raised(self) -> Iterator[Finding]:
        seen: list[BaseException] = [
            each.error for each in self.run.verdicts if each.name == "always" and each.error is not None
        ]
        for handled in self.run.handler_errors:
            if not handled.target or isinstance(handled.error, _OURS) or any(handled.error is error for error in seen):
                continue
            seen.append(handled.error)
            message = f"{_one_line(handled.error)} in {handled.handler} of {handled.channel} on {handled.host}"
            level = EXCUSED if self.excused(handled.error) else self.level("handler-raised")
            yield _finding(
                "handler-raised",
                message,
                "target",
                handled.host,
                level,
                handled.error,
                handled.channel,
                handled.handler,
            )
        for ended in self.run.failures:
            if any(ended.error is error for error in seen) or isinstance(ended.error, _OURS):
                continue
            message = f"{_one_line(ended.error)} ended {ended.process} on {ended.host}"
            if not ended.target:
                yield _finding(
                    "support-raised",
                    message,
                    "support",
                    ended.host,
                    self.level("support-raised"),
                    ended.error,
                    ended.process,
                )
            elif self.excused(ended.error) and ended.process in self.ended_early:
                continue  # the loop did not survive: a row of its own
            elif self.excused(ended.error):
                yield _finding("target-raised", message, "target", ended.host, INTERRUPTED, ended.error, ended.process)
            else:
                yield _finding(
                    "target-raised",
                    message,
                    "target",
                    ended.host,
                    self.level("target-raised"),
                    ended.error,
                    ended.process,
                )

    def gone(self) -> Iterator[Finding]:
        """Loops and listeners of targets that would still be there without the fault."""
        told = [each.message for each in self.run.verdicts if each.name == "listener-survives"]
        ended = {each.process: each.error for each in self.run.failures}
        dead_hosts = []
        for name in self.ended_early:
            error = ended.get(name)
            host = name.partition("/")[0]
            dead_hosts.append(host)
            if error is not None and not self.excused(error):
                continue  # told by its exception
            how = f"was ended by {_one_line(error)}" if error is not None else "ended"
            level = self.set_level("loop-survives", self.level("broken"))
            yield _finding(
                "loop-survives", f"{name} {how}; without the fault it goes on", "target", host, level, error, name
            )
        for name in _missing(self.baseline.listening, self.run.listening):
            host = name.rpartition(":")[0]
            if host in dead_hosts or any(name in message for message in told) or not self.began(CALL, "listen", name):
                continue
            level = self.set_level("listener-survives", self.level("broken"))
            message = f"nobody listens on {name} any more; later clients get ECONNREFUSED"
            yield _finding("listener-survives", message, "target", host, level, None)

    def began(self, kind: str, op: str, place: str) -> bool:
        """Whether the run came so far: a body that was interrupted may not have started what the baseline did."""
        return any(entry[1] == kind and entry[5] == op and entry[3] == place for entry in self.run.trace.entries)

    def waiting(self) -> Iterator[Finding]:
        usual = Counter(_waits(self.baseline))
        for waiting in self.run.waiting:
            wait = _wait(waiting)
            if usual[wait] > 0:
                usual[wait] -= 1
                continue
            row = "target-waits" if waiting.target else "support-waits"
            level = self.level(row)
            if waiting.target:
                level = self.set_level(WAITS_FOR_EVER, level)
            message = f"{waiting.process} waits for ever, for {waiting.what}, at {waiting.where}, since {waiting.since_ns / 1e9:.3f} s"
            at = waiting.where.partition(" ")[0]
            who = "target" if waiting.target else "support"
            yield Finding(row, message, who, waiting.host, level, None, at, "", waiting.process)

    def body(self) -> Iterator[Finding]:
        error = self.run.body_error
        if error is None:
            return
        verdict = any(error is each.error for each in self.run.verdicts)
        if verdict and not isinstance(error, Deadlock):
            return  # told already: net.always, NotModelled, Hang
        row = "body-waits" if isinstance(error, Deadlock) else "body-raised"
        message = f"the test raised {_one_line(error)}" if row == "body-raised" else f"the test waits for ever: {error}"
        yield _finding(row, message, "body", "test", self.level(row), error, "test")

    def outcome(self, survived: bool) -> Finding:
        message = difference_of_outcomes(self.baseline.outcome, self.run.outcome)
        error = self.run.body_error
        return _finding(
            "outcome", message, "body", "test", FAILURE if survived else self.level("outcome"), error, "test"
        )

    def excused(self, error: BaseException) -> bool:
        """Whether the faults that fired made this very error, or the test allows it."""
        if not self.disruptive:
            return False
        if isinstance(error, BaseExceptionGroup):
            return all(self.excused(each) for each in error.exceptions)
        if isinstance(error, self.may_raise):
            return True
        if not isinstance(error, OSError):
            return False
        if error.errno is None:  # a time-out of the socket object; asyncio's and http.client's "connection lost"
            return isinstance(error, (TimeoutError, ConnectionError))
        if error.errno in PEER_GONE:
            return True
        return any(
            error.errno in MADE_BY.get(fault.kind, ()) or error.errno == getattr(fault, "code", None)
            for fault in self.disruptive
        )

    def set_level(self, name: str, usual: str) -> str:
        """The level that the test sets for *name*; a failure stays one unless it says otherwise."""
        return self.invariants.get(name, usual)


def _finding(
    reason: str,
    message: str,
    who: str,
    host: str,
    level: str,
    error: BaseException | None,
    process: str = "",
    handler: str = "",
) -> Finding:
    place = user_place(error)
    return Finding(reason, message, who, host, level, error, place.short, place.path, process, handler)


def _failed(finding: Finding) -> Finding:
    """The same, as ``strict`` sees it."""
    return Finding(
        finding.reason, finding.message, finding.who, finding.host, FAILURE, finding.error,
        finding.at, finding.path, finding.process, finding.handler,
    )  # fmt: skip


def _disruptive(fault: Fault, baseline: Run, run: Run) -> bool:
    if not fault.transparent:
        return True
    return fault.kind == "stall" and _deadline_fired(baseline, run)


def _deadline_fired(baseline: Run, run: Run) -> bool:
    """Whether somebody's time-out elapsed more often than it did without the fault."""
    usual = Counter(_deadlines(baseline))
    return any(count > usual[who] for who, count in Counter(_deadlines(run)).items())


def _deadlines(run: Run) -> Iterator[tuple[str, str]]:
    for entry in run.trace.entries:
        if entry[1] == WAKE and entry[7] is False:
            yield entry[3], entry[5]  # the process, what it waited for


def _family(error: BaseException | None) -> str:
    """The exception's name. A line that no error of the socket is caught at is one bug, whichever errno comes first."""
    if error is None:
        return ""
    if isinstance(error, OSError) and not isinstance(error, BlockingIOError):
        return "OSError"
    return type(error).__name__


def _missing(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """What of *before* is not in *after*, each as often as it is missing."""
    left = Counter(after)
    missing = []
    for name in before:
        if left[name] > 0:
            left[name] -= 1
        else:
            missing.append(name)
    return missing


def _wait(waiting: Any) -> tuple[str, str, str]:
    return (waiting.host, waiting.process, waiting.where)


def _waits(run: Run) -> list[tuple[str, str, str]]:
    return [_wait(each) for each in run.waiting]


def _one_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def difference_of_outcomes(before: Any, after: Any) -> str:
    """In one sentence, in what the application saw something else than the baseline's did."""
    if before.raised != after.raised:
        return f"the test {_ended(after.raised)}; without the fault it {_ended(before.raised)}"
    if before.returned != after.returned:
        return f"the test returned {short_repr(after.returned)}; without the fault {short_repr(before.returned)}"
    for index, (was, now) in enumerate(zip(before.observed, after.observed, strict=False), 1):
        if was != now:
            return (
                f"observation {index} is {now[0]}={short_repr(now[1])}; without the fault {was[0]}={short_repr(was[1])}"
            )
    return f"the test observed {len(after.observed)} things; without the fault {len(before.observed)}"


def _ended(raised: Any) -> str:
    if raised is None:
        return "ended well"
    if isinstance(raised, tuple):
        return f"raised {raised[0]}: {str(raised[1]).partition(chr(10))[0]}"
    return f"raised {raised}"


def short_repr(value: Any, width: int = 60) -> str:
    """``repr`` with its middle left out where it is longer than *width*."""
    text = repr(value)
    if len(text) <= width:
        return text
    keep = (width - 5) // 2
    return f"{text[:keep]} ... {text[-keep:]}"
