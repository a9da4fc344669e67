"""Output is sent once and in order, and as little of it as possible waits here.

A handler's writes are collected and sent when its turn ends: one system call for many small pieces, no copy for
large ones. Only what the kernel does not accept waits for the poller. Waiting output is a queue of pieces, so that
adding to it or taking from it costs no more than the bytes that are moved.
"""

from __future__ import annotations

from collections import deque

from dispatch.annotations import Any
from dispatch.channel import (
    BLOCKED,
    BROKEN,
    CLOSED,
    CLOSING,
    CONNECTED,
    FULL,
    HELD,
    LAYERED,
    NEVER,
    PRODUCING,
    PROMISED,
    SHUT,
    Channel,
)
from dispatch.errors import BREATH, OUT_OF_RESOURCES, TRY_AGAIN
from dispatch.extras import Extras, as_producer, ask_for_some
from dispatch.interrupted import count_into, taken
from dispatch.limits import guard_water
from dispatch.observers import observers, tell_gone
from dispatch.vectors import JOIN_BELOW, KEPT, TURN_BYTES, gather

CROWD = 64  # pieces and producers in a queue; a peer that asks for more files than that is not listened to meanwhile
LITTLE = 4096  # bytes; with so few in the queue write() does not look up high_water, which is hardly ever lower

DONE = CLOSING | CLOSED | BROKEN | SHUT  # in these states nothing more is taken
STAGED = LAYERED | PRODUCING  # what goes out has to be made first
CONSEQUENCE = BLOCKED | FULL | PROMISED | HELD | DONE  # something happens when all is sent


class Sender(Channel):
    """A channel with output. The kernel is asked once per turn, at its end, and again when the poller says so."""

    __slots__ = ("_more", "_waiting", "_waiting_bytes", "bytes_sent")

    #: Bytes of waiting output: above high_water whoever made them should stop, at low_water go on.
    high_water = 65536
    low_water = 16384

    #: Seconds that output may wait while the peer takes nothing of it; None: as long as the peer likes.
    write_timeout: float | None = None
    #: Seconds that output may still take after close().
    close_timeout: float | None = 30.0

    _waiting: Any  # None; bytes, one piece, while simply connected; a list of pieces; a deque once the kernel was full
    _waiting_bytes: int  # bytes in the list or deque; 0 for a single piece
    _more: Extras | None
    bytes_sent: int

    def handle_full(self) -> None:
        """More than ``high_water`` bytes are queued: stop writing until :meth:`handle_drained`.

        If they were written by this stream's own ``handle_data``, it stops reading by itself.
        """

    def handle_drained(self) -> None:
        """After :meth:`handle_full`, or a :meth:`write` that returned False: at most ``low_water`` bytes are queued."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guard_water(cls)

    # ---- what a program does

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send *data* after all that was written before. False if more than ``high_water`` is queued: handle_drained follows.

        While no more than 4,096 bytes are queued it is True, however low ``high_water`` is; ``handle_full`` is called above it in any case.
        After ``close()`` nothing more is sent and the result is False: a peer may leave at any time, and a program
        need not check before each write.
        """
        if self._waiting is None:
            # The first piece of a handler, and mostly the last, is asked no more than this.
            if self._channel_state == CONNECTED and type(data) is bytes:
                size = len(data)
                if size > LITTLE and size > self.high_water:
                    return self._write_otherwise(data)
                if size > 0:
                    if self.loop._turning is not self:
                        self.loop._written_to(self)
                    self._waiting = data
                return True
        elif type(self._waiting) is list and type(data) is bytes:  # a list: never after close(), see _seal
            self._waiting.append(data)
            self._waiting_bytes = queued = self._waiting_bytes + len(data)
            return queued <= LITTLE or queued <= self.high_water or self._promise()
        return self._write_otherwise(data)

    def _promise(self) -> bool:
        """Too much waits; who is told so hears when it has gone. If others wrote it, handle_full comes at the end of this turn."""
        for observer in observers:
            observer.full(self, self._waiting_bytes, not self._channel_state & PROMISED)
        self._channel_state |= PROMISED
        unsent = self.loop._unsent
        if not self._channel_state & FULL and self.loop._turning is not self and (not unsent or unsent[-1] is not self):
            unsent.append(self)
        return False

    def _write_otherwise(self, data: bytes | bytearray | memoryview) -> bool:
        """As :meth:`write`: a second piece, or what is no bytes, or the stream is not simply connected."""
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"write() takes bytes, not {type(data).__name__}; encode text first")
            data = bytes(data)  # the caller may use its buffer again while this waits
        if self._channel_state & DONE:
            return tell_gone(self)
        if self.loop._turning is not self:
            self.loop._check_thread()  # else what waits, and what is counted of it, is another thread's at this moment
        out = self._waiting
        if out is None:
            if not data:
                return True
            if self.loop._turning is not self:
                self.loop._written_to(self)
            self._waiting = [data]
        elif type(out) is bytes:
            self._waiting = [out, data]
            self._waiting_bytes = len(out)
        else:
            out.append(data)
        self._waiting_bytes = queued = self._waiting_bytes + len(data)
        return queued <= LITTLE or queued <= self.high_water or self._promise()

    def write_from(self, producer: Any) -> bool:
        """Send what *producer* returns: ``more()`` until that is empty, or the items of an iterable.

        It is called when its output is next to be sent, so a long reply needs no memory. What is written meanwhile, even
        by the producer, comes after all of it. One that gives nothing is a call in the midst of the output.
        """
        producer = as_producer(producer)
        self.loop._check_thread()
        if self._channel_state & DONE:
            return False
        if self._waiting is None:
            if self.loop._turning is not self:
                self.loop._written_to(self)
            self._waiting = [producer]
        else:
            self._spread_out()
            self._waiting.append(producer)
        self._channel_state |= PRODUCING
        if len(self._waiting) > CROWD and self._is_its_turn():
            self._channel_state |= HELD  # however few bytes those are: each may hold a file open
            self._update()
        return self._waiting_bytes <= self.high_water or self._promise()

    def write_file(self, file: Any, offset: int = 0, count: int | None = None) -> bool:
        """Send *count* bytes (None: to its end) of a file from *offset*, with ``sendfile`` where possible.

        *file* is a path (``OSError``: it cannot be opened), or open in binary, and may then be closed at once. If it ends before *count*,
        or the size it has now, or its path is another's by its turn, that is an ``EOFError`` or ``OSError`` for ``handle_error``.
        """
        from dispatch.files import FilePiece

        piece = FilePiece(file, offset, count, self._failed)
        took = self.write_from(piece)
        if self._is_crowded():
            piece.lay_aside()
        return took

    @property
    def queued(self) -> int:
        """Bytes written that the kernel has not accepted yet, not counting those of producers."""
        return len(self._waiting) if type(self._waiting) is bytes else self._waiting_bytes

    def _is_its_turn(self) -> bool:
        """Whether what is written now comes of what was read."""
        return self.loop._turning is self

    def _is_crowded(self) -> bool:
        return self._channel_state & PRODUCING != 0 and self._waiting is not None and len(self._waiting) > CROWD

    # ---- sending

    def _seal(self) -> None:
        """Nothing more may be written behind what waits."""
        self._spread_out()
        if type(self._waiting) is list:
            self._waiting = deque(self._waiting)

    def _spread_out(self) -> None:
        """Have the output in a list, whatever it was in."""
        out = self._waiting
        if type(out) is bytes:
            self._waiting = [out]
            self._waiting_bytes = len(out)

    def _flush(self) -> None:
        """Give the kernel what waits, as much as it takes."""
        if self._channel_state & STAGED:
            self._flush_staged()
            return
        out = self._waiting
        budget = TURN_BYTES
        offered, send = 0, None  # bytes, in the call under way
        went: Any = ()  # what the kernel took of them, until it is counted
        try:
            while True:
                size = self._waiting_bytes
                if len(out) == 1:
                    data = out[0]
                elif size <= JOIN_BELOW:
                    data = b"".join(out)
                    out.clear()
                    out.append(data)
                else:
                    if type(out) is list:
                        out = self._waiting = deque(out)
                    data, size = gather(out, hasattr(self.socket, "sendmsg"))
                send = self.socket.sendmsg if type(data) is list else self.socket.send
                offered, went = size, ()
                if size <= KEPT:
                    sent = send(data)
                else:
                    went = []
                    sent = count_into(went, send, data)
                self.bytes_sent += sent
                if sent == self._waiting_bytes:
                    self._waiting, self._waiting_bytes, offered = None, 0, 0  # no call between these, as in _advance
                else:
                    went = went or [sent]
                    self._advance(went)
                    offered = 0
                if self._more is not None and self._more.idle is not None:
                    self._more.touched = self.loop.time()  # its turn may have begun long ago
                if self._waiting is None:
                    if self._channel_state & CONSEQUENCE:
                        self._all_sent()
                    return
                out = self._waiting
                budget -= sent
                if sent < size or budget <= 0:
                    break
        except OSError as error:
            self._send_failed(error)
            return
        except BaseException:
            self._interrupted(taken(send, offered, went))
            raise
        self._left_over()

    def _interrupted(self, sent: int) -> None:
        """Ctrl-C, most likely right behind the call that sent so many bytes: they must not go out twice if the loop goes on."""
        if sent and sent == self._waiting_bytes:
            self._waiting, self._waiting_bytes = deque([b""]), 0  # what follows when all is sent, follows then
        elif sent:
            self._advance([sent])
        self.loop._unsent.append(self)

    def _advance(self, went: list[int]) -> None:
        """Take so many bytes off the queue, which stays non-empty. In *went* is what is still to be taken, also if Ctrl-C comes."""
        out = self._waiting
        if type(out) is list:
            out = self._waiting = deque(out)
        while went[0]:
            first = out[0]
            size = len(first)
            if size <= went[0]:
                del out[0]
            else:
                left, size = memoryview(first)[went[0] :], went[0]
                out[0] = left
            self._waiting_bytes -= size  # between these no call is made, and so nothing comes in between
            went[0] -= size

    def _send_failed(self, error: OSError) -> None:
        if error.errno in TRY_AGAIN:
            self._left_over()
        elif error.errno in OUT_OF_RESOURCES:
            # No memory for us now: ask again in a moment, not in a circle.
            self._rest(BREATH)
            self._left_over()
        else:
            self._out_broken(error)

    # ---- sending what has to be made first: producers, files, TLS records

    def _flush_staged(self) -> None:
        """As :meth:`_flush`, where the next bytes come from a producer or go through a layer."""
        if self._channel_state & BROKEN:
            return  # a layer may have something to say yet, but nothing goes out any more
        more = self._extras()
        budget = TURN_BYTES
        offered, send = 0, self.socket.send  # as above
        went: list[int] = []
        making = False
        try:
            while budget > 0:
                if not more.staged:
                    making = True
                    made = self._stage(more)
                    making = False
                    if not made:
                        self._nothing_made()
                        return
                staged = more.staged
                if type(staged) is bytes or type(staged) is memoryview:
                    offered = len(staged)
                    sent = count_into(went, send, staged)
                    short = sent < len(staged)
                    left = memoryview(staged)[sent:] if short else b""
                    more.staged, offered = left, 0  # no call between these: nothing comes in between
                    self._waiting_bytes -= sent
                    went.clear()
                else:
                    sent, short = staged.send_to(self.socket)
                    if not staged and more.staged is staged:  # handle_error may have turned the loop
                        more.staged = b""
                self.bytes_sent += sent
                if more.idle is not None:
                    more.touched = self.loop.time()  # as above
                budget -= max(JOIN_BELOW, sent)  # what it took to make little is counted, too
                if short:
                    break
        except OSError as error:
            self._send_failed(error)
            return
        except BaseException:
            if making:
                self._half_made()
            elif sent := taken(send, offered, went):
                more.staged = memoryview(more.staged)[sent:] if sent < offered else b""
                self._waiting_bytes -= sent
            self.loop._unsent.append(self)
            raise
        self._left_over()

    def _nothing_made(self) -> None:
        """What waits, if anything does, is yet to be made."""
        if self._waiting is None:
            self._all_sent()
            return
        if self._channel_state & BLOCKED:
            self._channel_state &= ~BLOCKED  # what waits, waits for the peer's side of the handshake
            self._update()
        if self._channel_state & CLOSING:
            self._arm_close()
        self._say_full()

    def _stage(self, more: Extras) -> bool:
        """Put the next bytes, or the next file, into ``staged``; False if there are none now."""
        layer = more.layer
        while layer is None or not layer.take_output(more):
            if (layer is not None and not layer.accepts) or more.asking:
                return False  # `more` of a producer turns the loop: what it gives goes out when it has given it
            data = self._next_bytes(more)
            if data is None or self._channel_state & CLOSED:
                return False
            if layer is None or type(data) is not bytes:
                more.staged = data
                return True
            self._waiting_bytes -= len(data)
            layer.encrypt(data)
        self._waiting_bytes += len(more.staged)
        return True

    def _next_bytes(self, more: Extras) -> Any:
        """The next bytes of the queue, at most about JOIN_BELOW of small ones; a file; None at its end."""
        while self._waiting:
            out = self._waiting
            if type(out) is list:
                out = self._waiting = deque(out)
            first = out[0]
            if not hasattr(first, "more"):
                if more.layer is not None and len(first) > TURN_BYTES:  # records are made of what goes out soon
                    out[0] = memoryview(first)[TURN_BYTES:]
                    return bytes(memoryview(first)[:TURN_BYTES])
                if len(out) == 1 or len(first) >= JOIN_BELOW:
                    out.popleft()
                    return bytes(first)
                pieces, size = [], 0
                while out and size < JOIN_BELOW and not hasattr(out[0], "more"):
                    pieces.append(out.popleft())
                    size += len(pieces[-1])
                return b"".join(pieces)
            if hasattr(first, "send_to") and more.layer is None:
                out.popleft()
                return first
            data, over = ask_for_some(first, self, JOIN_BELOW)
            if self._channel_state & CLOSED:
                return None
            if over and self._waiting is out and out and out[0] is first:
                out.popleft()
            if data:
                self._waiting_bytes += len(data)
                return data
        self._waiting = None
        self._channel_state &= ~PRODUCING
        return None

    # ---- what follows

    def _left_over(self) -> None:
        """The kernel is full: wait for room."""
        state = self._channel_state = self._channel_state | BLOCKED
        if state & CLOSING:
            self._arm_close()
        elif self.write_timeout is not None:
            self._extras().arm_write(self)
        if self._waiting_bytes > self.high_water and not state & (FULL | CLOSING):
            self._say_full()
        elif self._waiting_bytes <= self.low_water and state & (FULL | PROMISED | HELD) and not self._is_crowded():
            self._below_low_water()
        else:
            self._update()

    def _say_full(self) -> None:
        """If too much waits, whoever makes it should stop."""
        if self._waiting_bytes > self.high_water and not self._channel_state & (FULL | CLOSING | CLOSED):
            self._channel_state |= FULL
            self._update()
            self._call("handle_full")
            if not self._channel_state & BLOCKED and (self._waiting is not None or self._channel_state & CLOSING):
                # It has turned the loop until there was room, and then it has written, or closed.
                self.loop._unsent.append(self)

    def _all_sent(self) -> None:
        """Nothing waits any more."""
        self._channel_state &= ~BLOCKED
        if self._more is not None:
            self._more.disarm_write()
        if self._channel_state & (CLOSING | SHUT):
            self._output_over()
            if self._channel_state & (FULL | PROMISED | HELD) and not self._channel_state & (CLOSING | CLOSED):
                self._below_low_water()
        elif self._channel_state & (FULL | HELD) or (
            self._channel_state & PROMISED
            and getattr(self.handle_drained, "__func__", None) is not Sender.handle_drained
        ):
            self._below_low_water()
        else:
            self._channel_state &= ~PROMISED
            self._update()

    def _below_low_water(self) -> None:
        told, loop = self._channel_state & (FULL | PROMISED), self.loop
        self._channel_state &= ~(FULL | PROMISED | HELD)
        self._update()
        before, loop._turning = loop._turning, self
        try:
            # Else its reading was held back, and no more; or a producer has failed, and it is closed.
            if told and not self._channel_state & CLOSED:
                self._call("handle_drained")
        finally:
            loop._turning = before
            if (self._waiting is not None or self._channel_state & CLOSING) and not self._channel_state & CLOSED:
                # Written there, or closed. In the next turn: who writes as much as goes out would have this one for ever.
                loop.call_soon(self._flush_later)

    def _arm_close(self) -> None:
        if self.close_timeout is not None:
            self._extras().arm_close(self)

    def _extras(self) -> Extras:
        more = self._more
        if more is None:
            more = self._more = Extras()
            self._plain = NEVER
        return more

    # ---- what the subclass knows

    def _flush_later(self) -> None:
        """The loop's call, for what was written outside this channel's turn."""
        raise NotImplementedError

    def _update(self) -> None:
        """Tell the loop what this channel waits for."""
        raise NotImplementedError

    def _rest(self, seconds: float) -> None:
        """Ask the kernel for nothing, for a moment."""
        raise NotImplementedError

    def _output_over(self) -> None:
        """All is sent after close() or write_eof()."""
        raise NotImplementedError

    def _out_broken(self, error: OSError) -> None:
        """Nothing goes out any more."""
        raise NotImplementedError

    def _half_made(self) -> None:
        """Ctrl-C came while output was made."""
        raise NotImplementedError
