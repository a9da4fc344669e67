"""Tracebacks of failed tests without simnet's frames: pytest shows the code of each, and a simulated ``recv`` has many; the kernel's has none."""

from __future__ import annotations

import pytest
from _pytest._code.code import Traceback

from simnet.blame import is_defect, stands_nowhere, user_place, users_own, without_simnet, write_on
from simnet.causes import with_causes
from simnet.verdicts import VERDICTS, in_full, let_out
from simnet.wait import current_scheduler

__all__ = ["as_it_leaves_a_network", "leave_simnet_out", "leave_simnet_out_of_case", "leave_simnet_out_of_causes"]


def leave_simnet_out(error: BaseException) -> None:
    """Of *error*, of what led to it, and of all that are in a group, as hypothesis raises several."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            leave_simnet_out(each)
            if stands_nowhere(each):
                # Of those in a group, pytest would show the frames of simnet that are left.
                write_on(each, "__traceback__", None)
    if not is_defect(error) or _was_found(error):
        write_on(error, "__traceback__", without_simnet(error.__traceback__))
    leave_simnet_out_of_causes(error)


def as_it_leaves_a_network(error: BaseException) -> BaseException:
    """*error*, which has ended a test while a network goes on, in a fixture of the user's own: a verdict is in full, and an ``Exception``.

    Whatever waits while the fixtures are torn down meets it again; behind what is no ``Exception`` pytest tears down no more of them.
    """
    scheduler = current_scheduler()
    if scheduler is None or not isinstance(error, VERDICTS):
        return error
    told = let_out(in_full(error, scheduler.interrupted))
    leave_simnet_out(told)
    return told


def _was_found(error: BaseException) -> bool:
    """Whether it is what a sweep has found that a line of the user's has asked for, and no AssertionError of simnet's own."""
    return type(error).__module__.partition(".")[0] == "simnet" and users_own(user_place(error).path)


def leave_simnet_out_of_causes(error: BaseException) -> None:
    """Of what led to *error*, whose own frames somebody else sees to."""
    _, *behind = with_causes(error)
    for cause in behind:
        if not is_defect(cause):
            write_on(cause, "__traceback__", without_simnet(cause.__traceback__))


def leave_simnet_out_of_case(item: pytest.Item) -> None:
    """Of what a test of ``unittest`` has failed with, which pytest keeps with the test, since nothing is raised there."""
    for told in getattr(item, "_excinfo", None) or ():
        leave_simnet_out(told.value)
        told.traceback = Traceback(told.value.__traceback__)
