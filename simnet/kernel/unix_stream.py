"""Unix stream sockets: bytes between two ends of one host, urgent ones too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import EAGAIN, EINVAL, EISCONN, ENOTCONN, ENOTTY, EOPNOTSUPP, EPIPE
from typing import Any, Final

from simnet.kernel.errors import NotModelled, socket_error
from simnet.kernel.messages import (
    MSG_OOB,
    MSG_PEEK,
    MSG_WAITALL,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
    SIOCOUTQNSD,
)  # fmt: skip
from simnet.kernel.options import SO_OOBINLINE, SO_RCVLOWAT, SOL_SOCKET
from simnet.kernel.peeking import PEEK_OFF, moved, peeks_on
from simnet.kernel.readiness import DATA_NEWS, PRI
from simnet.kernel.states import ESTABLISHED, LISTEN
from simnet.kernel.unix import SHUT_RECEIVE, SHUT_SEND, UnixSocket
from simnet.kernel.unix_messages import (
    STREAM_CHUNK,
    Credentials,
    Record,
    attached,
    parse_ancillary,
    received_ancillary,
    stream_memory,
)
from simnet.kernel.unix_names import Name

NOBODY: Final = (0, 0, 0)  # told at the end of the stream


class UnixStream(UnixSocket):
    """SOCK_STREAM."""

    __slots__ = ()

    def mask(self) -> int:
        return super().mask() | (PRI if self.urgent is not None else 0)

    # Writing.

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Name | None = None
    ) -> int:
        """unix_stream_sendmsg: what there is room for, in pieces."""
        parts = [bytes(memoryview(part)) for part in buffers]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        credentials, files = parse_ancillary(ancillary, self.stack.credentials)
        if flags & MSG_OOB and not data:
            raise socket_error(EOPNOTSUPP)
        if address is not None:
            raise socket_error(EISCONN if self.state == ESTABLISHED else EOPNOTSUPP)
        peer = self.peer
        if peer is None:
            raise socket_error(ENOTCONN)
        if self.shut & SHUT_SEND:
            raise socket_error(EPIPE)
        if not data:
            return 0
        if credentials is None and (self.options or peer.options):
            credentials = attached(self, peer)
        normal = len(data) - bool(flags & MSG_OOB)
        piece = min((self.sndbuf >> 1) - 64, STREAM_CHUNK)
        sent = 0
        while sent < normal and self.held < self.sndbuf:
            chunk = data if normal == len(data) <= piece else data[sent : min(sent + piece, normal)]
            self._put(peer, chunk, credentials, files)
            files = ()
            sent += len(chunk)
        if sent == normal < len(data) and self.held < self.sndbuf:
            peer.urgent = self._put(peer, data[-1:], credentials, files)
            sent += 1
        if not sent:
            raise socket_error(EAGAIN)
        self.sent += sent
        peer.wake(DATA_NEWS)
        return sent

    def _put(self, peer: UnixSocket, chunk: bytes, credentials: Credentials | None, files: Any) -> Record:
        memory = stream_memory(len(chunk))
        for file in files:
            file.hold()
        record = Record(chunk, memory, self, credentials, files)
        self.held += memory
        if peer.inbox is None:
            peer.inbox = deque()
        peer.inbox.append(record)
        return record

    # Reading.

    @property
    def _inline(self) -> bool:
        return self.options is not None and bool(self.options.get((SOL_SOCKET, SO_OOBINLINE)))

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Name | None]:
        """unix_stream_read_generic: bytes of as many sends as fit, up to the urgent byte or to the end of one with files."""
        if self.state != ESTABLISHED:
            raise socket_error(EINVAL)
        if flags & MSG_OOB:
            return self._read_urgent(flags)
        peek = bool(flags & MSG_PEEK)
        passes = self.options is not None and self.passes_credentials
        parts: list[bytes] = []
        left = n
        files: tuple[Any, ...] = ()
        first: Record | None = None
        inbox = self.inbox
        position = 0
        options = self.options
        at_place = options is not None and peeks_on(options)
        skip = options[PEEK_OFF] if options is not None and at_place and peek else 0
        while True:
            if inbox and position < len(inbox):
                record = inbox[position]
                if record.consumed or record is self.urgent:
                    position = self._past_urgent(position, peek, left < n)
                    if position < 0 and left < n:
                        break  # reading stops at the mark
            else:
                position = -1
            if position < 0:
                if n == left or n - left < self._least(n, flags):
                    self._end_of_queue(left < n)
                break
            assert inbox is not None
            record = inbox[position]
            if skip >= record.left > 0:
                skip -= record.left
                position += 1
                continue
            if first is None:
                first = record
            elif passes and record.credentials != first.credentials:
                break  # bytes of different writers are not glued together
            start = record.offset + skip
            part = record.data[start : start + left]
            skip = 0
            parts.append(part)
            left -= len(part)
            if record.files:
                files = record.files
            if peek:
                position += 1
                if files or position == len(inbox):
                    break
                continue
            record.offset += len(part)
            record.files = ()
            if record.offset < len(record.data):
                break
            inbox.popleft()
            record.free()
            if files or not left:
                break
        if options is not None and at_place:
            moved(options, n - left if peek else left - n)
        if peek:
            for file in files:
                file.hold()
        if first is None:
            return (b"", *received_ancillary(self, NOBODY, (), ancbufsize), None)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        if not files and not passes:
            return data, [], 0, first.sender.bound
        ancillary, message_flags = received_ancillary(self, first.credentials, files, ancbufsize)
        return data, ancillary, message_flags, first.sender.bound

    def _least(self, n: int, flags: int) -> int:
        """How many bytes the kernel looks for before it is content."""
        if flags & MSG_WAITALL:
            return n or 1
        mark = 1 if self.options is None else self.options.get((SOL_SOCKET, SO_RCVLOWAT), 1)
        return min(int(mark), n) or 1

    def _end_of_queue(self, something: bool) -> None:
        """Nothing is left, and more was wanted: an error is taken, and kept to itself if there was *something* before."""
        error, self.error = self.error, 0
        if something:
            return
        if error:
            raise socket_error(error)
        if not self.shut & SHUT_RECEIVE:
            raise socket_error(EAGAIN)

    def _past_urgent(self, position: int, peek: bool, something: bool) -> int:
        """manage_oob: the record that is read where the one at *position* was or is urgent; -1 for none.

        Reading stops there if there was *something* before; else it goes on behind the urgent byte, and drops it.
        """
        inbox = self.inbox
        assert inbox is not None
        record = inbox[position]
        if record.consumed:
            if something and self.urgent is None:
                return -1
            if peek:
                position += 1
            else:
                inbox.popleft()
                record.free()
            if position == len(inbox):
                return -1
            record = inbox[position]
        if record is not self.urgent:
            return position
        if something:
            return -1
        if not peek:
            self.urgent = None
            if not self._inline:
                inbox.popleft()
                record.discard()
                self.miscounted += 1
        elif not self._inline:
            position += 1
        return position if position < len(inbox) else -1

    def _read_urgent(self, flags: int) -> tuple[bytes, list[Any], int, None]:
        """unix_stream_recv_urg."""
        record = self.urgent
        if self._inline or record is None:
            raise socket_error(EINVAL)
        if not flags & MSG_PEEK:
            self.urgent = None
            record.consumed = True
            record.offset = len(record.data)
            assert self.inbox is not None
            place = self.inbox.index(record)
            if place and self.inbox[place - 1].consumed:  # of several urgent bytes in a row one place is kept
                self.inbox[place - 1].free()
                del self.inbox[place - 1]
        return record.data, [], MSG_OOB, None

    def ioctl(self, request: int) -> int:
        """FIONREAD in bytes, SIOCOUTQ in memory (K-062), SIOCATMARK."""
        if request == SIOCOUTQ:
            return self.held
        if request == SIOCINQ:
            if self.state == LISTEN:
                raise socket_error(EINVAL)
            return self.unread + self.miscounted  # Linux goes on counting urgent bytes that were dropped
        if request == SIOCATMARK:
            if self.queue:
                return 1  # a connection that waits is an empty record to the kernel
            inbox = self.inbox
            if not inbox:
                return 0
            following = inbox[1] if len(inbox) > 1 else None
            return int(inbox[0] is self.urgent or (inbox[0].consumed and self.urgent in (None, following)))
        if request == SIOCOUTQNSD:
            raise socket_error(ENOTTY)  # that is TCP's
        raise NotModelled(f"ioctl(request {request:#x}) on a Unix stream")
