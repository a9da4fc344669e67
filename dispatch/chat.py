"""A stream cut into messages, by a terminator or by length. The cuts do not depend on how the bytes arrived."""

from __future__ import annotations

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import BUSY, CLOSED, CLOSING, HELD, PAUSED
from dispatch.interfaces import Address
from dispatch.limits import guard, guard_limits
from dispatch.log import dropped
from dispatch.observers import observers
from dispatch.stream import Stream

if TYPE_CHECKING:
    from dispatch.loop import Loop

STOP = PAUSED | HELD | CLOSING | CLOSED  # in these states no message is handed over
SKIPPING: Any = object()  # what it was cut by, while a message that was too long is thrown away
AT_ONCE = 1024  # messages in one turn: of empty lines one read brings a quarter of a million, and the other channels wait meanwhile


class MessageTooLong(ValueError):
    """A peer sent more than ``max_message`` bytes without a terminator, or announced so many."""


class _Left(Exception):
    """A message was left out, and the next one may be there."""


class Chat(Stream):
    """A stream that calls :meth:`handle_message` for each message. ``terminator`` may change at any time, for the bytes that follow."""

    __slots__ = ("__dict__", "_cutting", "_input", "_made", "_scanned", "_start", "_terminator", "_to_skip")

    #: What ends a message: bytes, a number of bytes, or None: whatever arrives is handed over as it comes.
    terminator: bytes | int | None = b"\r\n"
    #: The longest message, in bytes, by a number as well; a peer that sends a longer one is given up (:meth:`handle_too_long`).
    max_message = 1 << 20

    def __init__(self, sock: Any = None, *, addr: Address = None, loop: Loop | None = None) -> None:
        self._input: bytes | bytearray = b""
        self._start = 0  # where the next message begins in it
        self._scanned = 0  # up to where there is no terminator
        self._to_skip: int | bytes = 0  # of a message that is too long: so many bytes, or up to its terminator
        self._cutting = False
        self._made = False  # output, from the messages that were handed over last
        self._terminator = self.terminator
        super().__init__(sock, addr=addr, loop=loop)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        guard(cls, "terminator", lambda owner, name, value: check_terminator(value))
        guard_limits(cls, (), ("max_message",))

    # ---- what a subclass says

    def handle_message(self, data: bytes, /) -> None:
        """A message, without its terminator; it may be empty. By default: drop it, and log that once for the class."""
        if getattr(self.handle_message, "__func__", None) is Chat.handle_message:
            dropped(self, "handle_message", len(data))

    def handle_too_long(self, error: MessageTooLong, /) -> None:
        """A message is longer than ``max_message``. By default: abort the connection; if you keep it, the next message is delivered as usual.

        The long message is discarded: what has arrived of it, and what follows to its end. If you set another terminator here, the
        messages behind it are cut by that one.
        """
        self.abort(error)

    # ---- what a program does

    def set_terminator(self, terminator: bytes | int | None) -> None:
        """Use this terminator from here on, also for data that has already arrived. In ``handle_message`` an assignment does the same."""
        terminator = check_terminator(terminator)
        if not self._cutting:
            self.loop._check_thread()
        self.terminator = terminator
        self._cut_later()

    def get_terminator(self) -> bytes | int | None:
        """The current terminator."""
        return self.terminator

    def push(self, data: bytes | bytearray | memoryview) -> bool:
        """:meth:`write`, by asynchat's name."""
        return self.write(data)

    def push_with_producer(self, producer: Any) -> bool:
        """:meth:`write_from`, by asynchat's name."""
        return self.write_from(producer)

    def close_when_done(self) -> None:
        """:meth:`close`, by asynchat's name."""
        self.close()

    def resume(self) -> None:
        """Go on, beginning with the messages that have already arrived."""
        self._cut_later()
        super().resume()

    def start_tls(self, context: Any, **options: Any) -> None:
        """As for a stream. Unencrypted input that came after the request is discarded: it may have been injected."""
        super().start_tls(context, **options)
        self._input, self._start, self._scanned = b"", 0, 0
        self._terminator, self._to_skip = None, 0  # nor is anything left of what was too long

    @property
    def pending_input(self) -> bytes:
        """Data that has arrived and was not delivered yet."""
        return b"" if self._terminator is SKIPPING else bytes(self._input[self._start :])

    def _is_its_turn(self) -> bool:
        return self._cutting or super()._is_its_turn()

    # ---- cutting

    def handle_data(self, data: bytes, /) -> None:
        """Cut *data* into messages; override :meth:`handle_message` instead."""
        if self._start == len(self._input):
            self._input, self._start, self._scanned = data, 0, 0
        else:
            rest = self._input
            if type(rest) is not bytearray:
                rest = self._input = bytearray(memoryview(rest)[self._start :])
                self._scanned -= self._start
                self._start = 0
            rest += data
        if self._cutting:
            self._not_now()
        else:
            self._cut()

    def _not_now(self) -> None:
        """A handler turns the loop: what has come meanwhile waits until it has returned, and no more is read."""
        self._channel_state |= BUSY
        self._update()

    def _cut(self) -> None:
        """Hand over the messages that are complete, but not too many at once. One loop, however handlers come back into it."""
        self._cutting = True
        more = False
        try:
            for _ in _TIMES:
                if self._channel_state & STOP or self._start >= len(self._input):
                    break
                try:
                    message = self._next_message()
                    if message is None:
                        break
                    if observers:
                        self._call_raising("handle_message", message)
                    else:
                        self.handle_message(message)
                except _Left:
                    pass
                except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
                    self._failed("handle_message", error)
            else:
                more = self._start < len(self._input) and not self._channel_state & STOP
        except BaseException:  # Ctrl-C: the messages behind this one come when the loop goes on
            self._channel_state |= BUSY
            raise
        finally:
            self._cutting = False
            if self._channel_state & BUSY and not self._channel_state & CLOSED:  # a handler turned the loop
                more = False
                self.loop.call_soon(self._cut_again)
        if self._start == len(self._input):
            self._input, self._start, self._scanned = b"", 0, 0
        elif type(self._input) is bytearray and self._start > len(self._input) >> 1:
            del self._input[: self._start]  # amortised: never more bytes moved than were handed over
            self._scanned -= self._start
            self._start = 0
        if more:
            self._channel_state |= BUSY
            self._update()
            self.loop.call_soon(self._cut_again)

    def _next_message(self) -> bytes | None:
        buffer, start, terminator = self._input, self._start, self.terminator
        if terminator is not self._terminator:
            if self._terminator is SKIPPING and not self._skip():
                return None
            start = self._start
            terminator = self._terminator = check_terminator(terminator)
            self._scanned = start
            if start == len(buffer):
                return None  # nothing of the next message is here yet
        if isinstance(terminator, int):
            if terminator > self.max_message:
                self._leave_out(terminator, f"a message of {terminator} bytes")
                raise _Left
            end = after = start + terminator
            if end > len(buffer):
                return None
        elif terminator is None:
            end = after = len(buffer)
        else:
            end = buffer.find(terminator, self._scanned)
            after = end + len(terminator)
            if end < 0:
                # Look again from where the terminator may have begun already.
                self._scanned = begun = max(start, len(buffer) - len(terminator) + 1)
                if begun - start > self.max_message:
                    self._input, self._start, self._scanned = bytes(buffer[begun:]), 0, 0
                    self._leave_out(terminator, f"{len(buffer) - start} bytes without {terminator!r}")
                    raise _Left
                return None
            if end - start > self.max_message:
                self._start = self._scanned = after
                self._too_long(f"{end - start} bytes before {terminator!r}")
                raise _Left
        self._start = self._scanned = after
        return buffer[start:end] if type(buffer) is bytes else bytes(memoryview(buffer)[start:end])

    def _leave_out(self, end: int | bytes, what: str) -> None:
        """The next message, which ends after so many bytes or with a terminator, is too long; nobody need wait for all of it to know."""
        self._terminator, self._to_skip = SKIPPING, end
        self._too_long(what)

    def _skip(self) -> bool:
        """Throw away what is left of a message that was too long; False if its end is still to come."""
        end = self._to_skip
        if isinstance(end, int):
            here = min(end, len(self._input) - self._start)
            self._start = self._scanned = self._start + here
            self._to_skip = end - here
            return not self._to_skip
        at = self._input.find(end, self._start)
        if at < 0:
            self._input = bytes(self._input[max(self._start, len(self._input) - len(end) + 1) :])
            self._start = self._scanned = 0
            return False
        self._start = at + len(end)
        return True

    def _too_long(self, what: str) -> None:
        self._call("handle_too_long", MessageTooLong(f"{what}; max_message is {self.max_message}"))

    def _cut_later(self) -> None:
        """Bytes that are here already may be a message now. Nothing is read before: an error would be the end of them."""
        if self._start < len(self._input) and not self._cutting and not self._channel_state & (BUSY | CLOSED):
            self.loop.call_soon(self._cut_again)
            self._channel_state |= BUSY
            self._update()

    def _cut_again(self) -> None:
        if self._cutting:
            return
        if self._made:
            self._hold_back()  # as at the end of a turn that has read
        self._channel_state &= ~BUSY
        queued = self.queued
        self._cut()
        self._made = self._channel_state & BUSY != 0 and self.queued > queued
        self._update()

    def _peer_finished(self) -> None:
        """The end comes after the last message; if a handler pauses before it, the socket will say it again."""
        if self._cutting:
            self._not_now()
            return
        if not self._channel_state & STOP:
            self._cut()
        if not self._channel_state & (STOP | BUSY):
            super()._peer_finished()

    def _below_low_water(self) -> None:
        self._cut_later()
        super()._below_low_water()

    def _out_broken(self, error: OSError) -> None:
        super()._out_broken(error)
        self._cut_later()  # what held them back has gone


def check_terminator(terminator: Any) -> bytes | int | None:
    """*terminator*, if messages can be cut by it: the same object, by which it is known that nothing has changed."""
    if terminator is None:
        return None
    if isinstance(terminator, (bytes, bytearray)):
        if terminator:
            return terminator if isinstance(terminator, bytes) else bytes(terminator)
        raise ValueError("an empty terminator ends no message; use None to get what arrives as it comes")
    if isinstance(terminator, int) and not isinstance(terminator, bool):
        if terminator > 0:
            return terminator
        raise ValueError(f"{terminator=} is no length of a message; it must be 1 or more")
    raise TypeError(f"{terminator!r} cannot end a message: bytes, a number of bytes, or None can")


_TIMES = (None,) * AT_ONCE

guard(Chat, "terminator", lambda owner, name, value: check_terminator(value))
guard_limits(Chat, (), ("max_message",))
