"""Unix stream sockets: bytes between two ends of one host, urgent ones too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import EAGAIN, EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, EPIPE
from typing import Any

from simnet.kernel.errors import NotModelled, not_modelled, socket_error
from simnet.kernel.messages import (
    MSG_OOB,
    MSG_PEEK,
    MSG_WAITALL,
    RECEIVE_FLAGS,
    SEND_FLAGS,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
)  # fmt: skip
from simnet.kernel.options import SO_OOBINLINE, SOL_SOCKET
from simnet.kernel.readiness import DATA_NEWS, PRI
from simnet.kernel.states import ESTABLISHED, LISTEN
from simnet.kernel.unix import SHUT_RECEIVE, SHUT_SEND, Name, UnixSocket
from simnet.kernel.unix_messages import STREAM_CHUNK, Record, parse_ancillary, received_ancillary, stream_memory


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
        if flags & ~SEND_FLAGS:
            not_modelled(f"send(flags={flags:#x}) on a Unix stream")
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

    def _put(self, peer: UnixSocket, chunk: bytes, credentials: tuple[int, int, int], files: Any) -> Record:
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
        if flags & ~RECEIVE_FLAGS:
            not_modelled(f"recv(flags={flags:#x}) on a Unix stream")
        if self.state != ESTABLISHED:
            raise socket_error(EINVAL)
        if flags & MSG_OOB:
            return self._read_urgent(flags)
        peek = flags & MSG_PEEK
        parts: list[bytes] = []
        left = n
        files: tuple[Any, ...] = ()
        first: Record | None = None
        inbox = self.inbox
        position = 0
        while inbox is not None and position < len(inbox) and (left > 0 or not parts):
            record = inbox[position]
            if record.consumed or (record is self.urgent and not self._inline):
                if parts:
                    break  # reading stops at the mark
                if peek:
                    position += 1
                else:
                    self._drop(record)
                continue
            if record is self.urgent:
                if parts:
                    break
                if not peek:
                    self.urgent = None
            if parts and (files or self._other_writer(first, record)):
                break
            first = first or record
            part = record.data[record.offset : record.offset + left]
            parts.append(part)
            left -= len(part)
            if record.files:
                files = record.files
            if peek:
                position += 1
            else:
                record.offset += len(part)
                record.files = ()
                if record.offset < len(record.data):
                    break
                inbox.popleft()
                record.free()
            if not left:
                break
        if first is None:
            return self._nothing_to_read()
        if flags & MSG_WAITALL and left and not inbox:
            self.error = 0  # looking for more, the kernel takes the pending error, and keeps it to itself
        if peek:
            for file in files:
                file.hold()
        ancillary, message_flags = received_ancillary(self, first.credentials, files, ancbufsize)
        return b"".join(parts), ancillary, message_flags, first.sender.bound

    def _other_writer(self, first: Record | None, record: Record) -> bool:
        """With SO_PASSCRED, bytes of different writers are not glued together."""
        return first is not None and self.passes_credentials and first.credentials != record.credentials

    def _nothing_to_read(self) -> tuple[bytes, list[Any], int, None]:
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)
        if self.shut & SHUT_RECEIVE:
            return b"", [], 0, None
        raise socket_error(EAGAIN)

    def _drop(self, record: Record) -> None:
        assert self.inbox is not None
        self.inbox.remove(record)
        if record is self.urgent:
            self.urgent = None
        record.discard()

    def _read_urgent(self, flags: int) -> tuple[bytes, list[Any], int, None]:
        """unix_stream_recv_urg."""
        record = self.urgent
        if self._inline or record is None:
            raise socket_error(EINVAL)
        if not flags & MSG_PEEK:
            self.urgent = None
            record.consumed = True
        return record.data, [], MSG_OOB, None

    def ioctl(self, request: int) -> int:
        """FIONREAD in bytes, SIOCOUTQ in memory (K-062), SIOCATMARK."""
        if request == SIOCOUTQ:
            return self.held
        if request == SIOCINQ:
            if self.state == LISTEN:
                raise socket_error(EINVAL)
            return self.unread
        if request == SIOCATMARK:
            if self.queue:
                return 1  # a connection that waits is an empty record to the kernel
            first = self.inbox[0] if self.inbox else None
            return int(first is not None and (first is self.urgent or first.consumed))
        raise NotModelled(f"ioctl(request {request:#x}) on a Unix stream")
