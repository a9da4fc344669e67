"""Faults at byte offsets: when anchors fire, and what each verb does to both ends."""

from __future__ import annotations

from errno import ECONNRESET, EINPROGRESS, EPIPE, ETIMEDOUT
from typing import Any

import pytest

from tests.kernel.conftest import Fabric, Note, fails, mask
from tests.kernel.test_stream import fill, small_pair

SO_ERROR = (1, 4)


def test_no_segment_crosses_an_anchor(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    fired = []
    for offset in (3, 8, 3):
        assert a.add_anchor(offset, lambda end, offset=offset: fired.append((offset, end.sent)))  # type: ignore[misc]
    assert a.anchors is not None
    assert [offset for offset, _ in a.anchors] == [3, 3, 8]
    a.send(b"ab")
    a.send(b"cdefgh")
    fabric.run()
    assert fabric.segments() == ["ACK:2", "ACK:1", "ACK:5"]
    assert fired == [(3, 3), (3, 3), (8, 8)]
    assert c.recv(99) == b"abcdefgh"
    assert (a.anchors, c.anchors) == ([], None)


def test_an_anchor_at_zero_fires_before_the_first_byte(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    assert a.add_anchor(0, lambda end: end.inject_urgent(b"!"))
    a.send(b"ab")
    fabric.run()
    assert (c.recv(1, 1), c.recv(9)) == (b"!", b"ab")


def test_an_anchor_set_before_connect_counts_from_the_first_byte(fabric: Fabric) -> None:
    server = fabric.stack("10.0.0.2")
    listener: Any = server.socket(2, 1)
    listener.bind(("10.0.0.2", 7))
    listener.listen()
    a: Any = fabric.stack("10.0.0.1").socket(2, 1)
    fired: list[int] = []
    assert a.add_anchor(1, lambda end: fired.append(end.sent))
    with fails(EINPROGRESS):
        a.connect(("10.0.0.2", 7))
    fabric.run()
    a.send(b"xy")
    assert fired == [1]


def test_both_ends_are_announced_when_established(fabric: Fabric) -> None:
    told: list[tuple[str, str | None]] = []
    for address in ("10.0.0.1", "10.0.0.2"):
        stack = fabric.stack(address)
        stack.on_established = lambda end, address=address: told.append((address, end.origin))  # type: ignore[misc]
    fabric.pair(fabric.stacks["10.0.0.1"], fabric.stacks["10.0.0.2"])
    assert told == [("10.0.0.1", "client"), ("10.0.0.2", "server")]


def test_an_anchor_that_was_passed_is_refused(fabric: Fabric) -> None:
    _, a, _ = fabric.pair()
    a.send(b"abc")
    assert not a.add_anchor(2, lambda end: None)
    fired: list[int] = []
    assert a.add_anchor(3, lambda end: fired.append(end.sent))
    assert fired == []
    a.transmit()
    assert fired == [3]
    a.shutdown(1)
    assert not a.add_anchor(9, lambda end: None)


def test_an_anchor_at_the_end_fires_before_the_fin(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.send(b"abc")
    a.add_anchor(3, lambda end: end.hold_until(2_000_000_000))
    a.release()
    fabric.run(1)
    assert mask(c) == "IN|OUT"
    fabric.run(1.1)
    assert mask(c) == "IN|OUT|RDHUP"


def test_a_stall_keeps_data_back_and_a_second_one_replaces_it(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.hold_until(1_000_000_000)
    a.send(b"x")
    a.hold_until(3_000_000_000)
    fabric.run(2)
    assert mask(c) == "OUT"
    c.send(b"other direction")
    fabric.run(1.5)
    assert (c.recv(9), a.recv(99)) == (b"x", b"other direction")
    a.hold_until(9_000_000_000)
    a.die(0)
    fabric.run(10)
    assert mask(c) == "OUT"


def test_an_injected_byte_does_not_count_as_the_programs(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    fired: list[int] = []
    a.add_anchor(2, lambda end: end.inject_urgent(b"!"))
    a.add_anchor(4, lambda end: fired.append(end.sent))
    a.send(b"abcdef")
    fabric.run()
    assert (fired, a.sent) == ([4], 6)
    assert (c.recv(99), c.recv(1, 1), c.recv(99)) == (b"ab", b"!", b"cdef")
    with pytest.raises(ValueError, match="single one"):
        a.inject_urgent(b"ab")


def test_an_injected_byte_moves_the_programs_own(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.add_anchor(1, lambda end: end.inject_urgent(b"?"))
    a.send(b"ab!", 1)
    fabric.run()
    assert c.recv(1, 1) == b"!"
    assert c.recv(99) == b"a?b"


def test_a_cut_ends_this_direction_and_loses_the_rest(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.add_anchor(2, lambda end: end.cut_off())
    assert a.send(b"abcd") == 4
    assert a.send(b"more") == 4
    fabric.run()
    assert (c.recv(9), c.recv(9), mask(a)) == (b"ab", b"", "OUT")
    a.cut_off()
    c.send(b"still")
    fabric.run()
    assert a.recv(9) == b"still"
    a.shutdown(1)
    assert a.state == "FIN_WAIT2"
    c.release()
    fabric.run()
    assert (a.recv(9), mask(a), a.sent) == (b"", "IN|OUT|RDHUP|HUP", 2)


def test_a_cut_end_may_simply_close(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.cut_off()
    a.release()
    fabric.run()
    assert (mask(c), fabric.segments()) == ("IN|OUT|RDHUP", ["FIN|ACK:0"])
    c.release()
    fabric.run()


def test_severing_kills_both_ends(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.add_anchor(2, lambda end: end.sever())
    assert a.send(b"abcd") == 4
    with fails(ECONNRESET):
        a.send(b"x")
    fabric.run()
    assert (mask(c), c.recv(9)) == ("IN|OUT|RDHUP|ERR|HUP", b"ab")
    with fails(ECONNRESET):
        c.recv(9)
    a.sever()  # nothing is left to sever
    assert not fabric.out


def test_a_black_hole_is_noticed_by_timers_only(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.add_anchor(2, lambda end: end.blackhole())
    assert a.send(b"abcd") == 4
    fabric.run()
    assert (c.recv(9), mask(c)) == (b"ab", "OUT")
    c.send(b"never acknowledged")
    fabric.run(900)
    assert a.recv(99) == b"never acknowledged"
    assert (mask(a), mask(c)) == ("OUT", "OUT")
    fabric.run(300)
    assert (a.getsockopt(*SO_ERROR), c.getsockopt(*SO_ERROR)) == (ETIMEDOUT, ETIMEDOUT)
    assert a.recv(9) == c.recv(9) == b""
    with fails(EPIPE):
        a.send(b"x")


def test_a_black_hole_swallows_what_the_kernel_says_when_its_end_is_gone(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.add_anchor(0, lambda end: end.blackhole())
    a.send(b"abcd")
    fabric.run()
    a.sever()  # its RST does not arrive
    c.send(b"to nobody")
    fabric.run(60)
    assert (c.getsockopt(*SO_ERROR), mask(c)) == (0, "OUT")


def test_anchors_respect_the_window(fabric: Fabric) -> None:
    a, c = small_pair(fabric)
    fired: list[int] = []
    a.add_anchor(15_000, lambda end: fired.append(end.sent))
    total = fill(fabric, a)
    assert (fired, c.unread) == ([], 12288)
    got = 0
    while got < total:
        got += len(c.recv(1000))
        fabric.run()
    assert fired == [15_000]


def test_space_is_told_after_a_stall(fabric: Fabric) -> None:
    _, a, c = fabric.pair()
    a.hold_until(1_000_000_000)
    fill(fabric, a)
    note = Note()
    a.watch(note)
    assert mask(a) == "0"
    fabric.run(2)
    while c.unread:
        c.recv(1 << 20)
        fabric.run()
    assert (mask(a), len(note.events)) == ("OUT", 1)
