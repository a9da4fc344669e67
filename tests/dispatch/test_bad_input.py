"""What cannot be is refused where it is handed over, with its value and a remedy; nothing of it fails later inside the loop."""

from __future__ import annotations

import io
import math
import os
import signal
import socket
import ssl
import threading
from types import SimpleNamespace

import pytest

import dispatch
from tests.dispatch.conftest import Recorder

NOBODY = ("127.0.0.1", 9)
NAN = math.nan


def nothing(*args):
    pass


def refused(error, text, function, *args, **options):
    """The call raises *error*, whose message has *text*."""
    with pytest.raises(error) as caught:
        function(*args, **options)
    assert text in str(caught.value), f"{function}{args}{options}: {caught.value}"
    assert type(caught.value) is error, f"{function}{args}{options}: {caught.value!r}"


def test_a_loop_refuses_what_is_no_network_poller_or_time(world):
    loop = world.loop()
    refused(TypeError, "network='x'", dispatch.Loop, "x")
    refused(TypeError, "poller=5", dispatch.Loop, poller=5)
    refused(TypeError, "poller=b'epoll'", dispatch.Loop, poller=b"epoll")
    refused(ValueError, "'kpoll' is not to be had here; there are:", dispatch.Loop, poller="kpoll")
    for call in (loop.call_later, loop.call_at, loop.call_every):
        refused(TypeError, "'soon' is no time: give seconds", call, "soon", nothing)
        refused(TypeError, "None is no time: give seconds", call, None, nothing)
        refused(ValueError, "nan", call, NAN, nothing)
        refused(TypeError, "5 is not callable", call, 1, 5)
    for call in (loop.call_later, loop.call_at, loop.call_every):
        refused(ValueError, "no clock comes to it", call, 10**400, nothing)
    refused(ValueError, "no clock comes to it", loop.close, 10**400)
    for interval in (0, -1):
        refused(ValueError, f"interval={interval} is not above 0", loop.call_every, interval, nothing)
    for timeout in (-1, -0.001, NAN):
        refused(ValueError, f"timeout={timeout} must be 0 or more", loop.run_once, timeout)
        refused(ValueError, f"deadline={timeout} must be 0 or more", loop.close, timeout)
    refused(TypeError, "timeout='1'", loop.run_once, "1")
    refused(TypeError, "deadline='1'", loop.close, "1")
    refused(TypeError, "deadline=None would wait", loop.close, None)
    for deadline in (-1, "1"):  # no remedy is offered that would be refused in its turn
        with pytest.raises((TypeError, ValueError)) as caught:
            loop.close(deadline)
        assert "None" not in str(caught.value)
    for debug in ("no", "", None, 2, 1.0):
        refused(TypeError, f"debug={debug!r} must be True or False", dispatch.Loop, debug=debug)

    assert loop.run_once(0) == 0
    assert not loop.closed


def test_a_signal_that_nobody_can_catch_is_refused():
    with dispatch.Loop() as loop:
        refused(
            ValueError,
            f"signal {signal.SIGKILL:d} cannot be caught: the system lets no program do that",
            loop.call_on_signal,
            signal.SIGKILL,
            nothing,
        )
        out_of_range = (
            "signal 9999 cannot be caught here (signal number out of range); give its number, as in signal.SIGTERM"
        )
        refused(ValueError, out_of_range, loop.call_on_signal, 9999, nothing)
        refused(
            TypeError,
            "'TERM' is no signal; give its number, as in signal.SIGTERM",
            loop.call_on_signal,
            "TERM",
            nothing,
        )
        refused(TypeError, "5 is not callable", loop.call_on_signal, signal.SIGUSR1, 5)
        for number in (15.0, math.inf, NAN, True):  # Python 3.11 takes 15.0, and the loop could not be closed then
            refused(TypeError, f"{number!r} is no signal", loop.call_on_signal, number, nothing)
        refused(ValueError, "give its number, as in signal.SIGTERM", loop.call_on_signal, 10**30, nothing)
        before = signal.getsignal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_closed_loop_refuses_everything_but_a_second_close(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)
    loop.close()
    for call in (loop.run, loop.run_once):
        refused(RuntimeError, "is closed; make a new one", call)
    for call in (loop.call_soon, loop.call_soon_threadsafe):
        refused(RuntimeError, "is closed; it makes no more calls", call, nothing)
    refused(RuntimeError, "is closed; a channel needs a loop", Recorder, loop=loop)
    refused(RuntimeError, "is closed; a channel needs a loop", dispatch.Listener, NOBODY, Recorder, loop=loop)
    refused(RuntimeError, "is closed; make a new one", loop.__enter__)
    with world.loop() as current:
        current.close()
        refused(RuntimeError, "is closed; a channel needs a loop", Recorder)
        refused(RuntimeError, "is closed; a channel needs a loop", dispatch.Listener, NOBODY, Recorder)
    loop.close()
    loop.stop()

    assert channel.write(b"x") is False
    for late in (channel.close, channel.abort, channel.pause, channel.resume, channel.touch, channel.write_eof):
        late()  # the peer, or the loop, may have ended it at any time: no program need ask before


CLASSES = {
    dispatch.Stream: {
        "high_water": [(-1, ValueError), ("x", TypeError), (None, TypeError), (NAN, ValueError)],
        "low_water": [(70_000, ValueError), (-1, ValueError), ("x", TypeError)],
        "read_size": [(0, ValueError), (-1, ValueError), ("x", TypeError), (None, TypeError), (1.5, TypeError)],
        "read_size_max": [(0, ValueError), (None, TypeError)],
        "idle_timeout": [(-1, ValueError), ("x", TypeError), (NAN, ValueError), (True, TypeError)],
        "connect_timeout": [(-1, ValueError), ("x", TypeError), (NAN, ValueError)],
        "write_timeout": [(-1, ValueError), ("x", TypeError), (NAN, ValueError)],
        "close_timeout": [(-1, ValueError), ("x", TypeError), (NAN, ValueError)],
    },
    dispatch.Chat: {
        "terminator": [(b"", ValueError), (0, ValueError), (-1, ValueError), ("\n", TypeError), (True, TypeError)],
        "max_message": [(0, ValueError), (None, TypeError)],
        "idle_timeout": [(-1, ValueError)],
    },
    dispatch.Datagram: {
        "max_size": [(0, ValueError), ("x", TypeError)],
        "queue_limit": [(0, ValueError), (None, TypeError)],
    },
}


@pytest.mark.parametrize("base", CLASSES)
def test_a_class_is_refused_with_the_attribute_that_cannot_be(base):
    for name, values in CLASSES[base].items():
        for value, error in values:
            with pytest.raises(error) as caught:
                type("Wrong", (base,), {name: value})
            assert repr(value) in str(caught.value) or value == b""
        type("Right", (base,), {name: property(lambda channel: None)})


@pytest.mark.parametrize(
    ("base", "name"),
    [(dispatch.Stream, "read_size"), (dispatch.Stream, "read_size_max"), (dispatch.Datagram, "max_size")],
)
def test_so_is_a_size_for_which_no_read_has_room(base, name):
    refused(ValueError, f"{name} must be 2147483647 or less", type, "Wrong", (base,), {name: 1 << 31})


def test_a_socket_that_is_closed_is_told_with_the_socket(world):
    ours, _ = world.pair()
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        dispatch.Stream(ours, loop=world.loop())
    assert caught.value.__notes__[0].startswith("the socket is <")


def test_a_handler_that_is_a_coroutine_is_refused():
    async def handler(self, data): ...

    async def generator(self, data):
        yield

    for function in (handler, generator):
        for base, name in ((dispatch.Stream, "handle_data"), (dispatch.Chat, "handle_message")):
            refused(
                TypeError, f"Mine.{name} is a coroutine, and nobody awaits it", type, "Mine", (base,), {name: function}
            )
    type("Mine", (dispatch.Stream,), {"fetch": handler})  # what else a class has is its own


def test_so_is_one_that_is_mixed_in():
    class Mixed:
        async def handle_data(self, data):
            self.write(data)

    with pytest.raises(TypeError, match=r"Mixed.handle_data is a coroutine"):
        type("Echo", (Mixed, dispatch.Stream), {})

    class Plain(Mixed, dispatch.Stream):
        def handle_data(self, data):
            """Comes before the other."""

    assert Plain.handle_data is not Mixed.handle_data


def test_a_handler_that_is_no_function_is_refused():
    class Mixed:
        handle_close = None

    for wrong in (3, None, "data", Mixed()):
        told = f"Mine.handle_data={wrong!r} is no function, and will be called"
        refused(TypeError, told, type, "Mine", (dispatch.Stream,), {"handle_data": wrong})
    refused(TypeError, "Mine.handle_close=None is no function", type, "Mine", (Mixed, dispatch.Datagram), {})
    for right in (print, property(lambda self: self.write), staticmethod(print), Mixed):
        type("Mine", (dispatch.Stream,), {"handle_data": right})
    type("Mine", (dispatch.Stream,), {"handle_data_for": 3})  # what else a class has is its own


def test_a_handler_that_is_a_generator_is_refused():
    def handler(self, data):
        yield data

    refused(TypeError, "Mine.handle_data is a generator", type, "Mine", (dispatch.Stream,), {"handle_data": handler})
    with dispatch.Loop() as loop:
        refused(TypeError, "is a generator (it holds `yield`)", dispatch.Listener, NOBODY, handler, loop=loop)


def test_a_handler_that_cannot_be_called_as_it_will_be_is_told():
    for name, handler, says in (
        ("handle_close", lambda self: None, r"Mine.handle_close\(self\) cannot be called .*: handle_close\(reason\)"),
        ("handle_eof", lambda self, why: None, r"Mine.handle_eof\(self, why\) cannot .*: handle_eof\(\)"),
    ):
        with pytest.warns(RuntimeWarning, match=says) as told:
            type("Mine", (dispatch.Stream,), {name: handler})
        assert told[0].filename == __file__
    for handler in (lambda self, why, more=1: None, lambda *args: None, lambda self, why=None: None):
        mine = type("Mine", (dispatch.Stream,), {"handle_close": handler})
    type("Another", (mine,), {"handle_close": lambda self: None})  # in the place of one of the program's own


def test_a_call_that_would_give_what_nobody_runs_is_told(world, caplog):
    async def coroutine(): ...

    def generator():
        yield

    loop = world.loop()
    loop.call_soon(coroutine)
    loop.call_soon(lambda: coroutine())
    loop.call_later(0, generator)
    world.run(loop, lambda: len(caplog.records) == 3)
    told = [str(record.exc_info[1]) for record in caplog.records]
    assert sorted(text.split(",")[0] for text in told) == [
        "it gave a coroutine",
        "it gave a coroutine",
        "it is a generator (it holds `yield`)",
    ]


def test_a_handler_brought_along_from_asyncore_that_nobody_calls_is_told():
    for base, name, instead in (
        (dispatch.Stream, "handle_read", "handle_data"),
        (dispatch.Chat, "found_terminator", "handle_message"),
        (dispatch.Datagram, "handle_read", "handle_datagram"),
        (dispatch.Listener, "handle_accepted", "handle_close"),
    ):
        with pytest.warns(RuntimeWarning, match=f"Mine.{name} is a handler of asyncore's.*{instead}") as told:
            type("Mine", (base,), {name: lambda channel: None})
        assert told[0].filename == __file__
    type("Mine", (dispatch.Dispatcher,), {"handle_read": lambda channel: None})  # it has these verbs


def test_a_handler_of_asyncios_that_nobody_calls_is_told_unless_the_one_that_is_called_is_there():
    def handler(channel, *args):
        pass

    for base, name, instead in (
        (dispatch.Stream, "connection_made", "handle_connect"),
        (dispatch.Stream, "data_received", "handle_data"),
        (dispatch.Chat, "data_received", "handle_message"),
        (dispatch.Chat, "eof_received", "handle_eof"),
        (dispatch.Pipe, "connection_lost", "handle_close"),
        (dispatch.Stream, "pause_writing", "handle_full"),
        (dispatch.Stream, "resume_writing", "handle_drained"),
        (dispatch.Datagram, "datagram_received", "handle_datagram"),
        (dispatch.Datagram, "error_received", "handle_failure"),
    ):
        text = f"Mine.{name} is a handler of asyncio's, which is not called here; here it is {instead}"
        with pytest.warns(RuntimeWarning, match=text) as told:
            type("Mine", (base,), {name: handler})
        assert told[0].filename == __file__
        type("Mine", (base,), {name: handler, instead: handler})  # perhaps it calls the other one
    type("Mine", (dispatch.Listener,), {"data_received": handler})


def test_a_handler_of_another_class_that_nobody_calls_is_told_if_what_arrives_goes_nowhere():
    def handler(channel, data):
        pass

    for base, name, owner in (
        (dispatch.Stream, "handle_message", "Chat"),
        (dispatch.Pipe, "handle_message", "Chat"),
        (dispatch.Datagram, "handle_data", "Stream"),
        (dispatch.Chat, "handle_datagram", "Datagram"),
        (dispatch.Dispatcher, "handle_data", "Stream"),
    ):
        with pytest.warns(
            RuntimeWarning, match=f"Mine.{name} is a handler of dispatch.{owner}'s, which is not"
        ) as told:
            type("Mine", (base,), {name: handler})
        assert told[0].filename == __file__
    framed = type("Framed", (dispatch.Stream,), {"handle_data": handler, "handle_message": handler})  # its own
    type("Mine", (framed,), {"handle_message": handler})
    type("Mine", (dispatch.Listener,), {"handle_data": handler})  # nothing arrives at one


@pytest.mark.parametrize(
    ("base", "name", "meant"),
    [
        (dispatch.Chat, "handle_mesage", "handle_message"),
        (dispatch.Chat, "handle_messages", "handle_message"),
        (dispatch.Stream, "handle_dtaa", "handle_data"),
        (dispatch.Stream, "handle_ef", "handle_eof"),
        (dispatch.Chat, "idle_timout", "idle_timeout"),
        (dispatch.Chat, "terminater", "terminator"),
        (dispatch.Datagram, "handle_datagramm", "handle_datagram"),
    ],
)
def test_a_slip_in_a_name_that_nobody_uses_is_told_with_what_was_meant(base, name, meant):
    with pytest.warns(RuntimeWarning, match=f"nothing here uses Mine.{name}; did you mean {meant}?") as told:
        type("Mine", (base,), {name: None})
    assert told[0].filename == __file__


def test_names_of_the_programs_own_are_its_own():
    names = (
        "handle_login",
        "handle_date",
        "handle_pull",
        "handle_clone",
        "handle_data_of",
        "writer",
        "timeout",
        "high_waters_edge",
        "loops",
        "terminated",
        "closed_by",
    )
    type("Mine", (dispatch.Chat,), dict.fromkeys(names))
    type("Mine", (dispatch.Chat,), {"handle_messages": None, "handle_message": lambda channel, data: None})


def test_a_handler_that_cannot_be_called_as_a_listener_calls_it_is_told_how_it_is_called(kernel_world, caplog):
    class Alone(dispatch.Stream):
        def __init__(self, sock):
            super().__init__(sock)

    loop = kernel_world.loop()
    client = kernel_world.connect(kernel_world.listen(loop, Alone).addr)
    kernel_world.run(loop, lambda: "by handler(sock, addr=addr, loop=loop)" in caplog.text)
    assert client.recv(1) == b""


def test_an_address_that_cannot_be_had_is_told_with_the_kernels_error(world):
    loop = world.loop()
    taken = dispatch.Listener(("", 0), dispatch.Stream, loop=loop).addr
    with pytest.raises(OSError, match="Address already in use") as refused_one:
        dispatch.Listener(taken, dispatch.Stream, loop=loop)
    assert refused_one.value.__notes__ == [f"the address to listen on is {taken!r}"]
    of_its_own = dispatch.Datagram(("", 0), loop=loop).addr
    with pytest.raises(OSError, match="Address already in use") as refused_one:
        dispatch.Datagram(of_its_own, loop=loop)
    assert refused_one.value.__notes__ == [f"the address of its own is {of_its_own!r}"]


def test_a_host_and_port_in_one_text_are_told_from_a_path(world):
    loop = world.loop()
    for text, pair in (("localhost:80", "('localhost', 80)"), (":8080", "('', 8080)"), ("::1:7", "('::1', 7)")):
        told = f"{text!r} would be the path of a Unix socket; a host and its port are a pair, {pair}"
        refused(TypeError, told, dispatch.Stream(loop=loop).connect, text)
        refused(TypeError, told, dispatch.Listener, text, dispatch.Stream, loop=loop)


def test_a_constructor_that_leaves_ours_out_is_named(kernel_world, caplog):
    class Forgetful(dispatch.Stream):
        def __init__(self, *args, **options):
            self.args = args

    loop = kernel_world.loop()
    refused(RuntimeError, "Forgetful.__init__ has not called super().__init__", Forgetful().connect, NOBODY)
    listener = kernel_world.listen(loop, Forgetful)
    client = kernel_world.connect(listener.addr)
    kernel_world.run(loop, lambda: "Forgetful.__init__ has not called super().__init__; hand on to it" in caplog.text)
    assert client.recv(1) == b""


def test_so_is_one_that_writes_before_it_or_keeps_the_socket_from_it(kernel_world, caplog):
    class Hasty(dispatch.Stream):
        def __init__(self, sock, **options):
            self.write(b"welcome")
            super().__init__(sock, **options)

    class Empty(dispatch.Stream):
        def __init__(self, sock, *, addr, loop):
            super().__init__(loop=loop)

    loop = kernel_world.loop()
    for kind, told in (
        (Hasty, "Hasty.__init__ has not called super().__init__ yet"),
        (Empty, "has no socket: hand sock on to super().__init__(sock, addr=addr, loop=loop)"),
    ):
        listener = kernel_world.listen(loop, kind)
        client = kernel_world.connect(listener.addr)
        kernel_world.run(loop, lambda told=told: told in caplog.text)
        assert client.recv(1) == b""


def test_a_handler_may_return_a_stream_that_is_not_connected_yet(kernel_world, caplog):
    """A proxy's, of which the other end is the one that counts; or one whose connection is somebody else's by now."""
    loop = kernel_world.loop()
    upstream = kernel_world.listen(loop, dispatch.Stream)
    kept = []

    def connects(sock, *, addr, loop):
        kept.append(Recorder(sock, addr=addr, loop=loop))
        far = dispatch.Stream(loop=loop)
        far.connect(upstream.addr)
        return far

    def waits(sock, *, addr, loop):
        kept.append(Recorder(sock, addr=addr, loop=loop))
        return dispatch.Stream(loop=loop)

    for number, handler in enumerate((connects, waits), 1):
        kernel_world.connect(kernel_world.listen(loop, handler).addr)
        kernel_world.run(loop, lambda number=number: len(kept) == number)
    kernel_world.run(loop, lambda: upstream.accepted == 1)
    assert all(each.connected for each in kept)
    assert not caplog.text


def test_so_is_the_class_in_place_of_a_channel():
    for host in ("example.org", ("example.org", 80), NOBODY):
        refused(TypeError, f"on a channel, not on its class with {host!r}", dispatch.Stream.connect, host, 80)


def test_so_is_a_limit_that_an_object_sets(world):
    loop = world.loop()
    for kind in (Recorder, type("Lines", (dispatch.Chat,), {}), dispatch.Chat):
        channel, _ = world.connected(loop, kind)
        known = CLASSES[dispatch.Stream] | (CLASSES[dispatch.Chat] if kind is not Recorder else {})
        for name, values in known.items():
            before = getattr(channel, name)
            for value, error in values:
                told = "" if name == "terminator" else f"{name}={value!r}"
                refused(error, told, setattr, channel, name, value)
            assert getattr(channel, name) is before


def test_a_limit_of_an_object_is_its_own_until_it_is_deleted(world):
    loop = world.loop()
    channel, other = (world.connected(loop, Recorder)[0] for _ in range(2))
    refused(ValueError, "to lower both of an object, begin with low_water", setattr, channel, "high_water", 1000)
    for name, value in (("low_water", 0), ("high_water", 70_000), ("idle_timeout", 5), ("read_size", 10)):
        was = getattr(Recorder, name)
        setattr(channel, name, value)
        assert (getattr(channel, name), getattr(other, name), getattr(Recorder, name)) == (value, was, was)
        delattr(channel, name)
        assert getattr(channel, name) == was
        refused(AttributeError, f"has no {name} of its own", delattr, channel, name)
    bare = dispatch.Stream(loop=loop)
    refused(AttributeError, "has no high_water of its own; set it in a subclass", setattr, bare, "high_water", 70_000)


def test_a_class_may_have_limits_from_a_mixin_and_be_patched_later(world, monkeypatch):
    class Patient:
        idle_timeout = 60
        high_water = 1e6

    class Server(Patient, Recorder):
        pass

    channel, _ = world.connected(world.loop(), Server)
    refused(ValueError, "idle_timeout=-1 must be 0 or more", setattr, channel, "idle_timeout", -1)
    refused(TypeError, "high_water='x'", setattr, channel, "high_water", "x")
    monkeypatch.setattr(Server, "idle_timeout", 5)
    monkeypatch.setattr(Recorder, "read_size", 7)
    assert (channel.idle_timeout, channel.high_water, channel.read_size) == (5, 1e6, 7)


def test_a_stream_refuses_what_is_no_socket_or_output(world):
    loop = world.loop()
    channel, _ = world.connected(loop, Recorder)
    for no_socket in ("x", 5, object()):
        refused(TypeError, "is no socket", Recorder, no_socket, loop=loop)
        refused(TypeError, "is no socket", dispatch.Dispatcher, no_socket, loop=loop)
    refused(TypeError, "loop='x' is no dispatch.Loop", Recorder, loop="x")
    refused(TypeError, "is no dispatch.Loop; None means the current one", Recorder, loop=dispatch.Loop)
    for data in ("text", 5, None, [b"x"]):
        refused(TypeError, "write() takes bytes", channel.write, data)
    for producer in ("text", b"bytes", 5, None):
        refused(TypeError, "is no producer", channel.write_from, producer)
    refused(TypeError, "offset='x' must be a whole number", channel.write_file, None, "x")
    refused(TypeError, "count=1.5 must be a whole number", channel.write_file, None, 0, 1.5)
    refused(ValueError, "offset=-1 must be 0 or more", channel.write_file, None, -1)
    refused(ValueError, "offset must be 9223372036854775807 or less", channel.write_file, None, 1 << 63)
    for no_file in (b"content", io.BytesIO(b"x"), io.StringIO("x"), None):
        refused(TypeError, "is no open file with a descriptor; write_from() sends", channel.write_file, no_file)
    refused(TypeError, "reason='why' must be an exception", channel.abort, "why")
    refused(TypeError, "takes an ssl.SSLContext, not 'x'", channel.start_tls, "x")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    refused(ValueError, "handshake_timeout=-1 must", channel.start_tls, context, handshake_timeout=-1)
    refused(TypeError, "handshake_timeout='1'", channel.start_tls, context, handshake_timeout="1")
    for name in (".example", "a" * 70 + ".example", "a\0b"):
        refused(ValueError, f"{name!r} is no name of a host", channel.start_tls, context, server_hostname=name)
    refused(TypeError, "server_hostname=5 must be a text", channel.start_tls, context, server_hostname=5)
    refused(
        ValueError,
        "a context for clients; make it with ssl.PROTOCOL_TLS_SERVER",
        channel.start_tls,
        context,
        server_side=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    refused(ValueError, "a context for servers; make it with ssl.PROTOCOL_TLS_CLIENT", channel.start_tls, context)
    world.turn(loop)

    assert not channel.closed
    assert channel.queued == 0


def test_a_socket_that_listens_is_refused_as_a_stream(world):
    """It would seem to be connected, until the first client closed it."""
    loop = world.loop()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        for kind in (dispatch.Stream, dispatch.Chat):
            refused(ValueError, "Listener(handler=..., sock=sock) accepts its connections", kind, sock, loop=loop)
        assert not loop.channels
        dispatch.Listener(handler=Recorder, sock=sock, loop=loop)


def test_a_socket_that_speaks_tls_by_itself_is_refused_with_what_to_use_instead(world):
    loop = world.loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with context.wrap_socket(world.pair()[0], do_handshake_on_connect=False) as sock:
        refused(TypeError, "give the plain socket, and call start_tls(context)", Recorder, sock, loop=loop)
        refused(
            TypeError, "give the plain socket, and tls=context", dispatch.Listener, None, Recorder, loop=loop, sock=sock
        )
    assert not loop.channels


def test_a_file_that_cannot_be_read_is_refused_before_it_is_its_turn(world, tmp_path):
    channel, _ = world.connected(world.loop(), Recorder)
    with open(tmp_path / "written", "wb") as file:
        refused(ValueError, "cannot be read: open a file for reading", channel.write_file, file)
    directory = os.open(tmp_path, os.O_RDONLY)
    refused(ValueError, "cannot be read", channel.write_file, SimpleNamespace(fileno=lambda: directory))
    os.close(directory)


ADDRESSES = [
    (5, TypeError, "5 is no address"),
    ((), TypeError, "() is no address"),
    (("127.0.0.1",), TypeError, "is no address"),
    (["127.0.0.1", 7], TypeError, "is no address"),
    ((5, 7), TypeError, "its host must be a text"),
    ((None, 7), TypeError, "its host must be a text"),
    (("127.0.0.1", 7.5), TypeError, "its port must be a number"),
    (("127.0.0.1", None), TypeError, "its port must be a number"),
    (("127.0.0.1", "80"), TypeError, "its port must be a number"),
    (("127.0.0.1", -1), ValueError, "from 0 to 65535"),
    (("127.0.0.1", 70_000), ValueError, "from 0 to 65535"),
]


def test_what_is_no_address_is_refused_by_everyone_who_takes_one(world):
    loop = world.loop()
    for address, error, text in ADDRESSES:
        stream = Recorder(loop=loop)
        # A connect looks up the host, and the name of a service too.
        if address not in (("127.0.0.1", "80"), (None, 7)):
            refused(error, text, stream.connect, address)
        refused(error, text, stream.connect, NOBODY, source=address)
        assert not stream.connecting
        refused(error, text, dispatch.Listener, address, Recorder, loop=loop)
        refused(error, text, dispatch.Datagram, address, loop=loop)
        refused(error, text, dispatch.Datagram, peer=address, loop=loop)
        verbs = dispatch.Dispatcher(loop=loop)
        verbs.create_socket()
        refused(error, text, verbs.bind, address)
        refused(error, text, verbs.connect, address)
        verbs.socket.close()
    path, unix = "/tmp/nobody", socket.AF_UNIX
    refused(TypeError, "are of different families", stream.connect, NOBODY, source=path)
    for address, family, text in (
        (NOBODY, "inet", "family='inet' is no address family"),
        (NOBODY, unix, "is no path, and the family is AF_UNIX"),
        (path, socket.AF_INET, "is the path of a Unix socket, and the family is IP"),
    ):
        refused(TypeError, text, stream.connect, address, family=family)
        refused(TypeError, text, dispatch.Listener, address, Recorder, family=family, loop=loop)
        refused(TypeError, text, dispatch.Datagram, address, family=family, loop=loop)
        refused(TypeError, text, dispatch.Datagram, peer=address, family=family, loop=loop)
    for family in (-1, 65_536, 10**30):  # which the system would take for its default, or for another
        text = f"family={family} is no address family: give socket.AF_INET"
        refused(ValueError, text, stream.connect, NOBODY, family=family)
        refused(ValueError, text, dispatch.Listener, NOBODY, Recorder, family=family, loop=loop)
        refused(ValueError, text, dispatch.Datagram, NOBODY, family=family, loop=loop)
        refused(ValueError, text, dispatch.Dispatcher(loop=loop).create_socket, family)
    refused(ValueError, "family=0 is no address family", dispatch.Listener, NOBODY, Recorder, family=0, loop=loop)
    with pytest.raises(ValueError, match="label") as caught:
        stream.connect(("a" * 70 + ".example", 7))  # no name of a host: a label has 63 letters at most
    assert caught.value.__notes__[-1].startswith("the address to connect to is ('aaaa")
    with pytest.raises(ValueError, match="null") as caught:
        dispatch.Listener("a\0b", Recorder, loop=loop)
    assert caught.value.__notes__ == ["the address to listen on is 'a\\x00b'"]
    assert not stream.connecting
    assert not loop.channels
    stream.connect(NOBODY)
    world.run(loop, lambda: stream.closed)


def test_a_listener_refuses_what_would_fail_at_its_first_connection(world):
    loop = world.loop()
    refused(TypeError, "5 cannot handle connections", dispatch.Listener, NOBODY, 5, loop=loop)
    pair = "a host and its port are a pair, ('localhost', 80)"
    refused(TypeError, pair, dispatch.Listener, "localhost", 80, loop=loop)

    async def accepted(*_: object, **__: object) -> None:
        """Called, it would return at once."""

    refused(TypeError, "is a coroutine, and nobody awaits it", dispatch.Listener, NOBODY, accepted, loop=loop)
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for error, text, options in (
        (TypeError, "limit='x' must be a whole number", {"limit": "x"}),
        (TypeError, "limit=1.5 must be a whole number", {"limit": 1.5}),
        (ValueError, "limit=0 must be 1 or more", {"limit": 0}),
        (TypeError, "backlog='x' must be a whole number", {"backlog": "x"}),
        (ValueError, "backlog=-1 must be 0 or more", {"backlog": -1}),
        (ValueError, "backlog must be 2147483647 or less", {"backlog": 1 << 40}),
        (TypeError, "reuse_port='no' must be True or False", {"reuse_port": "no"}),
        (TypeError, "tls='x' must be an ssl.SSLContext", {"tls": "x"}),
        (ValueError, "is a context for clients", {"tls": client_side}),
    ):
        refused(error, text, dispatch.Listener, ("127.0.0.1", 0), Recorder, loop=loop, **options)
    refused(TypeError, "'x' is no socket", dispatch.Listener, None, Recorder, loop=loop, sock="x")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        refused(
            TypeError,
            "no connections to accept: give a stream",
            dispatch.Listener,
            None,
            Recorder,
            loop=loop,
            sock=sock,
        )
        assert sock.fileno() >= 0
    assert not loop.channels


@pytest.mark.parametrize("kind", [dispatch.Stream, dispatch.Chat])
def test_a_stream_refuses_a_socket_that_carries_messages(world, kind):
    loop = world.loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        refused(TypeError, "is no stream: it carries messages; Datagram(sock=...) takes it", kind, sock, loop=loop)
    if hasattr(socket, "SOCK_SEQPACKET"):
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with near, far:
            refused(TypeError, "a Dispatcher can", kind, near, loop=loop)
            assert near.fileno() >= 0
    assert not loop.channels


def test_a_datagram_has_one_family(world):
    loop = world.loop()
    text = "'path' is the path of a Unix socket, and the family is IP"
    refused(TypeError, text, dispatch.Datagram, ("127.0.0.1", 0), "path", loop=loop)
    refused(TypeError, "is no path, and the family is AF_UNIX", dispatch.Datagram, "path", NOBODY, loop=loop)
    assert not loop.channels


def test_a_datagram_refuses_what_it_cannot_send(world):
    loop = world.loop()
    channel = dispatch.Datagram(("127.0.0.1", 0), loop=loop)
    for data in ("text", 5, None):
        refused(TypeError, "send() takes bytes", channel.send, data, NOBODY)
    refused(ValueError, "no peer, so give addr", channel.send, b"x")
    refused(ValueError, "port must be 0-65535", channel.send, b"x", ("127.0.0.1", 70_000))
    refused(TypeError, "5 is no address", channel.send, b"x", 5)
    refused(TypeError, "its port must be a number", channel.send, b"x", ("127.0.0.1", "7"))
    refused(TypeError, "'path' is the path of a Unix socket", channel.send, b"x", "path")
    with socket.socket() as stream:
        refused(TypeError, "is no datagram socket", dispatch.Datagram, sock=stream, loop=loop)
    refused(TypeError, "is no datagram socket", dispatch.Datagram, sock="x", loop=loop)
    channel.close()

    assert channel.send(b"x", NOBODY) is False


def test_a_dispatcher_says_what_comes_first_and_when_it_is_too_late(world):
    loop = world.loop()
    verbs = dispatch.Dispatcher(loop=loop)
    calls = [(verbs.connect, NOBODY), (verbs.bind, NOBODY), (verbs.listen,), (verbs.accept,), (verbs.set_reuse_addr,)]
    for call, *args in [*calls, (verbs.recv, 1), (verbs.send, b"x"), (verbs.recv_urgent,)]:
        refused(RuntimeError, "has no socket yet; call create_socket() first", call, *args)
    verbs.create_socket()
    refused(TypeError, "backlog='x' must be a whole number", verbs.listen, "x")
    verbs.close()
    for call, *args in [*calls, (verbs.create_socket,)]:
        with pytest.raises(RuntimeError, match=r"is closed.+ make a new one"):
            call(*args)
    early = dispatch.Dispatcher(loop=loop)
    early.close()
    refused(RuntimeError, "is closed", early.create_socket)

    assert early.socket is None
    assert verbs.send(b"x") == 0
    assert verbs.recv(1) == b""


def test_a_dispatcher_whose_loop_is_closed_gets_no_socket(world):
    loop = world.loop()
    verbs = dispatch.Dispatcher(loop=loop)
    loop.close()
    refused(RuntimeError, "is closed", verbs.create_socket)

    assert verbs.socket is None


def test_a_dispatcher_hears_that_there_is_no_such_host_and_may_correct_what_is_none(world):
    loop, told = world.loop(), []

    class Verbs(dispatch.Dispatcher):
        def handle_close(self, reason):
            told.append(reason)

    verbs = Verbs(loop=loop)
    verbs.create_socket()
    refused(TypeError, "null character", verbs.connect, ("a\0b", 80))
    assert not verbs.connecting
    verbs.connect(("::1", 80))  # of another family
    assert told == []
    world.turn(loop)

    assert [type(reason) for reason in told] == [socket.gaierror]


def test_a_pipe_refuses_what_has_no_descriptor():
    with dispatch.Loop() as loop:
        for no_file in ("x", True, None, io.BytesIO(b"x")):
            refused(TypeError, "is no open file with a descriptor", dispatch.Pipe, no_file, loop=loop)


def test_what_is_asked_before_the_connection_waits_for_it(world):
    loop = world.loop()
    server: list[Recorder] = []

    def serve(sock, **options):
        server.append(Recorder(sock, **options))

    listener = world.listen(loop, serve)
    client = Recorder(loop=loop)
    client.write(b"early")
    client.write_eof()
    client.pause()
    world.turn(loop)
    client.connect(listener.addr)
    world.run(loop, lambda: server and "close" in str(server[0].events))

    assert server[0].data == b"early"
    assert client.paused


def test_a_stream_that_never_connected_closes_and_says_so(world):
    loop = world.loop()
    streams = [Recorder(loop=loop) for _ in range(3)]
    streams[1].write(b"never sent")
    streams[2].write_eof()
    for stream in streams:
        stream.close()
    world.turn(loop)

    assert [stream.events for stream in streams] == [[("close", None)]] * 3
    assert streams[1].statistics().lost == 10


class Aside(dispatch.Listener):
    background = True


def test_another_thread_is_refused_at_every_verb(kernel_world):
    loop = kernel_world.loop()
    channel, _ = kernel_world.connected(loop, dispatch.Chat)
    listener = kernel_world.listen(loop, Recorder)
    datagram = dispatch.Datagram(("127.0.0.1", 0), loop=loop)
    verbs, _ = kernel_world.connected(loop, dispatch.Dispatcher)
    fresh = dispatch.Dispatcher(loop=loop)
    fresh.create_socket()
    unbound = dispatch.Dispatcher(loop=loop)
    unbound.create_socket(type=socket.SOCK_DGRAM)
    client, waiting = Recorder(loop=loop), Recorder(loop=loop)
    started = threading.Event()
    loop.call_soon(started.set)
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert started.wait(5)
    try:
        for call, *args in (
            (channel.write, b"x"), (channel.write_from, [b"x"]), (channel.pause,), (channel.resume,),
            (channel.write_eof,), (channel.close,), (channel.abort,), (listener.pause,), (listener.resume,),
            (listener.close,), (datagram.send, b"x", NOBODY), (datagram.close,), (loop.call_soon, nothing),
            (loop.call_later, 1, nothing), (loop.call_every, 1, nothing), (loop.stop,), (loop.close,),
            (loop.run_once, 0), (client.connect, NOBODY), (setattr, verbs, "reading", False),
            (setattr, verbs, "writing", True), (setattr, listener, "limit", 5),
            (dispatch.Listener, ("127.0.0.1", 0), Recorder), (fresh.listen,), (fresh.connect, NOBODY),
            (Aside, ("127.0.0.1", 0), Recorder), (unbound.bind, ("127.0.0.1", 0)),
            (channel.start_tls, ssl.create_default_context()), (channel.set_terminator, b"x"),
            (waiting.start_tls, ssl.create_default_context()),
        ):  # fmt: skip
            options = {"loop": loop} if call in (dispatch.Listener, Aside) else {}
            if getattr(call, "__name__", "") == "start_tls":
                options = {"server_hostname": "localhost"}
            refused(RuntimeError, "runs in another thread; use its call_soon_threadsafe", call, *args, **options)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)

    assert not thread.is_alive()
    assert not channel.closed
    assert channel.queued == 0
    assert not fresh.accepting
    assert not fresh.connecting
    assert client.addr is None
    assert not unbound.connected
    assert channel.tls is None
    assert waiting.tls is None
    assert channel.get_terminator() == b"\r\n"
    fresh.close()
    unbound.close()
    channel.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), server_side=True)  # no producer was taken


def test_another_thread_is_refused_while_output_waits(kernel_world, in_thread):
    """What waits, and how much that is, is being changed by the loop."""
    loop = kernel_world.loop()
    channel, _ = kernel_world.connected(loop, Recorder)
    channel.write(b"x" * 10_000_000)
    loop.run_once(0)
    before = channel.queued
    assert before

    def meddle():
        for call, *args in ((channel.write, b"x"), (channel.write, bytearray(b"x")), (channel.write_from, [b"x"])):
            refused(RuntimeError, "runs in another thread; use its call_soon_threadsafe", call, *args)

    loop.call_soon(lambda: in_thread(meddle).join(5))
    loop.run_once(0)
    assert channel.queued <= before


def test_another_thread_is_refused_while_a_single_turn_is_made(kernel_world, in_thread):
    loop = kernel_world.loop()
    channel, _ = kernel_world.connected(loop, Recorder)
    entered, tried = threading.Event(), threading.Event()
    loop.call_soon(lambda: (entered.set(), tried.wait(5)))

    def meddle():
        assert entered.wait(5)
        for call, *args in ((channel.write, b"x"), (loop.call_soon, nothing), (loop.run_once, 0), (loop.run,)):
            refused(RuntimeError, "runs in another thread; use its call_soon_threadsafe", call, *args)
        tried.set()

    thread = in_thread(meddle)
    loop.run_once(0)
    thread.join(5)
    in_thread(channel.write, b"x").join(5)  # between two turns it is whose it is
    loop.run_once(0)
    assert channel.bytes_sent == 1


class Odd:
    """A socket that answers what no socket answers."""

    def __init__(self, sock):
        self._sock = sock

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def recv(self, size, flags=0):
        raise TypeError("what is recv?")


def test_a_turn_that_fails_costs_its_channel_only(world, caplog):
    loop = world.loop()
    odd, odds_client = world.connected(loop, Recorder)
    channel, client = world.connected(loop, Recorder)
    odd.socket = Odd(odd.socket)
    odds_client.sendall(b"x")
    client.sendall(b"y")
    world.run(loop, lambda: odd.closed and channel.data)

    assert odd.events == [("close", TypeError)]
    assert not channel.closed
    assert "its turn failed" in caplog.text
