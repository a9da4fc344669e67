"""select(2): three lists each turn, descriptors below 1,024. The last resort, and the only poller on Windows."""

from __future__ import annotations

import errno
import os
import select
import stat
import time

from dispatch.errors import socket_error
from dispatch.interfaces import ERR, IN, NVAL, OUT, PRI

FD_SETSIZE = 1024  # <sys/select.h> on Linux, macOS and BSD; Windows limits how many there are, not their numbers


class SelectPoller:
    """select.select; refuses a descriptor it cannot watch, names those that were closed behind its back."""

    name = "select"
    wakes_on_watch = False
    __slots__ = ("_bits", "_closed", "_write_only")

    def __init__(self) -> None:
        self._bits: dict[int, int] = {}
        self._write_only: dict[int, None] = {}  # their reader's end is an error, which select tells to readers
        self._closed = False

    def watch(self, fd: int, bits: int) -> None:
        if fd < 0:
            raise socket_error(errno.EBADF)
        if fd >= FD_SETSIZE and fd not in self._bits:
            try:
                select.select([fd], [], [], 0)  # where numbers mean something else, it may be fine
            except ValueError:
                # As if the table were full at 1,024: who accepts knows what to do then.
                text = f"select cannot watch descriptor {fd} (FD_SETSIZE is {FD_SETSIZE}); use poll"
                raise OSError(errno.EMFILE, text) from None
        if fd not in self._bits and _is_write_only(fd):
            self._write_only[fd] = None
        self._bits[fd] = bits

    def change(self, fd: int, bits: int) -> None:
        self.watch(fd, bits)

    def forget(self, fd: int) -> None:
        self._bits.pop(fd, None)
        self._write_only.pop(fd, None)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        if self._closed:
            raise ValueError("I/O operation on closed poller")
        readers = [*(fd for fd, bits in self._bits.items() if bits & IN), *self._write_only]
        writers = [fd for fd, bits in self._bits.items() if bits & OUT]
        urgent = [fd for fd, bits in self._bits.items() if bits & PRI]
        if not (readers or writers or urgent) and timeout is not None:
            time.sleep(timeout)  # Windows refuses three empty lists
            return []
        try:
            readers, writers, urgent = select.select(readers, writers, urgent, timeout)
        except (OSError, ValueError):
            stale = self._stale()
            if not stale:
                raise
            return [(fd, NVAL) for fd in stale]
        ready: dict[int, int] = dict.fromkeys(readers, IN)
        for fd in writers:
            ready[fd] = ready.get(fd, 0) | OUT
        for fd in urgent:
            # Windows reports a refused connect here and nowhere else.
            ready[fd] = ready.get(fd, 0) | (PRI if os.name != "nt" else PRI | ERR)
        for fd in self._write_only:
            if ready.get(fd, 0) & IN:
                ready[fd] = ready[fd] & ~IN | ERR
        return list(ready.items())

    def _stale(self) -> list[int]:
        """The descriptors select refuses: one call said that some are, this finds which."""
        stale = []
        for fd in self._bits:
            try:
                select.select([fd], [], [], 0)
            except (OSError, ValueError):
                stale.append(fd)
        return stale

    def close(self) -> None:
        self._closed = True
        self._bits.clear()
        self._write_only.clear()


def _is_write_only(fd: int) -> bool:
    """Whether it is the writing end of a pipe. Files and devices are readable to select whatever they were opened for."""
    if os.name != "posix":
        return False  # Windows' select takes nothing but sockets
    import fcntl

    try:
        written = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        return written and stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False  # closed already: poll() will tell
