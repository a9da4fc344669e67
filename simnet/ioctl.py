"""``fcntl.ioctl`` on a simulated descriptor: how much is unread, how much unsent, and is this the urgent mark?"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any

from simnet.kernel.errors import socket_error
from simnet.poll_arguments import descriptor_of
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["ioctl"]

INT = struct.Struct("=i")
KNOWN = {0x541B: "FIONREAD", 0x5411: "SIOCOUTQ", 0x8905: "SIOCATMARK", 0x894B: "SIOCOUTQNSD"}
FIONBIO, FIONCLEX, FIOCLEX = 0x5421, 0x5450, 0x5451


def ioctl(process: Process, fd: Any, request: int, argument: Any = 0, mutate: bool = True) -> Any:
    """The answer as ``fcntl.ioctl`` hands it over: an integer, or the filled bytes.

    Raises:
        OSError: EBADF; EINVAL on a listener; ENOTTY for what is no socket.
    """
    file = process.descriptors.get(descriptor_of(fd))
    if request in (FIONCLEX, FIOCLEX):  # across exec(), which no simulated process reaches
        return 0
    ask = getattr(file, "ioctl", None)
    if ask is None:
        raise socket_error(errno.ENOTTY)
    if request not in KNOWN:
        refusal = NotModelled(f"ioctl(request {request:#x})")
        process.scheduler.record(Verdict("NotModelled", str(refusal), process.host_name, refusal))
        raise refusal
    answer = INT.pack(ask(request))
    if isinstance(argument, int):
        raise socket_error(errno.EFAULT)  # the kernel would write to that address
    if isinstance(argument, (bytes, str)):
        given = argument.encode() if isinstance(argument, str) else argument
        return answer[: len(given)] + given[len(answer) :]
    view = memoryview(argument).cast("B")
    if view.readonly or not mutate:
        return answer[: len(view)] + bytes(view[len(answer) :])
    view[: len(answer)] = answer[: len(view)]
    return 0
