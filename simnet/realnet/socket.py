"""The face of ``socket.socket`` on a real kernel: its addresses mapped, its connections named, its bytes as plans want them."""

from __future__ import annotations

import errno
import socket as _stdlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.arguments.sockets import checked_blocking, checked_timeout, taken, writable_view
from simnet.faults.inject import Tag
from simnet.faults.place import Place
from simnet.files.dropped import dropped
from simnet.kernel.buffer import scatter
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_WAITALL, SIOCINQ, SOCK_NONBLOCK
from simnet.realnet import datagrams, gates, strangers, tamper, unix
from simnet.realnet.addressed import AF_INET, AF_INET6, Addressed
from simnet.realnet.calls import READABLE, WRITABLE, C, ready
from simnet.realnet.connection import Connection, RealFile, counted
from simnet.realnet.process import RealProcess, current_process
from simnet.resolver.addresses import kernel_address
from simnet.trace import SEGMENT, Failed
from simnet.whereabouts import caller_outside

if TYPE_CHECKING:
    from simnet.realnet.stage import Stage

__all__ = ["RealSocket", "forget", "of_number"]


class RealSocket(Addressed):
    """A ``socket.socket`` of a process of a `RealNetwork`."""

    __slots__ = ()

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        process = current_process()
        if process is None:
            raise RuntimeError("such a socket can be made only in a process of a running RealNetwork")
        if fileno is None:
            _count(process, (family, type, proto))
        C.__init__(self, family, type, proto, fileno)
        self._io_refs, self._closed = 0, False  # as the library's own __init__, which may ask whose socket it is
        C.settimeout(self, 0.0)
        self._process = process
        self._timeout = 0.0 if type != -1 and type & SOCK_NONBLOCK else process.default_timeout
        known = process.stage.files.get(C.fileno(self)) if fileno is not None else None
        self._file = known or remember(process, C.fileno(self), self.family, self.type)
        if self._timeout is not None:
            self._file.waits = False
        process.sockets.add(self)

    def __del__(self) -> None:
        if C.fileno(self) != -1:
            dropped(self, lambda: self._stage.injector, heard=not (self._process.ending or self._process.done))

    # --- what the kernel is not asked ------------------------------------------------------------------------------

    @property
    def timeout(self) -> float | None:
        return self._timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def getblocking(self) -> bool:
        return self._timeout != 0.0

    def settimeout(self, value: float | None) -> None:
        self._timeout = checked_timeout(value)
        C.settimeout(self, 0.0)  # EBADF, if it is closed; the kernel's is never a blocking one, not even for a moment
        self._file.waits = self._timeout is None

    def setblocking(self, flag: bool) -> None:
        RealSocket.settimeout(self, checked_blocking(flag))

    # --- naming, options: never wait -------------------------------------------------------------------------------

    def listen(self, backlog: int = 128, /) -> None:
        file = self._file
        self._quick("listen", (backlog,), C.listen, self, backlog)
        file.listening = True
        if file.family not in (AF_INET, AF_INET6):
            unix.listens(self._stage, file, C.getsockname(self))
            return
        local = C.getsockname(self)
        self._stage.ground.assign_once(file.machine, file.kind, local[0], local[1])  # listen() may have bound it
        place = Place.listener(file.machine.name, self._seen(local)[1])
        counts = self._stage.listeners.setdefault(place, file.tag.counts)
        tag = Tag(place, str(place), "", file.machine.name, counts)
        self._stage.injector.arm(tag, file.machine.target)
        file.tag = tag

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:
        more = (buflen,) if buflen else ()
        return self._quick("getsockopt", (level, optname), C.getsockopt, self, level, optname, *more)

    def setsockopt(self, level: int, optname: int, value: Any = None, optlen: int | None = None, /) -> None:
        more = (value,) if optlen is None else (value, optlen)
        self._quick("setsockopt", (level, optname, value), C.setsockopt, self, level, optname, *more)

    def shutdown(self, how: int, /) -> None:
        announced = how != _stdlib.SHUT_RD and not tamper.before_end(self._stage, self, self._file)
        self._quick("shutdown", (int(how),), _announced if announced else C.shutdown, self, how)
        if (how + 1) & ~self._file.shut:  # said a second time, it does nothing
            self._file.shut |= how + 1
            self._process.effect()

    # --- connections -----------------------------------------------------------------------------------------------

    def connect(self, address: Any, /) -> None:
        self._connect(address, "connect")

    def connect_ex(self, address: Any, /) -> int:
        try:
            self._connect(address, "connect_ex")
        except TimeoutError as error:
            return error.errno or errno.EAGAIN
        except OSError as error:
            if error.errno is None or isinstance(error, _stdlib.gaierror):
                raise
            return error.errno
        return 0

    def _connect(self, address: Any, call: str) -> None:
        self._process.look_up()
        file, target = self._file, address
        if file.family in (AF_INET, AF_INET6):
            host, port, *rest = kernel_address(file.machine, file.family, address, call)  # type: ignore[arg-type]
            where, owner, kernel_port = self._stage.ground.route(file, host, port)
            if port or file.stream:
                kernel_port = kernel_port or self._stage.ground.closed_port(where, file.family)
            target = (where, kernel_port or 0, *rest)
            if not file.stream:
                self._take_home(where)
                datagrams.towards(self._stage, file, owner, port)
            elif file.connection is None:
                target = self._opens(owner, port, target)
            elif file.severed:  # which its kernel would let connect anew, as it does not who was reset from outside
                error = socket_error(errno.EISCONN)
                self._record("connect", file.tag.count("connect"), (address,), error)
                raise error
        named = file.family == AF_UNIX and file.joins and file.connection is None
        if named:
            target = unix.opens(self._stage, file, kernel_address(file.machine, file.family, address, call))  # type: ignore[arg-type]
        n = file.tag.count("connect")
        try:
            if named:
                unix.connect(self, file, target)
            else:
                C.connect(self, target)
            if not file.stream:
                file.shown_host = None  # it is bound to one address now, as its kernel says
        except BlockingIOError as error:
            if error.errno != errno.EINPROGRESS or not (self._timeout or self._blocks):
                self._record("connect", n, (address,), error)
                raise
        except OSError as error:
            self._record("connect", n, (address,), error)
            raise
        else:
            self._record("connect", n, (address,), None)
            return
        failure: OSError | None = None
        if not self._wait("connect", WRITABLE, self._deadline()):
            failure = TimeoutError("timed out")
        elif code := C.getsockopt(self, _stdlib.SOL_SOCKET, _stdlib.SO_ERROR):
            failure = socket_error(code)
        elif self._blocks:
            with suppress(OSError):
                C.connect(self, target)  # has been made: the next attempt hears EISCONN, as behind one that blocks
        self._record("connect", n, (address,), failure)
        if failure is not None:
            tamper.part(self._stage, file)
            raise failure

    def _opens(self, owner: Any, port: int, target: Any) -> Any:
        """A new connection: named, known by its address before its SYN leaves, refused if the plan says so."""
        file, stage = self._file, self._stage
        if C.getsockname(self)[1] == 0:
            C.bind(self, (file.machine.address if file.family == AF_INET else _source6(file, target[0]), 0))
        with stage.lock:
            attempt = (file.machine.name, owner.name, port)
            stage.attempts[attempt] = number = stage.attempts.get(attempt, 0) + 1
            connection = Connection(Place.connection(*attempt, number))
            stage.connections[_key(C.getsockname(self))] = connection
            file.tag = tag = Tag(connection.place, connection.text, "client", file.machine.name, file.tag.counts)
            stage.injector.arm(tag, file.machine.target)
            tamper.arm_streams(stage, connection, file, owner.target)
            tamper.join(stage, file, connection, "client")
        now = stage.clock.now_ns
        stage.trace.entries.append((now, SEGMENT, file.machine.name, connection.text, "server", "SYN", 0, (b"", now)))
        strangers.come_before(stage, connection.place, file.family, target)
        refusal = stage.injector.for_connect(connection.place)
        if refusal is None:
            return target
        stage.fire(refusal, connection.place, connection.text, "", 1)
        return (target[0], stage.ground.closed_port(target[0], file.family), *target[2:])

    def accept(self) -> tuple[_stdlib.socket, Any]:
        process, listener = self._process, self._file

        def attempt(_: int) -> tuple[int, Any]:
            return C._accept(self)  # type: ignore[attr-defined, no-any-return]

        fd, address = self._call("accept", (), attempt, 0, 0, lambda result: self._seen(result[1]))
        with process.stage.lock:
            file = remember(process, fd, listener.family, listener.kind)
            if file.family == AF_UNIX and file.joins:
                unix.accepted(process.stage, listener, file)
            connection = process.stage.connections.get(_key(address)) if isinstance(address, tuple) else None
            if connection is not None:
                tag = Tag(connection.place, connection.text, "server", listener.machine.name)
                process.stage.injector.arm(tag, listener.machine.target)
                file.tag = tag
                tamper.join(process.stage, file, connection, "server")
        accepted = _stdlib.socket(self.family, self.type, self.proto, fileno=fd)
        return accepted, self._seen(address)

    # --- bytes in --------------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if bufsize <= 0:
            if bufsize < 0:
                raise ValueError("negative buffersize in recv")
            return b""
        if flags & MSG_WAITALL and self._blocks and not flags & (MSG_DONTWAIT | MSG_PEEK):
            return self._recv_all(bufsize, flags)
        asked = (bufsize, int(flags)) if flags else (bufsize,)
        return self._call("recv", asked, lambda n: self._take(n, flags), bufsize, flags)  # type: ignore[no-any-return]

    def _recv_some(self, n: int, deadline: int | None) -> bytes:
        """As of a simulated socket: one recv that waits until *deadline*."""
        return self._call("recv", (n,), lambda size: self._take(size, 0), n, 0, None, deadline)  # type: ignore[no-any-return]

    def _take(self, n: int, flags: int) -> bytes:
        """The system call, behind what a reset of ours has left."""
        file = self._file
        if not file.rescued or flags & MSG_OOB:
            return C.recv(self, n, flags)
        piece = file.rescued[0]
        if not flags & MSG_PEEK:
            file.rescued[:1] = [piece[n:]] if n < len(piece) else []
        return piece[:n]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        with writable_view(buffer, "recv_into") as view:
            _, nbytes, flags = taken("recv_into", view, nbytes, flags)
            size = nbytes or len(view)
            data = RealSocket.recv(self, size, flags)
            scatter([view[:size]], data)
        return len(data)  # with MSG_TRUNC, more than there was room for

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        if bufsize < 0:
            raise ValueError("negative buffersize in recvfrom")
        if bufsize and self._file.connection is not None and self._file.family != AF_UNIX:
            return RealSocket.recv(self, bufsize, flags), None  # nobody's address, on a connection
        answer = self._call("recv", (bufsize,), lambda n: C.recvfrom(self, n, flags), bufsize, flags)
        data, address = answer or (b"", None)  # an end of which a fault has told
        return data, self._seen(address)

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        with writable_view(buffer, "recvfrom_into") as view:
            _, nbytes, flags = taken("recvfrom_into", view, nbytes, flags)
            size = nbytes or len(view)
            data, address = RealSocket.recvfrom(self, size, flags)
            scatter([view[:size]], data)
        return len(data), address

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, list[Any], int, Any]:
        if bufsize < 0:
            raise ValueError("negative buffer size in recvmsg()")
        if bufsize and self._file.connection is not None and self._file.family != AF_UNIX and not ancbufsize:
            return RealSocket.recv(self, bufsize, flags), [], 0, None
        answer = self._call("recv", (bufsize,), lambda n: C.recvmsg(self, n, ancbufsize, flags), bufsize, flags)
        data, ancillary, message_flags, address = answer or (b"", [], 0, None)  # as above
        return data, ancillary, message_flags, self._seen(address)

    def recvmsg_into(
        self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Any], int, Any]:
        with ExitStack() as held:
            views = [held.enter_context(writable_view(buffer, "recvmsg_into")) for buffer in buffers]
            data, ancillary, message_flags, address = RealSocket.recvmsg(self, sum(map(len, views)), ancbufsize, flags)
            scatter(views, data)
        return len(data), ancillary, message_flags, address

    def _recv_all(self, bufsize: int, flags: int) -> bytes:
        parts: list[bytes] = []
        deadline = self._kernel_deadline("recv")
        asked = flags & ~MSG_WAITALL
        while bufsize > 0:
            try:
                part = self._call("recv", (bufsize,), lambda n: self._take(n, asked), bufsize, asked, None, deadline)
            except BlockingIOError:  # SO_RCVTIMEO: what has come is not lost
                if not parts:
                    raise
                break
            if not part:
                break
            parts.append(part)
            bufsize -= len(part)
            if bufsize > 0 and self._wait("recv", READABLE, deadline) and not self._has_more():
                break
        return b"".join(parts)

    def _has_more(self) -> bool:
        """Whether the next recv gives bytes; if it fails, that is for the one after this."""
        fd = C.fileno(self)
        return not ready(fd, 0) or counted(fd, SIOCINQ) > 0

    # --- bytes out -------------------------------------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0, /) -> int:
        payload = _bytes(data)
        if self._blocks and not flags & (MSG_DONTWAIT | MSG_OOB) and self._file.stream:
            return self._send_waiting(payload, flags)
        return self._send_some(payload, flags)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self._send_all(_bytes(data), flags, self._deadline())

    def sendto(self, data: Any, *rest: Any) -> int:
        if not 1 <= len(rest) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({len(rest) + 1} given)")
        flags, address = (0, rest[0]) if len(rest) == 1 else rest
        target = self._datagram_target(address, "sendto")
        payload = _bytes(data)
        sent: int = self._call(
            "send", (payload, address), lambda n: C.sendto(self, payload, flags, target), len(payload), flags
        )
        return sent

    def sendmsg(
        self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None, /
    ) -> int:
        payload = b"".join(map(_bytes, buffers))
        ancillary = list(ancdata)
        if not ancillary and address is None and self._file.stream:
            return RealSocket.send(self, payload, flags)
        self._take_home()
        rest = () if address is None else (self._datagram_target(address, "sendmsg"),)
        return self._call(  # type: ignore[no-any-return]
            "send", (payload,), lambda n: C.sendmsg(self, [payload], ancillary, flags, *rest), len(payload), flags
        )

    def _send_some(self, payload: bytes, flags: int, deadline: int | None = -1) -> int:
        """One send: what the kernel takes of *payload*, waiting for room if this socket waits."""
        self._take_home()

        def attempt(n: int) -> int:
            part = payload if n == len(payload) else payload[:n]
            file = self._file
            if file.out is not None and not flags & MSG_OOB:
                return tamper.send(self._stage, self, file, part, flags)
            return C.send(self, part, flags)

        return self._call("send", (payload,), attempt, len(payload), flags, None, deadline)  # type: ignore[no-any-return]

    def _send_waiting(self, payload: bytes, flags: int) -> int:
        """A blocking send, which waits until all is taken; less if SO_SNDTIMEO is over first: on a Unix socket, for one buffer."""
        begun_ns = self._stage.clock.now_ns
        sent = self._send_some(payload, flags, None)
        if sent == len(payload):
            return sent
        deadline = None if self._file.family == AF_UNIX else self._kernel_deadline("send", begun_ns)
        try:
            while sent < len(payload):
                sent += self._send_some(payload[sent:], flags, deadline)
        except BlockingIOError:
            pass
        return sent

    def _send_all(self, payload: bytes, flags: int, deadline: int | None) -> None:
        fired = len(self._stage.injector.fired)
        sent = self._send_some(payload, flags, deadline)
        while sent < len(payload):
            self._look_for_room(payload[sent:], fired)
            sent += self._send_some(payload[sent:], flags, deadline)

    def kernel_send(self, data: bytes, flags: int) -> int:
        """The system call itself, for `tamper`."""
        return C.send(self, data, flags)

    def _sendfile_use_sendfile(self, *_: Any) -> int:
        raise _stdlib._GiveupOnSendfile("no bytes go past the plan")  # type: ignore[attr-defined]

    # --- closing ---------------------------------------------------------------------------------------------------

    def _real_close(self, _ss: Any = None) -> None:
        fd, file = C.fileno(self), self._file
        if fd == -1:
            return
        with self._stage.lock:
            last = file.fds == [fd]
            if (
                last
                and file.stream
                and not tamper.before_end(self._stage, self, file)
                and file.out is not None
                and file.out.waits
            ):
                file.kept = real.dup(fd)
            if last and file.into is not None:
                gates.read_away(file)
            if last and file.listening:
                self._stage.closed_listeners[str(file.tag)] = caller_outside(sys._getframe(1))
            self._record("close", file.tag.count("close"), (), None)
            forget(self._stage, fd)
            C.close(self)

    def detach(self) -> int:
        self._closed = True
        return C.detach(self)


RealSocket.__module__ = "socket"  # so that its repr is the usual one
RealSocket.__qualname__ = "socket"


def remember(process: RealProcess, fd: int, family: int, kind: int) -> RealFile:
    """A new socket of the kernel, in the hands of *process*."""
    file = RealFile(process.machine, int(family), int(kind))
    file.in_hand = process in process.stage.consoles
    file.fds.append(fd)
    process.stage.files[fd] = file
    datagrams.at_port(process.stage, file)
    return file


@contextmanager
def of_number(process: RealProcess, file: RealFile, fd: int) -> Iterator[RealSocket]:
    """An object for calls of *file* by number, which wait as the kernel's would."""
    sock = _stdlib.socket.__new__(RealSocket)
    C.__init__(sock, -1, -1, -1, fd)
    sock._process, sock._file, sock._timeout = process, file, None if file.waits else 0.0
    try:
        yield sock
    finally:
        C.detach(sock)


def forget(stage: Stage, fd: int) -> None:
    """*fd* is about to be closed."""
    with stage.lock:
        file = stage.files.pop(fd, None)
        if file is not None and fd in file.fds:
            file.fds.remove(fd)
            if not file.fds and file in stage.tampered:
                stage.tampered.remove(file)


def _source6(file: RealFile, target: str) -> str:
    """The address from which an IPv6 socket connects: to localhost itself, or to another host in IPv4's name."""
    return "::1" if target == "::1" else f"::ffff:{file.machine.address}"


def _announced(sock: RealSocket, how: int) -> None:
    """A shutdown by who has ended already, or will behind what is held back: if that was reset just now, the kernel is asked."""
    connection = sock._file.connection
    if connection is not None and connection.severed:
        C.shutdown(sock, how)


def _key(address: Any) -> tuple[str, int]:
    return (str(address[0]).removeprefix("::ffff:"), address[1])


def _bytes(data: Any) -> bytes:
    if type(data) is bytes:
        return data
    if isinstance(data, str):
        raise TypeError("a bytes-like object is required, not 'str'")
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None


def _count(process: RealProcess, arguments: tuple[int, int, int]) -> None:
    """Count and write down one more ``socket()`` of this host.

    Raises:
        OSError: a fault makes it, EMFILE and its kin; none is made.
    """
    machine, stage = process.machine, process.stage
    machine.sockets = n = machine.sockets + 1
    place = Place.host(machine.name)
    fault = stage.injector.for_socket(place, n) if machine.target and stage.injector.watches_sockets else None
    if fault is not None:
        stage.fire(fault, place, machine.name, "", n)
    stage.asked(machine, "socket", n, arguments, None if fault is None else Failed(fault.errno))
    if fault is not None:
        raise socket_error(fault.code)
