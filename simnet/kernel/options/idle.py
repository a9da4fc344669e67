"""Options that a kernel keeps for getsockopt while no program can see an effect, and values of others that have none.

An option is here for one of two reasons. Either no value of it shows through a socket in a simulated network (how a path
finds its MTU, which CPU polls), so each is kept as Linux keeps it. Or one value is the same as not setting it, and that one
is accepted and returned; any other would have an effect that is not modelled, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from errno import EINVAL, ENODEV, ENOPROTOOPT, EOPNOTSUPP
from typing import Any, Final

from simnet.kernel.errors import not_modelled
from simnet.kernel.options.rare import IPV6_MINHOPCOUNT, RARE_EVERYWHERE, RARE_TCP, RARE_UDP, SO_INQ, refused
from simnet.kernel.options.values import (
    INT_MAX,
    INT_MIN,
    IP_RECVERR,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
    SO_MARK,
    SO_PASSCRED,
    SO_TIMESTAMP,
    SO_ZEROCOPY,
    SOL_SOCKET,
    STAYS_OFF,
    SWITCH,
    TCP_INFO,
    TCP_OPTIONS,
    TCP_WINDOW_CLAMP,
    UDP_OPTIONS,
    UNIX_OPTIONS,
    Key,
    Option,
    is_beyond,
)

SO_DEBUG: Final = 1
SO_NO_CHECK: Final = 11
SO_PASSSEC: Final = 34
SO_TIMESTAMPNS: Final = 35
SO_RXQ_OVFL: Final = 40
SO_PEEK_OFF: Final = 42
SO_SELECT_ERR_QUEUE: Final = 45
SO_INCOMING_CPU: Final = 49
SO_PREFER_BUSY_POLL: Final = 69
SO_PASSPIDFD: Final = 76
SO_PASSRIGHTS: Final = 83

IP_HDRINCL: Final = 3
IP_RECVOPTS: Final = 6
IP_RETOPTS: Final = 7
IP_PKTINFO: Final = 8
IP_MTU_DISCOVER: Final = 10
IP_RECVTTL: Final = 12
IP_RECVTOS: Final = 13
IP_FREEBIND: Final = 15
IP_TRANSPARENT: Final = 19
IP_RECVORIGDSTADDR: Final = 20
IP_MINTTL: Final = 21
IP_BIND_ADDRESS_NO_PORT: Final = 24
NO_PORT: Final = (IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT)
IP_MULTICAST_IF: Final = 32
IP_MULTICAST_TTL: Final = 33
IP_MULTICAST_LOOP: Final = 34
IP_MULTICAST_ALL: Final = 49

IPV6_MULTICAST_IF: Final = 17
IPV6_MULTICAST_HOPS: Final = 18
IPV6_MULTICAST_LOOP: Final = 19
IPV6_MTU_DISCOVER: Final = 23
IPV6_RECVERR: Final = 25
IPV6_MULTICAST_ALL: Final = 29
ERROR_QUEUES: Final = ((IPPROTO_IP, IP_RECVERR), (IPPROTO_IPV6, IPV6_RECVERR))
IPV6_RECVPKTINFO: Final = 49
IPV6_RECVHOPLIMIT: Final = 51
IPV6_RECVHOPOPTS: Final = 53
IPV6_RECVRTHDR: Final = 56
IPV6_RECVDSTOPTS: Final = 58
IPV6_RECVPATHMTU: Final = 60
IPV6_DONTFRAG: Final = 62
IPV6_RECVTCLASS: Final = 66
IPV6_AUTOFLOWLABEL: Final = 70

UDP_CORK: Final = 1
UDPLITE_SEND_CSCOV: Final = 10
UDPLITE_RECV_CSCOV: Final = 11

TCP_THIN_LINEAR_TIMEOUTS: Final = 16
TCP_FASTOPEN: Final = 23
TCP_SAVE_SYN: Final = 27
TCP_FASTOPEN_CONNECT: Final = 30
TCP_FASTOPEN_NO_COOKIE: Final = 34
TCP_INQ: Final = 36
TCP_TX_DELAY: Final = 37
TCP_RTO_MAX_MS: Final = 44

ASKS_FOR_COOKIE: Final = (IPPROTO_TCP, -TCP_FASTOPEN_CONNECT)  # beside the options: a connect does, by its SYN
FASTOPEN: Final = (TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE)  # EINVAL once there is a connection

_STAYS_ON: Final = Option(1, switch=True)
_ON_BY_A_BYTE: Final = Option(1, switch=True, shortest=1)
_BY_A_BYTE: Final = Option(0, switch=True, shortest=1)


_EVERYWHERE: Final[dict[Key, Option]] = {
    (SOL_SOCKET, SO_DEBUG): SWITCH,
    (SOL_SOCKET, SO_NO_CHECK): SWITCH,  # checksums do not go wrong here
    (SOL_SOCKET, SO_MARK): Option(0, INT_MIN, INT_MAX),  # no routing asks for it; to set it takes CAP_NET_ADMIN
    (SOL_SOCKET, SO_PREFER_BUSY_POLL): SWITCH,
    (SOL_SOCKET, SO_TIMESTAMP): SWITCH,  # a stream of Unix tells no time
    (SOL_SOCKET, SO_TIMESTAMPNS): SWITCH,
    (SOL_SOCKET, SO_RXQ_OVFL): SWITCH,
    (SOL_SOCKET, SO_SELECT_ERR_QUEUE): SWITCH,
    (SOL_SOCKET, SO_PEEK_OFF): Option(-1, INT_MIN, INT_MAX),
    (SOL_SOCKET, SO_INCOMING_CPU): Option(-1, INT_MIN, INT_MAX),  # nothing has come in; a connection tells CPU 0
}

_INTERNET: Final[dict[Key, Option]] = {
    **_EVERYWHERE,
    (SOL_SOCKET, SO_ZEROCOPY): Option(0),  # until a send says MSG_ZEROCOPY
    (IPPROTO_IP, IP_MTU_DISCOVER): Option(1, 0, 5),
    (IPPROTO_IP, IP_MINTTL): Option(0, 0, 255, fixed=True, idle=64, later=True, shortest=1),
    (IPPROTO_IP, IP_MULTICAST_LOOP): _ON_BY_A_BYTE,
    (IPPROTO_IP, IP_RECVERR): SWITCH,
    (IPPROTO_IP, IP_MULTICAST_ALL): Option(1, shortest=1),
    (IPPROTO_IP, IP_HDRINCL): refused(0, ENOPROTOOPT),  # it is a raw socket's
    (IPPROTO_IP, IP_FREEBIND): _BY_A_BYTE,
    (IPPROTO_IP, IP_TRANSPARENT): _BY_A_BYTE,
    (IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT): SWITCH,
    (IPPROTO_IPV6, IPV6_MTU_DISCOVER): Option(1, 0, 5),
    (IPPROTO_IPV6, IPV6_MULTICAST_LOOP): Option(1),
    (IPPROTO_IPV6, IPV6_DONTFRAG): Option(0, switch=True, shortest=0),
    (IPPROTO_IPV6, IPV6_AUTOFLOWLABEL): Option(1, switch=True, shortest=0),
    (IPPROTO_IPV6, IPV6_RECVERR): SWITCH,
    (IPPROTO_IPV6, IPV6_MULTICAST_ALL): _STAYS_ON,
}

_ABOUT_DATAGRAMS: Final[tuple[Key, ...]] = (  # what recvmsg is to have beside a datagram; a stream has none of it, and
    # no datagram here has IP options or extension headers
    *((IPPROTO_IP, name) for name in (IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_RECVTTL, IP_RECVTOS, IP_RECVORIGDSTADDR)),
    *(
        (IPPROTO_IPV6, name)
        for name in (
            IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVHOPOPTS, IPV6_RECVRTHDR, IPV6_RECVDSTOPTS, IPV6_RECVPATHMTU,
            IPV6_RECVTCLASS,
        )
    ),
)  # fmt: skip

ALL_TCP_OPTIONS: Final[dict[Key, Option]] = {
    **RARE_TCP,
    **_INTERNET,
    **dict.fromkeys(_ABOUT_DATAGRAMS, SWITCH),
    (IPPROTO_IP, IP_MULTICAST_TTL): refused(1, EINVAL),
    (IPPROTO_IPV6, IPV6_MULTICAST_HOPS): refused(1, ENOPROTOOPT),
    (IPPROTO_IPV6, IPV6_MULTICAST_IF): refused(0, ENOPROTOOPT),
    (IPPROTO_TCP, TCP_INFO): refused(0, ENOPROTOOPT),
    (IPPROTO_TCP, TCP_WINDOW_CLAMP): Option(0, INT_MIN, INT_MAX),
    (IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS): Option(0),
    (IPPROTO_TCP, TCP_FASTOPEN): Option(0, 0, INT_MAX),  # the length of a queue that stays empty without MSG_FASTOPEN
    (IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE): Option(0),
    (IPPROTO_TCP, TCP_SAVE_SYN): Option(0, 0, 2),
    (IPPROTO_TCP, TCP_FASTOPEN_CONNECT): Option(0),  # of no effect without a cookie, which no listener here gives out
    (IPPROTO_TCP, TCP_INQ): Option(0),
    (IPPROTO_TCP, TCP_TX_DELAY): Option(0, 0, (1 << 28) - 1),  # microseconds, by a queue that neither lo nor eth0 has
    (IPPROTO_TCP, TCP_RTO_MAX_MS): Option(120_000, 1000, 120_000, fixed=True, later=True, step=4),
    **TCP_OPTIONS,
}

ALL_UDP_OPTIONS: Final[dict[Key, Option]] = {
    **RARE_UDP,
    **_INTERNET,
    **dict.fromkeys(_ABOUT_DATAGRAMS, SWITCH),
    (IPPROTO_UDP, UDP_CORK): SWITCH,
    (IPPROTO_IP, IP_MULTICAST_TTL): Option(1, 0, 255, minus_one=True, shortest=1),
    (IPPROTO_IPV6, IPV6_MULTICAST_HOPS): Option(1, 0, 255, minus_one=True),
    (IPPROTO_IPV6, IPV6_MULTICAST_IF): Option(0, 0, 2, ENODEV),
    (IPPROTO_UDP, UDPLITE_SEND_CSCOV): refused(0, ENOPROTOOPT),
    (IPPROTO_UDP, UDPLITE_RECV_CSCOV): refused(0, ENOPROTOOPT),
    **UDP_OPTIONS,
    (IPPROTO_IP, IP_MINTTL): Option(0, 0, 255, shortest=1),  # which only TCP looks at
    (IPPROTO_IPV6, IPV6_MINHOPCOUNT): Option(0, 0, 255),
}

ALL_UNIX_OPTIONS: Final[dict[Key, Option]] = {
    **RARE_EVERYWHERE,
    **_EVERYWHERE,
    (SOL_SOCKET, SO_PASSSEC): SWITCH,
    (SOL_SOCKET, SO_ZEROCOPY): refused(0, EOPNOTSUPP),
    (SOL_SOCKET, SO_PASSPIDFD): STAYS_OFF,
    (SOL_SOCKET, SO_PASSRIGHTS): Option(1, switch=True),
    (SOL_SOCKET, SO_INQ): Option(0),
    **UNIX_OPTIONS,
}


ONCE_OPEN: Final = frozenset(key for key, option in ALL_TCP_OPTIONS.items() if option.later)


def check_before_it_opens(options: Mapping[Key, Any]) -> None:
    """NotModelled, if a connection with these *options* would do what is not modelled."""
    for level, name in ONCE_OPEN & options.keys():
        if is_beyond(ALL_TCP_OPTIONS[(level, name)], options[(level, name)]):
            not_modelled(f"a connection with level {level}, option {name} at {options[(level, name)]}")


def binds_anywhere(options: Mapping[Key, Any] | None) -> bool:
    """May a socket of these *options* take an address that is not its host's: inet_can_nonlocal_bind."""
    return options is not None and bool(
        options.get((IPPROTO_IP, IP_FREEBIND)) or options.get((IPPROTO_IP, IP_TRANSPARENT))
    )


# Among the options of a connection that waits for its listener: who accepts it may come to ask for credentials.
UNACCEPTED: Final = (SOL_SOCKET, -SO_PASSCRED)
# What a Unix listener passes on to its children.
PASSED_ON: Final = frozenset({(SOL_SOCKET, SO_PASSCRED), (SOL_SOCKET, SO_PASSSEC), (SOL_SOCKET, SO_PASSRIGHTS)})
