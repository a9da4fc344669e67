"""Whoever makes output for a peer that does not take it is told to stop, wherever the output waits."""

from __future__ import annotations

import socket

import pytest

import dispatch
from dispatch.tls import Layer
from tests.dispatch.conftest import Recorder, the_harness
from tests.dispatch.test_tls import Secure, authority, client_context, server_context

__all__ = ["authority", "client_context", "server_context"]  # fixtures


class Source(dispatch.Stream):
    """What it reads it writes to another, as in docs/how-to/write-a-server.md."""

    other: dispatch.Stream

    def handle_data(self, data):
        self.other.write(data)


class Sink(Recorder):
    """It holds back who writes to it."""

    source: dispatch.Stream

    def handle_full(self):
        super().handle_full()
        self.source.pause()

    def handle_drained(self):
        super().handle_drained()
        self.source.resume()


def relayed(world, loop, far):
    """A source that feeds *far*, and the client who feeds the source."""
    near, client = world.connected(loop, Source)
    near.other, far.source = far, near
    return near, client


def push(world, loop, client, size=20_000_000):
    """As much of so many bytes as is taken from the client; how much that was."""
    client.setblocking(False)
    sent = 0
    for _ in range(size // 20_000):
        try:
            sent += client.send(b"x" * 20_000)
        except BlockingIOError:
            pass
        loop.run_once(0)
    return sent


@pytest.mark.slow
def test_a_relay_keeps_no_more_than_its_marks_say_for_a_peer_that_does_not_read(world):
    loop = world.loop()
    far, reader = world.connected(loop, Sink)
    near, client = relayed(world, loop, far)

    sent = push(world, loop, client)
    assert far.events == ["full"]
    assert near.paused
    assert far.queued <= far.high_water + near.read_size_max

    assert len(world.read(loop, reader, sent)) == sent
    world.run(loop, lambda: far.events[-1:] == ["drained"])
    assert not near.paused


@pytest.mark.slow
def test_nor_for_a_connection_that_is_still_being_made():
    with the_harness().Network() as net, dispatch.Loop() as loop:
        net.host("server")
        net.partition("test", "server")
        far = Sink(loop=loop)
        far.connect(("server", 7))

        told = []
        far.source = Source(loop=loop)
        for _ in range(20):
            told.append(far.write(b"x" * 10_000))
            loop.run_once(0)
        assert told == [True] * 6 + [False] * 14
        assert far.events == ["full"]
        assert far.source.paused
        far.abort()


def test_nor_while_the_peer_lets_tls_wait(world, client_context):
    loop = world.loop()
    far, _ = world.connected(loop, Sink)
    far.start_tls(client_context, server_hostname="localhost")
    near, client = relayed(world, loop, far)

    push(world, loop, client, 1_000_000)
    assert far.events == ["full"]
    assert near.paused
    assert far.queued <= far.high_water + near.read_size_max


def test_what_was_held_back_by_the_handshake_goes_on_after_it(world, client_context, server_context):
    loop = world.loop()
    ours, theirs = world.pair()

    class Both(Sink, Secure):
        pass

    far = Both(ours, loop=loop)
    far.source = Source(loop=loop)
    far.start_tls(client_context, server_hostname="localhost")
    for _ in range(3):
        far.write(b"x" * 40_000)
        world.turn(loop)
    assert far.events == ["full"]

    peer = Secure(theirs, loop=loop)
    peer.start_tls(server_context, server_side=True)
    world.run(loop, lambda: len(peer.data) == 120_000)
    world.run(loop, lambda: "drained" in far.events)
    assert far.events == ["full", "secure", "drained"]


@pytest.mark.parametrize("asked", ["at once", "when full"])
def test_a_stream_that_held_itself_back_reads_on_when_its_half_is_closed(world, asked):
    loop = world.loop()

    class Answering(Recorder):
        def handle_data(self, data):
            super().handle_data(data)
            if data == b"?":
                self.write(b"x" * 8_000_000)
                if asked == "at once":
                    self.write_eof()

        def handle_full(self):
            super().handle_full()
            self.write_eof()

    channel, client = world.connected(loop, Answering)
    client.send(b"?")
    assert len(world.read(loop, client, 8_000_000)) == 8_000_000
    client.send(b"thanks")
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.data == b"?thanks"
    assert channel.events == ["data", "full", "drained", "data", "eof", ("close", None)]


def test_who_writes_as_fast_as_it_goes_out_does_not_take_a_whole_turn(world):
    """Into a file, for instance, which takes whatever it is given."""
    loop = world.loop()

    class Endless(Recorder):
        def handle_drained(self):
            super().handle_drained()
            assert len(self.events) < 100
            self.write(b"x" * 70_000)

    class Bottomless:
        def __init__(self, sock):
            self._sock = sock

        def __getattr__(self, name):
            return getattr(self._sock, name)

        def send(self, data):
            return len(data)

    channel, _ = world.connected(loop, Endless)
    channel.socket = Bottomless(channel.socket)
    channel.write(b"x" * 70_000)
    world.turn(loop, 5)

    assert channel.events == ["drained"] * 6  # once more before the first turn


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_close_when_all_has_gone_is_the_end(world, tls, client_context, server_context):
    loop = world.loop()
    ours, theirs = world.pair()

    class Asked(Secure):
        """It answers much in its own turn, all of which the kernel takes; then it closes."""

        high_water, low_water = 1000, 100

        def handle_data(self, data):
            super().handle_data(data)
            self.write(b"x" * 5000)

        def handle_drained(self):
            super().handle_drained()
            self.close()

    channel, peer = Asked(ours, loop=loop), Secure(theirs, loop=loop)
    if tls:
        channel.start_tls(client_context, server_hostname="localhost")
        peer.start_tls(server_context, server_side=True)
        world.run(loop, lambda: "secure" in channel.events and "secure" in peer.events)
    peer.write(b"?")
    world.run(loop, lambda: channel.closed and peer.closed)
    world.turn(loop, 1)

    assert len(peer.data) == 5000
    assert channel.events[-2:] == ["drained", ("close", None)]
    assert peer.events[-2:] == ["eof", ("close", None)]


@pytest.mark.slow
def test_a_large_write_becomes_records_as_it_goes_out(world, client_context, server_context):
    """Not all at once: the other channels would wait, and all of it be in memory twice."""
    loop = world.loop()
    ours, theirs = world.pair()
    channel, peer = Secure(ours, loop=loop), Secure(theirs, loop=loop)
    channel.start_tls(client_context, server_hostname="localhost")
    peer.start_tls(server_context, server_side=True)
    world.run(loop, lambda: "secure" in channel.events and "secure" in peer.events)
    made = []
    encrypt = Layer.encrypt
    data = bytes(range(256)) * 20_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Layer, "encrypt", lambda layer, data: (made.append(len(data)), encrypt(layer, data))[1])
        peer.pause()
        channel.write(data)
        channel.write(b"end")
        world.turn(loop, 10)
        assert channel.queued >= len(data) - sum(made)
        peer.resume()
        world.run(loop, lambda: len(peer.data) == len(data) + 3)

    assert peer.data == data + b"end"
    assert max(made) <= 1 << 20


@pytest.mark.parametrize("sizes", [(100_000,), (40_000, 40_000), (70_000, 10)])
def test_much_may_be_written_before_there_is_a_connection(world, sizes):
    loop = world.loop()
    made = []

    def accepted(sock, **options):
        made.append(Recorder(sock, **options))

    listener = world.listen(loop, accepted)
    channel = Recorder(loop=loop)
    for size in sizes:
        channel.write(b"x" * size)
        world.turn(loop, 1)
    channel.connect(listener.addr)

    world.run(loop, lambda: made and len(made[0].data) == sum(sizes))
    world.run(loop, lambda: "drained" in channel.events)
    assert channel.events == ["full", "connect", "drained"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lines", "bytes"])
@pytest.mark.parametrize("way", ["file", "items"])
def test_who_asks_for_many_files_at_once_is_not_listened_to_until_they_are_sent(world, kind, way, tmp_path):
    """They are few bytes in the queue, or none; but each is open."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 20_000)
    queued, drained = [], []

    class Server(dispatch.Chat if kind == "lines" else dispatch.Stream):
        terminator = b"\n"
        read_size = 65_536 if kind == "lines" else 1
        read_size_max = read_size

        def handle_message(self, _line):
            self.write(b"!")
            with path.open("rb") as file:
                self.write_file(file) if way == "file" else self.write_from([file.read()])
            queued.append(len(self._waiting))

        if kind == "bytes":
            handle_data = handle_message

        def handle_drained(self):
            drained.append(self)

    loop = world.loop()
    channel, client = world.connected(loop, Server)
    client.send(b"\n" * 400)
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: queued and queued[-1] > 60)
    world.turn(loop, 10)
    assert len(queued) < 400  # those that are here are not asked for yet

    assert len(world.read_all(loop, client)) == 400 * 20_001
    assert channel.closed
    assert max(queued) < 70
    assert not drained


def test_an_object_may_have_its_own_handler_for_what_has_drained(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Plain)
    told = []
    channel.low_water = channel.high_water = 5000
    channel.handle_drained = lambda: told.append("drained")
    assert not channel.write(bytes(6000))
    world.turn(loop)

    assert told == ["drained"]


class Plain(dispatch.Stream):
    """It says nothing of what has drained."""

    def handle_data(self, data):
        """Drop it."""


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("last", [b"", b"and so on"])
def test_what_handle_full_does_when_there_is_room_again_is_done(
    world, tls, later, last, client_context, server_context
):
    """It turns the loop until all has gone, and then goes on, as who writes in a loop of its own does."""
    loop = world.loop()

    class Waits(dispatch.Stream):
        high_water, low_water = 1000, 0

        def handle_data(self, data):
            if later:
                loop.call_soon(self.write, b"x" * 5_000_000)
            else:
                self.write(b"x" * 5_000_000)

        def handle_full(self):
            while not self.all_sent:
                loop.run_once()
            self.write(last)
            self.close()

    listener = world.listen(loop, Waits, tls=server_context if tls else None)
    made = Recorder(loop=loop)
    made.connect(listener.addr)
    if tls:
        made.start_tls(client_context, server_hostname="localhost")
    made.write(b"?")
    world.run(loop, lambda: made.closed)

    assert made.data == b"x" * 5_000_000 + last
    assert made.events[-2:] == ["eof", ("close", None)]
