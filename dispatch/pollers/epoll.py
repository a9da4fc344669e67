"""epoll(7): registration stays in the kernel, a turn costs what is ready. Linux.

Where most of what is watched is ready in every turn, poll(2) finds it in two thirds of the time. So poll(2) is asked first,
without waiting, as long as that lasts and the watched set does not change.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable

from dispatch.interfaces import IN, OUT

# EINVAL: another thread has closed the epoll just now, and its number is a socket's already. EPERM: the number is a regular file's.
_GONE = (errno.ENOENT, errno.EBADF, errno.EINVAL, errno.EPERM)
USUAL = 1023  # descriptors that Python's epoll tells of in one call, if it is not asked for more: FD_SETSIZE - 1
CALM = 8  # crowded turns without a change, before poll(2) is told of all


class EpollPoller:
    """Level-triggered epoll. Descriptors may be watched from another thread while one sleeps in poll."""

    name = "epoll"
    wakes_on_watch = True
    __slots__ = ("_calm", "_crowd", "_epoll", "_files", "_many", "_ready", "_watched", "poll")

    poll: Callable[..., list[tuple[int, int]]]

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._files: dict[int, int] = {}  # regular files: epoll refuses them, poll(2) calls them ready at all times
        self._watched = 0  # how many; those that were closed behind our back count until somebody forgets them
        # The verb itself is the C method: it takes seconds or None, rounds up, and retries after a signal (PEP 475).
        self.poll = self._epoll.poll
        self._calm = 0  # crowded turns since something changed
        self._crowd: select.poll | None = None  # who has all that is watched registered, too
        self._many = self._ready = 0  # how many those are, and how many were ready the last time

    def crowded(self, watched: Callable[[], list[tuple[int, int]]]) -> None:
        """More than half were ready in this turn. *watched* gives all descriptors and their bits.

        poll(2) does not wait here: a sleep is epoll's, which notices what another thread lets it watch meanwhile.
        """
        self._calm += 1
        # A simulated one is asked what it was always asked.
        if self._calm == CALM and not self._files and type(self._epoll).__module__ == "select":
            crowd = select.poll()
            pairs = watched()
            for fd, bits in pairs:
                crowd.register(fd, bits)
            self._crowd, self._many, self._ready = crowd, len(pairs), len(pairs)
            self.poll = self._poll_crowd

    def _poll_crowd(self, timeout: float | None = None) -> list[tuple[int, int]]:
        crowd = self._crowd
        ready = crowd.poll(0) if crowd is not None and 2 * self._ready >= self._many else None
        if not ready:
            ready = self._poll_many(timeout)
        self._ready = len(ready)
        return ready

    def _poll_many(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Of all that are ready, however many."""
        return self._epoll.poll(timeout, max(self._watched, USUAL))

    def _settle(self) -> None:
        """Let the verb be what the least work does for what is watched now."""
        if self._files:
            self.poll = self._poll_with_files
        else:
            self.poll = self._poll_many if self._watched > USUAL else self._epoll.poll

    def _changed(self) -> None:
        self._calm = 0
        if self._crowd is not None:
            self._crowd = None
            self._settle()

    def watch(self, fd: int, bits: int) -> None:
        if self._calm:
            self._changed()
        if self._files:
            self._was_a_file(fd)  # closed behind our back, and its number is used again
        try:
            self._epoll.register(fd, bits)
        except FileExistsError:
            # A descriptor was closed behind our back while a duplicate lived, and its number is used again (K-113).
            self._epoll.modify(fd, bits)
        except PermissionError:
            self._files[fd] = bits
            self._settle()
            return
        self._watched += 1
        if self._watched == USUAL + 1:
            self._settle()

    def change(self, fd: int, bits: int) -> None:
        if self._calm:
            self._changed()
        try:
            self._epoll.modify(fd, bits)
        except (FileNotFoundError, PermissionError):
            self.watch(fd, bits)  # closed and opened again behind our back, as a file perhaps: the kernel forgot it

    def knows(self, fd: int, bits: int) -> bool:
        """Whether what was watched under this number, for *bits*, still stands there: the kernel forgets what was closed."""
        try:
            self._epoll.modify(fd, bits)
        except (OSError, ValueError):
            return fd in self._files
        return True

    def _poll_with_files(self, timeout: float | None = None) -> list[tuple[int, int]]:
        always = [(fd, bits & (IN | OUT)) for fd, bits in self._files.items() if bits & (IN | OUT)]
        return always + self._poll_many(0 if always else timeout)

    def forget(self, fd: int) -> None:
        if self._calm:
            self._changed()
        if self._files and self._was_a_file(fd):
            return
        self._watched -= 1
        if self._watched == USUAL:
            self._settle()
        try:
            self._epoll.unregister(fd)
        except ValueError:
            pass  # the epoll itself is closed
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _was_a_file(self, fd: int) -> bool:
        """Whether it was watched as a regular file, which from now on it is not."""
        if self._files.pop(fd, None) is None:
            return False
        self._settle()
        return True

    def close(self) -> None:
        self._changed()
        self._epoll.close()
