"""Descriptors that travel through a Unix socket: numbers of one process here, open files in the kernel, numbers again there.

So do the numbers of processes: within a network, and in its trace, who runs is 1 on every machine, and os.getpid to a program.
"""

from __future__ import annotations

import array
import os
import struct
from collections.abc import Iterable
from operator import index
from typing import Any

from simnet import real
from simnet.kernel.descriptors import Descriptors, File
from simnet.kernel.messages import MSG_CMSG_CLOEXEC, MSG_CTRUNC
from simnet.kernel.options.values import SOL_SOCKET
from simnet.kernel.unix.messages import SCM_CREDENTIALS, SCM_RIGHTS
from simnet.wait import running

__all__ = ["from_kernel", "shown_pid", "to_kernel"]

PID = struct.Struct("=i")
WHO_RUNS = PID.pack(1)


class RealFile(File):
    """A pipe or a file of the machine's on its way: a descriptor that nobody else has stands for it while it is."""

    __slots__ = ("fd", "of")

    def __init__(self, of: int) -> None:
        self.refs = 0  # it begins to travel when it is held for the first time
        self.watchers = None
        self.tag = "a real file"
        self.of = of
        self.fd = -1

    def hold(self) -> None:
        if self.fd == -1:
            self.fd = os.dup(self.of)
        self.refs += 1

    def arrive(self, inheritable: bool) -> int:
        """A new number for it, in the place of one reference."""
        number = os.dup(self.fd)
        if inheritable:
            real.set_inheritable(number, True)
        scheduler = running.scheduler
        if scheduler is not None and scheduler.pipes is not None:
            scheduler.pipes.find(number)  # one more of a pipe of this run
        self.release()
        return number

    def destroy(self) -> None:
        os.close(self.fd)


def _file_of(descriptors: Descriptors, number: int) -> File | None:
    file = descriptors.open.get(number)
    if file is not None or not 0 <= number < descriptors.base:
        return file
    try:
        os.fstat(number)
    except OSError:
        return None
    return RealFile(number)


def to_kernel(descriptors: Descriptors, ancillary: Iterable[Any]) -> list[tuple[int, int, Any]]:
    """*ancillary* as a program hands it to ``sendmsg``, with files in place of their numbers.

    ``None`` for a number that is not open: the kernel says EBADF, but other things first.
    """
    messages: list[tuple[int, int, Any]] = []
    for level, kind, data in ancillary:
        if (index(level), index(kind)) == (SOL_SOCKET, SCM_RIGHTS):
            numbers = array.array("i")
            numbers.frombytes((whole := bytes(memoryview(data)))[: len(whole) // 4 * 4])
            messages.append((SOL_SOCKET, SCM_RIGHTS, [_file_of(descriptors, number) for number in numbers]))
            continue
        if (index(level), index(kind)) == (SOL_SOCKET, SCM_CREDENTIALS):
            data = bytes(memoryview(data))
            if data[:4] == PID.pack(real.getpid()):
                data = WHO_RUNS + data[4:]
        messages.append((index(level), index(kind), data))
    return messages


def shown_pid(credentials: bytes) -> bytes:
    """*credentials*, which may be cut, with the number that the process has outside."""
    if credentials[:4] != WHO_RUNS[: len(credentials)]:
        return credentials
    return PID.pack(real.getpid())[: len(credentials)] + credentials[4:]


def from_kernel(
    descriptors: Descriptors, received: tuple[Any, list[Any], int, Any], asked: int
) -> tuple[Any, list[Any], int, Any]:
    """What ``recvmsg`` gives, with a new number for each file that came; those there is no number for are closed.

    Unlike all that Python makes, such a number is inheritable, unless MSG_CMSG_CLOEXEC is among the flags *asked* for.
    """
    data, messages, flags, address = received
    if not messages:
        return received
    told = []
    for level, kind, value in messages:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            numbers = array.array("i")
            for file in value:
                if isinstance(file, RealFile):
                    numbers.append(file.arrive(not asked & MSG_CMSG_CLOEXEC))
                    continue
                try:
                    number = descriptors.add(file)
                except OSError:  # EMFILE: Linux gives those it can, and says that there were more
                    file.release()
                    flags |= MSG_CTRUNC
                else:
                    numbers.append(number)
                    if not asked & MSG_CMSG_CLOEXEC:
                        descriptors.inheritable.add(number)
            if not numbers:
                continue
            value = numbers.tobytes()
        elif (level, kind) == (SOL_SOCKET, SCM_CREDENTIALS):
            value = shown_pid(value)
        told.append((level, kind, value))
    return data, told, flags, address
