"""Dice are thrown wherever a run comes to a point at which their kind may act, also where no plan has anything to do."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest

import simnet
from simnet.explore.judging.bystanders import bystander
from simnet.faults.rates import FaultRates
from simnet.run import play


def echo(port: int = 7) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            try:
                with listener.accept()[0] as sock:
                    while data := sock.recv(100):
                        sock.sendall(data)
            except OSError:
                continue


def asks(net: Any) -> bytes:
    net.host("server").spawn(echo)
    with socket.create_connection(("server", 7), timeout=5) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)


def test_bytes_that_the_support_sends_are_split_for_the_target() -> None:
    run = play(asks, rates=FaultRates(split=1.0), target="server")
    assert {fault.anchor.end for fault in run.happened} == {"client", "server"}


@pytest.mark.parametrize(("kind", "told"), [("error", {"error"}), ("reset_before_accept", {"reset-before-accept"})])
def test_what_may_befall_an_accept_does(kind: str, told: set[str]) -> None:
    def waits(net: Any) -> None:
        with net.host("server").listen(7) as listener:
            with socket.create_connection(("server", 7)):
                for _ in range(3):
                    try:
                        listener.accept()[0].close()
                        break
                    except OSError:
                        continue

    run = play(waits, rates=FaultRates(**{kind: 1.0}), target=["server", "test"])
    assert {fault.kind for fault in run.happened if fault.anchor.form == "accept"} == told


def test_nobody_is_a_bystander_of_faults_that_befell_clients_of_two_services() -> None:
    """Nobody can say whose fault it is that a third one is hung up on."""

    def test(net: Any) -> None:
        for port in (7, 8):
            net.host("server").spawn(echo, port)
            for _ in range(2):
                with contextlib.suppress(OSError), socket.create_connection(("server", port), timeout=5) as sock:
                    sock.sendall(b"hello")
                    sock.recv(100)

    baseline = play(test, target="server")
    run = play(test, "; ".join(f"reset test->server:{port}#1 end=server byte=0" for port in (7, 8)), target="server")
    assert len(run.happened) == 2
    assert bystander(baseline, run, tuple(run.happened)) is None


@pytest.mark.slow
def test_a_second_run_that_ends_sooner_is_told_as_one_that_does_nothing_more() -> None:
    rounds = iter((3, 2))

    def test(net: Any) -> None:
        for _ in range(next(rounds)):
            net.sleep(1)

    with pytest.raises(simnet.NotRepeatable, match="nothing more"):
        simnet.check(test)
