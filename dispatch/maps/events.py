"""One event for one object of an asyncore map: which handlers are called, and where their exceptions go.

A handler's exception goes to ``handle_error`` of its object, whatever it is; only ExitNow, KeyboardInterrupt and SystemExit
leave the loop, and what a program adds to these. After each handler the object is checked: once it is closed, its other
events of this turn are dropped.
"""

from __future__ import annotations

import os
import socket
import sys
from errno import EBADF, ECONNABORTED, ECONNRESET, ENOTCONN, EPIPE, ESHUTDOWN, errorcode

from dispatch.annotations import Any
from dispatch.interfaces import IN, OUT, PRI, TROUBLE
from dispatch.observers import observers

DISCONNECTED = frozenset({ECONNRESET, ENOTCONN, ESHUTDOWN, ECONNABORTED, EPIPE, EBADF})

FIONREAD = 0x541B if sys.platform == "linux" else 0x4004667F  # of Linux; of BSD and macOS

closes = 0  # of all objects so far; who was closed has the number of it

ALONE = (-1, -1)  # one event only: nothing that it could outlive follows


class ExitNow(Exception):
    """Raised by a handler to leave ``loop()``."""


ExitNow.__module__ = "dispatch.asyncore"  # where programs know it from

RERAISED = (ExitNow, KeyboardInterrupt, SystemExit)


def _as_it_stands(name: str, ours: Any) -> Any:
    """What stands in asyncore under *name* now, in the place of *ours*: a program may have put more there."""
    return getattr(sys.modules.get("dispatch.asyncore"), name, ours)


def reraised() -> Any:
    """The exceptions that leave the loop."""
    return _as_it_stands("_reraised_exceptions", RERAISED)


class NotReady(BlockingIOError):
    """recv() found nothing although the poller had announced it: not an error of the channel."""

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockingIOError, self.args


# Programs print what they catch.
NotReady.__name__ = NotReady.__qualname__ = "BlockingIOError"
NotReady.__module__ = "builtins"


def strerror(err: int) -> str:
    """The text of an errno, whatever number it is."""
    try:
        return os.strerror(err)
    except (ValueError, OverflowError):
        return errorcode.get(err, f"Unknown error {err}")


strerror.__name__ = strerror.__qualname__ = "_strerror"  # as asyncore has it


def read(obj: Any) -> None:
    """A read event for *obj*."""
    try:
        obj.handle_read_event()
    except reraised():
        raise
    except NotReady:
        pass
    except BaseException as error:  # noqa: BLE001 - asyncore's rule: whatever a handler raises is its channel's error
        failed(obj, "handle_read_event", error)


def write(obj: Any) -> None:
    """A write event for *obj*."""
    try:
        obj.handle_write_event()
    except reraised():
        raise
    except NotReady:
        pass
    except BaseException as error:  # noqa: BLE001 - as above
        failed(obj, "handle_write_event", error)


def _exception(obj: Any) -> None:  # so named in log lines, as ever
    """An exceptional condition of *obj*, urgent data mostly."""
    try:
        obj.handle_expt_event()
    except reraised():
        raise
    except NotReady:
        pass
    except BaseException as error:  # noqa: BLE001 - as above
        failed(obj, "handle_expt_event", error)


exception = _exception


def tell(obj: Any, name: str) -> None:
    """Call a handler under the eyes of the observers."""
    for observer in observers:
        observer.event(obj, name)
    getattr(obj, name)()
    for observer in observers:
        observer.handled(obj, name)


def _close(obj: Any) -> None:
    """An end that an errno has told of."""
    try:
        obj.handle_close()
    except reraised():
        raise
    except NotReady:
        pass
    except BaseException as error:  # noqa: BLE001 - as above
        failed(obj, "handle_close", error)


def readwrite(obj: Any, flags: int) -> None:
    """What poll(2) reported for *obj*: read, write, urgent data, and the end if there is nothing left that it reads."""
    try:
        if flags == IN:  # mostly
            obj.handle_read_event()
            return
        was = generation(obj) if flags & (flags - 1) else ALONE
        unread = _unread(obj) if flags & IN and flags & TROUBLE else None
        if flags & IN:
            obj.handle_read_event()
        if flags & OUT and (was is ALONE or generation(obj) == was):
            obj.handle_write_event()
        if flags & PRI and (was is ALONE or generation(obj) == was):
            obj.handle_expt_event()
        if (
            flags & TROUBLE
            and (was is ALONE or generation(obj) == was)
            and (not flags & IN or unread is None or _unread(obj) == unread)
        ):
            obj.handle_close()
    except NotReady:
        pass
    except OSError as error:
        if error.errno in _as_it_stands("_DISCONNECTED", DISCONNECTED):
            _close(obj)
        else:
            failed(obj, "handle_read_event", error)
    except reraised():
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        failed(obj, "handle_read_event", error)


def _unread(obj: Any) -> int | None:
    """How many bytes wait to be read at *obj*; None if that cannot be told: then it hears of the hang-up, too, as ever."""
    try:
        from fcntl import ioctl  # here, since hardly any program comes to it

        number = obj._fileno if hasattr(obj, "_fileno") else obj.socket.fileno()
        if type(number) is not int:
            return None  # a mock's would call its fileno(), and tell of it
        return int.from_bytes(ioctl(number, FIONREAD, bytes(4)), sys.byteorder)
    except Exception:  # noqa: BLE001 - it need not have a socket, nor the platform this question
        return None


def drop_urgent(obj: Any) -> None:
    """An urgent byte that handle_expt did not read would be announced for ever."""
    try:
        obj.socket.recv(1, socket.MSG_OOB)
    except Exception:  # noqa: BLE001
        pass  # it was read, or ordinary data behind it was; or this is no socket, or none of its own


def generation(obj: Any) -> tuple[int, int | None]:
    """Changes when *obj* is closed, or gets another descriptor: the rest of what was polled is not for what comes after.

    Not when it gets another socket over the same connection, as a handler does that begins TLS, nor when it moves to
    another map.
    """
    try:
        number = getattr(obj, "_dispatch_closes", 0)
        return number if type(number) is int else 0, getattr(obj, "_fileno", 0)  # a mock has anything
    except Exception:  # noqa: BLE001 - it need not be a dispatcher, and a __getattr__ of a program's may raise anything
        return 0, 0


def tells_itself(obj: Any) -> bool:
    """Whether *obj* is a dispatcher, which tells the observers that it came and left."""
    try:
        return hasattr(obj, "add_channel")
    except Exception:  # noqa: BLE001 - a __getattr__ of a program's may raise anything
        return False


def renewed(obj: Any, sock: Any) -> None:
    """*obj* gets *sock* in the place of what it has: as after a close, if that is gone, though the number may be the same.

    Not if *sock* is TLS over the same connection, which has taken the number over.
    """
    global closes
    before = vars(obj).get("socket")
    if before is None:
        return
    try:
        number = before.fileno()
    except Exception:  # noqa: BLE001 - it need be no socket, nor still be one
        number = -1
    if number != sock.fileno() and not hasattr(sock, "do_handshake"):
        # What was polled is of the socket before. The last number is of who is being closed, which it is not.
        obj._dispatch_closes, closes = closes + 1, closes + 2


def closed_since(obj: Any, number: int) -> bool:
    """Whether *obj* was closed after so many closes."""
    return generation(obj)[0] > number


def is_closing(obj: Any) -> bool:
    """Whether *obj* is the one that is being closed at this moment, if any is."""
    return generation(obj)[0] == closes > 0


def left_behind(map: Any, key: Any, obj: Any) -> bool:
    """Whether *key* is what is left of a socket in whose place *obj* has made itself another, which stands in *map* as well.

    Then it leaves the map, and nobody hears of it: the new connection has not ended.
    """
    try:
        number = obj._fileno
        if number is None or number == key or map.get(number) is not obj or obj.socket.fileno() != number:
            return False
        del map[key]
    except Exception:  # noqa: BLE001 - it need not be a dispatcher, and another thread may have taken it out
        return False
    return True


def closed_elsewhere(map: Any, key: Any, obj: Any) -> None:
    """*obj* was told that its descriptor is closed. If it has closed itself, that took it out of its own map: it leaves this one, too.

    Nothing can come for it here any more, and the loop over this map would never end.
    """
    try:
        if obj._fileno is None and map.get(key) is obj:
            del map[key]
    except Exception:  # noqa: BLE001 - it need not be a dispatcher, and another thread may have taken it out
        pass


def closed_by_connect(obj: Any) -> bool:
    """Let *obj* hear of the result of its connect; whether it closed itself then."""
    was = generation(obj)
    try:
        obj.handle_connect_event()
    except NotReady as error:
        # Nobody had said that there is something to read, and taken back it would connect again in each turn.
        raise BlockingIOError(*error.args).with_traceback(error.__traceback__) from None
    return generation(obj) != was


def failed(obj: Any, event: str, error: BaseException) -> None:
    """Called in the handler of an exception of *obj*: tell the observers, and let it handle its error."""
    if observers:
        name = _name(obj, event, error)
        for observer in observers:
            observer.raised(obj, name, error)
    obj.handle_error()


def failed_to_say(obj: Any, error: Exception) -> None:
    """The same, for one that was asked what it waits for; what has no ``handle_error`` is no channel, and its error is the loop's."""
    if not hasattr(obj, "handle_error"):
        raise error
    failed(obj, "readable", error)


def _name(obj: Any, event: str, error: BaseException) -> str:
    """The handler of *obj* that let *error* out, for the observers: ``handle_accept`` rather than ``handle_read_event``."""
    name, trace = event, error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name.startswith("handle_") and code.co_argcount:
            owner = trace.tb_frame.f_locals.get(code.co_varnames[0])
            name = code.co_name if owner is obj else name
        trace = trace.tb_next
    return name


def compact_traceback() -> tuple[tuple[str, str, str], Any, Any, str]:
    """The exception being handled: (file, function, line) where it arose, its type, itself, and all frames in one line."""
    t, v, tb = sys.exc_info()
    if tb is None:
        raise AssertionError("traceback does not exist")
    frames = []
    while tb is not None:
        code = tb.tb_frame.f_code
        if code not in UNNAMED:
            frames.append((code.co_filename, code.co_name, str(tb.tb_lineno)))
        tb = tb.tb_next
    return frames[-1], t, v, " ".join(f"[{file}|{function}|{line}]" for file, function, line in frames)


#: Between the functions that asyncore had: in its log lines they have no place.
UNNAMED = {each.__code__ for each in (tell, closed_by_connect, failed, failed_to_say, _close)}
