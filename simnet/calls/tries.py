"""A call that may wait, from its first try to its last: where Linux waits in the kernel, and CPython in a poll before the call.

With a time-out it is CPython that waits, for the number, and then makes the kernel's call, which never waits. Without one the
kernel waits, for the file that the number named when the call began.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_OOB, SOCK_DGRAM, SOCK_STREAM
from simnet.kernel.options.idle import ASKS_FOR_COOKIE, TCP_FASTOPEN_NO_COOKIE
from simnet.kernel.options.values import IPPROTO_TCP
from simnet.kernel.readiness import ERR, HUP, IN, OUT, PRI, RDHUP
from simnet.kernel.states import LISTEN, SHUT_RECEIVE
from simnet.verdicts import NotModelled

if TYPE_CHECKING:
    from simnet.calls.systemcall import SystemCalls

__all__ = ["BY_SOCKET", "READABLE", "WRITABLE", "Tries"]

READABLE = IN | ERR | HUP | RDHUP  # what ends a wait for bytes
WRITABLE = OUT | ERR | HUP
BY_SOCKET: Final = -1  # a deadline: what the socket has set says when the wait ends, and whether there is one
NO_COOKIE = (IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE)

# What comes after a try in vain, or after a wait.
ANSWERED: Final = "answered"
FAILED: Final = "failed"
AGAIN: Final = "again"
WAIT: Final = "wait"


class Tries:
    """What a call was asked, and how far it has come. *attempt* is the kernel's call, which never waits.

    A file is *held* by a call that the kernel has made a part of already, or waited for, without a time-out of Python's.
    """

    __slots__ = (
        "answer",
        "arguments",
        "attempt",
        "deadline",
        "events",
        "file",
        "flags",
        "held",
        "in_kernel",
        "n",
        "nameless",
        "nothing",
        "op",
        "size",
        "so_far",
        "sock",
        "tag",
        "timeout",
        "waits",
    )

    def __init__(
        self,
        sock: SystemCalls,
        file: Any,
        op: str,
        n: int,
        arguments: tuple[Any, ...],
        attempt: Callable[[Any, int], Any],
        events: int,
        size: int,
        flags: int,
        deadline: int | None,
        nothing: Any,
        held: bool,
    ) -> None:
        self.sock, self.file, self.tag = sock, file, file.tag
        self.op, self.n, self.arguments, self.nothing = op, n, arguments, nothing
        self.attempt, self.events, self.size, self.flags = attempt, events, size, flags
        self.deadline = deadline
        timeout = None if held else sock._timeout  # the time-out that goes for this call; None if the kernel waits
        set_before = deadline is not None and deadline != BY_SOCKET
        if set_before and not held and not timeout:
            timeout = 1.0  # it had one when it began, and has its deadline
        self.timeout = timeout
        self.held = held
        self.in_kernel = held and set_before  # whose deadline it is: SO_RCVTIMEO's, or Python's
        # With a time-out it is CPython that waits, whatever the flags are.
        self.waits = timeout != 0.0 and not (timeout is None and self._never_waits())
        self.answer: Any = None
        self.so_far: Callable[[], Any] | None = None
        # Does it go on after another process of the host has closed the file's last number?
        self.nameless = held and file.has_no_name()
        if timeout is None and op == "recv":
            self.events |= PRI  # the kernel's own wait is for anything new: a read drops the urgent byte it comes to

    def result(self) -> Any:
        """What the call gives. What it raises has been recorded."""
        sock = self.sock
        look = self._looks_first()
        while True:
            if not look or self._promises():
                try:
                    return self.attempt(self.file, self.size)
                except BlockingIOError as error:
                    step = self._in_vain(error)
                    if step is FAILED:
                        self._put_down(error)
                        raise
                except OSError as error:
                    self._put_down(error)
                    if error.errno == errno.EPIPE:
                        sock._broken_pipe(self.flags)
                    raise
                except NotModelled as refusal:
                    sock._refused(refusal)
                    raise
            else:
                step = WAIT
            if step is WAIT:
                step = self._wait()
            if step is ANSWERED:
                return self.answer
            look = False

    def _looks_first(self) -> bool:
        """Does it ask whether the file is ready before it tries? An exception costs ten looks."""
        if not self.waits or (self.op == "send" and self.timeout is None):
            return False  # a little may go where poll says no; who finds no room waits for poll
        if self.timeout is not None:
            return True
        if self.op == "accept":  # a socket that does not listen is to say what is wrong
            return bool(self.sock._kind != SOCK_DGRAM and self.file.state == LISTEN)
        if self.so_far is not None and getattr(self.file, "low_water", 1) > 1 and self.file.unread:
            return False  # the kernel takes what there is, and then waits for as much as SO_RCVLOWAT says beside that
        return bool(self.tag.end)

    def _promises(self) -> bool:
        """Is the file ready, or has it, for the kernel's own wait, as much as is wanted?

        The kernel looks before it waits, and so passes an urgent byte that was read out of band; and does not wait where another
        descriptor has been set so.
        """
        file = self.file
        if file.mask() & self.events:
            return True
        return (
            self.timeout is None
            and self.op == "recv"
            and (_fills(file, self.size if file.blocks() else 1) or bool(getattr(file, "urg_data", 0)))
        )

    def _never_waits(self) -> bool:
        """Does the kernel answer at once, however the socket is set? So it does when asked for a stream's urgent byte."""
        flags, sock = self.flags, self.sock
        if not flags:
            return False
        at_once = MSG_ERRQUEUE if sock._kind == SOCK_DGRAM else MSG_OOB | MSG_ERRQUEUE
        if sock._net_family == AF_UNIX:
            at_once &= ~MSG_ERRQUEUE  # which says nothing to a Unix socket
        return bool(flags & MSG_DONTWAIT or (self.op == "recv" and flags & at_once))

    def _in_vain(self, error: BlockingIOError) -> str:
        """The kernel would have to wait, and says so by *error*: what now?"""
        sock, file, op = self.sock, self.file, self.op
        opening = error.errno == errno.EINPROGRESS
        if opening:  # a send that says MSG_FASTOPEN has begun to connect
            there = self._opens_fast()
            if self.waits and self.timeout is None:
                if there:
                    return AGAIN
            elif op == "send" and self._went_with_syn():
                return ANSWERED
        if self.timeout is not None and file.blocks() and not self._never_waits():
            # set so by another descriptor, which Python knows nothing of
            self.waits, self.timeout, self.deadline = True, None, BY_SOCKET
        if not self.waits or (error.errno == errno.EALREADY and _asked_for_cookie(file)):
            return FAILED
        if sock._kind == SOCK_DGRAM and op != "recv" and not getattr(file, "port", True):
            return FAILED  # no port is left for it, which nobody waits for
        if self.timeout is not None:
            if opening or not sock._timeout:
                return FAILED  # ready to no avail, Python waits again if by now it still has a time-out
        elif self._hears_no_more() and (self.deadline != BY_SOCKET or file.blocks()):  # who waited is not asked again
            if op == "accept":
                raise self._failure(socket_error(errno.EINVAL)) from None
            self.answer = self.nothing
            return ANSWERED
        deadline = self.deadline
        if deadline is not None and deadline != BY_SOCKET and sock._process.scheduler.clock.now_ns >= deadline:
            raise self._late() from None  # ready, to no avail
        return WAIT

    def _hears_no_more(self) -> bool:
        """Does the call wait for what its socket, shut down, is not going to get: a datagram, or a client of a Unix listener?"""
        sock, op = self.sock, self.op
        waits = (op == "recv" and sock._kind == SOCK_DGRAM) or (op == "accept" and self.file.family == AF_UNIX)
        return waits and bool(self.file.shut & SHUT_RECEIVE)

    def _wait(self) -> str:
        """Wait until it is worth another try, or too late."""
        sock, file = self.sock, self.file
        if self.deadline == BY_SOCKET:
            self._set_deadline()
        machine = sock._machine
        if machine.out:  # a read that goes on has made room
            machine.fabric.route(machine)
            if file.mask() & self.events:
                return AGAIN
        me = sock._process.scheduler.current
        handlers = me.handlers
        in_time = sock._wait(file, self.events, self.deadline, self.op, self.timeout is not None)
        if not self.nameless and file.watchers is not None and file.has_no_name():
            if self.timeout is None:
                self.nameless = True
            else:
                sock._let_go(file)
        if self.timeout is None and me.handlers != handlers:
            return self._cut_short()
        if not in_time:
            return self._too_late()
        if self.timeout is not None:
            self.file = sock._process.descriptors.open.get(sock._fd)  # Python's wait was for the number
            if self.file is None:
                raise self._failure(socket_error(errno.EBADF))
        return AGAIN

    def _cut_short(self) -> str:
        """A signal was handled: the kernel's call is over with what it has. Of one that has nothing Python makes another."""
        sock = self.sock
        self.answer = self.so_far() if self.so_far is not None else None
        if self.answer is not None:
            return ANSWERED
        if self.nameless:  # the handler has closed it
            self.nameless = False
            sock._let_go(self.file)
        self.file = sock._process.descriptors.open.get(sock._fd)
        if self.file is None:
            raise self._failure(socket_error(errno.EBADF))
        self.deadline, self.in_kernel = BY_SOCKET, False
        if sock._timeout and not self.file.blocks():  # set by the handler: see below
            self.timeout, self.deadline = sock._timeout, None
        return AGAIN

    def _set_deadline(self) -> None:
        """When the wait ends that begins now: at the end of Python's time-out, or of the kernel's."""
        sock, file = self.sock, self.file
        if self.timeout is not None:
            self.deadline = sock._deadline()
        elif file.blocks():
            self.deadline = sock._kernel_deadline(file, self.op) if file.options else None
            self.in_kernel = self.deadline is not None
        else:  # by another descriptor, which Python knows nothing of
            sock._machine.flush()
            raise self._failure(socket_error(errno.EAGAIN))

    def _too_late(self) -> str:
        """The wait's time is over. The kernel's own gives what little there is; else it is a failure."""
        if self.in_kernel and self.op == "recv":
            if _fills(self.file, 1):
                with contextlib.suppress(BlockingIOError):
                    self.answer = self.attempt(self.file, self.size)  # less than SO_RCVLOWAT, but SO_RCVTIMEO is over
                    return ANSWERED
            if not self.size and self.sock._kind == SOCK_STREAM and self.file.family != AF_UNIX:
                self.answer = self.nothing  # tcp_recvmsg() has waited, and then goes on only for who wants more
                return ANSWERED
        if self.in_kernel and self.timeout is None and self.sock._timeout and not self.held:
            # By now Python has a time-out, so it tries again, and again, and looks at no clock.
            self.timeout, self.deadline, self.in_kernel = self.sock._timeout, None, False
            return AGAIN
        raise self._late()

    def _opens_fast(self) -> bool:
        """Let a connect begin that a send has asked for; is there an answer already?"""
        machine = self.sock._machine
        machine.fabric.connecting(machine, self.file)
        machine.flush()
        return bool(self.file.mask() & WRITABLE)

    def _went_with_syn(self) -> bool:
        """Has the SYN of that send taken bytes along? Where one needs a cookie for it, it has not."""
        file = self.file
        if not file.options or not file.options.get(NO_COOKIE):
            return False
        try:
            self.answer = file.went_with_syn(self.arguments[0])
        except NotModelled as refusal:
            self.sock._refused(refusal)
            raise
        return bool(self.answer)

    def _put_down(self, error: OSError) -> None:
        """Send what is out, and write down that the call failed by *error*."""
        self.sock._machine.flush()
        self.sock._record_failure(self.tag, self.op, self.n, self.arguments, error)

    def _failure(self, error: OSError) -> OSError:
        return self.sock._failed(self.tag, self.op, self.n, self.arguments, error)

    def _late(self) -> OSError:
        return self.sock._late(self.tag, self.op, self.n, self.arguments, self.in_kernel)


def _fills(file: Any, size: int) -> bool:
    """Has a TCP socket as much as a read of *size* bytes wants, though SO_RCVLOWAT says that it is too little?"""
    return bool(getattr(file, "low_water", 1) != 1 and file.unread >= size)


def _asked_for_cookie(file: Any) -> bool:
    """Has a connect asked for a cookie? Then a send that would open the connection fails at once, for good."""
    return bool(file.options) and ASKS_FOR_COOKIE in file.options
