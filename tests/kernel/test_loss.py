"""Paths that lose: retransmission, probes, keepalive, time-outs, and orphans' last words."""

from __future__ import annotations

from collections.abc import Callable
from errno import EINPROGRESS, ETIMEDOUT
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from simnet.kernel import Notice, Packet, Segment, TcpSocket
from simnet.kernel.tcp.guard import GIVE_UP_NS
from simnet.kernel.tcp.window import PROBED_LATER_NS, PROBED_NS, next_probe_ns
from tests.kernel.conftest import Fabric, fails, mask, stack_of

SO_ERROR = (1, 4)
LATENCY = 5_000_000


def lossy_pair(drop: Callable[[Packet], bool] | None = None) -> tuple[Fabric, TcpSocket, TcpSocket]:
    """Two hosts with a path that may lose, 5 ms each way."""
    fabric = Fabric(LATENCY)
    client, server = fabric.stack("10.0.0.1"), fabric.stack("10.0.0.2")
    client.lossy, server.lossy = {"10.0.0.2"}, {"10.0.0.1"}
    assert client.lossy is not None
    _, a, c = fabric.pair(client, server)
    fabric.run(1)
    fabric.drop = drop
    return fabric, a, c


def armed(fabric: Fabric) -> int:
    return sum(not entry[4].cancelled for entry in fabric.clock.heap)


def test_a_lossy_path_acknowledges_and_then_rests() -> None:
    fabric, a, c = lossy_pair()
    a.send(b"hello")
    assert a.ioctl(0x5411) == 5  # SIOCOUTQ counts what is not acknowledged
    fabric.run(0.1)
    assert (c.recv(9), a.ioctl(0x5411)) == (b"hello", 0)
    assert fabric.segments()[-2:] == ["ACK:5", "ACK:0"]
    assert armed(fabric) == 0


def test_a_lost_segment_comes_again_after_the_rto() -> None:
    fabric, a, c = lossy_pair()
    lose = iter([True])
    fabric.drop = lambda packet: next(lose, False)
    a.send(b"hello")
    fabric.run(0.2)
    assert mask(c) == "OUT"
    fabric.run(0.1)  # RTO: 200 ms and a round trip of 10
    assert c.recv(9) == b"hello"


def test_the_retransmission_timer_backs_off_until_etimedout() -> None:
    fabric, a, _ = lossy_pair()
    times: list[float] = []

    def drop(packet: Packet) -> bool:
        times.append(fabric.clock.now_ns / 1e9)
        return True

    fabric.drop = drop
    start = fabric.clock.now_ns
    a.send(b"x")
    fabric.run(1200)
    waits = [round(later - earlier, 2) for earlier, later in pairwise(times)]
    assert waits[:5] == [0.21, 0.21, 0.42, 0.84, 1.68]  # the first is a tail loss probe
    assert max(waits) == 120
    assert a.getsockopt(*SO_ERROR) == ETIMEDOUT
    assert GIVE_UP_NS < (times[-1] + 120) * 1e9 - start < GIVE_UP_NS + 240e9


def test_a_way_that_has_become_longer_is_waited_for_longer() -> None:
    """RFC 6298: a sample counts an eighth in the mean, and what it is off the mean a quarter in the variance."""
    fabric, a, _ = lossy_pair()
    mean, variance = 0.010, 0.005  # of the handshake
    fabric.latency_ns = 90_000_000
    for _ in range(2):
        a.send(b"x")
        fabric.run(1)
        mean, variance = (7 * mean + 0.180) / 8, (3 * variance + abs(mean - 0.180)) / 4
    assert 4 * variance > 0.200
    times = times_of(fabric, lambda packet: True)
    a.send(b"y")
    fabric.run(1)
    assert times[2] - times[1] == pytest.approx(mean + 4 * variance, abs=0.001)  # from the probe on


def test_tcp_user_timeout_ends_it_earlier() -> None:
    fabric, a, _ = lossy_pair(lambda packet: True)
    a.setsockopt(6, 18, 3000)
    a.send(b"x")
    fabric.run(3.2)
    assert mask(a) == "OUT"
    fabric.run(0.3)  # 3 s from the first retransmission at 0.42, which follows a probe
    assert a.getsockopt(*SO_ERROR) == ETIMEDOUT


def times_of(fabric: Fabric, lose: Callable[[Packet], bool]) -> list[float]:
    """When segments with data go out from now on, in seconds; *lose* says which are lost."""
    start = fabric.clock.now_ns
    times: list[float] = []

    def drop(packet: Packet) -> bool:
        if isinstance(packet, Segment) and packet.payload:
            times.append(round((fabric.clock.now_ns - start) / 1e9, 3))
        return lose(packet)

    fabric.drop = drop
    return times


def test_the_tail_of_several_is_probed_after_two_round_trips() -> None:
    fabric, a, _ = lossy_pair()
    times = times_of(fabric, lambda packet: True)
    a.send(b"1")
    a.send(b"2")
    fabric.run(1)
    assert times == [0, 0, 0.028, 0.238, 0.658]  # the probe, and then the timer from its beginning


def test_a_probe_that_arrives_tells_of_the_hole_before_it() -> None:
    fabric, a, c = lossy_pair()
    lost = iter([True, True, True])
    times = times_of(fabric, lambda packet: bool(packet.payload) and next(lost, False))  # type: ignore[union-attr]
    for part in (b"1", b"2", b"3"):
        a.send(part)
    fabric.run(1)
    assert c.recv(9) == b"123"
    assert times == [0, 0, 0, 0.028, 0.038, 0.048]


def test_nothing_new_goes_out_once_the_timer_has_run_out() -> None:
    fabric, a, c = lossy_pair()
    cut = [True]
    times = times_of(fabric, lambda packet: cut[0])
    a.send(b"1")
    fabric.run(0.3)  # a probe
    a.send(b"2")  # goes out, and has a timer of its own
    fabric.run(0.3)
    a.send(b"3")
    fabric.run(0.1)
    assert times == [0, 0.21, 0.3, 0.42]
    cut[0] = False
    fabric.run(1)
    assert c.recv(9) == b"123"


def test_three_duplicate_acknowledgements_mend_a_hole_at_once() -> None:
    fabric, a, c = lossy_pair()
    lose = iter([True])
    fabric.drop = lambda packet: bool(packet.payload) and next(lose, False)  # type: ignore[union-attr]
    for part in (b"1", b"2", b"3", b"4"):
        a.send(part)
    fabric.run(0.021)  # two round trips
    assert c.recv(9) == b"1234"


def test_several_holes_are_mended_one_a_round_trip() -> None:
    fabric, a, c = lossy_pair()
    lost = {2, 4}
    fabric.drop = lambda packet: isinstance(packet, Segment) and packet.seq in lost and not lost.discard(packet.seq)
    for part in (b"1", b"2", b"3", b"4", b"5", b"6"):
        a.send(part)
    fabric.run(0.04)
    assert c.recv(9) == b"123456"


def test_duplicates_are_acknowledged_and_not_delivered_twice() -> None:
    fabric, a, c = lossy_pair()
    a.send(b"hello")
    packet = fabric.out[0]
    fabric.run(0.1)
    c.stack.arrive(packet)
    fabric.run(0.1)
    assert c.recv(99) == b"hello"
    overlap = Segment(a.local, a.peer, 0x110, 5, 2, 0, b"lo!", a.stack)  # type: ignore[arg-type]
    c.stack.arrive(overlap)
    assert c.recv(99) == b"!"


def test_segments_that_overtake_wait_for_their_turn() -> None:
    fabric, a, c = lossy_pair()
    for part in (b"1", b"2", b"3"):
        a.send(part)
    a.shutdown(1)
    packets = list(fabric.out)
    fabric.out.clear()
    for packet in (packets[3], packets[2], packets[1]):
        c.stack.arrive(packet)
    assert mask(c) == "OUT"
    c.stack.arrive(packets[0])
    assert (c.recv(9), mask(c)) == (b"123", "IN|OUT|RDHUP")


def test_a_lost_window_update_is_found_by_probing() -> None:
    fabric, a, c = lossy_pair()
    c.setsockopt(1, 8, 4096)
    total = a.send(bytes(300_000))
    fabric.run(1)
    fabric.drop = lambda packet: packet.source[0] == "10.0.0.2"
    got = len(c.recv(300_000))
    fabric.run(0.05)
    fabric.drop = None
    for _ in range(400):
        fabric.run(0.5)
        if c.unread:
            got += len(c.recv(300_000))
    assert got == total
    assert armed(fabric) == 0


@pytest.mark.parametrize("since_ns", [0, 3_600_000_000_000])
def test_how_long_a_window_has_been_shut_says_when_it_is_asked_for(since_ns: int) -> None:
    times = [since_ns]
    while len(times) < len(PROBED_NS) + 3:
        times.append(next_probe_ns(since_ns, times[-1]))
    assert [each - since_ns for each in times[1:-2]] == list(PROBED_NS)
    assert {later - earlier for earlier, later in pairwise(times[-3:])} == {PROBED_LATER_NS}


def test_an_unanswered_probe_times_out() -> None:
    fabric, a, _ = lossy_pair()
    a.send(bytes(300_000))
    fabric.run(1)
    fabric.drop = lambda packet: True
    fabric.run(1500)
    assert a.getsockopt(*SO_ERROR) == ETIMEDOUT


def test_a_shut_window_that_answers_probes_is_waited_for_without_end() -> None:
    fabric, a, c = lossy_pair()
    a.send(bytes(300_000))
    fabric.run(3000)
    assert (mask(a), c.unread) == ("OUT", 127_973)


def test_keepalive_finds_a_dead_peer() -> None:
    fabric, a, _ = lossy_pair()
    for name, value in ((4, 10), (5, 2), (6, 3)):
        a.setsockopt(6, name, value)
    a.setsockopt(1, 9, 1)
    a.send(b"x")
    fabric.run(25)  # the peer answers a probe at 10 and 20 s
    assert mask(a) == "OUT"
    fabric.drop = lambda packet: True
    fabric.run(20)  # at most 10 s of silence, and 3 probes 2 s apart
    assert a.getsockopt(*SO_ERROR) == ETIMEDOUT
    assert armed(fabric) == 0


def test_keepalive_may_be_turned_off_and_waits_while_data_is_out() -> None:
    fabric, a, _ = lossy_pair()
    a.setsockopt(6, 4, 1)
    a.setsockopt(1, 9, 1)
    fabric.drop = lambda packet: True
    a.send(b"x")
    fabric.run(30)
    assert mask(a) == "OUT"
    a.setsockopt(1, 9, 0)
    fabric.run(30)
    assert (a.getsockopt(1, 9), mask(a)) == (0, "OUT")


def test_keepalive_with_a_user_timeout_counts_silence() -> None:
    fabric, a, _ = lossy_pair()
    for name, value in ((4, 5), (5, 1), (6, 100), (18, 8000)):
        a.setsockopt(6, name, value)
    a.setsockopt(1, 9, 1)
    fabric.drop = lambda packet: True
    fabric.run(9.5)
    assert a.getsockopt(*SO_ERROR) == ETIMEDOUT


def test_keepalive_set_before_connect_starts_with_the_connection() -> None:
    fabric = Fabric(LATENCY)
    client, server = fabric.stack("10.0.0.1"), fabric.stack("10.0.0.2")
    client.lossy, server.lossy = {"10.0.0.2"}, {"10.0.0.1"}
    listener: Any = server.socket(2, 1)
    listener.setsockopt(1, 9, 1)
    listener.setsockopt(6, 4, 5)
    listener.bind(("10.0.0.2", 7))
    listener.listen()
    a: Any = client.socket(2, 1)
    a.setsockopt(1, 9, 1)
    a.setsockopt(6, 4, 5)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run(1)
    fabric.drop = lambda packet: True
    fabric.run(5 + 9 * 75 + 10)
    c, _ = listener.accept()
    assert (a.error, c.error) == (ETIMEDOUT, ETIMEDOUT)


@pytest.mark.parametrize("lost", ["SYN", "SYN|ACK", "ACK"])
def test_any_segment_of_a_handshake_may_be_lost(lost: str) -> None:
    fabric = Fabric(LATENCY)
    client, server = fabric.stack("10.0.0.1"), fabric.stack("10.0.0.2")
    client.lossy, server.lossy = {"10.0.0.2"}, {"10.0.0.1"}
    lose = iter([True])
    fabric.drop = lambda packet: isinstance(packet, Segment) and packet.flag_names == lost and next(lose, False)
    listener: Any = server.socket(2, 1)
    listener.bind(("10.0.0.2", 7))
    listener.listen()
    a: Any = client.socket(2, 1)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run(0.9)
    assert mask(listener) == "0"
    fabric.run(0.2)
    assert (mask(a), mask(listener)) == ("OUT", "IN")
    fabric.run(10)
    assert armed(fabric) == 0


def test_a_syn_ack_that_is_never_answered_is_given_up() -> None:
    fabric = Fabric(LATENCY)
    client, server = fabric.stack("10.0.0.1"), fabric.stack("10.0.0.2")
    server.lossy = {"10.0.0.1"}
    fabric.drop = lambda packet: packet.source[0] == "10.0.0.2"
    listener: Any = server.socket(2, 1)
    listener.bind(("10.0.0.2", 7))
    listener.listen()
    a: Any = client.socket(2, 1)
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run(62)
    assert len(server.connections) == 1
    fabric.run(2)
    assert (len(server.connections), mask(listener)) == (0, "0")


def test_the_last_segments_of_a_closed_end_are_repeated() -> None:
    fabric, a, c = lossy_pair()
    rolls = Random(1)
    fabric.drop = lambda packet: rolls.random() < 0.5
    a.send(b"last words")
    a.release()
    fabric.run(100)
    assert (c.recv(99), c.recv(99)) == (b"last words", b"")
    fabric.drop = None
    c.release()
    fabric.run(100)
    assert armed(fabric) == 0


def test_an_orphan_gives_up_sooner() -> None:
    fabric, a, _ = lossy_pair(lambda packet: True)
    a.send(b"x")
    a.release()
    fabric.run(100)
    assert a.closing
    fabric.run(120)
    assert not a.closing


class TestDroppedOnALossFreePath:
    """Somebody decided to drop a packet there, and says so."""

    def pair(self) -> tuple[Fabric, TcpSocket, TcpSocket]:
        fabric = Fabric(LATENCY)
        _, a, c = fabric.pair()
        return fabric, a, c

    def dropping(self, fabric: Fabric, count: int) -> None:
        left = [count]

        def drop(packet: Packet) -> bool:
            if left[0] and isinstance(packet, Segment):
                left[0] -= 1
                stack_of(packet).lost(packet)
                return True
            return False

        fabric.drop = drop

    def test_data_is_sent_again(self) -> None:
        fabric, a, c = self.pair()
        a.send(b"1")
        fabric.run(0.1)
        self.dropping(fabric, 2)
        a.send(b"2")
        a.send(b"3")
        fabric.run()
        a.send(b"4")
        fabric.run(20)
        assert c.recv(9) == b"1234"
        a.lost(Segment(a.local, a.peer, 0x10, 99, 0, 0, b"", a.stack))  # type: ignore[arg-type]
        a.lost(Segment(a.local, a.peer, 0x10, 99, 0, 0, b"", a.stack))  # type: ignore[arg-type]
        assert a.guard is not None
        assert len(a.guard.kept) == 1

    def test_so_is_what_an_orphan_said_last(self) -> None:
        fabric, a, c = self.pair()
        self.dropping(fabric, 3)
        a.send(b"bye")
        a.release()
        fabric.run(20)
        assert (c.recv(9), c.recv(9)) == (b"bye", b"")

    def test_until_it_gives_up(self) -> None:
        fabric, a, _ = self.pair()
        self.dropping(fabric, 10**6)
        a.release()
        fabric.run(400)
        assert armed(fabric) == 0
        fabric.drop = None
        a.stack.lost(Segment(("10.0.0.1", 1), ("10.0.0.2", 1), 0x10, 0, 0, 0, b"", a.stack))  # an ACK is nothing
        assert armed(fabric) == 0

    def test_a_notice_prints_what_it_is(self) -> None:
        _, a, _ = self.pair()
        assert "expect losses" in repr(Notice(("x", 1), ("y", 2), None, a.stack))
        a.send(b"x")
        assert "Segment" in repr(Notice(("x", 1), ("y", 2), a.stack.out[0], a.stack))  # type: ignore[arg-type]
        a.stack.arrive(Notice(("x", 1), ("y", 2), None, a.stack))  # about nobody: nothing happens

    def test_expecting_losses_twice_changes_nothing(self) -> None:
        _, a, _ = self.pair()
        a.watch_losses()
        guard = a.guard
        a.watch_losses()
        assert a.guard is guard


@pytest.mark.parametrize("seed", range(6))
def test_every_byte_arrives_in_order_whatever_is_lost(seed: int) -> None:
    rolls = Random(seed)
    fabric, a, c = lossy_pair()
    a.mss = c.mss = 1000
    fabric.drop = lambda packet: rolls.random() < 0.2
    sent = received = b""
    payload = bytes(rolls.randrange(256) for _ in range(20_000))
    for _ in range(3000):
        fabric.run(0.2)
        if len(sent) < len(payload):
            n = a.send(payload[len(sent) : len(sent) + rolls.randrange(1, 4000)])
            sent = payload[: len(sent) + n]
            if len(sent) == len(payload):
                a.shutdown(1)
        try:
            part = c.recv(rolls.randrange(1, 4000))
        except BlockingIOError:
            continue
        received += part
        if not part:
            break
    assert received == payload


def test_keepalive_ends_with_its_connection() -> None:
    fabric, a, c = lossy_pair()
    a.setsockopt(1, 9, 1)
    assert armed(fabric) == 1
    c.reset()
    a.reset()
    assert armed(fabric) == 0


def test_a_black_hole_needs_a_peer() -> None:
    fabric = Fabric()
    fresh: Any = fabric.stack("10.0.0.1").socket(2, 1)
    with pytest.raises(ValueError, match="no peer yet"):
        fresh.blackhole()
