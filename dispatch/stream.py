"""A connection as bytes in order: what is written goes out once, what arrives comes once, and the end is told once.

Output goes out when the handler returns, all of it in one call to the kernel if it will take it; only what is left over
waits for the poller. While more than ``high_water`` waits, the stream does not read: a peer that stops reading stops
being read, and costs no memory. After ``close()`` what waits is still sent.
"""

from __future__ import annotations

import socket as _socket
from collections import deque
from typing import Any

from dispatch.channel import (
    BROKEN,
    CLOSED,
    CLOSING,
    CONNECTED,
    CONNECTING,
    EOF,
    FULL,
    PAUSED,
    Channel,
)
from dispatch.errors import OUT_OF_RESOURCES, TRY_AGAIN, UNDER_WAY, Timeout, socket_error
from dispatch.interfaces import ERR, HUP, IN, NVAL, OUT, PRI, READ, Address
from dispatch.observers import observers
from dispatch.timers import Timer

TROUBLE = ERR | HUP | NVAL
SPECIAL = CONNECTING | EOF | CLOSING | BROKEN
SILENT = PAUSED | FULL | EOF | CLOSING | CONNECTING  # in these states nothing is read

JOIN_BELOW = 65536  # bytes; up to here one copy is cheaper than a vector of pieces, or as cheap
VECTOR = 64  # pieces in one sendmsg; IOV_MAX is 1024, the kernel's buffer is full long before
TURN_BYTES = 1 << 20  # what one stream may send in one turn
BREATH = 0.05  # seconds until the kernel is asked again for memory it did not have
DRAIN = 1 << 20  # bytes of unread input that a close throws away, so that it does not turn into a reset


class Stream(Channel):
    """A stream connection, accepted or made by :meth:`connect`. Subclass it and say what to do with the data."""

    __slots__ = ("_out", "_queued", "_read_size", "_timer", "addr", "bytes_received", "bytes_sent")

    #: The most that one turn reads, in bytes. It grows while reads come back full, and falls back after a short one.
    read_size = 65536
    read_size_max = 262144

    #: Bytes of waiting output: above high_water the stream stops reading, at low_water it goes on.
    high_water = 65536
    low_water = 16384

    #: Seconds that connect() may take; None: as long as the kernel tries (about two minutes on Linux).
    connect_timeout: float | None = None
    #: Seconds that output may still take after close(); None: as long as the peer likes.
    close_timeout: float | None = 30.0

    def __init__(self, sock: Any = None, *, addr: Address = None, loop: Any = None) -> None:
        """*sock* is connected already, a Listener's for example; without one, call :meth:`connect` next."""
        self._attach(loop)
        self.addr = addr
        self._out: Any = None  # None, a list while a handler writes, a deque once the kernel was full
        self._queued = 0
        self._read_size = self.read_size
        self._timer: Timer | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        if sock is not None:
            sock.setblocking(False)
            self.socket = sock
            self._state = CONNECTED
            self.loop._join(self, READ)

    # ---- what a subclass says

    def handle_data(self, data: bytes) -> None:
        """*data* has arrived; never empty."""

    def handle_eof(self) -> None:
        """The peer has finished sending, and may still read. As it stands: send what waits, and close."""
        self.close()

    def handle_connect(self) -> None:
        """:meth:`connect` has succeeded. Not called for a socket that came connected."""

    def handle_urgent(self, data: bytes) -> None:
        """The peer has sent an urgent byte (MSG_OOB). As it stands: drop it."""

    def handle_full(self) -> None:
        """More than ``high_water`` bytes wait; the stream does not read until :meth:`handle_drained`."""

    def handle_drained(self) -> None:
        """After :meth:`handle_full`: ``low_water`` or less waits, reading goes on."""

    # ---- what a program does

    def connect(self, address: Address, family: int | None = None) -> None:
        """Connect; ``handle_connect`` or ``handle_close(reason)`` follows, never both, and never inside this call.

        What is written meanwhile waits. *family* is guessed from *address*: a path is AF_UNIX, a host with a colon
        AF_INET6, else AF_INET.
        """
        if self._state:
            raise RuntimeError(f"{self!r} cannot connect: it is {self._describe()} already")
        if family is None:
            family = guess_family(address)
        self.addr = address
        self._state = CONNECTING
        try:
            self.socket = self.loop.network.socket(family, _socket.SOCK_STREAM)
            self.socket.setblocking(False)
            code = self.socket.connect_ex(address)
            if code and code not in UNDER_WAY:
                raise socket_error(code)
            self.loop._join(self, OUT)
        except OSError as error:
            self._finish(error)
            return
        if self.connect_timeout is not None:
            self._deadline("connect", self.connect_timeout, f"{address} did not answer")

    def write(self, data: bytes | bytearray | memoryview) -> bool:
        """Send *data*, after all that was written before. False if the reader is slow: more than ``high_water`` waits.

        After ``close()`` nothing is sent any more and the answer is False: a peer may go at any time, and its program
        need not ask before each write.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"write() takes bytes, not {type(data).__name__}; encode text first")
            data = bytes(data)  # the caller may use its buffer again while this waits
        if self._state & (CLOSING | CLOSED | BROKEN):
            return False
        if data:
            out = self._out
            if out is None:
                self._out = [data]
                if self.loop._turning is not self:
                    self.loop._unsent.append(self)
            else:
                out.append(data)
            self._queued += len(data)
        return self._queued <= self.high_water

    def close(self) -> None:
        """Send what was written, then close. Nothing more is read, nothing more can be written."""
        if self._state & (CLOSING | CLOSED):
            return
        if self._state & CONNECTING and self._out is None:
            self._finish(None)
            return
        self._state |= CLOSING
        if self._out is None:
            self._end_orderly()
        elif not self._state & CONNECTING:
            self._update()

    def pause(self) -> None:
        """Read nothing until :meth:`resume`; no handle_data comes in between."""
        self._state |= PAUSED
        self._update()

    def resume(self) -> None:
        """Read again."""
        self._state &= ~PAUSED
        self._update()

    @property
    def queued(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._queued

    # ---- a turn

    def _turn(self, bits: int) -> None:
        self.loop._turning = self
        if self._state & SPECIAL:
            self._turn_special(bits)
            return
        if bits & (IN | TROUBLE) and self._bits & IN:
            self._read()
        if bits & PRI and self._bits & PRI:
            self._take_urgent()
        if bits & (OUT | TROUBLE) and not self._bits & IN:
            self._write_or_sleep()
        elif self._out is not None:
            self._flush()

    def _turn_special(self, bits: int) -> None:
        if self._state & CONNECTING:
            self._connect_event()
            if not self._state & CONNECTED or self._state & EOF:
                return
        elif bits & (IN | TROUBLE) and self._bits & IN:
            self._read()
        if bits & (OUT | TROUBLE) and not self._bits & IN:
            self._write_or_sleep()
        elif self._out is not None:
            self._flush()

    def _read(self) -> None:
        size = self._read_size
        try:
            data = self.socket.recv(size)
        except OSError as error:
            self._read_failed(error)
            return
        if not data:
            self._peer_finished()
            return
        got = len(data)
        self.bytes_received += got
        if got == size:
            if size < self.read_size_max:
                self._read_size = min(2 * size, self.read_size_max)
        elif size > self.read_size and got < size >> 1:
            self._read_size = self.read_size
        self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        try:
            if observers:
                self._call_raising("handle_data", data)
            else:
                self.handle_data(data)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            self._failed("handle_data", error)

    def _read_failed(self, error: OSError) -> None:
        if error.errno in TRY_AGAIN:
            return
        if error.errno in OUT_OF_RESOURCES:
            self._take_breath()
        else:
            self._finish(error)

    def _peer_finished(self) -> None:
        if self._state & BROKEN:
            self._finish(socket_error(32))
            return
        self._state |= EOF
        self._update()
        self._call("handle_eof")

    def _take_urgent(self) -> None:
        try:
            data = self.socket.recv(1, _socket.MSG_OOB)
        except OSError:
            return  # reading the ordinary data has passed it; the kernel drops it then (K-092)
        if data:
            self._call("handle_urgent", data)

    def _write_or_sleep(self) -> None:
        """Ready, and not to be read: there is output to try, or nothing to do with it."""
        if self._out is not None:
            self._flush()
        elif self._state & EOF:
            # Both directions are over, or a reset came after the end: nothing will happen here any more.
            self._finish(self._pending_error())
        else:
            self.loop._sleep(self)

    def _pending_error(self) -> OSError | None:
        try:
            code = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        except OSError as error:
            return error
        return socket_error(code) if code else None

    # ---- output

    def _flush_later(self) -> None:
        """The loop's call, for what was written outside this stream's turn."""
        if self._out is not None and not self._state & (CONNECTING | CLOSED) and not self._bits & OUT:
            self._flush()

    def _flush(self) -> None:
        """Give the kernel what waits, as much as it takes."""
        out = self._out
        budget = TURN_BYTES
        try:
            while budget > 0:
                if len(out) == 1:
                    data = out[0]
                    size = len(data)
                    sent = self.socket.send(data)
                elif self._queued <= JOIN_BELOW:
                    data = b"".join(out)
                    out.clear()
                    out.append(data)
                    size = len(data)
                    sent = self.socket.send(data)
                else:
                    size, sent = self._send_vector(out)
                    out = self._out
                budget -= sent
                self.bytes_sent += sent
                self._queued -= sent
                if not self._queued:
                    self._out = None
                    if self._bits & OUT or self._state & (FULL | CLOSING):
                        self._drained()
                    return
                self._advance(sent)
                out = self._out
                if sent < size:
                    break
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:
                self._take_breath()
                return
            if error.errno not in TRY_AGAIN:
                self._write_failed(error)
                return
        self._left_over()

    def _send_vector(self, out: Any) -> tuple[int, int]:
        """Many pieces, more than is cheap to copy: (bytes offered, bytes taken)."""
        if type(out) is list:
            out = self._out = deque(out)
        pieces: list[Any] = []
        size = 0
        for piece in out:
            pieces.append(piece)
            size += len(piece)
            if size >= TURN_BYTES or (len(pieces) >= VECTOR and size >= JOIN_BELOW):
                break
        if len(pieces) <= VECTOR and size >= len(pieces) << 10 and hasattr(self.socket, "sendmsg"):
            return size, self.socket.sendmsg(pieces)
        data = b"".join(pieces)  # many small pieces, or a socket without sendmsg
        return len(data), self.socket.send(data)

    def _advance(self, sent: int) -> None:
        """Take *sent* bytes off the queue, which stays non-empty."""
        out = self._out
        if type(out) is list:
            out = self._out = deque(out)
        while sent:
            first = out[0]
            if len(first) <= sent:
                sent -= len(first)
                out.popleft()
            else:
                out[0] = memoryview(first)[sent:]
                return

    def _left_over(self) -> None:
        """The kernel is full: wait for room, and read no more while too much waits."""
        state = self._state
        if state & CLOSING:
            if self._timer is None and self.close_timeout is not None:
                self._deadline("close", self.close_timeout, f"the peer took no more, {self._queued} bytes wait")
        elif self._queued > self.high_water and not state & FULL:
            self._state |= FULL
            self._update()
            self._call("handle_full")
            return
        elif state & FULL and self._queued <= self.low_water:
            self._drained()
            return
        self._update()

    def _drained(self) -> None:
        """Little or nothing waits any more."""
        if self._state & CLOSING:
            if self._out is None:
                self._end_orderly()
            return
        full = self._state & FULL
        self._state &= ~FULL
        self._update()
        if full:
            self._call("handle_drained")

    def _write_failed(self, error: OSError) -> None:
        """Nothing goes out any more. What the peer sent before it went is still read, if we read at all."""
        self._out = None
        self._queued = 0
        if self._state & (EOF | CLOSING | PAUSED):
            self._finish(error)
            return
        self._state = (self._state | BROKEN) & ~FULL
        self._update()

    def _take_breath(self) -> None:
        """The kernel has no memory for us now: ask again in a moment, not in a circle."""
        self.loop._sleep(self)
        self.loop.call_later(BREATH, self._update)

    # ---- state

    def _progress(self) -> object:
        return self.bytes_received, self.bytes_sent, self._queued, self._state, self._bits

    def _update(self) -> None:
        """Tell the loop what this stream waits for."""
        state = self._state
        if state & CLOSED or self._fileno < 0:
            return
        bits = 0 if state & SILENT else READ
        if self._out is not None or state & CONNECTING:
            bits |= OUT
        self.loop._want(self, bits)

    def _connect_event(self) -> None:
        """The attempt is over: it has succeeded if, and only if, SO_ERROR is 0."""
        error = self._pending_error()
        if error is not None:
            self._finish(error)
            return
        self._cancel_deadline()
        self._state = (self._state | CONNECTED) & ~CONNECTING
        closing = self._state & CLOSING
        self._update()
        if not closing:
            self._call("handle_connect")

    def _end_orderly(self) -> None:
        """All is sent. Unread input would make the kernel send RST, which may overtake our last bytes: read it away."""
        left = DRAIN
        try:
            while left > 0 and not self._state & EOF:
                got = len(self.socket.recv(JOIN_BELOW))
                if not got:
                    break
                left -= got
        except OSError:
            pass  # nothing there (EAGAIN), or nobody
        self._finish(None)

    def _deadline(self, which: str, seconds: float, what: str) -> None:
        self._cancel_deadline()
        self._timer = self.loop.call_later(seconds, self.abort, Timeout(which, seconds, what))

    def _cancel_deadline(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _finish(self, reason: BaseException | None) -> None:
        self._cancel_deadline()
        self._out = None
        self._queued = 0
        Channel._finish(self, reason)

    def __repr__(self) -> str:
        peer = "" if self.addr is None else f" {self.addr}"
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._describe()}{peer} fd={self._fileno}>"


def guess_family(address: Address) -> int:
    """The address family that *address* belongs to by its looks."""
    if isinstance(address, (str, bytes)):
        return _socket.AF_UNIX
    if isinstance(address, tuple) and address and isinstance(address[0], str) and ":" in address[0]:
        return _socket.AF_INET6
    return _socket.AF_INET
