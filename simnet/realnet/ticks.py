"""Waits of a process that time alone has ended: of one that only keeps time, or of one that backs off and will give up in the end."""

from __future__ import annotations

__all__ = ["Ticks", "awaited"]

LONGER = 1.2  # times as long as any before: a wait that is one of a back-off, not of a beat


class Ticks:
    """Those of one process since anybody last did something."""

    __slots__ = ("_growing", "_longest_ns", "count")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Somebody did: it counts from here again."""
        self.count = self._growing = self._longest_ns = 0

    def add(self, took_ns: int) -> None:
        """A wait of *took_ns* is over, and nothing has come."""
        if self.count and took_ns > LONGER * self._longest_ns:
            self._growing += 1
        self.count += 1
        self._longest_ns = max(self._longest_ns, took_ns)

    @property
    def beats(self) -> int:
        """How often it has only kept time."""
        return self.count - self._growing


def awaited(what: str) -> str:
    """What somebody waits for, as the trace of a simulated run has it: without the socket or poller."""
    return next((each for each in ("time to pass", "readiness of") if what.startswith(each)), what.partition(" ")[0])
