"""Ctrl-C, and a loop that goes on, as ``close(deadline)`` does: what goes out then is what was written, and nobody is left behind."""

from __future__ import annotations

import socket
import sys

import pytest

from tests.dispatch.conftest import Fickle, Recorder
from tests.dispatch.test_tls import authority, client_context, server_context

__all__ = ["authority", "client_context", "server_context"]  # fixtures


class Pieces:
    """A producer of these; Ctrl-C comes before one of them."""

    def __init__(self, *pieces: bytes, before: int) -> None:
        self.pieces = list(pieces)
        self.left = before

    def more(self) -> bytes:
        self.left -= 1
        if self.left == -1:
            raise KeyboardInterrupt
        return self.pieces.pop(0) if self.pieces else b""


class Interrupted:
    """A socket behind whose first call that sends Ctrl-C comes."""

    def __init__(self, channel) -> None:
        self.channel, self.inner = channel, channel.socket
        channel.socket = self

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def send(self, data):
        self.channel.socket = self.inner
        self.inner.send(data)
        raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("before", range(4))
def test_a_stream_whose_output_is_being_made_is_given_up(world, before, tls, client_context, server_context):
    """A piece may be lost, or a generator has ended by it as if it had given all: the peer must not take that for a whole."""
    loop, far = world.loop(), []

    def make(sock, **options):
        far.append(Recorder(sock, **options))
        far[0].write_from(Pieces(b"one ", b"two ", b"three ", before=before))
        far[0].write(b"four")
        far[0].close()
        return far[0]

    listener = world.listen(loop, make, tls=server_context if tls else None)
    made = Recorder(loop=loop)
    made.connect(listener.addr)
    if tls:
        made.start_tls(client_context, server_hostname="localhost")
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    world.run(loop, lambda: made.closed and far[0].closed)
    world.turn(loop)

    assert str(far[0].reason) == "[Errno 103] Ctrl-C came while its output was made"
    assert made.reason is not None
    assert b"four" not in made.data


def run_until_ctrl_c(world, loop, trace):
    """Run the *loop* until *trace*, which sees each line that it comes to, raises KeyboardInterrupt there."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            world.run(loop, lambda: False)
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("piece", [30_000, 9_000_000])
def test_of_what_the_kernel_took_in_part_the_rest_is_sent(kernel_world, piece):
    """It comes behind the call, mostly; then the kernel has said how much it took, and nobody has counted it yet."""
    world = kernel_world
    loop, data = world.loop(), bytes(range(250)) * (9_000_000 // 250)
    channel, client = world.connected(loop, Recorder)
    for at in range(0, len(data), piece):
        channel.write(data[at : at + piece])
    channel.close()
    calls = []

    def behind(frame, event, argument):
        if frame.f_code.co_name != "count_into":
            return None
        if event == "line" and calls:
            raise KeyboardInterrupt
        calls.extend(["it was called"] if event == "line" else [])
        return behind

    run_until_ctrl_c(world, loop, behind)

    assert world.read_all(loop, client) == data


def test_a_file_that_is_read_is_not_sent_twice(world, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    Interrupted(channel)
    channel.write_file(path)
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    channel.write(b" and more")
    channel.close()

    assert world.read_all(loop, client) == path.read_bytes() + b" and more"


def test_a_file_that_is_read_is_sent_whole_though_the_socket_was_full(world, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.socket = Fickle(channel.socket, send=[-11, 10, -11])  # EAGAIN
    channel.write_file(path)
    channel.close()

    assert world.read_all(loop, client) == path.read_bytes()


def test_a_file_by_sendfile_is_not_sent_twice(kernel_world, tmp_path):
    world = kernel_world
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    channel.write_file(path)
    client.setblocking(False)
    got = []

    def behind(frame, event, argument):
        """Ctrl-C comes where the line ends that has sent it."""
        if frame.f_code.co_name == "_send_to":
            try:
                got.append(client.recv(100_000))
            except BlockingIOError:
                return behind
            raise KeyboardInterrupt
        return None

    run_until_ctrl_c(world, loop, behind)
    assert got == [path.read_bytes()]
    channel.write(b" and more")
    channel.close()

    assert world.read_all(loop, client) == b" and more"


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_nothing_is_written_behind_the_end(world, end):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)
    Interrupted(channel)
    channel.write(b"all of it")
    getattr(channel, end)()
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)

    assert channel.write(b"too late") is False
    channel.close()
    assert world.read_all(loop, client) == b"all of it"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("joined", [False, True])
def test_a_connection_that_is_half_made_is_closed(world, tls, joined, server_context):
    """Nobody hears what it says; and one that was to begin with a handshake is not served without."""
    loop, told = world.loop(), []

    class Half(Recorder):
        def __init__(self, *args, **options):
            if joined:
                super().__init__(*args, **options)
            told.append(self)
            raise KeyboardInterrupt

        def handle_data(self, data):
            told.append(data)

    listener = world.listen(loop, Half, tls=server_context if tls else None)
    client = world.connect(listener.addr)
    client.send(b"in clear")
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    world.turn(loop)

    assert len(told) == 1
    assert list(loop.channels.values()) == [listener]
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_a_stream_whose_both_halves_are_over_leaves(world):
    loop = world.loop()

    class Interrupted(Recorder):
        def handle_eof(self):
            self.events.append("eof")
            raise KeyboardInterrupt

    channel, client = world.connected(loop, Interrupted)
    channel.write_eof()
    client.shutdown(socket.SHUT_WR)
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: False)
    world.run(loop, lambda: channel.closed)
    world.turn(loop)

    assert channel.events == ["eof", ("close", None)]
