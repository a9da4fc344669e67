"""``Client``: one connection of a state machine, which never blocks and records what it sent and got."""

from __future__ import annotations

import struct
from socket import MSG_OOB, SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

from simnet.kernel.readiness import IN

if TYPE_CHECKING:
    from collections.abc import Callable

    from simnet.socket import Socket

__all__ = ["Client"]

AT_ONCE = struct.pack("ii", 1, 0)  # close() of a socket that lingers for no time resets the connection (man 7 socket)
ENOUGH = 1 << 16  # bytes that one read asks for


class Client:
    """A connection to the server, and what it has sent and received so far.

    Nothing here waits, or raises an error of the network: how the connection ended is in `error` and `ended`.
    """

    __slots__ = ("sock", "name", "sent", "received", "error", "ended", "half_closed", "gone", "urged", "judged")

    sock: Socket
    """Its socket, which does not block."""
    name: str
    """``test->server:7#2``, as plans and ladders call the connection."""
    sent: bytes
    """What the kernel has taken of what was to be sent, without the urgent byte."""
    received: bytes
    """What it has received."""
    error: OSError | None
    """What the kernel said when the connection broke."""
    ended: bool
    """The server has sent all that it will."""
    half_closed: bool
    """The client has."""
    gone: bool
    """It was closed or aborted."""
    urged: bool
    """It has sent an urgent byte."""

    def __init__(self, sock: Socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.name = str(sock._file().tag.text)
        self.sent = self.received = b""
        self.error = None
        self.ended = self.half_closed = self.gone = self.urged = False
        self.judged: object = None  # what its machine knew of it when it looked last

    def __repr__(self) -> str:
        return f"Client({self.name}: {len(self.sent):,} B sent, {len(self.received):,} B received)"

    def send(self, data: bytes) -> None:
        """Send as much of *data* as there is room for."""
        if not self.half_closed:
            self._do(lambda: self._count(self.sock.send(data), data))

    def _count(self, taken: int, data: bytes) -> None:
        self.sent += data[:taken]

    @property
    def readable(self) -> bool:
        """Whether something has arrived that was not received: bytes, or how it ended."""
        over = self.gone or self.ended or self.error is not None
        return not over and bool(self.sock._file().mask() & IN)

    def receive(self) -> bytes:
        """Everything that has arrived since the last time."""
        before = len(self.received)
        while self.readable and self._do(self._read):
            pass
        return self.received[before:]

    def _read(self) -> None:
        data = self.sock.recv(ENOUGH)
        self.received += data
        self.ended = not data

    def half_close(self) -> None:
        """End the output; nothing more will be sent."""
        if not self.half_closed:
            self.half_closed = True
            self._do(lambda: self.sock.shutdown(SHUT_WR))

    def urge(self) -> None:
        """Send an urgent byte, once.

        With a second one, the kernel turns an unread first one into a byte of the stream.
        """
        if not (self.half_closed or self.urged):
            self.urged = True
            self._do(lambda: self.sock.send(b"!", MSG_OOB))

    def close(self) -> None:
        """Leave."""
        self.gone = True
        self.sock.close()

    def abort(self) -> None:
        """Reset the connection."""
        self._do(lambda: self.sock.setsockopt(SOL_SOCKET, SO_LINGER, AT_ONCE))
        self.close()

    def _do(self, call: Callable[[], object]) -> bool:
        """Whether the kernel did it, and will do it again if asked to."""
        if self.gone or self.error is not None:
            return False
        try:
            call()
        except BlockingIOError:
            return False
        except OSError as error:
            self.error = error
            return False
        return True
