"""Of a long series of like points a sweep tries the first, the last and some between, and says so."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet import faults
from simnet.explore import options
from simnet.explore.options import RUNS_DEFAULT, SweepOptions
from simnet.explore.points import families, select
from simnet.explore.result import SweepResult
from simnet.explore.series import closer_and_closer, pick, sort_of
from simnet.explore.sweep import run_sweep
from simnet.points.reading import CallPoint, Points, StreamPoint

CLIENTS = 150
LINES = 150_000  # instead of ten times as many, which take ten seconds


def test_what_is_between_comes_ever_closer() -> None:
    assert list(closer_and_closer(9)) == [0, 8, 1, 4, 2, 6, 3, 5, 7]
    assert list(closer_and_closer(1)) == [0]
    assert list(closer_and_closer(2)) == [0, 1]


@given(st.integers(0, 200))
def test_each_comes_once(size: int) -> None:
    assert sorted(closer_and_closer(size)) == list(range(size))


@given(st.lists(st.sampled_from("abcde"), max_size=60), st.integers(0, 70))
def test_no_sort_has_two_before_each_has_one(sorts: list[str], share: int) -> None:
    chosen = pick(sorts, share)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(share, len(sorts))
    if share >= len(set(sorts)):
        assert {sorts[n] for n in chosen} == set(sorts)
    assert pick(sorts, share) == chosen


def test_connections_of_one_listener_are_alike_and_the_first_calls_of_each_are_not() -> None:
    def cut(connection: int, call: int, size: int = 1) -> faults.ShortRecv:
        return faults.ShortRecv(on=f"test->server:7#{connection}", end="server", call=call, bytes=size)

    assert sort_of(cut(1, 1)) == sort_of(cut(200, 1))
    assert sort_of(cut(1, 1)) != sort_of(cut(1, 2))
    assert sort_of(cut(1, 300)) == sort_of(cut(2, 400)) != sort_of(cut(2, 600))
    assert sort_of(cut(1, 1, 1)) != sort_of(cut(1, 1, 7))
    assert sort_of(faults.Refuse(on="client3->server:7#1")) == sort_of(faults.Refuse(on="client14->server:7#2"))
    assert sort_of(faults.Refuse(on="client3->server:7#1")) != sort_of(faults.Refuse(on="client3->server:8#1"))


def hundreds() -> Points:
    """What a server does for hundreds of clients: a recv and a send for each, and bytes both ways."""
    points = Points()
    for n in range(1, 401):
        place = f"test->server:7#{n}"
        points.calls += [
            CallPoint(place, "server", op, 1, "server", True, False, 14, "ok", False) for op in ("recv", "send")
        ]
        points.streams += [StreamPoint(place, end, 14, (0, 14), True) for end in ("client", "server")]
    return points


@pytest.mark.slow
def test_where_there_are_too_many_calls_the_edges_have_their_part() -> None:
    selection = select(families(hundreds(), ("server",)), 300)
    assert len(selection.faults) == len(set(selection.faults)) == 300
    kinds = {fault.kind for fault in selection.faults}
    assert {"short-recv", "partial-send", "would-block", "reset", "error", "split", "eof", "stall"} <= kinds
    reads = [fault for fault in selection.faults if isinstance(fault, faults.ShortRecv)]
    assert {fault.bytes for fault in reads} == {1, 7, 13}
    assert {"test->server:7#1", "test->server:7#2", "test->server:7#400"} <= {fault.on for fault in reads}


@pytest.mark.slow
def test_a_small_budget_grows_until_there_is_one_of_each_sort_but_not_for_ever() -> None:
    found = families(hundreds(), ("server",), ["error", "short-recv", "split"])
    sorts = {sort_of(fault) for fault in select(found, 1_000_000).faults if fault.kind != "split"}
    selection = select(found, len(sorts), of_each_sort=True)
    assert {sort_of(fault) for fault in selection.faults if fault.kind != "split"} == sorts
    assert any(fault.kind == "split" for fault in selection.faults)
    assert len(selection.faults) == 2 * len(sorts)
    assert len(select(found, 3, of_each_sort=True).faults) == 9
    assert len(select(found, 3).faults) == 3


def serve(port: int, mistake: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            with suppress(OSError), listener.accept()[0] as sock:
                text = sock.recv(100)
                if mistake and not text.endswith(b"\n"):
                    raise ValueError(text)
                more = text
                while more and not text.endswith(b"\n"):
                    text += (more := sock.recv(100))
                sock.sendall(text.upper())


def sweep(mistake: int, **options: Any) -> SweepResult:
    def test(net: Any) -> list[bytes]:
        net.host("server").spawn(serve, 7, mistake)
        heard = []
        for n in range(CLIENTS):
            with suppress(OSError), socket.create_connection(("server", 7)) as sock:
                sock.sendall(b"%d\n" % n)
                heard.append(sock.makefile("rb").readline())
        return heard

    return run_sweep(test, SweepOptions.of(target="server", **options))


@pytest.mark.slow
def test_a_long_test_is_swept_in_fewer_runs_which_find_what_all_would_and_the_summary_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "LINES_DEFAULT", LINES)
    result = sweep(1)
    assert [failure.reason for failure in result.failures] == ["target-raised"]
    assert {"short-recv", "split"} <= set(result.failures[0].kinds)
    lines = len(result.baseline.trace)
    assert LINES // lines <= result.runs < RUNS_DEFAULT < result.planned
    assert f"since a run has {lines:,} lines" in result.summary()
    assert "runs=2000 tries more" in result.summary()


@pytest.mark.slow
def test_who_says_how_many_gets_so_many() -> None:
    result = sweep(0, runs=20)
    assert result.ok
    assert result.runs == 20
    assert "lines" not in result.summary()
