"""Rarely used options: their numbers, what getsockopt returns for each while it is not set, and what setsockopt refuses.

All are as measured on Linux 6.18, without filters, control groups and security modules. A value whose effect is not
modelled is NotModelled.
"""

from __future__ import annotations

from errno import (
    EINVAL,
    ENOENT,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPERM,
)
from typing import Final

from simnet.kernel.options.values import (
    INT_MAX,
    INT_MIN,
    IP_UNICAST_IF,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    IPV6_UNICAST_IF,
    PORT_RANGE,
    SO_RCVBUFFORCE,
    SO_SNDBUFFORCE,
    SO_TIMESTAMPING,
    SO_TIMESTAMPING_NEW,
    SOL_SOCKET,
    STAYS_OFF,
    SWITCH,
    Key,
    Option,
)

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
BUFFER_LOCKS: Final = (SOL_SOCKET, SO_BUF_LOCK)

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
# Refused before.
NOT_READ: Final = frozenset((IPPROTO_IP, name) for name in (IP_PKTOPTIONS, IP_PROTOCOL, *MULTICAST_BY_SOURCE))

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
    (IPPROTO_IP, IP_CHECKSUM): SWITCH,  # of what a host has summed itself
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
    (IPPROTO_IPV6, IPV6_MINHOPCOUNT): Option(0, 0, 255, fixed=True, idle=64, later=True),
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
    (IPPROTO_TCP, TCP_RTO_MIN_US): Option(
        200_000, 4001, 200_000, fixed=True, later=True, step=4000
    ),  # from two ticks on
    (IPPROTO_TCP, TCP_DELACK_MAX_US): Option(200_000, 4001, 200_000, fixed=True, later=True, step=4000),
}

RARE_UDP: Final[dict[Key, Option]] = {
    **RARE_INTERNET,
    (IPPROTO_IP, IP_RECVFRAGSIZE): SWITCH,  # nothing is fragmented where IPv4 would tell
    (IPPROTO_UDP, UDP_ENCAP): Option(0, 0, 3, ENOPROTOOPT, hole=1),  # 2 and 3: see `datagrams.wrapped`
    (IPPROTO_UDP, UDP_NO_CHECK6_TX): SWITCH,
    (IPPROTO_UDP, UDP_NO_CHECK6_RX): SWITCH,
    (IPPROTO_UDP, UDP_SEGMENT): Option(0, 0, 65535),
    (IPPROTO_UDP, UDP_GRO): SWITCH,
}
