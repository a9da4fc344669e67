"""Errors of a socket at one line are one bug, in a replay as in a sweep, whichever errno comes first."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from simnet.expect import Expect, Found
from simnet.explore.keep import failure_text
from simnet.explore.options import SweepOptions
from simnet.explore.replay import OnRecord, replay
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan

SERVER = SweepOptions.of(target="server", kinds=["reset", "error"])
TIMED_OUT = FaultPlan.parse("error test->server:7#1 end=server recv call=1 errno=ETIMEDOUT")
BROKEN = FaultPlan.parse("reset test->server:7#1 end=server send call=1")


def serve(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                conn.sendall(conn.recv(100))


def conversation(net: Any) -> None:
    net.host("server").spawn(serve, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.recv(100)


def recorded(plan: FaultPlan) -> str:
    failure = replay(conversation, plan, options=SERVER).judgement.failure
    assert failure is not None
    return failure_text(failure)


def test_a_sweep_takes_them_for_one() -> None:
    at = recorded(BROKEN).partition(" at ")[2]
    (one,) = [each for each in run_sweep(conversation, SERVER).failures if each.at == at]
    assert one.kinds.keys() == {"reset", "error"}


@pytest.mark.parametrize(("kept", "now"), [(TIMED_OUT, BROKEN), (BROKEN, TIMED_OUT)])
def test_and_so_does_a_replay(kept: FaultPlan, now: FaultPlan) -> None:
    assert recorded(kept) != recorded(now)
    record = OnRecord(Expect(interrupted=True), Found(by="sweep", failure=recorded(kept)))
    assert replay(conversation, now, options=SERVER, record=record).word == "same failure on another path"


@pytest.mark.parametrize(
    "other",
    ["KeyError at {at}", "BlockingIOError at {at}", "TimeoutError at {at}0", "Unheard at {at}", "another outcome"],
)
def test_what_else_is_on_record_is_another(other: str) -> None:
    at = recorded(BROKEN).partition(" at ")[2]
    record = OnRecord(Expect(interrupted=True), Found(by="sweep", failure=other.format(at=at)))
    assert replay(conversation, BROKEN, options=SERVER, record=record).word == "another failure"
