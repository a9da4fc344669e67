"""What a loop serves: a descriptor, the bits it is polled for, a turn when one of them is ready, and one end.

Rules that every channel keeps, whatever is built on it:

- It joins one loop, and leaves it once. ``handle_close(reason)`` is called after that, by itself: never inside
  the turn of another channel, never twice, and no other handler is called after it.
- An exception in a handler goes to ``handle_error(error)`` of its channel. If that fails too, the channel is closed and
  the loop goes on. Only what is not an ``Exception`` (Ctrl-C, SystemExit) leaves the loop.
"""

from __future__ import annotations

from dispatch.annotations import TYPE_CHECKING, Any, ClassVar
from dispatch.checks import (
    called_by_asyncio,
    called_elsewhere,
    meant_by,
    misfit,
    refuse_no_function,
    refuse_private_names,
    refuse_waiting,
    tell_what_is_there_instead,
)
from dispatch.current import current_loop
from dispatch.errors import Aborted
from dispatch.log import named
from dispatch.observers import observers

if TYPE_CHECKING:
    from dispatch.loop import Loop

# States, bits of Channel._channel_state.
CONNECTING = 1
CONNECTED = 2
ACCEPTING = 4
EOF = 8  # the peer has finished; it may still read
PAUSED = 16  # the program does not want to read
FULL = 32  # too much output waits, and handle_full was told
CLOSING = 64  # close() was called, output is still going out
CLOSED = 128
SHUT = 256  # our half is closed
BROKEN = 512  # sending failed; what the peer had sent before is still read
LAYERED = 1024  # bytes pass through TLS
BLOCKED = 2048  # the kernel took less than was offered; room is waited for
PRODUCING = 4096  # a producer is in the output queue
RESTING = 8192  # the kernel had no memory for us; it is left alone for a moment
HELD = 16384  # nothing is read until output has gone: what was read made it
PROMISED = 32768  # write() has said that too much waits: handle_drained follows
BUSY = 65536  # of a Chat: nothing is read until the messages that are here are handed over, some in each turn
BEHIND = 131072  # of TLS: the same, of records

ASLEEP = 1 << 30  # bit of Channel._bits: the poller does not know the descriptor
# Handlers of asyncore and asynchat, which somebody may have brought along.
ASYNCORES = (
    *("handle_read", "handle_write", "handle_expt", "handle_accept", "handle_accepted"),
    *("collect_incoming_data", "found_terminator"),
)
NEVER = -1  # value of Channel._plain: no poller reports such bits


class Channel:
    """What all channels have in common. Subclasses define what a turn does."""

    __slots__ = ("_bits", "_born", "_channel_state", "_fileno", "_plain", "loop", "socket")

    #: A channel that does not keep ``Loop.run()`` running by itself.
    background: ClassVar[bool] = False

    loop: Loop
    socket: Any
    _fileno: int
    _bits: int
    _born: int  # the loop's turn in which it joined: what was polled by then is another's
    _channel_state: int
    _plain: int  # the bits with which its turn is the one that delivery.py has written out

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] == "dispatch" or Channel in cls.__bases__:
            return  # a new kind of channel has to say what a turn is
        refuse_private_names(cls)
        for kind in cls.__mro__:
            if kind is cls or not issubclass(kind, Channel):  # what is mixed in has handlers, too
                for name, value in vars(kind).items():
                    if name.startswith("handle_") and getattr(cls, name) is value:
                        refuse_waiting(f"{kind.__name__}.{name}", value)
                        refuse_no_function(cls, name, value)
        for name, value in vars(cls).items():
            if any(hasattr(base, name) for base in cls.__bases__):
                if told := misfit(cls, name, value):
                    _warn(told)
            elif name in ASYNCORES:
                _warn_of(cls, name)
            elif other := called_elsewhere(cls, name):
                _warn(f"{cls.__name__}.{name} is a handler of dispatch.{other}'s, which is not called here")
            elif here := called_by_asyncio(cls, name):
                _warn(f"{cls.__name__}.{name} is a handler of asyncio's, which is not called here; here it is {here}")
            elif meant := meant_by(cls, name):
                _warn(f"nothing here uses {cls.__name__}.{name}; did you mean {meant}?")

    def _attach(self, loop: Loop | None) -> None:
        """Belong to *loop* (None: the current one), without a socket yet."""
        if loop is None:
            loop = current_loop()
        closed = getattr(loop, "closed", None)
        if closed is not False and closed is not True:  # of the class Loop it is neither
            raise TypeError(f"{loop=} is no dispatch.Loop; None means the current one")
        if closed:
            raise RuntimeError(f"{loop!r} is closed; a channel needs a loop that will run")
        self.loop = loop
        self.socket = None
        self._fileno = -1
        self._bits = ASLEEP
        self._plain = NEVER
        self._channel_state = 0

    def fileno(self) -> int:
        """The descriptor; -1 before there is a socket and after the close."""
        return self._fileno

    @property
    def connected(self) -> bool:
        """Whether the connection is up."""
        return self._channel_state & CONNECTED != 0

    @property
    def connecting(self) -> bool:
        """Whether a connect is under way."""
        return self._channel_state & CONNECTING != 0

    @property
    def accepting(self) -> bool:
        """Whether this channel listens."""
        return self._channel_state & ACCEPTING != 0

    @property
    def closing(self) -> bool:
        """Whether ``close()`` was called; true until and after the end."""
        return self._channel_state & (CLOSING | CLOSED) != 0

    @property
    def closed(self) -> bool:
        """Whether the channel has left its loop for good."""
        return self._channel_state & CLOSED != 0

    def handle_close(self, reason: BaseException | None, /) -> None:
        """The channel is closed. *reason* is None after an orderly end, else the error that ended it."""

    def handle_error(self, error: Exception, /) -> None:
        """A handler of this channel raised *error*. By default: log it with its traceback, and abort the channel."""
        self.loop.log_exception(f"{named(self)} is given up: a handler failed", error)
        self.abort(error)

    def abort(self, reason: BaseException | None = None) -> None:
        """Close at once; output that waits is lost. ``handle_close`` gets *reason*."""
        if reason is not None and not isinstance(reason, BaseException):
            raise TypeError(f"{reason=} must be an exception, since handle_close gets one; or None")
        self.loop._check_thread()
        self._finish(Aborted("abort() was called") if reason is None else reason)

    def _turn(self, bits: int) -> None:
        """Deal with *bits*, as the poller reported them. Lets no Exception out."""
        raise NotImplementedError

    def close(self) -> None:
        """End this channel in an orderly way."""
        self.loop._check_thread()
        self._finish(None)

    def _progress(self) -> object:
        """Something that differs when a turn has achieved anything; None: cannot be told. For debug mode."""
        return None

    def _ask(self) -> None:
        """For channels that are asked each turn: find out what to poll for."""

    def _call(self, name: str, *args: Any) -> None:
        """Run a handler; the loop goes on whatever it does."""
        try:
            if observers:
                self._call_raising(name, *args)
            else:
                getattr(self, name)(*args)
        except Exception as error:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            self._failed(name, error)

    def _call_raising(self, name: str, *args: Any) -> None:
        """Run a handler under the eyes of the observers."""
        for observer in observers:
            observer.event(self, name)
        getattr(self, name)(*args)
        for observer in observers:
            observer.handled(self, name)

    def _failed(self, name: str, error: Exception) -> None:
        """A handler raised: hand it to handle_error, and survive that as well."""
        if isinstance(error, AttributeError):
            tell_what_is_there_instead(self, error)
        for observer in observers:
            observer.raised(self, name, error)
        try:
            self.handle_error(error)
        except Exception as second:  # noqa: BLE001 - a handler may raise anything, the loop goes on
            for observer in observers:
                observer.raised(self, "handle_error", second)
            self.loop.log_exception(f"{named(self)} is given up: its handle_error failed as well", second)
            self._finish(second)

    def _turn_failed(self, error: Exception) -> None:
        """Its turn let *error* out: a socket that answers what no socket does, or an attribute that cannot be. It costs this channel only."""
        for observer in observers:
            observer.raised(self, "turn", error)
        self.loop.log_exception(f"{named(self)} is given up: its turn failed", error)
        self._finish(error)

    def _finish(self, reason: BaseException | None) -> None:
        """The one way out: leave the loop, close the socket, have ``handle_close`` called soon."""
        if self._channel_state & CLOSED:
            return
        self._channel_state = (self._channel_state | CLOSED) & ~(CONNECTED | CONNECTING | ACCEPTING)
        self.loop._leave(self, reason)
        if self.socket is not None:
            try:
                self.socket.close()
            except OSError:
                pass  # Linux frees the descriptor whatever it says (close(2)); the peer's RST may be reported here

    def _unheard(self, what: str) -> None:
        """There will be no connection: if no ``handle_close`` will hear of it, a program would end, or wait, without a word."""
        if getattr(self.handle_close, "__func__", None) is Channel.handle_close:
            self.loop.log_warning(f"{named(self)} {what}; handle_close(reason) would hear of it")

    def _describe(self) -> str:
        for bit, word in _WORDS:
            if self._channel_state & bit:
                return word
        return "new"

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self._describe()} fd={self._fileno}>"


_WORDS = (
    (CLOSED, "closed"),
    (CLOSING, "closing"),
    (ACCEPTING, "listening"),
    (CONNECTING, "connecting"),
    (CONNECTED, "connected"),
)


def _warn_of(cls: type, name: str) -> None:
    """Say that nobody will call the handler *name* of *cls*, and who is called."""
    called = (each for each in dir(cls) if each.startswith("handle_") and each not in ASYNCORES)
    _warn(f"{cls.__name__}.{name} is a handler of asyncore's, which is not called here; called are {', '.join(called)}")


def _warn(text: str) -> None:
    """Say it at the line of the user's `class`."""
    import sys
    import warnings

    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("dispatch."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, RuntimeWarning, stacklevel=level)
