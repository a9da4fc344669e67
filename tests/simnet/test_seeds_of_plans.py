"""A plan that has a seed, or a schedule, is played under that, beside the run without faults that has them too."""

from __future__ import annotations

import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet.cli import main
from simnet.explore.options import SweepOptions
from simnet.explore.replay import OnRecord, replay
from simnet.explore.sweep import run_sweep
from simnet.faults.plan import FaultPlan
from simnet.run import play
from tests.simnet.faces_samples import forget_modules, lay_out

SPLIT = "split test->server:7#1 end=server byte=2"

DICE = """
import random
import simnet
from servers import hasty
from test_servers import talk

@simnet.sweep(target="server", kinds=("short-recv",), seed=5)
def test_dice(net):
    number = random.randrange(1000)
    net.observe("number", number)
    net.host("server").spawn(hasty, 7)
    assert (number, talk(b"hello")) == (number, b"good day")
"""


def answer(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn:
                while data := conn.recv(100):
                    conn.sendall(data)


def dice(net: Any) -> int:
    net.host("server").spawn(answer, 7)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"hello"
    return random.randrange(1_000_000)


def race(net: Any) -> str:
    """Who comes first is decided by the schedule."""
    came: list[str] = []

    def come(name: str) -> None:
        time.sleep(0.01)
        came.append(name)

    net.host("server").spawn(answer, 7)
    for name in "abcdef":
        net.host(name).spawn(come, name)
    net.sleep(1)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello")
        sock.recv(100)
    return "".join(came)


@pytest.mark.parametrize(("test", "setting"), [(dice, "seed=4"), (race, "schedule=random:3")])
def test_one_plan_is_compared_with_the_run_of_its_seed_and_schedule(test: Any, setting: str) -> None:
    plan = f"{SPLIT}; {setting}"
    assert play(test, f"no faults; {setting}").outcome != play(test).outcome, "else this shows nothing"
    result = simnet.check(test, target="server", plan=plan)
    assert result.equal == 1


def test_another_schedule_leaves_nothing_behind() -> None:
    def fails(net: Any) -> str:
        order = race(net)
        assert not net.happened
        return order

    result = run_sweep(fails, SweepOptions.of(target="server"), plan=FaultPlan.parse(f"{SPLIT}; schedule=random:3"))
    assert len(result.failures) == 1
    assert [each.name for each in result.warnings if each.name == "state-stays"] == []


def test_the_seed_of_a_plan_counts_more_than_that_of_the_test() -> None:
    options = SweepOptions.of(target="server", seed=5)
    plan = FaultPlan.parse(f"{SPLIT}; seed=4")
    of_four = play(dice, plan, target="server")
    assert run_sweep(dice, options, plan=plan).baseline.outcome == of_four.outcome
    played = replay(dice, plan, options=options, record=OnRecord())
    assert (played.baseline.outcome, played.digest) == (of_four.outcome, of_four.digest)


@pytest.mark.slow
def test_what_a_sweep_with_another_seed_has_found_is_played_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    (tmp_path / "test_dice.py").write_text(DICE)
    assert main(["sweep", "test_dice.py", "--seed", "3"]) == 1
    (file,) = tmp_path.glob(".simnet/failures/test_dice/*.toml")
    assert "seed = 3\n" in file.read_text()
    capsys.readouterr()
    assert main(["replay", str(file)]) == 1
    assert "replay: exact" in capsys.readouterr().out
    assert main(["shrink", str(file)]) == 0
    forget_modules("servers", "test_servers", "test_dice")


@pytest.mark.slow
def test_a_plan_of_the_command_line_brings_its_seed_to_a_marked_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_marked="import pytest\n\n@pytest.mark.simnet(seed=5)\ndef test_it(simnet_network):\n    assert simnet_network.seed == 4\n"
    )
    fault = "pause server at=0.1 seconds=0.1"
    options = ("-p", "no:cacheprovider", "--simnet-fault")
    pytester.runpytest_inprocess(*options, f"{fault}; seed=4").assert_outcomes(passed=1)
    pytester.runpytest_inprocess(*options, fault).stdout.fnmatch_lines(["E*assert 5 == 4"])
