"""A call with a time-out waits, and its number is given to another socket: Python's poll goes by the number (K-116)."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import time
import weakref
from typing import Any

import pytest

from tests.contract.test_closed_meanwhile import LONG, SOON, waiting
from tests.contract.worlds import World

TIMED_OUT = "TimeoutError: timed out"


def other(world: World, what: str) -> Any:
    """A socket to be put in another's place."""
    if what == "fresh":
        return world.socket()
    if what == "idle":
        return world.socket(kind=socket.SOCK_DGRAM)
    client, server = world.pair()
    server.send(b"other")
    world.readable(client)
    return client


def reader(world: World, kind: str) -> tuple[Any, Any]:
    """A socket that has nothing to read yet, and who may send to it."""
    if kind == "tcp":
        return world.pair()
    if kind == "unix":
        sock, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return world.keep(sock), world.keep(peer)
    sock, peer = (world.socket(kind=socket.SOCK_DGRAM) for _ in range(2))
    sock.bind((world.ip, 0))
    peer.bind((world.ip, 0))
    peer.connect(sock.getsockname())
    return sock, peer


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tcp", "unix", "udp"])
@pytest.mark.parametrize("call", ["recv", "recvmsg"])
@pytest.mark.parametrize(("what", "answer"), [("fresh", "ENOTCONN"), ("ready", b"other"), ("idle", TIMED_OUT)])
def test_k116_a_read_looks_at_the_number_anew_when_its_time_is_over_or_the_former_socket_has_news(
    world: World, kind: str, call: str, what: str, answer: Any
) -> None:
    for news in (False, True):
        sock, peer = reader(world, kind)
        sock.settimeout(LONG)
        held = world.keep(sock.dup()) if news else None
        answers, join = waiting(world, lambda: sock.recv(10) if call == "recv" else sock.recvmsg(10)[0])  # noqa: B023
        os.dup2(other(world, what).fileno(), sock.fileno())
        if held is not None:
            peer.send(b"former")
        join()
        assert answers[0] == answer
        assert (answers[1] >= LONG * 0.9) == (what == "idle" or not news)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "sent", "accepted"),
    [("fresh", "EPIPE", "EINVAL"), ("ready", 4, "EINVAL"), ("idle", "EDESTADDRREQ", TIMED_OUT)],
)
def test_k116_so_do_a_send_and_an_accept(world: World, what: str, sent: Any, accepted: Any) -> None:
    listener = world.listener()
    for sock, call, answer in (
        (client := world.full_pair()[0], lambda: client.send(b"more"), sent),
        (listener, lambda: listener.accept()[1], accepted),
    ):
        sock.settimeout(LONG)
        answers, join = waiting(world, call)
        os.dup2(other(world, what).fileno(), sock.fileno())
        join()
        assert answers[0] == answer
        assert answers[1] >= LONG * 0.9


@pytest.mark.slow
def test_k116_a_connect_takes_the_error_of_who_has_its_number(world: World) -> None:
    listener = world.listener(backlog=0)
    world.client(listener)
    for what, answer in (("fresh", None), ("listening", TIMED_OUT), ("refused", "ECONNREFUSED")):
        sock = world.socket()
        sock.settimeout(LONG)
        answers, join = waiting(world, lambda: sock.connect(listener.getsockname()))  # noqa: B023
        new = {"listening": world.listener, "refused": world.refused}.get(what, world.socket)()
        os.dup2(new.fileno(), sock.fileno())
        join()
        assert answers[0] == answer
        assert answers[1] >= LONG * 0.9


@pytest.mark.slow
def test_k116_a_send_is_told_of_its_number_by_nothing_but_room(world: World) -> None:
    client, server = world.full_pair()
    client.settimeout(LONG)
    answers, join = waiting(world, lambda: client.send(b"more"))
    client.close()
    server.send(b"data")
    join()
    assert answers[0] == "EBADF"
    assert answers[1] >= LONG * 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unix", "udp"])
@pytest.mark.parametrize("by", ["setblocking", "os.set_blocking"])
def test_k116_a_read_in_vain_goes_by_the_timeout_of_then(world: World, kind: str, by: str) -> None:
    sock, peer = reader(world, kind)
    sock.settimeout(5.0 if by == "setblocking" else LONG)
    answers, join = waiting(world, lambda: sock.recv(10))
    if by == "setblocking":
        sock.setblocking(False)
    else:
        os.set_blocking(sock.fileno(), False)  # of which Python knows nothing
    if kind == "udp":
        sock.connect(peer.getsockname())
    sock.shutdown(socket.SHUT_RD)
    join()
    assert answers[0] == ("EAGAIN" if by == "setblocking" else TIMED_OUT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unix", "udp"])
@pytest.mark.parametrize(
    ("act", "answer"),
    [("close", "EBADF"), ("os.close", "EBADF"), ("dup2", "ENOTCONN"), ("setblocking", "EAGAIN")],
)
def test_k116_who_reads_in_vain_after_shut_rd_tries_until_that_makes_a_difference(
    world: World, kind: str, act: str, answer: Any
) -> None:
    sock, _ = reader(world, kind)
    sock.settimeout(5.0)
    answers, join = waiting(world, lambda: sock.recv(10))
    with contextlib.suppress(OSError):  # ENOTCONN, where there is no peer; and yet it takes effect
        sock.shutdown(socket.SHUT_RD)
    time.sleep(SOON)
    assert answers == []
    if act == "close":
        sock.close()
    elif act == "os.close":
        os.close(sock.detach())
    elif act == "dup2":
        os.dup2(world.socket().fileno(), sock.fileno())
    else:
        sock.setblocking(False)
    join()
    assert answers[0] == answer
    assert answers[1] < 2.0


def test_k116_a_read_is_told_of_its_number_by_data_that_somebody_else_takes(world: World) -> None:
    client, server = world.pair()
    twin = world.keep(client.dup())
    client.settimeout(5.0)
    twin.settimeout(5.0)
    answers, join = waiting(world, lambda: client.recv(10))
    others, join_other = waiting(world, lambda: twin.recv(10))
    client.close()
    server.send(b"for one")
    join()
    join_other()
    assert (answers[0], others[0]) == ("EBADF", b"for one")
    assert answers[1] < 2.0


@pytest.mark.slow
def test_k116_who_finds_its_number_closed_keeps_nothing_alive(world: World) -> None:
    class Witness:
        """What is gone with the frame that has it."""

    client, _ = world.pair()
    client.settimeout(LONG)
    seen: list[Any] = []

    def read() -> None:
        witness = Witness()
        seen.append(weakref.ref(witness))
        world.gives("EBADF", client.recv, 10)

    gc.disable()
    try:
        join = world.beside(read)
        time.sleep(SOON)
        client.close()
        join()
        assert seen[0]() is None
    finally:
        gc.enable()
