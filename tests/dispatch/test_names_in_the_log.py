"""A name that cannot be told costs a line of the log its name, and the loop nothing."""

from __future__ import annotations

import socket

import pytest

import dispatch
from tests.dispatch.conftest import Recorder

UNTOLD = "whose __repr__ fails with LookupError>"


class Nameless(Recorder):
    """Its name comes with its first message, say."""

    def __repr__(self):
        raise LookupError("no name yet")


def failing(*args, **options):
    raise ValueError("on purpose")


class Call:
    """A function that has a name of no kind."""

    def __call__(self, *args, **options):
        failing()

    def __repr__(self):
        raise LookupError("no name yet")


@pytest.mark.parametrize("handler", ["handle_data", "handle_eof", "handle_close", "handle_error"])
def test_a_handler_that_fails_costs_its_channel_only_though_that_has_no_name(world, caplog, handler):
    loop = world.loop()
    failed = type("Failed", (Nameless,), {handler: failing})
    if handler == "handle_error":
        failed.handle_data = failing
    channel, client = world.connected(loop, failed)
    other, others_client = world.connected(loop, Recorder)
    client.send(b"x")
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)
    others_client.send(b"y")
    world.run(loop, lambda: other.data)

    assert f"Failed, {UNTOLD}" in caplog.text
    assert "ValueError: on purpose" in caplog.text


@pytest.mark.parametrize("ask", ["call_soon", "call_every"])
def test_a_call_that_fails_costs_nobody_the_loop_though_it_has_no_name(world, caplog, ask):
    loop, seen = world.loop(), []
    timer = loop.call_soon(Call()) if ask == "call_soon" else loop.call_every(0.001, Call())
    loop.call_later(0.02, seen.append, "still here")
    world.run(loop, lambda: seen)
    timer.cancel()

    assert f"Call, {UNTOLD}" in caplog.text


def test_a_call_that_outlives_its_channel_is_told_of_though_that_has_no_name(world, caplog):
    class Ticking(Nameless):
        def tick(self):
            pass

    loop = world.loop()
    channel, _client = world.connected(loop, Ticking)
    timer = loop.call_every(0.001, channel.tick)
    channel.abort()
    world.run(loop, lambda: "Ticking.tick" in caplog.text)
    timer.cancel()


def test_a_connect_that_fails_is_told_of_though_its_stream_has_no_name(world, caplog):
    class Silent(dispatch.Stream):
        def __repr__(self):
            raise LookupError("no name yet")

    loop = world.loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    stream = Silent(loop=loop)
    stream.connect(address)
    world.run(loop, lambda: stream.closed)

    assert f"Silent, {UNTOLD} could not connect" in caplog.text


def test_a_handler_without_a_name_costs_a_listener_its_connection_only(kernel_world, caplog):
    loop = kernel_world.loop()
    listener = kernel_world.listen(loop, Call())
    client = kernel_world.connect(listener.addr)
    kernel_world.run(loop, lambda: "on purpose" in caplog.text)
    kernel_world.turn(loop, 1)

    assert not listener.closed
    assert client.recv(1) == b""
    assert f"Call, {UNTOLD}" in caplog.text


def test_what_is_dropped_and_what_is_slow_is_told_of_though_its_channel_has_no_name(world, caplog):
    class Deaf(dispatch.Stream):
        def __repr__(self):
            raise LookupError("no name yet")

    loop = world.loop(debug=True)
    loop._watch.slow = -1
    channel, client = world.connected(loop, Deaf)
    client.send(b"x")
    world.run(loop, lambda: channel.bytes_received)

    assert f"Deaf, {UNTOLD}: 1 bytes are dropped" in caplog.text
    assert f"Deaf, {UNTOLD} took" in caplog.text
