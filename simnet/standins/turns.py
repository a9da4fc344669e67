"""A turn of asyncio's loop in one frame, where the library's own takes one for each step of it.

A run is mostly turns: a loop takes one for each event, or bunch of them, and each asks for the time, looks for what is
ready, and makes handles for what is to be called. These stand-ins do what the library's own functions do, in their
order, wherever they run; in debug mode, and for anything rare, they call them. They are put in place only if the library's
functions are made as known here.

asyncio is not imported for this; it is looked for when the stand-ins are put in place, and whenever a loop may be made.
"""

from __future__ import annotations

import sys
from contextvars import copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any, Final

from simnet.standins import clocks
from simnet.standins.known import Known
from simnet.standins.timers import A_HANDLE
from simnet.wait import running

__all__ = ["place", "unplace"]

MONOTONIC: Final = next(pair.standin for pair in clocks.PAIRS if pair.standin.__name__ == "monotonic")
# With more timers than that, the library's own turn takes out those that were called off, if they are half of them.
SIFTED_FROM: Final = 100

KNOWN: Final = {  # which names a function of the library goes by, in all versions of it that have been looked at
    "_run_once": {
        *("_scheduled", "_timer_cancelled_count", "_cancelled", "heapq", "heapify", "heappop", "_when", "append"),
        *("_MIN_SCHEDULED_TIMER_HANDLES", "_MIN_CANCELLED_TIMER_HANDLES_FRACTION", "MAXIMUM_SELECT_TIMEOUT"),
        *("_ready", "_stopping", "time", "_selector", "select", "_process_events", "_clock_resolution", "popleft"),
        *("_debug", "_run", "_current_handle", "slow_callback_duration", "logger", "warning", "_format_handle"),
        *("len", "min", "max", "range"),
    },
    "_process_events": {
        *("fileobj", "data", "selectors", "EVENT_READ", "EVENT_WRITE", "_cancelled", "_add_callback"),
        *("_remove_reader", "_remove_writer"),
    },
    "call_soon": {"_check_closed", "_debug", "_check_thread", "_check_callback", "_call_soon", "_source_traceback"},
    "call_at": {
        *("TypeError", "_check_closed", "_debug", "_check_thread", "_check_callback", "events", "TimerHandle"),
        *("_source_traceback", "heapq", "heappush", "_scheduled"),
    },
    "time": {"time", "monotonic"},
    "_init_event_loop_policy": {"_lock", "_event_loop_policy", "DefaultEventLoopPolicy"},
}

_ours = Known()

unplace = _ours.unplace


def _turn(longest: float, original: Any) -> Any:
    def _run_once(self: Any) -> None:
        scheduled, ready = self._scheduled, self._ready
        called_off = self._timer_cancelled_count
        if self._debug or (called_off and len(scheduled) > SIFTED_FROM and called_off * 2 > len(scheduled)):
            original(self)
            return
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heappop(scheduled)._scheduled = False
        timeout: Any = None
        if ready or self._stopping:
            timeout = 0
        elif scheduled:
            timeout = scheduled[0]._when - self.time()
            if not 0 <= timeout <= longest:
                timeout = 0 if timeout < 0 else longest
        found = self._selector.select(timeout)
        self._process_events(found)
        found = None  # else it and an exception would hold each other
        now = self.time()
        if scheduled:
            end = now + self._clock_resolution
            while scheduled and scheduled[0]._when < end:
                handle = heappop(scheduled)
                handle._scheduled = False
                ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        handle = None  # as above

    return _run_once


def _events(original: Any) -> Any:
    def _process_events(self: Any, event_list: Any) -> None:
        if "_add_callback" in self.__dict__:  # a test's own
            original(self, event_list)
            return
        ready = self._ready
        for key, mask in event_list:
            reader, writer = key.data
            if mask & 1 and reader is not None:
                if reader._cancelled:
                    self._remove_reader(key.fileobj)
                else:
                    ready.append(reader)
            if mask & 2 and writer is not None:
                if writer._cancelled:
                    self._remove_writer(key.fileobj)
                else:
                    ready.append(writer)

    return _process_events


def _soon(handles: Any, original: Any) -> Any:
    new = handles.__new__

    def call_soon(self: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        if self._closed or self._debug:
            asked = original(self, callback, *args, context=context)
            if asked._source_traceback:
                del asked._source_traceback[-1]  # it ends where it was asked for, not here
            return asked
        handle: Any = new(handles)
        handle._context = copy_context() if context is None else context
        handle._loop = self
        handle._callback = callback
        handle._args = args
        handle._cancelled = False
        handle._repr = handle._source_traceback = None
        self._ready.append(handle)
        return handle

    return call_soon


def _at(events: Any, original: Any) -> Any:
    def call_at(self: Any, when: Any, callback: Any, *args: Any, context: Any = None) -> Any:
        if when is None or self._closed or self._debug:
            set_ = original(self, when, callback, *args, context=context)
            if set_._source_traceback:
                del set_._source_traceback[-1]  # as above
            return set_
        timer = events.TimerHandle(when, callback, args, self, context)
        heappush(self._scheduled, timer)
        timer._scheduled = True
        return timer

    return call_at


def _clock(base: Any, original: Any) -> Any:
    def time(self: Any) -> Any:
        scheduler = running.scheduler
        if scheduler is None or base.time.monotonic is not MONOTONIC:  # a test has put something of its own there
            return original(self)
        scheduler.activity += 1  # as the stand-in does
        if scheduler.activity >= scheduler.looks_end:
            scheduler.looked()
        return scheduler.clock.now_ns / 1e9

    return time


def _first_policy(events: Any, _: Any) -> Any:
    asyncio: Any = sys.modules["asyncio"]

    def _init_event_loop_policy() -> None:
        with events._lock:
            if events._event_loop_policy is None:
                events._event_loop_policy = asyncio.DefaultEventLoopPolicy()  # by no import: each run begins with this

    return _init_event_loop_policy


def place() -> None:
    """If asyncio is loaded: its loops take their turns this way from now on."""
    parts = ("events", "base_events", "selector_events")
    events, base, selecting = (sys.modules.get(f"asyncio.{each}") for each in parts)
    handle: Any = getattr(events, "Handle", None)
    loop: Any = getattr(base, "BaseEventLoop", None)
    selector_loop: Any = getattr(selecting, "BaseSelectorEventLoop", None)
    if _ours.originals or None in (handle, loop, selector_loop) or set(handle.__slots__) != A_HANDLE:
        return
    longest = getattr(base, "MAXIMUM_SELECT_TIMEOUT", 24 * 3600)
    for owner, name, make in (
        (loop, "_run_once", partial(_turn, longest)),
        (selector_loop, "_process_events", _events),
        (loop, "call_soon", partial(_soon, handle)),
        (loop, "call_at", partial(_at, events)),
        (loop, "time", partial(_clock, base)),
        (events, "_init_event_loop_policy", partial(_first_policy, events)),
    ):
        _ours.put(owner, name, KNOWN[name], make)
