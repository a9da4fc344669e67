"""``netstat()``: every socket of a network at one moment, the same table on simulated and on real sockets."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import simnet


@pytest.fixture(params=["Network", "RealNetwork"])
def network(request: pytest.FixtureRequest) -> Any:
    with getattr(simnet, request.param)() as net:
        yield net


def shown(net: Any) -> list[tuple[str, str, str, str]]:
    """Host, protocol, port and state of each row."""
    return sorted((row.host, row.proto, row.local.rpartition(":")[2], row.state) for row in net.netstat())


@pytest.mark.slow
def test_listeners_and_connections_stand_in_it_with_their_states(network: Any) -> None:
    listener = network.host("server").listen(7)
    client = socket.create_connection(("server", 7))
    server, _ = listener.accept()
    port = str(client.getsockname()[1])
    assert shown(network) == [
        ("server", "tcp", "7", "ESTABLISHED"),
        ("server", "tcp", "7", "LISTEN"),
        ("test", "tcp", port, "ESTABLISHED"),
    ]
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    assert ("server", "tcp", "7", "CLOSE_WAIT") in shown(network)
    network.sleep(0.1)  # until the kernel acknowledges the FIN
    assert ("test", "tcp", port, "FIN_WAIT2") in shown(network)
    for sock in (listener, client, server):
        sock.close()
    assert shown(network) == []


def test_the_columns_of_a_connection_say_who_talks_to_whom_and_what_is_unread(network: Any) -> None:
    with network.host("server").listen(7) as listener, socket.create_connection(("server", 7)) as client:
        network.sleep(0.01)
        waiting = next(row for row in network.netstat() if row.state == "LISTEN")
        assert waiting.recv_q == 1  # nobody has accepted it yet
        assert waiting.peer == "*:*"
        server, _ = listener.accept()
        with server:
            client.sendall(b"abc")
            network.sleep(0.01)
            row = next(row for row in network.netstat() if row.fd == server.fileno())
            host, port = client.getsockname()
            assert (row.recv_q, row.send_q, row.peer) == (3, 0, f"{host}:{port}")
            assert row.tag == "test->server:7#1"
    assert str(network.netstat()).split() == ["Host", "Proto", "Recv-Q", "Send-Q", "Local", "Peer", "State"]


def test_datagram_and_fresh_sockets_stand_in_it(network: Any) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as bound, socket.socket():
        bound.bind(("", 5))
        assert shown(network) == [("test", "tcp", "*", "CLOSED"), ("test", "udp", "5", "CLOSED")]
        bound.connect(("test", 9))
        assert ("test", "udp", "5", "ESTABLISHED") in shown(network)


def test_unix_sockets_are_named_by_their_paths(network: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        rows = {(row.proto, row.local, row.peer, row.state) for row in network.netstat()}
        assert rows == {("unix", path, "*:*", "LISTEN"), ("unix", "*:*", path, "ESTABLISHED")}
