"""The calls of a socket that never wait: names, time-outs, options, listening, shutdown, inheritance."""

from __future__ import annotations

import errno
import sys
from operator import index
from typing import Any

from simnet.arguments.sockets import (
    MISSING,
    checked_blocking,
    checked_timeout,
    look_over,
    look_over_inheritable,
    only_one,
    option_value,
    taken,
    whole,
)
from simnet.calls.ancillary import PID, shown_pid
from simnet.calls.straight import StraightCalls
from simnet.faults.inject import Tag
from simnet.faults.paths import spelt
from simnet.kernel.errors import socket_error
from simnet.kernel.messages import AF_UNIX, SOCK_DGRAM
from simnet.kernel.options.values import INT_MAX, SO_PEERCRED, SOL_SOCKET, NoBuffer
from simnet.places.datagrams import bound
from simnet.places.unix import listener_tag
from simnet.resolver.addresses import kernel_address

__all__ = ["QuickCalls"]


class QuickCalls(StraightCalls):
    """The part of a simulated socket that answers at once."""

    __slots__ = ("_net_family",)

    _net_family: int

    @property
    def timeout(self) -> float | None:
        return self._timeout

    @timeout.setter
    def timeout(self, value: Any) -> None:
        raise AttributeError("attribute 'timeout' of '_socket.socket' objects is not writable")

    @timeout.deleter
    def timeout(self) -> None:
        raise AttributeError("attribute 'timeout' of '_socket.socket' objects is not writable")

    def gettimeout(self, *none: Any, **named: Any) -> float | None:
        if none or named:
            look_over("gettimeout", *none, **named)
        return self._timeout

    def getblocking(self, *none: Any, **named: Any) -> bool:
        if none or named:
            look_over("getblocking", *none, **named)
        return self._timeout != 0.0

    def settimeout(self, *value: Any, **named: Any) -> None:
        self._timeout = timeout = checked_timeout(only_one("settimeout", value, named))
        file = self._file()  # a closed socket remembers the time-out, and fails
        file.nonblocking = timeout is not None
        if file.watchers is not None:
            file.stir()

    def setblocking(self, *flag: Any, **named: Any) -> None:
        if len(flag) == 1 and type(flag[0]) is bool and not named:
            self._timeout = timeout = None if flag[0] else 0.0
        else:
            self._timeout = timeout = checked_blocking(only_one("setblocking", flag, named))
        file = self._file()
        file.nonblocking = timeout is not None
        if file.watchers is not None:
            file.stir()

    def bind(self, *address: Any, **named: Any) -> None:
        resolved = kernel_address(self._machine, self._net_family, only_one("bind", address, named), "bind")
        file = self._file()
        self._quick(file, "bind", (resolved,), file.bind, resolved)
        if file.type == SOCK_DGRAM:
            file.tag = bound(self._process.machine, self._machine, file)
        elif not file.tag.place:
            known = file.getsockname()
            name = f"{self._machine.name}:{spelt(known) if file.family == AF_UNIX else known[1]}"
            file.tag = Tag(None, name, "", self._machine.name, file.tag.counts)

    def listen(self, *backlog: Any, **named: Any) -> None:
        # CPython makes 0 of what is negative, which the kernel would take for a large number.
        number = 128 if not backlog and not named else max(whole("listen", last=only_one("listen", backlog, named)), 0)
        file = self._file()
        self._quick(file, "listen", (number,), file.listen, number)
        host = self._machine
        if file.family == AF_UNIX and file.type != SOCK_DGRAM:
            file.tag = listener_tag(self._process.machine, host, file)
        else:
            file.tag = host.fabric.listener_tag(host, file)

    def getsockname(self, *none: Any, **named: Any) -> Any:
        if none or named:
            look_over("getsockname", *none, **named)
        file = self._file()
        return self._quick(file, "getsockname", (), file.getsockname)

    def getpeername(self, *none: Any, **named: Any) -> Any:
        if none or named:
            look_over("getpeername", *none, **named)
        file = self._file()
        return self._quick(file, "getpeername", (), file.getpeername)

    def getsockopt(
        self, level: Any = MISSING, optname: Any = MISSING, buflen: Any = 0, /, *more: Any, **named: Any
    ) -> Any:
        if named:
            look_over("getsockopt", **named)
        if more or not (type(level) is type(optname) is type(buflen) is int and abs(level) | abs(optname) <= INT_MAX):
            level, optname, buflen = taken("getsockopt", level, optname, buflen, *more)
        elif buflen:
            look_over("getsockopt", level, optname, buflen)  # its range is told before the socket is asked
        file = self._file()
        answer = self._quick(file, "getsockopt", (level, optname), file.getsockopt, level, optname, buflen)
        if optname == SO_PEERCRED and level == SOL_SOCKET:
            return shown_pid(answer) if buflen else int.from_bytes(shown_pid(PID.pack(answer)), sys.byteorder)
        return answer

    def setsockopt(self, level: Any = MISSING, optname: Any = MISSING, /, *value: Any, **named: Any) -> None:
        if named:
            look_over("setsockopt", level, optname, *value, **named)
        level, optname, given = option_value(level, optname, value)
        file = self._file()
        if isinstance(given, NoBuffer) and given.length > INT_MAX:
            raise socket_error(errno.EINVAL)  # a negative number to the kernel
        self._quick(file, "setsockopt", (level, optname, given), file.setsockopt, level, optname, given)

    def shutdown(self, *how: Any, **named: Any) -> None:
        number = whole("shutdown", last=only_one("shutdown", how, named))
        file = self._file()
        before = _how_far(file)
        self._quick(file, "shutdown", (number,), file.shutdown, number)
        if _how_far(file) != before:
            self._process.scheduler.effects += 1  # said a second time, it does nothing

    def get_inheritable(self) -> bool:
        self._file()
        return self._fd in self._process.descriptors.inheritable

    def set_inheritable(self, inheritable: Any) -> None:
        if type(inheritable) is not bool:
            look_over_inheritable(inheritable)
            inheritable = index(inheritable)
        self._file()
        if inheritable:
            self._process.descriptors.inheritable.add(self._fd)
        else:
            self._process.descriptors.inheritable.discard(self._fd)


def _how_far(file: Any) -> tuple[Any, Any]:
    """Which directions of *file* are shut, and its state; of an epoll, whose number a socket may have, neither."""
    return getattr(file, "shut", None), getattr(file, "state", None)
