"""What handlers are told is the same over the kernel's sockets and over simulated ones, on each poller, turn for turn.

Random programs: streams, chats and dispatchers whose handlers write, close, pause and fail, their own and each other's, and whose peers
send, read, hang up, reset and send urgent bytes. What is sent is small: how fast a kernel takes more is its own affair.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from typing import Any

import pytest

import dispatch
from tests.dispatch.conftest import SIMULATED, World, the_harness
from tests.dispatch.test_both_ways import OFF, Meddling, meddle

STEPS = 14
SMALL = (1, 2, 64, 64, 447, 449, 700, 5000)
ARRIVAL = 0.0005  # seconds that a real kernel has to bring everything where it goes


class Streaming(Meddling):
    lengths = SMALL


class Chatting(Streaming, dispatch.Chat):
    terminator = b"x0"
    max_message = 3000

    def handle_data(self, data: bytes) -> None:
        dispatch.Chat.handle_data(self, data)

    def handle_message(self, data: bytes) -> None:
        self.tell("message", data)
        for _ in range(self.dice.choice((0, 1, 1, 2))):
            self.meddle()
        if self.dice.random() < 0.2:
            self.set_terminator(self.dice.choice((b"x", b"\n", 1, 7, None, b"xxxx0", 3000)))

    def handle_too_long(self, error: Exception) -> None:
        self.tell("too long", str(error))
        if self.dice.random() < 0.5:
            self.abort(error)


class Reading(dispatch.Dispatcher):
    """Does itself what a stream does, and can be told the same by its neighbours."""

    dice: random.Random
    told: list[Any]
    all: list[Any]
    tell = Meddling.tell

    def __init__(self, sock: socket.socket, loop: dispatch.Loop) -> None:
        self.out = b""
        super().__init__(sock, loop=loop)

    @property
    def queued(self) -> int:
        return len(self.out)

    @property
    def paused(self) -> bool:
        return not self.reading

    def write(self, data: bytes) -> bool:
        if not self.closed:
            self.out += data
            self.writing = True
        return True

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def nothing(self, *args: Any) -> None:
        pass

    write_eof = write_from = touch = nothing

    def meddle(self) -> None:
        what = self.dice.randrange(14)
        other = self.dice.choice((self, self.dice.choice(self.all)))
        if what < 8:
            other.write(b"%d" % what * self.dice.choice(SMALL))
        elif what < 10:
            self.dice.choice((other.pause, other.resume))()
        elif self.dice.random() < 0.2:
            self.dice.choice((other.close, other.abort))()
        elif self.dice.random() < 0.1:
            raise ValueError("on purpose")

    def handle_read(self) -> None:
        data = self.recv(self.dice.choice((1, 100, 65536)))
        self.tell("read", data)
        if data:
            self.meddle()

    def handle_write(self) -> None:
        sent = self.send(self.out)
        self.tell("sent", sent)
        self.out = self.out[sent:]
        self.writing = bool(self.out)
        self.meddle()

    def handle_expt(self) -> None:
        self.tell("urgent", self.recv_urgent() if self.dice.random() < 0.5 else None)

    def handle_error(self, error: Exception) -> None:
        self.tell("error", str(error))
        self.abort(error)

    def handle_close(self, reason: BaseException | None) -> None:
        self.tell("closed", type(reason))


def played(seed: int, poller: str, *, simulated: bool) -> list[Any]:
    """All that the channels and their peers were told."""
    dice = random.Random(seed)
    told: list[Any] = []
    shared: dict[str, Any] = {"dice": dice, "told": told, "all": []}
    kinds = [type("Kind", (base,), dict(shared)) for base in (Streaming, Chatting, Reading)]
    with the_harness().Network(invariants=OFF) if simulated else contextlib.nullcontext():
        world = World(poller)
        with world.loop() as loop:
            peers = []
            for _ in range(3):
                peer, near = dice.choice((world.pair, world.unix_pair))()
                peer.setblocking(False)
                if peer.family == socket.AF_INET:
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peers.append(peer)
                shared["all"].append(dice.choice(kinds)(near, loop=loop))
            for _ in range(STEPS):
                for _ in range(dice.randrange(1, 5)):
                    meddle(dice, dice.choice(peers), told, SMALL)
                if not simulated:
                    time.sleep(ARRIVAL)
                ready = loop.run_once(0)
                told.append((ready, [(each.queued, each.paused, each.closed) for each in shared["all"]]))
        world.end()
    return told


@pytest.mark.slow
@pytest.mark.parametrize("poller", [name for name in SIMULATED if hasattr(select, name)])
def test_a_handler_is_told_the_same_over_real_sockets_and_over_simulated_ones(poller):
    for seed in range(60):
        simulated = played(seed, poller, simulated=True)
        for more in (2, 1, 0):
            if played(seed, poller, simulated=False) == simulated:
                break  # a machine that was busy elsewhere does not do so three times
            assert more, seed
