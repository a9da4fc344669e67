"""Libraries whose network is in C, where no stand-in sees it: who opens a connection with one in a run is told so at once.

Otherwise the real network would answer, or nobody; and gRPC's ``aio``, which meets a simulated pipe, would end the interpreter. So would it
answer a socket of the class in C that the standard library's is made of, as gevent's are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from simnet.standins import whose

__all__ = ["place", "unplace"]

GRPC = ("the network of gRPC", "grpclib speaks gRPC in Python")
PSYCOPG = ("the network of libpq", "pg8000 and asyncpg speak to PostgreSQL in Python")
LIBEV = (
    "the event loop of cassandra-driver by libev",
    "`Cluster(connection_class=AsyncioConnection)` has one in Python",
)
KAFKA = ("the network of librdkafka", "kafka-python speaks to Kafka in Python")
ARES = (
    "a look-up by c-ares (pycares, aiodns)",
    "the event loop has look-ups of its own: give aiohttp `TCPConnector(resolver=aiohttp.ThreadedResolver())`",
)
PYOPENSSL = (
    "a TLS connection of pyOpenSSL's over a socket",
    "the standard library's `ssl` wraps a simulated socket, and a `Connection(context, None)` leaves the socket to its user",
)
HUBS = "the event loops that run in a simulation are asyncio's, trio's and twisted's, and threads do as well"
GEVENT = ("a socket or a hub of gevent's", HUBS)
EVENTLET = ("a socket or a hub of eventlet's", HUBS)
THE_KERNELS = ("a socket of the kernel's", "`socket.socket` is simulated")
WAIT = {library: "which waits on the real kernel" for library, _ in (GEVENT, EVENTLET, THE_KERNELS)}
LIBRARIES: dict[str, tuple[tuple[str, ...], tuple[str, str]]] = {  # by module: what begins a connection there
    "grpc._channel": (("Channel.__init__",), GRPC),
    "grpc._server": (("_Server.__init__",), GRPC),
    "grpc.aio._channel": (("Channel.__init__",), GRPC),
    "grpc.aio._server": (("Server.__init__",), GRPC),
    "psycopg2": (("_connect",), PSYCOPG),
    "psycopg.generators": (("connect",), PSYCOPG),
    "pycares": (
        tuple(
            f"Channel.{what}"
            for what in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo", "query", "search")
        ),
        ARES,
    ),
    "OpenSSL.SSL": (("_asFileDescriptor",), PYOPENSSL),  # asked of a socket alone; twisted gives it none
    "pycurl": (("Curl",), ("the network of libcurl", "urllib3, requests and httpx speak HTTP in Python")),
    "cassandra.io.libevreactor": (("LibevLoop.__init__",), LIBEV),
    "confluent_kafka": (("Producer", "Consumer"), KAFKA),
    "gevent.hub": (("Hub.__init__",), GEVENT),
    "gevent._socket3": (("socket.__init__",), GEVENT),
    "eventlet.hubs.hub": (("BaseHub.__init__",), EVENTLET),
    "eventlet.greenio.base": (("GreenSocket.__init__",), EVENTLET),
    "_socket": (("socket", "SocketType"), THE_KERNELS),
    "socket": (("SocketType",), THE_KERNELS),
    "zmq.sugar.context": (("Context.__init__",), ("the network of ZeroMQ", "put a stub of your own in its place")),
}

_guarded: dict[str, ModuleType] = {}
_classes: dict[type, type] = {}  # one for each run would take longer than all the rest of it
_places: list[tuple[Any, str, Any, Any]] = []  # whose attribute, its name, what was there, and what is


def _guard(original: Any, library: str, instead: str) -> Any:
    def refuse() -> None:
        world = whose.world()
        if world is not None:
            why = WAIT.get(library, "which is in C")
            world.escape(f"{library}, {why},", f"Such a library cannot be simulated: {instead}.")

    if isinstance(original, type):
        if original not in _classes:
            _classes[original] = _guarded_class(original, refuse)
        return _classes[original]

    @wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refuse()
        return original(*args, **kwargs)

    return guarded


def _guarded_class(original: Any, refuse: Callable[[], None]) -> Any:
    """A class as well, of which programs make heirs, and which they name as a type. What it makes is of the original."""

    class Kind(type(original)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            refuse()
            return original(*args, **kwargs) if cls is ours else super().__call__(*args, **kwargs)

        def __instancecheck__(cls, thing: object) -> bool:
            return isinstance(thing, original) if cls is ours else super().__instancecheck__(thing)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, original) if cls is ours else super().__subclasscheck__(other)

        def __setattr__(
            cls, name: str, value: object
        ) -> None:  # of a class that may not be changed the original says so
            setattr(original, name, value) if cls is ours else super().__setattr__(name, value)

        def __delattr__(cls, name: str) -> None:
            delattr(original, name) if cls is ours else super().__delattr__(name)

    names = {"__module__": original.__module__, "__doc__": original.__doc__, "__slots__": ()}
    ours = Kind(original.__name__, (original,), names)
    return ours


def _look(name: str, module: ModuleType) -> None:
    """Guard what begins a connection in *module*, as far as it is there."""
    if _guarded.get(name) is module:
        return
    _guarded[name] = module
    paths, (library, instead) = LIBRARIES[name]
    for path in paths:
        *outer, key = path.split(".")
        owner: Any = getattr(module, outer[0], None) if outer else module
        original = getattr(owner, "__dict__", {}).get(key)
        if original is not None:
            ours = _guard(original, library, instead)
            setattr(owner, key, ours)
            _places.append((owner, key, original, ours))


class _Finder:
    """Looks at such a library when it is imported in a run."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in LIBRARIES:
            return None
        for finder in sys.meta_path:
            # Before Python 3.12 some are without it, as that of old versions of six.
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None and finder is not _Finder else None
            if spec is not None and spec.loader is not None:
                spec.loader.exec_module = partial(_execute, spec.loader.exec_module)  # type: ignore[method-assign]  # it is this import's alone
                return spec
        return None


def _execute(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    execute(module)
    if _Finder in sys.meta_path:  # the run may have ended while somebody had the loader
        _look(module.__name__, module)


def place() -> None:
    """Guard the libraries that are loaded, and from now on those that are imported."""
    for name in LIBRARIES:
        module = sys.modules.get(name)
        if module is not None:
            _look(name, module)
    sys.meta_path.insert(0, _Finder)


def unplace() -> None:
    if _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)
    while _places:
        owner, key, original, ours = _places.pop()
        if vars(owner).get(key) is ours:
            setattr(owner, key, original)
    _guarded.clear()
