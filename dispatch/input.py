"""Input is delivered once and in order, and one channel never takes a whole turn for itself.

A turn reads once and sends what its handler wrote. Reads grow while they come back full. While more than ``high_water``
bytes that ``handle_data`` wrote are queued, nothing is read: a peer that stops reading its replies is no longer read from, and
costs no memory. Output that others write does not hold back reading; if it did, two ends that both have much to send would wait
for each other for ever.
"""

from __future__ import annotations

import socket as _socket
from collections import deque

from dispatch.channel import BLOCKED, BROKEN, CLOSED, CLOSING, EOF, HELD
from dispatch.errors import BREATH, OUT_OF_RESOURCES, TRY_AGAIN, socket_error
from dispatch.interfaces import IN, OUT, PRI, READ, TROUBLE
from dispatch.log import dropped
from dispatch.observers import observers
from dispatch.output import Sender

# Sums of bits are made once: the interpreter would make them again in every turn.
READABLE = IN | TROUBLE
WRITABLE = OUT | TROUBLE
READ_SIZE = 65536  # bytes
# What is read is often sent on, in one call. Loopback carries 65,483 bytes in a segment (65,463 over IPv6): a whole 256 KiB would
# be four of them and a crumb, and who sends crumbs is slower by a fifth.
READ_SIZE_MAX = 256_000  # bytes
SHORT_READS = 4  # in a stream of bytes there is a short one now and then, whenever the reader is faster
FIRST_SIZE = 448  # bytes; the interpreter keeps what is below 512, its head included, at hand; for more it asks malloc


class Receiver(Sender):
    """A channel with input: its turn."""

    __slots__ = ("_read_size", "bytes_received")

    #: The most that one turn reads, in bytes. It grows while reads come back full, and falls back after a short one.
    read_size = READ_SIZE
    read_size_max = READ_SIZE_MAX

    _read_size: int
    bytes_received: int

    def handle_data(self, data: bytes, /) -> None:
        """*data* has arrived; never empty. By default: drop it, and log that once for the class."""
        # Else it was asked by one that overrides it.
        if getattr(self.handle_data, "__func__", None) is Receiver.handle_data:
            dropped(self, "handle_data", len(data))

    def handle_urgent(self, data: bytes, /) -> None:
        """The peer has sent an urgent byte (MSG_OOB). By default: drop it."""

    # ---- a turn

    def _turn(self, bits: int) -> None:
        more = self._more
        if more is not None:
            if more.layer is not None:
                self._turn_layered(bits)
                return
        elif bits == IN and self._bits == READ and self._waiting is None:
            self._plain = IN  # from the next turn on
        queued = self._waiting_bytes
        state = self._channel_state
        # Another's handler may have closed it in this turn.
        if self._bits & IN and bits & READABLE and not state & CLOSING:
            if state & EOF:
                self._update()  # its handle_eof turns the loop: it is polled for input until that returns
                return
            try:
                data = self.socket.recv(self._read_size)
            except OSError as error:
                self._read_failed(error)
            else:
                if data:
                    if len(data) == self._read_size:
                        data = self._came_full(data)
                        more = self._more
                    self.bytes_received += len(data)
                    if more is not None:
                        more.touched = self.loop._now
                        if more.grown:
                            self._adapt(len(data))
                    self._hand_over(data)
                else:
                    self._peer_finished()
        elif bits & TROUBLE and not state & (BLOCKED | CLOSING):
            self._hung_up()
            return
        if bits & PRI and self._bits & PRI:
            self._take_urgent()
        if self._waiting is not None:
            self._flush_turn(bits, queued)

    def _hand_over(self, data: bytes) -> None:
        try:
            if observers:
                self._call_raising("handle_data", data)
            else:
                self.handle_data(data)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            self._failed("handle_data", error)

    def _sent_nothing(self, error: OSError) -> None:
        """The kernel refused the one piece that this turn has made."""
        self._spread_out()
        self._send_failed(error)
        if self._waiting_bytes:
            self._hold_back()

    def _sent_part(self, out: bytes, sent: int) -> None:
        """The kernel took *sent* bytes of the one piece that this turn has made."""
        self._waiting = deque([memoryview(out)[sent:]])
        self._waiting_bytes = len(out) - sent
        self._left_over()
        if self._waiting_bytes:
            self._hold_back()

    def _flush_turn(self, bits: int, queued: int) -> None:
        """Send at the end of a turn before which *queued* bytes waited."""
        out = self._waiting
        if type(out) is bytes:
            self._waiting = None  # as where most turns are written out
            try:
                sent = self.socket.send(out)
            except OSError as error:
                self._waiting = out
                self._sent_nothing(error)
                return
            self.bytes_sent += sent
            if self._more is not None and self._more.idle is not None:
                self._more.touched = self.loop.time()  # handle_data may have taken its time
            if sent != len(out):
                self._sent_part(out, sent)
            return
        made = self._waiting_bytes - queued
        if bits & WRITABLE or not self._channel_state & BLOCKED:
            self._flush()
        elif self._waiting_bytes > self.high_water:
            self._left_over()
        if self._waiting is not None and made > 0:
            self._hold_back()

    def _hold_back(self) -> None:
        """What was read in this turn made output that waits: read no more while too much of it does."""
        if self._waiting_bytes > self.high_water and not self._channel_state & (HELD | CLOSING):
            self._channel_state |= HELD
            self._update()

    def _turn_layered(self, bits: int) -> None:
        more = self._extras()
        more.touched = self.loop._now
        queued = self._waiting_bytes
        if self._bits & IN and bits & READABLE:
            more.layer.readable(self)
        elif bits & TROUBLE and not self._bits & OUT:
            self._hung_up()
            return
        if bits & PRI and self._bits & PRI:
            self._drop_urgent()
        if not self._channel_state & CLOSED:
            self._spread_out()
            made = self._waiting_bytes - queued
            if bits & WRITABLE or not self._channel_state & BLOCKED:
                self._flush_staged()
            elif self._waiting_bytes > self.high_water:
                self._left_over()
            if made > 0:
                self._hold_back()

    def _came_full(self, data: bytes) -> bytes:
        """There is more than was asked for. To a stream whose first large message this is: that message."""
        size = len(data)
        if size >= self.read_size:
            self._extras().grown = SHORT_READS
            return data
        self._read_size = self.read_size
        try:
            data += self.socket.recv(self.read_size - size)
        except OSError as error:
            if error.errno not in TRY_AGAIN:  # the kernel tells an error once; first comes what was read before it
                self.loop.call_soon(self._read_failed, error)
        return data

    def _adapt(self, got: int) -> None:
        """Offer more to a peer that fills what is offered; less to one for whom the small buffer would have done (a large one costs its malloc)."""
        size = self._read_size
        if got >= size:
            self._read_size = min(2 * size, max(self.read_size_max, self.read_size))
        elif got < self.read_size:
            more = self._extras()
            more.grown -= 1
            if not more.grown:
                self._read_size = self.read_size
                if more.unused():
                    self._more = None  # small messages take the short way again

    def _read_failed(self, error: OSError) -> None:
        if error.errno in TRY_AGAIN:
            if self._channel_state & BROKEN:
                self._finish(self._extras().broken)  # all has been read
            return
        if error.errno in OUT_OF_RESOURCES:
            self._rest(BREATH)
        else:
            self._finish(error.with_traceback(None))  # as where sending fails

    def _take_urgent(self) -> None:
        try:
            data = self.socket.recv(1, _socket.MSG_OOB)
        except OSError:
            return  # reading the ordinary data has passed it; the kernel drops it then (K-092)
        if data:
            self._call("handle_urgent", data)

    def _drop_urgent(self) -> None:
        """Under TLS an urgent byte is nobody's: whoever can send to us may have sent it. Unread, it would be told for ever."""
        try:
            self.socket.recv(1, _socket.MSG_OOB)
        except OSError:
            pass

    def _hung_up(self) -> None:
        """ERR or HUP, while nothing is asked for. Unmaskable: it would be reported for ever."""
        if self._channel_state & EOF:
            self._finish(self._pending_error())  # nothing will be read any more, and nothing can be sent
        else:
            self.loop._sleep(self)  # resume() will look again

    def _pending_error(self) -> OSError | None:
        try:
            code = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        except OSError as error:
            return error
        return socket_error(code) if code else None

    # ---- what the subclass knows

    def _peer_finished(self) -> None:
        """There will be no more input."""
        raise NotImplementedError
