"""``fcntl.ioctl`` on a simulated descriptor: how much is unread and unsent, is this the urgent mark, flags, and links."""

from __future__ import annotations

import errno
import struct
from operator import index
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.calls.descriptor_flags import NOBODY, O_ASYNC, owner, refused, set_owner, set_status, status
from simnet.calls.link_requests import LINK_REQUESTS, link_request
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, SIOCATMARK, SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, SOCK_STREAM
from simnet.poll_arguments import descriptor_of

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["ioctl"]

INT = struct.Struct("=i")
KNOWN = {SIOCINQ: "FIONREAD", SIOCOUTQ: "SIOCOUTQ", SIOCATMARK: "SIOCATMARK", SIOCOUTQNSD: "SIOCOUTQNSD"}
FIONCLEX, FIOCLEX, FIONBIO, FIOASYNC = 0x5450, 0x5451, 0x5421, 0x5452
SET_OWNER, GET_OWNER = (0x8901, 0x8902), (0x8903, 0x8904)  # FIOSETOWN, SIOCSPGRP; FIOGETOWN, SIOCGPGRP
STAMPS = (0x8906, 0x8907)  # SIOCGSTAMP, SIOCGSTAMPNS: when the last packet came, which no stream is told
FIGETBSZ, BLOCK_SIZE = 2, 4096
FS_IOC_FIEMAP = 0xC020660B
SOCKETS_OWN = 0x89  # the type of requests that are for sockets and links


def ioctl(process: Process, fd: Any, request: Any, argument: Any = 0, mutate: Any = True) -> Any:
    """The answer as ``fcntl.ioctl`` hands it over: an integer, or the filled bytes.

    Raises:
        TypeError, ValueError: as CPython's, text included.
        OSError: EBADF; EINVAL on a listener; ENOTTY for what is no socket.
    """
    number = descriptor_of(fd)
    _look_over(request, argument, mutate)
    file: Any = process.descriptors.get(number)
    request = index(request) & 0xFFFFFFFF
    ask = getattr(file, "ioctl", None)
    inheritable = process.descriptors.inheritable
    if request == FIONCLEX:
        inheritable.add(number)
        answer = b""
    elif request == FIOCLEX:
        inheritable.discard(number)
        answer = b""
    elif request == FIONBIO:
        answer = bytes(_bytes(argument)[: INT.size])
        if len(answer) < INT.size:
            raise socket_error(errno.EFAULT)
        file.nonblocking = any(answer)
    elif request == FIGETBSZ:
        answer = INT.pack(BLOCK_SIZE)
    elif request == FS_IOC_FIEMAP:
        raise socket_error(errno.EOPNOTSUPP)
    elif ask is not None and request in (FIOASYNC, *SET_OWNER):
        given = bytes(_bytes(argument)[: INT.size])
        if len(given) < INT.size:
            raise socket_error(errno.EFAULT)
        if request == FIOASYNC:
            set_status(process, file, status(file) & ~O_ASYNC | (O_ASYNC if any(given) else 0))
        else:
            set_owner(process, file, INT.unpack(given)[0])
        answer = given if request == FIOASYNC else b""
    elif ask is None and request != FIOASYNC:
        raise socket_error(errno.EINVAL)  # an epoll has requests of its own, and says so of all others
    elif ask is None or (request not in KNOWN and request >> 8 & 0xFF != SOCKETS_OWN):
        raise socket_error(errno.ENOTTY)
    elif request in GET_OWNER:
        answer = INT.pack(owner(file))
    elif (
        request in LINK_REQUESTS
        and (told := link_request(process.machine, file, request, bytes(_bytes(argument)))) is not None
    ):
        answer = told
    elif request in STAMPS and file.type == SOCK_STREAM:
        raise socket_error(errno.ENOTTY if file.family == AF_UNIX else errno.ENOENT)
    elif request not in KNOWN:
        raise refused(process, f"ioctl(request {request:#x})")
    else:
        answer = INT.pack(ask(request))
    if hasattr(argument, "__index__"):
        if answer:
            raise socket_error(errno.EFAULT)  # the kernel would write to that address
        return 0
    view = _bytes(argument)
    if view.readonly or not mutate:
        return answer[: len(view)] + bytes(view[len(answer) :])
    view[: len(answer)] = answer[: len(view)]
    return 0


def _bytes(argument: Any) -> memoryview:
    """What the kernel would read at *argument*, and write to; nothing where that is a number."""
    if hasattr(argument, "__index__"):
        return memoryview(b"")
    return memoryview(argument.encode() if isinstance(argument, str) else argument).cast("B")


def _look_over(request: Any, argument: Any, mutate: Any) -> None:
    """Let CPython look at what it is asked, of a number that no descriptor has."""
    try:
        real.ioctl(NOBODY, request, argument, mutate)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
