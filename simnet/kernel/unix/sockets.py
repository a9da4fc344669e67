"""AF_UNIX sockets: their names, how they find each other, and how they end. What they carry is in the other ``unix_`` files.

Everything is synchronous, within one host: no packet, no latency. Each end holds the other one, and a shutdown on one
side sets the mirrored flag on the other (K-102).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from errno import (
    EADDRINUSE,
    EAGAIN,
    ECONNREFUSED,
    ECONNRESET,
    EEXIST,
    EINVAL,
    EISCONN,
    ENOTCONN,
    EOPNOTSUPP,
    EPROTOTYPE,
)
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.buffer import Data, scatter
from simnet.kernel.descriptors import File
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, MSG_TRUNC, SHUT_RDWR, SOCK_DGRAM, SOCK_STREAM
from simnet.kernel.options.idle import PASSED_ON, SO_SELECT_ERR_QUEUE, UNACCEPTED
from simnet.kernel.options.plain import get_option, set_option
from simnet.kernel.options.values import SNDBUF_DEFAULT, SO_PASSCRED, SO_SNDBUF, SOL_SOCKET
from simnet.kernel.readiness import ANY_NEWS, DATA_NEWS, ERR, HUP, PRI, RDHUP, READABLE, SPACE_NEWS, WRITABLE_BAND
from simnet.kernel.states import CLOSED, ESTABLISHED, LISTEN, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND
from simnet.kernel.tcp.listener import SOMAXCONN
from simnet.kernel.unix.names import Key, Name, file_key, key_of, key_to_bind, obstacle_to_bind, obstacle_to_find

if TYPE_CHECKING:
    from simnet.kernel.stack import Stack
    from simnet.kernel.unix.messages import Record
    from simnet.kernel.unix.tampering import Course

NOBODY: Final = (0, -1, -1)  # SO_PEERCRED of a socket that never had a peer


class UnixSocket(File):
    """One AF_UNIX socket of any type."""

    __slots__ = (
        "stack", "type", "state", "error", "shut", "origin", "bound", "peer", "port", "sharing", "options",
        "credentials", "backlog", "queue", "inbox", "held", "sndbuf", "urgent", "miscounted", "followers", "sent", "key",
        "course", "sleepers",
    )  # fmt: skip
    family: Final = AF_UNIX
    proto: Final = 0

    def __init__(self, stack: Stack, type: int) -> None:
        self.refs = 1
        self.watchers = None
        self.tag = None
        self.stack = stack
        self.type = type
        self.state: str = CLOSED
        self.error = 0
        self.shut = 0
        self.origin: str | None = None
        self.bound: Name | None = None
        self.key: Key = ""  # where its host keeps that
        self.peer: UnixSocket | None = None
        self.port = 0
        self.sharing = 0
        self.options: dict[tuple[int, int], Any] | None = None
        self.credentials: tuple[int, int, int] = NOBODY
        self.backlog = 0
        self.queue: deque[UnixSocket] | None = None  # a listener's connections that wait
        self.inbox: deque[Record] | None = None
        self.held = 0  # memory of what this socket sent and nobody has read
        self.sndbuf = SNDBUF_DEFAULT
        self.urgent: Record | None = None
        self.miscounted = 0  # urgent bytes that a normal read has dropped
        self.followers: list[Any] | None = None  # datagram sockets connected to this one, and who waits in a send to it
        self.sleepers: list[UnixSocket] | None = None  # those of them that found no place, the latest first
        self.sent = 0
        self.course: Course | None = None  # of what this socket sends, where a fault acts on it

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} {self.getsockname()!r}>"

    @property
    def local(self) -> Name:
        """The name, for netstat."""
        return self.getsockname()

    @property
    def unread(self) -> int:
        """Bytes that wait to be read."""
        return sum(record.left for record in self.inbox or ())

    @property
    def unsent(self) -> int:
        """Nothing ever waits on this side."""
        return 0

    # Readiness.

    def mask(self) -> int:
        """What poll says of it, all bits (unix_poll)."""
        shut = self.shut
        mask = READABLE | RDHUP if shut & SHUT_RECEIVE else 0
        if shut == SHUT_BOTH or (self.state == CLOSED and self.type != SOCK_DGRAM):
            mask |= HUP
        if self.error:
            mask |= ERR
            if self.type != SOCK_STREAM and self.options and self.options.get((SOL_SOCKET, SO_SELECT_ERR_QUEUE)):
                mask |= PRI
        if self.inbox or self.queue:
            mask |= READABLE
        if self.writable():
            mask |= WRITABLE_BAND
        return mask

    def writable(self) -> bool:
        """OUT: less than a quarter of the send buffer is in use (K-103); Linux counts one byte for the socket itself."""
        return self.state != LISTEN and self.held < self.sndbuf >> 2

    def has_any_room(self) -> bool:
        """sock_alloc_send_pskb looks for less than poll does, when something wakes it and when its time is over."""
        return self.held < self.sndbuf

    def give_back(self, memory: int) -> None:
        """Somebody read, or threw away, what this socket sent."""
        self.held -= memory
        if self.refs and UnixSocket.writable(self):  # whether or not its peer has a place: unix_write_space
            self.wake(SPACE_NEWS)

    # Names.

    def getsockname(self) -> Name:
        return "" if self.bound is None else self.bound

    def getpeername(self) -> Name:
        if self.peer is None:
            raise socket_error(ENOTCONN)
        return self.peer.getsockname()

    def bind(self, name: Name) -> None:
        """Take a name; the empty one stands for an abstract name of the kernel's choice (K-104)."""
        _check(name)
        names = self.stack.unix_names
        if not name:
            if self.bound is None:
                self._take_abstract()
            return
        abstract = isinstance(name, bytes)
        if abstract and self.bound is not None:
            raise socket_error(EINVAL)
        if isinstance(name, str) and (obstacle := obstacle_to_bind(self.stack, name)):
            raise socket_error(EADDRINUSE if obstacle == EEXIST else obstacle)
        key = key_to_bind(self.stack, name, self.type)
        if key in names:
            raise socket_error(EADDRINUSE)
        if self.bound is not None:
            raise socket_error(EINVAL)
        self._take(name, key)

    def _take(self, name: Name, key: Key) -> None:
        self.bound = name
        self.key = key
        self.stack.unix_names[key] = self

    def _take_abstract(self) -> None:
        name = self.stack.free_abstract_name()
        self._take(name, key_of(self.type, name))

    def take_name_for_credentials(self, target: Name | None) -> None:
        """Who asks for credentials has a name when it connects or sends: so that they can be answered.

        Raises:
            OSError: EINVAL, *target* is empty.
        """
        if target is not None and not target:
            raise socket_error(EINVAL)
        if self.bound is None and self.passes_credentials:
            self._take_abstract()

    def find(self, name: Name) -> UnixSocket:
        """Who is bound to *name*, of this type."""
        _check(name)
        names = self.stack.unix_names
        if isinstance(name, bytes):
            other = names.get(key_of(self.type, name))
            if other is None:
                raise socket_error(ECONNREFUSED)
            return other
        key = file_key(self.stack, name, follow=True)
        if key not in names:
            obstacle = obstacle_to_find(self.stack, name)
            raise socket_error(ECONNREFUSED if obstacle == EEXIST else obstacle)
        other = names[key]
        if other is None or other.refs == 0:
            raise socket_error(ECONNREFUSED)  # a file that a closed socket left
        if other.type != self.type:
            raise socket_error(EPROTOTYPE)
        return other

    # Opening.

    def listen(self, backlog: int = 128) -> None:
        """Become a listener, or change the backlog."""
        if self.type == SOCK_DGRAM:
            raise socket_error(EOPNOTSUPP)
        if self.bound is None or self.state not in (CLOSED, LISTEN):
            raise socket_error(EINVAL)
        before, self.backlog = self.backlog, backlog if 0 <= backlog <= SOMAXCONN else SOMAXCONN
        if self.queue and self.backlog > before:
            self.wake(0)  # there is room for who waits to connect
        self.state = LISTEN
        self.credentials = self.stack.credentials
        if self.queue is None:
            self.queue = deque()

    @property
    def crowded(self) -> bool:
        """Is the backlog of this listener full?"""
        return self.queue is not None and len(self.queue) > self.backlog

    def connect(self, name: Name) -> None:
        """Connect at once, or say why not; the socket stays usable (K-100)."""
        self.take_name_for_credentials(name)
        other = self.find(name)
        if other.state != LISTEN or other.shut & SHUT_RECEIVE:
            raise socket_error(ECONNREFUSED)
        queue = other.queue
        assert queue is not None
        if other.crowded:
            raise socket_error(EAGAIN)
        if self.state != CLOSED:
            raise socket_error(EISCONN if self.state == ESTABLISHED else EINVAL)
        child = type(self)(self.stack, self.type)
        child.bound = other.bound
        child.origin = "server"
        inherited = other.options or {}  # of which only what is to come beside data is
        child.options = {UNACCEPTED: 1, **{key: value for key, value in inherited.items() if key in PASSED_ON}}
        self.join(child)
        self.origin = "client"
        self.credentials = other.credentials
        child.credentials = self.stack.credentials
        queue.append(child)
        other.wake(DATA_NEWS)

    def join(self, other: UnixSocket) -> None:
        """The two are connected."""
        self.peer, other.peer = other, self
        self.state = other.state = ESTABLISHED
        self.credentials = other.credentials = self.stack.credentials

    def accept(self) -> tuple[UnixSocket, Name]:
        """The first connection that waits, and its peer's name."""
        if self.type == SOCK_DGRAM:
            raise socket_error(EOPNOTSUPP)
        queue = self.queue
        if queue is None or self.state != LISTEN:
            raise socket_error(EINVAL)
        if not queue:
            raise socket_error(EAGAIN)
        child = queue.popleft()
        if child.options is not None:
            child.options.pop(UNACCEPTED, None)
            child.options = child.options or None
        self.wake(0)  # no news of this socket, but who waits for room in the backlog looks again
        return child, child.getpeername()

    # Ending.

    def shutdown(self, how: int) -> None:
        """Close one direction or both, here and mirrored at the peer; always succeeds (K-101)."""
        if not 0 <= how <= SHUT_RDWR:
            raise socket_error(EINVAL)
        bits = how + 1
        self.shut |= bits
        self.wake(ANY_NEWS)
        peer = self.peer
        if peer is not None and self.type != SOCK_DGRAM:
            self.mirror(peer, bits)

    def mirror(self, peer: UnixSocket, bits: int) -> None:
        """Close at *peer* what is closed here, the other way round."""
        peer.shut |= (bits & SHUT_RECEIVE) << 1 | (bits & SHUT_SEND) >> 1
        peer.wake(ANY_NEWS)

    def destroy(self) -> None:
        """unix_release_sock: the peer is hung up on, with ECONNRESET if something was left unread."""
        self._end(embryo=False)
        if self.stack.travels is not None:
            self.stack.travels.socket_closed()

    def _end(self, embryo: bool) -> None:
        names = self.stack.unix_names
        if self.bound is not None and names.get(self.key) is self:
            if isinstance(self.key, tuple):
                del names[self.key]
            else:
                names[self.key] = None  # the file stays until somebody unlinks it
        was_listening = self.state == LISTEN
        self.state = CLOSED
        self.shut = SHUT_BOTH
        peer = self.peer
        if peer is not None and self.type != SOCK_DGRAM:
            self.hang_up(peer, ECONNRESET if embryo or self.leaves_unread() else 0)
        self.drop_inbox()
        if was_listening and self.queue is not None:
            for child in self.queue:
                child.refs = 0
                child._end(embryo=True)
            self.queue = None
            self.wake(0)  # who waits for room in the backlog is to be refused
        if peer is not None and not peer.refs and peer.peer is self and self.course is None is peer.course:
            self.peer = peer.peer = None  # both are closed, and hold each other no longer

    def hang_up(self, peer: UnixSocket, error: int) -> None:
        """*peer* hears that this end has closed; an *error* if that was in a bad way."""
        peer.shut = SHUT_BOTH
        if error:
            peer.error = error
        peer.wake(ANY_NEWS)

    def leaves_unread(self) -> bool:
        """Is there anything in the queue that was sent in vain? An empty record at its head is not looked at."""
        inbox = self.inbox
        if not inbox:
            return False
        return len(inbox) > 1 or inbox[0].left > 0

    def drop_inbox(self) -> None:
        """Throw away what was not read, and let go of what it carries."""
        inbox = self.inbox
        while inbox:
            inbox.popleft().discard()
        self.urgent = None

    # Questions.

    def getsockopt(self, level: int, name: int, buflen: int = 0) -> int | bytes:
        return get_option(self, level, name, buflen)

    def setsockopt(self, level: int, name: int, value: Any) -> None:
        set_option(self, level, name, value)

    def options_changed(self, level: int, name: int) -> None:
        """SO_SNDBUF counts at once."""
        if name == SO_SNDBUF and self.options is not None:
            self.sndbuf = self.options[(level, name)]
            if UnixSocket.writable(self):
                self.wake(SPACE_NEWS)

    @property
    def passes_credentials(self) -> bool:
        """Whether it has asked to be told who sends to it (SO_PASSCRED)."""
        return self.options is not None and bool(self.options.get((SOL_SOCKET, SO_PASSCRED)))

    # Shared by the types: what differs only in shape.

    def recvmsg(self, n: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Name | None]:
        """``recv`` in full; here every type begins."""
        raise NotImplementedError

    def recv(self, n: int, flags: int = 0) -> bytes:
        """At most *n* bytes; ``recv(0)`` asks nothing (K-009)."""
        return self.recvmsg(n, 0, flags)[0] if n else b""

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, Name | None]:
        """``recv``, and the sender's name, None if it has none."""
        data, _, _, name = self.recvmsg(n, 0, flags)
        return data, name

    def recv_into(self, buffer: Any, n: int = 0, flags: int = 0) -> int:
        """``recv`` into *buffer*."""
        with memoryview(buffer).cast("B") as view:
            n = n or len(view)
            if not n:
                return 0
            data = self.recvmsg(n, 0, flags)[0]
            view[: min(len(data), n)] = data[:n]
            return len(data)

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0
    ) -> tuple[int, list[Any], int, Name | None]:
        """``recvmsg``, scattered over *buffers*."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        room = sum(map(len, views))
        data, ancillary, message_flags, name = self.recvmsg(room, ancbufsize, flags)
        scatter(views, data[:room])
        return len(data) if flags & MSG_TRUNC else min(len(data), room), ancillary, message_flags, name

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Name | None = None
    ) -> int:
        """Send in full; here every type begins."""
        raise NotImplementedError

    def send(self, data: Data, flags: int = 0) -> int:
        """Send *data* to the peer."""
        return self.sendmsg((data,), (), flags)

    def sendto(self, data: Data, flags: int, address: Name) -> int:
        """Send *data* to *address*; a connected stream says EISCONN (K-058)."""
        return self.sendmsg((data,), (), flags, address)


def _check(name: Any) -> None:
    """EINVAL for what is no name: the socket has another object, which is of IPv4 or IPv6."""
    if isinstance(name, tuple):
        raise socket_error(EINVAL)
