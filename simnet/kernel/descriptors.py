"""Open file descriptions, and a process's table of the numbers that name them."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EBADF, EMFILE
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from simnet.kernel.errors import socket_error


class Watcher(Protocol):
    """Who wants to hear that a file's readiness may have changed."""

    def wake(self, file: File, events: int, /) -> object:
        """Note that some of *events* may have become true; if it returns something true, nobody after it is told.

        It must not call back into the kernel.
        """


class Unnamed:
    """Stands among the watchers of a file whose last descriptor is closed while a call waits on it: the call has the reference."""

    def wake(self, file: File, events: int, /) -> None:
        """That is nobody's news."""


class File:
    """An open file description: what descriptors name, and what readiness belongs to.

    It is born with one reference, its creator's; ``Descriptors.add`` takes that one over.
    """

    __slots__ = ("refs", "watchers", "tag", "nonblocking", "kept")

    kept: dict[str, Any]  # what fcntl sets; not there until it does
    nonblocking: bool  # O_NONBLOCK; not there until somebody sets or clears it
    refs: int
    watchers: list[Watcher] | None
    tag: object
    calm = False  # a connection's own, with an inbox and an outbox, says when nothing is the matter with it

    def mask(self) -> int:
        """The poll mask now."""
        raise NotImplementedError

    def blocks(self) -> bool:
        """Does a call wait that cannot go on, as far as the kernel knows? All descriptors of a file agree on that."""
        return not getattr(self, "nonblocking", False)

    def has_any_room(self) -> bool:
        """Would a send that waits in the kernel go on, though poll does not say that there is room?"""
        return False

    def stops_here(self) -> bool:
        """Does a read that waits for more, and has something, end here?"""
        return False

    def watch(self, watcher: Watcher) -> None:
        """Tell *watcher* of each edge from now on. The latest to watch is told first, as on a Linux wait queue (K-112)."""
        if self.watchers is None:
            self.watchers = [watcher]
        else:
            self.watchers.insert(0, watcher)

    def watch_last(self, watcher: Watcher) -> None:
        """As ``watch``, for one that is exclusive: behind the others, and told only if no other such one has taken it."""
        if self.watchers is None:
            self.watchers = [watcher]
        else:
            self.watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tell *watcher* no more. No error if it does not watch."""
        watchers = self.watchers
        if watchers is None:
            return
        if len(watchers) == 1:  # mostly
            if watchers[0] is watcher:
                self.watchers = None
        elif watcher in watchers:
            watchers.remove(watcher)

    def wake(self, events: int) -> None:
        """Tell every watcher that *events* may have become true; of the exclusive ones only the first that takes it."""
        watchers = self.watchers
        if watchers is not None:
            for watcher in watchers:
                if watcher.wake(self, events):
                    break

    def stir(self) -> None:
        """A number or the time-out of who waits may be another one: tell those who try in vain, and go by that."""
        for each in self.watchers or ():
            if getattr(each, "spins", False):
                each.wake(self, 0)

    def urge(self) -> None:
        """Urgent data is announced: SIGURG for who owns the file."""
        urge = getattr(self, "kept", {}).get("urge")
        if urge is not None:
            urge()

    def hold(self) -> None:
        """One more reference: a dup, or a descriptor on its way through a Unix socket."""
        self.refs += 1

    def release(self) -> None:
        """One reference less; the last one closes, unless a call waits on the file: it closes then when that returns (K-116)."""
        assert self.refs > 0, f"{self!r} was released more often than held"
        if self.watchers is not None and self.refs == 1 and self.in_a_call():
            self.watchers.append(Unnamed())
            return
        self.refs -= 1
        if self.refs == 0:
            watchers = self.watchers
            if watchers is not None:
                for watcher in tuple(watchers):
                    closed = getattr(watcher, "file_closed", None)
                    if closed is not None:
                        closed(self)
            self.destroy()

    def in_a_call(self) -> bool:
        """Does somebody wait in a call that was given a number of this file?"""
        return any(holds(self) for each in self.watchers or () if (holds := getattr(each, "holds", None)) is not None)

    def has_no_name(self) -> bool:
        """Is its last descriptor closed, and what keeps it open a call that waits, or has waited?"""
        return any(type(each) is Unnamed for each in self.watchers or ())

    def let_go(self) -> None:
        """A call that waited returns; the last of those that kept the file open closes it."""
        if not self.in_a_call():
            self.watchers = [each for each in self.watchers or () if type(each) is not Unnamed] or None
            self.release()

    def destroy(self) -> None:
        """What closing the last descriptor does."""
        raise NotImplementedError


STANDARD = 3  # numbers that a program has from the start: standard input, output and error


class Descriptors:
    """One process's descriptor table: the lowest free number first, from *base* upwards.

    *limit* is how many numbers there are: RLIMIT_NOFILE less those that a program has from the start.
    """

    __slots__ = ("base", "limit", "open", "inheritable", "_free", "_next")

    def __init__(self, base: int = 0, limit: int = 1024) -> None:
        self.base = base
        self.limit = limit
        self.open: dict[int, File] = {}  # read by those who cannot afford a call for it; changed here alone
        self.inheritable: set[int] = set()  # those without FD_CLOEXEC; nothing here calls exec
        self._free: list[int] = []
        self._next = base

    def reserve(self) -> None:
        """Raise EMFILE if no number is free. accept() asks this before it looks at its queue (K-132)."""
        if (self._free[0] if self._free else self._next) - self.base >= self.limit:
            raise socket_error(EMFILE)

    def reserve_several(self, count: int) -> None:
        """Raise EMFILE if fewer than *count* are free."""
        end = self.base + self.limit
        if max(0, end - self._next) + sum(fd < end for fd in self._free) < count:
            raise socket_error(EMFILE)

    def add(self, file: File) -> int:
        """Give *file* the lowest free number, and take over its creator's reference.

        Raises:
            OSError: EMFILE; the reference stays with the caller.
        """
        if self._free:
            fd = self._free[0]
            if fd - self.base >= self.limit:
                raise socket_error(EMFILE)
            heappop(self._free)
        else:
            fd = self._next
            if fd - self.base >= self.limit:
                raise socket_error(EMFILE)
            self._next = fd + 1
        self.open[fd] = file
        return fd

    def get(self, fd: int) -> File:
        """The file behind *fd*, or EBADF."""
        file = self.open.get(fd)
        if file is None:
            raise socket_error(EBADF)
        return file

    def dup(self, fd: int) -> int:
        """A second number for the same file."""
        file = self.get(fd)
        new = self.add(file)
        file.hold()
        return new

    def dup_to(self, fd: int, new: int) -> None:
        """The number *new* for the same file, whatever it names now; EBADF if it can name nothing."""
        file = self.get(fd)
        if not self.base <= new < self.base + self.limit:
            raise socket_error(EBADF)
        file.hold()
        if new in self.open:
            self.close(new)
        while self._next <= new:
            heappush(self._free, self._next)
            self._next += 1
        self._free.remove(new)
        heapify(self._free)
        self.open[new] = file

    def close(self, fd: int) -> File:
        """Free the number; the file is closed with its last one. Returns the file."""
        file = self.open.pop(fd, None)
        if file is None:
            raise socket_error(EBADF)
        self.inheritable.discard(fd)
        heappush(self._free, fd)
        if file.watchers is not None:
            file.stir()
        file.release()
        return file

    def __contains__(self, fd: object) -> bool:
        return fd in self.open

    def __len__(self) -> int:
        return len(self.open)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.open))

    def files(self) -> list[File]:
        """The files, in order of number."""
        files = self.open
        return [files[fd] for fd in sorted(files)]

    def items(self) -> list[tuple[int, File]]:
        """Numbers and files, in order of number."""
        files = self.open
        return [(fd, files[fd]) for fd in sorted(files)]
