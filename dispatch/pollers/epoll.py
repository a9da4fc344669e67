"""epoll(7): registration stays in the kernel, a turn costs what is ready. Linux."""

from __future__ import annotations

import errno
import select
from collections.abc import Callable

from dispatch.interfaces import IN, OUT

_GONE = (errno.ENOENT, errno.EBADF)


class EpollPoller:
    """Level-triggered epoll. Descriptors may be watched from another thread while one sleeps in poll."""

    name = "epoll"
    wakes_on_watch = True
    __slots__ = ("_epoll", "_files", "poll")

    poll: Callable[..., list[tuple[int, int]]]

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._files: dict[int, int] = {}  # regular files: epoll refuses them, poll(2) calls them ready at all times
        # The verb itself is the C method: it takes seconds or None, rounds up, and retries after a signal (PEP 475).
        self.poll = self._epoll.poll

    def watch(self, fd: int, bits: int) -> None:
        try:
            self._epoll.register(fd, bits)
        except FileExistsError:
            # A descriptor was closed behind our back while a duplicate lived, and its number is used again (K-113).
            self._epoll.modify(fd, bits)
        except PermissionError:
            self._files[fd] = bits
            self.poll = self._poll_with_files

    def change(self, fd: int, bits: int) -> None:
        if fd in self._files:
            self._files[fd] = bits
            return
        try:
            self._epoll.modify(fd, bits)
        except FileNotFoundError:
            self.watch(fd, bits)  # closed and opened again behind our back: the kernel forgot it

    def _poll_with_files(self, timeout: float | None = None) -> list[tuple[int, int]]:
        always = [(fd, bits & (IN | OUT)) for fd, bits in self._files.items() if bits & (IN | OUT)]
        return always + self._epoll.poll(0 if always else timeout)

    def forget(self, fd: int) -> None:
        if self._files and self._files.pop(fd, None) is not None:
            if not self._files:
                self.poll = self._epoll.poll
            return
        try:
            self._epoll.unregister(fd)
        except ValueError:
            pass  # the epoll itself is closed
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def close(self) -> None:
        self._epoll.close()
