"""What is sent in many parts: a trace does not keep the rest of it with each part."""

from __future__ import annotations

import select
import socket

import pytest

import simnet
from simnet.explore.report.phrases import call_phrase
from simnet.trace import KEPT, Event, size_of

SIZE = 4 << 20


def swallow() -> int:
    with socket.create_server(("", 7)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with listener.accept()[0] as sock:
            return sum(map(len, iter(lambda: sock.recv(65_536), b"")))


def pour(timeout: float | None) -> list[Event]:
    """The sends of SIZE bytes through small buffers."""
    with simnet.Network() as net:
        server = net.host("server").spawn(swallow)
        with socket.create_connection(("server", 7)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            sock.settimeout(timeout)
            if timeout == 0:
                left = bytes(SIZE)
                while left:
                    select.select([], [sock], [])
                    left = left[sock.send(left) :]
            else:
                sock.sendall(bytes(SIZE))
        server.join()
        assert server.result == SIZE
        return [event for event in net.trace.of("call") if event.op == "send"]


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [None, 60, 0], ids=["waits", "waits-so-long", "asks-again"])
def test_a_big_payload_is_kept_once_however_many_parts_it_is_sent_in(timeout: float | None) -> None:
    sends = pour(timeout)
    parts = [event for event in sends if event.result != size_of(event.arguments[0])]
    assert len(parts) > 20
    assert sum(len(event.arguments[0]) for event in sends) < SIZE + 2 * KEPT * len(sends)


def test_a_part_is_told_of_the_whole() -> None:
    first = pour(0)[0]
    assert size_of(first.arguments[0]) == SIZE > len(first.arguments[0])
    assert call_phrase(first).startswith(f"send {first.result} of {SIZE:,} B  b'")
    assert call_phrase(first).endswith(f" {SIZE:,} B")
