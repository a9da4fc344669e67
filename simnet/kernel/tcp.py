"""A TCP socket: the calls a program makes, as ``inet_stream_ops`` of Linux answers them. None of them waits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from errno import (
    EADDRNOTAVAIL,
    EAGAIN,
    EALREADY,
    ECONNABORTED,
    EINPROGRESS,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOTCONN,
    EPIPE,
)  # fmt: skip
from typing import Any, Final

from simnet.kernel.buffer import Buffer
from simnet.kernel.connection import (
    CONNECTED,
    CONNECTING,
    DISCONNECTING,
    FIN_NONE,
    ISN,
    OOB_INLINE,
    SHUT_RECEIVE,
    SHUT_SEND,
    UNCONNECTED,
    URGENT_HERE,
    URGENT_READ,
    Connection,
)  # fmt: skip
from simnet.kernel.cork import Cork
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.listener import SOMAXCONN, Listener
from simnet.kernel.messages import (
    AF_INET6,
    MSG_ERRQUEUE,
    MSG_MORE,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    RECEIVE_FLAGS,
    SEND_FLAGS,
    SHUT_RDWR,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
    SIOCOUTQNSD,
    SOCK_STREAM,
)  # fmt: skip
from simnet.kernel.options import IPPROTO_TCP, SO_LINGER, SOL_SOCKET, TCP_NOTSENT_LOWAT
from simnet.kernel.ports import V6_ONLY
from simnet.kernel.readiness import ANY_NEWS
from simnet.kernel.segment import ACK, SYN, TCP, Segment
from simnet.kernel.states import CLOSE_WAIT, CLOSED, ESTABLISHED, LISTEN, SYN_RECV, SYN_SENT
from simnet.kernel.tcp_options import get_option, set_option

LOCK_ADDRESS: Final = 1  # bind() named an address
LOCK_PORT: Final = 2  # bind() named a port

_SENDABLE: Final = (ESTABLISHED, CLOSE_WAIT)


class TcpSocket(Connection):
    """One TCP socket. Addresses are numeric and in canonical text; the face above resolves names."""

    __slots__ = ()
    type: Final = SOCK_STREAM
    proto: Final = TCP

    # Names.

    def name(self, endpoint: tuple[str, int]) -> tuple[Any, ...]:
        """*endpoint* as CPython shows it on a socket of this family."""
        if self.family != AF_INET6:
            return endpoint
        ip, port = endpoint
        return (ip if ":" in ip else f"::ffff:{ip}", port, 0, 0)

    def getsockname(self) -> tuple[Any, ...]:
        """The local name; the wildcard and port 0 while there is none (K-033)."""
        local = self.local
        if local is None:
            return self.name(("::", 0)) if self.family == AF_INET6 else ("0.0.0.0", 0)
        if self.family == AF_INET6 and local[0] == "0.0.0.0":
            return ("::", local[1], 0, 0)
        return self.name(local)

    def getpeername(self) -> tuple[Any, ...]:
        """The peer's name, or ENOTCONN, also when the connection is over."""
        if self.peer is None or self.state == CLOSED or self.state == SYN_SENT:
            raise socket_error(ENOTCONN)
        return self.name(self.peer)

    def bind(self, address: Sequence[Any]) -> None:
        """Take an address and a port (K-025 to K-031).

        Raises:
            OSError: EADDRNOTAVAIL, not an address of this host; EINVAL, bound or connected; EADDRINUSE.
        """
        stack = self.stack
        ip, port = stack.endpoint(self.family, address)
        if not stack.is_bindable(ip):
            raise socket_error(EADDRNOTAVAIL)
        if self.state != CLOSED or self.port:
            raise socket_error(EINVAL)
        if self.sharing & V6_ONLY and ":" not in ip:
            raise socket_error(EINVAL)
        before = self.local
        self.local = (ip, port)
        ports = stack.tcp_ports
        try:
            if port:
                ports.check(port, self, stack.clock.now_ns)
                self.locks |= LOCK_PORT
            else:
                port = ports.choose_for_bind(self, stack.clock.now_ns)
                self.local = (ip, port)
        except OSError:
            self.local = before
            raise
        if ip != "0.0.0.0" and ip != "::":
            self.locks |= LOCK_ADDRESS
        self.autobound = False
        self.port = port
        ports.hold(port, self)

    # Opening.

    def listen(self, backlog: int = 128) -> None:
        """Become a listener, or change the backlog of one (K-026)."""
        if self.stage != UNCONNECTED or self.state not in (CLOSED, LISTEN):
            raise socket_error(EINVAL)
        if not 0 <= backlog <= SOMAXCONN:
            backlog = SOMAXCONN
        listener = self.listener
        if listener is not None:
            listener.backlog = backlog
            return
        stack = self.stack
        if not self.port:
            self.bind((stack.wildcard(self.family), 0))
        else:
            stack.tcp_ports.check(self.port, self, stack.clock.now_ns)
        self.state = LISTEN
        self.since_ns = stack.clock.now_ns
        self.listener = Listener(backlog)
        stack.add_listener(self)

    def connect(self, address: Sequence[Any]) -> None:
        """Start a connection, or say what became of one (K-010 to K-018); ``inet_stream_connect``, non-blocking."""
        if self.stage == CONNECTED:
            raise socket_error(EISCONN)
        if self.stage == CONNECTING:
            code = EALREADY
        elif self.stage == UNCONNECTED:
            if self.state != CLOSED:
                raise socket_error(EISCONN)
            self._open(address)
            self.stage = CONNECTING
            code = EINPROGRESS
        else:
            raise socket_error(EINVAL)
        if self.state == SYN_SENT or self.state == SYN_RECV:
            raise socket_error(code)
        if self.state == CLOSED:
            error = self.error or ECONNABORTED
            self.error = 0
            self.stage = UNCONNECTED
            self.disconnect()
            raise socket_error(error)
        self.stage = CONNECTED

    def _open(self, address: Sequence[Any]) -> None:
        """tcp_v4_connect: choose source and port, send the SYN."""
        stack = self.stack
        ip, port = stack.endpoint(self.family, address)
        if ip == "0.0.0.0":
            ip = "127.0.0.1"
        elif ip == "::":
            ip = "::1"
        if (self.sharing & V6_ONLY and ":" not in ip) or stack.is_many(ip):
            raise socket_error(ENETUNREACH)
        peer = (ip, port)
        local = self.local
        source = local[0] if local is not None and self.locks & LOCK_ADDRESS else stack.source_for(ip)
        connections = stack.connections
        now_ns = stack.clock.now_ns
        if self.port:
            local = (source, self.port)
            other = connections.get((local, peer))
            if other is not None and not stack.may_replace(other):
                raise socket_error(EADDRNOTAVAIL)
        else:
            free = stack.tcp_ports.choose_for_connect(connections, source, peer, now_ns)
            local = (source, free)
            self.port = free
            self.autobound = True
            stack.tcp_ports.hold(free, self)
        self.local = local
        self.peer = peer
        self.origin = "client"
        self.state = SYN_SENT
        self.since_ns = now_ns
        self.error = 0
        self.done = False
        self.snd_nxt = ISN
        self.fin = FIN_NONE
        self.rcv_nxt = 0
        self.rcv_edge = self.rcv_told = ISN + 1 + self.rcv_room
        connections[(local, peer)] = self
        if stack.demanding:
            self.prepare()
        self._send_syn(SYN)

    def accept(self) -> tuple[TcpSocket, tuple[Any, ...]]:
        """The first connection that waits, and its peer's name; EAGAIN if there is none (K-040)."""
        listener = self.listener
        if listener is None:
            raise socket_error(EINVAL)
        if not listener.queue:
            raise socket_error(EAGAIN)
        child = listener.queue.popleft()
        child.parent = None
        child.stage = CONNECTED
        assert child.peer is not None
        return child, child.name(child.peer)

    # Reading.

    def recv(self, n: int, flags: int = 0) -> bytes:
        """At most *n* bytes; ``b""`` at the end, and for ``recv(0)`` in every state (K-008)."""
        if flags == 0 and not self.urg_data:
            inbox = self.inbox
            if inbox is not None and inbox.size and n > 0:
                data = inbox.take(n)
                self.rcv_edge += len(data)
                if self.rcv_edge - self.rcv_told >= self.rcv_room >> 1:
                    self.freed(0)
                return data
        if n == 0:
            return b""
        return self._read(n, flags)

    def _read(self, n: int, flags: int) -> bytes:
        """tcp_recvmsg."""
        if flags & ~RECEIVE_FLAGS:
            not_modelled(f"recv(flags={flags:#x})")
        if flags & MSG_ERRQUEUE:
            raise socket_error(EAGAIN)
        if self.state == LISTEN:
            raise socket_error(ENOTCONN)
        if flags & MSG_OOB:
            return self._read_urgent(n, flags)
        inbox = self.inbox
        if inbox is not None and inbox.size:
            if self.urg_data:
                data = self._read_to_mark(inbox, n, flags & MSG_PEEK)
            elif flags & MSG_PEEK:
                data = inbox.peek(n)
            else:
                data = inbox.take(n)
                self.freed(len(data))
            if data or (inbox.size and not n):
                return bytes(len(data)) if flags & MSG_TRUNC else data
        if self.done:
            return b""
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)
        if self.shut & SHUT_RECEIVE:
            return b""
        raise socket_error(ENOTCONN if self.state == CLOSED else EAGAIN)

    def _read_to_mark(self, inbox: Buffer, n: int, peek: int) -> bytes:
        """Read while an urgent mark is about: up to it, or from it on, over the byte itself (K-092)."""
        ahead = self.urg_seq - self.copied_seq
        skip = 0
        if ahead > 0:
            n = min(n, ahead)
        elif ahead == 0 and not self.sharing & OOB_INLINE:
            skip = 1
        if peek:
            return inbox.peek(n, skip)
        if skip:
            inbox.take(1)
        data = inbox.take(n) if inbox.size else b""
        self.freed(len(data) + skip)
        if len(data) + skip > ahead:
            self.urg_data = 0
        return data

    def _read_urgent(self, n: int, flags: int) -> bytes:
        """tcp_recv_urg: the byte out of band (K-091)."""
        urgent = self.urg_data
        if self.sharing & OOB_INLINE or not urgent or urgent == URGENT_READ:
            raise socket_error(EINVAL)
        if self.state == CLOSED and not self.done:
            raise socket_error(ENOTCONN)
        if urgent & URGENT_HERE:
            if not flags & MSG_PEEK:
                self.urg_data = URGENT_READ
            return bytes((urgent & 0xFF,))[:n]
        if self.state == CLOSED or self.shut & SHUT_RECEIVE:
            return b""
        raise socket_error(EAGAIN)

    def recv_into(self, buffer: Any, n: int = 0, flags: int = 0) -> int:
        """Recv into *buffer*; an empty one gives 0 and asks nothing."""
        view = memoryview(buffer).cast("B")
        n = n or len(view)
        if not n:
            return 0
        data = self.recv(n, flags)
        if not flags & MSG_TRUNC:
            view[: len(data)] = data
        return len(data)

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, None]:
        """recv, and no address, as on a real stream socket (K-058)."""
        return self.recvmsg(n, 0, flags)[0], None

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, None]:
        """Recv in full: data, no ancillary data, message flags, no address."""
        data = self._read(n, flags)
        out_of_band = flags & MSG_OOB and not (self.done and not data)
        message_flags = MSG_OOB if out_of_band else 0
        if out_of_band and not n:
            message_flags |= MSG_TRUNC
        return data, [], message_flags, None

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, None]:
        """recvmsg, scattered over *buffers* in order."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data, ancillary, message_flags, _ = self.recvmsg(sum(map(len, views)), ancbufsize, flags)
        if not flags & MSG_TRUNC:
            scatter(views, data)
        return len(data), ancillary, message_flags, None

    # Writing.

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """Take what there is room for, and say how much (K-063).

        Raises:
            OSError: EAGAIN, no room; EPIPE, or the pending error, if nothing can be sent any more.
        """
        if self.state not in _SENDABLE or self.error or self.shut & SHUT_SEND:
            raise self._not_sendable()
        if flags == 0 and not self.slow:
            outbox = self.outbox
            seq = self.snd_nxt
            if outbox is None or not outbox.size:
                if type(data) is not bytes:
                    data = memoryview(data).tobytes()
                size = len(data)
                end = seq + size
                if end <= self.snd_edge and size:
                    # Nearly every send: all of it fits in the peer's window.
                    self.snd_nxt = end
                    edge = self.rcv_told = self.rcv_edge
                    self.emit(
                        Segment(self.local, self.peer, ACK, seq, self.rcv_nxt, edge, data, self.stack)  # type: ignore[arg-type]
                    )
                    return size
        return self._write(data, flags)

    def _not_sendable(self) -> OSError:
        """Why nothing can be sent: sk_stream_wait_connect, then sk_stream_error."""
        error = self.error
        if error:
            self.error = 0
            return socket_error(error)
        if self.state == SYN_SENT or self.state == SYN_RECV:
            return socket_error(EAGAIN)
        return socket_error(EPIPE)

    def _write(self, data: bytes | bytearray | memoryview, flags: int) -> int:
        """tcp_sendmsg, with every rare case in it."""
        if flags & ~SEND_FLAGS:
            not_modelled(f"send(flags={flags:#x})")
        if type(data) is not bytes:
            data = memoryview(data).tobytes()
        size = len(data)
        if not size:
            return 0
        tampering = self.tampering
        if tampering is not None and tampering.cut:
            return size  # lost, as everything after the cut
        outbox = self.outbox
        if outbox is None:
            outbox = self.outbox = Buffer()
        room = self._room(outbox.size, size)
        if room < size:
            self.no_space = True
            if room <= 0:
                raise socket_error(EAGAIN)
            data = data[:room]
            size = room
        outbox.append(data)
        if flags & MSG_OOB:
            self.urg_out = self.snd_nxt + outbox.size - 1
        cork = self.cork
        if flags & MSG_MORE:
            if cork is None:
                cork = self.cork = Cork()
                self.slow = True
            cork.more = True
        elif cork is not None:
            cork.more = False
            if not cork.corked:
                cork.stop()
        self.transmit()
        return size

    def _room(self, queued: int, size: int) -> int:
        """How many bytes may be taken now: what can go out at once and what the send buffer has room for."""
        free = self.snd_room - queued
        if self.guard is not None:
            free -= self.guard.unacknowledged
        lowest = self.option(IPPROTO_TCP, TCP_NOTSENT_LOWAT)
        if lowest:
            free = min(free, lowest - 1 - queued)
        if not queued:
            window = max(0, self.snd_edge - self.snd_nxt)
            free += window if self.guard is None else 0
            if lowest and free <= 0:
                free = 1  # an empty queue takes something, or OUT would lie
        return free

    def sendto(self, data: bytes | bytearray | memoryview, flags: int, address: Any) -> int:
        """send; a connected stream ignores the address (K-058)."""
        return self.send(data, flags)

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        """Send what *buffers* hold together."""
        if tuple(ancillary):
            not_modelled("sendmsg with ancillary data on TCP")
        return self.send(b"".join(bytes(memoryview(part)) for part in buffers), flags)

    # Ending.

    def shutdown(self, how: int) -> None:
        """``inet_shutdown``: close one direction or both (K-079 to K-082)."""
        if not 0 <= how <= SHUT_RDWR:
            raise socket_error(EINVAL)
        bits = how + 1
        state = self.state
        if self.stage == CONNECTING:
            self.stage = DISCONNECTING if state in (SYN_SENT, SYN_RECV, CLOSED) else CONNECTED
        if state == LISTEN:
            if bits & SHUT_RECEIVE:
                self.disconnect()
                self.stage = UNCONNECTED
        elif state == SYN_SENT:
            self.disconnect()
            self.stage = UNCONNECTED
        else:
            self.shut |= bits
            if bits & SHUT_SEND:
                self.finish_sending()
        self.wake(ANY_NEWS)
        if state == CLOSED:
            raise socket_error(ENOTCONN)

    def destroy(self) -> None:
        """``tcp_close``: FIN, or RST if something was left unread or linger says so (K-070 to K-073)."""
        state = self.state
        self.shut = SHUT_RECEIVE | SHUT_SEND
        if state == CLOSED:
            pass
        elif state == LISTEN:
            self.vanish()
        elif self.inbox is not None and self.inbox.size:
            self.send_reset()
            self.vanish()
        elif self.lingers and self.option(SOL_SOCKET, SO_LINGER)[1] == 0:
            self.disconnect()
        elif state == SYN_SENT:
            self.vanish()
        else:
            self.inbox = None
            self._orphan(state)
        if self.state == CLOSED:
            self._give_back_port()

    def _orphan(self, state: str) -> None:
        if state == "FIN_WAIT2":
            self.linger_on(state)
        else:
            self.finish_sending()

    def _give_back_port(self) -> None:
        if self.port:
            self.stack.tcp_ports.free(self.port, self)
            self.port = 0

    # Questions.

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        """The value of an option (K-131); SO_ERROR takes the pending error."""
        return get_option(self, level, name, buflen)

    def setsockopt(self, level: int, name: int, value: Any, optlen: int | None = None) -> None:
        """Set an option (K-131)."""
        set_option(self, level, name, value, optlen)

    def linger_ns(self) -> int:
        """How long close() may wait for what is not delivered yet; ask before the last release (K-073)."""
        if self.refs != 1 or not self.lingers or self.state in (CLOSED, LISTEN, SYN_SENT) or not self.unsent:
            return 0
        return int(self.option(SOL_SOCKET, SO_LINGER)[1]) * 1_000_000_000

    @property
    def closing(self) -> bool:
        """Is this end, closed by its program, still delivering?"""
        return self.refs == 0 and self.state != CLOSED

    def ioctl(self, request: int) -> int:
        """FIONREAD, SIOCOUTQ, SIOCOUTQNSD and SIOCATMARK (K-062, K-093)."""
        if request == SIOCATMARK:
            return int(bool(self.urg_data) and self.urg_seq == self.copied_seq)
        if request not in (SIOCINQ, SIOCOUTQ, SIOCOUTQNSD):
            not_modelled(f"ioctl(request {request:#x})")
        if self.state == LISTEN:
            raise socket_error(EINVAL)
        if request == SIOCINQ:
            copied = self.copied_seq
            if self.urg_data and not self.sharing & OOB_INLINE and copied <= self.urg_seq < self.rcv_nxt:
                return self.urg_seq - copied
            return self.unread
        unsent = self.unsent
        if request == SIOCOUTQ and self.guard is not None:
            return unsent + self.guard.unacknowledged
        return unsent


def scatter(views: Iterable[memoryview], data: bytes) -> None:
    """Fill *views* in order with *data*."""
    start = 0
    for view in views:
        part = data[start : start + len(view)]
        view[: len(part)] = part
        start += len(part)

