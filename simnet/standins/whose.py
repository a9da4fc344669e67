"""Which world the running code belongs to, and what that world can be asked: the `Backend`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, Protocol

__all__ = ["Backend", "Provider", "active", "answer_from"]


class Backend(Protocol):
    """The world that the code now running belongs to. Its methods are called by processes of that world only."""

    @property
    def entered(self) -> Any:
        """At which line of which code its network was entered, or by whom."""

    def new_socket(
        self, cls: type[socket.socket], family: int, type: int, proto: int, fileno: int | None
    ) -> socket.socket | None:
        """An instance not yet initialised, of a subclass of *cls*: Python then calls its ``__init__`` with the caller's
        arguments. ``None`` lets the true class make it. The arguments mean what they say only if *cls* keeps
        ``socket.socket``'s own signature.
        """

    def socketpair(self, family: int | None, type: int, proto: int) -> tuple[socket.socket, socket.socket]: ...
    def dup(self, fd: int) -> int: ...
    def close(self, fd: int) -> None: ...
    def ioctl(self, fd: Any, request: int, argument: Any, mutate: bool) -> Any: ...

    def open_files_limit(self) -> tuple[int, int]:
        """RLIMIT_NOFILE, soft and hard."""

    def limit_open_files(self, soft: int, hard: int) -> None: ...

    def select(
        self, rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
    ) -> tuple[list[Any], list[Any], list[Any]]: ...
    def poll(self) -> Any: ...
    def epoll(self, sizehint: int = -1, flags: int = 0) -> Any: ...

    def sleep(self, seconds: float) -> None:
        """*seconds* is a number, and not negative."""

    def time_ns(self) -> int: ...
    def monotonic_ns(self) -> int: ...

    def getaddrinfo(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> list[Any]:
        """Tuples of plain integers, as ``_socket.getaddrinfo`` gives them; ``socket.getaddrinfo`` names them."""

    def without_waiting(self, late: list[float], ask: Callable[[], Any]) -> Any:
        """What *ask()* gives, which asks for names; for how long it would wait for their answers comes into *late*."""

    def gethostbyname(self, name: str) -> str: ...
    def gethostbyname_ex(self, name: str) -> tuple[str, list[str], list[str]]: ...
    def gethostbyaddr(self, address: str) -> tuple[str, list[str], list[str]]: ...
    def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]: ...
    def gethostname(self) -> str: ...
    def sethostname(self, name: str) -> None: ...
    def getdefaulttimeout(self) -> float | None: ...
    def setdefaulttimeout(self, timeout: float | None) -> None: ...

    @property
    def memory(self) -> dict[Any, Any]:
        """What the program now running has for itself, in place of things that are one for the whole interpreter."""

    def urandom(self, n: int) -> bytes: ...
    def random(self) -> Random:
        """The generator behind ``random.random()`` and its siblings in the process now running."""

    def number(self) -> int:
        """The next of the numbers that objects have for a hash, in the order in which the run meets them."""

    def escape(self, what: str, remedy: str = ...) -> None:
        """*what* would leave the world (a subprocess; a thread, where there are none). Raises to refuse it, returns to let it pass."""


Provider = Callable[[], "Backend | None"]


def _nobody() -> Backend | None:
    return None


world: Provider = _nobody  # not to be imported by name: `answer_from` rebinds it


def active() -> Backend | None:
    """The world of the code now running, or ``None`` outside every run."""
    return world()


def answer_from(providers: Sequence[Provider]) -> None:
    """From now on *providers* say who answers, the first one first. A single one is called without a detour."""
    global world
    if not providers:
        world = _nobody
    elif len(providers) == 1:
        world = providers[0]
    else:
        chain = tuple(providers)

        def first_answer() -> Backend | None:
            for provider in chain:
                backend = provider()
                if backend is not None:
                    return backend
            return None

        world = first_answer
