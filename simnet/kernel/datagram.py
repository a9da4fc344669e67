"""A UDP socket: whole datagrams, and errors that come back only to who is connected."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EAGAIN,
    ECONNREFUSED,
    EDESTADDRREQ,
    EINVAL,
    EMSGSIZE,
    ENOTCONN,
    ENOTTY,
    EOPNOTSUPP,
    EPIPE,
)  # fmt: skip
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel import inet
from simnet.kernel.buffer import scatter
from simnet.kernel.descriptors import File
from simnet.kernel.errors import NotModelled, not_modelled, socket_error
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
    SOCK_DGRAM,
    UNIX_ONLY,
)  # fmt: skip
from simnet.kernel.options import SO_BROADCAST, SO_RCVBUF, SOL_SOCKET
from simnet.kernel.plain_options import get_option, set_option
from simnet.kernel.ports import V6_ONLY
from simnet.kernel.readiness import (
    ANY_NEWS,
    DATA_NEWS,
    ERR,
    ERROR_NEWS,
    HUP,
    RDHUP,
    READABLE,
    SPACE_NEWS,
    WRITABLE_BAND,
)
from simnet.kernel.segment import UDP, Datagram, Endpoint, Icmp
from simnet.kernel.states import CLOSED, ESTABLISHED

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack

PAYLOAD_MAX: Final = 65507  # 65535 less the headers of IPv4 and UDP (K-088)
PAYLOAD_MAX_V6: Final = 65527  # the length field of IPv6 does not count its own header
RCVBUF_DEFAULT: Final = 212992  # net.core.rmem_default
HEADERS_V4, HEADERS_V6 = 59, 72  # of UDP and IP, and the room that is kept for a link's
SMALL_HEAD, SMALL_MEMORY = 256, 832  # bytes that a small sk_buff holds, and what it costs
SHARED_INFO: Final = 320  # struct skb_shared_info
HEAD_MAX: Final = 16064  # SKB_MAX_ALLOC
SHUT_RECEIVE, SHUT_SEND = 1, 2
LOCK_ADDRESS: Final = 1


def memory_of(length: int, six: bool) -> int:
    """What a queued datagram of *length* bytes over IPv4, or *six*, costs its socket.

    A struct sk_buff, and the power of two that holds data, headers and shared info; a small one of its own kind, or one
    with pages besides for what is longer. Measured for every length through SO_MEMINFO, and by counting (K-088: 19
    datagrams of 100 bytes fit 16,384).
    """
    head = length + (HEADERS_V6 if six else HEADERS_V4)
    if head <= SMALL_HEAD:
        return SMALL_MEMORY
    if head >= HEAD_MAX:
        return SMALL_MEMORY + length
    return int(256 + max(1024, 1 << (head + SHARED_INFO - 1).bit_length()))


class UdpSocket(File):
    """One UDP socket. ``peer`` is who it is connected to; its state is then ESTABLISHED, as ``ss`` says."""

    __slots__ = (
        "stack", "family", "state", "error", "shut", "origin", "local", "peer", "port", "paired", "locks", "autobound",
        "sharing", "options", "inbox", "held", "corked",
    )  # fmt: skip
    type: Final = SOCK_DGRAM
    proto: Final = UDP
    credentials: Final = (0, -1, -1)

    def __init__(self, stack: Stack, family: int) -> None:
        self.refs = 1
        self.watchers = None
        self.tag = None
        self.stack = stack
        self.family = family
        self.state: str = CLOSED
        self.error = 0
        self.shut = 0
        self.origin: str | None = None
        self.local: Endpoint | None = None
        self.peer: Endpoint | None = None
        self.port = 0
        self.paired: tuple[Endpoint, Endpoint] | None = None  # its place in the table of connected sockets
        self.locks = 0
        self.autobound = False
        self.sharing = 0
        self.options: dict[tuple[int, int], Any] | None = None
        self.inbox: deque[tuple[bytes, Endpoint]] | None = None
        self.held = 0  # memory of what is queued
        self.corked: tuple[list[bytes], Endpoint] | None = None  # what MSG_MORE collects, and for whom

    def __repr__(self) -> str:
        return f"<UdpSocket {self.local} -> {self.peer}>"

    def mask(self) -> int:
        """The poll mask now: always writable, no matter what."""
        shut = self.shut
        mask = WRITABLE_BAND
        if self.inbox:
            mask |= READABLE
        if shut & SHUT_RECEIVE:
            mask |= READABLE | RDHUP
            if shut & SHUT_SEND:
                mask |= HUP
        if self.error:
            mask |= ERR
        return mask

    @property
    def unread(self) -> int:
        """Bytes of the datagrams that wait."""
        return sum(len(payload) for payload, _ in self.inbox or ())

    # Names.

    def getsockname(self) -> tuple[Any, ...]:
        return inet.shown_local(self.family, self.local)

    def getpeername(self) -> tuple[Any, ...]:
        if self.peer is None or not self.peer[1]:
            raise socket_error(ENOTCONN)
        return inet.shown(self.family, self.peer)

    def bind(self, address: Sequence[Any]) -> None:
        """Take an address and a port; the errors of ``TcpSocket.bind``."""
        stack = self.stack
        ip, port = inet.endpoint(self.family, address)
        if not stack.is_bindable(ip):
            raise socket_error(EADDRNOTAVAIL)
        if self.port or (self.sharing & V6_ONLY and ":" not in ip):
            raise socket_error(EINVAL)
        before = self.local
        self.local = (ip, port)
        ports = stack.udp_ports
        try:
            if port:
                ports.check(port, self, stack.clock.now_ns)
            else:
                port = ports.choose_for_datagrams()
                self.local = (ip, port)
        except OSError:
            self.local = before
            raise
        if ip not in (inet.ANY4, inet.ANY6):
            self.locks |= LOCK_ADDRESS
        if ":" in ip and ip != inet.ANY6:
            self.sharing |= V6_ONLY  # an IPv6 address has no IPv4 beside it
        self.port = port
        ports.hold(port, self)

    def _autobind(self) -> Endpoint:
        if not self.port:
            self.bind((inet.wildcard(self.family), 0))
        assert self.local is not None
        return self.local

    def connect(self, address: Sequence[Any]) -> None:
        """Fix the peer: nothing goes over the wire, and only the peer is heard from now on (K-084, K-086)."""
        peer = self._destination(address)
        self._may_send_to(peer)
        local = self._autobind()
        ports = self.stack.udp_ports
        if local[0] in (inet.ANY4, inet.ANY6):
            self.local = (self.stack.source_for(peer[0]), local[1])
            ports.renew(self.port, self)
        elif inet.is_loopback(local[0]) and not self.stack.is_local(peer[0]):
            raise socket_error(EINVAL)  # no route from a loopback address to elsewhere
        self.peer = peer
        if self.paired is None:
            ports.pair(self)
        self.state = ESTABLISHED
        self.origin = "client"
        if self.corked is not None and ":" not in peer[0]:
            self.corked = (self.corked[0], peer)  # IPv4 has one place for where a socket sends, and connect writes it

    def _destination(self, address: Sequence[Any]) -> Endpoint:
        ip, port = inet.endpoint(self.family, address)
        bound = None if self.local is None else self.local[0]
        if bound is not None and ":" in bound and not self.locks & LOCK_ADDRESS:
            bound = inet.ANY6  # an address that connect chose does not tie the socket to IPv6
        return (inet.destination(self.family, ip, bound, bool(self.sharing & V6_ONLY)), port)

    def _may_send_to(self, target: Endpoint) -> None:
        if target[0] == inet.BROADCAST and not (self.options or {}).get((SOL_SOCKET, SO_BROADCAST)):
            raise socket_error(EACCES)

    def listen(self, backlog: int = 128) -> None:
        raise socket_error(EOPNOTSUPP)

    def accept(self) -> tuple[UdpSocket, tuple[Any, ...]]:
        raise socket_error(EOPNOTSUPP)

    # Sending.

    def send(self, data: bytes | bytearray | memoryview, flags: int = 0) -> int:
        """One datagram to the peer."""
        return self._send(data, flags, None)

    def sendto(self, data: bytes | bytearray | memoryview, flags: int, address: Sequence[Any]) -> int:
        """One datagram to *address*, whoever the peer is."""
        return self._send(data, flags, address)

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        """One datagram of what *buffers* hold together."""
        for level, kind, _ in ancillary:
            if level != SOL_SOCKET or kind not in UNIX_ONLY:
                not_modelled("sendmsg with ancillary data on UDP")
        return self._send(b"".join(bytes(memoryview(part)) for part in buffers), flags, address)

    def _send(self, data: bytes | bytearray | memoryview, flags: int, address: Sequence[Any] | None) -> int:
        """udp_sendmsg."""
        if flags & ~SEND_FLAGS:
            not_modelled(f"send(flags={flags:#x}) on UDP")
        local = self._autobind()  # even if the send fails
        if self.family != AF_INET6:
            _check_v4(data, flags)
        if self.corked is not None and self.family == AF_INET6:
            if ":" not in self.corked[1][0]:
                _check_v4(data, flags)
            elif address is not None and ":" not in inet.endpoint(AF_INET6, address)[0]:
                raise socket_error(EINVAL)  # what MSG_MORE collects is for an IPv6 address
        corked, self.corked = self.corked, None  # a refusal from here on throws away what MSG_MORE collected
        target = self._target(address, data, flags) if corked is None else corked[1]
        payload = bytes(data)
        size = len(payload)
        if corked is not None:
            payload = b"".join((*corked[0], payload))
        if len(payload) > (PAYLOAD_MAX_V6 if ":" in target[0] else PAYLOAD_MAX):
            raise socket_error(EMSGSIZE)
        if corked is None:  # who adds to a datagram needs no new buffer, where these are asked
            if self.error:
                error, self.error = self.error, 0
                raise socket_error(error)
            if self.shut & SHUT_SEND:
                raise socket_error(EPIPE)
        if flags & MSG_MORE:
            self.corked = ([payload], target)
            return size
        source = local[0]
        if source in (inet.ANY4, inet.ANY6) or (":" in source) is not (":" in target[0]):
            source = self.stack.source_for(target[0])
        self.stack.out.append(Datagram((source, local[1]), target, payload, self.stack))
        self.wake(SPACE_NEWS)  # its memory comes back as soon as the datagram has left
        return size

    def _target(self, address: Sequence[Any] | None, data: bytes | bytearray | memoryview, flags: int) -> Endpoint:
        """Where a datagram goes, refused in the kernel's order."""
        if address is not None:
            if not address[1] and (self.family != AF_INET6 or ":" in inet.endpoint(AF_INET6, address)[0]):
                raise socket_error(EINVAL)
            target = self._destination(address)
        elif self.peer is not None:
            target = self.peer
        else:
            raise socket_error(EDESTADDRREQ)
        if self.family == AF_INET6 and ":" not in target[0]:
            _check_v4(data, flags)
            if not target[1]:
                raise socket_error(EINVAL)
        self._may_send_to(target)
        return target

    # Receiving.

    def recv(self, n: int, flags: int = 0) -> bytes:
        """The next datagram, cut to *n* bytes; ``recv(0)`` takes none (K-085)."""
        if not n:
            return b""
        payload, _, cut = self._receive(n, flags)
        return payload + bytes(cut) if flags & MSG_TRUNC else payload

    def _receive(self, n: int, flags: int) -> tuple[bytes, Endpoint, int]:
        """The first *n* bytes of a datagram, its sender, and how many were cut off."""
        if flags & ~RECEIVE_FLAGS:
            not_modelled(f"recv(flags={flags:#x}) on UDP")
        if flags & MSG_ERRQUEUE:
            raise socket_error(EAGAIN)
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)
        inbox = self.inbox
        if not inbox:
            raise socket_error(EAGAIN)
        if flags & MSG_PEEK:
            payload, source = inbox[0]
        else:
            payload, source = inbox.popleft()
            self.held -= memory_of(len(payload), ":" in source[0])
        return payload[:n], source, max(0, len(payload) - n)

    def recv_into(self, buffer: Any, n: int = 0, flags: int = 0) -> int:
        """Recv into *buffer*."""
        view = memoryview(buffer).cast("B")
        n = n or len(view)
        if not n:
            return 0
        payload, _, cut = self._receive(n, flags)
        view[: len(payload)] = payload
        return len(payload) + (cut if flags & MSG_TRUNC else 0)

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, tuple[Any, ...]]:
        """recv, and the sender's name."""
        payload, source, cut = self._receive(n, flags)
        return (payload + bytes(cut) if flags & MSG_TRUNC else payload), inet.shown(self.family, source)

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, tuple[Any, ...]]:
        """Recv in full; MSG_TRUNC among the message flags if the datagram was cut."""
        payload, source, cut = self._receive(n, flags)
        return payload, [], (MSG_TRUNC if cut else 0), inet.shown(self.family, source)

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, tuple[Any, ...]]:
        """recvmsg, scattered over *buffers*."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        payload, ancillary, message_flags, name = self.recvmsg(sum(map(len, views)), ancbufsize, flags)
        scatter(views, payload)
        return len(payload), ancillary, message_flags, name

    # Packets in.

    def take_in(self, datagram: Datagram) -> None:
        """Queue *datagram*, or drop it if the queue is full; an empty queue takes any."""
        inbox = self.inbox
        if inbox is None:
            inbox = self.inbox = deque()
        memory = memory_of(len(datagram.payload), ":" in datagram.source[0])
        limit = RCVBUF_DEFAULT if self.options is None else self.options.get((SOL_SOCKET, SO_RCVBUF), RCVBUF_DEFAULT)
        if inbox and self.held + memory > limit:
            return
        self.held += memory
        inbox.append((datagram.payload, datagram.source))
        self.wake(DATA_NEWS)

    def refused(self, icmp: Icmp) -> None:
        """An ICMP error about something this socket sent; only who is connected hears it, and only of dead ports."""
        peer, target = self.peer, icmp.about.target
        if peer is not None and peer[0] == target[0] and peer[1] in (0, target[1]) and icmp.error == ECONNREFUSED:
            self.error = icmp.error
            self.wake(ERROR_NEWS)

    # Ending.

    def shutdown(self, how: int) -> None:
        """Set the flags; ENOTCONN if not connected, and they are set all the same (K-089)."""
        if not 0 <= how <= SHUT_RDWR:
            raise socket_error(EINVAL)
        self.shut |= how + 1
        self.wake(ANY_NEWS)
        if self.peer is None:
            raise socket_error(ENOTCONN)

    def destroy(self) -> None:
        """Give the port back."""
        if self.port:
            self.stack.udp_ports.forget(self)
            self.port = 0
        self.state = CLOSED
        self.inbox = None

    # Questions.

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        return get_option(self, level, name, buflen)

    def setsockopt(self, level: int, name: int, value: Any, optlen: int | None = None) -> None:
        set_option(self, level, name, value, optlen)

    def options_changed(self, level: int, name: int) -> None:
        """Nothing to do at once: who asks looks."""

    def ioctl(self, request: int) -> int:
        """FIONREAD is the size of the first datagram; SIOCOUTQ is 0, for all went out."""
        if request == SIOCINQ:
            return len(self.inbox[0][0]) if self.inbox else 0
        if request == SIOCOUTQ:
            return 0
        if request == SIOCATMARK:
            raise socket_error(ENOTTY)  # urgent data is TCP's
        raise NotModelled(f"ioctl(request {request:#x}) on UDP")


def _check_v4(data: bytes | bytearray | memoryview, flags: int) -> None:
    """What udp_sendmsg looks at before anything else; the IPv6 one knows neither."""
    if len(data) > 0xFFFF:
        raise socket_error(EMSGSIZE)
    if flags & MSG_OOB:
        raise socket_error(EOPNOTSUPP)
