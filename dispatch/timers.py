"""The heap of what is due when. It knows no clock: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.log import named

if TYPE_CHECKING:
    from dispatch.loop import Loop

LATE = 2  # the first call behind the close may come before handle_close, which cancels it
LONGEST = 2e6  # seconds asleep at once, 23 days: epoll and poll refuse more than 2**31 - 1 ms


class Timer:
    """One call to make; ``cancel()`` takes it back. Truth is whether it is still to come."""

    __slots__ = ("args", "function", "when")

    def __init__(self, when: float, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.when = when  # seconds on the loop's clock; for call_soon the moment it was asked
        self.function: Callable[..., object] | None = function
        self.args = args

    def cancel(self) -> None:
        """Do not call; also when it was called already, or cancelled before."""
        self.function = None
        self.args = ()

    def __bool__(self) -> bool:
        return self.function is not None

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", None) or repr(self.function)
        return f"<Timer {'done' if self.function is None else name} at {self.when:.6f}>"


class Repeat(Timer):
    """A call that is made again and again; ``cancel()`` ends it."""

    __slots__ = ("interval", "late")

    def __init__(self, when: float, function: Callable[..., object], args: tuple[Any, ...], interval: float) -> None:
        super().__init__(when, function, args)
        self.interval = interval  # seconds
        self.late = 0  # how often it has come after the close of the channel that it is a method of

    def outlives(self, loop: Loop) -> None:
        """It comes though the channel that it is a method of has closed; the second time, it will do so for ever, and keep *loop* running."""
        self.late += 1
        if self.late == LATE:
            loop.log_warning(
                f"{named(self)} comes each {self.interval:g} s though its channel is closed, and keeps the loop running: "
                "cancel() it in handle_close"
            )

    def advance(self, now: float) -> None:
        """On to the next time that is not past: multiples of the interval, so that nothing drifts."""
        self.when += self.interval
        if self.when <= now:
            late = now - self.when
            # Of an interval that no clock can show, the quotient is more than a float holds.
            self.when += min(late, late // self.interval * self.interval) + self.interval


class Timers:
    """Timers by the time they are due; those due at one moment come in the order they were made."""

    __slots__ = ("_count", "heap")

    def __init__(self) -> None:
        #: Empty or not is asked three times a turn, so it is looked at without a call.
        self.heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def add(self, timer: Timer) -> None:
        self._count += 1
        heappush(self.heap, (timer.when, self._count, timer))
        if not self._count & 1023:
            self._sweep()

    def _sweep(self) -> None:
        """Cancelled timers leave when they are due, or here when they are more than half of a large heap."""
        alive = [entry for entry in self.heap if entry[2].function is not None]
        if 2 * len(alive) < len(self.heap):
            heapify(alive)
            self.heap = alive

    def next_due(self) -> float | None:
        """When the first timer that still wants to be called is due; None if there is none."""
        heap = self.heap
        while heap and heap[0][2].function is None:
            heappop(heap)
        return heap[0][0] if heap else None

    def due(self, now: float) -> list[Timer]:
        """Take out what is due by *now*, in order."""
        heap, due = self.heap, []
        while heap and heap[0][0] <= now:
            timer = heappop(heap)[2]
            if timer.function is not None:
                due.append(timer)
        return due

    def clear(self) -> None:
        for entry in self.heap:
            entry[2].cancel()  # its owner may ask whether it is still to come
        self.heap.clear()

    def __len__(self) -> int:
        """How many still want to be called."""
        return sum(1 for entry in self.heap if entry[2].function is not None)
