"""What calls that wait make of odd arguments on real sockets: as CPython, text included, and without a wait that nobody ends."""

from __future__ import annotations

import fcntl
import math
import os
import select
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from simnet import Network, real
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


INTO: dict[str, Callable[[socket.socket, bytearray], object]] = {
    "recv_into": lambda sock, buffer: sock.recv_into(buffer),
    "recv_into-counting": lambda sock, buffer: sock.recv_into(buffer, 0, socket.MSG_TRUNC),
    "recvfrom_into": lambda sock, buffer: sock.recvfrom_into(buffer),
    "recvmsg_into": lambda sock, buffer: sock.recvmsg_into([buffer]),
    "readv": lambda sock, buffer: os.readv(sock.fileno(), [buffer]),
    "send": lambda sock, buffer: [sock.send(buffer) for _ in range(1000)],
    "sendall": lambda sock, buffer: [sock.sendall(buffer) for _ in range(1000)],
    "sendmsg": lambda sock, buffer: [sock.sendmsg([buffer]) for _ in range(1000)],
    "write": lambda sock, buffer: [os.write(sock.fileno(), buffer) for _ in range(1000)],
}


@both
@pytest.mark.parametrize("call", INTO.values(), ids=INTO)
def test_a_buffer_is_its_programs_again_where_the_call_has_failed(
    network: Any, call: Callable[[socket.socket, bytearray], object]
) -> None:
    with network():
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            buffer = bytearray(1 << 16)
            try:
                call(one, buffer)
            except BlockingIOError:
                buffer.extend(b"more")  # BufferError, if the traceback held it
            else:
                pytest.fail("it was to be told that it would have to wait")


@both
def test_what_cannot_be_received_into_is_refused_before_anything_is_received(network: Any) -> None:
    with network():
        one, other = socket.socketpair()
        with one, other:
            other.sendall(b"kept")
            with pytest.raises(TypeError, match="read-write bytes-like object"):
                one.recv_into(b"fixed")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="read-write buffers"):
                one.recvmsg_into([b"fixed"])
            assert one.recv(9) == b"kept"


def test_the_kernels_socket_waits_for_nobody_while_its_time_out_is_set() -> None:
    """Another thread of its program, in a call just then, would be where nobody can end it."""
    seen: list[bool] = []
    with RealNetwork():
        one, other = socket.socketpair()
        with one, other:
            fd = one.fileno()
            sys.setprofile(lambda frame, event, called: seen.append(not real.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK))
            for timeout in (None, 3.0, 0.0):
                one.settimeout(timeout)
            one.setblocking(True)
            sys.setprofile(None)
    assert len(seen) > 10
    assert not any(seen)
