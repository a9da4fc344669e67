"""What is mended, on the module that had the bug and on the drop-in: each of these is seen on the one and gone on the other."""

from __future__ import annotations

import errno
import os
import socket
import warnings

import pytest

import dispatch.asynchat
import dispatch.asyncore
from tests.conftest import RESET
from tests.dispatch.conftest import PATIENCE, Fickle
from tests.dispatch.test_side_by_side import Story, outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")

BOTH = [(theirs, their_chat), (dispatch.asyncore, dispatch.asynchat)]
SELECT, POLL = False, True


def seen(program):
    """What the program shows on the old module, and on this one."""
    return [program(asyncore, asynchat) for asyncore, asynchat in BOTH]


def channel_with_peer(story, **methods):
    near, far = socket.socketpair()
    methods.setdefault("writable", lambda self: False)
    return story.channel("it", near, **methods), far


@pytest.mark.parametrize("habit", [SELECT, POLL])
def test_a_healthy_channel_was_closed_when_recv_found_nothing(habit):
    def program(asyncore, asynchat):
        story = Story(asyncore)
        channel, far = channel_with_peer(story)
        channel.socket = Fickle(channel.socket, recv=[errno.EAGAIN])
        far.send(b"x")
        story.turn(habit, 2)
        far.close()
        return story.end()

    assert seen(program) == [[("it", "error", "BlockingIOError")], [("it", "read", b"x")]]


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.EMFILE, errno.ECONNRESET])
def test_a_listener_was_closed_by_an_errno_of_accept(code):
    def program(asyncore, asynchat):
        story = Story(asyncore)
        server = story.listener("server", handle_error=lambda self: self.handle_close())
        server.socket = Fickle(server.socket, accept=[code])
        with socket.create_connection(server.socket.getsockname(), timeout=PATIENCE):
            story.turn(SELECT, 8)
        return story.end()

    assert seen(program) == [[("server", "close")], [("server", "accepted")]]


@pytest.mark.parametrize("reset", [False, True])
def test_bytes_were_lost_when_a_hang_up_came_with_them(reset):
    def program(asyncore, asynchat):
        got = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            near, _ = listener.accept()
        story = Story(asyncore)
        story.channel(
            "it", near, handle_read=lambda self: got.append(len(self.recv(8192))), writable=lambda self: False
        )
        far.sendall(b"x" * 30_000)
        near.shutdown(socket.SHUT_WR)
        if reset:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        far.close()
        story.turn(POLL, 10)
        return sum(got), story.end().count(("it", "close"))

    assert seen(program) == [(8192, 1), (30_000, 1)]


def test_a_close_was_told_twice_and_a_write_after_it():
    def program(asyncore, asynchat):
        story = Story(asyncore)
        _, far = channel_with_peer(story, writable=lambda self: True, handle_read=lambda self: self.recv(10))
        far.close()
        story.turn(POLL)
        return story.end()

    assert seen(program) == [[("it", "close"), ("it", "write"), ("it", "close")], [("it", "close")]]


def test_who_closed_in_handle_connect_was_asked_to_write():
    def program(asyncore, asynchat):
        story = Story(asyncore)
        client = story.channel("client", handle_connect=lambda self: self.close())
        client.create_socket()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client.connect(listener.getsockname())
            story.turn(SELECT)
        return story.end(), client.connected

    assert seen(program) == [([("client", "write")], True), ([], False)]


def test_an_event_went_to_whom_got_the_number_of_a_closed_channel():
    def program(asyncore, asynchat):
        story = Story(asyncore)
        pairs = [socket.socketpair() for _ in range(3)]

        def handle_read(self):
            number = victim._fileno
            victim.close()
            late = story.channel("late", pairs[2][0].dup(), handle_read=lambda self: story.told.append("not meant"))
            assert late._fileno == number

        story.channel("first", pairs[0][0], handle_read=handle_read, writable=lambda self: False)
        victim = story.channel("victim", pairs[1][0], writable=lambda self: False)
        for _, far in pairs[:2]:
            far.send(b"x")
        story.turn(SELECT)
        told = story.end()
        for sock in (pairs[0][1], pairs[1][1], *pairs[2]):
            sock.close()
        return [each for each in told if each == "not meant"]

    assert seen(program) == [["not meant"], []]


def test_a_socket_closed_behind_the_maps_back_ended_the_loop():
    def program(asyncore, asynchat):
        story = Story(asyncore)
        channel, far = channel_with_peer(story)
        channel.socket.close()
        far.close()
        return outcome(story.turn, SELECT), story.end()

    assert seen(program) == [(("OSError", errno.EBADF), []), (None, [("it", "close")])]


@pytest.mark.parametrize("count", [3, 30])
@pytest.mark.parametrize("socket_map", [False, True], ids=["own-map", "socket-map"])
@pytest.mark.parametrize("habit", [SELECT, POLL])
def test_who_closed_in_a_map_that_was_not_its_own_stood_there_for_ever(habit, socket_map, count):
    """As where a thread serves a copy of the map: a close takes its channel out of the map that it was made for."""

    def program(asyncore, asynchat):
        told = []

        class Closing(asyncore.dispatcher):
            def writable(self):
                return False

            def handle_close(self):
                told.append("close")
                self.close()

        near, far = socket.socketpair()
        other, channel = asyncore.socket_map if socket_map else {}, Closing(near, {})
        other[near.fileno()] = channel
        channel.handle_read = lambda: channel.recv(10)
        far.close()
        try:
            asyncore.loop(0, habit, other, count)
        except OSError as error:
            told.append(error.errno)
        told.append(len(other))
        other.clear()
        return told

    old, new = seen(program)
    assert old == (["close", errno.EBADF, 1] if habit == SELECT else ["close"] * (count + 1) + [1])
    assert new in (["close", 0], ["close", "close", 0])  # of the hang-up, and of what is closed


@pytest.mark.parametrize("habit", [SELECT, POLL])
def test_a_new_connection_ended_with_the_number_of_the_old_socket(habit):
    def program(asyncore, asynchat):
        story, ends = Story(asyncore), [*socket.socketpair(), *socket.socketpair()]
        channel = story.channel("it", ends[0], writable=lambda self: False)
        channel.set_socket(ends[2])
        ends[0].close()
        ends[3].send(b"x")
        told = outcome(story.turn, habit)
        for end in ends:
            end.close()
        return told, story.end()

    old = [(("OSError", errno.EBADF), []), (None, [("it", "close")])]
    assert seen(program) == [old[habit], (None, [("it", "read", b"x")])]


@pytest.mark.slow
@pytest.mark.parametrize("habit", [SELECT, POLL])
def test_an_urgent_byte_that_nobody_read_was_told_for_ever(habit):
    def program(asyncore, asynchat):
        story = Story(asyncore)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            far = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
            near, _ = listener.accept()
        story.channel(
            "it",
            near,
            handle_expt=lambda self: story.told.append("!"),
            handle_read=lambda self: None,
            writable=lambda self: False,
        )
        far.send(b"!", socket.MSG_OOB)
        story.turn(habit, 5)
        told = story.told.count("!")
        story.end()
        far.close()
        return told

    assert seen(program) == [5, 1]


def test_an_empty_datagram_was_an_end():
    def program(asyncore, asynchat):
        story = Story(asyncore)
        channel = story.channel("it", writable=lambda self: False)
        channel.create_socket(socket.AF_INET, socket.SOCK_DGRAM)
        channel.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"", channel.socket.getsockname())
            story.turn(SELECT)
        return story.end()

    assert seen(program) == [[("it", "close"), ("it", "read", b"")], [("it", "read", b"")]]


def a_chat(asynchat, **methods):
    """A chat that is said to be connected, and what its socket was given."""
    chat = type("Chat", (asynchat.async_chat,), methods)(map={})
    chat.connected = True
    sent = []
    chat.send = lambda data: sent.append(bytes(data)) or len(data)
    return chat, sent


def test_output_changed_places_when_a_producer_pushed():
    def program(asyncore, asynchat):
        chat, sent = a_chat(asynchat)

        pieces = [b"p1 ", b"p2 ", b"p3 "]

        class Pushing:
            def more(self):
                piece = pieces.pop(0) if pieces else b""
                if piece == b"p1 ":
                    chat.push(b"PUSHED ")
                return piece

        chat.push_with_producer(Pushing())
        for _ in range(6):
            chat.handle_write()
        return b"".join(sent)

    assert seen(program) == [b"p2 p1 p3 PUSHED ", b"p1 p2 p3 PUSHED "]


def test_a_pushed_buffer_was_sent_as_it_was_later():
    def program(asyncore, asynchat):
        chat, sent = a_chat(asynchat)
        chat.connected = False
        buffer = bytearray(b"right")
        chat.push(buffer)
        buffer[:] = b"wrong"
        chat.connected = True
        chat.handle_write()
        return sent

    assert seen(program) == [[b"wrong"], [b"right"]]


def test_commands_behind_a_close_were_obeyed():
    def program(asyncore, asynchat):
        found = []

        def found_terminator(self):
            found.append(self._get_data())
            self.close()

        chat, _ = a_chat(
            asynchat,
            collect_incoming_data=asynchat.async_chat._collect_incoming_data,
            found_terminator=found_terminator,
        )
        chat.set_terminator(b"\n")
        chat.recv = lambda size: b"QUIT\nDELETE everything\n"
        chat.handle_read()
        return found

    assert seen(program) == [[b"QUIT", b"DELETE everything"], [b"QUIT"]]


def test_select_gave_up_at_1024_descriptors():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2100:
        pytest.skip(f"only {hard} descriptors are allowed here")

    def program(asyncore, asynchat):
        story = Story(asyncore)
        near, far = socket.socketpair()
        os.dup2(near.fileno(), 2000)
        near.close()
        story.channel("it", socket.socket(fileno=2000), writable=lambda self: False)
        far.send(b"x")
        told = outcome(story.turn, SELECT), story.end()
        far.close()
        return told

    resource.setrlimit(resource.RLIMIT_NOFILE, (2100, hard))
    try:
        assert seen(program) == [(("ValueError", None), []), (None, [("it", "read", b"x")])]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_exception_of_readable_ended_the_loop():
    def program(asyncore, asynchat):
        story = Story(asyncore)

        def readable(self):
            raise LookupError

        _, far = channel_with_peer(story, readable=readable)
        told = outcome(story.turn, SELECT), story.end()
        far.close()
        return told

    assert seen(program) == [(("LookupError", None), []), (None, [("it", "error", "LookupError")])]


@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("habit", [SELECT, POLL])
@pytest.mark.parametrize("count", [1, 8])
def test_who_fails_to_say_what_it_waits_for_hears_nothing_in_that_turn_and_its_log_line_names_readable(
    count, habit, own_map
):
    asyncore, told = dispatch.asyncore, []
    members = {} if own_map else asyncore.socket_map

    class Moody(asyncore.dispatcher):
        def readable(self):
            if told == ["read"]:
                raise ValueError
            return True

        def writable(self):
            return False

        def handle_read(self):
            told.append("read")  # and leaves it there

        def handle_error(self):
            told.extend(frame.split("|")[1] for frame in asyncore.compact_traceback()[3].split("] ["))

    others = [socket.socketpair() for _ in range(30)]  # so many that they are not asked anew each turn
    near, far = socket.socketpair()
    with near, far:
        far.send(b"x")
        for one, _ in others:
            asyncore.dispatcher(one, members).writable = lambda: False
        Moody(near, members)
        for _ in range(8 // count):
            asyncore.loop(0, habit, members, count)
    asyncore.close_all(members)
    for _, other in others:
        other.close()

    assert told == ["read", "readable", *["read"] * 6]


def test_an_exception_of_handle_close_ended_the_loop_of_poll():
    """Where an errno had told of the end; with select it went to handle_error, as any other did."""

    def program(asyncore, asynchat, habit):
        story = Story(asyncore)

        def handle_read(self):
            raise ConnectionResetError(errno.ECONNRESET, "scripted")

        def handle_close(self):
            raise LookupError

        _, far = channel_with_peer(story, handle_read=handle_read, handle_close=handle_close)
        far.send(b"x")
        told = outcome(story.turn, habit), list(story.told)
        story.end()
        far.close()
        return told

    def by(habit):
        return seen(lambda asyncore, asynchat: program(asyncore, asynchat, habit))

    assert by(SELECT) == [(None, [("it", "error", "ConnectionResetError")])] * 2
    assert by(POLL) == [(("LookupError", None), []), (None, [("it", "error", "LookupError")])]


def test_the_old_fifo_was_gone():
    assert seen(lambda asyncore, asynchat: hasattr(asynchat, "fifo")) == [False, True]
