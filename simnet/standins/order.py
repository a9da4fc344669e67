"""Sets iterate in the order in which their members were made or met: a set iterates by hash, and the hash of an object that
defines none is its address, another in each run.

So asyncio cancels tasks, and a program writes to its set of clients, in an order that no seed repeats. During a run,
tasks, transports, protocols, streams and channels hash by a number, and the sets that asyncio makes within itself
keep the order of what they are made of. Objects of a program's own classes still hash by address.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final

from simnet.standins import whose
from simnet.wait import running

__all__ = ["number_of", "place", "unplace"]

NUMBERED: Final = (  # what programs hold in sets, to write to all of them
    ("asyncio.transports", "BaseTransport"),
    ("asyncio.protocols", "BaseProtocol"),
    ("asyncio.streams", "StreamReader"),
    ("asyncio.streams", "StreamWriter"),
    ("concurrent.futures._base", "Future"),
    ("dispatch.channel", "Channel"),
    ("asyncore", "dispatcher"),
    ("socketserver", "BaseRequestHandler"),
    ("tornado.web", "RequestHandler"),
    ("tornado.iostream", "BaseIOStream"),
    ("aiohttp.web_response", "StreamResponse"),
    ("starlette.requests", "HTTPConnection"),
    ("twisted.internet.protocol", "BaseProtocol"),
    ("trio._abc", "AsyncResource"),
    ("trio._socket", "SocketType"),
    ("anyio.abc._resources", "AsyncResource"),
    ("websockets.sync.connection", "Connection"),
    ("simple_websocket.ws", "Base"),
    ("kombu.transport.virtual.base", "Channel"),
    ("redis.connection", "AbstractConnection"),  # a pool disconnects those that are in use
    ("redis.asyncio.connection", "AbstractConnection"),
)
# Addresses to listen at, and awaitables, go through a set there.
WITHIN: Final = (
    "asyncio.base_events",
    "asyncio.tasks",
)

# Module and name -> whose attribute is ours now, and what it was there.
_changed: dict[tuple[str, str], tuple[Any, Any]] = {}


def number_of(self: Any, /) -> int:
    """The hash of *self*: its number if a run has met it, which it keeps, else what it always was."""
    try:
        kept = self.__dict__
    except AttributeError:  # slots alone
        return object.__hash__(self)
    number: int | None = kept.get("_simnet_number")
    if number is None:
        world = whose.world()
        if world is None:
            return object.__hash__(self)
        number = kept["_simnet_number"] = world.number()
    return number


def _set(members: Iterable[Any] | None = None) -> Any:
    """``set`` as asyncio's modules call it: one that is made of something is only gone through."""
    if members is None:
        return set()
    return set(members) if whose.world() is None else dict.fromkeys(members)


def _numbered(task: type) -> type:
    """Asyncio's class of tasks, numbered as they are made."""

    class Task(task):  # type: ignore[misc]  # which there is when asyncio has been loaded
        __slots__ = ("_number",)

        def __hash__(self) -> int:
            return self._number  # type: ignore[no-any-return]

    Task.__module__, Task.__qualname__ = task.__module__, task.__qualname__
    return Task


def _create_task(original: Any, tasks: Any) -> Any:
    task: Any = _numbered(tasks.Task)
    new, make = task.__new__, task.__init__
    eager = getattr(tasks, "eager_task_factory", original)  # from Python 3.12 on

    def create_task(self: Any, coro: Any, **options: Any) -> Any:
        factory = self._task_factory
        if (factory is None or factory is eager) and (world := whose.world()) is not None:
            if self._closed:
                self._check_closed()
            if factory is not None:
                options["eager_start"] = True
            if (scheduler := running.scheduler) is not None and options.get("name") is None:
                options["name"] = f"Task-{scheduler.current.next_number('tasks')}"  # its own goes on from run to run
            made: Any = new(task)
            made._number = world.number()  # asyncio puts it into a set while it is made
            make(made, coro, loop=self, **options)
            if made._source_traceback:  # in debug mode: where it was made is not here
                del made._source_traceback[-1]
            return made
        return original(self, coro, **options)

    return create_task


def place() -> None:
    """Whatever of it is loaded, and not ours yet. Nothing is imported for this."""
    for module, name in NUMBERED:
        _put(module, name, getattr(sys.modules.get(module), name, None), "__hash__", number_of)
    for module in WITHIN:
        _put(module, "set", sys.modules.get(module), "set", _set)  # before the builtin one
    tasks = sys.modules.get("asyncio.tasks")
    loop = getattr(sys.modules.get("asyncio.base_events"), "BaseEventLoop", None)
    if loop is not None and hasattr(tasks, "Task"):
        _put("asyncio.tasks", "Task", loop, "create_task", _create_task(loop.create_task, tasks))


def _put(module: str, name: str, owner: Any, attribute: str, ours: Any) -> None:
    if owner is not None and (module, name) not in _changed:
        _changed[module, name] = owner, (attribute, vars(owner).get(attribute))
        setattr(owner, attribute, ours)


def unplace() -> None:
    for owner, (attribute, before) in _changed.values():
        if before is None:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, before)
    _changed.clear()
