"""Datagrams: one in, one call; one written, one out. An empty datagram is a datagram, not an end."""

from __future__ import annotations

import errno
import os
import socket as _socket
from collections import deque

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import CLOSED, CLOSING, CONNECTED, Channel
from dispatch.checks import check_address
from dispatch.errors import BREATH, OUT_OF_RESOURCES, STALE, TRY_AGAIN
from dispatch.interfaces import IN, OUT, TROUBLE, Address
from dispatch.limits import guard_limits
from dispatch.log import named
from dispatch.sockets.addresses import for_a_socket, guess_family
from dispatch.sockets.socketfile import SocketFile, make_room

if TYPE_CHECKING:
    from dispatch.loop import Loop

NOWHERE = (errno.EDESTADDRREQ, errno.ENOTCONN)
# Seconds until a peer is asked again of whom the poller knows nothing; doubles up to BREATH while it takes nothing.
PEER_FULL_DELAY = 0.001
BATCH = 32  # datagrams in one turn; the other channels wait meanwhile


class Datagram(Channel):
    """A datagram socket: bound to *local*, or talking to *peer* only, or both."""

    __slots__ = ("_file", "_full", "_pause", "_queue", "_resting", "_stuck", "addr", "dropped")

    #: The largest datagram that is read whole, in bytes; UDP has none above.
    max_size = 65535
    #: Datagrams that may wait to be sent; what comes on top is dropped, as a network would.
    queue_limit = 1000

    def __init__(
        self,
        local: Address = None,
        peer: Address = None,
        *,
        sock: Any = None,
        family: int | None = None,
        loop: Loop | None = None,
    ) -> None:
        """Raises OSError if the address is not available. *sock* is an existing datagram socket.

        A path is a Unix socket; a socket file that no socket is bound to any more is replaced.
        """
        self._attach(loop)
        self._queue: deque[tuple[bytes, Address]] = deque()
        self._full: set[Address] = set()  # whose queues are full, of those at paths; what waits is for them
        self._file: Any = None  # of a Unix socket
        self._resting = False
        self._stuck = False  # the kernel has room, and the peer's queue has none
        self._pause = PEER_FULL_DELAY
        self.dropped = 0  # datagrams that the queue had no room for
        if sock is None:
            if local is None and peer is None:
                raise ValueError("a Datagram needs an address of its own (local), the address of a peer, or a socket")
            for address in (local, peer):
                if address is not None:
                    check_address(address, family)
            if family is None:
                family = guess_family(peer if local is None else local)
                if local is not None and peer is not None:
                    check_address(peer, family)  # that of the other: a socket has one
            sock = self.loop.network.socket(family, _socket.SOCK_DGRAM)
        elif getattr(sock, "type", None) != _socket.SOCK_DGRAM:
            raise TypeError(f"{sock!r} is no datagram socket")
        try:
            sock.setblocking(False)
            if local is not None:
                self._file = self._bind(sock, local)
            if peer is not None:
                self._connect(sock, peer)
            self.socket = sock
            self.addr = sock.getsockname()
            self._channel_state = CONNECTED
            self.loop._join(self, IN)
        except BaseException:
            sock.close()
            if self._file is not None:
                self._file.remove()
            raise

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guard_limits(cls, (), ("queue_limit",), ("max_size",))

    def _connect(self, sock: Any, peer: Address) -> None:
        try:
            code = sock.connect_ex(for_a_socket(peer))
        except Exception as error:
            error.add_note(f"the peer's address is {peer!r}")
            raise
        if code:
            raise OSError(code, f"{os.strerror(code)}: cannot talk to {peer!r}")

    def _bind(self, sock: Any, address: Address) -> Any:
        """Bind *sock*; the file that this makes, if it makes one."""
        is_path = isinstance(address, (str, bytes, os.PathLike))
        try:
            if is_path:
                address = os.fspath(address)
                make_room(self.loop.network, address, _socket.SOCK_DGRAM)
            sock.bind(address)
        except Exception as error:
            error.add_note(f"the address of its own is {address!r}")
            raise
        return SocketFile(address) if is_path else None

    # ---- what a subclass says

    def handle_datagram(self, data: bytes, addr: Address, /) -> None:
        """*data*, possibly empty, has arrived from *addr*."""

    def handle_failure(self, error: OSError, /) -> None:
        """A datagram sent earlier did not arrive (ECONNREFUSED from a *peer*), or cannot be sent."""

    def handle_error(self, error: Exception, /) -> None:
        """A handler of this channel raised *error*. By default: log it with its traceback, and go on with the next datagram."""
        self.loop.log_exception(f"{named(self)} goes on: a handler failed", error)

    # ---- what a program does

    def send(self, data: bytes | bytearray | memoryview, addr: Address = None) -> bool:
        """Send one datagram to *addr*, or to the peer. False if it had to be dropped."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"send() takes bytes, not {type(data).__name__}; encode text first")
        if self._channel_state & (CLOSING | CLOSED):
            return False
        self.loop._check_thread()
        if addr is not None and type(addr) is not tuple and isinstance(addr, os.PathLike):
            addr = os.fspath(addr)
        if self._queue or self._full:
            if addr is not None:
                check_address(addr, self.socket.family)
            if not self._full or addr in self._full:
                if len(self._queue) >= self.queue_limit:
                    self.dropped += 1
                    return False
                self._queue.append((bytes(data), addr))
                return True
        try:
            self._send(data, addr)
        except BufferError:
            return self.send(bytes(data), addr)  # a view with gaps
        except OverflowError as error:
            raise ValueError(f"cannot send to {addr}: {error}") from None
        except (TypeError, ValueError) as error:
            check_address(addr, self.socket.family)  # it says more
            error.add_note(f"the address to send to is {addr!r}")
            raise
        except OSError as error:
            if addr is None and error.errno in NOWHERE and not isinstance(self.addr, (str, bytes)):
                # At a path None may be the address of one that has sent without a name: that is no mistake of the program's.
                raise ValueError("no address to send to: this Datagram has no peer, so give addr") from None
            if error.errno not in TRY_AGAIN and error.errno not in OUT_OF_RESOURCES:
                self.loop.call_soon(self._tell_failure, error)
                return False
            self._queue.append((bytes(data), addr))
            if error.errno in OUT_OF_RESOURCES:
                self._rest()
            else:
                if self._at_path():
                    self._full.add(addr)
                self._update()
        return True

    def close(self) -> None:
        """Send what is queued if the kernel accepts it now, and close."""
        self.loop._check_thread()
        if not self._channel_state & CLOSED:
            self._flush()
            self._finish(None)

    # ---- a turn

    def _turn(self, bits: int) -> None:
        if bits & (IN | TROUBLE):
            for _ in range(BATCH):
                if self._channel_state & CLOSED or not self._receive():
                    break
        if bits & OUT and self._queue and not self._channel_state & CLOSED and not self._flush():
            # A Unix socket that is not connected is always writable, however full the queues of those it talks to.
            self._stuck = True
            self._update()
            self.loop.call_later(self._pause, self._ask_again)
            self._pause = min(2 * self._pause, BREATH)

    def _receive(self) -> bool:
        """One datagram; False if there is none."""
        try:
            data, addr = self.socket.recvfrom(self.max_size)
        except OSError as error:
            if error.errno in STALE:
                self._finish(error)
            elif error.errno in OUT_OF_RESOURCES:
                self._rest()
            elif error.errno not in TRY_AGAIN:
                # Of a datagram sent before; the socket is as good as ever, and may have more to say.
                self._call("handle_failure", error)
                return True
            return False
        self._call("handle_datagram", data, addr)
        return True

    def _flush(self) -> bool:
        """Send what waits; False if nothing of it can be sent, though nothing is wrong with it."""
        went = False
        waits: deque[tuple[bytes, Address]] = deque()
        self._full = full = set()
        try:
            while self._queue and not self._channel_state & CLOSED:
                data, addr = self._queue.popleft()  # now: handle_error may close, and come back to here
                if addr in full:
                    waits.append((data, addr))  # behind what was there before
                    continue
                try:
                    self._send(data, addr)
                except OSError as error:
                    if error.errno in TRY_AGAIN and self._at_path():
                        full.add(addr)  # it holds up nobody else
                        waits.append((data, addr))
                        continue
                    if error.errno in OUT_OF_RESOURCES or error.errno in TRY_AGAIN:
                        self._queue.appendleft((data, addr))
                        if error.errno in TRY_AGAIN:
                            break
                        self._rest()
                        return True
                    self.loop.call_soon(self._tell_failure, error)
                except (TypeError, ValueError, OverflowError) as error:
                    self._failed("send", error)  # no address, which nobody could tell by its looks
                went = True
        finally:
            self._queue.extendleft(reversed(waits))
        if went:
            self._pause = PEER_FULL_DELAY
        self._update()
        return went

    def _at_path(self) -> bool:
        """Whether this is a Unix socket: each receiver has a queue of its own, and the kernel says nothing else when it is full."""
        return isinstance(self.addr, (str, bytes))

    def _ask_again(self) -> None:
        self._stuck = False
        self._update()

    def _send(self, data: Any, addr: Address) -> None:
        if addr is None:
            self.socket.send(data)
        else:
            self.socket.sendto(data, addr)

    def _tell_failure(self, error: OSError) -> None:
        if not self._channel_state & CLOSED:
            self._call("handle_failure", error)

    def _update(self) -> None:
        if not self._channel_state & CLOSED and not self._resting:
            self.loop._want(self, IN | OUT if self._queue and not self._stuck else IN)

    def _rest(self) -> None:
        if not self._resting and not self._channel_state & CLOSED:
            self._resting = True
            self.loop._sleep(self)
            self.loop.call_later(BREATH, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._update()

    def _finish(self, reason: BaseException | None) -> None:
        if self._file is not None and not self._channel_state & CLOSED:
            self._file.remove()
        Channel._finish(self, reason)

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._describe()} {self.addr} fd={self._fileno}>"
