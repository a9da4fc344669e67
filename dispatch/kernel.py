"""The real network: the kernel's sockets, its pollers, its clock.

Every function of ``socket``, ``select`` and ``time`` is looked up in its module when it is called, never bound at import, so
that a simulator or a test can replace it there.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterable

from dispatch.annotations import Any
from dispatch.errors import OUT_OF_RESOURCES
from dispatch.interfaces import Poller


def _epoll() -> Poller:
    from dispatch.pollers.epoll import EpollPoller

    return EpollPoller()


def _kqueue() -> Poller:
    from dispatch.pollers.kqueue import KqueuePoller

    return KqueuePoller()


def _poll() -> Poller:
    from dispatch.pollers.poll import PollPoller

    return PollPoller()


def _select() -> Poller:
    from dispatch.pollers.select import SelectPoller

    return SelectPoller()


#: Best first; a backend is there if ``select`` has the function of its name.
POLLERS: dict[str, Callable[[], Poller]] = {"epoll": _epoll, "kqueue": _kqueue, "poll": _poll, "select": _select}


class KernelNetwork:
    """The network of this machine."""

    def socket(self, family: int, type: int, proto: int = 0) -> Any:
        return socket.socket(family, type, proto)

    def socketpair(self) -> tuple[Any, Any]:
        return socket.socketpair()

    def poller(self, name: str | None = None) -> Poller:
        """The poller called *name*, or the best there is: where no descriptor is left for that, one that needs none.

        Raises:
            ValueError: no such poller, or not on this platform.
        """
        for known, make in POLLERS.items():
            if name in (None, known) and hasattr(select, known):
                try:
                    return make()
                except OSError as error:
                    if name is not None or error.errno not in OUT_OF_RESOURCES:
                        raise
        here = ", ".join(known for known in POLLERS if hasattr(select, known))
        raise ValueError(f"poller {name!r} is not to be had here; there are: {here}")

    def monotonic(self) -> float:
        return time.monotonic()

    def getaddrinfo(self, host: str | None, port: int | str | None, family: int, type: int) -> Iterable[Any]:
        return socket.getaddrinfo(host, port, family, type)

    def __repr__(self) -> str:
        return "<dispatch.kernel.KernelNetwork>"


KERNEL = KernelNetwork()
