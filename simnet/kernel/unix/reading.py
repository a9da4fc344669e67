"""One read of a Unix stream: over the sends in its queue, around an urgent byte, and on again if it had to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.messages import MSG_PEEK, MSG_WAITALL
from simnet.kernel.options.peeking import PEEK_OFF, moved, peeks_on
from simnet.kernel.options.rare import TELLS_REST
from simnet.kernel.options.values import SO_OOBINLINE, SO_RCVLOWAT, SOL_SOCKET
from simnet.kernel.states import SHUT_RECEIVE
from simnet.kernel.unix.messages import Record, received_ancillary, told_of_no_room

if TYPE_CHECKING:
    from simnet.kernel.unix.names import Name
    from simnet.kernel.unix.sockets import UnixSocket

NOBODY: Final = (0, 0, 0)  # told at the end of the stream


class Reading:
    """unix_stream_read_generic: bytes of as many sends as fit, up to the urgent byte or to the end of one with files."""

    __slots__ = ("socket", "left", "peek", "least", "skip", "copied", "parts", "first", "files", "passes", "counts")

    def __init__(self, socket: UnixSocket, n: int, flags: int) -> None:
        options = socket.options
        self.socket = socket
        self.left = n
        self.peek = bool(flags & MSG_PEEK)
        self.least = least_of(options, n, flags)  # how many bytes it is content with
        self.skip = 0  # bytes that an earlier peek has read
        self.copied = 0  # bytes; a read of none goes on past an urgent byte, as one that has none yet
        self.parts: list[bytes] = []
        self.first: Record | None = None
        self.files: tuple[Any, ...] = ()
        self.passes = options is not None and socket.passes_credentials
        self.counts = options is not None and bool(options.get(TELLS_REST))

    def goes_on(self) -> bool:
        """Read what there is. True if that is not enough, and more can come: a blocking call waits, and asks again.

        Raises:
            OSError: the pending error, where nothing was read; else it is used up for nothing.
        """
        options = self.socket.options
        if self.peek and options is not None and peeks_on(options):
            self.skip = options[PEEK_OFF]
        position = 0
        while True:
            inbox = self.socket.inbox
            if not inbox or position == len(inbox):
                return self._at_end()
            record = inbox[position]
            if record.consumed or record is self.socket.urgent:
                passed: list[Record] = []
                position = self._past_urgent(position, passed)
                try:
                    if position < 0:
                        return not self.copied and self._at_end()  # with something read it stops at the mark
                finally:  # a file that came with it is closed when the call is over
                    for each in passed:
                        each.discard()
            # What was peeked at before is passed, and what is behind it read, without a look whether it is urgent.
            while position < len(inbox) and self.skip >= inbox[position].left:
                self.skip -= inbox[position].left
                position += 1
            if position == len(inbox):
                continue
            if self._is_all(inbox[position]):
                return False
            if self.peek:
                position += 1
                if position == len(inbox):
                    return False

    def _is_all(self, record: Record) -> bool:
        """Read from *record*. Does the read end with it? A peek looks on for files that come with what it has no room for."""
        if self.first is None:
            self.first = record
        elif self.passes and record.credentials != self.first.credentials:
            return True  # bytes of different writers are not glued together
        start = record.offset + self.skip
        self.skip = 0
        part = record.data[start : start + self.left]
        self.parts.append(part)
        self.left -= len(part)
        self.copied += len(part)
        options = self.socket.options
        if options is not None and peeks_on(options):
            moved(options, len(part) if self.peek else -len(part))
        if record.files:
            self.files = record.files
        if self.peek:
            return bool(self.files)
        record.offset += len(part)
        record.files = ()
        if record.offset < len(record.data):
            return True
        inbox = self.socket.inbox
        assert inbox is not None
        inbox.popleft()
        record.free()
        return bool(self.files) or not self.left

    def _at_end(self) -> bool:
        """The end of the queue: is more wanted, and may it come?"""
        socket = self.socket
        if self.copied >= self.least:
            return False
        error, socket.error = socket.error, 0
        if error and not self.copied:
            raise socket_error(error)
        return not error and not socket.shut & SHUT_RECEIVE

    def _past_urgent(self, position: int, passed: list[Record]) -> int:
        """manage_oob: the record that is read where the one at *position* was or is urgent; -1 for none.

        Reading stops there if there was something before; else it goes on behind the urgent byte, and drops it. What is dropped
        is among those *passed*.
        """
        socket = self.socket
        inbox = socket.inbox
        assert inbox is not None
        something = self.copied > 0
        record = inbox[position]
        if record.consumed:
            if something and socket.urgent is None:
                return -1
            if self.peek:
                position += 1
            else:
                passed.append(inbox.popleft())
            if position == len(inbox):
                return -1
            record = inbox[position]
        if record is not socket.urgent:
            return position
        if something:
            return -1
        inline = takes_inline(socket)
        if not self.peek:
            socket.urgent = None
            if not inline:
                passed.append(inbox.popleft())
                socket.miscounted += 1
        elif not inline:
            position += 1
        return position if position < len(inbox) else -1

    def answer(self, ancbufsize: int) -> tuple[bytes, list[Any], int, Name | None]:
        """What recvmsg gives: data, what came beside it, message flags, the sender's name."""
        first = self.first
        if first is None:
            return (b"", *received_ancillary(self.socket, NOBODY, (), ancbufsize, rest=self._rest()), None)
        if self.peek:
            for file in self.files:
                file.hold()
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        if not (self.files or self.passes or self.counts):
            flags = told_of_no_room(self.socket, ancbufsize) if self.socket.options else 0
            return data, [], flags, first.sender.bound
        ancillary, message_flags = received_ancillary(
            self.socket, first.credentials, self.files, ancbufsize, rest=self._rest()
        )
        return data, ancillary, message_flags, first.sender.bound

    def _rest(self) -> int | None:
        """What SO_INQ tells, if it is set: the bytes that are left, as FIONREAD counts them."""
        return self.socket.unread + self.socket.miscounted if self.counts else None


def takes_inline(socket: UnixSocket) -> bool:
    """Is the urgent byte to be read along with the others?"""
    return socket.options is not None and bool(socket.options.get((SOL_SOCKET, SO_OOBINLINE)))


def least_of(options: dict[tuple[int, int], Any] | None, n: int, flags: int) -> int:
    """sock_rcvlowat: how many bytes the kernel looks for before it is content."""
    if flags & MSG_WAITALL:
        return n or 1
    mark = 1 if options is None else options.get((SOL_SOCKET, SO_RCVLOWAT), 1)
    return min(int(mark), n) or 1
