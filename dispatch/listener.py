"""Where connections come in. Whatever accept() says, the listener listens on.

It takes a batch of connections each turn. One that died in the queue is skipped; when the machine has no descriptor left
the listener rests for a moment, longer each time, and goes on.
"""

from __future__ import annotations

import os
import socket as _socket
from collections.abc import Callable
from typing import Any

from dispatch.channel import ACCEPTING, Channel
from dispatch.errors import DIED_IN_QUEUE, OUT_OF_RESOURCES, TRY_AGAIN
from dispatch.interfaces import IN, Address
from dispatch.observers import observers
from dispatch.stream import guess_family

BATCH = 64  # connections in one turn; the others have waited, and so have the channels behind them
REST_MIN, REST_MAX = 0.05, 1.0  # seconds without accepting when resources are short; doubles each time


class Listener(Channel):
    """Accepts connections and makes a channel of each: ``handler(sock, addr=addr, loop=loop)``."""

    __slots__ = ("_rest", "addr", "handler")

    def __init__(
        self,
        address: Address,
        handler: Callable[..., Any],
        *,
        loop: Any = None,
        family: int | None = None,
        backlog: int = 1024,
    ) -> None:
        """Listen on *address*; ``("", port)`` is every address of the machine, port 0 any free port (see ``addr``).

        Raises:
            OSError: the address cannot be bound: EADDRINUSE, EACCES, EADDRNOTAVAIL.
        """
        if not callable(handler):
            raise TypeError(f"{handler!r} cannot handle connections: pass a Stream class, or what makes a channel")
        self._attach(loop)
        self.handler = handler
        self._rest = 0.0
        if family is None:
            family = guess_family(address)
        sock = self.loop.network.socket(family, _socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if os.name == "posix" and family in (_socket.AF_INET, _socket.AF_INET6):
                # So that a restart need not wait for TIME_WAIT; on Windows it would let two programs share the port.
                sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(backlog)
            self.addr = sock.getsockname()
            self.socket = sock
            self._state = ACCEPTING
            self.loop._join(self, IN)
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Accept no more. Connections that were accepted live on."""
        self._finish(None)

    def _turn(self, bits: int) -> None:
        for _ in range(BATCH):
            try:
                sock, addr = self.socket.accept()
            except OSError as error:
                if error.errno in TRY_AGAIN:
                    return
                if error.errno in DIED_IN_QUEUE:
                    continue
                self._accept_failed(error)
                return
            self._rest = 0.0
            self._welcome(sock, addr)
            if not self._state & ACCEPTING:
                return

    def _welcome(self, sock: Any, addr: Address) -> None:
        """Make a channel; if its class fails, that connection is closed and no other."""
        try:
            self.handler(sock, addr=addr, loop=self.loop)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            for observer in observers:
                observer.raised(self, "handler", error)
            self.loop.log_exception(f"{self!r}: {self.handler!r} failed for {addr}, that connection is closed", error)
            channel = self.loop.channels.get(sock.fileno())
            if channel is not None and channel.socket is sock:
                channel.abort(error)
            else:
                sock.close()

    def _accept_failed(self, error: OSError) -> None:
        if error.errno not in OUT_OF_RESOURCES:
            # EBADF, EINVAL, ENOTSOCK: this socket will never accept again, whoever did that to it.
            self._finish(error)
            return
        self._rest = min(2 * self._rest, REST_MAX) if self._rest else REST_MIN
        self.loop._sleep(self)
        self.loop.call_later(self._rest, self._wake)

    def _wake(self) -> None:
        if self._state & ACCEPTING:
            self.loop._want(self, IN)

    def __repr__(self) -> str:
        return f"<dispatch.Listener {self._describe()} {self.addr} fd={self._fileno}>"
