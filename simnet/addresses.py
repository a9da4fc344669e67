"""What programs hand to ``connect``, ``bind`` and ``sendto``, checked and resolved as CPython does it."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from simnet.names import AF_INET, AF_INET6, resolve

if TYPE_CHECKING:
    from simnet.network import Machine

__all__ = ["AF_UNIX", "kernel_address"]

AF_UNIX = 1
UNIX_PATH_MAX = 108  # sizeof(sun_path), linux/un.h


def kernel_address(machine: Machine, family: int, address: Any, call: str) -> Any:
    """The numeric address tuple (or Unix path) for the kernel.

    Raises:
        TypeError, OverflowError: as CPython's, text included, for what is no address of *family*.
        socket.gaierror: the name does not resolve.
    """
    if family == AF_INET:
        if not isinstance(address, tuple):
            raise TypeError(f"{call}(): AF_INET address must be tuple, not {type(address).__name__}")
        if len(address) != 2:
            raise TypeError("AF_INET address must be a pair (host, port)")
        host, port = _host(address[0]), _number(address[1])
        return (resolve(machine, host, family), _in_range(port, call))
    if family == AF_INET6:
        if not isinstance(address, tuple):
            raise TypeError(f"{call}(): AF_INET6 address must be tuple, not {type(address).__name__}")
        if not 2 <= len(address) <= 4:
            raise TypeError("AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
        host, port = _host(address[0]), _number(address[1])
        flow = _number(address[2]) if len(address) > 2 else 0
        scope = _number(address[3]) if len(address) > 3 else 0
        host, port = resolve(machine, host, family), _in_range(port, call)
        if not 0 <= flow <= 0xFFFFF:
            raise OverflowError(f"{call}(): flowinfo must be 0-1048575.")
        return (host, port, flow, scope)
    if family == AF_UNIX:
        if isinstance(address, str):
            path: Any = address.encode("utf-8", "surrogateescape")
        else:
            try:
                path = bytes(memoryview(address))
            except TypeError:
                raise TypeError(f"a bytes-like object is required, not {type(address).__name__!r}") from None
        if len(path) > UNIX_PATH_MAX - (0 if path[:1] == b"\0" else 1):
            raise OSError("AF_UNIX path too long")
        return path if path[:1] == b"\0" else path.decode("utf-8", "surrogateescape")
    raise OSError(f"{call}(): bad family")


def _host(host: Any) -> str:
    if not isinstance(host, (str, bytes, bytearray)):
        raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")
    name = host if isinstance(host, str) else bytes(host).decode("ascii", "surrogateescape")
    if "\0" in name:
        raise TypeError("host name must not contain null character")
    if name is host and not name.isascii():
        try:
            name.encode("idna")
        except UnicodeError:
            raise TypeError("encoding of hostname failed") from None
    return name


def _number(value: Any) -> int:
    return value if type(value) is int else index(value)


def _in_range(port: int, call: str) -> int:
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    return port
