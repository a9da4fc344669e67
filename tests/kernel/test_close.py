"""How connections end: FIN, RST, half-close, linger, TIME_WAIT (K-070 to K-083)."""

from __future__ import annotations

import struct
from errno import ECONNRESET, EINVAL, ENOTCONN, EPIPE
from typing import Any

import pytest

from simnet.kernel import Segment, TcpSocket
from simnet.kernel.descriptors import Descriptors
from simnet.kernel.messages import SIOCOUTQ
from simnet.kernel.stack import TIME_WAITS_MAX
from simnet.kernel.tcp.timewait import TimeWait
from tests.kernel.conftest import Fabric, Note, fails, mask
from tests.kernel.matrix import LINGER_ZERO
from tests.kernel.test_stream import fill, small_pair

SO_ERROR = (1, 4)
LINGER = (1, 13)


def test_closing_says_fin_and_the_peer_reads_the_end_for_ever(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"bye")
    a.release()
    fabric.run()
    assert fabric.segments() == ["ACK:3", "FIN|ACK:0"]
    assert mask(c) == "IN|OUT|RDHUP"
    assert [c.recv(9) for _ in range(3)] == [b"bye", b"", b""]
    assert c.getpeername() == ("10.0.0.1", 32768)
    assert c.getsockopt(*SO_ERROR) == 0


@pytest.mark.parametrize("how", ["unread", "peeked", "urgent", "urgent-read", "after-shut-rd", "with-fin"])
def test_closing_with_something_unread_resets(fabric: Fabric, how: str) -> None:
    _, a, c = fabric.pair()
    if how == "after-shut-rd":
        c.shutdown(0)
    a.send(b"x", 1 if how.startswith("urgent") else 0)
    if how == "with-fin":
        a.shutdown(1)
    fabric.run()
    if how == "peeked":
        c.recv(1, 2)
    if how == "urgent-read":
        c.recv(1, 1)
    c.send(b"answer")
    c.release()
    fabric.run()
    assert a.recv(9) == b"answer"
    with fails(ECONNRESET):
        a.recv(9)


def test_an_urgent_byte_that_was_dropped_does_not_reset(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"x", 1)
    fabric.run()
    with pytest.raises(BlockingIOError):
        c.recv(1)
    c.release()
    fabric.run()
    assert a.recv(1) == b""


def test_closing_with_unsent_data_delivers_it_first(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    total = fill(fabric, a)
    a.release()
    assert a.closing
    got = 0
    while (part := c.recv(5000)) != b"":
        got += len(part)
        fabric.run()
    assert (got, a.closing) == (total, False)


def test_linger_zero_resets_and_loses_what_was_not_sent(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    fill(fabric, a)
    a.setsockopt(*LINGER, LINGER_ZERO)
    assert a.linger_ns() == 0
    a.release()
    fabric.run()
    assert len(c.recv(65536)) == 12288
    with fails(ECONNRESET):
        c.recv(1)


def test_linger_waits_until_the_fin_is_acknowledged(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    assert a.linger_ns() == 0
    a.setsockopt(*LINGER, struct.pack("ii", 1, 3))
    fill(fabric, a)
    assert a.linger_ns() == 3_000_000_000
    a.hold()
    assert a.linger_ns() == 0  # not the last descriptor
    a.release()
    a.release()
    note = Note()
    a.watch(note)
    assert a.closing
    while c.unread:
        c.recv(65536)
        fabric.run()
    assert a.closing
    fabric.run(0.05)
    assert (a.closing, bool(note.events)) == (False, True)
    assert [text for text in fabric.segments() if text.startswith("FIN")] == ["FIN|ACK:0"]
    a.setsockopt(*LINGER, struct.pack("ii", 0, 9))
    assert a.getsockopt(*LINGER, 8) == struct.pack("ii", 0, 3)


def test_the_first_send_after_the_peer_closed_succeeds(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    c.release()
    fabric.run()
    assert a.send(b"x") == 1
    fabric.run()
    assert mask(a) == "IN|OUT|RDHUP|ERR|HUP"
    for _ in range(2):
        with fails(EPIPE):
            a.send(b"x")
    assert (mask(a), a.recv(1)) == ("IN|OUT|RDHUP|HUP", b"")


def test_half_close_leaves_the_other_half_open(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"question")
    a.shutdown(1)
    fabric.run(0.04)
    assert (a.state, c.state, a.ioctl(SIOCOUTQ)) == ("FIN_WAIT1", "CLOSE_WAIT", 1)
    note = Note()
    a.watch(note)
    fabric.run(0.01)  # the FIN is acknowledged after 44 ms, which is an edge
    assert len(note.events) == 1
    assert (a.state, c.state, a.ioctl(SIOCOUTQ)) == ("FIN_WAIT2", "CLOSE_WAIT", 0)
    assert (c.recv(20), c.recv(20)) == (b"question", b"")
    c.send(b"answer")
    c.shutdown(1)
    fabric.run()
    assert (a.recv(20), a.recv(20)) == (b"answer", b"")
    assert (a.state, c.state, mask(a), mask(c)) == ("CLOSED", "CLOSED", "IN|OUT|RDHUP|HUP", "IN|OUT|RDHUP|HUP")
    for end in (a, c):
        with fails(ENOTCONN):
            end.getpeername()
        with fails(ENOTCONN):
            end.shutdown(0)


def test_a_half_closed_end_that_closes_waits_for_the_peer_as_a_small_entry(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.shutdown(1)
    fabric.run(0.005)
    a.release()
    (wait,) = a.stack.connections.values()
    assert isinstance(wait, TimeWait)
    assert repr(wait) == "<TimeWait FIN_WAIT2 ('10.0.0.1', 32768) -> ('10.0.0.2', 7)>"
    c.shutdown(1)
    fabric.run()
    assert (wait.phase, c.state) == ("TIME_WAIT", "CLOSED")


def test_linger2_below_zero_keeps_no_entry(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.setsockopt(6, 8, -1)
    a.release()
    fabric.run(0.005)  # until the FIN is acknowledged
    assert (a.getsockopt(6, 8), a.stack.connections, a.stack.tcp_ports.users) == (-1, {}, {})
    assert (c.state, c.error) == ("CLOSED", 32)


def test_both_ends_may_close_at_once() -> None:
    fabric = Fabric(1_000_000)
    _, a, c = fabric.pair()
    a.shutdown(1)
    c.shutdown(1)
    fabric.run(0.0015)
    assert (a.state, c.state) == ("CLOSING", "CLOSING")
    fabric.run(1)
    assert (a.state, c.state) == ("CLOSED", "CLOSED")
    assert {type(entry) for end in (a, c) for entry in end.stack.connections.values()} == {TimeWait}


def test_both_ends_may_close_at_once_with_data_in_the_way() -> None:
    fabric = Fabric(1_000_000)
    _, a, c = fabric.pair()
    a.setsockopt(1, 7, 4608)
    assert (a.send(bytes(200_000)), a.send(bytes(200_000))) == (127_973, 4608)
    c.shutdown(1)
    a.release()  # the FIN waits for window
    fabric.run(0.1)
    assert a.state == "CLOSING"
    while c.recv(65536):
        fabric.run(0.01)
    assert a.state == "CLOSED"


def test_shut_rd_is_a_matter_of_this_end_only(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.shutdown(0)
    fabric.run()
    assert (mask(a), mask(c), a.recv(1)) == ("IN|OUT|RDHUP", "OUT", b"")
    c.send(b"late")
    fabric.run()
    assert [a.recv(9) for _ in range(2)] == [b"late", b""]
    a.shutdown(0)


def test_data_for_an_end_shut_both_ways_resets(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.shutdown(2)
    fabric.run()
    assert (mask(a), mask(c)) == ("IN|OUT|RDHUP|HUP", "IN|OUT|RDHUP")
    c.send(b"x")
    fabric.run()
    assert (a.getsockopt(*SO_ERROR), c.getsockopt(*SO_ERROR)) == (ECONNRESET, EPIPE)


def test_data_for_a_closed_end_that_still_delivers_resets(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    fill(fabric, a)
    a.release()
    c.send(b"x")
    fabric.run()
    assert (a.closing, c.getsockopt(*SO_ERROR)) == (False, ECONNRESET)


def test_fin_reaches_the_peer_only_with_the_last_descriptor(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    table = Descriptors()
    fd = table.add(a)
    again = table.dup(fd)
    table.close(fd)
    fabric.run()
    assert mask(c) == "OUT"
    table.close(again)
    fabric.run()
    assert mask(c) == "IN|OUT|RDHUP"


def test_shut_wr_on_a_full_socket_makes_it_writable(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    total = fill(fabric, a)
    assert mask(a) == "0"
    a.shutdown(1)
    assert mask(a) == "OUT"
    got = 0
    while part := c.recv(4096):
        got += len(part)
        fabric.run()
    assert got == total


def test_a_reset_tells_where_the_peer_was(fabric: Fabric) -> None:
    # (shut, error): RST after the peer's FIN is EPIPE, else ECONNRESET.
    for peer_finished, error in ((False, ECONNRESET), (True, EPIPE)):
        fabric = Fabric()
        _, a, c = fabric.pair()
        if peer_finished:
            c.shutdown(1)
        c.setsockopt(*LINGER, LINGER_ZERO)
        c.release()
        fabric.run()
        assert a.getsockopt(*SO_ERROR) == error
        assert a.recv(9) == b""


class TestTimeWait:
    def pair(self, fabric: Fabric) -> tuple[TcpSocket, TcpSocket, TimeWait]:
        _, a, c = fabric.pair()
        a.release()
        fabric.run()
        (wait,) = a.stack.connections.values()
        assert isinstance(wait, TimeWait)
        return a, c, wait

    def to(self, fabric: Fabric, wait: TimeWait, flags: int, seq: int, payload: bytes = b"") -> list[str]:
        server: Any = fabric.stacks["10.0.0.2"]
        wait.stack.arrive(Segment(wait.peer, wait.local, flags, seq, 3, 0, payload, server))
        answers = [packet.flag_names for packet in fabric.out if isinstance(packet, Segment)]
        fabric.out.clear()
        return answers

    def test_data_for_nobody_resets(self, fabric: Fabric) -> None:
        a, c, _ = self.pair(fabric)
        c.send(b"x")
        fabric.run()
        assert (c.getsockopt(*SO_ERROR), a.stack.connections) == (EPIPE, {})

    def test_it_answers_a_repeated_fin(self, fabric: Fabric) -> None:
        _, c, wait = self.pair(fabric)
        c.shutdown(1)
        fabric.run()
        assert self.to(fabric, wait, 0x111, 2) == ["ACK"]

    def test_a_reset_ends_it(self, fabric: Fabric) -> None:
        _, _, wait = self.pair(fabric)
        assert self.to(fabric, wait, 0x14, 2) == []
        assert wait.stack.connections == {}
        wait.expire()

    def test_a_pure_ack_is_nothing_to_it(self, fabric: Fabric) -> None:
        _, _, wait = self.pair(fabric)
        assert self.to(fabric, wait, 0x10, 2) == []

    def test_a_new_connection_may_take_its_addresses_where_somebody_listens(self, fabric: Fabric) -> None:
        _, _, wait = self.pair(fabric)
        listener: Any = wait.stack.socket(2, 1)
        listener.setsockopt(1, 2, 1)  # SO_REUSEADDR
        wait.sharing |= 1  # and so had the one that it is of
        listener.bind(wait.local)
        listener.listen()
        assert self.to(fabric, wait, 0x02, 1) == ["SYN|ACK"]
        assert wait not in wait.stack.connections.values()

    def test_who_opens_where_nobody_listens_hears_of_the_old_one(self, fabric: Fabric) -> None:
        _, _, wait = self.pair(fabric)
        assert self.to(fabric, wait, 0x02, 1) == ["ACK"]
        assert list(wait.stack.connections.values()) == [wait]

    def test_after_a_minute_it_is_gone(self, fabric: Fabric) -> None:
        a, c, wait = self.pair(fabric)
        fabric.run(60)
        c.send(b"x")
        fabric.run()
        assert (wait.stack.connections, c.state, a.stack.tcp_ports.users) == ({}, "CLOSED", {})

    def test_old_ones_make_room_for_new_ones(self, fabric: Fabric) -> None:
        a, _, wait = self.pair(fabric)
        fabric.run(61)
        server = fabric.stacks["10.0.0.2"]
        b: Any = a.stack.socket(2, 1)
        with pytest.raises(BlockingIOError):
            b.connect(("10.0.0.2", 7))
        fabric.run()
        b.release()
        assert wait not in a.stack.time_waits
        assert len(a.stack.time_waits) == 1
        assert server is not None

    @pytest.mark.slow
    def test_a_full_table_skips_it(self, fabric: Fabric) -> None:
        _, a, _ = fabric.pair()
        waits: Any = a.stack.time_waits
        waits.update(
            dict.fromkeys([TimeWait(a.stack, ("x", 1), ("y", n), "", 0, False, 0, 0, 0) for n in range(TIME_WAITS_MAX)])
        )
        a.release()
        fabric.run()
        assert (a.stack.connections, a.stack.tcp_ports.users) == ({}, {})


def test_a_reset_is_never_answered_by_one(fabric: Fabric) -> None:
    stack = fabric.stack("10.0.0.1")
    stack.refuse(Segment(("9.9.9.9", 1), ("10.0.0.1", 1), 0x04, 0, 0, 0, b"", stack))
    assert not fabric.out


def test_linger_needs_its_whole_structure(fabric: Fabric) -> None:
    _, a, _ = fabric.pair()
    for value in (1, b"\1\0\0\0"):
        with fails(EINVAL):
            a.setsockopt(*LINGER, value)
