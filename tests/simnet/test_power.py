"""A host that crashes leaves silence behind; one that comes up again knows nothing of its connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

import dispatch
import simnet
from tests.simnet.servers import echo


class Echo(dispatch.Stream):
    def handle_data(self, data: bytes) -> None:
        self.write(data)


def by_loop(port: int) -> None:
    with dispatch.Loop() as loop:
        dispatch.Listener(("", port), Echo, loop=loop)
        loop.run()


def by_asyncio(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(answer, None, port) as server:
            await server.serve_forever()

    asyncio.run(serve())


def asks(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    with sock.makefile("rb") as replies:
        return replies.read(len(data))


@pytest.mark.parametrize("serve", [by_loop, by_asyncio, pytest.param(echo, id="by_hand")])
def test_peers_of_a_crashed_host_see_silence_and_after_its_restart_a_reset(serve: Callable[[int], None]) -> None:
    with simnet.Network() as net:
        server = net.host("server")
        process = server.spawn(serve, 7)
        sock = socket.create_connection(("server", 7), timeout=5)
        assert asks(sock, b"before") == b"before"
        sock.sendall(b"on its way")
        server.crash()
        assert (process.done, process.error) == (True, None)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        with pytest.raises(TimeoutError):
            socket.create_connection(("server", 7), timeout=3)
        server.restart()
        with pytest.raises(ConnectionResetError):  # its kernel repeats what was lost, and theirs has never heard of it
            sock.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("server", 7))
        server.spawn(serve, 7)
        with socket.create_connection(("server", 7)) as again:
            assert asks(again, b"after") == b"after"
        sock.close()
    assert net.verdicts == []
    assert net.handler_errors == []


def test_who_has_nothing_to_send_learns_of_a_crash_when_it_has() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        server.spawn(echo, 7)
        with socket.create_connection(("server", 7), timeout=5) as idle:
            net.sleep(1)  # the last of the handshake has arrived, too
            server.restart()
            net.sleep(100)
            idle.sendall(b"still there?")
            with pytest.raises(ConnectionResetError):
                idle.recv(1)


@pytest.mark.parametrize("told", [b"", b"before"])
def test_who_came_up_again_connects_from_the_port_that_it_had_before(told: bytes) -> None:
    """The other end still holds that connection, says so, and is told that it is gone; then it takes the new one: RFC 5961, 4.2."""
    with simnet.Network(invariants={"nothing-left": "off: nobody reads there"}) as net:
        listener = net.host("server").listen(7)
        client = net.host("client")
        before = client.connect(("server", 7), timeout=5)
        before.sendall(told)
        old, address = listener.accept()
        client.restart()
        new = client.connect(("server", 7), timeout=5)
        assert new.getsockname() == address
        assert not told or old.recv(100) == told
        with pytest.raises(ConnectionResetError):
            old.recv(100)
        accepted, _ = listener.accept()
        new.sendall(b"after")
        assert accepted.recv(100) == b"after"


def test_a_crashed_host_runs_nothing_until_it_is_restarted() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        server.crash()
        server.crash()  # no less than once
        for begin in (lambda: server.spawn(print), lambda: server.listen(7), lambda: server.connect(("test", 7))):
            with pytest.raises(RuntimeError, match=r"the host server has crashed: restart\(\) it first"):
                begin()
        net.host("other")  # a link that is made while one end has no power
        with pytest.raises(TimeoutError):
            net.host("other").connect(("server", 7), timeout=1)
        server.restart()
        assert server.run(lambda: socket.gethostname()) == "server"


def test_the_end_of_a_process_by_a_crash_is_seen_by_who_joins_it_and_runs_its_finally() -> None:
    ends: list[Any] = []

    def serve() -> None:
        listener = socket.create_server(("", 7))
        try:
            listener.accept()
        finally:
            with contextlib.suppress(OSError):
                listener.accept()
            ends.append(net.time)

    with simnet.Network() as net:
        server = net.host("server")
        process = server.spawn(serve)
        net.host("killer").spawn(lambda: (time.sleep(1), server.crash()))
        assert process.join(timeout=5)
        assert net.time == 1
    assert ends == [1]


def test_sockets_of_a_crashed_host_that_a_test_holds_say_that_the_network_is_down() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        listener, datagrams = server.listen(7), server.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("", 53))
        with socket.create_connection(("server", 7)):
            conn, _ = listener.accept()
            server.crash()
            for call in (conn.recv, datagrams.recv):
                with pytest.raises(OSError, match="Network is down") as caught:
                    call(1)
                assert caught.value.errno == errno.ENETDOWN
            with pytest.raises(OSError, match="Invalid argument"):
                listener.accept()
        for sock in (conn, listener, datagrams):
            sock.close()


def test_a_host_does_not_cut_its_own_power() -> None:
    with simnet.Network() as net:
        server = net.host("server")
        with pytest.raises(
            RuntimeError, match="server/<lambda> runs on server: a host's power is cut from another one"
        ):
            server.run(lambda: server.crash())
        other = net.host("other").spawn(lambda: net.host("test").crash())
        other.join()
        assert str(other.error) == "test runs on test: a host's power is cut from another one"
        other.answered = True
        with pytest.raises(RuntimeError, match="test runs on test"):
            net.host("test").restart()


def outage(net: simnet.Network) -> list[bytes]:
    """A client that comes again until it has its answer."""
    server = net.host("server")
    server.spawn(by_loop, 7)
    got = []
    for _ in range(2):
        with contextlib.suppress(OSError), socket.create_connection(("server", 7), timeout=1) as sock:
            got.append(asks(sock, b"hello"))
            if len(got) == 1:
                server.restart()
                server.spawn(by_loop, 7)
    return got


@pytest.mark.slow
def test_a_test_with_a_crash_can_be_swept_and_shows_it() -> None:
    result = simnet.check(outage, target="server", kinds=["short-recv", "reset", "stall"])
    assert result.baseline.outcome.returned == [b"hello", b"hello"]
    assert result.runs > 50
    from simnet.explore.report.ladder import ladder

    shown = ladder(result.baseline.trace, whole=True)
    assert "the power is cut" in shown
    assert "comes up again" in shown
    assert simnet.play(outage).digest == simnet.play(outage).digest
