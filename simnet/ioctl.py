"""``fcntl.ioctl`` on a simulated descriptor: how much is unread, how much unsent, and is this the urgent mark?"""

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
FIONCLEX, FIOCLEX = 0x5450, 0x5451
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
    elif ask is None:
        raise socket_error(errno.ENOTTY)
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
    view = memoryview(argument.encode() if isinstance(argument, str) else argument).cast("B")
    if view.readonly or not mutate:
        return answer[: len(view)] + bytes(view[len(answer) :])
    view[: len(answer)] = answer[: len(view)]
    return 0


def _look_over(request: Any, argument: Any, mutate: Any) -> None:
    """Let CPython look at what it is asked, of a number that no descriptor has."""
    try:
        real.ioctl(NOBODY, request, argument, mutate)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
