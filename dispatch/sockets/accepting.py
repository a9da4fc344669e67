"""accept() for the sockets of the real kernel, without what makes the standard library's slow, and their type."""

from __future__ import annotations

import _socket
import errno
import socket

from dispatch.annotations import Any
from dispatch.errors import DIED_IN_QUEUE

# What a socket is, as numbers. As attributes they are looked up in enumerations, three times a connection: that costs as much
# of the interpreter's time as all the rest of accept().
_MEMBERS = vars(_socket.socket)
_family, _kind, _protocol = (getattr(_MEMBERS.get(name), "__get__", None) for name in ("family", "type", "proto"))
_SHORT = _protocol is not None and "_accept" in _MEMBERS  # as CPython has them; others may not


def kind(sock: Any) -> Any:
    """``sock.type``, as a number; None for what has none."""
    if _kind is not None and isinstance(sock, _socket.socket):
        # What stands there in place of the class, as eventlet's does, need not have one.
        plain = getattr(socket.socket, "type", None)
        if plain is not None and type(sock).type is plain:
            return _kind(sock)
    return getattr(sock, "type", None)


def plainly(sock: Any) -> tuple[Any, Any] | None:
    """What ``sock.accept()`` returns, of a plain socket that does not block. None, and nothing is done, for any other.

    Whoever stands in for the class or its method is obeyed: the caller calls ``sock.accept()`` then.
    """
    plain = socket.socket
    theirs = getattr(plain, "accept", None)  # as above; HTTPretty's has none
    if type(sock) is not plain or getattr(theirs, "__globals__", None) is not vars(socket) or not _SHORT:
        return None
    fd, addr = sock._accept()  # type: ignore[attr-defined]
    return plain(_family(sock), _kind(sock), _protocol(sock), fd), addr  # type: ignore[misc]


plainly.__code__ = plainly.__code__.replace(co_name="accept")  # in a log line it stands where the socket's would


#: They have no connections: who asks one of them for the next hears EOPNOTSUPP, each time.
_WITHOUT = tuple(getattr(_socket, name) for name in ("SOCK_DGRAM", "SOCK_RAW", "SOCK_RDM") if hasattr(_socket, name))


def has_connections(sock: Any) -> bool:
    """Whether *sock* is of a kind that can accept any."""
    return kind(sock) not in _WITHOUT


def died_in_queue(sock: Any, code: int | None) -> bool:
    """Whether accept() says *code* of a connection that died, and may find another, or of *sock* itself."""
    return code in DIED_IN_QUEUE and (code != errno.EOPNOTSUPP or has_connections(sock))
