"""What calls of ``os`` that take a path say of a number in its place: that of a simulated socket or epoll."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simnet.calls.descriptor_flags import kept
from simnet.calls.descriptors import fchmod, fchown, file_system, limit, no_epoll, status
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET6, AF_UNIX, SOCK_STREAM

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["BY_NUMBER", "by_number"]

PROTOCOL = "system.sockprotoname"  # the only attribute that a socket has
NAMED = ("mode", "length", "uid", "gid", "times", "ns")  # what may be given by name, and is looked at
# Whose errors do not tell what was asked for.
NAMELESS = ("truncate",) if sys.version_info >= (3, 13) else ("truncate", "utime")
NAMELESS_IF_CLOSED = ("listdir", "scandir")


def _file(process: Process, fd: int) -> Any:
    return process.holder_of(fd).descriptors.get(fd)


def _no_folder(process: Process, fd: int) -> None:
    _file(process, fd)
    raise socket_error(errno.ENOTDIR)


def _truncate(process: Process, fd: int, length: Any) -> None:  # noqa: ARG001
    _file(process, fd)
    raise socket_error(errno.EINVAL)


def _utime(process: Process, fd: int, times: Any = None, *, ns: Any = None) -> None:
    """Its own clock's time, or two that are given, in seconds or in *ns*."""
    file = no_epoll(process, fd, errno.EACCES if os.geteuid() else errno.EOPNOTSUPP)
    now = process.machine.stack.epoch_ns + process.machine.stack.clock.now_ns
    if times is not None:
        ns = [int(each // 1) * 1_000_000_000 + int(each % 1 * 1e9) for each in times]
    kept(file)["accessed_ns"], kept(file)["modified_ns"] = (now, now) if ns is None else ns


def _getxattr(process: Process, fd: int, name: Any) -> bytes:
    file, name = _file(process, fd), os.fsdecode(name)
    if name == PROTOCOL and not isinstance(file, Epoll):
        stream = file.type == SOCK_STREAM
        if file.family == AF_UNIX:
            return b"UNIX-STREAM\0" if stream else b"UNIX\0"
        return (b"TCP" if stream else b"UDP") + (b"v6" if file.family == AF_INET6 else b"") + b"\0"
    raise socket_error(errno.ENODATA if name.startswith(("user.", "trusted.")) else errno.EOPNOTSUPP)


def _listxattr(process: Process, fd: int) -> list[str]:
    return [] if isinstance(_file(process, fd), Epoll) else [PROTOCOL]


def _change_xattr(process: Process, fd: int, name: Any, *_: Any) -> None:
    _file(process, fd)
    known = os.fsdecode(name).startswith(("user.", "trusted.", "security."))
    raise socket_error(errno.EPERM if known else errno.EOPNOTSUPP)


BY_NUMBER: dict[str, Callable[..., Any]] = {
    "chdir": _no_folder,
    "chmod": fchmod,
    "chown": fchown,
    "getxattr": _getxattr,
    "listdir": _no_folder,
    "listxattr": _listxattr,
    "pathconf": limit,
    "removexattr": _change_xattr,
    "scandir": _no_folder,
    "setxattr": _change_xattr,
    "stat": status,
    "statvfs": file_system,
    "truncate": _truncate,
    "utime": _utime,
}


def by_number(process: Process, call: str, fd: int, arguments: Any, options: Any) -> Any:
    """The answer of one of `BY_NUMBER`, which names the number in its errors."""
    try:
        named = {name: value for name, value in options.items() if name in NAMED}
        return BY_NUMBER[call](process, fd, *arguments, **named)
    except OSError as error:
        if call in NAMELESS or (call in NAMELESS_IF_CLOSED and error.errno == errno.EBADF):  # CPython says no more
            raise
        raise OSError(error.errno, error.strerror, fd) from None
