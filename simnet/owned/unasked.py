"""Tasks of asyncio that have failed, and of which nobody has asked what came of them: asyncio says so only when one is collected."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from simnet.blame import exception_line
from simnet.verdicts import VERDICTS, ProcessEnded, Verdict

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = [
    "HANDLER_RAISED",
    "REMEDY",
    "UNASKED",
    "failed_unasked",
    "keep_in_mind",
    "known_tasks",
    "tell_of_the_unasked",
]

HANDLER_RAISED = "handler-raised"
UNASKED = "unasked"  # in a process's state: those of loops that it has closed
REMEDY = "Await it, add a callback to it, or catch what one connection raises"


def known_tasks() -> list[Any]:
    """All that live."""
    tasks: Any = sys.modules.get("asyncio.tasks")
    known: Any = getattr(tasks, "_all_tasks", None) or getattr(tasks, "_scheduled_tasks", ())
    return list(known)


def failed_unasked(loop: Any) -> list[tuple[str, BaseException]]:
    """The name and exception of each task of *loop* that has failed, and that somebody still holds who has not asked what came of it.

    asyncio says so when it is collected, which may be never.
    """
    return _names_and_errors([task for task in _failed() if task.get_loop() is loop])


def keep_in_mind(process: Process, loop: Any) -> None:
    """*process* has closed *loop*; as long as it goes on, it may still ask those."""
    if tasks := [weakref.ref(task) for task in _failed() if task.get_loop() is loop]:
        process.state.setdefault(UNASKED, []).extend(tasks)


def tell_of_the_unasked(process: Process) -> None:
    """Warn of each that *process* has left behind, and has ended well: nobody will ask any more."""
    kept = [task() for task in process.state.pop(UNASKED, ())]
    tasks = [task for task in kept if task is not None and task._log_traceback]
    for name, error in _names_and_errors(tasks):
        message = f"{exception_line(error)} ended {name} of {process.name}, which has ended as if nothing were: nobody has asked what came of it, "
        message += f"and asyncio says so only when nobody holds it. {REMEDY}"
        process.scheduler.record(Verdict(HANDLER_RAISED, message, process.host_name, error, "warning"))


def _failed() -> list[Any]:
    return [task for task in known_tasks() if getattr(task, "_log_traceback", False) and task.done()]


def _names_and_errors(tasks: list[Any]) -> list[tuple[str, BaseException]]:
    failed = [(task.get_name(), task._exception) for task in tasks]
    return sorted(
        ((name, error) for name, error in failed if not isinstance(error, (*VERDICTS, ProcessEnded))), key=_by_number
    )


def _by_number(failed: tuple[str, BaseException]) -> tuple[int, str]:
    return len(failed[0]), failed[0]  # "Task-9" before "Task-10"
