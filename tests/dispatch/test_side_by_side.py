"""The drop-in beside the module it stands for: one program, run on each, and the same is seen. What is mended is named here.

The other one is the interpreter's, in Python 3.11, and a copy from the package index later, where one is installed.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import inspect
import io
import os
import re
import select
import socket
import sys
import types
import warnings

import pytest

import dispatch.asynchat
import dispatch.asyncore
from dispatch.errors import DIED_IN_QUEUE, OUT_OF_RESOURCES

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")

ours, our_chat = dispatch.asyncore, dispatch.asynchat
ERRNOS = sorted(errno.errorcode)
HABITS = [False, True]  # loop(use_poll=...)


def alike(program, *args):
    """Run *program* on each of the two; what it returns is the same."""
    on_theirs, on_ours = program(theirs, *args), program(ours, *args)
    assert on_ours == on_theirs
    return on_ours


def outcome(call, *args):
    """What *call* returned, or raised; an exception by its family and errno, since ours may be a subclass."""
    try:
        return call(*args)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is compared
        family = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
        return family.__name__, getattr(error, "errno", None)


def printed(call, *args):
    """What *call* writes to stdout and stderr; addresses and file names are left out."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        call(*args)
    return re.sub(r"0x[0-9a-f]+", "0x", out.getvalue()), err.getvalue()


# ---- shapes


def faces(module, other):
    """Functions and classes that both modules say are theirs."""
    for name, theirs in vars(module).items():
        if getattr(theirs, "__module__", None) == module.__name__ and callable(theirs):
            yield name, theirs, getattr(other, name)


def parameters(function):
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("module", "other"), [(theirs, ours), (their_chat, our_chat)], ids=["asyncore", "asynchat"])
def test_everything_has_the_same_name_and_takes_the_same_arguments(module, other):
    seen = 0
    for name, their, our in faces(module, other):
        if not inspect.isclass(their):
            assert parameters(our) == parameters(their), name
            seen += 1
            continue
        assert [kind.__name__ for kind in our.__mro__] == [kind.__name__ for kind in their.__mro__]
        for attribute, value in vars(their).items():
            if inspect.isfunction(value):
                assert parameters(getattr(our, attribute)) == parameters(value), (name, attribute)
                seen += 1
            elif not attribute.startswith("__"):
                assert getattr(our, attribute) == value, (name, attribute)
                assert type(getattr(our, attribute)) is type(value), (name, attribute)
    assert seen > 10


@pytest.mark.parametrize(("module", "other"), [(theirs, ours), (their_chat, our_chat)], ids=["asyncore", "asynchat"])
def test_an_import_of_everything_takes_no_name_of_the_programs(module, other):
    names, old_names = {}, {}
    exec(f"from {module.__name__} import *", old_names)
    exec(f"from {other.__name__} import *", names)

    assert set(old_names) - set(names) <= {"warnings"}  # that a copy of asynchat from the package index warns with
    more = {name for name in set(names) - set(old_names) if not name.startswith("@")}  # pytest's, in a plugin's package
    assert more <= {"fifo", "Any", "ClassVar", "annotations"}


# ---- the constructor, representations, log lines


class Thing:
    """A socket with as much of a face as the constructor asks for."""

    def __init__(self, code=None, true=True):
        self.code, self.true = code, true
        self.calls = []

    def __bool__(self):
        return self.true

    def fileno(self):
        return 1_000_000

    def setblocking(self, flag):
        self.calls.append(("setblocking", flag))

    def getpeername(self):
        if self.code:
            raise OSError(self.code, "scripted")
        return ("peer", 1)

    def close(self):
        self.calls.append("close")
        if self.code:
            raise OSError(self.code, "scripted")


def test_the_constructor_takes_a_socket_as_it_finds_it():
    def program(asyncore, code, true):
        channels, thing = {}, Thing(code, true)
        made = outcome(asyncore.dispatcher, thing, channels)
        if isinstance(made, tuple):
            return made, thing.calls, list(channels)
        state = made.connected, made.accepting, made.connecting, made.addr, made.socket is thing, made._fileno
        closed = outcome(made.close), list(channels), made.connected, made.socket is thing, made._fileno
        return state, thing.calls, closed

    for code in [None, *ERRNOS]:
        alike(program, code, True)
    alike(program, None, False)


@pytest.mark.parametrize(
    "addr", [None, ("127.0.0.1", 80), ("::1", 80, 0, 0), "/a/path", "", ("host", "service"), b"\0x"]
)
def test_representations_are_the_same(addr):
    def program(asyncore):
        texts = []
        for accepting, connected in [(False, False), (True, False), (False, True)]:
            channel = type("Channel", (asyncore.dispatcher,), {"__module__": "program"})(map={})
            channel.accepting, channel.connected, channel.addr = accepting, connected, addr
            plain = asyncore.dispatcher(map={})
            texts += [repr(channel), str(channel), repr(plain)]
        return [re.sub("0x[0-9a-f]+", "0x", text) for text in texts]

    alike(program)


def test_the_defaults_say_what_they_said():
    def program(asyncore, ignored):
        channel = asyncore.dispatcher(map={})
        if ignored is not None:
            channel.ignore_log_types = ignored
        channel.socket = Thing()

        def all_of_it():
            for name in ("expt", "read", "write", "connect", "close"):
                getattr(channel, f"handle_{name}")()
            channel.handle_accepted(Thing(), None)
            channel.log(("hit", 1))
            channel.log_info(b"bytes")
            channel.log_info("gone wrong", "error")
            channel.log_info("hidden", "warning")
            with_send = asyncore.dispatcher_with_send(map={})
            with_send.debug, with_send.socket = True, types.SimpleNamespace(send=len)
            with_send.send(b"x'y")

        return printed(all_of_it)

    for ignored in [None, (), ["info"], {"error", "warning"}]:
        alike(program, ignored)


def test_an_error_is_one_line_and_closes_the_channel():
    def program(asyncore, fails):
        class Channel(asyncore.dispatcher):
            def __repr__(self):
                if fails is KeyError:
                    raise KeyboardInterrupt
                return "<it>"

            def handle_close(self):
                print("closed")

        def all_of_it():
            try:
                raise fails("why", 1)
            except BaseException:  # noqa: BLE001 - what a handler may raise
                Channel(map={}).handle_error()

        return re.sub(r"object at [0-9a-f]+", "object", printed(all_of_it)[0])

    for fails in (LookupError, KeyError, GeneratorExit, OSError):
        assert alike(program, fails).endswith("closed\n")


def test_the_traceback_is_the_same():
    def program(asyncore):
        try:
            {}["key"]
        except KeyError:
            place, kind, value, info = asyncore.compact_traceback()
        return place, kind, str(value), info, outcome(asyncore.compact_traceback)

    alike(program)
    assert [theirs._strerror(code) for code in (1, 10_000, 2**80)] == [
        ours._strerror(code) for code in (1, 10_000, 2**80)
    ]


# ---- errnos


class Failing:
    """A socket each of whose calls fails with this errno."""

    type = socket.SOCK_STREAM

    def __init__(self, code):
        self.code = code

    def recv(self, *args):
        raise OSError(self.code, "scripted")

    send = accept = recv

    def connect_ex(self, address):
        return self.code

    def getsockopt(self, *args):
        return 0


@pytest.mark.parametrize("call", ["recv", "send", "accept", "connect"])
def test_each_errno_means_what_it_meant(call):
    def program(asyncore, code):
        channel, told = asyncore.dispatcher(map={}), []
        channel.handle_close = lambda: told.append("close")
        channel.handle_connect = lambda: told.append("connect")
        channel.socket = Failing(code)
        arguments = {"recv": (10,), "send": (b"x",), "accept": (), "connect": (("host", 1),)}[call]
        seen = outcome(getattr(channel, call), *arguments)
        return seen, told, channel.connected, channel.connecting, channel.addr

    differs = {code for code in [0, *ERRNOS] if program(theirs, code) != program(ours, code)}
    mended = (OUT_OF_RESOURCES | DIED_IN_QUEUE) - {errno.ECONNABORTED} if call == "accept" else set()
    assert differs == mended


@pytest.mark.slow
@pytest.mark.parametrize("function", ["read", "write", "_exception", "readwrite"])
def test_what_a_handler_lets_out_goes_where_it_went(function):
    def program(asyncore, error, flags):
        told = []

        class Thing:
            def handle_read_event(self):
                raise error

            handle_write_event = handle_expt_event = handle_read_event

            def handle_error(self):
                told.append(("error", sys.exc_info()[1] is error))

            def handle_close(self):
                told.append(("close", sys.exc_info()[1] is error))

        arguments = (Thing(), flags) if function == "readwrite" else (Thing(),)
        return outcome(getattr(asyncore, function), *arguments), told

    class Odd(BaseException):
        """Neither an error nor one of the three that leave the loop."""

    errors = [OSError(code, "scripted") for code in ERRNOS]
    errors += [ValueError(), Odd(), GeneratorExit(), KeyboardInterrupt(), SystemExit(), AssertionError()]
    for error in errors:
        for flags in (select.POLLIN, select.POLLOUT, select.POLLPRI):
            alike(program, error, flags)
    assert outcome(ours.read, types.SimpleNamespace(handle_read_event=lambda: (_ for _ in ()).throw(ours.ExitNow)))


def test_each_flag_calls_what_it_called():
    def program(asyncore, flags):
        told = []
        thing = types.SimpleNamespace()
        for name in ("read_event", "write_event", "expt_event", "close", "error"):
            setattr(thing, f"handle_{name}", lambda name=name: told.append(name))
        asyncore.readwrite(thing, flags)
        return told

    for flags in range(64):  # data and the end, too: there is no socket here that could be asked how much is to be read
        alike(program, flags)


def test_close_all_closes_and_raises_as_before():
    def program(asyncore, error, ignore_all):
        closed = []

        class Thing:
            def __init__(self, error):
                self.error = error

            def close(self):
                closed.append(self.error is not None)
                if self.error is not None:
                    raise self.error

        channels = {1: Thing(None), 2: Thing(error), 3: Thing(None)}
        return outcome(asyncore.close_all, channels, ignore_all), closed, list(channels)

    class Odd(BaseException):
        """Neither an error nor one of the three that pass."""

    for error in [*(OSError(code, "x") for code in ERRNOS), ValueError(), Odd(), KeyboardInterrupt(), SystemExit()]:
        for ignore_all in (False, True):
            alike(program, error, ignore_all)


# ---- events


class Story:
    """What happens to named channels, in one list."""

    def __init__(self, asyncore):
        self.asyncore, self.told, self.map = asyncore, [], {}

    def channel(self, name, sock=None, base=None, **methods):
        told = self.told

        class Channel(base or self.asyncore.dispatcher):
            def handle_read(self):
                told.append((name, "read", self.recv(100)))

            def handle_write(self):
                told.append((name, "write"))

            def handle_connect(self):
                told.append((name, "connect", self.connected, self.connecting))

            def handle_accepted(self, sock, addr):
                told.append((name, "accepted"))
                sock.close()

            def handle_close(self):
                told.append((name, "close"))
                self.close()

            def handle_error(self):
                told.append((name, "error", sys.exc_info()[0].__name__))
                self.close()

        for key, method in methods.items():
            setattr(Channel, key, method)
        return Channel(sock, self.map)

    def listener(self, name, **methods):
        server = self.channel(name, **methods)
        server.create_socket()
        server.bind(("127.0.0.1", 0))
        server.listen(5)
        return server

    def turn(self, habit, times=1):
        self.asyncore.loop(0.05, habit, self.map, times)

    def end(self):
        self.asyncore.close_all(self.map, ignore_all=True)
        return self.told


@pytest.mark.parametrize("habit", HABITS)
def test_channels_that_are_ready_together_are_served_in_the_order_of_the_map(habit):
    def program(asyncore):
        story, pairs = Story(asyncore), [socket.socketpair() for _ in range(5)]
        for number in (3, 0, 4, 1, 2):
            story.channel(number, pairs[number][0], writable=lambda self: self.addr is not None)
        for number in (2, 4, 0, 1, 3):
            pairs[number][1].send(b"x")
        story.turn(habit, 2)
        for _, peer in pairs:
            peer.close()
        return story.end()

    alike(program)


@pytest.mark.slow
@pytest.mark.parametrize("habit", HABITS)
def test_server_and_client_in_one_map_meet_in_the_same_order(habit):
    def program(asyncore):
        story = Story(asyncore)
        server = story.listener("server")
        client = story.channel("client", writable=lambda self: not self.connected)
        client.create_socket()
        client.connect(server.socket.getsockname())
        story.turn(habit, 4)
        told = [client.connected, client.connecting, sorted(story.map.values(), key=id) == [server]]
        return story.end(), told

    alike(program)


@pytest.mark.parametrize("habit", HABITS)
def test_a_refused_connect_and_a_socket_that_was_never_connected_tell_the_same(habit):
    def program(asyncore, connect):
        with socket.create_server(("127.0.0.1", 0)) as gone:
            address = gone.getsockname()
        story = Story(asyncore)
        client = story.channel("client")
        client.create_socket()
        if connect:
            client.connect(address)
        story.turn(habit, 3)
        return list(dict.fromkeys(story.end()))  # a close that was told twice is mended

    alike(program, True)
    alike(program, False)


@pytest.mark.parametrize("habit", HABITS)
def test_a_handler_may_put_another_socket_over_the_same_connection(habit):
    """As ``ssl`` does it: TLS begins in handle_connect, or in the middle of a conversation."""

    class Wrapped(socket.socket):
        """What ssl makes of a socket: another object, the same descriptor."""

    def wrap(self):
        self.socket = Wrapped(fileno=self.socket.detach())
        self.socket.setblocking(False)

    def program(asyncore):
        story = Story(asyncore)

        def handle_connect(self):
            story.told.append("connect")
            wrap(self)

        def handle_read(self):
            story.told.append(self.recv(100))
            wrap(self)

        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = story.channel("client", handle_connect=handle_connect, handle_read=handle_read)
            client.create_socket()
            client.connect(listener.getsockname())
            story.turn(habit)
            peer, _ = listener.accept()
        state = client.connected, client.connecting
        for piece in (b"one", b"two"):
            peer.send(piece)
            story.turn(habit)
        peer.close()
        told = [*story.end(), state]
        return [each for each in told if each != ("client", "write")]

    assert alike(program)[:1] == ["connect"]


@pytest.mark.parametrize("habit", HABITS)
def test_a_channel_may_move_to_another_map_in_its_handler(habit):
    def program(asyncore):
        story, elsewhere = Story(asyncore), {}
        near, far = socket.socketpair()

        def handle_read(self):
            story.told.append(self.recv(1))
            self.del_channel()
            self._map = elsewhere
            self.set_socket(self.socket)

        story.channel("mover", near, handle_read=handle_read, writable=lambda self: True)
        far.send(b"ab")
        story.turn(habit)
        here = [*story.told], list(story.map.values()) == [], len(elsewhere)
        asyncore.loop(0.05, habit, elsewhere, 1)
        asyncore.close_all(elsewhere)
        far.close()
        return here, [each for each in story.told if each != ("mover", "write")]

    alike(program)


def test_a_channel_that_leaves_its_map_in_handle_connect_is_connected_all_the_same():
    """As a program does it that gives the connection to a thread from there on."""

    def program(asyncore):
        near, far = socket.socketpair()
        channel = asyncore.dispatcher(near, {})
        channel.connected, channel.connecting = False, True
        channel.handle_connect = channel.del_channel
        channel.handle_connect_event()
        seen = channel.connected, channel.connecting, channel._map
        channel.close()
        far.close()
        return seen

    assert alike(program) == (True, False, {})


def test_what_has_no_socket_yet_says_so_in_the_same_words():
    """It stands in the log line."""

    def program(asyncore):
        channel, told = asyncore.dispatcher(map={}), []
        for call in (channel.set_reuse_addr, channel.handle_read_event, channel.handle_connect_event):
            try:
                call()
            except AttributeError as error:
                told.append(str(error))
        return told

    alike(program)


@pytest.mark.slow
@pytest.mark.parametrize("habit", HABITS)
def test_strangers_in_the_map_are_served(habit):
    """Objects that are no dispatchers, but have the methods that the loop calls."""

    def program(asyncore, key_is_socket):
        near, far = socket.socketpair()
        told, channels = [], {}

        class Stranger:
            accepting = False

            def readable(self):
                return True

            def writable(self):
                return len(told) < 2

            def handle_read_event(self):
                told.append(near.recv(10))

            def handle_write_event(self):
                told.append("write")

            def handle_expt_event(self):
                told.append("expt")

            def handle_error(self):
                told.append(sys.exc_info()[0])

            def handle_close(self):
                told.append("close")
                channels.clear()

        channels[near if key_is_socket else near.fileno()] = Stranger()
        far.send(b"x")
        asyncore.loop(0.05, habit, channels, 3)
        near.close()
        far.close()
        return told

    alike(program, False)
    if not habit:
        alike(program, True)  # poll() takes sockets as keys, poll2() never did


def test_functions_of_the_module_may_be_replaced(monkeypatch):
    def program(asyncore):
        near, far = socket.socketpair()
        told, channels = [], {}
        asyncore.dispatcher(near, channels).writable = lambda: True
        for name in ("read", "write", "_exception", "readwrite"):
            monkeypatch.setattr(asyncore, name, lambda *args, name=name: told.append((name, args[1:])))
        far.send(b"x")
        asyncore.poll(0.05, channels)
        asyncore.poll2(0.05, channels)
        monkeypatch.setattr(asyncore, "poll", lambda *args: told.append(args == (7, channels)))
        monkeypatch.setattr(asyncore, "poll2", lambda *args: told.append("poll2"))
        asyncore.loop(7, False, channels, 2)
        asyncore.loop(7, True, channels, 1)
        asyncore.close_all(channels)
        far.close()
        return told

    alike(program)


def test_the_modules_map_may_be_replaced_and_survives_a_reload(monkeypatch):
    def program(asyncore):
        near, far = socket.socketpair()
        monkeypatch.setattr(asyncore, "socket_map", {})
        channel = asyncore.dispatcher(near)
        seen = [len(asyncore.socket_map), asyncore.socket_map[near.fileno()] is channel]
        channel.handle_read = lambda: seen.append(channel.recv(10))
        channel.writable = lambda: False
        far.send(b"x")
        asyncore.loop(count=1)
        asyncore.close_all()
        far.close()
        return seen, asyncore.socket_map

    alike(program)


def test_a_copy_of_the_modules_map_is_nobodys():
    import copy

    channels = dispatch.maps.channelmap.ChannelMap({1: "channel"})
    for twin in (copy.copy(channels), copy.deepcopy(channels), channels.copy(), channels | {}):
        assert type(twin) is dict
        assert twin == channels


# ---- output and files


class Scripted:
    """A socket that takes so many bytes of each send."""

    def __init__(self, *limits):
        self.limits, self.sent = list(limits), []

    def send(self, data):
        taken = data[: self.limits.pop(0) if self.limits else None]
        self.sent.append(taken)
        assert isinstance(data, (bytes, bytearray)), "somebody's send expects what was given"
        return len(taken)


def test_output_goes_out_in_the_same_pieces():
    def program(asyncore, *steps):
        channel = asyncore.dispatcher_with_send(map={})
        channel.socket, seen = Scripted(0, 3, 0, 1), []
        for step in steps:
            if callable(step):
                seen.append(outcome(step, channel))
            elif isinstance(step, tuple):
                channel.out_buffer = step[0]
            else:
                seen.append(outcome(channel.send, step))
            seen.append((bytes(channel.out_buffer), channel.writable()))
        return seen, channel.socket.sent, channel.connected

    write = lambda channel: channel.handle_write()
    grow = lambda channel: channel.out_buffer.extend(b"more")
    alike(program, b"hello, ", b"world", write, write, write, write, write)
    alike(program, b"", write, memoryview(b"view"), bytearray(b"array"), b"x" * 200_000, write, write, write, write)
    alike(program, "text", None, 5, [1], write)
    alike(program, b"x", "text", None, 5, b"y", 5, write, write, write)
    alike(program, (b"set",), write, (bytearray(b"array"),), write, grow, b"!", write, write, write, write)
    alike(program, (b"x" * 100_000,), b"y" * 100_000, write, write, write, b"z", write, write, write, write)


def test_what_a_send_that_does_not_say_how_much_it_took_was_given_stays():
    """As a test's own socket may do it, which keeps what it is sent and returns nothing."""

    def program(asyncore):
        channel, sent = asyncore.dispatcher_with_send(map={}), []
        channel.socket = types.SimpleNamespace(send=sent.append)
        for data in (b"one", b"two", b"three" * 50_000, b"four"):
            channel.send(data)
        return sent, channel.out_buffer, channel.writable()

    alike(program)


def test_a_subclass_may_begin_its_buffer_where_it_likes():
    def program(asyncore, how):
        class Channel(asyncore.dispatcher_with_send):
            if how == "class":
                out_buffer = b"from the class "

            def __init__(self, channels):
                if how == "before":
                    self.out_buffer = b"too early"
                    asyncore.dispatcher_with_send.__init__(self, map=channels)
                else:
                    asyncore.dispatcher.__init__(self, map=channels)
                    if how == "after":
                        self.out_buffer = b"from __init__ "

        channel = Channel({})
        channel.socket = Scripted()
        channel.send(b"and send")
        return channel.socket.sent, channel.out_buffer

    for how in ("class", "before", "after"):
        alike(program, how)


@pytest.mark.slow
@pytest.mark.parametrize("habit", HABITS)
def test_a_buffer_that_is_changed_in_place_is_sent(habit):
    def program(asyncore):
        near, far = socket.socketpair()
        channels = {}
        channel = asyncore.dispatcher_with_send(near, channels)
        channel.out_buffer = buffer = bytearray()
        asyncore.loop(0.01, habit, channels, 2)
        buffer.extend(b"in place")
        asyncore.loop(0.05, habit, channels, 3)
        far.setblocking(False)
        got = outcome(far.recv, 100)
        channel.close()
        far.close()
        return got

    assert alike(program) == b"in place"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes are polled on POSIX only")
def test_a_file_wrapper_is_as_much_of_a_socket_as_before():
    def program(asyncore):
        reader, writer = os.pipe()
        ends = asyncore.file_wrapper(reader), asyncore.file_wrapper(writer)
        os.close(reader)
        os.close(writer)
        seen = [ends[1].send(b"abc"), ends[1].write(b"d"), ends[0].recv(2), ends[0].read(10)]
        seen += [
            outcome(ends[0].getsockopt, *args)
            for args in [
                (socket.SOL_SOCKET, socket.SO_ERROR),
                (socket.SOL_SOCKET, socket.SO_ERROR, 4),
                (socket.SOL_SOCKET, socket.SO_TYPE),
            ]
        ]
        ends[0].close()
        ends[0].close()
        seen.append(ends[0].fileno())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            last = ends[1]
            del ends
            text = re.sub("0x[0-9a-f]+", "0x", f"unclosed file {last!r}")
            del last
            gc.collect()
        return seen, [(each.category, re.sub("0x[0-9a-f]+", "0x", str(each.message)) == text) for each in caught]

    alike(program)


def test_a_reload_keeps_what_is_in_the_map():
    for module in (theirs, ours):
        before = module.socket_map
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            importlib.reload(module)
        assert module.socket_map is before
