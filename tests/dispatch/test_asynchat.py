"""The drop-in's chat: what is kept of asynchat, and what is mended."""

from __future__ import annotations

import errno

import pytest

from dispatch import asynchat, asyncore
from tests.dispatch.conftest import Fickle

pytestmark = pytest.mark.usefixtures("anywhere")


class Chat(asynchat.async_chat):
    """Collects lines; its socket may be missing."""

    def __init__(self, sock=None, map=None):
        asynchat.async_chat.__init__(self, sock, {} if map is None else map)
        self.set_terminator(b"\n")
        self.lines = []
        self.collected = []

    def collect_incoming_data(self, data):
        self.collected.append(data)
        self._collect_incoming_data(data)

    def found_terminator(self):
        self.lines.append(self._get_data())


class Fed:
    """A socket that gives these pieces."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def recv(self, size):
        return self.pieces.pop(0)

    def close(self):
        pass


def fed(chat, *pieces):
    chat.socket = Fed(*pieces)
    for _ in pieces:
        chat.handle_read()
    return chat


@pytest.fixture
def chat(loopback_pair):
    """A chat in a map of its own, and its peer."""
    opener, acceptor = loopback_pair
    chat = Chat(acceptor, {})
    yield chat, opener
    chat.close()


def serve(chat, times=1):
    asyncore.loop(0.01, map=chat._map, count=times)


# ---- input, kept


def test_lines_are_cut_at_the_terminator_and_nothing_empty_is_collected():
    chat = fed(Chat(), b"one\ntwo\n\nthr", b"ee\n")

    assert chat.lines == [b"one", b"two", b"", b"three"]
    assert b"" not in chat.collected


def test_a_possible_beginning_of_the_terminator_is_kept_back():
    chat = Chat()
    chat.set_terminator(b"\r\n")
    fed(chat, b"one\r", b"two\r", b"\n")

    assert chat.lines == [b"one\rtwo"]


def test_a_number_counts_down_and_then_nothing_ends():
    chat = Chat()
    chat.set_terminator(5)
    fed(chat, b"abc")
    assert chat.get_terminator() == 2
    fed(chat, b"defgh")

    assert chat.lines == [b"abcde"]
    assert chat.get_terminator() == 0
    assert chat.incoming == [b"fgh"]


@pytest.mark.parametrize("nothing", [None, 0, b"", ""])
def test_without_a_terminator_everything_is_collected(nothing):
    chat = Chat()
    chat.set_terminator(nothing)
    fed(chat, b"a\nb")

    assert chat.lines == []
    assert chat.incoming == [b"a\nb"]


def test_the_terminator_may_change_in_found_terminator():
    class Switching(Chat):
        def found_terminator(self):
            Chat.found_terminator(self)
            self.set_terminator(3 if self.terminator == b"\n" else b"\n")

    assert fed(Switching(), b"head\nabcline\nxyz").lines == [b"head", b"abc", b"line", b"xyz"]


def test_terminators_are_checked_as_before():
    chat = Chat()
    with pytest.raises(ValueError, match="must be positive"):
        chat.set_terminator(-1)
    chat.use_encoding = 1
    chat.set_terminator("é")
    assert chat.get_terminator() == b"\xe9"


def test_the_subclass_has_to_say_what_to_do():
    chat = asynchat.async_chat(map={})
    with pytest.raises(NotImplementedError):
        chat.collect_incoming_data(b"x")
    with pytest.raises(NotImplementedError):
        chat.found_terminator()
    with pytest.raises(AttributeError, match="terminator"):
        fed(chat, b"x")


def test_a_prefix_is_found_at_the_end():
    assert asynchat.find_prefix_at_end("qwerty\r", "\r\n") == 1
    assert asynchat.find_prefix_at_end("qwertydkjf", "\r\n") == 0


# ---- input, mended


def test_nothing_is_acted_upon_after_close(chat):
    chat, client = chat

    class Quitting(Chat):
        def found_terminator(self):
            Chat.found_terminator(self)
            self.close()

    chat.__class__ = Quitting
    client.send(b"QUIT\nDELETE everything\n")
    serve(chat)

    assert chat.lines == [b"QUIT"]


def test_a_wake_up_without_data_is_no_error(chat):
    chat, client = chat
    chat.socket = Fickle(chat.socket, recv=[errno.EAGAIN])
    client.send(b"x\n")
    serve(chat, 2)

    assert chat.lines == [b"x"]


def test_an_error_of_recv_goes_to_handle_error(chat, log, capsys):
    chat, client = chat
    chat.socket = Fickle(chat.socket, recv=[errno.ETIMEDOUT])
    client.send(b"x\n")
    serve(chat)

    assert "TimeoutError" in capsys.readouterr().out
    assert log.of(chat, "raised")[0][1] == "handle_read"


# ---- output


def test_what_is_pushed_is_sent_at_once_and_in_order(chat):
    chat, client = chat
    chat.push(b"a")
    assert client.recv(10) == b"a"
    chat.ac_out_buffer_size = 4
    chat.push(b"0123456789")
    chat.push_with_producer(asynchat.simple_producer(b"x" * 1000))
    chat.push(bytearray(b"end"))
    while chat.producer_fifo:
        serve(chat)
    got = b""
    while len(got) < 1013:
        got += client.recv(2000)

    assert got == b"0123456789" + b"x" * 1000 + b"end"
    assert not chat.producer_fifo


def test_close_when_done_closes_at_the_next_chance_to_write(chat):
    chat, client = chat
    chat.push(b"bye")
    chat.close_when_done()
    assert chat.connected
    serve(chat, 2)

    assert not chat.connected
    assert client.recv(10) == b"bye"
    assert client.recv(10) == b""


@pytest.mark.parametrize("limits", [[1] * 20, [0, 2, 0, 1], [-errno.EAGAIN, 3, -errno.EAGAIN]])
def test_a_short_send_loses_nothing(chat, limits):
    chat, client = chat
    chat.socket = Fickle(chat.socket, send=limits)
    chat.push(b"hello, ")
    chat.push(memoryview(b"network"))
    chat.close_when_done()
    serve(chat, 40)

    assert client.recv(100) == b"hello, network"


def test_a_pushed_buffer_may_be_used_again(chat):
    chat, client = chat
    chat.socket = Fickle(chat.socket, send=[0])
    buffer = bytearray(b"right")
    chat.push(buffer)
    buffer[:] = b"wrong"
    serve(chat, 2)

    assert client.recv(100) == b"right"


def test_text_is_refused_as_before(chat):
    with pytest.raises(TypeError, match="byte-ish"):
        chat[0].push("text")


def test_what_a_producer_pushes_keeps_its_place(chat):
    chat, client = chat

    class Pushing:
        pieces = [b"p1 ", b"p2 ", b"p3 "]  # noqa: RUF012 - used up once

        def more(self):
            if len(self.pieces) == 2:
                chat.push(b"PUSHED")
            return self.pieces.pop(0) if self.pieces else b""

    chat.push_with_producer(Pushing())
    serve(chat, 10)

    assert client.recv(100) == b"p1 p2 p3 PUSHED"


def test_an_exception_in_a_producer_reaches_who_pushes_it(chat):
    class Failing:
        def more(self):
            raise LookupError("nothing there")

    with pytest.raises(LookupError):
        chat[0].push_with_producer(Failing())


def test_text_producers_are_encoded_if_asked(chat):
    chat, client = chat
    chat.use_encoding = 1
    chat.push_with_producer(asynchat.simple_producer("é"))
    serve(chat, 2)

    assert client.recv(10) == b"\xe9"


@pytest.mark.parametrize("limits", [[1] * 20, [3, 0, 2], [4, 4, 4]])
def test_text_of_several_bytes_a_character_arrives_whole(chat, limits):
    chat, client = chat
    chat.use_encoding, chat.encoding, chat.ac_out_buffer_size = 1, "utf-8", 3
    chat.socket = Fickle(chat.socket, send=limits)
    chat.push_with_producer(asynchat.simple_producer("ééé\u20ac, 0"))
    chat.close_when_done()
    serve(chat, 40)

    assert client.recv(100).decode() == "ééé\u20ac, 0"


def test_the_queue_may_be_filled_by_others(chat):
    chat, client = chat
    serve(chat, 2)
    chat.producer_fifo.append(b"b")
    chat.producer_fifo.appendleft(b"a")
    chat.producer_fifo.extend([b"c", b"", b"d"])
    chat.producer_fifo.insert(0, b"0")
    serve(chat, 10)
    assert client.recv(10) == b"0abcd"

    chat.producer_fifo = [b"new"]
    serve(chat, 2)
    assert client.recv(10) == b"new"


def test_an_error_of_send_goes_to_handle_error(chat, capsys, log):
    chat, _ = chat
    chat.socket = Fickle(chat.socket, send=[-errno.EIO])
    chat.push(b"x")

    assert "OSError" in capsys.readouterr().out
    assert log.of(chat, "raised")[0][1] == "initiate_send"


def test_a_chat_that_connects_anew_begins_with_what_comes_then():
    class Again(Chat):
        def found_terminator(self):
            Chat.found_terminator(self)
            if self.lines[-1] == b"again":
                self.close()

    again = fed(Again(), b"one\nagain\ntwo\nth", b"new\n")

    assert again.lines == [b"one", b"again", b"new"]


def test_everything_can_be_thrown_away(chat):
    chat, _ = chat
    chat.socket = Fickle(chat.socket, send=[0])
    chat.push(b"x")
    chat.ac_in_buffer = b"y"
    chat.incoming.append(b"z")
    chat.discard_buffers()

    assert (chat.ac_in_buffer, chat.incoming, list(chat.producer_fifo)) == (b"", [], [])


def test_a_closed_chat_goes_when_its_last_user_does(chat):
    import gc
    import weakref

    gc.disable()
    try:
        lonely = Chat()
        seen = weakref.ref(lonely)
        del lonely
        assert seen() is None
    finally:
        gc.enable()


def test_the_old_fifo_is_there():
    fifo = asynchat.fifo([b"a"])
    fifo.push(b"b")

    assert len(fifo) == 2
    assert fifo.first() == b"a"
    assert [fifo.pop(), fifo.pop(), fifo.pop()] == [(1, b"a"), (1, b"b"), (0, None)]
    assert fifo.is_empty()


def test_the_old_fifo_may_be_the_queue(chat):
    chat, client = chat
    chat.producer_fifo = asynchat.fifo()
    chat.producer_fifo.push(b"old, ")
    chat.producer_fifo.push(asynchat.simple_producer(b"older, "))
    chat.push(b"new")
    chat.close_when_done()
    serve(chat, 10)

    assert client.recv(100) == b"old, older, new"
    assert not chat.connected
