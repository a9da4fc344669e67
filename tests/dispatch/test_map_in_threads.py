"""A map whose channels come and go in one thread while another serves it, as programs do that have a thread for ``loop()``.

What another thread does between two lines of the loop is played where it can be; the last test lets threads do it.
"""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from dispatch import asynchat, asyncore
from dispatch.maps import channelmap
from dispatch.maps.channelmap import ChannelMap
from dispatch.maps.guest import wished
from dispatch.maps.maploop import MapLoop
from tests.dispatch.conftest import PATIENCE, kernel_only

pytestmark = pytest.mark.usefixtures("anywhere")

TURNS = 8  # in one call of loop(): enough for a loop of its own


class Kept(asyncore.dispatcher):
    """Says what it has got."""

    def __init__(self, sock, map):
        super().__init__(sock, map)
        self.got = b""

    def writable(self):
        return False

    def handle_read(self):
        self.got += self.recv(10)


class Overtaken:
    """A socket whose channel another thread closes, right after the loop has asked it for its number."""

    def __init__(self, channel):
        self.sock, self.channel = channel.socket, channel

    def fileno(self):
        number = self.sock.fileno()
        if self.channel is not None:
            channel, self.channel = self.channel, None
            channel.close()
        return number

    def close(self):
        self.sock.close()


class Changing(dict):
    def values(self):
        raise RuntimeError("dictionary changed size during iteration")


@pytest.fixture
def two():
    """Two channels in one dict, and the peer of the first, which has sent a byte."""
    channels = {}
    pairs = [socket.socketpair() for _ in range(2)]
    first, second = (Kept(near, channels) for near, _ in pairs)
    pairs[0][1].send(b"x")
    yield channels, first, second
    asyncore.close_all(channels, ignore_all=True)
    for _, far in pairs:
        far.close()


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_channel_may_be_closed_while_the_map_is_compared_with_what_it_was(two, use_poll, monkeypatch):
    """It left what was just being walked over: "dictionary changed size during iteration" ended the loop."""
    channels, first, second = two
    put = MapLoop.put

    def overtaken(loop, key):
        if second._fileno is not None:
            second.close()
        put(loop, key)

    monkeypatch.setattr(MapLoop, "put", overtaken)
    asyncore.loop(0, use_poll, channels, TURNS)
    assert first.got == b"x"
    assert list(channels.values()) == [first]


def test_a_map_that_changes_while_it_is_compared_is_not_the_same():
    assert not channelmap.same({1: None}, Changing({1: None}))


def test_whether_anybody_waits_may_be_asked_while_they_leave():
    """In each turn of a loop without a time-out, with select's habits."""

    class Leaving:
        def wishes(self):
            guests.clear()
            return False

    guests = {1: Leaving(), 2: Leaving()}
    assert wished(guests)
    assert not wished(guests)


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("asked", [True, False], ids=["asked-each-turn", "not-asked"])
def test_a_channel_may_be_closed_while_it_is_let_in(two, asked, use_poll):
    """The loop kept its place, and had nobody there to serve, nor to end: an AttributeError when ``loop()`` returned."""
    channels, first, second = two
    if not asked:
        second.__class__ = asyncore.dispatcher
    second.socket = Overtaken(second)
    asyncore.loop(0, use_poll, channels, TURNS)
    assert first.got == b"x"
    assert list(channels.values()) == [first]


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_loop_may_end_while_a_channel_is_closed(two, use_poll, monkeypatch):
    """Who stood in the map no more, and in the loop still, was given up with an AttributeError: "'Guest' object has no ..."."""
    channels, first, second = two
    strike = MapLoop._strike

    def overtaken(loop, guest):
        loop.close()
        strike(loop, guest)

    def handle_read():
        first.recv(10)
        monkeypatch.setattr(MapLoop, "_strike", overtaken)
        second.close()

    first.handle_read = handle_read
    asyncore.loop(0, use_poll, channels, TURNS)
    assert list(channels.values()) == [first]


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_channel_that_comes_while_a_loop_is_made_is_served(two, use_poll, monkeypatch):
    """The loop had been told who stands in the map, the map not yet of the loop: it never heard of that channel."""
    first, second = two[1:]
    channels = ChannelMap()
    first.add_channel(channels)
    make = MapLoop.__init__

    def overtaken(loop, *args):
        make(loop, *args)
        second.add_channel(channels)

    monkeypatch.setattr(MapLoop, "__init__", overtaken)
    channels.restless = 0  # its next turn is a loop's
    asyncore.loop(0, use_poll, channels, TURNS)
    assert channels.engine.channels.keys() == channels.keys() == {first._fileno, second._fileno}
    asyncore.close_all(channels)


class Meanwhile(asynchat.async_chat):
    """While its first piece is under way, another thread does something with it."""

    def __init__(self, sock, act):
        super().__init__(sock, {})
        self.act = act

    def send(self, data):
        act, self.act = self.act, None
        if act is not None:
            other = threading.Thread(target=act, args=(self,))
            other.start()
            other.join()
        return super().send(data)


@pytest.fixture
def meanwhile():
    """Makes a channel, of which another thread does *act* while it sends, and says what its peer has got."""
    channels = []
    near, far = socket.socketpair()
    far.setblocking(False)

    def make(act):
        channels.append(Meanwhile(near, act))
        return channels[0], far

    yield make
    for each in (*channels, near, far):
        each.close()


@kernel_only
def test_what_another_thread_pushes_while_a_piece_is_under_way_follows_it(meanwhile):
    """Both threads sent the piece, and now and then it was the second to be sent that was thrown away."""
    channel, far = meanwhile(lambda channel: channel.push(b"two"))
    channel.push(b"one")
    assert far.recv(100) == b"onetwo"
    assert not channel.producer_fifo


@kernel_only
def test_a_loop_that_is_told_of_room_to_write_while_another_thread_sends_leaves_it_to_that(meanwhile):
    channel, far = meanwhile(lambda channel: channel.handle_write_event())
    channel.push(b"one")
    assert far.recv(100) == b"one"
    assert not channel.producer_fifo


@kernel_only
def test_a_thread_that_fails_to_send_leaves_the_sending_to_others(meanwhile):
    def stopped(data):
        del channel.send
        raise KeyboardInterrupt

    channel, far = meanwhile(None)
    channel.send = stopped
    with pytest.raises(KeyboardInterrupt):
        channel.push(b"one")
    other = threading.Thread(target=channel.push, args=(b"two",))
    other.start()
    other.join()
    channel.handle_write()
    assert far.recv(100) == b"onetwo"


@kernel_only
def test_what_another_thread_pushes_while_a_producer_is_asked_follows_it(meanwhile):
    class Producer:
        def more(self):
            if len(pieces) == 2:
                other = threading.Thread(target=channel.push, args=(b"three",))
                other.start()
                other.join()
            return pieces.pop() if pieces else b""

    pieces = [b"two", b"one"]
    channel, far = meanwhile(None)
    channel.push_with_producer(Producer())
    while channel.producer_fifo:
        channel.handle_write()
    assert far.recv(100) == b"onetwothree"


@pytest.mark.slow
@kernel_only
@pytest.mark.parametrize("count", [None, TURNS])
@pytest.mark.parametrize("use_poll", [False, True])
def test_clients_come_and_go_in_threads_and_each_is_answered(use_poll, count):
    channels, failed, over = {}, [], threading.Event()

    class Chat(asynchat.async_chat):
        terminator = b"\n"
        collect_incoming_data = asynchat.async_chat._collect_incoming_data

        def handle_error(self):
            failed.append(sys.exc_info()[1])
            self.close()

    class Echo(Chat):
        def found_terminator(self):
            self.push(self._get_data() + b"\n")

    class Client(Chat):
        def __init__(self, sock):
            self.answered = threading.Event()
            super().__init__(sock, channels)

        def found_terminator(self):
            self.answered.set()

    class Server(asyncore.dispatcher):
        def handle_accepted(self, sock, addr):
            Echo(sock, channels)

    def serve():
        try:
            while not over.is_set():
                asyncore.loop(0.01, use_poll, channels, count)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failed.append(error)

    def ask(address):
        for _ in range(50):
            if not failed:
                client = Client(socket.create_connection(address))
                client.push(b"what\n")
                if not client.answered.wait(PATIENCE):
                    failed.append(client)
                client.close()

    server = Server(map=channels)
    server.create_socket()
    server.bind(("127.0.0.1", 0))
    server.listen(100)
    threads = [threading.Thread(target=ask, args=(server.socket.getsockname(),)) for _ in range(3)]
    loop = threading.Thread(target=serve)
    pause = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # seconds; a thread is overtaken everywhere
    try:
        for each in (loop, *threads):
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(pause)
        over.set()
        server.close()
        asyncore.close_all(channels.copy(), ignore_all=True)
        loop.join(PATIENCE)
    assert failed == []
    assert not loop.is_alive()
