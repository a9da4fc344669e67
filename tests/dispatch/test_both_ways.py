"""The turn that is written out and the general one: random programs behave alike, event for event and byte for byte.

Debug mode takes the general one for every channel. So each program, three streams whose handlers write, close, pause and fail, their
own and each other's, and whose peers send, read, hang up and reset, is played in both modes over simulated sockets.
"""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest

import dispatch
from tests.dispatch.conftest import World, the_harness

OFF = dict.fromkeys(("handler-raised", "listener-survives", "loop-survives", "no-spin", "one-close"), "off")
STEPS = 14
LENGTHS = (1, 2, 64, 64, 64, 447, 448, 449, 700, 66_000)


class Meddling(dispatch.Stream):
    """Does by dice what a handler can do, and tells what it is told."""

    high_water, low_water = 2000, 500
    lengths: tuple[int, ...] = LENGTHS
    dice: random.Random
    told: list[Any]
    all: list[Meddling]

    def tell(self, *what: Any) -> None:
        self.told.append((self.all.index(self), *what))

    def handle_data(self, data: bytes) -> None:
        self.tell("data", data)
        for _ in range(self.dice.choice((0, 1, 1, 1, 2, 3))):
            self.meddle()

    def meddle(self) -> None:
        dice = self.dice
        other = dice.choice((self, dice.choice(self.all)))
        what = dice.randrange(20)
        if what < 9:
            self.tell("wrote", other.write(b"%d" % what * dice.choice(self.lengths)))
        elif what < 11:
            other.write(bytearray(b"copied"))
        elif what == 11:
            other.write(b"")
        elif what == 12 and dice.random() < 0.2:
            other.write_from([b"made", b"", b"piece by piece"])
        elif what == 13:
            other.pause()
        elif what == 14:
            other.resume()
        elif what == 15 and dice.random() < 0.5:
            other.write_eof()
        elif what == 16 and dice.random() < 0.5:
            other.write(b"bye")
            other.close()
        elif what == 17 and dice.random() < 0.3:
            other.abort()
        elif what == 18 and dice.random() < 0.1:
            other.touch()
        elif what == 19 and dice.random() < 0.3:
            raise ValueError("on purpose")

    def handle_error(self, error: Exception) -> None:
        self.tell("error", str(error))
        self.abort(error)

    def handle_eof(self) -> None:
        self.tell("eof")
        super().handle_eof()

    def handle_full(self) -> None:
        self.tell("full")

    def handle_drained(self) -> None:
        self.tell("drained")
        self.meddle()

    def handle_urgent(self, data: bytes) -> None:
        self.tell("urgent", data)

    def handle_close(self, reason: BaseException | None) -> None:
        self.tell("closed", type(reason), self.bytes_received, self.bytes_sent)


def meddle(dice: random.Random, peer: socket.socket, got: list[Any], lengths: tuple[int, ...] = LENGTHS) -> None:
    """What a peer can do."""
    what = dice.randrange(14)
    try:
        if what < 9:
            peer.send(b"x" * dice.choice(lengths))
        elif what < 11:
            got.append(peer.recv(dice.choice((1, 3000, 1 << 20))))
        elif what == 11 and dice.random() < 0.3:
            peer.send(b"!", socket.MSG_OOB)
        elif what == 12 and dice.random() < 0.2:
            peer.shutdown(socket.SHUT_WR)
        elif what == 13 and dice.random() < 0.2:
            peer.close()
    except OSError as error:
        got.append(error.errno)


def played(seed: int, *, debug: bool) -> list[Any]:
    """All that the streams and their peers were told."""
    dice = random.Random(seed)
    told: list[Any] = []
    kind = type("Kind", (Meddling,), {"dice": dice, "told": told, "all": []})
    with the_harness().Network(invariants=OFF):
        world = World("epoll")
        with dispatch.Loop(debug=debug) as loop:
            peers = []
            for _ in range(3):
                peer, near = world.pair()
                peer.setblocking(False)
                peers.append(peer)
                kind.all.append(kind(near, loop=loop))
            for _ in range(STEPS):
                for _ in range(dice.randrange(1, 7)):
                    meddle(dice, dice.choice(peers), told)
                loop.run_once(0)
                told.append([(each.queued, each.paused, each.closed) for each in kind.all])
        world.end()
    return told


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.slow) for first in (1000, 2000))])
def test_the_turn_that_is_written_out_does_what_the_general_one_does(first):
    for seed in range(first, first + (25 if first == 0 else 250)):
        assert played(seed, debug=False) == played(seed, debug=True), seed
