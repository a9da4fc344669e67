"""What a fault may do to one direction of a Unix stream: a piece that comes later, an early end, a reset, an urgent byte.

Unix sockets have no wire: what one end sends is in the other's queue at once. A direction on which a fault acts gets one, the
:class:`Course`, which passes records on up to the next anchor, as :class:`~simnet.kernel.tcp.anchors.Tampering` does for a TCP
connection. To a program that looks like a peer that writes in pieces, or late, or not to the end.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from errno import ECONNRESET
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.readiness import ANY_NEWS, DATA_NEWS
from simnet.kernel.states import CLOSED, ESTABLISHED, SHUT_BOTH, SHUT_RECEIVE, SHUT_SEND
from simnet.kernel.unix.messages import Record, attached, stream_memory
from simnet.kernel.unix.sockets import UnixSocket

if TYPE_CHECKING:
    from simnet.kernel.unix.streams import UnixStream

# Among the records, the end of what the program sends. A number from 0 on: it has closed, with that errno for its peer.
END: Final = -1

_offset = itemgetter(0)


class Course:
    """The way from one end to the other, with what faults want of it."""

    __slots__ = ("anchors", "queue", "gone", "urgent", "held", "gathered", "patience_ns", "cut")

    def __init__(self, gone: int) -> None:
        self.anchors: list[tuple[int, Callable[[UnixStream], None]]] = []
        self.queue: deque[Record | int] = deque()  # what was sent and has not come; an END
        self.gone = gone  # bytes of the program's that have come
        self.urgent: Record | None = None  # which of those in the queue
        self.held: Any = None  # the timer that ends a stall
        self.gathered = 0  # nothing goes on before the program has written up to this offset
        self.patience_ns = 0  # or has not for so long
        self.cut = False  # the end was told before the program's; the rest is lost

    @property
    def idle(self) -> bool:
        """Is nothing on its way?"""
        return not self.queue and self.held is None

    def move(self, sender: UnixStream) -> None:
        """Hand on what may go, and let act what is due."""
        news = False
        while not self.stops(sender):
            distance = self.anchors[0][0] - self.gone if self.anchors else None
            if distance is not None and distance <= 0:
                if news and sender.peer is not None:
                    sender.peer.wake(DATA_NEWS)
                news = False
                self.anchors.pop(0)[1](sender)
            elif not self.queue:
                break
            else:
                news = self.hand_on(sender, distance) or news
        if self.cut:
            self.drop(sender)
        elif news and sender.peer is not None:
            sender.peer.wake(DATA_NEWS)

    def stops(self, sender: UnixStream) -> bool:
        """May nothing go on at all, the end included?"""
        if self.cut:
            return True
        if self.gathered:
            waiting = [each for each in self.queue if isinstance(each, Record)]
            if len(waiting) < len(self.queue) or self.gone + sum(len(each.data) for each in waiting) >= self.gathered:
                self.go_on()
            elif waiting and self.held is None:
                clock = sender.stack.clock
                self.held = clock.at(clock.now_ns + self.patience_ns, go_on, sender)
            else:
                return True
        return self.held is not None

    def hand_on(self, sender: UnixStream, distance: int | None) -> bool:
        """The first that waits goes on, a record to *distance* bytes at most. Is there something to be read?"""
        peer = sender.peer
        first = self.queue[0]
        if not isinstance(first, Record):
            self.queue.popleft()
            tell_end(peer, first)
            return False
        if distance is not None and distance < len(first.data):
            whole = first
            first = Record(whole.data[:distance], 0, whole.sender, whole.credentials, whole.files)
            whole.data, whole.files = whole.data[distance:], ()
        else:
            self.queue.popleft()
        self.gone += len(first.data)
        assert peer is not None
        if peer.inbox is None:
            peer.inbox = deque()
        peer.inbox.append(first)
        if first is self.urgent:
            peer.urgent, self.urgent = first, None
        return True

    def drop(self, sender: UnixStream) -> None:
        """What is on its way is lost; that the program has closed is not."""
        while self.queue:
            each = self.queue.popleft()
            if isinstance(each, Record):
                each.discard()
            elif each != END:
                tell_end(sender.peer, each)

    def go_on(self) -> None:
        """Nothing is held any more."""
        self.gathered = 0
        if self.held is not None:
            self.held.cancel()
            self.held = None

    def stop(self, sender: UnixStream) -> None:
        """The connection is over."""
        self.go_on()
        self.anchors.clear()
        self.cut = True
        self.drop(sender)


def go_on(sender: UnixStream) -> None:
    """What was held goes on."""
    assert sender.course is not None
    sender.course.go_on()
    sender.course.move(sender)


def tell_end(peer: UnixSocket | None, end: int) -> None:
    """*peer* hears that this was all, or that the other has closed."""
    if peer is None or peer.state != ESTABLISHED:
        return
    if end == END:
        peer.shut |= SHUT_RECEIVE
    else:
        peer.shut = SHUT_BOTH
        peer.error = end or peer.error
    peer.wake(ANY_NEWS)


class TamperableUnix(UnixSocket):
    """The verbs of faults, for use inside an anchor's callback or between calls."""

    __slots__ = ()

    def add_anchor(self, offset: int, callback: Callable[[UnixStream], None]) -> bool:
        """Call *callback* when *offset* bytes of the program's have come to the peer, before any later one or the end.

        False if more have already, or none ever will. One at the present offset is called by the next send, or at the end.
        """
        if self.shut & SHUT_SEND:
            return False
        course = self._course()
        if offset < course.gone or course.cut:
            return False
        insort(course.anchors, (offset, callback), key=_offset)
        return True

    def _course(self) -> Course:
        if self.course is None:
            self.course = Course(self.sent)
        return self.course

    @property
    def left_alone(self) -> bool:
        """Has the other end closed?"""
        return self.state == ESTABLISHED and self.peer is not None and self.peer.state == CLOSED

    def hold_until(self, deadline_ns: int) -> None:
        """Let nothing arrive before *deadline_ns*, the end included."""
        course = self._course()
        course.go_on()
        course.held = self.stack.clock.at(deadline_ns, go_on, self)

    def gather(self, size: int, patience_ns: int) -> None:
        """Let the next *size* bytes arrive together, or those that there are *patience_ns* after the first of them, or at the end."""
        course = self._course()
        course.go_on()
        course.gathered = course.gone + size
        course.patience_ns = patience_ns

    def inject_urgent(self, byte: bytes) -> None:
        """Put one urgent byte into the stream here."""
        peer = self.peer
        if peer is None or peer.state != ESTABLISHED:
            return
        record = Record(byte, stream_memory(1), self, attached(self, peer), ())
        self.held += record.memory
        if peer.inbox is None:
            peer.inbox = deque()
        peer.inbox.append(record)
        peer.urgent = record
        peer.wake(DATA_NEWS)

    def cut_off(self) -> None:
        """End this direction here, as ``shutdown(SHUT_WR)`` would: what the program sends from now on is lost."""
        course = self._course()
        if not course.cut:
            course.go_on()
            course.cut = True
            tell_end(self.peer, END)

    def sever(self) -> None:
        """To each end the other is one that closed with something unread: ECONNRESET, then the end, and EPIPE."""
        self._part(ECONNRESET)

    def leave(self) -> None:
        """The peer is gone by the end of its program, which left nothing unread; to it this end is as after a reset."""
        self._part(0)

    def _part(self, error: int) -> None:
        peer = self.peer
        if peer is None:
            return  # it never came to a connection
        if peer.state == CLOSED and (peer.course is None or peer.course.idle):
            return  # it has closed already, as it can only once
        for end, other, code in ((self, peer, error), (peer, self, ECONNRESET)):
            if end.course is not None:
                end.course.stop(end)  # type: ignore[arg-type]  # only streams have one
            if end.state == ESTABLISHED and end.peer is other:
                end.peer = _gone(other)
                end.shut = SHUT_BOTH
                end.error = code or end.error
                end.wake(ANY_NEWS)

    # What the program does at the end of what it sends.

    def mirror(self, peer: UnixSocket, bits: int) -> None:
        course = self.course
        if course is not None and bits & SHUT_SEND:
            course.queue.append(END)
            bits &= ~SHUT_SEND
            super().mirror(peer, bits)
            course.move(self)  # type: ignore[arg-type]  # only streams have one
        else:
            super().mirror(peer, bits)

    def hang_up(self, peer: UnixSocket, error: int) -> None:
        if peer.course is not None:
            peer.course.stop(peer)  # type: ignore[arg-type]  # only streams have one
        course = self.course
        if course is None:
            super().hang_up(peer, error)
            return
        course.queue.append(error)
        course.move(self)  # type: ignore[arg-type]  # only streams have one
        if course.queue:  # the end comes later, but nobody is here to be sent anything
            peer.shut |= SHUT_SEND
            peer.wake(ANY_NEWS)


def _gone(other: UnixSocket) -> UnixSocket:
    """What is left of *other* to who was connected to it: its name."""
    rest = type(other)(other.stack, other.type)
    rest.refs = 0
    rest.tag = other.tag
    rest.bound = other.bound
    rest.shut = SHUT_BOTH
    return rest
