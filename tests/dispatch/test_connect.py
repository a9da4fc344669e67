"""Connected is told if and only if it is so; a failure says what each address answered."""

from __future__ import annotations

import errno
import gc
import os
import socket
import weakref
from pathlib import Path

import pytest

import dispatch
from dispatch.interfaces import IN
from dispatch.kernel import KernelNetwork
from dispatch.sockets.addresses import interleave
from tests.dispatch.conftest import Recorder, StoppedClock


def closed_port():
    """A port that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Bounded:
    """A poller that never sleeps without end."""

    def __init__(self, poller):
        self._poller = poller

    def __getattr__(self, name):
        return getattr(self._poller, name)

    def poll(self, timeout=None):
        assert timeout is not None, "nobody is left who could end this sleep"
        return self._poller.poll(timeout)


def test_a_connect_is_told_once_and_not_inside_the_call(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    client = Recorder(loop=loop)
    client.connect(listener.addr)
    assert client.events == []
    assert client.connecting
    world.run(loop, lambda: client.events)

    assert client.events == ["connect"]
    assert client.connected
    assert not client.connecting


def test_what_is_written_before_waits_for_the_connection(world):
    loop = world.loop()
    servers = []

    class Server(Recorder):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            servers.append(self)

    listener = world.listen(loop, Server)
    client = Recorder(loop=loop)
    client.connect(listener.addr)
    client.write(b"early")
    client.close()
    world.run(loop, lambda: servers and servers[0].closed)

    assert servers[0].data == b"early"
    assert client.events == [("close", None)]


@pytest.mark.parametrize("when", ["before", "in handle_connect"])
def test_handle_connect_may_turn_the_loop_for_the_answer_to_what_was_written(world, when):
    loop = world.loop()

    class Echo(Recorder):
        def handle_data(self, data):
            self.write(data)

    class Asking(Recorder):
        def handle_connect(self):
            super().handle_connect()
            if when != "before":
                self.write(b"question")
            for _ in range(100):
                if self.data:
                    break
                loop.run_once(0.01)
            self.events.append("returns")

    listener = world.listen(loop, Echo)
    client = Asking(loop=loop)
    client.connect(listener.addr)
    if when == "before":
        client.write(b"question")
    world.run(loop, lambda: "returns" in client.events)

    assert client.data == b"question"
    assert client.events == ["connect", "data", "returns"]


def test_a_refusal_is_the_reason_of_the_close_and_nothing_else_is_told(world):
    loop = world.loop()
    client = Recorder(loop=loop)
    client.connect(("127.0.0.1", closed_port()))
    world.run(loop, lambda: client.events)

    assert client.events == [("close", ConnectionRefusedError)]
    assert client.reason.errno == errno.ECONNREFUSED
    assert [error.errno for _, error in client.reason.attempts] == [errno.ECONNREFUSED]
    assert not client.connected


class Names(KernelNetwork):
    """A resolver with one name."""

    def __init__(self, *addresses):
        self.addresses = addresses

    def getaddrinfo(self, host, port, family, type):
        return [
            (
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                type,
                6,
                "",
                (host, port) if ":" not in host else (host, port, 0, 0),
            )
            for host, port in self.addresses
        ]


def test_the_next_address_is_tried_when_one_refuses(world):
    with socket.create_server(("127.0.0.1", 0)) as server:
        loop = world.loop(network=Names(("127.0.0.1", closed_port()), server.getsockname()))
        client = Recorder(loop=loop)
        client.connect(("somewhere", 1))
        world.run(loop, lambda: client.events)

        assert client.events == ["connect"]
        assert client.socket.getpeername() == server.getsockname()


def test_an_address_that_is_silent_is_overtaken_by_the_next(world):
    """The Unix of happy eyeballs: a full backlog leaves the first attempt waiting, and it loses."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.create_server(("127.0.0.1", 0)) as server:
        fill = [socket.create_connection(silent.getsockname(), timeout=5)]
        clock = type("Clock", (Names, StoppedClock), {})(silent.getsockname(), server.getsockname())
        clock.now = 1000.0
        loop = world.loop(network=clock)
        client = Recorder(loop=loop)
        client.connect(("somewhere", 1))
        world.turn(loop)
        assert client.connecting
        clock.now += 0.25
        world.turn(loop, 5)

        assert client.events == ["connect"]
        assert client.socket.getpeername() == server.getsockname()
        assert len(loop.channels) == 1  # the attempt that lost is gone
        fill[0].close()


def test_a_failure_has_the_error_of_each_address(world):
    loop = world.loop(network=Names(("127.0.0.1", closed_port()), ("127.0.0.2", closed_port())))
    client = Recorder(loop=loop)
    client.connect(("somewhere", 1))
    world.run(loop, lambda: client.events)

    assert [address[0] for address, _ in client.reason.attempts] == ["127.0.0.1", "127.0.0.2"]
    assert ["refused" in note for note in client.reason.__notes__] == [True, True]


def test_a_connect_that_takes_too_long_is_given_up(world):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        with socket.create_connection(silent.getsockname(), timeout=5):
            clock = StoppedClock()
            loop = world.loop(network=clock)

            class Hasty(Recorder):
                connect_timeout = 10

            client = Hasty(loop=loop)
            client.connect(silent.getsockname())
            clock.now += 9
            world.turn(loop)
            assert client.connecting
            clock.now += 2
            world.turn(loop)

    assert client.events == [("close", dispatch.Timeout)]
    assert client.reason.which == "connect"
    assert loop.channels == {}


@pytest.mark.parametrize("connect_timeout", [None, 60])
def test_what_was_written_before_a_close_waits_no_longer_for_a_connection_than_for_a_peer(world, connect_timeout):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        with socket.create_connection(silent.getsockname(), timeout=5):
            clock = StoppedClock()
            loop = world.loop(network=clock)
            client = Recorder(loop=loop)
            client.connect_timeout = connect_timeout
            client.close_timeout = 5
            client.connect(silent.getsockname())
            client.write(b"last words")
            client.close()
            clock.now += 4
            world.turn(loop)
            assert not client.closed
            clock.now += 2
            world.turn(loop)

    assert client.events == [("close", dispatch.Timeout)]
    assert client.reason.which == "close"
    assert "10 bytes" in str(client.reason)
    assert loop.channels == {}


def test_a_connection_that_cannot_be_watched_is_the_reason_of_the_close(world):
    loop = world.loop()

    class Short:
        """A poller that has no room for a descriptor that is to be read."""

        def __init__(self, poller):
            self._poller = poller

        def __getattr__(self, name):
            return getattr(self._poller, name)

        def watch(self, fd, bits):
            if bits & IN:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._poller.watch(fd, bits)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Recorder(loop=loop)
        client.connect(listener.getsockname())
        loop.poller = Short(loop.poller)
        world.run(loop, lambda: client.closed)
        world.turn(loop, 1)

    assert client.events == [("close", OSError)]
    assert client.socket.fileno() == -1


def test_a_name_that_nobody_knows_is_the_reason_of_the_close(world):
    class Unknown(KernelNetwork):
        def getaddrinfo(self, host, port, family, type):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    loop = world.loop(network=Unknown())
    client = Recorder(loop=loop)
    client.connect(("nobody.invalid", 1))
    world.turn(loop)

    assert client.events == [("close", socket.gaierror)]
    assert client.reason.__notes__ == ["the address to connect to is ('nobody.invalid', 1)"]


def test_a_look_up_that_gives_no_address_is_as_good_as_none(world):
    loop = world.loop(network=Names())
    client = Recorder(loop=loop)
    client.connect(("nobody.invalid", 1))
    world.turn(loop)

    assert client.events == [("close", socket.gaierror)]


@pytest.mark.parametrize("how", ["connect", "abort"])
def test_a_loop_whose_last_channel_ends_before_its_first_turn_has_nothing_to_wait_for(world, how):
    loop = world.loop()
    client = Recorder(loop=loop)
    if how == "connect":
        client.connect("/nowhere/at/all")  # refused at once, as is a name that nobody knows
    else:
        client.abort()
    loop.poller = Bounded(loop.poller)
    loop.run()

    assert client.events == [("close", FileNotFoundError if how == "connect" else dispatch.Aborted)]
    assert loop.channels == {}


def test_closing_gives_the_attempt_up(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    client = Recorder(loop=loop)
    client.connect(listener.addr)
    client.close()
    world.turn(loop)

    assert client.events == [("close", None)]
    assert [c for c in loop.channels.values() if type(c).__name__ == "Attempt"] == []


@pytest.mark.parametrize("deadline", [0, 0.05])
def test_a_stream_that_is_still_connecting_is_told_when_its_loop_is_closed(world, deadline):
    """What the loop knows of it is an attempt, or nothing while a full Unix listener is let alone."""
    path = f"\0a listener that is full {id(world)}"
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, socket.socket(socket.AF_UNIX) as full:
        full.bind(path)
        full.listen(0)
        with socket.create_connection(silent.getsockname(), timeout=5), socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            loop = world.loop()
            clients = [Recorder(loop=loop) for _ in range(3)]
            clients[0].connect(silent.getsockname())
            clients[1].connect(path)
            clients[2].connect(silent.getsockname())
            clients[2].write(b"it may connect yet, until the deadline")
            world.turn(loop)
            loop.close(deadline)

    at_once = None if deadline else dispatch.Aborted
    assert [each.events for each in clients] == [
        [("close", at_once)],
        [("close", at_once)],
        [("close", dispatch.Aborted)],
    ]


def test_the_local_address_may_be_chosen(world):
    loop = world.loop()
    listener = dispatch.Listener(("", 0), Recorder, loop=loop)
    client = Recorder(loop=loop)
    client.connect(("127.0.0.1", listener.addr[1]), source=("127.0.0.5", 0))
    world.run(loop, lambda: client.connected)

    assert client.socket.getsockname()[0] == "127.0.0.5"


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_so_may_a_path(kernel_world, tmp_path, kind):
    loop = kernel_world.loop()
    listener = dispatch.Listener(tmp_path / "server", Recorder, loop=loop)
    client = Recorder(loop=loop)
    client.connect(listener.addr, source=kind(tmp_path / "client"))
    kernel_world.run(loop, lambda: client.connected)

    assert client.socket.getsockname() == str(tmp_path / "client")


@pytest.mark.parametrize("first", [0, 1])
def test_an_address_of_another_family_than_the_source_costs_its_own_attempt_only(world, first):
    """For Python, four numbers are no address at all of IPv4: that is no OSError."""
    with socket.socket(socket.AF_INET6) as nobody:
        nobody.bind(("::1", 0))
        addresses = [nobody.getsockname()[:2], ("127.0.0.1", closed_port())]
        loop = world.loop(network=Names(*addresses[first:], *addresses[:first]))
        client = Recorder(loop=loop)
        client.connect(("somewhere", 1), source=("::1", 0, 0, 0))
        world.run(loop, lambda: client.events)

    assert client.events == [("close", ConnectionRefusedError)]
    assert sorted(type(error).__name__ for _, error in client.reason.attempts) == [
        "ConnectionRefusedError",
        "TypeError",
    ]


def test_a_stream_connects_once(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    client = Recorder(loop=loop)
    client.connect(listener.addr)

    with pytest.raises(RuntimeError, match="make a new one"):
        client.connect(listener.addr)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_full_unix_listener_is_asked_again(kernel_world, tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            loop = kernel_world.loop()
            client = Recorder(loop=loop)
            client.connect(path)
            kernel_world.turn(loop)
            assert client.events == []
            server.accept()[0].close()
            kernel_world.run(loop, lambda: client.events)

    assert client.events[0] == "connect"


def test_families_take_turns():
    v6 = [(10, f"six{n}") for n in range(3)]
    v4 = [(2, f"four{n}") for n in range(2)]

    assert interleave(v6 + v4) == [v6[0], v4[0], v6[1], v4[1], v6[2]]
    assert interleave([]) == []


@pytest.mark.parametrize("refused", [False, True])
def test_a_client_goes_when_its_last_user_does_and_waits_for_no_collector(world, refused):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    if refused:
        address = listener.addr
        listener.close()
        loop.run_once(0)
    else:
        address = listener.addr
    gc.disable()
    try:
        client = Recorder(loop=loop)
        client.connect(address)
        world.run(loop, lambda: client.events)
        assert client.events[0] == (("close", ConnectionRefusedError) if refused else "connect")
        client.close()
        world.run(loop, lambda: client.closed)
        world.turn(loop, 1)
        seen = weakref.ref(client)
        client = None
        assert seen() is None
    finally:
        gc.enable()
