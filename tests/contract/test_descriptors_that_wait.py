"""K-133: a socket whose object says another thing than its descriptor, of which each dup may set whether it waits."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from simnet.conform.words import outcome
from tests.contract.test_closed_meanwhile import waiting
from tests.contract.worlds import World


def full(world: World, kind: int) -> tuple[Any, Any]:
    """Two connected Unix sockets, of which the first has no room for 3000 bytes more."""
    here, there = (world.keep(each) for each in socket.socketpair(socket.AF_UNIX, kind))
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    for each in (here, there):
        each.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            here.send(bytes(1000))
    return here, there


def drain(sock: Any) -> None:
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536):
            pass


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_k133_a_sendfile_waits_for_room_whatever_its_descriptor_does(world: World, tmp_path: Path, kind: int) -> None:
    here, there = full(world, kind)
    here.settimeout(None)
    os.set_blocking(here.fileno(), False)
    path = tmp_path / "file"
    path.write_bytes(bytes(3000))
    with path.open("rb") as file:
        answers, join = waiting(world, lambda: here.sendfile(file))
        drain(there)
        join()
    assert answers[0] == 3000


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
@pytest.mark.parametrize("call", ["send", "sendall", "sendmsg"])
def test_k133_a_send_waits_for_room_if_its_descriptor_does(world: World, kind: int, call: str) -> None:
    here, there = full(world, kind)
    os.set_blocking(here.fileno(), True)
    assert here.gettimeout() == 0.0
    payload: Any = [bytes(3000)] if call == "sendmsg" else bytes(3000)
    answers, join = waiting(world, lambda: getattr(here, call)(payload))
    drain(there)
    join()
    assert answers[0] == (None if call == "sendall" else 3000)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_k133_a_send_that_waits_by_its_descriptor_takes_the_error(world: World, kind: int) -> None:
    here, there = full(world, kind)
    os.set_blocking(here.fileno(), True)
    answers, join = waiting(world, lambda: here.send(bytes(3000)))
    there.close()  # with unread data
    join()
    assert answers[0] == "ECONNRESET"
    assert outcome(lambda: here.send(b"x")) == "EPIPE"
