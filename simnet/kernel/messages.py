"""Flags of send and recv, and the ioctl requests of sockets, by Linux's numbers."""

from collections.abc import Iterable
from typing import Final

MSG_OOB: Final = 0x1
MSG_PEEK: Final = 0x2
MSG_DONTROUTE: Final = 0x4
MSG_CTRUNC: Final = 0x8
MSG_TRUNC: Final = 0x20
MSG_DONTWAIT: Final = 0x40
MSG_EOR: Final = 0x80
MSG_WAITALL: Final = 0x100
MSG_CONFIRM: Final = 0x800
MSG_ERRQUEUE: Final = 0x2000
MSG_NOSIGNAL: Final = 0x4000
MSG_MORE: Final = 0x8000
MSG_FASTOPEN: Final = 0x20000000
MSG_CMSG_CLOEXEC: Final = 0x40000000

# Accepted without effect: the stack never blocks, knows one route, and Python ignores SIGPIPE (K-068). What says something
# in one direction only, Linux does not look at in the other.
SEND_HINTS: Final = (
    MSG_DONTROUTE | MSG_DONTWAIT | MSG_EOR | MSG_CONFIRM | MSG_NOSIGNAL
    | MSG_PEEK | MSG_CTRUNC | MSG_TRUNC | MSG_WAITALL | MSG_ERRQUEUE | MSG_CMSG_CLOEXEC
)  # fmt: skip
RECEIVE_HINTS: Final = (
    MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC
    | MSG_DONTROUTE | MSG_CTRUNC | MSG_EOR | MSG_CONFIRM | MSG_MORE | MSG_FASTOPEN
)  # fmt: skip

SEND_FLAGS: Final = SEND_HINTS | MSG_OOB | MSG_MORE
RECEIVE_FLAGS: Final = RECEIVE_HINTS | MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE

SIOCINQ: Final = 0x541B  # FIONREAD
SIOCOUTQ: Final = 0x5411  # TIOCOUTQ
SIOCATMARK: Final = 0x8905
SIOCOUTQNSD: Final = 0x894B

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
SOCK_NONBLOCK: Final = 0o4000
SOCK_CLOEXEC: Final = 0o2000000

UNIX_ONLY: Final = (1, 2)  # SCM_RIGHTS and SCM_CREDENTIALS: other sockets take no notice (__sock_cmsg_send)

Message = tuple[int, int, bytes]  # one of recvmsg's: level, kind, data
CMSG_HEADER: Final = 16  # struct cmsghdr


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
