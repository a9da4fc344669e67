"""What carries a channel needs no more than ``dispatch.interfaces`` asks for."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import dispatch
from dispatch import interfaces
from dispatch.kernel import KernelNetwork
from tests.dispatch.conftest import Recorder

ASKED = [name for name in vars(interfaces.Socket) if not name.startswith("_")]


class Slim:
    """A socket of somebody else's, with no other names."""

    def __init__(self, sock: Any) -> None:
        for name in ASKED:
            setattr(self, name, getattr(sock, name))
        self.accept = lambda: accepted(*sock.accept())


def accepted(sock: Any, addr: Any) -> tuple[Slim, Any]:
    return Slim(sock), addr


class SlimNetwork(KernelNetwork):
    def socket(self, family: int, type: int, proto: int = 0) -> Any:
        return Slim(super().socket(family, type, proto))

    def socketpair(self) -> tuple[Any, Any]:
        one, other = super().socketpair()
        return Slim(one), Slim(other)


@pytest.fixture
def loop(world):
    return world.loop(network=SlimNetwork())


def test_streams_need_no_more(world, loop):
    class Echo(Recorder):
        def handle_data(self, data):
            self.write(data)

    listener = world.listen(loop, Echo)
    client = Recorder(loop=loop)
    client.connect(listener.addr)
    client.write(b"x" * 300_000)
    client.write_from([b"y"] * 10)
    client.write_eof()
    loop.call_soon_threadsafe(listener.close)
    loop.run()

    assert client.data == b"x" * 300_000 + b"y" * 10
    assert client.events[-2:] == ["eof", ("close", None)]


def test_datagrams_need_no_more(world, loop):
    class Told(dispatch.Datagram):
        def handle_datagram(self, data, addr):
            told.append((data, addr))

    told = []
    one, other = Told(("127.0.0.1", 0), loop=loop), Told(("127.0.0.1", 0), loop=loop)
    one.send(b"hello", other.addr)
    world.run(loop, lambda: told)

    assert told == [(b"hello", one.addr)]


def test_dispatchers_need_no_more(world, loop):
    class Told(dispatch.Dispatcher):
        def handle_accepted(self, sock, addr):
            told.append(addr)
            sock.close()

        def handle_read(self):
            told.append(self.recv(10))

    told = []
    listening, client = Told(loop=loop), Told(loop=loop)
    listening.create_socket()
    listening.set_reuse_addr()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    client.create_socket(socket.AF_INET)
    client.connect(listening.addr)
    world.run(loop, lambda: client.closed)

    assert told[-1] == b""
