"""The functions of ``socket``, and the making of a ``socket.socket``.

Where the library's own Python code calls a C function through its module, the C function is replaced and not the
Python one: so ``from socket import getaddrinfo``, bound long ago, follows too. ``socket.socket`` stays the class it is,
since programs subclass it and ask ``isinstance``; its ``__new__`` asks whose socket is to be made, and its other methods
ask whose it is: some write ``socket.socket.connect(sock, address)``, or ``map(socket.socket.fileno, socks)``.
"""

from __future__ import annotations

import _socket
import functools
import socket
import sys
from _thread import allocate_lock
from typing import Any

from simnet.arguments import patched
from simnet.standins import whose
from simnet.standins.pairs import Maker, Origin, Pairs, forward

__all__ = ["PAIRS", "called_by_class", "called_by_class_no_more", "new_socket"]

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


def _link_call(name: str) -> Maker:
    """A maker of stand-ins for what tells the names and numbers of links."""

    def maker(original: Any) -> Any:
        def standin(_: Origin, *args: Any) -> Any:
            link_call = getattr(whose.world(), "link_call", None)  # only a world with links of its own has one
            return original(*args) if link_call is None else link_call(name, original, *args)

        return standin

    return maker


for _name in ("if_nameindex", "if_nametoindex", "if_indextoname"):
    PAIRS.standin(_socket, _name)(_link_call(_name))


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

UNASKED = "_sendfile_use_sendfile"  # not among what is called by the class: by this the library asks itself

_TRUE_SOCKET = socket.socket  # whatever a program puts in its place

_ways: dict[str, dict[type, Any]] = {}  # by the method's name: each world's own
_before: dict[str, Any] = {}  # what the class had under that name; None: what it inherits from C
_placed: dict[str, Any] = {}
_worlds: list[type] = []

#: What puts something into a class: of a module, a class and its method.
PUTS = (("unittest.mock", "_patch", "__enter__"), ("_pytest.monkeypatch", "MonkeyPatch", "setattr"))

_lock = allocate_lock()  # a real network's processes are threads


def called_by_class(ours: type) -> None:
    """From here on ``socket.socket.connect(sock, ...)`` is that of *ours* if *sock* is one of them."""
    if ours not in _worlds:
        _place(ours)
    patched.look()


def heed_mocks() -> None:
    """What is put into the class from now on is looked for at once, if the modules that do so have been imported."""
    for module, name, method in PUTS:
        owner = getattr(sys.modules.get(module), name, None)
        if owner is not None and not hasattr(vars(owner)[method], "heeds"):
            setattr(owner, method, _heeding(vars(owner)[method]))


def _heeding(put: Any) -> Any:
    """*put*, which may have put something into the true class: simulated sockets that there are shall call it."""

    @functools.wraps(put)
    def method(*args: Any, **kwargs: Any) -> Any:
        answer = put(*args, **kwargs)
        if whose.world() is not None:
            patched.heed()
        return answer

    method.heeds = True  # type: ignore[attr-defined]
    return method


def _place(ours: type) -> None:
    with _lock:
        if ours in _worlds:
            return
        for name in dir(ours):
            original, way = getattr(_TRUE_SOCKET, name, None), getattr(ours, name)
            if (name.startswith("__") and name != "__init__") or name == UNASKED:
                continue
            if way is original or not callable(original):
                continue
            _ways[name] = {**_ways.get(name, {}), ours: way}
            if name not in _placed:
                _before[name] = vars(_TRUE_SOCKET).get(name)
                _placed[name] = _by_class(name, original)
                setattr(_TRUE_SOCKET, name, _placed[name])
        _worlds.append(ours)
        patched.stands_in(_TRUE_SOCKET, _placed, _before)


def _by_class(name: str, original: Any) -> Any:
    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:  # the socket is the first of them, if there is one
        for ours, way in _ways.get(name, {}).items():
            if args and isinstance(args[0], ours):
                return way(*args, **kwargs)
        return original(*args, **kwargs)

    return method


def called_by_class_no_more() -> None:
    patched.ask_no_more()
    for name, before in _before.items():
        if vars(_TRUE_SOCKET).get(name) is not _placed[name]:
            continue  # somebody else's stands there by now
        if before is None:
            delattr(_TRUE_SOCKET, name)
        else:
            setattr(_TRUE_SOCKET, name, before)
    for table in (_ways, _before, _placed, _worlds):
        table.clear()
