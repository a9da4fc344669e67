"""A connection whose send buffer is full, for as long as a fault says: its peer does not read.

Nothing of the program's waits in it, so all that shows is that there is no room. A socket is one of another class meanwhile, so that
nobody else has to ask whether it is full.
"""

from __future__ import annotations

from collections.abc import Iterable
from errno import EAGAIN
from typing import Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.readiness import ANY_NEWS, OUT, WRBAND, WRNORM
from simnet.kernel.states import CLOSED, ESTABLISHED, SHUT_SEND
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.kernel.unix.streams import UnixStream

__all__ = ["fill"]

ROOM: Final = OUT | WRNORM | WRBAND


class FullTcp(TcpSocket):
    """No room, but for whoever is told that nothing can be sent any more."""

    __slots__ = ()

    def look_around(self) -> None:
        self.calm = False  # else a poller need not ask for its mask

    def mask(self) -> int:
        mask = super().mask()
        if self.error or self.shut & SHUT_SEND or self.state == CLOSED:
            return mask
        self.no_space = True
        return mask & ~ROOM

    def send(self, data: Any, flags: int = 0) -> int:
        if not self.error and not self.shut & SHUT_SEND and self.state != CLOSED:
            raise socket_error(EAGAIN)
        return super().send(data, flags)


class FullUnix(UnixStream):
    """The same of a Unix stream."""

    __slots__ = ()

    def writable(self) -> bool:
        return self.state != ESTABLISHED and super().writable()

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        if self.state == ESTABLISHED and not self.error and not self.shut & SHUT_SEND:
            raise socket_error(EAGAIN)
        return super().sendmsg(buffers, ancillary, flags, address)


FULL: Final[dict[type, type]] = {TcpSocket: FullTcp, UnixStream: FullUnix}


def fill(file: Any, until_ns: int) -> bool:
    """Let there be no room in *file* before *until_ns*; False if it is no stream, or full already."""
    own = type(file)
    if own not in FULL:
        return False
    file.__class__ = FULL[own]
    if own is TcpSocket:
        file.look_around()
    file.stack.clock.at(until_ns, _drain, (file, own))
    return True


def _drain(of: tuple[Any, type]) -> None:
    file, own = of
    file.__class__ = own
    if own is TcpSocket:
        file.look_around()
    if file.refs:
        file.wake(file.mask() or ANY_NEWS)
