"""What hypothesis gives as explanation of a failure are lines of the test and of the program, not simnet's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import socket
import simnet
from hypothesis import given, settings, strategies as st

def serve(port):
    with socket.create_server(("", port)) as listener:
        conn, _ = listener.accept()
        with conn:
            conn.sendall(conn.recv(100))

@settings(deadline=None, database=None, derandomize=True)
@given(plan=simnet.strategies.fault_plans(["short-recv"]), n=st.integers(0, 9))
def holds(plan, n):
    with simnet.Network(plan) as net:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            got = sock.recv(100)
            if got != b"hello":
                print("cut")
            assert got == b"hello"

try:
    holds()
except Exception as error:
    print(*error.__notes__, sep="\\n")
"""


@pytest.mark.slow
def test_an_explanation_of_hypothesis_has_the_programs_lines_and_none_of_simnet(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    told = done.stdout.partition("Explanation:")[2]
    assert "program.py:22" in told, done.stdout + done.stderr
    assert "simnet/" not in told
    assert "more with settings.verbosity" not in told
