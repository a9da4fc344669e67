"""A UDP socket: whole datagrams, and errors that are reported only to a connected socket."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from errno import EAGAIN, ECONNREFUSED, EINVAL, ENOTCONN, ENOTTY
from typing import Any, Final

from simnet.kernel import inet
from simnet.kernel.buffer import scatter
from simnet.kernel.datagrams.ancillary import TAKES_UNCHECKED, Seen, in_pieces, note, stays_whole, told
from simnet.kernel.datagrams.errors import keep_icmp, keeps_errors, tell
from simnet.kernel.datagrams.groups import leave_all
from simnet.kernel.datagrams.length import SEND_BUFFER, is_lost, tells_mtu, told_mtu
from simnet.kernel.datagrams.memory import condensed, memory_taken
from simnet.kernel.datagrams.sending import CORK, DatagramSender
from simnet.kernel.datagrams.wrapped import hears_no_errors, is_taken_out
from simnet.kernel.errors import NotModelled, socket_error
from simnet.kernel.messages import (
    AF_INET6,
    MSG_ERRQUEUE,
    MSG_PEEK,
    MSG_TRUNC,
    SHUT_RDWR,
    SIOCATMARK,
    SIOCINQ,
    SIOCOUTQ,
    SIOCOUTQNSD,
    fitted,
)
from simnet.kernel.options.idle import ERROR_QUEUES, SO_SELECT_ERR_QUEUE
from simnet.kernel.options.peeking import at_offset, moved, peeks_on
from simnet.kernel.options.plain import get_option, set_option
from simnet.kernel.options.routes import OFF_ROUTE
from simnet.kernel.options.values import IP_TOS, IPPROTO_IP, IPPROTO_UDP, RCVBUF_DEFAULT, SO_MARK, SO_RCVBUF, SOL_SOCKET
from simnet.kernel.readiness import (
    ANY_NEWS,
    DATA_NEWS,
    ERR,
    ERROR_NEWS,
    HUP,
    PRI,
    RDHUP,
    READABLE,
    SPACE_NEWS,
    WRITABLE_BAND,
)
from simnet.kernel.segment import Datagram, Endpoint, Icmp
from simnet.kernel.states import CLOSED, SHUT_RECEIVE, SHUT_SEND

# Options whose setting makes it look up the way anew.
REROUTES: Final = (
    (IPPROTO_IP, IP_TOS),
    (SOL_SOCKET, SO_MARK),
    OFF_ROUTE,
)


class UdpSocket(DatagramSender):
    """One UDP socket. ``peer`` is who it is connected to; its state is then ESTABLISHED, as ``ss`` says."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<UdpSocket {self.local} -> {self.peer}>"

    def mask(self) -> int:
        """The poll mask now: writable, unless what is collected takes half of the send buffer."""
        shut = self.shut
        mask = WRITABLE_BAND if self.corked is None or self.roomy else 0
        if self.inbox:
            mask |= READABLE
        if shut & SHUT_RECEIVE:
            mask |= READABLE | RDHUP
            if shut & SHUT_SEND:
                mask |= HUP
        if self.error or self.reports:
            mask |= ERR
            if self.options is not None and self.options.get((SOL_SOCKET, SO_SELECT_ERR_QUEUE)):
                mask |= PRI
        return mask

    @property
    def unread(self) -> int:
        """Bytes of the datagrams that wait."""
        return sum(len(datagram.payload) for datagram in self.inbox or ())

    # Receiving.

    def recv(self, n: int, flags: int = 0) -> bytes:
        """The next datagram, cut to *n* bytes; ``recv(0)`` takes none (K-085)."""
        if not n:
            return b""
        payload, _, cut = self._receive(n, flags)
        return payload + bytes(cut) if flags & MSG_TRUNC else payload

    def _receive(self, n: int, flags: int) -> tuple[bytes, Endpoint, int]:
        """The first *n* bytes of a datagram, its sender, and how many were cut off."""
        if flags & MSG_ERRQUEUE:
            payload, _, _, target = tell(self, n)
            return payload, target, 0
        if self.options is not None and tells_mtu(self.options):
            return b"", told_mtu(self, self.options)[0].source, 0
        if self.options is not None and peeks_on(self.options):
            datagram, payload, length, _ = self._receive_at_offset(n, flags)
            return payload, datagram.source, length - len(payload) if flags & MSG_TRUNC else 0
        datagram = self._next(flags)
        payload = datagram.payload
        size = len(payload)
        return (payload, datagram.source, 0) if size <= n else (payload[:n], datagram.source, size - n)

    def _receive_at_offset(self, n: int, flags: int) -> tuple[Datagram, bytes, int, bool]:
        """With SO_PEEK_OFF set: a datagram, what there is to be had of it, its length, and whether more is cut off than asked.

        That last one is what udp_recvmsg makes of it: a peek that fits exactly from its place on counts as cut off.
        """
        assert self.options is not None
        peeks, offset = flags & MSG_PEEK, 0
        if peeks and self.inbox and not self.error:
            self.fetched = self.fetched or len(self.inbox)
            queue = ((each, -1 if type(each) is Seen else len(each.payload)) for each in self.inbox)
            found, offset = at_offset(self.options, queue)
            if found is None:
                raise socket_error(EAGAIN)
            datagram = found if found.payload else self._see(found)
        else:
            datagram = self._next(flags)
        whole = datagram.payload
        payload = whole[offset : offset + n]
        told = len(whole) if flags & MSG_TRUNC else len(payload)
        moved(self.options, told if peeks else -told)
        return datagram, payload, len(whole), n <= len(whole) - offset and n < len(whole)

    def _next(self, flags: int) -> Datagram:
        """The next datagram, taken unless it is only peeked at."""
        if self.error:
            error, self.error = self.error, 0
            raise socket_error(error)
        inbox = self.inbox
        if not inbox:
            raise socket_error(EAGAIN)
        if not self.fetched:
            self.fetched = len(inbox)
        if flags & MSG_PEEK:
            return inbox[0] if inbox[0].payload else self._see(inbox[0])
        datagram = inbox.popleft()
        self.fetched -= 1
        self.owed += memory_taken(datagram)
        if not self.fetched or self.owed >= self.room >> 2:  # udp_rmem_release
            self.held -= self.owed
            self.owed = 0
            self.fetched = len(inbox)
        return datagram

    def take_next(self) -> None:
        """The next datagram is taken, and nobody gets it."""
        self._next(0)

    def _see(self, datagram: Datagram) -> Datagram:
        """Note that *datagram*, an empty one that waits, was peeked at."""
        assert self.inbox is not None
        if type(datagram) is not Seen:
            place = next(number for number, each in enumerate(self.inbox) if each is datagram)
            datagram = self.inbox[place] = Seen(datagram)
        return datagram

    @property
    def room(self) -> int:
        """Bytes of memory that what waits to be read may take: SO_RCVBUF."""
        size: int = (self.options or {}).get((SOL_SOCKET, SO_RCVBUF), RCVBUF_DEFAULT)
        return size

    def recv_into(self, buffer: Any, n: int = 0, flags: int = 0) -> int:
        """``recv`` into *buffer*."""
        with memoryview(buffer).cast("B") as view:
            n = n or len(view)
            if not n:
                return 0
            payload, _, cut = self._receive(n, flags)
            view[: len(payload)] = payload
            return len(payload) + (cut if flags & MSG_TRUNC else 0)

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, tuple[Any, ...]]:
        """``recv``, and the sender's name."""
        payload, source, cut = self._receive(n, flags)
        return (payload + bytes(cut) if flags & MSG_TRUNC else payload), inet.shown(self.family, source)

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, tuple[Any, ...]]:
        """``recv`` in full; MSG_TRUNC among the message flags if the datagram was cut, and its whole length if that is asked."""
        if flags & MSG_ERRQUEUE:
            payload, messages, message_flags, source = tell(self, n, ancbufsize)
            return payload, messages, message_flags, inet.shown(self.family, source)
        if self.options is not None and tells_mtu(self.options):
            datagram, beside = told_mtu(self, self.options)
            messages, message_flags, _ = fitted(beside, ancbufsize)
            return b"", messages, message_flags, inet.shown(self.family, datagram.source)
        at_place = self.options is not None and peeks_on(self.options)
        if at_place:
            datagram, payload, length, cut = self._receive_at_offset(n, flags)
        else:
            datagram = self._next(flags)
            payload = datagram.payload
            length, cut = len(payload), len(payload) > n
        messages, message_flags = [], 0
        if self.options:
            told_of = told(self, datagram, summed=cut and not flags & MSG_PEEK)
            messages, message_flags, _ = fitted(told_of, ancbufsize)
        if cut:
            message_flags |= MSG_TRUNC
        if len(payload) > n or (at_place and flags & MSG_TRUNC):
            payload = payload[:n]
            if flags & MSG_TRUNC:
                payload += bytes(length - len(payload))
        return payload, messages, message_flags, inet.shown(self.family, datagram.source)

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, tuple[Any, ...]]:
        """``recvmsg``, scattered over *buffers*."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        room = sum(map(len, views))
        payload, ancillary, message_flags, name = self.recvmsg(room, ancbufsize, flags)
        scatter(views, payload[:room])
        return len(payload), ancillary, message_flags, name

    # Packets in.

    def take_in(self, datagram: Datagram) -> None:
        """Queue *datagram*, or drop it if the queue is full; an empty queue takes any.

        Memory of what was read comes back by quarters of the queue, or when all is read that was there at the first read.
        """
        inbox = self.inbox
        if inbox is None:
            inbox = self.inbox = deque()
        marks = datagram.marks
        if marks is not None and marks.unchecked and not (self.options or {}).get(TAKES_UNCHECKED):
            return
        if marks is not None and marks.segment and not stays_whole(datagram, self.options):
            for piece in in_pieces(datagram):
                self.take_in(piece)
            return
        memory = memory_taken(datagram)
        if self.held and self.held + memory > self.room:
            self.dropped += 1
            return
        if marks is not None and marks.pages and self.held > self.room >> 1:
            datagram = condensed(datagram)
            memory = memory_taken(datagram)
        if self.options is not None:
            if is_taken_out(self.options, datagram.payload):
                return
            datagram = note(self.options, datagram, self)
        self.held += memory
        inbox.append(datagram)
        self.wake(DATA_NEWS)

    def refused(self, icmp: Icmp) -> None:
        """An ICMP error about something this socket sent; only who is connected hears it, and only of dead ports.

        Unless it has asked for an error queue.
        """
        if hears_no_errors(self.options):
            return
        peer, target = self.peer, icmp.about.target
        if keeps_errors(self, target):
            self.error = icmp.error
            keep_icmp(self, icmp)
        elif peer is not None and peer[0] == target[0] and peer[1] in (0, target[1]) and icmp.error == ECONNREFUSED:
            self.error = icmp.error
            self.wake(ERROR_NEWS)

    # Ending.

    def shutdown(self, how: int) -> None:
        """Set the flags; ENOTCONN if not connected, and they are set all the same (K-089)."""
        if not 0 <= how <= SHUT_RDWR:
            raise socket_error(EINVAL)
        self.shut |= how + 1
        self.wake(ANY_NEWS)
        if self.peer is None:
            raise socket_error(ENOTCONN)

    def destroy(self) -> None:
        """Give the port back."""
        if self.port:
            self.stack.udp_ports.forget(self)
            self.port = 0
        self.state = CLOSED
        self.inbox = None
        if self.groups:
            leave_all(self)

    # Questions.

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        return get_option(self, level, name, buflen)

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        set_option(self, level, name, value)

    def options_changed(self, level: int, name: int) -> None:
        """Let go what UDP_CORK collected, or what an error queue keeps, once it is no longer wanted."""
        key, options = (level, name), self.options
        if key in REROUTES:
            self.rerouted = True
        if key == SEND_BUFFER and self.roomy:
            self.wake(SPACE_NEWS)
        if options is None or options[key]:
            return
        if key == CORK:
            self._let_go()
        elif key in ERROR_QUEUES:
            self.reports = None

    def end_of_file(self) -> None:
        """A file that was sent ended before as much was sent as was asked for: there is no more to collect (splice_eof).

        Linux has that for UDP over IPv4 alone.
        """
        if self.family != AF_INET6 and self.proto == IPPROTO_UDP and not (self.options or {}).get(CORK):
            self._let_go()

    def _let_go(self) -> None:
        """Send what is collected."""
        if self.corked is None:
            return
        corked, self.corked = self.corked, None
        if self.flow is not None and ":" not in corked.target[0]:
            corked = corked._replace(target=self.flow)
        with contextlib.suppress(OSError):  # nobody is told
            if not is_lost(self, corked.target, corked.payload):
                self._emit(self._autobind(), corked.target, corked.payload, corked.marks, corked.source)

    def ioctl(self, request: int) -> int:
        """FIONREAD is the size of the first datagram; SIOCOUTQ is the memory of what is collected, all else went out."""
        if request == SIOCINQ:
            if not self.inbox:
                return 0
            self.fetched = self.fetched or len(self.inbox)  # first_packet_length
            return len(self.inbox[0].payload)
        if request == SIOCOUTQ:
            return 0 if self.corked is None else self.corked.memory
        if request in (SIOCATMARK, SIOCOUTQNSD):
            raise socket_error(ENOTTY)  # urgent data and acknowledgements are TCP's
        raise NotModelled(f"ioctl(request {request:#x}) on UDP")
