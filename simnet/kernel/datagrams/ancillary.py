"""What comes with a datagram: where it came in, with which TOS and TTL; and what a sender may set for one.

`told` makes the messages that ``recvmsg`` returns for the options that ask for them, `said` reads those that ``sendmsg`` is
given.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from errno import EAFNOSUPPORT, EINVAL, EIO, EMSGSIZE, ENETUNREACH, ENODEV, EPERM
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.datagrams.groups import LOOPBACK_LINK, OTHER_LINK, source_on
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.inet import ANY4, BROADCAST, LOOPBACK_BROADCAST, is_broadcast, is_group, is_loopback, of_a_link
from simnet.kernel.messages import AF_INET, AF_INET6, Message, check_for_any_socket
from simnet.kernel.options.flow_labels import NO_LABEL, label_sent
from simnet.kernel.options.idle import (
    IP_PKTINFO,
    IP_RECVOPTS,
    IP_RECVORIGDSTADDR,
    IP_RECVTOS,
    IP_RECVTTL,
    IP_RETOPTS,
    IPV6_DONTFRAG,
    IPV6_RECVHOPLIMIT,
    IPV6_RECVPKTINFO,
    IPV6_RECVTCLASS,
    SO_NO_CHECK,
    SO_RXQ_OVFL,
    binds_anywhere,
)
from simnet.kernel.options.ip_header import OPTIONS_MAX, compiled
from simnet.kernel.options.packed import (
    IP_HEADER,
    IPV6_DSTOPTS,
    IPV6_HOPOPTS,
    IPV6_PKTINFO,
    IPV6_RTHDRDSTOPTS,
    LINKS,
    PKTINFO_SIZE,
    link_of,
)
from simnet.kernel.options.rare import (
    IP_CHECKSUM,
    IP_PROTOCOL,
    IPV6_2292DSTOPTS,
    IPV6_2292HOPLIMIT,
    IPV6_2292HOPOPTS,
    IPV6_2292PKTINFO,
    IPV6_FLOWINFO,
    IPV6_ORIGDSTADDR,
    SO_RCVMARK,
    SO_RCVPRIORITY,
    UDP_GRO,
    UDP_NO_CHECK6_RX,
    UDP_NO_CHECK6_TX,
    UDP_SEGMENT,
)
from simnet.kernel.options.timestamps import stamped, time_on, wants_stamps
from simnet.kernel.options.values import (
    IP_TOS,
    IP_TTL,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_UDP,
    IPV6_TCLASS,
    IPV6_UNICAST_HOPS,
    SO_MARK,
    SO_PRIORITY,
    SOL_SOCKET,
    TOS_PRIORITIES,
    Key,
)
from simnet.kernel.readiness import SPACE_NEWS
from simnet.kernel.segment import PLAIN, Datagram, Endpoint, Marks

if TYPE_CHECKING:
    from simnet.kernel.datagrams.sending import DatagramSender

IPV6_HOPLIMIT: Final = 52
PORT_UNKNOWN: Final = -1  # of an ICMP error about a datagram too short to have one
IN_PKTINFO_SIZE: Final = 12  # struct in_pktinfo
WAYS_V6: Final = (IPV6_PKTINFO, IPV6_2292PKTINFO)
WAYS_MAPPED: Final = (IPV6_PKTINFO,)  # what an IPv6 socket may say of a datagram over IPv4
EXTENSIONS: Final = (
    IPV6_DONTFRAG, IPV6_FLOWINFO, IPV6_HOPOPTS, IPV6_DSTOPTS, IPV6_RTHDRDSTOPTS, IPV6_2292HOPOPTS, IPV6_2292DSTOPTS,
)  # fmt: skip
SEGMENT: Final = (IPPROTO_UDP, UDP_SEGMENT)
SEGMENTS_MAX: Final = 128  # UDP_MAX_SEGMENTS
UNCHECKED: Final = (SOL_SOCKET, SO_NO_CHECK)
UNCHECKED_V6: Final = (IPPROTO_UDP, UDP_NO_CHECK6_TX)
TAKES_UNCHECKED: Final = (IPPROTO_UDP, UDP_NO_CHECK6_RX)
GSO_MAX_SIZE: Final = 65536
UNFRAGMENTED_V6: Final = 65488  # the MTU of loopback less the headers of IPv6 and UDP
JOINED: Final = (IPPROTO_UDP, UDP_GRO)
DROPS: Final = (SOL_SOCKET, SO_RXQ_OVFL)
CHECKED_AT_ONCE: Final = 68  # bytes: CHECKSUM_BREAK less the header; of more, only who reads a part knows a sum
ALL_ONES: Final = 0xFFFFFFFF
_TOLD_BY: Final = {SO_MARK: SO_RCVMARK, SO_PRIORITY: SO_RCVPRIORITY}
MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"


def marks_of(options: dict[Key, Any] | None, six: bool) -> Marks | None:
    """What a sender's *options* make of a datagram over IPv4, or *six*; ``None`` for nothing."""
    if options is None:
        return None
    level, tos, ttl = (IPPROTO_IPV6, IPV6_TCLASS, IPV6_UNICAST_HOPS) if six else (IPPROTO_IP, IP_TOS, IP_TTL)
    header = b"" if six else options.get(IP_HEADER, b"")
    marks = Marks(
        options.get((level, tos), PLAIN.tos),
        options.get((level, ttl), PLAIN.ttl),
        header,
        segment=options.get(SEGMENT, 0),
        flow=label_sent(options) if six else 0,
        priority=options.get((SOL_SOCKET, SO_PRIORITY), 0),
        mark=options.get((SOL_SOCKET, SO_MARK), 0),
        unchecked=six and bool(options.get(UNCHECKED_V6)),
    )
    return None if marks == PLAIN else marks


class Noted(Datagram):
    """One of which something was noted when it was queued, for an option was set then.

    That is its way in, if IP_PKTINFO was (of others it is told as 0), when it came, and how many were dropped before.
    """

    __slots__ = ("way_in", "stamp_ns", "dropped")

    def __init__(self, datagram: Datagram, way_in: bool, stamp_ns: int, dropped: int) -> None:
        super().__init__(datagram.source, datagram.target, datagram.payload, datagram.sender, datagram.marks)
        self.way_in = way_in
        self.stamp_ns = stamp_ns
        self.dropped = dropped


class Seen(Noted):
    """An empty one that was peeked at: a peek that begins at a place of its own does not come to it again."""

    __slots__ = ()

    def __init__(self, datagram: Datagram) -> None:
        noted = datagram if isinstance(datagram, Noted) else None
        if noted is None:
            super().__init__(datagram, way_in=False, stamp_ns=0, dropped=0)
        else:
            super().__init__(noted, noted.way_in, noted.stamp_ns, noted.dropped)


def stays_whole(datagram: Datagram, options: dict[Key, Any] | None) -> bool:
    """Is one that was sent in segments queued as one: if UDP_GRO asks for it, and it is no longer than a link takes whole."""
    headers = 62 if ":" in datagram.source[0] else 42  # of IP, UDP and Ethernet
    return options is not None and bool(options.get(JOINED)) and len(datagram.payload) + headers < GSO_MAX_SIZE


def in_pieces(datagram: Datagram) -> list[Datagram]:
    """What who has not asked for UDP_GRO gets of one that was sent in segments."""
    payload, marks = datagram.payload, datagram.marks or PLAIN
    pieces = [payload[at : at + marks.segment] for at in range(0, len(payload), marks.segment)] or [b""]
    return [
        Datagram(datagram.source, datagram.target, piece, datagram.sender, marks._replace(segment=0, pages=len(piece)))
        for piece in pieces
    ]


def note(options: dict[Key, Any], datagram: Datagram, socket: DatagramSender) -> Datagram:
    """*datagram* as *socket*, which has these *options*, queues it."""
    way_in = bool(options.get((IPPROTO_IP, IP_PKTINFO)) or options.get((IPPROTO_IPV6, IPV6_RECVPKTINFO)))
    stamps = wants_stamps(options)
    dropped = socket.dropped if options.get(DROPS) else 0
    if not (way_in or stamps or dropped):
        return datagram
    return Noted(datagram, way_in, time_on(socket.stack) if stamps else 0, dropped)


def told(socket: DatagramSender, datagram: Datagram, icmp: bool = False, summed: bool = False) -> list[Message]:
    """What the options of *socket* ask to be told of *datagram*, or of an ICMP error, in the kernel's order.

    It was *summed* if it had to be checked before a part of it was read.
    """
    options = socket.options
    if not options:
        return []
    target = datagram.target[0]
    six = ":" in target
    marks = datagram.marks or PLAIN
    address = ip_address(target)
    noted = isinstance(datagram, Noted) and datagram.way_in
    link = 0
    if noted or icmp or six:
        # What comes from here to an address of another link came by that one, though it never left.
        inside = datagram.sender is socket.stack and (icmp or is_loopback(target))
        link = (is_group(target) and marks.link) or (LOOPBACK_LINK if inside else OTHER_LINK)
    messages = stamped(options, datagram.stamp_ns if isinstance(datagram, Noted) else 0, socket.stack)
    if isinstance(datagram, Noted) and datagram.dropped and options.get(DROPS):
        messages.append((*DROPS, struct.pack("=I", datagram.dropped)))
    own = datagram.sender is socket.stack
    for name, value in ((SO_MARK, marks.mark), (SO_PRIORITY, marks.priority)):
        if options.get((SOL_SOCKET, _TOLD_BY[name])) and not icmp:
            messages.append((SOL_SOCKET, name, struct.pack("=I", value & 0xFFFFFFFF if own else 0)))
    if marks.segment and options.get(JOINED) and len(datagram.payload) > marks.segment:
        messages.append((*JOINED, struct.pack("=i", marks.segment)))
    if options.get((IPPROTO_IPV6, IPV6_RECVPKTINFO)):
        here = address.packed if six else ip_address(f"::ffff:{target}").packed
        messages.append((IPPROTO_IPV6, IPV6_PKTINFO, here + struct.pack("=i", link)))
    if six:
        messages += _told_v6(options, datagram, marks, link, icmp)
        return messages
    host = ANY4
    if noted:
        shown = link if not is_group(target) or datagram.source[0][:4] == "127." else OTHER_LINK
        host = source_on(socket, target, shown) if is_group(target) or is_broadcast(target) else target
    messages += _told_v4(options, datagram, marks, link, host)
    if own and marks.begun >= 0 and not icmp and options.get((IPPROTO_IP, IP_CHECKSUM)):
        size = len(datagram.payload)
        if summed or size <= CHECKED_AT_ONCE:
            first = size - marks.pages
            messages.append((IPPROTO_IP, IP_CHECKSUM, struct.pack("=I", _sum_of(datagram.payload, first))))
    return messages


def _sum_of(payload: bytes, first: int) -> int:
    """What csum_partial makes of the *first* bytes, and of the rest, which lies elsewhere."""
    turned = bytes(3) if first & 1 else b""  # csum_shift turns what stands at an odd place
    total = 0
    for part in (payload[:first], turned + payload[first:]):
        words = part + bytes(-len(part) % 4)
        total += sum(struct.unpack(f"<{len(words) // 4}I", words))
    return total % ALL_ONES or ALL_ONES


def _told_v6(options: dict[Key, Any], datagram: Datagram, marks: Marks, link: int, icmp: bool) -> list[Message]:
    """What stands in a packet of IPv6 that came by *link*."""
    target, port = datagram.target
    packed = ip_address(target).packed
    messages: list[Message] = []

    def tell(asked: int, kind: int, data: bytes) -> None:
        if options.get((IPPROTO_IPV6, asked)):
            messages.append((IPPROTO_IPV6, kind, data))

    tell(IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, struct.pack("=i", marks.ttl))
    tell(IPV6_RECVTCLASS, IPV6_TCLASS, struct.pack("=i", marks.tos))
    if not icmp:
        # Linux labels each flow by a hash with a secret of its own; ours is of the ports, and never 0 either.
        label = marks.flow or 1 + (datagram.source[1] << 4 ^ port) % 0xFFFFF
        info = marks.tos << 20 | (label if label != NO_LABEL else 0)
        if info:
            tell(IPV6_FLOWINFO, IPV6_FLOWINFO, struct.pack("!I", info))
    tell(IPV6_2292PKTINFO, IPV6_2292PKTINFO, packed + struct.pack("=i", link))
    tell(IPV6_2292HOPLIMIT, IPV6_2292HOPLIMIT, struct.pack("=i", marks.ttl))
    if port != PORT_UNKNOWN:
        tell(IPV6_ORIGDSTADDR, IPV6_ORIGDSTADDR, sockaddr(AF_INET6, target, port))
    return messages


def _told_v4(options: dict[Key, Any], datagram: Datagram, marks: Marks, link: int, here: str) -> list[Message]:
    """What stands in a packet of IPv4 that came by *link*, where this host is *here*."""
    target, port = datagram.target
    messages: list[Message] = []

    def tell(asked: int, kind: int, data: bytes) -> None:
        if options.get((IPPROTO_IP, asked)):
            messages.append((IPPROTO_IP, kind, data))

    tell(IP_PKTINFO, IP_PKTINFO, struct.pack("=i", link) + ip_address(here).packed + ip_address(target).packed)
    tell(IP_RECVTTL, IP_TTL, struct.pack("=i", marks.ttl))
    tell(IP_RECVTOS, IP_TOS, bytes((marks.tos,)))
    if marks.options:
        tell(IP_RECVOPTS, IP_RECVOPTS, marks.options)
        tell(IP_RETOPTS, IP_RETOPTS, b"")  # what to answer with: none of these is echoed
    if port != PORT_UNKNOWN:
        tell(IP_RECVORIGDSTADDR, IP_RECVORIGDSTADDR, sockaddr(AF_INET, target, port))
    return messages


def sockaddr(family: int, ip: str, port: int) -> bytes:
    """``struct sockaddr_in`` or ``sockaddr_in6``."""
    if family == AF_INET6:
        return struct.pack("=H2s4x16s4x", family, (port & 0xFFFF).to_bytes(2, "big"), ip_address(ip).packed)
    return struct.pack("=H2s4s8x", family, (port & 0xFFFF).to_bytes(2, "big"), ip_address(ip).packed)


def in_segments(socket: DatagramSender, target: Endpoint, payload: bytes, marks: Marks) -> Marks:
    """The *marks* of what goes out in segments.

    Raises:
        OSError: EMSGSIZE for segments longer than the link takes; EINVAL for too many, and where no checksum is wanted,
            which each needs; EIO for UDP-Lite.
    """
    six = ":" in target[0]
    error = 0
    if six and min(len(payload), marks.segment) > UNFRAGMENTED_V6:
        error = EMSGSIZE
    elif (socket.options or {}).get(UNCHECKED_V6 if six else UNCHECKED) or len(payload) > marks.segment * SEGMENTS_MAX:
        error = EINVAL
    elif socket.proto != IPPROTO_UDP:
        error = EIO
    if error:
        socket.wake(SPACE_NEWS)  # udp_send_skb throws away a packet that was made already
        raise socket_error(error)
    return marks._replace(pages=len(payload))


def said(
    socket: DatagramSender, ancillary: Sequence[tuple[int, int, Any]], six: bool, marks: Marks | None
) -> tuple[Marks | None, str | None]:
    """The marks of a datagram over IPv4, or *six*, and the address it is to come from, if *ancillary* says so.

    Raises:
        OSError: EINVAL for what is no such message, and for an address of several hosts; ENETUNREACH for that of another; ENODEV
            for no link of ours.
    """
    for level, kind, data in ancillary:  # udp_cmsg_send comes first
        if level == IPPROTO_UDP:
            value = bytes(memoryview(data))
            if kind != UDP_SEGMENT or len(value) != 2:
                raise socket_error(EINVAL)
            marks = (marks or PLAIN)._replace(segment=int.from_bytes(value, sys.byteorder))
    own = IPPROTO_IPV6 if six else IPPROTO_IP
    way = _Way()
    for level, kind, data in ancillary:
        if level == SOL_SOCKET:
            check_for_any_socket(kind, data, socket)
            if kind == SO_PRIORITY:
                marks = (marks or PLAIN)._replace(priority=_signed(data))
            elif kind == SO_MARK:
                marks = (marks or PLAIN)._replace(mark=_signed(data))
        elif socket.family == AF_INET6 and level == IPPROTO_IPV6 and kind in (WAYS_V6 if six else WAYS_MAPPED):
            way.choose_v6(socket, bytes(memoryview(data)), six)
        elif level == own:
            value = bytes(memoryview(data))
            if kind == IP_PKTINFO and not six:
                way.choose_v4(value)
            else:
                marks = _said_v6(kind, value, marks) if six else _said_v4(kind, value, marks, socket.stack.privileged)
    if way.source not in (None, ANY4) and not six:
        if way.source == BROADCAST or is_group(way.source):
            raise socket_error(EINVAL)
        if way.source == LOOPBACK_BROADCAST or not socket.stack.is_local(way.source):
            raise socket_error(ENETUNREACH)
    if not 0 <= way.link <= len(LINKS):
        raise socket_error(ENODEV)
    if way.link and not six:
        marks = (marks or PLAIN)._replace(link=way.link)
    if six and way.source is not None and mapped(way.source):
        raise socket_error(EAFNOSUPPORT)  # the way to an IPv6 address begins at none of IPv4
    return marks, way.source


class _Way:
    """The link and the address that a datagram is to come from, as IP_PKTINFO and IPV6_PKTINFO say one after another."""

    def __init__(self) -> None:
        self.link = 0
        self.source: str | None = None

    def choose_v4(self, value: bytes) -> None:
        if len(value) != IN_PKTINFO_SIZE:
            raise socket_error(EINVAL)
        number, packed = struct.unpack_from("=i4s", value)
        self.link = number or self.link
        self.source = str(ip_address(packed))  # the wildcard: chosen by the way, wherever the socket is

    def choose_v6(self, socket: DatagramSender, value: bytes, six: bool) -> None:
        before = self.link or (link_of(socket) if six else 0)
        link, source = _source_v6(value, six)
        self.link, self.source = link or before, source  # who names no link leaves the one that there is
        if not six:
            return
        if link and before not in (0, link):
            raise socket_error(EINVAL)
        if not 0 <= self.link <= len(LINKS):
            raise socket_error(ENODEV)
        if source is None:
            return
        if not self.link and of_a_link(source):
            raise socket_error(EINVAL)
        if not (socket.stack.is_local(source) or binds_anywhere(socket.options)):
            raise socket_error(EINVAL)


def _said_v4(kind: int, value: bytes, marks: Marks | None, privileged: bool) -> Marks | None:
    """ip_cmsg_send, but for IP_PKTINFO."""
    if kind == IP_RETOPTS:
        return (marks or PLAIN)._replace(options=compiled(value[:OPTIONS_MAX], privileged))
    if kind == IP_PROTOCOL:
        _number(value, 1, 0)  # which is for a raw socket
        return marks
    if kind == IP_TTL:
        return (marks or PLAIN)._replace(ttl=_number(value, 1, PLAIN.ttl))
    if kind == IP_TOS:
        tos = value[0] if len(value) == 1 else _number(value, 0, 255)
        return (marks or PLAIN)._replace(tos=tos, priority=TOS_PRIORITIES[tos >> 3 & 3])
    raise socket_error(EINVAL)


def _said_v6(kind: int, value: bytes, marks: Marks | None) -> Marks | None:
    """ip6_datagram_send_ctl, but for IPV6_PKTINFO."""
    if kind in EXTENSIONS:
        return _extended(kind, value, marks)
    if kind in (IPV6_HOPLIMIT, IPV6_2292HOPLIMIT):
        return (marks or PLAIN)._replace(ttl=_number(value, -1, PLAIN.ttl))
    if kind == IPV6_TCLASS:
        return (marks or PLAIN)._replace(tos=_number(value, -1, 255))  # Linux takes -1 for 255
    raise socket_error(EINVAL)


def _signed(data: Any) -> int:
    number: int = struct.unpack("=i", data)[0]
    return number


def _extended(kind: int, value: bytes, marks: Marks | None) -> Marks | None:
    """What else may be said of a datagram over IPv6: that it is not to be cut; extension headers take CAP_NET_RAW."""
    if kind == IPV6_DONTFRAG:
        return (marks or PLAIN)._replace(whole=bool(_number(value, 0, 0, highest=1)))
    if len(value) < (4 if kind == IPV6_FLOWINFO else 8):
        raise socket_error(EINVAL)
    if kind != IPV6_FLOWINFO and (value[1] + 1) * 8 > len(value):
        raise socket_error(EINVAL)
    if kind != IPV6_FLOWINFO:
        raise socket_error(EPERM)
    if any(value[:4]):
        not_modelled(f"sendmsg with message {kind} of IPPROTO_IPV6")
    return marks


def _number(value: bytes, lowest: int, default: int, highest: int = 255) -> int:
    if len(value) != 4:
        raise socket_error(EINVAL)
    number: int = struct.unpack("=i", value)[0]
    if not lowest <= number <= highest:
        raise socket_error(EINVAL)
    return default if number == -1 else number


def mapped(ip: str) -> bool:
    """Is it an IPv4 address, written as one of IPv6?"""
    return ip_address(ip).packed.startswith(MAPPED_PREFIX)


def _source_v6(value: bytes, six: bool) -> tuple[int, str | None]:
    """The link and the address in a struct in6_pktinfo."""
    if len(value) < PKTINFO_SIZE:
        raise socket_error(EINVAL)
    packed, link = struct.unpack_from("=16si", value)
    if not six:
        if not packed.startswith(MAPPED_PREFIX):
            raise socket_error(EINVAL)
        packed = packed[12:]
    return link, str(ip_address(packed)) if any(packed) or not six else None
