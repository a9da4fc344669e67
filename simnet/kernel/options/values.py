"""The options of sockets: their numbers, defaults, ranges, and how values travel through get- and setsockopt."""

from __future__ import annotations

import struct
from errno import EACCES, EADDRNOTAVAIL, EDOM, EFAULT, EINVAL, ENOPROTOOPT, EOPNOTSUPP, EPERM
from typing import Any, Final, NamedTuple, Protocol

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.states import CLOSED

SOL_SOCKET: Final = 1
IPPROTO_IP: Final = 0
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_IPV6: Final = 41

SO_REUSEADDR: Final = 2
SO_TYPE: Final = 3
SO_ERROR: Final = 4
SO_DONTROUTE: Final = 5
SO_BROADCAST: Final = 6
SO_SNDBUF: Final = 7
SO_RCVBUF: Final = 8
SO_SNDBUFFORCE: Final = 32
SO_RCVBUFFORCE: Final = 33
FORCED: Final = {SO_SNDBUFFORCE: SO_SNDBUF, SO_RCVBUFFORCE: SO_RCVBUF}
SO_KEEPALIVE: Final = 9
SO_OOBINLINE: Final = 10
SO_PRIORITY: Final = 12
SO_LINGER: Final = 13
SO_BSDCOMPAT: Final = 14
SO_REUSEPORT: Final = 15
SO_PASSCRED: Final = 16
SO_PEERCRED: Final = 17
SO_RCVLOWAT: Final = 18
SO_SNDLOWAT: Final = 19
SO_RCVTIMEO: Final = 20
SO_SNDTIMEO: Final = 21
SO_BINDTODEVICE: Final = 25
SO_TIMESTAMP: Final = 29
SO_ACCEPTCONN: Final = 30
SO_MARK: Final = 36
SO_TIMESTAMPING: Final = 37
SO_PROTOCOL: Final = 38
SO_DOMAIN: Final = 39
SO_BUSY_POLL: Final = 46
SO_ZEROCOPY: Final = 60
SO_TIMESTAMPING_NEW: Final = 65

TCP_NODELAY: Final = 1
TCP_MAXSEG: Final = 2
TCP_CORK: Final = 3
TCP_KEEPIDLE: Final = 4
TCP_KEEPINTVL: Final = 5
TCP_KEEPCNT: Final = 6
TCP_SYNCNT: Final = 7
TCP_LINGER2: Final = 8
TCP_DEFER_ACCEPT: Final = 9
TCP_WINDOW_CLAMP: Final = 10
TCP_INFO: Final = 11
TCP_QUICKACK: Final = 12
TCP_CONGESTION: Final = 13
TCP_USER_TIMEOUT: Final = 18
TCP_NOTSENT_LOWAT: Final = 25

IP_TOS: Final = 1
IP_TTL: Final = 2
IP_RECVERR: Final = 11
IPV6_UNICAST_HOPS: Final = 16
IPV6_V6ONLY: Final = 26
IPV6_TCLASS: Final = 67

LAST_MSS: Final = (IPPROTO_TCP, -TCP_MAXSEG)  # what TCP_MAXSEG has shown before a disconnect
DEAD_MSS: Final = (IPPROTO_TCP, -300 - TCP_MAXSEG)  # what it is where TCP_MAXSEG was set once the connection was over
# What TCP_MAXSEG was set to while it lived, which is told afterwards.
LATER_MSS: Final = (IPPROTO_TCP, -400 - TCP_MAXSEG)
# And what it had grown to when its past could be told for the last time.
SEEN_MSS: Final = (IPPROTO_TCP, -200 - TCP_MAXSEG)

TIMES: Final = {20: SO_RCVTIMEO, 21: SO_SNDTIMEO, 66: SO_RCVTIMEO, 67: SO_SNDTIMEO}  # and by their numbers ..._NEW
TOS: Final = (IPPROTO_IP, IP_TOS)
TOS_PRIORITIES: Final = (0, 2, 6, 4)  # ip_tos2prio: best effort, bulk, interactive, interactive bulk
PORT_RANGE: Final = (IPPROTO_IP, 51)  # IP_LOCAL_PORT_RANGE: the lowest port in its lower half, the highest in its upper
IP_UNICAST_IF: Final = 50
IPV6_UNICAST_IF: Final = 76
WAYS: Final = frozenset({(IPPROTO_IP, IP_UNICAST_IF), (IPPROTO_IPV6, IPV6_UNICAST_IF)})
BY_LOOPBACK, BY_OTHER = 1 << 24, 2 << 24  # numbers of links, in the order of bytes of the net
SHARED: Final = {78: (IPPROTO_IP, 15), 75: (IPPROTO_IP, 19)}  # IPV6_FREEBIND and IPV6_TRANSPARENT

BUFFER_MAX: Final = 4_194_304  # net.core.wmem_max and rmem_max, before the kernel doubles them (K-064)
SNDBUF_DEFAULT: Final = 212_992  # net.core.wmem_default, of all but TCP
RCVBUF_DEFAULT: Final = 212_992  # net.core.rmem_default
SNDBUF_MIN: Final = 4608  # SOCK_MIN_SNDBUF
RCVBUF_MIN: Final = 2304  # SOCK_MIN_RCVBUF
WINDOW_CLAMP: Final = 65536  # of a new connection over loopback; Linux raises it with the traffic
KEEPALIVE_TIME: Final = 7200  # seconds: net.ipv4.tcp_keepalive_time
KEEPALIVE_INTERVAL: Final = 75  # seconds: net.ipv4.tcp_keepalive_intvl
KEEPALIVE_PROBES: Final = 9  # net.ipv4.tcp_keepalive_probes
SYN_RETRIES: Final = 6  # net.ipv4.tcp_syn_retries
INT_MAX: Final = 2**31 - 1
INT_MIN: Final = -(2**31)
TICK_NS: Final = 4_000_000  # CONFIG_HZ is 250
NO_TIME: Final = -1  # of SO_RCVTIMEO and SO_SNDTIMEO: a negative time, after which nothing waits
LONG_TIME: Final = (2**63 - 1) // 250 - 1  # seconds that are for ever: MAX_SCHEDULE_TIMEOUT / HZ - 1
# What is told of a negative time: LONG_MAX ticks at 250 a second, as a C int.
LINGER_FOR_EVER: Final = 0x978D4FDF - 2**32

Key = tuple[int, int]


class AnySocket(Protocol):
    """What options ask of the socket that they are told of."""

    stack: Any
    peer: Any
    port: int
    state: str
    options: dict[Key, Any] | None

    @property
    def family(self) -> int: ...
    @property
    def type(self) -> int: ...


class Option(NamedTuple):
    """One option that is a plain number: its value until set, its range, and who has it (families of sockets)."""

    default: int
    low: int = 0
    high: int = 1
    refusal: int = EINVAL  # errno for a value outside the range
    switch: bool = False  # any value but 0 counts as 1
    bits: int = 0  # only these are looked at, if any are named
    keeps: bool = True  # False: accepted and forgotten
    minus_one: bool = False  # -1 asks for the default
    fixed: bool = False  # any value but the default would have to do something that is not modelled
    idle: int = 0  # and up to this value it would do nothing
    later: bool = False  # none of them does anything before a connection opens
    step: int = 1  # it is rounded up to a multiple of this
    shortest: int = -1  # bytes of the shortest value that is taken; by default what the level takes
    longest: int = INT_MAX  # and of the longest
    below: int = 0  # errno for a negative value, where it is another
    hole: int | None = None  # a value within the range that is refused


SWITCH: Final = Option(0, switch=True)
STAYS_OFF: Final = Option(0, switch=True, fixed=True)

# Every socket has these. What a stack does with a value is in the room of that socket; "no effect" means that the kernel
# keeps the number for getsockopt and nothing a program can see through a socket depends on it.
SOCKET_OPTIONS: Final[dict[Key, Option]] = {
    (SOL_SOCKET, SO_REUSEADDR): SWITCH,
    (SOL_SOCKET, SO_REUSEPORT): SWITCH,
    (SOL_SOCKET, SO_BROADCAST): SWITCH,
    (SOL_SOCKET, SO_KEEPALIVE): SWITCH,
    (SOL_SOCKET, SO_OOBINLINE): SWITCH,
    (SOL_SOCKET, SO_DONTROUTE): SWITCH,  # no effect: one hop to everywhere
    (SOL_SOCKET, SO_PRIORITY): Option(0, INT_MIN, INT_MAX),  # no effect
    (SOL_SOCKET, SO_BSDCOMPAT): Option(0, INT_MIN, INT_MAX, keeps=False),  # no effect since Linux 2.2
    (SOL_SOCKET, SO_BUSY_POLL): Option(0, 0, INT_MAX),  # no effect
    (SOL_SOCKET, SO_RCVLOWAT): Option(1, INT_MIN, INT_MAX),
    (SOL_SOCKET, SO_SNDBUF): Option(SNDBUF_DEFAULT, INT_MIN, INT_MAX),
    (SOL_SOCKET, SO_RCVBUF): Option(RCVBUF_DEFAULT, INT_MIN, INT_MAX),
}

_IP_LEVEL: Final[dict[Key, Option]] = {
    (IPPROTO_IP, IP_TOS): Option(0, INT_MIN, INT_MAX, bits=0xFF),  # no effect
    (IPPROTO_IP, IP_TTL): Option(64, 1, 255, minus_one=True),  # no effect: no router counts it down
    (IPPROTO_IPV6, IPV6_UNICAST_HOPS): Option(64, 0, 255, minus_one=True),
    (IPPROTO_IPV6, IPV6_TCLASS): Option(0, 0, 255, minus_one=True),  # no effect
    (IPPROTO_IPV6, IPV6_V6ONLY): SWITCH,
}

TCP_OPTIONS: Final[dict[Key, Option]] = {
    **SOCKET_OPTIONS,
    **_IP_LEVEL,
    (SOL_SOCKET, SO_SNDBUF): Option(16384, INT_MIN, INT_MAX),  # net.ipv4.tcp_wmem[1]
    (SOL_SOCKET, SO_RCVBUF): Option(131072, INT_MIN, INT_MAX),  # net.ipv4.tcp_rmem[1]
    (IPPROTO_IP, IP_TOS): Option(0, INT_MIN, INT_MAX, bits=0xFC),  # the lower two belong to TCP itself, for ECN
    (IPPROTO_IPV6, IPV6_TCLASS): Option(0, 0, 255, minus_one=True, bits=0xFC),
    (IPPROTO_TCP, TCP_NODELAY): SWITCH,  # setting it lets go what is held back
    (IPPROTO_TCP, TCP_CORK): SWITCH,
    (IPPROTO_TCP, TCP_MAXSEG): Option(536, 88, 32767),
    (IPPROTO_TCP, TCP_KEEPIDLE): Option(KEEPALIVE_TIME, 1, 32767),
    (IPPROTO_TCP, TCP_KEEPINTVL): Option(KEEPALIVE_INTERVAL, 1, 32767),
    (IPPROTO_TCP, TCP_KEEPCNT): Option(KEEPALIVE_PROBES, 1, 127),
    (IPPROTO_TCP, TCP_SYNCNT): Option(SYN_RETRIES, 1, 127),
    (IPPROTO_TCP, TCP_LINGER2): Option(60, INT_MIN, INT_MAX),
    (IPPROTO_TCP, TCP_DEFER_ACCEPT): Option(0, INT_MIN, INT_MAX),
    (IPPROTO_TCP, TCP_QUICKACK): Option(1, switch=True),  # only who filled a window waits for one
    (IPPROTO_TCP, TCP_USER_TIMEOUT): Option(0, 0, INT_MAX),
    (IPPROTO_TCP, TCP_NOTSENT_LOWAT): Option(0, INT_MIN, INT_MAX),
}

UDP_OPTIONS: Final[dict[Key, Option]] = {**SOCKET_OPTIONS, **_IP_LEVEL}

UNIX_OPTIONS: Final[dict[Key, Option]] = {**SOCKET_OPTIONS, (SOL_SOCKET, SO_PASSCRED): SWITCH}

# SO_PASSCRED, SO_PASSSEC, SO_PASSPIDFD and SO_PASSRIGHTS: EOPNOTSUPP elsewhere.
FOR_UNIX: Final = frozenset({SO_PASSCRED, 34, 76, 83})

_READ_ONLY: Final = {SO_TYPE, SO_ERROR, SO_DOMAIN, SO_PROTOCOL, SO_ACCEPTCONN, SO_SNDLOWAT, SO_PEERCRED}

# Known to Linux 6.18 and not to us: refused by name instead of ENOPROTOOPT, which would be a lie. What it refuses on every
# socket we have, such as IPV6_CHECKSUM and SO_PEERSEC, is not among them.
_KNOWN_TO_LINUX: Final[dict[int, frozenset[int]]] = {
    SOL_SOCKET: frozenset(range(1, 85)) - {19, 22, 23, 24, 31, 54, 58, 78, 79, 81},
    IPPROTO_IP: frozenset({*range(1, 27), *range(32, 53)}),
    IPPROTO_TCP: frozenset(range(1, 47)) - {15, 38, 39, 40, 41},
    IPPROTO_UDP: frozenset({1, *range(100, 105)}),
    IPPROTO_IPV6: frozenset(range(1, 79)) - {7, 9, 10, *range(12, 16), *range(36, 42), 52, 63, 71},
}
_OF_RAW_SOCKETS: Final = range(200, 213)  # MRT_INIT to MRT_FLUSH, the routes of groups, and MRT6_INIT to MRT6_FLUSH
# What a process without CAP_NET_ADMIN is refused whatever the value: the policies of IPsec, the tables of netfilter, and
# TCP_AO_REPAIR.
_PRIVILEGED: Final = frozenset(
    {
        *((IPPROTO_IP, name) for name in (16, 17, 64, 65, 96, 97)),
        *((IPPROTO_IPV6, name) for name in (34, 35, 64, 65)),
        (IPPROTO_TCP, 42),
    }
)
# Values that take a privilege: all but those from the second number to the third, and the errno for who has none.
_PRIVILEGED_VALUES: Final[dict[Key, tuple[int, int, int]]] = {
    (SOL_SOCKET, 1): (EACCES, 0, 0),  # SO_DEBUG
    (SOL_SOCKET, SO_PRIORITY): (EPERM, 0, 6),
    (SOL_SOCKET, SO_SNDBUFFORCE): (EPERM, 1, 0),
    (SOL_SOCKET, SO_RCVBUFFORCE): (EPERM, 1, 0),
    (SOL_SOCKET, SO_MARK): (EPERM, 1, 0),
    (SOL_SOCKET, 69): (EPERM, 0, 0),  # SO_PREFER_BUSY_POLL
    (SOL_SOCKET, 70): (EPERM, INT_MIN, 0),  # SO_BUSY_POLL_BUDGET
    (IPPROTO_IP, 19): (EPERM, 0, 0),  # IP_TRANSPARENT
    (IPPROTO_TCP, 19): (EPERM, 1, 0),  # TCP_REPAIR
}


def unknown(level: int, name: int, setting: bool) -> OSError:
    """What the kernel answers to an option that is in no table; NotModelled for one that only we do not know."""
    if setting and (level, name) in _PRIVILEGED:
        return socket_error(EPERM)
    if name in _KNOWN_TO_LINUX.get(level, ()):
        not_modelled(f"{'setsockopt' if setting else 'getsockopt'}(level {level}, option {name})")
    if level in (IPPROTO_IP, IPPROTO_IPV6) and name in _OF_RAW_SOCKETS:
        return socket_error(EOPNOTSUPP)
    return socket_error(ENOPROTOOPT)


def read_only(level: int, name: int) -> bool:
    """Is this one of the options that only getsockopt knows?"""
    return level == SOL_SOCKET and name in _READ_ONLY


def integer(value: int | bytes | bytearray | memoryview) -> int:
    """The C int that *value* holds; ``check_length`` saw to it that it holds one."""
    if isinstance(value, int):
        return value
    number: int = struct.unpack_from("=i", value)[0]
    return number


def _look_at_way(socket: AnySocket, key: Key, link: int) -> None:
    """IP_UNICAST_IF, IPV6_UNICAST_IF: the link by which to send what is for no group. On that of loopback nothing else shows."""
    if link not in (BY_LOOPBACK, BY_OTHER):
        raise socket_error(EADDRNOTAVAIL)
    if (socket.options or {}).get((SOL_SOCKET, SO_BINDTODEVICE)):
        raise socket_error(EINVAL)
    if link != BY_LOOPBACK:
        not_modelled(f"setsockopt(level {key[0]}, option {key[1]}) that sends by another link than loopback's")


def stored(socket: AnySocket, key: Key, option: Option, value: int) -> int:
    """*value* as the kernel keeps it, or the refusal; NotModelled for one that would have to do something."""
    # Fixed: nobody may do what is not modelled.
    if key in _PRIVILEGED_VALUES and (option.fixed or not socket.stack.privileged):
        error, low, high = _PRIVILEGED_VALUES[key]
        if not low <= value <= high:
            raise socket_error(error)
    if option.below and value < 0:
        raise socket_error(option.below)
    if key == PORT_RANGE and 0 < value >> 16 & 0xFFFF < value & 0xFFFF:
        raise socket_error(EINVAL)
    if value and key in WAYS:
        _look_at_way(socket, key, value)
    kept = _kept(option, value)
    if is_beyond(option, kept) and not (option.later and socket.peer is None and socket.state == CLOSED):
        not_modelled(f"setsockopt(level {key[0]}, option {key[1]}, {value})")
    return kept


def is_beyond(option: Option, kept: int) -> bool:
    """Would what is *kept* have to do something that is not modelled?"""
    return option.fixed and kept != option.default and not 0 < kept <= option.idle


def _kept(option: Option, value: int) -> int:
    if option.switch:
        return 1 if value else 0
    if value == -1 and option.minus_one:
        return option.default
    if not option.low <= value <= option.high or value == option.hole:
        raise socket_error(option.refusal)
    if not option.keeps:
        return option.default
    return value & option.bits if option.bits else -(-value // option.step) * option.step


def check_length(level: int, option: Option | None, value: Any) -> Any:
    """EINVAL for less than a C int; at the IP level a single byte will do, or none, but for some options."""
    if isinstance(value, int):
        return value
    if option is not None and len(value) > option.longest:
        raise socket_error(EINVAL)
    if len(value) >= 4:
        return value
    shortest = option.shortest if option is not None else -1
    if len(value) < (shortest if shortest >= 0 else 0 if level == IPPROTO_IP else 4):
        raise socket_error(EINVAL)
    return value[0] if value and level == IPPROTO_IP else 0


class NoBuffer(NamedTuple):
    """``setsockopt(..., None, length)``: a null pointer where *length* bytes should be."""

    length: int


def read_nothing(key: Key, length: int, known: bool, shortest: int = 0) -> bytes:
    """What the kernel reads at a null pointer for the option *key*, of which it reads *shortest* bytes at least.

    IPv6 takes it for zeros, and what is *known* of IPv4 may be given as no byte at all.

    Raises:
        OSError: EFAULT, or EINVAL where the length is looked at before.
    """
    level = key[0]
    if level == IPPROTO_IPV6:
        return bytes(min(length, 1024))
    by_name = key == (SOL_SOCKET, SO_BINDTODEVICE)
    if (not length and by_name) or (level == IPPROTO_IP and not (length and known)):
        return b""
    if level != IPPROTO_IP and not by_name:
        shortest = 4
    raise socket_error(EFAULT if length >= shortest else EINVAL)


def shared(level: int, name: int, value: Any = 0) -> Key:
    """Where the option is kept: what either level sets and tells is IPv4's. IPv6 wants a whole number for it."""
    key = SHARED.get(name) if level == IPPROTO_IPV6 else None
    if key is None:
        return level, name
    if not isinstance(value, int) and len(value) < 4:
        raise socket_error(EINVAL)
    return key


def look_up(table: dict[Key, Option], level: int, name: int) -> Option | None:
    """The option to be set. IPv6 says what it does not know, or does not let be set, before it looks at the value."""
    option = table.get((level, name))
    if level == IPPROTO_IPV6:
        if option is None:
            raise unknown(level, name, setting=True)
        if option.low > option.high:
            raise socket_error(option.refusal)
    return option


def check_buflen(buflen: int) -> None:
    """What CPython sees to before it asks the kernel."""
    if not 0 <= buflen <= 1024:
        raise OSError("getsockopt buflen out of range")


def answer(value: int, buflen: int, level: int = SOL_SOCKET) -> int | bytes:
    """*value* as CPython's getsockopt gives it: a number, or for a *buflen* the first bytes of the C int (K-131)."""
    if buflen == 0:
        return value
    if level == IPPROTO_IP and buflen < 4 and 0 <= value <= 255:
        buflen = 1  # do_ip_getsockopt: what fits into one byte is one byte
    return struct.pack("=i", value)[:buflen]


def packed_answer(packed: bytes, buflen: int) -> int | bytes:
    """A structure as CPython's getsockopt gives it: cut to *buflen*, or its first four bytes as a number."""
    if buflen == 0:
        number: int = struct.unpack("=i", packed[:4].ljust(4, b"\0"))[0]
        return number
    return packed[:buflen]


def sndbuf(value: int, forced: bool = False) -> int:
    """What SO_SNDBUF becomes: doubled, between the kernel's bounds; negative means the most (K-064). Of a *forced* one, which
    knows no other bound than a C int, negative is the least.
    """
    return max(_asked(value, forced) * 2, SNDBUF_MIN)


def rcvbuf(value: int, forced: bool = False) -> int:
    """What SO_RCVBUF becomes."""
    return max(_asked(value, forced) * 2, RCVBUF_MIN)


def _asked(value: int, forced: bool) -> int:
    return min(max(value, 0), INT_MAX // 2) if forced else min(value & 0xFFFFFFFF, BUFFER_MAX)


def linger(value: int | bytes | bytearray | memoryview) -> tuple[int, int]:
    """``struct linger``: (on, seconds)."""
    if isinstance(value, int) or len(value) < 8:
        raise socket_error(EINVAL)
    on, seconds = struct.unpack_from("=ii", value)
    return (1 if on else 0), seconds if seconds >= 0 else LINGER_FOR_EVER


def timeval(value: int | bytes | bytearray | memoryview) -> int:
    """``struct timeval`` as nanoseconds, in whole ticks of the kernel; 0 waits for ever, and NO_TIME does not wait.

    Raises:
        OSError: EDOM, microseconds out of range.
    """
    if isinstance(value, int) or len(value) < 16:
        raise socket_error(EINVAL)
    seconds, microseconds = (int(each) for each in struct.unpack_from("=qq", value))
    if not 0 <= microseconds < 1_000_000:
        raise socket_error(EDOM)
    if seconds < 0:
        return NO_TIME
    if seconds >= LONG_TIME:
        return 0
    return seconds * 1_000_000_000 + -(-microseconds * 1000 // TICK_NS) * TICK_NS


def pack_timeval(value_ns: int) -> bytes:
    """What `timeval` made, as ``struct timeval``."""
    value_ns = max(value_ns, 0)
    return struct.pack("=qq", value_ns // 1_000_000_000, value_ns % 1_000_000_000 // 1000)
