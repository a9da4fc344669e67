"""The functions of ``socket``, and the making of a ``socket.socket``.

Where the library's own Python code calls a C function through its module, the C function is replaced and not the
Python one: so ``from socket import getaddrinfo``, bound long ago, follows too. ``socket.socket`` stays the class it is,
since programs subclass it and ask ``isinstance``; only its ``__new__`` asks whose socket is to be made.
"""

from __future__ import annotations

import _socket
import functools
import socket
from typing import Any

from simnet.standins import whose
from simnet.standins.pairs import Origin, Pairs, forward

__all__ = ["PAIRS", "new_socket"]

PAIRS = Pairs()


for _name, _arity in (
    ("gethostbyname", 1),
    ("gethostbyname_ex", 1),
    ("gethostbyaddr", 1),
    ("getnameinfo", 2),
    ("gethostname", 0),
    ("sethostname", 1),
    ("getdefaulttimeout", 0),
    ("setdefaulttimeout", 1),
    ("dup", 1),
    ("close", 1),
):
    PAIRS.standin(_socket, _name)(forward(_name, _arity))  # `socket` holds the same objects


@PAIRS.standin(_socket, "getaddrinfo")
def _(original: Any) -> Any:
    def standin(_: Origin, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        backend = whose.world()
        answer = original if backend is None else backend.getaddrinfo
        return answer(host, port, family, type, proto, flags)

    return standin


@functools.wraps(socket.socketpair)
def _socketpair(family: int | None = None, type: int = socket.SOCK_STREAM, proto: int = 0) -> Any:
    backend = whose.world()
    return (_true_socketpair if backend is None else backend.socketpair)(family, type, proto)


_true_socketpair = socket.socketpair
PAIRS.add(socket.socketpair, _socketpair)


def new_socket(
    cls: type[socket.socket],
    family: Any = -1,
    type: Any = -1,
    proto: Any = -1,
    fileno: Any = None,
    *_args: Any,
    **_kwargs: Any,
) -> socket.socket:
    """``socket.socket.__new__`` while the stand-ins are in place. Arguments beyond these are a subclass's own."""
    backend = whose.world()
    made = None if backend is None else backend.new_socket(cls, family, type, proto, fileno)
    return _true_new(cls) if made is None else made


_true_new = _socket.socket.__new__  # it ignores all arguments; `__init__` opens the descriptor
