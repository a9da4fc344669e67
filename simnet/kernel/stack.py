"""The stack of one host: its addresses and tables, the way in for packets, and the maker of sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Sequence
from errno import (
    EACCES,
    EAFNOSUPPORT,
    ECONNREFUSED,
    EINVAL,
    ENETUNREACH,
    EOPNOTSUPP,
    EPERM,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)
from typing import Any, Final, NoReturn

from simnet.kernel import inet
from simnet.kernel.clocks import Clock
from simnet.kernel.datagrams.groups import ToGroup, hears_group, host_takes
from simnet.kernel.datagrams.ports import UdpPorts, hears_all
from simnet.kernel.datagrams.udp import UdpSocket
from simnet.kernel.datagrams.udplite import IPPROTO_UDPLITE, UdpLiteSocket
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import NotModelled, socket_error
from simnet.kernel.families import OTHER_FAMILIES, refuse_other
from simnet.kernel.identity import Identified, Identity
from simnet.kernel.messages import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_PACKET,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOCK_TYPE_MASK,
)
from simnet.kernel.options.packed import link_of
from simnet.kernel.options.routes import is_nowhere
from simnet.kernel.ports import V6_ONLY, of_several
from simnet.kernel.readiness import ANY_NEWS
from simnet.kernel.segment import ACK, FIN, RST, SYN, TCP, UDP, Datagram, Endpoint, Icmp, Notice, Packet, Segment
from simnet.kernel.tcp.control import ControlBlock
from simnet.kernel.tcp.guard import send_again_for_nobody
from simnet.kernel.tcp.listener import abandon, arrive_syn
from simnet.kernel.tcp.ports import TcpPorts
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.kernel.tcp.timewait import TimeWait
from simnet.kernel.unix.carried import CarriedDatagram
from simnet.kernel.unix.datagrams import UnixDatagram
from simnet.kernel.unix.garbage import Travels
from simnet.kernel.unix.names import Key, file_key
from simnet.kernel.unix.records import UnixRecords
from simnet.kernel.unix.sockets import UnixSocket
from simnet.kernel.unix.streams import UnixStream

AF_MAX: Final = 46  # Linux 6.18
SOCK_MAX: Final = 11
AF_PACKET: Final = 17
IPPROTO_MAX: Final = 263  # Linux 6.18
IPPROTO_MPTCP: Final = 262
IPPROTO_ICMP: Final = 1
IPPROTO_ICMPV6: Final = 58

TIME_WAITS_MAX: Final = 16384  # net.ipv4.tcp_max_tw_buckets of a small machine; beyond it TIME_WAIT is skipped (K-029)


class Stack(Identified):
    """One host's kernel. *addresses* are its own, beside 127/8 and ::1; what it sends is appended to *out*."""

    __slots__ = (
        "addresses", "clock", "out", "emit", "name", "connections", "listeners", "tcp_ports", "_udp_ports",
        "_unix_names", "time_waits", "epoch_ns", "last_words", "syns_due", "syns_together", "_mss", "_lossy", "demanding",
        "on_established", "path_error", "real_path", "muted", "carry", "_cookies", "privileged", "_autobinds", "travels",
    )  # fmt: skip
    way: Final = None  # what it sends itself goes to anybody

    def __init__(self, addresses: Sequence[str], *, clock: Clock, out: deque[Packet], name: str = "") -> None:
        self.addresses = tuple(addresses)
        self.clock = clock
        self.epoch_ns = 0  # what the wall clock shows when the other one begins
        self.out = out
        self.emit = out.append
        self.name = name
        self.connections: dict[tuple[Endpoint | None, Endpoint | None], TcpSocket | TimeWait] = {}
        self.listeners: dict[Endpoint, list[TcpSocket]] = {}
        self.tcp_ports = TcpPorts()
        self._udp_ports: UdpPorts | None = None
        self._unix_names: dict[Key, UnixSocket | None] | None = None
        self._cookies: dict[Any, int] | None = None
        self._autobinds = 0  # names of the kernel's choice that were given to Unix sockets so far
        self.who = Identity
        self._identity = None
        self.privileged = True  # may who runs set what takes CAP_NET_ADMIN, and has no effect here?
        self.time_waits: dict[TimeWait, None] = {}  # in order of expiry, but for what TCP_LINGER2 says
        self.last_words: dict[tuple[Endpoint, Endpoint, int], int] | None = None  # see send_again_for_nobody
        self.syns_due = (-1, 0)  # the last instant at which a SYN was to be sent again, and how many more at the same
        self.syns_together: dict[int, list[tuple[Any, Any]]] = {}  # by when they go again, whose: see `guard`
        self._mss: Callable[[str, str], int | None] | None = None
        self._lossy: Container[str] | None = None
        self.demanding = False  # one of the two above is set
        self.muted: frozenset[tuple[Endpoint, Endpoint]] = frozenset()  # (from, to) of those that say nothing more
        self.travels: Travels | None = None  # of Unix sockets that are on their way
        self.path_error: Callable[[str], int] | None = None  # asked about paths of Unix sockets; EEXIST for a file
        self.real_path: Callable[[str, bool], str] | None = None  # asked where paths lead that go through links
        self.on_established: Callable[[Any], None] | None = None  # told of each end that becomes ESTABLISHED
        self.carry: Callable[[Any, Any], None] | None = None  # given each Unix datagram to somebody with a name

    def __repr__(self) -> str:
        return f"<Stack {self.name or ','.join(self.addresses)}>"

    @property
    def udp_ports(self) -> UdpPorts:
        """Who holds which UDP port; made on first use."""
        if self._udp_ports is None:
            self._udp_ports = UdpPorts()
        return self._udp_ports

    def cookie_of(self, socket: Any) -> int:
        """SO_COOKIE: a number that no other socket ever has, given to who asks for it first."""
        if self._cookies is None:
            self._cookies = {}
        return self._cookies.setdefault(socket, len(self._cookies) + 1)

    @property
    def unix_names(self) -> dict[Key, UnixSocket | None]:
        """Who is bound to which name; None for a file whose socket is closed. Made on first use.

        A path is there once; an abstract name once for each type of socket.
        """
        if self._unix_names is None:
            self._unix_names = {}
        return self._unix_names

    # What the network above decides.

    @property
    def mss(self) -> Callable[[str, str], int | None] | None:
        """Asked at the birth of a connection: the largest segment from an address to another, None for any size."""
        return self._mss

    @mss.setter
    def mss(self, rule: Callable[[str, str], int | None] | None) -> None:
        self._mss = rule
        self.demanding = rule is not None or self._lossy is not None

    @property
    def lossy(self) -> Container[str] | None:
        """Addresses of peers to whom, or from whom, segments may get lost."""
        return self._lossy

    @lossy.setter
    def lossy(self, peers: Container[str] | None) -> None:
        self._lossy = peers
        self.demanding = peers is not None or self._mss is not None

    # Sockets.

    def socket(self, family: int, type: int, proto: int = 0) -> TcpSocket | UdpSocket | UnixSocket:
        """A fresh file with one reference, the caller's; what Linux refuses is refused alike (K-130)."""
        if type == SOCK_STREAM and family == AF_INET and not proto:  # nearly always
            return TcpSocket(self, family)
        kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)
        if family == AF_INET and kind == SOCK_PACKET:
            self._refuse_raw()  # as AF_PACKET below: of old it was a type
        if not 0 <= family < AF_MAX and not kind & ~SOCK_TYPE_MASK:
            raise socket_error(EAFNOSUPPORT)
        if not 0 <= kind < SOCK_MAX:
            raise socket_error(EINVAL)
        if family not in (AF_UNIX, AF_INET, AF_INET6):
            if family == AF_PACKET:
                self._refuse_raw()
            if family in OTHER_FAMILIES:
                refuse_other(family, kind, proto)
            raise socket_error(EAFNOSUPPORT)  # a kernel without the module
        if family == AF_UNIX:
            return self._unix(kind, proto)
        if not 0 <= proto < IPPROTO_MAX:
            raise socket_error(EINVAL)
        if kind == SOCK_STREAM and proto in (0, TCP):
            return TcpSocket(self, family)
        if kind == SOCK_DGRAM and proto in (0, UDP):
            return UdpSocket(self, family)
        if kind == SOCK_STREAM and proto == IPPROTO_MPTCP:
            raise NotModelled("socket(SOCK_STREAM, IPPROTO_MPTCP)")
        if kind == SOCK_DGRAM and proto == (IPPROTO_ICMP if family == AF_INET else IPPROTO_ICMPV6):
            raise socket_error(EACCES)  # net.ipv4.ping_group_range lets nobody
        if kind == SOCK_DGRAM and proto == IPPROTO_UDPLITE:
            return UdpLiteSocket(self, family)
        if kind == SOCK_RAW and proto:
            self._refuse_raw()
        if kind in (SOCK_STREAM, SOCK_DGRAM, SOCK_RAW):
            raise socket_error(EPROTONOSUPPORT)
        raise socket_error(ESOCKTNOSUPPORT)

    def _refuse_raw(self) -> NoReturn:
        """A raw or packet socket, which Linux refuses a process without CAP_NET_RAW."""
        raise socket_error(EPERM)

    def _unix(self, kind: int, proto: int) -> UnixStream | UnixDatagram:
        if proto not in (0, AF_UNIX):
            raise socket_error(EPROTONOSUPPORT)
        if kind == SOCK_STREAM:
            return UnixStream(self, kind)
        if kind in (SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW):  # Linux takes SOCK_RAW for SOCK_DGRAM
            if kind == SOCK_SEQPACKET:
                return UnixRecords(self, kind)
            return (UnixDatagram if self.carry is None else CarriedDatagram)(self, SOCK_DGRAM)
        raise socket_error(ESOCKTNOSUPPORT)

    def socketpair(self, family: int, type: int, proto: int = 0) -> tuple[UnixSocket, UnixSocket]:
        """Two Unix sockets connected to each other; EOPNOTSUPP for the internet families (K-106)."""
        try:
            a = self.socket(family, type, proto)
        except NotModelled:
            raise socket_error(EOPNOTSUPP) from None  # neither do those families have pairs
        if not isinstance(a, UnixSocket):
            raise socket_error(EOPNOTSUPP)
        b = self.socket(family, type, proto)
        assert isinstance(b, UnixSocket)
        a.join(b)
        return a, b

    def epoll(self) -> Epoll:
        """A fresh epoll set."""
        return Epoll()

    # Packets.

    def arrive(self, packet: Packet) -> None:
        """Take in one packet; what it causes is appended to ``out``."""
        if packet.proto == TCP:
            connection = self.connections.get((packet.target, packet.source))
            if connection is not None:
                connection.arrive(packet)  # type: ignore[arg-type]  # proto says it is a Segment
            else:
                self._arrive_unknown(packet)  # type: ignore[arg-type]
        else:
            self._arrive_other(packet)

    def _arrive_unknown(self, segment: Segment) -> None:
        """A segment for no connection: a SYN for a listener, or something to answer by RST."""
        if segment.flags & (SYN | ACK | RST) == SYN:
            listener = self.listener_for(segment)
            if listener is not None:
                arrive_syn(listener, segment)
                return
        self.refuse(segment)

    def _arrive_other(self, packet: Packet) -> None:
        if isinstance(packet, Datagram):
            self._arrive_datagram(packet)
            return
        if isinstance(packet, Icmp):
            self._arrive_icmp(packet)
            return
        if isinstance(packet, Notice):
            if packet.lost is not None:
                self.lost(packet.lost)
            elif packet.waking is not None:
                packet.waking.wake(ANY_NEWS)
            else:
                connection = self.connections.get((packet.target, packet.source))
                if isinstance(connection, TcpSocket):
                    connection.watch_losses()

    def _arrive_datagram(self, datagram: Datagram) -> None:
        """To the socket that fits best, the latest bound among equals; or back with port unreachable."""
        target, source = datagram.target, datagram.source
        if inet.is_many(target[0]):
            self._arrive_for_many(datagram)
            return
        socket = self.udp_ports.hearer(target, source)
        if socket is not None:
            socket.take_in(datagram)
        elif datagram.marks is None or not datagram.marks.unchecked:
            self.out.append(Icmp(ECONNREFUSED, datagram, self))

    def _arrive_for_many(self, datagram: Datagram) -> None:
        """To all sockets that hear the broadcast or the group; nobody is told that there is none."""
        ip, port = datagram.target
        link = datagram.link if isinstance(datagram, ToGroup) else 0
        group = inet.is_group(ip)
        if group and not (link and host_takes(self, ip, link, datagram.source[0])):
            return
        for socket in self.udp_ports.of(port):
            if hears_all(socket, ip, datagram.source) and (
                not group or (hears_group(socket, ip, link, datagram.source[0]) and link_of(socket) in (0, link))
            ):
                socket.take_in(datagram)

    def _arrive_icmp(self, icmp: Icmp) -> None:
        """An error about something sent from here: to the connection or the UDP socket that sent it."""
        about = icmp.about
        if isinstance(about, Segment):
            connection = self.connections.get((about.source, about.target))
            if isinstance(connection, TcpSocket):
                connection.unreachable(icmp.error)
        else:
            sender = self.udp_ports.hearer(about.source, about.target)
            if sender is not None:
                sender.refused(icmp)

    def refuse(self, segment: Segment) -> None:
        """RST for a segment that nobody wants; never for an RST (RFC 9293, 3.10.7.1).

        Its ACK field, which counts for nothing without the flag, is where the segment began: what came before was heard.
        """
        flags = segment.flags
        if flags & RST or (segment.target, segment.source) in self.muted:
            return
        if flags & ACK:
            answer = Segment(segment.target, segment.source, RST, segment.ack, segment.seq, 0, b"", self)
        else:
            end = segment.seq + len(segment.payload) + bool(flags & SYN) + bool(flags & FIN)
            answer = Segment(segment.target, segment.source, RST | ACK, 0, end, end, b"", self)
        self.out.append(answer)

    def lost(self, segment: Segment) -> None:
        """*segment*, which came from here, was dropped on a loss-free path: its sender is to send it again in time."""
        connection = self.connections.get((segment.source, segment.target))
        if isinstance(connection, TcpSocket):
            connection.lost(segment)
        else:
            send_again_for_nobody(self, segment)

    # Listeners.

    def add_listener(self, socket: TcpSocket) -> None:
        """*socket* listens on its name; for nobody if that is an IPv4 address and it is for IPv6 only, or on no link."""
        assert socket.local is not None
        if (":" in socket.local[0] or not socket.sharing & V6_ONLY) and not is_nowhere(socket):
            self.listeners.setdefault(socket.local, []).append(socket)

    def stop_listening(self, socket: TcpSocket) -> None:
        """*socket* listens no more: those in its queue are reset."""
        assert socket.local is not None
        assert socket.listener is not None
        if group := [each for each in self.listeners.get(socket.local, ()) if each is not socket]:
            self.listeners[socket.local] = group
        else:
            self.listeners.pop(socket.local, None)
        listener, socket.listener = socket.listener, None
        abandon(listener)

    def listener_for(self, segment: Segment) -> TcpSocket | None:
        """The most specific listener on the segment's target (K-032)."""
        listeners = self.listeners
        if not listeners:
            return None
        target = segment.target
        group = listeners.get(target)
        if group is None:
            ip, port = target
            v4 = ":" not in ip
            if v4:
                group = listeners.get(("0.0.0.0", port))
                if group is not None and group[0].family == AF_INET6:
                    group = self._first_of_ipv6(group, port)
            if group is None:
                group = listeners.get(("::", port))
                if group is not None and v4:
                    group = [socket for socket in group if not socket.sharing & V6_ONLY]
        if not group:
            return None
        return group[0] if len(group) == 1 else of_several(group, segment.source[1] // 2)

    def _first_of_ipv6(self, group: list[TcpSocket], port: int) -> list[TcpSocket] | None:
        """Of IPv6 sockets that listen on a wildcard, ::ffff:0.0.0.0 is no better than ::, and the first has it; None: ::."""
        others = self.listeners.get(("::", port), ())
        if all(each.family == AF_INET6 for each in group) and any(not each.sharing & V6_ONLY for each in others):
            for address, its in self.listeners:
                if its == port and address in (inet.ANY4, inet.ANY6):
                    return group if address == inet.ANY4 else None
        return group

    # Addresses.

    def is_local(self, ip: str) -> bool:
        """Is *ip* this host's? All of 127/8 is."""
        return ip in self.addresses or inet.is_loopback(ip)

    def is_bindable(self, ip: str) -> bool:
        """May a socket bind *ip*: its own, a wildcard, or one of several hosts (K-025)?"""
        return ip in (inet.ANY4, inet.ANY6) or self.is_local(ip) or inet.is_many(ip)

    def source_for(self, ip: str) -> str:
        """The address that packets to *ip* come from, if the socket names none (K-018)."""
        if ip.startswith("127."):
            return "127.0.0.1"
        addresses = self.addresses
        if ip in addresses:
            return ip
        six = ":" in ip
        if ip == "::1":
            return ip
        for own in addresses:
            if (":" in own) is six:
                return own
        raise socket_error(ENETUNREACH)

    def check_route(self, source: str, ip: str) -> None:
        """There is no way from 127/8 to another host (EINVAL), nor from an IPv4 address that is another's (ENETUNREACH)."""
        if source.startswith("127.") and not self.is_local(ip) and not inet.is_many(ip):
            raise socket_error(EINVAL)
        if not (":" in source or self.is_local(source) or inet.is_many(source)):
            raise socket_error(ENETUNREACH)

    # Names of Unix sockets.

    def free_abstract_name(self) -> bytes:
        """NUL and five hexadecimal digits, as autobind gives: a random one that is free for its type, ours are counted from 1.

        A random one was hardly ever anybody's, so ours is free for each type, and none is given twice.
        """
        names = self.unix_names
        while True:
            self._autobinds += 1
            name = b"\0%05x" % (self._autobinds & 0xFFFFF)
            if not any((kind, name) in names for kind in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET)):
                return name

    def unlink(self, path: str) -> bool:
        """Remove the file of a Unix socket; False if there is none of that name."""
        return self.unix_names.pop(file_key(self, path), self) is not self

    def dissolve(self) -> None:
        """Its host is gone for good: let go of everything that refers back to it."""
        self.carry = self.travels = None
        for socket in [each for each in self.connections.values() if isinstance(each, TcpSocket)]:
            socket.far = None
        self.connections.clear()
        self.time_waits.clear()
        self.listeners.clear()
        self.tcp_ports.users.clear()
        if self._udp_ports is not None:
            self._udp_ports.users.clear()
            self._udp_ports.pairs.clear()
        if self._unix_names is not None:
            self._unix_names.clear()

    # TIME_WAIT.

    def leave_behind(
        self, socket: ControlBlock, phase: str, snd_nxt: int, rcv_nxt: int, seconds: int | None = None
    ) -> None:
        """*socket* is done; a TimeWait takes its addresses, and stands beside it or in its place at its port.

        It does so for a minute, or for as many *seconds*.
        """
        waits = self.time_waits
        now_ns = self.clock.now_ns
        while waits:
            first = next(iter(waits))
            if first.expires_ns > now_ns:
                break
            first.expire()
        local, peer = socket.local, socket.peer
        assert local is not None
        assert peer is not None
        if len(waits) >= TIME_WAITS_MAX:
            self.connections.pop((local, peer), None)
            return
        wait = TimeWait(self, local, peer, phase, socket.sharing, socket.autobound, snd_nxt, rcv_nxt, now_ns)
        if seconds is not None:
            wait.expires_ns = now_ns + seconds * 1_000_000_000
        waits[wait] = None
        self.connections[(local, peer)] = wait
        self.tcp_ports.hold(local[1], wait)

    def may_replace(self, other: TcpSocket | TimeWait) -> bool:
        """May a bound socket connect with the addresses that *other* has? Yes if only TIME_WAIT or FIN_WAIT2 is left.

        tcp_twsk_unique: timestamps tell the old segments from the new ones, so that it need not wait.
        """
        if isinstance(other, TimeWait):
            other.expire()
            return True
        return False
