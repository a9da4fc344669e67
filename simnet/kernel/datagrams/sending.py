"""The sending half of a UDP socket: its names, where a datagram goes, and what is collected before it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EDESTADDRREQ,
    EINVAL,
    ENETUNREACH,
    ENOTCONN,
    EOPNOTSUPP,
    EPIPE,
)
from typing import TYPE_CHECKING, Any, Final, NoReturn

from simnet.kernel import inet
from simnet.kernel.buffer import Data
from simnet.kernel.datagrams.ancillary import UNCHECKED, UNCHECKED_V6, in_segments, marks_of, said
from simnet.kernel.datagrams.errors import Report, check_v4
from simnet.kernel.datagrams.groups import (
    Membership,
    Sources,
    check_source_on,
    hops_to_group,
    link_to_groups,
    sent_to_group,
    source_to_group,
)
from simnet.kernel.datagrams.length import ALWAYS_FITS, SEND_BUFFER, check_length, is_lost, length_rule
from simnet.kernel.datagrams.memory import Corked, memory_of
from simnet.kernel.descriptors import File
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import (
    AF_INET6,
    MSG_DONTROUTE,
    MSG_MORE,
    MSG_PROBE,
    MSG_ZEROCOPY,
    SOCK_DGRAM,
    check_zerocopy,
)
from simnet.kernel.options.flow_labels import note_label, peer_name
from simnet.kernel.options.idle import NO_PORT, UDP_CORK, binds_anywhere
from simnet.kernel.options.packed import check_before_bind, go_by_scope, is_elsewhere, with_link
from simnet.kernel.options.routes import DEVICE, OFF_ROUTE, check_link_of, find_route, forget_route, is_nowhere, way_to
from simnet.kernel.options.values import IPPROTO_UDP, SNDBUF_DEFAULT, SO_BROADCAST, SOL_SOCKET
from simnet.kernel.ports import V6_ONLY
from simnet.kernel.readiness import SPACE_NEWS
from simnet.kernel.segment import PLAIN, TTL_LATER, UDP, Datagram, Endpoint, Marks
from simnet.kernel.states import CLOSED, ESTABLISHED, SHUT_SEND

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack

LOCK_ADDRESS: Final = 1
MANY_ADDRESS: Final = 2  # it is bound to an address of several hosts, which nothing comes from
FOREIGN_ADDRESS: Final = 4  # or to one of another host, by IP_FREEBIND
CORK: Final = (IPPROTO_UDP, UDP_CORK)
LOCALHOST: Final = "127.0.0.1"
NOWHERE: Final = (inet.LOOPBACK_BROADCAST, 0)  # as if sent by the way to one host to another


class DatagramSender(File):
    """What a UDP socket is but for receiving. ``peer`` is who it is connected to."""

    __slots__ = (
        "stack", "family", "state", "error", "shut", "origin", "local", "peer", "port", "paired", "turn", "locks",
        "autobound", "sharing", "options", "inbox", "held", "fetched", "owed", "dropped", "corked", "flow", "rerouted",
        "reports", "groups", "group_link", "speaks_from",
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
        self.turn = 0  # its place among those of its port, for who wants to bind it too
        self.paired: tuple[Endpoint, Endpoint] | None = None  # its place in the table of connected sockets
        self.locks = 0
        self.autobound = False
        self.sharing = 0
        self.options: dict[tuple[int, int], Any] | None = None
        self.inbox: deque[Datagram] | None = None
        self.held = 0  # memory of what is queued, and of what was read and not given back yet
        # How many at the head of the queue the reader has come upon: Linux has a queue of its own for those.
        self.fetched = 0
        self.owed = 0  # memory of what was read from among them
        self.dropped = 0  # datagrams that found the queue full
        self.corked: Corked | None = None  # what MSG_MORE or UDP_CORK collects
        self.flow: Endpoint | None = None  # where IPv4 sends what names no target; see `_way`
        self.rerouted = False  # the next send looks the way up anew
        self.reports: deque[Report] | None = None  # the error queue
        self.groups: dict[Membership, Sources | None] | None = None
        self.speaks_from: str | None = None  # by its first connect, if it is bound to an address of several hosts
        self.group_link = 0  # where IP_MULTICAST_IF sends, 0 for by address

    # Names.

    def getsockname(self) -> tuple[Any, ...]:
        return with_link(self, inet.shown_local(self.family, self.local))

    def getpeername(self) -> tuple[Any, ...]:
        if self.peer is None or not self.peer[1]:
            raise socket_error(ENOTCONN)
        return with_link(self, peer_name(self.family, self.peer, self.options))

    def bind(self, address: Sequence[Any]) -> None:
        """Take an address and a port; the errors of ``TcpSocket.bind``."""
        stack = self.stack
        ip, port = inet.named(self.family, address)
        if self.family == AF_INET6:
            if self.port:  # which IPv4 looks at last
                raise socket_error(EINVAL)
            check_before_bind(self, address, ip)
        if not (stack.is_bindable(ip) and not is_elsewhere(self, ip)) and not binds_anywhere(self.options):
            raise socket_error(EADDRNOTAVAIL)
        if self.port:
            raise socket_error(EINVAL)
        self._stand_at(ip, port, later=self.options is not None and bool(self.options.get(NO_PORT)))

    def _stand_at(self, ip: str, port: int, later: bool = False) -> None:
        """Be at *ip* and *port*, or a port of the kernel's choice: now, or *later*, when something is sent."""
        stack = self.stack
        before, sharing = self.local, self.sharing
        self.local = (ip, port)
        if ":" in ip and ip != inet.ANY6:
            self.sharing |= V6_ONLY  # an IPv6 address has no IPv4 beside it
        if later and not port:
            self._lock_address(ip)
            return
        ports = stack.udp_ports
        try:
            if port:
                ports.check(port, self, stack.clock.now_ns)
            else:
                port = ports.choose_for_datagrams(self)
                self.local = (ip, port)
        except OSError:
            self.local, self.sharing = None if port else before, sharing
            if port:
                self.locks &= LOCK_ADDRESS  # and none of the address that it had
            raise
        self._lock_address(ip)
        self.port = port
        ports.hold(port, self)

    def _lock_address(self, ip: str) -> None:
        if inet.names_address(self.family, ip):
            self.locks |= LOCK_ADDRESS
        if ip not in (inet.ANY4, inet.ANY6):
            if inet.is_many(ip):
                self.locks |= MANY_ADDRESS
            elif not self.stack.is_local(ip):
                self.locks |= FOREIGN_ADDRESS

    def _autobind(self) -> Endpoint:
        """inet_autobind: EAGAIN where no port is left, and not bind()'s EADDRINUSE."""
        if not self.port:
            try:
                self._stand_at(inet.wildcard(self.family) if self.local is None else self.local[0], 0)
            except OSError:
                raise socket_error(EAGAIN) from None
        assert self.local is not None
        return self.local

    def _speaker(self) -> str:
        """Where what it sends comes from, a wildcard if that is chosen anew for each."""
        assert self.local is not None
        return (self.speaks_from or inet.ANY4) if self.locks & MANY_ADDRESS else self.local[0]

    def stand_somewhere(self) -> None:
        """Have a port, as after a send that failed, too."""
        self._autobind()

    def connect(self, address: Sequence[Any]) -> None:
        """Fix the peer: nothing goes over the wire, and only the peer is heard from now on (K-084, K-086)."""
        local = self._autobind()  # also for one that cannot be connected to: inet_dgram_connect
        inet.check_size(self.family, address, whole=False)
        if address[0][:1] == "f":
            go_by_scope(self, address)
        peer = self._destination(address)
        own = self._speaker()
        link = 0
        try:
            if inet.is_group(peer[0]):
                link = link_to_groups(self, peer[0], own)
                check_source_on(self, peer[0], own, link)
            self._may_send_to(peer, 0)
            if own not in (inet.ANY4, inet.ANY6):
                self.stack.check_route(own, peer[0])
        except OSError as refusal:
            if ":" not in peer[0]:  # the one place for where IPv4 sends is written first: see `_begin`
                self.flow = peer if refusal.errno == EACCES else NOWHERE
                self.rerouted = True
                forget_route(self)
            raise
        if own in (inet.ANY4, inet.ANY6):
            own = source_to_group(self, peer[0], link) if link else self.stack.source_for(peer[0])
            if self.locks & MANY_ADDRESS:
                self.speaks_from = own
            else:
                self.local = (own, local[1])
                self.stack.udp_ports.renew(self.port, self)
        self.peer = peer
        find_route(self, sends=False)
        note_label(self.options, address)
        if self.paired is None:
            self.stack.udp_ports.pair(self)
        self.state = ESTABLISHED
        self.origin = "client"
        if ":" not in peer[0]:
            self.flow = peer
            self.rerouted = False
            if self.corked is not None and ":" not in self.corked.target[0]:
                self.corked = self.corked._replace(source=None)

    def _destination(self, address: Sequence[Any]) -> Endpoint:
        ip, port = inet.endpoint(self.family, address)
        if ip[0] == "f":
            inet.check_link(address)
            if inet.is_group(ip):
                link_to_groups(self, ip, inet.ANY6)  # the way is looked up before its families are compared
        bound = self.speaks_from or (None if self.local is None else self.local[0])
        if bound is not None and ":" in bound and not self.locks & LOCK_ADDRESS:
            bound = inet.ANY6  # an address that connect chose does not tie the socket to IPv6
        return (way_to(self, ip, bound), port)

    def _may_send_to(self, target: Endpoint, flags: int) -> None:
        ip = target[0]
        if self.locks & (MANY_ADDRESS | FOREIGN_ADDRESS) and (own := self._speaker()) != inet.ANY4:
            self.stack.check_route(own, ip)
        if self.options is not None:
            check_link_of(self, ip)
        many = inet.is_broadcast(ip)
        if many or (flags & MSG_DONTROUTE and "." in ip and inet.is_group(ip)):
            options = self.options or {}
            nowhere = self.local is None or self._speaker() in (inet.ANY4, inet.ANY6)
            linked = ip == inet.LOOPBACK_BROADCAST or (self.group_link and not many) or options.get(DEVICE)
            if nowhere and not linked and (flags & MSG_DONTROUTE or options.get(OFF_ROUTE)):
                raise socket_error(ENETUNREACH)  # neither a route nor an own address says on which link that is
            if many and not options.get((SOL_SOCKET, SO_BROADCAST)):
                raise socket_error(EACCES)

    @property
    def roomy(self) -> bool:
        """Does what is collected leave half of SO_SNDBUF: sock_writeable? Linux counts 1 more, for the socket itself."""
        size: int = (self.options or {}).get(SEND_BUFFER, SNDBUF_DEFAULT)
        return self.corked is None or self.corked.memory + 1 < size >> 1

    def listen(self, backlog: int = 128) -> NoReturn:
        raise socket_error(EOPNOTSUPP)

    def accept(self) -> NoReturn:
        raise socket_error(EOPNOTSUPP)

    # Sending.

    def send(self, data: Data, flags: int = 0) -> int:
        """One datagram to the peer."""
        return self._send(data, flags, None)

    def sendto(self, data: Data, flags: int, address: Sequence[Any]) -> int:
        """One datagram to *address*, whoever the peer is."""
        return self._send(data, flags, address)

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        """One datagram of what *buffers* hold together."""
        return self._send(b"".join(bytes(memoryview(part)) for part in buffers), flags, address, tuple(ancillary))

    def _send(self, data: Data, flags: int, address: Sequence[Any] | None, ancillary: tuple[Any, ...] = ()) -> int:
        """Send one datagram, or add to the one that is collected; how many bytes were taken (udp_sendmsg)."""
        if flags & MSG_ZEROCOPY:
            check_zerocopy(flags, self.options)
        local = self._autobind()  # even if the send fails
        if self.family != AF_INET6:
            check_v4(data, flags)
        options = self.options
        if self.corked is not None or ancillary or flags & MSG_MORE or (options is not None and options.get(CORK)):
            return self._send_in_full(local, data, flags, address, ancillary)
        target = self._target(address, data, flags)
        if address is None:
            target = self._way(target, flags)
        else:
            self._may_send_to(target, flags)
        payload = bytes(data)
        size = len(payload)
        if size > ALWAYS_FITS and not flags & MSG_PROBE:
            check_length(self, size, target, None, length_rule(self, ":" in target[0]))
        # MSG_PROBE looks the way up, sends nothing, and asks for no buffer, where a state is looked at.
        if not flags & MSG_PROBE:
            if self.error or self.shut:
                self._check_state(local[0], target)
            if size <= ALWAYS_FITS or not is_lost(self, target, payload):
                self._emit(local, target, payload)
        return size

    def _send_in_full(
        self, local: Endpoint, data: Data, flags: int, address: Sequence[Any] | None, ancillary: tuple[Any, ...]
    ) -> int:
        """The same with a datagram that is collected, or with messages beside it."""
        if self.corked is not None and self.family == AF_INET6:
            if ":" not in self.corked.target[0]:
                check_v4(data, flags)
            elif address is not None and ":" not in self._named(address):
                # What MSG_MORE collects is for an IPv6 address.
                if self.sharing & V6_ONLY:
                    raise socket_error(ENETUNREACH)
                check_v4(data, flags)
                raise socket_error(EINVAL)
        corked, self.corked = self.corked, None  # a refusal from here on throws away what MSG_MORE collected
        options = self.options
        collects = bool(flags & MSG_MORE) or (options is not None and bool(options.get(CORK)))
        payload = bytes(data)
        if corked is not None:
            target = corked.target if self.flow is None or ":" in corked.target[0] else self.flow
            if flags & MSG_PROBE:
                data = b""  # it adds nothing
            whole = corked.payload + bytes(data)
            try:
                # No new buffer, where a state is looked at.
                check_length(self, len(whole), target, corked.marks, corked.rule)
            except OSError:
                self.wake(SPACE_NEWS)  # what was collected has given its memory back
                raise
            marks = corked.marks or PLAIN
            marks = marks._replace(pages=marks.pages + len(data))
            more = Corked(whole, target, marks, corked.source, corked.memory + len(data), corked.rule)
        else:
            more = self._begin(payload, flags, address, ancillary, collects)
            if flags & MSG_PROBE:
                return len(payload)
        if collects:
            self.corked = more
        elif not is_lost(self, more.target, more.payload):
            self._emit(local, more.target, more.payload, more.marks, more.source)
        return len(payload)

    def _begin(
        self, payload: bytes, flags: int, address: Sequence[Any] | None, ancillary: tuple[Any, ...], collects: bool
    ) -> Corked:
        """The first part of a datagram."""
        marks: Marks | None = None
        source: str | None = None
        try:
            target = self._target(address, payload, flags)
        except OSError as refusal:
            # What is said beside it is looked at first, and may be an IPv6 address to come from, whatever it has.
            if refusal.errno != EAFNOSUPPORT or address is None or said(self, ancillary, True, None)[1] is None:
                raise
            target = inet.endpoint(self.family, address)
        six = ":" in target[0]
        now = marks_of(self.options, six)
        if six and inet.is_group(target[0]):
            now = (now or PLAIN)._replace(ttl=hops_to_group(self.options, six))
        elif not six and (collects or ancillary or now is not None):
            now = (now or PLAIN)._replace(ttl=TTL_LATER)
        if ancillary:
            marks, source = said(self, ancillary, six, now)
            if source is not None and address is not None and inet.endpoint(self.family, address)[0] == inet.ANY4:
                target = (LOCALHOST if source == inet.ANY4 else source, target[1])  # who is there
        # What UDP itself is told is no way.
        if address is None and all(level == IPPROTO_UDP for level, _, _ in ancillary):
            way = self._way(target, flags)
            target = target if collects else way  # who begins to collect says anew where it sends
        else:
            self._may_send_to(target, flags)
        if collects and not six:
            # IPv4 has one place for where a socket sends. connect() writes it, so does who begins to collect: and what a
            # connected socket sends from then on goes there, until it is connected, or begins to collect, again.
            self._check_way(source or self._autobind()[0], target)
            self.flow = target
        rule = length_rule(self, six)
        if not flags & MSG_PROBE:
            check_length(self, len(payload), target, marks, rule)
            self._check_state(source or self._autobind()[0], target)
        if collects:  # the first part has the marks of all, but for the TTL of IPv4
            marks = marks or now or PLAIN
            if not six and not marks.segment and not (self.options and self.options.get(UNCHECKED)):
                marks = marks._replace(begun=len(payload))
        says = marks or now or PLAIN
        paged = len(payload) if says.segment else 0  # nothing but headers lies in its buffer
        memory = memory_of(len(payload) - paged, six, len(says.options)) + paged
        return Corked(payload, target, marks, source, memory, rule)

    def _way(self, target: Endpoint, flags: int) -> Endpoint:
        """Where a connected socket sends: to *target*, its peer, or where an IPv4 socket last collected for.

        It knows the way since its connect, and is not asked again whether it may go there (SO_BROADCAST). An IPv6 socket
        names its peer whenever it sends over IPv4.
        """
        flow, options = self.flow, self.options or {}
        looks_up = flow is None or self.family == AF_INET6 or flags & MSG_DONTROUTE or options.get(OFF_ROUTE)
        if looks_up or self.rerouted or is_nowhere(self):
            self._may_send_to(target, flags)
        if options and not (flags & MSG_DONTROUTE and "." in target[0]):
            find_route(self)
        if looks_up or flow is None:
            return target
        if self.rerouted:
            self.rerouted = False
            return target
        return flow

    def _check_way(self, source: str, target: Endpoint) -> None:
        if self.locks & MANY_ADDRESS and inet.is_many(source):
            source = self._speaker()
        if (source[:4] == "127." or self.locks & FOREIGN_ADDRESS) and not inet.is_group(target[0]):
            self.stack.check_route(source, target[0])

    def _check_state(self, source: str, target: Endpoint) -> None:
        self._check_way(source, target)  # before a buffer is asked for
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)
        if self.shut & SHUT_SEND:
            raise socket_error(EPIPE)

    def _emit(
        self, local: Endpoint, target: Endpoint, payload: bytes, marks: Marks | None = None, source: str | None = None
    ) -> None:
        """Send a whole datagram, from *source* if that is said, with *marks* or those of the options."""
        own = None
        if source is None:
            own = self.speaks_from
            source = (own or inet.ANY4) if self.locks & MANY_ADDRESS else local[0]
        if inet.is_group(target[0]):
            self._emit_to_group(source, local[1], target, payload, marks)
            return
        if source in (inet.ANY4, inet.ANY6) or (":" in source) is not (":" in target[0]):
            source = own or self.stack.source_for(target[0])
        elif (source[:4] == "127." and target[0][:4] != "127.") or self.locks & FOREIGN_ADDRESS:
            self.stack.check_route(source, target[0])
        if marks is None:
            if self.options is not None:
                marks = marks_of(self.options, ":" in target[0])
        elif marks.ttl == TTL_LATER:
            marks = marks._replace(ttl=(marks_of(self.options, False) or PLAIN).ttl)
        elif self.options is not None and ":" in target[0]:
            unchecked = self.proto == UDP and bool(self.options.get(UNCHECKED_V6))  # asked for what was collected, too
            marks = marks._replace(unchecked=unchecked)
        if marks is not None and marks.segment:
            marks = in_segments(self, target, payload, marks)
        self.stack.out.append(Datagram((source, local[1]), target, payload, self.stack, marks))
        self.wake(SPACE_NEWS)  # its memory comes back as soon as the datagram has left

    def _emit_to_group(self, source: str, port: int, target: Endpoint, payload: bytes, marks: Marks | None) -> None:
        link = link_to_groups(self, target[0], source, 0 if marks is None else marks.link)
        check_source_on(self, target[0], source, link)
        if source in (inet.ANY4, inet.ANY6) or (":" in source) is not (":" in target[0]):
            source = source_to_group(self, target[0], link)
        if marks is None:
            marks = (marks_of(self.options, ":" in target[0]) or PLAIN)._replace(ttl=TTL_LATER)
        if marks.segment:
            marks = in_segments(self, target, payload, marks)
        datagram = Datagram((source, port), target, payload, self.stack, marks)
        if source != "::1":  # which is no address on another link: RFC 4291, 2.5.3
            self.stack.out.append(sent_to_group(self, datagram, link))
        self.wake(SPACE_NEWS)

    def _named(self, address: Sequence[Any]) -> str:
        """The host of *address*; :: means where the socket is, which may be IPv4."""
        ip = inet.endpoint(self.family, address)[0]
        return self.local[0] if ip == inet.ANY6 and self.local is not None and self.local[0] != inet.ANY6 else ip

    def _target(self, address: Sequence[Any] | None, data: Data, flags: int) -> Endpoint:
        """Where a datagram goes, refused in the kernel's order."""
        if address is not None:
            ip = self._named(address)
            if not address[1] and (self.family != AF_INET6 or ":" in ip):
                raise socket_error(EINVAL)
            target = self._destination(address)
        elif self.peer is not None:
            target = self.peer
        else:
            raise socket_error(EDESTADDRREQ)
        if self.family == AF_INET6 and ":" not in target[0]:
            check_v4(data, flags)
            if not target[1]:
                raise socket_error(EINVAL)
        return target
