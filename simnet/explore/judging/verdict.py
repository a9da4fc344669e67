"""Was this run right? What happened in it, against the verdict table.

A fault that only **delays** (a stall, bytes that wait to arrive together) is transparent while no deadline fired that did not fire in
the baseline, and disruptive from then: a program that gives up after 30 s is right to do so. A loop that looks every 30 s
and sleeps again gives up nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from simnet.explore.judging.asks_on import asks_on
from simnet.explore.judging.deadlines import Elapsed, elapsed
from simnet.explore.judging.findings import Case, Finding, waits
from simnet.explore.judging.kept_waiting import kept_waiting
from simnet.explore.judging.late_end import ends_the_new
from simnet.explore.judging.otherwise import otherwise, taken_for_another
from simnet.explore.judging.outcomes import same
from simnet.explore.judging.served_anyway import tells, unserved
from simnet.explore.judging.table import EQUAL, FAILURE, INTERRUPTED, NOTED, OFF, TABLE, WARNING
from simnet.faults.hosts import BODY, Strangers
from simnet.faults.transparent import Preempt, Stall
from simnet.invariants import BROKEN_GIVEN_UP, LATE_END, NO_STORM, SERVED_ANYWAY
from simnet.trace import CALL, Failed

if TYPE_CHECKING:
    from simnet.faults.kinds import Fault
    from simnet.run import Run
    from simnet.trace import Entry

__all__ = ["FAILURE", "TABLE", "Finding", "Judgement", "judge"]


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
WAITS_TOGETHER = 0.04  # seconds: how long bytes wait for others that they are to arrive with
MARGIN_NS = 1_000_000_000  # beyond all delays that a delay can bring about, such as an acknowledgement that waits
FOLLOWS = frozenset({SERVED_ANYWAY, BROKEN_GIVEN_UP})  # what somebody does, or leaves undone, who has just failed
LOSES_NOTHING = frozenset({"duplicate", "reorder"})  # a datagram that is late may come behind somebody's deadline


def judge(
    baseline: Run,
    run: Run,
    *,
    strict: bool = False,
    may_raise: tuple[type[BaseException], ...] = (),
    survives: Iterable[str] = (),
    invariants: Mapping[str, str] | None = None,
    done: tuple[Fault, ...] = (),
) -> Judgement:
    """The verdict on *run*, whose test did without faults what *baseline* shows.

    *strict* makes a failure of what a disruptive fault interrupted; *may_raise* adds exceptions that a target may end with
    then; for the kinds in *survives* the outcome must be the baseline's nevertheless; *invariants* sets levels by name. What the test itself
    has *done* to a target excuses handlers that raise the errnos that it makes, and nothing else.
    """
    same_outcome = same(baseline.outcome, run.outcome)
    quiet = not (run.verdicts or run.failures or run.handler_errors or run.body_error)
    left = run.listening == baseline.listening and run.alive == baseline.alive
    kept = kept_waiting(baseline, run)
    ended = ends_the_new(run)
    storm = asks_on(baseline, run)
    nothing_told = kept is None and ended is None and storm is None
    if same_outcome and quiet and left and waits(run) == waits(baseline) and nothing_told:
        return _EQUAL  # as most runs of a sweep: nothing more to ask
    fired = tuple(run.happened)
    disruptive = tuple(fault for fault in fired if _disruptive(fault, baseline, run))
    case = Case(baseline, run, disruptive, may_raise, {} if invariants is None else invariants, done)
    survived = bool(disruptive) and {fault.kind for fault in disruptive} <= set(survives)
    findings = list(case.findings())
    if kept is not None:
        findings += case.kept_waiting(kept)
    if ended is not None:
        host, message, entry = ended
        level = case.invariants.get(LATE_END, WARNING)
        findings.append(replace(case.found(LATE_END, message, host, None, level), entry=entry))
    if storm is not None:
        level = case.invariants.get(NO_STORM, WARNING)
        findings.append(replace(case.found(NO_STORM, storm.text, storm.host, None, level), entry=storm.entry))
    if not same_outcome and (missed := unserved(baseline, run)) is not None:
        level = case.invariants.get(SERVED_ANYWAY, WARNING)
        findings.append(replace(case.found(SERVED_ANYWAY, missed.message, missed.host, None, level), at=missed.at))
    if not same_outcome and (run.body_error is None or survived):
        findings.append(case.outcome(survived))
    if disruptive and not (same_outcome or survived):
        findings += otherwise(case)
    if not (same_outcome or survived) and _loses_nothing(disruptive):
        findings.append(taken_for_another(case))
    if any(isinstance(fault, Strangers) for fault in fired):
        findings = [each for each in findings if tells(each)]
    elif strict:  # a test may count its clients
        findings = [replace(each, level=FAILURE) if each.level == INTERRUPTED else each for each in findings]
    stopped = {each.host for each in findings if each.level == FAILURE and each.error is not None}
    warnings = tuple(each for each in findings if each.level == WARNING and not _follows(each, stopped))
    told = [each for each in findings if each.level not in (WARNING, OFF)]
    for status in (FAILURE, INTERRUPTED, NOTED):
        if any(each.level == status for each in told):
            told.sort(key=lambda each: each.level != status)  # stable: the order of the table stays
            return Judgement(status, tuple(told), warnings, bool(disruptive))
    return Judgement(EQUAL, tuple(told), warnings, bool(disruptive))


def _follows(warned: Finding, stopped: Collection[str]) -> bool:
    """Is it what comes of an exception, or of a loop that never waits, which is told as a failure of that host's?"""
    return warned.reason in FOLLOWS and warned.host in stopped


def _disruptive(fault: Fault, baseline: Run, run: Run) -> bool:
    if not fault.harmless:
        return True
    return fault.late and _deadline_fired(baseline, run)


def _loses_nothing(disruptive: tuple[Fault, ...]) -> bool:
    """Did datagrams only come twice, or out of order, and none to or from the test itself, which may be as simple as it likes?"""
    return bool(disruptive) and all(
        fault.kind in LOSES_NOTHING and BODY not in (fault.anchor.place.source, fault.anchor.place.target)
        for fault in disruptive
    )


def _deadline_fired(baseline: Run, run: Run) -> bool:
    """Whether somebody's time-out elapsed more often than it did without the faults, and may have done so by a delay.

    Where no more than a thread of a target's stood still, nothing is late but what that thread does: another that sleeps meanwhile, and takes it
    for done, has a race of its own.
    """
    paces = all(isinstance(fault, Preempt) for fault in run.happened if fault.late)
    asleep = run.targets if paces else ()
    late_ns = _late_ns(run)
    left: dict[tuple[str, str, int], list[Elapsed]] = {}
    for each in elapsed(baseline, asleep):
        left.setdefault(each.who, []).append(each)
    for each in elapsed(run, asleep):
        usual = left.get(each.who, [])
        same = next((before for before in usual if each.is_as(before, late_ns)), None)
        if same is None:
            return not _waited_for_more(each.entry, baseline, run)  # those behind it may have elapsed by this one
        usual.remove(same)
    return False


def _waited_for_more(index: int, baseline: Run, run: Run) -> bool:
    """Whether who gave up there did so long after all was over without the faults, and all that was late had been read by then.

    Or who gave up read, from a connection that had brought all it ever brings. A program has lost what was waited for: of what had come
    together, it took a part. Who was waited for while a thread stood still has long gone on.
    """
    entries = run.trace.entries
    if entries[index][0] <= baseline.time_ns + _late_ns(run) + MARGIN_NS:
        return False
    if all(_is_over(fault, index, baseline, run) for fault in run.happened if fault.late):
        return True
    if entries[index][5] != "recv":
        return False
    for _, kind, host, place, end, op, _, detail in islice(entries, index + 1, None):
        if host == entries[index][2] and kind == CALL:
            if op != "recv" or not isinstance(detail[1], Failed):
                return False
            whole = _brought(baseline.trace.entries, place, end)
            return 0 < whole <= _brought(entries[:index], place, end)
    return False


def _late_ns(run: Run) -> int:
    """By how much the faults have made anything late, all together."""
    return round(1e9 * sum(getattr(fault, "seconds", None) or WAITS_TOGETHER for fault in run.happened if fault.late))


def _is_over(fault: Fault, index: int, baseline: Run, run: Run) -> bool:
    """Whether nobody waits any more, at that entry of *run*, for what *fault* has made late; of what is held for a send nobody knows."""
    if not isinstance(fault, Stall):
        return isinstance(fault, Preempt)
    place = str(fault.place)
    whole = _brought(baseline.trace.entries, place, fault.end)
    return 0 < whole <= _brought(run.trace.entries[:index], place, fault.end)


def _brought(entries: list[Entry], place: str, end: str) -> int:
    """How many bytes that end of the connection has read."""
    return sum(
        len(entry[7][1])
        for entry in entries
        if entry[3] == place and entry[5] == "recv" and entry[4] == end and isinstance(entry[7][1], bytes)
    )
