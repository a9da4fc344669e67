"""One plan, played again: on simnet or on real sockets, and whether the failure it was kept for is still there.

The result is ``exact`` (the very same run, event for event), ``same failure on another path`` (the program changed,
the bug did not), ``fixed``, or ``moved``: only on another connection than the one named, or at another call or byte, is the failure
still there. Files that people edit have other results too: ``another failure``; ``a failure`` or ``no failure`` where none is on record;
``not reached`` where the plan never acted, and ``fails without faults`` where it takes none to make the test fail, so that the run says nothing.

On real sockets no trace can be the same, so there the question is whether it is the same failure; the result also says
what the kernel's part was.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.blame import named
from simnet.both.slips import NO_SUCH_HOST
from simnet.explore.elsewhere import elsewhere
from simnet.explore.hits import hits
from simnet.explore.judging.findings import OF_SOCKETS, family
from simnet.explore.judging.verdict import FAILURE, Finding, Judgement, judge
from simnet.explore.keep import failure_text
from simnet.explore.nearest import unreached_texts
from simnet.explore.options import SweepOptions
from simnet.explore.quiet import quiet
from simnet.explore.raising import SweepFailure, as_exception
from simnet.explore.renamed import with_another_name
from simnet.explore.report.failure import FailureReport, report_run
from simnet.explore.report.parting import look_where_it_parts
from simnet.explore.shrink import judged
from simnet.faults.fields import meant
from simnet.faults.plan import FaultPlan
from simnet.run import play
from simnet.scenario import Expect, Found

if TYPE_CHECKING:
    from simnet.run import Run

__all__ = [
    "EXACT",
    "FIXED",
    "MOVED",
    "NOTHING",
    "NOT_REACHED",
    "OTHER_PATH",
    "OnRecord",
    "Replayed",
    "as_expected",
    "fails_alone",
    "replay",
]

EXACT = "exact"
OTHER_PATH = "same failure on another path"
FIXED = "fixed"
OTHER_FAILURE = "another failure"
A_FAILURE = "a failure"  # nothing on record to compare with
NO_FAILURE = "no failure"  # the same, the other way round
NOT_REACHED = "not reached"
MOVED = "moved"
FAILS_ALONE = "fails without faults"
OR_ANOTHER = (
    " If that is another bug, take `found` out of the file: then this fault is played as it stands, and no other."
)


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What is known of a plan beforehand: what its run is compared with, and how a report names it."""

    expect: Expect = field(default_factory=Expect)
    found: Found | None = None
    test_id: str = ""
    by_pytest: bool = True
    file: Path | None = None


@dataclass(slots=True)
class Replayed:
    """What came of playing one plan, beside the same test without faults."""

    plan: FaultPlan
    baseline: Run
    run: Run
    judgement: Judgement
    word: str
    expect: Expect
    expected: bool  # it went as the scenario expects
    why: str = ""  # not expected: what was, and the remedy
    unreached: list[str] = field(default_factory=list)
    report: FailureReport | None = None
    kernel: str = ""  # on real sockets: what the kernel had to do with it
    aside: str = ""  # of what is fixed: that the faults hit something else now
    says_nothing: bool = False  # its faults were never reached, or nothing was under test: neither good nor bad
    moved_to: FaultPlan | None = None  # under which the failure on record is there, if it is at another place

    @property
    def digest(self) -> str:
        return self.run.digest

    @property
    def error(self) -> BaseException | None:
        """The user's own exception, if one is the root of the failure."""
        failure = self.judgement.failure
        return failure.error if failure is not None else None

    @property
    def line(self) -> str:
        """One line, as a list of tests shows it."""
        parts = [f"replay: {self.word}"]
        if self.kernel:
            return self.kernel
        if self.word == FAILS_ALONE:
            return parts[0]
        if self.judgement.failure is not None:
            parts.append(failure_text(self.judgement.failure))
        else:
            parts.append(_STATUS[self.judgement.status])
        if self.unreached:
            parts.append(f"{len(self.unreached)} of {len(self.plan)} faults never reached")
        if self.aside:
            parts.append("what its fault hits is not what it was")
        return "; ".join(parts)

    def raise_failure(self) -> None:
        """Raise what a test runner is to show, if it did not go as expected.

        Raises:
            BaseException: the user's own, with the report as a note; SweepFailure where there is none.
        """
        __tracebackhide__ = True
        if self.expected:
            return
        if self.judgement.failure is None or self.report is None:
            raise SweepFailure(self.why)
        notes = [self.why] if self.expect.known else []  # else it says no more
        raise as_exception(self.error, self.report, *notes, passes=self.baseline.body_error is None)


NOTHING = OnRecord()
_STATUS = {
    "equal": "equal to the run without faults",
    "noted": "another outcome, as a disruptive fault may cause",
    "interrupted": "interrupted by a disruptive fault",
    "failure": "failed",
}


def replay(
    test: Callable[[Any], object],
    plan: FaultPlan | None,
    *,
    options: SweepOptions | None = None,
    record: OnRecord = NOTHING,
    baseline: Run | None = None,
) -> Replayed:
    """Play *plan* on simnet, beside a run without faults, and compare it with what is on *record*."""
    plan = plan or FaultPlan()
    options = (options or SweepOptions()).under(plan)
    if baseline is None:
        baseline = play(test, FaultPlan((), plan.schedule, plan.seed), **options.playing)
    run, judgement = judged(test, plan, baseline, options)
    if judgement.findings:
        look_where_it_parts(test, run, judgement, baseline, options)
    played = weigh(baseline, run, judgement, record)
    if plan and judgement.failure is None:
        _look_without_faults(played, options)
    if played.word in (FIXED, NOT_REACHED):
        _look_elsewhere(played, test, options, record)
    if played.says_nothing and played.moved_to is None and plan:
        _look_for_another_name(played, test, options, record)
    return played


def _look_for_another_name(
    played: Replayed, test: Callable[[Any], object], options: SweepOptions, record: OnRecord
) -> None:
    """A host under test that is not there any more may have a new name."""
    for there in with_another_name(played.plan, options.target or (), played.baseline.trace):
        renamed = replace(options, target=there.target)
        with quiet():
            baseline = play(test, FaultPlan((), there.plan.schedule, there.plan.seed), **renamed.playing)
            run, judgement = judged(test, there.plan, baseline, renamed)
        if judgement.failure is not None and _word(run, judgement, record.expect, record.found) == OTHER_PATH:
            played.moved_to = there.plan
            played.why += f"\nWith {there.change} the failure on record is there, {failure_text(judgement.failure)}: that host has another name now."
            return


def _look_without_faults(played: Replayed, options: SweepOptions) -> None:
    """What no fault makes fail is not interrupted by one: a test that is broken passes no replay."""
    if failure := fails_alone(played.baseline, options):
        played.word, played.expected, played.says_nothing = FAILS_ALONE, False, True
        played.why = f"the test fails without any fault, {failure}, so this run says nothing."


def fails_alone(baseline: Run, options: SweepOptions) -> str:
    """What the test fails with in *baseline*, the run without faults; empty if it passes."""
    failure = judge(baseline, baseline, invariants=options.invariants).failure
    return "" if failure is None else failure_text(failure)


def _look_elsewhere(played: Replayed, test: Callable[[Any], object], options: SweepOptions, record: OnRecord) -> None:
    """Fixed is what no longer fails, not what is no longer met."""
    others: list[str] = []

    def fails(plan: FaultPlan) -> str:
        with quiet():
            run, judgement = judged(test, plan, played.baseline, options)
        if judgement.failure is None:
            return ""
        told = failure_text(judgement.failure)
        if _word(run, judgement, record.expect, record.found) == OTHER_PATH:
            return told
        others.append(f" Under {plan} it fails otherwise: {told}.")
        return ""

    before = record.found.hits if record.found is not None else None
    now = hits(played.plan, played.baseline.trace)
    known = record.found is not None and record.found.failure is not None
    widely = played.word == NOT_REACHED or not now or before != now
    # Of the run without faults: others are there because of the fault, as of a client that comes again.
    there = elsewhere(played.plan, played.baseline.points, played.baseline.targets, fails, widely=widely and known)
    if there is None:
        if played.word == FIXED and before is not None and before != now:
            played.aside = f"It hits something else than when it was found: then {before}; now {now or 'nothing'}.{(others or [''])[0]}"
        return
    played.moved_to = there.plan
    if played.word == NOT_REACHED:
        played.why += f"\n{there.told[0].upper()}{there.told[1:]}."
        return
    edit = f"Edit {record.file.name}" if record.file is not None else "Change the fault"
    played.word, played.expected, played.says_nothing = MOVED, False, True
    played.why = f"{edit}, for it is not fixed: {there.told}.{OR_ANOTHER if widely else ''}"


def weigh(baseline: Run, run: Run, judgement: Judgement, record: OnRecord, *, real: bool = False) -> Replayed:
    """The answer to one replay, on simnet or on *real* sockets."""
    expect, file = record.expect, record.file
    unreached = unreached_texts(run.unreached, run.points, run.targets)
    word = _word(run, judgement, expect, record.found)
    expected, why = as_expected(expect, judgement)
    # One that the run without faults has not is none: the test ended before it made the host.
    usual = {each.host for each in baseline.verdicts if each.name == NO_SUCH_HOST}
    slips = [each.message for each in run.verdicts if each.name == NO_SUCH_HOST and each.host in usual]
    absent = [each for each in slips if each.startswith("target=")]
    if word == NOT_REACHED:
        expected, why = False, _not_reached([*unreached, *slips], file, whole=len(unreached) == len(run.plan))
    elif absent:
        expected, why = False, f"{absent[0]}. So nothing was under test, and this run says nothing."
    elif not expected and expect.known and real and word == FIXED:
        why = f"{why} That is on real sockets, with their timing: `simnet replay` without --real says whether it is fixed."
    elif not expected and expect.known:
        why = f"{why} Edit {file.name if file else 'the scenario'}: {_remedy(word, expect, judgement)}"
    shown = (
        report_run(run, judgement, baseline, test_id=record.test_id, by_pytest=record.by_pytest, file=file)
        if judgement.findings
        else None
    )
    nothing = word == NOT_REACHED or bool(absent)
    return Replayed(
        run.plan, baseline, run, judgement, word, expect, expected, why, unreached, shown, says_nothing=nothing
    )


def _word(run: Run, judgement: Judgement, expect: Expect, found: Found | None) -> str:
    recorded = found.failure if found is not None else None
    failure = judgement.failure
    if failure is None:
        if run.unreached and judgement.status == "equal":
            return NOT_REACHED
        if found is not None and found.trace == run.digest:
            return EXACT  # it was a failure to a sweep that was told to be strict
        return FIXED if recorded or expect.known else NO_FAILURE
    if found is not None and found.trace == run.digest:
        return EXACT
    if recorded:
        return OTHER_PATH if any(_same(recorded, each) for each in _failed(judgement)) else OTHER_FAILURE
    if expect.known:
        return OTHER_PATH if as_expected(expect, judgement)[0] else OTHER_FAILURE
    return A_FAILURE


def _failed(judgement: Judgement) -> list[Finding]:
    return [each for each in judgement.findings if each.level == FAILURE]


def _same(recorded: str, finding: Finding) -> bool:
    """Whether it is the failure on record. Lines move while a program is worked on; what and in which file counts.

    At the very line, any error of a socket is the same one, as it is to a sweep.
    """
    now = failure_text(finding)
    if recorded == now or recorded.rpartition(":")[0] == now.rpartition(":")[0] != "":
        return True
    what, _, at = recorded.partition(" at ")
    return at == finding.at != "" and finding.key[1] == OF_SOCKETS and _is_of_sockets(what)


def _is_of_sockets(name: str) -> bool:
    """Whether Python's exception of that *name* is one that a sweep takes for the same as others at its line."""
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, OSError) and family(kind) == OF_SOCKETS


def as_expected(expect: Expect, judgement: Judgement) -> tuple[bool, str]:
    """Whether *judgement* is what *expect* says; if not, in words what it is instead."""
    failed = _failed(judgement)
    if judgement.failure is not None:
        is_now = failure_text(judgement.failure)
    else:
        is_now = _STATUS[judgement.status]
    if expect.known:
        if any(_matches(expect, each) for each in failed):
            return True, ""
        return (
            False,
            f"expected was {expect}; the run is {is_now}." if not failed else f"expected was {expect}; it is {is_now}.",
        )
    if judgement.failure is not None:
        return False, is_now
    if expect.interrupted or judgement.status == "equal":
        return True, ""
    return False, (
        f"expected was the baseline's outcome; the run was {is_now}: {judgement.findings[0].message}. If that is right under a "
        "disruptive fault, write expect = { interrupted = true }"
    )


def _matches(expect: Expect, finding: Finding) -> bool:
    if expect.invariant is not None:
        return finding.reason == expect.invariant
    if finding.error is None or not _is_of(finding.error, expect.error):
        return False
    from simnet.blame import user_place

    at = expect.at
    return at is None or at in (
        finding.handler,
        finding.at,
        finding.at.partition(":")[0],
        user_place(finding.error).function,
    )


def _remedy(word: str, expect: Expect, judgement: Judgement) -> str:
    if word == FIXED:
        as_usual, _ = as_expected(Expect(outcome="baseline"), judgement)
        # Interrupted by a disruptive fault is what it is right to be.
        now = 'outcome = "baseline"' if as_usual else "interrupted = true"
        return f"it is fixed, so write expect = {{ {now} }}, and the bug stays away{_mistyped(expect.error)}"
    return f"if this is the same bug, say so in expect{_where_now(expect, judgement)}."


def _where_now(expect: Expect, judgement: Judgement) -> str:
    """The `at` of an exception of the expected type that comes from elsewhere, as from a function that was renamed."""
    failure = judgement.failure
    if expect.at is None or failure is None or failure.error is None or not _is_of(failure.error, expect.error):
        return ""
    from simnet.blame import user_place

    names = [each for each in (failure.handler, user_place(failure.error).function) if each.isidentifier()]
    return f', where `at` is now "{[*names, failure.at][0]}"'


def _is_of(error: BaseException, name: str | None) -> bool:
    return any(name in (each.__name__, named(each)) for each in type(error).__mro__)


def _mistyped(error: str | None) -> str:
    """A word on the name of an exception that is nearly one of Python's own. The program may have one of that name all the same."""
    there = [
        name for name, each in vars(builtins).items() if isinstance(each, type) and issubclass(each, BaseException)
    ]
    if error is None or error in there or "did you mean" not in (slip := meant(error, there)):
        return "."
    return f", unless error={error!r} is mistyped{slip}"


def _not_reached(unreached: list[str], file: Path | None, *, whole: bool) -> str:
    edit = f"Edit {file.name}" if file is not None else "Change the fault"
    return (
        f"{'the plan never acted' if whole else 'a part of the plan never acted'}, so this run says nothing.\n"
        + "\n".join(f"  {each}" for each in unreached)
        + f"\n{edit} so that it acts again (`simnet show` lists where faults can), or drop it."
    )
