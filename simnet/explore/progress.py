"""The real seconds that something took, and progress reports. The only module of explore that looks at a real clock."""

from __future__ import annotations

from typing import Protocol

from simnet import real

__all__ = ["Progress", "Stopwatch"]


class Progress(Protocol):
    """Told after each run of a sweep."""

    def __call__(self, done: int, total: int, failures: int, /) -> None:
        """*done* of *total* runs are over; *failures* distinct ones so far."""
        ...


class Stopwatch:
    """Runs from when it is made."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = real.perf_counter()

    @property
    def seconds(self) -> float:
        return real.perf_counter() - self._since
