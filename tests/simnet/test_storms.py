"""A client that tries to connect for ever and never succeeds: without a pause it spins, with one it keeps the test waiting."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet import storms
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.storms.ENTRIES_A_LOOK", 600)
    monkeypatch.setattr("simnet.wait.ENTRIES_A_LOOK", 600)


def _try(pause: float) -> None:
    while True:
        try:
            socket.create_connection(("server", 7), timeout=5).close()
            return
        except OSError:
            if pause:
                time.sleep(pause)


async def _try_with_asyncio(pause: float) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("server", 7)
        except OSError:
            if pause:
                await asyncio.sleep(pause)
        else:
            writer.close()
            return


def _asyncio_client(pause: float) -> None:
    asyncio.run(_try_with_asyncio(pause))


CLIENTS = pytest.mark.parametrize("client", [_try, _asyncio_client])


def _run(client: Callable[..., Any], pause: float, host: str = "client") -> None:
    with simnet.Network() as net:
        net.host("server")
        net.host(host).run(client, pause)


@CLIENTS
def test_who_tries_again_without_a_pause_spins(client: Callable[..., Any]) -> None:
    with pytest.raises(
        simnet.Spin, match=r"client/_\w+ tried to connect \d+ times in a row, until .*, without a pause, and never"
    ):
        _run(client, 0.0)


def test_within_a_host_too_where_no_time_passes() -> None:
    with pytest.raises(
        simnet.Spin, match=r"server/_try tried to connect \d+ times .*: the last to .*, ECONNREFUSED\. On a"
    ):
        _run(_try, 0.0, host="server")


@CLIENTS
def test_the_test_waits_for_ever_for_who_tries_again_and_pauses(client: Callable[..., Any]) -> None:
    with pytest.raises(
        simnet.Deadlock, match=r"client/_\w+ has tried to connect \d+ times .* test waits for the end of client/"
    ):
        _run(client, 1.0)


def test_a_body_that_tries_for_ever_itself_is_told_so() -> None:
    with pytest.raises(simnet.Deadlock, match="test has tried to connect"), simnet.Network() as net:
        net.host("server")
        _try(1.0)


def test_who_waits_with_a_deadline_goes_on_when_it_has_come() -> None:
    with simnet.Network() as net:
        net.host("server")
        client = net.host("client").spawn(_try, 1.0)
        assert not client.join(timeout=300)
        assert net.time == pytest.approx(300, abs=2)


def test_a_server_that_comes_up_later_is_waited_for() -> None:
    def serve_in_two_minutes() -> None:
        time.sleep(120)  # a hundred attempts, of some eight lines each
        with socket.create_server(("", 7)) as listener:
            listener.accept()[0].close()

    with simnet.Network() as net:
        net.host("server").spawn(serve_in_two_minutes)
        net.host("client").run(_try, 1.0)
        assert net.time == pytest.approx(120, abs=2)


def test_attempts_that_succeed_are_no_storm() -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                listener.accept()[0].close()

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        for _ in range(200):
            net.host("client").run(_try, 0.0)
        assert len(net.trace) > 3 * storms.ENTRIES_A_LOOK


@pytest.mark.parametrize(("pause", "failed", "interrupted"), [(0.0, 1, 0), (1.0, 0, 1)])
def test_a_sweep_blames_the_client_for_a_storm_alone(pause: float, failed: int, interrupted: int) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener:
            while True:
                listener.accept()[0].close()

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(serve)
        net.host("client").run(_try, pause)

    options = SweepOptions.of(target="client", kinds=["restart"])
    result = run_sweep(test, options, plan=simnet.FaultPlan.parse("restart server at=0"))
    assert (result.failed, result.interrupted) == (failed, interrupted)
    assert [each.reason for each in result.failures] == ["no-spin"] * failed
