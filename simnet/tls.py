"""``ssl.SSLSocket`` in a run: TLS as OpenSSL speaks it, its bytes moved by the calls of the run's own sockets.

Elsewhere it hands its descriptor to OpenSSL, which reads and writes it in C. Here OpenSSL works on memory, and what is to be
read and written goes through the socket's own calls: they wait, time out and meet faults as any other, simulated or on a
real kernel. All else of ``SSLSocket`` is the standard library's. The calls are those that OpenSSL makes: the head of a record, then the rest of it,
so that what is not asked for stays in the kernel, where pollers see it; one send for each record, or for a handshake's flight.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

__all__ = ["place", "unplace"]

HEAD = 5  # bytes: type, version, and the length of what follows (RFC 8446, 5.1)

_original: Any = None  # SSLContext._wrap_socket


def place() -> None:
    """``ssl`` is loaded: from now on its contexts wrap simulated sockets too."""
    global _original
    if _original is None:
        context = sys.modules["ssl"].SSLContext
        _original = context._wrap_socket
        context._wrap_socket = _wrap_socket


def unplace() -> None:
    """What a context inherits from C shows again."""
    global _original
    if _original is not None:
        del sys.modules["ssl"].SSLContext._wrap_socket
        _original = None


def _wrap_socket(
    context: Any, sock: Any, server_side: bool, server_hostname: Any = None, *, owner: Any = None, session: Any = None
) -> Any:
    if not hasattr(type(sock), "_recv_some"):
        return _original(context, sock, server_side, server_hostname, owner=owner, session=session)
    return _Layer(context, sock, server_side, server_hostname, owner, session)


class _Layer:
    """What an ``SSLSocket`` has in its ``_sslobj``: OpenSSL's side of the connection, as a real one looks from Python."""

    def __init__(
        self, context: Any, sock: Any, server_side: bool, server_hostname: Any, owner: Any, session: Any
    ) -> None:
        ssl = sys.modules["ssl"]
        self._ssl = ssl
        self._sock = weakref.ref(sock)  # which holds this
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context._wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname, owner=owner, session=session
        )
        self._head = b""  # of the record that is being read
        self._left = 0  # bytes of it that are still to come
        self._unsent: list[bytes] = []  # what the socket had no room for yet
        self._taken: int | None = None  # bytes of a write whose records are among them

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tls, name)  # cipher, getpeercert, pending, version and all that moves no byte

    @property
    def context(self) -> Any:
        return self._tls.context

    @context.setter
    def context(self, context: Any) -> None:
        self._tls.context = context

    @property
    def session(self) -> Any:
        return self._tls.session

    @session.setter
    def session(self, session: Any) -> None:
        self._tls.session = session

    # --- what moves bytes ------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        self._run("handshake", self._tls.do_handshake, then_send=False)
        if self._tls.server_side and self._tls.version() == "TLSv1.3":
            self._unsent += _records(self._outgoing.read())  # OpenSSL writes its tickets one by one
        self._send("handshake", self._deadline())

    def read(self, size: int = 1024, *buffer: Any) -> Any:
        return self._run("read", lambda: self._tls.read(size, *buffer))

    def write(self, data: Any) -> int:
        if self._taken is None:
            self._taken = self._run("write", lambda: self._tls.write(data), then_send=False)
            self._unsent += _records(self._outgoing.read())
        # As OpenSSL wants it, who could not write calls again with the same data: it is encrypted already.
        self._send("write", self._deadline())
        taken, self._taken = self._taken, None
        assert taken is not None
        return taken

    def shutdown(self) -> Any:
        self._run("read", self._tls.shutdown)
        return self._sock()

    def _run(self, what: str, step: Callable[[], Any], *, then_send: bool = True) -> Any:
        """*step*, until it has all the input it wants; what it puts out is sent before more is waited for."""
        deadline = self._deadline()
        while True:
            try:
                result = step()
            except self._ssl.SSLWantReadError as wanted:
                self._send(what, deadline)
                if not self._receive(what, deadline):
                    raise wanted from None
            except self._ssl.SSLError:
                with suppress(OSError):
                    self._send(what, deadline)  # an alert that says why
                raise
            else:
                if then_send:
                    self._send(what, deadline)
                return result

    def _receive(self, what: str, deadline: int) -> bool:
        """The next part of a record into OpenSSL's hands; False if there is nothing yet and the socket does not wait."""
        sock = self._socket()
        size = self._left or HEAD - len(self._head)
        try:
            data: bytes = sock._recv_some(size, deadline)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._told(what, error) from None
        if not data:
            self._incoming.write_eof()
            return True
        self._incoming.write(data)
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            if len(self._head) == HEAD:
                self._left = int.from_bytes(self._head[3:], "big")
        if not self._left and len(self._head) == HEAD:
            self._head = b""
        return True

    def _send(self, what: str, deadline: int) -> None:
        """What waits to be sent, as far as the socket waits for room.

        Raises:
            ssl.SSLWantWriteError: the rest has no room yet.
            TimeoutError: nor had it in time.
        """
        flight = self._outgoing.read()
        if flight:
            self._unsent.append(flight)
        sock = self._socket()
        while self._unsent:
            data = self._unsent[0]
            try:
                sent = sock._send_some(data, 0, deadline)
            except BlockingIOError:
                raise self._ssl.SSLWantWriteError(
                    self._ssl.SSL_ERROR_WANT_WRITE, "The operation did not complete (write)"
                ) from None
            except OSError as error:
                raise self._told(what, error) from None
            if sent < len(data):
                self._unsent[0] = data[sent:]
            else:
                del self._unsent[0]

    def _socket(self) -> Any:
        sock = self._sock()
        if sock is None:
            raise self._ssl.SSLError("Underlying socket connection gone")
        return sock

    def _deadline(self) -> int:
        """When a call that begins now has waited long enough; -1 for a socket that has no time-out, or does not wait."""
        sock = self._socket()
        return sock._deadline() if sock.gettimeout() else -1

    def _told(self, what: str, error: OSError) -> OSError:
        """What CPython makes of an *error* of the socket. Before 3.13 it took one of read or write for an end."""
        if error.errno is None:  # its own time-out
            return TimeoutError(f"The {what} operation timed out")
        if what == "handshake" or sys.version_info >= (3, 13):
            return error
        ended: OSError = self._ssl.SSLEOFError(self._ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")
        return ended


def _records(data: bytes) -> Iterator[bytes]:
    """*data* cut into the records it consists of."""
    start = 0
    while start < len(data):
        end = start + HEAD + int.from_bytes(data[start + 3 : start + HEAD], "big")
        yield data[start:end]
        start = end
