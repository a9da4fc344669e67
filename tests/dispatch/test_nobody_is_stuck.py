"""Whatever handlers do, in whatever order: when all is said, and one end closes, the other hears of it.

Two streams talk to each other. Their handlers write, hold themselves and each other back, half-close and close by dice; then they
fall silent, and one end closes. A stream that lives on has forgotten to read, or to send, or to close.
"""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest

import dispatch
from dispatch.chat import Chat
from tests.dispatch.conftest import the_harness
from tests.dispatch.test_tls import authority, client_context, server_context

__all__ = ["authority", "client_context", "server_context"]  # fixtures

OFF = dict.fromkeys(("handler-raised", "loop-survives", "nothing-left", "one-close", "silence-after-close"), "off")
SILENT, CLOSES, LONGEST = 5.0, 10.0, 60.0  # seconds


class Busy(dispatch.Stream):
    """Does by dice what a handler can do."""

    dice: random.Random
    other: Busy
    said: bytearray
    heard: bytearray
    full = done = False
    ends = 0

    def act(self) -> None:
        if self.done:
            return
        dice, what = self.dice, self.dice.randrange(12)
        if what < 5:
            self.say(dice.choice((1, 100, 3000, 20_000, 100_000, 400_000)))
        elif what == 5:
            self.pause()
            self.loop.call_later(dice.random(), self.resume)
        elif what == 6:
            self.other.pause()
            self.loop.call_later(dice.random() / 10, self.other.resume)
        elif what == 7 and dice.random() < 0.3 and self.tls is None:
            self.done = True
            self.write_eof()
        elif what == 8 and dice.random() < 0.2:
            self.end()
        elif what == 9:
            self.loop.call_later(dice.random() / 5, self.act)

    def say(self, size: int) -> None:
        data = self.dice.randbytes(size)
        pieces = [data[at : at + 5000] for at in range(0, size, 5000)]
        self.said += data
        what = self.dice.randrange(3)
        if what == 0:
            self.write(data)
        elif what == 1:
            self.write_from(pieces)
        else:
            for piece in pieces:
                self.write(piece)

    def end(self) -> None:
        self.done = True
        self.resume()
        self.close()

    def handle_data(self, data: bytes) -> None:
        self.heard += data
        self.act()

    def handle_full(self) -> None:
        assert not self.full
        self.full = True
        self.act()

    def handle_drained(self) -> None:
        self.full = False
        self.act()

    def handle_eof(self) -> None:
        if self.dice.random() < 0.7:
            self.end()
        else:
            self.loop.call_later(1, self.end)

    def handle_error(self, error: Exception) -> None:
        raise error

    def handle_close(self, reason: BaseException | None) -> None:
        self.done = True
        self.ends += 1


class BusyChat(Busy, Chat):
    """The same, with messages of changing lengths."""

    terminator: bytes | int | None = None
    handle_data = Chat.handle_data

    def handle_message(self, data: bytes) -> None:
        Busy.handle_data(self, data)
        if self.dice.random() < 0.1:
            self.terminator = self.dice.choice((None, 1, 3, 1000))


def pair(dice: random.Random) -> tuple[Any, Any]:
    """TCP or Unix."""
    if dice.random() < 0.5:
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opener = socket.create_connection(listener.getsockname())
        return opener, listener.accept()[0]


def talk(seed: int, contexts: tuple[Any, Any] | None) -> None:
    dice = random.Random(seed)
    with the_harness().Network(invariants=OFF), dispatch.Loop() as loop:
        ends = []
        for sock in pair(dice):
            limits = {
                "dice": dice,
                "high_water": dice.choice((1000, 65_536)),
                "low_water": dice.choice((0, 500, 1000)),
            }
            end = type("End", (dice.choice((Busy, BusyChat)),), limits)(sock, loop=loop)
            end.said, end.heard = bytearray(), bytearray()
            ends.append(end)
        first, second = ends
        first.other, second.other = second, first
        if contexts is not None:
            first.start_tls(contexts[0], server_side=True)
            second.start_tls(contexts[1], server_hostname="localhost")
        first.say(10)
        for _ in range(dice.randrange(1, 6)):
            loop.call_later(dice.random(), dice.choice(ends).act)
        for end in ends:
            loop.call_later(SILENT, setattr, end, "done", True)
        loop.call_later(CLOSES, first.end)
        loop.call_later(LONGEST, loop.stop)
        loop.run()

        for end in ends:
            assert end.closed, (seed, end)
            assert end.ends == 1, seed
            assert end.other.said.startswith(end.heard), seed


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in (1000, 2000))])
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_when_one_end_closes_the_other_hears_of_it(first, tls, server_context, client_context):
    for seed in range(first, first + (10 if first == 0 else 200)):
        talk(seed, (server_context, client_context) if tls else None)
