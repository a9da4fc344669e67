"""epoll(7): registration stays in the kernel, a turn costs what is ready. Linux."""

from __future__ import annotations

import errno
import select
from collections.abc import Callable

_GONE = (errno.ENOENT, errno.EBADF)


class EpollPoller:
    """Level-triggered epoll. Descriptors may be watched from another thread while one sleeps in poll."""

    name = "epoll"
    wakes_on_watch = True
    __slots__ = ("_epoll", "poll")

    poll: Callable[..., list[tuple[int, int]]]

    def __init__(self) -> None:
        self._epoll = select.epoll()
        # The verb itself is the C method: it takes seconds or None, rounds up, and retries after a signal (PEP 475).
        self.poll = self._epoll.poll

    def watch(self, fd: int, bits: int) -> None:
        try:
            self._epoll.register(fd, bits)
        except FileExistsError:
            # A descriptor was closed behind our back while a duplicate lived, and its number is used again (K-113).
            self._epoll.modify(fd, bits)

    def change(self, fd: int, bits: int) -> None:
        try:
            self._epoll.modify(fd, bits)
        except FileNotFoundError:
            self._epoll.register(fd, bits)  # closed and opened again behind our back: the kernel forgot it

    def forget(self, fd: int) -> None:
        try:
            self._epoll.unregister(fd)
        except ValueError:
            pass  # the epoll itself is closed
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def close(self) -> None:
        self._epoll.close()
