"""The error queue of a UDP socket: what IP_RECVERR and IPV6_RECVERR keep, and ``recvmsg(MSG_ERRQUEUE)`` returns."""

from __future__ import annotations

import struct
from collections import deque
from errno import EAGAIN, ECONNREFUSED, EMSGSIZE, ENETUNREACH, EOPNOTSUPP
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from simnet.kernel import inet
from simnet.kernel.buffer import Data
from simnet.kernel.datagrams.ancillary import PORT_UNKNOWN, Noted, sockaddr, told
from simnet.kernel.datagrams.memory import SMALL_MEMORY, memory_of
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET, AF_INET6, MSG_ERRQUEUE, MSG_OOB, MSG_TRUNC, Message, fitted
from simnet.kernel.options.idle import ERROR_QUEUES
from simnet.kernel.options.packed import mtu_to
from simnet.kernel.options.timestamps import time_on, wants_stamps
from simnet.kernel.readiness import ERROR_NEWS
from simnet.kernel.segment import PLAIN, Datagram, Endpoint, Icmp, Marks

if TYPE_CHECKING:
    from simnet.kernel.datagrams.sending import DatagramSender

LOCAL, ICMP, ICMP6 = 1, 2, 3  # SO_EE_ORIGIN_*
UNREACHABLE, UNREACHABLE6 = 3, 1  # types of ICMP and ICMPv6
# Of port, network and a packet too long, in both; else the host's.
CODES: Final = {ECONNREFUSED: (3, 4), ENETUNREACH: (0, 0), EMSGSIZE: (4, 0)}
HOST_CODES: Final = (1, 3)
INTERNET_CONTROL: Final = 0xC0  # the precedence of what ICMP sends
LONGEST, LONGEST_V6 = 0xFFFF, 0xFFFF + 40  # packets, as their headers can tell, whatever the way takes
QUOTED, QUOTED_V6 = 520, 1184  # bytes of a datagram that an ICMP error has room for
QUOTING, QUOTING_V6 = 28, 48  # bytes of its own header and of the headers quoted, beside those of any datagram


class Report(NamedTuple):
    """One error that waits to be told."""

    payload: bytes  # the beginning of the datagram
    target: Endpoint  # where it was sent
    error: int
    origin: int
    type: int = 0
    code: int = 0
    info: int = 0
    icmp: Datagram | None = None  # who said so to whom, as a datagram
    memory: int = SMALL_MEMORY


def check_v4(data: Data, flags: int) -> None:
    """What udp_sendmsg looks at before anything else; the IPv6 one knows neither."""
    if len(data) > 0xFFFF:
        raise socket_error(EMSGSIZE)
    if flags & MSG_OOB:
        raise socket_error(EOPNOTSUPP)


def keeps_errors(socket: DatagramSender, target: Endpoint) -> bool:
    """Is *socket* to be told by its queue of what becomes of datagrams to *target*?"""
    return socket.options is not None and bool(socket.options.get(ERROR_QUEUES[":" in target[0]]))


def keep_icmp(socket: DatagramSender, icmp: Icmp) -> None:
    """Queue what a host has said about a datagram."""
    target = icmp.about.target
    six = ":" in target[0]
    code = CODES.get(icmp.error, HOST_CODES)[six]
    kind, origin, room = (UNREACHABLE6, ICMP6, QUOTED_V6) if six else (UNREACHABLE, ICMP, QUOTED)
    about = icmp.about
    assert isinstance(about, Datagram)
    tos = 0 if six else INTERNET_CONTROL | (about.marks or PLAIN).tos
    # Linux reads the port of its own packet from the datagram quoted in it.
    port = int.from_bytes(about.payload[2:4], "big") if len(about.payload) >= 4 else PORT_UNKNOWN
    room -= len((about.marks or PLAIN).options)
    word = Datagram(icmp.source, (about.source[0], port), b"", icmp.sender, Marks(tos))
    if wants_stamps(socket.options):
        word = Noted(word, way_in=False, stamp_ns=time_on(socket.stack), dropped=0)
    info = mtu_to(target[0]) if icmp.error == EMSGSIZE else 0
    quoted = about.payload[:room]
    memory = memory_of(len(quoted) + (QUOTING_V6 if six else QUOTING), six)
    _keep(socket, Report(quoted, target, icmp.error, origin, kind, code, info, word, memory))


def keep_too_long(socket: DatagramSender, target: Endpoint, marks: Marks, by_link: bool) -> None:
    """Queue that a datagram with *marks* was too long to be sent, and how long one may be beside its IP options.

    *by_link* is, over IPv4, whether its way does not count.
    """
    longest = LONGEST_V6 if ":" in target[0] else LONGEST
    if ":" not in target[0]:
        target = (target[0], 0 if socket.peer is None else socket.peer[1])  # IPv4 tells the port of who is connected
    if not marks.segment:
        longest = mtu_to(target[0], by_link)
    _keep(socket, Report(b"", target, EMSGSIZE, LOCAL, info=longest - len(marks.options)))


def _keep(socket: Any, report: Report) -> None:
    """Queue *report*, if what was received and what was reported leaves it room: sock_queue_err_skb."""
    if socket.reports is None:
        socket.reports = deque()
    if socket.held + sum(each.memory for each in socket.reports) + report.memory >= socket.room:
        return
    socket.reports.append(report)
    socket.wake(ERROR_NEWS)


def tell(socket: DatagramSender, n: int, ancbufsize: int = 0) -> tuple[bytes, list[Message], int, Endpoint]:
    """The first report, as recvmsg gives it; the next one, if it is a host's, becomes the socket's error."""
    reports = socket.reports
    if not reports:
        raise socket_error(EAGAIN)
    report = reports.popleft()
    if reports and reports[0].origin != LOCAL:
        socket.error = reports[0].error
    elif report.origin != LOCAL:
        socket.error = 0
    if reports:
        socket.wake(ERROR_NEWS)
    level, name = ERROR_QUEUES[socket.family == AF_INET6]
    text = struct.pack("=IBBBxII", report.error, report.origin, report.type, report.code, report.info, 0)
    offender = _offender(socket.family, "" if report.icmp is None else report.icmp.source[0])
    beside = [] if report.icmp is None else told(socket, report.icmp, icmp=True)
    messages, flags, _ = fitted([*beside, (level, name, text + offender)], ancbufsize)
    if len(report.payload) > n:
        flags |= MSG_TRUNC
    return report.payload[:n], messages, flags | MSG_ERRQUEUE, report.target


def _offender(family: int, ip: str) -> bytes:
    if not ip:
        return bytes(28 if family == AF_INET6 else 16)
    if family == AF_INET6 and ":" not in ip:
        ip = inet.MAPPED + ip
    return sockaddr(AF_INET6 if family == AF_INET6 else AF_INET, ip, 0)
