"""Virtual nanoseconds, and what is due when."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil, inf, nextafter
from typing import Any

__all__ = ["Clock", "Timer", "deadline_after"]

EPOCH_NS = 1_600_000_000 * 1_000_000_000  # what time.time() shows when a run begins: 2020-09-13 12:26:40 UTC
FOREVER_NS = 1 << 62  # 146 years: a time-out beyond it never comes
MANY = 0xFFF  # so many of one instant, and those called off are thrown away


def deadline_after(now_ns: int, seconds: float) -> int:
    """The instant *seconds* from *now_ns*, in nanoseconds: the first at which ``monotonic() - then >= seconds`` is true.

    A real clock has always gone on a little more. In floats a time-out that is exactly over may be a hair short of it, and
    a program that computes ``deadline - monotonic()`` would wake too early and spin for ever.
    """
    if seconds <= 0:
        return now_ns
    if seconds > FOREVER_NS / 1e9:
        return FOREVER_NS
    now = now_ns / 1e9
    deadline_ns = max(now_ns + 1, ceil((now + seconds) * 1e9))
    then = deadline_ns / 1e9
    return deadline_ns if then - now >= seconds else max(deadline_ns + 1, ceil(nextafter(then, inf) * 1e9))


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


class Clock:
    """The one clock of a network. It moves only when :meth:`tick` is called.

    ``busy`` counts what is on its way (segments, retransmissions ...): a network with a time-out alone is idle, one
    with a segment on a link is not. Time-outs of sleepers and TCP's TIME_WAIT and keepalive are *background*.

    ``due`` has, for each instant, what happens then, in the order in which it was put there: a function and its argument, or
    ``None`` and a timer, which may be called off; ``heap`` has the instants.
    Of 2,000 clients that all send at once, the heap holds one entry.
    """

    __slots__ = ("now_ns", "busy", "heap", "due")

    def __init__(self) -> None:
        self.now_ns = 0
        self.busy = 0
        self.heap: list[int] = []
        self.due: dict[int, list[tuple[Callable[[Any], object] | None, Any]]] = {}

    def at(self, deadline_ns: int, fn: Callable[[Any], object], arg: Any = None, background: bool = False) -> Timer:
        """``fn(arg)`` at *deadline_ns*, or in this instant if that is past; the returned timer can call it off."""
        timer = Timer(self, fn, arg, background)
        if not background:
            self.busy += 1
        if deadline_ns < self.now_ns:
            deadline_ns = self.now_ns
        bunch = self.due.get(deadline_ns)
        if bunch is None:
            self.due[deadline_ns] = [(None, timer)]
            heappush(self.heap, deadline_ns)
        else:
            bunch.append((None, timer))
            if not len(bunch) & MANY and deadline_ns > self.now_ns:  # nearly all of them called off, as time-outs are
                bunch[:] = [each for each in bunch if each[0] is not None or each[1].fn is not None]
        return timer

    def post(self, deadline_ns: int, fn: Callable[[Any], object], arg: Any) -> None:
        """As :meth:`at`, for what is never called off, nor past: a segment on a link."""
        self.busy += 1
        bunch = self.due.get(deadline_ns)
        if bunch is None:
            self.due[deadline_ns] = [(fn, arg)]
            heappush(self.heap, deadline_ns)
        else:
            bunch.append((fn, arg))

    def next_due_ns(self) -> int | None:
        """When the next thing is due; ``None`` if nothing ever is."""
        heap = self.heap
        while heap:
            instant = heap[0]
            for fn, arg in self.due[instant]:
                if fn is not None or arg.fn is not None:
                    return instant
            heappop(heap)
            del self.due[instant]
        return None

    def tick(self) -> bool:
        """Move to the next due instant and let everything happen that is due then; False if nothing is due, ever."""
        heap = self.heap
        while heap:
            instant = heappop(heap)
            bunch = self.due[instant]
            done = 0
            happened = False
            for fn, arg in bunch:  # and what is put there meanwhile
                done += 1
                if fn is not None:
                    self.busy -= 1
                else:
                    timer = arg
                    fn, arg = timer.fn, timer.arg
                    if fn is None:
                        continue
                    timer.fn = timer.arg = None
                    if not timer.background:
                        self.busy -= 1
                if not happened:
                    happened = True
                    self.now_ns = instant
                try:
                    fn(arg)
                except BaseException:
                    del bunch[:done]
                    heappush(heap, instant)
                    raise
            del self.due[instant]
            if happened:
                return True
        return False

    def clear(self) -> None:
        """Nothing is due any more."""
        self.heap.clear()
        self.due.clear()
        self.busy = 0

    def due_now(self) -> bool:
        """Is something due at this very instant?"""
        due = self.next_due_ns()
        return due is not None and due <= self.now_ns
