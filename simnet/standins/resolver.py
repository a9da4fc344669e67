"""asyncio looks up names in threads. A simulated process has none, and needs none: its network answers at once, or as late as
a fault says.

asyncio is not imported for this; it is looked for when the stand-ins are put in place, and whenever a loop may be made.
"""

from __future__ import annotations

import socket
import sys
from functools import partial
from typing import Any

from simnet.standins import whose

__all__ = ["place", "unplace"]

_originals: dict[str, Any] = {}
_owners: list[Any] = []  # the class that they are of: its module may have gone from sys.modules


async def _getaddrinfo(
    self: Any, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> Any:
    backend = whose.world()
    if backend is None:
        return await _originals["getaddrinfo"](self, host, port, family=family, type=type, proto=proto, flags=flags)
    late: list[float] = []
    try:
        ask = sys.modules["asyncio.base_events"].socket.getaddrinfo  # whatever a test has put there
        return backend.without_waiting(late, partial(ask, host, port, family, type, proto, flags))
    finally:
        if late:
            await _pass(self, sum(late))


async def _pass(loop: Any, seconds: float) -> None:
    """Let the others of *loop* go on meanwhile, as they do while a thread waits."""
    passed = loop.create_future()
    timer = loop.call_later(seconds, _come, passed)
    try:
        await passed
    finally:
        timer.cancel()


def _come(passed: Any) -> None:
    """A time-out at the same instant may have cancelled who waits, who has not gone on yet."""
    if not passed.done():
        passed.set_result(None)


async def _getnameinfo(self: Any, sockaddr: Any, flags: int = 0) -> Any:
    if whose.world() is None:
        return await _originals["getnameinfo"](self, sockaddr, flags)
    return socket.getnameinfo(sockaddr, flags)


def place() -> None:
    """If asyncio is loaded: from now on its loops ask the network of the process they run in."""
    loops = sys.modules.get("asyncio.base_events")
    if loops is None or _originals or not hasattr(loops, "BaseEventLoop"):  # not at all, already, or half
        return
    for standin in (_getaddrinfo, _getnameinfo):
        name = standin.__name__[1:]
        _originals[name] = getattr(loops.BaseEventLoop, name)
        setattr(loops.BaseEventLoop, name, standin)
    _owners.append(loops.BaseEventLoop)


def unplace() -> None:
    for owner in _owners:
        for name, original in _originals.items():
            setattr(owner, name, original)
    _owners.clear()
    _originals.clear()
