"""One system call of a simulated socket: counted, faulted, tried until it need not wait, sent, recorded.

The kernel's calls never wait. Here each call is counted and shown to the fault plan, tried, waited for where a blocking
socket would wait, and written into the trace; what the stack has put out is sent. A call that no fault touches and that
need not wait is most of a run, so it goes straight down.
"""

from __future__ import annotations

import contextlib
import errno
import socket as _stdlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from simnet import real
from simnet.clock import deadline_after
from simnet.eventloops import WAITS, look_for_a_loop
from simnet.faults.inject import Tag
from simnet.faults.kinds import Error, Fault, PartialSend, Reset, ShortRecv, WouldBlock
from simnet.kernel.errors import socket_error
from simnet.kernel.full import fill
from simnet.kernel.idle_options import ASKS_FOR_COOKIE, TCP_FASTOPEN_NO_COOKIE
from simnet.kernel.messages import (
    AF_UNIX,
    MSG_DONTWAIT,
    MSG_ERRQUEUE,
    MSG_NOSIGNAL,
    MSG_OOB,
    SOCK_DGRAM,
    SOCK_STREAM,
)
from simnet.kernel.options import IPPROTO_TCP, SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET
from simnet.kernel.readiness import ERR, HUP, IN, OUT, PRI, RDHUP
from simnet.kernel.states import LISTEN, SHUT_RECEIVE, SHUT_SEND
from simnet.trace import CALL, TIMED, Failed, as_given
from simnet.verdicts import NotModelled, Verdict

if TYPE_CHECKING:
    from simnet.machine import Machine
    from simnet.process import Process

__all__ = ["EFFECTIVE", "READABLE", "WRITABLE", "SystemCalls"]

READABLE = IN | ERR | HUP | RDHUP  # what ends a wait for bytes
WRITABLE = OUT | ERR | HUP
NO_COOKIE = (IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE)
# Calls that count as progress, though they give None. Not `shutdown`, which looks by itself whether it does anything.
EFFECTIVE = frozenset({"bind", "connect", "listen", "close", "setsockopt", "accept"})


def _fills(file: Any, size: int) -> bool:
    """Has a TCP socket as much as a read of *size* bytes wants, though SO_RCVLOWAT says that it is too little?"""
    return bool(getattr(file, "low_water", 1) != 1 and file.unread >= size)


def _asked_for_cookie(file: Any) -> bool:
    """Has a connect asked for a cookie? Then a send that would open the connection fails at once, for good."""
    return bool(file.options) and ASKS_FOR_COOKIE in file.options


def _never_waits(op: str, flags: int, kind: int, family: int) -> bool:
    """Does the kernel answer at once, however the socket is set? So it does when asked for a stream's urgent byte."""
    at_once = MSG_ERRQUEUE if kind == SOCK_DGRAM else MSG_OOB | MSG_ERRQUEUE
    if family == AF_UNIX:
        at_once &= ~MSG_ERRQUEUE  # which says nothing to a Unix socket
    return bool(flags & MSG_DONTWAIT or (op == "recv" and flags & at_once))


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

    def _accept(self) -> tuple[int, Any]:
        """What the class in C, of which the library's is made, has for ``accept``."""
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
        try:
            while scheduler.wait((what, file), deadline):
                if file.mask() & events or (what == "send" and file.shut & SHUT_SEND):
                    return True  # a full Unix socket whose peer reads no more shows no OUT, and waits no longer
            return bool(file.mask() & events)
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
        attempt: Callable[..., Any] | None,
        events: int,
        size: int = 0,
        flags: int = 0,
        deadline: int | None = -1,
        accept: bool = False,
        nothing: Any = b"",
        on: Any = None,
        begun: bool = False,
    ) -> Any:
        """A call that may wait: counted, faulted, tried until it need not wait, sent, recorded.

        *nothing* is what a read from a datagram socket gives that may hear no more. *on* is the file, if the kernel has it
        already; if the call has also *begun*, what a plan may do to it has been done.
        """
        file = self._file() if on is None else on
        host = self._machine
        tag = file.tag
        counts = tag.counts
        counts[op] = n = counts.get(op, 0) + 1
        timeout = self._timeout if on is None else None
        if deadline != -1 and not timeout and deadline is not None and on is None:
            timeout = 1.0  # it had one when it began, and has its deadline
        # With a time-out it is CPython that waits, whatever the flags are: before the call, until poll says that it may go on.
        waits = timeout != 0.0 and not (
            flags and timeout is None and _never_waits(op, flags, self._kind, self._net_family)
        )
        from_kernel = on is not None and deadline is not None and deadline != -1
        fault: Fault | None = None
        result: Any = None
        if not begun and (tag.faults is not None or tag.dice is not None):
            fault, size = self._apply(file, tag, op, n, arguments, timeout, waits, size)
        elif (
            not begun
            and op == "send"
            and tag.end
            and host.fabric.injector.dice is not None
            and self._kind != SOCK_DGRAM
        ):
            host.fabric.injector.throw_for_bytes(
                file, tag, "client" if tag.end == "server" else "server", file.sent, size
            )
        # On a connection that is to wait, look first: an exception costs ten looks. So on a listener; but one that is none
        # is to say what is wrong.
        look = waits and (
            timeout is not None or (self._kind != SOCK_DGRAM and file.state == LISTEN if accept else tag.end)
        )
        if op == "send" and timeout is None:
            look = False  # a little may go where poll says no; who finds no room waits for poll
        if timeout is None and op == "recv":
            events |= PRI  # the kernel's own wait is for anything new: a read drops the urgent byte it comes to
        while True:
            if not look or file.mask() & events or (timeout is None and op == "recv" and _fills(file, size)):
                try:
                    result = file.accept() if attempt is None else attempt(file, size)
                    break
                except BlockingIOError as error:
                    if error.errno == errno.EINPROGRESS and self._opens_fast(file) and waits and timeout is None:
                        continue
                    opens = error.errno == errno.EINPROGRESS and (not waits or timeout is not None)
                    if opens and op == "send" and (result := self._sent_early(file, arguments)):
                        break
                    if (
                        timeout is not None
                        and file.blocks()
                        and not (flags and _never_waits(op, flags, self._kind, self._net_family))
                    ):  # set so by another descriptor, which Python knows nothing of
                        waits, timeout, deadline = True, None, -1
                    never = error.errno == errno.EALREADY and _asked_for_cookie(file)
                    if timeout is not None and (error.errno == errno.EINPROGRESS or not self._timeout):
                        never = True  # ready to no avail, Python waits again if by now it still has a time-out
                    if not waits or never:
                        host.flush()
                        self._record_failure(tag, op, n, arguments, error)
                        raise
                    if timeout is None and op == "recv" and self._kind == SOCK_DGRAM and file.shut & SHUT_RECEIVE:
                        result = nothing  # who has said that it wants to hear nothing more does not wait for ever
                        break
                    if timeout is None and accept and file.family == AF_UNIX and file.shut & SHUT_RECEIVE:
                        raise self._failed(
                            tag, op, n, arguments, socket_error(errno.EINVAL)
                        ) from None  # nor does a listener
                    if deadline is not None and deadline != -1 and self._process.scheduler.clock.now_ns >= deadline:
                        raise self._late(tag, op, n, arguments, from_kernel) from None  # ready, to no avail
                except OSError as error:
                    host.flush()
                    self._record_failure(tag, op, n, arguments, error)
                    if error.errno == errno.EPIPE:
                        self._broken_pipe(flags)
                    raise
                except NotModelled as refusal:
                    self._refused(refusal)
                    raise
            if deadline == -1:
                if timeout is None and not file.blocks():  # by another descriptor, which Python knows nothing of
                    host.flush()
                    raise self._failed(tag, op, n, arguments, socket_error(errno.EAGAIN))
                deadline = None if timeout is None else self._deadline()
                if deadline is None and file.options:
                    deadline = self._kernel_deadline(file, op)
                    from_kernel = deadline is not None
            if host.out:  # a read that goes on has made room
                host.fabric.route(host)
                if file.mask() & events:
                    continue
            there = self._wait(file, events, deadline, op, timeout is not None)
            if not begun and file.watchers is not None and file.has_no_name():
                if timeout is None:
                    # It goes on without a name, which another process of the host has closed meanwhile.
                    counts[op] = n - 1
                    asked = (op, arguments, attempt, events, size, flags, deadline, accept, nothing)
                    return self._call_without_a_name(file, partial(self._call, *asked, on=file, begun=True))
                self._let_go(file)
            if not there:
                if from_kernel and attempt is not None and op == "recv" and _fills(file, 1):
                    with contextlib.suppress(BlockingIOError):
                        result = attempt(file, size)  # less than SO_RCVLOWAT, but SO_RCVTIMEO is over
                        break
                if from_kernel and op == "recv" and not size and self._kind == SOCK_STREAM and file.family != AF_UNIX:
                    result = nothing  # tcp_recvmsg() has waited, and then goes on only for who wants more
                    break
                raise self._late(tag, op, n, arguments, from_kernel)
            if timeout is not None:
                file = self._process.descriptors.open.get(self._fd)  # Python's wait was for the number
                if file is None:
                    raise self._failed(tag, op, n, arguments, socket_error(errno.EBADF))
            look = False
        if fault is not None:
            self._afterwards(file, fault, op)
        if host.out:
            host.fabric.route(host)
        if accept:
            self._record(tag, op, n, arguments, host.fabric.with_name(host, result[1]))
            return (result[0], result[1], fault)
        if flags & MSG_OOB and (me := self._process.scheduler.current).pending is not None:
            me.meet_pending()  # SIGURG, to who sends to a socket of its own
        self._record(tag, op, n, arguments, result)
        return result

    def _opens_fast(self, file: Any) -> bool:
        """A send that says MSG_FASTOPEN has begun to connect: let it; is there an answer already?"""
        self._machine.fabric.connecting(self._machine, file)
        self._machine.flush()
        return bool(file.mask() & WRITABLE)

    def _sent_early(self, file: Any, arguments: tuple[Any, ...]) -> int:
        """How many bytes the SYN of that send has taken along; 0 where one needs a cookie for it."""
        if not file.options or not file.options.get(NO_COOKIE):
            return 0
        try:
            taken: int = file.went_with_syn(arguments[0])
        except NotModelled as refusal:
            self._refused(refusal)
            raise
        return taken

    def _call_without_a_name(self, file: Any, rest: Callable[[], Any]) -> Any:
        """The rest of a call that has waited in the kernel on *file*, whose last number was closed meanwhile."""
        try:
            return rest()
        finally:
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

    def _apply(
        self, file: Any, tag: Tag, op: str, n: int, arguments: Any, timeout: float | None, waits: bool, size: int
    ) -> tuple[Fault | None, int]:
        """Let the plan act before the call: the fault, if any, and how many bytes the call may move."""
        injector = self._machine.fabric.injector
        if op == "send" and tag.end and self._kind != SOCK_DGRAM:  # a connection's
            injector.throw_for_bytes(file, tag, "client" if tag.end == "server" else "server", file.sent, size)
        moves = min(size, file.unread) if op == "recv" else size
        fault = self._fault(tag, op, n, waits, moves, timeout is not None)
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
            size = min(size, fault.bytes)
        elif isinstance(fault, Reset) and fault.when == "before":
            file.sever()
        return fault, size

    def _afterwards(self, file: Any, fault: Fault, op: str) -> None:
        if isinstance(fault, Reset):
            if fault.when == "after":
                file.sever()
        elif isinstance(fault, (ShortRecv, PartialSend)):
            file.wake(file.mask())

    def _broken_pipe(self, flags: int) -> None:
        """A send has said EPIPE: on a stream comes SIGPIPE besides, unless the flags say no."""
        if self._kind == SOCK_STREAM and not flags & MSG_NOSIGNAL:
            self._process.scheduler.backend.broken_pipe(self._process)

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
