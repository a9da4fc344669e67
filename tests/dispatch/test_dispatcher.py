"""asyncore's verbs on the new loop."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

import dispatch
from tests.conftest import RESET
from tests.dispatch.conftest import Fickle, StoppedClock


class Recorder(dispatch.Dispatcher):
    def __init__(self, *args, **options):
        self.events = []
        self.data = b""
        super().__init__(*args, **options)

    def handle_read(self):
        data = self.recv(65536)
        if data:
            self.data += data
            self.events.append("read")

    def handle_write(self):
        self.events.append("write")
        self.writing = False

    def handle_connect(self):
        self.events.append("connect")

    def handle_expt(self):
        self.events.append("expt")

    def handle_close(self, reason):
        self.events.append(("close", type(reason) if reason is not None else None))


class Server(dispatch.Dispatcher):
    """A listening dispatcher."""

    def __init__(self, handler, loop):
        super().__init__(loop=loop)
        self.handler = handler
        self.made = []
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", 0))
        self.listen()

    def handle_accepted(self, sock, addr):
        self.made.append(self.handler(sock, addr=addr, loop=self.loop))


def served(world, handler=Recorder):
    loop = world.loop()
    server = Server(handler, loop)
    client = world.connect(server.addr)
    world.run(loop, lambda: server.made)
    return loop, server, server.made[0], client


def test_data_and_the_end_are_read(world):
    loop, server, channel, client = served(world)
    client.send(b"hello")
    client.close()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.data == b"hello"
    assert channel.events == ["read", ("close", None)]
    assert not server.closed


@pytest.mark.skipif(not hasattr(socket, "SOCK_SEQPACKET"), reason="Windows and macOS have no such sockets")
def test_the_end_of_a_connection_of_records_is_an_end(world):
    loop = world.loop()
    records = []

    class Reading(dispatch.Dispatcher):
        def handle_read(self):
            records.append(self.recv(100))

    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Reading(near, loop=loop)
    far.send(b"one")
    far.send(b"two")
    far.close()
    world.run(loop, lambda: channel.closed)

    assert records == [b"one", b"two", b""]


def test_interest_in_writing_is_state(world):
    loop, _, channel, _ = served(world)
    world.turn(loop)
    assert channel.events == []

    channel.writing = True
    world.turn(loop)
    assert channel.events == ["write"]
    assert not channel.writing


def test_who_does_not_read_is_not_told(world):
    loop, _, channel, client = served(world)
    channel.reading = False
    client.send(b"x")
    world.turn(loop)
    assert channel.events == []

    channel.reading = True
    world.run(loop, lambda: channel.data)


def test_what_a_handler_asks_for_no_more_is_not_told_in_the_same_turn_either(world):
    class Enough(Recorder):
        def handle_read(self):
            super().handle_read()
            self.reading = self.writing = False

    loop, _, channel, client = served(world, Enough)
    channel.writing = True
    client.send(b"xy")
    client.send(b"!", socket.MSG_OOB)
    world.run(loop, lambda: "read" in channel.events)
    world.turn(loop)
    channel.events = [each for each in channel.events if each != "write"]  # it may have come before the data

    assert channel.events == ["read"]


def test_a_class_that_overrides_writable_is_asked_each_turn(world):
    class Asked(Recorder):
        wants = False

        def writable(self):
            return self.wants

        def handle_write(self):
            self.events.append("write")
            self.wants = False

    loop, _, channel, _ = served(world, Asked)
    world.turn(loop)
    channel.wants = True
    world.turn(loop)

    assert channel.events == ["write"]


def test_an_error_in_writable_is_the_channels_own(world, caplog):
    class Failing(Recorder):
        def writable(self):
            raise ValueError("cannot say")

    loop, server, channel, _ = served(world, Failing)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", ValueError)]
    assert not server.closed


def test_a_wake_up_without_data_ends_the_turn_and_nothing_else(world):
    loop, _, channel, client = served(world)
    channel.socket = Fickle(channel.socket, recv=[errno.EAGAIN])
    client.send(b"x")
    world.run(loop, lambda: channel.data == b"x")

    assert channel.events == ["read"]


def test_connect_is_told_iff_it_succeeded(world):
    loop = world.loop()
    server = Server(Recorder, loop)
    client = Recorder(loop=loop)
    client.create_socket()
    client.connect(server.addr)
    assert client.events == []
    world.run(loop, lambda: client.events)
    assert client.events == ["connect"]
    server.close()

    refused = Recorder(loop=loop)
    refused.create_socket()
    refused.connect(server.addr)
    world.run(loop, lambda: refused.events)
    assert refused.events == [("close", ConnectionRefusedError)]


def test_send_says_how_much_was_taken(world):
    loop, _, channel, client = served(world)

    assert channel.send(b"hello") == 5
    assert client.recv(10) == b"hello"
    channel.socket = Fickle(channel.socket, send=[-errno.EAGAIN, -errno.EPIPE])
    assert channel.send(b"x") == 0
    assert channel.send(b"x") == 0
    world.turn(loop, 1)
    assert channel.events == [("close", BrokenPipeError)]
    assert channel.send(b"x") == 0


def test_a_reset_is_the_reason_of_the_close(world):
    loop, _, channel, client = served(world)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", ConnectionResetError)]


def test_who_only_writes_is_told_of_a_reset_by_its_write_and_not_by_a_read(world):
    class Writer(Recorder):
        def handle_write(self):
            self.events.append("write")
            self.send(b"x")

    loop, _, channel, client = served(world, Writer)
    channel.reading = False
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    channel.writing = True
    world.run(loop, lambda: channel.closed)

    assert channel.events == ["write", ("close", ConnectionResetError)]


def test_an_urgent_byte_is_told_once_and_dropped_if_not_read(world, log):
    if world.poller == "kqueue":
        pytest.skip("kqueue announces urgent data on macOS only")
    loop, _, channel, client = served(world)
    client.send(b"!", socket.MSG_OOB)
    world.run(loop, lambda: channel.events)
    log.lines.clear()
    world.turn(loop, 10)

    assert channel.events == ["expt"]
    assert [line[2] for line in log.lines if line[0] == "turn"] == [0] * 10


def test_an_urgent_byte_can_be_read(world):
    if world.poller == "kqueue":
        pytest.skip("kqueue announces urgent data on macOS only")

    class Reading(Recorder):
        def handle_expt(self):
            self.events.append(self.recv_urgent())

    loop, _, channel, client = served(world, Reading)
    client.send(b"!", socket.MSG_OOB)
    world.run(loop, lambda: channel.events)

    assert channel.events == [b"!"]
    assert channel.recv_urgent() == b""


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ECONNABORTED, errno.EPROTO])
def test_accept_may_find_nobody(world, code):
    loop = world.loop()
    server = Server(Recorder, loop)
    server.socket = Fickle(server.socket, accept=[code])
    world.connect(server.addr)
    world.run(loop, lambda: server.made)


def test_a_socket_that_has_no_connections_says_so_when_it_is_asked_for_one(world, caplog):
    class Accepting(Recorder):
        def handle_read(self):
            self.accept()

    loop = world.loop()
    server = Accepting(loop=loop)
    server.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", server.addr)
    world.run(loop, lambda: server.closed)

    assert server.events == [("close", OSError)]
    assert f"[Errno {errno.EOPNOTSUPP}]" in caplog.text


def test_a_socket_that_listens_already_is_a_listener(world):
    """As whoever started the program hands it down."""
    loop = world.loop()
    told = []

    class Inherited(dispatch.Dispatcher):
        def handle_accepted(self, sock, addr):
            told.append(addr)
            sock.close()

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    listener = Inherited(sock, loop=loop)
    client = world.connect(listener.addr)
    world.run(loop, lambda: told)

    assert (told, listener.accepting, listener.connected) == ([client.getsockname()], True, False)


def test_a_listener_out_of_descriptors_rests(world):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    server = Server(Recorder, loop)
    server.socket = Fickle(server.socket, accept=[errno.EMFILE])
    world.connect(server.addr)
    world.turn(loop, 10)
    assert server.socket.calls == ["accept"]
    clock.now += 0.06
    world.run(loop, lambda: server.made)


def test_an_exception_closes_its_channel_and_no_other(world, caplog):
    class Failing(Recorder):
        def handle_read(self):
            raise ValueError("cannot")

    loop, server, channel, client = served(world, Failing)
    client.send(b"x")
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", ValueError)]
    assert not server.closed


def test_nobody_handles_anything_by_default(world):
    loop, _, channel, client = served(world, dispatch.Dispatcher)
    channel.writing = True
    world.turn(loop, 1)
    channel.writing = False
    client.send(b"!", socket.MSG_OOB)
    world.turn(loop)
    channel.close()

    plain = Server(dispatch.Dispatcher, loop)
    plain.handle_accepted = dispatch.Dispatcher.handle_accepted.__get__(plain)
    client = world.connect(plain.addr)
    world.turn(loop)
    assert client.recv(1) == b""


def test_datagrams_and_empty_ones(world):
    loop = world.loop()
    channel = Recorder(loop=loop)
    channel.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.bind(("127.0.0.1", 0))
    got = []
    channel.handle_read = lambda: got.append(channel.recv(100))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for data in (b"", b"x"):
            client.sendto(data, channel.addr)
    world.run(loop, lambda: got == [b"", b"x"])

    assert not channel.closed


@pytest.mark.parametrize("asked", [False, True])
def test_a_bound_datagram_socket_may_be_connected_and_to_another_later(world, asked):
    class Asked(Recorder):
        def readable(self):
            return True

    loop = world.loop()
    channel = (Asked if asked else Recorder)(loop=loop)
    channel.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.bind(("127.0.0.1", 0))
    here = channel.addr
    with socket.socket(type=socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
        for number, peer in enumerate((first, second), 1):
            peer.bind(("127.0.0.1", 0))
            channel.connect(peer.getsockname())
            with pytest.raises(RuntimeError, match="connecting already"):
                channel.connect(peer.getsockname())
            world.run(loop, lambda number=number: channel.events.count("connect") == number)
            assert channel.addr == peer.getsockname()
            channel.send(b"ask")
            assert peer.recvfrom(10) == (b"ask", here)
            peer.sendto(b"answer", here)
            world.run(loop, lambda number=number: channel.data == b"answer" * number)
        first.sendto(b"no more", here)
        world.turn(loop)

    assert channel.events == ["connect", "read", "connect", "read"]


def test_wrong_use_is_refused_at_the_call(world):
    _loop, _, channel, _ = served(world)

    with pytest.raises(RuntimeError, match="connected already"):
        channel.connect(("127.0.0.1", 1))
    with pytest.raises(RuntimeError, match="a channel has one"):
        channel.create_socket()


def test_a_listener_that_is_asked_each_turn_rests_as_well(world):
    class Asked(Server):
        def readable(self):
            return True

    loop = world.loop()
    server = Asked(Recorder, loop)
    server.socket = Fickle(server.socket, accept=[errno.EMFILE])
    world.connect(server.addr)
    world.turn(loop, 10)
    assert server.socket.calls == ["accept"]
    world.run(loop, lambda: server.made)


def test_errors_that_are_no_end_go_to_handle_error(world):
    class Keeping(Recorder):
        def handle_error(self, error):
            self.events.append(type(error))

    loop, _, channel, client = served(world, Keeping)
    channel.socket = Fickle(channel.socket, recv=[errno.EINVAL], send=[-errno.EINVAL])
    client.send(b"x")
    world.run(loop, lambda: channel.data)
    with pytest.raises(OSError, match="Invalid"):
        channel.send(b"x")

    assert channel.events == [OSError, "read"]


def test_a_dead_connection_that_nobody_asks_about_does_not_spin(world, log):
    loop, _, channel, client = served(world)
    channel.reading = False
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    world.turn(loop, 3)
    log.lines.clear()
    world.turn(loop, 10)

    assert [line[2] for line in log.lines if line[0] == "turn"] == [0] * 10


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_a_path_is_an_address_whatever_its_type(kernel_world, tmp_path, kind):
    loop = kernel_world.loop()
    server, client = dispatch.Dispatcher(loop=loop), dispatch.Dispatcher(loop=loop)
    for each in (server, client):
        each.create_socket(socket.AF_UNIX)
    server.bind(kind(tmp_path / "server"))
    server.listen()
    client.connect(kind(tmp_path / "server"))
    kernel_world.run(loop, lambda: client.connected)

    assert server.addr == str(tmp_path / "server")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_full_unix_listener_is_no_connection(kernel_world, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen(0)
        first.connect(path)
        loop = kernel_world.loop()
        client = Recorder(loop=loop)
        client.create_socket(socket.AF_UNIX)
        client.connect(path)
        kernel_world.turn(loop)

    assert client.events == [("close", BlockingIOError)]
