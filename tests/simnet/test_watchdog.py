"""The thread that watches over runs stays when they are over, and is in nobody's way."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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
