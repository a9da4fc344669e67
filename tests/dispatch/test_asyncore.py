"""The drop-in: what is kept of asyncore, and what is mended (the exhibits of a bug museum, one by one)."""

from __future__ import annotations

import errno
import importlib
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

from dispatch import asynchat, asyncore
from dispatch.interfaces import current_network
from dispatch.maps import channelmap, predicates
from dispatch.maps import serving as maps
from dispatch.maps.maploop import MapLoop
from dispatch.maps.serving import serve_map
from tests.conftest import RESET
from tests.dispatch.conftest import PATIENCE, Fickle, kernel_only

pytestmark = pytest.mark.usefixtures("anywhere")


@pytest.fixture(params=["select", "poll"])
def turn(request, monkeypatch):
    """One turn as loop() makes it, with either habit. Under poll's a loop is kept for a dict, as for many turns."""
    if request.param == "poll":
        monkeypatch.setattr(maps, "FEW", 0)

    def turn(map, times=1, timeout=0.01):
        asyncore.loop(timeout, request.param == "poll", map, times)

    turn.use_poll = request.param == "poll"
    return turn


@pytest.fixture(params=["dict", "ChannelMap"], name="map")
def a_map(request, anywhere, monkeypatch):
    """A program's own dict, or the kind the module has; that one with a loop from the first turn on."""
    monkeypatch.setattr(channelmap, "CALM", 0)
    channels = {} if request.param == "dict" else channelmap.ChannelMap()
    yield channels
    asyncore.close_all(channels, ignore_all=True)


class Recorder(asyncore.dispatcher):
    def __init__(self, sock=None, map=None):
        self.events = []
        self.data = b""
        asyncore.dispatcher.__init__(self, sock, map)

    def writable(self):
        return False

    def handle_read(self):
        data = self.recv(8192)
        if data:
            self.data += data
            self.events.append("read")

    def handle_connect(self):
        self.events.append(("connect", self.connected))

    def handle_write(self):
        self.events.append("write")

    def handle_expt(self):
        self.events.append("expt")

    def handle_close(self):
        self.events.append("close")
        self.close()

    def handle_error(self):
        self.events.append(("error", sys.exc_info()[0]))
        self.close()


class Server(asyncore.dispatcher):
    def __init__(self, map, handler=Recorder):
        asyncore.dispatcher.__init__(self, map=map)
        self.handler = handler
        self.made = []
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("127.0.0.1", 0))
        self.listen(5)

    def handle_accepted(self, sock, addr):
        self.made.append(self.handler(sock, self._map))

    @property
    def address(self):
        return self.socket.getsockname()


@pytest.fixture
def pair(anywhere, map, loopback_pair):
    """A recorder in the map, and its peer."""
    opener, acceptor = loopback_pair
    return Recorder(acceptor, map), opener


def until(condition, turn, map):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        turn(map)


# ---- kept


@kernel_only
def test_the_names_are_there():
    names = """ExitNow socket_map read write readwrite poll poll2 poll3 loop dispatcher dispatcher_with_send compact_traceback
        close_all file_wrapper file_dispatcher _exception _strerror _DISCONNECTED _reraised_exceptions socket select errorcode
        EALREADY EINPROGRESS EWOULDBLOCK ECONNRESET EINVAL ENOTCONN ESHUTDOWN EISCONN EBADF ECONNABORTED EPIPE EAGAIN os sys
        time warnings"""
    assert [name for name in names.split() if not hasattr(asyncore, name)] == []
    assert asyncore.poll3 is asyncore.poll2


@kernel_only
def test_the_modules_load_nothing_that_they_do_not_use():
    code = (
        "import select, socket, sys, warnings; before = set(sys.modules); from dispatch import asynchat, asyncore; "
        "print(*{'dispatch.stream', 'dispatch.listener', 'weakref', 'contextlib', 'logging'} & (set(sys.modules) - before))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    assert told.split() == []


@kernel_only
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="asyncore left the standard library in Python 3.12")
def test_every_public_name_of_the_interpreters_module_is_there():
    code = "import warnings; warnings.simplefilter('ignore'); import asyncore, asynchat; print(*dir(asyncore), '|', *dir(asynchat))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    from dispatch import asynchat

    for ours, theirs in zip((asyncore, asynchat), told.split("|"), strict=True):
        missing = {name for name in theirs.split() if not hasattr(ours, name)}
        assert missing <= {"_DEPRECATION_MSG", "_deprecated"}


@kernel_only
@pytest.mark.parametrize("name", ["asyncore", "asynchat"])
def test_a_star_import_gives_what_it_gave(name):
    pytest.importorskip(name, reason="no other asyncore here: Python 3.12 removed it")
    theirs, ours = {}, {}
    exec(f"from {name} import *", theirs)
    exec(f"from dispatch.{name} import *", ours)
    # @: pytest's, in a plugin's package.
    more = {key for key in set(theirs) ^ set(ours) if not key.startswith(("__", "@"))}
    assert more <= {"fifo"}  # of asynchat before 3.7


ATTRIBUTES = {
    "__init__ _map _fileno socket addr accepting closing connected connecting debug ignore_log_types family_and_type",
    "accept add_channel bind close connect create_socket del_channel listen log log_info readable recv send set_reuse_addr",
    "set_socket writable handle_accept handle_accepted handle_close handle_connect handle_connect_event handle_error",
    "handle_expt handle_expt_event handle_read handle_read_event handle_write handle_write_event initiate_send out_buffer",
    "ac_in_buffer ac_in_buffer_size ac_out_buffer_size close_when_done collect_incoming_data discard_buffers encoding",
    "found_terminator get_terminator incoming producer_fifo push push_with_producer set_terminator terminator use_encoding",
    "_collect_incoming_data _get_data",
}


@kernel_only
def test_no_class_has_an_attribute_that_a_programs_own_could_meet():
    asyncores = {name for names in ATTRIBUTES for name in names.split()}
    for kind in (asyncore.dispatcher, asyncore.dispatcher_with_send, asynchat.async_chat):
        channel = kind(map={})
        extra = {name for name in dir(channel) if name not in asyncores and not name.endswith("__")}
        assert {name for name in extra if not name.startswith("_dispatch_")} == set()


@kernel_only
def test_a_dispatcher_may_be_a_thread_too():
    class Server(asyncore.dispatcher, threading.Thread):  # as the servers of CPython's own tests
        def __init__(self):
            threading.Thread.__init__(self, daemon=True)
            self.map = {}
            asyncore.dispatcher.__init__(self, map=self.map)
            self.create_socket()
            self.bind(("127.0.0.1", 0))
            self.listen(1)
            self.served = False

        def run(self):
            while not self.served:
                asyncore.loop(0.05, map=self.map, count=1)
            self.close()

        def handle_accepted(self, sock, addr):
            sock.close()
            self.served = True

    server = Server()
    server.start()
    with socket.create_connection(server.socket.getsockname(), timeout=PATIENCE) as client:
        assert client.recv(1) == b""
    server.join(PATIENCE)
    assert not server.is_alive()


@kernel_only
def test_a_reload_keeps_the_map(loopback_pair):
    _, acceptor = loopback_pair
    channel = Recorder(acceptor)
    before = asyncore.socket_map
    try:
        importlib.reload(asyncore)
        assert asyncore.socket_map is before
        assert asyncore.socket_map[acceptor.fileno()] is channel
    finally:
        channel.close()


def test_a_server_reads_and_an_end_is_a_close(map, turn):
    server = Server(map)
    with socket.create_connection(server.address, timeout=PATIENCE) as client:
        client.sendall(b"hello")
        until(lambda: server.made and server.made[0].data, turn, map)
    (handler,) = server.made
    until(lambda: "close" in handler.events, turn, map)

    assert handler.events == ["read", "close"]
    assert list(map.values()) == [server]


def test_connected_turns_true_after_handle_connect_which_is_followed_by_handle_read_or_write(map, turn):
    server = Server(map)

    class Client(Recorder):
        def writable(self):
            return not self.connected

    client = Client(map=map)
    client.create_socket()
    client.connect(server.address)
    assert client.connecting
    until(lambda: client.events, turn, map)

    assert client.events == [("connect", False), "write"]
    assert client.connected


def test_a_refused_connect_is_an_error_and_no_connect(map, turn):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    client = Recorder(map=map)
    client.create_socket()
    client.connect(address)
    until(lambda: client.events, turn, map)

    assert client.events == [("error", ConnectionRefusedError)]


def test_a_connect_that_fails_at_once_raises_and_stays_in_the_map(map):
    client = Recorder(map=map)
    client.create_socket()
    with pytest.raises(OSError, match=r"EACCES|ENETUNREACH"):
        client.connect(("255.255.255.255", 1))

    assert client.connecting
    assert list(map.values()) == [client]


def test_an_exception_in_a_handler_closes_its_channel_with_one_line(map, turn, loopback_pair, capsys):
    opener, acceptor = loopback_pair

    class Failing(asyncore.dispatcher):
        def handle_read(self):
            raise ValueError("cannot")

    Failing(acceptor, map)
    opener.send(b"x")
    turn(map)
    out = capsys.readouterr().out

    assert out.startswith("error: uncaptured python exception, closing channel <tests.dispatch.test_asyncore.")
    assert "(<class 'ValueError'>:cannot [" in out
    assert "|handle_read|" in out
    assert map == {}


def test_a_listener_whose_handler_fails_is_closed(map, turn, capsys):
    class Failing(Server):
        def handle_accepted(self, sock, addr):
            sock.close()
            raise ValueError("cannot")

    server = Failing(map)
    with socket.create_connection(server.address, timeout=PATIENCE):
        turn(map)

    assert map == {}


def test_exit_now_leaves_the_loop(pair, map, turn):
    channel, client = pair
    channel.handle_read = lambda: (_ for _ in ()).throw(asyncore.ExitNow)
    client.send(b"x")
    with pytest.raises(asyncore.ExitNow):
        turn(map, 5)


def test_what_handle_error_raises_leaves_the_loop(pair, map, turn):
    """The way programs make their bugs visible: ``def handle_error(self): raise``."""
    channel, client = pair

    def fail():
        raise ValueError("seen")

    def handle_error():
        raise  # noqa: PLE0704 - the exception being handled

    channel.handle_read = fail
    channel.handle_error = handle_error
    client.send(b"x")
    with pytest.raises(ValueError, match="seen"):
        turn(map, 5)


def test_the_loop_ends_with_the_map_and_does_not_sleep(map):
    began = time.monotonic()
    asyncore.loop(30, map=map)
    asyncore.poll(30, map)
    asyncore.poll2(30, map)

    assert time.monotonic() - began < 5


def test_the_loop_ends_when_the_last_channel_closes(pair, map, turn):
    _, client = pair
    client.close()
    asyncore.loop(1, turn.use_poll, map)

    assert map == {}


def test_a_socket_may_be_a_key_of_the_map(pair):
    channel, client = pair
    client.send(b"x")
    asyncore.poll(PATIENCE, {channel.socket: channel})

    assert channel.data == b"x"


def test_the_map_may_be_changed_by_hand(pair, map, turn):
    channel, client = pair
    client.send(b"x")
    fd = channel._fileno
    del map[fd]
    turn(map)
    assert channel.events == []

    map[fd] = channel
    until(lambda: channel.data, turn, map)
    assert map.pop(fd) is channel
    assert not map
    map.update({fd: channel})
    assert map.setdefault(fd, None) is channel
    client.send(b"y")
    until(lambda: channel.data == b"xy", turn, map)
    assert map.popitem() == (fd, channel)
    map.__ior__({fd: channel})
    assert map.copy() == {fd: channel}


def test_a_handler_may_turn_the_loop_itself(pair, map, turn):
    channel, client = pair

    class Nested(Recorder):
        def handle_read(self):
            super().handle_read()
            asyncore.poll(0, self._map)

    asyncore.dispatcher.del_channel(channel)
    nested = Nested(channel.socket, map)
    client.send(b"x")
    until(lambda: nested.data, turn, map)

    assert nested.events == ["read"]


def test_a_class_without_readable_and_writable_waits_in_the_poller(loopback_pair):
    """No call per channel and turn: it was asked once."""
    opener, acceptor = loopback_pair
    channels, asked = channelmap.ChannelMap(), []

    class Plain(asyncore.dispatcher):
        def handle_read(self):
            self.recv(100)

        def writable(self):
            asked.append(self)
            return False

    predicates.known_predicates((), (Plain.writable,))
    channel = Plain(acceptor, channels)
    asyncore.loop(0, map=channels, count=3)  # nothing comes, so it waits in the poller from the second turn on
    before = len(asked)
    _, idle = socket.socketpair()
    _.close()
    busy = Recorder(idle, channels)  # keeps the loop from auditing: an end is ready each turn
    busy.handle_read = lambda: None
    asyncore.loop(0, map=channels, count=50)

    assert len(asked) == before > 0
    busy.close()
    channel.close()
    assert opener


class Reading(asyncore.dispatcher):
    def handle_read(self):
        self.socket.send(self.recv(100))


class Sending(asyncore.dispatcher_with_send):
    def handle_read(self):
        self.send(self.recv(100))


class Chatting(asynchat.async_chat):
    def handle_read(self):
        self.push(self.recv(100))


@kernel_only
@pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll(2) here")
def test_a_few_channels_that_come_and_go_are_asked_anew_and_those_that_stay_are_not(monkeypatch):
    """A connection that ends at once is not worth a registration with epoll; who stays costs nothing while it waits."""
    monkeypatch.setattr(channelmap, "_count", lambda: 0)  # there may be threads of the tests' own
    channels, seen, turns = channelmap.ChannelMap(), [], channelmap.CALM + 2
    a, b = socket.socketpair()

    class Busy(asyncore.dispatcher_with_send):
        def handle_read(self):
            self.recv(1)
            b.send(b"x")  # something is ready in each turn
            seen.append(channels.engine is not None)

    busy = Busy(a, channels)
    b.send(b"x")
    asyncore.loop(PATIENCE, map=channels, count=turns)
    assert seen == [False] * channelmap.CALM + [True] * 2

    guests = []

    def come_and_go(times):
        for _ in range(times):
            near, far = socket.socketpair()
            guests.append(far)
            guest = asyncore.dispatcher_with_send(near, channels)
            asyncore.poll2(0, channels)
            guest.close()
            far.close()

    come_and_go(130)
    assert channels.engine is None
    monkeypatch.setattr(channelmap, "_count", lambda: 1)
    asyncore.poll2(0, channels)
    assert channels.engine is not None  # a sleep in poll(2) would keep open what the other thread closes
    come_and_go(130)
    assert channels.engine is not None
    busy.close()
    b.close()


@kernel_only
@pytest.mark.parametrize("kind", [Reading, Sending, Chatting])
@pytest.mark.parametrize("kind_of_map", [dict, channelmap.ChannelMap])
def test_a_turn_makes_as_many_calls_with_two_hundred_idle_channels_as_with_two(kind, kind_of_map):
    """Counted, not timed: calls of Python functions, and of C functions, in ten turns that serve one channel."""

    def calls(idle):
        channels = kind_of_map()
        pairs = [socket.socketpair() for _ in range(idle + 1)]
        made = [kind(near, channels) for near, _ in pairs]
        count = 0

        def counting(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        class Peer(asyncore.dispatcher):
            """Keeps the one channel busy, from inside the loop, and begins and ends the count."""

            turns = 0

            def writable(self):
                self.turns += 1
                if self.turns == 3:
                    sys.setprofile(counting)
                if self.turns == 13:
                    sys.setprofile(None)
                    raise asyncore.ExitNow
                return False

            def handle_read(self):
                self.socket.send(self.recv(1) or b"x")

        far = Peer(pairs[0][1], channels)
        far.socket.send(b"x")
        try:
            with pytest.raises(asyncore.ExitNow):
                asyncore.loop(1, map=channels)
        finally:
            sys.setprofile(None)
        asyncore.close_all(channels)
        for _, peer in pairs:
            peer.close()
        assert len(made) == idle + 1
        return count

    assert calls(200) == calls(2) > 0


@pytest.mark.slow
@kernel_only
def test_a_look_in_passing_does_not_walk_over_all_channels(loopback_pair):
    """A game polls once a frame, mostly for nothing: what nobody tells of is looked for now and then, not each time."""
    channels, looked = channelmap.ChannelMap(), []
    near, _ = loopback_pair

    class Looked(asyncore.dispatcher_with_send):
        def __getattribute__(self, name):
            if name == "socket":
                looked.append(self)
            return super().__getattribute__(name)

    made = [Looked(near.dup(), channels) for _ in range(500)]
    asyncore.poll(0, channels)
    looked.clear()
    for _ in range(32):
        asyncore.poll(0, channels)
    assert len(looked) <= 5 * len(made)

    looked.clear()
    asyncore.poll(0.1, channels)
    assert len(looked) >= len(made)
    asyncore.close_all(channels)


def test_who_would_only_grumble_about_room_to_write_is_not_woken_for_it(loopback_pair, log):
    _, acceptor = loopback_pair
    channels = {}
    channel = asyncore.dispatcher(acceptor, channels)
    asyncore.loop(0, map=channels, count=5)
    assert [line for line in log.lines if line[0] == "event"] == []

    channel.ignore_log_types = ()
    asyncore.loop(0, map=channels, count=1)
    assert ("event", "handle_write") in log.of(channel)
    channel.close()


def test_who_handles_room_to_write_is_told_each_turn(pair, map, turn):
    channel, _ = pair
    channel.writable = lambda: True
    turn(map, 3)

    assert channel.events == ["write"] * 3


def test_who_is_closed_while_others_are_asked_is_asked_no_more(loopback_pair, map, turn):
    opener, acceptor = loopback_pair
    near, far = socket.socketpair()

    class Closing(Recorder):
        def readable(self):
            if len(self._map) > 1:
                last.close()
            return True

    first = Closing(acceptor, map)
    last = Recorder(near, map)
    opener.send(b"x")
    turn(map, 2)
    assert (first.events, last.events) == (["read"], [])
    far.close()


def test_an_error_in_readable_is_the_channels_own(pair, map, turn):
    channel, _ = pair

    def readable():
        raise ValueError

    channel.readable = readable
    turn(map, 2)

    assert channel.events == [("error", ValueError)]


def test_a_predicate_may_be_put_into_an_object_while_it_is_served(map, turn, loopback_pair):
    """As programs pause a channel: ``channel.readable = lambda: False``, and take it out again."""
    opener, acceptor = loopback_pair
    got = []

    class Reading(asyncore.dispatcher):
        def handle_read(self):
            got.append(self.recv(1))
            self.readable = lambda: len(got) != 2

    busy, other = socket.socketpair()
    other.send(b"x")
    Recorder(busy, map).handle_read = lambda: None  # something is ready in each turn
    Reading(acceptor, map)
    opener.send(b"abc")
    turn(map, 5)
    assert got == [b"a", b"b"]

    got.append(None)
    turn(map, 5)
    assert got == [b"a", b"b", None, b"c"]
    other.close()


def test_who_is_served_behind_a_turn_of_a_handlers_own_is_asked_afterwards(map, turn):
    """The inner turn asks everybody, but the outer one goes on behind it."""
    near, far = socket.socketpair()
    busy, other = socket.socketpair()
    got = []

    class Turning(asyncore.dispatcher):
        def handle_read(self):
            self.recv(1)
            asyncore.poll(0, self._map)

    class Pausing(asyncore.dispatcher):
        def handle_read(self):
            got.append(self.recv(1))
            if len(got) == 2:
                self.readable = lambda: False

    Turning(busy, map)
    Pausing(near, map)
    other.send(b"x")
    far.send(b"abc")
    turn(map, 5)
    assert got == [b"a", b"b"]
    asyncore.close_all(map)
    other.close()
    far.close()


@pytest.mark.slow
def test_a_connection_is_registered_once_and_forgotten_once(map, turn):
    """Two calls of the kernel, where asyncore has none; not three, and none for who is gone before the next turn."""
    calls = []

    class Counting:
        """The poller there is, and what is asked of it."""

        wakes_on_watch = True

        def __init__(self):
            self.inner = current_network().poller(None)
            self.name, self.poll, self.close = self.inner.name, self.inner.poll, self.inner.close

        def __getattr__(self, name):
            calls.append(name)
            return getattr(self.inner, name)

    keeper = Recorder(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), map)
    engine = MapLoop(map, Counting())
    if isinstance(map, channelmap.ChannelMap):
        map.engine = engine
    else:
        serve_map(map, engine)
    turn(map)
    for kind in (Reading, Sending, Chatting, Recorder):
        calls.clear()
        near, far = socket.socketpair()
        channel = kind(near, map)
        brief = kind(near.dup(), map)
        brief.close()
        far.send(b"x")
        turn(map, 3)
        channel.close()
        far.close()
        assert calls == ["watch", "forget"], kind
    keeper.close()
    serve_map(map, None)
    engine.close()


def test_exit_now_leaves_the_loop_from_readable_too(pair, map, turn):
    channel, _ = pair

    def readable():
        raise asyncore.ExitNow

    channel.readable = readable
    with pytest.raises(asyncore.ExitNow):
        turn(map, 2)


def test_a_channel_may_stand_for_a_descriptor_that_is_not_its_sockets(map, turn):
    """As a trigger does: its key is the end of a pipe, its ``socket`` something else."""
    near, far = socket.socketpair()
    other, _ = socket.socketpair()

    class Trigger(Recorder):
        def add_channel(self, map=None):
            self._fileno = near.fileno()
            Recorder.add_channel(self, map)

        def handle_read(self):
            self.events.append(near.recv(10))

    Trigger(other, map)
    turn(map, 3)
    far.send(b"pull")
    turn(map, 3)

    (trigger,) = map.values()
    assert trigger.events == [b"pull"]
    trigger.close()
    for sock in (near, far, _):
        sock.close()


@kernel_only
def test_what_is_put_into_a_large_dict_by_hand_is_served_though_the_loop_is_busy(turn):
    pairs = [socket.socketpair() for _ in range(4)]
    stands_for = {}

    class Echo(Recorder):
        def handle_read(self):
            self.events.append(self.socket.recv(1))
            pairs[0][1].send(b"x")  # so that something is ready in each turn

    busy = Echo(pairs[0][0], stands_for)
    pairs[0][1].send(b"x")
    replaced = Recorder(pairs[1][0], stands_for)
    # Strangers without an object: nobody is served for them.
    stands_for.update(dict.fromkeys(range(10_000, 14_000), None))
    turn(stands_for, 5)

    other = Recorder(None, {})
    other.set_socket(pairs[1][0])
    stands_for[replaced._fileno] = other
    pairs[1][1].send(b"to the other")
    added = Recorder(None, {})
    added.set_socket(pairs[2][0])
    stands_for[added._fileno] = added
    pairs[2][1].send(b"to the added")
    turn(stands_for, 10)

    assert len(busy.events) > 10
    assert (replaced.data, other.data, added.data) == (b"", b"to the other", b"to the added")
    for near, far in pairs:
        near.close()
        far.close()


@kernel_only
def test_a_turn_makes_no_descriptors_for_threads_that_cannot_wake_it(loopback_pair, monkeypatch):
    """A program with threads that polls a dict of its own: it had a socket pair made and closed each turn."""
    opener, acceptor = loopback_pair
    channel = Recorder(acceptor, {})
    monkeypatch.setattr(socket, "socketpair", None)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        opener.send(b"x")
        asyncore.poll(PATIENCE, channel._map)
    finally:
        done.set()
        thread.join()
        channel.close()

    assert channel.data == b"x"


@pytest.mark.slow
@kernel_only
def test_another_thread_may_change_the_map_while_it_is_served():
    """Channels come and go in one thread, the loop turns in another; nothing is raised there."""
    for channels in ({}, channelmap.ChannelMap()):
        near, far = socket.socketpair()
        keeper = Recorder(near, channels)
        failed = []

        def serve(channels=channels, failed=failed):
            try:
                asyncore.loop(0.001, map=channels)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
                failed.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        for _ in range(300):
            pairs = [socket.socketpair() for _ in range(3)]
            others = [Recorder(sock, channels) for pair in pairs for sock in pair]
            for other in others:
                other.close()
        far.send(b"x")
        far.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        assert failed == []
        assert keeper.events == ["read", "close"]


# ---- mended


def test_two_threads_may_close_a_channel_at_once(loopback_pair):
    """Between the look and the removal the other one was quicker."""

    class Overtaken(dict):
        def __contains__(self, key):
            return dict.pop(self, key, None) is not None

    _, acceptor = loopback_pair
    channel = Recorder(acceptor, Overtaken())
    channel.close()
    assert acceptor.fileno() == -1


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EWOULDBLOCK])
def test_a_wake_up_without_data_leaves_the_channel_alone(pair, map, turn, code):
    channel, client = pair
    channel.socket = Fickle(channel.socket, recv=[code])
    client.send(b"x")
    until(lambda: channel.data, turn, map)

    assert channel.events == ["read"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNRESET, errno.EPROTO]
)
def test_an_accept_error_does_not_close_the_listener(map, turn, code, capsys):
    server = Server(map)
    server.socket = Fickle(server.socket, accept=[code])
    with socket.create_connection(server.address, timeout=PATIENCE):
        until(lambda: server.made, turn, map)

    assert server.accepting


def test_a_listener_out_of_descriptors_does_not_spin(map, turn):
    server = Server(map)
    server.socket = Fickle(server.socket, accept=[errno.EMFILE] * 1000)
    with socket.create_connection(server.address, timeout=PATIENCE):
        engine_turns = 20
        asyncore.loop(0.001, turn.use_poll, map, engine_turns)
        for _ in range(engine_turns):  # in a loop of the program's own
            (asyncore.poll2 if turn.use_poll else asyncore.poll)(0.001, map)

    assert len(server.socket.calls) < 8


def test_a_listener_over_datagrams_is_closed_when_somebody_writes_to_it(map, turn, capsys):
    server = asyncore.dispatcher(map=map)
    server.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    with pytest.raises(OSError, match="not supported"):
        server.listen(5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", server.socket.getsockname())
    until(lambda: not map, turn, map)

    assert f"[Errno {errno.EOPNOTSUPP}]" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["close", "reset"])
def test_bytes_before_a_hang_up_are_read(pair, map, turn, how):
    channel, client = pair
    client.sendall(b"x" * 30_000)
    channel.socket.shutdown(socket.SHUT_WR)  # so that the client's end makes it HUP
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    until(lambda: not map, turn, map)

    assert len(channel.data) == 30_000
    assert channel.events.count("close") == 1


def test_the_close_is_told_once_and_no_write_follows(pair, map, turn):
    channel, client = pair
    channel.writable = lambda: True
    client.close()
    until(lambda: "close" in channel.events, turn, map)
    turn(map, 2)

    assert channel.events[-1] == "close"
    assert channel.events.count("close") == 1


@pytest.mark.slow
@pytest.mark.parametrize("then", ["lives", "closed", "closed and its number used"])
def test_a_channel_whose_socket_was_detached_is_served_as_long_as_its_descriptor_is_open(
    pair, map, turn, then, tmp_path
):
    """By who wraps it in TLS, and leaves the old one where it was; a loop that has nothing to do looks after such things."""
    channel, client = pair
    real = socket.socket(fileno=channel.socket.detach())
    channel.recv = real.recv
    turn(map, 6)
    turn(map, 1, 0.11)
    assert not channel.events
    if then == "lives":
        client.sendall(b"x")
        until(lambda: channel.data, turn, map)
        real.close()
        return
    number = real.fileno()
    real.close()
    if then != "closed" and number < 1 << 20:  # not a simulated one
        used = os.open(tmp_path, os.O_RDONLY)
        if used != number:
            os.dup2(used, number)
            os.close(used)
    until(lambda: not map, turn, map)
    if then != "closed" and number < 1 << 20:
        os.close(number)

    # Whatever stands there is read, where all are polled anew.
    assert channel.events in (["close"], [("error", OSError)])


def test_nothing_reaches_who_comes_back_in_a_turn_with_another_socket_of_the_same_number(map, turn):
    pairs = [socket.socketpair() for _ in range(2)]
    events = []

    class Returning(asyncore.dispatcher):
        def handle_read(self):
            self.recv(10)
            for each in list(map.values()):
                if each is not self:  # it has not had its turn yet
                    number = each._fileno
                    each.del_channel()
                    each.socket.close()
                    pairs.append(socket.socketpair())
                    each.set_socket(next(end for end in pairs[-1] if end.fileno() == number))
                    events.append("moved")

        def handle_write(self):
            events.append("write")

        def writable(self):
            return False

    class Moved(Returning):
        def handle_read(self):
            events.append("read")

    Returning(pairs[0][0], map)
    Moved(pairs[1][0], map)
    for _, far in pairs[:2]:
        far.send(b"x")
    turn(map, 6)  # of fewer each is polled anew, and knows no sockets

    assert events == ["moved"]
    for pair in pairs:
        for end in pair:
            end.close()


def test_nothing_reaches_who_got_the_descriptor_of_a_closed_channel(map, turn):
    a, b = socket.socketpair(), socket.socketpair()
    other = socket.socketpair()
    late = []

    class Replacing(Recorder):
        def handle_read(self):
            Recorder.handle_read(self)
            if not late:
                (victim,) = [channel for channel in channels if channel is not self]
                number = victim._fileno
                victim.close()
                late.append(Recorder(other[0].dup(), map))
                assert late[0]._fileno == number

    channels = [Replacing(a[0], map), Replacing(b[0], map)]
    a[1].send(b"x")
    b[1].send(b"x")
    turn(map, 3)

    assert late[0].events == []
    for sock in (*other, a[1], b[1]):
        sock.close()


def test_nothing_of_the_old_socket_reaches_a_channel_that_got_a_new_one(map, turn):
    """The same object under the same number: a client that reconnects in another's turn."""
    first, second, ready = socket.socketpair(), socket.socketpair(), socket.socketpair()
    client = Recorder(first[0], map)

    class Reconnecting(Recorder):
        def handle_read(self):
            Recorder.handle_read(self)
            number = client._fileno
            client.close()
            client.set_socket(second[0].dup())
            assert client._fileno == number

    before = dict(map)
    map.clear()
    Reconnecting(ready[0], map)  # first in the poller's order
    map.update(before)
    ready[1].send(b"x")
    first[1].send(b"old")
    turn(map)
    assert client.events == []

    second[1].send(b"new")
    until(lambda: client.data == b"new", turn, map)
    for sock in (first[1], *second, ready[1]):
        sock.close()


def test_a_socket_that_was_made_in_this_turn_has_no_events_yet(map, turn):
    """The old one was closed by itself, and the number is the same: nobody but `create_socket` knows."""
    ours, theirs = socket.socketpair()

    class Renewed(Recorder):
        def handle_read(self):
            self.events.append("read")
            number = self._fileno
            self.socket.close()
            self.create_socket()
            assert self._fileno == number

    channel = Renewed(ours, map)
    channel.writable = lambda: True
    theirs.send(b"x")
    turn(map)

    assert channel.events == ["read"]
    channel.close()
    theirs.close()


class Wrapped:
    def __init__(self, sock):
        self.sock = sock

    def __getattr__(self, name):
        return getattr(self.sock, name)


def in_one_turn(way, map, turn):
    """What a channel hears in a turn in which it may read, and write, and sets another socket that has the same number when it reads."""
    ours, theirs = socket.socketpair()
    far, full = socket.socketpair()
    full.setblocking(False)
    with pytest.raises(BlockingIOError):
        while full.send(bytes(65536)):
            pass

    class Renewed(Recorder):
        def handle_read(self):
            self.events.append("read")
            number = self._fileno
            if way == "closed":
                self.socket.close()
                self.set_socket(full.dup())
            elif way == "wrapped":
                self.set_socket(Wrapped(self.socket))
            else:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                self.set_socket(context.wrap_socket(self.socket, do_handshake_on_connect=False))
            assert self._fileno == number
            self.readable = lambda: False

    channel = Renewed(ours, map)
    channel.writable = lambda: True
    theirs.send(b"x")
    turn(map)
    heard = list(channel.events)
    if way != "closed":
        until(lambda: "write" in channel.events, turn, map)
    channel.close()
    for sock in (theirs, far, full):
        sock.close()
    return heard


def test_a_socket_that_is_set_in_this_turn_under_the_number_of_a_closed_one_has_no_events_of_that(map, turn):
    assert in_one_turn("closed", map, turn) == ["read"]


def test_what_is_put_over_the_same_connection_in_this_turn_keeps_its_events(map, turn):
    """The number tells nothing of that, and TLS takes it over from a socket that has none any more."""
    assert in_one_turn("tls", map, turn) == in_one_turn("wrapped", map, turn)


def test_a_socket_takes_the_place_of_anything(map):
    """A test puts there what it likes; asyncore asks nothing of it."""

    class Broken:
        def fileno(self):
            raise ValueError("I/O operation on closed file")

    channel = asyncore.dispatcher(map=map)
    ours, theirs = socket.socketpair()
    for before in (object(), Broken()):
        channel.socket = before
        channel.set_socket(ours)
        assert channel.socket is ours
        assert map == {ours.fileno(): channel}
    channel.close()
    theirs.close()


def test_a_socket_closed_behind_the_maps_back_does_not_stop_the_loop(pair, map, turn):
    channel, client = pair
    a, b = socket.socketpair()
    stale = Recorder(a, map)
    turn(map)
    a.close()
    b.close()
    until(lambda: stale.events, turn, map)
    client.send(b"x")
    until(lambda: channel.data, turn, map)

    assert stale.events == ["close"]
    assert list(map.values()) == [channel]


@pytest.mark.parametrize("reused", [False, True], ids=["free", "reused"])
def test_who_makes_itself_another_socket_and_forgets_the_old_one_keeps_the_new_connection(map, turn, reused):
    """Its old number stands in the map, and nobody is there any more, or somebody else: that is not the end of what has come since."""
    if reused and type(map) is dict and not turn.use_poll:
        pytest.skip("all are polled anew each turn, and who is polled is told")
    told, peers = [], []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        class Again(asyncore.dispatcher):
            def again(self):
                old = self.socket
                self.create_socket()
                if reused and old is not None:
                    old.close()  # its peer gets the number
                self.connect(listener.getsockname())
                peers.append(listener.accept()[0])
                if old is not None:
                    old.close()  # as the collector does

            def handle_connect(self):
                told.append("connect")

            def handle_read(self):
                told.append(self.recv(10))

            def handle_close(self):
                told.append("close")
                self.again()

        client = Again(map=map)
        client.again()
        until(lambda: told, turn, map)
        peers[0].close()
        until(lambda: told.count("connect") == 2, turn, map)
        until(lambda: len(map) == 1, turn, map)
        peers[1].send(b"still here")
        until(lambda: b"still here" in told, turn, map)
        assert map == {client._fileno: client}
        client.close()
        for peer in peers:
            peer.close()

    assert [each for each in told if each] == ["connect", "close", "connect", b"still here"]


def test_a_socket_closed_behind_the_maps_back_may_want_something_else_then(map, turn):
    a, b = socket.socketpair()
    stale = Recorder(a, map)
    turn(map)
    a.close()
    b.close()
    stale.writable = lambda: True
    until(lambda: stale.events, turn, map)

    assert stale.events == ["close"]
    assert map == {}


def test_a_busy_loop_also_notices_what_nobody_tells(loopback_pair, map, turn):
    """There may be no turn for days in which nothing comes: a socket closed behind the map's back, and a new writable."""
    opener, acceptor = loopback_pair
    a, b = socket.socketpair()
    c, d = socket.socketpair()
    busy, stale, waiting = (
        asyncore.dispatcher_with_send(acceptor, map),
        Recorder(a, map),
        asyncore.dispatcher_with_send(c, map),
    )
    busy.handle_read = lambda: None  # what is ready once is ready in each turn
    stale_plain = asyncore.dispatcher_with_send(b, map)
    stale_plain.handle_close = lambda: (stale_plain.close(), stale.events.append("plain close"))
    opener.send(b"x")
    turn(map)
    a.close()
    b.close()
    waiting.writable = lambda: True
    waiting.handle_write = lambda: stale.events.append("write") or waiting.close()
    asyncore.loop(PATIENCE, turn.use_poll, map, 200)

    assert sorted(stale.events) == ["close", "plain close", "write"]
    d.close()


def test_a_socket_closed_before_its_first_turn_is_told(map, turn):
    a, b = socket.socketpair()
    stale = Recorder(a, map)
    a.close()
    b.close()
    turn(map)

    assert stale.events == ["close"]


@pytest.mark.slow
def test_an_urgent_byte_is_told_once(pair, map, turn, log):
    channel, client = pair
    client.send(b"!", socket.MSG_OOB)
    turn(map, 10)

    assert channel.events == ["expt"]


@kernel_only
def test_more_than_1024_descriptors(map, turn):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2100:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2100, hard))
    held = []
    try:
        while not held or held[-1].fileno() < 1030:
            held.extend(socket.socketpair())
        channel = Recorder(held[-1], map)
        held[-2].send(b"x")
        until(lambda: channel.data, turn, map)
    finally:
        for sock in held:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_empty_datagram_is_no_end(map, turn):
    channel = asyncore.dispatcher(map=map)
    channel.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.bind(("127.0.0.1", 0))
    got = []
    channel.handle_read = lambda: got.append(channel.recv(100))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"", channel.socket.getsockname())
        client.sendto(b"x", channel.socket.getsockname())
    until(lambda: len(got) == 2, turn, map)

    assert got == [b"", b"x"]


def test_a_close_in_handle_connect_is_the_end(map, turn):
    server = Server(map)

    class Fleeting(Recorder):
        def writable(self):
            return not self.connected

        def handle_connect(self):
            Recorder.handle_connect(self)
            self.close()

    client = Fleeting(map=map)
    client.create_socket()
    client.connect(server.address)
    until(lambda: client.events, turn, map)
    turn(map, 2)

    assert client.events == [("connect", False)]
    assert not client.connected


# ---- dispatcher_with_send


def with_send(map, sock):
    return asyncore.dispatcher_with_send(sock, map)


def test_out_buffer_keeps_what_the_kernel_does_not_take(map, turn, loopback_pair):
    opener, acceptor = loopback_pair
    channel = with_send(map, acceptor)
    channel.socket = Fickle(acceptor, send=[3, 0])
    channel.send(b"hello, ")
    assert channel.out_buffer == b"lo, "
    channel.send(b"world")
    assert channel.out_buffer == b"lo, world"
    until(lambda: not channel.out_buffer, turn, map)

    assert opener.recv(100) == b"hello, world"
    assert not channel.writable()


def test_out_buffer_may_be_set_by_others(map, turn, loopback_pair):
    opener, acceptor = loopback_pair
    channel = with_send(map, acceptor)
    turn(map)
    channel.out_buffer += b"from outside"
    until(lambda: not channel.out_buffer, turn, map)

    assert opener.recv(100) == b"from outside"


@pytest.mark.slow
@kernel_only
def test_sixteen_megabytes_of_output_cost_no_quadratic_copying(loopback_pair):
    """With bytes + bytes and slicing it takes minutes; the bound is a hundred times what it needs."""
    opener, acceptor = loopback_pair
    channels = {}
    channel = with_send(channels, acceptor)
    opener.setblocking(False)
    began = time.process_time()
    for _ in range(16_384):
        channel.send(b"x" * 1024)
    left = 16_384 * 1024
    while left:
        asyncore.loop(0.01, map=channels, count=1)
        try:
            while piece := opener.recv(1 << 20):
                left -= len(piece)
        except BlockingIOError:
            pass
    channel.close()

    assert time.process_time() - began < 5


def test_each_send_is_logged_when_debug_is_on(map, capsys, loopback_pair):
    channel = with_send(map, loopback_pair[1])
    channel.debug = True
    channel.send(b"x")

    assert capsys.readouterr().out == "info: sending b'x'\n"


# ---- files


@kernel_only
@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")
def test_a_pipe_is_read_to_its_end(map, turn):
    reader, writer = os.pipe()

    class Reading(Recorder, asyncore.file_dispatcher):
        def __init__(self, fd, map):
            self.events, self.data = [], b""
            asyncore.file_dispatcher.__init__(self, fd, map)

    channel = Reading(reader, map)
    assert not os.get_blocking(reader)
    os.close(reader)
    os.write(writer, b"x" * 10_000)
    os.close(writer)
    until(lambda: not map, turn, map)

    assert channel.data == b"x" * 10_000
    assert channel.events.count("close") == 1


@kernel_only
@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")
def test_a_file_like_object_may_be_given(map, turn):
    reader, writer = os.pipe()
    with open(reader, "rb") as file:
        channel = asyncore.file_dispatcher(file, map)
        with pytest.raises(NotImplementedError):
            channel.socket.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        assert channel.connected
        channel.close()
    os.close(writer)


# ---- the end


@kernel_only
def test_close_all_closes_everything_and_stops_at_the_first_error_unless_told(map):
    class Closing:
        def __init__(self, error=None):
            self.error = error
            self.closed = False

        def close(self):
            self.closed = True
            if self.error:
                raise self.error

    gone = Closing(OSError(errno.EBADF, "gone"))
    bad = Closing(ValueError("bad"))
    last = Closing()
    everything = {1: gone, 2: bad, 3: last}
    with pytest.raises(ValueError, match="bad"):
        asyncore.close_all(everything)
    assert not last.closed
    assert everything

    asyncore.close_all(everything, ignore_all=True)
    assert last.closed
    assert everything == {}
    with pytest.raises(OSError, match="other"):
        asyncore.close_all({1: Closing(OSError(errno.EIO, "other"))})
    with pytest.raises(asyncore.ExitNow):
        asyncore.close_all({1: Closing(asyncore.ExitNow())}, ignore_all=True)


def test_clearing_the_map_lets_go_of_the_poller(loopback_pair):
    channels = channelmap.ChannelMap()
    channel = Recorder(loopback_pair[1], channels)
    channels.restless = 0  # else its first turns need no poller, unless a thread is left of another test
    asyncore.loop(0, map=channels, count=1)
    assert channels.engine is not None
    channels.clear()
    assert channels.engine is None
    channels[channel._fileno] = channel
    loopback_pair[0].send(b"x")
    asyncore.loop(PATIENCE, map=channels, count=1)

    assert channel.data == b"x"
    channel.close()
    asyncore.loop(0, map=channels)


@kernel_only
def test_a_turn_that_another_thread_overtook_is_over(loopback_pair):
    """One closes the last channel between the other's look at the map and its sleep."""
    channels = channelmap.ChannelMap()
    channel = Recorder(loopback_pair[1], channels)
    asyncore.loop(0, map=channels, count=1)
    engine = channels.engine
    channel.close()
    assert engine.closed

    engine.turn(PATIENCE, asyncore.readwrite, None)
    assert channel.events == []


def test_attributes_set_from_outside_are_noticed_when_nothing_happens(loopback_pair):
    _, acceptor = loopback_pair
    channels = channelmap.ChannelMap()

    class Writer(asyncore.dispatcher_with_send):
        sent = 0

        def handle_write(self):
            self.sent += 1

    channel = Writer(acceptor, channels)
    asyncore.loop(0, map=channels, count=2)
    assert channel.sent == 0
    channel.connected = False  # writable() says yes now
    asyncore.loop(0, map=channels, count=3)
    assert channel.sent > 0
    channel.close()


def test_two_threads_may_serve_one_map_and_need_not_end_in_order(pair, map):
    """As programs do that have a thread for each of their servers: one of them left loop() first, and took the loop with it."""
    channel, client = pair
    first, second = maps.Served(map, endless=False), maps.Served(map, endless=False)
    first.__enter__()
    second.__enter__()
    asyncore.poll(0, map)
    first.__exit__()
    client.send(b"x")
    until(lambda: channel.data, lambda each: asyncore.poll(0.01, each), map)
    kept = maps.engine_of(map)
    second.__exit__()

    assert kept is not None
    assert (maps.engine_of(map) is None) is (type(map) is dict)


@pytest.mark.parametrize("keyed_by", ["number", "socket"])
def test_a_socket_that_was_closed_before_it_was_put_in_ends_its_channel_and_nothing_else(turn, map, keyed_by):
    channel = Recorder(map=map)
    gone, other = socket.socketpair()
    gone.close()
    if keyed_by == "number":
        channel.set_socket(gone)
    else:
        channel.socket = gone
        map[gone] = channel
    near, far = other, socket.socketpair()
    other = Recorder(far[0], map)
    far[1].send(b"x")
    turn(map, 3)
    assert "close" in channel.events
    assert other.events == ["read"]
    channel.close()
    other.close()
    near.close()
    far[1].close()


@pytest.mark.parametrize("error", [asyncore.ExitNow, KeyboardInterrupt])
def test_a_map_that_a_handler_empties_and_leaves_by_an_exception_holds_no_poller(error, monkeypatch):
    monkeypatch.setattr(channelmap, "CALM", 0)
    channels = channelmap.ChannelMap()

    class Last(Recorder):
        def handle_read(self):
            asyncore.close_all(self._map)
            raise error

    near, far = socket.socketpair()
    Last(near, channels)
    asyncore.poll(0, channels)
    assert channels.engine is not None
    far.send(b"x")
    with pytest.raises(error):
        asyncore.loop(1, map=channels)
    assert channels == {}
    assert channels.engine is None
    far.close()
