"""The same plan, the same failure: what the simulator finds in a real handler, a kernel shows too."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import sys
import threading
import time
from typing import Any

import pytest

from simnet import play
from simnet.blame import user_place
from simnet.demo import corrected_server, tutorial_server
from simnet.explore.judging.deadlines import elapsed
from simnet.explore.judging.verdict import judge
from simnet.faults.plan import FaultPlan
from simnet.realnet import CONFIRMED, INJECTED, RealNetwork, RealRun, play_real
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


def talk(conn: socket.socket) -> None:
    with conn:
        conn.sendall(conn.recv(4, socket.MSG_WAITALL).decode("ascii").upper().encode() * int(conn.recv(1)))


def serve_in_threads(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()


def ask_twice(net: Any) -> list[bytes]:
    net.host("server").spawn(serve_in_threads, 7)
    answers = []
    for _ in range(2):
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"ring2")
            answers.append(sock.makefile("rb").read())
    return answers


def test_an_exception_that_ends_a_thread_of_a_target_is_a_failure_in_both_worlds() -> None:
    plan = FaultPlan.parse("eof test->server:7#2 end=server byte=4")  # int(b"") in the second thread
    worlds = [
        judge(each(ask_twice, target="server"), each(ask_twice, plan, target="server")) for each in (play, play_real)
    ]
    assert [(each.status, each.key) for each in worlds] == [(worlds[0].status, worlds[0].key)] * 2
    assert worlds[0].status == "failure"
    run = play_real(ask_twice, plan, target="server")
    assert [(each.process, each.host, type(each.error)) for each in run.failures] == [
        ("server/talk#2", "server", ValueError)
    ]
    with pytest.raises(ValueError, match="invalid literal for int") as told, RealNetwork(plan) as net:
        ask_twice(net)
    assert f"it ended the process server/talk#2 under the plan: {plan}" in told.value.__notes__


def test_a_program_that_has_a_hook_for_its_threads_is_told_of_what_ends_one(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: heard.append(arguments.exc_type))
    for each in (play, play_real):
        assert not each(ask_twice, "eof test->server:7#1 end=server byte=4", target="server").failures
    assert heard == [ValueError, ValueError]


def test_a_thread_that_leaves_by_exit_has_ended_as_it_would() -> None:
    def leave(net: Any) -> None:
        thread = threading.Thread(target=sys.exit, args=("enough",))
        thread.start()
        thread.join()

    for each in (play, play_real):
        assert not each(leave).failures


def test_a_time_out_counts_as_long_as_it_was_to_be_however_late_it_began() -> None:
    """The first run takes its time to come to it, as modules are loaded then, and the next one's is no shorter for that."""

    def test(net: Any) -> None:
        begin = time.monotonic()
        while time.monotonic() < begin + 0.03:
            pass
        time.sleep(0.05)

    (slept,) = elapsed(play_real(test, FaultPlan()))
    assert slept.waited_ns <= 50_000_000


@pytest.mark.parametrize("plan", ["", "stall test->server:7#1 end=client byte=0 seconds=0.2"])
@pytest.mark.parametrize("poller", ["poll", "epoll", "select"])
def test_a_poll_that_nothing_came_to_is_a_time_out_also_where_something_is_held_back(plan: str, poller: str) -> None:
    def greet() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            if plan:
                connection.sendall(b"late")
            connection.recv(1)

    def test(net: Any) -> None:
        net.host("server").spawn(greet)
        with socket.create_connection(("server", 7)) as sock:
            if poller == "select":
                assert select.select([sock], [], [], 0.03)[0] == []
            else:
                watch = getattr(select, poller)()
                watch.register(sock, select.POLLIN)
                assert watch.poll(30 if poller == "poll" else 0.03) == []
                getattr(watch, "close", bool)()

    for run in (
        play(test, FaultPlan.parse(plan), target="server"),
        play_real(test, FaultPlan.parse(plan), target="server"),
    ):
        assert run.body_error is None
        assert [each.who[:2] for each in elapsed(run)] == [("test", "readiness of")]
