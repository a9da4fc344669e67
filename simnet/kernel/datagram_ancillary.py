"""What comes with a datagram: where it came in, with which TOS and TTL; and what a sender may set for one.

`told` makes the messages that ``recvmsg`` returns for the options that ask for them, `said` reads those that ``sendmsg`` is
given.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from errno import EINVAL, ENETUNREACH, ENODEV, EPERM
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.flow_labels import NO_LABEL, label_sent
from simnet.kernel.groups import LOOPBACK_LINK, OTHER_LINK, source_on
from simnet.kernel.idle_options import (
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
from simnet.kernel.inet import ANY4, is_group, of_a_link
from simnet.kernel.ip_options import OPTIONS_MAX, compiled
from simnet.kernel.messages import AF_INET, AF_INET6, Message, check_for_any_socket
from simnet.kernel.options import (
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
from simnet.kernel.packed_options import (
    IP_HEADER,
    IPV6_DSTOPTS,
    IPV6_HOPOPTS,
    IPV6_PKTINFO,
    IPV6_RTHDRDSTOPTS,
    LINKS,
    PKTINFO_SIZE,
    link_of,
)
from simnet.kernel.rare_options import (
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
from simnet.kernel.segment import PLAIN, Datagram, Endpoint, Marks
from simnet.kernel.timestamps import stamped, time_on, wants_stamps

if TYPE_CHECKING:
    from simnet.kernel.datagram_sending import DatagramSender

IPV6_HOPLIMIT: Final = 52
PORT_UNKNOWN: Final = -1  # of an ICMP error about a datagram too short to have one
IN_PKTINFO_SIZE: Final = 12  # struct in_pktinfo
EXTENSIONS: Final = (
    IPV6_DONTFRAG, IPV6_FLOWINFO, IPV6_HOPOPTS, IPV6_DSTOPTS, IPV6_RTHDRDSTOPTS, IPV6_2292HOPOPTS, IPV6_2292DSTOPTS,
)  # fmt: skip
SEGMENT: Final = (IPPROTO_UDP, UDP_SEGMENT)
SEGMENTS_MAX: Final = 128  # UDP_MAX_SEGMENTS
UNCHECKED: Final = (SOL_SOCKET, SO_NO_CHECK)
UNCHECKED_V6: Final = (IPPROTO_UDP, UDP_NO_CHECK6_TX)
TAKES_UNCHECKED: Final = (IPPROTO_UDP, UDP_NO_CHECK6_RX)
GSO_MAX_SIZE: Final = 65536
JOINED: Final = (IPPROTO_UDP, UDP_GRO)
DROPS: Final = (SOL_SOCKET, SO_RXQ_OVFL)
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


def told(socket: DatagramSender, datagram: Datagram, icmp: bool = False) -> list[Message]:
    """What the options of *socket* ask to be told of *datagram*, or of an ICMP error, in the kernel's order."""
    options = socket.options
    if not options:
        return []
    target, port = datagram.target
    six = ":" in target
    marks = datagram.marks or PLAIN
    address = ip_address(target)
    noted = isinstance(datagram, Noted) and datagram.way_in
    link = 0
    if noted or icmp or six:
        link = LOOPBACK_LINK if datagram.sender is socket.stack else OTHER_LINK
    if link and is_group(target):
        link = LOOPBACK_LINK if datagram.source[0][:4] == "127." else OTHER_LINK
    messages = stamped(options, datagram.stamp_ns if isinstance(datagram, Noted) else 0, socket.stack)
    if isinstance(datagram, Noted) and datagram.dropped and options.get(DROPS):
        messages.append((*DROPS, struct.pack("=I", datagram.dropped)))
    own = datagram.sender is socket.stack
    for name, value in ((SO_MARK, marks.mark), (SO_PRIORITY, marks.priority)):
        if options.get((SOL_SOCKET, _TOLD_BY[name])):
            messages.append((SOL_SOCKET, name, struct.pack("=I", value & 0xFFFFFFFF if own else 0)))
    if marks.segment and options.get(JOINED) and len(datagram.payload) > marks.segment:
        messages.append((*JOINED, struct.pack("=i", marks.segment)))
    if options.get((IPPROTO_IPV6, IPV6_RECVPKTINFO)):
        here = address.packed if six else ip_address(f"::ffff:{target}").packed
        messages.append((IPPROTO_IPV6, IPV6_PKTINFO, here + struct.pack("=i", link)))
    if six:
        if options.get((IPPROTO_IPV6, IPV6_RECVHOPLIMIT)):
            messages.append((IPPROTO_IPV6, IPV6_HOPLIMIT, struct.pack("=i", marks.ttl)))
        if options.get((IPPROTO_IPV6, IPV6_RECVTCLASS)):
            messages.append((IPPROTO_IPV6, IPV6_TCLASS, struct.pack("=i", marks.tos)))
        if options.get((IPPROTO_IPV6, IPV6_FLOWINFO)) and not icmp:
            # Linux labels each flow by a hash with a secret of its own; ours is of the ports, and never 0 either.
            label = marks.flow or 1 + (datagram.source[1] << 4 ^ port) % 0xFFFFF
            info = marks.tos << 20 | (label if label != NO_LABEL else 0)
            if info:
                messages.append((IPPROTO_IPV6, IPV6_FLOWINFO, struct.pack("!I", info)))
        if options.get((IPPROTO_IPV6, IPV6_2292PKTINFO)):
            messages.append((IPPROTO_IPV6, IPV6_2292PKTINFO, address.packed + struct.pack("=i", link)))
        if options.get((IPPROTO_IPV6, IPV6_2292HOPLIMIT)):
            messages.append((IPPROTO_IPV6, IPV6_2292HOPLIMIT, struct.pack("=i", marks.ttl)))
        if options.get((IPPROTO_IPV6, IPV6_ORIGDSTADDR)) and port != PORT_UNKNOWN:
            messages.append((IPPROTO_IPV6, IPV6_ORIGDSTADDR, sockaddr(AF_INET6, target, port)))
        return messages
    if options.get((IPPROTO_IP, IP_PKTINFO)):
        here = bytes(4)
        if noted:
            here = ip_address(source_on(socket, target, link)).packed if is_group(target) else address.packed
        messages.append((IPPROTO_IP, IP_PKTINFO, struct.pack("=i", link) + here + address.packed))
    if options.get((IPPROTO_IP, IP_RECVTTL)):
        messages.append((IPPROTO_IP, IP_TTL, struct.pack("=i", marks.ttl)))
    if options.get((IPPROTO_IP, IP_RECVTOS)):
        messages.append((IPPROTO_IP, IP_TOS, bytes((marks.tos,))))
    if marks.options:
        if options.get((IPPROTO_IP, IP_RECVOPTS)):
            messages.append((IPPROTO_IP, IP_RECVOPTS, marks.options))
        if options.get((IPPROTO_IP, IP_RETOPTS)):
            messages.append((IPPROTO_IP, IP_RETOPTS, b""))  # what to answer with: none of these is echoed
    if options.get((IPPROTO_IP, IP_RECVORIGDSTADDR)) and port != PORT_UNKNOWN:
        messages.append((IPPROTO_IP, IP_RECVORIGDSTADDR, sockaddr(AF_INET, target, port)))
    return messages


def sockaddr(family: int, ip: str, port: int) -> bytes:
    """``struct sockaddr_in`` or ``sockaddr_in6``."""
    if family == AF_INET6:
        return struct.pack("=H2s4x16s4x", family, (port & 0xFFFF).to_bytes(2, "big"), ip_address(ip).packed)
    return struct.pack("=H2s4s8x", family, (port & 0xFFFF).to_bytes(2, "big"), ip_address(ip).packed)


def in_segments(socket: DatagramSender, target: Endpoint, payload: bytes, marks: Marks) -> Marks:
    """The *marks* of what goes out in segments; EINVAL for too many, and where no checksum is wanted, which each needs."""
    unchecked = (socket.options or {}).get(UNCHECKED_V6 if ":" in target[0] else UNCHECKED)
    if unchecked or len(payload) > marks.segment * SEGMENTS_MAX:
        raise socket_error(EINVAL)
    return marks._replace(pages=len(payload))


def said(
    socket: DatagramSender, ancillary: Sequence[tuple[int, int, Any]], six: bool, marks: Marks | None
) -> tuple[Marks | None, str | None]:
    """The marks of a datagram over IPv4, or *six*, and the address it is to come from, if *ancillary* says so.

    Raises:
        OSError: EINVAL for what is no such message; EINVAL or ENETUNREACH for an address of another host; ENODEV for no
            link of ours.
    """
    source: str | None = None
    link = 0
    for level, kind, data in ancillary:  # udp_cmsg_send comes first
        if level == IPPROTO_UDP:
            value = bytes(memoryview(data))
            if kind != UDP_SEGMENT or len(value) != 2:
                raise socket_error(EINVAL)
            marks = (marks or PLAIN)._replace(segment=int.from_bytes(value, sys.byteorder))
    for level, kind, data in ancillary:
        if level == SOL_SOCKET:
            check_for_any_socket(kind, data, socket.stack.privileged)
            if kind in (SO_PRIORITY, SO_MARK):
                number = struct.unpack("=i", data)[0]
                marks = marks or PLAIN
                marks = marks._replace(priority=number) if kind == SO_PRIORITY else marks._replace(mark=number)
            continue
        if level not in (IPPROTO_IP, IPPROTO_IPV6):
            continue  # another protocol's
        value = bytes(memoryview(data))
        if level == IPPROTO_IPV6 and kind in (IPV6_PKTINFO, six and IPV6_2292PKTINFO) and socket.family == AF_INET6:
            before = link or link_of(socket)
            link, source = _source_v6(value, six)
            if six and link and before not in (0, link):
                raise socket_error(EINVAL)
            if six and not 0 <= link <= len(LINKS):
                raise socket_error(ENODEV)
            if six and not link and source is not None and of_a_link(source):
                raise socket_error(EINVAL)
            if six and source is not None and not (socket.stack.is_local(source) or binds_anywhere(socket.options)):
                raise socket_error(EINVAL)
        elif level != (IPPROTO_IPV6 if six else IPPROTO_IP):
            continue
        elif kind == IP_PKTINFO and not six:
            if len(value) != IN_PKTINFO_SIZE:
                raise socket_error(EINVAL)
            number, packed = struct.unpack_from("=i4s", value)
            link = number or link
            source = str(ip_address(packed))  # the wildcard: chosen by the way, wherever the socket is
        elif kind == IP_RETOPTS and not six:
            marks = (marks or PLAIN)._replace(options=compiled(value[:OPTIONS_MAX], socket.stack.privileged))
        elif kind == IP_PROTOCOL and not six:
            _number(value, 1, 0)  # which is for a raw socket
        elif six and kind in EXTENSIONS:
            marks = _extended(kind, value, marks)
        elif kind == (IPV6_HOPLIMIT if six else IP_TTL) or (six and kind == IPV6_2292HOPLIMIT):
            marks = (marks or PLAIN)._replace(ttl=_number(value, -1 if six else 1, PLAIN.ttl))
        elif kind == (IPV6_TCLASS if six else IP_TOS):
            tos = value[0] if len(value) == 1 and not six else _number(value, -1 if six else 0, 255)
            marks = (marks or PLAIN)._replace(tos=tos)  # Linux takes -1 for 255
            if not six:
                marks = marks._replace(priority=TOS_PRIORITIES[tos >> 3 & 3])
        else:
            raise socket_error(EINVAL)
    if source not in (None, ANY4) and not six and not socket.stack.is_local(source):
        raise socket_error(ENETUNREACH)
    if not 0 <= link <= len(LINKS):
        raise socket_error(ENODEV)
    return marks, source


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
