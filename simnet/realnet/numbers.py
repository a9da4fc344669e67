"""What a program does with its sockets by number: bytes by ``os.read`` and its kin, a second number, and whether calls wait.

The kernel's sockets never wait here, whatever their programs have asked for; so that is kept beside.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import ExitStack
from operator import index
from typing import TYPE_CHECKING, Any, Final

from simnet.arguments.polls import descriptor_of
from simnet.calls.descriptor_flags import F_DUPFD, F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, NOBODY, O_NONBLOCK
from simnet.calls.descriptors import look_over
from simnet.calls.sendfile import in_pieces
from simnet.kernel.buffer import scatter
from simnet.realnet.connection import RealFile
from simnet.realnet.socket import forget, of_number

if TYPE_CHECKING:
    from simnet.realnet.process import RealProcess
    from simnet.realnet.stage import Stage

__all__ = ["BYTES", "flags", "known", "moved", "second", "sent"]


def second(stage: Stage, fd: int, number: int) -> None:
    """*number*, which the kernel gives for *fd*, is of the same socket."""
    with stage.lock:
        forget(stage, number)  # which dup2 has closed
        file = stage.files.get(fd)
        if file is not None:
            file.fds.append(number)
            stage.files[number] = file


def known(stage: Stage, fd: Any) -> RealFile | None:
    """The socket whose number is *fd*, if it is one of this run's. A file object may have closed the number in C, of which nobody hears."""
    file = stage.files.get(fd) if isinstance(fd, int) else None
    if file is not None and not stat.S_ISSOCK(os.fstat(fd).st_mode):
        forget(stage, fd)
        return None
    return file


# --- bytes -------------------------------------------------------------------------------------------------------------


def moved(process: RealProcess, call: str, original: Any, fd: int, *arguments: Any) -> Any:
    """What *call* of ``os`` says of *fd*; where that is a socket's, as a recv or send of it."""
    file = known(process.stage, fd)
    if file is None:
        return original(fd, *arguments)
    look_over(original, NOBODY, *arguments)
    with of_number(process, file, fd) as sock:
        return BYTES[call](sock, *arguments)


def sent(process: RealProcess, original: Any, out_fd: Any, in_fd: Any, offset: Any, count: Any) -> Any:
    """What ``os.sendfile`` says of *out_fd*; where that is a connection's, and the other a file's, as of sends, which a plan may touch."""
    file = known(process.stage, out_fd)
    if file is None or not file.stream or not isinstance(in_fd, int) or not stat.S_ISREG(os.fstat(in_fd).st_mode):
        return original(out_fd, in_fd, offset, count)
    look_over(original, NOBODY, in_fd, offset, count)
    at, length = os.lseek(in_fd, 0, os.SEEK_CUR) if offset is None else index(offset), index(count)
    if length < 0 or at < 0:
        return original(out_fd, in_fd, offset, count)  # which says so
    with of_number(process, file, out_fd) as sock:
        total = in_pieces(sock.send, in_fd, at, length)
    if offset is None:
        os.lseek(in_fd, at + total, os.SEEK_SET)
    return total


def _read(sock: Any, length: Any) -> Any:
    return sock.recv(index(length))


def _readv(sock: Any, buffers: Any) -> int:
    with ExitStack() as held:
        views = [held.enter_context(memoryview(each).cast("B")) for each in buffers]
        data = sock.recv(sum(map(len, views)))
        scatter(views, data)
    return len(data)


def _write(sock: Any, data: Any) -> Any:
    return sock.send(data)


def _writev(sock: Any, buffers: Any) -> Any:
    return sock.send(b"".join(buffers))


BYTES: Final[dict[str, Callable[..., Any]]] = {"read": _read, "readv": _readv, "write": _write, "writev": _writev}


# --- whether calls wait ------------------------------------------------------------------------------------------------


def flags(stage: Stage, call: str, original: Any, fd: Any, *arguments: Any) -> Any:
    """What *call* of ``os`` or ``fcntl`` says of *fd*, of which its program does not know that it never waits."""
    number = descriptor_of(fd) if call == "fcntl" else fd
    file = known(stage, number)
    if file is None:
        return original(fd, *arguments)
    if call == "get_blocking" and not arguments:
        return file.waits
    if call == "set_blocking":
        look_over(original, NOBODY, *arguments)
        file.waits = bool(arguments[0])
        return None
    if call == "fcntl" and arguments:
        return _fcntl(stage, file, original, number, *arguments)
    return original(fd, *arguments)


def _fcntl(stage: Stage, file: RealFile, original: Any, fd: int, command: Any, argument: Any = 0) -> Any:
    if command == F_SETFL and isinstance(argument, int):
        answer = original(fd, command, argument | O_NONBLOCK)
        file.waits = not argument & O_NONBLOCK
        return answer
    answer = original(fd, command, argument)
    if command == F_GETFL:
        return answer & ~O_NONBLOCK if file.waits else answer
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        second(stage, fd, answer)
    return answer
