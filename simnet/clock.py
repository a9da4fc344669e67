"""Virtual nanoseconds, and what is due when."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil, nextafter
from typing import Any

__all__ = ["Clock", "Timer", "deadline_after"]

EPOCH_NS = 1_600_000_000 * 1_000_000_000  # what time.time() shows when a run begins: 2020-09-13 12:26:40 UTC
FOREVER_NS = 1 << 62  # 146 years: a time-out beyond it never comes


def deadline_after(now_ns: int, seconds: float) -> int:
    """The instant *seconds* from *now_ns*, in nanoseconds.

    A positive time-out is never cut to nothing: at least 1 ns, and at least one float step of the clock, rounded up. A
    program that computes ``deadline - monotonic()`` in floats would otherwise wake a hair too early and spin for ever.
    """
    if seconds <= 0:
        return now_ns
    if seconds > FOREVER_NS / 1e9:
        return FOREVER_NS
    now = now_ns / 1e9
    return max(now_ns + 1, ceil(max(now + seconds, nextafter(now, float("inf"))) * 1e9))


class Timer:
    """Something due later that may be called off."""

    __slots__ = ("clock", "fn", "arg", "background")

    def __init__(self, clock: Clock, fn: Callable[[Any], object], arg: Any, background: bool) -> None:
        self.clock: Clock = clock
        self.fn: Callable[[Any], object] | None = fn
        self.arg = arg
        self.background = background

    def cancel(self) -> None:
        """Called off; calling it twice, or after it fired, does nothing."""
        if self.fn is not None:
            self.fn = self.arg = None
            if not self.background:
                self.clock.busy -= 1

    def _fire(self) -> None:
        fn, arg = self.fn, self.arg
        if fn is not None:
            self.cancel()
            fn(arg)


class Clock:
    """The one clock of a network. It moves only when :meth:`tick` is called.

    ``busy`` counts what is on its way (segments, retransmissions ...): a network with a time-out alone is idle, one
    with a segment on a link is not. Time-outs of sleepers and TCP's TIME_WAIT and keepalive are *background*.

    What is posted for one instant in a row is kept together: of 2,000 clients that all send at once, the heap holds two
    entries. The order is that of ``serial``, as if each stood for itself.
    """

    __slots__ = ("now_ns", "busy", "heap", "serial", "last_due_ns", "bunch")

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy = 0
        self.heap: list[tuple[int, int, Callable[[Any], object], Any]] = []
        self.serial = 0
        self.last_due_ns = -1  # when what was posted last is due, if nothing else was put off since
        self.bunch: list[tuple[Callable[[Any], object], Any]] | None = None  # what was posted for then after it

    def at(self, deadline_ns: int, fn: Callable[[Any], object], arg: Any = None, background: bool = False) -> Timer:
        """``fn(arg)`` at *deadline_ns*, or at once if that is past; the returned timer can call it off."""
        timer = Timer(self, fn, arg, background)
        if not background:
            self.busy += 1
        self.last_due_ns = -1
        self.serial = serial = self.serial + 1
        heappush(self.heap, (deadline_ns, serial, Timer._fire, timer))
        return timer

    def post(self, deadline_ns: int, fn: Callable[[Any], object], arg: Any) -> None:
        """As :meth:`at`, for what is never called off: a segment on a link."""
        if deadline_ns == self.last_due_ns:
            self.post_again(fn, arg)
            return
        self.busy += 1
        self.last_due_ns = deadline_ns
        self.bunch = None
        self.serial = serial = self.serial + 1
        heappush(self.heap, (deadline_ns, serial, fn, arg))

    def post_again(self, fn: Callable[[Any], object], arg: Any) -> None:
        """As :meth:`post`, for the instant of the last post."""
        self.busy += 1
        bunch = self.bunch
        if bunch is None:
            self.bunch = bunch = []
            self.busy += 1
            self.serial = serial = self.serial + 1
            heappush(self.heap, (self.last_due_ns, serial, self._together, bunch))
        bunch.append((fn, arg))

    def _together(self, bunch: list[tuple[Callable[[Any], object], Any]]) -> None:
        self.last_due_ns = -1  # what is posted from now on comes after whatever else is due now
        self.bunch = None
        done = 0
        try:
            for fn, arg in bunch:
                done += 1
                self.busy -= 1
                fn(arg)
        except BaseException:
            self.busy -= len(bunch) - done
            for fn, arg in bunch[done:]:
                self.post(self.now_ns, fn, arg)
            raise

    def due_by(self, deadline_ns: int) -> bool:
        """May something be due until *deadline_ns*? What has been called off may count."""
        heap = self.heap
        return bool(heap) and heap[0][0] <= deadline_ns

    def next_due_ns(self) -> int | None:
        """When the next thing is due; ``None`` if nothing ever is."""
        heap = self.heap
        while heap:
            head = heap[0]
            if head[2] is Timer._fire and head[3].fn is None:
                heappop(heap)
                continue
            return head[0]
        return None

    def tick(self) -> bool:
        """Move to the next due instant and let everything happen that is due then; False if nothing is due, ever."""
        heap = self.heap
        fire = Timer._fire
        while heap:
            due, _, fn, arg = heappop(heap)
            if fn is fire and arg.fn is None:
                continue
            if due > self.now_ns:
                self.now_ns = due
            if fn is not fire:
                self.busy -= 1
            fn(arg)
            now = self.now_ns
            while heap and heap[0][0] <= now:
                _, _, fn, arg = heappop(heap)
                if fn is not fire:
                    self.busy -= 1
                fn(arg)
            return True
        return False

    def clear(self) -> None:
        """Nothing is due any more."""
        self.heap.clear()
        self.busy = 0
        self.last_due_ns = -1
        self.bunch = None

    def due_now(self) -> bool:
        """Is something due at this very instant?"""
        due = self.next_due_ns()
        return due is not None and due <= self.now_ns
