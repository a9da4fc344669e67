"""Pipes and eventfds that a program makes in a run: the machine's own, beside simulated sockets in simulated pollers.

A program wakes itself with one, or passes one of its descriptors to a file dispatcher. Bytes and limits are the real
kernel's. A process that waits for a pipe, in a poller or a blocking ``os.read`` or ``os.write``, waits in virtual time, and is woken
by the process that writes to it, reads from it or closes it with the calls of ``os``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from fcntl import F_GETFL, fcntl
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.kernel.descriptors import File
from simnet.kernel.messages import UIO_MAXIOV
from simnet.kernel.readiness import ANY_NEWS, ERR, HUP, IN, NVAL, OUT, READABLE, WRITABLE

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["Pipe", "Pipes"]

Inode = tuple[int, int]
ENDS_READING, ENDS_WRITING = IN | HUP | ERR, OUT | ERR  # what ends a wait
TAKEN_MAX = 128  # numbers that stay taken at a time; a process has 1,024, and few failures of a sweep are kept

_taken: list[tuple[int, Inode | None]] = []  # those, and what takes them


class Pipe(File):
    """A real descriptor of a pipe, as a poller looks at it."""

    __slots__ = ("alone", "fd", "inode", "reads", "seen", "writes")

    def __init__(self, fd: int, inode: Inode) -> None:
        self.refs = 1
        self.watchers = None
        self.tag = "a pipe"
        self.fd = fd
        self.inode = inode
        # An eventfd: read and written by one number, and all have one inode.
        self.alone = not stat.S_IFMT(os.fstat(fd).st_mode)
        mode = fcntl(fd, F_GETFL) & os.O_ACCMODE
        self.reads = mode != os.O_WRONLY
        self.writes = mode != os.O_RDONLY  # is it the end to write to?
        self.seen = 0  # what pollers were told of it, less what was read away since

    def mask(self) -> int:
        """The poll mask now, from the real kernel; nothing once it is closed, by whatever it was, or another has its number."""
        if _inode(self.fd) != self.inode:
            return 0
        poller = real.poll()
        poller.register(self.fd, ANY_NEWS)
        return sum(bits & ~NVAL for _, bits in poller.poll(0))

    def notice(self) -> None:
        """Tell who watches it of what has come to be so without a call of ``os``: by a signal, or a file object's close."""
        mask = self.mask()
        new, self.seen = mask & ~self.seen, mask
        if new:
            self.wake(new)

    def destroy(self) -> None:
        """It is closed by its own number, not from here."""


class Pipes:
    """Those of one run, by their inodes: a descriptor may be doubled, and its number used again."""

    __slots__ = ("_inodes", "_known")

    def __init__(self) -> None:
        self._inodes: set[Inode] = set()  # asked for membership only
        self._known: dict[int, Pipe] = {}

    def made(self, ends: tuple[int, ...]) -> None:
        """The program has made one, or an eventfd, which is both its ends."""
        self._inodes.add(_inode(ends[0]) or (0, 0))
        for fd in ends:
            self.find(fd)

    def find(self, fd: int) -> Pipe | None:
        """The pipe that *fd* is of, if the program made it."""
        inode = _inode(fd)
        if inode is None or inode not in self._inodes:
            return None
        known = self._known.get(fd)
        if known is None or known.inode != inode:
            known = self._known[fd] = Pipe(fd, inode)
        return known

    def watched(self, pipe: Pipe) -> None:
        """An epoll watches *pipe* from now on: of all numbers of its end it is the latest."""
        self._known[pipe.fd] = self._known.pop(pipe.fd)

    def closed(self, pipe: Pipe) -> None:
        """The descriptor of *pipe* was closed: tell all who wait for either end."""
        del self._known[pipe.fd]
        pipe.release()
        for each in self._ends(pipe, writing=False) + self._ends(pipe, writing=True):
            each.wake(ANY_NEWS)
            each.seen |= each.mask()

    def _ends(self, pipe: Pipe, *, writing: bool) -> list[Pipe]:
        """All numbers of that end, the latest to be watched first: so they are told, as dups of a socket are (K-112)."""
        if pipe.alone:
            return [pipe]
        known = reversed(self._known.values())
        return [each for each in known if each.inode == pipe.inode and each.writes == writing]

    def _full(self, pipe: Pipe) -> bool:
        """Does poll say that no more goes in: no whole page is free?"""
        ends = self._ends(pipe, writing=True)
        return bool(ends) and not any(each.mask() & ENDS_WRITING for each in ends)

    def _written(self, pipe: Pipe) -> None:
        """An edge for who reads is each write, one that finds no room too, as pipe_write wakes."""
        for each in self._ends(pipe, writing=False):
            each.wake(READABLE)
            each.seen |= READABLE

    def read(self, scheduler: Scheduler, pipe: Pipe, read: Callable[..., Any], *arguments: Any) -> Any:
        """``os.read`` and ``os.readv``: a blocking one waits for bytes, or the end."""
        if pipe.reads and os.get_blocking(pipe.fd):
            self.wait_for(scheduler, pipe, reading=True)
        full = self._full(pipe)
        data = read(pipe.fd, *arguments)
        pipe.seen &= pipe.mask()
        if pipe.alone:
            pipe.wake(WRITABLE)  # an edge for who writes is each
        elif full and not self._full(pipe):
            for each in self._ends(pipe, writing=True):
                each.wake(WRITABLE)  # an edge for who writes is room after there was none, as pipe_read wakes
                each.seen |= WRITABLE
        return data

    readv = read

    def writev(self, scheduler: Scheduler, pipe: Pipe, writev: Callable[..., int], buffers: Any) -> int:
        """``os.writev``: as one write of all; to an eventfd as many, each of a number."""
        if pipe.alone and not os.get_blocking(pipe.fd):
            sent = writev(pipe.fd, buffers)
            self._written(pipe)
            return sent
        try:
            data = b"".join(buffers) if len(buffers) <= UIO_MAXIOV else None
        except TypeError:
            data = None
        if data is None:
            return writev(pipe.fd, buffers)  # it says itself what is wrong with them
        return self.write(scheduler, pipe, lambda fd, left: writev(fd, [left]), data)

    def write(self, scheduler: Scheduler, pipe: Pipe, write: Callable[..., int], data: Any) -> int:
        """``os.write``: a blocking one waits until all is taken; less if the other end is closed meanwhile."""
        if not os.get_blocking(pipe.fd):
            edge = pipe.writes and not pipe.alone and len(data)
            try:
                sent = write(pipe.fd, data)
                edge = sent
            except BrokenPipeError:
                scheduler.backend.broken_pipe(scheduler.current)
                raise
            finally:
                if edge:
                    self._written(pipe)
            return sent
        sent, left = 0, data
        os.set_blocking(pipe.fd, False)  # the real kernel would wait for a reader who cannot run
        try:
            while True:
                try:
                    sent += write(pipe.fd, left)
                except BlockingIOError:
                    pass
                except OSError as error:
                    if isinstance(error, BrokenPipeError):
                        scheduler.backend.broken_pipe(scheduler.current)
                    if not sent:
                        raise
                    return sent
                self._written(pipe)
                left = memoryview(data).cast("B")[sent:]
                if not left:
                    return sent
                self.wait_for(scheduler, pipe, reading=False)
        finally:
            os.set_blocking(pipe.fd, True)

    def eventfd_read(self, scheduler: Scheduler, pipe: Pipe, read: Callable[..., int]) -> int:
        """``os.eventfd_read``: a blocking one waits for a number; an edge for who writes is each."""
        if os.get_blocking(pipe.fd):
            self.wait_for(scheduler, pipe, reading=True)
        number = read(pipe.fd)
        pipe.seen &= pipe.mask()
        pipe.wake(WRITABLE)
        return number

    def eventfd_write(self, _: Scheduler, pipe: Pipe, write: Callable[..., None], *arguments: Any) -> None:
        """``os.eventfd_write``, which wakes who waits for the number to grow."""
        write(pipe.fd, *arguments)
        self._written(pipe)

    def moved(self, pipe: Pipe) -> None:
        """Something has moved in or out of *pipe* that no call of its own has seen."""
        for writing in (False, True):
            for each in self._ends(pipe, writing=writing):
                each.notice()

    def wait_for(self, scheduler: Scheduler, pipe: Pipe, *, reading: bool) -> None:
        """Until it can be read from, or written to."""
        me = scheduler.current
        pipe.watch_last(me)
        try:
            while not pipe.mask() & (ENDS_READING if reading else ENDS_WRITING):
                scheduler.wait(("read" if reading else "write", pipe))
        finally:
            pipe.unwatch(me)

    def close(self, *, kept: bool) -> None:
        """The run is over: a kernel would close what its processes left open.

        If exceptions of the run are *kept*, so is what their frames hold, which may close a pipe when it goes. By then the
        number would be another file's: so it stays taken, by nothing, until it is closed.
        """
        left = [fd for fd, pipe in self._known.items() if _inode(fd) == pipe.inode]
        self._known.clear()
        if left and kept:
            _keep_taken(left)
        else:
            for fd in left:
                os.close(fd)


def _keep_taken(numbers: list[int]) -> None:
    reader, writer = real.pipe()
    os.close(writer)
    inode = _inode(reader)
    for fd in numbers:
        os.dup2(reader, fd, inheritable=False)
    os.close(reader)
    _taken[:] = [each for each in _taken if _inode(each[0]) == each[1]]
    _taken.extend((fd, inode) for fd in numbers)
    while len(_taken) > TAKEN_MAX:
        os.close(_taken.pop(0)[0])


def _inode(fd: Any) -> Inode | None:
    """Of the pipe or the eventfd that *fd* is of; ``None`` if it is of none."""
    try:
        status = os.fstat(fd)
    except (OSError, TypeError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_IFMT(status.st_mode) in (0, stat.S_IFIFO) else None
