"""The report of one failure: what broke, what the network did, where the run differs from the baseline, what to type next.

A value with parts, so that an exception's notes, the command line and a test show the same.
"""

from __future__ import annotations

import linecache
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

from simnet.blame import exception_text, first_of, named, stands_nowhere, stopping_place, user_place, users_own
from simnet.causes import why_by_itself, why_reset
from simnet.expect import IN_WORDS
from simnet.explore.judging.akin import akin_to
from simnet.explore.judging.findings import WITHOUT_END, Finding
from simnet.explore.judging.stays import STATE_STAYS
from simnet.explore.judging.table import TABLE
from simnet.explore.judging.verdict import Judgement
from simnet.explore.report.calls import beginning_of_call, for_python
from simnet.explore.report.ladder import ladder
from simnet.explore.report.looks import WIDTH, colored, line_of, many
from simnet.explore.report.parting import BETWEEN_LINES
from simnet.explore.report.support import raised_by_support
from simnet.explore.report.when import when
from simnet.explore.report.words import wrapped
from simnet.faults.hosts import BODY
from simnet.faults.plan import FaultPlan
from simnet.faults.transparent import Preempt
from simnet.invariants import OTHERS_ANSWERED, OTHERS_SURVIVE
from simnet.kernel.messages import MSG_WAITALL
from simnet.project.nodeid import project_root
from simnet.project.typed import named_from_here, pytest_command, quoted_from_here
from simnet.trace import CALL, FAULT, WAKE
from simnet.verdicts import Deadlock

if TYPE_CHECKING:
    from simnet.explore.result import Failure, SweepResult
    from simnet.run import Run
    from simnet.trace import Trace

__all__ = ["FailureReport", "report", "report_run", "what_broke"]

# What pytest finds; others are handed to check(), in a notebook. The first bracket is to pytest that of parameters.
_PYTESTS = re.compile(r"^[^\[]*::test[^:\[]*(?:\[.*)?$", re.DOTALL)
_WHERE = re.compile(r" \+ +(?:where|and) ")  # of pytest's explanation: what the parts of an assertion came from

A_LITTLE_NS = 100_000_000  # for the way, and for an answer
TIME = "time to pass"  # what who sleeps waits for
NO_FAULT = ("no fault at all: the test fails like this by itself", "")


BROKEN = "the rule ["
FULL = "handle_full"  # of a stream of dispatch's


@dataclass(slots=True)
class FailureReport:
    """One failure in words; ``text()`` for people, the parts for programs."""

    title: str
    """``TypeError: cannot unpack non-iterable NoneType object``, or what broke where there is no exception."""
    place: str
    """``tutorial_server.py:71: in handle_accept``."""
    source: str
    """That line of the user's code."""
    network: tuple[tuple[str, str], ...]
    """For each fault of the plan: what the network did, and ``transparent`` or ``disruptive``."""
    consequence: str
    """What followed, with the rule it breaks in brackets."""
    seen: str
    """In how many runs, under which kinds of fault."""
    diagram: Callable[[int, bool], str]
    """The ladder, drawn when asked: width, unicode."""
    commands: tuple[tuple[str, str], ...]
    """What to type next: ``("run it", "pytest ...")``."""
    kernel: str
    """What real sockets said; empty if they were not asked."""
    akin: str
    """Which other failure of the sweep may be the same bug; empty if none."""
    headline: str
    """``TypeError at tutorial_server.py:71 when accept says EAGAIN (1 bug, 3 of 214 runs)``."""

    line: str = ""
    """``server.py:42 in answer: sent = conn.send(data)``: what made the target's first call that went otherwise, if not *place*."""
    noted: tuple[str, ...] = ()
    """What the program has noted on its exception (``add_note``)."""
    why: str = ""
    """What the network knows of an error that came without a fault, or of a test that reads once; empty if nothing."""

    @property
    def by_itself(self) -> bool:
        """Whether it took no fault to make the test fail so."""
        return self.network == (NO_FAULT,)

    def __str__(self) -> str:
        return self.text()

    def text(self, color: bool = False, width: int = WIDTH, unicode: bool = True) -> str:
        """The whole report, for a terminal or a log."""
        head = [f"{self.place}" if self.place else "", f">     {self.source}" if self.source else ""]
        for line in self.title.splitlines():
            if self.consequence.startswith(BROKEN):  # a rule's own words, and what to do, stand nowhere else
                head += [f"E     {part}" for part in wrap(line, width - 6, break_on_hyphens=False)]
            elif not _WHERE.match(line):
                head.append(_cut(f"E     {line}", width))
        head += [_cut(f"E     {line}", width) for each in self.noted for line in each.splitlines()]
        if not unicode:
            head = [line.replace("…", "~").encode("ascii", "replace").decode() for line in head]
        text = "\n".join([*(line for line in head if line), "", *self.parts(width, unicode)])
        return colored(text) if color else text

    def below(self, color: bool = False, width: int = WIDTH, unicode: bool = True) -> str:
        """What stands below the exception, for those who show it with its traceback."""
        text = "\n".join(self.parts(width, unicode))
        return colored(text) if color else text

    def notes(self, width: int = WIDTH, unicode: bool = True) -> list[str]:
        """What an exception carries as notes: all but the exception and its line, which its traceback shows."""
        return ["\n" + "\n".join(self.parts(width, unicode))]

    def parts(self, width: int = WIDTH, unicode: bool = True) -> list[str]:
        """The lines below the exception."""
        lines: list[str] = []
        for told, kind in self.network:
            lines.append(line_of("network", told, f"({kind})" if kind else "", width))
        if self.line:
            lines.append(line_of("line", self.line, "", width))
        if self.why:
            lines.append(line_of("why", self.why, "", width))
        if self.consequence:
            told, _, rule = self.consequence.rpartition("  [")
            lines.append(line_of("so", told or self.consequence, f"[{rule}" if told else "", width))
        if self.seen:
            lines.append(line_of("seen", self.seen, "", width))
        if self.akin:
            lines.append(line_of("akin", self.akin, "", width))
        lines += ["", self.diagram(width, unicode), ""]
        lines += [line_of(name, command, "", width) for name, command in self.commands]
        if self.kernel:
            lines.append(line_of("kernel", self.kernel, "", width))
        if not unicode:
            lines = [line.encode("ascii", "replace").decode() for line in lines]
        return lines


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 1]}…"


def report(failure: Failure, result: SweepResult, *, test_id: str = "") -> FailureReport:
    """The report of one distinct failure of a sweep."""
    seen = ""
    if failure.plan and (failure.count > 1 or len(failure.kinds) > 1):
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in failure.kinds.items())
        seen = f"in {failure.count:,} of {result.runs:,} runs: {kinds}"
    found = report_run(
        failure.run,
        failure.judgement,
        result.baseline,
        test_id=test_id,
        file=failure.file,
        root=result.root,
        kernel=failure.kernel,
        call=beginning_of_call(result),
        by_pytest=result.by_pytest,
        asked_target=result.asked_target,
    )
    if failure.unwritten:
        found.commands += (("keep it", f"no file of it could be written: {failure.unwritten}"),)
    found.seen = seen
    if not found.why and any(warned.name == STATE_STAYS for warned in result.warnings):
        found.why = (
            f"something stays from run to run, so this may be an echo of another run: see the warning [{STATE_STAYS}]"
        )
    akin = akin_to(failure, result.failures)
    if akin is not None:
        found.akin = (
            f"to {akin}: the same input, cut elsewhere. Fix that one first, and sweep again: this may be the same bug"
        )
    bug = "1 bug" if akin is None else f"akin to {akin}"
    runs = f"{bug}, {failure.count:,} of {result.runs:,} runs" if failure.plan else "1 bug, without any fault"
    found.headline = f"{found.headline} ({runs})"
    return found


def report_run(
    run: Run,
    judgement: Judgement,
    baseline: Run,
    *,
    test_id: str = "",
    file: Path | None = None,
    root: Path | None = None,
    kernel: str = "",
    call: str = "simnet.check(test",
    by_pytest: bool = True,
    asked_target: tuple[str, ...] = (),
) -> FailureReport:
    """The report of one run that failed or was interrupted, outside a sweep or in one.

    *test_id* counts from *root*; where that is not given, from the root of the project in which *file* lies. Without one, *call* is
    how what was swept is played in code. Where the test is no test of pytest's, *by_pytest* is false; *asked_target* are the hosts under
    test that a command has named.
    """
    main = judgement.findings[0] if judgement.findings else None
    plan = run.plan or run.happened
    diagram = _diagram(run, baseline, main)
    why = "" if main is None else _why(run, baseline, main, judgement, plan)
    return FailureReport(
        title=_title(main),
        place=_place(main),
        source=_source(main),
        network=tuple(_network(run, judgement, plan)),
        consequence=_consequence(judgement),
        seen="",
        akin="",
        diagram=diagram,
        commands=tuple(_commands(plan, main, _Test(test_id, by_pytest, asked_target, root or _root(file), call), file)),
        kernel=kernel,
        headline=headline(main, plan),
        noted=_noted(main, why),
        line=_line(run, main),
        why=why,
    )


def headline(main: Finding | None, plan: FaultPlan) -> str:
    """One line, as a list of failures shows it."""
    if main is None:
        return f"the outcome is the baseline's {when(plan)}".rstrip()
    at = f" at {main.at}" if main.at else f" on {main.host}" if main.host != BODY and main.error is None else ""
    return f"{what_broke(main)}{at} {when(plan)}".rstrip()


def what_broke(finding: Finding) -> str:
    """``TypeError``, ``listener-survives``, ``another outcome``."""
    if finding.error is None:
        return IN_WORDS.get(finding.reason, finding.reason)
    return named(type(first_of(finding.error)))


# --- the parts -------------------------------------------------------------------------------------------------------


def _title(main: Finding | None) -> str:
    if main is None:
        return "no failure"
    if main.error is None:
        return main.message
    return exception_text(main.error)


def _noted(main: Finding | None, why: str) -> tuple[str, ...]:
    """Without what stands in *why*, and what a report has noted there before, which begins with an empty line."""
    notes = getattr(main.error, "__notes__", ()) if main is not None else ()
    texts = [each for each in notes if isinstance(each, str) and not each.startswith("\n")]
    return tuple(each for each in texts if not why or not (why in each or why.startswith(f"{each}; ")))


def _place(main: Finding | None) -> str:
    if main is None or not main.at:
        return ""
    function = user_place(main.error).function
    if function in ("", "<module>", "<lambda>"):
        return main.at
    return f"{main.at}: in {function}"


def _source(main: Finding | None) -> str:
    if main is None:
        return ""
    place = user_place(main.error)
    return linecache.getline(place.path, place.line).strip() if place.path else ""


def _network(run: Run, judgement: Judgement, plan: FaultPlan) -> list[tuple[str, str]]:
    if not plan:
        return [NO_FAULT]
    told: list[tuple[str, str]] = []
    for fault in plan:
        if fault in run.unreached:
            kind = "never reached"
        elif fault.late and judgement.disruptive:
            kind = "disruptive: a deadline fired that did not before"
        else:
            kind = "transparent" if fault.harmless else "disruptive"
        told.append((fault.sentence(), kind))
    return told


def _line(run: Run, main: Finding | None) -> str:
    place = run.parts_at
    if not place.path or (main is not None and main.at == place.short):
        return ""
    source = linecache.getline(place.path, place.line).strip()
    return f"{place.short} in {place.function}" + (f": {source}" if source else "")


def _why(run: Run, baseline: Run, main: Finding, judgement: Judgement, plan: FaultPlan) -> str:
    if plan and len(run.unreached) == len(plan) and run.digest != baseline.digest:
        return (
            "no fault acted in this run: an earlier one left something behind (a global, a class attribute, a file), and this is an echo "
            "of it. per_process=['module:Class.name'] makes it new in each run"
        )
    if any(isinstance(fault, Preempt) for fault in plan):
        return BETWEEN_LINES
    if plan and plan.transparent and (main.host == BODY or not judgement.disruptive):
        if run.parts_at.function == FULL:
            return (
                f"a peer that does not read for a moment filled the output, and {FULL} let it go. Where that is right, let high_water "
                "be more than the test writes at a time, or name the kinds= to try, without this one"
            )
        if raised := raised_by_support(run, baseline, main):
            return raised
        reset = why_reset(main.error, run) if main.error is not None else ""
        if reset or main.host != BODY:
            return reset
        return _one_read(run.trace, baseline.trace) or _looked_early(run.trace, plan)
    if main.reason == OTHERS_SURVIVE:
        return (
            "catch an error where a message is written to each of many, so that it ends its own connection alone; where the two "
            "belong together, as players of one game do, invariants={'others-survive': 'off: why'} says so"
        )
    if main.reason == OTHERS_ANSWERED:
        cure = run.body_error.cure if isinstance(run.body_error, Deadlock) else ""
        if cure:
            return cure
        return (
            "its client waits for ever, or until it times out. If an answer may be lost with another connection, "
            "invariants={'others-answered': 'off: why'} says so"
        )
    if plan:
        return wrapped(main, [fault for fault in plan if not fault.harmless or (fault.late and judgement.disruptive)])
    return "" if main.error is None else why_by_itself(main.error, run)


def _one_read(trace: Trace, before: Trace) -> str:
    """What to say of a test that takes what one read brings for all there is; empty if it does not seem to."""
    reads = [each for each in trace.of(CALL) if each.host == BODY and each.op == "recv"]
    if not reads or not (got := reads[-1].result) or not isinstance(got, bytes):
        return ""
    key = (BODY, "recv", reads[-1].place, reads[-1].n)
    whole = next((each.result for each in before.of(CALL) if (each.host, each.op, each.place, each.n) == key), b"")
    if not isinstance(whole, bytes) or len(got) >= len(whole) or not whole.startswith(got):
        return ""
    told = f"the test's last recv brought {many(len(got), 'byte')} of {len(whole):,}: "
    if any(flags & MSG_WAITALL for flags in reads[-1].arguments[1:]):
        return told + "for MSG_WAITALL no socket with a time-out waits, on a kernel either. Read on until all is there"
    return told + "it returns what has arrived. Read on until all is there"


def _looked_early(trace: Trace, plan: FaultPlan) -> str:
    """What to say of a test that sleeps until all must have come, where something is late; empty if it does not."""
    begins = [each.time_ns for each in trace.of(FAULT)]
    slept = [each.time_ns for each in trace.of(WAKE) if each.host == BODY and each.op == TIME and not each.detail]
    if not all(fault.late for fault in plan) or not begins or not slept:
        return ""
    late = 1e9 * sum(getattr(fault, "seconds", None) or 0 for fault in plan) + A_LITTLE_NS
    if not begins[0] <= slept[-1] <= begins[0] + late:
        return ""
    return (
        f"the test slept until {slept[-1] / 1e9:g} s, and then looked: what is late had not come. Time is virtual, and a long sleep costs "
        "nothing: let it be longer than the longest stall, of 61 s, as by net.sleep(100)"
    )


def _consequence(judgement: Judgement) -> str:
    """What followed from the root; the root itself, where it is a broken rule, or nothing that followed is a failure."""
    findings = judgement.findings
    if not findings:
        return ""
    first, rest = findings[0], findings[1:]
    if first.error is not None and first.reason in TABLE:
        if rest and rest[0].level == first.level:
            return f"{_told(rest[0])}  [{rest[0].reason}]"
        return f"{_told(first)}  [{first.reason}]" if first.host != BODY else ""
    if first.error is not None and exception_text(first.error) == f"{type(first.error).__name__}: {first.message}":
        return f"{BROKEN}{first.reason}] is broken"  # how, the error above has said
    after = [_told(each) for each in rest[:1] if each.error is None or each.error is not first.error]
    return f"{'; '.join([_without(after, _told(first)), *after])}  [{first.reason}]"


def _without(after: list[str], told: str) -> str:
    """What was *told*, but for the waits for a lock that are told *after* it once more, and in full."""
    for each in after:
        told = f"{told}.".replace(f" {each.partition(WITHOUT_END)[0]}.", "").removesuffix(".")
    return told


def _told(finding: Finding) -> str:
    told = finding.message.strip().partition("\n")[0].removesuffix(".")
    return told.removesuffix("here:") + f"at {finding.at}" if finding.at and told.endswith("It was here:") else told


def _diagram(run: Run, baseline: Run, main: Finding | None) -> Callable[[int, bool], str]:
    last: tuple[str, str] | None = None
    if main is not None and main.error is not None:
        last = (main.host, f"{type(main.error).__name__}  {main.at}".rstrip())
    error = main.error if main is not None else None
    seen = (error.seen_until or 0, error.seen_ns) if isinstance(error, Deadlock) and error.seen_ns is not None else None
    against = baseline.trace if baseline is not run else None

    def draw(width: int, unicode: bool) -> str:
        return ladder(run.trace, against=against, width=width, unicode=unicode, last=last, seen=seen)

    return draw


class _Test(NamedTuple):
    """What failed, for whoever wants to run it again."""

    id: str  # from the root of its project; empty where it has none
    by_pytest: bool  # else a function that pytest knows nothing of, or judges otherwise
    asked_target: tuple[str, ...]  # the hosts that a command line named
    root: Path | None
    call: str  # how it is played in code, up to the plan

    @property
    def found_by_pytest(self) -> bool:
        return self.by_pytest and _PYTESTS.search(self.id) is not None


def _commands(plan: FaultPlan, main: Finding | None, test: _Test, file: Path | None) -> list[tuple[str, str]]:
    test_id, root = test.id, test.root
    error = main.error if main is not None else None
    stop = stopping_place(error)
    place = "" if error is not None and stands_nowhere(error) else stop.short
    at = main.at if main is not None else ""
    below = f", below {at}" if place and at and at != place and not users_own(stop.path) else ""
    if below and isinstance(error, BaseExceptionGroup):
        below = ", where its group is raised"
    stops = f"   (--pdb stops at {place}{below})" if place else ""
    path = quoted_from_here(file) if file is not None else ""
    # What lies elsewhere is kept already.
    keep = [("keep it", f"simnet keep {path}")] if file is not None and ".simnet" in file.parts else []
    if test_id and not test.found_by_pytest:
        if path:
            return [("run it", f"simnet replay {path}"), *keep]
        if not plan:
            return [("run it", f"simnet show {named_from_here(test_id, root)}")]
        test_id = ""
    if file is not None and test_id:
        return [("run it", f"{pytest_command(test_id, root, file)}{stops}"), *keep]
    if test_id and plan:
        targets = "".join(f" --simnet-target {shlex.quote(each)}" for each in test.asked_target)
        return [("run it", f"{pytest_command(test_id, root)} --simnet-fault {_for_a_shell(plan)}{targets}{stops}")]
    if test_id:
        return [("run it", f"{pytest_command(test_id, root)}{stops}")]
    if plan:
        return [("run it", f"{test.call}, plan={for_python(plan)})")]
    return []


def _for_a_shell(plan: FaultPlan) -> str:
    text = str(plan)
    return shlex.quote(text) if any(each in text for each in '"$`!') else f'"{text}"'


def _root(file: Path | None) -> Path | None:
    if file is None:
        return None
    try:
        return project_root(file)
    except ValueError:
        return None
