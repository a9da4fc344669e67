"""``os.splice`` between a pipe of the program and a simulated socket; and what else takes two descriptors, of which one is a pipe or none."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain
from operator import index
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.calls.descriptor_flags import status
from simnet.calls.descriptors import socket_of
from simnet.kernel.datagrams.memory import PAGE
from simnet.kernel.epoll import Epoll
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, MSG_DONTWAIT, MSG_MORE, SOCK_STREAM
from simnet.kernel.options.peeking import spliced
from simnet.kernel.readiness import ERR, OUT
from simnet.kernel.states import SHUT_RECEIVE
from simnet.kernel.unix.messages import LENT, STREAM_HEAD
from simnet.kernel.unix.streams import UnixStream
from simnet.socket import Socket

if TYPE_CHECKING:
    from simnet.files.pipes import Pipe
    from simnet.wait import Scheduler

__all__ = ["copy_file_range", "file_into_pipe", "socket_into_pipe", "splice"]

SPLICE_F_NONBLOCK, SPLICE_F_MORE = 2, 4
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032
AT_ONCE = 16  # places of a pipe that go in one send (splice_to_socket)
BLOCK = 32768  # the most that lies together: SKB_FRAG_PAGE_ORDER, UNIX_SKB_FRAGS_SZ
BEGUN = BLOCK - 512  # what is left of a block that who sends by TCP has written to before (sk_page_frag), as measured
WRONG_WAYS = (os.O_WRONLY, os.O_RDONLY)  # how what is read from, and what is written to, must not have been opened


def copy_file_range(scheduler: Scheduler, original: Callable[..., int], *arguments: Any, **options: Any) -> int:
    """``os.copy_file_range`` by *original*, which knows no simulated number.

    Raises:
        OSError: EISDIR, one is a folder; EINVAL, one is no file on a disk; and as *original*.
    """
    try:
        return original(*arguments, **options)
    except OSError as error:
        given = [*arguments[:2], *(options[name] for name in ("src", "dst") if name in options)]
        ends = [(fd, _end(scheduler, fd)) for fd in given]
        if error.errno != errno.EBADF or not (
            all(_is_open(*each) for each in ends) and any(sim for _, (sim, _) in ends)
        ):
            raise
        folder = any(not simulated and stat.S_ISDIR(os.fstat(fd).st_mode) for fd, (simulated, _) in ends)
        raise socket_error(errno.EISDIR if folder else errno.EINVAL) from None


def splice(scheduler: Scheduler, original: Callable[..., int], arguments: Any, options: Any) -> int:
    """How many bytes went, where *original* is called with *arguments* and, by name, *options*.

    Raises:
        TypeError, ValueError, OverflowError: as CPython's, text included.
        OSError: ESPIPE, a pipe has no positions; EBADF, it is not the pipe's end for this; EINVAL, neither is a pipe, or the
            other can not be asked for a position; EPIPE, nobody reads; EAGAIN; what the socket says.
    """
    try:
        src, dst, count, offset_src, offset_dst, flags = _asked(*arguments, **options)
    except TypeError:
        return original(*arguments, **options)  # which says what is wrong
    ends = [_end(scheduler, each) for each in (src, dst)]
    there = all(_is_open(*each) for each in zip((src, dst), ends, strict=True))
    if there and not any(simulated for simulated, _ in ends):
        go = partial(original, src, dst, count, offset_src, offset_dst)
        return go(flags) if scheduler.pipes is None else _real(scheduler, ends, go, flags)
    try:  # nothing was asked for, or it says what is wrong with it
        return original(src, dst, count, offset_src, offset_dst, flags)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    (_, source), (_, target) = ends
    if source is None or target is None:  # a file on the disk, or no file at all
        there = there and not any(
            _opened_to(*each) for each in zip((src, dst), (source, target), WRONG_WAYS, strict=True)
        )
        raise socket_error(errno.EINVAL if there else errno.EBADF)
    pipe, other = (source, offset_dst) if ends[1][0] else (target, offset_src)
    if (ends[0][0] and ends[1][0]) or pipe.alone:
        raise socket_error(errno.EINVAL)
    if (offset_src if pipe is source else offset_dst) is not None:
        raise socket_error(errno.ESPIPE)
    if not (pipe.reads if pipe is source else pipe.writes):
        raise socket_error(errno.EBADF)
    if other is not None or isinstance(target, Epoll):
        raise socket_error(errno.EINVAL)
    if pipe is source and status(target) & os.O_APPEND:
        raise socket_error(errno.EINVAL)  # which sendfile says, too
    nonblocking = bool(flags & SPLICE_F_NONBLOCK) or not os.get_blocking(pipe.fd)
    if pipe is source:
        return _out_of(scheduler, pipe, dst, count, nonblocking, MSG_MORE if flags & SPLICE_F_MORE else 0)
    return _into(scheduler, pipe, src, count, nonblocking)


def file_into_pipe(scheduler: Scheduler, fd: Any, go: Callable[[], int]) -> int:
    """``os.sendfile`` of a real file into a real one, *fd*: a pipe of the run is waited for, and who watches it is told."""
    pipes = scheduler.pipes
    pipe = None if pipes is None else pipes.find(fd)
    if pipes is None or pipe is None or pipe.alone or not pipe.writes:
        return go()
    if os.get_blocking(pipe.fd):
        pipes.wait_for(scheduler, pipe, reading=False)
    with pipes.moving(*pipes.ends(pipe, writing=False)):
        return go()


def socket_into_pipe(scheduler: Scheduler, out_fd: Any, in_fd: Any, offset: Any, count: Any) -> int:
    """``os.sendfile`` from a simulated number into a real one: a socket's bytes go into a pipe, and nowhere else.

    Raises:
        OSError: ESPIPE, it has no positions; EBADF, the other is not open to be written to; EINVAL, nor is it a pipe; and as
            ``os.splice``.
    """
    if offset is not None:
        raise socket_error(errno.ESPIPE)
    if index(count) < 0:
        raise socket_error(errno.EINVAL)
    if fcntl.fcntl(index(out_fd), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise socket_error(errno.EBADF)
    pipe = None if scheduler.pipes is None else scheduler.pipes.find(out_fd)
    if pipe is None or pipe.alone:
        epoll = isinstance(scheduler.current.holder_of(in_fd).descriptors.get(in_fd), Epoll)
        if epoll and not count:  # it has positions, like a file, but no bytes
            return 0
        raise socket_error(errno.EINVAL)
    return _into(scheduler, pipe, in_fd, index(count), not os.get_blocking(pipe.fd))


def _asked(
    src: Any, dst: Any, count: Any, offset_src: Any = None, offset_dst: Any = None, flags: Any = 0
) -> tuple[Any, ...]:
    return src, dst, count, offset_src, offset_dst, flags


def _end(scheduler: Scheduler, fd: Any) -> tuple[bool, Any]:
    """Is *fd* simulated? And its file; ``None`` for a real file that is no pipe of the run's."""
    process = scheduler.current
    file: Any = process.holder_of(fd).descriptors.open.get(fd) if isinstance(fd, int) else None
    if file is not None:
        return True, file
    return False, None if scheduler.pipes is None else scheduler.pipes.find(fd)


def _is_open(fd: Any, end: tuple[bool, Any]) -> bool:
    try:
        return end[1] is not None or bool(os.fstat(fd))
    except (OSError, OverflowError, TypeError):
        return False


def _opened_to(fd: int, file: Any, way: int) -> bool:
    """Was *fd*, if it is real and no pipe of the run's, opened for *way* and no other?"""
    return file is None and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == way


def _real(scheduler: Scheduler, ends: Any, go: Callable[[int], int], flags: int) -> int:
    """Between real files: a pipe of the run's is waited for here, unless one does not block, and who waits for it is told."""
    (_, source), (_, target) = ends
    pipes: Any = scheduler.pipes
    waits = not flags & SPLICE_F_NONBLOCK and all(pipe is None or os.get_blocking(pipe.fd) for pipe in (source, target))
    while True:
        watched = (pipes.ends(pipe, writing=writing) for pipe in (target, source) for writing in (False, True))
        try:
            with pipes.moving(*chain.from_iterable(watched)):
                return go(flags | SPLICE_F_NONBLOCK)
        except BlockingIOError:
            if not waits:
                raise
        for pipe, reading in ((source, True), (target, False)):
            if pipe is not None:
                pipes.wait_for(scheduler, pipe, reading=reading)


def _held(fd: int) -> int:
    """How many bytes lie in the pipe of *fd*."""
    return int(struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])


def _out_of(scheduler: Scheduler, pipe: Pipe, fd: int, count: int, nonblocking: bool, more: int) -> int:
    pipes: Any = scheduler.pipes
    held = _held(pipe.fd)
    if not held and _nobody_writes(pipe):
        return 0
    if not nonblocking:
        pipes.wait_for(scheduler, pipe, reading=True)
        held = _held(pipe.fd)
    if not held:
        if _nobody_writes(pipe):
            return 0
        raise socket_error(errno.EAGAIN)
    flags = more | (MSG_DONTWAIT if nonblocking else 0)
    if isinstance(scheduler.current.holder_of(fd).descriptors.get(fd), UnixStream):
        flags |= LENT
    total = 0
    while total < count and (went := _some(scheduler, pipe, fd, count - total, flags, begun=total > 0)):
        total += went
    return total


def _some(scheduler: Scheduler, pipe: Pipe, fd: int, count: int, flags: int, *, begun: bool) -> int:
    """What lies in so many places of *pipe* as go at once, at most *count* bytes, to the socket *fd*; how many went, 0 if no more
    will.

    Of several such sends each but the last says that there is more, and so does the last if it fills its places.
    """
    pipes: Any = scheduler.pipes
    with _aside(pipe, AT_ONCE * PAGE) as (reader, writer):
        size = _tee()(pipe.fd, writer, count, SPLICE_F_NONBLOCK)
        if size <= 0:
            return 0
        if size < count and _tee()(pipe.fd, writer, 1, SPLICE_F_NONBLOCK) < 0:  # there is no place for one more
            flags |= MSG_MORE
        data = real.read(reader, size)
        while len(data) < size:  # of packets, as O_DIRECT makes them, one is read at a time
            data += real.read(reader, size - len(data))
        with socket_of(scheduler.current, fd) as sock:
            try:
                sent: int = sock._send_once(data, flags)
            except OSError:
                if begun:
                    return 0
                raise
        with pipes.moving(*pipes.ends(pipe, writing=True)):  # what stays in the pipe stays in the pages that it is in
            real.splice(pipe.fd, writer, sent)
    return sent


@cache
def _tee() -> Any:
    """tee(2), which shows what lies in a pipe; ``os`` has it not."""
    return ctypes.CDLL(None).tee


def _nobody_writes(pipe: Pipe) -> bool:
    """Has *pipe*, which is empty, no writers? A poller is not told so of a FIFO that never had one."""
    with _aside(pipe) as (_, writer):
        return bool(_tee()(pipe.fd, writer, 1, SPLICE_F_NONBLOCK) == 0)


@contextmanager
def _aside(pipe: Pipe, size: int = 0) -> Iterator[tuple[int, int]]:
    """A pipe as large as *pipe*, or of *size* bytes, which the run does not know."""
    reader, writer = real.pipe()
    try:
        fcntl.fcntl(writer, F_SETPIPE_SZ, size or fcntl.fcntl(pipe.fd, F_GETPIPE_SZ))
        yield reader, writer
    finally:
        real.close(reader)
        real.close(writer)


def _before_mark(file: Any) -> int:
    """How many bytes may be taken before the urgent one, which splice never passes (tcp_read_sock); 0 to say that there is nothing.

    Raises:
        OSError: it stands there, and its socket has an error; EAGAIN, or may hear more and does not block.
    """
    if not getattr(file, "urg_data", 0) or not file.unread:
        return sys.maxsize
    before: int = file.urg_seq - file.copied_seq
    if before or file.done:
        return before
    if file.error:
        error, file.error = file.error, 0
        raise socket_error(error)
    if not file.shut & SHUT_RECEIVE and not file.blocks():
        raise socket_error(errno.EAGAIN)
    return 0


def _into(scheduler: Scheduler, pipe: Pipe, fd: int, count: int, nonblocking: bool) -> int:
    """What has come to the socket *fd*, at most *count* bytes, into *pipe*; how many."""
    pipes: Any = scheduler.pipes
    if pipe.mask() & ERR:
        os.write(pipe.fd, b"\0")  # which says that nobody reads, by signal too
    if not nonblocking:
        pipes.wait_for(scheduler, pipe, reading=False)
    if not pipe.mask() & OUT:
        raise socket_error(errno.EAGAIN)
    if not count:
        return 0
    file: Any = scheduler.current.holder_of(fd).descriptors.get(fd)
    if isinstance(file, Epoll):
        raise socket_error(errno.EINVAL)
    before = _before_mark(file)
    if before == 0:
        return 0
    pages = max(_free_pages(pipe), 1)
    with socket_of(scheduler.current, fd) as sock:
        is_unix, streams = sock.family == AF_UNIX, sock.type == SOCK_STREAM
        pieces = [PAGE] * pages  # copy_splice_read
        if streams:
            pieces = _pieces_of(file, pages) or pieces if is_unix else [BEGUN, *[BLOCK] * (pages * PAGE // BLOCK + 1)]
        size = min(sum(pieces), pages * PAGE)
        flags = MSG_DONTWAIT if nonblocking and streams and is_unix else 0  # those alone go by the flag
        data = Socket.recv(sock, min(count, size, before), flags)
    if data:
        if getattr(file, "options", None):
            spliced(file.options, len(data))
        with pipes.moving(*pipes.ends(pipe, writing=False)), _aside(pipe) as (reader, writer):
            at = 0
            for piece in pieces:
                if at < len(data):
                    _put(pipe, data[at : at + piece], reader, writer)
                at += piece
    return len(data)


def _put(pipe: Pipe, data: bytes, reader: int, writer: int) -> None:
    """*data*, no more than a block, into one place of *pipe*, by way of the pipe of *reader* and *writer*: it lies in pages of its
    own, of which no later write fills the rest.
    """
    padding = -len(data) % PAGE
    if len(data) > PAGE:
        _put_block(data, writer)
        padding = 0
    else:
        real.write(writer, data + bytes(padding))
    went = real.splice(reader, pipe.fd, len(data), flags=SPLICE_F_NONBLOCK)
    if went < len(data):  # the memory lies in more pieces: nothing may be lost
        fcntl.fcntl(pipe.fd, F_SETPIPE_SZ, 2 * fcntl.fcntl(pipe.fd, F_GETPIPE_SZ))
        real.splice(reader, pipe.fd, len(data) - went, flags=SPLICE_F_NONBLOCK)
    if padding:
        real.read(reader, padding)


def _put_block(data: bytes, writer: int) -> None:
    """*data*, more than a page, into one place of the pipe of *writer*: only a socket's memory lies there so."""
    sender, receiver = real.socketpair()
    try:
        # As much as one block takes, without a head, and of that what is wanted.
        sender.send(data + bytes((PAGE << (-(-len(data) // PAGE) - 1).bit_length()) - len(data)))
        real.splice(receiver.fileno(), writer, len(data))
    finally:
        sender.close()
        receiver.close()


def _free_pages(pipe: Pipe) -> int:
    """How many pages of *pipe* hold nothing: as many as can still be filled beside what it holds."""
    if not _held(pipe.fd):
        return fcntl.fcntl(pipe.fd, F_GETPIPE_SZ) // PAGE
    free = 0
    with _aside(pipe) as (_, writer):
        holder = real.open_by_number(f"/proc/self/fd/{pipe.fd}", os.O_RDONLY | os.O_NONBLOCK)
        _tee()(holder, writer, 1 << 30, SPLICE_F_NONBLOCK)
        real.close(holder)
        fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
        with suppress(BlockingIOError):
            while real.write(writer, bytes(PAGE)):
                free += 1
    return free


def _pieces_of(stream: UnixStream, pages: int) -> list[int]:
    """How many bytes of what was sent lie in each of the *pages* places that take it in: no two sends share one.

    Empty where an urgent byte is among them, or was.
    """
    pieces: list[int] = []
    inbox = stream.inbox or ()
    if stream.urgent is not None or any(record.consumed for record in inbox):
        return []
    for record in inbox:
        skipped = record.offset
        for size in _blocks(len(record.data)):
            rest = size - skipped
            skipped = max(-rest, 0)
            if rest > 0:
                pieces.append(rest)
            if len(pieces) == pages:
                return pieces
    return pieces


def _blocks(length: int) -> Iterator[int]:
    """A buffer of *length* bytes: its head, and the blocks of pages behind it, each half as large as the one before, or less
    (alloc_skb_with_frags).
    """
    paged = min(-(-max(length - STREAM_HEAD, 0) // PAGE) * PAGE, length)
    yield length - paged
    block = BLOCK
    while paged:
        while block > PAGE and -(-paged // PAGE) * PAGE < block:
            block //= 2
        size = min(block, paged)
        yield size
        paged -= size
