"""The end of a loop: every channel is told, signals are given back, whatever has happened to either meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading

import pytest

import dispatch
from tests.dispatch.conftest import Recorder

posix = pytest.mark.skipif(os.name != "posix", reason="signals are sent with os.kill")


class Quiet(Recorder):
    background = True


class Aside(dispatch.Listener):
    background = True


@pytest.mark.parametrize("deadline", [0, 0.01])
def test_channels_in_the_background_are_closed_with_their_loop(world, deadline):
    loop = world.loop()
    channel, client = world.connected(loop, Quiet)
    listener = Aside(("127.0.0.1", 0), Recorder, loop=loop)
    loop.close(deadline)

    assert listener.closed
    assert channel.events in ([("close", dispatch.Aborted)], [("close", None)])
    assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        world.connect(listener.addr)


def test_what_channels_in_the_background_have_written_is_sent_before_the_end(world):
    loop = world.loop()
    channel, client = world.connected(loop, Quiet)
    channel.write(b"x" * 20_000_000)
    loop.run_once(0)
    assert channel.queued

    got = []
    client.setblocking(False)

    def read():
        try:
            while data := client.recv(1 << 20):
                got.append(len(data))
        except BlockingIOError:
            pass
        loop.call_later(0.001, read)

    loop.call_soon(read)
    loop.close(5)
    client.setblocking(True)
    while data := client.recv(1 << 20):
        got.append(len(data))

    assert channel.events == ["full", ("close", None)]
    assert sum(got) == 20_000_000


def test_a_loop_that_ends_lets_nobody_in_by_a_listener_in_the_background(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)
    listener = Aside(("127.0.0.1", 0), Recorder, loop=loop)
    channel.write(b"x" * 20_000_000)  # nobody reads it, so the end takes its time
    loop.call_soon(loop.close, 0.05)
    loop.call_soon(lambda: channel.events.append(listener.closed))
    loop.run()

    assert True in channel.events


def test_a_connect_in_the_background_does_not_keep_the_loop(world):
    loop = world.loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel = Quiet(loop=loop)
        channel.connect(listener.getsockname())
        loop.run()
        assert channel.connecting
        world.run(loop, lambda: channel.connected)
        loop.run()
        assert channel.connected


@pytest.mark.parametrize("deadline", [0, 0.05])
def test_a_client_that_connects_again_and_again_does_not_keep_a_loop_that_ends(world, deadline):
    loop = world.loop()

    everybody = []

    class Faithful(Recorder):
        def handle_close(self, reason):
            connect()

        def handle_error(self, error):
            assert isinstance(error, RuntimeError)  # at last: the loop is closed

    def connect():
        everybody.append(Faithful(loop=loop))
        everybody[-1].connect(listener.addr)

    listener = world.listen(world.loop(), Recorder)
    connect()
    loop.call_soon(loop.close, deadline)
    late = []
    loop.call_later(2, lambda: late.append(loop.stop()))
    loop.run()

    assert loop.closed
    assert not late, "it had to be stopped"
    assert not loop.channels
    assert all(each.closed for each in everybody)


@pytest.mark.parametrize("deadline", [0, 0.02])
@pytest.mark.parametrize("verb", ["close", "abort"])
def test_a_close_of_a_programs_own_that_fails_stops_no_end_of_a_loop(world, caplog, verb, deadline):
    loop = world.loop()

    def fails(self, reason=None):
        raise ZeroDivisionError

    failing, _ = world.connected(loop, type("Failing", (Recorder,), {verb: fails}))
    channel, client = world.connected(loop, Recorder)
    loop.call_soon(loop.close, deadline)
    loop.run()

    assert loop.closed
    assert failing.closed
    assert channel.closed
    assert client.recv(1) == b""


@pytest.mark.parametrize("deadline", [0, 0.02])
@pytest.mark.parametrize("where", ["readable", "handle_drained"])
def test_who_is_asked_before_a_turn_may_close_the_loop(world, where, deadline):
    loop = world.loop()

    class Asked(dispatch.Dispatcher):
        def readable(self):
            loop.close(deadline)
            return True

    class Drained(Recorder):
        def handle_drained(self):
            loop.close(deadline)

    channel, _ = world.connected(loop, Drained)
    if where == "readable":
        Asked(channel.socket.dup(), loop=loop)
    else:
        channel.write(b"x" * 70_000)
    assert loop.run_once(0) == 0

    assert loop.closed
    assert channel.closed


def test_who_is_asked_and_has_lost_its_socket_costs_nobody_else_the_loop(world):
    loop = world.loop()
    reasons = []

    class Asked(dispatch.Dispatcher):
        wants = True

        def readable(self):
            return self.wants

        def handle_read(self):
            self.recv(100)

        def handle_close(self, reason):
            reasons.append(reason)

    channel, _ = world.connected(loop, Recorder)
    asked = Asked(channel.socket.dup(), loop=loop)
    world.turn(loop)
    asked.socket.close()
    asked.wants = False
    world.turn(loop)
    asked.wants = True
    world.run(loop, lambda: reasons)

    assert isinstance(reasons[0], OSError)
    assert not channel.closed


@posix
@pytest.mark.parametrize("order", [(0, 1), (1, 0), ()], ids=["first to last", "last to first", "by the loop's end"])
def test_a_signal_goes_back_to_who_had_it_before_two_calls_took_it(world, order):
    before = signal.getsignal(signal.SIGUSR1)
    loop, seen = world.loop(), []
    calls = [loop.call_on_signal(signal.SIGUSR1, seen.append, name) for name in ("first", "second")]
    for number in order:
        calls[number].cancel()
        calls[number].cancel()
    loop.close()

    assert signal.getsignal(signal.SIGUSR1) == before


@posix
def test_a_loop_may_end_in_another_thread_than_the_one_that_catches_its_signal(kernel_world, in_thread):
    came = []
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append("before"))
    try:
        loop = kernel_world.loop()
        loop.call_on_signal(signal.SIGUSR1, came.append, "loop")
        loop.call_soon(loop.close)
        thread = threading.Thread(target=loop.run)
        thread.start()
        thread.join()
        assert loop.closed
        with pytest.raises(ValueError, match="closed"):
            loop.poller.poll(0)

        os.kill(os.getpid(), signal.SIGUSR1)
        assert came == ["before"]
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("way", [dispatch.Loop.run, lambda loop: loop.run_once(0), dispatch.Loop.close])
def test_a_handler_makes_its_channels_on_the_loop_that_calls_it(world, way):
    loop, other, made = world.loop(), world.loop(), []

    class Again(Recorder):
        def handle_close(self, reason):
            made.append(Recorder(world.pair()[0]))
            loop.stop()

    Again(world.pair()[0], loop=loop).abort()
    with other:
        way(loop)

        assert made[0].loop is loop
        assert dispatch.current_loop() is other
    with pytest.raises(RuntimeError, match="no loop here"):
        dispatch.current_loop()


@pytest.mark.parametrize("background", [False, True])
def test_whether_a_channel_keeps_its_loop_running_is_decided_when_it_joins(world, background):
    class Changing(Recorder):
        pass

    Changing.background = background
    loop = world.loop()
    channel, _ = world.connected(loop, Changing)
    channel.background = not background
    loop.call_soon(channel.close)
    loop.call_later(0.05, loop.stop)  # seconds
    before = loop.time()
    loop.run()
    loop.run()

    assert channel.closed
    assert loop.time() - before < 5


@pytest.mark.parametrize("where", ["from outside", "in a call", "in the one before it"])
def test_a_call_that_will_never_come_is_not_true_any_more(world, where):
    loop = world.loop()
    if where == "in a call":
        loop.call_soon(loop.close)
    elif where == "in the one before it":
        loop.call_later(0, loop.close)
    calls = [loop.call_later(0, print), loop.call_soon(print), loop.call_every(1, print), loop.call_later(1, print)]
    if where == "from outside":
        loop.close()
    else:
        loop.run_once(0)

    assert loop.closed
    assert [bool(each) for each in calls] == [False] * 4
