"""Flags of send and recv, families and types of sockets, and their ioctl requests, by Linux's numbers."""

import struct
from collections.abc import Iterable, Mapping
from errno import EINVAL, ENOBUFS, EPERM
from typing import Any, Final

from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.options.values import (
    SO_MARK,
    SO_PRIORITY,
    SO_TIMESTAMPING,
    SO_TIMESTAMPING_NEW,
    SO_ZEROCOPY,
    SOL_SOCKET,
)

MSG_OOB: Final = 0x1
MSG_PEEK: Final = 0x2
MSG_DONTROUTE: Final = 0x4
MSG_CTRUNC: Final = 0x8
MSG_PROBE: Final = 0x10
MSG_TRUNC: Final = 0x20
MSG_DONTWAIT: Final = 0x40
MSG_EOR: Final = 0x80
MSG_WAITALL: Final = 0x100
MSG_ERRQUEUE: Final = 0x2000
MSG_NOSIGNAL: Final = 0x4000
MSG_MORE: Final = 0x8000
MSG_ZEROCOPY: Final = 0x4000000
MSG_FASTOPEN: Final = 0x20000000
MSG_CMSG_CLOEXEC: Final = 0x40000000

# Linux looks at the bits it knows in the direction they are for, and takes no notice of any other. Of those it knows, these
# have no effect here: MSG_CONFIRM (and MSG_DONTROUTE hardly: there is one route), MSG_DONTWAIT (the stack never blocks) and
# MSG_NOSIGNAL (Python ignores SIGPIPE, K-068).

SIOCINQ: Final = 0x541B  # FIONREAD
SIOCOUTQ: Final = 0x5411  # TIOCOUTQ
SIOCATMARK: Final = 0x8905
SIOCOUTQNSD: Final = 0x894B

UIO_MAXIOV: Final = 1024  # buffers of one message, and of readv(2) and writev(2)

SHUT_RD: Final = 0
SHUT_WR: Final = 1
SHUT_RDWR: Final = 2

AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOCK_RAW: Final = 3
SOCK_SEQPACKET: Final = 5
SOCK_PACKET: Final = 10
SOCK_TYPE_MASK: Final = 0xF
SOCK_NONBLOCK: Final = 0o4000
SOCK_CLOEXEC: Final = 0o2000000

UNIX_ONLY: Final = (1, 2)  # SCM_RIGHTS and SCM_CREDENTIALS: other sockets take no notice (__sock_cmsg_send)
NUMBERS: Final = (SO_PRIORITY, SO_MARK)  # which show through no socket
SCM_TXTIME, SCM_TS_OPT_ID = 61, 81
ASKS_WHEN_SENT: Final = (SO_TIMESTAMPING, SO_TIMESTAMPING_NEW)
WHEN_SENT: Final = 0x4_0303  # SOF_TIMESTAMPING_TX_RECORD_MASK
OPT_ID: Final = 1 << 7  # SOF_TIMESTAMPING_OPT_ID

Message = tuple[int, int, bytes]  # one of recvmsg's: level, kind, data
CMSG_HEADER: Final = 16  # struct cmsghdr
OPTMEM_MAX: Final = 131_072  # net.core.optmem_max: all messages of one send take less


def check_for_any_socket(kind: int, data: Any, socket: Any) -> None:
    """Look at a message of SOL_SOCKET that is sent through an internet *socket*.

    Raises:
        OSError: EINVAL, no socket knows it, or this one has not set what it goes with; EPERM, only who is privileged may
            send it, as a mark, or a high priority.
    """
    privileged = socket.stack.privileged
    if kind == SO_MARK and not privileged:
        raise socket_error(EPERM)
    if kind in UNIX_ONLY:
        return
    size = memoryview(data).nbytes
    options = socket.options or {}
    if kind in ASKS_WHEN_SENT:
        if size != 4 or (asked := struct.unpack("=I", data)[0]) & ~WHEN_SENT:
            raise socket_error(EINVAL)
        if asked:
            not_modelled(f"sendmsg with message {kind} of SOL_SOCKET")
        return
    if kind == SCM_TXTIME and size == 8 and options.get((SOL_SOCKET, SCM_TXTIME)):
        return  # when to leave, to a queue that goes by that, which none here does
    counts = options.get((SOL_SOCKET, SO_TIMESTAMPING), 0) & OPT_ID and socket.type == SOCK_DGRAM
    if kind == SCM_TS_OPT_ID and size == 4 and counts:
        not_modelled(f"sendmsg with message {kind} of SOL_SOCKET")
    if kind not in NUMBERS or size != 4:
        raise socket_error(EINVAL)
    if kind == SO_PRIORITY and not privileged and not 0 <= struct.unpack("=i", data)[0] <= 6:
        raise socket_error(EPERM)


def check_zerocopy(flags: int, options: Mapping[tuple[int, int], Any] | None) -> None:
    """NotModelled for MSG_ZEROCOPY on a socket that has asked for SO_ZEROCOPY: its error queue would have to tell of it."""
    if flags & MSG_ZEROCOPY and options and options.get((SOL_SOCKET, SO_ZEROCOPY)):
        not_modelled("send with MSG_ZEROCOPY")


def fitted(messages: Iterable[Message], room: int) -> tuple[list[Message], int, int]:
    """Those of *messages* that fit a buffer of *room* bytes, the last one cut; MSG_CTRUNC if not all do; the room left.

    As put_cmsg does it.
    """
    fitting: list[Message] = []
    flags = 0
    for level, kind, data in messages:
        if room < CMSG_HEADER:
            flags = MSG_CTRUNC
            continue
        if room < CMSG_HEADER + len(data):
            flags = MSG_CTRUNC
        fitting.append((level, kind, data[: room - CMSG_HEADER]))
        room -= min(CMSG_HEADER + -(-len(data) // 8) * 8, room)
    return fitting, flags, room


def check_room(messages: Iterable[tuple[Any, Any, Any]]) -> None:
    """ENOBUFS, if there is no memory to hand all *messages* of one send to a kernel."""
    if sum(CMSG_HEADER + -(-memoryview(data).nbytes // 8) * 8 for _, _, data in messages) >= OPTMEM_MAX:
        raise socket_error(ENOBUFS)
