"""Options whose value is not a plain number: the name of a link, an address, a header, a group, properties of a path.

Values with an effect that is not modelled are NotModelled: a source of what is sent, a slower connection.
"""

from __future__ import annotations

import struct
from errno import (
    EADDRNOTAVAIL,
    EFAULT,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
    EPROTO,
)
from typing import TYPE_CHECKING, Any, Final, cast

from simnet.kernel.datagrams.groups import LOOPBACK_LINK, MULTICAST_LINK, choose_link, join_or_leave, link_to_groups
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.inet import ANY6, is_group, is_loopback, of_a_link
from simnet.kernel.messages import AF_INET, AF_INET6, SOCK_STREAM
from simnet.kernel.options.group_requests import GROUP_OPTIONS, GROUP_SIZES, set_group_option
from simnet.kernel.options.idle import IPV6_MULTICAST_IF
from simnet.kernel.options.ip_header import OPTIONS_MAX, compiled
from simnet.kernel.options.odd import (
    MEMORY,
    NO_FILTER,
    ODD,
    PREFERENCES,
    PREFERENCES_DEFAULT,
    TXTIME,
    keep,
    kept,
    memory_of,
)
from simnet.kernel.options.rare import (
    FASTOPEN_KEY,
    FASTOPEN_KEY_SIZES,
    IPV6_2292PKTOPTIONS,
    IPV6_ADDRFORM,
    IPV6_FLOWLABEL_MGR,
    NOT_READ,
    SO_DETACH_FILTER,
    SO_MAX_PACING_RATE,
    TCP_MD5SIG,
    TCP_MD5SIG_EXT,
    ULP,
)  # fmt: skip
from simnet.kernel.options.routes import NO_LINK, forget_route, is_nowhere, knows_route
from simnet.kernel.options.told import told
from simnet.kernel.options.values import (
    INT_MAX,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    LAST_MSS,
    SO_BINDTODEVICE,
    SOL_SOCKET,
    TCP_CONGESTION,
    AnySocket,
    Key,
    NoBuffer,
    read_nothing,
)
from simnet.kernel.ports import V6_ONLY
from simnet.kernel.segment import Endpoint
from simnet.kernel.states import ESTABLISHED
from simnet.kernel.tcp.control import SPEAKS_IPV4

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simnet.kernel.datagrams.sending import DatagramSender

    Setter = Callable[[Any, Key, bytes], None]
    Teller = Callable[[Any, Key, int], bytes | None]

IP_OPTIONS: Final = 4
IP_MTU: Final = 14
IP_ADD_MEMBERSHIP: Final = 35
IP_DROP_MEMBERSHIP: Final = 36
IPV6_JOIN_ANYCAST: Final = 27
IPV6_LEAVE_ANYCAST: Final = 28
IPV6_JOIN_GROUP: Final = 20
IPV6_LEAVE_GROUP: Final = 21
IPV6_MTU: Final = 24
IPV6_PKTINFO: Final = 50
IPV6_HOPOPTS: Final = 54
IPV6_RTHDRDSTOPTS: Final = 55
IPV6_RTHDR: Final = 57
IPV6_DSTOPTS: Final = 59
IPV6_PATHMTU: Final = 61

IFNAMSIZ: Final = 16
NO_LIMIT: Final = b"\xff" * 8
IP_MREQ_SIZE: Final = 8
IPV6_MREQ_SIZE: Final = 20
LOOPBACK_V6: Final = "::1"
LINKS: Final = (b"lo", b"eth0")  # of a simulated host
MTUINFO_SIZE: Final = 32  # struct ip6_mtuinfo
PKTINFO_SIZE: Final = 20  # struct in6_pktinfo
ETHERNET_MTU: Final = 1500  # RFC 894
_MSS_OF_NO_PATH: Final = 68
LOOPBACK_MTU: Final = 65535
LOOPBACK_MTU_V6: Final = 65536

IP_HEADER: Final = (IPPROTO_IP, IP_OPTIONS)
LINK: Final = (SOL_SOCKET, SO_BINDTODEVICE)
LINK_NUMBER: Final = (SOL_SOCKET, 62)  # SO_BINDTOIFINDEX
FORM: Final = (IPPROTO_IPV6, IPV6_ADDRFORM)
PACE: Final = (SOL_SOCKET, SO_MAX_PACING_RATE)
DETACH_FILTER: Final = (SOL_SOCKET, SO_DETACH_FILTER)
IPV6_MTU_MIN: Final = 1280
PATH_MTU: Final = (IPPROTO_IPV6, IPV6_PATHMTU)
PKTINFO: Final = (IPPROTO_IPV6, IPV6_PKTINFO)
MTUS: Final = frozenset({(IPPROTO_IP, IP_MTU), (IPPROTO_IPV6, IPV6_MTU)})
HEADERS: Final = frozenset(
    {
        (IPPROTO_IPV6, IPV6_HOPOPTS),
        (IPPROTO_IPV6, IPV6_RTHDRDSTOPTS),
        (IPPROTO_IPV6, IPV6_RTHDR),
        (IPPROTO_IPV6, IPV6_DSTOPTS),
    }
)
MEMBERSHIPS: Final = frozenset(
    {
        (IPPROTO_IP, IP_ADD_MEMBERSHIP),
        (IPPROTO_IP, IP_DROP_MEMBERSHIP),
        (IPPROTO_IPV6, IPV6_JOIN_GROUP),
        (IPPROTO_IPV6, IPV6_LEAVE_GROUP),
    }
)
ANYCAST: Final = frozenset({(IPPROTO_IPV6, IPV6_JOIN_ANYCAST), (IPPROTO_IPV6, IPV6_LEAVE_ANYCAST)})
MD5_KEYS: Final = frozenset({(IPPROTO_TCP, TCP_MD5SIG), (IPPROTO_TCP, TCP_MD5SIG_EXT)})
MD5SIG_SIZE: Final = 216
MD5_KEY_MAX: Final = 80  # TCP_MD5SIG_MAXKEYLEN

# How many bytes some values have, the fewest and the most: others are refused before anything is read.
SIZES: Final[dict[Key, tuple[int, int]]] = {
    IP_HEADER: (1, OPTIONS_MAX),
    **GROUP_SIZES,
    **{(IPPROTO_IPV6, name): (IPV6_MREQ_SIZE, INT_MAX) for name in (IPV6_JOIN_GROUP, IPV6_LEAVE_GROUP)},
    **dict.fromkeys(ANYCAST, (IPV6_MREQ_SIZE, INT_MAX)),
    (IPPROTO_IPV6, IPV6_FLOWLABEL_MGR): (32, INT_MAX),
    PKTINFO: (1, 0),
    **dict.fromkeys(((IPPROTO_TCP, TCP_CONGESTION), ULP), (1, INT_MAX)),
}


def get_packed(socket: AnySocket, key: Key, buflen: int) -> bytes | None:
    """The bytes that getsockopt fills a buffer of *buflen* with (0: a C int's); ``None`` for an option of another kind."""
    if key == MEMORY:
        return memory_of(socket)
    tell = TELLERS.get(key)
    if tell is not None:
        return tell(socket, key, buflen)
    if key in SETTERS and key not in TOLD_AS_RARE:
        raise socket_error(ENOPROTOOPT)  # to be set only
    return told(socket, key, buflen)


def set_packed(socket: AnySocket, key: Key, given: int | bytes) -> bool:
    """Set the option if it is one of these; False for another kind."""
    if key == DETACH_FILTER and kept(socket, NO_FILTER) and (isinstance(given, int) or len(given) >= 4):
        raise socket_error(EPERM)
    if key in TOLD_ONLY:
        raise socket_error(ENOPROTOOPT)
    put = SETTERS.get(key)
    if put is None:
        return False
    put(socket, key, struct.pack("=i", given) if isinstance(given, int) else given)
    return True


def go_by_scope(socket: AnySocket, address: Sequence[Any], *, binds: bool = False) -> None:
    """An IPv6 address of one link, or of a group on it, binds *socket* to that link, whatever becomes of the call.

    Raises:
        OSError: EINVAL, it names no link and the socket has none, or it has another one and connects.
    """
    if not of_a_link(address[0]):
        return
    scope = address[3] if len(address) > 3 else 0
    bound = link_of(socket)
    if not (scope or bound or binds) and is_group(address[0]):
        scope = (socket.options or {}).get((IPPROTO_IPV6, IPV6_MULTICAST_IF), 0)
    if not (scope or bound) or (not binds and scope and bound and scope != bound):
        raise socket_error(EINVAL)
    if scope:
        keep(socket, LINK, _link_kept(scope))


def check_before_bind(socket: Any, address: Sequence[Any], ip: str) -> None:
    """What is looked at before it is asked whose address *ip* is, which an IPv6 *socket* is to be bound to.

    Raises:
        OSError: EINVAL, an address of IPv4 is none for IPv6 only; ENODEV, it had to be one on a link that is not there; and
            of `go_by_scope`.
    """
    if ":" not in ip and socket.sharing & V6_ONLY:
        raise socket_error(EINVAL)
    if ip[0] == "f":
        go_by_scope(socket, address, binds=True)
    if ip != ANY6 and is_nowhere(socket):
        raise socket_error(ENODEV)


def with_link(socket: AnySocket, name: tuple[Any, ...]) -> tuple[Any, ...]:
    """*name* of *socket* as it shows: an IPv6 address of one link, or a group on it, with the link that the socket is bound to."""
    if len(name) == 4 and name[0][0] == "f" and of_a_link(name[0]) and (link := link_of(socket)):
        return (*name[:3], link)
    return name


def is_elsewhere(socket: AnySocket, ip: str) -> bool:
    """Is *ip* IPv6's loopback, and *socket* bound to another link, which has no such address?"""
    return ip == LOOPBACK_V6 and socket.options is not None and link_of(socket) > LOOPBACK_LINK


def link_of(socket: AnySocket) -> int:
    """The number of the link that *socket* is bound to; 0 for none."""
    name = kept(socket, LINK)
    if name.startswith(NO_LINK):
        return int(name[len(NO_LINK) :])
    return LINKS.index(name[:-1]) + 1 if name else 0


def _link_kept(number: int) -> bytes:
    """What is kept of the link *number*, whether there is one or not."""
    return LINKS[number - 1] + b"\0" if number <= len(LINKS) else NO_LINK + b"%d" % number


def _may_leave_link(socket: AnySocket) -> None:
    """Who is bound to a link stays there without CAP_NET_RAW: EPERM."""
    if kept(socket, LINK) and not socket.stack.privileged:
        raise socket_error(EPERM)


def read(socket: AnySocket, key: Key, value: NoBuffer, known: bool) -> bytes:
    """What setsockopt reads where it is given no buffer."""
    stream = socket.type == SOCK_STREAM
    if key == FASTOPEN_KEY:
        raise socket_error(EFAULT if value.length in FASTOPEN_KEY_SIZES else EINVAL)
    if value.length and key in SIZES and not (stream and key in MEMBERSHIPS):
        fewest, most = SIZES[key]
        raise socket_error(EFAULT if fewest <= value.length <= most else EINVAL)
    if value.length and key == (IPPROTO_IPV6, IPV6_2292PKTOPTIONS):
        raise socket_error(EFAULT)
    if key in NOT_READ:
        return b""
    own = IP_MREQ_SIZE if key in MEMBERSHIPS else 4 if key == MULTICAST_LINK else 0
    if own and stream:
        return bytes(min(value.length, 1024))  # it is refused before it is read
    if own and value.length < own:
        return b""
    return read_nothing(key, value.length, known or ((key in SETTERS or key in TOLD_ONLY) and key not in MTUS))


def _mtu(socket: AnySocket) -> int:
    peer: Endpoint | None = socket.peer
    if peer is None or not knows_route(socket):
        raise socket_error(ENOTCONN)
    if is_group(peer[0]) and ":" not in peer[0]:
        sender = cast("DatagramSender", socket)
        assert sender.local is not None
        link = link_to_groups(sender, peer[0], sender.local[0])
        return LOOPBACK_MTU if link == LOOPBACK_LINK else ETHERNET_MTU
    if socket.type == SOCK_STREAM and cast("Any", socket).locks & SPEAKS_IPV4:
        return LOOPBACK_MTU if is_loopback(peer[0]) else ETHERNET_MTU
    return mtu_to(peer[0])


def mtu_to(ip: str, of_link: bool = False) -> int:
    """How long a packet to *ip* may be, by its way or, *of_link*, by the link alone."""
    if not is_loopback(ip):
        return ETHERNET_MTU
    return LOOPBACK_MTU if ":" not in ip and not of_link else LOOPBACK_MTU_V6


def _set_ip_options(socket: AnySocket, key: Key, value: bytes) -> None:
    """A stream keeps those that do nothing; a datagram takes any that are modelled along."""
    kept = compiled(value, socket.stack.privileged)
    if socket.type == SOCK_STREAM and socket.family != AF_INET6 and socket.peer is None:
        # tcp_sync_mss(), for a path of which nothing is known
        socket.options = {**(socket.options or {}), LAST_MSS: _MSS_OF_NO_PATH}
    if socket.type == SOCK_STREAM and kept.lstrip(b"\1").strip(b"\0"):
        not_modelled("setsockopt(IP_OPTIONS)")
    keep(socket, key, kept)


def _set_header(socket: AnySocket, key: Key, value: bytes) -> None:
    """An extension header of IPv6, which takes CAP_NET_RAW, but for one that leads along a way; or none."""
    if key[1] != IPV6_RTHDR and not socket.stack.privileged:
        raise socket_error(EPERM)
    if value and (len(value) < 8 or len(value) % 8 or key[1] == IPV6_RTHDR):
        raise socket_error(EINVAL)
    if value:
        not_modelled(f"setsockopt(level {key[0]}, option {key[1]})")


def _set_pace(socket: AnySocket, key: Key, value: bytes) -> None:
    """SO_MAX_PACING_RATE: the bytes a second, as they are told; nothing here goes by them."""
    _at_least(4, value)
    rate = value[: len(NO_LIMIT)] if len(value) >= len(NO_LIMIT) else value[:4] + bytes(4)
    keep(socket, key, NO_LIMIT if rate == NO_LIMIT[:4] + bytes(4) else rate)


def _tell_pace(socket: AnySocket, key: Key, buflen: int) -> bytes:
    rate = kept(socket, key) or NO_LIMIT
    return rate if buflen >= len(rate) else struct.pack("=I", min(*struct.unpack("=Q", rate), 0xFFFFFFFF))


def _lock_filter(socket: AnySocket, key: Key, value: bytes) -> None:
    """SO_LOCK_FILTER: once locked it stays so, and it locks out what nobody can attach here."""
    _at_least(4, value)
    if any(value[:4]):
        keep(socket, key, struct.pack("=i", 1))
    elif kept(socket, key):
        raise socket_error(EPERM)


def _set_form(socket: AnySocket, _key: Key, value: bytes) -> None:
    """Make an IPv6 socket one of IPv4, which only a connection over IPv4 may become."""
    _at_least(4, value)
    if struct.unpack_from("=i", value)[0] != AF_INET:
        raise socket_error(EINVAL)
    if socket.state != ESTABLISHED:
        raise socket_error(ENOTCONN)
    if ":" in socket.peer[0]:
        raise socket_error(EADDRNOTAVAIL)
    not_modelled("setsockopt(IPV6_ADDRFORM) of a connection over IPv4")


def _set_membership(socket: Any, key: Key, value: bytes) -> None:
    if socket.type == SOCK_STREAM:
        raise socket_error(EINVAL if len(value) < 20 and key[0] == IPPROTO_IPV6 else EPROTO)
    join_or_leave(socket, key[0], value, leaves=key[1] in (IP_DROP_MEMBERSHIP, IPV6_LEAVE_GROUP))


def _refuse_md5(socket: AnySocket, _key: Key, value: bytes) -> None:
    """TCP_MD5SIG, struct tcp_md5sig: a key for what goes to an address. None is modelled, but there is none to be taken back."""
    if len(value) < MD5SIG_SIZE or struct.unpack_from("=H", value)[0] != socket.family:
        raise socket_error(EINVAL)
    length = struct.unpack_from("=H", value, 130)[0]
    if not length:
        raise socket_error(ENOENT)
    if length > MD5_KEY_MAX:
        raise socket_error(EINVAL)
    not_modelled("setsockopt(TCP_MD5SIG)")


def _set_mtu(socket: AnySocket, _key: Key, value: bytes) -> None:
    """IPV6_MTU: the longest piece that a packet is cut into. A stream is in segments, and the default cuts nothing on loopback."""
    size = struct.unpack_from("=i", value)[0] if len(value) >= 4 else -1
    if size and size < IPV6_MTU_MIN:
        raise socket_error(EINVAL)
    if socket.type != SOCK_STREAM and 0 < size < LOOPBACK_MTU_V6:
        not_modelled("setsockopt(IPV6_MTU)")


def _refuse_anycast(_socket: AnySocket, key: Key, value: bytes) -> None:
    """Nobody joins, for that takes a privilege; so nobody has joined."""
    _at_least(IPV6_MREQ_SIZE, value)
    raise socket_error(EPERM if key[1] == IPV6_JOIN_ANYCAST else ENOENT)


def _refuse_protocol(_socket: AnySocket, _key: Key, value: bytes) -> None:
    """TCP_ULP: no module is there, kTLS's for one; the other is the kernel's own, and for itself."""
    raise socket_error(EOPNOTSUPP if value == b"mptcp" else ENOENT if value else EINVAL)


def _set_fastopen_key(socket: AnySocket, key: Key, value: bytes) -> None:
    if len(value) not in FASTOPEN_KEY_SIZES:
        raise socket_error(EINVAL)
    keep(socket, key, value)


def _bind_to_link(socket: AnySocket, key: Key, value: bytes) -> None:
    """SO_BINDTODEVICE. Every link leads wherever packets go: the name is only kept."""
    name = value[: IFNAMSIZ - 1].partition(b"\0")[0]
    if name and name not in LINKS:
        raise socket_error(ENODEV)
    _may_leave_link(socket)
    forget_route(socket)
    keep(socket, key, name and name + b"\0")


def _tell_link(socket: AnySocket, key: Key, buflen: int) -> Any:
    name = kept(socket, key)
    if name and buflen < IFNAMSIZ:
        raise socket_error(EINVAL)
    if name.startswith(NO_LINK):
        raise socket_error(ENODEV)
    return name


def _bind_to_link_number(socket: AnySocket, _key: Key, value: bytes) -> None:
    """SO_BINDTOIFINDEX."""
    _at_least(4, value)
    _may_leave_link(socket)
    if (number := struct.unpack_from("=i", value)[0]) < 0:
        raise socket_error(EINVAL)
    forget_route(socket)
    keep(socket, LINK, _link_kept(number) if number else b"")


def _choose_link_to_groups(socket: AnySocket, key: Key, value: bytes) -> None:
    """IP_MULTICAST_IF."""
    if socket.type == SOCK_STREAM:
        raise socket_error(EINVAL)
    keep(socket, key, choose_link(cast("DatagramSender", socket), value))


def _set_packet_info(socket: AnySocket, _key: Key, value: bytes) -> None:
    """IPV6_PKTINFO: a source and a link to send from; none of the first."""
    _at_least(PKTINFO_SIZE, value)
    if (link := link_of(socket)) and link != struct.unpack_from("=i", value, 16)[0]:
        raise socket_error(EINVAL)
    if value[:PKTINFO_SIZE].strip(b"\0"):
        not_modelled("setsockopt(IPV6_PKTINFO) with a source to send from")


def _tell_path(socket: AnySocket, _key: Key, buflen: int) -> bytes:
    """IPV6_PATHMTU: struct ip6_mtuinfo."""
    if buflen < MTUINFO_SIZE:
        raise socket_error(EINVAL)
    return struct.pack("=28xi", _mtu(socket))


def _at_least(size: int, value: bytes) -> None:
    if len(value) < size:
        raise socket_error(EINVAL)


def _kept_or(default: bytes) -> Teller:
    return lambda socket, key, _buflen: kept(socket, key) or default


# Who sets an option: is given the socket, the option and the value.
SETTERS: Final[dict[Key, Setter]] = {
    IP_HEADER: _set_ip_options,
    FORM: _set_form,
    PACE: _set_pace,
    NO_FILTER: _lock_filter,
    ULP: _refuse_protocol,
    FASTOPEN_KEY: _set_fastopen_key,
    LINK: _bind_to_link,
    LINK_NUMBER: _bind_to_link_number,
    MULTICAST_LINK: _choose_link_to_groups,
    PKTINFO: _set_packet_info,
    (IPPROTO_IPV6, IPV6_MTU): _set_mtu,
    **dict.fromkeys(HEADERS, _set_header),
    **dict.fromkeys(MEMBERSHIPS, _set_membership),
    **dict.fromkeys(GROUP_OPTIONS, set_group_option),
    **dict.fromkeys(ANYCAST, _refuse_anycast),
    **dict.fromkeys(MD5_KEYS, _refuse_md5),
    **ODD,
}
# Who tells it: is given the socket, the option and the length of the buffer.
TELLERS: Final[dict[Key, Teller]] = {
    PACE: _tell_pace,
    NO_FILTER: _kept_or(bytes(4)),
    TXTIME: _kept_or(bytes(8)),
    PREFERENCES: _kept_or(struct.pack("=i", PREFERENCES_DEFAULT)),
    MULTICAST_LINK: _kept_or(bytes(4)),
    LINK: _tell_link,
    LINK_NUMBER: lambda socket, _key, _buflen: struct.pack("=i", link_of(socket)),
    IP_HEADER: lambda socket, key, _buflen: kept(socket, key),
    PATH_MTU: _tell_path,
    **dict.fromkeys(MTUS, lambda socket, _key, _buflen: struct.pack("=i", _mtu(socket))),
    **dict.fromkeys(HEADERS, lambda _socket, _key, _buflen: b""),
}
TOLD_ONLY: Final = frozenset({PATH_MTU, (IPPROTO_IP, IP_MTU)})
# What `told` answers, though it is set here.
TOLD_AS_RARE: Final = frozenset({*ODD, *GROUP_OPTIONS, *ANYCAST, *MD5_KEYS, ULP, FASTOPEN_KEY, FORM})
