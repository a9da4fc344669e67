"""``ssl.SSLSocket`` in a run: TLS as OpenSSL speaks it, its bytes moved by the calls of the run's own sockets.

Outside a run it hands its descriptor to OpenSSL, which reads and writes it in C. Here OpenSSL works in memory, and its bytes
go through the socket's own calls, which wait, time out and meet faults like any other, simulated or on a real kernel. The rest
of ``SSLSocket`` is the standard library's. The calls are those that OpenSSL makes: the head of a record, then the rest of it,
so that further data stays in the kernel, where pollers see it; one send for each record, or for a handshake's flight.
"""

from __future__ import annotations

import sys
import weakref
from _thread import RLock
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from simnet.tls.decrypted import layers
from simnet.tls.sealed import HEAD

__all__ = ["is_of_tls", "place", "unplace"]

AN_END, NO_ROOM = "EOF occurred in violation of protocol", "The operation did not complete (write)"
DONE = "TLS/SSL connection has been closed (EOF)"
LINE = " (_ssl.c:"
# What a call says that it has waited for, if that is not its own name.
WAITS = {"do_handshake": "handshake", "shutdown": "read"}
LINES_ABOVE = 17  # that one stands above the other where do_handshake says that its time is over

# SSLContext, for its module may go from sys.modules, and what its _wrap_socket was.
_context: Any = None
_original: Any = None


def is_of_tls(cls: type) -> bool:
    """Whether *cls* is ``ssl.SSLSocket`` or derived from it; ``ssl`` need not be loaded."""
    return any(getattr(base, "__module__", None) == "ssl" for base in cls.__mro__)


def place() -> None:
    """``ssl`` is loaded: from now on its contexts wrap simulated sockets too."""
    global _context, _original
    if _original is None:
        _context = sys.modules["ssl"].SSLContext
        _original = _context._wrap_socket
        _context._wrap_socket = _wrap_socket


def unplace() -> None:
    """What a context inherits from C shows again."""
    global _context, _original
    if _original is not None:
        del _context._wrap_socket
        _context = _original = None


def _wrap_socket(
    context: Any, sock: Any, server_side: bool, server_hostname: Any = None, *, owner: Any = None, session: Any = None
) -> Any:
    if not hasattr(type(sock), "_recv_some"):
        return _original(context, sock, server_side, server_hostname, owner=owner, session=session)
    layer = _Layer(context, sock, server_side, server_hostname, owner, session)
    layers.add(layer)
    return layer


@lru_cache
def line_of(call: str) -> str:
    """Where this interpreter's ``_ssl.c`` asks what became of *call*, as it says in its errors: `` (_ssl.c:1006)``."""
    ssl = sys.modules["ssl"]
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)._wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), False, None)
    try:
        getattr(nobody, call)(*{"read": (1,), "write": (b"x",)}.get(call, ()))
    except ssl.SSLError as error:
        text = str(error)
        return text[text.find(LINE) :] if LINE in text else ""
    return ""


class _Layer:
    """What an ``SSLSocket`` has in its ``_sslobj``: OpenSSL's side of the connection, as a real one looks from Python."""

    def __init__(
        self, context: Any, sock: Any, server_side: bool, server_hostname: Any, owner: Any, session: Any
    ) -> None:
        ssl = sys.modules["ssl"]
        self._ssl = ssl
        self.sock = weakref.ref(sock)  # which holds this
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context._wrap_bio(
            self._incoming, self._outgoing, server_side, server_hostname, owner=owner, session=session
        )
        self._head = b""  # of the record that is being read
        self._left = 0  # bytes of it that are still to come
        self._unsent: list[bytes] = []  # what the socket had no room for yet
        self._taken: int | None = None  # bytes of a write whose records are among them
        self._sends = False  # somebody is sending it; who has more to send leaves it to that one
        self._within = RLock()  # for threads of a kernel's world: OpenSSL, and what it puts out, are one's at a time
        self._ended = False  # the peer has said that it is done

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
        self._run("do_handshake", self._tls.do_handshake, then_send=False, one_by_one=self._sends_tickets)
        try:
            self._send("do_handshake", self._deadline())
        except (BrokenPipeError, ConnectionResetError):
            if not self._sends_tickets():
                raise
            self._unsent.clear()  # OpenSSL takes what it wrote to a client who is gone for sent

    def read(self, size: int = 1024, *buffer: Any) -> Any:
        if size > 0 and (self._ended or self._incoming.eof) and not self._tls.pending():
            self._socket()._gave_nothing()
        result = self._run("read", lambda: self._tls.read(size, *buffer))
        self._ended |= not result and size > 0
        return result

    def write(self, data: Any) -> int:
        if self._sends:  # another thread does: this comes behind
            behind: int = self._run("write", lambda: self._write(data), one_by_one=_always)
            return behind
        if self._taken is not None and memoryview(data).nbytes < self._taken:
            raise self._bad_length()
        if self._taken is None:
            self._taken = 0  # who reads meanwhile sends nothing of it
            try:
                self._taken = self._run("write", lambda: self._write(data), then_send=False, one_by_one=_always)
            except BaseException:
                self._taken = None
                raise
        # As OpenSSL wants it, who could not write calls again with the same data: it is encrypted already.
        self._send("write", self._deadline())
        taken, self._taken = self._taken, None
        assert taken is not None
        return taken

    def _write(self, data: Any) -> int:
        """OpenSSL's write. The handshake, if nobody has asked for it, comes first, and its flight is not cut into records."""
        if self._tls.version() is None:
            try:
                self._tls.do_handshake()
            except self._ssl.SSLError as error:
                error.strerror = error.strerror.replace(line_of("do_handshake"), line_of("write"))
                error.args = (error.args[0], error.strerror)
                raise
            flight = self._outgoing.read()
            self._unsent += _records(flight) if self._sends_tickets() else [flight]
        taken: int = self._tls.write(data)
        return taken

    def shutdown(self) -> Any:
        self._run("shutdown", self._tls.shutdown)
        return self.sock()

    def _sends_tickets(self) -> bool:
        return bool(self._tls.server_side and self._tls.version() == "TLSv1.3")

    def _run(
        self, call: str, step: Callable[[], Any], *, then_send: bool = True, one_by_one: Callable[[], bool] = bool
    ) -> Any:
        """*step* of a *call*, until it has all the input it wants; what it puts out is sent before more is waited for."""
        deadline = self._deadline()
        while True:
            try:
                result = self._step(step, one_by_one)
            except self._ssl.SSLWantReadError as wanted:
                self._send(call, deadline)
                if not self._receive(call, deadline):
                    raise wanted from None
            except self._ssl.SSLError as error:
                with suppress(OSError):
                    self._send(call, deadline)  # an alert that says why
                self._ended |= isinstance(error, self._ssl.SSLZeroReturnError)
                if isinstance(error, self._ssl.SSLSyscallError):  # which is what an end is called of who has no socket
                    raise self._error(call, "SSLEOFError", "SSL_ERROR_EOF", AN_END) from None
                raise
            else:
                if then_send:
                    self._send(call, deadline)
                return result

    def _step(self, step: Callable[[], Any], one_by_one: Callable[[], bool]) -> Any:
        """*step*; what it has put out waits to be sent, in one flight or *one_by_one*, as OpenSSL writes its tickets."""
        with self._within:
            done = False
            try:
                result = step()
                done = one_by_one()
            finally:
                if flight := self._outgoing.read():
                    self._unsent += _records(flight) if done else [flight]
            return result

    def _receive(self, call: str, deadline: int) -> bool:
        """The next part of a record into OpenSSL's hands; False if there is nothing yet and the socket does not wait."""
        sock = self._socket()
        size = self._left or HEAD - len(self._head)
        try:
            data: bytes = sock._recv_some(size, deadline)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._told(call, error) from None
        with self._within:
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

    def _send(self, call: str, deadline: int) -> None:
        """What waits to be sent, as far as the socket waits for room. What a write has left waits for the next write.

        Raises:
            ssl.SSLWantWriteError: the rest has no room yet.
            TimeoutError: nor had it in time.
        """
        sock = self._socket()
        if not self._may_send(call):
            return
        try:
            while self._has_more():
                data = self._unsent[0]
                try:
                    sent = sock._send_some(data, 0, deadline)
                except BlockingIOError:
                    raise self._error(call, "SSLWantWriteError", "SSL_ERROR_WANT_WRITE", NO_ROOM) from None
                except OSError as error:
                    raise self._told(call, error) from None
                if sent < len(data):
                    self._unsent[0] = data[sent:]
                else:
                    del self._unsent[0]
        except BaseException:
            self._sends = False
            raise

    def _may_send(self, call: str) -> bool:
        """Whether it is its turn now, as it is until it finds nothing more to be sent, or may not go on."""
        with self._within:
            if self._sends or (self._taken is not None and call in ("do_handshake", "read")):
                return False
            self._sends = True
            return True

    def _has_more(self) -> bool:
        with self._within:
            self._sends = bool(self._unsent)
            return self._sends

    def _socket(self) -> Any:
        sock = self.sock()
        if sock is None:
            raise self._ssl.SSLError("Underlying socket connection gone")
        return sock

    def _deadline(self) -> int:
        """When a call that begins now has waited long enough; -1 for a socket that has no time-out, or does not wait."""
        sock = self._socket()
        return sock._deadline() if sock.gettimeout() else -1

    def _told(self, call: str, error: OSError) -> OSError:
        """What CPython makes of an *error* of the socket. Before 3.13 it took one of read or write for an end."""
        if error.errno is None:  # its own time-out
            where = ""
            if call == "do_handshake" and (line := line_of(call)):
                where = f"_ssl.c:{int(line[len(LINE) : -1]) - LINES_ABOVE}: "
            return TimeoutError(f"{where}The {WAITS.get(call, call)} operation timed out")
        if self._ended:
            return self._error(call, "SSLZeroReturnError", "SSL_ERROR_ZERO_RETURN", DONE)
        if call in WAITS or sys.version_info >= (3, 13):
            return error
        return self._error(call, "SSLEOFError", "SSL_ERROR_EOF", AN_END)

    def _bad_length(self) -> OSError:
        """Who could not write calls again with less: OpenSSL has taken the rest already."""
        error = self._error("write", "SSLError", "SSL_ERROR_SSL", "[SSL: BAD_LENGTH] bad length")
        error.library, error.reason = "SSL", "BAD_LENGTH"  # type: ignore[attr-defined]
        return error

    def _error(self, call: str, kind: str, code: str, text: str) -> OSError:
        """An error of *call* as CPython makes it, with the line of its source where it does."""
        error: OSError = getattr(self._ssl, kind)(getattr(self._ssl, code), text + line_of(call))
        return error


def _always() -> bool:
    return True


def _records(data: bytes) -> Iterator[bytes]:
    """*data* cut into the records it consists of."""
    start = 0
    while start < len(data):
        end = start + HEAD + int.from_bytes(data[start + 3 : start + HEAD], "big")
        yield data[start:end]
        start = end
