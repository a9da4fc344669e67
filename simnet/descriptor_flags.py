"""The flags of a simulated descriptor, as ``fcntl.fcntl`` and ``os`` ask for them: close-on-exec, and O_NONBLOCK."""

from __future__ import annotations

import errno
from operator import index
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.kernel.errors import socket_error
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["fcntl", "get_blocking", "get_inheritable", "set_blocking", "set_inheritable"]

F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETOWN, F_GETSIG, F_DUPFD_CLOEXEC = 0, 1, 2, 3, 4, 9, 11, 1030
COMMANDS = frozenset({*range(17), *range(1024, 1044)})  # of Linux; what is none is EINVAL
FD_CLOEXEC = 1
O_RDWR, O_NONBLOCK = 2, 0o4000
NOBODY = 0x7FFFFFFF


def fcntl(process: Process, fd: int, command: Any, argument: Any = 0) -> int:
    """The answer of ``fcntl.fcntl``.

    Raises:
        TypeError, ValueError: as CPython's, text included.
        OSError: EBADF; EINVAL, no command; EMFILE.
        NotModelled: another command than those that read and write the flags, or duplicate.
    """
    try:
        real.fcntl(NOBODY, command, argument)  # let CPython look at what it is asked
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    file = process.descriptors.get(fd)
    command = index(command)
    if command == F_GETFD:
        return 0 if get_inheritable(process, fd) else FD_CLOEXEC
    if command == F_GETFL:
        return O_RDWR if file.blocks() else O_RDWR | O_NONBLOCK
    if command == F_SETFD:
        set_inheritable(process, fd, not index(argument) & FD_CLOEXEC)
        return 0
    if command == F_SETFL:
        file.nonblocking = bool(index(argument) & O_NONBLOCK)
        return 0
    if command in (F_GETOWN, F_GETSIG):
        return 0  # nobody gets a SIGIO
    if command in (F_DUPFD, F_DUPFD_CLOEXEC) and index(argument) <= process.descriptors.base:
        number = process.descriptors.dup(fd)
        if command == F_DUPFD:
            process.descriptors.inheritable.add(number)
        return number
    if command not in COMMANDS:
        raise socket_error(errno.EINVAL)
    refusal = NotModelled(f"fcntl(command {command})")
    process.scheduler.record(Verdict("NotModelled", str(refusal), process.host_name, refusal))
    raise refusal


def get_blocking(process: Process, fd: int) -> bool:
    """``os.get_blocking``."""
    return process.descriptors.get(fd).blocks()


def set_blocking(process: Process, fd: int, blocking: Any) -> None:
    """``os.set_blocking``."""
    process.descriptors.get(fd).nonblocking = not blocking


def get_inheritable(process: Process, fd: int) -> bool:
    """``os.get_inheritable``."""
    process.descriptors.get(fd)
    return fd in process.descriptors.inheritable


def set_inheritable(process: Process, fd: int, inheritable: Any) -> None:
    """``os.set_inheritable``."""
    process.descriptors.get(fd)
    if inheritable:
        process.descriptors.inheritable.add(fd)
    else:
        process.descriptors.inheritable.discard(fd)
