"""A run is a function of test, plan and seed: another process with another hash seed leaves the same digest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import simnet

pytestmark = pytest.mark.slow  # interpreters of their own

DEMO = Path(simnet.__file__).parent / "demo"

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from simnet.faults.plan import FaultPlan
from simnet.faults.rates import FaultRates
from simnet.run import play
from test_tutorial_server import test_every_line_comes_back as tutorial
from test_corrected_server import test_every_line_comes_back as corrected

PLANS = [
    "",
    "would-block server:7 accept call=1",
    "partial-send test->server:7#1 end=server call=1 bytes=3",
    "reset test->server:7#1 end=server byte=7; split test->server:7#1 end=server byte=3",
    "stall test->server:7#1 end=client byte=3 seconds=61.0; schedule=random:4; seed=9",
]
print("str hash", hash("simnet"), file=sys.stderr)
for test in (tutorial, corrected):
    for plan in PLANS:
        run = play(test.simnet_test, FaultPlan.parse(plan), target="server")
        print("run", run.digest, run.outcome)
    for seed in range(5):
        run = play(test.simnet_test, target="server", rates=FaultRates.even(0.2, seed=seed), seed=seed)
        print("run", run.digest, run.outcome, run.happened)
"""


def run_with(hash_seed: str, folder: Path) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(DEMO)],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hashes = [line for line in done.stderr.splitlines() if line.startswith("str hash")]
    # The server's own log is left out: it prints addresses of objects.
    return [line for line in done.stdout.splitlines() if line.startswith("run ")], hashes[0]


def test_the_digest_is_the_same_in_another_process_with_another_hash_seed(tmp_path: Path) -> None:
    one, hash_one = run_with("1", tmp_path)
    other, hash_other = run_with("2", tmp_path)
    assert hash_one != hash_other, "the two processes do hash differently"
    assert len(one) == 20
    assert len({line.split()[1] for line in one}) > 10, "different plans leave different digests"
    assert one == other
