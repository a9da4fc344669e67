"""Which line of the user's own code an exception points at, and what it says."""

from __future__ import annotations

import os
import selectors
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import NamedTuple

__all__ = [
    "NOWHERE",
    "UserPlace",
    "carries",
    "exception_line",
    "exception_text",
    "first_of",
    "installed",
    "is_defect",
    "led_to",
    "named",
    "note",
    "said_by",
    "says_no",
    "stands_nowhere",
    "stopping_place",
    "trimmed",
    "user_place",
    "users_own",
    "without_simnet",
    "write_on",
]

_SIMNET = os.path.dirname(os.path.abspath(__file__))
_DEMO = os.path.join(_SIMNET, "demo")
_DISPATCH = os.path.join(os.path.dirname(_SIMNET), "dispatch")
_STDLIB = tuple(os.path.abspath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
_SELECTORS = selectors.__file__  # a simulated loop has none of its frames: its caller is what both worlds show
_SITE = tuple(os.path.abspath(sysconfig.get_path(name)) for name in ("purelib", "platlib"))  # below _STDLIB

_SCRIPTS = os.path.abspath(sysconfig.get_path("scripts"))  # where the command pytest begins
_RUNNERS = (  # whose frames lead to a test, or end it (pytest.fail), and tell nothing of it
    *("_pytest", "pluggy", "pytest", "hypothesis", "xdist", "execnet"),
)
_REDISTRIBUTED = ("asyncore", "asynchat", "smtpd")  # what the standard library lost, as the index has it
_LOOPS = ("trio", "outcome", "anyio")
_LIBRARIES = frozenset({*_REDISTRIBUTED, *_LOOPS, *_RUNNERS})


class UserPlace(NamedTuple):
    """A line of the user's code."""

    path: str
    line: int
    function: str

    @property
    def short(self) -> str:
        """``tutorial_server.py:71``; empty where there is no such line."""
        return f"{os.path.basename(self.path)}:{self.line}" if self.path else ""


NOWHERE = UserPlace("", 0, "")


def user_place(error: BaseException | None) -> UserPlace:
    """The innermost line of the user's code in the traceback of *error*; of a group, in that of the first in it, if there is one.

    The user's are neither the standard library, nor simnet, nor dispatch, nor pytest, nor trio. Where nothing else is in the
    traceback, a line of dispatch or the library will do: it is what there is to look at.
    """
    if error is None:
        return NOWHERE
    step = error.__traceback__
    if isinstance(error, BaseExceptionGroup):
        place = user_place(error.exceptions[0])
        if step is None or (place.path and _rank(place.path) == 2):
            return place
    users = others = NOWHERE
    while step is not None:
        code = step.tb_frame.f_code
        rank = _rank(code.co_filename)
        if rank == 2:
            users = UserPlace(code.co_filename, step.tb_lineno, code.co_name)
        elif rank == 1 and not (others.path and code.co_filename == _SELECTORS):
            others = UserPlace(code.co_filename, step.tb_lineno, code.co_name)
        step = step.tb_next
    return users if users.path else others


def first_of(error: BaseException) -> BaseException:
    """What *error* is about: of a group whose exceptions all are of one type, the first of them; else *error* itself."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    first, *others = map(first_of, error.exceptions)
    return error if any(type(each) is not type(first) for each in others) else first


def carries(error: BaseException, what: tuple[type[BaseException], ...]) -> list[BaseException]:
    """The exceptions of types *what* of which *error* says nothing else: itself, all that are in a group, or why it was raised."""
    if isinstance(error, BaseExceptionGroup):
        within = [carries(each, what) for each in error.exceptions]
        return [each for several in within for each in several] if all(within) else []
    return [each for each in (error, error.__cause__) if isinstance(each, what)][:1]


def led_to(error: BaseException, outer: BaseException) -> None:
    """*outer*, such as a nursery's group, carries *error*, in whose own traceback no line is the user's: put those of *outer* before it."""
    if error is not outer and not users_own(user_place(error).path):
        write_on(error, "__traceback__", _linked(_steps(outer.__traceback__), error.__traceback__))


def _steps(traceback: TracebackType | None) -> list[TracebackType]:
    steps: list[TracebackType] = []
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    return steps


def _linked(steps: Sequence[TracebackType], kept: TracebackType | None = None) -> TracebackType | None:
    """A traceback of *steps*, and of what is *kept* behind them."""
    for each in reversed(steps):
        kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def users_own(path: str) -> bool:
    """Whether the file at *path* is the user's: neither simnet's, nor dispatch's, nor the standard library's, nor pytest's."""
    return _rank(path) == 2


@lru_cache(maxsize=1024)
def installed(path: str) -> bool:
    """Whether the file at *path* is of a package that was installed; it may be the user's own all the same."""
    return any(_below(path, site) for site in _SITE)


def trimmed(traceback: TracebackType | None) -> TracebackType | None:
    """*traceback* without simnet's frames at both ends: how a run is started, and how a fake socket comes to its errno.

    So a debugger that stops at the innermost frame stops in the user's code.
    """
    frames = _steps(traceback)
    ours = [_rank(each.tb_frame.f_code.co_filename) == 0 for each in frames]
    if all(ours):
        return traceback
    first = ours.index(False)
    last = len(ours) - ours[::-1].index(False)
    return _linked(frames[first:last])


def stopping_place(error: BaseException | None) -> UserPlace:
    """Where a debugger stops once the traceback of *error* is trimmed."""
    kept = trimmed(error.__traceback__) if error is not None else None
    place = NOWHERE
    while kept is not None:
        place = UserPlace(kept.tb_frame.f_code.co_filename, kept.tb_lineno, kept.tb_frame.f_code.co_name)
        kept = kept.tb_next
    return place


def says_no(error: BaseException) -> bool:
    """Whether it says that something is wrong: any exception, and that of ``pytest.fail``, which Python does not count among them."""
    return isinstance(error, Exception) or (type(error).__module__, type(error).__name__) == ("builtins", "Failed")


def is_defect(error: BaseException) -> bool:
    """Whether it looks like a mistake of simnet's own, whose frames somebody needs to see."""
    step = error.__traceback__
    if step is None or not isinstance(error, (ArithmeticError, AssertionError, AttributeError, LookupError, NameError)):
        return False  # errnos, refusals of arguments, verdicts: what simnet raises on purpose, as a name that is none where the frame is to be hidden
    while step.tb_next is not None:
        step = step.tb_next
    frame = step.tb_frame
    refused = isinstance(error, AttributeError) and "__tracebackhide__" in frame.f_locals
    return _rank(frame.f_code.co_filename) == 0 and not refused


def stands_nowhere(error: BaseException) -> bool:
    """Has *error* no line of any program's, as where a function in C was spawned? The frames are simnet's, and those that lead to a test."""
    step = error.__traceback__
    if step is None or is_defect(error):
        return False
    while step is not None:
        path = step.tb_frame.f_code.co_filename
        if _rank(path) and not (installed(path) and not users_own(path)):
            return False
        step = step.tb_next
    return True


def without_simnet(traceback: TracebackType | None) -> TracebackType | None:
    """*traceback* less the frames of simnet, wherever they are; all of it if there are no others."""
    return _linked([each for each in _steps(traceback) if _rank(each.tb_frame.f_code.co_filename) > 0]) or traceback


def named(kind: type[BaseException]) -> str:
    """The name of *kind*; with its module where many have one of that name, as ``struct.error``."""
    name = kind.__name__
    return f"{kind.__module__}.{name}" if name.lower() == "error" and kind.__module__ != "__main__" else name


def exception_text(error: BaseException) -> str:
    """*error* as a traceback ends with it, as a rule without the module."""
    text, name = said_by(error).strip(), named(type(error))
    return f"{name}: {text}" if text else name


def said_by(error: BaseException) -> str:
    """The text of *error*, in Python's own words where that fails."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a `__str__` of the user's
        return "<exception str() failed>"


def write_on(error: BaseException, name: str, value: object) -> None:
    """Set the attribute *name* of *error*, which may be of a class that refuses that, as a frozen dataclass."""
    BaseException.__setattr__(error, name, value)


def note(error: BaseException, text: str) -> None:
    """Add *text* to the notes of *error*, whatever it is."""
    write_on(error, "__notes__", [*getattr(error, "__notes__", ()), text])


def exception_line(error: BaseException) -> str:
    """The first line of that: pytest explains an assertion in those after it."""
    return exception_text(error).partition("\n")[0]


@lru_cache(maxsize=1024)  # the same few files in every traceback of a sweep
def _rank(path: str) -> int:
    """2 for the user's code, 1 for a library's, 0 for simnet's."""
    if path.startswith("<frozen"):
        return 1
    path = os.path.abspath(path) if not path.startswith("<") else path  # "<stdin>" and notebooks' cells are the user's
    if _below(path, _SIMNET) and not _below(path, _DEMO):
        return 0
    if _below(path, _DISPATCH) or os.path.dirname(path) == _SCRIPTS:
        return 1
    for site in _SITE:
        if _below(path, site):
            return 1 if path[len(site) + 1 :].split(os.sep)[0].removesuffix(".py") in _LIBRARIES else 2
    if any(_below(path, folder) for folder in _STDLIB):
        return 1
    return 2


def _below(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)
