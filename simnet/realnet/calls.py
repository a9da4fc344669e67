"""One system call on a real kernel: counted, faulted, tried until it need not wait, recorded.

The kernel's socket is always non-blocking; blocking and time-outs are done here, with :meth:`RealProcess.wait`. What a plan
wants of single calls is injected here, what it wants of bytes is done in `tamper.py`.
"""

from __future__ import annotations

import _socket
import errno
import socket as _stdlib
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.calls.systemcall import EFFECTIVE
from simnet.faults.kinds import Drop, Error, Fault, PartialSend, Reset, ResetBeforeAccept, ShortRecv, WouldBlock
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, MSG_DONTWAIT
from simnet.kernel.readiness import ERR, HUP, IN, OUT, RDHUP
from simnet.realnet import gates, tamper
from simnet.realnet.connection import RealFile, opposite
from simnet.realnet.datagrams import can_meet
from simnet.realnet.process import RealProcess, current_process
from simnet.trace import CALL, SEGMENT, Failed

if TYPE_CHECKING:
    from simnet.realnet.stage import Stage

__all__ = ["READABLE", "WRITABLE", "C", "Calls", "ready"]

READABLE, WRITABLE = IN | ERR | HUP | RDHUP, OUT | ERR | HUP
WAITED_FOR = {"recv": READABLE, "accept": READABLE, "send": WRITABLE}

TIMEVAL = struct.Struct("ll")  # socket(7)

C = _socket.socket  # its methods are the system calls


class Calls(_stdlib.socket):
    """What every call of a `RealSocket` has in common."""

    __slots__ = ("_file", "_process", "_timeout")

    _file: RealFile
    _process: RealProcess
    _timeout: float | None

    @property
    def _stage(self) -> Stage:
        return self._process.stage

    @property
    def _held(self) -> bool:
        """Whether its number is its own: what a program has closed by that alone the kernel gives to the next that opens anything."""
        return self._stage.files.get(C.fileno(self)) is self._file

    @property
    def _blocks(self) -> bool:
        """Whether its calls wait as long as it takes. By its number a program may have said that they do not."""
        return not self._timeout and self._file.waits

    def _deadline(self) -> int | None:
        timeout = self._timeout
        return self._stage.clock.now_ns + max(1, round(timeout * 1e9)) if timeout else None

    def _kernel_deadline(self, op: str, begun_ns: int | None = None) -> int | None:
        """When SO_RCVTIMEO or SO_SNDTIMEO end the wait, begun now or then, of a socket that has no time-out of Python's."""
        option = _stdlib.SO_SNDTIMEO if op == "send" else _stdlib.SO_RCVTIMEO
        seconds, microseconds = TIMEVAL.unpack(C.getsockopt(self, _stdlib.SOL_SOCKET, option, TIMEVAL.size))
        limit_ns: int = seconds * 1_000_000_000 + microseconds * 1_000
        if not limit_ns:
            return None
        return limit_ns + (self._stage.clock.now_ns if begun_ns is None else begun_ns)

    def _wait(self, op: str, events: int, deadline: int | None) -> Any:
        """Wait until one of *events* is there; falsy if *deadline* came first."""
        process = current_process() or self._process
        file = self._file
        what = f"{op} on {file.tag.name}"
        if op == "recv" and file.into is not None and file.into.gates:
            return process.wait(what, (), deadline, lambda: gates.readable(file))
        return process.wait(what, [(C.fileno(self), events)], deadline)

    def _quick(self, op: str, arguments: tuple[Any, ...], call: Callable[..., Any], *args: Any) -> Any:
        """A call that never waits."""
        if C.fileno(self) == -1:
            return call(*args)  # EBADF, which no kernel's socket is asked for
        tag = self._file.tag
        n = tag.count(op)
        fault = self._fault(op, n, True, 0) if tag.faults is not None else None
        if fault is not None and fault.when == "before":  # type: ignore[attr-defined]  # only a reset acts on these
            self._sever()
        try:
            result = call(*args)
        except OSError as error:
            self._record(op, n, arguments, error)
            raise
        if fault is not None and fault.when == "after":  # type: ignore[attr-defined]
            self._sever()
        self._record(op, n, arguments, result)
        return result

    def _call(
        self,
        op: str,
        arguments: tuple[Any, ...],
        attempt: Callable[[int], Any],
        size: int,
        flags: int = 0,
        told: Callable[[Any], Any] | None = None,
        deadline: int | None = -1,
    ) -> Any:
        """A call that may wait: counted, faulted, tried until it need not wait, recorded."""
        self._process.look_up()
        if C.fileno(self) == -1:
            raise socket_error(errno.EBADF)
        file = self._file
        n = file.tag.count(op)
        timed = bool(self._timeout)
        waits = timed or (self._blocks and not flags & MSG_DONTWAIT)
        fault = None
        result: Any = None
        if file.tag.faults is not None:
            fault = self._fault(op, n, waits, size)
            size = self._before(op, n, arguments, fault, size)
        if deadline == -1:
            deadline = self._deadline()
        if timed and C.fileno(self) != -1:
            self._wait_for_it(op, n, arguments, deadline, again=False)
        while True:
            try:
                if isinstance(fault, ResetBeforeAccept):
                    self._reset_next(fault)
                result = self._attempt(op, fault, attempt, size, flags)
                break
            except BlockingIOError as error:
                if not waits:
                    self._record(op, n, arguments, error)
                    raise
                if deadline is None:
                    deadline = self._kernel_deadline(op)
            except OSError as error:
                if file.severed and op == "recv" and error.errno == errno.ENOTCONN:
                    result = b""  # dissolved by us where a reset would have come from outside: then the end is read
                    break
                self._record(op, n, arguments, error)
                raise
            self._wait_for_it(op, n, arguments, deadline, again=True)
        if isinstance(fault, (ShortRecv, PartialSend)):
            self._rearm()
        self._record(op, n, arguments, result if told is None else told(result))
        return result

    def _attempt(self, op: str, fault: Fault | None, attempt: Callable[[int], Any], size: int, flags: int) -> Any:
        """The system call, once; a reset behind it comes before anybody has seen what it did."""
        if isinstance(fault, Reset) and fault.when == "after":
            with self._stage.at_once():
                result = self._attempt(op, None, attempt, size, flags)
                self._sever()
            return result
        if op == "recv" and self._file.into is not None:
            return gates.receive(self._file, attempt, size, flags, self._owe)
        return attempt(size)

    def _wait_for_it(self, op: str, n: int, arguments: tuple[Any, ...], deadline: int | None, *, again: bool) -> None:
        """Wait for what the call needs: before it is tried, as Python does with a time-out, whatever the flags; *again* if that
        was in vain: what is ready and has nothing to give, as after ``shutdown``, is asked until the time is up.
        """
        late = again and deadline is not None and self._stage.clock.now_ns >= deadline
        if late or not self._wait(op, WAITED_FOR[op], deadline):
            error = TimeoutError("timed out") if self._timeout else socket_error(errno.EAGAIN)
            self._record(op, n, arguments, error)
            raise error

    def _gave_nothing(self) -> None:
        """TLS has given the end again, and the kernel was not asked: a loop of such reads ends with its process all the same."""
        self._process.look_up()

    # --- faults on single calls --------------------------------------------------------------------------------------

    def _fault(self, op: str, n: int, blocking: bool, size: int) -> Fault | None:
        tag = self._file.tag
        fault = self._stage.injector.for_call(tag, op, n, blocking, size, self._timeout is not None)
        if fault is not None and tag.datagrams and not can_meet(fault, self, self._file, ready(C.fileno(self), IN)):
            return None
        if fault is not None and not isinstance(fault, ResetBeforeAccept):
            self._stage.fire(fault, tag.place, tag.text, tag.end, n)
        return fault

    def _before(self, op: str, n: int, arguments: Any, fault: Fault | None, size: int) -> int:
        """Let the plan act before the call; how many bytes it may move."""
        if isinstance(fault, (WouldBlock, Error)):
            code = errno.EAGAIN if isinstance(fault, WouldBlock) else fault.code
            if code == errno.ETIMEDOUT:
                tamper.sever(self._stage, self._file)  # given up: the connection is gone
                C.getsockopt(self, _stdlib.SOL_SOCKET, _stdlib.SO_ERROR)
            self._rearm()
            error = socket_error(code)
            self._record(op, n, arguments, error)
            raise error
        if isinstance(fault, (ShortRecv, PartialSend)):
            return min(size, fault.bytes)
        if isinstance(fault, Drop):
            C.recv(self, 1)
        if isinstance(fault, Reset) and fault.when == "before":
            self._sever()
        return size

    def _look_for_room(self, rest: bytes, fired: int) -> None:
        """EAGAIN for what is left of a non-blocking ``sendall``, if of it a fault that acted after *fired* others took a part."""
        if not self._timeout and not self._blocks and self._stage.injector.cut_short(fired):
            error = socket_error(errno.EAGAIN)
            self._record("send", self._file.tag.count("send"), (rest,), error)
            raise error

    def _sever(self) -> None:
        """RST from the other end, now; heard of here before the next call is made."""
        peer = self._file.peer()
        tamper.sever(self._stage, peer if peer is not None else self._file)
        tamper.await_death(self._file)

    def _reset_next(self, fault: ResetBeforeAccept) -> None:
        """Who is next in the accept queue has gone by RST before accept looks."""
        if not ready(C.fileno(self), IN):
            return  # nobody is there: EAGAIN, or a wait after which we come here again
        stage, tag = self._stage, self._file.tag
        waiting = [
            each
            for each in stage.connections.values()
            if each.ends["server"] is None and (client := each.ends["client"]) is not None
            and client.fd != -1 and client.connection is each and tag.place is not None
            and (each.place.target, each.place.port) == (tag.place.target, tag.place.port)
        ]  # fmt: skip
        if waiting:
            stage.let_settle(waiting[0].ends["client"].machine)  # type: ignore[union-attr]  # asked for just now
            tamper.sever(stage, waiting[0].ends["client"])  # type: ignore[arg-type]  # asked for just now
            stage.fire(fault, tag.place, tag.text, tag.end, fault.anchor.number)

    def _rearm(self) -> None:
        """No wake-up is lost: edge-triggered pollers are told again."""
        for epoll in list(self._process.epolls):
            epoll.rearm(C.fileno(self))

    def _owe(self) -> None:
        """Edge-triggered pollers are told again of what is hidden now."""
        for epoll in list(self._process.epolls):
            epoll.owe(C.fileno(self))

    # --- the record --------------------------------------------------------------------------------------------------

    def _record(self, op: str, n: int, arguments: Any, result: Any) -> None:
        process, file = self._process, self._file
        if isinstance(result, OSError):
            code = result.errno
            result = Failed("timed out") if code is None else Failed(errno.errorcode.get(code, str(code)))
        elif result or op in EFFECTIVE:
            process.effect()
        now, entries, tag = process.stage.clock.now_ns, process.stage.trace.entries, file.tag
        entries.append((now, CALL, tag.host_name, tag.text, tag.end, op, n, (arguments, result, self._timeout != 0.0)))
        if file.family == AF_UNIX or tag.datagrams:
            return  # no segments go from one end to the other there
        if op == "send" and tag.end and isinstance(result, int) and result:
            part = arguments[0][:result]
            entries.append(
                (now, SEGMENT, file.machine.name, tag.text, opposite(tag.end), "data", file.sent, (part, now))
            )
            file.sent += result
        elif op == "connect" and result is None and tag.end:
            entries.append((now, SEGMENT, tag.host_name, tag.text, "client", "SYN ACK", 0, (b"", now)))


def ready(fd: int, events: int) -> bool:
    """Whether the kernel has one of *events* to tell of *fd*, or an error or the end of both directions."""
    poller = real.poll()
    poller.register(fd, events)
    return bool(poller.poll(0))
