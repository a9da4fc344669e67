"""Two faults in one run: what no single one finds, how far a budget reaches, and that the second stands behind the first."""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest

import simnet
from simnet.explore import in_full
from simnet.explore.options import SweepOptions
from simnet.explore.pairs import PAIRS
from simnet.explore.sweep import run_sweep
from simnet.faces.commands.sweeping import kinds_table
from simnet.faces.screen import Screen
from tests.simnet.servers import echo


def patient_once(port: int) -> None:
    """An echo server that takes EAGAIN once, and takes a second one for a bug."""
    with socket.create_server(("", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                surprises = 0
                while select.select([connection], [], []):
                    try:
                        connection.setblocking(False)
                        data = connection.recv(100)
                        if not data:
                            break
                        connection.setblocking(True)
                        connection.sendall(data)
                    except BlockingIOError:
                        surprises += 1
                        if surprises > 1:
                            raise RuntimeError("surprised twice") from None
                    except OSError:
                        break


def talk_to(serve: Any) -> Any:
    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve, 7)
        with socket.create_connection(("server", 7)) as client:
            for word in (b"hello", b"again"):
                client.sendall(word)
                assert client.recv(100)

    return test


KINDS = ["would-block", "short-recv", "eof"]


@pytest.mark.slow
def test_a_pair_finds_what_no_single_fault_does() -> None:
    single = run_sweep(talk_to(patient_once), SweepOptions.of(target="server", kinds="would-block"))
    assert single.ok
    both = run_sweep(talk_to(patient_once), SweepOptions.of(target="server", kinds="would-block", depth=2))
    (failure,) = both.failures
    assert str(failure.error) == "surprised twice"
    assert [fault.kind for fault in failure.plan] == ["would-block", "would-block"]
    assert failure.kinds == {"two faults": failure.count}
    (report,) = both.reports()
    assert len(report.network) == 2


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 10, 60, 5_000])
def test_pairs_get_what_the_single_faults_leave_of_the_budget(runs: int) -> None:
    options = SweepOptions.of(target="server", kinds=KINDS, depth=2, runs=runs)
    result = run_sweep(talk_to(echo), options)
    singles = run_sweep(talk_to(echo), options.but(depth=1))
    row = result.kinds[-1]
    assert row.kind == "two faults"
    assert result.runs == min(runs, singles.runs + row.variants) or row.runs < row.variants
    assert result.runs <= runs
    assert row.runs == max(0, result.runs - singles.runs)
    assert result.planned == singles.planned + row.variants
    assert f"{row.runs:,} of {row.variants:,} pairs after {row.points:,} of" in result.budget_line
    again = run_sweep(talk_to(echo), options)
    assert (again.equal, again.interrupted, again.unreached) == (result.equal, result.interrupted, result.unreached)


def listened_to(monkeypatch: pytest.MonkeyPatch) -> list[simnet.FaultPlan]:
    """The plans that sweeps play from now on."""
    plans: list[simnet.FaultPlan] = []
    judged = in_full.judged

    def noted(test: Any, plan: simnet.FaultPlan, *rest: Any, **options: Any) -> Any:
        plans.append(plan)
        return judged(test, plan, *rest, **options)

    monkeypatch.setattr(in_full, "judged", noted)
    return plans


@pytest.mark.slow
def test_no_pair_comes_twice_and_the_second_stands_behind_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = listened_to(monkeypatch)
    run_sweep(talk_to(echo), SweepOptions.of(target="server", kinds=KINDS, depth=2, runs=5_000))
    pairs = [plan for plan in plans if len(plan) == 2]
    assert len({frozenset(map(str, plan)) for plan in pairs}) == len(pairs) > 100
    assert all(plan[0].anchor != plan[1].anchor for plan in pairs)
    calls = [plan for plan in pairs if all(fault.anchor.op == "recv" for fault in plan)]
    assert calls
    assert all(plan[0].anchor.number < plan[1].anchor.number for plan in calls)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, "recovery"])
def test_a_budget_for_all_of_them_tries_each_pair_once(depth: int | str) -> None:
    options = SweepOptions.of(target="server", kinds=["short-recv", "would-block", "split"], runs=20_000, depth=depth)
    result = run_sweep(talk_to(echo), options)
    (row,) = (each for each in result.kinds if each.kind == PAIRS)
    assert row.runs == row.variants > 10
    assert result.runs == result.planned < 20_000


def test_recovery_looks_only_where_the_first_fault_has_made_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = listened_to(monkeypatch)
    run_sweep(talk_to(echo), SweepOptions.of(target="server", kinds=["short-recv"], depth="recovery"))
    single = {str(plan[0]) for plan in plans if len(plan) == 1}
    seconds = {str(plan[1]) for plan in plans if len(plan) == 2}
    assert seconds
    assert not seconds & single


@pytest.mark.slow
def test_a_sweep_with_a_row_of_pairs_has_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    kinds_table(Screen(), run_sweep(talk_to(echo), SweepOptions.of(target="server", kinds=KINDS, depth=2)))
    assert "two faults" in capsys.readouterr().out
