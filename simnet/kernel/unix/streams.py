"""Unix stream sockets: bytes between two ends of one host, urgent ones too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import EAGAIN, EINVAL, EISCONN, ENOTCONN, ENOTTY, EOPNOTSUPP, EPIPE
from typing import Any

from simnet.kernel.errors import NotModelled, socket_error
from simnet.kernel.messages import MSG_OOB, MSG_PEEK, SIOCATMARK, SIOCINQ, SIOCOUTQ, SIOCOUTQNSD
from simnet.kernel.readiness import DATA_NEWS, PRI
from simnet.kernel.states import ESTABLISHED, LISTEN, SHUT_RECEIVE, SHUT_SEND
from simnet.kernel.unix.garbage import note_travel
from simnet.kernel.unix.messages import (
    LENT,
    STREAM_CHUNK,
    Credentials,
    Record,
    attached,
    check_takes_files,
    lent_memory,
    parse_ancillary,
    stream_memory,
)
from simnet.kernel.unix.names import Name
from simnet.kernel.unix.reading import Reading, takes_inline
from simnet.kernel.unix.sockets import UnixSocket
from simnet.kernel.unix.tampering import TamperableUnix


class UnixStream(TamperableUnix):
    """One end of a SOCK_STREAM connection, or a listener: bytes without bounds, and one of them may be urgent."""

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
        credentials, files = parse_ancillary(ancillary, self.stack)
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
        if peer.shut & SHUT_RECEIVE and self.course is None:  # it was so before it connected, and is not mirrored here
            raise socket_error(EPIPE)
        if files and self.held < self.sndbuf:  # a buffer is made before, and thrown away: that makes an edge
            try:
                check_takes_files(peer)
            except OSError:
                self.give_back(0)
                raise
        if credentials is None and (self.options or peer.options):
            credentials = attached(self, peer)
        normal = len(data) - bool(flags & MSG_OOB)
        lent = flags & LENT  # of which all goes into one buffer, if there is any room
        piece = len(data) if lent else min((self.sndbuf >> 1) - 64, STREAM_CHUNK)
        cost = lent_memory if lent else stream_memory
        sent = 0
        while sent < normal and self.held < self.sndbuf:
            chunk = data if normal == len(data) <= piece else data[sent : min(sent + piece, normal)]
            self._put(peer, chunk, cost(len(chunk)), credentials, files)
            files = ()
            sent += len(chunk)
        if sent == normal < len(data) and self.held < self.sndbuf:
            record = self._put(peer, data[-1:], stream_memory(1), credentials, files)
            if self.course is None:
                peer.urgent = record
                peer.urge()
            else:
                self.course.urgent = record
            sent += 1
        if not sent:
            raise socket_error(EAGAIN)
        self.sent += sent
        if self.course is None:
            peer.wake(DATA_NEWS)
        else:
            self.course.move(self)
        return sent

    def _put(self, peer: UnixSocket, chunk: bytes, memory: int, credentials: Credentials | None, files: Any) -> Record:
        for file in files:
            file.hold()
        record = Record(chunk, memory, self, credentials, files)
        if files:
            note_travel(record, peer)
        self.held += memory
        if self.course is not None:
            self.course.queue.append(record)
            return record
        if peer.inbox is None:
            peer.inbox = deque()
        peer.inbox.append(record)
        return record

    # Reading.

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Name | None]:
        """What there is, however little: whoever waits for more does so with a :class:`Reading` of its own."""
        reading = self.reading(n, flags)
        if reading is None:
            return self._read_urgent(flags)
        if reading.goes_on() and not reading.copied:
            raise socket_error(EAGAIN)
        return reading.answer(ancbufsize)

    def reading(self, n: int, flags: int) -> Reading | None:
        """The beginning of a read of *n* bytes; None if it asks for the urgent byte, which nobody waits for."""
        if self.state != ESTABLISHED:
            raise socket_error(EINVAL)
        return None if flags & MSG_OOB else Reading(self, n, flags)

    def _read_urgent(self, flags: int) -> tuple[bytes, list[Any], int, None]:
        """The urgent byte, which is taken out of its record (unix_stream_recv_urg)."""
        record = self.urgent
        if record is None or takes_inline(self):
            raise socket_error(EINVAL)
        if not flags & MSG_PEEK:
            self.urgent = None
            record.consumed = True
            record.offset = len(record.data)
            assert self.inbox is not None
            place = self.inbox.index(record)
            if place and self.inbox[place - 1].consumed:  # of several urgent bytes in a row one place is kept
                self.inbox[place - 1].discard()
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
