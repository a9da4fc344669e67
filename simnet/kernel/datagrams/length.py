"""How long a datagram may be, and what a UDP socket is told of one that is too long."""

from __future__ import annotations

import struct
from errno import EMSGSIZE, ENOBUFS
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel import inet
from simnet.kernel.datagrams.ancillary import UNFRAGMENTED_V6, marks_of, sockaddr
from simnet.kernel.datagrams.errors import keep_icmp, keep_too_long, keeps_errors
from simnet.kernel.datagrams.memory import memory_of
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET6, Message
from simnet.kernel.options.idle import (
    IP_MTU_DISCOVER,
    IPV6_DONTFRAG,
    IPV6_MTU_DISCOVER,
    IPV6_RECVPATHMTU,
)
from simnet.kernel.options.ip_header import OPTIONS_MAX
from simnet.kernel.options.packed import PATH_MTU, mtu_to
from simnet.kernel.options.values import IPPROTO_IP, IPPROTO_IPV6, SNDBUF_DEFAULT, SO_SNDBUF, SOL_SOCKET
from simnet.kernel.segment import PLAIN, Datagram, Endpoint, Icmp, Marks
from simnet.kernel.states import SHUT_SEND

if TYPE_CHECKING:
    from simnet.kernel.datagrams.sending import DatagramSender

PAYLOAD_MAX: Final = 65507  # 65535 less the headers of IPv4 and UDP (K-088)
PAYLOAD_MAX_V6: Final = 65527  # the length field of IPv6 does not count its own header
ALWAYS_FITS: Final = PAYLOAD_MAX - OPTIONS_MAX
SEND_BUFFER: Final = (SOL_SOCKET, SO_SNDBUF)
MTU_DISCOVERY: Final = (IPPROTO_IP, IP_MTU_DISCOVER)
WHOLE_V6: Final = (IPPROTO_IPV6, IPV6_DONTFRAG)
MTU_DISCOVERY_V6: Final = (IPPROTO_IPV6, IPV6_MTU_DISCOVER)
DO, PROBE, INTERFACE, OMIT = 2, 3, 4, 5  # IP_PMTUDISC_*, and those of IPv6
KEEPS_WHOLE: Final = (DO, PROBE, INTERFACE)
BY_THE_LINK: Final = (PROBE, INTERFACE, OMIT)
ASKS_FOR_MTU: Final = (IPPROTO_IPV6, IPV6_RECVPATHMTU)
TOLD_MTU: Final = (IPPROTO_IPV6, -IPV6_RECVPATHMTU)  # beside the options: the address to which a datagram was too long


def length_rule(socket: DatagramSender, six: bool) -> bool:
    """What options say as a datagram is begun, and what holds for all its parts.

    Over IPv4: does the link say how long it may be, whatever its way takes? Over IPv6: is it not to be cut up?
    """
    options = socket.options
    if options is None:
        return False
    return bool(options.get(WHOLE_V6)) if six else options.get(MTU_DISCOVERY) in BY_THE_LINK


def check_length(socket: DatagramSender, size: int, target: Endpoint, marks: Marks | None, rule: bool) -> None:
    """EMSGSIZE for a datagram, or what is collected of one, of *size* bytes that is too long.

    *rule* is what ``length_rule`` said when its first part came.
    """
    if size <= ALWAYS_FITS:
        return
    six = ":" in target[0]
    if marks is None:
        marks = marks_of(socket.options, six) or PLAIN
    limit = PAYLOAD_MAX - len(marks.options)
    options = socket.options or {}
    unbroken = six and (rule or marks.whole)
    if six:
        whole = unbroken or options.get(MTU_DISCOVERY_V6) in KEEPS_WHOLE
        limit = UNFRAGMENTED_V6 if whole and not marks.segment else PAYLOAD_MAX_V6
    elif rule and options.get(MTU_DISCOVERY) in KEEPS_WHOLE and inet.is_loopback(target[0]) and not marks.options:
        limit += 1  # a packet of 65,536 bytes, which the link would take
    if size > limit:
        if unbroken and not marks.segment and options.get(ASKS_FOR_MTU):
            options[TOLD_MTU] = target[0]
        if keeps_errors(socket, target):
            keep_too_long(socket, target, marks, rule)
        raise socket_error(EMSGSIZE)
    if (
        limit == PAYLOAD_MAX_V6
        and size > UNFRAGMENTED_V6
        and not marks.segment  # which is not cut up
        and 2 * options.get(SEND_BUFFER, SNDBUF_DEFAULT) < memory_of(UNFRAGMENTED_V6, True)
        and not (socket.error or socket.shut & SHUT_SEND)  # the first looks at the socket's state
    ):
        raise socket_error(ENOBUFS)  # the first fragment may be of any size, and the second finds no room


def is_lost(socket: DatagramSender, target: Endpoint, payload: bytes) -> bool:
    """Does *payload* go and arrive nowhere? Over IPv4 that is a packet of 65,536 bytes.

    IP_PMTUDISC_INTERFACE sends it, and nobody understands it, for its header tells a length of 0.

    Raises:
        OSError: EMSGSIZE, to one that is not to be cut up: the way answers that it is too long, and so does the send.
    """
    if len(payload) <= PAYLOAD_MAX or ":" in target[0]:
        return False
    if (socket.options or {}).get(MTU_DISCOVERY) in (DO, PROBE) and socket.local is not None:
        about = Datagram((socket.stack.source_for(target[0]), socket.local[1]), target, payload, socket.stack)
        if socket.peer == target:
            socket.error = EMSGSIZE
        if keeps_errors(socket, target):
            socket.error = EMSGSIZE
            keep_icmp(socket, Icmp(EMSGSIZE, about, socket.stack))
        raise socket_error(EMSGSIZE)
    return True


def tells_mtu(options: dict[Any, Any]) -> bool:
    """Has it still to be told that a datagram was too long, to who wants to know?"""
    return TOLD_MTU in options and bool(options.get(ASKS_FOR_MTU))


def told_mtu(socket: DatagramSender, options: dict[Any, Any]) -> tuple[Datagram, list[Message]]:
    """What IPV6_RECVPATHMTU tells instead of a datagram, once: how long one may be to there."""
    ip = options.pop(TOLD_MTU)
    text = sockaddr(AF_INET6, ip, 0) + struct.pack("=I", mtu_to(ip))
    return Datagram((ip, 0), (ip, 0), b"", socket.stack), [(*PATH_MTU, text)]
