"""The file of a bound Unix socket: a stale one is replaced at bind, and the one that made it removes it."""

from __future__ import annotations

import errno
import os
import socket
import stat

from dispatch.annotations import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispatch.interfaces import Network


def make_room(network: Network, path: Any, kind: int) -> None:
    """Remove the file at *path* if it is that of a socket of this *kind* that is gone: a program that was killed leaves it."""
    if _is_no_file(path):
        return
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            probe = network.socket(socket.AF_UNIX, kind)
            try:
                probe.setblocking(False)
                if probe.connect_ex(path) == errno.ECONNREFUSED:
                    os.unlink(path)
            finally:
                probe.close()
    except FileNotFoundError:
        pass


class SocketFile:
    """The file that a bind has just made at *path*."""

    __slots__ = ("_identity", "_path", "_process")

    def __init__(self, path: Any) -> None:
        self._path = path if _is_no_file(path) else os.path.abspath(path)  # the program may go elsewhere meanwhile
        self._process = os.getpid()
        self._identity = None if _is_no_file(path) else _identity(path)

    def remove(self) -> None:
        """Remove it, if it is still there and ours: not another's who was bound after it was taken away, nor the parent's of a fork."""
        if self._identity is None or self._process != os.getpid() or self._identity != _identity(self._path):
            return
        try:
            os.unlink(self._path)
        except OSError:
            pass


def _is_no_file(path: Any) -> bool:
    """Whether it is an abstract name of Linux's, or none at all."""
    return path[:1] in ("\0", b"\0", "", b"")


def _identity(path: Any) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
