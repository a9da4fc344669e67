"""What an observer is told, by both faces."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import dispatch
import simnet
from dispatch import asyncore
from dispatch.loop import observers
from tests.dispatch.conftest import Recorder


def test_the_list_is_the_loops():
    import dispatch.observers as room

    assert observers is room.observers


def test_a_stream_is_told_from_its_opening_to_its_close(world, log):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    client.send(b"x")
    client.close()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert log.of(channel) == [
        ("opened",),
        ("event", "handle_data"),
        ("handled", "handle_data"),
        ("event", "handle_eof"),
        ("closed", None),
        ("handled", "handle_eof"),
        ("event", "handle_close"),
        ("handled", "handle_close"),
    ]
    assert ("turn", loop, 1) in log.lines


def test_an_exception_is_told_before_handle_error_whoever_overrides_that(world, log):
    loop = world.loop()

    class Failing(Recorder):
        def handle_data(self, data):
            raise ValueError("x")

        def handle_error(self, error):
            self.events.append(log.of(self, "raised")[0][2] is error)

    channel, client = world.connected(loop, Failing)
    client.send(b"x")
    world.run(loop, lambda: channel.events)

    assert channel.events == [True]
    ((_, name, error),) = log.of(channel, "raised")
    assert name == "handle_data"
    assert isinstance(error, ValueError)


def test_a_failing_call_is_told_with_the_loop(world, log):
    loop = world.loop()
    loop.call_soon(lambda: 1 / 0)
    loop.run()

    ((_, name, error),) = log.of(loop, "raised")
    assert "lambda" in name
    assert isinstance(error, ZeroDivisionError)


def test_the_drop_in_tells_the_same(world, log):
    loop_map = {}
    seen = {}

    class Handler(asyncore.dispatcher):
        def handle_read(self):
            if self.recv(100) == b"fail":
                raise ValueError("asked for")

        def writable(self):
            return False

        def handle_error(self):
            self.close()

        def handle_close(self):
            self.close()

    class Server(asyncore.dispatcher):
        def __init__(self):
            asyncore.dispatcher.__init__(self, map=loop_map)
            self.create_socket()
            self.bind(("127.0.0.1", 0))
            self.listen(5)

        def handle_accepted(self, sock, addr):
            seen["handler"] = Handler(sock, loop_map)

    server = Server()
    client = world.connect(server.socket.getsockname())
    client.send(b"fail")
    for _ in range(5):
        asyncore.loop(0.01, map=loop_map, count=1)
    handler = seen["handler"]
    asyncore.close_all(loop_map)

    kinds = log.of(handler)
    assert kinds[:2] == [("opened",), ("event", "handle_read")]
    assert kinds[2][:2] == ("raised", "handle_read")
    assert kinds[3][0] == "closed"
    assert isinstance(kinds[3][1], ValueError)
    assert len(kinds) == 4
    assert ("event", "handle_accept") in log.of(server)
    assert log.of(server)[-1][0] == "closed"


def test_a_failing_accept_handler_is_told_by_its_own_name(kernel_world, log):
    loop_map = {}

    class Server(asyncore.dispatcher):
        def handle_accept(self):
            _conn, _addr = None

    server = Server(map=loop_map)
    server.create_socket()
    server.bind(("127.0.0.1", 0))
    server.listen(5)
    server.ignore_log_types = ("error", "warning")
    kernel_world.connect(server.socket.getsockname())
    asyncore.loop(0.01, map=loop_map, count=2)

    ((_, name, error),) = log.of(server, "raised")
    assert name == "handle_accept"
    assert isinstance(error, TypeError)
    assert loop_map == {}


def test_nobody_is_asked_when_nobody_watches(kernel_world):
    assert observers == []
    loop = kernel_world.loop()
    channel, client = kernel_world.connected(loop, dispatch.Stream)
    client.send(b"x")
    kernel_world.run(loop, lambda: channel.bytes_received)


def test_whatever_stands_in_a_map_of_the_interpreters_asyncore_is_served_while_simnet_looks_on() -> None:
    interpreters = pytest.importorskip("asyncore", reason="gone from Python 3.12")

    class Bare:
        __slots__ = ("sock",)

        def __init__(self, sock: Any) -> None:
            self.sock = sock

        def readable(self) -> bool:
            return True

        def writable(self) -> bool:
            return False

        def handle_read_event(self) -> None:
            raise interpreters.ExitNow(self.sock.recv(1))

    with simnet.Network():
        one, other = socket.socketpair()
        for poll in (interpreters.poll, interpreters.poll2):
            one.send(b"x")
            with pytest.raises(interpreters.ExitNow):
                poll(1, {other.fileno(): Bare(other)})
        one.close()
        other.close()
