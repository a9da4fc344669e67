"""Wild programs of wider shapes: what a program may override, replace and call by itself, beside what a handler may do.

Their maps are of every kind, also no dicts; events are sent by hand; predicates answer anything, or raise; output is text, arrays,
views, producers that fail; a channel connects again, gets another socket, is false, forwards to its socket. And ours keep a loop
for what they would ask and poll anew, and the other way round.
"""

from __future__ import annotations

import collections
import errno
import os
import random
import re
import select
import socket
import sys
import weakref

import pytest

import dispatch.asynchat
import dispatch.asyncore
from dispatch.maps import channelmap
from dispatch.maps import serving as maps
from tests.dispatch import test_side_by_side_wild as wild
from tests.dispatch.mended_asyncore import mended

pytestmark = wild.pytestmark

EVENTS = ["handle_read_event", "handle_write_event", "handle_connect_event", "handle_expt_event"]
HANDLERS = ["handle_read", "handle_write", "handle_connect", "handle_expt", "handle_accept"]
HOOKS = [
    *EVENTS,
    "close",
    "log_info",
    "log",
    "add_channel",
    "del_channel",
    "accept",
    "send",
    "recv",
    "initiate_send",
    "push",
]
HOOKS += ["get_terminator", "set_terminator", "handle_error", "handle_close"]
ANSWERS = [0, 1, None, [], "yes", b"", 2.5, True, False]
FLAGS = [0, select.POLLIN, select.POLLOUT, select.POLLPRI, select.POLLHUP, select.POLLERR, select.POLLNVAL]
FLAGS += [select.POLLIN | select.POLLOUT, select.POLLIN | select.POLLHUP, select.POLLOUT | select.POLLERR, 63]
OUTPUT = [b"bytes", bytearray(b"array"), "text", "t\u00e9xt", memoryview(b"view"), b"x" * 20, "s" * 20, b""]


class Told(dict):
    """A dict of a class of the program's own."""

    def __setitem__(self, key, obj):
        super().__setitem__(key, obj)

    def __delitem__(self, key):
        super().__delitem__(key)


class NoDict(collections.UserDict):
    """No dict at all."""


MAPS = [collections.OrderedDict, Told, NoDict, weakref.WeakValueDictionary, lambda: collections.defaultdict(int), dict]


class Producer:
    """Gives what nobody expects of a producer."""

    def __init__(self, program, channel):
        self.program, self.channel = program, channel
        self.pieces = [program.dice.choice(OUTPUT) for _ in range(program.dice.randrange(4))]

    def more(self):
        program = self.program
        program.tell(self.channel, "more")
        if program.chance(0.1):
            raise program.dice.choice([ValueError("more"), OSError(errno.EPIPE, "in more"), KeyError("x")])
        program.meddle(self.channel, 0.1)
        return self.pieces.pop(0) if self.pieces else program.dice.choice([b"", None, "", 0, ()])


class FalseProducer(Producer):
    def __bool__(self):
        return False


class Wider(wild.Program):
    """A wild program with more ways to be wild."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        if self.chance(0.35):
            self.map = self.dice.choice(MAPS)()
        self.kept = []  # what was accepted by who failed then: else its end comes when its error is forgotten
        self.begun = False  # before that it is made, and nothing may fail
        self.endless = False  # it is in a loop() that only its own end ends

    # ---- classes

    def kind(self, base):
        kind = super().kind(base)
        methods = {}
        for name in HOOKS:
            if hasattr(kind, name) and self.chance(0.1):
                methods[name] = self.around(name, getattr(kind, name))
        for name in ("readable", "writable"):
            if self.chance(0.1):
                methods[name] = self.answering(name)
        if self.chance(0.25):
            methods["__repr__"] = base.__repr__
        if self.chance(0.1):
            methods["__bool__"] = lambda _: False
        if self.chance(0.1):
            methods["__getattr__"] = self.forwarding()
        if self.chance(0.1):
            name = self.dice.choice(["connected", "accepting", "connecting", "closing"])
            methods[name] = self.dice.choice([True, False, 1, 0, None])
        if issubclass(base, self.asynchat.async_chat):
            if self.chance(0.3):
                methods |= {"use_encoding": 1, "encoding": self.dice.choice(["latin-1", "ascii"])}
            methods["ac_out_buffer_size"] = self.dice.choice([1, 3, 7, 512, 65536])
        return type("Odd", (kind,), methods)

    def around(self, name, did):
        program = self
        # In the midst of these a channel that meddles with itself would leave behind in the map what is closed.
        probability = 0 if name in ("add_channel", "del_channel", "close") else 0.1

        def method(channel, *args, **options):
            program.tell(channel, f"{name} begins")
            program.meddle(channel, probability)
            result = did(channel, *args, **options)
            program.kept.append(result)
            program.tell(channel, f"{name} ends")
            program.meddle(channel, probability)
            return result

        return method

    def answering(self, name):
        program = self

        def predicate(channel):
            if program.chance(0.04):
                errors = [OSError(errno.EBADF, "asked"), ValueError("asked"), KeyboardInterrupt("asked")]
                raise program.dice.choice([*errors, program.asyncore.ExitNow("asked")])
            answer = program.dice.choice(ANSWERS)
            program.tell(channel, name, answer)
            return answer

        return predicate

    def forwarding(self):
        """As asyncore did on Python 2."""

        def forward(channel, name):
            if name.startswith("_dispatch") or name in ("closed_as", "socket"):
                raise AttributeError(name)
            return getattr(vars(channel).get("socket"), name)

        return forward

    # ---- the course of it

    def peers_act(self):
        self.begun = True
        super().peers_act()

    def standing(self):
        return [channel.number for channel in list(self.map.values())]

    def meddle(self, channel, probability, raises=0.2):
        error = sys.exc_info()[1]
        # Who else is asked in that turn is not told alike.
        asked = error is not None and ("asked" in error.args or str(error).endswith("has no len()"))
        if self.begun and not asked and hasattr(channel, "number"):
            super().meddle(channel, probability, raises)

    def turn(self, timeout, use_poll):
        if self.depth or len(self.made) >= wild.MOST or isinstance(self.map, weakref.WeakValueDictionary):
            super().turn(timeout, use_poll)
        elif self.chance(0.2):
            self.loop(timeout, use_poll)
        else:
            super().turn(timeout, use_poll)

    def loop(self, timeout, use_poll):
        """One loop without a count, until a channel that is always ready has had enough."""
        program, left = self, [self.dice.choice([1, 2, 8])]

        class Stopper(self.asyncore.file_dispatcher):
            number = -1

            def writable(self):
                return False

            def handle_read(self):
                program.tell(self, "turn")
                left[0] -= 1
                if not left[0]:
                    raise program.asyncore.ExitNow("enough")

        reader, writer = os.pipe()
        os.write(writer, b"x")
        stopper, self.endless = Stopper(reader, self.map), True
        os.close(reader)
        try:
            self.asyncore.loop(timeout, use_poll, self.map)
        finally:
            self.endless = False
            stopper.close()
            os.close(writer)

    def do_clear(self, other):
        if not self.endless:
            super().do_clear(other)

    def do_close_all(self, other):
        if not self.endless:
            super().do_close_all(other)

    # ---- more that they do to each other

    def do_send_event(self, other):
        core = self.asyncore
        self.dice.choice([core.read, core.write, core._exception])(other)

    def do_send_flags(self, other):
        self.asyncore.readwrite(other, self.dice.choice(FLAGS))

    def do_call(self, other):
        getattr(other, self.dice.choice([*EVENTS, *HANDLERS]))()

    def do_set_flag(self, other):
        names = ["closing", "debug"]
        if hasattr(other, "writing"):  # it is asked each turn, and answers for itself
            names += ["connected", "connecting", "accepting"]
        setattr(other, self.dice.choice(names), self.chance(0.5))

    def do_connect_again(self, other):
        if self.chance(0.5):
            other.close()
        if other.socket is None or other.socket.fileno() < 0:
            other.create_socket()
            servers = [each.socket for each in self.servers if each.accepting]
            if servers:
                other.connect(servers[0].getsockname())

    def do_get_a_socket(self, other):
        if (other.socket is None or other.socket.fileno() < 0) and len(self.peers) < wild.MOST:
            near, far = socket.socketpair()
            for each in (near, far):
                each.setblocking(False)
            self.peers.append(far)
            other.set_socket(near)
            other.connected = True

    def do_set_socket_again(self, other):
        if other.socket is not None and other.socket.fileno() >= 0:
            other.del_channel()
            other.set_socket(other.socket)

    def do_add_channel(self, other):
        if other._fileno is not None:
            other.add_channel()

    def do_put_by_hand(self, other):
        if other._fileno is not None and other._map is self.map:
            self.map[other._fileno] = other

    def do_take_by_hand(self, other):
        if other._map is self.map and other._fileno in self.map:
            del self.map[other._fileno]

    def do_produce_oddly(self, other):
        odd = [
            Producer(self, other),
            Producer(self, other),
            FalseProducer(self, other),
            3,
            object,
            (),
            [b"a"],
            {},
            "text",
        ]
        odd += [self.asynchat.simple_producer(data, 3) for data in (b"abcdef", "uvwxyz", bytearray(b"12345"))]
        other.push_with_producer(self.dice.choice(odd))

    def do_push_oddly(self, other):
        other.push(self.dice.choice([*OUTPUT, 3, None, [b"x"], bytearray(), memoryview(b"viewed" * 9)]))

    def do_queue_oddly(self, other):
        way = self.dice.choice(["pop", "popleft", "clear", "rotate", "reverse"])
        if self.chance(0.3):
            other.producer_fifo = collections.deque(self.dice.choice([[], [b"n"], [b"n", None], [None]]))
        elif self.chance(0.3):
            other.producer_fifo[0] = self.dice.choice([b"first", b"", None, "text"])
        else:
            getattr(other.producer_fifo, way)()

    def do_set_input(self, other):
        before = other.ac_in_buffer
        other.ac_in_buffer = self.dice.choice([b"", b"in\nab", bytearray(b"ba\n"), before])

    def do_set_terminator_oddly(self, other):
        before = other.terminator
        other.terminator = self.dice.choice([-1, "\n", bytearray(b"a"), True, [], b"a" * 9, before])

    def do_set_output(self, other):
        before = other.out_buffer
        odd = [b"o", bytearray(b"oo"), memoryview(b"ooo"), "text", None, b"", b"k" * 70000, before]
        other.out_buffer = self.dice.choice(odd)

    def do_send_oddly(self, other):
        self.tell(other, other.send(self.dice.choice([*OUTPUT, None])))

    def do_misuse(self, other):
        if self.chance(0.3):
            way, *args = self.dice.choice([("listen", 5), ("bind", ("127.0.0.1", 0)), ("set_reuse_addr",)])
            getattr(other, way)(*args)

    def do_accept(self, other):
        pair = other.accept()
        self.tell(other, pair is None)
        if pair is not None:
            pair[0].close()

    def do_repr(self, other):
        text = self.asyncore.dispatcher.__repr__(other)
        self.tell(other, re.sub(r"0x[0-9a-f]+|\d{4,}", "#", text))

    def do_hook(self, other):
        """The class, or the object, gets another method."""
        program, owner = self, other if self.chance(0.5) else type(other)
        # One of writing would be called a turn later, where nobody had been told of that.
        name = self.dice.choice(["handle_read", "handle_close", "handle_error", "close", "send"])
        did = getattr(owner, name)

        def hook(*args):
            program.tell(other, "hook", name)
            return did(*args)

        setattr(owner, name, hook)

    def do_trace(self, other):
        try:
            _, kind, error, _ = self.asyncore.compact_traceback()
        except AssertionError as none:
            self.tell(other, *wild.told_by(none))
        else:
            self.tell(other, self.frames()[-1:], kind.__name__, str(error))


class Lines(wild.Lines):
    """Ports and addresses differ from run to run."""

    def write(self, text):
        return super().write(re.sub(r"127\.0\.0\.1:\d+|\('127\.0\.0\.1', \d+\)", "local", text))


def compare(seeds, monkeypatch):
    monkeypatch.setattr(wild, "Lines", Lines)
    old = mended(wild.theirs, wild.their_chat)
    for seed in seeds:
        dice = random.Random(seed)
        for owner, name in ((channelmap, "SMALL"), (channelmap, "CALM"), (maps, "FEW")):
            monkeypatch.setattr(owner, name, dice.choice([0, 8]))
        for more in (2, 1, 0):
            on_theirs = Wider(*old, seed, sleeps=False).run()
            on_ours = Wider(dispatch.asyncore, dispatch.asynchat, seed, sleeps=False).run()
            if on_ours == on_theirs:
                break  # as where the programs are not so wide
            assert more, wild.first_difference(seed, on_theirs, on_ours)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 400, 100))
def test_any_program_of_wider_shapes_is_told_the_same(first, monkeypatch):
    compare(range(first, first + 100), monkeypatch)
