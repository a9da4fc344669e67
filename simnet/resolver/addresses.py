"""Arguments of ``connect``, ``bind`` and ``sendto``, checked and resolved as CPython does it."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Any

from simnet.arguments.sockets import c_name, checked_bytes
from simnet.kernel.inet import BROADCAST
from simnet.kernel.messages import AF_INET, AF_INET6, AF_UNIX
from simnet.kernel.options.values import INT_MAX
from simnet.resolver.names import resolve

if TYPE_CHECKING:
    from simnet.machine import Machine

__all__ = ["kernel_address"]

UNIX_PATH_MAX = 108  # sizeof(sun_path), linux/un.h


def kernel_address(machine: Machine, family: int, address: Any, call: str) -> Any:
    """The numeric address tuple (or Unix path) for the kernel.

    Raises:
        TypeError, OverflowError: as CPython's, text included, for what is no address of *family*.
        socket.gaierror: the name does not resolve.
    """
    if family == AF_INET:
        if not isinstance(address, tuple):
            raise TypeError(f"{call}(): AF_INET address must be tuple, not {c_name(address)}")
        if len(address) != 2:
            raise TypeError("AF_INET address must be a pair (host, port)")
        host, port = address
        if host.__class__ is not str or not host.isascii() or "\0" in host:
            host = _host(host)
        if port.__class__ is int and 0 <= port <= 0xFFFF:
            return (resolve(machine, host, family), port)
        port = _port(port, call)
        return (resolve(machine, host, family), _in_range(port, call))
    if family == AF_INET6:
        if not isinstance(address, tuple):
            raise TypeError(f"{call}(): AF_INET6 address must be tuple, not {c_name(address)}")
        if not 2 <= len(address) <= 4:
            raise TypeError("AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
        host, port = _host(address[0]), _port(address[1], call)
        flow = _number(address[2]) if len(address) > 2 else 0
        scope = _number(address[3]) if len(address) > 3 else 0
        if host in ("<broadcast>", BROADCAST):
            raise OSError("address family mismatched")
        host, port = resolve(machine, host, family), _in_range(port, call)
        if flow > 0xFFFFF:
            raise OverflowError(f"{call}(): flowinfo must be 0-1048575.")
        return (host, port, flow, scope)
    if family == AF_UNIX:
        if isinstance(address, str):
            path: Any = address.encode("utf-8", "surrogateescape")
        else:
            path = checked_bytes("send", address)
        if len(path) > UNIX_PATH_MAX - (0 if path[:1] == b"\0" else 1):
            raise OSError("AF_UNIX path too long")
        # A path ends at its first zero byte.
        return path if path[:1] == b"\0" else path.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    raise OSError(f"{call}(): bad family")


def _host(host: Any) -> str:
    if not isinstance(host, (str, bytes, bytearray)):
        raise TypeError(f"str, bytes or bytearray expected, not {c_name(host)}")
    name = host if isinstance(host, str) else bytes(host).decode("ascii", "surrogateescape")
    if "\0" in name:
        raise TypeError("host name must not contain null character")
    if name is host and not name.isascii():
        try:
            name.encode("idna")
        except UnicodeError:
            raise TypeError("encoding of hostname failed") from None
    return name


def _port(value: Any, call: str) -> int:
    """What may be a port, if it is a C int; its range is looked at later."""
    port: int = value if type(value) is int else index(value)
    return port if abs(port) <= INT_MAX else _in_range(port, call)


def _number(value: Any) -> int:
    """A C unsigned int: what is too long is cut off."""
    return index(value) & 0xFFFFFFFF


def _in_range(port: int, call: str) -> int:
    if not 0 <= port <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    return port
