"""How another thread, or a signal, ends the sleep of a loop: a byte on a socket pair that the loop polls."""

from __future__ import annotations

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import CONNECTED, Channel
from dispatch.interfaces import IN

if TYPE_CHECKING:
    from dispatch.loop import Loop


class Waker(Channel):
    """Both ends of the pair. Made when first needed: a loop that nobody wakes has two descriptors less."""

    __slots__ = ("_sender", "_told")

    background = True

    def __init__(self, loop: Loop) -> None:
        self._attach(loop)
        self._told = False
        receiver, self._sender = loop.network.socketpair()
        receiver.setblocking(False)
        self._sender.setblocking(False)
        self.socket = receiver
        self._channel_state = CONNECTED
        loop._join(self, IN)

    def wake(self) -> None:
        """End the sleep, now or before it begins. Any thread, any number of times."""
        if not self._told:
            self._told = True
            try:
                self._sender.send(b"\0")
            except OSError:
                pass  # the loop is closed, or the pair is full of bytes that will wake it

    def _turn(self, bits: int) -> None:
        try:
            self.socket.recv(4096)
        except OSError:
            pass
        finally:
            # After reading: who came in between has sent nothing, but its call is made in this turn. Before, its byte would be
            # read here with the others, and the next one would believe that the loop has been told.
            self._told = False

    def let_go(self) -> None:
        """Close both ends, in a forked child: the loop knows of it no more."""
        self.socket.close()
        self._sender.close()

    def _finish(self, reason: BaseException | None) -> None:
        self._sender.close()
        Channel._finish(self, reason)


def make_waker(loop: Loop) -> Waker:
    """The one that *loop* has, or a new one.

    Raises:
        RuntimeError: the loop was closed just now, by another thread.
    """
    if loop.closed:
        raise RuntimeError(f"{loop!r} is closed; it calls nobody any more")
    made = None if loop._waker else Waker(loop)
    if loop._waker is None:
        loop._waker = made
    elif made is not None:
        made._finish(None)  # a signal came meanwhile, whose handler needed one, too
    assert loop._waker is not None
    return loop._waker


class SignalCall:
    """A call that a signal makes; ``cancel()`` gives the signal back to who had it before."""

    __slots__ = ("_args", "_before", "_function", "_loop", "number")

    def __init__(self, loop: Loop, number: int, function: Any, args: tuple[Any, ...]) -> None:
        import signal

        self._loop = loop
        self.number = number
        loop._timer(0.0, function, args)  # refuses what cannot be called, here rather than in the handler
        self._function = function
        self._args = args
        try:
            self._before: Any = signal.signal(number, self)
        except TypeError as error:
            raise TypeError(f"{number!r} is no signal; give its number, as in signal.SIGTERM") from error
        except (ValueError, OSError) as error:
            raise ValueError(f"signal {number} cannot be caught here ({error}); ask in the main thread") from error

    def __call__(self, *_signum_and_frame: Any) -> None:
        """The signal has come. Python says so in the main thread, also while that sleeps in a poller (PEP 475)."""
        if self._function is not None:
            self._loop.call_soon_threadsafe(self._function, *self._args)
            return
        import signal

        if self._give_back():  # it could not when it was cancelled
            signal.raise_signal(self.number)

    def cancel(self) -> None:
        """Do not call any more."""
        if self._function is not None:
            self._function = None
            self._args = ()
            self._loop._signals.remove(self)
            try:
                self._give_back()
            except ValueError:
                pass  # the loop ends in another thread than the main one, which alone may do so: when the signal comes

    def _give_back(self) -> bool:
        """Whether the signal is now theirs who had it before; not if somebody else has taken it since."""
        import signal

        before: Any = self._before
        while isinstance(before, SignalCall) and before._function is None:
            before = before._before  # cancelled meanwhile
        now: Any = signal.getsignal(self.number)
        if before is None or now is not self:
            return False
        signal.signal(self.number, before)
        return True
