"""The interface and behaviour of asyncore, which Python 3.12 removed, on this library's pollers.

``from dispatch import asyncore`` in your own code, ``dispatch.install()`` for third-party code. What programs rely on is kept:
the map and its re-look-up, the flags, the errno tables, the log lines, ``handle_error`` that closes the channel. Bugs that
lost data are fixed; see docs/migrating-from-asyncore.md.
"""

from __future__ import annotations

# Programs reach the modules and numbers that asyncore had imported: each `as` says that it is meant to be reached.
import os as os
import select as select
import socket as socket
import sys as sys
import time as time
import warnings as warnings
from errno import EAGAIN as EAGAIN
from errno import EALREADY as EALREADY
from errno import EBADF as EBADF
from errno import ECONNABORTED as ECONNABORTED
from errno import ECONNRESET as ECONNRESET
from errno import EINPROGRESS as EINPROGRESS
from errno import EINVAL as EINVAL
from errno import EISCONN as EISCONN
from errno import ENOTCONN as ENOTCONN
from errno import EPIPE as EPIPE
from errno import ESHUTDOWN as ESHUTDOWN
from errno import EWOULDBLOCK as EWOULDBLOCK
from errno import errorcode as errorcode

from dispatch.annotations import Any as _Any
from dispatch.annotations import ClassVar as _ClassVar
from dispatch.errors import OUT_OF_RESOURCES as _OUT_OF_RESOURCES
from dispatch.maps import beginnings as _beginnings
from dispatch.maps import events as _events
from dispatch.maps import predicates as _predicates
from dispatch.maps import serving as _maps
from dispatch.maps.channelmap import ChannelMap as _ChannelMap
from dispatch.observers import observers as _observers
from dispatch.pollers.replaced import replaced as _replaced
from dispatch.sockets import accepting as _accepting

if os.name == "posix":
    from dispatch.maps.filewrapper import file_wrapper

ExitNow = _events.ExitNow
read, write, readwrite, _exception = _events.read, _events.write, _events.readwrite, _events.exception
compact_traceback = _events.compact_traceback
_DISCONNECTED, _reraised_exceptions, _strerror = _events.DISCONNECTED, _events.RERAISED, _events.strerror

if "socket_map" not in globals():  # a reload keeps the channels
    socket_map: dict[_Any, _Any] = _ChannelMap()


def poll(timeout: float | None = 0.0, map: dict[_Any, _Any] | None = None) -> None:
    """One turn over *map*, any number of descriptors, asleep for at most *timeout* seconds."""
    # By the names they have at this moment: programs replace them in this module, and the modules it had imported.
    map = socket_map if map is None else map
    _maps.turn(map, timeout, readwrite, (read, write, _exception), _replaced(select, time, "select"))


def poll2(timeout: float | None = 0.0, map: dict[_Any, _Any] | None = None) -> None:
    """The same with poll(2)'s habits: a connection error that a handler lets out is a close, not an error."""
    _maps.turn(socket_map if map is None else map, timeout, readwrite, None, _replaced(select, time, "poll"))


poll3 = poll2


def loop(
    timeout: float | None = 30.0, use_poll: bool = False, map: dict[_Any, _Any] | None = None, count: int | None = None
) -> None:
    """Serve *map* until it is empty, or for *count* turns. Each turn sleeps for at most *timeout* seconds."""
    map = socket_map if map is None else map
    poll_fun = poll2 if use_poll and hasattr(select, "poll") else poll
    _maps.turns(map, count, poll_fun, timeout)


# What this library needs beside asyncore's own names is called _dispatch_...: subclasses have names of their own, and
# other bases; threading.Thread has a _handle since Python 3.13.


class dispatcher:
    """A socket in a map, and its handlers."""

    debug = False
    connected = False
    accepting = False
    connecting = False
    closing = False
    addr: _Any = None
    ignore_log_types: _ClassVar[_Any] = frozenset({"warning"})

    socket: _Any
    family_and_type: tuple[int, int]

    # When it was closed last, as a number of all closes: what was under way then is not for what comes after.
    _dispatch_closes = 0
    # Whether it is asked before each turn what it waits for, whatever its class is.
    _dispatch_ask = False

    def __init__(self, sock: _Any = None, map: dict[_Any, _Any] | None = None) -> None:
        self._map: dict[_Any, _Any] = socket_map if map is None else map
        self._fileno: int | None = None
        if not sock:  # a socket-like object that is false is none, as ever
            self.socket = None
            return
        sock.setblocking(False)
        self.set_socket(sock, map)
        self.connected = True
        try:
            self.addr = sock.getpeername()
        except OSError as error:
            if error.errno in (ENOTCONN, EINVAL):
                self.connected = False  # not connected yet, or gone again
            else:
                self.del_channel(map)
                raise

    def __repr__(self) -> str:
        kind = type(self)
        module = kind.__module__
        status = [(module.removeprefix("dispatch.") if module in _OURS else module) + "." + kind.__qualname__]
        if self.accepting and self.addr:
            status.append("listening")
        elif self.connected:
            status.append("connected")
        if self.addr is not None:
            try:
                status.append("%s:%d" % self.addr)  # noqa: UP031 - for other shapes it raises, as it should
            except TypeError:
                status.append(repr(self.addr))
        return f"<{' '.join(status)} at {id(self):#x}>"

    # ---- the map

    def add_channel(self, map: dict[_Any, _Any] | None = None) -> None:
        """Stand in the map."""
        map = self._map if map is None else map
        map[self._fileno] = self
        if type(map) is not _ChannelMap:
            _maps.joined(map, self._fileno)
        for observer in _observers:
            observer.opened(self)

    def del_channel(self, map: dict[_Any, _Any] | None = None) -> None:
        """Stand in the map no longer."""
        fd = self._fileno
        map = self._map if map is None else map
        if fd in map:
            try:
                del map[fd]
            except KeyError:
                pass  # another thread closes it as well, and was quicker
            else:
                if type(map) is not _ChannelMap:
                    _maps.left(map, fd)
                for observer in _observers:
                    observer.closed(self, sys.exc_info()[1])
        self._fileno = None

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        """A new socket, in the map at once."""
        self.family_and_type = family, type
        self._dispatch_closes, _events.closes = _events.closes + 1, _events.closes + 2  # see renewed()
        sock = socket.socket(family, type)
        sock.setblocking(False)
        self.set_socket(sock)

    def set_socket(self, sock: _Any, map: dict[_Any, _Any] | None = None) -> None:
        """*sock* is this channel's, in the map at once."""
        _events.renewed(self, sock)
        self.socket = sock
        self._fileno = sock.fileno()
        self.add_channel(map)

    def set_reuse_addr(self) -> None:
        """Let bind() take an address that is in TIME_WAIT; where that cannot be had, say nothing."""
        try:
            option = socket.SOL_SOCKET, socket.SO_REUSEADDR
            self.socket.setsockopt(*option, self.socket.getsockopt(*option) | 1)
        except OSError:
            pass

    # ---- what to poll for

    def readable(self) -> _Any:
        """Whether to look for something to read; asked before each turn where it is overridden."""
        return True

    def writable(self) -> _Any:
        """Whether to look for room to write; asked before each turn where it is overridden."""
        return True

    # ---- the socket's calls

    def listen(self, num: int) -> _Any:
        """Accept connections from now on."""
        self.accepting = True
        _maps.changed(self)
        return self.socket.listen(min(num, 5) if os.name == "nt" else num)

    def bind(self, addr: _Any) -> _Any:
        """Bind to a local address."""
        self.addr = addr
        return self.socket.bind(addr)

    def connect(self, address: _Any) -> None:
        """Connect, now or later; a refusal that is known already is raised."""
        self.connected = False
        self.connecting = True
        _maps.changed(self)
        err = self.socket.connect_ex(address)
        if err in (EINPROGRESS, EALREADY, EWOULDBLOCK) or (err == EINVAL and os.name == "nt"):
            self.addr = address
        elif err in (0, EISCONN):
            self.addr = address
            _events.closed_by_connect(self)
        else:
            raise OSError(err, errorcode[err])

    def accept(self) -> tuple[_Any, _Any] | None:
        """The next connection and its address; None if there is none after all, or none can be had at the moment."""
        try:
            conn, addr = _accepting.plainly(self.socket) or self.socket.accept()
        except TypeError:
            return None
        except OSError as why:
            if why.errno in _OUT_OF_RESOURCES:
                # The connection stays in the queue and keeps the listener ready: rest, or spin.
                self.log_info(f"cannot accept at the moment: {why}", "warning")
                _maps.rest(self)
                return None
            if why.errno in (EWOULDBLOCK, EAGAIN, ECONNABORTED) or _accepting.died_in_queue(self.socket, why.errno):
                return None
            raise
        return conn, addr

    def send(self, data: _Any) -> _Any:
        """How many bytes the kernel took; 0 if it is full, or the connection over."""
        try:
            return self.socket.send(data)
        except OSError as why:
            if why.errno in (EWOULDBLOCK, EAGAIN):
                return 0
            if why.errno in _DISCONNECTED:
                self.handle_close()
                return 0
            raise

    def recv(self, buffer_size: int) -> bytes:
        """What has arrived; ``b""`` at the end of the connection, of which handle_close has been told by then."""
        data: _Any = None
        try:
            data = self.socket.recv(buffer_size)
            if data or _accepting.kind(self.socket) == socket.SOCK_DGRAM:  # an empty datagram is no end
                return data  # type: ignore[no-any-return]
            self.handle_close()
        except OSError as why:
            if data is None and why.errno in (EWOULDBLOCK, EAGAIN):
                # Ready, but nothing there: the loop takes this exception back, the channel lives.
                raise _events.NotReady(*why.args) from None
            if why.errno not in _DISCONNECTED:
                raise
            self.handle_close()
        return b""

    def close(self) -> None:
        """Leave the map and close the socket."""
        _events.closes = self._dispatch_closes = _events.closes + 1
        self.connected = False
        self.accepting = False
        self.connecting = False
        self.del_channel()
        if self.socket is not None:
            try:
                self.socket.close()
            except OSError as why:
                if why.errno not in (ENOTCONN, EBADF):
                    raise

    # ---- logging

    def log(self, message: _Any) -> None:
        """Hits, to stderr."""
        sys.stderr.write(f"log: {message!s}\n")

    def log_info(self, message: _Any, type: str = "info") -> None:
        """Everything else, to stdout; what is in ``ignore_log_types`` is not printed."""
        if type not in self.ignore_log_types:
            print(f"{type!s}: {message!s}")

    # ---- events, and the handlers they go to

    def handle_read_event(self) -> None:
        """Something to read: a connection, the result of a connect, data, the end."""
        if self.accepting:
            if _observers:
                _events.tell(self, "handle_accept")
            else:
                self.handle_accept()
            return
        if not self.connected and self.connecting and _events.closed_by_connect(self):
            return
        if _observers:
            _events.tell(self, "handle_read")
        else:
            self.handle_read()

    def handle_connect_event(self) -> None:
        """The connect is over: handle_connect if SO_ERROR is 0, else the error is raised."""
        err = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if err != 0:
            raise OSError(err, _strerror(err))
        closes = self._dispatch_closes
        _events.tell(self, "handle_connect")
        if self._dispatch_closes == closes:
            self.connected = True
            self.connecting = False
            _maps.changed(self)

    def handle_write_event(self) -> None:
        """Room to write, or the result of a connect. Nothing for a listener."""
        if self.accepting:
            return
        if not self.connected and self.connecting and _events.closed_by_connect(self):
            return
        if _observers:
            _events.tell(self, "handle_write")
        else:
            self.handle_write()

    def handle_expt_event(self) -> None:
        """An exceptional condition: an error of the socket, or an urgent byte."""
        err = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _events.tell(self, "handle_close" if err != 0 else "handle_expt")

    def handle_error(self) -> None:
        """A handler raised: log it in one line, and close the channel."""
        _, t, v, tbinfo = compact_traceback()
        try:
            self_repr = repr(self)
        except BaseException:  # noqa: BLE001 - a program's repr may fail, the log must not
            self_repr = f"<__repr__(self) failed for object at {id(self):0x}>"
        self.log_info(f"uncaptured python exception, closing channel {self_repr} ({t}:{v!s} {tbinfo})", "error")
        self.handle_close()

    def handle_expt(self) -> None:
        """An urgent byte; read it with ``self.socket.recv(1, socket.MSG_OOB)`` here, it is dropped afterwards."""
        self.log_info("unhandled incoming priority event", "warning")

    def handle_read(self) -> None:
        """Something to read."""
        self.log_info("unhandled read event", "warning")

    def handle_write(self) -> None:
        """Room to write."""
        self.log_info("unhandled write event", "warning")

    def handle_connect(self) -> None:
        """The connect has succeeded; ``connected`` turns true after this."""
        self.log_info("unhandled connect event", "warning")

    def handle_accept(self) -> None:
        """Somebody connects."""
        pair = self.accept()
        if pair is not None:
            self.handle_accepted(*pair)

    def handle_accepted(self, sock: _Any, addr: _Any) -> None:
        """A connection was accepted."""
        sock.close()
        self.log_info("unhandled accepted event", "warning")

    def handle_close(self) -> None:
        """The connection is over."""
        self.log_info("unhandled close event", "warning")
        self.close()


_OURS = ("dispatch.asyncore", "dispatch.asynchat")


class _Queue(bytearray):
    """Output that waits behind other output. Taking from its front copies nothing, so that a backlog costs what it holds."""


class dispatcher_with_send(dispatcher):
    """A dispatcher that keeps what the kernel does not take. ``out_buffer`` may be read and set at any time."""

    _dispatch_out: _Any = b""  # bytes, or a queue of this library's, or what a program has put there

    def __init__(self, sock: _Any = None, map: dict[_Any, _Any] | None = None) -> None:
        dispatcher.__init__(self, sock, map)
        self.out_buffer = b""

    def __init_subclass__(cls, **kwargs: _Any) -> None:
        super().__init_subclass__(**kwargs)
        _beginnings.beginning(cls, "out_buffer", dispatcher_with_send.out_buffer, "_dispatch_out")

    @property
    def out_buffer(self) -> _Any:
        """What waits to be sent."""
        out = self._dispatch_out
        if type(out) is _Queue:
            out = self._dispatch_out = bytes(out)
        elif out is _beginnings.DELETED:
            raise AttributeError("out_buffer")
        return out

    @out_buffer.setter
    def out_buffer(self, data: _Any) -> None:
        before, self._dispatch_out = self._dispatch_out, data
        if type(data) is bytes:
            if data or before:
                _maps.changed(self)
        else:
            _maps.ask_from_now_on(self)  # it may be changed in place, and nobody would tell

    @out_buffer.deleter
    def out_buffer(self) -> None:
        self._dispatch_out = _beginnings.DELETED

    def initiate_send(self) -> None:
        """Send what the kernel takes."""
        out = self._dispatch_out
        if type(out) is bytes and (size := len(out)) <= 65536:
            num_sent = dispatcher.send(self, out)
            if num_sent == size and self._dispatch_out is out:
                self._dispatch_out = b""
                return
        else:
            first = out[:65536]
            num_sent = dispatcher.send(self, bytes(first) if type(out) is _Queue else first)
        out = self._dispatch_out
        if type(out) is bytes and len(out) > 65536:
            out = self._dispatch_out = _Queue(out)
        if type(out) is _Queue:
            del out[: num_sent or 0]  # None, from a socket that does not say, took nothing
            if not out:
                self._dispatch_out = b""
        else:
            self._dispatch_out = out[num_sent:]

    def handle_write(self) -> None:
        self.initiate_send()

    def writable(self) -> _Any:
        return (not self.connected) or len(self._dispatch_out)

    def send(self, data: _Any) -> None:
        """Send *data* after what waits already."""
        if self.debug:
            self.log_info(f"sending {data!r}")
        out = self._dispatch_out
        if not out or type(out) not in (bytes, _Queue):
            self._dispatch_out = out + data
        else:
            if type(out) is bytes:
                out = self._dispatch_out = _Queue(out)
            out += b"" + data  # the sum refuses what is no bytes
        self.initiate_send()
        if self._dispatch_out:
            _maps.changed(self)


_predicates.known_predicates((dispatcher.readable,), (dispatcher.writable, dispatcher_with_send.writable))
_predicates.silent_writers(
    dispatcher.writable, dispatcher.handle_write, dispatcher.handle_write_event, dispatcher.log_info
)


def close_all(map: dict[_Any, _Any] | None = None, ignore_all: bool = False) -> None:
    """Close every channel of *map* and empty it; the first error is raised, unless told otherwise."""
    _maps.close_all(socket_map if map is None else map, ignore_all)


if os.name == "posix":

    class file_dispatcher(dispatcher):
        """A dispatcher over a pipe, a terminal, a file."""

        def __init__(self, fd: _Any, map: dict[_Any, _Any] | None = None) -> None:
            dispatcher.__init__(self, None, map)
            self.connected = True
            try:
                fd = fd.fileno()
            except AttributeError:
                pass
            self.set_file(fd)
            os.set_blocking(fd, False)

        def set_file(self, fd: int) -> None:
            """A duplicate of *fd* is this channel's, in the map at once."""
            self.socket = file_wrapper(fd)
            self._fileno = self.socket.fileno()
            self.add_channel()


del annotations  # a star import brings what asyncore's brought, and no more
