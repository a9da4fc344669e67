"""What travels between Unix sockets: records with credentials and descriptors, and what they cost in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from errno import EBADF, EINVAL, EPERM, ESRCH
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.datagrams.memory import HEAD_MAX, PAGE, SHARED_INFO, SKB
from simnet.kernel.descriptors import File
from simnet.kernel.errors import not_modelled, socket_error
from simnet.kernel.messages import CMSG_HEADER, MSG_CTRUNC, Message, fitted
from simnet.kernel.options.idle import SO_PASSRIGHTS, SO_PASSSEC, UNACCEPTED
from simnet.kernel.options.rare import TELLS_REST
from simnet.kernel.options.values import SOL_SOCKET
from simnet.kernel.unix.garbage import let_go

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack
    from simnet.kernel.unix.sockets import UnixSocket

Credentials = tuple[int, int, int]  # pid, uid, gid

SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2
SCM_MAX_FD: Final = 253
PASS_LABEL: Final = (SOL_SOCKET, SO_PASSSEC)
TAKES_FILES: Final = (SOL_SOCKET, SO_PASSRIGHTS)
OVERFLOWN: Final = (0, 65534, 65534)  # told of what was sent while nobody asked for credentials

STREAM_HEAD: Final = PAGE - SHARED_INFO  # SKB_MAX_HEAD(0)
STREAM_CHUNK: Final = STREAM_HEAD + 32768  # with UNIX_SKB_FRAGS_SZ: the most that one buffer of a stream holds
# Beside a send's flags, where no program can say it: what is sent lies in the pages of a file or a pipe (MSG_SPLICE_PAGES).
LENT: Final = 1 << 32
FRAGMENTS: Final = 17 * PAGE  # MAX_SKB_FRAGS: what is longer yet makes the head longer


class Record:
    """One send, or one piece of a long one."""

    __slots__ = ("data", "offset", "memory", "sender", "credentials", "files", "consumed", "stamp_ns")

    def __init__(
        self, data: bytes, memory: int, sender: UnixSocket, credentials: Credentials | None, files: tuple[File, ...]
    ) -> None:
        self.data = data
        self.offset = 0  # bytes of a stream that were read
        self.memory = memory
        self.sender = sender
        self.credentials = credentials
        self.files = files  # each held once, for the way
        self.stamp_ns = 0  # when it came, where that is asked for
        self.consumed = False  # an urgent byte that was read out of band

    @property
    def left(self) -> int:
        """Bytes that were not read in any way."""
        return 0 if self.consumed else len(self.data) - self.offset

    def free(self) -> None:
        """Its memory is the sender's again."""
        self.sender.give_back(self.memory)

    def discard(self) -> None:
        """Nobody will read it: descriptors on their way are closed."""
        files, self.files = self.files, ()
        if files:
            let_go(self.sender.stack, files)
        self.free()


def _head(length: int) -> int:
    """A kmalloc'ed head: the power of two that holds *length* and the shared info."""
    return int(max(512, 1 << (length + SHARED_INFO - 1).bit_length()))


def _pages(length: int) -> int:
    return -(-length // PAGE) * PAGE


def stream_memory(length: int) -> int:
    """What a stream's buffer of *length* bytes costs (measured through SIOCOUTQ: 768 for 1 byte, 37,120 for 36,544)."""
    paged = min(length, _pages(max(0, length - STREAM_HEAD)))
    return SKB + _head(length - paged) + _pages(paged)


def lent_memory(length: int) -> int:
    """What a stream's buffer costs that has no bytes of its own, but *length* in the pages of a file or a pipe."""
    return SKB + _head(0) + length


def message_memory(length: int) -> int:
    """What a datagram or record of *length* bytes costs."""
    paged = min(length, _pages(max(0, length - HEAD_MAX)), FRAGMENTS)
    return SKB + _head(length - paged) + _pages(paged)


def parse_ancillary(
    ancillary: Iterable[tuple[int, int, Any]], stack: Stack
) -> tuple[Credentials | None, tuple[File, ...]]:
    """Credentials, if they are given, and files to send along. Files come as File objects: numbers are the business of the
    room above.
    """
    credentials: Credentials | None = None
    files: list[File] = []
    for level, kind, data in ancillary:
        if level != SOL_SOCKET:
            continue  # for another protocol
        if kind == SCM_RIGHTS:
            if isinstance(data, (bytes, bytearray, memoryview)):
                not_modelled("sendmsg with descriptor numbers instead of files")
            files.extend(data)
            if len(files) > SCM_MAX_FD:
                raise socket_error(EINVAL)
            if not all(isinstance(file, File) for file in data):
                raise socket_error(EBADF)
        elif kind == SCM_CREDENTIALS:
            if len(bytes(data)) != 12:
                raise socket_error(EINVAL)
            credentials = struct.unpack("=iii", bytes(data))
            if -1 in credentials[1:]:
                raise socket_error(EINVAL)  # nobody is user -1
            if credentials[1:] != stack.credentials[1:] and stack.credentials[1]:
                raise socket_error(EPERM)  # only root may lie
            if credentials[0] not in stack.pids:
                raise socket_error(ESRCH if not stack.credentials[1] else EPERM)
        else:
            raise socket_error(EINVAL)
    return credentials, tuple(files)


def check_takes_files(receiver: UnixSocket) -> None:
    """EPERM for files on their way to who has switched SO_PASSRIGHTS off."""
    if receiver.options is not None and not receiver.options.get(TAKES_FILES, 1):
        raise socket_error(EPERM)


def attached(sender: UnixSocket, receiver: UnixSocket) -> Credentials | None:
    """The credentials that go with what is sent from one to the other: those of who runs, if one of the two asks for any.

    Or if nobody has accepted the receiver yet, who may ask for them when he has (unix_maybe_add_creds).
    """
    if (sender.options and sender.passes_credentials) or (
        (told := receiver.options) and (receiver.passes_credentials or UNACCEPTED in told)
    ):
        return sender.stack.credentials
    return None


def told_of_no_room(socket: UnixSocket, ancbufsize: int) -> int:
    """MSG_CTRUNC for who has asked for a security label by SO_PASSSEC and gives no buffer: there is no label, but none is looked for."""
    return MSG_CTRUNC if not ancbufsize and socket.options and socket.options.get(PASS_LABEL) else 0


def received_ancillary(
    socket: UnixSocket,
    credentials: Credentials | None,
    files: Sequence[File],
    ancbufsize: int,
    first: Sequence[Message] = (),
    *,
    rest: int | None = None,
) -> tuple[list[Any], int]:
    """What recvmsg gives besides data, and MSG_CTRUNC if the buffer was too small for it.

    *first* comes before that, and *rest*, how many bytes are left, behind it. Files are handed over with the reference they travelled with.
    """
    before, flags, room = fitted(first, ancbufsize)
    flags |= told_of_no_room(socket, ancbufsize)
    ancillary: list[Any] = list(before)
    if socket.passes_credentials:
        told = struct.pack("=iii", *(credentials or OVERFLOWN))
        more, cut, room = fitted([(SOL_SOCKET, SCM_CREDENTIALS, told)], room)
        ancillary += more
        flags |= cut
    if files:
        fitting = min(max(0, (room - CMSG_HEADER) // 4), len(files))
        if fitting < len(files):
            flags |= MSG_CTRUNC
            let_go(socket.stack, files[fitting:])
        if fitting:
            ancillary.append((SOL_SOCKET, SCM_RIGHTS, list(files[:fitting])))
            room = max(0, room - CMSG_HEADER - -(-fitting * 4 // 8) * 8)
    if rest is not None:
        more, cut, _ = fitted([(*TELLS_REST, struct.pack("=i", rest))], room)
        ancillary += more
        flags |= cut
    return ancillary, flags
