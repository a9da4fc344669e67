"""``fcntl.ioctl`` on a simulated descriptor: how much is unread, how much unsent, is this the urgent mark, and does it block?"""

from __future__ import annotations

import errno
import struct
from operator import index
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.kernel.errors import socket_error
from simnet.poll_arguments import descriptor_of
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["ioctl"]

INT = struct.Struct("=i")
KNOWN = {0x541B: "FIONREAD", 0x5411: "SIOCOUTQ", 0x8905: "SIOCATMARK", 0x894B: "SIOCOUTQNSD"}
FIONCLEX, FIOCLEX, FIONBIO, FIOASYNC = 0x5450, 0x5451, 0x5421, 0x5452
OWNERS = (0x8903, 0x8904)  # FIOGETOWN and SIOCGPGRP: to whom SIGIO and SIGURG go, which is nobody
SOCKETS_OWN = 0x89  # the type of requests that are for sockets and links
NOBODY = 0x7FFFFFFF


def ioctl(process: Process, fd: Any, request: Any, argument: Any = 0, mutate: Any = True) -> Any:
    """The answer as ``fcntl.ioctl`` hands it over: an integer, or the filled bytes.

    Raises:
        TypeError, ValueError: as CPython's, text included.
        OSError: EBADF; EINVAL on a listener; ENOTTY for what is no socket.
    """
    number = descriptor_of(fd)
    _look_over(request, argument, mutate)
    file = process.descriptors.get(number)
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
    elif ask is None or (request not in {*KNOWN, FIOASYNC} and request >> 8 & 0xFF != SOCKETS_OWN):
        raise socket_error(errno.ENOTTY)
    elif request in OWNERS:
        answer = INT.pack(0)
    elif request not in KNOWN:
        refusal = NotModelled(f"ioctl(request {request:#x})")
        process.scheduler.record(Verdict("NotModelled", str(refusal), process.host_name, refusal))
        raise refusal
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
