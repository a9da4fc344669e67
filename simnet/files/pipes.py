"""Pipes and eventfds that a program makes in a run: the machine's own, beside simulated sockets in simulated pollers.

A program wakes itself with one, or passes one of its descriptors to a file dispatcher. Bytes and limits are the real
kernel's. A process that waits for a pipe, in a poller or a blocking ``os.read`` or ``os.write``, waits in virtual time, and is woken
by the process that writes to it, reads from it or closes it with the calls of ``os``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EINTR
from fcntl import F_DUPFD_CLOEXEC, F_GETFL, fcntl
from os import readlink  # the true one: no simulated file is asked for
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.kernel.descriptors import File, Unnamed
from simnet.kernel.epoll import EPOLLET
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import UIO_MAXIOV
from simnet.kernel.readiness import ANY_NEWS, ERR, HUP, IN, NVAL, OUT, READABLE, WRITABLE

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["NO_MORE", "OF_PIPES", "Pipe", "Pipes", "is_named"]

# The calls that move others on, or name a pipe once more, and those of them that are told a descriptor and no more.
NO_MORE = ("close", "dup", "eventfd_read")
OF_PIPES = ("read", "readv", "write", "writev", "eventfd_write", *NO_MORE)

Inode = tuple[int, int]
ENDS_READING, ENDS_WRITING = IN | HUP | ERR, OUT | ERR  # what ends a wait
TAKEN_MAX = 128  # numbers that stay taken at a time; a process has 1,024, and few failures of a sweep are kept
STANDARD_ERROR = 2
NUMBER = 8  # bytes of that of an eventfd
HELD_FROM = 200  # beyond the numbers that a program has closed and may name again; a table has 256 places in any case

_taken: list[tuple[int, Inode | None]] = []  # those, and what takes them


class Pipe(File):
    """An open file description of a pipe, as a poller looks at it: real, and with one number or several."""

    __slots__ = ("alone", "end", "fd", "inode", "numbers", "reads", "seen", "writes")

    def __init__(self, fd: int, inode: Inode) -> None:
        self.refs = 1
        self.watchers = None
        self.tag = "a pipe"
        self.fd = fd  # of its numbers the one that was asked for last
        self.numbers = [fd]
        self.inode = inode
        # An eventfd: read and written by one number, and all have one inode.
        self.alone = not stat.S_IFMT(os.fstat(fd).st_mode)
        mode = fcntl(fd, F_GETFL) & os.O_ACCMODE
        self.reads = mode != os.O_WRONLY
        self.writes = mode != os.O_RDONLY  # is it the end to write to?
        self.seen = 0  # what pollers were told of it, less what was read away since
        # How to close it, once its last number was closed while a call waits on it
        self.end: Callable[[], None] | None = None

    def is_open(self) -> bool:
        """Has it a number yet, whoever closed others? Then its *fd* is one."""
        if _inode(self.fd) == self.inode:
            return True
        self.numbers = [each for each in self.numbers if _inode(each) == self.inode]
        if self.numbers:
            self.fd = self.numbers[-1]
        return bool(self.numbers)

    def is_one_with(self, other: Pipe) -> bool:
        """Is it the description that *other* is, too, as far as one can see: a dup of it?"""
        if self.inode != other.inode or self.reads != other.reads or self.writes != other.writes or not self.is_open():
            return False
        return not self.alone or _number_of_eventfd(self.fd) == _number_of_eventfd(other.fd)

    def mask(self) -> int:
        """The poll mask now, from the real kernel; nothing once it is closed, by whatever it was, or another has its number."""
        if not self.is_open():
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

    def outlives(self, end: Callable[[], None]) -> None:
        """Its last number is closed, and the call that waits on it closes it by *end* when it returns (K-116)."""
        self.watchers = [*(self.watchers or ()), Unnamed()]
        self.end = end

    def let_go(self) -> None:
        if self.end is not None and not self.in_a_call():
            self.watchers = [each for each in self.watchers or () if type(each) is not Unnamed] or None
            end, self.end = self.end, None
            end()

    def destroy(self) -> None:
        """It is closed by its own number, not from here."""


class Pipes:
    """Those of one run, by their inodes: a descriptor may be doubled, and its number used again."""

    __slots__ = ("_files", "_inodes", "_known", "_lent")

    def __init__(self) -> None:
        self._inodes: set[Inode] = set()  # asked for membership only
        self._lent: set[int] = set()  # numbers of pipes with a name that a file object of C's may have, and closes
        self._known: dict[int, Pipe] = {}
        self._files: dict[Pipe, None] = {}  # the latest to be watched is the last

    def made(self, ends: tuple[int, ...]) -> None:
        """The program has made one, or an eventfd, which is both its ends."""
        for fd in ends:
            inode = _inode(fd) or (0, 0)
            self._inodes.add(inode)
            self._lent.discard(fd)
            self.named(fd, Pipe(fd, inode))

    def find(self, fd: int) -> Pipe | None:
        """The pipe that *fd* is of, if the program made it, or has it by a name."""
        inode = _inode(fd)
        if inode is None or (inode not in self._inodes and not is_named(fd)):
            return None
        self._inodes.add(inode)
        known = self._known.get(fd)
        if known is None or known.inode != inode:  # one that was made by C, or by another call than dup
            known = Pipe(fd, inode)
            self.named(fd, next((each for each in reversed(self._files) if each.is_one_with(known)), known))
            if is_named(fd):
                self._lent.add(fd)
            known = self._known[fd]
        known.fd = fd
        return known

    def dup(self, _: Scheduler, pipe: Pipe, dup: Callable[..., int]) -> int:
        """``os.dup``: one number more."""
        fd = dup(pipe.fd)
        self.named(fd, pipe)
        return fd

    def dup2(self, dup2: Callable[..., int], fd: Any, *arguments: Any, **options: Any) -> int:
        """``os.dup2`` of any real file: a number of what *fd* is of, whatever it was of before."""
        before = self.find(arguments[0]) if arguments and arguments[0] != fd else None
        if before is not None:
            self._outlives_its_number(before)
        fd2 = dup2(fd, *arguments, **options)
        self.named(fd2, self.find(fd))
        return fd2

    def named(self, fd: int, pipe: Pipe | None) -> None:
        """*fd* is of *pipe* from now on, or of none, whatever it was before."""
        known = self._known.get(fd)
        if known is pipe:
            return
        if known is not None:
            self.closed(fd)
        if pipe is not None:
            self._known[fd] = pipe
            self._files[pipe] = None
            if fd not in pipe.numbers:
                pipe.numbers.append(fd)

    def watched(self, pipe: Pipe) -> None:
        """An epoll watches *pipe* from now on: of all descriptions of its end it is the latest."""
        del self._files[pipe]
        self._files[pipe] = None

    def close_number(self, pipe: Pipe, close: Callable[[int], None]) -> None:
        """``os.close``."""
        fd = pipe.fd
        self._outlives_its_number(pipe)
        close(fd)
        self.closed(fd)

    def _outlives_its_number(self, pipe: Pipe) -> None:
        """It loses the number that it was asked for: if a poller waits for it, and that is the last, it stays open until that has answered."""
        if pipe.numbers != [pipe.fd] or not pipe.in_a_call():
            return
        held = _one_more(pipe.fd)
        self.named(held, pipe)

        def end() -> None:
            real.close(held)
            self.closed(held)

        pipe.outlives(end)

    def closed(self, fd: int) -> None:
        """Number *fd* was closed. If it was the last and one end has nobody any more, tell who waits for the other (pipe_release)."""
        pipe = self._known.pop(fd)
        self._lent.discard(fd)
        if len(pipe.numbers) > 1:
            pipe.numbers.remove(fd)
            pipe.fd = pipe.numbers[-1]
            if pipe.is_open():
                return
        del self._files[pipe]
        pipe.release()
        for each in self.ends(pipe, writing=False) + self.ends(pipe, writing=True):
            if each.mask() & (HUP | ERR):
                each.wake(ANY_NEWS)
                each.seen |= each.mask()

    def ends(self, pipe: Pipe | None, *, writing: bool) -> list[Pipe]:
        """All descriptions of that end, the latest to be watched first: so they are told (K-112)."""
        if pipe is None or pipe.alone:
            return [pipe] if pipe else []
        same = [each for each in reversed(self._files) if each.inode == pipe.inode]
        return [each for each in same if (each.writes if writing else each.reads)]

    def _full(self, pipe: Pipe) -> bool:
        """Does poll say that no more goes in: no whole page is free?"""
        ends = self.ends(pipe, writing=True)
        return bool(ends) and not any(each.mask() & ENDS_WRITING for each in ends)

    def _written(self, pipe: Pipe) -> None:
        """An edge for who reads is each write, one that finds no room too, as pipe_write wakes."""
        for each in self.ends(pipe, writing=False):
            each.wake(READABLE)
            each.seen |= READABLE

    def called(self, call: str, scheduler: Scheduler, pipe: Pipe, original: Callable[..., Any], *arguments: Any) -> Any:
        """What *call*, one of ``OF_PIPES``, does by its *original*. To move something is to do something, as with a socket."""
        done = getattr(self, call)(scheduler, pipe, original, *arguments)
        if done not in (0, b""):
            scheduler.effects += 1
        return done

    def read(self, scheduler: Scheduler, pipe: Pipe, read: Callable[..., Any], *arguments: Any) -> Any:
        """``os.read``, ``os.readv`` and ``os.eventfd_read``: a blocking one waits for bytes, or the end.

        Behind a signal they look anew at the number. But ``eventfd_read`` is EINTR.
        """
        if _would_wait(pipe):
            with suppress(BlockingIOError), _unblocked(pipe):
                return read(pipe.fd, *arguments)  # no bytes, too few for a number, or of a name that nobody writes to
        while _would_wait(pipe):
            with self._held(pipe):
                if not self._wait_in_line(scheduler, pipe, reading=True, cut=True):
                    return self._read_now(pipe, read, *arguments)
            if not arguments:
                raise socket_error(EINTR)
        return self._read_now(pipe, read, *arguments)

    def _read_now(self, pipe: Pipe, read: Callable[..., Any], *arguments: Any) -> Any:
        full = self._full(pipe)
        data = read(pipe.fd, *arguments)
        pipe.seen &= pipe.mask()
        if pipe.alone:
            if data:  # no buffers hold nothing
                pipe.wake(WRITABLE)  # an edge for who writes is each
        elif full and not self._full(pipe):
            for each in self.ends(pipe, writing=True):
                each.wake(WRITABLE)  # an edge for who writes is room after there was none, as pipe_read wakes
                each.seen |= WRITABLE
        return data

    readv = eventfd_read = read

    def writev(self, scheduler: Scheduler, pipe: Pipe, writev: Callable[..., int], buffers: Any) -> int:
        """``os.writev``: as one write of all; to an eventfd as many, each of a number."""
        if pipe.alone:
            return self._write_numbers(scheduler, pipe, writev, buffers)
        try:
            data = b"".join(buffers) if len(buffers) <= UIO_MAXIOV else None
        except TypeError:
            data = None
        if data is None:
            return writev(pipe.fd, buffers)  # it says itself what is wrong with them
        return self.write(scheduler, pipe, lambda fd, left: writev(fd, [left]), data)

    def _write_numbers(self, scheduler: Scheduler, pipe: Pipe, writev: Callable[..., int], buffers: Any) -> int:
        sent = 0
        try:
            with _unblocked(pipe):
                sent = writev(pipe.fd, buffers)
        except BlockingIOError:
            if not os.get_blocking(pipe.fd):
                raise
        if sent:
            self._written(pipe)
        elif not any(memoryview(each).nbytes for each in buffers):
            return 0
        if os.get_blocking(pipe.fd):
            for each in buffers[sent // NUMBER :]:
                try:
                    sent += self.write(scheduler, pipe, lambda fd, left: writev(fd, [left]), each)
                except OSError:
                    if not sent:
                        raise
                    break
        return sent

    def write(self, scheduler: Scheduler, pipe: Pipe, write: Callable[..., int], data: Any) -> int:
        """``os.write``: a blocking one waits until all is taken; less if the other end is closed meanwhile, or a signal comes."""
        if not os.get_blocking(pipe.fd):
            edge = 0
            try:
                edge = sent = write(pipe.fd, data)
            except OSError as error:
                edge = pipe.writes and not pipe.alone
                if isinstance(error, BrokenPipeError):
                    scheduler.backend.broken_pipe()
                raise
            finally:
                if edge:
                    self._written(pipe)
            return sent
        sent = self._write_now(scheduler, pipe, write, data)
        if sent < len(left := memoryview(data).cast("B")):
            with self._held(pipe):
                while sent < len(left):
                    if self._wait_in_line(scheduler, pipe, reading=False, cut=sent > 0):
                        break
                    try:
                        sent += self._write_now(scheduler, pipe, write, left[sent:])
                    except OSError:
                        if not sent:
                            raise
                        break
                    if not os.get_blocking(pipe.fd):  # since a moment ago
                        break
        return sent

    def _write_now(self, scheduler: Scheduler, pipe: Pipe, write: Callable[..., int], data: Any) -> int:
        """What goes in at once: the real kernel would wait for a reader who cannot run."""
        try:
            with _unblocked(pipe):
                sent = write(pipe.fd, data)
        except BlockingIOError:
            sent = 0
        except BrokenPipeError:
            scheduler.backend.broken_pipe()
            raise
        if sent or memoryview(data).nbytes:
            self._written(pipe)
        return sent

    def eventfd_write(self, scheduler: Scheduler, pipe: Pipe, write: Callable[..., None], number: Any) -> None:
        """``os.eventfd_write``: as a write of the *number*."""

        def go(fd: int, _: object) -> int:
            write(fd, number)
            return NUMBER

        self.write(scheduler, pipe, go, bytes(NUMBER))

    @contextmanager
    def moving(self, *ends: Pipe) -> Iterator[None]:
        """Who watches *ends* is told after it of what is moved meanwhile, if that is an edge to the real kernel's epoll."""
        files = {each.fd: each for each in ends if each.is_open()}
        with real.epoll() as epoll:
            for fd in files:
                epoll.register(fd, ANY_NEWS | EPOLLET)
            epoll.poll(0)
            try:
                yield
            finally:
                for fd, bits in epoll.poll(0):
                    files[fd].seen |= bits
                    files[fd].wake(ANY_NEWS)
                for each in files.values():
                    each.seen &= each.mask()

    def resized(self, fd: Any, resize: Callable[[], Any]) -> Any:
        """F_SETPIPE_SZ: there may be room for who writes (pipe_resize_ring), and who does is woken to look."""
        pipe = self.find(fd)
        ends = () if pipe is None else tuple(self.ends(pipe, writing=True))
        with self.moving(*ends):
            size = resize()
        for each in ends:
            if not each.mask():
                each.wake(ANY_NEWS)
        return size

    @contextmanager
    def _held(self, pipe: Pipe) -> Iterator[None]:
        """A call waits, and goes on with *pipe* though others close all its numbers meanwhile."""
        held = _one_more(pipe.fd)
        self.named(held, pipe)
        try:
            yield
        finally:
            real.close(held)
            self.closed(held)

    def wait_for(self, scheduler: Scheduler, pipe: Pipe, *, reading: bool) -> None:
        """Until it can be read from, or written to, by what moves pages: it is told before those who wait in line."""
        pipe.watch(scheduler.current)
        _wait(scheduler, pipe, reading=reading, cut=False)

    def _wait_in_line(self, scheduler: Scheduler, pipe: Pipe, *, reading: bool, cut: bool) -> bool:
        """The same for a read or a write, which goes behind others; or has a signal *cut* that short?"""
        pipe.watch_last(scheduler.current)
        return _wait(scheduler, pipe, reading=reading, cut=cut)

    def close(self, *, kept: bool) -> None:
        """The run is over: a kernel would close what its processes left open.

        If exceptions of the run are *kept*, so is what their frames hold, which may close a pipe when it goes. By then the
        number would be another file's: so it stays taken, by nothing, until it is closed.
        """
        left = [fd for fd, pipe in self._known.items() if fd not in self._lent and _inode(fd) == pipe.inode]
        self._known.clear()
        if left and kept:
            _keep_taken(left)
        else:
            for fd in left:
                os.close(fd)


def _wait(scheduler: Scheduler, pipe: Pipe, *, reading: bool, cut: bool) -> bool:
    me = scheduler.current
    handlers = me.handlers
    refused = pipe.alone and not reading  # an eventfd has room, but maybe not for this number
    ends = ENDS_READING if reading else ENDS_WRITING
    try:
        while refused or (not pipe.mask() & ends and not (cut and me.handlers != handlers)):
            scheduler.wait(("read" if reading else "write", pipe))
            refused = False
        return cut and me.handlers != handlers
    finally:
        pipe.unwatch(me)


def _would_wait(pipe: Pipe) -> bool:
    """Does a call that reads from *pipe* find nothing, and may wait for it?"""
    return pipe.reads and os.get_blocking(pipe.fd) and not pipe.mask() & ENDS_READING


@contextmanager
def _unblocked(pipe: Pipe) -> Iterator[None]:
    """Within, a call of *pipe* does not wait; behind it, as others may call, it is as it was."""
    blocking = os.get_blocking(pipe.fd)
    os.set_blocking(pipe.fd, False)
    try:
        yield
    finally:
        os.set_blocking(pipe.fd, blocking)


def _one_more(fd: int) -> int:
    """A number for what *fd* is of, which the program does not know, and does not miss among those it is given next."""
    try:
        return fcntl(fd, F_DUPFD_CLOEXEC, HELD_FROM)
    except OSError:  # so many files it may not open
        return real.dup(fd)


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


def _number_of_eventfd(fd: int) -> str | None:
    """What tells one eventfd from others, if the kernel says so (since 5.2)."""
    try:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return None
    return next((line for line in lines if line.startswith("eventfd-id:")), None)


def is_named(fd: Any) -> bool:
    """Is it of a FIFO on the disk, which anybody may open, and not standard input or output?"""
    try:
        return (
            fd > STANDARD_ERROR and stat.S_ISFIFO(os.fstat(fd).st_mode) and readlink(f"/proc/self/fd/{fd}")[:1] == "/"
        )
    except (OSError, TypeError, OverflowError):
        return False


def _inode(fd: Any) -> Inode | None:
    """Of the pipe or the eventfd that *fd* is of; ``None`` if it is of none."""
    try:
        status = os.fstat(fd)
    except (OSError, TypeError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_IFMT(status.st_mode) in (0, stat.S_IFIFO) else None
