"""Odd things that programs do, beside asyncore's own modules: what they print, give up, let out, and put where no channel is."""

from __future__ import annotations

import collections
import errno
import os
import pickle
import socket
import sys

import pytest

import dispatch.asyncore
from tests.dispatch.test_side_by_side_classes import alike


@pytest.mark.parametrize("code", [errno.ECONNRESET, errno.EBADF, errno.ETIMEDOUT])
@pytest.mark.parametrize("use_poll", [False, True])
def test_an_errno_that_handle_close_lets_out_at_the_end_is_an_end_itself(use_poll, code):
    """So asyncore had it, since recv() calls handle_close: what it raises is taken for what the socket has raised."""

    def program(asyncore, asynchat):
        told = []

        class Ending(asyncore.dispatcher):
            def handle_read(self):
                told.append(self.recv(10))

            def handle_close(self):
                told.append("close")
                if len(told) == 1:
                    raise OSError(code, "scripted")
                self.close()

            def handle_error(self):
                told.append(sys.exc_info()[1].errno)
                self.close()

        near, far = socket.socketpair()
        channel = Ending(near, {})
        channel.writable = lambda: False
        far.shutdown(socket.SHUT_WR)
        with near, far:
            asyncore.loop(1, use_poll, channel._map, 1)
        return told

    assert alike(program) == (["close", code] if code == errno.ETIMEDOUT else ["close", "close", b""])


def test_names_of_types_and_functions_that_a_program_may_print_are_the_same():
    def program(asyncore, asynchat):
        class Printing(asyncore.dispatcher):
            def handle_read(self):
                try:
                    self.recv(1)
                except BlockingIOError as error:
                    named.extend(
                        [repr(error), type(error).__name__, str(type(error)), repr(pickle.loads(pickle.dumps(error)))]
                    )

        near, far = socket.socketpair()
        named = [type(asyncore.socket_map).__name__, str(type(asyncore.socket_map)), asyncore._strerror.__name__]
        with near, far:
            Printing(near, {}).handle_read()
        return named

    assert alike(program)[:2] == ["dict", "<class 'dict'>"]


def test_a_queue_of_output_may_be_given_up():
    """As a program does it in its close, to let go of what waits."""

    def program(asyncore, asynchat):
        chat, told = asynchat.async_chat(map={}), []
        chat.push(b"never sent")
        chat.producer_fifo = None
        told += [chat.producer_fifo, chat.writable(), chat.initiate_send(), chat.handle_write()]
        for call in (
            lambda: chat.push(b"x"),
            lambda: chat.push(b"x" * 70_000),
            chat.close_when_done,
            chat.discard_buffers,
        ):
            with pytest.raises(AttributeError) as caught:
                call()
            told.append(str(caught.value))
        chat.connected = True
        told += [chat.writable(), chat.initiate_send()]
        chat.producer_fifo = collections.deque([b"again"])
        return told, list(chat.producer_fifo)

    told, _ = alike(program)
    assert told[:2] == [None, True]


@pytest.mark.parametrize("own_map", [True, False], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("count", [1, 8])
def test_what_is_no_channel_at_all_leaves_the_loop_with_what_it_lacks(use_poll, own_map, count):
    def program(asyncore, asynchat):
        near, far = socket.socketpair()
        channels = {} if own_map else asyncore.socket_map
        channels[near.fileno()] = "a mistake"
        with near, far, pytest.raises(AttributeError) as caught:
            asyncore.loop(0, use_poll, channels, count)
        channels.clear()
        return str(caught.value)

    assert alike(program) == "'str' object has no attribute 'readable'"


@pytest.mark.parametrize("use_poll", [False, True])
def test_who_gets_the_number_of_somebody_taken_out_by_hand_comes_last(use_poll):
    """A program clears up its own dict, and forgets the class's close: the next socket has the number, and not the place."""

    def program(asyncore, asynchat):
        told, members, peers = [], {}, []

        class Member(asyncore.dispatcher):
            def __init__(self, name, number=None):
                near, far = socket.socketpair()
                if number is not None:
                    near, old = socket.socket(fileno=os.dup2(near.fileno(), number)), near
                    old.close()
                peers.append(far)
                self.name = name
                asyncore.dispatcher.__init__(self, near, members)
                far.send(b"x")

            def writable(self):
                return False

            def handle_read(self):
                told.append((self.name, self.recv(10)))
                if len(told) == 2:
                    number = self._fileno
                    del members[number]
                    self.socket.detach()
                    Member("third")
                    Member("fourth", number)

        Member("first")
        Member("second")
        asyncore.loop(0, use_poll, members, 20)
        asyncore.close_all(members)
        for peer in peers:
            peer.close()
        return told

    names = [name for name, _ in alike(program)]
    assert names == ["first", "second", "third", "fourth"]


@pytest.mark.parametrize("use_poll", [False, True])
def test_who_takes_itself_out_by_hand_and_comes_back_with_another_socket_comes_last(use_poll):
    """Also if that has the number of the one before, as it mostly does, which was closed just now."""

    def program(asyncore, asynchat):
        asked, members, peers = [], {}, []

        class Member(asyncore.dispatcher):
            def __init__(self, name):
                self.name = name
                near, far = socket.socketpair()
                peers.append(far)
                asyncore.dispatcher.__init__(self, near, members)

            def readable(self):
                asked.append(self.name)
                return True

            def writable(self):
                return False

            def handle_read(self):
                number = self._fileno
                del members[number]
                near, far = socket.socketpair()
                peers.append(far)
                os.dup2(near.fileno(), number)
                near.close()
                self.socket.detach()
                self.set_socket(socket.socket(fileno=number))

        for name in ("first", "second", "third"):
            Member(name)
        peers[0].send(b"x")
        asyncore.loop(0, use_poll, members, 8)
        asyncore.close_all(members)
        for peer in peers:
            peer.close()
        return asked

    assert alike(program)[-3:] == ["second", "third", "first"]


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [True, False])
def test_who_has_paused_and_says_nothing_of_writing_hears_of_an_urgent_byte(use_poll, own_map):
    """Under select(2), which watches for the exceptional whoever asks for anything; its base class still wants to write."""

    def program(asyncore, asynchat):
        told, members = [], {} if own_map else asyncore.socket_map

        class Paused(asyncore.dispatcher):
            def readable(self):
                return False

            def handle_expt(self):
                told.append(("expt", self.socket.recv(1, socket.MSG_OOB)))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname())
            channel = Paused(listener.accept()[0], members)
        peer.send(b"!", socket.MSG_OOB)
        asyncore.loop(0.01, use_poll, members, 20)
        channel.close()
        peer.close()
        return told[:1]

    assert alike(program) == ([] if use_poll else [("expt", b"!")])


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("how", ["anew", "last"])
def test_a_program_may_put_its_own_dict_in_another_order(use_poll, how):
    def program(asyncore, asynchat):
        told, members, peers = [], {}, []

        class Member(asyncore.dispatcher):
            def writable(self):
                return False

            def handle_read(self):
                told.append((peers.index(self.peer), self.recv(10)))
                if len(told) == 3:
                    items = list(members.items())
                    if how == "anew":
                        members.clear()
                        members.update(reversed(items))
                    else:
                        number, first = items[0]
                        del members[number]
                        members[number] = first
                    for peer in peers:
                        peer.send(b"y")

        for _ in range(3):
            near, far = socket.socketpair()
            peers.append(far)
            Member(near, members).peer = far
            far.send(b"x")
        asyncore.loop(0, use_poll, members, 20)
        asyncore.close_all(members)
        for peer in peers:
            peer.close()
        return told

    told = alike(program)
    assert [number for number, _ in told] == [0, 1, 2, *({"anew": [2, 1, 0], "last": [1, 2, 0]}[how])]


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("count", [1, 8])
def test_who_closes_in_handle_read_is_not_asked_to_write_though_it_still_stands_in_the_map(own_map, count):
    asyncore = dispatch.asyncore
    told, members = [], {} if own_map else asyncore.socket_map

    class Sticky(asyncore.dispatcher):
        def del_channel(self, channels=None):
            pass

        def handle_read(self):
            told.append("read")
            self.close()

        def handle_write(self):
            told.append("write")

    class Ending(asyncore.dispatcher):
        def handle_write(self):
            raise asyncore.ExitNow

    (near, far), ends = socket.socketpair(), socket.socketpair()
    Sticky(near, members)
    Ending(ends[0], members)
    far.send(b"x")
    with near, far, ends[0], ends[1], pytest.raises(asyncore.ExitNow):
        asyncore.loop(0, False, members, count)
    members.clear()

    assert told == ["read"]


@pytest.mark.slow
@pytest.mark.parametrize("who", ["itself", "others"])
@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("count", [1, 8])
def test_who_leaves_the_map_and_comes_back_in_a_turn_hears_in_it_what_was_polled_for_it(who, use_poll, own_map, count):
    def program(asyncore, asynchat):
        told, members, channels, peers = [], {} if own_map else asyncore.socket_map, [], []

        class Member(asyncore.dispatcher):
            wants = True

            def tell(self, what):
                told.append((channels.index(self), what))

            def writable(self):
                return self.wants

            def handle_read(self):
                self.tell(self.recv(10))
                if self is channels[0]:
                    for each in channels[:1] if who == "itself" else channels[1:]:
                        number = each._fileno
                        each.del_channel()
                        each._fileno = number
                        each.add_channel()

            def handle_write(self):
                self.tell("write")
                self.wants = False

            def handle_expt(self):
                self.tell(self.socket.recv(1, socket.MSG_OOB))

        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(30):  # so many that they are not asked anew each turn
                peers.append(socket.create_connection(listener.getsockname()))
                channels.append(Member(listener.accept()[0], members))
                peers[-1].send(b"x")
                peers[-1].send(b"!", socket.MSG_OOB)
        for turn in range(8 // count):
            asyncore.loop(0, use_poll, members, count)
            told.append(turn)
        for each in [*channels, *peers]:
            each.close()
        return told

    told = alike(program)
    assert len([each for each in told if each != 0 and isinstance(each, tuple)]) == 90


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("count", [1, 8])
def test_a_client_that_leaves_the_map_and_comes_back_hears_of_its_connection_in_that_turn(use_poll, own_map, count):
    def program(asyncore, asynchat):
        told, members = [], {} if own_map else asyncore.socket_map

        class Other(asyncore.dispatcher):
            def writable(self):
                return False

            def handle_read(self):
                self.recv(10)
                client.del_channel()
                client.set_socket(client.socket)

        class Client(asyncore.dispatcher):
            def handle_connect(self):
                told.append("connect")

            def handle_write(self):
                told.append("write")
                raise asyncore.ExitNow

        others = [socket.socketpair() for _ in range(30)]  # so many that they are not asked anew each turn
        for near, _ in others:
            Other(near, members)
        others[0][1].send(b"x")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = Client(map=members)
            client.create_socket()  # whose number is the last that was given
            client.connect(listener.getsockname())
            try:
                asyncore.loop(0, use_poll, members, count)
            except asyncore.ExitNow:
                told.append("exit")
        asyncore.close_all(members)
        for _, far in others:
            far.close()
        return told

    assert alike(program) == ["connect", "write", "exit"]


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("how", ["set again", "set by hand", "a queue of its own"])
def test_they_are_asked_in_the_order_of_the_map_whatever_is_done_to_one(how, use_poll, own_map):
    def program(asyncore, asynchat):
        told, members = [], {} if own_map else asyncore.socket_map

        class Asked(asyncore.dispatcher_with_send):
            connected = False

            def readable(self):
                told.append(channels.index(self))
                return False

            def writable(self):
                return False

        class Plain(asyncore.dispatcher_with_send):
            @property
            def connected(self):
                told.append(channels.index(self))  # its writable() looks
                return True

            connected = connected.setter(lambda self, value: None)

        class Changing(asyncore.dispatcher):
            def writable(self):
                return False

            def handle_read(self):
                if self.recv(1) == b"2":
                    raise asyncore.ExitNow
                first = channels[0]
                if how == "set again":
                    first.add_channel()
                elif how == "set by hand":
                    members[first._fileno] = first
                else:
                    first.out_buffer = bytearray()
                told.clear()

        kinds = [Plain if how == "a queue of its own" else Asked, *[Asked] * 30, Changing]
        pairs = [socket.socketpair() for _ in kinds]
        channels = []
        for kind, (near, _) in zip(kinds, pairs, strict=True):
            channels.append(kind(near, members))
        pairs[-1][1].send(b"12")
        with pytest.raises(asyncore.ExitNow):
            asyncore.loop(1, use_poll, members)
        asyncore.close_all(members)
        for _, far in pairs:
            far.close()
        return told

    assert alike(program) == list(range(31))


def test_who_is_closed_by_another_goes_at_once():
    def program(asyncore, asynchat):
        told, members = [], {}

        class Member(asyncore.dispatcher):
            def __del__(self):
                told.append("gone")

            def writable(self):
                return False

            def handle_read(self):
                self.recv(10)
                for each in list(members.values()):
                    if each is not self:
                        each.close()
                del each
                told.append("closed")

        pairs = [socket.socketpair() for _ in range(2)]
        for near, far in pairs:
            Member(near, members)
            far.send(b"x")
        asyncore.loop(0, False, members, 8)
        asyncore.close_all(members)
        for _, far in pairs:
            far.close()
        return told

    assert alike(program) == ["gone", "closed", "gone"]


def names_down_to(last, info):
    """The functions in a line of the log; below *last* are those of the socket, which need not be of C."""
    names = [each.split("|")[1] for each in info.split()]
    return names[: names.index(last) + 1]


@pytest.mark.parametrize("use_poll", [False, True])
def test_who_reads_in_handle_connect_what_has_not_come_yet_is_told_of_it_once(use_poll):
    """It was not said to be ready: taken for nothing, it would call handle_connect again in each turn."""

    def program(asyncore, asynchat):
        told = []

        class Eager(asyncore.dispatcher):
            def handle_connect(self):
                told.append("connect")
                self.recv(100)

            def handle_write(self):
                told.append("write")

            def handle_error(self):
                _, kind, error, names = asyncore.compact_traceback()
                told.append((kind.__name__, type(error) is BlockingIOError, error.errno))
                told.append(names_down_to("recv", names))
                self.close()

        with socket.create_server(("127.0.0.1", 0)) as listener:
            channel = Eager(map={})
            channel.create_socket()
            channel.connect(listener.getsockname())
            asyncore.loop(1, use_poll, channel._map, 4)
            channel.close()
        return told

    told = alike(program)
    assert told[0] == "connect"
    assert len(told) == 3


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="a connect that is over at once")
def test_who_connects_at_once_hears_what_handle_connect_could_not_read(tmp_path):
    def program(asyncore, asynchat):
        told = []

        class Eager(asyncore.dispatcher):
            def handle_connect(self):
                told.append("connect")
                self.recv(100)

        class Starting(asyncore.dispatcher):
            def handle_read(self):
                eager = Eager(map={})
                eager.create_socket(socket.AF_UNIX)
                with eager.socket:
                    eager.connect(path)

            def handle_error(self):
                told.append(names_down_to("recv", asyncore.compact_traceback()[3]))

        path = str(tmp_path / asyncore.__name__)
        near, far = socket.socketpair()
        with socket.socket(socket.AF_UNIX) as listener, near, far:
            listener.bind(path)
            listener.listen()
            asyncore.read(Starting(near, {}))
        return told

    connected, names = alike(program)
    assert (connected, names[-1]) == ("connect", "recv")


def test_what_is_logged_is_written_as_str_writes_it(capsys):
    class Odd(Exception):
        def __format__(self, spec):
            return "formatted"

    def program(asyncore, asynchat):
        class Failing(asyncore.dispatcher):
            def handle_read(self):
                raise Odd("as str")

            def __repr__(self):
                return "the channel"

        near, far = socket.socketpair()
        channel = Failing(near, {})
        channel.log_info(Odd("as str"), Odd("kind"))
        channel.log(Odd("as str"))
        with near, far:
            asyncore.read(channel)
        out, err = capsys.readouterr()
        return out.partition(" [")[0], err

    out, err = alike(program)
    assert out.startswith("kind: as str\n")
    assert err == "log: as str\n"
