"""One system call of a simulated socket: counted, faulted, tried until it need not wait, sent, recorded.

The kernel's calls never wait. Here each call is counted and shown to the fault plan, tried, waited for where a blocking
socket would wait, and written into the trace; what the stack has put out is sent. A call that no fault touches and that
need not wait is most of a run, so it goes straight down.
"""

from __future__ import annotations

import errno
import socket as _stdlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.arguments.sockets import look_over
from simnet.calls.tries import BY_SOCKET, READABLE, Tries
from simnet.clock import deadline_after
from simnet.faults.inject import Tag
from simnet.faults.kinds import Drop, Error, Fault, PartialSend, Preempt, Reset, ShortRecv, WouldBlock
from simnet.kernel.datagrams.tampering import fail, spoil_next
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import (
    AF_UNIX,
    MSG_ERRQUEUE,
    MSG_NOSIGNAL,
    MSG_OOB,
    SOCK_DGRAM,
    SOCK_STREAM,
)
from simnet.kernel.options.values import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from simnet.kernel.states import SHUT_SEND
from simnet.kernel.tcp.full import fill
from simnet.owned.eventloops import WAITS, look_for_a_loop
from simnet.places.datagrams import can_meet
from simnet.scheduling.preempted import stand_behind
from simnet.trace import CALL, TIMED, Failed, as_given
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from simnet.machine import Machine
    from simnet.process import Process

__all__ = ["EFFECTIVE", "SystemCalls"]

# Calls that count as progress, though they give None. Not `shutdown`, which looks by itself whether it does anything.
EFFECTIVE = frozenset({"bind", "connect", "listen", "close", "setsockopt", "accept"})


class Asks:
    """Who waits in a poll with a file: it is woken by news of what it asks for, and of no other kind.

    One that *spins* has been told that the file is ready, and tried in vain. Python tries again without end; here it waits
    for anything that may make a difference.
    """

    __slots__ = ("events", "holds", "process", "spins")

    def __init__(self, process: Process, events: int, spins: bool) -> None:
        self.process = process
        self.events = events
        self.holds = process.holds
        self.spins = spins

    def wake(self, file: Any, events: int) -> None:
        if self.spins or events & self.events:
            self.process.wake(file, events)


class SystemCalls(_stdlib.socket):
    """The part of a simulated socket below its face."""

    __slots__ = ("_fd", "_kind", "_machine", "_process", "_timeout")

    _fd: int
    _io_refs: int  # files that makefile() made
    _kind: int
    _machine: Machine
    _net_family: int
    _process: Process
    _timeout: float | None

    def _checked_fd(self) -> int:
        if self._fd == -1:
            raise socket_error(errno.EBADF)
        return self._fd

    def _accept(self, *none: Any, **named: Any) -> tuple[int, Any]:
        """What the class in C, of which the library's is made, has for ``accept``."""
        if none or named:
            look_over("_accept", *none, **named)
        accepted, address = self.accept()
        return accepted.detach(), address

    def _file(self) -> Any:
        """The kernel's socket; EBADF once it is closed."""
        process = self._process
        if process.ending:
            process.scheduler.still_going(process)
        file = process.descriptors.open.get(self._fd)
        if file is None:
            raise socket_error(errno.EBADF)
        return file

    def _deadline(self) -> int | None:
        timeout = self._timeout
        return None if timeout is None else deadline_after(self._process.scheduler.clock.now_ns, timeout)

    def _kernel_deadline(self, file: Any, op: str) -> int | None:
        """When SO_RCVTIMEO or SO_SNDTIMEO end the wait of a blocking socket; not Python's own time-out."""
        limit_ns: int = file.options.get((SOL_SOCKET, SO_SNDTIMEO if op == "send" else SO_RCVTIMEO), 0)
        return self._process.scheduler.clock.now_ns + max(limit_ns, 0) if limit_ns else None

    def _wait(self, file: Any, events: int, deadline: int | None, what: str, timed: bool) -> bool:
        """Wait until one of *events* comes; False if *deadline* came first. Whoever waits has looked before.

        The kernel's own wait is for *file*. That of a call that is *timed* is Python's poll, which is told of *file*, but
        looks each time at what the number names, and is ready if that is nothing.
        """
        scheduler = self._process.scheduler
        me = scheduler.current
        if me.target:
            look_for_a_loop(me, f"waited for {what}()", WAITS)
        if timed:
            return self._poll_number(file, events, deadline, what, self._fd)
        # The kernel's own wait for one connection, datagram or record: first come, first served.
        if what != "send" and (what == "accept" or self._kind != SOCK_STREAM):
            file.watch_last(me)
        else:
            file.watch(me)
        handlers = me.handlers
        try:
            while scheduler.wait((what, file), deadline):
                if file.mask() & events or (what == "send" and (file.shut & SHUT_SEND or file.has_any_room())):
                    return True  # a full Unix socket whose peer reads no more shows no OUT, and waits no longer
                if me.handlers != handlers:
                    return True  # a signal ends the kernel's call
            at_last = what == "send" and self._net_family == AF_UNIX  # it looks once more, where TCP gives up
            return bool(file.mask() & events or (at_last and file.has_any_room()))
        finally:
            file.unwatch(me)

    def _poll_number(self, file: Any, events: int, deadline: int | None, what: str, fd: int) -> bool:
        scheduler = self._process.scheduler
        named = self._process.descriptors.open
        asks = Asks(scheduler.current, events, spins=bool(file.mask() & events))
        file.watch(asks)
        try:
            late = False
            while not late:
                late = not scheduler.wait((what, file), deadline)
                there: Any = named.get(fd)
                if there is None or there.mask() & events:
                    return True
            return False
        finally:
            file.unwatch(asks)

    def _recv_some(self, size: int, deadline: int | None, on: Any = None) -> bytes:
        """One recv that waits until *deadline*, -1 for the socket's own; for `tls`, whose calls have one for several.

        *on* is the file, if this is the rest of one that has waited.
        """
        begun = on is not None
        data: bytes = self._call(
            "recv", (size,), lambda file, n: file.recv(n), READABLE, size, 0, deadline, on=on, begun=begun
        )
        return data

    def _gave_nothing(self) -> None:
        """TLS has given the end again, and the kernel was not asked: of a loop of such reads somebody should say so."""
        with suppress(OSError):  # its number was closed
            self._process.scheduler.no_effect("recv", self._file().tag.text)

    def _quick(self, file: Any, op: str, arguments: tuple[Any, ...], call: Callable[..., Any], *args: Any) -> Any:
        """A call that never waits, on *file*, which is this socket's."""
        tag = file.tag
        counts = tag.counts
        counts[op] = n = counts.get(op, 0) + 1
        fault = None
        if tag.faults is not None:
            fault = self._fault(tag, op, n, True, 0, False)
            if isinstance(fault, Reset) and fault.when == "before":
                file.sever()
        try:
            result = call(*args)
        except OSError as error:
            self._machine.flush()
            self._record_failure(tag, op, n, arguments, error)
            raise
        except NotModelled as refusal:
            self._refused(refusal)
            raise
        if fault is not None and isinstance(fault, Reset) and fault.when == "after":
            file.sever()
        machine = self._machine
        if machine.out:
            machine.fabric.route(machine)
        self._record(tag, op, n, arguments, result)
        return result

    def _call(
        self,
        op: str,
        arguments: tuple[Any, ...],
        attempt: Callable[[Any, int], Any],
        events: int,
        size: int = 0,
        flags: int = 0,
        deadline: int | None = BY_SOCKET,
        nothing: Any = b"",
        on: Any = None,
        begun: bool = False,
        so_far: Callable[[], Any] | None = None,
    ) -> Any:
        """A call that may wait: counted, faulted, tried until it need not wait, sent, recorded.

        *nothing* is what a read from a datagram socket gives that may hear no more. *on* is the file, if the kernel has it
        already; if the call has also *begun*, what a plan may do to it has been done. *so_far* is what the call has when a signal
        ends its wait, ``None`` for nothing: then it is made anew.
        """
        file = self._file() if on is None else on
        machine = self._machine
        tag = file.tag
        counts = tag.counts
        counts[op] = n = counts.get(op, 0) + 1
        tries = Tries(self, file, op, n, arguments, attempt, events, size, flags, deadline, nothing, on is not None)
        tries.so_far = so_far
        fault: Fault | None = None
        if not begun:
            if tag.faults is not None or tag.dice is not None:
                fault = self._apply(tries)
            elif op == "send" and tag.end and self._kind != SOCK_DGRAM and machine.fabric.injector.dice is not None:
                self._throw_for_bytes(file, tag, size)
        try:
            result = tries.result()
            if fault is not None:
                self._afterwards(tries.file, fault, op)
            if machine.out:
                machine.fabric.route(machine)
            if op == "accept":
                self._record(tag, op, n, arguments, machine.fabric.with_name(machine, result[1]))
                return (*result, fault)
            if flags & MSG_OOB and (me := self._process.scheduler.current).pending is not None:
                me.meet_pending()  # SIGURG, to who sends to a socket of its own
            self._record(tag, op, n, arguments, result)
            if fault is not None and isinstance(fault, Preempt):
                stand_behind(self._process.scheduler, fault.seconds)
            return result
        finally:
            if tries.nameless:
                self._let_go(file)

    def _let_go(self, file: Any) -> None:
        """A call returns that has waited on *file*: it is closed now, if its last number was closed meanwhile."""
        if file.watchers is not None and file.has_no_name():
            file.let_go()
            self._machine.flush()

    def _late(self, tag: Tag, op: str, n: int, arguments: Any, from_kernel: bool) -> OSError:
        """The time is over: Python's own, or that of SO_RCVTIMEO and SO_SNDTIMEO."""
        error = socket_error(errno.EAGAIN) if from_kernel else TimeoutError("timed out")
        return self._failed(tag, op, n, arguments, error)

    def _fault(self, tag: Tag, op: str, n: int, blocking: bool, size: int, timed: bool) -> Fault | None:
        injector = self._machine.fabric.injector
        fault = injector.for_call(tag, op, n, blocking, size, timed)
        if fault is not None:
            injector.fire(fault, tag.place, tag.text, tag.end, n)
        return fault

    def _throw_for_bytes(self, file: Any, tag: Tag, size: int) -> None:
        """Let the dice say what the network does to the bytes of a send."""
        other = "client" if tag.end == "server" else "server"
        self._machine.fabric.injector.throw_for_bytes(file, tag, other, file.sent, size)

    def _apply(self, tries: Tries) -> Fault | None:
        """Let the plan act before the call, on how many bytes it may move among others; the fault, if any."""
        op, n, arguments, file, tag = tries.op, tries.n, tries.arguments, tries.file, tries.tag
        if tag.datagrams:
            self._apply_to_datagrams(tries)
            return None
        if op == "send" and tag.end:  # a connection's
            self._throw_for_bytes(file, tag, tries.size)
        moves = min(tries.size, file.unread) if op == "recv" else tries.size
        fault = self._fault(tag, op, n, tries.waits, moves, tries.timeout is not None)
        if isinstance(fault, WouldBlock):
            late_ns = 0 if fault.seconds is None else max(1, round(fault.seconds * 1e9))
            if not late_ns or not fill(file, self._process.scheduler.clock.now_ns + late_ns):
                file.wake(file.mask())  # an edge-triggered poller is told again: no wake-up may be lost
            raise self._failed(tag, op, n, arguments, socket_error(errno.EAGAIN))
        if isinstance(fault, Error):
            if fault.code == errno.ETIMEDOUT:
                file.die(fault.code)
                file.error = 0  # this call reports it
            self._machine.flush()
            raise self._failed(tag, op, n, arguments, socket_error(fault.code))
        if isinstance(fault, (ShortRecv, PartialSend)):
            tries.size = min(tries.size, fault.bytes)
        elif isinstance(fault, Reset) and fault.when == "before":
            file.sever()
        return fault

    def _apply_to_datagrams(self, tries: Tries) -> None:
        """The same on a socket for datagrams: a call fails, or the datagram that it finds is lost."""
        op, n, file, tag = tries.op, tries.n, tries.file, tries.tag
        injector = self._machine.fabric.injector
        # A blocking send to a name waits, though each of its tries does not: see _send_to_name.
        waits = tries.waits or (self._timeout is None and self._net_family == AF_UNIX and op == "send")
        fault = injector.for_call(tag, op, n, waits, tries.size, tries.timeout is not None)
        if fault is None or tries.flags & MSG_ERRQUEUE or not can_meet(fault, file, tries.arguments, tag.counts):
            return
        injector.fire(fault, tag.place, tag.text, tag.end, n)
        if isinstance(fault, Drop):
            spoil_next(file)
            return
        code = errno.EAGAIN
        if isinstance(fault, Error):
            code = fault.code
            fail(file, op, code)
        file.wake(file.mask())  # an edge-triggered poller is told again: no wake-up may be lost
        self._machine.flush()
        raise self._failed(tag, op, n, tries.arguments, socket_error(code))

    def _afterwards(self, file: Any, fault: Fault, op: str) -> None:
        if isinstance(fault, Reset):
            if fault.when == "after":
                file.sever()
        elif isinstance(fault, (ShortRecv, PartialSend)):
            seconds = fault.seconds if isinstance(fault, PartialSend) else None
            if seconds is None or not fill(file, self._process.scheduler.clock.now_ns + max(1, round(seconds * 1e9))):
                file.wake(file.mask())

    def _broken_pipe(self, flags: int) -> None:
        """A send has said EPIPE: on a stream comes SIGPIPE besides, unless the flags say no."""
        if self._kind == SOCK_STREAM and not flags & MSG_NOSIGNAL:
            self._process.scheduler.backend.broken_pipe()

    def _refused(self, refusal: NotModelled) -> None:
        """A call that the kernel model does not know: the run remembers, whatever the program does with the exception."""
        self._process.scheduler.record(Verdict("NotModelled", str(refusal), self._machine.name, refusal))

    def _failed(self, tag: Tag, op: str, n: int, arguments: Any, error: OSError) -> OSError:
        """*error*, recorded. Returned, not bound to a name by its raiser: frame and exception would hold each other."""
        self._record_failure(tag, op, n, arguments, error)
        return error

    def _record_failure(self, tag: Tag, op: str, n: int, arguments: Any, error: OSError) -> None:
        """Write down a call that raised *error*."""
        if op == "send" and error.errno == errno.EAGAIN and self._io_refs:
            # The BufferedWriter of a makefile() reads the C variable errno for its own error. A real call that fails in
            # the same way sets it: a wait of no length for no signal, half a microsecond.
            real.sigtimedwait((), 0)
        scheduler = self._process.scheduler
        scheduler.no_effect(op, tag.text)
        if not scheduler.recording:
            return
        code = error.errno
        result = Failed("timed out" if code is None else errno.errorcode.get(code, str(code)))
        if op == "send":
            arguments = as_given(arguments, 0)
        entries = scheduler.trace.entries
        entries.append(
            (scheduler.clock.now_ns, CALL, tag.host_name, tag.text, tag.end, op, n,
             (arguments, result, self._timeout != 0.0 and (self._timeout is None or TIMED)))
        )  # fmt: skip
        if len(entries) > scheduler.entries_max:
            scheduler.too_much(self._process)

    def _record(self, tag: Tag, op: str, n: int, arguments: Any, result: Any) -> None:
        """Write down a call that gave *result*."""
        scheduler = self._process.scheduler
        if result or op in EFFECTIVE or (op == "recv" and self._kind == SOCK_DGRAM):
            scheduler.effects += 1
        else:
            scheduler.no_effect(op, tag.text)
        if scheduler.recording:
            if op == "send":
                arguments = as_given(arguments, result)
            entries = scheduler.trace.entries
            entries.append(
                (scheduler.clock.now_ns, CALL, tag.host_name, tag.text, tag.end, op, n,
                 (arguments, result, self._timeout != 0.0 and (self._timeout is None or TIMED)))
            )  # fmt: skip
            if len(entries) > scheduler.entries_max:
                scheduler.too_much(self._process)
