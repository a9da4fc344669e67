"""Sockets that a test makes through a host: the number is the test's, the kernel is the host's, whatever is made of the number."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simnet
from tests.certificates import contexts

both = pytest.mark.parametrize("network", [simnet.Network, simnet.RealNetwork])


def tell_who_asks(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        while True:
            connection, peer = listener.accept()
            with connection:
                connection.sendall(peer[0].encode())


def dup(sock: socket.socket) -> socket.socket:
    with sock:
        return sock.dup()


def from_number(sock: socket.socket) -> socket.socket:
    return socket.socket(fileno=sock.detach())


def from_fd(sock: socket.socket) -> socket.socket:
    with sock:
        return socket.fromfd(sock.fileno(), sock.family, sock.type)


def from_os(sock: socket.socket) -> socket.socket:
    with sock:
        return socket.socket(fileno=os.dup(sock.fileno()))


anew = pytest.mark.parametrize("again", [dup, from_number, from_fd, from_os])


@pytest.mark.parametrize(
    ("network", "again"),
    [
        *((simnet.Network, each) for each in (dup, from_number, from_fd, from_os)),
        *((simnet.RealNetwork, each) for each in (dup, from_number, from_fd)),  # of os.dup a real one sees nothing
    ],
)
def test_a_socket_made_anew_of_its_number_connects_from_its_host(
    network: Any, again: Callable[[socket.socket], socket.socket]
) -> None:
    with network() as net:
        client, server = net.host("client"), net.host("server")
        server.spawn(tell_who_asks, 7)
        with again(client.socket()) as sock:
            sock.settimeout(5)
            sock.connect(("server", 7))
            assert sock.makefile("rb").read() == client.address.encode()


@anew
def test_a_socket_made_anew_of_its_number_listens_on_its_host(again: Callable[[socket.socket], socket.socket]) -> None:
    with simnet.Network() as net:
        host = net.host("elsewhere")
        with again(host.socket()) as listener:
            listener.bind(("localhost", 7))  # its own, not the test's
            listener.listen()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("localhost", 7))
            host.connect(("localhost", 7)).close()


@anew
def test_a_datagram_of_a_socket_made_anew_comes_from_its_host(again: Callable[[socket.socket], socket.socket]) -> None:
    with simnet.Network() as net:
        host = net.host("elsewhere")
        with (
            socket.socket(type=socket.SOCK_DGRAM) as here,
            again(host.socket(type=socket.SOCK_DGRAM)) as there,
        ):
            here.bind(("", 9))
            there.sendto(b"?", ("test", 9))
            here.settimeout(5)
            assert here.recvfrom(9)[1][0] == host.address


@pytest.mark.slow
def test_tls_over_a_socket_of_a_host_is_spoken_from_there() -> None:
    inside, outside = contexts("server")

    def serve() -> None:
        with socket.create_server(("", 443)) as listener:
            connection, peer = listener.accept()
            with inside.wrap_socket(connection, server_side=True) as secret:
                secret.sendall(peer[0].encode())

    with simnet.Network() as net:
        net.host("server").spawn(serve)
        client = net.host("client")
        with outside.wrap_socket(client.socket(), server_hostname="server") as sock:
            sock.settimeout(5)
            sock.connect(("server", 443))
            assert isinstance(sock, ssl.SSLSocket)
            assert sock.recv(100) == client.address.encode()


@both
def test_clients_that_are_given_a_socket_of_a_host_are_driven_from_the_test(network: Any) -> None:
    async def ask(sock: socket.socket) -> bytes:
        reader, writer = await asyncio.open_connection(sock=sock)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    with network() as net:
        net.host("server").spawn(tell_who_asks, 7)
        for name in ("north", "south"):
            host = net.host(name)
            assert asyncio.run(ask(host.connect(("server", 7), timeout=5))) == host.address.encode()


@both
def test_a_program_goes_on_with_a_socket_that_it_was_given_when_the_test_has_ended(network: Any) -> None:
    answered = []
    # A real network is taken for quiet after 40 ms in which nothing moves, which may happen where the machine is busy.
    pauses = (0.0, 0.1) if network is simnet.Network else (0.0,)

    def answer(listener: socket.socket) -> None:
        with listener:
            for _ in pauses:
                with listener.accept()[0] as connection:
                    answered.append(connection.recv(100))

    def ask(pause: float) -> None:
        time.sleep(pause)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")

    with network() as net:
        net.host("server").spawn(answer, net.host("server").listen(7))
        for pause in pauses:
            net.host("client").spawn(ask, pause)  # the test has ended by then
    assert answered == [b"hello"] * len(pauses)
    assert not net.verdicts


@pytest.mark.slow
def test_so_a_sweep_finds_nothing_where_a_fault_ends_the_test_early() -> None:
    def answer(listener: socket.socket) -> None:
        while True:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.settimeout(5)
                while data := connection.recv(100):
                    connection.sendall(data)

    def test(net: simnet.Network) -> None:
        net.host("server").spawn(answer, net.host("server").listen(7))
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert sock.makefile("rb").read() == b"hello"

    result = simnet.sweep(target="server")(test).simnet_explore()  # type: ignore[attr-defined]
    assert result.interrupted
    assert not result.failures, [each.finding for each in result.failures]


def test_a_unix_listener_that_a_program_was_given_is_its_own_for_faults(tmp_path: Path) -> None:
    """Made by the test, and served by the test, it is support, as is a client of the same host."""
    path = str(tmp_path / "sock")

    def answer(listener: socket.socket) -> None:
        while True:
            with listener.accept()[0] as connection:
                connection.sendall(connection.recv(100))

    def test(net: simnet.Network) -> None:
        server = net.host("server")
        server.spawn(answer, server.listen(path))
        with server.connect(path, timeout=5) as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"

    result = simnet.sweep(target="server", kinds=["error"])(test).simnet_explore()  # type: ignore[attr-defined]
    assert "accept fails with EMFILE" in result.reports()[0].headline
