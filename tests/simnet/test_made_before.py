"""What was made before a run is the real kernel's: what comes of that is told with the remedy, not by its errno alone."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import simnet
from simnet.explore.options import SweepOptions
from simnet.explore.report.failure import report
from simnet.explore.sweep import run_sweep

OF_THE_KERNEL = "made before the network was entered, and is the real kernel's. Make it within"


def listen(_: Any) -> None:
    with socket.create_server(("", 7)) as listener:
        listener.accept()[0].close()


def why_of(test: Callable[[Any], None]) -> str:
    result = run_sweep(test, SweepOptions())
    (failure,) = result.failures
    return report(failure, result).why


@pytest.fixture
def real_socket() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


def by_selector(sock: socket.socket) -> Iterator[Callable[[], None]]:
    """One that is in use: else each program has one of its own in its place."""
    with selectors.EpollSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        yield lambda: selector.register(socket.create_connection(("server", 7)), selectors.EVENT_READ) and None


def by_hand(_: Any) -> Iterator[Callable[[], None]]:
    with select.epoll() as epoll:

        def register() -> None:
            with socket.create_connection(("server", 7)) as sock:
                epoll.register(sock, select.EPOLLIN)

        yield register


MODULE = """
import select, socket
epoll = select.epoll()
def register():
    with socket.create_connection(("server", 7)) as sock:
        epoll.register(sock)
"""


def by_name(_: Any) -> Iterator[Callable[[], None]]:
    """As a module has it which makes one when it is imported."""
    module: dict[str, Any] = {}
    exec(MODULE, module)
    yield module["register"]
    module["epoll"].close()


def by_loop(_: Any) -> Iterator[Callable[[], None]]:
    loop = asyncio.new_event_loop()
    yield lambda: loop.run_until_complete(asyncio.open_connection("server", 7)) and None
    loop.close()


def by_select(sock: socket.socket) -> Iterator[Callable[[], None]]:
    yield lambda: select.select([sock], [], [], 1) and None


def by_poll(sock: socket.socket) -> Iterator[Callable[[], None]]:
    def poll() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ)

    yield poll


def by_connect(sock: socket.socket) -> Iterator[Callable[[], None]]:
    yield lambda: sock.connect(("server", 7))


WAYS: dict[str, tuple[Callable[[Any], Iterator[Callable[[], None]]], str]] = {
    "epoll": (by_selector, "the selector was"),
    "epoll itself": (by_hand, "the epoll was"),
    "epoll of a module": (by_name, "the epoll was"),
    "loop": (by_loop, "the event loop was"),
    "socket in select": (by_select, "the socket was"),
    "socket in epoll": (by_poll, "the socket was"),
    "socket": (by_connect, "the socket was"),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_what_was_made_before_the_run_is_told(way: str, real_socket: socket.socket) -> None:
    make, what = WAYS[way]
    for act in make(real_socket):

        def test(net: Any, act: Callable[[], None] = act) -> None:
            net.host("server").spawn(listen, 7)
            act()

        assert why_of(test) == f"{what} {OF_THE_KERNEL}"
        with pytest.raises(OSError) as raised, simnet.Network() as net:
            test(net)
        assert any(f"{what} {OF_THE_KERNEL}" in note for note in raised.value.__notes__)


class Server:
    """As many are written: the constructor, which the test calls, makes the poller, and ``run`` the socket."""

    def __init__(self, poller: str) -> None:
        self.poller = getattr(selectors if poller.endswith("Selector") else select, poller)()

    def run(self) -> None:
        with socket.create_server(("", 7)) as listener:
            self.poller.register(listener, select.POLLIN)
            (self.poller.poll if hasattr(self.poller, "poll") else self.poller.select)()
            listener.accept()[0].close()


@pytest.mark.parametrize("poller", ["EpollSelector", "epoll"])
def test_a_selector_that_the_test_has_made_for_a_server_is_told(poller: str) -> None:
    with pytest.raises(OSError, match="Bad file descriptor") as raised, simnet.Network() as net:
        net.host("server").spawn(Server(poller).run)
    assert (
        "the selector, or event loop, was made in test, and server/run uses it: make it in the function that is spawned on server"
        in raised.value.__notes__
    )


@pytest.mark.parametrize("poller", ["PollSelector", "SelectSelector", "poll"])
def test_one_that_has_but_numbers_serves_whoever_asks_it(poller: str) -> None:
    with simnet.Network() as net:
        server = net.host("server").spawn(Server(poller).run)
        socket.create_connection(("server", 7)).close()
        server.join(1)
        assert server.done


def test_a_socket_that_the_program_has_closed_is_no_such_thing() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(listen, 7)
        sock = socket.create_connection(("server", 7))
        sock.close()
        sock.send(b"x")

    assert not why_of(test)


def test_a_name_that_a_library_could_not_find_is_told_in_the_end_too() -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(listen, 7)
        urllib.request.urlopen("http://example.com/")

    assert why_of(test) == "'example.com' is no host of this network; there is test, server"


# ---- a selector that a module made, and nobody has used yet ------------------------------------------------------------

KINDS = (selectors.EpollSelector, selectors.PollSelector)
Selector = selectors.EpollSelector | selectors.PollSelector


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def selector(request: pytest.FixtureRequest) -> Iterator[Selector]:
    with request.param() as made:
        yield made


@pytest.fixture(params=[simnet.Network, lambda: simnet.RealNetwork(seconds=20)], ids=["simulated", "kernel"])
def network(request: pytest.FixtureRequest) -> Callable[[], Any]:
    return request.param  # type: ignore[no-any-return]


def echo(selector: Selector) -> None:
    """As tutorials have it: callbacks, and a selector that they all know."""

    def accept(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, answer)

    def answer(sock: socket.socket) -> None:
        if data := sock.recv(100):
            assert selector.get_key(sock).data is answer
            sock.sendall(data)
        else:
            selector.unregister(sock)
            sock.close()

    listener = socket.create_server(("", 7))
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ, accept)
    selector.modify(listener, selectors.EVENT_READ, accept)
    while True:
        for key, _ in selector.select():
            key.data(key.fileobj)


def asked(host: str, text: bytes) -> bytes:
    with socket.create_connection((host, 7)) as sock:
        sock.sendall(text)
        return sock.recv(100)


def test_each_program_of_each_run_has_one_of_its_own_in_its_place(
    selector: Selector, network: Callable[[], Any]
) -> None:
    for _ in range(2):
        with network() as net:
            for host in ("one", "two"):
                net.host(host).spawn(echo, selector)
            assert [asked(host, b"hello") for host in ("one", "two")] == [b"hello", b"hello"]
            assert not selector.get_map()  # nor has the test's own to do with those
    assert not selector.get_map()
    ours, theirs = socket.socketpair()
    with ours, theirs:  # and outside of runs it is what it was
        selector.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        assert [key.fileobj for key, _ in selector.select(5)] == [ours]


def test_threads_share_that_of_their_program_and_who_closes_it_has_closed_its_own(selector: Selector) -> None:
    def serve() -> list[Any]:
        ours, theirs = socket.socketpair()
        selector.register(ours, selectors.EVENT_READ)
        thread = threading.Thread(target=theirs.send, args=(b"x",))
        thread.start()
        told = [key.fileobj is ours for key, _ in selector.select()]
        thread.join()
        ours.close()
        theirs.close()
        selector.close()
        assert selector.get_map() is None
        return told

    with simnet.Network() as net:
        assert net.host("one").run(serve) == [True]
        assert net.host("two").run(serve) == [True]
    assert selector.get_map() is not None


@pytest.mark.slow
def test_a_server_with_one_is_swept_and_the_runs_are_alike(selector: Selector) -> None:
    def test(net: Any) -> None:
        net.host("server").spawn(echo, selector)
        assert asked("server", b"hello") == b"hello"

    result = run_sweep(test, SweepOptions(target=("server",), kinds=("would-block", "wake", "short-recv", "reset")))
    assert {failure.type_name for failure in result.failures} == {"BlockingIOError", "ConnectionResetError"}
