"""Sockets that a program uses by number: on real sockets, too, its calls wait or do not as it has asked, and are a plan's to touch."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simnet import Network
from simnet.realnet import RealNetwork

both = pytest.mark.parametrize("network", [Network, RealNetwork])


def said(call: Callable[..., Any], *args: Any) -> Any:
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def talk(network: Any, serve: Callable[[socket.socket], Any], plan: str = "") -> Any:
    """What *serve* says of a connection on which a client says something after a while."""

    def server() -> Any:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            return serve(connection)

    with network(plan, target="server") as net:
        process = net.host("server").spawn(server)
        with socket.create_connection(("server", 7), timeout=3) as sock:
            time.sleep(0.03)
            sock.sendall(b"hello")
            process.join(5)
        assert process.error is None
        assert not net.unreached
        return process.result


def by_fcntl(connection: socket.socket) -> None:
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_NONBLOCK)


def by_os(connection: socket.socket) -> None:
    os.set_blocking(connection.fileno(), False)


def by_a_twin(connection: socket.socket) -> None:
    with connection.dup() as twin:
        twin.setblocking(False)


def by_both(connection: socket.socket) -> None:
    connection.setblocking(False)
    os.set_blocking(connection.fileno(), True)


@both
@pytest.mark.parametrize("how", [None, by_fcntl, by_os, by_a_twin, by_both])
def test_what_its_flag_says_is_what_its_calls_do(network: Any, how: Any) -> None:
    def serve(connection: socket.socket) -> list[Any]:
        if how is not None:
            how(connection)
        waits = os.get_blocking(connection.fileno())
        assert waits is not bool(fcntl.fcntl(connection, fcntl.F_GETFL) & os.O_NONBLOCK)
        return [waits, said(connection.recv, 100)]

    assert talk(network, serve) == ([True, b"hello"] if how in (None, by_both) else [False, "EAGAIN"])


@both
def test_who_reads_and_writes_by_number_waits_as_long_as_it_takes(network: Any) -> None:
    def serve(connection: socket.socket) -> list[Any]:
        fd = connection.fileno()
        rest = bytearray(9)
        return [os.read(fd, 2), os.readv(fd, [bytearray(1), rest]), bytes(rest[:2]), os.write(fd, bytes(1 << 21))]

    def test() -> Any:
        with network(target="server") as net:
            process = net.host("server").spawn(lambda: serve_once(serve))
            with socket.create_connection(("server", 7), timeout=3) as sock:
                time.sleep(0.03)
                sock.sendall(b"hello")
                time.sleep(0.03)
                got = 0
                while got < 1 << 21:
                    got += len(sock.recv(1 << 18))
                process.join(5)
            return process.result

    def serve_once(serve: Callable[[socket.socket], Any]) -> Any:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            return serve(connection)

    assert test() == [b"he", 3, b"lo", 1 << 21]


@both
def test_a_fault_acts_on_a_read_by_number(network: Any) -> None:
    def serve(connection: socket.socket) -> list[bytes]:
        return [os.read(connection.fileno(), 100), os.read(connection.fileno(), 100)]

    plan = "short-recv test->server:7#1 end=server call=1 bytes=2"
    assert talk(network, serve, plan) == [b"he", b"llo"]


@both
def test_what_is_written_by_number_counts_for_a_fault_on_bytes(network: Any) -> None:
    def server() -> None:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            os.writev(connection.fileno(), [b"he", b"llo"])
            connection.recv(1)

    with network("eof test->server:7#1 end=client byte=3", target="server") as net:
        net.host("server").spawn(server)
        with socket.create_connection(("server", 7), timeout=3) as sock:
            assert [sock.recv(100), sock.recv(100)] == [b"hel", b""]
        assert not net.unreached


@both
def test_a_number_that_fcntl_gives_is_of_the_same_socket(network: Any) -> None:
    def serve(connection: socket.socket) -> bytes:
        fd = fcntl.fcntl(connection, fcntl.F_DUPFD_CLOEXEC, 3)
        connection.close()
        with socket.socket(fileno=fd) as again:
            return again.recv(9)

    plan = "short-recv test->server:7#1 end=server call=1 bytes=3"
    assert talk(network, serve, plan) == b"hel"


@both
def test_what_is_wrong_with_a_call_by_number_python_says_and_nothing_is_read(network: Any) -> None:
    def serve(connection: socket.socket) -> list[Any]:
        fd = connection.fileno()
        with pytest.raises(BufferError):
            os.readv(fd, [bytes(3)])  # type: ignore[list-item]
        with pytest.raises(TypeError, match="bytes-like object is required, not 'str'"):
            os.write(fd, "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="set_blocking expected 2 arguments, got 1"):
            os.set_blocking(fd)  # type: ignore[call-arg]
        return [said(os.read, fd, -1), os.read(fd, 9)]

    assert talk(network, serve) == ["EINVAL", b"hello"]


@both
@pytest.mark.parametrize("by_name", [False, True])
def test_a_file_that_is_sent_by_number_counts_for_a_fault_on_bytes(network: Any, by_name: bool, tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"0123456789" * 20_000)

    def server() -> list[int]:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection, path.open("rb") as file:
            there = {"out_fd": connection.fileno(), "in_fd": file.fileno()}
            if by_name:
                told = [os.sendfile(**there, offset=0, count=200_000)]
            else:
                told = [os.sendfile(*there.values(), None, 200_000)]
            return [
                *told,
                file.tell(),
                os.sendfile(*there.values(), 199_990, 99),
                said(os.sendfile, *there.values(), 0, -1),
            ]

    with network("stall test->server:7#1 end=client byte=100000 seconds=0.02", target="server") as net:
        process = net.host("server").spawn(server)
        with socket.create_connection(("server", 7), timeout=3) as sock:
            got = b""
            while piece := sock.recv(1 << 16):
                got += piece
        assert got == path.read_bytes() + b"0123456789"
        assert process.result == [200_000, 0 if by_name else 200_000, 10, "EINVAL"]
        assert not net.unreached


@both
def test_a_number_that_was_closed_behind_pythons_back_is_a_pipes_when_it_is(network: Any) -> None:
    def serve(connection: socket.socket) -> bytes:
        fd = connection.detach()
        with os.fdopen(fd, "rb", buffering=0):
            pass
        there, here = os.pipe()
        assert fd in (there, here) or network is Network
        os.write(here, b"through")
        through = os.read(there, 9)
        os.close(there)
        os.close(here)
        return through

    assert talk(network, serve) == b"through"


def test_what_a_fault_does_leaves_no_number_of_a_socket_behind() -> None:
    def serve() -> int:
        with socket.create_server(("", 7)) as listener, listener.accept()[0] as connection:
            return len(connection.recv(9)) + len(connection.recv(9))

    with RealNetwork("eof test->server:7#1 end=server byte=3", target="server") as net:
        server = net.host("server").spawn(serve)
        with socket.create_connection(("server", 7)) as sock:
            sock.sendall(b"hello")
            assert net._stage.files[sock.fileno()].fds == [sock.fileno()]
            server.join(5)
        assert server.result == 3
        assert not net._stage.files


@both
def test_a_call_of_a_closed_socket_reaches_no_kernel_and_no_plan(network: Any) -> None:
    def serve(connection: socket.socket) -> list[Any]:
        told = [connection.recv(9), said(connection.send, b"no")]
        connection.close()
        return [*told, said(connection.send, b"more"), said(connection.recv, 1), said(connection.shutdown, 1)]

    def server() -> Any:
        with socket.create_server(("", 7)) as listener:
            return serve(listener.accept()[0])

    with network("error test->server:7#1 end=server send call=2 errno=ENOBUFS", target="server") as net:
        process = net.host("server").spawn(server)
        with socket.create_connection(("server", 7), timeout=3) as sock:
            sock.sendall(b"hello")
            process.join(5)
    assert process.result == [b"hello", 2, "EBADF", "EBADF", "EBADF"]
    assert len(net.unreached) == 1
