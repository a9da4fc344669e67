"""A direction of a Unix stream on which faults act: what is held, what comes, and whose memory it is meanwhile."""

from __future__ import annotations

from errno import EPIPE
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.kernel import Stack
from simnet.kernel.messages import AF_UNIX, SOCK_STREAM
from tests.kernel.conftest import Fabric, fails

OUTQ = 0x5411


@pytest.fixture
def pair(fabric: Fabric) -> Any:
    return fabric.stack("10.0.0.1").socketpair(AF_UNIX, SOCK_STREAM)


def test_an_anchor_is_called_when_all_before_it_has_come_and_nothing_after(pair: Any) -> None:
    near, far = pair
    seen = []
    near.add_anchor(3, lambda sender: seen.append((sender.course.gone, far.unread)))
    near.send(b"ab")
    assert not seen
    near.send(b"cde")
    assert seen == [(3, 3)]
    assert far.recv(10) == b"abcde"


def test_no_anchor_is_taken_for_what_has_come_or_never_will(pair: Any) -> None:
    near, far = pair
    near.send(b"abc")
    assert not near.add_anchor(2, print)
    assert near.add_anchor(3, lambda _: None)
    far.release()
    assert not near.add_anchor(7, print)


def test_those_at_one_offset_run_in_order_of_arrival(pair: Any) -> None:
    near, _ = pair
    seen: list[int] = []
    for number in (1, 2, 3):
        near.add_anchor(1, lambda _, number=number: seen.append(number))  # type: ignore[misc]
    near.send(b"ab")
    assert seen == [1, 2, 3]


def test_what_is_gathered_comes_when_there_is_enough_of_it(pair: Any) -> None:
    near, far = pair
    near.add_anchor(1, lambda sender: sender.gather(4, 1000))
    for part in (b"a", b"bcd"):
        near.send(part)
        assert far.recv(10) == b"a" if part == b"a" else not far.unread
    near.send(b"ef")
    assert far.recv(10) == b"bcdef"


def test_what_is_gathered_comes_when_patience_is_over(fabric: Fabric, pair: Any) -> None:
    near, far = pair
    near.add_anchor(0, lambda sender: sender.gather(10, 1000))
    near.send(b"ab")
    fabric.run(500e-9)
    near.send(b"cd")  # counts from the first of them
    assert not far.unread
    fabric.run(500e-9)
    assert far.recv(10) == b"abcd"


def test_what_is_held_is_the_senders_memory_until_it_is_read(fabric: Fabric, pair: Any) -> None:
    near, far = pair
    near.add_anchor(1, lambda sender: sender.hold_until(5))
    near.send(b"hello")
    held = near.ioctl(OUTQ)
    assert far.recv(10) == b"h"
    assert near.ioctl(OUTQ) == held > 0  # the buffer that it came in is still in use
    fabric.run(5e-9)
    assert far.recv(10) == b"ello"
    assert near.ioctl(OUTQ) == 0


def test_what_is_cut_off_is_the_senders_memory_no_longer(pair: Any) -> None:
    near, far = pair
    near.add_anchor(1, lambda sender: sender.cut_off())
    assert near.send(b"hello") == 5
    assert far.recv(10) == b"h"
    assert far.recv(10) == b""
    assert near.ioctl(OUTQ) == 0


def test_a_peer_that_closes_gives_back_what_was_held_for_it(pair: Any) -> None:
    near, far = pair
    near.add_anchor(0, lambda sender: sender.hold_until(5))
    near.send(b"hello")
    far.release()
    assert near.ioctl(OUTQ) == 0
    with fails(EPIPE):
        near.send(b"x")


@pytest.mark.slow
@given(
    cuts=st.lists(st.integers(0, 60_000), max_size=6),
    sizes=st.lists(st.integers(1, 40_000), min_size=1, max_size=4),
    asked=st.integers(1, 50_000),
)
def test_cut_anywhere_all_bytes_come_in_order_and_all_memory_goes_back(
    cuts: list[int], sizes: list[int], asked: int
) -> None:
    fabric = Fabric()
    near, far = Stack(["10.0.0.1"], clock=fabric.clock, out=fabric.out).socketpair(AF_UNIX, SOCK_STREAM)
    for number, cut in enumerate(sorted(cuts)):
        near.add_anchor(cut, lambda sender, number=number: sender.hold_until(fabric.clock.now_ns + number))  # type: ignore[misc]
    sent = b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    left, got = sent, b""
    for _ in range(100_000):
        if left:
            left = left[near.send(left[: sizes[0]]) :]
        while far.unread:
            got += far.recv(asked)
        if len(got) == len(sent):
            break
        fabric.run(1e-9)
    assert got == sent
    assert near.ioctl(OUTQ) == 0
