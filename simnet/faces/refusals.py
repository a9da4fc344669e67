"""Errors that the user has to fix, and how a command says so: place, reason, remedy, and no traceback."""

from __future__ import annotations

import errno
import os

__all__ = ["Refused", "refusal"]

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # said by a write, which does not know of what file


class Refused(Exception):  # it is what a command does, not an error of the program
    """The command cannot be carried out as given; the text says where, why, and what to do instead."""


def refusal(error: Exception) -> str | None:
    """What to tell the user of *error*; None if it is a defect of simnet, whose traceback somebody needs to see."""
    from simnet.explore.baseline import NotRepeatable
    from simnet.explore.sweep import NothingToTest
    from simnet.faults.fields import FaultError
    from simnet.scenario import ScenarioError

    if isinstance(error, (Refused, ScenarioError, FaultError)):
        return str(error)
    if isinstance(error, (NotRepeatable, NothingToTest)):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"cannot write: {error.strerror}"
    return None
