"""Simulated descriptors by their numbers: ``os.read``, ``os.write`` and ``os.sendfile`` of a socket.

``multiprocessing.connection`` and dispatchers of files move their bytes so; who finds ``os.sendfile`` there sends by it unasked.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any

from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error
from simnet.socket import Socket

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["read", "sendfile", "write"]

SENT_AT_ONCE = (
    4 << 20
)  # bytes of the file read for one non-blocking send: as much as a send buffer holds (net.ipv4.tcp_wmem)
SENDFILE_MAX = 0x7FFFF000  # bytes of one sendfile(2): MAX_RW_COUNT


@contextmanager
def _borrowed(process: Process, fd: int) -> Iterator[Socket]:
    """A socket over *fd* for one call. It waits if the descriptor does: a time-out is Python's own."""
    file: Any = process.descriptors.get(fd)
    if isinstance(file, Epoll):
        raise socket_error(errno.EINVAL)
    blocks = file.blocks()
    sock = Socket(file.family, file.type, file.proto, fd)
    try:
        sock.settimeout(None if blocks else 0.0)
        yield sock
    finally:
        sock.detach()


def read(process: Process, fd: int, length: Any) -> bytes:
    """As ``recv`` without flags."""
    size = index(length)
    with _borrowed(process, fd) as sock:
        if size < 0:
            raise socket_error(errno.EINVAL)
        return sock.recv(size)


def write(process: Process, fd: int, data: Any) -> int:
    """As ``send`` without flags."""
    with _borrowed(process, fd) as sock:
        return sock.send(data)


def sendfile(process: Process, out_fd: int, in_fd: Any, offset: Any, count: Any) -> int:
    """``os.sendfile`` of a real file; without an *offset*, from its position, which moves on by what was sent.

    Raises:
        OSError: EINVAL or ESPIPE, it is no file that has positions; and as ``send``.
    """
    length = index(count)
    with _borrowed(process, out_fd) as sock:
        if length < 0:
            raise socket_error(errno.EINVAL)
        if in_fd in process.descriptors:
            raise socket_error(errno.EINVAL if offset is None else errno.ESPIPE)
        at = _position(in_fd) if offset is None else index(offset)
        data = os.pread(in_fd, min(length, SENDFILE_MAX if sock.gettimeout() is None else SENT_AT_ONCE), at)
        sent = sock.send(data) if data else 0
    if offset is None:
        os.lseek(in_fd, at + sent, os.SEEK_SET)
    return sent


def _position(fd: int) -> int:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError as error:
        raise socket_error(errno.EINVAL if error.errno == errno.ESPIPE else error.errno or errno.EINVAL) from None
