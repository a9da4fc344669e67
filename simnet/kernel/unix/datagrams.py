"""Unix datagram and seqpacket sockets: whole records, between one peer or many."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import (
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EINVAL,
    EMSGSIZE,
    ENOTCONN,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    EPIPE,
)
from typing import Any, Final

from simnet.kernel.errors import NotModelled, socket_error
from simnet.kernel.messages import (
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
    SIOCOUTQNSD,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
)
from simnet.kernel.options.peeking import at_offset, moved, peeks_on
from simnet.kernel.options.timestamps import stamped, time_on, wants_stamps
from simnet.kernel.readiness import ANY_NEWS, DATA_NEWS, ERROR_NEWS, SPACE_NEWS
from simnet.kernel.states import CLOSED, ESTABLISHED, LISTEN, SHUT_RECEIVE, SHUT_SEND
from simnet.kernel.unix.garbage import note_travel
from simnet.kernel.unix.messages import (
    Credentials,
    Record,
    attached,
    check_takes_files,
    message_memory,
    parse_ancillary,
    received_ancillary,
)
from simnet.kernel.unix.names import Name
from simnet.kernel.unix.sockets import UnixSocket

QUEUE_MAX: Final = 10  # net.unix.max_dgram_qlen


class UnixDatagram(UnixSocket):
    """SOCK_DGRAM and SOCK_SEQPACKET, which share their way of sending and receiving."""

    __slots__ = ()

    def writable(self) -> bool:
        """As ever, and a peer that listens to others too must have a place in its queue (K-105)."""
        if not super().writable():
            return False
        peer = self.peer
        if peer is None or peer.peer is self or not (isinstance(peer, UnixDatagram) and peer.full):
            return True
        self._sleep_at(peer)
        return False

    @property
    def full(self) -> bool:
        """Does the queue hold as many records as it may from strangers?"""
        return self.inbox is not None and len(self.inbox) > QUEUE_MAX

    def connect(self, name: Name) -> None:
        """A seqpacket as a stream; a datagram socket only fixes its peer, and may do so again."""
        if self.type == SOCK_SEQPACKET:
            super().connect(name)
            return
        self.take_name_for_credentials(name)
        other = self.find(name)
        assert isinstance(other, UnixDatagram)
        if other.peer is not None and other.peer is not self:
            raise socket_error(EPERM)
        old, self.peer = self.peer, other
        if old is not None:
            self._wake_from(old)
            if old is not other:
                self._part_from(old)
        self.state = ESTABLISHED
        self.origin = "client"
        if other.followers is None:
            other.followers = []
        if self not in other.followers:
            other.followers.append(self)

    def _part_from(self, old: UnixSocket) -> None:
        """unix_dgram_disconnected: what is queued goes, and a peer that was connected to us is told."""
        if old.followers and self in old.followers:
            old.followers.remove(self)
        if self.inbox:
            self.drop_inbox()
            self._rouse(ANY_NEWS, room=True)
            if old.refs and old.peer is self:
                old.error = ECONNRESET
                old.wake(ERROR_NEWS)

    def _sleep_at(self, peer: UnixSocket) -> None:
        """Be told once when something is read or looked at there, or it is closed: unix_dgram_peer_wake_me."""
        if not peer.sleepers:
            peer.sleepers = [self]
        elif self not in peer.sleepers:
            peer.sleepers.insert(0, self)

    def _wake_from(self, old: UnixSocket) -> None:
        """It is nothing to us any more whether there is a place at *old*: who waits for one looks again."""
        if old.sleepers and self in old.sleepers:
            old.sleepers.remove(self)
        self.wake(SPACE_NEWS)

    def _rouse(self, news: int, *, room: bool) -> None:
        """Who waits for a place here looks again, if there is one or not; who waits in a send of its own if there is *room*."""
        sleepers, self.sleepers = self.sleepers, None
        for each in sleepers or ():
            each.wake(news)
        if room:
            for each in self.followers or ():
                if not isinstance(each, UnixSocket):
                    each.wake(news)

    def destroy(self) -> None:
        peer = self.peer
        if self.type == SOCK_DGRAM and peer is not None:
            if peer.followers:
                peer.followers = [other for other in peer.followers if other is not self]
            if peer.sleepers and self in peer.sleepers:
                peer.sleepers.remove(self)
        self._rouse(ANY_NEWS, room=self.full)  # the others hear of it at their next send
        super().destroy()
        self.sleepers = None

    # Writing.

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Name | None = None
    ) -> int:
        """unix_dgram_sendmsg: all of it or nothing."""
        data = b"".join(bytes(memoryview(part)) for part in buffers)
        if self.type == SOCK_SEQPACKET:
            self._take_error()
            if self.state != ESTABLISHED:
                raise socket_error(ENOTCONN)
            address = None
        credentials, files = parse_ancillary(ancillary, self.stack)
        if flags & MSG_OOB:
            raise socket_error(EOPNOTSUPP)
        self.take_name_for_credentials(address)
        if len(data) > self.sndbuf - 32:
            raise socket_error(EMSGSIZE)
        self._take_error()
        if self.shut & SHUT_SEND:
            raise socket_error(EPIPE)
        if self.held >= self.sndbuf:
            raise socket_error(EAGAIN)
        try:
            target = self.peer if address is None else self.find(address)
            if target is None:
                raise socket_error(ENOTCONN)
            self._deliver(target, data, credentials, files)
        except OSError:
            self.give_back(0)  # a buffer was made, and thrown away: that makes an edge too
            raise
        self.sent += len(data)
        return len(data)

    def send_on(self, target: UnixSocket, data: bytes, ancillary: Iterable[Any], address: Name | None) -> int:
        """The rest of a send that has waited for a place in the queue of *target*: of its own end it looks at nothing again."""
        if not target.refs and self.peer is not target:
            if address is None:
                raise socket_error(ECONNRESET)
            target = self.find(address)
        credentials, files = parse_ancillary(ancillary, self.stack)
        self._deliver(target, data, credentials, files)
        self.sent += len(data)
        return len(data)

    def _take_error(self) -> None:
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)

    def _deliver(self, target: UnixSocket, data: bytes, credentials: Credentials | None, files: Any) -> None:
        if target.refs and target.peer is not None and target.peer is not self and self.type == SOCK_DGRAM:
            raise socket_error(EPERM)
        if target.refs == 0:  # a closed one has no peer, whoever that was
            if self.type == SOCK_SEQPACKET:
                raise socket_error(EPIPE)
            self.lose(target)
            raise socket_error(ECONNREFUSED)
        if target.shut & SHUT_RECEIVE:
            raise socket_error(EPIPE)
        assert isinstance(target, UnixDatagram)
        if files:
            check_takes_files(target)
        if target is not self and target.peer is not self and target.full:
            if target is self.peer:
                self._sleep_at(target)
            raise socket_error(EAGAIN)
        memory = message_memory(len(data))
        for file in files:
            file.hold()
        if target.inbox is None:
            target.inbox = deque()
        self.held += memory
        record = Record(data, memory, self, credentials or attached(self, target), files)
        if target.options and wants_stamps(target.options):
            record.stamp_ns = time_on(self.stack)
        target.inbox.append(record)
        if files:
            note_travel(record, target)
        target.wake(DATA_NEWS)

    def lose(self, target: UnixSocket) -> None:
        """A send has found that *target* is no more: who was connected to it is so no longer."""
        self.peer = None
        self.state = CLOSED
        self._wake_from(target)
        self._part_from(target)

    # Reading.

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Name | None]:
        """One record, the rest cut off; an error goes before what is queued."""
        if self.type == SOCK_SEQPACKET and self.state != ESTABLISHED:
            raise socket_error(ENOTCONN)
        if flags & MSG_OOB:
            raise socket_error(EOPNOTSUPP)
        self._take_error()
        inbox = self.inbox
        record, offset = (inbox[0] if inbox else None), 0
        if record is not None and self.options is not None and peeks_on(self.options):
            record, offset = self._at_place(n, flags)
        if record is None or inbox is None:
            if self.type == SOCK_SEQPACKET and self.shut & SHUT_RECEIVE:
                return b"", [], 0, None
            raise socket_error(EAGAIN)
        files = record.files
        if flags & MSG_PEEK:
            for file in files:
                file.hold()
            record.consumed = not record.data  # an empty one is seen once by a peek from a place of its own
        else:
            inbox.popleft()
        if self.followers:
            self._rouse(SPACE_NEWS, room=not flags & MSG_PEEK and len(inbox) == QUEUE_MAX)
        if not flags & MSG_PEEK:
            record.files = ()
            record.free()
        data = record.data[offset:]
        first = stamped(self.options, record.stamp_ns, self.stack, of_unix=True) if self.options else ()
        ancillary, message_flags = received_ancillary(self, record.credentials, files, ancbufsize, first)
        if len(data) > n:
            message_flags |= MSG_TRUNC
            data = data[:n] + bytes(len(data) - n) if flags & MSG_TRUNC else data[:n]
        return data, ancillary, message_flags, record.sender.bound

    def _at_place(self, n: int, flags: int) -> tuple[Record | None, int]:
        """With SO_PEEK_OFF set: the record to be read, and from which byte on."""
        assert self.options is not None
        assert self.inbox is not None
        if not flags & MSG_PEEK:
            moved(self.options, -len(self.inbox[0].data))
            return self.inbox[0], 0
        queue = ((each, -1 if each.consumed else len(each.data)) for each in self.inbox)
        record, offset = at_offset(self.options, queue)
        if record is not None:
            moved(self.options, len(record.data[offset : offset + n]))
        return record, offset

    def ioctl(self, request: int) -> int:
        """FIONREAD: the first datagram, or all records of a seqpacket; SIOCOUTQ in memory."""
        if request == SIOCOUTQ:
            return self.held
        if request == SIOCINQ:
            if self.state == LISTEN:
                raise socket_error(EINVAL)
            if self.type == SOCK_SEQPACKET:
                return self.unread
            return len(self.inbox[0].data) if self.inbox else 0
        if request == SIOCATMARK:
            raise socket_error(EOPNOTSUPP)
        if request == SIOCOUTQNSD:
            raise socket_error(ENOTTY)  # that is TCP's
        raise NotModelled(f"ioctl(request {request:#x}) on a Unix datagram socket")
