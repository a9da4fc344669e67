"""The public names, used as the documentation uses them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, assert_type

from hypothesis.stateful import rule

import dispatch
import simnet
from simnet import faults
from simnet.explore.result import SweepResult
from simnet.netstat import Netstat


def serve(port: int) -> None:
    """A program under test."""


@simnet.sweep
def test_bare(net: simnet.Network) -> None:
    """The decorator alone."""


@simnet.fixture(params=[1, 2])
def client(net: simnet.Network) -> Iterator[socket.socket]:
    yield net.host("test").socket()


@simnet.fuzz(target="server", seeds=range(100, 200), kinds="split", strict=True)
def fuzzed(net: simnet.Network) -> None:
    net.sleep(1)


@simnet.sweep(target="server", kinds=["reset", faults.Eof], survives="refuse", may_raise=(OSError,), runs=100)
def test_with_options(net: simnet.Network) -> None:
    """The decorator with options."""


@simnet.sweep(kinds=simnet.TRANSPARENT, depth="recovery", invariants={"no-spin": "off"}, per_process="os:environ")
def test_with_more_options(net: simnet.Network) -> None:
    """Those that are written rarely."""


class Clients(simnet.stateful.NetworkMachine):
    """A state machine."""

    moves = ("connect", "send")
    faults = simnet.strategies.fault_plans(["reset"])
    levels: ClassVar[Mapping[str, str]] = {"nothing-left": "off: a pool keeps them"}

    def start(self) -> None:
        self.net.host("server").spawn(serve, 7)

    def answer(self, client: simnet.stateful.Client) -> bytes:
        return client.sent

    @rule(client=simnet.stateful.clients, data=simnet.strategies.payloads())
    def say(self, client: simnet.stateful.Client, data: bytes) -> None:
        client.send(data)
        assert_type(client.receive(), bytes)


def mistakes() -> None:
    """A checker tells them; mypy tells where it does not, too."""
    simnet.sweep(targets="server")  # type: ignore[call-overload]
    simnet.sweep(depth=3)  # type: ignore[call-overload]
    simnet.check(serve, run=5)  # type: ignore[call-arg]


def a_network(plan: simnet.FaultPlan, rates: simnet.FaultRates) -> None:
    """The faces that a test holds."""
    with simnet.Network(plan, rates=rates, target=["server"], invariants={"no-spin": "warning"}) as net:
        assert_type(net, simnet.Network)
        host = net.host("server")
        assert_type(host, simnet.Host)
        process = host.spawn(serve, 7)
        assert_type(process, simnet.Process)
        assert_type(process.join(timeout=1.0), bool)
        assert_type(host.run(len, "seven"), int)
        assert_type(host.run(asyncio.run, asyncio.sleep(1, "late")), str)
        host.spawn(serve, "7")  # type: ignore[arg-type]
        host.spawn(serve)  # type: ignore[call-arg]
        assert_type(net.link("test", "server"), simnet.Link)
        net.link("test", "server").latency = 0.2
        net.run()
        net.run(1.5)
        assert_type(net.time, float)
        assert_type(net.trace, simnet.Trace)
        assert_type(net.happened, simnet.FaultPlan)
        assert_type(net.netstat(), Netstat)
        with host.connect(("server", 7), timeout=1.0) as sock:
            assert_type(sock, simnet.Socket)
            as_the_library_has_it: socket.socket = sock
            assert_type(as_the_library_has_it.recv(1), bytes)
        with net.always():
            pass
        net.observe("reply", b"")


def a_run(test: Callable[[simnet.Network], object]) -> None:
    """Once, and swept."""
    run = simnet.play(test, simnet.FaultPlan.parse("refuse *->*:*#1"), seed=1)
    assert_type(run, simnet.Run)
    assert_type(run.digest, str)
    assert_type(run.happened, simnet.FaultPlan)
    result = simnet.check(test, target="server")
    assert_type(result, SweepResult)
    assert_type(result.runs, int)
    assert_type(result.summary(), str)


def a_plan() -> None:
    """Values."""
    fault = faults.WouldBlock(on="server:7", op="accept", call=1)
    plan = simnet.FaultPlan((fault,)) + faults.Split(on="client->server:7#1", end="server", byte=5)
    assert_type(plan, simnet.FaultPlan)
    assert_type(simnet.FaultPlan([fault]), simnet.FaultPlan)  # as its repr writes it
    assert_type(plan.faults, tuple[faults.Fault, ...])
    assert_type(str(plan), str)
    assert_type(plan[0], faults.Fault)
    assert_type(simnet.TRANSPARENT, tuple[str, ...])
    assert_type(simnet.FaultRates.even(0.1, seed=3), simnet.FaultRates)
    assert_type(simnet.Scenario.of("test_x.py::test_x", plan).dumps(), str)


class Echo(dispatch.Stream):
    """A handler, typed."""

    def handle_data(self, data: bytes) -> None:
        """Back it goes."""
        assert_type(self.write(data), bool)

    def handle_close(self, reason: BaseException | None) -> None:
        """The end."""


class Lines(dispatch.Chat):
    """Messages."""

    terminator = b"\r\n"
    idle_timeout = 60

    def handle_message(self, data: bytes) -> None:
        """One line."""
        self.set_terminator(5)


def a_loop() -> None:
    """The loop and what it serves."""
    with dispatch.Loop() as loop:
        listener = dispatch.Listener(("", 7), Echo, loop=loop, limit=10)
        assert_type(listener, dispatch.Listener)
        timer = loop.call_later(0.5, print, "late")
        timer.cancel()
        assert_type(dispatch.current_loop(), dispatch.Loop)
        client: Any = Echo(loop=loop)
        client.connect(("localhost", 7))
        loop.run()
