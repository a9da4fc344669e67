"""asyncore's verbs on the new loop: the channel only reports events, and leaves reading and writing to its handlers.

Interest is state: set ``reading`` and ``writing`` when it changes, and channels that wait cost a turn nothing. A class
that overrides ``readable`` or ``writable`` is asked before each turn instead, as in asyncore; that costs a call per channel
and turn.
"""

from __future__ import annotations

import socket as _socket

from dispatch.annotations import Any
from dispatch.channel import ACCEPTING, ASLEEP, CLOSED, CONNECTED, CONNECTING, RESTING, Channel
from dispatch.checks import SIZE_MAX, check_address, check_count, check_family, listens, no_socket
from dispatch.errors import BREATH, OUT_OF_RESOURCES, PEER_GONE, TRY_AGAIN, UNDER_WAY, socket_error
from dispatch.interfaces import IN, OUT, PRI, READ, TROUBLE, Address
from dispatch.sockets.accepting import died_in_queue, has_connections
from dispatch.sockets.addresses import for_a_socket


class NotReady(BlockingIOError):
    """recv() found nothing although the poller had announced it. If a handler lets it out, the turn just ends."""


class Dispatcher(Channel):
    """A socket and its handlers: ``handle_read``, ``handle_write``, ``handle_connect``, ``handle_accepted`` ..."""

    __slots__ = ("_asked", "_reading", "_writing", "addr")

    def __init__(self, sock: Any = None, *, addr: Address = None, loop: Any = None) -> None:
        """*sock* is already connected, or listens; without one, call :meth:`create_socket` next."""
        self._attach(loop)
        self.addr = addr
        self._reading = True
        self._writing = False
        kind = type(self)
        self._asked = kind.readable is not Dispatcher.readable or kind.writable is not Dispatcher.writable
        if sock is not None:
            try:
                sock.setblocking(False)
            except AttributeError:
                raise no_socket(sock) from None
            self._channel_state = CONNECTED
            if addr is None and listens(sock):  # who accepts one names the peer, and asks nothing more
                self._channel_state = ACCEPTING
                self.addr = sock.getsockname()
            self._adopt(sock)

    def _adopt(self, sock: Any) -> None:
        self.socket = sock
        self.loop._join(self, 0 if self._asked else self._wanted())
        if self._asked:
            self.loop._asked[self._fileno] = self

    # ---- what a subclass says

    def readable(self) -> bool:
        """Whether to call ``handle_read`` when there is something to read. If overridden, it is asked before each turn."""
        return self._reading

    def writable(self) -> bool:
        """Whether to call ``handle_write`` when there is room to write. If overridden, it is asked before each turn."""
        return self._writing

    def handle_read(self) -> None:
        """There is something to read: data, or the end."""

    def handle_write(self) -> None:
        """There is room to write."""

    def handle_connect(self) -> None:
        """:meth:`connect` has succeeded."""

    def handle_accept(self) -> None:
        """A connection is waiting. By default: accept it, and call :meth:`handle_accepted`."""
        pair = self.accept()
        if pair is not None:
            self.handle_accepted(*pair)

    def handle_accepted(self, sock: Any, addr: Address, /) -> None:
        """A connection was accepted. By default: close it."""
        sock.close()

    def handle_expt(self) -> None:
        """An urgent byte has arrived; :meth:`recv_urgent` reads it. If it is not read here, it is dropped."""

    # ---- what a program does

    @property
    def reading(self) -> bool:
        """Whether ``handle_read`` is wanted."""
        return self._reading

    @reading.setter
    def reading(self, wanted: bool) -> None:
        self.loop._check_thread()
        self._reading = wanted
        self._update()

    @property
    def writing(self) -> bool:
        """Whether ``handle_write`` is wanted."""
        return self._writing

    @writing.setter
    def writing(self, wanted: bool) -> None:
        self.loop._check_thread()
        self._writing = wanted
        self._update()

    def create_socket(self, family: int = _socket.AF_INET, type: int = _socket.SOCK_STREAM) -> None:
        """Make a socket. It is polled from :meth:`connect`, :meth:`listen` or (datagrams) :meth:`bind` on."""
        if self._channel_state & CLOSED or self.loop.closed:
            raise RuntimeError(f"{self!r} is closed, or {self.loop!r} is; make a new one")
        if self.socket is not None:
            raise RuntimeError(f"{self!r} has a socket already; a channel has one")
        check_family(family)
        check_count("type", type, 1, SIZE_MAX)
        self.socket = self.loop.network.socket(family, type)
        self.socket.setblocking(False)

    def set_reuse_addr(self) -> None:
        """Let bind() take an address whose last connections are still in TIME_WAIT."""
        self._open_socket().setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)

    def bind(self, address: Address) -> None:
        """Bind to a local address."""
        check_address(address, self._open_socket().family)
        self.loop._check_thread()
        self.socket.bind(for_a_socket(address))
        self.addr = self.socket.getsockname()
        if self.socket.type == _socket.SOCK_DGRAM and self._fileno < 0:
            self._channel_state |= CONNECTED
            self._adopt(self.socket)

    def listen(self, backlog: int = 1024) -> None:
        """Accept connections from now on."""
        sock = self._open_socket()
        check_count("backlog", backlog, 0, SIZE_MAX)
        self.loop._check_thread()
        sock.listen(backlog)
        self._channel_state |= ACCEPTING
        if self._fileno < 0:
            self._adopt(self.socket)

    def connect(self, address: Address) -> None:
        """Connect; ``handle_connect`` or ``handle_close(reason)`` follows, never inside this call.

        A datagram socket may be bound before, and be connected to another peer later.
        """
        check_address(address, self._open_socket().family)
        datagrams = self.socket.type == _socket.SOCK_DGRAM
        if self._channel_state & (CONNECTING | ACCEPTING | (0 if datagrams else CONNECTED)):
            raise RuntimeError(f"{self!r} cannot connect: it is {self._describe()} already")
        self.loop._check_thread()
        self.addr = address
        try:
            code = self.socket.connect_ex(for_a_socket(address))
        except OSError as error:  # no such name
            self._connect_failed(error)
            return
        # The queue of a Unix listener: nothing is under way.
        full = code in TRY_AGAIN and self.socket.family == getattr(_socket, "AF_UNIX", None)
        if code and (full or code not in UNDER_WAY):
            self._connect_failed(socket_error(code))
        else:
            self._channel_state = self._channel_state & ~CONNECTED | CONNECTING
            if self._fileno < 0:
                self._adopt(self.socket)
            self.loop._want(self, OUT)

    def accept(self) -> tuple[Any, Address] | None:
        """The next connection; None if there is none after all, or none can be accepted at the moment."""
        try:
            pair: tuple[Any, Address] = self._open_socket().accept()
        except OSError as error:
            if error.errno in TRY_AGAIN or died_in_queue(self.socket, error.errno):
                return None
            if error.errno in OUT_OF_RESOURCES:
                # The connection stays in the queue and keeps the listener ready: rest, or spin.
                self._channel_state |= RESTING
                self.loop._sleep(self)
                self.loop.call_later(BREATH, self._rested)
                return None
            raise
        return pair

    def recv(self, size: int) -> bytes:
        """At most *size* bytes; ``b""`` at the end, after which the channel closes.

        Of a datagram socket ``b""`` is an empty datagram, and no end; an empty record of SOCK_SEQPACKET cannot be told from the end.

        Raises:
            NotReady: there is nothing to read after all. A handler need not catch it: the turn just ends.
        """
        try:
            data: bytes = self.socket.recv(size)
        except AttributeError:
            self._open_socket()  # says what is missing
            raise
        except OSError as error:
            if self._channel_state & CLOSED:
                return b""
            if error.errno in TRY_AGAIN:
                raise NotReady(error.errno, error.strerror) from None
            if error.errno in PEER_GONE:
                self._finish(error)
                return b""
            raise
        if not data and size and has_connections(self.socket):  # to others an empty datagram is one
            self._finish(None)
        return data

    def recv_urgent(self) -> bytes:
        """The urgent byte, or ``b""`` if there is none."""
        try:
            data: bytes = self.socket.recv(1, _socket.MSG_OOB)
        except AttributeError:
            self._open_socket()  # says what is missing
            raise
        except OSError:
            return b""
        return data

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """How many bytes the kernel accepted: 0 if it is full. If the connection is over, the channel closes."""
        if self._channel_state & CLOSED:
            return 0
        try:
            sent: int = self.socket.send(data)
        except AttributeError:
            self._open_socket()  # says what is missing
            raise
        except OSError as error:
            if error.errno in TRY_AGAIN:
                return 0
            if error.errno in PEER_GONE:
                self._finish(error)
                return 0
            raise
        return sent

    def close(self) -> None:
        """Close now; ``handle_close`` follows at the end of this turn."""
        self.loop._check_thread()
        self._finish(None)

    def _open_socket(self) -> Any:
        """The socket, if there is one."""
        if self._channel_state & CLOSED:
            raise RuntimeError(f"{self!r} is closed; make a new one")
        if self.socket is None:
            raise RuntimeError(f"{self!r} has no socket yet; call create_socket() first")
        return self.socket

    # ---- a turn

    def _wanted(self) -> int:
        if self._channel_state & CONNECTING:
            return OUT
        if self._channel_state & ACCEPTING:
            return IN if self._reading else 0
        return (READ if self._reading else 0) | (OUT if self._writing else 0)

    def _rested(self) -> None:
        self._channel_state &= ~RESTING
        self._update()

    def _update(self) -> None:
        if self._fileno >= 0 and not self._asked and not self._channel_state & RESTING:
            self.loop._want(self, self._wanted())

    def _ask(self) -> None:
        try:
            if self._channel_state & CONNECTING:
                bits = OUT
            else:
                bits = READ if self.readable() else 0
                if self._channel_state & ACCEPTING:
                    bits &= IN
                elif self.writable():
                    bits |= OUT
        except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            self._failed("readable", error)
        else:
            if self._fileno >= 0 and not self._channel_state & RESTING and not (bits == 0 and self._bits & ASLEEP):
                try:
                    self.loop._want(self, bits)
                except (OSError, ValueError) as error:
                    self._finish(error)  # its socket was closed behind its back

    def _turn(self, bits: int) -> None:
        asked = self._bits
        if self._channel_state & CONNECTING:
            self._connect_event()
            return
        if self._channel_state & ACCEPTING:
            self._serve("handle_accept")
            return
        if bits & TROUBLE and not asked & (IN | OUT):
            self.loop._sleep(self)
            return
        if bits & (IN | TROUBLE) and asked & IN:
            self._serve("handle_read")
        # What a handler does not ask for any more is not told; nor is anything once it is closed.
        if bits & PRI and asked & self._bits & PRI and not self._channel_state & CLOSED:
            self._serve("handle_expt")
            if not self._channel_state & CLOSED:
                self.recv_urgent()  # unread, it would be announced for ever, and make a RST of our close
        if bits & (OUT | TROUBLE) and asked & self._bits & OUT and not self._channel_state & CLOSED:
            self._serve("handle_write")

    def _serve(self, name: str) -> None:
        """A handler's turn; a socket that was not ready after all is no error of its program."""
        try:
            self._call_raising(name)
        except NotReady:
            pass
        except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            self._failed(name, error)

    def _connect_event(self) -> None:
        code = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        if code:
            self._connect_failed(socket_error(code))
            return
        self._channel_state = (self._channel_state | CONNECTED) & ~CONNECTING
        self._update()
        self._serve("handle_connect")

    def _connect_failed(self, error: OSError) -> None:
        self._unheard(f"could not connect to {self.addr}: {error}")
        self._finish(error)
