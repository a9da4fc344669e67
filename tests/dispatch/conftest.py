"""The worlds a loop is tested in: each poller over real loopback sockets.

Bodies are written against ``world`` only: ``world.loop()`` makes a loop, ``world.run(loop, until)`` turns it, and
``world.connect(address)`` is a client's blocking socket. Client and server live in one thread: the client acts, the loop
turns until the condition holds. So the same bodies can run in a simulated process.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import dispatch
from dispatch.kernel import POLLERS, KernelNetwork
from dispatch.observers import observers
from tests.dispatch import emulated_kqueue

PATIENCE = 5.0  # seconds until a wait gives up; all take milliseconds

EMULATED = [] if hasattr(select, "kqueue") or not hasattr(select, "POLLRDHUP") else ["emulated-kqueue"]
SIMULATED = ["epoll", "poll", "select"]
HERE = [name for name in POLLERS if hasattr(select, name)]


class StoppedClock(KernelNetwork):
    """The kernel's sockets, and a clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class World:
    """Real sockets on 127.0.0.1, and one poller."""

    def __init__(self, poller: str) -> None:
        self.poller = poller
        self._loops: list[dispatch.Loop] = []
        self._sockets: list[socket.socket] = []

    def loop(self, **options: Any) -> dispatch.Loop:
        loop = dispatch.Loop(poller=self.poller, **options)
        self._loops.append(loop)
        return loop

    def run(self, loop: dispatch.Loop, until: Callable[[], object]) -> None:
        """Turn *loop* until the condition holds; the test fails if it never does."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < deadline, f"still not after {PATIENCE} s: {loop!r} {list(loop.channels.values())}"
            loop.run_once(0.02)

    def turn(self, loop: dispatch.Loop, times: int = 3) -> None:
        """A few turns that do not wait: what is there is dealt with."""
        for _ in range(times):
            loop.run_once(0)

    def listen(self, loop: dispatch.Loop, handler: Any, **options: Any) -> dispatch.Listener:
        return dispatch.Listener(("127.0.0.1", 0), handler, loop=loop, **options)

    def connect(self, address: Any, **options: Any) -> socket.socket:
        """A client: a blocking socket with a time-out."""
        sock = socket.create_connection(address, timeout=PATIENCE)
        self._sockets.append(sock)
        return sock

    def connected(self, loop: dispatch.Loop, handler: Any) -> tuple[Any, socket.socket]:
        """A channel of class *handler* whose peer is a client's socket."""
        made: list[Any] = []

        def make(sock: Any, **options: Any) -> Any:
            made.append(handler(sock, **options))
            return made[-1]

        listener = self.listen(loop, make)
        client = self.connect(listener.addr)
        self.run(loop, lambda: made)
        listener.close()
        self.turn(loop, 1)
        return made[0], client

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Two ends of a TCP connection: (opener, acceptor)."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            opener = self.connect(listener.getsockname())
            acceptor, _ = listener.accept()
        self._sockets.append(acceptor)
        return opener, acceptor

    def unix_pair(self) -> tuple[socket.socket, socket.socket]:
        """Two ends of a Unix connection: what one sends, up to a MiB and more, is there for the other at once."""
        pair = socket.socketpair()
        for end in pair:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._sockets += pair
        return pair

    def read_all(self, loop: dispatch.Loop, client: socket.socket) -> bytes:
        """What the client gets up to the end, while the loop turns."""
        client.setblocking(False)
        data = bytearray()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            loop.run_once(0.001)
            try:
                piece = client.recv(1 << 20)
            except BlockingIOError:
                continue
            if not piece:
                return bytes(data)
            data += piece
        raise AssertionError(f"no end after {PATIENCE} s, {len(data)} bytes came")

    def read(self, loop: dispatch.Loop, client: socket.socket, size: int) -> bytes:
        """The next *size* bytes the client gets, while the loop turns."""
        client.setblocking(False)
        data = bytearray()
        deadline = time.monotonic() + PATIENCE
        while len(data) < size:
            assert time.monotonic() < deadline, f"{len(data)} of {size} bytes after {PATIENCE} s: {bytes(data[:100])!r}"
            loop.run_once(0.001)
            try:
                piece = client.recv(size - len(data))
            except BlockingIOError:
                continue
            assert piece, f"the end after {len(data)} of {size} bytes"
            data += piece
        return bytes(data)

    def end(self) -> None:
        for loop in self._loops:
            loop.close()
        for sock in self._sockets:
            sock.close()


LESSER = [*HERE[1:], *EMULATED]  # than the one that a loop takes by itself


def slow(*names: str) -> list[Any]:
    """Parameters that the slow run alone takes."""
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(
    params=[HERE[0], f"simnet-{SIMULATED[0]}", *slow(*LESSER, *(f"simnet-{name}" for name in SIMULATED[1:]))]
)
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Each poller of this platform, over the kernel's sockets and over simulated ones."""
    kind, _, name = request.param.rpartition("-")
    world = World(name)
    if kind == "emulated":
        emulated_kqueue.install(monkeypatch)
    if kind != "simnet":
        yield world
        world.end()
        return
    simnet = the_harness()
    with simnet.Network():
        yield world
        world.end()


def the_harness() -> Any:
    """simnet, if what it needs is installed: dispatch alone needs nothing, and is tested alone too."""
    for needed in ("greenlet", "msgspec"):
        pytest.importorskip(needed)
    return pytest.importorskip("simnet")


def kernel_only(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of the drop-in that needs what is not simulated: files, processes, limits."""
    test.kernel_only = True  # type: ignore[attr-defined]
    return test


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``anywhere`` is both worlds, and the kernel with each lesser poller; or the kernel alone for a test marked so."""
    if "anywhere" in metafunc.fixturenames:
        worlds: list[Any] = ["kernel"]
        if not getattr(metafunc.function, "kernel_only", False):
            worlds += ["simnet", *slow(*(f"kernel-{name}" for name in LESSER))]
        metafunc.parametrize("anywhere", worlds, indirect=True)


@pytest.fixture
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The body runs over the kernel's sockets, then over simulated ones; its handlers may fail on purpose."""
    kind, _, poller = request.param.partition("-")
    if kind == "kernel":
        if poller:
            if poller == "emulated-kqueue":
                if "urgent" in request.node.name:
                    pytest.skip("kqueue tells of urgent bytes on macOS only, and the emulation does not")
                emulated_kqueue.install(monkeypatch)
            for better in HERE[: HERE.index(poller) if poller in HERE else 1]:
                monkeypatch.delattr(select, better)  # the drop-in takes the best there is
        yield
        return
    simnet = the_harness()
    off = dict.fromkeys(("handler-raised", "listener-survives", "loop-survives", "no-spin", "one-close"), "off")
    with simnet.Network(invariants=off):
        yield


@pytest.fixture
def loopback_pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """As everywhere, but in the world of the test, if it has one."""
    if "anywhere" in request.fixturenames:
        request.getfixturevalue("anywhere")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opener = socket.create_connection(listener.getsockname(), timeout=PATIENCE)
        acceptor, _ = listener.accept()
    with opener, acceptor:
        acceptor.settimeout(PATIENCE)
        yield opener, acceptor


@pytest.fixture(params=[HERE[0], *slow(*HERE[1:])])
def kernel_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each poller of this platform over the kernel's sockets: for what is not simulated (threads, files, signals)."""
    world = World(request.param)
    yield world
    world.end()


class Log:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def opened(self, channel: Any) -> None:
        self.lines.append(("opened", channel))

    def event(self, channel: Any, name: str) -> None:
        self.lines.append(("event", channel, name))

    def handled(self, channel: Any, name: str) -> None:
        self.lines.append(("handled", channel, name))

    def raised(self, channel: Any, name: str, exception: BaseException) -> None:
        self.lines.append(("raised", channel, name, exception))

    def closed(self, channel: Any, reason: BaseException | None) -> None:
        self.lines.append(("closed", channel, reason))

    def turn(self, loop: Any, n_ready: int) -> None:
        self.lines.append(("turn", loop, n_ready))

    def of(self, channel: Any, kind: str | None = None) -> list[tuple[Any, ...]]:
        """What was told about *channel*, without it."""
        return [(line[0], *line[2:]) for line in self.lines if line[1] is channel and kind in (None, line[0])]


@pytest.fixture
def log() -> Iterator[Log]:
    """An observer of everything that happens in this test."""
    log = Log()
    observers.append(log)
    yield log
    observers.remove(log)


class Recorder(dispatch.Stream):
    """A stream that keeps what happens to it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.events: list[Any] = []
        self.data = bytearray()
        super().__init__(*args, **options)

    def handle_connect(self) -> None:
        self.events.append("connect")

    def handle_data(self, data: bytes) -> None:
        self.data += data
        if self.events[-1:] != ["data"]:
            self.events.append("data")

    def handle_eof(self) -> None:
        self.events.append("eof")
        super().handle_eof()

    def handle_urgent(self, data: bytes) -> None:
        self.events.append(("urgent", data))

    def handle_full(self) -> None:
        self.events.append("full")

    def handle_drained(self) -> None:
        self.events.append("drained")

    def handle_close(self, reason: BaseException | None) -> None:
        self.events.append(("close", type(reason) if reason is not None else None))
        self.reason = reason


class Fickle:
    """A socket whose calls fail as scripted before they work: ``Fickle(sock, recv=[EAGAIN], send=[3, EPIPE])``.

    A number below 1,000 is an errno for every call but ``send``, where a negative one is; a positive one there is how many
    bytes it takes.
    """

    def __init__(self, sock: Any, **script: list[int]) -> None:
        self._sock = sock
        self._script = script
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def __bool__(self) -> bool:
        raise AssertionError("nobody asks a socket whether it is true")

    def _next(self, name: str) -> int | None:
        self.calls.append(name)
        script = self._script.get(name)
        return script.pop(0) if script else None

    def _maybe(self, name: str) -> None:
        code = self._next(name)
        if code:
            raise OSError(code, os.strerror(code))

    def accept(self) -> Any:
        self._maybe("accept")
        return self._sock.accept()

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._maybe("recv")
        return self._sock.recv(size, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        return self._some("send", data)

    def sendmsg(self, pieces: Any) -> int:
        return self._some("send", b"".join(pieces))

    def _some(self, name: str, data: Any) -> int:
        limit = self._next(name)
        if limit is None:
            return self._sock.send(data)
        if limit < 0:
            raise OSError(-limit, os.strerror(-limit))
        return self._sock.send(memoryview(data)[:limit])
