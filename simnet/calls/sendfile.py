"""A file sent through a simulated socket, as ``socket.sendfile`` and ``os.sendfile`` do it with sendfile(2).

Programs that find ``os.sendfile`` use it without being asked to, and take EBADF for the end of the connection.
"""

from __future__ import annotations

import errno
import os
import socket as _stdlib
import stat
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.calls.descriptor_flags import status
from simnet.kernel.datagrams.memory import PAGE
from simnet.kernel.datagrams.udp import UdpSocket
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import MSG_MORE
from simnet.kernel.readiness import ERR, HUP, OUT
from simnet.kernel.unix.messages import LENT
from simnet.kernel.unix.streams import UnixStream

if TYPE_CHECKING:
    from simnet.process import Process

__all__ = ["in_pieces", "send_file", "sendfile"]

PIECE = 65536  # bytes that go at once: what a pipe holds (16 pages), through which sendfile(2) takes them
SENDABLE = OUT | ERR | HUP  # what ends a wait for room
F_GETFL = 3
SENDFILE_MAX = 0x7FFFF000  # bytes of one sendfile(2): MAX_RW_COUNT


def send_file(sock: Any, file: Any, offset: int, count: int | None) -> int:
    """Send *count* bytes (None: to its end) of *file* from *offset*, and leave its position behind them; how many went.

    Raises:
        socket._GiveupOnSendfile: it is no regular file, or the first send failed; the standard library then reads and sends
            by itself, and so tells what comes after the first error: EPIPE after a reset.
        ValueError: *sock* is non-blocking, or closed.
    """
    try:
        number = file.fileno()
        size = os.fstat(number).st_size
    except (AttributeError, OSError) as error:
        raise _stdlib._GiveupOnSendfile(error) from error  # type: ignore[attr-defined]
    if not size:
        return 0
    if sock.gettimeout() == 0.0:
        raise ValueError("non-blocking sockets are not supported")
    if sock.fileno() < 0:  # which a selector says before anything is sent
        raise ValueError("Invalid file descriptor: -1")
    total = 0
    lent = LENT if isinstance(sock._file(), UnixStream) else 0
    timed = sock.gettimeout() is not None  # which is asked once
    try:
        while count is None or total < count:
            block = os.pread(number, PIECE if count is None else min(PIECE, count - total), offset)
            if not block:
                sock._file()  # it is asked once more for what there is not, and may have been closed meanwhile
                break
            try:
                sent = sock._send_once(block, lent)  # not by `send`, which a user's class may have for its own
            except BlockingIOError:
                if timed:
                    raise
                _wait_for_room(sock)  # of a descriptor that does not wait: a selector does
                continue
            offset += sent
            total += sent
        if timed:  # the standard library waits before it looks whether anything is left to be sent
            _wait_for_room(sock)
        return total
    except OSError as error:
        if total or isinstance(error, TimeoutError):
            raise
        raise _stdlib._GiveupOnSendfile(error) from None  # type: ignore[attr-defined]
    finally:
        if total and hasattr(file, "seek"):
            file.seek(offset)


def _wait_for_room(sock: Any) -> None:
    """Wait as the standard library's selector does, for as long as the time-out says.

    Raises:
        TimeoutError: there was none in time.
    """
    file = sock._file()
    if not (file.mask() & SENDABLE or sock._wait(file, SENDABLE, sock._deadline(), "send", True)):
        raise TimeoutError("timed out")


def sendfile(process: Process, out_fd: int, in_fd: Any, offset: Any, count: Any) -> int:
    """``os.sendfile`` of a real file; without an *offset*, from its position, which moves on by what was sent.

    Raises:
        OSError: EBADF, it was opened to be written to; EINVAL or ESPIPE, it is no file that has positions; and as ``send``.
    """
    length, in_fd = index(count), index(in_fd)
    file: Any = process.holder_of(out_fd).descriptors.get(out_fd)
    source: Any = process.holder_of(in_fd).descriptors.get(in_fd) if in_fd in process.descriptors else None
    if source is None and real.fcntl(in_fd, F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        raise socket_error(errno.EBADF)
    if source is not None and offset is not None:
        raise socket_error(errno.ESPIPE)
    if length < 0 or status(file) & os.O_APPEND:  # nothing is spliced behind an end
        raise socket_error(errno.EINVAL)
    if not length and isinstance(source, Epoll):  # which has positions, like a file, but no bytes
        return 0
    try:
        if source is not None:
            raise socket_error(errno.EINVAL)
        at = _position(in_fd) if offset is None else index(offset)
        sent = _go(file, out_fd, in_fd, at, min(length, SENDFILE_MAX))
        if length and not sent and stat.S_ISCHR(os.fstat(in_fd).st_mode):
            raise socket_error(errno.EINVAL)  # /dev/null is read from, and not spliced
    except OSError as error:
        if error.errno != errno.EISDIR and (error.errno != errno.ESPIPE or offset is not None):
            raise
        if length:
            raise socket_error(errno.EINVAL) from None  # it has positions, but nothing is sent of it
        return 0
    if offset is None:
        os.lseek(in_fd, at + sent, os.SEEK_SET)
    return sent


def _go(file: Any, out_fd: int, in_fd: int, at: int, length: int) -> int:
    """How many of *length* bytes from *at* went into *file*. Into an epoll nothing goes, which shows once there is something."""
    if isinstance(file, Epoll):
        if os.pread(in_fd, min(length, 1), at):
            raise socket_error(errno.EINVAL)
        return 0
    blocks = file.blocks()
    sock: Any = _stdlib.socket(file.family, file.type, file.proto, out_fd)
    try:
        sock.settimeout(None if blocks else 0.0)  # it waits if the descriptor does: a time-out is Python's own
        lent = LENT if isinstance(file, UnixStream) else 0
        send = partial(sock._send_once, flags=lent) if lent else sock.send
        return in_pieces(send, in_fd, at, length, file if isinstance(file, UdpSocket) else None)
    finally:
        sock.detach()


def in_pieces(send: Any, in_fd: int, at: int, length: int, collects: UdpSocket | None = None) -> int:
    """How many of *length* bytes from *at* went, by *send*, before there was no room, or the peer had answered one piece by a reset.

    A UDP socket *collects* the pieces in one datagram, up to the one that is the last of all that was asked for. If the file
    ends before, what is collected goes then, but on IPv6 and in UDP-Lite, where nobody tells the socket: it waits for more.
    """
    sent = 0
    while data := os.pread(in_fd, min(length - sent, PIECE - (at + sent) % PAGE), at + sent):
        try:
            taken: int = send(data, MSG_MORE) if collects is not None and len(data) < length - sent else send(data)
        except OSError:
            if not sent:
                raise
            return sent
        sent += taken
        if taken < len(data):
            return sent
    if collects is not None and 0 < sent < length:
        collects.end_of_file()
        send.__self__._machine.flush()
    return sent


def _position(fd: int) -> int:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError as error:
        raise socket_error(errno.EINVAL if error.errno == errno.ESPIPE else error.errno or errno.EINVAL) from None
