"""What dispatch asks of a network. Anything of these shapes can carry it, and need not import them.

A kernel socket, a simulated one and (for a Dispatcher) one of the ``ssl`` module's all satisfy :class:`Socket`. A
:class:`Network` provides sockets, pollers and the time; :func:`current_network` says which one a new loop runs on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatch.annotations import Any, Final, Protocol

# What a channel asks for and a poller reports: the bits of poll(2) and epoll(7), which agree on Linux, macOS and BSD.
IN: Final = 1
PRI: Final = 2
OUT: Final = 4
ERR: Final = 8
HUP: Final = 16
NVAL: Final = 32
TROUBLE: Final = ERR | HUP | NVAL  # reported unasked
READ: Final = IN | PRI  # what a reading channel asks for: urgent data is looked at whenever ordinary data is

Address = Any  # (host, port), (host, port, flow, scope), a path, an abstract name: whatever the family takes


class Socket(Protocol):
    """The part of ``socket.socket`` that a channel uses; always non-blocking. Where there is ``sendmsg``, it is used, too."""

    @property
    def family(self) -> int: ...
    @property
    def type(self) -> int: ...
    def fileno(self) -> int: ...
    def setblocking(self, flag: bool, /) -> None: ...
    def close(self) -> None: ...
    def recv(self, bufsize: int, flags: int = ..., /) -> bytes: ...
    def send(self, data: Any, flags: int = ..., /) -> int: ...
    def accept(self) -> tuple[Any, Address]: ...
    def bind(self, address: Address, /) -> None: ...
    def listen(self, backlog: int = ..., /) -> None: ...
    def connect_ex(self, address: Address, /) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def getsockopt(self, level: int, option: int, /) -> int: ...
    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...
    def getsockname(self) -> Address: ...
    def detach(self) -> int: ...

    # Of a datagram socket.
    def recvfrom(self, bufsize: int, flags: int = ..., /) -> tuple[bytes, Address]: ...
    def sendto(self, data: Any, address: Address, /) -> int: ...


class Poller(Protocol):
    """Four verbs over descriptors. Level-triggered: what is ready and was not dealt with is reported again."""

    name: str
    wakes_on_watch: bool  # poll() notices what another thread watches while it sleeps

    def watch(self, fd: int, bits: int) -> None:
        """Report *bits* of *fd* from now on; ERR, HUP and NVAL come unasked."""

    def change(self, fd: int, bits: int) -> None:
        """Report other bits of a watched descriptor."""

    def forget(self, fd: int) -> None:
        """Report nothing of *fd* any more; one that is closed already is fine."""

    def poll(self, timeout: float | None = None) -> Sequence[tuple[int, int]]:
        """What is ready, after at most *timeout* seconds; None sleeps until something is."""

    def close(self) -> None:
        """Give back what the poller holds."""


class Network(Protocol):
    """What a loop runs on: sockets, pollers, names and time."""

    def socket(self, family: int, type: int, proto: int = 0) -> Any:
        """A new socket, a :class:`Socket`."""

    def socketpair(self) -> tuple[Any, Any]:
        """Two stream sockets connected to each other."""

    def poller(self, name: str | None = None) -> Poller:
        """A new poller by name, or the best one there is."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    def getaddrinfo(self, host: str | None, port: int | str | None, family: int, type: int) -> Iterable[Any]:
        """The addresses of a name, as ``socket.getaddrinfo`` lists them."""


def current_network() -> Network:
    """The network of a loop that was given none: the kernel's, which is the simulated one in a run of simnet."""
    from dispatch.kernel import KERNEL

    return KERNEL
