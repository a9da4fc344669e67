"""The flags of a simulated descriptor, as ``fcntl.fcntl`` and ``os`` get and set them; of its signals SIGURG goes to its owner."""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, Final

from simnet import real
from simnet.calls.coming import send
from simnet.calls.signals import SIGURG
from simnet.kernel.descriptors import STANDARD
from simnet.kernel.errors import socket_error
from simnet.kernel.options.values import INT_MAX
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from simnet.process import Process

__all__ = [
    "NOBODY", "O_ASYNC", "fcntl", "get_blocking", "get_inheritable", "kept", "locked", "owner", "refused", "set_blocking",
    "set_inheritable", "set_owner", "set_status", "status", "unsignalled",
]  # fmt: skip

F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG = 0, 1, 2, 3, 4, 8, 9, 10, 11
F_DUPFD_CLOEXEC = 1030
F_GETLK, F_SETLK, F_SETOWN_EX, F_GETOWN_EX, F_GET_RW_HINT, F_SET_RW_HINT = 5, 6, 15, 16, 1035, 1036
ASK_FOR_SIGNALS = (F_SETFL, F_SETOWN, F_SETOWN_EX) if sys.platform == "linux" else ()
A_PROCESS, A_GROUP = 1, 2  # F_OWNER_PID, F_OWNER_PGRP
LIVES_LONGEST = 5  # RWH_WRITE_LIFE_EXTREME
LOCKS = {5: True, 6: False, 7: False, 36: True, 37: False, 38: False}  # F_GETLK, F_SETLK ...: do they ask only?
OF_AN_OPEN_FILE = (36, 37, 38)  # F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW: locks that are no process's
LAST = (1 << 63) - 1  # OFFSET_MAX
REFUSED = {1031: errno.EBADF, 1032: errno.EBADF, 1024: errno.EINVAL, 1026: errno.ENOTDIR}  # of pipes, leases, folders
F_GETLEASE, F_UNLCK, F_NOTIFY = 1025, 2, 1026
SEALS = (1033, 1034)  # F_ADD_SEALS, F_GET_SEALS
F_DUPFD_QUERY, F_CREATED_QUERY = 1027, 1028
# F_SETOWN_EX, F_GETOWN_EX, F_GETOWNER_UIDS, F_GET_RW_HINT, F_SET_RW_HINT
AT_AN_ADDRESS = frozenset({15, 16, 17, 1035, 1036})
# Of Linux; what is none is EINVAL.
COMMANDS = frozenset({*range(12), 15, 16, 17, *range(1024, 1029), *range(1030, 1037)})
FD_CLOEXEC = 1
O_RDWR, O_NONBLOCK = 2, 0o4000
O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME = 0o2000, 0o20000, 0o40000, 0o1000000
STATUS = O_APPEND | O_ASYNC | O_NOATIME  # what F_SETFL sets besides, and nothing here asks for
SIGNALS = 64
NOBODY = INT_MAX  # a number that no descriptor has


def fcntl(process: Process, fd: int, command: Any, argument: Any = 0) -> Any:
    """The answer of ``fcntl.fcntl``.

    Raises:
        TypeError, ValueError: as CPython's, text included.
        OSError: EBADF; EINVAL, no command, or a wrong argument; EMFILE; ESRCH, an owner who is not.
        NotModelled: a command that is rare.
    """
    try:
        real.fcntl(NOBODY, command, argument)  # let CPython look at what it is asked
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    file = process.descriptors.get(fd)
    command = index(command)
    if not hasattr(argument, "__index__"):
        return _with_bytes(process, fd, command, argument)
    number = index(argument)
    answer = ANSWERS.get(command)
    if answer is not None:
        return answer(process, fd, file, number)
    if command in REFUSED:
        raise socket_error(REFUSED[command])
    if command in LOCKS or command in AT_AN_ADDRESS:
        raise socket_error(errno.EFAULT)  # a number where a structure should be
    if command not in COMMANDS or command in SEALS:
        raise socket_error(errno.EINVAL)
    raise refused(process, f"fcntl(command {command})")


def _get_flags(process: Process, fd: int, _file: Any, _number: int) -> int:
    return 0 if get_inheritable(process, fd) else FD_CLOEXEC


def _set_flags(process: Process, fd: int, _file: Any, number: int) -> int:
    set_inheritable(process, fd, not number & FD_CLOEXEC)
    return 0


def _get_status(_process: Process, _fd: int, file: Any, _number: int) -> int:
    return O_RDWR | status(file) | (0 if file.blocks() else O_NONBLOCK)


def _set_status(process: Process, _fd: int, file: Any, number: int) -> int:
    if number & O_DIRECT:
        raise socket_error(errno.EINVAL)
    set_status(process, file, number & STATUS)
    file.nonblocking = bool(number & O_NONBLOCK)
    return 0


def _set_owner(process: Process, _fd: int, file: Any, number: int) -> int:
    set_owner(process, file, number)
    return 0


def _set_signal(_process: Process, _fd: int, file: Any, number: int) -> int:
    if not 0 <= number <= SIGNALS:
        raise socket_error(errno.EINVAL)
    kept(file)["signal"] = number
    return 0


def _dup(process: Process, fd: int, _file: Any, number: int) -> int:
    twin = _dup_from(process, fd, number)
    process.descriptors.inheritable.add(twin)
    return twin


def _notify(_process: Process, _fd: int, _file: Any, number: int) -> int:
    if number:
        raise socket_error(errno.ENOTDIR)
    return 0  # to be told of nothing is granted


def _with_bytes(process: Process, fd: int, command: int, argument: Any) -> bytes:
    """What comes back of a buffer: a lock, which nobody else has, or what nothing was written into."""
    given = argument.encode() if isinstance(argument, str) else bytes(argument)
    if command in LOCKS:
        _check_lock(command, given)
        return F_UNLCK.to_bytes(2, sys.byteorder) + given[2:] if LOCKS[command] else given
    if command in (F_GETFD, F_GETFL, F_GETOWN, F_GETSIG, F_GETLEASE) or command not in COMMANDS or command in REFUSED:
        fcntl(process, fd, command)
        return given
    file = process.descriptors.get(fd)
    if command in (F_GET_RW_HINT, F_SET_RW_HINT):
        return _hint(file, command, given)
    if command in (F_GETOWN_EX, F_SETOWN_EX):
        return _owner_at(process, file, command, given)
    raise refused(process, f"fcntl(command {command}) with bytes")


def _check_lock(command: int, given: bytes) -> None:
    """flock64_to_posix_lock: a socket has no length and no position, so that a lock begins at its start."""
    kind, whence, start, length, pid = struct.unpack("=hh4xqqi", given[:28].ljust(28, b"\0"))
    owned = command in OF_AN_OPEN_FILE and pid
    if not 0 <= whence <= os.SEEK_END or owned or start < 0 or start + min(length, 0) < 0:
        raise socket_error(errno.EINVAL)
    if length > 0 and start + length - 1 > LAST:
        raise socket_error(errno.EOVERFLOW)
    if not 0 <= kind <= F_UNLCK or (command == F_GETLK and kind == F_UNLCK):
        raise socket_error(errno.EINVAL)


def _over(given: bytes, told: bytes) -> bytes:
    """The buffer that was *given* once *told* is written into it."""
    return told[: len(given)] + given[len(told) :]


def _hint(file: Any, command: int, given: bytes) -> bytes:
    """For how long what is written is to live, as nobody but who asks hears."""
    if command == F_GET_RW_HINT:
        return _over(given, _told(file, "hint").to_bytes(8, sys.byteorder))
    hint = int.from_bytes(given[:8], sys.byteorder)
    if hint > LIVES_LONGEST:
        raise socket_error(errno.EINVAL)
    kept(file)["hint"] = hint
    return given


def _owner_at(process: Process, file: Any, command: int, given: bytes) -> bytes:
    """F_GETOWN_EX and F_SETOWN_EX: whether the owner is a thread, a process or a group besides."""
    if command == F_GETOWN_EX:
        number = owner(file)
        return _over(given, struct.pack("=ii", _told(file, "owner's kind") or number != 0, number))
    kind, number = struct.unpack("=ii", given[:8].ljust(8, b"\0"))
    if not 0 <= kind <= A_GROUP:
        raise socket_error(errno.EINVAL)
    if number and kind != A_PROCESS:
        raise refused(process, f"F_SETOWN_EX of a {'group' if kind else 'thread'}")
    set_owner(process, file, number)
    kept(file)["owner's kind"] = kind
    return given


def locked(original: Any, *arguments: Any, ranged: bool) -> None:
    """``fcntl.flock`` and ``fcntl.lockf``: a lock on a socket, which nobody else has. The latter's may be *ranged*."""
    try:
        original(NOBODY, *arguments)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    if ranged:
        length, start, whence = map(index, (*arguments[1:], 0, 0, 0)[:3])
        _check_lock(F_SETLK, struct.pack("=hh4xqqi", 0, whence if 0 <= whence <= os.SEEK_END else -1, start, length, 0))


def _dup_from(process: Process, fd: int, least: int) -> int:
    """F_DUPFD: the lowest free number from *least* on. What a program calls the third is the first of ours."""
    table = process.descriptors
    if 0 <= least < table.limit + STANDARD:
        least = table.base + max(0, least - STANDARD)
    elif not table.base <= least < table.base + table.limit:
        raise socket_error(errno.EINVAL)
    while least in table.open:
        least += 1
    if least >= table.base + table.limit:
        raise socket_error(errno.EMFILE)
    table.dup_to(fd, least)
    return least


def kept(file: Any) -> dict[str, int]:
    """What was set of *file* by its number, and nothing but a question for it tells."""
    known: dict[str, int] | None = getattr(file, "kept", None)
    if known is None:
        known = file.kept = {}
    return known


def _same(process: Process, file: Any, number: int) -> bool:
    """Is *number* another one of *file*? EBADF if it is none."""
    other = process.descriptors.open.get(number)
    if other is None:
        os.fstat(number)  # of the machine's own
    return other is file


def _told(file: Any, what: str) -> int:
    kept: dict[str, int] = getattr(file, "kept", {})
    return kept.get(what, 0)


def status(file: Any) -> int:
    """What F_GETFL tells besides O_NONBLOCK."""
    return _told(file, "status")


def set_status(process: Process, file: Any, flags: int) -> None:
    """Keep *flags*; with O_ASYNC an owner would get SIGIO, which is not modelled. Of an epoll nobody ever gets one."""
    if not hasattr(file, "ioctl"):
        flags &= ~O_ASYNC
    if flags or status(file):
        kept(file)["status"] = flags
    _refuse_signals(process, file)


def owner(file: Any) -> int:
    """To whom SIGIO and SIGURG go."""
    return _told(file, "owner")


def set_owner(process: Process, file: Any, number: int) -> None:
    """F_SETOWN, and its like among the calls of ioctl."""
    if number and number not in process.machine.stack.pids:
        raise socket_error(errno.ESRCH)
    if number or owner(file):
        kept(file)["owner"] = number
        file.kept["urge"] = partial(send, process.owner or process, SIGURG) if number == real.getpid() else None
    _refuse_signals(process, file)


def _refuse_signals(process: Process, file: Any) -> None:
    if status(file) & O_ASYNC and owner(file):
        raise refused(process, "SIGIO, for which O_ASYNC and an owner ask,")


def unsignalled(process: Process, fd: int, call: Callable[[], Any]) -> Any:
    """The answer of *call*, of the real *fd*. A pipe's SIGIO would find no handler but Python's own, and end all: refused."""
    answer = call()
    flags = real.fcntl(fd, F_GETFL)
    if flags & O_ASYNC and stat.S_ISFIFO(os.fstat(fd).st_mode) and any(real.fcntl(fd, F_GETOWN_EX, bytes(8))[4:]):
        real.fcntl(fd, F_SETFL, flags & ~O_ASYNC)
        raise refused(process, "SIGIO of a pipe, for which O_ASYNC and an owner ask,")
    return answer


def refused(process: Process, what: str) -> NotModelled:
    """The refusal of *what*, for its caller to raise: the run remembers, whatever the program does with the exception."""
    refusal = NotModelled(what)
    process.scheduler.record(Verdict("NotModelled", str(refusal), process.host_name, refusal))
    return refusal


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


# What answers a command: is given the process, the number of the descriptor, the open file, and the argument.
ANSWERS: Final[dict[int, Callable[[Process, int, Any, int], Any]]] = {
    F_GETFD: _get_flags,
    F_SETFD: _set_flags,
    F_GETFL: _get_status,
    F_SETFL: _set_status,
    F_GETOWN: lambda _process, _fd, file, _number: owner(file),
    F_SETOWN: _set_owner,
    F_GETSIG: lambda _process, _fd, file, _number: _told(file, "signal"),
    F_SETSIG: _set_signal,
    F_DUPFD: _dup,
    F_DUPFD_CLOEXEC: lambda process, fd, _file, number: _dup_from(process, fd, number),
    F_GETLEASE: lambda _process, _fd, _file, _number: F_UNLCK,
    F_NOTIFY: _notify,
    F_DUPFD_QUERY: lambda process, _fd, file, number: int(_same(process, file, number)),
    F_CREATED_QUERY: lambda _process, _fd, _file, _number: 0,
}
