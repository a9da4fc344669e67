"""How a stream gets connected: the addresses of a name, tried as in RFC 8305 (happy eyeballs).

Addresses of both families take turns, in the resolver's order. Each gets 250 ms before the next is tried in parallel, an
immediate refusal starts the next at once, and the first connection wins. Names are looked up by the network's ``getaddrinfo``,
which blocks: give an address, or look up beforehand, where that matters.
"""

from __future__ import annotations

import errno
import socket as _socket

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import ASLEEP, CLOSED, CONNECTING, Channel
from dispatch.errors import TRY_AGAIN, UNDER_WAY, Timeout, socket_error
from dispatch.interfaces import OUT, Address
from dispatch.sockets.addresses import for_a_socket, interleave, literal_family
from dispatch.sockets.nodelay import no_delay

if TYPE_CHECKING:
    from dispatch.stream import Stream
    from dispatch.timers import Timer

ATTEMPT_DELAY = 0.25  # seconds; "Connection Attempt Delay", RFC 8305 section 5
# Seconds until a full Unix listener is asked again: the kernel has no waiting state there (K-100).
QUEUE_FULL_DELAY = 0.05


class Connector:
    """The attempts of one stream."""

    __slots__ = ("_address", "_errors", "_family", "_next", "_open", "_timer", "source", "stream")

    def __init__(self, stream: Stream, address: Address, family: int | None, source: Address) -> None:
        self.stream = stream
        self._address = for_a_socket(address)
        self._family = family
        self.source = for_a_socket(source)  # the local address to connect from, if one was asked for
        self._next: list[tuple[int, Address]] = []  # those still to be tried
        self._open: list[Attempt] = []
        self._errors: list[tuple[Address, Exception]] = []
        self._timer: Timer | None = None

    def start(self) -> None:
        """Look the name up, and begin."""
        stream = self.stream
        if stream.connect_timeout is not None:
            more = stream._extras()
            more.limit = stream.loop.call_later(stream.connect_timeout, self._too_late, stream.connect_timeout)
        try:
            self._next = self._resolve()
        except OSError as error:
            error.add_note(f"the address to connect to is {self._address!r}")  # what it says names nobody
            self._give_up(error)
            return
        failed = self._attempt()
        if failed is not None:
            if not isinstance(failed, OSError):
                raise failed  # what is no address is the caller's error
            self._give_up(failed)

    def _resolve(self) -> list[tuple[int, Address]]:
        address, family = self._address, self._family
        if isinstance(address, (str, bytes)):
            return [(int(_socket.AF_UNIX), address)]
        host, port = address[0], address[1]
        literal = literal_family(host)
        if literal is not None and family in (None, literal) and isinstance(port, int):
            return [(literal, address)]
        found = self.stream.loop.network.getaddrinfo(host, port, family or 0, _socket.SOCK_STREAM)
        return interleave([(int(entry[0]), entry[4]) for entry in found])

    def _try_next(self) -> None:
        """The time of an attempt is over, or it has failed."""
        failed = self._attempt()
        if failed is not None:
            self._give_up(failed)

    def _attempt(self) -> Exception | None:
        """Start the next attempt, and the clock for the one after it. If there is none any more: the error to give up with."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._next:
            family, address = self._next.pop(0)
            try:
                attempt = Attempt(self, family, address)
            except Exception as error:  # noqa: BLE001 - to Python it may be no address, as the source is none of another family
                self._errors.append((address, error))
                continue
            self._open.append(attempt)
            if self._next:
                self._timer = self.stream.loop.call_later(ATTEMPT_DELAY, self._try_next)
            return None
        if self._open:
            return None
        if not self._errors:
            return _socket.gaierror(_socket.EAI_NONAME, "the look-up gave no address")  # some networks' own may
        errors = [error for _, error in self._errors]
        return next((error for error in reversed(errors) if isinstance(error, OSError)), errors[-1])

    def won(self, attempt: Attempt) -> None:
        """This attempt is connected: the others are not needed."""
        sock = attempt.let_go()
        self._open.remove(attempt)
        self.cancel()
        if self.stream._channel_state & CLOSED:
            sock.close()
        else:
            self.stream._adopt(sock)

    def lost(self, attempt: Attempt, error: OSError) -> None:
        """This attempt failed: on with the next, at once."""
        self._open.remove(attempt)
        self._errors.append((attempt.address, error))
        self._try_next()

    def cancel(self) -> None:
        """Nobody wants a connection any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next.clear()
        while self._open:
            self._open.pop()._finish(None)

    def _too_late(self, seconds: float) -> None:
        self._give_up(Timeout("connect", seconds, f"{self._address} did not answer"))

    def _give_up(self, error: Exception) -> None:
        for attempt in self._open:
            self._errors.append((attempt.address, socket_error(errno.ETIMEDOUT)))
        stream = self.stream
        error = _with_attempts(error, self._errors)
        tried = f" ({'; '.join(error.__notes__)})" if len(self._errors) > 1 else ""
        stream._unheard(f"could not connect: {error}{tried}")
        stream._finish(error)


class Attempt(Channel):
    """One socket that is being connected."""

    __slots__ = ("_connector", "address")

    def __init__(self, connector: Connector, family: int, address: Address) -> None:
        self._attach(connector.stream.loop)
        self._connector = connector
        self.address = address
        self._channel_state = CONNECTING
        self.socket = self.loop.network.socket(family, _socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            no_delay(self.socket, family)
            if connector.source is not None:
                self.socket.bind(connector.source)
            self._connect()
        except BaseException:
            self.socket.close()
            raise

    @property
    def background(self) -> bool:  # type: ignore[override]
        """It keeps the loop running if its stream will."""
        return self._connector.stream.background

    def _connect(self) -> None:
        code = self.socket.connect_ex(self.address)
        full = code in TRY_AGAIN and isinstance(self.address, (str, bytes))
        if code and not full and code not in UNDER_WAY:
            raise socket_error(code)
        if self._fileno < 0:
            self.loop._join(self, OUT)
        if full:
            self.loop._sleep(self)  # it is nowhere yet, and a poller would say so each time
            self.loop.call_later(QUEUE_FULL_DELAY, self._again)
        else:
            self.loop._want(self, OUT)

    def _again(self) -> None:
        if not self._channel_state & CLOSED:
            try:
                self._connect()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """Its loop is closed, and knows no more of the stream."""
        self._connector.stream.close()

    def abort(self, reason: BaseException | None = None) -> None:
        """As above, when there is no more time."""
        self._connector.stream.abort(reason)

    def _turn(self, bits: int) -> None:
        try:
            code = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        except OSError as error:
            self._fail(error)
            return
        if code:
            self._fail(socket_error(code))
        else:
            self._connector.won(self)

    def _fail(self, error: OSError) -> None:
        self._finish(error)
        self._connector.lost(self, error)

    def let_go(self) -> Any:
        """The socket, which is not this channel's any more."""
        sock, self.socket = self.socket, None
        if not self._bits & ASLEEP:
            self.loop.poller.forget(self._fileno)
            self._bits = ASLEEP
        self._finish(None)
        return sock


def _with_attempts(error: Exception, attempts: list[tuple[Address, Exception]]) -> Exception:
    """*error* with what each address answered, in ``attempts`` and in its notes."""
    error.attempts = list(attempts)  # type: ignore[attr-defined]
    for address, reason in attempts:
        error.add_note(f"{address}: {reason}")
    return error
