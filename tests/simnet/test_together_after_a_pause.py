"""What is written a while after something else arrives together with it, where the first was lost and came again: neither is an answer to anything."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from simnet.explore.options import SweepOptions
from simnet.explore.points import families
from simnet.explore.sweep import run_sweep
from simnet.run import play
from tests.quality.found import only


def serve(port: int, keeps: bool) -> None:
    """It answers each line but ``ack``; who does not *keep* what came behind a line has lost it."""
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        rest = b""
        while True:
            while b"\n" not in rest:
                more = connection.recv(100)
                if not more:
                    return
                rest += more
            line, _, behind = rest.partition(b"\n")
            rest = behind if keeps else b""
            if line != b"ack":
                connection.sendall(line.upper() + b"\n")


def said(keeps: bool, pause: float = 0.1) -> Any:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(serve, 7, keeps)
        with socket.create_connection(("server", 7), timeout=30) as sock, sock.makefile("rb") as lines:
            sock.sendall(b"invite\n")
            answers = [lines.readline()]
            sock.sendall(b"ack\n")
            time.sleep(pause)
            sock.sendall(b"bye\n")
            return [*answers, lines.readline()]

    return test


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.1, 5])
def test_who_loses_what_came_with_something_written_long_before_is_found(pause: float) -> None:
    failure = only(run_sweep(said(keeps=False, pause=pause), SweepOptions.of(target="server")))
    (fault,) = failure.plan
    assert (fault.kind, getattr(fault, "byte", None)) == ("stall", 7)
    assert failure.reason == "body-raised"  # it waits for the answer in vain, 30 s long


@pytest.mark.slow
def test_who_keeps_it_passes() -> None:
    assert run_sweep(said(keeps=True), SweepOptions.of(target="server")).ok


def test_a_question_is_not_held_until_the_next_which_waits_for_its_answer() -> None:
    run = play(said(keeps=True), target="server")
    held = [
        (fault.byte, fault.seconds)
        for family in families(run.points, run.targets)
        if family.kind == "stall"
        for fault in map(family.make, range(family.size))
        if fault.seconds not in (0.05, 61.0) and fault.end == "server"
    ]
    assert held == [(7, 0.15)]  # the ack, until 50 ms behind the bye that is written 0.1 s after it
