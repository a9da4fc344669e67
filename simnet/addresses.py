"""What programs hand to ``connect``, ``bind`` and ``sendto``, checked and resolved as CPython does it."""

from __future__ import annotations

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
            raise TypeError(f"{call}(): AF_INET address must be a pair (host, port)"[len(call) + 4 :])
        return (resolve(machine, _host(address[0]), family), _port(address[1], call))
    if family == AF_INET6:
        if not isinstance(address, tuple):
            raise TypeError(f"{call}(): AF_INET6 address must be tuple, not {type(address).__name__}")
        if not 2 <= len(address) <= 4:
            raise TypeError("AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
        host, port = resolve(machine, _host(address[0]), family), _port(address[1], call)
        flow = address[2] if len(address) > 2 else 0
        scope = address[3] if len(address) > 3 else 0
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
    if isinstance(host, str):
        return host
    if isinstance(host, (bytes, bytearray)):
        return bytes(host).decode("ascii")
    raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")


def _port(port: Any, call: str) -> int:
    try:
        number = port.__index__()
    except AttributeError:
        raise TypeError(f"{type(port).__name__!r} object cannot be interpreted as an integer") from None
    if not 0 <= number <= 0xFFFF:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    return int(number)
