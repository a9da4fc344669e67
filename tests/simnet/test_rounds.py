"""The test waits, and a heart beats on another connection: where no run without faults says how long that should last, it ends after days."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import simnet
from simnet.scheduling import rounds

BEAT = 600  # seconds: ten lines of the trace each, so that a look of 600 lines is ten hours


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.scheduling.storms.ENTRIES_A_LOOK", 600)
    monkeypatch.setattr("simnet.wait.ENTRIES_A_LOOK", 600)
    monkeypatch.setattr(rounds, "LOOKS_BESIDE_AWAITED", 30)


def echoes(port: int) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        while data := connection.recv(100):
            connection.sendall(data)


def beats(say: Callable[[int], bytes] = lambda number: b"beat", times: int = 1_000_000) -> int:
    with socket.create_connection(("echo", 7)) as sock:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        due = time.monotonic() + BEAT
        for number in range(times):
            if poll.poll(max(0, due - time.monotonic()) * 1_000):
                sock.recv(100)
            else:
                sock.sendall(say(number))
                due = time.monotonic() + BEAT
    return times


def says_nothing(port: int, after: float | None = None) -> None:
    with socket.create_server(("", port)) as listener, listener.accept()[0] as connection:
        connection.recv(1)
        if after is not None:
            time.sleep(after)
            connection.sendall(b"at last")
        connection.recv(1)


def waits_beside(net: Any, client: Callable[[], object], after: float | None = None) -> bytes:
    net.host("echo").spawn(echoes, 7)
    net.host("client").spawn(client)
    net.host("mute").spawn(says_nothing, 8, after)
    with socket.create_connection(("mute", 8)) as sock:
        sock.sendall(b"x")
        return sock.recv(100)


@pytest.mark.slow
def test_who_waits_beside_a_heart_that_beats_for_days_is_told() -> None:
    with pytest.raises(simnet.Deadlock, match="the same calls with the same bytes") as caught, simnet.Network() as net:
        waits_beside(net, beats)
    assert 24 * 3600 < net.time < 30 * 24 * 3600
    assert "test waits for recv on test->mute:8#1 at test_rounds.py:" in str(caught.value)


@pytest.mark.slow
def test_a_heart_may_have_a_connection_for_each_beat() -> None:
    """Then the looks are put off until it is the turn of who connects, and each of the ten is still one of its own."""

    def answers(port: int) -> None:
        with socket.create_server(("", port)) as listener:
            while True:
                with listener.accept()[0] as connection:
                    connection.sendall(connection.recv(100))

    def checks() -> None:
        while True:
            with socket.create_connection(("echo", 7)) as sock:
                sock.sendall(b"beat")
                sock.recv(100)
            time.sleep(BEAT)

    with pytest.raises(simnet.Deadlock, match="the same calls with the same bytes"), simnet.Network() as net:
        net.host("echo").spawn(answers, 7)
        net.host("client").spawn(checks)
        net.host("mute").spawn(says_nothing, 8)
        with socket.create_connection(("mute", 8)) as sock:
            sock.sendall(b"x")
            sock.recv(100)
    assert len(net.trace) > 10 * 600


@pytest.mark.slow
def test_who_waits_for_one_that_sleeps_for_months_is_not() -> None:
    with simnet.Network() as net:
        assert waits_beside(net, beats, after=90 * 24 * 3600) == b"at last"


@pytest.mark.slow
def test_a_heart_that_counts_is_not_the_same_each_time() -> None:
    """A transfer of a line now and then looks alike, but for its bytes, and may be what is waited for."""
    with simnet.Network() as net:
        net.host("echo").spawn(echoes, 7)
        client = net.host("client")
        assert client.run(beats, lambda number: b"%d" % number, 6_000) == 6_000


@pytest.mark.slow
@pytest.mark.parametrize("say", [lambda number: b"beat %d" % number, lambda number: number.to_bytes(4, "big")])
def test_but_a_heart_that_counts_for_ever_is_as_long_each_time(
    monkeypatch: pytest.MonkeyPatch, say: Callable[[int], bytes]
) -> None:
    monkeypatch.setattr(rounds, "LOOKS_BESIDE_COUNTED", 12)
    with pytest.raises(simnet.Deadlock, match="for days"), simnet.Network() as net:
        waits_beside(net, lambda: beats(say))


@pytest.mark.slow
@pytest.mark.parametrize("beside", [True, False])
def test_a_test_may_wait_for_the_last_of_many_beats_or_beat_itself(beside: bool) -> None:
    with simnet.Network() as net:
        net.host("echo").spawn(echoes, 7)
        assert (net.host("client").run(beats, times=2_000) if beside else beats(times=2_000)) == 2_000


@pytest.mark.slow
@pytest.mark.parametrize("beside", [True, False])
def test_but_not_for_one_that_beats_for_ever(beside: bool) -> None:
    with pytest.raises(simnet.Deadlock, match="the same calls with the same bytes"), simnet.Network() as net:
        net.host("echo").spawn(echoes, 7)
        if beside:
            net.host("client").run(beats)
        else:
            beats()


class Beats(asyncio.DatagramProtocol):
    """A heart that beats three times a second."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.loop = transport, asyncio.get_running_loop()
        self.beat()

    def beat(self) -> None:
        self.transport.sendto(b"beat", ("echo", 7))
        self.loop.call_later(0.3, self.beat)


async def beats_for_ever(after: float | None = None, then: Callable[[], object] = lambda: None) -> None:
    loop = asyncio.get_running_loop()
    if after is not None:
        loop.call_later(after, then)
    await loop.create_datagram_endpoint(Beats, local_addr=("0.0.0.0", 7))
    await asyncio.Event().wait()


def settles_after(after: float | None = None) -> tuple[float, list[str]]:
    done: list[str] = []
    with simnet.Network() as net:
        net.host("echo").spawn(asyncio.run, beats_for_ever())
        net.host("client").spawn(asyncio.run, beats_for_ever(after, lambda: done.append("dropped")))
        net.sleep(1)
    return net.time, done


def test_a_network_in_which_hearts_beat_by_datagrams_is_quiet_after_a_minute() -> None:
    seconds, _ = settles_after()
    assert 64 < seconds < 70


@pytest.mark.slow
def test_what_a_loop_has_put_off_beside_its_beats_comes_first() -> None:
    seconds, done = settles_after(200)
    assert done == ["dropped"]
    assert seconds < 300


def test_what_is_put_off_for_longer_than_the_end_takes_is_not_waited_for() -> None:
    seconds, done = settles_after(1_000)
    assert done == []
    assert 64 < seconds < 70


@pytest.mark.slow
def test_the_network_is_run_for_300_seconds_all_the_same() -> None:
    with simnet.Network() as net:
        net.host("echo").spawn(asyncio.run, beats_for_ever())
        net.host("client").spawn(asyncio.run, beats_for_ever())
        net.run()
        assert 299 < net.time < 302


def test_when_a_test_is_over_hearts_that_count_are_as_those_that_do_not() -> None:
    def counts(port: int) -> None:
        with socket.create_connection(("echo", port)) as sock:
            for number in range(1_000_000):
                sock.sendall(b"beat %d" % number)
                sock.recv(100)
                time.sleep(1)

    with simnet.Network() as net:
        net.host("echo").spawn(echoes, 7)
        net.host("client").spawn(counts, 7)
    # A look each 32 s; the third is the first that finds no length that the one before had not.
    assert net.time < 140
