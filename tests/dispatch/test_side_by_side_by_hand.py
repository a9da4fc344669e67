"""Channels that a program made or put into a map by hand, past ``__init__`` or ``add_channel``: they are served like any other."""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import threading
import warnings

import pytest

from dispatch.maps import serving
from tests.dispatch.test_side_by_side_oddities import alike

ENOUGH = 300_000  # bytes, of each that is relayed: more than the kernel takes at once


@contextlib.contextmanager
def two_pairs():
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(each) for _ in range(2) for each in socket.socketpair()]


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("kind", ["chat", "with_send"])
@pytest.mark.parametrize(
    "how", ["of another map", "of no map", "of no number", "under its socket", "moved to the module's"]
)
def test_what_a_channel_is_given_to_send_leaves_whatever_map_it_stands_in(how, kind, use_poll):
    if use_poll and how == "under its socket":
        pytest.skip("poll2() never served such a channel")

    def program(asyncore, asynchat):
        channels = asyncore.socket_map if how == "moved to the module's" else {}

        class Relay(asynchat.async_chat if kind == "chat" else asyncore.dispatcher_with_send):
            def handle_read(self):
                if data := self.recv(10):
                    (self.other.push if kind == "chat" else self.other.send)(data * ENOUGH)

            def handle_close(self):
                channels.clear()

        def converse():
            heard = bytearray()
            with contextlib.suppress(TimeoutError):
                theirs.sendall(b"abc")
                while len(heard) < 3 * ENOUGH and (data := others.recv(1 << 20)):
                    heard.extend(data)
            said.append(len(heard))
            theirs.shutdown(socket.SHUT_WR)

        said = []
        with two_pairs() as (one, theirs, other, others):
            others.settimeout(5)
            relays = Relay(one, {}), Relay(other, {})
            for relay, mate in zip(relays, reversed(relays), strict=True):
                relay.other = mate
                channels[relay.socket if how == "under its socket" else relay._fileno] = relay
                if how in ("of no map", "of no number"):
                    delattr(relay, "_map" if how == "of no map" else "_fileno")
            peer = threading.Thread(target=converse)
            peer.start()
            asyncore.loop(30, use_poll, channels)  # as long as its default
            peer.join()
        return said

    assert alike(program) == [3 * ENOUGH]


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("count", [3, 9])
def test_a_class_that_puts_itself_into_the_map_need_not_call_the_constructor(count, use_poll):
    def program(asyncore, asynchat):
        told = []

        class Bare(asyncore.dispatcher):
            def __init__(self, sock):
                sock.setblocking(False)
                self.socket, self._fileno = sock, sock.fileno()
                asyncore.socket_map[self._fileno] = self

            def handle_accept(self):
                sock, _ = self.accept()
                told.append("accept")
                Bare(sock).connected = True

            def handle_connect(self):
                told.append("connect")

            def handle_write(self):
                pass

            def handle_read(self):
                told.append(self.recv(10))

            def handle_close(self):
                told.append("close")
                del asyncore.socket_map[self._fileno]
                self.socket.close()

        class Line(asynchat.async_chat):
            def __init__(self, sock):
                self.socket, self._fileno, self.connected = sock, sock.fileno(), True
                self.ac_in_buffer, self.incoming, self.producer_fifo = b"", [], collections.deque()
                self.set_terminator(b"\n")
                asyncore.socket_map[self._fileno] = self

            collect_incoming_data = asynchat.async_chat._collect_incoming_data

            def found_terminator(self):
                self.push(self._get_data().upper())

        with two_pairs() as (_, _, near, far), socket.socket() as listener, socket.socket() as client:
            listener.bind(("127.0.0.1", 0))
            server = Bare(listener)
            server.listen(5)
            Bare(client).connect(listener.getsockname())
            Line(near)
            far.send(b"a\nb\n")
            for _ in range(3):
                asyncore.loop(0.05, use_poll, count=count)
            client.close()
            told.append(far.recv(10))
            asyncore.socket_map.clear()
        return [each for number, each in enumerate(told) if each not in told[:number]]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert sorted(map(str, alike(program))) == ["accept", "b'AB'", "connect"]


def test_a_listener_in_a_map_by_hand_rests_when_nothing_can_be_accepted(monkeypatch):
    import dispatch.asyncore as asyncore

    channels, seen = {}, []

    class Server(asyncore.dispatcher):
        def accept(self):
            serving.rest(self)
            seen.append(serving.engine_of(channels)._guests[self._fileno].resting)
            del channels[self._fileno]

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        server = Server(listener, {})
        server.listen(5)
        channels[server._fileno] = server
        asyncore.loop(0.05, False, channels)
    assert seen == [True]


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("own_map", [True, False])
@pytest.mark.parametrize("kind", ["plain", "with_send", "asked", "chat"])
def test_a_socket_that_is_put_by_hand_in_the_place_of_one_that_was_closed_is_heard_in_the_next_turn(
    kind, own_map, use_poll
):
    """As who connects anew does that forgets set_socket(): the number is the old one again, mostly, and so the map is right."""

    def program(asyncore, asynchat):
        channels = {} if own_map else asyncore.socket_map
        told, turns, peers = [], [], []

        class Clock(asyncore.dispatcher):
            def readable(self):
                turns.append(len(turns))
                if len(turns) == 20:
                    peers[0].send(b"anew\n")
                return False

            def writable(self):
                return False

        class Client(
            asynchat.async_chat
            if kind == "chat"
            else asyncore.dispatcher_with_send
            if kind == "with_send"
            else asyncore.dispatcher
        ):
            def hear(self, data):
                told.append((len(turns), data))
                if len(told) == 1:
                    number = self.socket.fileno()
                    self.socket.close()
                    near, far = socket.socketpair()
                    peers.append(far)
                    if near.fileno() != number:
                        os.dup2(near.fileno(), number)
                        near.close()
                        near = socket.socket(fileno=number)
                    near.setblocking(False)
                    self.socket = near
                    far.send(b"again\n")

            if kind == "chat":
                collect_incoming_data = hear

                def found_terminator(self):
                    """It is one in any case."""

            else:

                def handle_read(self):
                    self.hear(self.recv(10))

            if kind == "asked":

                def readable(self):
                    return True

                def writable(self):
                    return False

            def handle_write(self):
                """Nothing to say."""

        with two_pairs() as (near, far, other, _):
            peers.append(far)
            client = Client(near, channels)
            if kind == "chat":
                client.set_terminator(b"\n")
            clock = Clock(other, channels)
            asyncore.loop(0, use_poll, channels, 30)
            for each in (client, clock, *peers):
                each.close()
        channels.clear()
        return told

    assert len(alike(program)) == 2
