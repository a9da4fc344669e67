"""Rarely used options: what getsockopt returns for each while it is not set, and what setsockopt refuses.

All are as measured on Linux 6.18, without filters, control groups and security modules. A value whose effect is not
modelled is NotModelled.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from errno import (
    EADDRNOTAVAIL,
    EINVAL,
    ENODATA,
    ENOENT,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)
from ipaddress import ip_address
from typing import Any, Final, cast

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.inet import shown
from simnet.kernel.messages import AF_INET6, AF_UNIX, SOCK_STREAM
from simnet.kernel.options import (
    INT_MAX,
    INT_MIN,
    IP_UNICAST_IF,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV6_UNICAST_IF,
    PORT_RANGE,
    SO_RCVBUF,
    SO_RCVBUFFORCE,
    SO_SNDBUF,
    SO_SNDBUFFORCE,
    SO_TIMESTAMPING,
    SO_TIMESTAMPING_NEW,
    SOL_SOCKET,
    STAYS_OFF,
    SWITCH,
    AnySocket,
    Key,
    Option,
)
from simnet.kernel.states import ESTABLISHED

SO_DETACH_FILTER: Final = 27
SO_PEERNAME: Final = 28
SO_WIFI_STATUS: Final = 41
SO_NOFCS: Final = 43
SO_LOCK_FILTER: Final = 44
SO_MAX_PACING_RATE: Final = 47
SO_BPF_EXTENSIONS: Final = 48
SO_CNX_ADVICE: Final = 53
SO_MEMINFO: Final = 55
SO_INCOMING_NAPI_ID: Final = 56
SO_COOKIE: Final = 57
SO_PEERGROUPS: Final = 59
SO_TXTIME: Final = 61
SO_TIMESTAMP_NEW: Final = 63
SO_TIMESTAMPNS_NEW: Final = 64
# Beside the options: is a time told by the second number of its option?
NEW_STAMPS: Final = (
    SOL_SOCKET,
    -SO_TIMESTAMP_NEW,
)
SO_DETACH_REUSEPORT_BPF: Final = 68
SO_BUSY_POLL_BUDGET: Final = 70
SO_NETNS_COOKIE: Final = 71
SO_BUF_LOCK: Final = 72
SO_RESERVE_MEM: Final = 73
SO_TXREHASH: Final = 74
SO_RCVMARK: Final = 75
SO_PEERPIDFD: Final = 77
SO_DEVMEM_DONTNEED: Final = 80
SO_RCVPRIORITY: Final = 82
SO_INQ: Final = 84  # of Unix streams
TELLS_REST: Final = (SOL_SOCKET, SO_INQ)

IP_ROUTER_ALERT: Final = 5
IP_PKTOPTIONS: Final = 9
IP_PASSSEC: Final = 18
IP_NODEFRAG: Final = 22
IP_CHECKSUM: Final = 23
IP_RECVFRAGSIZE: Final = 25
IP_RECVERR_RFC4884: Final = 26
IP_PROTOCOL: Final = 52
IP_VS_SO_GET: Final = 83
# Where somebody wanted to go before netfilter led him here, as struct sockaddr_in and sockaddr_in6.
ORIGINAL_DST: Final = {(IPPROTO_IP, 80): 16, (IPPROTO_IPV6, 80): 28}

TCP_MD5SIG: Final = 14
TCP_THIN_DUPACK: Final = 17
TCP_REPAIR: Final = 19
TCP_REPAIR_QUEUE: Final = 20
TCP_QUEUE_SEQ: Final = 21
TCP_REPAIR_OPTIONS: Final = 22
TCP_TIMESTAMP: Final = 24
TCP_CC_INFO: Final = 26
TCP_SAVED_SYN: Final = 28
TCP_REPAIR_WINDOW: Final = 29
REPAIR_WINDOW_SIZE: Final = 20
TCP_ULP: Final = 31
TCP_MD5SIG_EXT: Final = 32
TCP_FASTOPEN_KEY: Final = 33
TCP_ZEROCOPY_RECEIVE: Final = 35
ULP: Final = (IPPROTO_TCP, TCP_ULP)
FASTOPEN_KEY: Final = (IPPROTO_TCP, TCP_FASTOPEN_KEY)
FASTOPEN_KEY_SIZES: Final = (16, 32)  # one key, or one and its successor
TCP_IS_MPTCP: Final = 43
TCP_RTO_MIN_US: Final = 45
TCP_DELACK_MAX_US: Final = 46

UDP_ENCAP: Final = 100
UDP_NO_CHECK6_TX: Final = 101
UDP_NO_CHECK6_RX: Final = 102
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104

IPV6_ADDRFORM: Final = 1
IPV6_2292PKTINFO: Final = 2
IPV6_2292HOPOPTS: Final = 3
IPV6_2292DSTOPTS: Final = 4
IPV6_2292RTHDR: Final = 5
IPV6_2292PKTOPTIONS: Final = 6
IPV6_2292HOPLIMIT: Final = 8
IPV6_FLOWINFO: Final = 11
IPV6_ROUTER_ALERT: Final = 22
IPV6_ROUTER_ALERT_ISOLATE: Final = 30
IPV6_RECVERR_RFC4884: Final = 31
IPV6_FLOWLABEL_MGR: Final = 32
IPV6_FLOWINFO_SEND: Final = 33
IPV6_ADDR_PREFERENCES: Final = 72
IPV6_MINHOPCOUNT: Final = 73
IPV6_ORIGDSTADDR: Final = 74
IPV6_TRANSPARENT: Final = 75
IPV6_RECVFRAGSIZE: Final = 77
IPV6_FREEBIND: Final = 78
MULTICAST_BY_SOURCE: Final = range(37, 49)  # MCAST_JOIN_GROUP and the like: too short for an int, and only to be set
IPV6_MULTICAST_BY_SOURCE: Final = range(42, 49)

# IP_PKTOPTIONS and IPV6_2292PKTOPTIONS: what recvmsg would tell beside data, of the packet that came last; and what asks for it.
PACKET_OPTIONS: Final = {
    (IPPROTO_IP, IP_PKTOPTIONS): (8, 12, 13),  # IP_PKTINFO, IP_RECVTTL, IP_RECVTOS
    (IPPROTO_IPV6, IPV6_2292PKTOPTIONS): (49, 51, 66, *range(2, 6), 8, 11),
}
NETFILTER: Final = (*range(68, 80), 81, 82, *range(84, 96))
IPTABLES: Final = (*range(64, 68), *range(96, 100))
NOT_READ: Final = frozenset(
    (IPPROTO_IP, name) for name in (IP_PKTOPTIONS, IP_PROTOCOL, *MULTICAST_BY_SOURCE)
)  # refused before

NEVER: Final = Option(0, INT_MAX + 1, INT_MAX + 1, ENOPROTOOPT)  # no number is right, after its length was looked at


def refused(default: int, error: int) -> Option:
    """One that is told, and never set."""
    return Option(default, 1, 0, error)


RARE_EVERYWHERE: Final[dict[Key, Option]] = {
    (SOL_SOCKET, SO_DETACH_FILTER): refused(0, ENOENT),
    **{(SOL_SOCKET, name): Option(INT_MIN, INT_MIN, INT_MAX, fixed=True) for name in (SO_SNDBUFFORCE, SO_RCVBUFFORCE)},
    (SOL_SOCKET, SO_WIFI_STATUS): SWITCH,  # no link here is one
    (SOL_SOCKET, SO_NOFCS): SWITCH,
    (SOL_SOCKET, SO_LOCK_FILTER): SWITCH,
    (SOL_SOCKET, SO_TIMESTAMP_NEW): SWITCH,
    (SOL_SOCKET, SO_TIMESTAMPNS_NEW): SWITCH,
    (SOL_SOCKET, SO_RCVMARK): SWITCH,  # only datagrams of the internet tell
    (SOL_SOCKET, SO_RCVPRIORITY): SWITCH,
    (SOL_SOCKET, SO_TIMESTAMPING): Option(0, INT_MIN, INT_MAX),
    (SOL_SOCKET, SO_TIMESTAMPING_NEW): Option(0, INT_MIN, INT_MAX),
    (SOL_SOCKET, SO_CNX_ADVICE): Option(0, INT_MIN, INT_MAX, keeps=False),  # there is no other way to take
    (SOL_SOCKET, SO_BUSY_POLL_BUDGET): Option(0, 0, 65535),
    (SOL_SOCKET, SO_RESERVE_MEM): Option(0, INT_MAX, 0, EOPNOTSUPP, below=EINVAL),
    (SOL_SOCKET, SO_TXREHASH): refused(0, EOPNOTSUPP),
    **{
        (SOL_SOCKET, name): refused(0, ENOPROTOOPT)
        for name in (
            SO_PEERNAME, SO_MEMINFO, SO_INCOMING_NAPI_ID, SO_COOKIE, SO_PEERGROUPS, SO_NETNS_COOKIE, SO_PEERPIDFD,
        )
    },
    (SOL_SOCKET, SO_BPF_EXTENSIONS): refused(64, ENOPROTOOPT),
}  # fmt: skip

RARE_INTERNET: Final[dict[Key, Option]] = {
    **RARE_EVERYWHERE,
    (SOL_SOCKET, SO_INQ): refused(0, ENOPROTOOPT),
    (IPPROTO_IP, IP_ROUTER_ALERT): refused(0, EINVAL),  # it is a raw socket's
    (IPPROTO_IP, IP_PKTOPTIONS): refused(0, ENOPROTOOPT),
    (IPPROTO_IP, IP_PASSSEC): SWITCH,
    (IPPROTO_IP, IP_NODEFRAG): refused(0, ENOPROTOOPT),  # a raw socket's
    (IPPROTO_IP, IP_PROTOCOL): refused(0, ENOPROTOOPT),
    (IPPROTO_IP, IP_CHECKSUM): SWITCH,  # of what was not sent over loopback, by some cards
    (IPPROTO_IP, IP_RECVERR_RFC4884): Option(0),
    (IPPROTO_IP, IP_UNICAST_IF): Option(0, INT_MIN, INT_MAX, shortest=4, longest=4),
    PORT_RANGE: Option(0, INT_MIN, INT_MAX, shortest=4, longest=4),
    **{(IPPROTO_IP, name): refused(0, EINVAL) for name in MULTICAST_BY_SOURCE},
    (IPPROTO_IPV6, IPV6_ADDRFORM): NEVER._replace(refusal=EINVAL),
    (IPPROTO_IPV6, IPV6_FLOWINFO): SWITCH,
    (IPPROTO_IPV6, IPV6_FLOWINFO_SEND): SWITCH,
    (IPPROTO_IPV6, IPV6_ORIGDSTADDR): SWITCH,
    (IPPROTO_IPV6, IPV6_ROUTER_ALERT): NEVER,
    (IPPROTO_IPV6, IPV6_ROUTER_ALERT_ISOLATE): SWITCH,
    (IPPROTO_IPV6, IPV6_RECVERR_RFC4884): Option(0),
    (IPPROTO_IPV6, IPV6_MINHOPCOUNT): Option(0, 0, 255, fixed=True, idle=64),
    (IPPROTO_IPV6, IPV6_UNICAST_IF): Option(0, INT_MIN, INT_MAX, longest=4),
    (IPPROTO_IPV6, IPV6_RECVFRAGSIZE): Option(0, switch=True, shortest=0),  # only what is larger than loopback's link
    **{
        (IPPROTO_IPV6, name): SWITCH
        for name in (IPV6_2292PKTINFO, IPV6_2292HOPOPTS, IPV6_2292DSTOPTS, IPV6_2292RTHDR, IPV6_2292HOPLIMIT)
    },
    **{(IPPROTO_IPV6, name): STAYS_OFF for name in (IPV6_TRANSPARENT, IPV6_FREEBIND)},
    **{(IPPROTO_IPV6, name): refused(0, EINVAL) for name in (27, 28, *IPV6_MULTICAST_BY_SOURCE)},
    **{(IPPROTO_IPV6, name): refused(0, ENOPROTOOPT) for name in (68, 69)},
}  # fmt: skip

RARE_TCP: Final[dict[Key, Option]] = {
    **RARE_INTERNET,
    (SOL_SOCKET, SO_TXREHASH): Option(1, 0, 1, minus_one=True),
    (IPPROTO_IP, IP_RECVFRAGSIZE): refused(0, EINVAL),
    **{(IPPROTO_TCP, name): refused(0, EPERM) for name in (TCP_REPAIR_QUEUE, TCP_TIMESTAMP, TCP_REPAIR_WINDOW)},
    **{
        (IPPROTO_TCP, name): refused(0, EINVAL)
        for name in (TCP_MD5SIG, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS, TCP_MD5SIG_EXT)
    },
    **{
        (IPPROTO_TCP, name): refused(0, ENOPROTOOPT)
        for name in (TCP_CC_INFO, TCP_SAVED_SYN, TCP_ZEROCOPY_RECEIVE, TCP_IS_MPTCP)
    },
    (IPPROTO_TCP, TCP_THIN_DUPACK): Option(0, keeps=False),
    (IPPROTO_TCP, TCP_REPAIR): Option(0, 0, 1, minus_one=True, fixed=True),
    (IPPROTO_TCP, TCP_RTO_MIN_US): Option(200_000, 4001, 200_000, fixed=True),  # from two ticks on
    (IPPROTO_TCP, TCP_DELACK_MAX_US): Option(200_000, 4001, 200_000, fixed=True),
}

RARE_UDP: Final[dict[Key, Option]] = {
    **RARE_INTERNET,
    (IPPROTO_IP, IP_RECVFRAGSIZE): SWITCH,  # nothing is fragmented where IPv4 would tell
    (IPPROTO_UDP, UDP_ENCAP): Option(0, 0, 3, ENOPROTOOPT, hole=1),  # 2 and 3: for what is wrapped in its datagrams
    (IPPROTO_UDP, UDP_NO_CHECK6_TX): SWITCH,
    (IPPROTO_UDP, UDP_NO_CHECK6_RX): SWITCH,
    (IPPROTO_UDP, UDP_SEGMENT): Option(0, 0, 65535),
    (IPPROTO_UDP, UDP_GRO): SWITCH,
}

_NOT_TOLD: Final[dict[Key, int]] = {
    **{
        (SOL_SOCKET, name): ENOPROTOOPT
        for name in (SO_DETACH_FILTER, SO_SNDBUFFORCE, SO_RCVBUFFORCE, 50, 51, 52, SO_CNX_ADVICE, SO_DETACH_REUSEPORT_BPF, SO_BUSY_POLL_BUDGET, SO_DEVMEM_DONTNEED, SO_INQ)
    },
    **{(IPPROTO_IP, name): ENOPROTOOPT for name in (16, 17, *MULTICAST_BY_SOURCE, *NETFILTER)},
    **{(IPPROTO_IP, name): EINVAL for name in (41, 48)},  # IP_MSFILTER and MCAST_MSFILTER, of less than a filter
    **{
        (IPPROTO_TCP, name): ENOPROTOOPT
        for name in (TCP_MD5SIG, TCP_REPAIR_OPTIONS, TCP_MD5SIG_EXT)
    },
    **{
        (IPPROTO_TCP, name): EINVAL
        for name in (TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_ZEROCOPY_RECEIVE)
    },
    **{(IPPROTO_IPV6, name): ENOPROTOOPT for name in (27, 28, 34, 35, *range(42, 48))},
}  # fmt: skip

# The tables of netfilter, and TCP_AO_REPAIR.
_TOLD_WHO_IS_PRIVILEGED: Final = frozenset(
    {
        *((IPPROTO_IP, name) for name in (*IPTABLES, IP_VS_SO_GET)),
        *((IPPROTO_IPV6, name) for name in (64, 65, 68, 69)),
        (IPPROTO_TCP, 42),
    }
)
_IN_BYTES: Final[dict[Key, bytes]] = {
    (SOL_SOCKET, 26): b"",  # SO_GET_FILTER: there is none
    (IPPROTO_TCP, TCP_CC_INFO): bytes(20),
    (IPPROTO_TCP, TCP_ULP): b"",
}

_ASKED_FOR: Final = {(IPPROTO_IPV6, IPV6_FLOWLABEL_MGR): (32, ENOENT), (IPPROTO_IPV6, 48): (144, EADDRNOTAVAIL)}
_CLOCK: Final = (IPPROTO_TCP, TCP_TIMESTAMP)
BUFFER_LOCKS: Final = (SOL_SOCKET, SO_BUF_LOCK)
_NETNS: Final = struct.pack("=Q", 1)  # SO_NETNS_COOKIE: of the first namespace of a machine


def told(socket: AnySocket, key: Key, buflen: int) -> bytes | None:
    """The bytes that getsockopt fills a buffer of *buflen* with; ``None`` for an option that is not of this kind."""
    refusal = _NOT_TOLD.get(key, 0)
    if refusal:
        raise socket_error(refusal)
    level, name = key
    if key in _TOLD_WHO_IS_PRIVILEGED:
        raise socket_error(EPERM)
    if (
        key == _CLOCK
    ):  # in milliseconds, which begin with the host; a kernel adds what nobody can foresee to each connection's
        return struct.pack("=I", socket.stack.clock.now_ns // 1_000_000 & 0xFFFFFFFF)
    if key == (IPPROTO_IP, IP_PROTOCOL):  # what a raw socket has instead of its port
        return struct.pack("=i", socket.port)[: 1 if 0 < buflen < 4 and socket.port < 256 else 4]
    if key == (IPPROTO_TCP, TCP_REPAIR_WINDOW):
        raise socket_error(EPERM if buflen == REPAIR_WINDOW_SIZE else EINVAL)  # nobody repairs here
    if key in ORIGINAL_DST:
        if socket.type != SOCK_STREAM:
            raise socket_error(ENOPROTOOPT)
        raise socket_error(EINVAL if buflen < ORIGINAL_DST[key] else ENOENT)  # he wanted to go here
    if key == (IPPROTO_IPV6, IPV6_ADDRFORM):
        if socket.state != ESTABLISHED:
            raise socket_error(ENOTCONN)
        return struct.pack("=i", socket.family)
    if key in _ASKED_FOR:  # in the caller's buffer, where nothing stands
        size, refusal = _ASKED_FOR[key]
        raise socket_error(EINVAL if buflen < size else refusal)
    if key in PACKET_OPTIONS:
        if socket.type == SOCK_STREAM:
            if any((socket.options or {}).get((level, each)) for each in PACKET_OPTIONS[key]):
                not_modelled(f"getsockopt(level {level}, option {name}) of who asks for something of a packet")
            return b""
        raise socket_error(ENOPROTOOPT)
    if key == FASTOPEN_KEY:
        kept_key: bytes = (socket.options or {}).get(key, b"")
        return kept_key
    if level != SOL_SOCKET or name < SO_PEERNAME:
        return _IN_BYTES.get(key)
    if name == SO_PEERNAME:
        return _peer_name(socket, buflen or 4)
    if name in (SO_COOKIE, SO_NETNS_COOKIE) and (buflen < 8 or (buflen > 8 and name == SO_NETNS_COOKIE)):
        raise socket_error(EINVAL)
    if name == SO_COOKIE:
        return struct.pack("=Q", socket.stack.cookie_of(socket))
    if name == SO_NETNS_COOKIE:
        return _NETNS
    if name in (SO_PEERGROUPS, SO_PEERPIDFD) and (socket.family != AF_UNIX or not cast("Any", socket).credentials[0]):
        raise socket_error(ENODATA)  # there is no peer with credentials
    if name == SO_TXREHASH and (socket.type != SOCK_STREAM or socket.family == AF_UNIX):
        raise socket_error(EOPNOTSUPP)
    if name == SO_PEERGROUPS:
        groups = socket.stack.groups
        if (buflen or 4) < 4 * len(groups):
            raise socket_error(ERANGE)
        return struct.pack(f"={len(groups)}I", *groups)
    if name == SO_PEERPIDFD:
        not_modelled(f"getsockopt(level {level}, option {name})")
    kept = socket.options or {}
    if name in (SO_TIMESTAMPING, SO_TIMESTAMPING_NEW):
        flags = kept.get((SOL_SOCKET, SO_TIMESTAMPING), 0)
        return struct.pack("=i4x", flags if name == SO_TIMESTAMPING or kept.get(NEW_STAMPS) else 0)
    if name == SO_BUF_LOCK:
        return struct.pack("=i", locks_of(kept))
    return _IN_BYTES.get(key)


def locks_of(kept: Mapping[Key, Any]) -> int:
    """SO_BUF_LOCK: which of the two buffers keep their size, 1 and 2; those that were set, or what was said since."""
    locks: int = kept.get(BUFFER_LOCKS, ((SOL_SOCKET, SO_SNDBUF) in kept) + 2 * ((SOL_SOCKET, SO_RCVBUF) in kept))
    return locks


def _peer_name(socket: Any, length: int) -> bytes:
    """The first *length* bytes of the peer's name as a struct sockaddr; EINVAL if it is shorter."""
    name: Any
    if socket.type == SOCK_STREAM and socket.family != AF_UNIX and socket.peer is not None:
        name = shown(socket.family, socket.peer)  # also of one that is not connected yet, or no more
    else:
        name = socket.getpeername()
    family = struct.pack("=H", socket.family)
    if socket.family == AF_UNIX:
        packed = family + (name if isinstance(name, bytes) else name.encode() + b"\0" if name else b"")
    elif socket.family == AF_INET6:
        packed = family + struct.pack("!HI16sI", name[1], 0, ip_address(name[0]).packed, 0)
    else:
        packed = family + struct.pack("!H4s8x", name[1], ip_address(name[0]).packed)
    if length > len(packed):
        raise socket_error(EINVAL)
    return packed[:length]
