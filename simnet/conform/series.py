"""A series of random programs, compared with the kernel one after another.

The last look at a program's sockets is put off until eight more programs have run: by then everything late has
arrived, and no time was spent sleeping.
"""

from __future__ import annotations

import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from simnet import real
from simnet.conform.compare import compare, confirm, difference_of
from simnet.conform.kernel import Difference, Run, settings
from simnet.conform.known import explain
from simnet.conform.moves import random_program
from simnet.conform.predict import predict
from simnet.conform.program import Program
from simnet.conform.report import Report

__all__ = ["NoKernel", "run"]

PUT_OFF = 8  # programs between the last step of one and the last look at it
TIME_WAITS_MAX = 40_000  # sockets; Linux keeps each for 60 s, and at 131,072 begins to behave differently (K-029)
FRESH = 0.1  # seconds: by twice that, data held back with MSG_MORE is let go, and by ten times a SYN is repeated
SHOWN_OF_A_KIND = 1  # divergences shrunk for each kind; shrinking takes seconds, a second example adds little

Progress = Callable[[Report], None]


class NoKernel(RuntimeError):
    """This machine has no kernel to compare with."""


def run(programs: int, seed: int = 0, progress: Progress | None = None, *, first: int = 0) -> Report:
    """Compare *programs* random programs, from number *first* of *seed* on. *progress* is told after each.

    Each program is a function of *seed* and its number alone, so a report's seeds can be run again one by one. Ctrl-C ends
    the series with what was found so far.

    Raises:
        NoKernel: this machine has no Linux kernel, or no IPv6 on its loopback, to compare with.
    """
    _check_machine()
    report = Report(seed=seed, first=first)
    series = _Series(report)
    began = real.monotonic()
    try:
        for number in range(first, first + programs):
            series.one(f"{seed}/{number}")
            report.programs += 1
            report.seconds = real.monotonic() - began
            if progress is not None:
                progress(report)
            if number % 500 == 499:
                _rest_while_busy()
        series.finish()
    except KeyboardInterrupt:
        report.stopped = True
        series.finish()  # those that have run are counted, and not run again by whoever goes on from there
    finally:
        series.abandon()
    report.seconds = real.monotonic() - began
    return report


def _check_machine() -> None:
    if sys.platform != "linux":
        raise NoKernel(f"simnet imitates Linux: there is nothing to compare it with on {sys.platform}")
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        raise NoKernel(
            f"the programs use ::1, which this machine does not have ({error}); as root: "
            "sysctl net.ipv6.conf.lo.disable_ipv6=0"
        ) from error


class _Series:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._settings = settings(report.seed)
        self._waiting: deque[tuple[str, Program, Run]] = deque()

    def one(self, seed: str) -> None:
        report = self._report
        program = random_program(seed)
        setting = next(self._settings)
        prediction = predict(program, setting)
        report.steps += len(prediction.seen)
        report.coverage.update(prediction.states)
        if prediction.not_modelled is not None:
            report.not_modelled[prediction.not_modelled] += 1
        found = difference_of(prediction)
        if found is None:
            kernel = Run(prediction, setting)
            found = kernel.go()
            if found is None:
                self._waiting.append((seed, program, kernel))
            else:
                kernel.close()
        if found is not None:
            self._judge(seed, program, found)
        if len(self._waiting) > PUT_OFF:
            self._look(*self._waiting.popleft())

    def finish(self) -> None:
        while self._waiting:
            self._look(*self._waiting.popleft())

    def abandon(self) -> None:
        """Close what still waits for its last look."""
        while self._waiting:
            self._waiting.popleft()[2].close()

    def _look(self, seed: str, program: Program, kernel: Run) -> None:
        try:
            self._look_again(seed, program, kernel)
        except KeyboardInterrupt:
            self._report.cut_short.append(seed)
            kernel.close()
            raise

    def _look_again(self, seed: str, program: Program, kernel: Run) -> None:
        found = kernel.look_again()
        if found is not None and real.monotonic() - kernel.ended > FRESH:
            found = compare(program, next(self._settings))
        if found is None:
            self._report.agreed += 1
        else:
            self._judge(seed, program, found)

    def _judge(self, seed: str, program: Program, found: Difference) -> None:
        report = self._report
        kind = " ".join(found.signature[:2])
        if (
            sum(divergence.difference.signature == found.signature for divergence in report.divergences)
            >= SHOWN_OF_A_KIND
        ):
            report.again[kind] += 1
            return
        self.finish()  # confirming takes seconds, and what is held back with MSG_MORE is let go after 0.2 s
        divergence = confirm(seed, program, found, self._settings)
        if divergence is None:
            report.unsteady.append((seed, found))
            return
        known = explain(divergence.program, divergence.difference)
        if known is not None:
            report.known[known.what] += 1
        elif any(other.difference.signature == divergence.difference.signature for other in report.divergences):
            report.again[kind] += 1
        else:
            report.divergences.append(divergence)


def _rest_while_busy() -> None:
    """Wait while this machine has many sockets in TIME_WAIT, ours or others'."""
    for _ in range(60):
        if _time_waits() < TIME_WAITS_MAX:
            return
        real.sleep(1.0)


def _time_waits() -> int:
    try:
        words = Path("/proc/net/sockstat").read_text().split()
        return int(words[words.index("tw") + 1])
    except (OSError, ValueError):
        return 0
