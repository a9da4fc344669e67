"""The calls of a socket that never wait: names, options, listening, shutdown, inheritance."""

from __future__ import annotations

from typing import Any

from simnet.addresses import AF_UNIX, kernel_address
from simnet.arguments import look_over, look_over_inheritable, only_one, option_value, whole
from simnet.faults.inject import Tag
from simnet.systemcall import SystemCalls

__all__ = ["QuickCalls"]


class QuickCalls(SystemCalls):
    """The part of a simulated socket that answers at once."""

    __slots__ = ("_net_family",)

    _net_family: int

    def bind(self, *address: Any) -> None:
        resolved = kernel_address(self._machine, self._net_family, only_one(address, "bind"), "bind")
        file = self._file()
        self._quick(file, "bind", (resolved,), file.bind, resolved)
        if not file.tag.place and self._net_family != AF_UNIX:
            name = f"{self._machine.name}:{file.getsockname()[1]}"
            file.tag = Tag(None, name, "", self._machine.name, file.tag.counts)

    def listen(self, backlog: int = 128, /) -> None:
        backlog = whole("listen", last=backlog)
        file = self._file()
        self._quick(file, "listen", (backlog,), file.listen, backlog)
        host = self._machine
        file.tag = host.fabric.listener_tag(host, file)

    def getsockname(self) -> Any:
        file = self._file()
        return self._quick(file, "getsockname", (), file.getsockname)

    def getpeername(self) -> Any:
        file = self._file()
        return self._quick(file, "getpeername", (), file.getpeername)

    def getsockopt(self, level: int, optname: int, buflen: int = 0, /) -> Any:
        if type(level) is not int or type(optname) is not int or type(buflen) is not int:
            look_over("getsockopt", level, optname, buflen)
        file = self._file()
        return self._quick(file, "getsockopt", (level, optname), file.getsockopt, level, optname, buflen)

    def setsockopt(self, level: int, optname: int, *value: Any) -> None:
        given = option_value(level, optname, value)
        file = self._file()
        self._quick(file, "setsockopt", (level, optname, given), file.setsockopt, level, optname, given)

    def shutdown(self, *how: int) -> None:
        number = whole("shutdown", last=only_one(how, "shutdown"))
        file = self._file()
        self._quick(file, "shutdown", (number,), file.shutdown, number)

    def get_inheritable(self) -> bool:
        self._file()
        return self._fd in self._process.descriptors.inheritable

    def set_inheritable(self, inheritable: Any) -> None:
        self._file()
        if type(inheritable) is not bool:
            look_over_inheritable(inheritable)
        if inheritable:
            self._process.descriptors.inheritable.add(self._fd)
        else:
            self._process.descriptors.inheritable.discard(self._fd)
