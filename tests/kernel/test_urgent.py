"""Urgent data of TCP: the byte, the mark, and what reading does to both (K-090 to K-098)."""

from __future__ import annotations

from errno import EAGAIN, ECONNRESET, EINVAL, ENOTCONN, EPIPE

from simnet.kernel.messages import MSG_OOB, MSG_PEEK, MSG_TRUNC, SIOCATMARK, SIOCINQ
from tests.kernel.conftest import Fabric, Note, fails, mask
from tests.kernel.matrix import LINGER_ZERO
from tests.kernel.test_stream import fill, small_pair

OOBINLINE = (1, 10)


def test_the_last_byte_is_urgent_and_the_others_are_data(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    note = Note()
    c.watch(note)
    assert a.send(b"ab!", MSG_OOB) == 3
    fabric.run()
    assert (mask(c), c.recv(1, MSG_OOB), c.recv(9)) == ("IN|PRI|OUT", b"!", b"ab")
    assert note.events
    assert a.send(b"", MSG_OOB) == 0


def test_it_is_read_once_or_looked_at_often(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"!", MSG_OOB)
    fabric.run()
    for _ in range(2):
        assert c.recv(1, MSG_OOB | MSG_PEEK) == b"!"
    assert c.recv(0, MSG_OOB) == b""
    assert c.recvmsg(1, 0, MSG_OOB | MSG_PEEK) == (b"!", [], MSG_OOB, None)
    assert c.recvmsg(0, 0, MSG_OOB | MSG_PEEK)[2] == MSG_OOB | MSG_TRUNC
    assert c.recv(9, MSG_OOB) == b"!"
    assert mask(c) == "OUT"
    with fails(EINVAL):
        c.recv(1, MSG_OOB)


def test_reading_stops_at_the_mark_and_then_skips_the_byte(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"ab!", MSG_OOB)
    a.send(b"cd")
    fabric.run()
    assert c.ioctl(SIOCINQ) == 2
    assert c.recv(1) == b"a"
    assert (c.recv(99), mask(c), c.ioctl(SIOCATMARK)) == (b"b", "IN|PRI|OUT", 1)
    assert (c.recv(99), mask(c), c.ioctl(SIOCATMARK)) == (b"cd", "OUT", 0)
    with fails(EINVAL):
        c.recv(1, MSG_OOB)


def test_reading_with_nothing_but_the_byte_ahead_drops_it(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"!", MSG_OOB)
    fabric.run()
    with fails(EAGAIN):
        c.recv(9, MSG_PEEK)
    assert mask(c) == "PRI|OUT"
    with fails(EAGAIN):
        c.recv(9)
    assert mask(c) == "OUT"


def test_the_mark_stays_after_the_byte_was_read(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"ab!", MSG_OOB)
    a.send(b"cd")
    fabric.run()
    assert c.recv(1, MSG_OOB) == b"!"
    assert c.recv(99, MSG_PEEK) == b"ab"
    assert c.recv(99) == b"ab"
    assert c.ioctl(SIOCATMARK) == 1
    assert c.recv(99, MSG_PEEK) == b"cd"
    assert c.recv(99) == b"cd"


def test_a_second_byte_makes_the_first_one_data(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"a1", MSG_OOB)
    fabric.run()
    assert c.recv(1, MSG_OOB) == b"1"
    a.send(b"b2", MSG_OOB)
    a.send(b"c")
    fabric.run()
    assert (c.recv(99), c.recv(1, MSG_OOB), c.recv(99)) == (b"a1b", b"2", b"c")


def test_a_second_byte_drops_the_first_if_that_is_next(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"1", MSG_OOB)
    a.send(b"b2", MSG_OOB)
    fabric.run()
    assert (c.recv(99), c.recv(1, MSG_OOB)) == (b"b", b"2")


def test_inline_the_byte_stands_in_its_place(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"ab!", MSG_OOB)
    a.send(b"cd")
    fabric.run()
    assert c.recv(1, MSG_OOB) == b"!"
    c.setsockopt(*OOBINLINE, 1)
    assert c.getsockopt(*OOBINLINE) == 1
    assert (mask(c), c.ioctl(SIOCINQ)) == ("IN|OUT", 5)
    with fails(EINVAL):
        c.recv(1, MSG_OOB)
    assert [c.recv(99) for _ in range(2)] == [b"ab", b"!cd"]


def test_inline_the_byte_alone_is_readable(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    c.setsockopt(*OOBINLINE, 1)
    a.send(b"!", MSG_OOB)
    fabric.run()
    assert (mask(c), c.recv(9), mask(c)) == ("IN|PRI|OUT", b"!", "OUT")


def test_urgent_then_fin(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"!", MSG_OOB)
    a.shutdown(1)
    fabric.run()
    assert mask(c) == "IN|PRI|OUT|RDHUP"
    assert c.recv(1, MSG_OOB | MSG_PEEK) == b"!"
    assert (c.recv(9), mask(c)) == (b"", "IN|OUT|RDHUP")


def test_urgent_then_reset(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"!", MSG_OOB)
    a.setsockopt(1, 13, LINGER_ZERO)
    a.release()
    fabric.run()
    assert mask(c) == "IN|PRI|OUT|RDHUP|ERR|HUP"
    with fails(ENOTCONN):
        c.recv(1, MSG_OOB)
    with fails(ECONNRESET):
        c.recv(9)
    assert mask(c) == "IN|OUT|RDHUP|HUP"


def test_behind_a_full_window_nothing_is_announced(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    fill(fabric, a)
    a.setsockopt(1, 7, 65536)
    c.recv(1)
    assert a.send(b"x!", MSG_OOB) == 2
    fabric.run()
    assert mask(c) == "IN|OUT"
    with fails(EINVAL):
        c.recv(1, MSG_OOB)
    while c.unread > 1:
        c.recv(65536)
        fabric.run()
    assert (mask(c), c.recv(1, MSG_OOB)) == ("PRI|OUT", b"!")


def test_a_pointer_may_arrive_before_its_byte(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.add_anchor(2, lambda end: end.hold_until(1_000_000_000))
    a.send(b"abc!", MSG_OOB)
    fabric.run()
    assert (mask(c), c.recv(99)) == ("IN|OUT", b"ab")
    with fails(EAGAIN):
        c.recv(1, MSG_OOB)
    fabric.run(2)
    assert (c.recv(1, MSG_OOB), c.recv(99)) == (b"!", b"c")

    _, a, c = Fabric().pair()
    c.urg_data, c.urg_seq, c.done = 0x200, 9, True
    c.die(0)
    assert c.recv(1, MSG_OOB) == b""


def test_at_a_full_buffer_or_after_shut_wr_it_does_not_go(fabric: Fabric) -> None:
    a, _ = small_pair(fabric)
    fill(fabric, a)
    with fails(EAGAIN):
        a.send(b"!", MSG_OOB)
    a.shutdown(1)
    with fails(EPIPE):
        a.send(b"!", MSG_OOB)


def test_a_listener_has_none(fabric: Fabric) -> None:
    listener, a, _ = fabric.pair()
    with fails(ENOTCONN):
        listener.recv(1, MSG_OOB)
    with fails(EINVAL):
        a.stack.socket(2, 1).recv(1, MSG_OOB)


def test_an_old_pointer_is_ignored(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"ab!", MSG_OOB)
    fabric.run()
    before = c.urg_seq
    for seq in (1, before):
        c._urgent_announced(seq)
    assert c.urg_seq == before
