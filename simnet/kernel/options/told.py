"""Options that getsockopt tells in bytes, and those that it does not tell: each has its function or its error here.

All as measured on Linux 6.18. What no row has is a number, in the tables of the socket's kind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from errno import EADDRNOTAVAIL, EINVAL, ENODATA, ENOENT, ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPERM, ERANGE
from ipaddress import ip_address
from typing import Any, Final

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.inet import shown
from simnet.kernel.messages import AF_INET6, AF_UNIX, SOCK_STREAM
from simnet.kernel.options import rare
from simnet.kernel.options.values import (
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    SO_RCVBUF,
    SO_RCVBUFFORCE,
    SO_SNDBUF,
    SO_SNDBUFFORCE,
    SO_TIMESTAMPING,
    SO_TIMESTAMPING_NEW,
    SOL_SOCKET,
    AnySocket,
    Key,
)
from simnet.kernel.states import ESTABLISHED

_NOT_TOLD: Final[dict[Key, int]] = {
    **{
        (SOL_SOCKET, name): ENOPROTOOPT
        for name in (
            rare.SO_DETACH_FILTER, SO_SNDBUFFORCE, SO_RCVBUFFORCE, 50, 51, 52, rare.SO_CNX_ADVICE,
            rare.SO_DETACH_REUSEPORT_BPF, rare.SO_BUSY_POLL_BUDGET, rare.SO_DEVMEM_DONTNEED, rare.SO_INQ,
        )
    },
    **{(IPPROTO_IP, name): ENOPROTOOPT for name in (16, 17, *rare.MULTICAST_BY_SOURCE, *rare.NETFILTER)},
    **{(IPPROTO_IP, name): EINVAL for name in (41, 48)},  # IP_MSFILTER and MCAST_MSFILTER, of less than a filter
    **{(IPPROTO_IP, name): EPERM for name in (*rare.IPTABLES, rare.IP_VS_SO_GET)},  # the tables of netfilter
    **{
        (IPPROTO_TCP, name): ENOPROTOOPT
        for name in (rare.TCP_MD5SIG, rare.TCP_REPAIR_OPTIONS, rare.TCP_MD5SIG_EXT)
    },
    **{
        (IPPROTO_TCP, name): EINVAL
        for name in (rare.TCP_REPAIR_QUEUE, rare.TCP_QUEUE_SEQ, rare.TCP_ZEROCOPY_RECEIVE)
    },
    (IPPROTO_TCP, 42): EPERM,  # TCP_AO_REPAIR
    **{(IPPROTO_IPV6, name): ENOPROTOOPT for name in (27, 28, 34, 35, *range(42, 48))},
    **{(IPPROTO_IPV6, name): EPERM for name in (64, 65, 68, 69)},
}  # fmt: skip


def told(socket: AnySocket, key: Key, buflen: int) -> bytes | None:
    """The bytes that getsockopt fills a buffer of *buflen* with; ``None`` for an option that is told as a number."""
    refusal = _NOT_TOLD.get(key, 0)
    if refusal:
        raise socket_error(refusal)
    tell = _TELLERS.get(key)
    return None if tell is None else tell(socket, key, buflen)


def locks_of(kept: Mapping[Key, Any]) -> int:
    """SO_BUF_LOCK: which of the two buffers keep their size, 1 and 2; those that were set, or what was said since."""
    locks: int = kept.get(rare.BUFFER_LOCKS, ((SOL_SOCKET, SO_SNDBUF) in kept) + 2 * ((SOL_SOCKET, SO_RCVBUF) in kept))
    return locks


# --- one function for each -------------------------------------------------------------------------------------------


def _always(value: bytes) -> _Teller:
    return lambda socket, key, buflen: value


def _clock(socket: Any, key: Key, buflen: int) -> bytes:
    """In milliseconds, which begin with the host; a kernel adds to each connection's what nobody can foresee."""
    return struct.pack("=I", socket.stack.clock.now_ns // 1_000_000 & 0xFFFFFFFF)


def _protocol(socket: Any, key: Key, buflen: int) -> bytes:
    """What a raw socket has instead of its port."""
    return struct.pack("=i", socket.port)[: 1 if 0 < buflen < 4 and socket.port < 256 else 4]


def _repair_window(socket: Any, key: Key, buflen: int) -> bytes:
    raise socket_error(EPERM if buflen == rare.REPAIR_WINDOW_SIZE else EINVAL)  # nobody repairs here


def _original_destination(socket: Any, key: Key, buflen: int) -> bytes:
    if socket.type != SOCK_STREAM:
        raise socket_error(ENOPROTOOPT)
    raise socket_error(EINVAL if buflen < rare.ORIGINAL_DST[key] else ENOENT)  # he wanted to go here


def _address_form(socket: Any, key: Key, buflen: int) -> bytes:
    if socket.state != ESTABLISHED:
        raise socket_error(ENOTCONN)
    return struct.pack("=i", socket.family)


def _asked_in_buffer(size: int, error: int) -> _Teller:
    """What is asked for stands in the caller's buffer, of *size* bytes; there, nothing stands."""

    def tell(socket: Any, key: Key, buflen: int) -> bytes:
        raise socket_error(EINVAL if buflen < size else error)

    return tell


def _of_last_packet(socket: Any, key: Key, buflen: int) -> bytes:
    if socket.type != SOCK_STREAM:
        raise socket_error(ENOPROTOOPT)
    level, name = key
    if any((socket.options or {}).get((level, each)) for each in rare.PACKET_OPTIONS[key]):
        not_modelled(f"getsockopt(level {level}, option {name}) of who asks for something of a packet")
    return b""


def _fastopen_key(socket: Any, key: Key, buflen: int) -> bytes:
    kept: bytes = (socket.options or {}).get(key, b"")
    return kept


def _peer_name(socket: Any, key: Key, buflen: int) -> bytes:
    """The first *buflen* bytes of the peer's name as a struct sockaddr; EINVAL if it is shorter."""
    name: Any
    if socket.type == SOCK_STREAM and socket.family != AF_UNIX and socket.peer is not None and socket.peer[1]:
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
    length = buflen or 4
    if length > len(packed):
        raise socket_error(EINVAL)
    return packed[:length]


def _cookie(socket: Any, key: Key, buflen: int) -> bytes:
    if buflen < 8:
        raise socket_error(EINVAL)
    return struct.pack("=Q", socket.stack.cookie_of(socket))


def _namespace_cookie(socket: Any, key: Key, buflen: int) -> bytes:
    if buflen != 8:
        raise socket_error(EINVAL)
    return struct.pack("=Q", 1)  # of the first namespace of a machine


def _peer_groups(socket: Any, key: Key, buflen: int) -> bytes:
    _must_have_credentials(socket)
    groups = socket.stack.groups
    if (buflen or 4) < 4 * len(groups):
        raise socket_error(ERANGE)
    return struct.pack(f"={len(groups)}I", *groups)


def _peer_pidfd(socket: Any, key: Key, buflen: int) -> bytes:
    _must_have_credentials(socket)
    not_modelled(f"getsockopt(level {key[0]}, option {key[1]})")


def _must_have_credentials(socket: Any) -> None:
    if socket.family != AF_UNIX or not socket.credentials[0]:
        raise socket_error(ENODATA)  # there is no peer with credentials


def _transmit_rehash(socket: Any, key: Key, buflen: int) -> bytes | None:
    if socket.type != SOCK_STREAM or socket.family == AF_UNIX:
        raise socket_error(EOPNOTSUPP)
    return None


def _timestamping(socket: Any, key: Key, buflen: int) -> bytes:
    kept = socket.options or {}
    flags = kept.get((SOL_SOCKET, SO_TIMESTAMPING), 0)
    return struct.pack("=i4x", flags if key[1] == SO_TIMESTAMPING or kept.get(rare.NEW_STAMPS) else 0)


def _buffer_locks(socket: Any, key: Key, buflen: int) -> bytes:
    return struct.pack("=i", locks_of(socket.options or {}))


_Teller = Callable[[Any, Key, int], bytes | None]

_TELLERS: Final[dict[Key, _Teller]] = {
    (SOL_SOCKET, 26): _always(b""),  # SO_GET_FILTER: there is none
    (SOL_SOCKET, rare.SO_PEERNAME): _peer_name,
    (SOL_SOCKET, rare.SO_COOKIE): _cookie,
    (SOL_SOCKET, rare.SO_NETNS_COOKIE): _namespace_cookie,
    (SOL_SOCKET, rare.SO_PEERGROUPS): _peer_groups,
    (SOL_SOCKET, rare.SO_PEERPIDFD): _peer_pidfd,
    (SOL_SOCKET, rare.SO_TXREHASH): _transmit_rehash,
    (SOL_SOCKET, SO_TIMESTAMPING): _timestamping,
    (SOL_SOCKET, SO_TIMESTAMPING_NEW): _timestamping,
    rare.BUFFER_LOCKS: _buffer_locks,
    (IPPROTO_IP, rare.IP_PROTOCOL): _protocol,
    **dict.fromkeys(rare.ORIGINAL_DST, _original_destination),
    **dict.fromkeys(rare.PACKET_OPTIONS, _of_last_packet),
    (IPPROTO_IPV6, rare.IPV6_ADDRFORM): _address_form,
    (IPPROTO_IPV6, rare.IPV6_FLOWLABEL_MGR): _asked_in_buffer(32, ENOENT),
    (IPPROTO_IPV6, 48): _asked_in_buffer(144, EADDRNOTAVAIL),  # MCAST_MSFILTER
    (IPPROTO_TCP, rare.TCP_CC_INFO): _always(bytes(20)),
    (IPPROTO_TCP, rare.TCP_ULP): _always(b""),
    (IPPROTO_TCP, rare.TCP_TIMESTAMP): _clock,
    (IPPROTO_TCP, rare.TCP_REPAIR_WINDOW): _repair_window,
    rare.FASTOPEN_KEY: _fastopen_key,
}
