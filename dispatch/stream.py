"""A connection from its beginning to its end, which is reported once.

After ``close()``, queued output is still sent. When sending fails, what the peer had sent before is still read. Input is in
input.py, output in output.py.
"""

from __future__ import annotations

import os
import socket as _socket
import sys

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import (
    BEHIND,
    BLOCKED,
    BROKEN,
    BUSY,
    CLOSED,
    CLOSING,
    CONNECTED,
    CONNECTING,
    EOF,
    FULL,
    HELD,
    LAYERED,
    NEVER,
    PAUSED,
    PRODUCING,
    PROMISED,
    RESTING,
    SHUT,
    Channel,
)
from dispatch.checks import (
    check_address,
    check_made,
    check_seconds,
    is_path,
    no_socket,
    no_stream,
    refuse_listener,
    refuse_tls,
)
from dispatch.errors import Aborted, Timeout
from dispatch.input import FIRST_SIZE, Receiver
from dispatch.interfaces import IN, OUT, READ, Address
from dispatch.limits import guard_limits
from dispatch.sockets.accepting import kind
from dispatch.vectors import JOIN_BELOW

if TYPE_CHECKING:
    from dispatch.loop import Loop
    from dispatch.statistics import StreamStatistics

SILENT = PAUSED | HELD | BUSY | BEHIND | EOF | CLOSING | CONNECTING  # in these states nothing is read
STREAMS = (_socket.SOCK_STREAM, None)  # None: it has no type, as a pipe
TIMEOUTS = ("connect_timeout", "idle_timeout", "write_timeout", "close_timeout")
BEFORE = PAUSED | SHUT | LAYERED | PRODUCING | PROMISED | FULL  # what may be asked for before there is a connection


class Stream(Receiver):
    """A stream connection, accepted or made by :meth:`connect`. Subclass it and say what to do with the data."""

    __slots__ = ("addr",)

    _drain = 1 << 20  # bytes of unread input that a close throws away, so that it does not turn into a reset

    #: Seconds that connect() may take; None: as long as the kernel tries (about two minutes on Linux).
    connect_timeout: float | None = None
    #: Seconds without a byte in either direction after which :meth:`handle_idle` is called; None: no limit.
    idle_timeout: float | None = None

    def __init__(self, sock: Any = None, *, addr: Address = None, loop: Loop | None = None) -> None:
        """*sock* is already connected, for example by a Listener; without one, call :meth:`connect` next."""
        self._attach(loop)
        self.addr = addr
        self._waiting = None
        self._waiting_bytes = 0
        self._more = None
        size = self.read_size
        self._read_size = size if size < FIRST_SIZE else FIRST_SIZE  # noqa: FURB136  # min() costs as much as all else here
        self.bytes_received = 0
        self.bytes_sent = 0
        if sock is not None:
            try:
                sock.setblocking(False)
            except AttributeError:
                raise no_socket(sock) from None
            except OSError as error:
                error.add_note(f"the socket is {sock!r}")  # closed before
                raise
            if hasattr(sock, "do_handshake"):
                refuse_tls(sock, "call start_tls(context) on the channel")
            if kind(sock) not in STREAMS:
                raise no_stream(sock)
            if addr is None:  # a listener names the peer, and asks nothing more of what it has accepted
                refuse_listener(sock)
            self.socket = sock
            self._channel_state = CONNECTED
            self.loop._join(self, READ)
            self.loop._newcomers.append(self)
            if self.idle_timeout is not None:
                self.touch()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guard_limits(cls, TIMEOUTS, (), ("read_size", "read_size_max"))

    # ---- what a subclass says

    def handle_eof(self) -> None:
        """The peer has finished sending, and may still read. By default: send what is queued, and close."""
        self.close()

    def handle_connect(self) -> None:
        """:meth:`connect` has succeeded. Not called for a socket that was connected already."""

    def handle_idle(self, error: Timeout, /) -> None:
        """Nothing was read or sent for ``idle_timeout`` seconds. By default: abort; :meth:`touch` waits once more."""
        self.abort(error)

    def handle_secure(self) -> None:
        """After :meth:`start_tls`: the handshake is done, what is written now is encrypted."""

    # ---- what a program does

    def connect(self, address: Address, *, family: int | None = None, source: Address = None) -> None:
        """Connect; ``handle_connect`` or ``handle_close(reason)`` follows, never both, and never inside this call.

        A host name may have several addresses: they are tried as in RFC 8305, each 250 ms after the previous one,
        and the first that answers wins. The reason of a failure has the error of each in ``attempts``. Data written
        meanwhile is queued. *source* is the local address. A path means a Unix socket; the file that *source* makes then stays.

        The name is looked up at once, with ``getaddrinfo``, and the loop blocks until the answer; an address needs none.

        Raises:
            RuntimeError: it has been connected before; make a new one.
            TypeError, ValueError: this is no address, or a name that no host can have, such as one of more than 63 letters without a dot.
        """
        check_made(self)
        check_address(address, family, looked_up=True)
        if source is not None:
            check_address(source, family)
            if is_path(source) is not is_path(address):
                raise TypeError(f"{source=} and {address!r} are of different families")
        if self._channel_state & ~BEFORE or self.socket is not None:
            raise RuntimeError(f"{self!r} cannot connect: it is {self._describe()} already; make a new one")
        self.loop._check_thread()
        self.addr = address
        try:
            from dispatch.connector import Connector
        except OSError as error:  # no descriptor is left to read it with, nor for a socket
            self._finish(error)
            return
        self._channel_state |= CONNECTING
        self._extras().connector = connector = Connector(self, address, family, source)
        try:
            connector.start()
        except Exception as error:
            connector.cancel()  # what cannot be an address is the caller's error, and nothing is under way
            error.add_note(f"the address to connect to is {address!r}" + (f", from {source!r}" if source else ""))
            self._extras().disarm_limit()
            self._channel_state &= ~CONNECTING
            raise

    def close(self) -> None:
        """Send what was written, then close. Nothing more is read, nothing more can be written."""
        state = self._channel_state
        if state & (CLOSING | CLOSED):
            return
        self.loop._check_thread()
        if not state & CONNECTED and not (state & CONNECTING and self._has_output()):
            self._finish(None)
            return
        self._channel_state = state | CLOSING
        self._seal()
        if state & CONNECTING:
            self._arm_close()
            return
        if self._waiting is None and (not state & LAYERED or state & BROKEN):
            self._end_orderly()
        elif state & BLOCKED:
            self._left_over()
        elif self.loop._turning is not self:
            self.loop._written_to(self)

    def write_eof(self) -> None:
        """Send what was written, then end the output (half-close). Reading goes on until the peer's end.

        Raises:
            RuntimeError: over TLS, which ends both directions together.
        """
        if self._channel_state & (SHUT | CLOSING | CLOSED):
            return
        if self._channel_state & LAYERED:
            raise RuntimeError(f"{self!r} cannot half-close: TLS ends both directions; use close()")
        self.loop._check_thread()
        self._channel_state |= SHUT
        self._seal()
        if self._waiting is None and self._channel_state & CONNECTED:
            self._output_over()

    def pause(self) -> None:
        """Read nothing until :meth:`resume`; handle_data is not called in between."""
        self.loop._check_thread()
        self._channel_state |= PAUSED
        self._update()

    def resume(self) -> None:
        """Read again."""
        self.loop._check_thread()
        if self._channel_state & PAUSED:
            self._channel_state &= ~PAUSED
            self._update()

    @property
    def paused(self) -> bool:
        """Whether reading is paused."""
        return self._channel_state & PAUSED != 0

    @property
    def all_sent(self) -> bool:
        """Whether the kernel has accepted all that was written, and all that producers and files hold."""
        return not self._has_output()

    def touch(self) -> None:
        """Restart ``idle_timeout`` from now; also needed after setting it on this object."""
        if self._channel_state & CLOSED:
            return
        more = self._extras()
        more.touched = self.loop.time()
        more.arm_idle(self)

    def start_tls(
        self,
        context: Any,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        handshake_timeout: float | None = 30.0,
    ) -> None:
        """Use TLS from here on, at the beginning or later (STARTTLS). :meth:`handle_secure` follows.

        What was written before is sent unencrypted, before the handshake; what is written afterwards is encrypted.
        *handshake_timeout* is in seconds, and counts from the connection if that is still under way.

        Raises:
            TypeError: *context* is no ``ssl.SSLContext``, or *server_hostname* no string.
            ValueError: the context is for the other side, or *server_hostname* is not a valid host name, or is missing.
            RuntimeError: TLS is in use already, ``write_eof`` was called, or a producer is still being sent.
        """
        from dispatch.tls import start

        check_seconds("handshake_timeout", handshake_timeout)
        start(self, context, server_side, server_hostname, handshake_timeout)

    @property
    def tls(self) -> Any:
        """The ``ssl.SSLObject`` after :meth:`start_tls`: peer's certificate, version, cipher; None without TLS."""
        return None if self._more is None or self._more.layer is None else self._more.layer.tls

    def statistics(self) -> StreamStatistics:
        """The counters at this moment."""
        from dispatch.statistics import StreamStatistics

        lost = 0 if self._more is None else self._more.lost
        state = self._channel_state
        return StreamStatistics(
            self.bytes_received, self.bytes_sent, self.queued, lost, state & PAUSED != 0, state & FULL != 0
        )

    # ---- the ends of things

    def _peer_finished(self) -> None:
        if self._channel_state & BROKEN:
            self._finish(self._extras().broken)
            return
        self._channel_state |= EOF
        self._plain = NEVER  # nor will there be another turn of the usual kind
        if self._channel_state & SHUT and self._waiting is None:
            try:
                self._call("handle_eof")
            finally:  # Ctrl-C: nothing would be heard of it again
                self._finish(None)
            return
        self._call("handle_eof")
        self._update()  # after it: most close there, and the poller need not hear of what ends at once

    def _timed_out(self, error: Timeout) -> None:
        """idle_timeout has passed."""
        try:
            self._call("handle_idle", error)
        finally:
            if not self._channel_state & CLOSED:
                more = self._extras()
                if self.idle_timeout is not None and more.touched + self.idle_timeout <= self.loop.time():
                    # It is kept, touched or not, or Ctrl-C has come: ask once more after as long a time, not at once.
                    more.touched = self.loop.time()
                more.arm_idle(self)

    # ---- state

    def _progress(self) -> object:
        return self.bytes_received, self.bytes_sent, self.queued, self._channel_state, self._bits

    def _update(self) -> None:
        state = self._channel_state
        if state & (CLOSED | RESTING) or self._fileno < 0:
            return
        bits = READ
        if state & SILENT and not (state & LAYERED and not state & EOF and self._extras().layer.shakes_hands):
            bits = 0
        if state & (BLOCKED | CONNECTING):
            bits |= OUT
        if bits != self._bits:
            if state & LAYERED and bits & IN and self._extras().layer.resumed(self):
                bits &= ~READ
            self.loop._want(self, bits)

    def _rest(self, seconds: float) -> None:
        self._channel_state |= RESTING
        self.loop._sleep(self)
        self.loop.call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._channel_state &= ~RESTING
        self._update()
        if self._channel_state & BROKEN:
            self._read_rest()

    def _adopt(self, sock: Any) -> None:
        """The connector has a connection for us."""
        self.socket = sock
        self._channel_state = (self._channel_state | CONNECTED) & ~CONNECTING
        more = self._extras()
        more.disarm_limit()
        more.connector = None  # they know each other; nobody should wait for the collector
        try:
            self.loop._join(self, 0 if self._channel_state & SILENT else READ)
        except OSError as error:
            self._finish(error)
            return
        if self.idle_timeout is not None:
            self.touch()
        # What was asked for before comes behind handle_connect, also if Ctrl-C comes in that.
        if self._channel_state & LAYERED:
            self.loop.call_soon(more.layer.begin, self)
        elif self._waiting is not None or self._channel_state & (SHUT | CLOSING):
            self.loop._unsent.append(self)
        if not self._channel_state & CLOSING:
            self._call("handle_connect")

    def _flush_later(self) -> None:
        state = self._channel_state
        if not state & CONNECTED:
            self._say_full()  # it waits for the connection, or there is none any more
            return
        self._spread_out()
        if state & BLOCKED:
            if self._waiting_bytes > self.high_water:
                self._left_over()
        elif self._waiting is not None or state & LAYERED:
            self._flush()
        elif state & (CLOSING | SHUT):
            self._output_over()

    def _output_over(self) -> None:
        if self._channel_state & CLOSING:
            if self._channel_state & LAYERED and not self._extras().layer.say_goodbye(self):
                return
            self._end_orderly()
            return
        try:
            self.socket.shutdown(_socket.SHUT_WR)
        except OSError:
            pass  # the peer is gone; reading will tell
        if self._channel_state & EOF:
            self._finish(None)
        else:
            self._update()

    def _out_broken(self, error: OSError) -> None:
        """Sending failed. What the peer sent before it went is still read, if we read at all."""
        error.with_traceback(None)  # its frames know all that was to be sent; nobody should wait for the collector
        if self._channel_state & LAYERED and self._extras().layer.said_goodbye:
            self._extras().staged = b""  # all that was written is out: the peer did not stay to hear that it was all
            self._waiting_bytes = 0
            self._finish(None)
            return
        self._lose_output()
        self._reset_at_close()  # a peer that lives, behind a route that is gone, must not take what it got for a whole
        if self._channel_state & (EOF | CLOSING | PAUSED):
            self._finish(self._extras().layer.last_word(self, error) if self._channel_state & LAYERED else error)
            return
        self._channel_state = (self._channel_state | BROKEN) & ~(FULL | PROMISED | HELD | BLOCKED)
        self._extras().broken = error
        self.loop.call_soon(self._read_rest)

    def _half_made(self) -> None:
        """Some of it may be lost: the peer must not take what it gets for a whole."""
        self._reset_at_close()
        self._finish(Aborted("Ctrl-C came while its output was made"))

    def _read_rest(self) -> None:
        """What has arrived by now is all that will: read it without waiting for the poller, which may have no more to say."""
        if not self._channel_state & CLOSED:
            if self._channel_state & PAUSED:
                self._finish(self._extras().broken)
            else:
                self._update()
                self._turn(IN)
                if not self._channel_state & RESTING:  # else it is come back to after the rest
                    self.loop.call_soon(self._read_rest)

    def _has_output(self) -> bool:
        return self._waiting is not None or (self._more is not None and bool(self._more.staged))

    def _lose_output(self) -> None:
        if self.queued:
            self._extras().lost += self.queued
        if self._channel_state & PRODUCING:
            for each in (*(self._waiting or ()), self._extras().staged):
                if hasattr(each, "give_back"):
                    each.give_back()  # now: a traceback that somebody keeps may know it
        if self._more is not None:
            self._more.staged = b""
            self._more.disarm_write()
        self._waiting = None
        self._waiting_bytes = 0

    def _end_orderly(self) -> None:
        """All is sent. Unread input would make the kernel send RST, which may overtake our last bytes: read it away."""
        if self._channel_state & BROKEN:
            self._finish(self._extras().broken)
            return
        left = self._drain
        try:
            while left > 0 and not self._channel_state & EOF:
                got = len(self.socket.recv(JOIN_BELOW))
                if not got:
                    break
                left -= got
        except OSError:
            pass  # nothing there (EAGAIN), or nobody
        self._finish(None)

    def _finish(self, reason: BaseException | None) -> None:
        if self._channel_state & CLOSED:
            return
        if self._has_output():
            self._lose_output()
            if self._channel_state & CONNECTED and not self._channel_state & BROKEN:
                # What was sent so far is not all: the peer must not take it for a whole. It gets RST instead of FIN.
                self._reset_at_close()
        more = self._more
        if more is not None:
            more.disarm()
            if more.connector is not None:
                more.connector.cancel()
                more.connector = None  # as in _adopt
            if more.listener is not None:
                more.listener._departed(self)
        Channel._finish(self, reason)

    def _reset_at_close(self) -> None:
        size = 2 if os.name == "nt" else 4  # Windows has two shorts there, others two ints
        try:
            # On, 0 s: close() drops what waits in the kernel too.
            linger = (1).to_bytes(size, sys.byteorder) + bytes(size)
            self.socket.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, linger)
        except OSError:
            pass

    def __repr__(self) -> str:
        peer = "" if self.addr is None else f" {self.addr}"
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._describe()}{peer} fd={self._fileno}>"
