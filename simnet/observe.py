"""The one room that may look at loaded event loops: what their handlers did, as their observers tell it.

dispatch tells of itself through ``dispatch.loop.observers``; the interpreter's own asyncore is wrapped during a run, when
it is what is tested, and so are the places where asyncio's loops and socketserver's servers tell what nobody caught. Nothing here changes what a program sees, and a loop that nobody imported is not imported here.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

from simnet.trace import HANDLER
from simnet.verdicts import HandlerError, ProcessEnded, Verdict
from simnet.wait import HEARTBEATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from simnet.wait import Scheduler

__all__ = ["Watcher"]


class _Channel:
    """What is known of one channel, by its identity while it lives: later that may be another's."""

    __slots__ = ("label", "tag", "listens", "closed", "closes", "raised", "who")

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


_attached: list[Watcher] = []  # networks on real sockets may overlap, and end in any order
_attaching = threading.Lock()


def _put_below(gone: Any, original: Any) -> None:
    """Whoever was laid over *gone* puts *original* back, when its own time comes."""
    for watcher in _attached:
        for at, (owner, name, ours, below) in enumerate(watcher._laid):
            if below is gone:
                watcher._laid[at] = (owner, name, ours, original)


class Watcher:
    """An observer of every loop of a run. Keeps no channel alive: a finalizer runs when the program lets go."""

    __slots__ = ("_scheduler", "_channels", "_wrapped", "_laid", "_gone", "_errors")

    def __init__(self, scheduler: Scheduler, errors: list[HandlerError]) -> None:
        self._scheduler = scheduler
        self._errors = errors  # where they go; whose run it is keeps them
        self._channels: dict[int, _Channel] = {}
        self._wrapped: set[str] = set()  # modules
        self._laid: list[tuple[Any, str, Any, Any]] = []  # in whose place: owner, name, ours, and what stood there
        self._gone = False  # then a teller of ours that another was laid over does what the original does, and no more

    # --- being there -----------------------------------------------------------------------------------------------

    def attach(self) -> None:
        """Listen to the loops that are loaded."""
        loaded = sys.modules.get("dispatch.observers")
        if loaded is not None and self not in loaded.observers:
            loaded.observers.append(self)
        with _attaching:
            if self._gone:
                return
            if self not in _attached:
                _attached.append(self)
            wrapped = self._wrapped
            asyncore = sys.modules.get("asyncore")
            if asyncore is not None and "asyncore" not in wrapped and asyncore.__name__ == "asyncore":
                wrapped.add("asyncore")
                self._wrap(asyncore)
            loops = sys.modules.get("asyncio.base_events")
            if loops is not None and "asyncio" not in wrapped and hasattr(loops, "BaseEventLoop"):
                wrapped.add("asyncio")
                self._lay(loops.BaseEventLoop, "call_exception_handler", self._over_asyncio)
            servers = sys.modules.get("socketserver")
            if servers is not None and "socketserver" not in wrapped and hasattr(servers, "BaseServer"):
                wrapped.add("socketserver")
                self._lay(servers.BaseServer, "handle_error", self._over_socketserver)

    def _lay(self, owner: Any, name: str, over: Callable[[Any], Any]) -> None:
        """Put what *over* makes of the function of that *name* in its place."""
        original = getattr(owner, name)
        ours = over(original)
        self._laid.append((owner, name, ours, original))
        setattr(owner, name, ours)

    def detach(self) -> None:
        with _attaching:
            self._gone = True
            if self in _attached:
                _attached.remove(self)
            for owner, name, ours, original in self._laid:
                if getattr(owner, name) is ours:
                    setattr(owner, name, original)
                else:
                    _put_below(ours, original)
            self._laid = []
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
        if name == "handle_close":
            known.closes += 1
            if known.closes > 1:
                self._verdict("one-close", f"handle_close was called {known.closes} times on {known.label}")
        self._note(known, name, None)

    def handled(self, channel: Any, name: str, /) -> None:
        """It did not raise. Of a channel that cannot be told from its successor, nothing is known after its last event."""
        if name == "handle_close" and (known := self._channels.get(id(channel))) is not None and known.who is None:
            del self._channels[id(channel)]

    def raised(self, channel: Any, name: str, exception: BaseException, /) -> None:
        if isinstance(exception, ProcessEnded):
            return
        known = self._know(channel)
        known.raised = exception
        process = self._scheduler.current
        self._errors.append(HandlerError(process.host_name, process.target, known.label, name, exception))
        self._note(known, name, type(exception).__name__)

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
                known.listens = tag.place is not None and tag.place.form == "listener"
        return known

    def _note(self, known: _Channel, name: str, text: str | None) -> None:
        scheduler = self._scheduler
        scheduler.trace.entries.append(
            (scheduler.clock.now_ns, HANDLER, scheduler.current.host_name, known.label, "", name, 0, text)
        )

    def _verdict(self, name: str, message: str, error: BaseException | None = None) -> None:
        if not self._scheduler.current.ending:
            self._scheduler.record(Verdict(name, message, self._scheduler.current.host_name, error))

    # --- the interpreter's own asyncore ----------------------------------------------------------------------------

    def _wrap(self, asyncore: Any) -> None:
        """Put tellers in the places where asyncore calls handlers. They do what the originals do, and tell."""
        for name, handler in (
            ("read", "handle_read"),
            ("write", "handle_write"),
            ("_exception", "handle_expt"),
            ("readwrite", "readwrite"),
        ):
            self._lay(asyncore, name, functools.partial(self._over_event, handler))
        self._lay(asyncore.dispatcher, "add_channel", self._over_add_channel)
        self._lay(asyncore.dispatcher, "del_channel", self._over_del_channel)

    def _over_event(self, handler: str, original: Any) -> Any:
        def told(channel: Any, *flags: int) -> None:
            if self._gone:
                original(channel, *flags)
                return
            self.event(channel, handler)
            reach = getattr(channel, "handle_error", None)
            if reach is None or not hasattr(channel, "__dict__"):  # a map takes whatever has the handlers
                original(channel, *flags)
                return

            def handle_error() -> None:
                error = sys.exc_info()[1]
                if error is not None:  # else the program calls it itself, as one way to close
                    self.raised(channel, handler, error)
                reach()

            channel.handle_error = handle_error
            try:
                original(channel, *flags)
            finally:
                if channel.__dict__.get("handle_error") is handle_error:
                    del channel.handle_error

        return told

    def _over_add_channel(self, original: Any) -> Any:
        def add_channel(channel: Any, map: Any = None) -> None:
            original(channel, map)
            if not self._gone:
                self.opened(channel)

        return add_channel

    def _over_del_channel(self, original: Any) -> Any:
        def del_channel(channel: Any, map: Any = None) -> None:
            known = id(channel) in self._channels and channel._fileno is not None
            if known:
                self.closed(channel, None)
            original(channel, map)

        return del_channel

    # --- asyncio ---------------------------------------------------------------------------------------------------

    def _over_asyncio(self, original: Any) -> Any:
        """Hear what reaches a loop's handler of exceptions, whoever that is."""

        def call_exception_handler(loop: Any, context: dict[str, Any]) -> Any:
            error = context.get("exception")
            process = self._scheduler.current
            if isinstance(error, BaseException) and not process.ending and not self._gone:
                self._unhandled(error, context.get("transport"))
            return original(loop, context)

        return call_exception_handler

    def _unhandled(self, error: BaseException, transport: Any) -> None:
        sock = transport.get_extra_info("socket") if transport is not None else None
        self._uncaught(error, "a callback of asyncio", sock, "a loop")

    def _uncaught(self, error: BaseException, where: str, sock: Any, otherwise: str) -> None:
        """*error* left the program's code at *where*, of what *sock* is connected to, if that is known."""
        process = self._scheduler.current
        known = _Channel()
        number = getattr(sock, "fileno", None)
        file: Any = process.descriptors.open.get(number()) if number is not None else None
        known.label = file.tag.name if file is not None else otherwise
        self._errors.append(HandlerError(process.host_name, process.target, known.label, where, error))
        self._note(known, where, type(error).__name__)

    # --- socketserver ----------------------------------------------------------------------------------------------

    def _over_socketserver(self, original: Any) -> Any:
        """Hear of the exceptions that a server prints and goes on from; one of its own ``handle_error`` is not asked."""

        def handle_error(server: Any, request: Any, client_address: Any) -> None:
            error = sys.exc_info()[1]
            if error is not None and not self._scheduler.current.ending and not self._gone:
                self._uncaught(error, f"a handler of {type(server).__name__}", request, "a server")
            original(server, request, client_address)

        return handle_error
