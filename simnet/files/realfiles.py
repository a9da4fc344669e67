"""What a descriptor is that no simulated file has: a pipe of this run, a file on the disk, or the program's terminal."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.files.pipes import Pipes, is_named
from simnet.kernel.descriptors import File
from simnet.kernel.errors import socket_error
from simnet.kernel.readiness import READABLE, WRITABLE
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["DiskFile", "Outside", "real_file", "refuse_disk_file"]


class DiskFile(File):
    """A regular file or a folder, as ``select`` and ``poll`` look at it."""

    __slots__ = ()

    def __init__(self) -> None:
        self.refs = 1
        self.watchers = None
        self.tag = "a file"

    def mask(self) -> int:
        return READABLE | WRITABLE

    def destroy(self) -> None:
        """The system has it, and closes it."""


class Outside(DiskFile):
    """A terminal, a pipe or a device that the interpreter came with, standard output for one: in a run nobody types."""

    __slots__ = ()

    def mask(self) -> int:
        return WRITABLE


def real_file(scheduler: Scheduler, fd: int) -> Any:
    """What the real descriptor *fd* is to a simulated poller; ``None`` for all else, and if it is not open."""
    pipes = scheduler.pipes
    if pipes is None and is_named(fd):
        pipes = scheduler.pipes = Pipes()
    pipe = None if pipes is None else pipes.find(fd)
    if pipe is not None:
        return pipe
    try:
        mode = os.fstat(fd).st_mode
    except (OSError, OverflowError):
        return None
    if stat.S_ISSOCK(mode):
        return None
    if not stat.S_IFMT(mode):  # a pidfd, a timerfd and their like
        refusal = NotModelled("a poll of a descriptor that is no socket, pipe, eventfd or file")
        process = scheduler.current
        scheduler.record(Verdict("NotModelled", str(refusal), process.host_name, refusal))
        raise refusal
    plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode) or (stat.S_ISCHR(mode) and not _can_wait(fd))
    return DiskFile() if plain else Outside()


def _can_wait(fd: int) -> bool:
    """Is there something to wait for in the device *fd*? Not in ``/dev/null``."""
    with real.epoll() as epoll:
        try:
            epoll.register(fd, 0)
        except PermissionError:
            return False
    return True


def refuse_disk_file(file: Any) -> Any:
    """*file*, which an epoll is to watch.

    Raises:
        OSError: EPERM, it is one on the disk; EBADF, nobody here would be told of it.
    """
    if type(file) is DiskFile:
        raise socket_error(errno.EPERM)
    if type(file) is Outside:
        raise socket_error(errno.EBADF)
    return file
