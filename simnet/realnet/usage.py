"""Whether a thread uses the processor, as Linux counts it: who waits in C tells nobody that it waits."""

from __future__ import annotations

import threading
from pathlib import Path

__all__ = ["Usage"]

RECENTLY_NS = 20_000_000  # the kernel counts in ticks of some milliseconds


class Usage:
    """What is known of the threads of one process."""

    __slots__ = ("_asked", "_used")

    def __init__(self) -> None:
        self._used: dict[int | None, tuple[int, str | None]] = {}  # by thread: when it used any, and how much by then
        self._asked: dict[int | None, str | None] = {}  # how much by the last question

    def computes(self, thread: threading.Thread, now_ns: int) -> bool:
        """Whether it runs, or has run a moment ago."""
        runs, used = _processor_time(thread)
        if runs:
            self._used.pop(thread.ident, None)
            return True
        before = self._used.get(thread.ident)
        if before is None or before[1] != used:
            self._used[thread.ident] = (now_ns, used)
            return used is not None
        return now_ns - before[0] < RECENTLY_NS

    def goes_on(self, thread: threading.Thread) -> bool:
        """Whether it runs, or has since this was asked before."""
        runs, used = _processor_time(thread)
        before, self._asked[thread.ident] = self._asked.get(thread.ident), used
        return runs or before != used


def _processor_time(thread: threading.Thread) -> tuple[bool, str | None]:
    """What Linux says: is it running, or about to, and how long has it run? ``None`` where nobody says it."""
    task = Path(f"/proc/self/task/{thread.native_id}")
    try:
        state = task.joinpath("stat").read_text("ascii", "replace").rpartition(") ")[2][:1]
        return state == "R", task.joinpath("schedstat").read_text("ascii")
    except OSError:
        return False, None
