"""The addresses of a real socket: what a program names and is told, and what the kernel is."""

from __future__ import annotations

import socket as _stdlib
from typing import Any

from simnet.kernel.messages import AF_UNIX, SOCK_DGRAM
from simnet.realnet import datagrams, unix
from simnet.realnet.calls import C, Calls
from simnet.resolver.addresses import kernel_address

__all__ = ["AF_INET", "AF_INET6", "Addressed"]

AF_INET, AF_INET6 = int(_stdlib.AF_INET), int(_stdlib.AF_INET6)


class Addressed(Calls):
    """Where a `RealSocket` is, where its peer is, and where its datagrams go."""

    __slots__ = ()

    def bind(self, address: Any, /) -> None:
        file = self._file
        if file.family not in (AF_INET, AF_INET6):
            self._quick("bind", (address,), C.bind, self, address)
            if file.family == AF_UNIX:
                unix.bound(self._stage, file, C.getsockname(self))
            return
        host, port, *rest = kernel_address(file.machine, file.family, address, "bind")  # type: ignore[arg-type]
        where = self._own_address(host)
        ground, v6 = self._stage.ground, where == "::1"
        kernel_port = (ground.port_of(file.machine, v6, file.kind, port) if port else None) or 0
        self._quick("bind", (address,), C.bind, self, (where, kernel_port, *rest))
        ground.assign(file.machine, v6, file.kind, port or C.getsockname(self)[1], where, C.getsockname(self)[1])
        file.shown_host = host if host != file.machine.address else None
        datagrams.at_port(self._stage, file, self._seen(C.getsockname(self))[1])

    def getsockname(self) -> Any:
        name = self._quick("getsockname", (), C.getsockname, self)
        file = self._file
        if file.family not in (AF_INET, AF_INET6):
            return name
        host = file.shown_host if file.shown_host is not None and file.connection is None else name[0]
        return (host, self._stage.ground.shown(name[0], file.kind, name[1]), *name[2:])

    def getpeername(self) -> Any:
        return self._seen(self._quick("getpeername", (), C.getpeername, self))

    def _own_address(self, host: str) -> str:
        """The kernel's address that stands for *host*, which a program binds."""
        v6only = self._file.family == AF_INET6 and C.getsockopt(self, _stdlib.IPPROTO_IPV6, _stdlib.IPV6_V6ONLY)
        return self._stage.ground.own_address(self._file.machine, host, bool(v6only))

    def _seen(self, address: Any) -> Any:
        """An address from the kernel as the program sees it."""
        if self._file.family not in (AF_INET, AF_INET6) or not isinstance(address, tuple):
            return address
        return (address[0], self._stage.ground.shown(address[0], self._file.kind, address[1]), *address[2:])

    def _take_home(self, where: str = "") -> None:
        """Datagrams leave from the host's own address, so that who gets one knows whom to answer; *where* is who does."""
        file = self._file
        if file.kind == SOCK_DGRAM and file.family in (AF_INET, AF_INET6) and C.getsockname(self)[1] == 0:
            Addressed.bind(self, ("::1" if where == "::1" else "", 0))

    def _datagram_target(self, address: Any, call: str) -> Any:
        file = self._file
        if file.family not in (AF_INET, AF_INET6, AF_UNIX):
            return address
        target = kernel_address(file.machine, file.family, address, call)  # type: ignore[arg-type]
        if file.family == AF_UNIX:
            return target
        host, port, *rest = target
        where, _, kernel_port = self._stage.ground.route(file, host, port)
        self._take_home(where)
        if port:
            kernel_port = kernel_port or self._stage.ground.closed_port(where, file.family)
        return (where, kernel_port or 0, *rest)  # EINVAL, of port 0
