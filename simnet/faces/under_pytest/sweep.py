"""One swept test under pytest: its options, its progress, its failures saved and raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn, TextIO

import pytest

from simnet import real
from simnet.expect import Expect
from simnet.explore import check
from simnet.explore.baseline import NotRepeatable
from simnet.explore.judging.table import HANG
from simnet.explore.quiet import quiet, unstopped
from simnet.explore.raising import SweepFailure, declines
from simnet.explore.replay import OnRecord
from simnet.explore.report.failure import FailureReport
from simnet.explore.report.ladder import ladder
from simnet.explore.result import SweepResult
from simnet.explore.sweep import NothingToTest
from simnet.faces.commands.playing import play_again
from simnet.faces.refusals import Refused
from simnet.faces.under_pytest.fixture import set_up_per_run
from simnet.faces.under_pytest.options import Asked, sweep_options
from simnet.faces.under_pytest.report import Told, looks, settle_for, told_of
from simnet.faults.plan import FaultPlan
from simnet.project.nodeid import project_root
from simnet.run import play
from simnet.scheduling.stuck import entrance
from simnet.wait import current_scheduler

__all__ = ["sweeping_for"]

# Fixtures of pytest's that hear nothing of a sweep, whose runs print and log into nowhere.
HEAR_NOTHING = ("capsys", "capfd", "capsysbinary", "capfdbinary", "capteesys", "caplog")


@contextmanager
def sweeping_for(item: pytest.Item) -> Iterator[None]:
    """While *item* runs, a decorated test that is called is swept here."""

    def run(wrapper: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        __tracebackhide__ = True
        _sweep(item, wrapper, arguments, keywords)

    before, check.taken_over = check.taken_over, run
    try:
        yield
    finally:
        check.taken_over = before


def _sweep(item: pytest.Item, wrapper: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
    __tracebackhide__ = True
    running = current_scheduler()
    if running is not None:
        _refuse_within(item, running.entered)
    asked = Asked.of(item.config)
    told = told_of(item)
    told.failures.clear()  # of the sweep before, where @given has each of its examples swept
    told.headline, told.verdict = "", None
    test_id = _identity(item, wrapper, arguments)
    options = sweep_options(item, wrapper.simnet_options)
    body = set_up_per_run(item, wrapper.simnet_bind, arguments, keywords)
    if asked.plan is not None or asked.real:
        _play_one(item, told, body, options, asked, test_id)
        return
    progress = _Progress(item.config)
    try:
        with quiet():
            result = wrapper.simnet_explore(body, options, progress)
    except (NotRepeatable, NothingToTest) as error:
        told.verdict = error  # shown without the way that led to it
        raise
    except Exception as passed_over:
        if isinstance(passed_over.__context__, NothingToTest):
            told.passed_over = str(passed_over.__context__)
        raise
    finally:
        progress.erase()
    if not _passed_over(result):
        settle_for(item, result)
        _let_hear(body, result)
    result.asked_target = asked.target or ()
    result.save(project_root(item.path), test_id)
    reports = [_with_what_hears_nothing(item, report) for report in result.reports(test_id)]
    told.failures += [(failure.error, report) for failure, report in zip(result.failures, reports, strict=True)]
    told.headline = _headline(reports)
    if asked.trace:
        told.traces.append(("simnet: the run without faults", _whole(item, result)))
    result.raise_failures(test_id)


def _passed_over(result: SweepResult) -> bool:
    """Whether nothing was swept since the test did not want to be run, as by ``assume`` with one of the examples of @given."""
    error = result.failures[0].error if result.fails_without_faults else None
    return error is not None and declines(error)


def _let_hear(body: Callable[[Any], object], result: SweepResult) -> None:
    """Of a test that fails by itself there is but one run, so what it prints and logs may be shown: it is made once more for that."""
    if result.fails_without_faults and not any(each.name == HANG for each in result.baseline.verdicts):
        with unstopped():
            play(body, result.baseline.plan, **result.options.playing)


def _refuse_within(item: pytest.Item, by: Any) -> NoReturn:
    """A network is running, entered *by* a line or somebody: a sweep within it cannot be."""
    name = by[0].co_name if isinstance(by, tuple) else ""
    holder = f"by the fixture {name!r}" if name in getattr(item, "fixturenames", ()) else "by a fixture, it seems"
    pytest.fail(
        f"{item.name} is swept while a simulated network is already running, entered {entrance(by)}, {holder}. Each run of a sweep "
        "has a fresh network of its own: make a @simnet.fixture of it, whose first parameter gets that network.",
        pytrace=False,
    )


def _identity(item: pytest.Item, wrapper: Any, arguments: Sequence[Any]) -> str:
    """The test's node id from the root of its project, with its parameters as pytest shows them.

    By the names of the function itself, since a test may call another one that is swept; unless pytest calls this very one otherwise.
    """
    name = check.test_id(check.as_called(wrapper.simnet_test, arguments))
    own = getattr(getattr(item, "obj", None), "simnet_test", None) is wrapper.simnet_test
    if not name or (own and name.rpartition("::")[2] != getattr(item, "originalname", item.name)):
        file = item.path.resolve().relative_to(project_root(item.path))
        name = f"{file.as_posix()}::{item.nodeid.partition('::')[2]}"
    call = getattr(item, "callspec", None)
    return f"{name}[{call.id}]" if call is not None and not name.endswith("]") else name


def _play_one(item: pytest.Item, told: Told, test: Any, options: Any, asked: Asked, test_id: str) -> None:
    """One run instead of a sweep: the plan of the command line, on simnet or on real sockets."""
    __tracebackhide__ = True
    expect = asked.expect or Expect(interrupted=True)  # a replay is made to see the failure, known or not
    record = OnRecord(expect, asked.found, test_id, file=asked.file)
    try:
        played = play_again(test, asked.plan or FaultPlan(), options, record, real=asked.real, seconds=asked.seconds)
    except Refused as error:
        told.verdict = error
        raise
    item.user_properties.append(("simnet", played.line))
    told.summary = played.line
    if asked.trace:
        told.traces.append(("simnet: this run", ladder(played.run.trace, whole=True, **_plain(item))))
    if played.report is not None:
        told.failures.append((played.error, played.report))
        told.headline = played.report.headline
    try:
        played.raise_failure()
    except SweepFailure as error:
        if played.report is None:  # the plan was never reached
            told.verdict = error
        raise


def _with_what_hears_nothing(item: pytest.Item, report: FailureReport) -> FailureReport:
    """Of a test that fails by itself: a fixture that it may have waited for in vain."""
    deaf = [name for name in HEAR_NOTHING if name in getattr(item, "fixturenames", ())]
    if not deaf or report.why or not report.by_itself:
        return report
    why = (
        f"what is printed and logged in a sweep goes nowhere, so {' and '.join(deaf)} may have missed it. A body that checks "
        "output must capture it itself: with contextlib.redirect_stdout(io.StringIO()) as out, or with a handler on the logger"
    )
    return replace(report, why=why)


def _headline(reports: Sequence[FailureReport]) -> str:
    if len(reports) < 2:
        return reports[0].headline if reports else ""
    return f"{len(reports)} distinct failures: {'; '.join(report.headline for report in reports)}"


def _whole(item: pytest.Item, result: SweepResult) -> str:
    return ladder(result.baseline.trace, whole=True, **_plain(item))


def _plain(item: pytest.Item) -> dict[str, Any]:
    there = looks(item.config)
    return {"width": there["width"], "unicode": there["unicode"]}


class _Progress:
    """How far a long sweep is, on a terminal, behind the test's name; it wipes itself out.

    While a test runs, pytest's own output is captured along with the test's, so it goes to the terminal itself.
    """

    FIRST_AFTER, EVERY = 0.5, 0.1  # seconds: most sweeps are over before anybody wonders

    def __init__(self, config: pytest.Config) -> None:
        self.reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        self.terminal: TextIO | None = None
        self.shown = 0
        self.due = real.monotonic() + self.FIRST_AFTER
        self.silent = not getattr(self.reporter, "isatty", False) or hasattr(config, "workerinput")

    def __call__(self, done: int, total: int, failures: int, /) -> None:
        if self.silent or (now := real.monotonic()) < self.due:
            return
        self.due = now + self.EVERY
        if self.terminal is None:
            try:
                self.terminal = open("/dev/tty", "w", encoding="utf-8")  # noqa: SIM115  # closed by erase()
            except OSError:
                self.silent = True
                return
        found = f", {failures} failed" if failures else ""
        self._write(f" {done:,}/{total:,} runs{found}")

    def erase(self) -> None:
        if self.terminal is not None:
            self._write("")
            self.terminal.close()

    def _write(self, text: str) -> None:
        assert self.terminal is not None
        writer = self.reporter._tw
        text = text[: max(0, writer.fullwidth - writer.width_of_current_line - 1)]
        # Back over what stands there, blanks over it, back again: the writer's own count of columns stays right.
        wipe = max(0, self.shown - len(text))
        self.terminal.write("\b" * self.shown + text + " " * wipe + "\b" * wipe)
        self.terminal.flush()
        self.shown = len(text)
