"""Who asks a network, a host or a process for what it does not have is told what there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.faults.inject import Tag
from simnet.kernel.stack import Stack
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.machine import Machine
from simnet.process import Process
from simnet.socket import Socket
from simnet.wait import Scheduler

worlds = pytest.mark.parametrize("world", [simnet.Network, simnet.RealNetwork])


class OfMine(simnet.Network):
    """A network of a user's own class."""


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda net: net.spawn, r'has no spawn; write net\.host\("server"\)\.spawn'),
        (lambda net: net.crash, r'has no crash; write net\.host\("server"\)\.crash'),
        (lambda net: net.now, "has no now; write net.time"),
        (lambda net: net.server, r"has no server; write net\.host\('server'\)"),
        (lambda net: net.observ, r"has no observ; did you mean 'observe'\?"),
        (lambda net: net.spwan, r'has no spwan; did you mean net\.host\("server"\)\.spawn\?'),
        (lambda net: net.xyz, r"has no xyz$"),
        (lambda net: net.latency, "has no latency; each link between two hosts has its own"),
        (lambda net: net.host("server").start, r"has no start; write host\.spawn\(function, \.\.\.\)"),
        (lambda net: net.host("server").ip, "has no ip; write host.address"),
        (lambda net: process(net).terminate, r"has no terminate; write process\.send_signal\(signal\.SIGTERM\)"),
        (lambda net: process(net).is_alive, "has no is_alive; write not process.done"),
        (lambda net: process(net).exitcode, "has no exitcode; write process.result, or process.error"),
        (lambda net: net.host("server").spwan, r"has no spwan; did you mean 'spawn'\?"),
    ],
)
@worlds
def test_a_name_that_is_not_there_is_told_with_what_is_meant(world: Any, ask: Callable[[Any], Any], told: str) -> None:
    with world() as net:
        net.host("server")
        with pytest.raises(AttributeError, match=told) as caught:
            ask(net)
    assert type(caught.value.obj).__name__.removeprefix("Real") in ("Network", "Host", "Process")


def process(net: Any) -> Any:
    return net.host("server").spawn(int)


@worlds
def test_who_only_looks_whether_a_name_is_there_finds_that_it_is_not(world: Any) -> None:
    with world() as net:
        assert not hasattr(net, "spawn")
        assert getattr(net.host("a"), "ip", None) is None
        assert not hasattr(process(net), "__len__")


def test_a_class_over_network_is_told_the_same() -> None:
    with OfMine() as net, pytest.raises(AttributeError, match=r"a OfMine has no now; write net\.time"):
        net.now  # type: ignore[attr-defined]  # noqa: B018  # what is asked for is the test


def test_what_a_property_raises_is_not_taken_for_a_name_that_is_not_there() -> None:
    with simnet.Network() as net:
        host = net.host("a")
    del net
    with pytest.raises(RuntimeError, match="the network of Host"):
        host.network  # noqa: B018


def test_no_name_that_is_there_is_slower_to_read_for_those_that_are_not() -> None:
    for often_asked in (Process, Machine, Scheduler, Socket, TcpSocket, Stack, Tag):
        assert not hasattr(often_asked, "__getattr__")
