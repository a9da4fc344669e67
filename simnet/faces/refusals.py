"""Which errors are the user's to mend, and how a command says so: place, reason, remedy, and no traceback."""

from __future__ import annotations

import os
import traceback

__all__ = ["Refused", "refusal"]


class Refused(Exception):  # it is what a command does, not an error of the program
    """The command cannot be carried out as given; the text says where, why, and what to do instead."""


class TestFileBroken(Refused):
    """A test file could not be imported: the traceback that matters is the user's own."""

    __test__ = False  # its name makes pytest curious

    def __init__(self, path: str, error: BaseException) -> None:
        super().__init__(path, error)
        self.path = path
        self.error = error

    def __str__(self) -> str:
        return f"{self.path} cannot be imported: {_last_line(self.error)}{_where(self.error)}"


def refusal(error: Exception) -> str | None:
    """What to tell the user of *error*; None if it is a defect of simnet, whose traceback somebody needs to see."""
    from simnet.explore.sweep import NothingToTest, NotRepeatable
    from simnet.faults.fields import FaultError
    from simnet.scenario import ScenarioError

    if isinstance(error, (Refused, ScenarioError, FaultError)):
        return str(error)
    if isinstance(error, (NotRepeatable, NothingToTest)):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return None


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"  ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    return f"  ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
