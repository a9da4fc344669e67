"""Options that hardly a program sets, and what becomes of their values: when packets leave, which buffers keep their size."""

from __future__ import annotations

import struct
from collections.abc import Callable
from errno import EBADF, EFAULT, EINVAL, ENOENT, ENOPROTOOPT, EPERM, ESRCH
from typing import Any, Final

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.messages import AF_UNIX, CMSG_HEADER, SOCK_STREAM
from simnet.kernel.options.rare import (
    BUFFER_LOCKS,
    IPV6_2292PKTOPTIONS,
    IPV6_ADDR_PREFERENCES,
    IPV6_FLOWLABEL_MGR,
    SO_DETACH_REUSEPORT_BPF,
    SO_DEVMEM_DONTNEED,
    SO_LOCK_FILTER,
    SO_MEMINFO,
    SO_TXTIME,
)
from simnet.kernel.options.routes import forget_route
from simnet.kernel.options.told import locks_of
from simnet.kernel.options.values import IPPROTO_IPV6, SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, AnySocket, Key
from simnet.kernel.ports import REUSE_PORT
from simnet.kernel.states import CLOSED, ESTABLISHED
from simnet.kernel.tcp.control import ISN

BUFFERS: Final = 3  # both of SO_BUF_LOCK
LABEL_REQUEST_SIZE: Final = 32  # struct in6_flowlabel_req
LABEL_GET, LABEL_PUT, LABEL_RENEW = 0, 1, 2
LABEL_CREATE, LABEL_REFLECT = 1, 4
LABEL_SHARES: Final = (1, 2, 3, 255)  # with nobody, in a process, of a user, with anybody
LABEL_MAX: Final = 0xFFFFF
MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"
MEMORY: Final = (SOL_SOCKET, SO_MEMINFO)
TXTIME: Final = (SOL_SOCKET, SO_TXTIME)
TXTIME_SIZE: Final = 8  # struct sock_txtime
CLOCK_MONOTONIC: Final = 1
TXTIME_FLAGS: Final = 3  # SOF_TXTIME_DEADLINE_MODE and SOF_TXTIME_REPORT_ERRORS
UNUSED_MEMORY: Final = (SOL_SOCKET, SO_DEVMEM_DONTNEED)
TOKEN_SIZE: Final = 8  # struct dmabuf_token
TOKENS_MAX: Final = 128
FILTER: Final = (SOL_SOCKET, 26)  # SO_ATTACH_FILTER
PROGRAM_SIZE: Final = 16  # struct sock_fprog
PROGRAM_MAX: Final = 4096  # BPF_MAXINSNS
STANDARD_STREAMS: Final = (0, 1, 2)
FIRST_NUMBER: Final = 1 << 20  # of a simulated descriptor
NUMBERS_END: Final = 1 << 30  # no host opens as many
ADDRESSES: Final = range(1 << 16, 1 << 47)  # where a program has memory
NO_FILTER: Final = (SOL_SOCKET, SO_LOCK_FILTER)
PREFERENCES: Final = (IPPROTO_IPV6, IPV6_ADDR_PREFERENCES)
PREFER_TMP, PREFER_PUBLIC, PREFER_COA, PREFER_CGA = 1, 2, 4, 8  # IPV6_PREFER_SRC_...
PREFER_EITHER, PREFER_HOME, PREFER_NONCGA = 0x100, 0x400, 0x800
PREFERENCES_DEFAULT: Final = PREFER_EITHER | PREFER_HOME
OLD_PACKET_OPTIONS: Final = (IPPROTO_IPV6, IPV6_2292PKTOPTIONS)


def keep(socket: AnySocket, key: Key, value: bytes) -> None:
    """Write down an option that is no number."""
    if socket.options is None:
        socket.options = {}
    socket.options[key] = value


def kept(socket: AnySocket, key: Key) -> bytes:
    """What was written down; nothing until then."""
    value: bytes = (socket.options or {}).get(key, b"")
    return value


def memory_of(socket: Any) -> bytes:
    """SO_MEMINFO: what the buffers hold and may hold, as nine numbers; NotModelled where the kernel keeps memory in reserve.

    A Unix socket never does, one of the internet does once something has come or gone.
    """
    sent = 0
    if socket.family == AF_UNIX:
        sent = socket.held
    elif socket.type == SOCK_STREAM:
        if socket.peer is not None and not (
            socket.state == ESTABLISHED and socket.snd_nxt == socket.rcv_nxt == ISN + 1
        ):
            not_modelled("getsockopt(SO_MEMINFO) of a connection that was used")
    elif socket.port:
        not_modelled("getsockopt(SO_MEMINFO) of a datagram socket that has a port")
    sizes = (socket.getsockopt(SOL_SOCKET, name) for name in (SO_RCVBUF, SO_SNDBUF))
    return struct.pack("=9I", 0, next(sizes), sent, next(sizes), 0, 0, 0, 0, 0)


def _set_txtime(socket: AnySocket, key: Key, value: bytes) -> None:
    """SO_TXTIME: by which clock a packet is told when to leave, to a queue that goes by that, which none here does."""
    if len(value) != TXTIME_SIZE or struct.unpack_from("=I", value, 4)[0] & ~TXTIME_FLAGS:
        raise socket_error(EINVAL)
    if struct.unpack_from("=i", value)[0] != CLOCK_MONOTONIC:
        raise socket_error(EPERM)
    keep(socket, key, value)


def _set_preferences(socket: AnySocket, key: Key, value: bytes) -> None:
    """ip6_sock_set_addr_preferences: which of several addresses to send from; a host has one."""
    if len(value) < 4:
        raise socket_error(EINVAL)
    asked = struct.unpack_from("=i", value)[0]
    origin = asked & (PREFER_PUBLIC | PREFER_TMP | PREFER_EITHER)
    home = asked & (PREFER_HOME | PREFER_COA)
    origins, homes = (0, PREFER_PUBLIC, PREFER_TMP, PREFER_EITHER), (0, PREFER_HOME, PREFER_COA)
    if origin not in origins or home not in homes or (asked & PREFER_CGA and asked & PREFER_NONCGA):
        raise socket_error(EINVAL)
    keep(socket, key, struct.pack("=i", (origin or PREFER_EITHER) | (home or PREFER_HOME)))


def _set_old_packet_options(socket: AnySocket, __: Key, value: bytes) -> None:
    """IPV6_2292PKTOPTIONS: messages for all that is sent; what is too short for one has none."""
    if len(value) < CMSG_HEADER:
        forget_route(socket)  # ipv6_update_options
        return
    if not CMSG_HEADER <= struct.unpack_from("=Q", value)[0] <= len(value):
        raise socket_error(EINVAL)
    not_modelled("setsockopt(IPV6_2292PKTOPTIONS) with a message")


def _manage_label(socket: AnySocket, key: Key, value: bytes) -> None:
    """IPV6_FLOWLABEL_MGR: borrow a flow label, which is not modelled, keep it longer, or give it back."""
    if len(value) < LABEL_REQUEST_SIZE:
        raise socket_error(EINVAL)
    target, label, action, share, flags = struct.unpack_from("!16sIBB", value) + struct.unpack_from("=H", value, 22)
    if action in (LABEL_PUT, LABEL_RENEW):
        by_others = action == LABEL_PUT and flags & LABEL_REFLECT and socket.type != SOCK_STREAM
        raise socket_error(ENOPROTOOPT if by_others else ESRCH)  # nobody has one
    if action == LABEL_GET and flags & LABEL_REFLECT:
        raise socket_error(EPERM)
    if action != LABEL_GET or not flags & LABEL_CREATE or share not in LABEL_SHARES or label > LABEL_MAX:
        raise socket_error(EINVAL)
    if not any(target) or target.startswith(MAPPED_PREFIX):
        raise socket_error(EINVAL)
    not_modelled(f"setsockopt(level {key[0]}, option {key[1]}) that asks for a flow label")


def _free_memory(socket: AnySocket, _: Key, value: bytes) -> None:
    """SO_DEVMEM_DONTNEED: give back memory of a device's, of which a TCP socket here has none, and another never has."""
    if len(value) < 4:
        raise socket_error(EINVAL)
    if socket.type != SOCK_STREAM or socket.family == AF_UNIX:
        raise socket_error(EBADF)
    if len(value) % TOKEN_SIZE or len(value) > TOKEN_SIZE * TOKENS_MAX:
        raise socket_error(EINVAL)


def _detach_program(socket: Any, _: Key, value: bytes) -> None:
    """SO_DETACH_REUSEPORT_BPF: who shares a port has no program that chooses among the sharers."""
    raise socket_error(ENOENT if len(value) >= 4 and socket.sharing & REUSE_PORT else EINVAL)


def _attach_program(socket: AnySocket, key: Key, value: bytes) -> None:
    """SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF: what is no program, by its length and place, is refused.

    Raises:
        OSError: EPERM, only who is privileged attaches one to a TCP socket (measured on Linux 6.18); or SO_LOCK_FILTER is on.
    """
    of_tcp = socket.type == SOCK_STREAM and socket.family != AF_UNIX
    if key == FILTER and of_tcp and len(value) >= 4 and not socket.stack.privileged:
        raise socket_error(EPERM)
    if len(value) != PROGRAM_SIZE:
        raise socket_error(EINVAL)
    _check_filter_lock(socket)
    length, address = struct.unpack("=H6xQ", value)
    if not 0 < length <= PROGRAM_MAX or not address:
        raise socket_error(EINVAL)
    if address not in ADDRESSES:
        raise socket_error(EFAULT)
    not_modelled(f"setsockopt(level {key[0]}, option {key[1]})")


def _attach_loaded(socket: AnySocket, _: Key, value: bytes) -> None:
    """SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF: no number here is that of a program."""
    if len(value) != 4:
        raise socket_error(EINVAL)
    _check_filter_lock(socket)
    number = struct.unpack("=i", value)[0]
    a_file = 0 <= number < len(STANDARD_STREAMS) or FIRST_NUMBER <= number < NUMBERS_END
    raise socket_error(EINVAL if a_file else EBADF)


def _check_filter_lock(socket: AnySocket) -> None:
    if kept(socket, NO_FILTER):
        raise socket_error(EPERM)


def _let_go(socket: Any, locks: int) -> None:
    """The buffers of a TCP socket in *locks* may grow again: one that is not open, nor has another size than at first."""
    for bit, name in ((1, SO_SNDBUF), (2, SO_RCVBUF)):
        if locks & bit:
            size = socket.options.pop((SOL_SOCKET, name), 0)
            if (
                socket.state != CLOSED
                or socket.peer is not None
                or size not in (0, socket.getsockopt(SOL_SOCKET, name))
            ):
                socket.options[(SOL_SOCKET, name)] = size
                not_modelled("setsockopt(SO_BUF_LOCK) that lets go of a buffer of a TCP socket")


def _lock_buffers(socket: Any, _: Key, value: bytes) -> None:
    """SO_BUF_LOCK: which of the two buffers keep the size they have."""
    if len(value) < 4 or not 0 <= (locks := struct.unpack_from("=i", value)[0]) <= BUFFERS:
        raise socket_error(EINVAL)
    before = locks_of(socket.options or {})
    if socket.type != SOCK_STREAM or socket.family == AF_UNIX:  # whose buffers have one size anyway
        socket.options = {**(socket.options or {}), BUFFER_LOCKS: locks}
    else:
        _let_go(socket, before & ~locks)
        for bit, name in ((1, SO_SNDBUF), (2, SO_RCVBUF)):
            if locks & ~before & bit:
                socket.setsockopt(SOL_SOCKET, name, socket.getsockopt(SOL_SOCKET, name) // 2)


ODD: Final[dict[Key, Callable[[Any, Key, bytes], None]]] = {
    TXTIME: _set_txtime,
    PREFERENCES: _set_preferences,
    OLD_PACKET_OPTIONS: _set_old_packet_options,
    UNUSED_MEMORY: _free_memory,
    (IPPROTO_IPV6, IPV6_FLOWLABEL_MGR): _manage_label,
    (SOL_SOCKET, SO_DETACH_REUSEPORT_BPF): _detach_program,
    BUFFER_LOCKS: _lock_buffers,
    **dict.fromkeys((FILTER, (SOL_SOCKET, 51)), _attach_program),
    **dict.fromkeys(((SOL_SOCKET, 50), (SOL_SOCKET, 52)), _attach_loaded),
}
