"""A send that finds no room for a while, as where the peer does not read: who waits for room goes on, who does not is told."""

from __future__ import annotations

import errno
import select
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import simnet
from simnet import FaultPlan, faults
from simnet.explore.options import SweepOptions
from simnet.explore.sweep import run_sweep
from simnet.faults import FaultError

PLACES = [
    pytest.param(7, "test->server:7#1", id="tcp"),
    pytest.param("/run/app.sock", "server->server:/run/app.sock#1", id="unix"),
]
FULL = 0.05  # seconds


@contextmanager
def pair(port: int | str, place: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end and the server's, whose first send finds no room; neither waits."""
    plan = FaultPlan([faults.WouldBlock(on=place, end="server", op="send", call=1, seconds=FULL)])
    with simnet.Network(plan, target=["server", "test"]) as net, net.host("server").listen(port) as listener:
        client = socket.socket() if isinstance(port, int) else net.host("server").socket(socket.AF_UNIX)
        client.connect(("server", port) if isinstance(port, int) else port)
        with listener.accept()[0] as server:
            client.setblocking(False)
            server.setblocking(False)
            yield client, server
        client.close()


def code_of(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


def mask(sock: socket.socket) -> int:
    poller = select.poll()
    poller.register(sock, select.POLLIN | select.POLLOUT)
    return dict(poller.poll(0)).get(sock.fileno(), 0)


@pytest.mark.parametrize(("port", "place"), PLACES)
def test_there_is_no_room_until_the_time_is_over_and_all_of_it_then(port: int | str, place: str) -> None:
    with pair(port, place) as (client, server):
        began = time.monotonic()
        assert mask(server) == select.POLLOUT
        for _ in range(3):
            assert code_of(lambda: server.send(b"hello")) == errno.EAGAIN
            assert code_of(lambda: server.sendmsg([b"hello"])) == errno.EAGAIN
        assert mask(server) == 0
        client.send(b"go on")  # that direction is as ever
        time.sleep(FULL / 2)
        assert mask(server) == select.POLLIN
        assert server.recv(100) == b"go on"
        assert select.select([], [server], [], 1) == ([], [server], [])
        assert time.monotonic() - began == pytest.approx(FULL, abs=1e-6)
        assert server.send(b"hello") == 5
        time.sleep(0.01)
        assert client.recv(100) == b"hello"


@pytest.mark.parametrize(("port", "place"), PLACES)
def test_an_edge_triggered_poller_is_told_when_there_is_room(port: int | str, place: str) -> None:
    with pair(port, place) as (_, server), select.epoll() as poller:
        poller.register(server, select.EPOLLOUT | select.EPOLLET)
        assert poller.poll(0) == [(server.fileno(), select.EPOLLOUT)]
        assert code_of(lambda: server.send(b"hello")) == errno.EAGAIN
        assert poller.poll(FULL / 2) == []
        assert poller.poll(1) == [(server.fileno(), select.EPOLLOUT)]
        assert poller.poll(0) == []


@pytest.mark.parametrize(("port", "place"), PLACES)
def test_the_end_of_the_peer_is_told_meanwhile(port: int | str, place: str) -> None:
    with pair(port, place) as (client, server):
        assert code_of(lambda: server.send(b"hello")) == errno.EAGAIN
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        time.sleep(FULL / 2)
        assert mask(server) & select.POLLHUP
        assert code_of(lambda: server.send(b"hello")) in (errno.EPIPE, errno.ECONNRESET)


@pytest.mark.parametrize(("port", "place"), PLACES)
def test_who_closes_meanwhile_has_closed(port: int | str, place: str) -> None:
    with pair(port, place) as (client, server):
        assert code_of(lambda: server.send(b"hello")) == errno.EAGAIN
        server.close()
        time.sleep(2 * FULL)
        assert client.recv(100) == b""


def test_it_is_for_sends_and_lasts() -> None:
    on = "client->server:7#1"
    for wrong, told in (({"op": "recv"}, "is for a send"), ({"seconds": 0}, "is too short")):
        given = {"op": "send", "seconds": 1, **wrong}
        with pytest.raises(FaultError, match=told):
            faults.WouldBlock(on=on, end="server", call=1, **given)
    line = f"would-block {on} end=server send call=1 seconds=0.05"
    assert str(faults.WouldBlock(on=on, end="server", op="send", call=1, seconds=0.05)) == line
    assert (
        FaultPlan.parse(line)[0]
        .sentence()
        .endswith("said EAGAIN, and for 0.05 s there was no room: the peer did not read")
    )


# --- what a sweep finds by it ----------------------------------------------------------------------------------------


def ticker(append: bool) -> None:
    """Two lines, one after the other; who does not *append* forgets what waits to be sent."""
    with socket.create_server(("", 7)) as listener:
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            unsent = b""
            with sock, selectors.DefaultSelector() as selector:
                selector.register(sock, selectors.EVENT_WRITE)
                for line in (b"one\n", b"two\n", b""):
                    unsent = unsent + line if append else line or unsent
                    due = time.monotonic() + 0.01
                    while unsent and selector.select(max(0, due - time.monotonic()) if line else None):
                        try:
                            unsent = unsent[sock.send(unsent) :]
                        except BlockingIOError:
                            pass
                        except OSError:
                            unsent = b""
                    time.sleep(max(0, due - time.monotonic()))


def impatient() -> None:
    """Two lines, each of which is tried until it has gone."""
    with socket.create_server(("", 7)) as listener:
        while True:
            sock, _ = listener.accept()
            sock.setblocking(False)
            with sock:
                for line in (b"one\n", b"two\n"):
                    unsent = line
                    while unsent:
                        try:
                            unsent = unsent[sock.send(unsent) :]
                        except BlockingIOError:
                            pass


def found(serve: Callable[..., None], *given: Any) -> list[tuple[str, bool]]:
    """Why the sweep failed, and whether a plain EAGAIN would have done."""

    def test(net: Any) -> None:
        net.host("server").spawn(serve, *given)
        with socket.create_connection(("server", 7)) as sock:
            assert b"".join(iter(lambda: sock.recv(100), b"")) == b"one\ntwo\n"

    result = run_sweep(test, SweepOptions.of(target="server", kinds=["would-block"], first=True, shrink=False))
    return [(failure.reason, "seconds=" not in str(failure.plan)) for failure in result.failures]


def test_a_sweep_finds_who_forgets_what_waits() -> None:
    assert found(ticker, False) == [("body-raised", False)]
    assert found(ticker, True) == []


@pytest.mark.slow
def test_a_sweep_finds_who_tries_again_and_again() -> None:
    assert found(impatient) == [("Hang", False)]
