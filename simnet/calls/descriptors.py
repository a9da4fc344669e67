"""What ``os`` does with the number of a simulated socket or epoll: read, write, duplicate, close and describe it."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any

from simnet.calls.descriptor_flags import kept, refused
from simnet.calls.socket_files import described, new_inode
from simnet.kernel.datagrams.memory import PAGE
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import MSG_DONTWAIT, UIO_MAXIOV
from simnet.kernel.tcp.sockets import TcpSocket
from simnet.socket import Socket

if TYPE_CHECKING:
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = [
    "close", "descriptor_call", "dup2_of_a_file", "fchmod", "fchown", "file_system", "limit", "look_over", "no_epoll", "socket_of", "status", "terminal_refusal",
]  # fmt: skip

SOCKFS, ANON_INODES = 8, 15  # the devices of their files: any numbers that differ
WHENCE_MAX = 4  # SEEK_HOLE
ADVICE_MAX = 5  # POSIX_FADV_NOREUSE
NAME_MAX = 255  # bytes of a name
NUMBER = 8  # bytes of that of an eventfd
WITHOUT_POSITION = {"preadv": "readv", "pwritev": "writev"}
NO_POSITION = -1  # preadv2(2) and pwritev2(2) go from where the file is, as readv(2) and writev(2) do
RWF_NOWAIT, RWF_APPEND, RWF_NOAPPEND = 0x8, 0x10, 0x20
RWF_OF_SOCKETS = 0x13F  # all but RWF_ATOMIC and RWF_DONTCACHE
# By _PC_LINK_MAX and so on: what it is of a file that has but a name, and whether glibc looks at that.
LIMITS = (
    *((127, True), (255, False), (255, False), (NAME_MAX, True), (PAGE, False), (PAGE, False), (1, True), (1, False)),
    *((0, False), (-1, False), (-1, True), (-1, False), (-1, False), (32, True), (-1, False), (-1, False)),
    *((PAGE, True), (PAGE, True), (PAGE, True), (-1, False)),
)
PERMISSIONS = 0o7777  # of a mode, what chmod(2) changes
# What needs a position, a disk, a folder or a terminal.
REFUSED = {
    **dict.fromkeys(("lseek", "pread", "pwrite", "preadv", "pwritev"), errno.ESPIPE),
    **dict.fromkeys(("fsync", "fdatasync", "ftruncate"), errno.EINVAL),
    "posix_fallocate": errno.ENODEV,
    "fchdir": errno.ENOTDIR,
    **dict.fromkeys(("ttyname", "tcgetpgrp", "tcsetpgrp", "get_terminal_size"), errno.ENOTTY),
}
LOOKS_ITSELF = ("close", "fpathconf")  # whether the number is one
WITHOUT_EFFECT = frozenset({"posix_fadvise", "lockf"})  # nobody else has a lock


def look_over(original: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Let CPython look at what it is asked of a simulated descriptor, which no real file has the number of."""
    try:
        original(*arguments, **options)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise


def descriptor_call(
    process: Process, call: str, original: Callable[..., Any], fd: int, arguments: Any, options: Any
) -> Any:
    """The answer of *call* of ``os``.

    Raises:
        TypeError, ValueError, OverflowError: as CPython's, text included.
        OSError: EBADF; what the socket says; EINVAL, an epoll is not read or written.
    """
    look_over(original, fd, *arguments, **options)
    if call in WITHOUT_POSITION and (position := index(arguments[1])) < 0:
        if position != NO_POSITION:
            raise socket_error(errno.EINVAL)
        call, options = WITHOUT_POSITION[call], {}
        arguments = (arguments[0], *map(index, arguments[2:]))
    file = process.holder_of(fd).descriptors.get(fd) if call not in LOOKS_ITSELF else None
    refusal = REFUSED.get(call)
    if refusal is not None:
        if call == "lseek" and not 0 <= index(arguments[1]) <= WHENCE_MAX:
            raise socket_error(errno.EINVAL)
        if call == "posix_fallocate" and (index(arguments[0]) < 0 or index(arguments[1]) <= 0):
            raise socket_error(errno.EINVAL)
        if isinstance(file, Epoll):
            if call == "lseek":
                return 0
            refusal = terminal_refusal(file) if refusal == errno.ENOTTY else refusal
        raise socket_error(refusal)
    if call == "lockf" and index(arguments[1]) < 0:  # the range would end before its beginning
        raise socket_error(errno.EINVAL)
    if call == "posix_fadvise" and not 0 <= index(arguments[2]) <= ADVICE_MAX:
        raise socket_error(errno.EINVAL)
    return None if call in WITHOUT_EFFECT else CALLS[call](process, fd, *arguments, **options)


def terminal_refusal(file: Any) -> int:
    """What *file* says to what is asked of terminals."""
    return errno.EINVAL if isinstance(file, Epoll) else errno.ENOTTY


def close(process: Process, fd: int) -> None:
    """``os.close`` and ``socket.close``: as the method, which waits if its socket is to linger."""
    process = process.holder_of(fd)
    file = process.descriptors.get(fd)
    if isinstance(file, Epoll):
        process.descriptors.close(fd)
    else:
        _socket(fd, file).close()


def status(process: Process, fd: int, **_: Any) -> os.stat_result:
    """``os.fstat``: numbers that name one file have one inode, which is given to it when somebody asks first."""
    process = process.holder_of(fd)
    file = process.descriptors.get(fd)
    inode = kept(file).get("inode")
    if inode is None:
        inode = kept(file)["inode"] = new_inode(process.machine)
    epoll = isinstance(file, Epoll)
    mode, device = (0o600, ANON_INODES) if epoll else (stat.S_IFSOCK | 0o777, SOCKFS)
    _, uid, gid = process.machine.stack.credentials
    changed: dict[str, int] = getattr(file, "kept", {})
    mode = stat.S_IFMT(mode) | changed.get("mode", stat.S_IMODE(mode))
    owners = changed.get("uid", uid), changed.get("gid", gid)
    return described((mode, inode, device, 1, *owners), changed.get("accessed_ns", 0), changed.get("modified_ns", 0), 0)


def file_system(process: Process, fd: int) -> os.statvfs_result:
    """``os.fstatvfs``: of one that has nothing but names, of which all sockets are in one."""
    file = process.holder_of(fd).descriptors.get(fd)
    device = ANON_INODES if isinstance(file, Epoll) else SOCKFS
    return os.statvfs_result((PAGE, PAGE, 0, 0, 0, 0, 0, 0, 0, NAME_MAX, device))


def limit(process: Process, fd: int, name: Any) -> int:
    """``os.fpathconf`` and ``os.pathconf``: glibc looks for the file to answer some of them.

    Raises:
        OSError: EBADF; EINVAL, there is no such limit.
    """
    number = os.pathconf_names[name] if isinstance(name, str) else index(name)
    if not 0 <= number < len(LIMITS):
        raise socket_error(errno.EINVAL)
    told, looks = LIMITS[number]
    if looks:
        process.holder_of(fd).descriptors.get(fd)
    return told


def fchmod(process: Process, fd: int, mode: int) -> None:
    kept(no_epoll(process, fd, errno.EOPNOTSUPP))["mode"] = index(mode) & PERMISSIONS


def fchown(process: Process, fd: int, uid: int, gid: int) -> None:
    file = no_epoll(process, fd, errno.EOPNOTSUPP)
    for name, number, own in zip(("uid", "gid"), (uid, gid), process.machine.stack.credentials[1:], strict=True):
        if number not in (-1, own) and os.geteuid():
            raise socket_error(errno.EPERM)
        if number != -1:
            kept(file)[name] = number


def _eventfd_read(process: Process, fd: int) -> int:
    data = _read(process, fd, NUMBER)
    if len(data) < NUMBER:
        raise OSError(0, "Error")  # glibc sets no errno, and CPython has a word for none
    return int.from_bytes(data, sys.byteorder)


def _eventfd_write(process: Process, fd: int, value: int) -> None:
    _write(process, fd, value.to_bytes(NUMBER, sys.byteorder))


def _dup(process: Process, fd: int) -> int:
    return process.dup(fd)


def dup2_of_a_file(scheduler: Scheduler, dup2: Callable[..., int], fd: Any, *arguments: Any, **options: Any) -> int:
    """``os.dup2`` of a real file, or of a pipe's end, which the run may know; it cannot take the number of a socket."""
    process, pipes = scheduler.current, scheduler.pipes
    fd2 = arguments[0] if arguments else options.get("fd2")
    if isinstance(fd2, int) and fd2 in process.holder_of(fd2).descriptors.open and isinstance(fd, int):
        os.fstat(fd)  # EBADF, if it is nobody's
        raise refused(process, "os.dup2 of a real file to the number of a simulated socket")
    return dup2(fd, *arguments, **options) if pipes is None else pipes.dup2(dup2, fd, *arguments, **options)


def _dup2(process: Process, fd: int, fd2: int, inheritable: Any = True) -> int:
    table = process.holder_of(fd2).descriptors
    if fd == fd2:
        if not inheritable:
            raise socket_error(errno.EINVAL)  # dup3(2) with a flag
        return fd
    if 0 <= fd2 < table.limit:
        raise refused(process, f"os.dup2 of a simulated socket to {fd2}, the number of a real file,")
    taken = table.open.get(fd2)
    if taken is not None and isinstance(taken, Epoll) is not isinstance(table.get(fd), Epoll):
        raise refused(process, "os.dup2 of an epoll in the place of a socket, or the other way round,")
    linger_ns = taken.linger_ns() if isinstance(taken, TcpSocket) else 0  # as the close of it waits
    table.dup_to(fd, fd2)
    if inheritable:
        table.inheritable.add(fd2)
    process.machine.flush()
    if linger_ns:
        process.linger(taken, linger_ns)
    return fd2


def _read(process: Process, fd: int, length: Any) -> bytes:
    size = index(length)
    data: bytes = _through(process, fd, lambda sock: Socket.recv(sock, size))
    return data


def _write(process: Process, fd: int, data: Any) -> int:
    sent: int = _through(process, fd, lambda sock: Socket.send(sock, data))
    return sent


def _readv(process: Process, fd: int, buffers: Any, how: int = 0) -> int:
    if len(buffers) > UIO_MAXIOV:
        raise socket_error(errno.EINVAL)
    if not any(map(len, buffers)):
        no_epoll(process, fd)
        return 0  # recvmsg takes a datagram then
    flags = _flags(process, fd, how)
    count: int = _through(process, fd, lambda sock: Socket.recvmsg_into(sock, buffers, 0, flags)[0])
    return count


def _writev(process: Process, fd: int, buffers: Any, how: int = 0) -> int:
    if len(buffers) > UIO_MAXIOV:
        raise socket_error(errno.EINVAL)
    if not any(memoryview(each).nbytes for each in buffers):
        no_epoll(process, fd)
        return 0  # the socket is not asked, as it is by a write of nothing
    flags = _flags(process, fd, how)
    sent: int = _through(process, fd, lambda sock: Socket.sendmsg(sock, buffers, [], flags))
    return sent


def _flags(process: Process, fd: int, how: int) -> int:
    """What the RWF_ flags *how* of preadv2(2) and pwritev2(2) are to recvmsg and sendmsg (kiocb_set_rw_flags)."""
    no_epoll(process, fd)
    if how & ~RWF_OF_SOCKETS:
        raise socket_error(errno.EOPNOTSUPP)
    if how & RWF_APPEND and how & RWF_NOAPPEND:
        raise socket_error(errno.EINVAL)
    return MSG_DONTWAIT if how & RWF_NOWAIT else 0


CALLS: dict[str, Callable[..., Any]] = {
    "close": close,
    "dup": _dup,
    "dup2": _dup2,
    "eventfd_read": _eventfd_read,
    "eventfd_write": _eventfd_write,
    "fchmod": fchmod,
    "fchown": fchown,
    "fstat": status,
    "fpathconf": limit,
    "fstatvfs": file_system,
    "read": _read,
    "readv": _readv,
    "write": _write,
    "writev": _writev,
}


def no_epoll(process: Process, fd: int, code: int = errno.EINVAL) -> Any:
    """The file of that number, if it is a socket's; the error *code* if it is an epoll's."""
    file = process.holder_of(fd).descriptors.get(fd)
    if isinstance(file, Epoll):
        raise socket_error(code)
    return file


def _socket(fd: int, file: Any) -> Socket:
    """An object more for the number, which leaves its O_NONBLOCK as it is."""
    blocks = file.blocks()
    sock = Socket(file.family, file.type, file.proto, fd)
    sock.settimeout(None if blocks else 0.0)  # it waits if the descriptor does: a time-out is Python's own
    return sock


def _through(process: Process, fd: int, call: Callable[[Socket], Any]) -> Any:
    """What *call* gives for a socket of that number.

    Raises:
        OSError: EINVAL, it is of an epoll; and as *call*.
    """
    with socket_of(process, fd) as sock:
        return call(sock)


@contextmanager
def socket_of(process: Process, fd: int) -> Iterator[Socket]:
    """An object more for that number, which waits as the number does, for as long as it takes.

    Raises:
        OSError: EINVAL, it is an epoll's.
    """
    sock = _socket(fd, no_epoll(process, fd))
    try:
        yield sock
    finally:
        sock.detach()
