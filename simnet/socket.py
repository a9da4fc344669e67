"""The face of ``socket.socket``: blocking, with a time-out, or non-blocking, over the simulated kernel.

Here are the arguments, checked as CPython checks them, and the results; what happens in a call is in `calls`.
``makefile``, ``with`` and the fallback of ``sendfile`` come from the standard library, since :class:`Socket` is a
``socket.socket``; everything that would reach C is overridden.
"""

from __future__ import annotations

import _socket
import errno
import socket as _stdlib
import sys
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from simnet.arguments import patched
from simnet.arguments.polls import c_ints
from simnet.arguments.sockets import (
    MISSING,
    SIZE_MAX,
    checked_bytes,
    given_descriptor,
    look_over,
    name_as_the_real_one,
    only_one,
    taken,
    writable_view,
)
from simnet.calls.messages import MessageCalls
from simnet.calls.quick import QuickCalls
from simnet.calls.sendfile import send_file
from simnet.calls.straight import StraightCalls
from simnet.calls.tries import READABLE, WRITABLE
from simnet.calls.unix import UnixCalls
from simnet.faults.inject import Tag
from simnet.faults.kinds import ResetBeforeAccept
from simnet.faults.place import Place
from simnet.files.dropped import dropped
from simnet.files.realfiles import real_file
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_INET, AF_UNIX, MSG_TRUNC, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM
from simnet.kernel.options.values import INT_MAX, SO_ERROR, SOL_SOCKET
from simnet.kernel.readiness import OUT
from simnet.places.datagrams import new
from simnet.resolver.addresses import kernel_address
from simnet.scheduling.strangers import come_before
from simnet.trace import CALL, Failed
from simnet.verdicts import NotModelled
from simnet.wait import running
from simnet.whereabouts import caller_outside, stand

if TYPE_CHECKING:
    from simnet.machine import Machine
    from simnet.process import Process
    from simnet.wait import Scheduler

__all__ = ["Socket", "socket_of"]

FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC
FAMILIES = {int(each): each for each in _stdlib.AddressFamily}  # a look-up; the enum's own costs a microsecond
KINDS = {int(each): each for each in _stdlib.SocketKind}
_BYTES, _FROM = itemgetter(0), itemgetter(0, 3)  # of what recvmsg gives: what recv and recvfrom give
_new: Any = _socket.socket.__new__  # past the stand-in at socket.socket.__new__


class Socket(UnixCalls):
    """A ``socket.socket`` of a simulated process."""

    __slots__ = ("_kind", "_number", "_protocol")

    def __new__(cls, *args: Any, **kwargs: Any) -> Socket:  # noqa: ARG004  # they are for __init__
        patched.heed()
        made: Socket = _new(cls)
        return made

    def __hash__(self) -> int:
        """Its number, for programs keep clients in sets; an address would be another in each run."""
        try:
            return self._number
        except AttributeError:
            scheduler = running.scheduler
            self._number: int = object.__hash__(self) if scheduler is None else scheduler.backend.number()
            return self._number

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        machine: Machine | None = None,
    ) -> None:
        self._fd = -1
        self._io_refs = 0
        self._closed = False
        scheduler = running.scheduler
        if scheduler is None:
            raise RuntimeError("a simulated socket can be made only in a process of a running network")
        self._process = process = scheduler.current
        self._machine = machine = machine or process.machine
        self._timeout = process.default_timeout
        family, kind, proto = c_ints(family, type, proto)
        if fileno is None:
            self._net_family = family = AF_INET if family == -1 else family
            self._protocol = proto = 0 if proto == -1 else proto
            kind = SOCK_STREAM if kind == -1 else kind
            if kind & FLAGS:
                if kind & SOCK_NONBLOCK:
                    self._timeout = 0.0
                kind &= ~FLAGS
            self._kind = kind
            _made(scheduler, machine, (family, kind, proto))
            try:
                file = machine.stack.socket(family, kind, proto)
            except NotModelled as refusal:
                self._refused(refusal)
                raise
            here = machine.name
            file.tag = Tag(None, f"new socket of {here}", "", here) if kind != SOCK_DGRAM else new(machine, family)
            if self._timeout is not None:
                file.nonblocking = True
            self._fd = process.descriptors.add(file)
        else:
            fd = given_descriptor(fileno)
            known: Any = process.descriptors.open.get(fd)
            if known is None:
                self._process = process.holder_of(fd)
                known = self._process.descriptors.open.get(fd) or real_file(scheduler, fd)
            if known is None:
                raise socket_error(errno.EBADF)
            if not hasattr(known, "family"):  # an epoll, a pipe, a file
                raise socket_error(errno.ENOTSOCK)
            if (home := known.tag.host_name) != machine.name:  # made by `Host.socket`: its kernel is not the caller's
                self._machine = machine.fabric.machines[home]
            self._fd = fd
            self._net_family = known.family if family == -1 else family
            self._kind = known.type if kind == -1 else kind & ~FLAGS
            self._protocol = known.proto if proto == -1 else proto
            if kind != -1 and kind & SOCK_NONBLOCK:
                self._timeout = 0.0
            elif self._timeout is not None:
                known.nonblocking = True

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) != -1 and not (self._process.owner or self._process).done:
            dropped(self, lambda: self._machine.fabric.injector, heard=not (self._process.ending or self._process.lent))

    # --- what the object knows without asking the kernel -----------------------------------------------------------

    @property
    def family(self) -> Any:
        return FAMILIES.get(self._net_family, self._net_family)

    @property
    def type(self) -> Any:
        return KINDS.get(self._kind, self._kind)

    @property
    def proto(self) -> int:
        return self._protocol

    @proto.setter
    def proto(self, value: Any) -> None:
        raise AttributeError("readonly attribute")

    def fileno(self, *none: Any, **named: Any) -> int:
        if none or named:
            look_over("fileno", *none, **named)
        return self._fd

    def __repr__(self) -> str:
        """As the standard library's, which asks for both names: but whoever looks at a socket has called nothing.

        A debugger, a log line, pytest that explains an assertion: none may change a run or move a fault's call.
        """
        kind, closed = type(self), getattr(self, "_closed", False)
        text = f"<{kind.__module__}.{kind.__qualname__}{' [closed]' if closed else ''} fd={self.fileno()}"
        text += f", family={self.family}, type={self.type}, proto={self.proto}"
        for name in () if closed else ("sock", "peer"):
            try:
                address = getattr(self._file(), f"get{name}name")()
            except (OSError, AttributeError):  # not connected; its network is gone
                continue
            if address:
                text += f", {'l' if name == 'sock' else 'r'}addr={address}"
        return f"{text}>"

    # --- connections -----------------------------------------------------------------------------------------------

    def connect(self, *address: Any, **named: Any) -> None:
        self._connect(only_one("connect", address, named), "connect")

    def connect_ex(self, *address: Any, **named: Any) -> int:
        try:
            self._connect(only_one("connect_ex", address, named), "connect_ex")
        except TimeoutError as error:
            return error.errno or errno.EAGAIN
        except OSError as error:
            if error.errno is None or isinstance(error, _stdlib.gaierror):
                raise
            return error.errno
        return 0

    def _connect(self, address: Any, call: str) -> None:
        resolved = kernel_address(self._machine, self._net_family, address, call)
        file, host = self._file(), self._machine
        if getattr(file, "family", 0) == AF_UNIX:  # an epoll is of none
            self._connect_unix(file, resolved)
            return
        if host.fabric.injector.strangers:
            come_before(self._process.scheduler, host, file, resolved)
        try:
            begun = file.type == SOCK_STREAM and file.begin(resolved)
            if not begun:
                file.connect(resolved)
        except OSError as error:
            host.flush()
            n = file.tag.count("connect")
            if error.errno == errno.EALREADY and file.blocks():
                # A blocking connect waits for the attempt that is made.
                self._wait_connected(file, resolved, n, True, errno.EALREADY)
                return
            self._record_failure(file.tag, "connect", n, (resolved,), error)
            raise
        if begun or self._kind == SOCK_DGRAM:
            host.fabric.connecting(host, file)
        n = file.tag.count("connect")
        if not begun:
            self._record(file.tag, "connect", n, (resolved,), None)
            host.flush()
            return
        host.flush()
        in_kernel = file.blocks()  # which is asked by nobody who may have set that by another descriptor
        if not in_kernel and not self._timeout:
            raise self._failed(file.tag, "connect", n, (resolved,), socket_error(errno.EINPROGRESS))
        self._wait_connected(file, resolved, n, in_kernel)

    def _wait_connected(self, file: Any, resolved: Any, n: int, in_kernel: bool, late: int = errno.EINPROGRESS) -> None:
        timeout, deadline = (None, None) if in_kernel else (self._timeout, self._deadline())
        if in_kernel and file.options:
            deadline = self._kernel_deadline(file, "send")
        ended = in_kernel and deadline == self._process.scheduler.clock.now_ns  # SO_SNDTIMEO is negative
        error: OSError | None = None
        # The kernel's own waits for the state to change; Python's poll hears of a hang-up that shutdown() made before.
        end = OUT if in_kernel else WRITABLE
        if ended or not (file.mask() & end or self._wait(file, end, deadline, "connect", not in_kernel)):
            if timeout is None and self._timeout and late == errno.EINPROGRESS:
                self._wait_connected(file, resolved, n, False)  # SO_SNDTIMEO is over, but by now Python has a time-out
                return
            error = socket_error(late) if timeout is None else TimeoutError("timed out")
        elif timeout is None:
            try:
                file.finish_connect(resolved)  # takes the error and leaves the socket fresh
            except OSError as refused:
                error = refused
        else:
            there: Any = self._process.descriptors.open.get(self._fd)  # another by now, it may be
            code = errno.EBADF if there is None else there.getsockopt(SOL_SOCKET, SO_ERROR)
            error = socket_error(code) if code else None
        self._let_go(file)
        self._machine.flush()
        if error is None:
            self._record(file.tag, "connect", n, (resolved,), None)
            return
        self._record_failure(file.tag, "connect", n, (resolved,), error)
        try:
            raise error
        finally:
            error = None  # else frame and exception would hold each other

    def accept(self) -> tuple[Socket, Any]:
        process = self._process.scheduler.current  # who was handed the listener has what it accepts
        if not self._timeout:  # else Python waits before it calls
            process.descriptors.reserve()
        host, listener = self._machine, self._file().tag
        if self._net_family == AF_UNIX and type(listener) is Tag and listener.host_name != process.host_name:
            self._served_by(process.machine)
        file, address, fault = self._call("accept", (), lambda file, _: _next_of(file, process), READABLE)
        if file.family == AF_UNIX:  # not by its own family: another's number may be in its place, by dup2
            self._accepted_unix(file, fault)
        else:
            host.fabric.accepted(host, file, listener)
            if isinstance(fault, ResetBeforeAccept):
                file.sever()
                host.flush()
        if process.target:
            file.tag.accepted_by = stand(sys._getframe(1))
        return socket_of(process, host, file, (self._net_family, self._kind, self._protocol)), address

    # --- bytes in --------------------------------------------------------------------------------------------------

    def _recv(self, bufsize: Any, flags: Any, *more: Any) -> bytes:
        usual = bufsize.__class__ is int and 0 < bufsize <= SIZE_MAX and flags.__class__ is int and not more
        if not usual or abs(flags) > INT_MAX:
            bufsize, flags = taken("recv", bufsize, flags, *more)
            if not bufsize:
                return b""
        if self._net_family == AF_UNIX and self._may_go_on(flags):
            return self._read_on(bufsize, 0, flags, _BYTES)  # type: ignore[no-any-return]
        least = self._waits_for(bufsize, flags)
        if least:
            return self._recv_all(bufsize, flags, least)
        asked = (bufsize, int(flags)) if flags else (bufsize,)
        return self._call("recv", asked, lambda file, n: file.recv(n, flags), READABLE, bufsize, flags)  # type: ignore[no-any-return]

    def recv_into(self, buffer: Any = MISSING, nbytes: Any = 0, flags: Any = 0, *more: Any, **named: Any) -> int:
        if more or named:
            look_over("recv_into", buffer, *_given(nbytes, flags, more), *more, **named)
        view = writable_view(buffer, "recv_into")
        if type(nbytes) is not int or not 0 <= nbytes <= len(view) or type(flags) is not int or abs(flags) > INT_MAX:
            _, nbytes, flags = taken("recv_into", view, nbytes, flags)
        size = nbytes or len(view)
        if size == 0:
            return 0
        with view:  # no traceback is to hold it: who hears EAGAIN may resize the buffer
            if flags & MSG_TRUNC:  # it may count bytes that are not there
                if self._waits_for_all(flags):
                    return len(self._recv_all(size, flags))
                return self._call(  # type: ignore[no-any-return]
                    "recv", (size,), lambda file, n: file.recv_into(view, n, flags), READABLE, size, flags, nothing=0
                )
            data = Socket.recv(self, size, flags)
            view[: len(data)] = data
        return len(data)

    def recvfrom(self, bufsize: Any = MISSING, flags: Any = 0, /, *more: Any, **named: Any) -> tuple[bytes, Any]:
        if named:
            look_over("recvfrom", bufsize, flags, *more, **named)
        plain = type(bufsize) is type(flags) is int and 0 <= bufsize <= SIZE_MAX and abs(flags) <= INT_MAX
        if more or not plain:
            bufsize, flags = taken("recvfrom", bufsize, flags, *more)
        least = self._waits_for(bufsize, flags)
        if least:
            return self._recv_all(bufsize, flags, least), None
        if self._may_go_on(flags):
            return self._read_on(bufsize, 0, flags, _FROM)  # type: ignore[no-any-return]
        return self._call(  # type: ignore[no-any-return]
            "recv", (bufsize,), lambda file, n: file.recvfrom(n, flags), READABLE, bufsize, flags, nothing=(b"", None)
        )

    def recvfrom_into(
        self, buffer: Any = MISSING, nbytes: Any = 0, flags: Any = 0, *more: Any, **named: Any
    ) -> tuple[int, Any]:
        if more or named:
            look_over("recvfrom_into", buffer, *_given(nbytes, flags, more), *more, **named)
        view = writable_view(buffer, "recvfrom_into")
        if type(nbytes) is not int or not 0 <= nbytes <= len(view) or type(flags) is not int or abs(flags) > INT_MAX:
            _, nbytes, flags = taken("recvfrom_into", view, nbytes, flags)
        size = nbytes or len(view)
        with view:  # as above
            data, address = Socket.recvfrom(self, size, flags)
            self._put([view[:size]], data[:size], flags)
        return len(data), address

    # --- bytes out -------------------------------------------------------------------------------------------------

    def _send(self, data: Any, flags: Any, *more: Any) -> int:
        if data.__class__ is bytes and flags.__class__ is int and not flags and not more:  # nearly always
            sent = self._send_straight(data)
            if sent and (sent == len(data) or not self._is_blocking()):
                return sent
            return self._send_once(data, 0, sent)
        if more:
            look_over("send", data, flags, *more)
        payload = data if type(data) is bytes else checked_bytes("send", data)
        if type(flags) is not int or (flags and abs(flags) > INT_MAX):
            _, flags = taken("send", payload, flags)
        return self._send_once(payload, flags) if payload is data else self._send_held(payload, flags, data)

    def sendall(self, data: Any = MISSING, flags: Any = 0, /, *more: Any, **named: Any) -> None:
        if more or named:
            look_over("sendall", data, flags, *more, **named)
        payload = data if type(data) is bytes else checked_bytes("sendall", data)
        if type(flags) is not int or (flags and abs(flags) > INT_MAX):
            _, flags = taken("sendall", payload, flags)
        self._send_all(payload, flags, -1 if self._timeout == 0.0 else self._deadline(), data)

    def sendto(self, data: Any = MISSING, /, *rest: Any, **named: Any) -> int:
        if named or not 1 <= len(rest) <= 2:
            look_over("sendto", data, *rest, **named)
        flags, address = (0, rest[0]) if len(rest) == 1 else rest
        payload = data if type(data) is bytes else checked_bytes("send", data)
        if type(flags) is not int or (flags and abs(flags) > INT_MAX):
            _, flags, _ = taken("sendto", payload, flags, address)
        resolved = kernel_address(self._machine, self._net_family, address, "sendto")
        if self._net_family == AF_UNIX and getattr(self._file(), "type", 0) == SOCK_DGRAM:
            return self._send_to_name((payload, resolved), payload, (), flags, resolved)
        asked = (payload, resolved)
        sent: int = self._call(
            "send", asked, lambda file, n: file.sendto(payload, flags, resolved), WRITABLE, len(payload), flags
        )
        return self._send_once(payload, flags, sent) if sent < len(payload) and self._kind == SOCK_STREAM else sent

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self._check_sendfile_params(file, offset, count)  # type: ignore[attr-defined]
        return send_file(self, file, offset, count)

    # --- closing ---------------------------------------------------------------------------------------------------

    def _real_close(self, _ss: Any = None) -> None:
        fd, self._fd = self._fd, -1
        if fd == -1:
            return
        process = self._process
        file: Any = process.descriptors.open.get(fd)
        if file is None:
            if process.ending or process.done:
                return  # its network closed it at the process's end; `with` statements and finalizers close it once more
            raise socket_error(errno.EBADF)
        linger_ns = 0
        try:
            options = file.options
        except AttributeError:  # an epoll has this number by now
            process.descriptors.close(fd)
            return
        if options is not None and file.refs == 1 and file.type == SOCK_STREAM and file.family != AF_UNIX:
            linger_ns = file.linger_ns()  # by the file's own kind: another one may have this number, by dup2
        tag = file.tag
        if tag.place is not None and tag.place.form == "listener" and not tag.datagrams:
            process.scheduler.closed_listeners[str(tag)] = caller_outside(sys._getframe(1))
        counts = tag.counts
        counts["close"] = n = counts.get("close", 0) + 1
        self._record(tag, "close", n, (), None)
        process.descriptors.close(fd)
        machine = self._machine
        if machine.out:
            machine.fabric.route(machine)
        if linger_ns:
            process.linger(file, linger_ns)

    def detach(self) -> int:
        self._closed = True
        fd, self._fd = self._fd, -1
        return fd

    def dup(self) -> Socket:
        fd = self._process.scheduler.current.dup(self._checked_fd())
        twin: Socket = type(self)(self.family, self.type, self.proto, fileno=fd)
        twin.settimeout(self.gettimeout())
        return twin


patched.are(Socket)
name_as_the_real_one(Socket, StraightCalls, QuickCalls, MessageCalls, like=_stdlib.socket)


def socket_of(process: Process, machine: Machine, file: Any, kind: tuple[int, int, int]) -> Socket:
    """A socket over *file*, which gets a number: what accept() gives, whatever class the listener is of, and an end of a pair.

    *kind* is its family, type and protocol.

    Raises:
        OSError: EMFILE.
    """
    patched.heed()
    made: Socket = _new(Socket)
    made._fd = -1
    made._io_refs, made._closed = 0, False
    made._process = process
    made._machine = machine
    made._timeout = process.default_timeout
    made._net_family, made._kind, made._protocol = kind
    if process.default_timeout is not None:
        file.nonblocking = True
    made._fd = process.descriptors.add(file)
    return made


def _next_of(file: Any, process: Process) -> Any:
    """The next connection of *file*, which stays in its queue if *process* has no number for it."""
    process.descriptors.reserve()
    return file.accept()


def _given(nbytes: Any, flags: Any, more: Any) -> tuple[Any, ...]:
    """Those of the two that a call was given, as far as that shows."""
    given = (nbytes,) if nbytes else ()
    return (nbytes, flags) if more or flags else given


def _made(scheduler: Scheduler, machine: Machine, arguments: tuple[int, int, int]) -> None:
    """Count and write down one more ``socket()`` of *machine*.

    Raises:
        OSError: a fault makes it, EMFILE and its kin; none is made.
    """
    machine.sockets = n = machine.sockets + 1
    here, injector = machine.name, machine.fabric.injector
    fault = injector.for_socket(Place.host(here), n) if machine.target and injector.watches_sockets else None
    if fault is not None:
        injector.fire(fault, Place.host(here), here, "", n)
    if scheduler.recording:
        result = None if fault is None else Failed(fault.errno)
        scheduler.trace.entries.append(
            (scheduler.clock.now_ns, CALL, here, here, "", "socket", n, (arguments, result, False))
        )
    if fault is not None:
        raise socket_error(fault.code)
