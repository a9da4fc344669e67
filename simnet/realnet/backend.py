"""A real network's answers to the stand-ins: the machine's own, except for names, sockets, and waits that must be stoppable."""

from __future__ import annotations

import _socket
import errno
import os
import socket as _stdlib
import sys
import threading
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any
from weakref import WeakValueDictionary

from simnet import real
from simnet.arguments.sockets import checked_timeout
from simnet.calls import signals
from simnet.clock import deadline_after
from simnet.kernel.errors import socket_error
from simnet.owned.mutex import checked_wait
from simnet.realnet import numbers
from simnet.realnet.pollers import RealEpoll, RealPoll, select
from simnet.realnet.process import SLICE_NS, RealProcess, current_process
from simnet.realnet.socket import RealSocket, forget
from simnet.realnet.unix import socketpair
from simnet.resolver import names
from simnet.standins.sockets import called_by_class
from simnet.tls import sockets as tls
from simnet.verdicts import Escape, Verdict
from simnet.whereabouts import caller_outside

__all__ = ["RealBackend", "provider"]

# A user's subclass of socket.socket -> the same over RealSocket.
_classes: WeakValueDictionary[type, type] = WeakValueDictionary()


class RealBackend:
    """One for all: the process that asks is the calling thread's."""

    __slots__ = ()

    number = staticmethod(count(1).__next__)

    @property
    def _process(self) -> RealProcess:
        process = current_process()
        assert process is not None
        return process

    @property
    def entered(self) -> Any:
        """As of a simulated one: at which line of which code its network was entered, or by whom."""
        return self._process.stage.entered

    # --- sockets ---------------------------------------------------------------------------------------------------

    def new_socket(self, cls: type, family: int, type: int, proto: int, fileno: int | None) -> Any:
        if issubclass(cls, RealSocket):
            return None
        if cls is _stdlib.socket:
            return _socket.socket.__new__(RealSocket)
        if not tls.is_of_tls(cls):
            called_by_class(RealSocket)
        both = _classes.get(cls)
        if both is None:
            both = _classes[cls] = _build(cls)
        return _socket.socket.__new__(both)

    def socketpair(self, family: int | None, type: int, proto: int) -> Any:
        return socketpair(int(_stdlib.AF_UNIX) if family is None else int(family), int(type), proto)

    def dup(self, fd: int) -> int:
        return os.dup(fd)  # of which `descriptor_call` hears

    def close(self, fd: int) -> None:
        forget(self._process.stage, fd)
        os.close(fd)

    def descriptor_call(self, call: str, original: Any, fd: Any, *arguments: Any, **options: Any) -> Any:
        """*original* of ``os``. What closes a number ends what is known of it: the kernel gives it to the next that opens anything.
        A second number is of the same socket, and bytes go as they go by its object.
        """
        stage = self._process.stage
        if call in numbers.BYTES and isinstance(fd, int) and not options:
            return numbers.moved(self._process, call, original, fd, *arguments)
        if call == "close" and isinstance(fd, int):
            forget(stage, fd)
        answer = original(fd, *arguments, **options)
        if call in ("dup", "dup2") and answer != fd:
            numbers.second(stage, fd, answer)
        return answer

    def descriptor_flags(self, call: str, original: Any, fd: Any, *arguments: Any) -> Any:
        return numbers.flags(self._process.stage, call, original, fd, *arguments)

    def sendfile(self, original: Any, *arguments: Any, **options: Any) -> Any:
        named = dict(zip(("out_fd", "in_fd", "offset", "count"), arguments, strict=False)) | options
        if len(named) != 4 or len(arguments) + len(options) != 4:
            return original(*arguments, **options)  # which says so
        return numbers.sent(self._process, original, **named)

    def ioctl(self, fd: Any, request: int, argument: Any, mutate: bool) -> Any:
        return real.ioctl(fd, request, argument, mutate)

    def open_files_limit(self) -> tuple[int, int]:
        return real.getrlimit(real.RLIMIT_NOFILE)

    def limit_open_files(self, soft: int, hard: int) -> None:
        real.setrlimit(real.RLIMIT_NOFILE, (soft, hard))  # of all processes, and of pytest: they are threads

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
        return select(self._process, rlist, wlist, xlist, timeout)

    def poll(self) -> RealPoll:
        return RealPoll(self._process)

    def epoll(self, sizehint: int = -1, flags: int = 0) -> RealEpoll:
        return RealEpoll(self._process, sizehint, flags)

    # --- signals ---------------------------------------------------------------------------------------------------

    def signal_call(self, call: str, original: Any, number: Any, *arguments: Any, **options: Any) -> Any:
        """What *call* of ``signal`` says in the process that asks; the body of the test, in the main thread, has the machine's."""
        process = self._process
        mine = process.in_first_thread and (call == "set_wakeup_fd" or number != signals.SIGINT)
        if mine and (call != "raise_signal" or self._hears(process, number)):
            return signals.signal_call(process, call, number, *arguments, **options)
        return original(number, *arguments, **options)

    def alarm_call(self, call: str, original: Any, *arguments: Any) -> Any:
        """``signal.alarm`` and its kin: the machine's, for the body of a test in the main thread."""
        process = self._process
        if process is process.stage.body:
            return original(*arguments)
        error = Escape(
            f"{process.name} reached for signal.{call} at {caller_outside(sys._getframe(1))}: on real sockets a process is a "
            "thread, and the alarm would be the whole program's. Run this test on simnet.Network."
        )
        process.stage.record(Verdict("Escape", str(error), process.host_name, error))
        raise error

    def kill(self, original: Any, whom: Any, number: Any) -> None:
        """``os.kill``, ``signal.pthread_kill``: what a process sends itself, and has a handler for, comes to it alone."""
        process = self._process
        myself = process.in_first_thread and whom in (real.getpid(), real.get_ident())
        if myself and number != signals.SIGINT and self._hears(process, number):
            signals.signal_call(process, "raise_signal", number)
        else:
            original(whom, number)

    def _hears(self, process: RealProcess, number: Any) -> bool:
        """Has *process* something to do with that signal? If it were to end, so would the interpreter: that is refused."""
        if signals.has_handler(process, number):
            return True
        if signals.ends_who_has_none(number):
            error = Escape(
                f"{process.name} asked at {caller_outside(sys._getframe(1))} for an end by {signals.name_of(number)}, of which "
                "it has no handler: it would be the end of the test run, of which it is a thread"
            )
            process.stage.record(Verdict("Escape", str(error), process.host_name, error))
            raise error
        return False

    # --- time ------------------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        process = self._process
        process.wait("time to pass", (), process.stage.clock.now_ns + round(seconds * 1e9))

    def time_ns(self) -> int:
        return real.time_ns()

    def monotonic_ns(self) -> int:
        return real.monotonic_ns()

    # --- names -----------------------------------------------------------------------------------------------------

    def getaddrinfo(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> list[Any]:
        return names.getaddrinfo(self._names, host, port, family, type, proto, flags)

    def gethostbyname(self, name: str) -> str:
        return names.gethostbyname(self._names, name)

    def gethostbyname_ex(self, name: str) -> tuple[str, list[str], list[str]]:
        return names.gethostbyname_ex(self._names, name)

    def gethostbyaddr(self, address: str) -> tuple[str, list[str], list[str]]:
        return names.gethostbyaddr(self._names, address)

    def without_waiting(self, late: list[float], ask: Callable[[], Any]) -> Any:
        """What *ask()* gives: nobody ever waits for an answer about a name."""
        return ask()

    def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        return names.getnameinfo(self._names, sockaddr, flags)

    def gethostname(self) -> str:
        return self._process.host_name

    def sethostname(self, name: str) -> None:
        raise socket_error(errno.EPERM)  # as an unprivileged process is answered

    @property
    def _names(self) -> Any:
        """The host that asks, of the shape that `simnet.resolver.names` knows."""
        return self._process.machine

    def getdefaulttimeout(self) -> float | None:
        return self._process.default_timeout

    def setdefaulttimeout(self, timeout: float | None) -> None:
        self._process.default_timeout = checked_timeout(timeout)

    # --- chance, and ways out --------------------------------------------------------------------------------------

    def urandom(self, n: int) -> bytes:
        return self._process.random.randbytes(n)

    @property
    def memory(self) -> dict[Any, Any]:
        return self._process.state

    def random(self) -> Random:
        return self._process.random

    def escape(self, what: str, remedy: str = "") -> None:
        """Real threads and subprocesses may be had on a real network."""

    def wait_on(self, condition: Any, timeout: float | None, wait: Callable[..., bool]) -> bool:
        """``threading.Condition.wait`` in slices, so that it ends with its process.

        They have one waiter, which the condition knows all the while: who notifies between two of them is heard.
        """
        if not condition._is_owned():
            return wait(condition, timeout)  # which says so
        process = self._process
        clock = process.stage.clock
        deadline = None
        if timeout is not None:
            deadline = deadline_after(clock.now_ns, checked_wait(True, timeout)) if timeout > 0 else clock.now_ns
        notified = allocate_lock()
        notified.acquire()
        condition._waiters.append(notified)
        saved = condition._release_save()
        heard = False
        try:
            with process.blocked("a lock", deadline):
                while True:
                    process.look_up()
                    left = SLICE_NS if deadline is None else min(SLICE_NS, max(0, deadline - clock.now_ns))
                    heard = notified.acquire(True, left / 1e9)
                    if heard or (deadline is not None and clock.now_ns >= deadline):
                        return heard
                    if left == SLICE_NS:
                        process.settled()
        finally:
            condition._acquire_restore(saved)
            if not heard:
                with suppress(ValueError):
                    condition._waiters.remove(notified)

    def adopt(self, thread: threading.Thread) -> None:
        self._process.adopt(thread)


def _build(cls: type) -> type:
    """*cls*, a subclass of ``socket.socket``, over :class:`RealSocket`: in its MRO ours stands before the library's."""
    if tls.is_of_tls(cls):
        tls.place()  # OpenSSL would wait in C, where nobody ends its wait, and plans could not touch its calls
    return type(cls.__name__, (cls, RealSocket), {"__module__": cls.__module__, "__qualname__": cls.__qualname__})


_backend = RealBackend()


def provider() -> RealBackend | None:
    """The stand-ins ask at each call: is the calling thread a process's?"""
    return None if current_process() is None else _backend
