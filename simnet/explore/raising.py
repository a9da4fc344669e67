"""A sweep's failures as exceptions: the user's own, with its traceback, and the report as notes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from simnet.blame import note, said_by, trimmed
from simnet.explore.report.failure import FailureReport, report
from simnet.verdicts import VERDICTS, ProcessEnded

if TYPE_CHECKING:
    from simnet.explore.result import SweepResult

__all__ = ["SweepFailure", "as_exception", "declines", "raise_failures"]

# BaseExceptions, so that no program swallows them while it runs; a test runner must be able to catch what is raised after.
_NO_EXCEPTIONS = (*VERDICTS, ProcessEnded, SystemExit, GeneratorExit, KeyboardInterrupt)

# What a test raises that does not want to be run here, as pytest names it, or with this example: there is nothing to report.
_SKIPS = (("builtins", "Skipped"), ("unittest.case", "SkipTest"), ("hypothesis.errors", "UnsatisfiedAssumption"))
_NO_FAILURES = (*_SKIPS, ("_pytest.outcomes", "XFailed"))


class SweepFailure(AssertionError):
    """A failure without an exception of the user's: another outcome, a broken invariant, a process that waits for ever."""


def declines(error: BaseException) -> bool:
    """Whether a test says by *error* that it does not want to be run here: it is skipped, passed over, or expected to fail."""
    return _name_of(error) in _NO_FAILURES


def _name_of(error: BaseException) -> tuple[str, str]:
    return type(error).__module__, type(error).__name__


def raise_failures(result: SweepResult, test_id: str = "") -> None:
    """Raise the failures of *result*; return if there are none."""
    __tracebackhide__ = True  # pytest shows the user's frames
    if result.stopped_by_hand:
        _stop(result, test_id)
    errors = [
        as_exception(each.error, report(each, result, test_id=test_id), passes=bool(each.plan))
        for each in result.failures
    ]
    if not errors:
        if result.alarm is not None:
            result.alarm.add_note(result.summary())
            raise result.alarm
        return
    if len(errors) == 1:
        raise errors[0]
    raise BaseExceptionGroup(f"{len(errors)} distinct failures [{result.summary()}]", errors)


def _stop(result: SweepResult, test_id: str) -> NoReturn:
    __tracebackhide__ = True
    stopped = KeyboardInterrupt(result.summary())
    for failure in result.failures:
        stopped.add_note(report(failure, result, test_id=test_id).headline)
    raise stopped


def as_exception(error: BaseException | None, told: FailureReport, *notes: str, passes: bool = False) -> BaseException:
    """What to raise for a failure: the user's own exception where there is one, with *told* and *notes* as its notes.

    Where the test *passes* without faults, a runner that hears of a skip would leave out all of it for what a fault made of one run.
    """
    skips = passes and error is not None and _name_of(error) in _SKIPS
    if error is None:
        error = SweepFailure(told.title)
    elif skips or isinstance(error, _NO_EXCEPTIONS) or not _goes_anywhere(error):
        error = SweepFailure(f"{type(error).__name__}: {said_by(error)}").with_traceback(trimmed(error.__traceback__))
    else:
        error = error.with_traceback(trimmed(error.__traceback__))
    if declines(error) and not passes:
        return error
    for text in (*told.notes(), *notes):
        if text not in getattr(error, "__notes__", ()):
            note(error, text)
    return error


def _goes_anywhere(error: BaseException) -> bool:
    """Does it let its traceback be set, as contextlib does, and so pytest, with each exception that goes through? A frozen dataclass does not."""
    try:
        error.__traceback__ = error.__traceback__
    except Exception:  # noqa: BLE001  # whatever its class says of that
        return False
    return True
