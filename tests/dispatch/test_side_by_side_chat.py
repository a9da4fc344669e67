"""The drop-in's chat beside the one it stands for: random conversations, and the same is collected, found and sent."""

from __future__ import annotations

import collections
import copy
import pickle
import random
import socket
import warnings

import pytest

import dispatch.asynchat
from tests.dispatch.test_side_by_side import outcome

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")

our_chat = dispatch.asynchat


def alike(program, *args):
    on_theirs, on_ours = program(their_chat, *args), program(our_chat, *args)
    assert on_ours == on_theirs
    return on_ours


# ---- input

TERMINATORS = [b"\n", b"\r\n", b"ab", b"aab", b"aaa", bytearray(b"b\n"), 1, 3, 7, True, None, 0, b"", ""]


def conversation(asynchat, seed):
    """A program that changes its mind in every method, fed with pieces that cut where it hurts."""
    dice = random.Random(seed)
    told = []

    class Chat(asynchat.async_chat):
        def __init__(self):
            asynchat.async_chat.__init__(self, map={})
            self.set_terminator(dice.choice(TERMINATORS))

        def recv(self, size):
            told.append(size)
            return bytes(dice.choices(b"aab\r\n", k=dice.randrange(9)))

        def collect_incoming_data(self, data):
            told.append(("collect", data, self.ac_in_buffer, self.terminator))
            self.meddle(0.1)

        def found_terminator(self):
            told.append(("found", self.ac_in_buffer, self.get_terminator()))
            self.meddle(0.5)

        def meddle(self, probability):
            if dice.random() > probability:
                return
            what = dice.randrange(5)
            if what == 0:
                self.ac_in_buffer = self.ac_in_buffer[1:]
            elif what == 1:
                self.ac_in_buffer += b"a\n"
            elif what == 2:
                self.discard_buffers()
            elif what == 3:
                raise LookupError
            else:
                self.set_terminator(dice.choice(TERMINATORS))

    chat = Chat()
    for _ in range(12):
        told.append((outcome(chat.handle_read), chat.ac_in_buffer, chat.terminator))
        if len(told) > 300:
            break  # what is put back in each call may be found for ever
    return told


@pytest.mark.slow
def test_any_conversation_is_cut_at_the_same_places():
    for seed in range(1500):
        alike(conversation, seed)


def test_terminators_are_taken_and_refused_alike():
    def program(asynchat, use_encoding, terminator):
        chat = asynchat.async_chat(map={})
        chat.use_encoding = use_encoding
        told = [outcome(chat.set_terminator, terminator), outcome(chat.get_terminator)]
        chat.recv = lambda size: b"one\ntwo"
        chat.collect_incoming_data = told.append
        chat.found_terminator = lambda: told.append("found")
        return [*told, outcome(chat.handle_read), chat.ac_in_buffer, wording(chat.handle_read)]

    def wording(call):
        """It stands in the log line."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
            return str(error)

    for terminator in [*TERMINATORS, "\n", "é", -1, -5, 2.5, object, [b"\n"], memoryview(b"\n"), False]:
        for use_encoding in (0, 1):
            alike(program, use_encoding, terminator)


@pytest.mark.parametrize("terminator", [b"\n", b"\r\n", 3, 40, None])
def test_who_is_asked_for_the_terminator_may_change_the_buffer(terminator):
    def program(asynchat, terminator):
        told = []

        class Chat(asynchat.async_chat):
            def get_terminator(self):
                self.ac_in_buffer = self.ac_in_buffer.lstrip()
                return self.terminator

        chat = Chat(map={})
        chat.set_terminator(terminator)
        chat.recv = lambda size: b"  ab\r\n\r\n   cd  \n \r"
        chat.collect_incoming_data = told.append
        chat.found_terminator = lambda: told.append("found")
        return outcome(chat.handle_read), told, chat.ac_in_buffer, chat.terminator

    alike(program, terminator)


def test_an_errno_of_recv_goes_where_it_went():
    def program(asynchat, error):
        chat, told = asynchat.async_chat(map={}), []

        def recv(size):
            raise error

        chat.recv = recv
        chat.handle_error = lambda: told.append("error")
        return outcome(chat.handle_read), told

    for error in (BlockingIOError(11, "x"), TimeoutError(110, "x"), OSError(5, "x"), ValueError(), KeyboardInterrupt()):
        alike(program, error)


# ---- output


def plain(data):
    """What was pushed as a view or an array: it is sent as it was then (mended), so it is bytes in our queue."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    return type(data).__name__ if hasattr(data, "more") else data


class Taking:
    """A socket that takes as much as the dice say."""

    def __init__(self, dice):
        self.dice, self.sent = dice, []

    def send(self, data):
        taken = data[: self.dice.choice([0, 1, 5, len(data), len(data)])]
        self.sent.append(plain(taken))
        return len(taken)


class Producer:
    """Gives these, then nothing."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def more(self):
        return self.pieces.pop(0) if self.pieces else b""


def speech(asynchat, seed):
    """A program that uses every way to say something, and what the socket saw of it."""
    dice = random.Random(seed)
    chat, told = asynchat.async_chat(map={}), []
    chat.connected, chat.socket = True, Taking(random.Random(seed))
    chat.ac_out_buffer_size = dice.choice([4, 10, 65536])
    chat.use_encoding = dice.choice([0, 1])
    chat.handle_close = lambda: told.append("close")
    chat.handle_error = lambda: told.append("error")

    def ways(number, data):
        yield lambda: chat.push(data)
        yield lambda: chat.push(dice.choice([bytearray, memoryview])(data))
        yield lambda: chat.push(data.decode())
        yield lambda: chat.push_with_producer(Producer(data, b"more", b""))
        yield lambda: chat.push_with_producer(asynchat.simple_producer(data, 3))
        yield lambda: chat.push_with_producer(asynchat.simple_producer(data.decode(), 3))
        yield chat.initiate_send
        yield chat.handle_write
        yield lambda: chat.producer_fifo.appendleft(b"first")
        yield lambda: chat.producer_fifo.extend([b"", b"x"])
        yield lambda: chat.producer_fifo.pop()
        yield chat.discard_buffers if number == 7 else chat.handle_write
        yield chat.close_when_done if number > 12 else chat.handle_write
        if number == 9:
            yield lambda: setattr(chat, "producer_fifo", collections.deque([b"new"]))

    for number in range(15):
        data = bytes(str(number), "ascii") * dice.choice([0, 1, 1, 4, 20])
        told.append(plain(outcome(dice.choice([*ways(number, data)]))))
        told.append([plain(each) for each in chat.producer_fifo])
        told.append((bool(chat.writable()), chat.readable()))
    return told, chat.socket.sent


@pytest.mark.slow
def test_any_speech_goes_out_in_the_same_pieces():
    for seed in range(1500):
        alike(speech, seed)


def test_the_queue_is_a_deque_for_who_looks_at_it():
    def program(asynchat):
        chat = asynchat.async_chat(map={})
        chat.push(b"a")
        chat.producer_fifo += [b"b", None]
        chat.producer_fifo.extendleft([b"0"])
        queue = chat.producer_fifo
        twins = [queue.copy(), copy.copy(queue), copy.deepcopy(queue), pickle.loads(pickle.dumps(queue)), queue + queue]
        return repr(queue), isinstance(queue, collections.deque), [list(twin) for twin in twins], queue == twins[0]

    alike(program)


@pytest.mark.parametrize("grow", ["append", "appendleft", "extend", "extendleft", "insert", "+=", "="])
def test_what_is_put_into_the_queue_goes_out(grow):
    """Also where the loop does not ask, and something else is ready in each turn."""

    def program(asynchat):
        pairs, channels = [socket.socketpair() for _ in range(2)], type(asynchat.asyncore.socket_map)()
        chat = asynchat.async_chat(pairs[0][0], channels)
        busy = asynchat.asyncore.dispatcher(pairs[1][0], channels)
        busy.handle_read = lambda: None
        busy.writable = lambda: False
        pairs[1][1].send(b"x")
        asynchat.asyncore.loop(0.05, False, channels, 3)
        queue = chat.producer_fifo
        if grow == "+=":
            chat.producer_fifo += [b"x"]
        elif grow == "=":
            chat.producer_fifo = collections.deque([b"x"])
        else:
            arguments = {"extend": ([b"x"],), "extendleft": ([b"x"],), "insert": (0, b"x")}.get(grow, (b"x",))
            getattr(queue, grow)(*arguments)
        asynchat.asyncore.loop(0.05, False, channels, 3)
        pairs[0][1].setblocking(False)
        got = outcome(pairs[0][1].recv, 10)
        asynchat.asyncore.close_all(channels)
        pairs[0][1].close()
        pairs[1][1].close()
        return got

    assert alike(program) == b"x"


def test_what_a_push_that_failed_has_left_goes_out():
    """From outside the channel's turn, while the loop has other things to do."""

    def program(asynchat):
        pairs, channels = [socket.socketpair() for _ in range(2)], type(asynchat.asyncore.socket_map)()
        chat = asynchat.async_chat(pairs[0][0], channels)
        busy = asynchat.asyncore.dispatcher(pairs[1][0], channels)
        busy.handle_read = lambda: None
        busy.writable = lambda: False
        pairs[1][1].send(b"x")
        sends, send = [], chat.send
        chat.send = lambda data: sends.append(data) or (send(data) if len(sends) != 2 else 1 // 0)
        chat.push(b"first ")
        asynchat.asyncore.loop(0.05, False, channels, 3)
        seen = outcome(chat.push, b"pushed")
        asynchat.asyncore.loop(0.05, False, channels, 3)
        pairs[0][1].setblocking(False)
        got = outcome(pairs[0][1].recv, 100)
        asynchat.asyncore.close_all(channels)
        pairs[0][1].close()
        pairs[1][1].close()
        return seen, got

    assert alike(program) == (("ZeroDivisionError", None), b"first pushed")


def test_a_queue_of_the_programs_own_stays_its_own():
    def program(asynchat, queue):
        chat = asynchat.async_chat(map={})
        chat.connected, chat.socket = True, Taking(random.Random(1))
        chat.producer_fifo = queue
        queue.append(b"behind your back")
        chat.push(b"pushed")
        for _ in range(20):
            chat.handle_write()
        return chat.socket.sent, list(queue), chat.producer_fifo is queue

    alike(lambda asynchat: program(asynchat, []))
    alike(lambda asynchat: program(asynchat, collections.deque()))


class Frugal:
    """A queue with as many methods as asynchat asked of one."""

    def __init__(self):
        self.kept = []

    def __len__(self):
        return len(self.kept)

    def __getitem__(self, index):
        return self.kept[index]

    def __setitem__(self, index, item):
        self.kept[index] = item

    def __delitem__(self, index):
        del self.kept[index]

    def append(self, item):
        self.kept.append(item)

    def appendleft(self, item):
        self.kept.insert(0, item)

    def clear(self):
        self.kept.clear()


@pytest.mark.parametrize("clears", [False, True])
def test_a_queue_of_the_programs_own_need_not_have_more_than_asynchat_asked_for(clears):
    def program(asynchat):
        chat = asynchat.async_chat(map={})
        chat.connected, chat.socket = True, Taking(random.Random(1))
        chat.ac_out_buffer_size = 4
        chat.use_encoding, chat.encoding = 1, "utf-8"
        chat.producer_fifo = Frugal()
        told = [
            outcome(chat.push, b"longer than four"),
            outcome(chat.push_with_producer, Producer(b"pieces", "größer")),
        ]
        if clears:
            told.append(outcome(chat.discard_buffers))
        told += [outcome(chat.handle_write) for _ in range(40)]
        return told, b"".join(chat.socket.sent), len(chat.producer_fifo), bool(chat.writable())

    told, sent, *left = program(our_chat)
    assert left == [0, False]
    if clears:
        assert (told, sent, *left) == program(their_chat)
    else:
        assert sent.decode() == "longer than fourpiecesgrößer"  # mended: text of several bytes a character


def test_a_chat_may_skip_its_own_constructor():
    """As old programs do, which set the attributes themselves."""

    def program(asynchat, before):
        class Chat(asynchat.async_chat):
            def __init__(self):
                if before:
                    self.producer_fifo = collections.deque()
                asynchat.asyncore.dispatcher.__init__(self, map={})
                if not before:
                    self.producer_fifo = collections.deque()
                self.ac_in_buffer, self.incoming = b"", []

        chat = Chat()
        chat.connected, chat.socket = True, Taking(random.Random(1))
        chat.push(b"x")
        return chat.socket.sent, list(chat.producer_fifo)

    alike(program, True)
    alike(program, False)


@pytest.mark.parametrize("terminator", [b"\n", 3, None])
def test_a_chat_that_was_never_constructed_may_read(terminator):
    """As a program's own tests do it, which give it what they are about and nothing else."""

    def program(asynchat):
        told = []

        class Chat(asynchat.async_chat):
            def collect_incoming_data(self, data):
                told.append(data)

            def found_terminator(self):
                told.append(None)

        chat = Chat.__new__(Chat)
        chat.ac_in_buffer, chat.terminator = b"", terminator
        chat.recv = lambda size: b"one\ntwo"
        chat.handle_read()
        return told, chat.ac_in_buffer

    assert alike(program)


def test_producers_of_the_module_give_the_same():
    for data in (b"", b"abc", b"x" * 1000, "text" * 200, bytearray(b"y" * 600)):
        for size in (1, 3, 512):

            def program(asynchat, data=data, size=size):
                producer = asynchat.simple_producer(data[:], size)
                return [producer.more() for _ in range(5)], producer.data

            alike(program)


def test_prefixes_are_found_alike():
    for haystack in ("", "a", "ab", "aab", "x\r", "x\r\n", "\r\r"):
        for needle in ("a", "ab", "aab", "\r\n", "\r\n\r\n"):
            alike(lambda asynchat, haystack=haystack, needle=needle: asynchat.find_prefix_at_end(haystack, needle))


@pytest.mark.parametrize("pieces", [(b"what it has",), (b"one", b"two"), ()], ids=len)
def test_a_producer_that_is_false_is_asked_once(pieces):
    """As one that has a length, of 0 at first."""

    def program(asynchat):
        class Empty(Producer):
            def __len__(self):
                return 0

        chat = asynchat.async_chat(map={})
        chat.connected, chat.socket = True, Taking(random.Random(1))
        chat.producer_fifo.extend([Empty(*pieces), b"lost"])  # mended: it was lost where the producer gave nothing
        for _ in range(10):
            chat.handle_write()
        return b"".join(chat.socket.sent)

    said = b"".join(pieces[:1])
    assert program(our_chat) == said + b"lost"
    assert program(their_chat) == (said + b"lost" if pieces else b"")
