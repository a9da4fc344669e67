"""The beginning of a process: it runs until it first waits, and a poll that does not block is not a wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["ITS_TURN", "begin"]

ITS_TURN: Final[tuple[str, Any]] = ("its turn", None)  # what somebody waits for who may run
LOOKS_MAX: Final = 200  # asyncio polls without leave to wait before it runs anything, and again behind each `sleep(0)`


def begin(switch: Callable[[Process], None], runnable: deque[Process], me: Process, process: Process) -> None:
    """Let the new *process* run until it waits for more than its turn, or ends; then *me*, who is the first in line, goes on.

    Raises:
        Exception: what a handler of *me* raises, to which it has sent a signal.
    """
    me.waiting = ITS_TURN
    runnable.appendleft(me)
    switch(process)
    for _ in range(LOOKS_MAX):
        if process.waiting is not ITS_TURN or process not in runnable:
            break
        runnable.remove(process)
        runnable.appendleft(me)
        switch(process)
    me.waiting = None
    if me.pending is not None:
        me.meet_pending()
