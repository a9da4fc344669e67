"""What calls that wait make of odd arguments on real sockets: as CPython, text included, and without a wait that nobody ends."""

from __future__ import annotations

import math
import select
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

from simnet import Network
from simnet.realnet import RealNetwork

both = pytest.mark.parametrize("network", [Network, RealNetwork])


def said(call: Callable[[], object]) -> object:
    """What *call* returns, or how it refuses."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # its class and text are compared
        return type(error), str(error)


def in_condition(timeout: Any) -> object:
    condition = threading.Condition()
    with condition:
        return condition.wait(timeout)


CALLS: list[Callable[[], object]] = [
    lambda: select.select([object()], [], [], 0),
    lambda: select.select(5, [], [], 0),  # type: ignore[call-overload]
    *(lambda odd=odd: select.select([], [], [], odd) for odd in (math.nan, math.inf, "x", -1, 1e300)),
    *(lambda odd=odd: select.poll().poll(odd) for odd in (math.nan, math.inf, "x", 1e300)),
    *(lambda odd=odd: select.epoll().poll(odd) for odd in (math.nan, math.inf, "x", 1e300, -0.0005)),
    lambda: select.epoll().poll(0, 0),
    *(lambda odd=odd: in_condition(odd) for odd in (math.nan, -math.inf, "x", 1e300)),
    *(lambda odd=odd: threading.Event().wait(odd) for odd in (math.nan, -math.inf)),
]


@both
def test_time_outs_that_are_none_are_refused_as_cpython_refuses_them(network: Any) -> None:
    outside = [said(call) for call in CALLS]
    with network():
        assert [said(call) for call in CALLS] == outside


@both
def test_a_thread_that_is_started_twice_keeps_nobody_waiting(network: Any) -> None:
    go = threading.Event()

    def serve() -> None:
        thread = threading.Thread(target=go.wait)
        thread.start()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
        go.set()
        thread.join()
        with socket.create_server(("", 7)) as listener:
            listener.accept()

    with network() as net:
        net.host("server").spawn(serve)
        net.host("server").wait_listening(7)


@both
def test_who_selects_for_urgent_data_of_a_connection_that_is_gone_waits_and_does_not_compute(network: Any) -> None:
    def serve() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            assert connection.recv(1) == b"x"
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            select.select([], [], [connection], None)

    with network(invariants={"nothing-left": "off"}) as net:
        net.host("server").spawn(serve)
        sock = socket.create_connection(("server", 7))
        sock.sendall(b"x")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        net.run()
    assert len(net.waiting) == 1
