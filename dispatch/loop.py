"""Poll, deliver, repeat. What a turn costs depends on what is ready, not on how many channels there are.

A turn is: sleep in the poller until something is ready or due; give each ready channel its turn; make the calls that are
due; send what was written outside its writer's turn; call ``handle_close`` of the channels that ended. Two rules keep events
with their owners: a channel that joined during this turn gets no event that was polled before, and events that a channel no
longer asks for are masked. The loop blocks in its poller's ``poll`` and nowhere else.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable
from contextvars import Token

from dispatch.annotations import TYPE_CHECKING, Any
from dispatch.channel import ASLEEP, NEVER, Channel
from dispatch.checks import a_time, check_flag, check_seconds, refuse_what_waits
from dispatch.current import current, current_loop, enter, leave
from dispatch.delivery import admit, deliver
from dispatch.ending import end_all, give_up, shut
from dispatch.errors import Aborted
from dispatch.forks import making, remember
from dispatch.interfaces import Network, Poller, current_network
from dispatch.log import log_exception, log_warning, named
from dispatch.observers import Observer, observers
from dispatch.timers import LONGEST, Repeat, Timer, Timers

if TYPE_CHECKING:
    from dispatch.wakeup import SignalCall, Waker
    from dispatch.watchful import Watch

__all__ = ["Loop", "Observer", "current_loop", "observers"]


class Loop:
    """One poller and the channels it serves. For use in one thread, except for ``call_soon_threadsafe``."""

    __slots__ = (
        "__weakref__",
        "_aside",
        "_asked",
        "_background",
        "_ended",
        "_now",
        "_newcomers",
        "_poller_name",
        "_signals",
        "_soon",
        "_stopping",
        "_thread",
        "_timers",
        "_tokens",
        "_turn_number",
        "_turning",
        "_unsent",
        "_waker",
        "_watch",
        "channels",
        "closed",
        "closing",
        "network",
        "poller",
        "running",
    )

    def __init__(
        self, network: Network | None = None, poller: str | Poller | None = None, *, debug: bool = False
    ) -> None:
        """*network* is what it runs on (None: the current one), *poller* a name or an object of that shape.

        With *debug*, slow handlers and channels that spin are logged, and every ``write`` refuses other threads.
        """
        self.network = current_network() if network is None else network
        if not hasattr(self.network, "poller") or not hasattr(self.network, "monotonic"):
            raise TypeError(f"{network=} has not the shape of dispatch.interfaces.Network; None means the current one")
        self.poller: Poller
        self._poller_name: str | None = None
        if poller is None or isinstance(poller, str):
            self.poller = self.network.poller(poller)
            self._poller_name = self.poller.name
        elif hasattr(poller, "watch") and hasattr(poller, "poll"):
            self.poller = poller
        else:
            raise TypeError(f"{poller=} must be a name such as 'poll', or have the shape of dispatch.interfaces.Poller")
        #: The channels by descriptor.
        self.channels: dict[int, Channel] = {}
        self.closed = self.running = False
        self.closing = False  # since close() was called; true until and after the end
        self._thread = 0  # in which it runs; 0 while it does not
        self._stopping = False
        self._asked: dict[int, Channel] = {}  # those that are asked each turn what to poll for
        self._aside: set[int] = set()  # descriptors of channels that do not keep the loop running
        self._background = 0  # how many those are
        self._turn_number = 0
        self._now = 0.0  # when the last poll returned, on the network's clock; kept while there are timers
        self._turning: Channel | None = None  # whose turn it is: what it writes goes out when its turn ends
        self._newcomers: list[Any] = []  # streams that joined since the last poll
        self._unsent: deque[Any] = deque()  # streams written to outside their own turn
        self._ended: deque[tuple[Channel, BaseException | None]] = deque()
        self._soon: deque[Timer] = deque()
        self._timers = Timers()
        self._tokens: list[Token[Loop]] = []
        self._waker: Waker | None = None
        self._signals: list[SignalCall] = []
        self._watch: Watch | None = None
        check_flag("debug", debug)
        if debug:
            from dispatch.watchful import Watch

            self._watch = Watch()
        remember(self)

    # ---- time and calls

    def time(self) -> float:
        """The loop's clock in seconds, which ``call_at`` goes by."""
        return self.network.monotonic()

    def call_soon(self, function: Callable[..., object], *args: Any) -> Timer:
        """Call in the next pass, in the order of these requests."""
        self._check_thread()
        timer = self._timer(0.0, function, args)
        self._soon.append(timer)
        return timer

    def call_later(self, delay: float, function: Callable[..., object], *args: Any) -> Timer:
        """Call in *delay* seconds; ``cancel()`` of the result calls it off."""
        if type(delay) is not float:
            delay = a_time("delay", delay)
        return self.call_at(self.network.monotonic() + delay, function, *args)

    def call_at(self, when: float, function: Callable[..., object], *args: Any) -> Timer:
        """Call when the loop's clock shows *when*; in the next pass if that is past."""
        if type(when) is not float:
            when = a_time("when", when, "seconds on the clock of Loop.time()")
        self._check_thread()
        timer = self._timer(when, function, args)
        self._timers.add(timer)
        return timer

    def call_every(self, interval: float, function: Callable[..., object], *args: Any) -> Timer:
        """Call every *interval* seconds, the first time after one. Missed times are skipped.

        Raises:
            ValueError: *interval* is not above 0; the loop would do nothing else.
        """
        seconds = a_time("interval", interval)
        if not seconds > 0:
            raise ValueError(f"{interval=} is not above 0; call_soon repeats at once")
        self._check_thread()
        self._timer(0.0, function, args)
        repeat = Repeat(self.time() + seconds, function, args, seconds)
        self._timers.add(repeat)
        return repeat

    def call_soon_threadsafe(self, function: Callable[..., object], *args: Any) -> Timer:
        """Call in the next pass, and end the loop's sleep. The one method for other threads and signal handlers."""
        timer = self._timer(0.0, function, args)
        waker = self._the_waker()  # before: who is told that it cannot be had makes no call
        self._soon.append(timer)
        waker.wake()
        return timer

    def call_on_signal(self, number: int, function: Callable[..., object], *args: Any) -> SignalCall:
        """Call in the next pass after each signal *number*, until ``cancel()`` or the loop is closed. It does not keep ``run`` running.

        Call it in the main thread, even for a loop that runs in another.

        Raises:
            ValueError: not in the main thread, or not a signal that can be caught.
        """
        from dispatch.wakeup import SignalCall

        self._the_waker()
        call = SignalCall(self, number, function, args)
        self._signals.append(call)
        return call

    def _timer(self, when: float, function: Callable[..., object], args: tuple[Any, ...]) -> Timer:
        if not callable(function):
            raise TypeError(f"{function!r} is not callable; pass the function itself and its arguments after it")
        if when != when:
            raise ValueError("a timer cannot be due at nan")
        if self.closed:
            raise RuntimeError(f"{self!r} is closed; it makes no more calls")
        return Timer(when, function, args)

    def _check_thread(self) -> None:
        """What is about to be done belongs to the thread in which the loop runs."""
        if self._thread and self._thread != get_ident():
            raise RuntimeError(f"{self!r} runs in another thread; use its call_soon_threadsafe there")

    def _the_waker(self) -> Waker:
        if self._waker is None:
            from dispatch.wakeup import make_waker

            with making:  # two threads may need the first one, or one may close the loop meanwhile
                return make_waker(self)
        return self._waker

    # ---- running

    def run(self) -> None:
        """Serve until ``stop()``, or until no channel and no call is left.

        Raises:
            KeyboardInterrupt: Ctrl-C, at once, wherever it is: what a read has just brought may be lost. A turn ends first with
                ``call_on_signal(signal.SIGINT, loop.stop)``.
        """
        if self.closed:
            raise RuntimeError(f"{self!r} is closed; make a new one")
        if self.running:
            raise RuntimeError(f"{self!r} runs already; a handler may use call_soon, not run")
        self._check_thread()
        token = enter(self)
        try:
            self.running = True
            self._thread = get_ident()
            if self._turning is not None:
                self._turned_within()
            while not self._stopping and self._alive():
                self._once(None)
        finally:
            self.running = self._stopping = False
            self._thread, self._turning = 0, None
            leave(token)
        if self.closing:
            self._shut()

    def stop(self) -> None:
        """``run()`` returns when this turn is over, or at once if it is yet to be called; channels stay as they are."""
        self._check_thread()
        self._stopping = self.running or not self._thread  # a single turn ends by itself

    def run_once(self, timeout: float | None = None) -> int:
        """One turn, sleeping for at most *timeout* seconds (None: until something happens); returns how many channels were ready.

        A handler may call it to wait for something. Other handlers run meanwhile, those of its own channel too, so that may be closed
        when this returns; only a :class:`Chat` has its next message, and the peer's end, wait until the handler has returned.
        """
        check_seconds("timeout", timeout)
        if self.closed:
            raise RuntimeError(f"{self!r} is closed; make a new one")
        self._check_thread()
        before, self._thread = self._thread, get_ident()
        if self._turning is not None:
            self._turned_within()
        # as enter() and leave(), which would cost a call each
        token = None if current.get(None) is self else current.set(self)
        try:
            return self._once(timeout if timeout is None else min(timeout, LONGEST))
        except ValueError:
            if not self.closed:
                raise
            return 0  # type: ignore[unreachable]  # a handler has closed it: its poller is not to be asked any more
        finally:
            self._thread = before
            if token is not None:
                current.reset(token)

    def _once(self, timeout: float | None) -> int:
        if self._asked:
            before = self._stopping
            for channel in list(self._asked.values()):
                channel._ask()
            if self._stopping is not before:
                timeout = 0  # one of them has called stop(); who turns the loop in spite of an earlier one may sleep
        if self._unsent or self._ended:  # before the first turn, or by an answer of `readable`
            self._settle()
            timeout = 0  # who ended may have been the last: nobody would wake us
        elif self._soon or self._timers.heap:
            timeout = self._until_due(timeout)
        if self._waker is None and timeout != 0 and not self.poller.wakes_on_watch:
            try:
                # Now: poll(2) and select(2) do not notice what a thread, or a signal's handler, has watched while they sleep.
                self._the_waker()
            except OSError:
                pass  # no descriptor is left: who calls then will be told
        # In a handler's own turn of the loop they wait: what was polled before it is still told.
        if self._newcomers and self._turning is None:
            admit(self._newcomers)
        self._turn_number += 1
        ready = self.poller.poll(timeout)
        if self._timers.heap:
            self._now = self.network.monotonic()
        if observers:
            for observer in observers:
                observer.turn(self, len(ready))
        deliver(self, ready)
        if self._soon or (self._timers.heap and self._timers.heap[0][0] <= self._now):
            self._make_due()
        if self._unsent or self._ended:
            self._settle()
        return len(ready)

    def _turned_within(self) -> None:
        """A handler turns the loop: what it has written goes out now, since it may wait for the answer, or for the end."""
        if getattr(self._turning, "_waiting", None) is not None:
            self._unsent.append(self._turning)

    def _until_due(self, timeout: float | None) -> float | None:
        """*timeout*, or what is left until the first call if that is less."""
        if self._soon:
            return 0
        due = self._timers.next_due()
        if due is None:
            return timeout
        pause = min(max(due - self.network.monotonic(), 0), LONGEST)
        return pause if timeout is None else min(pause, timeout)

    def _make_due(self) -> None:
        """The calls that are due, by the time of the last poll."""
        due = self._timers.due(self._now)
        # Before the others, where nothing is lost of them: Ctrl-C may come in one, or it may turn the loop to wait for the next.
        self._soon.extendleft(reversed(due))
        self._make_first(len(due))
        self._make_first(len(self._soon))  # what these ask for comes in the next pass

    def _make_first(self, count: int) -> None:
        for _ in range(count):
            try:
                timer = self._soon.popleft()
            except IndexError:
                break  # one of them has turned the loop, or closed it
            self._make(timer)

    def _alive(self) -> bool:
        if self.closing:  # what those in the background have written is sent, too
            return bool(self.channels)
        if len(self.channels) > self._background or self._soon or self._ended or self._unsent:
            return True
        return self._timers.next_due() is not None

    def _make(self, timer: Timer) -> None:
        """One call, whatever it does."""
        function, args = timer.function, timer.args
        if function is None:
            return
        if isinstance(timer, Repeat):
            owner = getattr(function, "__self__", None)
            if isinstance(owner, Channel) and owner.closed:
                timer.outlives(self)
            timer.advance(self.time())
            self._timers.add(timer)
        else:
            timer.function = None
        try:
            made = function(*args)
            if made is not None:
                refuse_what_waits(function, made)
        except Exception as error:  # noqa: BLE001 - a call may raise anything, the loop goes on
            owner = getattr(function, "__self__", None)
            if isinstance(owner, Channel) and not owner.closed:
                owner._failed(getattr(function, "__name__", "call"), error)
            else:
                for observer in observers:
                    observer.raised(self, getattr(function, "__qualname__", None) or named(function), error)
                self.log_exception(f"a call of {named(function)} failed", error)

    def _settle(self) -> None:
        """Send what others wrote to a stream, and tell the channels that ended; each may cause the other."""
        while self._unsent or self._ended:
            while self._unsent:
                stream = self._unsent[0]
                try:
                    del self._unsent[0]  # no call is made up to here: Ctrl-C comes in between no two of these
                    stream._flush_later()
                except Exception as error:  # noqa: BLE001 - as in a turn
                    stream._turn_failed(error)
                except BaseException:
                    self._unsent.append(stream)
                    raise
            while self._ended:
                channel, reason = self._ended.popleft()
                channel._call("handle_close", reason)

    # ---- what channels tell the loop

    def _join(self, channel: Channel, bits: int) -> None:
        """*channel* wants to be polled for *bits* from now on."""
        self._check_thread()
        fd = channel.socket.fileno()
        if self.channels.get(fd) is not channel:
            self._make_way(fd, channel.socket)
        self.poller.watch(fd, bits)
        channel._fileno = fd
        channel._bits = bits
        channel._plain = NEVER
        channel._born = self._turn_number
        self.channels[fd] = channel
        if channel.background:
            self._aside.add(fd)
            self._background = len(self._aside)
        if observers:
            for observer in observers:
                observer.opened(channel)

    def _make_way(self, fd: int, sock: Any) -> None:
        """The number *fd* is of *sock* now: whoever had it was closed behind our back, and the kernel gave it away again."""
        if self._waker is not None:
            self._waker.make_way(fd)
        before = self.channels.get(fd)
        if before is not None:
            if before.socket is sock:
                raise RuntimeError(f"{before!r} serves this socket already; a socket has one channel")
            if before.socket.fileno() == fd:
                before.socket.detach()  # its close() would close the new one
            before._finish(Aborted(f"its descriptor {fd} was closed by somebody else and is used again"))

    def _written_to(self, stream: Any) -> None:
        """*stream* was written to outside its own turn: send at the end of this one."""
        self._check_thread()
        stream._plain = NEVER  # until its next turn: that is not only about what it reads itself
        self._unsent.append(stream)

    def _want(self, channel: Channel, bits: int) -> None:
        """Poll *channel* for these bits and no others."""
        if bits != channel._bits:
            if channel._bits & ASLEEP:
                self.poller.watch(channel._fileno, bits)
            else:
                self.poller.change(channel._fileno, bits)
            channel._bits = bits
            channel._plain = NEVER

    def _sleep(self, channel: Channel) -> None:
        """Do not poll *channel* at all until it wants something: a dead socket says so in every poll."""
        if not channel._bits & ASLEEP:
            self.poller.forget(channel._fileno)
            channel._bits = ASLEEP
            channel._plain = NEVER

    def _leave(self, channel: Channel, reason: BaseException | None) -> None:
        """*channel* is served no more; it will be told at the end of this turn."""
        fd = channel._fileno
        if self.channels.get(fd) is channel:
            del self.channels[fd]
            self._asked.pop(fd, None)
            if fd in self._aside:  # what it says may have changed since it joined
                self._aside.discard(fd)
                self._background = len(self._aside)
            if not channel._bits & ASLEEP:
                self.poller.forget(fd)
            for observer in observers:
                observer.closed(channel, reason)
        channel._bits = ASLEEP
        channel._plain = NEVER
        channel._fileno = -1
        self._ended.append((channel, reason))

    # ---- the end

    def close(self, deadline: float = 0.0) -> None:
        """Stop accepting, send what was written for at most *deadline* seconds, and abort the rest.

        Every channel's ``handle_close`` is called. In a handler this only begins the end: ``run()`` returns when it is reached. What connects
        anew meanwhile keeps it waiting until the deadline, so who would reconnect looks at ``closing`` first.
        """
        if deadline is None:
            raise TypeError("deadline=None would wait for the slowest peer for ever; give seconds")
        check_seconds("deadline", deadline, or_none=False)
        if self.closed:
            return
        self._check_thread()
        self.closing = True
        if self.running or deadline > 0:
            self.call_later(deadline, give_up, self)
            end_all(self, lambda channel: channel.close())
        if not self.running:
            if deadline > 0:
                self.run()
            self._shut()

    _shut = shut

    def __enter__(self) -> Loop:
        if self.closed:
            raise RuntimeError(f"{self!r} is closed; make a new one")
        self._tokens.append(current.set(self))
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            current.reset(self._tokens.pop())
        except ValueError:
            pass  # it began in another context, as that of a task, which is not to be had here
        self.close()

    def log_exception(self, message: str, error: BaseException) -> None:
        """Log an exception of a handler or a call, with its traceback, to the logger ``dispatch``."""
        log_exception(message, error)

    def log_warning(self, message: str) -> None:
        """Log what debug mode noticed to the logger ``dispatch``."""
        log_warning(message)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "running" if self.running else "idle"
        return f"<dispatch.Loop {state}, {len(self.channels)} channels, {self.poller.name}>"
