"""What a plan does to hosts and links at a time: played, swept, kept, told, and refused where it cannot be."""

from __future__ import annotations

import datetime as dt
import gc
import os
import socket
import stat
import time
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet import FaultPlan, faults
from simnet.explore.nearest import unreached_texts
from simnet.explore.points import families
from simnet.explore.replay import replay
from simnet.explore.report.ladder import ladder
from simnet.scenario import Scenario
from tests.simnet.servers import echo


def ask() -> list[bytes | str]:
    """A word a second, for five seconds; what came back, or how it ended."""
    got: list[bytes | str] = []
    try:
        with socket.create_connection(("server", 7), timeout=20) as sock:
            for number in range(5):
                sock.sendall(b"%d" % number)
                got.append(sock.recv(10))
                time.sleep(1)
    except OSError as error:
        got.append(type(error).__name__)
    return got


def talk(net: simnet.Network) -> Any:
    net.host("server").spawn(echo, 7)
    return net.host("client").run(ask)


def wait_for_ever(net: simnet.Network) -> None:
    """A client without a time-out: a server that falls silent keeps it for ever."""
    net.host("server").spawn(echo, 7)

    def client() -> None:
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.recv(10)

    net.host("client").run(client)


PLANS = [
    ("crash server at=1.5", [b"0", b"1", "TimeoutError"]),
    ("crash server at=1.5; restart server at=3", [b"0", b"1", "ConnectionResetError"]),
    ("restart server at=1.5", [b"0", b"1", "ConnectionResetError"]),
    ("crash server at=0", ["TimeoutError"]),
    ("restart server at=0", ["ConnectionRefusedError"]),
    ("crash client at=1.5", None),
    ("crash * at=1.5", None),
]


@pytest.mark.parametrize("schedule", ["fifo", "random:3", "pct:4"])
def test_a_crash_is_silence_and_a_restart_knows_nothing(schedule: str) -> None:
    for line, outcome in PLANS:
        run = simnet.play(talk, f"{line}; schedule={schedule}")
        assert run.outcome.returned == outcome, line
        assert (run.verdicts, run.failures, run.unreached) == ([], [], ()), line
        again = simnet.play(talk, run.happened)
        assert (again.digest, again.outcome) == (run.digest, run.outcome), line


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("partition client<->server at=1.5 seconds=2", [b"0", b"1", b"2", b"3", b"4"]),  # it is repeated
        ("partition client->server at=1.5 seconds=100", [b"0", b"1", "TimeoutError"]),
        ("partition server->client at=1.5 seconds=100", [b"0", b"1", "TimeoutError"]),
        ("partition *<->* at=0 seconds=1", [b"0", b"1", b"2", b"3", b"4"]),
    ],
)
def test_a_partition_lets_nothing_through_for_a_while(line: str, outcome: list[Any]) -> None:
    usual, run = simnet.play(talk), simnet.play(talk, line)
    assert (run.outcome.returned, run.verdicts, run.unreached) == (outcome, [], ())
    assert run.time_ns > usual.time_ns
    assert simnet.play(talk, run.happened).digest == run.digest
    assert "\u26a1 partition " in ladder(run.trace, whole=True)


def test_a_partition_by_hand_outlasts_one_of_the_plan() -> None:
    def body(net: simnet.Network) -> Any:
        net.host("server").spawn(echo, 7)
        net.partition("client", "server", one_way=True)
        process = net.host("client").spawn(ask)
        net.sleep(10)
        net.heal()
        process.join()
        return process.result

    run = simnet.play(body, "partition client<->server at=0.5 seconds=1")
    assert (run.outcome.returned, run.unreached) == ([b"0", b"1", b"2", b"3", b"4"], ())
    assert run.time_ns > 14e9


def test_a_star_is_every_host_but_the_bodys() -> None:
    happened = simnet.play(talk, "crash * at=1.5").happened
    assert str(happened) == "crash server at=1.5; crash client at=1.5"


def test_the_body_cannot_be_crashed_and_the_reason_is_told() -> None:
    for line in ("crash test at=1", "restart test at=1"):
        with pytest.raises(ValueError, match="on='test' is the host of the test's own body, which must go on"):
            FaultPlan.parse(line)


def test_a_process_that_is_about_to_wake_in_that_instant_does_not() -> None:
    woke: list[float] = []

    def body(net: simnet.Network) -> None:
        def sleeper() -> None:
            time.sleep(2)
            woke.append(time.monotonic())

        net.host("server").spawn(sleeper)
        net.sleep(3)

    for schedule in ("fifo", "random:1", "random:2", "pct:1"):
        simnet.play(body, f"crash server at=2; schedule={schedule}")
        assert (schedule, woke) == (schedule, [])


def test_who_polls_without_waiting_is_crashed_too() -> None:
    import select

    def body(net: simnet.Network) -> None:
        def busy() -> None:
            poll = select.poll()
            while True:
                poll.poll(0)
                time.sleep(0.001)

        process = net.host("server").spawn(busy)
        assert process.join(5)

    run = simnet.play(body, "crash server at=1")
    assert (run.outcome.raised, run.verdicts) == (None, [])


def test_a_time_that_never_comes_is_told_with_when_it_ended() -> None:
    for line, told in (
        ("crash server at=100", "crash server at=100 was never reached: the last thing that happened was at 5.013 s"),
        ("crash other at=1", "crash other at=1 was never reached: this run has the hosts server, client"),
        (
            "partition a<->b at=1 seconds=1",
            "partition a<->b at=1 seconds=1 was never reached: this run has the hosts server, client",
        ),
        ("crash server at=1; crash server at=2", "crash server at=2 was never reached: server had no power then"),
    ):
        run = simnet.play(talk, line)
        (text,) = unreached_texts(run.unreached, run.points, run.targets)
        assert text == told


@pytest.mark.slow
def test_a_sweep_tries_them_where_they_are_named_and_nowhere_else() -> None:
    baseline = simnet.play(talk, target="client")
    unasked = {family.kind for family in families(baseline.points, baseline.targets)}
    assert not unasked & {"crash", "restart", "partition"}
    (family,) = families(baseline.points, baseline.targets, ["crash"])
    made = [family.make(index) for index in range(family.size)]
    assert {fault.on for fault in made} == {"server", "client"}
    assert made[0] == faults.Crash(on="server", at=0.0)
    result = simnet.check(talk, target="client", kinds=["crash", "restart"])
    assert (result.runs, result.unreached, result.failed) == (2 * family.size, 0, 0)
    result = simnet.check(talk, target="client", kinds="partition")
    assert (result.runs, result.unreached, result.failed) == (2 * family.size, 0, 0)


@pytest.mark.slow
def test_what_a_crash_took_is_no_failure_of_it_and_who_waits_for_it_for_ever_is_told() -> None:
    result = simnet.check(wait_for_ever, target=["client", "server"], kinds="crash")
    assert [warned.name for warned in result.warnings] == ["waits-for-ever"] * 2  # each of the other
    assert result.failed == 0
    with pytest.raises(BaseException, match="waits-for-ever") as failed:
        simnet.check(wait_for_ever, target="client", kinds="crash", invariants={"waits-for-ever": "failure"})
    told = "".join([str(failed.value), *getattr(failed.value, "__notes__", [])])
    assert "when server crashes at 0.003 s" in told or "server crashed at 0.003 s" in told


def test_the_ladder_has_one_row_for_each() -> None:
    run = simnet.play(talk, "crash server at=1.5; restart server at=3")
    rows = [row for row in ladder(run.trace, whole=True).splitlines() if "\u26a1" in row]
    assert [" ".join(row.split()) for row in rows] == ["1.500 the power is cut \u26a1", "3.000 comes up again \u26a1"]


def test_a_kept_one_is_played_again(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "test_it.py").write_text("def test_it(net): ...")
    file = tmp_path / "scenarios" / "outage.toml"
    file.parent.mkdir()
    plan = FaultPlan.parse("crash server at=1.5; restart server at=3")
    Scenario.of("test_it.py::test_it", plan, title="an outage").write(file)
    assert Scenario.read(file).plan == plan
    played = replay(talk, Scenario.read(file).plan)
    assert (played.word, played.judgement.status) == ("no failure", "noted")


def test_real_sockets_refuse_them_by_name() -> None:
    for line in ("crash server at=1", "restart server at=1"):
        with pytest.raises(ValueError, match=line.partition(" ")[0]):
            simnet.RealNetwork(line)


@pytest.mark.slow
def test_nothing_of_them_is_left_to_the_collector() -> None:
    def schedulers() -> int:
        return sum(type(each).__name__ == "Scheduler" for each in gc.get_objects())

    gc.collect()
    before = schedulers()
    gc.disable()
    try:
        for line in (
            "crash server at=1.5; restart server at=3",
            "crash server at=100",
            "crash server at=1; schedule=random:1",
        ):
            simnet.play(talk, line)
        assert schedulers() <= before  # one of an earlier test may have gone meanwhile
    finally:
        gc.enable()


@pytest.mark.parametrize("schedule", ["fifo", "random:3", "pct:4"])
@pytest.mark.parametrize(
    ("line", "when"),
    [
        ("pause server at=1.5 seconds=0.001", [0, 1, 2, 3, 4]),
        ("pause server at=1.5 seconds=3", [0, 1, 4, 5, 6]),
        ("pause server at=1.5 seconds=1; pause server at=1.6 seconds=3; pause * at=1.7 seconds=1", [0, 1, 4, 5, 6]),
        ("pause server at=0 seconds=2", [2, 3, 4, 5, 6]),
    ],
)
def test_a_host_that_stands_still_answers_when_it_goes_on(line: str, when: list[int], schedule: str) -> None:
    def body(net: simnet.Network) -> list[int]:
        net.host("server").spawn(echo, 7)
        answered = []
        with socket.create_connection(("server", 7)) as client:
            for _ in when:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                answered.append(int(time.monotonic()))
                net.sleep(1)
        return answered

    run = simnet.play(body, f"{line}; schedule={schedule}")
    assert (run.outcome.returned, run.verdicts, run.failures, run.unreached) == (when, [], [], ())
    again = simnet.play(body, run.happened)
    assert (again.digest, again.outcome) == (run.digest, run.outcome)


def test_time_outs_that_pass_while_a_host_stands_still_are_noticed_afterwards() -> None:
    woke = {}

    def sleeper(name: str, seconds: float) -> None:
        time.sleep(seconds)
        woke[name] = time.monotonic()

    def body(net: simnet.Network) -> None:
        server = net.host("server")
        server.spawn(sleeper, "before", 1)
        server.spawn(sleeper, "meanwhile", 3)
        server.spawn(sleeper, "after", 30)
        net.sleep(2)
        server.pause(10)
        server.spawn(sleeper, "born late", 1)
        net.sleep(40)

    assert simnet.play(body).verdicts == []
    assert woke == {"before": 1, "meanwhile": 12, "born late": 13, "after": 30}


def test_the_kernel_of_a_host_that_stands_still_accepts_and_acknowledges() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        process = server.spawn(echo, 7)
        server.pause(5)
        with socket.create_connection(("server", 7), timeout=1) as client:
            client.sendall(b"x")
            assert time.monotonic() < 0.01
            client.settimeout(10)
            assert client.recv(1) == b"x"
            assert 5 <= time.monotonic() < 5.01
        assert not process.done


def test_a_wall_clock_jumps_and_the_other_one_does_not() -> None:
    def clocks() -> tuple[float, float, int]:
        return time.time() - 1_600_000_000, time.monotonic(), dt.datetime.now(dt.UTC).year

    def body(net: simnet.Network) -> Any:
        net.host("server")
        net.sleep(2)
        there = net.host("server").run(clocks)
        net.host("server").set_clock(0.5)
        return there, net.host("server").run(clocks), clocks()

    run = simnet.play(body, "clock-jump server at=1 seconds=-3600; clock-jump test at=1 seconds=31536000")
    there, later, here = run.outcome.returned
    assert (there, later, here) == ((-3598, 2, 2020), (-3597.5, 2, 2020), (31536002, 2, 2021))
    assert run.unreached == ()
    assert simnet.play(body, run.happened).digest == run.digest
    assert ladder(run.trace, whole=True).count("its wall clock is set") == 3


def test_who_runs_on_a_host_does_not_pause_it_and_what_is_no_time_is_refused() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        with pytest.raises(
            RuntimeError, match="server/pause runs on server: a host is made to stand still from another"
        ):
            server.run(server.pause, 1)
        with pytest.raises(ValueError, match="on='test' is the host of the test's own body"):
            net.host("test").pause(1)
        with pytest.raises(ValueError, match="too short"):
            server.pause(0)
        with pytest.raises(ValueError, match="is no jump"):
            server.set_clock(0)
        with pytest.raises(TypeError, match="it is a number of seconds"):
            server.set_clock("1")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_sweep_that_names_them_lets_hosts_stand_still_and_clocks_jump() -> None:
    result = simnet.check(talk, target="server", kinds=["pause", "clock-jump"])
    assert (result.failed, result.unreached) == (0, 0)
    assert {row.kind: row.points > 5 for row in result.kinds} == {"pause": True, "clock-jump": True}


def ask_once(net: simnet.Network) -> None:
    """A server that looks once more, when all others have ended."""

    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            sock, _ = listener.accept()
            sock.close()
            time.sleep(30)

    net.host("server").spawn(serve)
    socket.create_connection(("server", 7)).close()


def test_a_sweep_tries_nothing_at_a_time_at_which_the_run_is_over() -> None:
    result = simnet.check(ask_once, target="server", kinds=["crash", "pause", "clock-jump", "partition"])
    assert (result.failed, result.unreached) == (0, 0)


def test_what_happens_behind_a_fault_at_a_time_may_look_at_files() -> None:
    """Python 3.13 imports a module when dice are first seeded by a text, as those of a link are."""
    found: list[bool] = []
    with simnet.Network("pause server at=0.01 seconds=0.05") as net:
        net.host("server")
        net._clock.at(20_000_000, lambda _: found.append("." in os.listdir("/") or stat.S_ISDIR(os.stat("/").st_mode)))
        time.sleep(0.03)
    assert found == [True]
