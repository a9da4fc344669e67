"""TLS connections that two threads use at once: one reads, as the other one writes."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from random import Random

import pytest

import simnet
from tests import certificates

Networks = pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])


def told(seed: int, size: int) -> bytes:
    return Random(seed).randbytes(size)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each of *calls* gives, or the error that it ends in, each in a thread."""
    found: list[object] = [None] * len(calls)

    def run(index: int, call: Callable[[], object]) -> None:
        try:
            found[index] = call()
        except OSError as error:
            found[index] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def talk(sock: ssl.SSLSocket, data: bytes, size: int, pause: float) -> list[object]:
    """Send *data* and read *size* bytes, at once."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that who writes has to wait for room
    return at_once(lambda: write_all(sock, data), lambda: read_all(sock, size, pause))


def write_all(sock: ssl.SSLSocket, data: bytes) -> None:
    for start in range(0, len(data), 30_000):
        sock.sendall(data[start : start + 30_000])


def read_all(sock: ssl.SSLSocket, size: int, pause: float = 0) -> bytes:
    data = bytearray()
    while len(data) < size and (part := sock.recv(5000)):
        data += part
        if pause:
            time.sleep(pause)
    return bytes(data)


@pytest.mark.slow
@Networks
def test_a_thread_that_reads_sends_nothing_of_what_another_one_writes(network: type[simnet.Network]) -> None:
    inside, outside = certificates.contexts("server")
    request, answer = told(1, 300_000), told(2, 300_000)
    seen: dict[str, list[object]] = {}

    def serve() -> None:
        with socket.create_server(("", 443)) as listener, inside.wrap_socket(listener.accept()[0], True) as sock:
            seen["server"] = talk(sock, answer, len(request), 0)

    def ask() -> None:
        with (
            socket.create_connection(("server", 443)) as plain,
            outside.wrap_socket(plain, server_hostname="server") as sock,
        ):
            seen["client"] = talk(sock, request, len(answer), 0.001)

    with network() as net:
        server = net.host("server").spawn(serve)
        net.host("server").wait_listening(443)
        net.host("client").run(ask)
        server.join()

    assert seen == {"server": [None, request], "client": [None, answer]}


def test_what_a_second_thread_writes_comes_behind_what_the_first_one_does() -> None:
    inside, outside = certificates.contexts("server")
    long, short = told(1, 600_000), told(2, 30_000)
    got: list[bytes] = []

    def serve() -> None:
        with socket.create_server(("", 443)) as listener, inside.wrap_socket(listener.accept()[0], True) as sock:
            time.sleep(1)  # and both of them write, to a full connection
            got.append(read_all(sock, len(long) + len(short)))
            sock.sendall(b"all")

    def ask() -> None:
        with (
            socket.create_connection(("server", 443)) as plain,
            outside.wrap_socket(plain, server_hostname="server") as sock,
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            assert at_once(lambda: sock.send(long), lambda: sock.send(short)) == [len(long), len(short)]
            assert sock.recv(3) == b"all"  # else what lies unread would make its close a reset

    with simnet.Network() as net:
        server = net.host("server").spawn(serve)
        net.host("server").wait_listening(443)
        net.host("client").run(ask)
        server.join()

    assert got == [long + short]
