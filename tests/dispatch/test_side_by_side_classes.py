"""The classes that programs make of asyncore's, in ways that nobody foresaw: they behave on the drop-in as they did."""

from __future__ import annotations

import collections
import errno
import socket
import sys
import warnings
import weakref
from unittest import mock

import pytest

import dispatch.asynchat
import dispatch.asyncore

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")


def alike(program, *args):
    """What *program* shows on the old modules, which is what it shows on these."""
    on_theirs = program(theirs, their_chat, *args)
    on_ours = program(dispatch.asyncore, dispatch.asynchat, *args)
    assert on_ours == on_theirs
    return on_ours


class Beside:
    """A class beside asyncore's that gives their objects something to begin with."""

    producer_fifo = None
    out_buffer = b""


@pytest.mark.parametrize("where", ["class", "mixin"])
@pytest.mark.parametrize("kind", [None, collections.deque, list])
def test_a_queue_of_output_may_begin_as_an_attribute_of_the_class(where, kind):
    """*kind* is made by a constructor of the program's own; None means that asynchat's is called."""

    def program(asyncore, asynchat):
        class Shouting(*([Beside] if where == "mixin" else []), asynchat.async_chat):
            if where == "class":
                producer_fifo = None
            terminator = b"\n"

            def __init__(self, sock, map):
                if kind is None:
                    asynchat.async_chat.__init__(self, sock, map)
                else:
                    self.ac_in_buffer, self.incoming, self.producer_fifo = b"", [], kind()
                    asyncore.dispatcher.__init__(self, sock, map)

            collect_incoming_data = asynchat.async_chat._collect_incoming_data

            def found_terminator(self):
                self.push(self._get_data().upper())

        near, far = socket.socketpair()
        channels = {}
        channel = Shouting(near, channels)
        with near, far:
            far.send(b"how do\nyou do\n")
            asyncore.loop(0, map=channels, count=4)
            return far.recv(100), list(channel.producer_fifo)

    assert alike(program) == (b"HOW DOYOU DO", [])


@pytest.mark.parametrize("base", [(), (Beside,)])
def test_out_buffer_may_begin_as_an_attribute_of_a_class_beside(base):
    def program(asyncore, asynchat):
        near, far = socket.socketpair()
        channels = {}
        channel = type("Sending", (*base, asyncore.dispatcher_with_send), {})(near, channels)
        with near, far:
            channel.send(b"sent, ")
            channel.out_buffer = b"set"
            waiting = channel.out_buffer
            asyncore.loop(0, map=channels, count=2)
            return waiting, far.recv(100), channel.out_buffer

    assert alike(program) == (b"set", b"sent, set", b"")


def own(name, told):
    """A property of the program's that keeps what *name* stands for elsewhere, and tells who sets it."""

    def keep(self, value):
        told.append(bytes(value) if name == "out_buffer" else type(value).__name__)
        self.kept = value

    return property(lambda self: self.kept, keep)


@pytest.mark.parametrize("where", ["class", "mixin", "parent", "slot"])
@pytest.mark.parametrize("use_poll", [False, True])
def test_a_queue_of_output_may_be_a_property_of_the_programs_own(use_poll, where):
    def program(asyncore, asynchat, name):
        told = []
        near, far = socket.socketpair()
        base = asynchat.async_chat if name == "producer_fifo" else asyncore.dispatcher_with_send
        here = {name: own(name, told)}
        if where == "slot":
            here = {"__slots__": (name,)}
        bases = (type("Mixin", (), here), base) if where == "mixin" else (base,)
        kind = type("Sending", bases, {} if where == "mixin" else here)
        if where == "parent":
            kind = type("Child", (kind,), {})
        channel = kind(near, {})
        with near, far:
            for data in (b"a", b"bc" * 3, b"x" * 70_000):
                (channel.push if name == "producer_fifo" else channel.send)(data)
            waits = [len(getattr(channel, name)) > 0, bool(channel.writable())]
            if name == "producer_fifo":
                channel.producer_fifo.append(b"put in")
            else:
                channel.out_buffer += b"put in"
            got = b""
            far.settimeout(5)
            while not got.endswith(b"put in"):
                asyncore.loop(0, use_poll, channel._map, 7)
                got += far.recv(1 << 20)
            left = len(getattr(channel, name)), bool(channel.writable()), type(getattr(channel, name)).__name__
            channel.close()
        return told, waits, got, left

    for name in ("producer_fifo", "out_buffer"):
        alike(program, name)


def test_a_queue_of_output_that_a_program_makes_a_constant_cannot_be_set():
    def program(asyncore, asynchat, name):
        base = asynchat.async_chat if name == "producer_fifo" else asyncore.dispatcher_with_send
        with pytest.raises(AttributeError) as caught:
            type("Fixed", (base,), {name: property(lambda self: ())})(map={})
        return str(caught.value)

    for name in ("producer_fifo", "out_buffer"):
        alike(program, name)


def equal_to_all(self, other):
    return True


def equal_to_none(self, other):
    raise ZeroDivisionError


@pytest.mark.parametrize("compare", [equal_to_all, equal_to_none])
def test_a_map_knows_its_channels_by_who_they_are(compare):
    """Another one, that a program thinks is equal, takes the place of one by hand."""

    def program(asyncore, asynchat):
        near, far = socket.socketpair()
        channels, told = {}, []

        def handle_read(self):
            told.append((self.name, self.recv(10)))
            channels[near.fileno()] = made[1]

        methods = {"__eq__": compare, "__hash__": None, "handle_read": handle_read, "writable": lambda self: False}
        equal = type("Equal", (asyncore.dispatcher,), methods)
        made = [equal(near, channels), equal(None, channels)]
        made[0].name, made[1].name, made[1].socket = "one", "other", near
        with near, far:
            for _ in range(3):
                far.send(b"x")
                asyncore.loop(0, map=channels, count=1)
        return told

    assert alike(program) == [("one", b"x"), ("other", b"x"), ("other", b"x")]


@pytest.mark.parametrize("use_poll", [False, True])
def test_what_is_no_dispatcher_need_not_answer_what_a_loop_of_old_did_not_ask(use_poll):
    def program(asyncore, asynchat):
        class Thing:
            accepting = False

            def __init__(self, sock):
                self.sock = sock

            def __getattr__(self, name):
                raise KeyError(name)

            def readable(self):
                return True

            def writable(self):
                return len(told) < 2

            def handle_read_event(self):
                told.append(self.sock.recv(10))

            def handle_write_event(self):
                told.append("write")

            def handle_error(self):
                told.append(sys.exc_info()[0])

        near, far = socket.socketpair()
        told = []
        channels = {near.fileno(): Thing(near)}
        with near, far:
            for _ in range(3):
                far.send(b"x")
                asyncore.loop(0.1, use_poll, channels, 1)
        return told

    assert alike(program) == [b"x", "write", b"x", b"x"]


def test_attributes_of_the_socket_may_be_had_through_the_channel():
    """Cheap inheritance: asyncore itself did so once, and many programs do since it stopped."""

    def program(asyncore, asynchat):
        class Cheap(asynchat.async_chat):
            terminator = b"\n"
            collect_incoming_data = asynchat.async_chat._collect_incoming_data

            def __getattr__(self, name):
                return getattr(self.__dict__.get("socket"), name)

            def found_terminator(self):
                self.push(self._get_data())

        near, far = socket.socketpair()
        channels = {}
        channel = Cheap(near, channels)
        with near, far:
            far.send(b"x\n")
            asyncore.loop(0, map=channels, count=2)
            return far.recv(10), channel.fileno() == near.fileno(), channel.getsockname()

    assert alike(program) == (b"x", True, "")


def test_methods_of_asyncores_own_classes_may_be_patched():
    def program(asyncore, asynchat):
        near, far = socket.socketpair()
        told, channels = [], {}

        class Reading(asyncore.dispatcher):
            def handle_read(self):
                told.append(self.recv(10))

            def handle_write(self):
                told.append("write")

        Reading(near, channels)
        with near, far:
            asyncore.loop(0, map=channels, count=1)
            for name in ("readable", "writable"):
                far.send(b"x")
                with mock.patch.object(asyncore.dispatcher, name, return_value=False):
                    asyncore.loop(0, map=channels, count=2)
                told.append(name)
            with mock.patch.object(asyncore.dispatcher, "recv", return_value=b"patched"):
                far.send(b"x")
                asyncore.loop(0, map=channels, count=1)
        sending = asyncore.dispatcher_with_send(map={})
        with mock.patch.object(asyncore.dispatcher, "send", return_value=2) as send:
            sending.send(b"hello")
            sending.send(b"you")
        return told, [call.args[-1] for call in send.call_args_list], sending.out_buffer

    told, sent, waiting = alike(program)
    assert told == ["write", "write", "write", "readable", b"xx", "writable", b"patched", "write"]
    assert (sent, waiting) == ([b"hello", b"lloyou"], b"oyou")


def test_a_queue_of_output_may_be_patched_and_deleted():
    """A mock's patch deletes what it has put into an object, and then sets what was there."""

    def program(asyncore, asynchat):
        seen = []
        for kind, name, other in (
            (asynchat.async_chat, "producer_fifo", collections.deque([b"other"])),
            (asyncore.dispatcher_with_send, "out_buffer", b"other"),
        ):
            channel, peer = connected(kind)
            before = getattr(channel, name)
            with mock.patch.object(channel, name, other):
                seen.append(getattr(channel, name) is other)
            seen.append(getattr(channel, name) is before)
            delattr(channel, name)
            seen.append(hasattr(channel, name))
            setattr(channel, name, other)
            asyncore.loop(timeout=0, map=channel._map, count=2)
            seen += [peer.recv(100), len(getattr(channel, name))]
            channel.close()
            peer.close()
        return seen

    def connected(kind):
        ours, peer = socket.socketpair()
        return kind(ours, {}), peer

    assert alike(program) == [True, True, False, b"other", 0] * 2


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("use_poll", [False, True])
def test_who_was_closed_in_a_turn_is_gone_after_it(own_map, use_poll):
    """A program that looks for what it leaks finds nothing of the loop's."""

    def program(asyncore, asynchat):
        class Reading(asyncore.dispatcher_with_send):
            def handle_read(self):
                self.recv(10)

            def handle_close(self):
                self.close()

        stays, beside = socket.socketpair()
        other = Reading(stays, {} if own_map else None)
        near, far = socket.socketpair()
        gone = Reading(near, other._map)
        seen = [weakref.ref(gone), weakref.ref(near)]
        del gone, near
        with stays, beside, far:
            far.shutdown(socket.SHUT_WR)
            asyncore.loop(0, use_poll, other._map, 1)
            left = [each() is not None for each in seen]
        other.close()
        return left

    assert alike(program) == [False, False]


@pytest.mark.parametrize(
    "where", ["handle_connect", "collect_incoming_data", "found_terminator", "more", "send", "refused"]
)
def test_a_log_line_names_the_functions_that_asyncore_had(where):
    def program(asyncore, asynchat):
        named = []

        class Failing(asynchat.async_chat):
            terminator = b"\n"

            def handle_error(self):
                named.extend(frame.split("|")[1] for frame in asyncore.compact_traceback()[3].split("] ["))
                self.close()

            def more(self):
                raise ValueError

            if where == "send":

                def send(self, data):
                    raise OSError(errno.ETIMEDOUT, "scripted")

            if where not in ("more", "send", "refused"):
                locals()[where] = lambda *_: 1 / 0

            if where == "found_terminator":
                collect_incoming_data = asynchat.async_chat._collect_incoming_data

        address = socket.socket()
        address.bind(("127.0.0.1", 0))
        if where != "refused":
            address.listen()
        channel, peer = Failing(map={}), address
        channel.create_socket()
        channel.connect(address.getsockname())
        if where != "refused":
            peer = address.accept()[0]
            if where in ("collect_incoming_data", "found_terminator"):
                peer.sendall(b"line\n")
            channel.producer_fifo.append({"more": channel, "send": b"data"}.get(where, b""))
        asyncore.loop(timeout=1, map=channel._map, count=2)
        for each in (peer, channel, address):
            each.close()
        return named

    named = alike(program)
    assert len(named) > 1
    assert where == "refused" or named[-1] in (where, "<lambda>")


@pytest.mark.parametrize("what", ["socket", "file", "own"])
def test_a_log_line_about_what_cannot_be_accepted_names_accept_as_it_did(what):
    def program(asyncore, asynchat):
        named = []

        class Own(socket.socket):
            def accept(self):
                raise ValueError

        class Failing(asyncore.dispatcher):
            accepting = True

            def handle_error(self):
                named.extend(frame.split("|")[1] for frame in asyncore.compact_traceback()[3].split("] ["))
                self.close()

        near, far = socket.socketpair()
        with near, far:
            far.send(b"x")
            if what == "file":
                kind = type("File", (Failing, asyncore.file_dispatcher), {})
                channel = kind(near, {})
            else:
                sock = near.dup() if what == "socket" else Own(near.family, near.type, fileno=near.dup().detach())
                channel = Failing(sock, {})
            asyncore.loop(1, map=channel._map, count=1)
        return named

    assert alike(program)[:4] == ["read", "handle_read_event", "handle_accept", "accept"]


@pytest.mark.parametrize("where", ["handle_expt", "handle_expt_event"])
def test_a_log_line_names_the_function_that_told_of_an_urgent_byte(where):
    def program(asyncore, asynchat):
        named = []

        class Failing(asyncore.dispatcher):
            def handle_error(self):
                named.extend(frame.split("|")[1] for frame in asyncore.compact_traceback()[3].split("] ["))
                self.close()

            locals()[where] = lambda self: 1 / 0

        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as peer,
        ):
            channel = Failing(listener.accept()[0], {})
            peer.send(b"!", socket.MSG_OOB)
            asyncore.loop(timeout=1, map=channel._map, count=1)
            channel.close()
        return named

    assert alike(program)[0] == "_exception"


@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("many", [0, 25])
@pytest.mark.parametrize("count", [1, 8, None])
def test_a_log_line_names_the_functions_that_asyncore_had_also_where_a_handler_turns_the_loop(
    count, many, use_poll, own_map
):
    def program(asyncore, asynchat):
        named, channels = [], {} if own_map else asyncore.socket_map

        class Turning(asyncore.dispatcher):
            def handle_read(self):
                self.recv(1)
                asyncore.loop(0, use_poll, channels, count)

            def handle_error(self):
                named.extend(frame.split("|")[1] for frame in asyncore.compact_traceback()[3].split("] ["))
                asyncore.close_all(channels)

        class Failing(asyncore.dispatcher):
            def handle_read(self):
                self.recv(1)
                raise ValueError

            def handle_error(self):
                raise LookupError

        pairs = [socket.socketpair() for _ in range(many + 2)]
        for number, (near, far) in enumerate(pairs):
            kind = [Turning, Failing][number] if number < 2 else asyncore.dispatcher
            kind(near, channels).writable = lambda: False
            if number < 2:
                far.send(b"x")
        asyncore.loop(0, use_poll, channels, count)
        for near, far in pairs:
            near.close()
            far.close()
        return named

    assert "handle_error" in alike(program)
