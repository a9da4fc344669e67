"""``os.read``, ``os.write`` and their kin, of a simulated descriptor: the calls of its socket, without the socket's object."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any

from simnet.arguments import checked_bytes
from simnet.kernel.buffer import scatter
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error
from simnet.socket import Socket

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["close", "dup", "read", "readv", "sendfile", "write", "writev"]

SENT_AT_ONCE = (
    4 << 20
)  # bytes of a file read for one non-blocking send: as much as a send buffer holds (net.ipv4.tcp_wmem)
SENDFILE_MAX = 0x7FFFF000  # bytes of one sendfile(2), and of one read(2): MAX_RW_COUNT


@contextmanager
def _socket(process: Process, fd: int) -> Iterator[Socket]:
    """A socket's object over *fd* for one call. It waits if the descriptor does: a time-out is Python's own."""
    file: Any = process.descriptors.get(fd)
    if isinstance(file, Epoll):
        raise socket_error(errno.EINVAL)
    blocks = file.blocks()
    sock = Socket(file.family, file.type, file.proto, fd)
    sock._timeout = None if blocks else 0.0
    file.nonblocking = not blocks  # the process's default time-out is none of its business
    try:
        yield sock
    finally:
        sock.detach()


def _length(number: Any) -> int:
    length = index(number)
    if length < 0:
        raise socket_error(errno.EINVAL)
    return min(length, SENDFILE_MAX)


def read(process: Process, fd: int, length: Any, /) -> bytes:
    """``os.read``: what ``recv`` gives."""
    length = _length(length)
    with _socket(process, fd) as sock:
        return sock.recv(length)


def readv(process: Process, fd: int, buffers: Any, /) -> int:
    """``os.readv``."""
    views = [memoryview(each).cast("B") for each in buffers]
    data = read(process, fd, sum(len(view) for view in views))
    scatter(views, data)
    return len(data)


def write(process: Process, fd: int, data: Any, /) -> int:
    """``os.write``: what ``send`` takes; all of it, if the descriptor is blocking."""
    payload = checked_bytes("send", data)
    with _socket(process, fd) as sock:
        return sock.send(payload)


def writev(process: Process, fd: int, buffers: Any, /) -> int:
    """``os.writev``."""
    return write(process, fd, b"".join(buffers))


def sendfile(process: Process, out_fd: int, in_fd: Any, offset: Any, count: Any) -> int:
    """``os.sendfile`` of a real file; without an *offset*, from its position, which moves on by what was sent.

    Raises:
        OSError: EINVAL or ESPIPE, it is no file that has positions; and as ``send``.
    """
    count = _length(count)
    with _socket(process, out_fd) as sock:
        if in_fd in process.descriptors:
            raise socket_error(errno.EINVAL if offset is None else errno.ESPIPE)
        at = _position(in_fd) if offset is None else index(offset)
        data = os.pread(in_fd, count if sock._timeout is None else min(count, SENT_AT_ONCE), at)
        sent = sock.send(data) if data else 0
    if offset is None:
        os.lseek(in_fd, at + sent, os.SEEK_SET)
    return sent


def _position(fd: int) -> int:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError as error:
        raise socket_error(errno.EINVAL if error.errno == errno.ESPIPE else error.errno or errno.EINVAL) from None


def dup(process: Process, fd: int, /) -> int:
    """``os.dup``."""
    return process.descriptors.dup(fd)


def close(process: Process, fd: int) -> None:
    """``os.close``."""
    process.descriptors.close(fd)
    process.machine.flush()
