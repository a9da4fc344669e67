"""The benchmarks run, and name what they measure. How fast it was is for people to read: nothing here is timed."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.house import ROOT

pytestmark = pytest.mark.slow  # processes of their own


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_simulator_is_measured_row_by_row() -> None:
    told = run("benchmarks/simulator.py", "--rounds", "1", "fresh", "sweep", "processes", "1 client", "timer")
    for row in (
        "fresh simulation, sockets alone",
        "fresh simulation, dispatch handler",
        "simulation in a sweep",
        "round trip between processes",
        "round trip, 1 client",
        "... with latency, trace, plan, 1 client",
        "timer",
    ):
        assert any(line.startswith(f"{row} ") for line in told.splitlines()), row


def test_a_turn_is_taken_apart() -> None:
    told = run("benchmarks/turn.py", "--rounds", "1")
    assert "the loop: from the poller to a channel's turn" in told


@pytest.mark.skipif(sys.platform != "linux", reason="its client is a program for Linux")
@pytest.mark.skipif(shutil.which("cc") is None, reason="its client is made by a C compiler")
def test_servers_are_measured_side_by_side() -> None:
    told = run("benchmarks/loops.py", "output", "churn", "--rounds", "1", "--seconds", "0.05")
    assert "calls of the kernel for 16 writes of 64 bytes" in told
    assert "dispatch.Stream" in told
    assert "bare epoll loop" in told
