"""The one module that may look at loaded event loops: what their handlers did, as reported to observers.

dispatch reports through ``dispatch.loop.observers``; for the interpreter's own asyncore, asyncio and socketserver
`simnet.tellers` does. Nothing here changes what a program sees, and no loop is imported here that no program has imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

from simnet import tellers
from simnet.owned.eventloops import IN_HANDLER
from simnet.owned.unasked import keep_in_mind
from simnet.trace import HANDLER
from simnet.unsent import MARK, Counted
from simnet.verdicts import BOUNDED_BUFFERS, BROKEN_GIVEN_UP, HandlerError, ProcessEnded, Verdict
from simnet.wait import HEARTBEATS
from simnet.whereabouts import caller_outside

if TYPE_CHECKING:
    from simnet.wait import Scheduler

__all__ = ["Watcher"]


# In which somebody may write to what was too full before: a server may still have to say what it is about.
TURNS_MAX = 16
AFTER_THE_END = 3  # writes to a closed channel, each at another time
LONG_AFTER_NS = 10**10  # from the first of them to the last
GROWTH = 4  # times the high-water mark; less is what the tasks and handlers add that had begun already

#: What would keep a buffer from growing: in asyncio, in asyncore, and in a Stream.
WAIT_FOR_DRAIN = "`await writer.drain()` after each write, or stop between `pause_writing` and `resume_writing`."
LOOK_BEFORE = (
    "Look at what waits before each push, and leave out, or close, who does not read; `dispatch.Chat` tells when."
)
WAIT_FOR_DRAINED = "Stop when `write` gives False, or at `handle_full`, and go on at `handle_drained`."


class _Channel:
    """What is known of one channel, by its identity while it lives: later that may be another's."""

    __slots__ = ("label", "tag", "listens", "closed", "closes", "raised", "who", "written")

    def __init__(self, channel: Any = None) -> None:
        try:
            self.who: Any = ref(channel)
        except TypeError:  # its class has slots alone
            self.who = None
        self.label = "a channel"
        self.tag: Any = None  # of its socket, when it was last looked at
        self.listens = False
        self.closed = False
        self.closes = 0  # calls of handle_close
        self.raised: BaseException | None = None
        self.written: list[int] = []  # to it, though it had closed: at which times, the first few


class _Backlog:
    """What waits in a channel or transport that has been written too much, since it had drained last."""

    __slots__ = ("turn", "turns", "least", "told")

    def __init__(self, turn: tuple[int, int]) -> None:
        self.turn = turn  # in which it was written to last: the time, and the polls of its host
        self.turns = 0
        self.least = 0  # bytes
        self.told = False


class Watcher:
    """An observer of every loop of a run. Keeps no channel alive: a finalizer runs when the program lets go."""

    __slots__ = ("_scheduler", "_channels", "_backlogs", "_counted", "_errors")

    def __init__(self, scheduler: Scheduler, errors: list[HandlerError]) -> None:
        self._scheduler = scheduler
        self._errors = errors  # where they go; whose run it is keeps them
        self._channels: dict[int, _Channel] = {}
        self._backlogs: dict[int, _Backlog] = {}
        self._counted: dict[int, Counted] = {}

    # --- being there -----------------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Listen to the loops that are loaded."""
        loaded = sys.modules.get("dispatch.observers")
        if loaded is not None and self not in loaded.observers:
            loaded.observers.append(self)
        tellers.tell(self)

    def detach(self) -> None:
        tellers.tell_no_more(self)
        self._channels = {}  # the loop whose turn raised refers here: what was raised must not be found from it
        self._errors = []
        loaded = sys.modules.get("dispatch.observers")
        if loaded is not None and self in loaded.observers:
            loaded.observers.remove(self)

    # --- what loops tell -------------------------------------------------------------------------------------------

    def opened(self, channel: Any, /) -> None:
        self._channels[id(channel)] = _Channel(channel)

    def event(self, channel: Any, name: str, /) -> None:
        known = self._know(channel)
        known.raised = None
        if known.closed and name != "handle_close":  # the modern classes are told last, when they have left the loop
            self._verdict("silence-after-close", f"{name} was called on {known.label} after it was closed")
        self._scheduler.current.state[IN_HANDLER] = name
        if name == "handle_close":
            known.closes += 1
            if known.closes > 1:
                self._verdict("one-close", f"handle_close was called {known.closes} times on {known.label}")
        self._note(known, name, None)

    def handled(self, channel: Any, name: str, /) -> None:
        """It did not raise. Of a channel that cannot be told from its successor, nothing is known after its last event."""
        self._scheduler.current.state.pop(IN_HANDLER, None)
        if name == "handle_close" and (known := self._channels.get(id(channel))) is not None and known.who is None:
            del self._channels[id(channel)]

    def raised(self, channel: Any, name: str, exception: BaseException, /) -> None:
        if isinstance(exception, ProcessEnded):
            return
        known = self._know(channel)
        known.raised = exception
        process = self._scheduler.current
        process.state.pop(IN_HANDLER, None)
        self._errors.append(HandlerError(process.host_name, process.target, known.label, name, exception))
        self._note(known, name, type(exception).__name__)

    def full(self, channel: Any, queued: int, first: bool, /) -> None:
        self._grows(channel, self._know(channel).label, queued, channel.high_water, first, WAIT_FOR_DRAINED)

    def gone(self, channel: Any, /) -> None:
        """A late answer is nobody's fault; who writes again and again, long after the end, has forgotten to let go of it."""
        known = self._know(channel)
        if known.closed and self._long_after(known):
            self._goes_on_writing(
                f"{known.label}, at {caller_outside(sys._getframe(3))}, again and again, though that channel has closed",
                "Let go of it in `handle_close`",
            )

    def lost(self, transport: Any) -> None:
        """The same of a *transport* of asyncio that is lost, or that the program has closed itself, and that has taken a few writes since."""
        if self._long_after(self._know(transport)):
            self._goes_on_writing(
                f"a transport of asyncio that is lost or closed, at {caller_outside(sys._getframe(3))}, again and again, and asyncio logs no more "
                "than `socket.send() raised exception`",
                "Let go of it in `connection_lost`, or where a read ends or `drain()` raises; `transport.is_closing()` tells",
            )

    def _long_after(self, known: _Channel) -> bool:
        """Is this one of those writes to what has ended that are late enough, and many enough? True once."""
        process, times, now_ns = self._scheduler.current, known.written, self._scheduler.clock.now_ns
        if not process.target or process.ending or len(times) > AFTER_THE_END or now_ns in times[-1:]:
            return False
        if len(times) < AFTER_THE_END - 1:
            times.append(now_ns)
        elif now_ns - times[0] >= LONG_AFTER_NS:
            times += [now_ns] * 2
            return True
        return False

    def _goes_on_writing(self, to: str, remedy: str) -> None:
        process = self._scheduler.current
        message = (
            f"{process.name} writes to {to}: what is written is lost, and who holds it keeps it for ever. {remedy}"
        )
        self._scheduler.record(Verdict(BROKEN_GIVEN_UP, message, process.host_name, level="warning"))

    def closed(self, channel: Any, reason: BaseException | None, /) -> None:
        known = self._know(channel)
        if known.closed:
            self._verdict("one-close", f"{known.label} was closed a second time")
        known.closed = True
        process = self._scheduler.current
        if known.listens and known.raised is not None and not process.ending:
            now = self._scheduler.clock.now_ns / 1e9
            self._verdict(
                "listener-survives",
                f"the listener {known.label} was closed at {now:.3f} s; later clients get ECONNREFUSED",
                known.raised,
            )

    def turn(self, loop: Any, n_ready: int, /) -> None:
        """The poll itself is in the trace. A loop that calls nobody before it polls again need not be seen to do so."""
        if not n_ready and getattr(loop, "still", False):
            self._scheduler.current.heartbeats = HEARTBEATS

    def _grows(self, writer: Any, label: str, queued: int, limit: int, first: bool, remedy: str) -> None:
        """*queued* bytes, more than its *limit*, wait in *writer*, which has been told so before, unless it is the *first* time."""
        scheduler = self._scheduler
        process = scheduler.current
        turn = (scheduler.clock.now_ns, process.machine.polls)
        backlog = self._backlogs.get(id(writer))
        if first or backlog is None:
            backlog = self._backlogs[id(writer)] = _Backlog(turn)
        if turn == backlog.turn:
            backlog.least = queued  # however much one turn writes: what counts is who goes on later
            return
        backlog.turn = turn
        backlog.turns += 1
        backlog.least = min(backlog.least, queued)
        if backlog.told or backlog.turns < TURNS_MAX or queued - backlog.least <= GROWTH * limit or not process.target:
            return
        backlog.told = True
        where = caller_outside(sys._getframe(3))
        self._verdict(
            BOUNDED_BUFFERS,
            f"{process.name} goes on writing to {label}, at {where}, though its peer does not read: {queued:,} bytes wait, where "
            f"{limit:,} are the high-water mark. {remedy}",
        )

    # --- looking ---------------------------------------------------------------------------------------------------

    def _know(self, channel: Any) -> _Channel:
        known = self._channels.get(id(channel))
        if known is None or (known.who is not None and known.who() is not channel):
            known = self._channels[id(channel)] = _Channel(channel)
        if not known.closed:
            try:
                file: Any = self._scheduler.current.descriptors.open.get(channel.socket.fileno())
            except Exception:  # noqa: BLE001 - no socket, or none any more; or a `__getattr__` of the channel's own
                return known
            if file is not None and file.tag is not known.tag:
                known.tag = tag = file.tag
                known.label = tag.name
                known.listens = tag.place is not None and tag.place.form == "listener" and not tag.datagrams
        return known

    def _note(self, known: _Channel, name: str, text: str | None) -> None:
        scheduler = self._scheduler
        scheduler.trace.entries.append(
            (scheduler.clock.now_ns, HANDLER, scheduler.current.host_name, known.label, "", name, 0, text)
        )

    def _verdict(self, name: str, message: str, error: BaseException | None = None) -> None:
        if not self._scheduler.current.ending:
            self._scheduler.record(Verdict(name, message, self._scheduler.current.host_name, error))

    # --- what the interpreter's own asyncore, asyncio and socketserver tell, by `tellers` -------------------------------

    def left(self, channel: Any) -> None:
        """The interpreter's own asyncore takes *channel* out of its map, again perhaps."""
        if id(channel) in self._channels and channel._fileno is not None:
            self.closed(channel, None)

    def waits(self, transport: Any, queued: int, high_water: int, first: bool) -> None:
        """*queued* bytes wait in *transport*, whose protocol has been told to pause; *first*, by this write."""
        label = self._name_of(tellers.socket_of(transport)) or "a pipe"
        self._grows(transport, label, queued, high_water, first, WAIT_FOR_DRAIN)

    def pushed(self, channel: Any, queued: int | Sequence[Any], size: int) -> None:
        """Of what is *queued* in *channel* of asyncore's, bytes or pieces, it has been given *size* bytes just now."""
        if not isinstance(queued, int):
            queued = self._counted.setdefault(id(channel), Counted()).bytes_in(queued)
        if queued <= max(MARK, size):  # it has drained since
            self._backlogs.pop(id(channel), None)
        else:
            self._grows(channel, self._know(channel).label, queued, MARK, False, LOOK_BEFORE)

    def uncaught(self, error: BaseException, where: str, sock: Any, otherwise: str) -> None:
        """*error* left the program's code at *where*, of what *sock* is connected to, if that is known."""
        process = self._scheduler.current
        if process.ending:
            return
        known = _Channel()
        known.label = self._name_of(sock) or otherwise
        self._errors.append(HandlerError(process.host_name, process.target, known.label, where, error))
        self._note(known, where, type(error).__name__)

    def loop_closed(self, loop: Any) -> None:
        """By the program that runs now."""
        process = self._scheduler.current
        if process.target and not process.ending:
            keep_in_mind(process, loop)

    def _name_of(self, sock: Any) -> str:
        """What *sock* is connected to, if that is known."""
        number = getattr(sock, "fileno", None)
        file: Any = self._scheduler.current.descriptors.open.get(number()) if number is not None else None
        return "" if file is None else file.tag.name
