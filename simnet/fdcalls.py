"""``os.read`` and ``os.write`` of a simulated descriptor: a socket's, by its number.

``multiprocessing.connection`` moves its messages so, and so do dispatchers of files.
"""

from __future__ import annotations

import errno
import socket as _stdlib
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any

from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["read", "write"]


@contextmanager
def _borrowed(process: Process, fd: int) -> Iterator[_stdlib.socket]:
    """A socket over *fd* for one call. It waits if the descriptor does: a time-out is Python's own."""
    file: Any = process.descriptors.get(fd)
    if isinstance(file, Epoll):
        raise socket_error(errno.EINVAL)
    blocks = file.blocks()
    sock = _stdlib.socket(file.family, file.type, file.proto, fd)
    try:
        sock.settimeout(None if blocks else 0.0)
        yield sock
    finally:
        sock.detach()


def read(process: Process, fd: int, length: Any) -> bytes:
    size = index(length)
    with _borrowed(process, fd) as sock:
        if size < 0:
            raise socket_error(errno.EINVAL)
        return sock.recv(size)


def write(process: Process, fd: int, data: Any) -> int:
    with _borrowed(process, fd) as sock:
        return sock.send(data)
