"""For all seeds of transparent faults: what goes in at one end of ``ssl.SSLSocket`` comes out at the other, and returns."""

from __future__ import annotations

import select
import socket
import ssl
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
from tests.certificates import contexts

INSIDE, OUTSIDE = contexts("server")
WANTS = {ssl.SSLWantReadError: select.POLLIN, ssl.SSLWantWriteError: select.POLLOUT}


def serve_waiting(port: int) -> None:
    with INSIDE.wrap_socket(socket.create_server(("", port)), server_side=True) as listener:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1000):
                connection.sendall(data)
            connection.unwrap()


def serve_by_poll(port: int) -> None:
    with socket.create_server(("", port)) as listener:
        plain, _ = listener.accept()
    plain.setblocking(False)
    with INSIDE.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as connection:
        poll = select.poll()

        def once_ready(call: Any, *arguments: Any) -> Any:
            while True:
                try:
                    return call(*arguments)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wants:
                    poll.register(connection, WANTS[type(wants)])
                    poll.poll()

        once_ready(connection.do_handshake)
        while data := once_ready(connection.recv, 1000):
            while data:
                data = data[once_ready(connection.send, data) :]
        once_ready(connection.unwrap)


@pytest.mark.slow
@pytest.mark.parametrize("serve", [serve_waiting, serve_by_poll])
@given(seed=st.integers(0, 2**32), size=st.integers(1, 60_000), rate=st.sampled_from([0.01, 0.1]))
@settings(max_examples=20, deadline=None)
def test_every_byte_comes_back(serve: Any, seed: int, size: int, rate: float) -> None:
    payload = (b"0123456789abcdef" * 4000)[:size]
    with simnet.Network(rates=simnet.FaultRates.even(rate, seed=seed)) as net:
        net.host("server").spawn(serve, 443)
        with OUTSIDE.wrap_socket(socket.create_connection(("server", 443)), server_hostname="server") as client:
            received = b""
            client.sendall(payload)
            while len(received) < size:
                received += client.recv(65536)
            assert received == payload
            assert client.unwrap() is client
