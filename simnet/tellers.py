"""Tellers: stand-ins where the standard library's loops call handlers, and where they report unhandled exceptions.

They do what the originals do, and notify every watcher. Like other stand-ins they stay in place, since changing a class slows
down its next user; without a watcher they only call the original. A program may put something of its own over one,
or put back the original: then the next network places another, and the first one is silent.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from simnet.unsent import over_appdata, over_push, over_send, over_warning

__all__ = ["socket_of", "tell", "tell_no_more", "unplace"]


class Hearer(Protocol):
    """Who wants to be told."""

    def opened(self, channel: Any, /) -> None: ...
    def event(self, channel: Any, name: str, /) -> None: ...
    def handled(self, channel: Any, name: str, /) -> None: ...
    def raised(self, channel: Any, name: str, exception: BaseException, /) -> None: ...
    def waits(self, transport: Any, queued: int, high_water: int, first: bool, /) -> None: ...
    def pushed(self, channel: Any, queued: int | Sequence[Any], size: int, /) -> None: ...
    def left(self, channel: Any, /) -> None: ...
    def lost(self, transport: Any, /) -> None: ...
    def uncaught(self, error: BaseException, where: str, sock: Any, otherwise: str, /) -> None: ...
    def loop_closed(self, loop: Any, /) -> None: ...


_hearers: tuple[Hearer, ...] = ()  # networks on real sockets may overlap, and end in any order
_laid: dict[tuple[str, str, str], Teller] = {}  # the last one of each place
_seen: list[Any] = []  # the modules, as they were when all that were loaded had their tellers
_passes = False  # is one of them in a module that is PASSING?
_placing = threading.Lock()

#: Whose tellers go with the last one who hears: the traceback of a handler, which asyncore puts into one line, names them.
PASSING = frozenset({"asyncore", "asynchat"})


class Teller:
    """A function in the place of another."""

    __slots__ = ("owner", "name", "names", "original", "function", "silent")
    function: Any

    def __init__(self, owner: Any, name: str, make: Callable[[Teller], Callable[..., Any]]) -> None:
        self.owner = owner
        self.name = name
        self.names = vars(owner)  # as they are at any time
        there: Any = getattr(owner, name)
        below: Teller | None = getattr(there, "teller", None)  # one that was laid over, and has been put back
        self.original: Any = there if below is None else below.original
        self.silent = False
        self.function = make(self)
        self.function.teller = self
        setattr(owner, name, self.function)

    @property
    def stands(self) -> bool:
        """Is it where it was put?"""
        return self.names.get(self.name) is self.function

    def retire(self) -> None:
        """Put back what was there, and say nothing any more wherever somebody keeps the function: that alone refers to this."""
        if self.stands:
            setattr(self.owner, self.name, self.original)
        self.silent = True
        self.function = None

    def hearers(self) -> tuple[Hearer, ...]:
        return () if self.silent else _hearers


def tell(hearer: Hearer) -> None:
    """Tell *hearer* of the loops that are loaded; asked again, also of those that have been loaded since."""
    global _hearers, _passes
    with _placing:
        if hearer not in _hearers:
            _hearers += (hearer,)
        now = list(map(sys.modules.get, MODULES))  # each run asks: in one go
        if now == _seen:
            for teller in _laid.values():
                if teller.names.get(teller.name) is not teller.function:
                    break
            else:
                return
        _seen[:] = now
        modules = dict(zip(MODULES, now, strict=True))
        for place, make in PLACES.items():
            module, path, name = place
            loaded = modules[module]
            if loaded is None or loaded.__name__ != module:  # what `dispatch.install()` put there tells by itself
                continue
            owner = getattr(loaded, path, None) if path else loaded
            known = _laid.get(place)
            if known is not None:
                if known.owner is owner and known.stands:
                    continue
                known.retire()
            if owner is not None and hasattr(owner, name):
                _laid[place] = Teller(owner, name, make)
                _passes = _passes or module in PASSING
            else:  # it is half loaded
                _seen.clear()


def tell_no_more(hearer: Hearer) -> None:
    global _hearers, _passes
    with _placing:
        _hearers = () if _hearers == (hearer,) else tuple(each for each in _hearers if each is not hearer)
        if _passes and not _hearers:
            _take_away([place for place in _laid if place[0] in PASSING])
            _passes = False


def unplace() -> None:
    """Every original back in its place, unless somebody has put something else there."""
    with _placing:
        _take_away(list(_laid))


def _take_away(places: list[tuple[str, str, str]]) -> None:
    for place in places:
        _seen.clear()
        _laid.pop(place).retire()


# --- the interpreter's own asyncore ----------------------------------------------------------------------------------


def _over_event(handler: str, teller: Teller) -> Any:
    def told(channel: Any, *flags: int) -> None:
        hearers = teller.hearers()
        for hearer in hearers:
            hearer.event(channel, handler)
        names: Any = getattr(channel, "__dict__", None)
        own = names.get("handle_error") if names is not None else None  # a program may give it to a channel alone
        # A handler that turns the loop: of what happens there the one below tells.
        reach = getattr(own, "reaches", None) or getattr(channel, "handle_error", None)
        if not hearers or reach is None or names is None:  # a map takes whatever has the handlers
            teller.original(channel, *flags)
            return

        def handle_error() -> None:
            error = sys.exc_info()[1]
            if error is not None:  # else the program calls it itself, as one way to close
                for hearer in hearers:
                    hearer.raised(channel, handler, error)
            reach()

        handle_error.reaches = reach  # type: ignore[attr-defined]
        names["handle_error"] = handle_error
        try:
            teller.original(channel, *flags)
        finally:
            if names.get("handle_error") is handle_error:
                del names["handle_error"]
                if own is not None:
                    names["handle_error"] = own
            for hearer in hearers:
                hearer.handled(channel, handler)

    return told


def _over_add_channel(teller: Teller) -> Any:
    def add_channel(channel: Any, map: Any = None) -> None:
        teller.original(channel, map)
        for hearer in teller.hearers():
            hearer.opened(channel)

    return add_channel


def _over_del_channel(teller: Teller) -> Any:
    def del_channel(channel: Any, map: Any = None) -> None:
        for hearer in teller.hearers():
            hearer.left(channel)
        teller.original(channel, map)

    return del_channel


# --- asyncio and socketserver ----------------------------------------------------------------------------------------


def _over_asyncio(teller: Teller) -> Any:
    """Hear what reaches a loop's handler of exceptions, whoever that is."""

    def call_exception_handler(loop: Any, context: dict[str, Any]) -> Any:
        error = context.get("exception")
        if isinstance(error, BaseException) and not _is_no_news(error) and (hearers := teller.hearers()):
            sock = socket_of(context.get("transport"))
            for hearer in hearers:
                hearer.uncaught(error, "a callback of asyncio", sock, "a loop")
        return teller.original(loop, context)

    return call_exception_handler


def _over_close(teller: Teller) -> Any:
    def close(loop: Any) -> None:
        teller.original(loop)
        for hearer in teller.hearers():
            hearer.loop_closed(loop)

    return close


def _is_no_news(error: BaseException) -> bool:
    """A ``sys.exit()`` in a task has left the loop as well, and ended the program unless that has caught it."""
    return isinstance(error, (SystemExit, KeyboardInterrupt)) or _slip_of_asyncio(error)


def _slip_of_asyncio(error: BaseException) -> bool:
    """Is it what the callback of ``start_server`` says of a coroutine that was cancelled, as all are where a program ends?

    It asks a cancelled task for its exception, and so raises one itself; CPython 3.13 has that mended.
    """
    streams: Any = sys.modules.get("asyncio.streams")
    if streams is None or type(error).__name__ != "CancelledError":
        return False
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_name == "callback" and code.co_filename == streams.__file__:
            return True
        step = step.tb_next
    return False


def socket_of(transport: Any) -> Any:
    """The socket of *transport*, if it can say: one of TLS that was lost cannot, and a program's own need not have one."""
    try:
        return transport.get_extra_info("socket")
    except Exception:  # noqa: BLE001  # AttributeError, as a rule; its trouble is not the loop's
        return None


def _over_backlog(teller: Teller) -> Any:
    """Hear of what is written to a transport in which too much waits already."""

    def _maybe_pause_protocol(transport: Any) -> None:
        first = not transport._protocol_paused
        teller.original(transport)
        if transport._protocol_paused:
            for hearer in teller.hearers():
                hearer.waits(transport, transport.get_write_buffer_size(), transport._high_water, first)

    return _maybe_pause_protocol


def _over_socketserver(teller: Teller) -> Any:
    """Hear of the exceptions that a server prints and goes on from; one of its own ``handle_error`` is not asked."""

    def handle_error(server: Any, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            for hearer in teller.hearers():
                hearer.uncaught(error, f"a handler of {type(server).__name__}", request, "a server")
        teller.original(server, request, client_address)

    return handle_error


#: A module, a class or an object of it or none, a function there; and what makes its teller.
PLACES: dict[tuple[str, str, str], Callable[[Teller], Any]] = {
    ("asyncore", "", "read"): partial(_over_event, "handle_read"),
    ("asyncore", "", "write"): partial(_over_event, "handle_write"),
    ("asyncore", "", "_exception"): partial(_over_event, "handle_expt"),
    ("asyncore", "", "readwrite"): partial(_over_event, "readwrite"),
    ("asyncore", "dispatcher", "add_channel"): _over_add_channel,
    ("asyncore", "dispatcher", "del_channel"): _over_del_channel,
    **{(f"{package}asyncore", "dispatcher_with_send", "send"): over_send for package in ("", "dispatch.")},
    **{(f"{package}asynchat", "async_chat", "push"): over_push for package in ("", "dispatch.")},
    ("asyncio.base_events", "BaseEventLoop", "call_exception_handler"): _over_asyncio,
    ("asyncio.base_events", "BaseEventLoop", "close"): _over_close,
    ("asyncio.transports", "_FlowControlMixin", "_maybe_pause_protocol"): _over_backlog,
    ("asyncio.sslproto", "SSLProtocol", "_write_appdata"): over_appdata,
    ("asyncio.log", "logger", "warning"): over_warning,
    ("socketserver", "BaseServer", "handle_error"): _over_socketserver,
}
MODULES = tuple(dict.fromkeys(module for module, _, _ in PLACES))
