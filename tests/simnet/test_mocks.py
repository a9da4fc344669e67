"""What a test puts into ``socket.socket`` in a method's place, a mock above all, is called by the sockets of a run."""

from __future__ import annotations

import contextlib
import socket
from typing import Any
from unittest import mock

import pytest

import simnet

SERVER = ("server", 7)


def echo() -> None:
    with socket.create_server(("", 7)) as listener:
        while True:
            conn, _ = listener.accept()
            with conn, contextlib.suppress(OSError):
                while data := conn.recv(100):
                    conn.send(data)


def ask() -> bytes:
    with socket.create_connection(SERVER) as sock:
        sock.sendall(b"hello")
        return sock.recv(100)


@mock.patch("socket.socket.connect", side_effect=ConnectionRefusedError("a mock says so"))
def test_a_mock_from_before_the_run_is_called(connect: mock.Mock) -> None:
    with simnet.Network() as net:
        address = (net.host("server").address, 7)
        with pytest.raises(ConnectionRefusedError, match="a mock says so"):
            ask()
    connect.assert_called_once_with(address)


def test_a_mock_is_called_as_long_as_it_is_there() -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo)
        with mock.patch.object(socket.socket, "sendall", side_effect=BrokenPipeError):
            sock = socket.create_connection(SERVER)
            with pytest.raises(BrokenPipeError):
                sock.sendall(b"hello")
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"
        sock.close()
        assert ask() == b"hello"


def test_what_stands_in_may_call_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    with simnet.Network() as net:
        net.host("server").spawn(echo)
        sendall = socket.socket.sendall

        def loudly(sock: socket.socket, data: bytes) -> None:
            sent.append(data)
            sendall(sock, data.upper())

        monkeypatch.setattr(socket.socket, "sendall", loudly)
        assert ask() == b"HELLO"
        monkeypatch.undo()
        assert ask() == b"hello"
    assert sent == [b"hello"]


def test_the_machines_own_method_is_no_other_when_it_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pytest-socket does behind each test, also where a network goes on from one to the next."""
    with simnet.Network() as net:
        net.host("server").spawn(echo)
        monkeypatch.setattr(socket.socket, "connect", socket.SocketType.connect)
        assert ask() == b"hello"


def test_a_socket_that_is_there_calls_what_is_put_there_later(monkeypatch: pytest.MonkeyPatch) -> None:
    with simnet.Network() as net:
        net.host("server").spawn(echo)
        with socket.create_connection(SERVER) as sock:
            with mock.patch("socket.socket.sendall", side_effect=BrokenPipeError) as sendall:
                with pytest.raises(BrokenPipeError):
                    sock.sendall(b"hello")
            sendall.assert_called_once_with(b"hello")
            with mock.patch.object(socket.socket, "recv", return_value=b"mocked") as recv:
                assert sock.recv(100) == b"mocked"
            recv.assert_called_once_with(100)
            monkeypatch.setattr("socket.socket.send", lambda _, data: len(data))
            assert sock.send(b"is not sent") == 11
            monkeypatch.undo()
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"


def test_accepted_connections_and_those_of_a_host_have_it_too() -> None:
    with simnet.Network() as net:
        with mock.patch("socket.socket.recv", return_value=b"mocked"):
            listener = net.host("server").listen(7)
            near = net.host("client").connect(SERVER)
            far, _ = listener.accept()
            assert near.recv(100) == far.recv(100) == b"mocked"


def refused(*_: Any) -> None:
    raise ConnectionRefusedError


def test_what_one_run_of_a_sweep_leaves_there_is_called_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_a_datagram() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.sendto(b"hello", SERVER)

    def body(net: simnet.Network) -> str:
        net.host("server").spawn(echo)
        net.host("client").run(send_a_datagram)  # else no fault could act
        monkeypatch.setattr(socket.socket, "connect", refused)  # pytest takes it away when all runs are over
        try:
            return repr(ask())
        except ConnectionRefusedError:
            return "refused"

    result = simnet.check(body, target="client", runs=3)
    assert result.baseline is not None
    assert result.baseline.outcome.returned == "refused"


def guarded(*_: Any) -> None:
    raise AssertionError("no socket of the machine's own is to connect")


def test_a_guard_of_the_machines_own_sockets_is_none_of_simulated_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", guarded)
    with simnet.Network() as net:
        net.host("server").spawn(echo)
        assert ask() == b"hello"
