"""A plan on this machine's own sockets: what the kernel had to do with it, and whether it is the failure on record."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from simnet.expect import Expect, Found
from simnet.explore.options import SweepOptions
from simnet.explore.replay import OnRecord, replay
from simnet.explore.replay_real import replay_real
from simnet.faults.plan import FaultPlan
from tests.simnet.faces_samples import SERVERS

pytestmark = pytest.mark.slow  # real sockets and real time

OPTIONS = SweepOptions.of(target="server")
FOUND = Found(by="sweep", failure="KeyError at servers.py:25")

servers: dict[str, Any] = {}
exec(compile(SERVERS, "servers.py", "exec"), servers)


def talk(net: Any) -> None:
    net.host("server").spawn(servers["hasty"], 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"good day"


@pytest.mark.parametrize(
    ("plan", "verdict"),
    [
        ("split test->server:7#1 end=server byte=2", "confirmed on the kernel: the same failure"),
        ("stall test->server:7#1 end=server byte=2 seconds=0.05", "confirmed on the kernel: the same failure"),
        (
            "short-recv test->server:7#1 end=server call=1 bytes=2",
            "real sockets, injected result: the same failure",
        ),
        (
            "split test->server:7#1 end=client byte=2",
            "real sockets: another failure, AssertionError at test_replay_real.py:30",
        ),
        ("refuse test->server:7#1", "real sockets: no failure there (interrupted)"),
        ("split test->server:7#1 end=server byte=77", "real sockets: not reached there"),
    ],
)
def test_the_verdict_says_who_did_it_and_whether_it_is_the_same(plan: str, verdict: str) -> None:
    played = replay_real(talk, FaultPlan.parse(plan), options=OPTIONS, record=OnRecord(found=FOUND))
    assert played.kernel == verdict
    assert played.line == verdict
    if played.report is not None:
        assert f"kernel    {verdict}" in str(played.report)


def test_a_report_of_real_sockets_says_how_to_run_it_there() -> None:
    plan = FaultPlan.parse("split test->server:7#1 end=server byte=2")
    record = OnRecord(found=FOUND, test_id="test_talk.py::test_talk")
    commands = dict(replay_real(talk, plan, options=OPTIONS, record=record).report.commands)  # type: ignore[union-attr]
    assert commands["run it"].startswith(f'pytest test_talk.py::test_talk --simnet-fault "{plan}" --simnet-real ')


@pytest.mark.parametrize("line", ["stall test->server:7#1 end=server byte=0 seconds=0.01", "refuse test->server:7#1"])
def test_what_fails_there_without_faults_is_not_confirmed(line: str) -> None:
    def on_simnet_alone(net: Any) -> None:
        talk(net)
        assert net.host("server").address.startswith("10.")

    played = replay_real(on_simnet_alone, FaultPlan.parse(line), options=OPTIONS)
    assert played.kernel == "real sockets: fails without faults"
    assert (played.expected, played.says_nothing) == (False, True)
    assert "the test fails on real sockets without any fault, AssertionError at test_replay_real.py" in played.why


def test_what_is_not_there_on_real_sockets_is_not_said_to_be_fixed() -> None:
    known = Expect(error="KeyError", reason="#123")
    played = replay_real(
        talk, FaultPlan.parse("refuse test->server:7#1"), options=OPTIONS, record=OnRecord(known, FOUND)
    )
    assert (played.word, played.expected) == ("fixed", False)
    assert "expected was KeyError (#123); the run is interrupted" in played.why
    assert "without --real says whether it is fixed" in played.why
    assert "write expect" not in played.why


def test_a_deadline_beyond_the_bound_of_a_run_is_told_as_a_run_that_did_not_end() -> None:
    def answers_to_what_is_whole() -> None:
        with socket.create_server(("", 7)) as listener:
            conn, _ = listener.accept()
            with conn:
                while word := conn.recv(100):
                    if word == b"hello":
                        conn.sendall(b"good day")

    def patient(net: Any) -> None:
        net.host("server").spawn(answers_to_what_is_whole)
        with socket.create_connection(("server", 7), timeout=100) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100)

    plan = FaultPlan.parse("short-recv test->server:7#1 end=server call=1 bytes=2")
    found = Found(by="sweep", failure="TimeoutError at x.py:1")
    played = replay_real(patient, plan, options=OPTIONS, record=OnRecord(found=found), seconds=2)
    assert played.kernel.startswith("real sockets: not ended there when its time was up, Hang at "), played.kernel


def test_the_same_plan_fails_alike_on_simnet_and_on_the_kernel() -> None:
    plan = FaultPlan.parse("split test->server:7#1 end=server byte=2")
    simulated = replay(talk, plan, options=OPTIONS)
    real = replay_real(talk, plan, options=OPTIONS)
    assert simulated.judgement.key == real.judgement.key
    assert str(simulated.error) == str(real.error) == "b'he'"


def test_without_a_plan_the_test_alone_is_run_on_real_sockets() -> None:
    played = replay_real(talk, None, options=OPTIONS)
    assert played.kernel == "real sockets: no failure there (equal)"
    assert played.expected


def test_a_plan_that_no_kernel_can_show_is_refused_by_name() -> None:
    plan = FaultPlan.parse("blackhole test->server:7#1 end=server byte=2")
    with pytest.raises(ValueError, match="a real kernel cannot be made to show 'blackhole'"):
        replay_real(talk, plan, options=OPTIONS)
