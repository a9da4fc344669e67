"""The thread that watches over runs stays when they are over, and is in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import simnet
from simnet import watchdog

BEHIND_A_RUN = """
import os, signal, simnet

with simnet.Network() as net:
    net.host("client").run(lambda: None)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
assert signal.sigtimedwait([signal.SIGUSR1], 5) is not None
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "sigtimedwait"), reason="signals are not waited for here")
def test_it_takes_no_signal_that_a_program_blocks_and_waits_for() -> None:
    """A kernel gives it to any thread that lets it through; the handler is called, and the wait goes on."""
    ran = subprocess.run([sys.executable, "-c", BEHIND_A_RUN], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr


FORKED = """
import multiprocessing
import simnet
from simnet import watchdog


def compute():
    while True:
        pass


def play(function):
    try:
        with simnet.Network() as net:
            net.host("server").run(function)
    except simnet.Hang as error:
        return str(error)


watchdog.HANG_SECONDS = 0.5
assert play(dict) is None
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply_async(play, (compute,)).get(20))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nobody forks here")
def test_in_a_process_that_was_forked_there_is_another(tmp_path: Path) -> None:
    """As multiprocessing does it: the parent's thread is not there."""
    program = tmp_path / "program.py"
    program.write_text(FORKED, encoding="utf-8")
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout.startswith("server/compute has computed for 0.5 s of real time"), ran.stderr


def compute() -> None:
    while True:
        len("")


def told() -> str:
    with pytest.raises(simnet.Hang) as caught, simnet.Network() as net:
        net.host("server").spawn(compute)
    return str(caught.value)


@pytest.mark.slow
def test_of_many_networks_of_a_test_the_first_alone_is_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """As hypothesis makes them: one for each of its examples, of which it plays a hundred to make one small."""
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 1.5)
    monkeypatch.setattr(watchdog, "AGAIN_SECONDS", 0.25)
    assert told().startswith("server/compute has computed for 1.5 s")
    assert told().startswith("server/compute has computed for 0.25 s")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "test_another.py::test (call)")
    assert told().startswith("server/compute has computed for 1.5 s")
