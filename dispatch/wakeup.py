"""How another thread, or a signal, wakes a sleeping loop: a byte on a socket pair that the loop polls."""

from __future__ import annotations

import os

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.errors import TRY_AGAIN
from dispatch.interfaces import IN

if TYPE_CHECKING:
    from dispatch.loop import Loop


class Waker:
    """What the loop polls beside its channels, of which it is none: a program may list those, and write to them, or close them.

    Both ends of the pair. Made when first needed, or on poll and select before the first sleep: else a loop that nobody wakes has two
    descriptors less.
    """

    __slots__ = ("_ends", "_loop", "_sender", "_told", "fd", "socket")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._told = False
        receiver, self._sender = loop.network.socketpair()
        receiver.setblocking(False)
        self._sender.setblocking(False)
        self.socket: Any = receiver
        self.fd: int = receiver.fileno()
        self._ends = _identity(receiver), _identity(self._sender)
        loop._make_way(self.fd, receiver)
        try:
            loop.poller.watch(self.fd, IN)
        except OSError:  # select cannot watch its number
            self.let_go()
            raise

    def wake(self) -> None:
        """End the sleep, now or before it begins. Any thread, any number of times."""
        if not self._told:
            self._told = True
            try:
                if self._ends[1] == _identity(self._sender):
                    self._sender.send(b"\0")
                elif not self._loop.closed:
                    self._lost()
                    self._loop._the_waker().wake()
            except (OSError, RuntimeError):
                pass  # the loop is closed, or the pair is full of bytes that will wake it

    def woken(self) -> None:
        """The loop is awake, and makes the calls that it was asked for."""
        try:
            if self._ends[0] == _identity(self.socket):
                self.socket.recv(4096)
            else:
                self._lost()
        except OSError as error:
            if error.errno not in TRY_AGAIN:
                self._lost()  # poll(2) and select(2) would say so for ever
        finally:
            # After reading: who came in between has sent nothing, but its call is made in this turn. Before, its byte would be
            # read here with the others, and the next one would believe that the loop has been told.
            self._told = False

    def make_way(self, fd: int) -> None:
        """The number *fd* is of another's socket now: one of the pair had it, if that was closed behind our back."""
        if fd in (self.fd, self._sender.fileno()):
            self._lost()

    def _lost(self) -> None:
        """Who next wants to wake the loop makes another. The numbers of this one may be anybody's: they are not closed."""
        self._loop.poller.forget(self.fd)
        self._loop._waker = None
        self.socket.detach()
        self._sender.detach()

    def let_go(self) -> None:
        """Close both ends, of which the loop knows nothing: it took none, or this is a forked child."""
        self.socket.close()
        self._sender.close()

    def end(self) -> None:
        """The loop is closed, or has another."""
        self._loop.poller.forget(self.fd)
        self.let_go()


def _identity(sock: Any) -> object:
    """What tells *sock* from another under its number; None if nothing does, as in a simulation, or if nobody has the number.

    A daemon closes all numbers that it does not know. Who has them next must not be written to, nor be read.
    """
    try:
        stat = os.fstat(sock.fileno())
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def make_waker(loop: Loop) -> Waker:
    """The one that *loop* has, or a new one.

    Raises:
        RuntimeError: the loop was closed just now, by another thread.
    """
    if loop.closed:
        raise RuntimeError(f"{loop!r} is closed; it makes no more calls")
    made = None if loop._waker else Waker(loop)
    if loop._waker is None:
        loop._waker = made
    elif made is not None:
        made.end()  # a signal came meanwhile, whose handler needed one, too
    assert loop._waker is not None
    return loop._waker


class SignalCall:
    """A call that a signal makes. Of several for one signal each is made; who had it before has it back when all are cancelled."""

    __slots__ = ("_args", "_before", "_cancelled", "_function", "_loop", "number")

    def __init__(self, loop: Loop, number: int, function: Any, args: tuple[Any, ...]) -> None:
        import signal

        if isinstance(number, bool) or not isinstance(number, int):  # Python 3.11 would take 15.0, and fail at the end
            raise TypeError(f"{number!r} is no signal; give its number, as in signal.SIGTERM")
        self.number = number
        self._loop, self._function, self._args = loop, function, args
        self._cancelled = False
        self._before: Any = None  # who had the signal
        loop._timer(0.0, function, args)  # refuses what cannot be called, here rather than in the handler
        try:
            self._before = signal.signal(number, self)
        except OSError as error:
            raise ValueError(f"signal {number} cannot be caught: the system lets no program do that") from error
        except (ValueError, OverflowError) as error:  # its number, or the thread
            remedy = "ask in the main thread" if "thread" in str(error) else "give its number, as in signal.SIGTERM"
            raise ValueError(f"signal {number} cannot be caught here ({error}); {remedy}") from error
        each: Any = self
        while isinstance(each, SignalCall):  # nobody is kept who is over, however many have come and gone
            each._before = heir = _heir(each._before)
            each = heir

    @property
    def _over(self) -> bool:
        return self._cancelled or self._loop.closed

    def __call__(self, *_signum_and_frame: Any) -> None:
        """The signal's handler. Python runs it in the main thread, also while that sleeps in a poller (PEP 475)."""
        each: Any = self
        over = True
        calls = []
        while isinstance(each, SignalCall):
            if not each._over:
                over = False
                calls.append(each)
            each = each._before
        for call in reversed(calls):
            try:
                call._loop.call_soon_threadsafe(call._function, *call._args)
            except RuntimeError:
                pass  # another thread has closed its loop just now
        if over and self._give_back():  # they were cancelled in another thread, which cannot
            import signal

            signal.raise_signal(self.number)

    def cancel(self) -> None:
        """Do not call any more."""
        if not self._cancelled:
            self._cancelled = True
            self._loop._signals.remove(self)
            self._give_back()

    def _give_back(self) -> bool:
        """Let who had the signal have it, past all that are over; whether that could be done."""
        import signal

        now = signal.getsignal(self.number)
        heir = _heir(now)
        if heir is now or heir is None:
            return False  # somebody else took it meanwhile; or had it before, from outside of Python
        try:
            signal.signal(self.number, heir)
        except ValueError:
            return False  # this is not the main thread: the next signal will
        return True


def _heir(handler: Any) -> Any:
    """*handler*, or who had the signal before it and those after it that are over."""
    while isinstance(handler, SignalCall) and handler._over:
        handler = handler._before
    return handler
