"""Files and pipes on a loop: a piece of a file as output, a pipe as a stream."""

from __future__ import annotations

import errno
import os
import socket as _socket
import stat
import sys
from collections.abc import Callable

from dispatch.annotations import Any
from dispatch.channel import CONNECTED, EOF, SHUT
from dispatch.checks import check_count, descriptor
from dispatch.errors import OUT_OF_RESOURCES, TRY_AGAIN
from dispatch.interfaces import READ
from dispatch.stream import Stream

PIECE = 65536  # bytes read at once where sendfile cannot be had
AT_ONCE = 1 << 20  # bytes offered to sendfile in one call
# No such file for sendfile, or it cannot be read (EIO): it is read here then, which works, or says whose error that was.
NOT_BY_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP, errno.EIO)
OFFSET_MAX = (1 << 63) - 1  # off_t of <sys/types.h>, signed
# How a path is opened. Without blocking: what turns out to be a FIFO would wait for its writer.
READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FilePiece:
    """Part of a file, to be sent; true while something is left. The file is read as it is when its turn comes."""

    __slots__ = (
        "_close",
        "_failed",
        "_fd",
        "_file",
        "_left",
        "_offset",
        "_path",
        "_promised",
        "_rest",
        "_went",
        "_what",
    )

    def __init__(self, file: Any, offset: int, count: int | None, failed: Callable[[str, Exception], object]) -> None:
        self._fd = -1
        check_count("offset", offset, 0, OFFSET_MAX)
        check_count("count", 0 if count is None else count, 0)
        self._close = os.close  # at the interpreter's end modules are empty
        self._failed = failed
        self._file = file
        # A path, of which the program may go elsewhere meanwhile; bytes would be what the file is to hold.
        self._path = os.path.abspath(file) if isinstance(file, (str, os.PathLike)) else None
        if self._path is None:
            self._fd = os.dup(descriptor(file, "; write_from() sends what an iterable gives"))
        else:
            self._fd = os.open(self._path, READ_ONLY)
        self._offset = offset
        self._promised = count is not None  # the peer may have been told how much comes
        try:
            os.lseek(self._fd, 0, os.SEEK_CUR)
        except OSError:
            raise ValueError(
                f"{file!r} has no place to begin at, as pipes have none; write_from() sends what it gives"
            ) from None
        about = os.fstat(self._fd)
        if stat.S_ISDIR(about.st_mode) and self._path is not None:
            # As open() says it: of a path that the peer asked for, perhaps.
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), file)
        if stat.S_ISDIR(about.st_mode) or not _is_readable(self._fd):
            raise ValueError(f"{file!r} cannot be read: open a file for reading, in binary")
        self._what = about
        # Linux says 0 of those in /proc, whatever is in them, and a device has no size.
        size = about.st_size or sys.maxsize
        self._left = max(size - offset, 0) if count is None else count
        self._rest = b""  # read, but not taken by the socket
        self._went: list[int] = []  # what sendfile has said, until it is counted

    def lay_aside(self) -> None:
        """Much is to be sent before it: what has a path need not be open until then."""
        if self._path is not None:
            self.give_back()

    def _open_again(self) -> None:
        """Its turn has come.

        Raises:
            OSError: it is not there any more, or another is (ESTALE); or no descriptor is left, in which case it can be tried again.
        """
        try:
            self._fd = os.open(self._path, READ_ONLY)  # type: ignore[arg-type]  # only what has a path is laid aside
            if not os.path.samestat(os.fstat(self._fd), self._what):
                raise OSError(errno.ESTALE, "another file has taken its place since write_file()", self._path)
        except OSError as error:
            if error.errno not in OUT_OF_RESOURCES:
                self._left = 0
                self.give_back()
            raise

    def give_back(self) -> None:
        """Its descriptor is not needed any more."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._close(fd)

    __del__ = give_back

    def __bool__(self) -> bool:
        return self._left > 0 or bool(self._rest)

    def more(self) -> bytes:
        """The next piece, for those who cannot use sendfile.

        Raises:
            EOFError: the file has ended too early.
            OSError: it cannot be read, or not be opened again.
        """
        if not self._left:
            return b""
        if self._fd < 0:
            self._open_again()
        data = os.pread(self._fd, min(PIECE, self._left), self._offset)
        self._moved(len(data))
        return data

    def send_to(self, sock: Any) -> tuple[int, bool]:
        """Send the next piece: (bytes that went out, whether the socket is full). An error of the file is told to its channel."""
        if not self:  # nothing from the beginning; of 0 bytes BSD's and macOS' sendfile makes all there are
            self.give_back()
            return 0, False
        try:
            if self._fd < 0 and self._left:
                self._open_again()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                raise
            self._failed("write_file", error)
            return 0, False
        try:
            return self._send_to(sock)
        except EOFError as error:
            self._failed("write_file", error)
            return 0, False

    def _send_to(self, sock: Any) -> tuple[int, bool]:
        if not self._rest and type(sock) is _socket.socket and hasattr(os, "sendfile"):
            try:
                if not self._went:
                    # One step, so that Ctrl-C right behind the call does not lose how much went out: see interrupted.py.
                    size = min(AT_ONCE, self._left)
                    self._went.extend(map(os.sendfile, (sock.fileno(),), (self._fd,), (self._offset,), (size,)))
            except OSError as error:
                if error.errno in TRY_AGAIN:
                    return 0, True
                if error.errno not in NOT_BY_SENDFILE:
                    raise
            else:
                sent = self._went.pop()
                self._moved(sent)
                return sent, False
        try:
            self._rest = data = self._rest or self.more()  # if the socket is full, it is still to be sent
        except OSError as error:  # the file's: the socket is as good as ever
            if error.errno in OUT_OF_RESOURCES:
                raise
            self._left = 0
            self.give_back()
            self._failed("write_file", error)
            return 0, False
        self._rest = b""  # now: Ctrl-C may come behind the call, and it must not go out twice
        try:
            sent = sock.send(data) if data else 0
        except OSError:
            self._rest = data
            raise
        self._rest = data[sent:]
        return sent, sent < len(data)

    def _moved(self, count: int) -> None:
        self._offset += count
        left, self._left = self._left, self._left - count if count else 0  # the file was shorter than it said
        short = not count and left and (self._promised or os.fstat(self._fd).st_size < self._what.st_size)
        if not self._left:
            self.give_back()
        if short:
            raise EOFError(f"{self._file!r} ends at {self._offset}; write_file() was to send {left} bytes more")


def _is_readable(fd: int) -> bool:
    """Whether it was opened for reading; true where that cannot be asked."""
    if os.name != "posix":
        return True
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_WRONLY


class FileSocket:
    """A descriptor with as much of a socket's face as a Stream uses."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def setblocking(self, flag: bool) -> None:
        os.set_blocking(self._fd, flag)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        try:
            return os.read(self._fd, size)
        except OSError as error:
            if error.errno == errno.EIO and os.isatty(self._fd):
                return b""  # Linux: nobody holds the other side of this pseudo-terminal any more
            raise

    def send(self, data: Any) -> int:
        return os.write(self._fd, data)

    def sendmsg(self, pieces: list[Any]) -> int:
        return os.writev(self._fd, pieces)

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        pass

    def shutdown(self, how: int) -> None:
        pass

    def detach(self) -> int:
        fd, self._fd = self._fd, -1
        return fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self.detach())


class Pipe(Stream):
    """A pipe, FIFO or terminal as a stream, readable, writable or both, as it was opened. POSIX only.

    It works on a duplicate of the descriptor, which becomes non-blocking, and so does the caller's: they share that flag. A class
    made of Chat and Pipe cuts what it reads into messages.
    """

    __slots__ = ()

    _drain = 0  # what is left in it is for who reads next, and turns into no reset

    def __init__(self, file: Any, *, addr: Any = None, loop: Any = None) -> None:
        """*file* is a descriptor, or has a ``fileno()``; *addr* is a name for it, if it is to have one."""
        import fcntl

        fd = file if isinstance(file, int) and not isinstance(file, bool) else descriptor(file)
        super().__init__(addr=addr, loop=loop)
        mode = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
        self.socket = FileSocket(os.dup(fd))
        self.socket.setblocking(False)
        self._channel_state = CONNECTED
        if mode == os.O_RDONLY:
            self._channel_state |= SHUT
        elif mode == os.O_WRONLY:
            self._channel_state |= EOF
        try:
            self.loop._join(self, 0 if mode == os.O_WRONLY else READ)
        except BaseException:
            self.socket.close()
            raise
        if self.idle_timeout is not None:
            self.touch()
