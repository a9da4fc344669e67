"""The simulated answers to the stand-ins: sockets, pollers, clocks, names and random numbers of the calling process."""

from __future__ import annotations

import errno
import importlib
import os
import socket as _stdlib
import stat
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from operator import index
from random import Random
from typing import Any, cast
from weakref import WeakValueDictionary

from simnet import real
from simnet.arguments.polls import descriptor_of
from simnet.arguments.sockets import UINT_MAX, checked_timeout, descriptor_number, whole
from simnet.calls import coming, descriptor_flags, descriptors, socket_files
from simnet.calls.alarms import alarm_call, from_outside
from simnet.calls.by_number import BY_NUMBER, by_number
from simnet.calls.descriptor_flags import ASK_FOR_SIGNALS, unsignalled
from simnet.calls.ioctl import FIOASYNC, ioctl
from simnet.calls.masks import mask_call
from simnet.calls.number_files import fdopen
from simnet.calls.sendfile import sendfile
from simnet.calls.signals import (
    SIGINT,
    announce_interrupt,
    end_by,
    ends_who_has_none,
    has_handler,
    is_signal,
    keep_back,
    signal_call,
)
from simnet.calls.socketpair import socketpair
from simnet.calls.splice import F_SETPIPE_SZ, copy_file_range, file_into_pipe, socket_into_pipe, splice
from simnet.calls.unopened import unopened
from simnet.clock import deadline_after
from simnet.epoll import Epoll
from simnet.files.pipes import NO_MORE, OF_PIPES, Pipes
from simnet.kernel.descriptors import STANDARD
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX
from simnet.kernel.options.values import INT_MAX
from simnet.owned.eventloops import SLEEPS, WAITS, look_for_a_loop
from simnet.owned.mutex import wait_on
from simnet.owned.threads import Pool, Pools, Work
from simnet.poll import Poll, select
from simnet.process import FIRST_DESCRIPTOR, OPEN_FILES_MAX, Process
from simnet.resolver import names
from simnet.resolver.lookups import LATE
from simnet.resolver.numeric import INTERFACES
from simnet.scheduling.stuck import OTHERWISE, reached_out
from simnet.socket import Socket
from simnet.tls import sockets as tls
from simnet.verdicts import Verdict
from simnet.wait import Scheduler, running

__all__ = ["SimulatedBackend", "provider"]

OF_FCNTL = ("fcntl", "flock", "lockf")  # which take an object with a fileno
ARGUMENTS = {  # beside the descriptor
    "fcntl": (1, 2),
    "flock": (1, 1),
    "lockf": (1, 4),
    "get_blocking": (0, 0),
    "set_blocking": (1, 1),
    "get_inheritable": (0, 0),
    "set_inheritable": (1, 1),
}
OF_THE_MAIN_THREAD = {"signal": "signal", "set_wakeup_fd": "set_wakeup_fd"}
OF_OBJECTS = ("eventfd_read", "eventfd_write", "fchdir", "fdatasync", "fpathconf", "fsync")  # as well

_TRUE_SOCKET = _stdlib.socket  # whatever a test puts in its place
# A user's subclass of socket.socket -> the same over Socket.
_classes: WeakValueDictionary[type, type] = WeakValueDictionary()


class SimulatedBackend:
    """One for each network. Every method is called by code of the process that runs now."""

    __slots__ = ("_look", "_pools", "_scheduler", "_spawn", "number")

    def __init__(self, scheduler: Scheduler, look: Callable[[], None], spawn: Callable[..., Process]) -> None:
        self._scheduler = scheduler
        self._look = look  # whether a library was loaded meanwhile that keeps something for each process
        self._spawn = spawn
        self._pools = Pools()
        self.number = count(1).__next__

    @property
    def network(self) -> Any:
        """The network for which it answers."""
        return self._spawn.__self__  # type: ignore[attr-defined]  # a method of the network's

    @property
    def entered(self) -> Any:
        """At which line of which code its network was entered, or by whom."""
        return self._scheduler.entered

    # --- sockets ---------------------------------------------------------------------------------------------------

    def new_socket(self, cls: type, family: int, type: int, proto: int, fileno: int | None) -> Any:
        if cls is _TRUE_SOCKET or cls is Socket:
            return Socket.__new__(Socket)
        if issubclass(cls, Socket):
            return None
        if tls.is_of_tls(cls):
            tls.place()
        both = _classes.get(cls)
        if both is None:
            both = _classes[cls] = _build(cls)
        return unopened(cast(Any, both).__new__(both), self._scheduler.current)

    def socketpair(self, family: int | None, type: int, proto: int) -> Any:
        if family is None and type is _stdlib.SOCK_STREAM and proto.__class__ is int and not proto:  # as a loop asks
            return socketpair(AF_UNIX, int(type), 0)
        given = (AF_UNIX if family is None else family, type, proto)
        return socketpair(*[whole("listen", last=each) for each in given])

    def dup(self, fd: int) -> int:
        number = descriptor_number(fd)
        if 0 <= number < FIRST_DESCRIPTOR:
            return os.dup(number)  # of a file, which is told later that it is no socket
        return self._scheduler.current.dup(number)

    def close(self, fd: int) -> None:
        process = self._scheduler.current
        descriptors.close(process, descriptor_number(fd))
        process.machine.flush()

    def ioctl(self, fd: Any, request: int, argument: Any, mutate: bool) -> Any:
        if (number := descriptor_of(fd)) < FIRST_DESCRIPTOR:  # a file that the program opened, or a terminal
            ask = partial(real.ioctl, fd, request, argument, mutate)
            return unsignalled(self._scheduler.current, number, ask) if request == FIOASYNC else ask()
        return ioctl(self._scheduler.current.holder_of(number), fd, request, argument, mutate)

    def descriptor_flags(self, call: str, original: Any, fd: Any, *arguments: Any) -> Any:
        """What *call* of ``fcntl`` or ``os`` says of a simulated descriptor, or *original* of a real one."""
        least, most = ARGUMENTS[call]
        if not least <= len(arguments) <= most:
            return original(fd, *arguments)  # which says so
        number = descriptor_of(fd) if call in OF_FCNTL else fd
        if not isinstance(number, int) or not FIRST_DESCRIPTOR <= number <= INT_MAX:
            if call == "fcntl" and arguments[0] == F_SETPIPE_SZ and (pipes := self._scheduler.pipes) is not None:
                return pipes.resized(number, lambda: original(fd, *arguments))
            if call == "fcntl" and arguments[0] in ASK_FOR_SIGNALS:
                return unsignalled(self._scheduler.current, number, lambda: original(fd, *arguments))
            return original(fd, *arguments)
        if call in ("set_blocking", "set_inheritable") and arguments[0].__class__ is not bool:
            descriptors.look_over(original, descriptor_flags.NOBODY, *arguments)
            truth = bool if call == "set_blocking" and sys.version_info >= (3, 12) else index
            arguments = (truth(arguments[0]),)
        process = self._scheduler.current.holder_of(number)
        if call in ("flock", "lockf"):
            process.descriptors.get(number)
            return descriptor_flags.locked(original, *arguments, ranged=call == "lockf")
        return getattr(descriptor_flags, call)(process, number, *arguments)

    def sendfile(self, original: Any, *arguments: Any, **options: Any) -> int:
        """``os.sendfile`` into a simulated descriptor, or *original* into a real one."""
        fd = arguments[0] if arguments else options.get("out_fd")
        if not isinstance(fd, int) or fd < FIRST_DESCRIPTOR:
            if len(arguments) > 2 and arguments[1] in self._scheduler.current.descriptors:
                descriptors.look_over(original, *arguments, **options)
                return socket_into_pipe(self._scheduler, *arguments)
            return file_into_pipe(self._scheduler, fd, lambda: original(*arguments, **options))
        descriptors.look_over(original, *arguments, **options)
        return sendfile(self._scheduler.current, *arguments, **options)

    def closerange(self, original: Any, *arguments: Any, **options: Any) -> None:
        """``os.closerange``: simulated descriptors, which are closed as ``os.close`` does it, and real ones."""
        original(*arguments, **options)
        if options or not any(each >= FIRST_DESCRIPTOR for each in arguments):
            return
        process = self._scheduler.current
        for fd in [fd for fd in process.descriptors if arguments[0] <= fd < arguments[1]]:
            descriptors.close(process, fd)
        process.machine.flush()

    def splice(self, original: Any, *arguments: Any, **options: Any) -> int:
        """``os.splice``, of which one end is a pipe."""
        return splice(self._scheduler, original, arguments, options)

    def copy_file_range(self, *arguments: Any, **options: Any) -> int:
        return copy_file_range(self._scheduler, *arguments, **options)

    def fdopen(self, original: Any, *arguments: Any, **options: Any) -> Any:
        """``os.fdopen`` of a simulated descriptor, of a pipe of this run, or of a real file."""
        fd = arguments[0] if arguments else options.get("fd")
        pipes = self._scheduler.pipes
        if isinstance(fd, int) and (FIRST_DESCRIPTOR <= fd <= INT_MAX or (pipes is not None and pipes.find(fd))):
            return fdopen(original, *arguments, **options)
        return original(*arguments, **options)

    def pipe(self, original: Any, *arguments: Any) -> tuple[int, int]:
        """``os.pipe`` and ``os.pipe2``: a real one, which the run knows."""
        ends: tuple[int, int] = original(*arguments)
        self._made(*ends)
        return ends

    def eventfd(self, original: Any, *arguments: Any, **options: Any) -> int:
        """``os.eventfd``: a real one, which the run knows."""
        fd: int = original(*arguments, **options)
        self._made(fd)
        return fd

    def opened(self, fd: int) -> None:
        """``os.open`` has opened a real file: a pipe with a name is one of the run."""
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            self._made(fd)

    def _made(self, *ends: int) -> None:
        scheduler = self._scheduler
        try:
            scheduler.current.descriptors.reserve_several(len(ends))
        except OSError:  # EMFILE
            for fd in ends:
                os.close(fd)
            raise
        if scheduler.pipes is None:
            scheduler.pipes = Pipes()
        scheduler.pipes.made(ends)

    def descriptor_call(self, call: str, original: Any, fd: Any, *arguments: Any, **options: Any) -> Any:
        """What *call* of ``os`` does with a simulated descriptor, or *original* with a real one.

        A pipe's of this run is waited for here, and who waits for it is told.
        """
        if call in OF_OBJECTS and not isinstance(fd, int) and hasattr(fd, "fileno"):
            fd = descriptor_of(fd)
        if isinstance(fd, int) and fd >= FIRST_DESCRIPTOR:
            return descriptors.descriptor_call(self._scheduler.current, call, original, fd, arguments, options)
        pipes = self._scheduler.pipes
        pipe = None if pipes is None or call not in OF_PIPES else pipes.find(fd)
        if pipes is None or pipe is None or len(arguments) != (call not in NO_MORE):  # too few or many, it says itself
            if call == "dup2":
                return descriptors.dup2_of_a_file(self._scheduler, original, fd, *arguments, **options)
            return original(fd, *arguments, **options)
        if call == "close":
            return pipes.close_number(pipe, original)
        return pipes.called(call, self._scheduler, pipe, original, *arguments)

    def terminal_call(self, original: Any, fd: Any, *arguments: Any) -> Any:
        """What *original* of ``termios`` says of a simulated descriptor, which is no terminal, or of a real one."""
        error = importlib.import_module("termios").error
        try:
            return original(fd, *arguments)  # no real one has the number of a simulated one
        except error as refused:
            number = descriptor_of(fd)
            file = self._scheduler.current.holder_of(number).descriptors.open.get(number)
            if refused.args[0] != errno.EBADF or file is None:
                raise
        code = descriptors.terminal_refusal(file)
        raise error(code, os.strerror(code))

    def signal_call(self, call: str, original: Any, number: Any, *arguments: Any, **options: Any) -> Any:
        """What *call* of ``signal`` says in the process that asks; what is not its own business is *original*'s."""
        process = self._scheduler.current
        if process.owner is not None:
            if call in OF_THE_MAIN_THREAD:
                raise ValueError(f"{OF_THE_MAIN_THREAD[call]} only works in main thread of the main interpreter")
            if call == "raise_signal" and is_signal(number) and number != SIGINT:
                return coming.send_to_thread(process, number)
            process = process.owner
        if call == "set_wakeup_fd":
            ours = isinstance(number, int)
        elif call == "siginterrupt" and len(arguments) != 1:
            ours = False  # which says so
        elif call == "raise_signal" and keep_back(process, number):
            return None
        else:
            if number == SIGINT and call == "raise_signal":
                announce_interrupt(process)
            ours = number != SIGINT and (call != "raise_signal" or self.hears(process, number))
        return (signal_call if ours else original)(*((process, call) if ours else ()), number, *arguments, **options)

    def kill(self, original: Any, whom: Any, number: Any) -> Any:
        """``os.kill``, ``signal.pthread_kill``: what a process sends itself, and has a handler for, comes to it alone."""
        return coming.kill(self._scheduler.current, original, whom, number)

    def send_signal(self, process: Process, number: int) -> None:
        """Another program sends *process* a signal."""
        from_outside(process, number)

    def true_thread(self, ident: Any) -> Any:
        """By which number C, which another would end, knows the thread of that *ident*; ESRCH if there is none, or it has ended."""
        return coming.true_thread(self._program, ident)

    def hears(self, process: Process, number: Any) -> bool:
        """Has *process* something to do with that signal? If it were to end, so would the interpreter: that is refused."""
        if not has_handler(process, number) and ends_who_has_none(number):
            self.escape(*end_by(number))
        return has_handler(process, number)

    def broken_pipe(self) -> None:
        """SIGPIPE comes to who runs."""
        coming.broken_pipe(self._scheduler.current)

    def mask_call(self, call: str, original: Any, *arguments: Any) -> Any:
        """``signal.pthread_sigmask``, ``sigpending``, ``sigwait`` and its kin, ``pause``: in the process that asks."""
        return mask_call(self._scheduler.current, call, original, *arguments)

    def alarm_call(self, call: str, original: Any, *arguments: Any) -> Any:
        """``signal.alarm``, ``setitimer`` and ``getitimer``, of virtual time."""
        return alarm_call(self._program, call, original, *arguments)

    def open_files_limit(self) -> tuple[int, int]:
        return self._scheduler.current.descriptors.limit + STANDARD, OPEN_FILES_MAX

    def limit_open_files(self, soft: int, hard: int) -> None:
        if not 0 <= soft <= hard <= OPEN_FILES_MAX:
            inside = 0 <= soft <= hard
            raise ValueError("not allowed to raise maximum limit" if inside else "current limit exceeds maximum limit")
        self._scheduler.current.descriptors.limit = soft - STANDARD

    def socket_file(self, call: str, path: Any, *arguments: Any, **options: Any) -> tuple[Any] | None:
        """What *call* of ``os`` says of the file of a Unix socket; ``None`` if this host has none of that name."""
        process = self._scheduler.current
        machine = getattr(process, "machine", None)
        if machine is None:  # it was a fault's, and is over: what is due meanwhile may import a module
            return None
        if not socket_files.exists(machine, path, options.get("follow_symlinks", True)):
            return None
        return (getattr(socket_files, call)(machine, path, *arguments, **options),)

    def of_socket_files(self, call: str, *arguments: Any) -> Any:
        """What *call* of ``socket_files`` says of this host; ``None`` where nobody asks."""
        machine = getattr(self._scheduler.current, "machine", None)  # as above
        return None if machine is None else getattr(socket_files, call)(machine, *arguments)

    def by_number(self, call: str, original: Any, number: int, *arguments: Any, **options: Any) -> tuple[Any] | None:
        """The same of a call that takes a number in the place of a path; ``None`` if that is of a real descriptor."""
        if number < FIRST_DESCRIPTOR or call not in BY_NUMBER:
            return None
        descriptors.look_over(original, number, *arguments, **options)
        return (by_number(self._scheduler.current, call, number, arguments, options),)

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
        return select(rlist, wlist, xlist, timeout)

    def poll(self) -> Poll:
        return Poll.made()

    def epoll(self, sizehint: int = -1, flags: int = 0) -> Epoll:
        self._look()  # an asyncio loop begins with one
        return Epoll(sizehint, flags)

    def epoll_of(self, fd: int) -> Epoll:
        return Epoll.fromfd(fd)

    # --- time ------------------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        scheduler = self._scheduler
        if seconds == 0:
            scheduler.pause()
            return
        process = scheduler.current
        if process.target:
            look_for_a_loop(process, f"slept for {seconds:g} s", SLEEPS)
        deadline = deadline_after(scheduler.clock.now_ns, seconds)
        while scheduler.wait(("time to pass", None), deadline):
            pass

    def time_ns(self) -> int:
        epoch_ns: int = self._scheduler.current.machine.epoch_ns
        return epoch_ns + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        scheduler = self._scheduler
        scheduler.activity += 1
        if scheduler.activity >= scheduler.looks_end:
            scheduler.looked()
        return scheduler.clock.now_ns

    # --- names -----------------------------------------------------------------------------------------------------

    def getaddrinfo(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> list[Any]:
        return names.getaddrinfo(self._scheduler.current.machine, host, port, family, type, proto, flags)

    def gethostbyname(self, name: str) -> str:
        return names.gethostbyname(self._scheduler.current.machine, name)

    def gethostbyname_ex(self, name: str) -> tuple[str, list[str], list[str]]:
        return names.gethostbyname_ex(self._scheduler.current.machine, name)

    def gethostbyaddr(self, address: str) -> tuple[str, list[str], list[str]]:
        return names.gethostbyaddr(self._scheduler.current.machine, address)

    def without_waiting(self, late: list[float], ask: Callable[[], Any]) -> Any:
        """What *ask()* gives, which asks for names; for how long it would wait for their answers comes into *late*."""
        state = self._scheduler.current.state
        state[LATE] = late
        try:
            return ask()
        finally:
            del state[LATE]

    def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        return names.getnameinfo(self._scheduler.current.machine, sockaddr, flags)

    def gethostname(self) -> str:
        return self._scheduler.current.host_name

    def sethostname(self, name: Any) -> None:
        os.fspath(name)  # TypeError for what is no name
        raise socket_error(errno.EPERM)  # what Linux answers a process that is not privileged

    def getdefaulttimeout(self) -> float | None:
        return self._scheduler.current.default_timeout

    def setdefaulttimeout(self, timeout: float | None) -> None:
        self._scheduler.current.default_timeout = checked_timeout(timeout)

    def link_call(self, call: str, original: Any, *arguments: Any) -> Any:
        """``socket.if_nameindex`` and its kin: a simulated host has two links. What is wrong, *original* says."""
        if call == "if_nameindex" and not arguments:
            return [(number, name) for name, number in INTERFACES.items()]
        asked = arguments[0] if len(arguments) == 1 else None
        if call == "if_nametoindex" and isinstance(asked, (str, bytes)):
            return INTERFACES.get(os.fsdecode(asked)) or original(asked if set(os.fsencode(asked)) & {0} else "")
        if call == "if_indextoname" and isinstance(asked, int) and asked >= 0:
            known = next((name for name, number in INTERFACES.items() if number == asked), None)
            return known or original(0 if asked <= UINT_MAX else asked)
        return original(*arguments)

    # --- chance, and ways out --------------------------------------------------------------------------------------

    def urandom(self, n: int) -> bytes:
        self._scheduler.activity += 1
        if index(n) < 0:
            raise ValueError("negative argument not allowed")
        return self._scheduler.current.random.randbytes(n)

    def generate_time_safe(self) -> tuple[bytes, int]:
        """What ``uuid.uuid1`` is made of (RFC 9562, 5.1), by this process's clock; no two of one process are alike."""
        return self._scheduler.current.time_of_uuid(self.time_ns())

    @property
    def memory(self) -> dict[Any, Any]:
        return self._scheduler.current.memory

    def random(self) -> Random:
        self._scheduler.activity += 1
        return self._scheduler.current.random

    def thread(self, name: str, function: Callable[..., Any], *arguments: Any, daemon: bool = False) -> Process:
        """A process more on the host of the one that asks, in the place of a thread, with which it shares what threads share."""
        process = self._scheduler.current
        return self._spawn(process.machine, function, arguments, {}, process.owner or process, name, daemon)

    def give(self, owner: Any, work: Work, make: Callable[[], Pool]) -> None:
        """Hand *work* to the pool that *owner*, an executor or a loop, has in this program: it begins with what *make()* gives."""
        self._pools.give(owner, self._program, work, make, self.thread)

    def pool_of(self, owner: Any, make: Callable[[], Pool] | None = None) -> Pool | None:
        """The pool that *owner* has in this program, if anything was handed to it; else it begins with what *make()* gives."""
        return self._pools.of(owner, self._program, make)

    @property
    def _program(self) -> Process:
        process = self._scheduler.current
        return process.owner or process

    def in_line(self) -> list[str]:
        """A line for people on each pool whose threads are all at work, while more waits for them."""
        return self._pools.in_line()

    def escape(self, what: str, remedy: str = OTHERWISE) -> None:
        process = self._scheduler.current
        if (first := process.state.get("escape")) is not None:
            raise first  # what its clean-up runs into is no news, as when asyncio ends a pool of threads that never was
        error = process.state["escape"] = reached_out(process, what, sys._getframe(1), remedy)
        self._scheduler.record(Verdict("Escape", str(error), process.host_name, error))
        raise error

    def wait_on(self, condition: Any, timeout: float | None, _: Any) -> bool:
        """``threading.Condition.wait``, where events and queues wait: another process may notify, time may pass."""
        process = self._scheduler.current
        if process.target and (timeout is None or timeout > 0):
            look_for_a_loop(process, "waited for a thread", WAITS)
        return wait_on(self._scheduler, condition, timeout)


def _build(cls: type) -> type:
    """*cls*, a subclass of ``socket.socket``, over :class:`Socket`: in its MRO ours stands before the real one."""
    names = {"__module__": getattr(cls, "__module__", None), "__qualname__": cls.__qualname__, "__slots__": ()}
    return type(cls.__name__, (cls, Socket), names)


def provider() -> SimulatedBackend | None:
    """The backend of the network that runs in this thread; the stand-ins ask at each call."""
    scheduler = running.scheduler
    return None if scheduler is None else scheduler.backend
