"""TLS over a stream, in memory: records in, records out, and no socket in between. So it runs on any network.

All data of a record is delivered even though the socket has nothing more. A connection that ends without close_notify
was cut off, and ``handle_close`` gets an SSLEOFError instead of a call of ``handle_eof``. Our own close sends
close_notify and does not wait for the peer's, which may never come. The exception is a client of TLS 1.3 to which the server has
sent nothing yet: it waits for the server's end, or for a moment after its first record. Otherwise the server's tickets would meet a
closed socket, whose reset discards what is not sent yet; and a server that does not trust the client's certificate says so no
earlier.
"""

from __future__ import annotations

import ssl

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import (
    BEHIND,
    BLOCKED,
    BROKEN,
    BUSY,
    CLOSED,
    CLOSING,
    CONNECTED,
    EOF,
    HELD,
    LAYERED,
    PAUSED,
    PRODUCING,
    SHUT,
)
from dispatch.errors import Timeout
from dispatch.input import SHORT_READS

if TYPE_CHECKING:
    from dispatch.extras import Extras
    from dispatch.stream import Stream

# seconds; Nagle's rule keeps a second ticket back until the first is acknowledged, 40 ms and a trip later
SECOND_RECORD = 0.5
AT_ONCE = 256  # records in one turn, as of one byte each; those that are full are as many as a turn reads
STOP = PAUSED | HELD | BUSY | EOF | CLOSING | CLOSED  # in these states no decrypted data is handed over
_TIMES = (None,) * AT_ONCE


def start(
    stream: Stream, context: ssl.SSLContext, server_side: bool, server_hostname: str | None, seconds: float | None
) -> None:
    """Put a layer between *stream* and its socket."""
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"start_tls() takes an ssl.SSLContext, not {context!r}")
    if context.protocol == (ssl.PROTOCOL_TLS_CLIENT if server_side else ssl.PROTOCOL_TLS_SERVER):
        have, need = ("clients", "SERVER") if server_side else ("servers", "CLIENT")
        raise ValueError(f"start_tls({server_side=}) got a context for {have}; make it with ssl.PROTOCOL_TLS_{need}")
    if server_hostname is not None and not isinstance(server_hostname, str):
        raise TypeError(f"{server_hostname=} must be a text, the name of the server")
    if context.check_hostname and not (server_side or server_hostname):
        raise ValueError(
            "start_tls() needs server_hostname: the context checks the name in the certificate, and OpenSSL checks none if told none"
        )
    stream.loop._check_thread()  # before anything of it is there
    if stream._channel_state & (CLOSING | CLOSED):
        return  # the peer may go at any time, and its program need not ask before
    if stream._channel_state & LAYERED:
        raise RuntimeError(f"{stream!r} speaks TLS already")
    if stream._channel_state & SHUT:
        raise RuntimeError(f"{stream!r} cannot begin a handshake after write_eof()")
    if stream._channel_state & PRODUCING:
        raise RuntimeError(f"{stream!r} still sends what a producer gives; start TLS when that is out")
    try:
        layer = Layer(context, server_side, server_hostname)
    except (TypeError, ValueError) as error:  # of the codec that names of hosts go through, or of C for a null
        raise ValueError(f"{server_hostname=} is no name of a host: {error}") from None
    more = stream._extras()
    stream._read_size = stream.read_size  # records are large
    stream._spread_out()
    if stream._waiting is not None:
        more.staged = b"".join(stream._waiting)  # written before: goes out in clear
        stream._waiting = None
    more.layer = layer
    layer.seconds = seconds
    stream._channel_state |= LAYERED
    if stream._channel_state & CONNECTED:
        layer.wait_for_peer(stream)
        stream.loop.call_soon(layer.begin, stream)


def start_first(stream: Stream, context: ssl.SSLContext) -> None:
    """Begin *stream*, which a listener has just had made, with a handshake: its greeting, or its refusal, goes out behind that."""
    stream._spread_out()
    out, stream._waiting = stream._waiting, None
    kept = stream._channel_state & (CLOSING | PRODUCING)
    stream._channel_state &= ~kept
    try:
        stream.start_tls(context, server_side=True)
    finally:
        stream._waiting = out
        stream._channel_state |= kept


class Layer:
    """The TLS state of one stream."""

    __slots__ = (
        *("_held", "_incoming", "_outgoing", "_pumping", "_silent", "_stays", "_unread"),
        *("deadline", "open", "said_goodbye", "seconds", "tls"),
    )

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        # Some Pythons (3.11.2 is one) have OpenSSL 3 take a connection that was cut off for one that was closed.
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self.open = False  # the handshake is done
        self.seconds: float | None = None  # that the handshake may take, from when there is a connection
        self.deadline: Any = None
        self._held = b""  # written, but not encrypted yet
        self.said_goodbye = False  # our close_notify is on its way, behind all else
        self._silent = False  # the server, to a client of TLS 1.3
        self._stays = False  # this client, until it has said something
        self._unread = False  # records have been read that were not handed over
        self._pumping = False

    # ---- input

    def readable(self, stream: Stream) -> None:
        """The socket has records for us."""
        try:
            data = stream.socket.recv(stream._read_size)
        except OSError as error:
            stream._read_failed(error)
            return
        if data:
            stream.bytes_received += len(data)
            more = stream._extras()
            if len(data) == stream._read_size:
                more.grown = SHORT_READS
            if more.grown:
                stream._adapt(len(data))
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        if self._stays:
            self._heard(stream, data)
            return
        self._unread = True
        self.pump(stream)

    def begin(self, stream: Stream) -> None:
        """The first step of the handshake: a client speaks first."""
        if not stream._channel_state & CLOSED:
            self.wait_for_peer(stream)
            stream._update()  # closed or paused before it was connected, it is read for the handshake all the same
            if stream._channel_state & EOF and not stream._channel_state & BLOCKED:
                stream._flush_staged()  # what was written before: the peer may still read
                self._incoming.write_eof()  # its half of a handshake will not come
            self.pump(stream)
            if not stream._channel_state & (CLOSED | BLOCKED):
                stream._flush_staged()

    def wait_for_peer(self, stream: Stream) -> None:
        """There is a connection: from now on the handshake may take so long."""
        if self.seconds is not None and self.deadline is None and not self.open:
            error = Timeout("handshake", self.seconds, "the TLS handshake was not finished")
            self.deadline = stream.loop.call_later(self.seconds, stream.abort, error)

    def resumed(self, stream: Stream) -> bool:
        """Reading goes on: hand over what was read already, in a moment of its own. Whether there is any; an error read before would be its end."""
        if self._unread and not self._pumping:
            stream.loop.call_soon(self._pump_later, stream)
            self._pumping = True
        if not self._pumping or stream._channel_state & STOP:
            return False  # nobody takes it, and the peer's next record is waited for
        stream._channel_state |= BEHIND
        return True

    def _pump_later(self, stream: Stream) -> None:
        self._pumping = False
        stream._channel_state &= ~BEHIND
        if not stream._channel_state & STOP:
            queued = stream.queued
            self.pump(stream)
            if not stream._channel_state & CLOSED:
                made = stream.queued > queued
                if not stream._channel_state & BLOCKED:
                    stream._flush_staged()
                if made:
                    stream._hold_back()  # as at the end of a turn
        stream._update()

    def pump(self, stream: Stream) -> None:
        """Hand over what can be decrypted."""
        try:
            if not self.open:
                self.tls.do_handshake()
                self.open = True
                self._silent = self.tls.version() == "TLSv1.3" and not self.tls.server_side
                if self.deadline is not None:
                    self.deadline.cancel()
                stream._update()  # it may have been read only for the handshake
                stream._call("handle_secure")
            for _ in _TIMES:
                if stream._channel_state & STOP:
                    return
                data = self.tls.read(262144)
                if not data:
                    self._peer_finished(stream)
                    return
                self._silent = False
                stream._hand_over(data)
            if not stream._channel_state & STOP:
                # There may be more. The other channels have their turn first, and until then nothing is read.
                stream._channel_state |= BEHIND
                stream._update()
                self.resumed(stream)
        except ssl.SSLWantReadError:
            self._unread = False
        except ssl.SSLZeroReturnError:
            self._peer_finished(stream)
        except ssl.SSLError as error:
            self._broken(stream, error)
        except BaseException:
            # Ctrl-C in a handler: what is to be said, and what was read, is not forgotten if the loop goes on.
            stream.loop._unsent.append(stream)
            self.resumed(stream)
            raise

    def _peer_finished(self, stream: Stream) -> None:
        if not stream._channel_state & (EOF | CLOSED):
            stream._peer_finished()
        self._unread = not stream._channel_state & (EOF | CLOSED)  # a Chat that was paused before it is told once more

    def _broken(self, stream: Stream, error: ssl.SSLError) -> None:
        """Cut off, or no TLS, or not to be trusted: send the alert if there is one, and give up."""
        if stream._channel_state & CLOSED:
            return
        if error.reason == "UNEXPECTED_EOF_WHILE_READING" and not isinstance(error, ssl.SSLEOFError):
            error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, str(error))  # as Pythons after 3.11.2 call it
        if stream._channel_state & BROKEN and isinstance(error, ssl.SSLEOFError):
            stream._finish(stream._extras().broken)  # all has been read, and no alert was there
            return
        alert = self._outgoing.read()
        if alert and not stream._channel_state & (BLOCKED | BROKEN):
            try:
                stream.socket.send(alert)
            except OSError:
                pass
        stream._lose_output()
        if not self.open and not self.tls.server_side:  # a server hears this whenever somebody knocks who speaks no TLS
            stream._unheard(f"got no TLS: {error}")
        stream._finish(error)

    def last_word(self, stream: Stream, error: OSError) -> OSError:
        """Why the peer went, if it said so before sending failed with *error*: its alert. Data that came before it is thrown away."""
        left = stream._drain
        try:
            while left > 0 and (data := stream.socket.recv(stream._read_size)):
                self._incoming.write(data)
                left -= len(data)
        except OSError:
            pass  # all is read
        try:
            if not self.open:
                self.tls.do_handshake()
            while self.tls.read(262144):
                pass
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as alert:
            return alert
        return error

    # ---- output

    def encrypt(self, data: bytes) -> None:
        """Turn *data* into records."""
        view = memoryview(data)
        try:
            while view:
                view = view[self.tls.write(view) :]
        except ssl.SSLWantReadError:
            self._held = bytes(view)  # a renegotiation: the peer's records are needed first

    @property
    def shakes_hands(self) -> bool:
        """Whether the peer's records are needed, though the program wants to read nothing: to send what it wrote, or to be in time."""
        return not self.open or self._stays

    @property
    def accepts(self) -> bool:
        """Whether there is somewhere to put what the program writes."""
        return self.open and not self._held

    def take_output(self, more: Extras) -> bool:
        """Move records, handshake and alerts included, to where they are sent from."""
        if self._held:
            data, self._held = self._held, b""
            self.encrypt(data)
        more.staged = self._outgoing.read()
        return bool(more.staged)

    def say_goodbye(self, stream: Stream) -> bool:
        """Send close_notify; True when it is out and the connection may be closed."""
        if self.said_goodbye or not self.open:
            return not self._stay(stream)
        self.said_goodbye = True
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # the peer's answer is not waited for
        if not self._outgoing.pending:
            return not self._stay(stream)
        stream._flush_staged()
        return False

    def _stay(self, stream: Stream) -> bool:
        """All is out. Whether the connection is kept until the server has said something, as long as output may take after close()."""
        if self._silent and not self._stays and not stream._channel_state & (EOF | BROKEN):
            self._stays = True
            stream._extras().disarm_limit()
            self._stay_for(stream, stream.close_timeout)
            stream._update()
        return self._stays

    def _stay_for(self, stream: Stream, seconds: float | None) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        if seconds is not None:
            self.deadline = stream.loop.call_later(seconds, stream._end_orderly)

    def _heard(self, stream: Stream, data: bytes) -> None:
        """A record of the server's, or its end. Of what it says only an alert matters any more."""
        try:
            if data:
                self.tls.read(len(data))
        except ssl.SSLWantReadError:
            self._stay_for(stream, SECOND_RECORD)
        except ssl.SSLZeroReturnError:
            stream._end_orderly()
        except ssl.SSLError as error:
            self._broken(stream, error)
        else:
            stream._end_orderly()
