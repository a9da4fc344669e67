"""Whatever accept() says, the listener listens on."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys

import pytest

import dispatch
from dispatch import asyncore
from dispatch.pollers.select import FD_SETSIZE
from dispatch.sockets.accepting import plainly
from tests.conftest import RESET
from tests.dispatch.conftest import Fickle, Recorder, StoppedClock


def nothing_left(*_):
    raise OSError(errno.ENOMEM, "none left")


def test_those_who_wait_are_accepted_in_growing_batches(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    clients = [world.connect(listener.addr) for _ in range(10)]
    accepted = []
    while listener.accepted < 10:
        loop.run_once(1)
        accepted.append(listener.accepted)

    assert accepted == [1, 3, 7, 10]
    assert sorted(c.addr for c in loop.channels.values() if c is not listener) == sorted(
        c.getsockname() for c in clients
    )


@pytest.mark.parametrize(
    "code", [errno.EAGAIN, errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.ENETDOWN, errno.ECONNRESET]
)
def test_an_accept_that_finds_nobody_is_no_error(world, code):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    listener.socket = Fickle(listener.socket, accept=[code])
    world.connect(listener.addr)
    world.run(loop, lambda: listener.accepted)

    assert not listener.closed


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_out_of_resources_the_listener_rests_and_goes_on(world, log, code):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    listener = world.listen(loop, Recorder)
    listener.socket = Fickle(listener.socket, accept=[code] * 2)
    world.connect(listener.addr)
    world.turn(loop, 10)
    assert listener.socket.calls == ["accept"]  # it does not spin
    clock.now += 0.05
    world.turn(loop, 10)
    assert listener.socket.calls == ["accept"] * 2
    clock.now += 0.05
    world.turn(loop, 10)
    assert listener.socket.calls == ["accept"] * 2  # twice as long the second time
    clock.now += 0.06
    world.turn(loop, 10)

    assert listener.statistics() == (1, -1, 0, 2)


def test_who_waits_is_hung_up_on_when_resources_stay_short(world):
    clock = StoppedClock()
    loop = world.loop(network=clock)
    listener = world.listen(loop, Recorder)
    listener._keep_spare()
    listener.socket = Fickle(listener.socket, accept=[errno.EMFILE, errno.EMFILE])
    clients = [world.connect(listener.addr) for _ in range(3)]
    world.turn(loop)
    clock.now += 0.05
    world.turn(loop)

    assert listener.shed == 3
    for client in clients:
        assert client.recv(1) == b""
    clock.now += 1
    world.turn(loop)
    world.connect(listener.addr)
    world.run(loop, lambda: listener.accepted)


@pytest.mark.skipif(os.name != "posix", reason="limits descriptors with setrlimit")
def test_a_full_descriptor_table_is_survived(kernel_world):
    import resource

    loop = kernel_world.loop()
    listener = kernel_world.listen(loop, Recorder)
    client = socket.socket()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
    try:
        client.settimeout(5)
        client.connect(listener.addr)
        kernel_world.turn(loop)
        assert listener.rests == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kernel_world.run(loop, lambda: listener.accepted)
    client.close()


def test_a_connection_that_was_reset_in_the_queue_is_closed_and_nothing_else(world):
    loop = world.loop()
    made = []

    class Kept(Recorder):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append(self)

    listener = world.listen(loop, Kept)
    client = world.connect(listener.addr)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    world.run(loop, lambda: made and made[0].closed)
    world.turn(loop, 1)

    assert made[0].events == [("close", ConnectionResetError)]
    assert not listener.closed


def test_a_handler_class_that_fails_costs_its_connection_only(kernel_world, caplog):
    loop = kernel_world.loop()

    class Moody(Recorder):
        moods = [1, 2, 3]  # noqa: RUF012 - one list for all of them

        def __init__(self, *args, **options):
            mood = self.moods.pop()
            if mood == 3:
                raise ValueError("before the socket is taken")
            super().__init__(*args, **options)
            if mood == 2:
                raise ValueError("after the socket is taken")

    listener = kernel_world.listen(loop, Moody)
    clients = [kernel_world.connect(listener.addr) for _ in range(3)]
    kernel_world.run(loop, lambda: not Moody.moods)
    kernel_world.turn(loop)

    assert [client.recv(1) for client in clients[:2]] == [b"", b""]
    assert len(loop.channels) == 2
    assert "after the socket is taken" in caplog.text


def test_a_handler_class_that_fails_before_its_own_abort_can_work_costs_its_connection_only(kernel_world, caplog):
    class HalfMade(Recorder):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            raise ValueError("no configuration")

        def abort(self, reason=None):
            self.journal.append(reason)  # which the rest of the constructor would have made
            super().abort(reason)

    loop = kernel_world.loop()
    listener = kernel_world.listen(loop, HalfMade)
    clients = [kernel_world.connect(listener.addr) for _ in range(2)]
    kernel_world.run(loop, lambda: listener.accepted == 2)
    kernel_world.turn(loop)

    assert not listener.closed
    assert list(loop.channels.values()) == [listener]
    assert [client.recv(1) for client in clients] == [b"", b""]


@pytest.mark.slow
def test_channels_that_cannot_be_made_for_want_of_descriptors_are_counted_and_told_once(kernel_world, caplog):
    class Greedy(Recorder):
        def __init__(self, sock, **options):
            if taken:
                raise OSError(errno.EMFILE, "no file for its log")
            super().__init__(sock, **options)

    loop, taken = kernel_world.loop(), True
    listener = kernel_world.listen(loop, Greedy)
    for _ in range(5):
        client = kernel_world.connect(listener.addr)
        kernel_world.run(loop, lambda: not loop.run_once(0))
        assert client.recv(1) == b""
    assert (listener.statistics().accepted, listener.statistics().shed) == (5, 5)
    assert [record.exc_info[0] for record in caplog.records] == [OSError]

    taken = False
    kernel_world.connect(listener.addr)
    kernel_world.run(loop, lambda: len(loop.channels) == 2)


def test_beyond_what_select_can_watch_connections_are_closed_and_told_of_once(caplog):
    with contextlib.ExitStack() as taken, dispatch.Loop(poller="select") as loop:
        listener = dispatch.Listener(("127.0.0.1", 0), Recorder, loop=loop)
        while taken.enter_context(open(os.devnull, "rb")).fileno() < FD_SETSIZE:
            pass
        for _ in range(3):
            client = taken.enter_context(socket.create_connection(listener.addr, timeout=5))
            loop.run_once(0)
            assert client.recv(1) == b""

    assert listener.shed == 3
    assert len(caplog.records) == 1
    assert "select cannot watch descriptor" in caplog.text


def test_a_limit_leaves_the_others_in_the_queue(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder, limit=2)
    clients = [world.connect(listener.addr) for _ in range(4)]
    world.turn(loop, 5)
    assert listener.statistics()[:2] == (2, 2)

    clients[0].close()
    world.run(loop, lambda: listener.accepted == 3)
    assert listener.statistics().open == 2
    clients[1].close()
    world.run(loop, lambda: listener.accepted == 4)


def test_the_name_of_a_host_is_kept_once_and_no_longer_than_its_connections(world):
    loop = world.loop()
    made = []

    def accepted(sock, **options):
        made.append(Recorder(sock, **options))

    listener = world.listen(loop, accepted)
    for _ in range(2):
        world.connect(listener.addr)
    world.run(loop, lambda: len(made) == 2)
    one, other = (channel.addr[0] for channel in made)

    assert one is other or sys.version_info[:2] == (3, 12)
    assert sys.getrefcount(one) < 1000  # of what Python never lets go it says some billions


def test_a_limit_may_be_changed(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder, limit=1)
    for _ in range(4):
        world.connect(listener.addr)
    world.turn(loop, 5)
    assert listener.accepted == 1

    listener.limit = 3
    world.turn(loop, 5)
    assert listener.accepted == 3
    with pytest.raises(ValueError, match="limit=0"):
        listener.limit = 0
    listener.limit = None
    world.turn(loop, 5)
    assert listener.accepted == 4


def test_a_limit_that_counts_nobody_says_so_once(world, caplog):
    """As where a function makes two streams for each connection, and returns neither."""
    loop = world.loop()

    def handler(sock, *, addr, loop):
        if listener.accepted == 1:
            sock.close()  # turned away
        else:
            Recorder(sock, addr=addr, loop=loop)

    listener = world.listen(loop, handler, limit=1)
    for _ in range(3):
        world.connect(listener.addr)
        world.turn(loop, 4)

    assert listener.accepted == 3
    (record,) = caplog.records
    assert "limit=1 counts the streams that its handler returns; <function" in record.message
    assert record.message.endswith("has returned None")


def test_a_paused_listener_accepts_nobody(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    listener.pause()
    world.connect(listener.addr)
    world.turn(loop)
    assert listener.accepted == 0

    listener.resume()
    world.run(loop, lambda: listener.accepted)


def test_a_closed_listener_leaves_its_connections_alone(world):
    loop = world.loop()
    channel, client = world.connected(loop, Recorder)  # closes the listener
    client.send(b"x")
    world.run(loop, lambda: channel.data)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 1), timeout=5)


def test_a_listener_that_its_own_handler_closes_keeps_no_descriptor(world, monkeypatch):
    monkeypatch.setattr("dispatch.listener.SPARE_FROM", 1)

    def only_one(sock, **options):
        listener.close()
        return Recorder(sock, **options)

    loop = world.loop()
    listener = world.listen(loop, only_one)
    world.connect(listener.addr)
    world.run(loop, lambda: listener.closed)

    assert listener._spare is None


def test_an_address_in_use_is_said_at_the_call(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)

    with pytest.raises(OSError, match="in use"):
        dispatch.Listener(listener.addr, Recorder, loop=loop)
    assert len(loop.channels) == 1


def test_every_address_of_the_machine(world):
    loop = world.loop()
    listener = dispatch.Listener(("", 0), Recorder, loop=loop)
    world.connect(("127.0.0.1", listener.addr[1]))
    world.run(loop, lambda: listener.accepted)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_one_listener_for_both_families(world):
    loop = world.loop()
    try:
        listener = dispatch.Listener(("::", 0), Recorder, loop=loop)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    world.connect(("127.0.0.1", listener.addr[1]))
    world.connect(("::1", listener.addr[1]))
    world.run(loop, lambda: listener.accepted == 2)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_unix_socket_is_a_path(kernel_world, tmp_path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # the file stays when the listener is gone
    loop = kernel_world.loop()
    listener = dispatch.Listener(path, Recorder, loop=loop)
    client = Recorder(loop=loop)
    client.connect(str(path))
    kernel_world.run(loop, lambda: listener.accepted and client.connected)
    with pytest.raises(OSError, match="in use"):
        dispatch.Listener(path, Recorder, loop=loop)
    listener.close()

    assert not path.exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_listener_that_fails_leaves_no_file(kernel_world, tmp_path, monkeypatch):
    def listen(sock, backlog):
        assert path.exists()
        raise OSError(errno.EADDRINUSE, "taken")

    path = tmp_path / "socket"
    loop = kernel_world.loop()
    monkeypatch.setattr(socket.socket, "listen", listen)
    with pytest.raises(OSError, match="taken"):
        dispatch.Listener(path, Recorder, loop=loop)

    assert not path.exists()


def test_a_listener_that_closes_leaves_the_file_of_the_one_that_took_its_path(kernel_world, tmp_path):
    loop = kernel_world.loop()
    old = dispatch.Listener(tmp_path / "socket", Recorder, loop=loop)
    (tmp_path / "socket").unlink()
    new = dispatch.Listener(tmp_path / "socket", Recorder, loop=loop)
    old.close()
    kernel_world.turn(loop)

    client = Recorder(loop=loop)
    client.connect(tmp_path / "socket")
    kernel_world.run(loop, lambda: new.accepted)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
@pytest.mark.parametrize("path", ["socket", b"socket"], ids=["text", "bytes"])
def test_a_relative_path_is_free_again_wherever_the_program_has_gone(kernel_world, tmp_path, monkeypatch, path):
    """A daemon goes to the root."""
    loop = kernel_world.loop()
    monkeypatch.chdir(tmp_path)
    listener = dispatch.Listener(path, dispatch.Stream, loop=loop)
    assert os.path.exists(path)
    monkeypatch.chdir("/")
    listener.close()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_that_closes_its_loop_leaves_the_file_to_the_parent(kernel_world, tmp_path):
    loop = kernel_world.loop()
    dispatch.Listener(tmp_path / "socket", Recorder, loop=loop)
    child = os.fork()
    if not child:
        loop.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert (tmp_path / "socket").exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_a_listener_that_cannot_be_made_leaves_no_file(kernel_world, tmp_path, monkeypatch):
    loop = kernel_world.loop()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="none left"):
        patch.setattr(dispatch.Loop, "_join", nothing_left)
        dispatch.Listener(tmp_path / "socket", Recorder, loop=loop)

    assert not (tmp_path / "socket").exists()


def test_a_socket_that_exists_may_be_used(world):
    loop = world.loop()
    listener = dispatch.Listener(handler=Recorder, sock=socket.create_server(("127.0.0.1", 0)), loop=loop)
    world.connect(listener.addr)
    world.run(loop, lambda: listener.accepted)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_two_listeners_may_share_a_port(world):
    loop = world.loop()
    first = world.listen(loop, Recorder, reuse_port=True)
    second = dispatch.Listener(first.addr, Recorder, loop=loop, reuse_port=True)

    assert second.addr == first.addr


def test_wrong_use_is_refused_at_the_call(world):
    loop = world.loop()

    with pytest.raises(TypeError, match="cannot handle connections"):
        dispatch.Listener(("127.0.0.1", 0), None, loop=loop)
    with pytest.raises(ValueError, match="limit=0"):
        dispatch.Listener(("127.0.0.1", 0), Recorder, loop=loop, limit=0)
    with pytest.raises(ValueError, match="an address or a socket"):
        dispatch.Listener(handler=Recorder, loop=loop)


def test_a_socket_that_stops_listening_closes_the_listener(world):
    loop = world.loop()
    listener = world.listen(loop, Recorder)
    listener.socket = Fickle(listener.socket, accept=[errno.EINVAL])
    world.connect(listener.addr)
    world.run(loop, lambda: listener.closed)


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_what_is_accepted_is_what_the_socket_itself_would_have_accepted(family, tmp_path):
    kind = getattr(socket, family)
    address = {"AF_INET": ("127.0.0.1", 0), "AF_INET6": ("::1", 0), "AF_UNIX": str(tmp_path / "socket")}[family]
    with socket.socket(kind, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()
        told = []
        for take in (socket.socket.accept, lambda sock: plainly(sock) or sock.accept()):
            with socket.socket(kind, socket.SOCK_STREAM) as client:
                client.connect(listener.getsockname())
                name = client.getsockname()
                sock, addr = take(listener)
                with sock:
                    assert addr == name
                    traits = sock.family, sock.type, sock.proto, sock.gettimeout(), sock.get_inheritable()
                    told.append((type(sock), traits, os.get_blocking(sock.fileno())))
        assert told[0] == told[1]


def test_who_stands_in_for_accept_is_obeyed(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(socket.socket, "accept", nothing_left)
        monkeypatch.setattr(asyncore.dispatcher, "ignore_log_types", ())
        assert asyncore.dispatcher(listener, {}).accept() is None
    assert "none left" in capsys.readouterr().out
