"""Reads of what has ended, again and again: by which lines they are known, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.scheduling.stuck import BUSY_HURRIED, BUSY_MAX
from simnet.trace import CALL
from simnet.verdicts import Spin

if TYPE_CHECKING:
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = ["read_for_nothing", "reads_the_end", "used_what_is_broken"]

# Calls in a row of a host, each told of the end, while somebody watches a clock and nothing else happens.
READS_MIN = 1_000


def reads_the_end(scheduler: Scheduler, process: Process, hurried: bool) -> Spin | None:
    """What is told of *process*, if it has done no more for long, nor has anybody, than look at a clock and read an end; else None.

    *hurried* is a run that is to show no more than that, as others have. A deadline, or a time-out around each read, is no leave to read on: nothing more will come of it.
    """
    if scheduler.ticks < (BUSY_HURRIED if hurried else BUSY_MAX):
        return None
    times, place, now_ns = 0, "", scheduler.clock.now_ns
    for entry in reversed(scheduler.trace.entries):
        if not times and entry[0] != now_ns:
            break  # nothing was read since the clock moved last
        if entry[1] == CALL and entry[2] == process.host_name:
            if entry[5] != "recv" or entry[7][1] != b"":
                break
            times += 1
            place = entry[3]
    return read_for_nothing(process, times, place) if times >= READS_MIN else None


def read_for_nothing(process: Process, times: int, place: str = "", *, yields: bool = True) -> Spin:
    """Reads of *place*, or of a stream, whose input has ended; by a loop that *yields* in between, or does not."""
    ended = f"{place}, whose input has ended," if place else "a stream whose input has ended,"
    did = f"read {times:,} times in a row, {_at(process)}, from {ended}"
    return _told(process, did, "A read that gives b'' is the end of the input", yields)


def used_what_is_broken(process: Process, times: int, error: BaseException, *, yields: bool) -> Spin:
    """Reads of a stream that has failed, and raises that *error* each time, or attempts to write more."""
    did = f"went on {times:,} times in a row, {_at(process)}, with a stream that has failed ({type(error).__name__}),"
    return _told(process, did, "An error of its connection is its end, and is raised again each time", yields)


def _at(process: Process) -> str:
    return f"at {process.scheduler.clock.now_ns / 1e9:.6f} s"


def _told(process: Process, did: str, why: str, yields: bool) -> Spin:
    others = "" if yields else ", and nothing else of its event loop goes on"
    return Spin(
        f"{process.name} {did} and did nothing else: on a kernel this loop takes a whole processor{others}. {why}: stop there."
    )
