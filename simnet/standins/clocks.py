"""The functions of ``time``: which clock they read, and which process sleeps."""

from __future__ import annotations

import time
from operator import index
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs
from simnet.standins.whose import Backend
from simnet.wait import running

__all__ = ["PAIRS"]

PAIRS = Pairs()
PLAIN = (float, int)
LONGEST = (1 << 63) // 1_000_000_000 - 1  # seconds, which are counted in nanoseconds


@PAIRS.standin(time, "time")
def _(original: Any) -> Any:
    def standin(_: Origin) -> float:
        backend = whose.world()
        return original() if backend is None else backend.time_ns() / 1e9

    return standin


@PAIRS.standin(time, "time_ns")
def _(original: Any) -> Any:
    def standin(_: Origin) -> int:
        backend = whose.world()
        return original() if backend is None else backend.time_ns()

    return standin


def _monotonic(original: Any) -> Any:
    def standin(_: Origin) -> float:
        scheduler = running.scheduler
        if scheduler is not None:  # as its backend does: an event loop asks twice in each turn
            scheduler.activity += 1
            if scheduler.activity >= scheduler.looks_end:
                scheduler.looked()
            return scheduler.clock.now_ns / 1e9
        backend = whose.world()
        return original() if backend is None else backend.monotonic_ns() / 1e9

    return standin


def _monotonic_ns(original: Any) -> Any:
    def standin(_: Origin) -> int:
        backend = whose.world()
        return original() if backend is None else backend.monotonic_ns()

    return standin


PAIRS.standin(time, "monotonic")(_monotonic)
PAIRS.standin(time, "monotonic_ns")(_monotonic_ns)
PAIRS.standin(time, "perf_counter")(_monotonic)
PAIRS.standin(time, "perf_counter_ns")(_monotonic_ns)


@PAIRS.standin(time, "sleep")
def _(original: Any) -> Any:
    def standin(_: Origin, seconds: Any, /) -> None:
        backend = whose.world()
        if backend is None:
            original(seconds)
            return
        if seconds.__class__ not in PLAIN or not 0 <= seconds <= LONGEST:
            if not isinstance(seconds, float) and hasattr(seconds, "__index__"):
                seconds = index(seconds)
            if not isinstance(seconds, (float, int)) or not 0 <= seconds <= LONGEST:
                original(seconds)  # which says what is wrong with it
        backend.sleep(seconds)

    return standin


def _clock_ids(*names: str) -> frozenset[int]:
    return frozenset(getattr(time, name) for name in names if hasattr(time, name))


_WALL_CLOCKS = _clock_ids("CLOCK_REALTIME", "CLOCK_TAI")
_STEADY_CLOCKS = _clock_ids("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME", "CLOCK_UPTIME")


def _clock_gettime_ns(backend: Backend, clock: int) -> int | None:
    """What clock number *clock* shows; ``None`` for those that count the processor's time, which stay real."""
    if clock in _WALL_CLOCKS:
        return backend.time_ns()
    return backend.monotonic_ns() if clock in _STEADY_CLOCKS else None


@PAIRS.standin(time, "clock_gettime")
def _(original: Any) -> Any:
    def standin(_: Origin, clock: int, /) -> float:
        backend = whose.world()
        now = None if backend is None else _clock_gettime_ns(backend, clock)
        return original(clock) if now is None else now / 1e9

    return standin


@PAIRS.standin(time, "clock_gettime_ns")
def _(original: Any) -> Any:
    def standin(_: Origin, clock: int, /) -> int:
        backend = whose.world()
        now = None if backend is None else _clock_gettime_ns(backend, clock)
        return original(clock) if now is None else now

    return standin


def _calendar(original: Any) -> Any:
    """``localtime``, ``gmtime``, ``ctime``: without an argument they read the clock in C."""

    def standin(_: Origin, seconds: float | None = None, /) -> Any:
        backend = whose.world() if seconds is None else None
        return original(seconds) if backend is None else original(backend.time_ns() / 1e9)

    return standin


for _name in ("localtime", "gmtime", "ctime"):
    PAIRS.standin(time, _name)(_calendar)


@PAIRS.standin(time, "asctime")
def _(original: Any, localtime: Any = time.localtime) -> Any:
    def standin(_: Origin, *args: Any) -> Any:
        backend = None if args else whose.world()
        return original(*args) if backend is None else original(localtime(backend.time_ns() / 1e9))

    return standin


@PAIRS.standin(time, "strftime")
def _(original: Any, localtime: Any = time.localtime) -> Any:
    def standin(_: Origin, format: str, *args: Any) -> Any:
        backend = None if args else whose.world()
        return original(format, *args) if backend is None else original(format, localtime(backend.time_ns() / 1e9))

    return standin
