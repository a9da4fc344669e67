"""A daemon closes whatever it does not know when it starts, and with it what a loop that ran before sleeps on.

asyncore had nothing open of its own, so that a program could list all that has to stay.
"""

from __future__ import annotations

import os
import select
import socket

import pytest

from dispatch import asyncore
from dispatch.interfaces import NVAL
from dispatch.maps import serving as maps

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux' own")

TURNS = 8  # in one call of loop(): enough for a loop of its own


class Said(asyncore.dispatcher):
    """Keeps what it has read, and whether it was told of an end."""

    def __init__(self, sock, map=None):
        super().__init__(sock, map)
        self.got = b""

    def writable(self):
        return False

    def handle_read(self):
        got = self.recv(10)
        self.got += got

    def handle_close(self):
        self.got += b"."
        self.close()


@pytest.fixture
def said():
    """One channel that has been served, in the module's own map, and its peer."""
    near, far = socket.socketpair()
    channel = Said(near)
    far.send(b"a")
    asyncore.loop(0, count=TURNS)
    assert channel.got == b"a"
    yield channel, far
    asyncore.close_all(ignore_all=True)
    far.close()


def slept_on():
    """The descriptor that the loop of the module's map sleeps on."""
    return maps.engine_of(asyncore.socket_map).poller._epoll.fileno()


@pytest.mark.parametrize("use_poll", [False, True])
def test_a_loop_goes_on_though_what_it_sleeps_on_was_closed(said, use_poll):
    channel, far = said
    os.close(slept_on())
    far.send(b"b")
    asyncore.loop(0, use_poll, count=TURNS)
    far.close()
    asyncore.loop(0, use_poll, count=TURNS)
    assert channel.got == b"ab."
    assert not asyncore.socket_map


def test_the_number_stays_whose_it_is_now(said, tmp_path):
    channel, far = said
    number = slept_on()
    with open(tmp_path / "log", "wb") as log:
        os.dup2(log.fileno(), number)
    far.send(b"b")
    asyncore.loop(0, count=TURNS)
    channel.close()
    assert channel.got == b"ab"
    assert os.write(number, b"still open") == 10
    os.close(number)


def test_who_comes_afterwards_is_served(said):
    channel, far = said
    os.close(slept_on())
    near, peer = socket.socketpair()
    new = Said(near)
    for each in (far, peer):
        each.send(b"b")
    asyncore.loop(0, count=TURNS)
    assert (channel.got, new.got) == (b"ab", b"b")
    peer.close()


def test_who_was_closed_as_well_is_told(said):
    channel, _ = said
    other, peer = socket.socketpair()
    kept = Said(other)
    asyncore.loop(0, count=TURNS)
    os.close(slept_on())
    channel.socket.close()
    peer.send(b"b")
    asyncore.loop(0, count=TURNS)
    assert (channel.got, kept.got) == (b"a.", b"b")
    peer.close()


def test_what_a_loop_is_told_of_a_descriptor_of_a_channel_is_of_that(said):
    """Refused for what it is, not because the loop has nothing to sleep on."""
    told = []
    engine = maps.engine_of(asyncore.socket_map)
    before = engine.poller
    near, far = socket.socketpair()
    gone = Said(near)
    gone.handle_close = lambda: (told.append(NVAL), gone.del_channel())
    near.close()
    asyncore.loop(0, count=TURNS)
    assert told == [NVAL]
    assert engine.poller is before
    far.close()
