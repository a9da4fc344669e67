"""Wild programs on the drop-in and on the old module with its mends put in: call by call, line by line, sleep by sleep the same.

A handful of channels of every class share a map: connections, datagrams, pipes, listeners, clients that are refused, and what is
no dispatcher at all. In each handler, ``handle_error`` and ``handle_close`` too, they close, push, pause, raise, join other maps,
turn the loop, empty the map; their peers write, read, shut down, reset and send urgent bytes.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import re
import resource
import socket
import sys
import time
import warnings

import pytest

import dispatch.asynchat
import dispatch.asyncore
from tests.conftest import RESET
from tests.dispatch.mended_asyncore import HIDDEN, mended

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    theirs = pytest.importorskip("asyncore", reason="no other asyncore here: Python 3.12 removed it")
    their_chat = pytest.importorskip("asynchat", reason="no other asynchat here: Python 3.12 removed it")

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="compared with select(2) and poll(2) of Linux"
)

MOST = 25  # channels in a program
LINES = 2000  # that are told of it
STEPS = 8
PAUSE = 0.02  # seconds that a turn may sleep, in programs that look at the clock

PIECES = [b"a", b"ab\n", b"xx\nyy\nab", b"", b"z" * 30]
TERMINATORS = [b"\n", b"ab", b"\r\n", 1, 2, 3, 0, None, ""]
HANDLERS = ["read", "write", "close", "error", "connect", "accept", "accepted", "expt"]


def told_by(exception):
    return type(exception).__name__, str(exception)


class Producer:
    """Gives its pieces, and meddles meanwhile."""

    def __init__(self, program, channel, *pieces):
        self.program, self.channel, self.pieces = program, channel, list(pieces)

    def more(self):
        self.program.tell(self.channel, "more")
        self.program.meddle(self.channel, 0.15)
        if self.program.chance(0.3):
            self.channel.push(b"between")
        return self.pieces.pop(0) if self.pieces else b""


class Program:
    """One program on one module: what it does is decided by the dice, which fall alike as long as it is told the same."""

    def __init__(self, asyncore, asynchat, seed, *, sleeps):
        self.asyncore, self.asynchat, self.sleeps = asyncore, asynchat, sleeps
        self.dice = random.Random(seed)
        self.told, self.made, self.peers, self.servers, self.open = [], [], [], [], []
        self.map = {} if self.chance(0.5) else asyncore.socket_map
        self.elsewhere = {}
        self.use_poll, self.overrides, self.depth = self.chance(0.5), self.chance(0.6), 0
        self.deeds = [name for name in dir(self) if name.startswith("do_")]

    def chance(self, probability):
        return self.dice.random() < probability

    def tell(self, channel, *what):
        self.told.append((getattr(channel, "number", None), *what))

    # ---- classes

    def base(self):
        return self.dice.choice(
            [self.asyncore.dispatcher, self.asyncore.dispatcher_with_send, self.asynchat.async_chat]
        )

    def handler(self, name, base):
        program, dice = self, self.dice
        chats = issubclass(base, program.asynchat.async_chat)
        queues = chats or issubclass(base, program.asyncore.dispatcher_with_send)

        def read(channel):
            if chats:
                base.handle_read(channel)
            else:
                program.tell(channel, "got", channel.recv(dice.choice([1, 3, 100])))

        def write(channel):
            if queues:
                base.handle_write(channel)
            elif program.chance(0.5):
                program.tell(channel, "sent", channel.send(b"out"))

        def close(channel):
            if program.chance(0.85):
                channel.close()

        def error(channel):
            program.tell(channel, *told_by(sys.exc_info()[1]), program.frames())
            if program.chance(0.6):
                channel.close()

        def accept(channel):
            pair = channel.accept()
            if pair is not None:
                program.adopt(pair[0])

        def accepted(channel, sock, addr):
            program.adopt(sock)

        def connect(channel):
            pass

        def expt(channel):
            if program.chance(0.5):
                program.tell(channel, "urgent", channel.socket.recv(1, socket.MSG_OOB))

        does = locals()[name]

        def handle(channel, *args):
            program.tell(channel, name, channel.connected, channel.connecting)
            does(channel, *args)
            program.meddle(channel, 0.35, raises={"close": 0.1, "error": 0.03}.get(name, 0.2))

        return handle

    def frames(self):
        """The functions in the line that would be logged."""
        return [each.split("|")[1] for each in self.asyncore.compact_traceback()[3].split("] [") if HIDDEN not in each]

    def kind(self, base):
        """A class of somebody's, which overrides this and that."""
        program = self
        ignored = [] if self.chance(0.3) else ["warning"]
        methods = {"ignore_log_types": frozenset(ignored), "debug": self.chance(0.2), "__repr__": lambda _: "<it>"}
        methods |= {f"handle_{name}": self.handler(name, base) for name in HANDLERS if self.chance(0.8)}
        if self.overrides:
            methods |= {"reading": True, "writing": self.chance(0.3)}

            def readable(channel):
                program.tell(channel, "readable?")
                return channel.reading

            def writable(channel):
                program.tell(channel, "writable?")
                return channel.writing and bool(base.writable(channel))

            which = self.dice.randrange(4)
            methods |= {"readable": readable} if which != 1 else {}
            methods |= {"writable": writable} if which != 2 else {}
        if issubclass(base, self.asynchat.async_chat):

            def collect_incoming_data(channel, data):
                program.tell(channel, "collect", data)
                channel._collect_incoming_data(data)
                program.meddle(channel, 0.1)

            def found_terminator(channel):
                program.tell(channel, "found", channel._get_data() if program.chance(0.7) else None)
                program.meddle(channel, 0.4)

            methods |= {"collect_incoming_data": collect_incoming_data, "found_terminator": found_terminator}
            methods |= {"terminator": self.dice.choice(TERMINATORS)}
            methods |= {"ac_in_buffer_size": self.dice.choice([2, 5, 65536]), "ac_out_buffer_size": 65536}
        return type("Kind", (base,), methods)

    # ---- channels

    def number(self, channel):
        channel.number = len(self.made)
        self.made.append(channel)
        return channel

    def adopt(self, sock):
        if len(self.made) < MOST:
            self.number(self.kind(self.base())(sock, self.map))
        else:
            sock.close()

    def pair(self):
        kind = self.dice.randrange(3)
        if kind == 0:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                far = socket.create_connection(listener.getsockname())
                near, _ = listener.accept()
        elif kind == 1:
            near, far = socket.socketpair()
        else:
            near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            near.bind(("127.0.0.1", 0))
            far.bind(("127.0.0.1", 0))
            near.connect(far.getsockname())
            far.connect(near.getsockname())
        far.setblocking(False)
        self.peers.append(far)
        self.adopt(near)

    def pipe(self):
        reader, writer = os.pipe()
        mine, other = (reader, writer) if self.chance(0.7) else (writer, reader)
        os.set_blocking(other, False)
        self.number(self.kind(self.asyncore.file_dispatcher)(mine, self.map))
        os.close(mine)
        self.peers.append(os.fdopen(other, "rb" if other == reader else "wb", buffering=0))

    def server(self):
        channel = self.number(self.kind(self.base())(map=self.map))
        channel.create_socket()
        channel.set_reuse_addr()
        channel.bind(("127.0.0.1", 0))
        channel.listen(5)
        self.servers.append(channel)

    def client(self):
        if len(self.made) >= MOST:
            return
        channel = self.number(self.kind(self.base())(map=self.map))
        channel.create_socket()
        servers = [each.socket for each in self.servers if each.accepting]
        if not servers or self.chance(0.2):
            servers = [socket.socket()]  # it does not listen
            servers[0].bind(("127.0.0.1", 0))
            self.open += servers
        channel.connect(servers[0].getsockname())

    # ---- what they do to each other

    def meddle(self, channel, probability, raises=0.2):
        if len(self.told) > LINES or not self.chance(probability):
            return
        if self.chance(raises):
            errors = [
                ValueError("v"),
                KeyError("k"),
                AssertionError(),
                OSError("plain"),
                BrokenPipeError(errno.EPIPE, "pipe"),
            ]
            errors += [OSError(errno.ETIMEDOUT, "late"), ConnectionResetError(errno.ECONNRESET, "reset")]
            if self.chance(0.2):
                errors = [self.asyncore.ExitNow("now"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()]
            raise self.dice.choice(errors)
        other = channel if self.chance(0.5) else self.dice.choice(self.made)
        deed = self.dice.choice(self.deeds)
        self.tell(channel, deed, other.number)
        try:
            getattr(self, deed)(other)
        except (OSError, AttributeError) as error:
            self.tell(channel, *told_by(error))
            if self.chance(0.3):
                raise

    def do_close(self, other):
        other.close()

    def do_push(self, other):
        data = self.dice.choice([b"push", b"", b"long" * 20, bytearray(b"array"), memoryview(b"view")])
        other.push(data) if hasattr(other, "push") else self.tell(other, other.send(bytes(data)))

    def do_read_or_not(self, other):
        other.reading = not other.reading

    def do_write_or_not(self, other):
        other.writing = not other.writing

    def do_set_terminator(self, other):
        other.set_terminator(self.dice.choice(TERMINATORS))

    def do_log(self, other):
        other.log("hit")
        other.log_info("info", self.dice.choice(["info", "warning", "error"]))

    def do_look(self, other):
        self.tell(other, other.connected, other.accepting, other.connecting, other._fileno is None, self.standing())

    def do_leave(self, other):
        other.del_channel()

    def do_move(self, other):
        if other.socket is not None and other.socket.fileno() >= 0:
            other.del_channel()
            other._map, other._fileno = self.elsewhere, other.socket.fileno()
            other.add_channel()

    def do_come_back(self, other):
        if other._fileno is not None and other._map.get(other._fileno) is other:
            number = other._fileno
            other.del_channel()
            other._fileno = number
            other.add_channel()

    def do_pop(self, other):
        self.tell(other, self.map.pop(other._fileno, None) is other)

    def do_clear(self, other):
        if self.chance(0.2):
            self.map.clear()

    def do_turn(self, other):
        if self.depth < 2:
            self.depth += 1
            try:
                self.turn(0, self.chance(0.5))
            finally:
                self.depth -= 1

    def do_come(self, other):
        if len(self.made) < MOST:
            self.pair()

    def do_connect(self, other):
        self.client()

    def do_close_all(self, other):
        if self.chance(0.2):
            self.asyncore.close_all(self.map, self.chance(0.5))

    def do_handle_close(self, other):
        other.handle_close()

    def do_handle_error(self, other):
        other.handle_error()

    def do_shutdown(self, other):
        other.socket.shutdown(self.dice.choice([socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR]))

    def do_close_when_done(self, other):
        other.close_when_done()

    def do_discard_buffers(self, other):
        other.discard_buffers()

    def do_recv(self, other):
        self.tell(other, other.recv(2))

    def do_queue(self, other):
        way, data = self.dice.choice(
            [("append", b"q"), ("appendleft", b"p"), ("extend", [b"1", b"2"]), ("append", None)]
        )
        getattr(other.producer_fifo, way)(data)
        views = (bytes, memoryview)  # the latter is what is left of long bytes
        shown = {type(None): lambda each: each, **dict.fromkeys(views, bytes)}
        self.tell(other, [shown.get(type(each), lambda _: "producer")(each) for each in other.producer_fifo])

    def do_out_buffer(self, other):
        other.out_buffer = self.dice.choice([b"", b"set", other.out_buffer + b"more"])

    def do_produce(self, other):
        simple = self.asynchat.simple_producer(b"simple" * 3, 4)
        other.push_with_producer(
            self.dice.choice([Producer(self, other, b"1", b"", b"2"), Producer(self, other), simple])
        )

    # ---- the course of it

    def standing(self):
        return [channel.number for channel in self.map.values()]

    def peers_act(self):
        for number, peer in enumerate(list(self.peers)):
            what = self.dice.randrange(10)
            sock = isinstance(peer, socket.socket)
            try:
                if what < 3:
                    (peer.send if sock else peer.write)(self.dice.choice(PIECES))
                elif what < 6:
                    self.told.append((number, "peer got", (peer.recv if sock else peer.read)(1000)))
                elif what == 6 and self.chance(0.4):
                    peer.close()
                elif what == 7 and self.chance(0.4):
                    peer.shutdown(self.dice.choice([socket.SHUT_WR, socket.SHUT_RDWR]))
                elif what == 8 and self.chance(0.4):
                    peer.send(b"!", socket.MSG_OOB)
                elif what == 9 and self.chance(0.2):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    peer.close()
            except (OSError, AttributeError, ValueError) as error:
                self.told.append((number, "peer", type(error).__name__))

    def turn(self, timeout, use_poll):
        count = self.dice.choice([0, 1, 1, 1, 2, 7])
        if count:
            self.asyncore.loop(timeout, use_poll, self.map, count)
        else:
            (self.asyncore.poll2 if use_poll else self.asyncore.poll)(timeout, self.map)

    def run(self):
        """What was told, in order."""
        out = Lines(self.told)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            for make, most in ((self.pair, 4), (self.server, 2), (self.client, 3), (self.pipe, 2)):
                for _ in range(self.dice.randrange(most + 1)):
                    make()
            for _ in range(STEPS):
                self.peers_act()
                timeout = self.dice.choice([0, PAUSE]) if self.sleeps else 0
                began, waits = time.monotonic(), waits_so_far()
                self.told.append("turn")
                try:
                    self.turn(timeout, self.use_poll if self.chance(0.8) else not self.use_poll)
                except BaseException as error:  # noqa: BLE001 - whatever leaves the loop
                    self.told.append(told_by(error))
                if timeout:
                    took = time.monotonic() - began
                    self.told.append(("slept", took > PAUSE * 0.9 and waits_so_far() > waits))
                self.told.append((self.standing(), [(each.connected, each.accepting) for each in self.made]))
            self.end()
        return self.told

    def end(self):
        for channels in (self.map, self.elsewhere):
            try:
                self.asyncore.close_all(channels, self.chance(0.8))
            except BaseException as error:  # noqa: BLE001 - whatever close_all lets out
                self.told.append(told_by(error))
            channels.clear()
        for each in (*self.peers, *self.open, *(channel.socket for channel in self.made if channel.socket is not None)):
            with contextlib.suppress(OSError):
                each.close()


def waits_so_far():
    """How often this thread has given the processor away by itself: on a busy machine it is also taken away from it."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


class Lines(io.StringIO):
    """What is printed, among what else is told; without addresses, files and their lines, and what is not asyncore's."""

    def __init__(self, told):
        super().__init__()
        self.told = told

    def write(self, text):
        text = re.sub(r"\[[^|\]]*\|([^|\]]*)\|\d+\]", r"[\1]", re.sub(r"0x[0-9a-f]+|\bat [0-9a-f]{6,}", "0x", text))
        text = re.sub(rf" ?\[{HIDDEN}\]", "", text).strip()
        if text:
            self.told.append(("printed", text))
        return len(text)


def compare(seeds, *, sleeps=False):
    old = mended(theirs, their_chat)
    for seed in seeds:
        for more in (2, 1, 0):
            on_theirs = Program(*old, seed, sleeps=sleeps).run()
            on_ours = Program(dispatch.asyncore, dispatch.asynchat, seed, sleeps=sleeps).run()
            if on_ours == on_theirs:
                break  # a machine that was busy elsewhere, or a kernel that took its time, does not do so three times
            assert more, first_difference(seed, on_theirs, on_ours)


def first_difference(seed, on_theirs, on_ours):
    place = next(number for number, (one, other) in enumerate(zip(on_theirs, on_ours, strict=False)) if one != other)
    return seed, on_theirs[max(place - 10, 0) : place], on_theirs[place], on_ours[place]


@pytest.mark.slow
def test_any_wild_program_is_told_the_same():
    compare(range(40))


@pytest.mark.slow
def test_any_of_many_wild_programs_is_told_the_same():
    compare(range(40, 600))


@pytest.mark.slow
def test_wild_programs_sleep_where_they_did():
    compare(range(600, 640), sleeps=True)
