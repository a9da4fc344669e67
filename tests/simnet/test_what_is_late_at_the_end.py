"""Five minutes after its test has ended a network is looked at, quiet or not; but what has set out by then arrives first."""

from __future__ import annotations

import socket
import time
from typing import Any

from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


def take(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with listener.accept()[0] as sock:
                while sock.recv(100):
                    pass


def say_something_late() -> None:
    """And at once goes on, so that the test's end is not that of the run."""
    time.sleep(290)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"x")
    time.sleep(3600)


def test_who_reads_what_is_a_minute_late_does_not_wait_for_ever() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(take, 7)
        net.host("client").spawn(say_something_late)

    result = run_sweep(test, SweepOptions.of(target="client", kinds=["stall"]))
    assert result.ok, [report.text() for report in result.reports()]
    assert not result.warnings
