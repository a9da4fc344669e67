"""How long a turn sleeps, and who wakes it, beside the module that it stands for: pipes, hang-ups, and who cannot write after all."""

from __future__ import annotations

import os
import select
import socket
import time
import warnings

import pytest

import dispatch.asynchat
import dispatch.asyncore
from tests.dispatch.conftest import the_harness

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")
@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("count", [1, 8])
def test_who_has_paused_at_a_pipe_without_a_writer_hears_of_it_by_poll_alone(use_poll, own_map, count):
    """It would like to write, as a dispatcher does; select(2) never finds room in the reading end, and sleeps."""

    def program(asyncore):
        told = []
        reader, writer = os.pipe()

        class Paused(asyncore.file_dispatcher):
            def readable(self):
                told.append("asked")
                return False

            def handle_write(self):
                told.append("write")

            def handle_close(self):
                told.append("close")
                self.close()

        channel = Paused(reader, {} if own_map else None)
        os.close(writer)
        begun = time.monotonic()
        for _ in range(3):
            asyncore.loop(0.02, use_poll, channel._map, count)
        told.append(time.monotonic() - begun > 0.03 * count)
        channel.close()
        os.close(reader)
        return told

    told = program(dispatch.asyncore)
    assert told == program(theirs)
    assert ("close" in told) is use_poll


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")
@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "listener", "full"])
def test_a_turn_sleeps_where_nobody_has_room_to_write_though_somebody_would(use_poll, own_map, kind):
    """As a dispatcher would that says nothing of writing: but its pipe is for reading, it listens, or its peer does not read."""

    def program(asyncore):
        class Quiet(asyncore.file_dispatcher if kind == "pipe" else asyncore.dispatcher):
            def handle_read(self):
                self.recv(10)

        channels = {} if own_map else None
        reader, writer = os.pipe()
        near, far = socket.socketpair()
        with socket.create_server(("127.0.0.1", 0)) as listener, near, far:
            channel = Quiet({"pipe": reader, "listener": listener, "full": near}[kind], channels)
            while kind == "full":
                try:
                    near.send(bytes(4096))
                except BlockingIOError:
                    break
            begun = time.monotonic()
            for count in (1, 1, 20):
                asyncore.loop(0.02, use_poll, channel._map, count)
            slept = time.monotonic() - begun
            channel.close()
        os.close(reader)
        os.close(writer)
        return slept > 0.4

    assert program(theirs)
    assert program(dispatch.asyncore)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")
@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
def test_who_closes_itself_when_it_is_asked_keeps_nobody_awake(use_poll, own_map):
    """The old module gave the closed descriptor to select(2), and that was the end of the loop."""

    class Tired(dispatch.asyncore.dispatcher):
        def readable(self):
            self.close()
            return False

    class Quiet(dispatch.asyncore.file_dispatcher):
        def handle_read(self):
            self.recv(10)

    near, far = socket.socketpair()
    reader, writer = os.pipe()
    quiet = Quiet(reader, {} if own_map else None)
    dispatch.asyncore.loop(0, use_poll, quiet._map, 8)
    Tired(near, quiet._map)
    begun = time.monotonic()
    dispatch.asyncore.loop(0.02, use_poll, quiet._map, 15)
    assert time.monotonic() - begun > 0.2
    assert list(quiet._map.values()) == [quiet]
    quiet.close()
    far.close()
    os.close(reader)
    os.close(writer)


class HungUp:
    """A poller that finds a hang-up and nothing else, as poll(2) does in the moment in which a Unix socket's peer closes."""

    name, wakes_on_watch = "poll", False

    def __init__(self):
        self.watched = set()

    def watch(self, fd, bits):
        self.watched.add(fd)

    change = watch

    def forget(self, fd):
        self.watched.discard(fd)

    def poll(self, timeout):
        return [(fd, select.POLLHUP) for fd in self.watched]

    def close(self):
        self.watched.clear()


def test_a_hang_up_alone_is_told_to_who_writes_to_a_socket():
    """It would not be woken again for the room that there will be."""
    near, far = socket.socketpair()
    channels, told = {}, []
    channel = dispatch.asyncore.dispatcher(near, channels)
    channel.readable, channel.handle_write = lambda: False, lambda: told.append("write")
    with near, far:
        kinds = dispatch.asyncore.read, dispatch.asyncore.write, dispatch.asyncore._exception
        for _ in range(2):
            dispatch.maps.serving.turn(channels, 0, dispatch.asyncore.readwrite, kinds, HungUp())
        channel.close()
    assert told == ["write"] * 2


@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("count", [1, 8])
def test_a_handle_write_that_somebody_gives_an_object_is_called_in_the_next_turn(use_poll, own_map, count):
    """As a test does it with a mock, after the loop has known the object for long as one that only grumbles."""

    def program(asyncore):
        near, far = socket.socketpair()
        told = []
        with near, far:
            channel = asyncore.dispatcher(near, {} if own_map else None)
            for turns in (1, 1, 20, count):
                asyncore.loop(0.1, use_poll, channel._map, turns)
            channel.handle_write = lambda: told.append("write")
            asyncore.loop(0.1, use_poll, channel._map, count)
            del channel.handle_write
            asyncore.loop(0.1, use_poll, channel._map, count)
            channel.ignore_log_types, channel.log_info = (), lambda *what: told.append(what)
            asyncore.loop(0.1, use_poll, channel._map, count)
            channel.close()
        return told

    told = program(dispatch.asyncore)
    assert told == program(theirs)
    assert len(told) == 2 * count


def by_object(channel):
    channel.writable = lambda: True


def by_class(channel):
    type(channel).writable = lambda self: True


def by_flag(channel):
    channel.connected = False  # who is not, waits for it


@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("warm", [0, 3, 30])
@pytest.mark.parametrize("way", [by_object, by_class, by_flag])
@pytest.mark.parametrize("kind", ["dispatcher_with_send", "async_chat"])
def test_a_writable_that_somebody_gives_an_object_counts_from_the_next_turn_that_is_idle(
    kind, way, warm, use_poll, own_map
):
    """Also if it was the loop's for so long that it was not asked any more."""

    def program(asyncore, asynchat):
        near, far = socket.socketpair()
        told = []
        with near, far:
            base = getattr(asyncore, kind, None) or getattr(asynchat, kind)
            channel = type("Quiet", (base,), {"handle_write": lambda self: told.append("write")})(
                near, {} if own_map else None
            )
            for _ in range(warm):
                asyncore.loop(0, use_poll, channel._map, 1)
            way(channel)
            for _ in range(3):
                asyncore.loop(0, use_poll, channel._map, 1)
                told.append("turn")
            channel.close()
        return told

    told = program(dispatch.asyncore, dispatch.asynchat)
    assert told == program(theirs, their_chat) == ["write", "turn"] * 3


@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("count", [2, 8])
def test_a_turn_does_not_sleep_where_somebody_takes_another_socket_when_it_is_asked(use_poll, own_map, count):
    """As who waits with a socket of no use until it can connect: that is hung up, and wakes who polls it."""

    def program(asyncore):
        told, old = [], []

        class Moving(asyncore.dispatcher):
            def readable(self):
                if self.socket is not near:
                    old.append(self.socket)  # it stays open
                    self.del_channel()
                    self.set_socket(near, self._map)
                return True

            def writable(self):
                return False

            def handle_read(self):
                told.append((self.recv(10), time.monotonic() - begun < 1))
                self.close()

        with the_harness().Network():
            near, far = socket.socketpair()
            far.send(b"x")
            channel = Moving(map={} if own_map else None)
            channel.create_socket(socket.AF_INET, socket.SOCK_STREAM)
            begun = time.monotonic()
            asyncore.loop(60, use_poll, channel._map, count)
            for each in (far, *old):
                each.close()
        return told

    assert program(dispatch.asyncore) == program(theirs) == [(b"x", True)]
