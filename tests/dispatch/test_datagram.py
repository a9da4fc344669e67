"""One in, one call; one written, one out; an empty one is no end."""

from __future__ import annotations

import errno
import os
import socket

import pytest

import dispatch
from tests.dispatch.conftest import StoppedClock


class Keeper(dispatch.Datagram):
    def __init__(self, *args, **options):
        self.got = []
        self.failures = []
        super().__init__(*args, **options)

    def handle_datagram(self, data, addr):
        self.got.append((data, addr))

    def handle_failure(self, error):
        self.failures.append(error.errno)


class FickleDatagrams:
    """A datagram socket whose sends or receives fail as scripted."""

    def __init__(self, sock, codes):
        self._sock = sock
        self._codes = codes

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def _maybe(self):
        code = self._codes.pop(0) if self._codes else 0
        if code:
            raise OSError(code, os.strerror(code))

    def sendto(self, data, addr):
        self._maybe()
        return self._sock.sendto(data, addr)

    def recvfrom(self, size):
        self._maybe()
        return self._sock.recvfrom(size)


def test_datagrams_come_one_by_one_and_empty_ones_too(world):
    loop = world.loop()
    server = Keeper(("127.0.0.1", 0), loop=loop)
    client = Keeper(peer=server.addr, loop=loop)
    for data in (b"one", b"", b"three"):
        assert client.send(data)
    world.run(loop, lambda: len(server.got) == 3)

    assert server.got == [(b"one", client.addr), (b"", client.addr), (b"three", client.addr)]
    server.send(b"back", client.addr)
    world.run(loop, lambda: client.got)
    assert client.got == [(b"back", server.addr)]
    assert not server.closed


def test_a_datagram_that_a_program_cannot_take_is_not_the_end_of_its_server(world, caplog):
    class Numbers(Keeper):
        def handle_datagram(self, data, addr):
            super().handle_datagram(int(data), addr)

    loop = world.loop()
    server = Numbers(("127.0.0.1", 0), loop=loop)
    client = Keeper(peer=server.addr, loop=loop)
    for data in (b"one", b"2"):
        client.send(data)
    world.run(loop, lambda: server.got)

    assert server.got == [(2, client.addr)]
    assert "invalid literal for int() with base 10: b'one'" in caplog.text


def test_who_says_so_gives_a_datagram_up_over_an_error(world):
    class Strict(Keeper):
        def handle_datagram(self, data, addr):
            raise ZeroDivisionError

        handle_error = dispatch.Channel.handle_error

    loop = world.loop()
    server = Strict(("127.0.0.1", 0), loop=loop)
    Keeper(peer=server.addr, loop=loop).send(b"x")
    world.run(loop, lambda: server.closed)


def test_an_unreachable_peer_is_told_and_survived(world):
    loop = world.loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        addr = gone.getsockname()
    client = Keeper(peer=addr, loop=loop)
    client.send(b"anybody?")
    world.run(loop, lambda: client.failures)

    assert client.failures == [errno.ECONNREFUSED]
    assert not client.closed


@pytest.mark.parametrize("codes", [[errno.EAGAIN], [errno.ENOBUFS], [errno.EAGAIN, errno.ENOBUFS]])
def test_what_the_kernel_does_not_take_waits_in_order(world, codes):
    loop = world.loop()
    server = Keeper(("127.0.0.1", 0), loop=loop)
    client = Keeper(("127.0.0.1", 0), loop=loop)
    client.socket = FickleDatagrams(client.socket, codes)
    for n in range(3):
        assert client.send(b"%d" % n, server.addr)
    world.run(loop, lambda: len(server.got) == 3)

    assert [data for data, _ in server.got] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("codes", [[], [errno.EAGAIN]], ids=["at-once", "queued"])
def test_every_other_byte_of_a_buffer_is_a_datagram_too(world, codes):
    """A socket takes no view with gaps; a queue, which copies, does."""
    loop = world.loop()
    server = Keeper(("127.0.0.1", 0), loop=loop)
    client = Keeper(("127.0.0.1", 0), loop=loop)
    client.socket = FickleDatagrams(client.socket, codes)
    assert client.send(memoryview(b"abcdef")[::2], server.addr)
    assert client.send(memoryview(b"abcdef")[1::2], server.addr)
    world.run(loop, lambda: len(server.got) == 2)

    assert [data for data, _ in server.got] == [b"ace", b"bdf"]


def test_the_queue_is_bounded(world):
    loop = world.loop()
    client = Keeper(("127.0.0.1", 0), loop=loop)
    client.queue_limit = 2
    client.socket = FickleDatagrams(client.socket, [errno.EAGAIN])

    assert [client.send(b"x", client.addr) for _ in range(4)] == [True, True, False, False]
    assert client.dropped == 2


def test_an_address_that_is_none_is_refused_at_the_call_though_others_wait(world):
    loop = world.loop()
    client = Keeper(("127.0.0.1", 0), loop=loop)
    client.socket = FickleDatagrams(client.socket, [errno.EAGAIN])
    client.send(b"it waits", client.addr)

    with pytest.raises(ValueError, match="70000"):
        client.send(b"x", ("127.0.0.1", 70000))
    with pytest.raises(TypeError, match="no address"):
        client.send(b"x", ("127.0.0.1",))
    world.run(loop, lambda: [data for data, _ in client.got] == [b"it waits"])


def test_what_waits_for_no_address_at_all_is_its_channels_error(world, caplog):
    loop = world.loop()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with far:
        channel = Keeper(sock=near, loop=loop)
        channel.socket = FickleDatagrams(near, [])
        channel._queue += [(b"x", 7), (b"y", None)]  # as if the kernel had been full
        channel.close()
        world.turn(loop)

    assert channel.closed
    assert "a handler failed" in caplog.text


def test_a_datagram_that_waits_when_its_loop_ends_is_lost_and_no_error(world):
    loop = world.loop()
    client = Keeper(("127.0.0.1", 0), loop=loop)
    client.socket = FickleDatagrams(client.socket, [errno.EAGAIN])
    client.send(b"it waits", client.addr)
    loop.close()
    client.close()

    assert client.closed


def test_a_datagram_that_cannot_be_sent_is_told(world):
    loop = world.loop()
    client = Keeper(("127.0.0.1", 0), loop=loop)

    assert not client.send(b"x" * 100_000, client.addr)
    world.turn(loop)
    assert client.failures == [errno.EMSGSIZE]


def test_an_error_of_receiving_is_told_and_a_shortage_is_waited_out(world):
    loop = world.loop()
    server = Keeper(("127.0.0.1", 0), loop=loop)
    server.socket = FickleDatagrams(server.socket, [errno.EHOSTUNREACH, errno.ENOMEM])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", server.addr)
        world.run(loop, lambda: server.got)

    assert server.failures == [errno.EHOSTUNREACH]


def test_a_socket_closed_behind_its_back_closes_the_channel(world):
    loop = world.loop()
    server = Keeper(("127.0.0.1", 0), loop=loop)
    server.socket = FickleDatagrams(server.socket, [errno.EBADF])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", server.addr)
        world.run(loop, lambda: server.closed)


def test_nothing_is_sent_after_close(world):
    loop = world.loop()
    client = Keeper(("127.0.0.1", 0), loop=loop)
    client.close()

    assert not client.send(b"x", client.addr)


def test_wrong_use_is_refused_at_the_call(world):
    loop = world.loop()
    with pytest.raises(ValueError, match="address"):
        Keeper(loop=loop)
    client = Keeper(("127.0.0.1", 0), loop=loop)
    with pytest.raises(TypeError, match="takes bytes, not str"):
        client.send("text")
    with pytest.raises(OSError, match="in use"):
        Keeper(client.addr, loop=loop)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_unix_datagrams_and_a_given_socket(world):
    loop = world.loop()
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one, other = Keeper(sock=a, loop=loop), Keeper(sock=b, loop=loop)
    one.send(b"x")
    world.run(loop, lambda: other.got)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_the_path_of_unix_datagrams_is_free_again_after_them_and_after_who_was_killed(kernel_world, tmp_path):
    loop = kernel_world.loop()
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed:
        killed.bind(str(path))  # the file stays
    server = Keeper(path, loop=loop)
    client = Keeper(peer=path, loop=loop)
    client.send(b"x")
    kernel_world.run(loop, lambda: server.got)
    with pytest.raises(OSError, match="in use"):
        Keeper(path, loop=loop)
    with pytest.raises(OSError, match="cannot talk to"):
        Keeper(tmp_path / "another", tmp_path / "nobody", loop=loop)
    server.close()
    server.abort()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_path_is_an_address_to_send_to_whatever_its_type(kernel_world, tmp_path):
    loop = kernel_world.loop()
    server = Keeper(tmp_path / "server", loop=loop)
    client = Keeper(tmp_path / "client", loop=loop)
    client.socket = FickleDatagrams(client.socket, [0, errno.EAGAIN])
    for data in (b"at once", b"waits", b"behind it"):
        assert client.send(data, tmp_path / "server")
    kernel_world.run(loop, lambda: len(server.got) == 3)

    assert server.got == [(data, client.addr) for data in (b"at once", b"waits", b"behind it")]
    for channel in (server, client):
        channel.close()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_one_that_asks_without_a_name_gets_no_answer_and_ends_nothing(kernel_world, tmp_path):
    class Echo(Keeper):
        def handle_datagram(self, data, addr):
            super().handle_datagram(data, self.send(data, addr))

    loop = kernel_world.loop()
    server = Echo(tmp_path / "socket", loop=loop)
    Keeper(peer=tmp_path / "socket", loop=loop).send(b"nameless")
    named = Keeper(tmp_path / "named", tmp_path / "socket", loop=loop)
    named.send(b"named")
    kernel_world.run(loop, lambda: named.got)

    assert server.got == [(b"nameless", False), (b"named", True)]
    assert server.failures == [errno.ENOTCONN]


def test_a_full_queue_of_a_peer_is_asked_again_after_a_while_and_not_in_a_circle(kernel_world, tmp_path):
    clock = StoppedClock()
    loop = kernel_world.loop(network=clock)
    sender = Keeper(os.fspath(tmp_path / "sender"), loop=loop)  # without a peer: to the kernel it is always writable
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(os.fspath(tmp_path / "receiver"))
        receiver.setblocking(False)
        sent = [b"%d" % number for number in range(200)]
        for data in sent:
            assert sender.send(data, tmp_path / "receiver")
        assert [loop.run_once(0) for _ in range(5)] == [1, 0, 0, 0, 0]

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.sendto(b"meanwhile", os.fspath(tmp_path / "sender"))
        kernel_world.turn(loop)
        assert sender.got == [(b"meanwhile", None)]

        got = []
        for _ in range(1000):
            clock.now += 0.05
            loop.run_once(0)
            try:
                while True:
                    got.append(receiver.recv(10))
            except BlockingIOError:
                pass
            if got == sent:
                break
        assert got == sent
        loop.run_once(0)
        assert [loop.run_once(0) for _ in range(3)] == [0, 0, 0]


def test_a_receiver_that_takes_nothing_holds_up_nobody_else(kernel_world, tmp_path):
    loop = kernel_world.loop()
    sender = Keeper(os.fspath(tmp_path / "sender"), loop=loop)
    lazy, busy = (os.fspath(tmp_path / name) for name in ("lazy", "busy"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sleeper:
        sleeper.bind(lazy)
        sleeper.setblocking(False)
        reader = Keeper(busy, loop=loop)
        numbers = [b"%d" % number for number in range(200)]
        for number, data in enumerate(numbers):
            assert sender.send(data, lazy)
            assert sender.send(data, busy)
            if number % 25 == 0:  # a queue holds ten or so
                loop.run_once(0)
        kernel_world.run(loop, lambda: len(reader.got) == len(numbers))
        assert [data for data, _ in reader.got] == numbers

        got = []
        while len(got) < len(numbers):
            loop.run_once(0.01)
            try:
                got.append(sleeper.recv(10))
            except BlockingIOError:
                pass
        assert got == numbers


@pytest.mark.parametrize("verb", ["close", "abort", "send"])
def test_who_hears_that_what_waited_had_no_address_may_end_it_there(world, verb):
    class Strict(Keeper):
        def handle_error(self, error):
            self.failures.append(type(error))
            if verb == "send":
                self.send(b"sorry", self.addr)
            else:
                getattr(self, verb)()

        def handle_close(self, reason):
            self.failures.append("close")

    loop = world.loop()
    server = Strict(("127.0.0.1", 0), loop=loop)
    server.socket = FickleDatagrams(server.socket, [errno.EAGAIN])
    server.send(b"first", server.addr)
    for host in ("one\0", "two\0"):  # by its looks nobody knows
        assert server.send(b"x", (host, 9))
    world.turn(loop, 5)

    asked = {"close": 2, "abort": 1, "send": 2}[verb]
    assert sum(each != "close" for each in server.failures) == asked
    assert server.failures.count("close") == (verb != "send")
