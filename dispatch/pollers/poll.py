"""poll(2): the kernel walks all descriptors each turn, any number of them. Every POSIX system."""

from __future__ import annotations

import errno
import math
import select

from dispatch.errors import socket_error


class PollPoller:
    """select.poll; a descriptor that is closed is reported with NVAL."""

    name = "poll"
    wakes_on_watch = False
    __slots__ = ("_closed", "_poll", "_watched")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._watched: dict[int, int] = {}
        self._closed = False

    def watch(self, fd: int, bits: int) -> None:
        if fd < 0:
            raise socket_error(errno.EBADF)  # poll itself would ignore it in silence
        self._poll.register(fd, bits)
        self._watched[fd] = bits

    def change(self, fd: int, bits: int) -> None:
        self._poll.register(fd, bits)
        self._watched[fd] = bits

    def forget(self, fd: int) -> None:
        try:
            self._poll.unregister(fd)
        except (KeyError, ValueError):
            pass
        self._watched.pop(fd, None)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        if self._closed:
            raise ValueError("I/O operation on closed poller")
        # Milliseconds, rounded up: waking before a timer is due would cost turns that find nothing.
        milliseconds = None if timeout is None else math.ceil(timeout * 1000)
        try:
            return self._poll.poll(milliseconds)
        except RuntimeError as error:
            if "concurrent poll()" not in str(error):
                raise  # of a signal's handler
            # Another thread, which has a loop over the same channels, is in it.
            mine = select.poll()
            for fd, bits in self._watched.copy().items():
                mine.register(fd, bits)
            return mine.poll(milliseconds)

    def close(self) -> None:
        self._closed = True
        self._poll = select.poll()
        self._watched = {}
