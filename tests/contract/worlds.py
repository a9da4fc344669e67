"""The two worlds a contract is tested in, with the same hands in each: make sockets, ask, and wait until it shows.

A real kernel may take some microseconds to deliver what a call has sent. So nothing here compares at once: an answer of
"not yet" is asked again, and a readiness mask is polled until it is the expected one, for at most `PATIENCE`.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import itertools
import os
import platform
import select
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import simnet
from simnet import invariants, real
from simnet.conform.words import outcome
from simnet.kernel.readiness import describe
from simnet.wait import current_scheduler
from tests.conftest import RESET

PATIENCE = 0.5  # seconds; on an idle machine all take less than a millisecond
ALL = 0x23C7  # IN PRI OUT RDNORM RDBAND WRNORM WRBAND RDHUP: whatever poll may be asked for
NOT_YET = {"EAGAIN", "EALREADY"}

SOON = 0.006  # seconds; enough in virtual time, and mostly on a kernel
FUTEX = {"x86_64": "202", "aarch64": "98"}.get(platform.machine())  # waiting for a lock, the interpreter's own for one

_numbers = itertools.count(os.getpid())


def until_the_test_waits() -> None:
    """For what runs beside the test: come back when its thread waits in a call of the kernel's, however busy the machine
    is; after a moment where the system does not say.
    """
    time.sleep(SOON)
    if current_scheduler() is None:
        until_it_waits(threading.main_thread().native_id)


def until_it_waits(thread: int | None) -> None:
    """Come back when that thread waits in a call of the kernel's; at once where the system does not say."""
    if FUTEX is None:
        return
    state = Path(f"/proc/self/task/{thread}/syscall")
    until = time.monotonic() + PATIENCE  # it may poll without a pause, as a send with a time-out to a name does
    locked = 0  # looks in a row at which it waited for a lock: for us to be done, by now
    while locked < 10 and time.monotonic() < until:
        try:
            number = state.read_text().split()[0]
        except (OSError, IndexError):
            return
        if number not in ("running", FUTEX):
            return
        locked = locked + 1 if number == FUTEX else 0
        time.sleep(0.002)


# A network's administration, and raw sockets; numbers of linux/capability.h.
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Without the privileges that a simulated program may be denied, for the length of a ``with`` block, also where root tests."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable: the lower halves, then the upper ones
    if libc.capget(head, sets):
        yield
        return
    had = sets[0]
    sets[0] = had & ~(1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW)
    libc.capset(head, sets)
    try:
        yield
    finally:
        sets[0] = had
        libc.capset(head, sets)


class World:
    """Either the kernel, over loopback, or a simulated network; what it makes is closed at its end."""

    name: str
    patience: float

    def __init__(self) -> None:
        number = next(_numbers)
        # Addresses that nobody else uses now, so that no test meets the TIME_WAIT of another.
        self.ip = f"127.{64 + number % 61}.{number // 61 % 251}.{10 + number % 97}"
        self.other_ip = f"127.{130 + number % 61}.{number // 61 % 251}.{10 + number % 97}"
        self.number = number
        self._made = contextlib.ExitStack()

    # --- sockets ---------------------------------------------------------------------------------------------------

    def keep(self, sock: Any) -> Any:
        """Close *sock* when the test ends, by RST, which leaves no TIME_WAIT."""
        self._made.callback(_end, sock)
        return sock

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, proto: int = 0) -> Any:
        """A fresh non-blocking socket."""
        sock = self.keep(socket.socket(family, kind, proto))
        sock.setblocking(False)
        return sock

    def listener(self, backlog: int = 5, ip: str | None = None, options: dict[Any, int] | None = None) -> Any:
        """A non-blocking TCP listener on a port of the kernel's choice."""
        ip = self.ip if ip is None else ip
        sock = self.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        for (level, option), value in (options or {}).items():
            sock.setsockopt(level, option, value)
        sock.bind((ip, 0))
        sock.listen(backlog)
        return sock

    def client(self, listener: Any, options: dict[Any, int] | None = None) -> Any:
        """A client connected to *listener*, not accepted yet."""
        sock = self.socket(listener.family)
        for (level, option), value in (options or {}).items():
            sock.setsockopt(level, option, value)
        code = sock.connect_ex(listener.getsockname())
        assert code in {0, 115}, code  # EINPROGRESS
        self.ready(sock, "OUT")
        return sock

    def accept(self, listener: Any) -> Any:
        """The next connection of *listener*, non-blocking."""
        self.readable(listener)
        sock, _ = listener.accept()
        sock.setblocking(False)
        return self.keep(sock)

    def pair(self, ip: str | None = None, options: dict[Any, int] | None = None) -> tuple[Any, Any]:
        """Both ends of a TCP connection: (opener, acceptor); *options* are set on listener and opener before."""
        listener = self.listener(ip=ip, options=options)
        client = self.client(listener, options)
        server = self.accept(listener)
        listener.close()
        return client, server

    def tight_pair(self) -> tuple[Any, Any]:
        """A connection that some 20 kB fill."""
        return self.pair(options={(socket.SOL_SOCKET, each): 8192 for each in (socket.SO_SNDBUF, socket.SO_RCVBUF)})

    def full_pair(self) -> tuple[Any, Any]:
        """A connection whose opener can send no more."""
        client, server = self.tight_pair()
        self.fill(client, server)
        return client, server

    def fill(self, sock: Any, peer: Any) -> int:
        """Send until no more is taken, even when *peer* has acknowledged all it got; how many bytes went."""
        total = 0
        while True:
            before = total
            with contextlib.suppress(BlockingIOError):
                while True:
                    total += sock.send(b"F" * 65536)
            self.acknowledge(peer)
            if total == before and not _poll(sock, select.POLLOUT, 1):
                return total

    def dead_port(self, ip: str | None = None) -> int:
        """A port where nobody listens."""
        with socket.socket() as probe:
            probe.bind((self.ip if ip is None else ip, 0))
            return int(probe.getsockname()[1])

    def refused(self) -> Any:
        """A socket whose connect was refused, the error not yet reported."""
        sock = self.socket()
        assert sock.connect_ex((self.ip, self.dead_port())) == 115
        self.ready(sock, "IN|OUT|RDHUP|ERR|HUP")
        return sock

    def reset(self, sock: Any) -> None:
        """Close with RST."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    def acknowledge(self, sock: Any) -> None:
        """Send the acknowledgement that a kernel may delay by 40 ms."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def unix_path(self, name: str) -> str:
        """A path for a Unix socket, gone when the test ends."""
        path = f"/tmp/simnet-contract-{self.number}-{name}"
        self._made.callback(_unlink, path)
        return path

    def abstract(self, name: str) -> str:
        """An abstract Unix name nobody else uses."""
        return f"\0simnet-contract-{self.number}-{name}"

    # --- questions -------------------------------------------------------------------------------------------------

    def gives(self, wanted: Any, call: Callable[..., Any], *arguments: Any) -> None:
        """*call* returns *wanted*, or raises the error of that name; "not yet" is asked again."""
        answer = outcome(lambda: call(*arguments))
        deadline = real.monotonic() + self.patience
        while answer != wanted and answer in NOT_YET and real.monotonic() < deadline:
            real.sleep(0.0002)
            answer = outcome(lambda: call(*arguments))
        assert answer == wanted, f"{getattr(call, '__qualname__', call)}{arguments} gave {answer!r}, not {wanted!r}"

    def counts(self, wanted: Any, fresh: Callable[[], Any]) -> None:
        """*fresh*, on connections that it makes, counts *wanted*: on a kernel in one of eight tries.

        How much a kernel takes goes by how many segments it handles at once, which beside other work is another number now
        and then; where more wants to run than there are processors, it may be another each time.
        """
        counted = []
        for _ in range(1 if self.name == "simnet" else 8):
            counted.append(fresh())
            if counted[-1] == wanted:
                return
        self.skip_if_busy(f"counted {counted}, not {wanted!r}")
        raise AssertionError(f"counted {counted}, not {wanted!r}")

    def skip_if_busy(self, told: str) -> None:
        """Skip the test where a kernel is too busy to say what *told* says that it should."""
        if self.name == "kernel" and os.getloadavg()[0] > (os.cpu_count() or 1):
            pytest.skip(f"a busy kernel: {told}")

    def ready(self, sock: Any, wanted: str) -> None:
        """Poll says *wanted* (``"IN|OUT"``) of *sock*, all bits asked; soon."""
        deadline = real.monotonic() + self.patience
        while (mask := self.mask(sock)) != wanted and real.monotonic() < deadline:
            real.sleep(0.0002)
        assert mask == wanted, f"poll says {mask}, not {wanted}"

    def readable(self, sock: Any) -> None:
        """Wait until poll says IN."""
        assert _poll(sock, select.POLLIN, self.patience * 1000), "not readable"

    def mask(self, sock: Any, asked: int = ALL) -> str:
        """What poll says now."""
        return describe(_poll(sock, asked, 0))

    def bits(self, sock: Any, asked: int = ALL) -> int:
        """What poll says now, as the number it is."""
        return _poll(sock, asked, 0)

    def pause(self) -> None:
        """Long enough for whatever is on its way to arrive."""
        real.sleep(0.0005 if self.name == "kernel" else 0.0)

    def error(self, sock: Any) -> str:
        """SO_ERROR by name, taken."""
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return str(outcome(lambda: _raise(code))) if code else "0"

    def ioctl(self, sock: Any, request: str) -> Any:
        """FIONREAD, SIOCOUTQ, SIOCOUTQNSD or SIOCATMARK of *sock*."""
        number = {
            "FIONREAD": termios.FIONREAD,
            "SIOCOUTQ": termios.TIOCOUTQ,
            "SIOCATMARK": 0x8905,
            "SIOCOUTQNSD": 0x894B,
        }[request]
        answer = array.array("i", [0])
        code = outcome(lambda: fcntl.ioctl(sock.fileno(), number, answer, True))
        return answer[0] if code == 0 else code

    def at_mark(self, sock: Any) -> Any:
        return self.ioctl(sock, "SIOCATMARK")

    # --- somebody else ---------------------------------------------------------------------------------------------

    def beside(self, fn: Callable[[], object]) -> Callable[[], None]:
        """Run *fn* beside the test (a thread, a simulated process). What is returned waits for its end."""
        raise NotImplementedError

    def end(self) -> None:
        self._made.close()


class KernelWorld(World):
    name = "kernel"
    patience = PATIENCE

    def beside(self, fn: Callable[[], object]) -> Callable[[], None]:
        raised: list[BaseException] = []

        def body() -> None:
            try:
                fn()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                raised.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()

        def join() -> None:
            thread.join(5.0)
            assert not thread.is_alive()
            if raised:
                raise raised[0]

        return join


class SimulatedWorld(World):
    name = "simnet"
    patience = 0.0  # what a call causes on one's own host has happened when it returns

    def __init__(self, network: simnet.Network) -> None:
        super().__init__()
        self.network = network

    def beside(self, fn: Callable[[], object]) -> Callable[[], None]:
        process = self.network.host("test").spawn(fn)

        def join() -> None:
            process.join()
            if process.error is not None:
                raise process.error

        return join


@contextlib.contextmanager
def open_world(name: str) -> Iterator[World]:
    """The world of that name, for the length of a ``with`` block."""
    with contextlib.ExitStack() as stack:
        world: World
        if name == "kernel":
            world = KernelWorld()
        else:
            # The invariants are about servers; a contract does what no server should.
            network = stack.enter_context(simnet.Network(invariants=dict.fromkeys(invariants.NAMES, "off")))
            network.host("test").privileged = False  # as `unprivileged` has it on the kernel
            world = SimulatedWorld(network)
        stack.callback(world.end)
        yield world


def _end(sock: Any) -> None:
    with contextlib.suppress(OSError):
        if sock.family != socket.AF_UNIX and sock.type == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _poll(sock: Any, asked: int, timeout_ms: float) -> int:
    poll = select.poll()
    poll.register(sock, asked)
    return dict(poll.poll(timeout_ms)).get(sock if isinstance(sock, int) else sock.fileno(), 0)


def _raise(code: int) -> None:
    raise OSError(code, os.strerror(code))
