"""How a simulated test's result looks under pytest: the user's own traceback, and the report under it.

Only the user's frames of a traceback are shown: how a run is started, and what a loop does between its handlers, does not
help a reader. Several distinct failures come one after the other, each with its report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from _pytest._code.code import (
    ExceptionChainRepr,
    ReprEntryNative,
    ReprFileLocation,
    ReprTraceback,
    Traceback,
    TracebackStyle,
)

from simnet.blame import exception_text, stands_nowhere, users_own, write_on
from simnet.explore.report.looks import many, width_of

if TYPE_CHECKING:
    from simnet.explore.report.failure import FailureReport
    from simnet.explore.result import SweepResult

__all__ = ["Told", "add_to", "settle_for", "summarise", "told_of"]

_KEY = pytest.StashKey["Told"]()
_PLURALS = {"sweep": "sweeps", "fuzz": "fuzzes"}


@dataclass
class Told:
    """What a simulated test has to tell beside passing or failing."""

    failures: list[tuple[BaseException | None, FailureReport]] = field(default_factory=list)
    headline: str = ""
    summary: str = ""
    by: str = ""  # what looked for failures, "sweep" or "fuzz"; empty where one run was asked for
    passed_over: str = ""  # why an example of @given was
    verdict: Exception | None = None  # NotRepeatable, a broken rule, a refusal: what it says is all there is to show
    traces: list[tuple[str, str]] = field(default_factory=list)  # of --simnet-trace: a title, a ladder


def told_of(item: pytest.Item) -> Told:
    if _KEY not in item.stash:
        item.stash[_KEY] = Told()
    return item.stash[_KEY]


def settle_for(item: pytest.Item, result: SweepResult) -> None:
    """Write the line of *result*, its numbers and its warnings where they also cross from one process to another."""
    told = told_of(item)
    told.summary, told.by = result.summary(), result.by
    item.user_properties.append(("simnet", result.summary()))
    item.user_properties.append(("simnet-by", result.by))
    item.user_properties.append(("simnet-runs", str(result.runs)))
    item.user_properties.append(("simnet-seconds", f"{result.seconds:.3f}"))
    for warning in result.warnings:
        item.user_properties.append(("simnet-warning", str(warning)))


def add_to(report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Show in *report* what *item* has told."""
    told = item.stash.get(_KEY, None)
    if report.failed and call.excinfo is not None and _has_no_line(call.excinfo.value):
        report.longrepr = ExceptionChainRepr([_nowhere(item, call.excinfo.value)])
    if told is None or call.when != "call":
        return
    report.sections += [(title, _writable(item.config, drawn)) for title, drawn in told.traces]
    if not report.failed or call.excinfo is None:
        return
    raised = call.excinfo.value
    if told.passed_over and call.excinfo.typename == "Unsatisfiable":
        report.sections.append(("simnet", f"no example could be swept, as the last of them: {told.passed_over}"))
    elif raised is told.verdict:
        notes = getattr(told.verdict, "__notes__", ())  # of hypothesis, with which arguments it was
        lines = [f"{type(told.verdict).__name__}: {told.verdict}", *notes]
        report.longrepr = _writable(item.config, "\n".join(lines))
    elif told.failures and _is_told(raised, told):
        _show_failures(report, item, told, raised)


def _show_failures(report: pytest.TestReport, item: pytest.Item, told: Told, raised: BaseException) -> None:
    """Each failure's traceback with its report under it, in the place of what pytest has made of *raised*."""
    style = item.config.getoption("tbstyle", "auto")
    if style in ("native", "line", "no"):  # somebody wants it plain; the notes on the exception carry the report
        crash = getattr(report.longrepr, "reprcrash", None)
        if crash is not None and told.headline:
            crash.message = told.headline  # what the summary's one line says
        return
    chain = []
    for number, (error, failure) in enumerate(told.failures, 1):
        drawn = _drawn(item, error, style)
        heading = failure.headline if drawn is None else ""
        if len(told.failures) > 1:
            heading = f"--- {number} of {len(told.failures)}: {failure.headline} ---"
        below = failure.below(**looks(item.config))
        if error is not raised:  # else its notes come last, with those of others
            lines = [f"E   {line}\n" for each in failure.noted for line in each.splitlines()]
            below = "".join([*lines, *(["\n"] if lines else []), below])
        chain.append(_under(heading, drawn, _writable(item.config, below)))
    for text in dict.fromkeys((*_others_notes(raised, told), told.summary)):  # each once
        if text:
            chain[-1][0].extraline = f"{chain[-1][0].extraline}{text}\n"
    traceback, crash, described = chain[-1]
    crash = crash or ReprFileLocation(str(item.path), (item.location[1] or 0) + 1, "")
    crash.message = told.headline or told.failures[0][1].headline
    chain[-1] = (traceback, crash, described)  # of the chain, what crosses from one process to another
    report.longrepr = ExceptionChainRepr(chain)
    path, line, name = report.location
    if told.by:
        report.location = (path, line, f"{name} [{told.by}]")


def _is_told(raised: BaseException, told: Told) -> bool:
    """Whether the failures of the last sweep are all that is raised: @given may have collected those of several."""
    from simnet.explore.raising import SweepFailure

    if isinstance(raised, BaseExceptionGroup) and not any(raised is error for error, _ in told.failures):
        return all(_is_told(each, told) for each in raised.exceptions)
    return isinstance(raised, SweepFailure) or any(raised is error for error, _ in told.failures)


def _others_notes(raised: BaseException, told: Told) -> list[str]:
    """What others have noted on the exception: hypothesis, with which example it fails."""
    # *why* may have come since.
    reports = [each for _, failure in told.failures for each in (failure, replace(failure, why=""))]
    ours = {note for report in reports for note in (*report.notes(), report.why)}
    return [note for note in getattr(raised, "__notes__", ()) if note not in ours]


_Drawn = tuple[ReprTraceback, ReprFileLocation | None, str | None]


def _drawn(item: pytest.Item, error: BaseException | None, style: str) -> _Drawn | None:
    """The traceback of *error*, the user's frames of it; None if there is none."""
    if error is None or error.__traceback__ is None:
        return None
    if stands_nowhere(error):
        return _nowhere(item, error)
    notes = getattr(error, "__notes__", None)
    if notes is not None:
        write_on(error, "__notes__", [])  # the report stands below, not behind an "E" in front of each line
    try:
        excinfo = pytest.ExceptionInfo.from_exception(error)
        drawn = excinfo.getrepr(
            showlocals=item.config.getoption("showlocals", False),
            style=_style(style),
            tbfilter=_users_frames,
            chain=True,
        )
    finally:
        if notes is not None:
            write_on(error, "__notes__", notes)
    return drawn.reprtraceback, drawn.reprcrash, None


def _has_no_line(error: BaseException) -> bool:
    """Is nothing but what it says to be shown of *error*, and by us? Of what ``pytest.fail`` raises, and of a fixture that is missing, pytest sees to that."""
    return not isinstance(error, (pytest.fail.Exception, pytest.FixtureLookupError)) and stands_nowhere(error)


def _nowhere(item: pytest.Item, error: BaseException) -> _Drawn:
    within = [_said(each) for each in getattr(error, "exceptions", (error,))]  # of a group, each told differently
    lines = [line for told in dict.fromkeys(within) for line in told]
    if isinstance(error, BaseExceptionGroup):
        lines = [exception_text(error), *(f"  {line}" for line in lines)]
    drawn = ReprTraceback([ReprEntryNative([f"E   {line}\n" for line in lines])], None, "native")
    return drawn, ReprFileLocation(str(item.path), (item.location[1] or 0) + 1, lines[0]), None


def _said(error: BaseException) -> tuple[str, ...]:
    """Its text and its notes; of pytest's word for what nobody could catch, those of that."""
    if isinstance(error, pytest.PytestUnraisableExceptionWarning) and error.__cause__ is not None:
        error = error.__cause__
    return exception_text(error), *getattr(error, "__notes__", ())


def _under(heading: str, drawn: _Drawn | None, report: str) -> _Drawn:
    """*report* below the traceback, *heading* above."""
    traceback, crash, _ = drawn or (ReprTraceback([], "", "native"), None, None)
    if heading:
        gap = "\n\n" if traceback.reprentries else "\n"
        traceback.reprentries = [ReprEntryNative([f"{heading}{gap}"]), *traceback.reprentries]
    traceback.extraline = f"\n{report}\n"
    return traceback, crash, None


def _users_frames(excinfo: pytest.ExceptionInfo[BaseException]) -> Traceback:
    users = excinfo.traceback.filter(lambda entry: users_own(str(entry.path)))
    return users or Traceback(excinfo.traceback[-1:])  # a call that went wrong before it came to a line of the user's


def _style(asked: str) -> TracebackStyle:
    return "long" if asked == "long" else "short"


def _writable(config: pytest.Config, text: str) -> str:
    """*text*, with the numbers of letters that cannot be written where *config* writes: for one of them pytest makes one line of all."""
    try:
        text.encode(_encoding(config), getattr(_file(config), "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _file(config: pytest.Config) -> Any:
    writer = getattr(config.pluginmanager.get_plugin("terminalreporter"), "_tw", None)
    return getattr(writer, "_file", None)


def _encoding(config: pytest.Config) -> str:
    return getattr(_file(config), "encoding", None) or "utf-8"


def looks(config: pytest.Config) -> dict[str, Any]:
    """The keywords that make a report look right where *config* writes."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    writer = getattr(reporter, "_tw", None)
    terminal = bool(getattr(reporter, "isatty", False))
    return {
        "color": bool(getattr(writer, "hasmarkup", False)),
        "width": width_of(int(writer.fullwidth) if terminal and writer is not None else None),
        "unicode": _encoding(config).lower().replace("-", "").startswith("utf"),
    }


def summarise(reporter: Any) -> None:
    """One line on all sweeps of the session, and what they warn of."""
    tests = {"sweep": 0, "fuzz": 0}
    runs, seconds = 0, 0.0
    warnings: list[tuple[str, str]] = []
    for nodeid, name, value in _noted(reporter):
        if name == "simnet-by":
            tests[value] += 1
        elif name == "simnet-runs":
            runs += int(value)
        elif name == "simnet-seconds":
            seconds += float(value)
        elif name == "simnet-warning":
            warnings.append((nodeid, value))
    if warnings:
        reporter.section("simnet: to look at", sep="-", yellow=True)
        for nodeid, text in warnings:
            reporter.line(f"{nodeid}: {text}")
    if any(tests.values()):
        counts = [f"{number:,} {by if number == 1 else _PLURALS[by]}" for by, number in tests.items() if number]
        reporter.line("")
        reporter.line(f"simnet: {', '.join(counts)}, {many(runs, 'run')} in {seconds:.1f} s")


def _noted(reporter: Any) -> Iterator[tuple[str, str, str]]:
    """What the tests of the session have noted as they were called: whose it is, its name, its value."""
    for reports in reporter.stats.values():
        for report in reports:
            if getattr(report, "when", "call") == "call":
                for name, value in getattr(report, "user_properties", ()):
                    yield report.nodeid, name, value
