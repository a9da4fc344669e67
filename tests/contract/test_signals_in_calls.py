"""A signal in the midst of a call that waits: the kernel's call is over with what it has, and of one without Python makes another."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.worlds import World

ALL, PEEK = socket.MSG_WAITALL, socket.MSG_PEEK
SOON = 0.05  # s until it comes
AT_LAST = 5.0  # s between further ones, without which a test would hang whose alarm came before its call, on a very busy machine
MUCH = b"x" * 400_000  # bytes, more than a small send buffer and what lies before it
KINDS = ["tcp", "unix"]

Ring = Callable[..., list[int]]


def soon() -> None:
    signal.setitimer(signal.ITIMER_REAL, SOON, AT_LAST)


@pytest.fixture
def ring() -> Iterator[Ring]:
    """Call it with what a handler is to do in the midst of the next call. It gives the signals that came, in their order."""
    before = signal.getsignal(signal.SIGALRM)

    def ring(then: Callable[[], Any] = list) -> list[int]:
        heard: list[int] = []

        def handler(number: int, _: Any) -> None:
            heard.append(number)
            then()

        signal.signal(signal.SIGALRM, handler)
        soon()
        return heard

    yield ring
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def both_ends(world: World, kind: str) -> tuple[Any, Any]:
    """Two ends of a connection that block and hold little."""
    ends = world.tight_pair() if kind == "tcp" else tuple(world.keep(each) for each in socket.socketpair())
    for each in ends:
        each.setblocking(True)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    return ends[0], ends[1]


def fill(sock: Any) -> None:
    """Send until there is no room for more."""
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(b"x" * 4000)
    sock.setblocking(True)


@pytest.mark.parametrize("kind", KINDS)
def test_k116_a_signal_leaves_a_read_of_all_what_has_come(world: World, ring: Ring, kind: str) -> None:
    one, other = both_ends(world, kind)
    buffer = bytearray(5)
    reads: dict[str, Callable[[], Any]] = {
        "recv": lambda: one.recv(5, ALL),
        "recv_into": lambda: (one.recv_into(buffer, 5, ALL), bytes(buffer[:3]))[1],
        "recvmsg": lambda: one.recvmsg(5, 0, ALL)[0],
    }
    for name, read in reads.items():
        other.send(b"abc")
        world.readable(one)
        heard = ring()
        assert (name, read(), heard) == (name, b"abc", [signal.SIGALRM])


def test_k116_what_a_signal_does_comes_after_the_peek_that_it_ends(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "tcp")
    other.send(b"abc")
    world.readable(one)
    ring(lambda: other.send(b"de"))
    assert one.recv(5, ALL | PEEK) == b"abc"
    assert one.recv(9, ALL | socket.MSG_DONTWAIT) == b"abcde"


def test_k116_a_signal_leaves_less_than_so_rcvlowat(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "tcp")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 5)
    other.send(b"abc")
    heard = ring()
    assert (one.recv(9), heard) == (b"abc", [signal.SIGALRM])


@pytest.mark.parametrize("kind", KINDS)
def test_k116_a_signal_leaves_a_send_what_has_been_taken(world: World, ring: Ring, kind: str) -> None:
    one, _ = both_ends(world, kind)
    calls: dict[str, Callable[[], int]] = {
        "send": lambda: one.send(MUCH),
        "sendmsg": lambda: one.sendmsg([MUCH, MUCH]),
        "write": lambda: os.write(one.fileno(), MUCH),
    }
    for name, call in calls.items():
        if name != "send":
            one, _ = both_ends(world, kind)
        heard = ring()
        assert (name, 0 < call() < len(MUCH), heard) == (name, True, [signal.SIGALRM])


def test_k116_a_sendall_goes_on_after_a_signal(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "unix")
    other.setblocking(False)

    def drain() -> None:
        while select.select([other], [], [], 0)[0]:
            got.append(other.recv(1 << 20))
        signal.setitimer(signal.ITIMER_REAL, 0.002)

    got: list[bytes] = []
    ring(drain)
    one.sendall(MUCH)
    drain()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert b"".join(got) == MUCH


def test_k116_a_signal_leaves_a_write_to_a_pipe_what_has_been_taken(world: World, ring: Ring) -> None:
    reader, writer = os.pipe()
    try:
        heard = ring()
        assert os.write(writer, MUCH) == 65536
        assert heard == [signal.SIGALRM]
    finally:
        os.close(reader)
        os.close(writer)


def test_k116_who_reads_anew_after_a_signal_looks_at_the_number(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "tcp")
    ring(one.close)
    world.gives("EBADF", one.recv, 5)
    one, other = both_ends(world, "tcp")
    fresh, far = both_ends(world, "unix")
    far.send(b"new")
    ring(lambda: os.dup2(fresh.fileno(), one.fileno()))
    assert one.recv(5) == b"new"
    other.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k116_who_sends_anew_after_a_signal_looks_at_the_number(world: World, ring: Ring, kind: Any) -> None:
    one, _ = (world.keep(each) for each in socket.socketpair(socket.AF_UNIX, kind))
    fill(one)
    ring(one.close)
    world.gives("EBADF", one.send, b"x")


def test_k116_a_select_that_is_made_anew_after_a_signal_refuses_what_was_closed(world: World, ring: Ring) -> None:
    one, _ = both_ends(world, "tcp")
    ring(one.close)
    world.gives("EBADF", select.select, [one], [], [], 1)


def test_k116_a_unix_send_that_is_made_anew_leaves_the_error(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "unix")
    other.send(b"unread")
    fill(one)
    ring(other.close)
    world.gives("EPIPE", one.send, b"x")
    assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 104  # ECONNRESET


def test_k116_a_read_of_all_that_has_nothing_yet_begins_anew_after_a_signal(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "tcp")

    def feed() -> None:
        if len(heard) == 1:
            other.send(b"abc")
            soon()

    heard = ring(feed)
    assert (one.recv(9, ALL), len(heard)) == (b"abc", 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_k116_so_sndtimeo_begins_anew_after_a_signal(world: World, ring: Ring, kind: Any) -> None:
    one, other = (world.keep(each) for each in socket.socketpair(socket.AF_UNIX, kind))
    fill(one)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 400_000))  # less than the signals take

    def again() -> None:
        if len(heard) < 9:
            soon()
        else:
            other.recv(1 << 20)

    heard = ring(again)
    assert (one.send(b"x"), len(heard)) == (1, 9)


def test_k116_a_unix_connect_that_a_signal_ends_says_that_all_is_well(world: World, ring: Ring, tmp_path: Path) -> None:
    listener = world.keep(socket.socket(socket.AF_UNIX))
    listener.bind(str(tmp_path / "s"))
    listener.listen(0)
    first, second = (world.keep(socket.socket(socket.AF_UNIX)) for _ in range(2))
    first.connect(str(tmp_path / "s"))
    heard = ring()
    assert (second.connect_ex(str(tmp_path / "s")), heard) == (0, [signal.SIGALRM])
    world.gives("ENOTCONN", second.getpeername)
    second.setblocking(False)
    world.gives("EAGAIN", second.connect, str(tmp_path / "s"))


def test_k116_only_an_eventfd_read_tells_of_a_signal(world: World, ring: Ring) -> None:
    number = os.eventfd(0)
    reader, writer = os.pipe()
    try:
        heard = ring(lambda: os.eventfd_write(number, 3))
        world.gives("EINTR", os.eventfd_read, number)
        assert (os.eventfd_read(number), heard) == (3, [signal.SIGALRM])
        heard = ring(lambda: os.write(writer, b"then"))
        assert (os.read(reader, 9), heard) == (b"then", [signal.SIGALRM])
    finally:
        for each in (number, reader, writer):
            os.close(each)


def test_k116_a_message_with_descriptors_waits_until_all_is_taken_too(world: World, ring: Ring) -> None:
    one, other = both_ends(world, "unix")
    heard = ring()
    assert 0 < socket.send_fds(one, [MUCH], [0]) < len(MUCH)
    assert heard == [signal.SIGALRM]
    data, numbers, _, _ = socket.recv_fds(other, 10, 3)
    assert (data, len(numbers)) == (b"x" * 10, 1)
    os.close(numbers[0])


# --- and where none comes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["sendto", "sendmsg to", "sendmsg", "send_fds"])
def test_k063_a_blocking_send_of_any_kind_goes_on_until_all_is_taken(world: World, call: str) -> None:
    one, other = both_ends(world, "unix" if call == "send_fds" else "tcp")
    calls: dict[str, Callable[[], int]] = {
        "sendto": lambda: one.sendto(MUCH, other.getsockname()),
        "sendmsg to": lambda: one.sendmsg([MUCH], [], 0, other.getsockname()),
        "sendmsg": lambda: one.sendmsg([MUCH], [(99, 1, b"")]),  # of a level that a stream takes no notice of
        "send_fds": lambda: socket.send_fds(one, [MUCH], [0]),
    }
    got: list[bytes] = []

    def drain() -> None:
        while sum(map(len, got)) < len(MUCH):
            got.append(other.recv(1 << 20))

    reader = threading.Thread(target=drain)
    reader.start()
    assert calls[call]() == len(MUCH)
    reader.join()
    assert b"".join(got) == MUCH
    one.settimeout(1)
    assert 0 < calls[call]() < len(MUCH)  # with a time-out the kernel does not wait


def test_k063_a_blocking_fast_open_goes_on_until_all_is_taken(world: World) -> None:
    listener = world.listener()
    listener.setblocking(True)
    one = world.socket()
    one.setblocking(True)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    got: list[bytes] = []

    def drain() -> None:
        other = world.keep(listener.accept()[0])
        while sum(map(len, got)) < len(MUCH):
            got.append(other.recv(1 << 20))

    reader = threading.Thread(target=drain)
    reader.start()
    assert one.sendto(MUCH, socket.MSG_FASTOPEN, listener.getsockname()) == len(MUCH)
    reader.join()
    assert b"".join(got) == MUCH
