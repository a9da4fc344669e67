"""The same plan, the same failure: what the simulator finds in a real handler, a kernel shows too."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from typing import Any

import pytest

from simnet import play
from simnet.blame import user_place
from simnet.demo import corrected_server, tutorial_server
from simnet.explore.verdict import judge
from simnet.faults.plan import FaultPlan
from simnet.realnet import CONFIRMED, INJECTED, RealRun, play_real
from simnet.run import Run

pytestmark = pytest.mark.slow  # each case takes threads or a pytest of its own

LINES = [b"hello\n", b"a line longer than what the server takes in one read\n", b"bye\n"]


def conversation(server: Any) -> Any:
    def test(net: Any) -> None:
        net.host("server").spawn(server.serve, 7)
        with socket.create_connection(("server", 7)) as sock:
            for line in LINES:
                sock.sendall(line)
            time.sleep(0.05)
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == b"".join(LINES)

    return test


@pytest.fixture(scope="module", params=[tutorial_server, corrected_server], ids=["tutorial", "corrected"])
def worlds(request: pytest.FixtureRequest) -> tuple[Any, Run, RealRun]:
    """A test of the server, and its run without faults in both worlds."""
    logging.getLogger("echo").setLevel(logging.CRITICAL)
    test = conversation(request.param)
    return test, play(test, target="server"), play_real(test, target="server")


@pytest.mark.parametrize(
    ("plan", "kernel"),
    [
        ("would-block server:7 op=accept call=1", INJECTED),
        ("error server:7 op=accept call=1 errno=EMFILE", INJECTED),
        ("partial-send test->server:7#1 end=server call=1 bytes=2", INJECTED),
        ("reset-before-accept server:7 call=1", CONFIRMED),
        ("reset test->server:7#1 end=server byte=20", CONFIRMED),
        ("reset test->server:7#1 end=server op=getpeername call=1", CONFIRMED),
        ("stall test->server:7#1 end=server byte=20 seconds=0.2", CONFIRMED),
        ("eof test->server:7#1 end=server byte=20", CONFIRMED),
        ("urgent test->server:7#1 end=server byte=20", CONFIRMED),
        ("refuse test->server:7#1", CONFIRMED),
    ],
)
def test_both_worlds_come_to_the_same_verdict(
    worlds: tuple[Any, Run, RealRun], plan: str, kernel: str, capsys: pytest.CaptureFixture[str]
) -> None:
    test, simulated, real = worlds
    faults = FaultPlan.parse(plan)
    here = judge(simulated, play(test, faults, target="server"))
    run = play_real(test, faults, target="server")
    there = judge(real, run)
    assert (there.status, there.key) == (here.status, here.key)
    assert run.kernel == kernel
    assert run.happened == faults


def test_both_baselines_are_alike(worlds: tuple[Any, Run, RealRun]) -> None:
    _, simulated, real = worlds
    assert real.outcome == simulated.outcome
    assert real.alive == simulated.alive == ("server/serve",)
    assert real.listening == simulated.listening == ("server:7",)
    assert real.targets == simulated.targets == ("server",)
    assert {point.op for point in real.points.calls} == {point.op for point in simulated.points.calls}
    lengths = [{(each.place, each.end): each.length for each in run.points.streams} for run in (simulated, real)]
    assert lengths[0] == lengths[1]


def test_what_a_loop_cannot_watch_any_more_fails_in_the_same_file() -> None:
    """As a library does that tells its loop to watch a socket it has closed: on a real loop the selector has frames of its own."""

    async def watch_what_is_closed() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            number = sock.fileno()
        loop.call_soon(loop.add_writer, number, print)
        await asyncio.sleep(0.01)

    def test(net: Any) -> None:
        net.host("client").run(asyncio.run, watch_what_is_closed())

    told = [run.handler_errors[0].error for run in (play(test), play_real(test))]
    assert [type(each).__name__ for each in told] == ["OSError", "OSError"]
    assert [os.path.basename(user_place(each).path) for each in told] == ["selector_events.py"] * 2
