"""Messages are cut by terminators and lengths, however the bytes arrive, and whatever handlers do meanwhile."""

from __future__ import annotations

import errno
import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dispatch
from dispatch.chat import AT_ONCE, Chat, MessageTooLong
from tests.conftest import RESET
from tests.dispatch.conftest import Fickle


class Talk(Chat):
    """Keeps its messages."""

    def __init__(self, *args, **options):
        self.events = []
        super().__init__(*args, **options)

    def handle_message(self, data):
        self.events.append(data)

    def handle_eof(self):
        self.events.append("eof")
        super().handle_eof()

    def handle_close(self, reason):
        self.events.append(("close", type(reason) if reason else None))


class Pausing(Talk):
    """Wants no more than one at a time."""

    def handle_message(self, data):
        super().handle_message(data)
        self.pause()


def fed(kind=Talk, *pieces):
    """A chat without a connection that was given *pieces*."""
    with dispatch.Loop() as loop:
        chat = kind(loop=loop)
        for piece in pieces:
            chat.handle_data(piece)
        return chat


def test_lines_come_without_their_terminator(world):
    loop = world.loop()
    channel, client = world.connected(loop, Talk)
    client.send(b"one\r\ntwo\r\n\r\nthr")
    client.send(b"ee\r\nrest")
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [b"one", b"two", b"", b"three", "eof", ("close", None)]
    assert channel.pending_input == b"rest"


@given(
    st.lists(st.binary(max_size=8)),
    st.lists(st.integers(0, 60)),
    st.sampled_from([b"\n", b"\r\n", b"aba", b"\r\n.\r\n"]),
)
def test_the_cuts_do_not_depend_on_how_the_bytes_arrived(messages, marks, terminator):
    class Cut(Talk):
        pass

    Cut.terminator = terminator
    stream = b"".join(message + terminator for message in messages)
    marks = sorted({0, len(stream), *(mark for mark in marks if mark < len(stream))})
    pieces = [stream[a:b] for a, b in itertools.pairwise(marks) if a < b]
    expected = stream.split(terminator)

    chat = fed(Cut, *pieces)

    assert chat.events == expected[:-1]
    assert chat.pending_input == expected[-1]


def test_a_length_cuts_as_well():
    class Fixed(Talk):
        terminator = 4

    assert fed(Fixed, b"aaaabb", b"bbcc").events == [b"aaaa", b"bbbb"]


def test_without_a_terminator_data_comes_as_it_arrives():
    class Raw(Talk):
        terminator = None

    assert fed(Raw, b"ab", b"c").events == [b"ab", b"c"]


def test_the_terminator_may_change_between_two_messages():
    class Header(Talk):
        def handle_message(self, data):
            super().handle_message(data)
            self.terminator = int(data) if self.terminator == b"\r\n" else b"\r\n"

    assert fed(Header, b"5\r\nhel", b"lo3\r\nbye2\r\n").events == [b"5", b"hello", b"3", b"bye", b"2"]


def test_a_terminator_set_from_outside_cuts_what_is_here(world):
    loop = world.loop()
    channel, client = world.connected(loop, Talk)
    client.send(b"a,b,c")
    world.run(loop, lambda: channel.pending_input)
    channel.set_terminator(b",")
    world.turn(loop)

    assert channel.get_terminator() == b","
    assert channel.events == [b"a", b"b"]


def test_nothing_is_handed_over_after_close(world):
    loop = world.loop()

    class Quitting(Talk):
        def handle_message(self, data):
            super().handle_message(data)
            if data == b"QUIT":
                self.push(b"bye\r\n")
                self.close_when_done()

    channel, client = world.connected(loop, Quitting)
    client.send(b"QUIT\r\nDELETE everything\r\n")

    assert world.read(loop, client, 5) == b"bye\r\n"
    world.turn(loop)
    assert channel.events == [b"QUIT", ("close", None)]


def test_a_pause_holds_back_messages_that_have_arrived_and_the_end(world):
    loop = world.loop()

    channel, client = world.connected(loop, Pausing)
    client.send(b"1\r\n2\r\n3\r\n")
    client.shutdown(socket.SHUT_WR)
    world.turn(loop, 5)
    assert channel.events == [b"1"]

    channel.resume()
    world.turn(loop, 5)
    assert channel.events == [b"1", b"2"]
    channel.resume()
    world.turn(loop, 5)
    assert channel.events == [b"1", b"2", b"3"]
    channel.resume()
    world.run(loop, lambda: channel.closed)
    assert channel.events[3] == "eof"


class Lines(Talk):
    terminator = b"\n"


def test_who_has_ended_with_its_loop_may_be_resumed_and_cut_in_another_way(world):
    """Nothing comes of it, as with a stream: whoever holds it need not ask before."""
    loop = world.loop()

    channel, client = world.connected(loop, Pausing)
    client.send(b"one\r\ntwo\r\nthree\r\n")
    world.run(loop, lambda: channel.events)
    loop.close()
    channel.resume()
    channel.set_terminator(b"t")

    assert channel.events == [b"one", ("close", dispatch.Aborted)]


def test_a_handler_that_turns_the_loop_has_returned_before_the_next_message_and_the_end(world):
    """It waits for somebody else, say. Else the second answer would come first, and the end before the first."""
    loop = world.loop()

    class Turns(Talk):
        def handle_message(self, data):
            self.events.append(b"<" + data)
            for _ in range(5):
                loop.run_once(0)
            self.write(data)
            self.events.append(data + b">")

    channel, client = world.connected(loop, Turns)
    client.send(b"one\r\n")
    loop.call_soon(client.send, b"two\r\nthree\r\n")
    loop.call_soon(client.shutdown, socket.SHUT_WR)
    answers = world.read_all(loop, client)

    one_by_one = [b"<one", b"one>", b"<two", b"two>", b"<three", b"three>"]
    assert channel.events == [*one_by_one, "eof", ("close", None)]
    assert answers == b"onetwothree"


def test_ctrl_c_in_such_a_handler_costs_no_message(world):
    loop = world.loop()

    class Interrupted(Talk):
        def handle_message(self, data):
            super().handle_message(data)
            if data == b"one":
                world.turn(loop, 5)
                raise KeyboardInterrupt

    channel, client = world.connected(loop, Interrupted)
    client.send(b"one\r\n")
    loop.call_soon(client.send, b"two\r\n")
    loop.call_soon(client.shutdown, socket.SHUT_WR)
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: channel.closed)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [b"one", b"two", "eof", ("close", None)]


@pytest.mark.parametrize("interrupted", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 5])
def test_ctrl_c_in_a_handler_costs_its_own_message_and_no_other(world, interrupted):
    """Those behind it are here already: the peer waits for its answers, and sends no more."""
    loop, total = world.loop(), AT_ONCE + 10

    class Interrupted(Talk):
        def handle_message(self, data):
            super().handle_message(data)
            if data == b"%d" % interrupted:
                raise KeyboardInterrupt

    channel, client = world.connected(loop, Interrupted)
    channel.read_size = channel._read_size = 65536
    client.sendall(b"".join(b"%d\r\n" % number for number in range(total)))
    with pytest.raises(KeyboardInterrupt):
        world.run(loop, lambda: len(channel.events) == total)
    world.run(loop, lambda: len(channel.events) == total)
    client.sendall(b"more\r\n")
    world.run(loop, lambda: len(channel.events) > total)

    assert channel.events == [*(b"%d" % number for number in range(total)), b"more"]


def test_a_peer_of_empty_lines_does_not_hold_the_others_up(world):
    loop = world.loop()
    channel, client = world.connected(loop, Lines)
    other, second = world.connected(loop, Lines)
    channel.read_size = channel._read_size = 50_000
    client.send(b"\n" * 20_000)
    world.run(loop, lambda: channel.events)
    assert len(channel.events) <= 2 * AT_ONCE  # where it was read, and among the calls of that turn

    second.send(b"me\n")
    world.run(loop, lambda: other.events)
    assert len(channel.events) < 20_000
    client.shutdown(socket.SHUT_WR)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)
    assert channel.events == [b""] * 20_000 + ["eof", ("close", None)]


def test_messages_that_wait_for_their_turn_wait_for_a_resume_as_well(world):
    loop = world.loop()
    channel, client = world.connected(loop, Lines)
    channel.read_size = channel._read_size = 50_000
    client.send(b"\n" * 5_000)
    world.run(loop, lambda: channel.events)
    channel.pause()
    world.turn(loop, 5)
    came = len(channel.events)
    assert came <= 2 * AT_ONCE

    for _ in range(2):
        channel.resume()
    world.turn(loop, 1)
    assert came < len(channel.events) < 5_000
    channel.pause()
    channel.resume()
    client.send(b"more\n")
    world.run(loop, lambda: channel.events[-1] == b"more")
    assert channel.events == [b""] * 5_000 + [b"more"]


@pytest.mark.slow
def test_replies_to_many_messages_wait_no_higher_than_the_mark_for_a_peer_that_does_not_read(world):
    class Answering(Lines):
        high_water, low_water = 10_000, 100

        def handle_message(self, data):
            super().handle_message(data)
            self.write(b"x" * 500)

    loop = world.loop()
    channel, client = world.connected(loop, Answering)
    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
    channel.read_size = channel._read_size = 50_000
    client.send(b"\n" * 20_000)
    most = came = 0
    for turn in range(300):
        world.turn(loop, 1)
        most = max(most, channel.queued)
        came += len(client.recv(20_000)) if turn > 100 else 0
    assert most <= 3 * AT_ONCE * 500
    assert len(channel.events) < 20_000

    client.shutdown(socket.SHUT_WR)
    assert came + len(world.read_all(loop, client)) == 10_000_000


def test_a_message_without_end_is_given_up(world):
    loop = world.loop()

    class Short(Talk):
        max_message = 1000

    channel, client = world.connected(loop, Short)
    client.send(b"x" * 900)
    world.turn(loop)
    assert not channel.closed
    client.send(b"x" * 200)
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", MessageTooLong)]
    assert len(channel.pending_input) == 0


class Short(Talk):
    """Keeps the connection when a message is too long."""

    max_message = 10

    def handle_too_long(self, error):
        self.events.append(str(error))


def test_a_long_message_that_ends_is_too_long_as_well():
    chat = fed(Short, b"x" * 11 + b"\r\n", b"y" * 10 + b"\r\n")

    assert chat.events == ["11 bytes before b'\\r\\n'; max_message is 10", b"y" * 10]


def test_what_has_come_of_a_terminator_does_not_count():
    assert fed(Short, b"x" * 10 + b"\r", b"\n").events == [b"x" * 10]
    assert fed(Short, b"x" * 11 + b"\r").events == ["12 bytes without b'\\r\\n'; max_message is 10"]


@pytest.mark.parametrize("terminator", [b"\r\n", type("Mark", (bytes,), {})(b"\r\n")], ids=["bytes", "a kind of bytes"])
@pytest.mark.parametrize("where", ["of the class", "of the object"])
def test_behind_a_message_that_was_too_long_no_byte_is_searched_twice(where, terminator):
    """Else who sends a long one, and then one byte at a time, has all that came before it searched for each."""
    kind = type("Cutting", (Short,), {"terminator": terminator, "max_message": 100})
    chat = fed(kind)
    if where == "of the object":
        chat.terminator = terminator
    for piece in [b"x" * 200, b"x\r\n", *([b"y"] * 50)]:
        chat.handle_data(piece)
        begun = chat._scanned
        chat._next_message()

    assert chat._scanned == begun == 49  # behind what cannot begin a terminator any more
    assert chat._terminator is chat.terminator


@given(
    st.lists(st.integers(0, 30).map(lambda size: b"x" * size)),
    st.lists(st.integers(0, 100)),
    st.sampled_from([b"\n", b"\r\n", b"aba", b"\r\n.\r\n"]),
)
def test_what_is_too_long_is_left_out_however_the_bytes_arrived_and_nothing_else(messages, marks, terminator):
    class Cut(Short):
        pass

    Cut.terminator = terminator
    data = b"".join(message + terminator for message in messages)
    marks = sorted({0, len(data), *(mark for mark in marks if mark < len(data))})
    chat = fed(Cut, *(data[a:b] for a, b in itertools.pairwise(marks)))

    assert [each if isinstance(each, bytes) else "left out" for each in chat.events] == [
        each if len(each) <= 10 else "left out" for each in messages
    ]
    assert not chat.pending_input


@given(st.lists(st.integers(0, 100)), st.sampled_from([b"\n", 5, None]), st.sampled_from([b".\r\n", 11]))
def test_who_hears_of_a_message_that_is_too_long_may_cut_in_another_way_what_is_behind_it(marks, then, ending):
    """As a mail server does: behind a letter that it refuses there are commands again. However the bytes arrive."""

    class Server(Short):
        def handle_message(self, data):
            super().handle_message(data)
            if data == b"DATA":
                self.terminator = ending

        def handle_too_long(self, error):
            self.events.append("too long")
            self.set_terminator(then)

    Server.terminator = b"\n"
    letter = b"12345678901" if ending == 11 else b"x\n5\n" * 5 + b".\r\n"
    data = b"DATA\n" + letter + b"RSET\n"
    marks = sorted({0, len(data), *(mark for mark in marks if mark < len(data))})
    events = fed(Server, *(data[a:b] for a, b in itertools.pairwise(marks))).events

    assert events[:2] == [b"DATA", "too long"]
    assert b"".join(events[2:]) == (b"RSET" if then == b"\n" else b"RSET\n")


@given(st.lists(st.integers(0, 100)))
def test_a_message_that_is_too_long_by_its_number_is_left_out_however_the_bytes_arrived(marks):
    """The number is mostly the peer's own: nobody should keep so much for it."""

    class Numbered(Short):
        def handle_message(self, data):
            super().handle_message(data)
            self.terminator = int(data) if isinstance(self.terminator, bytes) else b"\n"

        def handle_too_long(self, error):
            super().handle_too_long(error)
            assert len(self.pending_input) == 0

    Numbered.terminator = b"\n"
    data = b"3\nabc10\n0123456789" + b"11\n" + b"x" * 11 + b"x" * 11 + b"2\n2\nz"
    marks = sorted({0, len(data), *(mark for mark in marks if mark < len(data))})
    left_out = "a message of 11 bytes; max_message is 10"
    events = fed(Numbered, *(data[a:b] for a, b in itertools.pairwise(marks))).events

    assert events[:4] == [b"3", b"abc", b"10", b"0123456789"]
    assert events[4:] == [b"11", left_out, left_out, left_out]  # until it is told otherwise


@pytest.mark.parametrize("pieces", [[b"x" * 22], [b"x" * 11, b"x" * 11], [b"x"] * 22], ids=["whole", "halves", "bytes"])
def test_a_message_that_has_not_begun_is_not_too_long_yet(pieces):
    class Numbered(Short):
        terminator = 11

    assert fed(Numbered, *pieces).events == ["a message of 11 bytes; max_message is 10"] * 2


def test_the_end_of_a_message_that_was_left_out_is_no_message():
    class Numbered(Short):
        terminator = 11

    chat = fed(Numbered, b"x" * 5)
    chat.set_terminator(None)
    chat.handle_data(b"x" * 6)
    chat.handle_data(b"abc")

    assert chat.events == ["a message of 11 bytes; max_message is 10", b"abc"]


def test_a_number_that_is_too_great_costs_its_sender_the_connection(world):
    loop = world.loop()

    class Numbers(Talk):
        max_message = 1000
        terminator = 1001

    channel, client = world.connected(loop, Numbers)
    client.send(b"x")
    world.run(loop, lambda: channel.closed)
    world.turn(loop, 1)

    assert channel.events == [("close", MessageTooLong)]


def test_a_message_in_many_small_pieces_is_scanned_once(monkeypatch):
    class Long(Talk):
        max_message = 1 << 24

    looked_at = 0
    next_message = Chat._next_message

    def counted(chat):
        nonlocal looked_at
        looked_at += len(chat._input) - chat._scanned
        return next_message(chat)

    monkeypatch.setattr(Chat, "_next_message", counted)
    pieces = [b"x" * 64] * 2000

    assert len(fed(Long, *pieces, b"\r\n").events[0]) == 64 * 2000
    assert looked_at < 2 * 64 * 2000  # a quadratic parser looks at a thousand times as much


def test_a_failing_message_does_not_swallow_the_next():
    class Failing(Talk):
        def handle_message(self, data):
            super().handle_message(data)
            if data == b"bad":
                raise ValueError(data)

        def handle_error(self, error):
            self.events.append("sorry")

    assert fed(Failing, b"bad\r\ngood\r\n").events == [b"bad", "sorry", b"good"]


@pytest.mark.parametrize(
    ("terminator", "error"),
    [("text", TypeError), (True, TypeError), (1.5, TypeError), (0, ValueError), (-1, ValueError), (b"", ValueError)],
)
def test_a_terminator_that_cannot_be_is_refused_at_once(terminator, error):
    with pytest.raises(error, match=r"terminator|message"):
        type("Bad", (Talk,), {"terminator": terminator})

    chat = fed()
    with pytest.raises(error):
        chat.set_terminator(terminator)


def test_asynchats_verbs_are_there(world):
    loop = world.loop()
    channel, client = world.connected(loop, Talk)
    channel.push(b"a")
    channel.push_with_producer(iter([b"b"]))
    channel.close_when_done()

    assert world.read_all(loop, client) == b"ab"


def reset_behind(world, loop, kind, *messages):
    """A chat whose peer has sent *messages*, all in one read, and has reset the connection since."""
    chat, client = world.connected(loop, kind)
    client.send(b"".join(each + b"\r\n" for each in messages))
    world.run(loop, lambda: chat.events)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    return chat


def test_who_goes_on_hears_of_the_messages_that_are_here_before_the_reset_behind_them(world):
    loop = world.loop()
    chat = reset_behind(world, loop, Pausing, b"one", b"two", b"three")
    for _ in range(3):
        chat.resume()  # no handler's: the next thing that the loop does is to poll
        world.turn(loop, 1)
    world.run(loop, lambda: chat.closed)
    world.turn(loop, 1)

    assert chat.events == [b"one", b"two", b"three", ("close", ConnectionResetError)]


def test_who_finds_another_terminator_hears_of_what_it_ends_before_the_reset_behind_it(world):
    class Waiting(Talk):
        def handle_message(self, data):
            super().handle_message(data)
            self.terminator = b"!"

    loop = world.loop()
    chat = reset_behind(world, loop, Waiting, b"one", b"two", b"three")
    chat.set_terminator(b"\r\n")
    world.run(loop, lambda: chat.closed)
    world.turn(loop, 1)

    assert chat.events == [b"one", b"two", ("close", ConnectionResetError)]  # and "three" waits for its "!"


def test_messages_that_wait_for_output_to_go_are_handed_over_though_it_cannot(world):
    """More than one turn hands over, and so much is answered to the first that the others wait."""

    class Answering(Talk):
        high_water, low_water = 1000, 100

        def handle_message(self, data):
            super().handle_message(data)
            self.write(bytes(10))

    loop = world.loop()
    chat, client = world.connected(loop, Answering)
    chat.socket = Fickle(chat.socket, send=[1, -errno.EHOSTUNREACH])
    client.sendall(b"\r\n" * (2 * AT_ONCE))
    world.run(loop, lambda: chat.closed)
    world.turn(loop, 1)

    assert chat.events == [b""] * (2 * AT_ONCE) + [("close", OSError)]
