"""Every single fault at every point, for a server of each class: the promises hold, and nothing else needs to be said."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch
from dispatch import asynchat, asyncore
from tests.dispatch.conftest import the_harness

simnet = the_harness()
KINDS = [kind for kind in (*simnet.TRANSPARENT, *simnet.DISRUPTIVE) if simnet.faults.drawn(kind)]


class Echo(dispatch.Stream):
    def handle_data(self, data):
        self.write(data)


class Shout(dispatch.Chat):
    terminator = b"\n"
    idle_timeout = 3600

    def handle_message(self, data):
        self.write(data.upper())
        self.write(b"\n")


class Verbs(dispatch.Dispatcher):
    """An echo that reads and writes itself."""

    def __init__(self, *args, **options):
        self.out = b""
        super().__init__(*args, **options)

    def handle_read(self):
        self.out += self.recv(100)
        self.handle_write()

    def handle_write(self):
        if self.out:
            self.out = self.out[self.send(self.out) :]
        self.writing = bool(self.out) and not self.closed

    def handle_error(self, error):
        self.abort(error)


class Generous(dispatch.Stream):
    """More goes out than comes in, and too much of it for the buffers."""

    high_water, low_water = 3000, 100

    def handle_data(self, data):
        self.write(data)
        self.write(data * 3)


class Maker(dispatch.Stream):
    """What a producer makes stands between what is written, and the close comes after all."""

    def handle_data(self, data):
        self.write(b"<")
        self.write_from(bytes([65 + number]) * 1000 for number in range(10))
        self.write(b">")
        self.close()


class Lengths(dispatch.Chat):
    """Two digits, then as many bytes."""

    terminator = 2

    def handle_message(self, data):
        if self.terminator == 2:
            self.terminator = int(data)
        else:
            self.write(b"%d:%s\n" % (len(data), data))
            self.terminator = 2


class Slow(dispatch.Stream):
    """Answers later, and reads nothing meanwhile."""

    def handle_data(self, data):
        self.pause()
        self.loop.call_later(0.01, self.answer, data)

    def answer(self, data):
        if not self.closed:
            self.write(data)
            self.resume()


class Farewell(dispatch.Stream):
    idle_timeout = 1

    def handle_data(self, data):
        self.write(data)

    def handle_idle(self, error):
        self.write(b", bye")
        self.close()


class OldEcho(asyncore.dispatcher_with_send):
    """On the drop-in, written with care: a wake-up without data is no error, the end of the input is not that of the reply."""

    ended = False

    def readable(self):
        return not self.ended

    def handle_read(self):
        data = self.recv(100)
        if data:
            self.send(data)

    def handle_write(self):
        self.initiate_send()
        if self.ended and not self.out_buffer:
            self.close()

    def handle_close(self):
        if self.out_buffer and not self.ended:
            self.ended = True
        else:
            self.close()

    def handle_error(self):
        self.close()


class OldShout(asynchat.async_chat):
    def __init__(self, sock):
        asynchat.async_chat.__init__(self, sock)
        self.set_terminator(b"\n")

    def collect_incoming_data(self, data):
        self._collect_incoming_data(data)

    def found_terminator(self):
        self.push(self._get_data().upper())
        self.push(b"\n")

    def handle_error(self):
        self.close()


class OldListener(asyncore.dispatcher):
    def __init__(self, port, handler):
        asyncore.dispatcher.__init__(self)
        self.handler = handler
        self.create_socket()
        self.set_reuse_addr()
        self.bind(("", port))
        self.listen(5)

    def handle_accepted(self, sock, addr):
        self.handler(sock)

    def handle_error(self):
        pass


def serve(handler, **options):
    with dispatch.Loop() as loop:
        dispatch.Listener(("", 7), handler, loop=loop, **options)
        loop.run()


def serve_old(handler):
    OldListener(7, handler)
    asyncore.loop()


def relay():
    """Two streams that feed each other, and hold each other back."""

    class Half(dispatch.Stream):
        other = None
        idle_timeout = 100  # seconds: the backend may fall silent

        def handle_data(self, data):
            self.other.write(data)

        def handle_eof(self):
            self.other.write_eof()

        def handle_full(self):
            self.other.pause()

        def handle_drained(self):
            self.other.resume()

        def handle_close(self, reason):
            if reason is None:
                self.other.close()
            else:
                self.other.abort(reason)

    def accepted(sock, addr, loop):
        near, far = Half(sock, addr=addr, loop=loop), Half(loop=loop)
        near.other, far.other = far, near
        far.connect(("backend", 7))

    with dispatch.Loop() as loop:
        dispatch.Listener(("", 8), accepted, loop=loop)
        loop.run()


@pytest.mark.slow
@simnet.sweep(target="server")
def test_a_stream_server_survives_everything(net):
    net.host("server").spawn(serve, Echo)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello, network")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"hello, network"


@pytest.mark.slow
@simnet.sweep(target="server")
def test_a_chat_server_survives_everything(net):
    net.host("server").spawn(serve, Shout)
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        sock.sendall(b"one\ntw")
        assert lines.readline() == b"ONE\n"
        sock.sendall(b"o\nthree\n")
        assert lines.readline() == b"TWO\n"
        sock.shutdown(socket.SHUT_WR)
        assert lines.read() == b"THREE\n"


@pytest.mark.slow
@simnet.sweep(target="server")
def test_two_clients_do_not_hurt_each_other(net):
    net.host("server").spawn(serve, Echo)
    with socket.create_connection(("server", 7)) as one, socket.create_connection(("server", 7)) as two:
        one.sendall(b"one")
        two.sendall(b"two")
        one.shutdown(socket.SHUT_WR)
        assert one.makefile("rb").read() == b"one"
        two.shutdown(socket.SHUT_WR)
        assert two.makefile("rb").read() == b"two"


@pytest.mark.slow
@simnet.sweep(target="server")
def test_a_dispatcher_of_the_drop_in_survives_everything(net):
    net.host("server").spawn(serve_old, OldEcho)
    with socket.create_connection(("server", 7)) as sock:
        sock.sendall(b"hello, network")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"hello, network"


@pytest.mark.slow
@simnet.sweep(target="server")
def test_a_chat_of_the_drop_in_survives_everything(net):
    net.host("server").spawn(serve_old, OldShout)
    with socket.create_connection(("server", 7)) as sock, sock.makefile("rb") as lines:
        sock.sendall(b"one\ntwo\n")
        assert lines.readline() == b"ONE\n"
        assert lines.readline() == b"TWO\n"


@pytest.mark.slow
@simnet.sweep(target="relay")
def test_a_relay_survives_everything(net):
    net.host("backend").spawn(serve, Echo)
    net.host("relay").spawn(relay)
    with socket.create_connection(("relay", 8)) as sock:
        sock.sendall(b"there and back")
        sock.shutdown(socket.SHUT_WR)
        assert sock.makefile("rb").read() == b"there and back"


SHAPES = {
    "verbs": (Verbs, [b"hello, network"], b"hello, network", 2000),
    "generous": (Generous, [b"x" * 5000, b"x" * 5000], b"x" * 40_000, 500),
    "producer": (Maker, [b"!"], b"<" + b"".join(bytes([65 + n]) * 1000 for n in range(10)) + b">", 500),
    "lengths": (Lengths, [b"05hello12yyyyyy", b"yyyyyy"], b"5:hello\n12:yyyyyyyyyyyy\n", 2000),
    "slow": (Slow, [b"abc", b"def"], b"abcdef", 2000),
}


LONG = ("generous", "producer", "slow")


def each_of(shapes):
    return [pytest.param(shape, marks=pytest.mark.slow) if shape in LONG else shape for shape in shapes]


@pytest.mark.slow
@pytest.mark.parametrize("shape", each_of(SHAPES))
def test_any_conversation_survives_everything(shape):
    handler, requests, answer, runs = SHAPES[shape]

    def converse(net):
        net.host("server").spawn(serve, handler)
        with socket.create_connection(("server", 7)) as sock:
            for request in requests:
                sock.sendall(request)
                time.sleep(0.05)
            if handler is not Verbs:  # there the end of the input is the end of the reply
                sock.shutdown(socket.SHUT_WR)
            reply = bytearray()
            while len(reply) < len(answer):
                piece = sock.recv(65_536)
                assert piece, f"the end after {len(reply)} bytes"
                reply += piece
            assert reply == answer

    simnet.check(converse, target="server", runs=runs)


@pytest.mark.slow
@pytest.mark.parametrize("shape", each_of(shape for shape in SHAPES if shape != "verbs"))
def test_a_reply_is_whole_or_visibly_cut_off(shape):
    """But for what no program can tell: an early end of the stream, and two urgent bytes, whose first becomes data (K-095)."""
    handler, requests, answer, _ = SHAPES[shape]

    @given(plan=simnet.strategies.fault_plans([kind for kind in KINDS if kind not in ("eof", "urgent")]))
    @settings(max_examples=150)
    def holds(plan):
        with simnet.Network(plan, target="server") as net:
            net.host("server").spawn(serve, handler)
            try:
                with socket.create_connection(("server", 7), timeout=1000) as sock:
                    for request in requests:
                        sock.sendall(request)
                    sock.shutdown(socket.SHUT_WR)
                    reply = sock.makefile("rb").read()
            except OSError:
                return
            assert reply == answer

    holds()


@pytest.mark.slow
def test_who_says_goodbye_when_idle_survives_everything():
    def converse(net):
        net.host("server").spawn(serve, Farewell)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert sock.makefile("rb").read() == b"hello, bye"

    simnet.check(converse, target="server", kinds=[kind for kind in KINDS if kind != "stall"])


@pytest.mark.slow
def test_a_limit_survives_everything():
    def converse(net):
        net.host("server").spawn(serve, Echo, limit=1)
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(socket.create_connection(("server", 7))) for _ in range(3)]
            for number, sock in enumerate(waiting):
                sock.sendall(b"%d" % number)
                sock.shutdown(socket.SHUT_WR)
                assert sock.makefile("rb").read() == b"%d" % number
                sock.close()

    simnet.check(converse, target="server")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "handler"), [(serve, Echo), (serve_old, OldEcho)], ids=["stream", "drop-in"])
def test_every_byte_comes_back_whatever_transparent_faults_do(kind, handler):
    @given(
        plan=simnet.strategies.fault_plans(simnet.TRANSPARENT),
        pieces=st.lists(st.binary(min_size=1, max_size=30_000), min_size=1, max_size=6),
    )
    @settings(max_examples=60)
    def holds(plan, pieces):
        with simnet.Network(plan) as net:
            net.host("server").spawn(kind, handler)
            with socket.create_connection(("server", 7)) as sock:
                for piece in pieces:
                    sock.sendall(piece)
                sock.shutdown(socket.SHUT_WR)
                assert sock.makefile("rb").read() == b"".join(pieces)

    holds()
