"""Accepts connections, and keeps listening whatever accept() reports.

It accepts one connection a turn, twice as many each turn while they keep coming. One that died in the queue is skipped. When the
machine has no descriptor left it pauses for a moment, longer each time. If there is still none then, it uses the descriptor
it kept in reserve to hang up on those that wait, so that they do not wait for ever.
"""

from __future__ import annotations

import os
import socket as _socket
import sys
from collections.abc import Callable

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import ACCEPTING, CLOSED, PAUSED, RESTING, Channel
from dispatch.checks import (
    check_address,
    check_count,
    check_flag,
    check_made,
    no_socket,
    refuse_tls,
    refuse_waiting,
    tell_what_was_not_made_yet,
)
from dispatch.errors import DIED_IN_QUEUE, OUT_OF_RESOURCES, TRY_AGAIN
from dispatch.interfaces import IN, Address
from dispatch.log import named
from dispatch.observers import observers
from dispatch.sockets.accepting import has_connections, plainly
from dispatch.sockets.addresses import guess_family
from dispatch.sockets.nodelay import no_delay
from dispatch.sockets.socketfile import SocketFile, make_room
from dispatch.stream import Stream

if TYPE_CHECKING:
    from dispatch.loop import Loop
    from dispatch.statistics import ListenerStatistics

BACKLOG_MAX = 0x7FFFFFFF  # an int in C; the kernel takes fewer, and says nothing
BATCH = 64  # connections in one turn at most: the channels behind them wait meanwhile
TOLD_FOR = 60.0  # seconds in which no second channel that could not be made for want of something is told of
REST_MIN, REST_MAX = 0.05, 1.0  # seconds without accepting when resources are short; doubles each time
SPARE_FROM = 64  # channels of a loop from which on a descriptor is kept in reserve: small loops do not run out
# Python 3.12 keeps an interned string for ever, and there are more addresses in the world than memory.
_once = str if sys.version_info[:2] == (3, 12) else sys.intern


class Listener(Channel):
    """Accepts connections and makes a channel from each: ``handler(sock, addr=addr, loop=loop)``."""

    __slots__ = (
        "_batch",
        "_file",
        "_last_turn",
        "_limit",
        "_open",
        "_pause",
        "_spare",
        "_told",
        "_uncounted",
        "accepted",
        "addr",
        "handler",
        "rests",
        "shed",
        "tls",
    )

    def __init__(
        self,
        address: Address = None,
        handler: Callable[..., Any] | None = None,
        *,
        loop: Loop | None = None,
        sock: Any = None,
        family: int | None = None,
        backlog: int = 1024,
        limit: int | None = None,
        reuse_port: bool = False,
        tls: Any = None,
    ) -> None:
        """Listen on *address*.

        Args:
            address: ``("", port)`` is every IPv4 address of the machine, ``("::", port)`` every one of both families, port 0
                any free port (see ``addr``), a path a Unix socket. A socket file on which no socket listens is replaced.
            handler: a Stream class, or any function that makes a channel from a socket. What it returns is counted (*limit*) and speaks TLS.
            loop: the loop of the listener and its connections; None: the current one.
            sock: a bound socket, instead of *address*; a Unix socket's file is then not removed at the end.
            family: guessed from *address* if None.
            backlog: how many connections may wait in the kernel.
            limit: how many streams may be open at once; others wait in the kernel until one closes.
            reuse_port: several processes may listen on this port, and share its connections.
            tls: an ``ssl.SSLContext``: each stream begins with a handshake, also one that writes where it is made. A connection of which
                *handler* returns none is closed.

        Raises:
            OSError: the address is not available: EADDRINUSE, EACCES, EADDRNOTAVAIL.
        """
        if handler is None or not callable(handler):
            pair = isinstance(address, str) and isinstance(handler, int)
            remedy = f"; a host and its port are a pair, {(address, handler)!r}" if pair else ""
            raise TypeError(
                f"{handler!r} cannot handle connections: pass a Stream class, or what makes a channel{remedy}"
            )
        refuse_waiting(named(handler), handler)
        if limit is not None:
            check_count("limit", limit, 1)  # None means no limit
        check_count("backlog", backlog, 0, BACKLOG_MAX)
        check_flag("reuse_port", reuse_port)
        if (address is None) == (sock is None):
            raise ValueError("a Listener needs an address or a socket, and not both")
        if sock is None:
            check_address(address, family)
        if tls is not None:
            _check_context(tls)
        self._attach(loop)
        self.handler = handler
        self._limit = limit
        self.tls = tls
        self.accepted = self.shed = self.rests = 0
        self._open = 0
        self._batch = 1  # how many to take in the next turn
        self._last_turn = -1  # of the loop, in which somebody was waiting
        self._pause = 0.0
        self._told = float("-inf")  # when it was said that a channel could not be made for want of something
        self._uncounted = False  # whether it was said that the limit does not count what is made
        self._file: Any = None  # of a Unix socket
        self._spare: Any = None
        if sock is None:
            sock, self._file = self._bound_socket(
                address, guess_family(address) if family is None else family, reuse_port
            )
        if not hasattr(sock, "accept"):
            raise no_socket(sock)
        refuse_tls(sock, "tls=context")
        if not has_connections(sock):
            raise TypeError(f"{sock!r} has no connections to accept: give a stream socket; datagrams are for Datagram")
        try:
            sock.setblocking(False)
            sock.listen(backlog)
            self.addr = sock.getsockname()
            self.socket = sock
            self._channel_state = ACCEPTING
            self.loop._join(self, IN)
        except BaseException:
            sock.close()
            if self._file is not None:
                self._file.remove()
            raise

    def _bound_socket(self, address: Address, family: int, reuse_port: bool) -> tuple[Any, Any]:
        """A socket, and the file that its bind has made, if any."""
        file = None
        sock = self.loop.network.socket(family, _socket.SOCK_STREAM)
        try:
            no_delay(sock, family)
            if family in (_socket.AF_INET, _socket.AF_INET6):
                if os.name == "posix":
                    # So that a restart need not wait for TIME_WAIT; on Windows it would let two programs share the port.
                    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
                if reuse_port:
                    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
                if family == _socket.AF_INET6:
                    # The wildcard takes IPv4 too, a single address does not; the kernel's default is a sysctl.
                    both = address[0] in ("", "::")
                    sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0 if both else 1)
            else:
                address = os.fspath(address)
                make_room(self.loop.network, address, _socket.SOCK_STREAM)
            sock.bind(address)
            if family not in (_socket.AF_INET, _socket.AF_INET6):
                file = SocketFile(address)
        except BaseException as error:
            sock.close()
            error.add_note(f"the address to listen on is {address!r}")
            raise
        return sock, file

    # ---- what a program does

    def close(self) -> None:
        """Stop accepting. Accepted connections stay open."""
        self.loop._check_thread()
        self._finish(None)

    def pause(self) -> None:
        """Leave new connections in the kernel's queue until :meth:`resume`."""
        self.loop._check_thread()
        self._channel_state |= PAUSED
        self._update()

    def resume(self) -> None:
        """Accept again."""
        self.loop._check_thread()
        self._channel_state &= ~PAUSED
        self._update()

    @property
    def limit(self) -> int | None:
        """How many streams may be open at once, counting those accepted since there was a limit; may be changed."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        if limit is not None:
            check_count("limit", limit, 1)
        self.loop._check_thread()
        self._limit = limit
        self._update()

    def statistics(self) -> ListenerStatistics:
        """The counters at this moment."""
        from dispatch.statistics import ListenerStatistics

        return ListenerStatistics(self.accepted, -1 if self._limit is None else self._open, self.shed, self.rests)

    # ---- a turn

    def _turn(self, bits: int) -> None:
        # A call that finds nobody costs as much as one that does: ask for more than one only if there were more before.
        turn = self.loop._turn_number
        self._batch = min(2 * self._batch, BATCH) if turn == self._last_turn + 1 else 1
        self._last_turn = turn
        for _ in range(self._batch):
            try:
                sock, addr = plainly(self.socket) or self.socket.accept()
            except OSError as error:
                if error.errno in TRY_AGAIN:
                    self._batch = 1
                    return
                if error.errno in DIED_IN_QUEUE:
                    continue
                self._accept_failed(error)
                return
            self._pause = 0.0
            self.accepted += 1
            self._welcome(sock, addr)
            if not self._channel_state & ACCEPTING or self._channel_state & PAUSED or self._is_full():
                break
        self._update()
        if self._spare is None and len(self.loop.channels) >= SPARE_FROM and not self._channel_state & CLOSED:
            self._keep_spare()

    def _welcome(self, sock: Any, addr: Address) -> None:
        """Make a channel; if its class fails, that connection is closed and no other."""
        if not addr:
            addr = None  # an unnamed Unix peer
        elif type(addr) is tuple and type(addr[0]) is str:
            addr = (_once(addr[0]), *addr[1:])  # thousands of connections from one host keep its name once
        try:
            channel = self.handler(sock, addr=addr, loop=self.loop)
            if isinstance(channel, Channel):
                check_made(channel)
            self._take_in(channel, sock)
        except BaseException as error:
            if isinstance(error, Exception):
                self._tell_failure(error, addr)
            joined = self.loop.channels.get(sock.fileno())
            if joined is not None and joined.socket is sock:
                joined._finish(error)  # its own abort() may need what its constructor has not made
            else:
                sock.close()
            if not isinstance(error, Exception):
                raise  # Ctrl-C, and what is half made is served by nobody

    def _tell_failure(self, error: Exception, addr: Address) -> None:
        """No channel could be made of a connection."""
        if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            error.add_note("a listener makes a channel of each connection by handler(sock, addr=addr, loop=loop)")
        if isinstance(error, AttributeError):
            tell_what_was_not_made_yet(error)
        for observer in observers:
            observer.raised(self, "handler", error)
        if not self._is_known(error):
            self.loop.log_exception(
                f"{self!r}: {named(self.handler)} failed for {addr}, that connection is closed", error
            )

    def _take_in(self, made: Any, sock: Any) -> None:
        """Count what *handler* has made, and begin TLS.

        Raises:
            TypeError: it is no stream, and would be served in clear.
            RuntimeError: it has no connection, and this one is nobody's.
        """
        if not isinstance(made, Stream):
            if self.tls is not None and sock.fileno() >= 0:  # else it was turned away
                raise TypeError(f"with tls=, a handler has to return the Stream it makes, not {made!r}")
            if self._limit is not None and not self._uncounted and sock.fileno() >= 0:
                self._uncounted = True
                self.loop.log_warning(
                    f"{self!r}: limit={self._limit} counts the streams that its handler returns; "
                    f"{named(self.handler)} has returned {named(made)}"
                )
        elif not made._channel_state & CLOSED:
            if not made._channel_state and sock.fileno() >= 0 and sock.fileno() not in self.loop.channels:
                raise RuntimeError(
                    f"{made!r} has no socket: hand sock on to super().__init__(sock, addr=addr, loop=loop)"
                )
            if self._limit is not None:
                self._open += 1
                made._extras().listener = self
            if self.tls is not None:
                from dispatch.tls import start_first

                start_first(made, self.tls)

    def _is_known(self, error: Exception) -> bool:
        """Whether it is for want of something, and that was said a moment ago: whoever comes then meets with the same."""
        if not isinstance(error, OSError) or error.errno not in OUT_OF_RESOURCES:
            return False
        self.shed += 1
        before, self._told = self._told, self.loop.time()
        return self._told - before < TOLD_FOR

    def _is_full(self) -> bool:
        return self._limit is not None and self._open >= self._limit

    def _departed(self, channel: Channel) -> None:
        """One of ours has closed."""
        self._open -= 1
        self._update()

    # ---- out of descriptors

    def _accept_failed(self, error: OSError) -> None:
        if error.errno not in OUT_OF_RESOURCES:
            # EBADF, EINVAL, ENOTSOCK: this socket will never accept again, whoever did that to it.
            self._unheard(f"accepts nobody any more: {error}")
            self._finish(error)
            return
        self.rests += 1
        if self._pause and self._spare is not None:
            self._hang_up()
        self._pause = min(2 * self._pause, REST_MAX) if self._pause else REST_MIN
        self._channel_state |= RESTING
        self._update()
        self.loop.call_later(self._pause, self._rested)

    def _hang_up(self) -> None:
        """Spend the spare descriptor: accept those who wait, and close them, one after the other."""
        self._spare.close()
        self._spare = None
        for _ in range(BATCH):
            try:
                sock, _ = self.socket.accept()
            except OSError:
                break
            sock.close()
            self.shed += 1
        self._keep_spare()

    def _keep_spare(self) -> None:
        try:
            self._spare = self.loop.network.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        except OSError:
            self._spare = None

    def _rested(self) -> None:
        self._channel_state &= ~RESTING
        self._update()

    # ---- state

    def _update(self) -> None:
        if self._channel_state & ACCEPTING:
            if self._channel_state & (PAUSED | RESTING) or self._is_full():
                self.loop._sleep(self)
            elif self._bits != IN:
                self.loop._want(self, IN)

    def _progress(self) -> object:
        return self.accepted, self._channel_state

    def _finish(self, reason: BaseException | None) -> None:
        if self._channel_state & CLOSED:
            return
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        if self._file is not None:
            self._file.remove()
        Channel._finish(self, reason)

    def __repr__(self) -> str:
        return f"<dispatch.Listener {self._describe()} {self.addr} fd={self._fileno}>"


def _check_context(tls: Any) -> None:
    """*tls* is a context with which a server can speak TLS.

    Raises:
        TypeError: no context.
        ValueError: one for clients.
    """
    import ssl

    if not isinstance(tls, ssl.SSLContext):
        raise TypeError(f"{tls=} must be an ssl.SSLContext")
    if tls.protocol == ssl.PROTOCOL_TLS_CLIENT:
        raise ValueError("tls= is a context for clients; make it with ssl.PROTOCOL_TLS_SERVER")
    import dispatch.tls  # noqa: F401 - now, since there may be no descriptor left to load it with for the first client
