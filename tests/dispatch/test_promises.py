"""What every channel promises, whatever its handlers do and whenever: random programs of clients and a server on one loop.

The bytes that go into a stream are a fixed sequence, so each end can tell whether what arrived is how that begins.
"""

from __future__ import annotations

import os
import random
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

import dispatch
from tests.certificates import contexts
from tests.dispatch.conftest import the_harness

OFF = dict.fromkeys(("handler-raised", "listener-survives", "loop-survives", "no-spin", "one-close"), "off")
SEQUENCE = random.Random(1).randbytes(1 << 16) * 16
SIZES = (1, 10, 500, 5000, 70_000, 300_000)
SECONDS = (0.05, 0.5, 3.0)
WATER = ((0, 1), (100, 1000), (16_384, 65_536), (1000, 200_000))


class OnPurpose(Exception):
    """What a handler raises."""


class Party:
    """What the channels of one program share."""

    def __init__(self, seed: int, file: Any, tls: Any) -> None:
        self.dice = random.Random(seed)
        self.file = file
        self.inside, self.outside = tls if self.dice.random() < 0.4 else (None, None)
        self.everybody: list[Meddling] = []
        self.turn = ""  # the handler that is under way
        self.broken: list[Exception] = []  # promises
        self.loop = dispatch.Loop(debug=self.dice.random() < 0.3, poller=self.dice.choice((None, "poll", "select")))
        limit = self.dice.choice((None, None, 1, 3))
        self.listener = dispatch.Listener(
            ("127.0.0.1", 0),
            self.accepted,
            loop=self.loop,
            limit=limit,
            tls=self.inside,
            backlog=self.dice.choice((0, 100)),
        )
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            self.nobody = nobody.getsockname()

    def accepted(self, sock: Any, **options: Any) -> Meddling:
        if self.dice.random() < 0.05:
            raise OnPurpose
        return Meddling(self, sock, **options)

    def connect(self) -> None:
        if len(self.everybody) < 16:
            client = Meddling(self, loop=self.loop)
            if self.dice.random() < 0.2:
                client.pause()
            client.connect(self.listener.addr if self.dice.random() < 0.9 else self.nobody)
            if self.outside is not None and self.dice.random() < 0.5:
                client.secure()
            if client.may_write and self.dice.random() < 0.5:
                client.put()
            if self.dice.random() < 0.05:
                client.close()

    def somebody_meddles(self) -> None:
        if self.everybody:
            self.dice.choice(self.everybody).meddle()

    def play(self) -> None:
        self.loop.call_soon(self.connect)
        self.loop.call_soon(self.connect)
        for _ in range(10):
            self.loop.call_later(self.dice.random() * 4, self.somebody_meddles)
        looks = self.loop.call_every(0.5, self.nobody_is_forgotten)
        self.loop.call_later(5, looks.cancel)
        self.loop.call_later(6, self.loop.close, self.dice.choice((0.0, 0.1, 2.0)))
        began = self.loop.time()
        self.loop.run()
        assert self.loop.time() - began < 10

    def nobody_is_forgotten(self) -> None:
        peers = {each.addr: each for each in self.everybody if each.connected}
        for each in self.everybody:
            peer = peers.get(each.local)
            since = float("inf") if peer is None else max(each.asked_for_tls, peer.born)
            if since < self.loop.time() - 1 and each.connected and "secure" not in each.told:
                self.broken.append(AssertionError(f"{each.told}: the handshake was never made"))
            idle = each.connected and not each.closing and not each.queued
            if idle and each.promised < self.loop.time() - 1:
                self.broken.append(AssertionError(f"{each.told}: handle_drained never came"))


class Meddling(dispatch.Stream):
    """Does by dice what a program can do, in every handler, and looks whether it is told what it may be told."""

    def __init__(self, party: Party, sock: Any = None, **options: Any) -> None:
        dice = party.dice
        for name in ("idle_timeout", "write_timeout", "close_timeout", "connect_timeout"):
            if dice.random() < 0.3:
                setattr(self, name, dice.choice(SECONDS))
        self.low_water, self.high_water = dice.choice(WATER)
        super().__init__(sock, **options)
        self.party = party
        self.born = self.loop.time()
        self.told: list[str] = []
        self.put_in = self.came_out = 0
        self.promised = float("inf")  # when a write gave False
        self.may_write = party.inside is None
        self.asked_for_tls = float("inf")  # when
        self.local: Any = None
        party.everybody.append(self)

    def secure(self) -> None:
        self.may_write = True
        self.asked_for_tls = self.loop.time()
        self.start_tls(self.party.outside, server_hostname="server")

    def put(self) -> None:
        """Write, in one of the ways there are."""
        begin, end = self.put_in, min(self.put_in + self.party.dice.choice(SIZES), len(SEQUENCE))
        if not self.may_write or begin == end:
            return
        way = self.party.dice.randrange(5)
        if way < 2:
            took = self.write(SEQUENCE[begin:end])
        elif way == 2:
            took = self.write(bytearray(SEQUENCE[begin:end]))
        elif way == 3:
            step = max((end - begin) // 50, 1)
            took = self.write_from(SEQUENCE[at : min(at + step, end)] for at in range(begin, end, step))
        else:
            took = self.write_file(self.party.file, begin, end - begin)
        if took or (self.queued and not self.closing):  # else it is over, and what was said then is not sent
            self.put_in = end
        if not took:
            self.promised = self.loop.time()

    def meddle(self) -> None:
        party, dice = self.party, self.party.dice
        for _ in range(dice.choice((0, 0, 1, 1, 2))):
            other = dice.choice((self, self, dice.choice(party.everybody)))
            what = dice.randrange(32)
            if what < 12:
                other.put()
            elif what < 15:
                other.pause()
            elif what < 21:
                other.resume()
            elif what == 21 and party.inside is None:
                other.may_write = False
                other.write_eof()
            elif what == 22:
                other.may_write = False
                other.close()
            elif what == 23 and dice.random() < 0.4:
                other.abort()
            elif what == 24:
                other.touch()
            elif what == 25 and party.turn and dice.random() < 0.4:
                raise OnPurpose
            elif what == 26 and dice.random() < 0.1:
                party.loop.close(dice.choice((0.0, 0.01, 1.0)))
            elif what == 27:
                (party.listener.pause if dice.random() < 0.3 else party.listener.resume)()
            elif what < 31 and not party.loop.closed:
                party.connect()

    def hear(self, what: str) -> None:
        party = self.party
        assert not party.turn, f"{what} within {party.turn}"
        assert "close" not in self.told or what == "error", self.told
        self.told.append(what)
        party.turn = what
        try:
            self.meddle()
        finally:
            party.turn = ""

    def handle_connect(self) -> None:
        assert "connect" not in self.told
        self.local = self.socket.getsockname()
        if self.party.outside is not None and not self.may_write:
            self.secure()
        self.hear("connect")

    def handle_secure(self) -> None:
        assert "secure" not in self.told
        self.may_write = True
        self.put()
        self.hear("secure")

    def handle_data(self, data: bytes) -> None:
        assert data == SEQUENCE[self.came_out : self.came_out + len(data)]
        assert not self.paused
        assert "eof" not in self.told
        self.came_out += len(data)
        self.hear("data")

    def handle_eof(self) -> None:
        assert not self.paused
        assert "eof" not in self.told
        self.hear("eof")
        if self.party.dice.random() < 0.7:
            super().handle_eof()

    def handle_full(self) -> None:
        assert [each for each in self.told if each in ("full", "drained")][-1:] != ["full"]
        self.hear("full")

    def handle_drained(self) -> None:
        assert self.queued <= self.low_water
        self.promised = float("inf")
        self.hear("drained")

    def handle_idle(self, error: dispatch.Timeout) -> None:
        self.hear("idle")
        if self.party.dice.random() < 0.6:
            super().handle_idle(error)

    def handle_close(self, reason: BaseException | None) -> None:
        assert self.closed
        self.hear("close")

    def handle_error(self, error: Exception) -> None:
        if not isinstance(error, OnPurpose):
            self.party.broken.append(error)
        self.abort(error)


@pytest.fixture(scope="module")
def file() -> Iterator[Any]:
    with tempfile.TemporaryFile() as made:
        made.write(SEQUENCE)
        made.flush()
        yield made


@pytest.fixture(scope="module")
def tls() -> Any:
    return contexts("server")


def keeps_its_promises(seed: int, file: Any, tls: Any) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    with the_harness().Network(seed=seed, invariants=OFF):
        party = Party(seed, file, tls)
        party.play()
        if party.broken:
            raise party.broken[0]
    assert not party.loop.channels
    clients = {each.local: each for each in party.everybody if each.local}
    for each in party.everybody:
        assert each.told.count("close") == 1, each.told
        if each.addr in clients:
            for source, target in ((each, clients[each.addr]), (clients[each.addr], each)):
                assert target.came_out <= source.put_in
                if "eof" in target.told:
                    assert target.came_out == source.put_in, "an end that is none"
    assert not before or len(os.listdir("/proc/self/fd")) == before


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 50))
def test_whatever_handlers_do_a_channel_keeps_its_promises(first, file, tls):
    for seed in range(first, first + 50):
        keeps_its_promises(seed, file, tls)
