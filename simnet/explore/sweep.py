"""Every single fault at every point of a test: two runs without faults, then one for each.

The baseline is made twice (see ``baseline``), since everything that follows is compared with it. Then each fault that ``points`` selects
gets its own run, which ``verdict`` judges; failures are grouped into distinct ones, and each of these is shrunk. Only the
first run of each distinct failure is kept, so that a sweep of a million runs needs the memory of a few.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from simnet import watchdog
from simnet.both.slips import NO_SUCH_HOST
from simnet.explore.baseline import NotRepeatable, begun
from simnet.explore.gone import for_good, other_ways, storms_alone, unasked
from simnet.explore.in_full import kind_of, played, shows_it_better
from simnet.explore.judging.echoes import look_for_echoes, look_for_what_stays
from simnet.explore.judging.late_end import LATE_ENDS_MAX, late_end
from simnet.explore.judging.outcomes import difference_of_outcomes
from simnet.explore.judging.refused_alike import elsewhere, ends_otherwise, survived
from simnet.explore.judging.verdict import Judgement
from simnet.explore.nearest import unreached_texts
from simnet.explore.options import RUNS_DEFAULT, SweepOptions
from simnet.explore.pairs import PAIRS, pairs_after
from simnet.explore.points import families, select
from simnet.explore.progress import Progress, Stopwatch
from simnet.explore.quiet import quiet
from simnet.explore.report.parting import find_lines, look_where_it_parts
from simnet.explore.result import FIRST_FAILURE, KindRow, SweepResult, Warned
from simnet.explore.shrink import Shrunk, shrink
from simnet.faults.kinds import KINDS, drawn
from simnet.faults.plan import FaultPlan
from simnet.files.dropped import each_told_once
from simnet.owned import collector
from simnet.run import TIMES_AS_LONG
from simnet.scheduling.alike import Alike
from simnet.standins import interrupts
from simnet.trace import CALL
from simnet.verdicts import BLOCKS_THE_LOOP, BROKEN_GIVEN_UP

if TYPE_CHECKING:
    from simnet.explore.points import Selection
    from simnet.faults.kinds import Fault
    from simnet.run import Run

__all__ = [
    "RUNS_A_COLLECTION",
    "NotRepeatable",
    "NothingToTest",
    "begun",
    "count",
    "frozen_heap",
    "look_for_targets",
    "look_where_they_part",
    "make_small",
    "nothing",
    "run_sweep",
    "take_warnings",
]

# A run's garbage is that of the program under test: some hundred objects. What was held when the run was looked at is of the second generation.
RUNS_A_COLLECTION = 64
FROZEN_BY_PYTHON = 2_000  # objects: 3.12 begins with some 400 of its own frozen, a program that was loaded has 30,000

THREAD_LEFT = "thread-left"  # the name of a warning
LEFT = "the test has ended, and nobody will wake this thread of its own. An interpreter that ends waits for it, unless it is a daemon"


class NothingToTest(Exception):
    """Not one point at which a fault could act: a sweep that tested nothing must not pass."""

    of_these_kinds = False
    """Whether faults of other kinds than those that are named could."""


def run_sweep(
    test: Callable[[Any], object],
    options: SweepOptions | None = None,
    *,
    name: str = "",
    progress: Progress | None = None,
    plan: FaultPlan | None = None,
) -> SweepResult:
    """Sweep *test*, a function of a network, and say what was found. Ctrl-C ends it with what was found so far.

    With a *plan* that one is played, and nothing else.

    Raises:
        NotRepeatable: two runs without faults differ.
        NothingToTest: no fault can act on this test.
        KeyboardInterrupt: Ctrl-C before there was anything to compare with.
    """
    if options is None:
        options = SweepOptions()
    if plan is not None:
        options = options.under(plan)
    watch = Stopwatch()
    with frozen_heap(), interrupts.series() as rang, watchdog.series(), each_told_once():
        with quiet() if plan is not None else nullcontext():  # who plays one wants to hear that one
            result = begun(test, options, name, watch, schedule=plan.schedule if plan is not None else "fifo")
        if result.failures:
            return result
        look_for_targets(result)
        baseline = result.baseline
        plans = _choose(baseline, options, result) if plan is None else _only(plan, result)
        try:
            try:
                chosen = plan is None and options.kinds is None
                harmless = _run_all(test, plans, options, result, progress, len(plans), chosen=chosen)
                if chosen and result.refused and not result.stopped:
                    _run_other_ways(test, options, result, progress)
                if chosen and result.left_open and options.depth == 1 and not result.stopped:
                    _run_late_ends(test, options, result, progress)
                if options.depth != 1 and plan is None and not result.stopped:
                    _run_pairs(test, harmless, options, result, progress)
            finally:
                result.simulations += result.runs
                result.seconds = watch.seconds
            if options.shrink and plan is None:
                make_small(test, result)
            look_where_they_part(test, result)
        except KeyboardInterrupt:
            result.stop(*rang[:1])
    if result.runs and result.runs == result.unreached and not result.stopped:
        if plan is not None:
            raise NothingToTest("\n".join(result.never))
        raise NothingToTest(
            f"none of {result.runs:,} faults was reached: the test does something else as soon as a plan is in force. "
            "Does it look at its network's plan?"
        )
    return result


def make_small(test: Callable[[Any], object], result: SweepResult) -> None:
    """The plan of each distinct failure as small as it gets."""
    look_for_echoes(test, result)
    for failure in result.failures:
        start = Shrunk(failure.plan, failure.run, failure.judgement, 0)
        small = shrink(test, start, result.baseline, result.options)
        failure.plan, failure.run, failure.judgement = small.plan, small.run, small.judgement


def look_where_they_part(test: Callable[[Any], object], result: SweepResult) -> None:
    """Where the run of each distinct failure goes another way, also of a plan that is played alone, or left as it was found."""
    for failure in result.failures:
        look_where_it_parts(test, failure.run, failure.judgement, result.baseline, result.options)


def _only(plan: FaultPlan, result: SweepResult) -> list[FaultPlan]:
    result.planned = 1
    result.budget_line = "one plan"
    result.kinds = [KindRow(kind_of(plan), 1, 1)] if plan else []
    return [plan]


def _choose(baseline: Run, options: SweepOptions, result: SweepResult) -> list[FaultPlan]:
    if options.kinds is None:
        found = unasked(baseline.points, baseline.targets, options.survives)
    else:
        found = families(baseline.points, baseline.targets, options.kinds)
    budget = options.budget(len(baseline.trace))
    selection = select(found, budget, of_each_sort=options.runs is None and budget < RUNS_DEFAULT)
    result.planned, result.budget_line = selection.planned, selection.line
    if options.runs is None and len(selection.faults) < min(selection.planned, RUNS_DEFAULT):
        result.budget_line += _why_so_few(baseline, selection)
    if not selection.faults:
        raise nothing(baseline, options)
    tried = {family.kind for family in found}
    wanted = (
        name for name in KINDS if name in tried or (drawn(name) if options.kinds is None else name in options.kinds)
    )
    rows = {name: KindRow(name) for name in wanted}
    for family in found:
        row = rows[family.kind]
        row.points += family.points
        row.variants += family.size
    result.kinds = list(rows.values())
    return [FaultPlan((fault,)) for fault in selection.faults]


def _why_so_few(baseline: Run, selection: Selection) -> str:
    """What to say of a sweep that tries fewer than 2,000, and how it tries more."""
    return (
        f", since a run has {len(baseline.trace):,} lines: of like points the first, the last and some between; "
        f"runs={min(selection.planned, RUNS_DEFAULT)} tries {'all' if selection.planned <= RUNS_DEFAULT else 'more'}"
    )


def look_for_targets(result: SweepResult) -> None:
    """Warn of a target that the test has no host for, and of a link to a host that is none; a mark above a whole module may name more than each test has.

    Raises:
        NothingToTest: there is none for any of them.
    """
    baseline, named = result.baseline, result.options.target or ()
    slips = [each for each in baseline.verdicts if each.name == NO_SUCH_HOST and each.host not in named]
    slips += [each for each in baseline.verdicts if each.name in (BLOCKS_THE_LOOP, BROKEN_GIVEN_UP)]
    result.warnings += [Warned(each.name, each.message, 1, FaultPlan()) for each in slips]
    left = [each for each in baseline.waiting if each.left]
    result.warnings += [Warned(THREAD_LEFT, f"{each.what}: {LEFT}", 1, FaultPlan(), each.where) for each in left]
    absent = [name for name in named if name not in baseline.targets]
    if not absent:
        return
    there = dict.fromkeys((*baseline.targets, *(event.host for event in baseline.trace if event.host)))
    known = f"Hosts there are: {', '.join(there)}" if there else "It has made none: net.host(name) does"
    text = f"target={', '.join(absent)}: the test has no host of that name. {known}"
    if len(absent) == len(named):
        raise NothingToTest(f"{text}.")
    result.warnings.append(Warned(NO_SUCH_HOST, text, 1, FaultPlan()))


def nothing(baseline: Run, options: SweepOptions) -> NothingToTest:
    """The error that says why no fault can act."""
    error = NothingToTest(_why_nothing(baseline, options, there := _kinds_there(baseline)))
    error.of_these_kinds = bool(there)
    return error


def _kinds_there(baseline: Run) -> list[str]:
    return list(dict.fromkeys(family.kind for family in families(baseline.points, baseline.targets)))


def _why_nothing(baseline: Run, options: SweepOptions, there: list[str]) -> str:
    points = baseline.points
    hosts = list(dict.fromkeys([*(call.host for call in points.calls), *(each.host for each in points.polls)]))
    targets = options.target or baseline.targets
    called = any(event.host in targets for event in baseline.trace.of(CALL))
    if options.target is not None and not called:
        return (
            f"target={', '.join(options.target)}: no process on that host made a socket call, so no fault can act. "
            f"Hosts whose processes did: {', '.join(hosts) or 'none'}."
        )
    if there:
        assert options.kinds is not None
        return f"kinds={', '.join(options.kinds)}: none can act on what the test does; these can: {', '.join(there)}."
    if called and any(event.op == "listen" and event.host in targets for event in baseline.trace.of(CALL)):
        return (
            f"target={', '.join(targets)}: it listens, but nobody connected to it, so no fault can act. Does the test talk to it "
            'after it was spawned, as in socket.create_connection(("server", 7))?'
        )
    if called:
        return (
            f"target={', '.join(targets)}: its processes made socket calls, but on no connection and no listener, and found "
            "nothing by a poller. No fault acts on datagrams and records of Unix sockets, nor on the pair that wakes an event loop."
        )
    return (
        "the test made no connection and no socket call on a target, so no fault can act. Does it spawn the program under "
        'test (net.host("server").spawn(serve, 7)) and talk to it?'
    )


def _run_all(
    test: Callable[[Any], object],
    plans: Iterable[FaultPlan],
    options: SweepOptions,
    result: SweepResult,
    progress: Progress | None,
    total: int = 0,
    *,
    chosen: bool = False,
) -> list[Fault]:
    """Play each of *plans*, which the sweep has *chosen* if nobody named its kinds; the first faults of those that did no harm."""
    rows = {row.kind: row for row in result.kinds}
    harmless: list[Fault] = []
    alike = Alike(TIMES_AS_LONG * result.baseline.time_ns)
    for plan in plans:
        run, judgement = played(test, plan, options, result, alike, chosen=chosen)
        if chosen:
            judgement = storms_alone(plan, judgement)
        if (refusal := survived(run, judgement)) is not None:
            result.refused[refusal.on] = elsewhere(run, result.baseline)
        elif result.refused:
            judgement = ends_otherwise(run, judgement, result.refused, options.invariants)
        if chosen and len(result.left_open) < LATE_ENDS_MAX and (later := late_end(run)) is not None:
            result.left_open.setdefault(later[0].on, later)
        result.runs += 1
        if result.runs % RUNS_A_COLLECTION == 0:
            gc.collect(1)
        row = rows[kind_of(plan)] if plan else KindRow("")
        row.runs += 1
        if result.planned == 1:
            result.never = unreached_texts(run.unreached, run.points, run.targets)
        count(result, row, run, judgement)
        take_warnings(test, run, judgement, plan, result)
        failed = _keep_failure(test, run, judgement, plan, row, options, result)
        if not failed and plan and not run.unreached and not (chosen and for_good(plan[0])):
            harmless.append(plan[0])
        if progress is not None:
            progress(result.runs, max(total, result.runs), len(result.failures))
        if failed and options.first:
            result.stopped = FIRST_FAILURE
            break
    return harmless


def _keep_failure(
    test: Callable[[Any], object],
    run: Run,
    judgement: Judgement,
    plan: FaultPlan,
    row: KindRow,
    options: SweepOptions,
    result: SweepResult,
) -> bool:
    """Did *run* fail? Then it is counted among those like it, and shown if none shows it better."""
    failure, new = result.failure_of(run, judgement, plan)
    if failure is None:
        return False
    if new:
        look_for_what_stays(test, plan, options, result)
    elif shows_it_better(run, judgement, plan, failure):
        failure.run, failure.judgement, failure.plan, failure.found = run, judgement, plan, plan
    failure.count += 1
    failure.kinds[row.kind] = failure.kinds.get(row.kind, 0) + 1
    return True


def _run_other_ways(
    test: Callable[[Any], object], options: SweepOptions, result: SweepResult, progress: Progress | None
) -> None:
    """Where the outcome is the same without a connection that is refused, it cannot be made for other reasons, too."""
    found = other_ways(result.refused)
    for kind in dict.fromkeys(fault.kind for fault in found):
        several = sum(fault.kind == kind for fault in found)
        result.kinds.append(KindRow(kind, several, several))
    result.planned += len(found)
    _run_all(test, (FaultPlan((fault,)) for fault in found), options, result, progress, result.planned)


def _run_late_ends(
    test: Callable[[Any], object], options: SweepOptions, result: SweepResult, progress: Progress | None
) -> None:
    """What a target has given up, and left open, ends while the connection in its place is asked."""
    plans, several = list(result.left_open.values()), len(result.left_open)
    result.kinds.append(KindRow(PAIRS, several, several))
    result.planned += several
    _run_all(test, plans, options, result, progress, result.planned)


def _run_pairs(
    test: Callable[[Any], object],
    firsts: list[Fault],
    options: SweepOptions,
    result: SweepResult,
    progress: Progress | None,
) -> None:
    """What the budget has left goes to plans of two faults."""
    row = KindRow(PAIRS)
    result.kinds.append(row)
    most = options.budget(len(result.baseline.trace))
    budget = most - result.runs
    if budget > 0:
        pairs = pairs_after(test, firsts, result.baseline, options, budget, row)
        _run_all(test, pairs, options, result, progress, most)
        result.simulations += row.points
    result.planned += row.variants
    result.budget_line += (
        f"; {row.runs:,} of {row.variants:,} pairs after {row.points:,} of {len(firsts):,} first faults"
    )


def take_warnings(
    test: Callable[[Any], object], run: Run, judgement: Judgement, plan: FaultPlan, result: SweepResult
) -> None:
    """What *run* warns of, once for each line of the user's: a new one may turn out to be of one that is known."""
    if judgement.warnings:
        new = result.warn(judgement.warnings, plan)
        find_lines(test, run, new, result.baseline, result.options)
        for warned, _ in new:
            result.fold(warned)


def count(result: SweepResult, row: KindRow, run: Run, judgement: Judgement) -> None:
    """One more run of such a verdict, in all and of the row's kind."""
    if judgement.status == "failure":
        result.failed += 1
        row.failed += 1
    elif run.unreached:
        result.unreached += 1
        row.unreached += 1
    elif judgement.status == "equal":
        result.equal += 1
        row.equal += 1
    elif judgement.status == "noted":
        result.noted += 1
        row.noted += 1
        if row.first_noted is None:
            row.first_noted = run.plan, difference_of_outcomes(result.baseline.outcome, run.outcome)
    else:
        result.interrupted += 1
        row.interrupted += 1


@contextmanager
def frozen_heap() -> Iterator[None]:
    """What is loaded already is left out of each collection, and the collector looks only where it is told to.

    A run leaves nothing for it but what the program under test leaves. Garbage of before is frozen with it, and found once
    the sweep is over: a collection here would cost more than it frees.
    """
    if gc.get_freeze_count() > FROZEN_BY_PYTHON:  # somebody else froze it, and will unfreeze it
        yield
        return
    sweep = object()
    gc.freeze()
    collector.keep_off(sweep)
    try:
        yield
    finally:
        gc.unfreeze()
        collector.give_back(sweep)
