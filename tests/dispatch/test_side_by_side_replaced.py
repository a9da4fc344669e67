"""What tests of other people's programs put in the place of parts of asyncore: it is asked, and as often, on both modules."""

from __future__ import annotations

import collections
import copy
import errno
import gc
import json
import pickle
import select
import socket
import types
import warnings
import weakref
from unittest import mock

import pytest

import dispatch.asyncore
from tests.dispatch.test_side_by_side import outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")

ours = dispatch.asyncore


def channel_in(asyncore, map, **methods):
    """A channel that tells what happens to it, and its peer."""
    near, far = socket.socketpair()
    told = []
    for name in ("read", "write", "expt", "error"):
        methods.setdefault(f"handle_{name}", lambda self, name=name: told.append(name))
    channel = type("Told", (asyncore.dispatcher,), methods)(near, map)
    channel.told = told
    return channel, far


def alike(program, *args):
    """What *program* returns or raises is the same on each of the two, and nobody stays in their maps."""
    seen = []
    for asyncore in (theirs, ours):
        seen.append(outcome(program, asyncore, *args))
        asyncore.close_all(ignore_all=True)
    assert seen[1] == seen[0]
    return seen[1]


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("ready", [(), (0,), (1,), (2,), (0, 1, 2)])
def test_a_mock_of_select_is_asked_and_what_it_says_is_served(ready, own_map):
    def program(asyncore):
        channel, far = channel_in(asyncore, {} if own_map else None)
        fd = channel.socket.fileno()
        asyncore.loop(0, False, channel._map, 1)
        del channel.told[:]
        with far, mock.patch.object(asyncore.select, "select") as asked:
            asked.return_value = tuple([fd] if kind in ready else [] for kind in range(3))
            asyncore.poll(0.5, channel._map)
            asyncore.loop(0.25, False, channel._map, 2)
        calls = [tuple(each == [fd] for each in call.args[:3]) + call.args[3:] for call in asked.call_args_list]
        far.close()
        channel.close()
        return calls, channel.told, len(channel._map)

    calls, told, _ = alike(program)
    assert calls == [(True, True, True, 0.5)] + [(True, True, True, 0.25)] * 2
    assert len(told) == 3 * len(ready)


@pytest.mark.parametrize(
    "error", [OSError(9, "EBADF"), InterruptedError(4, "EINTR"), KeyboardInterrupt(), ValueError(), AssertionError()]
)
def test_what_a_mock_of_select_raises_leaves_the_loop(error):
    def program(asyncore):
        channel, far = channel_in(asyncore, {})
        with far, channel.socket, mock.patch.object(asyncore.select, "select", side_effect=error):
            asyncore.loop(0.1, False, channel._map, 1)

    assert alike(program)[0] == type(error).__name__


def test_a_mock_of_poll_is_asked():
    def program(asyncore):
        channel, far = channel_in(asyncore, {})
        fd = channel.socket.fileno()
        with far, channel.socket, mock.patch.object(asyncore.select, "poll") as asked:
            pollster = asked.return_value
            pollster.poll.return_value = [(fd, select.POLLIN)]
            asyncore.poll2(0.5, channel._map)
            asyncore.loop(0.25, True, channel._map, 1)
        return channel.told, [call.args[0] == fd for call in pollster.register.call_args_list], pollster.poll.mock_calls

    assert alike(program)[0] == ["read", "read"]


def test_another_select_module_is_asked_for_that_map_only_as_long_as_it_is_there():
    def program(asyncore):
        asked = []

        def function(*args):
            asked.append(args[3])
            return select.select(*args[:3], 0)

        channel, far = channel_in(asyncore, None, writable=lambda self: False)
        with far:
            far.send(b"x")
            with mock.patch.object(asyncore, "select", types.SimpleNamespace(select=function, error=OSError)):
                asyncore.loop(1, False, None, 1)
                asyncore.loop(2, True, None, 1)  # it has no poll
                late, other = channel_in(asyncore, None, writable=lambda self: False)
                asyncore.loop(3, False, None, 1)
                channel.socket.recv(1)
            with other:
                other.send(b"y")
                asyncore.loop(0.01, False, None, 1)
                with mock.patch.object(asyncore.select, "select", return_value=([], [], [])):
                    channel.close()
                    asyncore.loop(0.01, False, None, 1)
                    late.close()
        return asked, channel.told, late.told, len(asyncore.socket_map)

    assert alike(program) == ([1, 2, 3], ["read"] * 3, ["read"], 0)
    assert ours.socket_map.engine is None


def test_a_mock_of_time_is_asked_to_sleep_where_nobody_waits_for_anything():
    def program(asyncore):
        channel, far = channel_in(asyncore, {}, readable=lambda self: False, writable=lambda self: False)
        with far, channel.socket:
            with mock.patch.object(asyncore, "time") as module:
                asyncore.loop(5, False, channel._map, 2)
            with mock.patch("time.sleep") as function:
                asyncore.poll(3, channel._map)
        return module.mock_calls, function.mock_calls

    assert alike(program) == ([mock.call.sleep(5)] * 2, [mock.call(3)])


def test_a_turn_inside_a_turn_asks_the_mock_too():
    def program(asyncore):
        def handle_read(self):
            self.told.append("in")
            if len(self.told) < 3:
                asyncore.poll(0, self._map)
            self.told.append("out")

        channel, far = channel_in(asyncore, None, handle_read=handle_read)
        with far, mock.patch.object(asyncore.select, "select") as asked:
            asked.return_value = [channel.socket.fileno()], [], []
            asyncore.poll(0, None)
        return channel.told, asked.call_count

    assert alike(program) == (["in", "in", "in", "out", "out", "out"], 3)


class Minimal:
    """As much of a map as asyncore asks for."""

    def __init__(self):
        self._channels = {}

    def __len__(self):
        return len(self._channels)

    def __contains__(self, key):
        return key in self._channels

    def __setitem__(self, key, value):
        self._channels[key] = value

    def __delitem__(self, key):
        del self._channels[key]

    def get(self, key, default=None):
        return self._channels.get(key, default)

    def items(self):
        return self._channels.items()


@pytest.mark.parametrize("kind", [collections.OrderedDict, collections.UserDict, Minimal, weakref.WeakValueDictionary])
@pytest.mark.parametrize("use_poll", [False, True])
def test_a_map_may_be_anything_with_the_methods_of_one(kind, use_poll):
    def program(asyncore):
        channels = kind()
        channel, far = channel_in(asyncore, channels, writable=lambda self: False)
        with far:
            far.send(b"x")
            asyncore.loop(0.01, use_poll, channels, 2)
        channel.close()
        return channel.told, len(channels)

    assert alike(program) == (["read", "read"], 0)


class Weak(dict):
    """A dict that holds references, and hands out what they refer to."""

    def __setitem__(self, key, value):
        super().__setitem__(key, weakref.ref(value))

    def get(self, key, default=None):
        return super().get(key, lambda: default)()

    def items(self):
        return [(key, value()) for key, value in super().items()]


class Choosy(dict):
    """A dict that shows who may be served, which is not everybody."""

    hidden = ()

    def items(self):
        return [(key, value) for key, value in super().items() if key not in self.hidden]


@pytest.mark.parametrize("count", [1, 9, None])
@pytest.mark.parametrize("use_poll", [False, True])
def test_a_dict_that_hands_out_other_things_than_it_holds_is_believed(use_poll, count):
    def program(asyncore):
        def handle_read(self):
            self.told.append(self.recv(1))
            self.close()

        channels = Weak()
        channel, far = channel_in(asyncore, channels, handle_read=handle_read, writable=lambda self: False)
        with far:
            far.send(b"x")
            asyncore.loop(0.01, use_poll, channels, count)
        return channel.told, len(channels)

    assert alike(program) == ([b"x"], 0)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize("use_poll", [False, True])
def test_who_is_hidden_by_the_map_is_not_served(use_poll, count):
    def program(asyncore):
        def handle_read(self):
            self.told.append(self.recv(1))

        channels = Choosy()
        methods = {"handle_read": handle_read, "writable": lambda self: False}
        (one, far), (two, other) = (channel_in(asyncore, channels, **methods) for _ in range(2))
        seen = []
        with far, other, one.socket, two.socket:
            for end in far, other:
                end.send(b"x")
            for hidden in (one,), ():
                channels.hidden = [each._fileno for each in hidden]
                asyncore.loop(0.01, use_poll, channels, count)
                seen.append((list(one.told), list(two.told)))
        return seen

    assert alike(program) == [([], [b"x"]), ([b"x"], [b"x"])]


@pytest.mark.slow
def test_a_map_that_holds_nobody_loses_its_channels_while_it_is_served():
    def program(asyncore):
        channels = weakref.WeakValueDictionary()

        def handle_read(self):
            box.clear()
            gc.collect()
            self.told.append(len(channels))

        held, far = channel_in(asyncore, channels, writable=lambda self: False)
        box = [held]
        del held
        dropper, other = channel_in(asyncore, channels, handle_read=handle_read, writable=lambda self: False)
        with far, other, dropper.socket:
            other.send(b"x")
            asyncore.loop(0.01, False, channels, 3)
        return dropper.told[1:]  # here it is held for the turn that is under way

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the channel that was let go had a socket
        assert alike(program) == [1, 1]


def test_the_map_of_the_module_passes_for_the_dict_that_it_is():
    def program(asyncore):
        channel, far = channel_in(asyncore, None)
        channels = asyncore.socket_map
        fd = channel.socket.fileno()
        copies = [copy.copy(channels), channels.copy(), channels | {}, {} | channels, dict(channels), {**channels}]
        seen = [
            channels.__class__ is dict,
            isinstance(channels, dict),
            {type(each) for each in copies},
            copies == [channels] * 6,
        ]
        seen += [
            list(channels) == list(reversed(channels)) == [fd],
            repr(channels) == repr(dict(channels)),
            channels == {fd: channel},
        ]
        far.close()
        channel.close()
        return seen, json.dumps(channels), type(pickle.loads(pickle.dumps(channels))), type(copy.deepcopy(channels))

    assert alike(program)[1] == "{}"


def test_a_mock_is_no_descriptor():
    """A mock can be made a number, 1, which is somebody else's."""

    def program(asyncore):
        channel = asyncore.dispatcher()
        with mock.patch("socket.socket"):
            channel.create_socket()
        asyncore.loop(0.01, False, None, 1)

    assert alike(program)[0] == "TypeError"


class Passing:
    """HTTPretty's way: no subclass either, and what it is asked for it gets elsewhere."""

    def __init__(self, sock, *accepted):
        self.asked = {"fileno": sock.fileno, "accept": lambda: accepted}

    def __getattr__(self, name):
        return self.asked.get(name, lambda *args: 0)


def test_a_listener_may_be_of_a_class_of_sockets_that_has_no_accept(monkeypatch):
    def program(asyncore):
        told = []
        near, far = socket.socketpair()
        far.send(b"x")  # it is ready
        with near, far, monkeypatch.context() as replaced:
            replaced.setattr(socket, "socket", Passing)
            channel = asyncore.dispatcher(Passing(near, "a connection", "an address"), {})
            channel.listen(5)
            channel.handle_accepted = lambda *pair: told.append(pair)
            channel.handle_error = lambda: told.append("error")
            asyncore.loop(0.1, False, channel._map, 1)
        return told

    assert alike(program) == [("a connection", "an address")]


@pytest.mark.parametrize("stands_there", [mock.Mock(), lambda *args: None, type("GreenSocket", (), {})])
def test_what_stands_in_the_place_of_the_class_of_sockets_need_not_be_like_it(stands_there, monkeypatch):
    """Eventlet's is no subclass, and has no `type`: the end of a connection over an SSLSocket, which is one, stopped the loop."""

    def program(asyncore):
        channel, far = channel_in(asyncore, {}, handle_read=lambda self: self.told.append(self.recv(10)))
        channel.handle_close = lambda: (channel.told.append("close"), channel.close())
        far.send(b"x")
        with monkeypatch.context() as replaced:
            replaced.setattr(socket, "socket", stands_there)
            asyncore.loop(0.1, False, channel._map, 1)
            far.close()
            asyncore.loop(0.1, False, channel._map, 1)
        return channel.told

    assert [each for each in alike(program) if each != "write"] == [b"x", "close", b""]


@pytest.mark.parametrize("where", ["recv", "send", "poll2"])
def test_a_program_may_say_which_errnos_are_an_end(where, monkeypatch):
    """As one does that meets ETIMEDOUT, which is none of them."""

    def program(asyncore):
        monkeypatch.setattr(asyncore, "_DISCONNECTED", asyncore._DISCONNECTED | {errno.ETIMEDOUT})

        def gone(*args):
            raise OSError(errno.ETIMEDOUT, "scripted")

        closed = lambda self: self.told.append("close")
        channel, far = channel_in(asyncore, {}, handle_close=closed, handle_read=gone)
        near, channel.socket = channel.socket, types.SimpleNamespace(recv=gone, send=gone)
        seen = None
        if where == "poll2":
            asyncore.readwrite(channel, select.POLLIN)
        else:
            seen = getattr(channel, where)(b"x" if where == "send" else 1)
        near.close()
        far.close()
        channel.del_channel()
        return seen, channel.told

    assert alike(program)[1] == ["close"]


EVENTS = ["handle_read_event", "handle_write_event", "handle_expt_event"]


@pytest.mark.parametrize("flags", range(64))
@pytest.mark.parametrize("kind", [mock.Mock, lambda: mock.Mock(spec=[*EVENTS, "handle_close", "handle_error"])])
def test_a_mock_is_told_every_flag_and_asked_nothing_else(kind, flags):
    """Where nobody can tell how much is there to be read, a hang-up is told beside the data, as ever."""

    def program(asyncore):
        channel = kind()
        asyncore.readwrite(channel, flags)
        return channel.mock_calls

    alike(program)


@pytest.mark.parametrize("turn", ["poll", "poll2"])
@pytest.mark.parametrize("own_map", [True, False])
def test_a_mock_may_stand_in_the_map(turn, own_map):
    def program(asyncore):
        channel = mock.Mock(accepting=False)
        near, far = socket.socketpair()
        with near, far:
            far.send(b"x")
            channels = {} if own_map else asyncore.socket_map
            channels[near.fileno()] = channel
            getattr(asyncore, turn)(0.1, channels)
            asyncore.loop(0.1, turn == "poll2", channels, 8)
            channels.clear()
        return [call for call in channel.mock_calls if call[0].startswith("handle_")]

    assert alike(program) == [mock.call.handle_read_event(), mock.call.handle_write_event()] * 9


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("name", ["handle_read", "handle_write", "handle_expt", "readable", "handle_close"])
def test_an_exception_that_a_program_has_put_among_those_that_leave_the_loop_leaves_it(name, own_map, use_poll):
    class Abort(Exception):
        pass

    def program(asyncore):
        def leave(self):
            raise Abort

        channel, far = channel_in(asyncore, {} if own_map else None, **{name: leave})
        leaving = (*asyncore._reraised_exceptions, Abort)
        with far, channel.socket, mock.patch.object(asyncore, "_reraised_exceptions", leaving):
            far.send(b"x")
            left = []
            for call in (
                lambda: asyncore.loop(0.1, use_poll, channel._map, 1),
                lambda: asyncore.read(channel),
                lambda: asyncore.write(channel),
                lambda: asyncore._exception(channel),
                lambda: asyncore.readwrite(channel, select.POLLIN),
                lambda: asyncore.readwrite(channel, select.POLLHUP),
            ):
                try:
                    call()
                except Abort:
                    left.append(True)
                else:
                    left.append(False)
        return left, channel.told

    assert any(alike(program)[0])


def test_close_all_lets_out_what_a_program_has_put_among_those_that_leave_the_loop():
    class Abort(Exception):
        pass

    def program(asyncore):
        def leave(self):
            raise Abort

        channel, far = channel_in(asyncore, {}, close=leave)
        leaving = (*asyncore._reraised_exceptions, Abort)
        with far, channel.socket, mock.patch.object(asyncore, "_reraised_exceptions", leaving):
            with pytest.raises(Abort):
                asyncore.close_all(channel._map, ignore_all=True)
        return len(channel._map)

    assert alike(program) == 1
