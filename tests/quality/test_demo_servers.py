"""The demo's two servers on a real kernel: both work when all goes well; what breaks the one, the other survives.

Here a person broke the tutorial's server by hand, knowing where to push. The tool has to find the same places alone.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import simnet
from tests.conftest import PATIENCE, RESET

pytestmark = pytest.mark.slow  # each is a few sweeps

DEMO = Path(simnet.__file__).parent / "demo"
LINES = [b"hello\n", b"a line longer than what the server takes in one read\n", b"bye\n"]

IMPORT_LINES = [
    pytest.param("from dispatch import asyncore", id="dispatch"),
    pytest.param(
        "import asyncore",
        id="stdlib",
        marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python 3.12 has no asyncore"),
    ),
]

Start = Callable[[str], tuple["subprocess.Popen[str]", int]]


@pytest.fixture(params=IMPORT_LINES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """``start("corrected")`` runs that server in a process of its own and says where it listens."""
    running: list[tuple[subprocess.Popen[str], threading.Timer]] = []

    def run(name: str) -> tuple[subprocess.Popen[str], int]:
        source = (DEMO / f"{name}_server.py").read_text(encoding="utf-8")
        assert source.count("from dispatch import asyncore") == 1
        program = tmp_path / f"{name}_server.py"
        program.write_text(source.replace("from dispatch import asyncore", request.param), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-u", "-W", "ignore::DeprecationWarning", program, "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        last_resort = threading.Timer(4 * PATIENCE, process.kill)  # then whoever waits for its words reads the end
        last_resort.start()
        running.append((process, last_resort))
        return process, int(says(process, "listening on").rsplit(":", 1)[1])

    yield run
    for process, last_resort in running:
        last_resort.cancel()
        process.kill()
        process.communicate()


def says(process: subprocess.Popen[str], *words: str) -> str:
    """The next line of its log that contains one of *words*."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if any(word in line for word in words):
            return line
    raise AssertionError(f"never said {words}: {''.join(lines)}")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def echo(port: int) -> bytes:
    """What comes back of LINES when the client reads all replies before it hangs up."""
    with connect(port) as sock:
        for line in LINES:
            sock.sendall(line)
        with sock.makefile("rb") as stream:
            replies = stream.read(len(b"".join(LINES)))
            sock.shutdown(socket.SHUT_WR)
            return replies + stream.read()


@pytest.mark.parametrize("name", ["tutorial", "corrected"])
def test_every_line_comes_back_when_all_goes_well(start: Start, name: str) -> None:
    _, port = start(name)
    assert echo(port) == b"".join(LINES)
    assert echo(port) == b"".join(LINES)


@pytest.mark.parametrize(("name", "comes_back"), [("tutorial", False), ("corrected", True)])
def test_an_end_that_arrives_with_the_last_line(start: Start, name: str, comes_back: bool) -> None:
    process, port = start(name)
    process.send_signal(signal.SIGSTOP)  # so that line and end are both there when the server looks
    with connect(port) as sock:
        sock.sendall(LINES[0])
        sock.shutdown(socket.SHUT_WR)
        process.send_signal(signal.SIGCONT)
        with sock.makefile("rb") as stream:
            assert (stream.read() == LINES[0]) is comes_back


@pytest.mark.parametrize(("name", "still_serves"), [("tutorial", False), ("corrected", True)])
def test_a_client_that_resets_before_it_is_accepted(start: Start, name: str, still_serves: bool) -> None:
    process, port = start(name)
    process.send_signal(signal.SIGSTOP)
    with connect(port) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    process.send_signal(signal.SIGCONT)
    says(process, " connected", "TypeError")
    if still_serves:
        assert echo(port) == b"".join(LINES)
    else:
        with pytest.raises((ConnectionRefusedError, ConnectionResetError)):
            echo(port)


def test_an_urgent_byte_does_not_keep_the_corrected_server_busy(start: Start) -> None:
    process, port = start("corrected")
    with connect(port) as sock:
        sock.sendall(LINES[0])
        assert sock.recv(64) == LINES[0]
        sock.send(b"!", socket.MSG_OOB)  # last, for bytes read after it would clear it
        deadline = time.monotonic() + PATIENCE
        while "R" in (states := {state(process.pid) for _ in range(20)}):
            assert time.monotonic() < deadline, f"the server never rests: {states}"
    assert echo(port) == b"".join(LINES)


def state(pid: int) -> str:
    """``R`` running, ``S`` sleeping (man 5 proc), a moment from now."""
    time.sleep(0.001)
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
