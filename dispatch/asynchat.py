"""The interface and behaviour of asynchat, which Python 3.12 removed: chat by terminators, output by producers.

Fixed: ``push`` from inside a producer keeps its place, a pushed buffer may be reused, nothing is parsed after ``close()``,
a long push is not copied for each piece of it. Everything else is kept; see docs/migrating-from-asyncore.md.
"""

from __future__ import annotations

from _thread import get_ident
from _weakref import ref  # weakref itself would bring more than this
from collections import deque as deque  # programs reach it, and asyncore, through this module
from collections.abc import Iterable

from dispatch import asyncore as asyncore
from dispatch.annotations import Any
from dispatch.maps import events
from dispatch.maps import serving as maps
from dispatch.maps.beginnings import DELETED, GIVEN_UP, beginning
from dispatch.maps.predicates import known_predicates
from dispatch.observers import observers as _observers

#: What ``from asynchat import *`` gives, as it did; programs have names of their own.
__all__ = ["async_chat", "asyncore", "deque", "fifo", "find_prefix_at_end", "simple_producer"]


class async_chat(asyncore.dispatcher):
    """A channel that collects input up to a terminator. Subclasses define collect_incoming_data and found_terminator."""

    ac_in_buffer_size = 65536
    ac_out_buffer_size = 65536

    use_encoding: Any = 0
    encoding = "latin-1"

    terminator: Any
    ac_in_buffer: Any
    incoming: list[Any]

    # These are named so that no subclass has another use for the names.
    _dispatch_fifo: Any = None  # made when something is put in; or what a program put in its place
    _dispatch_producing = False
    _dispatch_sender: int | None = None  # the thread that is sending
    _dispatch_turned_away = False  # another one wanted to, meanwhile

    def __init__(self, sock: Any = None, map: dict[Any, Any] | None = None) -> None:
        self.ac_in_buffer = b""
        self.incoming = []
        self._dispatch_fifo = None
        asyncore.dispatcher.__init__(self, sock, map)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        beginning(cls, "producer_fifo", async_chat.producer_fifo, "_dispatch_fifo", deque)

    @property
    def producer_fifo(self) -> Any:
        """What waits to be sent: bytes, producers, None for the close. May be changed at any time, by anybody."""
        if self._dispatch_fifo is None:
            self._dispatch_fifo = _Fifo((), self)
        elif self._dispatch_fifo is DELETED:
            raise AttributeError("producer_fifo")
        return None if self._dispatch_fifo is GIVEN_UP else self._dispatch_fifo

    @producer_fifo.setter
    def producer_fifo(self, items: Any) -> None:
        if items is self._dispatch_fifo:
            return  # after +=, which has told
        self._dispatch_fifo = GIVEN_UP if items is None else items
        maps.ask_from_now_on(self)  # somebody else's queue tells nobody when it grows

    @producer_fifo.deleter
    def producer_fifo(self) -> None:
        self._dispatch_fifo = DELETED

    # ---- what a subclass says

    def collect_incoming_data(self, data: Any) -> None:
        """Keep *data*, which comes before a terminator; never empty."""
        raise NotImplementedError("must be implemented in subclass")

    def _collect_incoming_data(self, data: Any) -> None:
        self.incoming.append(data)

    def _get_data(self) -> Any:
        data = b"".join(self.incoming)
        del self.incoming[:]
        return data

    def found_terminator(self) -> None:
        """The terminator has come; what was before it is collected."""
        raise NotImplementedError("must be implemented in subclass")

    # ---- input

    def set_terminator(self, term: Any) -> None:
        """Collect up to these bytes, or so many bytes, or (None, 0, empty) for ever."""
        if isinstance(term, str) and self.use_encoding:
            term = bytes(term, self.encoding)
        elif isinstance(term, int) and term < 0:
            raise ValueError("the number of received bytes must be positive")
        self.terminator = term

    def get_terminator(self) -> Any:
        """What was set."""
        return self.terminator

    def handle_read(self) -> None:
        """Read, and cut at the terminators."""
        try:
            data: Any = self.recv(self.ac_in_buffer_size)
        except BlockingIOError:
            return
        except OSError as error:
            for observer in _observers:
                observer.raised(self, "handle_read", error)
            self.handle_error()
            return
        if isinstance(data, str) and self.use_encoding:
            data = bytes(data, self.encoding)
        self.ac_in_buffer = self.ac_in_buffer + data
        closes, apart = self._dispatch_closes, None
        try:
            apart = self._fileno is None
        except AttributeError:
            pass  # never constructed, as some programs test their handlers
        while self.ac_in_buffer:
            if not self._dispatch_cut():
                return
            if self._dispatch_closes != closes:
                self.ac_in_buffer = b""  # found_terminator closed: what else was in this read is not to be acted upon
            elif apart is not None and (self._fileno is None) is not apart:
                return  # somebody else may go on with it

    def _dispatch_cut(self) -> bool:
        """Hand over the buffer up to the next terminator; False if more input is needed to see it.

        A program may look at, and change, the buffer and the terminator in each of its methods: they are called between the
        same two lines as ever.
        """
        before = self.ac_in_buffer
        terminator = self.get_terminator()
        buffer = self.ac_in_buffer
        if not terminator:
            self.collect_incoming_data(buffer)
            self.ac_in_buffer = b""
        elif isinstance(terminator, int):
            if len(before) < terminator:
                self.collect_incoming_data(buffer)
                self.ac_in_buffer = b""
                self.terminator = self.terminator - len(before)
            else:
                self.collect_incoming_data(buffer[:terminator])
                self.ac_in_buffer = self.ac_in_buffer[terminator:]
                self.terminator = 0
                self.found_terminator()
        else:
            size = len(terminator)  # asked first, as ever: what has none is named in the log line
            index = buffer.find(terminator)
            if index != -1:
                if index > 0:
                    self.collect_incoming_data(buffer[:index])
                self.ac_in_buffer = self.ac_in_buffer[index + size :]
                self.found_terminator()
            else:
                kept = find_prefix_at_end(buffer, terminator)
                if not kept:
                    self.collect_incoming_data(buffer)
                    self.ac_in_buffer = b""
                    return True
                if kept != len(before):
                    self.collect_incoming_data(buffer[:-kept])
                    self.ac_in_buffer = self.ac_in_buffer[-kept:]
                return False
        return True

    # ---- output

    def handle_write(self) -> None:
        self.initiate_send()

    def handle_close(self) -> None:
        self.close()

    def push(self, data: Any) -> None:
        """Send *data* after what waits already."""
        if type(data) is not bytes and not isinstance(data, bytes):
            if not isinstance(data, (bytearray, memoryview)):
                raise TypeError("data argument must be byte-ish (%r)", type(data))
            data = bytes(data)  # the caller may use its buffer again
        size = self.ac_out_buffer_size
        if len(data) > size:
            pieces = [data[i : i + size] for i in range(0, len(data), size)]
            if type(self.producer_fifo) is _Fifo:
                self.producer_fifo.extend(pieces)
            else:  # somebody else's queue, of which no more is asked than ever
                for piece in pieces:
                    self.producer_fifo.append(piece)
        elif type(self._dispatch_fifo) is _Fifo:
            _append(self._dispatch_fifo, data)  # mostly it is sent at once, and there is nothing to tell
        else:
            self.producer_fifo.append(data)
        try:
            self.initiate_send()
        finally:
            if self._dispatch_fifo:
                maps.changed(self)

    def push_with_producer(self, producer: Any) -> None:
        """Send what ``producer.more()`` gives until it gives nothing."""
        self.producer_fifo.append(producer)
        self.initiate_send()

    def readable(self) -> Any:
        return 1

    def writable(self) -> Any:
        return self._dispatch_fifo or (not self.connected)

    def close_when_done(self) -> None:
        """Close when all that waits now has been sent."""
        self.producer_fifo.append(None)

    def initiate_send(self) -> None:
        """One send of what waits, if the kernel takes it; asks producers for more. In one thread at a time."""
        # Nothing is called from here to the store, nor from the question who was turned away to the store at the end: that
        # is what keeps other threads out.
        me = get_ident()
        sender = self._dispatch_sender
        if sender is not None and sender != me:
            self._dispatch_turned_away = True  # that thread goes on with what this one has put in
            return
        if self._dispatch_producing:
            return  # a producer pushes: its bytes have their place, and go out when it has given its own
        self._dispatch_sender = me
        try:
            while self.connected:
                fifo = self._dispatch_fifo
                if not fifo:
                    return
                first = fifo[0]
                if not first:
                    # b"", an empty producer, or the end.
                    del fifo[0]
                    if first is None:
                        self.handle_close()
                        return
                try:
                    data = first[: self.ac_out_buffer_size]
                except TypeError:
                    self._dispatch_produce(first)
                    continue
                if isinstance(data, str) and self.use_encoding:
                    data = bytes(data, self.encoding)
                elif type(data) is memoryview:
                    data = bytes(data)  # subclasses that send it otherwise expect what was pushed
                try:
                    num_sent = self.send(data)
                except OSError as error:
                    for observer in _observers:
                        observer.raised(self, "initiate_send", error)
                    self.handle_error()
                else:
                    if num_sent:
                        self._dispatch_sent(first, data, num_sent)
                if not self._dispatch_turned_away:
                    return
                self._dispatch_turned_away = False
        finally:
            self._dispatch_sender = sender

    def _dispatch_produce(self, producer: Any) -> None:
        """Put what the producer gives before the producer, or take it off if it gives nothing. One that is false was taken off."""
        fifo = self._dispatch_fifo
        gone = not fifo or fifo[0] is not producer
        self._dispatch_producing = True
        try:
            data = producer.more()
        finally:
            self._dispatch_producing = False
        stands = bool(fifo) and fifo[0] is producer
        if self._dispatch_fifo is not fifo or stands is gone:
            return  # it has thrown the queue away meanwhile
        if data:
            _put_first(fifo, data)
        elif stands:
            del fifo[0]

    def _dispatch_sent(self, first: Any, data: Any, num_sent: Any) -> None:
        """Take what was sent of *data* from the queue; it is how *first* begins."""
        fifo = self._dispatch_fifo
        if not fifo or fifo[0] is not first:
            return
        if data is first and num_sent == len(data):
            del fifo[0]
        elif isinstance(first, str) and len(data) != len(first[: self.ac_out_buffer_size]):
            # Not a byte for each character: what is left cannot be counted in characters.
            left = data[num_sent:], first[self.ac_out_buffer_size :]
            del fifo[0]
            for each in reversed(left):
                if each:
                    _put_first(fifo, each)
        elif num_sent < len(data) or self.ac_out_buffer_size < len(first):
            # A view of what was longer than a push makes it, so that it is not copied for each piece.
            long = type(first) is bytes and len(first) > self.ac_out_buffer_size
            fifo[0] = memoryview(first)[num_sent:] if long else first[num_sent:]
        else:
            del fifo[0]

    def discard_buffers(self) -> None:
        """Throw everything away, in emergencies."""
        self.ac_in_buffer = b""
        del self.incoming[:]
        if self._dispatch_fifo is not None:
            self.producer_fifo.clear()


known_predicates((async_chat.readable,), (async_chat.writable,))
events.UNNAMED.update(
    each.__code__ for each in (async_chat._dispatch_cut, async_chat._dispatch_produce, async_chat._dispatch_sent)
)
_append = deque.append


def _put_first(fifo: Any, item: Any) -> None:
    """Of a program's own queue no more is asked than asynchat did; but a list will do, too."""
    if hasattr(fifo, "appendleft"):
        fifo.appendleft(item)
    else:
        fifo.insert(0, item)


class _Fifo(deque[Any]):
    """A queue of output that tells its channel when somebody adds to it; for all else, and to look at, a deque."""

    __slots__ = ("_owner",)

    def __init__(self, items: Iterable[Any] = (), owner: async_chat | None = None) -> None:
        super().__init__(items)
        # Weak: no cycle, a closed channel goes when its last user does. A copy has no owner.
        self._owner = None if owner is None else ref(owner)

    def _grown(self) -> None:
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            maps.changed(owner)

    def append(self, item: Any, /) -> None:
        super().append(item)
        self._grown()

    def appendleft(self, item: Any, /) -> None:
        super().appendleft(item)
        self._grown()

    def extend(self, items: Iterable[Any], /) -> None:
        super().extend(items)
        self._grown()

    def extendleft(self, items: Iterable[Any], /) -> None:
        super().extendleft(items)
        self._grown()

    def insert(self, index: int, item: Any, /) -> None:
        super().insert(index, item)
        self._grown()

    def __iadd__(self, items: Iterable[Any]) -> _Fifo:
        self.extend(items)
        return self

    def __repr__(self) -> str:
        return repr(deque(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return deque, (list(self),)


class simple_producer:
    """Gives *data* in pieces."""

    def __init__(self, data: Any, buffer_size: int = 512) -> None:
        self.data = data
        self.buffer_size = buffer_size

    def more(self) -> Any:
        """The next piece, empty at the end."""
        result = self.data
        if len(result) > self.buffer_size:
            result = result[: self.buffer_size]
            self.data = self.data[self.buffer_size :]
        else:
            self.data = b""
        return result


class fifo:
    """The queue asynchat had until Python 3.7, for programs that still use it. It may stand for a ``producer_fifo``."""

    def __init__(self, list: Any = None) -> None:
        self.list: deque[Any] = deque(list or ())

    def __len__(self) -> int:
        return len(self.list)

    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not self.list

    def first(self) -> Any:
        """What is next, left where it is."""
        return self.list[0]

    def push(self, data: Any) -> None:
        """Put *data* last."""
        self.list.append(data)

    def pop(self) -> tuple[int, Any]:
        """(1, the next one), or (0, None)."""
        return (1, self.list.popleft()) if self.list else (0, None)

    # What async_chat asks of its queue, which has been a deque since.

    append = push

    def extend(self, items: Iterable[Any]) -> None:
        self.list.extend(items)

    def insert(self, index: int, item: Any) -> None:
        self.list.insert(index, item)

    def clear(self) -> None:
        self.list.clear()

    def __getitem__(self, index: int) -> Any:
        return self.list[index]

    def __setitem__(self, index: int, item: Any) -> None:
        self.list[index] = item

    def __delitem__(self, index: int) -> None:
        del self.list[index]


def find_prefix_at_end(haystack: Any, needle: Any) -> int:
    """How many of the first bytes of *needle* end *haystack*; 0 if none. A whole needle must have been looked for before."""
    size = len(needle) - 1
    while size and not haystack.endswith(needle[:size]):
        size -= 1
    return size
